/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * Of latencies all is computed from one copy of the buckets, so that a percentile never
 * contradicts the counts that are told beside it, however much the guest faults meanwhile.
 * Only sum and max may be of a few samples more, or fewer.
 */
#include "vmm/figures.h"

void latency_of(const struct hist *h, struct latency_stats *out)
{
	struct hist copy = { 0 };

	hist_merge(&copy, h);
	copy.count = 0;
	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		copy.count += copy.bucket[i];
	*out = (struct latency_stats){
		.count = copy.count,
		.sum = copy.sum,
		.max = copy.max,
		.p50 = hist_percentile(&copy, 0.5),
		.p90 = hist_percentile(&copy, 0.9),
		.p99 = hist_percentile(&copy, 0.99),
		.p999 = hist_percentile(&copy, 0.999),
	};
	hist_below(&copy, LATENCY_FIRST, LATENCY_BUCKETS - 1, out->below);
	out->below[LATENCY_BUCKETS - 1] = copy.count;
}

int guest_map_idle(const struct guest_map_cell *cell)
{
	uint32_t known = 0, older = 0;
	int age = GUEST_MAP_AGES;

	for (int i = 0; i < GUEST_MAP_AGES; i++)
		known += cell->age[i];
	if (known == 0)
		return -1;
	while (older * 2 < known)
		older += cell->age[--age];
	return age;
}
