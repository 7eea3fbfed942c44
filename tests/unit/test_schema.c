/* SPDX-License-Identifier: BSD-2-Clause */
/* query-qmp-schema: sound in itself, and all of the tables is in it; and arguments are checked
 * as it says. */
#include <ctype.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "control/commands.h"
#include "control/event_table.h"
#include "control/registry.h"
#include "control/schema.h"
#include "unit/schema_check.h"

static struct json_object *schema;

static void make(void)
{
	schema = schema_object(false);
}

static void drop(void)
{
	json_object_put(schema);
}

TestSuite(schema, .init = make, .fini = drop);

static struct json_object *array_of(struct json_object *o, const char *key)
{
	struct json_object *array = NULL;

	cr_assert(json_object_object_get_ex(o, key, &array), "%s lacks %s",
		  schema_text(o, "name"), key);
	cr_assert(json_object_is_type(array, json_type_array));
	return array;
}

/* How often something is of that type. */
static size_t uses(struct json_object *s, const char *type)
{
	static const char *const keys[] = { "arg-type", "ret-type", "element-type" };
	struct json_object *members;
	size_t n = 0;

	for (size_t i = 0; i < json_object_array_length(s); i++) {
		struct json_object *o = json_object_array_get_idx(s, i);

		for (size_t k = 0; k < 3; k++)
			n += !strcmp(schema_text(o, keys[k]), type);
		if (!json_object_object_get_ex(o, "members", &members))
			continue;
		for (size_t k = 0; k < json_object_array_length(members); k++)
			n += !strcmp(schema_text(json_object_array_get_idx(members, k), "type"),
				     type);
	}
	return n;
}

/* the type is there, and is a type */
static void expect_type(struct json_object *s, const char *owner, const char *type)
{
	struct json_object *o = schema_entry(s, type);
	const char *meta = o ? schema_text(o, "meta-type") : "";

	cr_expect(!strcmp(meta, "builtin") || !strcmp(meta, "enum") || !strcmp(meta, "array") ||
			  !strcmp(meta, "object"),
		  "%s: '%s' is no type", owner, type);
}

static bool is_name(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				"0123456789-_");

	return isalpha((unsigned char)name[0]) && name[n] == '\0';
}

static void expect_members(struct json_object *s, struct json_object *o, bool typed)
{
	struct json_object *members = array_of(o, "members"), *def;
	const char *owner = schema_text(o, "name");

	for (size_t i = 0; i < json_object_array_length(members); i++) {
		struct json_object *m = json_object_array_get_idx(members, i);
		const char *name = schema_text(m, "name");

		cr_expect(is_name(name), "%s.%s", owner, name);
		cr_expect_eq(schema_entry(members, name), m, "%s.%s is there twice", owner,
			     name);
		if (typed)
			expect_type(s, owner, schema_text(m, "type"));
		if (json_object_object_get_ex(m, "default", &def))
			cr_expect(typed && !def, "%s.%s", owner, name);
	}
}

static void expect_entry(struct json_object *s, struct json_object *o)
{
	const char *name = schema_text(o, "name"), *meta = schema_text(o, "meta-type");
	bool array = !strcmp(meta, "array");
	char element[SCHEMA_NAME_MAX];

	cr_expect_eq(schema_entry(s, name), o, "%s is there twice", name);
	cr_expect(array || is_name(name), "%s", name);
	if (!strcmp(meta, "command") || !strcmp(meta, "event")) {
		expect_type(s, name, schema_text(o, "arg-type"));
		if (meta[0] == 'c')
			expect_type(s, name, schema_text(o, "ret-type"));
		return;
	}
	cr_expect_gt(uses(s, name), 0, "%s is of no use", name);
	if (array) {
		expect_type(s, name, schema_text(o, "element-type"));
		snprintf(element, sizeof(element), "[%s]", schema_text(o, "element-type"));
		cr_expect_str_eq(name, element);
	} else if (!strcmp(meta, "object")) {
		expect_members(s, o, true);
	} else if (!strcmp(meta, "enum")) {
		expect_members(s, o, false);
		cr_expect_eq(json_object_array_length(array_of(o, "members")),
			     json_object_array_length(array_of(o, "values")));
	} else {
		cr_expect_str_eq(meta, "builtin", "%s", name);
	}
}

Test(schema, is_sound)
{
	struct json_object *part = schema_object(true);

	for (size_t i = 0; i < json_object_array_length(schema); i++)
		expect_entry(schema, json_object_array_get_idx(schema, i));
	for (size_t i = 0; i < json_object_array_length(part); i++)
		expect_entry(part, json_object_array_get_idx(part, i));
	json_object_put(part);
}

static const char *meta_of(struct json_object *s, const char *name)
{
	struct json_object *o = schema_entry(s, name);

	return o ? schema_text(o, "meta-type") : "nothing";
}

Test(schema, has_all_of_the_tables)
{
	struct json_object *part = schema_object(true);
	size_t n = 0;

	for (const struct command *c = commands; c->name; c++, n++) {
		bool reads = !c->run || (c->flags & COMMAND_READ_ONLY);

		cr_expect_str_eq(meta_of(schema, c->name), "command", "%s", c->name);
		cr_expect_str_eq(meta_of(part, c->name), reads ? "command" : "nothing", "%s",
				 c->name);
	}
	for (const struct event_def *d = event_defs; d->name; d++, n++) {
		cr_expect_str_eq(meta_of(schema, d->name), "event");
		cr_expect_str_eq(meta_of(part, d->name), "event");
	}
	for (size_t i = 0; i < json_object_array_length(schema); i++) {
		const char *meta =
			schema_text(json_object_array_get_idx(schema, i), "meta-type");

		n -= !strcmp(meta, "command") || !strcmp(meta, "event");
	}
	cr_expect_eq(n, 0, "there are others");
	json_object_put(part);
}

/* What it looks like to who reads it. */
Test(schema, looks_like_this)
{
	static const char *const want[][2] = {
		{ "query-guests",
		  "{\"name\":\"query-guests\",\"meta-type\":\"command\","
		  "\"arg-type\":\"query-guests-arg\",\"ret-type\":\"[Guest]\"}" },
		{ "query-guests-arg",
		  "{\"name\":\"query-guests-arg\",\"meta-type\":\"object\","
		  "\"members\":[{\"name\":\"name\",\"type\":\"str\",\"default\":null}]}" },
		{ "[Guest]", "{\"name\":\"[Guest]\",\"meta-type\":\"array\","
			     "\"element-type\":\"Guest\"}" },
		{ "Half", "{\"name\":\"Half\",\"meta-type\":\"object\",\"members\":["
			  "{\"name\":\"path\",\"type\":\"str\"},"
			  "{\"name\":\"state\",\"type\":\"str\"},"
			  "{\"name\":\"lacking\",\"type\":\"int\"}]}" },
		{ "DiskSwapcache",
		  "{\"name\":\"DiskSwapcache\",\"meta-type\":\"enum\",\"members\":["
		  "{\"name\":\"auto\"},{\"name\":\"on\"},{\"name\":\"meta\"},{\"name\":\"off\"}"
		  "],"
		  "\"values\":[\"auto\",\"on\",\"meta\",\"off\"]}" },
		{ "SWAP_DEVICE_REMOVED",
		  "{\"name\":\"SWAP_DEVICE_REMOVED\",\"meta-type\":\"event\","
		  "\"arg-type\":\"SWAP_DEVICE_REMOVED-arg\"}" },
		{ "number", "{\"name\":\"number\",\"meta-type\":\"builtin\","
			    "\"json-type\":\"number\"}" },
	};

	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		struct json_object *o = schema_entry(schema, want[i][0]);

		cr_assert(o, "%s", want[i][0]);
		cr_expect_str_eq(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN),
				 want[i][1]);
	}
}

/* --- arguments ------------------------------------------------------------------ */

static struct err e;

static int check(const struct command *c, struct json_object *args)
{
	union command_value values[COMMAND_ARGS_MAX] = { { 0 } };
	bool given[COMMAND_ARGS_MAX] = { false };

	memset(&e, 0, sizeof(e));
	return command_check(c, args, values, given, &e);
}

/* A value that this type of argument takes, or one that none does. */
static struct json_object *value_for(const struct command_arg *a, bool right)
{
	const char *said = arg_type_name(a->type), *word = schema_arg_word(a->type, 0);

	if (!right)
		return !strcmp(said, "array") ? json_object_new_int(1)
					      : json_object_new_array();
	if (word)
		return json_object_new_string(word);
	if (!strcmp(said, "string"))
		/* a path is no name, a name no path; both may be a place */
		return json_object_new_string(a->type == ARG_SWAP || a->type == ARG_HALF ||
							      a->type == ARG_SOCKET ||
							      a->type == ARG_MONITOR
						      ? "/a"
						      : "a");
	if (!strcmp(said, "boolean"))
		return json_object_new_boolean(true);
	return !strcmp(said, "array") ? json_object_new_array() : json_object_new_int(1);
}

static struct json_object *arguments_of(const struct command *c, const struct command_arg *but)
{
	struct json_object *args = json_object_new_object();

	for (const struct command_arg *a = c->args; a->type != ARG_NONE; a++)
		if (a != but)
			json_object_object_add(args, a->name, value_for(a, true));
	return args;
}

static void one_without(const struct command *c, const struct command_arg *a)
{
	struct json_object *args = arguments_of(c, a);
	char want[128] = "";

	if (!a->optional)
		snprintf(want, sizeof(want), "Parameter '%s' is missing", a->name);
	cr_expect_eq(check(c, args), a->optional ? 0 : -EINVAL, "%s without %s: %s", c->name,
		     a->name, e.text);
	cr_expect_str_eq(e.text, want, "%s without %s: %s", c->name, a->name, e.text);

	json_object_object_add(args, a->name, value_for(a, false));
	snprintf(want, sizeof(want), "Invalid parameter type for '%s', expected: %s", a->name,
		 arg_type_name(a->type));
	cr_expect_eq(check(c, args), -EINVAL, "%s with a wrong %s", c->name, a->name);
	cr_expect_str_eq(e.text, want, "%s with a wrong %s: %s", c->name, a->name, e.text);
	json_object_put(args);
}

Test(schema, arguments_of_all_commands)
{
	char why[512];

	for (const struct command *c = commands; c->name; c++) {
		struct json_object *args = arguments_of(c, NULL);
		struct json_object *entry = schema_entry(schema, c->name);

		cr_expect_eq(check(c, args), 0, "%s: %s", c->name, e.text);
		cr_expect(schema_fits(schema, schema_text(entry, "arg-type"), args, why,
				      sizeof(why)),
			  "%s: %s", c->name, why);
		json_object_object_add(args, "surplus", NULL);
		cr_expect_eq(check(c, args), -EINVAL, "%s", c->name);
		cr_expect_str_eq(e.text, "Parameter 'surplus' is unexpected", "%s: %s", c->name,
				 e.text);
		json_object_put(args);
		for (const struct command_arg *a = c->args; a->type != ARG_NONE; a++)
			one_without(c, a);
	}
}

/* Each word of an enum is taken, and no other. */
Test(schema, words)
{
	for (const struct command *c = commands; c->name; c++)
		for (const struct command_arg *a = c->args; a->type != ARG_NONE; a++) {
			struct json_object *args = arguments_of(c, a);
			const char *word;

			for (size_t i = 0; (word = schema_arg_word(a->type, i)); i++) {
				json_object_object_add(args, a->name,
						       json_object_new_string(word));
				cr_expect_eq(check(c, args), 0, "%s %s=%s: %s", c->name,
					     a->name, word, e.text);
			}
			if (schema_arg_word(a->type, 0)) {
				json_object_object_add(args, a->name,
						       json_object_new_string("a"));
				cr_expect_eq(check(c, args), -EINVAL, "%s %s", c->name,
					     a->name);
			}
			json_object_put(args);
		}
}

/* The validator of the tests sees what is wrong. */
Test(schema, what_does_not_fit)
{
	static const char *const bad[][3] = {
		{ "Half", "{'path':'/a','state':'whole'}", ": lacks lacking" },
		{ "Half", "{'path':'/a','state':'whole','lacking':'0'}",
		  "/lacking: is no int" },
		{ "Half", "{'path':'/a','state':'whole','lacking':0.5}",
		  "/lacking: is no int" },
		{ "Half", "{'path':'/a','state':'whole','lacking':0,'x':1}",
		  ": has an unknown member x" },
		{ "[Half]", "[{'path':'/a','state':'whole','lacking':0},1]",
		  "/1: is no object" },
		{ "[Half]", "{}", ": is no array" },
		{ "DiskSwapcache", "'of'", ": is not allowed: of" },
		{ "Nonesuch", "1", ": there is no such type: Nonesuch" },
	};
	char why[512];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct json_object *v = json_tokener_parse(bad[i][1]);

		cr_expect(!schema_fits(schema, bad[i][0], v, why, sizeof(why)), "%s",
			  bad[i][1]);
		cr_expect_str_eq(why, bad[i][2]);
		json_object_put(v);
	}
}

/* A client may read it in one piece. */
Test(schema, is_of_moderate_size)
{
	char *text = json_to_ascii(schema);

	cr_expect_lt(strlen(text), 256u * 1024, "%zu bytes", strlen(text));
	free(text);
}
