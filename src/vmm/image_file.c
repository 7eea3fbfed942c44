/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Raw files and block devices.
 *
 * Theory of operation
 *
 * A request goes through its phases piece by piece; each completion (on_done) notes how
 * far it came and either starts the next piece (start) or ends it:
 *
 *   STRAIGHT  read or write, from and to the memory of the caller
 *   BOUNCED   the same through a buffer, since O_DIRECT does not take that memory
 *   PUNCH     fallocate: discards, and zeroes that may unmap
 *   ZERO      fallocate: zeroes that keep their blocks
 *   FILL      zeroes are written
 *   SYNC      fdatasync: a flush, and the end of what must be durable and was no write
 *
 * Discards and zeroes are given to fallocate, which does on block devices what
 * BLKDISCARD and BLKZEROOUT do, and has an operation of io_uring on every kernel.
 * PUNCH falls back to ZERO and that to FILL; what a file system cannot do is
 * remembered (no_punch, no_zero).  A discard is a hint: it ends there, well.
 *
 * There are BOUNCE_BUFFERS buffers, made when the image is opened.  Who finds none
 * waits in order; who ends hands its own to the first that waits.  A holder needs
 * nothing but the kernel, so it ends.
 *
 * Durable writes carry RWF_DSYNC, which becomes FUA where a device has it.
 *
 * When fdatasync has failed the kernel has told it, forgotten it and called the pages
 * clean: the next one would succeed, and what was written is nowhere.  Without
 * O_DIRECT every flush after that fails too (flush_err), and so does each durable
 * write, as with QEMU.
 */

#include <errno.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stddef.h>

#include "vmm/image_file_priv.h"

#define ALLOC_BYTES (64u << 20) /* of one fallocate: a device may write them out */
#define TRIES_MAX   100		/* that were interrupted, of one piece */

enum phase { STRAIGHT, BOUNCED, PUNCH, ZERO, FILL, SYNC };

static void start(struct image_req *req);

/* --- the end ------------------------------------------------------------------------- */

/* => it has a buffer, or waits for one */
static bool take_bounce(struct image_file *f, struct image_req *req)
{
	if (f->nfree > 0) {
		req->bounce = f->free[--f->nfree];
		return true;
	}
	*f->waiting_tail = req;
	f->waiting_tail = &req->next;
	return false;
}

static void give_bounce(struct image_file *f, struct image_req *req)
{
	struct image_req *first = f->waiting;
	void *bounce = req->bounce;

	req->bounce = NULL;
	if (!bounce)
		return;
	if (!first) {
		f->free[f->nfree++] = bounce;
		return;
	}
	f->waiting = first->next;
	if (!f->waiting)
		f->waiting_tail = &f->waiting;
	first->bounce = bounce;
	start(first);
}

static void end(struct image_req *req, int err)
{
	give_bounce(file_of(req->image), req);
	image_end(req, err);
}

/* --- pieces -------------------------------------------------------------------------- */

static uint32_t piece(const struct image_req *req, uint32_t max)
{
	return req->len - req->at < max ? (uint32_t)(req->len - req->at) : max;
}

static void write_vectors(struct image_req *req, const struct iovec *iov, unsigned int n)
{
	const struct image_file *f = file_of(req->image);

	ring_writev_flags(
		req->ring, &req->ring_op, f->fd, iov, n, req->off + req->at,
		req->op == IMAGE_WRITE && image_is_durable(req->image, req) ? RWF_DSYNC : 0);
}

static void start_straight(struct image_req *req)
{
	unsigned int n;
	const struct iovec *iov = image_iov_from(req, req->at, &n);

	if (req->op == IMAGE_READ)
		ring_readv(req->ring, &req->ring_op, file_of(req->image)->fd, iov, n,
			   req->off + req->at);
	else
		write_vectors(req, iov, n);
}

static void on_no_memory(struct ring_op *op, int res)
{
	end(image_req_of(op), res);
}

static void start_bounced(struct image_req *req)
{
	int err = 0;

	req->now = piece(req, BOUNCE_BYTES);
	req->part[0] = (struct iovec){ req->bounce, req->now };
	if (req->op == IMAGE_WRITE)
		err = image_gather(req, req->at, req->bounce, req->now);
	if (err) {
		/* not from within whatever has called */
		req->ring_op.done = on_no_memory;
		ring_post(req->ring, &req->ring_op, err);
	} else if (req->op == IMAGE_WRITE) {
		write_vectors(req, req->part, 1);
	} else {
		ring_readv(req->ring, &req->ring_op, file_of(req->image)->fd, req->part, 1,
			   req->off + req->at);
	}
}

static void start_fallocate(struct image_req *req, int mode)
{
	req->now = piece(req, ALLOC_BYTES);
	ring_fallocate(req->ring, &req->ring_op, file_of(req->image)->fd,
		       mode | FALLOC_FL_KEEP_SIZE, req->off + req->at, req->now);
}

static void start_fill(struct image_req *req)
{
	uint32_t left;
	unsigned int n = 0;

	req->now = piece(req, IMAGE_PARTS * IMAGE_ZERO_BYTES);
	for (left = req->now; left > 0; n++) {
		uint32_t len = left < IMAGE_ZERO_BYTES ? left : IMAGE_ZERO_BYTES;

		req->part[n] = (struct iovec){ (void *)(uintptr_t)image_zeros, len };
		left -= len;
	}
	write_vectors(req, req->part, n);
}

static void start(struct image_req *req)
{
	switch ((enum phase)req->phase) {
	case STRAIGHT:
		start_straight(req);
		break;
	case BOUNCED:
		start_bounced(req);
		break;
	case PUNCH:
		start_fallocate(req, FALLOC_FL_PUNCH_HOLE);
		break;
	case ZERO:
		start_fallocate(req, FALLOC_FL_ZERO_RANGE);
		break;
	case FILL:
		start_fill(req);
		break;
	case SYNC:
		ring_datasync(req->ring, &req->ring_op, file_of(req->image)->fd);
		break;
	}
}

/* --- completions --------------------------------------------------------------------- */

static bool is_transfer(const struct image_req *req)
{
	return req->phase == STRAIGHT || req->phase == BOUNCED || req->phase == FILL;
}

/* fallocate cannot do it. => true: something else is tried */
static bool fall_back(struct image_file *f, struct image_req *req)
{
	if (req->phase == PUNCH) {
		f->no_punch = true;
		f->image.info.can_discard = false;
		req->phase = f->no_zero ? FILL : ZERO;
		return req->op == IMAGE_ZEROES;
	}
	f->no_zero = true;
	f->image.info.can_zero = false;
	req->phase = FILL;
	return true;
}

/* A piece has failed. => true: it is tried again, in the same or another way */
static bool again(struct image_file *f, struct image_req *req, int err)
{
	if (err == -EINTR || err == -EAGAIN)
		return ++req->tries < TRIES_MAX;
	if ((req->phase == PUNCH || req->phase == ZERO) && unsupported(err))
		return fall_back(f, req);
	/* the file system wants more than it has said */
	if (err == -EINVAL && req->phase == STRAIGHT && f->direct) {
		req->phase = BOUNCED;
		return true;
	}
	return false;
}

/* All pieces are done. => true: not yet at the end */
static bool sync_last(const struct image_file *f, struct image_req *req)
{
	if (req->op == IMAGE_READ || req->op == IMAGE_WRITE)
		return false;
	req->phase = SYNC;
	return image_is_durable(&f->image, req);
}

/* Note n bytes of the piece. => 0 or -errno */
static int advance(const struct image_file *f, struct image_req *req, uint32_t n)
{
	if (is_transfer(req)) {
		/* what is left must be aligned too */
		n &= ~(f->off_align - 1);
		/* the file has become shorter, or the device does nothing */
		if (n == 0)
			return -EIO;
	} else {
		n = req->now;
	}
	if (req->phase == BOUNCED && req->op == IMAGE_READ &&
	    image_scatter(req, req->at, req->bounce, n) < 0)
		return -EFAULT;
	req->at += n;
	req->tries = 0;
	return 0;
}

static void go_on(struct image_file *f, struct image_req *req)
{
	if (req->phase != BOUNCED || req->bounce || take_bounce(f, req))
		start(req);
}

static void on_done(struct ring_op *op, int res)
{
	struct image_req *req = image_req_of(op);
	struct image_file *f = file_of(req->image);
	int err;

	if (res < 0 && again(f, req, res)) {
		go_on(f, req);
		return;
	}
	if (res < 0 && req->op == IMAGE_DISCARD && unsupported(res)) {
		end(req, 0);
		return;
	}
	if (req->phase == SYNC) {
		if (res < 0 && !f->direct)
			f->flush_err = res;
		end(req, res);
		return;
	}
	err = res < 0 ? res : 0;
	if (err == 0 && req->at < req->len)
		err = advance(f, req, (uint32_t)res);
	if (err == 0 && (req->at < req->len || sync_last(f, req)))
		start(req);
	else
		end(req, err);
}

/* --- requests ------------------------------------------------------------------------ */

static bool is_aligned(const struct image_file *f, const struct image_req *req)
{
	uintptr_t bits = 0;

	for (unsigned int i = 0; i < req->niov; i++)
		bits |= ((uintptr_t)req->iov[i].iov_base & (f->mem_align - 1)) |
			(req->iov[i].iov_len & (f->off_align - 1));
	return bits == 0;
}

static enum phase first_phase(const struct image_file *f, const struct image_req *req)
{
	switch (req->op) {
	case IMAGE_READ:
	case IMAGE_WRITE:
		return is_aligned(f, req) ? STRAIGHT : BOUNCED;
	case IMAGE_FLUSH:
		return SYNC;
	case IMAGE_DISCARD:
		return PUNCH;
	case IMAGE_ZEROES:
		if (req->unmap && !f->no_punch)
			return PUNCH;
		return f->no_zero ? FILL : ZERO;
	}
	__builtin_unreachable();
}

void file_submit(struct image *image, struct image_req *req)
{
	struct image_file *f = file_of(image);

	if (f->flush_err && (req->op == IMAGE_FLUSH ||
			     (req->op != IMAGE_READ && image_is_durable(image, req)))) {
		image_end_later(req, f->flush_err);
		return;
	}
	if (req->op == IMAGE_DISCARD && f->no_punch) {
		image_end_later(req, 0);
		return;
	}
	req->ring_op.done = on_done;
	req->phase = (uint8_t)first_phase(f, req);
	go_on(f, req);
}
