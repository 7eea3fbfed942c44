/* SPDX-License-Identifier: BSD-2-Clause */
/* What image_swapcache.c (whether) and image_swapcache_io.c (how) share. */
#ifndef DRUM_VMM_IMAGE_SWAPCACHE_PRIV_H
#define DRUM_VMM_IMAGE_SWAPCACHE_PRIV_H

#include "vmm/image_swapcache.h"
#include "vmm/metablocks.h"

#define CACHE_PARTS	   16u
#define CACHE_PART_BYTES   (CACHEOBJ_RUN * SWAP_BLOCK)
#define CACHE_PART_VECTORS 64u

/* A range of a read.  Free: of is NULL. */
struct cache_part {
	struct image_swapcache *sc; /* [I] */
	uint8_t *buf;		    /* [I] CACHE_PART_BYTES, at a page boundary */
	struct cache_part *next;    /* of those that are free */
	struct image_req *of;	    /* the caller's request */
	uint64_t at, len;	    /* bytes of that request */
	bool through;		    /* the image is read into buf */
	struct cacheobj_read read;  /* it is read from swap */
	struct swapcached_put *put; /* it is read to be given to the daemon; or NULL */
	struct swap_io io;
	struct image_req req;
	struct iovec iov[CACHE_PART_VECTORS]; /* of req: some of the caller's memory, or buf */
};

struct image_swapcache {
	struct image *image;		/* [I] */
	struct cacheobj *obj;		/* [I] */
	struct swapcached *sd;		/* [I] */
	const struct swapcache *policy; /* [I] */
	int mode;			/* [a] enum swapcache_mode */
	struct image_swapcache_counts count;
	/* all that follows is of the thread that submits */
	struct image_req *waiting, **waiting_tail; /* reads that are not begun to their end */
	struct cache_part *free;
	struct cache_part part[CACHE_PARTS];
	struct metablocks meta;
};

/* One thread counts, any reads. */
static inline void cache_count(uint64_t *count, uint64_t n)
{
	__atomic_store_n(count, *count + n, __ATOMIC_RELAXED);
}

/* How many blocks of the image are whole: what is behind them is never cached. */
static inline uint64_t cache_blocks(const struct image_swapcache *sc)
{
	return image_bytes(sc->image) / SWAP_BLOCK;
}

/* Is what is cached to be read from there? */
bool cache_reads(const struct image_swapcache *sc);

/* Are blocks to be given to the daemon as they are read? */
bool cache_fills(const struct image_swapcache *sc);

void cache_io_init(struct image_swapcache *sc, uint8_t *bufs);
/* Serve a read, whatever is cached of it. */
void cache_io_read(struct image_swapcache *sc, struct image_req *req);
void cache_io_cancel(struct image_swapcache *sc);

#endif
