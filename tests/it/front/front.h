/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The front end of a vhost-user-blk device, as a VMM and its guest's driver are one: for
 * tests and measurements of back ends, Drum's or others'.
 *
 * RAM is a memfd that is mapped shared, named as QEMU names its own.  front_connect and
 * front_start do what QEMU does for such a device, in the same order; fqueue_* is the
 * driver's side of a split ring.  One thread; nothing here waits for longer than
 * options.wait_s but fqueue_wait, whose time is the caller's.
 *
 * Functions give -errno, and f->why says what was wrong; -ECONNRESET is: the back end has
 * closed the connection.
 */
#ifndef IT_FRONT_FRONT_H
#define IT_FRONT_FRONT_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>

#include "base/err.h"
#include "vmm/vhost_msg.h"

#define FRONT_PAGE	 4096u
#define FRONT_QUEUES_MAX 16u
#define FRONT_NUM_MAX	 1024u
#define FRONT_REGIONS	 3u
#define BIT(n)		 (UINT64_C(1) << (n))
#define F_LOG_ALL	 26
#define F_PROTOCOL	 30

struct front_options {
	const char *socket;
	uint64_t ram;	     /* bytes */
	unsigned int queues; /* 0: as many as the device has */
	unsigned int num;    /* entries of a ring */
	bool no_indirect, no_event_idx, no_inflight;
	bool scattered; /* RAM in three regions, two of them neighbours the wrong way round */
	bool log;	/* have what is written to RAM logged */
	unsigned int wait_s; /* for an answer, and for somebody to listen; 0: 60 */
};

/* A piece of a buffer. */
struct fseg {
	uint64_t gpa;
	uint32_t len;
};

struct fqueue {
	uint32_t num;
	bool event_idx;
	int kick, call; /* eventfds; they stay the same over connections */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint64_t used_gpa;
	uint16_t avail_idx;		   /* entries that were made available */
	uint16_t kicked;		   /* of these, when a kick was last considered */
	uint16_t last_used;		   /* entries of the used ring that were looked at */
	uint16_t free, n_free;		   /* descriptors: first of a list in next[] */
	uint16_t next[FRONT_NUM_MAX];	   /* our own copy of how they are linked */
	uint16_t chain_len[FRONT_NUM_MAX]; /* of a head that is in flight; 0: it is not */
	void *token[FRONT_NUM_MAX];
	unsigned int in_flight;
};

struct front {
	struct front_options opt;
	char why[256];
	/* RAM */
	int memfd;
	uint8_t *ram;
	struct vhost_table table;
	uint64_t ring_end; /* rings are below this address */
	/* the connection */
	int sock, backend; /* -1: none; backend: its requests come here */
	uint64_t offered, features, proto;
	struct virtio_blk_config config;
	unsigned int queues;
	bool started;
	/* what the back end has in flight; stays over connections */
	int inflight_fd; /* -1: not told yet */
	struct vhost_inflight_area inflight;
	/* log of dirty pages */
	int log_fd;
	uint64_t *log;
	uint64_t log_bytes;
	struct fqueue queue[FRONT_QUEUES_MAX];
};

/* ---- wire.c ---- */

uint64_t front_now_ns(void);

int must_check front_fail(struct front *f, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Connect; waits for somebody to listen. */
int must_check front_dial(struct front *f);

/* One message, as it is said, be it right or not; fds are the caller's still. */
int must_check front_send(struct front *f, const struct vhost_header *h, const void *payload,
			  const int *fds, unsigned int nfds);

/*
 * An answer to `request` of at most `max` bytes.  fd: one that came with it, or -1; may be
 * NULL.
 * => bytes
 */
int must_check front_answer(struct front *f, uint32_t request, void *payload, uint32_t max,
			    int *fd);

/* Ask, and wait for the answer. => bytes */
int must_check front_ask(struct front *f, uint32_t request, const void *payload, uint32_t size,
			 void *answer, uint32_t max, int *fd);

/* Tell; if REPLY_ACK was agreed on, it is seen to be accepted. */
int must_check front_tell(struct front *f, uint32_t request, const void *payload, uint32_t size,
			  const int *fds, unsigned int nfds);

/* A request of the back end has come on f->backend. => which, or -errno */
int must_check front_backend_request(struct front *f);

/* ---- device.c ---- */

/* RAM and rings. */
int must_check front_init(struct front *f, const struct front_options *opt);
void front_free(struct front *f);

/* The memory of up to len bytes at gpa; run (may be NULL): how many of them are in one piece.
 */
void *front_at(struct front *f, uint64_t gpa, uint64_t len, uint64_t *run);
void front_put(struct front *f, uint64_t gpa, const void *from, uint64_t len);
void front_get(struct front *f, uint64_t gpa, void *to, uint64_t len);
void front_set(struct front *f, uint64_t gpa, int byte, uint64_t len);

/* Connect and agree on features; f->config is set. */
int must_check front_connect(struct front *f);
int must_check front_read_config(struct front *f);
int must_check front_set_wce(struct front *f, bool on);

/* Memory, in-flight region, rings; they go on from where the used ring is. */
int must_check front_start(struct front *f);

/* Stop the rings. => 0: what was taken from each is finished */
int must_check front_stop(struct front *f);
void front_disconnect(struct front *f);

/* Is the page of gpa marked in the log?  And unmark it. */
bool front_log_test(struct front *f, uint64_t gpa);
void front_log_clear(struct front *f, uint64_t gpa);

/* ---- ring.c ---- */

uint64_t fqueue_bytes(uint32_t num);
void fqueue_init(struct fqueue *q, uint32_t num, void *memory, uint64_t gpa);
void fqueue_used_addr(const struct fqueue *q, uint64_t *avail, uint64_t *used);

/* May a request of so many pieces be added now? */
bool fqueue_has_room(const struct fqueue *q, unsigned int n, bool indirect);

/*
 * Make n_out pieces for the device to read and n_in for it to write available; by `table`, an
 * indirect table in memory, if that is not NULL.
 */
void fqueue_add(struct fqueue *q, const struct fseg *seg, unsigned int n_out, unsigned int n_in,
		void *token, struct vring_desc *table, uint64_t table_gpa);

/* Kick if the device wants to be told of what was added. */
void fqueue_kick(struct fqueue *q);

/*
 * The next request that is done.
 * => 1: token and len are set.  0: none.  -EPROTO and why: the device's answer is wrong
 */
int must_check fqueue_get(struct fqueue *q, void **token, uint32_t *len, char *why,
			  unsigned int why_size);

/* We want to be called.  => true: something is done already, so look first */
bool must_check fqueue_arm(struct fqueue *q);

#endif
