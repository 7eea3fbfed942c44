/* SPDX-License-Identifier: BSD-2-Clause */
/* One plot over time, as SVG within HTML, and texts that are safe there. */
#ifndef DRUM_DRUMCTL_REPORT_PLOT_H
#define DRUM_DRUMCTL_REPORT_PLOT_H

#include <stdio.h>

#include "drumctl/report_series.h"
#include "drumctl/report_units.h"

#define PLOT_LINES_MAX 16
#define PLOT_COLORS    8

enum plot_style {
	PLOT_LINE,
	PLOT_AREA, /* a line, and what is below it */
	PLOT_DASHED,
};

struct plot_line {
	const char *label;
	int color; /* from 0 on; beyond PLOT_COLORS they come again, dotted */
	enum plot_style style;
	int guest;     /* what is shown and hidden with this guest's box; or -1 */
	double *value; /* of each sample; plot_free frees it */
};

struct plot {
	const char *title, *note; /* note: smaller, behind it; or NULL */
	enum unit unit;
	bool small;  /* one of many */
	double top;  /* of the axis at least; 0: what the lines need */
	int guest;   /* of the whole plot, or -1 */
	bool levels; /* the host's level as bands behind it */
	struct plot_line line[PLOT_LINES_MAX];
	size_t lines;
	size_t more; /* lines that were left out */
};

/* Add a line (value is taken over; NULL is an earlier failure to allocate). */
int must_check plot_add(struct plot *p, const char *label, int color, enum plot_style style,
			int guest, double *value);

/* => 0 or -ENOMEM */
int must_check plot_write(FILE *to, const struct report *r, const struct plot *p);
void plot_free(struct plot *p);

/* The columns that JavaScript needs for what is under the mouse: once, before all plots. */
void plot_write_columns(FILE *to, const struct report *r);

/* Text where HTML or an attribute in double quotes is written. */
void html_text(FILE *to, const char *text);

/* Is it an event that somebody should look at? */
bool event_is_bad(const char *name);

#endif
