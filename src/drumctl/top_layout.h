/* SPDX-License-Identifier: BSD-2-Clause */
/* Columns of "drumctl top": which of them have room, and what stands in their cells. */
#ifndef DRUM_DRUMCTL_TOP_LAYOUT_H
#define DRUM_DRUMCTL_TOP_LAYOUT_H

#include "drumctl/frame.h"
#include "drumctl/top_model.h"

#define TOP_CELL_MAX 8

struct top_layout {
	enum top_pane pane;
	int sorted; /* index of the column that it is sorted by */
	int n;
	struct {
		int column; /* index in the pane's columns */
		int at;	    /* where it begins on the screen */
		int width;
	} place[TOP_COLUMNS_MAX];
};

/*
 * Choose columns for a screen so wide.  That which rows are sorted by stays whatever its
 * priority is; names get what is left over, up to the longest of them.
 */
void top_layout_fit(struct top_layout *l, enum top_pane pane, int sorted, int columns,
		    int longest);

void top_layout_headings(const struct top_layout *l, struct frame *f, int row);
void top_layout_row(const struct top_layout *l, struct frame *f, int row,
		    const struct top_row *values);

/* At most 5 characters: "512M", "1.5G", "12.3k", "850us", "0.05", or "-" */
const char *top_cell(char to[TOP_CELL_MAX], enum top_kind kind, const struct top_value *v);

#endif
