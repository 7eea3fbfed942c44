/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the ram: device keeps compressed pages: a file on tmpfs that outlives
 * the process, of which a bounded part ever has memory.
 *
 * It keeps, for each block, up to RAMSTORE_LEN_MAX bytes; a checksum tells
 * that they are the ones which were put there for this block.
 *
 * Any thread; each block belongs to one at a time.
 */
#ifndef DRUM_SWAP_RAMSTORE_H
#define DRUM_SWAP_RAMSTORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "swap/ramslab.h"

#define RAMSTORE_LEN_MAX (RAMSLAB_SLOT_MAX - 8u)

/* Less is not worth the trouble; more does not fit into the file's words. */
#define RAMSTORE_BYTES_MIN (UINT64_C(4) << 20)
#define RAMSTORE_BYTES_MAX (UINT64_C(1) << 40)

/* Blocks of a store for each 4 KiB of its memory. */
#define RAMSTORE_RATIO 4u

struct ramstore;

/* What the store has to say, kept up to date by it. Both [a]. */
struct ramstore_env {
	bool *full;   /* nearly: store elsewhere if you can */
	bool *moving; /* more than 90 % in use, and not yet 80 % again */
};

struct ramstore_stats {
	uint64_t limit;	   /* bytes of memory that it may use */
	uint64_t memory;   /* bytes that it uses, tables included */
	uint64_t packed;   /* bytes that it would use if its slabs were packed */
	uint64_t blocks;   /* that hold something */
	uint64_t bytes;	   /* that were put in them */
	uint64_t refused;  /* for want of memory */
	uint64_t damaged;  /* found with a wrong checksum, or nowhere */
	uint64_t packings; /* slabs that were emptied into others */
	uint64_t cold;	   /* bytes that should be moved now */
};

/*
 * A store of at most `bytes` bytes of memory in the file fd, which is its own
 * from now on, also on failure.  An empty file is laid out; in another one
 * what is there is kept, until ramstore_claims_done if it is not claimed.
 * => NULL and e: -EINVAL it is not such a file, or of another size; -ENOSPC
 */
struct ramstore *must_check ramstore_open(int fd, uint64_t bytes,
					  const struct ramstore_env *env, struct err *e);
void ramstore_close(struct ramstore *s); /* the file keeps what it holds; NULL is fine */

uint64_t ramstore_blocks(const struct ramstore *s);

/* Put len bytes, at most RAMSTORE_LEN_MAX, into a block in the place of what it
 * holds. => 0, or -ENOSPC: it holds what it held */
int must_check ramstore_put(struct ramstore *s, uint64_t block, const void *data, uint32_t len);

/* Get them, into a buffer of RAMSTORE_LEN_MAX bytes.
 * => how many, or -EILSEQ: it holds nothing, or is damaged */
int must_check ramstore_get(struct ramstore *s, uint64_t block, void *data);

/* These hold nothing any more. Arithmetic only: memory is given back later. */
void ramstore_drop(struct ramstore *s, uint64_t block, uint64_t n);

/* After ramstore_open: somebody has this block. */
void ramstore_claim(struct ramstore *s, uint64_t block);
/* All have said so; the rest is dropped. */
void ramstore_claims_done(struct ramstore *s);

/* Is this block among those that should be moved? */
bool ramstore_cold(const struct ramstore *s, uint64_t block);

/*
 * Give memory back to the system that is free, at most so many slabs, and look
 * again whether there is memory where there was none.  May sleep.
 */
void ramstore_tend(struct ramstore *s, uint32_t slabs);

void ramstore_get_stats(struct ramstore *s, struct ramstore_stats *out);

#endif
