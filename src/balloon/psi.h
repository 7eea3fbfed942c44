/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shares of time, averaged over the last 10, 60 and 300 seconds as Linux's PSI averages them
 * (kernel/sched/psi.c: exponentially, of what a total has grown by).
 *
 * Pure arithmetic.  A share is in millionths: 1000 is 0.1 %.
 */
#ifndef DRUM_BALLOON_PSI_H
#define DRUM_BALLOON_PSI_H

#include <stdint.h>

#define PSI_ONE 1000000u

enum psi_window { PSI_10S, PSI_60S, PSI_300S, PSI_WINDOWS };

struct psi {
	uint64_t total;		 /* ns, at the last update */
	uint64_t at;		 /* ns, when that was; 0: never */
	double avg[PSI_WINDOWS]; /* 0 .. 1 */
};

/* total: ns spent so far; it never falls. now: ns.  Updates in the same instant are one. */
void psi_update(struct psi *p, uint64_t total, uint64_t now);
/* => millionths, 0 .. PSI_ONE */
uint32_t psi_share(const struct psi *p, enum psi_window w);

#endif
