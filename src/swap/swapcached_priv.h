/* SPDX-License-Identifier: BSD-2-Clause */
/* The swapcache daemon, inside; for swapcached*.c. */
#ifndef DRUM_SWAP_SWAPCACHED_PRIV_H
#define DRUM_SWAP_SWAPCACHED_PRIV_H

#include <pthread.h>

#include "base/ring.h"
#include "swap/swapcached.h"

#define SWAPCACHED_PATH 1024u

/* An object that it cleans. */
struct cached {
	struct cached *next;  /* [lock] */
	struct cacheobj *obj; /* [I] */
	void (*over)(void *arg, struct cacheobj *c);
	void *arg;
	uint64_t clean_at, leave_at; /* blocks: where cleaning, and leaving, go on */
};

/* One swap device, by its number. */
struct worn {
	struct wear *wear;     /* NULL: none is on, or there is no memory */
	char *path;	       /* whose record that is */
	uint64_t counted;      /* bytes, of the device's own count, that are in the record */
	uint64_t inflight;     /* bytes that are being written to it */
	uint64_t left;	       /* bytes that may still be written until the next look */
	unsigned int failures; /* writes that have failed in a row */
	bool save_failed;      /* the record could not be saved, and that was told */
};

struct budget { /* as it was asked for last */
	bool asked;
	uint64_t per_day;
};

/*
 * The cleaning under way: a round over all objects, from `at` on.  There may be none.
 */
struct cleaning {
	struct cached *at; /* NULL: from the first on */
	uint64_t left;	   /* blocks, until the next tick */
	uint64_t here;	   /* bytes that `at` has cost since its turn began */
	unsigned int ends; /* objects whose end was reached, since the last tick */
	bool hurry, on;	   /* on: the last tick has asked for it too */
};

#define ALONE __attribute__((aligned(64)))

/* Workers look at these in each of their turns: each stands alone in its line of the cache. */
struct passes {
	ALONE uint64_t pass; /* [a] its number; 0: nobody is to look now */
	/* [a] pages that may be looked at, below the number of the tick that said so << 32 */
	ALONE uint64_t scan;
	int64_t launder;	 /* [a] pages that may be given */
	ALONE uint64_t inactive; /* [a] pages of all guests */
	uint64_t adds;		 /* [a] since the last tick */
	ALONE uint64_t number;	 /* of the last one */
	uint32_t tick;		 /* of the last quota */
	bool begun;		 /* and it has not come to its end */
	unsigned int guests;	 /* [lock] that there are */
	unsigned int ended;	 /* [lock] that are at the end in this pass */
};

/* Everything without a mark is the thread's own. */
struct swapcached {
	struct drum *drum;	  /* [I] */
	struct swapcache *policy; /* [I] */
	int state_dir;		  /* [I] */
	uint64_t (*now)(void);	  /* [I] */
	int64_t (*wall)(void);	  /* [I] */
	pthread_t thread;
	struct ring *ring; /* [I] once started */
	int wake_fd;	   /* [I] */
	struct ring_op wake_poll;
	bool woken; /* [a] look at once */
	bool quiet; /* [a] nothing is to be begun */

	pthread_mutex_t lock; /* leaf */
	pthread_cond_t cond;  /* of state and quiet */
	enum { SWAPCACHED_STARTING, SWAPCACHED_RUNS, SWAPCACHED_OVER } state; /* [lock] */
	bool stop;	      /* [lock] the thread is to end when nothing is under way */
	struct err start_err; /* [lock] until it runs */

	/* puts: swapcached_put.c */
	struct swapcached_put put[SWAPCACHED_PUTS];
	uint8_t *buffers;	     /* [I] one mapping for all */
	struct swapcached_put *free; /* [lock] */
	unsigned int busy;	     /* [lock; read a] puts that are not free */
	uint64_t limit;		     /* [lock] bytes that may be written until the next tick */
	uint64_t taken;		     /* [lock] bytes that puts have which are not written yet */
	uint64_t room;		     /* [a] limit less taken */
	struct swapcached_put *given, **given_tail; /* not begun yet, in order */
	unsigned int writing;			    /* being written */
	uint64_t rest_until;			    /* ns: swap had no room for it */
	uint64_t write_errors;			    /* [a] */
	uint64_t told_at; /* ns, of the last message about them; 0: none yet */
	uint64_t untold;  /* errors since */

	/* objects, cleaning: swapcached_clean.c */
	struct cached *objects; /* [lock] in order of coming; taken out by the thread alone */
	unsigned int nobjects;	/* [lock] */
	struct cleaning cleaning;
	struct cached *leaving;	     /* where devices are left; NULL: at no object */
	uint64_t leave_at;	     /* ns: not again before */
	uint64_t cleanings, hurried; /* [a] */

	struct passes passes;
	uint64_t npasses; /* [a] */

	/* wear: swapcached_wear.c */
	struct worn worn[DRUM_DEVICES_MAX + 1];
	char path[SWAPCACHED_PATH];
	struct budget budget[DRUM_DEVICES_MAX + 1];	/* [lock] not looked at yet */
	struct swapcached_wear shown[DRUM_DEVICES_MAX]; /* [lock] */
	size_t nshown;					/* [lock] */

	uint64_t due;	  /* ns of the next tick of the policy */
	uint64_t look_at; /* ns of the next look at what is done each second */
	uint64_t ticked;  /* ns, the last tick */
	uint64_t looked;  /* [a] see swapcached_stats */
};

static inline bool swapcached_is_quiet(const struct swapcached *sd)
{
	return __atomic_load_n(&sd->quiet, __ATOMIC_ACQUIRE);
}

static inline void swapcached_count(uint64_t *c, uint64_t n)
{
	__atomic_store_n(c, *c + n, __ATOMIC_RELAXED);
}

/* swapcached_put.c */

int must_check swapcached_puts_init(struct swapcached *sd); /* 0 or -ENOMEM */
void swapcached_puts_fini(struct swapcached *sd);
/* So many bytes may be written from now on. */
void swapcached_allow(struct swapcached *sd, uint64_t bytes);

/* swapcached_clean.c */

/* What the tick says of cleaning; and whether blocks have to move. */
void swapcached_clean_begin(struct swapcached *sd, const struct swapcache_orders *o,
			    uint64_t now);
/* A bounded piece of what is to be done. => false: there is nothing */
bool swapcached_clean_step(struct swapcached *sd);
/* Those that are over go; free what has waited for long enough. */
void swapcached_objects_step(struct swapcached *sd, uint64_t now);
void swapcached_objects_fini(struct swapcached *sd);

/* swapcached_pass.c */

/* Is the pass that was begun at its end? */
bool swapcached_pass_ended(struct swapcached *sd);
void swapcached_pass_orders(struct swapcached *sd, const struct swapcache_orders *o);

/* swapcached_wear.c */

void swapcached_wear_look(struct swapcached *sd);
void swapcached_wear_fini(struct swapcached *sd);
bool swapcached_budget_asked(struct swapcached *sd);
/* Bytes that all devices together may still get. */
uint64_t swapcached_wear_left(const struct swapcached *sd);
/* The devices that may get a block. */
uint64_t swapcached_wear_allowed(const struct swapcached *sd);
/* How many of n blocks at a may be written? */
uint64_t swapcached_wear_fits(const struct swapcached *sd, drum_addr a, uint64_t n);
void swapcached_wear_begin(struct swapcached *sd, drum_addr a, uint64_t bytes);
void swapcached_wear_end(struct swapcached *sd, drum_addr a, uint64_t bytes);

#endif
