/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A QMP client that does one thing at a time: connect, ask, and wait for the
 * answer however long it takes, or look whether it has come.
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

/* The same again, after the connection was lost.  => as client_open; it stays lost then */
int must_check client_reopen(struct client *c, struct err *e);

/*
 * The same in two parts, for those who do something else meanwhile: a daemon that is there
 * and busy lets one wait.  Look whenever client_fd can be read.
 * => 0 or -errno; and 1: connected, 0: not yet, -errno: not at all
 */
int must_check client_reopen_start(struct client *c, struct err *e);
int must_check client_reopen_look(struct client *c, struct err *e);

/*
 * Run a command; args (taken over) may be NULL.
 * => 0 and *result (give it back with json_object_put); -EREMOTEIO, the
 *    daemon refuses and e->text says why in its words; other -errno: the
 *    connection was lost
 */
int must_check client_call(struct client *c, const char *command, struct json_object *args,
			   struct json_object **result, struct err *e);

/*
 * The same in two parts, for those who do something else meanwhile: ask, and
 * look for the answer whenever client_fd can be read.
 * => 1 and *result: it has come; 0: not yet; -errno as client_call
 */
int must_check client_start(struct client *c, const char *command, struct json_object *args,
			    struct err *e);
int must_check client_look(struct client *c, struct json_object **result, struct err *e);
int client_fd(const struct client *c);

/* Wait for the next event. => 0 and *event (give it back), or -errno */
int must_check client_event(struct client *c, struct json_object **event, struct err *e);

/*
 * Events that come while an answer is waited for go to fn (they stay ours), and
 * those that client_drain finds; without one they are lost.  fn NULL: no longer.
 */
typedef void client_event_fn(void *arg, struct json_object *event);
void client_on_event(struct client *c, client_event_fn *fn, void *arg);

/* Take what has come, without waiting. => 0, or -errno: the connection was lost */
int must_check client_drain(struct client *c, struct err *e);

/* After the connection was lost: until there is a daemon again, look for it each second. */
void client_find_again(struct client *c);

/* Is the connection gone, and with it the answer? */
bool client_is_lost(const struct client *c);

void client_close(struct client *c);

#endif
