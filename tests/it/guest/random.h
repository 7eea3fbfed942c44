/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where patrol goes next: a fast generator and a zipf distribution.
 */
#ifndef DRUM_TEST_RANDOM_H
#define DRUM_TEST_RANDOM_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "stamp.h"

#define ZIPF_THETA 0.99

struct zipf {
	size_t n; /* the rest is for this many pages */
	double zetan, eta;
};

/* xorshift64*; the state is never 0. */
static inline uint64_t rng_next(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*state = x;
	return x * UINT64_C(0x2545f4914f6cdd1d);
}

static inline size_t rng_below(uint64_t *state, size_t n)
{
	return (size_t)(((unsigned __int128)rng_next(state) * n) >> 64);
}

/* Gray et al., "Quickly generating billion-record synthetic databases", 1994. */
static inline void zipf_setup(struct zipf *z, size_t n)
{
	size_t exact = n < 2000 ? n : 2000;
	double zeta2 = 1 + pow(0.5, ZIPF_THETA), e = 1 - ZIPF_THETA;

	z->n = n;
	z->zetan = 0;
	for (size_t i = 1; i <= exact; i++)
		z->zetan += pow(1.0 / (double)i, ZIPF_THETA);
	/* The tail of the sum as an integral: it is exact to 1e-4 here. */
	z->zetan += (pow((double)n + 0.5, e) - pow((double)exact + 0.5, e)) / e;
	z->eta = (1 - pow(2.0 / (double)n, e)) / (1 - zeta2 / z->zetan);
}

/* => a page below n; popular ones lie scattered, as they do in a guest */
static inline size_t zipf_next(struct zipf *z, uint64_t *rng, size_t n)
{
	size_t rank;
	double u, uz;

	if (z->n != n)
		zipf_setup(z, n);
	u = (double)(rng_next(rng) >> 11) / 9007199254740992.0;
	uz = u * z->zetan;
	if (uz < 1)
		rank = 0;
	else if (uz < 1 + pow(0.5, ZIPF_THETA))
		rank = 1;
	else
		rank = (size_t)((double)n * pow(z->eta * u - z->eta + 1, 1 / (1 - ZIPF_THETA)));
	return stamp_mix(rank) % n;
}

#endif
