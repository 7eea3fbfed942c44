/* SPDX-License-Identifier: BSD-2-Clause */
/* What the kernel says of how long this host's tasks wait for memory (PSI). */
#ifndef DRUM_BASE_PRESSURE_H
#define DRUM_BASE_PRESSURE_H

#include <stdbool.h>
#include <stdint.h>

/* Shares of the last ten seconds, in millionths. */
struct pressure {
	bool there;	     /* else the kernel has none, or does not tell */
	uint32_t some, full; /* some task, and all that could run, waited */
};

/* The text of /proc/pressure/memory. */
void pressure_parse(const char *text, struct pressure *out);
/* The host's, now. */
void pressure_memory(struct pressure *out);

#endif
