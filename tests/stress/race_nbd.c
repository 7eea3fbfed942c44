/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Races of a device on an NBD server: two rings read and write, a third thread
 * discards, and the server is killed and started again all the while.  Every
 * read has the last data whose write ended well; ThreadSanitizer looks on.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/ring.h"
#include "swap/device.h"
#include "swap/device_nbd.h"

#define USERS	2
#define DEPTH	24  /* calls of a user under way */
#define CALLS	64  /* of a user, with blocks of their own each */
#define BLOCKS	32  /* of a call */
#define LIVES	12  /* of the server */
#define A_LIFE	400 /* I/Os that end well in each */
#define FREE_AT (USERS * CALLS * BLOCKS)
#define FREE	256 /* blocks that nobody uses but the one who discards */

static char dir[] = "/tmp/drum-race-nbd-XXXXXX";
static char disk[64], sock_path[64], pid_path[64];
static struct swap_device *dev;
static int stop;		/* [a] */
static uint64_t ended, refused; /* [a] */

static void fatal(const char *what)
{
	fprintf(stderr, "race_nbd: %s\n", what);
	exit(1);
}

struct call {
	struct swap_io io;
	struct user *user;
	uint64_t block;
	uint32_t written; /* what the blocks hold, 0: unknown */
	uint32_t writing;
	uint32_t *data;
};

struct user {
	pthread_t thread;
	struct ring *ring;
	unsigned int seed;
	int under_way;
	uint32_t last; /* that was written */
	struct call call[CALLS];
};

#define WORDS ((size_t)BLOCKS * SWAP_BLOCK / sizeof(uint32_t))

static uint32_t word(const struct call *c, uint32_t value, size_t k)
{
	return value * 2654435761u ^ (uint32_t)(c->block * 40503u) ^ (uint32_t)k;
}

static void on_done(struct swap_io *io, int err)
{
	struct call *c = (struct call *)io;

	c->user->under_way--;
	if (err == -ENOTCONN && io->write) {
		/* it may be there or not */
		__atomic_fetch_add(&refused, 1, __ATOMIC_RELAXED);
		c->written = c->writing = 0;
		return;
	}
	if (err)
		fatal(strerror(-err));
	__atomic_fetch_add(&ended, 1, __ATOMIC_RELAXED);
	if (io->write) {
		c->written = c->writing;
		c->writing = 0;
		return;
	}
	for (size_t k = 0; k < WORDS; k++)
		if (c->data[k] != word(c, c->written, k))
			fatal("other data was read than was written");
	c->writing = 0;
}

static void start(struct user *u, struct call *c)
{
	bool write = !c->written || rand_r(&u->seed) % 2;
	uint32_t n = rand_r(&u->seed) % 2 ? 1 : BLOCKS;

	c->io.done = on_done;
	c->io.write = write;
	c->io.niov = n;
	for (uint32_t i = 0; i < n; i++) {
		c->io.iov[i].iov_base = (char *)c->data + (size_t)i * BLOCKS / n * SWAP_BLOCK;
		c->io.iov[i].iov_len = (size_t)BLOCKS / n * SWAP_BLOCK;
	}
	c->writing = write ? ++u->last : UINT32_MAX;
	for (size_t k = 0; write && k < WORDS; k++)
		c->data[k] = word(c, c->writing, k);
	u->under_way++;
	device_submit(dev, u->ring, &c->io, c->block);
}

static void *use(void *arg)
{
	struct user *u = arg;

	u->ring = ring_create(64);
	if (!u->ring)
		fatal("no io_uring");
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		struct call *c = &u->call[rand_r(&u->seed) % CALLS];

		if (u->under_way < DEPTH && !c->writing)
			start(u, c);
		if (ring_run(u->ring, u->under_way < DEPTH ? 0 : UINT64_MAX) < 0)
			fatal("ring_run");
	}
	while (u->under_way > 0)
		if (ring_run(u->ring, UINT64_MAX) < 0)
			fatal("ring_run");
	ring_destroy(u->ring);
	return NULL;
}

static void *discard(void *arg)
{
	uint64_t n = 0;

	(void)arg;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		int err = dev->ops->discard(dev, FREE_AT + n++ % FREE, 1);

		if (err && err != -ENOTCONN)
			fatal("discard");
		if (err)
			usleep(1000);
	}
	return NULL;
}

static pid_t start_server(void)
{
	pid_t pid;

	unlink(sock_path);
	unlink(pid_path);
	pid = fork();
	if (pid == 0) {
		execlp("nbdkit", "nbdkit", "-f", "-P", pid_path, "-U", sock_path, "file", disk,
		       (char *)NULL);
		_exit(77);
	}
	while (access(pid_path, F_OK) < 0) {
		int status;

		if (waitpid(pid, &status, WNOHANG) == pid) {
			if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
				puts("there is no nbdkit");
				exit(77);
			}
			fatal("nbdkit does not start");
		}
		usleep(1000);
	}
	return pid;
}

int main(void)
{
	static struct user user[USERS];
	static const struct nbd_patience quick = { .retry_min = 1, .retry_max = 10 };
	struct err e = { 0 };
	char path[100];
	pthread_t discarder;
	pid_t server;
	int fd;

	if (!mkdtemp(dir))
		fatal("mkdtemp");
	snprintf(disk, sizeof(disk), "%s/disk", dir);
	snprintf(sock_path, sizeof(sock_path), "%s/sock", dir);
	snprintf(pid_path, sizeof(pid_path), "%s/pid", dir);
	snprintf(path, sizeof(path), "nbd:nbd+unix:///?socket=%s", sock_path);
	fd = open(disk, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (ftruncate(fd, (off_t)(FREE_AT + FREE) * SWAP_BLOCK) < 0)
		fatal("ftruncate");
	close(fd);

	server = start_server();
	device_nbd_set_patience(&quick);
	dev = device_nbd_create(path, NULL, &e);
	if (!dev)
		fatal(e.text);
	for (int i = 0; i < USERS; i++) {
		user[i].seed = (unsigned int)i + 1;
		for (int k = 0; k < CALLS; k++) {
			user[i].call[k].user = &user[i];
			user[i].call[k].block = ((uint64_t)i * CALLS + (uint64_t)k) * BLOCKS;
			user[i].call[k].data = malloc(WORDS * sizeof(uint32_t));
		}
		if (pthread_create(&user[i].thread, NULL, use, &user[i]))
			fatal("pthread_create");
	}
	if (pthread_create(&discarder, NULL, discard, NULL))
		fatal("pthread_create");
	for (int life = 1; life <= LIVES; life++) {
		uint64_t goal = __atomic_load_n(&ended, __ATOMIC_RELAXED) + A_LIFE;

		while (__atomic_load_n(&ended, __ATOMIC_RELAXED) < goal)
			usleep(1000);
		if (life == LIVES)
			break;
		kill(server, SIGKILL);
		waitpid(server, NULL, 0);
		server = start_server();
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < USERS; i++) {
		pthread_join(user[i].thread, NULL);
		for (int k = 0; k < CALLS; k++)
			free(user[i].call[k].data);
	}
	pthread_join(discarder, NULL);
	device_close(dev);
	printf("%llu I/Os, %llu writes refused in %d deaths of the server\n",
	       (unsigned long long)ended, (unsigned long long)refused, LIVES - 1);
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	unlink(disk);
	unlink(sock_path);
	unlink(pid_path);
	rmdir(dir);
	return 0;
}
