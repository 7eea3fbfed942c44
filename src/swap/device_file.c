/* SPDX-License-Identifier: BSD-2-Clause */
/* A swap device that is a regular file or a block device, open for O_DIRECT. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "swap/device.h"

static void file_submit(struct swap_device *dev, struct swap_io *io)
{
	const struct iovec *v = &io->iov[io->first_iov];
	uint32_t n = io->niov - io->first_iov;
	uint64_t at = dev->skip + io->offset;

	if (io->write && n == 1)
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

static const struct swap_device_ops file_ops = { "file", file_submit, file_close };
static const struct swap_device_ops block_ops = { "block", file_submit, file_close };

struct swap_device *device_file_create(const char *kind, const char *path, int fd, uint64_t dev,
				       uint64_t ino, uint64_t bytes, uint64_t skip)
{
	struct swap_device *d = calloc(1, sizeof(*d));
	char *copy = strdup(path);
	int code = ENOMEM;

	if (!d || !copy)
		goto fail;
	code = EINVAL;
	if (bytes < skip + SWAP_BLOCK)
		goto fail;
	*d = (struct swap_device){
		.ops = strcmp(kind, "block") == 0 ? &block_ops : &file_ops,
		.path = copy,
		.dev = dev,
		.ino = ino,
		.blocks = (bytes - skip) >> SWAP_BLOCK_SHIFT,
		.skip = skip,
		.fd = fd,
	};
	return d;
fail:
	close(fd);
	free(copy);
	free(d);
	errno = code;
	return NULL;
}
