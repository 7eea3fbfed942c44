/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A promise: an owner of blocks (a share) can have so many of them, whatever others do.  No
 * block is set aside for it, for then its pages would lie where they were promised and not
 * together; but as many stay free.  Of a share,
 *
 *	used[n]		blocks of device n that it has: changed in the same hold of the mutex
 *			in which they cease or begin to be free, so there is no moment in
 *			which a block counts as both, or as neither
 *	counted		sum of used[n] over devices that count
 *	outstanding	max(0, promised - counted): what it may still ask for
 *
 * and of all together, as long as no device fails,
 *
 *	sum of outstanding <= free blocks of devices that count and are in service
 *
 * A device counts if it takes whatever is written and is not being switched off.  One that may
 * refuse a page (ram:) is no place to promise: what lies there may come in, change, and go out
 * again as something that has to go elsewhere.  So blocks there are free for everybody, and
 * take nothing off what is outstanding.  Nor do blocks on a device that goes: they need as many
 * others, which nobody takes meanwhile; and it is not begun when there are too few.
 *
 * Whoever allocates gets what is free beyond the sum, and what is outstanding to itself.  So
 * taking within a promise changes neither side's difference, and taking beyond it is possible
 * only as long as the rest holds.
 *
 * What a share has is its own until it is free: a page that is moved has two blocks for a
 * moment, a block that a write may still reach (vmm/late.c), or that holds a clean copy of what
 * is in memory (vmm/kept.c), counts.  The owner has the use of kept ones at any time, and lacks
 * late ones for DRUM_HOLD_NS.  What the drum holds (drum_hold), and bad blocks, are nobody's:
 * these, a device that is suspended, and blocks that are just being discarded, can make the
 * sum too great.  Then nobody is given more than is outstanding to it, and those to whom
 * something is get what there is as they come.
 *
 * What the swapcache has counts as free for a new promise: it gives it up at once
 * (drum_cache.c), since all that is outstanding is missing from what is free for it.
 */

#include <errno.h>
#include <pthread.h>

#include "base/log.h"
#include "swap/drum_private.h"

static bool counts(const struct entry *en)
{
	return en->dev && en->blist && !en->dev->ops->picky && !en->off;
}

static uint64_t minus(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static uint64_t outstanding(const struct drum_share *s)
{
	return s ? minus(s->promised, s->counted) : 0;
}

static void set(uint64_t *n, uint64_t to)
{
	__atomic_store_n(n, to, __ATOMIC_RELAXED);
}

/* What counts, or is promised, has changed: it was `was` that was outstanding. */
static void changed(struct drum *d, const struct drum_share *s, uint64_t was)
{
	d->outstanding = d->outstanding - was + outstanding(s);
}

/* The same, and it may have come to have more than is promised: while little is free beside
 * promises its copies are no longer its own affair (drum_keeps), and nothing else says so. */
static void changed_up(struct drum *d, const struct drum_share *s, uint64_t was, bool within)
{
	changed(d, s, was);
	if (within && !drum_share_within(s) && d->promise_tight)
		drum_keep_less(d);
}

uint64_t drum_share_may(const struct drum *d, const struct drum_share *s)
{
	uint64_t plain, all, may;

	if (d->outstanding == 0)
		return UINT64_MAX;
	plain = drum_plain(d, &all);
	may = minus(plain, d->outstanding) + outstanding(s);
	return may < plain ? may : plain;
}

void drum_share_charge(struct drum *d, struct drum_share *s, unsigned int number, uint64_t n)
{
	uint64_t was = outstanding(s);
	bool within = drum_share_within(s);

	if (!s || number > DRUM_DEVICES_MAX)
		return;
	set(&s->used[number], s->used[number] + n);
	if (counts(&d->entry[number]))
		set(&s->counted, s->counted + n);
	changed_up(d, s, was, within);
}

void drum_share_uncharge(struct drum *d, struct drum_share *s, unsigned int number, uint64_t n)
{
	uint64_t was = outstanding(s);

	if (!s || number > DRUM_DEVICES_MAX)
		return;
	/* a promise may be wrong now; that is no reason to stop, as two owners are */
	if (s->used[number] < n) {
		log_err("%llu blocks of device %u are given back by whom they were not given "
			"to",
			(unsigned long long)(n - s->used[number]), number);
		n = s->used[number];
	}
	set(&s->used[number], s->used[number] - n);
	if (counts(&d->entry[number]))
		set(&s->counted, s->counted - n);
	changed(d, s, was);
}

void drum_share_recount(struct drum *d)
{
	d->outstanding = 0;
	for (struct drum_share *s = d->shares; s; s = s->next) {
		uint64_t n = 0;

		for (unsigned int i = 1; i <= DRUM_DEVICES_MAX; i++)
			n += counts(&d->entry[i]) ? s->used[i] : 0;
		set(&s->counted, n);
		d->outstanding += outstanding(s);
	}
}

bool drum_promise_tight(const struct drum *d)
{
	uint64_t all, spare;

	if (d->outstanding == 0)
		return false;
	spare = minus(drum_plain(d, &all), d->outstanding);
	return spare < DRUM_TIGHT_BLOCKS || spare < all / 16;
}

bool drum_share_within(const struct drum_share *s)
{
	return s && __atomic_load_n(&s->counted, __ATOMIC_RELAXED) <=
			    __atomic_load_n(&s->promised, __ATOMIC_RELAXED);
}

void drum_share_begin(struct drum *d, struct drum_share *s)
{
	*s = (struct drum_share){ 0 };
	pthread_mutex_lock(&d->lock);
	s->next = d->shares;
	d->shares = s;
	pthread_mutex_unlock(&d->lock);
}

void drum_share_end(struct drum *d, struct drum_share *s)
{
	struct drum_share **at = &d->shares;

	pthread_mutex_lock(&d->lock);
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	d->outstanding -= outstanding(s);
	d->promised -= s->promised;
	drum_unlock(d);
}

uint64_t drum_share_used(const struct drum_share *s)
{
	uint64_t n = 0;

	for (unsigned int i = 1; i <= DRUM_DEVICES_MAX; i++)
		n += __atomic_load_n(&s->used[i], __ATOMIC_RELAXED);
	return n;
}

void drum_share_move(struct drum *d, struct drum_share *from, struct drum_share *to,
		     drum_addr a)
{
	if (from == to)
		return;
	pthread_mutex_lock(&d->lock);
	drum_share_uncharge(d, from, drum_device_of(a), 1);
	drum_share_charge(d, to, drum_device_of(a), 1);
	drum_unlock(d);
}

/* That could be promised besides; with the lock. */
static uint64_t spare(const struct drum *d)
{
	uint64_t all;

	return minus(drum_plain(d, &all) + drum_cached(d), d->outstanding);
}

int drum_promise(struct drum *d, struct drum_share *s, uint64_t blocks, bool again,
		 uint64_t *most)
{
	uint64_t was, may;
	bool within;
	int ret = 0;

	pthread_mutex_lock(&d->lock);
	was = outstanding(s);
	within = drum_share_within(s);
	/* what it has is its already, and what is outstanding to it too */
	may = spare(d) + was + s->counted;
	if (blocks > s->promised && blocks > may && !again) {
		*most = may > s->promised ? may : s->promised;
		ret = -ENOSPC;
	} else {
		d->promised += blocks - s->promised;
		set(&s->promised, blocks);
		changed_up(d, s, was, within);
	}
	drum_unlock(d);
	return ret;
}

void drum_promised(struct drum *d, struct drum_promises *out)
{
	pthread_mutex_lock(&d->lock);
	*out = (struct drum_promises){ d->promised, d->outstanding, spare(d) };
	pthread_mutex_unlock(&d->lock);
}

bool drum_off_breaks(const struct drum *d, const struct entry *en, unsigned int number,
		     uint64_t used, uint64_t *out, uint64_t *had)
{
	uint64_t all;

	*out = 0;
	for (const struct drum_share *s = d->shares; s; s = s->next)
		*out += minus(s->promised, s->counted - (counts(en) ? s->used[number] : 0));
	*had = drum_plain(d, &all);
	if (counts(en) && drum_in_service(en))
		*had -= drum_room_of(en);
	/* what is cached elsewhere is given up; as much as can be may be cached there */
	*had += minus(drum_cached(d), used);
	return *out > *had;
}
