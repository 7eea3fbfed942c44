/* SPDX-License-Identifier: BSD-2-Clause */
/* A value against what query-qmp-schema says of it; written from QEMU's format, not from
 * control/schema.c. */
#ifndef DRUM_TESTS_SCHEMA_CHECK_H
#define DRUM_TESTS_SCHEMA_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include <json-c/json.h>

/* The entry of that name, or NULL. */
struct json_object *schema_entry(struct json_object *schema, const char *name);

/* A text of an entry or a member of it; "" if it has none. */
const char *schema_text(struct json_object *entry, const char *key);

/*
 * Is the value of this type: its own type, all members there that must be, none that is
 * unknown, and so on inside?  => it is; else why says what is not, and where
 */
bool schema_fits(struct json_object *schema, const char *type, struct json_object *value,
		 char *why, size_t room);

#endif
