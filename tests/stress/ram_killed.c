/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Processes that are killed with -9 while two of their threads write to a ram:
 * device and free blocks of it, again and again on the same file, short of
 * memory.  What a guest's swblocks would say is in memory that outlives them;
 * the next process must find every block that is valid there, whole.
 */
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "swap/device_ram.h"

#define ROUNDS	60u
#define THREADS 2u
#define BLOCKS	2000u /* of each thread */
#define SIZE	(UINT64_C(4) << 20)

/* As a swblock has it: 0 nothing, else the seed of what is there; valid or not. */
#define VALID (UINT64_C(1) << 32)

static struct shared {
	uint64_t word[THREADS][BLOCKS]; /* [a] */
	uint64_t steps;			/* [a] */
	uint64_t found, packings;
} * shared;

static int fd;
static struct swap_device *dev;

struct user {
	struct ring *ring;
	uint32_t number;
	uint64_t random;
	struct swap_io io;
	int err;
	bool done;
	unsigned char page[SWAP_BLOCK];
};

#define CHECK(x)                                                                               \
	do {                                                                                   \
		if (!(x)) {                                                                    \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #x);        \
			exit(1);                                                               \
		}                                                                              \
	} while (0)

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static void fill(unsigned char *page, uint32_t seed)
{
	uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
	uint32_t n = (uint32_t)(next_random(&x) >> 20) % 2800;

	memset(page, (int)(seed & 0xff), SWAP_BLOCK);
	for (uint32_t i = 0; i < n; i++)
		page[i] = (unsigned char)(next_random(&x) >> 32);
}

static void on_done(struct swap_io *io, int err)
{
	struct user *u = (struct user *)((char *)io - offsetof(struct user, io));

	u->err = err;
	u->done = true;
}

static int run(struct user *u, bool write, uint32_t b)
{
	u->io.done = on_done;
	u->io.write = write;
	u->io.niov = 1;
	u->io.iov[0] = (struct iovec){ u->page, SWAP_BLOCK };
	u->done = false;
	device_submit(dev, u->ring, &u->io, (uint64_t)u->number * BLOCKS + b);
	while (!u->done)
		CHECK(ring_run(u->ring, UINT64_MAX) >= 0);
	return u->err;
}

static void open_device(void)
{
	struct err e = { 0 };

	dev = device_ram_create("ram:4M", dup(fd), SIZE, &e);
	if (!dev)
		fprintf(stderr, "%s\n", e.text);
	CHECK(dev && dev->blocks >= THREADS * BLOCKS);
}

static void check(struct user *u, uint32_t b, uint32_t seed)
{
	unsigned char want[SWAP_BLOCK];

	CHECK(run(u, false, b) == 0);
	fill(want, seed);
	CHECK(memcmp(want, u->page, SWAP_BLOCK) == 0);
}

static void set_word(struct user *u, uint32_t b, uint64_t w)
{
	__atomic_store_n(&shared->word[u->number][b], w, __ATOMIC_RELEASE);
}

/* Until it is killed. */
static void *work(void *arg)
{
	struct user *u = arg;

	u->ring = ring_create(8);
	CHECK(u->ring);
	for (;;) {
		uint32_t b = (uint32_t)(next_random(&u->random) >> 16) % BLOCKS, seed;
		uint64_t w = shared->word[u->number][b], block;

		block = (uint64_t)u->number * BLOCKS + b;
		__atomic_fetch_add(&shared->steps, 1, __ATOMIC_RELAXED);
		if (w & VALID) {
			check(u, b, (uint32_t)w);
			set_word(u, b, 0);
			dev->ops->freed(dev, block, 1);
			continue;
		}
		seed = (uint32_t)next_random(&u->random);
		fill(u->page, seed);
		set_word(u, b, seed);
		CHECK(run(u, true, b) == 0);
		if (u->io.refused[0]) {
			set_word(u, b, 0);
			dev->ops->freed(dev, block, 1);
		} else {
			set_word(u, b, VALID | seed);
		}
	}
	return NULL;
}

/* What a new pager does: claim and drop; then look at everything. */
static void recover(struct user *u)
{
	struct device_ram_stats st;
	uint64_t found = 0;

	u->ring = ring_create(8);
	CHECK(u->ring);
	for (u->number = 0; u->number < THREADS; u->number++)
		for (uint32_t b = 0; b < BLOCKS; b++) {
			if (!(shared->word[u->number][b] & VALID)) {
				shared->word[u->number][b] = 0;
				continue;
			}
			dev->ops->claimed(dev, (uint64_t)u->number * BLOCKS + b);
			found++;
		}
	device_ram_claims_done(dev);
	device_ram_get_stats(dev, &st);
	CHECK(st.pages == found && st.damaged == 0);
	for (u->number = 0; u->number < THREADS; u->number++)
		for (uint32_t b = 0; b < BLOCKS; b++)
			if (shared->word[u->number][b] & VALID)
				check(u, b, (uint32_t)shared->word[u->number][b]);
	shared->found += found;
	ring_destroy(u->ring);
}

static _Noreturn void child(uint32_t round)
{
	static struct user user[THREADS];
	pthread_t thread;

	open_device();
	recover(&user[0]);
	shared->steps = 1;
	for (uint32_t i = 0; i < THREADS; i++) {
		user[i].number = i;
		user[i].random = 1 + round * 100 + i;
		CHECK(pthread_create(&thread, NULL, work, &user[i]) == 0);
	}
	for (;;) {
		struct device_ram_stats st;

		device_ram_tend(dev);
		device_ram_get_stats(dev, &st);
		__atomic_store_n(&shared->packings, st.packings, __ATOMIC_RELAXED);
		usleep(1000);
	}
}

int main(void)
{
	uint64_t random = 99, packings = 0;

	fd = memfd_create("ram", MFD_CLOEXEC);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	CHECK(fd >= 0 && shared != MAP_FAILED);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		uint64_t steps = (round == 0 ? 6000 : 1) + next_random(&random) % 3000;
		pid_t pid;
		int status;

		shared->steps = 0;
		fflush(stdout);
		pid = fork();
		CHECK(pid >= 0);
		if (pid == 0)
			child(round);
		/* at a number of steps, and wherever it is then */
		while (__atomic_load_n(&shared->steps, __ATOMIC_RELAXED) < steps) {
			if (waitpid(pid, &status, WNOHANG) == pid) {
				fprintf(stderr, "round %u: found a fault\n", round);
				return 1;
			}
			usleep(100);
		}
		kill(pid, SIGKILL);
		CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
		      WTERMSIG(status) == SIGKILL);
		packings += shared->packings;
	}
	printf("%u deaths, %llu blocks found again, %llu slabs packed\n", ROUNDS,
	       (unsigned long long)shared->found, (unsigned long long)packings);
	CHECK(shared->found > 10000 && packings > 10);
	return 0;
}
