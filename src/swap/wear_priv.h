/* SPDX-License-Identifier: BSD-2-Clause */
/* What wear.c and wear_file.c share: the record, which is also what the file holds. */
#ifndef DRUM_SWAP_WEAR_PRIV_H
#define DRUM_SWAP_WEAR_PRIV_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "swap/wear.h"

#define WEAR_HOUR      INT64_C(3600)
#define WEAR_SLOTS     720u		     /* 30 days */
#define WEAR_NOW_MAX   INT64_C(253402300800) /* the year 10000 */
#define WEAR_HOUR_MAX  (UINT32_MAX / 2)	     /* of the clock: in 240,000 years */
#define WEAR_NAME_SIZE 232u

static_assert(WEAR_SLOTS > WEAR_DAYS_MAX * 24, "all hours of the longest time have one");

struct wear_header {
	uint64_t magic;
	uint32_t version;
	uint32_t slots;
	uint64_t budget; /* bytes a day; 0: none */
	int64_t clock;	 /* s: the record's own, see wear.c */
	int64_t wall;	 /* s since 1970: the wall clock at that time */
	uint64_t behind; /* the hour at which the wall clock fell behind; 0: it is not */
	uint64_t spare;
	uint64_t sum; /* of all before it */
};

struct wear_slot {
	uint32_t hour; /* since 1970, by the record's clock */
	uint32_t sum;  /* of hour and bytes; a slot of zeros has never been used */
	uint64_t bytes;
};

struct wear_image { /* of the file */
	struct wear_header header;
	struct wear_slot slot[WEAR_SLOTS];
};

static_assert(sizeof(struct wear_header) == 64 && sizeof(struct wear_slot) == 16 &&
		      sizeof(struct wear_image) == 64 + 16 * WEAR_SLOTS,
	      "none crosses a sector, and the file is the same everywhere");

struct wear {
	int dir;
	int fd;		     /* -1: there is no file yet */
	bool keep;	     /* there is to be one */
	bool changed, moved; /* slots and all that; slots have other places: all are new */
	uint32_t saved_hour; /* of the clock in the file */
	char name[WEAR_NAME_SIZE];
	struct wear_image image;
	bool dirty[WEAR_SLOTS];
};

static inline uint32_t wear_hour(int64_t clock)
{
	return (uint32_t)(clock / WEAR_HOUR);
}

/* wear_file.c: open the file of path, if there is one; w is zeros but for `dir`. */
void wear_file_open(struct wear *w, const char *path);

#endif
