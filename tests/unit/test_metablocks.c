/* SPDX-License-Identifier: BSD-2-Clause */
/* Which blocks look like metadata: what is told apart, what is forgotten, how often it errs. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "vmm/metablocks.h"

#define LIMIT .timeout = 60
#define BLOCK 4096u
#define HOT   4000u

static struct metablocks *m;

static void set_up(void)
{
	m = calloc(1, sizeof(*m));
	cr_assert_not_null(m);
}

static void tear_down(void)
{
	free(m);
}

TestSuite(metablocks, .init = set_up, .fini = tear_down, LIMIT);

static void small(uint64_t block)
{
	metablocks_note(m, block, 1, BLOCK);
}

/* Blocks that are nowhere near each other, and of all sizes of images; never the same. */
static uint64_t hot(uint64_t i)
{
	return i * 977 + (i % 5) * (UINT64_C(1) << 30);
}

static uint64_t stream(uint64_t i)
{
	return (UINT64_C(1) << 36) + i * 3;
}

static unsigned int found(uint64_t n)
{
	unsigned int k = 0;

	for (uint64_t i = 0; i < n; i++)
		k += metablocks_has(m, hot(i));
	return k;
}

Test(metablocks, size)
{
	cr_assert_leq(sizeof(*m), (64u << 10) + 64);
}

Test(metablocks, twice_by_small_requests)
{
	cr_assert_not(metablocks_has(m, 0), "of nothing");
	small(0);
	small(7);
	cr_assert_not(metablocks_has(m, 0));
	small(0);
	cr_assert(metablocks_has(m, 0));
	cr_assert_not(metablocks_has(m, 7));
	cr_assert_not(metablocks_has(m, 1));

	/* 16 KiB is small */
	for (int i = 0; i < 2; i++)
		metablocks_note(m, 100, 4, METABLOCKS_SMALL);
	for (uint64_t b = 100; b < 104; b++)
		cr_assert(metablocks_has(m, b));
	cr_assert_not(metablocks_has(m, 99));
	cr_assert_not(metablocks_has(m, 104));

	/* 512 bytes more is not, although they are of the same blocks but one */
	for (int i = 0; i < 2; i++)
		metablocks_note(m, 200, 5, METABLOCKS_SMALL + 512);
	for (uint64_t b = 200; b < 205; b++)
		cr_assert_not(metablocks_has(m, b));
}

Test(metablocks, part_of_a_large_request_is_data)
{
	for (int i = 0; i < 5; i++)
		small(1000);
	cr_assert(metablocks_has(m, 1000));
	metablocks_note(m, 990, 32, 32 * BLOCK);
	cr_assert_not(metablocks_has(m, 1000));
	/* it begins anew */
	small(1000);
	cr_assert_not(metablocks_has(m, 1000));
	small(1000);
	cr_assert(metablocks_has(m, 1000));
	/* what was read once begins anew too */
	small(1001);
	metablocks_note(m, 990, 32, 32 * BLOCK);
	small(1001);
	cr_assert_not(metablocks_has(m, 1001));
}

Test(metablocks, hot_blocks_are_found_within_a_stream)
{
	const uint64_t each = 1000000 / HOT;
	uint64_t k = 0;

	/* each of them once for 4,000 and once for 250,000 others: two of them in a round */
	for (unsigned int pass = 0; pass < 4; pass++)
		for (uint64_t i = 0; i < HOT; i++) {
			small(hot(i));
			for (uint64_t n = 0; n < each / 4; n++)
				small(stream(k++));
			if (pass == 0) /* the second time soon, as directories are read */
				small(hot(i));
		}
	cr_assert_geq(found(HOT), HOT * 98 / 100, "%u", found(HOT));
}

/* Which of a million blocks that are read once, or were not read, look like metadata? */
Test(metablocks, false_positives)
{
	const uint64_t n = 1000000;
	uint64_t read = 0, unread = 0;

	for (uint64_t i = 0; i < n; i++) {
		if (i % 16 == 0) { /* there is metadata all the time, the table is full of it */
			small(hot(i / 16 % 20000));
			small(hot(i / 16 % 20000));
		}
		small(stream(i));
		read += metablocks_has(m, stream(i));
	}
	for (uint64_t i = 0; i < n; i++)
		unread += metablocks_has(m, stream(n + i));
	cr_assert_gt(found(20000), 10000, "%u", found(20000));
	cr_assert_leq(read, n / 1000, "%lu", (unsigned long)read);
	cr_assert_leq(unread, n / 1000, "%lu", (unsigned long)unread);
}

Test(metablocks, a_scan_displaces_none)
{
	for (int pass = 0; pass < 2; pass++)
		for (uint64_t i = 0; i < HOT; i++)
			small(hot(i));
	for (uint64_t i = 0; i < METABLOCKS_AGE * METABLOCKS_BUCKETS / 2; i++)
		small(stream(i));
	cr_assert_geq(found(HOT), HOT * 98 / 100, "%u", found(HOT));
}

Test(metablocks, what_is_read_no_more_is_forgotten)
{
	const uint64_t round = METABLOCKS_AGE * METABLOCKS_BUCKETS;
	uint64_t k = 0;

	for (int pass = 0; pass < 2; pass++)
		for (uint64_t i = 0; i < HOT; i++)
			small(hot(i));
	/* one of them is read once in a round: it stays */
	for (int r = 0; r < 6; r++) {
		for (uint64_t i = 0; i < round - 1; i++)
			small(stream(k++));
		small(hot(0));
		cr_assert(metablocks_has(m, hot(0)), "round %d", r);
	}
	cr_assert_leq(found(HOT), 1 + HOT / 500, "%u", found(HOT));
}

/* More metadata than fits: the last that was read stays, and the table is put to use. */
Test(metablocks, the_oldest_goes)
{
	const uint64_t n = 100000;
	unsigned int newest = 0, oldest = 0;

	for (uint64_t i = 0; i < n; i++) {
		small(hot(i));
		small(hot(i));
	}
	for (uint64_t i = 0; i < 10000; i++) {
		newest += metablocks_has(m, hot(n - 1 - i));
		oldest += metablocks_has(m, hot(i));
	}
	cr_assert_geq(newest, 9700, "%u", newest);
	cr_assert_leq(oldest, 100, "%u", oldest);
}
