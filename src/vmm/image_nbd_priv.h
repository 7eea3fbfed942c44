/* SPDX-License-Identifier: BSD-2-Clause */
/* What image_nbd.c (the connection) and image_nbd_io.c (the requests) share. */
#ifndef DRUM_VMM_IMAGE_NBD_PRIV_H
#define DRUM_VMM_IMAGE_NBD_PRIV_H

#include <pthread.h>

#include "swap/nbd_link.h"
#include "vmm/image.h"
#include "vmm/image_log.h"

#define NBD_SLOTS      32
#define NBD_PIECE      (128u << 10) /* of data in one request to the server */
#define NBD_ZERO_PIECE (64u << 20)
#define NBD_CONNECT_MS 10000
#define NBD_SILENCE_S  60 /* after which nothing is under way any more */
#define NBD_RETRY_MIN  50 /* ms */
#define NBD_RETRY_MAX  2000

enum nbd_kind { NBD_READ, NBD_WRITE, NBD_ZEROES, NBD_TRIM, NBD_FLUSH };

/* One request to the server: a piece of req. */
struct slot {
	struct slot *next;
	struct image_req *req; /* NULL: our own */
	enum nbd_kind kind;
	bool fua, unmap;
	uint64_t off;
	uint32_t len;
	uint64_t mark; /* of a flush: what of the log it covers */
	uint64_t cookie;
	char *data; /* NBD_PIECE bytes */
};

struct slots {
	struct slot *head, **tail;
};

/* What is waited for before there is a link, see image_nbd_late.c. */
enum late {
	LATE_NONE,
	LATE_ENDING,  /* the end of an earlier connection */
	LATE_ASKING,  /* how the server ends one */
	LATE_WAITING, /* time */
};

/* [t] is the thread's. */
struct image_nbd {
	struct image image; /* first */
	const char *uri;    /* [I] */
	pthread_t thread;
	bool started;		/* [I] */
	bool logs;		/* [I] */
	bool ending, cancelled; /* [a] */
	int wake_fd, urgent_fd; /* [I] eventfds; urgent: ending or cancelled */

	pthread_mutex_t lock;		       /* leaf */
	struct image_req *ready, **ready_tail; /* [lock] submitted */

	struct image_req *waiting, **waiting_tail; /* [t] for a slot */
	struct slots free, todo, flight;	   /* [t] */
	struct slots parked;			   /* [t] answered, and no room in the log */
	struct slot slot[NBD_SLOTS];
	char *memory;
	struct image_log log;	       /* [t] */
	struct slot flusher, replayer; /* [t] our own */
	bool flushing, replaying;      /* [t] flusher is in use; nothing else is started */
	uint64_t replay_at;	       /* [t] in the log */
	uint64_t flush_failed_at; /* [t] 0, or 1 + the log's head: not again until it moves */
	int flush_err;		  /* [t] of our own flush, to be told to the guest's */

	struct nbd_link *link;	  /* [t] or NULL */
	struct nbd_export export; /* [t] as the link was told */
	uint32_t backoff;	  /* [t] ms */
	bool told;		  /* [t] that it is away */

	int (*keep)(void *arg, int fd); /* [I] or NULL */
	void *keep_arg;			/* [I] */
	struct image_note *note;	/* [t] or NULL */
	enum late late;			/* [t] not LATE_NONE: there is no link */
	int late_fd;			/* [t] ENDING: the connection */
	bool late_told;			/* [t] that it is waited for */
	uint64_t late_until;		/* [t] ns: ASKING, WAITING */
};

void slots_init(struct slots *l);

/* All by the thread. */
void nbd_io_take(struct image_nbd *n); /* what was submitted */
/* Start what may be. => 0; -errno: the link has failed; *renew: it is to be made anew */
int must_check nbd_io_start(struct image_nbd *n, bool *renew);
void nbd_io_reap(struct image_nbd *n);	 /* what was answered */
void nbd_io_rewind(struct image_nbd *n); /* the link is gone: all begins anew */
void nbd_io_cancel(struct image_nbd *n); /* the link is gone: all ends */

/* image_nbd_late.c; by the thread, or before there is one */

/* fd, taken, -1: none: the connection of a dead process. */
void nbd_late_init(struct image_nbd *n, int fd);
/* fd, taken: a connection that is given up with requests under way. */
void nbd_late_begin(struct image_nbd *n, int fd);
/* While n->late: wait for it a little, or for urgent_fd. */
void nbd_late_step(struct image_nbd *n);
/* A request is about to be sent. */
void nbd_note_start(struct image_nbd *n, bool changes);
/* Look what is still on its way. */
void nbd_note_now(struct image_nbd *n);

#endif
