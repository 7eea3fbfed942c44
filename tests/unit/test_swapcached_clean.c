/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The swapcache daemon: cleaning, devices that go, what they have been written, and passes of
 * guests.
 */
#include <stdio.h>
#include <criterion/criterion.h>

#include <sys/stat.h>

#include "swap/swapcached_priv.h"
#include "swapcached_env.h"

TestSuite(swapcached_clean, .timeout = 60, .fini = tear_down);

/* --- cleaning --- */

/* A small share of a small device: 20 percent of 4096 blocks, and back to 10. */
static void fill_up(void)
{
	set(SWAPCACHE_MAXSWAPPCT, 20);
	tick();
	cr_assert_geq(put_clusters(obj, 0, BLOCKS / 5 / RUN + 1), BLOCKS / 5 / RUN + 1);
	cr_assert_gt(cached(obj), BLOCKS / 5);
}

/* Somebody reads one block of each swblock from `block` on, so all of these are spared once. */
static void read_swblocks(uint64_t block, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		struct cacheobj_read r;
		uint64_t gap;

		cr_assert_eq(cacheobj_read(obj, &r, block + i * RUN, 1, &gap), 1);
		cacheobj_read_end(obj, &r, 0);
	}
}

Test(swapcached_clean, it_cleans_to_ten_points_below_and_goes_on_where_it_was,
     .init = set_up_file)
{
	uint64_t was, ticks = 0;

	set(SWAPCACHE_MAXLAUNDER, 4 * RUN);
	fill_up();
	read_swblocks(0, 2);
	was = cached(obj);
	tick();
	cr_assert_eq(stats().state, SWAPCACHE_CLEANING);
	cr_assert_null(get(obj, 100000, 1), "nothing is written meanwhile");
	while (stats().state == SWAPCACHE_CLEANING) {
		cr_assert_geq(was - cached(obj), 4 * RUN, "each tick gets on");
		cr_assert_leq(was - cached(obj), 5 * RUN, "and by no more than it is told");
		was = cached(obj);
		/* in order; what was read is passed over, and not come back to */
		ticks++;
		cr_assert(cacheobj_has(obj, 0) && cacheobj_has(obj, RUN));
		cr_assert(!cacheobj_has(obj, ticks * 4 * RUN - 1));
		cr_assert(cacheobj_has(obj, (ticks + 1) * 5 * RUN));
		tick();
	}
	cr_assert_lt(cached(obj), BLOCKS / 10);
	cr_assert_gt(cached(obj), BLOCKS / 10 - 5 * RUN);
	cr_assert_eq(stats().cleanings, 1);
	cr_assert_eq(stats().hurried, 0);
	cr_assert_eq(put(obj, 100000, 1), 1);
}

Test(swapcached_clean, what_is_read_is_spared_once, .init = set_up_file)
{
	uint64_t was;

	fill_up();
	was = cached(obj);
	read_swblocks(0, was / RUN);
	tick();
	cr_assert_eq(stats().state, SWAPCACHE_CLEANING);
	cr_assert_eq(cached(obj), was, "there is time until the next tick to be read again");
	tick();
	cr_assert_lt(cached(obj), was);
}

Test(swapcached_clean, after_cleanperobj_it_is_the_next_ones_turn, .init = set_up_file)
{
	struct cacheobj *other = open_obj("other");
	uint64_t was, was_other;

	cr_assert_eq(swapcached_add(sd, other, NULL, NULL), 0);
	set(SWAPCACHE_CLEANPEROBJ, 4 * RUN_LEN);
	set(SWAPCACHE_MAXLAUNDER, 8 * RUN);
	set(SWAPCACHE_MAXSWAPPCT, 95);
	tick();
	cr_assert_eq(put_clusters(obj, 0, 40), 40);
	cr_assert_eq(put_clusters(other, 0, 40), 40);
	set(SWAPCACHE_MAXSWAPPCT, 11);
	was = cached(obj);
	was_other = cached(other);
	for (int i = 1; i <= 3; i++) {
		tick();
		cr_assert_eq(stats().state, SWAPCACHE_CLEANING);
		cr_assert_geq(was - cached(obj), 4 * RUN * (uint64_t)(i - 1));
		cr_assert_leq(was - cached(obj), 6 * RUN * (uint64_t)i);
		cr_assert_geq(was_other - cached(other), 3 * RUN * (uint64_t)(i - 1));
		cr_assert_leq(was_other - cached(other), 6 * RUN * (uint64_t)i);
	}
	cr_assert_gt(was_other - cached(other), 0);
	cacheobj_unref(other);
}

static bool is_clean(uint64_t arg)
{
	(void)arg;
	return cached(obj) == 0;
}

/* Nobody moves the clock, or wakes the daemon, but the drum. */
Test(swapcached_clean, who_needs_swap_gets_it_at_once, .init = set_up_file)
{
	uint64_t got, taken = 0;

	fill_up();
	set(SWAPCACHE_MAXSWAPPCT, 75);
	tick();
	cr_assert_eq(stats().hurried, 0);
	/* nor is anything spared */
	read_swblocks(0, cached(obj) / RUN);
	while (drum_avail(drum) > 0)
		if (drum_alloc(drum, NULL, 64, &got) != DRUM_NONE)
			taken += got;
	look_until(is_clean, 0);
	cr_assert_eq(stats().hurried, 1);
	cr_assert_eq(drum_avail(drum) + taken, BLOCKS);
	cr_assert_null(get(obj, 100000, 1));
}

Test(swapcached_clean, what_is_on_a_device_that_goes_is_dropped, .init = set_up_file)
{
	add_fake(BLOCKS);
	pass_time(NSEC_PER_SEC);
	cr_assert_eq(put_clusters(obj, 0, 40), 40);
	drum_set_off(drum, 1, true);
	pass_time(1);
	for (uint64_t b = 0; b < 40 * RUN; b++) {
		struct cacheobj_read r;
		uint64_t gap;

		if (cacheobj_read(obj, &r, b, 1, &gap) == 0)
			continue;
		cr_assert_eq(drum_device_of(r.addr), 2);
		cacheobj_read_end(obj, &r, 0);
	}
	cr_assert_gt(cached(obj), 0);
	cr_assert_lt(cached(obj), 40 * RUN);
	cr_assert_not_null(drum_device(drum, 1));
	device_close(drum_remove(drum, 1));
	cr_assert_null(drum_device(drum, 1), "it was empty");
}

/* A walk over what is on a device that goes may be long, and guests want swap meanwhile. */
Test(swapcached_clean, who_needs_swap_does_not_wait_for_a_device_that_goes, .init = set_up)
{
	enum { RUNS = 1000 };
	const struct swapcache_orders o = { .clean = RUN, .hurry = true };
	struct swapcached *d = aligned_alloc(64, (sizeof(*d) + 63) & ~(size_t)63);
	struct cached one = { .obj = obj };
	struct cacheobj_put p;

	add_fake(RUNS * RUN * 2);
	for (uint64_t i = 0; i < RUNS; i++) {
		uint64_t got;

		cr_assert_eq(cacheobj_put(obj, &p, i * RUN, RUN), RUN);
		cr_assert_eq(cacheobj_put_write(obj, &p, RUN,
						drum_alloc_cache(drum, RUN, UINT64_MAX, &got)),
			     0);
		cacheobj_put_end(obj, &p, 0);
	}
	add_fake(RUN);
	drum_set_off(drum, 2, true);

	/* its thread, step by step */
	memset(d, 0, sizeof(*d));
	d->drum = drum;
	d->policy = &policy;
	d->now = get_now;
	d->objects = &one;
	d->nobjects = 1;
	pthread_mutex_init(&d->lock, NULL);
	swapcached_clean_begin(d, &o, now);
	cr_assert(swapcached_clean_step(d));
	cr_assert_not_null(d->leaving, "that takes more than one step");
	cr_assert_eq(cached(obj), (RUNS - 1) * RUN);
	while (swapcached_clean_step(d))
		;
	cr_assert_null(d->leaving);
	cr_assert_eq(cached(obj), (RUNS - 1) * RUN);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

/* --- wear --- */

static struct swapcached_wear wear_of(unsigned int number)
{
	struct swapcached_wear all[4];
	size_t n = swapcached_get_wear(sd, all, 4);

	for (size_t i = 0; i < n; i++)
		if (all[i].number == number)
			return all[i];
	cr_assert_fail("no such device");
	return all[0];
}

static void wall_goes_on(int64_t seconds)
{
	__atomic_add_fetch(&wall, seconds, __ATOMIC_ACQ_REL);
	pass_time((uint64_t)seconds * NSEC_PER_SEC);
}

#define BUDGET (10 * RUN_LEN + 5 * SWAP_BLOCK)

Test(swapcached_clean, a_budget_is_obeyed_and_the_next_day_there_is_more, .init = set_up_fake)
{
	uint64_t first;

	cr_assert_eq(wear_of(1).left, UINT64_MAX);
	swapcached_set_budget(sd, 1, BUDGET);
	pass_time(1);
	cr_assert_eq(wear_of(1).budget, BUDGET);
	cr_assert_eq(wear_of(1).left, BUDGET);
	first = put_clusters(obj, 0, 100);
	cr_assert_geq(first, 10);
	pass_time(NSEC_PER_SEC);
	put_clusters(obj, 10000, 100);
	cr_assert_eq(stats().write_count, BUDGET, "all of it, and not a byte more");
	pass_time(NSEC_PER_SEC);
	cr_assert_eq(wear_of(1).written[0], BUDGET);
	cr_assert_eq(wear_of(1).left, 0);
	cr_assert_eq(wear_of(1).tightest, 1);
	wall_goes_on(20 * 3600);
	cr_assert_null(get(obj, 20000, 1));
	wall_goes_on(6 * 3600);
	put_clusters(obj, 20000, 100);
	pass_time(NSEC_PER_SEC);
	put_clusters(obj, 30000, 100);
	cr_assert_eq(stats().write_count, 2 * BUDGET);
}

Test(swapcached_clean, what_is_being_written_is_off_the_budget_already, .init = set_up_fake)
{
	swapcached_set_budget(sd, 1, 2 * RUN_LEN);
	pass_time(1);
	fake_set(fake, true, 0);
	cr_assert_eq(put(obj, 0, RUN), RUN);
	while (stats().write_count == 0)
		usleep(20);
	pass_time(NSEC_PER_SEC);
	cr_assert_eq(put(obj, 16, RUN), RUN);
	cr_assert_null(get(obj, 32, 1));
	fake_set(fake, false, 0);
	settle();
	pass_time(NSEC_PER_SEC);
	cr_assert_null(get(obj, 32, 1));
}

Test(swapcached_clean, a_budget_is_of_one_device_and_the_others_are_used, .init = set_up_fake)
{
	struct fake *other = add_fake(UINT64_C(1) << 20);

	swapcached_set_budget(sd, 1, BUDGET);
	pass_time(1);
	put_clusters(obj, 0, 100);
	cr_assert_eq(fake->dev.count.write_bytes, BUDGET);
	cr_assert_gt(other->dev.count.write_bytes, 10 * RUN_LEN);
	pass_time(NSEC_PER_SEC);
	cr_assert_eq(put_clusters(obj, 10000, 100), 100);
	cr_assert_eq(fake->dev.count.write_bytes, BUDGET);
}

static unsigned int nwritten;

static void on_guest_write(struct swap_io *io, int err)
{
	(void)io;
	cr_assert_eq(err, 0);
	nwritten++;
}

Test(swapcached_clean, what_guests_write_counts, .init = set_up_file)
{
	struct ring *ring = ring_create(8);
	struct swap_io io = { .done = on_guest_write, .write = true, .niov = 1 };
	uint8_t *data = aligned_alloc(SWAP_BLOCK, RUN_LEN);
	drum_addr a;
	uint64_t got;

	swapcached_set_budget(sd, 1, RUN_LEN + SWAP_BLOCK);
	a = drum_alloc(drum, NULL, RUN, &got);
	cr_assert_eq(got, RUN);
	memset(data, 1, RUN_LEN);
	io.iov[0] = (struct iovec){ data, RUN_LEN };
	nwritten = 0;
	drum_submit(drum, ring, &io, a);
	while (nwritten == 0)
		cr_assert_geq(ring_run(ring, NSEC_PER_MSEC), 0);
	pass_time(NSEC_PER_SEC);
	cr_assert_eq(wear_of(1).written[0], RUN_LEN);
	cr_assert_eq(wear_of(1).left, SWAP_BLOCK);
	cr_assert_eq(put(obj, 0, RUN), 1);
	ring_destroy(ring);
	free(data);
}

static char kept[] = "swapcached-state-XXXXXX";

static void set_up_kept(void)
{
	set_up();
	cr_assert_not_null(mkdtemp(kept));
	state_dir = open(kept, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(state_dir, 0);
	fake = add_fake(BLOCKS);
	start();
}

/* beside tear_down */
static void remove_kept(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", kept);
	cr_assert_eq(system(command), 0);
}

Test(swapcached_clean, a_record_outlives_the_daemon, .init = set_up_kept, .fini = remove_kept)
{
	swapcached_set_budget(sd, 1, BUDGET);
	pass_time(1);
	cr_assert_eq(put_clusters(obj, 0, 3), 3);
	cr_assert(swapcached_stop(sd));
	/* the device is of another process then, and counts from 0 */
	__atomic_store_n(&fake->dev.count.write_bytes, 0, __ATOMIC_RELAXED);
	start();
	cr_assert_eq(wear_of(1).budget, BUDGET);
	cr_assert_eq(wear_of(1).written[0], 3 * RUN_LEN);
	cr_assert_eq(wear_of(1).left, BUDGET - 3 * RUN_LEN);
}

/* There is no room for the record of one; that of the other has its file. */
Test(swapcached_clean, a_record_that_cannot_be_kept_is_told_of_once, .init = set_up_kept,
     .fini = remove_kept)
{
	static const char said[] = "what was written to /fake cannot be noted";
	int log = memfd_create("log", MFD_CLOEXEC), was = dup(STDERR_FILENO), n = 0;
	char text[8192] = "";

	add_fake_at("/other", BLOCKS);
	cr_assert_eq(mkdirat(state_dir, "wear-_fake~new", 0700), 0);
	pass_time(NSEC_PER_SEC);
	fcntl(log, F_SETFL, O_APPEND);
	cr_assert_geq(dup2(log, STDERR_FILENO), 0);
	swapcached_set_budget(sd, 1, BUDGET);
	swapcached_set_budget(sd, 2, BUDGET);
	for (int i = 0; i < 5; i++)
		pass_time(NSEC_PER_SEC);
	cr_assert_geq(dup2(was, STDERR_FILENO), 0);
	cr_assert_geq(pread(log, text, sizeof(text) - 1, 0), 0);
	for (const char *at = text; (at = strstr(at, said)); at++)
		n++;
	cr_assert_eq(n, 1, "%d times: %s", n, text);
}

/* --- passes --- */

static uint64_t scan_all(struct swapcached_scanner *s)
{
	uint64_t sum = 0, n;

	while ((n = swapcached_scan(sd, s, 7)) > 0) {
		cr_assert_leq(n, 7);
		sum += n;
	}
	return sum;
}

Test(swapcached_clean, a_pass_comes_to_the_end_of_all_guests_and_the_next_waits_for_pages,
     .init = set_up_file)
{
	struct swapcached_scanner a, b, c;

	swapcached_join(sd, &a);
	swapcached_join(sd, &b);
	swapcached_join(sd, &c);
	set(SWAPCACHE_MAXSCAN, 100);
	tick();
	cr_assert_eq(scan_all(&a), 0, "nothing is new");
	swapcached_tell(sd, &a, 3000, 500);
	swapcached_tell(sd, &b, 5000, 523);
	tick();
	cr_assert_eq(scan_all(&a), 0);
	swapcached_tell(sd, &a, 1000, 1);
	swapcached_tell(sd, &b, 2000, 0);
	cr_assert_eq(scan_all(&a), 0, "only a tick begins a pass");
	tick();
	cr_assert_eq(scan_all(&a), 100, "all may be one guest's, and no more");
	cr_assert_eq(scan_all(&b), 0);
	swapcached_scanned(sd, &a, 30, 0);
	cr_assert_eq(scan_all(&b), 30);
	tick();
	swapcached_scanned(sd, &a, 30, 0); /* too late: that was another tick's */
	cr_assert_eq(scan_all(&b), 100, "the same pass");
	swapcached_scan_ended(sd, &a);
	swapcached_scan_ended(sd, &a);
	swapcached_scan_ended(sd, &b);
	tick();
	cr_assert_eq(stats().passes, 0, "one has not looked yet");
	cr_assert_eq(scan_all(&a), 0, "it is at the end");
	cr_assert_eq(scan_all(&c), 100);
	swapcached_leave(sd, &c);
	tick();
	cr_assert_eq(stats().passes, 1);
	cr_assert_eq(scan_all(&b), 0);
	cr_assert_lt(policy.wtrigger, 0);
	swapcached_tell(sd, &b, 2000, 1023);
	tick();
	cr_assert_eq(scan_all(&b), 0);
	swapcached_tell(sd, &b, 2000, 1);
	tick();
	cr_assert_eq(scan_all(&b), 100, "a new one, for all");
	cr_assert_eq(swapcached_scan(sd, &a, 7), 0);
	tick();
	cr_assert_eq(swapcached_scan(sd, &a, 7), 7);
	swapcached_leave(sd, &a);
	swapcached_leave(sd, &b);
	tick();
	cr_assert_eq(stats().passes, 2);
}

Test(swapcached_clean, a_pass_gives_no_more_than_maxlaunder_and_rests_while_it_cleans,
     .init = set_up_file)
{
	struct swapcached_scanner a;

	swapcached_join(sd, &a);
	set(SWAPCACHE_MAXLAUNDER, 2 * RUN);
	swapcached_tell(sd, &a, 1000, 5000);
	tick();
	cr_assert_eq(swapcached_scan(sd, &a, 5), 5);
	swapcached_scanned(sd, &a, 0, RUN);
	cr_assert_eq(swapcached_scan(sd, &a, 5), 5);
	swapcached_scanned(sd, &a, 0, RUN);
	cr_assert_eq(swapcached_scan(sd, &a, 5), 0);
	tick();
	cr_assert_eq(swapcached_scan(sd, &a, 5), 5);
	fill_up();
	tick();
	cr_assert_eq(stats().state, SWAPCACHE_CLEANING);
	cr_assert_eq(swapcached_scan(sd, &a, 5), 0);
	while (stats().state == SWAPCACHE_CLEANING)
		tick();
	cr_assert_eq(swapcached_scan(sd, &a, 5), 5, "it goes on");
	cr_assert_eq(stats().passes, 0);
	swapcached_leave(sd, &a);
}
