/* SPDX-License-Identifier: BSD-2-Clause */
/* Guests' terms and the host's memory, as drumctl is run, on a fake host and manager. */
#include <string.h>

#include "unit/drumctl_run.h"

#define SETTINGS                                                                               \
	" [--limit SIZE] [--reservation SIZE] [--shares N] [--qmp SOCKET] [--balloon ID] "     \
	"[--domain NAME]"
#define USAGE_ADMIT                                                                            \
	"Usage: drumctl guest admit NAME --memory SIZE [--json] [--bytes]" SETTINGS            \
	" [--dry-run]\n"
#define USAGE_SET "Usage: drumctl guest set NAME" SETTINGS "\n"
#define USAGE_HOST                                                                             \
	"Usage: drumctl host set [--budget SIZE] [--idle-tax PERCENT] [--stall-target "        \
	"PERCENT]\n"

TestSuite(drumctl_guest, .init = drumctl_setup, .fini = drumctl_teardown);

Test(drumctl_guest, tells_the_daemon)
{
	expect("guest admit a --memory 2G --reservation 512M --limit 1G --shares 9 "
	       "--domain d --balloon b0",
	       0, "", "");
	expect("guest release a", 0, "", "");
	expect("guest release a", 1, "", "drumctl: guest release: no guest is named 'a'\n");
	expect("guest attach 7 --name b --qmp /run/b.qmp", 0, "", "");
	expect("guest set b --limit none --reservation none", 0, "", "");
	expect("guest set b --qmp none --balloon none --domain d", 0, "", "");
	expect("guest set b --shares 1000000000", 0, "", "");
	expect("guest admit c --memory 8G --reservation 8G", 1, "",
	       "drumctl: guest admit: guest c: it does not fit\n");
	stop_serving();
	cr_expect_str_eq(fake_manager_log(manager),
			 "a limit=1073741824 reservation=536870912 shares=9 balloon=b0 "
			 "domain=d;b qmp=/run/b.qmp;b limit=0 reservation=0;"
			 "b qmp= balloon= domain=d;b shares=1000000000;",
			 "%s", fake_manager_log(manager));
}

/* Before the daemon is asked. */
Test(drumctl_guest, usage)
{
#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define SET "drumctl: guest set: "
	stop_serving();
	expect("guest admit a", 2, "",
	       "drumctl: guest admit: --memory SIZE is missing\n" USAGE_ADMIT);
	expect("guest admit a --memory 0", 2, "",
	       "drumctl: guest admit: --memory: a guest has some RAM\n" USAGE_ADMIT);
	expect("guest admit a --memory 1G --limit 2G", 2, "",
	       "drumctl: guest admit: --limit of 2G is more than --memory, 1G\n" USAGE_ADMIT);
	expect("guest admit a --memory 1G --reservation 2G", 2, "",
	       "drumctl: guest admit: --reservation of 2G is more than --memory, "
	       "1G\n" USAGE_ADMIT);
	expect("guest set a --reservation 1.5G --limit 1G", 2, "",
	       SET "--reservation of 1.5G is more than --limit, 1G\n" USAGE_SET);
	expect("guest set a", 2, "", SET "nothing to set\n" USAGE_SET);
	expect("guest set a --shares 0", 2, "",
	       SET "--shares: not a number from 1 to 1000000000: '0'\n" USAGE_SET);
	expect("guest set a --qmp run/qmp", 2, "",
	       SET "--qmp: 'run/qmp' must be an absolute path of at most 107 bytes, or "
		   "none\n" USAGE_SET);
	expect("guest set a --qmp /" X50 X50 "1234567", 2, "",
	       SET "--qmp: '/" X50 X50 "1234567' must be an absolute path of at most 107 "
		   "bytes, or none\n" USAGE_SET);
	expect("guest set a --qmp /q --domain d", 2, "",
	       SET "--qmp and --domain exclude each other: libvirt owns the monitor of its "
		   "domains\n" USAGE_SET);
	expect("guest set a --domain " X50 "12345678901234", 2, "",
	       SET "--domain: '" X50 "12345678901234' must be at most 63 bytes without control "
		   "characters, or none\n" USAGE_SET);
	expect("guest set a --memory 1G", 2, "",
	       SET "--memory does not belong here\n" USAGE_SET);
	expect("host set", 2, "", "drumctl: host set: nothing to set\n" USAGE_HOST);
	expect("host set --budget much", 2, "",
	       "drumctl: host set: --budget: 'much' must be a size, as 512M or 2G, or "
	       "none\n" USAGE_HOST);
	expect("host set --idle-tax 0.5", 2, "",
	       "drumctl: host set: --idle-tax: '0.5' must be a whole number of percent from 0 "
	       "to 99\n" USAGE_HOST);
	expect("host set --idle-tax 100", 2, "",
	       "drumctl: host set: --idle-tax: '100' must be a whole number of percent from 0 "
	       "to 99\n" USAGE_HOST);
	expect("host set --stall-target 0.00001", 2, "",
	       "drumctl: host set: --stall-target: '0.00001' must be percent from 0 to 100 "
	       "with "
	       "at most four decimals, as 0.1\n" USAGE_HOST);
	expect("explain", 2, "",
	       "drumctl: explain: NAME is missing\nUsage: drumctl explain NAME [--json]\n");
}

Test(drumctl_guest, host)
{
	expect("host set --budget 5G --idle-tax 50% --stall-target 0.25", 0, "", "");
	expect("host show", 0,
	       "budget          5G\nlevel           soft\nused            3G\n"
	       "free            1G\nprice           20480\nidle tax %      50\n"
	       "stall target    0.25%\nguest RAM       6G\nreserved        1G\n"
	       "headroom        3G\novercommit      1.50\npromised swap   2G\n"
	       "  free for more 7G\nhost RAM        8G\n  available     5G\n"
	       "pressure, some  1.23%\n  full          0.45%\n"
	       "stalls, some    0.25%\n  full          0.01%\n"
	       "rounds          77\nround us        123.5\n",
	       "");
	run("stat");
	cr_expect(strstr(out, "\nhost budget     5G\n  level         soft\n  used          3G\n"
			      "  free          1G\n  reserved      1G\n  headroom      3G\n"
			      "  overcommit    1.50\npromised swap   2G\n  free for more 7G\n"),
		  "%s", out);
	expect("host set --budget none", 0, "", "");
	run("stat");
	cr_expect(strstr(out, "\nhost budget     none\n  level         off\n"), "%s", out);
	cr_expect(!strstr(out, "overcommit"), "%s", out);
}

Test(drumctl_guest, what_an_admission_would_be)
{
	expect("guest admit a --memory 2G --reservation 512M --dry-run", 0,
	       "admitted      yes\nmemory        2G\nreservation   512M\n"
	       "headroom      4G\npromised swap 1.5G\nfree swap     7G\n",
	       "");
	expect("guest admit a --memory 8G --reservation 8G --dry-run --bytes", 1,
	       "admitted      no\nreason        guest a: it does not fit\n"
	       "memory        8589934592\nreservation   8589934592\n"
	       "headroom      4294967296\npromised swap 0\nfree swap     7516192768\n",
	       "drumctl: guest admit: guest a: it does not fit\n");
	expect("guest admit a --memory 8G --reservation 8G --dry-run --json", 1,
	       "{\n"
	       "  \"admitted\": false,\n"
	       "  \"memory\": 8589934592,\n"
	       "  \"reservation\": 8589934592,\n"
	       "  \"headroom\": 4294967296,\n"
	       "  \"promised-swap\": 0,\n"
	       "  \"free-swap\": 7516192768,\n"
	       "  \"reason\": \"guest a: it does not fit\"\n"
	       "}\n",
	       "drumctl: guest admit: guest a: it does not fit\n");
	stop_serving();
	cr_expect_str_empty(fake_manager_log(manager));
}

Test(drumctl_guest, columns)
{
	struct manager_guest g = { .attached = true,
				   .terms = { .reservation = 1 << 28, .shares = 9 },
				   .target = 1 << 27,
				   .why = ARBITER_PRICE,
				   .some = { 1234, 500, 10 },
				   .monitor = "up",
				   .balloon = "idle" };

	run("guest attach 7 --name a");
	run("guest admit b --memory 1G");
	fake_manager_show(manager, "a", &g);
	expect("guest list -nro "
	       "NAME,STATE,TARGET,SOME-10S,RESERVATION,SHARES,WHY,BALLOON,FULL-10S",
	       0,
	       "a running 128M 0.12% 256M 9 price idle -\n"
	       "b admitted 0 0.00% 0 0 off absent -\n",
	       "");
	run("guest show a");
	cr_expect(strstr(out, "\nreservation     256M\nshares          9\n"), "%s", out);
	cr_expect(strstr(out, "\nstalls, some    0.12%\n  of 60 s       0.05%\n"), "%s", out);
	cr_expect(!strstr(out, "stalls, full"), "%s", out);
}

Test(drumctl_guest, explain)
{
	run("guest attach 7 --name a");
	expect("explain a", 0,
	       "Memory\n"
	       "    Of its 2G of RAM 1.1G are in memory and 512M on swap; 410M were never\n"
	       "    used, given back, or all zero. It is due 1G: what its 20480 shares buy.\n"
	       "\n"
	       "Stalls\n"
	       "    Some vCPU waited for a fault 0.12 % of the last 10 seconds, 0.05 %\n"
	       "\n"
	       "news\n"
	       "    Later daemons may know more.\n",
	       "");
	run("explain a --json");
	cr_expect(strstr(out, "\"topic\": \"stalls\""), "%s", out);
	expect("explain b", 1, "", "drumctl: explain: no guest is named 'b'\n");
}
