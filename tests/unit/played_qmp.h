/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A QMP server played by the test, on the same loop and thread, so that it can do what no
 * QEMU does: it is a fake, to inject faults; a real QEMU is in tests/it/t_monitor.sh.
 * The clock is the test's too.
 */
#ifndef DRUM_UNIT_PLAYED_QMP_H
#define DRUM_UNIT_PLAYED_QMP_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "balloon/qmp_client.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/loop.h"

#define PLAYED_GUARD (20 * NSEC_PER_SEC) /* for what should happen at once */
#define PLAYED_GREETING                                                                        \
	"{\"QMP\":{\"version\":{\"qemu\":{\"micro\":22,\"minor\":2,\"major\":7},"              \
	"\"package\":\"\"},\"capabilities\":[\"oob\"]}}\r\n"

static struct loop *loop;
static char played_dir[] = "/tmp/drum-test-qmp-XXXXXX";
static struct sockaddr_un played_addr = { .sun_family = AF_UNIX };
static int listen_fd = -1, peer = -1;
static struct json_stream *peer_stream;
static uint64_t fake_ns = 100000 * NSEC_PER_SEC;

static uint64_t fake_clock(void)
{
	return fake_ns;
}

static const struct qmp_client_conf *fast(void)
{
	static struct qmp_client_conf conf;

	conf = qmp_client_default_conf;
	conf.tick_ms = 1;
	conf.now = fake_clock;
	return &conf;
}

static void played_listen(int backlog)
{
	unlink(played_addr.sun_path);
	listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	cr_assert(bind(listen_fd, (struct sockaddr *)&played_addr, sizeof(played_addr)) == 0);
	cr_assert(listen(listen_fd, backlog) == 0);
}

static void played_setup(void)
{
	cr_assert(mkdtemp(played_dir));
	snprintf(played_addr.sun_path, sizeof(played_addr.sun_path), "%s/qmp", played_dir);
	loop = loop_create();
	played_listen(4);
}

static void peer_close(void)
{
	if (peer >= 0)
		close(peer);
	peer = -1;
	json_stream_destroy(peer_stream);
	peer_stream = NULL;
}

static void played_teardown(void)
{
	peer_close();
	close(listen_fd);
	unlink(played_addr.sun_path);
	rmdir(played_dir);
	loop_destroy(loop);
}

struct until {
	bool (*is_so)(void *arg);
	void *arg;
	uint64_t end;
	bool met;
};

static void until_look(void *arg)
{
	struct until *u = arg;

	u->met = u->is_so(u->arg);
	if (u->met || clock_ns() > u->end)
		loop_stop(loop);
}

/* Runs the loop until it is so, and fails when it does not come to be. */
static void run_until(bool (*is_so)(void *arg), void *arg)
{
	struct until u = { .is_so = is_so, .arg = arg, .end = clock_ns() + PLAYED_GUARD };
	struct loop_watch *w = loop_every(loop, 1, until_look, &u);

	cr_assert(w);
	cr_assert(loop_run(loop) == 0);
	loop_remove(w);
	cr_assert(u.met, "what was waited for has not happened");
}

static inline bool is_true(void *arg)
{
	return *(bool *)arg;
}

static bool has_turned(void *arg)
{
	return ++*(int *)arg > 20;
}

/* Many ticks of the client, at the same time of its clock. */
static void turns(void)
{
	int n = 0;

	run_until(has_turned, &n);
}

static void passes(uint64_t ms)
{
	fake_ns += ms * NSEC_PER_MSEC;
	turns();
}

static bool accepted(void *arg)
{
	(void)arg;
	peer = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	return peer >= 0;
}

static void peer_accept(void)
{
	peer_close();
	run_until(accepted, NULL);
	peer_stream = json_stream_create(65536);
}

static void peer_sends(const char *text)
{
	cr_assert(send(peer, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

static bool peer_got(void *arg)
{
	const char *data;
	struct err e;
	size_t len = 1;
	char c;
	int ret;

	/* by bytes: what follows a command stays in the socket */
	while (recv(peer, &c, 1, 0) == 1) {
		data = &c;
		len = 1;
		ret = json_stream_next(peer_stream, &data, &len, arg, &e);
		cr_assert(ret >= 0, "%s", e.text);
		if (ret == 1)
			return true;
	}
	return false;
}

static struct json_object *peer_command; /* the last one */

static const char *member(struct json_object *o, const char *name)
{
	struct json_object *v = NULL;

	if (!o || !json_object_object_get_ex(o, name, &v))
		return "";
	return json_object_get_string(v);
}

static inline struct json_object *arguments(void)
{
	struct json_object *v = NULL;

	json_object_object_get_ex(peer_command, "arguments", &v);
	return v;
}

/* Waits for the next command, which must be this. */
static void peer_is_asked(const char *command)
{
	json_object_put(peer_command);
	peer_command = NULL;
	run_until(peer_got, &peer_command);
	cr_assert_str_eq(member(peer_command, "execute"), command);
}

/* Answers the last command: member is "return" or "error". */
static void peer_answers(const char *name, const char *value)
{
	char text[4096];

	snprintf(text, sizeof(text), "{\"%s\": %s, \"id\": %s}\r\n", name, value,
		 member(peer_command, "id"));
	peer_sends(text);
}

static void peer_negotiates(void)
{
	peer_accept();
	peer_sends(PLAYED_GREETING);
	peer_is_asked("qmp_capabilities");
	peer_answers("return", "{}");
}

#endif
