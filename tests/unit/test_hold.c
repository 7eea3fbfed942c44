/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Holds: pages of every state are made present, stay as they are while they are held, and
 * nothing is lost or read for nothing.  A guest here is a memfd, a drum on a real file,
 * and no process that maps it.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "unit/memory_guest.h"
#include "vmm/guest.h"

#define LIMIT  .timeout = 60
#define PAGES  65536u
#define BLOCKS 8192u

static struct guest g;
static struct paging paging;
static uint64_t was_free;
static int swap_fd;

static int ended, end_err;

static void on_done(struct hold *h, int err)
{
	(void)h;
	ended++;
	end_err = err;
}

static void set_up(void)
{
	char name[] = "hold-XXXXXX";

	memset(&g, 0, sizeof(g));
	swap_fd = mkstemp(name);
	cr_assert(swap_fd >= 0);
	unlink(name);
	cr_assert_eq(ftruncate(swap_fd, (off_t)BLOCKS * SWAP_BLOCK), 0);
	g.drum = drum_create();
	cr_assert_eq(drum_add(g.drum,
			      device_file_create("file", "/swap", dup(swap_fd), 1, 1,
						 (uint64_t)BLOCKS * SWAP_BLOCK, 0),
			      0, 1),
		     1);
	paging = (struct paging){ .cluster = 16,
				  .depth = 4,
				  .total_writes = 8,
				  .reads = 8,
				  .give_up = 300 * NSEC_PER_MSEC };
	paging.zone.max = 10000;
	g.paging = &paging;
	cr_assert_eq(holds_init(&g.holds), 0);
	memory_guest(&g, PAGES);
	was_free = drum_avail(g.drum);
	ended = 0;
	end_err = 1;
}

static uint8_t byte_of(uint64_t page)
{
	return (uint8_t)(page * 7 + 1);
}

/* n pages on swap, in blocks that follow each other. */
static void swap_out(uint64_t page, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		uint8_t data[PAGE_SIZE];
		uint64_t got;
		drum_addr a = drum_alloc(g.drum, NULL, 1, &got);

		cr_assert_eq(got, 1);
		memset(data, byte_of(page + i), sizeof(data));
		cr_assert_eq(pwrite(swap_fd, data, sizeof(data),
				    (off_t)(drum_block_of(a) * SWAP_BLOCK)),
			     PAGE_SIZE);
		cr_assert_eq(object_set(g.object, page + i, a | SWB_VALID), 0);
		page_set(&g.pages, page + i, PAGE_SWAPPED);
	}
}

static void make(uint64_t page, enum page_state s)
{
	uint64_t got;

	if (s == PAGE_HOLE)
		return;
	if (s == PAGE_SWAPPED || s == PAGE_READING) {
		swap_out(page, 1);
		if (s == PAGE_READING)
			cr_assert_eq(pagein_prefetch(&g, page, 1), 1);
		return;
	}
	memset(g.map + page * PAGE_SIZE, byte_of(page), PAGE_SIZE);
	page_set(&g.pages, page, PAGE_ACTIVE);
	if (s == PAGE_ACTIVE)
		return;
	page_set(&g.pages, page, PAGE_INACTIVE);
	if (s == PAGE_INACTIVE)
		return;
	cr_assert_eq(
		object_set(g.object, page, drum_alloc(g.drum, NULL, 1, &got) | SWB_WRITING), 0);
	page_set(&g.pages, page, PAGE_WRITING);
}

/* As a turn of the worker does it. */
static void until_done(struct hold *h, unsigned int ms)
{
	uint64_t end = clock_ns() + ms * NSEC_PER_MSEC;

	(void)h;
	while (!ended && clock_ns() < end) {
		cr_assert(ring_run(g.ring, NSEC_PER_MSEC) >= 0);
		pagein_retry(&g, clock_ns());
		holds_step(&g, clock_ns());
	}
	cr_assert_eq(ended, 1);
}

static bool holds_byte(uint64_t page, uint8_t byte)
{
	for (size_t i = 0; i < PAGE_SIZE; i++)
		if (g.map[page * PAGE_SIZE + i] != byte)
			return false;
	return true;
}

TestSuite(hold, .init = set_up, LIMIT);

Test(hold, pages_of_every_state)
{
	struct hold_range r[PAGE_STATES];
	struct hold h = { .done = on_done, .range = r, .nranges = PAGE_STATES };

	for (unsigned int s = 0; s < PAGE_STATES; s++) {
		r[s] = (struct hold_range){ 10 * s + 1, 1, HOLD_READ };
		make(10 * s + 1, (enum page_state)s);
	}
	cr_assert_eq(hold_begin(&g, &h), 1, "two are on swap");
	until_done(&h, 5000);
	cr_assert_eq(end_err, 0);
	for (unsigned int s = 0; s < PAGE_STATES; s++) {
		cr_expect_eq(page_get(&g.pages, r[s].page), PAGE_ACTIVE, "%s",
			     page_state_name((enum page_state)s));
		cr_expect(page_is_held(&g.pages, r[s].page));
		cr_expect(holds_byte(r[s].page, s == PAGE_HOLE ? 0 : byte_of(r[s].page)), "%s",
			  page_state_name((enum page_state)s));
	}
	cr_assert_eq(g.holds.pages, PAGE_STATES);
	hold_end(&g, &h);
	cr_assert_eq(g.holds.pages, 0);
	for (unsigned int s = 0; s < PAGE_STATES; s++)
		cr_expect(!page_is_held(&g.pages, r[s].page));
}

Test(hold, what_is_there_is_held_at_once)
{
	struct hold_range r = { 5, 3, HOLD_WRITE };
	struct hold h = { .done = on_done, .range = &r, .nranges = 1 };

	make(5, PAGE_ACTIVE);
	page_mark_zapping(&g.pages, 5);
	make(6, PAGE_INACTIVE);
	cr_assert_eq(hold_begin(&g, &h), 0);
	cr_assert(!page_is_zapping(&g.pages, 5), "the zap does not make it inactive");
	cr_assert_eq(page_find(&g.pages, 0, PAGES, PAGE_ACTIVE), PAGES, "no hand finds them");
	cr_assert_eq(ended, 0);
	hold_end(&g, &h);
	cr_assert_eq(page_find(&g.pages, 0, PAGES, PAGE_ACTIVE), 5);
}

Test(hold, a_run_longer_than_all_page_ins)
{
	struct hold_range r = { 100, HOLD_PAGES_MAX, HOLD_READ };
	struct hold h = { .done = on_done, .range = &r, .nranges = 1 };

	swap_out(100, HOLD_PAGES_MAX);
	cr_assert_eq(hold_begin(&g, &h), 1);
	cr_assert_gt(pagein_busy(&g), 4, "many are begun at once");
	until_done(&h, 20000);
	cr_assert_eq(end_err, 0);
	for (uint64_t p = 100; p < 100 + HOLD_PAGES_MAX; p++)
		cr_assert(holds_byte(p, byte_of(p)), "page %llu", (unsigned long long)p);
	cr_assert_eq(g.holds.pages_in, HOLD_PAGES_MAX);
	hold_end(&g, &h);
}

Test(hold, what_is_overwritten_is_not_read)
{
	struct hold_range r = { 40, 8, HOLD_OVERWRITE };
	struct hold h = { .done = on_done, .range = &r, .nranges = 1 };

	swap_out(40, 8);
	cr_assert_eq(was_free - drum_avail(g.drum), 8);
	cr_assert_eq(hold_begin(&g, &h), 0);
	cr_assert_eq(pagein_busy(&g), 0);
	cr_assert_eq(drum_avail(g.drum), was_free, "their blocks are free");
	cr_assert_eq(object_count(g.object), 0);
	cr_assert_eq(g.holds.avoided, 8);
	for (uint64_t p = 40; p < 48; p++)
		cr_assert(holds_byte(p, 0));
	hold_end(&g, &h);
}

Test(hold, one_that_is_being_read_is_waited_for_though_it_is_to_be_overwritten)
{
	struct hold_range r = { 40, 1, HOLD_OVERWRITE };
	struct hold h = { .done = on_done, .range = &r, .nranges = 1 };

	make(40, PAGE_READING);
	cr_assert_eq(hold_begin(&g, &h), 1, "else the read would overwrite it later");
	until_done(&h, 5000);
	cr_assert_eq(end_err, 0);
	cr_assert(holds_byte(40, byte_of(40)));
	hold_end(&g, &h);
	cr_assert_eq(kept_count(&g.kept), 0, "a copy would be of no use");
}

Test(hold, two_holds_of_one_page)
{
	struct hold_range ra[] = { { 7, 2, HOLD_READ }, { 8, 1, HOLD_WRITE } },
			  rb = { 8, 2, HOLD_READ };
	struct hold a = { .done = on_done, .range = ra, .nranges = 2 };
	struct hold b = { .done = on_done, .range = &rb, .nranges = 1 };

	for (uint64_t p = 7; p < 10; p++)
		make(p, PAGE_ACTIVE);
	cr_assert_eq(hold_begin(&g, &a), 0);
	cr_assert_eq(hold_begin(&g, &b), 0);
	hold_end(&g, &a);
	cr_assert(!page_is_held(&g.pages, 7));
	cr_assert(page_is_held(&g.pages, 8) && page_is_held(&g.pages, 9));
	hold_end(&g, &b);
	cr_assert(!page_is_held(&g.pages, 8) && !page_is_held(&g.pages, 9));
}

Test(hold, given_back_while_held)
{
	struct hold_range r = { 7, 1, HOLD_WRITE };
	struct hold h = { .done = on_done, .range = &r, .nranges = 1 };

	make(7, PAGE_ACTIVE);
	cr_assert_eq(hold_begin(&g, &h), 0);
	cr_assert_eq(ram_punch(&g, 7, 1), 0);
	page_set(&g.pages, 7, PAGE_HOLE);
	cr_assert(!page_is_held(&g.pages, 7));
	page_set(&g.pages, 7, PAGE_ACTIVE);
	hold_end(&g, &h);
	cr_assert_eq(g.pages.byte[7], PAGE_ACTIVE);
	cr_assert_eq(g.holds.pages, 0);
}

Test(hold, what_had_been_given_back_before_is_mended)
{
	struct hold_range r = { 7, 2, HOLD_WRITE };
	struct hold h = { .done = on_done, .range = &r, .nranges = 1 };

	struct stat st;

	make(7, PAGE_ACTIVE);
	make(8, PAGE_ACTIVE);
	cr_assert_eq(ram_punch(&g, 7, 1), 0); /* and nobody has told */
	cr_assert_eq(hold_begin(&g, &h), 0);
	cr_assert_eq(fstat(g.region[0].fd, &st), 0);
	cr_assert_eq(st.st_blocks, 8);
	cr_assert_eq(hold_mend(&g, &h), 0);
	cr_assert_eq(fstat(g.region[0].fd, &st), 0);
	cr_assert_eq(st.st_blocks, 16);
	cr_assert(holds_byte(7, 0));
	cr_assert(holds_byte(8, byte_of(8)));
	hold_end(&g, &h);
}

Test(hold, a_page_that_cannot_be_read_fails_the_hold)
{
	struct hold_range r[] = { { 3, 1, HOLD_WRITE }, { 50, 2, HOLD_READ } };
	struct hold h = { .done = on_done, .range = r, .nranges = 2 };

	make(3, PAGE_ACTIVE);
	swap_out(50, 2);
	cr_assert_eq(ftruncate(swap_fd, 0), 0); /* reads stop short */
	cr_assert_eq(hold_begin(&g, &h), 1);
	until_done(&h, 5000);
	cr_assert_eq(end_err, -EIO);
	cr_assert(!page_is_held(&g.pages, 3));
	cr_assert_eq(g.holds.pages, 0);
	cr_assert_eq(page_get(&g.pages, 50), PAGE_SWAPPED, "it is where it was");
	cr_assert_eq(object_count(g.object), 2);
}

Test(hold, a_page_whose_block_has_two_owners_fails_it_at_once)
{
	struct hold_range r[] = { { 3, 1, HOLD_WRITE }, { 50, 1, HOLD_READ } };
	struct hold h = { .done = on_done, .range = r, .nranges = 2 };

	make(3, PAGE_ACTIVE);
	swap_out(50, 1);
	cr_assert_eq(object_set(g.object, 50, object_get(g.object, 50) | SWB_LOST), 0);
	cr_assert_eq(hold_begin(&g, &h), -EIO);
	cr_assert(!page_is_held(&g.pages, 3));
	cr_assert_eq(g.holds.pages, 0);
	/* who overwrites it needs none */
	r[1].how = HOLD_OVERWRITE;
	cr_assert_eq(hold_begin(&g, &h), 0);
	cr_assert_eq(was_free - drum_avail(g.drum), 1, "the other owner's block is not freed");
	hold_end(&g, &h);
	cr_assert_eq(ended, 0);
}

Test(hold, it_is_tried_again_until_it_can_be_read)
{
	struct hold_range r = { 50, 1, HOLD_READ };
	struct hold h = { .done = on_done, .range = &r, .nranges = 1 };
	off_t size = (off_t)BLOCKS * SWAP_BLOCK;
	uint8_t data[PAGE_SIZE];
	uint64_t block;

	swap_out(50, 1);
	block = drum_block_of(object_get(g.object, 50) & DRUM_ADDR_MASK);
	cr_assert_eq(ftruncate(swap_fd, 0), 0);
	cr_assert_eq(hold_begin(&g, &h), 1);
	for (int i = 0; i < 20; i++) {
		cr_assert(ring_run(g.ring, NSEC_PER_MSEC) >= 0);
		holds_step(&g, clock_ns());
	}
	cr_assert_eq(ended, 0);
	cr_assert_eq(ftruncate(swap_fd, size), 0);
	memset(data, byte_of(50), sizeof(data));
	cr_assert_eq(pwrite(swap_fd, data, sizeof(data), (off_t)(block * SWAP_BLOCK)),
		     PAGE_SIZE);
	until_done(&h, 5000);
	cr_assert_eq(end_err, 0);
	cr_assert(holds_byte(50, byte_of(50)));
	hold_end(&g, &h);
}

Test(hold, ended_while_it_waits)
{
	struct hold_range r = { 50, 4, HOLD_READ };
	struct hold h = { .done = on_done, .range = &r, .nranges = 1 };

	swap_out(50, 4);
	cr_assert_eq(hold_begin(&g, &h), 1);
	hold_end(&g, &h);
	while (pagein_busy(&g) > 0)
		cr_assert(ring_run(g.ring, NSEC_PER_MSEC) >= 0);
	holds_step(&g, clock_ns());
	cr_assert_eq(ended, 0);
	cr_assert_eq(page_get(&g.pages, 50), PAGE_INACTIVE);
	cr_assert_eq(g.holds.pages, 0);
	cr_assert_null(g.holds.wait);
}

Test(hold, more_than_all_may_hold_waits_its_turn)
{
	static struct hold_range r[HOLDS_PAGES_MAX / HOLD_PAGES_MAX + 2];
	static struct hold h[HOLDS_PAGES_MAX / HOLD_PAGES_MAX + 2];
	unsigned int n = HOLDS_PAGES_MAX / HOLD_PAGES_MAX;

	for (unsigned int i = 0; i < n + 2; i++) {
		/* one page is left, and who comes last would be content with it */
		r[i] = (struct hold_range){ 0, HOLD_PAGES_MAX - (i == 0), HOLD_READ };
		if (i == n + 1)
			r[i].n = 1;
		h[i] = (struct hold){ .done = on_done, .range = &r[i], .nranges = 1 };
		cr_assert_eq(hold_begin(&g, &h[i]), i >= n, "%u", i);
	}
	holds_step(&g, clock_ns());
	cr_assert_eq(ended, 0, "not the small one before the large one either");
	hold_end(&g, &h[3]);
	holds_step(&g, clock_ns());
	cr_assert_eq(ended, 1);
	hold_end(&g, &h[0]);
	holds_step(&g, clock_ns());
	cr_assert_eq(ended, 2);
	for (unsigned int i = 1; i < n + 2; i++)
		if (i != 3)
			hold_end(&g, &h[i]);
	cr_assert_eq(g.holds.pages, 0);
	cr_assert_eq(g.holds.queued, 0);
	for (uint64_t p = 0; p < HOLD_PAGES_MAX; p++)
		cr_assert(!page_is_held(&g.pages, p));
	for (uint32_t i = 0; i < 2 * HOLDS_PAGES_MAX; i++)
		cr_assert_eq(g.holds.slot[i].count, 0);
}

Test(hold, ranges_that_the_guest_does_not_have)
{
	struct hold_range r[] = { { PAGES - 1, 2, HOLD_READ },
				  { PAGES, 1, HOLD_READ },
				  { UINT64_MAX, 1, HOLD_READ },
				  { 1, UINT32_MAX, HOLD_READ },
				  { 1, HOLD_PAGES_MAX + 1, HOLD_READ } };

	for (size_t i = 0; i < sizeof(r) / sizeof(*r); i++) {
		struct hold h = { .done = on_done, .range = &r[i], .nranges = 1 };

		cr_expect_eq(hold_begin(&g, &h), -EINVAL, "%zu", i);
	}
	cr_assert_eq(g.holds.pages, 0);
}

/* Many holds that come and go at random, of pages all over the table: its counts are those
 * of a plain array. */
Test(hold, counts_at_random)
{
	static struct hold h[512];
	static struct hold_range r[512];
	static bool on[512];
	static uint16_t want[PAGES];
	uint64_t rng = 88172645463325252u;

	for (uint64_t p = 0; p < PAGES; p++)
		page_set(&g.pages, p, PAGE_ACTIVE);
	for (int step = 0; step < 20000; step++) {
		unsigned int i;

		rng ^= rng << 13;
		rng ^= rng >> 7;
		rng ^= rng << 17;
		i = rng % 512;
		if (on[i]) {
			hold_end(&g, &h[i]);
		} else {
			r[i] = (struct hold_range){ (rng >> 20) % (PAGES - 32),
						    1 + (rng >> 40) % 30, HOLD_READ };
			h[i] = (struct hold){ .done = on_done, .range = &r[i], .nranges = 1 };
			cr_assert_eq(hold_begin(&g, &h[i]), 0);
		}
		for (uint32_t k = 0; k < r[i].n; k++)
			want[r[i].page + k] += on[i] ? -1 : 1;
		on[i] = !on[i];
		if (step % 500)
			continue;
		for (uint64_t p = 0; p < PAGES; p++)
			cr_assert_eq(page_is_held(&g.pages, p), want[p] > 0);
	}
}
