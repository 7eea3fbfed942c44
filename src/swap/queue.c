/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * An I/O goes through two gates.  The first is the clock; an I/O that is early
 * sets a timer on its own ring.  The second counts what is in flight; behind it
 * wait the two lists.  queue_leave takes the next out, counts it, and posts its
 * op to the ring of its owner, where it goes on.  The clock comes first, so that
 * nothing that waits for it holds a place that an urgent I/O needs.
 *
 * Limits may change while an I/O waits for the clock, for hours if the old limit
 * was low; so no timer is longer than SLICE_NS, and an I/O that finds the limits
 * changed is charged anew (queue_set begins the clock anew).
 *
 *	inflight <= max_inflight, unless the limit was lowered
 *	anything waits in a list only while inflight >= max_inflight > 0
 */

#include "swap/queue.h"

#include <stddef.h>

#include "base/clock.h"
#include "swap/device.h"

/* What may be let through at once after a pause. */
#define BURST_NS (20 * NSEC_PER_MSEC)
#define SLICE_NS (100 * NSEC_PER_MSEC)

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

uint64_t queue_charge(struct swap_queue *q, uint32_t bytes, bool urgent, uint64_t now)
{
	uint64_t rate, wait = 0;

	pthread_mutex_lock(&q->lock);
	rate = q->max_bandwidth;
	if (rate > 0) {
		if (q->clock + BURST_NS < now)
			q->clock = now - BURST_NS;
		if (!urgent && q->clock > now)
			wait = q->clock - now;
		q->clock += (uint64_t)((double)bytes * (double)NSEC_PER_SEC / (double)rate);
	}
	pthread_mutex_unlock(&q->lock);
	return wait;
}

static bool enter(struct swap_queue *q, struct swap_io *io);
static bool pass_clock(struct swap_queue *q, struct swap_io *io);
static void on_timer(struct ring_op *op, int res);

static void set_timer(struct swap_io *io, uint64_t now)
{
	uint64_t ns = io->due - now;

	io->op = (struct ring_op){ .done = on_timer };
	ring_timer(io->ring, &io->op, ns < SLICE_NS ? ns : SLICE_NS);
}

static void on_timer(struct ring_op *op, int res)
{
	struct swap_io *io = io_of(op);
	struct swap_queue *q = &io->dev->queue;
	uint64_t now = clock_ns();

	(void)res;
	if (io->changes != __atomic_load_n(&q->changes, __ATOMIC_RELAXED)) {
		if (!pass_clock(q, io))
			return;
	} else if (now < io->due && !io->urgent) {
		set_timer(io, now);
		return;
	}
	if (enter(q, io))
		start(io);
}

/* The first gate. => false: a timer is set */
static bool pass_clock(struct swap_queue *q, struct swap_io *io)
{
	uint64_t now, wait;

	if (__atomic_load_n(&q->max_bandwidth, __ATOMIC_RELAXED) == 0)
		return true;
	now = clock_ns();
	/* before it is charged: then a change in between is seen as one */
	io->changes = __atomic_load_n(&q->changes, __ATOMIC_ACQUIRE);
	wait = queue_charge(q, io->total, io->urgent, now);
	if (wait == 0)
		return true;
	io->due = now + wait;
	set_timer(io, now);
	return false;
}

static void on_turn(struct ring_op *op, int res)
{
	(void)res;
	start(io_of(op));
}

static void add_urgent(struct swap_queue *q, struct swap_io *io)
{
	io->next = NULL;
	*q->urgent_tail = io;
	q->urgent_tail = &io->next;
}

static void wait_for_turn(struct swap_queue *q, struct swap_io *io)
{
	struct swap_io **at = &q->sorted;

	__atomic_fetch_add(&q->waited, 1, __ATOMIC_RELAXED);
	if (io->urgent) {
		add_urgent(q, io);
		return;
	}
	while (*at && (*at)->block <= io->block)
		at = &(*at)->next;
	io->next = *at;
	*at = io;
}

/* The second gate. => false: it waits in a list */
static bool enter(struct swap_queue *q, struct swap_io *io)
{
	bool now = true;

	pthread_mutex_lock(&q->lock);
	if (q->max_inflight > 0 && q->inflight >= q->max_inflight) {
		wait_for_turn(q, io);
		now = false;
	} else {
		__atomic_store_n(&q->inflight, q->inflight + 1, __ATOMIC_RELAXED);
		q->last = io->block;
	}
	pthread_mutex_unlock(&q->lock);
	return now;
}

bool queue_enter(struct swap_queue *q, struct swap_io *io)
{
	return pass_clock(q, io) && enter(q, io);
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
		__atomic_store_n(&q->inflight, q->inflight + 1, __ATOMIC_RELAXED);
		q->last = io->block;
		io->op = (struct ring_op){ .done = on_turn };
		ring_post(io->ring, &io->op, 0);
	}
}

void queue_raise(struct swap_queue *q, struct swap_io *io)
{
	pthread_mutex_lock(&q->lock);
	for (struct swap_io **at = &q->sorted; *at && !io->urgent; at = &(*at)->next)
		if (*at == io) {
			*at = io->next;
			add_urgent(q, io);
			break;
		}
	io->urgent = true;
	pthread_mutex_unlock(&q->lock);
}

void queue_leave(struct swap_queue *q)
{
	pthread_mutex_lock(&q->lock);
	__atomic_store_n(&q->inflight, q->inflight - 1, __ATOMIC_RELAXED);
	let_through(q);
	pthread_mutex_unlock(&q->lock);
}

void queue_set(struct swap_queue *q, uint32_t max_inflight, uint64_t max_bandwidth)
{
	pthread_mutex_lock(&q->lock);
	__atomic_store_n(&q->max_inflight, max_inflight, __ATOMIC_RELAXED);
	__atomic_store_n(&q->max_bandwidth, max_bandwidth, __ATOMIC_RELAXED);
	q->clock = 0;
	__atomic_fetch_add(&q->changes, 1, __ATOMIC_RELEASE);
	let_through(q);
	pthread_mutex_unlock(&q->lock);
}
