/* SPDX-License-Identifier: BSD-2-Clause */
/* Figures of latencies, whose buckets begin at powers of two and are exact; and of ages. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "vmm/figures.h"

static struct hist h;
static struct latency_stats l;

Test(figures, of_nothing)
{
	latency_of(&h, &l);
	cr_assert(l.count == 0 && l.sum == 0 && l.max == 0 && l.p50 == 0 && l.p999 == 0);
	for (unsigned int i = 0; i < LATENCY_BUCKETS; i++)
		cr_assert_eq(l.below[i], 0);
}

/* One below an edge, one at it, and one above it. */
Test(figures, edges)
{
	for (unsigned int i = 0; i + 1 < LATENCY_BUCKETS; i++) {
		uint64_t edge = UINT64_C(1) << (LATENCY_FIRST + i);

		hist_add(&h, edge - 1);
		hist_add(&h, edge);
		hist_add(&h, edge + 1);
	}
	latency_of(&h, &l);
	for (unsigned int i = 0; i + 1 < LATENCY_BUCKETS; i++)
		cr_assert_eq(l.below[i], 3 * i + 1, "edge %u: %lu", i, l.below[i]);
	cr_assert_eq(l.below[LATENCY_BUCKETS - 1], 3 * (LATENCY_BUCKETS - 1));
	cr_assert_eq(l.count, 3 * (LATENCY_BUCKETS - 1));
	cr_assert_eq(l.max, (UINT64_C(1) << 34) + 1);
	cr_assert_eq(UINT64_C(1) << (LATENCY_FIRST + LATENCY_BUCKETS - 2), UINT64_C(1) << 34);
}

Test(figures, extremes)
{
	hist_add(&h, 0);
	hist_add(&h, UINT64_MAX);
	latency_of(&h, &l);
	cr_assert_eq(l.below[0], 1);
	cr_assert_eq(l.below[LATENCY_BUCKETS - 2], 1);
	cr_assert_eq(l.below[LATENCY_BUCKETS - 1], 2);
	cr_assert_eq(l.max, UINT64_MAX);
}

Test(figures, of_many)
{
	uint64_t below[LATENCY_BUCKETS] = { 0 }, sum = 0;

	srandom(1);
	for (unsigned int n = 0; n < 100000; n++) {
		uint64_t ns = (uint64_t)random() << 31 >> random() % 60;

		hist_add(&h, ns);
		sum += ns;
		for (unsigned int i = 0; i + 1 < LATENCY_BUCKETS; i++)
			below[i] += ns < UINT64_C(1) << (LATENCY_FIRST + i);
	}
	latency_of(&h, &l);
	cr_assert_eq(l.count, 100000);
	cr_assert_eq(l.sum, sum);
	for (unsigned int i = 0; i + 1 < LATENCY_BUCKETS; i++)
		cr_assert_eq(l.below[i], below[i], "edge %u: %lu, not %lu", i, l.below[i],
			     below[i]);
	cr_assert_eq(l.p50, hist_percentile(&h, 0.5));
	cr_assert_eq(l.p90, hist_percentile(&h, 0.9));
	cr_assert_eq(l.p99, hist_percentile(&h, 0.99));
	cr_assert_eq(l.p999, hist_percentile(&h, 0.999));
}

Test(figures, the_median_of_ages)
{
	struct guest_map_cell c = { 0 };

	cr_assert_eq(guest_map_idle(&c), -1);
	c.age[3] = 1;
	cr_assert_eq(guest_map_idle(&c), 3);
	c.age[0] = 1;
	cr_assert_eq(guest_map_idle(&c), 3, "a half is");
	c.age[0] = 2;
	cr_assert_eq(guest_map_idle(&c), 0);
	c.age[4] = 2;
	cr_assert_eq(guest_map_idle(&c), 3);
	c.age[4] = 3;
	cr_assert_eq(guest_map_idle(&c), 4);
	c.age[4] = 100;
	cr_assert_eq(guest_map_idle(&c), 4);
}
