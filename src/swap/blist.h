/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blist: allocator of runs of blocks, a radix tree of bitmaps.
 *
 * After blist(9) of DragonFly and FreeBSD (kern/subr_blist.c): leaves are
 * bitmaps of 64 blocks, inner nodes keep for each subtree the largest free run
 * in it.  Where the seeds let this hint be too high and correct it by a search
 * that fails, here it is exact, so that the worst case is bounded: every
 * operation takes some 10 steps a level of the tree (7 levels for 1 TiB),
 * blist_fill one for each 64 blocks.  It does no I/O, takes no lock, logs
 * nothing and knows nothing of what a block is: whoever shares one brings
 * the lock.
 */
#ifndef DRUM_SWAP_BLIST_H
#define DRUM_SWAP_BLIST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define BLIST_NONE	 UINT64_MAX /* no such run */
#define BLIST_MAX_BLOCKS (UINT64_C(1) << 40)

struct blist;

/*
 * A blist of blocks 0 .. blocks-1, all of them allocated; blist_free hands
 * them out to be allocated.
 * => NULL: errno is EINVAL (0 or too many blocks) or ENOMEM
 */
struct blist *blist_create(uint64_t blocks);
void blist_destroy(struct blist *bl); /* NULL is fine */

/* Lowest run of exactly n blocks. => its first block, or BLIST_NONE */
uint64_t must_check blist_alloc(struct blist *bl, uint64_t n);

/* The same, the search starting at hint and wrapping round once. */
uint64_t must_check blist_alloc_near(struct blist *bl, uint64_t n, uint64_t hint);

/*
 * A run of at most want blocks, as long as there is one (a run of want if
 * there is any, else the longest), searched from hint and round.
 * => its first block and *got, or BLIST_NONE and *got = 0
 */
uint64_t must_check blist_alloc_most(struct blist *bl, uint64_t want, uint64_t hint,
				     uint64_t *got);

/*
 * Free n blocks from block on; all of them must be allocated.  A block that
 * is free already, or out of range, is a broken invariant of the caller's:
 * the call frees nothing and returns false.
 */
bool must_check blist_free(struct blist *bl, uint64_t block, uint64_t n);

/* Allocate exactly these, free or not; none is beyond the end. => how many were free */
uint64_t blist_fill(struct blist *bl, uint64_t block, uint64_t n);

/* Are all n blocks from block on allocated? Nothing is free beyond the end. */
bool blist_is_allocated(const struct blist *bl, uint64_t block, uint64_t n);

/*
 * Grow or shrink to blocks; new ones are allocated until they are freed.
 * Shrinking forgets what is beyond.
 * => 0, -EINVAL, -ENOMEM (the blist is as before)
 */
int must_check blist_resize(struct blist *bl, uint64_t blocks);

uint64_t blist_blocks(const struct blist *bl); /* size */
uint64_t blist_avail(const struct blist *bl);  /* free blocks */

/*
 * Bytes that it occupies at most, 1.6 bits a block; memory becomes resident
 * only where a run begins or ends.
 */
uint64_t blist_memory(const struct blist *bl);

/* Longest free run; exact, and known without looking. */
uint64_t blist_longest(const struct blist *bl);

/* Check every inner node against its leaves. For tests. */
bool blist_check(const struct blist *bl);

#endif
