/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages that somebody does I/O on through our own mapping: made present together
 * and held, so that they are neither zapped nor written out nor punched until it
 * is over.  For requests of disks (which name many pages at once) and for the rings
 * that they come by.
 *
 * A hold is the caller's memory; nothing is allocated.  On the guest's worker.
 */
#ifndef DRUM_VMM_HOLD_H
#define DRUM_VMM_HOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define HOLD_PAGES_MAX	1024u /* pages of one hold: 4 MiB */
#define HOLDS_PAGES_MAX 8192u /* of all holds of a guest; what exceeds it waits */
/*
 * Who holds pages while it waits for more of them (a ring, a request's header) must not let
 * those that it has exceed the difference of the two, or all may wait for each other.
 */

struct guest;
struct hold;

enum hold_how {
	HOLD_READ,  /* the pages are read */
	HOLD_WRITE, /* some of their bytes are written, or all, or none */
	/*
	 * All bytes of each page are to be written, and nobody may ask for what was there:
	 * one that is on swap is not read.  Until it is written it holds zeros.
	 */
	HOLD_OVERWRITE,
};

struct hold_range {
	uint64_t page; /* of the guest; a range lies in one region */
	uint32_t n;
	enum hold_how how;
};

/*
 * err: 0: all are held; else none is:
 *	-EIO	a page cannot be read from swap
 *	-ENOMEM, -ENOSPC there is no memory
 * After an error the hold is the caller's again, as after hold_end.
 */
typedef void (*hold_done_fn)(struct hold *h, int err);

struct hold {
	/* the caller's, until hold_end */
	hold_done_fn done;
	const struct hold_range *range; /* HOLD_PAGES_MAX pages in all */
	uint32_t nranges;

	/* of hold.c */
	struct hold *next;		   /* of those that wait */
	uint32_t pages;			   /* of all ranges */
	bool admitted;			   /* its pages are counted among all that are held */
	uint64_t since;			   /* ns, when it began */
	uint64_t failing;		   /* ns, since when a page cannot be had; 0: it can */
	uint64_t retry_at;		   /* ns; nothing is tried before */
	uint64_t got[HOLD_PAGES_MAX / 64]; /* bit k: the k-th page of all ranges is held */
	uint64_t asked[HOLD_PAGES_MAX / 64]; /* likewise: its read was begun */
};

struct hold_page {
	uint64_t page : 48, count : 16; /* how many hold it; 0: a free slot */
};

/* Of a guest. */
struct holds {
	struct hold_page *slot; /* [HOLD_SLOTS] a hash table; NULL: nothing was ever held */
	uint32_t pages;		/* that admitted holds name */
	uint32_t queued;	/* holds that wait to be admitted */
	struct hold *wait, **tail;
	uint64_t pages_in; /* [a] read from swap for holds */
	uint64_t avoided;  /* [a] not read, since they were to be overwritten */
};

int must_check holds_init(struct holds *s); /* before the first hold; -ENOMEM */
void holds_fini(struct holds *s);

/*
 * Hold all pages of h.
 * => 0: they are; 1: done is called later, not from within; -EINVAL: too many pages, or
 *    one that the guest does not have; or an error as of done, and it is not called
 */
int must_check hold_begin(struct guest *g, struct hold *h);

/* They are not held any more, or no longer waited for. */
void hold_end(struct guest *g, struct hold *h);

/*
 * I/O on held pages ended with -EFAULT: some were given back by the guest before they were
 * held, and nobody has told yet.  They hold zeros from now on.  => 0 or -errno
 */
int must_check hold_mend(struct guest *g, const struct hold *h);

/* Go on with those that wait: page-ins have ended, or time has passed. */
void holds_step(struct guest *g, uint64_t now);

#endif
