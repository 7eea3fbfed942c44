/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * entry[number] is a device that is on; numbers are never used for another
 * device while a block of it is owned, since addresses hold them.  The
 * entries are kept sorted by priority in order[], highest first; an entry
 * that has served an allocation goes to the end of its equals.
 *
 * Allocation goes down the priorities: the first pass asks each device of a
 * priority for the whole run, the second for the longest it has.  Falling to
 * the next priority only when this one is full keeps fast devices full.
 *
 * Each device has a cursor where its next search begins, so that what is
 * written together lies together and freed blocks are not reused at once.
 *
 * Blocks of a device: used + free + bad == blocks.
 *
 * A device that is suspended (by itself) or off (by an admin) is passed over,
 * and its free blocks do not count as available.
 *
 * A device on which writes fail one after the other rests, ever longer, so that
 * others are used and not all of its blocks become bad.
 *
 * Held blocks stand in a ring in the order of their coming, which is that of their
 * going.  Should there ever be too many they are bad: never is long enough.
 *
 * Images are in drum_image.c, promises in drum_promise.c.
 *
 * Where discarding is wanted, `dirty` is a second blist: what is free in it is
 * free in the device and was in use since it was last discarded.  Discarding
 * allocates such a run, so that nobody writes to it meanwhile, and frees it
 * again: dirty is a subset of free, always.
 */

#include "swap/drum.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "swap/blist.h"
#include "swap/drum_private.h"

#define REST_FIRST_NS (100 * NSEC_PER_MSEC)
#define REST_MAX_NS   (30 * NSEC_PER_SEC)

struct drum *drum_create(void)
{
	struct drum *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	pthread_mutex_init(&d->lock, NULL);
	d->level = DRUM_FULL;
	return d;
}

void drum_destroy(struct drum *d)
{
	if (!d)
		return;
	for (unsigned int i = 1; i <= DRUM_NUMBERS_MAX; i++) {
		device_close(d->entry[i].dev);
		blist_destroy(d->entry[i].blist);
		blist_destroy(d->entry[i].dirty);
	}
	pthread_mutex_destroy(&d->lock);
	free(d);
}

void drum_on_level(struct drum *d, void (*fn)(void *arg, enum drum_level), void *arg)
{
	d->on_level_arg = arg;
	d->on_level = fn;
}

/* And not at rest. */
static bool usable(const struct entry *en)
{
	return drum_in_service(en) && (en->rest_until == 0 || clock_ns() >= en->rest_until);
}

uint64_t drum_room_of(const struct entry *en)
{
	uint64_t n = blist_avail(en->blist), room;

	if (!en->dev->ops->room)
		return n;
	room = en->dev->ops->room(en->dev);
	return room < n ? room : n;
}

/* On all devices but `beside`; 0: on all. */
static uint64_t available(const struct drum *d, unsigned int beside)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < d->n; i++)
		if (d->order[i] != beside && drum_in_service(&d->entry[d->order[i]]))
			n += drum_room_of(&d->entry[d->order[i]]);
	return n;
}

/*
 * Low, or full, and ok differ by a hysteresis, so that each edge is told once: full
 * swap has a few free blocks again and again while guests work (swp_sizecheck).  What is
 * cached is as good as free: whoever needs it has it in a moment.
 */
static enum drum_level next_level(const struct drum *d)
{
	uint64_t avail = available(d, 0) + drum_cached(d), again = d->blocks / 2;

	if (again > DRUM_OK_BLOCKS)
		again = DRUM_OK_BLOCKS;
	if (avail == 0 || (d->level == DRUM_FULL && avail < again))
		return DRUM_FULL;
	if (avail < DRUM_LOW_BLOCKS)
		return DRUM_LOW;
	if (avail >= DRUM_OK_BLOCKS)
		return DRUM_OK;
	return d->level == DRUM_OK ? DRUM_OK : DRUM_LOW;
}

/* Whoever sees the new number sees why. */
void drum_keep_less(struct drum *d)
{
	__atomic_store_n(&d->keeps_less, d->keeps_less + 1, __ATOMIC_RELEASE);
}

/* Few blocks left are no long runs, and those of fast devices are for pages. */
static void look_for_tight(struct drum *d)
{
	bool any = drum_promise_tight(d), was_any = d->promise_tight;

	__atomic_store_n(&d->promise_tight, any, __ATOMIC_RELAXED);
	if (any && !was_any)
		drum_keep_less(d);

	for (unsigned int i = 0; i < d->n; i++) {
		struct entry *en = &d->entry[d->order[i]];
		uint64_t least = en->dev->blocks / 16;
		bool was = en->tight;

		if (least < DRUM_TIGHT_BLOCKS)
			least = DRUM_TIGHT_BLOCKS;
		__atomic_store_n(&en->tight, blist_avail(en->blist) < least, __ATOMIC_RELAXED);
		if (en->tight && !was)
			drum_keep_less(d);
		any |= en->tight && !en->dev->ops->picky;
	}
	__atomic_store_n(&d->tight, any, __ATOMIC_RELAXED);
}

void drum_unlock(struct drum *d)
{
	enum drum_level level = next_level(d), old = d->level;
	bool presses = drum_cache_presses(d);

	d->level = level;
	look_for_tight(d);
	pthread_mutex_unlock(&d->lock);
	if (presses)
		d->cache.on_pressure(d->cache.arg);
	if (level != old && d->on_level)
		d->on_level(d->on_level_arg, level);
}

static void order_insert(struct drum *d, unsigned int number)
{
	unsigned int i = d->n++;

	/* behind its equals */
	while (i > 0 && d->entry[d->order[i - 1]].priority < d->entry[number].priority) {
		d->order[i] = d->order[i - 1];
		i--;
	}
	d->order[i] = number;
}

static void order_rotate(struct drum *d, unsigned int i)
{
	unsigned int number = d->order[i];

	while (i + 1 < d->n &&
	       d->entry[d->order[i + 1]].priority == d->entry[number].priority) {
		d->order[i] = d->order[i + 1];
		i++;
	}
	d->order[i] = number;
}

static void order_remove(struct drum *d, unsigned int number)
{
	unsigned int i = 0;

	while (d->order[i] != number)
		i++;
	d->n--;
	for (; i < d->n; i++)
		d->order[i] = d->order[i + 1];
}

static int find_number(const struct drum *d, const struct swap_device *dev, unsigned int number)
{
	unsigned int first_free = 0;

	for (unsigned int i = DRUM_DEVICES_MAX; i >= 1; i--) {
		if (!d->entry[i].dev)
			first_free = i;
		else if (device_is(d->entry[i].dev, dev->dev, dev->ino))
			return -EBUSY;
	}
	if (number == 0)
		number = first_free;
	if (number == 0 || number > DRUM_DEVICES_MAX)
		return -ENOSPC;
	return d->entry[number].dev ? -EBUSY : (int)number;
}

int drum_add(struct drum *d, struct swap_device *dev, int priority, unsigned int number)
{
	struct blist *bl = blist_create(dev->blocks);
	int ret = -ENOMEM;

	if (bl && blist_free(bl, 0, dev->blocks)) {
		pthread_mutex_lock(&d->lock);
		ret = find_number(d, dev, number);
		if (ret > 0) {
			d->entry[ret] =
				(struct entry){ .dev = dev, .blist = bl, .priority = priority };
			order_insert(d, (unsigned int)ret);
			d->blocks += dev->blocks;
		}
		drum_unlock(d);
	}
	if (ret < 0) {
		blist_destroy(bl);
		device_close(dev);
	}
	return ret;
}

static drum_addr try_alloc(struct drum *d, unsigned int i, uint64_t want, bool less,
			   uint64_t *got)
{
	struct entry *en = &d->entry[d->order[i]];
	uint64_t block;

	if (blist_avail(en->blist) == 0)
		return DRUM_NONE;
	if (less) {
		block = blist_alloc_most(en->blist, want, en->cursor, got);
	} else {
		block = blist_alloc_near(en->blist, want, en->cursor);
		*got = want;
	}
	if (block == BLIST_NONE)
		return DRUM_NONE;
	en->cursor = block + *got;
	if (en->dirty)
		blist_fill(en->dirty, block, *got);
	block = drum_make(d->order[i], block);
	order_rotate(d, i);
	return block;
}

/* From those of one priority: a whole run from any, else the most that one has. */
static drum_addr alloc_equal(struct drum *d, unsigned int from, unsigned int to,
			     drum_fits_fn fits, const void *arg, uint64_t want, uint64_t plain,
			     uint64_t *got)
{
	drum_addr a = DRUM_NONE;

	for (int less = 0; less <= 1; less++)
		for (unsigned int i = from; i < to && a == DRUM_NONE; i++) {
			const struct entry *en = &d->entry[d->order[i]];
			uint64_t n = en->dev->ops->picky || want < plain ? want : plain;

			if (n > 0 && usable(en) && fits(en, d->order[i], arg))
				a = try_alloc(d, i, n, less, got);
		}
	return a;
}

drum_addr drum_alloc_from(struct drum *d, drum_fits_fn fits, const void *arg, uint64_t want,
			  uint64_t plain, uint64_t *got)
{
	drum_addr a = DRUM_NONE;

	for (unsigned int from = 0, to; from < d->n && a == DRUM_NONE; from = to) {
		int priority = d->entry[d->order[from]].priority;

		for (to = from; to < d->n && d->entry[d->order[to]].priority == priority; to++)
			;
		a = alloc_equal(d, from, to, fits, arg, want, plain, got);
	}
	return a;
}

static bool fits_any(const struct entry *en, unsigned int number, const void *arg)
{
	(void)en;
	(void)number;
	(void)arg;
	return true;
}

static bool fits_plain(const struct entry *en, unsigned int number, const void *arg)
{
	(void)number;
	(void)arg;
	return !en->dev->ops->picky;
}

static drum_addr alloc(struct drum *d, struct drum_share *s, drum_fits_fn fits, uint64_t want,
		       uint64_t *got)
{
	drum_addr a = DRUM_NONE;

	pthread_mutex_lock(&d->lock);
	if (!d->closed) {
		a = drum_alloc_from(d, fits, NULL, want, drum_share_may(d, s), got);
		if (a != DRUM_NONE)
			drum_share_charge(d, s, drum_device_of(a), *got);
		d->cache.found_none |= a == DRUM_NONE && drum_cached(d) > 0;
	}
	drum_unlock(d);
	if (a == DRUM_NONE)
		*got = 0;
	return a;
}

drum_addr drum_alloc(struct drum *d, struct drum_share *s, uint64_t want, uint64_t *got)
{
	return alloc(d, s, fits_any, want, got);
}

drum_addr drum_alloc_plain(struct drum *d, struct drum_share *s, uint64_t want, uint64_t *got)
{
	return alloc(d, s, fits_plain, want, got);
}

drum_addr drum_alloc_beside(struct drum *d, struct drum_share *s, drum_addr a, uint64_t want,
			    uint64_t *got)
{
	drum_addr to = DRUM_NONE;
	unsigned int i = 0;
	uint64_t may;

	*got = 0;
	pthread_mutex_lock(&d->lock);
	while (i < d->n && d->order[i] != drum_device_of(a))
		i++;
	if (!d->closed && i < d->n && usable(&d->entry[d->order[i]])) {
		may = d->entry[d->order[i]].dev->ops->picky ? want : drum_share_may(d, s);
		if (may > 0)
			to = try_alloc(d, i, want < may ? want : may, true, got);
		if (to != DRUM_NONE)
			drum_share_charge(d, s, drum_device_of(to), *got);
	}
	drum_unlock(d);
	if (to == DRUM_NONE)
		*got = 0;
	return to;
}

void drum_set_closed(struct drum *d, bool closed)
{
	pthread_mutex_lock(&d->lock);
	d->closed = closed;
	pthread_mutex_unlock(&d->lock);
}

static struct entry *entry_of(struct drum *d, drum_addr a)
{
	unsigned int number = drum_device_of(a);

	return number >= 1 && number <= DRUM_NUMBERS_MAX && d->entry[number].dev
		       ? &d->entry[number]
		       : NULL;
}

/* Two owners of a block are two guests with each other's pages: the invariant
 * for which stopping is right. */
static void give_back(struct entry *en, uint64_t block, uint64_t n)
{
	if (!blist_free(en->blist, block, n))
		BROKEN("a block is freed that is free");
}

static void give_back_dirty(struct entry *en, uint64_t block, uint64_t n)
{
	if (!blist_free(en->dirty, block, n))
		BROKEN("a block is freed that is to be discarded");
}

void drum_free(struct drum *d, struct drum_share *s, drum_addr a, uint64_t n)
{
	/* no lock: the device stays as long as these blocks are the caller's, and
	 * nobody else gets them before the device knows */
	struct entry *en = entry_of(d, a);

	if (!en)
		BROKEN("a block is freed whose device there is not");
	if (!en->blist) {
		/* last: when there are none the image may be removed */
		if (__atomic_fetch_sub(&en->owners, n, __ATOMIC_RELEASE) < n)
			BROKEN("a block of an image is freed that has no owner");
		return;
	}
	if (en->dev->ops->freed)
		en->dev->ops->freed(en->dev, drum_block_of(a), n);
	pthread_mutex_lock(&d->lock);
	give_back(en, drum_block_of(a), n);
	if (en->dirty)
		give_back_dirty(en, drum_block_of(a), n);
	drum_share_uncharge(d, s, drum_device_of(a), n);
	drum_unlock(d);
}

void drum_write_failed(struct drum *d, drum_addr a)
{
	struct entry *en;
	uint64_t now = clock_ns();

	pthread_mutex_lock(&d->lock);
	/* its blocks may be free by now, and then it may have been removed */
	en = entry_of(d, a);
	/* several clusters that were under way together count once */
	if (en && now >= en->rest_until) {
		en->rest = en->rest ? en->rest * 2 : REST_FIRST_NS;
		if (en->rest > REST_MAX_NS)
			en->rest = REST_MAX_NS;
		en->rest_until = now + en->rest;
	}
	drum_unlock(d);
}

void drum_write_done(struct drum *d, drum_addr a)
{
	/* no lock: a device stays while a block of it is owned */
	struct entry *en = entry_of(d, a);

	if (__atomic_load_n(&en->rest, __ATOMIC_RELAXED) == 0)
		return;
	pthread_mutex_lock(&d->lock);
	__atomic_store_n(&en->rest, 0, __ATOMIC_RELAXED);
	drum_unlock(d);
}

bool drum_resting(struct drum *d)
{
	bool resting = false;

	pthread_mutex_lock(&d->lock);
	for (unsigned int i = 0; i < d->n; i++)
		resting |= drum_in_service(&d->entry[d->order[i]]) &&
			   !usable(&d->entry[d->order[i]]);
	pthread_mutex_unlock(&d->lock);
	return resting;
}

/* With the lock. */
static void mark_bad(struct drum *d, drum_addr a, uint64_t n)
{
	struct entry *en = entry_of(d, a);

	assert(en && en->blist);
	en->bad += n;
	d->blocks -= n;
}

void drum_mark_bad(struct drum *d, struct drum_share *s, drum_addr a)
{
	pthread_mutex_lock(&d->lock);
	drum_share_uncharge(d, s, drum_device_of(a), 1);
	mark_bad(d, a, 1);
	drum_unlock(d);
}

bool drum_is_late(int err)
{
	return err == -ENOTCONN || err == -ECANCELED || err == -ESHUTDOWN;
}

/* With the lock.  Does it follow the last one, and have to wait as long, or nearly? */
static bool join_held(struct drum *d, drum_addr a, uint64_t n, uint64_t until)
{
	struct held *last = &d->held[(d->held_first + d->held_n - 1) % HELD_MAX];

	if (d->held_n == 0 || a != last->addr + last->n || until - last->until > NSEC_PER_SEC)
		return false;
	last->n += n;
	last->until = until;
	return true;
}

void drum_hold(struct drum *d, struct drum_share *s, drum_addr a, uint64_t n)
{
	uint64_t until;

	pthread_mutex_lock(&d->lock);
	drum_share_uncharge(d, s, drum_device_of(a), n);
	until = clock_ns() + DRUM_HOLD_NS;
	if (join_held(d, a, n, until))
		;
	else if (d->held_n < HELD_MAX)
		d->held[(d->held_first + d->held_n++) % HELD_MAX] =
			(struct held){ a, n, until };
	else
		mark_bad(d, a, n);
	drum_unlock(d);
}

void drum_release_held(struct drum *d, uint64_t now)
{
	for (;;) {
		struct held h = { 0 };

		pthread_mutex_lock(&d->lock);
		if (d->held_n > 0 && d->held[d->held_first].until <= now) {
			h = d->held[d->held_first];
			d->held_first = (d->held_first + 1) % HELD_MAX;
			d->held_n--;
		}
		pthread_mutex_unlock(&d->lock);
		if (h.n == 0)
			return;
		drum_free(d, NULL, h.addr, h.n);
	}
}

static bool any_allocated(const struct blist *bl, uint64_t block, uint64_t n)
{
	for (uint64_t k = 0; k < n; k++)
		if (blist_is_allocated(bl, block + k, 1))
			return true;
	return false;
}

int drum_claim_run(struct drum *d, struct drum_share *s, drum_addr a, uint64_t n)
{
	uint64_t block = drum_block_of(a);
	struct entry *en;
	int ret = -ENODEV;

	pthread_mutex_lock(&d->lock);
	en = entry_of(d, a);
	if (en && !en->blist) {
		uint64_t blocks = __atomic_load_n(&en->dev->blocks, __ATOMIC_RELAXED);

		ret = block < blocks && n <= blocks - block ? 0 : -ENODEV;
		if (ret == 0)
			__atomic_fetch_add(&en->owners, n, __ATOMIC_RELAXED);
	} else if (en && block < blist_blocks(en->blist) &&
		   n <= blist_blocks(en->blist) - block) {
		ret = any_allocated(en->blist, block, n) ? -EEXIST : 0;
		if (ret == 0)
			blist_fill(en->blist, block, n);
		if (ret == 0 && en->dirty)
			blist_fill(en->dirty, block, n);
		if (ret == 0)
			drum_share_charge(d, s, drum_device_of(a), n);
	}
	drum_unlock(d);
	for (uint64_t k = 0; k < n && ret == 0 && en->dev->ops->claimed; k++)
		en->dev->ops->claimed(en->dev, block + k);
	return ret;
}

int drum_claim(struct drum *d, struct drum_share *s, drum_addr a)
{
	return drum_claim_run(d, s, a, 1);
}

bool drum_keeps(struct drum *d, const struct drum_share *s, drum_addr a)
{
	/* no lock: a device stays while a block of it is owned */
	const struct entry *en = entry_of(d, a);

	return en->blist && !en->dev->ops->picky &&
	       !__atomic_load_n(&en->off, __ATOMIC_RELAXED) &&
	       !__atomic_load_n(&en->tight, __ATOMIC_RELAXED) &&
	       (!__atomic_load_n(&d->promise_tight, __ATOMIC_RELAXED) || drum_share_within(s));
}

bool drum_tight(struct drum *d)
{
	return __atomic_load_n(&d->tight, __ATOMIC_RELAXED);
}

uint32_t drum_keeps_less(struct drum *d)
{
	return __atomic_load_n(&d->keeps_less, __ATOMIC_ACQUIRE);
}

bool drum_moving(struct drum *d)
{
	bool moving;

	pthread_mutex_lock(&d->lock);
	moving = d->images_off > 0;
	for (unsigned int i = 0; i < d->n && !moving; i++) {
		const struct entry *en = &d->entry[d->order[i]];

		moving = en->off || __atomic_load_n(&en->dev->moving, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&d->lock);
	return moving;
}

enum drum_move drum_move(struct drum *d, drum_addr a)
{
	/* no lock: a device stays while a block of it is owned */
	struct entry *en = entry_of(d, a);
	struct swap_device *dev = en->dev;

	if (__atomic_load_n(&en->off, __ATOMIC_RELAXED))
		return DRUM_MOVE_AWAY;
	if (!__atomic_load_n(&dev->moving, __ATOMIC_ACQUIRE) ||
	    !dev->ops->moves(dev, drum_block_of(a)))
		return DRUM_STAY;
	return dev->anew ? DRUM_MOVE_ANEW : DRUM_MOVE_DOWN;
}

/* For the control thread. */

struct swap_device *drum_device(struct drum *d, unsigned int number)
{
	return d->entry[number].dev;
}

void drum_set_priority(struct drum *d, unsigned int number, int priority)
{
	pthread_mutex_lock(&d->lock);
	order_remove(d, number);
	d->entry[number].priority = priority;
	order_insert(d, number);
	drum_unlock(d);
}

static uint64_t used_of(const struct entry *en)
{
	return en->dev->blocks - blist_avail(en->blist) - en->bad;
}

/* With the lock. */
static void set_off(struct drum *d, struct entry *en, bool off)
{
	__atomic_store_n(&en->off, off, __ATOMIC_RELAXED);
	drum_share_recount(d);
	en->to_move = off ? used_of(en) : 0;
	if (off)
		drum_keep_less(d);
}

void drum_set_off(struct drum *d, unsigned int number, bool off)
{
	pthread_mutex_lock(&d->lock);
	set_off(d, &d->entry[number], off);
	drum_unlock(d);
}

int drum_try_off(struct drum *d, unsigned int number, uint64_t *outstanding, uint64_t *had)
{
	struct entry *en = &d->entry[number];
	int ret;

	pthread_mutex_lock(&d->lock);
	ret = drum_off_breaks(d, en, number, used_of(en), outstanding, had) ? -ENOSPC : 0;
	if (ret == 0)
		set_off(d, en, true);
	drum_unlock(d);
	return ret;
}

struct swap_device *drum_remove(struct drum *d, unsigned int number)
{
	struct entry *en = &d->entry[number], was = { 0 };

	pthread_mutex_lock(&d->lock);
	if (used_of(en) == 0) {
		was = *en;
		d->blocks -= en->dev->blocks - en->bad;
		order_remove(d, number);
		*en = (struct entry){ 0 };
	}
	drum_unlock(d);
	blist_destroy(was.blist);
	blist_destroy(was.dirty);
	return was.dev;
}

int drum_grow(struct drum *d, unsigned int number, uint64_t blocks)
{
	struct entry *en = &d->entry[number];
	uint64_t old = en->dev->blocks;
	int ret = -EINVAL;

	pthread_mutex_lock(&d->lock);
	if (blocks > old)
		ret = blist_resize(en->blist, blocks);
	if (ret == 0 && en->dirty)
		ret = blist_resize(en->dirty, blocks);
	if (ret == 0) {
		give_back(en, old, blocks - old);
		if (en->dirty)
			give_back_dirty(en, old, blocks - old);
		__atomic_store_n(&en->dev->blocks, blocks, __ATOMIC_RELAXED);
		d->blocks += blocks - old;
	}
	drum_unlock(d);
	return ret;
}

int drum_set_discard(struct drum *d, unsigned int number, bool discard)
{
	struct entry *en = &d->entry[number];
	struct blist *old = NULL;
	int ret = 0;

	pthread_mutex_lock(&d->lock);
	if (discard && !en->dirty) {
		en->dirty = blist_create(en->dev->blocks);
		ret = en->dirty ? 0 : -ENOMEM;
		if (en->dirty && used_of(en) == 0 && en->bad == 0)
			give_back_dirty(en, 0, en->dev->blocks);
	} else if (!discard) {
		old = en->dirty;
		en->dirty = NULL;
	}
	pthread_mutex_unlock(&d->lock);
	blist_destroy(old);
	return ret;
}

drum_addr drum_take_undiscarded(struct drum *d, uint64_t min, uint64_t max, uint64_t *n)
{
	drum_addr a = DRUM_NONE;

	pthread_mutex_lock(&d->lock);
	for (unsigned int i = 0; i < d->n && a == DRUM_NONE && !d->closed; i++) {
		struct entry *en = &d->entry[d->order[i]];
		uint64_t block;

		if (!en->dirty || !usable(en) || blist_longest(en->dirty) < min)
			continue;
		block = blist_alloc_most(en->dirty, max, 0, n);
		if (block == BLIST_NONE)
			continue;
		if (blist_fill(en->blist, block, *n) != *n)
			BROKEN("a block is to be discarded that is in use");
		a = drum_make(d->order[i], block);
	}
	drum_unlock(d);
	return a;
}

void drum_discarded(struct drum *d, drum_addr a, uint64_t n)
{
	pthread_mutex_lock(&d->lock);
	give_back(entry_of(d, a), drum_block_of(a), n);
	drum_unlock(d);
}

void drum_submit(struct drum *d, struct ring *ring, struct swap_io *io, drum_addr a)
{
	/* no lock: a device stays while a block of it is owned */
	device_submit(d->entry[drum_device_of(a)].dev, ring, io, drum_block_of(a));
}

const char *drum_path(struct drum *d, drum_addr a)
{
	struct entry *en = entry_of(d, a);

	return en ? en->dev->path : "(no device)";
}

uint64_t drum_blocks(struct drum *d)
{
	uint64_t n;

	pthread_mutex_lock(&d->lock);
	n = d->blocks;
	pthread_mutex_unlock(&d->lock);
	return n;
}

uint64_t drum_avail_beside(struct drum *d, unsigned int number)
{
	uint64_t n;

	pthread_mutex_lock(&d->lock);
	n = available(d, number);
	pthread_mutex_unlock(&d->lock);
	return n;
}

uint64_t drum_avail(struct drum *d)
{
	return drum_avail_beside(d, 0);
}

uint64_t drum_avail_to(struct drum *d, const struct drum_share *s)
{
	uint64_t n, plain, may, all;

	pthread_mutex_lock(&d->lock);
	n = available(d, 0);
	plain = drum_plain(d, &all);
	may = drum_share_may(d, s);
	pthread_mutex_unlock(&d->lock);
	return may < plain ? n - (plain - may) : n;
}

enum drum_level drum_level(struct drum *d)
{
	enum drum_level level;

	pthread_mutex_lock(&d->lock);
	level = d->level;
	pthread_mutex_unlock(&d->lock);
	return level;
}

size_t drum_stats(struct drum *d, struct drum_device_stats *out, size_t max)
{
	size_t n = 0;

	pthread_mutex_lock(&d->lock);
	for (unsigned int i = 1; i <= DRUM_DEVICES_MAX; i++) {
		struct entry *en = &d->entry[i];

		if (!en->dev)
			continue;
		if (n < max)
			out[n] = (struct drum_device_stats){
				.dev = en->dev,
				.number = i,
				.priority = en->priority,
				.blocks = en->dev->blocks,
				.used = used_of(en),
				.bad = en->bad,
				.off = en->off,
				.discard = en->dirty != NULL,
				.to_move = en->to_move,
			};
		n++;
	}
	pthread_mutex_unlock(&d->lock);
	return n;
}

bool drum_written(struct drum *d, unsigned int number, char *path, size_t size, uint64_t *bytes)
{
	const struct entry *en = &d->entry[number];
	bool is;

	/* with the mutex: it could be removed, and closed, in between */
	pthread_mutex_lock(&d->lock);
	is = en->blist && !en->dev->ops->picky;
	if (is) {
		snprintf(path, size, "%s", en->dev->path);
		*bytes = __atomic_load_n(&en->dev->count.write_bytes, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&d->lock);
	return is;
}
