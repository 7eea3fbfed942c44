/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "control/commands.h"
#include "control/json.h"
#include "control/query.h"
#include "unit/fake_host.h"

static struct loop *loop;
static struct host *host;

static void setup(void)
{
	loop = loop_create();
	host = fake_host_create(loop);
	fake_host_manual(host, true);
}

static void teardown(void)
{
	fake_host_destroy(host);
	loop_destroy(loop);
}

TestSuite(commands, .init = setup, .fini = teardown);

static struct {
	int answers;
	int code;
	char text[ERR_TEXT_MAX];
	char *result;
} got;

static void reply(void *ctx, struct json_object *result, const struct err *e)
{
	cr_assert(ctx == &got);
	cr_assert((e->code == 0) == (result != NULL));
	got.answers++;
	got.code = e->code;
	strcpy(got.text, e->text);
	free(got.result);
	got.result = result ? json_to_ascii(result) : NULL;
}

/* Run without a word to the host. */
static void start(const char *name, const char *args)
{
	const struct command *c = command_find(name);
	struct json_object *o = args ? json_tokener_parse(args) : NULL;

	cr_assert(c, "%s", name);
	cr_assert(!args || o, "%s", args);
	got.answers = 0;
	command_run(c, host, o, reply, &got);
	json_object_put(o);
}

static void run(const char *name, const char *args)
{
	start(name, args);
	while (fake_host_pending(host) > 0)
		fake_host_complete(host);
	cr_assert(got.answers == 1, "%s: %d answers", name, got.answers);
}

#define expect_result(expected)                                                                \
	do {                                                                                   \
		cr_expect(got.code == 0, "%s", got.text);                                      \
		cr_expect_str_eq(got.result, expected);                                        \
	} while (0)

#define expect_refused(number, message)                                                        \
	do {                                                                                   \
		cr_expect(got.code == (number));                                               \
		cr_expect_str_eq(got.text, message);                                           \
	} while (0)

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
	{ "swap-on", "{'path':''}",
	  "Parameter 'path' expects an absolute path of at most 1023 bytes" },
	{ "swap-on", "{'path':'swap'}",
	  "Parameter 'path' expects an absolute path of at most 1023 bytes" },
	{ "swap-on", "{'path':'/a\\u0000b'}",
	  "Parameter 'path' expects an absolute path of at most 1023 bytes" },
	{ "swap-on", "{'path':'/a','priority':'1'}",
	  "Invalid parameter type for 'priority', expected: integer" },
	{ "swap-on", "{'path':'/a','priority':1.0}",
	  "Invalid parameter type for 'priority', expected: integer" },
	{ "swap-on", "{'path':'/a','priority':-1}",
	  "Parameter 'priority' expects a priority, 0 to 32767" },
	{ "swap-on", "{'path':'/a','priority':32768}",
	  "Parameter 'priority' expects a priority, 0 to 32767" },
	{ "swap-on", "{'path':'/a','prio':1}", "Parameter 'prio' is unexpected" },
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
	{ "guest-set", "{'name':'a'}", "Parameter 'limit' is missing" },
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
	expect_refused(-EINVAL,
		       "Parameter 'path' expects an absolute path of at most 1023 bytes");
	path[SWAP_PATH_MAX] = '\0';
	snprintf(args, sizeof(args), "{'path':'%s'}", path);
	run("swap-on", args);
	expect_result("{}");

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

Test(commands, attach_is_undone_when_its_limit_is_refused)
{
	run("guest-attach", "{'pid':7,'name':'a','limit':0}");
	expect_refused(-EINVAL, "limit 0 is below what is held");
	cr_expect_str_eq(fake_host_log(host), "guest-attach a 7;guest-set a 0;guest-detach a;");
	run("query-guests", NULL);
	expect_result("[]");
}

Test(commands, attach_that_cannot_be_undone)
{
	fake_host_refuse(host, "guest-detach", -EBUSY, "it does not fit into RAM");
	run("guest-attach", "{'pid':7,'name':'a','limit':5}");
	expect_refused(-EINVAL,
		       "limit 5 is below what is held; guest 'a' stays attached without a "
		       "limit, as detaching it again failed: it does not fit into RAM");
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
	expect_result("[{\"path\":\"/swap\",\"type\":\"file\",\"priority\":3,"
		      "\"size\":1073741824,\"used\":0,\"bad\":0,\"inflight\":0,\"reads\":0,"
		      "\"writes\":0,\"read-bytes\":0,\"write-bytes\":0,\"read-errors\":0,"
		      "\"write-errors\":0}]");
	run("query-stats", NULL);
	expect_result("{\"guests\":2,\"swap-devices\":1,\"size\":1073741824,\"resident\":0,"
		      "\"swapped\":0,\"zero\":0,\"swap-size\":1073741824,\"swap-used\":0,"
		      "\"faults\":0,\"pages-in\":0,\"pages-out\":0,\"pages-zero\":0,"
		      "\"pages-discarded\":0,\"read-errors\":0,\"write-errors\":0,"
		      "\"uptime-us\":1500.0}");
}

/* Every member of the struct, none for another. */
Test(commands, guest_members)
{
	static const struct guest_stats g = {
		.name = "a",
		.state = "running",
		.pid = 1,
		.mappers = 2,
		.size = 3,
		.resident = 4,
		.active = 5,
		.inactive = 6,
		.writing = 7,
		.reading = 8,
		.swapped = 9,
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
		.pages_zero = 24,
		.pages_discarded = 25,
		.zaps = 26,
		.zap_p50 = 0,
		.zap_max = 99,
		.read_errors = 29,
		.write_errors = UINT64_MAX,
	};
	struct json_object *o = query_guest(&g);
	char *text = json_to_ascii(o);

	cr_expect_str_eq(text,
			 "{\"name\":\"a\",\"pid\":1,\"state\":\"running\",\"mappers\":2,"
			 "\"size\":3,\"resident\":4,\"active\":5,\"inactive\":6,"
			 "\"writing\":7,\"reading\":8,\"swapped\":9,\"zero\":10,"
			 "\"limit\":11,\"over-limit\":12,\"faults\":13,\"faults-hole\":14,"
			 "\"faults-inactive\":15,\"faults-swapped\":16,"
			 "\"faults-writing\":17,\"faults-reading\":18,"
			 "\"fault-p50-us\":64.9,\"fault-p99-us\":65.0,"
			 "\"fault-max-us\":18446744073709551.6,\"pages-in\":22,"
			 "\"pages-out\":23,\"pages-zero\":24,\"pages-discarded\":25,"
			 "\"zaps\":26,\"zap-p50-us\":0.0,\"zap-max-us\":0.1,"
			 "\"read-errors\":29,\"write-errors\":18446744073709551615}");
	free(text);
	json_object_put(o);
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
