/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What all kinds of swap device have in common.
 *
 * Theory of operation
 *
 *	device_submit	checksum of what is written > queue_enter
 *	queue		> ops->submit
 *	the kind	> device_moved (bytes, on the ring's thread), which goes on
 *			with what a short transfer left, or device_post (the end,
 *			from any thread)
 *	finish		checksum of what was read > queue_leave > counters > done
 *
 * A short transfer cuts off the front of a vector; the vector is made whole
 * again before it is passed over, so that in finish all are as they were given.
 */

#include "swap/device.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/guard.h"
#include "swap/sums.h"

/* Between two events that an I/O has failed. */
#define TELL_NS NSEC_PER_SEC

static void count(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

void device_tell(struct swap_device *dev, enum swap_event event, int err, const char *fmt, ...)
{
	/* a mirror may take the place of its halves' listener at any moment */
	const struct swap_listener *l = __atomic_load_n(&dev->listener, __ATOMIC_ACQUIRE);
	char text[256];
	va_list ap;

	if (!l)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	l->event(l->arg, dev, event, err, text);
}

static void tell_error(struct swap_io *io, int err)
{
	struct swap_device *dev = io->dev;
	uint64_t now = clock_ns(), last = __atomic_load_n(&dev->told_at, __ATOMIC_RELAXED);

	/* it is not the device's fault that the guest gave a page back */
	if (err == -EFAULT || (last && now - last < TELL_NS))
		return;
	__atomic_store_n(&dev->told_at, now, __ATOMIC_RELAXED);
	device_tell(dev, SWAP_EVENT_ERROR, err, "%s of %u bytes at block %llu: %s",
		    io->write ? "write" : "read", io->total, (unsigned long long)io->block,
		    err == -EILSEQ ? "wrong checksum" : strerror(-err));
}

/* Each block of the vectors, in order, until fn says false. */
static bool each_block(struct swap_io *io,
		       bool (*fn)(struct sums *s, uint64_t block, const void *data))
{
	uint64_t block = io->block;

	for (uint32_t i = 0; i < io->niov; i++)
		for (size_t at = 0; at < io->iov[i].iov_len; at += SWAP_BLOCK)
			if (!fn(io->dev->sums, block++, (char *)io->iov[i].iov_base + at))
				return false;
	return true;
}

static bool check_block(struct sums *s, uint64_t block, const void *data)
{
	return sums_check(s, block, data);
}

static bool set_block(struct sums *s, uint64_t block, const void *data)
{
	sums_set(s, block, data);
	return true;
}

static void set_sums(void *arg)
{
	each_block(arg, set_block);
}

static void finish(struct swap_io *io, int err)
{
	struct swap_device_counters *c = &io->dev->count;

	if (err == 0 && !io->write && io->dev->sums && !each_block(io, check_block)) {
		err = -EILSEQ;
		count(&c->checksum_errors, 1);
	}
	queue_leave(&io->dev->queue);
	if (io->write) {
		count(&c->writes, 1);
		count(&c->write_bytes, io->total - io->left);
		count(&c->write_errors, err != 0);
	} else {
		count(&c->reads, 1);
		count(&c->read_bytes, io->total - io->left);
		count(&c->read_errors, err != 0);
	}
	if (err)
		tell_error(io, err);
	/* last: whoever sees that none is in flight may close the device */
	__atomic_fetch_sub(&c->inflight, 1, __ATOMIC_RELEASE);
	io->done(io, err);
}

/* Skip n bytes of the vectors that were moved. */
static void advance(struct swap_io *io, uint32_t n)
{
	io->left -= n;
	io->offset += n;
	while (n > 0) {
		struct iovec *v = &io->iov[io->first_iov];
		uint32_t now = n < v->iov_len ? n : (uint32_t)v->iov_len;

		v->iov_base = (char *)v->iov_base + now;
		v->iov_len -= now;
		io->cut += now;
		n -= now;
		if (v->iov_len > 0)
			return;
		v->iov_base = (char *)v->iov_base - io->cut;
		v->iov_len = io->cut;
		io->cut = 0;
		io->first_iov++;
	}
}

/* A vector that is cut is whole again; what was moved stays in left. */
static void make_whole(struct swap_io *io)
{
	struct iovec *v = &io->iov[io->first_iov];

	if (io->cut == 0)
		return;
	v->iov_base = (char *)v->iov_base - io->cut;
	v->iov_len += io->cut;
	io->cut = 0;
}

void device_moved(struct swap_io *io, int res)
{
	if (res == -EINTR || res == -EAGAIN) {
		io->dev->ops->submit(io->dev, io);
		return;
	}
	/* O_DIRECT goes on only at whole blocks of the disk */
	if (res == 0 || (res > 0 && ((uint32_t)res > io->left || (uint32_t)res % 512 != 0)))
		res = -EIO;
	if (res > 0)
		advance(io, (uint32_t)res);
	if (res > 0 && io->left > 0) {
		io->dev->ops->submit(io->dev, io);
		return;
	}
	make_whole(io);
	finish(io, res < 0 ? res : 0);
}

static struct swap_io *io_of(struct ring_op *op)
{
	return (struct swap_io *)((char *)op - offsetof(struct swap_io, op));
}

void device_on_op(struct ring_op *op, int res)
{
	device_moved(io_of(op), res);
}

static void on_posted(struct ring_op *op, int res)
{
	struct swap_io *io = io_of(op);

	if (res == 0)
		io->left = 0;
	finish(io, res);
}

void device_post(struct swap_io *io, int err)
{
	io->op = (struct ring_op){ .done = on_posted };
	ring_post(io->ring, &io->op, err);
}

static void on_gone(struct ring_op *op, int res)
{
	struct swap_io *io = io_of(op);

	__atomic_fetch_sub(&io->dev->count.inflight, 1, __ATOMIC_RELEASE);
	io->done(io, res);
}

void device_submit(struct swap_device *dev, struct ring *ring, struct swap_io *io,
		   uint64_t block)
{
	io->op = (struct ring_op){ .done = device_on_op };
	io->dev = dev;
	io->ring = ring;
	io->block = block;
	io->offset = block << SWAP_BLOCK_SHIFT;
	io->first_iov = 0;
	io->cut = 0;
	io->total = 0;
	memset(io->refused, 0, sizeof(io->refused));
	for (uint32_t i = 0; i < io->niov; i++)
		io->total += (uint32_t)io->iov[i].iov_len;
	io->left = io->total;
	count(&dev->count.inflight, 1);
	if (io->write && dev->sums && guard_run(set_sums, io) < 0) {
		io->op.done = on_gone;
		ring_post(ring, &io->op, -EFAULT);
		return;
	}
	if (queue_enter(&dev->queue, io))
		dev->ops->submit(dev, io);
}

bool device_is(const struct swap_device *dev, uint64_t dev_id, uint64_t ino)
{
	if (dev->ops->is)
		return dev->ops->is(dev, dev_id, ino);
	return dev->dev == dev_id && dev->ino == ino;
}

struct swap_device *device_alloc(size_t size, const struct swap_device_ops *ops,
				 const char *path)
{
	struct swap_device *dev = calloc(1, size);

	if (!dev)
		return NULL;
	dev->ops = ops;
	dev->fd = -1;
	dev->path = strdup(path);
	if (!dev->path) {
		free(dev);
		return NULL;
	}
	queue_init(&dev->queue);
	return dev;
}

void device_close(struct swap_device *dev)
{
	if (!dev)
		return;
	dev->ops->close(dev);
	sums_close(dev->sums);
	queue_fini(&dev->queue);
	free(dev->path);
	free(dev);
}
