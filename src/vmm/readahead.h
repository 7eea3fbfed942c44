/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which swapped pages to read before they are asked for.
 *
 * Faults that go on where an earlier one left off form a stream; its window
 * doubles each time it goes on.  A fault that belongs to no stream reads
 * nothing ahead, so random access pays nothing.  The pages that were read
 * ahead are not mapped: the first touch of one is a minor fault, which asks
 * for the next window before the reader gets there (DragonFly's PG_RAM).
 * Pure arithmetic; page indices in, page counts out.
 */
#ifndef DRUM_VMM_READAHEAD_H
#define DRUM_VMM_READAHEAD_H

#include <stdint.h>

#define READAHEAD_STREAMS 4
#define READAHEAD_MAX	  64u /* pages; the window never exceeds it */

struct readahead_stream {
	uint64_t next;	 /* first page that was not asked for yet */
	uint32_t window; /* pages, 0: no stream */
	uint32_t used;	 /* when, in faults */
};

struct readahead {
	struct readahead_stream stream[READAHEAD_STREAMS];
	uint32_t clock;
};

/* A swapped page is touched. => how many pages to read from it on, at least 1 */
uint32_t readahead_fault(struct readahead *r, uint64_t page);

/*
 * A page is touched that was in memory and unmapped.
 * => how many pages to read from *from on, or 0
 */
uint32_t readahead_hit(struct readahead *r, uint64_t page, uint64_t *from);

#endif
