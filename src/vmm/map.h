/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A picture of a guest's RAM: how many pages of each part of it are in which state, and
 * how old those are of which that is known.  For people to look at.
 *
 * Page states are the worker's, so it is the worker that counts; in bounded steps, one in
 * each turn, into memory that the control thread has brought.
 */
#ifndef DRUM_VMM_MAP_H
#define DRUM_VMM_MAP_H

#include <stdint.h>

#include "vmm/host.h"

struct command;
struct guest;

/* What is wanted, and how far it has come. */
struct map_order {
	uint32_t cells; /* at most; cell[] has so many */
	struct guest_map_cell *cell;
	/* set by the worker when it begins */
	uint64_t npages;     /* of the guest */
	uint64_t cell_pages; /* 0: not begun */
	uint32_t n;	     /* cells that there are */
	/* the worker's: what comes next */
	uint64_t page, bucket;
	uint32_t unit;
};

/* The guest's worker: CMD_MAP, which is queued; a step of the first one; and all of them are
 * refused, for the worker ends. */
void map_command(struct guest *g, struct command *cmd);
void map_step(struct guest *g);
void map_abandon(struct guest *g);

#endif
