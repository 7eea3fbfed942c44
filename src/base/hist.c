/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * Durations below 16 ns have a bucket each.  Above, every power of two is
 * cut into 16 buckets of equal width, chosen by the four bits that follow
 * the highest one: a bucket's width is at most a sixteenth of its lower
 * edge, which is what bounds the error.  The bucket numbers run on without
 * a gap: 0..15, then 16..31 for 16..31 ns (width 1), 32..47 for 32..63 ns
 * (width 2), and so on up to 975 for the last 2^59 ns below 2^64.
 *
 * There is one writer, so adding is a load and a store, not a locked
 * instruction.  A reader's copy of count may be behind its copy of the
 * buckets; a percentile is therefore taken from the buckets alone.
 */
#include "base/hist.h"

#define SUB (1u << HIST_SUB_BITS)

static uint64_t get(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static void add(uint64_t *p, uint64_t n)
{
	__atomic_store_n(p, get(p) + n, __ATOMIC_RELAXED);
}

static void raise_to(uint64_t *p, uint64_t n)
{
	if (n > get(p))
		__atomic_store_n(p, n, __ATOMIC_RELAXED);
}

static unsigned bucket_of(uint64_t ns)
{
	unsigned shift;

	if (ns < SUB)
		return (unsigned)ns;
	shift = 63 - (unsigned)__builtin_clzll(ns) - HIST_SUB_BITS;
	return ((shift + 1) << HIST_SUB_BITS) + (unsigned)((ns >> shift) & (SUB - 1));
}

/* The largest duration that falls into bucket i. */
static uint64_t upper_edge(unsigned i)
{
	unsigned shift;

	if (i < SUB)
		return i;
	shift = (i >> HIST_SUB_BITS) - 1;
	/* In this order the last bucket's edge is 2^64 - 1, not an overflow. */
	return ((uint64_t)(SUB + (i & (SUB - 1))) << shift) + ((UINT64_C(1) << shift) - 1);
}

void hist_add(struct hist *h, uint64_t ns)
{
	raise_to(&h->max, ns);
	add(&h->sum, ns);
	add(&h->bucket[bucket_of(ns)], 1);
	add(&h->count, 1);
}

void hist_merge(struct hist *h, const struct hist *from)
{
	raise_to(&h->max, get(&from->max));
	add(&h->sum, get(&from->sum));
	add(&h->count, get(&from->count));
	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		uint64_t n = get(&from->bucket[i]);

		if (n)
			add(&h->bucket[i], n);
	}
}

/*
 * How many of total samples fraction p is, rounded up, at least one.  The
 * slack is for products as 0.07 * 100, which come out just above 7.
 */
static uint64_t rank_of(double p, uint64_t total)
{
	double exact = p * (double)total;
	uint64_t rank;

	if (!(exact > 1)) /* also when p is no number */
		return 1;
	if (exact >= (double)total)
		return total;
	rank = (uint64_t)exact;
	if (exact - (double)rank > exact * 1e-12)
		rank++;
	return rank;
}

uint64_t hist_percentile(const struct hist *h, double p)
{
	uint64_t total = 0, seen = 0, rank, max = get(&h->max);

	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		total += get(&h->bucket[i]);
	if (!total)
		return 0;

	rank = rank_of(p, total);
	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		seen += get(&h->bucket[i]);
		if (seen >= rank) {
			uint64_t edge = upper_edge(i);

			return edge < max ? edge : max;
		}
	}
	return max; /* not reached: buckets only grow */
}

void hist_below(const struct hist *h, unsigned first, unsigned n, uint64_t *below)
{
	uint64_t seen = 0;
	unsigned bucket = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned end = bucket_of(UINT64_C(1) << (first + i));

		for (; bucket < end; bucket++)
			seen += get(&h->bucket[bucket]);
		below[i] = seen;
	}
}
