/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a round of the arbiter takes with 1,000 guests that want more than there is, and whose
 * figures change each second: median, p99 and most, in microseconds.  Wanted: below 5 ms.
 *
 *	bench_arbiter [GUESTS [ROUNDS]]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "balloon/arbiter.h"
#include "base/clock.h"

#define MIB (UINT64_C(1) << 20)

static uint64_t rng_state = 1;

static uint64_t rng(uint64_t below)
{
	rng_state = rng_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (rng_state >> 33) % below;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
	size_t rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000;
	struct arbiter_conf conf = { .budget = n * 1024 * MIB,
				     .tax = ARBITER_TAX,
				     .stall_target = ARBITER_STALL_TARGET };
	struct arbiter_host host = { .available = UINT64_MAX };
	struct arbiter_guest *guest = calloc(n, sizeof(*guest));
	uint64_t *ns = calloc(rounds, sizeof(*ns)), steps = 0;

	if (n == 0 || rounds == 0 || !guest || !ns) {
		fprintf(stderr, "usage: bench_arbiter [GUESTS [ROUNDS]]\n");
		return 1;
	}
	for (size_t i = 0; i < n; i++) {
		guest[i].size = guest[i].limit = (512 + rng(4096)) * MIB;
		guest[i].shares = 10 * (guest[i].size / MIB) * (1 + rng(3));
		guest[i].reservation = i % 5 ? 0 : guest[i].size / 8;
		guest[i].grant = guest[i].size / 2;
	}
	for (size_t r = 0; r < rounds; r++) {
		uint64_t began;

		for (size_t i = 0; i < n; i++) {
			struct arbiter_guest *g = &guest[i];

			g->resident = g->grant - rng(g->grant / 50 + 1);
			g->swapped = g->size - g->resident;
			g->working_set = g->size / 100 * (10 + i % 80 + rng(10));
			g->cold = g->size / 10;
			g->some_10s = g->some_60s = (uint32_t)rng(20000);
		}
		began = clock_ns();
		arbiter_decide(&conf, &host, guest, n, (r + 1) * NSEC_PER_SEC);
		ns[r] = clock_ns() - began;
		steps += host.steps;
	}
	qsort(ns, rounds, sizeof(*ns), compare);
	printf("a round of the arbiter with %zu guests: median %" PRIu64 " us, p99 %" PRIu64
	       " us, most %" PRIu64 " us; %" PRIu64 " looks at each guest\n",
	       n, ns[rounds / 2] / 1000, ns[(rounds - 1) * 99 / 100] / 1000,
	       ns[rounds - 1] / 1000, steps / rounds / n);
	free(guest);
	free(ns);
	return 0;
}
