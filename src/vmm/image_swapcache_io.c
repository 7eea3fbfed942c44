/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads of an image that has a cache.
 *
 * Theory of operation
 *
 * A read is cut into parts, each of which is one of these, as long as it can be:
 *
 *	CACHED	blocks that lie on swap one after the other, of one swblock: read into the
 *		part's buffer, and copied from there to where they are wanted
 *	FILL	blocks that are wanted in the cache and are not there, if the daemon has a
 *		buffer for them (swapcached_get): the image is read into that, it is copied,
 *		and given to the daemon
 *	IMAGE	what is left: the image is read straight into the caller's memory
 *
 * What was read from swap never goes straight into guest memory: such a read of a pager that
 * has died may be late, and its checksum must be that of bytes which nobody else can
 * change.  CACHED and FILL read whole blocks, although less may be asked for.
 *
 * A read of which nothing is cached and nothing is to be goes to the image as it is.  The
 * others wait, in order, for a part; the first one is cut for as long as there are parts, and
 * then the next.  So several parts of a request are under way, and of several requests.  A
 * part ends whatever happens, and so everybody gets one.
 *
 * A part that fails on swap, for whatever reason, is read from the image, in the way of IMAGE;
 * the cache is told the error and drops these blocks.  If the image fails where FILL has asked
 * it for more than the caller did, the caller's bytes alone are read again.  So errors come
 * from the image, for what was asked of it, or from the caller's memory (-EFAULT), as they
 * would without a cache.  The first one is the request's; it is cut no further, and ends when
 * its parts have.
 *
 * The vectors of an IMAGE part are copies of some of the caller's.  Where a part has not enough
 * of them for one block of the image, it is read into the part's buffer and copied, as an
 * image with O_DIRECT would do it.
 *
 * A put is begun before the image is asked, so that each change which the image's answer may
 * miss is seen by the cache (cacheobj.h).
 *
 * No done function of anybody's is called but at the end of a completion, when all here is as
 * it should be: it may submit the next request, or close the image.
 */

#include <assert.h>
#include <errno.h>
#include <stddef.h>

#include "vmm/image_swapcache_priv.h"

#define PEEK_BLOCKS CACHEOBJ_RUN

static void on_image(struct image_req *req, int err);

/* --- the image ----------------------------------------------------------------------- */

/*
 * Have p's vectors name the first `len` bytes of it in the caller's memory.
 * => how many bytes they are: less if there are too many vectors
 */
static uint64_t take_vectors(struct cache_part *p, uint64_t len)
{
	const struct iovec *v = p->of->iov, *end = v + p->of->niov;
	uint64_t skip = p->at, left = len;

	p->req.iov = p->iov;
	p->req.niov = 0;
	for (; v < end && skip >= v->iov_len; v++)
		skip -= v->iov_len;
	for (; v < end && left > 0 && p->req.niov < CACHE_PART_VECTORS; v++) {
		uint64_t n = v->iov_len - skip < left ? v->iov_len - skip : left;

		if (n > 0)
			p->iov[p->req.niov++] = (struct iovec){ (char *)v->iov_base + skip, n };
		left -= n;
		skip = 0;
	}
	return len - left;
}

/* So many bytes of p that whole blocks of the image end with them; of swap's, if it may be. */
static uint64_t round_down(const struct cache_part *p, uint64_t len)
{
	uint64_t beyond = (p->of->off + p->at + len) % SWAP_BLOCK;

	if (beyond < len)
		return len - beyond;
	return len - len % p->of->image->info.block_size;
}

static void ask_image(struct cache_part *p, uint64_t off, uint64_t len, image_done_fn done)
{
	p->req.done = done;
	p->req.op = IMAGE_READ;
	p->req.off = off;
	p->req.len = len;
	p->of->cached.missed = true;
	image_submit_raw(p->of->image, p->of->ring, &p->req);
}

/* Read p from the image, or, if its length may be cut, as much as there are vectors for. */
static void from_image(struct cache_part *p, bool may_cut)
{
	uint64_t n = take_vectors(p, p->len);

	if (n < p->len) {
		n = may_cut ? round_down(p, n) : 0;
		if (n > 0)
			n = take_vectors(p, n);
	}
	p->through = n == 0;
	if (p->through) {
		n = p->len < CACHE_PART_BYTES ? p->len : CACHE_PART_BYTES;
		if (n < p->len)
			n = round_down(p, n);
		p->iov[0] = (struct iovec){ p->buf, n };
		p->req.iov = p->iov;
		p->req.niov = 1;
	}
	p->len = n;
	ask_image(p, p->of->off + p->at, n, on_image);
}

/* --- the end of a part --------------------------------------------------------------- */

static void serve_waiting(struct image_swapcache *sc);

static void pop_waiting(struct image_swapcache *sc)
{
	struct image_req *req = sc->waiting;

	sc->waiting = req->next;
	if (!sc->waiting)
		sc->waiting_tail = &sc->waiting;
	req->next = NULL; /* kinds of images have lists of their own, and rely on it */
}

static void end_part(struct cache_part *p, int err)
{
	struct image_swapcache *sc = p->sc;
	struct image_req *req = p->of;

	p->of = NULL;
	p->next = sc->free;
	sc->free = p;
	req->cached.parts--;
	if (err && !req->cached.err)
		req->cached.err = err;
	if (req->cached.err && req == sc->waiting)
		pop_waiting(sc);
	serve_waiting(sc); /* gives req a part if it is not cut to its end */
	if (req->cached.parts > 0)
		return;
	if (req->cached.err == 0 && !req->cached.missed)
		cache_count(&sc->count.saved_reads, 1);
	image_end(req, req->cached.err);
}

/* Copy what is wanted of p out of a buffer that begins with its first block. */
static int copy_out(const struct cache_part *p, const uint8_t *buf)
{
	return image_scatter(p->of, p->at, buf + (p->of->off + p->at) % SWAP_BLOCK,
			     (uint32_t)p->len);
}

static void on_image(struct image_req *req, int err)
{
	struct cache_part *p =
		(struct cache_part *)((char *)req - offsetof(struct cache_part, req));

	if (err == 0 && p->through)
		err = image_scatter(p->of, p->at, p->buf, (uint32_t)p->len);
	end_part(p, err);
}

/* It could not be had in another way. */
static void fall_back(struct cache_part *p)
{
	if (p->of->cached.cancelled)
		end_part(p, -ECANCELED);
	else
		from_image(p, false);
}

static void on_fill(struct image_req *req, int err)
{
	struct cache_part *p =
		(struct cache_part *)((char *)req - offsetof(struct cache_part, req));
	uint32_t n = p->put->range.n;

	if (err) {
		swapcached_drop(p->sc->sd, p->put);
		if (err == -ECANCELED)
			end_part(p, err);
		else
			fall_back(p);
		return;
	}
	err = copy_out(p, p->put->buf);
	cache_count(&p->sc->count.fills, n);
	swapcached_give(p->sc->sd, p->put, n); /* the image has it, whoever else has not */
	end_part(p, err);
}

static void on_swap(struct swap_io *io, int err)
{
	struct cache_part *p =
		(struct cache_part *)((char *)io - offsetof(struct cache_part, io));
	struct image_swapcache *sc = p->sc;

	cacheobj_read_end(sc->obj, &p->read, err);
	if (err) {
		cache_count(&sc->count.fallbacks, 1);
		fall_back(p);
		return;
	}
	err = copy_out(p, p->buf);
	if (err == 0)
		cache_count(&sc->count.hit_bytes, p->len);
	end_part(p, err);
}

/* --- cutting ------------------------------------------------------------------------- */

/* The rest of a request: its blocks, as far as they may be cached. */
struct rest {
	uint64_t off, end;   /* bytes of the image */
	uint64_t block, max; /* max 0: it begins where no block is whole any more */
};

static struct rest rest_of(const struct image_swapcache *sc, const struct image_req *req)
{
	uint64_t whole = cache_blocks(sc), to;
	struct rest r = { .off = req->off + req->cached.begun, .end = req->off + req->len };

	r.block = r.off / SWAP_BLOCK;
	to = (r.end - 1) / SWAP_BLOCK + 1;
	if (to > whole)
		to = whole;
	r.max = to > r.block ? to - r.block : 0;
	return r;
}

/* p is the rest of its request, up to the n-th block. */
static void set_len(struct cache_part *p, const struct rest *r, uint64_t n)
{
	uint64_t to = (r->block + n) * SWAP_BLOCK;

	p->len = (to < r->end ? to : r->end) - r->off;
}

static void from_swap(struct cache_part *p, uint32_t n)
{
	p->io.done = on_swap;
	p->io.write = false;
	p->io.urgent = true; /* somebody waits: a guest's process, or its page fault */
	p->io.niov = 1;
	p->io.iov[0] = (struct iovec){ p->buf, (size_t)n * SWAP_BLOCK };
	drum_submit(cacheobj_drum(p->sc->obj), p->of->ring, &p->io, p->read.addr);
}

static void fill(struct cache_part *p)
{
	uint64_t bytes = (uint64_t)p->put->range.n * SWAP_BLOCK;

	p->iov[0] = (struct iovec){ p->put->buf, bytes };
	p->req.iov = p->iov;
	p->req.niov = 1;
	ask_image(p, p->put->range.block * SWAP_BLOCK, bytes, on_fill);
}

/* Is it wanted in the cache, and not there? In a gap nothing is, but where nobody has looked.
 */
static bool is_wanted(const struct image_swapcache *sc, uint64_t block, bool looked)
{
	return image_swapcache_wants(sc->image, block) &&
	       (looked || !cacheobj_has(sc->obj, block));
}

/* How many blocks of the gap, from the first on, are (not) wanted in the cache? */
static uint64_t run(const struct image_swapcache *sc, uint64_t block, uint64_t gap, bool looked,
		    bool wanted)
{
	uint64_t n = 0;

	while (n < gap && is_wanted(sc, block + n, looked) == wanted)
		n++;
	return n;
}

/*
 * Nothing of the gap is cached, if somebody has looked. Begin a put of its first blocks, if
 * they are wanted.
 * => how many blocks p has: those of the put; or without one, until the next that is wanted
 */
static uint64_t begin_put(struct cache_part *p, const struct rest *r, uint64_t gap, bool looked)
{
	struct image_swapcache *sc = p->sc;
	uint64_t n;

	if (!cache_fills(sc))
		return gap;
	n = run(sc, r->block, gap < CACHEOBJ_RUN ? gap : CACHEOBJ_RUN, looked, true);
	if (n == 0)
		return run(sc, r->block, gap, looked, false);
	p->put = swapcached_get(sc->sd, sc->obj, r->block, (uint32_t)n);
	return p->put ? p->put->range.n : gap;
}

/* The first part of what is left of the first request that waits. */
static void cut(struct image_swapcache *sc)
{
	struct image_req *req = sc->waiting;
	struct rest r = rest_of(sc, req);
	struct cache_part *p = sc->free;
	bool reads = cache_reads(sc);
	uint64_t gap = r.max;
	uint32_t n = 0;

	p->of = req;
	p->at = req->cached.begun;
	p->len = r.end - r.off;
	p->put = NULL;
	if (r.max > 0 && reads)
		n = cacheobj_read(sc->obj, &p->read, r.block, r.max, &gap);
	if (n > 0) {
		set_len(p, &r, n);
	} else if (r.max > 0) {
		uint64_t blocks = begin_put(p, &r, gap, reads);

		/* what is behind the last whole block comes along */
		if (p->put || blocks < r.max)
			set_len(p, &r, blocks);
	}
	if (n == 0 && !p->put && p->len == req->len) {
		p->of = NULL;
		pop_waiting(sc); /* it was of those that wait here, and is the image's now */
		sc->image->ops->submit(sc->image, req);
		return;
	}
	sc->free = p->next;
	req->cached.parts++;
	if (n > 0)
		from_swap(p, n);
	else if (p->put)
		fill(p);
	else
		from_image(p, true);
	req->cached.begun += p->len;
	if (req->cached.begun == req->len)
		pop_waiting(sc);
}

static void serve_waiting(struct image_swapcache *sc)
{
	while (sc->waiting && sc->free)
		cut(sc);
}

/* Is certainly nothing of it cached, or about to be? Of small ones only. */
static bool is_elsewhere(const struct image_swapcache *sc, const struct image_req *req)
{
	struct rest r = rest_of(sc, req);

	if (r.max > PEEK_BLOCKS)
		return false;
	for (uint64_t i = 0; i < r.max; i++)
		if (cacheobj_has(sc->obj, r.block + i))
			return false;
	return true;
}

void cache_io_read(struct image_swapcache *sc, struct image_req *req)
{
	/* what the cache has nothing of need not wait for it */
	if (!sc->free && is_elsewhere(sc, req)) {
		sc->image->ops->submit(sc->image, req);
		return;
	}
	req->next = NULL;
	*sc->waiting_tail = req;
	sc->waiting_tail = &req->next;
	serve_waiting(sc);
}

void cache_io_cancel(struct image_swapcache *sc)
{
	for (unsigned int i = 0; i < CACHE_PARTS; i++)
		if (sc->part[i].of)
			sc->part[i].of->cached.cancelled = true;
	while (sc->waiting) {
		struct image_req *req = sc->waiting;

		pop_waiting(sc);
		if (!req->cached.err)
			req->cached.err = -ECANCELED;
		if (req->cached.parts == 0)
			image_end_later(req, req->cached.err);
	}
}

void cache_io_init(struct image_swapcache *sc, uint8_t *bufs)
{
	sc->waiting_tail = &sc->waiting;
	for (unsigned int i = CACHE_PARTS; i-- > 0;) {
		struct cache_part *p = &sc->part[i];

		p->sc = sc;
		p->buf = bufs + (size_t)i * CACHE_PART_BYTES;
		p->next = sc->free;
		sc->free = p;
	}
}
