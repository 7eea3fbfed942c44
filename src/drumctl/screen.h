/* SPDX-License-Identifier: BSD-2-Clause */
/* The whole of a terminal, to draw on and to be typed at: all of ncurses that there is. */
#ifndef DRUM_DRUMCTL_SCREEN_H
#define DRUM_DRUMCTL_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

#include "drumctl/frame.h"

struct screen;

/* Is there a terminal at both ends that can be drawn on? */
bool screen_is_possible(void);

/* Take the terminal over.  => 0 or -errno, and it is as it was */
int must_check screen_open(struct screen **out, struct err *e);

/* Give it back as it was. */
void screen_close(struct screen *s);

void screen_size(const struct screen *s, int *rows, int *columns);
void screen_draw(struct screen *s, const struct frame *f);

enum screen_event {
	SCREEN_TIME,	/* timeout_ms have passed */
	SCREEN_KEY,	/* *key: enum top_key, or a character */
	SCREEN_RESIZED, /* draw it anew */
	SCREEN_READY,	/* fd can be read */
	SCREEN_SIGNAL,	/* *key: SIGINT, SIGTERM, SIGHUP; leave */
};

/* Wait for what comes first.  fd may be -1 */
enum screen_event screen_wait(struct screen *s, int fd, int timeout_ms, int *key);

#endif
