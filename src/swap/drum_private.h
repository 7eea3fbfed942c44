/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the drum share.  [lock]: with the drum's mutex; [a] atomic; [I]
 * immutable.
 */
#ifndef DRUM_SWAP_DRUM_PRIVATE_H
#define DRUM_SWAP_DRUM_PRIVATE_H

#include <pthread.h>

#include "swap/blist.h"
#include "swap/drum.h"

#define HELD_MAX 16384u /* runs */

struct entry {
	struct swap_device *dev; /* NULL: no such device */
	struct blist *blist;	 /* NULL: an image */
	uint64_t owners;	 /* [a] of an image's blocks, each as often as it is claimed */
	struct blist *dirty;	 /* NULL: freed blocks are not discarded */
	bool off;
	bool tight; /* [a] few blocks are free */
	uint64_t to_move;
	uint64_t rest_until; /* ns: writes have failed, nothing is allocated before */
	uint64_t rest;	     /* ns: the last rest was so long; 0: writes go well */
	int priority;
	uint64_t cursor;
	uint64_t bad;
};

struct held {
	drum_addr addr;
	uint64_t n, until; /* blocks; ns */
};

/* See drum_cache.c. */
struct drum_cache {
	uint64_t cached;		/* [a] */
	void (*on_pressure)(void *arg); /* [I] once set */
	void *arg;
	bool told;	 /* [lock] on_pressure was called, and nobody has asked since */
	bool found_none; /* [lock] an allocation did, and nobody has asked since */
};

struct drum {
	pthread_mutex_t lock;				    /* leaf */
	struct entry entry[DRUM_NUMBERS_MAX + 1];	    /* [lock]; 0 unused */
	unsigned int order[DRUM_DEVICES_MAX];		    /* [lock] */
	unsigned int n;					    /* [lock] entries in order */
	uint64_t blocks;				    /* [lock] sum of sizes less bad */
	enum drum_level level;				    /* [lock] */
	bool tight;					    /* [a] some entry is */
	uint32_t keeps_less;				    /* [a] see drum_keeps_less */
	bool closed;					    /* [lock] */
	unsigned int images_off;			    /* [lock] */
	void (*on_level)(void *arg, enum drum_level level); /* [I] once set */
	void *on_level_arg;
	struct held held[HELD_MAX];	 /* [lock] from held_first on */
	unsigned int held_first, held_n; /* [lock] */
	struct drum_cache cache;
	struct drum_share *shares; /* [lock] all that there are */
	uint64_t promised;	   /* [lock] sum of theirs */
	uint64_t outstanding;	   /* [lock] of that, what is not in use: see drum_promise.c */
	bool promise_tight;	   /* [a] beside that little is free */
};

/* Neither off nor suspended. */
static inline bool drum_in_service(const struct entry *en)
{
	return !en->off && !__atomic_load_n(&en->dev->suspended, __ATOMIC_RELAXED);
}

/* Free blocks that it can take. */
uint64_t drum_room_of(const struct entry *en);

/*
 * A run of at most want blocks from devices for which fits(en, number, arg) holds and that are
 * usable, by priority and turn; at most plain of those that take whatever is written.  With
 * the lock; the drum is not closed.
 */
typedef bool (*drum_fits_fn)(const struct entry *en, unsigned int number, const void *arg);
drum_addr must_check drum_alloc_from(struct drum *d, drum_fits_fn fits, const void *arg,
				     uint64_t want, uint64_t plain, uint64_t *got);

/* Free blocks of those that guests can count on: devices that are in service and take whatever
 * is written; and all of theirs.  With the lock. */
uint64_t drum_plain(const struct drum *d, uint64_t *all);

/*
 * drum_promise.c; with the lock, and s may be NULL.  may: how many blocks of devices that take
 * whatever is written s is given now.  charge, uncharge: these blocks are its now, or no
 * longer. recount: another device counts.  tight: is little free beside what is outstanding?
 */
uint64_t drum_share_may(const struct drum *d, const struct drum_share *s);
void drum_share_charge(struct drum *d, struct drum_share *s, unsigned int number, uint64_t n);
void drum_share_uncharge(struct drum *d, struct drum_share *s, unsigned int number, uint64_t n);
void drum_share_recount(struct drum *d);
bool drum_promise_tight(const struct drum *d);
/* Would less be free without that device, of which `used` blocks are in use, than outstanding?
 */
bool drum_off_breaks(const struct drum *d, const struct entry *en, unsigned int number,
		     uint64_t used, uint64_t *outstanding, uint64_t *had);
/* Any thread: has it no more than is promised to it? */
bool drum_share_within(const struct drum_share *s);

/* Some may keep fewer copies than before: they look again (drum_keeps_less). */
void drum_keep_less(struct drum *d);

/* Unlock, and tell what has changed. */
void drum_unlock(struct drum *d);

/* Is on_pressure to be called, once the lock is let go?  It counts as told then. */
bool must_check drum_cache_presses(struct drum *d);

#endif
