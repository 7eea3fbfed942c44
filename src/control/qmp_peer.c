/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/qmp_peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void qmp_peer_look(int fd, struct qmp_peer *p)
{
	struct ucred u;
	socklen_t len = sizeof(u);

	*p = (struct qmp_peer){ 0, (uid_t)-1, (gid_t)-1 };
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &u, &len) == 0)
		*p = (struct qmp_peer){ u.pid, u.uid, u.gid };
}

static bool is_one_of(gid_t gid, const struct proto_group *groups, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (groups[i].name[0] && groups[i].gid == gid)
			return true;
	return false;
}

/* => its supplementary groups, to be freed, and *n; NULL: none, or the kernel does not say */
static gid_t *groups_of(int fd, size_t *n)
{
	gid_t *gids = NULL, none;
	socklen_t len = 0;

	*n = 0;
	/* a first question without room is answered by how much is needed */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, &none, &len) == 0 || errno != ERANGE)
		return NULL;
	gids = malloc(len);
	if (gids && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, gids, &len) == 0) {
		*n = len / sizeof(*gids);
		return gids;
	}
	free(gids);
	return NULL;
}

bool qmp_peer_may(int fd, const struct qmp_peer *p, const struct proto_group *groups, size_t n)
{
	bool may = p->uid == 0 || p->uid == geteuid();
	gid_t *gids;
	size_t ngids;

	if (p->uid == (uid_t)-1)
		return false;
	may = may || is_one_of(p->gid, groups, n);
	gids = may ? NULL : groups_of(fd, &ngids);
	for (size_t i = 0; gids && i < ngids && !may; i++)
		may = is_one_of(gids[i], groups, n);
	free(gids);
	return may;
}

const char *qmp_peer_who(char text[QMP_PEER_TEXT_MAX], const struct proto_group *groups,
			 size_t n)
{
	int used = snprintf(text, QMP_PEER_TEXT_MAX, "root");
	const char *sep = " and members of the group";

	for (size_t i = 0; i < n && used < QMP_PEER_TEXT_MAX; i++) {
		if (!groups[i].name[0])
			continue;
		used += snprintf(text + used, QMP_PEER_TEXT_MAX - (size_t)used, "%s '%s'", sep,
				 groups[i].name);
		sep = " or";
	}
	return text;
}
