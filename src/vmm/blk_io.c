/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The I/O of one request, a piece after the other.
 *
 * Theory of operation
 *
 *	PAGES_IN all pages that the piece names, and that of the status byte, are held
 *	MAP	 pages that live in blocks which it changes come in first (blockmap.h)
 *	IO	 the image has it
 *
 * Most pieces go straight between the guest's memory and the image.  Where it is to be noted
 * which page holds which block, whole pages go through a buffer of ours: the guest may
 * change a page while a device reads it, as its kernel does with pages under writeback, and
 * nobody could say what the block holds.  If there is no buffer, nothing is noted.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/guard.h"
#include "base/log.h"
#include "vmm/blk_priv.h"

static void start(struct blk_req *q);
static void io_done(struct blk_req *q, int err);

/* It ends with an I/O error.  A disk that fails at all is told of once a second. */
static void failed(struct blk_req *q, const char *what, int err)
{
	struct blk *b = q->blk;
	uint64_t now = clock_ns();

	q->status = VIRTIO_BLK_S_IOERR;
	blk_count(&b->disk->count.errors, 1);
	if (now - b->told_at < NSEC_PER_SEC)
		return;
	b->told_at = now;
	log_warn("disk %s: %s, at byte %llu: %s", b->disk->name, what,
		 (unsigned long long)(q->off + q->done), strerror(-err));
}

/* --- buffers ---------------------------------------------------------------------- */

/* Is the next piece to be noted? */
static bool wants_bounce(const struct blk_req *q)
{
	const struct blk *b = q->blk;

	return (q->type == VIRTIO_BLK_T_IN || q->type == VIRTIO_BLK_T_OUT) && b->nbounces > 0 &&
	       (q->off + q->done) % PAGE_SIZE == 0 && q->data - q->done >= PAGE_SIZE &&
	       (q->seg[q->at.seg].gpa + q->at.off) % PAGE_SIZE == 0 &&
	       blockmap_needed(b->guest, b->disk);
}

static void give_bounce(struct blk_req *q)
{
	if (q->bounce)
		q->blk->bounce[q->blk->nbounces++] = q->bounce;
	q->bounce = NULL;
}

static void copy_in(void *arg)
{
	struct blk_req *q = arg;
	uint8_t *at = q->bounce;

	for (uint32_t i = 0; i < q->niov; at += q->iov[i++].iov_len)
		memcpy(at, q->iov[i].iov_base, q->iov[i].iov_len);
}

static void copy_out(void *arg)
{
	struct blk_req *q = arg;
	const uint8_t *at = q->bounce;

	for (uint32_t i = 0; i < q->niov; at += q->iov[i++].iov_len)
		memcpy(q->iov[i].iov_base, at, q->iov[i].iov_len);
}

/* => 0, or -EFAULT: pages are gone, and were given back once more while we looked */
static int copy(struct blk_req *q, void (*fn)(void *arg))
{
	if (guard_run(fn, q) == 0)
		return 0;
	if (hold_mend(q->blk->guest, &q->hold) < 0)
		return -EFAULT;
	return guard_run(fn, q);
}

/* The buffer is what the image holds now, and (of a write: was) what these pages hold. */
static void note(struct blk_req *q)
{
	struct guest *g = q->blk->guest;
	uint64_t at = 0;

	for (uint32_t i = 0; i < q->niov; at += q->iov[i++].iov_len) {
		uint64_t off = (uint64_t)((uint8_t *)q->iov[i].iov_base - g->map);

		if (off % PAGE_SIZE || (q->off + q->done + at) % PAGE_SIZE)
			continue;
		for (uint64_t k = 0; k + PAGE_SIZE <= q->iov[i].iov_len; k += PAGE_SIZE) {
			struct block_hash h = blockmap_hash(g, q->bounce + at + k);

			blockmap_note(g, &q->map, (off + k) / PAGE_SIZE,
				      (q->off + q->done + at + k) / PAGE_SIZE, &h);
		}
	}
}

static void end_map(struct blk_req *q, int err)
{
	if (q->mapped)
		blockmap_end(q->blk->guest, &q->map, err);
	q->mapped = false;
}

/* --- the image -------------------------------------------------------------------- */

static void on_io(struct image_req *io, int err)
{
	struct blk_req *q =
		(struct blk_req *)((char *)io - __builtin_offsetof(struct blk_req, io));

	io_done(q, err);
}

static void put_id(void *arg)
{
	struct blk_req *q = arg;
	uint8_t id[DISK_SERIAL_MAX] = { 0 };
	uint32_t done = 0;

	memcpy(id, q->blk->disk->serial, strnlen(q->blk->disk->serial, sizeof(id)));
	for (uint32_t i = 0; i < q->niov; i++) {
		memcpy(q->iov[i].iov_base, id + done, q->iov[i].iov_len);
		done += (uint32_t)q->iov[i].iov_len;
	}
}

/* What the image is to do. => false: nothing */
static bool set_io(struct blk_req *q)
{
	const struct virtio_blk_discard_write_zeroes *r = &q->range[q->done];
	struct image_req *io = &q->io;

	*io = (struct image_req){ .done = on_io,
				  .off = q->off + q->done,
				  .len = q->piece,
				  .iov = q->iov,
				  .niov = q->niov,
				  .durable = !vhost_dev_caches(&q->blk->dev) };
	switch (q->type) {
	case VIRTIO_BLK_T_IN:
		io->op = IMAGE_READ;
		break;
	case VIRTIO_BLK_T_OUT:
		io->op = IMAGE_WRITE;
		break;
	case VIRTIO_BLK_T_FLUSH:
		io->op = IMAGE_FLUSH;
		io->off = 0;
		return true;
	default: /* one range */
		io->op = q->type == VIRTIO_BLK_T_DISCARD ? IMAGE_DISCARD : IMAGE_ZEROES;
		io->unmap = r->flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
		io->off = r->sector * 512;
		io->len = (uint64_t)r->num_sectors * 512;
	}
	if (q->bounce) {
		q->flat = (struct iovec){ q->bounce, q->piece };
		io->iov = &q->flat;
		io->niov = 1;
	}
	return io->len > 0;
}

static void submit(struct blk_req *q)
{
	q->phase = BLK_IO;
	image_submit(q->blk->disk->image, q->blk->guest->ring, &q->io);
}

static void on_ready(struct blockmap_io *map, int err)
{
	struct blk_req *q =
		(struct blk_req *)((char *)map - __builtin_offsetof(struct blk_req, map));

	if (err)
		io_done(q, err);
	else
		submit(q);
}

/* Its pages are held. */
static void start(struct blk_req *q)
{
	struct blk *b = q->blk;

	if (q->status != VIRTIO_BLK_S_OK) {
		blk_req_finish(q);
		return;
	}
	if (q->type == VIRTIO_BLK_T_GET_ID) {
		io_done(q, copy(q, put_id));
		return;
	}
	if (!set_io(q)) {
		io_done(q, 0);
		return;
	}
	if (q->bounce && q->type == VIRTIO_BLK_T_OUT && copy(q, copy_in) < 0) {
		io_done(q, -EFAULT);
		return;
	}
	if (b->disk->number > 0 && q->type != VIRTIO_BLK_T_FLUSH) {
		q->phase = BLK_MAP;
		q->map.ready = on_ready;
		q->mapped = true;
		if (blockmap_begin(b->guest, b->disk, &q->map, q->type != VIRTIO_BLK_T_IN,
				   q->io.off, q->io.len) == 1)
			return;
	}
	submit(q);
}

static void count(struct blk_req *q)
{
	struct disk_counters *c = &q->blk->disk->count;
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < q->nranges; i++)
		bytes += (uint64_t)q->range[i].num_sectors * 512;
	switch (q->type) {
	case VIRTIO_BLK_T_IN:
		blk_count(&c->reads, 1);
		blk_count(&c->read_bytes, q->data);
		break;
	case VIRTIO_BLK_T_OUT:
		blk_count(&c->writes, 1);
		blk_count(&c->write_bytes, q->data);
		break;
	case VIRTIO_BLK_T_FLUSH:
		blk_count(&c->flushes, 1);
		break;
	case VIRTIO_BLK_T_GET_ID:
		blk_count(&c->ids, 1);
		break;
	case VIRTIO_BLK_T_DISCARD:
		blk_count(&c->discards, 1);
		blk_count(&c->discard_bytes, bytes);
		break;
	default:
		blk_count(&c->zeroes, 1);
		blk_count(&c->zeroes_bytes, bytes);
	}
}

/* A piece is done: the next one, or the answer. */
static void go_on(struct blk_req *q)
{
	bool ranges = blk_req_has_ranges(q);

	if (q->blk->gone) { /* there are no pages to go on with, and nobody to be told */
		blk_req_let_go(q);
		q->status = BLK_NO_ANSWER;
		blk_req_finish(q);
		return;
	}
	q->mended = false;
	q->done += ranges ? 1 : q->piece;
	if (ranges && q->done < q->nranges) {
		start(q);
	} else if (!ranges && q->done < q->data) {
		blk_req_let_go(q);
		blk_io_begin(q);
	} else {
		if (q->type == VIRTIO_BLK_T_IN || q->type == VIRTIO_BLK_T_GET_ID)
			q->written = q->data < UINT32_MAX ? (uint32_t)q->data + 1 : UINT32_MAX;
		count(q);
		blk_req_finish(q);
	}
}

/* err: 0, or -errno of the image, or of our memory */
static void io_done(struct blk_req *q, int err)
{
	if (err == -EFAULT && !q->bounce && !q->mended && q->phase == BLK_IO) {
		q->mended = true;
		err = hold_mend(q->blk->guest, &q->hold);
		if (err == 0) {
			submit(q);
			return;
		}
	}
	if (err == 0 && q->bounce && q->type == VIRTIO_BLK_T_IN)
		err = copy(q, copy_out);
	if (err == 0 && q->bounce && q->mapped)
		note(q);
	end_map(q, err);
	give_bounce(q);
	if (err < 0) {
		failed(q, "a request failed", err);
		blk_req_finish(q);
	} else {
		go_on(q);
	}
}

/* --- its pages --------------------------------------------------------------------- */

static void on_pages(struct hold *h, int err)
{
	struct blk_req *q = (struct blk_req *)h;
	struct err e = { 0 };

	if (err == 0) {
		start(q);
		return;
	}
	q->holding = false;
	give_bounce(q);
	if (q->piece > 0) {
		failed(q, "pages of a request cannot be had", err);
		blk_io_begin(q); /* the status byte's page alone */
	} else {
		err_set(&e, err, "a request cannot be answered, its page cannot be had: %s",
			strerror(-err));
		blk_req_give_up(q, &e);
	}
}

/* All pieces are whole blocks, so what is beyond the last one is left to the next. */
static void trim(struct blk_req *q)
{
	uint32_t block = q->bounce ? PAGE_SIZE : q->blk->disk->geometry.blk_size;
	uint64_t cut = q->piece % block;

	q->piece -= cut;
	while (cut > 0) {
		struct iovec *last = &q->iov[q->niov - 1];
		size_t n = cut < last->iov_len ? cut : last->iov_len;

		last->iov_len -= n;
		cut -= n;
		q->niov -= last->iov_len == 0;
	}
}

/* The next piece of data: iov and the pages that have to be held. => false: no memory there */
static bool gather(struct blk_req *q, enum hold_how how)
{
	uint64_t left = q->data - q->done, pages = 0;
	uint64_t room = q->bounce ? BLK_BOUNCE_BYTES : UINT64_MAX;
	struct blk_at at = q->at;

	while (left > 0 && pages < BLK_PAGES && room > q->piece && q->niov < 2 * BLK_SEGS &&
	       q->nparts + 2 * BLK_PLACE_PARTS <= BLK_PARTS) {
		uint64_t len = blk_left_of(q, &at), most = (BLK_PAGES - pages) * PAGE_SIZE;
		struct vhost_place p;

		len = len < left ? len : left;
		len = len < room - q->piece ? len : room - q->piece;
		if (len == 0 ||
		    vhost_mem_gpa(&q->blk->mem, q->seg[at.seg].gpa + at.off, len, &p) < 0)
			return false;
		most -= (uintptr_t)p.ptr % PAGE_SIZE;
		if (p.len > most)
			p.len = most;
		pages += blk_add_place(q, &p, how);
		q->iov[q->niov++] = (struct iovec){ p.ptr, p.len };
		q->piece += p.len;
		left -= p.len;
		blk_move_on(q, &at, (uint32_t)p.len);
	}
	if (left > 0 && q->type != VIRTIO_BLK_T_GET_ID)
		trim(q);
	blk_move_on(q, &q->at, (uint32_t)q->piece);
	return q->piece > 0;
}

/* Hold the pages of the next piece, of none if it has a status already, and go on. */
void blk_io_begin(struct blk_req *q)
{
	const struct vq_seg *last = &q->seg[q->chain.n_read + q->chain.n_write - 1];
	uint64_t status_at = last->gpa + last->len - 1;
	struct blk *b = q->blk;
	struct vhost_place p;
	struct err e = { 0 };
	enum hold_how how = q->type == VIRTIO_BLK_T_IN	  ? HOLD_OVERWRITE
			    : q->type == VIRTIO_BLK_T_OUT ? HOLD_READ
							  : HOLD_WRITE;
	int ret;

	q->phase = BLK_PAGES_IN;
	q->nparts = q->niov = 0;
	q->piece = 0;
	if (q->status == VIRTIO_BLK_S_OK && q->data > 0) {
		if (wants_bounce(q))
			q->bounce = b->bounce[--b->nbounces];
		if (!gather(q, how)) {
			give_bounce(q);
			failed(q, "a request names what is no memory", -EFAULT);
			q->nparts = 0;
			q->piece = 0;
		}
	}
	if (vhost_mem_gpa(&b->mem, status_at, 1, &p) < 0) {
		give_bounce(q);
		err_set(&e, -EPROTO, "the status byte of the request at %u is not in memory",
			q->chain.head);
		blk_req_give_up(q, &e);
		return;
	}
	q->status_at = p.ptr;
	blk_add_place(q, &p, HOLD_WRITE);
	q->hold.done = on_pages;
	q->hold.range = q->part;
	q->hold.nranges = q->nparts;
	ret = hold_begin(b->guest, &q->hold);
	q->holding = ret >= 0;
	if (ret <= 0)
		on_pages(&q->hold, ret);
}

void blk_io_cancel(struct blk_req *q)
{
	if (q->phase == BLK_MAP)
		end_map(q, -ECANCELED);
	give_bounce(q);
}
