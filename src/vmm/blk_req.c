/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One request.
 *
 * Theory of operation
 *
 *	HEADER	 its first bytes, and the ranges of a discard, are copied once.  Where a page of
 *		 theirs is not in memory it is brought in, and the copy made again
 *	..	 its I/O, piece by piece: blk_io.c.  All pages that a piece names are held:
 *		 those that are on swap are read in one go, those that will be overwritten
 *		 are not read
 *	DONE	 it is answered by the next step of its ring; the hold ends after that
 *
 * A request never waits for pages while it holds others, so that none waits for another.
 *
 * A page that the guest gave back just before it was held is gone without our knowing; I/O
 * to it ends with -EFAULT, and is done again once the page is mended.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/guard.h"
#include "base/log.h"
#include "vmm/blk_priv.h"

static struct blk_req *req_of(struct hold *h)
{
	return (struct blk_req *)h;
}

void blk_req_let_go(struct blk_req *q)
{
	if (q->holding)
		hold_end(q->blk->guest, &q->hold);
	q->holding = false;
}

/* It is to be answered. */
void blk_req_finish(struct blk_req *q)
{
	q->phase = BLK_DONE;
	q->next = q->ring->done;
	q->ring->done = q;
	q->blk->again = true;
}

/* It cannot even be answered. */
void blk_req_give_up(struct blk_req *q, const struct err *e)
{
	blk_req_let_go(q);
	blk_ring_break(q->ring, e);
	q->status = BLK_NO_ANSWER;
	blk_req_finish(q);
}

/* --- places in the buffers ---------------------------------------------------- */

/* The segment at `at`, less the status byte at the very end. => 0: there is no more */
uint32_t blk_left_of(const struct blk_req *q, const struct blk_at *at)
{
	const struct vq_chain *c = &q->chain;
	bool last = at->seg + 1 == (uint32_t)c->n_read + c->n_write;

	if (at->seg >= (uint32_t)c->n_read + c->n_write)
		return 0;
	return q->seg[at->seg].len - at->off - (last && c->n_write > 0);
}

void blk_move_on(const struct blk_req *q, struct blk_at *at, uint32_t n)
{
	at->off += n;
	while (at->seg < (uint32_t)q->chain.n_read + q->chain.n_write &&
	       at->off >= q->seg[at->seg].len) {
		at->off -= q->seg[at->seg].len;
		at->seg++;
	}
}

struct copy {
	struct blk_req *q;
	uint32_t skip;
	void *to;
	uint32_t n;
	int ret;
};

/* Out of the buffers that the device reads. */
static void copy_out(void *arg)
{
	struct copy *c = arg;
	struct blk_at at = { 0, 0 };
	uint32_t n = c->n, len;
	uint8_t *to = c->to;

	blk_move_on(c->q, &at, c->skip);
	for (; n > 0 && c->ret == 0; n -= len, to += len) {
		len = blk_left_of(c->q, &at);
		len = len < n ? len : n;
		c->ret = len == 0 || at.seg >= c->q->chain.n_read
				 ? -EINVAL
				 : vhost_mem_read(&c->q->blk->mem,
						  c->q->seg[at.seg].gpa + at.off, to, len);
		blk_move_on(c->q, &at, len);
	}
}

/* => 0, -EFAULT: a page is not there, or -EINVAL: it is no memory at all */
static int copy(struct blk_req *q, uint32_t skip, void *to, uint32_t n)
{
	struct copy c = { q, skip, to, n, 0 };

	if (guard_run(copy_out, &c) < 0)
		return -EFAULT;
	return c.ret < 0 ? -EINVAL : 0;
}

static void add_part(struct blk_req *q, uint64_t page, uint64_t n, enum hold_how how)
{
	if (n == 0)
		return;
	assert(q->nparts < BLK_PARTS);
	q->part[q->nparts++] = (struct hold_range){ page, (uint32_t)n, how };
}

/* => how many pages */
uint64_t blk_add_place(struct blk_req *q, const struct vhost_place *p, enum hold_how how)
{
	uint64_t off = (uintptr_t)p->ptr % PAGE_SIZE, end = off + p->len;
	uint64_t n = (end + PAGE_SIZE - 1) / PAGE_SIZE, head, tail;

	if (how != HOLD_OVERWRITE) {
		add_part(q, p->page, n, how);
		return n;
	}
	head = off > 0;
	tail = end % PAGE_SIZE != 0 && !(head && n == 1);
	add_part(q, p->page, head, HOLD_WRITE);
	add_part(q, p->page + head, n - head - tail, HOLD_OVERWRITE);
	add_part(q, p->page + n - tail, tail, HOLD_WRITE);
	return n;
}

/* --- the header --------------------------------------------------------------- */

static void read_header(struct blk_req *q);

static void on_header(struct hold *h, int err)
{
	struct blk_req *q = req_of(h);
	struct err e = { 0 };

	if (err == 0) {
		read_header(q);
		return;
	}
	q->holding = false;
	err_set(&e, err, "the header of a request cannot be read from swap: %s",
		strerror(-err));
	blk_req_give_up(q, &e);
}

/* Have the pages of all that the device reads of it, up to n bytes, brought in. */
static void hold_header(struct blk_req *q, uint32_t n)
{
	struct blk_at at = { 0, 0 };
	struct vhost_place p;
	struct err e = { 0 };
	uint32_t len;
	int ret;

	q->nparts = 0;
	while (n > 0 && at.seg < q->chain.n_read) {
		len = blk_left_of(q, &at);
		len = len < n ? len : n;
		if (len == 0 || q->nparts + BLK_PLACE_PARTS > BLK_PARTS ||
		    vhost_mem_gpa(&q->blk->mem, q->seg[at.seg].gpa + at.off, len, &p) < 0)
			break;
		blk_add_place(q, &p, HOLD_READ);
		blk_move_on(q, &at, (uint32_t)p.len);
		n -= (uint32_t)p.len;
	}
	q->hold.done = on_header;
	q->hold.range = q->part;
	q->hold.nranges = q->nparts;
	ret = hold_begin(q->blk->guest, &q->hold);
	q->holding = ret >= 0;
	if (ret < 0) {
		err_set(&e, ret, "the header of a request cannot be had: %s", strerror(-ret));
		blk_req_give_up(q, &e);
	} else if (ret == 0) {
		read_header(q);
	}
}

static bool in_image(const struct blk_req *q, uint64_t off, uint64_t len)
{
	uint64_t size = image_bytes(q->blk->disk->image);

	return off <= size && len <= size - off;
}

static void check_ranges(struct blk_req *q)
{
	const struct vhost_disk *d = &q->blk->disk->geometry;
	bool zeroes = q->type == VIRTIO_BLK_T_WRITE_ZEROES;
	uint64_t max = zeroes ? d->zeroes_max : d->discard_max;

	if (d->read_only || max == 0)
		q->status = d->read_only ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_UNSUPP;
	for (uint32_t i = 0; i < q->nranges && q->status == VIRTIO_BLK_S_OK; i++) {
		const struct virtio_blk_discard_write_zeroes *r = &q->range[i];

		if (r->flags & ~(zeroes ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0u))
			q->status = VIRTIO_BLK_S_UNSUPP;
		else if (r->num_sectors > max || r->sector > UINT64_MAX / 512 ||
			 !in_image(q, r->sector * 512, (uint64_t)r->num_sectors * 512))
			q->status = VIRTIO_BLK_S_IOERR;
	}
}

/* What it is, and whether it can be. */
static void classify(struct blk_req *q, uint64_t sector)
{
	const struct vhost_disk *d = &q->blk->disk->geometry;
	bool to_us = q->type == VIRTIO_BLK_T_OUT;

	q->data = 0;
	q->at = (struct blk_at){ 0, 0 };
	switch (q->type) {
	case VIRTIO_BLK_T_IN:
	case VIRTIO_BLK_T_OUT:
		q->data = to_us ? q->chain.read_bytes - sizeof(struct virtio_blk_outhdr)
				: q->chain.write_bytes - 1;
		if (to_us)
			blk_move_on(q, &q->at, sizeof(struct virtio_blk_outhdr));
		else
			q->at.seg = q->chain.n_read;
		q->off = sector * 512;
		if (sector > UINT64_MAX / 512 || q->data % 512 ||
		    !in_image(q, q->off, q->data) || (to_us && d->read_only))
			q->status = VIRTIO_BLK_S_IOERR;
		break;
	case VIRTIO_BLK_T_FLUSH:
		break;
	case VIRTIO_BLK_T_GET_ID:
		q->data = q->chain.write_bytes - 1;
		q->data = q->data < DISK_SERIAL_MAX ? q->data : DISK_SERIAL_MAX;
		q->at.seg = q->chain.n_read;
		break;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		check_ranges(q);
		break;
	default:
		q->status = VIRTIO_BLK_S_UNSUPP;
	}
	if (q->status == VIRTIO_BLK_S_UNSUPP)
		blk_count(&q->blk->disk->count.unsupported, 1);
}

bool blk_req_has_ranges(const struct blk_req *q)
{
	return q->type == VIRTIO_BLK_T_DISCARD || q->type == VIRTIO_BLK_T_WRITE_ZEROES;
}

static void read_header(struct blk_req *q)
{
	struct virtio_blk_outhdr h;
	uint32_t n = sizeof(h);
	struct err e = { 0 };
	int ret;

	ret = copy(q, 0, &h, sizeof(h));
	if (ret == 0)
		q->type = h.type;
	q->nranges = 0;
	if (ret == 0 && blk_req_has_ranges(q)) {
		uint64_t bytes = q->chain.read_bytes - sizeof(h);

		if (bytes == 0 || bytes % sizeof(q->range[0]) || bytes > sizeof(q->range)) {
			q->status = VIRTIO_BLK_S_IOERR;
		} else {
			n += (uint32_t)bytes;
			q->nranges = (uint32_t)(bytes / sizeof(q->range[0]));
			ret = copy(q, sizeof(h), q->range, (uint32_t)bytes);
		}
	}
	if (ret == -EFAULT && !q->holding) {
		hold_header(q, n);
		return;
	}
	if (ret == -EFAULT && !q->mended) { /* given back just before */
		q->mended = true;
		ret = hold_mend(q->blk->guest, &q->hold);
		if (ret == 0) {
			blk_req_let_go(q);
			hold_header(q, sizeof(h) + sizeof(q->range));
			return;
		}
	}
	if (ret < 0) {
		err_set(&e, -EPROTO, "the header of the request at %u is not in memory",
			q->chain.head);
		blk_req_give_up(q, &e);
		return;
	}
	blk_req_let_go(q);
	q->mended = false;
	if (q->status == VIRTIO_BLK_S_OK)
		classify(q, h.sector);
	blk_io_begin(q);
}

void blk_req_begin(struct blk_req *q)
{
	struct err e = { 0 };

	q->phase = BLK_HEADER;
	q->status = VIRTIO_BLK_S_OK;
	q->done = q->piece = 0;
	q->data = 0;
	q->type = UINT32_MAX;
	q->nranges = 0;
	q->written = 1;
	q->holding = q->mended = false;
	if (q->chain.read_bytes < sizeof(struct virtio_blk_outhdr) ||
	    q->chain.write_bytes < 1) {
		err_set(&e, -EPROTO, "the request at %u has no header, or no status byte",
			q->chain.head);
		blk_req_give_up(q, &e);
		return;
	}
	read_header(q);
}

struct status {
	uint8_t *at;
	uint8_t value;
};

static void store_status(void *arg)
{
	struct status *s = arg;

	__atomic_store_n(s->at, s->value, __ATOMIC_RELAXED);
}

void blk_req_status(struct blk_req *q)
{
	struct status s = { q->status_at, q->status };

	/* a page that the guest has given back meanwhile: it does not want to know */
	(void)!guard_run(store_status, &s);
	blk_req_let_go(q);
}

void blk_req_cancel(struct blk_req *q)
{
	if (q->phase != BLK_HEADER && q->phase != BLK_PAGES_IN && q->phase != BLK_MAP)
		return;
	blk_io_cancel(q);
	blk_req_let_go(q); /* or is no longer waited for */
	q->status = BLK_NO_ANSWER;
	blk_req_finish(q);
}
