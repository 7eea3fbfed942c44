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
 *
 * What other threads post stands in a list with a lock, and an eventfd, which
 * the ring polls, is written when the list was empty.  What the ring's own
 * thread posts stands in a list of its own and needs neither.
 */

#include "base/ring.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/memlock.h"

#define KEPT_MAX 4096

struct kept {
	struct ring_op *op;
	int res;
	unsigned int flags;
};

struct list {
	struct ring_op *head, **tail;
};

struct ring {
	struct io_uring uring;
	pthread_t owner;
	struct list local;    /* posted by the owner */
	pthread_mutex_t lock; /* leaf */
	struct list posted;   /* [lock] by others */
	int post_fd;
	struct ring_op post_poll;
	unsigned int nkept; /* 0 <= nkept <= KEPT_MAX */
	struct kept kept[KEPT_MAX];
};

/* It only ends the wait; ring_run looks into the list. */
static void on_post_fd(struct ring_op *op, int res)
{
	struct ring *r = (struct ring *)((char *)op - offsetof(struct ring, post_poll));
	uint64_t n;

	(void)res;
	(void)!read(r->post_fd, &n, sizeof(n));
}

struct ring *ring_create(unsigned int entries)
{
	struct ring *r = calloc(1, sizeof(*r));
	int ret;

	if (!r)
		return NULL;
	memlock_touch(r, sizeof(*r));
	/* one thread submits and reaps: the kernel may skip its own locking
	 * and run completions when asked (6.1 has both flags) */
	struct io_uring_params p = {
		.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER |
			 IORING_SETUP_DEFER_TASKRUN,
		.cq_entries = entries * 4,
	};

	r->post_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->post_fd < 0) {
		free(r);
		return NULL;
	}
	ret = io_uring_queue_init_params(entries, &r->uring, &p);
	if (ret == -EINVAL) {
		p = (struct io_uring_params){ .flags = IORING_SETUP_CQSIZE,
					      .cq_entries = entries * 4 };
		ret = io_uring_queue_init_params(entries, &r->uring, &p);
	}
	if (ret < 0) {
		close(r->post_fd);
		free(r);
		errno = -ret;
		return NULL;
	}
	r->owner = pthread_self();
	r->local.tail = &r->local.head;
	r->posted.tail = &r->posted.head;
	pthread_mutex_init(&r->lock, NULL);
	r->post_poll.done = on_post_fd;
	ring_poll(r, &r->post_poll, r->post_fd);
	return r;
}

void ring_destroy(struct ring *r)
{
	if (!r)
		return;
	io_uring_queue_exit(&r->uring);
	close(r->post_fd);
	pthread_mutex_destroy(&r->lock);
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

void ring_writev_flags(struct ring *r, struct ring_op *op, int fd, const struct iovec *iov,
		       unsigned int n, uint64_t off, int flags)
{
	struct io_uring_sqe *sqe = get_sqe(r);

	io_uring_prep_writev2(sqe, fd, iov, n, off, flags);
	io_uring_sqe_set_data(sqe, op);
}

void ring_datasync(struct ring *r, struct ring_op *op, int fd)
{
	struct io_uring_sqe *sqe = get_sqe(r);

	io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
	io_uring_sqe_set_data(sqe, op);
}

void ring_fallocate(struct ring *r, struct ring_op *op, int fd, int mode, uint64_t off,
		    uint64_t len)
{
	struct io_uring_sqe *sqe = get_sqe(r);

	io_uring_prep_fallocate(sqe, fd, mode, off, len);
	io_uring_sqe_set_data(sqe, op);
}

_Static_assert(sizeof(struct __kernel_timespec) == sizeof(((struct ring_op *)0)->timer),
	       "as ring.h has it");

void ring_timer(struct ring *r, struct ring_op *op, uint64_t ns)
{
	struct io_uring_sqe *sqe = get_sqe(r);
	struct __kernel_timespec ts = {
		.tv_sec = (long long)(ns / 1000000000u),
		.tv_nsec = (long long)(ns % 1000000000u),
	};

	memcpy(op->timer, &ts, sizeof(ts));
	io_uring_prep_timeout(sqe, (struct __kernel_timespec *)(void *)op->timer, 0, 0);
	io_uring_sqe_set_data(sqe, op);
}

static void list_add(struct list *l, struct ring_op *op)
{
	op->next = NULL;
	*l->tail = op;
	l->tail = &op->next;
}

static struct ring_op *list_take(struct list *l)
{
	struct ring_op *head = l->head;

	l->head = NULL;
	l->tail = &l->head;
	return head;
}

void ring_post(struct ring *r, struct ring_op *op, int res)
{
	uint64_t one = 1;
	bool first;

	op->res = res;
	if (pthread_equal(r->owner, pthread_self())) {
		list_add(&r->local, op);
		return;
	}
	/* written with the lock held: the owner may be about to end, and to
	 * close the descriptor once it has seen this op */
	pthread_mutex_lock(&r->lock);
	first = !r->posted.head;
	list_add(&r->posted, op);
	if (first)
		(void)!write(r->post_fd, &one, sizeof(one));
	pthread_mutex_unlock(&r->lock);
}

static int deliver_local(struct ring *r)
{
	struct ring_op *op, *next;
	int n = 0;

	for (op = list_take(&r->local); op; op = next, n++) {
		next = op->next;
		op->done(op, op->res);
	}
	return n;
}

void ring_deliver(struct ring *r)
{
	deliver_local(r);
}

static int deliver_posted(struct ring *r)
{
	struct ring_op *op, *next;
	int n = deliver_local(r);

	pthread_mutex_lock(&r->lock);
	op = list_take(&r->posted);
	pthread_mutex_unlock(&r->lock);
	for (; op; op = next, n++) {
		next = op->next;
		op->done(op, op->res);
	}
	return n;
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
	int n = deliver_posted(r), ret;

	/* what is done may have posted more */
	if (n > 0 || r->local.head)
		ns = 0;
	if (r->nkept > 0) {
		for (unsigned int i = 0; i < r->nkept; i++) {
			struct kept k = r->kept[i];

			n += k.op != NULL;
			deliver(r, k.op, k.res, k.flags);
		}
		r->nkept = 0;
		ns = 0;
	}

	/* With something there already a wait would end before the kernel has run what others
	 * have completed: polls, which faults come by, and all I/O that was not done at once.
	 */
	if (ns == 0 || io_uring_cq_ready(&r->uring) > 0) {
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
		/* that something was posted counts when it is delivered */
		n += op != &r->post_poll;
		deliver(r, op, res, flags);
	}
	return n + deliver_posted(r);
}
