/* SPDX-License-Identifier: BSD-2-Clause */
/* A page of text with styles, of a fixed size: what is to stand on a screen. */
#ifndef DRUM_DRUMCTL_FRAME_H
#define DRUM_DRUMCTL_FRAME_H

#include <stdbool.h>

#include "base/err.h"

enum frame_style {
	FRAME_NORMAL,
	FRAME_BOLD,
	FRAME_DIM,
	FRAME_HEADING, /* of a table */
	FRAME_SORTED,  /* the heading of the column that it is sorted by */
	FRAME_GOOD,
	FRAME_WARN,
	FRAME_BAD,
	FRAME_STYLES
};

#define FRAME_COLUMNS_MAX 500
#define FRAME_ROWS_MAX	  100000

struct frame_line {
	char text[FRAME_COLUMNS_MAX + 1];	/* printable ASCII, blanks to the end */
	unsigned char style[FRAME_COLUMNS_MAX]; /* enum frame_style of each */
};

struct frame {
	int rows, columns;
	struct frame_line *line; /* rows of them */
};

/* Blank, and no larger than the largest.  => NULL: no memory */
struct frame *frame_create(int rows, int columns);
void frame_destroy(struct frame *f);

/*
 * Put text there; what is beyond the edge is cut off, other characters than printable ASCII
 * become '?'.  => the column behind it
 */
int frame_put(struct frame *f, int row, int column, enum frame_style style, const char *fmt,
	      ...) __attribute__((format(printf, 5, 6)));

/* The same if all of it has room, or else nothing.  => as frame_put, or `column` */
int frame_fit(struct frame *f, int row, int column, enum frame_style style, const char *fmt,
	      ...) __attribute__((format(printf, 5, 6)));

/* The style of a whole row. */
void frame_row_style(struct frame *f, int row, enum frame_style style);

#endif
