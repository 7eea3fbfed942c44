/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A record stands in one of the 8 places of its page's bucket, and stays there as long as it
 * lives; 16 pages share a bucket, which are far from each other (page modulo buckets), so
 * that neighbours do not push out each other.  So the page is found without a chain, and
 * what is stored of it is which of the 16 it is.  Within the bucket a record has a rank by
 * age, 0 for the newest; a full bucket forgets the oldest that is not evicted.
 *
 * Records of blocks that share a head are in a chain.  No block has more than 8, and which
 * blocks share a head depends on a seed that guests do not know: so chains are short,
 * whatever a guest does, and a record is taken out of its chain by walking it.
 *
 *	used records of a bucket have the ranks 0 .. used - 1
 *	a record is in the chain of its block, and nowhere else
 *	sum of area == n
 *
 * A discard may cover a large part of a disk of which few blocks have records: `area`
 * counts those of 512 blocks that follow each other, to pass over what has none.
 */

#include "vmm/blocktable.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

/* Newer than the C library's headers of the oldest system that builds this. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define AREA_SHIFT 9 /* blocks */
#define AREAS_MIN  4096u

/* 28 bytes; 0 in `used` is a free place, as is fresh memory. */
struct blocktable_entry {
	uint64_t hash[2];
	uint64_t block : BLOCKTABLE_BLOCK_BITS,
			 disk : 8,
			 which : 4,
			 rank : 3,
			 used : 1,
			 evicted : 1,
			 hashed : 1;
	uint32_t next; /* number + 1, or 0 */
} __attribute__((packed, aligned(4)));

static_assert(sizeof(struct blocktable_entry) == 28, "32 bytes with its head");
static_assert(BLOCKTABLE_SHARE <= 16 && BLOCKTABLE_WAYS <= 8, "they fit their fields");

static uint32_t power_below(uint64_t n)
{
	uint32_t p = 1;

	while (p < UINT32_MAX / 2 && (uint64_t)p * 2 <= n)
		p *= 2;
	return p;
}

int blocktable_init(struct blocktable *t, uint64_t npages, uint64_t seed)
{
	uint64_t buckets = (npages + BLOCKTABLE_SHARE - 1) / BLOCKTABLE_SHARE;
	size_t entries;

	*t = (struct blocktable){ .seed = seed };
	if (npages == 0 || buckets > UINT32_MAX / BLOCKTABLE_WAYS / 2)
		return -EINVAL;
	t->buckets = (uint32_t)buckets;
	t->heads = power_below(buckets * BLOCKTABLE_WAYS);
	t->areas = t->heads > 32 * AREAS_MIN ? t->heads / 32 : AREAS_MIN;
	entries = (size_t)buckets * BLOCKTABLE_WAYS * sizeof(*t->entry);
	t->size = entries + (t->heads + t->areas) * sizeof(uint32_t);
	t->map = mmap(NULL, t->size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (t->map == MAP_FAILED) {
		*t = (struct blocktable){ 0 };
		return -ENOMEM;
	}
	t->entry = t->map;
	t->head = (uint32_t *)((char *)t->map + entries);
	t->area = t->head + t->heads;
	return 0;
}

void blocktable_fini(struct blocktable *t)
{
	if (t->map)
		munmap(t->map, t->size);
	*t = (struct blocktable){ 0 };
}

int blocktable_populate(struct blocktable *t, size_t bytes)
{
	size_t now = t->size - t->populated < bytes ? t->size - t->populated : bytes;

	if (now > 0 && madvise((char *)t->map + t->populated, now, MADV_POPULATE_WRITE) < 0)
		return -ENOMEM;
	t->populated += now;
	return t->populated == t->size;
}

static void add(uint64_t *count, uint64_t n)
{
	__atomic_store_n(count, *count + n, __ATOMIC_RELAXED);
}

/* An entry has come, or is about to go. */
static void count_entry(struct blocktable *t, const struct blocktable_entry *en, bool comes)
{
	uint64_t n = comes ? 1 : UINT64_MAX;

	add(&t->n, n);
	add(&t->of[en->disk].n, n);
	if (!en->evicted)
		return;
	add(&t->evicted, n);
	add(&t->of[en->disk].evicted, n);
}

static uint64_t mix(const struct blocktable *t, uint64_t x)
{
	x = (x ^ t->seed) * UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 32 ^ t->seed) * UINT64_C(0xbf58476d1ce4e5b9);
	return x ^ x >> 29;
}

static uint32_t *head_of(const struct blocktable *t, unsigned int disk, uint64_t block)
{
	uint64_t h = mix(t, (uint64_t)disk << BLOCKTABLE_BLOCK_BITS | block);

	return &t->head[h & (t->heads - 1)];
}

static uint32_t *area_of(const struct blocktable *t, unsigned int disk, uint64_t block)
{
	uint64_t h = mix(t, (uint64_t)disk << BLOCKTABLE_BLOCK_BITS | block >> AREA_SHIFT);

	return &t->area[h & (t->areas - 1)];
}

bool blocktable_used(const struct blocktable *t, uint32_t i)
{
	return t->entry[i].used;
}

uint32_t blocktable_find(const struct blocktable *t, uint64_t page)
{
	uint32_t first = (uint32_t)(page % t->buckets) * BLOCKTABLE_WAYS;

	for (uint32_t i = first; i < first + BLOCKTABLE_WAYS; i++)
		if (t->entry[i].used && t->entry[i].which == page / t->buckets)
			return i;
	return BLOCKTABLE_NONE;
}

struct block_record blocktable_get(const struct blocktable *t, uint32_t i)
{
	const struct blocktable_entry *en = &t->entry[i];

	return (struct block_record){
		.page = (uint64_t)en->which * t->buckets + i / BLOCKTABLE_WAYS,
		.at = { en->disk, en->block },
		.evicted = en->evicted,
		.hashed = en->hashed,
		.hash = { { en->hash[0], en->hash[1] } },
	};
}

static bool is_at(const struct blocktable_entry *en, struct block_id at)
{
	return en->disk == at.disk && en->block == at.block;
}

/* From number + 1 on. */
static uint32_t walk(const struct blocktable *t, uint32_t next, struct block_id at)
{
	while (next && !is_at(&t->entry[next - 1], at))
		next = t->entry[next - 1].next;
	return next ? next - 1 : BLOCKTABLE_NONE;
}

uint32_t blocktable_at(const struct blocktable *t, struct block_id at)
{
	return walk(t, *head_of(t, at.disk, at.block), at);
}

uint32_t blocktable_next(const struct blocktable *t, uint32_t i)
{
	const struct blocktable_entry *en = &t->entry[i];

	return walk(t, en->next, (struct block_id){ en->disk, en->block });
}

uint64_t blocktable_seek(const struct blocktable *t, struct block_id from, uint64_t end,
			 uint32_t *looks)
{
	struct block_id at = from;

	for (; at.block<end && * looks> 0; (*looks)--) {
		if (t->n == 0)
			return end;
		if (*area_of(t, at.disk, at.block) == 0)
			at.block = ((at.block >> AREA_SHIFT) + 1) << AREA_SHIFT;
		else if (blocktable_at(t, at) != BLOCKTABLE_NONE)
			return at.block;
		else
			at.block++;
	}
	return at.block < end ? at.block : end;
}

static void unlink_entry(struct blocktable *t, uint32_t i)
{
	struct blocktable_entry *en = &t->entry[i];
	uint32_t *head = head_of(t, en->disk, en->block), at = *head;

	if (at == i + 1) {
		*head = en->next;
		return;
	}
	while (t->entry[at - 1].next != i + 1)
		at = t->entry[at - 1].next;
	t->entry[at - 1].next = en->next;
}

void blocktable_drop(struct blocktable *t, uint32_t i)
{
	struct blocktable_entry *en = &t->entry[i];
	uint32_t first = i - i % BLOCKTABLE_WAYS;

	assert(en->used);
	unlink_entry(t, i);
	(*area_of(t, en->disk, en->block))--;
	count_entry(t, en, false);
	for (uint32_t k = first; k < first + BLOCKTABLE_WAYS; k++)
		if (t->entry[k].used && t->entry[k].rank > en->rank)
			t->entry[k].rank--;
	*en = (struct blocktable_entry){ 0 };
}

/* A free place in the bucket, if need be that of the oldest that may be forgotten. */
static uint32_t place_in(struct blocktable *t, uint32_t first)
{
	uint32_t oldest = BLOCKTABLE_NONE;

	for (uint32_t i = first; i < first + BLOCKTABLE_WAYS; i++) {
		const struct blocktable_entry *en = &t->entry[i];

		if (!en->used)
			return i;
		if (!en->evicted &&
		    (oldest == BLOCKTABLE_NONE || en->rank > t->entry[oldest].rank))
			oldest = i;
	}
	return oldest;
}

/* => false: the block has as many as it may, and all of them are evicted; else *drop is
 * one that is to be forgotten first, or none */
static bool may_join(const struct blocktable *t, struct block_id at, uint32_t *drop)
{
	uint32_t n = 0;

	*drop = BLOCKTABLE_NONE;
	/* what comes last in the chain has been there longest */
	for (uint32_t i = blocktable_at(t, at); i != BLOCKTABLE_NONE;
	     i = blocktable_next(t, i), n++)
		if (!t->entry[i].evicted)
			*drop = i;
	if (n < BLOCKTABLE_PAGES) {
		*drop = BLOCKTABLE_NONE;
		return true;
	}
	return *drop != BLOCKTABLE_NONE;
}

bool blocktable_put(struct blocktable *t, const struct block_record *r)
{
	uint32_t first = (uint32_t)(r->page % t->buckets) * BLOCKTABLE_WAYS;
	uint32_t i = blocktable_find(t, r->page), drop;
	struct blocktable_entry *en;
	uint32_t *head;

	assert(r->page / t->buckets < BLOCKTABLE_SHARE && r->at.disk >= 1 &&
	       r->at.disk <= BLOCKTABLE_DISK_MAX);
	if (i != BLOCKTABLE_NONE && t->entry[i].evicted)
		return false;
	if (i == BLOCKTABLE_NONE)
		i = place_in(t, first);
	if (i == BLOCKTABLE_NONE)
		return false;
	/* the page's own old record may be the one that makes room */
	if (!(t->entry[i].used && is_at(&t->entry[i], r->at)) && !may_join(t, r->at, &drop))
		return false;
	if (t->entry[i].used)
		blocktable_drop(t, i);
	if (may_join(t, r->at, &drop) && drop != BLOCKTABLE_NONE)
		blocktable_drop(t, drop);
	for (uint32_t k = first; k < first + BLOCKTABLE_WAYS; k++)
		if (t->entry[k].used)
			t->entry[k].rank++;
	en = &t->entry[i];
	head = head_of(t, r->at.disk, r->at.block);
	*en = (struct blocktable_entry){
		.hash = { r->hash.half[0], r->hash.half[1] },
		.block = r->at.block,
		.disk = r->at.disk,
		.which = r->page / t->buckets,
		.used = 1,
		.evicted = r->evicted,
		.hashed = r->hashed,
		.next = *head,
	};
	*head = i + 1;
	(*area_of(t, r->at.disk, r->at.block))++;
	count_entry(t, en, true);
	return true;
}

void blocktable_set_evicted(struct blocktable *t, uint32_t i, bool evicted)
{
	struct blocktable_entry *en = &t->entry[i];

	count_entry(t, en, false);
	en->evicted = evicted;
	count_entry(t, en, true);
}

void blocktable_set_hash(struct blocktable *t, uint32_t i, const struct block_hash *hash)
{
	t->entry[i].hash[0] = hash->half[0];
	t->entry[i].hash[1] = hash->half[1];
	t->entry[i].hashed = 1;
}
