/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clean copies: blocks of swap that pages keep while they are in memory, so
 * that a page that was only read goes out again without a write.
 *
 * A table of the guest's worker says what such a page looked like when it came
 * in; the object's word says where the copy is (SWB_KEPT).  A page is in the table if
 * and only if its word has that flag.  2 bytes for each page of RAM; all
 * functions are the worker's, but the one that counts.
 */
#ifndef DRUM_VMM_KEPT_H
#define DRUM_VMM_KEPT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define KEPT_WAYS	  8u  /* places in a bucket */
#define KEPT_SECRET_BYTES 192 /* what XXH3 takes */

struct guest;

struct kept {
	/* [buckets][KEPT_WAYS] which page of the bucket, and hash; 0: free.  The
	 * newest comes first, and free ones last */
	uint64_t (*slot)[KEPT_WAYS];
	uint64_t buckets;
	uint64_t n;	  /* [a] pages that have one */
	uint64_t *of_all; /* [a] the same of all guests, or NULL */
	uint64_t next;	  /* bucket where kept_step goes on */
	uint64_t at;	  /* ns: it need not before, unless a device keeps less */
	uint64_t soon;	  /* ns: and then not before that */
	uint32_t less;	  /* drum_keeps_less, when this round began */
	uint64_t given;	  /* in this round of kept_step */
	uint8_t secret[KEPT_SECRET_BYTES];
};

int must_check kept_init(struct kept *t, uint64_t npages); /* -ENOMEM, -errno */
void kept_fini(struct kept *t);

void kept_forget(struct kept *t); /* the object has no words any more */

static inline uint64_t kept_count(const struct kept *t) /* any thread */
{
	return __atomic_load_n(&t->n, __ATOMIC_RELAXED);
}

/* Some of the pages that have one, in no order, from bucket *next on; bounded.
 * => false: there are no more */
typedef void (*kept_page_fn)(void *arg, uint64_t page);
bool kept_each(const struct kept *t, uint64_t *next, kept_page_fn fn, void *arg);

/*
 * The page has come in and is `data`; its word is valid still.  Its block may become
 * that of a clean copy.
 * => false: it may not, and is as before
 */
bool must_check kept_put(struct guest *g, uint64_t page, const void *data);

/* The page may have a copy, which is of no use any more: its block is free. */
void kept_drop(struct guest *g, uint64_t page);

/* The same, of a block that has another owner, and is not to be freed. => 1 */
uint32_t kept_lose(struct guest *g, uint64_t page);

/*
 * Which of these pages, inactive and not pinned, are what they were when they
 * came in?  Sets bit k of *clean for page[k] that is: its word is valid again.  Of
 * others the copies are given up.  At most 64.
 */
void kept_compare(struct guest *g, const uint64_t *page, uint32_t n, uint64_t *clean);

/* Swap is full: give up some copies, wherever they are. => whether there were any */
bool kept_reclaim(struct guest *g);

/* Give up those that may not be kept any more; bounded. */
void kept_step(struct guest *g, uint64_t now);

#endif
