/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mapper: which pages of a guest are copies of blocks of its disks, so that they leave
 * memory without a write and come back from the image.
 *
 * Who serves a disk that has a number (disk->number) calls, on the guest's worker:
 *
 *	blockmap_attach		the front end is connected; before the first request
 *
 *	for EVERY request that moves data or changes blocks, also while nothing is to be noted:
 *	blockmap_begin		before it is submitted to the image; 1: only when `ready` has
 *				been called
 *	(the image's I/O; whole-page I/O goes through memory of ours while blockmap_needed
 *	says so, since a page of the guest's may change under DMA)
 *	blockmap_note		for each page of it that was moved as a whole, when the I/O has
 *				ended well, while the page is still held
 *	blockmap_end		the I/O has ended, well or not
 *
 *	blockmap_leave		the connection is over, and all its requests have ended
 *
 * That is all: what becomes of the records of pages that others overwrite (holds), give back or
 * page out is seen to here.
 *
 * Why no block changes under a page that lives there: from blockmap_begin to blockmap_end of a
 * change its blocks have no record of a page that is in memory, and get none; no page leaves
 * memory for a block without a record; and pages that had left for it before are in memory
 * again when the change is submitted.  Two requests of which one changes a block of the
 * other's are "mixed" from then on, both, and neither notes anything: which of them came
 * first nobody knows.
 */
#ifndef DRUM_VMM_BLOCKMAP_H
#define DRUM_VMM_BLOCKMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "swap/drum.h"
#include "vmm/blocktable.h"

struct guest;
struct disk;
struct blockmap_io;

/* err 0: submit it; else a page that lives in one of its blocks cannot be read (-EIO): it must
 * not be submitted.  blockmap_end is due in both cases. */
typedef void (*blockmap_ready_fn)(struct blockmap_io *io, int err);

/* Part of a request of a disk. */
struct blockmap_io {
	blockmap_ready_fn ready; /* the caller's; called by blockmap_step */

	/* of blockmap.c */
	struct blockmap_io *next, *prev;
	struct disk *disk; /* NULL: it is not in the list */
	uint64_t block, end;
	bool change;
	bool mixed;
	bool waiting;	   /* for pages to come in */
	uint64_t at;	   /* blocks before this one have no record any more */
	uint64_t asked;	   /* 1 + page whose read was begun for it */
	uint64_t since;	   /* ns, when it began, or got on last */
	uint64_t failing;  /* ns, since when a page cannot be read; 0: it can */
	uint64_t retry_at; /* ns; nothing is read before */
};

struct blockmap_counts {     /* [a] pages; of one disk */
	uint64_t mapped;     /* have a record now */
	uint64_t evicted;    /* and live there only */
	uint64_t out, in;    /* left for it without a write, came in from it */
	uint64_t brought_in; /* of these: because a block was about to change */
	uint64_t wrong;	     /* were not what they should have been */
};

typedef void (*blockmap_left_fn)(struct guest *g, struct disk *disk);

struct blockmap_disk {
	struct disk *disk;     /* NULL: none is attached */
	blockmap_left_fn left; /* not NULL: it is being left */
	uint32_t next;	       /* record from which on those of it are still to be dropped */
	bool told;	       /* that there is no room for what lives there */
	struct blockmap_counts count; /* but for mapped and evicted, which the table has */
};

struct blockmap {
	struct blocktable t;
	bool ready;  /* the table can be used */
	bool failed; /* there is no memory for it */
	struct blockmap_io *ios;
	unsigned int waiting, leaving; /* requests; disks */
	uint64_t unlisted; /* evicted pages that the table had no place for, after a restart */
	uint64_t missing;  /* bit n: image n has words that could not be claimed */
	struct blockmap_disk of[DRUM_IMAGES_MAX];
};

/* Its front end is connected: its blocks may be noted.  May ask for memory; without it the disk
 * is merely not mapped. */
void blockmap_attach(struct guest *g, struct disk *disk);

/*
 * Do pages of another guest live in its image?  That one had the disk before, and its
 * connection ended with no pager there to move them.  It must not be attached then: no change
 * of ours would wait for them.
 */
bool blockmap_has_others(const struct guest *g, const struct disk *disk);

/* Is whole-page I/O of this disk to be hashed and noted now? */
bool blockmap_needed(const struct guest *g, const struct disk *disk);

/* Of PAGE_SIZE bytes. */
struct block_hash blockmap_hash(const struct guest *g, const void *data);

/*
 * A request for len bytes at off; change: it writes, discards or zeroes them.  io stays until
 * blockmap_end.  len 0 is fine.  What is too much for one step goes on in the next.
 * => 0: submit it; 1: when io->ready was called
 */
int must_check blockmap_begin(struct guest *g, struct disk *disk, struct blockmap_io *io,
			      bool change, uint64_t off, uint64_t len);

/* All of the page is what all of the block is: bytes that have this hash. */
void blockmap_note(struct guest *g, struct blockmap_io *io, uint64_t page, uint64_t block,
		   const struct block_hash *hash);

/* err: that of the image; what waits may be given up. Once more is fine. */
void blockmap_end(struct guest *g, struct blockmap_io *io, int err);

/*
 * The connection is over, no request of it is under way: pages that live in the image are moved
 * to swap, or into memory as far as the guest's limit goes, and the records are dropped.
 * left is called, by blockmap_step, when none is left; until then the disk and its image stay.
 * If there is no room that takes until there is.  A guest that has ended has none left soon.
 * => true: there is nothing to wait for, and left is not called
 */
bool must_check blockmap_leave(struct guest *g, struct disk *disk, blockmap_left_fn left);

void blockmap_get_counts(const struct guest *g, unsigned int number,
			 struct blockmap_counts *out); /* any thread */

/* --- for the guest's other parts; worker ---------------------------------------------- */

void blockmap_fini(struct guest *g);
/* The guest has another limit, or grant, or something is to be taken of it. */
void blockmap_limit(struct guest *g);
void blockmap_step(struct guest *g, uint64_t now);

/* What the page holds is, or is about to be, something else: nobody needs its record. */
void blockmap_page_overwritten(struct guest *g, uint64_t page);

/*
 * Which of these pages, inactive and not pinned, are what a block of a disk is?  Sets bit k of
 * *same for page[k] that is: its word names that block, and it is to be punched.  At most 64.
 */
void blockmap_compare(struct guest *g, const uint64_t *page, uint32_t n, uint64_t *same);

/*
 * The word of a page was taken out of the object, or replaced: its block is free, be it one of
 * swap or an image's.  data: what was read from there, if that is in memory now; or NULL.
 */
void blockmap_free(struct guest *g, uint64_t page, uint64_t word, const void *data);

/* n pages from `page` on were read from an image: is it what should be there? */
bool blockmap_is_right(struct guest *g, uint64_t page, uint32_t n, const void *data);

/* May records of this disk be made now?  Is a block about to change? (blockmap_io.c) */
bool blockmap_may_note(const struct guest *g, const struct disk *disk);
bool blockmap_is_changing(const struct guest *g, struct block_id at);
void blockmap_io_step(struct guest *g, uint64_t now);

/* Recovery: a page lives in an image, whose block is claimed. */
void blockmap_found(struct guest *g, uint64_t page, drum_addr a);
/* One that is there cannot be claimed: its image is missing; and was it so? */
void blockmap_missing(struct guest *g, drum_addr a);
bool blockmap_is_missing(const struct guest *g, drum_addr a);

#endif
