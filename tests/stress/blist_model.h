/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A blist held against a naive bitmap, one random operation at a time.
 *
 * The bitmap has a byte for each granule of scale blocks, and operations are in
 * whole granules: so a bitmap that is searched in microseconds stands for a
 * blist of up to 2^40 blocks, with the same answers.  A scale that is no power
 * of two puts the borders of runs anywhere in leaves and nodes.
 */
#ifndef DRUM_TESTS_BLIST_MODEL_H
#define DRUM_TESTS_BLIST_MODEL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "swap/blist.h"

struct model {
	struct blist *bl;
	unsigned char *is_free; /* [max], one a granule */
	uint64_t granules;	/* size now */
	uint64_t max;		/* largest size; resizing goes from 1 to this */
	uint64_t scale;		/* blocks a granule */
	uint64_t avail;		/* free granules */
	uint64_t rng;
	unsigned appetite; /* percent of operations that allocate */
	uint64_t reach;	   /* most granules of one; both change now and then */
	char error[256];   /* what differed, "" if nothing did */
};

/* splitmix64 */
static inline uint64_t model_random(struct model *m)
{
	uint64_t z = m->rng += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* 1 .. most, small numbers as likely as large ones */
static inline uint64_t model_length(struct model *m, uint64_t most)
{
	unsigned bits = 64 - (unsigned)__builtin_clzll(most);
	uint64_t n = 1 + model_random(m) % (UINT64_C(1) << model_random(m) % (bits + 1));

	return n < most ? n : most;
}

/* The same, as long as operations are to be at present. */
static inline uint64_t model_reach(struct model *m, uint64_t most)
{
	return model_length(m, most < m->reach ? most : m->reach);
}

/* End of the stretch of equal granules that begins at from. */
static inline uint64_t model_stretch(const struct model *m, uint64_t from)
{
	const unsigned char *p;

	if (from >= m->granules)
		return m->granules;
	p = memchr(m->is_free + from, !m->is_free[from], m->granules - from);
	return p ? (uint64_t)(p - m->is_free) : m->granules;
}

/* Lowest run of n free granules from from on; BLIST_NONE. */
static inline uint64_t model_find(const struct model *m, uint64_t n, uint64_t from)
{
	for (uint64_t end; from < m->granules; from = end) {
		end = model_stretch(m, from);
		if (m->is_free[from] && end - from >= n)
			return from;
	}
	return BLIST_NONE;
}

static inline uint64_t model_find_round(const struct model *m, uint64_t n, uint64_t hint)
{
	uint64_t at = n ? model_find(m, n, hint) : BLIST_NONE;

	return at == BLIST_NONE && n ? model_find(m, n, 0) : at;
}

static inline uint64_t model_longest(const struct model *m)
{
	uint64_t longest = 0;

	for (uint64_t at = 0, end; at < m->granules; at = end) {
		end = model_stretch(m, at);
		if (m->is_free[at] && end - at > longest)
			longest = end - at;
	}
	return longest;
}

static inline void model_set(struct model *m, uint64_t at, uint64_t n, bool to_free)
{
	for (uint64_t g = at; g < at + n; g++) {
		m->avail += to_free && !m->is_free[g];
		m->avail -= !to_free && m->is_free[g];
	}
	memset(m->is_free + at, to_free, n);
}

/* => true if both agree; else m->error says where they do not */
static inline bool model_expect(struct model *m, const char *what, uint64_t a, uint64_t b,
				uint64_t got, uint64_t want)
{
	if (got == want)
		return true;
	if (m->error[0] == '\0')
		snprintf(m->error, sizeof(m->error),
			 "%s (%llu, %llu) of %llu granules of %llu: blist says %llu, "
			 "bitmap %llu",
			 what, (unsigned long long)a, (unsigned long long)b,
			 (unsigned long long)m->granules, (unsigned long long)m->scale,
			 (unsigned long long)got, (unsigned long long)want);
	return false;
}

/* Block address of a granule, BLIST_NONE staying itself. */
static inline uint64_t model_block(const struct model *m, uint64_t g)
{
	return g == BLIST_NONE ? g : g * m->scale;
}

static inline void model_alloc(struct model *m)
{
	uint64_t n = model_reach(m, m->granules), at = model_find_round(m, n, 0);

	model_expect(m, "alloc", n, 0, blist_alloc(m->bl, n * m->scale), model_block(m, at));
	if (at != BLIST_NONE)
		model_set(m, at, n, false);
}

static inline void model_alloc_near(struct model *m)
{
	/* sometimes beyond the end */
	uint64_t n = model_reach(m, m->granules);
	uint64_t hint = model_random(m) % (m->granules + 2);
	uint64_t at = model_find_round(m, n, hint < m->granules ? hint : 0);

	model_expect(m, "alloc_near", n, hint,
		     blist_alloc_near(m->bl, n * m->scale, hint * m->scale),
		     model_block(m, at));
	if (at != BLIST_NONE)
		model_set(m, at, n, false);
}

/* A hint inside a granule: the run may begin there, so it is given back at once. */
static inline void model_alloc_inside(struct model *m)
{
	uint64_t n = model_reach(m, m->granules), g = model_random(m) % m->granules;
	uint64_t hint = g * m->scale + model_random(m) % m->scale, at, got;

	if (m->is_free[g] && model_stretch(m, g) * m->scale - hint >= n * m->scale) {
		at = hint;
	} else {
		at = model_find(m, n, hint == g * m->scale ? g : g + 1);
		at = model_block(m, at == BLIST_NONE ? model_find(m, n, 0) : at);
	}
	got = blist_alloc_near(m->bl, n * m->scale, hint);
	if (model_expect(m, "alloc_near inside", n, hint, got, at) && at != BLIST_NONE)
		model_expect(m, "free again", n, hint, blist_free(m->bl, at, n * m->scale),
			     true);
}

static inline void model_alloc_most(struct model *m)
{
	uint64_t want = model_reach(m, m->granules);
	uint64_t hint = model_random(m) % (m->granules + 1);
	uint64_t longest = model_longest(m), got = 77;
	uint64_t n = want < longest ? want : longest;
	uint64_t at = model_find_round(m, n, hint < m->granules ? hint : 0);

	model_expect(m, "alloc_most", want, hint,
		     blist_alloc_most(m->bl, want * m->scale, hint * m->scale, &got),
		     model_block(m, at));
	model_expect(m, "alloc_most's length", want, hint, got, n * m->scale);
	if (at != BLIST_NONE)
		model_set(m, at, n, false);
}

/* Any range: mostly part of it is free, so that it must be refused. */
static inline void model_free_any(struct model *m)
{
	uint64_t at = model_random(m) % m->granules;
	uint64_t n = model_length(m, m->granules - at);
	bool ok = !memchr(m->is_free + at, true, n);

	model_expect(m, "free", at, n, blist_free(m->bl, at * m->scale, n * m->scale), ok);
	if (ok)
		model_set(m, at, n, true);
}

/* Part of a stretch that is allocated. */
static inline void model_free_allocated(struct model *m)
{
	uint64_t at = model_random(m) % m->granules, n;

	if (m->is_free[at])
		at = model_stretch(m, at);
	if (at == m->granules)
		return;
	n = model_reach(m, model_stretch(m, at) - at);
	model_expect(m, "free of allocated", at, n,
		     blist_free(m->bl, at * m->scale, n * m->scale), true);
	model_set(m, at, n, true);
}

static inline void model_fill(struct model *m)
{
	uint64_t at = model_random(m) % m->granules;
	uint64_t n = model_length(m, m->granules - at);
	uint64_t were = m->avail;

	model_set(m, at, n, false);
	model_expect(m, "fill", at, n, blist_fill(m->bl, at * m->scale, n * m->scale),
		     (were - m->avail) * m->scale);
}

static inline void model_is_allocated(struct model *m)
{
	uint64_t at = model_random(m) % m->granules;
	uint64_t n = model_length(m, m->granules - at);

	model_expect(m, "is_allocated", at, n,
		     blist_is_allocated(m->bl, at * m->scale, n * m->scale),
		     !memchr(m->is_free + at, true, n));
}

static inline void model_resize(struct model *m)
{
	uint64_t to = 1 + model_random(m) % m->max;

	if (model_random(m) % 4 == 0)
		to = model_length(m, m->max);
	/* a root may go, or get a parent, while it is uniform */
	if (model_random(m) % 4 == 0) {
		(void)blist_fill(m->bl, 0, m->granules * m->scale);
		model_set(m, 0, m->granules, false);
		if (model_random(m) % 2) {
			model_expect(m, "free all", 0, m->granules,
				     blist_free(m->bl, 0, m->granules * m->scale), true);
			model_set(m, 0, m->granules, true);
		}
	}
	model_expect(m, "resize", to, 0, (uint64_t)blist_resize(m->bl, to * m->scale), 0);
	if (to < m->granules)
		model_set(m, to, m->granules - to, false);
	m->granules = to;
}

/* All that there is to compare. */
static inline bool model_compare(struct model *m)
{
	model_expect(m, "check", 0, 0, blist_check(m->bl), true);
	model_expect(m, "blocks", 0, 0, blist_blocks(m->bl), m->granules * m->scale);
	model_expect(m, "longest", 0, 0, blist_longest(m->bl), model_longest(m) * m->scale);
	for (uint64_t at = 0, end; at < m->granules; at = end) {
		uint64_t blocks;

		end = model_stretch(m, at);
		blocks = (end - at) * m->scale;
		if (!m->is_free[at]) {
			model_expect(m, "all allocated", at, end,
				     blist_is_allocated(m->bl, at * m->scale, blocks), true);
			continue;
		}
		for (uint64_t g = at; g < end; g++) {
			model_expect(m, "first block free", g, 0,
				     blist_is_allocated(m->bl, g * m->scale, 1), false);
			model_expect(m, "last block free", g, 0,
				     blist_is_allocated(m->bl, (g + 1) * m->scale - 1, 1),
				     false);
		}
	}
	return m->error[0] == '\0';
}

/* => false: no memory */
static inline bool model_open(struct model *m, uint64_t granules, uint64_t scale, uint64_t seed)
{
	memset(m, 0, sizeof(*m));
	m->granules = granules;
	m->max = granules * 2 * scale <= BLIST_MAX_BLOCKS ? granules * 2 : granules;
	m->scale = scale;
	m->rng = seed;
	m->appetite = 50;
	m->reach = granules;
	m->is_free = calloc(m->max, 1);
	m->bl = blist_create(granules * scale);
	return m->is_free && m->bl;
}

static inline void model_close(struct model *m)
{
	blist_destroy(m->bl);
	free(m->is_free);
}

/*
 * One random operation on both.
 * => false: they differ, m->error says where
 */
static inline bool model_step(struct model *m)
{
	uint64_t dice = model_random(m);

	/* full, empty and all between, in a few pieces or in many, are reached and left
	 * again */
	if (dice % 512 == 0) {
		m->appetite = 20 + (unsigned)(model_random(m) % 61);
		m->reach = model_length(m, m->granules);
	}
	dice = model_random(m);
	if (dice % 1024 == 0)
		model_resize(m);
	else if (dice % 1024 < 8)
		model_fill(m);
	else if (dice % 1024 < 40)
		model_is_allocated(m);
	else if (dice % 1024 < 80)
		model_free_any(m);
	else if (dice / 1024 % 100 >= m->appetite)
		model_free_allocated(m);
	else if (dice / 65536 % 8 < 3)
		model_alloc(m);
	else if (dice / 65536 % 8 < 5)
		model_alloc_near(m);
	else if (dice / 65536 % 8 < 6)
		model_alloc_inside(m);
	else
		model_alloc_most(m);
	model_expect(m, "avail", 0, 0, blist_avail(m->bl), m->avail * m->scale);
	return m->error[0] == '\0';
}

#endif
