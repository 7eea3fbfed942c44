/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files cacheobj*.c share.  [l]: with the lock; [a] atomic; [I] immutable. */
#ifndef DRUM_SWAP_CACHEOBJ_PRIVATE_H
#define DRUM_SWAP_CACHEOBJ_PRIVATE_H

#include <pthread.h>

#include "swap/cacheobj.h"

#define CACHEOBJ_LATES 512u /* runs */

/* Blocks in a row whose words are kept from use, and so are theirs of swap. */
struct cacheobj_late {
	uint64_t block;
	uint64_t until; /* ns */
	uint32_t n;
	bool ours; /* false: their device is missing, and nobody has claimed them */
};

struct cacheobj {
	pthread_mutex_t lock; /* above the drum's */
	uint64_t refs;	      /* [a] */
	char *name;	      /* [I] */
	struct drum *drum;    /* [I] */
	int fd;		      /* [I] of the words */
	struct object *words; /* [l] */
	uint64_t blocks;      /* [I] that it has room for */
	bool claimed;	      /* [l] before, no block of swap is ours */
	bool retired;	      /* [l] */
	uint64_t hold_puts;   /* [l] ns: nothing is put before; 0: it may */
	uint64_t *hot;	      /* [l] a bit for each swblock: read since it was cleaned */

	struct cacheobj_read *reads;	 /* [l] under way */
	struct cacheobj_change *changes; /* [l] */
	struct cacheobj_put *puts;	 /* [l] */

	/* [l] a ring in the order of their coming, which is that of their going */
	struct cacheobj_late late[CACHEOBJ_LATES];
	unsigned int late_first, late_n;

	struct cacheobj_counts count; /* [a], written with the lock */
};

/* Lists through next and prev. */
#define CACHEOBJ_ADD(head, e)                                                                  \
	do {                                                                                   \
		(e)->prev = NULL;                                                              \
		(e)->next = (head);                                                            \
		if (head)                                                                      \
			(head)->prev = (e);                                                    \
		(head) = (e);                                                                  \
	} while (0)
#define CACHEOBJ_REMOVE(head, e)                                                               \
	do {                                                                                   \
		if ((e)->next)                                                                 \
			(e)->next->prev = (e)->prev;                                           \
		if ((e)->prev)                                                                 \
			(e)->prev->next = (e)->next;                                           \
		else                                                                           \
			(head) = (e)->next;                                                    \
	} while (0)

static inline void cacheobj_lock(struct cacheobj *c)
{
	pthread_mutex_lock(&c->lock);
}

static inline void cacheobj_unlock(struct cacheobj *c)
{
	pthread_mutex_unlock(&c->lock);
}

static inline void cacheobj_count(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static inline bool cacheobj_valid(uint64_t word)
{
	return (word & SWB_FLAGS) == SWB_VALID;
}

/* How many of max blocks from `block` on are of one swblock. */
static inline uint32_t cacheobj_at_most(uint64_t block, uint64_t max)
{
	uint32_t left = CACHEOBJ_RUN - block % CACHEOBJ_RUN;

	return max < left ? (uint32_t)max : left;
}

/* --- the rest: with the lock --- */

/* Blocks of swap on their way back: n neighbours from addr on; their words are gone. */
struct cacheobj_freeing {
	drum_addr addr;
	uint64_t n;
};
void cacheobj_free(struct cacheobj *c, struct cacheobj_freeing *f, drum_addr a);
void cacheobj_free_flush(struct cacheobj *c, struct cacheobj_freeing *f);

/* More, or less, are valid. */
void cacheobj_count_valid(struct cacheobj *c, int64_t n);

/* A block that has a word gets another one. */
void cacheobj_set(struct cacheobj *c, uint64_t block, uint64_t word);

bool cacheobj_is_read(const struct cacheobj *c, uint64_t block, uint64_t n);

/* Block has this word, which is valid: it is cached no more. */
void cacheobj_drop(struct cacheobj *c, struct cacheobj_freeing *f, uint64_t block,
		   uint64_t word);

/* Puts of blocks from `block` to end-1 come to nothing. */
void cacheobj_spoil_puts(struct cacheobj *c, uint64_t block, uint64_t end);

/*
 * Drop what is cached of blocks from `block` to end-1; takes the lock itself, again and again.
 * => how many there were
 */
uint64_t cacheobj_drop_range(struct cacheobj *c, uint64_t block, uint64_t end);

/* The block has a word that is busy: it stays for DRUM_HOLD_NS. */
void cacheobj_late(struct cacheobj *c, uint64_t block, bool ours);

#endif
