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
 * So is what a client may have done at a time: limits.slot_commands, or limits.slot_us of
 * work, in limits.slot_ms.  Then it waits, and others do not.
 *
 * There may be two sockets.  Clients of the second one may only read (COMMAND_READ_ONLY),
 * and have places of their own.  Who may connect to which says the kernel (qmp_peer.h).
 *
 * All of it runs on the thread of the loop.
 */
#ifndef DRUM_CONTROL_QMP_SERVER_H
#define DRUM_CONTROL_QMP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/proto.h"
#include "balloon/manager.h"
#include "vmm/host.h"

#define QMP_VALUE_MAX (64 * 1024) /* bytes of one command */

struct qmp_server;

struct qmp_limits {
	size_t clients;		/* at a time; more are told so and closed */
	size_t readers;		/* likewise, of the socket for reading */
	size_t out_pause;	/* unread bytes from which on no command is taken */
	size_t out_max;		/* unread bytes at which the client is dropped */
	uint32_t stall_ms;	/* ... and so it is when it reads nothing for so long */
	uint32_t tick_ms;	/* how often that is looked at */
	uint32_t event_ms;	/* events of a kind come this far apart at least */
	uint32_t slot_commands; /* of one client in slot_ms at most */
	uint32_t slot_us;	/* that they may take: the one that takes longer is the last */
	uint32_t slot_ms;
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

/* Serve clients of this one too, who may read only.  => 0 or -errno */
int must_check qmp_server_listen_read_only(struct qmp_server *s, int listen_fd, struct err *e);

/*
 * Whose members may use the sockets, beside root and the user that this process runs as;
 * those of group may use both.  Without it: nobody's.
 */
void qmp_server_set_groups(struct qmp_server *s, const struct proto_group *group,
			   const struct proto_group *monitor_group);

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
int must_check qmp_server_add_client(struct qmp_server *s, int fd, bool read_only,
				     struct err *e);

size_t qmp_server_clients(const struct qmp_server *s); /* of both */

#endif
