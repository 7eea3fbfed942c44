/* SPDX-License-Identifier: BSD-2-Clause */
#include "unit/schema_check.h"

#include <stdio.h>
#include <string.h>

struct check {
	struct json_object *schema;
	char path[256];
	char *why;
	size_t room;
};

struct json_object *schema_entry(struct json_object *schema, const char *name)
{
	for (size_t i = 0; i < json_object_array_length(schema); i++) {
		struct json_object *o = json_object_array_get_idx(schema, i);

		if (!strcmp(schema_text(o, "name"), name))
			return o;
	}
	return NULL;
}

const char *schema_text(struct json_object *entry, const char *key)
{
	struct json_object *v;

	if (!json_object_object_get_ex(entry, key, &v) ||
	    !json_object_is_type(v, json_type_string))
		return "";
	return json_object_get_string(v);
}

static bool wrong(struct check *c, const char *what, const char *name)
{
	snprintf(c->why, c->room, "%s: %s%s", c->path, what, name);
	return false;
}

static bool builtin_fits(struct check *c, const char *json, struct json_object *v)
{
	enum json_type t = json_object_get_type(v);

	if ((!strcmp(json, "string") && t == json_type_string) ||
	    (!strcmp(json, "int") && t == json_type_int) ||
	    (!strcmp(json, "number") && (t == json_type_int || t == json_type_double)) ||
	    (!strcmp(json, "boolean") && t == json_type_boolean) ||
	    (!strcmp(json, "null") && t == json_type_null))
		return true;
	return wrong(c, "is no ", json);
}

static bool fits(struct check *c, const char *type, struct json_object *v);

static bool inside(struct check *c, const char *name, const char *type, struct json_object *v)
{
	size_t n = strlen(c->path);
	bool ok;

	snprintf(c->path + n, sizeof(c->path) - n, "/%s", name);
	ok = fits(c, type, v);
	c->path[n] = '\0';
	return ok;
}

static bool array_fits(struct check *c, const char *element, struct json_object *v)
{
	char name[24];

	if (!json_object_is_type(v, json_type_array))
		return wrong(c, "is no array", "");
	for (size_t i = 0; i < json_object_array_length(v); i++) {
		snprintf(name, sizeof(name), "%zu", i);
		if (!inside(c, name, element, json_object_array_get_idx(v, i)))
			return false;
	}
	return true;
}

static bool enum_fits(struct check *c, struct json_object *entry, struct json_object *v)
{
	struct json_object *members;

	if (!json_object_is_type(v, json_type_string))
		return wrong(c, "is no string", "");
	if (json_object_object_get_ex(entry, "members", &members) &&
	    schema_entry(members, json_object_get_string(v)))
		return true;
	return wrong(c, "is not allowed: ", json_object_get_string(v));
}

static bool object_fits(struct check *c, struct json_object *entry, struct json_object *v)
{
	struct json_object *members, *has;

	if (!json_object_is_type(v, json_type_object))
		return wrong(c, "is no object", "");
	if (!json_object_object_get_ex(entry, "members", &members))
		return wrong(c, "its type has no members", "");
	for (size_t i = 0; i < json_object_array_length(members); i++) {
		struct json_object *m = json_object_array_get_idx(members, i);
		const char *name = schema_text(m, "name");

		if (json_object_object_get_ex(v, name, &has)) {
			if (!inside(c, name, schema_text(m, "type"), has))
				return false;
		} else if (!json_object_object_get_ex(m, "default", NULL)) {
			return wrong(c, "lacks ", name);
		}
	}
	json_object_object_foreach(v, key, member)
	{
		(void)member;
		if (!schema_entry(members, key))
			return wrong(c, "has an unknown member ", key);
	}
	return true;
}

static bool fits(struct check *c, const char *type, struct json_object *v)
{
	struct json_object *entry = schema_entry(c->schema, type);
	const char *meta = entry ? schema_text(entry, "meta-type") : "";

	if (!strcmp(meta, "builtin"))
		return builtin_fits(c, schema_text(entry, "json-type"), v);
	if (!strcmp(meta, "array"))
		return array_fits(c, schema_text(entry, "element-type"), v);
	if (!strcmp(meta, "enum"))
		return enum_fits(c, entry, v);
	if (!strcmp(meta, "object"))
		return object_fits(c, entry, v);
	return wrong(c, "there is no such type: ", type);
}

bool schema_fits(struct json_object *schema, const char *type, struct json_object *value,
		 char *why, size_t room)
{
	struct check c = { .schema = schema, .why = why, .room = room };

	return fits(&c, type, value);
}
