/* SPDX-License-Identifier: BSD-2-Clause */
/* What image_file.c (the requests) and image_file_open.c share. */
#ifndef DRUM_VMM_IMAGE_FILE_PRIV_H
#define DRUM_VMM_IMAGE_FILE_PRIV_H

#include <errno.h>

#include "vmm/image.h"

#define BOUNCE_BUFFERS 8
#define BOUNCE_BYTES   (128u << 10)

struct image_file {
	struct image image;	       /* first */
	int fd;			       /* [I] */
	bool direct, block_device;     /* [I] */
	uint32_t mem_align, off_align; /* [I] powers of two; 1 if not direct */
	bool no_punch, no_zero;
	int flush_err;
	char *pool; /* [I] or NULL if not direct */
	void *free[BOUNCE_BUFFERS];
	unsigned int nfree;
	struct image_req *waiting, **waiting_tail;
};

static inline struct image_file *file_of(struct image *image)
{
	return (struct image_file *)image;
}

/* Is it beyond what the file system can do? */
static inline bool unsupported(int err)
{
	return err == -EOPNOTSUPP || err == -ENOSYS || err == -ENOTTY || err == -ENODEV;
}

void file_submit(struct image *image, struct image_req *req);

#endif
