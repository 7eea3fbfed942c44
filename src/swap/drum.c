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
 */

#include "swap/drum.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "swap/blist.h"

struct entry {
	struct swap_device *dev; /* NULL: no such device */
	struct blist *blist;
	int priority;
	uint64_t cursor;
	uint64_t bad;
};

struct drum {
	pthread_mutex_t lock;				    /* leaf */
	struct entry entry[DRUM_DEVICES_MAX + 1];	    /* [lock]; 0 unused */
	unsigned int order[DRUM_DEVICES_MAX];		    /* [lock] */
	unsigned int n;					    /* [lock] entries in order */
	uint64_t avail;					    /* [lock] sum of blist_avail */
	uint64_t blocks;				    /* [lock] sum of sizes less bad */
	enum drum_level level;				    /* [lock] */
	bool closed;					    /* [lock] */
	void (*on_level)(void *arg, enum drum_level level); /* [I] once set */
	void *on_level_arg;
};

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
	for (unsigned int i = 1; i <= DRUM_DEVICES_MAX; i++) {
		device_close(d->entry[i].dev);
		blist_destroy(d->entry[i].blist);
	}
	pthread_mutex_destroy(&d->lock);
	free(d);
}

void drum_on_level(struct drum *d, void (*fn)(void *arg, enum drum_level), void *arg)
{
	d->on_level_arg = arg;
	d->on_level = fn;
}

/* Low and ok differ by a hysteresis, so that each edge is told once. */
static enum drum_level next_level(const struct drum *d)
{
	if (d->avail == 0)
		return DRUM_FULL;
	if (d->avail < DRUM_LOW_BLOCKS)
		return DRUM_LOW;
	if (d->avail >= DRUM_OK_BLOCKS)
		return DRUM_OK;
	return d->level == DRUM_OK ? DRUM_OK : DRUM_LOW;
}

/* Unlock, and tell if the level has changed. */
static void unlock(struct drum *d)
{
	enum drum_level level = next_level(d), old = d->level;

	d->level = level;
	pthread_mutex_unlock(&d->lock);
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

static int find_number(const struct drum *d, const struct swap_device *dev, unsigned int number)
{
	unsigned int first_free = 0;

	for (unsigned int i = DRUM_DEVICES_MAX; i >= 1; i--) {
		if (!d->entry[i].dev)
			first_free = i;
		else if (d->entry[i].dev->dev == dev->dev && d->entry[i].dev->ino == dev->ino)
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
			d->avail += dev->blocks;
			d->blocks += dev->blocks;
		}
		unlock(d);
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
	d->avail -= *got;
	block = drum_make(d->order[i], block);
	order_rotate(d, i);
	return block;
}

drum_addr drum_alloc(struct drum *d, uint64_t want, uint64_t *got)
{
	drum_addr a = DRUM_NONE;

	*got = 0;
	pthread_mutex_lock(&d->lock);
	for (unsigned int from = 0, to; !d->closed && from < d->n && a == DRUM_NONE;
	     from = to) {
		int priority = d->entry[d->order[from]].priority;

		for (to = from; to < d->n && d->entry[d->order[to]].priority == priority; to++)
			;
		for (unsigned int i = from; i < to && a == DRUM_NONE; i++)
			a = try_alloc(d, i, want, false, got);
		for (unsigned int i = from; i < to && a == DRUM_NONE; i++)
			a = try_alloc(d, i, want, true, got);
	}
	unlock(d);
	return a;
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

	return number >= 1 && number <= DRUM_DEVICES_MAX && d->entry[number].dev
		       ? &d->entry[number]
		       : NULL;
}

void drum_free(struct drum *d, drum_addr a, uint64_t n)
{
	struct entry *en;

	pthread_mutex_lock(&d->lock);
	en = entry_of(d, a);
	/* Two owners of a block are two guests with each other's pages: the
	 * invariant for which stopping is right. */
	if (!en || !blist_free(en->blist, drum_block_of(a), n))
		abort();
	d->avail += n;
	unlock(d);
}

void drum_mark_bad(struct drum *d, drum_addr a)
{
	struct entry *en;

	pthread_mutex_lock(&d->lock);
	en = entry_of(d, a);
	assert(en);
	en->bad++;
	d->blocks--;
	unlock(d);
}

int drum_claim(struct drum *d, drum_addr a)
{
	struct entry *en;
	int ret = -ENODEV;

	pthread_mutex_lock(&d->lock);
	en = entry_of(d, a);
	if (en && drum_block_of(a) < blist_blocks(en->blist)) {
		ret = -EEXIST;
		if (blist_fill(en->blist, drum_block_of(a), 1) == 1) {
			d->avail--;
			ret = 0;
		}
	}
	unlock(d);
	return ret;
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

uint64_t drum_avail(struct drum *d)
{
	uint64_t n;

	pthread_mutex_lock(&d->lock);
	n = d->avail;
	pthread_mutex_unlock(&d->lock);
	return n;
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
				.used = en->dev->blocks - blist_avail(en->blist) - en->bad,
				.bad = en->bad,
			};
		n++;
	}
	pthread_mutex_unlock(&d->lock);
	return n;
}
