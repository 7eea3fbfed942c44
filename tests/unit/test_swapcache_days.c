/* SPDX-License-Identifier: BSD-2-Clause */
/* The swapcache daemon over simulated days: what accumulates, and what any minute may have. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "swap/swapcache.h"
#include "swapcache_sim.h"

#define LIMIT .timeout = 60

/* --- time ------------------------------------------------------------------------------- */

/* However often the daemon is woken, a second is worth accrate, to the byte. */
Test(swapcache_days, accumulation_does_not_depend_on_ticks, LIMIT)
{
	static const uint64_t steps[] = { 1, 999, 7919, 100003, 999983, POLL, SEC, 60 * SEC };

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct swapcache_view v = { .now = 5, .swap_max = SWAP, .wear_left = MAX };
		struct swapcache sc;
		uint64_t n = 200000;

		if (n * steps[i] > 3600 * SEC)
			n = 3600 * SEC / steps[i];
		new_one(&sc);
		set(&sc, SWAPCACHE_CURBURST, 0);
		tick(&sc, &v);
		for (uint64_t t = 0; t < n; t++) {
			v.now += steps[i];
			tick(&sc, &v);
		}
		cr_expect_eq((uint64_t)sc.curburst, ACC * (n * steps[i] / 1000) / 1000000,
			     "steps of %lu ns: %ld", steps[i], sc.curburst);
	}
}

Test(swapcache_days, time_that_goes_backwards_adds_nothing, LIMIT)
{
	struct swapcache_view v = { .now = 5000 * SEC, .swap_max = SWAP, .wear_left = MAX };
	struct swapcache sc;

	new_one(&sc);
	set(&sc, SWAPCACHE_CURBURST, 0);
	tick(&sc, &v);
	v.now = 10 * SEC; /* another boot */
	tick(&sc, &v);
	cr_assert_eq(sc.curburst, 0);
	v.now = 11 * SEC;
	tick(&sc, &v);
	cr_assert_eq(sc.curburst, ACC, "and goes on from there");
	v.now = 0;
	tick(&sc, &v);
	v.now = SEC;
	tick(&sc, &v);
	cr_assert_geq(sc.curburst, 2 * ACC - 1, "0 is a time as well");
	v.now = UINT64_MAX;
	tick(&sc, &v);
	cr_assert_eq(sc.curburst, 2000 * MB, "all time there is: no more than maxburst");

	/* what comes to 2^64 bytes exactly, and to no less */
	set(&sc, SWAPCACHE_CURBURST, 0);
	set(&sc, SWAPCACHE_ACCRATE, UINT64_C(1) << 36);
	v.now = 1;
	tick(&sc, &v);
	v.now += (SEC << 28);
	tick(&sc, &v);
	cr_assert_eq(sc.curburst, 2000 * MB, "all time there is: no more than maxburst");
}

/* Off for an hour, by each of the ways to be off: that hour is worth nothing. */
Test(swapcache_days, nothing_accumulates_while_it_is_off, LIMIT)
{
	for (unsigned int way = 0; way < 4; way++) {
		struct swapcache_view v = { .now = 7 * SEC,
					    .swap_max = SWAP,
					    .wear_left = MAX };
		struct swapcache sc;

		new_one(&sc);
		set(&sc, SWAPCACHE_CURBURST, 0);
		tick(&sc, &v);
		v.now += 10 * SEC;
		tick(&sc, &v);
		cr_assert_eq(sc.curburst, 10 * ACC);

		if (way == 0)
			set(&sc, SWAPCACHE_DATA_ENABLE, 0);
		v.swap_max = way == 1 ? 0 : SWAP;
		v.stopping = way == 2;
		if (way == 3) { /* it cleans all the same */
			set(&sc, SWAPCACHE_DATA_ENABLE, 0);
			v.pressure = true;
			v.cache_use = 5;
		}
		for (int i = 0; i < 720; i++) {
			v.now += 5 * SEC;
			cr_assert_eq(tick(&sc, &v).allowance, 0);
		}
		set(&sc, SWAPCACHE_DATA_ENABLE, 1);
		v = (struct swapcache_view){ .now = v.now + POLL,
					     .swap_max = SWAP,
					     .wear_left = MAX };
		tick(&sc, &v);
		cr_assert_eq(sc.curburst, 10 * ACC, "way %u: %ld", way, sc.curburst);
		v.now += SEC;
		tick(&sc, &v);
		cr_assert_eq(sc.curburst, 11 * ACC, "way %u: %ld", way, sc.curburst);
	}
}

/* Swap so small that ten points of it are nothing: cleaning has an end all the same. */
Test(swapcache_days, tiny_swap, LIMIT)
{
	for (uint64_t max = 1; max < 30; max++) {
		struct swapcache_view v = { .now = SEC, .swap_max = max, .wear_left = MAX };
		struct swapcache sc;

		new_one(&sc);
		set(&sc, SWAPCACHE_MAXSWAPPCT, 11);
		v.cache_use = max;
		cr_assert_gt(tick(&sc, &v).clean, 0);
		v.cache_use = 0;
		cr_assert_eq(tick(&sc, &v).clean, 0);
		cr_assert_eq(sc.state, SWAPCACHE_WRITING);
	}
	struct swapcache_view v = {
		.now = SEC, .swap_max = MAX, .cache_use = MAX, .wear_left = MAX
	};
	struct swapcache sc;

	new_one(&sc);
	cr_assert_gt(tick(&sc, &v).clean, 0, "and so large that it would overflow");
	v.cache_use = MAX / 2;
	sc.state = SWAPCACHE_WRITING;
	cr_assert_gt(tick(&sc, &v).allowance, 0);
}

/*
 * The seed's day: 4 GB at once, then, whoever wants all that he can get has bursts of a
 * little over 10 MB, one in 100 s; at rest it is 2 GB again after less than six hours.
 */
Test(swapcache_days, a_day_of_bursts, LIMIT)
{
	struct swapcache_view v = {
		.now = SEC, .swap_max = SWAP, .wear_left = MAX, .adds = 4096
	};
	struct swapcache sc;
	uint64_t written = 0, bursts = 0, first = 0;
	uint32_t was = SWAPCACHE_BURSTING;

	new_one(&sc);
	for (uint64_t t = 0; t < 864000; t++) {
		struct swapcache_orders o = tick(&sc, &v);
		uint64_t n = o.launder * BLOCK;

		cr_assert_eq(o.sleep, POLL);
		swapcache_wrote(&sc, n);
		written += n;
		bursts += was == SWAPCACHE_RECOVERING && sc.burst == SWAPCACHE_BURSTING;
		if (!first && sc.burst == SWAPCACHE_RECOVERING)
			first = written;
		was = sc.burst;
		v.now += o.sleep;
	}
	cr_assert_geq(first, 4000 * MB - 65536);
	cr_assert_leq(first, 4000 * MB + 60 * ACC);
	cr_assert_leq(written, 4000 * MB + 86400ull * ACC);
	cr_assert_geq(written, 4000 * MB + 86400ull * ACC - 11 * MB);
	cr_assert_geq(bursts, 800);
	cr_assert_leq(bursts, 870);

	v.adds = 0;
	for (uint64_t t = 0; t < 6 * 36000; t++) {
		tick(&sc, &v);
		swapcache_reached_end(&sc);
		v.now += POLL;
	}
	cr_assert_eq(sc.curburst, 2000 * MB);
}

/* A cache that fills, and is cleaned: the saw between 65 and 75 percent. */
Test(swapcache_days, a_day_of_filling_and_cleaning, LIMIT)
{
	struct swapcache_view v = {
		.now = SEC, .swap_max = 100000, .wear_left = MAX, .adds = 4096
	};
	struct swapcache sc;
	uint64_t turns = 0, low = MAX, high = 0;
	uint32_t was = SWAPCACHE_WRITING;

	new_one(&sc);
	set(&sc, SWAPCACHE_ACCRATE, 10 * 1000 * 1000);
	for (uint64_t t = 0; t < 864000; t++) {
		struct swapcache_orders o = tick(&sc, &v);

		cr_assert(!o.clean || !o.allowance, "never both");
		swapcache_wrote(&sc, o.launder * BLOCK);
		v.cache_use += o.launder;
		v.cache_use -= o.clean < v.cache_use ? o.clean : v.cache_use;
		turns += sc.state != was;
		was = sc.state;
		if (turns > 1) {
			low = v.cache_use < low ? v.cache_use : low;
			high = v.cache_use > high ? v.cache_use : high;
		}
		v.now += o.sleep;
	}
	cr_assert_gt(turns, 100);
	cr_assert_leq(high, 75000 + 4096);
	cr_assert_gt(high, 75000);
	cr_assert_lt(low, 65000);
	cr_assert_geq(low, 65000 - 4096);
}

/* --- the promise -------------------------------------------------------------------------- */

static uint64_t rnd_state;

static uint64_t rnd(uint64_t n)
{
	/* xorshift64* */
	rnd_state ^= rnd_state >> 12;
	rnd_state ^= rnd_state << 25;
	rnd_state ^= rnd_state >> 27;
	return (rnd_state * UINT64_C(2685821657736338717)) % n;
}

#define TICKS 60000u /* of one simulated time: some two hours */

static struct {
	uint64_t time, wrote; /* wrote: up to and with this tick */
	int64_t curburst;     /* before it wrote */
} history[TICKS];

/* Knobs, swap, pressure and time at random; what is allowed is taken, all of it. */
static void live(struct swapcache *sc, uint64_t accrate, bool settled)
{
	struct swapcache_view v = { .now = 1 + rnd(SEC), .swap_max = SWAP, .wear_left = MAX };
	uint64_t time = 0, wrote = 0, maxburst = swapcache_get(sc, SWAPCACHE_MAXBURST);
	uint32_t from = 0;

	sc->last = 0;
	for (uint32_t i = 0; i < TICKS; i++) {
		struct swapcache_orders o;
		uint64_t step = rnd(20) ? rnd(2 * POLL) : rnd(10) ? rnd(SEC) : rnd(20 * SEC);

		if (!rnd(300))
			set(sc, SWAPCACHE_DATA_ENABLE, rnd(4) != 0);
		if (!rnd(300))
			set(sc, SWAPCACHE_MINBURST, rnd(4) ? rnd(2 * maxburst) : 0);
		if (!rnd(300))
			set(sc, SWAPCACHE_MAXLAUNDER, 16 + rnd(5000));
		if (!rnd(300))
			v.swap_max = rnd(8) ? SWAP : 0;
		if (!rnd(300))
			v.cache_use = rnd(SWAP);
		if (!rnd(300))
			v.wear_left = rnd(3) ? MAX : rnd(maxburst);
		v.pressure = !rnd(200);
		v.stopping = !rnd(500);
		v.adds = rnd(2000);
		v.inactive = rnd(100000);
		if (!rnd(3000)) /* another pager, on another boot */
			v.now = 1 + rnd(v.now);

		o = tick(sc, &v);
		cr_assert_leq(o.allowance, swapcache_get(sc, SWAPCACHE_CURBURST));
		cr_assert_leq(o.allowance, v.wear_left);
		cr_assert_leq(o.launder * BLOCK, o.allowance);
		history[i].time = time;
		history[i].curburst = sc->curburst;
		swapcache_wrote(sc, o.allowance);
		cr_assert_geq(sc->curburst, 0, "nobody is allowed what is not there");
		wrote += o.allowance;
		history[i].wrote = wrote;
		v.now += step;
		time += step;
	}
	/* each window that ends with a tick, and begins with one at most a minute before */
	for (uint32_t i = 0; i < TICKS; i++) {
		uint64_t in, may;

		while (history[i].time - history[from].time > 60 * SEC)
			from++;
		in = history[i].wrote - (from ? history[from - 1].wrote : 0);
		may = (uint64_t)history[from].curburst +
		      (unsigned __int128)accrate * (history[i].time - history[from].time) /
			      SEC +
		      1;
		cr_assert_leq(in, may, "tick %u: %lu, and %lu would do", i, in, may);
		if (settled)
			cr_assert_leq(in, maxburst + 60 * accrate, "tick %u: %lu", i, in);
	}
}

Test(swapcache_days, what_any_minute_may_have, .timeout = 120)
{
	bool bursts = false;

	for (uint64_t seed = 1; seed <= 12; seed++) {
		struct swapcache sc;
		uint64_t accrate, maxburst;

		rnd_state = seed * UINT64_C(0x9e3779b97f4a7c15);
		accrate = 1024 + rnd(seed % 3 ? 1000 * 1000 : 1000 * 1000 * 1000);
		maxburst = 65536 + rnd(seed % 4 ? 100 * MB : 10000 * MB);
		new_one(&sc);
		set(&sc, SWAPCACHE_ACCRATE, accrate);
		set(&sc, SWAPCACHE_MAXBURST, maxburst);
		live(&sc, accrate, false); /* with the first load-in */
		bursts |= history[TICKS - 1].wrote > 4000 * MB;
		if (sc.curburst > (int64_t)maxburst) {
			cr_assert_leq(history[TICKS - 1].wrote, 4000 * MB);
			set(&sc, SWAPCACHE_CURBURST, maxburst);
		}
		live(&sc, accrate, true);
	}
	cr_assert(bursts, "it would hold for who never writes");
}
