/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A node of a blist whose lengths are of one width, and the two searches
 * through its children: blist_node.h includes this once for each width, with
 * LANE (a signed type) and LANE_BITS defined.  All 16 children are looked at
 * together, 16 bytes at a time: a loop over them would leave at a child that
 * no branch predictor can know, on each level.
 *
 * Lengths of children that are uniform by the masks are stale and masked out.
 * Of those that are not, each length is less than the child's size, at most
 * half of what LANE can hold: a sum of two fits.
 */
/* no guard: it is included several times */
#define LANE_PASTE_(a, b)  a##b
#define LANE_PASTE(a, b)   LANE_PASTE_(a, b)
#define LANE_NAME(name)	   LANE_PASTE(name, LANE_BITS)
#define LANE_VECTOR	   LANE_NAME(vector)
#define LANE_NODE	   struct LANE_NAME(node)
#define LANE_COUNT	   (16 / (int)sizeof(LANE)) /* lanes of a vector */
#define LANE_VECTORS	   (RADIX / LANE_COUNT)	    /* vectors of a node */
#define LANE_LOAD(from, j) LANE_NAME(lane_load)((from) + (j)*LANE_COUNT)

typedef LANE LANE_VECTOR __attribute__((vector_size(16)));

LANE_NODE
{
	/* free runs of each child, as in struct runs */
	_Alignas(64 * sizeof(LANE)) LANE start[RADIX];
	LANE end[RADIX];
	LANE longest[RADIX];
	struct masks m;
};

static_assert(sizeof(LANE_NODE) == 64 * sizeof(LANE), "node_shift() knows");
static_assert(offsetof(LANE_NODE, m) == 48 * sizeof(LANE), "masks_of() knows");

static inline LANE_VECTOR LANE_NAME(lane_load)(const LANE *from)
{
	LANE_VECTOR v;

	memcpy(&v, from, sizeof(v));
	return v;
}

static inline LANE_VECTOR LANE_NAME(lane_max)(LANE_VECTOR a, LANE_VECTOR b)
{
	LANE_VECTOR greater = (LANE_VECTOR)(a > b);

	return (a & greater) | (b & ~greater);
}

/* The greatest lane. => none is negative */
static inline uint64_t LANE_NAME(lane_greatest)(LANE_VECTOR v)
{
	typedef uint64_t halves __attribute__((vector_size(16)));
	halves h = (halves)v;

	v = LANE_NAME(lane_max)(v, (LANE_VECTOR)(halves){ h[1], h[0] });
	for (unsigned shift = 32; shift >= LANE_BITS; shift /= 2)
		v = LANE_NAME(lane_max)(v, (LANE_VECTOR)((halves)v >> shift));
	return (uint64_t)v[0];
}

/* Vector j of a node: all ones in the lanes whose bit is set. */
static inline LANE_VECTOR LANE_NAME(lane_select)(unsigned bits, int j)
{
	static const LANE bit[16] = { 1, 2, 4, 8, 16, 32, 64, (LANE)128,
				      1, 2, 4, 8, 16, 32, 64, (LANE)128 };
	typedef uint64_t halves __attribute__((vector_size(16)));
	const LANE_VECTOR mask = LANE_NAME(lane_load)(bit), none = { 0 };
	const uint64_t each = UINT64_C(0x0101010101010101);
	LANE_VECTOR v;

	if (LANE_BITS == 8)
		v = (LANE_VECTOR)(halves){ (bits & 0xff) * each, (bits >> 8) * each };
	else
		v = none + (LANE)(bits >> j * LANE_COUNT & 0xff);
	return (LANE_VECTOR)((v & mask) == mask);
}

/* A bit for each lane of a node that is all ones. */
static inline unsigned LANE_NAME(lane_bits)(const LANE_VECTOR v[LANE_VECTORS])
{
	unsigned bits = 0;

#ifdef __SSE2__
	__m128i byte[2];

	if (LANE_BITS == 64) {
		for (int j = 0; j < LANE_VECTORS; j++)
			bits |= (unsigned)_mm_movemask_pd((__m128d)v[j]) << j * 2;
		return bits;
	}
	if (LANE_BITS == 8)
		return (unsigned)_mm_movemask_epi8((__m128i)v[0]);
	for (int j = 0; j < 2; j++) {
		if (LANE_BITS == 32)
			byte[j] = _mm_packs_epi32((__m128i)v[j * 2 % LANE_VECTORS],
						  (__m128i)v[(j * 2 + 1) % LANE_VECTORS]);
		else
			byte[j] = (__m128i)v[j % LANE_VECTORS];
	}
	bits = (unsigned)_mm_movemask_epi8(_mm_packs_epi16(byte[0], byte[1]));
#else
	for (int i = 0; i < RADIX; i++)
		bits |= (unsigned)(v[i / LANE_COUNT][i % LANE_COUNT] & 1) << i;
#endif
	return bits;
}

/*
 * The longest run of a node with masks m, if its child new (RADIX: none) had
 * the runs r: it is not stored yet, since to load a vector right behind the
 * store of one of its lanes takes longer than all the rest.
 */
static in_registers uint64_t LANE_NAME(node_longest)(const LANE_NODE *node, struct masks m,
						     unsigned shift, unsigned new,
						     struct runs r)
{
	unsigned mixed = m.some & ~(unsigned)m.full;
	unsigned stored = new < RADIX ? mixed & ~(1u << new) : mixed;
	/* as an array with a lane behind the 16th, which is not used */
	const LANE *start = (const LANE *)(const void *)node;
	LANE_VECTOR most = { 0 };
	uint64_t longest;

#pragma GCC unroll 8
	for (int j = 0; j < LANE_VECTORS; j++) {
		LANE_VECTOR l = LANE_LOAD(node->longest, j);
		LANE_VECTOR e = LANE_LOAD(node->end, j) + LANE_LOAD(start + 1, j);

		l &= LANE_NAME(lane_select)(stored, j);
		e &= LANE_NAME(lane_select)(stored & stored >> 1, j);
		most = LANE_NAME(lane_max)(most, LANE_NAME(lane_max)(l, e));
	}
	longest = LANE_NAME(lane_greatest)(most);
	if (mixed != stored) {
		uint64_t before =
			new > 0 && stored >> (new - 1) & 1 ? (uint64_t)node->end[new - 1] : 0;
		uint64_t after = stored >> (new + 1) & 1 ? (uint64_t)node->start[new + 1] : 0;

		longest = max_u64(max_u64(longest, r.longest),
				  max_u64(before + r.start, r.end + after));
	}

	/* children that are full join what is on both sides of them */
	for (unsigned full = m.full; full;) {
		unsigned first = (unsigned)__builtin_ctz(full);
		unsigned behind = first + (unsigned)__builtin_ctz(~(full >> first));
		uint64_t run = (uint64_t)(behind - first) << shift;

		if (first > 0 && (mixed >> (first - 1) & 1))
			run += first - 1 == new ? r.end : (uint64_t)node->end[first - 1];
		if (mixed >> behind & 1)
			run += behind == new ? r.start : (uint64_t)node->start[behind];
		longest = max_u64(longest, run);
		full &= ~0u << behind;
	}
	return longest;
}

/*
 * In which children, from first on, does a run of n begin, or reach to which
 * from the one before?
 * => n is at most the size of a child, the children from first on have a
 *    bit each in the result; what comes before first counts as allocated
 */
static inline unsigned LANE_NAME(node_candidates)(const LANE_NODE *node, struct masks m,
						  unsigned first, uint64_t n)
{
	unsigned mixed = m.some & ~(unsigned)m.full & ALL << first;
	const LANE *start = (const LANE *)(const void *)node;
	LANE_VECTOR alone[LANE_VECTORS], joined[LANE_VECTORS];
	LANE less = (LANE)(n - 1);

#pragma GCC unroll 8
	for (int j = 0; j < LANE_VECTORS; j++) {
		LANE_VECTOR e = LANE_LOAD(node->end, j), s = LANE_LOAD(start + 1, j);

		alone[j] = (LANE_VECTOR)(LANE_LOAD(node->longest, j) > less);
		joined[j] = (LANE_VECTOR)(e + s > less);
	}
	return (m.full & ALL << first) | (LANE_NAME(lane_bits)(alone) & mixed) |
	       (LANE_NAME(lane_bits)(joined) << 1 & mixed & mixed << 1);
}

#undef LANE_PASTE_
#undef LANE_PASTE
#undef LANE_NAME
#undef LANE_VECTOR
#undef LANE_NODE
#undef LANE_COUNT
#undef LANE_VECTORS
#undef LANE_LOAD
#undef LANE
#undef LANE_BITS
