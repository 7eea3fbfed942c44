/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages of vhost-user, from the front end's side. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "front.h"

uint64_t front_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

int front_fail(struct front *f, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->why, sizeof(f->why), fmt, ap);
	va_end(ap);
	return code;
}

int front_dial(struct front *f)
{
	uint64_t end = front_now_ns() + f->opt.wait_s * UINT64_C(1000000000);
	struct timeval wait = { .tv_sec = f->opt.wait_s };
	struct sockaddr_un to = { .sun_family = AF_UNIX };

	if (strlen(f->opt.socket) >= sizeof(to.sun_path))
		return front_fail(f, -ENAMETOOLONG, "%s: too long", f->opt.socket);
	memcpy(to.sun_path, f->opt.socket, strlen(f->opt.socket));
	f->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (f->sock < 0)
		return front_fail(f, -errno, "socket: %s", strerror(errno));
	setsockopt(f->sock, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(f->sock, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	while (connect(f->sock, (struct sockaddr *)&to, sizeof(to))) {
		int code = -errno;

		if ((code != -ENOENT && code != -ECONNREFUSED && code != -EAGAIN &&
		     code != -EINTR) ||
		    front_now_ns() > end) {
			front_disconnect(f);
			return front_fail(f, code, "%s: %s", f->opt.socket, strerror(-code));
		}
		usleep(20000);
	}
	return 0;
}

static int broken(struct front *f, const char *what)
{
	int code = errno;

	if (code == EPIPE || code == ECONNRESET || code == ECONNREFUSED)
		return front_fail(f, -ECONNRESET, "%s: the connection is closed", what);
	if (code == EAGAIN)
		return front_fail(f, -ETIMEDOUT, "%s: nothing within %u s", what,
				  f->opt.wait_s);
	return front_fail(f, -code, "%s: %s", what, strerror(code));
}

int front_send(struct front *f, const struct vhost_header *h, const void *payload,
	       const int *fds, unsigned int nfds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(64 * sizeof(int))];
	} control = { 0 };
	uint8_t bytes[sizeof(*h) + VHOST_PAYLOAD_MAX];
	size_t size = h->size <= VHOST_PAYLOAD_MAX ? h->size : VHOST_PAYLOAD_MAX, sent = 0;
	struct iovec iov = { .iov_base = bytes };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (f->sock < 0)
		return front_fail(f, -ECONNRESET, "the connection is closed");
	memcpy(bytes, h, sizeof(*h));
	if (payload)
		memcpy(bytes + sizeof(*h), payload, size);
	if (nfds) {
		m.msg_control = control.bytes;
		m.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		CMSG_FIRSTHDR(&m)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&m)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&m)->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), fds, nfds * sizeof(int));
	}
	if (payload)
		size += sizeof(*h);
	else
		size = sizeof(*h);
	while (sent < size) {
		ssize_t n;

		iov = (struct iovec){ .iov_base = bytes + sent, .iov_len = size - sent };
		n = sendmsg(f->sock, &m, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return broken(f, vhost_msg_name(h->request));
		sent += (size_t)n;
		m.msg_control = NULL;
		m.msg_controllen = 0;
	}
	return 0;
}

/* All of size bytes from sock; fd, if not NULL, that came with the first of them. */
static int receive(struct front *f, int sock, void *to, size_t size, int *fd, const char *what)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(8 * sizeof(int))];
	} control;
	size_t have = 0;

	while (have < size) {
		struct iovec iov = { .iov_base = (uint8_t *)to + have, .iov_len = size - have };
		struct msghdr m = { .msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = control.bytes,
				    .msg_controllen = sizeof(control.bytes) };
		ssize_t n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
		struct cmsghdr *c;

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			return front_fail(f, -ECONNRESET, "%s: the connection is closed", what);
		if (n < 0)
			return broken(f, what);
		c = CMSG_FIRSTHDR(&m);
		if (c && c->cmsg_type == SCM_RIGHTS) {
			int first;

			memcpy(&first, CMSG_DATA(c), sizeof(first));
			if (fd && *fd < 0)
				*fd = first;
			else
				close(first);
		}
		have += (size_t)n;
	}
	return 0;
}

int front_answer(struct front *f, uint32_t request, void *payload, uint32_t max, int *fd)
{
	const char *what = vhost_msg_name(request);
	struct vhost_header h;
	int rc;

	if (fd)
		*fd = -1;
	rc = receive(f, f->sock, &h, sizeof(h), fd, what);
	if (rc < 0)
		return rc;
	if (h.request != request || h.flags != (VHOST_VERSION | VHOST_REPLY) || h.size > max)
		return front_fail(f, -EPROTO, "%s: answer %u, flags %#x, %u bytes", what,
				  h.request, h.flags, h.size);
	rc = h.size ? receive(f, f->sock, payload, h.size, fd, what) : 0;
	return rc < 0 ? rc : (int)h.size;
}

int front_ask(struct front *f, uint32_t request, const void *payload, uint32_t size,
	      void *answer, uint32_t max, int *fd)
{
	struct vhost_header h = { .request = request, .flags = VHOST_VERSION, .size = size };
	int rc = front_send(f, &h, payload, NULL, 0);

	return rc < 0 ? rc : front_answer(f, request, answer, max, fd);
}

int front_tell(struct front *f, uint32_t request, const void *payload, uint32_t size,
	       const int *fds, unsigned int nfds)
{
	bool ack = f->proto & VHOST_PROTO_REPLY_ACK;
	struct vhost_header h = { .request = request,
				  .flags = VHOST_VERSION | (ack ? VHOST_NEED_REPLY : 0),
				  .size = size };
	uint64_t refused = 0;
	int rc = front_send(f, &h, payload, fds, nfds);

	if (rc < 0 || !ack)
		return rc;
	rc = front_answer(f, request, &refused, sizeof(refused), NULL);
	if (rc < 0)
		return rc;
	return refused ? front_fail(f, -EPROTO, "%s: the back end says error %llu",
				    vhost_msg_name(request), (unsigned long long)refused)
		       : 0;
}

int front_backend_request(struct front *f)
{
	uint8_t payload[VHOST_PAYLOAD_MAX];
	struct vhost_header h;
	int rc = receive(f, f->backend, &h, sizeof(h), NULL, "a request of the back end");

	if (rc == 0 && h.size > sizeof(payload))
		rc = front_fail(f, -EPROTO, "a request of the back end of %u bytes", h.size);
	if (rc == 0 && h.size)
		rc = receive(f, f->backend, payload, h.size, NULL, "a request of the back end");
	if (rc == 0 && (h.flags & VHOST_NEED_REPLY)) {
		struct {
			struct vhost_header h;
			uint64_t u64;
		} __attribute__((packed))
		ok = { { h.request, VHOST_VERSION | VHOST_REPLY, sizeof(uint64_t) }, 0 };

		if (send(f->backend, &ok, sizeof(ok), MSG_NOSIGNAL) != sizeof(ok))
			rc = broken(f, "an answer to the back end");
	}
	return rc < 0 ? rc : (int)h.request;
}
