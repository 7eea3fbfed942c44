/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pagers, one after the other, without guests, and a keeper played on a thread, whose part of
 * disks is the real one: for tests of host*.c, each of which includes this once.
 */
#ifndef DRUM_TESTS_PLAYED_KEEPER_H
#define DRUM_TESTS_PLAYED_KEEPER_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/ipc.h"
#include "base/loop.h"
#include "keeper/disk.h"
#include "keeper/store.h"
#include "swap/swapcached.h"
#include "vmm/disk_state.h"
#include "vmm/host_disk.h"

/* fake_host.c has these too; a weak reference does not have it linked. */
#pragma weak host_disk_add
#pragma weak host_disk_remove
#pragma weak host_disk_resize
#pragma weak host_disk_stats
#pragma weak host_on_event

static char dir[] = "/tmp/drum-test-host-XXXXXX";
static char image[64];
static int dir_fd;

/* --- the keeper ------------------------------------------------------------------------ */

static struct {
	struct loop *loop;
	struct disks disks;
	int chan;
	struct loop_watch *watch;
	pthread_t thread;
	int attached;	    /* [a] how often it was asked to attach */
	int attach_err;	    /* [a] what it answers */
	int stopped, close; /* [a] MSG_STOPPED: 1 + -err; close: forget the disks at an end */
	bool holds_back;    /* never says MSG_ADOPTED_ALL */
} keeper;

static inline void answer(struct proto_msg *m, const int *fds, int nfds)
{
	/* it may just have been killed */
	(void)!ipc_send(keeper.chan, m, sizeof(*m), fds, nfds);
}

static inline void pager_died(void)
{
	loop_remove(keeper.watch);
	close(keeper.chan);
	keeper.watch = NULL;
	disks_pager_died(&keeper.disks);
	if (__atomic_load_n(&keeper.close, __ATOMIC_ACQUIRE)) {
		disks_fini(&keeper.disks);
		store_fini();
	}
	loop_stop(keeper.loop);
}

static inline void on_pager(void *arg, uint32_t events)
{
	int fds[IPC_FDS_MAX], nfds;
	struct proto_msg m, all = { .type = MSG_ADOPTED_ALL };
	int disk_fds[DISK_FDS];

	(void)arg;
	(void)events;
	if (ipc_recv(keeper.chan, &m, sizeof(m), fds, &nfds) != (ssize_t)sizeof(m)) {
		pager_died();
		return;
	}
	switch (m.type) {
	case MSG_READY:
		disks_pager_ready(&keeper.disks);
		if (!keeper.holds_back)
			answer(&all, NULL, 0);
		break;
	case MSG_DISK_OPEN:
		nfds = disks_open(&keeper.disks, &m, disk_fds);
		answer(&m, disk_fds, nfds);
		while (nfds > 0)
			close(disk_fds[--nfds]);
		break;
	case MSG_DISK_CLOSE:
		disks_close(&keeper.disks, m.u.disk.name);
		break;
	case MSG_ATTACH:
		m.type = MSG_ATTACHED;
		err_set(&m.err, __atomic_load_n(&keeper.attach_err, __ATOMIC_ACQUIRE),
			"not here: %s", m.u.name);
		__atomic_fetch_add(&keeper.attached, 1, __ATOMIC_RELEASE);
		if (m.err.code)
			answer(&m, NULL, 0);
		break;
	case MSG_STOPPED:
		__atomic_store_n(&keeper.stopped, 1 - m.err.code, __ATOMIC_RELEASE);
		break;
	default:
		abort();
	}
}

static inline void *run_keeper(void *arg)
{
	(void)arg;
	loop_run(keeper.loop);
	return NULL;
}

/* --- the pager ------------------------------------------------------------------------ */

static struct loop *loop;
static struct host
	*hosts[4]; /* the last one lives; the others are dead, and have what they had */
static int nhosts, channels[4];
static char events[4096];

static inline void on_event(void *arg, const struct host_event *e)
{
	(void)arg;
	strncat(events, e->name, sizeof(events) - strlen(events) - 1);
	for (const struct host_event_field *f = e->field; f->key; f++) {
		strncat(events, " ", sizeof(events) - strlen(events) - 1);
		strncat(events, f->text ? f->text : "?", sizeof(events) - strlen(events) - 1);
	}
	strncat(events, "\n", sizeof(events) - strlen(events) - 1);
}

static inline struct host *host(void)
{
	return hosts[nhosts - 1];
}

/* A new pager. */
static inline void start(void)
{
	struct host_options o = { .dev_uffd = -1, .dir_fd = dir_fd, .state_fd = -1 };
	struct err e = { 0 };
	int pair[2];

	cr_assert_eq(ipc_pair(pair), 0);
	keeper.chan = pair[0];
	keeper.loop = loop_create();
	keeper.disks.loop = keeper.loop;
	keeper.watch = loop_add(keeper.loop, pair[0], EPOLLIN, on_pager, NULL);
	cr_assert_eq(pthread_create(&keeper.thread, NULL, run_keeper, NULL), 0);
	loop = o.loop = loop_create();
	o.keeper = channels[nhosts] = pair[1];
	cr_assert_eq(host_create(&o, &hosts[nhosts++], &e), 0, "%s", e.text);
	host_on_event(host(), on_event, NULL);
	cr_assert_eq(host_serve(host(), &e), 0, "%s", e.text);
}

/* The pager dies; with `keeper`, so does the keeper, and has no store. */
static inline void die(bool keeper_too)
{
	const struct host_disk *hd;

	__atomic_store_n(&keeper.close, keeper_too, __ATOMIC_RELEASE);
	/* its threads live on here: that one does nothing any more */
	if (host()->paging.swapcached)
		swapcached_quiesce(host()->paging.swapcached);
	for (hd = host()->disks; hd; hd = hd->next) {
		if (hd->d.keep >= 0)
			shutdown(hd->d.keep, SHUT_RDWR);
		close(hd->listener);
	}
	shutdown(channels[nhosts - 1], SHUT_RDWR);
	pthread_join(keeper.thread, NULL);
	loop_destroy(keeper.loop);
}

static inline void set_up(void)
{
	int fd;

	cr_assert_not_null(mkdtemp(dir));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(image, sizeof(image), "%s/image", dir);
	fd = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_eq(ftruncate(fd, 1 << 20), 0);
	close(fd);
	keeper.disks = (struct disks){ .run_dir = dir, .dir_fd = dir_fd };
	keeper.attach_err = -ENOTSUP;
	start();
}

static inline void tear_down(void)
{
	char cmd[128];

	die(true);
	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	cr_assert_eq(system(cmd), 0);
}

static inline void stop_loop(void *arg)
{
	loop_stop(arg);
}

static inline void turn(void)
{
	struct loop_watch *w = loop_every(loop, 1, stop_loop, loop);

	cr_assert_eq(loop_run(loop), 0);
	loop_remove(w);
}

static bool answered;
static struct err result;

static inline void on_done(void *ctx, const struct err *e)
{
	(void)ctx;
	answered = true;
	result = *e;
}

static inline int wait_for_answer(void)
{
	cr_assert_not(answered, "never before the call has returned");
	while (!answered)
		turn();
	answered = false;
	return result.code;
}

static inline struct disk_add like(const char *name)
{
	return (struct disk_add){ .name = name, .image = image, .cache = IMAGE_CACHE_NONE };
}

static inline int add(const struct disk_add *a)
{
	host_disk_add(host(), a, on_done, NULL);
	return wait_for_answer();
}

static inline void add_one(void)
{
	struct disk_add a = like("one");

	cr_assert_eq(add(&a), 0, "%s", result.text);
}

static inline int remove_disk(const char *name)
{
	host_disk_remove(host(), name, on_done, NULL);
	return wait_for_answer();
}

static inline struct disk_stats show(const char *name)
{
	struct disk_stats s[4];
	size_t n = host_disk_stats(host(), s, 4);

	for (size_t i = 0; i < n; i++)
		if (strcmp(s[i].name, name) == 0)
			return s[i];
	cr_assert_fail("no disk %s", name);
	return s[0];
}

#endif
