/* SPDX-License-Identifier: BSD-2-Clause */
/* A swap device that is a regular file or a block device, open for O_DIRECT. */

#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/point.h"
#include "swap/device.h"

static void file_submit(struct swap_device *dev, struct swap_io *io)
{
	const struct iovec *v = &io->iov[io->first_iov];
	uint32_t n = io->niov - io->first_iov;
	uint64_t at = dev->skip + io->offset;
	int err = point_hit(io->write ? "file-write" : "file-read");

	io->op = (struct ring_op){ .done = device_on_op };
	if (err)
		device_post(io, err);
	else if (io->write && n == 1)
		ring_write(io->ring, &io->op, dev->fd, v->iov_base, (uint32_t)v->iov_len, at);
	else if (io->write)
		ring_writev(io->ring, &io->op, dev->fd, v, n, at);
	else if (n == 1)
		ring_read(io->ring, &io->op, dev->fd, v->iov_base, (uint32_t)v->iov_len, at);
	else
		ring_readv(io->ring, &io->op, dev->fd, v, n, at);
}

static void file_close(struct swap_device *dev)
{
	close(dev->fd);
}

static int64_t file_grow(struct swap_device *dev, uint64_t bytes)
{
	return bytes < dev->skip ? 0 : (int64_t)((bytes - dev->skip) >> SWAP_BLOCK_SHIFT);
}

static int block_discard(struct swap_device *dev, uint64_t block, uint64_t n)
{
	uint64_t range[2] = { dev->skip + (block << SWAP_BLOCK_SHIFT), n << SWAP_BLOCK_SHIFT };

	return ioctl(dev->fd, BLKDISCARD, range) < 0 ? -errno : 0;
}

static const struct swap_device_ops file_ops = {
	.kind = "file",
	.submit = file_submit,
	.close = file_close,
	.grow = file_grow,
};

static const struct swap_device_ops block_ops = {
	.kind = "block",
	.submit = file_submit,
	.close = file_close,
	.discard = block_discard,
	.grow = file_grow,
};

struct swap_device *device_file_create(const char *kind, const char *path, int fd, uint64_t dev,
				       uint64_t ino, uint64_t bytes, uint64_t skip)
{
	const struct swap_device_ops *ops = strcmp(kind, "block") == 0 ? &block_ops : &file_ops;
	struct swap_device *d = NULL;

	errno = EINVAL;
	if (bytes >= skip + SWAP_BLOCK) {
		errno = ENOMEM;
		d = device_alloc(sizeof(*d), ops, path);
	}
	if (!d) {
		int code = errno;

		close(fd);
		errno = code;
		return NULL;
	}
	d->dev = dev;
	d->ino = ino;
	d->blocks = (bytes - skip) >> SWAP_BLOCK_SHIFT;
	d->skip = skip;
	d->fd = fd;
	return d;
}
