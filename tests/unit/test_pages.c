/* SPDX-License-Identifier: BSD-2-Clause */
/* Page states: which changes exist, the mark of a zap, searches and sums. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/pages.h"

/* The table of the header's states once more, in words; tested row by row. */
static const struct {
	enum page_state from, to;
} exists[] = {
	{ PAGE_HOLE, PAGE_ACTIVE },	 { PAGE_HOLE, PAGE_SWAPPED },
	{ PAGE_ACTIVE, PAGE_ACTIVE },	 { PAGE_ACTIVE, PAGE_INACTIVE },
	{ PAGE_ACTIVE, PAGE_HOLE },	 { PAGE_INACTIVE, PAGE_ACTIVE },
	{ PAGE_INACTIVE, PAGE_WRITING }, { PAGE_INACTIVE, PAGE_HOLE },
	{ PAGE_INACTIVE, PAGE_SWAPPED }, { PAGE_WRITING, PAGE_ACTIVE },
	{ PAGE_WRITING, PAGE_SWAPPED },	 { PAGE_WRITING, PAGE_HOLE },
	{ PAGE_SWAPPED, PAGE_READING },	 { PAGE_SWAPPED, PAGE_HOLE },
	{ PAGE_READING, PAGE_ACTIVE },	 { PAGE_READING, PAGE_INACTIVE },
	{ PAGE_READING, PAGE_SWAPPED },	 { PAGE_READING, PAGE_HOLE },
};

#define EXISTS	(sizeof(exists) / sizeof(exists[0]))
#define CHANGES (PAGE_STATES * PAGE_STATES)

/* Indices: a parameter must not hold a pointer, it goes to another process. */
static int yes[EXISTS], no[CHANGES - EXISTS];

static bool change_exists(int change)
{
	for (size_t i = 0; i < EXISTS; i++)
		if ((int)exists[i].from * PAGE_STATES + (int)exists[i].to == change)
			return true;
	return false;
}

static struct pages make(uint64_t n)
{
	struct pages p;

	cr_assert_eq(pages_init(&p, n), 0);
	return p;
}

/* Straight into the state, by no change that a test depends on. */
static void put(struct pages *p, uint64_t i, enum page_state s)
{
	p->count[page_get(p, i)]--;
	p->byte[i] = (uint8_t)s;
	p->count[s]++;
}

static uint64_t sum(const struct pages *p)
{
	uint64_t n = 0;

	for (int s = 0; s < PAGE_STATES; s++)
		n += page_count(p, (enum page_state)s);
	return n;
}

ParameterizedTestParameters(pages, change_that_exists)
{
	for (size_t i = 0; i < EXISTS; i++)
		yes[i] = (int)i;
	return cr_make_param_array(int, yes, EXISTS);
}

ParameterizedTest(int *i, pages, change_that_exists)
{
	enum page_state from = exists[*i].from, to = exists[*i].to;
	struct pages p = make(10);

	put(&p, 4, from);
	page_set(&p, 4, to);
	cr_assert_eq(page_get(&p, 4), to);
	cr_assert_eq(sum(&p), 10);
	for (int s = 0; s < PAGE_STATES; s++)
		cr_assert_eq(page_count(&p, (enum page_state)s),
			     (s == PAGE_HOLE ? 9u : 0u) + (s == (int)to), "%s -> %s: %s",
			     page_state_name(from), page_state_name(to),
			     page_state_name((enum page_state)s));
	for (uint64_t k = 0; k < 10; k++)
		cr_assert_eq(page_get(&p, k), k == 4 ? to : PAGE_HOLE);
	pages_fini(&p);
}

ParameterizedTestParameters(pages, any_other_change_aborts)
{
	size_t n = 0;

	for (int change = 0; change < CHANGES; change++)
		if (!change_exists(change))
			no[n++] = change;
	return cr_make_param_array(int, no, n);
}

ParameterizedTest(int *change, pages, any_other_change_aborts, .signal = SIGABRT)
{
	struct pages p = make(10);

	put(&p, 4, (enum page_state)(*change / PAGE_STATES));
	page_set(&p, 4, (enum page_state)(*change % PAGE_STATES));
}

Test(pages, a_wrong_change_says_which)
{
	static const char want[] = "page 7: swapped -> active is no change that exists\n";
	char got[300] = "";
	struct pages p = make(10);
	int err[2], status;
	ssize_t n;
	pid_t pid;

	put(&p, 7, PAGE_SWAPPED);
	cr_assert_eq(pipe(err), 0);
	pid = fork();
	if (pid == 0) {
		dup2(err[1], 2);
		page_set(&p, 7, PAGE_ACTIVE);
		_exit(0);
	}
	close(err[1]);
	n = read(err[0], got, sizeof(got) - 1);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	cr_assert_gt(n, (ssize_t)strlen(want));
	cr_assert_str_eq(got + n - strlen(want), want);
	close(err[0]);
	pages_fini(&p);
}

Test(pages, all_are_holes_at_first)
{
	struct pages p = make(100000);

	cr_assert_eq(page_count(&p, PAGE_HOLE), 100000);
	cr_assert_eq(sum(&p), 100000);
	cr_assert_eq(pages_resident(&p), 0);
	cr_assert_eq(page_run(&p, 0, 100000, PAGE_HOLE), 100000);
	pages_fini(&p);
	pages_fini(&p); /* the second time it is nothing */
}

Test(pages, too_many)
{
	struct pages p;

	cr_assert_eq(pages_init(&p, UINT64_C(1) << 60), -ENOMEM);
	pages_fini(&p);
}

Test(pages, resident_is_what_is_in_the_memfd)
{
	struct pages p = make(PAGE_STATES);

	for (int s = 0; s < PAGE_STATES; s++)
		put(&p, (uint64_t)s, (enum page_state)s);
	cr_assert_eq(pages_resident(&p), 3);
	put(&p, PAGE_WRITING, PAGE_SWAPPED);
	cr_assert_eq(pages_resident(&p), 2);
	put(&p, PAGE_INACTIVE, PAGE_READING);
	cr_assert_eq(pages_resident(&p), 1);
	put(&p, PAGE_ACTIVE, PAGE_HOLE);
	cr_assert_eq(pages_resident(&p), 0);
	pages_fini(&p);
}

Test(pages, names)
{
	static const char *const want[] = { "hole",    "active",  "inactive",
					    "writing", "swapped", "reading" };

	for (int s = 0; s < PAGE_STATES; s++)
		cr_assert_str_eq(page_state_name((enum page_state)s), want[s]);
	cr_assert_str_eq(page_state_name(PAGE_STATES), "?");
}

Test(pages, mapped_untouched)
{
	struct pages p = make(10);

	page_set(&p, 3, PAGE_ACTIVE);
	page_mark_untouched(&p, 3);
	page_set(&p, 6, PAGE_ACTIVE);
	cr_assert(page_is_untouched(&p, 3));
	cr_assert_eq(page_get(&p, 3), PAGE_ACTIVE, "its state is the same");
	cr_assert_eq(page_find(&p, 0, 10, PAGE_ACTIVE), 3, "page-out finds it");
	cr_assert_eq(page_find(&p, 4, 10, PAGE_ACTIVE), 6);
	cr_assert_eq(page_find(&p, 7, 10, PAGE_ACTIVE), 10);
	page_set(&p, 3, PAGE_ACTIVE);
	cr_assert_not(page_is_untouched(&p, 3), "it was touched");
	page_mark_untouched(&p, 3);
	page_mark_zapping(&p, 3);
	cr_assert(page_is_zapping(&p, 3));
	cr_assert_not(page_is_untouched(&p, 3));
	page_mark_untouched(&p, 3);
	cr_assert(page_is_zapping(&p, 3), "other marks matter more");
	page_set(&p, 3, PAGE_INACTIVE);
	cr_assert_not(page_is_untouched(&p, 3));
	pages_fini(&p);
}

Test(pages, mark_of_a_zap)
{
	static const enum page_state off[] = { PAGE_ACTIVE, PAGE_INACTIVE, PAGE_HOLE };
	struct pages p = make(10);

	page_set(&p, 3, PAGE_ACTIVE);
	cr_assert_not(page_is_zapping(&p, 3));
	page_mark_zapping(&p, 3);
	cr_assert(page_is_zapping(&p, 3));
	cr_assert_eq(page_get(&p, 3), PAGE_ACTIVE, "its state is the same");
	cr_assert_eq(page_count(&p, PAGE_ACTIVE), 1);
	page_mark_zapping(&p, 3);
	cr_assert(page_is_zapping(&p, 3));
	page_unmark_zapping(&p, 3);
	cr_assert_not(page_is_zapping(&p, 3));
	cr_assert_eq(page_get(&p, 3), PAGE_ACTIVE);

	/* any change takes it off, also the one to the same state */
	for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
		put(&p, 3, PAGE_ACTIVE);
		page_mark_zapping(&p, 3);
		page_set(&p, 3, off[i]);
		cr_assert_not(page_is_zapping(&p, 3));
		cr_assert_eq(p.byte[3], off[i]);
		cr_assert_eq(sum(&p), 10);
	}
	/* too late: the page went its way meanwhile */
	put(&p, 3, PAGE_WRITING);
	page_unmark_zapping(&p, 3);
	cr_assert_eq(page_get(&p, 3), PAGE_WRITING);
	pages_fini(&p);
}

Test(pages, only_an_active_page_is_marked, .signal = SIGABRT)
{
	struct pages p = make(10);

	put(&p, 3, PAGE_INACTIVE);
	page_mark_zapping(&p, 3);
}

Test(pages, find_and_run)
{
	struct pages p = make(1000);

	for (uint64_t i = 300; i < 310; i++)
		put(&p, i, PAGE_ACTIVE);
	page_mark_zapping(&p, 300);
	page_mark_zapping(&p, 305);

	cr_assert_eq(page_find(&p, 0, 1000, PAGE_ACTIVE), 301, "300 is marked");
	cr_assert_eq(page_find(&p, 305, 1000, PAGE_ACTIVE), 306);
	cr_assert_eq(page_find(&p, 309, 1000, PAGE_ACTIVE), 309);
	cr_assert_eq(page_find(&p, 310, 1000, PAGE_ACTIVE), 1000);
	cr_assert_eq(page_find(&p, 0, 301, PAGE_ACTIVE), 301, "none below 301");
	cr_assert_eq(page_find(&p, 0, 1000, PAGE_HOLE), 0);
	cr_assert_eq(page_find(&p, 300, 1000, PAGE_HOLE), 310);
	cr_assert_eq(page_find(&p, 0, 1000, PAGE_SWAPPED), 1000);
	cr_assert_eq(page_find(&p, 1000, 1000, PAGE_HOLE), 1000);
	cr_assert_eq(page_find(&p, 700, 500, PAGE_HOLE), 500, "from behind to: none");

	cr_assert_eq(page_run(&p, 300, 1000, PAGE_ACTIVE), 10, "marked or not");
	cr_assert_eq(page_run(&p, 303, 306, PAGE_ACTIVE), 3);
	cr_assert_eq(page_run(&p, 310, 1000, PAGE_ACTIVE), 0);
	cr_assert_eq(page_run(&p, 310, 1000, PAGE_HOLE), 690);
	cr_assert_eq(page_run(&p, 5, 5, PAGE_HOLE), 0);
	pages_fini(&p);
}

/* Any pages by any changes: the sums stay right, found against counting. */
Test(pages, sums_are_right)
{
	enum { N = 500 };
	struct pages p = make(N);
	uint32_t random = 4711;

	for (int k = 0; k < 20000; k++) {
		uint64_t i, resident = 0;

		random = random * 1103515245u + 12345u;
		i = (random >> 8) % N;
		for (size_t c = (random >> 18) % EXISTS, left = EXISTS; left > 0; left--) {
			if (exists[c].from == page_get(&p, i)) {
				page_set(&p, i, exists[c].to);
				break;
			}
			c = (c + 1) % EXISTS;
		}
		if (k % 3 == 0 && page_get(&p, i) == PAGE_ACTIVE)
			page_mark_zapping(&p, i);
		cr_assert_eq(sum(&p), N);
		if (k % 100 != 0)
			continue;
		for (int s = 0; s < PAGE_STATES; s++) {
			uint64_t n = 0;

			for (uint64_t at = 0; at < N; at++)
				n += page_get(&p, at) == (enum page_state)s;
			cr_assert_eq(page_count(&p, (enum page_state)s), n);
			resident += s >= PAGE_ACTIVE && s <= PAGE_WRITING ? n : 0;
		}
		cr_assert_eq(pages_resident(&p), resident);
	}
	pages_fini(&p);
}

Test(pages, mark_of_a_pin)
{
	static const enum page_state off[] = { PAGE_WRITING, PAGE_HOLE };
	struct pages p = make(10);

	for (uint64_t i = 0; i < 10; i++)
		put(&p, i, PAGE_INACTIVE);
	cr_assert_not(page_is_pinned(&p, 3));
	cr_assert_eq(page_find_pinned(&p, 0, 10), 10);
	page_mark_pinned(&p, 3, true);
	page_mark_pinned(&p, 3, true);
	page_mark_pinned(&p, 7, true);
	page_mark_pinned(&p, 8, false);
	cr_assert(page_is_pinned(&p, 3));
	cr_assert_eq(page_get(&p, 3), PAGE_INACTIVE, "its state is the same");
	cr_assert_eq(page_count(&p, PAGE_INACTIVE), 10);
	cr_assert_eq(pages_resident(&p), 10);
	cr_assert_eq(pages_pinned(&p), 2);
	cr_assert_eq(pages_takeable(&p), 8);
	cr_assert_eq(page_find(&p, 3, 10, PAGE_INACTIVE), 4, "a search does not see it");
	cr_assert_eq(page_run(&p, 0, 10, PAGE_INACTIVE), 10, "a run does");
	cr_assert_eq(page_find_pinned(&p, 0, 10), 3);
	cr_assert_eq(page_find_pinned(&p, 4, 10), 7);
	cr_assert_eq(page_find_pinned(&p, 8, 10), 10);
	page_mark_pinned(&p, 7, false);
	cr_assert_not(page_is_pinned(&p, 7));
	cr_assert_eq(pages_pinned(&p), 1);
	for (size_t k = 0; k < sizeof(off) / sizeof(off[0]); k++) {
		page_mark_pinned(&p, k, true);
		page_set(&p, k, off[k]);
		cr_assert_not(page_is_pinned(&p, k));
		cr_assert_eq(page_get(&p, k), off[k]);
	}
	cr_assert_eq(pages_pinned(&p), 1);
	cr_assert_eq(pages_takeable(&p), 7);
	pages_fini(&p);
}

Test(pages, mark_of_a_pin_outlives_a_touch)
{
	struct pages p = make(40);

	for (uint64_t i = 0; i < 40; i++)
		put(&p, i, PAGE_INACTIVE);
	page_mark_pinned(&p, 31, true);
	page_set(&p, 31, PAGE_ACTIVE);
	cr_assert(page_is_pinned(&p, 31));
	cr_assert_eq(page_get(&p, 31), PAGE_ACTIVE);
	cr_assert_eq(pages_pinned(&p), 1);
	cr_assert_eq(pages_takeable(&p), 39);
	cr_assert_eq(page_find(&p, 0, 40, PAGE_ACTIVE), 40, "the front hand does not see it");
	for (uint64_t from = 0; from < 40; from++)
		cr_assert_eq(page_find_pinned(&p, from, 40), from <= 31 ? 31 : 40);
	cr_assert_eq(page_find_pinned(&p, 0, 31), 31);
	page_set(&p, 31, PAGE_ACTIVE);
	cr_assert(page_is_pinned(&p, 31));
	page_mark_pinned(&p, 31, false);
	cr_assert_eq(page_find(&p, 0, 40, PAGE_ACTIVE), 31);
	page_mark_pinned(&p, 31, true);
	page_set(&p, 31, PAGE_HOLE);
	cr_assert_not(page_is_pinned(&p, 31));
	cr_assert_eq(pages_pinned(&p), 0);
	cr_assert_eq(page_find_pinned(&p, 0, 40), 40);
	pages_fini(&p);
}
