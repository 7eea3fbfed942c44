/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a page of the benchmark holds, and which page is touched next by a zipf
 * distribution.
 *
 * Each page is 512 words that follow from its index and its generation, so that every
 * page can be checked as a whole: a lost, torn, stale, swapped-over or zero page is seen.
 * No page is all-zero.
 *
 *	random	no compressor finds anything in it
 *	half	the same, but the second half of the page is zero: as a page that was
 *		allocated and filled in part.  LZ4 makes some 2.1 KiB of it
 *	text	words of 8 letters out of a dictionary of 64: LZ4 makes some 1.7 KiB of it
 */
#ifndef BENCH_PATTERN_H
#define BENCH_PATTERN_H

#include <math.h>
#include <stdbool.h>

#include "hist.h"

#define PAGE	 4096u
#define WORDS	 (PAGE / sizeof(uint64_t))
#define TEXT_MUL UINT64_C(6364136223846793005)

enum content { CONTENT_RANDOM, CONTENT_HALF, CONTENT_TEXT };
static const char *const content_name[] = { "random", "half", "text" };
_Static_assert(sizeof(content_name) / sizeof(*content_name) == CONTENT_TEXT + 1,
	       "a name for each kind of content");

static uint64_t dictionary[64];

static inline void make_dictionary(void)
{
	for (uint64_t i = 0; i < 64; i++) {
		uint64_t letters = mix(i);
		char word[8];

		for (int c = 0; c < 7; c++, letters /= 26)
			word[c] = (char)('a' + letters % 26);
		word[7] = ' ';
		memcpy(&dictionary[i], word, sizeof(word));
	}
}

static inline uint64_t page_seed(uint64_t index, uint32_t generation)
{
	/* Odd, so that no word of the page needs a special case to differ from zero. */
	return mix(index << 32 | generation) | 1;
}

/* Write what the page must be. */
static inline void pattern_fill(enum content content, uint64_t *w, uint64_t seed)
{
	size_t filled = content == CONTENT_HALF ? WORDS / 2 : WORDS;

	if (content == CONTENT_TEXT) {
		for (size_t i = 0; i < WORDS; i++, seed = seed * TEXT_MUL + WORD_STEP)
			w[i] = dictionary[seed >> 58];
		return;
	}
	for (size_t i = 0; i < filled; i++, seed += WORD_STEP)
		w[i] = seed;
	for (size_t i = filled; i < WORDS; i++)
		w[i] = 0;
}

/* Is the page what it must be, if word `at` were `seen`?  (WORDS: none is replaced) */
static inline bool pattern_is_good(enum content content, const uint64_t *w, uint64_t seed,
				   size_t at, uint64_t seen)
{
	size_t filled = content == CONTENT_HALF ? WORDS / 2 : WORDS;
	uint64_t wrong = 0;

	if (content == CONTENT_TEXT) {
		for (size_t i = 0; i < WORDS; i++, seed = seed * TEXT_MUL + WORD_STEP)
			wrong |= (i == at ? seen : w[i]) ^ dictionary[seed >> 58];
		return wrong == 0;
	}
	for (size_t i = 0; i < filled; i++, seed += WORD_STEP)
		wrong |= (i == at ? seen : w[i]) ^ seed;
	for (size_t i = filled; i < WORDS; i++)
		wrong |= i == at ? seen : w[i];
	return wrong == 0;
}

/*
 * Zipf over n pages by the method of Gray et al. (SIGMOD'94), which YCSB uses too: rank 0
 * is the most popular.  Ranks are scattered over the pages by a permutation, so that
 * popular pages have no popular neighbours.
 */
struct zipf {
	uint64_t n, mask;
	double theta, alpha, zeta, eta, second;
};

static inline void zipf_init(struct zipf *z, uint64_t n, double theta)
{
	double zeta = 0;

	for (uint64_t i = 1; i <= n; i++)
		zeta += pow((double)i, -theta);
	z->n = n;
	z->mask = 1;
	while (z->mask < n - 1)
		z->mask = z->mask << 1 | 1;
	z->theta = theta;
	z->alpha = 1 / (1 - theta);
	z->zeta = zeta;
	z->second = 1 + pow(0.5, theta);
	z->eta = (1 - pow(2.0 / (double)n, 1 - theta)) / (1 - z->second / zeta);
}

static inline uint64_t zipf_rank(const struct zipf *z, uint64_t *rng)
{
	double u, rank;

	*rng += WORD_STEP;
	u = (double)(mix(*rng) >> 11) / 9007199254740992.0;
	if (u * z->zeta < 1)
		return 0;
	if (u * z->zeta < z->second)
		return 1;
	rank = (double)z->n * pow(z->eta * u - z->eta + 1, z->alpha);
	return rank < (double)z->n ? (uint64_t)rank : z->n - 1;
}

/* One-to-one on [0, n): each step is so on [0, mask], and what falls outside goes round. */
static inline uint64_t zipf_scatter(const struct zipf *z, uint64_t rank)
{
	unsigned half = (64u - (unsigned)__builtin_clzll(z->mask)) / 2 + 1;

	do {
		for (uint64_t round = 1; round <= 3; round++) {
			rank = (rank * (WORD_STEP + 2 * round) + round) & z->mask;
			rank ^= rank >> half;
		}
	} while (rank >= z->n);
	return rank;
}

#endif
