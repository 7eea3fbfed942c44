/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Telling devices which blocks are free (swapon(8)'s --discard): a thread that
 * takes runs of free blocks out of the drum, discards them and gives them
 * back, slowly, so that it is in nobody's way.
 */
#ifndef DRUM_SWAP_DISCARD_H
#define DRUM_SWAP_DISCARD_H

#include <stdint.h>

#include "base/err.h"
#include "swap/drum.h"

struct discarder;

/* bytes: at most so many a second. => NULL: errno tells */
struct discarder *must_check discard_start(struct drum *d, uint64_t bytes);
void discard_stop(struct discarder *dc); /* waits for the one under way; NULL is fine */

#endif
