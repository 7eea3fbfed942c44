/* SPDX-License-Identifier: BSD-2-Clause */
/* What drumctl prints: tables as of util-linux, or the JSON that came. */
#ifndef DRUM_DRUMCTL_OUTPUT_H
#define DRUM_DRUMCTL_OUTPUT_H

#include <stdbool.h>

#include <json-c/json.h>

#include "base/err.h"

/* What a member of an answer is, and so how it is shown. */
enum cell {
	CELL_TEXT,
	CELL_COUNT,
	CELL_BOOL,	 /* "yes" or "no" */
	CELL_SIZE,	 /* bytes; 512M unless exact ones are wanted */
	CELL_LIMIT,	 /* a count, or "none" for 0 */
	CELL_LIMIT_SIZE, /* a size, or "none" for 0 */
	CELL_US,	 /* microseconds */
	CELL_SECONDS,	 /* microseconds, shown as seconds */
	CELL_PERCENT,	 /* with two decimals */
	CELL_RATIO,	 /* likewise */
};

enum column_flag {
	COLUMN_EXTRA = 1,    /* in a table only if it is asked for */
	COLUMN_OPTIONAL = 2, /* its line of a list is left out where there is no member */
};

struct column {
	const char *title;  /* NULL ends the list */
	const char *member; /* of the object, or a JSON pointer; a missing one shows as "-" */
	enum cell cell;
	unsigned int flags; /* of enum column_flag */
};

struct table_style {
	bool bytes, noheadings, raw;
	const char *output; /* titles, separated by commas, "+" before them adds; or NULL */
};

/*
 * Is output (not NULL) a list of titles of these columns?
 * => 0, or -EINVAL: no, and e->text lists those that there are
 */
int must_check output_check(const struct column *columns, const char *output, struct err *e);

/* A line for each object of the array. => 0 or -errno */
int must_check output_table(struct json_object *array, const struct column *columns,
			    const struct table_style *style, struct err *e);

/* A line for each column: its title and the object's member. */
int must_check output_list(struct json_object *object, const struct column *columns, bool bytes,
			   struct err *e);

/* A line for each member of the object, which is text. */
int must_check output_pairs(struct json_object *object, struct err *e);

void output_json(struct json_object *value);

/* Of each object of the array only the members of the chosen columns. => as output_check */
int must_check output_json_columns(struct json_object *array, const struct column *columns,
				   const char *output, struct err *e);

#endif
