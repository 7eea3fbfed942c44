/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A client is a connection, a JSON stream that cuts commands out of what it
 * sends, and a queue of answers it has not read.  A request is one command
 * from the moment it is run until it is answered.
 *
 * Nothing is queued on the way in.  A client has at most one request; while
 * it has one (client->pending), or while it leaves too many answers unread,
 * no byte is taken from its socket: the socket's own buffer is the queue, and
 * the client's write blocks when that is full.  So answers come in the order
 * of commands, and memory is bounded.
 *
 * A command may be answered before command_run returns, or by a callback of
 * the host much later, when the client may be gone.  The request therefore
 * belongs to nobody: it and its client point to each other, whichever goes
 * first clears the other's pointer, and the answer to a request without a
 * client is dropped.
 *
 * A client is freed in one place, client_settle, which ends each of the
 * entries below (event, tick, answer from the host).  What goes wrong in
 * between only sets client->failed.
 *
 * Events of the host (control/events.c) go to every client that has
 * negotiated, into the same queue as answers and under the same bounds.
 *
 * A client that closed its sending side still gets its answers; one that is
 * gone altogether (EPOLLHUP) is dropped, with the commands it left behind.
 */
#include "control/qmp_server.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "control/commands.h"
#include "control/events.h"
#include "base/json.h"

#define IN_MAX	 4096
#define OUT_KEEP (64 * 1024) /* a larger queue is given back when it is empty */

#define CLASS_GENERIC	"GenericError"
#define CLASS_NOT_FOUND "CommandNotFound"

struct client;

struct request {
	struct client *client; /* NULL: gone, nobody waits for the answer */
	struct json_object *id;
	bool has_id; /* an id may be null */
};

struct client {
	TAILQ_ENTRY(client) link;
	struct qmp_server *server;
	int fd;
	pid_t pid; /* for the log; 0: unknown */
	struct loop_watch *watch;
	struct json_stream *stream;
	struct request *pending;
	bool negotiated;
	bool eof;	 /* sends no more */
	bool failed;	 /* to be closed by client_settle */
	bool processing; /* client_process is on the stack */
	char *out;	 /* out_start .. out_end is not sent yet */
	size_t out_start, out_end, out_room;
	uint32_t stalled_ms; /* has read nothing for so long */
	size_t in_start, in_end;
	char in[IN_MAX]; /* in_start .. in_end is not parsed yet */
};

TAILQ_HEAD(client_list, client);

struct qmp_server {
	struct loop *loop;
	struct host *host;
	struct manager *manager;
	int listen_fd;
	struct loop_watch *listener; /* NULL: out of descriptors, the tick tries again */
	struct loop_watch *tick;     /* while there is a client or no listener */
	bool accept_failing;	     /* told once, not every second */
	struct client_list clients;
	size_t nclients;
	struct events *events;
	struct qmp_limits limits;
};

const struct qmp_limits qmp_default_limits = {
	.clients = 64,
	.out_pause = 64 * 1024,
	.out_max = 16 * 1024 * 1024,
	.stall_ms = 30 * 1000,
	.tick_ms = 1000,
	.event_ms = 1000,
};

static void listener_ready(void *arg, uint32_t events);
static void server_tick(void *arg);

/* --- the server's own watches ------------------------------------------------ */

/* Without clients there is nothing to look at every second. */
static void tick_update(struct qmp_server *s)
{
	bool wanted = s->nclients > 0 || !s->listener;

	if (wanted && !s->tick) {
		s->tick = loop_every(s->loop, s->limits.tick_ms, server_tick, s);
		if (!s->tick)
			log_warn("QMP: no timer, slow clients are not dropped: %s",
				 strerror(errno));
	} else if (!wanted && s->tick) {
		loop_remove(s->tick);
		s->tick = NULL;
	}
}

static void listener_resume(struct qmp_server *s)
{
	s->listener = loop_add(s->loop, s->listen_fd, EPOLLIN, listener_ready, s);
}

/* --- answers ------------------------------------------------------------------- */

static size_t out_queued(const struct client *c)
{
	return c->out_end - c->out_start;
}

static void client_flush(struct client *c)
{
	ssize_t n;

	while (!c->failed && out_queued(c) > 0) {
		n = send(c->fd, c->out + c->out_start, out_queued(c),
			 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n < 0) {
			c->failed = true;
			return;
		}
		c->out_start += (size_t)n;
		c->stalled_ms = 0;
	}
	c->out_start = c->out_end = 0;
	if (c->out_room > OUT_KEEP) {
		free(c->out);
		c->out = NULL;
		c->out_room = 0;
	}
}

static bool out_reserve(struct client *c, size_t n)
{
	size_t room = c->out_room ? c->out_room : 1024;
	char *out;

	if (c->out_start > 0) {
		memmove(c->out, c->out + c->out_start, out_queued(c));
		c->out_end -= c->out_start;
		c->out_start = 0;
	}
	while (room - c->out_end < n)
		room *= 2;
	if (room == c->out_room)
		return true;
	out = realloc(c->out, room);
	if (!out)
		return false;
	c->out = out;
	c->out_room = room;
	return true;
}

static void client_send(struct client *c, struct json_object *value)
{
	char *text;
	size_t n;

	if (c->failed)
		return;
	text = json_to_ascii(value);
	n = text ? strlen(text) : 0;
	if (text && out_queued(c) + n + 2 > c->server->limits.out_max) {
		log_warn("QMP: client (pid %d) dropped, it leaves %zu bytes unread",
			 (int)c->pid, out_queued(c) + n + 2);
		c->failed = true;
	} else if (!text || !out_reserve(c, n + 2)) {
		log_err("QMP: client (pid %d) dropped, no memory for the answer", (int)c->pid);
		c->failed = true;
	} else {
		memcpy(c->out + c->out_end, text, n);
		memcpy(c->out + c->out_end + n, "\r\n", 2);
		c->out_end += n + 2;
		client_flush(c);
	}
	free(text);
}

static struct json_object *error_object(const char *class, const char *desc)
{
	struct json_object *answer = json_object_new_object();
	struct json_object *error = json_object_new_object();

	json_object_object_add(error, "class", json_object_new_string(class));
	json_object_object_add(error, "desc", json_object_new_string(desc));
	json_object_object_add(answer, "error", error);
	return answer;
}

static void send_error(struct client *c, const char *class, const char *desc)
{
	struct json_object *answer = error_object(class, desc);

	client_send(c, answer);
	json_object_put(answer);
}

static void client_process(struct client *c);
static void client_settle(struct client *c);

static void request_end(struct request *r, struct json_object *answer)
{
	struct client *c = r->client;

	if (r->has_id)
		json_object_object_add(answer, "id", json_object_get(r->id));
	if (c) {
		c->pending = NULL;
		client_send(c, answer);
	}
	json_object_put(answer);
	json_object_put(r->id);
	free(r);
	if (c && !c->processing) {
		client_process(c);
		client_settle(c);
	}
}

static void request_fail(struct request *r, const char *class, const char *desc)
{
	request_end(r, error_object(class, desc));
}

/* command_reply_fn */
static void request_answered(void *ctx, struct json_object *result, const struct err *e)
{
	struct request *r = ctx;
	struct json_object *answer;

	if (e->code) {
		request_fail(r, CLASS_GENERIC, e->text);
		return;
	}
	answer = json_object_new_object();
	json_object_object_add(answer, "return", json_object_get(result));
	request_end(r, answer);
}

/* --- commands -------------------------------------------------------------------- */

/*
 * The members of a request, in QEMU's words.
 * => 0 with *name and *args (NULL when there are none), or -EINVAL
 */
static int request_members(struct json_object *value, const char **name,
			   struct json_object **args, struct err *e)
{
	*name = NULL;
	*args = NULL;
	json_object_object_foreach(value, key, member)
	{
		if (!strcmp(key, "execute")) {
			*name = json_plain_string(member);
			if (!*name)
				return err_set(e, -EINVAL,
					       "QMP input member 'execute' must be a string");
		} else if (!strcmp(key, "arguments")) {
			*args = member;
			if (!json_object_is_type(member, json_type_object))
				return err_set(
					e, -EINVAL,
					"QMP input member 'arguments' must be an object");
		} else if (strcmp(key, "id") != 0) {
			return err_set(e, -EINVAL, "QMP input member '%.64s' is unexpected",
				       key);
		}
	}
	if (!*name)
		return err_set(e, -EINVAL, "QMP input lacks member 'execute'");
	return 0;
}

/* qmp_capabilities, the one command that is the server's */
static void negotiate(struct request *r, const struct command *command,
		      struct json_object *args)
{
	union command_value values[COMMAND_ARGS_MAX];
	bool given[COMMAND_ARGS_MAX];
	struct json_object *answer, *missed;
	struct client *c = r->client;
	struct err e;

	if (command_check(command, args, values, given, &e) < 0) {
		request_fail(r, CLASS_GENERIC, e.text);
		return;
	}
	if (c->negotiated) {
		request_fail(r, CLASS_NOT_FOUND,
			     "Capabilities negotiation is already complete, command ignored");
		return;
	}
	c->negotiated = true;
	answer = json_object_new_object();
	json_object_object_add(answer, "return", json_object_new_object());
	request_end(r, answer);
	missed = events_missed(c->server->events);
	if (missed)
		client_send(c, missed);
}

static void execute(struct client *c, struct request *r, struct json_object *value)
{
	const struct command *command;
	struct json_object *args;
	const char *name;
	struct err e;

	if (request_members(value, &name, &args, &e) < 0) {
		request_fail(r, CLASS_GENERIC, e.text);
		return;
	}
	command = command_find(name);
	if (command && !command->run) {
		negotiate(r, command, args);
	} else if (!c->negotiated) {
		request_fail(r, CLASS_NOT_FOUND,
			     "Expecting capabilities negotiation with 'qmp_capabilities'");
	} else if (!command) {
		(void)err_set(&e, -ENOENT, "The command %.64s has not been found", name);
		request_fail(r, CLASS_NOT_FOUND, e.text);
	} else {
		log_debug("QMP: client (pid %d): %s", (int)c->pid, name);
		command_run(command, c->server->host, c->server->manager, args,
			    request_answered, r);
	}
}

/* One value of the stream; takes it over. */
static void client_value(struct client *c, struct json_object *value)
{
	struct request *r;

	if (!json_object_is_type(value, json_type_object)) {
		send_error(c, CLASS_GENERIC, "QMP input must be a JSON object");
		json_object_put(value);
		return;
	}
	r = calloc(1, sizeof(*r));
	if (!r) {
		c->failed = true;
		json_object_put(value);
		return;
	}
	r->client = c;
	r->has_id = json_object_object_get_ex(value, "id", &r->id);
	json_object_get(r->id);
	c->pending = r;
	execute(c, r, value);
	json_object_put(value);
}

static bool client_may_take(const struct client *c)
{
	return !c->failed && !c->pending && out_queued(c) < c->server->limits.out_pause;
}

/* Run what has been read, as far as it goes. */
static void client_process(struct client *c)
{
	assert(!c->processing);
	c->processing = true;
	while (client_may_take(c) && c->in_start < c->in_end) {
		const char *p = c->in + c->in_start;
		size_t len = c->in_end - c->in_start;
		struct json_object *value;
		struct err e;
		int rc = json_stream_next(c->stream, &p, &len, &value, &e);

		c->in_start = c->in_end - len;
		if (rc < 0)
			send_error(c, CLASS_GENERIC, e.text);
		else if (rc > 0)
			client_value(c, value);
	}
	c->processing = false;
}

/* --- clients ----------------------------------------------------------------------- */

static void client_close(struct client *c)
{
	struct qmp_server *s = c->server;

	if (c->pending)
		c->pending->client = NULL;
	if (c->watch)
		loop_remove(c->watch);
	close(c->fd);
	json_stream_destroy(c->stream);
	free(c->out);
	TAILQ_REMOVE(&s->clients, c, link);
	s->nclients--;
	log_debug("QMP: client (pid %d) gone, %zu left", (int)c->pid, s->nclients);
	free(c);
}

/* What every entry ends with: wait for the right events, or close. => frees c */
static void client_settle(struct client *c)
{
	struct qmp_server *s = c->server;
	bool parsed = c->in_start == c->in_end;
	uint32_t events = 0;

	/* its end is read only when all before it has been answered, or queued */
	assert(!c->eof || (!c->pending && parsed));
	if (c->failed || (c->eof && out_queued(c) == 0)) {
		client_close(c);
		tick_update(s);
		return;
	}
	if (client_may_take(c) && parsed && !c->eof)
		events |= EPOLLIN;
	if (out_queued(c) > 0)
		events |= EPOLLOUT;
	loop_modify(c->watch, events);
}

static void client_read(struct client *c)
{
	ssize_t n = recv(c->fd, c->in, sizeof(c->in), MSG_DONTWAIT);

	if (n > 0) {
		c->in_start = 0;
		c->in_end = (size_t)n;
	} else if (n == 0) {
		c->eof = true;
	} else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
		c->failed = true;
	}
}

static void client_event(void *arg, uint32_t events)
{
	struct client *c = arg;

	if (events & EPOLLOUT)
		client_flush(c);
	/* what was read before, and waited for room in the queue */
	client_process(c);
	if (client_may_take(c) && !c->eof && c->in_start == c->in_end &&
	    (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
		client_read(c);
		client_process(c);
	} else if (events & (EPOLLHUP | EPOLLERR)) {
		c->failed = true; /* it cannot read an answer any more */
	}
	client_settle(c);
}

static void client_greet(struct client *c)
{
	struct json_object *greeting = json_object_new_object();
	struct json_object *qmp = json_object_new_object();

	json_object_object_add(qmp, "version", command_version());
	json_object_object_add(qmp, "capabilities", json_object_new_array());
	json_object_object_add(greeting, "QMP", qmp);
	client_send(c, greeting);
	json_object_put(greeting);
}

int qmp_server_add_client(struct qmp_server *s, int fd, struct err *e)
{
	struct client *c = calloc(1, sizeof(*c));
	struct ucred peer;
	socklen_t len = sizeof(peer);
	int rc;

	if (!c) {
		close(fd);
		return err_set(e, -ENOMEM, "out of memory");
	}
	c->server = s;
	c->fd = fd;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
		c->pid = peer.pid;
	c->stream = json_stream_create(QMP_VALUE_MAX);
	if (c->stream)
		c->watch = loop_add(s->loop, fd, EPOLLIN, client_event, c);
	if (!c->watch) {
		rc = c->stream ? -errno : -ENOMEM;
		json_stream_destroy(c->stream);
		free(c);
		close(fd);
		return err_set(e, rc, "cannot serve a QMP client: %s", strerror(-rc));
	}
	TAILQ_INSERT_TAIL(&s->clients, c, link);
	s->nclients++;
	tick_update(s);
	log_debug("QMP: client (pid %d) connected", (int)c->pid);
	client_greet(c);
	client_settle(c);
	return 0;
}

/* --- the server ----------------------------------------------------------------------
 */

static void refuse_client(struct qmp_server *s, int fd)
{
	struct json_object *answer;
	struct err e;
	char *text;

	(void)err_set(&e, -EAGAIN, "Too many QMP clients, %zu are connected", s->nclients);
	log_warn("QMP: client refused, %zu are connected", s->nclients);
	answer = error_object(CLASS_GENERIC, e.text);
	text = json_to_ascii(answer);
	/* it fits into the empty buffer of a socket; if not, closing says enough */
	if (text && send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		(void)send(fd, "\r\n", 2, MSG_NOSIGNAL | MSG_DONTWAIT);
	free(text);
	json_object_put(answer);
	close(fd);
}

static void listener_ready(void *arg, uint32_t events)
{
	struct qmp_server *s = arg;
	struct err e;
	int fd;

	(void)events;
	fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ||
		    errno == ECONNABORTED)
			return;
		/* the connection stays in the backlog and would wake us for ever */
		if (!s->accept_failing)
			log_err("QMP: cannot accept a client, trying again every %" PRIu32
				" ms: %s",
				s->limits.tick_ms, strerror(errno));
		s->accept_failing = true;
		loop_remove(s->listener);
		s->listener = NULL;
		tick_update(s);
		return;
	}
	if (s->accept_failing)
		log_info("QMP: accepting clients again");
	s->accept_failing = false;
	if (s->nclients >= s->limits.clients)
		refuse_client(s, fd);
	else if (qmp_server_add_client(s, fd, &e) < 0)
		log_err("QMP: %s", e.text);
}

/* events_send_fn */
static void send_event(void *arg, struct json_object *event)
{
	struct qmp_server *s = arg;
	struct client *c, *next;

	for (c = TAILQ_FIRST(&s->clients); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (!c->negotiated)
			continue;
		client_send(c, event);
		/* the event may come of a command that it is just giving */
		if (!c->processing)
			client_settle(c);
	}
}

/* host_event_fn */
static void host_event(void *arg, const struct host_event *event)
{
	struct qmp_server *s = arg;

	events_emit(s->events, event);
}

static void server_tick(void *arg)
{
	struct qmp_server *s = arg;
	struct client *c, *next;

	if (!s->listener)
		listener_resume(s);
	for (c = TAILQ_FIRST(&s->clients); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (out_queued(c) == 0)
			continue;
		c->stalled_ms += s->limits.tick_ms;
		if (c->stalled_ms <= s->limits.stall_ms)
			continue;
		log_warn("QMP: client (pid %d) dropped, it has read nothing for %" PRIu32 " ms",
			 (int)c->pid, s->limits.stall_ms);
		c->failed = true;
		client_settle(c);
	}
	tick_update(s);
}

int qmp_server_start(struct loop *loop, int listen_fd, struct host *host,
		     struct manager *manager, struct qmp_server **out, struct err *e)
{
	struct qmp_server *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	s->loop = loop;
	s->host = host;
	s->manager = manager;
	s->listen_fd = listen_fd;
	s->limits = qmp_default_limits;
	TAILQ_INIT(&s->clients);
	s->events = events_create(loop, s->limits.event_ms, send_event, s);
	if (!s->events) {
		free(s);
		return err_set(e, -ENOMEM, "out of memory");
	}
	s->listener = loop_add(loop, listen_fd, EPOLLIN, listener_ready, s);
	if (!s->listener) {
		rc = -errno;
		events_destroy(s->events);
		free(s);
		return err_set(e, rc, "cannot watch the QMP socket: %s", strerror(-rc));
	}
	host_on_event(host, host_event, s);
	*out = s;
	return 0;
}

void qmp_server_stop(struct qmp_server *s)
{
	struct client *c;

	if (!s)
		return;
	host_on_event(s->host, NULL, NULL);
	events_destroy(s->events);
	while ((c = TAILQ_FIRST(&s->clients)))
		client_close(c);
	if (s->listener)
		loop_remove(s->listener);
	if (s->tick)
		loop_remove(s->tick);
	free(s);
}

void qmp_server_set_limits(struct qmp_server *s, const struct qmp_limits *limits)
{
	s->limits = *limits;
	events_set_every(s->events, limits->event_ms);
}

size_t qmp_server_clients(const struct qmp_server *s)
{
	return s->nclients;
}
