/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a region of the image must hold, a sector of 512 bytes at a time.
 *
 * A sector's contents follow from its number and its generation, which no other write has;
 * so what is read tells which write it comes from.  No two requests in flight may overlap:
 * then what a sector holds is known but for one that was discarded (its old contents or
 * zeros), and one whose write failed (anything).
 */
#ifndef IT_FRONT_MODEL_H
#define IT_FRONT_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define SECTOR	       512u
#define GEN_ZERO       0u
#define GEN_ANY	       0x7fffffffu
#define GEN_MAYBE_ZERO 0x80000000u /* beside a generation: this, or zeros */

struct model {
	uint64_t first, sectors; /* the region */
	uint32_t *gen;		 /* [sectors] */
	uint32_t last_gen;
};

/* => false: no memory */
bool model_init(struct model *m, uint64_t first, uint64_t sectors);

/* Contents of n sectors, from `sector` of the image on. */
void model_fill(void *to, uint64_t sector, uint32_t n, uint32_t gen);

/* From now on they have this generation. */
void model_set(struct model *m, uint64_t sector, uint32_t n, uint32_t gen);
void model_discard(struct model *m, uint64_t sector, uint32_t n);

/* => how many are wrong; why: of the first one */
unsigned int model_check(struct model *m, const void *data, uint64_t sector, uint32_t n,
			 char *why, unsigned int why_size);

/* splitmix64 */
static inline uint64_t mix64(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* [0, n), n below 2^32 */
static inline uint32_t random_to(uint64_t *rng, uint32_t n)
{
	*rng += UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(((mix64(*rng) >> 32) * n) >> 32);
}

#endif
