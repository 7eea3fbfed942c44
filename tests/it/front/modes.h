/* SPDX-License-Identifier: BSD-2-Clause */
/* What vufront does, one function for each of its modes. => the exit status */
#ifndef IT_FRONT_MODES_H
#define IT_FRONT_MODES_H

#include <signal.h>

#include "front.h"

struct mode_options {
	struct front_options front;
	double seconds;		/* verify: 0: until SIGTERM; bench: of each case */
	uint64_t first, region; /* bytes of the image that verify writes to; 0: 64 MiB or all */
	unsigned int depth;
	unsigned int reads; /* percent that are reads whatever the rest is; 0: none */
	uint64_t seed;
	unsigned int stall_s;		      /* a request that takes longer is lost */
	unsigned int stop_every, reset_every; /* s; 0: never */
	bool reconnect;			      /* go on when the connection was closed */
	bool errors_allowed;
	const char *serial; /* that GET_ID must give; NULL: any */
	const char *only;   /* bench, hostile: this case */
	bool steps;	    /* bench: wait for a line on standard input before each case */
};

extern volatile sig_atomic_t mode_ended; /* SIGTERM or SIGINT came */

int mode_show(const struct mode_options *o);
int mode_bench(const struct mode_options *o);
int mode_verify(const struct mode_options *o);
int mode_hostile(const struct mode_options *o);

#endif
