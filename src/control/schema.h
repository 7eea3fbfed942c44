/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What query-qmp-schema returns: the commands, what they take and return, and the events, in
 * QEMU's introspection format (SchemaInfo of its qapi/introspect.json).
 *
 * It is made of the tables of commands, of figures and of events; nothing is described here.
 * QEMU gives types other than the builtin ones numbers for names, so that clients look them
 * up and rely on none.  Here they have names that tell people something, and the same holds.
 */
#ifndef DRUM_CONTROL_SCHEMA_H
#define DRUM_CONTROL_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

#include <json-c/json.h>

#include "control/commands.h"
#include "control/event_table.h"
#include "control/registry.h"

/* read_only: of commands only those that change nothing.  => a new array */
struct json_object *schema_object(bool read_only);

/* The words that an argument may be.  => NULL: not that many, or it may be others too */
const char *schema_arg_word(enum arg_type type, size_t i);

/* The names of types, the builtin ones among them; in buf if need be.  => a text */
#define SCHEMA_NAME_MAX 80
const char *schema_arg_type(enum arg_type type, char buf[SCHEMA_NAME_MAX]);
const char *schema_figure_type(const struct figure *f, char buf[SCHEMA_NAME_MAX]);
const char *schema_field_type(const struct event_field *f);
const char *schema_return_type(const struct command *c, char buf[SCHEMA_NAME_MAX]);

/* An element of the answer itself. */
extern const struct object_type schema_info_object;

#endif
