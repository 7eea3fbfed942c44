/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The swapcache daemon: a thread of its own, which decides (swapcache.h) when what is to be put
 * on swap, writes it, and cleans.
 *
 * What it writes it is given, in buffers of its own: by who serves a disk, as blocks are read,
 * and by guests' workers, which look through their inactive pages when it asks for a pass.  It
 * asks by a number that they look at in each of their turns, and never waits for them, nor they
 * for it.
 */
#ifndef DRUM_SWAP_SWAPCACHED_H
#define DRUM_SWAP_SWAPCACHED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "swap/cacheobj.h"
#include "swap/drum.h"
#include "swap/swapcache.h"
#include "swap/wear.h"

struct swapcached;

#define SWAPCACHED_PUTS 32u /* that are under way at once */

/* Blocks on their way to the cache. */
struct swapcached_put {
	struct cacheobj_put range; /* range.block, range.n: which */
	uint8_t *buf; /* [range.n * SWAP_BLOCK] their content, the caller's to fill in */

	/* of the daemon */
	struct swapcached *sd;
	struct swapcached_put *next;
	struct ring_op op;
	struct swap_io io;
	uint32_t n;	/* blocks that are given, then that are written */
	uint64_t taken; /* bytes of the allowance that it has; 0: they are written */
};

struct swapcached_options {
	struct drum *drum;
	struct swapcache *policy; /* stays the caller's, until swapcached_stop */
	int state_dir;		  /* for wear; -1: nothing is kept */
	/* Clocks: ns of clock_ns, seconds since 1970; NULL: the real ones.  A test's own. */
	uint64_t (*now)(void);
	int64_t (*wall)(void);
};

/* => NULL and e */
struct swapcached *must_check swapcached_start(const struct swapcached_options *o,
					       struct err *e);
/*
 * Begin nothing any more; what is under way ends.  Waits for that: for a device that
 * hangs no longer than a second, then => false: the thread is still there, and so must be what
 * it has.  Puts that somebody has not given or dropped yet are waited for likewise.
 * Nobody else uses the daemon any more, and nothing is allocated from the drum meanwhile: disks
 * are closed, workers have ended, nothing is discarded.
 */
bool must_check swapcached_stop(struct swapcached *sd);
/* Nothing is to be begun any more, from now on; waits for nothing. */
void swapcached_quiesce(struct swapcached *sd);
/* The stop was not carried out: go on as before. */
void swapcached_resume(struct swapcached *sd);

/* The daemon has a reference of its own; once c was retired and is idle, it calls `over` (any
 * arg, on the daemon's thread), where its file can be removed, and gives that up. */
int must_check swapcached_add(struct swapcached *sd, struct cacheobj *c,
			      void (*over)(void *arg, struct cacheobj *c), void *arg);

/* Look at once: a knob was set, a device is being switched off, guests need swap.  Any thread.
 */
void swapcached_wake(struct swapcached *sd);
/* The drum's (drum_on_pressure); arg is the daemon. */
void swapcached_pressure(void *arg);

/* --- puts: any thread; none of these waits --- */

/*
 * A put of blocks from `block` on, max at most, whose content is not read yet.
 * => NULL: not now: the daemon may not write, all buffers are in use, or cacheobj_put says 0
 */
struct swapcached_put *swapcached_get(struct swapcached *sd, struct cacheobj *c, uint64_t block,
				      uint32_t max);
/* buf has the content of the first n of its blocks: write them. */
void swapcached_give(struct swapcached *sd, struct swapcached_put *p, uint32_t n);
/* Not after all. */
void swapcached_drop(struct swapcached *sd, struct swapcached_put *p);

/* --- passes: guests' workers --- */

struct swapcached_scanner { /* one for each guest, its worker's */
	uint64_t pass;	    /* the last one that it took part in */
	uint32_t tick;	    /* whose quota it has taken from last */
	uint64_t inactive;  /* pages, as told last */
	bool ended;	    /* it was at the end in this pass */
};

/* A guest comes, goes. */
void swapcached_join(struct swapcached *sd, struct swapcached_scanner *s);
void swapcached_leave(struct swapcached *sd, struct swapcached_scanner *s);
/* In each turn: how many pages are inactive, and how many have become so since. Cheap. */
void swapcached_tell(struct swapcached *sd, struct swapcached_scanner *s, uint64_t inactive,
		     uint64_t adds);
/* May the worker look at some more pages, `want` at most? => how many; 0: not now */
uint64_t swapcached_scan(struct swapcached *sd, struct swapcached_scanner *s, uint64_t want);
/* Of what swapcached_scan has said, so many were not looked at; and so many were given. */
void swapcached_scanned(struct swapcached *sd, struct swapcached_scanner *s, uint64_t unused,
			uint64_t given);
/* It has looked at all that it has. */
void swapcached_scan_ended(struct swapcached *sd, struct swapcached_scanner *s);

/* --- figures, any thread --- */

struct swapcached_stats {
	uint32_t state, burst;
	int64_t curburst;
	uint64_t write_count;	/* bytes */
	uint64_t swap_max, use; /* blocks of swap for it; that it has */
	uint64_t passes;	/* that have come to the end */
	uint64_t cleanings;	/* times that it began to clean */
	uint64_t hurried;	/* of these, for guests' sake */
	uint64_t inflight;	/* puts */
	uint64_t write_errors;
	uint64_t looked; /* ns of its clock, when it looked last and did all that was to be done
			  */
};

/* One swap device's. */
struct swapcached_wear {
	unsigned int number;
	uint64_t budget;     /* bytes a day; 0: none */
	uint64_t written[3]; /* bytes in the last 1, 7, 28 days */
	uint64_t left;	     /* bytes; UINT64_MAX: no budget */
	uint32_t tightest;   /* 1, 7 or 28 days; 0: no budget */
};

void swapcached_get_stats(struct swapcached *sd, struct swapcached_stats *out);
size_t swapcached_get_wear(struct swapcached *sd, struct swapcached_wear *out, size_t max);
/* Bytes a day, of a device that is on; 0: no budget. It is kept with the device's record. Any
 * thread; soon. */
void swapcached_set_budget(struct swapcached *sd, unsigned int number, uint64_t per_day);

#endif
