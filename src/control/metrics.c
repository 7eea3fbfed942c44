/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * All samples of a family must stand together, below one HELP and TYPE, while a row of the
 * registry is one sample of a family, and its table is given for many objects.  So the outer
 * loop is over families, in the order in which rows name them first, then come the objects of
 * a set, then the rows of that family.  A family is thus written by its first row and passed
 * over at all others.
 *
 * The formats differ in little: OpenMetrics calls a counter's family by its name without
 * "_total", and so an info's without "_info"; has UNIT lines and a type for infos; and ends
 * with "# EOF".
 *
 * Values are written as exact decimals of the integers that they are: no double is rounded
 * on the way.  Names of objects are what people have chosen, and a reader refuses all of a text
 * for one byte that is no UTF-8: such bytes are shown as \xHH.
 */
#include "control/metrics.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "drum_"

struct out {
	char *p;
	size_t len, room;
	bool failed; /* no memory */
	bool open;   /* OpenMetrics */
};

/* --- text ------------------------------------------------------------------------ */

static void put_bytes(struct out *o, const char *text, size_t n)
{
	if (o->failed)
		return;
	if (o->len + n > o->room) {
		size_t room = o->room ? o->room * 2 : 16384;
		char *p;

		while (room < o->len + n)
			room *= 2;
		p = realloc(o->p, room);
		if (!p) {
			o->failed = true;
			return;
		}
		o->p = p;
		o->room = room;
	}
	memcpy(o->p + o->len, text, n);
	o->len += n;
}

static void put(struct out *o, const char *text)
{
	put_bytes(o, text, strlen(text));
}

__attribute__((format(printf, 2, 3))) static void putf(struct out *o, const char *fmt, ...)
{
	char text[64];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	assert(n >= 0 && (size_t)n < sizeof(text));
	put_bytes(o, text, (size_t)n);
}

/* value / 10^digits, exactly */
static void put_fraction(struct out *o, uint64_t value, unsigned int digits)
{
	char text[32];
	uint64_t unit = 1;
	size_t n;

	for (unsigned int i = 0; i < digits; i++)
		unit *= 10;
	n = (size_t)snprintf(text, sizeof(text), "%" PRIu64, value / unit);
	if (value % unit) {
		n += (size_t)snprintf(text + n, sizeof(text) - n, ".%0*" PRIu64, (int)digits,
				      value % unit);
		while (text[n - 1] == '0')
			n--;
	}
	put_bytes(o, text, n);
}

/* => bytes of the character that p begins with, or 0: it is no UTF-8 */
static size_t character(const unsigned char *p)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = p[0] < 0x80	     ? 1
		   : p[0] >> 5 == 6  ? 2
		   : p[0] >> 4 == 14 ? 3
		   : p[0] >> 3 == 30 ? 4
				     : 0;
	uint32_t code = n > 1 ? p[0] & (0xffu >> (n + 1)) : p[0];

	for (size_t i = 1; i < n; i++) {
		if (p[i] >> 6 != 2)
			return 0;
		code = code << 6 | (p[i] & 0x3fu);
	}
	if (n > 1 && (code < least[n] || code > 0x10ffff || code >> 11 == 0xd800 >> 11))
		return 0;
	return n;
}

/* Of HELP and of label values. */
static void put_escaped(struct out *o, const char *text, bool quotes)
{
	const char *plain = text;
	size_t n;

	for (; *text; text += n ? n : 1) {
		n = character((const unsigned char *)text);
		if (n > 0 && *text != '\\' && *text != '\n' && (*text != '"' || !quotes))
			continue;
		put_bytes(o, plain, (size_t)(text - plain));
		plain = text + 1;
		if (n == 0)
			putf(o, "\\\\x%02X", (unsigned char)*text);
		else
			put(o, *text == '\n' ? "\\n" : *text == '"' ? "\\\"" : "\\\\");
	}
	put_bytes(o, plain, (size_t)(text - plain));
}

/* --- families ---------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n > m && !strcmp(text + n - m, end);
}

/* behind: what the samples of this type have behind the name, "_total", "_info" or "" */
static void put_family(struct out *o, const char *metric, const char *type, const char *behind,
		       const char *help)
{
	static const char *const units[] = { "bytes", "seconds", "ratio" };
	const char *end = o->open ? "" : behind;

	put(o, "# HELP " PREFIX);
	put(o, metric);
	put(o, end);
	put(o, " ");
	put_escaped(o, help, o->open);
	put(o, "\n# TYPE " PREFIX);
	put(o, metric);
	put(o, end);
	put(o, " ");
	put(o, type);
	put(o, "\n");
	for (size_t i = 0; o->open && i < sizeof(units) / sizeof(units[0]); i++) {
		if (!ends_with(metric, units[i]))
			continue;
		put(o, "# UNIT " PREFIX);
		put(o, metric);
		put(o, " ");
		put(o, units[i]);
		put(o, "\n");
	}
}

static void put_name(struct out *o, const char *metric, const char *behind)
{
	put(o, PREFIX);
	put(o, metric);
	put(o, behind);
}

/* first: none stands before it */
static void put_label(struct out *o, bool first, const char *name, const char *value)
{
	put(o, first ? "{" : ",");
	/* members have hyphens, labels must not */
	for (; *name; name++)
		put_bytes(o, *name == '-' ? "_" : name, 1);
	put(o, "=\"");
	put_escaped(o, value, true);
	put(o, "\"");
}

static void put_value(struct out *o, const struct figure *f, const void *from)
{
	uint64_t value = figure_value(f, from);

	switch (f->type) {
	case FIGURE_INT:
		putf(o, "%" PRId64, (int64_t)value);
		break;
	case FIGURE_BOOL:
		put(o, value ? "1" : "0");
		break;
	case FIGURE_US:
		put_fraction(o, value, 9);
		break;
	case FIGURE_PERCENT:
		put_fraction(o, value, 6);
		break;
	case FIGURE_RATIO:
		put_fraction(o, value, 3);
		break;
	default:
		put_fraction(o, value, 0);
	}
}

static void put_sample(struct out *o, const struct metrics_set *set,
		       const struct metrics_object *object, const struct figure *f)
{
	put_name(o, f->metric, f->kind == FIGURE_COUNTER ? "_total" : "");
	if (set->label)
		put_label(o, true, set->label, object->name);
	if (f->label) { /* as it stands there */
		put(o, set->label ? "," : "{");
		put(o, f->label);
	}
	put(o, set->label || f->label ? "} " : " ");
	put_value(o, f, object->from);
	put(o, "\n");
}

/* Of sets from this one on: those before it have no row of that family. */
static void put_samples(struct out *o, const struct metrics_set *sets, size_t nsets,
			const struct figure *first)
{
	for (const struct metrics_set *set = sets; set < sets + nsets; set++)
		for (size_t i = 0; i < set->n; i++)
			for (const struct figure *f = set == sets ? first : set->rows; f->name;
			     f++)
				if (f->metric && !strcmp(f->metric, first->metric))
					put_sample(o, set, &set->object[i], f);
}

static bool names(const struct figure *rows, const struct figure *end, const char *metric)
{
	for (const struct figure *f = rows; f != end && f->name; f++)
		if (f->metric && !strcmp(f->metric, metric))
			return true;
	return false;
}

/* Was the family named before this row? */
static bool is_written(const struct metrics_set *sets, const struct metrics_set *set,
		       const struct figure *f)
{
	for (const struct metrics_set *s = sets; s < set; s++)
		if (s->n > 0 && names(s->rows, NULL, f->metric))
			return true;
	return names(set->rows, f, f->metric);
}

static void put_set(struct out *o, const struct metrics_set *sets, size_t nsets, size_t at)
{
	const struct metrics_set *set = &sets[at];

	for (const struct figure *f = set->rows; set->n > 0 && f->name; f++) {
		bool counter = f->kind == FIGURE_COUNTER;
		const char *help;

		if (!f->metric || is_written(sets, set, f))
			continue;
		help = metrics_help_of(f->metric);
		put_family(o, f->metric, counter ? "counter" : "gauge", counter ? "_total" : "",
			   help ? help : f->doc);
		put_samples(o, set, nsets - at, f);
	}
}

/* --- what no row says ---------------------------------------------------------------- */

static void put_info_sample(struct out *o, const struct metrics_info *info,
			    const struct metrics_set *set, const struct metrics_object *object)
{
	bool first = true;

	put_name(o, info->metric, "_info");
	if (set->label)
		put_label(o, first, set->label, object->name), first = false;
	for (const char *const *m = info->member; *m; m++)
		for (const struct figure *f = set->rows; f->name; f++) {
			if (strcmp(f->name, *m) != 0)
				continue;
			put_label(o, first, *m, (const char *)object->from + f->offset);
			first = false;
		}
	put(o, "} 1\n");
}

static void put_infos(struct out *o, const struct metrics_set *sets, size_t nsets)
{
	for (const struct metrics_info *info = metrics_infos; info->metric; info++)
		for (const struct metrics_set *set = sets; set < sets + nsets; set++) {
			if (set->rows != info->rows || set->n == 0)
				continue;
			put_family(o, info->metric, o->open ? "info" : "gauge", "_info",
				   info->help);
			for (size_t i = 0; i < set->n; i++)
				put_info_sample(o, info, set, &set->object[i]);
		}
}

static void put_histogram(struct out *o, const char *metric, const struct metrics_latency *l)
{
	for (unsigned int i = 0; i < LATENCY_BUCKETS; i++) {
		put_name(o, metric, "_bucket");
		put_label(o, true, "guest", l->guest);
		if (i == LATENCY_BUCKETS - 1)
			put(o, ",le=\"+Inf\"} ");
		else /* as readers write it; eleven digits is what the largest has */
			putf(o, ",le=\"%.12g\"} ",
			     (double)(UINT64_C(1) << (LATENCY_FIRST + i)) / 1e9);
		put_fraction(o, l->stats.below[i], 0);
		put(o, "\n");
	}
	put_name(o, metric, "_sum");
	put_label(o, true, "guest", l->guest);
	put(o, "} ");
	put_fraction(o, l->stats.sum, 9);
	put(o, "\n");
	put_name(o, metric, "_count");
	put_label(o, true, "guest", l->guest);
	put(o, "} ");
	put_fraction(o, l->stats.below[LATENCY_BUCKETS - 1], 0);
	put(o, "\n");
}

static void put_more(struct out *o, const struct metrics_more *more)
{
	static const char swap[] = "guest_swap_bytes";
	static const char faults[] = "guest_fault_latency_seconds";

	put_family(o, "build", o->open ? "info" : "gauge", "_info", "The version of Drum.");
	put_name(o, "build", "_info");
	put_label(o, true, "version", more->version);
	put(o, "} 1\n");
	put_family(o, "qmp_clients", "gauge", "", "Clients that are connected by QMP.");
	put_name(o, "qmp_clients", " ");
	put_fraction(o, more->qmp_clients, 0);
	put(o, "\n");
	if (more->nswap > 0)
		put_family(o, swap, "gauge", "", "What a guest has of a swap device.");
	for (size_t i = 0; i < more->nswap; i++) {
		put_name(o, swap, "");
		put_label(o, true, "guest", more->swap[i].guest);
		put_label(o, false, "device", more->swap[i].stats.path);
		put(o, "} ");
		put_fraction(o, more->swap[i].stats.used, 0);
		put(o, "\n");
	}
	if (more->nlatency > 0)
		put_family(o, faults, "histogram", "",
			   "How long faults waited, from when the pager read them.");
	for (size_t i = 0; i < more->nlatency; i++)
		put_histogram(o, faults, &more->latency[i]);
}

int metrics_text(const struct metrics_set *sets, size_t nsets, const struct metrics_more *more,
		 enum metrics_format format, char **text, size_t *len)
{
	struct out o = { .open = format == METRICS_OPENMETRICS };

	for (size_t i = 0; i < nsets; i++)
		put_set(&o, sets, nsets, i);
	put_infos(&o, sets, nsets);
	put_more(&o, more);
	if (o.open)
		put(&o, "# EOF\n");
	if (o.failed) {
		free(o.p);
		return -ENOMEM;
	}
	*text = o.p;
	*len = o.len;
	return 0;
}
