/* SPDX-License-Identifier: BSD-2-Clause */
/* Which windows the front hand takes, ghosts, and the distance of the hands. */
#include <criterion/criterion.h>

#include "base/clock.h"
#include "vmm/windows.h"

#define MS     NSEC_PER_MSEC
#define NPAGES (100 * WINDOW_PAGES)

static struct windows w;

static void setup(void)
{
	cr_assert_eq(windows_init(&w, NPAGES), 0);
}

static void teardown(void)
{
	windows_fini(&w);
}

TestSuite(windows, .init = setup, .fini = teardown);

/* The hand takes the window; of its 512 pages so many come back in time. */
static void visit(uint64_t window, unsigned int back)
{
	windows_zapped(&w, window, WINDOW_PAGES);
	for (unsigned int i = 0; i < back; i++)
		windows_back(&w, window * WINDOW_PAGES + i);
}

/* => how often the hand comes by in vain */
static unsigned int passes(uint64_t window)
{
	unsigned int n = 0;

	while (!windows_take(&w, window))
		n++;
	return n;
}

Test(windows, memory_is_bounded)
{
	cr_assert(w.n * sizeof(*w.window) + w.nghosts * sizeof(*w.ghost) <= NPAGES / 2);
}

Test(windows, a_hot_window_is_visited_ever_less_often_and_a_cold_one_always)
{
	static const unsigned int wanted[] = { 1, 3, 7, 15, 31, 31, 31 };

	cr_assert_eq(passes(4), 0);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		visit(4, 500);
		visit(5, 10);
		cr_assert_eq(passes(4), wanted[i], "visit %zu", i);
		cr_assert_eq(passes(5), 0);
	}
	cr_assert_not(windows_is_cold(&w, 4));
	cr_assert(windows_is_cold(&w, 5));
	/* it cools: more often again, step by step */
	for (unsigned int want = 15; want > 0; want /= 2) {
		visit(4, 100);
		cr_assert_eq(passes(4), want);
	}
	visit(4, 100);
	cr_assert_eq(passes(4), 0);
	cr_assert(windows_is_cold(&w, 4));
}

Test(windows, what_comes_back_late_does_not_count)
{
	visit(4, 100);
	windows_judge(&w, 4); /* the back hand is here */
	for (unsigned int i = 0; i < WINDOW_PAGES; i++)
		windows_back(&w, 4 * WINDOW_PAGES + i);
	cr_assert_eq(passes(4), 0);
}

Test(windows, a_half_hot_window_stays_as_it_is)
{
	visit(4, 500);
	cr_assert_eq(passes(4), 1);
	for (int i = 0; i < 10; i++) {
		visit(4, 300);
		cr_assert_eq(passes(4), 1);
	}
}

Test(windows, when_all_are_passed_over_hurrying_makes_the_first_of_them_due)
{
	visit(4, 500);
	visit(5, 500);
	passes(5);
	visit(5, 500);
	cr_assert_not(windows_take(&w, 4)); /* 0 are left */
	cr_assert_not(windows_take(&w, 5)); /* 2 are left */
	windows_hurry(&w, 0);
	cr_assert(windows_take(&w, 4));
	cr_assert_not(windows_take(&w, 5));
	windows_hurry(&w, 1);
	cr_assert(windows_take(&w, 5));
}

Test(windows, ghosts_tell_how_long_a_page_was_away)
{
	uint64_t now = 1000000 * MS;

	cr_assert_eq(windows_refault(&w, 9, now), REFAULT_NONE);
	windows_evicted(&w, 9, 4, now);
	cr_assert_eq(windows_refault(&w, 8, now), REFAULT_NONE);
	cr_assert_eq(windows_refault(&w, 13, now), REFAULT_NONE);
	cr_assert_eq(windows_refault(&w, 9, now + 1000 * MS), REFAULT_1S);
	cr_assert_eq(windows_refault(&w, 9, now + 1000 * MS), REFAULT_NONE, "told once");
	cr_assert_eq(windows_refault(&w, 10, now + 1001 * MS), REFAULT_RECENT);
	cr_assert_eq(windows_refault(&w, 11, now + 60000 * MS), REFAULT_RECENT);
	cr_assert_eq(windows_refault(&w, 12, now + 60001 * MS), REFAULT_NONE);
	/* the clock of the table comes round */
	now = ((UINT64_C(1) << 27) - 1) * MS;
	windows_evicted(&w, 50, 1, now);
	cr_assert_eq(windows_refault(&w, 50, now + 5 * MS), REFAULT_1S);
}

Test(windows, a_ghost_is_never_taken_for_another_page)
{
	for (uint64_t i = 0; i < NPAGES; i++)
		windows_evicted(&w, i, 1, 5000 * MS);
	for (uint64_t i = 0; i < NPAGES - w.nghosts; i++)
		cr_assert_eq(windows_refault(&w, i, 5000 * MS), REFAULT_NONE, "page %llu",
			     (unsigned long long)i);
	for (uint64_t i = NPAGES - w.nghosts; i < NPAGES; i++)
		cr_assert_eq(windows_refault(&w, i, 5000 * MS), REFAULT_1S);
}

Test(windows, mistakes_move_the_hands_apart_and_the_lack_of_them_together)
{
	cr_assert_eq(windows_distance(&w, 800), 800);
	for (unsigned int i = 0; i < 20; i++) {
		windows_evicted(&w, 0, 2048, i * 1000 * MS);
		for (uint64_t p = 1024; p < 1024 + 512; p++)
			cr_assert_eq(windows_refault(&w, p, i * 1000 * MS), REFAULT_1S);
		cr_assert_eq(windows_distance(&w, 800), i < 8 ? 900 + i * 100 : 1600);
	}
	windows_evicted(&w, 0, 2047, 0);
	cr_assert_eq(windows_distance(&w, 800), 1600, "too few to tell");
	for (unsigned int i = 0; i < 20; i++) {
		windows_evicted(&w, 0, 2048, 0);
		cr_assert_eq(windows_distance(&w, 800), i < 8 ? 1500 - i * 100 : 800);
	}
}

Test(windows, a_window_of_mistakes_is_passed_over_once)
{
	windows_evicted(&w, 4 * WINDOW_PAGES, 64, 0);
	for (uint64_t p = 0; p < 15; p++)
		windows_refault(&w, 4 * WINDOW_PAGES + p, MS);
	cr_assert_eq(passes(4), 0);
	windows_evicted(&w, 4 * WINDOW_PAGES, 64, 0);
	for (uint64_t p = 0; p < 16; p++)
		windows_refault(&w, 4 * WINDOW_PAGES + p, MS);
	cr_assert_eq(passes(4), 1);
	cr_assert_eq(passes(4), 0);
}
