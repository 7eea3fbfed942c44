/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The limits of a device, through device_submit, with a device that keeps its
 * I/O until the test lets it go (fake_half.h, a fake: what is under way must be
 * counted).  Time is a number that the test gives; where a real timer is set, only
 * that its I/O comes, and in which order, is looked at.
 */
#include <criterion/criterion.h>
#include <pthread.h>

#include "base/clock.h"
#include "unit/fake_half.h"

#define LIMIT  .timeout = 30
#define BLOCKS 4096
#define MANY   200
#define MIB    1048576u
#define MSEC   NSEC_PER_MSEC

struct job {
	struct swap_io io;
	int done; /* its place in the order, from 1 */
	int err;
};

static uint8_t block[SWAP_BLOCK];
static int order;

static void on_done(struct swap_io *io, int err)
{
	struct job *j = (struct job *)io;

	cr_assert_eq(j->done, 0, "told twice");
	j->done = ++order;
	j->err = err;
}

struct rig {
	struct ring *ring;
	struct disk *disk;
	struct fake *f;
	struct swap_queue *q;
	struct job job[MANY];
};

static struct rig *make(uint32_t max_inflight, uint64_t max_bandwidth)
{
	struct rig *g = calloc(1, sizeof(*g));

	g->ring = ring_create(64);
	cr_assert_not_null(g->ring);
	g->disk = disk_new(1, BLOCKS);
	g->f = fake_new(g->disk);
	g->f->hold = true;
	g->q = &g->f->base.queue;
	queue_set(g->q, max_inflight, max_bandwidth);
	return g;
}

static void end(struct rig *g)
{
	cr_assert_eq(g->f->base.count.inflight, 0);
	cr_assert_eq(g->q->inflight, 0);
	device_close(&g->f->base);
	disk_free(g->disk);
	ring_destroy(g->ring);
	free(g);
}

static void submit(struct rig *g, unsigned int i, uint64_t at, bool urgent)
{
	struct job *j = &g->job[i];

	j->io.done = on_done;
	j->io.write = true;
	j->io.urgent = urgent;
	j->io.niov = 1;
	j->io.iov[0] = (struct iovec){ block, SWAP_BLOCK };
	device_submit(&g->f->base, g->ring, &j->io, at);
}

static void turn(struct rig *g)
{
	for (int i = 0; i < 3; i++)
		cr_assert_geq(ring_run(g->ring, 0), 0);
}

/* Finish the one that has been at the device for longest. => its block */
static uint64_t finish_one(struct rig *g)
{
	uint64_t at;

	cr_assert_gt(g->f->nheld, 0);
	at = g->f->held[0]->block;
	fake_let_go(g->f, 0);
	turn(g);
	return at;
}

static void wait_held(struct rig *g, unsigned int n)
{
	while (g->f->nheld < n)
		cr_assert_geq(ring_run(g->ring, UINT64_MAX), 0);
}

/* --- in flight --------------------------------------------------------------------------- */

Test(queue, no_limit, LIMIT)
{
	struct rig *g = make(0, 0);

	for (unsigned int i = 0; i < MANY; i++)
		submit(g, i, i, false);
	cr_assert_eq(g->f->nheld, MANY, "all at once");
	cr_assert_eq(g->q->waited, 0);
	while (g->f->nheld > 0)
		finish_one(g);
	end(g);
}

Test(queue, inflight_is_honoured, LIMIT)
{
	struct rig *g = make(5, 0);

	for (unsigned int i = 0; i < MANY; i++)
		submit(g, i, i, i % 3 == 0);
	turn(g);
	cr_assert_eq(g->f->nheld, 5);
	for (unsigned int n = MANY; n > 0; n--) {
		cr_assert_eq(g->f->nheld, n < 5 ? n : 5, "as many as may be, and no more");
		finish_one(g);
	}
	cr_assert_eq(g->f->most, 5);
	cr_assert_eq(order, MANY);
	cr_assert_eq(g->q->waited, MANY - 5);
	end(g);
}

Test(queue, urgent_first_then_by_block, LIMIT)
{
	static const struct {
		uint64_t at;
		bool urgent;
	} come[] = { { 100, false }, { 50, false }, { 300, false }, { 7, true },
		     { 120, false }, { 900, true }, { 80, false } },
	  go[] = { { 100, false }, { 7, true },	   { 900, true }, { 50, false },
		   { 80, false },  { 120, false }, { 300, false } };
	struct rig *g = make(1, 0);

	for (unsigned int i = 0; i < 7; i++)
		submit(g, i, come[i].at, come[i].urgent);
	for (unsigned int i = 0; i < 7; i++)
		cr_assert_eq(finish_one(g), go[i].at, "the %u-th", i);
	end(g);
}

/* Upwards from the last, and then again from the lowest. */
Test(queue, elevator, LIMIT)
{
	static const uint64_t come[] = { 500, 100, 700, 600, 300, 700, 900, 700 },
			      go[] = { 500, 600, 700, 700, 700, 900, 100, 300 };
	struct rig *g = make(1, 0);

	for (unsigned int i = 0; i < 8; i++)
		submit(g, i, come[i], false);
	for (unsigned int i = 0; i < 8; i++)
		cr_assert_eq(finish_one(g), go[i], "the %u-th", i);
	/* equal blocks in the order of coming */
	cr_assert_lt(g->job[2].done, g->job[5].done);
	cr_assert_lt(g->job[5].done, g->job[7].done);
	end(g);
}

Test(queue, limit_raised_and_lowered, LIMIT)
{
	struct rig *g = make(2, 0);

	for (unsigned int i = 0; i < 40; i++)
		submit(g, i, i, false);
	turn(g);
	cr_assert_eq(g->f->nheld, 2);
	queue_set(g->q, 10, 0);
	turn(g);
	cr_assert_eq(g->f->nheld, 10);
	queue_set(g->q, 3, 0);
	for (unsigned int n = 9; n >= 3; n--) {
		finish_one(g);
		cr_assert_eq(g->f->nheld, n, "none starts until fewer than 3 are there");
	}
	finish_one(g);
	cr_assert_eq(g->f->nheld, 3);
	queue_set(g->q, 0, 0);
	turn(g);
	cr_assert_eq(g->f->nheld, 40 - 8, "no limit: all that waited");
	while (g->f->nheld > 0)
		finish_one(g);
	end(g);
}

Test(queue, errors_give_way_too, LIMIT)
{
	struct rig *g = make(1, 0);

	g->f->write_err = -EIO;
	g->f->write_pass = 3;
	for (unsigned int i = 0; i < 10; i++)
		submit(g, i, i, false);
	while (order < 10)
		finish_one(g);
	cr_assert_eq(g->job[2].err, 0);
	cr_assert_eq(g->job[3].err, -EIO);
	cr_assert_eq(g->f->base.count.write_errors, 7);
	end(g);
}

/* --- bandwidth: arithmetic ------------------------------------------------------------------
 */

Test(queue, clock_keeps_the_rate, LIMIT)
{
	struct swap_queue q;
	uint64_t now = 1000 * NSEC_PER_SEC, begin = now, bytes = 0;

	queue_init(&q);
	cr_assert_eq(queue_charge(&q, MIB, false, now), 0, "no limit");
	queue_set(&q, 0, 100 * MIB);
	/* whoever waits as told moves 100 MiB a second, but for the first burst */
	while (now < begin + 10 * NSEC_PER_SEC) {
		now += queue_charge(&q, 64 * 1024, false, now);
		bytes += 64 * 1024;
	}
	cr_assert_geq(bytes, UINT64_C(1000) * MIB);
	cr_assert_leq(bytes, UINT64_C(1003) * MIB, "a burst is of 20 ms: 2 MiB");
	queue_fini(&q);
}

Test(queue, pauses_are_not_saved_up, LIMIT)
{
	struct swap_queue q;
	uint64_t now = 1000 * NSEC_PER_SEC, at_once = 0;

	queue_init(&q);
	queue_set(&q, 0, MIB);
	cr_assert_eq(queue_charge(&q, MIB, false, now), 0);
	now += 3600 * NSEC_PER_SEC;
	while (queue_charge(&q, 4096, false, now) == 0)
		at_once += 4096;
	cr_assert_leq(at_once, MIB / 50 + 4096);
	cr_assert_geq(at_once, MIB / 50);
	queue_fini(&q);
}

Test(queue, urgent_never_waits_and_counts, LIMIT)
{
	struct swap_queue q;
	uint64_t now = 1000 * NSEC_PER_SEC;

	queue_init(&q);
	queue_set(&q, 0, MIB);
	for (int i = 0; i < 10; i++)
		cr_assert_eq(queue_charge(&q, MIB, true, now), 0);
	cr_assert_eq(queue_charge(&q, 4096, false, now), 10 * NSEC_PER_SEC - 20 * MSEC,
		     "it makes room for the 10 MiB");
	/* one that comes later waits for those before it */
	cr_assert_gt(queue_charge(&q, 4096, false, now + MSEC), 10 * NSEC_PER_SEC - 21 * MSEC);
	queue_fini(&q);
}

/* --- bandwidth: timers
 * ------------------------------------------------------------------------ */

Test(queue, what_is_early_comes_later, LIMIT)
{
	/* 4 MiB/s: 20 blocks at once, then one each ms */
	struct rig *g = make(0, 4 * MIB);

	for (unsigned int i = 0; i < 60; i++)
		submit(g, i, i, false);
	cr_assert_lt(g->f->nheld, 60);
	submit(g, 60, 60, true);
	cr_assert_eq(g->f->held[g->f->nheld - 1]->block, 60, "urgent: now");
	wait_held(g, 61);
	while (g->f->nheld > 0)
		finish_one(g);
	end(g);
}

/* It holds no place in flight that an urgent one needs. */
Test(queue, waiting_for_the_clock_is_not_in_flight, LIMIT)
{
	struct rig *g = make(1, 1);

	submit(g, 0, 0, false); /* the first may; 4096 s for it */
	submit(g, 1, 1, false);
	submit(g, 2, 2, false);
	cr_assert_eq(finish_one(g), 0);
	cr_assert_eq(g->f->nheld, 0);
	submit(g, 3, 3, true);
	turn(g);
	cr_assert_eq(g->f->nheld, 1);
	cr_assert_eq(finish_one(g), 3);
	/* hours to wait, and then the limit is taken away */
	queue_set(g->q, 1, 0);
	wait_held(g, 1);
	finish_one(g);
	wait_held(g, 1);
	finish_one(g);
	cr_assert_eq(order, 4);
	end(g);
}

Test(queue, a_higher_rate_reaches_those_that_wait, LIMIT)
{
	struct rig *g = make(0, 1);

	for (unsigned int i = 0; i < 10; i++)
		submit(g, i, i, false);
	cr_assert_eq(g->f->nheld, 1);
	queue_set(g->q, 0, 100 * MIB);
	wait_held(g, 10);
	while (g->f->nheld > 0)
		finish_one(g);
	end(g);
}

/* --- threads
 * ------------------------------------------------------------------------------------ */

#define THREADS 3
#define EACH	300

static struct fake *shared;

struct mine {
	struct swap_io io;
	int *left;
};

static void mine_done(struct swap_io *io, int err)
{
	cr_assert_eq(err, 0);
	--*((struct mine *)io)->left;
}

static void *submit_many(void *arg)
{
	struct ring *ring = ring_create(16);
	struct mine *m = calloc(EACH, sizeof(*m));
	int left = EACH;

	for (unsigned int i = 0; i < EACH; i++) {
		m[i].left = &left;
		m[i].io.done = mine_done;
		m[i].io.write = true;
		m[i].io.urgent = i % 5 == 0;
		m[i].io.niov = 1;
		m[i].io.iov[0] = (struct iovec){ block, SWAP_BLOCK };
		device_submit(&shared->base, ring, &m[i].io, i * 7 % BLOCKS);
	}
	while (left > 0)
		cr_assert_geq(ring_run(ring, UINT64_MAX), 0);
	ring_destroy(ring);
	free(m);
	return arg;
}

/* Each goes on by whichever thread another's I/O ends on, on its own ring. */
Test(queue, what_somebody_waits_for_now_goes_on, LIMIT)
{
	struct rig *g = make(0, MIB);

	/* the clock is an hour ahead of what is not urgent */
	cr_assert_eq(queue_charge(g->q, UINT32_MAX, true, clock_ns()), 0);
	submit(g, 0, 7, false);
	turn(g);
	cr_assert_eq(g->f->nheld, 0);
	queue_raise(g->q, &g->job[0].io);
	wait_held(g, 1);
	cr_assert_eq(finish_one(g), 7);
	end(g);
}

Test(queue, what_somebody_waits_for_now_overtakes, LIMIT)
{
	struct rig *g = make(1, 0);

	for (unsigned int i = 0; i < 4; i++)
		submit(g, i, 10 + i, false);
	submit(g, 4, 5, true);
	queue_raise(g->q, &g->job[0].io); /* is at the device already */
	queue_raise(g->q, &g->job[3].io);
	queue_raise(g->q, &g->job[3].io);
	queue_raise(g->q, &g->job[4].io);
	cr_assert_eq(finish_one(g), 10);
	cr_assert_eq(finish_one(g), 5);
	cr_assert_eq(finish_one(g), 13);
	cr_assert_eq(finish_one(g), 11);
	cr_assert_eq(finish_one(g), 12);
	end(g);
}

Test(queue, several_rings, LIMIT)
{
	struct rig *g = make(4, 0);
	pthread_t t[THREADS];

	g->f->hold = false;
	shared = g->f;
	for (int i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&t[i], NULL, submit_many, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	cr_assert_eq(g->f->base.count.writes, THREADS * EACH, "none is forgotten");
	cr_assert_gt(g->q->waited, 0);
	end(g);
}
