/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * Who may connect is said twice.  By the mode of the socket, so that others do not get near it:
 * 0660 with its group, 0600 without one.  And by the pager, which asks the kernel who it is
 * (control/qmp_peer.c).  A file has one group only, so where both sockets have groups that
 * differ, monitor.sock is open to all and the pager alone decides: members of `group` may use
 * that one too.
 *
 * Mode and owner are set before anybody can connect, and again by a drumd that was handed the
 * socket: it has read the configuration anew.
 */
#include "keeper/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "keeper/open.h"
#include "keeper/store.h"

#define QMP	"qmp.sock"
#define MONITOR "monitor.sock"

/* Names in the store. */
#define STORED_QMP     "listen"
#define STORED_MONITOR "listen-monitor"

static int set_mode(const char *path, const struct proto_group *group, mode_t mode,
		    struct err *e)
{
	gid_t gid = group->name[0] ? (gid_t)group->gid : getegid();

	if (lchown(path, geteuid(), gid) < 0 || chmod(path, mode) < 0)
		return err_set(e, -errno, "cannot give %s to the group '%s': %s", path,
			       group->name, strerror(errno));
	return 0;
}

/* => a descriptor, or -errno and e */
static int open_one(const char *run_dir, const char *name, const char *stored,
		    const struct proto_group *group, mode_t mode, struct err *e)
{
	int fd = store_take(stored), ret;
	bool taken = fd >= 0;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", run_dir, name);
	if (!taken)
		fd = open_bound(path, e);
	if (fd < 0)
		return fd;
	ret = set_mode(path, group, mode, e);
	if (ret < 0 && taken) {
		log_err("%s", e->text); /* guests are served all the same */
		return fd;
	}
	if (ret == 0 && !taken && listen(fd, 64) < 0)
		ret = err_set(e, -errno, "cannot listen on %s: %s", path, strerror(errno));
	if (ret < 0) {
		close(fd);
		return ret;
	}
	if (!taken)
		(void)store_put(stored, fd, false);
	return fd;
}

int sockets_open(struct sockets *s, const char *run_dir, const struct proto_group *group,
		 const struct proto_group *monitor_group, struct err *e)
{
	const struct proto_group *readers = monitor_group->name[0] ? monitor_group : group;
	bool two = group->name[0] && readers->gid != group->gid;
	mode_t mode = readers->name[0] ? 0660 : 0600;

	s->qmp = open_one(run_dir, QMP, STORED_QMP, group, group->name[0] ? 0660 : 0600, e);
	if (s->qmp < 0)
		return s->qmp;
	s->monitor = open_one(run_dir, MONITOR, STORED_MONITOR, readers, two ? 0666 : mode, e);
	return s->monitor < 0 ? s->monitor : 0;
}

void sockets_remove(int dir_fd)
{
	unlinkat(dir_fd, QMP, 0);
	unlinkat(dir_fd, MONITOR, 0);
}
