/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which of what was stored is the coldest: arithmetic alone.
 *
 * Whatever is stored gets the number of the current generation as its stamp;
 * a generation ends when `span` bytes were stored in it.  A limit says up to
 * which generation things are cold.
 *
 * One thread at a time, ramcold_is excepted.
 */
#ifndef DRUM_SWAP_RAMCOLD_H
#define DRUM_SWAP_RAMCOLD_H

#include <stdbool.h>
#include <stdint.h>

/* Told apart; older ones count as the oldest of these. */
#define RAMCOLD_GENERATIONS 256u

struct ramcold {
	uint64_t span;
	uint32_t now;			    /* current generation; the first is 1 */
	uint32_t limit;			    /* [a] cold are generations up to it; 0: none */
	uint64_t stored;		    /* bytes, in this generation */
	uint64_t cold;			    /* bytes of generations up to the limit */
	uint64_t live[RAMCOLD_GENERATIONS]; /* bytes of each generation, in a ring */
};

/* now: 1, or what follows the newest stamp that there is */
void ramcold_init(struct ramcold *c, uint64_t span, uint32_t now);

/* => the stamp of what is being stored, `bytes` long */
uint32_t ramcold_add(struct ramcold *c, uint32_t bytes);
/* Recovery: it was stored with this stamp. */
void ramcold_add_old(struct ramcold *c, uint32_t stamp, uint32_t bytes);
/* It is gone. */
void ramcold_sub(struct ramcold *c, uint32_t stamp, uint32_t bytes);

/* Raise the limit until the cold is at least `bytes`, or all but the current
 * generation; 0: nothing is cold any more. */
void ramcold_want(struct ramcold *c, uint64_t bytes);

/* Any thread. */
bool ramcold_is(const struct ramcold *c, uint32_t stamp);

#endif
