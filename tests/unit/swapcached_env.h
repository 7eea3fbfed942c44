/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The swapcache daemon, for its tests: its thread, on clocks that they move, over a real file
 * and over a device that does as they say.
 */
#ifndef DRUM_TESTS_SWAPCACHED_ENV_H
#define DRUM_TESTS_SWAPCACHED_ENV_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ring.h"
#include "swap/sums.h"
#include "swap/swapcached.h"

#define BLOCKS	4096u /* of the real file */
#define IMAGE	(UINT64_C(1) << 20)
#define RUN	CACHEOBJ_RUN
#define RUN_LEN ((uint64_t)RUN * SWAP_BLOCK)

static struct drum *drum;
static struct swapcache policy;
static struct swapcached *sd;
static struct cacheobj *obj;
static uint64_t now;
static int64_t wall;
static int state_dir;

static inline uint64_t get_now(void)
{
	return __atomic_load_n(&now, __ATOMIC_ACQUIRE);
}

static inline int64_t get_wall(void)
{
	return __atomic_load_n(&wall, __ATOMIC_ACQUIRE);
}

/* --- a device that ends writes as it is told to, with no memory of them --- */

struct fake {
	struct swap_device dev;
	pthread_mutex_t lock;
	bool hang; /* [lock] what comes is kept */
	int err;   /* [lock] or fails */
	struct swap_io *kept[SWAPCACHED_PUTS];
	unsigned int nkept;
};

static inline void fake_submit(struct swap_device *dev, struct swap_io *io)
{
	struct fake *f = (struct fake *)dev;
	int err;

	pthread_mutex_lock(&f->lock);
	err = f->err;
	if (f->hang)
		f->kept[f->nkept++] = io;
	else
		io->left = err ? io->left : 0;
	if (!f->hang)
		device_post(io, err);
	pthread_mutex_unlock(&f->lock);
}

static inline void fake_close(struct swap_device *dev)
{
	(void)dev;
}

static const struct swap_device_ops fake_ops = { .kind = "fake",
						 .submit = fake_submit,
						 .close = fake_close };

static inline void fake_set(struct fake *f, bool hang, int err)
{
	pthread_mutex_lock(&f->lock);
	f->hang = hang;
	f->err = err;
	if (!hang)
		for (; f->nkept > 0; f->nkept--) {
			struct swap_io *io = f->kept[f->nkept - 1];

			io->left = err ? io->left : 0;
			device_post(io, err);
		}
	pthread_mutex_unlock(&f->lock);
}

static inline struct sums *sums_of(uint64_t blocks)
{
	struct err e = { 0 };
	struct sums *s = sums_open(memfd_create("sums", 0), blocks, &e);

	cr_assert_not_null(s, "%s", e.text);
	return s;
}

static inline struct fake *add_fake_at(const char *path, uint64_t blocks)
{
	struct fake *f = (struct fake *)device_alloc(sizeof(*f), &fake_ops, path);

	pthread_mutex_init(&f->lock, NULL);
	f->dev.ino = 77 + drum_stats(drum, NULL, 0);
	f->dev.blocks = blocks;
	f->dev.fd = -1;
	f->dev.sums = sums_of(blocks);
	cr_assert_gt(drum_add(drum, &f->dev, 0, 0), 0);
	return f;
}

static inline struct fake *add_fake(uint64_t blocks)
{
	return add_fake_at("/fake", blocks);
}

/* O_DIRECT where the file system has it. */
static inline void add_file(void)
{
	char name[] = "swapcached-XXXXXX";
	int fd = mkstemp(name), direct = open(name, O_RDWR | O_DIRECT | O_CLOEXEC);
	struct swap_device *dev;

	cr_assert_geq(fd, 0);
	unlink(name);
	cr_assert_eq(ftruncate(fd, (off_t)BLOCKS * SWAP_BLOCK), 0);
	dev = device_file_create("file", "/swap", direct >= 0 ? direct : dup(fd), 1, 1,
				 (uint64_t)BLOCKS * SWAP_BLOCK, 0);
	close(fd);
	dev->sums = sums_of(BLOCKS);
	cr_assert_eq(drum_add(drum, dev, 0, 0), 1);
}

/* --- the daemon --- */

static inline void set(enum swapcache_knob k, uint64_t value)
{
	struct err e = { 0 };

	cr_assert_eq(swapcache_set(&policy, k, value, &e), 0, "%s", e.text);
}

static inline struct cacheobj *open_obj(const char *name)
{
	struct err e = { 0 };
	struct cacheobj *c = cacheobj_open(memfd_create(name, 0), name, IMAGE, drum, &e);

	cr_assert_not_null(c, "%s", e.text);
	cr_assert_eq(cacheobj_claim(c), 0);
	return c;
}

static inline struct swapcached_stats stats(void)
{
	struct swapcached_stats s;

	swapcached_get_stats(sd, &s);
	return s;
}

static inline void look_until(bool (*fn)(uint64_t arg), uint64_t arg)
{
	while (!fn(arg))
		usleep(20);
}

static inline bool has_looked(uint64_t at)
{
	return stats().looked >= at;
}

static inline bool all_ended(uint64_t arg)
{
	(void)arg;
	return stats().inflight == 0;
}

/* Time goes on, and the daemon has done what is due.  With 1 ns it merely looks. */
static inline void pass_time(uint64_t ns)
{
	uint64_t at = __atomic_add_fetch(&now, ns, __ATOMIC_ACQ_REL);

	swapcached_wake(sd);
	look_until(has_looked, at);
}

static inline void tick(void)
{
	pass_time(SWAPCACHE_POLL_NS);
}

static inline void start(void)
{
	struct swapcached_options o = { .drum = drum,
					.policy = &policy,
					.state_dir = state_dir,
					.now = get_now,
					.wall = get_wall };
	struct err e = { 0 };

	sd = swapcached_start(&o, &e);
	cr_assert_not_null(sd, "%s", e.text);
	cr_assert_eq(swapcached_add(sd, obj, NULL, NULL), 0);
	tick();
}

static inline void set_up(void)
{
	drum = drum_create();
	now = clock_ns();
	wall = INT64_C(1700000000);
	state_dir = -1;
	swapcache_init(&policy);
	set(SWAPCACHE_DATA_ENABLE, 1);
	obj = open_obj("data");
}

static inline void tear_down(void)
{
	if (sd)
		cr_assert(swapcached_stop(sd));
	sd = NULL;
	cacheobj_unref(obj);
	drum_destroy(drum);
}

static inline void set_up_file(void)
{
	set_up();
	add_file();
	start();
}

static struct fake *fake;

static inline void set_up_fake(void)
{
	set_up();
	/* less an eighth, and the cache's share, there is room for hours of writing */
	fake = add_fake(UINT64_C(1) << 20);
	start();
}

static inline void fill(uint8_t *buf, uint64_t block, uint32_t n)
{
	for (uint32_t k = 0; k < n; k++)
		memset(buf + (size_t)k * SWAP_BLOCK, (int)(1 + (block + k) % 250), SWAP_BLOCK);
}

static inline struct swapcached_put *get(struct cacheobj *c, uint64_t block, uint32_t n)
{
	struct swapcached_put *p = swapcached_get(sd, c, block, n);

	if (p)
		fill(p->buf, block, p->range.n);
	return p;
}

/* => how many blocks were given */
static inline uint32_t put(struct cacheobj *c, uint64_t block, uint32_t n)
{
	struct swapcached_put *p = get(c, block, n);
	uint32_t got = p ? p->range.n : 0;

	if (p)
		swapcached_give(sd, p, got);
	return got;
}

static inline void settle(void)
{
	look_until(all_ended, 0);
}

static inline uint64_t cached(const struct cacheobj *c)
{
	struct cacheobj_counts n;

	cacheobj_get_counts(c, &n);
	return n.cached;
}

/* Clusters of c from `block` on, until `n` were given or no more may be. => how many */
static inline uint64_t put_clusters(struct cacheobj *c, uint64_t block, uint64_t n)
{
	uint64_t given = 0;

	for (; given < n && put(c, block + given * RUN, RUN) == RUN; given++)
		settle();
	settle();
	return given;
}

#endif
