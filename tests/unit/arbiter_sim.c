/* SPDX-License-Identifier: BSD-2-Clause */
#include "arbiter_sim.h"

#include <stdlib.h>

#define MISS_COST 100 /* touches in memory that a miss takes as long as */

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t part(uint64_t x, uint64_t of, uint64_t whole)
{
	return whole ? (uint64_t)((unsigned __int128)x * of / whole) : 0;
}

/* splitmix64 */
uint64_t sim_random(struct sim *s, uint64_t below)
{
	uint64_t z = s->seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (z ^ z >> 31) % below;
}

struct sim *sim_new(size_t n, uint64_t budget, uint64_t seed)
{
	struct sim *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	s->guest = calloc(n, sizeof(*s->guest));
	s->of = calloc(n, sizeof(*s->of));
	if (!s->guest || !s->of)
		abort();
	s->conf = (struct arbiter_conf){ budget, ARBITER_TAX, ARBITER_STALL_TARGET, 0 };
	s->n = n;
	s->seed = seed;
	s->now = SIM_SEC;
	s->ram = budget + budget / 4;
	s->read = s->write = 400 * SIM_MIB;
	s->noise = 5;
	return s;
}

void sim_free(struct sim *s)
{
	free(s->guest);
	free(s->of);
	free(s);
}

uint64_t sim_resident(const struct sim *s, size_t i)
{
	return s->of[i].hot + s->of[i].cold;
}

void sim_guest(struct sim *s, size_t i, uint64_t size, uint64_t reservation, uint64_t shares,
	       uint64_t contents)
{
	s->guest[i] = (struct arbiter_guest){
		.size = size,
		.limit = size,
		.reservation = reservation,
		.shares = shares,
		.grant = contents,
	};
	s->of[i] =
		(struct sim_guest){ .contents = contents, .cold = contents, .since = s->now };
}

void sim_want(struct sim *s, size_t i, uint64_t wants)
{
	struct sim_guest *g = &s->of[i];
	uint64_t old = least(g->wants, g->contents), new, moves;

	wants = least(wants, s->guest[i].size);
	new = least(wants, g->contents);
	if (new < old) {
		moves = g->hot - part(g->hot, new, old);
		g->hot -= moves;
		g->cold += moves;
		g->since = s->now;
	} else {
		moves = part(g->cold, new - old, g->contents - old);
		g->hot += moves;
		g->cold -= moves;
	}
	g->wants = wants;
}

/* Away with so much, cold memory first. */
static void page_out(struct sim_guest *g, uint64_t bytes)
{
	uint64_t cold = least(bytes, g->cold);

	g->cold -= cold;
	g->hot -= least(bytes - cold, g->hot);
}

static void grow(const struct sim *s, struct sim_guest *g, uint64_t grant)
{
	uint64_t has = g->hot + g->cold, room = grant > has ? grant - has : 0;
	uint64_t new = g->wants > g->contents ? g->wants - g->contents : 0;

	/* what is beyond its grant takes the place of other memory, as fast as swap writes */
	new = least(new, room + s->write);
	if (new > room)
		page_out(g, new - room);
	new = least(new, grant > g->hot + g->cold ? grant - g->hot - g->cold : 0);
	g->contents += new;
	g->hot += new;
}

static void page_in(const struct sim *s, struct sim_guest *g, uint64_t grant)
{
	uint64_t has = g->hot + g->cold, room = grant > has ? grant - has : 0;
	uint64_t in = least(least(g->wants, g->contents) - g->hot, s->read);

	in = least(in, room + g->cold);
	if (in > room)
		page_out(g, in - room);
	g->hot += in;
}

static void wait_and_touch(const struct sim *s, struct sim_guest *g)
{
	double missing = g->wants > g->hot ? (double)(g->wants - g->hot) : 0;
	double m = g->wants ? missing / (double)g->wants : 0;
	uint64_t touched;

	g->stall = m * MISS_COST / (m * MISS_COST + 1);
	g->stalled += (uint64_t)(g->stall * (double)SIM_SEC);
	psi_update(&g->some, g->stalled, s->now);
	touched = g->hot + (uint64_t)(missing * (1 - g->stall));
	g->seen = touched > g->seen ? touched : g->seen - (g->seen - touched) / 30;
}

static void show(struct sim *s, size_t i)
{
	struct arbiter_guest *a = &s->guest[i];
	const struct sim_guest *g = &s->of[i];
	uint64_t unused = g->contents > g->wants ? g->contents - g->wants : 0;

	a->resident = g->hot + g->cold;
	a->swapped = g->contents - a->resident;
	a->working_set =
		least(part(g->seen, 100 - s->noise + sim_random(s, 2 * s->noise + 1), 100),
		      g->contents);
	a->cold = s->now - g->since > 300 * SIM_SEC ? unused : 0;
	a->some_10s = psi_share(&g->some, PSI_10S);
	a->some_60s = psi_share(&g->some, PSI_60S);
}

static void live(struct sim *s, size_t i)
{
	struct arbiter_guest *a = &s->guest[i];
	struct sim_guest *g = &s->of[i];
	uint64_t before = g->hot + g->cold, had;

	grow(s, g, a->grant);
	page_in(s, g, a->grant);
	had = g->hot + g->cold;
	if (had > a->grant)
		page_out(g, least(had - a->grant, s->write));
	page_out(g, a->take);
	had = g->hot + g->cold;
	if (a->grant < a->reservation || (had < a->reservation && had < before))
		s->violated++;
	wait_and_touch(s, g);
}

void sim_round(struct sim *s)
{
	uint64_t used = 0;

	s->now += SIM_SEC;
	for (size_t i = 0; i < s->n; i++) {
		live(s, i);
		used += s->of[i].hot + s->of[i].cold;
		show(s, i);
	}
	if (used > s->most_used)
		s->most_used = used;
	s->host.available = s->ram > used ? s->ram - used : 0;
	arbiter_decide(&s->conf, &s->host, s->guest, s->n, s->now);
}

void sim_run(struct sim *s, unsigned int rounds)
{
	while (rounds--)
		sim_round(s);
}
