/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Words, nodes and levels of a blist: what blist.c is made of, and for nobody
 * else.  Its head explains the words used here.
 */
#ifndef DRUM_SWAP_BLIST_NODE_H
#define DRUM_SWAP_BLIST_NODE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "swap/blist.h"

#define LEAF_SHIFT  6
#define LEAF_BLOCKS 64
#define RADIX_SHIFT 4
#define RADIX	    16
#define ALL	    0xffffu /* a mask of all the children */
#define LEVELS	    10	    /* level 9 covers 2^42 blocks */

static_assert(LEAF_SHIFT + RADIX_SHIFT * (LEVELS - 1) >= 40, "BLIST_MAX_BLOCKS fits");

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

/* Level 1. The runs at both ends of a leaf are read off its word. */
struct bottom {
	struct masks m;
	uint8_t longest[RADIX];
};

/* Levels from 2. */
struct inner {
	struct masks m;
	struct runs child[RADIX];
};

struct blist {
	uint64_t blocks;
	uint64_t avail;
	int top;	  /* level of the root */
	struct runs root; /* of the root itself */
	uint64_t *leaf;	  /* mem[0] */
	struct bottom *bottom;
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

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
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

static inline bool runs_equal(struct runs a, struct runs b)
{
	return a.start == b.start && a.end == b.end && a.longest == b.longest;
}

/*
 * Nodes
 */

static inline size_t node_bytes(int k)
{
	if (k == 0)
		return sizeof(uint64_t);
	return k == 1 ? sizeof(struct bottom) : sizeof(struct inner);
}

/* => k >= 1 */
static inline struct masks *masks_of(const struct blist *bl, int k, uint64_t idx)
{
	if (k == 1)
		return &bl->bottom[idx].m;
	return &((struct inner *)bl->mem[k])[idx].m;
}

/* => k >= 2 */
static inline struct inner *inner_of(const struct blist *bl, int k, uint64_t idx)
{
	return &((struct inner *)bl->mem[k])[idx];
}

/*
 * What is stored of node c of level k.
 * => k is below the root's level; the parent has contents and its masks call
 *    this child neither full nor empty
 */
static inline struct runs runs_stored(const struct blist *bl, int k, uint64_t c)
{
	if (k == 0) {
		uint64_t w = bl->leaf[c];

		return (struct runs){
			.start = (unsigned)__builtin_ctzll(~w),
			.end = (unsigned)__builtin_clzll(~w),
			.longest = bl->bottom[c / RADIX].longest[c % RADIX],
		};
	}
	return inner_of(bl, k + 1, c / RADIX)->child[c % RADIX];
}

/*
 * What the parent knows of node c of level k.
 * => k is below the root's level, the parent has contents
 */
static inline struct runs runs_of(const struct blist *bl, int k, uint64_t c)
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

/* Tell the parent of node c of level k what its runs are now. */
static inline void runs_store(struct blist *bl, int k, uint64_t c, struct runs r)
{
	struct masks *m = masks_of(bl, k + 1, c / RADIX);
	unsigned i = c % RADIX;
	uint16_t bit = (uint16_t)(1u << i);

	if (r.longest == 0) {
		m->some &= (uint16_t)~bit;
		m->full &= (uint16_t)~bit;
	} else if (r.longest == level_blocks(k)) {
		m->some |= bit;
		m->full |= bit;
	} else {
		m->some |= bit;
		m->full &= (uint16_t)~bit;
		if (k == 0)
			bl->bottom[c / RADIX].longest[i] = (uint8_t)r.longest;
		else
			inner_of(bl, k + 1, c / RADIX)->child[i] = r;
	}
}

/* Give node c of level k contents, if so far only its parent's masks speak for it. */
static inline void open_child(struct blist *bl, int k, uint64_t c)
{
	const struct masks *m = masks_of(bl, k + 1, c / RADIX);
	bool full = m->full >> (c % RADIX) & 1;

	if (!full && (m->some >> (c % RADIX) & 1))
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

/* The free run that ends where a leaf begins. => the path to the leaf is open */
static inline uint64_t climb_before(const struct blist *bl, uint64_t idx)
{
	uint64_t len = 0;

	for (int k = 0; k < bl->top; k++, idx /= RADIX) {
		unsigned i = idx % RADIX;
		uint64_t run = run_before(bl, k + 1, idx / RADIX, i);

		len += run;
		if (run != (uint64_t)i << level_shift(k))
			break;
	}
	return len;
}

/* The free run that begins where a leaf ends. => the path to the leaf is open */
static inline uint64_t climb_after(const struct blist *bl, uint64_t idx)
{
	uint64_t len = 0;

	for (int k = 0; k < bl->top; k++, idx /= RADIX) {
		unsigned i = idx % RADIX;
		uint64_t run = run_after(bl, k + 1, idx / RADIX, i);

		len += run;
		if (run != (uint64_t)(RADIX - 1 - i) << level_shift(k))
			break;
	}
	return len;
}

/* Longest run of a node that has full children, which may lie in a row. */
static inline uint64_t node_longest_full(const struct blist *bl, int k, uint64_t idx)
{
	const struct masks m = *masks_of(bl, k, idx);
	unsigned shift = level_shift(k - 1);
	uint64_t run = 0, longest = 0;

	for (unsigned i = 0; i < RADIX; i++) {
		if (!(m.some >> i & 1)) {
			run = 0;
		} else if (m.full >> i & 1) {
			run += UINT64_C(1) << shift;
			longest = max_u64(longest, run);
		} else {
			struct runs r = runs_stored(bl, k - 1, idx * RADIX + i);

			longest = max_u64(longest, max_u64(run + r.start, r.longest));
			run = r.end;
		}
	}
	return longest;
}

/* Longest run of a node, from its children. */
static inline uint64_t node_longest(const struct blist *bl, int k, uint64_t idx)
{
	const struct masks m = *masks_of(bl, k, idx);
	uint64_t longest = 0, before = 0;
	unsigned next = 0; /* the child after the last one seen, which ended in before */

	if (m.full)
		return node_longest_full(bl, k, idx);
	for (unsigned some = m.some; some; some &= some - 1) {
		unsigned i = (unsigned)__builtin_ctz(some);
		struct runs r = runs_stored(bl, k - 1, idx * RADIX + i);

		before = i == next ? before : 0;
		longest = max_u64(longest, max_u64(r.longest, before + r.start));
		before = r.end;
		next = i + 1;
	}
	return longest;
}

#endif
