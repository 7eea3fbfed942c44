/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which slots of the ram: device's memory are in use: arithmetic alone, in
 * private memory, without locks or I/O.
 *
 * Memory is slabs of 64 KiB.  A slab is cut into slots of one size (a class),
 * and is taken from and given back to the rest when its last slot is free, so
 * that space freed by pages of one size can be had by pages of another.  After
 * Linux's zsmalloc: classes, groups by fullness, and its compaction.
 */
#ifndef DRUM_SWAP_RAMSLAB_H
#define DRUM_SWAP_RAMSLAB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define RAMSLAB_BYTES	 65536u
#define RAMSLAB_CLASSES	 30u
#define RAMSLAB_SLOTS	 1024u /* of a slab, at most */
#define RAMSLAB_SLOT_MAX 3120u /* bytes of the largest slot */
#define RAMSLAB_NONE	 UINT32_MAX

/* A slot's place. */
struct ramslot {
	uint32_t slab;
	uint32_t slot;
};

struct ramslabs;

/* What one slab costs in private memory, in bytes. */
uint32_t ramslabs_cost(void);

/* n slabs, none of which has memory in the file. => NULL: out of memory */
struct ramslabs *must_check ramslabs_create(uint32_t n);
void ramslabs_destroy(struct ramslabs *s); /* NULL is fine */

/* The class of the smallest slot for so many bytes, at most RAMSLAB_SLOT_MAX. */
uint32_t ramslabs_class(uint32_t bytes);
uint32_t ramslabs_slot_bytes(uint32_t class);
uint32_t ramslabs_slots(uint32_t class); /* of a slab */

/* Take a slot of a class from the fullest slab that has one. => false: none has */
bool must_check ramslabs_take(struct ramslabs *s, uint32_t class, struct ramslot *at);

/* Give one back that is in use. */
void ramslabs_give(struct ramslabs *s, struct ramslot at);

/* Is it a slot in use, of this class? Any numbers are fine. */
bool ramslabs_used(const struct ramslabs *s, struct ramslot at, uint32_t class);

/* The first slot in use of a slab, from `slot` on. => RAMSLAB_NONE */
uint32_t ramslabs_next(const struct ramslabs *s, uint32_t slab, uint32_t slot);

/* Recovery, before anything else is done: this slot is in use.
 * => false: it cannot be, as others are */
bool must_check ramslabs_claim(struct ramslabs *s, struct ramslot at, uint32_t class);
/* All are claimed: what has no slot in use is bare. */
void ramslabs_claimed(struct ramslabs *s);
/* Does the slab have a slot in use? */
bool ramslabs_occupied(const struct ramslabs *s, uint32_t slab);

/*
 * The slabs that are of no class.  Bare: without memory in the file.  Spare:
 * with it.
 */
bool must_check ramslabs_take_bare(struct ramslabs *s, uint32_t *slab);
bool must_check ramslabs_take_spare(struct ramslabs *s, uint32_t *slab);
void ramslabs_put_bare(struct ramslabs *s, uint32_t slab);
void ramslabs_put_spare(struct ramslabs *s, uint32_t slab);
uint32_t ramslabs_spare(const struct ramslabs *s); /* how many */

/* A slab that was taken from there is of this class now, empty. */
void ramslabs_assign(struct ramslabs *s, uint32_t slab, uint32_t class);

/*
 * Take a slab out of its class so that it can be emptied: one that is cheap to
 * empty, of a class whose other slabs have room for all that is in it.  No
 * slot is taken from it any more.  ramslabs_drained puts it back: spare if it
 * is empty; else, if it is stuck, it stays apart until it is.
 * => false: there is none
 */
bool must_check ramslabs_drain(struct ramslabs *s, uint32_t *slab);
void ramslabs_drained(struct ramslabs *s, uint32_t slab, bool stuck);
uint32_t ramslabs_class_of(const struct ramslabs *s, uint32_t slab); /* RAMSLAB_NONE: none */

/* Slabs that are of a class. */
uint32_t ramslabs_classed(const struct ramslabs *s);
/* How many would be, were each class packed: in a class, all slots in use / slots a slab. */
uint32_t ramslabs_needed(const struct ramslabs *s);

#endif
