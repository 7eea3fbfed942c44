/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker serves disks of its guest: the back end of vhost-user-blk.
 *
 *	blk.c		begin, turn, end; which rings run
 *	blk_conn.c	messages of the front end
 *	blk_mem.c	guest memory, the log, the in-flight region
 *	blk_ring.c	one virtqueue: start, stop, take, answer
 *	blk_req.c	one request
 */
#ifndef DRUM_VMM_BLK_H
#define DRUM_VMM_BLK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct blk;
struct disk;
struct guest;

/* All the memory that serving a disk takes. Control thread. => NULL: out of memory */
struct blk *must_check blk_create(struct disk *d);
void blk_destroy(struct blk *b); /* when no worker has it; NULL is fine */

/* The rest is on the guest's worker. */

/* d->fd[] and d->state say who is connected and what it has set. */
void blk_begin(struct guest *g, struct disk *d);
/* Its image has grown: tell the guest. */
void blk_resized(struct guest *g, struct disk *d);

/* A step of all disks: messages, new requests, answers. */
void blks_step(struct guest *g, uint64_t now);
/* How long the worker may sleep for disks' sake: ns. */
uint64_t blks_patience(const struct guest *g);

/* Is any disk's connection open? */
bool blks_any(const struct guest *g);
/* Take no more requests: the guest is left to the next pager. */
void blks_pause(struct guest *g);
/* Is nothing in flight? */
bool blks_quiet(const struct guest *g);
/* The VMM has ended: drop the connections. blks_any tells when that is done. */
void blks_gone(struct guest *g);

#endif
