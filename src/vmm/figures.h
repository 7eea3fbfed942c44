/* SPDX-License-Identifier: BSD-2-Clause */
/* Figures of a guest as they are told: arithmetic alone.  guest_map_idle is one of them. */
#ifndef DRUM_VMM_FIGURES_H
#define DRUM_VMM_FIGURES_H

#include "base/hist.h"
#include "vmm/host.h"

/* Any thread; h may be written to meanwhile, and all figures are of one set of samples. */
void latency_of(const struct hist *h, struct latency_stats *out);

#endif
