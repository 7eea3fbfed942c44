/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables of figures and events: that they are sound, and that answers are made of them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "balloon/manager.h"
#include "control/commands.h"
#include "control/event_table.h"
#include "control/registry.h"

static const char *const sample[] = { "guest_faults", "host_budget_bytes", "swap_requests" };

/* fn is called for each object type that some command returns, those within others too */
static void each_object(const struct object_type *t, int depth,
			void (*fn)(const struct object_type *t))
{
	cr_assert_lt(depth, 4, "%s contains itself", t->name);
	fn(t);
	for (int i = 0; i < OBJECT_PARTS_MAX && t->part[i]; i++)
		for (const struct figure *f = t->part[i]; f->name; f++)
			if (f->of)
				each_object(f->of, depth + 1, fn);
}

static void each(void (*fn)(const struct object_type *t))
{
	for (const struct command *c = commands; c->name; c++)
		each_object(c->returns ? c->returns : &done_object, 0, fn);
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n > m && !strcmp(text + n - m, end);
}

static void check_row(const struct object_type *t, const struct figure *f)
{
	bool optional;

	cr_assert(f->doc && f->doc[0], "%s.%s is not described", t->name, f->name);
	cr_assert(ends_with(f->doc, ".") || ends_with(f->doc, ".)"), "%s.%s: %s", t->name,
		  f->name, f->doc);
	cr_assert_eq(object_member(t, f->name, &optional), f, "%s.%s is there twice", t->name,
		     f->name);
	cr_assert_eq(f->kind == FIGURE_INFO, f->metric == NULL, "%s.%s", t->name, f->name);
	cr_assert(f->metric || !f->label, "%s.%s", t->name, f->name);
	if (f->width && f->type != FIGURE_TEXT)
		cr_assert(f->width == 1 || f->width == 4 || f->width == 8, "%s.%s", t->name,
			  f->name);
	if (f->type == FIGURE_US || f->type == FIGURE_PERCENT || f->type == FIGURE_RATIO)
		cr_assert_eq(f->width, f->type == FIGURE_US ? 8 : 4, "%s.%s", t->name, f->name);
	/* the name tells the unit */
	cr_assert_eq(f->type == FIGURE_US || f->type == FIGURE_REAL, ends_with(f->name, "-us"),
		     "%s.%s", t->name, f->name);
	if (f->metric && f->type == FIGURE_SIZE)
		cr_assert(strstr(f->metric, "_bytes"), "%s is no size", f->metric);
	if (f->metric && f->type == FIGURE_US)
		cr_assert(ends_with(f->metric, "_seconds"), "%s is no time", f->metric);
}

static void check_object(const struct object_type *t)
{
	int parts = 0;

	cr_assert(t->doc && t->doc[0]);
	while (parts < OBJECT_PARTS_MAX && t->part[parts])
		parts++;
	cr_assert_gt(parts, 0);
	cr_assert_eq(t->optional >> parts, 0, "%s", t->name);
	for (int i = 0; i < parts; i++)
		for (const struct figure *f = t->part[i]; f->name; f++)
			check_row(t, f);
}

Test(registry, rows_are_sound)
{
	each(check_object);
}

static size_t found;

static void look_for_samples(const struct object_type *t)
{
	for (int i = 0; i < OBJECT_PARTS_MAX && t->part[i]; i++)
		for (const struct figure *f = t->part[i]; f->name; f++)
			for (size_t k = 0; f->metric && k < sizeof(sample) / sizeof(sample[0]);
			     k++)
				found |= !strcmp(f->metric, sample[k]) ? (size_t)1 << k : 0;
}

Test(registry, what_is_asked_for_most_is_a_metric)
{
	each(look_for_samples);
	cr_assert_eq(found, 7);
}

Test(registry, values_of_each_type)
{
	struct guest_stats g = { .name = "web",
				 .pid = -3,
				 .size = UINT64_MAX,
				 .vcpus = 4,
				 .fault_p99 = 1250,
				 .busy = true };
	struct manager_guest m = { .some = { 1234567 } };
	struct manager_stats s = { .overcommit = 1250 };
	struct json_object *o = json_object_new_object();
	const char *text;

	figures_add(o, guest_figures, &g);
	figures_add(o, guest_terms_figures, &m);
	figures_add(o, host_overcommit_figures, &s);
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	for (const char *const *want =
		     (const char *const[]){
			     "\"name\":\"web\"", "\"pid\":-3", "\"size\":18446744073709551615",
			     "\"vcpus\":4", "\"fault-p99-us\":1.3", "\"busy\":true",
			     "\"some-10s\":123.4567", "\"overcommit\":1.250", NULL };
	     *want; want++)
		cr_expect(strstr(text, *want), "%s is not in %s", *want, text);
	json_object_put(o);
}

Test(event_table, an_event_that_is_not_as_it_says)
{
	struct host_event ok = { .name = "SWAP_DEVICE_REMOVED",
				 .field = { { .key = "path", .text = "/swap" } } };
	struct host_event no_text = { .name = "SWAP_DEVICE_REMOVED",
				      .field = { { .key = "path", .number = 1 } } };
	struct host_event lacks = { .name = "SWAP_DEVICE_REMOVED" };
	struct host_event more = { .name = "SWAP_DEVICE_REMOVED",
				   .field = { { .key = "path", .text = "/swap" },
					      { .key = "size", .number = 1 } } };
	struct host_event share = { .name = "HOST_PRESSURE",
				    .field = { { .key = "level", .text = "low" },
					       { .key = "some-avg10", .percent = true },
					       { .key = "full-avg10", .percent = true } } };
	struct host_event unknown = { .name = "SWAP_EATEN" };
	struct err e;

	cr_assert_eq(event_check(&ok, &e), 0);
	cr_assert_eq(event_check(&no_text, &e), -EINVAL);
	cr_assert_str_eq(e.text, "event SWAP_DEVICE_REMOVED: path is no text");
	cr_assert_eq(event_check(&lacks, &e), -EINVAL);
	cr_assert_str_eq(e.text, "event SWAP_DEVICE_REMOVED lacks path");
	cr_assert_eq(event_check(&more, &e), -EINVAL);
	cr_assert_eq(event_check(&share, &e), 0);
	share.field[2].percent = false;
	cr_assert_eq(event_check(&share, &e), -EINVAL);
	cr_assert_str_eq(e.text, "event HOST_PRESSURE: full-avg10 is no percent");
	cr_assert_eq(event_check(&unknown, &e), -EINVAL);
	cr_assert_str_eq(e.text, "event SWAP_EATEN is in no table");
}

Test(event_table, is_sound)
{
	for (const struct event_def *d = event_defs; d->name; d++) {
		int n = 0;

		cr_assert_eq(event_find(d->name), d, "%s is there twice", d->name);
		cr_assert(ends_with(d->doc, "."), "%s", d->name);
		for (; d->field[n].name; n++)
			cr_assert(ends_with(d->field[n].doc, "."), "%s.%s", d->name,
				  d->field[n].name);
		cr_assert_leq(n, HOST_EVENT_FIELDS);
	}
}
