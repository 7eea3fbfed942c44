/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages of a front end: one at a time, in the order that disk_state.h explains.  What is
 * done to a message before its commit may be done again: descriptors are kept by their role,
 * memory is mapped anew.
 *
 * The keeper's channel never makes us wait: when it is full the message stays where it is and
 * is looked at in a later step.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/ipc.h"
#include "base/log.h"
#include "base/point.h"
#include "vmm/blk_priv.h"

#define MESSAGES_MAX 8 /* in a step: faults wait meanwhile */

struct incoming {
	struct vhost_msg m;
	int fd[VHOST_REGIONS_MAX];
	unsigned int nfds;
	size_t bytes;
};

static void close_fds(struct incoming *in)
{
	for (unsigned int i = 0; i < in->nfds; i++)
		close(in->fd[i]);
	in->nfds = 0;
}

/* The header and n bytes of payload, or what is there of them; and `fds`: what came beside. */
static ssize_t peek(int sock, struct incoming *in, size_t n, bool fds)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * VHOST_REGIONS_MAX)];
	} control;
	/* on the wire there is nothing between the two */
	struct iovec iov[2] = { { &in->m.header, sizeof(in->m.header) },
				{ &in->m.payload, n } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t got;

	if (fds) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
	}
	do {
		got = recvmsg(sock, &msg, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	for (struct cmsghdr *c = fds ? CMSG_FIRSTHDR(&msg) : NULL; c;
	     c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		in->nfds = (unsigned int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(in->fd, CMSG_DATA(c), in->nfds * sizeof(int));
	}
	if (fds && (msg.msg_flags & MSG_CTRUNC))
		return -EPROTO;
	return got;
}

/* => 1: a whole message; 0: not yet; -EPIPE: the end; -EPROTO and e */
static int next_message(struct blk *b, struct incoming *in, struct err *e)
{
	int sock = b->disk->fd[DISK_ROLE_CONN], ret;
	ssize_t n = peek(sock, in, 0, false);

	in->nfds = 0;
	if (n == -EAGAIN || (n > 0 && n < (ssize_t)sizeof(in->m.header)))
		return 0;
	if (n <= 0)
		return -EPIPE;
	ret = vhost_msg_check_header(&in->m.header, e);
	if (ret < 0)
		return ret;
	in->bytes = sizeof(in->m.header) + in->m.header.size;
	n = peek(sock, in, in->m.header.size, true);
	if (n >= 0 && n < (ssize_t)in->bytes) {
		close_fds(in);
		return 0;
	}
	/* peeking also shows what came beside the next message, if this one has none */
	if (n > 0 && !vhost_msg_has_fds(&in->m))
		close_fds(in);
	ret = n < 0 ? err_set(e, -EPROTO, "a message with too many descriptors")
		    : vhost_msg_check(&in->m, in->nfds, e);
	if (ret < 0)
		close_fds(in);
	return ret < 0 ? ret : 1;
}

bool blk_conn_moves(const struct blk *b)
{
	struct incoming in = { 0 };
	ssize_t n = peek(b->disk->fd[DISK_ROLE_CONN], &in, 0, false);

	return n == (ssize_t)sizeof(in.m.header) && in.m.header.request == VHOST_SET_MEM_TABLE;
}

/* The first n bytes of the connection have been dealt with. */
static void consume(int sock, size_t n)
{
	struct incoming in;

	while (n > 0) {
		ssize_t got = recv(sock, &in.m, n, MSG_DONTWAIT);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return;
		n -= (size_t)got;
	}
}

/* --- descriptors ---------------------------------------------------------------- */

/* What we read from and write to must not make us wait. */
static bool is_eventfd(int fd)
{
	char path[64], link[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		return false;
	link[n] = '\0';
	return strcmp(link, "anon_inode:[eventfd]") == 0 &&
	       fcntl(fd, F_SETFL, O_NONBLOCK | O_RDWR) == 0;
}

static int check_fd(const struct vhost_fd *f, struct err *e)
{
	bool event = f->role >= VHOST_FD_KICK || f->role == VHOST_FD_LOG_EVENT;

	if (f->fd < 0 || !event || is_eventfd(f->fd))
		return 0;
	return err_set(e, -EPROTO, "a descriptor to signal by that is no eventfd");
}

/* => 0, -EAGAIN, or -EPIPE: the keeper is gone */
static int keep(struct blk *b, const struct vhost_fd *f)
{
	struct keep_msg k = { .type = f->fd >= 0 ? KEEP_FD : KEEP_DROP,
			      .role = (uint32_t)f->role };

	return ipc_send(b->disk->keep, &k, sizeof(k), &f->fd, f->fd >= 0 ? 1 : 0);
}

static void set_fd(struct disk *d, const struct vhost_fd *f)
{
	if (d->fd[f->role] >= 0)
		close(d->fd[f->role]);
	d->fd[f->role] = f->fd;
}

/* --- answers -------------------------------------------------------------------- */

static int new_region(uint64_t bytes)
{
	int fd = memfd_create("drum-inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 &&
	    (ftruncate(fd, (off_t)bytes) < 0 ||
	     fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Have the keeper send the answer that is owed. => 0, or -EAGAIN */
static int send_owed(struct blk *b)
{
	const struct disk_now *now = disk_state_now(b->disk->state);
	struct keep_msg k = { .type = KEEP_REPLY, .number = now->number, .bytes = now->owed };
	int fd = -1, ret;

	if (now->owed == 0)
		return 0;
	if (now->inflight_bytes > 0)
		fd = new_region(now->inflight_bytes);
	memcpy(k.reply, &now->reply.header, sizeof(now->reply.header));
	memcpy(k.reply + sizeof(now->reply.header), &now->reply.payload,
	       now->owed - sizeof(now->reply.header));
	ret = ipc_send(b->disk->keep, &k, sizeof(k), &fd, fd >= 0 ? 1 : 0);
	if (fd >= 0)
		close(fd);
	if (ret < 0)
		return ret;
	point_crash("disk-replied");
	b->next_now = *now;
	b->next_now.owed = 0;
	disk_state_commit(b->disk->state, &b->next_now);
	return 0;
}

/* An earlier pager owed an answer. => it is settled */
static bool settle(struct blk *b)
{
	const struct disk_now *now = disk_state_now(b->disk->state);
	struct incoming in;
	struct err e = { 0 };
	int ret;

	if (now->owed == 0)
		return true;
	/* it waits for that answer, so what is there is what it asked */
	ret = now->number <= b->disk->replied ? 1 : next_message(b, &in, &e);
	if (ret == 1 && now->number > b->disk->replied)
		close_fds(&in);
	if (ret != 0) {
		b->next_now = *now;
		b->next_now.owed = 0;
		disk_state_commit(b->disk->state, &b->next_now);
		return true;
	}
	return send_owed(b) == 0;
}

/* --- a message ------------------------------------------------------------------ */

/* Do what follows, on the device as it will be; what came beside the message is taken.
 * => 0, -EAGAIN: later, or -errno and e */
static int carry_out(struct blk *b, struct incoming *in, struct vhost_todo *todo, struct err *e)
{
	int ret = 0;

	for (unsigned int i = 0; i < todo->nfds && ret == 0; i++)
		ret = check_fd(&todo->fd[i], e);
	for (unsigned int i = 0; i < todo->nfds && ret == 0; i++) {
		ret = keep(b, &todo->fd[i]);
		if (ret < 0 && ret != -EAGAIN)
			err_set(e, ret, "the keeper is gone");
	}
	if (ret < 0) {
		close_fds(in);
		return ret;
	}
	for (unsigned int i = 0; i < todo->nfds; i++)
		set_fd(b->disk, &todo->fd[i]);
	if (todo->memory)
		ret = blk_mem_table(b, e);
	if (ret == 0 && (todo->log || todo->memory))
		ret = blk_mem_log(b, e);
	if (ret == 0 && todo->inflight)
		ret = blk_mem_inflight(b, e);
	if (ret < 0)
		return ret;
	for (unsigned int i = 0; i < VHOST_QUEUES_MAX; i++) {
		struct blk_ring *r = &b->ring[i];

		if (todo->memory || todo->log || todo->ring == (int)i)
			blk_ring_move(r);
		if (todo->ring == (int)i && r->state == RING_ON)
			blk_ring_poll(r);
	}
	return 0;
}

static void commit(struct blk *b, const struct vhost_todo *todo, const struct vhost_msg *reply)
{
	struct disk_now *next = &b->next_now;

	*next = *disk_state_now(b->disk->state);
	next->dev = b->dev;
	next->owed = 0;
	if (todo->answer) {
		next->number++;
		next->owed = (uint32_t)sizeof(reply->header) + reply->header.size;
		next->reply = *reply;
		next->inflight_bytes = todo->new_inflight ? reply->payload.inflight.size : 0;
	}
	disk_state_commit(b->disk->state, next);
}

/* => 0, -EAGAIN: it is still to be done, or -errno and e */
static int handle(struct blk *b, struct incoming *in, struct err *e)
{
	struct vhost_dev before = b->dev;
	struct vhost_msg reply;
	struct vhost_todo todo;
	int ret;

	ret = vhost_dev_apply(&b->dev, &b->disk->geometry, &in->m, in->fd, in->nfds, &reply,
			      &todo, e);
	if (ret < 0) {
		close_fds(in);
		return ret;
	}
	if (todo.stop >= 0) {
		struct blk_ring *r = &b->ring[todo.stop];
		uint16_t base = b->dev.ring[todo.stop].base;

		b->stopping = todo.stop;
		/* what was in flight is known when it is on, and is done first */
		if (!blk_ring_is_idle(r) || (r->state == RING_PAGES && b->dev.has_inflight)) {
			b->dev = before;
			return -EAGAIN;
		}
		if (r->state == RING_ON || r->state == RING_BROKEN)
			base = r->vq.last_avail;
		vhost_dev_stopped(&b->dev, &in->m, base, &reply, &todo);
		blk_ring_stop(r);
		b->stopping = -1;
	}
	ret = carry_out(b, in, &todo, e);
	if (ret == -EAGAIN)
		b->dev = before;
	if (ret < 0)
		return ret;
	point_crash("disk-message");
	commit(b, &todo, &reply);
	point_crash("disk-committed");
	consume(b->disk->fd[DISK_ROLE_CONN], in->bytes);
	point_crash("disk-consumed");
	(void)!send_owed(b); /* else before the next message */
	blk_look_at_rings(b);
	return 0;
}

void blk_conn_step(struct blk *b)
{
	struct incoming in;
	struct err e = { 0 };
	int ret = 1;

	if (b->resumed) {
		if (!settle(b))
			return;
		b->resumed = false;
	}
	for (int i = 0; i < MESSAGES_MAX && ret > 0 && !b->closing; i++) {
		if (send_owed(b) < 0)
			return;
		ret = next_message(b, &in, &e);
		if (ret != 1)
			break;
		ret = handle(b, &in, &e);
		if (ret == -EAGAIN)
			return;
		ret = ret < 0 ? ret : 1;
	}
	if (ret == 0)
		b->readable = false;
	if (ret < 0) {
		if (ret == -EPIPE)
			e = (struct err){ 0 };
		blk_drop(b, &e);
	}
}
