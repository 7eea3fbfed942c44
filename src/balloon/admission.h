/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Admission: may a guest come?  Its reservation must fit into the host's budget beside those of
 * all others, and what is above it must be backed by swap that nobody else can take
 * (host_promise).  Arithmetic, and a message that shows it.  Sizes in bytes.
 */
#ifndef DRUM_BALLOON_ADMISSION_H
#define DRUM_BALLOON_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* What a guest is to have. */
struct guest_terms {
	uint64_t memory;      /* all its RAM; 0: not known (attached without admission) */
	uint64_t reservation; /* always resident */
	uint64_t limit;	      /* never more; 0: none */
	uint64_t shares;      /* 0: SHARES_PER_MIB for each MiB of RAM */
};

#define SHARES_PER_MIB 10u /* ESX's "normal" */
#define SHARES_MAX     1000000000u

/* What is there: before the guest. */
struct admission_host {
	uint64_t budget;   /* 0: none is set; any reservation fits into what the host has */
	uint64_t total;	   /* RAM of the host */
	uint64_t reserved; /* by others */
	uint64_t swap; /* that may be promised: of devices that are on, less what is promised or
			  used by guests without a promise */
	bool low;      /* its memory is: nobody is admitted */
};

/* => 0 and *swap, what must be promised; -EINVAL terms that make no sense, -ENOSPC it does not
 * fit, -EAGAIN memory is low; e has the arithmetic */
int must_check admission_check(const char *name, const struct guest_terms *terms,
			       const struct admission_host *host, uint64_t *swap,
			       struct err *e);

#endif
