/* SPDX-License-Identifier: BSD-2-Clause */
/* What arbiter.c and arbiter_price.c have in common. */
#ifndef DRUM_BALLOON_ARBITER_PRIV_H
#define DRUM_BALLOON_ARBITER_PRIV_H

#include "balloon/arbiter.h"
#include "base/minmax.h"

static inline uint64_t less_u64(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static inline uint64_t sum_u64(uint64_t a, uint64_t b)
{
	return a + b < a ? UINT64_MAX : a + b;
}

/* a * part / whole, with no overflow on the way. whole > 0, the result fits */
static inline uint64_t part_u64(uint64_t a, uint64_t part, uint64_t whole)
{
	return (uint64_t)((unsigned __int128)a * part / whole);
}

/*
 * The equilibrium: sets work.due of all that are not busy, so that the sum is at most pool and
 * less only if all have work.most, or more only if that is the sum of work.least.  What is left
 * of the pool then goes to work.room, by shares, up to limits.
 * => the price, as in struct arbiter_host
 */
uint64_t arbiter_equilibrium(struct arbiter_guest *guest, size_t n, uint64_t pool, uint32_t tax,
			     uint64_t *steps);
/* Shares for each GiB that the guest pays for so many bytes. */
uint64_t arbiter_price_of(const struct arbiter_guest *g, uint64_t bytes, uint32_t tax);

#endif
