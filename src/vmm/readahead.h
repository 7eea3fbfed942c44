/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which pages to have ready before they are asked for.
 *
 * Touches at a constant distance from each other form a stream: forward,
 * backward, or down a column of a table.  A touch that belongs to no stream asks
 * for nothing, so random access pays nothing.  What a stream asks for may be
 * mapped untouched, but for the first page of each window, the marker: touching
 * that is a minor fault, which asks for the next window while the reader is
 * still in this one (DragonFly's PG_RAM).
 * Pure arithmetic; page indices in, page indices out.
 */
#ifndef DRUM_VMM_READAHEAD_H
#define DRUM_VMM_READAHEAD_H

#include <stdbool.h>
#include <stdint.h>

#define READAHEAD_STREAMS     16
#define READAHEAD_RECENT      32    /* touches of no stream that are remembered */
#define READAHEAD_MAX	      128u  /* steps; a window of neighbours never exceeds it */
#define READAHEAD_MAX_STRIDED 12u   /* nor one of pages apart, each its own I/O */
#define READAHEAD_STRIDE      4096u /* pages; longer steps are no stream */

struct readahead_stream {
	uint64_t next;	 /* first page that was not asked for yet */
	uint64_t mark;	 /* touching it, or one beyond, asks for more */
	uint64_t last;	 /* touched last */
	int64_t step;	 /* pages from one to the next */
	uint32_t window; /* steps, 0: no stream */
	uint32_t used;	 /* when, in touches */
};

struct readahead {
	struct readahead_stream stream[READAHEAD_STREAMS];
	uint64_t recent[READAHEAD_RECENT]; /* 1 + page; 0: none */
	uint32_t when[READAHEAD_RECENT];   /* of recent, in touches */
	uint32_t at;			   /* of recent, the next to be replaced */
	uint32_t clock;
};

/* Pages from, from + step, ... , n of them, all below the end of RAM. */
struct readahead_ask {
	uint64_t from;
	int64_t step;
	uint32_t n; /* 0: nothing */
	bool sure;  /* may be mapped before they are touched */
	unsigned int stream;
};

/*
 * A page is touched that has no mapping; npages: of RAM.  missing: it is on swap,
 * so a stream that has asked for it has asked in vain, and wants less.
 */
struct readahead_ask readahead_touch(struct readahead *r, uint64_t page, uint64_t npages,
				     bool missing);

/* Only the first n steps of what was asked for were done. */
void readahead_cut(struct readahead *r, const struct readahead_ask *ask, uint32_t n);

#endif
