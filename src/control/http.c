/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * libmicrohttpd does HTTP, without a thread of its own: it has an epoll descriptor, which our
 * loop watches, and MHD_run does what is due.  It never blocks, for its sockets do not; and as
 * it watches them edge-triggered, what it could not finish in one run, though nothing more
 * will come, it tells by a timeout of 0: then it is run again, some times at once and after
 * that by a timer, so that others have their turn.
 *
 * Connections are accepted here: at the limit, and when there are no descriptors left, the
 * listening socket is not looked at until there is room, or the tick comes; libmicrohttpd
 * would be woken by it all the time.
 *
 * Its own timeout is of a connection that is idle, so one that sends a byte now and then could
 * stay for long.  Hence the table of connections, with the time of their beginning: who is
 * older than life_ms has its socket shut down, and libmicrohttpd finds it closed.  While all
 * places are taken and others wait, it is crowd_ms: so who does nothing but hold its place
 * keeps nobody out for long, and a reader needs much less.
 *
 * A text that was made is kept as a response of libmicrohttpd, which counts who sends it, and
 * is given to all that ask within cache_ms.
 */
#include "control/http.h"

#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define RUNS	 16 /* without a look at the loop */
#define AGAIN_MS 1

struct connection {
	int fd; /* -1: free */
	uint64_t since;
};

struct http_server {
	struct loop *loop;
	struct MHD_Daemon *daemon;
	int listen_fd;
	struct loop_watch *listener; /* NULL: no room */
	struct loop_watch *ready;    /* libmicrohttpd's epoll descriptor */
	struct loop_watch *tick;     /* while there is a connection, or no listener */
	uint32_t every_ms;	     /* of tick */
	bool accept_failing;	     /* told once */
	struct http_limits limits;
	struct connection conn[HTTP_CLIENTS_MAX];
	size_t nconn;
	http_text_fn fn;
	void *arg;
	struct {
		struct MHD_Response *response; /* or NULL */
		uint64_t at;
	} cache[METRICS_FORMATS];
};

const struct http_limits http_default_limits = {
	.clients = 16,
	.idle_s = 10,
	.memory = 16 * 1024,
	.life_ms = 30 * 1000,
	.crowd_ms = 500,
	.cache_ms = 1000,
	.tick_ms = 250,
};

static const char *const content_type[] = {
	[METRICS_PROMETHEUS] = "text/plain; version=0.0.4; charset=utf-8",
	[METRICS_OPENMETRICS] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

/* --- answers ----------------------------------------------------------------------- */

static enum MHD_Result answer(struct MHD_Connection *c, unsigned int status, const char *text,
			      const char *header, const char *value)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(strlen(text), (void *)text,
								 MHD_RESPMEM_MUST_COPY);
	enum MHD_Result ret = MHD_NO;

	if (!r)
		return MHD_NO;
	if (MHD_add_response_header(r, "Content-Type", "text/plain; charset=utf-8") ==
		    MHD_YES &&
	    MHD_add_response_header(r, "Connection", "close") == MHD_YES &&
	    (!header || MHD_add_response_header(r, header, value) == MHD_YES))
		ret = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return ret;
}

/* Is it OpenMetrics that is asked for?  "type/sub;q=0.5, .."; q=0 is "not that". */
static bool wants_open_metrics(const char *accept)
{
	static const char type[] = "application/openmetrics-text";

	while (accept && *accept) {
		size_t len = strcspn(accept, ",");
		const char *end = accept + len, *q;

		accept += strspn(accept, " \t");
		if (!strncasecmp(accept, type, strlen(type)) &&
		    strchr(" \t;,", accept[strlen(type)])) {
			for (q = accept; q < end && strncasecmp(q, "q=", 2) != 0;)
				q++;
			return q >= end || strtod(q + 2, NULL) > 0;
		}
		accept = *end ? end + 1 : NULL;
	}
	return false;
}

static struct MHD_Response *make(struct http_server *s, enum metrics_format format)
{
	struct MHD_Response *r;
	char *text;
	size_t len;

	if (s->fn(s->arg, format, &text, &len) < 0)
		return NULL;
	r = MHD_create_response_from_buffer(len, text, MHD_RESPMEM_MUST_FREE);
	if (!r) {
		free(text);
		return NULL;
	}
	if (MHD_add_response_header(r, "Content-Type", content_type[format]) == MHD_YES &&
	    MHD_add_response_header(r, "Connection", "close") == MHD_YES)
		return r;
	MHD_destroy_response(r);
	return NULL;
}

static enum MHD_Result answer_metrics(struct http_server *s, struct MHD_Connection *c)
{
	enum metrics_format format =
		wants_open_metrics(MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Accept"))
			? METRICS_OPENMETRICS
			: METRICS_PROMETHEUS;
	uint64_t now = clock_ns();

	if (s->cache[format].response &&
	    now - s->cache[format].at >= s->limits.cache_ms * NSEC_PER_MSEC) {
		MHD_destroy_response(s->cache[format].response);
		s->cache[format].response = NULL;
	}
	if (!s->cache[format].response) {
		s->cache[format].response = make(s, format);
		s->cache[format].at = now;
	}
	if (!s->cache[format].response)
		return answer(c, MHD_HTTP_SERVICE_UNAVAILABLE, "There is no memory for it.\n",
			      NULL, NULL);
	return MHD_queue_response(c, MHD_HTTP_OK, s->cache[format].response);
}

/* MHD_AccessHandlerCallback */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *size, void **request)
{
	struct http_server *s = arg;

	(void)version;
	(void)data;
	(void)size;
	(void)request;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
	    strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return answer(c, MHD_HTTP_METHOD_NOT_ALLOWED, "Only GET and HEAD are known.\n",
			      "Allow", "GET, HEAD");
	if (!strcmp(url, "/metrics"))
		return answer_metrics(s, c);
	if (!strcmp(url, "/"))
		return answer(c, MHD_HTTP_OK, "Drum's metrics are at /metrics.\n", NULL, NULL);
	return answer(c, MHD_HTTP_NOT_FOUND, "There is only /metrics.\n", NULL, NULL);
}

/* --- connections --------------------------------------------------------------------- */

/* MHD_NotifyConnectionCallback */
static void on_connection(void *arg, struct MHD_Connection *c, void **context,
			  enum MHD_ConnectionNotificationCode what)
{
	struct http_server *s = arg;
	int fd = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	int want = what == MHD_CONNECTION_NOTIFY_STARTED ? -1 : fd;

	(void)context;
	for (size_t i = 0; i < HTTP_CLIENTS_MAX; i++) {
		if (s->conn[i].fd != want)
			continue;
		s->conn[i].fd = want < 0 ? fd : -1;
		s->conn[i].since = clock_ns();
		s->nconn += want < 0 ? 1 : (size_t)-1;
		return;
	}
}

static bool crowded(const struct http_server *s)
{
	struct pollfd waiting = { .fd = s->listen_fd, .events = POLLIN };

	return s->nconn >= s->limits.clients && poll(&waiting, 1, 0) == 1;
}

static void end_old(struct http_server *s)
{
	uint64_t now = clock_ns();
	uint64_t life = crowded(s) ? s->limits.crowd_ms : s->limits.life_ms;

	for (size_t i = 0; i < HTTP_CLIENTS_MAX; i++)
		if (s->conn[i].fd >= 0 && now - s->conn[i].since >= life * NSEC_PER_MSEC)
			shutdown(s->conn[i].fd, SHUT_RDWR);
}

static void on_tick(void *arg);
static void on_client(void *arg, uint32_t events);

static void set_tick(struct http_server *s, uint32_t ms)
{
	if (s->every_ms == ms)
		return;
	loop_remove(s->tick);
	s->tick = ms ? loop_every(s->loop, ms, on_tick, s) : NULL;
	s->every_ms = s->tick ? ms : 0;
}

/* What every entry ends with. */
static void run(struct http_server *s)
{
	MHD_UNSIGNED_LONG_LONG timeout = 1;
	bool again = true;

	for (int i = 0; i < RUNS && again; i++) {
		(void)MHD_run(s->daemon);
		again = MHD_get_timeout(s->daemon, &timeout) == MHD_YES && timeout == 0;
	}
	if (!s->listener && !s->accept_failing && s->nconn < s->limits.clients)
		s->listener = loop_add(s->loop, s->listen_fd, EPOLLIN, on_client, s);
	set_tick(s, again ? AGAIN_MS : s->nconn > 0 || !s->listener ? s->limits.tick_ms : 0);
}

static void stop_listening(struct http_server *s)
{
	loop_remove(s->listener);
	s->listener = NULL;
}

static void on_client(void *arg, uint32_t events)
{
	struct http_server *s = arg;
	struct sockaddr_storage from = { 0 };
	socklen_t len = sizeof(from);
	int fd = accept4(s->listen_fd, (struct sockaddr *)&from, &len,
			 SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd >= 0) {
		s->accept_failing = false;
		/* the descriptor is its own now, if it takes it or not */
		(void)MHD_add_connection(s->daemon, fd, (struct sockaddr *)&from, len);
		if (s->nconn >= s->limits.clients)
			stop_listening(s);
	} else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
		if (!s->accept_failing)
			log_err("metrics: cannot accept a client: %s", strerror(errno));
		s->accept_failing = true;
		stop_listening(s);
	}
	run(s);
}

static void on_ready(void *arg, uint32_t events)
{
	(void)events;
	run(arg);
}

static void on_tick(void *arg)
{
	struct http_server *s = arg;

	end_old(s);
	if (!s->listener && s->nconn < s->limits.clients)
		s->listener = loop_add(s->loop, s->listen_fd, EPOLLIN, on_client, s);
	run(s);
}

/* MHD_LogCallback: it tells of clients that go away, of requests that are too long */
static void on_log(void *arg, const char *fmt, va_list ap)
{
	char text[256];

	(void)arg;
	vsnprintf(text, sizeof(text), fmt, ap);
	text[strcspn(text, "\n")] = 0;
	log_debug("metrics: %s", text);
}

/* --- start and end --------------------------------------------------------------------- */

int http_start(struct loop *loop, int listen_fd, const struct http_limits *limits,
	       http_text_fn fn, void *arg, struct http_server **out, struct err *e)
{
	struct http_server *s = calloc(1, sizeof(*s));
	const union MHD_DaemonInfo *info;

	assert(limits->clients > 0 && limits->clients <= HTTP_CLIENTS_MAX);
	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	*s = (struct http_server){
		.loop = loop, .listen_fd = listen_fd, .limits = *limits, .fn = fn, .arg = arg
	};
	for (size_t i = 0; i < HTTP_CLIENTS_MAX; i++)
		s->conn[i].fd = -1;
	/* the logger first: what comes before it is told to standard error */
	s->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG, 0, NULL, NULL,
		on_request, s, MHD_OPTION_EXTERNAL_LOGGER, on_log, s,
		MHD_OPTION_CONNECTION_LIMIT, limits->clients, MHD_OPTION_CONNECTION_TIMEOUT,
		limits->idle_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, limits->memory,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_END);
	info = s->daemon ? MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (info)
		s->ready = loop_add(loop, info->epoll_fd, EPOLLIN, on_ready, s);
	if (s->ready)
		s->listener = loop_add(loop, listen_fd, EPOLLIN, on_client, s);
	if (!s->listener) {
		int ret = err_set(e, -EIO, "the HTTP server cannot be started");

		http_stop(s);
		return ret;
	}
	*out = s;
	return 0;
}

void http_stop(struct http_server *s)
{
	if (!s)
		return;
	loop_remove(s->listener);
	loop_remove(s->tick);
	loop_remove(s->ready);
	if (s->daemon)
		MHD_stop_daemon(s->daemon);
	for (int i = 0; i < METRICS_FORMATS; i++)
		if (s->cache[i].response)
			MHD_destroy_response(s->cache[i].response);
	free(s);
}

size_t http_clients(const struct http_server *s)
{
	return s->nconn;
}
