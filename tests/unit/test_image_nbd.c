/* SPDX-License-Identifier: BSD-2-Clause */
/* Disks on NBD servers: real ones, killed at the wrong moment. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ipc.h"
#include "image_io.h"
#include "swap/nbd_link.h"

#define LIMIT .timeout = 120
#define MIB   (UINT64_C(1) << 20)
#define BYTES (64 * MIB)

static char dir[] = "/tmp/drum-test-image-XXXXXX";
static char uri[128], disk[64], sock_path[64], pid_file[64], data_arg[80];
static pid_t server;

static void make_dir(void)
{
	int fd;

	cr_assert_not_null(mkdtemp(dir));
	snprintf(disk, sizeof(disk), "%s/disk", dir);
	snprintf(sock_path, sizeof(sock_path), "%s/sock", dir);
	snprintf(pid_file, sizeof(pid_file), "%s/pid", dir);
	snprintf(uri, sizeof(uri), "nbd:nbd+unix:///?socket=%s", sock_path);
	snprintf(data_arg, sizeof(data_arg), "file=%s", disk);
	fd = open(disk, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_eq(ftruncate(fd, (off_t)BYTES), 0);
	close(fd);
}

static void kill_server(void)
{
	if (!server)
		return;
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	server = 0;
}

static void remove_dir(void)
{
	kill_server();
	unlink(pid_file);
	unlink(disk);
	unlink(sock_path);
	cr_expect_eq(rmdir(dir), 0);
}

TestSuite(image_nbd, .init = make_dir, .fini = remove_dir, LIMIT);

/* A program with these arguments; it listens when this returns. */
static void start_program(const char *const *argv)
{
	unlink(pid_file);
	unlink(sock_path);
	server = fork();
	if (server == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	cr_assert_gt(server, 0);
	while (access(pid_file, F_OK) < 0 || access(sock_path, F_OK) < 0) {
		cr_assert_eq(waitpid(server, NULL, WNOHANG), 0, "%s does not start", argv[0]);
		usleep(1000);
	}
}

#define NBDKIT(...)                                                                            \
	start_program((const char *const[]){ "nbdkit", "-f", "-P", pid_file, "-U", sock_path,  \
					     __VA_ARGS__, NULL })
/* What is not flushed is in a file that is gone when it ends. */
#define FORGETFUL() NBDKIT("--filter=cache", "file", data_arg)

static void start_forgetful(bool fua)
{
	if (fua)
		FORGETFUL();
	else
		NBDKIT("--filter=fua", "--filter=cache", "file", data_arg);
}

static struct image *open_it(enum image_cache cache)
{
	struct err e = { 0 };
	struct image *image = image_nbd_open(uri, cache, false, NULL, NULL, &e);

	cr_assert_not_null(image, "%s", e.text);
	return image;
}

/* Does the file behind the server have it? */
static bool disk_holds(uint64_t off, uint64_t len, unsigned int seed)
{
	char *data = malloc(len);
	int fd = open(disk, O_RDONLY | O_CLOEXEC);
	bool same;

	cr_assert_eq(pread(fd, data, len, (off_t)off), (ssize_t)len);
	same = seed ? is_filled(data, off, len, seed) : is_zero(data, len);
	close(fd);
	free(data);
	return same;
}

static void check_zeroes(struct image *image, struct ring *r, bool unmap)
{
	cr_assert_eq(put(image, r, 0, 4 * MIB, MIB, 0, 1), 0);
	cr_assert_eq(order(image, r, IMAGE_ZEROES, MIB + 512, 2 * MIB, unmap), 0);
	cr_assert(holds(image, r, 0, MIB + 512, MIB, 0, 1));
	cr_assert(holds(image, r, MIB + 512, 2 * MIB, MIB, 0, 0));
	cr_assert(holds(image, r, 3 * MIB + 512, MIB - 512, MIB, 0, 1));
}

Test(image_nbd, goes_there_and_back)
{
	struct image *image;
	struct ring *r = make_ring();

	NBDKIT("file", data_arg);
	image = open_it(IMAGE_CACHE_NONE);
	cr_assert_eq(image->info.bytes, BYTES);
	cr_assert_eq(image->info.block_size, 512);
	cr_assert(image->info.can_discard);
	cr_assert(image->info.can_zero);
	cr_assert_eq(put(image, r, 512, 512, 512, 1, 1), 0);
	cr_assert_eq(put(image, r, MIB, 3 * MIB, 100000, 8, 2), 0);
	cr_assert(holds(image, r, 512, 512, 100, 0, 1));
	cr_assert(holds(image, r, MIB, 3 * MIB, 60000, 4, 2));
	cr_assert(disk_holds(MIB, 3 * MIB, 2));
	check_zeroes(image, r, false);
	check_zeroes(image, r, true);
	cr_assert_eq(order(image, r, IMAGE_DISCARD, 0, 4 * MIB, false), 0);
	cr_assert_eq(order(image, r, IMAGE_FLUSH, 0, 0, false), 0);
	cr_assert_eq(put(image, r, BYTES, 512, 512, 0, 1), -EINVAL);
	image_close(image);
	ring_destroy(r);
}

Test(image_nbd, servers_that_can_do_less)
{
	struct ring *r = make_ring();
	struct err e = { 0 };
	struct image *image;

	NBDKIT("--filter=nozero", "--filter=fua", "--filter=blocksize-policy", "file", data_arg,
	       "blocksize-minimum=4096");
	image = open_it(IMAGE_CACHE_DIRECTSYNC);
	cr_assert_eq(image->info.block_size, 4096);
	cr_assert(!image->info.can_zero);
	cr_assert_eq(put(image, r, 4096, 2 * MIB, MIB, 0, 5), 0);
	cr_assert_eq(order(image, r, IMAGE_ZEROES, MIB, MIB, true), 0);
	cr_assert(holds(image, r, MIB, MIB, MIB, 0, 0));
	cr_assert(holds(image, r, 4096, MIB - 4096, MIB, 0, 5));
	cr_assert_eq(put(image, r, 512, 4096, 4096, 0, 5), -EINVAL);
	image_close(image);
	kill_server();

	NBDKIT("-r", "file", data_arg);
	cr_assert_null(image_nbd_open(uri, IMAGE_CACHE_NONE, false, NULL, NULL, &e));
	cr_assert_not_null(strstr(e.text, "read-only"), "%s", e.text);
	image = image_nbd_open(uri, IMAGE_CACHE_NONE, true, NULL, NULL, &e);
	cr_assert_not_null(image, "%s", e.text);
	cr_assert_eq(put(image, r, 0, 4096, 4096, 0, 5), -EROFS);
	cr_assert(holds(image, r, MIB, MIB, MIB, 0, 0));
	image_close(image);
	kill_server();

	NBDKIT("eval", "get_size=echo 1M", "pread=head -c $3 /dev/zero",
	       "pwrite=cat >/dev/null");
	cr_assert_null(image_nbd_open(uri, IMAGE_CACHE_NONE, false, NULL, NULL, &e));
	cr_assert_not_null(strstr(e.text, "cannot flush"), "%s", e.text);
	image = open_it(IMAGE_CACHE_UNSAFE);
	cr_assert_eq(put(image, r, 0, 4096, 4096, 0, 5), 0);
	cr_assert_eq(order(image, r, IMAGE_DISCARD, 0, 4096, false), 0);
	image_close(image);
	kill_server();

	cr_assert_null(image_nbd_open(uri, IMAGE_CACHE_NONE, false, NULL, NULL, &e));
	cr_assert_not_null(strstr(e.text, uri), "%s", e.text);
	ring_destroy(r);
}

/* What was acknowledged is not lost with a server that had not flushed it. */
static void check_forgetful(enum image_cache cache, uint64_t bytes, uint64_t each)
{
	struct ring *r = make_ring();
	struct image *image;

	FORGETFUL();
	image = open_it(cache);
	cr_assert_eq(put(image, r, 0, each, each, 0, 99), 0);
	for (uint64_t at = 0; at < bytes; at += each)
		cr_assert_eq(put(image, r, at, each, each, 0, (unsigned int)(at / each + 1)),
			     0);
	cr_assert_eq(order(image, r, IMAGE_ZEROES, each, each, true), 0);
	kill_server();
	FORGETFUL();
	for (uint64_t at = 0; at < bytes; at += each)
		cr_assert(holds(image, r, at, each, each, 0,
				at == each ? 0 : (unsigned int)(at / each + 1)),
			  "byte %llu", (unsigned long long)at);
	/* and after a flush there is nothing left to lose */
	cr_assert_eq(order(image, r, IMAGE_FLUSH, 0, 0, false), 0);
	kill_server();
	for (uint64_t at = 0; at < bytes; at += each)
		cr_assert(disk_holds(at, each, at == each ? 0 : (unsigned int)(at / each + 1)));
	image_close(image);
	ring_destroy(r);
}

Test(image_nbd, server_forgets_a_little)
{
	check_forgetful(IMAGE_CACHE_NONE, 8 * 4096, 4096);
}

/* More than the log holds: it is flushed now and then. */
Test(image_nbd, server_forgets_much)
{
	check_forgetful(IMAGE_CACHE_WRITEBACK, 40 * MIB, MIB);
}

static void check_durable(enum image_cache cache, bool fua, bool durable)
{
	struct ring *r = make_ring();
	struct image *image;
	struct call *c = make_call(IMAGE_WRITE, 4096, MIB, MIB, 0);

	start_forgetful(fua);
	image = open_it(cache);
	fill(c->data, 4096, MIB, 7);
	c->req.durable = durable;
	cr_assert_eq(run_call(image, r, c), 0);
	cr_assert(disk_holds(4096, MIB, 7));
	free_call(c);
	c = make_call(IMAGE_ZEROES, 8192, 65536, 1, 0);
	c->req.durable = durable;
	cr_assert_eq(run_call(image, r, c), 0);
	cr_assert(disk_holds(8192, 65536, 0));
	free_call(c);
	image_close(image);
	ring_destroy(r);
}

Test(image_nbd, durable_by_fua)
{
	check_durable(IMAGE_CACHE_DIRECTSYNC, true, false);
}

Test(image_nbd, durable_by_flush)
{
	check_durable(IMAGE_CACHE_WRITETHROUGH, false, false);
}

Test(image_nbd, durable_when_asked)
{
	check_durable(IMAGE_CACHE_WRITEBACK, true, true);
}

/* Requests of all kinds under way while the server dies again and again. */
static void check_kills(enum image_cache cache, bool fua)
{
	enum { SLOTS = 64, SLOT = 512 << 10 };
	struct ring *r = make_ring();
	struct call *calls[SLOTS] = { 0 };
	unsigned int state = 815;
	static char model[SLOTS][SLOT];
	struct image *image;

	start_forgetful(fua);
	image = open_it(cache);
	for (unsigned int i = 0; i < 3000 + SLOTS; i++) {
		unsigned int s = i % SLOTS, k = (state = state * 1103515245u + 12345u) >> 8;
		uint64_t at = (k % 97) * 1536, len = (uint64_t)(k % 61 + 1) * 3584;
		struct call *c = calls[s];
		enum image_op op = k % 50 == 0 ? IMAGE_FLUSH
				   : k & 1     ? IMAGE_WRITE
				   : k & 2     ? IMAGE_ZEROES
					       : IMAGE_READ;

		if (i % 300 == 299) {
			kill_server();
			start_forgetful(fua);
		}
		if (c) {
			cr_assert_eq(finish(r, c), 0);
			if (c->req.op == IMAGE_READ)
				cr_assert_eq(memcmp(model[s] + c->req.off % SLOT, c->data,
						    c->req.len),
					     0, "request %u", i);
			free_call(c);
		}
		if (i >= 3000)
			continue;
		c = calls[s] = make_call(op, s * (uint64_t)SLOT + at, len, 4096, 0);
		c->req.unmap = k & 4;
		if (op == IMAGE_WRITE) {
			fill(c->data, at, len, i);
			memcpy(model[s] + at, c->data, len);
		} else if (op == IMAGE_ZEROES) {
			memset(model[s] + at, 0, len);
		}
		submit(image, r, c);
	}
	kill_server();
	start_forgetful(fua);
	for (unsigned int s = 0; s < SLOTS; s++) {
		struct call *c = make_call(IMAGE_READ, s * (uint64_t)SLOT, SLOT, SLOT, 0);

		cr_assert_eq(run_call(image, r, c), 0);
		cr_assert_eq(memcmp(model[s], c->data, SLOT), 0, "slot %u", s);
		free_call(c);
	}
	image_close(image);
	ring_destroy(r);
}

Test(image_nbd, killed_again_and_again)
{
	check_kills(IMAGE_CACHE_NONE, true);
}

Test(image_nbd, killed_when_writing_through)
{
	check_kills(IMAGE_CACHE_DIRECTSYNC, true);
}

Test(image_nbd, killed_when_flushing_each)
{
	check_kills(IMAGE_CACHE_WRITETHROUGH, false);
}

/* All of its threads stand still when this returns. */
static void stop_server(void)
{
	int status;

	kill(server, SIGSTOP);
	cr_assert_eq(waitpid(server, &status, WUNTRACED), server);
	cr_assert(WIFSTOPPED(status));
}

/* Run the ring for a while; => nothing has come */
static bool is_quiet_for(struct ring *r, const struct call *c, uint64_t ms)
{
	uint64_t end = clock_ns() + ms * NSEC_PER_MSEC;

	while (clock_ns() < end && !c->ended)
		cr_assert_geq(ring_run(r, 20 * NSEC_PER_MSEC), 0);
	return !c->ended;
}

static bool is_quiet(struct ring *r, const struct call *c)
{
	return is_quiet_for(r, c, 200);
}

/* For longer than between two attempts to connect, so that one has been made. */
static bool is_unused(struct ring *r, const struct call *c)
{
	return is_quiet_for(r, c, 2500);
}

Test(image_nbd, what_waits_can_be_cancelled)
{
	struct ring *r = make_ring();
	struct image *image;
	struct call *calls[80];

	NBDKIT("file", data_arg);
	image = open_it(IMAGE_CACHE_NONE);
	for (unsigned int away = 0; away < 2; away++) {
		if (away)
			kill_server();
		else
			stop_server();
		for (unsigned int i = 0; i < 80; i++) {
			calls[i] = make_call(IMAGE_READ, i * 8192ull, 8192, 8192, 0);
			submit(image, r, calls[i]);
		}
		cr_assert(is_quiet(r, calls[0]));
		image_cancel(image);
		for (unsigned int i = 0; i < 80; i++) {
			cr_assert_eq(finish(r, calls[i]), -ECANCELED);
			free_call(calls[i]);
		}
		/* one that would go on: nbdkit 1.32 may die of the lost connection */
		kill_server();
		NBDKIT("file", data_arg);
		cr_assert_eq(put(image, r, 0, 8192, 8192, 0, away + 1), 0);
	}
	cr_assert(holds(image, r, 0, 8192, 8192, 0, 2));
	image_close(image);
	ring_destroy(r);
}

/* A server that is slow is waited for; nothing is sent twice to it. */
Test(image_nbd, hung_server_is_waited_for)
{
	struct ring *r = make_ring();
	struct call *c = make_call(IMAGE_WRITE, 0, 4096, 4096, 0);
	struct image *image;

	NBDKIT("file", data_arg);
	image = open_it(IMAGE_CACHE_NONE);
	stop_server();
	fill(c->data, 0, 4096, 3);
	submit(image, r, c);
	cr_assert(is_quiet(r, c));
	kill(server, SIGCONT);
	cr_assert_eq(finish(r, c), 0);
	cr_assert(disk_holds(0, 4096, 3));
	free_call(c);
	image_close(image);
	ring_destroy(r);
}

Test(image_nbd, restart_while_the_server_is_away)
{
	struct ring *r = make_ring();
	struct image_info info;
	struct err e = { 0 };
	struct image *image;
	struct call *c = make_call(IMAGE_READ, 4096, 4096, 4096, 0);

	NBDKIT("file", data_arg);
	image = open_it(IMAGE_CACHE_NONE);
	cr_assert_eq(put(image, r, 4096, 4096, 4096, 0, 4), 0);
	info = image->info;
	image_close(image);
	kill_server();
	image = image_nbd_open(uri, IMAGE_CACHE_NONE, false, &info, NULL, &e);
	cr_assert_not_null(image, "%s", e.text);
	submit(image, r, c);
	cr_assert(is_quiet(r, c));
	/* another one that does not fit is as good as none */
	NBDKIT("-r", "file", data_arg);
	cr_assert(is_unused(r, c));
	kill_server();
	NBDKIT("--filter=blocksize-policy", "file", data_arg, "blocksize-minimum=4096");
	cr_assert(is_unused(r, c));
	kill_server();
	cr_assert_eq(truncate(disk, (off_t)MIB), 0);
	NBDKIT("file", data_arg);
	cr_assert(is_unused(r, c));
	kill_server();
	cr_assert_eq(truncate(disk, (off_t)BYTES), 0);
	NBDKIT("file", data_arg);
	cr_assert_eq(finish(r, c), 0);
	cr_assert(is_filled(c->data, 4096, 4096, 4));
	free_call(c);
	image_close(image);
	/* and one that is away is closed at once */
	kill_server();
	image = image_nbd_open(uri, IMAGE_CACHE_NONE, false, &info, NULL, &e);
	image_close(image);
	ring_destroy(r);
}

/* --- after a death --------------------------------------------------------------------- */

/* A server of parallel requests whose first write takes a second; each leaves a line. */
static void start_late_server(void)
{
	char pread[160], pwrite[320];

	snprintf(pread, sizeof(pread),
		 "pread=dd if=%s iflag=skip_bytes,count_bytes skip=$4 count=$3 2>/dev/null",
		 disk);
	snprintf(pwrite, sizeof(pwrite),
		 "pwrite=mkdir %s/first 2>/dev/null && sleep 1; "
		 "dd of=%s conv=notrunc oflag=seek_bytes seek=$4 2>/dev/null; echo >>%s/writes",
		 dir, disk, dir);
	NBDKIT("eval", "thread_model=echo parallel", "get_size=echo 64M", "flush=exit 0",
	       "can_flush=exit 0", pread, pwrite);
}

static bool is_there(const char *name, off_t bytes)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return stat(path, &st) == 0 && (S_ISDIR(st.st_mode) || st.st_size >= bytes);
}

static void remove_traces(void)
{
	static const char *const names[] = { "writes", "disk-d.server" };
	char path[64];

	for (unsigned int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/first", dir);
	rmdir(path);
}

static struct image_note *open_note(void)
{
	int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err e = { 0 };
	struct image_note *note = image_note_open(dir_fd, "d", &e);

	close(dir_fd);
	return note;
}

static int keep(void *arg, int fd)
{
	return ipc_send(*(int *)arg, "x", 1, &fd, 1);
}

/* Killed while it writes. => its connection */
static int leave_a_write(void)
{
	int pair[2], fds[IPC_FDS_MAX], nfds;
	char x;
	pid_t pid;

	cr_assert_eq(ipc_pair(pair), 0);
	pid = fork();
	if (pid == 0) {
		struct image_past past = { keep, &pair[1], open_note(), -1 };
		struct call *c = make_call(IMAGE_WRITE, 0, 4096, 4096, 0);
		struct ring *r = make_ring();
		struct err e = { 0 };
		struct image *image =
			image_nbd_open(uri, IMAGE_CACHE_NONE, false, NULL, &past, &e);

		fill(c->data, 0, 4096, 1);
		if (image)
			submit(image, r, c);
		while (image)
			pause();
		_exit(1);
	}
	while (!is_there("first", 0)) {
		cr_assert_eq(waitpid(pid, NULL, WNOHANG), 0);
		usleep(1000);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	cr_assert_eq(ipc_recv(pair[0], &x, 1, fds, &nfds), 1);
	cr_assert_eq(nfds, 1);
	close(pair[0]);
	close(pair[1]);
	return fds[0];
}

static const struct image_info known = { .bytes = BYTES, .block_size = 512 };

Test(image_nbd, write_of_the_dead_does_not_come_after)
{
	struct image_past past = { NULL, NULL, NULL, -1 };
	struct ring *r = make_ring();
	struct err e = { 0 };
	struct image *image;

	start_late_server();
	past.fd = leave_a_write();
	past.note = open_note();
	image = image_nbd_open(uri, IMAGE_CACHE_NONE, false, &known, &past, &e);
	cr_assert_not_null(image, "%s", e.text);
	cr_assert_eq(put(image, r, 0, 4096, 4096, 0, 1), 0);
	cr_assert_eq(put(image, r, 0, 4096, 4096, 0, 2), 0);
	while (!is_there("writes", 3))
		usleep(1000);
	cr_assert(disk_holds(0, 4096, 2));
	image_close(image);
	ring_destroy(r);
	remove_traces();
}

/* We are cancelled ourselves, and somebody else uses the image afterwards. */
Test(image_nbd, cancelled_write_does_not_come_after)
{
	struct call *c = make_call(IMAGE_WRITE, 0, 4096, 4096, 0);
	struct ring *r = make_ring();
	struct image *image;

	start_late_server();
	image = open_it(IMAGE_CACHE_NONE);
	fill(c->data, 0, 4096, 1);
	submit(image, r, c);
	while (!is_there("first", 0))
		usleep(1000);
	image_cancel(image);
	cr_assert_eq(finish(r, c), -ECANCELED);
	free_call(c);
	cr_assert_eq(put(image, r, 0, 4096, 4096, 0, 2), 0);
	while (!is_there("writes", 2))
		usleep(1000);
	cr_assert(disk_holds(0, 4096, 2));
	image_close(image);
	ring_destroy(r);
	remove_traces();
}

/* A connection whose other end is here. */
Test(image_nbd, end_of_an_earlier_connection_is_waited_for)
{
	struct image_past past = { NULL, NULL, NULL, -1 };
	struct ring *r = make_ring();
	struct call *c;
	struct err e = { 0 };
	struct image *image;
	int pair[2];
	char x[4];

	NBDKIT("file", data_arg);
	for (int cancel = 0; cancel < 2; cancel++) {
		cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		cr_assert_eq(write(pair[1], "late", 4), 4);
		past.fd = pair[0];
		image = image_nbd_open(uri, IMAGE_CACHE_NONE, false, &known, &past, &e);
		cr_assert_not_null(image, "%s", e.text);
		cr_assert_eq(read(pair[1], x, 4), 0, "it says that it has gone");
		c = make_call(IMAGE_READ, 0, 4096, 4096, 0);
		submit(image, r, c);
		cr_assert(is_quiet(r, c));
		cr_assert_eq(write(pair[1], "last", 4), 4);
		cr_assert(is_quiet(r, c));
		if (cancel)
			image_cancel(image);
		else
			close(pair[1]);
		cr_assert_eq(finish(r, c), cancel ? -ECANCELED : 0);
		image_close(image);
		free_call(c);
	}
	close(pair[1]);
	/* the note knows that there is nothing to wait for */
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	past.fd = pair[0];
	past.note = open_note();
	image = image_nbd_open(uri, IMAGE_CACHE_NONE, false, &known, &past, &e);
	cr_assert_eq(put(image, r, 0, 4096, 4096, 0, 1), 0);
	image_close(image);
	close(pair[1]);
	ring_destroy(r);
	remove_traces();
}

static bool ends_orderly(void)
{
	static char buf[2 * MIB];
	struct err e = { 0 };
	struct nbd_export x;
	struct nbd_link *l = nbd_link_open(uri + 4, 10000, -1, &x, &e);
	bool yes;

	cr_assert_not_null(l, "%s", e.text);
	yes = nbd_link_ends_orderly(l, buf, sizeof(buf), 12, 10000, -1);
	nbd_link_close(l);
	return yes;
}

/* Theirs is what image_nbd_late.c builds upon. */
Test(image_nbd, how_servers_end_a_connection)
{
	NBDKIT("file", data_arg);
	for (int i = 0; i < 20; i++)
		cr_assert(ends_orderly());
	kill_server();
	NBDKIT("--threads=1", "file", data_arg);
	cr_assert(ends_orderly());
	kill_server();
	if (system("command -v qemu-nbd >/dev/null") != 0) {
		cr_log_warn("no qemu-utils here");
		return;
	}
	start_program((const char *const[]){ "qemu-nbd", "-t", "-f", "raw", "--pid-file",
					     pid_file, "-k", sock_path, disk, NULL });
	for (int i = 0; i < 20; i++)
		cr_assert_not(ends_orderly());
}

Test(image_nbd, grows)
{
	struct ring *r = make_ring();
	struct err e = { 0 };
	struct image *image;

	NBDKIT("file", data_arg);
	image = open_it(IMAGE_CACHE_NONE);
	cr_assert_eq(put(image, r, 0, MIB, MIB, 0, 1), 0);
	cr_assert_eq(image_refresh(image, &e), 0);
	cr_assert_eq(truncate(disk, (off_t)(BYTES + MIB)), 0);
	cr_assert_eq(image_refresh(image, &e), 1, "%s", e.text);
	cr_assert_eq(put(image, r, BYTES, MIB, MIB, 0, 6), 0);
	cr_assert(holds(image, r, BYTES, MIB, MIB, 0, 6));
	cr_assert(holds(image, r, 0, MIB, MIB, 0, 1));
	cr_assert_eq(truncate(disk, (off_t)BYTES), 0);
	cr_assert_eq(image_refresh(image, &e), -ERANGE);
	image_close(image);
	ring_destroy(r);
}

/* Guest memory that is gone costs the request, and not the connection. */
Test(image_nbd, memory_that_is_gone)
{
	static const enum image_op ops[] = { IMAGE_READ, IMAGE_WRITE };
	struct ring *r = make_ring();
	int fd = memfd_create("guest", MFD_CLOEXEC);
	struct image *image;
	char *gone;

	cr_assert_eq(ftruncate(fd, 4096), 0);
	gone = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	NBDKIT("file", data_arg);
	image = open_it(IMAGE_CACHE_NONE);
	for (unsigned int i = 0; i < 80; i++) {
		struct call *c = make_call(ops[i & 1], 0, 16384, 16384, 0);

		c->iov[0].iov_base = gone;
		cr_assert_eq(run_call(image, r, c), -EFAULT);
		free_call(c);
	}
	cr_assert_eq(put(image, r, 0, 4096, 4096, 0, 1), 0);
	image_close(image);
	ring_destroy(r);
}

/* A qcow2 file: its tables are in qemu-nbd's memory until it is told to flush. */
Test(image_nbd, qcow2)
{
	struct ring *r = make_ring();
	struct image *image;
	char cmd[160];

	snprintf(cmd, sizeof(cmd), "qemu-img create -q -f qcow2 %s 64M", disk);
	if (system("command -v qemu-nbd >/dev/null") != 0) {
		cr_log_warn("no qemu-utils here");
		return;
	}
	cr_assert_eq(system(cmd), 0);
#define QEMU_NBD()                                                                             \
	start_program((const char *const[]){ "qemu-nbd", "-t", "-f", "qcow2", "--pid-file",    \
					     pid_file, "-k", sock_path, disk, NULL })
	QEMU_NBD();
	image = open_it(IMAGE_CACHE_WRITEBACK);
	cr_assert_eq(image->info.bytes, BYTES);
	check_zeroes(image, r, true);
	for (unsigned int i = 0; i < 64; i++)
		cr_assert_eq(put(image, r, i * MIB, 65536, 65536, 0, i + 1), 0);
	kill_server();
	QEMU_NBD();
	for (unsigned int i = 0; i < 64; i++)
		cr_assert(holds(image, r, i * MIB, 65536, 65536, 0, i + 1), "%u", i);
	cr_assert_eq(order(image, r, IMAGE_FLUSH, 0, 0, false), 0);
	image_close(image);
	ring_destroy(r);
}
