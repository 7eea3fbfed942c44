/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A leaf is a word of 64 blocks, a set bit is a free block.  Above the leaves
 * stand inner nodes of 16 children each; a node of level k covers 64 * 16^k
 * blocks and level 0 is the leaves.  The tree is implicit: each level is one
 * array, node i of level k has the children 16i .. 16i+15 of level k-1, so
 * every address follows from a block number, without a pointer to chase.
 *
 * Of each child a node knows three lengths (struct runs): the free run at its
 * start, the one at its end, and the longest anywhere in it.  With the first
 * two a run that crosses the border of leaves or nodes is seen without looking
 * below, so that a run of any length is found by one walk down.
 *
 * The seeds keep a single number, a hint that may be too high and never too
 * low, and lower it when a search has failed.  That is cheap on average, but
 * one search for a long run in fragmented swap can then visit every leaf:
 * 4 million of them for 1 TiB, tens of milliseconds in which whoever waits for
 * the caller's lock waits too.  Here the hint is kept exact, so that no search
 * fails below the root: each operation is bounded by the height times a small
 * constant, but for blist_fill, which has to count.  What makes that cheap:
 *
 *   A change of a range makes, or breaks, one run: the range and what is free
 *   on both sides of it (struct change).  That run is measured once, at the
 *   leaves, and further up only where it reaches the end of a node.
 *
 *   Freeing can lengthen the longest run of a node only by that run.
 *
 *   Allocating can shorten it only if that run was as long; only then are the
 *   16 children looked at again, and not even then if what is free at the
 *   node's start or end is half of it, as in a device that is nearly empty.
 *
 *   The climb to the root ends at the first node whose runs stay the same.
 *
 *   The 16 children of a node are looked at together (blist_lanes.h), and their
 *   lengths are as narrow as their level allows, so that a node is 1 to 3 lines
 *   of the processor's cache.
 *
 *   A change in a subtree that was uniform, or becomes free as a whole,
 *   writes there what follows from the change and reads nothing
 *   (change_uniform, leaf_range_change).
 *
 * Uniform subtrees, the seeds' ALL-FREE and ALL-ALLOCATED: two masks of a
 * node say which children have a free block (some) and which have nothing
 * else (full).  A child that is uniform by its parent's masks has no contents:
 * neither its node or word nor what is stored of it may be looked at, it may be
 * stale.  Contents are made when a change is to go below (open_path), one store
 * a level.  Fresh memory is zero, which reads "all allocated": so a new blist
 * of any size has touched nothing, and allocating or freeing all of it touches
 * the nodes above its first and last block.
 *
 * Blocks from bl->blocks to the end of the root's range are allocated for good;
 * nothing else knows of the odd end.
 *
 * Invariants (blist_check looks at all of them):
 *	full is a subset of some
 *	child neither full nor empty: 0 < longest < its size, and what is
 *	stored of it is what its contents say
 *	bl->root is what the root's children say; bl->avail is the number of
 *	free blocks; no block from bl->blocks on is free
 *	the root is the lowest node that covers all blocks, of level 1 at least
 */
#include "swap/blist.h"
#include "swap/blist_node.h"

/*
 * Looking at a range
 */

/*
 * Is any of lo .. hi-1 free?
 * => the node has contents and lo .. hi-1 is not empty and inside it
 * => recurses at most k deep
 */
static bool any_free(const struct blist *bl, int k, uint64_t idx, uint64_t lo, uint64_t hi)
{
	for (; k > 0; k--) {
		unsigned shift = level_shift(k - 1);
		uint64_t first = lo >> shift, last = (hi - 1) >> shift;
		struct masks m = *masks_of(bl, k, idx);
		uint32_t mask;

		mask = ALL >> (RADIX - 1 - (last - first)) << first % RADIX;
		if (!(m.some & mask))
			return false;
		if (m.full & mask)
			return true;
		/* a child that is neither, and in the range whole, has a free block */
		if (lo != first << shift)
			mask &= ~(1u << first % RADIX);
		if (hi != (last + 1) << shift)
			mask &= ~(1u << last % RADIX);
		if (m.some & mask)
			return true;
		/* left are the ends, which the range covers in part */
		if (first != last) {
			if (lo != first << shift && (m.some >> first % RADIX & 1) &&
			    any_free(bl, k - 1, first, lo, (first + 1) << shift))
				return true;
			lo = last << shift;
		}
		if (!(m.some >> last % RADIX & 1))
			return false;
		idx = last;
	}
	return bl->leaf[idx] & leaf_mask(lo, hi);
}

/*
 * How many of lo .. hi-1 are free?  Looks at every leaf that is not uniform.
 * => as any_free
 */
static uint64_t count_free(const struct blist *bl, int k, uint64_t idx, uint64_t lo,
			   uint64_t hi)
{
	unsigned shift = k > 0 ? level_shift(k - 1) : 0;
	uint64_t sum = 0;
	struct masks m;

	if (k <= 0) {
		uint64_t mask = leaf_mask(lo, hi);

		return (uint64_t)__builtin_popcountll(bl->leaf[idx] & mask);
	}
	m = *masks_of(bl, k, idx);
	for (uint64_t c = lo >> shift; c <= (hi - 1) >> shift; c++) {
		uint64_t from = max_u64(lo, c << shift);
		uint64_t to = min_u64(hi, (c + 1) << shift);

		if (m.full >> c % RADIX & 1)
			sum += to - from;
		else if (m.some >> c % RADIX & 1)
			sum += count_free(bl, k - 1, c, from, to);
	}
	return sum;
}

/*
 * Changing a range
 */

/* Blocks lo .. hi-1 are freed, or else allocated. */
struct change {
	uint64_t lo, hi;
	uint64_t from, to; /* the run made or broken: these and what is free around */
	bool freed;
};

static const struct runs no_runs = { 0, 0, 0 };

/*
 * Longest run of node idx of level k, if its child new (RADIX: none) has the
 * runs start, end, longest.
 */
static in_registers uint64_t longest_with(const struct blist *bl, int k, uint64_t idx,
					  unsigned new, uint64_t start, uint64_t end,
					  uint64_t longest)
{
	struct runs r = { start, end, longest };
	struct masks m = *masks_of(bl, k, idx);

	if (new < RADIX)
		m = masks_with(m, new, r, level_blocks(k - 1));
	return node_longest(bl, k, idx, m, new, r);
}

/*
 * What the change makes of the runs of node idx of level k, which were r.
 * => all below the node is done and stored, but that its child new (RADIX:
 *    none) has the runs child; the node has a part of lo .. hi-1
 */
static in_registers struct runs runs_change(const struct blist *bl, int k, uint64_t idx,
					    struct runs r, const struct change *ch,
					    unsigned new, struct runs child)
{
	uint64_t base = idx << level_shift(k), end = base + level_blocks(k);
	uint64_t from = max_u64(ch->from, base), to = min_u64(ch->to, end);

	if (ch->freed) {
		if (from == base)
			r.start = to - base;
		if (to == end)
			r.end = end - from;
		r.longest = max_u64(r.longest, to - from);
		return r;
	}
	r.start = min_u64(r.start, max_u64(ch->lo, base) - base);
	r.end = min_u64(r.end, end - min_u64(ch->hi, end));
	/* blist_fill may break several runs: none of them is longer than to - from */
	if (to - from >= r.longest) {
		uint64_t ends = max_u64(r.start, r.end);

		if (ends >= level_blocks(k) / 2)
			r.longest = ends;
		else if (k == 0)
			r.longest = word_longest(bl->leaf[idx]);
		else
			r.longest = longest_with(bl, k, idx, new, child.start, child.end,
						 child.longest);
	}
	return r;
}

/*
 * Make the change in node idx of level k, whose runs are was, and all below.
 * => the node has contents; lo .. hi-1, the part of the change that is in it,
 *    is not empty
 * => recurses at most k deep: towards each end of the range only
 */
static struct runs node_change(struct blist *bl, int k, uint64_t idx, uint64_t lo, uint64_t hi,
			       struct runs was, const struct change *ch);

static inline void child_change(struct blist *bl, int k, uint64_t c, uint64_t lo, uint64_t hi,
				const struct change *ch)
{
	struct runs was = runs_of(bl, k, c);

	open_child(bl, k, c);
	runs_store(bl, k, c, node_change(bl, k, c, lo, hi, was, ch));
}

static inline void leaf_change(struct blist *bl, uint64_t leaf, uint64_t lo, uint64_t hi,
			       bool freed)
{
	uint64_t mask = leaf_mask(lo, hi);

	if (freed)
		bl->leaf[leaf] |= mask;
	else
		bl->leaf[leaf] &= ~mask;
}

static struct runs node_change(struct blist *bl, int k, uint64_t idx, uint64_t lo, uint64_t hi,
			       struct runs was, const struct change *ch)
{
	unsigned shift;
	uint64_t first, last;

	if (k == 0) {
		leaf_change(bl, idx, lo, hi, ch->freed);
		return runs_change(bl, 0, idx, was, ch, RADIX, no_runs);
	}

	shift = level_shift(k - 1);
	first = lo >> shift;
	last = (hi - 1) >> shift;
	if (lo != first << shift || hi < (first + 1) << shift) {
		child_change(bl, k - 1, first, lo, min_u64(hi, (first + 1) << shift), ch);
		first++;
	}
	if (first <= last && hi < (last + 1) << shift) {
		child_change(bl, k - 1, last, last << shift, hi, ch);
		last--;
	}
	/* what lies between is whole and becomes uniform; last may have wrapped below 0
	 */
	if (first < last + 1) {
		unsigned from = first % RADIX, count = (unsigned)(last + 1 - first);
		uint16_t mask = (uint16_t)(ALL >> (RADIX - count) << from);
		struct masks *m = masks_of(bl, k, idx);

		m->some = ch->freed ? m->some | mask : m->some & (uint16_t)~mask;
		m->full = ch->freed ? m->full | mask : m->full & (uint16_t)~mask;
	}
	return runs_change(bl, k, idx, was, ch, RADIX, no_runs);
}

/*
 * Give all nodes over a block contents, down to its leaf.  They say the same
 * as before, so this is harmless if nothing is changed then.
 */
static inline void open_path(struct blist *bl, uint64_t block)
{
	for (int k = bl->top - 1; k >= 0; k--)
		open_child(bl, k, block >> level_shift(k));
}

/* The lowest level on which one node covers both blocks. */
static inline int common_level(uint64_t a, uint64_t b)
{
	if ((a ^ b) < LEAF_BLOCKS)
		return 0;
	return (63 - __builtin_clzll(a ^ b) - LEAF_SHIFT) / RADIX_SHIFT + 1;
}

/* What is known of node idx of level k. => all above it has contents */
static in_registers struct runs runs_known(const struct blist *bl, int k, uint64_t idx)
{
	/* the first half is for the compiler */
	return k >= LEVELS - 1 || k == bl->top ? bl->root : runs_of(bl, k, idx);
}

/*
 * All is done in node idx of level k, whose runs were was and are now: go
 * up, to the first node whose runs stay the same.  A node's parent still says
 * what the node was before; where it was uniform that cannot equal what it is
 * now, so the climb does not stop below contents that were only just made.
 */
static void change_climb(struct blist *bl, int from, uint64_t idx, const struct runs *before,
			 const struct runs *after, const struct change *ch)
{
	struct runs was = *before, now = *after;

#pragma GCC unroll 10
	for (int k = 0; k < LEVELS - 1; k++) {
		struct runs node, next;

		if (k < from)
			continue;
		if (k == bl->top)
			break;
		if (runs_equal(now, was))
			return;
		node = runs_known(bl, k + 1, idx / RADIX);
		next = runs_change(bl, k + 1, idx / RADIX, node, ch, idx % RADIX, now);
		runs_store(bl, k, idx, now);
		was = node;
		now = next;
		idx /= RADIX;
	}
	bl->root = now;
}

/* The highest node over a block that is uniform. => its level, -1 if none is */
static inline int uniform_level(const struct blist *bl, uint64_t block)
{
#pragma GCC unroll 10
	for (int k = LEVELS - 2; k >= 0; k--) {
		uint64_t c = block >> level_shift(k);

		if (k < bl->top && !is_mixed(*masks_of(bl, k + 1, c / RADIX), c % RADIX))
			return k;
	}
	return -1;
}

/* The run that a change makes or breaks in node idx of level k, and beyond. */
static inline void change_around(const struct blist *bl, int k, uint64_t idx, struct change *ch)
{
	if (ch->from == idx << level_shift(k))
		ch->from -= climb_before(bl, k, idx);
	if (ch->to == (idx + 1) << level_shift(k))
		ch->to += climb_after(bl, k, idx);
}

/*
 * A change in one leaf, below a node of level uniform that was all free or all
 * allocated: all that is below it follows from the change alone.
 */
static void change_uniform(struct blist *bl, int uniform, uint64_t lo, uint64_t hi, bool freed)
{
	uint64_t mask = leaf_mask(lo, hi), idx = lo / LEAF_BLOCKS, base, size = LEAF_BLOCKS;
	struct change ch = { .lo = lo, .hi = hi, .from = lo, .to = hi, .freed = freed };
	struct runs was = no_runs, now;
	int k = 0;

	bl->leaf[idx] = freed ? mask : ~mask;
	for (;; k++, idx /= RADIX) {
		struct masks *m;

		size = level_blocks(k);
		base = idx << level_shift(k);
		if (freed) {
			now.start = lo == base ? hi - lo : 0;
			now.end = hi == base + size ? hi - lo : 0;
			now.longest = hi - lo;
		} else {
			now.start = lo - base;
			now.end = base + size - hi;
			now.longest = max_u64(now.start, now.end);
		}
		if (k == uniform)
			break;
		m = masks_of(bl, k + 1, idx / RADIX);
		/* all others as they were, this one as it is */
		m->some = m->full = freed ? 0 : ALL;
		runs_store(bl, k, idx, now);
	}
	if (!freed) {
		ch.from = base;
		ch.to = base + size;
		was = (struct runs){ size, size, size };
	}
	change_around(bl, k, idx, &ch);
	change_climb(bl, k, idx, &was, &now, &ch);
}

/* range_change in one leaf: most are, and the way up and down is all there is to it. */
static bool leaf_range_change(struct blist *bl, uint64_t lo, uint64_t hi, bool freed)
{
	uint64_t idx = lo / LEAF_BLOCKS, base = idx * LEAF_BLOCKS, mask = leaf_mask(lo, hi), w;
	struct change ch = { .lo = lo, .hi = hi, .freed = freed };
	int k = uniform_level(bl, lo);
	struct runs was, now;

	if (k >= 0) {
		uint64_t c = lo >> level_shift(k);
		bool full = masks_of(bl, k + 1, c / RADIX)->full >> c % RADIX & 1;

		if (full != freed)
			change_uniform(bl, k, lo, hi, freed);
		return !(full && freed);
	}
	w = bl->leaf[idx];
	if (freed && (w & mask))
		return false;

	k = 0;
	ch.from = lo - word_before(w, lo % LEAF_BLOCKS);
	ch.to = hi + word_after(w, hi - base);
	if (freed && ~(w | mask) == 0) {
		/* as far up as all is free now, nothing need be known but that */
		for (; k < bl->top - 1; k++, idx /= RADIX) {
			const struct masks *m = masks_of(bl, k + 1, idx / RADIX);

			if ((m->full | 1u << idx % RADIX) != ALL)
				break;
		}
		was = runs_of(bl, k, idx);
		now.start = now.end = now.longest = level_blocks(k);
		ch.from = idx << level_shift(k);
		ch.to = (idx + 1) << level_shift(k);
		change_around(bl, k, idx, &ch);
	} else {
		bl->leaf[idx] = freed ? w | mask : w & ~mask;
		change_around(bl, 0, idx, &ch);
		was = runs_of(bl, 0, idx);
		now = runs_change(bl, 0, idx, was, &ch, RADIX, no_runs);
	}
	change_climb(bl, k, idx, &was, &now, &ch);
	return true;
}

/*
 * Free or allocate blocks lo .. hi-1.  bl->avail is the caller's.
 * => false: they were to be freed and not all are allocated; nothing changed
 */
static bool range_change(struct blist *bl, uint64_t lo, uint64_t hi, bool freed)
{
	struct change ch = { .lo = lo, .hi = hi, .freed = freed };
	uint64_t first = lo / LEAF_BLOCKS, last = (hi - 1) / LEAF_BLOCKS, idx;
	unsigned in_first = lo % LEAF_BLOCKS, in_last = (hi - 1) % LEAF_BLOCKS + 1;
	int k = common_level(lo, hi - 1);
	struct runs was, now;

	if (k == 0)
		return leaf_range_change(bl, lo, hi, freed);
	open_path(bl, lo);
	open_path(bl, hi - 1);
	idx = lo >> level_shift(k);
	if (freed && any_free(bl, k, idx, lo, hi))
		return false;

	ch.from = lo - word_before(bl->leaf[first], in_first);
	if (ch.from % LEAF_BLOCKS == 0)
		ch.from -= climb_before(bl, 0, first);
	ch.to = hi + word_after(bl->leaf[last], in_last);
	if (ch.to % LEAF_BLOCKS == 0)
		ch.to += climb_after(bl, 0, last);

	was = runs_known(bl, k, idx);
	now = node_change(bl, k, idx, lo, hi, was, &ch);
	change_climb(bl, k, idx, &was, &now, &ch);
	return true;
}

/*
 * Searching
 */

#define GUESS_LEVEL 4 /* children of 2^18 blocks */

enum scan {
	SCAN_FOUND,   /* *at is the first block */
	SCAN_DESCEND, /* *at is the child of level k-1 that has it */
	SCAN_NONE     /* none begins here that does not reach the node's end */
};

/* node_scan for runs longer than a child, which lie across several or in one that is whole */
static enum scan node_scan_long(const struct blist *bl, int k, uint64_t idx, unsigned first,
				uint64_t n, uint64_t *run, uint64_t *at)
{
	const struct masks m = *masks_of(bl, k, idx);
	unsigned shift = level_shift(k - 1), next = first, some;
	uint64_t have = *run;

	for (some = m.some & ALL << first; some; some &= some - 1) {
		unsigned i = (unsigned)__builtin_ctz(some);
		uint64_t c = idx * RADIX + i;
		struct runs r;

		if (i != next)
			have = 0;
		next = i + 1;
		if (m.full >> i & 1) {
			have += UINT64_C(1) << shift;
			if (have >= n) {
				*at = ((c + 1) << shift) - have;
				return SCAN_FOUND;
			}
			continue;
		}
		r = runs_stored(bl, k - 1, c);
		if (have + r.start >= n) {
			*at = (c << shift) - have;
			return SCAN_FOUND;
		}
		have = r.end;
	}
	*run = next == RADIX ? have : 0;
	return SCAN_NONE;
}

/*
 * The lowest run of n blocks that begins in child first of node idx of
 * level k or later, or in the *run free blocks before it.
 * => SCAN_NONE: *run is the free run at the node's end
 */
static in_registers enum scan node_scan(const struct blist *bl, int k, uint64_t idx,
					unsigned first, uint64_t n, uint64_t *run, uint64_t *at)
{
	const struct masks m = *masks_of(bl, k, idx);
	unsigned shift = level_shift(k - 1), i, candidates;
	uint64_t have = *run, c;

	if (first == RADIX)
		return SCAN_NONE;
	if (n > UINT64_C(1) << shift)
		return node_scan_long(bl, k, idx, first, n, run, at);

	/*
	 * High up the first child with a free block nearly always has it: a
	 * processor that takes this for granted need not wait for the rest.
	 */
	i = (unsigned)__builtin_ctz(m.some | 1u << RADIX);
	if (k >= GUESS_LEVEL && first == 0 && have == 0 && i < RADIX) {
		c = idx * RADIX + i;
		if (runs_of(bl, k - 1, c).start >= n) {
			*at = c << shift;
			return SCAN_FOUND;
		}
		if (runs_of(bl, k - 1, c).longest >= n) {
			*at = c;
			return SCAN_DESCEND;
		}
	}

	/* a run that begins in one child ends in the next, for a whole one is enough */
	candidates = node_candidates(bl, k, idx, m, first, n);
	if (have > 0 && have + runs_of(bl, k - 1, idx * RADIX + first).start >= n)
		candidates |= 1u << first;
	if (!candidates) {
		*run = is_mixed(m, RADIX - 1)
			       ? runs_stored(bl, k - 1, idx * RADIX + RADIX - 1).end
			       : 0;
		return SCAN_NONE;
	}
	i = (unsigned)__builtin_ctz(candidates);
	c = idx * RADIX + i;
	if (i > first)
		have = is_mixed(m, i - 1) ? runs_stored(bl, k - 1, c - 1).end : 0;
	if (have + runs_of(bl, k - 1, c).start >= n) {
		*at = (c << shift) - have;
		return SCAN_FOUND;
	}
	*at = c;
	return SCAN_DESCEND;
}

/*
 * The lowest run of n in node idx of level k.
 * => there is one that begins and ends in it; the node has contents
 */
static uint64_t find_in(const struct blist *bl, int k, uint64_t idx, uint64_t n)
{
	uint64_t at = idx;

#pragma GCC unroll 10
	for (int j = LEVELS - 1; j > 0; j--) {
		uint64_t run = 0;

		if (j > k)
			continue;

		if (n == 1) { /* the masks are enough */
			struct masks m = *masks_of(bl, j, idx);
			unsigned i = (unsigned)__builtin_ctz(m.some);

			at = idx * RADIX + i;
			if (m.full >> i & 1)
				return at << level_shift(j - 1);
		} else if (node_scan(bl, j, idx, 0, n, &run, &at) == SCAN_FOUND) {
			return at;
		}
		idx = at;
	}
	return idx * LEAF_BLOCKS +
	       (unsigned)__builtin_ctzll(word_places(bl->leaf[idx], (unsigned)n));
}

/* The lowest run of n that begins at from or later. => BLIST_NONE if none does */
static uint64_t find_from(const struct blist *bl, uint64_t n, uint64_t from)
{
	uint64_t run = 0, at;
	int k = 0;

	/*
	 * Down to from, as long as a run may begin in the part of the child
	 * that lies behind from; run becomes the free run at the child's end.
	 */
#pragma GCC unroll 10
	for (int j = LEVELS - 1; j > 0; j--) {
		unsigned shift = level_shift(j - 1);
		uint64_t c = from >> shift, rest = ((c + 1) << shift) - from;
		struct runs r;

		if (j > bl->top)
			continue;
		k = j;
		r = runs_of(bl, j - 1, c);
		run = min_u64(r.end, rest);
		if (run >= n && run == rest)
			return from;
		if (r.longest < n || r.longest == level_blocks(j - 1))
			break;
		if (j == 1) {
			uint64_t w = bl->leaf[c] & UINT64_MAX << from % LEAF_BLOCKS;

			w = word_places(w, (unsigned)n);
			if (w)
				return c * LEAF_BLOCKS + (unsigned)__builtin_ctzll(w);
			break;
		}
	}
	/* and up again, through what follows */
	for (; k <= bl->top; k++) {
		unsigned first = (from >> level_shift(k - 1)) % RADIX + 1;

		switch (node_scan(bl, k, from >> level_shift(k), first, n, &run, &at)) {
		case SCAN_FOUND:
			return at;
		case SCAN_DESCEND:
			return find_in(bl, k - 1, at, n);
		case SCAN_NONE:
			break;
		}
	}
	return BLIST_NONE;
}

uint64_t blist_alloc(struct blist *bl, uint64_t n)
{
	return blist_alloc_near(bl, n, 0);
}

uint64_t blist_alloc_near(struct blist *bl, uint64_t n, uint64_t hint)
{
	uint64_t at = BLIST_NONE;

	if (n == 0 || n > bl->root.longest)
		return BLIST_NONE;
	if (hint > 0 && hint < bl->blocks)
		at = find_from(bl, n, hint);
	if (at == BLIST_NONE)
		at = find_in(bl, bl->top, 0, n);
	(void)range_change(bl, at, at + n, false);
	bl->avail -= n;
	return at;
}

uint64_t blist_alloc_most(struct blist *bl, uint64_t want, uint64_t hint, uint64_t *got)
{
	*got = min_u64(want, bl->root.longest);
	return blist_alloc_near(bl, *got, hint);
}

bool blist_free(struct blist *bl, uint64_t block, uint64_t n)
{
	if (block > bl->blocks || n > bl->blocks - block)
		return false;
	if (n == 0)
		return true;
	if (!range_change(bl, block, block + n, true))
		return false;
	bl->avail += n;
	return true;
}

uint64_t blist_fill(struct blist *bl, uint64_t block, uint64_t n)
{
	uint64_t were;

	if (n == 0 || block >= bl->blocks)
		return 0;
	n = min_u64(n, bl->blocks - block);
	were = count_free(bl, bl->top, 0, block, block + n);
	if (were > 0)
		(void)range_change(bl, block, block + n, false);
	bl->avail -= were;
	return were;
}

bool blist_is_allocated(const struct blist *bl, uint64_t block, uint64_t n)
{
	if (n == 0 || block >= bl->blocks)
		return true;
	n = min_u64(n, bl->blocks - block);
	return !any_free(bl, bl->top, 0, block, block + n);
}

uint64_t blist_blocks(const struct blist *bl)
{
	return bl->blocks;
}

uint64_t blist_avail(const struct blist *bl)
{
	return bl->avail;
}

uint64_t blist_longest(const struct blist *bl)
{
	return bl->root.longest;
}

/*
 * Checking
 */

/*
 * Runs of a node by its bits alone, false if anything below is not what its
 * parent says.
 * => the node has contents; recurses at most k deep
 */
static bool node_check(const struct blist *bl, int k, uint64_t idx, struct runs *out,
		       uint64_t *avail)
{
	uint64_t size = k > 0 ? level_blocks(k - 1) : 0, run = 0;
	struct runs sum = { 0, 0, 0 };
	bool touches_start = true;
	struct masks m;

	if (k <= 0) {
		uint64_t w = bl->leaf[idx];

		sum.start = word_start(w);
		sum.end = word_end(w);
		*avail += (uint64_t)__builtin_popcountll(w);
		/* each step shortens every run by one: not what word_longest does */
		for (; w; w &= w >> 1)
			sum.longest++;
		*out = sum;
		return true;
	}

	m = *masks_of(bl, k, idx);
	if (m.full & ~m.some)
		return false;
	for (unsigned i = 0; i < RADIX; i++) {
		struct runs r = runs_of(bl, k - 1, idx * RADIX + i), found;

		if (m.full >> i & 1) {
			*avail += size;
		} else if (m.some >> i & 1) {
			if (!node_check(bl, k - 1, idx * RADIX + i, &found, avail) ||
			    !runs_equal(r, found) || r.longest == 0 || r.longest >= size)
				return false;
		}
		if (touches_start)
			sum.start += r.start;
		if (r.start != size)
			touches_start = false;
		sum.longest = max_u64(sum.longest, max_u64(r.longest, run + r.start));
		run = r.start == size ? run + size : r.end;
	}
	sum.end = run;
	*out = sum;
	return true;
}

bool blist_check(const struct blist *bl)
{
	uint64_t avail = 0, end = level_blocks(bl->top);
	struct runs found;

	return bl->top == top_for(bl->blocks) && node_check(bl, bl->top, 0, &found, &avail) &&
	       runs_equal(found, bl->root) && avail == bl->avail &&
	       (bl->blocks == end || !any_free(bl, bl->top, 0, bl->blocks, end));
}
