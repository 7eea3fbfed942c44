/* SPDX-License-Identifier: BSD-2-Clause */
#include "keeper/metrics.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/metrics_addr.h"
#include "keeper/open.h"
#include "keeper/store.h"

#define STORED "metrics"

/* What an earlier drumd has left. => a descriptor, or -1: none, or it is elsewhere */
static int take(const struct sockaddr_storage *wanted)
{
	struct sockaddr_storage at = { 0 };
	struct sockaddr_un *un = (struct sockaddr_un *)&at;
	socklen_t len = sizeof(at);
	int fd = store_take(STORED);

	if (fd < 0)
		return -1;
	if (getsockname(fd, (struct sockaddr *)&at, &len) == 0) {
		/* of the rest of the path all bytes are zero, in both */
		if (memcmp(&at, wanted, sizeof(at)) == 0)
			return fd;
		if (at.ss_family == AF_UNIX && un->sun_path[0])
			unlink(un->sun_path);
	}
	close(fd);
	store_forget(STORED);
	return -1;
}

static int listen_tcp(const char *where, const struct sockaddr_storage *addr, socklen_t len,
		      struct err *e)
{
	int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
	    one = 1;
	int ret;

	/* connections of an earlier one may linger there */
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
	    bind(fd, (const struct sockaddr *)addr, len) == 0 && listen(fd, 64) == 0)
		return fd;
	ret = err_set(e, -errno, "cannot listen on %s: %s", where, strerror(errno));
	if (fd >= 0)
		close(fd);
	return ret;
}

int metrics_listen(const char *where, struct err *e)
{
	struct sockaddr_storage addr = { 0 };
	socklen_t len;
	int fd;

	if (*where && metrics_addr_parse(where, &addr, &len) < 0)
		return err_set(e, -EINVAL, "'%s' is no place to listen", where);
	fd = take(&addr);
	if (fd >= 0)
		return fd;
	if (!*where)
		return -ENOENT;
	fd = *where == '/' ? open_listener(where, e) : listen_tcp(where, &addr, len, e);
	if (fd >= 0)
		(void)store_put(STORED, fd, false);
	return fd;
}

void metrics_unlisten(const char *where)
{
	struct stat st;

	if (*where == '/' && lstat(where, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(where);
}
