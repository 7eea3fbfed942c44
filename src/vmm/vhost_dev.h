/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the front end of a vhost-user-blk device has set, and what each of its messages changes.
 *
 * struct vhost_dev is plain data: it is kept in a file, and who takes the device over after a
 * death finds it there.  The message that was being worked on comes again then, so to
 * apply one twice is the same as once.  Descriptors are not in it: they have roles, by which
 * the caller keeps them, and so finds them again.
 *
 * The caller reads a message (vhost_msg.h), applies it, and does what `todo` says, in
 * the order of its fields.  Pure; owned by one thread; nothing is allocated.
 */
#ifndef DRUM_VMM_VHOST_DEV_H
#define DRUM_VMM_VHOST_DEV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/vhost_msg.h"

#define VHOST_QUEUES_MAX 64u

/* Bits of the features, besides those of virtio. */
#define VHOST_F_LOG_ALL		  26
#define VHOST_F_PROTOCOL_FEATURES 30

/* The disk.  It stays the same for as long as struct vhost_dev, but for sectors. */
struct vhost_disk {
	uint64_t sectors;	/* of 512 bytes */
	uint32_t blk_size;	/* bytes: 512 or 4096 */
	uint32_t seg_max;	/* buffers of data in a request */
	uint32_t discard_max;	/* sectors of a range; 0: no DISCARD */
	uint32_t discard_align; /* sectors */
	uint32_t zeroes_max;	/* sectors of a range; 0: no WRITE_ZEROES */
	uint32_t ranges_max;	/* of a discard or zeroes */
	uint16_t num_queues;	/* 1 to VHOST_QUEUES_MAX */
	bool zeroes_unmap;	/* WRITE_ZEROES may give blocks back */
	bool read_only;
	bool wce; /* writes are cached at first: the guest may change that */
};

/* What a descriptor is for. */
enum vhost_fd_role {
	VHOST_FD_LOG,	      /* memory with a bit for each dirty page */
	VHOST_FD_LOG_EVENT,   /* eventfd: the log has changed */
	VHOST_FD_BACKEND_REQ, /* socket for our requests */
	VHOST_FD_INFLIGHT,    /* memory */
	VHOST_FD_MEM,	      /* + i: memory of region i */
	VHOST_FD_KICK = VHOST_FD_MEM + VHOST_REGIONS_MAX, /* + ring; eventfds */
	VHOST_FD_CALL = VHOST_FD_KICK + VHOST_QUEUES_MAX, /* + ring */
	VHOST_FD_ERR = VHOST_FD_CALL + VHOST_QUEUES_MAX,  /* + ring */
	VHOST_FD_ROLES = VHOST_FD_ERR + VHOST_QUEUES_MAX,
};

struct vhost_dev_ring {
	uint32_t num;	  /* entries, a power of two up to VQ_NUM_MAX; 0: not set */
	uint16_t base;	  /* entry of the available ring to begin with */
	uint8_t has_addr; /* addr is set */
	uint8_t started;  /* it had its SET_VRING_KICK, and no GET_VRING_BASE since */
	uint8_t enabled;  /* by SET_VRING_ENABLE */
	uint8_t has_kick; /* a descriptor has role VHOST_FD_KICK + ring: else it is to be polled
			   */
	uint8_t has_call; /* VHOST_FD_CALL: else the driver polls */
	uint8_t has_err;  /* VHOST_FD_ERR */
	uint32_t padding;
	struct vhost_ring_addr addr; /* .log counts if .flags says VHOST_RING_LOG */
};

struct vhost_dev {
	uint64_t features; /* that were accepted */
	uint64_t proto;	   /* protocol features that were accepted */
	uint8_t owned;	   /* SET_OWNER */
	uint8_t wce;	   /* writes are cached until a flush */
	uint8_t has_log, has_log_event, has_backend_req, has_inflight;
	uint8_t padding[2];
	struct vhost_table table; /* n = 0: no memory yet */
	struct vhost_log_area log;
	struct vhost_inflight_area inflight;
	struct vhost_dev_ring ring[VHOST_QUEUES_MAX];
};

/* A descriptor that came, or (fd = -1) one that is of no use any more. */
struct vhost_fd {
	enum vhost_fd_role role;
	int fd;
};

/*
 * What follows from a message, to be done in this order.  That a ring runs or not is
 * not here: vhost_dev_runs says which do, and what it says is compared with what does run.
 */
struct vhost_todo {
	/* Keep fd[0] to [nfds - 1] under their roles; close what had the role. */
	unsigned int nfds;
	struct vhost_fd fd[VHOST_REGIONS_MAX];
	/* Map again: the memory table, the log, the in-flight region. */
	bool memory, log, inflight;
	/* Ring `ring` (else -1) has other descriptors, or is logged otherwise. */
	int ring;
	/*
	 * Finish what ring `stop` (else -1) has in flight, take no more, then call
	 * vhost_dev_stopped, which gives the answer.
	 */
	int stop;
	/*
	 * Make a file of reply.payload.inflight.size zeros, and send it with the answer.
	 */
	bool new_inflight;
	/* Send reply: it is what was asked for, or an acknowledgement. */
	bool answer;
};

/* Nothing is set: a new connection. */
void vhost_dev_init(struct vhost_dev *d, const struct vhost_disk *disk);

/* Could d, which comes from a file, be one that vhost_dev_apply has left?  => -EINVAL and e */
int must_check vhost_dev_check(const struct vhost_dev *d, const struct vhost_disk *disk,
			       struct err *e);

/* What we offer. */
uint64_t vhost_dev_features(const struct vhost_disk *disk);
uint64_t vhost_dev_proto(void);

/*
 * Apply a message that vhost_msg_check has passed, with the nfds descriptors fd[] that came
 * with it.
 * => 0: todo and, if todo says so, reply are set; descriptors are in todo, or none came
 *    -EPROTO and e: d is as it was, the connection is to be dropped, and fd[] closed
 */
int must_check vhost_dev_apply(struct vhost_dev *d, const struct vhost_disk *disk,
			       const struct vhost_msg *m, const int *fd, unsigned int nfds,
			       struct vhost_msg *reply, struct vhost_todo *todo, struct err *e);

/*
 * The ring of m, a GET_VRING_BASE, has nothing in flight, and `base` is the next entry to take.
 * todo is as from vhost_dev_apply.
 */
void vhost_dev_stopped(struct vhost_dev *d, const struct vhost_msg *m, uint16_t base,
		       struct vhost_msg *reply, struct vhost_todo *todo);

/*
 * Is the ring to be served?  It is started and enabled, all of it is known, and where writes
 * are to be logged there is a log.
 */
bool vhost_dev_runs(const struct vhost_dev *d, unsigned int ring);

/*
 * May writes be answered before they are durable?  Not for a driver that cannot flush, nor for
 * one that has set WCE to 0.
 */
bool vhost_dev_caches(const struct vhost_dev *d);

/* Are writes to guest memory to be logged? */
bool vhost_dev_logs(const struct vhost_dev *d);

#endif
