/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * Three things make a block move: its device is being switched off, a ram:
 * device is nearly full and it is among the coldest there, or a mirror lacks one
 * half of it.  In each case the guest's worker moves its own pages, since nobody
 * else may change where they are: it goes through the object and moves what
 * drum_move says, run by run.
 *
 *	read the old blocks > allocate new ones > write > store the new
 *	addresses (one word each: the commit point) > free the old blocks
 *
 * The pages are "reading" meanwhile.  Who touches one is served out of the buffer;
 * such a page is in memory then, and its new block is free again.
 *
 * A death in the middle: the word still has the old address and the old block
 * holds the page.  The write of the dead pager may still be on its way to the
 * new blocks, though, and no word tells of them; so they are noted in the
 * object's file before it begins (object_intent), and recovery keeps them out of
 * use for a while.
 *
 * Without room anywhere a device that is being switched off may empty into
 * memory, as far as the guest's limit has room.  If that has none either,
 * no_room counts, and the control thread, who sees it, gives the matter up.
 */

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/point.h"
#include "swap/pager.h"
#include "vmm/guest.h"

#define PAUSE_NS  (50 * NSEC_PER_MSEC)
#define LOOK_STEP 512u /* words that one step looks at */

static void on_written(struct swap_io *io, int err);

static unsigned int slot_of(const struct pagein *p)
{
	return (unsigned int)(p - p->guest->pagein);
}

/* Room for the pages of p, as its move wants it. => how many */
static uint64_t find_room(struct pagein *p)
{
	struct guest *g = p->guest;
	uint64_t got = 0;

	p->to = DRUM_NONE;
	if (p->move == DRUM_MOVE_ANEW)
		p->to = drum_alloc_beside(g->drum, g->share, p->addr, p->n, &got);
	else if (p->move == DRUM_MOVE_AWAY)
		p->to = drum_alloc(g->drum, g->share, p->n, &got);
	if (p->to == DRUM_NONE)
		p->to = drum_alloc_plain(g->drum, g->share, p->n, &got);
	if (p->to == DRUM_NONE && kept_reclaim(g))
		p->to = drum_alloc_plain(g->drum, g->share, p->n, &got);
	return got;
}

static void write_on(struct pagein *p)
{
	struct guest *g = p->guest;

	object_intent(g->object, slot_of(p), p->to, p->n);
	point_crash("move-intent");
	p->writing = true;
	p->io.done = on_written;
	p->io.write = true;
	p->io.urgent = false;
	p->io.niov = 1;
	p->io.iov[0] = (struct iovec){ p->buf, (size_t)p->n << PAGE_SHIFT };
	drum_submit(g->drum, g->ring, &p->io, p->to);
}

static bool any_waits(const struct pagein *p)
{
	for (uint32_t k = 0; k < p->n; k++)
		if (p->waiters[k] || p->discarded)
			return true;
	return false;
}

void move_filled(struct pagein *p)
{
	struct guest *g = p->guest;
	uint64_t got = 0;

	/* touched, or given back, while it was read: that is a page-in now */
	if (!any_waits(p))
		got = find_room(p);
	else
		p->move = DRUM_STAY;
	if (got > 0) {
		/* what does not fit stays, and comes again */
		pagein_trim(p, (uint32_t)got);
		write_on(p);
	} else if (p->move == DRUM_STAY || (p->move == DRUM_MOVE_AWAY && pageout_room(g) > 0)) {
		/* the pages count as in use already */
		__atomic_store_n(&g->no_room, 0, __ATOMIC_RELAXED);
		counter_add(&g->count.pages_moved, p->n);
		pagein_place(p);
	} else {
		/* ram: and mirrors look for room for ever, that stops no 'swap off' */
		if (p->move == DRUM_MOVE_AWAY)
			__atomic_fetch_add(&g->no_room, 1, __ATOMIC_RELAXED);
		pagein_leave(p);
	}
}

static bool is_refused(const struct pagein *p, uint32_t k)
{
	return p->io.refused[0] >> k & 1;
}

/* Is nothing known of the pages from that one on but that they are being moved? */
static bool may_trim(const struct pagein *p, uint32_t from)
{
	for (uint32_t k = from; k < p->n; k++)
		if (p->placed >> k & 1 || p->discarded >> k & 1 || p->waiters[k])
			return false;
	return true;
}

/* ram: has refused some of it: to another device. => false: there is none */
static bool try_plain(struct pagein *p)
{
	struct guest *g = p->guest;
	uint64_t got;
	drum_addr to;

	if (p->io.refused[0] == 0 || p->move == DRUM_MOVE_DOWN)
		return false;
	to = drum_alloc_plain(g->drum, g->share, p->n, &got);
	if (to == DRUM_NONE)
		return false;
	if (!may_trim(p, (uint32_t)got)) {
		drum_free(g->drum, g->share, to, got);
		return false;
	}
	/* the intent first: of a block that is free somebody else may write a word,
	 * and after a death both would claim it */
	object_intent_end(g->object, slot_of(p));
	drum_free(g->drum, g->share, p->to, p->n);
	/* where runs are short, what does not fit stays, and comes again */
	pagein_trim(p, (uint32_t)got);
	p->move = DRUM_MOVE_DOWN;
	p->to = to;
	write_on(p);
	return true;
}

static void on_written(struct swap_io *io, int err)
{
	struct pagein *p = (struct pagein *)((char *)io - offsetof(struct pagein, io));
	struct guest *g = p->guest;
	uint32_t settled = 0;
	int drop_as = err;

	point_crash("move-written");
	if (err == 0 && try_plain(p))
		return;
	p->writing = false;
	if (err) {
		counter_add(&g->count.write_errors, 1);
		drum_write_failed(g->drum, p->to);
		/* which of them is bad, if one is, page-out will find out */
		if (p->n > 1 && pager_is_media_error(err))
			drop_as = 0;
	} else {
		drum_write_done(g->drum, p->to);
	}
	for (uint32_t k = 0; k < p->n; k++)
		if (pagein_settle(p, k, err == 0 && !is_refused(p, k))) {
			settled |= 1u << k;
			counter_add(&g->count.pages_moved, 1);
			__atomic_store_n(&g->no_room, 0, __ATOMIC_RELAXED);
		}
	for (uint32_t k = 0; k < p->n && drum_is_late(drop_as); k++)
		if (!(settled >> k & 1))
			late_hold(g, p->to + k);
	/* after the words are stored and late blocks noted, and before any of its blocks
	 * is free */
	point_crash("move-words");
	object_intent_end(g->object, slot_of(p));
	for (uint32_t k = 0; k < p->n && !drum_is_late(drop_as); k++)
		if (!(settled >> k & 1))
			pageout_drop_block(g, p->to + k, drop_as);
	if (err || p->io.refused[0])
		__atomic_fetch_add(&g->no_room, 1, __ATOMIC_RELAXED);
	pagein_leave(p);
}

void move_step(struct guest *g, uint64_t now)
{
	uint64_t page, word;

	if (now < g->move_at || g->state != GUEST_RUNNING || g->job == JOB_LEAVE)
		return;
	if (!drum_moving(g->drum)) {
		g->move_at = now + PAUSE_NS;
		g->move_next = 0;
		return;
	}
	for (unsigned int i = 0; i < LOOK_STEP; i++) {
		enum drum_move move;
		uint32_t n;

		if (!object_next(g->object, g->move_next, &page, &word)) {
			/* what could not be moved now is tried again */
			g->move_next = 0;
			g->move_at = now + PAUSE_NS;
			return;
		}
		g->move_next = page + 1;
		if (!(word & SWB_VALID) || page_get(&g->pages, page) != PAGE_SWAPPED)
			continue;
		move = drum_move(g->drum, word & DRUM_ADDR_MASK);
		if (move == DRUM_STAY)
			continue;
		n = pagein_move(g, page, move);
		if (n == 0) {
			g->move_next = page;
			return;
		}
		g->move_next = page + n;
	}
}
