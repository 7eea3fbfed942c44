/* SPDX-License-Identifier: BSD-2-Clause */
/* The arbiter over simulated time, with guests that follow what it says (arbiter_sim.h). */
#include <criterion/criterion.h>
#include <stdio.h>

#include "arbiter_sim.h"

#define LIMIT .timeout = 60
#define SEEDS 3
#define HOUR  3600u
#define MIB   SIM_MIB
#define GIB   SIM_GIB

static double percent_off(uint64_t got, double wanted)
{
	double off = ((double)got - wanted) / wanted * 100;

	return off < 0 ? -off : off;
}

static uint64_t target_sum(const struct sim *s)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < s->n; i++)
		sum += s->guest[i].target;
	return sum;
}

/* Swing of a guest's target over some rounds, percent of the largest; the worst of all guests.
 */
static double swing(struct sim *s, unsigned int rounds)
{
	static uint64_t low[64], high[64];
	double worst = 0;

	for (size_t i = 0; i < s->n; i++)
		low[i] = high[i] = s->guest[i].target;
	while (rounds--) {
		sim_round(s);
		for (size_t i = 0; i < s->n; i++) {
			uint64_t t = s->guest[i].target;

			low[i] = t < low[i] ? t : low[i];
			high[i] = t > high[i] ? t : high[i];
		}
	}
	for (size_t i = 0; i < s->n; i++) {
		double p = (double)(high[i] - low[i]) * 100 / (double)high[i];

		worst = p > worst ? p : worst;
	}
	return worst;
}

/* --- days -----------------------------------------------------------------------------------
 */

/*
 * Percent of a guest's memory in use, hour by hour: shapes as load of such hosts is known to
 * have.  Web traffic has its low at 4 and its high at 20 o'clock; a batch runs at night; an
 * office has two humps.
 */
static const unsigned char day[]
			      [24] = {
				      { 42, 33, 27, 23, 21, 24, 31, 42, 53, 60, 64, 67,
					69, 68, 67, 68, 71, 76, 83, 90, 94, 88, 74, 57 },
				      { 85, 92, 95, 95, 90, 60, 15, 10, 8,  8,	8,  8,
					8,  8,	8,  8,	8,  8,	8,  8,	10, 15, 40, 75 },
				      { 6,  6,	6,  6,	6,  7,	12, 35, 70, 82, 86, 74,
					52, 68, 84, 83, 76, 52, 28, 16, 10, 8,	7,  6 },
			      };

#define SHAPES (sizeof(day) / sizeof(day[0]))

/* By its number: one of the days, a random walk, bursts, steps, or nothing for ever. */
static void demand(struct sim *s, size_t i, unsigned int second, unsigned int hour)
{
	uint64_t size = s->guest[i].size, percent = s->of[i].wants * 100 / size, now, next;
	unsigned int kind = (unsigned int)(i % (SHAPES + 4)), h = second / hour % 24;

	if (kind < SHAPES) {
		now = day[kind][h];
		next = day[kind][(h + 1) % 24];
		percent = (now * (hour - second % hour) + next * (second % hour)) / hour;
	} else if (kind == SHAPES) {
		percent = percent + sim_random(s, 5) - 2;
		percent = percent < 5 || percent > 1000 ? 5 : percent > 95 ? 95 : percent;
	} else if (kind == SHAPES + 1) {
		percent = sim_random(s, 40) == 0 ? 95
			  : percent > 20	 ? percent - percent / 4
						 : 15;
	} else if (kind == SHAPES + 2) {
		percent = sim_random(s, 120) == 0 ? 10 + sim_random(s, 80)
			  : percent		  ? percent
						  : 50;
	} else {
		percent = 2;
	}
	sim_want(s, i, size / 100 * percent);
}

static struct sim *mixed_host(size_t n, uint64_t seed)
{
	struct sim *s = sim_new(n, n * GIB, seed);
	uint64_t reserved = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t size = (1 + sim_random(s, 4)) * GIB;
		uint64_t reservation = i % 4 ? 0 : size / 4;

		sim_guest(s, i, size, reservation, size / MIB * (5 + sim_random(s, 16)),
			  size / 4);
		reserved += reservation;
	}
	cr_assert_lt(reserved, s->conf.budget / 2);
	return s;
}

/* hour: how many rounds an hour has. */
static uint64_t live_days(struct sim *s, unsigned int days, unsigned int hour)
{
	uint64_t sum = 0;

	for (unsigned int second = 0; second < days * 24 * hour; second++) {
		if (second % (hour / 60) == 0)
			for (size_t i = 0; i < s->n; i++)
				demand(s, i, second, hour);
		sim_round(s);
		cr_assert_leq(s->host.steps, 80 * s->n, "what a round costs is bounded");
		sum = sum * 31 + target_sum(s);
	}
	cr_expect_eq(s->violated, 0, "reservations: %lu times", s->violated);
	cr_expect_leq(s->most_used, s->conf.budget, "more than the budget: %lu of %lu MiB",
		      s->most_used / MIB, s->conf.budget / MIB);
	return sum;
}

Test(arbiter_sim, days_of_30_guests, LIMIT)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct sim *s = mixed_host(30, seed);

		live_days(s, 1, HOUR);
		sim_free(s);
	}
}

/* A day in 24 minutes, which is harder: what changes in an hour there changes in a minute. */
Test(arbiter_sim, a_day_of_1000_guests, LIMIT)
{
	struct sim *s = mixed_host(1000, 1);

	live_days(s, 1, 60);
	sim_free(s);
}

Test(arbiter_sim, the_same_seed_is_the_same_day, LIMIT)
{
	uint64_t sum[3];

	for (size_t i = 0; i < 3; i++) {
		struct sim *s = mixed_host(20, i < 2 ? 7 : 8);

		sum[i] = live_days(s, 1, 60);
		sim_free(s);
	}
	cr_expect_eq(sum[0], sum[1]);
	cr_expect_neq(sum[0], sum[2]);
}

/* --- rest
 * -------------------------------------------------------------------------------------- */

/* Demand stays as it is, and only what is measured is noisy: targets stay within 2 %. */
Test(arbiter_sim, targets_rest_when_demand_does, LIMIT)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		for (unsigned int noise = 0; noise <= 5; noise += 5) {
			struct sim *s = mixed_host(30, seed);
			double worst;

			s->noise = noise;
			s->conf.stall_target = noise ? ARBITER_STALL_TARGET : 0;
			for (size_t i = 0; i < s->n; i++)
				sim_want(s, i,
					 s->guest[i].size / 100 * (5 + sim_random(s, 90)));
			sim_run(s, 1800);
			worst = swing(s, 600);
			printf("seed %lu, noise %u %%: targets move by %.2f %%\n", seed, noise,
			       worst);
			cr_expect_leq(worst, noise ? 2.0 : 0.5, "seed %lu, noise %u: %.2f %%",
				      seed, noise, worst);
			sim_free(s);
		}
}

/* Two that both want more than half: who waits touches less, and must not lose for that. */
Test(arbiter_sim, two_that_thrash_do_not_rob_each_other, LIMIT)
{
	static const unsigned int wants[][2] = { { 80, 80 }, { 60, 95 }, { 55, 50 } };

	for (size_t r = 0; r < sizeof(wants) / sizeof(wants[0]); r++) {
		struct sim *s = sim_new(2, 4 * GIB, 1 + r);
		double pool = 4.0 * GIB * 15 / 16, half, worst;

		for (size_t i = 0; i < 2; i++) {
			sim_guest(s, i, 4 * GIB, 0, 1000, 2 * GIB);
			sim_want(s, i, 4 * GIB / 100 * wants[r][i]);
		}
		sim_run(s, 900);
		worst = swing(s, 1800);
		half = pool / 2;
		cr_expect_leq(worst, 2.0, "%zu: %.2f %%", r, worst);
		for (size_t i = 0; i < 2; i++)
			cr_expect_leq(percent_off(s->guest[i].target, half), 2,
				      "%zu: %zu: %lu MiB", r, i, s->guest[i].target / MIB);
		sim_free(s);
	}
}

/* Squeezed to a fraction of what it uses, and then the others go idle: it gets all it uses. */
Test(arbiter_sim, who_was_squeezed_recovers, LIMIT)
{
	struct sim *s = sim_new(4, 8 * GIB, 3);
	unsigned int rounds = 0;

	for (size_t i = 0; i < 4; i++) {
		sim_guest(s, i, 6 * GIB, 0, i ? 4000 : 2000, 2 * GIB);
		sim_want(s, i, i ? 5 * GIB : 5 * GIB / 2);
	}
	sim_run(s, 1200);
	cr_expect_lt(s->guest[0].target, 5 * GIB / 4, "squeezed: %lu",
		     s->guest[0].target / MIB);
	for (size_t i = 1; i < 4; i++)
		sim_want(s, i, GIB / 8);
	while (s->of[0].hot < 5 * GIB / 200 * 99 && rounds++ < 1000)
		sim_round(s);
	printf("squeezed, and whole again after %u rounds\n", rounds);
	cr_expect_leq(rounds, 240);
	sim_free(s);
}

/* --- steps
 * -------------------------------------------------------------------------------------- */

/* One of ten that all want more doubles its shares: 60 rounds until all are within 2 %. */
Test(arbiter_sim, a_step_is_followed, LIMIT)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct sim *s = sim_new(10, 20 * GIB, seed);
		double pool = 20.0 * GIB * 15 / 16;

		for (size_t i = 0; i < 10; i++) {
			sim_guest(s, i, 4 * GIB, 0, 1000, 2 * GIB);
			sim_want(s, i, 4 * GIB);
		}
		sim_run(s, 900);
		s->guest[seed].shares = 2000;
		sim_run(s, 60);
		for (size_t i = 0; i < 10; i++) {
			double wanted = pool * (double)s->guest[i].shares / 11000;

			cr_expect_leq(percent_off(s->guest[i].target, wanted), 2,
				      "target of %zu: %lu MiB", i, s->guest[i].target / MIB);
			cr_expect_leq(percent_off(sim_resident(s, i), wanted), 2,
				      "it has, %zu: %lu MiB", i, sim_resident(s, i) / MIB);
		}
		sim_free(s);
	}
}

/* All want more than there is: what they have is in proportion to their shares, within 2 %. */
Test(arbiter_sim, shares_are_respected, LIMIT)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct sim *s = sim_new(50, 50 * GIB, seed);
		double shares = 0;

		for (size_t i = 0; i < 50; i++) {
			sim_guest(s, i, 8 * GIB, 0, 1000 + sim_random(s, 3000), GIB);
			sim_want(s, i, 8 * GIB);
			shares += (double)s->guest[i].shares;
		}
		sim_run(s, 600);
		for (size_t i = 0; i < 50; i++) {
			double wanted =
				50.0 * GIB * 15 / 16 * (double)s->guest[i].shares / shares;

			cr_expect_leq(percent_off(sim_resident(s, i), wanted), 2,
				      "%lu shares have %lu MiB, not %.0f", s->guest[i].shares,
				      sim_resident(s, i) / MIB, wanted / MIB);
		}
		sim_free(s);
	}
}

/* One has its memory and does nothing, one wants more: tax 0 is 1 to 1, 75 % is 1 to 4. */
Test(arbiter_sim, the_tax_is_seen_in_what_they_have, LIMIT)
{
	static const uint32_t tax[] = { 0, 50, 75 };

	for (size_t t = 0; t < sizeof(tax) / sizeof(tax[0]); t++) {
		struct sim *s = sim_new(2, 10 * GIB, 1);
		double idle = 10.0 * GIB * 15 / 16 / (1 + 100.0 / (100 - tax[t]));

		s->conf.tax = tax[t];
		s->conf.stall_target = 0; /* nothing is taken because it is cold */
		for (size_t i = 0; i < 2; i++) {
			sim_guest(s, i, 16 * GIB, 0, 1000, 5 * GIB);
			sim_want(s, i, i ? 16 * GIB : 0);
		}
		sim_run(s, 1500);
		cr_expect_leq(percent_off(sim_resident(s, 0), idle), 3,
			      "tax %u: %lu MiB, not %.0f", tax[t], sim_resident(s, 0) / MIB,
			      idle / MIB);
		cr_expect_leq(percent_off(sim_resident(s, 1), 10.0 * GIB * 15 / 16 - idle), 3,
			      "tax %u: %lu MiB", tax[t], sim_resident(s, 1) / MIB);
		sim_free(s);
	}
}

/* --- stalls
 * --------------------------------------------------------------------------------------- */

/* Nine waste what they have, the tenth comes to need twice its part, which is on swap. */
Test(arbiter_sim, a_guest_that_thrashes_gets_what_others_waste, LIMIT)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct sim *s = sim_new(10, 10 * GIB, seed);
		uint64_t before;

		for (size_t i = 0; i < 10; i++) {
			sim_guest(s, i, 4 * GIB, 0, 1000, GIB * 9 / 10);
			sim_want(s, i, GIB / 10);
		}
		s->of[0].contents = 4 * GIB;
		s->conf.stall_target = 0;
		sim_run(s, 600);
		s->conf.stall_target = ARBITER_STALL_TARGET;
		before = s->of[0].stalled;
		sim_want(s, 0, 2 * GIB);
		sim_run(s, 120);
		printf("seed %lu: stalled for %.1f s in all, then for %.3f %%\n", seed,
		       (double)(s->of[0].stalled - before) / (double)SIM_SEC,
		       psi_share(&s->of[0].some, PSI_10S) / 10000.0);
		cr_expect_leq(s->of[0].stalled - before, 60 * SIM_SEC);
		sim_run(s, 300);
		before = s->of[0].stalled;
		sim_run(s, 600);
		cr_expect_leq(s->of[0].stalled - before, 600 * SIM_SEC / 1000,
			      "and then within the target: %.3f s",
			      (double)(s->of[0].stalled - before) / (double)SIM_SEC);
		sim_free(s);
	}
}

/* There is enough for all: what is cold goes all the same, and nobody misses it. */
Test(arbiter_sim, cold_memory_is_not_missed, LIMIT)
{
	struct sim *s = sim_new(5, 40 * GIB, 1);

	for (size_t i = 0; i < 5; i++) {
		sim_guest(s, i, 4 * GIB, i ? 0 : 3 * GIB, 1000, 4 * GIB);
		sim_want(s, i, GIB);
	}
	sim_run(s, 1800);
	for (size_t i = 0; i < 5; i++) {
		cr_expect_leq(sim_resident(s, i), i ? GIB * 3 / 2 : 3 * GIB, "%lu MiB left",
			      sim_resident(s, i) / MIB);
		cr_expect_leq(psi_share(&s->of[i].some, PSI_300S), ARBITER_STALL_TARGET);
		cr_expect_eq(s->guest[i].why, ARBITER_COLD);
	}
	cr_expect_eq(s->violated, 0);
	sim_free(s);
}

/* Attached while others thrash: its memory counts as used, and it is sampled only then. */
Test(arbiter_sim, a_guest_that_comes_gets_its_part, LIMIT)
{
	struct sim *s = sim_new(3, 6 * GIB, 1);

	for (size_t i = 0; i < 3; i++) {
		sim_guest(s, i, 4 * GIB, 0, 1000, i < 2 ? 3 * GIB : 0);
		sim_want(s, i, 4 * GIB);
	}
	s->n = 2;
	sim_run(s, 600);
	s->n = 3;
	sim_run(s, 120);
	for (size_t i = 0; i < 3; i++)
		cr_expect_leq(percent_off(sim_resident(s, i), 6.0 * GIB * 15 / 16 / 3), 3,
			      "%zu: %lu MiB", i, sim_resident(s, i) / MIB);
	cr_expect_leq(s->most_used, s->conf.budget);
	sim_free(s);
}

/* The budget is lowered below all reservations: these hold, and nothing besides. */
Test(arbiter_sim, a_budget_that_was_lowered_spares_reservations, LIMIT)
{
	struct sim *s = sim_new(4, 8 * GIB, 1);

	for (size_t i = 0; i < 4; i++) {
		sim_guest(s, i, 4 * GIB, GIB, 1000, 2 * GIB);
		sim_want(s, i, 4 * GIB);
	}
	sim_run(s, 60);
	s->conf.budget = 2 * GIB;
	sim_run(s, 60);
	cr_expect_eq(s->violated, 0);
	cr_expect_eq(s->host.level, ARBITER_LOW);
	for (size_t i = 0; i < 4; i++)
		cr_expect_eq(sim_resident(s, i), GIB, "%lu", sim_resident(s, i) / MIB);
	sim_free(s);
}
