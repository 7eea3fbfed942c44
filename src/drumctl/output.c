/* SPDX-License-Identifier: BSD-2-Clause */
#include "drumctl/output.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <libsmartcols/libsmartcols.h>

#include "base/size.h"

#define NUMBER_MAX  32
#define COLUMNS_MAX 64 /* of one table */

/* --- columns --------------------------------------------------------------- */

/* The column whose title is the first len characters of name. */
static const struct column *find_column(const struct column *columns, const char *name,
					size_t len)
{
	const struct column *c;

	for (c = columns; c->title; c++)
		if (strlen(c->title) == len && !strncasecmp(c->title, name, len))
			return c;
	return NULL;
}

static int unknown_column(const struct column *columns, const char *name, size_t len,
			  struct err *e)
{
	char list[384] = "";
	const struct column *c;
	size_t used = 0;

	for (c = columns; c->title && used < sizeof(list); c++)
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s",
					 used ? ", " : "", c->title);
	return err_set(e, -EINVAL, "unknown column '%.*s'; there are %s", (int)len, name, list);
}

/* => how many of them are in picked, or -EINVAL */
static int pick(const struct column *columns, const char *output,
		const struct column *picked[COLUMNS_MAX], struct err *e)
{
	const struct column *c;
	int n = 0;

	if (!output || output[0] == '+')
		for (c = columns; c->title && n < COLUMNS_MAX; c++)
			if (!(c->flags & COLUMN_EXTRA))
				picked[n++] = c;
	if (!output)
		return n;
	output += output[0] == '+';
	for (;;) {
		size_t len = strcspn(output, ",");

		c = find_column(columns, output, len);
		if (!c)
			return unknown_column(columns, output, len, e);
		if (n == COLUMNS_MAX)
			return err_set(e, -EINVAL, "more than %d columns", COLUMNS_MAX);
		picked[n++] = c;
		if (!output[len])
			return n;
		output += len + 1;
	}
}

int output_check(const struct column *columns, const char *output, struct err *e)
{
	const struct column *picked[COLUMNS_MAX];
	int n = pick(columns, output, picked, e);

	return n < 0 ? n : 0;
}

/* --- cells ----------------------------------------------------------------- */

static bool get_member(struct json_object *object, const struct column *column,
		       struct json_object **v)
{
	if (column->member[0] == '/')
		return json_pointer_get(object, column->member, v) == 0;
	return json_object_object_get_ex(object, column->member, v);
}

static const char *cell_text(struct json_object *object, const struct column *column,
			     bool bytes, char buf[NUMBER_MAX])
{
	struct json_object *v;
	char size[SIZE_TEXT_MAX];

	if (!get_member(object, column, &v))
		return "-";
	if ((column->cell == CELL_LIMIT || column->cell == CELL_LIMIT_SIZE) &&
	    json_object_get_uint64(v) == 0)
		return "none";
	switch (column->cell) {
	case CELL_SIZE:
	case CELL_LIMIT_SIZE:
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
	case CELL_PERCENT:
		snprintf(buf, NUMBER_MAX, "%.2f%%", json_object_get_double(v));
		return buf;
	case CELL_RATIO:
		snprintf(buf, NUMBER_MAX, "%.2f", json_object_get_double(v));
		return buf;
	case CELL_BOOL:
		return json_object_get_boolean(v) ? "yes" : "no";
	case CELL_TEXT:
	case CELL_COUNT:
	case CELL_LIMIT:
		break;
	}
	return json_object_get_string(v);
}

/* --- tables ---------------------------------------------------------------- */

static int print_and_free(struct libscols_table *table, int rc, struct err *e)
{
	if (rc == 0)
		rc = scols_print_table(table);
	scols_unref_table(table);
	if (rc < 0)
		return err_set(e, rc, "cannot print a table: %s", strerror(-rc));
	return 0;
}

static int add_line(struct libscols_table *table, struct json_object *object,
		    const struct column *const *picked, int n, bool bytes)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);
	char buf[NUMBER_MAX];
	int k, rc = line ? 0 : -ENOMEM;

	for (k = 0; rc == 0 && k < n; k++)
		rc = scols_line_set_data(line, (size_t)k,
					 cell_text(object, picked[k], bytes, buf));
	return rc;
}

int output_table(struct json_object *array, const struct column *columns,
		 const struct table_style *style, struct err *e)
{
	const struct column *picked[COLUMNS_MAX];
	int n = pick(columns, style->output, picked, e), k, rc;
	struct libscols_table *table;
	size_t i;

	if (n < 0)
		return n;
	table = scols_new_table();
	rc = table ? scols_table_enable_noheadings(table, style->noheadings) : -ENOMEM;
	if (rc == 0)
		rc = scols_table_enable_raw(table, style->raw);
	for (k = 0; rc == 0 && k < n; k++) {
		bool left = picked[k]->cell == CELL_TEXT || picked[k]->cell == CELL_BOOL;

		if (!scols_table_new_column(table, picked[k]->title, 0,
					    left ? 0 : SCOLS_FL_RIGHT))
			rc = -ENOMEM;
	}
	for (i = 0; rc == 0 && i < json_object_array_length(array); i++)
		rc = add_line(table, json_object_array_get_idx(array, i), picked, n,
			      style->bytes);
	return print_and_free(table, rc, e);
}

/* Of two columns, without headings. => NULL: no memory */
static struct libscols_table *new_list(void)
{
	struct libscols_table *table = scols_new_table();

	if (table && (!scols_table_new_column(table, "", 0, 0) ||
		      !scols_table_new_column(table, "", 0, 0) ||
		      scols_table_enable_noheadings(table, 1) < 0)) {
		scols_unref_table(table);
		return NULL;
	}
	return table;
}

static int add_pair(struct libscols_table *table, const char *title, const char *text)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);
	int rc = line ? scols_line_set_data(line, 0, title) : -ENOMEM;

	return rc == 0 ? scols_line_set_data(line, 1, text) : rc;
}

int output_list(struct json_object *object, const struct column *columns, bool bytes,
		struct err *e)
{
	struct libscols_table *table = new_list();
	const struct column *c;
	struct json_object *v;
	char buf[NUMBER_MAX];
	int rc = table ? 0 : -ENOMEM;

	for (c = columns; rc == 0 && c->title; c++) {
		if ((c->flags & COLUMN_OPTIONAL) && !get_member(object, c, &v))
			continue;
		rc = add_pair(table, c->title, cell_text(object, c, bytes, buf));
	}
	return print_and_free(table, rc, e);
}

int output_pairs(struct json_object *object, struct err *e)
{
	struct libscols_table *table = new_list();
	int rc = table ? 0 : -ENOMEM;

	json_object_object_foreach(object, title, text)
	{
		if (rc == 0)
			rc = add_pair(table, title, json_object_get_string(text));
	}
	return print_and_free(table, rc, e);
}

/* --- JSON ------------------------------------------------------------------ */

void output_json(struct json_object *value)
{
	puts(json_object_to_json_string_ext(value, JSON_C_TO_STRING_PRETTY |
							   JSON_C_TO_STRING_SPACED |
							   JSON_C_TO_STRING_NOSLASHESCAPE));
}

/* The object's own name for it; where it is deep inside, the title. */
static const char *json_name(const struct column *column, char buf[NUMBER_MAX])
{
	size_t i;

	if (column->member[0] != '/')
		return column->member;
	snprintf(buf, NUMBER_MAX, "%s", column->title);
	for (i = 0; buf[i]; i++)
		buf[i] = (char)tolower((unsigned char)buf[i]);
	return buf;
}

int output_json_columns(struct json_object *array, const struct column *columns,
			const char *output, struct err *e)
{
	const struct column *picked[COLUMNS_MAX];
	int n = pick(columns, output, picked, e), k;
	struct json_object *all, *v;
	char name[NUMBER_MAX];
	size_t i;

	if (n < 0)
		return n;
	all = json_object_new_array();
	for (i = 0; i < json_object_array_length(array); i++) {
		struct json_object *from = json_object_array_get_idx(array, i);
		struct json_object *to = json_object_new_object();

		for (k = 0; k < n; k++)
			if (get_member(from, picked[k], &v))
				json_object_object_add(to, json_name(picked[k], name),
						       json_object_get(v));
		json_object_array_add(all, to);
	}
	output_json(all);
	json_object_put(all);
	return 0;
}
