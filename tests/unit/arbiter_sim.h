/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A host with guests, for tests of the arbiter: time, and a simple model of what guests do.
 *
 * A guest has contents, of which a part, `wants`, is in use: touched uniformly, over and over.
 * What of it is in memory is `hot`, and `cold` is the rest that is in memory; the others are
 * on swap.  In a round
 *	it brings in what it misses, as fast as swap reads, up to its grant; at its grant it
 *	evicts as much, cold memory first;
 *	above its grant it is paged out, as fast as swap writes, cold memory first;
 *	while a share m of what it wants is missing, it waits for swap for a share of time that
 *	rises with m, and touches so much less;
 *	a sampler sees what it has touched within a minute, with noise.
 * A guest whose contents grow touches new memory; at its grant that takes the place of other.
 */
#ifndef DRUM_TESTS_ARBITER_SIM_H
#define DRUM_TESTS_ARBITER_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "balloon/arbiter.h"
#include "balloon/psi.h"

#define SIM_SEC UINT64_C(1000000000)
#define SIM_MIB (UINT64_C(1) << 20)
#define SIM_GIB (UINT64_C(1) << 30)

struct sim_guest {
	uint64_t contents;  /* that it has ever touched: on swap or in memory */
	uint64_t wants;	    /* of that, in use */
	uint64_t hot, cold; /* in memory */
	uint64_t seen;	    /* what it has touched within a minute */
	uint64_t stalled;   /* ns */
	struct psi some;
	uint64_t since; /* ns: when it last wanted more than now */
	double stall;	/* share of the last round */
};

struct sim {
	struct arbiter_conf conf;
	struct arbiter_host host;
	struct arbiter_guest *guest; /* n each */
	struct sim_guest *of;
	size_t n;
	uint64_t now, ram;    /* of the host */
	uint64_t read, write; /* bytes a second, of swap, for each guest */
	unsigned int noise;   /* of the sampler, percent up and down */
	uint64_t seed;
	uint64_t most_used; /* of the budget, ever */
	uint64_t violated;  /* times that a guest had less than reserved by grant, or was taken
			       it */
};

/* n guests without contents, on a host that has the budget and a quarter more. */
struct sim *sim_new(size_t n, uint64_t budget, uint64_t seed);
void sim_free(struct sim *s);
uint64_t sim_random(struct sim *s, uint64_t below);
/* Terms of a guest, and that it has touched `contents`, all in memory. */
void sim_guest(struct sim *s, size_t i, uint64_t size, uint64_t reservation, uint64_t shares,
	       uint64_t contents);
/* From now on it uses so much; it grows by what it does not have. */
void sim_want(struct sim *s, size_t i, uint64_t wants);
void sim_round(struct sim *s); /* a second passes, and a round */
void sim_run(struct sim *s, unsigned int rounds);
uint64_t sim_resident(const struct sim *s, size_t i);

#endif
