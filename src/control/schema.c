/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * Commands and events are entries, and each says by name of which types its arguments, its
 * result and its data are.  A type gets its entry when it is first named, and in turn has
 * those named that it is made of.  So every type that is named is there, once, and none is
 * there that nothing is made of; with read_only neither are those of other commands.
 *
 * Objects of arguments are called COMMAND-arg, of data EVENT-arg, as in QEMU's sources, arrays
 * [ELEMENT]; these cannot be names of object types of the registry, which are words.
 */
#include "control/schema.h"

#include <stdio.h>
#include <string.h>

#include "base/image_open.h"
#include "base/swapcache_knobs.h"
#include "base/log.h"
#include "control/query_add.h"

struct schema {
	struct json_object *entries;
	struct json_object *seen; /* names of types that have an entry */
};

static const char *cache_word(size_t i)
{
	return i <= IMAGE_CACHE_UNSAFE ? image_cache_name((enum image_cache)i) : NULL;
}

static const char *swapcache_word(size_t i)
{
	return i < SWAPCACHE_MODES ? swapcache_mode_name((enum swapcache_mode)i) : NULL;
}

static const char *log_level_word(size_t i)
{
	return i <= LOG_LVL_TRACE ? log_level_name((enum log_level)i) : NULL;
}

/* No capability is offered. */
static const char *no_word(size_t i)
{
	(void)i;
	return NULL;
}

static const struct word_type {
	enum arg_type arg;
	const char *name;
	const char *(*word)(size_t i);
} word_types[] = {
	{ ARG_CACHE, "DiskCache", cache_word },
	{ ARG_SWAPCACHE, "DiskSwapcache", swapcache_word },
	{ ARG_LOG_LEVEL, "LogLevel", log_level_word },
	{ ARG_CAPABILITIES, "QMPCapability", no_word }, /* of an element */
};
#define WORD_TYPES (sizeof(word_types) / sizeof(word_types[0]))

static const struct {
	const char *name, *json; /* json: one of QEMU's JSONType */
} builtins[] = {
	{ "str", "string" },   { "int", "int" },   { "number", "number" },
	{ "bool", "boolean" }, { "null", "null" },
};
#define BUILTINS (sizeof(builtins) / sizeof(builtins[0]))

/* What arguments are called in QEMU's messages, and the builtin types. */
static const struct {
	const char *said, *name;
} arg_types[] = {
	{ "string", "str" },
	{ "integer", "int" },
	{ "number", "number" },
	{ "boolean", "bool" },
};

static const struct word_type *word_type(enum arg_type type)
{
	for (size_t i = 0; i < WORD_TYPES; i++)
		if (word_types[i].arg == type)
			return &word_types[i];
	return NULL;
}

const char *schema_arg_word(enum arg_type type, size_t i)
{
	const struct word_type *w = word_type(type);

	return w ? w->word(i) : NULL;
}

const char *schema_arg_type(enum arg_type type, char buf[SCHEMA_NAME_MAX])
{
	const struct word_type *w = word_type(type);
	const char *said = arg_type_name(type);

	if (w && strcmp(said, "array") != 0)
		return w->name;
	for (size_t i = 0; i < sizeof(arg_types) / sizeof(arg_types[0]); i++)
		if (!strcmp(arg_types[i].said, said))
			return arg_types[i].name;
	snprintf(buf, SCHEMA_NAME_MAX, "[%s]", w ? w->name : "str");
	return buf;
}

const char *schema_figure_type(const struct figure *f, char buf[SCHEMA_NAME_MAX])
{
	switch (f->type) {
	case FIGURE_TEXT:
	case FIGURE_WORD:
		return "str";
	case FIGURE_COUNT:
	case FIGURE_SIZE:
	case FIGURE_INT:
		return "int";
	case FIGURE_BOOL:
		return "bool";
	case FIGURE_US:
	case FIGURE_PERCENT:
	case FIGURE_RATIO:
	case FIGURE_REAL:
		return "number";
	case FIGURE_OBJECT:
		return f->of->name;
	case FIGURE_ARRAY:
		snprintf(buf, SCHEMA_NAME_MAX, "[%s]", f->of ? f->of->name : "int");
		return buf;
	case FIGURE_WORDS:
		return "[str]";
	case FIGURE_NULL:
		break;
	}
	return "null";
}

const char *schema_field_type(const struct event_field *f)
{
	switch (f->type) {
	case EVENT_NUMBER:
		return "int";
	case EVENT_TEXT:
		return "str";
	case EVENT_PERCENT:
		break;
	}
	return "number";
}

const char *schema_return_type(const struct command *c, char buf[SCHEMA_NAME_MAX])
{
	const struct object_type *t = c->returns ? c->returns : &done_object;

	if (!(c->flags & COMMAND_ARRAY))
		return t->name;
	snprintf(buf, SCHEMA_NAME_MAX, "[%s]", t->name);
	return buf;
}

/* --- entries ------------------------------------------------------------------ */

/* => whether it has an entry yet; from now on it has */
static bool seen(struct schema *s, const char *name)
{
	if (json_object_object_get_ex(s->seen, name, NULL))
		return true;
	json_object_object_add(s->seen, name, NULL);
	return false;
}

static struct json_object *entry(struct schema *s, const char *name, const char *meta)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "name", name);
	add_text(o, "meta-type", meta);
	json_object_array_add(s->entries, o);
	return o;
}

static struct json_object *entry_with(struct json_object *o, const char *key)
{
	struct json_object *array = json_object_new_array();

	json_object_object_add(o, key, array);
	return array;
}

/* One that may be missing has a default, null: what it is then the text says. */
static void add_member(struct json_object *members, const char *name, const char *type,
		       bool optional)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "name", name);
	add_text(o, "type", type);
	if (optional)
		json_object_object_add(o, "default", NULL);
	json_object_array_add(members, o);
}

static void name_builtin(struct schema *s, const char *name)
{
	for (size_t i = 0; i < BUILTINS; i++)
		if (!strcmp(builtins[i].name, name) && !seen(s, name))
			add_text(entry(s, name, "builtin"), "json-type", builtins[i].json);
}

static void name_array(struct schema *s, const char *name, const char *element)
{
	if (!seen(s, name))
		add_text(entry(s, name, "array"), "element-type", element);
}

/* QEMU has the words twice, as members too, since there these can tell more. */
static void name_words(struct schema *s, const struct word_type *w)
{
	struct json_object *o, *members, *values;

	if (seen(s, w->name))
		return;
	o = entry(s, w->name, "enum");
	members = entry_with(o, "members");
	values = entry_with(o, "values");
	for (size_t i = 0; w->word(i); i++) {
		struct json_object *member = json_object_new_object();

		add_text(member, "name", w->word(i));
		json_object_array_add(members, member);
		json_object_array_add(values, json_object_new_string(w->word(i)));
	}
}

static void name_object(struct schema *s, const struct object_type *t);

static void name_figure(struct schema *s, const struct figure *f)
{
	char buf[SCHEMA_NAME_MAX];
	const char *name = schema_figure_type(f, buf);

	if (f->of)
		name_object(s, f->of);
	if (f->type == FIGURE_ARRAY)
		name_array(s, name, f->of ? f->of->name : "int");
	if (f->type == FIGURE_ARRAY && !f->of)
		name_builtin(s, "int");
	if (f->type == FIGURE_WORDS) {
		name_array(s, name, "str");
		name_builtin(s, "str");
	}
	name_builtin(s, name);
}

static void name_object(struct schema *s, const struct object_type *t)
{
	struct json_object *members;
	char buf[SCHEMA_NAME_MAX];

	if (seen(s, t->name))
		return;
	members = entry_with(entry(s, t->name, "object"), "members");
	for (int i = 0; i < OBJECT_PARTS_MAX && t->part[i]; i++)
		for (const struct figure *f = t->part[i]; f->name; f++) {
			add_member(members, f->name, schema_figure_type(f, buf),
				   (t->optional >> i & 1) != 0);
			name_figure(s, f);
		}
}

/* => its members, to be filled; the entry's owner is told the name */
static struct json_object *name_arguments(struct schema *s, struct json_object *owner,
					  const char *of, bool any)
{
	char name[SCHEMA_NAME_MAX] = "Empty";

	if (any)
		snprintf(name, sizeof(name), "%s-arg", of);
	add_text(owner, "arg-type", name);
	return seen(s, name) ? NULL : entry_with(entry(s, name, "object"), "members");
}

static void add_command(struct schema *s, const struct command *c)
{
	struct json_object *o = entry(s, c->name, "command"), *members;
	char buf[SCHEMA_NAME_MAX];

	members = name_arguments(s, o, c->name, c->args[0].type != ARG_NONE);
	for (const struct command_arg *a = c->args; a->type != ARG_NONE; a++) {
		const struct word_type *w = word_type(a->type);
		const char *name = schema_arg_type(a->type, buf);

		add_member(members, a->name, name, a->optional);
		if (w)
			name_words(s, w);
		if (name[0] == '[')
			name_array(s, name, w ? w->name : "str");
		if (name[0] == '[' && !w)
			name_builtin(s, "str");
		name_builtin(s, name);
	}
	add_text(o, "ret-type", schema_return_type(c, buf));
	name_object(s, c->returns ? c->returns : &done_object);
	if (c->flags & COMMAND_ARRAY)
		name_array(s, buf, c->returns->name);
}

static void add_event(struct schema *s, const struct event_def *d)
{
	struct json_object *o = entry(s, d->name, "event"), *members;

	members = name_arguments(s, o, d->name, d->field[0].name != NULL);
	for (const struct event_field *f = d->field; f->name; f++) {
		const char *type = schema_field_type(f);

		add_member(members, f->name, type, f->optional);
		name_builtin(s, type);
	}
}

struct json_object *schema_object(bool read_only)
{
	struct schema s = { json_object_new_array(), json_object_new_object() };

	for (const struct command *c = commands; c->name; c++)
		/* what has no run is negotiation, which is for all */
		if (!read_only || !c->run || (c->flags & COMMAND_READ_ONLY))
			add_command(&s, c);
	for (const struct event_def *d = event_defs; d->name; d++)
		add_event(&s, d);
	json_object_put(s.seen);
	return s.entries;
}

/* --- what the answer itself consists of ------------------------------------------ */

static const struct figure info_figures[] = {
	FIGURE_ADDED("name", WORD, NULL, "What it is called."),
	FIGURE_ADDED("meta-type", WORD, NULL,
		     "One of builtin, enum, array, object, command, event."),
	{ 0 },
};

static const struct figure member_figures[] = {
	FIGURE_ADDED("name", WORD, NULL, "What it is called, or the word."),
	{ 0 },
};

static const struct figure member_type_figures[] = {
	FIGURE_ADDED("type", WORD, NULL, "Name of its type; absent in an enum."),
	{ 0 },
};

static const struct figure member_default_figures[] = {
	FIGURE_ADDED("default", NULL, NULL, "There if the member may be missing."),
	{ 0 },
};

static const struct object_type member_object = {
	"SchemaMember",
	"A member of an object, or a word of an enum",
	{ member_figures, member_type_figures, member_default_figures },
	1u << 1 | 1u << 2,
};

static const struct figure builtin_figures[] = {
	FIGURE_ADDED("json-type", WORD, NULL,
		     "Of a builtin: one of string, number, int, boolean, null."),
	{ 0 },
};

static const struct figure members_figures[] = {
	FIGURE_ADDED("members", ARRAY, &member_object,
		     "Of an enum or an object: what there may be."),
	{ 0 },
};

static const struct figure values_figures[] = {
	FIGURE_ADDED("values", WORDS, NULL, "Of an enum: the words alone."),
	{ 0 },
};

static const struct figure array_figures[] = {
	FIGURE_ADDED("element-type", WORD, NULL, "Of an array: the type of all elements."),
	{ 0 },
};

static const struct figure arg_figures[] = {
	FIGURE_ADDED("arg-type", WORD, NULL,
		     "Of a command or an event: the object that its arguments or data are."),
	{ 0 },
};

static const struct figure ret_figures[] = {
	FIGURE_ADDED("ret-type", WORD, NULL, "Of a command: the type of what it returns."),
	{ 0 },
};

const struct object_type schema_info_object = {
	"SchemaInfo",
	"A command, an event or a type of which they are made",
	{ info_figures, builtin_figures, members_figures, values_figures, array_figures,
	  arg_figures, ret_figures },
	1u << 1 | 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 6,
};
