/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cached blocks of an image under all threads that use them: one serves the disk (reads
 * and changes, several under way), one puts and cleans as the daemon does, one is a guest's
 * worker that begins puts and takes swap for its guest, and one counts, steps and looks.
 * Swap is an array; a block of it has the number and the version of the block of the image
 * that it is a copy of.  A reader must never see an older one than that of the last change
 * that had ended when the read began, and nobody may write where another reads.  Run under
 * ThreadSanitizer: a block that is freed while it is read or written is a race of the array.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "swap/cacheobj.h"
#include "swap/sums.h"

#define DISK	600u
#define SWAP	400u /* of each device */
#define DEVICES 2u
#define ROUNDS	300000u
#define OPEN	4u /* reads, or changes, under way at once */
#define HANDED	8u

static struct drum *drum;
static struct cacheobj *obj;
static uint64_t version[DISK]; /* [a] of the image; the disk's thread changes it */
static uint64_t content[DEVICES + 1][SWAP][2]; /* of swap: not atomic, as a device's is not */
static bool over;			       /* [a] */
static uint64_t hits, written, late, guests;   /* of one thread each */

#define CHECK(x)                                                                               \
	do {                                                                                   \
		if (!(x)) {                                                                    \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #x);        \
			exit(1);                                                               \
		}                                                                              \
	} while (0)

static uint64_t below(uint64_t *x, uint64_t n)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return (*x >> 11) % n;
}

static uint64_t *at(drum_addr a)
{
	CHECK(drum_device_of(a) >= 1 && drum_device_of(a) <= DEVICES);
	CHECK(drum_block_of(a) < SWAP);
	return content[drum_device_of(a)][drum_block_of(a)];
}

static uint64_t version_of(uint64_t block)
{
	return __atomic_load_n(&version[block], __ATOMIC_ACQUIRE);
}

/* --- the disk ------------------------------------------------------------------- */

struct reading {
	bool on;
	struct cacheobj_read r;
	uint64_t version[CACHEOBJ_RUN]; /* when it began */
};

struct changing {
	bool on;
	struct cacheobj_change ch;
};

static void read_some(struct reading *r, uint64_t *random)
{
	uint64_t block = below(random, DISK), gap;

	if (!r->on) {
		r->on = cacheobj_read(obj, &r->r, block, 1 + below(random, 20), &gap) > 0;
		for (uint32_t k = 0; r->on && k < r->r.n; k++)
			r->version[k] = version_of(block + k);
		return;
	}
	for (uint32_t k = 0; k < r->r.n; k++) {
		const uint64_t *c = at(r->r.addr + k);

		CHECK(c[0] == r->r.block + k);
		/* of before a change that came later, at most */
		CHECK(c[1] == r->version[k]);
	}
	hits += r->r.n;
	r->on = false;
	cacheobj_read_end(obj, &r->r, below(random, 50) == 0 ? -EILSEQ : 0);
}

static void change_some(struct changing *c, uint64_t *random)
{
	uint64_t block = below(random, DISK), end = block + 1 + below(random, 6);

	if (!c->on) {
		cacheobj_change(obj, &c->ch, block, end);
	} else {
		for (uint64_t b = c->ch.block; b < c->ch.end && b < DISK; b++)
			__atomic_fetch_add(&version[b], 1, __ATOMIC_RELEASE);
		cacheobj_changed(obj, &c->ch, false);
	}
	c->on = !c->on;
}

static void *serve(void *arg)
{
	struct reading r[OPEN] = { 0 };
	struct changing c[OPEN] = { 0 };
	uint64_t random = 88172645463325252;

	(void)arg;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		read_some(&r[below(&random, OPEN)], &random);
		if (below(&random, 4) == 0)
			change_some(&c[below(&random, OPEN)], &random);
		if (below(&random, 4000) == 0)
			cacheobj_drop_all(obj);
	}
	for (unsigned int i = 0; i < OPEN; i++) {
		if (r[i].on)
			read_some(&r[i], &random);
		if (c[i].on)
			change_some(&c[i], &random);
	}
	__atomic_store_n(&over, true, __ATOMIC_RELEASE);
	return NULL;
}

/* --- puts ------------------------------------------------------------------------ */

struct put {
	struct cacheobj_put range;
	uint64_t version[CACHEOBJ_RUN];
};

/* Begun by the guest's worker, written by the daemon. */
static struct {
	pthread_mutex_t lock;
	struct put *p[HANDED];
	unsigned int n;
} handed = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct put *begin(uint64_t *random)
{
	struct put *p = calloc(1, sizeof(*p));
	uint64_t block = below(random, DISK);

	CHECK(p);
	if (cacheobj_put(obj, &p->range, block, 1 + (uint32_t)below(random, 16)) == 0) {
		free(p);
		return NULL;
	}
	for (uint32_t k = 0; k < p->range.n; k++)
		p->version[k] = block + k < DISK ? version_of(block + k) : 0;
	return p;
}

static void finish(struct put *p, uint64_t *random)
{
	uint64_t got, allowed = ~UINT64_C(0);
	drum_addr a = drum_alloc_cache(drum, p->range.n, allowed, &got);
	int err = -ECANCELED;

	if (a != DRUM_NONE) {
		err = cacheobj_put_write(obj, &p->range, (uint32_t)got, a);
		if (err < 0)
			drum_free(drum, NULL, a, got);
		for (uint32_t k = 0; k < got && err == 0; k++) {
			uint64_t *c = at(a + k);

			c[0] = p->range.block + k;
			c[1] = p->version[k];
		}
		written += err == 0;
		if (err == 0 && below(random, 100) == 0) {
			err = -ENOTCONN;
			late++;
		}
	}
	cacheobj_put_end(obj, &p->range, err);
	free(p);
}

static void *daemon_thread(void *arg)
{
	uint64_t random = 362436069362436069, from = 0;

	(void)arg;
	while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
		struct put *p = NULL;

		pthread_mutex_lock(&handed.lock);
		if (handed.n > 0)
			p = handed.p[--handed.n];
		pthread_mutex_unlock(&handed.lock);
		if (!p)
			p = begin(&random);
		if (p)
			finish(p, &random);
		if (drum_pressure(drum) || below(&random, 100) == 0)
			if (cacheobj_clean(obj, &from, 32, below(&random, 2)) == 0)
				from = 0;
	}
	return NULL;
}

static void *guest_thread(void *arg)
{
	drum_addr have[64] = { 0 };
	uint64_t random = 521288629521288629, got;

	(void)arg;
	while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
		unsigned int i = (unsigned int)below(&random, 64);
		struct put *p = below(&random, 4) == 0 ? begin(&random) : NULL;

		pthread_mutex_lock(&handed.lock);
		if (p && handed.n < HANDED) {
			handed.p[handed.n++] = p;
			p = NULL;
		}
		pthread_mutex_unlock(&handed.lock);
		if (p) {
			cacheobj_put_end(obj, &p->range, -ECANCELED);
			free(p);
		}
		if (have[i] != DRUM_NONE) {
			CHECK(at(have[i])[0] == UINT64_MAX && at(have[i])[1] == i);
			drum_free(drum, NULL, have[i], 1);
			have[i] = DRUM_NONE;
			continue;
		}
		have[i] = drum_alloc(drum, NULL, 1, &got);
		if (have[i] != DRUM_NONE) {
			at(have[i])[0] = UINT64_MAX;
			at(have[i])[1] = i;
			guests++;
		}
	}
	for (unsigned int i = 0; i < 64; i++)
		if (have[i] != DRUM_NONE)
			drum_free(drum, NULL, have[i], 1);
	return NULL;
}

/* --- the control thread ------------------------------------------------------------- */

static void add_device(unsigned int number)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct swap_device *dev =
		device_file_create("file", "/swap", fd, 1, number, SWAP * SWAP_BLOCK, 0);
	struct err e = { 0 };

	CHECK(dev);
	dev->sums = sums_open(memfd_create("sums", MFD_CLOEXEC), SWAP, &e);
	CHECK(dev->sums);
	CHECK(drum_add(drum, dev, 0, number) == (int)number);
}

static void look(unsigned int round)
{
	struct cacheobj_counts n;
	uint64_t from = 0;
	unsigned int number = 1 + round / 8 % DEVICES;

	cacheobj_get_counts(obj, &n);
	CHECK(n.cached <= DEVICES * SWAP && n.used <= DEVICES * SWAP);
	CHECK(!cacheobj_is_idle(obj) || n.cached <= DEVICES * SWAP);
	(void)cacheobj_is_empty(obj);
	(void)cacheobj_has(obj, round % DISK);
	if (round % 8 == 3)
		cacheobj_step(obj, UINT64_MAX);
	if (round % 8 == 5) {
		drum_set_off(drum, number, true);
		while (cacheobj_leave_devices(obj, &from, 50))
			;
		drum_set_off(drum, number, false);
	}
	usleep(500);
}

int main(void)
{
	void *(*const threads[])(void *) = { serve, daemon_thread, guest_thread };
	pthread_t thread[3];
	struct cacheobj_counts n;
	struct err e = { 0 };
	uint64_t random = 1;

	drum = drum_create();
	CHECK(drum);
	for (unsigned int i = 1; i <= DEVICES; i++)
		add_device(i);
	obj = cacheobj_open(memfd_create("words", MFD_CLOEXEC), "a disk", DISK / 2, drum, &e);
	CHECK(obj && cacheobj_claim(obj) == 0);
	for (unsigned int i = 0; i < 3; i++)
		CHECK(pthread_create(&thread[i], NULL, threads[i], NULL) == 0);
	for (unsigned int round = 0; !__atomic_load_n(&over, __ATOMIC_ACQUIRE); round++)
		look(round);
	/* while the others may still be in the middle of something */
	cacheobj_retire(obj);
	for (unsigned int i = 0; i < 3; i++)
		CHECK(pthread_join(thread[i], NULL) == 0);
	while (handed.n > 0)
		finish(handed.p[--handed.n], &random);
	cacheobj_step(obj, UINT64_MAX);
	CHECK(cacheobj_is_idle(obj));
	cacheobj_get_counts(obj, &n);
	printf("%llu blocks read, %llu puts, %llu late, %llu cleaned, %llu changed, %llu of "
	       "guests\n",
	       (unsigned long long)hits, (unsigned long long)written, (unsigned long long)late,
	       (unsigned long long)n.cleaned, (unsigned long long)n.dropped_by_change,
	       (unsigned long long)guests);
	CHECK(n.cached == 0 && n.used == 0 && drum_cached(drum) == 0);
	CHECK(drum_avail(drum) == DEVICES * SWAP);
	/* it has been where the races are */
	CHECK(hits > 1000 && written > 500 && late > 3 && n.cleaned > 100 && guests > 1000);
	CHECK(n.dropped_by_change > 100);
	cacheobj_unref(obj);
	drum_destroy(drum);
	return 0;
}
