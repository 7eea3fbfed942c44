/* SPDX-License-Identifier: BSD-2-Clause */
/* The verbs of disks, as drumctl is run, against the real server on a fake host. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <json-c/json.h>

#include "unit/drumctl_run.h"

#define USAGE_ADD                                                                              \
	"Usage: drumctl disk add NAME --image IMAGE [--read-only] [--socket PATH] "            \
	"[--cache MODE] [--serial SERIAL] [--guest NAME] [--no-map] [--queues N] "             \
	"[--swapcache MODE]\n"
#define X20 "xxxxxxxxxxxxxxxxxxxx"

TestSuite(drumctl_disk, .init = drumctl_setup, .fini = drumctl_teardown);

Test(drumctl_disk, tells_the_daemon)
{
	char log[FAKE_LOG_MAX];

	expect("disk add a --image /a.img", 0, "", "");
	expect("disk add b --image b.img --socket b.sock --read-only --cache writeback "
	       "--serial B-1 --guest web --no-map --queues 4 --swapcache meta",
	       0, "", "");
	expect("disk add --image nbd:nbd://h/x --socket=/run/c.sock --no-map c", 0, "", "");
	expect("disk set c --swapcache=off", 0, "", "");
	expect("disk resize a", 0, "", "");
	expect("disk remove a", 0, "", "");
	stop_serving();
	snprintf(log, sizeof(log),
		 "disk-add a /a.img socket= serial= guest= none queues=0;"
		 "disk-add b %s/b.img socket=%s/b.sock serial=B-1 guest=web writeback queues=4 "
		 "read-only unmapped swapcache=meta;"
		 "disk-add c nbd:nbd://h/x socket=/run/c.sock serial= guest= none queues=0 "
		 "unmapped;disk-set c swapcache=off;"
		 "disk-resize a;disk-remove a;",
		 dir, dir);
	cr_expect_str_eq(fake_host_log(host), log, "%s", fake_host_log(host));
}

/* Before the verb, as -s anywhere, it is the daemon's. */
Test(drumctl_disk, two_sockets)
{
	char line[512], log[FAKE_LOG_MAX];

	snprintf(line, sizeof(line), "--socket %s disk add a --image /a --socket /1",
		 addr.sun_path);
	unsetenv("DRUM_SOCKET");
	expect(line, 0, "", "");
	snprintf(line, sizeof(line), "disk add b -s %s --socket /2 --image /b", addr.sun_path);
	expect(line, 0, "", "");
	snprintf(line, sizeof(line), "disk --socket %s list -no NAME,SOCKET", addr.sun_path);
	expect(line, 0, "a    /1\nb    /2\n", "");
	snprintf(line, sizeof(line), "disk list -no NAME --sock %s", addr.sun_path);
	expect(line, 0, "a\nb\n", "");
	expect("disk --socket none add c --image /c --socket /3", 3, "",
	       "drumctl: disk add: cannot reach drumd at none: No such file or directory; is "
	       "drumd running? Start it with 'drumd', or name another socket with -s\n");
	stop_serving();
	snprintf(log, sizeof(log),
		 "disk-add a /a socket=/1 serial= guest= none queues=0;"
		 "disk-add b /b socket=/2 serial= guest= none queues=0;");
	cr_expect_str_eq(fake_host_log(host), log, "%s", fake_host_log(host));
}

Test(drumctl_disk, refusals)
{
	expect("disk show a", 1, "", "drumctl: disk show: no disk is named 'a'\n");
	expect("disk remove a", 1, "", "drumctl: disk remove: no disk is named 'a'\n");
	expect("disk set a --swapcache on", 1, "", "drumctl: disk set: no disk is named 'a'\n");
	expect("disk resize a", 1, "", "drumctl: disk resize: no disk is named 'a'\n");
	run("disk add a --image x");
	expect("disk add a --image y", 1, "",
	       "drumctl: disk add: a disk is named 'a' already\n");
	fake_host_connect(host, "a", "web", 7);
	expect("disk remove a", 1, "",
	       "drumctl: disk remove: guest 'web' is connected to disk 'a'\n");
	fake_host_warn(host, "disk-resize", "the guest looks at it when it is reset");
	expect("disk resize a", 0, "",
	       "drumctl: warning: the guest looks at it when it is reset\n");
}

Test(drumctl_disk, usage)
{
	expect("disk", 2, "",
	       "drumctl: disk what? One of: add, set, list, show, remove, resize\n"
	       "Try 'drumctl --help'.\n");
	expect("disk add a", 2, "", "drumctl: disk add: --image IMAGE is missing\n" USAGE_ADD);
	expect("disk add --image x", 2, "", "drumctl: disk add: NAME is missing\n" USAGE_ADD);
	expect("disk add a/b --image x", 2, "",
	       "drumctl: disk add: not a name: 'a/b'; it must be 1 to 63 characters of A-Z a-z "
	       "0-9 _ . -\n" USAGE_ADD);
	expect("disk add a --image=", 2, "", "drumctl: disk add: --image is empty\n" USAGE_ADD);
	expect("disk add a --image ram:1M", 2, "",
	       "drumctl: disk add: not an image: 'ram:1M'; write it as nbd:nbd://HOST/EXPORT, "
	       "or as a path: ./ram:1M\n" USAGE_ADD);
	expect("disk add a --image nbd://h/x", 2, "",
	       "drumctl: disk add: not an image: 'nbd://h/x'; write it as "
	       "nbd:nbd://HOST/EXPORT, or as a path: ./nbd://h/x\n" USAGE_ADD);
	expect("disk add a --image x --cache fast", 2, "",
	       "drumctl: disk add: --cache: 'fast' must be none, directsync, writethrough, "
	       "writeback or unsafe\n" USAGE_ADD);
	expect("disk add a --image x --serial " X20 "x", 2, "",
	       "drumctl: disk add: --serial: '" X20 "x' is not 1 to 20 characters of ASCII "
	       "that can be seen\n" USAGE_ADD);
	expect("disk add a --image x --guest a/b", 2, "",
	       "drumctl: disk add: --guest: not a name: 'a/b'; it must be 1 to 63 characters "
	       "of "
	       "A-Z a-z 0-9 _ . -\n" USAGE_ADD);
	expect("disk add a --image x --queues 0", 2, "",
	       "drumctl: disk add: --queues: not a number from 1 to 64: '0'\n" USAGE_ADD);
	expect("disk add a --image x --queues 65", 2, "",
	       "drumctl: disk add: --queues: not a number from 1 to 64: '65'\n" USAGE_ADD);
	expect("disk add a --image x --swapcache yes", 2, "",
	       "drumctl: disk add: --swapcache: 'yes' must be auto, on, meta or "
	       "off\n" USAGE_ADD);
	expect("disk set a", 2, "",
	       "drumctl: disk set: --swapcache MODE is missing\n"
	       "Usage: drumctl disk set NAME --swapcache MODE\n");
	expect("disk set a --swapcache=", 2, "",
	       "drumctl: disk set: --swapcache: '' must be auto, on, meta or off\n"
	       "Usage: drumctl disk set NAME --swapcache MODE\n");
	expect("disk add a --image x --socket /" X20 X20 X20 X20 X20 X20, 1, "",
	       "drumctl: disk add: --socket: '/" X20 X20 X20 X20 X20 X20
	       "' must be an absolute "
	       "path of at most 107 bytes\n");
	expect("disk remove a --socket x", 3, "",
	       "drumctl: disk remove: cannot reach drumd at x: No such file or directory; is "
	       "drumd running? Start it with 'drumd', or name another socket with -s\n");
	expect("disk list --read-only", 2, "",
	       "drumctl: disk list: --read-only does not belong here\n"
	       "Usage: drumctl disk list [--json] [--bytes] [--noheadings] [--raw] [--output "
	       "COLS]\n");
	stop_serving();
	cr_expect_str_empty(fake_host_log(host));
}

Test(drumctl_disk, tables)
{
	struct json_object *o, *member;

	expect("disk list", 0, "", "");
	run("disk add a --image /a.img");
	run("disk add long --image nbd:nbd://h/x --read-only --no-map --cache unsafe");
	fake_host_connect(host, "long", "web", 7);
	expect("disk list", 0,
	       "NAME STATE     GUEST SIZE READ WRITTEN ERRORS IMAGE\n"
	       "a    idle      -      20G   3M       0      0 /a.img\n"
	       "long connected web    20G   3M       0      0 nbd:nbd://h/x\n",
	       "");
	expect("disk list -bro NAME,SIZE,PID,READ-ONLY,MAP,CACHE", 0,
	       "NAME SIZE PID READ-ONLY MAP CACHE\na 21474836480 - no yes none\n"
	       "long 21474836480 7 yes no unsafe\n",
	       "");
	expect("disk list -ro NAME,SWAPCACHE,CACHED,CACHE-READ,CACHE-HIT", 0,
	       "NAME SWAPCACHE CACHED CACHE-READ CACHE-HIT\na auto 1M 2M 512K\n"
	       "long auto 1M 2M 512K\n",
	       "");
	run("disk show a");
	cr_expect(strstr(out, "\nswapcache      auto\n  cached       1M\n"
			      "  asked        2M\n  from swap    512K\n"),
		  "%s", out);
	cr_expect(code == 0 && strstr(out, "\nstate          idle\ncache          none\n"),
		  "%s", out);
	cr_expect(strstr(out, "\nread           3M\n"), "%s", out);
	cr_expect(!strstr(out, " -\n"), "a member that the server does not give: %s", out);
	run("disk show long");
	cr_expect(strstr(out, "\nstate          connected\n  guest        web\n"
			      "  pid          7\n"),
		  "%s", out);
	run("disk show long --json");
	o = json_tokener_parse(out);
	cr_expect(json_object_object_get_ex(o, "guest", &member) &&
			  !strcmp(json_object_get_string(member), "web"),
		  "%s", out);
	json_object_put(o);
	run("disk list -J -o NAME,SIZE");
	o = json_tokener_parse(out);
	cr_expect(json_object_array_length(o) == 2, "%s", out);
	json_object_put(o);
}
