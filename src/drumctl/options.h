/* SPDX-License-Identifier: BSD-2-Clause */
/* The options of drumctl: one table, and the reading of their values. */
#ifndef DRUM_DRUMCTL_OPTIONS_H
#define DRUM_DRUMCTL_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum option_bit {
	OPT_JSON = 1ull << 0,
	OPT_BYTES = 1ull << 1,
	OPT_NOHEADINGS = 1ull << 2,
	OPT_RAW = 1ull << 3,
	OPT_OUTPUT = 1ull << 4,
	OPT_NAME = 1ull << 5,
	OPT_LIMIT = 1ull << 6,
	OPT_PRIORITY = 1ull << 7,
	OPT_MIRROR = 1ull << 8,
	OPT_FORCE = 1ull << 9,
	OPT_FILL = 1ull << 10,
	OPT_DISCARD = 1ull << 11,
	OPT_NO_DISCARD = 1ull << 12,
	OPT_NO_CHECKSUMS = 1ull << 13,
	OPT_MAX_INFLIGHT = 1ull << 14,
	OPT_MAX_BANDWIDTH = 1ull << 15,
	OPT_CANCEL = 1ull << 16,
	OPT_CLUSTER = 1ull << 17,
	OPT_DEPTH = 1ull << 18,
	OPT_TOTAL_WRITES = 1ull << 19,
	OPT_READS = 1ull << 20,
	OPT_COUNT = 1ull << 21,
	OPT_GIVE_UP = 1ull << 22,
	OPT_SWBLOCKS = 1ull << 23,
	OPT_STALL_AFTER = 1ull << 24,
	OPT_SAMPLE = 1ull << 25,
	OPT_IMAGE = 1ull << 26,
	OPT_READ_ONLY = 1ull << 27,
	OPT_LISTEN = 1ull << 28, /* --socket behind the verb */
	OPT_CACHE = 1ull << 29,
	OPT_SERIAL = 1ull << 30,
	OPT_GUEST = 1ull << 31,
	OPT_NO_MAP = 1ull << 32,
	OPT_QUEUES = 1ull << 33,
	OPT_SWAPCACHE = 1ull << 34,
	OPT_ENDURANCE = 1ull << 35,
	OPT_MEMORY = 1ull << 36,
	OPT_RESERVATION = 1ull << 37,
	OPT_SHARES = 1ull << 38,
	OPT_QMP = 1ull << 39,
	OPT_BALLOON = 1ull << 40,
	OPT_DOMAIN = 1ull << 41,
	OPT_BUDGET = 1ull << 42,
	OPT_IDLE_TAX = 1ull << 43,
	OPT_STALL_TARGET = 1ull << 44,
	OPT_DRY_RUN = 1ull << 58,
	OPT_CELLS = 1ull << 48,
	OPT_DELAY = 1ull << 49,
	OPT_SORT = 1ull << 50,
	OPT_FILTER = 1ull << 51,
	OPT_HTML = 1ull << 53,
	OPT_FOLLOW = 1ull << 54,
	OPT_SVG = 1ull << 61,
	OPT_LOG_LEVEL = 1ull << 56,
	OPT_LEAVE = 1ull << 57,
};

/* The command line, parsed; what is not given is zero. */
struct verb_args {
	uint64_t given; /* of enum option_bit */
	const char *socket;
	const char *operand, *second;
	char *const *operands; /* these, and all that follow; ends with NULL */
	const char *name, *mirror, *output;
	const char *image, *listen, *cache, *serial, *guest, *swapcache;
	const char *html;
	const char *qmp, *balloon, *domain;
	const char *sort, *filter, *svg;
	const char *log_level, *leave;
	uint64_t limit, max_bandwidth, cluster, endurance, memory, reservation, budget;
	uint32_t priority, max_inflight, depth, total_writes, reads, swblocks, give_up,
		stall_after, sample, count, queues, shares;
	uint32_t cells;
	uint32_t delay;	       /* milliseconds */
	uint32_t idle_tax;     /* percent */
	uint32_t stall_target; /* millionths */
};

enum option_type {
	TYPE_NONE,
	TYPE_TEXT,
	TYPE_SIZE,
	TYPE_SIZE_OR_NONE,
	TYPE_NUMBER,
	TYPE_TAX,     /* uint32_t: percent */
	TYPE_PERCENT, /* uint32_t: millionths */
	TYPE_SECONDS, /* uint32_t: milliseconds, which min and max are as well */
};

struct option_def {
	const char *name;
	char letter;	   /* 0: long only */
	uint64_t bit;	   /* 0: drumctl's own, not a verb's */
	const char *value; /* what help calls it; NULL: takes none */
	enum option_type type;
	size_t offset;	   /* in struct verb_args, of a const char *, uint64_t or uint32_t */
	uint32_t min, max; /* of a number */
	const char *doc;
};

#define OPTIONS 58
extern const struct option_def option_defs[OPTIONS];

/* => 0 with args filled, or -EINVAL */
int must_check option_take(const struct option_def *o, const char *value,
			   struct verb_args *args, struct err *e);

/* A whole number, and nothing behind it. => 0 or -EINVAL */
int must_check number_parse(const char *text, uint32_t min, uint32_t max, uint32_t *number);

/* The first of these, or NULL. */
const struct option_def *option_of(uint64_t bits);

#endif
