/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What "drumctl top" shows, as figures: of two samples, which are what the daemon answered,
 * rows of values with rates between the two, sorted and filtered.  Nothing here knows of
 * terminals or clocks.
 */
#ifndef DRUM_DRUMCTL_TOP_MODEL_H
#define DRUM_DRUMCTL_TOP_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

#include "base/err.h"

enum top_query { TOP_HOST, TOP_GUESTS, TOP_DEVICES, TOP_DISKS, TOP_QUERIES };

/* The command of each. */
extern const char *const top_query_name[TOP_QUERIES];

/* Two lists are shown; disks stand among the swap devices. */
enum top_pane { PANE_GUESTS, PANE_DEVICES, TOP_PANES };

enum top_kind {
	TOP_TEXT,
	TOP_SIZE,      /* bytes */
	TOP_COUNT,     /* of a number that is no rate */
	TOP_RATE,      /* a second */
	TOP_SIZE_RATE, /* bytes a second */
	TOP_US,	       /* microseconds */
	TOP_PERCENT,
};

struct top_column {
	const char *title;   /* as it stands above the column */
	const char *name;    /* as --sort has it */
	const char *member;  /* of the answer's objects */
	const char *or_else; /* the member that is taken where there is none of that; or NULL */
	enum top_kind kind;
	int width;    /* columns of the screen */
	int priority; /* in a narrow terminal those with the highest go first; 0 never goes */
};

#define TOP_COLUMNS_MAX 20
extern const struct top_column *const top_columns[TOP_PANES]; /* each ends with a NULL title */
int top_columns_n(enum top_pane pane);

struct top_value {
	bool known;
	double number;
	const char *text; /* of TOP_TEXT; as long as the sample is the model's */
};

struct top_row {
	struct top_value value[TOP_COLUMNS_MAX]; /* as the columns; the name comes first */
};

struct top_host {
	bool known; /* there was an answer */
	uint64_t budget, used, free, headroom, reserved, swap_size, swap_used, swap_free;
	const char *level;
	size_t guests;
	struct top_value faults, in, out, read, write; /* rates over all */
	struct top_value some, full;		       /* the guest that has most, percent */
};

/* How a pane is to be shown. */
struct top_order {
	int column; /* that it is sorted by */
	bool reverse;
	char filter[64]; /* only names with this in them, whatever the case; or "" */
};

struct top_model;

struct top_model *top_model_create(void);
void top_model_destroy(struct top_model *m);

/* A sample of the time `ns`: answers[], which are taken over.  NULL: it was not answered. */
void top_model_add(struct top_model *m, uint64_t ns, struct json_object *answers[TOP_QUERIES]);

/*
 * The daemon is another one, or was away: what it counts may begin again at 0, so the next
 * sample is a first one.  What is shown stays.
 */
void top_model_cut(struct top_model *m);

/* => false: there is no sample yet */
bool top_model_host(const struct top_model *m, struct top_host *host);

/*
 * The rows of a pane.  => how many; *rows stay the model's until the next call of any of
 * these functions.  *hidden: how many the filter hides
 */
size_t top_model_rows(struct top_model *m, enum top_pane pane, const struct top_order *order,
		      const struct top_row **rows, size_t *hidden);

/* How a pane is sorted at first. */
void top_order_init(struct top_order *order, enum top_pane pane);

/* => the pane's column of this name, or -EINVAL and e lists them */
int must_check top_column_find(enum top_pane pane, const char *name, struct err *e);

#endif
