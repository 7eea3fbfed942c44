/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a client may send to the QMP server.  The first byte says how the rest
 * is cut into writes, whether the client closes before it was answered, may only read, and has
 * a small share of a slot.
 * Checked, beside what the sanitizers see: the server answers with lines of
 * ASCII, each a JSON object, and lets go of the client at the end.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <json-c/json.h>

#include "base/log.h"
#include "control/qmp_server.h"
#include "unit/fake_host.h"
#include "unit/fake_manager.h"

/* The fake is the unit tests' own; their archive is not built for fuzzing. */
#include "unit/fake_host.c"    /* NOLINT(bugprone-suspicious-include) */
#include "unit/fake_manager.c" /* NOLINT(bugprone-suspicious-include) */

#define INPUT_MAX  (80 * 1024) /* more than a command may have */
#define WRITES_MAX 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct peer {
	struct loop *loop;
	struct loop_watch *watch;
	int fd;
	const uint8_t *data;
	size_t size, chunk;
	bool rude; /* closes instead of waiting for answers */
	char *answers;
	size_t len, room;
};

static void check_answers(const struct peer *p)
{
	const char *at = p->answers, *end = at + p->len, *line;
	struct json_tokener *tokener = json_tokener_new_ex(80);

	while (at < end) {
		struct json_object *o;

		line = at;
		at = memchr(line, '\n', (size_t)(end - line));
		assert(at && at > line && at[-1] == '\r');
		for (const char *c = line; c < at - 1; c++)
			assert(*c >= 0x20 && *c < 0x7f);
		json_tokener_reset(tokener);
		o = json_tokener_parse_ex(tokener, line, (int)(at - line));
		assert(json_object_is_type(o, json_type_object));
		json_object_put(o);
		at++;
	}
	json_tokener_free(tokener);
}

static void peer_read(struct peer *p)
{
	ssize_t n;

	do {
		if (p->len == p->room) {
			p->room = p->room ? 2 * p->room : 65536;
			p->answers = realloc(p->answers, p->room);
		}
		n = recv(p->fd, p->answers + p->len, p->room - p->len, MSG_DONTWAIT);
		if (n > 0)
			p->len += (size_t)n;
	} while (n > 0);
	if (n == 0)
		loop_stop(p->loop); /* the server has closed */
}

static void peer_event(void *arg, uint32_t events)
{
	struct peer *p = arg;
	size_t chunk = p->chunk < p->size ? p->chunk : p->size;
	ssize_t n;

	if (events & (EPOLLIN | EPOLLHUP))
		peer_read(p);
	if (!(events & EPOLLOUT))
		return;
	n = chunk ? send(p->fd, p->data, chunk, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
	if (n > 0) {
		p->data += n;
		p->size -= (size_t)n;
	}
	if (p->size > 0)
		return;
	loop_modify(p->watch, EPOLLIN);
	if (p->rude)
		loop_stop(p->loop);
	else
		shutdown(p->fd, SHUT_WR);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t chunks[8] = { 1, 2, 3, 7, 64, 1000, 4096, INPUT_MAX };
	static const struct sockaddr any = { .sa_family = AF_UNIX };
	struct qmp_limits limits = qmp_default_limits;
	struct qmp_server *server;
	struct peer p = { 0 };
	struct host *host;
	struct manager *manager;
	struct err e;
	int fds[2], listen_fd;

	if (size < 1 || size > INPUT_MAX)
		return -1;
	log_init("fuzz_qmp", LOG_LVL_ERROR, false);
	limits.slot_commands = data[0] & 32 ? 3 : UINT32_MAX;
	limits.slot_us = UINT32_MAX;
	limits.slot_ms = 1;
	p.chunk = chunks[data[0] & 7];
	p.rude = data[0] & 8;
	p.data = data + 1;
	p.size = size - 1;
	if (p.chunk < p.size / WRITES_MAX)
		p.chunk = p.size / WRITES_MAX; /* or long inputs would take all the time */
	p.loop = loop_create();
	host = fake_host_create(p.loop);
	manager = fake_manager_create(host);
	listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listen_fd < 0 || bind(listen_fd, &any, sizeof(any.sa_family)) < 0 ||
	    listen(listen_fd, 1) < 0 ||
	    qmp_server_start(p.loop, listen_fd, host, manager, &server, &e) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0 ||
	    qmp_server_add_client(server, fds[0], data[0] & 16, &e) < 0)
		abort();
	qmp_server_set_limits(server, &limits);
	p.fd = fds[1];
	p.watch = loop_add(p.loop, p.fd, EPOLLIN | EPOLLOUT, peer_event, &p);
	loop_run(p.loop);
	if (!p.rude) {
		check_answers(&p);
		assert(qmp_server_clients(server) == 0);
	}
	loop_remove(p.watch);
	close(p.fd);
	qmp_server_stop(server);
	fake_host_destroy(host);
	fake_manager_destroy(manager);
	loop_destroy(p.loop);
	close(listen_fd);
	free(p.answers);
	return 0;
}
