/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blist: what its header promises, case by case, and short runs of the
 * property test (tests/stress/blist_property.c goes on for longer).
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../stress/blist_model.h"

#define TiB (UINT64_C(1) << 28) /* in blocks of 4 KiB */

static struct blist *make(uint64_t blocks)
{
	struct blist *bl = blist_create(blocks);

	cr_assert_not_null(bl, "blist of %llu blocks", (unsigned long long)blocks);
	return bl;
}

static struct blist *make_free(uint64_t blocks)
{
	struct blist *bl = make(blocks);

	cr_assert(blist_free(bl, 0, blocks));
	cr_assert_eq(blist_avail(bl), blocks);
	return bl;
}

/* Pages of this process: all that it has mapped, and what of it is resident. */
static void process_pages(unsigned long *mapped, unsigned long *resident)
{
	FILE *f = fopen("/proc/self/statm", "re");

	cr_assert_not_null(f);
	cr_assert_eq(fscanf(f, "%lu %lu", mapped, resident), 2);
	fclose(f);
}

Test(blist, size_is_checked)
{
	errno = 0;
	cr_assert_null(blist_create(0));
	cr_assert_eq(errno, EINVAL);
	errno = 0;
	cr_assert_null(blist_create(BLIST_MAX_BLOCKS + 1));
	cr_assert_eq(errno, EINVAL);
	blist_destroy(NULL);
}

Test(blist, new_one_is_all_allocated)
{
	static const uint64_t sizes[] = { 1, 63, 64, 65, 1023, 1024, 1025, 16385, TiB + 1 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct blist *bl = make(sizes[i]);
		uint64_t got = 1;

		cr_assert_eq(blist_blocks(bl), sizes[i]);
		cr_assert_eq(blist_avail(bl), 0);
		cr_assert_eq(blist_longest(bl), 0);
		cr_assert(blist_is_allocated(bl, 0, sizes[i]));
		cr_assert_eq(blist_alloc(bl, 1), BLIST_NONE);
		cr_assert_eq(blist_alloc_most(bl, 1, 0, &got), BLIST_NONE);
		cr_assert_eq(got, 0);
		cr_assert(blist_check(bl));
		blist_destroy(bl);
	}
}

Test(blist, all_of_it_can_be_allocated)
{
	static const uint64_t sizes[] = { 1, 63, 64, 65, 1023, 1024, 1025, 16385, TiB + 1 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct blist *bl = make_free(sizes[i]);

		cr_assert_eq(blist_alloc(bl, sizes[i] + 1), BLIST_NONE);
		cr_assert_eq(blist_alloc(bl, sizes[i]), 0);
		cr_assert_eq(blist_avail(bl), 0);
		cr_assert(blist_check(bl));
		blist_destroy(bl);
	}
}

Test(blist, zero_blocks_are_none)
{
	struct blist *bl = make_free(100);
	uint64_t got = 1;

	cr_assert_eq(blist_alloc(bl, 0), BLIST_NONE);
	cr_assert_eq(blist_alloc_near(bl, 0, 5), BLIST_NONE);
	cr_assert_eq(blist_alloc_most(bl, 0, 5, &got), BLIST_NONE);
	cr_assert_eq(got, 0);
	cr_assert(blist_free(bl, 100, 0));
	cr_assert_eq(blist_fill(bl, 50, 0), 0);
	cr_assert(blist_is_allocated(bl, 50, 0));
	cr_assert_eq(blist_avail(bl), 100);
	blist_destroy(bl);
}

/* A run that lies across the border of two leaves, and of nodes of each level. */
Test(blist, runs_cross_borders)
{
	static const uint64_t lengths[][2] = {
		{ 1, 1 }, { 3, 40 }, { 64, 1 }, { 63, 66 }, { 500, 700 }
	};

	for (unsigned shift = 6; shift < 30; shift += 4) {
		uint64_t border = UINT64_C(1) << shift;

		for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
			struct blist *bl = make(4 * border + 2000);
			uint64_t before = lengths[i][0] < border ? lengths[i][0] : border;
			uint64_t n = before + lengths[i][1], at = 3 * border - before, got;

			cr_assert(blist_free(bl, at, n));
			cr_assert_eq(blist_longest(bl), n);
			cr_assert_eq(blist_alloc(bl, n + 1), BLIST_NONE);
			cr_assert_eq(blist_alloc(bl, n), at);
			cr_assert(blist_free(bl, at, n));
			cr_assert_eq(blist_alloc_near(bl, n, at + 1), at);
			/* and put together from both sides */
			cr_assert(blist_free(bl, 3 * border, n - before));
			cr_assert(blist_free(bl, at, before));
			cr_assert_eq(blist_alloc_most(bl, n + 1, 7, &got), at);
			cr_assert_eq(got, n);
			cr_assert_eq(blist_avail(bl), 0);
			cr_assert(blist_check(bl));
			blist_destroy(bl);
		}
	}
}

Test(blist, lowest_run_is_taken)
{
	struct blist *bl = make(TiB);

	cr_assert(blist_free(bl, 200000000, 100));
	cr_assert(blist_free(bl, 100000, 50));
	cr_assert(blist_free(bl, 70, 10));
	cr_assert_eq(blist_alloc(bl, 20), 100000);
	cr_assert_eq(blist_alloc(bl, 60), 200000000);
	cr_assert_eq(blist_alloc(bl, 10), 70);
	cr_assert_eq(blist_alloc(bl, 1), 100020);
	cr_assert_eq(blist_alloc(bl, 41), BLIST_NONE);
	cr_assert_eq(blist_alloc(bl, 40), 200000060);
	blist_destroy(bl);
}

Test(blist, near_searches_from_the_hint_and_round)
{
	struct blist *bl = make(100000);

	cr_assert(blist_free(bl, 10, 20));
	cr_assert(blist_free(bl, 50000, 20));
	cr_assert_eq(blist_alloc_near(bl, 5, 11), 11);	      /* in the run */
	cr_assert_eq(blist_alloc_near(bl, 5, 30), 50000);     /* behind the hint */
	cr_assert_eq(blist_alloc_near(bl, 5, 60000), 16);     /* round; 10 is a run of 1 */
	cr_assert_eq(blist_alloc_near(bl, 15, 50006), 50005); /* round, to before the hint */
	cr_assert_eq(blist_alloc_near(bl, 1, 100000), 10);    /* no such block: from 0 */
	cr_assert_eq(blist_alloc_near(bl, 1, UINT64_MAX), 21);
	blist_destroy(bl);
}

Test(blist, most_is_all_that_is_wanted_or_the_longest)
{
	struct blist *bl = make(1000000);
	uint64_t got;

	cr_assert(blist_free(bl, 100, 10));
	cr_assert(blist_free(bl, 1000, 70));
	cr_assert(blist_free(bl, 900000, 30));
	cr_assert_eq(blist_alloc_most(bl, 30, 500000, &got), 900000);
	cr_assert_eq(got, 30);
	cr_assert_eq(blist_alloc_most(bl, 256, 500000, &got), 1000);
	cr_assert_eq(got, 70);
	cr_assert_eq(blist_alloc_most(bl, UINT64_MAX, 0, &got), 100);
	cr_assert_eq(got, 10);
	cr_assert_eq(blist_alloc_most(bl, 1, 0, &got), BLIST_NONE);
	cr_assert_eq(got, 0);
	blist_destroy(bl);
}

Test(blist, double_free_is_refused_and_changes_nothing)
{
	struct blist *bl = make(TiB);

	cr_assert(blist_free(bl, 5000, 1000));
	cr_assert_not(blist_free(bl, 5000, 1000), "all of it is free");
	cr_assert_not(blist_free(bl, 5500, 1), "in the middle");
	cr_assert_not(blist_free(bl, 4000, 1001), "its last block is free");
	cr_assert_not(blist_free(bl, 5999, 100000), "its first block is free");
	cr_assert_not(blist_free(bl, 0, TiB), "there is a free run inside");
	cr_assert_eq(blist_avail(bl), 1000);
	cr_assert_eq(blist_longest(bl), 1000);
	cr_assert(blist_is_allocated(bl, 0, 5000));
	cr_assert(blist_is_allocated(bl, 6000, TiB - 6000));
	cr_assert(blist_check(bl));
	blist_destroy(bl);
}

Test(blist, free_out_of_range_is_refused)
{
	struct blist *bl = make(1000);

	cr_assert_not(blist_free(bl, 1000, 1));
	cr_assert_not(blist_free(bl, 999, 2));
	cr_assert_not(blist_free(bl, 0, 1001));
	cr_assert_not(blist_free(bl, 1001, 0));
	cr_assert_not(blist_free(bl, 500, UINT64_MAX), "the sum wraps");
	cr_assert_not(blist_free(bl, UINT64_MAX, 2), "the sum wraps");
	cr_assert_eq(blist_avail(bl), 0);
	cr_assert(blist_free(bl, 999, 1));
	blist_destroy(bl);
}

Test(blist, fill_allocates_and_counts_what_was_free)
{
	struct blist *bl = make_free(100000);

	cr_assert_eq(blist_fill(bl, 10, 5), 5);
	cr_assert_eq(blist_fill(bl, 0, 100), 95);
	cr_assert_eq(blist_fill(bl, 0, 100), 0);
	cr_assert_eq(blist_fill(bl, 99990, UINT64_MAX), 10, "only up to the end");
	cr_assert_eq(blist_fill(bl, 100000, 1), 0);
	cr_assert_eq(blist_fill(bl, 50000, 20000), 20000);
	cr_assert_eq(blist_avail(bl), 100000 - 100 - 10 - 20000);
	cr_assert_eq(blist_longest(bl), 49900);
	cr_assert_not(blist_is_allocated(bl, 0, 101));
	cr_assert(blist_is_allocated(bl, 99990, 1000), "nothing is free behind the end");
	cr_assert(blist_check(bl));
	blist_destroy(bl);
}

Test(blist, growing_adds_allocated_blocks)
{
	struct blist *bl = make_free(1);
	uint64_t was = 1;

	for (uint64_t to = 3; to < TiB * 16; to = to * 5 + 1) {
		cr_assert_eq(blist_resize(bl, to), 0);
		cr_assert_eq(blist_blocks(bl), to);
		cr_assert_eq(blist_avail(bl), was);
		cr_assert_eq(blist_longest(bl), was);
		cr_assert(blist_is_allocated(bl, was, to - was));
		cr_assert(blist_free(bl, was, to - was));
		cr_assert(blist_check(bl));
		was = to;
	}
	blist_destroy(bl);
}

Test(blist, shrinking_forgets)
{
	struct blist *bl = make_free(TiB);

	for (uint64_t to = TiB - 1; to > 0; to /= 3) {
		uint64_t before = blist_blocks(bl);

		cr_assert_eq(blist_resize(bl, to), 0);
		cr_assert_eq(blist_avail(bl), to);
		cr_assert_not(blist_free(bl, to, 1), "no longer there");
		cr_assert(blist_check(bl));
		/* what comes back does so allocated, whatever it was */
		cr_assert_eq(blist_resize(bl, before), 0);
		cr_assert_eq(blist_avail(bl), to);
		cr_assert(blist_is_allocated(bl, to, before - to));
		cr_assert(blist_check(bl));
		cr_assert_eq(blist_resize(bl, to), 0);
	}
	blist_destroy(bl);
}

/* The new root has been uniform, so far only in the opinion of its parent. */
Test(blist, shrinking_to_a_uniform_subtree)
{
	for (int all_free = 0; all_free < 2; all_free++) {
		struct blist *bl = make(TiB);

		/* contents that are stale in a moment */
		cr_assert(blist_free(bl, 7, 200));
		cr_assert_eq(blist_fill(bl, 0, TiB), 200);
		if (all_free)
			cr_assert(blist_free(bl, 0, TiB));
		cr_assert_eq(blist_resize(bl, 1024), 0);
		cr_assert(blist_check(bl));
		cr_assert_eq(blist_longest(bl), all_free ? 1024 : 0);
		cr_assert_eq(blist_alloc(bl, 1), all_free ? 0 : BLIST_NONE);
		blist_destroy(bl);
	}
}

Test(blist, resize_that_is_refused_changes_nothing)
{
	struct blist *bl = make_free(1000);
	unsigned long mapped, resident;
	struct rlimit old, small;
	int rc;

	cr_assert_eq(blist_resize(bl, 0), -EINVAL);
	cr_assert_eq(blist_resize(bl, BLIST_MAX_BLOCKS + 1), -EINVAL);

	/* the leaves, 128 MiB, fit and what stands above them does not */
	process_pages(&mapped, &resident);
	cr_assert_eq(getrlimit(RLIMIT_AS, &old), 0);
	small = old;
	small.rlim_cur = (rlim_t)mapped * (rlim_t)sysconf(_SC_PAGESIZE) + (UINT64_C(132) << 20);
	cr_assert_eq(setrlimit(RLIMIT_AS, &small), 0);
	rc = blist_resize(bl, UINT64_C(1) << 30);
	cr_assert_eq(setrlimit(RLIMIT_AS, &old), 0);

	cr_assert_eq(rc, -ENOMEM);
	cr_assert_eq(blist_blocks(bl), 1000);
	cr_assert_eq(blist_avail(bl), 1000);
	cr_assert_lt(blist_memory(bl), 1 << 20);
	cr_assert(blist_check(bl));
	cr_assert_eq(blist_alloc(bl, 1000), 0);
	blist_destroy(bl);
}

Test(blist, largest_size_needs_little_memory_until_it_is_used)
{
	unsigned long mapped, before, after;
	struct blist *bl;
	uint64_t got;

	process_pages(&mapped, &before);
	bl = make_free(BLIST_MAX_BLOCKS);
	cr_assert_eq(blist_longest(bl), BLIST_MAX_BLOCKS);
	cr_assert_eq(blist_alloc_near(bl, 1, BLIST_MAX_BLOCKS / 2 + 1),
		     BLIST_MAX_BLOCKS / 2 + 1);
	cr_assert_eq(blist_alloc_most(bl, BLIST_MAX_BLOCKS, 0, &got), 0);
	cr_assert_eq(got, BLIST_MAX_BLOCKS / 2 + 1);
	cr_assert(blist_free(bl, 12345, UINT64_C(1) << 38));
	cr_assert_eq(blist_fill(bl, BLIST_MAX_BLOCKS - 77, 77), 77);
	cr_assert_not(blist_free(bl, 0, BLIST_MAX_BLOCKS));
	cr_assert(blist_check(bl));
	process_pages(&mapped, &after);
	/* a page a level and place that was touched; huge pages may be more of it */
	cr_assert_lt((after - before) * (unsigned long)sysconf(_SC_PAGESIZE), 128ul << 20);
	blist_destroy(bl);
}

Test(blist, both_ends_of_the_largest_size_are_used)
{
	static const uint64_t sizes[] = { 1, 16, 64, 100, 20000 };
	const uint64_t end = BLIST_MAX_BLOCKS;
	unsigned long mapped, before, after;
	struct blist *bl;

	process_pages(&mapped, &before);
	bl = make(end);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t n = sizes[i], got;

		cr_assert(blist_free(bl, 0, n));
		cr_assert(blist_free(bl, end - n, n));
		cr_assert_not(blist_free(bl, end - 1, 1));
		cr_assert_eq(blist_longest(bl), n);
		cr_assert_eq(blist_alloc_near(bl, n, end / 2), end - n);
		cr_assert_eq(blist_alloc_most(bl, n + 1, end - 1, &got), 0);
		cr_assert_eq(got, n);
		cr_assert_eq(blist_avail(bl), 0);
		/* and in all of it, free */
		cr_assert(blist_free(bl, 0, end));
		cr_assert_eq(blist_alloc(bl, n), 0);
		cr_assert_eq(blist_alloc_near(bl, n, end - n), end - n);
		cr_assert_eq(blist_longest(bl), end - 2 * n);
		cr_assert(blist_check(bl));
		cr_assert_eq(blist_fill(bl, 0, end), end - 2 * n);
	}
	cr_assert_leq((double)blist_memory(bl) * 8 / (double)end, 2.2);
	process_pages(&mapped, &after);
	/* of 200 GiB of addresses; huge pages may be more of it than small ones */
	cr_assert_lt((after - before) * (unsigned long)sysconf(_SC_PAGESIZE), 128ul << 20);
	blist_destroy(bl);
}

Test(blist, memory_is_given_back)
{
	unsigned long before, after, resident;
	struct blist *bl = make_free(TiB);
	uint64_t full = blist_memory(bl);

	cr_assert_eq(blist_resize(bl, 1), 0);
	cr_assert_lt(blist_memory(bl), full / 1000);
	blist_destroy(bl);

	process_pages(&before, &resident);
	for (int i = 0; i < 20; i++)
		blist_destroy(make_free(TiB));
	process_pages(&after, &resident);
	cr_assert_lt((after - before) * (unsigned long)sysconf(_SC_PAGESIZE), full);
}

Test(blist, two_bits_a_block)
{
	for (uint64_t blocks = UINT64_C(1) << 20; blocks <= BLIST_MAX_BLOCKS; blocks *= 2) {
		struct blist *bl = make(blocks);

		cr_assert_leq((double)blist_memory(bl) * 8 / (double)blocks, 2.2);
		blist_destroy(bl);
	}
}

/* 16 at a time, every second page back, then the rest: as a pager may use it. */
Test(blist, clusters_out_and_pages_back)
{
	const uint64_t blocks = UINT64_C(1) << 22;
	struct blist *bl = make_free(blocks);

	for (uint64_t at = 0; at < blocks; at += 16)
		cr_assert_eq(blist_alloc(bl, 16), at);
	cr_assert_eq(blist_alloc(bl, 1), BLIST_NONE);
	for (uint64_t at = 0; at < blocks; at += 2)
		cr_assert(blist_free(bl, at, 1));
	cr_assert_eq(blist_longest(bl), 1);
	cr_assert_eq(blist_alloc(bl, 2), BLIST_NONE);
	cr_assert(blist_check(bl));
	for (uint64_t at = 1; at < blocks; at += 2)
		cr_assert(blist_free(bl, at, 1));
	cr_assert_eq(blist_longest(bl), blocks);
	cr_assert(blist_check(bl));
	blist_destroy(bl);
}

static const struct {
	uint64_t granules, scale;
	unsigned ops;
} shapes[] = {
	{ 1, 1, 2000 },
	{ 63, 1, 20000 },
	{ 64, 1, 20000 },
	{ 65, 1, 20000 },
	{ 1023, 1, 50000 },
	{ 1024, 1, 50000 },
	{ 1025, 1, 50000 },
	{ 777, 1, 50000 },
	{ 16384, 1, 20000 },
	{ 16399, 1, 20000 },
	{ 300001, 1, 2000 },
	{ 1, 64, 2000 },
	{ 100, 63, 50000 },
	{ 100, 65, 50000 },
	{ 1000, 1000, 50000 },
	{ 500, 262144, 30000 },
	{ 4000, 12345, 30000 },
	{ 1000, 1048583, 30000 },
	{ 5000, 99999989, 20000 },
};

Test(blist, equals_a_bitmap, .timeout = 120)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct model m;

		cr_assert(model_open(&m, shapes[i].granules, shapes[i].scale, 1000 + i));
		for (unsigned op = 0; op < shapes[i].ops; op++) {
			cr_assert(model_step(&m), "shape %zu, operation %u: %s", i, op,
				  m.error);
			if (op % (shapes[i].ops / 16) == 0)
				cr_assert(model_compare(&m), "shape %zu, operation %u: %s", i,
					  op, m.error);
		}
		cr_assert(model_compare(&m), "shape %zu: %s", i, m.error);
		model_close(&m);
	}
}
