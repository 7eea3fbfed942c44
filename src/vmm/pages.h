/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * States of a guest's pages: one byte for each page of RAM.
 *
 *	state     in the memfd  mapped by a VMM   on access
 *	hole      no            no                fill with zeros
 *	active    yes           perhaps           nothing, or map
 *	inactive  yes           no                map: it was referenced
 *	writing   yes           no                map; the block is given back at the end
 *	swapped   no            no                read it from its drum address
 *	reading   no            no                wait for the read
 *
 * "Active" promises nothing: such a page may have lost its mapping.  "Inactive"
 * and "writing" promise that no process maps the page and that only we can
 * map it, which is why it can be written out without being protected.
 *
 * After the queues of the BSD VM system.  Owned by the guest's worker; the
 * sums may be read by any thread.
 */
#ifndef DRUM_VMM_PAGES_H
#define DRUM_VMM_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum page_state {
	PAGE_HOLE,
	PAGE_ACTIVE,
	PAGE_INACTIVE,
	PAGE_WRITING,
	PAGE_SWAPPED,
	PAGE_READING,
	PAGE_STATES
};

/*
 * A zap of this active page is under way and nobody has mapped it since the
 * keeper was asked.  Any other change of its state takes the mark off.
 */
#define PAGE_ZAPPING 0x80u

/*
 * This active or inactive page is in use by a device or by somebody's I/O, or was
 * when it was last looked at.  It is neither zapped nor taken.  That it is touched
 * (inactive to active) leaves the mark, any other change takes it off.
 */
#define PAGE_PINNED 0x40u

/*
 * This active page was mapped along with another, and no touch of it has been seen.  It
 * says nothing of what the guest does; page-out takes it like any other.  Any other mark
 * and any change of the state take it off, even to active again.
 */
#define PAGE_UNTOUCHED 0x20u

/*
 * This active page is held (hold.h): it is neither zapped nor taken.  Being touched
 * leaves the mark, any change of the state takes it off.
 */
#define PAGE_HELD  0x10u
#define PAGE_MARKS (PAGE_ZAPPING | PAGE_PINNED | PAGE_UNTOUCHED | PAGE_HELD)

struct pages {
	uint8_t *byte; /* [n] state and mark */
	uint64_t n;
	uint64_t count[PAGE_STATES]; /* [a], written by the worker */
	uint64_t pinned;	     /* [a] those that are marked as such */
	uint64_t pinned_inactive;    /* [a] and are inactive */
};

int must_check pages_init(struct pages *p, uint64_t n); /* all holes; -ENOMEM */
void pages_fini(struct pages *p);

static inline enum page_state page_get(const struct pages *p, uint64_t i)
{
	return (enum page_state)(p->byte[i] & ~PAGE_MARKS);
}

/* The one setter. A change that the table in pages.c does not know aborts. */
void page_set(struct pages *p, uint64_t i, enum page_state to);

/* Mark an active page as being zapped; and is it still? */
void page_mark_zapping(struct pages *p, uint64_t i);
static inline bool page_is_zapping(const struct pages *p, uint64_t i)
{
	return p->byte[i] == (PAGE_ACTIVE | PAGE_ZAPPING);
}
/* The zap failed. */
void page_unmark_zapping(struct pages *p, uint64_t i);

/* Mark an active or inactive page as pinned, or take the mark off; and has it one? */
void page_mark_pinned(struct pages *p, uint64_t i, bool pinned);
static inline bool page_is_pinned(const struct pages *p, uint64_t i)
{
	return p->byte[i] & PAGE_PINNED;
}
/* First page >= from and < to that has it, or `to`. */
uint64_t page_find_pinned(const struct pages *p, uint64_t from, uint64_t to);

/* Mark an active page so, unless it has another mark; and is it still? */
void page_mark_untouched(struct pages *p, uint64_t i);
static inline bool page_is_untouched(const struct pages *p, uint64_t i)
{
	return p->byte[i] & PAGE_UNTOUCHED;
}

/* Mark a page as held if it is active, or take the mark off, and those of zaps and of being
 * untouched with it; and has it one? */
void page_mark_held(struct pages *p, uint64_t i, bool held);
static inline bool page_is_held(const struct pages *p, uint64_t i)
{
	return p->byte[i] & PAGE_HELD;
}

/* First page >= from and < to in exactly this state and neither being zapped, nor pinned,
 * nor held, or `to`. */
uint64_t page_find(const struct pages *p, uint64_t from, uint64_t to, enum page_state s);

/* How many from `from` on, below `to`, are in this state (marked or not). */
uint64_t page_run(const struct pages *p, uint64_t from, uint64_t to, enum page_state s);

static inline uint64_t page_count(const struct pages *p, enum page_state s)
{
	return __atomic_load_n(&p->count[s], __ATOMIC_RELAXED);
}

/* Those that are marked as pinned. */
static inline uint64_t pages_pinned(const struct pages *p)
{
	return __atomic_load_n(&p->pinned, __ATOMIC_RELAXED);
}

/* Inactive pages that are not; for the worker. */
static inline uint64_t pages_takeable(const struct pages *p)
{
	return page_count(p, PAGE_INACTIVE) - p->pinned_inactive;
}

/* Pages that are in the memfd. */
static inline uint64_t pages_resident(const struct pages *p)
{
	return page_count(p, PAGE_ACTIVE) + page_count(p, PAGE_INACTIVE) +
	       page_count(p, PAGE_WRITING);
}

const char *page_state_name(enum page_state s);

#endif
