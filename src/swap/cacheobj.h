/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The blocks of one disk image that swap has copies of: an object whose pages are the image's
 * blocks of 4 KiB.
 *
 * Three kinds of users, on threads of their own: who serves the disk reads, and tells of
 * changes; the swapcache daemon writes and cleans; the control thread opens and retires.  One
 * mutex, held for arithmetic (and, below it, the drum's), never across I/O.
 *
 * A block is cached when its word is valid.  It is read by whoever calls cacheobj_read; while
 * it is being read it is not freed: what is to be dropped meanwhile loses its word's SWB_VALID
 * at once, so that nobody else reads it, and its block when the last read has ended.
 *
 * A change of the image (write, discard, zeroes) drops what is cached of its blocks before it
 * is submitted, and from cacheobj_change to cacheobj_changed nothing is put there.  A put names
 * its blocks before their content is read (cacheobj_put), so that a change in between is
 * noticed.
 *
 * At a restart: words that are valid are claimed; those that were being written, or dropped
 * while they were read, are kept from use for DRUM_HOLD_NS, over any number of deaths.
 */
#ifndef DRUM_SWAP_CACHEOBJ_H
#define DRUM_SWAP_CACHEOBJ_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "swap/drum.h"
#include "swap/object.h"

#define CACHEOBJ_RUN                                                                           \
	SWBLOCK_PAGES /* blocks that one read or put has at most; they are of one              \
			 swblock */

struct cacheobj;

struct cacheobj_counts { /* [a] blocks, but for what says otherwise */
	uint64_t cached; /* valid now */
	uint64_t used; /* blocks of swap that it has, among them such as are written or dropped
			*/
	uint64_t read; /* from the cache */
	uint64_t missed; /* asked for and not there: cacheobj_read said 0 */
	uint64_t put, dropped_by_change, cleaned, dropped; /* dropped: device goes, or bad */
	uint64_t failed_reads; /* fell back to the image; among them */
	uint64_t checksum_errors;
};

/*
 * fd: the file of its words, taken in every case; empty, or of an earlier pager.
 * blocks: of the image; there is room for as many again, should it grow.  `name` is for
 * messages. It has one reference, the caller's.  Before cacheobj_claim nothing is found in it
 * or put there, and changes are noted all the same.
 * => NULL and e
 */
struct cacheobj *must_check cacheobj_open(int fd, const char *name, uint64_t blocks,
					  struct drum *d, struct err *e);
void cacheobj_ref(struct cacheobj *c);
void cacheobj_unref(struct cacheobj *c); /* the last one closes it; any thread */

/*
 * Every other owner has claimed its blocks, and the drum is still closed: claim ours.  What
 * somebody has already, or is on no device that is on, is dropped.
 * => how many
 */
uint64_t cacheobj_claim(struct cacheobj *c);

/* --- reads: the thread that serves the disk ---------------------------------------------- */

struct cacheobj_read { /* the caller's, from cacheobj_read to cacheobj_read_end */
	struct cacheobj_read *next, *prev;
	uint64_t block;
	uint32_t n;
	drum_addr addr;
};

/*
 * How many blocks from `block` on, max at most, lie at r->addr and after, and are r's to read?
 * => that; 0: the first is not cached, and *gap blocks from there on are not, max at most, of
 * any number of swblocks
 */
uint32_t must_check cacheobj_read(struct cacheobj *c, struct cacheobj_read *r, uint64_t block,
				  uint64_t max, uint64_t *gap);
/* err: 0, or -errno of the device: these blocks are dropped then (-EILSEQ: a wrong checksum).
 */
void cacheobj_read_end(struct cacheobj *c, struct cacheobj_read *r, int err);

bool cacheobj_is_empty(const struct cacheobj *c);      /* nothing is cached; any thread */
bool cacheobj_has(struct cacheobj *c, uint64_t block); /* cached, or about to be */

/* --- changes: the same thread ------------------------------------------------------------- */

struct cacheobj_change { /* the caller's, from cacheobj_change to cacheobj_changed */
	struct cacheobj_change *next, *prev;
	uint64_t block, end;
};

/* Blocks from `block` to end-1 are about to change: none of them is cached from now on. */
void cacheobj_change(struct cacheobj *c, struct cacheobj_change *ch, uint64_t block,
		     uint64_t end);
/* It is over.  If it failed it may still be carried out: nothing is put for DRUM_HOLD_NS. */
void cacheobj_changed(struct cacheobj *c, struct cacheobj_change *ch, bool failed);
/* Nothing is put before `until` (ns of clock_ns). */
void cacheobj_hold_puts(struct cacheobj *c, uint64_t until);
/* Drop all, for the image is another one, or has another size. */
void cacheobj_drop_all(struct cacheobj *c);

/* --- puts: any thread begins one; the daemon writes it ---------------------------------------
 */

struct cacheobj_put { /* has a reference to the object */
	struct cacheobj_put *next, *prev;
	struct cacheobj *obj;
	uint64_t block;
	uint32_t n;
	uint32_t gone; /* bit k: block + k has changed, or was dropped, since */
	drum_addr addr;
	bool writing;
};

/*
 * Blocks from `block` on, max at most, are about to be put: their content is read after this.
 * None of them is cached, being put, or changing; all are of one swblock.
 * => how many; 0: the first is, or nothing may be put now, or it was retired
 */
uint32_t must_check cacheobj_put(struct cacheobj *c, struct cacheobj_put *p, uint64_t block,
				 uint32_t max);
/*
 * The first n of p's blocks are about to be written to a and after, blocks that the caller has
 * allocated (drum_alloc_cache): they are the object's from now on.
 * => 0, or -ENOSPC (no swblock), -ESTALE (all have changed, or it was retired): a is still the
 *    caller's, and p is to be ended
 */
int must_check cacheobj_put_write(struct cacheobj *c, struct cacheobj_put *p, uint32_t n,
				  drum_addr a);
/*
 * It is over: what has not changed meanwhile is cached, err 0; or nothing of it (err: -errno of
 * the write, -ECANCELED: it was not written): its blocks are free, bad (pager_is_media_error),
 * or, where the write may still be carried out (drum_is_late), free after DRUM_HOLD_NS.
 */
void cacheobj_put_end(struct cacheobj *c, struct cacheobj_put *p, int err);

/* --- cleaning: the daemon
 * ---------------------------------------------------------------------- */

/*
 * Free whole swblocks from *at on until about `count` blocks are free.  What was read since the
 * last time is left for the next, unless hurry.  What is being read or written is left.
 * => as object_cond_free: the scan factor, 0 at the end; *at is where to resume
 */
uint64_t cacheobj_clean(struct cacheobj *c, uint64_t *at, uint64_t count, bool hurry);
/* Drop what is on devices whose blocks have to move (drum_move).  From *at on, `count` words
 * are looked at. => false: the end was reached */
bool cacheobj_leave_devices(struct cacheobj *c, uint64_t *at, uint64_t count);
/* Free what was kept from use and has waited for long enough. */
void cacheobj_step(struct cacheobj *c, uint64_t now);

/*
 * Its disk is gone: everything is dropped, and nothing is put any more.
 * cacheobj_is_idle: nothing of it is read, written, or kept from use: its file may be removed.
 */
void cacheobj_retire(struct cacheobj *c);
bool cacheobj_is_retired(struct cacheobj *c);
bool cacheobj_is_idle(struct cacheobj *c);

const char *cacheobj_name(const struct cacheobj *c);
struct drum *cacheobj_drum(const struct cacheobj *c);
void cacheobj_get_counts(const struct cacheobj *c,
			 struct cacheobj_counts *out); /* any thread */

#endif
