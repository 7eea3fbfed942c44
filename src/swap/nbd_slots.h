/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What stands between those who submit I/O to an NBD device and the thread
 * that owns its connection: slots, each for one I/O, some with a bounce buffer;
 * who waits for one; and what is ready for the thread.
 *
 * A slot is in one list, or in the hands of the thread that is filling it:
 *
 *	free > (nbd_slots_submit) > ready > the thread's lists > (nbd_slots_put) > free
 */
#ifndef DRUM_SWAP_NBD_SLOTS_H
#define DRUM_SWAP_NBD_SLOTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "swap/device.h"

#define NBD_BOUNCES 32u /* slots with a buffer of SWAP_IO_BLOCKS_MAX blocks */
#define NBD_PLAIN   96u /* slots without */

struct nbd_slot {
	struct nbd_slot *next;
	struct swap_io *io; /* NULL: it is no I/O's */
	void *bounce;	    /* [I] or NULL: io's first vector is all of it */
	/* of the thread: */
	uint32_t done;	 /* bytes of io that were moved */
	uint32_t now;	 /* bytes of the request that is under way */
	uint64_t cookie; /* its name for the link */
	uint64_t since;	 /* ns: when it was started */
};

struct nbd_slot_list { /* in order of coming */
	struct nbd_slot *head, **tail;
};

struct nbd_io_list {
	struct swap_io *head, **tail;
};

enum nbd_wait { NBD_WAIT_READ, NBD_WAIT_BOUNCED_READ, NBD_WAIT_WRITE, NBD_WAITS };

struct nbd_slots {
	int wake_fd;		    /* [I] eventfd: readable when there is something to do */
	char *pool;		    /* [I] memory of the buffers */
	pthread_mutex_t lock;	    /* leaf */
	bool online;		    /* [lock] */
	struct nbd_slot *free[2];   /* [lock] without and with a buffer */
	unsigned int nfree[2];	    /* [lock] */
	struct nbd_slot_list ready; /* [lock] */
	struct nbd_io_list waiting[NBD_WAITS]; /* [lock] for a slot */
	struct nbd_slot slot[NBD_BOUNCES + NBD_PLAIN];
};

/* Offline at first. => 0 or -errno; nbd_slots_fini is due all the same */
int must_check nbd_slots_init(struct nbd_slots *s);
void nbd_slots_fini(struct nbd_slots *s);

/* Does io, if the server is away, wait until it is back?  Reads do, unless the
 * other half of a mirror can answer them. */
bool nbd_waits_offline(const struct swap_io *io);

/* io is to be done: it becomes ready, now or when a slot is free.  What does not
 * wait ends with -ENOTCONN while offline.  On io's ring's thread. */
void nbd_slots_submit(struct nbd_slots *s, struct swap_io *io);

/* From here on everything is taken. */
void nbd_slots_set_online(struct nbd_slots *s);
/* From here on only what waits. => others that had no slot yet, the caller's to end */
struct swap_io *must_check nbd_slots_set_offline(struct nbd_slots *s);

/* All that is ready goes to the end of `to`. */
void nbd_slots_take_ready(struct nbd_slots *s, struct nbd_slot_list *to);
/* Slots were given back: who waits gets them.  By the thread, often. */
void nbd_slots_admit(struct nbd_slots *s);
/* The slot's I/O has ended, and is not the slot's any more. */
void nbd_slots_put(struct nbd_slots *s, struct nbd_slot *slot);

/* Have the thread look. */
void nbd_slots_wake(struct nbd_slots *s);

/* What the slot's buffer holds goes to the vectors of its I/O, a read. */
void nbd_slot_scatter(const struct nbd_slot *slot);

/* Lists. */

static inline bool nbd_slot_is_write(const struct nbd_slot *slot)
{
	return slot->io && slot->io->write;
}

static inline void nbd_list_init(struct nbd_slot_list *l)
{
	l->head = NULL;
	l->tail = &l->head;
}

static inline void nbd_list_add(struct nbd_slot_list *l, struct nbd_slot *slot)
{
	slot->next = NULL;
	*l->tail = slot;
	l->tail = &slot->next;
}

/* All of `from` go to the end of `to`. */
static inline void nbd_list_move(struct nbd_slot_list *to, struct nbd_slot_list *from)
{
	if (!from->head)
		return;
	*to->tail = from->head;
	to->tail = from->tail;
	nbd_list_init(from);
}

/* Take out the one that *at, a link of this list, is. */
static inline struct nbd_slot *nbd_list_cut(struct nbd_slot_list *l, struct nbd_slot **at)
{
	struct nbd_slot *slot = *at;

	*at = slot->next;
	if (!*at)
		l->tail = at;
	return slot;
}

#endif
