/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "control/query.h"
#include "unit/command_run.h"

TestSuite(commands, .init = setup, .fini = teardown);

#define DEVICE "an absolute path of at most 1023 bytes or nbd:URI, as nbd:nbd://HOST/EXPORT"
#define PATH   "Parameter 'path' expects " DEVICE ", or ram:SIZE"

static const struct {
	const char *command, *args, *message;
} refusals[] = {
	{ "qmp_capabilities", "{'enable':1}",
	  "Invalid parameter type for 'enable', expected: array" },
	{ "qmp_capabilities", "{'enable':[1]}",
	  "Invalid parameter type for 'enable[0]', expected: string" },
	{ "qmp_capabilities", "{'enable':['oob']}",
	  "Parameter 'enable[0]' does not accept value 'oob'" },
	{ "query-version", "{'x':1}", "Parameter 'x' is unexpected" },
	{ "swap-on", NULL, "Parameter 'path' is missing" },
	{ "swap-on", "{}", "Parameter 'path' is missing" },
	{ "swap-on", "{'priority':1}", "Parameter 'path' is missing" },
	{ "swap-on", "{'path':1}", "Invalid parameter type for 'path', expected: string" },
	{ "swap-on", "{'path':null}", "Invalid parameter type for 'path', expected: string" },
	{ "swap-on", "{'path':''}", PATH },
	{ "swap-on", "{'path':'swap'}", PATH },
	{ "swap-on", "{'path':'/a\\u0000b'}", PATH },
	{ "swap-on", "{'path':'/a','priority':'1'}",
	  "Invalid parameter type for 'priority', expected: integer" },
	{ "swap-on", "{'path':'/a','priority':1.0}",
	  "Invalid parameter type for 'priority', expected: integer" },
	{ "swap-on", "{'path':'/a','priority':-1}",
	  "Parameter 'priority' expects a priority, 0 to 32767" },
	{ "swap-on", "{'path':'/a','priority':32768}",
	  "Parameter 'priority' expects a priority, 0 to 32767" },
	{ "swap-on", "{'path':'/a','prio':1}", "Parameter 'prio' is unexpected" },
	{ "swap-on", "{'path':'ram:'}", PATH },
	{ "swap-on", "{'path':'ram:0'}", PATH },
	{ "swap-on", "{'path':'ram:5Q'}", PATH },
	{ "swap-on", "{'path':'nbd:'}", PATH },
	{ "swap-on", "{'path':'nbd:x'}", PATH },
	{ "swap-on", "{'path':'nbd://host'}", PATH },
	{ "swap-on", "{'path':'/a','mirror':'b'}", "Parameter 'mirror' expects " DEVICE },
	{ "swap-on", "{'path':'/a','mirror':'ram:1M'}", "Parameter 'mirror' expects " DEVICE },
	{ "swap-on", "{'path':'/a','mirror':1}",
	  "Invalid parameter type for 'mirror', expected: string" },
	{ "swap-on", "{'path':'/a','force':1}",
	  "Invalid parameter type for 'force', expected: boolean" },
	{ "swap-on", "{'path':'/a','discard':'true'}",
	  "Invalid parameter type for 'discard', expected: boolean" },
	{ "swap-on", "{'path':'/a','checksums':null}",
	  "Invalid parameter type for 'checksums', expected: boolean" },
	{ "swap-on", "{'path':'/a','max-inflight':-1}",
	  "Parameter 'max-inflight' expects a number from 0 to 4294967295" },
	{ "swap-on", "{'path':'/a','max-inflight':4294967296}",
	  "Parameter 'max-inflight' expects a number from 0 to 4294967295" },
	{ "swap-on", "{'path':'/a','max-bandwidth':-1}",
	  "Parameter 'max-bandwidth' expects a number of bytes, not below zero" },
	{ "swap-on", "{'path':'/a','endurance':-1}",
	  "Parameter 'endurance' expects a number of bytes, not below zero" },
	{ "swap-set", "{'path':'/a','endurance':'none'}",
	  "Invalid parameter type for 'endurance', expected: integer" },
	{ "swap-off", "{}", "Parameter 'path' is missing" },
	{ "swap-off", "{'path':'x'}", PATH },
	{ "swap-off-cancel", "{}", "Parameter 'path' is missing" },
	{ "swap-set", "{'priority':1}", "Parameter 'path' is missing" },
	{ "swap-set", "{'path':'/a','priority':32768}",
	  "Parameter 'priority' expects a priority, 0 to 32767" },
	{ "swap-set-priority", "{'path':'/a'}", "Parameter 'priority' is missing" },
	{ "swap-resize", "{}", "Parameter 'path' is missing" },
	{ "swap-mirror", "{'path':'/a'}", "Parameter 'fresh' is missing" },
	{ "swap-mirror", "{'path':'/a','fresh':'ram:1M'}",
	  "Parameter 'fresh' expects " DEVICE },
	{ "paging-set", "{'depth':-1}",
	  "Parameter 'depth' expects a number from 0 to 4294967295" },
	{ "paging-set", "{'speed':1}", "Parameter 'speed' is unexpected" },
	{ "dump-set", "{}", "Parameter 'path' is missing" },
	{ "dump-set", "{'path':'x'}", PATH },
	{ "dump-set", "{'path':'/a','force':1}",
	  "Invalid parameter type for 'force', expected: boolean" },
	{ "dump-off", "{'path':'/a'}", "Parameter 'path' is unexpected" },
	{ "guest-dump", "{}", "Parameter 'name' is missing" },
	{ "guest-dump", "{'name':'a b'}",
	  "Parameter 'name' expects 1 to 63 characters of A-Z a-z 0-9 _ . -" },
	{ "guest-attach", "{'name':'a'}", "Parameter 'pid' is missing" },
	{ "guest-attach", "{'pid':1}", "Parameter 'name' is missing" },
	{ "guest-attach", "{'pid':true,'name':'a'}",
	  "Invalid parameter type for 'pid', expected: integer" },
	{ "guest-attach", "{'pid':0,'name':'a'}",
	  "Parameter 'pid' expects a process id, 1 to 2147483647" },
	{ "guest-attach", "{'pid':2147483648,'name':'a'}",
	  "Parameter 'pid' expects a process id, 1 to 2147483647" },
	{ "guest-attach", "{'pid':18446744073709551615,'name':'a'}",
	  "Parameter 'pid' expects a process id, 1 to 2147483647" },
	{ "guest-attach", "{'pid':1,'name':['a']}",
	  "Invalid parameter type for 'name', expected: string" },
	{ "guest-attach", "{'pid':1,'name':''}",
	  "Parameter 'name' expects 1 to 63 characters of A-Z a-z 0-9 _ . -" },
	{ "guest-attach", "{'pid':1,'name':'a/b'}",
	  "Parameter 'name' expects 1 to 63 characters of A-Z a-z 0-9 _ . -" },
	{ "guest-attach", "{'pid':1,'name':'a\\u0000b'}",
	  "Parameter 'name' expects 1 to 63 characters of A-Z a-z 0-9 _ . -" },
	{ "guest-attach",
	  "{'pid':1,'name':'a123456789012345678901234567890123456789012345678901234567890123'"
	  "}",
	  "Parameter 'name' expects 1 to 63 characters of A-Z a-z 0-9 _ . -" },
	{ "guest-attach", "{'pid':1,'name':'a','limit':'512M'}",
	  "Invalid parameter type for 'limit', expected: integer" },
	{ "guest-attach", "{'pid':1,'name':'a','limit':-1}",
	  "Parameter 'limit' expects a number of bytes, not below zero" },
	{ "guest-detach", "{}", "Parameter 'name' is missing" },
	{ "query-guests", "{'name':{}}",
	  "Invalid parameter type for 'name', expected: string" },
	{ "guest-set", "{'limit':1}", "Parameter 'name' is missing" },
	{ "guest-set", "{'name':'a','limit':null}",
	  "Invalid parameter type for 'limit', expected: integer" },
	{ "guest-out", "{'name':'a','x':1}", "Parameter 'x' is unexpected" },
	{ "guest-in", "{'id':'a'}", "Parameter 'name' is missing" },
};

Test(commands, wrong_arguments)
{
	union command_value values[COMMAND_ARGS_MAX];
	bool given[COMMAND_ARGS_MAX];
	struct err e;
	size_t i;

	for (i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		struct json_object *o =
			refusals[i].args ? json_tokener_parse(refusals[i].args) : NULL;
		const struct command *c = command_find(refusals[i].command);
		int rc = command_check(c, o, values, given, &e);

		cr_expect(rc == -EINVAL && e.code == -EINVAL, "case %zu", i);
		cr_expect_str_eq(e.text, refusals[i].message, "case %zu: %s", i, e.text);
		json_object_put(o);
		if (!c->run)
			continue;
		run(refusals[i].command, refusals[i].args);
		expect_refused(-EINVAL, refusals[i].message);
	}
	cr_expect_str_empty(fake_host_log(host), "nothing of it reached the host");
}

Test(commands, longest_arguments)
{
	char args[SWAP_PATH_MAX + 64], path[SWAP_PATH_MAX + 2] = "/";

	memset(path + 1, 'x', SWAP_PATH_MAX);
	snprintf(args, sizeof(args), "{'path':'%s'}", path);
	run("swap-on", args);
	expect_refused(-EINVAL, PATH);
	path[SWAP_PATH_MAX] = '\0';
	snprintf(args, sizeof(args), "{'path':'%s'}", path);
	run("swap-on", args);
	expect_result("{}");
	run("swap-on", "{'path':'/a','max-inflight':4294967295,"
		       "'max-bandwidth':18446744073709551615}");
	expect_result("{}");
	cr_expect(strstr(fake_host_log(host),
			 "/a 0 inflight=4294967295 bandwidth=18446744073709551615;"));

	run("guest-attach", "{'pid':2147483647,'name':'a'}");
	expect_refused(-ESRCH, "no such process: 2147483647");
	run("guest-attach", "{'pid':1,'name':'A-Za.z_"
			    "0123456789012345678901234567890123456789012345678901234'}");
	expect_result("{}");
	run("guest-set",
	    "{'name':'A-Za.z_0123456789012345678901234567890123456789012345678901234',"
	    "'limit':18446744073709551615}");
	expect_result("{}");
	cr_expect(strstr(fake_host_log(host), " 18446744073709551615;"));
}

Test(commands, each_reaches_the_host)
{
	run("swap-on", "{'path':'/swap'}");
	expect_result("{}");
	run("swap-on", "{'path':'/dev/x','priority':7}");
	expect_result("{}");
	run("guest-attach", "{'pid':7,'name':'a'}");
	expect_result("{}");
	run("guest-set", "{'name':'a','limit':2097152}");
	expect_result("{}");
	run("guest-out", "{'name':'a'}");
	expect_result("{}");
	run("guest-in", "{'name':'a'}");
	expect_result("{}");
	run("guest-detach", "{'name':'a'}");
	expect_result("{}");
	cr_expect_str_eq(fake_host_log(host),
			 "swap-on /swap 0;swap-on /dev/x 7;guest-attach a 7;"
			 "guest-set a 2097152;guest-out a;guest-in a;guest-detach a;");
	run("guest-out", "{'name':'a'}");
	expect_refused(-ENOENT, "no guest is named 'a'");
}

Test(commands, swap_devices)
{
	run("swap-on", "{'path':'ram:512M','priority':20}");
	expect_result("{}");
	run("swap-on", "{'path':'nbd:nbd+unix:///x?socket=/s','checksums':false,'force':true}");
	expect_result("{}");
	run("swap-on", "{'path':'/a','mirror':'/b','priority':5,'force':false,'discard':true,"
		       "'checksums':true,'max-inflight':32,'max-bandwidth':1048576}");
	expect_result("{}");
	run("swap-set", "{'path':'/a','priority':0,'discard':false}");
	expect_result("{}");
	run("swap-set", "{'path':'/a','max-inflight':0,'max-bandwidth':0}");
	expect_result("{}");
	run("swap-set-priority", "{'path':'ram:512M','priority':9}");
	expect_result("{}");
	run("swap-resize", "{'path':'/a'}");
	expect_result("{}");
	run("swap-mirror", "{'path':'/a','fresh':'/c','force':true}");
	expect_result("{}");
	run("swap-mirror", "{'path':'/a','fresh':'nbd:nbd://h'}");
	expect_result("{}");
	run("swap-off", "{'path':'ram:512M'}");
	expect_result("{}");
	cr_expect_str_eq(fake_host_log(host),
			 "swap-on ram:512M 20;"
			 "swap-on nbd:nbd+unix:///x?socket=/s 0 unsummed force;"
			 "swap-on /a+/b 5 inflight=32 bandwidth=1048576 discard=1;"
			 "swap-set /a 0 discard=0;swap-set /a inflight=0 bandwidth=0;"
			 "swap-set ram:512M 9;swap-resize /a;swap-mirror /a+/c force;"
			 "swap-mirror /a+nbd:nbd://h;swap-off ram:512M;",
			 "%s", fake_host_log(host));
	run("swap-off", "{'path':'ram:512M'}");
	expect_refused(-ENOENT, "no swap device is named ram:512M");
	run("swap-set", "{'path':'/a'}");
	expect_refused(-EINVAL, "nothing to set, give priority, max-inflight, max-bandwidth, "
				"discard or endurance");
}

Test(commands, endurance)
{
	run("swap-on", "{'path':'/a','endurance':85899345920}");
	expect_result("{}");
	run("swap-on", "{'path':'/b'}");
	run("swap-on", "{'path':'ram:1M'}");
	run("query-swap-devices", NULL);
	cr_expect(strstr(got.result, "\"endurance\":85899345920,\"written-1d\":1073741824,"
				     "\"written-7d\":2147483648,\"written-28d\":3221225472,"
				     "\"endurance-left\":84825604096,"),
		  "%s", got.result);
	/* without a budget there is nothing left of it */
	cr_expect(strstr(got.result, "\"endurance\":0,\"written-1d\":1073741824,"
				     "\"written-7d\":2147483648,\"written-28d\":3221225472,"
				     "\"halves\":[]},{\"path\":\"ram:1M\""),
		  "%s", got.result);
	run("swap-set", "{'path':'/a','endurance':0}");
	expect_result("{}");
	run("swap-set", "{'path':'/b','endurance':5,'priority':1}");
	expect_result("{}");
	cr_expect_str_eq(fake_host_log(host),
			 "swap-on /a 0 endurance=85899345920;swap-on /b 0;swap-on ram:1M 0;"
			 "swap-set /a endurance=0;swap-set /b 1 endurance=5;",
			 "%s", fake_host_log(host));
}

Test(commands, dumps)
{
	run("query-dump", NULL);
	expect_result("{}");
	run("guest-attach", "{'pid':7,'name':'a'}");
	run("guest-dump", "{'name':'a'}");
	expect_refused(-ENOENT, "no dump device is set");
	run("dump-set", "{'path':'/d','force':true}");
	expect_result("{}");
	run("query-dump", NULL);
	expect_result("{\"path\":\"/d\",\"size\":1073741824}");
	run("dump-set", "{'path':'/e'}");
	fake_host_warn(host, "guest-dump", "3 pages could not be read");
	run("guest-dump", "{'name':'a'}");
	expect_result("{\"warning\":\"3 pages could not be read\"}");
	run("query-dump", NULL);
	expect_result("{\"path\":\"/e\",\"size\":1073741824,\"last\":{\"guest\":\"a\","
		      "\"complete\":true,\"bytes\":536870912,\"lost\":0,"
		      "\"time\":\"2001-09-09T01:46:40Z\"}}");
	run("guest-dump", "{'name':'b'}");
	expect_refused(-ENOENT, "no guest is named 'b'");
	run("dump-off", NULL);
	expect_result("{}");
	run("query-dump", NULL);
	expect_result("{}");
	cr_expect_str_eq(fake_host_log(host),
			 "guest-attach a 7;guest-dump a;dump-set /d force;dump-set /e;"
			 "guest-dump a;guest-dump b;dump-off;",
			 "%s", fake_host_log(host));
}

Test(commands, a_warning_is_a_result)
{
	fake_host_warn(host, "swap-on", "/a is on tmpfs, which is RAM");
	run("swap-on", "{'path':'/a'}");
	expect_result("{\"warning\":\"/a is on tmpfs, which is RAM\"}");
}

Test(commands, swap_off_is_answered_at_its_end)
{
	fake_host_slow_off(host, FAKE_SWAP_USED / 2);
	run("swap-on", "{'path':'/a'}");
	start("swap-off", "{'path':'/a'}");
	fake_host_complete(host);
	cr_expect(got.answers == 0);
	run("swap-off-cancel", "{'path':'/b'}");
	expect_refused(-ENOENT, "no swap device is named /b");
	run("query-swap-devices", NULL);
	cr_expect(strstr(got.result, "\"state\":\"removing\""), "%s", got.result);
	cr_expect(strstr(got.result, "\"to-move\":67108864,\"moved\":0,"), "%s", got.result);
	run("query-swap-devices", NULL);
	cr_expect(strstr(got.result, "\"to-move\":67108864,\"moved\":33554432,"), "%s",
		  got.result);
}

Test(commands, swap_off_cancelled)
{
	fake_host_slow_off(host, 0);
	run("swap-on", "{'path':'/a'}");
	run("swap-off-cancel", "{'path':'/a'}");
	expect_refused(-ENOENT, "/a is not being switched off");
	start("swap-off", "{'path':'/a'}");
	fake_host_complete(host);
	cr_expect(got.answers == 0);
	start("swap-off-cancel", "{'path':'/a'}");
	fake_host_complete(host);
	/* one each: of the two commands */
	cr_expect(got.answers == 2 && got.code == 0);
	run("query-swap-devices", NULL);
	cr_expect(strstr(got.result, "\"state\":\"on\""), "%s", got.result);
}

Test(commands, paging)
{
	run("query-paging", NULL);
	expect_result("{\"cluster\":65536,\"depth\":8,\"total-writes\":64,\"reads\":8,"
		      "\"swblocks\":1048576,\"give-up\":30,\"stall-after\":20,\"sample\":256}");
	run("paging-set", "{'depth':32}");
	expect_result("{}");
	run("paging-set", "{'cluster':1048576,'total-writes':1,'reads':24,'swblocks':2048,'"
			  "give-up':60,'stall-after':5,'sample':0}");
	expect_result("{}");
	run("query-paging", NULL);
	expect_result("{\"cluster\":1048576,\"depth\":32,\"total-writes\":1,\"reads\":24,"
		      "\"swblocks\":2048,\"give-up\":60,\"stall-after\":5,\"sample\":0}");
	run("paging-set", "{'depth':33}");
	expect_refused(-EINVAL, "a depth of 33 is out of range");
	/* not 4096 modulo 2^32 */
	run("paging-set", "{'cluster':4294971392}");
	expect_refused(-EINVAL, "Parameter 'cluster' expects 4096 to 1048576 bytes");
	run("paging-set", NULL);
	expect_refused(-EINVAL, "nothing to set, give cluster, depth, total-writes, reads, "
				"swblocks, give-up, stall-after or sample");
	run("query-paging", NULL);
	expect_result("{\"cluster\":1048576,\"depth\":32,\"total-writes\":1,\"reads\":24,"
		      "\"swblocks\":2048,\"give-up\":60,\"stall-after\":5,\"sample\":0}");
}

Test(commands, nothing_is_answered_before_it_is_done)
{
	start("guest-attach", "{'pid':7,'name':'a'}");
	cr_expect(got.answers == 0 && fake_host_pending(host) == 1);
	fake_host_complete(host);
	cr_expect(got.answers == 1);
}

Test(commands, attach_with_limit)
{
	run("guest-attach", "{'pid':7,'name':'a','limit':2097152}");
	expect_result("{}");
	cr_expect_str_eq(fake_host_log(host), "guest-attach a 7;guest-set a 2097152;");
}

Test(commands, attach_with_limit_refused_at_once)
{
	run("guest-attach", "{'pid':100000,'name':'a','limit':2097152}");
	expect_refused(-ESRCH, "no such process: 100000");
	cr_expect_str_eq(fake_host_log(host), "guest-attach a 100000;");
}

Test(commands, queries)
{
	struct json_object *o, *first;

	run("query-version", NULL);
	o = json_tokener_parse(got.result);
	cr_expect_str_eq(json_object_get_string(json_object_object_get(o, "package")),
			 "drum " DRUM_VERSION);
	json_object_put(o);

	run("query-guests", "{'name':'a'}");
	expect_refused(-ENOENT, "no guest is named 'a'");
	run("query-guests", NULL);
	expect_result("[]");
	run("query-swap-devices", NULL);
	expect_result("[]");

	run("guest-attach", "{'pid':7,'name':'a'}");
	run("guest-attach", "{'pid':8,'name':'b'}");
	run("swap-on", "{'path':'/swap','priority':3}");
	run("query-guests", "{'name':'b'}");
	o = json_tokener_parse(got.result);
	cr_expect(json_object_array_length(o) == 1);
	first = json_object_array_get_idx(o, 0);
	cr_expect(json_object_get_int(json_object_object_get(first, "pid")) == 8);
	json_object_put(o);
	run("query-guests", NULL);
	o = json_tokener_parse(got.result);
	cr_expect(json_object_array_length(o) == 2);
	json_object_put(o);
	run("query-swap-devices", NULL);
	cr_expect(strstr(got.result, "\"path\":\"/swap\""), "%s", got.result);
	run("query-stats", NULL);
	expect_result("{\"guests\":2,\"swap-devices\":1,\"size\":1073741824,\"resident\":0,"
		      "\"swapped\":0,\"zero\":0,\"swap-size\":1073741824,\"swap-used\":0,"
		      "\"faults\":0,\"pages-in\":0,\"pages-out\":0,\"pages-zero\":0,"
		      "\"pages-discarded\":0,\"read-errors\":0,\"write-errors\":0,"
		      "\"uptime-us\":1500.0,"
		      "\"host\":" FAKE_HOST_JSON "}");
}

Test(commands, daemon)
{
	struct host_daemon d = { .pid = 7, .busy = true };
	struct json_object *o = query_daemon(&d);

	cr_expect(strstr(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN),
			 "\"pid\":7,\"replaced\":0,\"busy\":true,\"guests-waiting\":0,"
			 "\"paused-us\":0.0,\"pager-restarts\":0,\"events-dropped\":0,"
			 "\"log-lost\":0}"),
		  "%s", json_object_to_json_string(o));
	json_object_put(o);
	run("query-daemon", NULL);
	cr_expect(strstr(got.result, "\"pid\":4711,\"replaced\":2,\"busy\":false,"
				     "\"guests-waiting\":0,\"paused-us\":83400.0,"
				     "\"pager-restarts\":0,\"events-dropped\":0,\"log-lost\":0,"
				     "\"replaced-version\":\"0.0.9\"}"),
		  "%s", got.result);
	fake_host_refuse(host, "daemon-reexec", -EBUSY, "drumd is stopping");
	run("daemon-reexec", NULL);
	expect_refused(-EBUSY, "drumd is stopping");
}

static void expect_device(const struct swap_stats *d, const struct wear_stats *wear,
			  const char *expected)
{
	struct json_object *o = query_swap_device(d, wear);
	char *text = json_to_ascii(o);

	cr_expect_str_eq(text, expected, "%s", text);
	free(text);
	json_object_put(o);
}

Test(commands, swap_device_members)
{
	static struct swap_stats d = {
		.path = "/a",
		.type = "mirror",
		.state = "removing",
		.priority = 1,
		.size = 2,
		.used = 3,
		.bad = 4,
		.inflight = 5,
		.reads = 6,
		.writes = 7,
		.read_bytes = 8,
		.write_bytes = 9,
		.read_errors = 10,
		.write_errors = 11,
		.checksum_errors = 12,
		.waited = 13,
		.max_inflight = UINT32_MAX,
		.max_bandwidth = UINT64_MAX,
		.checksums = true,
		.discard = false,
		.discarded = 16,
		.to_move = 17,
		.moved = 18,
		.ram_limit = 19,
		.ram_used = 20,
		.ram_pages = 21,
		.ram_refused = 22,
		.halves = 2,
		.half = { { "/a", "lost", 23 }, { "/b", "mending", 24 } },
	};

	struct wear_stats wear = { "/a", 31, 32, 33, 34, 35, 7 };

	expect_device(&d, &wear,
		      "{\"path\":\"/a\",\"type\":\"mirror\",\"state\":\"removing\","
		      "\"priority\":1,\"size\":2,\"used\":3,\"bad\":4,\"inflight\":5,"
		      "\"reads\":6,\"writes\":7,\"read-bytes\":8,\"write-bytes\":9,"
		      "\"read-errors\":10,\"write-errors\":11,\"checksum-errors\":12,"
		      "\"waited\":13,\"max-inflight\":4294967295,"
		      "\"max-bandwidth\":18446744073709551615,\"checksums\":true,"
		      "\"discard\":false,\"discarded\":16,\"to-move\":17,\"moved\":18,"
		      "\"endurance\":31,\"written-1d\":32,\"written-7d\":33,"
		      "\"written-28d\":34,\"endurance-left\":35,"
		      "\"halves\":[{\"path\":\"/a\",\"state\":\"lost\",\"lacking\":23},"
		      "{\"path\":\"/b\",\"state\":\"mending\",\"lacking\":24}]}");
	d = (struct swap_stats){ .path = "ram:1M",
				 .type = "ram",
				 .state = "on",
				 .checksums = false,
				 .discard = true,
				 .ram_limit = 19,
				 .ram_used = 20,
				 .ram_pages = 21,
				 .ram_refused = 22 };
	expect_device(&d, NULL,
		      "{\"path\":\"ram:1M\",\"type\":\"ram\",\"state\":\"on\","
		      "\"priority\":0,\"size\":0,\"used\":0,\"bad\":0,\"inflight\":0,"
		      "\"reads\":0,\"writes\":0,\"read-bytes\":0,\"write-bytes\":0,"
		      "\"read-errors\":0,\"write-errors\":0,\"checksum-errors\":0,"
		      "\"waited\":0,\"max-inflight\":0,\"max-bandwidth\":0,"
		      "\"checksums\":false,\"discard\":true,\"discarded\":0,"
		      "\"to-move\":0,\"moved\":0,\"ram-limit\":19,\"ram-used\":20,"
		      "\"ram-pages\":21,\"ram-refused\":22,\"halves\":[]}");
}

Test(commands, table_is_sound)
{
	const struct command *c;
	struct json_object *o;
	size_t n = 0;
	int i;

	for (c = commands; c->name; c++) {
		n++;
		cr_expect(command_find(c->name) == c, "%s: name is taken", c->name);
		cr_expect(c->doc[strlen(c->doc) - 1] == '.', "%s: %s", c->name, c->doc);
		for (i = 0; c->args[i].type != ARG_NONE; i++) {
			cr_assert(i < COMMAND_ARGS_MAX);
			cr_expect(c->args[i].name && c->args[i].doc);
			cr_expect_str_neq(arg_type_name(c->args[i].type), "nothing");
		}
	}
	run("query-commands", NULL);
	o = json_tokener_parse(got.result);
	cr_expect(json_object_array_length(o) == n);
	for (i = 0; i < (int)n; i++)
		cr_expect_str_eq(json_object_get_string(json_object_object_get(
					 json_object_array_get_idx(o, (size_t)i), "name")),
				 commands[i].name);
	json_object_put(o);
	cr_expect_null(command_find("nope"));
}
