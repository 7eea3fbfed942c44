/* SPDX-License-Identifier: BSD-2-Clause */
/* One round of the arbiter: what is due, what is granted, and why. */
#include <criterion/criterion.h>
#include <string.h>

#include "balloon/arbiter.h"
#include "base/clock.h"

#define SEC   UINT64_C(1000000000)
#define MIB   (UINT64_C(1) << 20)
#define GIB   (UINT64_C(1) << 30)
#define LIMIT .timeout = 30
#define MANY  16

static struct arbiter_guest of(uint64_t size, uint64_t resident, uint64_t active)
{
	return (struct arbiter_guest){ .size = size,
				       .limit = size,
				       .shares = 1000,
				       .resident = resident,
				       .working_set = active };
}

static struct arbiter_host plenty(void)
{
	return (struct arbiter_host){ .available = UINT64_MAX };
}

/* What is due when nothing changes any more: resident stays as it is. */
static void settle(const struct arbiter_conf *c, struct arbiter_host *h,
		   struct arbiter_guest *g, size_t n, unsigned int rounds)
{
	uint64_t now = h->decided_at ? h->decided_at : SEC;

	while (rounds--)
		arbiter_decide(c, h, g, n, now += SEC);
}

static bool near(uint64_t got, double wanted, double percent)
{
	return (double)got >= wanted * (1 - percent / 100) &&
	       (double)got <= wanted * (1 + percent / 100);
}

/* --- why --------------------------------------------------------------------------------- */

static const struct why_row {
	const char *what;
	uint64_t budget;
	struct arbiter_guest guest[2];
	enum arbiter_why why[2];
} rows[] = {
	{ "no budget", 0, { { .size = GIB, .limit = GIB / 2, .shares = 1 } }, { ARBITER_OFF } },
	{ "enough",
	  8 * GIB,
	  { { .size = GIB, .limit = GIB, .shares = 1, .resident = GIB / 2 },
	    { .size = GIB, .limit = GIB, .shares = 1, .resident = GIB } },
	  { ARBITER_ENOUGH, ARBITER_ENOUGH } },
	{ "shares, and as much as it uses",
	  2 * GIB,
	  { { .size = 2 * GIB, .limit = 2 * GIB, .shares = 1, .resident = GIB * 15 / 8 },
	    { .size = GIB, .limit = GIB, .shares = 8, .resident = GIB / 8 } },
	  { ARBITER_PRICE, ARBITER_ENOUGH } },
	{ "a limit, at which it would have more",
	  8 * GIB,
	  { { .size = 2 * GIB, .limit = GIB, .shares = 1, .resident = GIB },
	    { .size = 2 * GIB, .limit = GIB, .shares = 1, .resident = GIB / 2 } },
	  { ARBITER_AT_LIMIT, ARBITER_ENOUGH } },
	{ "a reservation above what shares buy",
	  2 * GIB,
	  { { .size = 2 * GIB,
	      .limit = 2 * GIB,
	      .reservation = GIB,
	      .shares = 1,
	      .resident = GIB * 9 / 8 },
	    { .size = 2 * GIB, .limit = 2 * GIB, .shares = 1000000, .resident = GIB } },
	  { ARBITER_RESERVATION, ARBITER_PRICE } },
	{ "busy",
	  2 * GIB,
	  { { .size = GIB, .limit = GIB, .shares = 1, .resident = GIB / 2, .busy = true },
	    { .size = GIB, .limit = GIB, .shares = 1, .resident = GIB / 2 } },
	  { ARBITER_BUSY, ARBITER_ENOUGH } },
	{ "cold memory was taken",
	  4 * GIB,
	  { { .size = GIB,
	      .limit = GIB,
	      .shares = 1,
	      .resident = GIB,
	      .swapped = 4096,
	      .cold = GIB / 2 },
	    { .size = GIB, .limit = GIB, .shares = 1, .resident = GIB } },
	  { ARBITER_COLD, ARBITER_ENOUGH } },
};

Test(arbiter, says_why, LIMIT)
{
	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		struct arbiter_conf c = { rows[r].budget, 75, 1000, 0 };
		struct arbiter_guest g[2] = { rows[r].guest[0], rows[r].guest[1] };
		struct arbiter_host h = plenty();
		size_t n = g[1].size ? 2 : 1;

		settle(&c, &h, g, n, 12);
		for (size_t i = 0; i < n; i++)
			cr_expect_eq(g[i].why, rows[r].why[i], "%s: guest %zu: %s, not %s",
				     rows[r].what, i, arbiter_why_name(g[i].why),
				     arbiter_why_name(rows[r].why[i]));
	}
}

Test(arbiter, has_names, LIMIT)
{
	cr_expect_str_eq(arbiter_level_name(ARBITER_HIGH), "high");
	cr_expect_str_eq(arbiter_level_name(ARBITER_LOW), "low");
	cr_expect_str_eq(arbiter_why_name(ARBITER_OFF), "off");
	cr_expect_str_eq(arbiter_why_name(ARBITER_BUSY), "busy");
}

/* --- the tax, shares, prices ------------------------------------------------------------- */

/* One uses all of its memory and one nothing: with the same shares the idle one has 1 - tax of
 * it. */
Test(arbiter, idle_memory_is_taxed, LIMIT)
{
	static const uint32_t tax[] = { 0, 25, 50, 75, 99 };

	for (size_t i = 0; i < sizeof(tax) / sizeof(tax[0]); i++) {
		struct arbiter_conf c = { 10 * GIB, tax[i], 0, 0 };
		struct arbiter_guest g[2] = { of(16 * GIB, 5 * GIB, 0),
					      of(16 * GIB, 16 * GIB, 16 * GIB) };
		struct arbiter_host h = plenty();
		double pool = 10.0 * GIB * 15 / 16, k = 100.0 / (100 - tax[i]);

		g[0].shares = g[1].shares = 100000;
		settle(&c, &h, g, 2, 200);
		cr_expect(near(g[0].target, pool / (1 + k), 0.3) &&
				  near(g[1].target, pool * k / (1 + k), 0.3),
			  "tax %u: %lu and %lu MiB", tax[i], g[0].target / MIB,
			  g[1].target / MIB);
		cr_expect(near(h.price, 100000.0 * GIB / (pool * k / (1 + k)), 1), "%lu",
			  h.price);
		cr_expect(near(g[0].price, (double)h.price, 1) &&
				  near(g[1].price, (double)h.price, 1),
			  "both pay the same: %lu, %lu", g[0].price, g[1].price);
		cr_expect_lt(g[0].next, g[0].price);
	}
}

/* ESX's formula in numbers: S / (P * (f + k * (1 - f))). */
Test(arbiter, a_price_is_shares_for_each_taxed_gib, LIMIT)
{
	struct arbiter_conf c = { 64 * GIB, 75, 0, 0 };
	struct arbiter_guest g = of(8 * GIB, 4 * GIB, 3 * GIB);
	struct arbiter_host h = plenty();
	double p, idle;

	settle(&c, &h, &g, 1, 50);
	p = (double)g.target / GIB;
	idle = p - 3;
	cr_expect_eq(h.price, 0, "enough for all");
	cr_expect(near(g.price, 1000 / (3 + 4 * idle), 0.6), "%lu", g.price);
}

Test(arbiter, shares_are_respected, LIMIT)
{
	struct arbiter_conf c = { 20 * GIB, 75, 0, 0 };
	struct arbiter_guest g[4];
	struct arbiter_host h = plenty();

	for (size_t i = 0; i < 4; i++) {
		g[i] = of(16 * GIB, 10 * GIB, 16 * GIB);
		g[i].swapped = 6 * GIB;
		g[i].shares = (i + 1) * 1000;
	}
	settle(&c, &h, g, 4, 100);
	for (size_t i = 0; i < 4; i++)
		cr_expect(near(g[i].target, 18.75 * GIB * (double)(i + 1) / 10, 0.3),
			  "%zu: %lu", i, g[i].target / MIB);
}

/* What is due changes by little: not followed at all, or slowly; by much: at once. */
Test(arbiter, targets_have_a_dead_band, LIMIT)
{
	struct arbiter_conf c = { 16 * GIB, 75, 0, 0 };
	struct arbiter_guest g[2] = { of(16 * GIB, 7700 * MIB, 16 * GIB),
				      of(16 * GIB, 7700 * MIB, 16 * GIB) };
	struct arbiter_host h = plenty();
	uint64_t before;

	g[0].shares = g[1].shares = 100000;
	g[0].swapped = g[1].swapped = 8 * GIB;
	settle(&c, &h, g, 2, 100);
	before = g[0].target;
	g[0].shares = 100200; /* 0.1 % of what it has */
	settle(&c, &h, g, 2, 100);
	cr_expect_eq(g[0].target, before);
	g[0].shares = 102000; /* 1 % */
	settle(&c, &h, g, 2, 1);
	cr_expect(g[0].target > before && g[0].target < before + before / 1000, "%lu KiB",
		  (g[0].target - before) >> 10);
	settle(&c, &h, g, 2, 100);
	cr_expect_gt(g[0].target, before + before / 200, "in two minutes it is there");
	before = g[0].target;
	g[0].shares = 50000; /* a third less */
	settle(&c, &h, g, 2, 1);
	cr_expect_lt(g[0].target, before - before / 20, "a round is seen: %lu MiB",
		     g[0].target / MIB);
	cr_expect_geq(g[0].target, 7700 * MIB / 16 * 15, "but not more than can be moved");
}

/* --- bounds ------------------------------------------------------------------------------ */

/* Reservations hold when the budget was lowered behind them, and limits always. */
Test(arbiter, reservations_hold_whatever_the_budget, LIMIT)
{
	static const uint64_t budgets[] = { 1, 4096, MIB, GIB, 3 * GIB, 100 * GIB };
	static const uint64_t had[] = { 0, GIB / 2, GIB, 3 * GIB };

	for (size_t b = 0; b < sizeof(budgets) / sizeof(budgets[0]); b++)
		for (size_t r = 0; r < sizeof(had) / sizeof(had[0]); r++) {
			struct arbiter_conf c = { budgets[b], 75, 1000, 0 };
			struct arbiter_host h = { .available = b % 2 ? 0 : UINT64_MAX };
			struct arbiter_guest g[3];

			for (size_t i = 0; i < 3; i++) {
				g[i] = of(4 * GIB, had[r], 0);
				g[i].reservation = (i + 1) * GIB / 2;
				g[i].limit = 2 * GIB;
				g[i].cold = had[r];
			}
			for (unsigned int round = 0; round < 20; round++) {
				settle(&c, &h, g, 3, 1);
				for (size_t i = 0; i < 3; i++) {
					cr_expect_geq(g[i].grant, g[i].reservation);
					cr_expect_leq(g[i].grant, 2 * GIB);
					cr_expect_geq(g[i].target, g[i].reservation);
					cr_expect_leq(g[i].target, 2 * GIB);
					cr_expect_leq(g[i].take + g[i].reservation,
						      g[i].take ? g[i].resident : 4 * GIB);
				}
			}
			if (budgets[b] < 3 * GIB && had[r] >= 2 * GIB)
				for (size_t i = 0; i < 3; i++)
					cr_expect_eq(g[i].grant, g[i].reservation,
						     "and no more than that: %lu",
						     g[i].grant / MIB);
		}
}

static uint64_t any(uint64_t *seed)
{
	static const uint64_t v[] = { 0,
				      1,
				      4096,
				      UINT64_C(1) << 40,
				      (UINT64_C(1) << 63) - 1,
				      UINT64_C(1) << 63,
				      UINT64_MAX };

	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return v[(*seed >> 33) % (sizeof(v) / sizeof(v[0]))];
}

Test(arbiter, absurd_figures_do_no_harm, LIMIT)
{
	uint64_t seed = 1;

	for (unsigned int run = 0; run < 3000; run++) {
		struct arbiter_conf c;
		struct arbiter_host h = { 0 };
		struct arbiter_guest g[MANY];
		size_t n = run % (MANY + 1);

		c = (struct arbiter_conf){ any(&seed), (uint32_t)any(&seed),
					   (uint32_t)any(&seed), 0 };
		h.available = any(&seed);
		for (size_t i = 0; i < n; i++)
			g[i] = (struct arbiter_guest){ .size = any(&seed),
						       .reservation = any(&seed),
						       .limit = any(&seed),
						       .shares = any(&seed),
						       .resident = any(&seed),
						       .swapped = any(&seed),
						       .working_set = any(&seed),
						       .cold = any(&seed),
						       .some_10s = (uint32_t)any(&seed),
						       .some_60s = (uint32_t)any(&seed),
						       .busy = any(&seed) == 1,
						       .balloon_gives = any(&seed) };
		for (uint64_t now = 0; now < 40 * SEC; now += 7 * SEC) {
			arbiter_decide(&c, &h, g, n, now);
			for (size_t i = 0; i < n; i++) {
				cr_expect_leq(g[i].limit, g[i].size);
				cr_expect_leq(g[i].reservation, g[i].limit);
				cr_expect_geq(g[i].grant, g[i].reservation);
				cr_expect(g[i].busy || g[i].grant <= g[i].limit);
				cr_expect_leq(g[i].target, g[i].limit);
				cr_expect_leq(g[i].take, g[i].resident);
				cr_expect_leq(g[i].balloon, g[i].balloon_gives);
				g[i].resident = run % 3 ? g[i].grant : any(&seed);
			}
		}
	}
}

Test(arbiter, nobody_is_no_trouble, LIMIT)
{
	struct arbiter_conf c = { GIB, 75, 1000, 0 };
	struct arbiter_host h = { .available = GIB / 2 };

	arbiter_decide(&c, &h, NULL, 0, SEC);
	cr_expect_eq(h.free, GIB / 2, "what the host has, if that is less");
	cr_expect_eq(h.used, 0);
	cr_expect_eq(h.price, 0);
	cr_expect_eq(h.level, ARBITER_HIGH);
}

/* The same guests in another order are given the same, to the byte. */
Test(arbiter, the_order_of_guests_does_not_matter, LIMIT)
{
	struct arbiter_conf c = { 9 * GIB + 12345, 75, 1000, 0 };
	struct arbiter_guest a[MANY], b[MANY];
	struct arbiter_host ha = plenty(), hb = plenty();

	for (size_t i = 0; i < MANY; i++) {
		a[i] = of(GIB + i * 333 * MIB, GIB / 2 + i * 77777, GIB / 8 + i * 9999999);
		a[i].shares = 1 + i * i * 31;
		a[i].reservation = i % 4 ? 0 : 200 * MIB;
		b[MANY - 1 - i] = a[i];
	}
	for (unsigned int round = 0; round < 30; round++) {
		settle(&c, &ha, a, MANY, 1);
		settle(&c, &hb, b, MANY, 1);
		for (size_t i = 0; i < MANY; i++) {
			cr_assert_eq(a[i].grant, b[MANY - 1 - i].grant);
			cr_assert_eq(a[i].target, b[MANY - 1 - i].target);
			a[i].resident = b[MANY - 1 - i].resident = a[i].grant;
		}
		cr_assert_eq(ha.price, hb.price);
	}
}

/* Between two rounds guests can grow by their grants at memory speed. */
Test(arbiter, grants_do_not_exceed_what_is_free, LIMIT)
{
	struct arbiter_conf c = { 10 * GIB, 75, 0, 0 };
	struct arbiter_host h = plenty();
	struct arbiter_guest g[2] = { of(10 * GIB, 9 * GIB, 0),
				      of(10 * GIB, GIB / 2, GIB / 2) };
	uint64_t sum;

	g[1].swapped = 9 * GIB;
	g[1].some_60s = g[1].some_10s = 500000;
	for (unsigned int round = 0; round < 120; round++) {
		settle(&c, &h, g, 2, 1);
		sum = 0;
		for (size_t i = 0; i < 2; i++)
			sum += g[i].grant > g[i].resident ? g[i].grant : g[i].resident;
		cr_assert_leq(sum, 10 * GIB - 10 * GIB / 50 + 2, "round %u: %lu MiB", round,
			      sum / MIB);
		g[1].resident = g[1].grant; /* at once, and the other one slowly */
		if (g[0].resident > g[0].grant)
			g[0].resident -= g[0].resident - g[0].grant < 100 * MIB
						 ? g[0].resident - g[0].grant
						 : 100 * MIB;
	}
	cr_expect_gt(g[1].resident, 7 * GIB, "it has got there: %lu MiB", g[1].resident / MIB);
}

/* --- levels --------------------------------------------------------------------------------
 */

/* Free memory, in thousandths of the budget, and the level then. */
static const struct level_row {
	unsigned int free;
	enum arbiter_level level;
} walk[] = {
	{ 500, ARBITER_HIGH }, { 40, ARBITER_HIGH }, { 39, ARBITER_SOFT },
	{ 59, ARBITER_SOFT },  { 60, ARBITER_HIGH }, { 41, ARBITER_HIGH },
	{ 20, ARBITER_SOFT },  { 19, ARBITER_HARD }, { 39, ARBITER_HARD },
	{ 40, ARBITER_SOFT },  { 10, ARBITER_HARD }, { 9, ARBITER_LOW },
	{ 19, ARBITER_LOW },   { 20, ARBITER_HARD }, { 0, ARBITER_LOW },
	{ 500, ARBITER_HIGH }, { 0, ARBITER_LOW },   { 59, ARBITER_SOFT },
	{ 60, ARBITER_HIGH },
};

Test(arbiter, levels_have_hysteresis, LIMIT)
{
	for (int by_host = 0; by_host < 2; by_host++) {
		struct arbiter_conf c = { 1000 * MIB, 75, 0, 0 };
		struct arbiter_host h = plenty();

		for (size_t i = 0; i < sizeof(walk) / sizeof(walk[0]); i++) {
			struct arbiter_guest g = of(4 * GIB, 300 * MIB, 0);

			if (by_host)
				h.available = walk[i].free * MIB;
			else
				g.resident = (1000 - walk[i].free) * MIB;
			settle(&c, &h, &g, 1, 1);
			cr_expect_eq(h.level, walk[i].level, "%zu: %u: %s, not %s", i,
				     walk[i].free, arbiter_level_name(h.level),
				     arbiter_level_name(walk[i].level));
		}
	}
}

/* Its RAM that it does not use is what it pages for. */
Test(arbiter, one_that_pages_and_has_free_memory_is_asked_for_that)
{
	struct arbiter_conf conf = { .budget = 1024 * MIB, .tax = 75 };
	struct arbiter_host host = { .available = 64 * GIB };
	struct arbiter_guest g[2] = {
		{ .size = GIB,
		  .limit = GIB,
		  .shares = 10,
		  .resident = 480 * MIB,
		  .swapped = 400 * MIB,
		  .working_set = 480 * MIB,
		  .balloon_gives = 100 * MIB },
		{ .size = GIB,
		  .limit = GIB,
		  .shares = 10,
		  .resident = 480 * MIB,
		  .swapped = 400 * MIB,
		  .working_set = 480 * MIB },
	};

	for (uint64_t t = 1; t <= 3; t++)
		arbiter_decide(&conf, &host, g, 2, t * NSEC_PER_SEC);
	cr_expect_eq(host.level, ARBITER_HIGH);
	cr_expect_eq(g[0].balloon, 100 * MIB);
	cr_expect_eq(g[1].balloon, 0);
	cr_expect_leq(g[0].grant, g[1].grant, "it is let grow for what its balloon will give");
}

/* What each level does with a guest that is due less than it has, and has a balloon. */
Test(arbiter, a_level_says_how_it_is_taken, LIMIT)
{
	static const struct {
		unsigned int free;
		enum arbiter_level level;
		bool keeps, balloon, by_balloon;
	} row[] = {
		{ 50, ARBITER_HIGH, true, true, true },
		{ 30, ARBITER_SOFT, false, true, true },
		{ 15, ARBITER_HARD, false, true, false },
		{ 5, ARBITER_LOW, false, true, false },
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct arbiter_conf c = { 10000 * MIB, 75, 0, 0 };
		struct arbiter_host h = plenty();
		struct arbiter_guest g[2] = { of(16 * GIB, 6000 * MIB, 0),
					      of(16 * GIB, (4000 - row[i].free * 10) * MIB,
						 4000 * MIB) };

		g[0].balloon_gives = 100 * MIB;
		settle(&c, &h, g, 2, 60);
		cr_expect_eq(h.level, row[i].level);
		cr_expect_lt(g[0].target + 100 * MIB, g[0].resident, "%lu", g[0].target / MIB);
		cr_expect_eq(g[0].balloon, row[i].balloon ? 100 * MIB : 0);
		if (row[i].keeps)
			cr_expect(g[0].grant < g[0].resident &&
					  g[0].grant > g[0].resident / 100 * 99,
				  "slowly: %lu", g[0].grant / MIB);
		else
			cr_expect_eq(g[0].grant,
				     g[0].target + (row[i].by_balloon ? 100 * MIB : 0));
		if (row[i].level == ARBITER_LOW)
			cr_expect_eq(g[1].grant, g[1].resident,
				     "what is due more gets no more");
		cr_expect_leq(g[1].grant, g[1].target);
	}
}

/* There is enough for all, so nobody has to give, and what is left of the budget is granted. */
Test(arbiter, nothing_is_taken_when_there_is_enough, LIMIT)
{
	struct arbiter_conf c = { 16 * GIB, 75, 0, 0 };
	struct arbiter_host h = plenty();
	struct arbiter_guest g[2] = { of(12 * GIB, 4 * GIB, 0), of(12 * GIB, GIB, GIB) };

	g[0].balloon_gives = GIB;
	settle(&c, &h, g, 2, 20);
	cr_expect_eq(h.price, 0);
	for (size_t i = 0; i < 2; i++) {
		cr_expect_eq(g[i].why, ARBITER_ENOUGH);
		cr_expect_eq(g[i].balloon, 0);
		cr_expect_gt(g[i].grant, g[i].target + 2 * GIB, "%lu", g[i].grant / MIB);
	}
	cr_expect_leq(g[0].grant + g[1].grant, 15 * GIB);
	cr_expect_gt(g[0].grant + g[1].grant, 15 * GIB - MIB);
	c.budget = 64 * GIB;
	settle(&c, &h, g, 2, 2);
	for (size_t i = 0; i < 2; i++)
		cr_expect_eq(g[i].grant, g[i].limit, "there is enough for all limits");
}

/* Others use the host's memory: what is not there is not distributed. */
Test(arbiter, what_the_host_lacks_is_not_given, LIMIT)
{
	struct arbiter_conf c = { 10 * GIB, 75, 0, 0 };
	struct arbiter_host h = { .available = GIB / 2 };
	struct arbiter_guest g[2] = { of(8 * GIB, 2 * GIB, 2 * GIB),
				      of(8 * GIB, 3 * GIB, 3 * GIB) };

	settle(&c, &h, g, 2, 100);
	cr_expect_leq(g[0].target + g[1].target, 11 * GIB / 2 - 10 * GIB / 16 + 10 * MIB);
	cr_expect_gt(h.price, 0);
}

/* --- cold memory ---------------------------------------------------------------------------
 */

/* It is taken while it is not missed, less and less near the target, and never what is
 * reserved. */
Test(arbiter, cold_memory_is_taken_while_it_is_not_missed, LIMIT)
{
	static const uint32_t some[] = { 0, 500, 900, 999, 1000, 50000 };
	uint64_t taken[sizeof(some) / sizeof(some[0])];

	for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
		struct arbiter_conf c = { 64 * GIB, 75, 1000, 0 };
		struct arbiter_host h = plenty();
		struct arbiter_guest g = of(8 * GIB, 8 * GIB, GIB);

		g.cold = 4 * GIB;
		g.reservation = 5 * GIB;
		g.some_10s = some[i];
		taken[i] = 0;
		for (unsigned int round = 0; round < 900; round++) {
			settle(&c, &h, &g, 1, 1);
			g.resident -= g.take;
			g.swapped += g.take;
			taken[i] += g.take;
			cr_assert_geq(g.resident, g.reservation);
			cr_assert_leq(g.take, 8 * GIB / 80);
		}
	}
	cr_expect_eq(taken[0], 3 * GIB, "all that is cold and not reserved: %lu MiB",
		     taken[0] / MIB);
	cr_expect(taken[3] > 0 && taken[3] < taken[2] && taken[2] < taken[0]);
	cr_expect_eq(taken[4], 0);
	cr_expect_eq(taken[5], 0);
}

Test(arbiter, no_cold_memory_is_taken_without_a_target_or_a_budget, LIMIT)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct arbiter_conf c = { i ? 64 * GIB : 0, 75, i ? 0 : 1000, 0 };
		struct arbiter_host h = plenty();
		struct arbiter_guest g = of(8 * GIB, 8 * GIB, GIB);

		g.cold = 4 * GIB;
		for (unsigned int round = 0; round < 100; round++) {
			settle(&c, &h, &g, 1, 1);
			cr_expect_eq(g.take, 0);
		}
	}
}

/* Stalls above the target halve the rate, each 6 s. */
Test(arbiter, stalls_halve_the_rate, LIMIT)
{
	struct arbiter_conf c = { 64 * GIB, 75, 1000, 0 };
	struct arbiter_host h = plenty();
	struct arbiter_guest g = of(8 * GIB, 8 * GIB, GIB);
	uint64_t before;

	g.cold = 4 * GIB;
	settle(&c, &h, &g, 1, 100);
	before = g.keep.rate;
	g.some_10s = 2000;
	settle(&c, &h, &g, 1, 6);
	cr_expect_eq(g.keep.rate, before / 2);
	settle(&c, &h, &g, 1, 12);
	cr_expect_eq(g.keep.rate, before / 8);
}

/* --- what is measured ------------------------------------------------------------------------
 */

/* While it stalls, a working set that falls is not believed, and rises when it stalls much. */
Test(arbiter, a_guest_that_stalls_does_not_shrink_itself, LIMIT)
{
	static const struct {
		uint32_t some;
		uint64_t low, high; /* MiB, of what counts as used after five minutes */
	} row[] = {
		{ 0, 90, 120 }, { 1000, 90, 120 }, { 1001, 1000, 1000 }, { 10001, 2000, 2048 }
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct arbiter_conf c = { 64 * GIB, 75, 1000, 0 };
		struct arbiter_host h = plenty();
		struct arbiter_guest g = of(4 * GIB, GIB, 1000 * MIB);

		g.swapped = GIB;
		settle(&c, &h, &g, 1, 1);
		g.working_set = 90 * MIB;
		g.some_10s = g.some_60s = row[i].some;
		settle(&c, &h, &g, 1, 300);
		cr_expect(g.keep.active >= row[i].low * MIB &&
				  g.keep.active <= row[i].high * MIB,
			  "some %u: %lu MiB", row[i].some, g.keep.active / MIB);
	}
}

/* One that was just attached: all of it counts as used until something else is known. */
Test(arbiter, a_new_guest_is_neither_robbed_nor_hoards, LIMIT)
{
	struct arbiter_conf c = { 8 * GIB, 75, 1000, 0 };
	struct arbiter_host h = plenty();
	struct arbiter_guest g[2] = { of(8 * GIB, 4 * GIB, 4 * GIB),
				      of(8 * GIB, 4 * GIB, 4 * GIB) };
	uint64_t pool = 8 * GIB / 16 * 15;

	g[0].swapped = 2 * GIB;
	g[0].working_set = 6 * GIB;
	settle(&c, &h, g, 2, 60);
	cr_expect(near(g[0].target, (double)pool / 2, 1), "%lu: half of it, and no more",
		  g[0].target / MIB);
	cr_expect(near(g[1].target, (double)pool / 2, 1));
}

/* The first that is measured and no guess is believed at once, but not of one that stalls. */
Test(arbiter, the_first_measurement_is_believed, LIMIT)
{
	for (uint32_t some = 0; some <= 2000; some += 2000) {
		struct arbiter_conf c = { 64 * GIB, 75, 1000, 0 };
		struct arbiter_host h = plenty();
		struct arbiter_guest g = of(4 * GIB, 2 * GIB, 2 * GIB);

		g.guess = true;
		settle(&c, &h, &g, 1, 60);
		cr_expect_eq(g.keep.active, 2 * GIB);
		g.guess = false;
		g.working_set = GIB / 4;
		g.some_10s = some;
		settle(&c, &h, &g, 1, 1);
		cr_expect_eq(g.keep.active, some ? 2 * GIB : GIB / 4, "%lu",
			     g.keep.active / MIB);
		g.some_10s = 0;
		settle(&c, &h, &g, 1, 1);
		cr_expect_eq(g.keep.active, GIB / 4);
		g.working_set = GIB / 8;
		settle(&c, &h, &g, 1, 1);
		cr_expect_gt(g.keep.active, GIB / 5, "and from then on it is smoothed");
	}
}
