/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands of guests and of the host's memory: what the manager is told, and tells. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/query.h"
#include "unit/command_run.h"

TestSuite(guest_commands, .init = setup, .fini = teardown);

static void expect_done(const char *name, const char *args)
{
	run(name, args);
	cr_expect(got.code == 0, "%s %s: %s", name, args, got.text);
	cr_expect(got.result && !strcmp(got.result, "{}"), "%s %s: %s", name, args, got.result);
}

#define SETTINGS                                                                               \
	"'limit':4096,'reservation':8192,'shares':7,'qmp':'/s','balloon':'b0','domain':'d'"
#define SETTINGS_LOG " limit=4096 reservation=8192 shares=7 qmp=/s balloon=b0 domain=d;"

/* Each setting is its own, in each command that has them; and what is not given is not. */
Test(guest_commands, settings_reach_the_manager)
{
	expect_done("guest-admit", "{'name':'a','memory':1073741824," SETTINGS "}");
	expect_done("guest-release", "{'name':'a'}");
	expect_done("guest-attach", "{'pid':7,'name':'b','reservation':0}");
	expect_done("guest-attach", "{'pid':8,'name':'c'}");
	expect_done("guest-set", "{'name':'b','qmp':''}");
	expect_done("guest-set", "{'name':'b','shares':1000000000}");
	expect_done("guest-set", "{'name':'b','domain':'','balloon':''}");
	expect_done("guest-set", "{'name':'b','limit':2097152}");
	cr_expect_str_eq(fake_manager_log(manager),
			 "a" SETTINGS_LOG "b reservation=0;c;b qmp=;b shares=1000000000;"
			 "b balloon= domain=;b limit=2097152;",
			 "%s", fake_manager_log(manager));
	run("guest-set", "{'name':'b'}");
	cr_expect_eq(got.code, -EINVAL);
	cr_expect_str_eq(got.text, "nothing to set, give limit, reservation, shares, qmp, "
				   "balloon or domain");
	run("guest-release", "{'name':'a'}");
	cr_expect_eq(got.code, -ENOENT);
	run("guest-admit", "{'name':'d','memory':8589934592,'reservation':8589934592}");
	cr_expect_eq(got.code, -ENOSPC);
	cr_expect_str_eq(got.text, "guest d: it does not fit");
}

Test(guest_commands, a_dry_run_is_an_answer)
{
	run("guest-admit", "{'name':'a','memory':4096,'reservation':1024,'dry-run':true}");
	cr_expect_str_eq(got.result,
			 "{\"admitted\":true,\"memory\":4096,\"reservation\":1024,"
			 "\"headroom\":4294967296,\"promised-swap\":3072,"
			 "\"free-swap\":7516192768}",
			 "%s", got.result);
	run("guest-admit",
	    "{'name':'a','memory':8589934592,'reservation':8589934592,'dry-run':true}");
	cr_expect_eq(got.code, 0, "a refusal is no error here");
	cr_expect_str_eq(got.result,
			 "{\"admitted\":false,\"memory\":8589934592,"
			 "\"reservation\":8589934592,\"headroom\":4294967296,"
			 "\"promised-swap\":0,\"free-swap\":7516192768,"
			 "\"reason\":\"guest a: it does not fit\"}",
			 "%s", got.result);
	cr_expect_str_empty(fake_manager_log(manager));
	expect_done("guest-admit", "{'name':'a','memory':4096,'dry-run':false}");
	cr_expect_str_eq(fake_manager_log(manager), "a;");
}

#define X50   "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define QMP   "Parameter 'qmp' expects an absolute path of at most 107 bytes"
#define PLACE "expects at most 63 bytes without control characters"

static const struct {
	const char *command, *args, *message;
} refusals[] = {
	{ "guest-admit", "{'name':'a'}", "Parameter 'memory' is missing" },
	{ "guest-admit", "{'name':'a b','memory':1}",
	  "Parameter 'name' expects 1 to 63 characters of A-Z a-z 0-9 _ . -" },
	{ "guest-admit", "{'name':'a','memory':-1}",
	  "Parameter 'memory' expects a number of bytes, not below zero" },
	{ "guest-set", "{'name':'a','shares':0}",
	  "Parameter 'shares' expects a number from 1 to 1000000000" },
	{ "guest-set", "{'name':'a','shares':1000000001}",
	  "Parameter 'shares' expects a number from 1 to 1000000000" },
	{ "guest-set", "{'name':'a','qmp':'s'}", QMP },
	{ "guest-set", "{'name':'a','qmp':'/" X50 X50 "1234567'}", QMP },
	{ "guest-set", "{'name':'a','qmp':null}",
	  "Invalid parameter type for 'qmp', expected: string" },
	{ "guest-attach", "{'pid':1,'name':'a','domain':'" X50 "12345678901234'}",
	  "Parameter 'domain' " PLACE },
	{ "guest-attach", "{'pid':1,'name':'a','balloon':'a\\u0000b'}",
	  "Parameter 'balloon' " PLACE },
	{ "guest-attach", "{'pid':1,'name':'a','balloon':'a\\nb'}",
	  "Parameter 'balloon' " PLACE },
	{ "guest-release", NULL, "Parameter 'name' is missing" },
	{ "guest-explain", NULL, "Parameter 'name' is missing" },
	{ "query-host", "{'name':'a'}", "Parameter 'name' is unexpected" },
	{ "host-set", "{'budget':'none'}",
	  "Invalid parameter type for 'budget', expected: integer" },
	{ "host-set", "{'idle-tax':-1}",
	  "Parameter 'idle-tax' expects a number from 0 to 4294967295" },
	{ "host-set", "{'idle-tax':100}", "the idle tax is 0 to 99 percent, not 100" },
	{ "host-set", "{'stall-target':-0.1}",
	  "Parameter 'stall-target' expects percent, 0 to 100" },
	{ "host-set", "{'stall-target':100.1}",
	  "Parameter 'stall-target' expects percent, 0 to 100" },
	{ "host-set", "{'stall-target':NaN}",
	  "Parameter 'stall-target' expects percent, 0 to 100" },
	{ "host-set", "{'stall-target':'1'}",
	  "Invalid parameter type for 'stall-target', expected: number" },
	{ "host-set", NULL, "nothing to set, give budget, idle-tax or stall-target" },
};

Test(guest_commands, wrong_arguments)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		run(refusals[i].command, refusals[i].args);
		cr_expect_eq(got.code, -EINVAL, "case %zu", i);
		cr_expect_str_eq(got.text, refusals[i].message, "case %zu: %s", i, got.text);
	}
	cr_expect_str_empty(fake_manager_log(manager), "nothing of it reached the manager");
	/* one less is taken */
	run("guest-attach", "{'pid':7,'name':'a'}");
	expect_done("guest-set",
		    "{'name':'a','qmp':'/" X50 X50 "123456','domain':'" X50 "1234567890123'}");
}

Test(guest_commands, host)
{
	run("query-host", NULL);
	cr_expect_str_eq(got.result, FAKE_HOST_JSON, "%s", got.result);
	expect_done("host-set", "{'idle-tax':0,'stall-target':0.00125}");
	run("query-host", NULL);
	cr_expect(strstr(got.result, "\"idle-tax\":0,\"stall-target\":0.0013,"), "%s",
		  got.result);
	expect_done("host-set", "{'stall-target':100}");
	run("query-host", NULL);
	cr_expect(strstr(got.result, "\"stall-target\":100.0000,"), "%s", got.result);
	/* without a budget there is nothing to compare with */
	expect_done("host-set", "{'budget':0}");
	run("query-host", NULL);
	cr_expect(strstr(got.result, "\"budget\":0,") && strstr(got.result, "\"off\"") &&
			  !strstr(got.result, "overcommit"),
		  "%s", got.result);
}

Test(guest_commands, explain)
{
	run("guest-attach", "{'pid':7,'name':'a'}");
	run("guest-explain", "{'name':'a'}");
	cr_expect(strstr(got.result, "},{\"topic\":\"has\",\"text\":\"It is due 1G: what its "
				     "20480 shares buy.\"},{\"topic\":\"stalls\","),
		  "%s", got.result);
	run("guest-explain", "{'name':'b'}");
	cr_expect_eq(got.code, -ENOENT);
	cr_expect_str_eq(got.text, "no guest is named 'b'");
}

/* A guest that is admitted has RAM that nobody has touched, and is not listed twice later. */
Test(guest_commands, admitted_guests_are_shown)
{
	static const char wanted[] = "[{\"name\":\"a\",\"pid\":0,\"state\":\"admitted\","
				     "\"reason\":\"\",\"mappers\":0,\"size\":1073741824,"
				     "\"resident\":0,";

	run("guest-admit", "{'name':'a','memory':1073741824,'reservation':268435456}");
	run("query-guests", NULL);
	cr_expect(!strncmp(got.result, wanted, strlen(wanted)), "%s", got.result);
	cr_expect(strstr(got.result, "\"zero\":1073741824,") &&
			  strstr(got.result, "\"limit\":1073741824,") &&
			  strstr(got.result, "\"admitted\":true,\"reservation\":268435456,"),
		  "%s", got.result);
	run("query-guests", "{'name':'a'}");
	cr_expect(!strncmp(got.result, wanted, strlen(wanted)), "%s", got.result);
	run("guest-attach", "{'pid':8,'name':'b'}");
	run("guest-attach", "{'pid':7,'name':'a'}");
	run("query-guests", NULL);
	cr_expect(!strncmp(got.result, "[{\"name\":\"b\",\"pid\":8,", 21), "%s", got.result);
	cr_expect(strstr(got.result, "{\"name\":\"a\",\"pid\":7,") &&
			  !strstr(got.result, "\"state\":\"admitted\""),
		  "%s", got.result);
	/* the terms of each are its own */
	cr_expect(strstr(strstr(got.result, "\"name\":\"a\""), "\"admitted\":true"), "%s",
		  got.result);
	cr_expect(strstr(got.result, "\"admitted\":false"), "%s", got.result);
}

/* Every member of the struct, none for another. */
Test(guest_commands, members_of_the_host)
{
	static const struct guest_stats g = {
		.name = "a",
		.state = "quarantined",
		.why = "of that",
		.pid = 1,
		.mappers = 2,
		.size = 3,
		.resident = 4,
		.active = 5,
		.inactive = 6,
		.pinned = 33,
		.writing = 7,
		.reading = 8,
		.swapped = 9,
		.kept = 43,
		.zero = 10,
		.limit = 11,
		.over_limit = 12,
		.faults = 13,
		.faults_hole = 14,
		.faults_inactive = 15,
		.faults_swapped = 16,
		.faults_writing = 17,
		.faults_reading = 18,
		.fault_p50 = 64949,
		.fault_p99 = 64950,
		.fault_max = UINT64_MAX,
		.pages_in = 22,
		.pages_out = 23,
		.pages_clean = 44,
		.pages_zero = 24,
		.pages_discarded = 25,
		.pages_moved = 30,
		.pages_replayed = 90,
		.recorded = 91,
		.poisoned = 31,
		.pin_checks = 34,
		.pin_check = 350,
		.zaps = 26,
		.zap_p50 = 0,
		.zap_max = 99,
		.read_errors = 29,
		.write_errors = UINT64_MAX,
		.dump_done = 32,
		.hot = 36,
		.idle_10s = 37,
		.idle_1m = 38,
		.idle_5m = 39,
		.idle_30m = 40,
		.refaults = 41,
		.refaults_1s = 42,
		.grant = 45,
		.evicted_limit = 46,
		.evicted_grant = 47,
		.evicted_cold = 48,
		.evicted_out = 49,
		.vcpus = 50,
		.stall_some = 51000,
		.stall_full = 52000,
		.stall_for = { 53000, 54000, 55000, 56000, 57000, 58000, 59000 },
		.busy = true,
	};
	struct json_object *o = query_guest(&g, NULL);
	char *text = json_to_ascii(o);

	cr_expect_str_eq(
		text,
		"{\"name\":\"a\",\"pid\":1,\"state\":\"quarantined\",\"reason\":\"of "
		"that\",\"mappers\":2,"
		"\"size\":3,\"resident\":4,\"active\":5,\"inactive\":6,"
		"\"pinned\":33,\"writing\":7,\"reading\":8,\"swapped\":9,\"kept\":43,\"zero\":"
		"10,"
		"\"working-set\":36,\"idle-10s\":37,\"idle-1m\":38,"
		"\"idle-5m\":39,\"idle-30m\":40,"
		"\"limit\":11,\"grant\":45,\"over-limit\":12,\"faults\":13,\"faults-hole\":14,"
		"\"faults-inactive\":15,\"faults-swapped\":16,"
		"\"faults-writing\":17,\"faults-reading\":18,"
		"\"refaults\":41,\"refaults-1s\":42,"
		"\"fault-p50-us\":64.9,\"fault-p99-us\":65.0,"
		"\"fault-max-us\":18446744073709551.6,\"pages-in\":22,"
		"\"pages-out\":23,\"pages-clean\":44,\"pages-zero\":24,\"pages-discarded\":25,"
		"\"pages-moved\":30,\"pages-replayed\":90,\"recorded\":91,\"poisoned\":31,"
		"\"pin-checks\":34,\"pin-check-us\":0.4,"
		"\"zaps\":26,\"zap-p50-us\":0.0,\"zap-max-us\":0.1,"
		"\"read-errors\":29,\"write-errors\":18446744073709551615,"
		"\"dump-done\":32,"
		"\"evicted-limit\":46,\"evicted-grant\":47,\"evicted-cold\":48,"
		"\"evicted-out\":49,\"vcpus\":50,\"stall-some-us\":51.0,"
		"\"stall-full-us\":52.0,\"stall-read-us\":53.0,\"stall-limit-us\":54.0,"
		"\"stall-no-pagein-us\":55.0,\"stall-changing-us\":56.0,"
		"\"stall-no-memory-us\":57.0,\"stall-failing-us\":58.0,"
		"\"stall-served-us\":59.0,\"busy\":true}");
	free(text);
	json_object_put(o);
}

/* The same of what the manager knows. */
Test(guest_commands, members_of_the_manager)
{
	struct manager_guest m = {
		.admitted = true,
		.terms = { .reservation = 1, .shares = 2 },
		.promised = 3,
		.target = 4,
		.price = 5,
		.next = 6,
		.why = ARBITER_PRICE,
		.active = 7,
		.cold = 8,
		.some = { 1000, 999999, 1000000 },
		.full = { 1, 20, 300 },
		.full_known = true,
		.monitor = "lost",
		.monitor_why = "of that",
		.qmp = "/s",
		.domain = "d",
		.balloon = "stuck",
		.balloon_why = "of this",
		.balloon_size = 9,
		.guest_tells = true,
		.guest_free = 10,
		.guest_available = 11,
		.reports_free = true,
	};
	struct guest_stats g = { .name = "a" };
	struct json_object *o = query_guest(&g, &m);
	char *text = json_to_ascii(o), *at = strstr(text, "\"admitted\"");

	cr_expect_str_eq(at,
			 "\"admitted\":true,\"reservation\":1,\"shares\":2,"
			 "\"promised-swap\":3,\"target\":4,\"price\":5,"
			 "\"price-next\":6,\"uses\":7,\"cold\":8,\"some-10s\":0.1000,"
			 "\"some-60s\":99.9999,\"some-300s\":100.0000,"
			 "\"monitor\":\"lost\","
			 "\"monitor-reason\":\"of that\",\"qmp\":\"/s\",\"domain\":\"d\","
			 "\"balloon\":\"stuck\",\"balloon-reason\":\"of this\","
			 "\"balloon-size\":9,\"reports-free\":true,\"deflate-on-oom\":false,"
			 "\"why\":\"price\",\"full-10s\":0.0001,\"full-60s\":0.0020,"
			 "\"full-300s\":0.0300,\"guest-free\":10,\"guest-available\":11}",
			 "%s", at);
	free(text);
	json_object_put(o);
	m.full_known = m.guest_tells = false;
	o = query_guest(&g, &m);
	cr_expect(!json_object_object_get_ex(o, "full-10s", NULL) &&
		  !json_object_object_get_ex(o, "guest-free", NULL));
	json_object_put(o);
}
