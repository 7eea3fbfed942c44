/* SPDX-License-Identifier: BSD-2-Clause */
/* The verbs of the swapcache, as drumctl is run, against the real server on a fake host. */
#include <string.h>

#include <json-c/json.h>

#include "unit/drumctl_run.h"

#define USAGE_SET "Usage: drumctl swapcache set KNOB=VALUE ...\n"
#define KNOBS                                                                                  \
	"read_enable, data_enable, meta_enable, fill_enable, use_chflags, maxfilesize, "       \
	"maxswappct, minburst, curburst, maxburst, accrate, min_hysteresis, hysteresis, "      \
	"maxscan, maxlaunder, cleanperobj, write_count"

TestSuite(drumctl_swapcache, .init = drumctl_setup, .fini = drumctl_teardown);

static void expect_line(const char *title, const char *text)
{
	char wanted[256];

	snprintf(wanted, sizeof(wanted), "\n%-14s %s\n", title, text);
	cr_expect(strstr(out, wanted), "no '%s %s' in %s", title, text, out);
}

Test(drumctl_swapcache, page)
{
	run("swap on /dev/x --endurance 8G");
	run("swap on /b");
	run("swap on ram:1M");
	expect("swapcache show", 0,
	       "state          writing (blocks are put on swap)\n"
	       "burst          bursting (it writes until curburst is used up)\n"
	       "swap used      3G of 7.5G (75% of 10G)\n"
	       "  cached       2.5G\n"
	       "read           8G\n"
	       "  from swap    7G (87.5%)\n"
	       "image reads    100000\n"
	       "  saved        90000 (90.0%)\n"
	       "put            4G\n"
	       "cleaned        1G\n"
	       "invalidated    512M\n"
	       "read errors    3\n"
	       "  checksum     2\n"
	       "write errors   1\n"
	       "passes         77\n"
	       "device 1       /dev/x: 1G in 1 day, 2G in 7, 3G in 28; 8G a day, 7G left by 1 "
	       "day\n"
	       "device 2       /b: 1G in 1 day, 2G in 7, 3G in 28; no budget\n"
	       "read_enable    on\n"
	       "data_enable    off\n"
	       "meta_enable    off\n"
	       "fill_enable    off\n"
	       "use_chflags    off\n"
	       "maxfilesize    0\n"
	       "maxswappct     75\n"
	       "minburst       9.5M\n"
	       "curburst       3.7G\n"
	       "maxburst       1.9G\n"
	       "accrate        97.7K\n"
	       "min_hysteresis 1024\n"
	       "hysteresis     1024\n"
	       "maxscan        8192\n"
	       "maxlaunder     4096\n"
	       "cleanperobj    16M\n"
	       "write_count    0\n",
	       "");
	run("swapcache show --bytes");
	expect_line("swap used", "3221225472 of 8053063680 (75% of 10737418240)");
	expect_line("  from swap", "7516192768 (87.5%)");
	expect_line("accrate", "100000");
	expect_line("read_enable", "on");
	expect_line("device 2",
		    "/b: 1073741824 in 1 day, 2147483648 in 7, 3221225472 in 28; no budget");
}

Test(drumctl_swapcache, page_of_nothing)
{
	struct swapcache_stats s = { .state = "off", .burst = "recovering", .reads = 10 };

	fake_host_swapcache(host, &s);
	run("swapcache show");
	cr_expect(strstr(out, "state          off (nothing is put on swap: data_enable and "
			      "meta_enable are off)\n"
			      "burst          recovering (it waits until curburst is above "
			      "minburst)\n"
			      "swap used      0 of 0 (0% of 0)\n"),
		  "%s", out);
	expect_line("  from swap", "0");
	expect_line("  saved", "0 (0.0%)");
}

Test(drumctl_swapcache, json)
{
	struct json_object *o, *v;

	run("swap on /b --endurance 2G");
	run("swapcache show --json");
	o = json_tokener_parse(out);
	cr_assert(json_object_is_type(o, json_type_object), "%s", out);
	cr_expect(json_pointer_get(o, "/knobs/accrate", &v) == 0 &&
		  json_object_get_int(v) == 100000);
	cr_expect(json_pointer_get(o, "/devices/0/left", &v) == 0 &&
		  json_object_get_int64(v) == 1 << 30);
	cr_expect(json_pointer_get(o, "/saved-reads", &v) == 0 &&
		  json_object_get_int(v) == 90000);
	json_object_put(o);
}

Test(drumctl_swapcache, set)
{
	expect("swapcache set accrate=200K", 0, "", "");
	expect("swapcache set data_enable=on meta-enable=yes maxswappct=50 cleanperobj=1.5M", 0,
	       "", "");
	run("swapcache show");
	expect_line("accrate", "200K");
	expect_line("data_enable", "on");
	expect_line("meta_enable", "on");
	expect_line("fill_enable", "off");
	expect_line("maxswappct", "50");
	expect_line("cleanperobj", "1.5M");
	expect("swapcache set data_enable=off write_count=0", 0, "", "");
	run("swapcache show");
	expect_line("data_enable", "off");
}

/* Before the daemon is asked. */
Test(drumctl_swapcache, usage)
{
	stop_serving();
	expect("swapcache", 2, "",
	       "drumctl: swapcache what? One of: show, set\nTry 'drumctl --help'.\n");
	expect("swapcache set", 2, "",
	       "drumctl: swapcache set: KNOB=VALUE ... is missing\n" USAGE_SET);
	expect("swapcache set accrate", 2, "",
	       "drumctl: swapcache set: not KNOB=VALUE: 'accrate'\n" USAGE_SET);
	expect("swapcache set speed=1", 2, "",
	       "drumctl: swapcache set: unknown knob 'speed'; there are " KNOBS "\n" USAGE_SET);
	expect("swapcache set =1", 2, "",
	       "drumctl: swapcache set: unknown knob ''; there are " KNOBS "\n" USAGE_SET);
	expect("swapcache set min_hysteresis_of_all_that_there_are=1", 2, "",
	       "drumctl: swapcache set: unknown knob 'min_hysteresis_of_all_that_ther'; there "
	       "are " KNOBS "\n" USAGE_SET);
	expect("swapcache set data_enable=on data-enable=on", 2, "",
	       "drumctl: swapcache set: data_enable is given twice\n" USAGE_SET);
	expect("swapcache set data_enable=on accrate=1 maxswappct=5", 2, "",
	       "drumctl: swapcache set: accrate is '1', but must be bytes a second from 1K to "
	       "64G, as 200K\n" USAGE_SET);
	expect("swapcache set maxscan=8K", 2, "",
	       "drumctl: swapcache set: maxscan is '8K', but must be a number of pages from 16 "
	       "to 1048576\n" USAGE_SET);
	expect("swapcache set hysteresis=1", 2, "",
	       "drumctl: swapcache set: hysteresis is '1', but must be left to the daemon: set "
	       "min_hysteresis\n" USAGE_SET);
	expect("swapcache set read_enable=", 2, "",
	       "drumctl: swapcache set: read_enable is '', but must be on or off\n" USAGE_SET);
	expect("swapcache show accrate", 2, "",
	       "drumctl: swapcache show: too many arguments\n"
	       "Usage: drumctl swapcache show [--json] [--bytes]\n");
	expect("swapcache set accrate=1K --bytes", 2, "",
	       "drumctl: swapcache set: --bytes does not belong here\n" USAGE_SET);
}
