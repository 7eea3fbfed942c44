/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * What P bytes cost a guest that uses `active` of them is
 *
 *	c(P) = P				P <= active
 *	c(P) = active + (P - active) * k	above, k = 1 / (1 - tax)
 *
 * and what it pays for each is shares / c(P).  ESX's min-funding revocation takes the next page
 * from who pays least, and gives it to who pays most; where that ends all pay the same, but for
 * those at one of their bounds.  So with m bytes (taxed ones) for a share each is due
 *
 *	P(m) = the P with c(P) = m * shares, within [least, most]
 *
 * which grows with m, and m is where the sum of all P(m) is the pool.  m is found by bisection
 * over the bits of a double: positive doubles are ordered as their bits are, so 63 steps would
 * find it to the last bit, however large or small, and whatever the shares; some 30 are enough.
 * Each P is a whole number of bytes before it is added, so the order of guests does not matter.
 */
#include "balloon/arbiter_priv.h"

#include <string.h>

#define PRECISION 20 /* bits: a page of 4 GiB may be left over */
#define GIB	  ((double)(UINT64_C(1) << 30))

typedef unsigned __int128 wide;

/* What can be had, with m for each share. */
typedef uint64_t (*curve_fn)(const struct arbiter_guest *g, double m, uint32_t tax);

static uint64_t to_u64(double x)
{
	return x < 18446744073709549568.0 ? (uint64_t)x : UINT64_MAX;
}

static double cost(const struct arbiter_guest *g, uint64_t bytes, uint32_t tax)
{
	uint64_t active = min_u64(bytes, g->keep.active);

	return (double)active + (double)(bytes - active) * 100 / (100 - tax);
}

static uint64_t due(const struct arbiter_guest *g, double m, uint32_t tax)
{
	double paid = m * (double)g->shares, active = (double)g->keep.active, bytes = paid;

	if (paid > active)
		bytes = active + (paid - active) * (100 - tax) / 100;
	return max_u64(g->work.least, min_u64(g->work.most, to_u64(bytes)));
}

/* Of what all others leave: in proportion to shares, untaxed. */
static uint64_t room(const struct arbiter_guest *g, double m, uint32_t tax)
{
	(void)tax;
	return min_u64(less_u64(g->limit, g->work.due), to_u64(m * (double)g->shares));
}

static wide sum_at(const struct arbiter_guest *guest, size_t n, curve_fn curve, double m,
		   uint32_t tax, uint64_t *steps)
{
	wide sum = 0;

	for (size_t i = 0; i < n; i++)
		if (!guest[i].busy)
			sum += curve(&guest[i], m, tax);
	*steps += n;
	return sum;
}

static double from_bits(uint64_t bits)
{
	double x;

	memcpy(&x, &bits, sizeof(x));
	return x;
}

/* => an m whose sum is at most pool, and hardly less; 0 if there is none */
static double solve(const struct arbiter_guest *guest, size_t n, curve_fn curve, wide pool,
		    uint32_t tax, uint64_t *steps)
{
	double most = 0x1p80; /* 2^64 bytes, taxed 100 times, for one share, and more */
	uint64_t low = 0, high;

	memcpy(&high, &most, sizeof(high));
	while (high - low > 1) {
		uint64_t middle = low + (high - low) / 2;

		wide sum = sum_at(guest, n, curve, from_bits(middle), tax, steps);

		if (sum <= pool)
			low = middle;
		else
			high = middle;
		if (sum <= pool && pool - sum <= pool >> PRECISION)
			break;
	}
	return from_bits(low);
}

uint64_t arbiter_price_of(const struct arbiter_guest *g, uint64_t bytes, uint32_t tax)
{
	return to_u64((double)g->shares * GIB / cost(g, bytes ? bytes : 1, tax) + 0.5);
}

/* Nobody can be given less: the dearest memory that somebody holds. */
static uint64_t dearest(const struct arbiter_guest *guest, size_t n, uint32_t tax)
{
	uint64_t price = 1;

	for (size_t i = 0; i < n; i++)
		if (!guest[i].busy && guest[i].work.due < guest[i].work.most)
			price = max_u64(price,
					arbiter_price_of(&guest[i], guest[i].work.due, tax));
	return price;
}

uint64_t arbiter_equilibrium(struct arbiter_guest *guest, size_t n, uint64_t pool, uint32_t tax,
			     uint64_t *steps)
{
	wide wanted = 0, least = 0, limits = 0;
	double m;

	for (size_t i = 0; i < n; i++) {
		struct arbiter_guest *g = &guest[i];

		if (g->busy)
			continue;
		wanted += g->work.most;
		least += g->work.least;
		limits += max_u64(g->work.most, g->limit);
		g->work.due = g->work.most;
		g->work.room = 0;
	}
	*steps += n;
	if (wanted <= pool) {
		m = limits <= pool ? 0x1p80 : solve(guest, n, room, pool - wanted, tax, steps);
		for (size_t i = 0; i < n; i++)
			if (!guest[i].busy)
				guest[i].work.room = room(&guest[i], m, tax);
		return 0;
	}
	m = least < pool ? solve(guest, n, due, pool, tax, steps) : 0;
	for (size_t i = 0; i < n; i++)
		if (!guest[i].busy)
			guest[i].work.due = due(&guest[i], m, tax);
	return least < pool && m > 0 ? max_u64(1, to_u64(GIB / m + 0.5))
				     : dearest(guest, n, tax);
}
