/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bar on the terminal of standard error: how much is done, how fast, how
 * long it will yet take.  Where that is no terminal, nothing is shown.
 */
#ifndef DRUM_DRUMCTL_PROGRESS_H
#define DRUM_DRUMCTL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#define PROGRESS_MS 200 /* how often it is drawn */

struct progress {
	const char *what;      /* stays the caller's */
	bool shown;	       /* there is a terminal */
	uint64_t began, drawn; /* clock_ns; drawn is 0 before the first time */
	uint64_t done;	       /* bytes, when it was drawn last */
	double rate;	       /* bytes a second */
	int length;	       /* of the line that stands there */
};

void progress_begin(struct progress *p, const char *what);

/* Draw it, unless it was drawn a moment ago. */
void progress_set(struct progress *p, uint64_t done, uint64_t total);

/* Take it away. */
void progress_end(struct progress *p);

#endif
