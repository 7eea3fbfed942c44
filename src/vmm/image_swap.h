/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk's image as something that pages are read from: a page that is a copy of a block of it
 * has that block as its drum address (blockmap.h).  See drum_add_image: it is no swap device
 * that anybody could switch on.
 */
#ifndef DRUM_VMM_IMAGE_SWAP_H
#define DRUM_VMM_IMAGE_SWAP_H

#include "base/err.h"
#include "swap/drum.h"
#include "vmm/disk.h"

/*
 * Pages may live in the image of this disk from now on: as device disk->number, or, if that is
 * 0, the first that is free, which is then stored there.  After a restart it must be the
 * number that it had, before the first guest is taken over: words hold it.  The image
 * stays the disk's, and open until image_swap_off.
 * => 0, or -errno and e: -EINVAL: its blocks are larger than a page, or it has none
 */
int must_check image_swap_on(struct drum *d, struct disk *disk, struct err *e);

/* No page may be there (blockmap_leave). => 0, or -EBUSY: one is, and it stays on */
int must_check image_swap_off(struct drum *d, struct disk *disk);

/* The image has grown. */
void image_swap_grow(struct drum *d, const struct disk *disk);

#endif
