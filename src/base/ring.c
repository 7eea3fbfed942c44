/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A completion carries the address of its ring_op.  A submission for which
 * nobody waits (the removal of a poll) carries NULL.
 *
 * ring_poll_end must not leave a completion behind that names an op whose
 * memory is gone, so it waits for the poll's own last completion; other
 * completions that come in the meantime are kept in order and delivered by the
 * next ring_run, since done functions must not be entered from within a caller
 * that is in the middle of something.
 */

#include "base/ring.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define KEPT_MAX 4096

struct kept {
	struct ring_op *op;
	int res;
	unsigned int flags;
};

struct ring {
	struct io_uring uring;
	unsigned int nkept; /* 0 <= nkept <= KEPT_MAX */
	struct kept kept[KEPT_MAX];
};

struct ring *ring_create(unsigned int entries)
{
	struct ring *r = calloc(1, sizeof(*r));
	int ret;

	if (!r)
		return NULL;
	/* one thread submits and reaps: the kernel may skip its own locking
	 * and run completions when asked (6.1 has both flags) */
	struct io_uring_params p = {
		.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER |
			 IORING_SETUP_DEFER_TASKRUN,
		.cq_entries = entries * 4,
	};

	ret = io_uring_queue_init_params(entries, &r->uring, &p);
	if (ret == -EINVAL) {
		p = (struct io_uring_params){ .flags = IORING_SETUP_CQSIZE,
					      .cq_entries = entries * 4 };
		ret = io_uring_queue_init_params(entries, &r->uring, &p);
	}
	if (ret < 0) {
		free(r);
		errno = -ret;
		return NULL;
	}
	return r;
}

void ring_destroy(struct ring *r)
{
	if (!r)
		return;
	io_uring_queue_exit(&r->uring);
	free(r);
}

static struct io_uring_sqe *get_sqe(struct ring *r)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&r->uring);

	while (!sqe) {
		io_uring_submit(&r->uring);
		sqe = io_uring_get_sqe(&r->uring);
	}
	return sqe;
}

void ring_read(struct ring *r, struct ring_op *op, int fd, void *buf, uint32_t len,
	       uint64_t off)
{
	struct io_uring_sqe *sqe = get_sqe(r);

	io_uring_prep_read(sqe, fd, buf, len, off);
	io_uring_sqe_set_data(sqe, op);
}

void ring_write(struct ring *r, struct ring_op *op, int fd, const void *buf, uint32_t len,
		uint64_t off)
{
	struct io_uring_sqe *sqe = get_sqe(r);

	io_uring_prep_write(sqe, fd, buf, len, off);
	io_uring_sqe_set_data(sqe, op);
}

void ring_readv(struct ring *r, struct ring_op *op, int fd, const struct iovec *iov,
		unsigned int n, uint64_t off)
{
	struct io_uring_sqe *sqe = get_sqe(r);

	io_uring_prep_readv(sqe, fd, iov, n, off);
	io_uring_sqe_set_data(sqe, op);
}

void ring_writev(struct ring *r, struct ring_op *op, int fd, const struct iovec *iov,
		 unsigned int n, uint64_t off)
{
	struct io_uring_sqe *sqe = get_sqe(r);

	io_uring_prep_writev(sqe, fd, iov, n, off);
	io_uring_sqe_set_data(sqe, op);
}

static void arm(struct ring *r, struct ring_op *op, int fd)
{
	struct io_uring_sqe *sqe = get_sqe(r);

	io_uring_prep_poll_multishot(sqe, fd, POLLIN);
	io_uring_sqe_set_data(sqe, op);
	op->armed = fd + 1;
}

void ring_poll(struct ring *r, struct ring_op *op, int fd)
{
	arm(r, op, fd);
}

static void deliver(struct ring *r, struct ring_op *op, int res, unsigned int flags)
{
	if (!op)
		return;
	if (op->armed && !(flags & IORING_CQE_F_MORE)) {
		int fd = op->armed - 1;

		op->armed = 0;
		/* an error is told once; a poll that merely ran out goes on */
		if (res >= 0)
			arm(r, op, fd);
	}
	op->done(op, res);
}

static void ask_removal(struct ring *r, struct ring_op *op)
{
	struct io_uring_sqe *sqe = get_sqe(r);

	io_uring_prep_poll_remove(sqe, (uint64_t)(uintptr_t)op);
	io_uring_sqe_set_data(sqe, NULL);
}

void ring_poll_end(struct ring *r, struct ring_op *op)
{
	for (unsigned int i = 0; i < r->nkept; i++)
		if (r->kept[i].op == op) {
			r->kept[i].op = NULL;
			if (!(r->kept[i].flags & IORING_CQE_F_MORE))
				op->armed = 0;
		}
	if (!op->armed)
		return;
	ask_removal(r, op);
	while (op->armed) {
		struct io_uring_cqe *cqe;
		struct ring_op *other;
		unsigned int flags;
		int res;

		/* events too: what is being run only ends by our asking */
		io_uring_submit_and_get_events(&r->uring);
		if (io_uring_wait_cqe(&r->uring, &cqe) < 0)
			continue;
		other = io_uring_cqe_get_data(cqe);
		res = cqe->res;
		flags = cqe->flags;
		io_uring_cqe_seen(&r->uring, cqe);
		if (other == op) {
			if (!(flags & IORING_CQE_F_MORE))
				op->armed = 0;
		} else if (other) {
			assert(r->nkept < KEPT_MAX);
			r->kept[r->nkept++] = (struct kept){ other, res, flags };
		} else if (res == -EALREADY) {
			/* the poll is just being run; it need not complete */
			ask_removal(r, op);
		}
	}
}

void ring_submit(struct ring *r)
{
	if (io_uring_sq_ready(&r->uring) > 0)
		io_uring_submit(&r->uring);
}

int ring_run(struct ring *r, uint64_t ns)
{
	struct io_uring_cqe *cqe;
	int n = 0, ret;

	if (r->nkept > 0) {
		for (unsigned int i = 0; i < r->nkept; i++) {
			struct kept k = r->kept[i];

			n += k.op != NULL;
			deliver(r, k.op, k.res, k.flags);
		}
		r->nkept = 0;
		ns = 0;
	}

	if (ns == 0) {
		ret = io_uring_submit_and_get_events(&r->uring);
	} else if (ns == UINT64_MAX) {
		ret = io_uring_submit_and_wait(&r->uring, 1);
	} else {
		struct __kernel_timespec ts = {
			.tv_sec = (long long)(ns / 1000000000u),
			.tv_nsec = (long long)(ns % 1000000000u),
		};

		ret = io_uring_submit_and_wait_timeout(&r->uring, &cqe, 1, &ts, NULL);
	}
	if (ret < 0 && ret != -ETIME && ret != -EINTR && ret != -EAGAIN && ret != -EBUSY)
		return ret;

	while (io_uring_peek_cqe(&r->uring, &cqe) == 0) {
		struct ring_op *op = io_uring_cqe_get_data(cqe);
		int res = cqe->res;
		unsigned int flags = cqe->flags;

		/* seen before delivered: done may end polls, which reaps too */
		io_uring_cqe_seen(&r->uring, cqe);
		deliver(r, op, res, flags);
		n++;
	}
	return n;
}
