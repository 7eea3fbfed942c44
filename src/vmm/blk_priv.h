/* SPDX-License-Identifier: BSD-2-Clause */
/* struct blk, shared by blk*.c. */
#ifndef DRUM_VMM_BLK_PRIV_H
#define DRUM_VMM_BLK_PRIV_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include <linux/virtio_blk.h>

#include "base/ring.h"
#include "vmm/blk.h"
#include "vmm/blockmap.h"
#include "vmm/disk.h"
#include "vmm/disk_state.h"
#include "vmm/guest.h"
#include "vmm/hold.h"
#include "vmm/image.h"
#include "vmm/inflight.h"
#include "vmm/vhost_dev.h"
#include "vmm/vhost_mem.h"
#include "vmm/virtqueue.h"

#define BLK_REQS    64u	 /* requests under way of a disk; others wait in their rings */
#define BLK_SEG_MAX 126u /* buffers of data in a request: as QEMU's own device */
#define BLK_SEGS    (BLK_SEG_MAX + 34) /* and what header and status may be cut into */
#define BLK_PARTS                                                                              \
	(3 * BLK_SEGS) /* ranges of a hold: a buffer has a head, whole pages, a tail */
#define BLK_PAGES	 (HOLD_PAGES_MAX - 4)  /* pages of data that are held at a time */
#define BLK_BYTES	 (UINT64_C(256) << 20) /* most that a request may be */
#define BLK_PLACE_PARTS	 3 /* of a hold, that a place takes: a head, whole pages, a tail */
#define BLK_BOUNCES	 16u
#define BLK_BOUNCE_BYTES (128u << 10)
#define BLK_RANGES	 16u	   /* of a discard or zeroes */
#define BLK_NO_ANSWER	 UINT8_MAX /* as a status: it cannot be answered */

struct blk_ring;

/* Where in the buffers of a request. */
struct blk_at {
	uint32_t seg;
	uint32_t off;
};

enum blk_phase {
	BLK_FREE,
	BLK_HEADER,   /* its header's pages are being brought in */
	BLK_PAGES_IN, /* those of the data */
	BLK_MAP,      /* pages that live in blocks which are about to change */
	BLK_IO,
	BLK_DONE, /* it waits to be answered: the status byte's page is held */
};

struct blk_req {
	struct hold hold; /* first, so that a hold is its request */
	struct image_req io;
	struct blockmap_io map;
	uint8_t *bounce;   /* the piece goes through it; or NULL */
	struct iovec flat; /* it, for the image */
	struct blk *blk;
	struct blk_ring *ring;
	struct blk_req *next; /* of those that are free, or done */
	enum blk_phase phase;
	bool holding;	    /* hold_begin was called, and hold_end not */
	bool mapped;	    /* blockmap_begin was called, and blockmap_end not */
	bool mended;	    /* I/O has met a page that is gone, and is tried again */
	uint8_t status;	    /* VIRTIO_BLK_S_* */
	uint8_t *status_at; /* where it goes, in a page that is held; a table may change */
	uint32_t type;	    /* VIRTIO_BLK_T_* */
	uint64_t off;	    /* bytes: where on the image it begins */
	uint64_t data;	    /* bytes of buffers that are data */
	uint64_t done;	    /* of these, or ranges of a discard that are done */
	uint64_t piece;	    /* under way now */
	uint32_t written;   /* bytes that the guest is told were written */
	struct blk_at at;   /* where `done` is */
	uint32_t nranges;   /* of a discard or zeroes */
	uint32_t nparts, niov;
	struct vq_chain chain;
	struct virtio_blk_discard_write_zeroes range[BLK_RANGES];
	struct hold_range part[BLK_PARTS];
	struct vq_seg seg[BLK_SEGS];
	struct iovec iov[2 * BLK_SEGS];
};

enum blk_ring_state {
	RING_OFF,
	RING_PAGES,  /* its own pages are being brought in */
	RING_ON,     /* started; it may be disabled */
	RING_BROKEN, /* the driver broke the rules: answered is what is in flight, no more */
};

struct blk_ring {
	struct hold hold; /* first; of its descriptors, available and used ring */
	struct ring_op poll;
	struct blk *blk;
	enum blk_ring_state state;
	uint32_t index;
	int held;		  /* 1: hold_begin was called; 2: it holds */
	bool kicked;		  /* look at it */
	bool polled;		  /* kick is being polled */
	uint32_t resume, nresume; /* requests of heads[] that are to be taken up again */
	struct virtqueue vq;
	struct inflight inflight;
	struct blk_req *done;	/* to be answered */
	unsigned int under_way; /* requests that have a struct */
	uint16_t heads[VQ_NUM_MAX];
	struct hold_range part[3];
	struct hold table; /* of an indirect table that was not in memory */
	struct hold_range table_part[2];
	bool table_held, table_waits, table_mended;
};

struct blk {
	struct disk *disk;
	struct guest *guest;
	struct blk *next;    /* of the guest's */
	struct ring_op poll; /* of the connection */
	bool readable, polled;
	bool paused;	    /* no new requests: the pager leaves */
	bool closing;	    /* the connection is over */
	bool gone;	    /* and so are the VMM, and what of its pages was on swap */
	bool resumed;	    /* `owed` is to be looked at once */
	bool leaving;	    /* pages that live in the image are being moved away */
	bool left;	    /* none does any more */
	bool polls;	    /* a ring of it has no eventfd for kicks */
	bool again;	    /* there is more to do at once */
	unsigned int first; /* ring that takes requests first in the next step */
	int stopping;	    /* ring that GET_VRING_BASE waits for; -1: none */
	struct err why;
	uint64_t told_at;     /* ns, of an I/O error */
	struct vhost_dev dev; /* as committed */
	struct vhost_mem mem;
	struct vhost_log log;
	void *log_map, *inflight_map;
	size_t log_map_size, inflight_map_size;
	struct blk_ring ring[VHOST_QUEUES_MAX];
	struct blk_req *free;
	uint8_t *bounce[BLK_BOUNCES]; /* [nbounces], those that are free */
	unsigned int nbounces;
	struct disk_now next_now; /* being made up */
	struct blk_req req[BLK_REQS];
};

/* blk.c */

/* Drop the connection, for a reason. */
void blk_drop(struct blk *b, const struct err *e);
/* Start and stop rings as the device says now. */
void blk_look_at_rings(struct blk *b);

/* blk_conn.c */

void blk_conn_step(struct blk *b);
/* Is the front end about to give another memory table? */
bool blk_conn_moves(const struct blk *b);

/* blk_mem.c */

/* Let our own mapping of the guest's RAM be written to. => 0 or -errno and e */
int must_check blk_mem_writable(struct guest *g, struct err *e);
/* Map what the device's descriptors say. => 0, or -errno and e */
int must_check blk_mem_table(struct blk *b, struct err *e);
int must_check blk_mem_log(struct blk *b, struct err *e);
int must_check blk_mem_inflight(struct blk *b, struct err *e);
void blk_mem_close(struct blk *b);

/* blk_ring.c */

void blk_ring_start(struct blk_ring *r);
/* It is not to run any more.  Nothing may be under way. */
void blk_ring_stop(struct blk_ring *r);
/* Answer what is done; and take what is new. */
void blk_ring_answer(struct blk_ring *r);
void blk_ring_take(struct blk_ring *r);
/* Memory, or the log, have changed. */
void blk_ring_move(struct blk_ring *r);
/* The driver broke the rules. */
void blk_ring_break(struct blk_ring *r, const struct err *e);
bool blk_ring_runs(const struct blk_ring *r);
/* Its eventfds are others: poll that of its kicks, and signal once. */
void blk_ring_poll(struct blk_ring *r);
/* Is nothing under way? */
bool blk_ring_is_idle(const struct blk_ring *r);

/* blk_req.c */

/* It was popped, or is taken up again. */
void blk_req_begin(struct blk_req *q);
/* Write the status byte, and let go of its pages. */
void blk_req_status(struct blk_req *q);
/* The VMM has ended: do not wait for pages any more. */
void blk_req_cancel(struct blk_req *q);

/* for blk_io.c */
void blk_req_let_go(struct blk_req *q);
/* It is to be answered. */
void blk_req_finish(struct blk_req *q);
/* It cannot even be answered. */
void blk_req_give_up(struct blk_req *q, const struct err *e);
bool blk_req_has_ranges(const struct blk_req *q);
/* What is left of the buffer at `at`, without the status byte. => 0: there is no more */
uint32_t blk_left_of(const struct blk_req *q, const struct blk_at *at);
void blk_move_on(const struct blk_req *q, struct blk_at *at, uint32_t n);
/* Add the pages of a place to those to be held, BLK_PLACE_PARTS parts at most. => how many */
uint64_t blk_add_place(struct blk_req *q, const struct vhost_place *p, enum hold_how how);

/* blk_io.c */

/* The request is understood, or has a status: do it, and finish it. */
void blk_io_begin(struct blk_req *q);
void blk_io_cancel(struct blk_req *q);

static inline void blk_count(uint64_t *c, uint64_t n)
{
	__atomic_store_n(c, *c + n, __ATOMIC_RELAXED);
}

#endif
