/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The disks that the keeper holds for its pagers: of each the image with QEMU's locks, the
 * listening socket, and what of a front end's connection must outlive a pager (struct
 * keep_msg in base/proto.h).  They are in the store (store.h) too.  One thread only;
 * nothing here waits for anybody, but for the file system when an image is opened.
 */
#ifndef DRUM_KEEPER_DISK_H
#define DRUM_KEEPER_DISK_H

#include "base/err.h"
#include "base/loop.h"
#include "base/proto.h"

struct held_disk;

struct disks {
	struct loop *loop;
	const char *run_dir; /* absolute; stays the caller's */
	int dir_fd;	     /* of it */
	struct held_disk *held[PROTO_DISKS_MAX];
};

/* What goes with MSG_DISK_OPENED, in this order; the image not if it is nbd:. */
#define DISK_FDS 3

/*
 * MSG_DISK_OPEN becomes its answer.  With id 1 it is a disk of an earlier pager, all of
 * whose messages are read first.
 * => how many descriptors to send with it, to be closed then; 0: m->err is filled
 */
int disks_open(struct disks *all, struct proto_msg *m, int fds[DISK_FDS]);

/* MSG_DISK_CLOSE: let go of it, and remove its socket.  What is not held does not matter. */
void disks_close(struct disks *all, const char *name);

/* The pager has died: do what it has asked for until then. */
void disks_pager_died(struct disks *all);

/* A pager serves: disks that it has not asked for are no more. */
void disks_pager_ready(struct disks *all);

/* Forget all as it is, for tests. */
void disks_fini(struct disks *all);

#endif
