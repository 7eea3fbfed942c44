/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * JSON as QMP speaks it: a stream of values in, ASCII out.
 *
 * What goes over a QMP socket is not lines.  Values follow each other with
 * or without white space, several in one write or one in many; a stream
 * cuts them out of the bytes, within a limit of size and depth.
 */
#ifndef DRUM_BASE_JSON_H
#define DRUM_BASE_JSON_H

#include <stddef.h>

#include <json-c/json.h>

#include "base/err.h"

#define JSON_DEPTH_MAX 64

struct json_stream;

/* max: bytes that one value may have.  => NULL when there is no memory */
struct json_stream *json_stream_create(size_t max);
void json_stream_destroy(struct json_stream *s);

/*
 * Take bytes from *data, of which there are *len, until a value is complete
 * or wrong; both are moved past what was taken.
 * => 1 and *value (give it back with json_object_put; a JSON null is NULL)
 *    0 when all bytes were taken and more are needed
 *    -EBADMSG not JSON, -EMSGSIZE too long or too deep; e->text is QEMU's
 *    wording; the stream has found its feet again and may go on
 *    -ENOMEM
 */
int must_check json_stream_next(struct json_stream *s, const char **data, size_t *len,
				struct json_object **value, struct err *e);

/*
 * The value on one line, ASCII only: what is beyond stands as \uXXXX, and
 * U+FFFD where a string is not UTF-8.  => malloc'ed, or NULL
 */
char *json_to_ascii(struct json_object *value);

/*
 * The string's characters when value is a string without NUL characters in
 * it, else NULL.
 */
const char *json_plain_string(struct json_object *value);

#endif
