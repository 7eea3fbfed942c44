/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inside of a mirror: what device_mirror.c (the halves, and which of them
 * holds what) and mirror_io.c (I/O) share.  Nobody else includes it.
 *
 * Fields are [I] immutable, [a] atomic, [lock], [ring] of the thread of the
 * I/O's ring.
 */
#ifndef DRUM_SWAP_MIRROR_H
#define DRUM_SWAP_MIRROR_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "swap/device_mirror.h"

#define MIRROR_REQUESTS 64 /* I/Os under way at a time; more wait */

struct mirror;

/* One I/O to one half. */
struct mirror_leg {
	struct swap_io io;
	struct mirror_request *req; /* [I] */
	struct swap_device *dev;
	uint32_t gen;  /* of the half when it began */
	uint32_t from; /* first of the request's blocks */
	uint32_t n;
	int err;
};

struct mirror_request { /* [ring] but for next */
	struct mirror *m;
	struct mirror_request *next; /* [lock] free */
	struct swap_io *io;
	uint32_t n;	   /* blocks */
	unsigned int legs; /* in flight */
	struct mirror_leg leg[2];
	/* a read: see mirror_io.c */
	uint32_t at;
	uint32_t careful;
	unsigned int tried;  /* bit k */
	unsigned int broken; /* bit k: of tried, not just out of reach */
	bool single;
	int err;
};

struct mirror_half {
	struct swap_device *dev; /* [lock] NULL: missing */
	enum mirror_state state; /* [a], changed with lock */
	uint32_t gen;		 /* [lock] counts the devices that were this half */
	uint32_t reading;	 /* [lock] reads in flight */
	bool avoid;		 /* [lock] a read failed since the last that did not */
};

struct mirror {
	struct swap_device base;
	struct sums *sums; /* [I] */
	struct swap_listener hear;
	pthread_mutex_t lock; /* leaf */
	struct mirror_half half[2];
	unsigned int believed; /* [a] bit k: half k's bits are true, changed with lock */
	uint64_t *in_use;      /* [lock] a bit for each block */
	uint64_t blocks;       /* [lock] bits in in_use */
	uint64_t count[4];     /* [lock] blocks in use, by the halves that hold them */
	bool broken;	       /* [lock] WHOLE is to be told when it is */
	unsigned int turn;     /* [lock] the half that is read next, all else equal */
	struct mirror_request *pool;
	struct mirror_request *free; /* [lock] */
	unsigned int nfree;	     /* [lock] */
	unsigned int promised;	     /* [lock] of nfree, to I/O that is on its way */
	struct swap_io *waiting;     /* [lock] in order, until one is free */
	struct swap_io **waiting_tail;
};

/* What is to be told once the lock is let go. */
struct mirror_news {
	bool lost, whole;
	char path[256]; /* of the lost half */
	int err;
};

/* All with the lock. */
unsigned int mirror_holders(struct mirror *m, uint64_t block);
/* => 0 or -ENOSPC */
int must_check mirror_set_holders(struct mirror *m, uint64_t block, unsigned int halves);
void mirror_use(struct mirror *m, uint64_t block);
/* A write failed on half k, and not on the other. */
void mirror_lose(struct mirror *m, unsigned int k, int err, struct mirror_news *news);
/* Before halves are chosen: which of them are away, told or not? */
void mirror_look(struct mirror *m, struct mirror_news *news);
/* After any change: what follows from it? */
void mirror_update(struct mirror *m, struct mirror_news *news);

/* Without it. */
void mirror_tell(struct mirror *m, const struct mirror_news *news);

/* mirror_io.c */
int must_check mirror_io_init(struct mirror *m);
void mirror_submit(struct swap_device *dev, struct swap_io *io);

#endif
