/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * live[] is a ring of the last generations.  When it turns, the oldest one's
 * bytes go to the next, so that `live` of the oldest is of all up to it; and
 * the limit, if it was just the oldest, moves on with it.
 *
 *	oldest <= limit < now, or limit == 0
 *	cold == sum of live from the oldest to the limit
 */

#include "swap/ramcold.h"

#include <string.h>

static uint32_t oldest(const struct ramcold *c)
{
	return c->now < RAMCOLD_GENERATIONS ? 1 : c->now - RAMCOLD_GENERATIONS + 1;
}

static uint64_t *live_of(struct ramcold *c, uint32_t generation)
{
	return &c->live[generation % RAMCOLD_GENERATIONS];
}

/* The generation in which a stamp counts. */
static uint32_t counted(const struct ramcold *c, uint32_t stamp)
{
	if (stamp < oldest(c))
		return oldest(c);
	return stamp < c->now ? stamp : c->now;
}

static void set_limit(struct ramcold *c, uint32_t limit)
{
	__atomic_store_n(&c->limit, limit, __ATOMIC_RELAXED);
}

void ramcold_init(struct ramcold *c, uint64_t span, uint32_t now)
{
	memset(c, 0, sizeof(*c));
	c->span = span;
	c->now = now;
}

static void next_generation(struct ramcold *c)
{
	uint32_t old = oldest(c);

	c->stored = 0;
	if (c->now == UINT32_MAX)
		return;
	c->now++;
	if (oldest(c) == old)
		return;
	if (c->limit == old) {
		set_limit(c, old + 1);
		c->cold += *live_of(c, old + 1);
	}
	*live_of(c, old + 1) += *live_of(c, old);
	*live_of(c, c->now) = 0;
}

static void add(struct ramcold *c, uint32_t stamp, uint32_t bytes)
{
	uint32_t generation = counted(c, stamp);

	*live_of(c, generation) += bytes;
	if (generation <= c->limit)
		c->cold += bytes;
}

uint32_t ramcold_add(struct ramcold *c, uint32_t bytes)
{
	if (c->stored >= c->span)
		next_generation(c);
	c->stored += bytes;
	add(c, c->now, bytes);
	return c->now;
}

void ramcold_add_old(struct ramcold *c, uint32_t stamp, uint32_t bytes)
{
	add(c, stamp, bytes);
}

void ramcold_sub(struct ramcold *c, uint32_t stamp, uint32_t bytes)
{
	uint32_t generation = counted(c, stamp);

	*live_of(c, generation) -= bytes;
	if (generation <= c->limit)
		c->cold -= bytes;
}

void ramcold_want(struct ramcold *c, uint64_t bytes)
{
	if (bytes == 0) {
		set_limit(c, 0);
		c->cold = 0;
		return;
	}
	while (c->cold < bytes && c->limit + 1 < c->now) {
		uint32_t next = c->limit ? c->limit + 1 : oldest(c);

		set_limit(c, next);
		c->cold += *live_of(c, next);
	}
}

bool ramcold_is(const struct ramcold *c, uint32_t stamp)
{
	uint32_t limit = __atomic_load_n(&c->limit, __ATOMIC_RELAXED);

	return limit != 0 && stamp <= limit;
}
