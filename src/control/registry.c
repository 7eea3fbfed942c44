/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/registry.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "control/query_add.h"

uint64_t figure_value(const struct figure *f, const void *from)
{
	const char *at = (const char *)from + f->offset;
	uint64_t wide;
	uint32_t narrow;
	uint8_t byte;

	assert(f->width > 0 && f->type != FIGURE_TEXT);
	switch (f->width) {
	case sizeof(byte):
		memcpy(&byte, at, sizeof(byte));
		return byte;
	case sizeof(narrow):
		memcpy(&narrow, at, sizeof(narrow));
		return f->type == FIGURE_INT ? (uint64_t)(int32_t)narrow : narrow;
	default:
		assert(f->width == sizeof(wide));
		memcpy(&wide, at, sizeof(wide));
		return wide;
	}
}

static void add_ratio(struct json_object *o, const char *name, uint32_t thousandths)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu32 ".%03" PRIu32, thousandths / 1000,
		 thousandths % 1000);
	json_object_object_add(o, name, json_object_new_double_s(thousandths / 1e3, text));
}

static void add(struct json_object *o, const struct figure *f, const void *from)
{
	switch (f->type) {
	case FIGURE_TEXT:
		add_text(o, f->name, (const char *)from + f->offset);
		break;
	case FIGURE_COUNT:
	case FIGURE_SIZE:
		add_uint(o, f->name, figure_value(f, from));
		break;
	case FIGURE_INT:
		add_int(o, f->name, (int64_t)figure_value(f, from));
		break;
	case FIGURE_BOOL:
		add_bool(o, f->name, figure_value(f, from) != 0);
		break;
	case FIGURE_US:
		add_us(o, f->name, figure_value(f, from));
		break;
	case FIGURE_PERCENT:
		add_percent(o, f->name, (uint32_t)figure_value(f, from));
		break;
	case FIGURE_RATIO:
		add_ratio(o, f->name, (uint32_t)figure_value(f, from));
		break;
	case FIGURE_WORD:
	case FIGURE_REAL:
	case FIGURE_OBJECT:
	case FIGURE_ARRAY:
	case FIGURE_WORDS:
	case FIGURE_NULL:
		break;
	}
}

void figures_add(struct json_object *o, const struct figure *rows, const void *from)
{
	for (const struct figure *f = rows; f->name; f++)
		add(o, f, from);
}

const struct figure *object_member(const struct object_type *type, const char *name,
				   bool *optional)
{
	for (int i = 0; i < OBJECT_PARTS_MAX && type->part[i]; i++)
		for (const struct figure *f = type->part[i]; f->name; f++)
			if (!strcmp(f->name, name)) {
				*optional = (type->optional >> i & 1) != 0;
				return f;
			}
	return NULL;
}
