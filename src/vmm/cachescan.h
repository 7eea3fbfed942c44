/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's part of the swapcache daemon's passes: its worker looks through inactive pages for
 * such as are copies of blocks of its disks (blockmap.h), and gives the daemon what these hold.
 */
#ifndef DRUM_VMM_CACHESCAN_H
#define DRUM_VMM_CACHESCAN_H

#include <stdint.h>

#include "swap/swapcached.h"

struct guest;

struct cachescan {
	struct swapcached *sd; /* NULL: there is none */
	struct swapcached_scanner scanner;
	uint64_t next; /* page: where the pass goes on */
	uint64_t adds; /* pages that have become inactive since that was told */
};

void cachescan_begin(struct guest *g, struct swapcached *sd); /* the guest runs */
void cachescan_end(struct guest *g);			      /* once more is fine */
/* Pages have become inactive. */
void cachescan_added(struct guest *g, uint64_t n);
/* In each turn, when nothing waits: one cluster at most. Sets g->again if there is more. */
void cachescan_step(struct guest *g);

#endif
