/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which blocks of an image hold metadata of its file system, as far as one can tell who sees
 * reads and no more: those that are read again and again by small requests, as directories,
 * inodes and the nodes of trees are.  What takes part in a large request is data.
 *
 * The seed asks the file system, which marks its buffers (PG_NOTMETA); a guest's does not say.
 * Arithmetic alone, of a fixed size, one thread's.  It forgets: see metablocks.c.
 */
#ifndef DRUM_VMM_METABLOCKS_H
#define DRUM_VMM_METABLOCKS_H

#include <stdbool.h>
#include <stdint.h>

#define METABLOCKS_SMALL   (16u << 10) /* bytes of a request that is small */
#define METABLOCKS_WAYS	   8u
#define METABLOCKS_BUCKETS 4096u
#define METABLOCKS_META	   6u  /* of a bucket, at most, are metadata */
#define METABLOCKS_AGE	   64u /* small blocks noted, and one bucket is aged */

struct metablocks { /* 64 KiB and a little; all zeros: nothing is known */
	uint16_t entry[METABLOCKS_BUCKETS][METABLOCKS_WAYS]; /* most recent first */
	uint32_t noted;					     /* since a bucket was aged */
	uint32_t hand;					     /* the bucket that is aged next */
};

/* A read of n blocks from `block` on; bytes: of the request. */
void metablocks_note(struct metablocks *m, uint64_t block, uint64_t n, uint64_t bytes);

/* Does it look like metadata? */
bool metablocks_has(const struct metablocks *m, uint64_t block);

#endif
