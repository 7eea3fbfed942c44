/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtqueue of a device, in the split layout (virtio 1.1, 2.6), on memory that the driver
 * may change at any moment and to anything.
 *
 * vq_start  when the front end has started the ring and all that it is made of is known
 * vq_resume after that, for each request that was under way when another process died
 * vq_pop    while there is one, on a kick
 * vq_push   when one is done, in any order; vq_publish when no other is done right now
 * vq_should_notify  after vq_publish: is the driver to be told?
 *
 * Pure: memory accesses only.  Owned by one thread; nothing is allocated.  Ring and tables are
 * in guest memory: who calls has made their pages present, and is prepared for SIGBUS all the
 * same (base/guard.h).  A call that was left in the middle has changed nothing in struct
 * virtqueue and may be made again, or the ring be given up.
 *
 * -EPROTO says that the driver broke the rules.  The ring is of no use from then on: what is
 * in flight may be finished, but nothing be popped (`broken`).
 */
#ifndef DRUM_VMM_VIRTQUEUE_H
#define DRUM_VMM_VIRTQUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_ring.h>

#include "base/err.h"
#include "vmm/vhost_mem.h"

#define VQ_NUM_MAX  1024u /* entries of a ring */
#define VQ_SEGS_MAX 1024u /* of a chain, whatever the limits say */

/* A buffer of a request: len bytes of guest memory, not 0; gpa + len does not wrap. */
struct vq_seg {
	uint64_t gpa;
	uint32_t len;
};

/*
 * A request: buffers that the device reads, and then buffers that it writes.  They were copied
 * from the ring once and are the same forever; whether they are in memory at all is for
 * who uses them to find out.
 */
struct vq_chain {
	uint16_t head;			  /* its name, for vq_push */
	uint16_t n_read, n_write;	  /* seg[0] to [n_read - 1], and n_write that follow */
	uint64_t read_bytes, write_bytes; /* sums of their lengths */
	struct vq_seg *seg;		  /* [limits.segs], the caller's */
};

struct vq_limits {
	uint16_t segs;	/* buffers of a chain, and entries of an indirect table */
	uint64_t bytes; /* in all of them */
};

/* What the front end has said of a ring. */
struct vq_setup {
	uint32_t num;	   /* entries: a power of two, at most VQ_NUM_MAX */
	uint16_t base;	   /* the entry of the available ring to take next */
	uint64_t features; /* that the driver has accepted: VIRTIO_RING_F_* are looked at */
	uint64_t desc, avail, used; /* addresses in the VMM's memory */
	bool logged;		    /* writes to the used ring are to be marked in the log .. */
	uint64_t log_addr;	    /* .. as if it began here */
};

struct virtqueue {
	/* since vq_start */
	const struct vhost_mem
		*mem; /* the caller's; it may change between calls, see vq_move */
	const struct vhost_log
		*log; /* the caller's; bits is NULL unless LOG_ALL is agreed on */
	struct vq_limits limits;
	struct vq_setup setup;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	bool event_idx, indirect;
	/* changing; 16-bit numbers go on from 65535 to 0, as the ring's own */
	uint16_t last_avail; /* entries taken so far */
	uint16_t used_idx;   /* entries that the driver has been shown; in_flight includes .. */
	uint16_t pushed;     /* .. these: written after used_idx, not shown yet */
	uint16_t signalled;  /* used_idx when vq_should_notify was asked last */
	bool signalled_any;  /* it was */
	bool broken;
	uint16_t in_flight;		/* bits of busy that are set, <= num */
	uint64_t busy[VQ_NUM_MAX / 64]; /* heads that were taken and not given back */
};

/*
 * Begin, with mem and log as they are now.  s.base may be ahead of what the used ring says
 * by as many requests as vq_resume will be called for, and not by more than num.
 * => 0, or -EPROTO and e: the ring is not in memory, not aligned, not a ring; vq is not started
 */
int must_check vq_start(struct virtqueue *vq, const struct vq_setup *s,
			const struct vhost_mem *mem, const struct vhost_log *log,
			const struct vq_limits *limits, struct err *e);

/*
 * mem, or the log, is another, or the logging of the used ring was turned on or off, with
 * requests in flight or without.  setup.desc, avail and used stay as they were.
 * => as vq_start; on failure the ring is broken, and nothing of it may be accessed
 */
int must_check vq_move(struct virtqueue *vq, bool logged, uint64_t log_addr, struct err *e);

/*
 * Take the next request, into chain, which brings seg.
 * => 1: there is one.  0: there is none.  -EPROTO and e: the ring is broken
 */
int must_check vq_pop(struct virtqueue *vq, struct vq_chain *chain, struct err *e);

/*
 * Take the request `head` again, which was under way when another process died (in the order
 * that inflight_recover gives).  base given to vq_start is behind it.
 * => 0, or -EPROTO and e: the ring is broken
 */
int must_check vq_resume(struct virtqueue *vq, uint16_t head, struct vq_chain *chain,
			 struct err *e);

/* Entries of the available ring that wait; more than num if the driver lies. */
uint16_t vq_waiting(const struct virtqueue *vq);

/*
 * The request is done and `len` bytes of its buffers were written, the first ones.  The driver
 * does not see it before vq_publish.
 * => 0, or -EPROTO and e: it cannot be logged; the ring is broken.  head was popped, not pushed
 */
int must_check vq_push(struct virtqueue *vq, uint16_t head, uint32_t len, struct err *e);

/* Show the driver all that was pushed.  => as vq_push */
int must_check vq_publish(struct virtqueue *vq, struct err *e);

/*
 * Mark all that the request may have written in the log, whether it succeeded or not.  To be
 * called after that, before vq_push.
 * => 0, or -EPROTO: a buffer is not covered by the log; the others are marked
 */
int must_check vq_log_chain(const struct virtqueue *vq, const struct vq_chain *chain);

/*
 * Does the driver want to be told of what was published since this was asked last?  The first
 * time it does, for nobody knows what it was told of before.
 */
bool must_check vq_should_notify(struct virtqueue *vq);

/*
 * Kicks are wanted, or (while the ring is looked at anyway) are not.
 * => 1: requests came before the driver could know, so look again.  0: none
 *    -EPROTO and e: it cannot be logged; the ring is broken
 */
int must_check vq_enable_kicks(struct virtqueue *vq, struct err *e);
int must_check vq_disable_kicks(struct virtqueue *vq, struct err *e);

#endif
