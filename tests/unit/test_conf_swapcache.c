/* SPDX-License-Identifier: BSD-2-Clause */
/* The section [swapcache] of drum.conf: every knob, taken and refused. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/conf.h"

static char path[64];
static struct conf conf;
static struct err e;

/* Lay a file of this text over conf. => as conf_read */
static int read_text(const char *text)
{
	int fd = memfd_create("drum.conf", 0), ret;

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ret = conf_read(&conf, path, &e);
	close(fd);
	return ret;
}

static void setup(void)
{
	cr_assert_eq(conf_defaults(&conf, &e), 0);
}

static void teardown(void)
{
	conf_free(&conf);
}

TestSuite(conf_swapcache, .init = setup, .fini = teardown);

#define ON_OFF	     "on or off"
#define BURST	     "a size from 0 to 1P, as "
#define PAGES(range) "a number of pages from " range

/* In the order of the enum: what is taken, and what is not. */
static const struct {
	const char *name, *least;
	uint64_t least_is;
	const char *most;
	uint64_t most_is;
	const char *wrong[3], *allowed;
} cases[] = {
	{ "read_enable", "off", 0, "on", 1, { "2", "maybe", "" }, ON_OFF },
	{ "data_enable", "no", 0, "YES", 1, { "2", "-1", "" }, ON_OFF },
	{ "meta_enable", "false", 0, "True", 1, { "1.0", "onn", "" }, ON_OFF },
	{ "fill_enable", "0", 0, "1", 1, { "1K", "of", "" }, ON_OFF },
	{ "use_chflags", "Off", 0, "On", 1, { "auto", "01", "" }, ON_OFF },
	{ "maxfilesize",
	  "0",
	  0,
	  "20G",
	  20ull << 30,
	  { "2E", "-1", "big" },
	  "a size from 0 to 1E, as 20G; 0 is any size" },
	{ "maxswappct", "11", 11, "95", 95, { "10", "96", "75%" }, "a number from 11 to 95" },
	{ "minburst", "0", 0, "1P", 1ull << 50, { "1.1P", "10X", "" }, BURST "10M" },
	{ "curburst", "0", 0, "1P", 1ull << 50, { "2P", "-1", "" }, BURST "4G" },
	{ "maxburst",
	  "64K",
	  1 << 16,
	  "2G",
	  2ull << 30,
	  { "65535", "2P", "" },
	  "a size from 64K to 1P, as 2G" },
	{ "accrate",
	  "1K",
	  1024,
	  "64G",
	  64ull << 30,
	  { "1023", "65G", "fast" },
	  "bytes a second from 1K to 64G, as 200K" },
	{ "min_hysteresis",
	  "1",
	  1,
	  "268435456",
	  1 << 28,
	  { "0", "268435457", "1K" },
	  PAGES("1 to 268435456") },
	{ "hysteresis",
	  NULL,
	  0,
	  NULL,
	  0,
	  { "1024", "0", "" },
	  "left to the daemon: set min_hysteresis" },
	{ "maxscan",
	  "16",
	  16,
	  "1048576",
	  1 << 20,
	  { "15", "1048577", "8K" },
	  PAGES("16 to 1048576") },
	{ "maxlaunder",
	  "16",
	  16,
	  "1048576",
	  1 << 20,
	  { "15", "1048577", "" },
	  PAGES("16 to 1048576") },
	{ "cleanperobj",
	  "64K",
	  1 << 16,
	  "1T",
	  1ull << 40,
	  { "65535", "2T", "" },
	  "a size from 64K to 1T, as 16M" },
	{ "write_count",
	  "0",
	  0,
	  "1E",
	  1ull << 60,
	  { "8E", "-1", "" },
	  "a size of less than 8E, mostly 0" },
};

_Static_assert(sizeof(cases) / sizeof(cases[0]) == SWAPCACHE_KNOBS, "each knob");

static void expect_taken(int k, const char *name, const char *value, uint64_t is)
{
	char text[128];

	snprintf(text, sizeof(text), "[swapcache]\n%s = %s\n", name, value);
	cr_assert_eq(read_text(text), 0, "%s: %s", text, e.text);
	cr_expect_eq(conf.swapcache[k], is, "%s", text);
	cr_expect_eq(conf.swapcache_given, 1u << k, "%s", text);
	conf.swapcache_given = 0;
}

Test(conf_swapcache, every_knob_is_taken)
{
	for (int k = 0; k < SWAPCACHE_KNOBS; k++) {
		char other[32];
		size_t i;

		cr_expect_str_eq(cases[k].name, swapcache_knob[k].name);
		/* with hyphens, as the other keys have them */
		for (i = 0; cases[k].name[i]; i++)
			other[i] = cases[k].name[i] == '_' ? '-' : cases[k].name[i];
		other[i] = '\0';
		if (!cases[k].least)
			continue;
		expect_taken(k, cases[k].name, cases[k].least, cases[k].least_is);
		expect_taken(k, cases[k].name, cases[k].most, cases[k].most_is);
		expect_taken(k, other, cases[k].most, cases[k].most_is);
	}
}

Test(conf_swapcache, every_knob_is_refused)
{
	for (int k = 0; k < SWAPCACHE_KNOBS; k++) {
		for (int i = 0; i < 3; i++) {
			char text[128], wanted[256];

			snprintf(text, sizeof(text), "[swapcache]\n%s = %s\n", cases[k].name,
				 cases[k].wrong[i]);
			cr_expect_eq(read_text(text), -EINVAL, "taken: %s", text);
			snprintf(wanted, sizeof(wanted), "%s:2: %s is '%s', but must be %s",
				 path, cases[k].name, cases[k].wrong[i], cases[k].allowed);
			cr_expect_str_eq(e.text, wanted, "%s", e.text);
			cr_expect_eq(conf.swapcache_given, 0);
		}
	}
}

Test(conf_swapcache, a_section_of_several)
{
	cr_assert_eq(read_text("[swapcache]\ndata_enable = on\nmeta-enable=yes ; both\n"
			       "[drumd]\nleave = yes\n[swapcache]\naccrate = 200K\n"),
		     0, "%s", e.text);
	cr_expect_eq(conf.swapcache_given, 1u << SWAPCACHE_DATA_ENABLE |
						   1u << SWAPCACHE_META_ENABLE |
						   1u << SWAPCACHE_ACCRATE);
	cr_expect_eq(conf.swapcache[SWAPCACHE_ACCRATE], 204800);

	/* another file is laid over it: what it does not say stays */
	cr_assert_eq(read_text("[swapcache]\naccrate = 1M\n"), 0, "%s", e.text);
	cr_expect_eq(conf.swapcache_given, 1u << SWAPCACHE_DATA_ENABLE |
						   1u << SWAPCACHE_META_ENABLE |
						   1u << SWAPCACHE_ACCRATE);
	cr_expect_eq(conf.swapcache[SWAPCACHE_ACCRATE], 1 << 20);
	cr_expect_eq(conf.swapcache[SWAPCACHE_DATA_ENABLE], 1);
}

Test(conf_swapcache, unknown_and_twice)
{
	static const struct {
		const char *text, *why;
	} refused[] = {
		{ "[swapcache]\nspeed = 1\n",
		  ":2: no key 'speed' in [swapcache]; there are read_enable, data_enable, "
		  "meta_enable, fill_enable, use_chflags, maxfilesize, maxswappct, minburst, "
		  "curburst, maxburst, accrate, min_hysteresis, maxscan, maxlaunder, "
		  "cleanperobj, write_count" },
		{ "[swapcache]\naccrate = 1M\naccrate = 1M\n", ":3: accrate is given twice" },
		{ "[swapcache]\ndata_enable = on\ndata-enable = off\n",
		  ":3: data_enable is given twice" },
		{ "[drumd]\naccrate = 1M\n", ":2: no key 'accrate' in [drumd]" },
		{ "[swapcache]\nleave = yes\n", ":2: no key 'leave' in [swapcache]" },
		/* the first is told */
		{ "[swapcache]\naccrate = x\naccrate = y\n", ":2: accrate is 'x', but must" },
	};

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		cr_expect_eq(read_text(refused[i].text), -EINVAL, "%s", refused[i].text);
		cr_expect(strstr(e.text, refused[i].why), "%s", e.text);
		cr_expect_eq(conf.swapcache_given, 0, "%s", refused[i].text);
	}
}
