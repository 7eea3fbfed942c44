/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 *	free > taken (swapcached_get) > given > written > free
 *			  |		  |
 *			  +--- dropped ---+
 *
 * The allowance.  `limit` is what the policy lets be written until its next tick, less what was
 * begun since; `taken` is what puts have been promised that are not written yet.  Both are
 * under the mutex, and a put gets no more than limit - taken.  A tick sets limit anew.
 * Should that be less than what is promised already, puts are cut, or dropped, when they are
 * about to be written: `limit` is looked at there once more.  So what is written between two
 * ticks never exceeds what the first of them said, by a single byte; and every byte is told
 * to the policy (swapcache_wrote) before the next one.
 *
 * The buffers are one mapping, touched at the start: a worker that copies into one never waits
 * for memory.
 *
 * A put that is given is posted to the thread's ring (ring_post), where it waits for its turn,
 * gets blocks, an entry in the object, and is written.  One is written at a time: on most
 * devices a fault's read waits for the writes that are there before it, and thirty of them
 * are what a fault notices.  A run that is shorter than the put takes its first blocks and
 * the rest is dropped: it is a cache.  Where there is no room at all nothing is taken for
 * REST_NS.
 *
 * A write that fails drops all of its put.  If others to that device have failed just before,
 * it is the device and not these blocks: they are not marked as bad, and the device is left
 * alone for a while (drum_write_failed), as page-out does it.
 */

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "base/memlock.h"
#include "swap/pager.h"
#include "swap/swapcached_priv.h"

#define PUT_BYTES    ((size_t)CACHEOBJ_RUN * SWAP_BLOCK)
#define REST_NS	     NSEC_PER_SEC
#define TELL_NS	     NSEC_PER_SEC
#define FAILURES_MAX 2u /* puts in a row, after which it is the device */
#define WRITES_MAX   1u

static void on_given(struct ring_op *op, int res);
static void on_written(struct swap_io *io, int err);

int swapcached_puts_init(struct swapcached *sd)
{
	void *map = mmap(NULL, SWAPCACHED_PUTS * PUT_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED)
		return -ENOMEM;
	memlock_touch(map, SWAPCACHED_PUTS * PUT_BYTES);
	sd->buffers = map;
	sd->given_tail = &sd->given;
	for (unsigned int i = SWAPCACHED_PUTS; i-- > 0;) {
		struct swapcached_put *p = &sd->put[i];

		p->sd = sd;
		p->buf = sd->buffers + i * PUT_BYTES;
		p->op.done = on_given;
		p->next = sd->free;
		sd->free = p;
	}
	return 0;
}

void swapcached_puts_fini(struct swapcached *sd)
{
	munmap(sd->buffers, SWAPCACHED_PUTS * PUT_BYTES);
}

/* With the lock. */
static void set_room(struct swapcached *sd)
{
	uint64_t room = sd->limit > sd->taken ? sd->limit - sd->taken : 0;

	__atomic_store_n(&sd->room, room, __ATOMIC_RELAXED);
}

void swapcached_allow(struct swapcached *sd, uint64_t bytes)
{
	if (swapcached_is_quiet(sd) || sd->now() < sd->rest_until)
		bytes = 0;
	pthread_mutex_lock(&sd->lock);
	sd->limit = bytes;
	set_room(sd);
	pthread_mutex_unlock(&sd->lock);
}

/* --- any thread --- */

static struct swapcached_put *take(struct swapcached *sd, uint32_t max)
{
	struct swapcached_put *p = NULL;
	uint64_t room;

	pthread_mutex_lock(&sd->lock);
	room = sd->room / SWAP_BLOCK;
	if (room > 0 && sd->free && !swapcached_is_quiet(sd)) {
		p = sd->free;
		sd->free = p->next;
		__atomic_store_n(&sd->busy, sd->busy + 1, __ATOMIC_RELAXED);
		p->n = room < max ? (uint32_t)room : max;
		p->taken = (uint64_t)p->n * SWAP_BLOCK;
		sd->taken += p->taken;
		set_room(sd);
	}
	pthread_mutex_unlock(&sd->lock);
	return p;
}

/* The put has so many bytes less to write. */
static void give_back(struct swapcached *sd, struct swapcached_put *p, uint64_t bytes)
{
	pthread_mutex_lock(&sd->lock);
	p->taken -= bytes;
	sd->taken -= bytes;
	set_room(sd);
	pthread_mutex_unlock(&sd->lock);
}

/* The last one may be what a thread that ends waits for: nothing of sd is touched after. */
static void release(struct swapcached *sd, struct swapcached_put *p)
{
	pthread_mutex_lock(&sd->lock);
	sd->taken -= p->taken;
	p->taken = 0;
	p->next = sd->free;
	sd->free = p;
	__atomic_store_n(&sd->busy, sd->busy - 1, __ATOMIC_RELAXED);
	set_room(sd);
	if (sd->stop && sd->busy == 0)
		swapcached_wake(sd);
	pthread_mutex_unlock(&sd->lock);
}

struct swapcached_put *swapcached_get(struct swapcached *sd, struct cacheobj *c, uint64_t block,
				      uint32_t max)
{
	struct swapcached_put *p;
	uint32_t n;

	if (max > CACHEOBJ_RUN)
		max = CACHEOBJ_RUN;
	if (max == 0 || __atomic_load_n(&sd->room, __ATOMIC_RELAXED) < SWAP_BLOCK)
		return NULL;
	p = take(sd, max);
	if (!p)
		return NULL;
	n = cacheobj_put(c, &p->range, block, p->n);
	if (n == 0) {
		release(sd, p);
		return NULL;
	}
	if (n < p->n)
		give_back(sd, p, (uint64_t)(p->n - n) * SWAP_BLOCK);
	return p;
}

void swapcached_give(struct swapcached *sd, struct swapcached_put *p, uint32_t n)
{
	if (n == 0) {
		swapcached_drop(sd, p);
		return;
	}
	p->n = n;
	ring_post(sd->ring, &p->op, 0);
}

void swapcached_drop(struct swapcached *sd, struct swapcached_put *p)
{
	cacheobj_put_end(p->range.obj, &p->range, -ECANCELED);
	release(sd, p);
}

/* --- the thread --- */

static void rest(struct swapcached *sd)
{
	sd->rest_until = sd->now() + REST_NS;
	swapcached_allow(sd, 0);
}

/* How many of its blocks may be written now, as the policy has it? */
static uint32_t allowed(struct swapcached *sd, const struct swapcached_put *p)
{
	uint64_t blocks;

	pthread_mutex_lock(&sd->lock);
	blocks = sd->limit / SWAP_BLOCK;
	pthread_mutex_unlock(&sd->lock);
	return swapcached_is_quiet(sd) ? 0 : blocks < p->n ? (uint32_t)blocks : p->n;
}

/* It is being written: what it was promised is gone. */
static void spend(struct swapcached *sd, struct swapcached_put *p)
{
	uint64_t bytes = (uint64_t)p->n * SWAP_BLOCK;

	pthread_mutex_lock(&sd->lock);
	sd->limit -= bytes;
	sd->taken -= p->taken;
	p->taken = 0;
	set_room(sd);
	pthread_mutex_unlock(&sd->lock);
	swapcache_wrote(sd->policy, bytes);
}

/* => a run for the first p->n blocks of the put, which may have become fewer; or DRUM_NONE */
static drum_addr find_blocks(struct swapcached *sd, struct swapcached_put *p)
{
	uint64_t got, fits;
	drum_addr a = drum_alloc_cache(sd->drum, p->n, swapcached_wear_allowed(sd), &got);

	if (a == DRUM_NONE)
		return DRUM_NONE;
	fits = swapcached_wear_fits(sd, a, got);
	if (fits < got)
		drum_free(sd->drum, NULL, a + fits, got - fits);
	p->n = (uint32_t)fits;
	return fits > 0 ? a : DRUM_NONE;
}

/* => false: it is not written */
static bool write_put(struct swapcached *sd, struct swapcached_put *p)
{
	drum_addr a;
	int ret;

	p->n = allowed(sd, p);
	if (p->n == 0)
		return false;
	a = find_blocks(sd, p);
	if (a == DRUM_NONE) {
		rest(sd);
		return false;
	}
	ret = cacheobj_put_write(p->range.obj, &p->range, p->n, a);
	if (ret < 0) {
		drum_free(sd->drum, NULL, a, p->n);
		if (ret == -ENOSPC)
			rest(sd);
		return false;
	}
	spend(sd, p);
	swapcached_wear_begin(sd, a, (uint64_t)p->n * SWAP_BLOCK);
	p->io.done = on_written;
	p->io.write = true;
	p->io.urgent = false;
	p->io.niov = 1;
	p->io.iov[0] = (struct iovec){ p->buf, (size_t)p->n * SWAP_BLOCK };
	drum_submit(sd->drum, sd->ring, &p->io, a);
	return true;
}

static void write_given(struct swapcached *sd)
{
	while (sd->given && sd->writing < WRITES_MAX) {
		struct swapcached_put *p = sd->given;

		sd->given = p->next;
		if (!sd->given)
			sd->given_tail = &sd->given;
		if (write_put(sd, p))
			sd->writing++;
		else
			swapcached_drop(sd, p);
	}
}

static void on_given(struct ring_op *op, int res)
{
	struct swapcached_put *p =
		(struct swapcached_put *)((char *)op - offsetof(struct swapcached_put, op));
	struct swapcached *sd = p->sd;

	(void)res;
	p->next = NULL;
	*sd->given_tail = p;
	sd->given_tail = &p->next;
	write_given(sd);
}

static void tell_error(struct swapcached *sd, const struct swapcached_put *p, int err)
{
	uint64_t now = sd->now();

	swapcached_count(&sd->write_errors, 1);
	sd->untold++;
	if (sd->told_at && now - sd->told_at < TELL_NS)
		return;
	log_warn("swapcache: writing %u blocks from %llu on of %s has failed, and %llu writes "
		 "before it: %s",
		 p->n, (unsigned long long)drum_block_of(p->range.addr),
		 drum_path(sd->drum, p->range.addr), (unsigned long long)(sd->untold - 1),
		 strerror(-err));
	sd->told_at = now;
	sd->untold = 0;
}

/* => what its blocks are to be taken to be */
static int judge(struct swapcached *sd, const struct swapcached_put *p, int err)
{
	struct worn *w = &sd->worn[drum_device_of(p->range.addr)];

	if (err == 0) {
		w->failures = 0;
		drum_write_done(sd->drum, p->range.addr);
		return 0;
	}
	tell_error(sd, p, err);
	if (++w->failures < FAILURES_MAX)
		return err;
	drum_write_failed(sd->drum, p->range.addr);
	/* any error that says nothing of these blocks */
	return pager_is_media_error(err) ? -EAGAIN : err;
}

static void on_written(struct swap_io *io, int err)
{
	struct swapcached_put *p =
		(struct swapcached_put *)((char *)io - offsetof(struct swapcached_put, io));
	struct swapcached *sd = p->sd;

	swapcached_wear_end(sd, p->range.addr, (uint64_t)p->n * SWAP_BLOCK);
	/* while the device cannot be removed, for the blocks are somebody's */
	err = judge(sd, p, err);
	cacheobj_put_end(p->range.obj, &p->range, err);
	sd->writing--;
	write_given(sd); /* before the release: the last one may end the thread */
	release(sd, p);
}
