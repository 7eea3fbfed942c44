/* SPDX-License-Identifier: BSD-2-Clause */
/* Swap devices and paging, changed while running: priority, limits, discard, size. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/point.h"
#include "swap/device_nbd.h"
#include "swap/discard.h"
#include "swap/sums.h"
#include "vmm/host_priv.h"

#define DISCARD_BYTES (256u << 20) /* a second */

void host_swap_cannot_discard(const struct swap_device *dev, struct err *e)
{
	err_set(e, -EOPNOTSUPP, "%s is a device of kind %s, which cannot discard", dev->path,
		dev->ops->kind);
}

int host_swap_discard(struct host *h, unsigned int number, struct err *e)
{
	int ret = drum_set_discard(h->drum, number, true);

	if (ret == 0 && !h->discarder) {
		h->discarder = discard_start(h->drum, DISCARD_BYTES);
		ret = h->discarder ? 0 : -errno;
	}
	return ret < 0 ? err_set(e, ret, "cannot discard: %s", strerror(-ret)) : 0;
}

void host_swap_set(struct host *h, const char *path, unsigned int what,
		   const struct swap_on *on, host_done_fn done, void *ctx)
{
	unsigned int number = host_swap_find(h, path);
	struct host_swap *s = &h->swap[number];
	struct swap_device *dev;
	struct err e = { 0 };

	if (number == 0) {
		host_swap_unknown(h, path, done, ctx);
		return;
	}
	dev = drum_device(h->drum, number);
	if (what & SWAP_SET_DISCARD && on->discard && !dev->ops->discard) {
		host_swap_cannot_discard(dev, &e);
	} else if (what & SWAP_SET_ENDURANCE &&
		   host_cache_set_budget(h, number, on->endurance, &e) < 0) {
		; /* there is no swapcache, and nothing was set yet */
	} else if (what & SWAP_SET_DISCARD) {
		if (on->discard)
			(void)!host_swap_discard(h, number, &e);
		else
			(void)!drum_set_discard(h->drum, number, false);
		s->flags = (s->flags & ~SWAPSET_DISCARD) |
			   (on->discard && e.code == 0 ? SWAPSET_DISCARD : 0);
	}
	if (e.code == 0) {
		if (what & SWAP_SET_PRIORITY) {
			s->priority = on->priority;
			drum_set_priority(h->drum, number, on->priority);
		}
		if (what & SWAP_SET_INFLIGHT)
			s->max_inflight = on->max_inflight;
		if (what & SWAP_SET_BANDWIDTH)
			s->max_bandwidth = on->max_bandwidth;
		if (what & (SWAP_SET_INFLIGHT | SWAP_SET_BANDWIDTH))
			queue_set(&dev->queue, s->max_inflight, s->max_bandwidth);
		host_swap_save(h);
	}
	host_refuse(h, done, ctx, &e);
}

static void grow(struct host *h, unsigned int number, uint64_t bytes, struct err *e)
{
	struct swap_device *dev = drum_device(h->drum, number);
	int64_t blocks = dev->ops->grow ? dev->ops->grow(dev, bytes) : -EOPNOTSUPP;
	struct host_swap *s = &h->swap[number];
	uint64_t was = s->part[0].bytes;
	int ret = 0;

	if (blocks < 0)
		ret = (int)blocks;
	else if ((uint64_t)blocks < dev->blocks)
		err_set(e, -EINVAL, "%s has become smaller: give it back its size at once",
			dev->path);
	else if ((uint64_t)blocks == dev->blocks)
		err_set(e, -EINVAL, "%s has not grown", dev->path);
	else if (dev->sums)
		ret = sums_grow(dev->sums, (uint64_t)blocks);
	if (ret == 0 && e->code == 0) {
		/* noted before the first of the new blocks can be in use: a later pager
		 * must find it as large */
		s->part[0].bytes = bytes;
		host_swap_save(h);
		point_crash("swap-grown");
		ret = drum_grow(h->drum, number, (uint64_t)blocks);
	}
	if (ret < 0) {
		err_set(e, ret, "%s cannot grow: %s", dev->path,
			ret == -EFBIG ? "no more than 16 times its size when it was switched on"
				      : strerror(-ret));
		s->part[0].bytes = was;
		host_swap_save(h);
	}
	if (e->code == 0)
		log_info("swap: %s has grown to %llu MiB", dev->path,
			 (unsigned long long)blocks >> 8);
}

void host_swap_looked(struct host *h, const struct proto_msg *m)
{
	struct request *r = host_find_request(h, m->seq);
	unsigned int number = 1;
	struct err e = m->err;

	if (!r)
		return;
	while (number <= DRUM_DEVICES_MAX &&
	       !(h->swap[number].used && !h->swap[number].missing &&
		 h->swap[number].part[0].dev == m->u.swap.dev &&
		 h->swap[number].part[0].ino == m->u.swap.ino))
		number++;
	if (e.code == 0 && number > DRUM_DEVICES_MAX)
		err_set(&e, -ENOENT, "it was switched off meanwhile");
	if (e.code == 0)
		grow(h, number, m->bytes, &e);
	host_end_request(h, r, &e);
}

void host_swap_resize(struct host *h, const char *path, host_done_fn done, void *ctx)
{
	unsigned int number = host_swap_find(h, path);
	struct proto_msg m = { .type = MSG_SWAP_LOOK };
	struct swap_device *dev;
	struct err e = { 0 };
	int64_t bytes;

	if (number == 0) {
		host_swap_unknown(h, path, done, ctx);
		return;
	}
	dev = drum_device(h->drum, number);
	if (!dev->ops->grow) {
		err_set(&e, -EOPNOTSUPP,
			"%s is a device of kind %s, which cannot grow: switch it off, and on "
			"again with its new size",
			path, dev->ops->kind);
	} else if (strcmp(dev->ops->kind, "nbd") == 0) {
		bytes = device_nbd_size(dev, &e);
		if (bytes >= 0)
			grow(h, number, (uint64_t)bytes, &e);
	} else {
		m.seq = host_new_request(h, done, ctx)->seq;
		m.u.swap.dev = h->swap[number].part[0].dev;
		m.u.swap.ino = h->swap[number].part[0].ino;
		snprintf(m.u.swap.path, sizeof(m.u.swap.path), "%s", path);
		/* a keeper that is gone ends this pager */
		(void)!host_ask_keeper(h, &m);
		return;
	}
	host_refuse(h, done, ctx, &e);
}

void host_get_paging(struct host *h, struct paging_limits *out)
{
	*out = (struct paging_limits){
		.cluster = h->paging.cluster << PAGE_SHIFT,
		.depth = h->paging.depth,
		.total_writes = h->paging.total_writes,
		.reads = h->paging.reads,
		.swblocks = (uint32_t)h->paging.zone.max,
		.give_up = (uint32_t)(h->paging.give_up / NSEC_PER_SEC),
		.stall_after = (uint32_t)(h->paging.stall_after / NSEC_PER_SEC),
		.sample = h->paging.sample,
	};
}

static bool in_range(uint32_t value, uint32_t from, uint32_t to, const char *what,
		     struct err *e)
{
	if (value >= from && value <= to)
		return true;
	err_set(e, -EINVAL, "%s is %u, and must be %u to %u", what, value, from, to);
	return false;
}

int host_set_paging(struct host *h, const struct paging_limits *l, struct err *e)
{
	if (!in_range(l->cluster, PAGE_SIZE, SWAP_IO_BLOCKS_MAX * PAGE_SIZE, "cluster", e) ||
	    !in_range(l->depth, 1, PAGEOUTS_MAX, "depth", e) ||
	    !in_range(l->total_writes, 1, 1024, "total-writes", e) ||
	    !in_range(l->reads, 1, PAGING_READS_MAX, "reads", e) ||
	    !in_range(l->swblocks, 1024, UINT32_MAX, "swblocks", e) ||
	    !in_range(l->give_up, 1, 86400, "give-up", e) ||
	    !in_range(l->stall_after, 1, 86400, "stall-after", e) ||
	    !in_range(l->sample, 0, SAMPLE_MAX, "sample", e))
		return e->code;
	__atomic_store_n(&h->paging.cluster, l->cluster >> PAGE_SHIFT, __ATOMIC_RELAXED);
	__atomic_store_n(&h->paging.depth, l->depth, __ATOMIC_RELAXED);
	__atomic_store_n(&h->paging.total_writes, l->total_writes, __ATOMIC_RELAXED);
	__atomic_store_n(&h->paging.reads, l->reads, __ATOMIC_RELAXED);
	__atomic_store_n(&h->paging.zone.max, l->swblocks, __ATOMIC_RELAXED);
	__atomic_store_n(&h->paging.give_up, l->give_up * NSEC_PER_SEC, __ATOMIC_RELAXED);
	__atomic_store_n(&h->paging.stall_after, l->stall_after * NSEC_PER_SEC,
			 __ATOMIC_RELAXED);
	__atomic_store_n(&h->paging.sample, l->sample, __ATOMIC_RELAXED);
	return 0;
}

void host_set_paging_from(struct host *h, const struct proto_msg *m, struct err *e)
{
	struct paging_limits l;

	host_get_paging(h, &l);
	if (m->u.paging.cluster)
		l.cluster = m->u.paging.cluster;
	if (m->u.paging.depth)
		l.depth = m->u.paging.depth;
	if (m->u.paging.total_writes)
		l.total_writes = m->u.paging.total_writes;
	if (m->u.paging.reads)
		l.reads = m->u.paging.reads;
	if (m->u.paging.swblocks)
		l.swblocks = m->u.paging.swblocks;
	if (m->u.paging.give_up)
		l.give_up = m->u.paging.give_up;
	if (m->u.paging.stall_after)
		l.stall_after = m->u.paging.stall_after;
	if (m->u.paging.sample)
		l.sample = m->u.paging.sample == PROTO_SAMPLE_OFF ? 0 : m->u.paging.sample;
	(void)!host_set_paging(h, &l, e);
}
