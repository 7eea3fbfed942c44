/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of pages and blocks, by hand and at random against a plain array. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/blocktable.h"

#define LIMIT	.timeout = 60
#define PAGES	256u
#define BUCKETS (PAGES / BLOCKTABLE_SHARE)

static struct blocktable t;

static void set_up(void)
{
	cr_assert_eq(blocktable_init(&t, PAGES, 0x1234567890abcdef), 0);
	cr_assert_eq(blocktable_populate(&t, SIZE_MAX), 1);
}

static void tear_down(void)
{
	blocktable_fini(&t);
}

static struct block_record record(uint64_t page, unsigned int disk, uint64_t block)
{
	return (struct block_record){ .page = page,
				      .at = { disk, block },
				      .hashed = true,
				      .hash = { { page * 3, block * 5 } } };
}

static bool put(uint64_t page, unsigned int disk, uint64_t block)
{
	struct block_record r = record(page, disk, block);

	return blocktable_put(&t, &r);
}

static void evict(uint64_t page)
{
	blocktable_set_evicted(&t, blocktable_find(&t, page), true);
}

static bool has(uint64_t page)
{
	return blocktable_find(&t, page) != BLOCKTABLE_NONE;
}

TestSuite(blocktable, .init = set_up, .fini = tear_down, LIMIT);

Test(blocktable, what_was_put_is_found)
{
	struct block_record r;

	cr_assert(!has(7));
	cr_assert(put(7, 3, (UINT64_C(1) << BLOCKTABLE_BLOCK_BITS) - 1));
	r = blocktable_get(&t, blocktable_find(&t, 7));
	cr_assert_eq(r.page, 7);
	cr_assert_eq(r.at.disk, 3);
	cr_assert_eq(r.at.block, (UINT64_C(1) << BLOCKTABLE_BLOCK_BITS) - 1);
	cr_assert(r.hashed && !r.evicted);
	cr_assert_eq(r.hash.half[0], 21);
	cr_assert(!has(7 + BUCKETS), "of the same bucket");
	cr_assert_eq(t.n, 1);
	blocktable_drop(&t, blocktable_find(&t, 7));
	cr_assert(!has(7));
	cr_assert_eq(t.n, 0);
}

Test(blocktable, a_page_has_one_block_and_a_block_several_pages)
{
	unsigned int n = 0;
	uint32_t i;

	cr_assert(put(1, 1, 10) && put(2, 1, 10) && put(3, 1, 10) && put(3, 1, 11));
	cr_assert_eq(t.n, 3);
	for (i = blocktable_at(&t, (struct block_id){ 1, 10 }); i != BLOCKTABLE_NONE;
	     i = blocktable_next(&t, i), n++)
		cr_assert_leq(blocktable_get(&t, i).page, 2);
	cr_assert_eq(n, 2);
	cr_assert_eq(blocktable_at(&t, (struct block_id){ 2, 10 }), BLOCKTABLE_NONE,
		     "another disk");
}

Test(blocktable, the_oldest_of_a_bucket_is_forgotten_but_never_one_that_is_evicted)
{
	for (uint64_t k = 0; k < BLOCKTABLE_WAYS; k++)
		cr_assert(put(5 + k * BUCKETS, 1, k));
	evict(5);
	cr_assert(put(5 + 2 * BUCKETS, 1, 100), "it is the newest now");
	cr_assert(put(5 + 8 * BUCKETS, 1, 8));
	cr_assert(has(5) && !has(5 + BUCKETS) && has(5 + 2 * BUCKETS));
	cr_assert(put(5 + 9 * BUCKETS, 1, 9));
	cr_assert(has(5 + 2 * BUCKETS) && !has(5 + 3 * BUCKETS));
	for (uint64_t k = 0; k < BLOCKTABLE_SHARE; k++)
		if (has(5 + k * BUCKETS))
			evict(5 + k * BUCKETS);
	cr_assert_eq(t.evicted, BLOCKTABLE_WAYS);
	cr_assert(!put(5 + BUCKETS, 1, 1), "there is no room");
	cr_assert(!put(5, 1, 1), "nor may one that is evicted be changed");
	cr_assert_eq(t.n, BLOCKTABLE_WAYS);
	blocktable_set_evicted(&t, blocktable_find(&t, 5), false);
	cr_assert(put(5 + BUCKETS, 1, 1));
	cr_assert(!has(5));
}

Test(blocktable, a_block_has_so_many_pages_and_no_more)
{
	for (uint64_t p = 0; p < BLOCKTABLE_PAGES; p++)
		cr_assert(put(p, 1, 77));
	cr_assert(put(20, 1, 77));
	cr_assert_eq(t.n, BLOCKTABLE_PAGES);
	cr_assert(!has(0) && has(1) && has(20), "the first has gone");
	cr_assert(put(20, 1, 77), "its own place is room enough");
	cr_assert_eq(t.n, BLOCKTABLE_PAGES);
	cr_assert(has(1));
	for (uint64_t p = 1; p < BLOCKTABLE_PAGES; p++)
		evict(p);
	evict(20);
	cr_assert(put(30, 1, 78));
	cr_assert(!put(30, 1, 77));
	cr_assert_eq(blocktable_get(&t, blocktable_find(&t, 30)).at.block, 78,
		     "nothing has changed");
}

Test(blocktable, seek)
{
	uint32_t looks = 100000;

	cr_assert_eq(blocktable_seek(&t, (struct block_id){ 1, 0 }, 1000, &looks), 1000);
	cr_assert(put(1, 1, 5000000) && put(2, 2, 700));
	cr_assert_eq(blocktable_seek(&t, (struct block_id){ 1, 3 }, 6000000, &looks), 5000000);
	cr_assert_eq(blocktable_seek(&t, (struct block_id){ 1, 5000000 }, 5000001, &looks),
		     5000000);
	cr_assert_eq(blocktable_seek(&t, (struct block_id){ 1, 5000001 }, 5000700, &looks),
		     5000700);
	cr_assert_eq(blocktable_seek(&t, (struct block_id){ 1, 3 }, 5000000, &looks), 5000000);
	cr_assert_gt(looks, 100000 - 3 * 5000000 / 512 - 10000, "it passes over what is empty");
	looks = 3;
	cr_assert_lt(blocktable_seek(&t, (struct block_id){ 1, 3 }, 6000000, &looks), 2048);
	cr_assert_eq(looks, 0);
}

Test(blocktable, sizes)
{
	struct blocktable other;

	cr_assert_eq(blocktable_init(&other, 1, 1), 0);
	cr_assert_eq(other.buckets, 1);
	blocktable_fini(&other);
	cr_assert_eq(blocktable_init(&other, 0, 1), -EINVAL);
	cr_assert_eq(blocktable_init(&other, UINT64_MAX / 2, 1), -EINVAL);
	/* 4 GiB, as much as 1/256 of it, and in pieces */
	cr_assert_eq(blocktable_init(&other, 1u << 20, 1), 0);
	cr_assert_leq(other.size, (1u << 19) * 32 + (1u << 16));
	cr_assert_eq(blocktable_populate(&other, 1 << 20), 0);
	cr_assert_eq(blocktable_populate(&other, SIZE_MAX), 1);
	cr_assert_eq(blocktable_populate(&other, 1), 1);
	blocktable_fini(&other);
}

/* The naive one: what is known of each page, and when it was noted. */
static struct {
	bool known;
	uint64_t when;
	struct block_record r;
} model[PAGES];

static uint64_t rng = 88172645463325252u;

static uint64_t draw(uint64_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (rng >> 11) % n;
}

/* The oldest page that is in the bucket of `page`, or, if that is no page, at `at`, and may be
 * forgotten; *n: how many there are. */
static uint64_t oldest(uint64_t page, struct block_id at, unsigned int *n)
{
	uint64_t found = PAGES;

	*n = 0;
	for (uint64_t p = 0; p < PAGES; p++) {
		if (!model[p].known || (page < PAGES ? p % BUCKETS != page % BUCKETS
						     : model[p].r.at.disk != at.disk ||
							       model[p].r.at.block != at.block))
			continue;
		++*n;
		if (!model[p].r.evicted &&
		    (found == PAGES || model[p].when < model[found].when))
			found = p;
	}
	return found;
}

static bool model_put(const struct block_record *r, uint64_t now)
{
	uint64_t p = r->page, out = PAGES, twin = PAGES;
	bool was_there = model[p].known;
	unsigned int n;

	if (was_there && model[p].r.evicted)
		return false;
	if (!was_there) {
		out = oldest(p, r->at, &n);
		if (n < BLOCKTABLE_WAYS)
			out = PAGES;
		else if (out == PAGES)
			return false;
	} else {
		out = p;
	}
	twin = oldest(PAGES, r->at, &n);
	/* if that makes room for it, it need not be the oldest of its block */
	if (out < PAGES && model[out].r.at.disk == r->at.disk &&
	    model[out].r.at.block == r->at.block)
		n--;
	if (n < BLOCKTABLE_PAGES)
		twin = PAGES;
	else if (twin == PAGES)
		return false;
	if (out < PAGES)
		model[out].known = false;
	if (twin < PAGES)
		model[twin].known = false;
	model[p].known = true;
	model[p].when = now;
	model[p].r = *r;
	return true;
}

static void compare(void)
{
	uint64_t n = 0, evicted = 0, areas = 0, of[3] = { 0 }, evicted_of[3] = { 0 };

	for (uint32_t i = 0; i < t.areas; i++)
		areas += t.area[i];
	for (uint64_t p = 0; p < PAGES; p++) {
		uint32_t i = blocktable_find(&t, p);
		struct block_record r;

		cr_assert_eq(i != BLOCKTABLE_NONE, model[p].known, "page %lu", p);
		if (i == BLOCKTABLE_NONE)
			continue;
		r = blocktable_get(&t, i);
		cr_assert_eq(r.page, p);
		cr_assert_eq(r.at.disk, model[p].r.at.disk);
		cr_assert_eq(r.at.block, model[p].r.at.block);
		cr_assert_eq(r.evicted, model[p].r.evicted);
		cr_assert_eq(r.hashed, model[p].r.hashed);
		if (r.hashed)
			cr_assert_eq(memcmp(&r.hash, &model[p].r.hash, sizeof(r.hash)), 0);
		n++;
		evicted += r.evicted;
		of[r.at.disk]++;
		evicted_of[r.at.disk] += r.evicted;
	}
	for (unsigned int d = 1; d <= 2; d++) {
		cr_assert_eq(t.of[d].n, of[d]);
		cr_assert_eq(t.of[d].evicted, evicted_of[d]);
	}
	cr_assert_eq(t.n, n);
	cr_assert_eq(areas, n);
	cr_assert_eq(t.evicted, evicted);
}

static void compare_block(struct block_id at)
{
	bool seen[PAGES] = { false };
	uint32_t looks = 1;

	for (uint32_t i = blocktable_at(&t, at); i != BLOCKTABLE_NONE;
	     i = blocktable_next(&t, i)) {
		uint64_t p = blocktable_get(&t, i).page;

		cr_assert(!seen[p]);
		seen[p] = true;
	}
	for (uint64_t p = 0; p < PAGES; p++)
		cr_assert_eq(seen[p], model[p].known && model[p].r.at.disk == at.disk &&
					      model[p].r.at.block == at.block);
	cr_assert_eq(blocktable_seek(&t, at, at.block + 1, &looks) == at.block,
		     blocktable_at(&t, at) != BLOCKTABLE_NONE);
}

Test(blocktable, at_random)
{
	for (uint64_t step = 1; step < 200000; step++) {
		uint64_t page = draw(PAGES), what = draw(100);
		struct block_id at = { 1 + (unsigned int)draw(2), draw(40) * 300 };
		uint32_t i = blocktable_find(&t, page);

		if (what < 60) {
			struct block_record r = {
				page, at, draw(8) == 0, draw(2), { { draw(1000), draw(1000) } }
			};

			cr_assert_eq(blocktable_put(&t, &r), model_put(&r, step), "step %lu",
				     step);
		} else if (i == BLOCKTABLE_NONE) {
			continue;
		} else if (what < 70) {
			blocktable_drop(&t, i);
			model[page].known = false;
		} else if (what < 95) {
			model[page].r.evicted = what < 75;
			blocktable_set_evicted(&t, i, model[page].r.evicted);
		} else {
			struct block_hash h = { { step, what } };

			blocktable_set_hash(&t, i, &h);
			model[page].r.hashed = true;
			model[page].r.hash = h;
		}
		compare_block(at);
		if (step % 16 == 0)
			compare();
	}
}
