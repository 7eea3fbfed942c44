/* SPDX-License-Identifier: BSD-2-Clause */
/* A cacheobj with its drum, of devices that nothing is written to, for its tests. */
#ifndef DRUM_TESTS_CACHEOBJ_SET_H
#define DRUM_TESTS_CACHEOBJ_SET_H

#include "swap/cacheobj.h"

struct put {
	struct cacheobj_put range;
	drum_addr addr; /* of write_some */
};

#define SET_PUTS 64

struct set {
	struct drum *d;
	struct cacheobj *c;
	int fd;			    /* of the words, a duplicate that stays over restarts */
	int own_fd;		    /* c's */
	uint64_t disk;		    /* blocks */
	uint64_t size[2];	    /* blocks of devices */
	struct put *puts[SET_PUTS]; /* that have begun: a restart lets go of what they hold */
};

/* An image of `disk` blocks, claimed, and devices of a and b (0: none) blocks. */
void set_out(struct set *s, uint64_t disk, uint64_t a, uint64_t b);
void add_device(struct set *s, unsigned int number, uint64_t blocks);
void clear_away(struct set *s); /* its counts are right */
void let_go(struct set *s);	/* whatever they are */
/* A death: another process has the same file, and a drum in which nothing is claimed yet. */
void restart(struct set *s);
void restart_with(struct set *s, uint64_t disk);

/* Begin a put: at least one block. */
void begin_put(struct set *s, struct put *p, uint64_t block, uint32_t max);
/* Allocate n blocks for it, all at once, and tell. => of cacheobj_put_write; p->addr */
int write_some(struct set *s, struct put *p, uint32_t n);
void write_put(struct set *s, struct put *p); /* all of it, and it must be so */
void end_put(struct set *s, struct put *p, int err);
void drop_put(struct set *s, struct put *p);
/* Put n blocks: all of it must come. */
void put_blocks(struct set *s, uint64_t block, uint32_t n);
/* => how many could be put; none is */
uint32_t try_put(struct set *s, uint64_t block, uint32_t max);

bool is_cached(struct set *s, uint64_t block); /* it counts as a miss if not */
drum_addr address_of(struct set *s, uint64_t block);
/* Straight into the file. */
void store_word(struct set *s, uint64_t block, uint64_t word);

/* What it counts is what there is, in its words and in the drum. */
void counts_hold(struct set *s);
void counts_hold_but(struct set *s, uint64_t held); /* by the drum */
/* And its counts are these. */
void counts_are(struct set *s, struct cacheobj_counts want);

#endif
