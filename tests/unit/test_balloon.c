/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The balloon's state machine: single steps as a table, and against guests that are played, one
 * second a step: one that follows, one that is slow, one without a driver, one that lies, one
 * that takes its memory back, one that stops telling.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "balloon/balloon.h"
#include "base/clock.h"

#define MIB  (UINT64_C(1) << 20)
#define SIZE (1024 * MIB)
#define DEAD (SIZE / 64)
#define S    NSEC_PER_SEC

TestSuite(balloon, .timeout = 30);

/* --- single steps ------------------------------------------------------------------ */

enum { NONE, DOWN, UP, STAY }; /* what is asked for: nothing, less, more, what it has */

static const struct {
	const char *what;
	enum balloon_state from;
	uint64_t asked, actual, want, available; /* MiB */
	uint64_t quiet;				 /* s since it was asked, and moved */
	bool there, stats;
	uint64_t told; /* s since */
	enum balloon_state to;
	int asks;
} steps[] = {
	{ "nobody", BALLOON_IDLE, 0, 1024, 500, 900, 0, false, true, 0, BALLOON_ABSENT, NONE },
	{ "gone", BALLOON_STUCK, 9, 900, 500, 900, 0, false, true, 0, BALLOON_ABSENT, NONE },
	{ "no driver", BALLOON_ABSENT, 0, 1024, 500, 0, 0, true, false, 0, BALLOON_ABSENT,
	  NONE },
	{ "it is there", BALLOON_ABSENT, 0, 1024, 1024, 900, 0, true, true, 0, BALLOON_IDLE,
	  NONE },
	{ "first", BALLOON_IDLE, 0, 1024, 500, 900, 0, true, true, 0, BALLOON_INFLATING, DOWN },
	{ "dead band", BALLOON_IDLE, 0, 1024, 1010, 900, 0, true, true, 0, BALLOON_IDLE, NONE },
	{ "on its way", BALLOON_INFLATING, 900, 950, 500, 800, 5, true, true, 0,
	  BALLOON_INFLATING, NONE },
	{ "its need has grown", BALLOON_INFLATING, 900, 950, 930, 200, 1, true, true, 0,
	  BALLOON_INFLATING, DOWN },
	{ "next", BALLOON_INFLATING, 900, 910, 500, 700, 5, true, true, 0, BALLOON_INFLATING,
	  DOWN },
	{ "not moving", BALLOON_INFLATING, 900, 950, 500, 800, 10, true, true, 0, BALLOON_STUCK,
	  STAY },
	{ "there", BALLOON_INFLATING, 500, 505, 500, 300, 1, true, true, 0, BALLOON_IDLE,
	  NONE },
	{ "wanted no more", BALLOON_INFLATING, 900, 950, 950, 500, 1, true, true, 0,
	  BALLOON_IDLE, STAY },
	{ "back", BALLOON_IDLE, 500, 500, 800, 200, 99, true, true, 0, BALLOON_DEFLATING, UP },
	{ "turned round", BALLOON_INFLATING, 500, 550, 800, 200, 1, true, true, 0,
	  BALLOON_DEFLATING, UP },
	{ "it is short", BALLOON_IDLE, 500, 500, 500, 5, 99, true, true, 0, BALLOON_DEFLATING,
	  UP },
	{ "silent", BALLOON_IDLE, 0, 1024, 500, 900, 0, true, true, 31, BALLOON_IDLE, NONE },
	{ "gone silent", BALLOON_IDLE, 700, 700, 700, 300, 99, true, true, 31,
	  BALLOON_DEFLATING, UP },
	{ "stuck stays so", BALLOON_STUCK, 900, 950, 500, 800, 59, true, true, 0, BALLOON_STUCK,
	  NONE },
	{ "tried again", BALLOON_STUCK, 950, 950, 500, 800, 60, true, true, 0,
	  BALLOON_INFLATING, DOWN },
	{ "stuck gets back", BALLOON_STUCK, 700, 700, 1000, 50, 5, true, true, 0, BALLOON_STUCK,
	  UP },
};

Test(balloon, steps)
{
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		uint64_t now = 1000 * S, quiet = now - steps[i].quiet * S, asked;
		struct balloon b = { .state = steps[i].from,
				     .since = quiet,
				     .asked = steps[i].asked * MIB,
				     .asked_at = quiet,
				     .actual = steps[i].actual * MIB,
				     .moved_at = quiet,
				     .backoff = steps[i].from == BALLOON_STUCK ? 60 * S : 0 };
		struct balloon_view v = { .now = now,
					  .there = steps[i].there,
					  .size = SIZE,
					  .actual = steps[i].actual * MIB,
					  .used = 100 * MIB,
					  .stats = steps[i].stats,
					  .stats_at = now - steps[i].told * S,
					  .free = steps[i].available * MIB,
					  .available = steps[i].available * MIB,
					  .deflate_on_oom = true };
		int asks;

		if (b.state == BALLOON_STUCK)
			strcpy(b.why, "as before");
		asked = balloon_step(&b, &v, steps[i].want * MIB);
		asks = asked == 0	  ? NONE
		       : asked < v.actual ? DOWN
		       : asked > v.actual ? UP
					  : STAY;
		cr_assert_eq(b.state, steps[i].to, "%s: %s", steps[i].what,
			     balloon_state_name(b.state));
		cr_assert_eq(asks, steps[i].asks, "%s: asks for %llu MiB", steps[i].what,
			     (unsigned long long)(asked / MIB));
		cr_assert_leq(asked, SIZE);
		cr_assert_eq(b.why[0] == 0,
			     b.state != BALLOON_ABSENT && b.state != BALLOON_STUCK, "%s: '%s'",
			     steps[i].what, b.why);
	}
}

Test(balloon, names)
{
	for (int i = 0; i < BALLOON_STATES; i++)
		for (int k = 0; k < i; k++)
			cr_assert_str_neq(balloon_state_name((enum balloon_state)i),
					  balloon_state_name((enum balloon_state)k));
	cr_assert_str_eq(balloon_state_name(BALLOON_STUCK), "stuck");
}

/* --- guests that are played ---------------------------------------------------------- */

struct play {
	struct balloon b;
	struct balloon_view v;
	uint64_t target;    /* as it stands in the device */
	uint64_t rate;	    /* bytes in a second that it follows by; 0: not at all */
	uint64_t app;	    /* what it uses, and cannot do without */
	bool lies, silent;  /* its pages stay in use; it tells nothing any more */
	unsigned int asks;  /* how often it was asked for less, or more */
	uint64_t least;	    /* of what it was left with */
	uint64_t most_step; /* that it was asked for at once */
};

static struct play begin(uint64_t app, uint64_t rate)
{
	struct play p = { .target = SIZE, .rate = rate, .app = app, .least = SIZE };

	p.v = (struct balloon_view){ .now = 1000 * S,
				     .there = true,
				     .size = SIZE,
				     .actual = SIZE,
				     .used = SIZE,
				     .stats = true,
				     .deflate_on_oom = true };
	return p;
}

static void second(struct play *p, uint64_t want)
{
	struct balloon_view *v = &p->v;
	uint64_t asked;

	v->now += S;
	if (v->actual > p->target)
		v->actual -= v->actual - p->target < p->rate ? v->actual - p->target : p->rate;
	else
		v->actual += p->target - v->actual < p->rate ? p->target - v->actual : p->rate;
	if (!p->lies && v->used > v->actual)
		v->used = v->actual;
	if (!p->silent && v->stats) {
		v->stats_at = v->now;
		v->available = v->actual > p->app ? v->actual - p->app : 0;
		v->free = v->available / 2;
	}
	p->least = v->actual < p->least ? v->actual : p->least;
	asked = balloon_step(&p->b, v, want);
	cr_assert_leq(asked, SIZE);
	if (asked == 0)
		return;
	/* never less than it needs, as far as it tells */
	if (asked < v->actual)
		cr_assert_geq(asked, balloon_need(v));
	if (asked < v->actual && v->actual - asked > p->most_step)
		p->most_step = v->actual - asked;
	p->target = asked;
	p->asks++;
}

static void seconds(struct play *p, unsigned int n, uint64_t want)
{
	while (n-- > 0)
		second(p, want);
}

Test(balloon, one_that_follows)
{
	struct play p = begin(200 * MIB, SIZE);

	seconds(&p, 60, 600 * MIB);
	cr_assert_eq(p.b.state, BALLOON_IDLE);
	cr_assert_leq(p.v.actual, 600 * MIB + DEAD);
	cr_assert_geq(p.least, 600 * MIB);
	cr_assert_leq(p.most_step, SIZE / 16);
	p.asks = 0;
	seconds(&p, 600, 600 * MIB);
	cr_assert_eq(p.asks, 0);
	/* what it is given it has at once */
	seconds(&p, 3, SIZE);
	cr_assert_eq(p.v.actual, SIZE);
	cr_assert_eq(p.b.state, BALLOON_IDLE);
}

/* However little is wanted of it, it keeps what it needs and some more. */
Test(balloon, never_below_what_it_needs)
{
	for (int oom = 0; oom <= 1; oom++) {
		struct play p = begin(300 * MIB, SIZE);

		p.v.deflate_on_oom = oom;
		seconds(&p, 120, 0);
		cr_assert_geq(p.least, (oom ? 332 : 364) * MIB);
		cr_assert_leq(p.v.actual, 400 * MIB);
		cr_assert_eq(balloon_gives(&p.b, &p.v), 0);
	}
}

Test(balloon, one_that_is_slow)
{
	struct play p = begin(200 * MIB, 2 * MIB);

	seconds(&p, 100, 600 * MIB);
	cr_assert_eq(p.b.state, BALLOON_INFLATING);
	cr_assert_eq(p.v.actual, SIZE - 198 * MIB);
	/* it is on its way down when it begins to need more: it goes no further */
	p.app = p.v.actual - 40 * MIB;
	seconds(&p, 60, 600 * MIB);
	cr_assert_geq(p.least, p.app + 32 * MIB);
	cr_assert_neq(p.b.state, BALLOON_STUCK);
}

Test(balloon, wavering_within_the_dead_band_asks_for_nothing)
{
	struct play p = begin(200 * MIB, SIZE);
	unsigned int n;

	seconds(&p, 60, 0);
	n = p.asks;
	for (int i = 0; i < 1000; i++) {
		p.app = 200 * MIB + (uint64_t)(i * 7919 % 8) * MIB;
		second(&p, 0);
	}
	cr_assert_leq(p.asks - n, 1);
	/* nor does what is wanted of it, if that wavers */
	seconds(&p, 20, 500 * MIB);
	n = p.asks;
	for (int i = 0; i < 1000; i++)
		second(&p, 500 * MIB + (uint64_t)(i % 2) * (DEAD - MIB));
	cr_assert_leq(p.asks - n, 1);
}

Test(balloon, one_without_a_driver)
{
	struct play p = begin(200 * MIB, 0);

	p.v.stats = false;
	seconds(&p, 100, 500 * MIB);
	cr_assert_eq(p.b.state, BALLOON_ABSENT);
	cr_assert_eq(p.asks, 0);
	cr_assert_eq(balloon_gives(&p.b, &p.v), 0);
	cr_assert_eq(balloon_need(&p.v), SIZE);
	/* it comes with the guest's system */
	p.v.stats = true;
	p.rate = SIZE;
	seconds(&p, 60, 500 * MIB);
	cr_assert_leq(p.v.actual, 500 * MIB + DEAD);
}

/* It tells, and does nothing: asked ever more seldom, and left as it is in between. */
Test(balloon, one_that_does_not_follow)
{
	struct play p = begin(200 * MIB, 0);
	unsigned int n;

	seconds(&p, 20, 500 * MIB);
	cr_assert_eq(p.b.state, BALLOON_STUCK);
	cr_assert_neq(p.b.why[0], 0);
	cr_assert_eq(p.target, SIZE);
	cr_assert_eq(balloon_gives(&p.b, &p.v), 0);
	n = p.asks;
	seconds(&p, 3600, 500 * MIB);
	/* 60, 120, 240 .. s: six times, and taken back each time */
	cr_assert_leq(p.asks - n, 12);
	cr_assert_geq(p.asks - n, 8);
	/* it does in the end */
	p.rate = SIZE;
	seconds(&p, 3700, 500 * MIB);
	cr_assert_leq(p.v.actual, 500 * MIB + DEAD);
	cr_assert_eq(p.b.backoff, 0);
}

Test(balloon, one_that_lies)
{
	struct play p = begin(200 * MIB, SIZE);
	unsigned int stuck = 0;
	uint64_t backoff;

	p.lies = true;
	seconds(&p, 60, 500 * MIB);
	cr_assert_eq(p.b.state, BALLOON_STUCK);
	cr_assert(strstr(p.b.why, "in use"));
	cr_assert_eq(balloon_gives(&p.b, &p.v), 0);
	backoff = p.b.backoff;
	for (int i = 0; i < 1000; i++) {
		second(&p, 400 * MIB);
		stuck += p.b.state == BALLOON_STUCK;
	}
	cr_assert_gt(stuck, 900);
	cr_assert_gt(p.b.backoff, backoff);
	/* what it has given up it may have again all the same */
	seconds(&p, 3, SIZE);
	cr_assert_eq(p.v.actual, SIZE);
}

/* Out of memory in the guest: its driver takes pages out of the balloon by itself. */
Test(balloon, one_that_takes_back)
{
	struct play p = begin(200 * MIB, SIZE);
	uint64_t took;

	seconds(&p, 60, 400 * MIB);
	cr_assert_eq(p.b.state, BALLOON_IDLE);
	took = p.v.actual += 100 * MIB;
	p.rate = 0; /* and does not look at what stands in the device until that changes */
	p.asks = 0;
	second(&p, 400 * MIB);
	cr_assert_eq(p.b.state, BALLOON_IDLE);
	cr_assert_neq(p.b.why[0], 0);
	cr_assert_eq(p.target, took);
	cr_assert_eq(balloon_gives(&p.b, &p.v), 0);
	p.rate = SIZE;
	seconds(&p, 58, 400 * MIB);
	cr_assert_eq(p.v.actual, took);
	cr_assert_eq(p.asks, 1);
	/* and after that it is asked as before, and not held to be stuck */
	for (int i = 0; i < 30; i++) {
		second(&p, 400 * MIB);
		cr_assert_neq(p.b.state, BALLOON_STUCK);
	}
	cr_assert_leq(p.v.actual, 400 * MIB + DEAD);
}

/* A guest that tells nothing any more might need anything. */
Test(balloon, one_that_stops_telling)
{
	struct play p = begin(200 * MIB, SIZE);

	seconds(&p, 60, 500 * MIB);
	p.silent = true;
	seconds(&p, 29, 400 * MIB);
	cr_assert_leq(p.v.actual, 500 * MIB + DEAD);
	seconds(&p, 5, 400 * MIB);
	cr_assert_eq(p.v.actual, SIZE);
	cr_assert_eq(balloon_gives(&p.b, &p.v), 0);
	p.silent = false;
	seconds(&p, 60, 500 * MIB);
	cr_assert_leq(p.v.actual, 500 * MIB + DEAD);
}

/* Free page reporting: what is free is there already. */
Test(balloon, one_that_gives_back_by_itself)
{
	struct play p = begin(300 * MIB, SIZE);

	second(&p, SIZE);
	/* 300 used, 724 available, of which its cache, 200, is in memory */
	p.v.used = 500 * MIB;
	cr_assert_eq(balloon_gives(&p.b, &p.v), SIZE - 300 * MIB - SIZE / 16);
	/* the dead band is not worth asking */
	p.v.available = SIZE / 16 + DEAD;
	cr_assert_eq(balloon_gives(&p.b, &p.v), 0);
	p.v.available = SIZE - 300 * MIB;
	p.v.reports_free = true;
	cr_assert_eq(balloon_gives(&p.b, &p.v), (500 - 300) * MIB - SIZE / 16);
	p.v.used = 300 * MIB;
	cr_assert_eq(balloon_gives(&p.b, &p.v), 0);
	/* nothing but what it uses is a hole: as without */
	p.v.used = SIZE;
	cr_assert_eq(balloon_gives(&p.b, &p.v), SIZE - 300 * MIB - SIZE / 16);
}

/* Whatever a guest says, sums do not go wrong. */
Test(balloon, nonsense)
{
	struct play p = begin(0, SIZE);

	for (int i = 0; i < 64; i++) {
		p.v.now += S;
		p.v.stats_at = p.v.now;
		p.v.actual = i & 1 ? UINT64_MAX : 0;
		p.v.available = i & 2 ? UINT64_MAX : 0;
		p.v.free = i & 4 ? UINT64_MAX : 0;
		p.v.used = i & 8 ? UINT64_MAX / 2 : 0;
		cr_assert_leq(balloon_need(&p.v), SIZE);
		cr_assert_leq(balloon_step(&p.b, &p.v, i & 16 ? SIZE : 0), SIZE);
		cr_assert_leq(balloon_gives(&p.b, &p.v), SIZE);
	}
}
