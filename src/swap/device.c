/* SPDX-License-Identifier: BSD-2-Clause */
/* What all kinds of swap device have in common: counting, and finishing short I/O. */

#include "swap/device.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

static void count(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static void finish(struct swap_io *io, int err)
{
	struct swap_device_counters *c = &io->dev->count;

	__atomic_fetch_sub(&c->inflight, 1, __ATOMIC_RELAXED);
	if (io->write) {
		count(&c->writes, 1);
		count(&c->write_bytes, io->total - io->left);
		count(&c->write_errors, err != 0);
	} else {
		count(&c->reads, 1);
		count(&c->read_bytes, io->total - io->left);
		count(&c->read_errors, err != 0);
	}
	io->done(io, err);
}

/* Skip n bytes of the vectors that were moved. */
static void advance(struct swap_io *io, uint32_t n)
{
	io->left -= n;
	io->offset += n;
	while (n > 0) {
		struct iovec *v = &io->iov[io->first_iov];

		if (n < v->iov_len) {
			v->iov_base = (char *)v->iov_base + n;
			v->iov_len -= n;
			return;
		}
		n -= (uint32_t)v->iov_len;
		io->first_iov++;
	}
}

static void on_done(struct ring_op *op, int res)
{
	struct swap_io *io = (struct swap_io *)((char *)op - offsetof(struct swap_io, op));

	if (res == -EINTR || res == -EAGAIN) {
		io->dev->ops->submit(io->dev, io);
		return;
	}
	if (res < 0) {
		finish(io, res);
		return;
	}
	/* O_DIRECT goes on only at whole blocks of the disk */
	if (res == 0 || (uint32_t)res > io->left || (uint32_t)res % 512 != 0) {
		finish(io, -EIO);
		return;
	}
	advance(io, (uint32_t)res);
	if (io->left > 0)
		io->dev->ops->submit(io->dev, io);
	else
		finish(io, 0);
}

void device_submit(struct swap_device *dev, struct ring *ring, struct swap_io *io,
		   uint64_t block)
{
	io->op = (struct ring_op){ .done = on_done };
	io->dev = dev;
	io->ring = ring;
	io->offset = block << SWAP_BLOCK_SHIFT;
	io->first_iov = 0;
	io->total = 0;
	for (uint32_t i = 0; i < io->niov; i++)
		io->total += (uint32_t)io->iov[i].iov_len;
	io->left = io->total;
	count(&dev->count.inflight, 1);
	dev->ops->submit(dev, io);
}

void device_close(struct swap_device *dev)
{
	if (!dev)
		return;
	dev->ops->close(dev);
	free(dev->path);
	free(dev);
}
