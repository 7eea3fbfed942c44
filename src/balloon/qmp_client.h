/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client of QMP on a unix socket, for threads with a loop: nothing here waits.
 *
 * It connects by itself, and again when the link has gone down: after a second, then twice
 * as long, up to a minute; after a second again once a link has held for longer than that.
 * The peer is trusted with nothing: what it can cost is in struct qmp_client_conf.
 *
 * One thread runs the loop and makes every call here.
 */
#ifndef DRUM_BALLOON_QMP_CLIENT_H
#define DRUM_BALLOON_QMP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

#include "base/err.h"

struct loop;
struct qmp_client;

#define QMP_COMMANDS_MAX 16   /* that may be under way */
#define QMP_COMMAND_MAX	 1024 /* bytes of one, as it is sent */

struct qmp_client_conf {
	uint32_t timeout_ms; /* for the greeting, and for each answer */
	uint32_t backoff_ms; /* before the second connect */
	uint32_t backoff_max_ms;
	uint32_t tick_ms;	   /* how often the clock is looked at */
	size_t value_max;	   /* bytes of one value that the peer sends */
	size_t turn_max;	   /* bytes that are read before others have their turn */
	size_t flood_bytes;	   /* what a peer may send in a second, */
	unsigned int flood_values; /* and in how many values: more is a flood */
	uint64_t (*now)(void);	   /* ns */
};
extern const struct qmp_client_conf qmp_client_default_conf;

/* Each from the loop, never from within a call of here; any may destroy the client. */
struct qmp_client_ops {
	void (*up)(void *arg); /* negotiated: commands may be given */
	/* It was up, or an attempt to connect has failed.  Commands under way are forgotten,
	 * their functions are not called. */
	void (*down)(void *arg, const char *why);
	/* data: an object, or NULL */
	void (*event)(void *arg, const char *name, struct json_object *data);
};

/* value: what "return" has (may be NULL: a JSON null), or NULL and why, what the peer said
 * against it */
typedef void (*qmp_answer_fn)(void *arg, struct json_object *value, const char *why);

/* Connects in the next turn of the loop.  conf and ops are copied; conf NULL: the default.
 * => NULL: errno, as ENAMETOOLONG */
struct qmp_client *must_check qmp_client_create(struct loop *l, const char *socket,
						const struct qmp_client_conf *conf,
						const struct qmp_client_ops *ops, void *arg);
void qmp_client_destroy(struct qmp_client *c);

bool qmp_client_is_up(const struct qmp_client *c);

/*
 * Give a command.  arguments: an object, which is taken (also if this fails), or NULL.
 * command stays the caller's, and must stay.
 * => 0: fn is called, unless the link goes down first; -ENOTCONN, -EBUSY too many are under
 *    way, -EMSGSIZE, -ENOMEM
 */
int must_check qmp_client_ask(struct qmp_client *c, const char *command,
			      struct json_object *arguments, qmp_answer_fn fn, void *arg);

#endif
