/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A swap device in memory that fails when and how a test says: a fake, since a
 * real one cannot be told to fail on one half, or in the middle of a block.
 *
 * Its disk outlives the device, as a real one does.  I/O is done at once and told
 * by the ring, or, with `hold`, kept until fake_let_go.  Without `hold`, any
 * number of threads may use it.
 */
#ifndef DRUM_TESTS_FAKE_HALF_H
#define DRUM_TESTS_FAKE_HALF_H

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "swap/device.h"

#define FAKE_HELD_MAX 256

struct disk {
	uint64_t ino;
	uint64_t blocks;
	uint8_t *data;
};

struct fake {
	struct swap_device base;
	struct disk *disk;
	/* [a] the next `pass` I/Os of the kind are well, then this error, 0: none */
	int read_err, write_err;
	int read_pass, write_pass;
	uint64_t bad_block; /* reads of it alone fail, with read_err; UINT64_MAX: any */
	bool hold;
	struct swap_io *held[FAKE_HELD_MAX]; /* in the order of coming */
	unsigned int nheld, most;
	uint64_t reads, writes; /* [a] */
};

static inline struct disk *disk_new(uint64_t ino, uint64_t blocks)
{
	struct disk *d = calloc(1, sizeof(*d));

	assert(d);
	d->ino = ino;
	d->blocks = blocks;
	d->data = malloc(blocks * SWAP_BLOCK);
	assert(d->data);
	memset(d->data, 0xa5, blocks * SWAP_BLOCK);
	return d;
}

static inline void disk_free(struct disk *d)
{
	if (d)
		free(d->data);
	free(d);
}

/* => 0 or the error that is due */
static inline int fake_due(int *err, int *pass)
{
	int now = __atomic_load_n(err, __ATOMIC_RELAXED);

	return now && __atomic_sub_fetch(pass, 1, __ATOMIC_RELAXED) < 0 ? now : 0;
}

/* Move the bytes; a write that fails has done the half of it, wrongly. */
static inline int fake_do(struct fake *f, struct swap_io *io)
{
	uint8_t *at = f->disk->data + io->offset;
	bool hit = f->bad_block == UINT64_MAX ||
		   (f->bad_block >= io->block &&
		    f->bad_block < io->block + (io->total >> SWAP_BLOCK_SHIFT));
	int err = 0;

	assert(io->offset + io->total <= f->disk->blocks * SWAP_BLOCK);
	__atomic_fetch_add(io->write ? &f->writes : &f->reads, 1, __ATOMIC_RELAXED);
	if (io->write)
		err = fake_due(&f->write_err, &f->write_pass);
	else if (hit)
		err = fake_due(&f->read_err, &f->read_pass);
	for (uint32_t i = 0; i < io->niov; i++) {
		size_t n = io->iov[i].iov_len;

		if (err && io->write)
			memset(at, 0xee, n / 2);
		else if (err)
			memset(io->iov[i].iov_base, 0xdd, n);
		else if (io->write)
			memcpy(at, io->iov[i].iov_base, n);
		else
			memcpy(io->iov[i].iov_base, at, n);
		at += n;
	}
	return err;
}

static inline void fake_submit(struct swap_device *dev, struct swap_io *io)
{
	struct fake *f = (struct fake *)dev;

	if (!f->hold) {
		device_post(io, fake_do(f, io));
		return;
	}
	assert(f->nheld < FAKE_HELD_MAX);
	f->held[f->nheld++] = io;
	if (f->nheld > f->most)
		f->most = f->nheld;
}

/* Do the i-th that is held, after which it is not. */
static inline void fake_let_go(struct fake *f, unsigned int i)
{
	struct swap_io *io = f->held[i];

	assert(i < f->nheld);
	memmove(&f->held[i], &f->held[i + 1], (f->nheld - i - 1) * sizeof(f->held[0]));
	f->nheld--;
	device_post(io, fake_do(f, io));
}

static inline void fake_close(struct swap_device *dev)
{
	assert(((struct fake *)dev)->nheld == 0);
}

static inline int64_t fake_grow(struct swap_device *dev, uint64_t bytes)
{
	(void)dev;
	return (int64_t)(bytes / SWAP_BLOCK);
}

static inline struct fake *fake_new(struct disk *d)
{
	static const struct swap_device_ops ops = {
		.kind = "fake",
		.submit = fake_submit,
		.close = fake_close,
		.grow = fake_grow,
	};
	struct fake *f = (struct fake *)device_alloc(sizeof(*f), &ops, "fake");

	assert(f);
	f->disk = d;
	f->base.dev = 1;
	f->base.ino = d->ino;
	f->base.blocks = d->blocks;
	f->bad_block = UINT64_MAX;
	return f;
}

#endif
