/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The swapcache daemon: what is put, how much may be, and its end.
 */
#include <criterion/criterion.h>
#include <errno.h>

#include "swapcached_env.h"

TestSuite(swapcached, .timeout = 60, .fini = tear_down);

/* A write has come to the device. */
static void await_io(void)
{
	while (__atomic_load_n(&fake->dev.count.inflight, __ATOMIC_ACQUIRE) == 0)
		usleep(20);
}

/* --- puts --- */

static int read_err;

static void on_read(struct swap_io *io, int err)
{
	(void)io;
	read_err = err;
}

Test(swapcached, a_put_is_written_and_found, .init = set_up_file)
{
	struct ring *ring = ring_create(8);
	struct cacheobj_read r;
	struct swap_io io = { .done = on_read, .niov = 1 };
	uint8_t *data = aligned_alloc(SWAP_BLOCK, RUN_LEN), want[RUN_LEN];
	uint64_t gap;

	cr_assert_eq(put(obj, 35, RUN), 13, "to the end of its swblock");
	settle();
	cr_assert_eq(cached(obj), 13);
	cr_assert_eq(stats().write_count, 13 * SWAP_BLOCK);
	cr_assert_eq(cacheobj_read(obj, &r, 35, RUN, &gap), 13);
	io.iov[0] = (struct iovec){ data, 13 * SWAP_BLOCK };
	read_err = 1;
	drum_submit(drum, ring, &io, r.addr);
	while (read_err == 1)
		cr_assert_geq(ring_run(ring, NSEC_PER_MSEC), 0);
	cr_assert_eq(read_err, 0);
	fill(want, 35, 13);
	cr_assert_arr_eq(data, want, 13 * SWAP_BLOCK);
	cacheobj_read_end(obj, &r, 0);
	ring_destroy(ring);
	free(data);
}

Test(swapcached, fewer_may_be_given_than_were_got, .init = set_up_file)
{
	struct swapcached_put *p = get(obj, 0, RUN);

	cr_assert_not_null(p);
	swapcached_give(sd, p, 3);
	p = get(obj, 16, RUN);
	cr_assert_not_null(p);
	swapcached_give(sd, p, 0);
	p = get(obj, 32, RUN);
	cr_assert_not_null(p);
	swapcached_drop(sd, p);
	settle();
	cr_assert_eq(cached(obj), 3);
	cr_assert_eq(stats().write_count, 3 * SWAP_BLOCK);
	/* nothing of them is left behind */
	cr_assert_eq(put(obj, 3, RUN), 13);
	cr_assert_eq(put(obj, 16, RUN), 16);
	settle();
	cr_assert_eq(cached(obj), 32);
}

Test(swapcached, nothing_is_taken_where_it_is_off, .init = set_up_file)
{
	set(SWAPCACHE_DATA_ENABLE, 0);
	tick();
	cr_assert_null(get(obj, 0, RUN));
	set(SWAPCACHE_DATA_ENABLE, 1);
	tick();
	cr_assert_eq(put(obj, 0, RUN), RUN);
}

Test(swapcached, there_are_so_many_buffers, .init = set_up_file)
{
	struct swapcached_put *p[SWAPCACHED_PUTS];

	for (unsigned int i = 0; i < SWAPCACHED_PUTS; i++) {
		p[i] = get(obj, (uint64_t)i * RUN, RUN);
		cr_assert_not_null(p[i]);
	}
	cr_assert_null(get(obj, 10000, 1));
	for (unsigned int i = 0; i < SWAPCACHED_PUTS; i++)
		swapcached_give(sd, p[i], p[i]->range.n);
	settle();
	cr_assert_eq(cached(obj), SWAPCACHED_PUTS * RUN);
	cr_assert_eq(put(obj, 10000, 1), 1);
}

Test(swapcached, a_change_meanwhile_is_noticed, .init = set_up_fake)
{
	struct cacheobj_change ch;

	fake_set(fake, true, 0);
	cr_assert_eq(put(obj, 0, RUN), RUN);
	await_io();
	cacheobj_change(obj, &ch, 4, 6);
	cacheobj_changed(obj, &ch, false);
	fake_set(fake, false, 0);
	settle();
	cr_assert_eq(cached(obj), RUN - 2);
	cr_assert(!cacheobj_has(obj, 4) && !cacheobj_has(obj, 5) && cacheobj_has(obj, 6));
}

/* --- the allowance --- */

Test(swapcached, what_is_promised_already_is_no_part_of_the_next_allowance, .init = set_up_file)
{
	struct swapcached_put *p, *q;

	set(SWAPCACHE_ACCRATE, 1024);
	set(SWAPCACHE_MAXBURST, 2 * RUN_LEN);
	set(SWAPCACHE_CURBURST, 2 * RUN_LEN);
	pass_time(1);
	p = get(obj, 0, RUN);
	cr_assert_not_null(p);
	pass_time(1);
	/* what it asks for and does not get is promised to nobody */
	q = get(obj, 20, RUN);
	cr_assert(q && q->range.n == RUN - 4);
	cr_assert_eq(put(obj, 32, RUN), 4);
	cr_assert_null(get(obj, 48, 1), "all of it is promised");
	swapcached_give(sd, p, RUN);
	swapcached_give(sd, q, RUN - 4);
	settle();
	cr_assert_eq(stats().write_count, 2 * RUN_LEN);
	cr_assert_eq(stats().curburst, 0);
	cr_assert_null(get(obj, 48, 1));
}

Test(swapcached, what_the_policy_takes_back_is_not_written, .init = set_up_file)
{
	struct swapcached_put *p = get(obj, 0, RUN), *q = get(obj, 16, RUN);

	cr_assert(p && q);
	set(SWAPCACHE_MAXBURST, 2 * RUN_LEN);
	set(SWAPCACHE_CURBURST, RUN_LEN + 3 * SWAP_BLOCK);
	set(SWAPCACHE_ACCRATE, 1024);
	pass_time(1);
	swapcached_give(sd, p, RUN);
	swapcached_give(sd, q, RUN);
	settle();
	cr_assert_eq(stats().write_count, RUN_LEN + 3 * SWAP_BLOCK);
	cr_assert_eq(cached(obj), RUN + 3);
}

/* What comes, in any order, for hours. */
Test(swapcached, the_allowance_is_obeyed_to_the_byte_for_hours, .init = set_up_fake)
{
	const uint64_t rate = 100000, first = 3000000, hours = 2;
	struct swapcached_put *held[8] = { 0 };
	uint64_t began, block = 0, spent = 0, ticks = 0;

	set(SWAPCACHE_ACCRATE, rate);
	set(SWAPCACHE_MINBURST, 1000000);
	set(SWAPCACHE_MAXBURST, 20000000);
	pass_time(1);
	began = now;
	set(SWAPCACHE_CURBURST, first);
	set(SWAPCACHE_WRITE_COUNT, 0);
	srand(7);
	pass_time(1);
	while (now - began < hours * 3600 * NSEC_PER_SEC) {
		for (int i = rand() % 400; i > 0; i--) {
			struct swapcached_put **h = &held[rand() % 8], *p = *h;

			*h = get(obj, block, 1 + (uint32_t)rand() % RUN);
			block += RUN;
			if (p && rand() % 8 == 0)
				swapcached_drop(sd, p);
			else if (p)
				swapcached_give(sd, p, 1 + (uint32_t)rand() % p->range.n);
		}
		spent = stats().write_count;
		cr_assert_leq(spent, first + (now - began) / 1000 * rate / 1000000,
			      "after %llu ticks", (unsigned long long)ticks);
		pass_time((uint64_t)rand() % (8 * NSEC_PER_SEC));
		ticks++;
		block %= IMAGE;
	}
	/* and is used, but for what may come yet */
	cr_assert_geq(spent, hours * 3600 * rate - 20000000);
	for (int i = 0; i < 8; i++)
		if (held[i])
			swapcached_drop(sd, held[i]);
}

/* --- the end of an object, of the daemon --- */

static unsigned int nover;

static void on_over(void *arg, struct cacheobj *c)
{
	cr_assert_eq(arg, &nover);
	cr_assert_str_eq(cacheobj_name(c), "other");
	__atomic_fetch_add(&nover, 1, __ATOMIC_RELEASE);
}

Test(swapcached, an_object_that_is_retired_is_told_of_when_nothing_is_under_way,
     .init = set_up_fake)
{
	struct cacheobj *other = open_obj("other");

	nover = 0;
	cr_assert_eq(swapcached_add(sd, other, on_over, &nover), 0);
	pass_time(1);
	cr_assert_eq(nover, 0, "it is empty, and still somebody's");
	fake_set(fake, true, 0);
	cr_assert_eq(put(other, 0, RUN), RUN);
	await_io();
	cacheobj_retire(other);
	cacheobj_unref(other);
	pass_time(1);
	cr_assert_eq(nover, 0);
	fake_set(fake, false, 0);
	settle();
	pass_time(1);
	cr_assert_eq(nover, 1);
	pass_time(NSEC_PER_SEC);
	cr_assert_eq(nover, 1);
	cr_assert_eq(drum_cached(drum), 0);
	cr_assert_eq(drum_avail(drum), UINT64_C(1) << 20);
}

Test(swapcached, it_stops_within_a_put, .init = set_up_fake)
{
	struct swapcached_put *p = get(obj, 16, RUN), *q = get(obj, 32, RUN);

	cr_assert(p && q);
	fake_set(fake, true, 0);
	/* the thread is in the middle of a put, and has not looked whether it is to stop */
	pthread_mutex_lock(&fake->lock);
	cr_assert_eq(put(obj, 0, RUN), RUN);
	await_io();
	swapcached_quiesce(sd);
	cr_assert_null(get(obj, 48, RUN));
	swapcached_give(sd, p, RUN);
	pthread_mutex_unlock(&fake->lock);
	/* two are not back */
	cr_assert_not(swapcached_stop(sd));
	swapcached_drop(sd, q);
	fake_set(fake, false, 0);
	cr_assert(swapcached_stop(sd));
	sd = NULL;
	cr_assert_eq(cached(obj), RUN,
		     "what was written is there, and what was given later not");
	cr_assert_eq(policy.write_count, RUN_LEN);
}

Test(swapcached, one_put_is_written_at_a_time, .init = set_up_fake)
{
	unsigned int n;

	fake_set(fake, true, 0);
	for (uint64_t block = 0; block < 4 * RUN; block += RUN)
		cr_assert_eq(put(obj, block, RUN), RUN);
	tick();
	pthread_mutex_lock(&fake->lock);
	n = fake->nkept;
	pthread_mutex_unlock(&fake->lock);
	cr_assert_eq(n, 1, "%u", n);
	fake_set(fake, false, 0);
	settle();
	cr_assert_eq(cached(obj), 4 * RUN);
}

Test(swapcached, it_is_told_to_stop_and_to_go_on, .init = set_up_file)
{
	swapcached_quiesce(sd);
	tick();
	cr_assert_null(get(obj, 0, RUN));
	swapcached_resume(sd);
	tick();
	cr_assert_eq(put(obj, 0, RUN), RUN);
	settle();
	cr_assert_eq(cached(obj), RUN);
}

Test(swapcached, it_stops_and_starts_anew, .init = set_up_file)
{
	cr_assert_eq(put(obj, 0, RUN), RUN);
	settle();
	cr_assert(swapcached_stop(sd));
	start();
	cr_assert_eq(put(obj, 16, RUN), RUN);
	settle();
	cr_assert_eq(cached(obj), 2 * RUN);
	cr_assert_eq(stats().write_count, 2 * RUN_LEN);
}

/* --- devices that fail, or are full --- */

static bool has_rested(uint64_t arg)
{
	(void)arg;
	return !drum_resting(drum);
}

Test(swapcached, a_device_that_fails_is_left_alone_and_keeps_its_blocks, .init = set_up_fake)
{
	uint64_t was_free = drum_avail(drum), given = 0;
	struct drum_device_stats dev;

	fake_set(fake, false, -EIO);
	for (uint64_t b = 0; b < 8; b++) {
		given += put(obj, b * RUN, RUN);
		settle();
	}
	cr_assert(drum_resting(drum));
	cr_assert_leq(stats().write_errors, 3, "then it was left alone");
	cr_assert_geq(stats().write_errors, 2);
	cr_assert_lt(given, 8 * RUN, "and nothing is taken in vain");
	cr_assert_eq(cached(obj), 0);
	cr_assert_eq(drum_stats(drum, &dev, 1), 1);
	cr_assert_eq(dev.bad, RUN, "of the first failure alone");
	cr_assert_eq(drum_avail(drum), was_free - RUN);
	fake_set(fake, false, 0);
	look_until(has_rested, 0);
	pass_time(2 * NSEC_PER_SEC);
	cr_assert_eq(put(obj, 1000, 8), 8);
	settle();
	cr_assert_eq(cached(obj), 8);
}

Test(swapcached, where_there_is_no_room_it_rests, .init = set_up_file)
{
	uint64_t got, n = 0;

	/* an eighth is left, and no more: that is no pressure yet */
	while (drum_avail(drum) > BLOCKS / 8) {
		cr_assert_neq(drum_alloc(drum, NULL, 1, &got), DRUM_NONE);
		n++;
	}
	cr_assert_eq(put(obj, 0, RUN), RUN);
	settle();
	cr_assert_eq(cached(obj), 0);
	cr_assert_null(get(obj, 0, RUN));
	tick();
	cr_assert_null(get(obj, 0, RUN));
	pass_time(NSEC_PER_SEC);
	cr_assert_eq(put(obj, 0, RUN), RUN, "it is tried again");
	settle();
	cr_assert_eq(stats().write_count, 0);
	cr_assert_eq(n, BLOCKS - BLOCKS / 8);
}
