/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A QMP client that does one thing at a time: connect, ask, wait for the
 * answer however long it takes.
 */
#ifndef DRUM_DRUMCTL_CLIENT_H
#define DRUM_DRUMCTL_CLIENT_H

#include <stdbool.h>

#include <json-c/json.h>

#include "base/err.h"

struct client;

/*
 * Connect to drumd's socket and negotiate.
 * => 0 and *out, or -errno: the daemon cannot be reached
 */
int must_check client_open(const char *path, struct client **out, struct err *e);

/*
 * Run a command; args (taken over) may be NULL.
 * => 0 and *result (give it back with json_object_put); -EREMOTEIO, the
 *    daemon refuses and e->text says why in its words; other -errno: the
 *    connection was lost
 */
int must_check client_call(struct client *c, const char *command, struct json_object *args,
			   struct json_object **result, struct err *e);

/* Is the connection gone, and with it the answer? */
bool client_is_lost(const struct client *c);

void client_close(struct client *c);

#endif
