/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/loop.h"

/* A loop that is never stopped would hang: Criterion ends it. */
#define LIMIT .timeout = 30

struct ear {
	struct loop *loop;
	struct loop_watch *watch;
	struct ear *victim; /* its watch is removed when this one hears */
	int fd;
	int calls;
	int stop_at; /* the call that stops the loop */
	uint32_t events;
	bool drain;
};

static void hear(void *arg, uint32_t events)
{
	struct ear *e = arg;
	char c;

	e->calls++;
	e->events = events;
	if (e->drain)
		cr_assert_eq(read(e->fd, &c, 1), 1);
	if (e->victim && e->victim->watch) {
		loop_remove(e->victim->watch);
		e->victim->watch = NULL;
	}
	if (e->calls == e->stop_at)
		loop_stop(e->loop);
}

/* Give e a pipe that it listens to. => the end to write to */
static int listen_on_pipe(struct ear *e, struct loop *l)
{
	int fds[2];

	cr_assert_eq(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
	e->loop = l;
	e->fd = fds[0];
	e->watch = loop_add(l, fds[0], EPOLLIN, hear, e);
	cr_assert_neq(e->watch, NULL);
	return fds[1];
}

Test(loop, level_triggered, LIMIT)
{
	struct loop *l = loop_create();
	struct ear e = { .stop_at = 3 };
	int out = listen_on_pipe(&e, l);

	/* never read: told again each time */
	cr_assert_eq(write(out, "x", 1), 1);
	cr_assert_eq(loop_run(l), 0);
	cr_assert_eq(e.calls, 3);
	cr_assert_eq(e.events, EPOLLIN);

	/* read each time: told as often as there is a byte */
	e = (struct ear){
		.loop = l, .watch = e.watch, .fd = e.fd, .drain = true, .stop_at = 3
	};
	cr_assert_eq(write(out, "yz", 2), 2);
	cr_assert_eq(loop_run(l), 0);
	cr_assert_eq(e.calls, 3);
	cr_assert_eq(read(e.fd, &(char){ 0 }, 1), -1);

	loop_destroy(l);
	close(e.fd);
	close(out);
}

Test(loop, hangup, LIMIT)
{
	struct loop *l = loop_create();
	struct ear e = { .stop_at = 1 };

	close(listen_on_pipe(&e, l));
	cr_assert_eq(loop_run(l), 0);
	cr_assert_eq(e.events, EPOLLHUP);
	loop_remove(e.watch);
	loop_destroy(l);
	close(e.fd);
}

Test(loop, modify, LIMIT)
{
	struct loop *l = loop_create();
	struct ear deaf = { 0 }, e = { .stop_at = 5 };
	int out = listen_on_pipe(&deaf, l), out2 = listen_on_pipe(&e, l);

	cr_assert_eq(write(out, "x", 1), 1);
	cr_assert_eq(write(out2, "x", 1), 1);
	loop_modify(deaf.watch, 0);
	cr_assert_eq(loop_run(l), 0);
	cr_assert_eq(deaf.calls, 0);

	loop_modify(deaf.watch, EPOLLIN);
	loop_modify(e.watch, 0);
	deaf.stop_at = 1;
	cr_assert_eq(loop_run(l), 0);
	cr_assert_eq(deaf.calls, 1);
	cr_assert_eq(e.calls, 5);

	loop_destroy(l);
	close(deaf.fd);
	close(e.fd);
	close(out);
	close(out2);
}

/*
 * Two descriptors are ready in one batch and each removes the other: only
 * one of them may be called, whichever comes first.
 */
Test(loop, removed_in_the_same_batch, LIMIT)
{
	struct loop *l = loop_create();
	struct ear a = { .stop_at = 1 }, b = { .stop_at = 1 };
	int outa = listen_on_pipe(&a, l), outb = listen_on_pipe(&b, l);

	a.victim = &b;
	b.victim = &a;
	cr_assert_eq(write(outa, "x", 1), 1);
	cr_assert_eq(write(outb, "x", 1), 1);
	cr_assert_eq(loop_run(l), 0);
	cr_assert_eq(a.calls + b.calls, 1, "%d and %d calls", a.calls, b.calls);
	cr_assert_eq(!a.watch + !b.watch, 1);

	loop_destroy(l);
	close(a.fd);
	close(b.fd);
	close(outa);
	close(outb);
}

static void remove_self(void *arg, uint32_t events)
{
	struct ear *e = arg;

	(void)events;
	e->calls++;
	loop_remove(e->watch);
	/* the memory must stay good until the callback has returned */
	cr_assert_neq(e->watch, NULL);
	e->watch = NULL;
	loop_stop(e->loop);
}

Test(loop, remove_oneself, LIMIT)
{
	struct loop *l = loop_create();
	struct ear e = { .loop = l, .fd = eventfd(1, EFD_CLOEXEC) };
	void *old;

	e.watch = loop_add(l, e.fd, EPOLLIN, remove_self, &e);
	cr_assert_neq(e.watch, NULL);
	old = e.watch;
	cr_assert_eq(loop_run(l), 0);
	/* and no longer: a loop that runs for months must not collect them */
	cr_assert(__asan_address_is_poisoned(old));

	/* the descriptor is free for a new watch */
	e.watch = loop_add(l, e.fd, EPOLLIN, remove_self, &e);
	cr_assert_neq(e.watch, NULL);
	cr_assert_eq(loop_run(l), 0);
	cr_assert_eq(e.calls, 2);
	loop_destroy(l);
	close(e.fd);
}

struct swap_test {
	struct ear *closed, *fresh;
	struct loop *loop;
};

static void put_another_in_its_place(void *arg, uint32_t events)
{
	struct swap_test *s = arg;
	struct ear *c = s->closed;

	(void)events;
	if (!c->watch)
		return;
	loop_remove(c->watch);
	c->watch = NULL;
	close(c->fd);
	s->fresh->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	cr_assert_eq(s->fresh->fd, c->fd, "the test needs the same number again");
	s->fresh->watch = loop_add(s->loop, s->fresh->fd, EPOLLIN, hear, s->fresh);
	cr_assert_neq(s->fresh->watch, NULL);
	loop_stop(s->loop);
}

/* An event of a closed descriptor is not told to its number's next owner. */
Test(loop, number_used_again_in_the_same_batch, LIMIT)
{
	struct loop *l = loop_create();
	struct ear old = { 0 }, fresh = { 0 };
	struct swap_test s = { .closed = &old, .fresh = &fresh, .loop = l };
	int trigger = eventfd(1, EFD_CLOEXEC), out;
	struct loop_watch *first = loop_add(l, trigger, EPOLLIN, put_another_in_its_place, &s);

	cr_assert_neq(first, NULL);
	out = listen_on_pipe(&old, l);
	cr_assert_eq(write(out, "x", 1), 1);
	cr_assert_eq(loop_run(l), 0);
	cr_assert_eq(fresh.calls, 0);
	loop_destroy(l);
	close(fresh.fd);
	close(trigger);
	close(out);
}

Test(loop, add_is_refused, LIMIT)
{
	struct loop *l = loop_create();
	struct loop_watch *w = loop_add(l, 9999, EPOLLIN, hear, NULL);

	cr_assert_eq(w, NULL);
	cr_assert_eq(errno, EBADF);
	w = loop_every(l, 0, NULL, NULL);
	cr_assert_eq(w, NULL);
	cr_assert_eq(errno, EINVAL);
	loop_remove(NULL);
	loop_destroy(l);
	loop_destroy(NULL);
}

struct clock_test {
	struct loop *loop;
	struct loop_watch *watch;
	int ticks, stop_at;
};

static void tick(void *arg)
{
	struct clock_test *c = arg;

	if (++c->ticks == c->stop_at) {
		loop_remove(c->watch);
		loop_stop(c->loop);
	}
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

Test(loop, timer_calls_again_and_again, LIMIT)
{
	struct loop *l = loop_create();
	struct clock_test c = { .loop = l, .stop_at = 5 };
	uint64_t begin = now_ms();

	c.watch = loop_every(l, 10, tick, &c);
	cr_assert_neq(c.watch, NULL);
	cr_assert_eq(loop_run(l), 0);
	cr_assert_eq(c.ticks, 5);
	/* it may be late, as all may be, but not early; now_ms cuts fractions */
	cr_assert_geq(now_ms() - begin + 1, 50);
	loop_destroy(l);
}

Test(loop, destroy_takes_timers_and_watches_along, LIMIT)
{
	struct loop *l = loop_create();
	struct clock_test c = { .loop = l };
	struct loop_watch *w = loop_every(l, 1000, tick, &c);
	int fd = eventfd(0, EFD_CLOEXEC);
	struct loop_watch *v = loop_add(l, fd, EPOLLIN, hear, NULL);
	int lowest[3];

	cr_assert_neq(w, NULL);
	cr_assert_neq(v, NULL);
	loop_destroy(l); /* LeakSanitizer looks for the rest */
	cr_assert_eq(fcntl(fd, F_GETFD), FD_CLOEXEC, "the descriptor stays the caller's");
	/* those of epoll, stop and timer were opened before fd, and are free again */
	for (int i = 0; i < 3; i++) {
		lowest[i] = dup(fd);
		cr_assert_lt(lowest[i], fd, "the loop left a descriptor open");
	}
	for (int i = 0; i < 3; i++)
		close(lowest[i]);
	close(fd);
}

Test(loop, stop_before_run, LIMIT)
{
	struct loop *l = loop_create();
	struct ear e = { .stop_at = 1 };
	int out = listen_on_pipe(&e, l);

	loop_stop(l);
	loop_stop(l);
	cr_assert_eq(loop_run(l), 0); /* hangs if the stop was lost */

	/* and both stops are over: the loop runs again and serves */
	cr_assert_eq(write(out, "x", 1), 1);
	cr_assert_eq(loop_run(l), 0);
	cr_assert_eq(e.calls, 1);
	loop_destroy(l);
	close(e.fd);
	close(out);
}

static uint64_t cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* What a stop leaves behind must not make the next run spin. */
Test(loop, idle_after_a_stop, LIMIT)
{
	struct loop *l = loop_create();
	struct clock_test c = { .loop = l, .stop_at = 1 };
	uint64_t begin;

	loop_stop(l);
	cr_assert_eq(loop_run(l), 0);
	c.watch = loop_every(l, 200, tick, &c);
	cr_assert_neq(c.watch, NULL);
	begin = cpu_ms();
	cr_assert_eq(loop_run(l), 0);
	cr_assert_lt(cpu_ms() - begin, 50);
	loop_destroy(l);
}

static void *stopper(void *arg)
{
	loop_stop(arg);
	return NULL;
}

/* Each stop ends one run: none is lost, whenever it comes. */
Test(loop, stop_from_another_thread, LIMIT)
{
	struct loop *l = loop_create();

	for (int i = 0; i < 2000; i++) {
		pthread_t thread;

		cr_assert_eq(pthread_create(&thread, NULL, stopper, l), 0);
		cr_assert_eq(loop_run(l), 0);
		pthread_join(thread, NULL);
	}
	loop_destroy(l);
}

static struct loop *signalled;

static void on_signal(int sig)
{
	(void)sig;
	loop_stop(signalled);
}

static void raise_it(void *arg)
{
	(void)arg;
	raise(SIGUSR1);
}

Test(loop, stop_from_a_signal_handler, LIMIT)
{
	struct loop_watch *w;

	signalled = loop_create();
	signal(SIGUSR1, on_signal);
	w = loop_every(signalled, 1, raise_it, NULL);
	cr_assert_neq(w, NULL);
	cr_assert_eq(loop_run(signalled), 0);
	loop_destroy(signalled);
}

/* More descriptors ready than one batch takes: all are served. */
Test(loop, many, LIMIT)
{
	enum { N = 100 };
	struct loop *l = loop_create();
	static struct ear ears[N];
	int out[N];

	for (int i = 0; i < N; i++) {
		out[i] = listen_on_pipe(&ears[i], l);
		ears[i].drain = true;
		cr_assert_eq(write(out[i], "x", 1), 1);
	}
	for (int served = 0; served < N;) {
		struct clock_test c = { .loop = l, .stop_at = 1 };

		c.watch = loop_every(l, 1, tick, &c);
		cr_assert_neq(c.watch, NULL);
		cr_assert_eq(loop_run(l), 0);
		served = 0;
		for (int i = 0; i < N; i++)
			served += ears[i].calls;
	}
	for (int i = 0; i < N; i++)
		cr_assert_eq(ears[i].calls, 1);
	loop_destroy(l);
}
