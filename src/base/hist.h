/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Histogram of durations in nanoseconds: log-linear buckets, 16 a power of
 * two, so that any percentile is right within 7 %.  After HdrHistogram.
 *
 * Written by one thread, read by any: fields are stored and loaded relaxed,
 * so a reader sees each of them whole but not all of one moment.
 */
#ifndef DRUM_BASE_HIST_H
#define DRUM_BASE_HIST_H

#include <stdint.h>

#define HIST_SUB_BITS 4
#define HIST_BUCKETS  ((64 - HIST_SUB_BITS + 1) << HIST_SUB_BITS)

struct hist { /* all [a], one writer; zeroed is empty */
	uint64_t count;
	uint64_t sum; /* ns; may wrap after 580 years of waiting */
	uint64_t max; /* ns */
	uint64_t bucket[HIST_BUCKETS];
};

void hist_add(struct hist *h, uint64_t ns);

/* Add what from holds to h; h is the caller's own. */
void hist_merge(struct hist *h, const struct hist *from);

/*
 * The smallest duration (upper edge of its bucket, never above max) that
 * fraction p, 0 < p <= 1, of all samples do not exceed; 0 when empty.
 */
uint64_t hist_percentile(const struct hist *h, double p);

/*
 * below[i]: how many samples are below 2^(first + i) ns, for i < n; first >= HIST_SUB_BITS,
 * first + n <= 64.  Exact, for at every power of two a bucket begins.
 */
void hist_below(const struct hist *h, unsigned first, unsigned n, uint64_t *below);

#endif
