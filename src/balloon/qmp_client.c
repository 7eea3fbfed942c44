/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 *	RESTING		no socket; due is when to connect
 *	GREETING	connected; due is when the greeting must be here
 *	NEGOTIATING	qmp_capabilities is under way, as any command
 *	UP		commands are given
 *
 * A connect(2) to a unix socket succeeds or fails at once, since the socket does not block:
 * a backlog that is full is EAGAIN.  So a peer that hangs is noticed by the clock only,
 * which a timer looks at each tick; every command has its own time.  Before it says that
 * time is over it reads once more: it may be we who were late.
 *
 * What a peer can cost: one value of value_max bytes that grows in the stream (and what
 * json-c makes of it, for a moment), QMP_COMMANDS_MAX commands under way, and as much room
 * for what the socket has not taken.  Of time: turn_max bytes in a turn of the loop,
 * flood_bytes or flood_values in a second.  Who sends more, or what is not QMP, loses the
 * link, and rests longer each time.
 *
 * An answer names its command by id.  Ids are never used twice, so what belongs to an
 * earlier link or to nobody is dropped.
 *
 * Callbacks may destroy the client.  `depth` counts the entries (socket, tick) that are on
 * the stack; destroy takes everything but the struct itself, which the entry frees.
 */
#include "balloon/qmp_client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/loop.h"

#define READ_MAX 4096
#define WHY_MAX	 256

enum qmp_state { RESTING, GREETING, NEGOTIATING, UP };

struct command {
	uint64_t id;  /* 0: free */
	uint64_t due; /* ns */
	const char *name;
	qmp_answer_fn fn;
	void *arg;
};

struct qmp_client {
	struct loop *loop;
	struct qmp_client_conf conf;
	struct qmp_client_ops ops;
	void *arg;
	struct sockaddr_un address;
	enum qmp_state state;
	int fd; /* -1: none */
	struct loop_watch *watch, *tick;
	struct loop_watch *first; /* until the first look at the clock, which is at once */
	struct json_stream *stream;
	uint64_t due;	     /* ns: of RESTING and GREETING */
	uint64_t up_at;	     /* ns */
	uint64_t backoff_ms; /* of the next rest */
	uint64_t second_at;  /* ns: when the second began in which was received: */
	size_t bytes;
	unsigned int values;
	uint64_t next_id;
	struct command command[QMP_COMMANDS_MAX];
	unsigned int depth;
	bool destroyed;
	size_t out_start, out_end;
	char out[QMP_COMMANDS_MAX * QMP_COMMAND_MAX];
};

const struct qmp_client_conf qmp_client_default_conf = {
	.timeout_ms = 5000,
	.backoff_ms = 1000,
	.backoff_max_ms = 60 * 1000,
	.tick_ms = 500,
	.value_max = 256 * 1024, /* query-cpus-fast of 512 vCPUs is some 100 KiB */
	.turn_max = 64 * 1024,
	.flood_bytes = 2 * 1024 * 1024,
	.flood_values = 2000,
	.now = clock_ns,
};

/* --- the link ------------------------------------------------------------------------ */

static void drop(struct qmp_client *c)
{
	if (c->watch)
		loop_remove(c->watch);
	c->watch = NULL;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	/* a new one: what the old one has of a value belongs to no link */
	json_stream_destroy(c->stream);
	c->stream = NULL;
	memset(c->command, 0, sizeof(c->command));
	c->out_start = c->out_end = 0;
	c->state = RESTING;
}

/* => may destroy the client: nothing of it after that */
static void __attribute__((format(printf, 2, 3)))
down(struct qmp_client *c, const char *fmt, ...)
{
	uint64_t now = c->conf.now();
	char why[WHY_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	if (c->state == UP && now - c->up_at > c->conf.backoff_max_ms * NSEC_PER_MSEC)
		c->backoff_ms = c->conf.backoff_ms;
	drop(c);
	c->due = now + c->backoff_ms * NSEC_PER_MSEC;
	c->backoff_ms *= 2;
	if (c->backoff_ms > c->conf.backoff_max_ms)
		c->backoff_ms = c->conf.backoff_max_ms;
	if (c->ops.down)
		c->ops.down(c->arg, why);
}

/* => false: the link is down */
static bool flush(struct qmp_client *c)
{
	ssize_t n;

	while (c->out_start < c->out_end) {
		n = send(c->fd, c->out + c->out_start, c->out_end - c->out_start,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			loop_modify(c->watch, EPOLLIN | EPOLLOUT);
			return true;
		}
		if (n < 0) {
			down(c, "cannot send to it: %s", strerror(errno));
			return false;
		}
		c->out_start += (size_t)n;
	}
	c->out_start = c->out_end = 0;
	loop_modify(c->watch, EPOLLIN);
	return true;
}

/* --- commands ------------------------------------------------------------------------ */

static struct command *command_find(struct qmp_client *c, uint64_t id)
{
	size_t i;

	for (i = 0; i < QMP_COMMANDS_MAX; i++)
		if (c->command[i].id == id)
			return &c->command[i];
	return NULL;
}

/* The command as a line. => malloc'ed, or NULL; arguments are taken */
static char *command_text(const char *name, struct json_object *arguments, uint64_t id)
{
	struct json_object *o = json_object_new_object();
	char *text = NULL;

	if (o) {
		json_object_object_add(o, "execute", json_object_new_string(name));
		if (arguments)
			json_object_object_add(o, "arguments", json_object_get(arguments));
		json_object_object_add(o, "id", json_object_new_uint64(id));
		text = json_to_ascii(o);
	}
	json_object_put(arguments);
	json_object_put(o);
	return text;
}

/* Into the room for what is to be sent.  => 0 or -errno */
static int command_queue(struct qmp_client *c, const char *name, struct json_object *arguments,
			 qmp_answer_fn fn, void *arg)
{
	struct command *slot = command_find(c, 0);
	uint64_t id = c->next_id;
	size_t n;
	char *text;

	if (!slot) {
		json_object_put(arguments);
		return -EBUSY;
	}
	text = command_text(name, arguments, id);
	if (!text)
		return -ENOMEM;
	n = strlen(text);
	/* what was answered before it was sent has a place in the room, and no slot */
	if (n + 1 > QMP_COMMAND_MAX || c->out_end - c->out_start + n + 1 > sizeof(c->out)) {
		free(text);
		return n + 1 > QMP_COMMAND_MAX ? -EMSGSIZE : -EBUSY;
	}
	memmove(c->out, c->out + c->out_start, c->out_end - c->out_start);
	c->out_end -= c->out_start;
	c->out_start = 0;
	memcpy(c->out + c->out_end, text, n);
	c->out[c->out_end + n] = '\n';
	c->out_end += n + 1;
	free(text);
	c->next_id++;
	*slot = (struct command){
		.id = id,
		.due = c->conf.now() + c->conf.timeout_ms * NSEC_PER_MSEC,
		.name = name,
		.fn = fn,
		.arg = arg,
	};
	return 0;
}

int qmp_client_ask(struct qmp_client *c, const char *command, struct json_object *arguments,
		   qmp_answer_fn fn, void *arg)
{
	int ret;

	if (c->state != UP) {
		json_object_put(arguments);
		return -ENOTCONN;
	}
	ret = command_queue(c, command, arguments, fn, arg);
	/* sent from the loop, so that whoever asks is never told from here that it is down */
	if (ret == 0)
		loop_modify(c->watch, EPOLLIN | EPOLLOUT);
	return ret;
}

/* --- what the peer says -------------------------------------------------------------- */

static void negotiated(void *arg, struct json_object *value, const char *why)
{
	struct qmp_client *c = arg;

	(void)value;
	if (why) {
		down(c, "it refuses to talk: %s", why);
		return;
	}
	c->state = UP;
	c->up_at = c->conf.now();
	if (c->ops.up)
		c->ops.up(c->arg);
}

/* The text of an error, cut; only what prints, for it goes to the log and to people. */
static void error_text(struct json_object *error, char *text, size_t size)
{
	struct json_object *desc = NULL;
	const char *from = NULL;
	size_t i = 0;

	if (json_object_is_type(error, json_type_object) &&
	    json_object_object_get_ex(error, "desc", &desc))
		from = json_plain_string(desc);
	for (from = from ? from : "an error without words"; *from && i + 1 < size; from++)
		text[i++] = *from < 0x20 || *from == 0x7f ? ' ' : *from;
	text[i] = '\0';
}

/* => false: the link is down, or the client is gone */
static bool take_answer(struct qmp_client *c, struct json_object *o)
{
	struct json_object *value = NULL, *id = NULL, *error = NULL;
	struct command *slot, command;
	char why[WHY_MAX];

	if (!json_object_object_get_ex(o, "error", &error) &&
	    !json_object_object_get_ex(o, "return", &value)) {
		down(c, "it sends what is neither an answer nor an event");
		return false;
	}
	if (!json_object_object_get_ex(o, "id", &id) ||
	    !json_object_is_type(id, json_type_int)) {
		/* to what, only it knows: not to a command as we send them */
		error_text(error, why, sizeof(why));
		down(c, "it did not understand us: %s", error ? why : "an answer without id");
		return false;
	}
	slot = json_object_get_uint64(id) ? command_find(c, json_object_get_uint64(id)) : NULL;
	if (!slot)
		return true;
	command = *slot;
	*slot = (struct command){ 0 };
	if (error) {
		error_text(error, why, sizeof(why));
		command.fn(command.arg, NULL, why);
	} else {
		command.fn(command.arg, value, NULL);
	}
	return !c->destroyed && c->fd >= 0;
}

static bool take_event(struct qmp_client *c, struct json_object *o, struct json_object *event)
{
	const char *name = json_plain_string(event);
	struct json_object *data = NULL;

	if (!name) {
		down(c, "it sends an event without a name");
		return false;
	}
	if (json_object_object_get_ex(o, "data", &data) &&
	    !json_object_is_type(data, json_type_object))
		data = NULL;
	/* before that there are none, says QMP; what comes all the same is of no use */
	if (c->state == UP && c->ops.event)
		c->ops.event(c->arg, name, data);
	return !c->destroyed && c->fd >= 0;
}

/* => false: the link is down, or the client is gone */
static bool take_value(struct qmp_client *c, struct json_object *o)
{
	struct json_object *member = NULL;
	int ret;

	if (!json_object_is_type(o, json_type_object)) {
		down(c, "it sends what is not QMP");
		return false;
	}
	if (c->state == GREETING) {
		if (!json_object_object_get_ex(o, "QMP", &member)) {
			down(c, "it does not greet as QMP does");
			return false;
		}
		c->state = NEGOTIATING;
		ret = command_queue(c, "qmp_capabilities", NULL, negotiated, c);
		if (ret < 0) {
			down(c, "%s", strerror(-ret));
			return false;
		}
		return flush(c);
	}
	if (json_object_object_get_ex(o, "event", &member))
		return take_event(c, o, member);
	return take_answer(c, o);
}

static bool is_flood(struct qmp_client *c, size_t bytes, unsigned int values)
{
	uint64_t now = c->conf.now();

	if (now - c->second_at >= NSEC_PER_SEC) {
		c->second_at = now;
		c->bytes = 0;
		c->values = 0;
	}
	c->bytes += bytes;
	c->values += values;
	return c->bytes > c->conf.flood_bytes || c->values > c->conf.flood_values;
}

/* => false: the link is down, or the client is gone */
static bool take_bytes(struct qmp_client *c, const char *data, size_t n)
{
	struct json_object *o;
	struct err e;
	bool goes_on;
	int ret;

	if (is_flood(c, n, 0)) {
		down(c, "it floods: more than %zu bytes a second", c->conf.flood_bytes);
		return false;
	}
	while (n > 0) {
		o = NULL;
		ret = json_stream_next(c->stream, &data, &n, &o, &e);
		if (ret == 0)
			return true;
		if (ret < 0) {
			down(c, "it sends what is not QMP: %s",
			     ret == -ENOMEM ? strerror(ENOMEM) : e.text);
			return false;
		}
		if (is_flood(c, 0, 1)) {
			json_object_put(o);
			down(c, "it floods: more than %u messages a second",
			     c->conf.flood_values);
			return false;
		}
		goes_on = take_value(c, o);
		json_object_put(o);
		if (!goes_on)
			return false;
	}
	return true;
}

/* => false: the link is down, or the client is gone */
static bool receive(struct qmp_client *c)
{
	char buffer[READ_MAX];
	size_t total = 0;
	ssize_t n;

	while (total < c->conf.turn_max) {
		n = recv(c->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return true;
		if (n <= 0) {
			down(c, "%s",
			     n == 0 || errno == ECONNRESET ? "it closed the connection"
							   : strerror(errno));
			return false;
		}
		total += (size_t)n;
		if (!take_bytes(c, buffer, (size_t)n))
			return false;
	}
	return true;
}

/* --- entries -------------------------------------------------------------------------- */

static void leave(struct qmp_client *c)
{
	if (--c->depth == 0 && c->destroyed)
		free(c);
}

static void socket_ready(void *arg, uint32_t events)
{
	struct qmp_client *c = arg;

	c->depth++;
	/* an end of the connection too is told by what recv says, after what was sent before */
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)) || receive(c))
		if (events & EPOLLOUT)
			(void)flush(c);
	leave(c);
}

static void connect_now(struct qmp_client *c)
{
	int ret;

	c->stream = json_stream_create(c->conf.value_max);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (!c->stream || c->fd < 0) {
		down(c, "%s", c->stream ? strerror(errno) : strerror(ENOMEM));
		return;
	}
	do
		ret = connect(c->fd, (struct sockaddr *)&c->address, sizeof(c->address));
	while (ret < 0 && errno == EINTR);
	if (ret < 0) {
		down(c, "cannot connect to %s: %s", c->address.sun_path,
		     errno == EAGAIN ? "nobody takes connections there" : strerror(errno));
		return;
	}
	c->watch = loop_add(c->loop, c->fd, EPOLLIN, socket_ready, c);
	if (!c->watch) {
		down(c, "%s", strerror(errno));
		return;
	}
	c->state = GREETING;
	c->due = c->conf.now() + c->conf.timeout_ms * NSEC_PER_MSEC;
}

/* What has not come in time, or NULL. */
static const char *overdue(const struct qmp_client *c, uint64_t now)
{
	size_t i;

	if (c->state == GREETING)
		return now >= c->due ? "greeting" : NULL;
	for (i = 0; i < QMP_COMMANDS_MAX; i++)
		if (c->command[i].id && now >= c->command[i].due)
			return c->command[i].name;
	return NULL;
}

static void look_at_clock(void *arg)
{
	struct qmp_client *c = arg;
	uint64_t now = c->conf.now();
	const char *what;

	c->depth++;
	if (c->state == RESTING) {
		if (now >= c->due)
			connect_now(c);
	} else if (overdue(c, now) && receive(c)) {
		what = overdue(c, now);
		if (what && c->state == GREETING)
			down(c, "it does not greet");
		else if (what)
			down(c, "it does not answer '%s'", what);
	}
	leave(c);
}

static void first_look(void *arg)
{
	struct qmp_client *c = arg;

	loop_remove(c->first);
	c->first = NULL;
	look_at_clock(c);
}

struct qmp_client *qmp_client_create(struct loop *l, const char *socket,
				     const struct qmp_client_conf *conf,
				     const struct qmp_client_ops *ops, void *arg)
{
	struct qmp_client *c;

	if (strlen(socket) >= sizeof(c->address.sun_path)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->loop = l;
	c->conf = conf ? *conf : qmp_client_default_conf;
	c->ops = *ops;
	c->arg = arg;
	c->fd = -1;
	c->next_id = 1;
	c->backoff_ms = c->conf.backoff_ms;
	c->due = c->conf.now();
	c->address.sun_family = AF_UNIX;
	strcpy(c->address.sun_path, socket);
	c->first = loop_every(l, 1, first_look, c);
	c->tick = c->first ? loop_every(l, c->conf.tick_ms, look_at_clock, c) : NULL;
	if (!c->tick) {
		int err = errno;

		qmp_client_destroy(c);
		errno = err;
		return NULL;
	}
	return c;
}

void qmp_client_destroy(struct qmp_client *c)
{
	if (!c)
		return;
	drop(c);
	if (c->tick)
		loop_remove(c->tick);
	if (c->first)
		loop_remove(c->first);
	c->tick = c->first = NULL;
	c->destroyed = true;
	if (c->depth == 0)
		free(c);
}

bool qmp_client_is_up(const struct qmp_client *c)
{
	return c->state == UP;
}
