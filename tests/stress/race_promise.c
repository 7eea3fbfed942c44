/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Promises of swap with several owners at once: some with a promise, which go up to it and
 * beyond, some without, which take whatever they get; blocks that are freed, replaced as a move
 * does, and kept aside as late ones are; devices that go off and on; and a thread that promises
 * what is left to others and takes it back.  Whoever has fewer blocks than were promised to it
 * gets at least one more, at every moment.  Run under ThreadSanitizer.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "swap/drum.h"

#define OWNERS	3u
#define WORKERS 5u
#define STEPS	40000u
#define BLOCKS	700u /* of each of two devices */
#define PICKY	150u
#define MOST	2048u

#define CHECK(x)                                                                               \
	do {                                                                                   \
		if (!(x)) {                                                                    \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #x);        \
			exit(1);                                                               \
		}                                                                              \
	} while (0)

struct worker {
	pthread_t thread;
	struct drum_share *share; /* NULL: it has no promise */
	uint64_t promised;
	drum_addr block[MOST];
	uint32_t n;
	uint64_t random;
	uint64_t within, beyond, refused;
};

static const uint64_t promised[OWNERS] = { 300, 180, 60 };
static struct drum *drum;
static unsigned int picky;
static unsigned int off;     /* [off_lock] number, or 0 */
static unsigned int running; /* [a] */
static pthread_rwlock_t off_lock;

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* Blocks that count against its promise. */
static uint64_t counted(const struct worker *w)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < w->n; i++)
		n += drum_device_of(w->block[i]) != picky && drum_device_of(w->block[i]) != off;
	return n;
}

static bool take(struct worker *w, uint64_t want, bool plain)
{
	uint64_t has = counted(w), got;
	drum_addr a;

	if (want > MOST - w->n)
		return false;
	a = plain ? drum_alloc_plain(drum, w->share, want, &got)
		  : drum_alloc(drum, w->share, want, &got);
	if (has < w->promised) {
		CHECK(a != DRUM_NONE);
		w->within++;
	} else if (a == DRUM_NONE) {
		w->refused++;
	} else {
		w->beyond++;
	}
	for (uint64_t k = 0; a != DRUM_NONE && k < got; k++)
		w->block[w->n++] = a + k;
	return a != DRUM_NONE;
}

static void give(struct worker *w, uint64_t n)
{
	while (n-- > 0 && w->n > 0) {
		uint32_t i = (uint32_t)(next_random(&w->random) % w->n);

		drum_free(drum, w->share, w->block[i], 1);
		w->block[i] = w->block[--w->n];
	}
}

/* As move.c: a new block while it has the old one. */
static void move_one(struct worker *w)
{
	uint32_t i = (uint32_t)(next_random(&w->random) % (w->n + 1));
	drum_addr a;
	uint64_t got;

	if (i == w->n)
		return;
	a = drum_alloc_plain(drum, w->share, 1, &got);
	if (a == DRUM_NONE)
		return;
	drum_free(drum, w->share, w->block[i], 1);
	w->block[i] = a;
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (unsigned int step = 0; step < STEPS; step++) {
		uint64_t r = next_random(&w->random);

		pthread_rwlock_rdlock(&off_lock);
		if (r % 16 == 0)
			move_one(w);
		/* now and then there is room for a device to go off */
		else if (!w->share && step % 2048 > 1600)
			give(w, 64);
		else if (!w->share && !take(w, 1 + (r >> 8) % 32, r % 3 == 0))
			give(w, 1 + (r >> 8) % 32);
		/* long stretches in which it takes, and others in which it gives */
		else if (w->share && (step >> 6 & 1))
			give(w, 1 + (r >> 8) % 16);
		else if (w->share)
			take(w, 1 + (r >> 8) % 16, r % 3 == 0);
		pthread_rwlock_unlock(&off_lock);
	}
	__atomic_fetch_sub(&running, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* Somebody else is promised what is left, for a while. */
static void promise_others(struct drum_share *s, uint64_t *random, uint64_t *made)
{
	uint64_t most, blocks = next_random(random) % 250;

	if (drum_promise(drum, s, blocks, false, &most) == 0)
		*made += blocks > 0;
	else
		CHECK(most < blocks);
}

static void turn_device(uint64_t *random, uint64_t *offs)
{
	uint64_t out, had;

	pthread_rwlock_wrlock(&off_lock);
	if (off) {
		drum_set_off(drum, off, false);
		off = 0;
	} else {
		unsigned int number = 1 + (unsigned int)(next_random(random) % 2);

		if (drum_try_off(drum, number, &out, &had) == 0) {
			off = number;
			++*offs;
		} else {
			CHECK(out > had);
		}
	}
	pthread_rwlock_unlock(&off_lock);
}

static void add(const char *kind, bool is_picky, uint64_t ino, uint64_t blocks, int priority)
{
	static struct swap_device_ops ops;
	struct swap_device *dev =
		device_file_create("file", "/swap", open("/dev/null", O_RDWR | O_CLOEXEC), 1,
				   ino, blocks * SWAP_BLOCK, 0);
	int number;

	CHECK(dev);
	if (is_picky) {
		ops = *dev->ops;
		ops.kind = kind;
		ops.picky = true;
		dev->ops = &ops;
	}
	number = drum_add(drum, dev, priority, 0);
	CHECK(number > 0);
	if (is_picky)
		picky = (unsigned int)number;
}

int main(void)
{
	static struct drum_share share[OWNERS], other[2];
	static struct worker worker[WORKERS];
	uint64_t random = 4711, made = 0, offs = 0, most;
	pthread_rwlockattr_t attr;
	struct drum_promises p;

	drum = drum_create();
	/* who turns devices would else wait for ever */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	CHECK(drum && pthread_rwlock_init(&off_lock, &attr) == 0);
	add("file", false, 1, BLOCKS, 0);
	add("file", false, 2, BLOCKS, 0);
	add("ram", true, 3, PICKY, 1);
	for (unsigned int i = 0; i < 2; i++)
		drum_share_begin(drum, &other[i]);
	running = WORKERS;
	for (unsigned int i = 0; i < OWNERS; i++) {
		drum_share_begin(drum, &share[i]);
		CHECK(drum_promise(drum, &share[i], promised[i], false, &most) == 0);
	}
	for (unsigned int i = 0; i < WORKERS; i++) {
		worker[i].random = 1 + i * UINT64_C(7919);
		worker[i].share = i < OWNERS ? &share[i] : NULL;
		worker[i].promised = i < OWNERS ? promised[i] : 0;
		CHECK(pthread_create(&worker[i].thread, NULL, work, &worker[i]) == 0);
	}
	for (unsigned int turn = 0; __atomic_load_n(&running, __ATOMIC_ACQUIRE) > 0; turn++) {
		promise_others(&other[turn % 2], &random, &made);
		/* it stays off for a while, and is tried often when it is on */
		if (turn % (off ? 256 : 8) == 0)
			turn_device(&random, &offs);
	}
	for (unsigned int i = 0; i < WORKERS; i++) {
		struct worker *w = &worker[i];

		pthread_join(w->thread, NULL);
		CHECK(!w->share || drum_share_used(w->share) == w->n);
		printf("%u: %llu within, %llu beyond, %llu refused\n", i,
		       (unsigned long long)w->within, (unsigned long long)w->beyond,
		       (unsigned long long)w->refused);
		/* the test would show nothing otherwise */
		CHECK(w->share ? w->within > 0 : w->refused > 0);
		give(w, MOST);
	}
	CHECK(made > 0);
	for (unsigned int i = 0; i < 2; i++)
		drum_share_end(drum, &other[i]);
	if (off)
		drum_set_off(drum, off, false);
	drum_promised(drum, &p);
	CHECK(p.promised == 540 && p.outstanding == 540 &&
	      p.free == UINT64_C(2) * BLOCKS - 540);
	for (unsigned int i = 0; i < OWNERS; i++)
		drum_share_end(drum, &share[i]);
	drum_promised(drum, &p);
	CHECK(p.promised == 0 && p.outstanding == 0);
	printf("%llu promises to others, %llu times a device off\n", (unsigned long long)made,
	       (unsigned long long)offs);
	drum_destroy(drum);
	return 0;
}
