/* SPDX-License-Identifier: BSD-2-Clause */
/* Blocks on their way to the cache: see the head of cacheobj.c. */

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/point.h"
#include "swap/cacheobj_private.h"
#include "swap/pager.h"

/* What is left of n blocks from `block` on before those from `from` to end-1. */
static uint32_t before(uint64_t block, uint32_t n, uint64_t from, uint64_t end)
{
	if (end <= block || from >= block + n)
		return n;
	return from <= block ? 0 : (uint32_t)(from - block);
}

static uint32_t may_put(const struct cacheobj *c, uint64_t block, uint32_t max)
{
	uint64_t found, word;
	uint32_t n;

	if (!c->claimed || c->retired || block >= c->blocks)
		return 0;
	if (c->hold_puts && clock_ns() < c->hold_puts)
		return 0;
	n = cacheobj_at_most(block, max < c->blocks - block ? max : c->blocks - block);
	if (object_next(c->words, block, &found, &word))
		n = before(block, n, found, found + 1);
	for (const struct cacheobj_put *p = c->puts; p && n > 0; p = p->next)
		n = before(block, n, p->block, p->block + p->n);
	for (const struct cacheobj_change *ch = c->changes; ch && n > 0; ch = ch->next)
		n = before(block, n, ch->block, ch->end);
	return n;
}

uint32_t cacheobj_put(struct cacheobj *c, struct cacheobj_put *p, uint64_t block, uint32_t max)
{
	uint32_t n;

	cacheobj_lock(c);
	n = may_put(c, block, max);
	if (n > 0) {
		*p = (struct cacheobj_put){ .obj = c, .block = block, .n = n };
		CACHEOBJ_ADD(c->puts, p);
		cacheobj_ref(c);
	}
	cacheobj_unlock(c);
	return n;
}

static bool is_gone(const struct cacheobj_put *p, uint32_t k)
{
	return p->gone >> k & 1;
}

/* => how many have not changed, of the first n */
static uint32_t not_gone(const struct cacheobj_put *p, uint32_t n)
{
	uint32_t good = 0;

	for (uint32_t k = 0; k < n; k++)
		good += !is_gone(p, k);
	return good;
}

int cacheobj_put_write(struct cacheobj *c, struct cacheobj_put *p, uint32_t n, drum_addr a)
{
	int ret = -ESTALE;

	assert(n >= 1 && n <= p->n && !p->writing);
	cacheobj_lock(c);
	/* what has changed gets a word too: it is written along with the rest.  One swblock has
	 * them all, so that only the first can find none. */
	if (not_gone(p, n) > 0)
		ret = object_set(c->words, p->block, a | SWB_WRITING);
	if (ret == 0) {
		for (uint32_t k = 1; k < n; k++)
			cacheobj_set(c, p->block + k, (a + k) | SWB_WRITING);
		p->writing = true;
		p->addr = a;
		p->n = n;
		cacheobj_count(&c->count.used, n);
	}
	cacheobj_unlock(c);
	if (ret == 0)
		point_crash("cache-word");
	return ret;
}

/* The block cannot be written: it is used for nothing any more. */
static void give_up(struct cacheobj *c, uint64_t block, drum_addr a, int err)
{
	object_pop(c->words, block);
	/* first, while the device cannot be removed for the block's sake */
	log_err("cache of %s: block %llu of %s cannot be written: %s; it is not used again",
		c->name, (unsigned long long)drum_block_of(a), drum_path(c->drum, a),
		strerror(-err));
	drum_mark_bad(c->drum, NULL, a);
	cacheobj_count(&c->count.used, UINT64_MAX);
	cacheobj_count(&c->count.dropped, 1);
}

static void put_end_block(struct cacheobj *c, struct cacheobj_freeing *f,
			  const struct cacheobj_put *p, uint32_t k, int err)
{
	uint64_t block = p->block + k;
	drum_addr a = p->addr + k;

	if (err == 0 && !is_gone(p, k)) {
		cacheobj_set(c, block, a | SWB_VALID);
		cacheobj_count_valid(c, 1);
		cacheobj_count(&c->count.put, 1);
	} else if (drum_is_late(err)) {
		cacheobj_late(c, block, true);
	} else if (pager_is_media_error(err)) {
		give_up(c, block, a, err);
	} else {
		object_pop(c->words, block);
		cacheobj_free(c, f, a);
	}
}

void cacheobj_put_end(struct cacheobj *c, struct cacheobj_put *p, int err)
{
	struct cacheobj_freeing f = { 0 };

	if (p->writing)
		point_crash("cache-written");
	cacheobj_lock(c);
	CACHEOBJ_REMOVE(c->puts, p);
	for (uint32_t k = 0; k < p->n && p->writing; k++)
		put_end_block(c, &f, p, k, err);
	cacheobj_free_flush(c, &f);
	cacheobj_unlock(c);
	if (p->writing && err == 0)
		point_crash("cache-valid");
	cacheobj_unref(c);
}
