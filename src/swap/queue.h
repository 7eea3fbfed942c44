/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The limits of one swap device: I/O in flight, and bytes a second.
 *
 * What may not start yet waits: urgent I/O first, in the order of coming; then
 * the rest in the order of blocks, going up and beginning again at the lowest
 * (uvm_swap.c sorts its queue and has sw_maxactive).  Bandwidth is a virtual
 * clock (GCRA): each I/O moves it on by what it takes; an I/O that is not
 * urgent waits until the clock's time.  Urgent I/O is never delayed by the
 * bandwidth, but counts, so that others make room for it.
 *
 * Any thread; below the lock are only those of rings.
 */
#ifndef DRUM_SWAP_QUEUE_H
#define DRUM_SWAP_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct swap_io;

#define QUEUE_INFLIGHT_MAX 4096u /* sane: 1 to this */

struct swap_queue {
	pthread_mutex_t lock;
	uint32_t max_inflight;	/* [a] 0: no limit */
	uint64_t max_bandwidth; /* [a] bytes a second; 0: no limit */
	uint32_t inflight;	/* [lock; read a] started and not ended */
	uint64_t clock;		/* [lock] ns: when all that was let through is done */
	uint32_t changes;	/* [a] of the limits */
	uint64_t last;		/* [lock] block of the last that was started */
	struct swap_io *urgent, **urgent_tail; /* [lock] in order of coming */
	struct swap_io *sorted;		       /* [lock] by block */
	uint64_t waited;		       /* [a] I/Os that had to wait */
};

void queue_init(struct swap_queue *q);
void queue_fini(struct swap_queue *q);

/*
 * io wants to start, on its ring's thread.  => true: now; false: its device's
 * submit will be called later, on the same thread.
 */
bool queue_enter(struct swap_queue *q, struct swap_io *io);

/*
 * Somebody waits for io now, which was not urgent, and is under way: it is from now
 * on.  On its ring's thread.  The bandwidth keeps it for 100 ms at most then.
 */
void queue_raise(struct swap_queue *q, struct swap_io *io);

/* One that had been let through has ended; lets the next through. */
void queue_leave(struct swap_queue *q);

/* 0: no limit. What waits and may start now does; what waits for the bandwidth
 * is looked at anew within 100 ms. */
void queue_set(struct swap_queue *q, uint32_t max_inflight, uint64_t max_bandwidth);

/* An I/O of so many bytes comes at `now`, ns; of queue.c, and for its tests.
 * => how long it waits, ns */
uint64_t queue_charge(struct swap_queue *q, uint32_t bytes, bool urgent, uint64_t now);

#endif
