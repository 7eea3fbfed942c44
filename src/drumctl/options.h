/* SPDX-License-Identifier: BSD-2-Clause */
/* The options of drumctl: one table, and the reading of their values. */
#ifndef DRUM_DRUMCTL_OPTIONS_H
#define DRUM_DRUMCTL_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum option_bit {
	OPT_JSON = 1 << 0,
	OPT_BYTES = 1 << 1,
	OPT_NOHEADINGS = 1 << 2,
	OPT_RAW = 1 << 3,
	OPT_OUTPUT = 1 << 4,
	OPT_NAME = 1 << 5,
	OPT_LIMIT = 1 << 6,
	OPT_PRIORITY = 1 << 7,
	OPT_MIRROR = 1 << 8,
	OPT_FORCE = 1 << 9,
	OPT_FILL = 1 << 10,
	OPT_DISCARD = 1 << 11,
	OPT_NO_DISCARD = 1 << 12,
	OPT_NO_CHECKSUMS = 1 << 13,
	OPT_MAX_INFLIGHT = 1 << 14,
	OPT_MAX_BANDWIDTH = 1 << 15,
	OPT_CANCEL = 1 << 16,
	OPT_CLUSTER = 1 << 17,
	OPT_DEPTH = 1 << 18,
	OPT_TOTAL_WRITES = 1 << 19,
	OPT_READS = 1 << 20,
	OPT_COUNT = 1 << 21,
	OPT_GIVE_UP = 1 << 22,
	OPT_SWBLOCKS = 1 << 23,
	OPT_STALL_AFTER = 1 << 24,
	OPT_SAMPLE = 1 << 25,
};

/* The command line, parsed; what is not given is zero. */
struct verb_args {
	unsigned int given; /* of enum option_bit */
	const char *socket;
	const char *operand, *second;
	const char *name, *mirror, *output;
	uint64_t limit, max_bandwidth, cluster;
	uint32_t priority, max_inflight, depth, total_writes, reads, swblocks, give_up,
		stall_after, sample, count;
};

enum option_type { TYPE_NONE, TYPE_TEXT, TYPE_SIZE, TYPE_NUMBER };

struct option_def {
	const char *name;
	char letter;	   /* 0: long only */
	unsigned int bit;  /* 0: drumctl's own, not a verb's */
	const char *value; /* what help calls it; NULL: takes none */
	enum option_type type;
	size_t offset;	   /* in struct verb_args, of a const char *, uint64_t or uint32_t */
	uint32_t min, max; /* of a number */
	const char *doc;
};

#define OPTIONS 29
extern const struct option_def option_defs[OPTIONS];

/* => 0 with args filled, or -EINVAL */
int must_check option_take(const struct option_def *o, const char *value,
			   struct verb_args *args, struct err *e);

/* A whole number, and nothing behind it. => 0 or -EINVAL */
int must_check number_parse(const char *text, uint32_t min, uint32_t max, uint32_t *number);

/* The first of these, or NULL. */
const struct option_def *option_of(unsigned int bits);

#endif
