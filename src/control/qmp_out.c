/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/qmp_out.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define KEEP (64 * 1024) /* a larger buffer is given back when it is empty */

size_t qmp_out_queued(const struct qmp_out *o)
{
	return o->end - o->start;
}

static int reserve(struct qmp_out *o, size_t n)
{
	size_t room = o->room ? o->room : 1024;
	char *buf;

	if (o->start > 0) {
		memmove(o->buf, o->buf + o->start, qmp_out_queued(o));
		o->end -= o->start;
		o->start = 0;
	}
	while (room - o->end < n)
		room *= 2;
	if (room == o->room)
		return 0;
	buf = realloc(o->buf, room);
	if (!buf)
		return -ENOMEM;
	o->buf = buf;
	o->room = room;
	return 0;
}

int qmp_out_add(struct qmp_out *o, const char *text, size_t n)
{
	int ret = reserve(o, n + 2);

	if (ret < 0)
		return ret;
	memcpy(o->buf + o->end, text, n);
	memcpy(o->buf + o->end + n, "\r\n", 2);
	o->end += n + 2;
	return 0;
}

ssize_t qmp_out_flush(struct qmp_out *o, int fd)
{
	ssize_t n, all = 0;

	while (qmp_out_queued(o) > 0) {
		n = send(fd, o->buf + o->start, qmp_out_queued(o), MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return all;
		if (n < 0)
			return -errno;
		o->start += (size_t)n;
		all += n;
	}
	o->start = o->end = 0;
	if (o->room > KEEP)
		qmp_out_free(o);
	return all;
}

void qmp_out_free(struct qmp_out *o)
{
	free(o->buf);
	*o = (struct qmp_out){ 0 };
}
