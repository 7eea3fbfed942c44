/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests to an image that has a cache, for the tests of image_swapcache.c: over a cache, a
 * daemon and an image whose every completion the test decides (fake_cache.h).
 *
 * What stands anywhere says which sector it is, and of which version: mostly 1 is what the
 * image holds and 2 what the cache does, which tells where something was read.
 */
#ifndef DRUM_TESTS_CACHE_IO_H
#define DRUM_TESTS_CACHE_IO_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "fake_cache.h"

#define LIMIT  .timeout = 60
#define SECTOR 512u
#define TAIL   (3 * SECTOR) /* behind the last whole block */
#define BLOCKS 96u
#define BYTES  (BLOCKS * (uint64_t)FAKE_BLOCK + TAIL)
#define GAP    3u /* bytes between vectors, which are to stay as they are */

static struct cacheobj *c;
static struct swapcached *sd;
static struct swapcache policy;
static struct fake_image *f;
static struct image *image;
static struct ring *ring;

/* --- content ------------------------------------------------------------------------- */

static inline void stamp(void *at, uint64_t off, uint64_t len, uint64_t version)
{
	for (uint64_t i = 0; i < len; i += 8) {
		uint64_t word = version << 20 | (off + i) / SECTOR;

		memcpy((char *)at + i, &word, 8);
	}
}

static inline bool is_stamped(const void *at, uint64_t off, uint64_t len, uint64_t version)
{
	char *want = malloc(len);
	bool same;

	stamp(want, off, len, version);
	same = memcmp(at, want, len) == 0;
	free(want);
	return same;
}

/* Blocks that hold version 2 are cached. */
static inline void have_cached(uint64_t block, uint32_t n)
{
	uint8_t *data = malloc((size_t)n * FAKE_BLOCK);

	stamp(data, block * FAKE_BLOCK, (uint64_t)n * FAKE_BLOCK, 2);
	fake_cached(c, block, n, data, 0);
	free(data);
}

static inline void use(struct image *with, enum swapcache_mode mode)
{
	cr_assert_eq(image_swapcache_on(with, c, sd, &policy, mode), 0);
}

static inline void begin(uint64_t bytes, uint32_t block_size)
{
	c = fake_cache();
	sd = calloc(1, sizeof(*sd));
	ring = ring_create(64);
	cr_assert(sd && ring);
	memset(&policy, 0, sizeof(policy));
	policy.knob[SWAPCACHE_READ_ENABLE] = 1;
	policy.knob[SWAPCACHE_FILL_ENABLE] = 1;
	f = fake_image(bytes, block_size, c);
	image = &f->image;
	stamp(f->content, 0, f->room, 1);
	use(image, SWAPCACHE_ON);
}

static inline void set_up(void)
{
	begin(BYTES, SECTOR);
}

static inline void tear_down(void)
{
	image_close(image);
	while (fake_write(sd, 0))
		;
	cr_assert_eq(c->refs, 1);
	cr_assert(!c->reads && !c->changes && !c->puts, "all is over");
	ring_destroy(ring);
	free(sd);
	free(c);
}

/* --- requests ------------------------------------------------------------------------ */

struct rd {
	struct image_req req;
	int ended, err;
	unsigned int order; /* the how many-th that has ended */
	uint64_t since;	    /* of the random test */
	struct iovec *iov;
	char *mem;
	size_t size;
	void (*then)(struct rd *);
};

static unsigned int all_ended;

static inline void on_end(struct image_req *req, int err)
{
	struct rd *r = (struct rd *)req;

	r->err = err;
	r->ended++;
	r->order = ++all_ended;
	if (r->then)
		r->then(r);
}

/* Vectors of `per` bytes (0: of one), each at an odd distance from the one before. */
static inline struct rd *make(enum image_op op, uint64_t off, uint64_t len, uint64_t per)
{
	struct rd *r = calloc(1, sizeof(*r));
	uint64_t n;

	cr_assert_not_null(r);
	per = per ? per : len;
	n = (len + per - 1) / per;
	r->req.done = on_end;
	r->req.op = op;
	r->req.off = off;
	r->req.len = len;
	if (op != IMAGE_READ && op != IMAGE_WRITE)
		return r;
	r->size = len + n * GAP;
	r->mem = malloc(r->size);
	r->iov = calloc(n, sizeof(*r->iov));
	memset(r->mem, 0xee, r->size);
	r->req.iov = r->iov;
	r->req.niov = (unsigned int)n;
	for (uint64_t i = 0; i < n; i++)
		r->iov[i] = (struct iovec){ r->mem + i * (per + GAP),
					    i == n - 1 ? len - i * per : per };
	return r;
}

static inline void submit(struct rd *r)
{
	r->ended = 0;
	image_submit(image, ring, &r->req);
	cr_assert_eq(r->ended, 0, "done was called from within image_submit");
}

static inline struct rd *read_at(uint64_t off, uint64_t len, uint64_t per)
{
	struct rd *r = make(IMAGE_READ, off, len, per);

	submit(r);
	return r;
}

/* All that is under way ends, and what comes of it, the newest first. */
static inline void end_all(void)
{
	while (f->n > 0)
		fake_end(f, f->n - 1, 0, true);
	while (ring_run(ring, 0) > 0)
		;
}

/* What was read, in a row; what is between the vectors has not changed. Free it. */
static inline char *flat(const struct rd *r)
{
	char *out = malloc(r->req.len), *at = out;

	for (unsigned int i = 0; i < r->req.niov; i++) {
		const struct iovec *v = &r->iov[i];

		memcpy(at, v->iov_base, v->iov_len);
		at += v->iov_len;
		for (unsigned int k = 0; k < GAP; k++)
			cr_assert_eq(((char *)v->iov_base)[v->iov_len + k], (char)0xee);
	}
	return out;
}

static inline void drop(struct rd *r)
{
	free(r->mem);
	free(r->iov);
	free(r);
}

/* It has ended well, and has this version of its bytes from..to. */
static inline void has(const struct rd *r, uint64_t from, uint64_t to, uint64_t version)
{
	char *data = flat(r);

	cr_assert_eq(r->ended, 1);
	cr_assert_eq(r->err, 0, "%d", r->err);
	cr_assert(is_stamped(data + (from - r->req.off), from, to - from, version),
		  "bytes %lu to %lu are not version %lu", (unsigned long)from,
		  (unsigned long)to, (unsigned long)version);
	free(data);
}

/* Read all of it: it is version 2 where cached, from the image elsewhere. */
static inline void reads_right(uint64_t off, uint64_t len, uint64_t per)
{
	struct rd *r = read_at(off, len, per);
	uint64_t at, to;

	end_all();
	for (at = off; at < off + len; at = to) {
		uint64_t block = at / FAKE_BLOCK;
		bool there = block < FAKE_BLOCKS && c->word[block] != FAKE_NONE;

		to = (block + 1) * FAKE_BLOCK;
		to = to < off + len ? to : off + len;
		has(r, at, to, there ? 2 : 1);
	}
	drop(r);
}

static inline struct image_swapcache_counts counts(void)
{
	struct image_swapcache_counts n;

	image_swapcache_get_counts(image, &n);
	return n;
}

/* Blocks are filled as they are read. */
static inline void fills(void)
{
	policy.knob[SWAPCACHE_DATA_ENABLE] = 1;
}

#endif
