/* SPDX-License-Identifier: BSD-2-Clause */
#include "drumctl/client.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MAX (64 * 1024 * 1024) /* beyond, it is not drumd that talks */
#define RETRY_MS   1000		      /* between two looks for a daemon that is gone */

struct client {
	int fd;
	char *path;
	int last_id;
	bool is_lost;
	bool greeted; /* since client_reopen_start */
	char *buf;    /* len bytes read, of which the first `line` were handed out */
	size_t len, line, room;
	size_t searched;	   /* of those behind: no newline in so many */
	client_event_fn *on_event; /* or NULL */
	void *on_event_arg;
};

/* What is wrong, and where: every message names the socket. */
static int __attribute__((format(printf, 4, 5)))
lost(struct client *c, struct err *e, int code, const char *fmt, ...)
{
	char why[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	c->is_lost = true;
	return err_set(e, code, "lost drumd at %s: %s", c->path, why);
}

static const char *reach_hint(int code)
{
	switch (code) {
	case ENOENT:
	case ECONNREFUSED:
		return "; is drumd running? Start it with 'drumd', or name another "
		       "socket with -s";
	case EACCES:
	case EPERM:
		return "; it is for root, and for whom group in drum.conf(5) lets in: run "
		       "drumctl as root";
	default:
		return "";
	}
}

static int connect_to(struct client *c, const char *path, struct err *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(addr.sun_path))
		return err_set(
			e, -ENAMETOOLONG,
			"cannot reach drumd at %s: a socket's path has at most %zu bytes", path,
			sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, path, strlen(path));
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		int code = errno;

		return err_set(e, -code, "cannot reach drumd at %s: %s%s", path, strerror(code),
			       reach_hint(code));
	}
	return 0;
}

/* Read on.  => 1 with more in the buffer, 0: there is none yet, or -errno */
static int read_more(struct client *c, bool wait, struct err *e)
{
	ssize_t n;

	if (c->len == c->room) {
		size_t room = c->room ? 2 * c->room : 4096;
		char *buf = room > ANSWER_MAX ? NULL : realloc(c->buf, room);

		if (!buf)
			return lost(c, e, -ENOMEM, "its answer is too long");
		c->buf = buf;
		c->room = room;
	}
	do {
		n = recv(c->fd, c->buf + c->len, c->room - c->len, wait ? 0 : MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && !wait && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (n < 0)
		return lost(c, e, -errno, "%s", strerror(errno));
	if (n == 0)
		return lost(c, e, -ECONNRESET, "it closed the connection; its log may say why");
	c->len += (size_t)n;
	return 1;
}

/*
 * The next object that the daemon sends; one a line.
 * => 1 and *value, 0: not yet and no waiting, or -errno
 */
static int read_value(struct client *c, bool wait, struct json_object **value, struct err *e)
{
	char *end;
	int rc;

	memmove(c->buf, c->buf + c->line, c->len - c->line);
	c->len -= c->line;
	c->line = 0;
	while (!(end = c->len > c->searched
			       ? memchr(c->buf + c->searched, '\n', c->len - c->searched)
			       : NULL)) {
		c->searched = c->len;
		rc = read_more(c, wait, e);
		if (rc <= 0)
			return rc;
	}
	*end = '\0';
	c->line = (size_t)(end - c->buf) + 1;
	c->searched = 0;
	*value = json_tokener_parse(c->buf);
	if (!json_object_is_type(*value, json_type_object)) {
		json_object_put(*value);
		return lost(c, e, -EPROTO, "what listens there does not speak QMP");
	}
	return 1;
}

/* Does it not know the command?  Then it is not the drumd that this drumctl came with. */
static bool is_unknown(struct json_object *answer)
{
	struct json_object *error, *class;

	return json_object_object_get_ex(answer, "error", &error) &&
	       json_object_object_get_ex(error, "class", &class) &&
	       json_object_is_type(class, json_type_string) &&
	       !strcmp(json_object_get_string(class), "CommandNotFound");
}

/* The text of an answer that is an error, else NULL. */
static const char *error_text(struct json_object *answer)
{
	struct json_object *error, *desc;

	if (!json_object_object_get_ex(answer, "error", &error))
		return NULL;
	if (!json_object_object_get_ex(error, "desc", &desc) ||
	    !json_object_is_type(desc, json_type_string))
		return "refused without a reason";
	return json_object_get_string(desc);
}

static int send_all(struct client *c, const char *text, size_t len, struct err *e)
{
	ssize_t n;

	while (len > 0) {
		n = send(c->fd, text, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return lost(c, e, -errno, "%s", strerror(errno));
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Is it the answer to the last command?  Events and strangers are not. */
static bool is_answer(const struct client *c, struct json_object *value)
{
	struct json_object *id;

	return json_object_object_get_ex(value, "id", &id) &&
	       json_object_get_int(id) == c->last_id;
}

static bool is_event(struct json_object *value)
{
	return json_object_object_get_ex(value, "event", NULL);
}

/* What is no answer, and was not asked for. */
static void pass_event(struct client *c, struct json_object *value)
{
	if (c->on_event && is_event(value))
		c->on_event(c->on_event_arg, value);
}

int client_start(struct client *c, const char *command, struct json_object *args, struct err *e)
{
	struct json_object *request = json_object_new_object();
	const char *text;
	int rc;

	json_object_object_add(request, "execute", json_object_new_string(command));
	if (args)
		json_object_object_add(request, "arguments", args);
	json_object_object_add(request, "id", json_object_new_int(++c->last_id));
	text = json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN);
	rc = send_all(c, text, strlen(text), e);
	json_object_put(request);
	return rc;
}

/* => as client_look; with wait, never 0 */
static int await_answer(struct client *c, bool wait, struct json_object **result, struct err *e)
{
	struct json_object *answer, *value;
	const char *text;
	int rc;

	for (;;) {
		rc = read_value(c, wait, &answer, e);
		if (rc <= 0)
			return rc;
		if (is_answer(c, answer))
			break;
		pass_event(c, answer);
		json_object_put(answer);
	}
	text = error_text(answer);
	if (text)
		rc = err_set(e, -EREMOTEIO, "%s%s", text,
			     is_unknown(answer)
				     ? "; drumd is older than this drumctl: 'drumctl "
				       "daemon reexec' replaces it by the one that "
				       "is installed"
				     : "");
	else if (!json_object_object_get_ex(answer, "return", &value))
		rc = lost(c, e, -EPROTO, "an answer without a result");
	else
		*result = json_object_get(value);
	json_object_put(answer);
	return rc;
}

int client_look(struct client *c, struct json_object **result, struct err *e)
{
	return await_answer(c, false, result, e);
}

int client_call(struct client *c, const char *command, struct json_object *args,
		struct json_object **result, struct err *e)
{
	int rc = client_start(c, command, args, e);

	if (rc == 0)
		rc = await_answer(c, true, result, e);
	return rc < 0 ? rc : 0;
}

int client_event(struct client *c, struct json_object **event, struct err *e)
{
	int rc;

	for (;;) {
		rc = read_value(c, true, event, e);
		if (rc < 0)
			return rc;
		if (is_event(*event))
			return 0;
		json_object_put(*event);
	}
}

void client_on_event(struct client *c, client_event_fn *fn, void *arg)
{
	c->on_event = fn;
	c->on_event_arg = arg;
}

int client_drain(struct client *c, struct err *e)
{
	struct json_object *value;
	int rc;

	while ((rc = read_value(c, false, &value, e)) > 0) {
		pass_event(c, value);
		json_object_put(value);
	}
	return rc;
}

int client_fd(const struct client *c)
{
	return c->fd;
}

/* Is it the greeting of a QMP server?  value is taken over.  => 0 or -errno */
static int be_greeted(struct client *c, struct json_object *value, struct err *e)
{
	const char *text = error_text(value);
	int rc = 0;

	if (text)
		rc = lost(c, e, -EAGAIN, "%s", text);
	else if (!json_object_object_get_ex(value, "QMP", NULL))
		rc = lost(c, e, -EPROTO, "what listens there does not speak QMP");
	json_object_put(value);
	return rc;
}

/* Connect, be greeted, negotiate. => 0 or -errno */
static int begin(struct client *c, struct err *e)
{
	struct json_object *value = NULL;
	int rc = connect_to(c, c->path, e);

	if (rc == 0)
		rc = read_value(c, true, &value, e);
	if (rc == 1)
		rc = be_greeted(c, value, e);
	if (rc == 0)
		rc = client_call(c, "qmp_capabilities", NULL, &value, e);
	if (rc == 0)
		json_object_put(value);
	return rc;
}

int client_open(const char *path, struct client **out, struct err *e)
{
	struct client *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return err_set(e, -ENOMEM, "out of memory");
	c->fd = -1;
	c->path = strdup(path);
	c->room = 4096;
	c->buf = malloc(c->room);
	if (!c->path || !c->buf) {
		client_close(c);
		return err_set(e, -ENOMEM, "out of memory");
	}
	rc = begin(c, e);
	if (rc < 0) {
		client_close(c);
		return rc;
	}
	*out = c;
	return 0;
}

static void disconnect(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->len = c->line = c->searched = 0;
	c->is_lost = false;
}

int client_reopen(struct client *c, struct err *e)
{
	int rc;

	disconnect(c);
	rc = begin(c, e);
	c->is_lost |= rc < 0;
	return rc;
}

void client_find_again(struct client *c)
{
	struct err e;

	while (client_reopen(c, &e) < 0)
		poll(NULL, 0, RETRY_MS);
}

int client_reopen_start(struct client *c, struct err *e)
{
	int rc;

	disconnect(c);
	c->greeted = false;
	rc = connect_to(c, c->path, e);
	c->is_lost |= rc < 0;
	return rc;
}

int client_reopen_look(struct client *c, struct err *e)
{
	struct json_object *value = NULL;
	int rc = 0;

	if (!c->greeted) {
		rc = read_value(c, false, &value, e);
		if (rc == 1)
			rc = be_greeted(c, value, e);
		else if (rc == 0)
			return 0;
		if (rc == 0)
			rc = client_start(c, "qmp_capabilities", NULL, e);
		c->greeted = rc == 0;
	}
	if (rc == 0)
		rc = client_look(c, &value, e);
	if (rc == 1)
		json_object_put(value);
	c->is_lost |= rc < 0;
	return rc;
}

bool client_is_lost(const struct client *c)
{
	return c->is_lost;
}

void client_close(struct client *c)
{
	if (!c)
		return;
	if (c->fd >= 0)
		close(c->fd);
	free(c->path);
	free(c->buf);
	free(c);
}
