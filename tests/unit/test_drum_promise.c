/* SPDX-License-Identifier: BSD-2-Clause */
/* Promises of swap: who is given what is free, and what may be promised. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>

#include "swap/drum.h"

static struct drum *d;
static struct drum_share a, b;
static uint64_t most;

static unsigned int add(uint64_t ino, uint64_t blocks, int priority, bool picky)
{
	static struct swap_device_ops ops;
	struct swap_device *dev =
		device_file_create("file", "/swap", open("/dev/null", O_RDWR | O_CLOEXEC), 1,
				   ino, blocks * SWAP_BLOCK, 0);
	int n;

	cr_assert_not_null(dev);
	if (picky) {
		ops = *dev->ops;
		ops.picky = true;
		dev->ops = &ops;
	}
	n = drum_add(d, dev, priority, 0);
	cr_assert_gt(n, 0);
	return (unsigned int)n;
}

static void begin(void)
{
	d = drum_create();
	cr_assert_not_null(d);
	drum_share_begin(d, &a);
	drum_share_begin(d, &b);
}

static void end(void)
{
	drum_share_end(d, &a);
	drum_share_end(d, &b);
	drum_destroy(d);
}

TestSuite(drum_promise, .init = begin, .fini = end, .timeout = 30);

static int promise(struct drum_share *s, uint64_t blocks)
{
	return drum_promise(d, s, blocks, false, &most);
}

/* As many as it gets, up to want. => the first, and how many */
static drum_addr take(struct drum_share *s, uint64_t want, uint64_t *got)
{
	return drum_alloc(d, s, want, got);
}

static uint64_t taken(struct drum_share *s, uint64_t want)
{
	uint64_t got;
	drum_addr at = take(s, want, &got);

	cr_assert_eq(at == DRUM_NONE, got == 0);
	return got;
}

static struct drum_promises sums(void)
{
	struct drum_promises p;

	drum_promised(d, &p);
	return p;
}

Test(drum_promise, others_leave_it)
{
	add(1, 100, 0, false);
	cr_assert_eq(promise(&a, 60), 0);
	cr_assert_eq(drum_avail(d), 100);
	cr_assert_eq(drum_avail_to(d, NULL), 40);
	cr_assert_eq(drum_avail_to(d, &a), 100);
	cr_assert_eq(taken(NULL, 100), 40);
	cr_assert_eq(taken(NULL, 1), 0);
	cr_assert_eq(taken(&b, 1), 0);
	cr_assert_eq(taken(&a, 100), 60);
	cr_assert_eq(taken(&a, 1), 0);
	cr_assert_eq(sums().outstanding, 0);
}

Test(drum_promise, beyond_it_like_others)
{
	uint64_t got;
	drum_addr at;

	add(1, 100, 0, false);
	cr_assert_eq(promise(&a, 30), 0);
	cr_assert_eq(promise(&b, 50), 0);
	/* 30 of its own, and 20 that nobody was promised */
	at = take(&a, 100, &got);
	cr_assert_eq(got, 50);
	cr_assert_eq(taken(NULL, 1), 0);
	/* what it gives back of those beyond is free for all; of the others for itself */
	drum_free(d, &a, at, 20);
	cr_assert_eq(drum_avail_to(d, NULL), 20);
	drum_free(d, &a, at + 20, 10);
	cr_assert_eq(drum_avail_to(d, NULL), 20);
	cr_assert_eq(drum_avail_to(d, &a), 30);
	/* in two runs */
	cr_assert_eq(taken(&b, 100), 50);
	cr_assert_eq(taken(&b, 100), 20);
	cr_assert_eq(taken(&b, 100), 0);
}

Test(drum_promise, no_more_than_there_is)
{
	uint64_t got;
	drum_addr at;

	add(1, 100, 0, false);
	cr_assert_eq(promise(&a, 101), -ENOSPC);
	cr_assert_eq(most, 100);
	cr_assert_eq(promise(&a, 60), 0);
	cr_assert_eq(promise(&b, 41), -ENOSPC);
	cr_assert_eq(most, 40);
	at = take(NULL, 10, &got);
	cr_assert_eq(promise(&b, 40), -ENOSPC);
	cr_assert_eq(most, 30);
	/* what it has already need not be free */
	cr_assert_eq(taken(&a, 60), 60);
	cr_assert_eq(promise(&a, 90), 0);
	cr_assert_eq(sums().free, 0);
	/* less is always had */
	cr_assert_eq(promise(&a, 5), 0);
	cr_assert_eq(sums().free, 30);
	drum_free(d, NULL, at, got);
	cr_assert_eq(sums().free, 40);
	cr_assert_eq(sums().promised, 5);
}

/* What lies on ram: may go out again as something that does not fit there. */
Test(drum_promise, ram_is_no_backing)
{
	unsigned int ram = add(1, 50, 1, true);
	uint64_t got;
	drum_addr at;

	add(2, 100, 0, false);
	cr_assert_eq(promise(&a, 101), -ENOSPC);
	cr_assert_eq(promise(&a, 100), 0);
	at = take(&a, 20, &got);
	cr_assert_eq(drum_device_of(at), ram);
	cr_assert_eq(drum_share_used(&a), 20);
	cr_assert_eq(sums().outstanding, 100);
	/* whoever comes may have what is left there, and no more */
	cr_assert_eq(drum_avail_to(d, NULL), 30);
	cr_assert_eq(taken(NULL, 100), 30);
	cr_assert_eq(taken(NULL, 1), 0);
	cr_assert_eq(drum_alloc_plain(d, NULL, 1, &got), DRUM_NONE);
	cr_assert_eq(taken(&a, 100), 100);
}

Test(drum_promise, beside)
{
	uint64_t got;
	drum_addr at;

	add(1, 100, 0, false);
	at = take(NULL, 10, &got);
	cr_assert_eq(promise(&a, 80), 0);
	cr_assert_neq(drum_alloc_beside(d, NULL, at, 50, &got), DRUM_NONE);
	cr_assert_eq(got, 10);
	cr_assert_eq(drum_alloc_beside(d, NULL, at, 50, &got), DRUM_NONE);
	cr_assert_neq(drum_alloc_beside(d, &a, at, 50, &got), DRUM_NONE);
	cr_assert_eq(got, 50);
}

Test(drum_promise, a_device_stays_for_it)
{
	unsigned int one = add(1, 100, 1, false), two = add(2, 100, 0, false);
	uint64_t out, had, got;
	drum_addr at;

	cr_assert_eq(promise(&a, 110), 0);
	cr_assert_eq(drum_try_off(d, one, &out, &had), -ENOSPC);
	cr_assert_eq(out, 110);
	cr_assert_eq(had, 100);
	cr_assert_eq(promise(&a, 90), 0);
	at = take(&a, 70, &got);
	cr_assert_eq(drum_device_of(at), one);
	/* 70 have to move, and 20 may be asked for: the others are for that */
	cr_assert_eq(drum_try_off(d, one, &out, &had), 0);
	cr_assert_eq(sums().outstanding, 90);
	cr_assert_eq(taken(NULL, 100), 10);
	cr_assert_eq(drum_device_of(take(&a, 70, &got)), two);
	cr_assert_eq(got, 70);
	drum_free(d, &a, at, 70);
	device_close(drum_remove(d, one));
	cr_assert_eq(sums().outstanding, 20);
	cr_assert_eq(taken(NULL, 1), 0);
	cr_assert_eq(taken(&a, 100), 20);
}

/* Given up: what is there counts again. */
Test(drum_promise, a_device_that_is_on_again)
{
	unsigned int one = add(1, 100, 1, false);
	uint64_t out, had;

	add(2, 100, 0, false);
	cr_assert_eq(promise(&a, 60), 0);
	cr_assert_eq(taken(&a, 50), 50);
	cr_assert_eq(drum_try_off(d, one, &out, &had), 0);
	cr_assert_eq(sums().outstanding, 60);
	drum_set_off(d, one, false);
	cr_assert_eq(sums().outstanding, 10);
}

/* Promised again before the blocks are claimed, and after. */
Test(drum_promise, a_restart)
{
	unsigned int one = add(1, 100, 0, false);

	drum_set_closed(d, true);
	cr_assert_eq(drum_promise(d, &a, 50, true, &most), 0);
	cr_assert_eq(drum_claim_run(d, &a, drum_make(one, 0), 30), 0);
	cr_assert_eq(drum_claim_run(d, &b, drum_make(one, 30), 30), 0);
	cr_assert_eq(drum_promise(d, &b, 45, true, &most), 0);
	drum_set_closed(d, false);
	cr_assert_eq(sums().outstanding, 35);
	cr_assert_eq(taken(NULL, 100), 5);
	cr_assert_eq(taken(&a, 100), 20);
	cr_assert_eq(taken(&b, 100), 15);
}

/* It does not fit any more: who was promised something gets what there is. */
Test(drum_promise, too_much)
{
	add(1, 100, 0, false);
	cr_assert_eq(drum_promise(d, &a, 90, true, &most), 0);
	cr_assert_eq(drum_promise(d, &b, 90, true, &most), 0);
	cr_assert_eq(sums().free, 0);
	cr_assert_eq(taken(NULL, 1), 0);
	cr_assert_eq(taken(&a, 100), 90);
	cr_assert_eq(taken(&a, 1), 0);
	cr_assert_eq(taken(&b, 100), 10);
}

Test(drum_promise, bad_and_held_are_nobodys)
{
	uint64_t got;
	drum_addr at;

	add(1, 100, 0, false);
	cr_assert_eq(promise(&a, 50), 0);
	at = take(&a, 20, &got);
	drum_mark_bad(d, &a, at);
	drum_hold(d, &a, at + 1, 4);
	cr_assert_eq(drum_share_used(&a), 15);
	cr_assert_eq(sums().outstanding, 35);
	cr_assert_eq(drum_avail_to(d, NULL), 45);
	drum_release_held(d, UINT64_MAX);
	cr_assert_eq(drum_avail_to(d, NULL), 49);
}

Test(drum_promise, handed_over)
{
	uint64_t got;
	drum_addr at;

	add(1, 100, 0, false);
	cr_assert_eq(promise(&a, 10), 0);
	at = take(&b, 1, &got);
	drum_share_move(d, &b, &a, at);
	cr_assert_eq(drum_share_used(&a), 1);
	cr_assert_eq(drum_share_used(&b), 0);
	cr_assert_eq(sums().outstanding, 9);
	drum_free(d, &a, at, 1);
	cr_assert_eq(sums().outstanding, 10);
}

/* Copies cost others blocks, unless they are those that are promised anyway. */
Test(drum_promise, copies)
{
	uint64_t got, blocks = UINT64_C(16) * DRUM_TIGHT_BLOCKS;
	drum_addr at, of_a, of_b;
	uint32_t less;

	add(1, blocks, 0, false);
	at = take(NULL, 1, &got);
	of_a = take(&a, 1, &got);
	of_b = take(&b, 1, &got);
	cr_assert(drum_keeps(d, NULL, at));
	less = drum_keeps_less(d);
	cr_assert_eq(promise(&a, blocks - 100), 0);
	cr_assert_neq(drum_keeps_less(d), less);
	cr_assert(drum_tight(d));
	cr_assert_not(drum_keeps(d, NULL, at));
	cr_assert_not(drum_keeps(d, &b, of_b));
	cr_assert(drum_keeps(d, &a, of_a));
	cr_assert_eq(promise(&a, 0), 0);
	cr_assert(drum_keeps(d, NULL, at));
}

/* Who comes to have more than is promised is told to look at his copies, if others need room:
 * it is tight already, so nothing else tells him. */
Test(drum_promise, copies_beyond_it)
{
	uint64_t blocks = UINT64_C(16) * DRUM_TIGHT_BLOCKS, got;
	uint32_t less;
	drum_addr at;

	add(1, blocks, 0, false);
	cr_assert_eq(promise(&b, blocks - 1000), 0);
	cr_assert_eq(promise(&a, 100), 0);
	less = drum_keeps_less(d);
	at = take(&a, 100, &got);
	cr_assert_eq(got, 100);
	cr_assert(drum_keeps(d, &a, at));
	cr_assert_eq(drum_keeps_less(d), less);
	cr_assert_eq(taken(&a, 1), 1);
	cr_assert_not(drum_keeps(d, &a, at));
	cr_assert_neq(drum_keeps_less(d), less);
	/* the same when a promise is taken back, and of one who had too much once */
	less = drum_keeps_less(d);
	cr_assert_eq(taken(&a, 1), 1);
	cr_assert_eq(drum_keeps_less(d), less);
	cr_assert_eq(promise(&a, 200), 0);
	cr_assert_eq(drum_keeps_less(d), less);
	cr_assert_eq(promise(&a, 0), 0);
	cr_assert_neq(drum_keeps_less(d), less);
}

static void told(void *arg)
{
	++*(int *)arg;
}

/* The cache counts as free for a promise, and is told to make it true. */
Test(drum_promise, the_cache_yields)
{
	int pressed = 0;

	add(1, 1000, 0, false);
	drum_on_pressure(d, told, &pressed);
	cr_assert_eq(taken(NULL, 600), 600);
	drum_count_cached(d, 600);
	cr_assert_eq(sums().free, 1000);
	cr_assert_eq(promise(&a, 350), 0);
	cr_assert_eq(pressed, 1);
	cr_assert(drum_pressure(d));
	cr_assert_eq(promise(&a, 1001), -ENOSPC);
	cr_assert_eq(most, 1000);
	drum_count_cached(d, -600);
}
