/* SPDX-License-Identifier: BSD-2-Clause */
#include "drumctl/record.h"

static bool says_nothing(struct json_object *value)
{
	switch (json_object_get_type(value)) {
	case json_type_int:
		return json_object_get_uint64(value) == 0;
	case json_type_double:
		return json_object_get_double(value) == 0;
	case json_type_string:
		return json_object_get_string_len(value) == 0;
	default:
		return true; /* none of them has a member like that */
	}
}

struct json_object *record_pick(enum record_group group, struct json_object *from)
{
	const struct record_group_def *g = &record_groups[group];
	struct json_object *o = json_object_new_object(), *value;

	for (size_t i = 0; i < g->members; i++)
		if (json_object_object_get_ex(from, g->member[i].name, &value) &&
		    !says_nothing(value))
			json_object_object_add(o, g->member[i].name, json_object_get(value));
	return o;
}

struct json_object *record_pick_answer(enum record_group group, struct json_object *answer)
{
	struct json_object *array;
	size_t i, n;

	if (!record_groups[group].many)
		return record_pick(group, answer);
	array = json_object_new_array();
	n = json_object_is_type(answer, json_type_array) ? json_object_array_length(answer) : 0;
	for (i = 0; i < n; i++)
		json_object_array_add(array,
				      record_pick(group, json_object_array_get_idx(answer, i)));
	return array;
}
