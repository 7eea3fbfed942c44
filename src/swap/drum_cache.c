/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * The swapcache takes what nobody else needs: blocks of devices that take whatever is written,
 * are near, and would notice other data than was written.  Guests win over it in two ways.  It
 * gets no block unless an eighth stays free; and when less than a 16th is, or an allocation of
 * theirs has found none, who cleans is told.
 *
 * The eighth and the 16th are of the devices that take everything and are in service.  Those
 * that are picky are no part of it: it is normal for ram: to be full, and as long as it is not,
 * what it refuses and what is cold there need room on the others all the same.
 *
 * What is promised to guests and not in use yet (drum_promise.c) counts as in use in both.
 *
 * What is told is told once: on_pressure is called when there is something to be cleaned and
 * `told` is not set, and drum_pressure takes it back.  An allocation that has found none
 * counts as pressure until it was asked about, whatever is free by then: what is free may be
 * resting, or not where it was looked for.
 */

#include <pthread.h>
#include <string.h>

#include "swap/drum_private.h"

uint64_t drum_plain(const struct drum *d, uint64_t *all)
{
	uint64_t n = 0;

	*all = 0;
	for (unsigned int i = 0; i < d->n; i++) {
		const struct entry *en = &d->entry[d->order[i]];

		if (en->dev->ops->picky || !drum_in_service(en))
			continue;
		n += drum_room_of(en);
		*all += en->dev->blocks - en->bad;
	}
	return n;
}

/* The same, less what is promised and not in use yet: that is nobody else's. */
static uint64_t available(const struct drum *d, uint64_t *all)
{
	uint64_t n = drum_plain(d, all);

	return n > d->outstanding ? n - d->outstanding : 0;
}

/* Whatever it does at the moment. */
static bool suits(const struct entry *en)
{
	return !en->dev->ops->picky && strcmp(en->dev->ops->kind, "nbd") != 0 && en->dev->sums;
}

static bool fits(const struct entry *en, unsigned int number, const void *arg)
{
	uint64_t allowed = *(const uint64_t *)arg;

	return number < 64 && allowed >> number & 1 && suits(en);
}

drum_addr drum_alloc_cache(struct drum *d, uint64_t want, uint64_t allowed, uint64_t *got)
{
	drum_addr a = DRUM_NONE;
	uint64_t avail, all;

	pthread_mutex_lock(&d->lock);
	avail = available(d, &all);
	/* rounded up, so that no less is left than an eighth */
	all = (all + 7) / 8;
	if (want > avail || avail - want < all)
		want = avail > all ? avail - all : 0;
	if (!d->closed && want > 0)
		a = drum_alloc_from(d, fits, &allowed, want, want, got);
	drum_unlock(d);
	if (a == DRUM_NONE)
		*got = 0;
	return a;
}

uint64_t drum_cache_blocks(struct drum *d)
{
	uint64_t n = 0;

	pthread_mutex_lock(&d->lock);
	for (unsigned int i = 0; i < d->n; i++) {
		const struct entry *en = &d->entry[d->order[i]];

		if (!en->off && suits(en))
			n += en->dev->blocks - en->bad;
	}
	pthread_mutex_unlock(&d->lock);
	return n;
}

void drum_count_cached(struct drum *d, int64_t n)
{
	__atomic_fetch_add(&d->cache.cached, (uint64_t)n, __ATOMIC_RELAXED);
}

uint64_t drum_cached(const struct drum *d)
{
	return __atomic_load_n(&d->cache.cached, __ATOMIC_RELAXED);
}

void drum_on_pressure(struct drum *d, void (*fn)(void *arg), void *arg)
{
	pthread_mutex_lock(&d->lock);
	d->cache.arg = arg;
	d->cache.on_pressure = fn;
	pthread_mutex_unlock(&d->lock);
}

bool drum_cache_presses(struct drum *d)
{
	uint64_t avail, all;

	if (!d->cache.on_pressure || d->cache.told || drum_cached(d) == 0)
		return false;
	avail = available(d, &all);
	d->cache.told = d->cache.found_none || avail < all / 16;
	return d->cache.told;
}

bool drum_pressure(struct drum *d)
{
	uint64_t avail, all;
	bool presses;

	pthread_mutex_lock(&d->lock);
	avail = available(d, &all);
	presses = d->cache.found_none || avail < all / 8;
	d->cache.told = d->cache.found_none = false;
	pthread_mutex_unlock(&d->lock);
	return presses;
}
