/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How much of a guest's memory is in use: found by looking at some of it.
 *
 * Up to SAMPLE_UNITS units of 8 pages, spread evenly over the guest's RAM, are
 * looked at in turn.  The caller zaps the mappings of a unit and says so, and says
 * which page is mapped again; a page is mapped again because it was touched.
 * After each period it is known how many pages of the unit were touched within it,
 * and the shares of all units tell of the guest as a whole (after ESX's sampling,
 * OSDI'02, with pages that are counted instead of guessed).
 *
 * Pure arithmetic: page indices and times in, counts out.  Owned by one thread; the
 * sums may be read by any.
 */
#ifndef DRUM_VMM_SAMPLE_H
#define DRUM_VMM_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define SAMPLE_PAGES 8u	   /* of a unit: a bit for each */
#define SAMPLE_UNITS 1024u /* at most */
#define SAMPLE_NONE  UINT32_MAX

enum sample_period { SAMPLE_10S, SAMPLE_1M, SAMPLE_5M, SAMPLE_30M, SAMPLE_PERIODS };

struct sample_unit {
	uint64_t begun[SAMPLE_PERIODS];	 /* ns, when the period began; 0: none is under way */
	uint8_t touched[SAMPLE_PERIODS]; /* since then: a bit for each page */
	/* what the last one that has ended found: a bit for each page, hot among there */
	uint8_t hot[SAMPLE_PERIODS], there[SAMPLE_PERIODS];
};

/* Invariant: hot[p] and there[p] are how many such bits all units have, hot <= there. */
struct sample {
	struct sample_unit *unit; /* [n] */
	uint32_t n;
	uint32_t next, step; /* the unit to begin with next, and how far to the one after */
	uint64_t stride;     /* pages from one unit's cell to the next one's */
	uint64_t hot[SAMPLE_PERIODS], there[SAMPLE_PERIODS]; /* [a] */
};

int must_check sample_init(struct sample *s, uint64_t npages); /* -ENOMEM */
void sample_fini(struct sample *s);

/* ns */
uint64_t sample_length(enum sample_period p);

/* First page of a unit. */
uint64_t sample_page(const struct sample *s, uint32_t unit);

/* => the unit whose turn it is, or SAMPLE_NONE: it is still being looked at */
uint32_t sample_next(struct sample *s);
/* No page of the unit is mapped from now on, but by a touch. */
void sample_begin(struct sample *s, uint32_t unit, uint64_t now);
/* That is not so, after all. */
void sample_cancel(struct sample *s, uint32_t unit);
/* It is so of none. */
void sample_forget(struct sample *s);

/* It is so of none, and nothing is known of the guest. */
void sample_reset(struct sample *s);

/* The page is mapped. */
void sample_touch(struct sample *s, uint64_t page);

/*
 * How far from `page` on, to `to` at most, pages may be mapped that nobody has
 * touched: not where touches of the last minute are being counted.
 * => the first page not to be
 */
uint64_t sample_reach(const struct sample *s, uint64_t page, uint64_t to);

/*
 * Has nothing near the page been touched for half an hour, or for as long as it was looked at,
 * if that is at least a minute?  False where too few places are looked at to tell.
 */
bool sample_is_idle(const struct sample *s, uint64_t page);

/*
 * For how many of the periods, the shortest first, has page k of the unit not been touched,
 * when it was looked at last?  Less if it has been touched since, as far as that is known.
 * => 0 .. SAMPLE_PERIODS, or -1: it was not looked at, or was a hole then
 */
int sample_age(const struct sample *s, uint32_t unit, unsigned int k, uint64_t now);

/* => a unit of which a period has ended, from `from` on, or SAMPLE_NONE */
uint32_t sample_due(const struct sample *s, uint32_t from, uint64_t now);
/* Count it; there: the pages of the unit that are not holes, a bit for each. */
void sample_end(struct sample *s, uint32_t unit, uint64_t now, uint8_t there);

/*
 * Of `pages` pages, which are all that the guest has in memory and on swap: how many
 * were touched in a period?  All, while nothing is known.  Any thread.
 */
uint64_t sample_hot(const struct sample *s, enum sample_period p, uint64_t pages);

#endif
