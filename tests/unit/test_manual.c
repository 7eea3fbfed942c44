/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * drum-qmp(7) as it was built: every command, argument, member, event and metric of the tables
 * is in it, in its place and with a text; and other manuals name no command that is not there.
 */
#include <criterion/criterion.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/commands.h"
#include "control/event_table.h"
#include "control/metrics.h"
#include "control/registry.h"
#include "control/schema.h"

#define TEXT_MAX (256 * 1024)

/* What it should tell, a line each, and what it does. */
static char want[TEXT_MAX], has[TEXT_MAX];

__attribute__((format(printf, 2, 3))) static void add(char *to, const char *fmt, ...)
{
	size_t n = strlen(to);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(to + n, TEXT_MAX - n, fmt, ap);
	va_end(ap);
	cr_assert_lt(strlen(to), TEXT_MAX - 256);
}

static FILE *open_manual(void)
{
	const char *build = getenv("DRUM_BUILD");
	char path[4096];
	FILE *in;

	snprintf(path, sizeof(path), "%s/man/drum-qmp.7", build ? build : ".");
	in = fopen(path, "r");
	cr_assert(in, "no %s: make man/drum-qmp.7", path);
	return in;
}

/* The items of a section, with the headings of its parts; each must have a text. */
static void read_section(const char *section)
{
	char line[1024], heading[128], last[128] = "", *word;
	bool within = false, told = true;
	FILE *in = open_manual();

	snprintf(heading, sizeof(heading), ".Sh %s\n", section);
	while (fgets(line, sizeof(line), in)) {
		if (!strncmp(line, ".Sh ", 4))
			within = !strcmp(line, heading);
		if (!within || !strncmp(line, ".Sh ", 4))
			continue;
		if (strncmp(line, ".It ", 4) != 0 && strncmp(line, ".Ss ", 4) != 0) {
			told |= line[0] != '.' || !strncmp(line, ".Bl", 3);
			continue;
		}
		cr_expect(told, "%s %s: nothing is said of it", section, last);
		told = false;
		line[strcspn(line, "\n")] = '\0';
		word = line + 4;
		/* the macro of an item */
		if (line[1] == 'I')
			word += strcspn(word, " ") + 1;
		snprintf(last, sizeof(last), "%.100s", word);
		add(has, "%s\n", word);
	}
	cr_expect(told, "%s %s: nothing is said of it", section, last);
	fclose(in);
}

/* The first line that differs is shown. */
static void expect_same(void)
{
	char *a = want, *b = has;

	cr_assert(want[0]);
	for (;;) {
		size_t n = strcspn(a, "\n"), m = strcspn(b, "\n");

		cr_assert(n == m && !strncmp(a, b, n), "not '%.*s' but '%.*s'", (int)n, a,
			  (int)m, b);
		if (!a[n] || !b[m])
			break;
		a += n + 1;
		b += m + 1;
	}
	cr_assert_str_eq(a, b);
}

Test(manual, commands)
{
	for (const struct command *c = commands; c->name; c++) {
		add(want, "%s\n", c->name);
		for (const struct command_arg *a = c->args; a->type != ARG_NONE; a++)
			add(want, "%s Pq %s%s\n", a->name, arg_type_name(a->type),
			    a->optional ? ", optional" : "");
	}
	read_section("COMMANDS");
	expect_same();
}

static const char *json_says(const char *type)
{
	return !strcmp(type, "str") ? "string" : !strcmp(type, "int") ? "integer" : "";
}

/* Of types that json_says does not name the words go, and so do units, which the schema does
 * not have. */
static void cut_types(void)
{
	static char cut[TEXT_MAX];
	char *line, *save;

	for (line = strtok_r(has, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *type = strstr(line, " Pq ");
		bool optional = type && strstr(type, ", optional");

		if (type) {
			type += strlen(" Pq ");
			if (!strncmp(type, "string", 6))
				type[6] = '\0';
			else if (!strncmp(type, "integer", 7))
				type[7] = '\0';
			else
				type[0] = '\0';
		}
		add(cut, "%s%s\n", line, optional ? ", optional" : "");
	}
	memcpy(has, cut, sizeof(has));
}

Test(manual, events)
{
	for (const struct event_def *d = event_defs; d->name; d++) {
		add(want, "%s\n", d->name);
		for (const struct event_field *f = d->field; f->name; f++)
			add(want, "%s Pq %s%s\n", f->name, json_says(schema_field_type(f)),
			    f->optional ? ", optional" : "");
	}
	read_section("EVENTS");
	cut_types();
	expect_same();
}

static const struct object_type *seen[128];
static size_t nseen;

static void each_object(const struct object_type *t, void (*fn)(const struct object_type *t))
{
	for (size_t i = 0; i < nseen; i++)
		if (seen[i] == t)
			return;
	cr_assert_lt(nseen, sizeof(seen) / sizeof(seen[0]));
	seen[nseen++] = t;
	fn(t);
	for (int i = 0; i < OBJECT_PARTS_MAX && t->part[i]; i++)
		for (const struct figure *f = t->part[i]; f->name; f++)
			if (f->of)
				each_object(f->of, fn);
}

static void each(void (*fn)(const struct object_type *t))
{
	for (const struct command *c = commands; c->name; c++)
		each_object(c->returns ? c->returns : &done_object, fn);
}

static void want_object(const struct object_type *t)
{
	char buf[SCHEMA_NAME_MAX];

	add(want, "%s\n", t->name);
	for (int i = 0; i < OBJECT_PARTS_MAX && t->part[i]; i++)
		for (const struct figure *f = t->part[i]; f->name; f++)
			add(want, "%s Pq %s%s\n", f->name,
			    json_says(schema_figure_type(f, buf)),
			    t->optional >> i & 1 ? ", optional" : "");
}

Test(manual, objects)
{
	each(want_object);
	read_section("OBJECTS");
	cut_types();
	expect_same();
}

static bool is_line(const char *text, const char *line)
{
	size_t n = strlen(line);
	const char *at = text;

	while ((at = strstr(at, line))) {
		if ((at == text || at[-1] == '\n') && (at[n] == '\n' || at[n] == ' '))
			return true;
		at++;
	}
	return false;
}

static void expect_metrics(const struct object_type *t)
{
	char line[256];

	for (int i = 0; i < OBJECT_PARTS_MAX && t->part[i]; i++)
		for (const struct figure *f = t->part[i]; f->name; f++) {
			if (!f->metric)
				continue;
			snprintf(line, sizeof(line), "drum_%s%s Pq %s", f->metric,
				 f->kind == FIGURE_COUNTER ? "_total" : "",
				 f->kind == FIGURE_COUNTER ? "counter" : "gauge");
			cr_expect(strstr(has, line), "the manual lacks %s", line);
			if (f->label) {
				const char *value = strchr(f->label, '"') + 1;

				snprintf(line, sizeof(line), "%.*s", (int)strcspn(value, "\""),
					 value);
				cr_expect(is_line(has, line), "%s: no label %s", f->metric,
					  line);
			}
		}
}

Test(manual, metrics)
{
	read_section("METRICS");
	cr_assert(has[0]);
	each(expect_metrics);
}

/* Those that are of no row: the line "# TYPE drum_NAME TYPE" of each. */
Test(manual, metrics_that_no_row_has)
{
	const struct metrics_latency latency = { .guest = "a" };
	const struct metrics_swap swap = { .guest = "a" };
	const struct metrics_more more = { "1", 1, &latency, 1, &swap, 1 };
	char *text, *at, name[128], type[32], want_line[256];
	size_t len, n = 0;

	read_section("METRICS");
	for (const struct metrics_info *i = metrics_infos; i->metric; i++) {
		snprintf(want_line, sizeof(want_line), "drum_%s_info Pq gauge, label %s",
			 i->metric, i->member[0]);
		cr_expect(strstr(has, want_line), "the manual lacks %s", want_line);
	}
	cr_assert_eq(metrics_text(NULL, 0, &more, METRICS_PROMETHEUS, &text, &len), 0);
	for (at = text; (at = strstr(at, "# TYPE ")); at++, n++) {
		cr_assert_eq(sscanf(at, "# TYPE %127s %31s", name, type), 2);
		snprintf(want_line, sizeof(want_line), "%s Pq %s", name, type);
		cr_expect(strstr(has, want_line), "the manual lacks %s", want_line);
	}
	cr_expect_geq(n, 4);
	free(text);
}

/* --- what manuals say of commands --------------------------------------------------- */

static bool is_word_char(char c)
{
	return (c >= 'a' && c <= 'z') || c == '-';
}

/* query-anything, and whatever .Ic calls a command and is one word with hyphens */
static void expect_known(const char *file, const char *line)
{
	for (const char *at = line; *at; at++) {
		char word[64];
		size_t n = 0;
		bool query;

		if (!is_word_char(*at) || (at > line && is_word_char(at[-1])))
			continue;
		while (n < sizeof(word) - 1 && is_word_char(at[n])) {
			word[n] = at[n];
			n++;
		}
		word[n] = '\0';
		query = !strncmp(word, "query-", 6);
		if (query || (!strncmp(line, ".Ic ", 4) && word[0] != '-' && strchr(word, '-')))
			cr_expect(command_find(word), "%s: there is no command %s", file, word);
	}
}

Test(manual, commands_that_are_named_exist)
{
	const char *src = getenv("DRUM_SRC"), *build = getenv("DRUM_BUILD");
	char pattern[4096], line[1024];
	glob_t g = { 0 };

	snprintf(pattern, sizeof(pattern), "%s/man/*.[1-8]", src ? src : "..");
	cr_assert(glob(pattern, 0, NULL, &g) == 0);
	snprintf(pattern, sizeof(pattern), "%s/man/*.[1-8]", build ? build : ".");
	cr_assert(glob(pattern, GLOB_APPEND, NULL, &g) == 0);
	for (size_t i = 0; i < g.gl_pathc; i++) {
		FILE *in = fopen(g.gl_pathv[i], "r");

		cr_assert(in);
		while (fgets(line, sizeof(line), in))
			expect_known(strrchr(g.gl_pathv[i], '/') + 1, line);
		fclose(in);
	}
	globfree(&g);
}
