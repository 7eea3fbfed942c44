/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation (image_nbd.c has what is promised)
 *
 * A request waits for a slot, keeps it, and is moved through it piece by piece:
 * todo, flight, and back to todo for the next piece.  Data goes through the slot's
 * own memory, so that libnbd never touches the guest's, which may vanish, and what is
 * sent again is the same.
 *
 * A piece that was written is added to the log when the server has answered it.  If
 * the log has no room its slot is parked, as if there were no answer yet, until a
 * flush (flusher, which starts when the log is half full) has made some.  What a
 * flush covers is what was in the log when it was started.
 */

#include <assert.h>
#include <errno.h>
#include <stddef.h>

#include "vmm/image_nbd_priv.h"

void slots_init(struct slots *l)
{
	l->head = NULL;
	l->tail = &l->head;
}

static void add(struct slots *l, struct slot *s)
{
	s->next = NULL;
	*l->tail = s;
	l->tail = &s->next;
}

static struct slot *cut(struct slots *l, struct slot **at)
{
	struct slot *s = *at;

	*at = s->next;
	if (l->tail == &s->next)
		l->tail = at;
	return s;
}

static void move_all(struct slots *from, struct slots *to)
{
	while (from->head)
		add(to, cut(from, &from->head));
}

static void end_slot(struct image_nbd *n, struct slot *s, int err)
{
	struct image_req *req = s->req;

	s->req = NULL;
	add(&n->free, s);
	image_end_later(req, err);
}

/* --- pieces -------------------------------------------------------------------------- */

static uint32_t piece_max(const struct image_nbd *n, const struct image_req *req)
{
	if (req->op == IMAGE_DISCARD)
		return NBD_ZERO_PIECE;
	if (req->op == IMAGE_ZEROES)
		return n->image.info.can_zero ? NBD_ZERO_PIECE : IMAGE_ZERO_BYTES;
	return NBD_PIECE;
}

/* The next piece of the slot's request is to be done. */
static void prepare(struct image_nbd *n, struct slot *s)
{
	static const enum nbd_kind kinds[] = {
		[IMAGE_READ] = NBD_READ,     [IMAGE_WRITE] = NBD_WRITE,
		[IMAGE_FLUSH] = NBD_FLUSH,   [IMAGE_DISCARD] = NBD_TRIM,
		[IMAGE_ZEROES] = NBD_ZEROES,
	};
	struct image_req *req = s->req;
	uint64_t left = req->len - req->at;
	uint32_t max = piece_max(n, req);

	s->kind = kinds[req->op];
	s->fua = image_is_durable(&n->image, req);
	s->unmap = req->unmap;
	s->off = s->kind == NBD_FLUSH ? 0 : req->off + req->at;
	s->len = s->kind == NBD_FLUSH ? 0 : left < max ? (uint32_t)left : max;
	if (s->kind == NBD_WRITE && image_gather(req, req->at, s->data, s->len) < 0)
		end_slot(n, s, -EFAULT);
	else
		add(&n->todo, s);
}

/* A piece is done, and in the log. */
static void piece_done(struct image_nbd *n, struct slot *s)
{
	struct image_req *req = s->req;

	if (s->kind != NBD_FLUSH)
		req->at += s->len;
	if (s->kind != NBD_FLUSH && req->at < req->len) {
		prepare(n, s);
	} else if (s->kind != NBD_FLUSH && s->kind != NBD_READ && s->fua &&
		   (!n->export.can_fua || s->kind == NBD_TRIM)) {
		s->kind = NBD_FLUSH;
		s->off = s->len = 0;
		add(&n->todo, s);
	} else {
		end_slot(n, s, 0);
	}
}

static bool log_piece(struct image_nbd *n, const struct slot *s)
{
	struct image_record rec = {
		.off = s->off,
		.len = s->len,
		.zeroes = s->kind == NBD_ZEROES,
		.unmap = s->unmap,
	};

	return !n->logs || image_log_add(&n->log, &rec, s->data);
}

static void unpark(struct image_nbd *n, int err)
{
	while (n->parked.head && (err || log_piece(n, n->parked.head))) {
		struct slot *s = cut(&n->parked, &n->parked.head);

		if (err)
			end_slot(n, s, err);
		else
			piece_done(n, s);
	}
}

static void flushed(struct image_nbd *n, const struct slot *s, int err)
{
	if (err == 0)
		image_log_trim(&n->log, s->mark);
	unpark(n, s == &n->flusher ? err : 0);
}

static void answered(struct image_nbd *n, struct slot *s, int err)
{
	if (s == &n->replayer) {
		/* it was written once; what the server now has is not known */
		if (err)
			n->flush_err = err;
		return;
	}
	if (s->kind == NBD_FLUSH)
		flushed(n, s, err);
	if (s == &n->flusher) {
		n->flushing = false;
		n->flush_failed_at = err ? n->log.head + 1 : 0;
		if (err)
			n->flush_err = err;
		return;
	}
	if (err == 0 && s->kind == NBD_READ)
		err = image_scatter(s->req, s->req->at, s->data, s->len);
	if (err == 0 && s->kind == NBD_FLUSH) {
		err = n->flush_err;
		n->flush_err = 0;
	}
	if (err)
		end_slot(n, s, err);
	else if ((s->kind == NBD_WRITE || s->kind == NBD_ZEROES) && !log_piece(n, s))
		add(&n->parked, s);
	else
		piece_done(n, s);
}

void nbd_io_reap(struct image_nbd *n)
{
	uint64_t cookie;
	int err;

	while (nbd_link_reap(n->link, &cookie, &err)) {
		struct slot **at = &n->flight.head;

		while (*at && (*at)->cookie != cookie)
			at = &(*at)->next;
		assert(*at);
		answered(n, cut(&n->flight, at), err);
	}
}

/* --- to the server ------------------------------------------------------------------- */

static int start(struct image_nbd *n, struct slot *s)
{
	bool fua = s->fua && n->export.can_fua;

	nbd_note_start(n, s->kind != NBD_READ && s->kind != NBD_FLUSH);
	switch (s->kind) {
	case NBD_READ:
		return nbd_link_read(n->link, s->data, s->len, s->off, &s->cookie);
	case NBD_TRIM:
		return nbd_link_trim(n->link, s->len, s->off, &s->cookie);
	case NBD_FLUSH:
		s->mark = n->log.head;
		return nbd_link_flush(n->link, &s->cookie);
	case NBD_WRITE:
		break;
	case NBD_ZEROES:
		if (n->image.info.can_zero)
			return nbd_link_zero(n->link, s->len, s->off, fua, s->unmap,
					     &s->cookie);
		break;
	}
	return (fua ? nbd_link_write_fua
		    : nbd_link_write)(n->link, s->kind == NBD_WRITE ? s->data : image_zeros,
				      s->len, s->off, &s->cookie);
}

/* What the log has, one after the other, before all else. */
static int start_replay(struct image_nbd *n)
{
	struct image_record rec;
	struct slot *s = &n->replayer;
	int ret;

	if (n->flight.head)
		return 0;
	if (!image_log_get(&n->log, &n->replay_at, &rec, s->data)) {
		n->replaying = false;
		return 0;
	}
	s->kind = rec.zeroes ? NBD_ZEROES : NBD_WRITE;
	s->off = rec.off;
	s->len = rec.len;
	s->unmap = rec.unmap;
	ret = start(n, s);
	if (ret == 0)
		add(&n->flight, s);
	return ret;
}

int nbd_io_start(struct image_nbd *n, bool *renew)
{
	int ret;

	*renew = false;
	if (n->replaying) {
		ret = start_replay(n);
		if (ret < 0 || n->replaying)
			return ret;
	}
	if (!n->flushing && n->logs && n->flush_failed_at != n->log.head + 1 &&
	    (n->parked.head || n->log.head - n->log.tail > n->log.size / 2)) {
		n->flushing = true;
		add(&n->todo, &n->flusher);
	}
	while (n->todo.head) {
		struct slot *s = n->todo.head;

		/* beyond what the server said when the link was made */
		if (s->off + s->len > n->export.bytes) {
			*renew = !n->flight.head;
			return 0;
		}
		ret = start(n, s);
		if (ret < 0)
			return ret;
		add(&n->flight, cut(&n->todo, &n->todo.head));
	}
	return 0;
}

/* --- from and to the caller ---------------------------------------------------------- */

void nbd_io_take(struct image_nbd *n)
{
	pthread_mutex_lock(&n->lock);
	if (n->ready) {
		*n->waiting_tail = n->ready;
		n->waiting_tail = n->ready_tail;
		n->ready = NULL;
		n->ready_tail = &n->ready;
	}
	pthread_mutex_unlock(&n->lock);
	while (n->waiting && n->free.head) {
		struct image_req *req = n->waiting;
		struct slot *s = cut(&n->free, &n->free.head);

		n->waiting = req->next;
		if (!n->waiting)
			n->waiting_tail = &n->waiting;
		s->req = req;
		prepare(n, s);
	}
}

/* Those that were started first come first; our own are made when they are needed. */
static void gather_all(struct image_nbd *n, struct slots *all)
{
	struct slots l;

	slots_init(&l);
	move_all(&n->parked, &l);
	move_all(&n->flight, &l);
	move_all(&n->todo, &l);
	slots_init(all);
	while (l.head) {
		struct slot *s = cut(&l, &l.head);

		if (s->req)
			add(all, s);
	}
	n->flushing = false;
}

void nbd_io_rewind(struct image_nbd *n)
{
	struct slots all;

	gather_all(n, &all);
	while (all.head) {
		struct slot *s = cut(&all, &all.head);

		if (n->logs || s->req->op == IMAGE_READ) {
			add(&n->todo, s);
			continue;
		}
		/* no log has its first pieces, and no flush has covered them yet */
		s->req->at = 0;
		prepare(n, s);
	}
	n->replaying = true;
	n->replay_at = n->log.tail;
}

void nbd_io_cancel(struct image_nbd *n)
{
	struct slots all;

	do {
		nbd_io_take(n);
		gather_all(n, &all);
		while (all.head)
			end_slot(n, cut(&all, &all.head), -ECANCELED);
	} while (n->waiting);
	n->replaying = true;
	n->replay_at = n->log.tail;
}
