/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests to images, for the tests of each kind of them. */
#ifndef DRUM_TESTS_IMAGE_IO_H
#define DRUM_TESTS_IMAGE_IO_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/image.h"

#define VECTORS_MAX 64

struct call {
	struct image_req req;
	int ended, err;
	struct iovec iov[VECTORS_MAX];
	char *data; /* len bytes at an address that is `skew` beyond a page */
	char *memory;
};

static inline void on_call(struct image_req *req, int err)
{
	struct call *c = (struct call *)req;

	c->err = err;
	c->ended++;
}

/* The vectors are `per` bytes each; skew: of their address, 0 or less than 4096. */
static inline struct call *make_call(enum image_op op, uint64_t off, uint64_t len, size_t per,
				     size_t skew)
{
	struct call *c = calloc(1, sizeof(*c));
	size_t bytes = (len + 8191) & ~(size_t)4095;

	c->req.done = on_call;
	c->req.op = op;
	c->req.off = off;
	c->req.len = len;
	if (op != IMAGE_READ && op != IMAGE_WRITE)
		return c;
	c->memory = aligned_alloc(4096, bytes);
	memset(c->memory, 0xee, bytes);
	c->data = c->memory + skew;
	c->req.iov = c->iov;
	for (size_t at = 0; at < len; at += per) {
		cr_assert_lt(c->req.niov, VECTORS_MAX);
		c->iov[c->req.niov].iov_base = c->data + at;
		c->iov[c->req.niov++].iov_len = len - at < per ? len - at : per;
	}
	return c;
}

static inline void free_call(struct call *c)
{
	free(c->memory);
	free(c);
}

/* What stands at byte off after it was written with this seed. */
static inline char byte_of(uint64_t off, unsigned int seed)
{
	return (char)(((off >> 9) * 0x9e37u + off * 7 + seed * 0x51edu) >> 3);
}

static inline void fill(char *data, uint64_t off, uint64_t len, unsigned int seed)
{
	for (uint64_t i = 0; i < len; i++)
		data[i] = byte_of(off + i, seed);
}

static inline bool is_filled(const char *data, uint64_t off, uint64_t len, unsigned int seed)
{
	for (uint64_t i = 0; i < len; i++)
		if (data[i] != byte_of(off + i, seed))
			return false;
	return true;
}

static inline bool is_zero(const char *data, uint64_t len)
{
	for (uint64_t i = 0; i < len; i++)
		if (data[i])
			return false;
	return true;
}

static inline struct ring *make_ring(void)
{
	struct ring *r = ring_create(64);

	cr_assert_not_null(r);
	return r;
}

static inline int finish(struct ring *r, struct call *c)
{
	while (!c->ended)
		cr_assert_geq(ring_run(r, UINT64_MAX), 0);
	cr_assert_eq(c->ended, 1);
	return c->err;
}

static inline void submit(struct image *image, struct ring *r, struct call *c)
{
	c->ended = 0;
	c->err = 1;
	image_submit(image, r, &c->req);
	cr_assert_eq(c->ended, 0, "done was called from within image_submit");
}

static inline int run_call(struct image *image, struct ring *r, struct call *c)
{
	submit(image, r, c);
	return finish(r, c);
}

/* One request without data. => its err */
static inline int order(struct image *image, struct ring *r, enum image_op op, uint64_t off,
			uint64_t len, bool unmap)
{
	struct call *c = make_call(op, off, len, 1, 0);
	int err;

	c->req.unmap = unmap;
	err = run_call(image, r, c);
	free_call(c);
	return err;
}

static inline int put(struct image *image, struct ring *r, uint64_t off, uint64_t len,
		      size_t per, size_t skew, unsigned int seed)
{
	struct call *c = make_call(IMAGE_WRITE, off, len, per, skew);
	int err;

	fill(c->data, off, len, seed);
	err = run_call(image, r, c);
	free_call(c);
	return err;
}

/* Read, and look whether it is what put has written, or zeros (seed 0). */
static inline bool holds(struct image *image, struct ring *r, uint64_t off, uint64_t len,
			 size_t per, size_t skew, unsigned int seed)
{
	struct call *c = make_call(IMAGE_READ, off, len, per, skew);
	bool same;

	cr_assert_eq(run_call(image, r, c), 0);
	same = seed ? is_filled(c->data, off, len, seed) : is_zero(c->data, len);
	free_call(c);
	return same;
}

#endif
