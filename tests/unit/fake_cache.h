/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A cache of an image in memory, with all that is below image_swapcache.c: fakes of
 * cacheobj.h, swapcached.h, swapcache_get and drum_submit, and a kind of image.  They are fakes
 * since here a test says in which order reads of swap and of the image end, and how, and
 * whether the daemon takes a put.  To be included by one file of a test alone.
 *
 * They keep what the headers promise: blocks that are read stay, a change spoils the puts that
 * it meets, nothing is put beside one, or after one that has failed.  What is freed is
 * overwritten, so who reads it too late reads nonsense.
 */
#ifndef DRUM_TESTS_FAKE_CACHE_H
#define DRUM_TESTS_FAKE_CACHE_H

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "swap/swapcached.h"
#include "vmm/image_swapcache.h"

#define FAKE_BLOCKS  128u
#define FAKE_SLOTS   512u
#define FAKE_PUTS    4u
#define FAKE_PENDING 64u
#define FAKE_NONE    UINT32_MAX
#define FAKE_BLOCK   4096u

static uint64_t fake_whole_blocks(void); /* of the image that is cached */

/* --- cacheobj ------------------------------------------------------------------------ */

struct cacheobj {
	unsigned int refs;
	uint32_t word[FAKE_BLOCKS]; /* its slot, or FAKE_NONE */
	uint8_t slot[FAKE_SLOTS][FAKE_BLOCK];
	bool used[FAKE_SLOTS];
	uint32_t next_slot;
	struct cacheobj_read *reads;
	struct cacheobj_change *changes;
	struct cacheobj_put *puts;
	bool held; /* a change has failed */
	unsigned int n_reads, n_changes, n_failed;
	int last_err; /* of cacheobj_read_end */
};

static inline struct cacheobj *fake_cache(void)
{
	struct cacheobj *c = calloc(1, sizeof(*c));

	assert(c);
	c->refs = 1;
	memset(c->word, 0xff, sizeof(c->word));
	return c;
}

void cacheobj_ref(struct cacheobj *c)
{
	c->refs++;
}

void cacheobj_unref(struct cacheobj *c)
{
	assert(c->refs > 1); /* the last one is the test's */
	c->refs--;
}

static bool slot_is_read(const struct cacheobj *c, uint32_t slot)
{
	for (const struct cacheobj_read *r = c->reads; r; r = r->next)
		if (slot >= r->addr && slot < r->addr + r->n)
			return true;
	return false;
}

static void free_slot(struct cacheobj *c, uint32_t slot)
{
	for (uint32_t b = 0; b < FAKE_BLOCKS; b++)
		if (c->word[b] == slot)
			return;
	if (slot_is_read(c, slot))
		return;
	memset(c->slot[slot], 0xdd, FAKE_BLOCK);
	c->used[slot] = false;
}

static inline void fake_drop(struct cacheobj *c, uint64_t block, uint64_t end)
{
	for (; block < end && block < FAKE_BLOCKS; block++) {
		uint32_t slot = c->word[block];

		c->word[block] = FAKE_NONE;
		if (slot != FAKE_NONE)
			free_slot(c, slot);
	}
}

uint32_t cacheobj_read(struct cacheobj *c, struct cacheobj_read *r, uint64_t block,
		       uint64_t max, uint64_t *gap)
{
	uint64_t n = 1;

	assert(max > 0 && block + max <= fake_whole_blocks());
	if (c->word[block] == FAKE_NONE) {
		while (n < max && c->word[block + n] == FAKE_NONE)
			n++;
		*gap = n;
		return 0;
	}
	while (n < max && (block + n) % CACHEOBJ_RUN && c->word[block + n] != FAKE_NONE &&
	       c->word[block + n] == c->word[block] + n)
		n++;
	*r = (struct cacheobj_read){ c->reads, NULL, block, (uint32_t)n, c->word[block] };
	if (c->reads)
		c->reads->prev = r;
	c->reads = r;
	c->n_reads++;
	return r->n;
}

void cacheobj_read_end(struct cacheobj *c, struct cacheobj_read *r, int err)
{
	*(r->prev ? &r->prev->next : &c->reads) = r->next;
	if (r->next)
		r->next->prev = r->prev;
	c->last_err = err;
	for (uint32_t k = 0; k < r->n; k++) {
		if (err && c->word[r->block + k] == r->addr + k)
			c->word[r->block + k] = FAKE_NONE;
		free_slot(c, (uint32_t)r->addr + k);
	}
	memset(r, 0xdd, sizeof(*r));
}

bool cacheobj_is_empty(const struct cacheobj *c)
{
	for (uint32_t b = 0; b < FAKE_BLOCKS; b++)
		if (c->word[b] != FAKE_NONE)
			return false;
	return true;
}

static bool is_being_put(const struct cacheobj *c, uint64_t block)
{
	for (const struct cacheobj_put *p = c->puts; p; p = p->next)
		if (block >= p->block && block < p->block + p->n)
			return true;
	return false;
}

bool cacheobj_has(struct cacheobj *c, uint64_t block)
{
	return c->word[block] != FAKE_NONE || is_being_put(c, block);
}

void cacheobj_change(struct cacheobj *c, struct cacheobj_change *ch, uint64_t block,
		     uint64_t end)
{
	*ch = (struct cacheobj_change){ c->changes, NULL, block, end };
	if (c->changes)
		c->changes->prev = ch;
	c->changes = ch;
	c->n_changes++;
	for (struct cacheobj_put *p = c->puts; p; p = p->next)
		for (uint32_t k = 0; k < p->n; k++)
			if (p->block + k >= block && p->block + k < end)
				p->gone |= 1u << k;
	fake_drop(c, block, end);
}

void cacheobj_changed(struct cacheobj *c, struct cacheobj_change *ch, bool failed)
{
	*(ch->prev ? &ch->prev->next : &c->changes) = ch->next;
	if (ch->next)
		ch->next->prev = ch->prev;
	c->held |= failed;
	c->n_failed += failed;
	memset(ch, 0xdd, sizeof(*ch));
}

struct drum *cacheobj_drum(const struct cacheobj *c)
{
	return (struct drum *)(uintptr_t)c;
}

static bool may_put(const struct cacheobj *c, uint64_t block)
{
	if (c->held || c->word[block] != FAKE_NONE || is_being_put(c, block))
		return false;
	for (const struct cacheobj_change *ch = c->changes; ch; ch = ch->next)
		if (block >= ch->block && block < ch->end)
			return false;
	return true;
}

/* n slots in a row: so old ones are used again, but not at once. */
static uint32_t take_slots(struct cacheobj *c, uint32_t n)
{
	for (uint32_t tries = 0; tries < 2 * FAKE_SLOTS; tries++) {
		uint32_t at = c->next_slot % (FAKE_SLOTS - n), k = 0;

		while (k < n && !c->used[at + k])
			k++;
		c->next_slot = at + k + 1;
		if (k == n) {
			memset(&c->used[at], true, n);
			return at;
		}
	}
	abort();
}

/* Have blocks cached that hold what is at data, in slots that follow each other. */
static inline void fake_cached(struct cacheobj *c, uint64_t block, uint32_t n,
			       const uint8_t *data, uint32_t gone)
{
	uint32_t at = take_slots(c, n);

	for (uint32_t k = 0; k < n; k++) {
		memcpy(c->slot[at + k], data + (size_t)k * FAKE_BLOCK, FAKE_BLOCK);
		if (k >= 32 || !(gone & 1u << k)) {
			assert(c->word[block + k] == FAKE_NONE);
			c->word[block + k] = at + k;
		}
		free_slot(c, at + k);
	}
}

/* --- the daemon ---------------------------------------------------------------------- */

struct swapcached {
	struct swapcached_put put[FAKE_PUTS];
	uint8_t buf[FAKE_PUTS][CACHEOBJ_RUN * FAKE_BLOCK];
	enum { FAKE_FREE, FAKE_TAKEN, FAKE_GIVEN } state[FAKE_PUTS];
	bool refuse;  /* it may not write */
	uint32_t max; /* blocks of a put; 0: as many as may be */
	unsigned int gets, gives, drops;
	uint64_t last_block;
	uint32_t last_n;
};

struct swapcached_put *swapcached_get(struct swapcached *sd, struct cacheobj *c, uint64_t block,
				      uint32_t max)
{
	unsigned int i = 0;
	uint32_t n = 0;
	struct cacheobj_put *p;

	assert(max > 0 && max <= CACHEOBJ_RUN);
	sd->gets++;
	if (sd->max && max > sd->max)
		max = sd->max;
	while (i < FAKE_PUTS && sd->state[i] != FAKE_FREE)
		i++;
	if (sd->refuse || i == FAKE_PUTS)
		return NULL;
	while (n < max && (n == 0 || (block + n) % CACHEOBJ_RUN) && may_put(c, block + n))
		n++;
	if (n == 0)
		return NULL;
	p = &sd->put[i].range;
	*p = (struct cacheobj_put){ .next = c->puts, .obj = c, .block = block, .n = n };
	if (c->puts)
		c->puts->prev = p;
	c->puts = p;
	sd->put[i].buf = sd->buf[i];
	memset(sd->buf[i], 0xcc, sizeof(sd->buf[i]));
	sd->state[i] = FAKE_TAKEN;
	sd->last_block = block;
	sd->last_n = n;
	return &sd->put[i];
}

static void end_put(struct swapcached *sd, struct swapcached_put *sp)
{
	struct cacheobj_put *p = &sp->range;

	*(p->prev ? &p->prev->next : &p->obj->puts) = p->next;
	if (p->next)
		p->next->prev = p->prev;
	sd->state[sp - sd->put] = FAKE_FREE;
}

void swapcached_give(struct swapcached *sd, struct swapcached_put *p, uint32_t n)
{
	assert(sd->state[p - sd->put] == FAKE_TAKEN && n > 0 && n <= p->range.n);
	sd->gives++;
	p->n = n;
	sd->state[p - sd->put] = FAKE_GIVEN;
}

void swapcached_drop(struct swapcached *sd, struct swapcached_put *p)
{
	assert(sd->state[p - sd->put] == FAKE_TAKEN);
	sd->drops++;
	end_put(sd, p);
}

/* Write one that was given, the i-th of these at most. => false: there is none */
static inline bool fake_write(struct swapcached *sd, unsigned int i)
{
	struct swapcached_put *p = NULL;

	for (unsigned int k = 0; k < FAKE_PUTS; k++)
		if (sd->state[k] == FAKE_GIVEN && (!p || i-- > 0))
			p = &sd->put[k];
	if (!p)
		return false;
	end_put(sd, p);
	fake_cached(p->range.obj, p->range.block, p->n, p->buf, p->range.gone);
	return true;
}

uint64_t swapcache_get(const struct swapcache *sc, enum swapcache_knob k)
{
	return sc->knob[k];
}

/* --- what is under way --------------------------------------------------------------- */

struct fake_io {
	struct image_req *req; /* of the image; or NULL: */
	struct swap_io *io;    /* of swap */
	drum_addr addr;
	uint8_t *early; /* what it reads, taken when it was submitted; or NULL */
};

struct fake_image {
	struct image image; /* first */
	uint8_t *content;   /* what the image holds */
	uint64_t room;	    /* bytes of it */
	struct cacheobj *c;
	struct fake_io io[FAKE_PENDING];
	unsigned int n;
	unsigned int reads, changes, flushes; /* submitted */
	bool (*early)(void);   /* is what is read taken when it is submitted? NULL: no */
	uint64_t bad, bad_end; /* bytes of the image that cannot be read */
	bool cancelled;
};

static struct fake_image *fake_now; /* what has no argument for it finds it here */

static uint64_t fake_whole_blocks(void)
{
	return image_bytes(&fake_now->image) / FAKE_BLOCK;
}

static void add_pending(struct fake_image *f, struct fake_io io)
{
	assert(f->n < FAKE_PENDING);
	f->io[f->n++] = io;
}

void drum_submit(struct drum *d, struct ring *ring, struct swap_io *io, drum_addr a)
{
	assert(ring && (struct cacheobj *)(uintptr_t)d == fake_now->c);
	assert(!io->write && io->urgent && io->niov == 1);
	assert((uintptr_t)io->iov[0].iov_base % 4096 == 0 &&
	       io->iov[0].iov_len % FAKE_BLOCK == 0);
	add_pending(fake_now, (struct fake_io){ .io = io, .addr = a });
}

static inline void fake_submit(struct image *image, struct image_req *req)
{
	struct fake_image *f = (struct fake_image *)image;
	struct fake_io io = { .req = req };
	uint64_t bytes = 0;

	/* real kinds have lists of their own */
	assert(!req->next);
	for (unsigned int i = 0; i < req->niov; i++)
		bytes += req->iov[i].iov_len;
	if (req->op == IMAGE_READ || req->op == IMAGE_WRITE)
		assert(bytes == req->len);
	if (req->op != IMAGE_FLUSH)
		assert(req->len > 0 && req->off % image->info.block_size == 0 &&
		       req->len % image->info.block_size == 0 &&
		       req->off + req->len <= image_bytes(image));
	if (req->op == IMAGE_READ && f->early && f->early()) {
		io.early = malloc(req->len);
		assert(io.early);
		memcpy(io.early, f->content + req->off, req->len);
	}
	f->reads += req->op == IMAGE_READ;
	f->flushes += req->op == IMAGE_FLUSH;
	f->changes += req->op != IMAGE_READ && req->op != IMAGE_FLUSH;
	add_pending(f, io);
}

static int carry_out(struct fake_image *f, struct fake_io *io)
{
	struct image_req *req = io->req;

	switch (req->op) {
	case IMAGE_READ:
		if (req->off < f->bad_end && req->off + req->len > f->bad)
			return -EIO;
		return image_scatter(req, 0, io->early ? io->early : f->content + req->off,
				     (uint32_t)req->len);
	case IMAGE_WRITE:
		return image_gather(req, 0, f->content + req->off, (uint32_t)req->len);
	case IMAGE_DISCARD:
	case IMAGE_ZEROES:
		memset(f->content + req->off, 0, req->len);
		return 0;
	case IMAGE_FLUSH:
		return 0;
	}
	abort();
}

/* End what is the i-th of all under way; err: 0, or it fails (and is done all the same, if
 * `done`). */
static inline void fake_end(struct fake_image *f, unsigned int i, int err, bool done)
{
	struct fake_io io = f->io[i];

	assert(i < f->n);
	memmove(&f->io[i], &f->io[i + 1], (--f->n - i) * sizeof(io));
	if (io.io) {
		size_t n = io.io->iov[0].iov_len;

		if (!err || done)
			memcpy(io.io->iov[0].iov_base, f->c->slot[io.addr], n);
		io.io->done(io.io, err);
		return;
	}
	if (!err)
		err = carry_out(f, &io);
	else if (done)
		(void)!carry_out(f, &io);
	free(io.early);
	image_end(io.req, err);
}

static inline void fake_cancel(struct image *image)
{
	struct fake_image *f = (struct fake_image *)image;

	f->cancelled = true;
}

static inline void fake_close(struct image *image)
{
	struct fake_image *f = (struct fake_image *)image;

	assert(f->n == 0);
	free(f->content);
	free(f);
}

static inline struct fake_image *fake_image(uint64_t bytes, uint32_t block_size,
					    struct cacheobj *c)
{
	static const struct image_ops ops = {
		.submit = fake_submit,
		.cancel = fake_cancel,
		.close = fake_close,
	};
	struct fake_image *f = calloc(1, sizeof(*f));

	assert(f);
	if (image_init(&f->image, &ops, "fake", IMAGE_CACHE_NONE, false) < 0)
		abort();
	f->image.info.block_size = block_size;
	f->image.info.bytes = bytes;
	f->room = (uint64_t)FAKE_BLOCKS * FAKE_BLOCK;
	f->content = calloc(1, f->room);
	assert(f->content);
	f->c = c;
	fake_now = f;
	return f;
}

#endif
