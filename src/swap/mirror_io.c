/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A mirror's I/O.
 *
 * Theory of operation
 *
 * Each I/O to the mirror has a request for as long as it is under way, out of a
 * pool; an I/O that finds none waits, in order, for one that ends.  A request
 * has two legs, I/Os to the halves on the same ring, so all that happens to one
 * request happens on one thread.
 *
 * A leg holds on to its half by the half's count of I/O in flight, from when
 * it was chosen with the lock held until all has been done that needs it: a
 * half that was replaced is closed by others when that count is 0.
 *
 * Write: checksums; no half holds these blocks from now on; a leg to each half
 * that works.  When both have ended, the blocks' holders are those that took them.
 * An error counts as the half's only if the other half took the same data, and
 * works still.
 *
 * Read: one leg at a time, over the blocks from `at` that one half holds, which
 * most often are all.  What fails is asked of the other half, and what
 * fails on both as more than one block is asked again block by block, so that
 * it is enough if each block can be read somewhere:
 *
 *	at	blocks before it are here, and are what was written
 *	careful	for blocks before it, `tried` says which halves have failed
 *	single	of those, both have: one block at a time
 *
 * Each leg moves `at` forward, or adds to `tried`, or makes it single, so it ends.
 *
 * When the other half has given what a half could not, this half does not hold
 * it any more: it is then moved anew, and a half that is broken is found out
 * by a write.  A half that merely could not be reached (-ENOTCONN), or had no
 * memory, still holds it.  -ENOTCONN is the answer when some half may have
 * the block later.
 */

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/guard.h"
#include "base/memlock.h"
#include "swap/mirror.h"

static struct mirror_leg *leg_of(struct swap_io *io)
{
	return (struct mirror_leg *)((char *)io - offsetof(struct mirror_leg, io));
}

static unsigned int number_of(const struct mirror_leg *leg)
{
	return (unsigned int)(leg - leg->req->leg);
}

/* The half's fault, or that of the moment? */
static bool is_transient(int err)
{
	return err == -ENOMEM || err == -EAGAIN || err == -EINTR || err == -ENOBUFS ||
	       err == -ECANCELED || err == -ENOTCONN;
}

/* --- requests ------------------------------------------------------------------------ */

static void start_request(struct mirror_request *r, struct swap_io *io);

int mirror_io_init(struct mirror *m)
{
	m->pool = calloc(MIRROR_REQUESTS, sizeof(*m->pool));
	if (!m->pool)
		return -ENOMEM;
	/* faults use it */
	memlock_touch(m->pool, MIRROR_REQUESTS * sizeof(*m->pool));
	for (unsigned int i = MIRROR_REQUESTS; i-- > 0;) {
		m->pool[i].m = m;
		m->pool[i].next = m->free;
		m->free = &m->pool[i];
	}
	m->nfree = MIRROR_REQUESTS;
	m->waiting_tail = &m->waiting;
	return 0;
}

/* With the lock; there is one. */
static struct mirror_request *take_free(struct mirror *m)
{
	struct mirror_request *r = m->free;

	m->free = r->next;
	m->nfree--;
	return r;
}

static void on_turn(struct ring_op *op, int res)
{
	struct swap_io *io = (struct swap_io *)((char *)op - offsetof(struct swap_io, op));
	struct mirror *m = (struct mirror *)io->dev;
	struct mirror_request *r;

	(void)res;
	pthread_mutex_lock(&m->lock);
	m->promised--;
	r = take_free(m);
	pthread_mutex_unlock(&m->lock);
	start_request(r, io);
}

void mirror_submit(struct swap_device *dev, struct swap_io *io)
{
	struct mirror *m = (struct mirror *)dev;
	struct mirror_request *r = NULL;

	pthread_mutex_lock(&m->lock);
	if (m->nfree > m->promised) {
		r = take_free(m);
	} else {
		io->next = NULL;
		*m->waiting_tail = io;
		m->waiting_tail = &io->next;
	}
	pthread_mutex_unlock(&m->lock);
	if (r)
		start_request(r, io);
}

/* The request is over: whoever waits gets it, and io ends with err. */
static void end_request(struct mirror_request *r, int err)
{
	struct mirror *m = r->m;
	struct swap_io *io = r->io, *next;

	pthread_mutex_lock(&m->lock);
	r->next = m->free;
	m->free = r;
	m->nfree++;
	next = m->waiting;
	if (next) {
		m->waiting = next->next;
		if (!m->waiting)
			m->waiting_tail = &m->waiting;
		m->promised++;
	}
	pthread_mutex_unlock(&m->lock);
	if (next) {
		next->op = (struct ring_op){ .done = on_turn };
		ring_post(next->ring, &next->op, 0);
	}
	device_post(io, err);
}

/* --- legs ------------------------------------------------------------------------------ */

/* Choose half k's device for r's blocks from .. from + n - 1. With the lock. */
static void prepare(struct mirror_request *r, unsigned int k, uint32_t from, uint32_t n)
{
	struct mirror_leg *leg = &r->leg[k];
	struct mirror_half *half = &r->m->half[k];

	leg->req = r;
	leg->dev = half->dev;
	leg->gen = half->gen;
	leg->from = from;
	leg->n = n;
	leg->err = 0;
	__atomic_fetch_add(&leg->dev->count.inflight, 1, __ATOMIC_RELAXED);
	half->reading += !r->io->write;
	r->legs++;
}

static void done_with(struct mirror_leg *leg)
{
	__atomic_fetch_sub(&leg->dev->count.inflight, 1, __ATOMIC_RELEASE);
}

/* The leg's part of the vectors. */
static void slice(struct mirror_leg *leg)
{
	const struct swap_io *io = leg->req->io;
	size_t skip = (size_t)leg->from << SWAP_BLOCK_SHIFT;
	size_t left = (size_t)leg->n << SWAP_BLOCK_SHIFT;

	leg->io.niov = 0;
	for (uint32_t i = 0; left > 0; i++) {
		size_t len = io->iov[i].iov_len;

		if (skip >= len) {
			skip -= len;
			continue;
		}
		len = len - skip < left ? len - skip : left;
		leg->io.iov[leg->io.niov++] =
			(struct iovec){ (char *)io->iov[i].iov_base + skip, len };
		left -= len;
		skip = 0;
	}
}

static void send(struct mirror_leg *leg, swap_io_done_fn done)
{
	const struct swap_io *io = leg->req->io;

	leg->io.done = done;
	leg->io.write = io->write;
	leg->io.urgent = io->urgent;
	slice(leg);
	device_submit(leg->dev, io->ring, &leg->io, io->block + leg->from);
}

/* Is the device that leg went to still this half? With the lock. */
static bool is_current(const struct mirror_leg *leg)
{
	return leg->req->m->half[number_of(leg)].gen == leg->gen;
}

/* --- writing ---------------------------------------------------------------------------- */

static void set_sums(void *arg)
{
	const struct mirror_request *r = arg;
	uint64_t block = r->io->block;

	for (uint32_t i = 0; i < r->io->niov; i++)
		for (size_t at = 0; at < r->io->iov[i].iov_len; at += SWAP_BLOCK)
			sums_set(r->m->sums, block++, (char *)r->io->iov[i].iov_base + at);
}

static bool took(const struct mirror_leg *leg, uint32_t i)
{
	return leg->err == 0 && is_current(leg) && !(leg->io.refused[i / 64] >> (i % 64) & 1);
}

/* Who holds the blocks now? With the lock. => 0 or the error */
static int settle(struct mirror_request *r, unsigned int sent, struct mirror_news *news)
{
	struct mirror *m = r->m;
	unsigned int ok = 0, vanished = 0;
	int err = 0;

	for (unsigned int k = 0; k < 2; k++) {
		if (!(sent >> k & 1))
			continue;
		ok |= (unsigned int)(r->leg[k].err == 0 && is_current(&r->leg[k])) << k;
		vanished |= (unsigned int)(r->leg[k].err == -EFAULT) << k;
		if (r->leg[k].err)
			err = r->leg[k].err;
	}
	/* what the other half took is not what was there before either */
	if (vanished)
		return -EFAULT;
	for (unsigned int k = 0; k < 2; k++)
		if ((sent & ~ok) >> k & 1 && ok && is_current(&r->leg[k]) &&
		    m->half[!k].state == MIRROR_GOOD && !is_transient(r->leg[k].err))
			mirror_lose(m, k, r->leg[k].err, news);
	if (!ok)
		return err ? err : -EIO; /* they were replaced meanwhile */
	for (uint32_t i = 0; i < r->n; i++) {
		unsigned int holders = 0;

		for (unsigned int k = 0; k < 2; k++)
			if ((ok >> k & 1) && took(&r->leg[k], i))
				holders |= 1u << k;
		if (!holders)
			r->io->refused[i / 64] |= UINT64_C(1) << (i % 64);
		if (mirror_set_holders(m, r->io->block + i, holders) < 0)
			return -ENOMEM; /* it had memory before: cannot be */
	}
	return 0;
}

static void on_written(struct swap_io *io, int err)
{
	struct mirror_leg *leg = leg_of(io);
	struct mirror_request *r = leg->req;
	struct mirror *m = r->m;
	struct mirror_news news = { 0 };
	unsigned int sent = r->tried;

	leg->err = err;
	if (--r->legs > 0)
		return;
	pthread_mutex_lock(&m->lock);
	err = settle(r, sent, &news);
	mirror_update(m, &news);
	pthread_mutex_unlock(&m->lock);
	for (unsigned int k = 0; k < 2; k++)
		if (sent >> k & 1)
			done_with(&r->leg[k]);
	mirror_tell(m, &news);
	end_request(r, err);
}

/* Nobody holds these blocks while they are being written.
 * => 0 or -ENOMEM. With the lock. */
static int begin_write(struct mirror_request *r)
{
	for (uint32_t i = 0; i < r->n; i++) {
		mirror_use(r->m, r->io->block + i);
		/* not -ENOSPC: no block is bad for it */
		if (mirror_set_holders(r->m, r->io->block + i, 0) < 0)
			return -ENOMEM;
	}
	return 0;
}

static void start_write(struct mirror_request *r)
{
	struct mirror *m = r->m;
	struct mirror_news news = { 0 };
	unsigned int sent = 0;
	int err;

	if (guard_run(set_sums, r) < 0) {
		end_request(r, -EFAULT);
		return;
	}
	pthread_mutex_lock(&m->lock);
	mirror_look(m, &news);
	err = begin_write(r);
	for (unsigned int k = 0; err == 0 && k < 2; k++)
		if (m->half[k].state == MIRROR_GOOD) {
			prepare(r, k, 0, r->n);
			sent |= 1u << k;
		}
	mirror_update(m, &news);
	pthread_mutex_unlock(&m->lock);
	mirror_tell(m, &news);
	if (!sent) {
		end_request(r, err ? err : -ENOTCONN);
		return;
	}
	r->tried = sent;
	for (unsigned int k = 0; k < 2; k++)
		if (sent >> k & 1)
			send(&r->leg[k], on_written);
}

/* --- reading ---------------------------------------------------------------------------- */

static void go_on(struct mirror_request *r);

/* Which of these halves? With the lock. */
static unsigned int prefer(struct mirror *m, unsigned int halves)
{
	const struct mirror_half *h = m->half;

	if (halves != 3)
		return halves >> 1;
	if ((h[0].state == MIRROR_GOOD) != (h[1].state == MIRROR_GOOD))
		return h[0].state != MIRROR_GOOD;
	if (h[0].avoid != h[1].avoid)
		return h[0].avoid;
	if (h[0].reading != h[1].reading)
		return h[0].reading > h[1].reading;
	m->turn = !m->turn;
	return m->turn;
}

/*
 * What is to be read next, from where? With the lock.
 * => the half, or -1: none is left, r->err says why
 */
static int choose(struct mirror_request *r)
{
	struct mirror *m = r->m;
	unsigned int holders = mirror_holders(m, r->io->block + r->at), there = 0;
	uint32_t n = r->single ? 1 : 0, end = r->tried || r->single ? r->careful : r->n;
	unsigned int k;

	for (k = 0; k < 2; k++)
		if (m->half[k].state == MIRROR_GOOD || m->half[k].state == MIRROR_LOST)
			there |= 1u << k;
	there &= holders;
	if (!(there & ~r->tried) && r->tried && there && !r->single) {
		r->single = true;
		r->tried = r->broken = 0;
		n = 1;
	}
	if (!(there & ~r->tried)) {
		if (holders & ~there)
			r->err = -ENOTCONN; /* it may be had later */
		else if (!holders || !r->err)
			r->err = -EIO;
		return -1;
	}
	k = prefer(m, there & ~r->tried);
	while (n == 0 || (!r->single && r->at + n < end &&
			  (mirror_holders(m, r->io->block + r->at + n) >> k & 1)))
		n++;
	prepare(r, k, r->at, n);
	return (int)k;
}

/* Half k holds these as little as it should: they are moved anew. With the lock. */
static void take_away(struct mirror_request *r, unsigned int k, uint32_t from, uint32_t n)
{
	for (uint32_t i = from; i < from + n; i++)
		if (mirror_holders(r->m, r->io->block + i) == 3 &&
		    mirror_set_holders(r->m, r->io->block + i, 3u & ~(1u << k)) < 0)
			return; /* cannot be: they had memory */
}

/* => how many of the leg's blocks are what was written */
static uint32_t count_right(const struct mirror_leg *leg)
{
	uint64_t block = leg->io.block;
	uint32_t good = 0;

	for (uint32_t i = 0; i < leg->io.niov; i++)
		for (size_t at = 0; at < leg->io.iov[i].iov_len; at += SWAP_BLOCK, good++)
			if (!sums_check(leg->req->m->sums, block + good,
					(char *)leg->io.iov[i].iov_base + at))
				return good;
	return good;
}

static void tell_wrong(struct mirror_leg *leg, uint32_t good)
{
	struct swap_device *dev = leg->dev;

	__atomic_fetch_add(&dev->count.checksum_errors, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&dev->count.read_errors, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&leg->req->m->base.count.checksum_errors, 1, __ATOMIC_RELAXED);
	device_tell(dev, SWAP_EVENT_ERROR, -EILSEQ, "read of %u bytes at block %llu: %s",
		    SWAP_BLOCK, (unsigned long long)(leg->io.block + good), "wrong checksum");
}

static void on_read(struct swap_io *io, int err)
{
	struct mirror_leg *leg = leg_of(io);
	struct mirror_request *r = leg->req;
	struct mirror *m = r->m;
	struct mirror_news news = { 0 };
	unsigned int k = number_of(leg);
	uint32_t good = err ? 0 : count_right(leg);

	r->legs = 0;
	if (err == 0 && good < leg->n) {
		err = -EILSEQ;
		tell_wrong(leg, good);
	}
	pthread_mutex_lock(&m->lock);
	if (is_current(leg)) {
		m->half[k].reading--;
		m->half[k].avoid = err != 0;
	}
	if (good > 0 && (r->broken & ~(1u << k)))
		take_away(r, !k, r->at, good);
	mirror_update(m, &news);
	pthread_mutex_unlock(&m->lock);
	done_with(leg);
	mirror_tell(m, &news);

	r->at += good;
	if (good > 0 && r->single)
		r->tried = r->broken = 0;
	if (err) {
		if (r->err != -ENOTCONN)
			r->err = err;
		r->tried |= 1u << k;
		r->broken |= is_transient(err) ? 0 : 1u << k;
		if (!r->single)
			r->careful = err == -EILSEQ ? r->at + 1 : leg->from + leg->n;
	}
	go_on(r);
}

static void go_on(struct mirror_request *r)
{
	struct mirror *m = r->m;
	struct mirror_news news = { 0 };
	int k = -1;

	if (r->at >= r->careful) {
		r->tried = r->broken = 0;
		r->single = false;
		r->err = 0;
	}
	if (r->at == r->n) {
		end_request(r, 0);
		return;
	}
	pthread_mutex_lock(&m->lock);
	mirror_look(m, &news);
	k = choose(r);
	pthread_mutex_unlock(&m->lock);
	mirror_tell(m, &news);
	if (k < 0)
		end_request(r, r->err);
	else
		send(&r->leg[k], on_read);
}

/* --- */

static void start_request(struct mirror_request *r, struct swap_io *io)
{
	r->io = io;
	r->n = io->left >> SWAP_BLOCK_SHIFT;
	r->legs = 0;
	r->at = r->careful = 0;
	r->tried = r->broken = 0;
	r->single = false;
	r->err = 0;
	if (io->write)
		start_write(r);
	else
		go_on(r);
}
