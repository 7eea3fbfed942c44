/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The knobs of the swapcache daemon, as DragonFly's vm.swapcache.* has them: names, ranges and
 * defaults, wherever they are said: in QMP, in drum.conf, on command lines, in the manual.
 */
#ifndef DRUM_BASE_SWAPCACHE_KNOBS_H
#define DRUM_BASE_SWAPCACHE_KNOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum swapcache_knob {
	SWAPCACHE_READ_ENABLE, /* divert reads */
	SWAPCACHE_DATA_ENABLE, /* cache data */
	SWAPCACHE_META_ENABLE, /* cache blocks that look like metadata */
	SWAPCACHE_FILL_ENABLE, /* cache blocks as they are read, too (no knob of the seed's) */
	SWAPCACHE_USE_CHFLAGS, /* data only of disks that have --swapcache=on */
	SWAPCACHE_MAXFILESIZE, /* bytes: no data of larger images; 0: of all */
	SWAPCACHE_MAXSWAPPCT,  /* percent of swap */
	SWAPCACHE_MINBURST,    /* bytes */
	SWAPCACHE_CURBURST,    /* bytes, what may be written at once now */
	SWAPCACHE_MAXBURST,    /* bytes */
	SWAPCACHE_ACCRATE,     /* bytes a second */
	SWAPCACHE_MIN_HYSTERESIS, /* pages */
	SWAPCACHE_HYSTERESIS,	  /* pages; is computed, cannot be set */
	SWAPCACHE_MAXSCAN,	  /* pages that one pass looks at */
	SWAPCACHE_MAXLAUNDER,	  /* pages that one pass writes, or cleans */
	SWAPCACHE_CLEANPEROBJ, /* bytes of one image that are cleaned before the next's turn */
	SWAPCACHE_WRITE_COUNT, /* bytes written so far; may be set, to 0 mostly */
	SWAPCACHE_KNOBS
};

enum swapcache_unit {
	SWAPCACHE_UNIT_SWITCH, /* 0 or 1: off, on */
	SWAPCACHE_UNIT_BYTES,  /* as base/size.h reads and prints them */
	SWAPCACHE_UNIT_RATE,   /* bytes a second, likewise */
	SWAPCACHE_UNIT_PAGES,  /* of 4 KiB */
	SWAPCACHE_UNIT_PERCENT,
};

struct swapcache_knob_info {
	const char *name; /* as "maxswappct" */
	enum swapcache_unit unit;
	bool read_only;
	uint64_t min, max, def;
	const char *allowed; /* to come after "must be": the range, in the unit people write */
	const char *what;    /* one line for people */
};

extern const struct swapcache_knob_info swapcache_knob[SWAPCACHE_KNOBS];

/* => SWAPCACHE_KNOBS: there is none of that name ("data-enable" is the same as "data_enable")
 */
enum swapcache_knob swapcache_knob_find(const char *name);

/* => 0, or -EINVAL and e, which names the knob, what was said, and what is allowed */
int must_check swapcache_knob_check(enum swapcache_knob k, uint64_t value, struct err *e);
/* on, off, yes, no, true, false, 1, 0; sizes as 512M; numbers; checked too. */
int must_check swapcache_knob_parse(enum swapcache_knob k, const char *text, uint64_t *value,
				    struct err *e);
void swapcache_knob_format(enum swapcache_knob k, uint64_t value, char *out, size_t size);

/* What is said of one disk: `disk add` and `disk set --swapcache`, drum.conf swapcache=. */
enum swapcache_mode {
	SWAPCACHE_AUTO, /* what the knobs say */
	SWAPCACHE_ON,	/* likewise, and its data although use_chflags is on */
	SWAPCACHE_META, /* metadata only */
	SWAPCACHE_OFF,	/* nothing */
	SWAPCACHE_MODES
};

#define SWAPCACHE_MODE_ALLOWED "auto, on, meta or off"

const char *swapcache_mode_name(enum swapcache_mode mode);
/* => 0 or -EINVAL */
int must_check swapcache_mode_parse(const char *text, enum swapcache_mode *mode);

#endif
