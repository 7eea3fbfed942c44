/* SPDX-License-Identifier: BSD-2-Clause */
/* The fence at an image: it stands as long as anything refers to the description. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/image_fence.h"
#include "base/ipc.h"
#include "base/ring.h"

#define KEY UINT64_C(0x123456789abcdef0)

static char image[] = "drum-test-fence-XXXXXX";

static void make_image(void)
{
	int fd = mkstemp(image);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, 1 << 20), 0);
	close(fd);
}

static void remove_image(void)
{
	unlink(image);
}

TestSuite(image_fence, .init = make_image, .fini = remove_image, .timeout = 60);

static int open_image(int flags)
{
	int fd = open(image, flags | O_CLOEXEC);

	cr_assert_geq(fd, 0);
	return fd;
}

static void wait_until_clear(int fd)
{
	while (!image_fence_is_clear(fd, KEY))
		usleep(1000);
}

Test(image_fence, own_lock_is_no_others)
{
	int fd = open_image(O_RDWR), again;

	cr_assert(image_fence_is_clear(fd, KEY));
	cr_assert_eq(image_fence_take(fd, KEY), 0);
	cr_assert_eq(image_fence_take(fd, KEY), 0);
	cr_assert(image_fence_is_clear(fd, KEY));
	again = dup(fd);
	cr_assert(image_fence_is_clear(again, KEY));
	close(again);
	close(fd);
}

Test(image_fence, others_are_seen_until_they_close)
{
	int old = open_image(O_RDWR), new = open_image(O_RDONLY), copy;

	cr_assert_eq(image_fence_take(old, KEY), 0);
	cr_assert_eq(image_fence_take(new, KEY), 0, "it does not wait for the old one");
	cr_assert_not(image_fence_is_clear(new, KEY));
	cr_assert_not(image_fence_is_clear(old, KEY));
	copy = dup(old);
	close(old);
	cr_assert_not(image_fence_is_clear(new, KEY), "a duplicate keeps it");
	close(copy);
	cr_assert(image_fence_is_clear(new, KEY));
	close(new);
}

Test(image_fence, keys_are_apart)
{
	static const uint64_t keys[] = { 0, 1, KEY, KEY ^ 2, UINT64_MAX >> 3 };
	int a = open_image(O_RDONLY), b = open_image(O_RDONLY);

	for (unsigned int i = 0; i < 5; i++) {
		for (unsigned int k = i; k < 5; k++)
			cr_assert(image_fence_is_clear(b, keys[k]));
		cr_assert_eq(image_fence_take(a, keys[i]), 0);
		cr_assert_not(image_fence_is_clear(b, keys[i]));
	}
	cr_assert_eq(image_fence_take(a, UINT64_MAX), 0, "any number is a key");
	close(a);
	close(b);
}

Test(image_fence, what_is_no_file)
{
	cr_assert_eq(image_fence_take(-1, KEY), -EBADF);
	cr_assert_not(image_fence_is_clear(-1, KEY));
}

/* A process that is killed, and a descriptor that is on its way in a socket meanwhile. */
Test(image_fence, survives_the_process_while_it_is_referred_to)
{
	int new = open_image(O_RDWR), pair[2], fds[IPC_FDS_MAX], nfds;
	char c;
	pid_t child;

	cr_assert_eq(ipc_pair(pair), 0);
	child = fork();
	if (child == 0) {
		int fd = open(image, O_RDWR | O_CLOEXEC);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (image_fence_take(fd, KEY) < 0 || ipc_send(pair[1], "x", 1, &fd, 1) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	close(pair[1]);
	cr_assert_eq(ipc_recv(pair[0], &c, 1, fds, &nfds), 1);
	cr_assert_eq(nfds, 1);
	cr_assert_eq(image_fence_take(new, KEY), 0);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	cr_assert_not(image_fence_is_clear(new, KEY));
	close(fds[0]);
	cr_assert(image_fence_is_clear(new, KEY));
	close(pair[0]);
	close(new);
}

/* I/O in flight: a copy to a pipe that is full, through a description that is closed. */

struct copying {
	int from, to;
	ssize_t ret;
};

static void *copy(void *arg)
{
	struct copying *c = arg;

	c->ret = splice(c->from, NULL, c->to, NULL, 4096, 0);
	return NULL;
}

static bool is_in_splice(pid_t tid)
{
	char path[64], text[64] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", (int)tid);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	return strtol(text, NULL, 10) == SYS_splice;
}

static pid_t copier;

static void *copy_and_tell(void *arg)
{
	__atomic_store_n(&copier, gettid(), __ATOMIC_RELEASE);
	return copy(arg);
}

Test(image_fence, stands_while_io_is_in_flight)
{
	int old = open_image(O_RDONLY), new = open_image(O_RDONLY), pipes[2];
	static char full[65536];
	struct copying c = { .from = old };
	pthread_t thread;
	pid_t tid;

	cr_assert_eq(pipe2(pipes, O_CLOEXEC), 0);
	cr_assert_eq(fcntl(pipes[1], F_SETPIPE_SZ, sizeof(full)), (int)sizeof(full));
	cr_assert_eq(write(pipes[1], full, sizeof(full)), (ssize_t)sizeof(full));
	c.to = pipes[1];
	cr_assert_eq(image_fence_take(old, KEY), 0);
	cr_assert_eq(pthread_create(&thread, NULL, copy_and_tell, &c), 0);
	while (!(tid = __atomic_load_n(&copier, __ATOMIC_ACQUIRE)) || !is_in_splice(tid))
		usleep(1000);
	close(old);
	cr_assert_not(image_fence_is_clear(new, KEY), "I/O is in flight");
	cr_assert_eq(read(pipes[0], full, sizeof(full)), (ssize_t)sizeof(full));
	pthread_join(thread, NULL);
	cr_assert_eq(c.ret, 4096);
	wait_until_clear(new);
	close(pipes[0]);
	close(pipes[1]);
	close(new);
}

/* A pager that is killed in the middle of I/O by io_uring: whenever the fence is
 * clear nothing is written any more. */

#define BLOCK 65536u
#define DEPTH 16u

static struct ring *ring;
static struct ring_op ops[DEPTH];
static char *buf;
static int image_fd;

static void write_again(struct ring_op *op, int res)
{
	unsigned int i = (unsigned int)(op - ops);

	if (res < 0)
		_exit(2);
	ring_write(ring, op, image_fd, buf, BLOCK, (uint64_t)i * BLOCK);
}

static void write_for_ever(int chan)
{
	image_fd = open(image, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (image_fd < 0)
		image_fd = open(image, O_RDWR | O_CLOEXEC);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	ring = ring_create(64);
	if (!ring || posix_memalign((void **)&buf, 4096, BLOCK) != 0 ||
	    image_fence_take(image_fd, KEY) < 0)
		_exit(1);
	memset(buf, 'o', BLOCK);
	for (unsigned int i = 0; i < DEPTH; i++) {
		ops[i].done = write_again;
		write_again(&ops[i], 0);
	}
	if (write(chan, "x", 1) != 1)
		_exit(1);
	for (;;)
		if (ring_run(ring, UINT64_C(1000000000)) < 0)
			_exit(3);
}

Test(image_fence, late_io_of_the_dead_ends_before)
{
	static char got[DEPTH * BLOCK], zeros[DEPTH * BLOCK];

	for (int round = 0; round < 30; round++) {
		int new = open_image(O_RDWR), pipes[2];
		pid_t child;
		char c;

		cr_assert_eq(pipe(pipes), 0);
		child = fork();
		if (child == 0)
			write_for_ever(pipes[1]);
		cr_assert_eq(read(pipes[0], &c, 1), 1);
		usleep(500 * (useconds_t)(round % 4));
		cr_assert_eq(image_fence_take(new, KEY), 0);
		cr_assert_not(image_fence_is_clear(new, KEY));
		kill(child, SIGKILL);
		wait_until_clear(new);
		cr_assert_eq(pwrite(new, zeros, sizeof(zeros), 0), (ssize_t)sizeof(zeros));
		waitpid(child, NULL, 0);
		usleep(2000);
		cr_assert_eq(pread(new, got, sizeof(got), 0), (ssize_t)sizeof(got));
		cr_assert_eq(memcmp(got, zeros, sizeof(got)), 0, "round %d", round);
		close(pipes[0]);
		close(pipes[1]);
		close(new);
	}
}
