/* SPDX-License-Identifier: BSD-2-Clause */
/* Members of answers, for the files that make these. */
#ifndef DRUM_CONTROL_QUERY_ADD_H
#define DRUM_CONTROL_QUERY_ADD_H

#include <stdbool.h>
#include <stdint.h>

#include <json-c/json.h>

void add_text(struct json_object *o, const char *key, const char *text);
void add_uint(struct json_object *o, const char *key, uint64_t value);
void add_int(struct json_object *o, const char *key, int64_t value);
void add_bool(struct json_object *o, const char *key, bool value);
/* Microseconds to a tenth: more would be noise. */
void add_us(struct json_object *o, const char *key, uint64_t ns);
/* Percent with four decimals. */
void add_percent(struct json_object *o, const char *key, uint32_t millionths);

#endif
