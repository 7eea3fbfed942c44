/* SPDX-License-Identifier: BSD-2-Clause */
/* Swap devices on NBD servers: real nbdkits, on a Unix socket each. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ring.h"
#include "swap/device.h"
#include "swap/device_nbd.h"
#include "swap/sums.h"

#define LIMIT	 .timeout = 60
#define MIB	 (1u << 20)
#define FILE_MIB 64

static char dir[] = "/tmp/drum-test-nbd-XXXXXX";
static char path[128], disk[64], sock_path[64], trigger[64];
static pid_t server;
static FILE *guardian; /* it has the server go on when this process has ended */

/* --- a server ------------------------------------------------------------------- */

/* A short pause between two looks at a condition. */
static void rest(void)
{
	usleep(1000);
}

static void make_dir(void)
{
	static const struct nbd_patience quick = {
		.connect = 10000, .command = 30000, .retry_min = 5, .retry_max = 50
	};
	int fd;

	cr_assert_not_null(mkdtemp(dir));
	snprintf(disk, sizeof(disk), "%s/disk", dir);
	snprintf(sock_path, sizeof(sock_path), "%s/sock", dir);
	snprintf(trigger, sizeof(trigger), "%s/trigger", dir);
	snprintf(path, sizeof(path), "nbd:nbd+unix:///?socket=%s", sock_path);
	fd = open(disk, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_eq(ftruncate(fd, (off_t)FILE_MIB * MIB), 0);
	close(fd);
	device_nbd_set_patience(&quick);
}

static void kill_server(int sig)
{
	if (!server)
		return;
	kill(server, sig);
	waitpid(server, NULL, 0);
	server = 0;
}

static void remove_dir(void)
{
	char pid_file[64];

	kill_server(SIGKILL);
	if (guardian)
		pclose(guardian);
	snprintf(pid_file, sizeof(pid_file), "%s/pid", dir);
	unlink(pid_file);
	unlink(disk);
	unlink(sock_path);
	unlink(trigger);
	cr_expect_eq(rmdir(dir), 0);
}

TestSuite(nbd, .init = make_dir, .fini = remove_dir);

/* nbdkit with these arguments (at most 14); it listens when this returns. */
static void start_server(const char *const *args)
{
	char pid_file[64];
	const char *argv[24] = { "nbdkit", "-f", "-P", pid_file, "-U", sock_path };
	int n = 6;

	snprintf(pid_file, sizeof(pid_file), "%s/pid", dir);
	while (*args && n < 23)
		argv[n++] = *args++;
	unlink(pid_file);
	unlink(sock_path);
	server = fork();
	if (server == 0) {
		/* nbdkit -f asks for it too, but only once it runs */
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	cr_assert_gt(server, 0);
	while (access(pid_file, F_OK) < 0) {
		cr_assert_eq(waitpid(server, NULL, WNOHANG), 0, "nbdkit does not start");
		rest();
	}
}

#define START(...) start_server((const char *const[]){ __VA_ARGS__, NULL })

static void set_trigger(bool on)
{
	if (on)
		close(open(trigger, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	else
		unlink(trigger);
}

/* --- who listens ------------------------------------------------------------------ */

static pthread_mutex_t heard_lock = PTHREAD_MUTEX_INITIALIZER;
static int heard[5];
static char heard_text[5][256];

static void on_event(void *arg, struct swap_device *dev, enum swap_event event, int err,
		     const char *text)
{
	(void)arg;
	(void)dev;
	(void)err;
	pthread_mutex_lock(&heard_lock);
	heard[event]++;
	snprintf(heard_text[event], sizeof(heard_text[event]), "%s", text);
	pthread_mutex_unlock(&heard_lock);
}

static const struct swap_listener listener = { .event = on_event };

static int times(enum swap_event event)
{
	int n;

	pthread_mutex_lock(&heard_lock);
	n = heard[event];
	pthread_mutex_unlock(&heard_lock);
	return n;
}

static void wait_for_event(enum swap_event event, int n)
{
	while (times(event) < n)
		rest();
}

/* --- I/O --------------------------------------------------------------------------- */

struct call {
	struct swap_io io;
	int ended, err;
	char *data;
	uint32_t blocks;
	uint64_t block;
};

static void on_done(struct swap_io *io, int err)
{
	struct call *c = (struct call *)io;

	c->err = err;
	c->ended++;
}

static struct ring *make_ring(void)
{
	struct ring *r = ring_create(64);

	cr_assert_not_null(r);
	return r;
}

static struct swap_device *make_device(void)
{
	struct err e = { 0 };
	struct swap_device *dev = device_nbd_create(path, &listener, &e);

	cr_assert_not_null(dev, "%s", e.text);
	return dev;
}

/* Memory for a call; of `per` blocks a vector, the last vectors first in memory, so
 * that what takes them for neighbours is caught. */
static struct call *make_call(bool write, uint64_t block, uint32_t blocks, uint32_t per)
{
	struct call *c = calloc(1, sizeof(*c));
	uint32_t n = (blocks + per - 1) / per;

	c->data = calloc(n * per, SWAP_BLOCK);
	c->block = block;
	c->blocks = blocks;
	c->io.done = on_done;
	c->io.write = write;
	c->io.niov = n;
	for (uint32_t i = 0, left = blocks; i < n; i++) {
		uint32_t now = left < per ? left : per;

		c->io.iov[i].iov_base = c->data + (size_t)(n - 1 - i) * per * SWAP_BLOCK;
		c->io.iov[i].iov_len = (size_t)now * SWAP_BLOCK;
		left -= now;
	}
	return c;
}

static void free_call(struct call *c)
{
	free(c->data);
	free(c);
}

static uint64_t word_of(uint64_t block, uint32_t seed, size_t k)
{
	return (block * 0x9e3779b97f4a7c15u) ^ ((uint64_t)seed << 32) ^ k;
}

/* Each block of the call: fill it, or compare it. => false: it differs */
static bool each_word(struct call *c, uint32_t seed, bool fill)
{
	uint64_t block = c->block;

	for (uint32_t i = 0; i < c->io.niov; i++)
		for (size_t at = 0; at < c->io.iov[i].iov_len; at += SWAP_BLOCK, block++) {
			uint64_t *w = (uint64_t *)(void *)((char *)c->io.iov[i].iov_base + at);

			for (size_t k = 0; k < SWAP_BLOCK / sizeof(*w); k++) {
				if (fill)
					w[k] = word_of(block, seed, k);
				else if (w[k] != word_of(block, seed, k))
					return false;
			}
		}
	return true;
}

static void submit(struct swap_device *dev, struct ring *r, struct call *c)
{
	c->ended = 0;
	c->err = 1;
	device_submit(dev, r, &c->io, c->block);
}

static int finish(struct ring *r, struct call *c)
{
	while (!c->ended)
		cr_assert_geq(ring_run(r, UINT64_MAX), 0);
	cr_assert_eq(c->ended, 1);
	return c->err;
}

static int write_blocks(struct swap_device *dev, struct ring *r, uint64_t block,
			uint32_t blocks, uint32_t seed)
{
	struct call *c = make_call(true, block, blocks, blocks);
	int err;

	each_word(c, seed, true);
	submit(dev, r, c);
	err = finish(r, c);
	free_call(c);
	return err;
}

/* => the read's error, or 1: other data */
static int read_blocks(struct swap_device *dev, struct ring *r, uint64_t block, uint32_t blocks,
		       uint32_t seed)
{
	struct call *c = make_call(false, block, blocks, blocks);
	int err;

	submit(dev, r, c);
	err = finish(r, c);
	if (err == 0 && !each_word(c, seed, false))
		err = 1;
	free_call(c);
	return err;
}

/* --- round trips -------------------------------------------------------------------- */

#define MANY 100

struct user {
	pthread_t thread;
	struct swap_device *dev;
	uint64_t first; /* of its own blocks */
	unsigned int seed;
	int bad;
};

/* Many at once, of all shapes: written, and read in other shapes. */
static void *use(void *arg)
{
	struct user *u = arg;
	struct ring *r = ring_create(64);

	for (uint32_t round = 1; round <= 3; round++) {
		struct call *call[MANY];
		uint64_t block = u->first;
		uint32_t total = 0;

		for (int i = 0; i < MANY; i++) {
			uint32_t n = 1 + (uint32_t)rand_r(&u->seed) % (i % 4 ? 16 : 256);
			uint32_t per = 1 + (uint32_t)rand_r(&u->seed) % n;

			call[i] = make_call(true, block, n, per);
			each_word(call[i], round, true);
			submit(u->dev, r, call[i]);
			block += n;
			total += n;
		}
		for (int i = 0; i < MANY; i++) {
			u->bad += finish(r, call[i]) != 0;
			free_call(call[i]);
		}
		block = u->first;
		for (int i = 0; i < MANY; i++) {
			uint32_t n =
				i < MANY - 1 ? total / MANY : total - total / MANY * (MANY - 1);
			uint32_t per = 1 + (uint32_t)rand_r(&u->seed) % n;

			call[i] = make_call(false, block, n, i % 2 ? n : per);
			submit(u->dev, r, call[i]);
			block += n;
		}
		for (int i = 0; i < MANY; i++) {
			u->bad += finish(r, call[i]) != 0 || !each_word(call[i], round, false);
			free_call(call[i]);
		}
	}
	ring_destroy(r);
	return NULL;
}

static void use_by_two(struct swap_device *dev)
{
	struct user u[2] = { { .dev = dev, .seed = 1 },
			     { .dev = dev, .first = dev->blocks / 2, .seed = 2 } };

	for (int i = 0; i < 2; i++)
		cr_assert_eq(pthread_create(&u[i].thread, NULL, use, &u[i]), 0);
	for (int i = 0; i < 2; i++) {
		pthread_join(u[i].thread, NULL);
		cr_expect_eq(u[i].bad, 0, "%d of thread %d", u[i].bad, i);
	}
}

static int entries_of(const char *name)
{
	DIR *d = opendir(name);
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

Test(nbd, round_trip, LIMIT)
{
	struct swap_device *dev;
	int fds = entries_of("/proc/self/fd"), threads = entries_of("/proc/self/task");

	START("file", disk);
	dev = make_device();
	cr_assert_eq(dev->blocks, FILE_MIB * MIB / SWAP_BLOCK);
	cr_assert_eq(dev->dev, UINT64_MAX);
	cr_assert_str_eq(dev->ops->kind, "nbd");
	cr_assert_not(dev->suspended);
	cr_assert_eq(entries_of("/proc/self/task"), threads + 1);
	use_by_two(dev);
	cr_assert_eq(dev->count.inflight, 0);
	device_close(dev);
	for (int i = 0; i < 5; i++)
		cr_assert_eq(heard[i], 0, "event %d: %s", i, heard_text[i]);
	cr_assert_eq(entries_of("/proc/self/fd"), fds);
	/* a joined thread may be listed for a moment longer */
	while (entries_of("/proc/self/task") != threads)
		rest();
}

/* Requests of no more than 64 KiB: an I/O is cut up. */
Test(nbd, round_trip_in_pieces, LIMIT)
{
	struct swap_device *dev;

	START("--filter=blocksize-policy", "file", disk, "blocksize-minimum=512",
	      "blocksize-preferred=4096", "blocksize-maximum=65536",
	      "blocksize-error-policy=error");
	dev = make_device();
	use_by_two(dev);
	device_close(dev);
}

Test(nbd, round_trip_encrypted, LIMIT)
{
	struct swap_device *dev;
	char uri[200], arg[80];
	struct err e = { 0 };
	FILE *keys = fopen(trigger, "w");

	fputs("drum:0123456789abcdef0123456789abcdef\n", keys);
	fclose(keys);
	snprintf(arg, sizeof(arg), "--tls-psk=%s", trigger);
	START("--tls=require", arg, "file", disk);
	cr_assert_null(device_nbd_create(path, NULL, &e));
	snprintf(uri, sizeof(uri), "nbd:nbds+unix://drum@/?socket=%s&tls-psk-file=%s",
		 sock_path, trigger);
	dev = device_nbd_create(uri, NULL, &e);
	cr_assert_not_null(dev, "%s", e.text);
	use_by_two(dev);
	device_close(dev);
}

Test(nbd, identity_is_the_uri, LIMIT)
{
	struct swap_device *a, *b;
	struct err e = { 0 };

	START("memory", "1M");
	a = make_device();
	b = make_device();
	cr_assert(device_is(a, b->dev, b->ino));
	device_close(b);
	snprintf(path, sizeof(path), "nbd:nbd+unix:///other?socket=%s", sock_path);
	b = make_device();
	cr_assert_not(device_is(a, b->dev, b->ino));
	device_close(b);
	device_close(a);
	/* with and without the kind in front */
	a = device_nbd_reopen("nbd://127.0.0.1:1/x", 1, NULL, &e);
	b = device_nbd_reopen("nbd:nbd://127.0.0.1:1/x", 1, NULL, &e);
	cr_assert(device_is(a, b->dev, b->ino));
	device_close(a);
	device_close(b);
}

/* --- refused ------------------------------------------------------------------------- */

static void expect_refused(int code, const char *word)
{
	struct err e = { 0 };
	struct swap_device *dev = device_nbd_create(path, &listener, &e);

	cr_expect_null(dev, "%s", path);
	cr_expect_eq(e.code, code, "%s: %d", e.text, e.code);
	cr_expect_not_null(strstr(e.text, word), "'%s' not in '%s'", word, e.text);
	cr_expect_not_null(strstr(e.text, path), "%s", e.text);
	device_close(dev);
}

Test(nbd, unfit_exports_are_refused, LIMIT)
{
	START("-r", "file", disk);
	expect_refused(-EROFS, "read-only");
	kill_server(SIGKILL);
	START("--filter=blocksize-policy", "file", disk, "blocksize-minimum=8192",
	      "blocksize-preferred=8192", "blocksize-maximum=1M");
	expect_refused(-EINVAL, "requests of 8192 to 1048576 bytes");
	kill_server(SIGKILL);
	START("memory", "4095");
	expect_refused(-ENOSPC, "has 4095 bytes, and 4096 are needed");
	kill_server(SIGKILL);
	START("memory", "4096");
	device_close(make_device());
}

Test(nbd, bad_paths_are_refused, LIMIT)
{
	static const char *const bad[][2] = {
		{ "/dev/sda", "write nbd:URI" },  { "nbd:", "scheme" },
		{ "nbd:http://host/", "scheme" }, { "nbd:nbd+unix:///", "socket" },
		{ "nbd:nbd://[x", "parse" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(path, sizeof(path), "%s", bad[i][0]);
		expect_refused(-EINVAL, bad[i][1]);
	}
}

static int listen_at(const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", name);
	cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	cr_assert_eq(listen(fd, 8), 0);
	return fd;
}

static void *speak_otherwise(void *arg)
{
	static const char words[] = "220 mail.example ESMTP, at your service, and more\r\n";
	int fd = accept(*(int *)arg, NULL, NULL);
	char c;

	(void)!write(fd, words, sizeof(words));
	while (read(fd, &c, 1) > 0)
		;
	close(fd);
	return NULL;
}

Test(nbd, what_is_no_server_is_refused, LIMIT)
{
	static const struct nbd_patience short_one = { .connect = 200 };
	pthread_t thread;
	int fd;

	expect_refused(-ENOENT, "does an NBD server listen there");
	fd = listen_at(sock_path);
	cr_assert_eq(pthread_create(&thread, NULL, speak_otherwise, &fd), 0);
	expect_refused(-ENOTCONN, "magic");
	pthread_join(thread, NULL);
	/* it says nothing */
	device_nbd_set_patience(&short_one);
	expect_refused(-ETIMEDOUT, "no answer within 200 ms");
	close(fd);
	expect_refused(-ECONNREFUSED, "refused");
}

/* --- the server goes and comes ------------------------------------------------------------ */

/* Everything under way, more than there are slots. */
#define READS  150
#define WRITES 60

struct crowd {
	struct call *read[READS], *write[WRITES];
};

static void make_crowd(struct crowd *c)
{
	for (int i = 0; i < READS; i++)
		c->read[i] = make_call(false, (uint64_t)i * 16, 16, i % 3 ? 16 : 5);
	for (int i = 0; i < WRITES; i++)
		c->write[i] = make_call(true, 4096 + (uint64_t)i * 16, 16, 7);
}

static void submit_crowd(struct swap_device *dev, struct ring *r, struct crowd *c)
{
	for (int i = 0; i < READS; i++) {
		submit(dev, r, c->read[i]);
		if (i < WRITES)
			submit(dev, r, c->write[i]);
	}
}

static void writes_end(struct ring *r, struct crowd *c, int err)
{
	for (int i = 0; i < WRITES; i++)
		cr_assert_eq(finish(r, c->write[i]), err, "write %d: %d", i, c->write[i]->err);
}

static void no_read_has_ended(struct ring *r, struct crowd *c)
{
	while (ring_run(r, 0) > 0)
		;
	for (int i = 0; i < READS; i++)
		cr_assert_eq(c->read[i]->ended, 0, "read %d: %d", i, c->read[i]->err);
}

static void reads_end_well(struct ring *r, struct crowd *c, uint32_t seed)
{
	for (int i = 0; i < READS; i++) {
		cr_assert_eq(finish(r, c->read[i]), 0, "read %d: %d", i, c->read[i]->err);
		cr_assert(each_word(c->read[i], seed, false), "read %d", i);
	}
}

static void free_crowd(struct crowd *c)
{
	for (int i = 0; i < READS; i++)
		free_call(c->read[i]);
	for (int i = 0; i < WRITES; i++)
		free_call(c->write[i]);
}

static void fill_disk(uint32_t seed)
{
	struct call *c = make_call(true, 0, READS * 16 > 256 ? 256 : READS * 16, 256);
	int fd = open(disk, O_WRONLY | O_CLOEXEC);

	for (uint64_t block = 0; block < READS * 16; block += 256) {
		c->block = block;
		each_word(c, seed, true);
		cr_assert_eq(pwrite(fd, c->data, MIB, (off_t)(block * SWAP_BLOCK)), MIB);
	}
	close(fd);
	free_call(c);
}

Test(nbd, server_killed, LIMIT)
{
	struct ring *r = make_ring();
	struct crowd crowd;
	struct swap_device *dev;

	fill_disk(7);
	START("--filter=delay", "file", disk, "rdelay=3600", "wdelay=3600");
	dev = make_device();
	make_crowd(&crowd);
	submit_crowd(dev, r, &crowd);
	cr_assert_eq(times(SWAP_EVENT_OFFLINE), 0);
	kill_server(SIGKILL);
	wait_for_event(SWAP_EVENT_OFFLINE, 1);
	cr_assert(__atomic_load_n(&dev->suspended, __ATOMIC_ACQUIRE));
	writes_end(r, &crowd, -ENOTCONN);
	/* and those that come now */
	cr_assert_eq(write_blocks(dev, r, 0, 4, 1), -ENOTCONN);
	cr_assert_eq(dev->ops->discard(dev, 0, 1), -ENOTCONN);
	no_read_has_ended(r, &crowd);

	START("file", disk);
	reads_end_well(r, &crowd, 7);
	cr_assert_eq(times(SWAP_EVENT_OFFLINE), 1);
	cr_assert_eq(times(SWAP_EVENT_ONLINE), 1);
	cr_assert_not(__atomic_load_n(&dev->suspended, __ATOMIC_ACQUIRE));
	use_by_two(dev);
	/* once more, with nothing under way */
	kill_server(SIGKILL);
	wait_for_event(SWAP_EVENT_OFFLINE, 2);
	START("file", disk);
	wait_for_event(SWAP_EVENT_ONLINE, 2);
	use_by_two(dev);
	device_close(dev);
	free_crowd(&crowd);
	ring_destroy(r);
}

/* Only what has stopped as a whole answers nothing any more. */
static void stop_server(void)
{
	char command[64];
	int status;

	/* what is stopped does not end with the test, were it to fail */
	snprintf(command, sizeof(command), "read x; kill -CONT %d 2>/dev/null", (int)server);
	if (!guardian)
		guardian = popen(command, "we");
	kill(server, SIGSTOP);
	cr_assert_eq(waitpid(server, &status, WUNTRACED), server);
	cr_assert(WIFSTOPPED(status));
}

/*
 * nbdkit 1.32 may abort (an assertion of raw_send_socket) when it goes on and
 * finds that its peer went with many requests unanswered.  => 1: it did
 */
static int serve_again(void)
{
	if (waitpid(server, NULL, WNOHANG) != server)
		return 0;
	START("file", disk);
	return 1;
}

/* What hangs is given up; when it goes on, so do the reads.  Also closed so. */
Test(nbd, server_hangs, LIMIT)
{
	static const struct nbd_patience quick = {
		.connect = 300, .command = 300, .retry_min = 5, .retry_max = 50
	};
	struct ring *r = make_ring();
	struct crowd crowd;
	struct swap_device *dev;
	int died = 0;

	fill_disk(8);
	device_nbd_set_patience(&quick);
	START("file", disk);
	dev = make_device();
	make_crowd(&crowd);
	stop_server();
	submit_crowd(dev, r, &crowd);
	writes_end(r, &crowd, -ENOTCONN);
	cr_assert_not_null(strstr(heard_text[SWAP_EVENT_OFFLINE], "no answer"), "%s",
			   heard_text[SWAP_EVENT_OFFLINE]);
	no_read_has_ended(r, &crowd);
	kill(server, SIGCONT);
	for (int i = 0; i < READS; i++)
		while (!crowd.read[i]->ended) {
			cr_assert_geq(ring_run(r, NSEC_PER_SEC / 100), 0);
			died += serve_again();
		}
	reads_end_well(r, &crowd, 8);
	cr_assert_leq(times(SWAP_EVENT_OFFLINE), 1 + died);
	cr_assert_leq(times(SWAP_EVENT_ONLINE), 1 + died);
	cr_assert_eq(times(SWAP_EVENT_OFFLINE), times(SWAP_EVENT_ONLINE));

	stop_server();
	cr_assert_eq(write_blocks(dev, r, 0, 256, 1), -ENOTCONN);
	device_close(dev);
	free_crowd(&crowd);
	ring_destroy(r);
}

/* It answers all but one, which must not wait for ever. */
Test(nbd, server_never_answers_one, LIMIT)
{
	static const struct nbd_patience quick = {
		.connect = 5000, .command = 200, .retry_min = 5, .retry_max = 50
	};
	struct ring *r = make_ring();
	struct swap_device *dev;
	struct call *c = make_call(false, 0, 16, 16);
	int err = 0, answered = 0;

	fill_disk(2);
	device_nbd_set_patience(&quick);
	START("--filter=delay", "file", disk, "rdelay=3600");
	dev = make_device();
	submit(dev, r, c);
	while ((err = write_blocks(dev, r, 512, 1, 1)) == 0)
		answered++;
	cr_assert_eq(err, -ENOTCONN);
	cr_assert_gt(answered, 0);
	cr_assert_eq(c->ended, 0);
	kill_server(SIGKILL);
	START("file", disk);
	cr_assert_eq(finish(r, c), 0);
	cr_assert(each_word(c, 2, false));
	device_close(dev);
	free_call(c);
	ring_destroy(r);
}

Test(nbd, server_comes_back_unfit, LIMIT)
{
	struct ring *r = make_ring();
	struct swap_device *dev;
	struct call *c = make_call(false, 0, 16, 16);
	const char *text = heard_text[SWAP_EVENT_OFFLINE];

	fill_disk(9);
	START("file", disk);
	dev = make_device();
	kill_server(SIGKILL);
	wait_for_event(SWAP_EVENT_OFFLINE, 1);
	submit(dev, r, c);
	START("memory", "16384");
	wait_for_event(SWAP_EVENT_OFFLINE, 2);
	cr_assert_not_null(strstr(text, "has 16384 bytes, and 67108864 are needed"), "%s",
			   text);
	cr_assert_eq(times(SWAP_EVENT_ONLINE), 0);
	cr_assert(__atomic_load_n(&dev->suspended, __ATOMIC_ACQUIRE));
	cr_assert_eq(write_blocks(dev, r, 0, 1, 1), -ENOTCONN);
	kill_server(SIGKILL);
	START("file", disk);
	cr_assert_eq(finish(r, c), 0);
	cr_assert(each_word(c, 9, false));
	cr_assert_eq(times(SWAP_EVENT_OFFLINE), 2);
	cr_assert_eq(times(SWAP_EVENT_ONLINE), 1);

	kill_server(SIGKILL);
	wait_for_event(SWAP_EVENT_OFFLINE, 3);
	START("-r", "file", disk);
	wait_for_event(SWAP_EVENT_OFFLINE, 4);
	cr_assert_not_null(strstr(text, "read-only"), "%s", text);
	device_close(dev);
	free_call(c);
	ring_destroy(r);
}

/* It forgot everything: an error, never its zeros. */
Test(nbd, server_comes_back_with_other_data, LIMIT)
{
	struct ring *r = make_ring();
	struct err e = { 0 };
	struct swap_device *dev;

	START("memory", "1M");
	dev = make_device();
	dev->sums = sums_open(memfd_create("sums", MFD_CLOEXEC), dev->blocks, &e);
	cr_assert_not_null(dev->sums, "%s", e.text);
	cr_assert_eq(write_blocks(dev, r, 3, 8, 5), 0);
	cr_assert_eq(read_blocks(dev, r, 3, 8, 5), 0);
	kill_server(SIGKILL);
	wait_for_event(SWAP_EVENT_OFFLINE, 1);
	START("memory", "1M");
	cr_assert_eq(read_blocks(dev, r, 3, 8, 5), -EILSEQ);
	cr_assert_eq(dev->count.checksum_errors, 1);
	/* what is written from now on is good */
	wait_for_event(SWAP_EVENT_ONLINE, 1);
	cr_assert_eq(write_blocks(dev, r, 3, 8, 6), 0);
	cr_assert_eq(read_blocks(dev, r, 3, 8, 6), 0);
	device_close(dev);
	ring_destroy(r);
}

Test(nbd, reopened_while_the_server_is_away, LIMIT)
{
	struct ring *r = make_ring();
	struct err e = { 0 };
	struct swap_device *dev;
	struct call *c = make_call(false, 0, 16, 3);

	fill_disk(4);
	dev = device_nbd_reopen(path, 1024, &listener, &e);
	cr_assert_not_null(dev, "%s", e.text);
	cr_assert(dev->suspended);
	cr_assert_eq(dev->blocks, 1024);
	submit(dev, r, c);
	cr_assert_eq(write_blocks(dev, r, 0, 1, 1), -ENOTCONN);
	wait_for_event(SWAP_EVENT_OFFLINE, 1);
	START("file", disk);
	cr_assert_eq(finish(r, c), 0);
	cr_assert(each_word(c, 4, false));
	cr_assert_eq(times(SWAP_EVENT_OFFLINE), 1);
	cr_assert_eq(times(SWAP_EVENT_ONLINE), 1);
	cr_assert_eq(dev->blocks, 1024, "it may be larger by now; grow says so");
	device_close(dev);

	/* and where it is there: no events */
	dev = device_nbd_reopen(path, 1024, &listener, &e);
	cr_assert_eq(read_blocks(dev, r, 0, 16, 4), 0);
	device_close(dev);
	cr_assert_eq(times(SWAP_EVENT_OFFLINE), 1);
	cr_assert_eq(times(SWAP_EVENT_ONLINE), 1);

	cr_assert_null(device_nbd_reopen("/dev/sda", 1, NULL, &e));
	cr_assert_eq(e.code, -EINVAL);
	free_call(c);
	ring_destroy(r);
}

static void crowd_ends(struct ring *r, struct crowd *c, int err)
{
	writes_end(r, c, err);
	for (int i = 0; i < READS; i++)
		cr_assert_eq(finish(r, c->read[i]), err, "read %d: %d", i, c->read[i]->err);
}

/* The other half of a mirror answers instead: nothing waits. */
Test(nbd, half_of_a_mirror_waits_for_nothing, LIMIT)
{
	struct ring *r = make_ring();
	struct crowd crowd;
	struct swap_device *dev;

	fill_disk(8);
	START("--filter=delay", "file", disk, "rdelay=3600", "wdelay=3600");
	dev = make_device();
	__atomic_store_n(&dev->is_half, true, __ATOMIC_RELEASE);
	make_crowd(&crowd);
	/* in flight and waiting for a slot */
	submit_crowd(dev, r, &crowd);
	kill_server(SIGKILL);
	crowd_ends(r, &crowd, -ENOTCONN);
	/* and those that come now */
	submit_crowd(dev, r, &crowd);
	crowd_ends(r, &crowd, -ENOTCONN);
	START("file", disk);
	wait_for_event(SWAP_EVENT_ONLINE, 1);
	cr_assert_not(__atomic_load_n(&dev->suspended, __ATOMIC_ACQUIRE));
	for (int i = 0; i < READS; i++)
		submit(dev, r, crowd.read[i]);
	reads_end_well(r, &crowd, 8);
	cr_assert_eq(times(SWAP_EVENT_OFFLINE), 1);
	cr_assert_eq(times(SWAP_EVENT_ONLINE), 1);
	device_close(dev);
	free_crowd(&crowd);
	ring_destroy(r);
}

/* It was offline from the first, and that was never told. */
Test(nbd, half_of_a_mirror_tells_that_it_is_there, LIMIT)
{
	struct ring *r = make_ring();
	struct err e = { 0 };
	struct swap_device *dev;

	fill_disk(9);
	START("file", disk);
	stop_server();
	dev = device_nbd_reopen(path, 1024, &listener, &e);
	cr_assert_not_null(dev, "%s", e.text);
	__atomic_store_n(&dev->is_half, true, __ATOMIC_RELEASE);
	cr_assert_eq(read_blocks(dev, r, 0, 16, 9), -ENOTCONN);
	cr_assert_eq(times(SWAP_EVENT_OFFLINE), 0);
	kill(server, SIGCONT);
	wait_for_event(SWAP_EVENT_ONLINE, 1);
	cr_assert_eq(read_blocks(dev, r, 0, 16, 9), 0);
	cr_assert_eq(times(SWAP_EVENT_OFFLINE), 0);
	cr_assert_eq(times(SWAP_EVENT_ONLINE), 1);
	device_close(dev);
	ring_destroy(r);
}

/* Any number of writes that do not end leave buffers for reads. */
Test(nbd, reads_do_not_wait_for_writes, LIMIT)
{
	static const struct nbd_patience endless = { .command = 3600000 };
	struct ring *r = make_ring();
	struct swap_device *dev;
	struct call *write[WRITES], *c = make_call(false, 0, 16, 3);

	device_nbd_set_patience(&endless);
	fill_disk(6);
	START("-t", "100", "--filter=delay", "file", disk, "wdelay=3600");
	dev = make_device();
	for (int i = 0; i < WRITES; i++) {
		write[i] = make_call(true, 4096 + (uint64_t)i, 1, 1);
		submit(dev, r, write[i]);
	}
	for (int i = 0; i < 10; i++) {
		submit(dev, r, c);
		cr_assert_eq(finish(r, c), 0);
		cr_assert(each_word(c, 6, false));
		cr_assert_eq(read_blocks(dev, r, 16, 16, 6), 0);
	}
	kill_server(SIGKILL);
	for (int i = 0; i < WRITES; i++) {
		cr_assert_eq(finish(r, write[i]), -ENOTCONN);
		free_call(write[i]);
	}
	device_close(dev);
	free_call(c);
	ring_destroy(r);
}

/* --- errors of requests --------------------------------------------------------------- */

Test(nbd, errors_of_the_server_are_passed_on, LIMIT)
{
	char file[80];
	struct ring *r = make_ring();
	struct swap_device *dev;

	snprintf(file, sizeof(file), "error-file=%s", trigger);
	START("--filter=error", "file", disk, "error-rate=100%", "error-pread=EIO",
	      "error-pwrite=ENOSPC", "error-trim=EPERM", file);
	dev = make_device();
	cr_assert_eq(write_blocks(dev, r, 3, 8, 5), 0);
	set_trigger(true);
	cr_assert_eq(read_blocks(dev, r, 3, 8, 5), -EIO);
	cr_assert_eq(write_blocks(dev, r, 3, 8, 6), -ENOSPC);
	cr_assert_eq(dev->ops->discard(dev, 0, 1), -EPERM);
	set_trigger(false);
	cr_assert_eq(read_blocks(dev, r, 3, 8, 5), 0);
	cr_assert_eq(times(SWAP_EVENT_OFFLINE), 0);
	cr_assert_eq(dev->count.read_errors, 1);
	cr_assert_eq(dev->count.write_errors, 1);
	device_close(dev);
	ring_destroy(r);
}

/* A server that is about to end says so: that is no error of the disk. */
Test(nbd, server_shuts_down, LIMIT)
{
	char file[80];
	struct ring *r = make_ring();
	struct swap_device *dev;
	struct call *c = make_call(false, 0, 16, 16);

	fill_disk(3);
	snprintf(file, sizeof(file), "error-file=%s", trigger);
	START("--filter=error", "file", disk, "error-rate=100%", "error=ESHUTDOWN", file);
	dev = make_device();
	set_trigger(true);
	submit(dev, r, c);
	wait_for_event(SWAP_EVENT_OFFLINE, 2);
	while (ring_run(r, 0) > 0)
		;
	cr_assert_eq(c->ended, 0);
	set_trigger(false);
	cr_assert_eq(finish(r, c), 0);
	cr_assert(each_word(c, 3, false));
	cr_assert_eq(dev->count.read_errors, 0);
	device_close(dev);
	free_call(c);
	ring_destroy(r);
}

/* The guest gives the page back just then. */
Test(nbd, memory_that_vanishes, LIMIT)
{
	struct ring *r = make_ring();
	struct swap_device *dev;
	int fd = memfd_create("guest", MFD_CLOEXEC);
	struct call *good, *bad[100];
	char *ram;

	cr_assert_eq(ftruncate(fd, 4 * SWAP_BLOCK), 0);
	ram = mmap(NULL, (size_t)16 * SWAP_BLOCK, PROT_READ, MAP_SHARED, fd, 0);
	cr_assert_neq(ram, MAP_FAILED);
	START("memory", "8M");
	dev = make_device();
	good = make_call(true, 0, 8, 1);
	each_word(good, 1, true);
	for (int i = 0; i < 100; i++) {
		bad[i] = make_call(true, 16 + (uint64_t)i * 16, 16, 16);
		bad[i]->io.iov[0].iov_base = ram;
		submit(dev, r, bad[i]);
		if (i == 50)
			submit(dev, r, good);
	}
	for (int i = 0; i < 100; i++) {
		cr_assert_eq(finish(r, bad[i]), -EFAULT);
		free_call(bad[i]);
	}
	cr_assert_eq(finish(r, good), 0);
	cr_assert_eq(read_blocks(dev, r, 0, 8, 1), 0);
	free_call(good);
	device_close(dev);
	munmap(ram, (size_t)16 * SWAP_BLOCK);
	close(fd);
	ring_destroy(r);
}

/* --- discard, size ------------------------------------------------------------------------ */

static bool is_hole(uint64_t block)
{
	int fd = open(disk, O_RDONLY | O_CLOEXEC);
	off_t at = (off_t)(block * SWAP_BLOCK);
	bool hole = lseek(fd, at, SEEK_HOLE) == at;

	close(fd);
	return hole;
}

Test(nbd, discard, LIMIT)
{
	struct ring *r = make_ring();
	struct swap_device *dev;

	START("file", disk);
	dev = make_device();
	for (uint64_t block = 0; block < 64; block += 16)
		cr_assert_eq(write_blocks(dev, r, block, 16, 1), 0);
	cr_assert_not(is_hole(16));
	cr_assert_eq(dev->ops->discard(dev, 16, 16), 0);
	cr_assert(is_hole(16) && is_hole(31));
	cr_assert_not(is_hole(15));
	cr_assert_not(is_hole(32));
	cr_assert_eq(read_blocks(dev, r, 0, 16, 1), 0);
	cr_assert_eq(read_blocks(dev, r, 32, 16, 1), 0);
	cr_assert_eq(dev->ops->discard(dev, 0, dev->blocks), 0);
	cr_assert(is_hole(0) && is_hole(63));
	device_close(dev);
	kill_server(SIGKILL);

	START("eval", "get_size=echo 1M", "pread=dd if=/dev/zero bs=1 count=$3",
	      "pwrite=cat >/dev/null", "can_write=exit 0");
	dev = make_device();
	cr_assert_eq(dev->ops->discard(dev, 0, 1), -EOPNOTSUPP);
	device_close(dev);
	ring_destroy(r);
}

Test(nbd, growth, LIMIT)
{
	struct ring *r = make_ring();
	struct err e = { 0 };
	struct swap_device *dev;
	uint64_t old;
	int64_t bytes;

	START("file", disk);
	dev = make_device();
	old = dev->blocks;
	cr_assert_eq(device_nbd_size(dev, &e), (int64_t)FILE_MIB * MIB);
	cr_assert_eq(truncate(disk, (off_t)FILE_MIB * MIB + 20 * SWAP_BLOCK), 0);
	bytes = device_nbd_size(dev, &e);
	cr_assert_eq(bytes, (int64_t)FILE_MIB * MIB + 20 * SWAP_BLOCK);
	cr_assert_eq(dev->ops->grow(dev, (uint64_t)bytes), (int64_t)old + 20);
	__atomic_store_n(&dev->blocks, old + 20, __ATOMIC_RELAXED);
	cr_assert_eq(write_blocks(dev, r, old - 4, 24, 3), 0);
	cr_assert_eq(read_blocks(dev, r, old - 4, 24, 3), 0);
	use_by_two(dev);
	cr_assert_eq(times(SWAP_EVENT_OFFLINE), 0);
	kill_server(SIGKILL);
	cr_assert_lt(device_nbd_size(dev, &e), 0);
	cr_assert_not_null(strstr(e.text, path), "%s", e.text);
	device_close(dev);
	ring_destroy(r);
}

Test(nbd, beyond_the_end, LIMIT)
{
	struct ring *r = make_ring();
	struct swap_device *dev;

	START("memory", "1M");
	dev = make_device();
	cr_assert_eq(write_blocks(dev, r, 250, 7, 3), -EINVAL);
	cr_assert_eq(read_blocks(dev, r, 256, 1, 3), -EINVAL);
	cr_assert_eq(dev->ops->discard(dev, 255, 2), -EINVAL);
	cr_assert_eq(write_blocks(dev, r, 250, 6, 3), 0);
	cr_assert_eq(times(SWAP_EVENT_OFFLINE), 0);
	device_close(dev);
	ring_destroy(r);
}

struct busy {
	struct call *call;
	struct ring *ring;
	int rounds;
	bool stop;
};

static struct busy busy[32];

static void again(struct swap_io *io, int err)
{
	for (size_t i = 0; i < sizeof(busy) / sizeof(busy[0]); i++) {
		struct busy *b = &busy[i];

		if (b->call && &b->call->io == io) {
			b->rounds++;
			b->call->err |= err;
			b->call->ended = b->stop;
			if (!b->stop)
				device_submit(io->dev, b->ring, io, b->call->block);
		}
	}
}

/* There are always others under way, and yet the new blocks' turn comes. */
Test(nbd, growth_while_busy, LIMIT)
{
	enum { N = sizeof(busy) / sizeof(busy[0]) };
	struct ring *r = make_ring();
	struct swap_device *dev;
	struct call *c;

	START("--filter=delay", "file", disk, "rdelay=3ms");
	dev = make_device();
	for (int i = 0; i < N; i++) {
		busy[i] = (struct busy){ make_call(false, (uint64_t)i * 8, 8, 8), r, 0, false };
		busy[i].call->io.done = again;
		device_submit(dev, r, &busy[i].call->io, busy[i].call->block);
	}
	cr_assert_eq(truncate(disk, (off_t)FILE_MIB * MIB + 16 * SWAP_BLOCK), 0);
	__atomic_store_n(&dev->blocks, dev->blocks + 16, __ATOMIC_RELAXED);
	c = make_call(true, dev->blocks - 16, 16, 1);
	each_word(c, 3, true);
	while (busy[0].rounds < 5)
		cr_assert_geq(ring_run(r, UINT64_MAX), 0);
	for (int i = 0; i < N; i++)
		busy[i].rounds = 0;
	submit(dev, r, c);
	cr_assert_eq(finish(r, c), 0);
	/* each one's once or twice before, and some after */
	for (int i = 0; i < N; i++)
		cr_expect_lt(busy[i].rounds, 20);
	cr_assert_eq(read_blocks(dev, r, dev->blocks - 16, 16, 3), 0);
	free_call(c);
	for (int i = 0; i < N; i++)
		busy[i].stop = true;
	for (int i = 0; i < N; i++) {
		cr_assert_eq(finish(r, busy[i].call), 0);
		free_call(busy[i].call);
	}
	cr_assert_eq(times(SWAP_EVENT_OFFLINE), 0);
	device_close(dev);
	ring_destroy(r);
}

/* What is not there cannot be reached by believing in it. */
Test(nbd, growth_that_is_none, LIMIT)
{
	struct ring *r = make_ring();
	struct swap_device *dev;
	const char *text = heard_text[SWAP_EVENT_OFFLINE];

	START("memory", "1M");
	dev = make_device();
	dev->blocks += 10;
	cr_assert_eq(write_blocks(dev, r, 250, 16, 3), -ENOTCONN);
	cr_assert_eq(times(SWAP_EVENT_OFFLINE), 1);
	cr_assert_not_null(strstr(text, "has 1048576 bytes"), "%s", text);
	device_close(dev);
	ring_destroy(r);
}
