/* SPDX-License-Identifier: BSD-2-Clause */
#include "drumctl/latency.h"

#include <errno.h>
#include <math.h>
#include <string.h>

const char *const latency_mark_name[LATENCY_MARKS] = { "p50", "p90", "p99", "p99.9" };
static const char *const marks[LATENCY_MARKS] = { "p50-us", "p90-us", "p99-us", "p999-us" };

static double number(struct json_object *o, const char *name, double without)
{
	struct json_object *v;

	return json_object_object_get_ex(o, name, &v) ? json_object_get_double(v) : without;
}

/* => false: counts that go down, or edges */
static bool take_buckets(struct latency *l, struct json_object *list)
{
	size_t n = json_object_array_length(list);
	uint64_t before = 0;
	double from = 0;

	if (n > LATENCY_BUCKETS_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		struct json_object *o = json_object_array_get_idx(list, i), *v;
		struct latency_bucket *b = &l->bucket[l->n];

		if (!json_object_object_get_ex(o, "count", &v))
			return false;
		b->from = from;
		b->to = number(o, "le-us", INFINITY);
		b->until = json_object_get_uint64(v);
		if (b->until < before || b->to <= from)
			return false;
		b->count = b->until - before;
		before = b->until;
		from = b->to;
		if (l->n > 0 || b->count > 0)
			l->n++;
	}
	while (l->n > 0 && l->bucket[l->n - 1].count == 0)
		l->n--;
	return true;
}

int latency_parse(struct latency *l, struct json_object *answer, struct err *e)
{
	struct json_object *list, *name;

	*l = (struct latency){ .count = (uint64_t)number(answer, "count", 0) };
	if (json_object_object_get_ex(answer, "name", &name))
		snprintf(l->name, sizeof(l->name), "%s", json_object_get_string(name));
	l->max = number(answer, "max-us", 0);
	l->mean = l->count ? number(answer, "sum-us", 0) / (double)l->count : 0;
	for (int i = 0; i < LATENCY_MARKS; i++)
		l->mark[i] = number(answer, marks[i], 0);
	if (!json_object_object_get_ex(answer, "buckets", &list) ||
	    !json_object_is_type(list, json_type_array) || !take_buckets(l, list))
		return err_set(e, -EPROTO,
			       "drumd answered query-guest-latency with something strange");
	/* what was counted while the answer was made is in one of both only */
	l->count = l->n ? l->bucket[l->n - 1].until : 0;
	return 0;
}

int latency_bucket_of(const struct latency *l, double us)
{
	int i = 0;

	while (i < l->n - 1 && us > l->bucket[i].to)
		i++;
	return i;
}

const char *latency_time(char to[16], double us)
{
	static const char *const units[] = { "ns", "us", "ms", "s" };
	double v = us * 1000;
	int u = 0;

	/* three digits */
	while (v >= 999.5 && u < 3) {
		v /= 1000;
		u++;
	}
	snprintf(to, 16,
		 v >= 99.95 || v == floor(v) ? "%.0f%s"
		 : v >= 9.995		     ? "%.1f%s"
					     : "%.2f%s",
		 v, units[u]);
	return to;
}
