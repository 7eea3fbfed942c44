/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * What is done to many pages of an object at once, by the words of object.c.
 * Each function may be ended by a crash after any store, so each has an order:
 *
 * Freeing.  The word goes first, then the block: a block that a word names is
 * nobody else's.  Blocks whose words are gone are collected as long as they
 * are neighbours, and freed in one piece.  (After a crash the drum's blocks
 * are those that words name, so a block between the two is free by itself.)
 *
 * Building.  The new word is stored, then the block that it has replaced is
 * freed.
 *
 * Reserving.  Each block's word is first stored without any flag, which a
 * restart takes for nothing.  When the last one is there they all get the flag
 * "reserved"; or, if there was not enough, exactly those without a flag are
 * given back.
 *
 * Handing over a page, from src to dst, is three stores in two files:
 *
 *	src	dst		a restart claims, in this order
 *	valid	-		src's
 *	moving	-		src's: no other object has claimed it
 *	moving	valid		dst's; src's is void: another object has it
 *	-	valid		dst's
 *
 * So it is never in doubt whose the block is, provided that whoever recovers
 * looks at words that are "moving" when all the others of all objects have
 * been claimed (with drum_claim, which says -EEXIST).  There is one such word
 * at most for each object_copy that was cut off.  The word of dst has no mark:
 * the object that goes on need not care how it was made.
 */

#include <assert.h>
#include <errno.h>
#include <stddef.h>

#include "swap/object.h"

/* Blocks on their way back to the drum: n neighbours from addr on. */
struct batch {
	struct drum *drum;
	struct drum_share *share; /* whose they are */
	drum_addr addr;
	uint64_t n;
};

static void batch_flush(struct batch *b)
{
	if (b->n > 0)
		drum_free(b->drum, b->share, b->addr, b->n);
	b->n = 0;
}

/* => the block's word is gone or names another block */
static void batch_add(struct batch *b, drum_addr a)
{
	if (b->n > 0 && drum_device_of(a) == drum_device_of(b->addr)) {
		if (a == b->addr + b->n) {
			b->n++;
			return;
		}
		if (a + 1 == b->addr) {
			b->addr = a;
			b->n++;
			return;
		}
	}
	batch_flush(b);
	b->addr = a;
	b->n = 1;
}

/* A page that has a word gets another one. */
static void change(struct object *o, uint64_t page, uint64_t word)
{
	int ret = object_set(o, page, word);

	assert(ret == 0);
	(void)ret;
}

static uint64_t end_of(uint64_t page, uint64_t n)
{
	return n > UINT64_MAX - page ? UINT64_MAX : page + n;
}

int object_build(struct object *o, struct drum *d, uint64_t page, uint32_t n, uint64_t word,
		 uint32_t *done)
{
	struct batch b = { .drum = d, .share = object_share(o) };
	int ret = 0;

	for (*done = 0; *done < n; ++*done) {
		uint64_t old = object_get(o, page + *done), new = word + *done;

		ret = object_set(o, page + *done, new);
		if (ret < 0)
			break;
		if (old != 0 && (old & DRUM_ADDR_MASK) != (new &DRUM_ADDR_MASK)) {
			assert(!(old & SWB_BUSY));
			batch_add(&b, old & DRUM_ADDR_MASK);
		}
	}
	batch_flush(&b);
	return ret;
}

/* Free words of page .. end-1 that have none of the flags in but. => how many */
static uint64_t free_words(struct object *o, struct batch *b, uint64_t page, uint64_t end,
			   uint64_t but)
{
	uint64_t word, n = 0;

	for (; object_next(o, page, &page, &word) && page < end; page++) {
		if (word & but)
			continue;
		object_pop(o, page);
		if (!(word & SWB_LOST))
			batch_add(b, word & DRUM_ADDR_MASK);
		n++;
	}
	return n;
}

uint64_t object_free_range(struct object *o, struct drum *d, uint64_t page, uint64_t n)
{
	struct batch b = { .drum = d, .share = object_share(o) };
	uint64_t freed = free_words(o, &b, page, end_of(page, n), SWB_BUSY);

	batch_flush(&b);
	return freed;
}

uint64_t object_free_all(struct object *o, struct drum *d)
{
	return object_free_range(o, d, 0, UINT64_MAX);
}

bool object_unswap(struct object *o, struct drum *d, uint64_t page)
{
	uint64_t word = object_get(o, page);

	if (!(word & SWB_VALID))
		return false;
	object_pop(o, page);
	drum_free(d, object_share(o), word & DRUM_ADDR_MASK, 1);
	return true;
}

static bool any_busy(const struct object *o, uint64_t first)
{
	uint64_t flags = 0;

	for (uint64_t page = first; page < first + SWBLOCK_PAGES; page++)
		flags |= object_get(o, page);
	return flags & SWB_BUSY;
}

uint64_t object_cond_free(struct object *o, struct drum *d, uint64_t *page, uint64_t count,
			  object_may_free_fn fn, void *arg)
{
	struct batch b = { .drum = d, .share = object_share(o) };
	uint64_t freed = 0, seen = 0, found, word;

	while (freed < count && seen / 8 < count && object_next(o, *page, &found, &word)) {
		uint64_t first = found - found % SWBLOCK_PAGES;

		*page = first + SWBLOCK_PAGES;
		seen++;
		if (!any_busy(o, first) && fn(arg, first))
			freed += free_words(o, &b, first, *page, 0);
	}
	batch_flush(&b);
	return freed > seen ? freed : seen;
}

/* --- reservation ---------------------------------------------------------------- */

static uint64_t count_words(const struct object *o, uint64_t page, uint64_t end)
{
	uint64_t n = 0, word;

	for (; object_next(o, page, &page, &word) && page < end; page++)
		n++;
	return n;
}

/* Blocks for the pages from `page` to end-1, none of which has a word. */
static int reserve_gap(struct object *o, struct drum *d, uint64_t page, uint64_t end)
{
	while (page < end) {
		uint64_t got, k = 0;
		drum_addr a = drum_alloc(d, object_share(o), end - page, &got);

		if (a == DRUM_NONE)
			return -ENOSPC;
		while (k < got && object_set(o, page + k, a + k) == 0)
			k++;
		if (k < got) {
			drum_free(d, object_share(o), a + k, got - k);
			return -ENOSPC;
		}
		page += got;
	}
	return 0;
}

int object_reserve(struct object *o, struct drum *d, uint64_t page, uint64_t n)
{
	uint64_t end = page + n, at = page, found, word;
	struct batch b = { .drum = d, .share = object_share(o) };
	int ret = 0;

	assert(page <= object_pages(o) && n <= object_pages(o) - page);
	/* not even tried: it would make others believe that swap is full */
	if (n - count_words(o, page, end) > drum_avail_to(d, object_share(o)))
		return -ENOSPC;
	while (ret == 0 && at < end) {
		if (!object_next(o, at, &found, &word) || found > end)
			found = end;
		ret = reserve_gap(o, d, at, found);
		at = found + 1;
	}
	if (ret < 0) {
		free_words(o, &b, page, end, SWB_FLAGS);
		batch_flush(&b);
		return ret;
	}
	for (at = page; object_next(o, at, &at, &word) && at < end; at++)
		if (!(word & SWB_FLAGS))
			change(o, at, word | SWB_RESERVED);
	return 0;
}

uint32_t object_take_reserved(struct object *o, const uint64_t *page, uint32_t n,
			      drum_addr *addr)
{
	uint32_t k;

	*addr = DRUM_NONE;
	for (k = 0; k < n; k++) {
		uint64_t word = object_get(o, page[k]);
		drum_addr a = word & DRUM_ADDR_MASK;

		if ((word & SWB_FLAGS) != SWB_RESERVED)
			break;
		if (k == 0)
			*addr = a;
		else if (a != *addr + k || drum_device_of(a) != drum_device_of(*addr))
			break;
	}
	for (uint32_t i = 0; i < k; i++)
		change(o, page[i], (*addr + i) | SWB_RESERVED | SWB_WRITING);
	return k;
}

/* --- handing over --------------------------------------------------------------- */

/* Has dst's word the right of way before src's? */
static bool wins(uint64_t dst, uint64_t src)
{
	if (dst == 0)
		return false;
	return !(dst & SWB_RESERVED) || (dst & SWB_BUSY) || !(src & SWB_VALID);
}

static int move_page(struct object *dst, uint64_t dst_page, struct object *src,
		     uint64_t src_page, uint64_t word, struct batch *b)
{
	uint64_t own = object_get(dst, dst_page), plain = word & ~SWB_MOVING;

	if (word & SWB_BUSY)
		return -EBUSY;
	if (wins(own, plain)) {
		object_pop(src, src_page);
		batch_add(b, word & DRUM_ADDR_MASK);
		return 0;
	}
	change(src, src_page, plain | SWB_MOVING);
	if (object_set(dst, dst_page, plain) < 0) {
		change(src, src_page, plain);
		return -ENOSPC;
	}
	object_pop(src, src_page);
	drum_share_move(b->drum, b->share, object_share(dst), word & DRUM_ADDR_MASK);
	if (own)
		drum_free(b->drum, object_share(dst), own & DRUM_ADDR_MASK, 1);
	return 0;
}

int object_copy(struct object *dst, struct object *src, struct drum *d, uint64_t src_page,
		uint64_t dst_page, uint64_t n, bool destroy)
{
	uint64_t end = end_of(src_page, n), at = src_page, word;
	struct batch b = { .drum = d, .share = object_share(src) };
	int ret = 0;

	assert(dst != src);
	for (; ret == 0 && object_next(src, at, &at, &word) && at < end; at++) {
		assert(dst_page + (at - src_page) < object_pages(dst));
		ret = move_page(dst, dst_page + (at - src_page), src, at, word, &b);
	}
	batch_flush(&b);
	if (ret == 0 && destroy)
		object_free_all(src, d);
	return ret;
}
