/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/hist.h"

static struct hist h, other; /* each test is a process of its own */

/* The percentile of one sample is its bucket's upper edge, if max allows. */
static uint64_t edge_of(uint64_t ns)
{
	static struct hist one;

	one = (struct hist){ 0 };
	hist_add(&one, ns);
	one.max = UINT64_MAX;
	return hist_percentile(&one, 1);
}

Test(hist, empty)
{
	cr_assert_eq(hist_percentile(&h, 0.5), 0);
	cr_assert_eq(hist_percentile(&h, 1), 0);
}

Test(hist, one_sample_is_every_percentile)
{
	hist_add(&h, 123456789);
	cr_assert_eq(h.count, 1);
	cr_assert_eq(h.sum, 123456789);
	cr_assert_eq(h.max, 123456789);
	cr_assert_eq(hist_percentile(&h, 1e-9), 123456789);
	cr_assert_eq(hist_percentile(&h, 0.5), 123456789);
	cr_assert_eq(hist_percentile(&h, 1), 123456789);
}

Test(hist, extremes)
{
	hist_add(&h, 0);
	hist_add(&h, UINT64_MAX);
	cr_assert_eq(hist_percentile(&h, 0.5), 0);
	cr_assert_eq(hist_percentile(&h, 1), UINT64_MAX);
	cr_assert_eq(h.bucket[0], 1);
	cr_assert_eq(h.bucket[HIST_BUCKETS - 1], 1);
}

/* Buckets neither overlap nor leave a gap, and none is too wide. */
Test(hist, buckets_join)
{
	uint64_t edge = edge_of(0);
	unsigned n = 1;

	cr_assert_eq(edge, 0);
	while (edge != UINT64_MAX) {
		uint64_t low = edge + 1;

		edge = edge_of(low);
		cr_assert_geq(edge, low);
		cr_assert_eq(edge_of(edge), edge, "%lu and %lu share a bucket", low, edge);
		cr_assert_leq(edge - low, low / 16, "the bucket from %lu is too wide", low);
		n++;
	}
	cr_assert_eq(n, HIST_BUCKETS);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Against the percentiles of a sorted list, over many magnitudes. */
Test(hist, percentiles_against_sorting)
{
	enum { N = 10000 };
	static uint64_t ns[N];
	static const double ps[] = {
		0.0001, 0.01, 0.07, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1
	};
	uint64_t sum = 0;

	srandom(7);
	for (int i = 0; i < N; i++) {
		ns[i] = ((uint64_t)random() << 31 | (uint64_t)random()) >> (random() % 60);
		sum += ns[i];
		hist_add(&h, ns[i]);
	}
	qsort(ns, N, sizeof(ns[0]), compare);
	cr_assert_eq(h.count, N);
	cr_assert_eq(h.sum, sum);
	cr_assert_eq(h.max, ns[N - 1]);

	for (size_t i = 0; i < sizeof(ps) / sizeof(ps[0]); i++) {
		uint64_t exact = ns[(size_t)(ps[i] * N + 0.5) - 1];
		uint64_t got = hist_percentile(&h, ps[i]);

		cr_assert_geq(got, exact, "p %g: %lu below %lu", ps[i], got, exact);
		cr_assert_leq(got - exact, exact / 16, "p %g: %lu of %lu", ps[i], got, exact);
		cr_assert_leq(got, h.max);
	}
}

/* 0.07 * 100 is a little above 7 in binary, and must not be the eighth. */
Test(hist, rank_is_not_rounded_up_by_accident)
{
	for (uint64_t i = 0; i < 7; i++)
		hist_add(&h, 1);
	for (uint64_t i = 7; i < 100; i++)
		hist_add(&h, 10);
	cr_assert_eq(hist_percentile(&h, 0.07), 1);
	cr_assert_eq(hist_percentile(&h, 0.0701), 10);
}

Test(hist, fraction_out_of_range)
{
	hist_add(&h, 1);
	hist_add(&h, 2);
	cr_assert_eq(hist_percentile(&h, 0), 1);
	cr_assert_eq(hist_percentile(&h, -1), 1);
	cr_assert_eq(hist_percentile(&h, 2), 2);
	cr_assert_eq(hist_percentile(&h, __builtin_nan("")), 1);
}

Test(hist, merge_is_as_if_added_to_one)
{
	static struct hist both;

	for (uint64_t i = 1; i < 1000; i++) {
		hist_add(i % 3 ? &h : &other, i * i * i);
		hist_add(&both, i * i * i);
	}
	hist_merge(&h, &other);
	cr_assert_eq(memcmp(&h, &both, sizeof(h)), 0);

	/* a larger max on either side stays */
	hist_merge(&other, &both);
	cr_assert_eq(other.max, both.max);
}
