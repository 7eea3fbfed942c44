/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A mirror used by several threads, each with its own ring and blocks, while
 * another has halves fail, go offline, come back and be replaced.  What is read is
 * what was written, and ThreadSanitizer has nothing to say.
 *
 *	race_mirror [ROUNDS]
 */
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "swap/device_mirror.h"
#include "unit/fake_half.h"

#define WORKERS 3
#define EACH	32 /* blocks of a worker */
#define RUN	4
#define BLOCKS	((uint64_t)WORKERS * EACH)

#define need(cond)                                                                             \
	do {                                                                                   \
		if (!(cond)) {                                                                 \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);             \
			abort();                                                               \
		}                                                                              \
	} while (0)

struct job {
	struct swap_io io;
	int err;
	bool done;
	uint8_t data[RUN * SWAP_BLOCK];
};

struct worker {
	pthread_t thread;
	uint64_t first;
	struct ring *ring;
	uint8_t content[EACH]; /* 0: free */
	uint64_t seed;
	struct job job[2];
};

static struct swap_device *mirror;
static bool stop;
static unsigned long rounds = 150;
static uint64_t lost, whole, moved;

static void on_event(void *arg, struct swap_device *dev, enum swap_event event, int err,
		     const char *text)
{
	(void)arg, (void)dev, (void)err, (void)text;
	__atomic_fetch_add(&lost, event == SWAP_EVENT_MIRROR_LOST, __ATOMIC_RELAXED);
	__atomic_fetch_add(&whole, event == SWAP_EVENT_MIRROR_WHOLE, __ATOMIC_RELAXED);
}

static const struct swap_listener listener = { .event = on_event };

static uint64_t rnd(uint64_t *seed, uint64_t n)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (*seed >> 11) % n;
}

static void on_done(struct swap_io *io, int err)
{
	((struct job *)io)->err = err;
	((struct job *)io)->done = true;
}

static void submit(struct worker *w, struct job *j, bool write, uint64_t b, uint32_t n)
{
	j->done = false;
	j->io.done = on_done;
	j->io.write = write;
	j->io.niov = 1;
	j->io.iov[0] = (struct iovec){ j->data, n * SWAP_BLOCK };
	device_submit(mirror, w->ring, &j->io, w->first + b);
}

static int wait_for(struct worker *w, struct job *j)
{
	while (!j->done)
		need(ring_run(w->ring, UINT64_MAX) >= 0);
	return j->err;
}

static void put(struct worker *w, uint64_t b, uint32_t n, uint8_t what)
{
	struct job *j = &w->job[0];

	memset(j->data, what, n * SWAP_BLOCK);
	submit(w, j, true, b, n);
	if (wait_for(w, j) == 0)
		memset(w->content + b, what, n);
	else
		mirror->ops->freed(mirror, w->first + b, n);
}

static void give_back(struct worker *w, uint64_t b, uint32_t n)
{
	mirror->ops->freed(mirror, w->first + b, n);
	memset(w->content + b, 0, n);
}

static void get(struct worker *w, uint64_t b, uint32_t n)
{
	struct job *j = &w->job[1];

	submit(w, j, false, b, n);
	if (wait_for(w, j))
		return;
	for (uint32_t i = 0; i < n * SWAP_BLOCK; i++)
		need(j->data[i] == w->content[b + i / SWAP_BLOCK]);
}

static void move_one(struct worker *w)
{
	uint64_t to = rnd(&w->seed, EACH);

	for (uint64_t b = 0; b < EACH && mirror->ops->moves; b++) {
		if (!w->content[b] || w->content[to] ||
		    !__atomic_load_n(&mirror->moving, __ATOMIC_ACQUIRE) ||
		    !mirror->ops->moves(mirror, w->first + b))
			continue;
		get(w, b, 1);
		if (w->job[1].err == 0)
			put(w, to, 1, w->content[b]);
		if (w->content[to]) {
			give_back(w, b, 1);
			__atomic_fetch_add(&moved, 1, __ATOMIC_RELAXED);
		}
		return;
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;

	w->ring = ring_create(64);
	need(w->ring);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		uint64_t b = rnd(&w->seed, EACH);
		uint32_t n = 0, most = 1 + (uint32_t)rnd(&w->seed, RUN);
		bool used = w->content[b] != 0;

		while (n < most && b + n < EACH && (w->content[b + n] != 0) == used)
			n++;
		if (!used)
			put(w, b, n, (uint8_t)(1 + rnd(&w->seed, 255)));
		else if (rnd(&w->seed, 4))
			get(w, b, n);
		else
			give_back(w, b, n);
		move_one(w);
	}
	/* nothing fails any more */
	for (uint64_t b = 0; b < EACH; b++)
		if (w->content[b]) {
			get(w, b, 1);
			need(w->job[1].err == 0);
		}
	ring_destroy(w->ring);
	return NULL;
}

static struct fake *half_of(struct disk *d, char name)
{
	struct fake *f = fake_new(d);

	f->base.path[0] = name;
	return f;
}

static void set_err(int *err, int *pass, int to)
{
	__atomic_store_n(pass, 3, __ATOMIC_RELAXED);
	__atomic_store_n(err, to, __ATOMIC_RELAXED);
}

/* Wait until what is on both is on both again. */
static void wait_whole(void)
{
	while (__atomic_load_n(&mirror->moving, __ATOMIC_ACQUIRE))
		usleep(100);
}

int main(int argc, char **argv)
{
	int fd = memfd_create("sums", MFD_CLOEXEC);
	struct disk *disk[2] = { disk_new(1, BLOCKS), disk_new(2, BLOCKS) };
	struct fake *f[2] = { half_of(disk[0], '0'), half_of(disk[1], '1') };
	struct swap_device *h[2] = { &f[0]->base, &f[1]->base };
	static struct worker w[WORKERS];
	uint64_t seed = 7, ino = 2;
	struct err e;

	if (argc > 1)
		rounds = strtoul(argv[1], NULL, 0);
	mirror = device_mirror_create("mirror", h, sums_open(fd, BLOCKS, &e), &listener, &e);
	need(mirror);
	for (unsigned int i = 0; i < WORKERS; i++) {
		w[i].first = (uint64_t)i * EACH;
		w[i].seed = i + 1;
		need(pthread_create(&w[i].thread, NULL, work, &w[i]) == 0);
	}
	for (unsigned long r = 0; r < rounds; r++) {
		unsigned int k = (unsigned int)rnd(&seed, 2);
		struct mirror_half_stats st;

		switch (rnd(&seed, 4)) {
		case 0: /* reads fail */
			set_err(&f[k]->read_err, &f[k]->read_pass, -EIO);
			usleep(200);
			set_err(&f[k]->read_err, &f[k]->read_pass, 0);
			break;
		case 1: /* away, and back */
			__atomic_store_n(&f[k]->base.suspended, true, __ATOMIC_RELAXED);
			device_tell(&f[k]->base, SWAP_EVENT_OFFLINE, -ENOTCONN, "so");
			usleep(200);
			__atomic_store_n(&f[k]->base.suspended, false, __ATOMIC_RELAXED);
			device_tell(&f[k]->base, SWAP_EVENT_ONLINE, 0, "so");
			break;
		default: { /* lost, and replaced by a new one, or by itself */
			struct swap_device *old;
			struct disk *was = disk[k];
			struct fake *fresh;
			int ret;

			set_err(&f[k]->write_err, &f[k]->write_pass, -EIO);
			do {
				usleep(100);
				device_mirror_half(mirror, k, &st);
			} while (st.state == MIRROR_GOOD);
			disk[k] = rnd(&seed, 2) ? disk_new(++ino, BLOCKS) : was;
			fresh = half_of(disk[k], (char)('0' + k));
			ret = device_mirror_replace(mirror, &fresh->base, false, &old, &e);
			if (ret == -ENODATA) { /* by itself then */
				need(disk[k] != was);
				disk_free(disk[k]);
				fresh->disk = disk[k] = was;
				fresh->base.ino = was->ino;
				ret = device_mirror_replace(mirror, &fresh->base, false, &old,
							    &e);
			}
			need(ret >= 0 && old == &f[k]->base);
			f[k] = fresh;
			while (__atomic_load_n(&old->count.inflight, __ATOMIC_ACQUIRE))
				usleep(50);
			device_close(old);
			if (was != disk[k])
				disk_free(was);
		}
		}
		wait_whole();
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < WORKERS; i++)
		pthread_join(w[i].thread, NULL);
	need(mirror->count.inflight == 0);
	printf("%lu rounds: lost %llu, whole %llu, moved %llu\n", rounds,
	       (unsigned long long)lost, (unsigned long long)whole, (unsigned long long)moved);
	need(lost > 0 && whole > 0 && moved > 0);
	device_close(mirror);
	disk_free(disk[0]);
	disk_free(disk[1]);
	return 0;
}
