/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a front end has set, where the next pager finds it: disk-NAME.state in the run
 * directory, a shared mapping.  Two copies, of which one is current: a change is made in the
 * other and counts from one store on, so that a death leaves the one or the other.
 *
 * Exactly-once for messages.  A message is peeked at, what follows from it is committed
 * here, and only then is it taken from the socket: if we die between, it comes again, and to
 * apply one twice is the same as once.  An answer is noted with the commit and sent by
 * the keeper (KEEP_REPLY), which numbers them: what was noted and not sent is sent by the next
 * pager, unless the message is still there, and so is answered anew.
 */
#ifndef DRUM_VMM_DISK_STATE_H
#define DRUM_VMM_DISK_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "vmm/vhost_dev.h"

#define DISK_STATE_GUEST 64

/* One copy. */
struct disk_now {
	struct vhost_dev dev;
	int32_t pid;	 /* of the front end; 0: none is connected */
	uint32_t owed;	 /* bytes of `reply`, which is to be sent as number `number`; 0: none */
	uint64_t number; /* of the last answer; goes on over connections */
	uint64_t inflight_bytes; /* a new in-flight region goes with the reply; 0: none */
	char guest[DISK_STATE_GUEST];
	struct vhost_msg reply;
};

struct disk_state;

/*
 * Open it, or make it anew where there is none or one of another build.
 * => NULL and e
 */
struct disk_state *must_check disk_state_open(int dir_fd, const char *name, struct err *e);
void disk_state_close(struct disk_state *s); /* the file stays; NULL is fine */
void disk_state_remove(int dir_fd, const char *name);

/* The current copy, valid until the next commit but one. */
const struct disk_now *disk_state_now(const struct disk_state *s);

/* *next is current from now on. */
void disk_state_commit(struct disk_state *s, const struct disk_now *next);

/* A new connection: nothing is set. Numbers go on. */
void disk_state_begin(struct disk_state *s, const struct vhost_disk *disk, pid_t pid,
		      const char *guest);
/* It is over. */
void disk_state_end(struct disk_state *s);

#endif
