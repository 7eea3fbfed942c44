/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is done to many pages of an object at once: against a drum whose blocks
 * are counted, and with a crash after every single store.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "crash.h"
#include "swap/blist.h"
#include "swap/object.h"

#define LIMIT .timeout = 60

static struct object *open_fd(int fd, uint64_t pages, struct swblock_zone *zone)
{
	struct err e = { 0 };
	struct object *o = object_open(fd, pages, zone, &e);

	cr_assert_not_null(o, "object_open: %s", e.text);
	return o;
}

static int new_file(void)
{
	int fd = memfd_create("swblocks", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	return fd;
}

/* An object whose file ends with it. */
static struct object *make(uint64_t pages, struct swblock_zone *zone)
{
	int fd = new_file();
	struct object *o = open_fd(fd, pages, zone);

	(void)fd;
	return o;
}

static void add(struct drum *d, uint64_t ino, uint64_t blocks)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct swap_device *dev;

	cr_assert_geq(fd, 0);
	dev = device_file_create("file", "/a/swap/file", fd, 1, ino, blocks * SWAP_BLOCK, 0);
	cr_assert_not_null(dev);
	cr_assert_gt(drum_add(d, dev, 0, 0), 0);
}

static struct drum *make_drum(uint64_t blocks)
{
	struct drum *d = drum_create();

	cr_assert_not_null(d);
	add(d, 1, blocks);
	return d;
}

/* The page is valid at this block of device 1, which is taken. */
static void put(struct object *o, struct drum *d, uint64_t page, uint64_t block)
{
	cr_assert_eq(drum_claim(d, NULL, drum_make(1, block)), 0);
	cr_assert_eq(object_set(o, page, drum_make(1, block) | SWB_VALID), 0);
}

static void set(struct object *o, uint64_t page, uint64_t word)
{
	cr_assert_eq(object_set(o, page, word), 0);
}

/* --- has, build, unswap ------------------------------------------------------------ */

Test(object_range, has_with_what_is_contiguous)
{
	struct object *o = make(200, NULL);
	uint32_t before = 9, after = 9;

	cr_assert_not(object_has(o, 20, 100, &before, &after));
	cr_assert(before == 0 && after == 0);
	/* pages 14 to 40: over the borders of swblocks */
	for (uint64_t i = 14; i <= 40; i++)
		set(o, i, (drum_make(1, 500) + i) | SWB_VALID);
	cr_assert(object_has(o, 20, 100, &before, &after));
	cr_assert(before == 6 && after == 20, "%u, %u", before, after);
	cr_assert(object_has(o, 20, 4, &before, &after));
	cr_assert(before == 4 && after == 4);
	cr_assert(object_has(o, 14, 100, &before, NULL));
	cr_assert_eq(before, 0);
	cr_assert(object_has(o, 40, 100, NULL, &after));
	cr_assert_eq(after, 0);

	/* a page that is elsewhere, and one that is not on swap yet */
	set(o, 17, drum_make(1, 900) | SWB_VALID);
	set(o, 33, (drum_make(1, 500) + 33) | SWB_WRITING);
	cr_assert(object_has(o, 20, 100, &before, &after));
	cr_assert(before == 2 && after == 12);
	cr_assert_not(object_has(o, 33, 100, &before, &after));
	set(o, 33, (drum_make(1, 500) + 33) | SWB_RESERVED);
	cr_assert_not(object_has(o, 33, 100, &before, &after));
	cr_assert(before == 0 && after == 0, "nothing is read there");
	cr_assert_eq(object_run(o, 20, 100), 12);

	/* not below page 0, nor to another device */
	for (uint64_t i = 0; i < 3; i++)
		set(o, i, (drum_make(2, 0) + i) | SWB_VALID);
	cr_assert(object_has(o, 2, 100, &before, &after));
	cr_assert(before == 2 && after == 0);
	set(o, 100, drum_make(1, BLIST_MAX_BLOCKS - 1) | SWB_VALID);
	set(o, 101, drum_make(2, 0) | SWB_VALID);
	cr_assert(object_has(o, 100, 100, &before, &after));
	cr_assert(before == 0 && after == 0);
	cr_assert(object_has(o, 101, 100, &before, &after));
	cr_assert_eq(before, 0);
	object_close(o);
}

Test(object_range, build_frees_what_was_there)
{
	struct drum *d = make_drum(1000);
	struct object *o = make(100, NULL);
	uint64_t got;
	uint32_t done;
	drum_addr a;

	put(o, d, 10, 700);
	put(o, d, 12, 702);
	a = drum_alloc(d, NULL, 4, &got);
	cr_assert_eq(drum_avail(d), 994);
	cr_assert_eq(object_build(o, d, 9, 4, a | SWB_VALID, &done), 0);
	cr_assert_eq(done, 4);
	cr_assert_eq(drum_avail(d), 996);
	for (uint64_t i = 0; i < 4; i++)
		cr_assert_eq(object_get(o, 9 + i), (a + i) | SWB_VALID);
	/* other flags for the same block: it is not freed */
	cr_assert_eq(object_build(o, d, 9, 4, a | SWB_RESERVED, &done), 0);
	cr_assert_eq(drum_avail(d), 996);
	cr_assert_eq(object_get(o, 12), (a + 3) | SWB_RESERVED);
	cr_assert_eq(object_free_all(o, d), 4);
	cr_assert_eq(drum_avail(d), 1000);
	object_close(o);
	drum_destroy(d);
}

Test(object_range, unswapped_loses_its_block)
{
	struct drum *d = make_drum(100);
	struct object *o = make(100, NULL);

	put(o, d, 5, 50);
	cr_assert(object_unswap(o, d, 5));
	cr_assert_eq(object_get(o, 5), 0);
	cr_assert_eq(drum_avail(d), 100);
	cr_assert_not(object_unswap(o, d, 5));

	/* a reservation is not stale, and what is being written is its writer's */
	cr_assert_eq(object_reserve(o, d, 6, 1), 0);
	cr_assert_not(object_unswap(o, d, 6));
	set(o, 7, drum_make(1, 70) | SWB_WRITING);
	cr_assert_not(object_unswap(o, d, 7));
	cr_assert_eq(object_count(o), 2);
	object_close(o);
	drum_destroy(d);
}

/* --- freeing ------------------------------------------------------------------------ */

Test(object_range, free_of_a_huge_sparse_range, LIMIT)
{
	const uint64_t pages = UINT64_C(1) << 34; /* 64 TiB; visiting each would take minutes */
	struct drum *d = make_drum(1000);
	struct object *o = make(pages, NULL);

	for (uint64_t i = 0; i < 100; i++)
		put(o, d, i * (pages / 100) + i, i * 10);
	set(o, 12345, drum_make(1, 1) | SWB_WRITING);
	cr_assert_eq(object_free_range(o, d, 1, UINT64_C(1) << 40), 99, "all but page 0");
	cr_assert_eq(object_count(o), 2);
	cr_assert_eq(drum_avail(d), 999);
	cr_assert_eq(object_get(o, 12345), drum_make(1, 1) | SWB_WRITING,
		     "its writer frees it");
	cr_assert_eq(object_free_range(o, d, 0, 0), 0);
	cr_assert_eq(object_free_range(o, d, 1, UINT64_MAX), 0);
	cr_assert_eq(object_free_all(o, d), 1);
	cr_assert_eq(drum_avail(d), 1000);
	object_close(o);
	drum_destroy(d);
}

Test(object_range, free_range_ends_in_the_middle)
{
	struct drum *d = make_drum(1000);
	struct object *o = make(100, NULL);

	for (uint64_t i = 0; i < 100; i++)
		put(o, d, i, i);
	cr_assert_eq(object_free_range(o, d, 20, 30), 30);
	for (uint64_t i = 0; i < 100; i++)
		cr_assert_eq(object_get(o, i) == 0, i >= 20 && i < 50, "page %u",
			     (unsigned int)i);
	cr_assert_eq(drum_avail(d), 930);
	cr_assert_eq(drum_claim(d, NULL, drum_make(1, 19)), -EEXIST);
	cr_assert_eq(drum_claim(d, NULL, drum_make(1, 20)), 0);
	cr_assert_eq(drum_claim(d, NULL, drum_make(1, 49)), 0);
	cr_assert_eq(drum_claim(d, NULL, drum_make(1, 50)), -EEXIST);
	object_close(o);
	drum_destroy(d);
}

static void count_levels(void *arg, enum drum_level level)
{
	(void)level;
	++*(int *)arg;
}

/* Neighbours go back in one piece: the level goes from full to ok in one step. */
static void freed_at_once(bool descending)
{
	enum { N = 1000 };
	struct drum *d = make_drum(N);
	struct object *o = make(N, NULL);
	int levels = 0;

	for (uint64_t i = 0; i < N; i++)
		put(o, d, i, descending ? N - 1 - i : i);
	drum_on_level(d, count_levels, &levels);
	cr_assert_eq(object_free_all(o, d), N);
	cr_assert_eq(drum_avail(d), N);
	cr_assert_eq(levels, 1);
	object_close(o);
	drum_destroy(d);
}

Test(object_range, neighbours_are_freed_in_one_piece)
{
	freed_at_once(false);
	freed_at_once(true);
}

Test(object_range, pieces_do_not_cross_devices)
{
	struct drum *d = make_drum(10);
	struct object *o = make(100, NULL);

	add(d, 2, 10);
	put(o, d, 0, 9);
	cr_assert_eq(drum_claim(d, NULL, drum_make(2, 0)), 0);
	set(o, 1, drum_make(2, 0) | SWB_VALID);
	cr_assert_eq(object_free_all(o, d), 2);
	cr_assert_eq(drum_avail(d), 20);
	object_close(o);
	drum_destroy(d);
}

struct may {
	uint64_t resident; /* a swblock that must stay */
	unsigned int asked;
};

static bool may_free(void *arg, uint64_t page)
{
	struct may *m = arg;

	m->asked++;
	cr_assert_eq(page % SWBLOCK_PAGES, 0);
	return page != m->resident;
}

Test(object_range, condfree_frees_whole_swblocks_and_resumes)
{
	struct drum *d = make_drum(1000);
	struct object *o = make(10000, NULL);
	struct may m = { .resident = 32 };
	uint64_t at = 0;

	for (uint64_t i = 0; i < 160; i++)
		put(o, d, i, i);
	/* a little more than was asked for: 0-15 and 16-31 */
	cr_assert_eq(object_cond_free(o, d, &at, 20, may_free, &m), 32);
	cr_assert_eq(at, 32);
	cr_assert_eq(m.asked, 2);
	cr_assert_eq(drum_avail(d), 1000 - 128);
	/* 32 stays, 48 goes */
	cr_assert_eq(object_cond_free(o, d, &at, 1, may_free, &m), 16);
	cr_assert_eq(at, 64);
	cr_assert_neq(object_get(o, 40), 0);
	cr_assert_eq(object_get(o, 48), 0);
	/* 64 is busy: nobody is even asked */
	set(o, 70, object_pop(o, 70) ^ SWB_VALID ^ SWB_WRITING);
	m.asked = 0;
	cr_assert_eq(object_cond_free(o, d, &at, 1, may_free, &m), 16);
	cr_assert_eq(m.asked, 1);
	cr_assert_eq(at, 96);
	/* the rest, and the end */
	cr_assert_eq(object_cond_free(o, d, &at, 1000, may_free, &m), 64);
	cr_assert_eq(object_cond_free(o, d, &at, 1000, may_free, &m), 0);
	cr_assert_eq(object_count(o), 32);
	object_close(o);
	drum_destroy(d);
}

static bool never(void *arg, uint64_t page)
{
	(void)page;
	++*(unsigned int *)arg;
	return false;
}

/* It yields, though it has freed nothing. */
Test(object_range, condfree_looks_at_so_many_and_no_more)
{
	struct drum *d = make_drum(1000);
	struct object *o = make(16 * 1000, NULL);
	unsigned int asked = 0;
	uint64_t at = 0;

	for (uint64_t i = 0; i < 1000; i++)
		put(o, d, i * 16, i);
	cr_assert_eq(object_cond_free(o, d, &at, 10, never, &asked), 80, "a scan factor");
	cr_assert(asked == 80 && at == 80 * 16);
	cr_assert_eq(drum_avail(d), 0);
	object_close(o);
	drum_destroy(d);
}

/* --- the zone ----------------------------------------------------------------------- */

static uint64_t room;

static bool fits(uint64_t bytes, uint64_t *have)
{
	(void)have;
	return bytes <= room;
}

Test(object_range, zone_is_reduced_by_a_third_until_it_fits)
{
	struct swblock_zone z;
	uint64_t each;

	room = UINT64_MAX;
	cr_assert_eq(swblock_zone_init(&z, 1000, fits), 0);
	cr_assert(z.max == 1000 && z.used == 0 && z.refused == 0);
	/* the size of one is found by asking */
	for (room = 1; swblock_zone_init(&z, 1, fits) < 0; room++)
		;
	each = room;
	cr_assert_geq(each, 136, "a node in the file is as much");
	room = 999 * each;
	cr_assert_eq(swblock_zone_init(&z, 1000, fits), 0);
	cr_assert_eq(z.max, 666);
	room = 400 * each;
	cr_assert_eq(swblock_zone_init(&z, 1000, fits), 0);
	cr_assert_eq(z.max, 296, "%u", (unsigned int)z.max);
	room = each - 1;
	cr_assert_eq(swblock_zone_init(&z, 1000, fits), -ENOMEM);
	room = 1000 * each;
	cr_assert_eq(swblock_zone_init(&z, UINT64_MAX, fits), 0, "no overflow");
	cr_assert(z.max > 0 && z.max <= 1000);
}

Test(object_range, zone_is_shared_and_has_a_maximum)
{
	struct swblock_zone z = { .max = 3 };
	int fd = new_file();
	struct object *a = open_fd(fd, 1000, &z), *b = make(1000, &z);

	cr_assert_not(swblock_zone_full(&z));
	cr_assert_not(swblock_zone_full(NULL));
	set(a, 0, SWB_VALID | 1);
	set(a, 16, SWB_VALID | 2);
	set(b, 0, SWB_VALID | 3);
	cr_assert(swblock_zone_full(&z));
	cr_assert_eq(object_set(b, 16, SWB_VALID | 4), -ENOSPC);
	cr_assert_eq(object_set(a, 32, SWB_VALID | 4), -ENOSPC);
	cr_assert_eq(z.refused, 2);
	cr_assert_eq(object_count(b), 1);
	/* more of what is there, and what has become free */
	set(b, 1, SWB_VALID | 4);
	object_pop(a, 16);
	cr_assert_eq(z.used, 2);
	set(b, 16, SWB_VALID | 5);
	cr_assert_eq(z.used, 3);

	/* what a restart finds counts, and is not refused */
	object_close(b);
	cr_assert_eq(z.used, 1);
	object_close(a);
	cr_assert_eq(z.used, 0);
	z = (struct swblock_zone){ .max = 0 };
	a = open_fd(fd, 1000, &z);
	cr_assert_eq(z.used, 1);
	cr_assert_eq(object_get(a, 0), SWB_VALID | 1);
	cr_assert_eq(object_set(a, 16, SWB_VALID | 2), -ENOSPC);
	object_close(a);
	close(fd);
}

/* --- reservation -------------------------------------------------------------------- */

Test(object_range, reserve_takes_the_largest_runs)
{
	struct drum *d = make_drum(1000);
	struct object *o = make(1000, NULL);
	uint64_t got, a;
	unsigned int runs = 0;

	/* free: 0-299, 400-499, 600-609, 700-709 */
	cr_assert_eq(drum_alloc(d, NULL, 1000, &got), drum_make(1, 0));
	drum_free(d, NULL, drum_make(1, 0), 300);
	drum_free(d, NULL, drum_make(1, 400), 100);
	drum_free(d, NULL, drum_make(1, 600), 10);
	drum_free(d, NULL, drum_make(1, 700), 10);
	cr_assert_eq(object_reserve(o, d, 30, 405), 0);
	cr_assert_eq(drum_avail(d), 15);
	cr_assert_eq(object_count(o), 405);
	a = object_get(o, 30);
	cr_assert_eq(a, drum_make(1, 0) | SWB_RESERVED);
	for (uint64_t i = 31; i < 435; i++) {
		runs += object_get(o, i) != a + 1;
		a = object_get(o, i);
		cr_assert_eq(a & SWB_FLAGS, SWB_RESERVED);
		cr_assert_not(object_has(o, i, 1, NULL, NULL));
	}
	cr_assert_eq(runs, 2, "300, 100 and 5");
	object_close(o);
	drum_destroy(d);
}

Test(object_range, reserve_leaves_what_is_there)
{
	struct drum *d = make_drum(1000);
	struct object *o = make(1000, NULL);

	put(o, d, 10, 500);
	put(o, d, 99, 501);
	set(o, 50, drum_make(1, 502) | SWB_WRITING);
	cr_assert_eq(drum_claim(d, NULL, drum_make(1, 502)), 0);
	cr_assert_eq(object_reserve(o, d, 20, 5), 0);
	cr_assert_eq(object_reserve(o, d, 0, 100), 0);
	cr_assert_eq(object_count(o), 100);
	cr_assert_eq(drum_avail(d), 900);
	cr_assert_eq(object_get(o, 10), drum_make(1, 500) | SWB_VALID);
	cr_assert_eq(object_get(o, 99), drum_make(1, 501) | SWB_VALID);
	cr_assert_eq(object_get(o, 50), drum_make(1, 502) | SWB_WRITING);
	/* once more costs nothing */
	cr_assert_eq(object_reserve(o, d, 0, 100), 0);
	cr_assert_eq(object_reserve(o, d, 7, 0), 0);
	cr_assert_eq(drum_avail(d), 900);
	object_close(o);
	drum_destroy(d);
}

Test(object_range, reserve_all_or_nothing)
{
	struct swblock_zone z = { .max = 4 };
	struct drum *d = make_drum(100);
	struct object *o = make(1000, &z);

	put(o, d, 10, 50);
	cr_assert_eq(object_reserve(o, d, 20, 5), 0);
	cr_assert_eq(drum_avail(d), 94);
	/* blocks */
	cr_assert_eq(object_reserve(o, d, 0, 101), -ENOSPC);
	cr_assert_not(swblock_zone_full(&z));
	cr_assert_eq(drum_avail(d), 94);
	cr_assert_eq(object_count(o), 6);
	/* swblocks, in the middle of a run: pages 0 to 63 have theirs */
	cr_assert_eq(object_reserve(o, d, 0, 70), -ENOSPC);
	cr_assert_gt(z.refused, 0);
	cr_assert_eq(drum_avail(d), 94);
	cr_assert_eq(object_count(o), 6);
	cr_assert_eq(z.used, 2);
	/* there are blocks, and drum_alloc gives none */
	drum_set_closed(d, true);
	cr_assert_eq(object_reserve(o, d, 0, 30), -ENOSPC);
	drum_set_closed(d, false);
	cr_assert_eq(object_count(o), 6);
	cr_assert_eq(object_get(o, 10), drum_make(1, 50) | SWB_VALID);
	cr_assert_eq(object_get(o, 20) & SWB_FLAGS, SWB_RESERVED, "of another call");
	cr_assert_eq(object_reserve(o, d, 0, 64), 0);
	cr_assert_eq(drum_avail(d), 36);
	object_close(o);
	drum_destroy(d);
}

Test(object_range, reserved_blocks_are_taken_in_runs)
{
	static const uint64_t page[] = { 5, 6, 7, 9, 10, 11, 12 };
	struct drum *d = make_drum(1000);
	struct object *o = make(100, NULL);
	drum_addr a, first;

	cr_assert_eq(object_take_reserved(o, page, 7, &a), 0);
	cr_assert_eq(object_reserve(o, d, 5, 6), 0); /* 5 to 10 */
	first = object_get(o, 5) & DRUM_ADDR_MASK;
	cr_assert_eq(object_take_reserved(o, page, 7, &a), 3);
	cr_assert_eq(a, first);
	for (uint64_t i = 0; i < 3; i++)
		cr_assert_eq(object_get(o, 5 + i), (first + i) | SWB_RESERVED | SWB_WRITING);
	cr_assert_eq(object_get(o, 8), (first + 3) | SWB_RESERVED, "it was not asked for");
	cr_assert_eq(object_take_reserved(o, page, 7, &a), 0, "they are taken");
	cr_assert_eq(object_take_reserved(o, page + 3, 4, &a), 2);
	cr_assert_eq(a, first + 4);
	/* written, given back */
	set(o, 5, first | SWB_VALID);
	set(o, 6, (first + 1) | SWB_RESERVED);
	cr_assert_eq(object_take_reserved(o, page, 7, &a), 0);
	cr_assert_eq(object_take_reserved(o, page + 1, 1, &a), 1);
	/* one that an earlier daemon may be writing to is not taken */
	set(o, 8, (first + 3) | SWB_RESERVED | SWB_HELD);
	cr_assert_eq(object_take_reserved(o, &(uint64_t){ 8 }, 1, &a), 0);
	cr_assert_eq(object_free_range(o, d, 8, 1), 0);
	object_settle(o);
	cr_assert_eq(object_get(o, 8), (first + 3) | SWB_RESERVED);
	cr_assert_eq(object_get(o, 9), (first + 4) | SWB_RESERVED | SWB_WRITING, "our own");
	cr_assert_eq(object_take_reserved(o, &(uint64_t){ 8 }, 1, &a), 1);
	object_close(o);
	drum_destroy(d);
}

/* --- intents -------------------------------------------------------------------------- */

Test(object_range, intents_are_found_again)
{
	int fd = new_file();
	struct object *o = open_fd(fd, 100, NULL);
	drum_addr a;

	object_intent(o, 0, drum_make(1, 0), 1);
	object_intent(o, 7, drum_make(64, BLIST_MAX_BLOCKS - 256), 256);
	object_intent(o, OBJECT_INTENTS - 1, drum_make(3, 77), 12);
	object_intent_end(o, 0);
	object_close(o);
	o = open_fd(fd, 100, NULL);
	cr_assert_eq(object_intent_get(o, 0, &a), 0);
	cr_assert_eq(object_intent_get(o, 7, &a), 256);
	cr_assert_eq(a, drum_make(64, BLIST_MAX_BLOCKS - 256));
	cr_assert_eq(object_intent_get(o, OBJECT_INTENTS - 1, &a), 12);
	cr_assert_eq(a, drum_make(3, 77));
	cr_assert_eq(object_count(o), 0);
	object_close(o);
	close(fd);
}

/* Files that older daemons have left: without reservations, without late blocks. */
Test(object_range, older_versions_are_taken_over)
{
	for (uint32_t old = 1; old <= 2; old++) {
		int fd = new_file();
		struct object *o = open_fd(fd, 100, NULL);
		uint32_t version = old;
		drum_addr a;

		set(o, 17, SWB_VALID | 5);
		object_close(o);
		cr_assert_eq(pwrite(fd, &version, sizeof(version), 8), sizeof(version));
		o = open_fd(fd, 100, NULL);
		cr_assert_eq(object_get(o, 17), SWB_VALID | 5);
		for (unsigned int i = 0; i < OBJECT_INTENTS + OBJECT_LATES; i++)
			cr_assert_eq(object_intent_get(o, i, &a), 0);
		object_close(o);
		cr_assert_eq(pread(fd, &version, sizeof(version), 8), sizeof(version));
		cr_assert_eq(version, 3);
		close(fd);
	}
}

/* --- handing over ----------------------------------------------------------------------- */

Test(object_range, copy_moves_blocks_and_the_destinations_win)
{
	struct drum *d = make_drum(1000);
	struct object *src = make(1000, NULL), *dst = make(500, NULL);
	drum_addr taken;

	for (uint64_t i = 0; i < 10; i++)
		put(src, d, 100 + i, 10 + i);
	put(src, d, 50, 60);
	put(src, d, 200, 61);
	put(dst, d, 3, 500);
	cr_assert_eq(object_reserve(dst, d, 4, 1), 0);	 /* src's page is more than that */
	cr_assert_eq(object_reserve(src, d, 150, 2), 0); /* and goes along */
	cr_assert_eq(object_reserve(dst, d, 50, 1), 0);
	set(dst, 5, drum_make(1, 501) | SWB_WRITING); /* newer than src's */
	cr_assert_eq(drum_claim(d, NULL, drum_make(1, 501)), 0);
	/* so is what goes to a reserved block just now */
	cr_assert_eq(object_reserve(dst, d, 7, 1), 0);
	cr_assert_eq(object_take_reserved(dst, &(uint64_t){ 7 }, 1, &taken), 1);
	cr_assert_eq(drum_avail(d), 1000 - 19);

	cr_assert_eq(object_copy(dst, src, d, 100, 0, 60, false), 0);
	for (uint64_t i = 0; i < 10; i++)
		if (i != 3 && i != 5 && i != 7)
			cr_assert_eq(object_get(dst, i), drum_make(1, 10 + i) | SWB_VALID);
	cr_assert_eq(object_get(dst, 3), drum_make(1, 500) | SWB_VALID);
	cr_assert_eq(object_get(dst, 5), drum_make(1, 501) | SWB_WRITING);
	cr_assert_eq(object_get(dst, 7), taken | SWB_RESERVED | SWB_WRITING);
	cr_assert_eq(object_get(dst, 51) & SWB_FLAGS, SWB_RESERVED);
	cr_assert_eq(object_count(dst), 12);
	cr_assert_eq(object_count(src), 2, "what is out of the range");
	cr_assert_eq(drum_avail(d), 1000 - 14, "three of src's, and two reserved ones");
	cr_assert_eq(drum_claim(d, NULL, drum_make(1, 13)), 0);
	cr_assert_eq(drum_claim(d, NULL, drum_make(1, 15)), 0);

	cr_assert_eq(object_copy(dst, src, d, 200, 100, 1, true), 0);
	cr_assert_eq(object_get(dst, 100), drum_make(1, 61) | SWB_VALID);
	cr_assert_eq(object_count(src), 0, "destroyed");
	cr_assert_eq(drum_claim(d, NULL, drum_make(1, 60)), 0);
	object_close(src);
	object_close(dst);
	drum_destroy(d);
}

Test(object_range, copy_that_cannot_go_on_loses_nothing)
{
	struct swblock_zone z = { .max = 1 };
	struct drum *d = make_drum(1000);
	struct object *src = make(1000, NULL), *dst = make(1000, &z);

	for (uint64_t i = 0; i < 40; i++)
		put(src, d, i, i);
	cr_assert_eq(object_copy(dst, src, d, 0, 0, 1000, true), -ENOSPC);
	cr_assert(object_count(dst) == 16 && object_count(src) == 24);
	for (uint64_t i = 0; i < 40; i++)
		cr_assert_eq(object_get(i < 16 ? dst : src, i), drum_make(1, i) | SWB_VALID);
	z.max = 100;
	set(src, 30, drum_make(1, 30) | SWB_WRITING);
	cr_assert_eq(object_copy(dst, src, d, 0, 0, 1000, true), -EBUSY);
	cr_assert(object_count(dst) == 30 && object_count(src) == 10);
	set(src, 30, drum_make(1, 30) | SWB_VALID);
	cr_assert_eq(object_copy(dst, src, d, 0, 0, 1000, true), 0);
	cr_assert(object_count(dst) == 40 && object_count(src) == 0);
	cr_assert_eq(drum_avail(d), 960);
	object_close(src);
	object_close(dst);
	drum_destroy(d);
}

/* --- a crash after every store ------------------------------------------------------------ */

enum { PAGES = 64, SRC = 0, DST = 1 };

static struct {
	struct object *o[2];
	struct drum *d;
} live;

/* One object's words, as the worker recovers them. */
static void claim(struct object *o, struct drum *d, bool moving)
{
	uint64_t page = 0, word;

	for (; object_next(o, page, &page, &word); page++) {
		int ret;

		if (!(word & SWB_MOVING) == moving)
			continue;
		if (!(word & (SWB_VALID | SWB_RESERVED))) {
			object_pop(o, page);
			continue;
		}
		ret = drum_claim(d, NULL, word & DRUM_ADDR_MASK);
		if (moving && ret == -EEXIST) {
			object_pop(o, page);
			continue;
		}
		cr_assert_eq(ret, 0, "page %u, word %#llx: two owners", (unsigned int)page,
			     (unsigned long long)word);
		set(o, page, word & ~SWB_MOVING);
	}
}

static void restart(struct object *o[2], struct drum *d, const int *copy, int first)
{
	for (int i = 0; i < 2; i++)
		o[i] = open_fd(copy[i], PAGES, NULL);
	claim(o[first], d, false);
	claim(o[!first], d, false);
	claim(o[first], d, true);
	claim(o[!first], d, true);
	cr_assert_eq(drum_blocks(d) - drum_avail(d), object_count(o[0]) + object_count(o[1]));
}

/* Every page of src is at its block, here or there; or dst had one of its own. */
static void look_at_copy(void *arg, const int *copy)
{
	static int first;
	struct drum *d = make_drum(1000);
	struct object *o[2];

	(void)arg;
	first = !first;
	restart(o, d, copy, first);
	for (uint64_t i = 0; i < 40; i++) {
		uint64_t want = drum_make(1, 100 + i) | SWB_VALID;
		bool there = object_get(o[DST], i) == want,
		     here = object_get(o[SRC], i) == want;

		if (i == 20)
			cr_assert_eq(object_get(o[DST], i), drum_make(1, 500) | SWB_VALID);
		else
			cr_assert(here != there, "page %u: %d, %d", (unsigned int)i, here,
				  there);
	}
	/* and it can be done again */
	cr_assert_eq(object_copy(o[DST], o[SRC], d, 0, 0, PAGES, true), 0);
	for (uint64_t i = 0; i < 40; i++)
		cr_assert_eq(object_get(o[DST], i),
			     drum_make(1, i == 20 ? 500 : 100 + i) | SWB_VALID);
	cr_assert_eq(object_get(o[DST], 45) & SWB_FLAGS, SWB_RESERVED);
	cr_assert_eq(object_count(o[DST]), 41);
	cr_assert_eq(drum_avail(d), 1000 - 41);
	object_close(o[0]);
	object_close(o[1]);
	drum_destroy(d);
}

static void do_copy(void *arg)
{
	(void)arg;
	if (object_copy(live.o[DST], live.o[SRC], live.d, 0, 0, PAGES, true) < 0)
		_exit(1);
}

static void set_out(int fd[2])
{
	live.d = make_drum(1000);
	for (int i = 0; i < 2; i++) {
		fd[i] = new_file();
		live.o[i] = open_fd(fd[i], PAGES, NULL);
	}
}

static void clear_away(const int fd[2])
{
	for (int i = 0; i < 2; i++) {
		object_close(live.o[i]);
		close(fd[i]);
	}
	drum_destroy(live.d);
}

Test(object_range, copy_may_be_cut_off_anywhere, LIMIT)
{
	unsigned int n;
	int fd[2];

	set_out(fd);
	for (uint64_t i = 0; i < 40; i++)
		put(live.o[SRC], live.d, i, 100 + i);
	put(live.o[DST], live.d, 20, 500);
	cr_assert_eq(object_reserve(live.o[DST], live.d, 10, 1), 0);
	cr_assert_eq(object_reserve(live.o[SRC], live.d, 45, 1), 0);
	n = crash_everywhere(do_copy, fd, 2, look_at_copy, NULL);
	cr_assert_geq(n, 3 * 40, "%u states", n);
	clear_away(fd);
}

static void do_reserve(void *arg)
{
	(void)arg;
	if (object_reserve(live.o[SRC], live.d, 0, 50) < 0)
		_exit(1);
}

/* What it had is there; of the new ones, none or some; and again gives all. */
static void look_at_reserve(void *arg, const int *copy)
{
	struct drum *d = make_drum(1000);
	struct object *o[2];

	restart(o, d, copy, 0);
	++*(unsigned int *)arg;
	cr_assert_eq(object_get(o[SRC], 7), drum_make(1, 100) | SWB_VALID);
	cr_assert_eq(object_get(o[SRC], 30) & SWB_FLAGS, SWB_RESERVED);
	/* the flags come when the last block is there: 48 words without one */
	if (*(unsigned int *)arg <= 48)
		cr_assert_eq(object_count(o[SRC]), 2, "in state %u", *(unsigned int *)arg);
	cr_assert_eq(object_reserve(o[SRC], d, 0, 50), 0);
	cr_assert_eq(drum_avail(d), 950);
	object_close(o[0]);
	object_close(o[1]);
	drum_destroy(d);
}

Test(object_range, reserve_may_be_cut_off_anywhere, LIMIT)
{
	unsigned int state = 0;
	int fd[2];

	set_out(fd);
	put(live.o[SRC], live.d, 7, 100);
	cr_assert_eq(object_reserve(live.o[SRC], live.d, 30, 1), 0);
	crash_everywhere(do_reserve, fd, 2, look_at_reserve, &state);
	cr_assert_geq(state, 2 * 48);
	clear_away(fd);
}

static void do_free(void *arg)
{
	(void)arg;
	object_free_range(live.o[SRC], live.d, 10, 20);
}

static void look_at_free(void *arg, const int *copy)
{
	struct drum *d = make_drum(1000);
	struct object *o[2];

	(void)arg;
	restart(o, d, copy, 0);
	for (uint64_t i = 0; i < 40; i++)
		if (i < 10 || i >= 30)
			cr_assert_eq(object_get(o[SRC], i), drum_make(1, 100 + i) | SWB_VALID);
	object_free_range(o[SRC], d, 10, 20);
	cr_assert_eq(drum_avail(d), 1000 - 20);
	object_close(o[0]);
	object_close(o[1]);
	drum_destroy(d);
}

Test(object_range, free_may_be_cut_off_anywhere, LIMIT)
{
	int fd[2];

	set_out(fd);
	for (uint64_t i = 0; i < 40; i++)
		put(live.o[SRC], live.d, i, 100 + i);
	cr_assert_geq(crash_everywhere(do_free, fd, 2, look_at_free, NULL), 20);
	clear_away(fd);
}
