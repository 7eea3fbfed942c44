/* SPDX-License-Identifier: BSD-2-Clause */
/* Open the file or block device behind a disk, locked, in a cache mode. */
#ifndef DRUM_BASE_IMAGE_OPEN_H
#define DRUM_BASE_IMAGE_OPEN_H

#include <stdbool.h>

#include "base/err.h"

/* Named as QEMU's. */
enum image_cache {
	IMAGE_CACHE_NONE,	/* past the host's page cache; the device's may hold it back */
	IMAGE_CACHE_DIRECTSYNC, /* the same, and what was written is durable */
	IMAGE_CACHE_WRITETHROUGH, /* through the page cache, and durable */
	IMAGE_CACHE_WRITEBACK,	  /* through the page cache */
	IMAGE_CACHE_UNSAFE,	  /* the same, and flushes are ignored */
};

/* => 0 or -EINVAL */
int must_check image_cache_parse(const char *name, enum image_cache *mode);
const char *image_cache_name(enum image_cache mode);
static inline bool image_cache_is_direct(enum image_cache mode)
{
	return mode == IMAGE_CACHE_NONE || mode == IMAGE_CACHE_DIRECTSYNC;
}
static inline bool image_cache_is_through(enum image_cache mode)
{
	return mode == IMAGE_CACHE_DIRECTSYNC || mode == IMAGE_CACHE_WRITETHROUGH;
}

/*
 * Open a regular file or a block device.  Where the file system knows no O_DIRECT it
 * is opened without, with a warning in e (code 0).
 * => a descriptor that holds image_lock's locks, or -errno and e
 */
int must_check image_open(const char *path, enum image_cache mode, bool read_only,
			  struct err *e);

#endif
