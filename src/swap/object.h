/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An object's swap: which page of it lives at which drum address.
 *
 * A swblock holds the addresses of 16 neighbouring pages; an object keeps its
 * swblocks in a red-black tree by the first page's index and gives one back
 * when its last address goes (DragonFly's swap_pager.c: struct swblock,
 * swp_pager_meta_build / free / free_all / ctl).  An address is one aligned
 * 64-bit word with its flags, in a file that outlives the process: one store
 * of the word is the commit point of each change.
 *
 * One thread at a time: the worker of the guest.
 */
#ifndef DRUM_SWAP_OBJECT_H
#define DRUM_SWAP_OBJECT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "swap/drum.h"

#define SWBLOCK_PAGES 16u

/* A word: a drum address and one of these. 0 is no address at all. */
#define SWB_WRITING (UINT64_C(1) << 63) /* being written: not to be read, void at a restart */
#define SWB_VALID   (UINT64_C(1) << 62) /* holds the page, if the page is nowhere else */

struct object;

/*
 * The swap of an object of `pages` pages, kept in the file fd, which stays
 * the caller's.  An empty file is laid out; in another one every address that
 * is there is kept, for object_next to be looked at.
 * => NULL and e: -EINVAL it is not such a file or for another size, -errno
 */
struct object *must_check object_open(int fd, uint64_t pages, struct err *e);
void object_close(struct object *o); /* the file keeps what it holds */

/* => the word of a page, or 0 */
uint64_t object_get(const struct object *o, uint64_t page);

/* Store a word other than 0. => 0, or -ENOSPC: no swblock is free */
int must_check object_set(struct object *o, uint64_t page, uint64_t word);

/* Take a page's word out. => what it was, or 0 */
uint64_t object_pop(struct object *o, uint64_t page);

/*
 * The first page with a word, from `page` on.  Costs by what exists.
 * => true, its index and word
 */
bool object_next(const struct object *o, uint64_t page, uint64_t *found, uint64_t *word);

/* How many pages after `page` are valid at the following addresses, at most max. */
uint32_t object_run(const struct object *o, uint64_t page, uint32_t max);

uint64_t object_count(const struct object *o);	  /* words */
uint64_t object_swblocks(const struct object *o); /* swblocks in use */

#endif
