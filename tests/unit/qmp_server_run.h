/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A QMP server and its clients on one loop in one thread, for the tests of it: what happens
 * when is in the hands of each test.  A wait that takes longer than GUARD_MS fails.
 */
#ifndef DRUM_TESTS_QMP_SERVER_RUN_H
#define DRUM_TESTS_QMP_SERVER_RUN_H

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/commands.h"
#include "control/qmp_server.h"
#include "unit/fake_host.h"
#include "unit/fake_manager.h"

#define GUARD_MS       20000
#define LINE_MAX_BYTES (4 * 1024 * 1024)

#define GREETING                                                                               \
	"{\"QMP\":{\"version\":{\"qemu\":{\"micro\":0,\"minor\":1,\"major\":0},"               \
	"\"package\":\"drum 0.1.0\"},\"capabilities\":[]}}"
#define NEGOTIATE	"{\"execute\":\"qmp_capabilities\"}"
#define OK		"{\"return\":{}}"
#define GENERIC(desc)	"{\"error\":{\"class\":\"GenericError\",\"desc\":\"" desc "\"}}"
#define NOT_FOUND(desc) "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"" desc "\"}}"

static struct loop *loop;
static struct host *host;
static struct manager *manager;
static struct qmp_server *server;
static int listen_fd, monitor_fd;
static struct sockaddr_un addr = { .sun_family = AF_UNIX };
static struct sockaddr_un monitor_addr = { .sun_family = AF_UNIX };
static char dir[] = "/tmp/drum-test-qmp-XXXXXX";

struct peer {
	int fd;
	size_t len;
	char *buf;
	char line[8192]; /* the last line, cut */
};

/* A listening socket of this name, which everybody may connect to. */
static inline int listen_as(const char *name, struct sockaddr_un *at)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(at->sun_path, sizeof(at->sun_path), "%s/%s", dir, name);
	cr_assert(bind(fd, (struct sockaddr *)at, sizeof(*at)) == 0);
	cr_assert(chmod(at->sun_path, 0666) == 0);
	cr_assert(listen(fd, 16) == 0);
	return fd;
}

static inline void setup(void)
{
	struct err e;

	cr_assert(mkdtemp(dir));
	cr_assert(chmod(dir, 0755) == 0);
	listen_fd = listen_as("qmp.sock", &addr);
	monitor_fd = listen_as("monitor.sock", &monitor_addr);
	loop = loop_create();
	host = fake_host_create(loop);
	manager = fake_manager_create(host);
	cr_assert(qmp_server_start(loop, listen_fd, host, manager, &server, &e) == 0);
	cr_assert(qmp_server_listen_read_only(server, monitor_fd, &e) == 0);
}

static inline void teardown(void)
{
	qmp_server_stop(server);
	fake_host_destroy(host);
	fake_manager_destroy(manager);
	loop_destroy(loop);
	close(listen_fd);
	close(monitor_fd);
	unlink(addr.sun_path);
	unlink(monitor_addr.sun_path);
	rmdir(dir);
}

static inline void stop_loop(void *arg, uint32_t events)
{
	(void)arg;
	(void)events;
	loop_stop(loop);
}

static inline void guard(void *arg)
{
	(void)arg;
	cr_assert_fail("nothing happened for %d ms", GUARD_MS);
}

/* Let the loop run until the peer has something to read. */
static inline void wait_readable(struct peer *p)
{
	struct loop_watch *w = loop_add(loop, p->fd, EPOLLIN, stop_loop, NULL);
	struct loop_watch *g = loop_every(loop, GUARD_MS, guard, NULL);

	cr_assert(w && g && loop_run(loop) == 0);
	loop_remove(w);
	loop_remove(g);
}

static bool (*until)(void);

static inline void check_until(void *arg)
{
	(void)arg;
	if (until())
		loop_stop(loop);
}

/* Let the loop run until something is so. */
static inline void wait_until(bool (*predicate)(void))
{
	struct loop_watch *w = loop_every(loop, 1, check_until, NULL);
	struct loop_watch *g = loop_every(loop, GUARD_MS, guard, NULL);

	until = predicate;
	cr_assert(w && g);
	if (!predicate())
		cr_assert(loop_run(loop) == 0);
	loop_remove(w);
	loop_remove(g);
}

static inline bool no_client(void)
{
	return qmp_server_clients(server) == 0;
}

static inline bool one_pending(void)
{
	return fake_host_pending(host) == 1;
}

static inline struct peer *peer_connect_to(const struct sockaddr_un *at)
{
	struct peer *p = calloc(1, sizeof(*p));

	p->buf = malloc(LINE_MAX_BYTES);
	p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	cr_assert(connect(p->fd, (const struct sockaddr *)at, sizeof(*at)) == 0);
	return p;
}

static inline struct peer *peer_connect(void)
{
	return peer_connect_to(&addr);
}

static inline void peer_close(struct peer *p)
{
	close(p->fd);
	free(p->buf);
	free(p);
}

static inline void peer_send(struct peer *p, const char *text, size_t len)
{
	cr_assert(send(p->fd, text, len, MSG_NOSIGNAL) == (ssize_t)len);
}

static inline void say(struct peer *p, const char *text)
{
	peer_send(p, text, strlen(text));
}

/* The next line without its CRLF, or "EOF". */
static inline const char *hear_any(struct peer *p)
{
	char *end;

	while (!(end = memchr(p->buf, '\n', p->len))) {
		ssize_t n;

		wait_readable(p);
		n = recv(p->fd, p->buf + p->len, LINE_MAX_BYTES - p->len, 0);
		if (n == 0 || (n < 0 && errno == ECONNRESET)) {
			cr_assert(p->len == 0, "half a line before the end");
			return strcpy(p->line, "EOF");
		}
		cr_assert(n > 0, "%s", strerror(errno));
		p->len += (size_t)n;
	}
	cr_assert(end > p->buf && end[-1] == '\r', "a line ends with CRLF");
	snprintf(p->line, sizeof(p->line), "%.*s", (int)(end - p->buf) - 1, p->buf);
	p->len -= (size_t)(end + 1 - p->buf);
	memmove(p->buf, end + 1, p->len);
	return p->line;
}

/* The next one that is not of a job. */
static inline const char *hear(struct peer *p)
{
	while (strstr(hear_any(p), "\"event\":\"JOB_STATUS_CHANGE\""))
		;
	return p->line;
}

#define expect(peer, text) cr_assert_str_eq(hear(peer), text, "%s", (peer)->line)

static inline struct peer *peer_ready_at(const struct sockaddr_un *at)
{
	struct peer *p = peer_connect_to(at);

	expect(p, GREETING);
	say(p, NEGOTIATE);
	expect(p, OK);
	return p;
}

static inline struct peer *peer_ready(void)
{
	return peer_ready_at(&addr);
}

#endif
