/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * drumctl as it is run, against the real server on a fake host, and its
 * --help against its manual.
 */
#include <criterion/criterion.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <json-c/json.h>

#include "config.h"
#include "unit/drumctl_run.h"

#define USAGE_ATTACH                                                                           \
	"Usage: drumctl guest attach PID --name NAME [--limit SIZE] [--reservation SIZE] "     \
	"[--shares N] [--qmp SOCKET] [--balloon ID] [--domain NAME]\n"

#define USAGE_ON                                                                               \
	"Usage: drumctl swap on PATH [--priority N] [--mirror DEVICE] [--force] [--fill] "     \
	"[--discard] [--no-checksums] [--max-inflight N] [--max-bandwidth SIZE] "              \
	"[--endurance SIZE]\n"
#define USAGE_SET                                                                              \
	"Usage: drumctl swap set PATH [--priority N] [--discard] [--no-discard] "              \
	"[--max-inflight N] [--max-bandwidth SIZE] [--endurance SIZE]\n"

TestSuite(drumctl, .init = drumctl_setup, .fini = drumctl_teardown);

Test(drumctl, tells_the_daemon)
{
	char log[FAKE_LOG_MAX];

	expect("swap on /swap", 0, "", "");
	expect("swap on --priority 5 x/y", 0, "", "");
	expect("guest attach 7 --name a", 0, "", "");
	expect("guest attach --limit 64M --name=b 8", 0, "", "");
	expect("guest set a --limit 1.5G", 0, "", "");
	expect("guest out a", 0, "", "");
	expect("guest in a", 0, "", "");
	expect("guest detach a", 0, "", "");
	stop_serving();
	snprintf(log, sizeof(log),
		 "swap-on /swap 0;swap-on %s/x/y 5;guest-attach a 7;guest-attach b 8;"
		 "guest-set b 67108864;guest-set a 1610612736;guest-out a;guest-in a;"
		 "guest-detach a;",
		 dir);
	cr_expect_str_eq(fake_host_log(host), log);
}

Test(drumctl, tells_the_daemon_of_swap_devices)
{
	char log[FAKE_LOG_MAX];

	expect("swap on ram:512M -p 20", 0, "", "");
	expect("swap on nbd:nbd://h/x --no-checksums --force", 0, "", "");
	expect("swap on /x --mirror y --discard --max-inflight 32 --max-bandwidth 1M "
	       "--endurance 80G",
	       0, "", "");
	expect("swap priority ram:512M 7", 0, "", "");
	expect("swap set /x --no-discard --max-bandwidth 0", 0, "", "");
	/* a half; the fake does not know it, so it says that it got this far */
	run("swap set y -p 3 -d --max-inflight 4294967295");
	cr_expect(code == 1 && strstr(errors, "no swap device is named"), "%s", errors);
	expect("swap resize /x", 0, "", "");
	expect("swap mirror /x z --force", 0, "", "");
	expect("swap mirror /x nbd:nbd://h", 0, "", "");
	expect("swap off ram:512M", 0, "", "");
	expect("paging set --cluster 128K --depth 2 --total-writes 3 --reads 4 --swblocks 5000 "
	       "--give-up 9 --stall-after 8 --sample 7",
	       0, "", "");
	expect("paging show", 0,
	       "cluster       128K\ndepth         2\ntotal writes  3\nreads         4\n"
	       "swblocks      5000\ngive up s     9\nstall after s 8\n"
	       "sample        7\n",
	       "");
	expect("paging set --depth 1", 0, "", "");
	expect("paging show --bytes", 0,
	       "cluster       131072\ndepth         1\ntotal writes  3\nreads         4\n"
	       "swblocks      5000\ngive up s     9\nstall after s 8\n"
	       "sample        7\n",
	       "");
	stop_serving();
	snprintf(log, sizeof(log),
		 "swap-on ram:512M 20;swap-on nbd:nbd://h/x 0 unsummed force;"
		 "swap-on /x+%s/y 0 inflight=32 bandwidth=1048576 discard=1 "
		 "endurance=85899345920;swap-set ram:512M 7;swap-set /x bandwidth=0 discard=0;"
		 "swap-set %s/y 3 inflight=4294967295 discard=1;swap-resize /x;"
		 "swap-mirror /x+%s/z force;swap-mirror /x+nbd:nbd://h;swap-off ram:512M;",
		 dir, dir, dir);
	cr_expect_str_eq(fake_host_log(host), log, "%s", fake_host_log(host));
}

/* Whatever leads to the device that is on is its name. */
Test(drumctl, other_names_of_a_device)
{
	char file[128], link[128], hard[128], log[FAKE_LOG_MAX];

	snprintf(file, sizeof(file), "%s/file", dir);
	snprintf(link, sizeof(link), "%s/link", dir);
	snprintf(hard, sizeof(hard), "%s/hard", dir);
	close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	cr_assert(symlink("file", link) == 0);
	expect("swap on ./link", 0, "", "");
	cr_assert(linkat(AT_FDCWD, file, AT_FDCWD, hard, 0) == 0);
	expect("swap priority file 1", 0, "", "");
	expect("swap priority ./link 2", 0, "", "");
	expect("swap priority hard 3", 0, "", "");
	/* by its name in drumd when it is no longer there */
	unlink(file);
	run("swap show hard");
	cr_expect(code == 1 && strstr(errors, "/hard is not switched on"), "%s", errors);
	expect("swap off file", 0, "", "");
	unlink(link);
	unlink(hard);
	stop_serving();
	snprintf(log, sizeof(log),
		 "swap-on %s 0;swap-set %s 1;swap-set %s 2;swap-set %s 3;swap-off %s;", file,
		 file, file, file, file);
	cr_expect_str_eq(fake_host_log(host), log);
}

Test(drumctl, warnings)
{
	fake_host_warn(host, "swap-on", "/x is on a file system without O_DIRECT");
	expect("swap on /x", 0, "",
	       "drumctl: warning: /x is on a file system without O_DIRECT\n");
	fake_host_warn(host, "swap-off", "1 page could not be read");
	expect("swap off /x", 0, "", "drumctl: warning: 1 page could not be read\n");
}

Test(drumctl, refusals)
{
	expect("paging set --depth 33", 1, "",
	       "drumctl: paging set: a depth of 33 is out of range\n");
	expect("swap off /x", 1, "", "drumctl: swap off: no swap device is named /x\n");
	expect("swap off /x --cancel", 1, "",
	       "drumctl: swap off: no swap device is named /x\n");
	expect("swap show /x", 1, "",
	       "drumctl: swap show: /x is not switched on; 'drumctl swap list' shows what "
	       "is\n");

	expect("guest attach 100000 --name a", 1, "",
	       "drumctl: guest attach: no such process: 100000\n");
	expect("guest attach 7 --name a --limit 1K", 1, "",
	       "drumctl: guest attach: limit 1024 is below what is held\n");
	expect("guest show a", 1, "", "drumctl: guest show: no guest is named 'a'\n");
	expect("guest out a/b", 1, "",
	       "drumctl: guest out: Parameter 'name' expects 1 to 63 characters of A-Z "
	       "a-z 0-9 "
	       "_ . -\n");
	expect("guest attach 999999999999 --name a", 1, "",
	       "drumctl: guest attach: Parameter 'pid' expects a process id, 1 to "
	       "2147483647\n");
}

Test(drumctl, usage)
{
	expect("", 2, "", "drumctl: no verb given\nTry 'drumctl --help'.\n");
	expect("foo", 2, "",
	       "drumctl: unknown verb 'foo'; there are swap, paging, guest, host, disk, "
	       "swapcache, dump, job, daemon, config, completion, stat, explain, top, map, "
	       "hist, events, record, report\nTry "
	       "'drumctl --help'.\n");
	expect("swap", 2, "",
	       "drumctl: swap what? One of: on, off, priority, set, resize, mirror, "
	       "list, show\nTry 'drumctl --help'.\n");
	expect("guest foo x", 2, "",
	       "drumctl: unknown verb 'guest foo'; known: admit, release, attach, "
	       "detach, list, show, set, out, in\nTry 'drumctl --help'.\n");
	expect("--foo stat", 2, "",
	       "drumctl: unrecognized option '--foo'\nTry 'drumctl --help'.\n");
	expect("guest attach 7", 2, "",
	       "drumctl: guest attach: --name NAME is missing\n" USAGE_ATTACH);
	expect("guest attach --name a", 2, "",
	       "drumctl: guest attach: PID is missing\n" USAGE_ATTACH);
	expect("guest attach 7 8 --name a", 2, "",
	       "drumctl: guest attach: too many arguments\n" USAGE_ATTACH);
	expect("guest attach -- -7 --name a", 2, "",
	       "drumctl: guest attach: too many arguments\n" USAGE_ATTACH);
	expect("guest attach --name a -- -7", 2, "",
	       "drumctl: guest attach: not a process id: '-7'\n" USAGE_ATTACH);
	expect("guest attach 7 --name a --bytes", 2, "",
	       "drumctl: guest attach: --bytes does not belong here\n" USAGE_ATTACH);
	expect("guest attach 7 --name a --limit 5Q", 2, "",
	       "drumctl: guest attach: --limit: '5Q' must be a size, as 512M or 2G, "
	       "or none\n" USAGE_ATTACH);
	expect("guest attach 7 --name a --limit 99999999T", 2, "",
	       "drumctl: guest attach: --limit: '99999999T' must be a size, as 512M or "
	       "2G, or none\n" USAGE_ATTACH);
	expect("swap on /x --priority 32768", 2, "",
	       "drumctl: swap on: --priority: not a number from 0 to 32767: "
	       "'32768'\n" USAGE_ON);
	expect("swap on /x -p -1", 2, "",
	       "drumctl: swap on: --priority: not a number from 0 to 32767: '-1'\n" USAGE_ON);
	expect("swap on ram:5Q", 2, "",
	       "drumctl: swap on: not a device: 'ram:5Q'; write it as ram:512M, as "
	       "nbd:nbd://HOST/EXPORT, or as a path: ./ram:5Q\n" USAGE_ON);
	expect("swap on nbd://h", 2, "",
	       "drumctl: swap on: not a device: 'nbd://h'; write it as ram:512M, as "
	       "nbd:nbd://HOST/EXPORT, or as a path: ./nbd://h\n" USAGE_ON);
	expect("swap on /x --mirror ram:1M", 2, "",
	       "drumctl: swap on: 'ram:1M' cannot be half of a mirror; give a path or "
	       "nbd:URI\n" USAGE_ON);
	expect("swap on ram:1M --fill", 2, "",
	       "drumctl: swap on: --fill is for regular files\n" USAGE_ON);
	expect("swap on /x --mirror nbd:nbd://h --fill", 2, "",
	       "drumctl: swap on: --fill is for regular files, and so must both halves of the "
	       "mirror be\n" USAGE_ON);
	expect("swap on /x --max-inflight 4294967296", 2, "",
	       "drumctl: swap on: --max-inflight: not a number from 0 to 4294967295: "
	       "'4294967296'\n" USAGE_ON);
	expect("swap on /x --endurance much", 2, "",
	       "drumctl: swap on: --endurance: 'much' must be a size, as 512M or 2G, or "
	       "none\n" USAGE_ON);
	expect("swap on /x --cancel", 2, "",
	       "drumctl: swap on: --cancel does not belong here\n" USAGE_ON);
	expect("swap priority /x", 2, "",
	       "drumctl: swap priority: N is missing\nUsage: drumctl swap priority PATH N\n");
	expect("swap priority", 2, "",
	       "drumctl: swap priority: PATH is missing\nUsage: drumctl swap priority PATH "
	       "N\n");
	expect("swap priority /x 32768", 2, "",
	       "drumctl: swap priority: not a priority from 0 to 32767: '32768'\n"
	       "Usage: drumctl swap priority PATH N\n");
	expect("swap mirror /x", 2, "",
	       "drumctl: swap mirror: NEW is missing\n"
	       "Usage: drumctl swap mirror PATH NEW [--force]\n");
	expect("swap set /x", 2, "", "drumctl: swap set: nothing to set\n" USAGE_SET);
	expect("swap set /x --discard --no-discard", 2, "",
	       "drumctl: swap set: --discard and --no-discard exclude each other\n" USAGE_SET);
	expect("map a --json --svg f", 2, "",
	       "drumctl: map: --json and --svg exclude each other\n"
	       "Usage: drumctl map NAME [--json] [--cells N] [--svg FILE]\n");
	expect("hist a --json --svg f", 2, "",
	       "drumctl: hist: --json and --svg exclude each other\n"
	       "Usage: drumctl hist NAME [--json] [--svg FILE]\n");
	expect("paging set", 2, "",
	       "drumctl: paging set: nothing to set\nUsage: drumctl paging set [--cluster "
	       "SIZE] "
	       "[--depth N] [--total-writes N] [--reads N] [--swblocks N] [--give-up "
	       "SECONDS] [--stall-after SECONDS] [--sample N]\n");
	expect("events --count 0", 2, "",
	       "drumctl: events: --count: not a number from 1 to 4294967295: '0'\n"
	       "Usage: drumctl events [--json] [--count N] [--follow]\n");
	expect("guest list --output NAME,FOO", 2, "",
	       "drumctl: guest list: unknown column 'FOO'; there are NAME, PID, STATE, SIZE, "
	       "RESIDENT, SWAPPED, ZERO, LIMIT, FAULTS, P50-US, P99-US, TARGET, SOME-10S, "
	       "RESERVATION, SHARES, GRANT, WHY, PRICE, WORKING-SET, USES, COLD, SOME-60S, "
	       "SOME-300S, FULL-10S, FULL-60S, FULL-300S, BALLOON, BALLOON-SIZE, PROMISED, "
	       "MONITOR\n"
	       "Usage: drumctl guest list [--json] [--bytes] [--noheadings] [--raw] [--output "
	       "COLS]\n");
	expect("stat x", 2, "",
	       "drumctl: stat: too many arguments\n"
	       "Usage: drumctl stat [--json] [--bytes]\n");
	stop_serving();
	cr_expect_str_empty(fake_host_log(host));
}

Test(drumctl, unreachable)
{
	char message[1024];

	expect("-s none stat", 3, "",
	       "drumctl: stat: cannot reach drumd at none: No such file or directory; is "
	       "drumd "
	       "running? Start it with 'drumd', or name another socket with -s\n");
	stop_serving();
	snprintf(message, sizeof(message),
		 "drumctl: guest list: cannot reach drumd at %s: Connection refused; is drumd "
		 "running? Start it with 'drumd', or name another socket with -s\n",
		 addr.sun_path);
	expect("guest list", 3, "", message);
}

/* Not the daemon, but something that says this, waits for a command, and closes. */
static void expect_from_stranger(const char *speech, const char *command, const char *message)
{
	char expected[1024];
	int fd;
	pid_t pid;

	unlink(addr.sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert(bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 && listen(fd, 1) == 0);
	pid = fork();
	if (pid == 0) {
		char heard[4096] = "";
		int client;
		ssize_t n;

		alarm(20); /* should nobody come */
		client = accept(fd, NULL, NULL);
		n = send(client, speech, strlen(speech), MSG_NOSIGNAL);

		/* whoever closes with something unread resets the connection */
		for (size_t len = 0; command && !strstr(heard, command); len += (size_t)n) {
			n = recv(client, heard + len, sizeof(heard) - 1 - len, 0);
			if (n <= 0)
				break;
		}
		_exit(0);
	}
	close(fd);
	snprintf(expected, sizeof(expected), "drumctl: stat: lost drumd at %s: %s\n",
		 addr.sun_path, message);
	expect("stat", 3, "", expected);
	waitpid(pid, NULL, 0);
}

/* It asks who answers now; the fake host is never replaced. */
Test(drumctl, daemon_reexec)
{
	fake_host_refuse(host, "daemon-reexec", -EBUSY, "drumd is stopping");
	expect("daemon reexec", 1, "", "drumctl: daemon reexec: drumd is stopping\n");
	expect("daemon reexec", 1, "",
	       "drumctl: daemon reexec: drumd " DRUM_VERSION " goes on; its log may say why\n");
	expect("daemon", 2, "",
	       "drumctl: daemon what? One of: reexec, set\nTry 'drumctl --help'.\n");
	expect("daemon reexec now", 2, "",
	       "drumctl: daemon reexec: too many arguments\nUsage: drumctl daemon reexec\n");
}

Test(drumctl, lost)
{
	stop_serving();
	expect_from_stranger("220 mail.example.org ESMTP\r\n", NULL,
			     "what listens there does not speak QMP");
	expect_from_stranger("{}\r\n", NULL, "what listens there does not speak QMP");
	expect_from_stranger("", NULL, "it closed the connection; its log may say why");
	expect_from_stranger("{\"QMP\":{}}\r\n", "qmp_capabilities",
			     "it closed the connection; its log may say why");
	expect_from_stranger("{\"QMP\":{}}\r\n{\"return\":{},\"id\":1}\r\n", "query-stats",
			     "it closed the connection; its log may say why");
	/* events and strange answers are passed over */
	expect_from_stranger("{\"QMP\":{}}\r\n{\"event\":\"X\"}\r\n{\"return\":{},\"id\":1}\r\n"
			     "{\"return\":5,\"id\":7}\r\n{\"id\":2}\r\n",
			     "query-stats", "an answer without a result");
	expect_from_stranger("{\"error\":{\"class\":\"GenericError\",\"desc\":\"Too many QMP "
			     "clients, 64 are connected\"}}\r\n",
			     NULL, "Too many QMP clients, 64 are connected");
}

Test(drumctl, tables)
{
	expect("guest list", 0, "", "");
	expect("swap list", 0, "", "");
	run("guest attach 7 --name a");
	run("guest attach 8 --name long-name --limit 64M");
	run("swap on /swap --priority 5");
	expect("guest list", 0,
	       "NAME      PID STATE   SIZE RESIDENT SWAPPED ZERO LIMIT FAULTS P50-US "
	       "P99-US TARGET SOME-10S\n"
	       "a           7 running 512M     128M    256M 128M  512M   1000   64.9  "
	       "121.0      0    0.00%\n"
	       "long-name   8 running 512M     128M    256M 128M   64M   1000   64.9  "
	       "121.0      0    0.00%\n",
	       "");
	expect("guest list --bytes", 0,
	       "NAME      PID STATE        SIZE  RESIDENT   SWAPPED      ZERO     LIMIT "
	       "FAULTS "
	       "P50-US P99-US TARGET SOME-10S\n"
	       "a           7 running 536870912 134217728 268435456 134217728 536870912  "
	       " 1000 "
	       "  64.9  121.0      0    0.00%\n"
	       "long-name   8 running 536870912 134217728 268435456 134217728  67108864  "
	       " 1000 "
	       "  64.9  121.0      0    0.00%\n",
	       "");
	expect("swap list", 0,
	       "NAME  TYPE STATE SIZE USED PRIO BAD READ WRITTEN READ-ERRORS WRITE-ERRORS\n"
	       "/swap file on      1G    0    5   0    0       0           0            0\n",
	       "");
	run("guest show long-name");
	cr_expect(code == 0 && strstr(out, "\nlimit           64M\n"), "%s", out);
	cr_expect(!strstr(out, " -\n"), "a member that the server does not give: %s", out);
	run("guest show long-name --bytes");
	cr_expect(strstr(out, "\nlimit           67108864\n"), "%s", out);
	run("stat");
	cr_expect(code == 0 && strstr(out, "\nguest RAM       1G\n"), "%s", out);
	cr_expect(strstr(out, "\nuptime s        0.0\n"), "%s", out);
	cr_expect(!strstr(out, " -\n"), "a member that the server does not give: %s", out);
}

/* As of util-linux. */
Test(drumctl, columns)
{
	run("swap on /swap -p 5");
	run("swap on /b --mirror /c --max-bandwidth 200M");
	expect("swap list --output name,PRIO,SIZE", 0,
	       "NAME  PRIO SIZE\n/swap    5   1G\n/b       0   1G\n", "");
	expect("swap list -bno SIZE", 0, "1073741824\n1073741824\n", "");
	expect("swap list --noheadings --raw --output NAME,USED,CHECKSUMS", 0,
	       "/swap 0 yes\n/b 0 yes\n", "");
	expect("swap list -no PRIO,PRIO", 0, "   5    5\n   0    0\n", "");
	expect("swap list -ro NAME,MIRROR,MAX-BANDWIDTH,RAM-USED", 0,
	       "NAME MIRROR MAX-BANDWIDTH RAM-USED\n/swap - none -\n/b /c 200M -\n", "");
	run("swap list --output +MAX-INFLIGHT");
	cr_expect(strstr(out, "NAME  TYPE   STATE SIZE") &&
			  strstr(out, "WRITE-ERRORS MAX-INFLIGHT\n"),
		  "%s", out);
	expect("swap list -J -o NAME,PRIO,MIRROR", 0,
	       "[\n  {\n    \"path\": \"/swap\",\n    \"priority\": 5\n  },\n"
	       "  {\n    \"path\": \"/b\",\n    \"priority\": 0,\n    \"mirror\": \"/c\"\n  "
	       "}\n]\n",
	       "");
	expect("guest list -no NAME", 0, "", "");
}

Test(drumctl, show_a_device)
{
	run("swap on /b --mirror /c --max-inflight 9 --discard --no-checksums");
	run("swap on ram:1M");
	run("swap show /c");
	cr_expect(code == 0, "%s", errors);
	cr_expect(strstr(out, "path          /b\ntype          mirror\nstate         on\n"
			      "half          /b\n  state       whole\n  lacking     0\n"
			      "half          /c\n"),
		  "%s", out);
	cr_expect(strstr(out, "\nmax in flight 9\nmax bandwidth none\n"), "%s", out);
	cr_expect(strstr(out, "\nchecksums     no\n") && strstr(out, "\ndiscard       yes\n"),
		  "%s", out);
	cr_expect(!strstr(out, " -\n") && !strstr(out, "RAM"), "%s", out);
	cr_expect(strstr(out, "\nendurance     none\n  written 1 d 1G\n  7 d         2G\n"
			      "  28 d        3G\n"),
		  "%s", out);
	expect("swap set /b --endurance 8G", 0, "", "");
	run("swap show /b");
	cr_expect(strstr(out, "\nendurance     8G\n  left        7G\n"), "%s", out);
	expect("swap set /b --endurance none", 0, "", "");
	expect("swap list -nro NAME,ENDURANCE,WRITTEN-1D", 0, "/b none 1G\nram:1M - -\n", "");
	run("swap show ram:1M");
	cr_expect(strstr(out, "\nRAM used    ") && !strstr(out, "half"), "%s", out);
	cr_expect(!strstr(out, "endurance"), "%s", out);
	cr_expect(!strstr(out, " -\n"), "%s", out);
}

Test(drumctl, dumps)
{
	char log[FAKE_LOG_MAX];

	expect("dump show", 0, "path      -\nsize      -\nlast dump -\n", "");
	run("guest attach 7 --name a");
	expect("dump guest a", 1, "", "drumctl: dump guest: no dump device is set\n");
	expect("dump set x --force", 0, "", "");
	expect("dump set /d", 0, "", "");
	expect("dump guest a", 0, "/d: 512M of guest a written\n", "");
	expect("dump a", 0, "/d: 512M of guest a written\n", "");
	expect("dump b", 1, "", "drumctl: dump: no guest is named 'b'\n");
	/* who is called like a verb has the long form */
	expect("dump set", 2, "",
	       "drumctl: dump set: PATH is missing\nUsage: drumctl dump set PATH [--force]\n");
	expect("dump guest off", 1, "", "drumctl: dump guest: no guest is named 'off'\n");
	expect("dump show", 0,
	       "path         /d\nsize         1G\nlast dump    a\n"
	       "  time       2001-09-09T01:46:40Z\n  complete   yes\n  bytes      512M\n"
	       "  lost pages 0\n",
	       "");
	expect("dump off", 0, "", "");
	stop_serving();
	snprintf(log, sizeof(log),
		 "guest-attach a 7;guest-dump a;dump-set %s/x force;dump-set /d;guest-dump a;"
		 "guest-dump a;guest-dump b;guest-dump off;dump-off;",
		 dir);
	cr_expect_str_eq(fake_host_log(host), log);
}

static struct json_object *run_json(const char *line, enum json_type type)
{
	struct json_object *o;

	run(line);
	cr_assert(code == 0, "%s", errors);
	o = json_tokener_parse(out);
	cr_assert(json_object_is_type(o, type), "%s: %s", line, out);
	return o;
}

Test(drumctl, json)
{
	static const char *const needed[] = { "name",	     "pid",	"size",
					      "resident",    "swapped", "zero",
					      "limit",	     "faults",	"fault-p50-us",
					      "fault-p99-us" };
	struct json_object *o, *member;
	size_t i;

	o = run_json("guest list --json", json_type_array);
	json_object_put(o);
	run("guest attach 7 --name a --limit 64M");
	run("swap on /swap");
	o = run_json("guest list --json", json_type_array);
	cr_assert(json_object_array_length(o) == 1);
	for (i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		cr_assert(json_object_object_get_ex(json_object_array_get_idx(o, 0), needed[i],
						    &member),
			  "%s", needed[i]);
		cr_expect(!strcmp(needed[i], "name") ||
			  json_object_is_type(member, json_type_int) ||
			  json_object_is_type(member, json_type_double));
	}
	json_object_put(o);
	o = run_json("guest show a --json", json_type_object);
	cr_expect(json_object_get_int64(json_object_object_get(o, "limit")) == 64 << 20);
	cr_expect(strstr(out, "\"fault-p50-us\": 64.9"), "%s", out);
	json_object_put(o);
	o = run_json("swap list --json", json_type_array);
	cr_expect(json_object_array_length(o) == 1);
	json_object_put(o);
	o = run_json("stat --json", json_type_object);
	cr_expect(json_object_get_int(json_object_object_get(o, "guests")) == 1);
	json_object_put(o);
}

Test(drumctl, full_disk)
{
	char line[8192];

	snprintf(line, sizeof(line), "%s stat >/dev/full 2>%s/errors", program, dir);
	cr_expect(WEXITSTATUS(system(line)) == 1);
	snprintf(line, sizeof(line), "%s/errors", dir);
	slurp(fopen(line, "r"), errors, sizeof(errors));
	cr_expect_str_eq(errors,
			 "drumctl: stat: cannot write the output: No space left on device\n");
	unlink(line);
}

Test(drumctl, version)
{
	stop_serving();
	expect("--version", 0, "drumctl " DRUM_VERSION "\n", "");
	expect("-V guest foo", 0, "drumctl " DRUM_VERSION "\n", "");
}

/* "  guest attach PID --name NAME" of --help, which the synopsis has just so */
static bool is_verb_line(const char *line)
{
	return line[0] == ' ' && line[1] == ' ' && islower((unsigned char)line[2]);
}

/* The man page, formatted; overstrikes undone, blanks run together. */
static char *read_manual(void)
{
	size_t len = 0, room = 1 << 20;
	char line[8192], *text = malloc(room);
	FILE *in;
	int c;

	snprintf(line, sizeof(line), "mandoc -T ascii -O width=400 '%s'", manual);
	in = popen(line, "r");
	while ((c = getc(in)) != EOF && len < room - 1) {
		if (c == '\b')
			len--;
		else if (!isspace(c))
			text[len++] = (char)c;
		else if (len == 0 || text[len - 1] != ' ')
			text[len++] = ' ';
	}
	text[len] = '\0';
	cr_assert(pclose(in) == 0, "%s", line);
	return text;
}

/* Verbs and options stand in the manual just so, and no other verbs do. */
Test(drumctl, manual)
{
	static const char synopsis[] = " drumctl [-s SOCKET] ";
	char *text, *line, *save;
	size_t verbs_told = 0, verbs_known = 0;
	const char *at;

	if (system("mandoc -T lint /dev/null >/dev/null 2>&1; test $? -ne 127") != 0)
		cr_skip_test("no mandoc");
	text = read_manual();
	run("--help");
	cr_expect(code == 0);
	for (line = strtok_r(out, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char wanted[512];

		if (is_verb_line(line)) {
			verbs_known++;
			snprintf(wanted, sizeof(wanted), " drumctl [-s SOCKET] %s ", line + 2);
			cr_expect(strstr(text, wanted), "manual lacks:%s", wanted);
		} else if (line[strspn(line, " ")] == '-') {
			char *option = strstr(line, "--");

			/* up to the description */
			*strstr(option, "  ") = '\0';
			snprintf(wanted, sizeof(wanted), " %s ", option);
			cr_expect(strstr(text, wanted), "manual lacks:%s", wanted);
		}
	}
	for (at = text; (at = strstr(at, synopsis)); at++)
		verbs_told++;
	cr_expect(verbs_told == verbs_known, "the manual's synopsis has %zu verbs, --help %zu",
		  verbs_told, verbs_known);
	free(text);
}
