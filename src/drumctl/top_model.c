/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * Two samples are kept: the one that is shown, and the one before it, which rates are taken
 * against.  A rate is known if the object is in both, is the same one (the pid of a guest),
 * and none of its counters went backwards: otherwise somebody began to count anew, and no
 * rate of that object can be believed until there is another sample.  An unknown value is
 * shown as "-" and sorted behind all that are known, whichever way.
 */
#include "drumctl/top_model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const top_query_name[TOP_QUERIES] = {
	[TOP_HOST] = "query-host",
	[TOP_GUESTS] = "query-guests",
	[TOP_DEVICES] = "query-swap-devices",
	[TOP_DISKS] = "query-disks",
};

static const struct top_column guest_columns[] = {
	{ "NAME", "name", "name", NULL, TOP_TEXT, 12, 0 },
	{ "STATE", "state", "state", NULL, TOP_TEXT, 8, 7 },
	{ "SIZE", "size", "size", NULL, TOP_SIZE, 5, 6 },
	{ "RES", "resident", "resident", NULL, TOP_SIZE, 5, 0 },
	{ "SWAP", "swapped", "swapped", NULL, TOP_SIZE, 5, 1 },
	{ "WSET", "working-set", "working-set", NULL, TOP_SIZE, 5, 5 },
	{ "FLT/s", "faults", "faults", NULL, TOP_RATE, 5, 0 },
	{ "IN/s", "in", "pages-in", NULL, TOP_RATE, 5, 3 },
	{ "OUT/s", "out", "pages-out", NULL, TOP_RATE, 5, 4 },
	{ "P99", "p99", "fault-p99-us", NULL, TOP_US, 5, 2 },
	{ "SOME%", "some", "some-10s", NULL, TOP_PERCENT, 5, 2 },
	{ "FULL%", "full", "full-10s", NULL, TOP_PERCENT, 5, 9 },
	{ "LIMIT", "limit", "limit", NULL, TOP_SIZE, 5, 8 },
	{ "TARGT", "target", "target", NULL, TOP_SIZE, 5, 10 },
	{ "BALLN", "balloon", "balloon-size", NULL, TOP_SIZE, 5, 11 },
	{ 0 },
};

static const struct top_column device_columns[] = {
	{ "NAME", "name", "path", "name", TOP_TEXT, 16, 0 },
	{ "TYPE", "type", "type", NULL, TOP_TEXT, 6, 4 },
	{ "STATE", "state", "state", NULL, TOP_TEXT, 9, 5 },
	{ "SIZE", "size", "size", NULL, TOP_SIZE, 5, 3 },
	{ "USED", "used", "used", "cached", TOP_SIZE, 5, 0 },
	{ "RD/s", "reads", "reads", NULL, TOP_RATE, 5, 1 },
	{ "WR/s", "writes", "writes", NULL, TOP_RATE, 5, 1 },
	{ "RDB/s", "read", "read-bytes", NULL, TOP_SIZE_RATE, 5, 0 },
	{ "WRB/s", "written", "write-bytes", NULL, TOP_SIZE_RATE, 5, 0 },
	{ "INFL", "inflight", "inflight", NULL, TOP_COUNT, 4, 6 },
	{ "ERR", "errors", "errors", NULL, TOP_COUNT, 4, 2 },
	{ 0 },
};

const struct top_column *const top_columns[TOP_PANES] = {
	[PANE_GUESTS] = guest_columns,
	[PANE_DEVICES] = device_columns,
};

struct sample {
	uint64_t ns;
	struct json_object *answer[TOP_QUERIES];
};

struct top_model {
	struct sample now, before;
	bool any, pair; /* is there `now`, is there `before` */
	struct top_row *rows;
	size_t room;
};

int top_columns_n(enum top_pane pane)
{
	int n = 0;

	while (top_columns[pane][n].title)
		n++;
	return n;
}

struct top_model *top_model_create(void)
{
	return calloc(1, sizeof(struct top_model));
}

static void drop(struct sample *s)
{
	for (int q = 0; q < TOP_QUERIES; q++)
		json_object_put(s->answer[q]);
	*s = (struct sample){ 0 };
}

void top_model_destroy(struct top_model *m)
{
	if (!m)
		return;
	drop(&m->now);
	drop(&m->before);
	free(m->rows);
	free(m);
}

void top_model_add(struct top_model *m, uint64_t ns, struct json_object *answers[TOP_QUERIES])
{
	drop(&m->before);
	m->before = m->now;
	m->pair = m->any && ns > m->before.ns;
	m->now = (struct sample){ .ns = ns };
	memcpy(m->now.answer, answers, sizeof(m->now.answer));
	m->any = true;
}

void top_model_cut(struct top_model *m)
{
	m->any = m->pair = false;
}

/* --- members ---------------------------------------------------------------------- */

static bool get_number(struct json_object *o, const char *member, double *number)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, member, &v) ||
	    (!json_object_is_type(v, json_type_int) &&
	     !json_object_is_type(v, json_type_double)))
		return false;
	*number = json_object_get_double(v);
	return true;
}

static uint64_t get_size(struct json_object *o, const char *member)
{
	struct json_object *v;

	return json_object_object_get_ex(o, member, &v) ? json_object_get_uint64(v) : 0;
}

static const char *get_text(struct json_object *o, const char *member)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, member, &v) ||
	    !json_object_is_type(v, json_type_string))
		return NULL;
	return json_object_get_string(v);
}

static size_t length(struct json_object *array)
{
	return json_object_is_type(array, json_type_array) ? json_object_array_length(array)
							   : 0;
}

/* What names an object of a list. */
static const char *name_of(struct json_object *o)
{
	const char *name = get_text(o, "path");

	if (!name)
		name = get_text(o, "name");
	return name ? name : "";
}

/* --- rates ------------------------------------------------------------------------ */

static bool is_rate(const struct top_column *c)
{
	return c->kind == TOP_RATE || c->kind == TOP_SIZE_RATE;
}

/* The same object in the sample before, or NULL.  Lists keep their order, nearly: *from is
 * where the last one was found. */
static struct json_object *find_before(struct json_object *list, struct json_object *o,
				       size_t *from)
{
	size_t n = length(list);

	for (size_t k = 0; k < n; k++) {
		size_t i = (*from + k) % n;
		struct json_object *old = json_object_array_get_idx(list, i);

		if (strcmp(name_of(old), name_of(o)) != 0)
			continue;
		*from = i + 1;
		return get_size(old, "pid") == get_size(o, "pid") ? old : NULL;
	}
	return NULL;
}

/* Does it count on from where `old` was? */
static bool counts_on(struct json_object *o, struct json_object *old,
		      const struct top_column *columns)
{
	double a, b;

	for (const struct top_column *c = columns; old && c->title; c++)
		if (is_rate(c) && get_number(o, c->member, &a) &&
		    (!get_number(old, c->member, &b) || a < b))
			return false;
	return old != NULL;
}

static double seconds(const struct top_model *m)
{
	return (double)(m->now.ns - m->before.ns) / 1e9;
}

/* Of the list of one query: each object, and the one before it that it counts on from. */
struct walk {
	const struct top_model *m;
	struct json_object *list, *list_before;
	const struct top_column *columns;
	size_t i, from;
};

static struct walk walk_begin(const struct top_model *m, enum top_query q)
{
	return (struct walk){
		.m = m,
		.list = m->now.answer[q],
		.list_before = m->pair ? m->before.answer[q] : NULL,
		.columns = q == TOP_GUESTS ? guest_columns : device_columns,
	};
}

/* => false: there are no more */
static bool walk_next(struct walk *w, struct json_object **o, struct json_object **old)
{
	if (w->i == length(w->list))
		return false;
	*o = json_object_array_get_idx(w->list, w->i++);
	*old = find_before(w->list_before, *o, &w->from);
	if (!counts_on(*o, *old, w->columns))
		*old = NULL;
	return true;
}

static void set_rate(struct top_value *v, const struct top_model *m, struct json_object *o,
		     struct json_object *old, const char *member)
{
	double a, b;

	if (!old || !get_number(o, member, &a) || !get_number(old, member, &b))
		return;
	v->number += (a - b) / seconds(m);
	v->known = true;
}

/* --- rows ------------------------------------------------------------------------- */

/* Swap devices count three kinds of errors, disks one. */
static void set_errors(struct top_value *v, struct json_object *o)
{
	static const char *const kinds[] = { "errors", "read-errors", "write-errors",
					     "checksum-errors" };
	double n;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!get_number(o, kinds[i], &n))
			continue;
		v->number += n;
		v->known = true;
	}
}

static void fill_row(struct top_row *row, const struct walk *w, struct json_object *o,
		     struct json_object *old)
{
	*row = (struct top_row){ 0 };
	for (int i = 0; w->columns[i].title; i++) {
		const struct top_column *c = &w->columns[i];
		struct top_value *v = &row->value[i];

		if (is_rate(c)) {
			set_rate(v, w->m, o, old, c->member);
		} else if (c->kind == TOP_TEXT) {
			v->text = get_text(o, c->member);
			if (!v->text && c->or_else)
				v->text = get_text(o, c->or_else);
			v->known = v->text != NULL;
		} else if (!strcmp(c->name, "errors")) {
			set_errors(v, o);
		} else {
			v->known = get_number(o, c->member, &v->number) ||
				   (c->or_else && get_number(o, c->or_else, &v->number));
		}
	}
}

static bool is_shown(struct json_object *o, const char *filter)
{
	return !filter[0] || strcasestr(name_of(o), filter);
}

struct comparison {
	const struct top_column *column;
	int index;
	bool reverse;
};

static int compare(const void *pa, const void *pb, void *arg)
{
	const struct top_row *a = pa, *b = pb;
	const struct comparison *c = arg;
	const struct top_value *x = &a->value[c->index], *y = &b->value[c->index];
	int d = 0;

	if (x->known != y->known)
		return x->known ? -1 : 1;
	/* texts from A on, numbers from the largest on */
	if (x->known && c->column->kind == TOP_TEXT)
		d = strcmp(x->text, y->text);
	else if (x->known)
		d = (x->number < y->number) - (x->number > y->number);
	if (c->reverse)
		d = -d;
	if (d == 0 && a->value[0].text && b->value[0].text)
		d = strcmp(a->value[0].text, b->value[0].text);
	return d;
}

/* => false: no memory, and there are fewer rows than there should be */
static bool make_room(struct top_model *m, size_t n)
{
	struct top_row *rows;

	if (n <= m->room)
		return true;
	rows = realloc(m->rows, n * sizeof(*rows));
	if (!rows)
		return false;
	m->rows = rows;
	m->room = n;
	return true;
}

static size_t add_rows(struct top_model *m, enum top_query q, const char *filter, size_t n,
		       size_t *hidden)
{
	struct walk w = walk_begin(m, q);
	struct json_object *o, *old;

	while (n < m->room && walk_next(&w, &o, &old)) {
		if (!is_shown(o, filter)) {
			++*hidden;
			continue;
		}
		fill_row(&m->rows[n++], &w, o, old);
		/* no member of the answer tells what a disk is */
		if (q == TOP_DISKS)
			m->rows[n - 1].value[1] =
				(struct top_value){ .known = true, .text = "disk" };
	}
	return n;
}

size_t top_model_rows(struct top_model *m, enum top_pane pane, const struct top_order *order,
		      const struct top_row **rows, size_t *hidden)
{
	struct comparison c = { &top_columns[pane][order->column], order->column,
				order->reverse };
	size_t n = 0;

	*hidden = 0;
	if (pane == PANE_GUESTS) {
		if (make_room(m, length(m->now.answer[TOP_GUESTS])))
			n = add_rows(m, TOP_GUESTS, order->filter, 0, hidden);
	} else if (make_room(m, length(m->now.answer[TOP_DEVICES]) +
					length(m->now.answer[TOP_DISKS]))) {
		n = add_rows(m, TOP_DEVICES, order->filter, 0, hidden);
		n = add_rows(m, TOP_DISKS, order->filter, n, hidden);
	}
	if (n > 1)
		qsort_r(m->rows, n, sizeof(*m->rows), compare, &c);
	*rows = m->rows;
	return n;
}

void top_order_init(struct top_order *order, enum top_pane pane)
{
	*order = (struct top_order){ 0 };
	while (strcmp(top_columns[pane][order->column].name,
		      pane == PANE_GUESTS ? "faults" : "used") != 0)
		order->column++;
}

int top_column_find(enum top_pane pane, const char *name, struct err *e)
{
	const struct top_column *columns = top_columns[pane];
	char list[256] = "";
	size_t used = 0;

	for (int i = 0; columns[i].title; i++) {
		if (!strcmp(columns[i].name, name))
			return i;
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s",
					 used ? ", " : "", columns[i].name);
	}
	return err_set(e, -EINVAL, "--sort: no column is named '%s'; there are %s", name, list);
}

/* --- host ------------------------------------------------------------------------- */

static void set_most(struct top_value *v, struct json_object *o, const char *member)
{
	double n;

	if (!get_number(o, member, &n) || (v->known && n <= v->number))
		return;
	v->number = n;
	v->known = true;
}

static void add_guests(const struct top_model *m, struct top_host *host)
{
	struct walk w = walk_begin(m, TOP_GUESTS);
	struct json_object *o, *old;

	while (walk_next(&w, &o, &old)) {
		host->guests++;
		set_rate(&host->faults, m, o, old, "faults");
		set_rate(&host->in, m, o, old, "pages-in");
		set_rate(&host->out, m, o, old, "pages-out");
		set_most(&host->some, o, "some-10s");
		set_most(&host->full, o, "full-10s");
	}
}

static void add_devices(const struct top_model *m, struct top_host *host)
{
	struct walk w = walk_begin(m, TOP_DEVICES);
	struct json_object *o, *old;

	while (walk_next(&w, &o, &old)) {
		host->swap_size += get_size(o, "size");
		host->swap_used += get_size(o, "used");
		set_rate(&host->read, m, o, old, "read-bytes");
		set_rate(&host->write, m, o, old, "write-bytes");
	}
}

bool top_model_host(const struct top_model *m, struct top_host *host)
{
	struct json_object *o = m->now.answer[TOP_HOST];

	*host = (struct top_host){ .known = o != NULL };
	host->budget = get_size(o, "budget");
	host->used = get_size(o, "used");
	host->free = get_size(o, "free");
	host->headroom = get_size(o, "headroom");
	host->reserved = get_size(o, "reserved");
	host->swap_free = get_size(o, "free-swap");
	host->level = get_text(o, "level");
	add_guests(m, host);
	add_devices(m, host);
	return host->known;
}
