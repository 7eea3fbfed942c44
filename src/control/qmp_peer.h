/* SPDX-License-Identifier: BSD-2-Clause */
/* Who is at the other end of a Unix socket, as the kernel says, and whether he may be. */
#ifndef DRUM_CONTROL_QMP_PEER_H
#define DRUM_CONTROL_QMP_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/proto.h"

#define QMP_PEER_TEXT_MAX 200

struct qmp_peer {
	pid_t pid; /* 0: unknown, and so is the rest */
	uid_t uid;
	gid_t gid;
};

/* As they were when it connected. */
void qmp_peer_look(int fd, struct qmp_peer *p);

/*
 * Root may, the user that this process runs as, and members of these groups (those without a
 * name are none).
 */
bool qmp_peer_may(int fd, const struct qmp_peer *p, const struct proto_group *groups, size_t n);

/* That, in words: "root and members of the group 'drum'". => text */
const char *qmp_peer_who(char text[QMP_PEER_TEXT_MAX], const struct proto_group *groups,
			 size_t n);

#endif
