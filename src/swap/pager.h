/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The swap pager: read, write and free pages of an object without a page
 * cache, from and to a buffer of the caller's.
 *
 * A request is for a range of pages.  Neighbouring blocks are gathered into
 * one I/O, I/Os are as many as slots that the caller has given, and one call
 * of done ends the request, with how much of it was not done.  After
 * DragonFly's swap_pager.c (swap_pager_strategy, swap_chain_iodone).
 *
 * Requests may overlap: those that do, unless both read, take place in the
 * order in which they were given.
 *
 * One thread, the one of the ring and of the object.  Nothing is allocated.
 */
#ifndef DRUM_SWAP_PAGER_H
#define DRUM_SWAP_PAGER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ring.h"
#include "swap/drum.h"
#include "swap/object.h"

struct pager;
struct pager_req;

enum pager_cmd {
	PAGER_READ,  /* what is not on swap reads as zeros */
	PAGER_WRITE, /* to new blocks; a page is the old one until all of it is written */
	PAGER_FREE,  /* the pages are not on swap any more */
};

/*
 * residual: pages that were not done. err: 0 if that is 0, else -errno of the
 * first that was not:
 *	-EINVAL   the range is not within the object
 *	-ENOSPC   no block or no swblock is free (see swblock_zone_full)
 *	-EBUSY    somebody else writes this page, or a dead daemon's write to its
 *	          reserved block may be on its way
 *	others    of the device
 * After an error of a write each page is on swap as it was before or as it
 * should be; of a read, the pages that were not done hold anything.
 */
typedef void (*pager_done_fn)(struct pager_req *req, int err, uint64_t residual);

/* The caller fills in the first group and keeps it, and buf, until done. */
struct pager_req {
	pager_done_fn done;
	enum pager_cmd cmd;
	uint64_t page, n;
	void *buf; /* n pages, aligned as one; not for PAGER_FREE */

	struct pager_req *next; /* of the pager */
	uint64_t at;		/* first page that nothing was done about */
	uint64_t residual;
	unsigned int pending; /* I/Os */
	int err;
};

/* One I/O; the pager's, in memory of the caller's. */
struct pager_io {
	struct swap_io io;
	struct pager *pager;
	struct pager_io *next_free;
	struct pager_req *req;
	uint64_t page;
	drum_addr addr;
	uint32_t n;
	bool intent;
	/* a write, page by page: page k is being written to `at`, and those of
	 * left are to come; plain: to blocks of their own */
	bool alone, plain;
	uint32_t k;
	drum_addr at;
	uint64_t left[SWAP_IO_BLOCKS_MAX / 64];
};

#define PAGER_IOS_MAX OBJECT_INTENTS

struct pager {
	const char *name; /* for messages */
	struct object *object;
	struct drum *drum;
	struct ring *ring;
	struct pager_io *slot;	 /* [nslots] */
	struct pager_io *free;	 /* list through next_free */
	unsigned int busy;	 /* slots that are not in it */
	struct pager_req *wait;	 /* not begun, in order */
	struct pager_req **tail; /* of wait */
	struct pager_req *begun; /* the others, of which only the first ... */
	bool filling;		 /* ... may have pages without an I/O */
	bool pumping;
};

/*
 * A pager of an object, which has no other, with nslots I/Os at most,
 * 1 <= nslots <= PAGER_IOS_MAX.  All pointers stay the caller's.
 */
void pager_init(struct pager *p, const char *name, struct object *object, struct drum *drum,
		struct ring *ring, struct pager_io *slot, unsigned int nslots);

/*
 * Begin a request, or put it behind those that it must wait for.
 * => done is called once: later, or, where there is no I/O to wait for, from
 *    in here.  It may give the pager another request.
 */
void pager_strategy(struct pager *p, struct pager_req *req);

/* Is nothing to be done any more? False within the last done. */
bool pager_idle(const struct pager *p);

/* Is it the block's fault, or ours and the moment's? */
bool pager_is_media_error(int err);

#endif
