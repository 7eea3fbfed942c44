/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clean copies: what the table, the object's words and the drum's blocks say must
 * agree, and a page that has changed is never taken for its copy.  A guest here is
 * an object, a drum and some memory.
 */
#include <criterion/criterion.h>
#include <errno.h>
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
	drum_addr a = drum_alloc(g.drum, NULL, 1, &got);

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
	drum_free(g.drum, NULL, a, 1);
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
	a = drum_alloc(g.drum, NULL, BLOCKS - DRUM_TIGHT_BLOCKS, &got);
	cr_assert_neq(a, DRUM_NONE);
	cr_assert(drum_tight(g.drum));
	cr_assert(!drum_keeps(g.drum, NULL, a));
	cr_assert(!kept_put(&g, 1, data(1)));
	kept_step(&g, 1);
	cr_assert_eq(kept_count(&g.kept), 0);
	drum_free(g.drum, NULL, a, got);
	cr_assert(!drum_tight(g.drum));
	has(0, 1);
}

/* A device of which nothing is kept, so that there is a reason to look. */
static void add_tight(void)
{
	struct swap_device *dev =
		device_file_create("file", "/small", dup(2), 1, 2, 1000 * SWAP_BLOCK, 0);

	cr_assert_not_null(dev);
	cr_assert_eq(drum_add(g.drum, dev, -1, 2), 2);
	cr_assert(drum_tight(g.drum));
}

/* Copies of 60 pages, all of which were found in order a moment ago. */
static uint64_t looked_at(void)
{
	const uint64_t now = NSEC_PER_SEC;

	for (uint64_t p = 0; p < 60; p++)
		keep(p);
	add_tight();
	kept_step(&g, now);
	cr_assert_eq(kept_count(&g.kept), 60);
	return now;
}

/* This one has looked, and would not again for long: another guest has no room. */
Test(kept, copies_make_room_for_another_guest)
{
	static struct guest other;
	uint64_t now = looked_at(), got, left = BLOCKS - 60;
	drum_addr a;

	other.drum = g.drum;
	other.paging = &paging;
	cr_assert_eq(kept_init(&other.kept, PAGES), 0);
	a = drum_alloc(g.drum, NULL, left, &got);
	cr_assert_eq(got, left);
	cr_assert_neq(a, DRUM_NONE);
	a = drum_alloc(g.drum, NULL, 1000, &got);
	cr_assert_eq(got, 1000);
	cr_assert_eq(drum_alloc(g.drum, NULL, 1, &got), DRUM_NONE);
	cr_assert(!kept_reclaim(&other));
	kept_step(&g, now + 100 * NSEC_PER_MSEC);
	cr_assert_eq(kept_count(&g.kept), 0);
	a = drum_alloc(g.drum, NULL, 60, &got);
	cr_assert_neq(a, DRUM_NONE);
	cr_assert_eq(got, 60);
}

Test(kept, none_on_a_device_that_is_being_switched_off)
{
	uint64_t now = looked_at();

	kept_step(&g, now + 100 * NSEC_PER_MSEC);
	cr_assert_eq(kept_count(&g.kept), 60);
	drum_set_off(g.drum, 1, true);
	kept_step(&g, now + 200 * NSEC_PER_MSEC);
	cr_assert_eq(kept_count(&g.kept), 0);
	cr_assert_eq(object_count(g.object), 0);
}

static int code_of_job = 1;

static void completed(void *arg, struct command *cmd)
{
	(void)arg;
	code_of_job = cmd->err.code;
}

/* Swap is full, and others have copies: they give them up, but `guest out` ends. */
Test(kept, guest_out_waits_for_others)
{
	static const struct guest_ops ops = { .completed = completed };
	struct command cmd = { .guest = &g };

	cr_assert_eq(pages_init(&g.pages, PAGES), 0);
	page_set(&g.pages, 0, PAGE_ACTIVE);
	g.ops = &ops;
	for (int round = 0; round < 2; round++) {
		g.job = JOB_OUT;
		g.job_cmd = &cmd;
		g.job_todo = UINT64_MAX;
		g.swap_full = true;
		paging.kept = 100;
		code_of_job = 1;
		for (int i = 0; i < 3; i++)
			job_step(&g);
		cr_assert_eq(g.job, JOB_OUT, "%s", cmd.err.text);
		if (round == 0)
			g.job_since -= 2 * NSEC_PER_SEC;
		else
			paging.kept = 0;
		job_step(&g);
		cr_assert_eq(g.job, JOB_NONE);
		cr_assert_eq(code_of_job, -ENOSPC);
	}
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
