/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * Each knob has a range of its own, and any of them may be set at any time; what they are
 * together is for swapcache.c, which makes do with any that are in their ranges.  So a range is
 * what makes sense of one knob alone:
 *
 *	maxswappct	cleaning ends ten points below it, which must be more than nothing;
 *			and 5 points are left, so that it begins before swap is full.
 *	maxburst	a cluster of 16 blocks at least, or nothing could ever be written.
 *	accrate		1K a second at least: less is "off", which has a knob.
 *	min_hysteresis	1: with 0 there would be a pass ten times a second, whatever comes.
 *	maxscan, maxlaunder
 *			from a cluster, below which passes gain nothing, to 4 GiB.
 *	cleanperobj	from a cluster.
 *
 * The upper ends of the others are there for arithmetic, which must not overflow.
 */

#include "base/swapcache_knobs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/size.h"

#define K UINT64_C(1024)
#define M (K * K)
#define T (M * M)
#define P (K * T)

#define SWITCH(name, def, what)                                                                \
	{                                                                                      \
		name, SWAPCACHE_UNIT_SWITCH, false, 0, 1, def, "on or off", what               \
	}

const struct swapcache_knob_info swapcache_knob[SWAPCACHE_KNOBS] = {
	[SWAPCACHE_READ_ENABLE] =
		SWITCH("read_enable", 1, "read from swap what it has a copy of"),
	[SWAPCACHE_DATA_ENABLE] = SWITCH("data_enable", 0, "cache data of images"),
	[SWAPCACHE_META_ENABLE] =
		SWITCH("meta_enable", 0, "cache blocks of images that look like metadata"),
	[SWAPCACHE_FILL_ENABLE] =
		SWITCH("fill_enable", 0, "cache blocks as they are read, too"),
	[SWAPCACHE_USE_CHFLAGS] =
		SWITCH("use_chflags", 0, "cache data only of disks with swapcache=on"),
	[SWAPCACHE_MAXFILESIZE] = { "maxfilesize", SWAPCACHE_UNIT_BYTES, false, 0, K *P, 0,
				    "a size from 0 to 1E, as 20G; 0 is any size",
				    "cache data only of images that are no larger" },
	[SWAPCACHE_MAXSWAPPCT] = { "maxswappct", SWAPCACHE_UNIT_PERCENT, false, 11, 95, 75,
				   "a number from 11 to 95",
				   "percent of swap that the cache may have" },
	[SWAPCACHE_MINBURST] = { "minburst", SWAPCACHE_UNIT_BYTES, false, 0, P, 10000000,
				 "a size from 0 to 1P, as 10M",
				 "after a burst, wait until so much may be written" },
	[SWAPCACHE_CURBURST] = { "curburst", SWAPCACHE_UNIT_BYTES, false, 0, P, 4000000000,
				 "a size from 0 to 1P, as 4G",
				 "bytes that may be written now" },
	[SWAPCACHE_MAXBURST] = { "maxburst", SWAPCACHE_UNIT_BYTES, false, 64 * K, P, 2000000000,
				 "a size from 64K to 1P, as 2G", "what curburst grows to" },
	[SWAPCACHE_ACCRATE] = { "accrate", SWAPCACHE_UNIT_RATE, false, K, 64 * K *M, 100000,
				"bytes a second from 1K to 64G, as 200K",
				"what curburst grows by in a second" },
	[SWAPCACHE_MIN_HYSTERESIS] = { "min_hysteresis", SWAPCACHE_UNIT_PAGES, false, 1,
				       256 * M, 1024, "a number of pages from 1 to 268435456",
				       "pages that a pass waits for, at least" },
	[SWAPCACHE_HYSTERESIS] = { "hysteresis", SWAPCACHE_UNIT_PAGES, true, 0, UINT64_MAX / 4,
				   1024, "left to the daemon: set min_hysteresis",
				   "pages that a pass waits for, now" },
	[SWAPCACHE_MAXSCAN] = { "maxscan", SWAPCACHE_UNIT_PAGES, false, 16, M, 8192,
				"a number of pages from 16 to 1048576",
				"pages that a pass looks at" },
	[SWAPCACHE_MAXLAUNDER] = { "maxlaunder", SWAPCACHE_UNIT_PAGES, false, 16, M, 4096,
				   "a number of pages from 16 to 1048576",
				   "pages that a pass writes, or cleans" },
	[SWAPCACHE_CLEANPEROBJ] = { "cleanperobj", SWAPCACHE_UNIT_BYTES, false, 64 * K, T,
				    16 * M, "a size from 64K to 1T, as 16M",
				    "cleaned of one image before it is the next's turn" },
	[SWAPCACHE_WRITE_COUNT] = { "write_count", SWAPCACHE_UNIT_BYTES, false, 0, INT64_MAX, 0,
				    "a size of less than 8E, mostly 0",
				    "bytes that were written" },
};

static const char *const modes[] = {
	[SWAPCACHE_AUTO] = "auto",
	[SWAPCACHE_ON] = "on",
	[SWAPCACHE_META] = "meta",
	[SWAPCACHE_OFF] = "off",
};

_Static_assert(sizeof(modes) / sizeof(modes[0]) == SWAPCACHE_MODES, "each has a name");
_Static_assert(SWAPCACHE_KNOBS <= 32, "a bit each in 32 of them");

enum swapcache_knob swapcache_knob_find(const char *name)
{
	for (unsigned int k = 0; k < SWAPCACHE_KNOBS; k++) {
		const char *a = swapcache_knob[k].name, *b = name;

		while (*a && (*a == *b || (*a == '_' && *b == '-')))
			a++, b++;
		if (!*a && !*b)
			return (enum swapcache_knob)k;
	}
	return SWAPCACHE_KNOBS;
}

static int refuse(const struct swapcache_knob_info *i, const char *said, struct err *e)
{
	/* What is said may be of any length, and the end is what helps. */
	return err_set(e, -EINVAL, "%s is '%.64s%s', but must be %s", i->name, said,
		       strlen(said) > 64 ? ".." : "", i->allowed);
}

int swapcache_knob_check(enum swapcache_knob k, uint64_t value, struct err *e)
{
	const struct swapcache_knob_info *i = &swapcache_knob[k];
	char said[24];

	if (!i->read_only && value >= i->min && value <= i->max)
		return 0;
	snprintf(said, sizeof(said), "%" PRIu64, value);
	return refuse(i, said, e);
}

static bool parse_switch(const char *text, uint64_t *value)
{
	static const char *const words[][2] = {
		{ "off", "on" }, { "no", "yes" }, { "false", "true" }, { "0", "1" }
	};

	for (size_t w = 0; w < sizeof(words) / sizeof(words[0]); w++) {
		for (unsigned int on = 0; on < 2; on++) {
			if (strcasecmp(text, words[w][on]) == 0) {
				*value = on;
				return true;
			}
		}
	}
	return false;
}

int swapcache_knob_parse(enum swapcache_knob k, const char *text, uint64_t *value,
			 struct err *e)
{
	const struct swapcache_knob_info *i = &swapcache_knob[k];
	uint64_t v = 0;
	bool fine = false;

	switch (i->unit) {
	case SWAPCACHE_UNIT_SWITCH:
		fine = parse_switch(text, &v);
		break;
	case SWAPCACHE_UNIT_BYTES:
	case SWAPCACHE_UNIT_RATE:
		fine = size_parse(text, &v) == 0;
		break;
	case SWAPCACHE_UNIT_PAGES:
	case SWAPCACHE_UNIT_PERCENT:
		/* digits alone: "1K" of pages would be taken for bytes */
		fine = text[strspn(text, "0123456789")] == '\0' && size_parse(text, &v) == 0;
		break;
	}
	if (!fine || i->read_only || v < i->min || v > i->max)
		return refuse(i, text, e);
	*value = v;
	return 0;
}

void swapcache_knob_format(enum swapcache_knob k, uint64_t value, char *out, size_t size)
{
	char buf[SIZE_TEXT_MAX];

	switch (swapcache_knob[k].unit) {
	case SWAPCACHE_UNIT_SWITCH:
		snprintf(out, size, "%s", value ? "on" : "off");
		break;
	case SWAPCACHE_UNIT_BYTES:
	case SWAPCACHE_UNIT_RATE:
		snprintf(out, size, "%s", size_format(buf, value));
		break;
	case SWAPCACHE_UNIT_PAGES:
	case SWAPCACHE_UNIT_PERCENT:
		snprintf(out, size, "%" PRIu64, value);
		break;
	}
}

const char *swapcache_mode_name(enum swapcache_mode mode)
{
	return (unsigned int)mode < SWAPCACHE_MODES ? modes[mode] : "?";
}

int swapcache_mode_parse(const char *text, enum swapcache_mode *mode)
{
	for (unsigned int m = 0; m < SWAPCACHE_MODES; m++) {
		if (strcmp(text, modes[m]) == 0) {
			*mode = (enum swapcache_mode)m;
			return 0;
		}
	}
	return -EINVAL;
}
