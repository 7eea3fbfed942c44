/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is between a disk's requests and its image when the swapcache may have copies of its
 * blocks: reads are diverted, changes are told.  image_submit comes here by itself, so whoever
 * reads an image (a request of the guest's, a page-in of a page that lives there) is served
 * by the cache, and nobody can change a block past it.
 */
#ifndef DRUM_VMM_IMAGE_SWAPCACHE_H
#define DRUM_VMM_IMAGE_SWAPCACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/swapcache_knobs.h"
#include "swap/swapcached.h"
#include "vmm/image.h"

struct image_swapcache;

struct image_swapcache_counts { /* [a] */
	uint64_t reads,
		read_bytes;   /* requests, and bytes, that were asked of the image with cache */
	uint64_t hit_bytes;   /* of these, came from swap */
	uint64_t saved_reads; /* requests that needed nothing of the image */
	uint64_t fallbacks;   /* parts that were read from the image since swap failed */
	uint64_t fills;	      /* blocks that were given to the daemon as they were read */
};

/*
 * Let c have copies of image's blocks.  Before the image's first request; c gets a reference.
 * policy: of the knobs.  => 0, or -ENOMEM, -EINVAL (its blocks are larger than those of swap):
 * there is no cache then
 */
int must_check image_swapcache_on(struct image *image, struct cacheobj *c,
				  struct swapcached *sd, const struct swapcache *policy,
				  enum swapcache_mode mode);
/* Nothing is under way. NULL is fine. image_close does it too. */
void image_swapcache_off(struct image *image);

/* Any thread.  What is cached stays, also when it is off, but nothing is read from there. */
void image_swapcache_set_mode(struct image *image, enum swapcache_mode mode);
/* NULL: there is none */
struct cacheobj *image_swapcache_object(const struct image *image);

/*
 * Is this block wanted in the cache now, as the mode, the knobs and what is known of it say?
 * The thread that submits.
 */
bool image_swapcache_wants(const struct image *image, uint64_t block);

void image_swapcache_get_counts(const struct image *image,
				struct image_swapcache_counts *out); /* any thread */

/* --- for image.c
 * ------------------------------------------------------------------------------ */

/* req was checked, and is counted; it ends with image_end. */
void image_swapcache_submit(struct image *image, struct image_req *req);
/* A change (req->cached.told) has ended. */
void image_swapcache_changed(struct image_req *req, int err);
/* What waits in here ends with -ECANCELED; before the kind's own cancel. */
void image_swapcache_cancel(struct image *image);

#endif
