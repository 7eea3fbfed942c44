/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * libnbd is a state machine on one socket.  It is driven here in the way that
 * its manual calls "integration with poll": ask for the direction, poll,
 * notify.  Requests that have ended are kept by libnbd in the order of their
 * ends until they are asked for; when the connection dies it ends them all with
 * ENOTCONN.  Those are not handed out: for the caller they are under way until
 * it closes the link.
 *
 * Structured replies are not asked for.  The simple reply to a read carries
 * every byte or none; a structured one may leave parts out, libnbd would not
 * notice, and its buffer was zeros before.
 */

#include "swap/nbd_link.h"

#include <errno.h>
#include <libnbd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"

/* What the protocol lets a server take that says nothing of it. */
#define MAX_REQUEST_UNTOLD (32u << 20)

struct nbd_link {
	struct nbd_handle *h;
	int err; /* 0, or -errno: it has failed */
	char text[256];
};

/* libnbd's last words, less the name of its function. */
static const char *last_words(void)
{
	const char *text = nbd_get_error(), *colon;

	if (!text)
		return "the server closed the connection";
	colon = strstr(text, ": ");
	return strncmp(text, "nbd_", 4) == 0 && colon ? colon + 2 : text;
}

/* Note the failure of libnbd's last call. => -errno */
static int fail(struct nbd_link *l)
{
	if (l->err == 0) {
		l->err = nbd_get_error() && nbd_get_errno() > 0 ? -nbd_get_errno() : -ENOTCONN;
		snprintf(l->text, sizeof(l->text), "%s", last_words());
	}
	return l->err;
}

static int fail_with(struct nbd_link *l, int err, const char *text)
{
	if (l->err == 0) {
		l->err = err;
		snprintf(l->text, sizeof(l->text), "%s", text);
	}
	return l->err;
}

static int gone(struct nbd_link *l)
{
	if (l->err == 0 && (nbd_aio_is_dead(l->h) > 0 || nbd_aio_is_closed(l->h) > 0))
		return fail_with(l, -ENOTCONN, "the server closed the connection");
	return l->err;
}

int nbd_link_run(struct nbd_link *l, int wake_fd, int ms)
{
	struct pollfd p[2];
	unsigned int direction;
	int ret;

	if (gone(l) < 0)
		return l->err;
	direction = nbd_aio_get_direction(l->h);
	p[0] = (struct pollfd){ .fd = nbd_aio_get_fd(l->h) };
	if (p[0].fd < 0)
		return fail(l);
	if (direction & LIBNBD_AIO_DIRECTION_READ)
		p[0].events |= POLLIN;
	if (direction & LIBNBD_AIO_DIRECTION_WRITE)
		p[0].events |= POLLOUT;
	p[1] = (struct pollfd){ .fd = wake_fd, .events = POLLIN };
	ret = poll(p, 2, ms);
	if (ret < 0)
		return errno == EINTR ? 0 : fail_with(l, -errno, strerror(errno));
	ret = 0;
	/* an error of the socket is noticed by whatever libnbd does next with it */
	if ((p[0].revents & ~POLLOUT) && (direction & LIBNBD_AIO_DIRECTION_READ))
		ret = nbd_aio_notify_read(l->h);
	else if (p[0].revents && (direction & LIBNBD_AIO_DIRECTION_WRITE))
		ret = nbd_aio_notify_write(l->h);
	else if (p[0].revents)
		return fail_with(l, -ENOTCONN, "the connection broke");
	return ret < 0 ? fail(l) : gone(l);
}

static uint32_t block_size(struct nbd_handle *h, int which, uint32_t otherwise)
{
	int64_t n = nbd_get_block_size(h, which);

	if (n <= 0)
		return otherwise;
	return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static int describe(struct nbd_link *l, struct nbd_export *export)
{
	int64_t bytes = nbd_get_size(l->h);
	int read_only;

	if (bytes < 0)
		return fail(l);
	read_only = nbd_is_read_only(l->h);
	if (read_only < 0)
		return fail(l);
	*export = (struct nbd_export){
		.bytes = (uint64_t)bytes,
		.read_only = read_only > 0,
		.can_trim = nbd_can_trim(l->h) > 0,
		.can_zero = nbd_can_zero(l->h) > 0,
		.can_flush = nbd_can_flush(l->h) > 0,
		.can_fua = nbd_can_fua(l->h) > 0,
		.min_request = block_size(l->h, LIBNBD_SIZE_MINIMUM, 1),
		.max_request = block_size(l->h, LIBNBD_SIZE_MAXIMUM, MAX_REQUEST_UNTOLD),
	};
	return 0;
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return fd >= 0 && poll(&p, 1, 0) > 0;
}

static int connect_to(struct nbd_link *l, const char *uri, uint32_t ms, int stop_fd)
{
	uint64_t end = clock_ns() + ms * NSEC_PER_MSEC;
	char text[64];

	l->h = nbd_create();
	/* certificates and keys are files that the URI names */
	if (!l->h || nbd_set_uri_allow_local_file(l->h, true) < 0 ||
	    nbd_set_request_structured_replies(l->h, false) < 0 ||
	    nbd_aio_connect_uri(l->h, uri) < 0)
		return fail(l);
	while (!nbd_aio_is_ready(l->h)) {
		uint64_t now = clock_ns();

		if (readable(stop_fd))
			return fail_with(l, -ECANCELED, "it is being switched off");
		if (now >= end) {
			snprintf(text, sizeof(text), "no answer within %u ms", ms);
			return fail_with(l, -ETIMEDOUT, text);
		}
		if (nbd_link_run(l, stop_fd, (int)((end - now) / NSEC_PER_MSEC) + 1) < 0)
			return l->err;
	}
	return 0;
}

struct nbd_link *nbd_link_open(const char *uri, uint32_t ms, int stop_fd,
			       struct nbd_export *export, struct err *e)
{
	struct nbd_link *l = calloc(1, sizeof(*l));

	if (!l) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	if (connect_to(l, uri, ms, stop_fd) < 0 || describe(l, export) < 0) {
		err_set(e, l->err, "%s", l->text);
		nbd_link_close(l);
		return NULL;
	}
	return l;
}

void nbd_link_close(struct nbd_link *l)
{
	if (!l)
		return;
	/* a server that listens is told; none is waited for */
	if (l->err == 0 && l->h && nbd_aio_is_ready(l->h) > 0)
		(void)nbd_aio_disconnect(l->h, 0);
	nbd_close(l->h);
	free(l);
}

/* A request was given to libnbd, or not. */
static int started(struct nbd_link *l, int64_t ret, uint64_t *cookie)
{
	if (ret < 0)
		return fail(l);
	*cookie = (uint64_t)ret;
	return 0;
}

int nbd_link_read(struct nbd_link *l, void *buf, uint32_t bytes, uint64_t offset,
		  uint64_t *cookie)
{
	return started(l, nbd_aio_pread(l->h, buf, bytes, offset, NBD_NULL_COMPLETION, 0),
		       cookie);
}

int nbd_link_write(struct nbd_link *l, const void *buf, uint32_t bytes, uint64_t offset,
		   uint64_t *cookie)
{
	return started(l, nbd_aio_pwrite(l->h, buf, bytes, offset, NBD_NULL_COMPLETION, 0),
		       cookie);
}

int nbd_link_trim(struct nbd_link *l, uint32_t bytes, uint64_t offset, uint64_t *cookie)
{
	return started(l, nbd_aio_trim(l->h, bytes, offset, NBD_NULL_COMPLETION, 0), cookie);
}

int nbd_link_write_fua(struct nbd_link *l, const void *buf, uint32_t bytes, uint64_t offset,
		       uint64_t *cookie)
{
	return started(l,
		       nbd_aio_pwrite(l->h, buf, bytes, offset, NBD_NULL_COMPLETION,
				      LIBNBD_CMD_FLAG_FUA),
		       cookie);
}

int nbd_link_zero(struct nbd_link *l, uint32_t bytes, uint64_t offset, bool fua, bool hole,
		  uint64_t *cookie)
{
	uint32_t flags = (fua ? LIBNBD_CMD_FLAG_FUA : 0) | (hole ? 0 : LIBNBD_CMD_FLAG_NO_HOLE);

	return started(l, nbd_aio_zero(l->h, bytes, offset, NBD_NULL_COMPLETION, flags),
		       cookie);
}

int nbd_link_flush(struct nbd_link *l, uint64_t *cookie)
{
	return started(l, nbd_aio_flush(l->h, NBD_NULL_COMPLETION, 0), cookie);
}

void nbd_link_set_keepalive(struct nbd_link *l, int seconds)
{
	int fd = nbd_aio_get_fd(l->h), on = 1, every = seconds / 4, n = 3;
	unsigned int ms = (unsigned int)seconds * 1000;

	/* of no other kind of socket: then none of these is known */
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &every, sizeof(every));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof(every));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &n, sizeof(n));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
}

int nbd_link_fd(const struct nbd_link *l)
{
	return nbd_aio_get_fd(l->h);
}

bool nbd_link_is_sent(const struct nbd_link *l)
{
	/* while an answer is being read, what is being sent is not told */
	return nbd_aio_is_ready(l->h) > 0;
}

/* => how many requests were answered since, with an error too; 0 also when the link has failed
 */
static unsigned int count_answers(struct nbd_link *l)
{
	unsigned int n = 0;
	int64_t cookie;

	while ((cookie = nbd_aio_peek_command_completed(l->h)) > 0) {
		int ret = nbd_aio_command_completed(l->h, (uint64_t)cookie);

		/* libnbd's own word for what was not answered */
		if (ret == 0 || (ret < 0 && nbd_get_errno() == ENOTCONN))
			break;
		n++;
	}
	return n;
}

bool nbd_link_ends_orderly(struct nbd_link *l, void *buf, uint32_t bytes, unsigned int nreads,
			   uint32_t ms, int stop_fd)
{
	uint64_t end = clock_ns() + ms * NSEC_PER_MSEC, now, cookie;
	unsigned int answers = 0;

	for (unsigned int i = 0; i < nreads; i++)
		if (nbd_link_read(l, buf, bytes, 0, &cookie) < 0)
			return false;
	if (!nbd_link_is_sent(l) || shutdown(nbd_link_fd(l), SHUT_WR) < 0)
		return false;
	while (answers < nreads && (now = clock_ns()) < end && !readable(stop_fd)) {
		int ret = nbd_link_run(l, stop_fd, (int)((end - now) / NSEC_PER_MSEC) + 1);

		answers += count_answers(l);
		if (ret < 0)
			break;
	}
	return answers == nreads;
}

bool nbd_link_reap(struct nbd_link *l, uint64_t *cookie, int *err)
{
	int64_t ended = nbd_aio_peek_command_completed(l->h);
	int ret;

	if (ended <= 0)
		return false;
	ret = nbd_aio_command_completed(l->h, (uint64_t)ended);
	if (ret == 0)
		return false;
	*cookie = (uint64_t)ended;
	*err = 0;
	if (ret > 0)
		return true;
	*err = nbd_get_errno() > 0 ? -nbd_get_errno() : -EIO;
	/* said by libnbd of what a dead connection has not answered, and by a
	 * server that is about to end: the request is to be made again */
	if (*err == -ENOTCONN || *err == -ESHUTDOWN) {
		(void)fail(l);
		return false;
	}
	return true;
}

int nbd_link_failed(const struct nbd_link *l)
{
	return l->err;
}

const char *nbd_link_error(const struct nbd_link *l)
{
	return l->text;
}
