/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One thread's io_uring: every wait of a worker is here.
 *
 * An operation is a struct ring_op inside whatever it belongs to; it must
 * stay where it is until its done function was called, which happens exactly
 * once for each submission (again and again for a multishot poll).  Nothing
 * is allocated after ring_create.
 *
 * One thread only, the one that created it, ring_post excepted.
 */
#ifndef DRUM_BASE_RING_H
#define DRUM_BASE_RING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"

struct ring;
struct ring_op;

/* res: as the system call would return it, bytes or -errno */
typedef void (*ring_done_fn)(struct ring_op *op, int res);

struct ring_op {
	ring_done_fn done;
	int armed; /* of ring.c: 1 + the descriptor of an armed poll, else 0 */
	int res;   /* of ring.c, while it is posted or a timer */
	struct ring_op *next;
	uint64_t timer[2]; /* of ring.c: a struct __kernel_timespec */
};

/* entries: submissions that fit without a system call. => NULL: errno tells */
struct ring *ring_create(unsigned int entries);
void ring_destroy(struct ring *r);

/*
 * Queue one operation; it is submitted by the next ring_run at the latest.
 * If the queue is full it is submitted at once.
 */
void ring_read(struct ring *r, struct ring_op *op, int fd, void *buf, uint32_t len,
	       uint64_t off);
void ring_write(struct ring *r, struct ring_op *op, int fd, const void *buf, uint32_t len,
		uint64_t off);
/* iov must stay until done. */
void ring_readv(struct ring *r, struct ring_op *op, int fd, const struct iovec *iov,
		unsigned int n, uint64_t off);
void ring_writev(struct ring *r, struct ring_op *op, int fd, const struct iovec *iov,
		 unsigned int n, uint64_t off);

/* The same, with flags of pwritev2(2): RWF_DSYNC. */
void ring_writev_flags(struct ring *r, struct ring_op *op, int fd, const struct iovec *iov,
		       unsigned int n, uint64_t off, int flags);

/* fdatasync(2), fallocate(2); what is queued before them is not waited for. */
void ring_datasync(struct ring *r, struct ring_op *op, int fd);
void ring_fallocate(struct ring *r, struct ring_op *op, int fd, int mode, uint64_t off,
		    uint64_t len);

/* Call done each time that fd becomes readable, until it is cancelled; a
 * poll that the kernel ends by itself is armed again. */
void ring_poll(struct ring *r, struct ring_op *op, int fd);

/* Call done once, with -ETIME, when ns have passed. */
void ring_timer(struct ring *r, struct ring_op *op, uint64_t ns);

/*
 * Have op's done called with res by a coming ring_run, in the order of posting.
 * Any thread; op must not be in use for anything else.
 */
void ring_post(struct ring *r, struct ring_op *op, int res);

/* Submit what is queued now, rather than at the next ring_run. */
void ring_submit(struct ring *r);

/*
 * Call done for what this thread itself has posted so far, rather than in the next
 * ring_run.  Not from within a done function.
 */
void ring_deliver(struct ring *r);

/* End a poll. Its done is not called again once this returned. */
void ring_poll_end(struct ring *r, struct ring_op *op);

/*
 * Submit what is queued, wait at most ns (0: do not wait, UINT64_MAX: for
 * ever) for the first completion, and call done for each that is there.
 * => how many were completed, or -errno
 */
int ring_run(struct ring *r, uint64_t ns);

#endif
