/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * All of a disk is on the thread of its guest's worker.  Polls of the connection and of the
 * rings' eventfds, and completions of the image, only note what is to be done; a step in
 * the worker's turn does it, so that faults go first.
 *
 * The end of a connection, whoever has ended it: no new requests, those under way end and are
 * answered (a VMM that connects again goes on with the same rings), then everything is let go,
 * and the disk is the control thread's again.
 */
#include "vmm/blk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/ipc.h"
#include "base/log.h"
#include "base/memlock.h"
#include "vmm/blk_priv.h"

/* struct blk, and behind it the buffers of a disk that is mapped. */
#define BLK_SIZE ((sizeof(struct blk) + PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE)

static size_t size_of(const struct disk *d)
{
	return BLK_SIZE + (d->map ? (size_t)BLK_BOUNCES * BLK_BOUNCE_BYTES : 0);
}

struct blk *blk_create(struct disk *d)
{
	struct blk *b = mmap(NULL, size_of(d), PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (b == MAP_FAILED)
		return NULL;
	b->disk = d;
	return b;
}

void blk_destroy(struct blk *b)
{
	if (b)
		munmap(b, size_of(b->disk));
}

void blk_drop(struct blk *b, const struct err *e)
{
	if (b->closing)
		return;
	b->closing = true;
	b->why = *e;
	b->again = true;
	if (e->code)
		blk_count(&b->disk->count.resets, 1);
	/* a peer that waits for an answer is told */
	shutdown(b->disk->fd[DISK_ROLE_CONN], SHUT_RDWR);
}

void blk_look_at_rings(struct blk *b)
{
	for (unsigned int i = 0; i < b->disk->geometry.num_queues && !b->closing; i++) {
		struct blk_ring *r = &b->ring[i];
		bool runs = vhost_dev_runs(&b->dev, i);

		if (runs && r->state == RING_OFF)
			blk_ring_start(r);
		else if (runs)
			r->kicked = true; /* it may have been disabled */
	}
	b->again = true;
}

static void on_conn(struct ring_op *op, int res)
{
	struct blk *b = (struct blk *)((char *)op - __builtin_offsetof(struct blk, poll));

	(void)res;
	b->readable = true;
}

/*
 * Rings that were disabled, to be stopped then, may have requests in flight too: they are
 * begun, and take these and no others.
 */
static void resume_disabled(struct blk *b)
{
	bool known = b->dev.has_inflight && b->dev.table.n > 0 &&
		     (b->dev.has_log || !vhost_dev_logs(&b->dev));

	for (unsigned int i = 0; known && i < b->disk->geometry.num_queues && !b->closing;
	     i++) {
		const struct vhost_dev_ring *v = &b->dev.ring[i];

		if (b->ring[i].state == RING_OFF && v->started && v->num > 0 && v->has_addr)
			blk_ring_start(&b->ring[i]);
	}
}

/* What an earlier pager had set. */
static void resume(struct blk *b, struct err *e)
{
	/* some of its descriptors may have come to the keeper: they do not go with the old
	 * table, and nothing is done before the message is */
	bool moves = blk_conn_moves(b);
	int ret = 0;

	for (unsigned int i = 0; i < b->dev.table.n && !moves && ret == 0; i++)
		if (b->disk->fd[VHOST_FD_MEM + i] < 0)
			ret = err_set(e, -EPROTO, "descriptors of it are lost");
	for (unsigned int i = 0; i < VHOST_QUEUES_MAX && ret == 0; i++)
		if (vhost_dev_runs(&b->dev, i) && !b->dev.has_inflight)
			ret = err_set(e, -ENOTSUP,
				      "its front end keeps no in-flight region, so that what "
				      "was in flight is not known");
	if (ret == 0 && b->dev.table.n > 0 && !moves)
		ret = blk_mem_table(b, e);
	if (ret == 0 && !moves)
		ret = blk_mem_log(b, e);
	if (ret == 0)
		ret = blk_mem_inflight(b, e);
	if (ret < 0)
		blk_drop(b, e);
	if (ret < 0 || moves)
		return;
	blk_look_at_rings(b);
	resume_disabled(b);
}

static void reset(struct blk *b, struct guest *g)
{
	struct disk *d = b->disk;

	memset(b, 0, sizeof(*b));
	b->disk = d;
	b->guest = g;
	b->stopping = -1;
	b->readable = b->again = true;
	for (unsigned int i = 0; i < VHOST_QUEUES_MAX; i++) {
		b->ring[i].blk = b;
		b->ring[i].index = i;
	}
	for (unsigned int i = 0; i < BLK_REQS; i++) {
		b->req[i].blk = b;
		b->req[i].next = b->free;
		b->free = &b->req[i];
	}
	for (unsigned int i = 0; d->map && i < BLK_BOUNCES; i++)
		b->bounce[b->nbounces++] = (uint8_t *)b + BLK_SIZE + i * BLK_BOUNCE_BYTES;
}

void blk_begin(struct guest *g, struct disk *d)
{
	struct blk *b = d->blk;
	struct err e = { 0 };
	int ret = 0;

	reset(b, g);
	b->dev = disk_state_now(d->state)->dev;
	b->resumed = d->resumed;
	b->next = g->blks;
	g->blks = b;
	b->poll.done = on_conn;
	ring_poll(g->ring, &b->poll, d->fd[DISK_ROLE_CONN]);
	b->polled = true;
	if (!g->holds.slot)
		ret = holds_init(&g->holds);
	if (ret < 0)
		err_set(&e, ret, "out of memory");
	else
		ret = blk_mem_writable(g, &e);
	if (ret == 0 && blockmap_has_others(g, d))
		/* at its end they are moved, before anybody else has the disk */
		ret = err_set(&e, -EBUSY,
			      "pages of the guest that had it before are in its image alone: "
			      "they are being moved to swap");
	if (ret == 0 && d->number > 0)
		blockmap_attach(g, d);
	if (ret < 0)
		blk_drop(b, &e);
	else if (d->resumed)
		resume(b, &e);
}

/* All is over, or was never begun. => false: the keeper's channel is full */
static bool close_all(struct blk *b)
{
	struct keep_msg drop = { .type = KEEP_DROP, .role = KEEP_ALL };
	struct disk *d = b->disk;

	if (ipc_send(d->keep, &drop, sizeof(drop), NULL, 0) == -EAGAIN)
		return false;
	disk_state_end(d->state);
	for (unsigned int i = 0; i < VHOST_QUEUES_MAX; i++)
		if (b->ring[i].state != RING_OFF)
			blk_ring_stop(&b->ring[i]);
	if (b->polled)
		ring_poll_end(b->guest->ring, &b->poll);
	blk_mem_close(b);
	for (unsigned int i = 0; i < DISK_ROLES; i++) {
		if (d->fd[i] >= 0)
			close(d->fd[i]);
		d->fd[i] = -1;
	}
	d->resumed = false;
	return true;
}

static void on_left(struct guest *g, struct disk *d)
{
	(void)g;
	d->blk->left = d->blk->again = true;
}

/* => true: no page of the guest lives in the image */
static bool leave_image(struct blk *b)
{
	if (b->disk->number == 0)
		return true;
	if (!b->leaving)
		b->left = blockmap_leave(b->guest, b->disk, on_left);
	b->leaving = true;
	return b->left;
}

/* => false: b is the control thread's */
static bool step(struct blk *b)
{
	unsigned int n = b->disk->geometry.num_queues;
	struct guest *g = b->guest;
	bool idle = true;

	b->again = false;
	if (b->readable && !b->closing && !b->paused)
		blk_conn_step(b);
	b->polls = false;
	for (unsigned int i = 0; i < n; i++) {
		struct blk_ring *r = &b->ring[i];

		if (r->state != RING_OFF)
			blk_ring_answer(r);
		/* a front end that gave no eventfd does not kick */
		if (r->state == RING_ON && !r->polled)
			b->polls = r->kicked = true;
	}
	for (unsigned int i = 0; i < n; i++)
		if (b->ring[(b->first + i) % n].state != RING_OFF)
			blk_ring_take(&b->ring[(b->first + i) % n]);
	b->first = (b->first + 1) % n;
	if (!b->closing)
		return true;
	for (unsigned int i = 0; i < VHOST_QUEUES_MAX; i++)
		idle &= blk_ring_is_idle(&b->ring[i]);
	if (!idle || !leave_image(b) || !close_all(b))
		return true;
	for (struct blk **at = &g->blks; *at; at = &(*at)->next)
		if (*at == b) {
			*at = b->next;
			break;
		}
	g->ops->disk_over(g->ops->arg, g, b->disk, &b->why);
	return false;
}

void blks_step(struct guest *g, uint64_t now)
{
	struct blk *b, *next;

	(void)now;
	for (b = g->blks; b; b = next) {
		next = b->next;
		(void)!step(b);
	}
}

uint64_t blks_patience(const struct guest *g)
{
	uint64_t patience = UINT64_MAX;

	for (const struct blk *b = g->blks; b; b = b->next) {
		if (b->again)
			return 0;
		/* the keeper's channel, a ring that drains, an earlier pager's I/O, no kicks */
		if ((b->readable && !b->paused) || b->closing || !b->disk->fenced || b->polls)
			patience = NSEC_PER_MSEC;
	}
	return patience;
}

bool blks_any(const struct guest *g)
{
	return g->blks != NULL;
}

void blks_pause(struct guest *g)
{
	for (struct blk *b = g->blks; b; b = b->next)
		b->paused = true;
}

bool blks_quiet(const struct guest *g)
{
	for (const struct blk *b = g->blks; b; b = b->next)
		for (unsigned int i = 0; i < VHOST_QUEUES_MAX; i++)
			if (b->ring[i].under_way > 0 || b->ring[i].done)
				return false;
	return true;
}

void blks_gone(struct guest *g)
{
	struct err e = { 0 };

	for (struct blk *b = g->blks; b; b = b->next) {
		blk_drop(b, &e);
		b->gone = true;
		for (unsigned int i = 0; i < BLK_REQS; i++)
			blk_req_cancel(&b->req[i]);
		image_cancel(b->disk->image);
	}
}

void blk_resized(struct guest *g, struct disk *d)
{
	struct blk *b = d->blk;
	struct vhost_msg m;
	int fd = d->fd[VHOST_FD_BACKEND_REQ];

	(void)g;
	if (b->closing || fd < 0 || !(b->dev.proto & VHOST_PROTO_BACKEND_REQ))
		return;
	vhost_msg_to_front_end(&m, VHOST_BACKEND_CONFIG_CHANGE);
	if (send(fd, &m.header, sizeof(m.header), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_warn("disk %s: its front end cannot be told of the new size: %s", d->name,
			 strerror(errno));
}
