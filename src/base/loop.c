/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * One epoll descriptor; every watch hands its own address to the kernel and
 * gets it back with the event.  epoll_wait returns several events at once,
 * and the callback of one may remove the watch of another that comes later
 * in the same batch: a watch that is removed while a batch is being worked
 * through is only marked and put on the list of the dead, and its memory is
 * given back after the batch.  An event that finds its watch dead is dropped.
 * That it may be the very descriptor number that a new watch has by then
 * changes nothing, since events name watches and not descriptors.
 *
 * A timer is a timerfd with a watch on it; the watch owns that descriptor.
 * A timer that expired several times while others were served calls once.
 *
 * loop_stop sets a flag and then writes an eventfd; both may be done from
 * any thread and from a signal handler.  The flag alone says stop, and
 * loop_run takes it back as it returns; the eventfd only ends the wait.  So
 * no stop is lost, at worst a count that outlived its flag is one wakeup for
 * nothing.  Told to stop before it runs, loop_run returns at once.
 */
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/loop.h"

#define BATCH 32

struct loop_watch {
	LIST_ENTRY(loop_watch) link; /* loop.live or loop.dead */
	struct loop *loop;
	int fd;
	bool dead;
	loop_fn fn;	    /* NULL: a timer */
	loop_timer_fn tick; /* owns fd when not NULL */
	void *arg;
};

LIST_HEAD(watch_list, loop_watch);

struct loop {
	int epfd;
	int stopfd;		/* eventfd; its event has no watch */
	bool stopped;		/* [a] */
	bool dispatching;	/* a batch is being worked through */
	struct watch_list live; /* registered with epoll */
	struct watch_list dead; /* removed in this batch, to be freed after it */
};

struct loop *loop_create(void)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
	struct loop *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return NULL;
	LIST_INIT(&l->live);
	LIST_INIT(&l->dead);
	l->stopfd = -1;
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epfd < 0)
		goto fail;
	l->stopfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->stopfd < 0)
		goto fail;
	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, l->stopfd, &ev) < 0)
		goto fail;
	return l;

fail:
	err = errno;
	if (l->stopfd >= 0)
		close(l->stopfd);
	if (l->epfd >= 0)
		close(l->epfd);
	free(l);
	errno = err;
	return NULL;
}

static void free_dead(struct loop *l)
{
	struct loop_watch *w;

	while ((w = LIST_FIRST(&l->dead))) {
		LIST_REMOVE(w, link);
		free(w);
	}
}

void loop_destroy(struct loop *l)
{
	if (!l)
		return;
	assert(!l->dispatching);
	while (!LIST_EMPTY(&l->live))
		loop_remove(LIST_FIRST(&l->live));
	free_dead(l);
	close(l->stopfd);
	close(l->epfd);
	free(l);
}

struct loop_watch *loop_add(struct loop *l, int fd, uint32_t events, loop_fn fn, void *arg)
{
	struct loop_watch *w = calloc(1, sizeof(*w));
	struct epoll_event ev = { .events = events, .data.ptr = w };

	if (!w)
		return NULL;
	w->loop = l;
	w->fd = fd;
	w->fn = fn;
	w->arg = arg;
	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		int err = errno;

		free(w);
		errno = err;
		return NULL;
	}
	LIST_INSERT_HEAD(&l->live, w, link);
	return w;
}

void loop_modify(struct loop_watch *w, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };
	int ret;

	assert(!w->dead);
	/* Of a descriptor that is registered, it cannot be refused. */
	ret = epoll_ctl(w->loop->epfd, EPOLL_CTL_MOD, w->fd, &ev);
	assert(ret == 0);
	(void)ret;
}

void loop_remove(struct loop_watch *w)
{
	struct loop *l;

	if (!w)
		return;
	assert(!w->dead);
	l = w->loop;
	epoll_ctl(l->epfd, EPOLL_CTL_DEL, w->fd, NULL);
	if (w->tick)
		close(w->fd);
	LIST_REMOVE(w, link);
	if (!l->dispatching) {
		free(w);
		return;
	}
	w->dead = true;
	LIST_INSERT_HEAD(&l->dead, w, link);
}

struct loop_watch *loop_every(struct loop *l, uint32_t ms, loop_timer_fn fn, void *arg)
{
	struct itimerspec when = {
		.it_interval = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L },
	};
	struct loop_watch *w;
	int fd, err;

	if (!ms) {
		/* timerfd would take it for a timer that is off */
		errno = EINVAL;
		return NULL;
	}
	when.it_value = when.it_interval;
	fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (fd < 0)
		return NULL;
	if (timerfd_settime(fd, 0, &when, NULL) < 0)
		goto fail;
	w = loop_add(l, fd, EPOLLIN, NULL, arg);
	if (!w)
		goto fail;
	w->tick = fn;
	return w;

fail:
	err = errno;
	close(fd);
	errno = err;
	return NULL;
}

static void dispatch(struct loop *l, struct loop_watch *w, uint32_t events)
{
	uint64_t count;

	if (!w) {
		/* The flag was set before: the loop looks at it after the batch. */
		if (read(l->stopfd, &count, sizeof(count)) < 0)
			assert(errno == EAGAIN);
	} else if (w->dead) {
		return;
	} else if (!w->tick) {
		w->fn(w->arg, events);
	} else if (read(w->fd, &count, sizeof(count)) == (ssize_t)sizeof(count)) {
		w->tick(w->arg);
	}
}

int loop_run(struct loop *l)
{
	struct epoll_event ev[BATCH];

	assert(!l->dispatching);
	while (!__atomic_exchange_n(&l->stopped, false, __ATOMIC_ACQ_REL)) {
		int n = epoll_wait(l->epfd, ev, BATCH, -1);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		l->dispatching = true;
		for (int i = 0; i < n; i++)
			dispatch(l, ev[i].data.ptr, ev[i].events);
		l->dispatching = false;
		free_dead(l);
	}
	return 0;
}

void loop_stop(struct loop *l)
{
	const uint64_t one = 1;
	int err = errno; /* kept for whom a signal interrupted */

	__atomic_store_n(&l->stopped, true, __ATOMIC_RELEASE);
	/* EAGAIN is a count that is full: the loop wakes up all the same. */
	while (write(l->stopfd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	errno = err;
}
