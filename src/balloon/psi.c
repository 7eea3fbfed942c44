/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * Over dt in which the total grew by x, each average becomes
 *
 *	avg * e^(-dt/window) + x/dt * (1 - e^(-dt/window))
 *
 * which is what the kernel does each 2 seconds, with constants for its e^(-2/window).  Here
 * rounds come at no fixed pace, and this form does not mind: two updates in which the total
 * grows at one rate are the same as one over both.
 */
#include "balloon/psi.h"

#include <math.h>

#include "base/clock.h"

static const double window_s[PSI_WINDOWS] = { 10, 60, 300 };

void psi_update(struct psi *p, uint64_t total, uint64_t now)
{
	double seconds, share;

	if (p->at == 0 || now < p->at || total < p->total) {
		/* the first, or another boot, or another count: nothing to compare with */
		p->total = total;
		p->at = now ? now : 1;
		return;
	}
	if (now == p->at)
		return;
	seconds = (double)(now - p->at) / (double)NSEC_PER_SEC;
	share = (double)(total - p->total) / (double)(now - p->at);
	if (share > 1)
		share = 1; /* the total and the clock were not read in one instant */
	for (int w = 0; w < PSI_WINDOWS; w++) {
		double stays = exp(-seconds / window_s[w]);

		p->avg[w] = p->avg[w] * stays + share * (1 - stays);
	}
	p->total = total;
	p->at = now;
}

uint32_t psi_share(const struct psi *p, enum psi_window w)
{
	double millionths = p->avg[w] * PSI_ONE + 0.5;

	return millionths < PSI_ONE ? (uint32_t)millionths : PSI_ONE;
}
