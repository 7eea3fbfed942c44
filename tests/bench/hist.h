/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the programs of the benchmark share: time, random numbers, and histograms of
 * nanoseconds that are printed as JSON.
 */
#ifndef BENCH_HIST_H
#define BENCH_HIST_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define WORD_STEP UINT64_C(0x9e3779b97f4a7c15)
#define NS	  UINT64_C(1000000000)

/* 128 buckets a power of two: a percentile is right within 0.8 %. */
#define SUB_BITS 7
#define SUB	 (1u << SUB_BITS)
#define BUCKETS	 (40u * SUB)

struct hist {
	uint64_t count, sum, max; /* ns */
	uint64_t max_at;	  /* when max was taken, ns after the start */
	uint64_t max_page;
	uint64_t bucket[BUCKETS];
};

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS + (uint64_t)ts.tv_nsec;
}

static inline uint64_t mix(uint64_t x) /* splitmix64 */
{
	x += WORD_STEP;
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* Uniform in [0, n), n below 2^32; the bias of the multiplication is nothing here. */
static inline uint64_t random_below(uint64_t *rng, uint64_t n)
{
	*rng += WORD_STEP;
	return ((mix(*rng) >> 32) * n) >> 32;
}

static inline uint32_t bucket_of(uint64_t ns)
{
	uint32_t shift, b;

	if (ns < SUB)
		return (uint32_t)ns;
	shift = 63u - (uint32_t)__builtin_clzll(ns) - SUB_BITS;
	b = (shift + 1) * SUB + (uint32_t)(ns >> shift) - SUB;
	return b < BUCKETS ? b : BUCKETS - 1;
}

static inline uint64_t bucket_low(uint32_t b)
{
	uint32_t shift;

	if (b < SUB)
		return b;
	shift = b / SUB - 1;
	return (uint64_t)(SUB + b % SUB) << shift;
}

static inline void hist_add(struct hist *h, uint64_t ns, uint64_t at, uint64_t page)
{
	h->count++;
	h->sum += ns;
	h->bucket[bucket_of(ns)]++;
	if (ns > h->max) {
		h->max = ns;
		h->max_at = at;
		h->max_page = page;
	}
}

static inline void hist_merge(struct hist *h, const struct hist *from)
{
	h->count += from->count;
	h->sum += from->sum;
	if (from->max > h->max) {
		h->max = from->max;
		h->max_at = from->max_at;
		h->max_page = from->max_page;
	}
	for (uint32_t b = 0; b < BUCKETS; b++)
		h->bucket[b] += from->bucket[b];
}

/* Samples in buckets that begin above the threshold. */
static inline uint64_t hist_above(const struct hist *h, uint64_t threshold)
{
	uint64_t n = 0;

	for (uint32_t b = bucket_of(threshold) + 1; b < BUCKETS; b++)
		n += h->bucket[b];
	return n;
}

/* Middle of the bucket that holds fraction p of the samples above threshold. */
static inline uint64_t hist_percentile_above(const struct hist *h, uint64_t threshold, double p)
{
	uint64_t total = hist_above(h, threshold), n = 0;
	uint64_t want = (uint64_t)(p * (double)total);

	if (total == 0)
		return 0;
	for (uint32_t b = bucket_of(threshold) + 1; b < BUCKETS; b++) {
		n += h->bucket[b];
		if (n > want || n == total) {
			uint64_t mid = (bucket_low(b) + bucket_low(b + 1)) / 2;

			return mid < h->max ? mid : h->max;
		}
	}
	return h->max;
}

/* The fields of a histogram, with the whole of it as [[low edge in ns, count], ...]. */
static inline void print_hist(const struct hist *h, uint64_t threshold)
{
	const char *comma = "";

	printf("\"faults\":%" PRIu64 ",\"fault-ns\":%" PRIu64, hist_above(h, threshold),
	       threshold);
	printf(",\"p50-us\":%.3f,\"p99-us\":%.3f,\"p999-us\":%.3f",
	       (double)hist_percentile_above(h, threshold, 0.5) / 1e3,
	       (double)hist_percentile_above(h, threshold, 0.99) / 1e3,
	       (double)hist_percentile_above(h, threshold, 0.999) / 1e3);
	printf(",\"max-us\":%.3f,\"max-at-s\":%.3f,\"max-page\":%" PRIu64 ",\"mean-us\":%.3f",
	       (double)h->max / 1e3, (double)h->max_at / 1e9, h->max_page,
	       h->count ? (double)h->sum / (double)h->count / 1e3 : 0.0);
	printf(",\"histogram\":[");
	for (uint32_t b = 0; b < BUCKETS; b++) {
		if (h->bucket[b] == 0)
			continue;
		printf("%s[%" PRIu64 ",%" PRIu64 "]", comma, bucket_low(b), h->bucket[b]);
		comma = ",";
	}
	printf("]");
}

#endif
