/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which requests are in flight, in memory that outlives us: the region of vhost-user's
 * "Inflight I/O tracking", for split rings.  The front end keeps it, and another process that
 * takes the ring over finds there what to do again, so that no request is lost and none
 * answered twice.
 *
 * inflight_open     when a ring starts, before vq_start
 * inflight_recover  after that: what was in flight
 * inflight_begin    for each request from vq_pop, before anything is done for it
 * inflight_push     for each before vq_push, and inflight_publish after vq_publish
 *
 * The front end may write to it, or cut its file short (SIGBUS: base/guard.h), at any moment.
 * Nothing in it is believed: what is read is read once and checked.  Pure; owned by
 * the ring's thread; nothing is allocated.  A death between any two instructions is fine.
 */
#ifndef DRUM_VMM_INFLIGHT_H
#define DRUM_VMM_INFLIGHT_H

#include <stdint.h>

#include "base/err.h"
#include "vmm/virtqueue.h"

#define INFLIGHT_ALIGN 64u /* bytes, of each queue's part */

/* As it lies there; all little-endian, as the machine. */
struct inflight_desc {
	uint8_t inflight; /* 1: the request whose head is here is in flight */
	uint8_t padding[5];
	uint16_t next;	  /* the one pushed before this one */
	uint64_t counter; /* requests with a lower one were popped before */
};

struct inflight_region {
	uint64_t features;	  /* 0 */
	uint16_t version;	  /* 1; 0: not used yet */
	uint16_t desc_num;	  /* of desc[] */
	uint16_t last_batch_head; /* the one pushed last */
	uint16_t used_idx;	  /* of the used ring, when all that it shows was done with */
	struct inflight_desc desc[];
};

struct inflight {
	struct inflight_region *region; /* NULL: not tracked */
	uint16_t desc_num;	    /* as agreed on; what region says now is not looked at */
	uint16_t pushed;	    /* since inflight_publish */
	uint16_t last;		    /* pushed last; as region.last_batch_head */
	uint16_t batch[VQ_NUM_MAX]; /* [pushed] */
	uint64_t counter;	    /* for the next one */
};

/* Bytes of num_queues queues of queue_size (1 to VQ_NUM_MAX) entries. */
uint64_t inflight_bytes(uint32_t num_queues, uint32_t queue_size);

/*
 * Track ring `queue` of num entries, in memory of `bytes` bytes (aligned to 8) for num_queues
 * queues of queue_size.  Memory of zeros is made a region in which nothing is in flight; in
 * which the used ring is at used_idx.
 * => 0, or -EPROTO and e: too short, or it is not such a region
 */
int must_check inflight_open(struct inflight *f, void *memory, uint64_t bytes,
			     uint32_t num_queues, uint32_t queue_size, uint32_t queue,
			     uint32_t num, uint16_t used_idx, struct err *e);

/*
 * Whom were we about to answer?  used_idx: what the used ring says.  Finishes what was left in
 * the middle and gives the heads of requests that are in flight, oldest first, into
 * heads[num].  The next entry of the available ring to take is used_idx + the number of them.
 * => how many, or -EPROTO and e: it contradicts itself
 */
int must_check inflight_recover(struct inflight *f, uint32_t num, uint16_t used_idx,
				uint16_t *heads, struct err *e);

/* The request at head was popped. */
void inflight_begin(struct inflight *f, uint16_t head);

/* It is about to be pushed. */
void inflight_push(struct inflight *f, uint16_t head);

/* All that were pushed are published: the used ring says used_idx. */
void inflight_publish(struct inflight *f, uint16_t used_idx);

#endif
