/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A table of 4,096 buckets with 8 places.  A block's hash is its bucket and 14 bits, which
 * stand in the place with its state:
 *
 *	ONCE	a small request has read it
 *	META	and another one: it is metadata
 *	USED	likewise, and it was read since its bucket was aged last
 *
 * The places of a bucket are in order: metadata first, METABLOCKS_META at most, the most
 * recently read in front; then what was read once, the newest in front.  What is new pushes
 * out the oldest that was read once, so no scan of whatever length, each block of which is
 * read once, displaces metadata; a block that becomes metadata where there is enough of it
 * already makes ONCE of the one that was read longest ago.
 *
 * Each METABLOCKS_AGE small blocks one bucket is aged, all in turn: USED becomes META, META
 * becomes ONCE.  So what is not read in two such rounds, half a million blocks, is not
 * metadata any more.
 *
 * Of blocks that were never noted so many look like metadata as find their 14 bits among the
 * metadata of their bucket: 6 in 16,384 at most.  That is harmless: they are cached, perhaps,
 * although they are data.
 */

#include "vmm/metablocks.h"

#include <string.h>

enum state { NONE, ONCE, META, USED }; /* in the low two bits of an entry; 0: none */

#define STATE 3u

_Static_assert(sizeof(((struct metablocks *)0)->entry) == 64u << 10, "a sketch of 64 KiB");

static enum state state_of(uint16_t entry)
{
	return (enum state)(entry & STATE);
}

/* The finalizer of MurmurHash3: each bit of the block counts in each of the result. */
static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= UINT64_C(0xff51afd7ed558ccd);
	x ^= x >> 33;
	x *= UINT64_C(0xc4ceb9fe1a85ec53);
	return x ^ x >> 33;
}

struct place {
	uint32_t bucket;
	uint16_t bits; /* of the entry, without a state */
};

static struct place place_of(uint64_t block)
{
	uint64_t h = mix(block + 1);

	return (struct place){ (uint32_t)(h % METABLOCKS_BUCKETS),
			       (uint16_t)(h >> 48 & ~(uint64_t)STATE) };
}

/* => METABLOCKS_WAYS: it is not there */
static unsigned int find(const uint16_t *entry, uint16_t bits)
{
	unsigned int i = 0;

	while (i < METABLOCKS_WAYS && (entry[i] == NONE || (entry[i] & ~STATE) != bits))
		i++;
	return i;
}

/* How many of a bucket are metadata: they stand first. */
static unsigned int metas(const uint16_t *entry)
{
	unsigned int n = 0;

	while (n < METABLOCKS_WAYS && state_of(entry[n]) >= META)
		n++;
	return n;
}

/* Take out what stands at `from`, and put entry in at `to`, which is not behind it. */
static void move(uint16_t *e, unsigned int from, unsigned int to, uint16_t entry)
{
	memmove(&e[to + 1], &e[to], (from - to) * sizeof(*e));
	e[to] = entry;
}

static void forget(uint16_t *e, unsigned int i)
{
	memmove(&e[i], &e[i + 1], (METABLOCKS_WAYS - 1 - i) * sizeof(*e));
	e[METABLOCKS_WAYS - 1] = NONE;
}

static void note_small(struct metablocks *m, uint64_t block)
{
	struct place p = place_of(block);
	uint16_t *e = m->entry[p.bucket];
	unsigned int i = find(e, p.bits);

	if (i == METABLOCKS_WAYS) {
		move(e, METABLOCKS_WAYS - 1, metas(e), p.bits | ONCE);
		return;
	}
	move(e, i, 0, p.bits | USED);
	if (metas(e) > METABLOCKS_META)
		e[METABLOCKS_META] = (e[METABLOCKS_META] & (uint16_t)~STATE) | ONCE;
}

/* The order stays: what is USED was read since, so it stands before all that is META. */
static void age(uint16_t *e)
{
	for (unsigned int i = 0; i < METABLOCKS_WAYS; i++)
		if (state_of(e[i]) >= META)
			e[i]--;
}

static void age_some(struct metablocks *m)
{
	if (++m->noted < METABLOCKS_AGE)
		return;
	m->noted = 0;
	age(m->entry[m->hand]);
	m->hand = (m->hand + 1) % METABLOCKS_BUCKETS;
}

static void note_large(struct metablocks *m, uint64_t block)
{
	struct place p = place_of(block);
	uint16_t *e = m->entry[p.bucket];
	unsigned int i = find(e, p.bits);

	if (i < METABLOCKS_WAYS)
		forget(e, i);
}

void metablocks_note(struct metablocks *m, uint64_t block, uint64_t n, uint64_t bytes)
{
	for (uint64_t k = 0; k < n; k++) {
		if (bytes > METABLOCKS_SMALL) {
			note_large(m, block + k);
			continue;
		}
		note_small(m, block + k);
		age_some(m);
	}
}

bool metablocks_has(const struct metablocks *m, uint64_t block)
{
	struct place p = place_of(block);
	const uint16_t *e = m->entry[p.bucket];
	unsigned int i = find(e, p.bits);

	return i < METABLOCKS_WAYS && state_of(e[i]) >= META;
}
