/* SPDX-License-Identifier: BSD-2-Clause */
/* The sample: who is looked at when, and what that says of the whole. */
#include <criterion/criterion.h>

#include "base/clock.h"
#include "vmm/sample.h"

#define S	NSEC_PER_SEC
#define GIB	262144u /* pages */
#define ROUND_S 128u	/* 1024 units, 8 a second */

static struct sample s;

/* As hands.c does it: 8 units a second, and what has ended. */
static void second(uint64_t now)
{
	for (uint32_t u = sample_due(&s, 0, now); u != SAMPLE_NONE; u = sample_due(&s, u, now))
		sample_end(&s, u, now, UINT8_MAX);
	for (int i = 0; i < 8; i++) {
		uint32_t u = sample_next(&s);

		if (u != SAMPLE_NONE)
			sample_begin(&s, u, now);
	}
}

static bool near(uint64_t found, uint64_t truth, unsigned int percent)
{
	uint64_t off = found > truth ? found - truth : truth - found;

	return off * 100 <= truth * percent;
}

Test(sample, units_lie_in_their_cells_and_never_across_a_unit)
{
	static const uint64_t sizes[] = { 1, 7, 8, 9, 1000, 32768, 32769, 262144, 9999999 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t end = 0;

		cr_assert_eq(sample_init(&s, sizes[i]), 0);
		cr_assert(s.n <= SAMPLE_UNITS && (s.n > 0) == (sizes[i] >= SAMPLE_PAGES));
		for (uint32_t u = 0; u < s.n; u++) {
			cr_assert(sample_page(&s, u) >= end);
			cr_assert_eq(sample_page(&s, u) % SAMPLE_PAGES, 0);
			end = sample_page(&s, u) + SAMPLE_PAGES;
		}
		cr_assert(end <= sizes[i]);
		sample_touch(&s, sizes[i] - 1); /* of no unit, perhaps: nothing happens */
		sample_fini(&s);
	}
}

Test(sample, all_have_their_turn_in_one_round)
{
	static uint8_t seen[SAMPLE_UNITS];

	cr_assert_eq(sample_init(&s, GIB), 0);
	for (uint32_t i = 0; i < s.n; i++)
		seen[sample_next(&s)]++;
	for (uint32_t i = 0; i < s.n; i++)
		cr_assert_eq(seen[i], 1, "unit %u", i);
	sample_fini(&s);
}

Test(sample, a_unit_that_is_being_counted_is_left_alone)
{
	uint32_t u;

	cr_assert_eq(sample_init(&s, SAMPLE_PAGES), 0);
	cr_assert_eq(sample_next(&s), 0);
	sample_begin(&s, 0, 5 * S);
	cr_assert_eq(sample_next(&s), SAMPLE_NONE);
	cr_assert_eq(sample_due(&s, 0, 64 * S), 0, "10 s are over");
	sample_end(&s, 0, 64 * S, UINT8_MAX);
	cr_assert_eq(sample_next(&s), SAMPLE_NONE, "the minute is not");
	cr_assert_eq(u = sample_due(&s, 0, 65 * S), 0);
	sample_end(&s, u, 65 * S, UINT8_MAX);
	cr_assert_eq(sample_next(&s), 0);
	sample_fini(&s);
}

Test(sample, nothing_is_mapped_untouched_where_it_would_count)
{
	uint64_t first;

	cr_assert_eq(sample_init(&s, GIB), 0);
	first = sample_page(&s, 7);
	cr_assert_eq(sample_reach(&s, first - 4, first + 4), first + 4);
	sample_begin(&s, 7, S);
	cr_assert_eq(sample_reach(&s, first - 4, first + 4), first);
	cr_assert_eq(sample_reach(&s, first, first + 8), first);
	cr_assert_eq(sample_reach(&s, first + 7, first + 80), first + 7);
	cr_assert_eq(sample_reach(&s, first + 8, first + 80), first + 80);
	cr_assert_eq(sample_reach(&s, first + 1, first + 1), first + 1, "nothing is nothing");
	sample_end(&s, 7, 61 * S, UINT8_MAX);
	cr_assert_eq(sample_reach(&s, first, first + 8), first + 8);
	sample_fini(&s);
}

static int age(unsigned int k, uint64_t now)
{
	return sample_age(&s, 0, k, now);
}

Test(sample, ages_are_those_of_the_last_look)
{
	cr_assert_eq(sample_init(&s, SAMPLE_PAGES), 0);
	for (unsigned int k = 0; k < SAMPLE_PAGES; k++)
		cr_assert_eq(age(k, S), -1);
	sample_begin(&s, 0, S);
	cr_assert_eq(age(0, 2 * S), -1, "nothing is known yet");
	sample_touch(&s, 1);
	cr_assert_eq(age(1, 2 * S), 0, "but of what was touched");
	cr_assert_eq(age(1, 30 * S), -1, "some 29 s ago, or less");
	sample_end(&s, 0, 11 * S, UINT8_MAX & ~4u);
	cr_assert_eq(age(0, 11 * S), 1);
	cr_assert_eq(age(1, 11 * S), 0);
	cr_assert_eq(age(2, 11 * S), -1, "it was a hole");
	/* touched after the 10 s, within the minute */
	sample_touch(&s, 3);
	cr_assert_eq(age(3, 12 * S), 1, "within 11 s, as far as is known");
	sample_end(&s, 0, 61 * S, UINT8_MAX);
	cr_assert_eq(age(0, 61 * S), 2);
	cr_assert_eq(age(1, 61 * S), 0);
	cr_assert_eq(age(2, 61 * S), 2);
	cr_assert_eq(age(3, 61 * S), 1);
	/* what is looked at again is young when it is touched, however old it was */
	sample_begin(&s, 0, 1801 * S - 5 * S);
	sample_end(&s, 0, 1801 * S, UINT8_MAX);
	for (unsigned int k = 0; k < SAMPLE_PAGES; k++)
		cr_assert_eq(age(k, 1801 * S),
			     k == 1   ? 0
			     : k == 3 ? 1
				      : 4,
			     "%u: %d", k, age(k, 1801 * S));
	sample_touch(&s, 0);
	cr_assert_eq(age(0, 1801 * S), 0);
	sample_end(&s, 0, 1806 * S, UINT8_MAX);
	cr_assert_eq(age(0, 1806 * S), 0, "the last look counts");
	cr_assert_eq(age(2, 1806 * S), 4);
	sample_reset(&s);
	cr_assert_eq(age(4, 1802 * S), -1);
	sample_fini(&s);
}

Test(sample, what_is_touched_late_or_twice_or_is_a_hole_does_not_count)
{
	uint64_t first;

	cr_assert_eq(sample_init(&s, GIB), 0);
	first = sample_page(&s, 3);
	sample_touch(&s, first); /* before it begins */
	sample_begin(&s, 3, S);
	sample_touch(&s, first + 1);
	sample_touch(&s, first + 1);
	sample_touch(&s, first + 2); /* and is given back */
	sample_end(&s, 3, 11 * S, UINT8_MAX & ~4u);
	cr_assert_eq(s.hot[SAMPLE_10S], 1);
	cr_assert_eq(s.there[SAMPLE_10S], 7);
	cr_assert_eq(s.there[SAMPLE_1M], 0);
	/* unmapped again, and again touched: once */
	sample_begin(&s, 3, 12 * S);
	sample_touch(&s, first + 1);
	sample_touch(&s, first + 5);
	sample_end(&s, 3, 61 * S, UINT8_MAX);
	cr_assert_eq(s.hot[SAMPLE_1M], 3);
	cr_assert_eq(s.there[SAMPLE_1M], 8);
	cr_assert_eq(s.hot[SAMPLE_10S], 2, "the new one has taken the place of the old one");
	cr_assert_eq(sample_hot(&s, SAMPLE_1M, 800), 300);
	cr_assert_eq(sample_hot(&s, SAMPLE_5M, 6400), 6400, "not known");
	sample_cancel(&s, 3);
	cr_assert_eq(sample_due(&s, 0, 10000 * S), SAMPLE_NONE);
	sample_reset(&s);
	cr_assert_eq(sample_hot(&s, SAMPLE_1M, 6400), 6400);
	sample_fini(&s);
}

/*
 * A GiB of which the first third is touched every second, and every fifth page of the
 * rest once in 40 s; after half a round and after a full one.
 */
Test(sample, hot_and_cold_memory_is_found_in_proportion)
{
	uint64_t third = GIB / 3, now;

	cr_assert_eq(sample_init(&s, GIB), 0);
	for (now = 1; now < ROUND_S + 70; now++) {
		for (uint64_t p = 0; p < third; p++)
			sample_touch(&s, p);
		for (uint64_t p = third + now % 40 * 5; p < GIB; p += 200)
			sample_touch(&s, p);
		second(now * S);
		if (now != 95 && now != ROUND_S + 69)
			continue;
		cr_expect(near(sample_hot(&s, SAMPLE_10S, GIB), third + (GIB - third) / 20, 5),
			  "%llu s: %llu", (unsigned long long)now,
			  (unsigned long long)sample_hot(&s, SAMPLE_10S, GIB));
		cr_expect(near(sample_hot(&s, SAMPLE_1M, GIB), third + (GIB - third) / 5, 5),
			  "%llu s: %llu", (unsigned long long)now,
			  (unsigned long long)sample_hot(&s, SAMPLE_1M, GIB));
	}
	sample_fini(&s);
}

Test(sample, a_guest_that_falls_silent_is_cold_after_a_round)
{
	uint64_t now;

	cr_assert_eq(sample_init(&s, GIB), 0);
	for (now = 1; now < 300; now++) {
		for (uint64_t p = 0; p < GIB; p++)
			sample_touch(&s, p);
		second(now * S);
	}
	cr_assert_eq(sample_hot(&s, SAMPLE_1M, GIB), GIB);
	for (; now < 300 + ROUND_S + 70; now++)
		second(now * S);
	cr_assert_eq(sample_hot(&s, SAMPLE_1M, GIB), 0);
	cr_assert_eq(sample_hot(&s, SAMPLE_10S, GIB), 0);
	sample_fini(&s);
}
