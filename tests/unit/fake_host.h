/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A fake of vmm/host.h, for tests of the control layer: guests, swap
 * devices and disks are entries in a list, nothing is paged.  What it is asked to do is
 * done later, as by the real one: when the loop runs next, or, in manual
 * mode, when the test says so.
 */
#ifndef DRUM_TESTS_FAKE_HOST_H
#define DRUM_TESTS_FAKE_HOST_H

#include <stdbool.h>

#include "base/loop.h"
#include "vmm/host.h"

#define FAKE_PID_NONE	100000 /* pids from here on are of no process */
#define FAKE_GUEST_SIZE (512ull << 20)
#define FAKE_LIMIT_MIN	(1ull << 20) /* a lower limit is refused */
#define FAKE_LOG_MAX	4096

struct host *fake_host_create(struct loop *loop);
void fake_host_destroy(struct host *h);

/* Leave calls undone until fake_host_complete. */
void fake_host_manual(struct host *h, bool manual);

/* How many calls are not done yet. */
size_t fake_host_pending(const struct host *h);

/* Do the oldest of them. */
void fake_host_complete(struct host *h);

/* Refuse the next call of this name ("guest-detach"), and only that. */
void fake_host_refuse(struct host *h, const char *call, int code, const char *text);

/*
 * Have devices hold something (FAKE_SWAP_USED) when they are switched on, so
 * that switching off takes a while: each look at the devices moves `step`
 * bytes of it, and with 0 only a cancel ends it.
 */
#define FAKE_SWAP_USED (64ull << 20)
void fake_host_slow_off(struct host *h, uint64_t step);
void fake_host_fast_off(struct host *h); /* as at first */

/* Have dumps take a while: each look at that one guest writes `step` more, a part of its size.
 */
void fake_host_slow_dump(struct host *h, uint64_t step);

/* A front end connects to the disk, or with pid 0 lets go of it.  => the disk is there */
#define FAKE_DISK_SIZE (20ull << 30)
void fake_host_connect(struct host *h, const char *disk, const char *guest, pid_t pid);

/* What was written to each swap device in a day; in a week it is twice, in four it is three
 * times that */
#define FAKE_WRITTEN (1ull << 30)
/* The swapcache's figures from now on. */
void fake_host_swapcache(struct host *h, const struct swapcache_stats *stats);

/* Do the next call of this name, and say this with it. */
void fake_host_warn(struct host *h, const char *call, const char *text);

/* What `config-reload` answers: a line of this kind more. */
void fake_host_config_line(struct host *h, enum host_config_kind kind, const char *section,
			   const char *key, const char *text);

/* Events happen.  => on the loop's thread */
void fake_host_event(struct host *h, const struct host_event *event);

/* What was asked for and has been done: "guest-attach 7 a;guest-in a;" */
const char *fake_host_log(const struct host *h);

#endif
