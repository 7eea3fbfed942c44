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
	CELL_SIZE,    /* bytes; 512M unless exact ones are wanted */
	CELL_US,      /* microseconds */
	CELL_SECONDS, /* microseconds, shown as seconds */
};

struct column {
	const char *title;  /* NULL ends the list */
	const char *member; /* of the object; a missing one shows as "-" */
	enum cell cell;
};

/* A line for each object of the array. => 0 or -errno */
int must_check output_table(struct json_object *array, const struct column *columns, bool bytes,
			    struct err *e);

/* A line for each column: its title and the object's member. */
int must_check output_list(struct json_object *object, const struct column *columns, bool bytes,
			   struct err *e);

void output_json(struct json_object *value);

#endif
