/* SPDX-License-Identifier: BSD-2-Clause */
/* How much was written to a device, over weeks, restarts, and clocks that are set. */
#include <criterion/criterion.h>

#include "swap/wear.h"
#include "wear_dir.h"

/* --- figures ----------------------------------------------------------------------------- */

/* 1000 bytes, and after how many hours they are still counted in each of the three. */
Test(wear, counted_for_days_and_an_hour, WITH_DIR)
{
	static const unsigned int days[] = { 1, 7, 28 };
	struct wear *w = open_at(T0 + HOUR - 1);

	cr_assert_eq(wear_written(w, 1, T0 + HOUR - 1), 0);
	wear_add(w, 1000, T0 + HOUR - 1); /* the last second of its hour */
	for (int64_t h = 1; h < 30 * 24; h++) {
		for (size_t i = 0; i < 3; i++) {
			uint64_t n = wear_written(w, days[i], T0 + h * HOUR);

			cr_expect_eq(n, h <= 24 * (int64_t)days[i] ? 1000 : 0,
				     "%lu in %u days after %ld hours", n, days[i], h);
		}
	}
	wear_close(w, T0 + 30 * DAY);
}

Test(wear, the_tightest_of_three, WITH_DIR)
{
	static const struct {
		int64_t days_ago;
		uint64_t bytes, left;
		unsigned int tightest;
	} rows[] = {
		{ 0, 0, 100, 1 },    { 0, 40, 60, 1 },	    { 0, 100, 0, 1 },
		{ 0, 5000, 0, 1 },   { 3, 100, 100, 1 },    { 3, 600, 100, 1 },
		{ 3, 601, 99, 7 },   { 3, 700, 0, 7 },	    { 3, 2800, 0, 7 },
		{ 20, 700, 100, 1 }, { 20, 2700, 100, 1 },  { 20, 2701, 99, 28 },
		{ 20, 2800, 0, 28 }, { 29, 99999, 100, 1 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t at = T0 - rows[i].days_ago * DAY;
		struct wear *w = wear_open(-1, DEV, at, NULL);
		unsigned int tightest = 99;
		uint64_t left;

		cr_assert_not_null(w);
		wear_set_budget(w, 100);
		wear_add(w, rows[i].bytes, at);
		left = wear_left(w, T0, &tightest);
		cr_expect_eq(left, rows[i].left, "row %zu: %lu", i, left);
		cr_expect_eq(tightest, rows[i].tightest, "row %zu: %u", i, tightest);
		cr_expect_eq(wear_left(w, T0, NULL), left);
		wear_close(w, T0);
	}
}

Test(wear, no_budget_and_large_ones, WITH_DIR)
{
	struct wear *w = open_at(T0);
	unsigned int tightest = 99;

	wear_add(w, 1000, T0);
	cr_assert_eq(wear_left(w, T0, &tightest), UINT64_MAX);
	cr_assert_eq(tightest, 0);
	cr_assert_eq(wear_budget(w), 0);

	wear_set_budget(w, UINT64_MAX);
	cr_assert_eq(wear_budget(w), UINT64_MAX);
	cr_assert_eq(wear_left(w, T0, &tightest), UINT64_MAX - 1001, "a budget, however large");
	cr_assert_eq(tightest, 1);
	wear_set_budget(w, UINT64_MAX / 7); /* 28 times that is too much */
	wear_add(w, UINT64_MAX, T0);
	wear_add(w, UINT64_MAX, T0 + HOUR);
	cr_assert_eq(wear_written(w, 28, T0 + HOUR), UINT64_MAX, "not less by overflow");
	cr_assert_eq(wear_left(w, T0 + HOUR, &tightest), 0);
	wear_close(w, T0 + HOUR);
	w = open_at(T0 + HOUR);
	cr_assert_eq(wear_budget(w), UINT64_MAX / 7, "it is kept");
	cr_assert_eq(wear_left(w, T0 + HOUR, NULL), 0);
	wear_close(w, T0 + HOUR);
}

/* Two months of work, idle times, and pagers that end and die, against all that was done. */
Test(wear, months_with_restarts_equal_a_list, WITH_DIR)
{
	static uint64_t hour[90 * 24];
	static const unsigned int days[] = { 1, 7, 28 };
	uint64_t unsaved = 0;
	int64_t now = T0, at_save = T0;
	struct wear *w = open_at(now);

	while (now < T0 + 60 * DAY) {
		uint64_t h = (uint64_t)((now - T0) / HOUR), n = rnd(1000000);

		wear_add(w, n, now);
		hour[h] += n;
		if ((uint64_t)((at_save - T0) / HOUR) != h)
			unsaved = 0, at_save = now; /* below it is always saved in the hour */
		unsaved += n;
		switch (rnd(6)) {
		case 0:
			wear_close(w, now);
			unsaved = 0;
			w = open_at(now);
			break;
		case 1: /* dies */
			hour[h] -= unsaved;
			killed(w);
			unsaved = 0;
			w = open_at(now);
			break;
		default:
			save(w);
			unsaved = 0;
		}
		for (size_t i = 0; i < 3; i++) {
			uint64_t sum = 0, got = wear_written(w, days[i], now);

			for (uint64_t k = h > 24 * days[i] ? h - 24 * days[i] : 0; k <= h; k++)
				sum += hour[k];
			cr_assert_eq(got, sum, "%u days, hour %lu: %lu, not %lu", days[i], h,
				     got, sum);
		}
		now += (int64_t)(rnd(50) ? rnd(2 * HOUR) : rnd(5 * DAY));
	}
	wear_close(w, now);
	cr_assert(told_nothing());
}

/* --- the promise -------------------------------------------------------------------------- */

#define STEPS 12000u

/*
 * Whoever takes whatever is left, at any time, over four months, with restarts and a clock that
 * is set back and right again, and is 1970 after some boots: no stretch of 1, 7 or 28 true days
 * has more than its budget, to the second.
 */
Test(wear, no_days_have_more_than_the_budget, WITH_DIR)
{
	static struct {
		int64_t time;
		uint64_t sum; /* with this one */
	} done[STEPS];
	static const unsigned int days[] = { 1, 7, 28 };
	const uint64_t budget = 1000000;
	int64_t now = T0, behind = 0;
	struct wear *w = open_at(now);
	uint64_t sum = 0;

	wear_set_budget(w, budget);
	for (uint32_t i = 0; i < STEPS; i++) {
		uint64_t left = wear_left(w, now - behind, NULL);
		uint64_t n = rnd(3) ? left : rnd(left + 1);

		wear_add(w, n, now - behind);
		sum += n;
		done[i].time = now;
		done[i].sum = sum;
		/* as long as it is wrong it is looked at, or it would count as right again */
		now += (int64_t)(rnd(100) || behind ? rnd(HOUR / 2) : rnd(3 * DAY));
		if (!rnd(100)) {
			wear_close(w, now - behind);
			now += (int64_t)rnd(2 * DAY); /* the machine is off */
			/* it comes up right, in 1970, or far behind */
			behind = rnd(3)	  ? 0
				 : rnd(2) ? now
					  : behind + 3 * DAY + (int64_t)rnd(1000 * DAY);
			w = open_at(now - behind);
			cr_assert_eq(wear_budget(w), budget);
		}
		if (!rnd(100))
			behind = rnd(3) ? 0 : behind + HOUR + (int64_t)rnd(5 * DAY);
	}
	wear_close(w, now);
	cr_assert_gt(now - T0, 100 * DAY);
	cr_assert_gt(sum, 20 * budget, "%lu: it would hold for who never writes", sum);

	for (size_t d = 0; d < 3; d++) {
		for (uint32_t i = 0, from = 0; i < STEPS; i++) {
			uint64_t in;

			while (done[i].time - done[from].time > days[d] * DAY)
				from++;
			in = done[i].sum - (from ? done[from - 1].sum : 0);
			cr_assert_leq(in, budget * days[d], "%u days until step %u: %lu",
				      days[d], i, in);
		}
	}
}

/* Who writes all day long what he may has nearly all of his budget: 24 of 25 hours' worth. */
Test(wear, the_budget_can_be_used, WITH_DIR)
{
	struct wear *w = open_at(T0);
	uint64_t sum = 0;

	wear_set_budget(w, 240000);
	for (int64_t t = T0; t < T0 + 100 * DAY; t += HOUR / 4) {
		uint64_t left = wear_left(w, t, NULL);
		uint64_t n = left < 2500 ? left : 2500; /* 240,000 a day */

		wear_add(w, n, t);
		sum += n;
	}
	cr_assert_geq(sum, 100 * UINT64_C(240000) * 24 / 25);
	wear_close(w, T0 + 100 * DAY);
}

/* --- clocks ------------------------------------------------------------------------------- */

/* Set back, by an hour or by ten years: what was written counts as long as ever, no longer. */
Test(wear, clock_back_neither_frees_nor_locks, WITH_DIR)
{
	static const int64_t back[] = { 1, HOUR, 20 * DAY, 40 * DAY, 3650 * DAY, T0, 2 * T0 };

	for (size_t i = 0; i < sizeof(back) / sizeof(back[0]); i++) {
		struct wear *w = open_at(T0);
		int64_t now = T0 - back[i], t;

		wear_set_budget(w, 1000);
		wear_add(w, 2800 * 10, T0);
		if (i % 2) {
			wear_close(w, T0);
			w = open_at(now);
		}
		cr_assert_eq(wear_left(w, now, NULL), 0);
		/* looked at as often as the daemon does; nothing is written */
		if (now < 0)
			now = 0;
		for (t = 0; t <= 28 * DAY - 2 * HOUR; t += 600)
			cr_assert_eq(wear_left(w, now + t, NULL), 0, "%ld s back, after %ld s",
				     back[i], t);
		for (; t <= 28 * DAY + 2 * HOUR; t += 600)
			(void)wear_left(w, now + t, NULL);
		cr_assert_eq(wear_left(w, now + t, NULL), 1000, "%ld s back", back[i]);
		wear_close(w, now + t);
		cr_assert_eq(unlinkat(dirfd_, FILE_NAME, 0), 0);
	}
}

/* Look at it every five minutes, while the wall clock goes from one time to another. */
static void look(struct wear *w, int64_t from, int64_t to)
{
	for (int64_t t = from; t < to; t += 300)
		(void)wear_left(w, t, NULL);
	(void)wear_left(w, to, NULL);
}

/*
 * Behind by five hours, and set right after three days, of which the machine was off: what was
 * written two minutes ago is no older than that, and what was written before all is.
 */
Test(wear, what_was_written_while_behind_keeps_its_age, WITH_DIR)
{
	const int64_t back = T0 - 5 * HOUR, now = T0 + 3 * DAY + 50 * 60;
	struct wear *w = open_at(T0 - 10 * HOUR);
	ino_t file;

	wear_set_budget(w, 1000);
	wear_add(w, 300, T0 - 10 * HOUR);
	look(w, T0, T0);
	look(w, back, back + 59 * 60);
	wear_add(w, 600, back + 59 * 60);
	look(w, back + 59 * 60, back + 61 * 60);
	wear_add(w, 100, back + 61 * 60); /* the next hour */
	save(w);
	file = inode();
	cr_assert_eq(wear_left(w, back + 61 * 60, NULL), 0);

	cr_assert_eq(wear_left(w, now, NULL), 300,
		     "what was before all this is three days old");
	cr_assert_eq(wear_written(w, 7, now), 1000, "nothing counts twice");
	save(w);
	cr_assert_neq(inode(), file, "all of it at once, or some could be lost");
	killed(w);
	w = open_at(now);
	cr_assert_eq(wear_written(w, 7, now), 1000);
	cr_assert_eq(wear_left(w, now + DAY - 180, NULL), 300, "not quite a day");
	cr_assert_eq(wear_left(w, now + 25 * HOUR, NULL), 1000);
	file = inode();
	save(w);
	cr_assert_eq(inode(), file, "once");
	wear_close(w, now + 25 * HOUR);
}

/* Behind for so long that the ring went round: nothing that counts is lost in moving. */
Test(wear, a_long_time_behind, WITH_DIR)
{
	const int64_t back = T0 - 400 * DAY;
	struct wear *w = open_at(T0);
	uint64_t n;
	int64_t t;

	for (t = back; t < back + 60 * DAY; t += 600)
		wear_add(w, 1, t);
	t -= 600;
	n = wear_written(w, 28, t);
	cr_assert_geq(n, 28 * 144);
	cr_assert_leq(n, 28 * 144 + 6);
	cr_assert_eq(wear_written(w, 28, t + 403 * DAY), n);
	cr_assert_eq(wear_written(w, 7, t + 403 * DAY), n - 21 * 144);
	wear_close(w, t + 403 * DAY);
}

/* The same, where what is too old to count has the slot before that of what counts. */
Test(wear, old_hours_are_in_nobodys_way, WITH_DIR)
{
	const int64_t first = T0 / HOUR / SLOTS * SLOTS; /* its slot is the first one */
	const int64_t began = (first - 730) * HOUR, back = began - 400 * DAY;
	struct wear *w = open_at(began);

	wear_set_budget(w, 1000);
	look(w, back, back + 9 * HOUR);
	wear_add(w, 5, back + 9 * HOUR);
	look(w, back + 9 * HOUR, back + 730 * HOUR + 120);
	wear_add(w, 1000, back + 730 * HOUR + 120);
	cr_assert_eq(wear_left(w, T0 + 40 * 60, NULL), 0);
	cr_assert_eq(wear_written(w, 28, T0 + 40 * 60), 1000);
	wear_close(w, T0 + 40 * 60);
}

/* A little back is waited for: what is written meanwhile is of the hour that it was. */
Test(wear, a_little_back, WITH_DIR)
{
	struct wear *w = open_at(T0 + HOUR - 10);

	wear_set_budget(w, 1000);
	look(w, T0 + HOUR - 310, T0 + HOUR - 250);
	wear_add(w, 1000, T0 + HOUR - 250);
	cr_assert_eq(wear_left(w, T0 + 25 * HOUR - 1, NULL), 0);
	cr_assert_eq(wear_left(w, T0 + 25 * HOUR, NULL), 1000);
	wear_close(w, T0 + 25 * HOUR);
}

/* While it is behind, two days in which nobody looked may as well be a clock that was set. */
Test(wear, steps_while_behind_do_not_count, WITH_DIR)
{
	struct wear *w = open_at(T0);

	wear_set_budget(w, 1000);
	wear_add(w, 1000, T0);
	look(w, T0 - 40 * DAY, T0 - 40 * DAY + HOUR);
	for (int day = 38; day > 2; day -= 2)
		cr_assert_eq(wear_left(w, T0 - day * DAY, NULL), 0, "%d days before", day);
	wear_close(w, T0);
}

/* Up in 1970, and set right by the network: it goes on as if nothing had been. */
Test(wear, a_boot_in_1970, WITH_DIR)
{
	struct wear *w = open_at(T0);

	wear_set_budget(w, 1000);
	wear_add(w, 700, T0);
	wear_close(w, T0);
	w = open_at(30);
	cr_assert_eq(wear_left(w, 40, NULL), 300);
	wear_add(w, 100, 50);
	cr_assert_eq(wear_left(w, 60, NULL), 200);
	cr_assert_eq(wear_left(w, T0 + HOUR, NULL), 200, "set right");
	cr_assert_eq(wear_left(w, T0 + 24 * HOUR, NULL), 200);
	cr_assert_eq(wear_left(w, T0 + 26 * HOUR, NULL), 1000);
	wear_close(w, T0 + 26 * HOUR);
}

/* Wrongly ten years ahead, and set right: too generous once, and all goes on. */
Test(wear, clock_forth_and_back, WITH_DIR)
{
	static const int64_t forth[] = { 3650 * DAY, INT64_C(1) << 40, INT64_MAX - T0 };

	for (size_t i = 0; i < sizeof(forth) / sizeof(forth[0]); i++) {
		struct wear *w = open_at(T0);

		wear_set_budget(w, 1000);
		wear_add(w, 1000, T0);
		cr_assert_eq(wear_left(w, T0 + forth[i], NULL), 1000, "as if it were true");
		wear_add(w, 1000, T0 + forth[i]);
		for (int round = 0; round < 40; round++) { /* of a day, with a restart */
			int64_t from = T0 + round * 26 * HOUR;

			cr_assert_eq(wear_left(w, from, NULL), 0, "round %d", round);
			for (int64_t t = from; t < from + 26 * HOUR; t += 600)
				(void)wear_written(w, 1, t);
			cr_assert_eq(wear_left(w, from + 26 * HOUR - 1, NULL), 1000);
			wear_add(w, 1000, from + 26 * HOUR - 1);
			wear_close(w, from + 26 * HOUR);
			w = open_at(from + 26 * HOUR);
		}
		wear_close(w, T0);
		cr_assert(told_nothing());
		cr_assert_eq(unlinkat(dirfd_, FILE_NAME, 0), 0);
	}
}
