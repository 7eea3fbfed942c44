/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clean copies: what the table, the object's words and the drum's blocks say must
 * agree, and a page that has changed is never taken for its copy.  A guest here is
 * an object, a drum and some memory.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/guest.h"

#define LIMIT	.timeout = 30
#define BLOCKS	8192u
#define PAGES	256u
#define BUCKETS (PAGES / 32)

static struct guest g;
static struct paging paging;
static uint64_t was_free;

static void set_up(void)
{
	struct swap_device *dev =
		device_file_create("file", "/swap", dup(2), 1, 1, BLOCKS * SWAP_BLOCK, 0);
	struct err e = { 0 };

	cr_assert_not_null(dev);
	memset(&g, 0, sizeof(g));
	g.drum = drum_create();
	cr_assert_not_null(g.drum);
	cr_assert_eq(drum_add(g.drum, dev, 0, 1), 1);
	paging.zone.max = 1000;
	g.paging = &paging;
	g.npages = PAGES;
	g.state = GUEST_RUNNING;
	g.object = object_open(memfd_create("object", 0), PAGES, NULL, &e);
	cr_assert_not_null(g.object, "%s", e.text);
	g.map = mmap(NULL, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq((void *)g.map, MAP_FAILED);
	cr_assert_eq(kept_init(&g.kept, PAGES), 0);
	cr_assert_eq(g.kept.buckets, BUCKETS);
	was_free = drum_avail(g.drum);
}

static uint8_t *data(uint64_t page)
{
	return g.map + page * PAGE_SIZE;
}

/* The page has been read from swap. */
static void comes_in(uint64_t page)
{
	uint64_t got;
	drum_addr a = drum_alloc(g.drum, 1, &got);

	cr_assert_eq(got, 1);
	cr_assert_eq(object_set(g.object, page, a | SWB_VALID), 0);
	memset(data(page), (int)page + 1, PAGE_SIZE);
}

static void keep(uint64_t page)
{
	comes_in(page);
	cr_assert(kept_put(&g, page, data(page)));
}

static bool is_kept(uint64_t page)
{
	return (object_get(g.object, page) & SWB_FLAGS) == SWB_KEPT;
}

static bool goes_clean(uint64_t page)
{
	uint64_t clean;

	kept_compare(&g, &page, 1, &clean);
	return clean == 1;
}

/* n copies or valid words, each with its block. */
static void has(uint64_t kept, uint64_t words)
{
	cr_assert_eq(kept_count(&g.kept), kept);
	cr_assert_eq(object_count(g.object), words);
	cr_assert_eq(was_free - drum_avail(g.drum), words);
}

TestSuite(kept, .init = set_up, LIMIT);

Test(kept, the_same)
{
	uint64_t word;

	keep(5);
	word = object_get(g.object, 5);
	has(1, 1);
	cr_assert(goes_clean(5));
	cr_assert_eq(object_get(g.object, 5), ((word & DRUM_ADDR_MASK) | SWB_VALID));
	has(0, 1);
}

Test(kept, a_byte_has_changed)
{
	static const size_t at[] = { 0, 1, PAGE_SIZE / 2, PAGE_SIZE - 1 };

	for (size_t i = 0; i < sizeof(at) / sizeof(*at); i++) {
		keep(5);
		data(5)[at[i]] ^= 1;
		cr_assert(!goes_clean(5), "byte %zu", at[i]);
		has(0, 0);
	}
}

Test(kept, a_full_bucket_gives_up_the_oldest)
{
	for (uint64_t k = 0; k < 32; k++) {
		keep(k * BUCKETS + 3);
		has(k < 8 ? k + 1 : 8, k < 8 ? k + 1 : 8);
		for (uint64_t j = 0; j <= k; j++)
			cr_assert_eq(is_kept(j * BUCKETS + 3), j + 8 > k);
	}
}

Test(kept, pages_of_a_bucket_are_told_apart)
{
	for (uint64_t k = 0; k < 32; k++) {
		keep(k * BUCKETS + 3);
		for (uint64_t j = 0; j < 32; j++)
			if (j != k)
				kept_drop(&g, j * BUCKETS + 3);
		has(1, 1);
		cr_assert(is_kept(k * BUCKETS + 3));
		kept_drop(&g, k * BUCKETS + 3);
		has(0, 0);
	}
}

Test(kept, lost_to_another_owner)
{
	drum_addr a;

	keep(7);
	a = object_get(g.object, 7) & DRUM_ADDR_MASK;
	cr_assert_eq(kept_lose(&g, 7), 1);
	cr_assert_eq(object_count(g.object) + kept_count(&g.kept), 0);
	cr_assert_eq(was_free - drum_avail(g.drum), 1, "the block is not free");
	drum_free(g.drum, a, 1);
}

Test(kept, reclaim)
{
	cr_assert(!kept_reclaim(&g));
	for (uint64_t p = 0; p < 60; p++)
		keep(p);
	while (kept_reclaim(&g))
		;
	has(0, 0);
}

Test(kept, nothing_of_a_guest_that_is_paged_in)
{
	for (uint64_t p = 0; p < 60; p++)
		keep(p);
	kept_step(&g, 1);
	has(60, 60);
	g.job = JOB_IN;
	comes_in(100);
	cr_assert(!kept_put(&g, 100, data(100)));
	kept_step(&g, 1);
	has(0, 1);
}

/* Not on a device with few free blocks, and what was there goes. */
Test(kept, a_device_that_is_nearly_full)
{
	uint64_t got;
	drum_addr a;

	keep(0);
	comes_in(1);
	cr_assert(!drum_tight(g.drum));
	a = drum_alloc(g.drum, BLOCKS - DRUM_TIGHT_BLOCKS, &got);
	cr_assert_neq(a, DRUM_NONE);
	cr_assert(drum_tight(g.drum));
	cr_assert(!drum_keeps(g.drum, a));
	cr_assert(!kept_put(&g, 1, data(1)));
	kept_step(&g, 1);
	cr_assert_eq(kept_count(&g.kept), 0);
	drum_free(g.drum, a, got);
	cr_assert(!drum_tight(g.drum));
	has(0, 1);
}

Test(kept, forgotten)
{
	keep(1);
	kept_forget(&g.kept);
	cr_assert_eq(kept_count(&g.kept), 0);
	cr_assert(!kept_reclaim(&g));
	cr_assert(!goes_clean(1));
}

/* Random operations, against an array of what each page has. */
Test(kept, as_a_plain_array)
{
	static bool kept[PAGES], valid[PAGES];
	uint64_t nkept, nwords;

	srand(1);
	for (int i = 0; i < 20000; i++) {
		uint64_t p = (uint64_t)rand() % PAGES;

		if (valid[p]) { /* it comes in again */
			kept[p] = kept_put(&g, p, data(p));
			cr_assert(kept[p]);
			valid[p] = false;
		} else if (!kept[p]) {
			keep(p);
			kept[p] = true;
		} else if (rand() % 3 == 0) {
			kept_drop(&g, p);
			kept[p] = false;
		} else {
			bool same = rand() % 2;

			if (!same)
				data(p)[rand() % PAGE_SIZE] ^= 1;
			cr_assert_eq(goes_clean(p), same);
			kept[p] = false;
			valid[p] = same;
		}
		nkept = nwords = 0;
		for (uint64_t k = 0; k < PAGES; k++) {
			if (kept[k] && !is_kept(k)) { /* of p's bucket, pushed out by it */
				cr_assert_eq(k % BUCKETS, p % BUCKETS);
				kept[k] = false;
			}
			cr_assert_eq(is_kept(k), kept[k]);
			nkept += kept[k];
			nwords += kept[k] || valid[k];
		}
		has(nkept, nwords);
	}
}
