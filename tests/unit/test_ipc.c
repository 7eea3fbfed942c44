/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages with descriptors: whole or not at all, and no descriptor lost. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ipc.h"

#define LIMIT .timeout = 30

static void make_pair(int sock[2])
{
	cr_assert_eq(ipc_pair(sock), 0);
}

static void end_pair(int sock[2])
{
	close(sock[0]);
	close(sock[1]);
}

/* Descriptors of this process, from what the kernel says. */
static int open_count(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	cr_assert_not_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static int tagged(int tag)
{
	int fd = memfd_create("tagged", 0);

	cr_assert_geq(fd, 0);
	cr_assert_eq(pwrite(fd, &tag, sizeof(tag), 0), (ssize_t)sizeof(tag));
	return fd;
}

static int tag_of(int fd)
{
	int tag = -1;

	cr_assert_eq(pread(fd, &tag, sizeof(tag), 0), (ssize_t)sizeof(tag));
	return tag;
}

static void none_left(const int fds[IPC_FDS_MAX], int from)
{
	for (int i = from; i < IPC_FDS_MAX; i++)
		cr_assert_eq(fds[i], -1, "descriptor %d", i);
}

Test(ipc, pair_is_closed_on_exec, LIMIT)
{
	int sock[2], type = 0;
	socklen_t len = sizeof(type);

	make_pair(sock);
	for (int i = 0; i < 2; i++)
		cr_assert_eq(fcntl(sock[i], F_GETFD), FD_CLOEXEC);
	cr_assert_eq(getsockopt(sock[0], SOL_SOCKET, SO_TYPE, &type, &len), 0);
	cr_assert_eq(type, SOCK_SEQPACKET);
	end_pair(sock);
}

/* Each is one message, also when several wait, and also the other way. */
Test(ipc, messages_keep_their_bounds, LIMIT)
{
	int sock[2], fds[IPC_FDS_MAX], nfds;
	char buf[100];

	make_pair(sock);
	cr_assert_eq(ipc_send(sock[0], "one", 3, NULL, 0), 0);
	cr_assert_eq(ipc_send(sock[0], "three", 5, NULL, 0), 0);
	cr_assert_eq(ipc_send(sock[1], "back", 4, NULL, 0), 0);
	for (int i = 0; i < IPC_FDS_MAX; i++)
		fds[i] = 12345;
	cr_assert_eq(ipc_recv(sock[1], buf, sizeof(buf), fds, &nfds), 3);
	cr_assert_eq(memcmp(buf, "one", 3), 0);
	cr_assert_eq(nfds, 0);
	none_left(fds, 0);
	/* exactly as long as there is room */
	cr_assert_eq(ipc_recv(sock[1], buf, 5, fds, &nfds), 5);
	cr_assert_eq(memcmp(buf, "three", 5), 0);
	cr_assert_eq(ipc_recv(sock[0], buf, sizeof(buf), fds, &nfds), 4);
	cr_assert_eq(memcmp(buf, "back", 4), 0);
	end_pair(sock);
}

/* From none to as many as may be, in their order, each close-on-exec. */
Test(ipc, descriptors_arrive, LIMIT)
{
	int sock[2], before;

	make_pair(sock);
	before = open_count();
	for (int n = 0; n <= IPC_FDS_MAX; n++) {
		int out[IPC_FDS_MAX], in[IPC_FDS_MAX], nfds = -1;
		char buf[16];

		for (int i = 0; i < n; i++)
			out[i] = tagged(100 * n + i);
		cr_assert_eq(ipc_send(sock[0], "fds", 3, out, n), 0);
		for (int i = 0; i < n; i++)
			close(out[i]);
		cr_assert_eq(ipc_recv(sock[1], buf, sizeof(buf), in, &nfds), 3);
		cr_assert_eq(nfds, n);
		none_left(in, n);
		for (int i = 0; i < n; i++) {
			cr_assert_eq(tag_of(in[i]), 100 * n + i);
			cr_assert_eq(fcntl(in[i], F_GETFD), FD_CLOEXEC);
			close(in[i]);
		}
	}
	cr_assert_eq(open_count(), before);
	end_pair(sock);
}

Test(ipc, too_many_descriptors_are_not_sent, LIMIT)
{
	int sock[2], fds[IPC_FDS_MAX + 1], in[IPC_FDS_MAX], nfds;
	char c;

	make_pair(sock);
	for (int i = 0; i <= IPC_FDS_MAX; i++)
		fds[i] = sock[0];
	cr_assert_eq(ipc_send(sock[0], "x", 1, fds, IPC_FDS_MAX + 1), -EINVAL);
	cr_assert_eq(fcntl(sock[1], F_SETFL, O_NONBLOCK), 0);
	cr_assert_eq(ipc_recv(sock[1], &c, 1, in, &nfds), -EAGAIN);
	fds[0] = 9999;
	cr_assert_eq(ipc_send(sock[0], "x", 1, fds, 1), -EBADF);
	cr_assert_eq(ipc_recv(sock[1], &c, 1, in, &nfds), -EAGAIN);
	end_pair(sock);
}

Test(ipc, too_long_a_message_leaves_no_descriptor, LIMIT)
{
	int sock[2], fds[IPC_FDS_MAX], nfds = -1, before;
	int out[3] = { tagged(1), tagged(2), tagged(3) };
	char buf[8];

	make_pair(sock);
	before = open_count();
	cr_assert_eq(ipc_send(sock[0], "123456789", 9, out, 3), 0);
	cr_assert_eq(ipc_send(sock[0], "next", 4, out, 1), 0);
	cr_assert_eq(ipc_recv(sock[1], buf, sizeof(buf), fds, &nfds), -EMSGSIZE);
	cr_assert_eq(nfds, 0);
	none_left(fds, 0);
	cr_assert_eq(open_count(), before, "%d descriptors leaked", open_count() - before);

	/* its end was thrown away, and the next is whole */
	cr_assert_eq(ipc_recv(sock[1], buf, sizeof(buf), fds, &nfds), 4);
	cr_assert_eq(memcmp(buf, "next", 4), 0);
	cr_assert_eq(nfds, 1);
	cr_assert_eq(tag_of(fds[0]), 1);
	close(fds[0]);
	for (int i = 0; i < 3; i++)
		close(out[i]);
	end_pair(sock);
}

/* By a peer that does not keep to ipc_send. */
static void send_raw(int sock, const int *fds, int n)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * 64)];
	} control;
	struct iovec iov = { (void *)"raw", 3 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n),
	};
	struct cmsghdr *c;

	memset(&control, 0, sizeof(control));
	c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)n);
	memcpy(CMSG_DATA(c), fds, sizeof(int) * (size_t)n);
	cr_assert_eq(sendmsg(sock, &msg, 0), 3);
}

Test(ipc, too_many_descriptors_are_all_closed, LIMIT)
{
	int sock[2], out[64], fds[IPC_FDS_MAX], nfds, before;
	char buf[8];

	make_pair(sock);
	for (int i = 0; i < 64; i++)
		out[i] = sock[0];
	before = open_count();
	for (int n = IPC_FDS_MAX + 1; n <= 64; n++) {
		send_raw(sock[0], out, n);
		nfds = -1;
		cr_assert_eq(ipc_recv(sock[1], buf, sizeof(buf), fds, &nfds), -EMSGSIZE);
		cr_assert_eq(nfds, 0);
		none_left(fds, 0);
		cr_assert_eq(open_count(), before, "%d sent", n);
	}
	end_pair(sock);
}

Test(ipc, end, LIMIT)
{
	int sock[2], fds[IPC_FDS_MAX], nfds = -1;
	char buf[8];

	make_pair(sock);
	cr_assert_eq(ipc_send(sock[0], "last", 4, NULL, 0), 0);
	close(sock[0]);
	/* what was said before is heard */
	cr_assert_eq(ipc_recv(sock[1], buf, sizeof(buf), fds, &nfds), 4);
	cr_assert_eq(ipc_recv(sock[1], buf, sizeof(buf), fds, &nfds), 0);
	cr_assert_eq(nfds, 0);
	none_left(fds, 0);
	cr_assert_eq(ipc_recv(sock[1], buf, sizeof(buf), fds, &nfds), 0);
	cr_assert_eq(ipc_send(sock[1], "x", 1, NULL, 0), -EPIPE);
	close(sock[1]);
}

/* The other end died with a message unread: ECONNRESET to the kernel, an end to us. */
Test(ipc, end_with_something_unread, LIMIT)
{
	int sock[2], fds[IPC_FDS_MAX], nfds;
	char buf[8];

	make_pair(sock);
	cr_assert_eq(ipc_send(sock[1], "unread", 6, NULL, 0), 0);
	close(sock[0]);
	cr_assert_eq(ipc_recv(sock[1], buf, sizeof(buf), fds, &nfds), 0);
	cr_assert_eq(ipc_recv(sock[1], buf, sizeof(buf), fds, &nfds), 0);
	close(sock[1]);
}

Test(ipc, nonblocking, LIMIT)
{
	int sock[2], fds[IPC_FDS_MAX], nfds, ret, sent = 0, got = 0;
	char buf[1000] = "";

	make_pair(sock);
	for (int i = 0; i < 2; i++)
		cr_assert_eq(fcntl(sock[i], F_SETFL, O_NONBLOCK), 0);
	cr_assert_eq(ipc_recv(sock[0], buf, sizeof(buf), fds, &nfds), -EAGAIN);
	cr_assert_eq(nfds, 0);
	while ((ret = ipc_send(sock[0], buf, sizeof(buf), NULL, 0)) == 0)
		sent++;
	cr_assert_eq(ret, -EAGAIN);
	cr_assert_gt(sent, 0);
	while (ipc_recv(sock[1], buf, sizeof(buf), fds, &nfds) == (ssize_t)sizeof(buf))
		got++;
	cr_assert_eq(got, sent, "whole or not at all");
	end_pair(sock);
}

struct interrupted {
	int sock;
	pthread_t reader;
	int sent; /* what ipc_send said */
};

static volatile sig_atomic_t heard;

static void on_signal(int sig)
{
	(void)sig;
	heard++;
}

static void *interrupt(void *arg)
{
	struct interrupted *in = arg;

	/* until it was in the handler; mostly out of recvmsg, and harmless if not */
	while (heard < 20) {
		pthread_kill(in->reader, SIGUSR1);
		usleep(1000);
	}
	in->sent = ipc_send(in->sock, "done", 4, NULL, 0);
	return NULL;
}

Test(ipc, signals_are_no_end, LIMIT)
{
	struct sigaction sa = { .sa_handler = on_signal }; /* no SA_RESTART */
	int sock[2], fds[IPC_FDS_MAX], nfds;
	struct interrupted in;
	pthread_t thread;
	char buf[8];

	make_pair(sock);
	in = (struct interrupted){ .sock = sock[0], .reader = pthread_self() };
	cr_assert_eq(sigaction(SIGUSR1, &sa, NULL), 0);
	cr_assert_eq(pthread_create(&thread, NULL, interrupt, &in), 0);
	cr_assert_eq(ipc_recv(sock[1], buf, sizeof(buf), fds, &nfds), 4);
	pthread_join(thread, NULL);
	cr_assert_eq(in.sent, 0);
	end_pair(sock);
}

Test(ipc, what_was_sent_is_there_after_an_end_that_had_not_read_all)
{
	int pair[2], fds[IPC_FDS_MAX], nfds;
	char buf[16];

	cr_assert_eq(ipc_pair(pair), 0);
	cr_assert_eq(ipc_send(pair[0], "ours", 4, NULL, 0), 0);
	cr_assert_eq(ipc_send(pair[1], "one", 3, NULL, 0), 0);
	cr_assert_eq(ipc_send(pair[1], "other", 5, &pair[0], 1), 0);
	close(pair[1]);
	cr_assert_eq(ipc_recv(pair[0], buf, sizeof(buf), fds, &nfds), 3);
	cr_assert_eq(ipc_recv(pair[0], buf, sizeof(buf), fds, &nfds), 5);
	cr_assert_eq(nfds, 1);
	close(fds[0]);
	cr_assert_eq(ipc_recv(pair[0], buf, sizeof(buf), fds, &nfds), 0);
	close(pair[0]);
}
