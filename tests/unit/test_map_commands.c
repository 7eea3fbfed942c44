/* SPDX-License-Identifier: BSD-2-Clause */
/* Pictures of guests and latencies, as QMP answers them. */
#include <errno.h>

#include "unit/command_run.h"

TestSuite(map_commands, .init = setup, .fini = teardown);

static void attach(void)
{
	run("guest-attach", "{'pid':7,'name':'a'}");
	cr_assert_eq(got.code, 0);
}

static const struct {
	const char *command, *args, *message;
} refusals[] = {
	{ "query-guest-map", NULL, "Parameter 'name' is missing" },
	{ "query-guest-map", "{'cells':5}", "Parameter 'name' is missing" },
	{ "query-guest-map", "{'name':'a','cells':0}",
	  "Parameter 'cells' expects a number from 1 to 4096" },
	{ "query-guest-map", "{'name':'a','cells':-1}",
	  "Parameter 'cells' expects a number from 1 to 4096" },
	{ "query-guest-map", "{'name':'a','cells':4097}",
	  "Parameter 'cells' expects a number from 1 to 4096" },
	{ "query-guest-map", "{'name':'a','cells':4294967297}",
	  "Parameter 'cells' expects a number from 1 to 4096" },
	{ "query-guest-map", "{'name':'a','cells':'1'}",
	  "Invalid parameter type for 'cells', expected: integer" },
	{ "query-guest-map", "{'name':'a','cell':1}", "Parameter 'cell' is unexpected" },
	{ "query-guest-latency", NULL, "Parameter 'name' is missing" },
	{ "query-guest-latency", "{'name':'a','cells':1}", "Parameter 'cells' is unexpected" },
};

Test(map_commands, wrong_arguments)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		run(refusals[i].command, refusals[i].args);
		cr_expect_eq(got.code, -EINVAL, "case %zu", i);
		cr_expect_str_eq(got.text, refusals[i].message, "case %zu: %s", i, got.text);
	}
	cr_expect_str_empty(fake_host_log(host), "nothing of it reached the host");
}

Test(map_commands, of_no_guest)
{
	run("query-guest-map", "{'name':'a'}");
	expect_refused(-ENOENT, "no guest is named 'a'");
	run("query-guest-latency", "{'name':'a'}");
	expect_refused(-ENOENT, "no guest is named 'a'");
}

Test(map_commands, a_picture)
{
	attach();
	run("query-guest-map", "{'name':'a','cells':2}");
	expect_result("{\"name\":\"a\",\"size\":536870912,\"cell-size\":268435456,\"cells\":2,"
		      "\"active\":[0,1],\"inactive\":[10000,10001],\"swapped\":[20000,20001],"
		      "\"zero\":[30000,30001],\"reading\":[40000,40001],"
		      "\"writing\":[50000,50001],\"pinned\":[60000,60001],"
		      "\"kept\":[70000,70001],\"idle\":[-1,1]}");
	run("query-guest-map", "{'name':'a'}");
	cr_expect(strstr(got.result, "\"cell-size\":524288,\"cells\":1024,"));
	fake_host_refuse(host, "guest-map", -ESRCH, "guest a has ended");
	run("query-guest-map", "{'name':'a'}");
	expect_refused(-ESRCH, "guest a has ended");
}

/* What is sent stays far below what a client may have unread (16 MiB). */
Test(map_commands, a_large_picture)
{
	attach();
	run("query-guest-map", "{'name':'a','cells':4096}");
	cr_expect(strstr(got.result, "\"cells\":4096,"));
	cr_expect_lt(strlen(got.result), 512 * 1024);
}

Test(map_commands, latency)
{
	attach();
	run("query-guest-latency", "{'name':'a'}");
	cr_expect_eq(got.code, 0);
	cr_expect_eq(strncmp(got.result,
			     "{\"name\":\"a\",\"count\":1000,\"sum-us\":20000000.0,"
			     "\"max-us\":20000000.0,\"p50-us\":4.1,\"p90-us\":64.9,"
			     "\"p99-us\":121.0,\"p999-us\":150.1,"
			     "\"buckets\":[{\"le-us\":1.024,\"count\":0},"
			     "{\"le-us\":2.048,\"count\":0},{\"le-us\":4.096,\"count\":500},",
			     200),
		     0, "%s", got.result);
	cr_expect(strstr(got.result, "{\"le-us\":17179869.184,\"count\":999},"
				     "{\"count\":1000}]}"),
		  "%s", got.result);
}
