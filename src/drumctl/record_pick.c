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

static struct json_object *buckets_of(struct json_object *answer)
{
	struct json_object *list;

	return json_object_object_get_ex(answer, "buckets", &list) &&
			       json_object_is_type(list, json_type_array)
		       ? list
		       : NULL;
}

static double number_of(struct json_object *o, const char *name, double without)
{
	struct json_object *v;

	return json_object_object_get_ex(o, name, &v) ? json_object_get_double(v) : without;
}

/* Counts are cumulative: how many more there are up to the edge of this bucket. */
static double more(struct json_object *before, struct json_object *now, size_t i)
{
	return number_of(json_object_array_get_idx(now, i), "count", 0) -
	       number_of(json_object_array_get_idx(before, i), "count", 0);
}

double record_percentile(struct json_object *before, struct json_object *now, double share)
{
	struct json_object *was = buckets_of(before), *is = buckets_of(now);
	double wanted, below = 0, until, from = 0, to;
	size_t n = is ? json_object_array_length(is) : 0;

	if (!was || !n || json_object_array_length(was) != n || more(was, is, n - 1) <= 0)
		return 0;
	wanted = share * more(was, is, n - 1);
	for (size_t i = 0; i < n; i++, below = until, from = to) {
		until = more(was, is, i);
		/* the last one has no edge */
		to = number_of(json_object_array_get_idx(is, i), "le-us",
			       number_of(now, "max-us", from));
		if (until < below)
			return 0;
		if (until >= wanted && until > below)
			return from +
			       (to > from ? to - from : 0) * (wanted - below) / (until - below);
	}
	return 0;
}
