/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The drum: one address space of all swap.
 *
 * An address is {device, block}; runs never cross a device.  Devices stand in
 * a list of priorities, higher first (as swapon(8), the other way round than
 * BSD); those of one priority take turns after each allocation.  After
 * NetBSD's uvm_swap.c (swap_priority, uvm_swap_alloc) and the watermarks of
 * DragonFly's swap_pager.c (nswap_lowat, nswap_hiwat).
 *
 * One mutex, held for arithmetic and never across I/O; it is a leaf.  All
 * functions may be called by any thread.
 */
#ifndef DRUM_SWAP_DRUM_H
#define DRUM_SWAP_DRUM_H

#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "swap/device.h"

typedef uint64_t drum_addr;

#define DRUM_NONE	 UINT64_C(0) /* device numbers begin at 1 */
#define DRUM_BLOCK_BITS	 40
#define DRUM_DEVICES_MAX 64
/* Numbers behind those of swap devices: see drum_add_image. */
#define DRUM_IMAGE_FIRST (DRUM_DEVICES_MAX + 1)
#define DRUM_IMAGES_MAX	 64
#define DRUM_NUMBERS_MAX (DRUM_DEVICES_MAX + DRUM_IMAGES_MAX)
#define DRUM_ADDR_MASK	 ((UINT64_C(1) << 56) - 1)

/* Free blocks at which swap is "low", and from which on it is "ok" again; from "full" too,
 * or when half of it is free.  What is cached (drum_cached) counts as free. */
#define DRUM_LOW_BLOCKS 128
#define DRUM_OK_BLOCKS	512

enum drum_level { DRUM_OK, DRUM_LOW, DRUM_FULL };

struct drum;

struct drum_device_stats {
	const struct swap_device *dev;
	unsigned int number;
	int priority;
	uint64_t blocks, used, bad;
	bool off, discard;
	uint64_t to_move; /* off: blocks that were in use when it began */
};

/* What is to become of a page's block. */
enum drum_move {
	DRUM_STAY,
	DRUM_MOVE_AWAY, /* its device is being switched off: to any other, or into RAM */
	DRUM_MOVE_DOWN, /* to a device that takes everything: drum_alloc_plain */
	DRUM_MOVE_ANEW, /* to another block of the same device, a mirror to be mended */
};

static inline drum_addr drum_make(unsigned int device, uint64_t block)
{
	return (uint64_t)device << DRUM_BLOCK_BITS | block;
}

static inline unsigned int drum_device_of(drum_addr a)
{
	return (unsigned int)(a >> DRUM_BLOCK_BITS);
}

static inline uint64_t drum_block_of(drum_addr a)
{
	return a & ((UINT64_C(1) << DRUM_BLOCK_BITS) - 1);
}

/* Is it a block of an image, that no swap device has? */
static inline bool drum_is_image(drum_addr a)
{
	return drum_device_of(a) >= DRUM_IMAGE_FIRST;
}

/*
 * An owner of blocks to whom some are promised (drum_promise.c).  Whoever allocates, claims or
 * frees says whose the blocks are: `s`, or NULL, somebody to whom nothing is promised.
 */
struct drum_share { /* [a] written with the drum's mutex */
	struct drum_share *next;
	uint64_t promised;		     /* blocks */
	uint64_t counted;		     /* of `used`, on devices that count for promises */
	uint64_t used[DRUM_DEVICES_MAX + 1]; /* blocks that it has, by device */
};

struct drum *must_check drum_create(void); /* NULL: out of memory */
void drum_destroy(struct drum *d);	   /* closes its devices */

/*
 * Put dev into use as device `number` (0: the first that is free).  The device
 * is the drum's from now on, also on failure.
 * => its number, or -EBUSY: it is in use already, -ENOSPC: no number, -ENOMEM
 */
int must_check drum_add(struct drum *d, struct swap_device *dev, int priority,
			unsigned int number);

/*
 * A run of at most want blocks on one device: want of them if any device of
 * the highest priority with free blocks has such a run, else what it has.  Others'
 * promises are not touched: what is free for these is not for s.
 * => its address and *got, or DRUM_NONE
 */
drum_addr must_check drum_alloc(struct drum *d, struct drum_share *s, uint64_t want,
				uint64_t *got);

/* The same, on devices only that take whatever is written (not ram:). */
drum_addr must_check drum_alloc_plain(struct drum *d, struct drum_share *s, uint64_t want,
				      uint64_t *got);

/* The same, on the device of `a` only. */
drum_addr must_check drum_alloc_beside(struct drum *d, struct drum_share *s, drum_addr a,
				       uint64_t want, uint64_t *got);

/*
 * For the swapcache, which takes what nobody else needs (drum_cache.c): on devices whose bit is
 * set in `allowed` (bit n: device n), that are on, neither picky nor remote, and have
 * checksums; by priority and turn.  At least an eighth is left free of the blocks of all
 * devices in service that take whatever is written, so it may be less than want, or DRUM_NONE.
 */
drum_addr must_check drum_alloc_cache(struct drum *d, uint64_t want, uint64_t allowed,
				      uint64_t *got);
/* Of devices that may be used so and are not off, whatever is in use, resting or suspended. */
uint64_t drum_cache_blocks(struct drum *d);
/*
 * The cache has n more blocks, or less, that it would give up for others at once.
 * drum_cached: how many those are, which others may count on.
 */
void drum_count_cached(struct drum *d, int64_t n);
uint64_t drum_cached(const struct drum *d);
/*
 * fn is called when drum_cached is not 0 and less than a 16th is free (of the same devices), or
 * an allocation has found none; again only after drum_pressure was asked.  On any thread,
 * without the drum's mutex, but whoever frees or allocates may hold others: it must only wake.
 * drum_pressure: is less than an eighth free, or has an allocation found none since it was
 * asked last?
 */
void drum_on_pressure(struct drum *d, void (*fn)(void *arg), void *arg);
bool drum_pressure(struct drum *d);

/*
 * May a block stay in use for a copy of what is in memory?  Not where copies cost
 * memory too (ram:), on a device that is being switched off, or where few blocks are
 * free: less than a 16th, or than DRUM_TIGHT_BLOCKS; nor where so few are free beside what is
 * promised, unless it is one of those that are promised to s.  For the owner of a.
 */
#define DRUM_TIGHT_BLOCKS 1024
bool drum_keeps(struct drum *d, const struct drum_share *s, drum_addr a);
bool drum_tight(struct drum *d); /* is there a device with so few? */
/* A number that is another one after a device has become one that keeps none. */
uint32_t drum_keeps_less(struct drum *d);

/* Does any block have to move, as far as is known? */
bool drum_moving(struct drum *d);
enum drum_move drum_move(struct drum *d, drum_addr a);

/*
 * Nothing is allocated while the drum is closed: until every owner of blocks
 * has claimed them after a restart.
 */
void drum_set_closed(struct drum *d, bool closed);

/* => frees exactly these blocks, which were allocated; aborts on a double free */
void drum_free(struct drum *d, struct drum_share *s, drum_addr a, uint64_t n);

/*
 * Several writes in a row have failed on the device of a: nothing is allocated
 * there for 100 ms, the next time twice as long, up to 30 s, until one is done.
 * drum_write_done: while a block of the device is the caller's.
 */
void drum_write_failed(struct drum *d, drum_addr a);
void drum_write_done(struct drum *d, drum_addr a);
bool drum_resting(struct drum *d); /* is any of them left alone for that now? */

/*
 * Allocated blocks that a write or discard may still reach which nobody waits for
 * any more, of a dead daemon or given up: they are free DRUM_HOLD_NS later, and nobody's
 * until then.
 */
#ifndef DRUM_HOLD_S
#define DRUM_HOLD_S 60 /* tests of deaths have less of it */
#endif
#define DRUM_HOLD_NS (DRUM_HOLD_S * NSEC_PER_SEC)
void drum_hold(struct drum *d, struct drum_share *s, drum_addr a, uint64_t n);
/* Free those whose time has come; now: of clock_ns.  To be called now and then. */
void drum_release_held(struct drum *d, uint64_t now);

/* Might an I/O that ended with err still be carried out where nobody can tell? */
bool drum_is_late(int err);

/* An allocated block that cannot be written: it stays out of use for ever. */
void drum_mark_bad(struct drum *d, struct drum_share *s, drum_addr a);

/*
 * Recovery: this block belongs to the caller.
 * => 0, -EEXIST: somebody has it already (which an image allows), -ENODEV: there is no
 *    such block
 */
int must_check drum_claim(struct drum *d, struct drum_share *s, drum_addr a);
/* The same of n blocks from a on: all or, with an error, none. */
int must_check drum_claim_run(struct drum *d, struct drum_share *s, drum_addr a, uint64_t n);

/*
 * Promises.  A share is known from begin to end; end: what it still has is nobody's in
 * particular, and its memory the caller's again.
 */
void drum_share_begin(struct drum *d, struct drum_share *s);
void drum_share_end(struct drum *d, struct drum_share *s);
uint64_t drum_share_used(const struct drum_share *s); /* blocks, on any device; any thread */
/* The block at a is no longer `from`'s but `to`'s. */
void drum_share_move(struct drum *d, struct drum_share *from, struct drum_share *to,
		     drum_addr a);
/*
 * So many blocks are promised to s from now on, 0: none.  again: it was promised before a
 * restart, and what has become of swap since then does not matter.
 * => 0, or -ENOSPC and *most, how many could be
 */
int must_check drum_promise(struct drum *d, struct drum_share *s, uint64_t blocks, bool again,
			    uint64_t *most);
struct drum_promises {	      /* blocks */
	uint64_t promised;    /* to all */
	uint64_t outstanding; /* of that, what is not in use */
	uint64_t free;	      /* that could be promised besides */
};
void drum_promised(struct drum *d, struct drum_promises *out);

/*
 * The next are for the control thread alone, which adds and removes devices.
 * number is one that is in use.
 */

struct swap_device *drum_device(struct drum *d, unsigned int number); /* NULL: none */
void drum_set_priority(struct drum *d, unsigned int number, int priority);
/* off: nothing is allocated there any more, and owners move away what is there. */
void drum_set_off(struct drum *d, unsigned int number, bool off);
/* Switch it off if that breaks no promise. => 0, or -ENOSPC: outstanding would be more than had
 * without it */
int must_check drum_try_off(struct drum *d, unsigned int number, uint64_t *outstanding,
			    uint64_t *had);
/* Take an empty device out. => it, the caller's; NULL: blocks are in use there */
struct swap_device *must_check drum_remove(struct drum *d, unsigned int number);
/* => 0, -EINVAL: it is not larger than before, -ENOMEM */
int must_check drum_grow(struct drum *d, unsigned int number, uint64_t blocks);
/*
 * Keep account of what is freed from now on, to be discarded; and of all that is
 * free when nothing is in use.  => 0 or -ENOMEM
 */
int must_check drum_set_discard(struct drum *d, unsigned int number, bool discard);

/*
 * Take a run of at least min and at most max blocks that are free and not
 * discarded yet, out of any device that wants it; nobody gets them until they
 * are given back.
 * => its address and *n, or DRUM_NONE
 */
drum_addr must_check drum_take_undiscarded(struct drum *d, uint64_t min, uint64_t max,
					   uint64_t *n);
void drum_discarded(struct drum *d, drum_addr a, uint64_t n);

/*
 * Images: devices whose blocks are somebody else's, a guest's own disk, and happen to hold
 * what its pages hold.  They are no swap: nothing is allocated there or written, they are
 * in no sum and no list, and nothing is kept there.  A block may have any number of owners;
 * each claims it (drum_claim), and frees it when it is no longer to be read.  Who is off is to
 * be left by its owners (DRUM_MOVE_AWAY).  Any thread.
 *
 * number 0: the first that is free. => its number; the device is the caller's again after
 * -EBUSY: the number is in use, -ENOSPC: there is none, -EINVAL: it is no number of an image
 */
int must_check drum_add_image(struct drum *d, struct swap_device *dev, unsigned int number);
void drum_set_image_off(struct drum *d, unsigned int number, bool off);
uint64_t drum_image_owners(struct drum *d, unsigned int number);
/* => it, the caller's; NULL: some block of it has an owner, or is being read */
struct swap_device *must_check drum_remove_image(struct drum *d, unsigned int number);
/* => NULL: there is none */
struct swap_device *drum_image(struct drum *d, unsigned int number);

/* I/O of io's vectors at a; see device_submit. The addresses are the caller's. */
void drum_submit(struct drum *d, struct ring *ring, struct swap_io *io, drum_addr a);

/* The device of an address, for messages. */
const char *drum_path(struct drum *d, drum_addr a);

uint64_t drum_blocks(struct drum *d); /* of all devices, less bad ones */
uint64_t drum_avail(struct drum *d);  /* free blocks, promised or not */
/* Free blocks that s may have now. */
uint64_t drum_avail_to(struct drum *d, const struct drum_share *s);
uint64_t drum_avail_beside(struct drum *d, unsigned int number); /* less that device's */
enum drum_level drum_level(struct drum *d);
size_t drum_stats(struct drum *d, struct drum_device_stats *out, size_t max);
/*
 * What wears a device out: its path, cut if it is longer than size, and how many bytes were
 * written there since it is on.  For threads that do not add and remove devices.
 * => false: no swap device of that number is on, or it is memory (ram:)
 */
bool must_check drum_written(struct drum *d, unsigned int number, char *path, size_t size,
			     uint64_t *bytes);

/* Called at each change of level, with the mutex not held; any thread. */
void drum_on_level(struct drum *d, void (*fn)(void *arg, enum drum_level), void *arg);

#endif
