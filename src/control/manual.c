/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * qmp-manual TEMPLATE: prints drum-qmp(7).  It runs while Drum is built and is not installed.
 *
 * Lines of the template are printed as they are, but for @commands@, @objects@, @events@,
 * @metrics@ and @limits@, which stand for what the tables have.  Texts of the tables become
 * mdoc that mandoc -T lint has nothing to say to: a line for each sentence, none too long, none
 * that would be taken for a macro.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "control/commands.h"
#include "control/event_table.h"
#include "control/metrics.h"
#include "control/qmp_server.h"
#include "control/registry.h"
#include "control/schema.h"

#define LINE_MAX_CHARS 76
#define OBJECTS_MAX    128
#define FAMILIES_MAX   512

static const struct object_type *objects[OBJECTS_MAX];
static size_t nobjects;

/* --- mdoc ---------------------------------------------------------------------- */

static void put_escaped(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] == '\\')
			fputs("\\e", stdout);
		else
			putchar(s[i]);
}

static bool ends_sentence(const char *word, size_t n)
{
	while (n > 0 && strchr(")'\"", word[n - 1]))
		n--;
	return n > 0 && strchr(".!?", word[n - 1]);
}

/* Sentences, each on lines of its own. */
static void put_text(const char *text)
{
	size_t column = 0;

	while (*(text += strspn(text, " ")) != '\0') {
		size_t n = strcspn(text, " ");

		if (column > 0 && column + 1 + n > LINE_MAX_CHARS) {
			putchar('\n');
			column = 0;
		}
		if (column > 0)
			putchar(' ');
		else if (*text == '.' || *text == '\'')
			fputs("\\&", stdout);
		put_escaped(text, n);
		column += n + 1;
		if (ends_sentence(text, n) && text[n] != '\0') {
			putchar('\n');
			column = 0;
		}
		text += n;
	}
	if (column > 0)
		putchar('\n');
}

/* --- commands and events --------------------------------------------------------- */

static void put_argument(const struct command_arg *a)
{
	const char *word;

	printf(".It Va %s Pq %s%s\n", a->name, arg_type_name(a->type),
	       a->optional ? ", optional" : "");
	put_text(a->doc);
	for (size_t i = 0; (word = schema_arg_word(a->type, i)); i++)
		printf("%s%s%s", i == 0 ? "One of " : ", ", word,
		       schema_arg_word(a->type, i + 1) ? "" : ".\n");
}

static void put_command(const struct command *c)
{
	printf(".It Ic %s\n", c->name);
	put_text(c->doc);
	if (c->args[0].type != ARG_NONE) {
		puts(".Bl -tag -width Ds -compact");
		for (const struct command_arg *a = c->args; a->type != ARG_NONE; a++)
			put_argument(a);
		puts(".El");
	}
	if (c->returns)
		printf("Returns %s\n.Vt %s .\n",
		       c->flags & COMMAND_ARRAY		   ? "an array of"
		       : strchr("AEIO", *c->returns->name) ? "an"
							   : "a",
		       c->returns->name);
	if (!(c->flags & COMMAND_READ_ONLY) && c->run)
		puts("Refused on\n.Pa monitor.sock .");
}

static void put_commands(void)
{
	puts(".Bl -tag -width Ds");
	for (const struct command *c = commands; c->name; c++)
		put_command(c);
	puts(".El");
}

static const char *field_says(const struct event_field *f)
{
	switch (f->type) {
	case EVENT_NUMBER:
		return "integer";
	case EVENT_TEXT:
		return "string";
	case EVENT_PERCENT:
		break;
	}
	return "number, percent";
}

static void put_events(void)
{
	puts(".Bl -tag -width Ds");
	for (const struct event_def *d = event_defs; d->name; d++) {
		printf(".It Va %s\n", d->name);
		put_text(d->doc);
		if (!d->field[0].name)
			continue;
		puts(".Bl -tag -width Ds -compact");
		for (const struct event_field *f = d->field; f->name; f++) {
			printf(".It Va %s Pq %s%s\n", f->name, field_says(f),
			       f->optional ? ", optional" : "");
			put_text(f->doc);
		}
		puts(".El");
	}
	puts(".El");
}

/* --- objects ----------------------------------------------------------------------- */

/* Each once, in the order in which commands return them, and what is within them. */
static void gather(const struct object_type *t)
{
	for (size_t i = 0; i < nobjects; i++)
		if (objects[i] == t)
			return;
	if (nobjects < OBJECTS_MAX)
		objects[nobjects++] = t;
	for (int i = 0; i < OBJECT_PARTS_MAX && t->part[i]; i++)
		for (const struct figure *f = t->part[i]; f->name; f++)
			if (f->of)
				gather(f->of);
}

static const char *figure_says(const struct figure *f, char buf[SCHEMA_NAME_MAX])
{
	switch (f->type) {
	case FIGURE_TEXT:
	case FIGURE_WORD:
		return "string";
	case FIGURE_COUNT:
	case FIGURE_INT:
		return "integer";
	case FIGURE_SIZE:
		return "integer, bytes";
	case FIGURE_BOOL:
		return "boolean";
	case FIGURE_US:
		return "number, microseconds";
	case FIGURE_PERCENT:
		return "number, percent";
	case FIGURE_RATIO:
	case FIGURE_REAL:
		return "number";
	case FIGURE_OBJECT:
		return f->of->name;
	case FIGURE_ARRAY:
		snprintf(buf, SCHEMA_NAME_MAX, "array of %s", f->of ? f->of->name : "integers");
		return buf;
	case FIGURE_WORDS:
		return "array of strings";
	case FIGURE_NULL:
		break;
	}
	return "null";
}

static void put_object(const struct object_type *t)
{
	char buf[SCHEMA_NAME_MAX], doc[1024];

	printf(".Ss %s\n", t->name);
	snprintf(doc, sizeof(doc), "%s.", t->doc);
	put_text(doc);
	puts(".Bl -tag -width Ds -compact");
	for (int i = 0; i < OBJECT_PARTS_MAX && t->part[i]; i++)
		for (const struct figure *f = t->part[i]; f->name; f++) {
			printf(".It Va %s Pq %s%s\n", f->name, figure_says(f, buf),
			       t->optional >> i & 1 ? ", optional" : "");
			put_text(f->doc);
		}
	puts(".El");
}

static void put_objects(void)
{
	for (size_t i = 0; i < nobjects; i++)
		put_object(objects[i]);
}

/* --- metrics ------------------------------------------------------------------------ */

static void put_family(const struct object_type *t, const struct figure *first)
{
	const char *end = first->label ? strchr(first->label, '=') : NULL;
	const char *help = metrics_help_of(first->metric);
	bool counts = first->kind == FIGURE_COUNTER;

	printf(".It Va drum_%s%s Pq %s", first->metric, counts ? "_total" : "",
	       counts ? "counter" : "gauge");
	if (end)
		printf(", label %.*s", (int)(end - first->label), first->label);
	putchar('\n');
	if (help)
		put_text(help);
	if (!end) {
		if (!help)
			put_text(first->doc);
		return;
	}
	puts(".Bl -tag -width Ds -compact");
	for (int i = 0; i < OBJECT_PARTS_MAX && t->part[i]; i++)
		for (const struct figure *f = t->part[i]; f->name; f++)
			if (f->metric && f->label && !strcmp(f->metric, first->metric)) {
				const char *value = strchr(f->label, '"');

				printf(".It Li %.*s\n", (int)strcspn(value + 1, "\""),
				       value + 1);
				put_text(f->doc);
			}
	puts(".El");
}

/* What no row has: see metrics.c. */
static void put_more_families(void)
{
	static const char *const more[][2] = {
		{ "build_info Pq gauge, label version", "The version of Drum." },
		{ "qmp_clients Pq gauge", "Clients that are connected by QMP." },
		{ "guest_swap_bytes Pq gauge, label device",
		  "What a guest has of a swap device." },
		{ "guest_fault_latency_seconds Pq histogram",
		  "How long faults waited, from when the pager read them." },
	};

	for (const struct metrics_info *i = metrics_infos; i->metric; i++) {
		printf(".It Va drum_%s_info Pq gauge, label", i->metric);
		for (const char *const *m = i->member; *m; m++)
			printf("%s %s", m == i->member ? "" : ",", *m);
		putchar('\n');
		put_text(i->help);
	}
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
		printf(".It Va drum_%s\n", more[i][0]);
		put_text(more[i][1]);
	}
}

static void put_metrics(void)
{
	static const char *told[FAMILIES_MAX];
	size_t n = 0, k;

	puts(".Bl -tag -width Ds");
	for (size_t o = 0; o < nobjects; o++)
		for (int i = 0; i < OBJECT_PARTS_MAX && objects[o]->part[i]; i++)
			for (const struct figure *f = objects[o]->part[i]; f->name; f++) {
				if (!f->metric)
					continue;
				for (k = 0; k < n && strcmp(told[k], f->metric) != 0; k++)
					;
				if (k < n || n == FAMILIES_MAX)
					continue;
				told[n++] = f->metric;
				put_family(objects[o], f);
			}
	put_more_families();
	puts(".El");
}

/* --- limits --------------------------------------------------------------------------- */

static void put_limit(const char *what, size_t n, const char *unit)
{
	printf(".It %s\n%zu%s\n", what, n, unit);
}

static void put_limits(void)
{
	const struct qmp_limits *l = &qmp_default_limits;

	puts(".Bl -tag -width \"depth of a command\" -compact");
	put_limit("clients", l->clients, " at a time");
	put_limit("bytes of a command", QMP_VALUE_MAX, "");
	put_limit("depth of a command", JSON_DEPTH_MAX, " objects and arrays within another");
	put_limit("bytes unread", l->out_max, " of answers and events that wait for a client");
	put_limit("seconds unread", l->stall_ms / 1000, " in which it reads nothing of them");
	put_limit("events of a kind", 1000 / l->event_ms, " in a second");
	puts(".El");
}

/* --- the template ------------------------------------------------------------------- */

static const struct {
	const char *line;
	void (*put)(void);
} parts[] = {
	{ "@commands@\n", put_commands }, { "@objects@\n", put_objects },
	{ "@events@\n", put_events },	  { "@metrics@\n", put_metrics },
	{ "@limits@\n", put_limits },
};
#define PARTS (sizeof(parts) / sizeof(parts[0]))

int main(int argc, char **argv)
{
	FILE *in = argc == 2 ? fopen(argv[1], "r") : NULL;
	char line[1024];

	if (!in) {
		fprintf(stderr, "qmp-manual: %s: %s\n", argc == 2 ? argv[1] : "TEMPLATE",
			strerror(argc == 2 ? errno : EINVAL));
		return 1;
	}
	for (const struct command *c = commands; c->name; c++)
		gather(c->returns ? c->returns : &done_object);
	while (fgets(line, sizeof(line), in)) {
		size_t i = 0;

		while (i < PARTS && strcmp(parts[i].line, line) != 0)
			i++;
		if (i < PARTS)
			parts[i].put();
		else
			fputs(line, stdout);
	}
	fclose(in);
	return fflush(stdout) != 0 || ferror(stdout);
}
