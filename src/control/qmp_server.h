/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The QMP server: what QEMU's monitor is to QEMU, this is to Drum.
 *
 * Any number of clients up to a limit; each has its commands answered in the
 * order in which it gave them, one at a time, while those of others go on.
 * What a client may make the server keep is bounded: QMP_VALUE_MAX bytes of a
 * command, and of answers and events that it does not read limits.out_max
 * bytes for limits.stall_ms; then it is dropped.
 *
 * All of it runs on the thread of the loop.
 */
#ifndef DRUM_CONTROL_QMP_SERVER_H
#define DRUM_CONTROL_QMP_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "balloon/manager.h"
#include "vmm/host.h"

#define QMP_VALUE_MAX (64 * 1024) /* bytes of one command */

struct qmp_server;

struct qmp_limits {
	size_t clients;	   /* at a time; more are told so and closed */
	size_t out_pause;  /* unread bytes from which on no command is taken */
	size_t out_max;	   /* unread bytes at which the client is dropped */
	uint32_t stall_ms; /* ... and so it is when it reads nothing for so long */
	uint32_t tick_ms;  /* how often that is looked at */
	uint32_t event_ms; /* events of a kind come this far apart at least */
};

extern const struct qmp_limits qmp_default_limits;

/*
 * Serve clients of listen_fd, a listening Unix stream socket that does not
 * block and stays the caller's.
 * => 0 and *out, or -errno
 */
int must_check qmp_server_start(struct loop *loop, int listen_fd, struct host *host,
				struct manager *manager, struct qmp_server **out,
				struct err *e);

/*
 * Close all clients and forget the server.  Commands that the host still has
 * in hand end without an answer.
 * => not from within a callback of the server
 */
void qmp_server_stop(struct qmp_server *s);

/* => before the first client */
void qmp_server_set_limits(struct qmp_server *s, const struct qmp_limits *limits);

/*
 * Serve a connected stream socket that came another way; fd is taken over,
 * also on failure.
 */
int must_check qmp_server_add_client(struct qmp_server *s, int fd, struct err *e);

size_t qmp_server_clients(const struct qmp_server *s);

#endif
