/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The halves of a mirror, and which of them holds what.
 *
 * Theory of operation
 *
 * Truth is one pair of bits for each block (sums.h): bit k is set if and only if
 * half k holds what was last written there.  The bits of a block are
 * taken away when a write to it begins and set when it has ended, before that is
 * told, so at any moment a set bit can be believed:
 *
 *	a write fails on one half	that bit stays clear, the half is lost
 *	a write fails on both		no bit; the old content is void anyway
 *	a read fails on one half	its bit is cleared when the other has given
 *					the data; never that of the only copy
 *	the process dies		the next finds the bits; a block whose write
 *					was under way has none, and its owner
 *					forgets it in any case
 *	a half is replaced		its bits are cleared before its name is
 *					changed (sums_new_half); I/O that is still on
 *					its way to the old device belongs to an older
 *					generation and sets nothing
 *
 * in_use is known in memory only: from writes, ops->claimed and ops->freed.
 * Bits of blocks that nobody uses may be left from a process that died, so the
 * counts are of blocks in use:
 *
 *	count[halves]: blocks in use that are held by exactly these halves
 *	in_use(block) contributes to count[holders(block)], nothing else does
 *
 * A half that is offline or missing keeps its bits: it will hold what it held.
 *
 * The last half that works is never lost: then an error is a block's, and told
 * to whoever wrote.
 *
 *	MISSING > GOOD			replace
 *	GOOD    > LOST			write error, the other half took it
 *	GOOD    > AWAY			its event OFFLINE, or seen to be suspended
 *	LOST, AWAY > GOOD		its event ONLINE
 *	AWAY    > GOOD			seen not to be suspended any more
 *	LOST, AWAY > MISSING > GOOD	replace, by another device
 */

#include "swap/device_mirror.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "swap/mirror.h"

static struct mirror *mirror_of(const struct swap_device *dev)
{
	return (struct mirror *)dev; /* base is first */
}

/* --- who holds what -------------------------------------------------------------- */

static bool is_used(const struct mirror *m, uint64_t block)
{
	return m->in_use[block / 64] >> (block % 64) & 1;
}

unsigned int mirror_holders(struct mirror *m, uint64_t block)
{
	return sums_halves(m->sums, block) & __atomic_load_n(&m->believed, __ATOMIC_ACQUIRE);
}

int mirror_set_holders(struct mirror *m, uint64_t block, unsigned int halves)
{
	unsigned int old = mirror_holders(m, block);
	int ret;

	halves &= m->believed;
	ret = sums_set_halves(m->sums, block, halves);
	if (ret == 0 && is_used(m, block)) {
		m->count[old]--;
		m->count[halves]++;
	}
	return ret;
}

void mirror_use(struct mirror *m, uint64_t block)
{
	if (is_used(m, block))
		return;
	m->in_use[block / 64] |= UINT64_C(1) << (block % 64);
	m->count[mirror_holders(m, block)]++;
}

static void unuse(struct mirror *m, uint64_t block)
{
	unsigned int old = mirror_holders(m, block);

	if (is_used(m, block)) {
		m->in_use[block / 64] &= ~(UINT64_C(1) << (block % 64));
		m->count[old]--;
	}
	/* bits are set, so they have memory: this cannot fail */
	if (old && sums_set_halves(m->sums, block, 0) < 0)
		BROKEN("a mirror's bits have no memory");
}

static bool can_be_read(const struct mirror *m, unsigned int k)
{
	enum mirror_state s = __atomic_load_n(&m->half[k].state, __ATOMIC_RELAXED);

	return s == MIRROR_GOOD || s == MIRROR_LOST;
}

static bool can_be_written(const struct mirror *m, unsigned int k)
{
	return __atomic_load_n(&m->half[k].state, __ATOMIC_RELAXED) == MIRROR_GOOD;
}

/* Could a block that only half `from` holds be had and put on the other too? */
static bool can_be_filled(const struct mirror *m, unsigned int from)
{
	return can_be_read(m, from) && can_be_written(m, !from);
}

void mirror_update(struct mirror *m, struct mirror_news *news)
{
	bool both = can_be_written(m, 0) && can_be_written(m, 1);
	bool moving = (m->count[1] > 0 && can_be_filled(m, 0)) ||
		      (m->count[2] > 0 && can_be_filled(m, 1));

	__atomic_store_n(&m->base.moving, moving, __ATOMIC_RELEASE);
	__atomic_store_n(&m->base.suspended, !can_be_written(m, 0) && !can_be_written(m, 1),
			 __ATOMIC_RELAXED);
	if (m->broken && both && m->count[1] == 0 && m->count[2] == 0) {
		m->broken = false;
		news->whole = true;
	}
}

static void set_state(struct mirror *m, unsigned int k, enum mirror_state to)
{
	__atomic_store_n(&m->half[k].state, to, __ATOMIC_RELAXED);
}

static void leave_good(struct mirror *m, unsigned int k, enum mirror_state to, int err,
		       struct mirror_news *news)
{
	if (m->half[k].state != MIRROR_GOOD)
		return;
	set_state(m, k, to);
	m->broken = true;
	news->lost = true;
	news->err = err;
	snprintf(news->path, sizeof(news->path), "%s", m->half[k].dev->path);
}

void mirror_lose(struct mirror *m, unsigned int k, int err, struct mirror_news *news)
{
	leave_good(m, k, MIRROR_LOST, err, news);
}

void mirror_look(struct mirror *m, struct mirror_news *news)
{
	for (unsigned int k = 0; k < 2; k++) {
		const struct mirror_half *h = &m->half[k];
		bool away = h->dev && __atomic_load_n(&h->dev->suspended, __ATOMIC_ACQUIRE);

		if (h->state == MIRROR_GOOD && away)
			leave_good(m, k, MIRROR_AWAY, -ENOTCONN, news);
		else if (h->state == MIRROR_AWAY && !away)
			set_state(m, k, MIRROR_GOOD);
		else
			continue;
		mirror_update(m, news);
	}
}

void mirror_tell(struct mirror *m, const struct mirror_news *news)
{
	if (news->lost)
		device_tell(&m->base, SWAP_EVENT_MIRROR_LOST, news->err,
			    "half %s is out of use: %s", news->path, strerror(-news->err));
	if (news->whole)
		device_tell(&m->base, SWAP_EVENT_MIRROR_WHOLE, 0,
			    "both halves hold everything again");
}

/* --- what the drum calls ------------------------------------------------------------ */

static void mirror_freed(struct swap_device *dev, uint64_t block, uint64_t n)
{
	struct mirror *m = mirror_of(dev);
	struct mirror_news news = { 0 };

	pthread_mutex_lock(&m->lock);
	for (uint64_t i = 0; i < n; i++)
		unuse(m, block + i);
	mirror_update(m, &news);
	pthread_mutex_unlock(&m->lock);
	mirror_tell(m, &news);
}

static void mirror_claimed(struct swap_device *dev, uint64_t block)
{
	struct mirror *m = mirror_of(dev);
	struct mirror_news news = { 0 };
	unsigned int holders;

	pthread_mutex_lock(&m->lock);
	mirror_use(m, block);
	holders = mirror_holders(m, block);
	if (holders == 1 || holders == 2)
		m->broken = true;
	/* WHOLE has time until all have claimed theirs */
	if (m->broken)
		mirror_update(m, &news);
	pthread_mutex_unlock(&m->lock);
	mirror_tell(m, &news);
}

static bool mirror_moves(struct swap_device *dev, uint64_t block)
{
	struct mirror *m = mirror_of(dev);
	unsigned int holders = mirror_holders(m, block);

	return (holders == 1 && can_be_filled(m, 0)) || (holders == 2 && can_be_filled(m, 1));
}

static bool mirror_is(const struct swap_device *dev, uint64_t dev_id, uint64_t ino)
{
	const struct mirror *m = mirror_of(dev);

	/* of a half that is missing, too: it is not anybody else's */
	return sums_half_is(m->sums, 0, dev_id, ino) || sums_half_is(m->sums, 1, dev_id, ino);
}

/* A device that is in use here, or NULL: it is not good. */
static struct swap_device *hold(struct mirror *m, unsigned int k)
{
	struct swap_device *dev = NULL;

	pthread_mutex_lock(&m->lock);
	if (can_be_written(m, k)) {
		dev = m->half[k].dev;
		__atomic_fetch_add(&dev->count.inflight, 1, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&m->lock);
	return dev;
}

static void let_go(struct swap_device *dev)
{
	__atomic_fetch_sub(&dev->count.inflight, 1, __ATOMIC_RELEASE);
}

static int mirror_discard(struct swap_device *dev, uint64_t block, uint64_t n)
{
	int ret = -EOPNOTSUPP;

	for (unsigned int k = 0; k < 2; k++) {
		struct swap_device *half = hold(mirror_of(dev), k);
		int now = half && half->ops->discard ? half->ops->discard(half, block, n) : 0;

		if (half && half->ops->discard && (ret == -EOPNOTSUPP || ret == 0))
			ret = now;
		if (half)
			let_go(half);
	}
	return ret;
}

static int more_in_use(struct mirror *m, uint64_t blocks)
{
	uint64_t *more = calloc((blocks + 63) / 64, sizeof(*more)), *old;

	if (!more)
		return -ENOMEM;
	pthread_mutex_lock(&m->lock);
	old = m->in_use;
	if (old)
		memcpy(more, old, (m->blocks + 63) / 64 * sizeof(*more));
	m->in_use = more;
	m->blocks = blocks;
	pthread_mutex_unlock(&m->lock);
	free(old);
	return 0;
}

/* Both halves are `bytes` long now, at least. */
static int64_t mirror_grow(struct swap_device *dev, uint64_t bytes)
{
	struct mirror *m = mirror_of(dev);
	int64_t blocks[2], least;

	for (unsigned int k = 0; k < 2; k++) {
		struct swap_device *half = m->half[k].dev;

		if (!half)
			return -ENODEV;
		if (!half->ops->grow)
			return -EOPNOTSUPP;
		blocks[k] = half->ops->grow(half, bytes);
		if (blocks[k] < 0)
			return blocks[k];
	}
	least = blocks[0] < blocks[1] ? blocks[0] : blocks[1];
	if ((uint64_t)least > m->blocks) {
		int ret = sums_grow(m->sums, (uint64_t)least);

		if (ret == 0)
			ret = more_in_use(m, (uint64_t)least);
		if (ret < 0)
			return ret;
		for (unsigned int k = 0; k < 2; k++)
			__atomic_store_n(&m->half[k].dev->blocks, (uint64_t)blocks[k],
					 __ATOMIC_RELAXED);
		sums_set_mirror_blocks(m->sums, m->blocks);
	}
	return least;
}

static void mirror_close(struct swap_device *dev)
{
	struct mirror *m = mirror_of(dev);

	device_close(m->half[0].dev);
	device_close(m->half[1].dev);
	sums_close(m->sums);
	pthread_mutex_destroy(&m->lock);
	free(m->in_use);
	free(m->pool);
}

static const struct swap_device_ops mirror_ops = {
	.kind = "mirror",
	.submit = mirror_submit,
	.close = mirror_close,
	.freed = mirror_freed,
	.claimed = mirror_claimed,
	.moves = mirror_moves,
	.is = mirror_is,
	.discard = mirror_discard,
	.grow = mirror_grow,
};

/* --- halves come and go ------------------------------------------------------------- */

/* A half tells something, on any thread. */
static void heard(void *arg, struct swap_device *dev, enum swap_event event, int err,
		  const char *text)
{
	struct mirror *m = arg;
	const struct swap_listener *l = m->base.listener;
	struct mirror_news news = { 0 };

	pthread_mutex_lock(&m->lock);
	for (unsigned int k = 0; k < 2; k++) {
		if (m->half[k].dev != dev)
			continue;
		if (event == SWAP_EVENT_OFFLINE)
			leave_good(m, k, MIRROR_AWAY, err ? err : -ENOTCONN, &news);
		else if (event == SWAP_EVENT_ONLINE)
			set_state(m, k, MIRROR_GOOD);
	}
	if (event == SWAP_EVENT_OFFLINE || event == SWAP_EVENT_ONLINE)
		mirror_update(m, &news);
	pthread_mutex_unlock(&m->lock);
	if (l)
		l->event(l->arg, dev, event, err, text);
	mirror_tell(m, &news);
}

static enum mirror_state state_of(const struct swap_device *half)
{
	if (!half)
		return MIRROR_MISSING;
	return __atomic_load_n(&half->suspended, __ATOMIC_RELAXED) ? MIRROR_AWAY : MIRROR_GOOD;
}

static void put_half(struct mirror *m, unsigned int k, struct swap_device *half)
{
	m->half[k].dev = half;
	m->half[k].gen++;
	m->half[k].reading = 0;
	m->half[k].avoid = false;
	if (half) {
		__atomic_store_n(&half->is_half, true, __ATOMIC_RELEASE);
		__atomic_store_n(&half->listener, &m->hear, __ATOMIC_RELEASE);
	}
	/* after it hears: nothing is missed */
	set_state(m, k, state_of(half));
}

static bool half_is(const struct sums *s, unsigned int k, const struct swap_device *half)
{
	return half && sums_half_is(s, k, half->dev, half->ino);
}

/* Each half at its own bits, whatever the order in which they are given. */
static void put_halves(struct mirror *m, struct swap_device *const half[2])
{
	bool straight = half_is(m->sums, 0, half[0]) || half_is(m->sums, 1, half[1]);
	bool crossed = half_is(m->sums, 1, half[0]) || half_is(m->sums, 0, half[1]);

	for (unsigned int k = 0; k < 2; k++) {
		struct swap_device *now = half[crossed && !straight ? !k : k];

		if (now && !half_is(m->sums, k, now))
			sums_new_half(m->sums, k, now->dev, now->ino);
		put_half(m, k, now);
	}
}

static uint64_t size_of(const struct mirror *m, struct swap_device *const half[2])
{
	uint64_t known = sums_mirror_blocks(m->sums), one;

	if (half[0] && half[1])
		return half[0]->blocks < half[1]->blocks ? half[0]->blocks : half[1]->blocks;
	one = half[0] ? half[0]->blocks : half[1]->blocks;
	return known && known < one ? known : one;
}

static int set_up(struct mirror *m, struct swap_device *const half[2],
		  const struct swap_listener *l, struct err *e)
{
	const struct swap_device *first = half[0] ? half[0] : half[1];

	if (!first || (half[0] && half[1] && device_is(half[0], half[1]->dev, half[1]->ino)))
		return err_set(e, -EINVAL, "%s: a mirror needs two devices",
			       first ? first->path : "mirror");
	m->base.dev = first->dev;
	m->base.ino = first->ino;
	m->base.listener = l;
	m->base.anew = true;
	m->base.blocks = size_of(m, half);
	m->believed = 3;
	if (more_in_use(m, m->base.blocks) < 0 || mirror_io_init(m) < 0)
		return err_set(e, -ENOMEM, "%s: out of memory", m->base.path);
	if (sums_grow(m->sums, m->base.blocks) < 0)
		return err_set(e, -EINVAL, "%s: its file of checksums is too small",
			       m->base.path);
	pthread_mutex_lock(&m->lock);
	put_halves(m, half);
	pthread_mutex_unlock(&m->lock);
	sums_set_mirror_blocks(m->sums, m->base.blocks);
	m->broken = !can_be_written(m, 0) || !can_be_written(m, 1);
	mirror_update(m, &(struct mirror_news){ 0 });
	return 0;
}

struct swap_device *device_mirror_create(const char *path, struct swap_device *half[2],
					 struct sums *sums, const struct swap_listener *l,
					 struct err *e)
{
	struct mirror *m = (struct mirror *)device_alloc(sizeof(*m), &mirror_ops, path);

	if (!m) {
		device_close(half[0]);
		device_close(half[1]);
		sums_close(sums);
		err_set(e, -ENOMEM, "%s: out of memory", path);
		return NULL;
	}
	pthread_mutex_init(&m->lock, NULL);
	m->sums = sums;
	m->hear = (struct swap_listener){ .event = heard, .arg = m };
	if (set_up(m, half, l, e) < 0) {
		m->half[0].dev = half[0];
		m->half[1].dev = half[1];
		device_close(&m->base);
		return NULL;
	}
	return &m->base;
}

/* Which half is to be replaced? => -1: none */
static int find_lost(const struct mirror *m)
{
	static const enum mirror_state worst[] = { MIRROR_MISSING, MIRROR_LOST, MIRROR_AWAY };

	for (size_t i = 0; i < sizeof(worst) / sizeof(worst[0]); i++)
		for (int k = 0; k < 2; k++)
			if (m->half[k].state == worst[i])
				return k;
	return -1;
}

/* With the lock. */
static int may_replace(struct mirror *m, const struct swap_device *fresh, bool force,
		       struct err *e)
{
	int k = find_lost(m);
	const struct swap_device *other;
	uint64_t only;

	if (k < 0)
		return err_set(e, -EBUSY, "%s: both halves work, there is none to replace",
			       m->base.path);
	other = m->half[!k].dev;
	if ((other && device_is(other, fresh->dev, fresh->ino)) ||
	    half_is(m->sums, !(unsigned int)k, fresh))
		return err_set(e, -EEXIST, "%s is the other half of %s", fresh->path,
			       m->base.path);
	if (fresh->blocks < m->blocks)
		return err_set(e, -ENOSPC,
			       "%s has %llu blocks, and %s %llu; it must be as large",
			       fresh->path, (unsigned long long)fresh->blocks, m->base.path,
			       (unsigned long long)m->blocks);
	only = m->count[1u << k];
	if (only > 0 && !force && !half_is(m->sums, (unsigned int)k, fresh))
		return err_set(e, -ENODATA,
			       "%s: %llu pages are only on the half that is lost; bring it "
			       "back, or lose them by force",
			       m->base.path, (unsigned long long)only);
	return k;
}

/* Half k holds nothing. With the lock. */
static void disbelieve(struct mirror *m, unsigned int k)
{
	unsigned int me = 1u << k, other = 3 - me;

	__atomic_store_n(&m->believed, m->believed & ~me, __ATOMIC_RELEASE);
	m->count[other] += m->count[3];
	m->count[0] += m->count[me];
	m->count[3] = m->count[me] = 0;
}

int device_mirror_replace(struct swap_device *mirror, struct swap_device *fresh, bool force,
			  struct swap_device **old, struct err *e)
{
	struct mirror *m = mirror_of(mirror);
	struct mirror_news news = { 0 };
	unsigned int k;
	bool same;
	int ret;

	*old = NULL;
	pthread_mutex_lock(&m->lock);
	ret = may_replace(m, fresh, force, e);
	if (ret < 0) {
		pthread_mutex_unlock(&m->lock);
		return ret;
	}
	k = (unsigned int)ret;
	same = half_is(m->sums, k, fresh);
	*old = m->half[k].dev;
	put_half(m, k, NULL);
	if (*old)
		__atomic_store_n(&(*old)->listener, m->base.listener, __ATOMIC_RELEASE);
	if (!same)
		disbelieve(m, k);
	mirror_update(m, &news);
	pthread_mutex_unlock(&m->lock);

	/* Long, so without the lock: nobody sets a bit that is not believed. */
	if (!same)
		sums_new_half(m->sums, k, fresh->dev, fresh->ino);

	pthread_mutex_lock(&m->lock);
	__atomic_store_n(&m->believed, 3, __ATOMIC_RELEASE);
	put_half(m, k, fresh);
	m->broken = true;
	mirror_update(m, &news);
	pthread_mutex_unlock(&m->lock);
	mirror_tell(m, &news);
	return (int)k;
}

void device_mirror_half(struct swap_device *mirror, unsigned int k,
			struct mirror_half_stats *out)
{
	struct mirror *m = mirror_of(mirror);

	assert(k < 2);
	pthread_mutex_lock(&m->lock);
	*out = (struct mirror_half_stats){
		.path = m->half[k].dev ? m->half[k].dev->path : NULL,
		.state = m->half[k].state,
		.lacking = m->count[2u >> k],
		.only = m->count[1u << k],
	};
	pthread_mutex_unlock(&m->lock);
}
