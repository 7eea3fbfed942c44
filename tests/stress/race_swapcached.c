/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The swapcache daemon under several workers at once: each gets, fills, gives and drops puts of
 * an image of its own, changes its blocks, reads what is cached and compares, and takes part in
 * passes, while knobs and budgets are set, guests take swap and give it back, and the daemon is
 * told to stop and to go on.  Time runs a thousand times as fast.  Run under ThreadSanitizer.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ring.h"
#include "swap/sums.h"
#include "swap/swapcached.h"

#define WORKERS 3u
#define BLOCKS	4096u /* of swap */
#define IMAGE	2048u /* of each image */
#define GIVEN	6000u /* blocks, by each */
#define RUN	CACHEOBJ_RUN
#define FASTER	1000u

static struct drum *drum;
static struct swapcache policy;
static struct swapcached *sd;
static unsigned int running; /* [a] */

struct worker {
	pthread_t thread;
	struct ring *ring;
	struct cacheobj *obj;
	uint64_t random;
	uint32_t version[IMAGE]; /* what the image holds */
	struct swap_io io;
	int err;
	bool done;
	uint64_t given, hits, changed, scanned;
	_Alignas(SWAP_BLOCK) unsigned char buf[RUN * SWAP_BLOCK];
};

#define CHECK(x)                                                                               \
	do {                                                                                   \
		if (!(x)) {                                                                    \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #x);        \
			exit(1);                                                               \
		}                                                                              \
	} while (0)

static uint64_t fast_ns(void)
{
	return clock_ns() * FASTER;
}

static int64_t fast_wall(void)
{
	return (int64_t)(fast_ns() / NSEC_PER_SEC);
}

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* What a block holds is its number and version, at both ends. */
static void fill(unsigned char *at, uint64_t block, uint32_t version)
{
	uint64_t mark = block << 32 | version;

	memcpy(at, &mark, sizeof(mark));
	memcpy(at + SWAP_BLOCK - sizeof(mark), &mark, sizeof(mark));
}

static bool holds(const unsigned char *at, uint64_t block, uint32_t version)
{
	uint64_t mark = block << 32 | version;

	return memcmp(at, &mark, sizeof(mark)) == 0 &&
	       memcmp(at + SWAP_BLOCK - sizeof(mark), &mark, sizeof(mark)) == 0;
}

static void put(struct worker *w, uint64_t block)
{
	struct swapcached_put *p =
		swapcached_get(sd, w->obj, block, 1 + (uint32_t)next_random(&w->random) % RUN);
	uint32_t n;

	if (!p) {
		usleep(20);
		return;
	}
	for (uint32_t k = 0; k < p->range.n; k++)
		fill(p->buf + (size_t)k * SWAP_BLOCK, p->range.block + k,
		     w->version[p->range.block + k]);
	n = (uint32_t)next_random(&w->random) % (p->range.n + 1);
	w->given += n;
	if (next_random(&w->random) % 8 == 0)
		swapcached_drop(sd, p);
	else
		swapcached_give(sd, p, n);
}

static void change(struct worker *w, uint64_t block)
{
	uint64_t end = block + 1 + next_random(&w->random) % RUN;
	struct cacheobj_change ch;

	if (end > IMAGE)
		end = IMAGE;
	cacheobj_change(w->obj, &ch, block, end);
	for (uint64_t b = block; b < end; b++)
		w->version[b]++;
	cacheobj_changed(w->obj, &ch, false);
	w->changed++;
}

static void on_read(struct swap_io *io, int err)
{
	struct worker *w = (struct worker *)((char *)io - offsetof(struct worker, io));

	w->err = err;
	w->done = true;
}

static void look(struct worker *w, uint64_t block)
{
	struct cacheobj_read r;
	uint64_t gap;
	uint32_t n = cacheobj_read(w->obj, &r, block, RUN, &gap);

	if (n == 0)
		return;
	w->io.done = on_read;
	w->io.niov = 1;
	w->io.iov[0] = (struct iovec){ w->buf, (size_t)n * SWAP_BLOCK };
	w->done = false;
	drum_submit(drum, w->ring, &w->io, r.addr);
	while (!w->done)
		CHECK(ring_run(w->ring, NSEC_PER_MSEC) >= 0);
	CHECK(w->err == 0);
	for (uint32_t k = 0; k < n; k++)
		CHECK(holds(w->buf + (size_t)k * SWAP_BLOCK, block + k, w->version[block + k]));
	cacheobj_read_end(w->obj, &r, 0);
	w->hits += n;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct swapcached_scanner s;

	w->ring = ring_create(16);
	CHECK(w->ring);
	swapcached_join(sd, &s);
	for (unsigned int i = 0; w->given < GIVEN; i++) {
		uint64_t block = next_random(&w->random) % IMAGE, n;

		swapcached_tell(sd, &s, 1000 + i % 100, i % 50 == 0 ? 500 : 0);
		n = swapcached_scan(sd, &s, 64);
		w->scanned += n;
		if (n > 0 && next_random(&w->random) % 16 == 0)
			swapcached_scan_ended(sd, &s);
		put(w, block);
		look(w, next_random(&w->random) % IMAGE);
		if (i % 8 == 0)
			change(w, next_random(&w->random) % IMAGE);
		if (n > 0)
			swapcached_scanned(sd, &s, n / 2, n / 4);
	}
	swapcached_leave(sd, &s);
	ring_destroy(w->ring);
	__atomic_fetch_sub(&running, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void start(void)
{
	struct swapcached_options o = {
		.policy = &policy, .state_dir = -1, .now = fast_ns, .wall = fast_wall
	};
	struct swap_device *dev =
		device_file_create("file", "/swap", memfd_create("swap", MFD_CLOEXEC), 1, 1,
				   (uint64_t)BLOCKS * SWAP_BLOCK, 0);
	struct err e = { 0 };

	CHECK(dev && ftruncate(dev->fd, (off_t)BLOCKS * SWAP_BLOCK) == 0);
	dev->sums = sums_open(memfd_create("sums", MFD_CLOEXEC), BLOCKS, &e);
	drum = drum_create();
	CHECK(dev->sums && drum && drum_add(drum, dev, 0, 0) == 1);
	swapcache_init(&policy);
	CHECK(swapcache_set(&policy, SWAPCACHE_DATA_ENABLE, 1, &e) == 0);
	CHECK(swapcache_set(&policy, SWAPCACHE_MAXSWAPPCT, 50, &e) == 0);
	CHECK(swapcache_set(&policy, SWAPCACHE_MIN_HYSTERESIS, 1, &e) == 0);
	o.drum = drum;
	sd = swapcached_start(&o, &e);
	CHECK(sd);
}

/* What guests and the control thread do meanwhile. */
static void meddle(unsigned int i)
{
	static drum_addr taken[64];
	static uint64_t got[64];
	struct swapcached_stats s;
	struct swapcached_wear wear;
	struct err e;

	if (got[i % 64])
		drum_free(drum, NULL, taken[i % 64], got[i % 64]);
	taken[i % 64] = drum_alloc(drum, NULL, 1 + i % 100, &got[i % 64]);
	swapcached_get_stats(sd, &s);
	CHECK(s.inflight <= SWAPCACHED_PUTS && s.use <= BLOCKS);
	(void)swapcached_get_wear(sd, &wear, 1);
	swapcached_set_budget(sd, 1, i % 3 ? 0 : UINT64_C(1) << 40);
	CHECK(swapcache_set(&policy, SWAPCACHE_MAXLAUNDER, 64 + i % 1000, &e) == 0);
	if (i % 200 == 100)
		swapcached_quiesce(sd);
	else if (i % 200 == 110)
		swapcached_resume(sd);
	swapcached_wake(sd);
}

int main(void)
{
	static struct worker worker[WORKERS];
	struct swapcached_stats s;
	struct err e = { 0 };
	uint64_t given = 0, hits = 0, scanned = 0;

	start();
	running = WORKERS;
	for (uint32_t i = 0; i < WORKERS; i++) {
		struct worker *w = &worker[i];

		w->random = 77 + i;
		w->obj = cacheobj_open(memfd_create("cache", MFD_CLOEXEC), "image", IMAGE, drum,
				       &e);
		CHECK(w->obj && cacheobj_claim(w->obj) == 0);
		CHECK(swapcached_add(sd, w->obj, NULL, NULL) == 0);
		CHECK(pthread_create(&w->thread, NULL, work, w) == 0);
	}
	for (unsigned int i = 0; __atomic_load_n(&running, __ATOMIC_RELAXED) > 0; i++) {
		meddle(i);
		usleep(500);
	}
	for (uint32_t i = 0; i < WORKERS; i++) {
		CHECK(pthread_join(worker[i].thread, NULL) == 0);
		given += worker[i].given;
		hits += worker[i].hits;
		scanned += worker[i].scanned;
	}
	swapcached_get_stats(sd, &s);
	CHECK(swapcached_stop(sd));
	printf("%llu blocks given, %llu read, %llu pages scanned, %llu passes, %llu "
	       "cleanings\n",
	       (unsigned long long)given, (unsigned long long)hits, (unsigned long long)scanned,
	       (unsigned long long)s.passes, (unsigned long long)s.cleanings);
	/* it has been where the races are */
	CHECK(given > 1000 && hits > 1000 && scanned > 100 && s.passes > 2 && s.cleanings > 2);
	for (uint32_t i = 0; i < WORKERS; i++)
		cacheobj_unref(worker[i].obj);
	drum_destroy(drum);
	return 0;
}
