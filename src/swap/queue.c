/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * An I/O goes through two gates.  The first counts what is in flight; behind
 * it wait the two lists.  queue_leave takes the next out, counts it, and posts
 * its op to the ring of its owner, where it goes on.  The second gate is the
 * clock; an I/O that is early sets a timer on its own ring, counted as in
 * flight already, which is right: it has its turn.
 *
 *	inflight <= max_inflight, unless the limit was lowered
 *	anything waits only while inflight >= max_inflight > 0
 */

#include "swap/queue.h"

#include <stddef.h>

#include "base/clock.h"
#include "swap/device.h"

/* What may be let through at once after a pause. */
#define BURST_NS (20 * NSEC_PER_MSEC)

static struct swap_io *io_of(struct ring_op *op)
{
	return (struct swap_io *)((char *)op - offsetof(struct swap_io, op));
}

void queue_init(struct swap_queue *q)
{
	*q = (struct swap_queue){ 0 };
	pthread_mutex_init(&q->lock, NULL);
	q->urgent_tail = &q->urgent;
}

void queue_fini(struct swap_queue *q)
{
	pthread_mutex_destroy(&q->lock);
}

static void start(struct swap_io *io)
{
	io->op = (struct ring_op){ .done = device_on_op };
	io->dev->ops->submit(io->dev, io);
}

static void on_timer(struct ring_op *op, int res)
{
	(void)res;
	start(io_of(op));
}

/* The second gate. => false: a timer is set */
static bool pass_clock(struct swap_queue *q, struct swap_io *io)
{
	uint64_t rate = __atomic_load_n(&q->max_bandwidth, __ATOMIC_RELAXED);
	uint64_t now, from;

	if (rate == 0)
		return true;
	now = clock_ns();
	pthread_mutex_lock(&q->lock);
	if (q->clock + BURST_NS < now)
		q->clock = now - BURST_NS;
	from = q->clock;
	q->clock += (uint64_t)((double)io->total * (double)NSEC_PER_SEC / (double)rate);
	pthread_mutex_unlock(&q->lock);
	if (io->urgent || from <= now)
		return true;
	io->op = (struct ring_op){ .done = on_timer };
	ring_timer(io->ring, &io->op, from - now);
	return false;
}

static void on_turn(struct ring_op *op, int res)
{
	struct swap_io *io = io_of(op);

	(void)res;
	if (pass_clock(&io->dev->queue, io))
		start(io);
}

static void wait_for_turn(struct swap_queue *q, struct swap_io *io)
{
	struct swap_io **at = &q->sorted;

	__atomic_fetch_add(&q->waited, 1, __ATOMIC_RELAXED);
	io->next = NULL;
	if (io->urgent) {
		*q->urgent_tail = io;
		q->urgent_tail = &io->next;
		return;
	}
	while (*at && (*at)->block <= io->block)
		at = &(*at)->next;
	io->next = *at;
	*at = io;
}

bool queue_enter(struct swap_queue *q, struct swap_io *io)
{
	pthread_mutex_lock(&q->lock);
	if (q->max_inflight > 0 && q->inflight >= q->max_inflight) {
		wait_for_turn(q, io);
		pthread_mutex_unlock(&q->lock);
		return false;
	}
	q->inflight++;
	q->last = io->block;
	pthread_mutex_unlock(&q->lock);
	return pass_clock(q, io);
}

/* Whose turn is it? With the lock. */
static struct swap_io *take_next(struct swap_queue *q)
{
	struct swap_io *io = q->urgent, **at = &q->sorted;

	if (io) {
		q->urgent = io->next;
		if (!q->urgent)
			q->urgent_tail = &q->urgent;
		return io;
	}
	while (*at && (*at)->block < q->last)
		at = &(*at)->next;
	if (!*at)
		at = &q->sorted;
	io = *at;
	if (io)
		*at = io->next;
	return io;
}

/* Let through what may. With the lock, which it keeps: a post is short. */
static void let_through(struct swap_queue *q)
{
	while (q->max_inflight == 0 || q->inflight < q->max_inflight) {
		struct swap_io *io = take_next(q);

		if (!io)
			return;
		q->inflight++;
		q->last = io->block;
		io->op = (struct ring_op){ .done = on_turn };
		ring_post(io->ring, &io->op, 0);
	}
}

void queue_leave(struct swap_queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->inflight--;
	let_through(q);
	pthread_mutex_unlock(&q->lock);
}

void queue_set(struct swap_queue *q, uint32_t max_inflight, uint64_t max_bandwidth)
{
	pthread_mutex_lock(&q->lock);
	q->max_inflight = max_inflight;
	__atomic_store_n(&q->max_bandwidth, max_bandwidth, __ATOMIC_RELAXED);
	q->clock = 0;
	let_through(q);
	pthread_mutex_unlock(&q->lock);
}
