/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk of a guest, served as a vhost-user-blk device.
 *
 * The control thread makes it (host_disk.c), listens for its front end, and gives it with a
 * connection to the worker of the guest whose VMM has connected (CMD_DISK).  From then on
 * everything that is not marked otherwise is the worker's, until guest_ops.disk_over.
 *
 * Who does what:
 *
 *	added, or found again	the control thread: image, with the fence taken, number,
 *				geometry, state, blk, keep.  fenced if nothing is on its way
 *				already
 *	connected		the control thread: KEEP_FD of the connection; when the front
 *				end has said something and its guest is served,
 *				disk_state_begin; then CMD_DISK
 *	found connected		the control thread: fd[], replied and resumed; CMD_DISK when
 *				the guest that has the process id in state is served
 *	CMD_DISK		the worker refuses it (command.err; the disk is not its own),
 *				or has the disk from then on.  It does no I/O before fenced,
 *				and looks at the fence itself until then
 *	its end			the worker: KEEP_DROP of all, disk_state_end, closes fd[] and
 *				sets them to -1, and disk_over.  keep stays open, it is the
 *				control thread's again
 *
 * A connection that is kept while state has no process id has not been given to a worker.
 *
 * What must outlive this process:
 *	descriptors	the keeper holds a duplicate of each under its role, see
 *			struct keep_msg in base/proto.h
 *	the rest	disk-NAME.state in the run directory, a shared mapping: disk_state.c
 *	requests	in flight: in memory that the front end holds: inflight.h
 *	the server	of an nbd: image: the keeper holds the connection, and disk-NAME.server
 *			says what is on its way; all of this is the image's own
 *			(image_nbd_late.c), so fenced is true
 */
#ifndef DRUM_VMM_DISK_H
#define DRUM_VMM_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/disk_params.h"
#include "base/err.h"
#include "base/image_open.h"
#include "base/proto.h"
#include "vmm/image.h"
#include "vmm/vhost_dev.h"

#define DISKS_MAX PROTO_DISKS_MAX

/* A role as the keeper knows it: those of vhost_dev.h, and the connection itself. */
#define DISK_ROLE_CONN KEEP_CONN
#define DISK_ROLES     KEEP_ROLES
_Static_assert(VHOST_FD_ROLES <= KEEP_SERVER, "each descriptor has a role of its own");

struct guest;
struct blk;
struct disk_state;

struct disk_counters { /* [a] since the disk was added, or the daemon's last restart */
	uint64_t reads, writes, flushes, discards, zeroes, ids; /* requests that ended well */
	uint64_t read_bytes, write_bytes, discard_bytes, zeroes_bytes;
	uint64_t errors;      /* requests that ended with an I/O error */
	uint64_t unsupported; /* or were of an unknown kind */
	uint64_t resubmitted; /* taken up again after a death */
	uint64_t in_flight;
	uint64_t resets; /* connections dropped, or rings given up, for a peer's fault */
};

struct disk {
	char name[DISK_NAME_MAX + 1];	  /* [I] */
	char serial[DISK_SERIAL_MAX + 1]; /* [I] */
	struct image *image;		  /* [I] */
	unsigned int number;	  /* [I] its device number in drum addresses; 0: it has none */
	bool map;		  /* [I] note which pages hold which blocks */
	struct disk_state *state; /* the worker's while it has the disk */
	int image_fd;	/* [I] of image, for the fence (base/image_fence.h); -1: it is nbd: */
	uint64_t fence; /* [I] its key */
	bool fenced;	/* nothing of an earlier pager is on its way to the image any more */
	struct vhost_disk geometry; /* what the front end is told; .sectors [a] */
	struct disk_counters count;
	uint64_t no_map_until; /* of blockmap.c: ns; a write may still be carried out */

	/* while a front end is connected */
	int keep;	    /* channel to the keeper, non-blocking; -1: none */
	int fd[DISK_ROLES]; /* by role; -1: none. fd[DISK_ROLE_CONN] is the connection */
	uint64_t replied; /* number of the last answer that the keeper has sent (a new pager) */
	bool resumed;	  /* it was connected to an earlier pager */
	struct blk *blk;  /* of blk.c; NULL: no worker has it */
};

#endif
