/* SPDX-License-Identifier: BSD-2-Clause */
/* The knobs of the swapcache daemon: the seed's names and defaults, ranges, messages. */
#include <criterion/criterion.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "base/swapcache_knobs.h"

#define LIMIT .timeout = 30
#define KI    UINT64_C(1024)

/* What vm.swapcache.* is in DragonFly: name, what it is after boot, whether it can be set. */
static const struct {
	const char *name;
	uint64_t def;
	bool read_only;
} seeds[] = {
	{ "maxlaunder", 4096, false },	       { "maxscan", 8192, false },
	{ "data_enable", 0, false },	       { "meta_enable", 0, false },
	{ "read_enable", 1, false }, /* 0 there */
	{ "maxswappct", 75, false },	       { "hysteresis", 1024, true },
	{ "min_hysteresis", 1024, false },     { "use_chflags", 0, false },
	{ "minburst", 10000000, false },       { "curburst", 4000000000, false },
	{ "maxburst", 2000000000, false },     { "maxfilesize", 0, false },
	{ "accrate", 100000, false },	       { "write_count", 0, false },
	{ "cleanperobj", 16 * KI *KI, false }, { "fill_enable", 0, false }, /* ours */
};
#define SEEDS (sizeof(seeds) / sizeof(seeds[0]))

Test(swapcache_knobs, names_and_defaults_are_the_seeds, LIMIT)
{
	cr_assert_eq((size_t)SWAPCACHE_KNOBS, SEEDS);
	for (size_t i = 0; i < SEEDS; i++) {
		enum swapcache_knob k = swapcache_knob_find(seeds[i].name);

		cr_assert_lt(k, SWAPCACHE_KNOBS, "%s", seeds[i].name);
		cr_expect_str_eq(swapcache_knob[k].name, seeds[i].name);
		cr_expect_eq(swapcache_knob[k].def, seeds[i].def, "%s", seeds[i].name);
		cr_expect_eq(swapcache_knob[k].read_only, seeds[i].read_only, "%s",
			     seeds[i].name);
	}
}

Test(swapcache_knobs, each_has_a_range_with_its_default, LIMIT)
{
	for (unsigned int k = 0; k < SWAPCACHE_KNOBS; k++) {
		const struct swapcache_knob_info *i = &swapcache_knob[k];

		cr_assert_not_null(i->name, "knob %u", k);
		cr_expect_leq(i->min, i->def, "%s", i->name);
		cr_expect_leq(i->def, i->max, "%s", i->name);
		cr_expect(i->what && islower((unsigned char)*i->what), "%s", i->name);
		cr_expect(i->allowed && *i->allowed, "%s", i->name);
	}
}

Test(swapcache_knobs, found_with_either_hyphen, LIMIT)
{
	cr_assert_eq(swapcache_knob_find("data-enable"), SWAPCACHE_DATA_ENABLE);
	cr_assert_eq(swapcache_knob_find("min-hysteresis"), SWAPCACHE_MIN_HYSTERESIS);
	cr_assert_eq(swapcache_knob_find("hysteresis"), SWAPCACHE_HYSTERESIS);
	cr_assert_eq(swapcache_knob_find("data"), SWAPCACHE_KNOBS);
	cr_assert_eq(swapcache_knob_find("data_enable2"), SWAPCACHE_KNOBS);
	cr_assert_eq(swapcache_knob_find("Data_enable"), SWAPCACHE_KNOBS);
	cr_assert_eq(swapcache_knob_find("max_scan"), SWAPCACHE_KNOBS);
	cr_assert_eq(swapcache_knob_find(""), SWAPCACHE_KNOBS);
}

static const struct {
	enum swapcache_knob k;
	const char *text;
	int ret;
	uint64_t value;
} parses[] = {
	{ SWAPCACHE_DATA_ENABLE, "on", 0, 1 },
	{ SWAPCACHE_DATA_ENABLE, "yes", 0, 1 },
	{ SWAPCACHE_DATA_ENABLE, "true", 0, 1 },
	{ SWAPCACHE_DATA_ENABLE, "1", 0, 1 },
	{ SWAPCACHE_META_ENABLE, "off", 0, 0 },
	{ SWAPCACHE_META_ENABLE, "no", 0, 0 },
	{ SWAPCACHE_READ_ENABLE, "False", 0, 0 },
	{ SWAPCACHE_FILL_ENABLE, "0", 0, 0 },
	{ SWAPCACHE_USE_CHFLAGS, "ON", 0, 1 },
	{ SWAPCACHE_USE_CHFLAGS, "2", -EINVAL, 0 },
	{ SWAPCACHE_USE_CHFLAGS, "", -EINVAL, 0 },
	{ SWAPCACHE_USE_CHFLAGS, "on ", -EINVAL, 0 },
	{ SWAPCACHE_DATA_ENABLE, "enable", -EINVAL, 0 },

	{ SWAPCACHE_MAXSWAPPCT, "11", 0, 11 },
	{ SWAPCACHE_MAXSWAPPCT, "95", 0, 95 },
	{ SWAPCACHE_MAXSWAPPCT, "10", -EINVAL, 0 },
	{ SWAPCACHE_MAXSWAPPCT, "96", -EINVAL, 0 },
	{ SWAPCACHE_MAXSWAPPCT, "-1", -EINVAL, 0 },
	{ SWAPCACHE_MAXSWAPPCT, "75%", -EINVAL, 0 },
	{ SWAPCACHE_MAXSWAPPCT, "", -EINVAL, 0 },

	/* K is 1024, as everywhere in Drum */
	{ SWAPCACHE_ACCRATE, "200K", 0, 200 * KI },
	{ SWAPCACHE_ACCRATE, "100000", 0, 100000 },
	{ SWAPCACHE_ACCRATE, "1K", 0, KI },
	{ SWAPCACHE_ACCRATE, "1023", -EINVAL, 0 },
	{ SWAPCACHE_ACCRATE, "0", -EINVAL, 0 },
	{ SWAPCACHE_ACCRATE, "64G", 0, 64 * KI *KI *KI },
	{ SWAPCACHE_ACCRATE, "65G", -EINVAL, 0 },
	{ SWAPCACHE_ACCRATE, "200KB", -EINVAL, 0 },
	{ SWAPCACHE_ACCRATE, "fast", -EINVAL, 0 },
	{ SWAPCACHE_MINBURST, "0", 0, 0 },
	{ SWAPCACHE_MINBURST, "1P", 0, KI *KI *KI *KI *KI },
	{ SWAPCACHE_MINBURST, "2P", -EINVAL, 0 },
	{ SWAPCACHE_CURBURST, "0", 0, 0 },
	{ SWAPCACHE_CURBURST, "1.5G", 0, 3 * KI *KI *KI / 2 },
	{ SWAPCACHE_CURBURST, "1.1P", -EINVAL, 0 },
	{ SWAPCACHE_MAXBURST, "64K", 0, 64 * KI },
	{ SWAPCACHE_MAXBURST, "63K", -EINVAL, 0 },
	{ SWAPCACHE_MAXFILESIZE, "20G", 0, 20 * KI *KI *KI },
	{ SWAPCACHE_MAXFILESIZE, "0", 0, 0 },
	{ SWAPCACHE_MAXFILESIZE, "1E", 0, UINT64_C(1) << 60 },
	{ SWAPCACHE_MAXFILESIZE, "2E", -EINVAL, 0 },
	{ SWAPCACHE_MAXFILESIZE, "99999999999999999999", -EINVAL, 0 },
	{ SWAPCACHE_CLEANPEROBJ, "64K", 0, 64 * KI },
	{ SWAPCACHE_CLEANPEROBJ, "60K", -EINVAL, 0 },
	{ SWAPCACHE_CLEANPEROBJ, "1T", 0, UINT64_C(1) << 40 },
	{ SWAPCACHE_CLEANPEROBJ, "2T", -EINVAL, 0 },
	{ SWAPCACHE_WRITE_COUNT, "0", 0, 0 },
	{ SWAPCACHE_WRITE_COUNT, "7E", 0, UINT64_C(7) << 60 },
	{ SWAPCACHE_WRITE_COUNT, "8E", -EINVAL, 0 },

	{ SWAPCACHE_MIN_HYSTERESIS, "1", 0, 1 },
	{ SWAPCACHE_MIN_HYSTERESIS, "0", -EINVAL, 0 },
	{ SWAPCACHE_MIN_HYSTERESIS, "268435456", 0, 1 << 28 },
	{ SWAPCACHE_MIN_HYSTERESIS, "268435457", -EINVAL, 0 },
	{ SWAPCACHE_HYSTERESIS, "1024", -EINVAL, 0 },
	{ SWAPCACHE_MAXSCAN, "16", 0, 16 },
	{ SWAPCACHE_MAXSCAN, "15", -EINVAL, 0 },
	{ SWAPCACHE_MAXSCAN, "1048576", 0, 1 << 20 },
	{ SWAPCACHE_MAXSCAN, "1048577", -EINVAL, 0 },
	{ SWAPCACHE_MAXSCAN, "8K", -EINVAL, 0 }, /* pages, not bytes */
	{ SWAPCACHE_MAXLAUNDER, "16", 0, 16 },
	{ SWAPCACHE_MAXLAUNDER, "15", -EINVAL, 0 },
	{ SWAPCACHE_MAXLAUNDER, "1048577", -EINVAL, 0 },
};
#define PARSES (sizeof(parses) / sizeof(parses[0]))

Test(swapcache_knobs, parse, LIMIT)
{
	for (size_t i = 0; i < PARSES; i++) {
		const char *name = swapcache_knob[parses[i].k].name;
		struct err e = { 0 };
		uint64_t value = 77;
		int ret = swapcache_knob_parse(parses[i].k, parses[i].text, &value, &e);

		cr_expect_eq(ret, parses[i].ret, "%s=%s gives %d", name, parses[i].text, ret);
		cr_expect_eq(value, ret ? 77 : parses[i].value, "%s=%s is %lu", name,
			     parses[i].text, value);
		if (ret == 0) {
			cr_expect_eq(swapcache_knob_check(parses[i].k, value, NULL), 0);
			continue;
		}
		/* what, what was said, and what may be */
		cr_expect_eq(e.code, -EINVAL);
		cr_expect_eq(strncmp(e.text, name, strlen(name)), 0, "%s", e.text);
		cr_expect_not_null(strstr(e.text, parses[i].text), "%s", e.text);
		cr_expect_not_null(strstr(e.text, swapcache_knob[parses[i].k].allowed), "%s",
				   e.text);
		cr_expect_null(strchr(e.text, '\n'));
	}
}

/* Both ends of a range are in it, and what is beyond is not, whatever the unit. */
Test(swapcache_knobs, check, LIMIT)
{
	for (unsigned int k = 0; k < SWAPCACHE_KNOBS; k++) {
		const struct swapcache_knob_info *i = &swapcache_knob[k];
		enum swapcache_knob knob = (enum swapcache_knob)k;
		struct err e = { 0 };

		if (i->read_only) {
			cr_expect_eq(swapcache_knob_check(knob, i->def, &e), -EINVAL);
			continue;
		}
		cr_expect_eq(swapcache_knob_check(knob, i->min, &e), 0, "%s", e.text);
		cr_expect_eq(swapcache_knob_check(knob, i->max, &e), 0, "%s", e.text);
		cr_expect_eq(swapcache_knob_check(knob, i->max + 1, &e), -EINVAL, "%s",
			     i->name);
		cr_expect_eq(swapcache_knob_check(knob, UINT64_MAX, &e), -EINVAL, "%s",
			     i->name);
		if (i->min)
			cr_expect_eq(swapcache_knob_check(knob, i->min - 1, &e), -EINVAL, "%s",
				     i->name);
	}
}

/* What `allowed` says, in words, is what min and max are. */
Test(swapcache_knobs, messages_say_the_range, LIMIT)
{
	struct err e = { 0 };
	char lo[SIZE_TEXT_MAX], hi[SIZE_TEXT_MAX], range[64];

	cr_assert_eq(swapcache_knob_check(SWAPCACHE_MAXSWAPPCT, 120, &e), -EINVAL);
	cr_assert_str_eq(e.text, "maxswappct is '120', but must be a number from 11 to 95");
	cr_assert_eq(swapcache_knob_parse(SWAPCACHE_DATA_ENABLE, "maybe", &(uint64_t){ 0 }, &e),
		     -EINVAL);
	cr_assert_str_eq(e.text, "data_enable is 'maybe', but must be on or off");

	for (unsigned int k = 0; k < SWAPCACHE_KNOBS; k++) {
		const struct swapcache_knob_info *i = &swapcache_knob[k];

		if (i->unit == SWAPCACHE_UNIT_SWITCH || i->read_only ||
		    k == SWAPCACHE_WRITE_COUNT)
			continue;
		if (i->unit == SWAPCACHE_UNIT_BYTES || i->unit == SWAPCACHE_UNIT_RATE) {
			size_format(lo, i->min);
			size_format(hi, i->max);
		} else {
			snprintf(lo, sizeof(lo), "%lu", i->min);
			snprintf(hi, sizeof(hi), "%lu", i->max);
		}
		snprintf(range, sizeof(range), "from %s to %s", lo, hi);
		cr_expect_not_null(strstr(i->allowed, range), "%s: '%s' lacks '%s'", i->name,
				   i->allowed, range);
	}
}

/* However long it is: the name and what is allowed are there. */
Test(swapcache_knobs, long_values_are_cut, LIMIT)
{
	char text[2000];
	struct err e = { 0 };
	uint64_t value = 0;

	memset(text, '9', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	cr_assert_eq(swapcache_knob_parse(SWAPCACHE_MAXSCAN, text, &value, &e), -EINVAL);
	cr_assert_lt(strlen(e.text), 200);
	cr_assert_not_null(strstr(e.text, "99..'"), "%s", e.text);
	cr_assert_not_null(strstr(e.text, "from 16 to 1048576"), "%s", e.text);
}

Test(swapcache_knobs, format, LIMIT)
{
	static const struct {
		enum swapcache_knob k;
		uint64_t value;
		const char *text;
	} rows[] = {
		{ SWAPCACHE_DATA_ENABLE, 1, "on" },
		{ SWAPCACHE_READ_ENABLE, 0, "off" },
		{ SWAPCACHE_MAXSWAPPCT, 75, "75" },
		{ SWAPCACHE_ACCRATE, 200 * KI, "200K" },
		{ SWAPCACHE_CURBURST, 0, "0" },
		{ SWAPCACHE_CURBURST, 4000000000, "3.7G" },
		{ SWAPCACHE_MAXSCAN, 8192, "8192" },
		{ SWAPCACHE_HYSTERESIS, 5000, "5000" },
		{ SWAPCACHE_MAXFILESIZE, KI * KI, "1M" },
	};
	char text[SIZE_TEXT_MAX];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		swapcache_knob_format(rows[i].k, rows[i].value, text, sizeof(text));
		cr_expect_str_eq(text, rows[i].text);
	}
	swapcache_knob_format(SWAPCACHE_HYSTERESIS, 123456, text, 4);
	cr_expect_str_eq(text, "123", "no longer than there is room");
}

Test(swapcache_knobs, modes, LIMIT)
{
	static const char *const names[] = { "auto", "on", "meta", "off" };
	enum swapcache_mode mode = SWAPCACHE_MODES;

	for (unsigned int m = 0; m < SWAPCACHE_MODES; m++) {
		cr_expect_str_eq(swapcache_mode_name((enum swapcache_mode)m), names[m]);
		cr_expect_eq(swapcache_mode_parse(names[m], &mode), 0);
		cr_expect_eq((unsigned int)mode, m);
		cr_expect_not_null(strstr(SWAPCACHE_MODE_ALLOWED, names[m]));
	}
	mode = SWAPCACHE_META;
	cr_expect_eq(swapcache_mode_parse("On", &mode), -EINVAL);
	cr_expect_eq(swapcache_mode_parse("", &mode), -EINVAL);
	cr_expect_eq(swapcache_mode_parse("data", &mode), -EINVAL);
	cr_expect_eq(mode, SWAPCACHE_META, "as it was");
	cr_expect_str_eq(swapcache_mode_name(SWAPCACHE_MODES), "?");
}
