/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * What is given up, of an image's cached blocks, and what a restart makes of their words.  The
 * states and their words are at the head of cacheobj.c.
 *
 * Cleaning goes over the swblocks in order and frees whole ones (swap_pager_condfree).  One
 * that was read since the last time has its bit in `hot`: it loses that, and stays.  So each
 * gets a second chance, and none of them a third one unread.
 *
 * Late words stand in a ring until their time is over.  Should there ever be too many of them,
 * the drum holds the block, which a death forgets.
 *
 * A restart claims what is valid and not somebody else's.  All other words were being written,
 * dropped while they were read, or late: in each case something of a dead daemon may be on its
 * way, and they are late again.  They are claimed after those that are valid: whatever may have
 * gone wrong, a block with content goes first.  One whose device is missing stays too,
 * unclaimed, so that a later pager that finds the device knows of it; it goes when the minute
 * is over.
 */

#include <errno.h>

#include "base/log.h"
#include "base/point.h"
#include "swap/cacheobj_private.h"

/* Blocks to be freed without letting go of the lock: 8 times as many swblocks may be seen. */
#define CLEAN_CHUNK 64u
#define WORDS_CHUNK 1024u
#define CLAIM_RUN   256u

/* --- cleaning ------------------------------------------------------------------- */

struct cleaning {
	struct cacheobj *c;
	bool hurry;
};

static bool may_free(void *arg, uint64_t page)
{
	const struct cleaning *cl = arg;
	struct cacheobj *c = cl->c;
	uint64_t *hot = &c->hot[page / SWBLOCK_PAGES / 64];
	uint64_t bit = UINT64_C(1) << page / SWBLOCK_PAGES % 64;
	bool was_hot = *hot & bit;

	if (cacheobj_is_read(c, page, SWBLOCK_PAGES))
		return false;
	*hot &= ~bit;
	return cl->hurry || !was_hot;
}

/* => the scan factor */
static uint64_t clean_chunk(struct cacheobj *c, uint64_t *at, uint64_t count, bool hurry)
{
	struct cleaning cl = { c, hurry };
	uint64_t words, n, freed;

	cacheobj_lock(c);
	words = object_count(c->words);
	/* no busy word is in what is freed, so all of that is valid */
	n = c->claimed ? object_cond_free(c->words, c->drum, at, count, may_free, &cl) : 0;
	freed = words - object_count(c->words);
	cacheobj_count_valid(c, -(int64_t)freed);
	cacheobj_count(&c->count.used, -freed);
	cacheobj_count(&c->count.cleaned, freed);
	cacheobj_unlock(c);
	return n;
}

uint64_t cacheobj_clean(struct cacheobj *c, uint64_t *at, uint64_t count, bool hurry)
{
	uint64_t total = 0, n;

	while (total < count) {
		uint64_t want = count - total < CLEAN_CHUNK ? count - total : CLEAN_CHUNK;

		n = clean_chunk(c, at, want, hurry);
		if (n == 0)
			break;
		total += n;
	}
	if (total > 0)
		point_crash("cache-cleaned");
	return total;
}

bool cacheobj_leave_devices(struct cacheobj *c, uint64_t *at, uint64_t count)
{
	uint64_t word, dropped = 0;
	bool more = true;

	while (more && count > 0) {
		uint64_t chunk = count < WORDS_CHUNK ? count : WORDS_CHUNK;
		struct cacheobj_freeing f = { 0 };

		count -= chunk;
		cacheobj_lock(c);
		while (more && chunk-- > 0) {
			more = object_next(c->words, *at, at, &word);
			if (more && c->claimed && cacheobj_valid(word) &&
			    drum_move(c->drum, word & DRUM_ADDR_MASK) != DRUM_STAY) {
				cacheobj_drop(c, &f, *at, word);
				dropped++;
			}
			*at += more;
		}
		cacheobj_free_flush(c, &f);
		cacheobj_unlock(c);
	}
	cacheobj_count(&c->count.dropped, dropped);
	return more;
}

/* --- what is late --------------------------------------------------------------- */

static struct cacheobj_late *late_at(struct cacheobj *c, unsigned int i)
{
	return &c->late[(c->late_first + i) % CACHEOBJ_LATES];
}

/* Does it follow the last one, and have to wait as long, or nearly? */
static bool join_late(struct cacheobj *c, uint64_t block, bool ours, uint64_t until)
{
	struct cacheobj_late *last;

	if (c->late_n == 0)
		return false;
	last = late_at(c, c->late_n - 1);
	if (block != last->block + last->n || last->n == UINT32_MAX || ours != last->ours ||
	    until - last->until > NSEC_PER_SEC)
		return false;
	last->n++;
	last->until = until;
	return true;
}

void cacheobj_late(struct cacheobj *c, uint64_t block, bool ours)
{
	uint64_t until = clock_ns() + DRUM_HOLD_NS;
	drum_addr a;

	if (join_late(c, block, ours, until))
		return;
	if (c->late_n < CACHEOBJ_LATES) {
		*late_at(c, c->late_n++) = (struct cacheobj_late){ block, until, 1, ours };
		return;
	}
	a = object_get(c->words, block) & DRUM_ADDR_MASK;
	log_warn("cache of %s: too many writes that may be late; block %llu of device %u is "
		 "not kept out of use if the pager is killed within a minute",
		 c->name, (unsigned long long)drum_block_of(a), drum_device_of(a));
	if (ours) {
		drum_hold(c->drum, NULL, a, 1);
		cacheobj_count(&c->count.used, UINT64_MAX);
	}
	object_pop(c->words, block);
}

void cacheobj_step(struct cacheobj *c, uint64_t now)
{
	struct cacheobj_freeing f = { 0 };

	cacheobj_lock(c);
	if (c->hold_puts <= now)
		c->hold_puts = 0;
	while (c->late_n > 0 && late_at(c, 0)->until <= now) {
		const struct cacheobj_late *l = late_at(c, 0);

		for (uint64_t block = l->block; block < l->block + l->n; block++) {
			uint64_t word = object_pop(c->words, block);

			if (l->ours)
				cacheobj_free(c, &f, word & DRUM_ADDR_MASK);
		}
		c->late_first = (c->late_first + 1) % CACHEOBJ_LATES;
		c->late_n--;
	}
	cacheobj_free_flush(c, &f);
	cacheobj_unlock(c);
}

/* --- the end -------------------------------------------------------------------- */

void cacheobj_retire(struct cacheobj *c)
{
	cacheobj_lock(c);
	c->retired = true;
	cacheobj_spoil_puts(c, 0, UINT64_MAX);
	cacheobj_unlock(c);
	cacheobj_count(&c->count.dropped, cacheobj_drop_range(c, 0, UINT64_MAX));
}

bool cacheobj_is_retired(struct cacheobj *c)
{
	bool retired;

	cacheobj_lock(c);
	retired = c->retired;
	cacheobj_unlock(c);
	return retired;
}

bool cacheobj_is_idle(struct cacheobj *c)
{
	bool idle;

	cacheobj_lock(c);
	idle = object_count(c->words) == 0 && !c->reads && !c->puts;
	cacheobj_unlock(c);
	return idle;
}

/* --- a restart ------------------------------------------------------------------ */

/* Neighbours, here and on swap, that are claimed at once: that is much cheaper. */
struct claiming {
	struct cacheobj *c;
	uint64_t block[CLAIM_RUN];
	drum_addr addr;
	uint32_t n;
	uint64_t claimed;
};

static bool claim_run(struct drum *d, drum_addr a, uint64_t n)
{
	/* an image's block may have any number of owners; here it can only be a wrong word */
	return !drum_is_image(a) && drum_claim_run(d, NULL, a, n) == 0;
}

static void end_run(struct claiming *cl)
{
	struct cacheobj *c = cl->c;
	bool all = cl->n > 0 && claim_run(c->drum, cl->addr, cl->n);

	for (uint32_t k = 0; k < cl->n; k++)
		if (all || claim_run(c->drum, cl->addr + k, 1))
			cl->claimed++;
		else
			object_pop(c->words, cl->block[k]);
	cl->n = 0;
	point_crash("cache-claim");
}

static void claim_valid(struct claiming *cl)
{
	uint64_t block = 0, word;

	for (; object_next(cl->c->words, block, &block, &word); block++) {
		drum_addr a = word & DRUM_ADDR_MASK;

		if (!cacheobj_valid(word))
			continue;
		if (cl->n == CLAIM_RUN || a != cl->addr + cl->n ||
		    drum_device_of(a) != drum_device_of(cl->addr))
			end_run(cl);
		if (cl->n == 0)
			cl->addr = a;
		cl->block[cl->n++] = block;
	}
	end_run(cl);
}

static void claim_late(struct cacheobj *c)
{
	uint64_t block = 0, word;

	for (; object_next(c->words, block, &block, &word); block++) {
		drum_addr a = word & DRUM_ADDR_MASK;
		unsigned int device = drum_device_of(a);
		int ret = -EINVAL;

		if (cacheobj_valid(word))
			continue;
		if (device >= 1 && device <= DRUM_DEVICES_MAX)
			ret = drum_claim(c->drum, NULL, a);
		if (ret == 0 || ret == -ENODEV) {
			cacheobj_set(c, block, a | SWB_WRITING);
			cacheobj_count(&c->count.used, ret == 0);
			cacheobj_late(c, block, ret == 0);
		} else {
			object_pop(c->words, block);
		}
	}
}

uint64_t cacheobj_claim(struct cacheobj *c)
{
	struct claiming cl = { .c = c };

	cacheobj_lock(c);
	claim_valid(&cl);
	cacheobj_count(&c->count.used, cl.claimed);
	cacheobj_count_valid(c, (int64_t)cl.claimed);
	claim_late(c);
	c->claimed = true;
	cacheobj_unlock(c);
	return cl.claimed;
}
