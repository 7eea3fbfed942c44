/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Words, nodes and levels of a blist: what blist.c and blist_size.c are made of, and for nobody
 * nobody else.  The head of blist.c explains the words used here.
 */
#ifndef DRUM_SWAP_BLIST_NODE_H
#define DRUM_SWAP_BLIST_NODE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/minmax.h"
#include "swap/blist.h"

#define LEAF_SHIFT  6
#define LEAF_BLOCKS 64
#define RADIX_SHIFT 4
#define RADIX	    16
#define ALL	    0xffffu /* a mask of all the children */
#define LEVELS	    10	    /* level 9 covers 2^42 blocks */

static_assert(LEAF_SHIFT + RADIX_SHIFT * (LEVELS - 1) >= 40, "BLIST_MAX_BLOCKS fits");

/*
 * For what takes or returns a struct runs on the way up and down: passed in
 * memory it is written in words and read in vectors, and the processor waits
 * for the one before it can do the other, at each level anew.
 */
#define in_registers inline __attribute__((always_inline))

/* Free runs of a node or leaf, in blocks. */
struct runs {
	uint64_t start;	  /* the one that begins at its first block */
	uint64_t end;	  /* the one that ends at its last block */
	uint64_t longest; /* anywhere in it; >= start, end */
};

struct masks {
	uint16_t some; /* children with a free block */
	uint16_t full; /* children with free blocks only */
};

/* Nodes, by the width of their lengths: node8, node16, node32, node64. */
#define LANE	  int8_t
#define LANE_BITS 8
#include "swap/blist_lanes.h"
#define LANE	  int16_t
#define LANE_BITS 16
#include "swap/blist_lanes.h"
#define LANE	  int32_t
#define LANE_BITS 32
#include "swap/blist_lanes.h"
#define LANE	  int64_t
#define LANE_BITS 64
#include "swap/blist_lanes.h"

struct blist {
	uint64_t blocks;
	uint64_t avail;
	int top;	    /* level of the root */
	struct runs root;   /* of the root itself */
	uint64_t *leaf;	    /* mem[0] */
	void *mem[LEVELS];  /* one mapping a level, NULL above top */
	size_t len[LEVELS]; /* bytes, whole pages */
};

static inline unsigned level_shift(int k)
{
	return LEAF_SHIFT + RADIX_SHIFT * (unsigned)k;
}

static inline uint64_t level_blocks(int k)
{
	return UINT64_C(1) << level_shift(k);
}

/* The root's level. */
static inline int top_for(uint64_t blocks)
{
	int k = 1;

	while (level_blocks(k) < blocks)
		k++;
	return k;
}

/*
 * Words
 */

static inline unsigned word_start(uint64_t w)
{
	return ~w ? (unsigned)__builtin_ctzll(~w) : LEAF_BLOCKS;
}

static inline unsigned word_end(uint64_t w)
{
	return ~w ? (unsigned)__builtin_clzll(~w) : LEAF_BLOCKS;
}

/* The bits of blocks lo .. hi-1. => lo < hi, all in one leaf */
static inline uint64_t leaf_mask(uint64_t lo, uint64_t hi)
{
	return (UINT64_MAX >> (LEAF_BLOCKS - (hi - lo))) << (lo % LEAF_BLOCKS);
}

/* A bit for each place where n free blocks begin. => 1 <= n <= 64 */
static inline uint64_t word_places(uint64_t w, unsigned n)
{
	unsigned have, step;

	for (have = 1; have < n; have += step) {
		step = have < n - have ? have : n - have;
		w &= w >> step;
	}
	return w;
}

static inline unsigned word_longest(uint64_t w)
{
	uint64_t at[LEAF_SHIFT];
	unsigned i, n, ends;

	/* a run of half the word or more at one end leaves no room for a longer one */
	ends = word_start(w) > word_end(w) ? word_start(w) : word_end(w);
	if (ends >= LEAF_BLOCKS / 2 || w == 0)
		return ends;

	/* at[i]: where 2^i free blocks begin */
	at[0] = w;
	for (i = 0; i + 1 < LEAF_SHIFT; i++) {
		at[i + 1] = at[i] & (at[i] >> (1u << i));
		if (at[i + 1] == 0)
			break;
	}
	/* at[i] is the last that has any: add the smaller powers that fit behind */
	w = at[i];
	n = 1u << i;
	while (i-- > 0) {
		uint64_t more = w & (at[i] >> n);

		if (more) {
			w = more;
			n += 1u << i;
		}
	}
	return n;
}

/* The run of set bits that ends just before bit i. => i < 64 */
static inline unsigned word_before(uint64_t w, unsigned i)
{
	return i > 0 ? (unsigned)__builtin_clzll(~(w << (LEAF_BLOCKS - i))) : 0;
}

/* The run of set bits that begins with bit i. => 0 < i <= 64 */
static inline unsigned word_after(uint64_t w, unsigned i)
{
	return i < LEAF_BLOCKS ? (unsigned)__builtin_ctzll(~(w >> i)) : 0;
}

static in_registers bool runs_equal(struct runs a, struct runs b)
{
	return a.start == b.start && a.end == b.end && a.longest == b.longest;
}

/*
 * Nodes
 */

/*
 * Logarithm of the bytes of a length in a node of level k: the narrowest that
 * holds twice a child. => k >= 1
 */
static inline unsigned lane_shift(int k)
{
	if (k == 1)
		return 0;
	return k <= 3 ? 1 : k <= 7 ? 2 : 3;
}

/* Logarithm of the bytes of a node. => k >= 1 */
static inline unsigned node_shift(int k)
{
	return 6 + lane_shift(k);
}

static inline size_t node_bytes(int k)
{
	return k == 0 ? sizeof(uint64_t) : (size_t)1 << node_shift(k);
}

/* => k >= 1 */
static inline void *node_of(const struct blist *bl, int k, uint64_t idx)
{
	return (char *)bl->mem[k] + (idx << node_shift(k));
}

/* => k >= 1 */
static inline struct masks *masks_of(const struct blist *bl, int k, uint64_t idx)
{
	return (void *)((char *)node_of(bl, k, idx) + ((size_t)48 << lane_shift(k)));
}

/* Is child i neither full nor empty? */
static inline bool is_mixed(struct masks m, unsigned i)
{
	return (m.some & ~(unsigned)m.full) >> i & 1;
}

/*
 * What is stored of node c of level k.
 * => k is below the root's level; the parent has contents and its masks call
 *    this child neither full nor empty
 */
static in_registers struct runs runs_stored(const struct blist *bl, int k, uint64_t c)
{
	const void *node = node_of(bl, k + 1, c / RADIX);
	unsigned i = c % RADIX;

#define RUNS(type)                                                                             \
	(struct runs)                                                                          \
	{                                                                                      \
		(uint64_t)((const type *)node)->start[i],                                      \
			(uint64_t)((const type *)node)->end[i],                                \
			(uint64_t)((const type *)node)->longest[i]                             \
	}
	switch (lane_shift(k + 1)) {
	case 0:
		return RUNS(struct node8);
	case 1:
		return RUNS(struct node16);
	case 2:
		return RUNS(struct node32);
	default:
		return RUNS(struct node64);
	}
#undef RUNS
}

/* The contrary. => r is of a child neither full nor empty */
static in_registers void runs_keep(struct blist *bl, int k, uint64_t c, struct runs r)
{
	void *node = node_of(bl, k + 1, c / RADIX);
	unsigned i = c % RADIX;

#define KEEP(type, lane)                                                                       \
	(((type *)node)->start[i] = (lane)r.start, ((type *)node)->end[i] = (lane)r.end,       \
	 ((type *)node)->longest[i] = (lane)r.longest)
	switch (lane_shift(k + 1)) {
	case 0:
		KEEP(struct node8, int8_t);
		break;
	case 1:
		KEEP(struct node16, int16_t);
		break;
	case 2:
		KEEP(struct node32, int32_t);
		break;
	default:
		KEEP(struct node64, int64_t);
		break;
	}
#undef KEEP
}

/*
 * What the parent knows of node c of level k.
 * => k is below the root's level, the parent has contents
 */
static in_registers struct runs runs_of(const struct blist *bl, int k, uint64_t c)
{
	const struct masks *m = masks_of(bl, k + 1, c / RADIX);
	unsigned i = c % RADIX;
	uint64_t size = level_blocks(k);

	if (!(m->some >> i & 1))
		return (struct runs){ 0, 0, 0 };
	if (m->full >> i & 1)
		return (struct runs){ size, size, size };
	return runs_stored(bl, k, c);
}

/* Masks that say of child i, of size blocks, that its runs are r. */
static in_registers struct masks masks_with(struct masks m, unsigned i, struct runs r,
					    uint64_t size)
{
	unsigned bit = 1u << i;

	return (struct masks){
		.some = (uint16_t)(r.longest > 0 ? m.some | bit : m.some & ~bit),
		.full = (uint16_t)(r.longest == size ? m.full | bit : m.full & ~bit),
	};
}

/* Tell the parent of node c of level k what its runs are now. */
static in_registers void runs_store(struct blist *bl, int k, uint64_t c, struct runs r)
{
	struct masks *m = masks_of(bl, k + 1, c / RADIX);

	*m = masks_with(*m, c % RADIX, r, level_blocks(k));
	if (is_mixed(*m, c % RADIX))
		runs_keep(bl, k, c, r);
}

/* Give node c of level k contents, if so far only its parent's masks speak for it. */
static inline void open_child(struct blist *bl, int k, uint64_t c)
{
	const struct masks *m = masks_of(bl, k + 1, c / RADIX);
	bool full = m->full >> (c % RADIX) & 1;

	if (is_mixed(*m, c % RADIX))
		return;
	if (k == 0) {
		bl->leaf[c] = full ? UINT64_MAX : 0;
	} else {
		struct masks *cm = masks_of(bl, k, c);

		cm->some = cm->full = full ? ALL : 0;
	}
}

/* How many children right before child i are full. => i <= RADIX */
static inline unsigned full_before(struct masks m, unsigned i)
{
	/* child i-1 in the highest bit; zeros follow */
	uint32_t left = (uint32_t)((uint64_t)m.full << (32 - i));

	return (unsigned)__builtin_clz(~left);
}

/* How many right after it. => i < RADIX */
static inline unsigned full_after(struct masks m, unsigned i)
{
	return (unsigned)__builtin_ctz(~((uint32_t)m.full >> (i + 1)));
}

/* The free run that ends where child i of node idx of level k begins, within the node. */
static inline uint64_t run_before(const struct blist *bl, int k, uint64_t idx, unsigned i)
{
	unsigned whole = full_before(*masks_of(bl, k, idx), i);
	uint64_t len = (uint64_t)whole << level_shift(k - 1);

	if (whole < i)
		len += runs_of(bl, k - 1, idx * RADIX + i - 1 - whole).end;
	return len;
}

/* The free run that begins where child i of node idx of level k ends, within the node. */
static inline uint64_t run_after(const struct blist *bl, int k, uint64_t idx, unsigned i)
{
	unsigned whole = full_after(*masks_of(bl, k, idx), i);
	uint64_t len = (uint64_t)whole << level_shift(k - 1);

	if (i + 1 + whole < RADIX)
		len += runs_of(bl, k - 1, idx * RADIX + i + 1 + whole).start;
	return len;
}

/*
 * The free run that ends where node idx of level k begins.
 * => all nodes above it have contents
 */
static inline uint64_t climb_before(const struct blist *bl, int k, uint64_t idx)
{
	uint64_t len = 0;

	for (; k < bl->top; k++, idx /= RADIX) {
		unsigned i = idx % RADIX;
		uint64_t run = run_before(bl, k + 1, idx / RADIX, i);

		len += run;
		if (run != (uint64_t)i << level_shift(k))
			break;
	}
	return len;
}

/* The free run that begins where it ends. => as before */
static inline uint64_t climb_after(const struct blist *bl, int k, uint64_t idx)
{
	uint64_t len = 0;

	for (; k < bl->top; k++, idx /= RADIX) {
		unsigned i = idx % RADIX;
		uint64_t run = run_after(bl, k + 1, idx / RADIX, i);

		len += run;
		if (run != (uint64_t)(RADIX - 1 - i) << level_shift(k))
			break;
	}
	return len;
}

/*
 * Longest run of node idx of level k from its children, if its masks were m and
 * the runs of its child new were r (RADIX: all is stored).
 */
static in_registers uint64_t node_longest(const struct blist *bl, int k, uint64_t idx,
					  struct masks m, unsigned new, struct runs r)
{
	const void *node = node_of(bl, k, idx);
	unsigned shift = level_shift(k - 1);

	switch (lane_shift(k)) {
	case 0:
		return node_longest8(node, m, shift, new, r);
	case 1:
		return node_longest16(node, m, shift, new, r);
	case 2:
		return node_longest32(node, m, shift, new, r);
	default:
		return node_longest64(node, m, shift, new, r);
	}
}

/* The children of node idx of level k as node_candidates of their width says. */
static inline unsigned node_candidates(const struct blist *bl, int k, uint64_t idx,
				       struct masks m, unsigned first, uint64_t n)
{
	const void *node = node_of(bl, k, idx);

	switch (lane_shift(k)) {
	case 0:
		return node_candidates8(node, m, first, n);
	case 1:
		return node_candidates16(node, m, first, n);
	case 2:
		return node_candidates32(node, m, first, n);
	default:
		return node_candidates64(node, m, first, n);
	}
}

#endif
