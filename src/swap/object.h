/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An object's swap: which page of it lives at which drum address.
 *
 * A swblock holds the addresses of 16 neighbouring pages; an object keeps its
 * swblocks in a red-black tree by the first page's index and gives one back
 * when its last address goes (DragonFly's swap_pager.c: struct swblock,
 * swp_pager_meta_build / free / free_all / ctl).  An address is one aligned
 * 64-bit word with its flags, in a file that outlives the process: one store
 * of the word is the commit point of each change.
 *
 * What the seed calls meta_build, meta_free, meta_free_all and meta_ctl with
 * FREE and POP are object_build, object_free_range, object_free_all,
 * object_unswap and object_pop here.
 *
 * One thread at a time: the worker of the guest.  A zone is shared by all.
 */
#ifndef DRUM_SWAP_OBJECT_H
#define DRUM_SWAP_OBJECT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "swap/drum.h"

#define SWBLOCK_PAGES 16u

/*
 * A word: a drum address and flags. 0 is no address at all.
 *
 *	flags		  the block			at a restart
 *	valid		  holds the page, if the page	claimed
 *			  is nowhere else
 *	writing		  is being written		held for a while, then free
 *	reserved	  is kept for the page and	claimed
 *			  holds nothing
 *	reserved|writing  the same, being written	claimed, then "held"
 *	reserved|held	  the same, and the write of an earlier daemon may still
 *			  be on its way to it
 *	..|moving	  is being handed over		object_copy in object_range.c
 *	kept		  holds what the page was when	void
 *			  it came in: a copy, perhaps
 *			  an old one, of what is in memory
 *	lost		  has another owner too: whose	stays so, is not claimed
 *			  it is nobody knows
 *	none		  of an object_reserve that	void
 *			  has not ended
 */
#define SWB_WRITING  (UINT64_C(1) << 63)
#define SWB_VALID    (UINT64_C(1) << 62)
#define SWB_RESERVED (UINT64_C(1) << 61)
#define SWB_MOVING   (UINT64_C(1) << 60)
#define SWB_HELD     (UINT64_C(1) << 59)
#define SWB_LOST     (UINT64_C(1) << 58)
#define SWB_KEPT     (UINT64_C(1) << 57)
#define SWB_FLAGS    (~DRUM_ADDR_MASK)
#define SWB_BUSY     (SWB_WRITING | SWB_HELD) /* the block may not change its owner */

/* Writes over valid pages that an object can have in flight; and runs of blocks that
 * hold nothing and that a write may still reach (vmm/late.c). */
#define OBJECT_INTENTS 256u
#define OBJECT_LATES   224u

struct object;

/*
 * How many swblocks there may be in all objects together (the seed's
 * swap_zone).  What is recovered counts, and is never refused.
 */
struct swblock_zone {
	uint64_t max;	  /* [a] */
	uint64_t used;	  /* [a] may be above max after a restart */
	uint64_t refused; /* [a] how often there was none to be had */
};

/*
 * A zone of want swblocks, or of a third less, until fits (meminfo_fits, or a
 * test's) has that many bytes.
 * => 0, or -ENOMEM: not even one fits
 */
int must_check swblock_zone_init(struct swblock_zone *z, uint64_t want,
				 bool (*fits)(uint64_t bytes, uint64_t *have));

/* Was -ENOSPC of an object the zone's?  False for NULL, which has no maximum. */
bool swblock_zone_full(const struct swblock_zone *z);

/*
 * The swap of an object of `pages` pages, kept in the file fd, which stays
 * the caller's, as does zone (NULL: no maximum).  An empty file is laid out;
 * in another one every address that is there is kept, for object_next to be
 * looked at.
 * => NULL and e: -EINVAL it is not such a file or for another size, -errno
 */
struct object *must_check object_open(int fd, uint64_t pages, struct swblock_zone *zone,
				      struct err *e);
/* Whose its blocks are for the drum; NULL, as at first: nobody's in particular. */
void object_set_share(struct object *o, struct drum_share *s);
struct drum_share *object_share(const struct object *o);
void object_close(struct object *o); /* the file keeps what it holds */

/*
 * For how many pages is the file fd?  object_open looks whether it is sound.
 * => 0 and *pages, 0 for an empty file; -EINVAL: it is no such file, -errno
 */
int must_check object_file_pages(int fd, uint64_t *pages);

/* => the word of a page, or 0 */
uint64_t object_get(const struct object *o, uint64_t page);

/*
 * Store a word other than 0.
 * => 0, or -ENOSPC: no swblock is to be had; not where the page has a word
 */
int must_check object_set(struct object *o, uint64_t page, uint64_t word);

/* Take a page's word out; its block is the caller's. => what it was, or 0 */
uint64_t object_pop(struct object *o, uint64_t page);

/*
 * The first page with a word, from `page` on.  Costs by what exists.
 * => true, its index and word
 */
bool object_next(const struct object *o, uint64_t page, uint64_t *found, uint64_t *word);

/*
 * How many pages after `page` are valid at the following addresses of the same
 * device, at most max; 0 if the page itself is not valid.
 */
uint32_t object_run(const struct object *o, uint64_t page, uint32_t max);

/*
 * Is the page on swap?  And how many before and after it are so at the
 * neighbouring addresses, at most max each (either pointer may be NULL).
 */
bool object_has(const struct object *o, uint64_t page, uint32_t max, uint32_t *before,
		uint32_t *after);

uint64_t object_pages(const struct object *o);	  /* size */
uint64_t object_count(const struct object *o);	  /* words */
uint64_t object_swblocks(const struct object *o); /* swblocks in use */

/*
 * n blocks from a on are about to be written, to replace blocks of pages whose
 * words are valid: a word cannot say both, and a restart must know.  i is any
 * number below OBJECT_INTENTS that is not in use; n <= 256.  The OBJECT_LATES
 * numbers behind it are for late blocks.  What is in use may only grow.
 */
void object_intent(struct object *o, unsigned int i, drum_addr a, uint32_t n);
void object_intent_end(struct object *o, unsigned int i);

/* Recovery: the blocks of intent i. => how many, 0: none */
uint32_t object_intent_get(const struct object *o, unsigned int i, drum_addr *a);

/*
 * Recovery: no write of an earlier daemon is on its way any more, so what is
 * reserved|held is reserved.
 */
void object_settle(struct object *o);

/* --- with the drum: object_range.c ------------------------------------------- */

/*
 * The n pages from `page` on are valid, or what the flags of word say, at its
 * address and those that follow; blocks that they had are freed.
 * => 0, or -ENOSPC as object_set, and *done pages are so
 */
int must_check object_build(struct object *o, struct drum *d, uint64_t page, uint32_t n,
			    uint64_t word, uint32_t *done);

/*
 * Free the blocks of n pages from `page` on, except those that are busy.  The
 * range may be huge and reach beyond the object: it costs by what exists.
 * => how many were freed
 */
uint64_t object_free_range(struct object *o, struct drum *d, uint64_t page, uint64_t n);
uint64_t object_free_all(struct object *o, struct drum *d);

/*
 * The page has become dirty, or is dead: what is on swap is stale.  A block
 * that is merely reserved stays (swap_pager_unswapped).
 * => whether it was on swap
 */
bool object_unswap(struct object *o, struct drum *d, uint64_t page);

/* May all that the swblock of page .. page+15 holds be freed? */
typedef bool (*object_may_free_fn)(void *arg, uint64_t page);

/*
 * Free whole swblocks that fn agrees to, from *page on, until some `count`
 * pages are free or 8 * count swblocks were looked at; swblocks with a busy
 * word stay (swap_pager_condfree).  *page moves on to where to resume.
 * => the scan factor: pages freed or swblocks looked at, the greater of both;
 *    0: there is nothing behind *page
 */
uint64_t object_cond_free(struct object *o, struct drum *d, uint64_t *page, uint64_t count,
			  object_may_free_fn fn, void *arg);

/*
 * Give each of the n pages that has no word a block, in the largest runs that
 * there are.  All or nothing.
 * => 0, or -ENOSPC: too few blocks, or swblocks (swblock_zone_full tells)
 */
int must_check object_reserve(struct object *o, struct drum *d, uint64_t page, uint64_t n);

/*
 * Of these n pages in order, those from page[0] on that have reserved blocks at
 * addresses that follow each other: they are reserved|writing from now on.
 * Store addr|SWB_VALID when they are written, or addr|SWB_RESERVED if not.
 * => how many, and the address of page[0]'s; 0: page[0] has none to be used
 */
uint32_t object_take_reserved(struct object *o, const uint64_t *page, uint32_t n,
			      drum_addr *addr);

/*
 * Move n pages' blocks, which keep their content and drum addresses, from src
 * to dst.  Where dst holds a page its own wins and src's block is freed; where
 * dst has a mere reservation and src the page, dst's is freed.  destroy: what
 * src has left in the end, in the range or not, is freed too (swap_pager_copy).
 * => 0, -ENOSPC: no swblock for dst, -EBUSY: src has a busy word; then what was
 *    not reached is where it was, nothing is destroyed, and a second call
 *    goes on
 */
int must_check object_copy(struct object *dst, struct object *src, struct drum *d,
			   uint64_t src_page, uint64_t dst_page, uint64_t n, bool destroy);

#endif
