/* SPDX-License-Identifier: BSD-2-Clause */
/* What drumctl's output goes to, and so what it may look like. */
#ifndef DRUM_DRUMCTL_TERMINAL_H
#define DRUM_DRUMCTL_TERMINAL_H

#include <stdbool.h>

enum terminal_colours {
	TERMINAL_PLAIN, /* no terminal, TERM=dumb, or NO_COLOR is set */
	TERMINAL_8,
	TERMINAL_256,
};

struct terminal {
	bool moves;	      /* its cursor does: a terminal, and none that is dumb */
	bool utf8;	      /* the locale's characters are UTF-8 */
	unsigned int columns; /* 80 if it is none */
	enum terminal_colours colours;
};

void terminal_look(struct terminal *t, int fd);

/*
 * A string of somebody else's, in room bytes: printable ASCII, with '?' for each other
 * character, so that it cannot steer a terminal and has as many columns as bytes.  => to
 */
const char *terminal_safe(char *to, unsigned long room, const char *text);

#endif
