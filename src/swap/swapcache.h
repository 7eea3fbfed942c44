/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When the swapcache daemon writes, cleans and waits: DragonFly's vm_swapcache.c without its
 * queues and its sleeping.  Arithmetic alone: time and all figures are given, and what is to be
 * done comes back.
 *
 * All of it is in a struct without pointers, which stands in a shared mapping (the file
 * `swapcache` in the run directory), so that neither knobs nor what was used up of a burst are
 * lost with a pager.  The daemon's thread alone calls these functions; knob[] may be read
 * by any thread, and written by the control thread.
 */
#ifndef DRUM_SWAP_SWAPCACHE_H
#define DRUM_SWAP_SWAPCACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/swapcache_knobs.h"

enum swapcache_state { SWAPCACHE_WRITING, SWAPCACHE_CLEANING };
enum swapcache_burst { SWAPCACHE_BURSTING, SWAPCACHE_RECOVERING };

#define SWAPCACHE_POLL_NS  (100 * UINT64_C(1000000))  /* when there is something to do */
#define SWAPCACHE_HURRY_NS (10 * UINT64_C(1000000))   /* when guests wait for swap */
#define SWAPCACHE_IDLE_NS  (5 * UINT64_C(1000000000)) /* when it is off, or there is no swap */
#define SWAPCACHE_CLUSTER  (64 * UINT64_C(1024))      /* bytes that one write has at most */

struct swapcache {
	uint64_t magic, version;	/* of swapcache_init */
	uint64_t conf;			/* the host's: which configuration was applied last */
	uint64_t knob[SWAPCACHE_KNOBS]; /* [a] but for CURBURST, WRITE_COUNT and HYSTERESIS */
	int64_t curburst; /* bytes; [a]; below 0 by what is under way while it is set lower */
	uint64_t write_count; /* bytes; [a] */
	uint64_t hysteresis;  /* pages; [a] */
	int64_t wtrigger;
	uint32_t state, burst; /* [a] enum swapcache_state, swapcache_burst */
	uint64_t last;	       /* ns, of the last tick that accumulated; 0: none */
	uint64_t part;	       /* of a byte that has accumulated, in 1/10^9 */
};

/* What the daemon sees. Blocks and pages are of 4 KiB. */
struct swapcache_view {
	uint64_t now;	    /* ns; never goes back within one process, may after a restart */
	uint64_t swap_max;  /* blocks of swap that may be used for it */
	uint64_t cache_use; /* blocks that it has */
	uint64_t inactive;  /* pages of guests that are inactive */
	uint64_t adds;	    /* pages that have become so since the last tick */
	uint64_t wear_left; /* bytes that endurance budgets leave; UINT64_MAX: no budget */
	bool pressure;	    /* guests need the swap: clean, whatever the knobs say */
	bool stopping;	    /* nothing is to be begun any more */
};

struct swapcache_orders {
	uint64_t sleep; /* ns until the next tick */
	/* Bytes that may be written until then.  What was got of an earlier allowance and is
	 * not in swapcache_wrote yet is to be taken off. */
	uint64_t allowance;
	bool pass;		/* take a writing pass over inactive pages: */
	uint64_t scan, launder; /* looking at, and writing, at most so many pages */
	uint64_t clean;		/* blocks to be freed now, about; 0: none */
	bool hurry;		/* clean: used blocks too, for guests need them */
};

/* A new one: knobs have their defaults, the first burst is due. */
void swapcache_init(struct swapcache *sc);
/* Is it one of ours, of this version, with values that can be? */
bool swapcache_is_sane(const struct swapcache *sc);

/* Set one knob; it is checked. => 0, or -EINVAL and e */
int must_check swapcache_set(struct swapcache *sc, enum swapcache_knob k, uint64_t value,
			     struct err *e);
uint64_t swapcache_get(const struct swapcache *sc, enum swapcache_knob k);

void swapcache_tick(struct swapcache *sc, const struct swapcache_view *v,
		    struct swapcache_orders *out);
/* So many bytes are being written: they are gone from curburst.  The sum of these calls, over
 * any time, is at most curburst at its beginning and accrate for each second of it. */
void swapcache_wrote(struct swapcache *sc, uint64_t bytes);
/* The pass has come to the end of what is inactive. */
void swapcache_reached_end(struct swapcache *sc);

const char *swapcache_state_name(uint32_t state);
const char *swapcache_burst_name(uint32_t burst);

#endif
