/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which windows the front hand takes: what is remembered of each, and of pages that
 * were evicted not long ago (ghosts, after ARC and Linux's workingset.c).
 *
 * A window whose pages come back before the back hand gets to them was zapped for
 * nothing: it is passed over 1, 3, 7, ... 31 times before it is taken again.  One
 * that comes back little is taken as often as the hand passes.  When the hand
 * finds too little else, windows that are passed over lose so many turns that the
 * first of them is due: there is always something to take.
 *
 * A page that is read from swap within a second of its eviction was a mistake.
 * Many of them move the hands apart, by up to twice the distance, so that pages
 * have longer to be touched; few let them come together again.
 *
 * Pure arithmetic: page and window indices and times in, counts out.  Owned by one
 * thread.  No more than half a byte for each page of RAM.
 */
#ifndef DRUM_VMM_WINDOWS_H
#define DRUM_VMM_WINDOWS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define WINDOW_PAGES	512u /* 2 MiB: what the front hand takes at once */
#define WINDOW_BACKOFF	5u   /* 2^5 - 1 times passed over at most */
#define WINDOWS_APART	8u   /* eighths of the distance between the hands: at least */
#define WINDOWS_APART_2 16u  /* and at most */

struct window {
	uint16_t zapped;  /* pages, when it was taken; 0: it was judged since */
	uint16_t back;	  /* of these, came back; <= zapped */
	uint8_t backoff;  /* it is passed over 2^backoff - 1 times */
	uint8_t passes;	  /* that were left of these, when it was looked at last */
	uint8_t mistakes; /* pages that came back within a second, since the hand was here */
	uint32_t hurried; /* that of struct windows, then */
};

/* A page that was evicted; of the pages that share an entry the last one. */
struct ghost {
	uint32_t tag : 5; /* which of these pages, and 1; 0: none */
	uint32_t ms : 27; /* when, modulo 2^27: 37 hours */
};

struct windows {
	struct window *window; /* [n] */
	uint64_t n;
	uint32_t hurried;    /* turns of the hand that were deemed to be over, modulo 2^32 */
	struct ghost *ghost; /* [nghosts] */
	uint64_t nghosts;
	unsigned int apart;	    /* eighths, WINDOWS_APART .. WINDOWS_APART_2 */
	uint64_t evicted, mistakes; /* pages, since that was last thought about */
};

/* What became of a page that was evicted. */
enum refault {
	REFAULT_NONE,	/* longer than a minute ago, or not known */
	REFAULT_RECENT, /* within a minute */
	REFAULT_1S,	/* within a second: it was a mistake */
};

int must_check windows_init(struct windows *w, uint64_t npages); /* -ENOMEM */
void windows_fini(struct windows *w);

/* The front hand comes by. => is it to be taken?  Then no passes are left of it. */
bool windows_take(struct windows *w, uint64_t window);
/* It was: so many pages of it were zapped. */
void windows_zapped(struct windows *w, uint64_t window, uint64_t pages);
/* The inactive page was touched. */
void windows_back(struct windows *w, uint64_t page);
/* The back hand takes pages of the window, so whatever comes back is late. */
void windows_judge(struct windows *w, uint64_t window);
/* Is it known to be cold: the last time, hardly anything came back? */
bool windows_is_cold(const struct windows *w, uint64_t window);
/*
 * The hand has passed over windows, the first of which it is to take after `turns`
 * more rounds, and has found too little else: so many rounds are deemed to be over.
 */
void windows_hurry(struct windows *w, uint64_t turns);

/* n pages from `page` on were evicted. */
void windows_evicted(struct windows *w, uint64_t page, uint64_t n, uint64_t now);
/* The page is touched and on swap. */
enum refault windows_refault(struct windows *w, uint64_t page, uint64_t now);

/* => the distance between the hands, in pages, where `least` is the smallest; looks at
 * what was evicted since the last call, if that is enough to tell */
uint64_t windows_distance(struct windows *w, uint64_t least);

#endif
