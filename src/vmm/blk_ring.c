/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One virtqueue of a disk.
 *
 * Theory of operation
 *
 * Its own pages are held for as long as it is started.  An indirect table is the guest's, and
 * may be on swap: then vq_pop is left by SIGBUS, which changes nothing, the table's
 * pages are held (`table`), and it is tried again.
 *
 * Each step answers what is done in all rings, for each with one store to the used ring and one
 * signal, and then takes what is new, from another ring first each time: a disk has BLK_REQS
 * requests at a time, and one ring with more than that would leave none to the others.  The
 * order of an answer is the in-flight region's: status byte, log, inflight_push, vq_push; then
 * vq_publish, inflight_publish.  A death anywhere leaves the request either answered or in
 * flight.
 *
 * A ring that another pager has served is begun with what is in flight there: these requests
 * are done again, once nothing of the old ones is on its way any more (image_fence.h).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/guard.h"
#include "base/image_fence.h"
#include "base/log.h"
#include "base/point.h"
#include "vmm/blk_priv.h"

#define POPS_MAX 16 /* in a step: faults wait meanwhile */

static struct blk_ring *ring_of(struct hold *h)
{
	return (struct blk_ring *)h;
}

bool blk_ring_runs(const struct blk_ring *r)
{
	return r->state == RING_ON && vhost_dev_runs(&r->blk->dev, r->index);
}

static void signal_fd(int fd)
{
	uint64_t one = 1;

	/* eventfds that do not block, see blk_conn.c: full is as good as told */
	if (fd >= 0)
		(void)!write(fd, &one, sizeof(one));
}

void blk_ring_break(struct blk_ring *r, const struct err *e)
{
	if (r->state == RING_BROKEN)
		return;
	log_warn("disk %s: ring %u is not served any more, until the device is reset: %s",
		 r->blk->disk->name, r->index, e->text);
	r->state = RING_BROKEN;
	blk_count(&r->blk->disk->count.resets, 1);
	signal_fd(r->blk->disk->fd[VHOST_FD_ERR + r->index]);
}

/* --- start and stop ------------------------------------------------------------ */

static void on_kick(struct ring_op *op, int res)
{
	struct blk_ring *r =
		(struct blk_ring *)((char *)op - __builtin_offsetof(struct blk_ring, poll));
	uint64_t n;
	struct iovec iov = { &n, sizeof(n) };

	(void)res;
	/* the front end has it open too, and may make it wait again, or read it before us */
	(void)!preadv2(r->blk->disk->fd[VHOST_FD_KICK + r->index], &iov, 1, -1, RWF_NOWAIT);
	r->kicked = true;
}

void blk_ring_poll(struct blk_ring *r)
{
	struct blk *b = r->blk;
	int fd = b->disk->fd[VHOST_FD_KICK + r->index];

	if (r->polled)
		ring_poll_end(b->guest->ring, &r->poll);
	r->polled = fd >= 0;
	r->kicked = true;
	r->poll.done = on_kick;
	if (r->polled)
		ring_poll(b->guest->ring, &r->poll, fd);
	/* What is in the used ring may have been signalled at another descriptor, which nobody
	 * looks at any more, or by nobody: a pager may die just before.  One interrupt too
	 * many is nothing to a driver, and one too few is for ever. */
	signal_fd(b->disk->fd[VHOST_FD_CALL + r->index]);
}

static struct vq_setup setup_of(const struct blk_ring *r)
{
	const struct vhost_dev_ring *v = &r->blk->dev.ring[r->index];

	return (struct vq_setup){ .num = v->num,
				  .base = v->base,
				  .features = r->blk->dev.features,
				  .desc = v->addr.desc,
				  .avail = v->addr.avail,
				  .used = v->addr.used,
				  .logged = vhost_dev_logs(&r->blk->dev) &&
					    (v->addr.flags & VHOST_RING_LOG),
				  .log_addr = v->addr.log };
}

struct start {
	struct blk_ring *r;
	struct vq_setup setup;
	struct err *e;
	int ret;
};

static void start(void *arg)
{
	static const struct vq_limits limits = { .segs = BLK_SEGS, .bytes = BLK_BYTES };
	struct start *s = arg;
	struct blk_ring *r = s->r;
	struct blk *b = r->blk;
	const struct vhost_inflight_area *a = &b->dev.inflight;
	const struct vring_used *used;
	uint16_t used_idx;

	used = vhost_mem_uva(&b->mem, s->setup.used, sizeof(*used), NULL);
	if (!used) {
		s->ret = err_set(s->e, -EPROTO, "its used ring is not in memory");
		return;
	}
	used_idx = __atomic_load_n(&used->idx, __ATOMIC_ACQUIRE);
	r->resume = r->nresume = 0;
	r->inflight = (struct inflight){ 0 };
	if (b->dev.has_inflight) {
		s->ret = inflight_open(&r->inflight, b->inflight_map, a->size, a->num_queues,
				       a->queue_size, r->index, s->setup.num, used_idx, s->e);
		if (s->ret == 0)
			s->ret = inflight_recover(&r->inflight, s->setup.num, used_idx,
						  r->heads, s->e);
		if (s->ret < 0)
			return;
		r->nresume = (uint32_t)s->ret;
		s->setup.base = (uint16_t)(used_idx + r->nresume);
	}
	s->ret = vq_start(&r->vq, &s->setup, &b->mem, &b->log, &limits, s->e);
}

/* Its pages are held. */
static void go(struct blk_ring *r)
{
	struct blk *b = r->blk;
	struct disk *d = b->disk;
	struct err e = { 0 };
	struct start s = { .r = r, .setup = setup_of(r), .e = &e };

	if (!d->fenced && d->image_fd >= 0 && !image_fence_is_clear(d->image_fd, d->fence))
		return; /* tried again by each step */
	d->fenced = true;
	if (guard_run(start, &s) < 0)
		s.ret = err_set(&e, -EPROTO, "it is not in memory");
	if (s.ret < 0) {
		char why[ERR_TEXT_MAX];

		snprintf(why, sizeof(why), "%s", e.text);
		err_set(&e, s.ret, "ring %u: %.400s", r->index, why);
		blk_drop(b, &e);
		return;
	}
	r->state = RING_ON;
	if (r->nresume > 0)
		log_info("disk %s: ring %u: %u requests were in flight and are taken up again",
			 d->name, r->index, r->nresume);
	blk_ring_poll(r);
}

static void on_held(struct hold *h, int err)
{
	struct blk_ring *r = ring_of(h);
	struct err e = { 0 };

	r->held = err == 0 ? 2 : 0;
	if (err < 0) {
		err_set(&e, err, "ring %u: its pages cannot be had: %s", r->index,
			strerror(-err));
		blk_drop(r->blk, &e);
	}
	r->blk->again = true;
}

static int add_part(struct blk_ring *r, uint64_t uva, uint64_t bytes, struct err *e)
{
	uint64_t page;
	void *p = vhost_mem_uva(&r->blk->mem, uva, bytes, &page);
	uint64_t n = ((uva % PAGE_SIZE) + bytes + PAGE_SIZE - 1) / PAGE_SIZE;

	if (!p)
		return err_set(e, -EPROTO, "ring %u is not in the guest's memory", r->index);
	r->part[r->hold.nranges++] = (struct hold_range){ page, (uint32_t)n, HOLD_WRITE };
	return 0;
}

/* Rings of all disks of the guest hold pages while requests wait for some. */
static bool fits(const struct blk_ring *r)
{
	uint64_t pages = 0;

	for (const struct blk *b = r->blk->guest->blks; b; b = b->next)
		for (unsigned int i = 0; i < VHOST_QUEUES_MAX; i++)
			for (uint32_t k = 0; k < b->ring[i].hold.nranges; k++)
				pages += b->ring[i].part[k].n;
	return pages <= HOLDS_PAGES_MAX - HOLD_PAGES_MAX;
}

void blk_ring_start(struct blk_ring *r)
{
	const struct vhost_dev_ring *v = &r->blk->dev.ring[r->index];
	uint64_t num = v->num;
	struct err e = { 0 };
	int ret;

	r->state = RING_PAGES;
	r->hold.nranges = 0;
	r->hold.range = r->part;
	r->hold.done = on_held;
	ret = add_part(r, v->addr.desc, num * sizeof(struct vring_desc), &e);
	if (ret == 0)
		ret = add_part(r, v->addr.avail,
			       sizeof(struct vring_avail) + (num + 1) * sizeof(uint16_t), &e);
	if (ret == 0)
		ret = add_part(r, v->addr.used,
			       sizeof(struct vring_used) +
				       num * sizeof(struct vring_used_elem) + sizeof(uint16_t),
			       &e);
	if (ret == 0 && !fits(r))
		ret = err_set(&e, -ENOSPC, "the rings of guest %s take too many pages",
			      r->blk->guest->name);
	if (ret < 0) {
		r->hold.nranges = 0;
		blk_drop(r->blk, &e);
		return;
	}
	ret = hold_begin(r->blk->guest, &r->hold);
	r->held = 1;
	if (ret <= 0)
		on_held(&r->hold, ret);
}

void blk_ring_stop(struct blk_ring *r)
{
	struct guest *g = r->blk->guest;

	if (r->polled)
		ring_poll_end(g->ring, &r->poll);
	if (r->held)
		hold_end(g, &r->hold);
	if (r->table_held)
		hold_end(g, &r->table);
	r->polled = false;
	r->held = 0;
	r->table_held = false;
	r->table_waits = false;
	r->hold.nranges = 0;
	r->state = RING_OFF;
}

void blk_ring_move(struct blk_ring *r)
{
	struct vq_setup s = setup_of(r);
	struct err e = { 0 };
	uint64_t at[] = { s.desc, s.avail, s.used }, page;

	if (r->state != RING_ON)
		return;
	/* other pages than those that are held could be taken away under it */
	for (unsigned int i = 0; i < 3; i++)
		if (!vhost_mem_uva(&r->blk->mem, at[i], 1, &page) || page != r->part[i].page) {
			err_set(&e, -EPROTO, "it has moved");
			blk_ring_break(r, &e);
			return;
		}
	if (vq_move(&r->vq, s.logged, s.log_addr, &e) < 0)
		blk_ring_break(r, &e);
}

/* --- answers -------------------------------------------------------------------- */

struct answer {
	struct blk_ring *r;
	struct blk_req *q;
	struct err *e;
	int ret;
	bool notify;
};

static void push(void *arg)
{
	struct answer *a = arg;
	struct blk_req *q = a->q;

	if (vq_log_chain(&a->r->vq, &q->chain) < 0) {
		a->ret = err_set(a->e, -EPROTO, "the log does not cover a request");
		return;
	}
	inflight_push(&a->r->inflight, q->chain.head);
	a->ret = vq_push(&a->r->vq, q->chain.head, q->written, a->e);
}

static void publish(void *arg)
{
	struct answer *a = arg;

	a->ret = vq_publish(&a->r->vq, a->e);
	point_crash("disk-published");
	inflight_publish(&a->r->inflight, a->r->vq.used_idx);
	a->notify = vq_should_notify(&a->r->vq);
}

/* What is done, oldest first. */
static struct blk_req *take_done(struct blk_ring *r)
{
	struct blk_req *q = r->done, *next, *list = NULL;

	for (; q; q = next) {
		next = q->next;
		q->next = list;
		list = q;
	}
	r->done = NULL;
	return list;
}

static void free_req(struct blk_req *q)
{
	struct blk *b = q->blk;

	q->phase = BLK_FREE;
	q->ring->under_way--;
	blk_count(&b->disk->count.in_flight, UINT64_MAX);
	q->next = b->free;
	b->free = q;
	b->again |= q->ring->state == RING_ON;
}

static void answer(struct blk_ring *r)
{
	struct blk_req *q = take_done(r), *next;
	struct err e = { 0 };
	struct answer a = { .r = r, .e = &e };

	if (!q)
		return;
	for (; q; q = next) {
		next = q->next;
		a.q = q;
		a.ret = 0;
		if (q->status == BLK_NO_ANSWER) {
			free_req(q);
			continue;
		}
		blk_req_status(q);
		if (guard_run(push, &a) < 0)
			a.ret = err_set(&e, -EPROTO, "its memory is gone");
		if (a.ret < 0)
			blk_ring_break(r, &e);
		free_req(q);
	}
	point_crash("disk-pushed");
	if (guard_run(publish, &a) < 0)
		a.ret = err_set(&e, -EPROTO, "its memory is gone");
	if (a.ret < 0)
		blk_ring_break(r, &e);
	if (a.notify)
		signal_fd(r->blk->disk->fd[VHOST_FD_CALL + r->index]);
}

/* --- requests ------------------------------------------------------------------- */

struct pop {
	struct blk_ring *r;
	struct blk_req *q;
	struct err *e;
	int ret;
};

static void pop(void *arg)
{
	struct pop *p = arg;
	struct blk_ring *r = p->r;

	if (r->resume < r->nresume) {
		p->ret = vq_resume(&r->vq, r->heads[r->resume], &p->q->chain, p->e);
		p->ret = p->ret < 0 ? p->ret : 1;
	} else {
		p->ret = vq_pop(&r->vq, &p->q->chain, p->e);
	}
}

static void begin(void *arg)
{
	struct pop *p = arg;

	inflight_begin(&p->r->inflight, p->q->chain.head);
}

static void enable(void *arg)
{
	struct pop *p = arg;

	p->ret = vq_enable_kicks(&p->r->vq, p->e);
}

static void on_table(struct hold *h, int err)
{
	struct blk_ring *r =
		(struct blk_ring *)((char *)h - __builtin_offsetof(struct blk_ring, table));
	struct err e = { 0 };

	r->table_waits = false;
	r->table_held = err == 0;
	r->kicked = true;
	r->blk->again = true;
	if (err < 0) {
		err_set(&e, err, "an indirect table cannot be had: %s", strerror(-err));
		blk_ring_break(r, &e);
	}
}

struct find_table {
	struct blk_ring *r;
	struct vring_desc d;
	bool found;
};

static void find_table(void *arg)
{
	struct find_table *f = arg;
	struct virtqueue *vq = &f->r->vq;
	uint16_t head =
		f->r->resume < f->r->nresume
			? f->r->heads[f->r->resume]
			: __atomic_load_n(
				  &vq->avail->ring[vq->last_avail & (vq->setup.num - 1)],
				  __ATOMIC_RELAXED);
	uint32_t at = head;

	/* the last of its chain, whose end vq_pop has not found fault with */
	for (uint32_t seen = 0; seen < vq->setup.num && at < vq->setup.num; seen++) {
		memcpy(&f->d, &vq->desc[at], sizeof(f->d));
		f->found = f->d.flags & VRING_DESC_F_INDIRECT;
		if (f->found || !(f->d.flags & VRING_DESC_F_NEXT))
			return;
		at = f->d.next;
	}
}

/* vq_pop has met a page that is not there. => 0: it is brought in; or -errno */
static int bring_table(struct blk_ring *r)
{
	struct find_table f = { .r = r };
	uint32_t n = 0;
	int ret;

	if (r->table_held) { /* it was held, and given back */
		ret = hold_mend(r->blk->guest, &r->table);
		hold_end(r->blk->guest, &r->table);
		r->table_held = false;
		if (ret < 0 || r->table_mended)
			return -EFAULT;
		r->table_mended = true;
	}
	if (guard_run(find_table, &f) < 0 || !f.found ||
	    f.d.len > BLK_SEGS * sizeof(struct vring_desc))
		return -EFAULT;
	for (uint64_t at = f.d.addr, left = f.d.len; left > 0 && n < 2;) {
		struct vhost_place p;

		if (vhost_mem_gpa(&r->blk->mem, at, left, &p) < 0)
			return -EFAULT;
		r->table_part[n++] = (struct hold_range){
			p.page,
			(uint32_t)(((uintptr_t)p.ptr % PAGE_SIZE + p.len + PAGE_SIZE - 1) /
				   PAGE_SIZE),
			HOLD_READ
		};
		at += p.len;
		left -= p.len;
	}
	r->table.done = on_table;
	r->table.range = r->table_part;
	r->table.nranges = n;
	ret = hold_begin(r->blk->guest, &r->table);
	if (ret < 0)
		return ret;
	r->table_held = r->table_waits = true;
	if (ret == 0)
		on_table(&r->table, 0);
	return 0;
}

/* => 1: one was begun; 0: there is none, or not now */
static int take(struct blk_ring *r)
{
	struct blk *b = r->blk;
	struct err e = { 0 };
	struct pop p = { .r = r, .q = b->free, .e = &e };

	p.q->chain.seg = p.q->seg;
	if (guard_run(pop, &p) < 0) {
		p.ret = bring_table(r);
		if (p.ret < 0)
			err_set(&e, -EPROTO, "its memory, or an indirect table, is not there");
	} else if (r->table_held) {
		hold_end(b->guest, &r->table);
		r->table_held = r->table_mended = false;
	}
	if (p.ret == 1 && guard_run(begin, &p) < 0)
		p.ret = err_set(&e, -EPROTO, "its in-flight region is gone");
	if (p.ret < 0)
		blk_ring_break(r, &e);
	if (p.ret != 1)
		return 0;
	b->free = p.q->next;
	p.q->ring = r;
	r->under_way++;
	blk_count(&b->disk->count.in_flight, 1);
	if (r->resume < r->nresume) {
		r->resume++;
		blk_count(&b->disk->count.resubmitted, 1);
	}
	point_crash("disk-popped");
	blk_req_begin(p.q);
	return 1;
}

static bool may_take(const struct blk_ring *r)
{
	const struct blk *b = r->blk;

	if (r->state != RING_ON || r->table_waits || b->paused || b->closing)
		return false;
	/* what was begun is finished, whatever has become of the ring */
	return r->resume < r->nresume || (blk_ring_runs(r) && b->stopping != (int)r->index);
}

static void take_new(struct blk_ring *r)
{
	struct err e = { 0 };
	struct pop p = { .r = r, .e = &e };
	int n = 0;

	r->kicked = false;
	while (may_take(r)) {
		if (!r->blk->free || n++ == POPS_MAX) {
			r->kicked = true; /* by the next step, or when one is free */
			r->blk->again |= r->blk->free != NULL;
			return;
		}
		if (take(r) == 1)
			continue;
		if (!may_take(r))
			return;
		if (guard_run(enable, &p) < 0)
			p.ret = err_set(&e, -EPROTO, "its memory is gone");
		if (p.ret < 0)
			blk_ring_break(r, &e);
		if (p.ret <= 0)
			return;
	}
}

void blk_ring_answer(struct blk_ring *r)
{
	if (r->state == RING_PAGES && r->held == 2 && !r->blk->closing)
		go(r);
	answer(r);
}

void blk_ring_take(struct blk_ring *r)
{
	if (r->kicked && may_take(r))
		take_new(r);
}

bool blk_ring_is_idle(const struct blk_ring *r)
{
	return r->under_way == 0 && !r->done &&
	       !(r->state == RING_ON && r->resume < r->nresume && !r->blk->closing);
}
