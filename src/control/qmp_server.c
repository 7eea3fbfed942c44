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
 * A client that has had its share of a slot (client_spent) is taken no command from until a
 * timer, which runs while there is such a client, begins a new slot for all of them.  So a turn
 * of the loop has a bounded share of each client, however much it has sent, and who floods the
 * server is slowed down to slot_commands in slot_ms.
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

#include "base/clock.h"
#include "base/log.h"
#include "control/commands.h"
#include "control/events.h"
#include "control/jobs.h"
#include "control/qmp_out.h"
#include "control/qmp_peer.h"
#include "base/json.h"

#define IN_MAX 4096

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
	bool read_only;	 /* came by the socket for that */
	bool waits;	 /* has had its share of the slot */
	bool due;	 /* its share of the new one is to come, in new_slot */
	struct qmp_out out;
	uint32_t stalled_ms; /* has read nothing for so long */
	uint64_t slot_since; /* ns */
	uint64_t slot_ns;    /* what its commands took since then */
	uint32_t slot_commands;
	size_t in_start, in_end;
	char in[IN_MAX]; /* in_start .. in_end is not parsed yet */
};

TAILQ_HEAD(client_list, client);

/* The sockets, and whose they are: that of READERS is ADMIN's group's too. */
enum { ADMIN, READERS, SOCKETS };

struct listener {
	struct qmp_server *server;
	int fd;			  /* -1: there is none */
	struct loop_watch *watch; /* NULL: out of descriptors, the tick tries again */
	bool failing;		  /* told once, not every second */
	size_t clients;
	uint64_t slot_ns; /* in which its clients were served, of this slot */
	uint64_t slot_since;
	uint64_t told;	/* ns, when a refusal was */
	size_t refused; /* since then */
};

struct qmp_server {
	struct loop *loop;
	struct command_env env; /* of clients who may do everything */
	struct listener listener[SOCKETS];
	struct proto_group group[SOCKETS];
	struct loop_watch *tick; /* while there is a client, or a listener without a watch */
	struct loop_watch *slot; /* while a client waits for a new slot */
	struct client_list clients;
	struct events *events;
	struct qmp_limits limits;
};

const struct qmp_limits qmp_default_limits = {
	.clients = 64,
	.readers = 64,
	.out_pause = 64 * 1024,
	.out_max = 16 * 1024 * 1024,
	.stall_ms = 30 * 1000,
	.tick_ms = 1000,
	.event_ms = 1000,
	.slot_commands = 32,
	.slot_us = 5000,
	.slot_ms = 10,
};

#define REFUSED_NS (10 * NSEC_PER_SEC) /* between two lines of the log on that */

static void listener_ready(void *arg, uint32_t events);
static void server_tick(void *arg);

/* --- the server's own watches ------------------------------------------------ */

static bool listens(const struct qmp_server *s)
{
	for (int i = 0; i < SOCKETS; i++)
		if (s->listener[i].fd >= 0 && !s->listener[i].watch)
			return false;
	return true;
}

/* Without clients there is nothing to look at every second. */
static void tick_update(struct qmp_server *s)
{
	bool wanted = qmp_server_clients(s) > 0 || !listens(s);

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

static void listener_resume(struct listener *l)
{
	l->watch = loop_add(l->server->loop, l->fd, EPOLLIN, listener_ready, l);
}

/* --- answers ------------------------------------------------------------------- */

static void client_flush(struct client *c)
{
	ssize_t n = c->failed ? 0 : qmp_out_flush(&c->out, c->fd);

	if (n < 0)
		c->failed = true;
	else if (n > 0)
		c->stalled_ms = 0;
}

static void client_send(struct client *c, struct json_object *value)
{
	char *text;
	size_t n;

	if (c->failed)
		return;
	text = json_to_ascii(value);
	n = text ? strlen(text) : 0;
	if (text && qmp_out_queued(&c->out) + n + 2 > c->server->limits.out_max) {
		log_warn("QMP: client (pid %d) dropped, it leaves %zu bytes unread",
			 (int)c->pid, qmp_out_queued(&c->out) + n + 2);
		c->failed = true;
	} else if (!text || qmp_out_add(&c->out, text, n) < 0) {
		log_err("QMP: client (pid %d) dropped, no memory for the answer", (int)c->pid);
		c->failed = true;
	} else {
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
	} else if (!command_allowed(command, c->read_only)) {
		(void)err_set(&e, -EACCES,
			      "The command %.64s is refused on this socket, which is for "
			      "reading; use qmp.sock",
			      name);
		request_fail(r, CLASS_GENERIC, e.text);
	} else {
		struct command_env env = c->server->env;

		log_debug("QMP: client (pid %d): %s", (int)c->pid, name);
		env.read_only = c->read_only;
		command_run(command, &env, args, request_answered, r);
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

static struct client *first_due(const struct qmp_server *s)
{
	struct client *c;

	TAILQ_FOREACH (c, &s->clients, link)
		if (c->due)
			return c;
	return NULL;
}

static void new_slot(void *arg)
{
	struct qmp_server *s = arg;
	struct client *c;

	/* it is begun anew by who has too much to do for this one too */
	loop_remove(s->slot);
	s->slot = NULL;
	s->listener[READERS].slot_ns = 0;
	s->listener[READERS].slot_since = clock_ns();
	TAILQ_FOREACH (c, &s->clients, link) {
		c->due = c->waits;
		c->waits = false;
	}
	/* an event of what one does may end any other: nothing is kept from turn to turn */
	while ((c = first_due(s))) {
		c->due = false;
		/* the last of the next time, if there is not enough for all */
		TAILQ_REMOVE(&s->clients, c, link);
		TAILQ_INSERT_TAIL(&s->clients, c, link);
		c->slot_commands = 0;
		c->slot_ns = 0;
		c->slot_since = clock_ns();
		client_process(c);
		client_settle(c);
	}
}

/* Until the next slot. */
static void client_wait(struct client *c)
{
	struct qmp_server *s = c->server;

	if (!s->slot)
		s->slot = loop_every(s->loop, s->limits.slot_ms, new_slot, s);
	c->waits = s->slot; /* without a timer it would wait for ever */
}

/*
 * Clients that only read have a share in common besides, or many of them could take all of the
 * time from who has something to do.  => false: it is used up
 */
static bool readers_may(struct client *c)
{
	const struct qmp_limits *limits = &c->server->limits;
	struct listener *l = &c->server->listener[READERS];

	if (!c->read_only || l->slot_ns < limits->slot_us * NSEC_PER_USEC ||
	    clock_ns() - l->slot_since >= limits->slot_ms * NSEC_PER_MSEC)
		return true;
	client_wait(c);
	return !c->waits;
}

static void readers_spent(const struct client *c, uint64_t since, uint64_t now)
{
	struct listener *l = &c->server->listener[READERS];

	if (!c->read_only)
		return;
	if (now - l->slot_since >= c->server->limits.slot_ms * NSEC_PER_MSEC) {
		l->slot_since = since;
		l->slot_ns = 0;
	}
	l->slot_ns += now - since;
}

/* It was busy with one more command, since then. */
static void client_spent(struct client *c, uint64_t since)
{
	struct qmp_server *s = c->server;
	uint64_t now = clock_ns();

	readers_spent(c, since, now);

	if (now - c->slot_since >= s->limits.slot_ms * NSEC_PER_MSEC) {
		c->slot_since = since;
		c->slot_commands = 0;
		c->slot_ns = 0;
	}
	c->slot_commands++;
	c->slot_ns += now - since;
	if (c->slot_commands < s->limits.slot_commands &&
	    c->slot_ns < s->limits.slot_us * NSEC_PER_USEC)
		return;
	client_wait(c);
}

static bool client_may_take(const struct client *c)
{
	return !c->failed && !c->pending && !c->waits && !c->due &&
	       qmp_out_queued(&c->out) < c->server->limits.out_pause;
}

/* Run what has been read, as far as it goes. */
static void client_process(struct client *c)
{
	assert(!c->processing);
	c->processing = true;
	while (client_may_take(c) && c->in_start < c->in_end && readers_may(c)) {
		const char *p = c->in + c->in_start;
		size_t len = c->in_end - c->in_start;
		uint64_t since = clock_ns();
		struct json_object *value;
		struct err e;
		int rc = json_stream_next(c->stream, &p, &len, &value, &e);

		c->in_start = c->in_end - len;
		if (rc < 0)
			send_error(c, CLASS_GENERIC, e.text);
		else if (rc > 0)
			client_value(c, value);
		if (rc)
			client_spent(c, since);
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
	qmp_out_free(&c->out);
	TAILQ_REMOVE(&s->clients, c, link);
	s->listener[c->read_only ? READERS : ADMIN].clients--;
	log_debug("QMP: client (pid %d) gone, %zu left", (int)c->pid, qmp_server_clients(s));
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
	if (c->failed || (c->eof && qmp_out_queued(&c->out) == 0)) {
		client_close(c);
		tick_update(s);
		return;
	}
	if (client_may_take(c) && parsed && !c->eof)
		events |= EPOLLIN;
	if (qmp_out_queued(&c->out) > 0)
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

int qmp_server_add_client(struct qmp_server *s, int fd, bool read_only, struct err *e)
{
	struct client *c = calloc(1, sizeof(*c));
	struct qmp_peer peer;
	int rc;

	if (!c) {
		close(fd);
		return err_set(e, -ENOMEM, "out of memory");
	}
	c->server = s;
	c->fd = fd;
	c->read_only = read_only;
	qmp_peer_look(fd, &peer);
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
	s->listener[read_only ? READERS : ADMIN].clients++;
	tick_update(s);
	log_debug("QMP: client (pid %d) connected%s", (int)c->pid,
		  read_only ? ", to read" : "");
	client_greet(c);
	client_settle(c);
	return 0;
}

/* --- the server ----------------------------------------------------------------------
 */

/* One word and no more. */
static void refuse_client(int fd, const struct err *e)
{
	struct json_object *answer = error_object(CLASS_GENERIC, e->text);
	char *text = json_to_ascii(answer);

	/* it fits into the empty buffer of a socket; if not, closing says enough */
	if (text && send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		(void)send(fd, "\r\n", 2, MSG_NOSIGNAL | MSG_DONTWAIT);
	free(text);
	json_object_put(answer);
	close(fd);
}

static void log_stranger(struct listener *l, const struct qmp_peer *peer)
{
	uint64_t now = clock_ns();

	l->refused++;
	if (l->told && now - l->told < REFUSED_NS)
		return;
	log_warn("QMP: user %d (pid %d) refused on %s%s", (int)peer->uid, (int)peer->pid,
		 l == &l->server->listener[ADMIN] ? "qmp.sock" : "monitor.sock",
		 l->refused > 1 ? ", and others before" : "");
	l->told = now;
	l->refused = 0;
}

/* => 0, or -errno and e */
static int listener_admit(struct listener *l, int fd, struct err *e)
{
	struct qmp_server *s = l->server;
	bool read_only = l == &s->listener[READERS];
	size_t places = read_only ? s->limits.readers : s->limits.clients;
	size_t groups = read_only ? 2 : 1;
	char who[QMP_PEER_TEXT_MAX];
	struct qmp_peer peer;

	qmp_peer_look(fd, &peer);
	if (!qmp_peer_may(fd, &peer, s->group, groups)) {
		log_stranger(l, &peer);
		return err_set(e, -EACCES, "This socket is for %s; see group%s in drum.conf(5)",
			       qmp_peer_who(who, s->group, groups),
			       read_only ? " and monitor-group" : "");
	}
	if (l->clients < places)
		return 0;
	log_warn("QMP: client refused, %zu are connected", l->clients);
	return err_set(e, -EAGAIN, "Too many QMP clients, %zu are connected", l->clients);
}

static void listener_ready(void *arg, uint32_t events)
{
	struct listener *l = arg;
	struct qmp_server *s = l->server;
	struct err e;
	int fd;

	(void)events;
	fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ||
		    errno == ECONNABORTED)
			return;
		/* the connection stays in the backlog and would wake us for ever */
		if (!l->failing)
			log_err("QMP: cannot accept a client, trying again every %" PRIu32
				" ms: %s",
				s->limits.tick_ms, strerror(errno));
		l->failing = true;
		loop_remove(l->watch);
		l->watch = NULL;
		tick_update(s);
		return;
	}
	if (l->failing)
		log_info("QMP: accepting clients again");
	l->failing = false;
	if (listener_admit(l, fd, &e) < 0)
		refuse_client(fd, &e);
	else if (qmp_server_add_client(s, fd, l == &s->listener[READERS], &e) < 0)
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

/* jobs_tell_fn */
static void job_event(void *arg, const char *id, enum job_status status)
{
	struct qmp_server *s = arg;
	struct host_event event = {
		.name = "JOB_STATUS_CHANGE",
		.field = { { .key = "id", .text = id },
			   { .key = "status", .text = job_status_name(status) } },
	};

	events_emit(s->events, &event);
}

static void server_tick(void *arg)
{
	struct qmp_server *s = arg;
	struct client *c, *next;

	for (int i = 0; i < SOCKETS; i++)
		if (s->listener[i].fd >= 0 && !s->listener[i].watch)
			listener_resume(&s->listener[i]);
	for (c = TAILQ_FIRST(&s->clients); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (qmp_out_queued(&c->out) == 0)
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

static int start_listening(struct listener *l, struct err *e)
{
	listener_resume(l);
	if (l->watch)
		return 0;
	return err_set(e, -errno, "cannot watch a QMP socket: %s", strerror(errno));
}

int qmp_server_start(struct loop *loop, int listen_fd, struct host *host,
		     struct manager *manager, struct qmp_server **out, struct err *e)
{
	struct qmp_server *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	s->loop = loop;
	s->env = (struct command_env){ .host = host, .manager = manager };
	s->listener[ADMIN] = (struct listener){ .server = s, .fd = listen_fd };
	s->listener[READERS] = (struct listener){ .server = s, .fd = -1 };
	s->limits = qmp_default_limits;
	TAILQ_INIT(&s->clients);
	s->events = events_create(loop, s->limits.event_ms, send_event, s);
	s->env.jobs = jobs_create(job_event, s);
	if (s->events && s->env.jobs)
		rc = start_listening(&s->listener[ADMIN], e);
	else
		rc = err_set(e, -ENOMEM, "out of memory");
	if (rc < 0) {
		events_destroy(s->events);
		jobs_destroy(s->env.jobs);
		free(s);
		return rc;
	}
	host_on_event(host, host_event, s);
	*out = s;
	return 0;
}

int qmp_server_listen_read_only(struct qmp_server *s, int listen_fd, struct err *e)
{
	s->listener[READERS].fd = listen_fd;
	return start_listening(&s->listener[READERS], e);
}

void qmp_server_set_groups(struct qmp_server *s, const struct proto_group *group,
			   const struct proto_group *monitor_group)
{
	s->group[ADMIN] = *group;
	s->group[READERS] = *monitor_group;
}

void qmp_server_stop(struct qmp_server *s)
{
	struct client *c;

	if (!s)
		return;
	host_on_event(s->env.host, NULL, NULL);
	jobs_destroy(s->env.jobs);
	events_destroy(s->events);
	while ((c = TAILQ_FIRST(&s->clients)))
		client_close(c);
	for (int i = 0; i < SOCKETS; i++)
		if (s->listener[i].watch)
			loop_remove(s->listener[i].watch);
	if (s->slot)
		loop_remove(s->slot);
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
	return s->listener[ADMIN].clients + s->listener[READERS].clients;
}
