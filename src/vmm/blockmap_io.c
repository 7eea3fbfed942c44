/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * Requests of disks that are under way stand in a list, from blockmap_begin to
 * blockmap_end: who may note something, and which blocks are about to change, is what
 * overlaps there.  There are as many as the disks' queues allow, mostly some ten.
 *
 * A change goes over its blocks once.  Records of pages in memory are dropped.  Where it finds
 * an evicted page it has it read, goes on to begin the reads of others, and comes again until
 * no evicted page is left; io->at is the first block where there may be one.  Before that block
 * nothing comes back: to be noted, or to be kept as a record when a page has come in, is
 * refused to blocks of a change that is in the list.
 *
 * A page that cannot be read is tried again ever more slowly, and after paging.give_up the
 * change fails: its request gets an I/O error, rather than the guest another page.
 */

#include <assert.h>
#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "vmm/blockmap.h"
#include "vmm/disk.h"
#include "vmm/guest.h"

#define LOOKS	       8192u /* blocks, for one request in one step */
#define LIMIT_WAIT_NS  (10 * NSEC_PER_MSEC)
#define RETRY_FIRST_NS (10 * NSEC_PER_MSEC)
#define RETRY_MAX_NS   NSEC_PER_SEC

bool blockmap_is_changing(const struct guest *g, struct block_id at)
{
	for (const struct blockmap_io *io = g->blockmap.ios; io; io = io->next)
		if (io->change && io->disk->number == at.disk && at.block >= io->block &&
		    at.block < io->end)
			return true;
	return false;
}

/* One pass over a change. */
struct pass {
	uint64_t now;
	bool wait;  /* the guest is at its limit, and it is not too late to wait for room */
	bool ended; /* no more reads can be begun now */
	int err;
};

static bool is_evicted(const struct guest *g, uint64_t page)
{
	uint32_t i = blocktable_find(&g->blockmap.t, page);

	return i != BLOCKTABLE_NONE && blocktable_get(&g->blockmap.t, i).evicted;
}

/* It was read in vain. */
static void read_failed(struct guest *g, struct blockmap_io *io, struct pass *p)
{
	uint64_t delay;

	io->asked = 0;
	if (io->failing == 0)
		io->failing = p->now;
	delay = (p->now - io->failing) / 2 + RETRY_FIRST_NS;
	io->retry_at = p->now + (delay < RETRY_MAX_NS ? delay : RETRY_MAX_NS);
	if (p->now - io->failing >= __atomic_load_n(&g->paging->give_up, __ATOMIC_RELAXED))
		p->err = -EIO;
}

/* The page lives in this block of io: have it read. */
static void bring_in(struct guest *g, struct blockmap_io *io, uint64_t page, uint64_t block,
		     struct pass *p)
{
	uint32_t max =
		io->end - block < PAGEIN_PAGES ? (uint32_t)(io->end - block) : PAGEIN_PAGES;
	uint32_t n;

	if (page_get(&g->pages, page) == PAGE_READING) {
		pagein_raise(g, page);
		return;
	}
	if (page_get(&g->pages, page) != PAGE_SWAPPED)
		BROKEN("a page that is evicted is in memory");
	if (io->asked == page + 1) {
		read_failed(g, io, p);
		return;
	}
	if (p->ended || p->wait || p->now < io->retry_at)
		return;
	n = pagein_hold(g, page, max);
	p->ended = n == 0;
	if (n == 0)
		return;
	if (io->asked == 0)
		io->asked = page + 1;
	g->blockmap.of[io->disk->number - DRUM_IMAGE_FIRST].count.brought_in += n;
}

/* => false: pages live there */
static bool clear_block(struct guest *g, struct blockmap_io *io, uint64_t block, struct pass *p)
{
	struct blocktable *t = &g->blockmap.t;
	uint32_t i = blocktable_at(t, (struct block_id){ io->disk->number, block }), next;
	bool any = false;

	for (; i != BLOCKTABLE_NONE; i = next) {
		struct block_record r = blocktable_get(t, i);

		next = blocktable_next(t, i);
		if (!r.evicted)
			blocktable_drop(t, i);
		else
			bring_in(g, io, r.page, block, p);
		any |= r.evicted;
	}
	return !any;
}

/* => 0: no page lives in its blocks, and none will; 1: not yet; or -errno: never */
static int go_on(struct guest *g, struct blockmap_io *io, uint64_t now)
{
	struct blockmap *m = &g->blockmap;
	struct pass p = { .now = now };
	uint64_t block = io->at;
	uint32_t looks = LOOKS;
	bool missing = false;

	if (m->unlisted > 0)
		return 1;
	if (!m->ready)
		return 0;
	if (io->asked && !is_evicted(g, io->asked - 1)) {
		io->asked = io->failing = io->retry_at = 0;
		io->since = now;
	}
	p.wait = pageout_over_limit(g) && now - io->since < LIMIT_WAIT_NS;
	while (!p.ended && !p.err) {
		block = blocktable_seek(&m->t, (struct block_id){ io->disk->number, block },
					io->end, &looks);
		if (block < io->end && looks > 0 && clear_block(g, io, block, &p)) {
			block++;
			continue;
		}
		if (!missing)
			io->at = block;
		missing = true;
		if (block == io->end || looks == 0)
			break;
		block++;
	}
	g->again |= looks == 0;
	if (p.err)
		return p.err;
	return io->at < io->end;
}

int blockmap_begin(struct guest *g, struct disk *disk, struct blockmap_io *io, bool change,
		   uint64_t off, uint64_t len)
{
	struct blockmap *m = &g->blockmap;
	int ret = 0;

	io->disk = NULL;
	if (disk->number == 0 || len == 0)
		return 0;
	io->disk = disk;
	io->block = io->at = off >> PAGE_SHIFT;
	io->end = (off + len - 1) / PAGE_SIZE + 1;
	io->change = change;
	io->mixed = io->waiting = false;
	io->asked = io->failing = io->retry_at = 0;
	for (struct blockmap_io *o = m->ios; o; o = o->next)
		if ((change || o->change) && o->disk == disk && o->block < io->end &&
		    io->block < o->end)
			o->mixed = io->mixed = true;
	io->prev = NULL;
	io->next = m->ios;
	if (m->ios)
		m->ios->prev = io;
	m->ios = io;
	if (!change)
		return 0;
	io->since = clock_ns();
	ret = go_on(g, io, io->since);
	io->waiting = ret != 0;
	m->waiting += io->waiting;
	return io->waiting;
}

void blockmap_note(struct guest *g, struct blockmap_io *io, uint64_t page, uint64_t block,
		   const struct block_hash *hash)
{
	struct block_record r = { .page = page, .hashed = true, .hash = *hash };

	if (!io->disk || io->mixed || !blockmap_may_note(g, io->disk))
		return;
	assert(block >= io->block && block < io->end && page < g->npages);
	r.at = (struct block_id){ io->disk->number, block };
	/* one that was given back meanwhile, and has left for another block, stays there */
	(void)blocktable_put(&g->blockmap.t, &r);
}

void blockmap_end(struct guest *g, struct blockmap_io *io, int err)
{
	struct blockmap *m = &g->blockmap;

	if (!io->disk)
		return;
	if (io->waiting)
		m->waiting--;
	else if (io->change && err)
		io->disk->no_map_until = clock_ns() + DRUM_HOLD_NS;
	if (io->prev)
		io->prev->next = io->next;
	else
		m->ios = io->next;
	if (io->next)
		io->next->prev = io->prev;
	io->waiting = false;
	io->disk = NULL;
}

void blockmap_io_step(struct guest *g, uint64_t now)
{
	struct blockmap *m = &g->blockmap;

	/* a ready may begin or end others: then the rest is looked at in the next step */
	for (struct blockmap_io *io = m->ios; io; io = io->next) {
		int ret;

		if (!io->waiting)
			continue;
		ret = go_on(g, io, now);
		if (ret == 1)
			continue;
		io->waiting = false;
		m->waiting--;
		g->again |= m->waiting > 0;
		io->ready(io, ret);
		return;
	}
}
