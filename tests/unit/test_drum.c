/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The drum's addresses (priorities, turns, levels, bad blocks), and the I/O of
 * a device: against one that does what the test says, and against a real file.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "swap/blist.h"
#include "swap/drum.h"
#include "swap/sums.h"

#define LIMIT .timeout = 30

/* Without I/O; its identity is ino. */
static struct swap_device *dummy(uint64_t ino, uint64_t blocks)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct swap_device *dev;

	cr_assert_geq(fd, 0);
	dev = device_file_create("file", "/a/swap/file", fd, 1, ino, blocks * SWAP_BLOCK, 0);
	cr_assert_not_null(dev);
	return dev;
}

static struct drum *make(void)
{
	struct drum *d = drum_create();

	cr_assert_not_null(d);
	return d;
}

/* => its number, which is also its ino where a test adds all in order */
static unsigned int add(struct drum *d, uint64_t ino, uint64_t blocks, int priority)
{
	int n = drum_add(d, dummy(ino, blocks), priority, 0);

	cr_assert_gt(n, 0);
	return (unsigned int)n;
}

/* Allocate n, and say on which device: all of it must come. */
static unsigned int alloc_on(struct drum *d, uint64_t n)
{
	uint64_t got;
	drum_addr a = drum_alloc(d, NULL, n, &got);

	cr_assert_neq(a, DRUM_NONE);
	cr_assert_eq(got, n);
	return drum_device_of(a);
}

static void none_is_free(struct drum *d)
{
	uint64_t got = 1;

	cr_assert_eq(drum_alloc(d, NULL, 1, &got), DRUM_NONE);
	cr_assert_eq(got, 0);
	cr_assert_eq(drum_avail(d), 0);
}

/* --- allocation ------------------------------------------------------------------ */

Test(drum, addresses)
{
	drum_addr a = drum_make(64, BLIST_MAX_BLOCKS - 1);

	cr_assert_eq(drum_device_of(a), 64);
	cr_assert_eq(drum_block_of(a), BLIST_MAX_BLOCKS - 1);
	cr_assert_eq(a & DRUM_ADDR_MASK, a, "it leaves the flags of a swblock's word alone");
	cr_assert_neq(drum_make(1, 0), DRUM_NONE);
}

Test(drum, empty)
{
	struct drum *d = make();

	none_is_free(d);
	cr_assert_eq(drum_blocks(d), 0);
	cr_assert_eq(drum_level(d), DRUM_FULL);
	cr_assert_eq(drum_stats(d, NULL, 0), 0);
	cr_assert_str_eq(drum_path(d, drum_make(1, 0)), "(no device)");
	drum_destroy(d);
	drum_destroy(NULL);
}

/* Every block is handed out once, and none that there is not. */
Test(drum, all_of_it)
{
	enum { A = 1000, B = 77 };
	struct drum *d = make();
	bool seen[3][A] = { 0 };
	uint64_t got, total = 0;
	drum_addr a;

	add(d, 1, A, 0);
	add(d, 2, B, 0);
	cr_assert_eq(drum_blocks(d), A + B);
	while ((a = drum_alloc(d, NULL, 9, &got)) != DRUM_NONE) {
		cr_assert(got >= 1 && got <= 9);
		for (uint64_t i = 0; i < got; i++) {
			bool *s = &seen[drum_device_of(a)][drum_block_of(a) + i];

			cr_assert_lt(drum_block_of(a) + i, drum_device_of(a) == 1 ? A : B);
			cr_assert_not(*s);
			*s = true;
		}
		total += got;
		cr_assert_eq(drum_avail(d), A + B - total);
	}
	cr_assert_eq(total, A + B);
	none_is_free(d);
	drum_free(d, NULL, drum_make(1, 0), A);
	drum_free(d, NULL, drum_make(2, 0), B);
	cr_assert_eq(drum_avail(d), A + B);
	drum_destroy(d);
}

Test(drum, higher_priority_first)
{
	struct drum *d = make();
	uint64_t got;
	drum_addr a;

	/* not in their order, and below 0 too */
	add(d, 1, 100, -3);
	add(d, 2, 20, 7);
	add(d, 3, 30, 2);
	cr_assert_eq(alloc_on(d, 8), 2);
	cr_assert_eq(alloc_on(d, 8), 2);
	/* 4 are left there: they go before any of the next priority */
	a = drum_alloc(d, NULL, 8, &got);
	cr_assert_eq(drum_device_of(a), 2);
	cr_assert_eq(got, 4, "less, but of the fast one");
	for (int i = 0; i < 3; i++)
		cr_assert_eq(alloc_on(d, 10), 3);
	cr_assert_eq(alloc_on(d, 10), 1);

	/* what is free again there is taken at once */
	drum_free(d, NULL, drum_make(2, 5), 1);
	cr_assert_eq(alloc_on(d, 1), 2);
	cr_assert_eq(alloc_on(d, 1), 1);
	drum_destroy(d);
}

Test(drum, equals_take_turns)
{
	static const unsigned int want[] = { 1, 2, 3, 1, 2, 3, 1, 2, 3 };
	struct drum *d = make();

	for (uint64_t i = 1; i <= 3; i++)
		add(d, i, 1000, 5);
	add(d, 4, 1000, 4);
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		cr_assert_eq(alloc_on(d, 1 + i % 3), want[i], "allocation %zu", i);
	/* a new one is behind those that are there, and before the lower */
	add(d, 5, 1000, 5);
	cr_assert_eq(alloc_on(d, 1), 1);
	cr_assert_eq(alloc_on(d, 1), 2);
	cr_assert_eq(alloc_on(d, 1), 3);
	cr_assert_eq(alloc_on(d, 1), 5);
	cr_assert_eq(alloc_on(d, 1), 1);
	drum_destroy(d);
}

Test(drum, a_full_one_misses_its_turn)
{
	struct drum *d = make();

	add(d, 1, 1000, 0);
	add(d, 2, 2, 0);
	add(d, 3, 1000, 0);
	cr_assert_eq(alloc_on(d, 2), 1);
	cr_assert_eq(alloc_on(d, 2), 2);
	for (int i = 0; i < 4; i++) {
		cr_assert_eq(alloc_on(d, 2), 3);
		cr_assert_eq(alloc_on(d, 2), 1);
	}
	drum_free(d, NULL, drum_make(2, 0), 2);
	cr_assert_eq(alloc_on(d, 2), 2, "it waits longest");
	drum_destroy(d);
}

/* All of it from any equal, though it is not its turn, rather than less. */
Test(drum, less_only_where_no_equal_has_more)
{
	struct drum *d = make();
	uint64_t got;
	drum_addr a;

	add(d, 1, 5, 0);
	add(d, 2, 20, 0);
	add(d, 3, 1000, -1);
	cr_assert_eq(alloc_on(d, 16), 2);
	a = drum_alloc(d, NULL, 16, &got);
	cr_assert_eq(a, drum_make(1, 0));
	cr_assert_eq(got, 5);
	a = drum_alloc(d, NULL, 16, &got);
	cr_assert_eq(a, drum_make(2, 16));
	cr_assert_eq(got, 4);
	cr_assert_eq(alloc_on(d, 16), 3);
	drum_destroy(d);
}

/* A run is never longer than what is free in one piece. */
Test(drum, runs_in_a_fragmented_device)
{
	struct drum *d = make();
	uint64_t got;
	drum_addr a;

	add(d, 1, 100, 0);
	cr_assert_eq(alloc_on(d, 100), 1);
	for (uint64_t i = 0; i < 100; i += 10)
		drum_free(d, NULL, drum_make(1, i), 3);
	drum_free(d, NULL, drum_make(1, 53), 2); /* 50 to 54 */
	a = drum_alloc(d, NULL, 8, &got);
	cr_assert_eq(a, drum_make(1, 50));
	cr_assert_eq(got, 5);
	for (int i = 0; i < 9; i++) {
		a = drum_alloc(d, NULL, 8, &got);
		cr_assert_eq(got, 3);
		cr_assert_eq(drum_block_of(a) % 10, 0);
	}
	none_is_free(d);
	drum_destroy(d);
}

/* Freed blocks are not the next to be used: the search goes on behind the last. */
Test(drum, blocks_are_used_in_a_circle)
{
	struct drum *d = make();
	uint64_t got;

	add(d, 1, 100, 0);
	for (uint64_t i = 0; i < 10; i++) {
		cr_assert_eq(drum_alloc(d, NULL, 10, &got), drum_make(1, i * 10));
		drum_free(d, NULL, drum_make(1, i * 10), 10);
	}
	cr_assert_eq(drum_alloc(d, NULL, 10, &got), drum_make(1, 0));
	drum_destroy(d);
}

/* --- devices ---------------------------------------------------------------------- */

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

Test(drum, same_device_twice)
{
	struct drum *d = make();
	struct swap_device *again, *other;
	int fd, n;

	add(d, 7, 100, 0);
	again = dummy(7, 200);
	fd = again->fd;
	n = drum_add(d, again, 5, 0);
	cr_assert_eq(n, -EBUSY);
	cr_assert_not(is_open(fd), "it is the drum's also on failure");
	cr_assert_eq(drum_blocks(d), 100);
	cr_assert_eq(drum_avail(d), 100);
	cr_assert_eq(drum_stats(d, NULL, 0), 1);

	/* the same inode of another file system is another file */
	other = dummy(7, 50);
	other->dev = 2;
	n = drum_add(d, other, 0, 0);
	cr_assert_eq(n, 2);
	drum_destroy(d);
}

Test(drum, numbers)
{
	struct drum *d = make();
	uint64_t got;
	int n, fd;

	n = drum_add(d, dummy(1, 10), 0, 3);
	cr_assert_eq(n, 3);
	cr_assert_eq(drum_device_of(drum_alloc(d, NULL, 1, &got)), 3);
	n = drum_add(d, dummy(2, 10), 0, 3);
	cr_assert_eq(n, -EBUSY, "its addresses are another's");
	n = drum_add(d, dummy(2, 10), 0, DRUM_DEVICES_MAX + 1);
	cr_assert_eq(n, -ENOSPC);
	/* all the others are given out, the lowest first */
	for (int i = 1; i < DRUM_DEVICES_MAX; i++) {
		n = drum_add(d, dummy(100 + (uint64_t)i, 10), 0, 0);
		cr_assert_eq(n, i < 3 ? i : i + 1);
	}
	{
		struct swap_device *one_more = dummy(2, 10);

		fd = one_more->fd;
		n = drum_add(d, one_more, 0, 0);
	}
	cr_assert_eq(n, -ENOSPC);
	cr_assert_not(is_open(fd));
	cr_assert_eq(drum_blocks(d), 10 * DRUM_DEVICES_MAX);
	for (int i = 0; i < 10 * DRUM_DEVICES_MAX - 1; i++)
		alloc_on(d, 1);
	none_is_free(d);
	drum_destroy(d);
}

Test(drum, stats)
{
	struct drum_device_stats s[4];
	struct swap_device *dev = dummy(1, 100);
	struct drum *d = make();
	uint64_t got;
	int n = drum_add(d, dev, 3, 2);

	cr_assert_eq(n, 2);
	add(d, 9, 50, -1);
	cr_assert_eq(drum_alloc(d, NULL, 10, &got), drum_make(2, 0));
	memset(s, 0, sizeof(s));
	cr_assert_eq(drum_stats(d, s, 1), 2, "as many as there are");
	cr_assert_eq(s[1].number, 0, "no more than there is room for");
	cr_assert_eq(drum_stats(d, s, 4), 2);
	cr_assert(s[0].number == 1 && s[0].priority == -1 && s[0].blocks == 50);
	cr_assert(s[0].used == 0 && s[0].bad == 0);
	cr_assert(s[1].number == 2 && s[1].priority == 3 && s[1].blocks == 100);
	cr_assert(s[1].used == 10 && s[1].bad == 0 && s[1].dev == dev);
	cr_assert_str_eq(drum_path(d, drum_make(2, 5)), "/a/swap/file");
	cr_assert_str_eq(drum_path(d, drum_make(3, 5)), "(no device)");
	cr_assert_str_eq(drum_path(d, DRUM_NONE), "(no device)");
	cr_assert_str_eq(drum_path(d, UINT64_MAX), "(no device)");
	drum_destroy(d);
}

Test(drum, bad_blocks_are_not_used)
{
	struct drum_device_stats s;
	struct drum *d = make();
	uint64_t got;

	add(d, 1, 100, 0);
	cr_assert_eq(drum_alloc(d, NULL, 16, &got), drum_make(1, 0));
	drum_mark_bad(d, NULL, drum_make(1, 3));
	drum_mark_bad(d, NULL, drum_make(1, 9));
	cr_assert_eq(drum_blocks(d), 98);
	cr_assert_eq(drum_avail(d), 84);
	cr_assert_eq(drum_stats(d, &s, 1), 1);
	cr_assert(s.blocks == 100 && s.bad == 2 && s.used == 14);

	drum_free(d, NULL, drum_make(1, 0), 3);
	drum_free(d, NULL, drum_make(1, 4), 5);
	drum_free(d, NULL, drum_make(1, 10), 6);
	cr_assert_eq(drum_stats(d, &s, 1), 1);
	cr_assert(s.bad == 2 && s.used == 0);
	cr_assert_eq(drum_avail(d), drum_blocks(d));
	for (int i = 0; i < 98; i++) {
		drum_addr a = drum_alloc(d, NULL, 1, &got);

		cr_assert(a != drum_make(1, 3) && a != drum_make(1, 9));
	}
	none_is_free(d);
	drum_destroy(d);
}

/* Recovery finds blocks, in any order, before anything is allocated. */
Test(drum, claim)
{
	struct drum *d = make();
	uint64_t got;

	add(d, 1, 100, 0);
	cr_assert_eq(drum_claim(d, NULL, drum_make(1, 99)), 0);
	cr_assert_eq(drum_claim(d, NULL, drum_make(1, 0)), 0);
	cr_assert_eq(drum_claim(d, NULL, drum_make(1, 0)), -EEXIST);
	cr_assert_eq(drum_claim(d, NULL, drum_make(1, 100)), -ENODEV);
	cr_assert_eq(drum_claim(d, NULL, drum_make(2, 0)), -ENODEV);
	cr_assert_eq(drum_claim(d, NULL, DRUM_NONE), -ENODEV);
	cr_assert_eq(drum_claim(d, NULL, UINT64_MAX), -ENODEV);
	cr_assert_eq(drum_avail(d), 98);
	cr_assert_eq(drum_alloc(d, NULL, 100, &got), drum_make(1, 1));
	cr_assert_eq(got, 98);
	cr_assert_eq(drum_claim(d, NULL, drum_make(1, 50)), -EEXIST);
	drum_free(d, NULL, drum_make(1, 99), 1);
	cr_assert_eq(drum_claim(d, NULL, drum_make(1, 99)), 0);
	none_is_free(d);
	drum_destroy(d);
}

/* 100 blocks, of which 10 to 19 are allocated. */
static const struct {
	unsigned int device;
	uint64_t block, n;
} wrong_frees[] = {
	{ 1, 5, 1 },	       /* free already */
	{ 1, 10, 11 },	       /* its last one is */
	{ 1, 9, 2 },	       /* its first one is */
	{ 1, 100, 1 },	       /* there is no such block */
	{ 1, 10, UINT64_MAX }, /* nor so many */
	{ 2, 0, 1 },	       /* nor such a device */
	{ 0, 10, 1 },	       /* DRUM_NONE's */
	{ 70, 10, 1 },	       /* more than there can be */
};

static int indices[sizeof(wrong_frees) / sizeof(wrong_frees[0])];

ParameterizedTestParameters(drum, wrong_free_aborts)
{
	size_t n = sizeof(indices) / sizeof(indices[0]);

	for (size_t i = 0; i < n; i++)
		indices[i] = (int)i;
	return cr_make_param_array(int, indices, n);
}

ParameterizedTest(int *i, drum, wrong_free_aborts, .signal = SIGABRT)
{
	struct drum *d = make();

	add(d, 1, 100, 0);
	for (uint64_t k = 10; k < 20; k++)
		cr_assert_eq(drum_claim(d, NULL, drum_make(1, k)), 0);
	drum_free(d, NULL, drum_make(wrong_frees[*i].device, wrong_frees[*i].block),
		  wrong_frees[*i].n);
}

Test(drum, failure_on_a_device_that_is_gone)
{
	struct drum *d = make();
	unsigned int n = add(d, 1, 10, 0);
	struct swap_device *dev;
	uint64_t got;
	drum_addr a = drum_alloc(d, NULL, 1, &got);

	drum_free(d, NULL, a, 1);
	dev = drum_remove(d, n);
	cr_assert_not_null(dev);
	device_close(dev);
	drum_write_failed(d, a);
	cr_assert(!drum_resting(d));
	drum_destroy(d);
}

Test(drum, held_blocks_are_free_after_a_while)
{
	struct drum *d = make();
	unsigned int n = add(d, 1, 10, 0);
	uint64_t got, then;
	drum_addr a = drum_alloc(d, NULL, 10, &got);

	cr_assert_eq(got, 10);
	drum_hold(d, NULL, a + 2, 2);
	drum_hold(d, NULL, a + 4, 1);
	drum_hold(d, NULL, a + 9, 1);
	then = clock_ns() + DRUM_HOLD_NS;
	drum_release_held(d, then - DRUM_HOLD_NS);
	none_is_free(d);
	drum_free(d, NULL, a, 2);
	drum_free(d, NULL, a + 5, 4);
	cr_assert_eq(drum_avail(d), 6);
	cr_assert_null(drum_remove(d, n), "held is in use");
	drum_release_held(d, then);
	drum_release_held(d, then);
	cr_assert_eq(drum_avail(d), 10);
	drum_destroy(d);
}

Test(drum, more_held_blocks_than_there_can_be_are_bad, LIMIT)
{
	const uint64_t many = 16384 + 5;
	struct drum *d = make();
	uint64_t got;
	drum_addr a;

	add(d, 1, many, 0);
	a = drum_alloc(d, NULL, many, &got);
	cr_assert_eq(got, many);
	for (uint64_t i = 0; i < many; i++)
		drum_hold(d, NULL, a + many - 1 - i, 1); /* no two make a run */
	drum_release_held(d, UINT64_MAX);
	cr_assert_eq(drum_avail(d), many - 5);
	cr_assert_eq(drum_blocks(d), many - 5);
	drum_destroy(d);
}

Test(drum, double_free_aborts, .signal = SIGABRT)
{
	struct drum *d = make();
	uint64_t got;
	drum_addr a;

	add(d, 1, 100, 0);
	a = drum_alloc(d, NULL, 10, &got);
	drum_free(d, NULL, a, 10);
	cr_assert_eq(drum_avail(d), 100, "the first one is right");
	drum_free(d, NULL, a, 10);
}

/* --- levels ------------------------------------------------------------------------ */

struct told {
	struct drum *drum;
	int n;
	struct {
		enum drum_level level;
		uint64_t avail;
	} at[64];
};

static void tell(void *arg, enum drum_level level)
{
	struct told *t = arg;

	cr_assert_lt(t->n, 64);
	t->at[t->n].level = level;
	/* it would wait for ever if the mutex were held */
	t->at[t->n++].avail = drum_avail(t->drum);
	cr_assert_eq(drum_level(t->drum), level);
}

static void told_last(const struct told *t, int n, enum drum_level level, uint64_t avail)
{
	cr_assert_eq(t->n, n, "told %d times, not %d", t->n, n);
	cr_assert_eq(t->at[n - 1].level, level);
	cr_assert_eq(t->at[n - 1].avail, avail);
}

Test(drum, each_edge_is_told_once, LIMIT)
{
	enum { N = 1024 };
	struct told t = { .drum = make() };
	uint64_t got;

	drum_on_level(t.drum, tell, &t);
	add(t.drum, 1, N, 0);
	told_last(&t, 1, DRUM_OK, N);

	for (int i = 0; i < N; i++)
		cr_assert_neq(drum_alloc(t.drum, NULL, 1, &got), DRUM_NONE);
	cr_assert_eq(t.n, 3);
	cr_assert(t.at[1].level == DRUM_LOW && t.at[1].avail == DRUM_LOW_BLOCKS - 1);
	told_last(&t, 3, DRUM_FULL, 0);
	none_is_free(t.drum);
	cr_assert_eq(t.n, 3);

	for (uint64_t i = 0; i < N; i++)
		drum_free(t.drum, NULL, drum_make(1, i), 1);
	/* full to the mark: a block that is free for a moment is no edge */
	told_last(&t, 4, DRUM_OK, DRUM_OK_BLOCKS);
	drum_destroy(t.drum);
}

/* Between the two marks nothing is told, whatever the level was. */
Test(drum, nothing_is_told_between_the_marks, LIMIT)
{
	struct told t = { .drum = make() };

	add(t.drum, 1, 1024, 0);
	drum_on_level(t.drum, tell, &t);
	cr_assert_eq(alloc_on(t.drum, 1024 - DRUM_LOW_BLOCKS), 1);
	for (int i = 0; i < 10; i++) {
		drum_free(t.drum, NULL, drum_make(1, 0), DRUM_OK_BLOCKS - DRUM_LOW_BLOCKS - 1);
		for (uint64_t k = 0; k < DRUM_OK_BLOCKS - DRUM_LOW_BLOCKS - 1; k++)
			cr_assert_eq(drum_claim(t.drum, NULL, drum_make(1, k)), 0);
	}
	cr_assert_eq(t.n, 0);
	cr_assert_eq(drum_level(t.drum), DRUM_OK);

	cr_assert_eq(alloc_on(t.drum, 1), 1);
	told_last(&t, 1, DRUM_LOW, DRUM_LOW_BLOCKS - 1);
	for (int i = 0; i < 10; i++) {
		drum_free(t.drum, NULL, drum_make(1, 0), DRUM_OK_BLOCKS - DRUM_LOW_BLOCKS);
		for (uint64_t k = 0; k < DRUM_OK_BLOCKS - DRUM_LOW_BLOCKS; k++)
			cr_assert_eq(drum_claim(t.drum, NULL, drum_make(1, k)), 0);
	}
	cr_assert_eq(t.n, 1);
	cr_assert_eq(drum_level(t.drum), DRUM_LOW);

	/* another device is more swap, too */
	add(t.drum, 2, 1000, -1);
	told_last(&t, 2, DRUM_OK, 1000 + DRUM_LOW_BLOCKS - 1);
	drum_destroy(t.drum);
}

/* --- for the swapcache --------------------------------------------------------------- */

/* With checksums, as a device has when it is switched on. => its number */
static unsigned int add_summed(struct drum *d, uint64_t ino, uint64_t blocks, int priority)
{
	struct swap_device *dev = dummy(ino, blocks);
	struct err e = { 0 };
	int n;

	dev->sums = sums_open(memfd_create("sums", MFD_CLOEXEC), blocks, &e);
	cr_assert_not_null(dev->sums);
	n = drum_add(d, dev, priority, 0);
	cr_assert_gt(n, 0);
	return (unsigned int)n;
}

static void of_another_kind(struct drum *d, unsigned int number, struct swap_device_ops *ops,
			    const char *kind, bool picky)
{
	struct swap_device *dev = drum_device(d, number);

	*ops = *dev->ops;
	ops->kind = kind;
	ops->picky = picky;
	dev->ops = ops;
}

#define ALL_DEVICES (~UINT64_C(0))

/* => the device, or 0 */
static unsigned int cache_on(struct drum *d, uint64_t allowed)
{
	uint64_t got = 99;
	drum_addr a = drum_alloc_cache(d, 4, allowed, &got);

	cr_assert_eq(got, a == DRUM_NONE ? 0 : 4);
	return drum_device_of(a);
}

Test(drum, the_cache_is_on_devices_that_suit)
{
	struct swap_device_ops ram, nbd;
	struct drum *d = make();
	struct swap_device *dev;

	add(d, 1, 1000, 9); /* no checksums */
	add_summed(d, 2, 1000, 8);
	of_another_kind(d, 2, &ram, "ram", true);
	add_summed(d, 3, 1000, 7);
	of_another_kind(d, 3, &nbd, "nbd", false);
	cr_assert_eq(cache_on(d, ALL_DEVICES), 0);
	cr_assert_eq(drum_cache_blocks(d), 0);
	add_summed(d, 4, 1000, 1);
	add_summed(d, 5, 1000, 1);
	add_summed(d, 6, 1000, 0);
	cr_assert_eq(drum_cache_blocks(d), 3000);
	/* by priority, in turns, of those that are allowed */
	cr_assert_eq(cache_on(d, ALL_DEVICES), 4);
	cr_assert_eq(cache_on(d, ALL_DEVICES), 5);
	cr_assert_eq(cache_on(d, ALL_DEVICES), 4);
	cr_assert_eq(cache_on(d, UINT64_C(1) << 4), 4);
	cr_assert_eq(cache_on(d, UINT64_C(1) << 6 | 0xf), 6);
	cr_assert_eq(cache_on(d, 0), 0);
	/* and at work: neither off, away nor resting */
	drum_set_off(d, 4, true);
	cr_assert_eq(cache_on(d, UINT64_C(1) << 4), 0);
	cr_assert_eq(drum_cache_blocks(d), 2000);
	dev = drum_device(d, 5);
	dev->suspended = true;
	cr_assert_eq(cache_on(d, ALL_DEVICES), 6);
	drum_write_failed(d, drum_make(6, 0));
	cr_assert_eq(cache_on(d, ALL_DEVICES), 0);
	cr_assert_eq(drum_cache_blocks(d), 2000, "that is for the moment");
	dev->suspended = false;
	cr_assert_eq(cache_on(d, ALL_DEVICES), 5);
	drum_set_closed(d, true);
	cr_assert_eq(cache_on(d, ALL_DEVICES), 0);
	drum_destroy(d);
}

/* Of all in service that take whatever is written, though the cache may use but one. */
Test(drum, the_cache_leaves_an_eighth)
{
	struct swap_device_ops ram;
	struct drum *d = make();
	uint64_t got;
	drum_addr a;

	add(d, 1, 100, 0);
	add_summed(d, 2, 700, 0);
	add(d, 3, 5000, 0);
	of_another_kind(d, 3, &ram, "ram", true);
	add(d, 4, 5000, 0);
	drum_set_off(d, 4, true);
	cr_assert_eq(alloc_on(d, 100), 1);
	a = drum_alloc_cache(d, 700, ALL_DEVICES, &got);
	cr_assert_eq(a, drum_make(2, 0));
	cr_assert_eq(got, 600);
	cr_assert_eq(drum_alloc_cache(d, 1, ALL_DEVICES, &got), DRUM_NONE);
	cr_assert_eq(got, 0);
	/* bad ones are none: of 792 it is 99 */
	for (uint64_t k = 0; k < 8; k++)
		drum_mark_bad(d, NULL, a + k);
	cr_assert_eq(drum_alloc_cache(d, 5, ALL_DEVICES, &got), drum_make(2, 600));
	cr_assert_eq(got, 1);
	cr_assert_eq(drum_cache_blocks(d), 692);
	/* what would leave a fraction less than that is too much */
	drum_mark_bad(d, NULL, a + 8);
	cr_assert_eq(drum_alloc_cache(d, 1, ALL_DEVICES, &got), DRUM_NONE);
	/* guests may have all of it */
	cr_assert_neq(drum_alloc_plain(d, NULL, 99, &got), DRUM_NONE);
	cr_assert_eq(got, 99);
	drum_destroy(d);
}

struct pressed {
	struct drum *drum;
	int n;
};

static void on_press(void *arg)
{
	struct pressed *p = arg;

	p->n++;
	/* it would wait for ever if the mutex were held */
	(void)drum_avail(p->drum);
}

Test(drum, pressure_is_told_when_there_is_a_cache, LIMIT)
{
	struct pressed p = { .drum = make() };
	uint64_t got;

	add(p.drum, 1, 1600, 0);
	drum_on_pressure(p.drum, on_press, &p);
	cr_assert_eq(alloc_on(p.drum, 1600), 1);
	cr_assert_eq(drum_alloc(p.drum, NULL, 1, &got), DRUM_NONE);
	cr_assert_eq(p.n, 0, "nobody has anything to give");
	drum_free(p.drum, NULL, drum_make(1, 0), 201);
	cr_assert_not(drum_pressure(p.drum));

	drum_count_cached(p.drum, 500);
	drum_count_cached(p.drum, -100);
	cr_assert_eq(drum_cached(p.drum), 400);
	cr_assert_eq(alloc_on(p.drum, 1), 1);
	cr_assert_not(drum_pressure(p.drum), "an eighth is free");
	cr_assert_eq(alloc_on(p.drum, 1), 1);
	cr_assert(drum_pressure(p.drum));
	cr_assert_eq(alloc_on(p.drum, 99), 1);
	cr_assert_eq(p.n, 0, "a 16th is free");
	cr_assert_eq(alloc_on(p.drum, 1), 1);
	cr_assert_eq(p.n, 1);
	cr_assert_eq(alloc_on(p.drum, 50), 1);
	cr_assert_eq(p.n, 1, "once");
	cr_assert(drum_pressure(p.drum));
	cr_assert_eq(alloc_on(p.drum, 1), 1);
	cr_assert_eq(p.n, 2, "it was asked about, and is not over");
	drum_destroy(p.drum);
}

/* An allocation that has found none counts, whatever is free elsewhere. */
Test(drum, pressure_where_nothing_was_found, LIMIT)
{
	struct swap_device_ops ram;
	struct pressed p = { .drum = make() };
	uint64_t got;

	add(p.drum, 1, 100, 0);
	add_summed(p.drum, 2, 1000, 5);
	add(p.drum, 3, 5000, 0);
	of_another_kind(p.drum, 3, &ram, "ram", true);
	drum_on_pressure(p.drum, on_press, &p);
	drum_count_cached(p.drum, 1);
	cr_assert_neq(drum_alloc_plain(p.drum, NULL, 1000, &got), DRUM_NONE);
	cr_assert_eq(p.n, 0);
	cr_assert_neq(drum_alloc_plain(p.drum, NULL, 100, &got), DRUM_NONE);
	cr_assert_eq(p.n, 1, "ram: does not count: %d", p.n);
	cr_assert(drum_pressure(p.drum));
	drum_free(p.drum, NULL, drum_make(2, 0), 1000);
	cr_assert_not(drum_pressure(p.drum));
	/* none that is free is at work */
	drum_write_failed(p.drum, drum_make(2, 0));
	cr_assert_eq(p.n, 1);
	cr_assert_eq(drum_alloc_plain(p.drum, NULL, 1, &got), DRUM_NONE);
	cr_assert_eq(p.n, 2);
	cr_assert(drum_pressure(p.drum));
	cr_assert_not(drum_pressure(p.drum), "it was asked about");
	drum_set_closed(p.drum, true);
	cr_assert_eq(drum_alloc_plain(p.drum, NULL, 1, &got), DRUM_NONE);
	cr_assert_eq(p.n, 2, "that is no guest's need");
	drum_destroy(p.drum);
}

/* What the cache has is as good as free: swap is full when that is used up, too. */
Test(drum, what_is_cached_is_neither_low_nor_full, LIMIT)
{
	enum { N = 2000, CACHED = 1500 };
	struct told t = { .drum = make() };
	uint64_t got;

	add_summed(t.drum, 1, N, 0);
	drum_on_level(t.drum, tell, &t);
	cr_assert_eq(drum_alloc_cache(t.drum, CACHED, ALL_DEVICES, &got), drum_make(1, 0));
	cr_assert_eq(got, CACHED);
	drum_count_cached(t.drum, CACHED);
	while (drum_alloc(t.drum, NULL, 1, &got) != DRUM_NONE)
		;
	cr_assert_eq(drum_avail(t.drum), 0);
	cr_assert_eq(t.n, 0, "it is told that swap is %d", t.at[0].level);
	cr_assert_eq(drum_level(t.drum), DRUM_OK);

	/* it has given all of it up, and guests take that */
	drum_free(t.drum, NULL, drum_make(1, 0), CACHED);
	drum_count_cached(t.drum, -CACHED);
	cr_assert_eq(t.n, 0);
	while (drum_alloc(t.drum, NULL, 1, &got) != DRUM_NONE)
		;
	cr_assert_eq(t.at[0].level, DRUM_LOW);
	told_last(&t, 2, DRUM_FULL, 0);
	drum_destroy(t.drum);
}

/* --- threads ------------------------------------------------------------------------ */

enum { THREADS = 4, SHARED = 500 };

struct party {
	struct drum *drum;
	int owner[3][SHARED]; /* [a] */
	int number;	      /* [a] of threads */
	int clashes;	      /* [a] */
};

static void own(struct party *p, drum_addr a, uint64_t n, int from, int to)
{
	for (uint64_t i = 0; i < n; i++) {
		int *owner = &p->owner[drum_device_of(a)][drum_block_of(a) + i];

		if (__atomic_exchange_n(owner, to, __ATOMIC_RELAXED) != from)
			__atomic_add_fetch(&p->clashes, 1, __ATOMIC_RELAXED);
	}
}

static void *allocate_and_free(void *arg)
{
	struct party *p = arg;
	int me = __atomic_add_fetch(&p->number, 1, __ATOMIC_RELAXED);
	uint32_t random = (uint32_t)me;
	drum_addr held[20] = { 0 };
	uint64_t len[20] = { 0 };

	for (int k = 0; k < 20000; k++) {
		unsigned int i;

		random = random * 1103515245u + 12345u;
		i = (random >> 16) % 20;
		if (held[i] == DRUM_NONE) {
			held[i] = drum_alloc(p->drum, NULL, 1 + (random >> 8) % 16, &len[i]);
			own(p, held[i], len[i], 0, me);
		} else {
			own(p, held[i], len[i], me, 0);
			drum_free(p->drum, NULL, held[i], len[i]);
			held[i] = DRUM_NONE;
		}
	}
	for (int i = 0; i < 20; i++)
		if (held[i] != DRUM_NONE) {
			own(p, held[i], len[i], me, 0);
			drum_free(p->drum, NULL, held[i], len[i]);
		}
	return NULL;
}

Test(drum, no_block_has_two_owners, LIMIT)
{
	static struct party p;
	pthread_t thread[THREADS];

	p.drum = make();
	add(p.drum, 1, SHARED, 0);
	add(p.drum, 2, SHARED, 0);
	for (int i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, allocate_and_free, &p), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	cr_assert_eq(p.clashes, 0);
	cr_assert_eq(drum_avail(p.drum), 2 * SHARED);
	drum_destroy(p.drum);
}

/* --- I/O: a device that does as it is told ----------------------------------------- */

struct result {
	struct swap_io io;
	int calls;
	int err;
};

static void on_io(struct swap_io *io, int err)
{
	struct result *r = (struct result *)((char *)io - offsetof(struct result, io));

	r->calls++;
	r->err = err;
}

static struct {
	int submits;
	uint64_t offset;
	uint32_t left;
	struct iovec first;
} asked;

static void ask(struct swap_device *dev, struct swap_io *io)
{
	(void)dev;
	asked.submits++;
	asked.offset = io->offset;
	asked.left = io->left;
	asked.first = io->iov[io->first_iov];
}

static void no_close(struct swap_device *dev)
{
	(void)dev;
}

static const struct swap_device_ops asking_ops = {
	.kind = "asking",
	.submit = ask,
	.close = no_close,
};

static void asked_for(int submits, uint64_t offset, uint32_t left, const void *base, size_t len)
{
	cr_assert_eq(asked.submits, submits);
	cr_assert_eq(asked.offset, offset);
	cr_assert_eq(asked.left, left);
	cr_assert_eq(asked.first.iov_base, base);
	cr_assert_eq(asked.first.iov_len, len);
}

static char memory[4 * SWAP_BLOCK];

/* 3 vectors of 4096, 8192 and 4096 bytes, from block 10 on. */
static void start(struct result *r, struct swap_device *dev, bool write)
{
	*r = (struct result){ .io = { .done = on_io, .write = write, .niov = 3 } };
	r->io.iov[0] = (struct iovec){ memory, SWAP_BLOCK };
	r->io.iov[1] = (struct iovec){ memory + SWAP_BLOCK, 2 * SWAP_BLOCK };
	r->io.iov[2] = (struct iovec){ memory + 3 * SWAP_BLOCK, SWAP_BLOCK };
	asked.submits = 0;
	device_submit(dev, NULL, &r->io, 10);
	asked_for(1, 40960, 16384, memory, SWAP_BLOCK);
}

Test(device, short_transfers_go_on)
{
	struct swap_device dev = { .ops = &asking_ops };
	struct result r;

	start(&r, &dev, true);
	cr_assert_eq(dev.count.inflight, 1);
	r.io.op.done(&r.io.op, 512); /* within the first vector */
	asked_for(2, 41472, 15872, memory + 512, 3584);
	r.io.op.done(&r.io.op, 3584); /* to its end */
	asked_for(3, 45056, 12288, memory + 4096, 8192);
	r.io.op.done(&r.io.op, 8192 + 1024); /* over the next into the last */
	asked_for(4, 54272, 3072, memory + 13312, 3072);
	cr_assert_eq(r.calls, 0);
	cr_assert_eq(dev.count.inflight, 1);
	r.io.op.done(&r.io.op, 3072);
	cr_assert(r.calls == 1 && r.err == 0);
	cr_assert_eq(asked.submits, 4);
	cr_assert_eq(dev.count.inflight, 0);
	cr_assert(dev.count.writes == 1 && dev.count.write_bytes == 16384);
	cr_assert(dev.count.write_errors == 0 && dev.count.reads == 0);
}

Test(device, interrupted_ones_start_again)
{
	struct swap_device dev = { .ops = &asking_ops };
	struct result r;

	start(&r, &dev, false);
	r.io.op.done(&r.io.op, -EINTR);
	asked_for(2, 40960, 16384, memory, SWAP_BLOCK);
	r.io.op.done(&r.io.op, 4096);
	r.io.op.done(&r.io.op, -EAGAIN);
	asked_for(4, 45056, 12288, memory + 4096, 8192);
	r.io.op.done(&r.io.op, 12288);
	cr_assert(r.calls == 1 && r.err == 0);
	cr_assert(dev.count.reads == 1 && dev.count.read_bytes == 16384);
}

/* What ends an I/O at once, after 4096 bytes that went well. */
static const struct {
	int res, err;
} ends[] = {
	{ 0, -EIO },	{ 100, -EIO },	      { 12289, -EIO },	  { 12800, -EIO },
	{ -EIO, -EIO }, { -ENOSPC, -ENOSPC }, { -EBADF, -EBADF },
};

Test(device, failures_are_told_once)
{
	for (size_t i = 0; i < 2 * sizeof(ends) / sizeof(ends[0]); i++) {
		struct swap_device dev = { .ops = &asking_ops };
		const struct swap_device_counters *c = &dev.count;
		bool writing = i % 2 != 0;
		struct result r;

		start(&r, &dev, writing);
		r.io.op.done(&r.io.op, 4096);
		r.io.op.done(&r.io.op, ends[i / 2].res);
		cr_assert_eq(asked.submits, 2, "result %d", ends[i / 2].res);
		cr_assert(r.calls == 1 && r.err == ends[i / 2].err, "result %d: %d",
			  ends[i / 2].res, r.err);
		cr_assert_eq(c->inflight, 0);
		cr_assert_eq(writing ? c->write_errors : c->read_errors, 1);
		cr_assert_eq(writing ? c->write_bytes : c->read_bytes, 4096);
		cr_assert_eq(c->read_errors + c->write_errors, 1);
	}
}

/* --- I/O: a file and a ring -------------------------------------------------------- */

enum { BLOCKS = SWAP_IO_BLOCKS_MAX + 128 };

static char path_of_file[64];

/* A file of bytes, as the keeper would open it. */
static int swap_file(off_t bytes)
{
	int fd;

	snprintf(path_of_file, sizeof(path_of_file), "/var/tmp/drum-test.XXXXXX");
	fd = mkostemp(path_of_file, O_CLOEXEC | O_DIRECT);
	/* a file system without it: all but the alignment is tested */
	if (fd < 0 && errno == EINVAL)
		fd = mkostemp(path_of_file, O_CLOEXEC);
	cr_assert_geq(fd, 0, "%s: %s", path_of_file, strerror(errno));
	unlink(path_of_file);
	cr_assert_eq(ftruncate(fd, bytes), 0);
	return fd;
}

static struct swap_device *file_device(int fd, uint64_t bytes, uint64_t skip)
{
	struct swap_device *dev =
		device_file_create("file", path_of_file, fd, 1, 2, bytes, skip);

	cr_assert_not_null(dev);
	return dev;
}

static struct ring *make_ring(unsigned int entries)
{
	struct ring *r = ring_create(entries);

	cr_assert_not_null(r, "io_uring: %s", strerror(errno));
	return r;
}

static char *blocks_of_memory(size_t n)
{
	char *p = aligned_alloc(SWAP_BLOCK, n * SWAP_BLOCK);

	cr_assert_not_null(p);
	return p;
}

/* Block b is told from any other, and by which round it was written. */
static void stamp(char *p, uint64_t b, unsigned int round)
{
	uint64_t *w = (uint64_t *)p;

	for (size_t i = 0; i < SWAP_BLOCK / 8; i++)
		w[i] = (uint64_t)round << 48 ^ b << 16 ^ i;
}

static bool stamped(const char *p, uint64_t b, unsigned int round)
{
	char want[SWAP_BLOCK] __attribute__((aligned(8)));

	stamp(want, b, round);
	return memcmp(p, want, SWAP_BLOCK) == 0;
}

static int wait_for(struct ring *ring, struct result *r)
{
	cr_assert_eq(r->calls, 0, "done was called from within device_submit");
	while (r->calls == 0)
		cr_assert_geq(ring_run(ring, UINT64_MAX), 0);
	return r->err;
}

static int move(struct swap_device *dev, struct ring *ring, bool write, uint64_t block,
		char *memory_at, uint32_t n)
{
	struct result r = { .io = { .done = on_io, .write = write, .niov = 1 } };

	r.io.iov[0] = (struct iovec){ memory_at, (size_t)n * SWAP_BLOCK };
	device_submit(dev, ring, &r.io, block);
	return wait_for(ring, &r);
}

Test(device, file_keeps_what_is_written, LIMIT)
{
	const uint64_t skip = 2 * SWAP_BLOCK, bytes = skip + BLOCKS * SWAP_BLOCK + 1000;
	struct swap_device *dev = file_device(swap_file((off_t)bytes), bytes, skip);
	char *out = blocks_of_memory(SWAP_IO_BLOCKS_MAX), *in = blocks_of_memory(BLOCKS);
	struct ring *ring = make_ring(16);
	struct result r = {
		.io = { .done = on_io, .write = true, .niov = SWAP_IO_BLOCKS_MAX }
	};
	const uint64_t out_bytes = SWAP_IO_BLOCKS_MAX * SWAP_BLOCK;

	cr_assert_eq(dev->blocks, BLOCKS);
	cr_assert_str_eq(dev->ops->kind, "file");
	/* vectors from the last block of memory to the first, to blocks 50 and on */
	for (uint32_t i = 0; i < SWAP_IO_BLOCKS_MAX; i++) {
		char *at = out + (size_t)(SWAP_IO_BLOCKS_MAX - 1 - i) * SWAP_BLOCK;

		stamp(at, 50 + i, 1);
		r.io.iov[i] = (struct iovec){ at, SWAP_BLOCK };
	}
	device_submit(dev, ring, &r.io, 50);
	cr_assert_eq(dev->count.inflight, 1);
	cr_assert_eq(wait_for(ring, &r), 0);

	/* back by other vectors: one block, and the rest */
	r = (struct result){ .io = { .done = on_io, .niov = 2 } };
	r.io.iov[0] = (struct iovec){ in, SWAP_BLOCK };
	r.io.iov[1] = (struct iovec){ in + SWAP_BLOCK, (SWAP_IO_BLOCKS_MAX - 1) * SWAP_BLOCK };
	device_submit(dev, ring, &r.io, 50);
	cr_assert_eq(wait_for(ring, &r), 0);
	for (uint64_t i = 0; i < SWAP_IO_BLOCKS_MAX; i++)
		cr_assert(stamped(in + i * SWAP_BLOCK, 50 + i, 1), "block %llu",
			  (unsigned long long)(50 + i));
	/* at their place in the file, and nothing else was touched */
	cr_assert_eq(pread(dev->fd, in, BLOCKS * SWAP_BLOCK, (off_t)skip), BLOCKS * SWAP_BLOCK);
	for (uint64_t i = 0; i < BLOCKS; i++) {
		const char *at = in + i * SWAP_BLOCK;

		if (i >= 50 && i < 50 + SWAP_IO_BLOCKS_MAX)
			cr_assert(stamped(at, i, 1));
		else
			cr_assert(at[0] == 0 && memcmp(at, at + 1, SWAP_BLOCK - 1) == 0);
	}
	cr_assert_eq(dev->count.inflight, 0);
	cr_assert(dev->count.writes == 1 && dev->count.write_bytes == out_bytes);
	cr_assert(dev->count.reads == 1 && dev->count.read_bytes == out_bytes);
	cr_assert(dev->count.read_errors == 0 && dev->count.write_errors == 0);
	device_close(dev);
	ring_destroy(ring);
	free(out);
	free(in);
}

/* Rewritten at random, more of them in flight than the ring has room for. */
Test(device, many_at_once, LIMIT)
{
	enum { N = 40, ROUNDS = 50, FEW = 128 };
	const uint64_t bytes = FEW * SWAP_BLOCK;
	struct swap_device *dev = file_device(swap_file((off_t)bytes), bytes, 0);
	char *out = blocks_of_memory(N), *in = blocks_of_memory(FEW);
	struct ring *ring = make_ring(4);
	static struct result r[N];
	unsigned int round_of[FEW] = { 0 };

	for (unsigned int round = 1; round <= ROUNDS; round++) {
		for (uint64_t i = 0; i < N; i++) {
			/* 3 and 128 have no common divisor: all of them differ */
			uint64_t b = (round * 11 + i * 3) % FEW;
			char *at = out + i * SWAP_BLOCK;

			stamp(at, b, round);
			round_of[b] = round;
			r[i] = (struct result){
				.io = { .done = on_io, .write = true, .niov = 1 }
			};
			r[i].io.iov[0] = (struct iovec){ at, SWAP_BLOCK };
			device_submit(dev, ring, &r[i].io, b);
		}
		for (int i = 0; i < N; i++) {
			while (r[i].calls == 0)
				cr_assert_geq(ring_run(ring, UINT64_MAX), 0);
			cr_assert(r[i].calls == 1 && r[i].err == 0);
		}
	}
	cr_assert_eq(move(dev, ring, false, 0, in, 64), 0);
	cr_assert_eq(move(dev, ring, false, 64, in + 64 * SWAP_BLOCK, 64), 0);
	for (uint64_t b = 0; b < FEW; b++)
		cr_assert(stamped(in + b * SWAP_BLOCK, b, round_of[b]), "block %llu",
			  (unsigned long long)b);
	cr_assert_eq(dev->count.writes, N * ROUNDS);
	cr_assert_eq(dev->count.inflight, 0);
	device_close(dev);
	ring_destroy(ring);
	free(out);
	free(in);
}

/* The file was made shorter behind our back. */
Test(device, short_file_is_an_error, LIMIT)
{
	static const uint64_t lengths[] = { 0, 4096, 5000, 6144, 8192 };
	char *in = blocks_of_memory(4);
	struct ring *ring = make_ring(4);

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct swap_device *dev =
			file_device(swap_file((off_t)lengths[i]), BLOCKS * SWAP_BLOCK, 0);

		cr_assert_eq(move(dev, ring, false, 0, in, 4), -EIO, "%llu bytes",
			     (unsigned long long)lengths[i]);
		cr_assert_eq(dev->count.read_errors, 1);
		cr_assert_eq(dev->count.inflight, 0);
		cr_assert_eq(move(dev, ring, false, 100, in, 1), -EIO);
		device_close(dev);
	}
	ring_destroy(ring);
	free(in);
}

Test(device, no_room, LIMIT)
{
	int fd = open("/dev/full", O_RDWR | O_CLOEXEC);
	struct swap_device *dev = file_device(fd, BLOCKS * SWAP_BLOCK, 0);
	char *out = blocks_of_memory(2);
	struct ring *ring = make_ring(4);

	stamp(out, 0, 1);
	stamp(out + SWAP_BLOCK, 1, 1);
	cr_assert_eq(move(dev, ring, true, 7, out, 2), -ENOSPC);
	cr_assert_eq(dev->count.write_errors, 1);
	device_close(dev);
	ring_destroy(ring);
	free(out);
}

Test(device, create)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct swap_device *dev;

	dev = device_file_create("block", "/dev/x", fd, 3, 4, 5 * SWAP_BLOCK - 1, SWAP_BLOCK);
	cr_assert_not_null(dev);
	cr_assert_str_eq(dev->ops->kind, "block");
	cr_assert_str_eq(dev->path, "/dev/x");
	cr_assert(dev->blocks == 3 && dev->dev == 3 && dev->ino == 4);
	device_close(dev);
	cr_assert_not(is_open(fd));

	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	errno = 0;
	dev = device_file_create("file", "x", fd, 1, 1, 2 * SWAP_BLOCK - 1, SWAP_BLOCK);
	cr_assert_null(dev, "less than a block");
	cr_assert_eq(errno, EINVAL);
	cr_assert_not(is_open(fd));
	device_close(NULL);
}

/* Each address is moved by its own device. */
Test(drum, submit_goes_to_the_device, LIMIT)
{
	struct drum *d = make();
	struct ring *ring = make_ring(8);
	char *out = blocks_of_memory(1), *in = blocks_of_memory(1);
	int fd[3], n;

	for (int i = 1; i <= 2; i++) {
		struct swap_device *dev = dummy((uint64_t)i, BLOCKS);

		close(dev->fd);
		dev->fd = fd[i] = swap_file(BLOCKS * SWAP_BLOCK);
		n = drum_add(d, dev, 0, 0);
		cr_assert_eq(n, i);
	}
	for (unsigned int i = 1; i <= 2; i++) {
		struct result r = { .io = { .done = on_io, .write = true, .niov = 1 } };

		stamp(out, 30 + i, i);
		r.io.iov[0] = (struct iovec){ out, SWAP_BLOCK };
		drum_submit(d, ring, &r.io, drum_make(i, 30 + i));
		cr_assert_eq(wait_for(ring, &r), 0);
	}
	for (unsigned int i = 1; i <= 2; i++) {
		cr_assert_eq(pread(fd[i], in, SWAP_BLOCK, (off_t)(30 + i) * SWAP_BLOCK),
			     SWAP_BLOCK);
		cr_assert(stamped(in, 30 + i, i));
	}
	drum_destroy(d);
	cr_assert_not(is_open(fd[1]) || is_open(fd[2]));
	ring_destroy(ring);
	free(out);
	free(in);
}
