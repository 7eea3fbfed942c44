/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A fault is served by the state of its page; the flags of the event are not
 * asked, since the page may have changed between the fault and our reading
 * of it.  (That it is a write is a hint: a clean copy would be of no use.)
 * Serving ends in one of: the page is mapped and its waiters are awake; it waits in
 * a page-in; it is parked.
 *
 * Parked is a fault that cannot be served now, because
 *	- the address space is changing (EAGAIN): an event is waiting to be
 *	  read, or the thread that raised it has not gone on yet; tried again
 *	  after the next look at the events;
 *	- all page-ins are busy: tried again when one is done;
 *	- the guest is at its limit: tried again when page-out has made room, or
 *	  served over the limit after LIMIT_WAIT_NS.  It must not wait without
 *	  end: making room needs a thread of the VMM to be stopped, and that may
 *	  be the one that waits here.
 * If the table of parked faults is full, a fault is forgotten, and when
 * there is room all waiters are woken: they fault anew.
 *
 * REMOVE says that a process has zapped a range, by order of the keeper or
 * because the guest gave memory back (balloon, free page reporting; the VMM
 * punches first).  For a page that was in the memfd, the memfd tells which:
 * if it is gone there it was given back.  For a swapped page nothing tells,
 * so within a zap that is under way nothing swapped is taken for given back;
 * at worst a block stays in use until the page is touched.  Nor is it where the
 * resident pages of the same range turn out not to be given back: no VMM
 * that we know zaps its RAM like that, and the guest is quarantined.  But what was
 * mapped untouched proves nothing: it may have been read ahead, or filled with zeros,
 * between the punch and the REMOVE.  Where only that is there, what is on swap
 * stays, and the guest goes on.
 */

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/point.h"
#include "vmm/guest.h"
#include "vmm/uffd.h"

#define LIMIT_WAIT_NS (10 * NSEC_PER_MSEC)
#define AGAIN_NS      (30 * NSEC_PER_USEC)

/* Between looks for a free page-in, when none has come for long. */
#define LATE_NS NSEC_PER_MSEC

/* Holes that are filled along with one, forward to a multiple of it: as much as the
 * kernel maps around a fault of a file's page. */
#define AROUND_PAGES 16u

/* Pages that are still there after a REMOVE: a vCPU may touch one or two before the
 * VMM gets from the punch to the madvise. */
#define BARE_PAGES 16u
#define BARE_NS	   (100 * NSEC_PER_MSEC) /* for the punch to come after it */

/* => why what ended with this error is to be tried again */
static enum stall_why later(ssize_t err)
{
	return err == -ENOMEM ? STALL_NO_MEMORY : STALL_CHANGING;
}

static void page_is_mapped(struct guest *g, uint64_t page)
{
	enum page_state s = page_get(&g->pages, page);

	if (s == PAGE_INACTIVE)
		windows_back(&g->windows, page);
	if (s != PAGE_ACTIVE)
		replay_touched(g, page);
	if (s != PAGE_ACTIVE || page_is_zapping(&g->pages, page) ||
	    page_is_untouched(&g->pages, page))
		page_set(&g->pages, page, PAGE_ACTIVE);
	sample_touch(&g->sample, page);
}

/* Pages from `page` on are mapped, all but the first untouched. */
static void run_is_mapped(struct guest *g, uint64_t page, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		page_is_mapped(g, page + i);
		if (i > 0)
			page_mark_untouched(&g->pages, page + i);
	}
}

/* Pages from `page` on and below `to`, all in state s, that may be mapped together with it. */
static uint64_t around(const struct guest *g, const struct mapper *mp, uint64_t page,
		       uint64_t addr, enum page_state s, uint64_t to)
{
	if (to > g->npages)
		to = g->npages;
	to = sample_reach(&g->sample, page + 1, to);
	to = page + page_run(&g->pages, page, to, s);
	/* the mapping may end before */
	while (to > page + 1 &&
	       mapper_page(mp, addr + ((to - 1 - page) << PAGE_SHIFT)) != to - 1)
		to--;
	return to - page;
}

void fault_map_untouched(struct guest *g, unsigned int m, uint64_t page, uint64_t n)
{
	struct mapper *mp = &g->mapper[m];
	uint64_t addr = mp->used && n > 0 ? mapper_addr(mp, page) : 0;
	ssize_t done;

	if (addr == 0 || sample_reach(&g->sample, page, page + 1) == page ||
	    page_get(&g->pages, page) != PAGE_INACTIVE)
		return;
	n = around(g, mp, page, addr, PAGE_INACTIVE, page + n);
	done = uffd_continue(mp->uffd, addr, n << PAGE_SHIFT);
	/* what is not mapped costs a fault */
	for (uint64_t i = 0; done > 0 && i < (uint64_t)done >> PAGE_SHIFT; i++) {
		page_set(&g->pages, page + i, PAGE_ACTIVE);
		page_mark_untouched(&g->pages, page + i);
		/* it may be touched from now on, and no fault would tell */
		sample_touch(&g->sample, page + i);
	}
}

/* Holes are filled ahead only where somebody walks forward. */
static uint64_t around_hole(const struct guest *g, const struct mapper *mp, uint64_t page,
			    uint64_t addr)
{
	if (page == 0 || page_get(&g->pages, page - 1) == PAGE_HOLE || pageout_over_limit(g))
		return 1;
	return around(g, mp, page, addr, PAGE_HOLE, (page | (AROUND_PAGES - 1)) + 1);
}

static enum stall_why serve_hole(struct guest *g, struct mapper *mp, uint64_t page,
				 uint64_t addr)
{
	uint64_t n = around_hole(g, mp, page, addr);
	ssize_t done = uffd_zero(mp->uffd, addr, n << PAGE_SHIFT);

	if (done == -EEXIST) {
		/* it is there after all: put there through a descriptor */
		page_is_mapped(g, page);
		done = uffd_continue(mp->uffd, addr, PAGE_SIZE);
		if (done == -EEXIST)
			uffd_wake(mp->uffd, addr, PAGE_SIZE);
		return done > 0 || done == -EEXIST || done == -ESRCH ? STALL_NONE : later(done);
	}
	/* the run may leave a mapping that the page itself is in */
	if (done < 0 && done != -EAGAIN && n > 1)
		done = uffd_zero(mp->uffd, addr, PAGE_SIZE);
	if (done == -EAGAIN || done == -ENOMEM)
		return later(done);
	point_crash("fault-zero");
	if (done > 0)
		run_is_mapped(g, page, (uint64_t)done >> PAGE_SHIFT);
	return STALL_NONE; /* or the process is going, and the fault with it */
}

static enum stall_why serve_resident(struct guest *g, struct mapper *mp, uint64_t page,
				     uint64_t addr)
{
	enum page_state s = page_get(&g->pages, page);
	struct readahead_ask ask = { 0 };
	unsigned int m = (unsigned int)(mp - g->mapper);
	uint64_t n = 1;
	ssize_t done;

	if (s == PAGE_INACTIVE)
		ask = readahead_touch(&g->readahead, page, g->npages, false);
	if (ask.sure && ask.step == 1)
		n = around(g, mp, page, addr, s, ask.from);
	done = uffd_continue(mp->uffd, addr, n << PAGE_SHIFT);
	if (done < 0 && done != -EAGAIN && n > 1)
		done = uffd_continue(mp->uffd, addr, PAGE_SIZE);
	if (done == -EFAULT) {
		/* not in the memfd any more: the guest gave it back */
		kept_drop(g, page);
		blockmap_page_overwritten(g, page);
		page_set(&g->pages, page, PAGE_HOLE);
		counter_add(&g->count.pages_discarded, 1);
		return serve_hole(g, mp, page, addr);
	}
	if (done == -EAGAIN || done == -ENOMEM) {
		pagein_ahead(g, &ask, 0, m);
		return later(done);
	}
	if (done == -EEXIST) {
		uffd_wake(mp->uffd, addr, PAGE_SIZE);
		done = PAGE_SIZE;
	}
	if (done > 0)
		run_is_mapped(g, page, (uint64_t)done >> PAGE_SHIFT);
	point_crash("fault-mapped");
	if (ask.sure && ask.step == -1)
		fault_map_untouched(g, m, ask.from + 1, page - ask.from - 1);
	pagein_ahead(g, &ask, 0, m);
	return STALL_NONE;
}

static void park(struct guest *g, const struct parked *p)
{
	if (g->nparked < PARKED_MAX)
		g->parked[g->nparked++] = *p;
	else
		g->parked_lost = true;
}

static void on_swap_touched(struct guest *g, uint64_t page, uint64_t now)
{
	replay_touched(g, page);
	if (g->replay.armed)
		replay_fault(g, page, now);
}

static void count_refault(struct guest *g, uint64_t page, uint64_t now)
{
	enum refault r = windows_refault(&g->windows, page, now);

	if (r != REFAULT_NONE)
		counter_add(&g->count.refaults, 1);
	if (r == REFAULT_1S)
		counter_add(&g->count.refaults_1s, 1);
}

/* => STALL_NONE: it was; else it is to be parked */
static enum stall_why serve(struct guest *g, const struct parked *p, uint64_t now)
{
	struct mapper *mp = &g->mapper[p->mapper];
	uint64_t page = mapper_page(mp, p->addr);
	enum page_state s;
	enum stall_why how = STALL_NONE;

	if (page == UINT64_MAX)
		return STALL_NONE; /* not registered by us: cannot be */
	s = page_get(&g->pages, page);
	if ((s == PAGE_HOLE || s == PAGE_SWAPPED) && pageout_over_limit(g) &&
	    now - p->since < LIMIT_WAIT_NS) {
		stall_wait(g, p->tid, page, STALL_LIMIT);
		return STALL_LIMIT;
	}
	switch (s) {
	case PAGE_HOLE:
		how = serve_hole(g, mp, page, p->addr);
		break;
	case PAGE_ACTIVE:
	case PAGE_INACTIVE:
	case PAGE_WRITING:
		if (p->write)
			kept_drop(g, page);
		how = serve_resident(g, mp, page, p->addr);
		break;
	case PAGE_SWAPPED:
		stall_wait(g, p->tid, page, STALL_READ);
		if (!pagein_fault(g, page, p->mapper, p->since, p->write)) {
			stall_wait(g, p->tid, page, STALL_NO_PAGEIN);
			return STALL_NO_PAGEIN;
		}
		count_refault(g, page, now);
		on_swap_touched(g, page, now);
		counter_add(&g->count.faults[s], 1);
		return STALL_NONE; /* its time is taken when it is filled */
	case PAGE_READING:
		stall_wait(g, p->tid, page, STALL_READ);
		pagein_join(g, page, p->mapper, p->since, p->write);
		on_swap_touched(g, page, now);
		counter_add(&g->count.faults[s], 1);
		return STALL_NONE;
	case PAGE_STATES:
		break;
	}
	if (how) {
		stall_wait(g, p->tid, page, how);
		g->again = true;
		return how;
	}
	counter_add(&g->count.faults[s], 1);
	now = clock_ns();
	stall_end(g, p->tid, page, now);
	hist_add(&g->fault_hist, now - p->since);
	return STALL_NONE;
}

static bool is_resident(enum page_state s)
{
	return s == PAGE_ACTIVE || s == PAGE_INACTIVE || s == PAGE_WRITING;
}

/* The page is not in the memfd.  swapped: and what is on swap was given back too. */
static void discarded(struct guest *g, uint64_t page, bool swapped)
{
	enum page_state s = page_get(&g->pages, page);
	uint64_t word;

	if (s == PAGE_HOLE || (!is_resident(s) && !swapped))
		return;
	if (s == PAGE_SWAPPED) {
		word = object_pop(g->object, page);
		page_set(&g->pages, page, PAGE_HOLE);
		blockmap_free(g, page, word, NULL);
	} else if (s == PAGE_READING) {
		pagein_discard(g, page);
	} else {
		/* of one that is being written the block is given back when that ends */
		kept_drop(g, page);
		blockmap_page_overwritten(g, page);
		page_set(&g->pages, page, PAGE_HOLE);
	}
	counter_add(&g->count.pages_discarded, 1);
}

/*
 * Has the VMM zapped this range without giving it back?  Then what the guest uses
 * there is still in the memfd.  Not asked are inactive pages: they may have
 * been read ahead into what was given back a moment ago.  proven: nor are pages that were
 * mapped so; then what is left was there before.
 */
static bool is_bare_zap(struct guest *g, uint64_t page, uint64_t end, bool proven)
{
	uint64_t there = 0, gone = 0, next;
	bool data;

	for (; page < end; page = next) {
		next = ram_extent(g, page, end, &data);
		for (uint64_t p = page; p < next; p++) {
			enum page_state s = page_get(&g->pages, p);

			there += data && s == PAGE_ACTIVE &&
				 !(proven && page_is_untouched(&g->pages, p));
			gone += !data && is_resident(s);
		}
	}
	return there >= BARE_PAGES && there > gone;
}

/* The holes of the range were given back: those that were resident, or all. */
static void discard_holes(struct guest *g, uint64_t page, uint64_t end, bool swapped)
{
	uint64_t next;
	bool data;

	for (; page < end; page = next) {
		next = ram_extent(g, page, end, &data);
		for (uint64_t p = page; !data && p < next; p++)
			discarded(g, p, swapped);
	}
}

/* Where the mapping of an address ends: the VMM may have something else behind it. */
static uint64_t end_of_mapping(const struct mapper *mp, uint64_t addr)
{
	for (uint32_t i = 0; i < mp->nranges; i++)
		if (addr >= mp->range[i].start && addr - mp->range[i].start < mp->range[i].len)
			return mp->range[i].start + mp->range[i].len;
	return addr;
}

static void serve_remove(struct guest *g, const struct mapper *mp, const struct uffd_event *ev)
{
	uint64_t page = mapper_page(mp, ev->addr), limit = end_of_mapping(mp, ev->addr), end;

	if (page == UINT64_MAX)
		return;
	end = page + (((ev->end < limit ? ev->end : limit) - ev->addr) >> PAGE_SHIFT);
	/* Only the VMM itself gives guest memory back; another process that
	 * zaps its mapping merely lets go of it. */
	if (hands_in_zap(g, page, end - page) || mp->pid != g->pid)
		return;
	if (!is_bare_zap(g, page, end, false)) {
		discard_holes(g, page, end, true);
		return;
	}
	/* What the guest takes back until the second look would pass for a proof then. */
	if (!is_bare_zap(g, page, end, true)) {
		discard_holes(g, page, end, false);
		return;
	}
	/* It may be about to punch (MADV_REMOVE tells first).  What is on swap stays:
	 * later nobody could say from when it is.  One range is enough to judge by; what
	 * lies between two was not zapped.  Holes that nobody looked at show when they
	 * are touched. */
	if (g->bare_at)
		return;
	g->bare = (struct span){ page, end - page };
	g->bare_at = clock_ns() + BARE_NS;
}

void fault_look_again(struct guest *g, uint64_t now)
{
	uint64_t page = g->bare.page, end = page + g->bare.n;

	if (g->bare_at == 0 || now < g->bare_at)
		return;
	g->bare_at = 0;
	if (is_bare_zap(g, page, end, true))
		job_quarantine(g, "its VMM zaps its RAM without giving it back (madvise "
				  "without a punch), so what is given back cannot be told");
	else
		discard_holes(g, page, end, false);
}

/* What is being left takes no more faults: the next pager wakes all who wait, and they
 * fault anew.  But a zap under way may need the VMM's thread that waits here. */
static bool left_to_the_next(const struct guest *g)
{
	return g->job == JOB_LEAVE && !g->zap.busy;
}

void fault_events(struct guest *g, struct mapper *mp)
{
	struct uffd_event ev[16];
	uint64_t now;
	int n;

	mp->readable = false;
	n = uffd_read(mp->uffd, ev, 16);
	if (n <= 0)
		return;
	/* perhaps more: look again before sleeping */
	mp->readable = n == 16;
	now = clock_ns();
	/* all of them wait while the first is served */
	for (int i = 0; i < n; i++)
		if (ev[i].type == UFFD_FAULT && !left_to_the_next(g))
			stall_begin(g, mp, ev[i].tid, ev[i].addr, now);
	for (int i = 0; i < n; i++) {
		struct parked p = { ev[i].addr, now,	     (uint8_t)(mp - g->mapper),
				    0,		ev[i].write, ev[i].tid };

		if (ev[i].type == UFFD_REMOVE)
			serve_remove(g, mp, &ev[i]);
		else if (!left_to_the_next(g) && (p.why = (uint8_t)serve(g, &p, now)))
			park(g, &p);
	}
	/* what ram: has read ahead for them */
	ring_deliver(g->ring);
}

void fault_retry(struct guest *g)
{
	unsigned int n = g->nparked;
	uint64_t now;

	if ((n == 0 && !g->parked_lost) || left_to_the_next(g))
		return;
	now = clock_ns();
	/* those that stay are put back in their order */
	g->nparked = 0;
	for (unsigned int i = 0; i < n; i++) {
		struct parked p = g->parked[i];

		if ((p.why = (uint8_t)serve(g, &p, now)))
			park(g, &p);
	}
	if (g->parked_lost && g->nparked < PARKED_MAX / 2) {
		g->parked_lost = false;
		ram_wake_all(g);
	}
}

uint64_t fault_patience(const struct guest *g, uint64_t now)
{
	uint64_t left;

	if (g->again)
		return AGAIN_NS;
	if (g->nparked == 0)
		return UINT64_MAX;
	left = g->parked[0].since + LIMIT_WAIT_NS;
	return left > now ? left - now : LATE_NS;
}
