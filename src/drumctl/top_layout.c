/* SPDX-License-Identifier: BSD-2-Clause */
#include "drumctl/top_layout.h"

#include <stdio.h>
#include <string.h>

#include "drumctl/terminal.h"

#define STALLS_HIGH 10.0 /* percent of time, from which on it is worth a colour */

/* --- cells ------------------------------------------------------------------------ */

/* Three digits and a unit.  base: 1000 or 1024 */
static void scaled(char to[TOP_CELL_MAX], double v, double base, const char *units)
{
	/* 999.5 of one would be shown as 1000 of it */
	while (v >= 999.5 && units[1]) {
		v /= base;
		units++;
	}
	if (v > 999 && !units[1])
		v = 999; /* no counter comes so far */
	if (*units == ' ')
		snprintf(to, TOP_CELL_MAX, v < 9.95 && v != (double)(int)v ? "%.1f" : "%.0f",
			 v);
	else
		snprintf(to, TOP_CELL_MAX, v < 9.95 ? "%.1f%c" : "%.0f%c", v, *units);
}

static void microseconds(char to[TOP_CELL_MAX], double us)
{
	if (us < 9.95)
		snprintf(to, TOP_CELL_MAX, "%.1fus", us);
	else if (us < 999.5)
		snprintf(to, TOP_CELL_MAX, "%.0fus", us);
	else if (us < 9.95e3)
		snprintf(to, TOP_CELL_MAX, "%.1fms", us / 1e3);
	else if (us < 999.5e3)
		snprintf(to, TOP_CELL_MAX, "%.0fms", us / 1e3);
	else
		snprintf(to, TOP_CELL_MAX, us < 99.95e6 ? "%.1fs" : "%.0fs",
			 us < 9999e6 ? us / 1e6 : 9999);
}

static void percent(char to[TOP_CELL_MAX], double v)
{
	snprintf(to, TOP_CELL_MAX,
		 v == 0	     ? "0"
		 : v < 9.995 ? "%.2f"
		 : v < 99.95 ? "%.1f"
			     : "%.0f",
		 v < 9999 ? v : 9999);
}

const char *top_cell(char to[TOP_CELL_MAX], enum top_kind kind, const struct top_value *v)
{
	if (!v->known)
		return "-";
	switch (kind) {
	case TOP_TEXT:
		return v->text;
	case TOP_SIZE:
	case TOP_SIZE_RATE:
		scaled(to, v->number, 1024, " KMGTPE");
		break;
	case TOP_COUNT:
	case TOP_RATE:
		scaled(to, v->number, 1000, " kMGTPE");
		break;
	case TOP_US:
		microseconds(to, v->number);
		break;
	case TOP_PERCENT:
		percent(to, v->number);
		break;
	}
	return to;
}

/* --- columns ---------------------------------------------------------------------- */

static int width_of(const bool shown[TOP_COLUMNS_MAX], const struct top_column *columns, int n)
{
	int width = 0;

	for (int i = 0; i < n; i++)
		if (shown[i])
			width += columns[i].width + (width > 0);
	return width;
}

/* That which is missed least, or -1. */
static int least(const bool shown[TOP_COLUMNS_MAX], const struct top_column *columns, int n,
		 int sorted)
{
	int found = -1;

	/* of the same priority the last one */
	for (int i = 0; i < n; i++)
		if (shown[i] && i != sorted && columns[i].priority > 0 &&
		    (found < 0 || columns[i].priority >= columns[found].priority))
			found = i;
	return found;
}

void top_layout_fit(struct top_layout *l, enum top_pane pane, int sorted, int columns,
		    int longest)
{
	const struct top_column *all = top_columns[pane];
	bool shown[TOP_COLUMNS_MAX] = { false };
	int n = top_columns_n(pane), at = 0, left, name, k;

	*l = (struct top_layout){ .pane = pane, .sorted = sorted };
	for (int i = 0; i < n; i++)
		shown[i] = true;
	while (width_of(shown, all, n) > columns && (k = least(shown, all, n, sorted)) >= 0)
		shown[k] = false;
	left = columns - width_of(shown, all, n);
	name = all[0].width + (left > 0 ? left : 0);
	if (name > longest)
		name = longest > all[0].width ? longest : all[0].width;
	for (int i = 0; i < n; i++) {
		if (!shown[i])
			continue;
		l->place[l->n].column = i;
		l->place[l->n].at = at;
		l->place[l->n].width = i == 0 ? name : all[i].width;
		at += l->place[l->n++].width + 1;
	}
}

/* A text that is too long ends with "~"; of a path it is the end that tells them apart. */
static void put_cell(struct frame *f, int row, int at, int width, bool right,
		     enum frame_style style, const char *text)
{
	int n = (int)strlen(text);

	if (n <= width)
		frame_put(f, row, right ? at + width - n : at, style, "%s", text);
	else if (text[0] == '/')
		frame_put(f, row, at, style, "~%s", text + n - width + 1);
	else
		frame_put(f, row, at, style, "%.*s~", width - 1, text);
}

void top_layout_headings(const struct top_layout *l, struct frame *f, int row)
{
	frame_row_style(f, row, FRAME_HEADING);
	for (int i = 0; i < l->n; i++) {
		const struct top_column *c = &top_columns[l->pane][l->place[i].column];

		put_cell(f, row, l->place[i].at, l->place[i].width, c->kind != TOP_TEXT,
			 l->place[i].column == l->sorted ? FRAME_SORTED : FRAME_HEADING,
			 c->title);
	}
}

static enum frame_style style_of(const struct top_column *c, const struct top_value *v)
{
	if (!v->known)
		return FRAME_DIM;
	if (!strcmp(c->name, "state")) {
		if (!strcmp(v->text, "quarantined") || !strcmp(v->text, "failed"))
			return FRAME_BAD;
		if (!strcmp(v->text, "waiting"))
			return FRAME_WARN;
	}
	if (c->kind == TOP_PERCENT && v->number >= STALLS_HIGH)
		return FRAME_WARN;
	if (!strcmp(c->name, "errors") && v->number > 0)
		return FRAME_BAD;
	return FRAME_NORMAL;
}

void top_layout_row(const struct top_layout *l, struct frame *f, int row,
		    const struct top_row *values)
{
	for (int i = 0; i < l->n; i++) {
		const struct top_column *c = &top_columns[l->pane][l->place[i].column];
		const struct top_value *v = &values->value[l->place[i].column];
		char text[256], cell[TOP_CELL_MAX];

		terminal_safe(text, sizeof(text), top_cell(cell, c->kind, v));
		put_cell(f, row, l->place[i].at, l->place[i].width, c->kind != TOP_TEXT,
			 style_of(c, v), text);
	}
}
