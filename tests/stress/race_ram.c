/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ram: device under several workers at once, each with its own blocks and
 * ring: write, read and compare, free, move what is cold, with so little memory
 * that slabs are emptied into others all the time, while a thread gives memory
 * back and reads the statistics.  Run under ThreadSanitizer.
 */
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "swap/device_ram.h"

#define WORKERS 3u
#define BLOCKS	1300u /* of each */
#define STEPS	12000u
#define CLUSTER 8u
#define SIZE	(UINT64_C(4) << 20)

static struct swap_device *dev;
static unsigned int running; /* [a] */

struct worker {
	pthread_t thread;
	struct ring *ring;
	uint64_t first; /* block */
	uint64_t random;
	uint32_t seed[BLOCKS]; /* 0: holds nothing */
	uint64_t wrote, refused, moved;
	struct swap_io io;
	int err;
	bool done;
	unsigned char page[CLUSTER][SWAP_BLOCK];
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

/* A seed's page: how far it compresses is of the seed too. */
static void fill(unsigned char *page, uint32_t seed)
{
	uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
	uint32_t n = seed % 16 == 0 ? SWAP_BLOCK : (uint32_t)(next_random(&x) >> 20) % 2800;

	memset(page, (int)(seed & 0xff), SWAP_BLOCK);
	for (uint32_t i = 0; i < n; i++)
		page[i] = (unsigned char)(next_random(&x) >> 32);
}

static void on_done(struct swap_io *io, int err)
{
	struct worker *w = (struct worker *)((char *)io - offsetof(struct worker, io));

	w->err = err;
	w->done = true;
}

static int run(struct worker *w, bool write, uint32_t b, uint32_t n)
{
	w->io.done = on_done;
	w->io.write = write;
	w->io.niov = 1;
	w->io.iov[0] = (struct iovec){ w->page, n * SWAP_BLOCK };
	w->done = false;
	device_submit(dev, w->ring, &w->io, w->first + b);
	while (!w->done)
		CHECK(ring_run(w->ring, UINT64_MAX) >= 0);
	return w->err;
}

static void drop(struct worker *w, uint32_t b)
{
	w->seed[b] = 0;
	dev->ops->freed(dev, w->first + b, 1);
}

static void write_run(struct worker *w, uint32_t b, uint32_t n)
{
	uint32_t seed[CLUSTER];

	for (uint32_t k = 0; k < n; k++) {
		seed[k] = (uint32_t)next_random(&w->random) | 1;
		seed[k] -= next_random(&w->random) % 8 == 0;
		fill(w->page[k], seed[k]);
	}
	CHECK(run(w, true, b, n) == 0);
	for (uint32_t k = 0; k < n; k++) {
		if (w->io.refused[0] >> k & 1) {
			drop(w, b + k);
			w->refused++;
		} else {
			w->seed[b + k] = seed[k];
			w->wrote++;
		}
	}
}

static void read_one(struct worker *w, uint32_t b)
{
	unsigned char want[SWAP_BLOCK];

	CHECK(run(w, false, b, 1) == 0);
	fill(want, w->seed[b]);
	CHECK(memcmp(want, w->page[0], SWAP_BLOCK) == 0);
	drop(w, b);
}

static void move_cold(struct worker *w)
{
	for (uint32_t b = 0; b < BLOCKS; b++)
		if (__atomic_load_n(&dev->moving, __ATOMIC_RELAXED) && w->seed[b] &&
		    dev->ops->moves(dev, w->first + b)) {
			read_one(w, b);
			w->moved++;
		}
}

static void *work(void *arg)
{
	struct worker *w = arg;

	w->ring = ring_create(8);
	CHECK(w->ring);
	for (uint32_t i = 0; i < STEPS; i++) {
		uint32_t b = (uint32_t)(next_random(&w->random) >> 16) % BLOCKS;
		uint32_t n = 0;

		while (b + n < BLOCKS && n < CLUSTER && !w->seed[b + n])
			n++;
		if (n > 0)
			write_run(w, b, n);
		else
			read_one(w, b);
		if (i % 2000 == 1999)
			move_cold(w);
	}
	for (uint32_t b = 0; b < BLOCKS; b++)
		if (w->seed[b])
			read_one(w, b);
	ring_destroy(w->ring);
	__atomic_fetch_sub(&running, 1, __ATOMIC_RELAXED);
	return NULL;
}

int main(void)
{
	static struct worker worker[WORKERS];
	struct device_ram_stats st;
	struct err e = { 0 };
	uint64_t wrote = 0, refused = 0, moved = 0;

	dev = device_ram_create("ram:4M", memfd_create("ram", MFD_CLOEXEC), SIZE, &e);
	CHECK(dev && dev->blocks >= WORKERS * BLOCKS);
	running = WORKERS;
	for (uint32_t i = 0; i < WORKERS; i++) {
		worker[i].first = (uint64_t)i * BLOCKS;
		worker[i].random = 77 + i;
		CHECK(pthread_create(&worker[i].thread, NULL, work, &worker[i]) == 0);
	}
	while (__atomic_load_n(&running, __ATOMIC_RELAXED) > 0) {
		device_ram_tend(dev);
		device_ram_get_stats(dev, &st);
		CHECK(st.memory <= SIZE);
		usleep(1000);
	}
	for (uint32_t i = 0; i < WORKERS; i++) {
		CHECK(pthread_join(worker[i].thread, NULL) == 0);
		wrote += worker[i].wrote;
		refused += worker[i].refused;
		moved += worker[i].moved;
	}
	device_ram_get_stats(dev, &st);
	printf("%llu pages stored, %llu refused, %llu moved on, %llu slabs packed\n",
	       (unsigned long long)wrote, (unsigned long long)refused,
	       (unsigned long long)moved, (unsigned long long)st.packings);
	CHECK(st.pages == 0 && st.bytes == 0 && st.damaged == 0);
	/* it has been where the races are */
	CHECK(wrote > 1000 && st.no_memory > 10 && moved > 10 && st.packings > 2);
	device_close(dev);
	return 0;
}
