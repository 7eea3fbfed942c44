/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/command_run.h"

TestSuite(swapcache_commands, .init = setup, .fini = teardown);

static void expect_knob(const char *name, const char *value)
{
	char wanted[64];

	snprintf(wanted, sizeof(wanted), "\"%s\":%s", name, value);
	run("query-swapcache", NULL);
	cr_expect(got.result && strstr(got.result, wanted), "%s: %s", wanted, got.result);
}

/* What is taken, by type; and what is not. */
static const struct {
	const char *name, *value, *wrong, *message;
} cases[] = {
	{ "read_enable", "false", "1",
	  "Invalid parameter type for 'read_enable', expected: boolean" },
	{ "data_enable", "true", "'on'",
	  "Invalid parameter type for 'data_enable', expected: boolean" },
	{ "meta_enable", "true", "0",
	  "Invalid parameter type for 'meta_enable', expected: boolean" },
	{ "fill_enable", "true", "null",
	  "Invalid parameter type for 'fill_enable', expected: boolean" },
	{ "use_chflags", "true", "2",
	  "Invalid parameter type for 'use_chflags', expected: boolean" },
	{ "maxfilesize", "1152921504606846976", "1152921504606846977",
	  "maxfilesize is '1152921504606846977', but must be a size from 0 to 1E, as 20G; 0 is "
	  "any "
	  "size" },
	{ "maxswappct", "95", "10", "maxswappct is '10', but must be a number from 11 to 95" },
	{ "minburst", "0", "-1", "Parameter 'minburst' expects a size from 0 to 1P, as 10M" },
	{ "curburst", "0", "18446744073709551615",
	  "curburst is '18446744073709551615', but must be a size from 0 to 1P, as 4G" },
	{ "maxburst", "65536", "65535",
	  "maxburst is '65535', but must be a size from 64K to 1P, as 2G" },
	{ "accrate", "204800", "'200K'",
	  "Invalid parameter type for 'accrate', expected: integer" },
	{ "min_hysteresis", "1", "0",
	  "min_hysteresis is '0', but must be a number of pages from 1 to 268435456" },
	{ "hysteresis", NULL, "1024",
	  "hysteresis is '1024', but must be left to the daemon: set min_hysteresis" },
	{ "maxscan", "16", "15",
	  "maxscan is '15', but must be a number of pages from 16 to 1048576" },
	{ "maxlaunder", "1048576", "1048577",
	  "maxlaunder is '1048577', but must be a number of pages from 16 to 1048576" },
	{ "cleanperobj", "65536", "1.5",
	  "Invalid parameter type for 'cleanperobj', expected: integer" },
	{ "write_count", "7", "-1",
	  "Parameter 'write_count' expects a size of less than 8E, mostly 0" },
};

_Static_assert(sizeof(cases) / sizeof(cases[0]) == SWAPCACHE_KNOBS, "each knob");

/* The command takes its values by their places. */
Test(swapcache_commands, arguments_are_the_knobs)
{
	const struct command *c = command_find("swapcache-set");

	for (int k = 0; k < SWAPCACHE_KNOBS; k++) {
		bool is_switch = swapcache_knob[k].unit == SWAPCACHE_UNIT_SWITCH;

		cr_expect_str_eq(c->args[k].name, swapcache_knob[k].name);
		cr_expect_eq(c->args[k].type, is_switch ? ARG_BOOL : ARG_KNOB);
		cr_expect(c->args[k].optional);
	}
	cr_expect_eq(c->args[SWAPCACHE_KNOBS].type, ARG_NONE);
}

Test(swapcache_commands, every_knob_is_set_and_refused)
{
	for (int k = 0; k < SWAPCACHE_KNOBS; k++) {
		char args[128];

		if (cases[k].value) {
			snprintf(args, sizeof(args), "{'%s':%s}", cases[k].name,
				 cases[k].value);
			run("swapcache-set", args);
			cr_expect(got.code == 0, "%s: %s", args, got.text);
			expect_knob(cases[k].name, cases[k].value);
		}
		snprintf(args, sizeof(args), "{'%s':%s}", cases[k].name, cases[k].wrong);
		run("swapcache-set", args);
		cr_expect_eq(got.code, -EINVAL, "%s", args);
		cr_expect_str_eq(got.text, cases[k].message, "%s", got.text);
		if (cases[k].value)
			expect_knob(cases[k].name, cases[k].value);
	}
}

Test(swapcache_commands, all_or_none)
{
	run("swapcache-set", "{'data_enable':true,'accrate':204800,'maxswappct':99}");
	cr_expect_eq(got.code, -EINVAL);
	cr_expect_str_eq(got.text, "maxswappct is '99', but must be a number from 11 to 95");
	expect_knob("data_enable", "false");
	expect_knob("accrate", "100000");
	run("swapcache-set", "{'data_enable':true,'accrate':204800,'maxswappct':50}");
	cr_expect_eq(got.code, 0, "%s", got.text);
	cr_expect_str_eq(got.result, "{}");
	expect_knob("data_enable", "true");
	expect_knob("accrate", "204800");
	expect_knob("maxswappct", "50");
	run("swapcache-set", NULL);
	cr_expect_str_eq(got.text, "nothing to set, give a knob, as accrate");
	run("swapcache-set", "{'data-enable':true}");
	cr_expect_str_eq(got.text, "Parameter 'data-enable' is unexpected");
}

/* Every member of the structs, none for another. */
Test(swapcache_commands, members)
{
	struct swapcache_stats s = {
		.state = "cleaning",
		.burst = "recovering",
		.swap_max = 1,
		.used = 2,
		.cached = 3,
		.read_bytes = 4,
		.hit_bytes = 5,
		.reads = 6,
		.saved_reads = 7,
		.put = 8,
		.cleaned = 9,
		.invalidated = 10,
		.read_errors = 11,
		.checksum_errors = 12,
		.write_errors = 13,
		.passes = UINT64_MAX,
	};

	for (unsigned int k = 0; k < SWAPCACHE_KNOBS; k++)
		s.knob[k] = k < 5 ? k % 2 : 20 + k;
	fake_host_swapcache(host, &s);
	run("swap-on", "{'path':'/a','endurance':2147483648}");
	run("swap-on", "{'path':'/b'}");
	run("query-swapcache", NULL);
	cr_expect_str_eq(
		got.result,
		"{\"state\":\"cleaning\",\"burst\":\"recovering\",\"swap-max\":1,\"used\":2,"
		"\"cached\":3,\"read-bytes\":4,\"hit-bytes\":5,\"reads\":6,\"saved-reads\":7,"
		"\"put\":8,\"cleaned\":9,\"invalidated\":10,\"read-errors\":11,"
		"\"checksum-errors\":12,\"write-errors\":13,\"passes\":18446744073709551615,"
		"\"knobs\":{\"read_enable\":false,\"data_enable\":true,\"meta_enable\":false,"
		"\"fill_enable\":true,\"use_chflags\":false,\"maxfilesize\":25,"
		"\"maxswappct\":26,\"minburst\":27,\"curburst\":28,\"maxburst\":29,"
		"\"accrate\":30,\"min_hysteresis\":31,\"hysteresis\":32,\"maxscan\":33,"
		"\"maxlaunder\":34,\"cleanperobj\":35,\"write_count\":36},"
		"\"devices\":[{\"path\":\"/a\",\"endurance\":2147483648,"
		"\"written-1d\":1073741824,\"written-7d\":2147483648,"
		"\"written-28d\":3221225472,\"left\":1073741824,\"tightest\":1},"
		"{\"path\":\"/b\",\"endurance\":0,\"written-1d\":1073741824,"
		"\"written-7d\":2147483648,\"written-28d\":3221225472}]}",
		"%s", got.result);
}
