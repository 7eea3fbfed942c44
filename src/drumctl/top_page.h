/* SPDX-License-Identifier: BSD-2-Clause */
/* The page of "drumctl top", and what its keys do; without a terminal. */
#ifndef DRUM_DRUMCTL_TOP_PAGE_H
#define DRUM_DRUMCTL_TOP_PAGE_H

#include "drumctl/frame.h"
#include "drumctl/top_model.h"

/* What is typed: characters are themselves, these are others. */
enum top_key {
	TOP_KEY_NONE = 0,
	TOP_KEY_ENTER = '\n',
	TOP_KEY_ESCAPE = 27,
	TOP_KEY_ERASE = 127,
	TOP_KEY_UP = 256,
	TOP_KEY_DOWN,
	TOP_KEY_LEFT,
	TOP_KEY_RIGHT,
	TOP_KEY_PAGE_UP,
	TOP_KEY_PAGE_DOWN,
	TOP_KEY_HOME,
	TOP_KEY_END,
};

struct top_view {
	enum top_pane pane;
	struct top_order order[TOP_PANES];
	size_t first[TOP_PANES]; /* the row that stands at the top */
	bool help;
	bool typing;		    /* the filter is being typed */
	char undo[64];		    /* the filter before */
	char message[ERR_TEXT_MAX]; /* what is wrong, or "" */
	char clock[16];		    /* the time of day of the sample */
};

void top_view_init(struct top_view *v);

enum top_action { TOP_STAY, TOP_NOW, TOP_QUIT };
enum top_action top_key(struct top_view *v, int key, int rows);

/* Draw all of it.  Scrolling is brought within what there is. */
void top_page(struct frame *f, struct top_model *m, struct top_view *v);

/*
 * Without a terminal: both lists, all rows and columns, as they come behind each other.
 * => NULL: no memory
 */
struct frame *top_batch(struct top_model *m, const struct top_view *v);

#endif
