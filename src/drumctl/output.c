/* SPDX-License-Identifier: BSD-2-Clause */
#include "drumctl/output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <libsmartcols/libsmartcols.h>

#include "base/size.h"

#define NUMBER_MAX 32

static const char *cell_text(struct json_object *object, const struct column *column,
			     bool bytes, char buf[NUMBER_MAX])
{
	struct json_object *v;
	char size[SIZE_TEXT_MAX];

	if (!json_object_object_get_ex(object, column->member, &v))
		return "-";
	switch (column->cell) {
	case CELL_SIZE:
		if (bytes)
			break;
		snprintf(buf, NUMBER_MAX, "%s", size_format(size, json_object_get_uint64(v)));
		return buf;
	case CELL_US:
		snprintf(buf, NUMBER_MAX, "%.1f", json_object_get_double(v));
		return buf;
	case CELL_SECONDS:
		snprintf(buf, NUMBER_MAX, "%.1f", json_object_get_double(v) / 1e6);
		return buf;
	case CELL_TEXT:
	case CELL_COUNT:
		break;
	}
	return json_object_get_string(v);
}

static int print_and_free(struct libscols_table *table, int rc, struct err *e)
{
	if (rc == 0)
		rc = scols_print_table(table);
	scols_unref_table(table);
	if (rc < 0)
		return err_set(e, rc, "cannot print a table: %s", strerror(-rc));
	return 0;
}

int output_table(struct json_object *array, const struct column *columns, bool bytes,
		 struct err *e)
{
	struct libscols_table *table = scols_new_table();
	const struct column *c;
	char buf[NUMBER_MAX];
	size_t i, k;
	int rc = table ? 0 : -ENOMEM;

	for (c = columns; rc == 0 && c->title; c++)
		if (!scols_table_new_column(table, c->title, 0,
					    c->cell == CELL_TEXT ? 0 : SCOLS_FL_RIGHT))
			rc = -ENOMEM;
	for (i = 0; rc == 0 && i < json_object_array_length(array); i++) {
		struct json_object *object = json_object_array_get_idx(array, i);
		struct libscols_line *line = scols_table_new_line(table, NULL);

		if (!line)
			rc = -ENOMEM;
		for (k = 0; rc == 0 && columns[k].title; k++)
			rc = scols_line_set_data(line, k,
						 cell_text(object, &columns[k], bytes, buf));
	}
	return print_and_free(table, rc, e);
}

int output_list(struct json_object *object, const struct column *columns, bool bytes,
		struct err *e)
{
	struct libscols_table *table = scols_new_table();
	const struct column *c;
	char buf[NUMBER_MAX];
	int rc = table ? 0 : -ENOMEM;

	if (rc == 0 && (!scols_table_new_column(table, "", 0, 0) ||
			!scols_table_new_column(table, "", 0, 0)))
		rc = -ENOMEM;
	if (rc == 0)
		rc = scols_table_enable_noheadings(table, 1);
	for (c = columns; rc == 0 && c->title; c++) {
		struct libscols_line *line = scols_table_new_line(table, NULL);

		rc = line ? scols_line_set_data(line, 0, c->title) : -ENOMEM;
		if (rc == 0)
			rc = scols_line_set_data(line, 1, cell_text(object, c, bytes, buf));
	}
	return print_and_free(table, rc, e);
}

void output_json(struct json_object *value)
{
	puts(json_object_to_json_string_ext(value, JSON_C_TO_STRING_PRETTY |
							   JSON_C_TO_STRING_SPACED |
							   JSON_C_TO_STRING_NOSLASHESCAPE));
}
