/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which page of a guest is a copy of which block of a disk: a table of records, each
 * page <-> (disk, block), with 128 bits of a hash of what the block holds.  After the
 * mapper of VSwapper (Amit, Tsafrir, Schuster, ASPLOS'14).
 *
 * A record of a page that is in memory is a hint: the oldest are forgotten when there is
 * no room.  One of a page that is evicted says where the page's only copy is, and is never
 * forgotten.
 *
 * Arithmetic and memory alone: it knows nothing of guests, and is one thread's.  Memory is
 * fixed: some 32 bytes a record, with a record for every second page.
 */
#ifndef DRUM_VMM_BLOCKTABLE_H
#define DRUM_VMM_BLOCKTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define BLOCKTABLE_WAYS	 8u  /* places in a bucket */
#define BLOCKTABLE_SHARE 16u /* pages for which there is one bucket */
#define BLOCKTABLE_PAGES 8u  /* that may be noted for one block */
#define BLOCKTABLE_NONE	 UINT32_MAX

#define BLOCKTABLE_BLOCK_BITS 40
#define BLOCKTABLE_DISK_MAX   255u

struct block_hash {
	uint64_t half[2];
};

/* A disk and a block of 4 KiB of it. */
struct block_id {
	unsigned int disk; /* 1 .. BLOCKTABLE_DISK_MAX */
	uint64_t block;
};

struct block_record {
	uint64_t page;
	struct block_id at;
	bool evicted;
	bool hashed; /* hash is known */
	struct block_hash hash;
};

struct blocktable_entry;

struct blocktable {
	struct blocktable_entry *entry; /* [buckets * WAYS]; NULL: there is no table */
	uint32_t *head;			/* [heads] chains of records, by block */
	uint32_t *area;			/* [areas] how many records are in 512 blocks, and
					   others that share the counter */
	void *map;
	size_t size, populated; /* bytes */
	uint32_t buckets, heads, areas;
	uint64_t seed;
	uint64_t n, evicted; /* [a] records */
	struct blocktable_count {
		uint64_t n, evicted;   /* [a] */
	} of[BLOCKTABLE_DISK_MAX + 1]; /* by disk */
};

/*
 * A table for a guest of so many pages, which cannot be used before it is populated.
 * seed: nobody else's to know.
 * => 0, -ENOMEM, -EINVAL: too many pages
 */
int must_check blocktable_init(struct blocktable *t, uint64_t npages, uint64_t seed);
void blocktable_fini(struct blocktable *t);

/* Have some more of its memory, at most `bytes`. => 1: all is there; 0: not yet; -ENOMEM */
int must_check blocktable_populate(struct blocktable *t, size_t bytes);

/* The record of a page, or BLOCKTABLE_NONE.  A number holds until that record is dropped. */
uint32_t blocktable_find(const struct blocktable *t, uint64_t page);
struct block_record blocktable_get(const struct blocktable *t, uint32_t i);

/*
 * Note a page, in place of what was known of it; it is the newest now.
 * => false: nothing has changed: it was evicted, or there is room for evicted pages only:
 *    neither its bucket nor its block has a record that may be forgotten
 */
bool blocktable_put(struct blocktable *t, const struct block_record *r);
void blocktable_drop(struct blocktable *t, uint32_t i);
void blocktable_set_evicted(struct blocktable *t, uint32_t i, bool evicted);
void blocktable_set_hash(struct blocktable *t, uint32_t i, const struct block_hash *hash);

/* The records of one block: the first, and the one after i; or BLOCKTABLE_NONE. */
uint32_t blocktable_at(const struct blocktable *t, struct block_id at);
uint32_t blocktable_next(const struct blocktable *t, uint32_t i);

/*
 * The first block from `from` on, below `end`, that has a record, or `end`.  Costs by how
 * many blocks are looked at, or, where there is nothing, 512 of them; at most *looks of
 * both, which are taken off.
 * => with *looks 0 where to go on, though there may be no record
 */
uint64_t blocktable_seek(const struct blocktable *t, struct block_id from, uint64_t end,
			 uint32_t *looks);

/* Records are numbers below this one; of those that are none blocktable_used says so. */
static inline uint32_t blocktable_size(const struct blocktable *t)
{
	return t->buckets * BLOCKTABLE_WAYS;
}
bool blocktable_used(const struct blocktable *t, uint32_t i);

#endif
