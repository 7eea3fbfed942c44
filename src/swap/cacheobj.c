/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A block of the image is in one of these states, and its word says which:
 *
 *	word		what it is			who ends it
 *	none		not cached; or a put of it	cacheobj_put_write
 *			has begun and has no swap yet
 *	writing		a put is being written		cacheobj_put_end
 *	valid		cached				a change, cleaning, a bad read,
 *							its device, the end
 *	writing		dropped while it is read	the last cacheobj_read_end
 *	writing		late: a write may still be	cacheobj_step, DRUM_HOLD_NS later
 *			carried out there
 *
 * Which of the three "writing" is, is known by what is in memory: the list of puts, that of
 * reads, the ring of late ones; each such block is of exactly one.  A restart need not know:
 * whatever was on its way is over when the minute is.  That is why a block that is dropped
 * while it is read gets this word too.
 *
 * The order of stores:
 *
 *	put		words "writing" > the write > words "valid"
 *	drop		word out > block free
 *	bad block	word out > out of use: nobody allocates it in between, for it is free
 *			for nobody
 *	late		the word is its own note, and goes before the block is free
 *
 * so at every moment a block that is written to has a word, a word is valid only when its
 * block holds what the image holds, and a block that is free has none.
 *
 * What keeps a copy from being an old one:
 *
 *	a change	is in the list of changes from before it is submitted until it has
 *			ended, so no put of its blocks begins; puts that had begun are marked
 *			(gone), and no word of theirs becomes valid; valid words are dropped.
 *	a put		is in the list of puts from before its content is read; so whatever
 *			changes its blocks after that finds it there.
 *
 * Between two processes nothing is in these lists, and nothing has to be: a change has no valid
 * words from before it is submitted on, and a put that was cut off has none either.
 *
 * Before cacheobj_claim the blocks are the drum's to give to whoever claims them: a change
 * takes valid words out, and that is all.
 *
 * Long walks let go of the lock again and again.  A change may: what it drops late is not
 * changed yet, and nothing is put behind its back.
 *
 *	counts.cached == valid words, of a claimed one; drum_count_cached has the same
 *	counts.used == words whose blocks are ours
 */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/point.h"
#include "swap/cacheobj_private.h"

#define CHUNK 1024u /* words that are dropped without letting go of the lock */

/* More would be more swblocks than an object counts. */
#define BLOCKS_MAX ((uint64_t)UINT32_MAX * SWBLOCK_PAGES)

static uint64_t room_for(uint64_t blocks)
{
	return blocks < BLOCKS_MAX / 2 ? blocks * 2 : BLOCKS_MAX;
}

static void destroy(struct cacheobj *c)
{
	object_close(c->words);
	if (c->fd >= 0)
		close(c->fd);
	pthread_mutex_destroy(&c->lock);
	free(c->hot);
	free(c->name);
	free(c);
}

static int open_words(struct cacheobj *c, uint64_t blocks, struct err *e)
{
	int ret = object_file_pages(c->fd, &c->blocks);

	if (ret < 0)
		return err_set(e, ret, "it is not a file of swblocks");
	if (c->blocks == 0)
		c->blocks = room_for(blocks);
	c->words = object_open(c->fd, c->blocks, NULL, e);
	if (!c->words)
		return -EINVAL;
	/* a bit a swblock; the kernel has memory for what is used of it */
	c->hot = calloc((c->blocks / SWBLOCK_PAGES + 64) / 64, sizeof(*c->hot));
	return c->hot ? 0 : err_set(e, -ENOMEM, "out of memory");
}

struct cacheobj *cacheobj_open(int fd, const char *name, uint64_t blocks, struct drum *d,
			       struct err *e)
{
	struct cacheobj *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	pthread_mutex_init(&c->lock, NULL);
	c->refs = 1;
	c->drum = d;
	c->fd = fd;
	c->name = strdup(name);
	if (!c->name)
		err_set(e, -ENOMEM, "out of memory");
	if (!c->name || open_words(c, blocks, e) < 0) {
		destroy(c);
		return NULL;
	}
	return c;
}

void cacheobj_ref(struct cacheobj *c)
{
	__atomic_fetch_add(&c->refs, 1, __ATOMIC_RELAXED);
}

void cacheobj_unref(struct cacheobj *c)
{
	if (__atomic_fetch_sub(&c->refs, 1, __ATOMIC_ACQ_REL) > 1)
		return;
	/* what it has still got stays as it is, and nobody can clean it any more */
	drum_count_cached(c->drum, -(int64_t)c->count.cached);
	destroy(c);
}

/* --- what is shared ------------------------------------------------------------- */

void cacheobj_free_flush(struct cacheobj *c, struct cacheobj_freeing *f)
{
	if (f->n == 0)
		return;
	point_crash("cache-popped");
	drum_free(c->drum, NULL, f->addr, f->n);
	cacheobj_count(&c->count.used, -f->n);
	f->n = 0;
}

void cacheobj_free(struct cacheobj *c, struct cacheobj_freeing *f, drum_addr a)
{
	if (f->n > 0 && a == f->addr + f->n && drum_device_of(a) == drum_device_of(f->addr)) {
		f->n++;
		return;
	}
	cacheobj_free_flush(c, f);
	*f = (struct cacheobj_freeing){ a, 1 };
}

void cacheobj_count_valid(struct cacheobj *c, int64_t n)
{
	cacheobj_count(&c->count.cached, (uint64_t)n);
	drum_count_cached(c->drum, n);
}

void cacheobj_set(struct cacheobj *c, uint64_t block, uint64_t word)
{
	int ret = object_set(c->words, block, word);

	/* it has a word */
	assert(ret == 0);
	(void)ret;
}

bool cacheobj_is_read(const struct cacheobj *c, uint64_t block, uint64_t n)
{
	for (const struct cacheobj_read *r = c->reads; r; r = r->next)
		if (r->block < block + n && block < r->block + r->n)
			return true;
	return false;
}

void cacheobj_drop(struct cacheobj *c, struct cacheobj_freeing *f, uint64_t block,
		   uint64_t word)
{
	drum_addr a = word & DRUM_ADDR_MASK;

	if (!c->claimed) {
		object_pop(c->words, block);
		return;
	}
	cacheobj_count_valid(c, -1);
	if (cacheobj_is_read(c, block, 1)) {
		cacheobj_set(c, block, a | SWB_WRITING);
	} else {
		object_pop(c->words, block);
		cacheobj_free(c, f, a);
	}
}

void cacheobj_spoil_puts(struct cacheobj *c, uint64_t block, uint64_t end)
{
	for (struct cacheobj_put *p = c->puts; p; p = p->next)
		for (uint32_t k = 0; k < p->n; k++)
			if (p->block + k >= block && p->block + k < end)
				p->gone |= UINT32_C(1) << k;
}

uint64_t cacheobj_drop_range(struct cacheobj *c, uint64_t block, uint64_t end)
{
	uint64_t dropped = 0, word;
	bool more = true;

	while (more) {
		struct cacheobj_freeing f = { 0 };

		cacheobj_lock(c);
		for (uint32_t i = 0; i < CHUNK && more; i++) {
			more = object_next(c->words, block, &block, &word) && block < end;
			if (more && cacheobj_valid(word)) {
				cacheobj_drop(c, &f, block, word);
				dropped++;
			}
			block++;
		}
		cacheobj_free_flush(c, &f);
		cacheobj_unlock(c);
	}
	return dropped;
}

/* --- reads ---------------------------------------------------------------------- */

/* The first valid word from `block` on, or end if there is none before it. */
static uint64_t next_valid(const struct cacheobj *c, uint64_t block, uint64_t end)
{
	uint64_t word;

	for (; object_next(c->words, block, &block, &word) && block < end; block++)
		if (cacheobj_valid(word))
			return block;
	return end;
}

uint32_t cacheobj_read(struct cacheobj *c, struct cacheobj_read *r, uint64_t block,
		       uint64_t max, uint64_t *gap)
{
	uint64_t word;
	uint32_t n = 0;

	assert(max > 0);
	*gap = 0;
	cacheobj_lock(c);
	word = c->claimed ? object_get(c->words, block) : 0;
	if (cacheobj_valid(word)) {
		n = 1 + object_run(c->words, block, cacheobj_at_most(block, max) - 1);
		*r = (struct cacheobj_read){ .block = block,
					     .n = n,
					     .addr = word & DRUM_ADDR_MASK };
		CACHEOBJ_ADD(c->reads, r);
		c->hot[block / SWBLOCK_PAGES / 64] |= UINT64_C(1) << block / SWBLOCK_PAGES % 64;
		cacheobj_count(&c->count.read, n);
	} else {
		*gap = max;
		if (c->claimed)
			*gap = next_valid(c, block, block + max) - block;
		cacheobj_count(&c->count.missed, *gap);
	}
	cacheobj_unlock(c);
	return n;
}

void cacheobj_read_end(struct cacheobj *c, struct cacheobj_read *r, int err)
{
	struct cacheobj_freeing f = { 0 };

	cacheobj_lock(c);
	CACHEOBJ_REMOVE(c->reads, r);
	for (uint32_t k = 0; k < r->n; k++) {
		uint64_t block = r->block + k, word = object_get(c->words, block);

		if ((word & DRUM_ADDR_MASK) != r->addr + k)
			BROKEN("a block of swap was freed while it was read");
		if (cacheobj_valid(word)) {
			if (!err)
				continue;
			cacheobj_drop(c, &f, block, word);
			cacheobj_count(&c->count.dropped, 1);
		} else if (!cacheobj_is_read(c, block, 1)) {
			object_pop(c->words, block);
			cacheobj_free(c, &f, r->addr + k);
		}
	}
	cacheobj_free_flush(c, &f);
	if (err)
		cacheobj_count(&c->count.failed_reads, r->n);
	if (err == -EILSEQ)
		cacheobj_count(&c->count.checksum_errors, r->n);
	cacheobj_unlock(c);
}

bool cacheobj_is_empty(const struct cacheobj *c)
{
	return __atomic_load_n(&c->count.cached, __ATOMIC_RELAXED) == 0;
}

bool cacheobj_has(struct cacheobj *c, uint64_t block)
{
	bool has;

	cacheobj_lock(c);
	has = c->claimed && object_get(c->words, block) != 0;
	for (const struct cacheobj_put *p = c->puts; p && !has; p = p->next)
		has = block >= p->block && block - p->block < p->n;
	cacheobj_unlock(c);
	return has;
}

/* --- changes -------------------------------------------------------------------- */

void cacheobj_change(struct cacheobj *c, struct cacheobj_change *ch, uint64_t block,
		     uint64_t end)
{
	cacheobj_lock(c);
	*ch = (struct cacheobj_change){ .block = block, .end = end };
	CACHEOBJ_ADD(c->changes, ch);
	cacheobj_spoil_puts(c, block, end);
	cacheobj_unlock(c);
	cacheobj_count(&c->count.dropped_by_change, cacheobj_drop_range(c, block, end));
}

static void hold_puts(struct cacheobj *c, uint64_t until)
{
	if (until > c->hold_puts)
		c->hold_puts = until;
}

void cacheobj_changed(struct cacheobj *c, struct cacheobj_change *ch, bool failed)
{
	cacheobj_lock(c);
	CACHEOBJ_REMOVE(c->changes, ch);
	if (failed)
		hold_puts(c, clock_ns() + DRUM_HOLD_NS);
	cacheobj_unlock(c);
}

void cacheobj_hold_puts(struct cacheobj *c, uint64_t until)
{
	cacheobj_lock(c);
	hold_puts(c, until);
	cacheobj_unlock(c);
}

void cacheobj_drop_all(struct cacheobj *c)
{
	cacheobj_lock(c);
	cacheobj_spoil_puts(c, 0, UINT64_MAX);
	cacheobj_unlock(c);
	cacheobj_count(&c->count.dropped_by_change, cacheobj_drop_range(c, 0, UINT64_MAX));
}

/* --- figures -------------------------------------------------------------------- */

const char *cacheobj_name(const struct cacheobj *c)
{
	return c->name;
}

struct drum *cacheobj_drum(const struct cacheobj *c)
{
	return c->drum;
}

void cacheobj_get_counts(const struct cacheobj *c, struct cacheobj_counts *out)
{
	const uint64_t *from = (const uint64_t *)&c->count;
	uint64_t *to = (uint64_t *)out;

	for (size_t i = 0; i < sizeof(*out) / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}
