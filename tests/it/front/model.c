/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

#define WORDS (SECTOR / 8)
#define MAGIC UINT64_C(0x44524d2d53454354)

bool model_init(struct model *m, uint64_t first, uint64_t sectors)
{
	*m = (struct model){ .first = first, .sectors = sectors };
	m->gen = malloc(sectors * sizeof(*m->gen));
	if (!m->gen)
		return false;
	for (uint64_t i = 0; i < sectors; i++)
		m->gen[i] = GEN_ANY;
	return true;
}

static void fill(uint64_t word[WORDS], uint64_t sector, uint32_t gen)
{
	uint64_t seed = mix64(sector << 32 ^ gen);

	if (gen == GEN_ZERO) {
		memset(word, 0, SECTOR);
		return;
	}
	word[0] = MAGIC;
	word[1] = sector;
	word[2] = gen;
	for (unsigned int i = 3; i < WORDS; i++)
		word[i] = mix64(seed + i);
}

void model_fill(void *to, uint64_t sector, uint32_t n, uint32_t gen)
{
	uint64_t word[WORDS];

	for (uint32_t i = 0; i < n; i++) {
		fill(word, sector + i, gen);
		memcpy((uint8_t *)to + (size_t)i * SECTOR, word, SECTOR);
	}
}

void model_set(struct model *m, uint64_t sector, uint32_t n, uint32_t gen)
{
	for (uint32_t i = 0; i < n; i++)
		m->gen[sector - m->first + i] = gen;
}

void model_discard(struct model *m, uint64_t sector, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t *gen = &m->gen[sector - m->first + i];

		if (*gen != GEN_ZERO && *gen != GEN_ANY)
			*gen |= GEN_MAYBE_ZERO;
	}
}

static void explain(const uint64_t *found, uint64_t sector, uint32_t gen, char *why,
		    unsigned int size)
{
	uint64_t first = 0, other;

	for (unsigned int i = 0; i < WORDS && !first; i++)
		first = found[i];
	if (found[0] == MAGIC)
		snprintf(why, size,
			 "sector %" PRIu64
			 " is to have generation %#x and has that of sector %" PRIu64
			 ", generation %#" PRIx64,
			 sector, gen, found[1], found[2]);
	else if (!first)
		snprintf(why, size, "sector %" PRIu64 " is to have generation %#x and is zeros",
			 sector, gen);
	else {
		other = found[WORDS - 1];
		snprintf(why, size,
			 "sector %" PRIu64 " is to have generation %#x and begins %#" PRIx64
			 ", ends %#" PRIx64,
			 sector, gen, found[0], other);
	}
}

unsigned int model_check(struct model *m, const void *data, uint64_t sector, uint32_t n,
			 char *why, unsigned int why_size)
{
	uint64_t word[WORDS], found[WORDS];
	unsigned int bad = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t gen = m->gen[sector - m->first + i];

		if (gen == GEN_ANY)
			continue;
		memcpy(found, (const uint8_t *)data + (size_t)i * SECTOR, SECTOR);
		fill(word, sector + i, gen & ~GEN_MAYBE_ZERO);
		if (memcmp(word, found, SECTOR) == 0)
			continue;
		memset(word, 0, SECTOR);
		if (gen & GEN_MAYBE_ZERO && memcmp(word, found, SECTOR) == 0)
			continue;
		if (bad++ == 0)
			explain(found, sector + i, gen, why, why_size);
	}
	return bad;
}
