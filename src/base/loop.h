/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A poll loop (epoll) for threads that serve people: the pager's control
 * thread and the keeper.  Workers, who serve faults, use base/ring.
 *
 * One thread runs a loop and makes every call here, loop_stop excepted.
 */
#ifndef DRUM_BASE_LOOP_H
#define DRUM_BASE_LOOP_H

#include <stdint.h>

#include "base/err.h"

struct loop;
struct loop_watch;

/* events are EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR of <sys/epoll.h> */
typedef void (*loop_fn)(void *arg, uint32_t events);
typedef void (*loop_timer_fn)(void *arg);

struct loop *loop_create(void); /* NULL: errno tells */
void loop_destroy(struct loop *l);

/*
 * Watch fd, level-triggered.  The descriptor stays the caller's; remove the
 * watch before closing it.  A watch may be removed from within any callback,
 * also its own; its callback is then not called again.
 * => NULL: errno tells
 */
struct loop_watch *must_check loop_add(struct loop *l, int fd, uint32_t events, loop_fn fn,
				       void *arg);
void loop_modify(struct loop_watch *w, uint32_t events);
void loop_remove(struct loop_watch *w);

/* Call fn every ms milliseconds.  => NULL: errno tells; end with loop_remove */
struct loop_watch *must_check loop_every(struct loop *l, uint32_t ms, loop_timer_fn fn,
					 void *arg);

/* Run until loop_stop.  => 0 or -errno of epoll_wait */
int loop_run(struct loop *l);
void loop_stop(struct loop *l); /* any thread, any callback */

#endif
