/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * image_submit comes here with each request to an image that has a cache.
 *
 *	FLUSH		goes to the image: no block changes, and what is cached is in it
 *	WRITE, DISCARD,	the cache is told which blocks change (cacheobj_change), then the
 *	ZEROES		image gets the request, and image_end tells that it is over, before
 *			the caller's done.  This is so whatever mode and knobs say: what is
 *			cached must be true when reads are diverted again.
 *	READ		goes to the image, if nothing is to be diverted, or nothing is cached
 *			and nothing is to be; else it is cut into parts
 *			(image_swapcache_io.c)
 *
 * A read that is submitted after a change has ended never sees what was before: nothing of
 * these blocks is found in the cache from the change's beginning on, no put that had begun
 * before it leaves anything there, and none begins before its end.  A change that failed may
 * still be carried out, which cacheobj_changed knows.
 *
 * A block is wanted (image_swapcache_wants) as the seed's vm_swapcache_writing has it: its
 * metadata (metablocks.h) with meta_enable; its data with data_enable, of images no larger
 * than maxfilesize, and, if use_chflags is set, of such disks only that somebody has marked
 * with `on`.  Whether the cache is read (read_enable) has nothing to do with that: without it
 * blocks are given to the daemon as they are read, all the same, and all is read from the
 * image.
 *
 * All memory is one mapping of 1.2 MiB, most of it the parts' buffers.  It is there before the
 * first request, and touched, so that no worker waits for memory in a page-in; of a disk that
 * is `off` it is not touched before the mode is another one, by who sets it.
 */

#include "vmm/image_swapcache.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

#include "vmm/image_swapcache_priv.h"

#define PAGE	    4096u
#define STATE_BYTES ((sizeof(struct image_swapcache) + PAGE - 1) / PAGE * PAGE)
#define BUF_BYTES   ((size_t)CACHE_PARTS * CACHE_PART_BYTES)

/* Have the buffers in memory; they may be in use. => 0 or -errno */
static int populate(struct image_swapcache *sc)
{
	return madvise((char *)sc + STATE_BYTES, BUF_BYTES, MADV_POPULATE_WRITE) < 0 ? -errno
										     : 0;
}

int image_swapcache_on(struct image *image, struct cacheobj *c, struct swapcached *sd,
		       const struct swapcache *policy, enum swapcache_mode mode)
{
	struct image_swapcache *sc;

	assert(!image->swapcache && image->under_way == 0);
	if (image->info.block_size > SWAP_BLOCK)
		return -EINVAL;
	sc = mmap(NULL, STATE_BYTES + BUF_BYTES, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sc == MAP_FAILED)
		return -ENOMEM;
	if (madvise(sc, STATE_BYTES, MADV_POPULATE_WRITE) < 0 ||
	    (mode != SWAPCACHE_OFF && populate(sc) < 0)) {
		munmap(sc, STATE_BYTES + BUF_BYTES);
		return -ENOMEM;
	}
	sc->image = image;
	sc->obj = c;
	sc->sd = sd;
	sc->policy = policy;
	sc->mode = (int)mode;
	cache_io_init(sc, (uint8_t *)sc + STATE_BYTES);
	cacheobj_ref(c);
	image->swapcache = sc;
	return 0;
}

void image_swapcache_off(struct image *image)
{
	struct image_swapcache *sc = image ? image->swapcache : NULL;

	if (!sc)
		return;
	assert(image->under_way == 0 && !sc->waiting);
	image->swapcache = NULL;
	cacheobj_unref(sc->obj);
	munmap(sc, STATE_BYTES + BUF_BYTES);
}

void image_swapcache_set_mode(struct image *image, enum swapcache_mode mode)
{
	struct image_swapcache *sc = image->swapcache;

	if (!sc)
		return;
	/* without: they are touched when they are used */
	if (mode != SWAPCACHE_OFF)
		(void)populate(sc);
	__atomic_store_n(&sc->mode, (int)mode, __ATOMIC_RELAXED);
}

struct cacheobj *image_swapcache_object(const struct image *image)
{
	return image->swapcache ? image->swapcache->obj : NULL;
}

void image_swapcache_get_counts(const struct image *image, struct image_swapcache_counts *out)
{
	const struct image_swapcache *sc = image->swapcache;

	*out = (struct image_swapcache_counts){ .reads = 0 };
	if (!sc)
		return;
	out->reads = __atomic_load_n(&sc->count.reads, __ATOMIC_RELAXED);
	out->read_bytes = __atomic_load_n(&sc->count.read_bytes, __ATOMIC_RELAXED);
	out->hit_bytes = __atomic_load_n(&sc->count.hit_bytes, __ATOMIC_RELAXED);
	out->saved_reads = __atomic_load_n(&sc->count.saved_reads, __ATOMIC_RELAXED);
	out->fallbacks = __atomic_load_n(&sc->count.fallbacks, __ATOMIC_RELAXED);
	out->fills = __atomic_load_n(&sc->count.fills, __ATOMIC_RELAXED);
}

/* --- what is wanted ------------------------------------------------------------------ */

static enum swapcache_mode mode_of(const struct image_swapcache *sc)
{
	return (enum swapcache_mode)__atomic_load_n(&sc->mode, __ATOMIC_RELAXED);
}

static uint64_t knob(const struct image_swapcache *sc, enum swapcache_knob k)
{
	return swapcache_get(sc->policy, k);
}

static bool wants_data(const struct image_swapcache *sc)
{
	enum swapcache_mode mode = mode_of(sc);
	uint64_t largest = knob(sc, SWAPCACHE_MAXFILESIZE);

	if (mode == SWAPCACHE_OFF || mode == SWAPCACHE_META ||
	    !knob(sc, SWAPCACHE_DATA_ENABLE) ||
	    (mode == SWAPCACHE_AUTO && knob(sc, SWAPCACHE_USE_CHFLAGS)))
		return false;
	return largest == 0 || image_bytes(sc->image) <= largest;
}

static bool wants_meta(const struct image_swapcache *sc)
{
	return mode_of(sc) != SWAPCACHE_OFF && knob(sc, SWAPCACHE_META_ENABLE);
}

bool image_swapcache_wants(const struct image *image, uint64_t block)
{
	const struct image_swapcache *sc = image->swapcache;

	if (!sc || block >= cache_blocks(sc))
		return false;
	return wants_data(sc) || (wants_meta(sc) && metablocks_has(&sc->meta, block));
}

bool cache_fills(const struct image_swapcache *sc)
{
	return knob(sc, SWAPCACHE_FILL_ENABLE) && (wants_data(sc) || wants_meta(sc));
}

/* --- requests ------------------------------------------------------------------------ */

static uint64_t end_block(const struct image_req *req)
{
	return (req->off + req->len - 1) / SWAP_BLOCK + 1;
}

bool cache_reads(const struct image_swapcache *sc)
{
	return mode_of(sc) != SWAPCACHE_OFF && knob(sc, SWAPCACHE_READ_ENABLE);
}

static bool diverts(const struct image_swapcache *sc)
{
	return (cache_reads(sc) && !cacheobj_is_empty(sc->obj)) || cache_fills(sc);
}

static void submit_read(struct image_swapcache *sc, struct image_req *req)
{
	uint64_t first = req->off / SWAP_BLOCK;

	metablocks_note(&sc->meta, first, end_block(req) - first, req->len);
	cache_count(&sc->count.reads, 1);
	cache_count(&sc->count.read_bytes, req->len);
	if (diverts(sc))
		cache_io_read(sc, req);
	else
		sc->image->ops->submit(sc->image, req);
}

void image_swapcache_submit(struct image *image, struct image_req *req)
{
	struct image_swapcache *sc = image->swapcache;

	if (req->op == IMAGE_READ) {
		submit_read(sc, req);
		return;
	}
	if (req->op != IMAGE_FLUSH) {
		cacheobj_change(sc->obj, &req->cached.change, req->off / SWAP_BLOCK,
				end_block(req));
		req->cached.told = true;
	}
	image->ops->submit(image, req);
}

void image_swapcache_changed(struct image_req *req, int err)
{
	req->cached.told = false;
	cacheobj_changed(req->image->swapcache->obj, &req->cached.change, err != 0);
}

void image_swapcache_cancel(struct image *image)
{
	if (image->swapcache)
		cache_io_cancel(image->swapcache);
}
