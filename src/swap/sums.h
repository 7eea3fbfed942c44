/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is known of each block of a swap device: a checksum (30 bits of XXH3)
 * that catches a device that returns other data than was written, and for a
 * mirror which halves hold the block.
 *
 * One aligned 32-bit word a block, in a file of the run directory that outlives
 * the process: a word says nothing of a block until it was set, and blocks that
 * a new pager finds in use are checked as before.  Memory of the file is
 * had 4 KiB at a time, before it is used; where there is none, a block has no
 * checksum and is not checked.
 *
 * Any thread; each block belongs to one at a time.  What is known of a mirror's
 * halves is changed by one thread at a time (its lock).
 */
#ifndef DRUM_SWAP_SUMS_H
#define DRUM_SWAP_SUMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct sums;

/*
 * Of `blocks` blocks, in the file fd, which is its own from now on, also on
 * failure.  An empty file is laid out, any other is kept, and what it says of
 * more blocks stays too.
 * => NULL and e: -EINVAL it is not such a file, -errno
 */
struct sums *must_check sums_open(int fd, uint64_t blocks, struct err *e);
void sums_close(struct sums *s); /* the file keeps what it holds; NULL is fine */

/* => 0 or -errno: as before */
int must_check sums_grow(struct sums *s, uint64_t blocks);

/* This is about to be written there; which halves hold it stays as it is. */
void sums_set(struct sums *s, uint64_t block, const void *data);

/* Is it what was written there? Also where nothing is known. */
bool must_check sums_check(const struct sums *s, uint64_t block, const void *data);

/* Bit k: half k holds the block. */
unsigned int sums_halves(const struct sums *s, uint64_t block);
/* => 0, or -ENOSPC: it cannot be kept.  The checksum stays as it is. */
int must_check sums_set_halves(struct sums *s, uint64_t block, unsigned int halves);

/*
 * Which device half k is.  The bits are true of that device only, so they are
 * forgotten when another becomes half k, and there is no moment at which bits of
 * one stand beside the name of the other.
 */
bool sums_half_is(const struct sums *s, unsigned int k, uint64_t dev_id, uint64_t ino);
void sums_new_half(struct sums *s, unsigned int k, uint64_t dev_id, uint64_t ino);

/* The size of a mirror, for when one half is not there to be asked. 0: not known */
uint64_t sums_mirror_blocks(const struct sums *s);
void sums_set_mirror_blocks(struct sums *s, uint64_t blocks);

#endif
