/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How much may be written while somebody waits for a read of the same device.
 *
 * Reads that were alone on the device tell what it takes; one that took more than
 * twice as long beside writes halves what may be in flight beside reads, and a
 * number of reads that did not adds to it.  Pure arithmetic; pages and ns.
 */
#ifndef DRUM_VMM_BESIDE_H
#define DRUM_VMM_BESIDE_H

#include <stdbool.h>
#include <stdint.h>

#define BESIDE_MIN   16u   /* pages */
#define BESIDE_FIRST 128u  /* until it is known better */
#define BESIDE_MAX   2048u /* 8 MiB */

struct beside {
	uint32_t pages; /* in flight beside reads */
	uint32_t good;	/* reads since that last changed */
	uint64_t alone; /* ns that a read takes alone; 0: not known yet */
};

void beside_init(struct beside *b);

/* A read that somebody waited for took so long; alone: no write was in flight when it
 * began, nor when it ended. */
void beside_read(struct beside *b, uint64_t ns, bool alone);

#endif
