/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A read of the device is a read of the image, at the same place, into the same vectors.  What
 * submits it is the worker of the guest that has the disk, which alone has pages there: so
 * the image is one thread's, as it wants to be, and there are no more reads than that guest has
 * page-ins.  Nothing is ever written: a block's content is the guest's, and it changes it by
 * requests to the disk.
 *
 * There are no checksums of such blocks, since they change without our doing: what they should
 * hold is known by the record of the page (blockmap.c).
 */

#include "vmm/image_swap.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "vmm/guest.h"

struct slot {
	struct image_req req;
	struct swap_io *io;
	struct slot *next;
};

struct image_device {
	struct swap_device dev;
	struct image *image;
	struct slot slot[PAGEINS_MAX], *free;
};

static void on_read(struct image_req *req, int err)
{
	struct slot *s = (struct slot *)((char *)req - offsetof(struct slot, req));
	struct swap_io *io = s->io;
	struct image_device *im = (struct image_device *)io->dev;

	s->next = im->free;
	im->free = s;
	/* these two would have it tried again at once, for ever */
	if (err == -EAGAIN || err == -EINTR)
		err = -EIO;
	device_moved(io, err ? err : (int)io->left);
}

static void image_device_submit(struct swap_device *dev, struct swap_io *io)
{
	struct image_device *im = (struct image_device *)dev;
	struct slot *s = im->free;

	if (io->write || !s) {
		device_post(io, io->write ? -EROFS : -EBUSY);
		return;
	}
	im->free = s->next;
	s->io = io;
	s->req = (struct image_req){
		.done = on_read,
		.op = IMAGE_READ,
		.off = io->offset,
		.len = io->left,
		.iov = io->iov,
		.niov = io->niov,
	};
	image_submit(im->image, io->ring, &s->req);
}

static void image_device_close(struct swap_device *dev)
{
	(void)dev; /* the image is the disk's */
}

static const struct swap_device_ops ops = {
	.kind = "image",
	.submit = image_device_submit,
	.close = image_device_close,
};

int image_swap_on(struct drum *d, struct disk *disk, struct err *e)
{
	uint64_t bytes = image_bytes(disk->image);
	struct swap_device *dev;
	struct image_device *im;
	int ret;

	if (disk->image->info.block_size > PAGE_SIZE || bytes < PAGE_SIZE)
		return err_set(e, -EINVAL,
			       "disk %s: pages cannot be mapped to %llu bytes in blocks of %u",
			       disk->name, (unsigned long long)bytes,
			       disk->image->info.block_size);
	dev = device_alloc(sizeof(*im), &ops, disk->image->name);
	if (!dev)
		return err_set(e, -ENOMEM, "out of memory");
	im = (struct image_device *)dev;
	im->image = disk->image;
	dev->blocks = bytes >> PAGE_SHIFT;
	for (unsigned int i = 0; i < PAGEINS_MAX; i++) {
		im->slot[i].next = im->free;
		im->free = &im->slot[i];
	}
	ret = drum_add_image(d, dev, disk->number);
	if (ret < 0) {
		device_close(dev);
		return err_set(e, ret, "disk %s cannot have device number %u%s", disk->name,
			       disk->number, ret == -ENOSPC ? ": there is none left" : "");
	}
	disk->number = (unsigned int)ret;
	return 0;
}

int image_swap_off(struct drum *d, struct disk *disk)
{
	struct swap_device *dev;

	if (disk->number == 0)
		return 0;
	dev = drum_remove_image(d, disk->number);
	if (!dev)
		return -EBUSY;
	device_close(dev);
	disk->number = 0;
	return 0;
}

void image_swap_grow(struct drum *d, const struct disk *disk)
{
	struct swap_device *dev = disk->number ? drum_image(d, disk->number) : NULL;

	if (dev)
		__atomic_store_n(&dev->blocks, image_bytes(disk->image) >> PAGE_SHIFT,
				 __ATOMIC_RELAXED);
}
