/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * `guest out` is for guests that are idle.  Some day such a guest is used again, and then it
 * needs what it was using before, at once, and not all of it.  So the working set is recorded
 * (wset.h) before anything is zapped, written last, and read first:
 *
 *	out	record > all else is written > the working set is written
 *	in	the working set, then all else
 *	burst	the guest is used while it is out: the working set is read behind its back
 *
 * What the working set is: pages that are active, for the others have been without a mapping
 * and nobody has asked for them.  That says much of a guest that was at its limit, or that was
 * out before, where active is what it has touched since.  Of one from which nothing was ever
 * taken it says nothing.  There the sample (sample.h) is asked as well: a page around which it
 * has seen nothing touched for half an hour, or for as long as it has looked, does not belong
 * to it.  The sample looks at few places, so that goes for guests of 2 GiB at most; in a
 * larger one all that is active is recorded.  Whatever is touched while the guest goes out
 * belongs to it.  If the guest was not used since it was last out, or its working set was still
 * being read, what was recorded then stays recorded.
 *
 * While all else is written the back hand passes over the working set, which stays inactive.
 * What of it is touched becomes active; so the front hand goes round twice.  It is written in
 * one go, in the order of the pages: neighbours are neighbours on swap, and what belongs to it
 * lies together, as far as the drum has such room.
 *
 * When has an idle guest come back?  Its kernel never rests: a timer touches a page now and
 * then, and that must not bring in all of it.  So it takes REPLAY_BURST faults on pages of the
 * working set within REPLAY_BURST_NS, and no such burst for REPLAY_QUIET_NS before, or since
 * the `guest out` has ended.  Since when it rests is in the file too, and counts on over a
 * restart.
 *
 * What is read so is put into the memfd and not mapped: it is inactive, as with any read ahead.
 * It comes after all other reads: while REPLAY_READS are in flight, for whatever reason, it
 * adds none, and it keeps to the limit of reads ahead (pagein_prefetch).  It brings in no page
 * for which page-out would have to take another.  It ends when all was looked at once, when
 * there was no room for REPLAY_ROOM_NS, or with another job.  Pages are looked at by their
 * state: what is no longer on swap is passed over, so it does no harm that the guest goes on
 *meanwhile, or that the record is wrong.  If the pager dies meanwhile the next one begins anew,
 * and passes over what is there.
 *
 * The file is made when the guest is attached, for a worker asks for no memory later.  One that
 * cannot be made is told, and the guest goes out without.
 */

#include "vmm/replay.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/point.h"
#include "vmm/guest.h"

#define RECORD_PAGES 32768u /* that one step records: some 50 us */
#define LOOK_RUNS    1024u  /* runs of recorded pages that one step looks at */

static void file_name(const struct guest *g, char name[GUEST_NAME_MAX + 16])
{
	snprintf(name, GUEST_NAME_MAX + 16, "guest-%s.wset", g->name);
}

/* The stats' figure, for any thread. */
static void publish(struct guest *g)
{
	__atomic_store_n(&g->recorded, g->replay.set.count, __ATOMIC_RELAXED);
}

static void set_use(struct guest *g, enum wset_use use, uint64_t since)
{
	struct replay *r = &g->replay;

	wset_set_use(&r->set, use, since);
	r->armed = wset_is_open(&r->set) && use == WSET_ARMED;
	r->going = wset_is_open(&r->set) && use == WSET_REPLAY;
	r->burst = 0;
	r->next = 0;
}

/* What an earlier pager has recorded. => false: nothing that could be used */
static bool take_over(struct guest *g, const char *name, uint64_t now)
{
	struct replay *r = &g->replay;
	struct err e = { 0 };
	int ret = wset_open(&r->set, g->dir_fd, name, g->npages, &e);
	uint64_t since;

	if (ret < 0) {
		if (ret != -ENOENT)
			log_warn("guest %s: what its working set was is not known: %s", g->name,
				 e.text);
		return false;
	}
	since = wset_since(&r->set);
	set_use(g, wset_use(&r->set), since < now ? since : now);
	r->begun = r->room_at = now;
	publish(g);
	return true;
}

void replay_init(struct guest *g, uint64_t now)
{
	char name[GUEST_NAME_MAX + 16];
	int ret;

	file_name(g, name);
	if (g->adopted && take_over(g, name, now))
		return;
	ret = wset_create(&g->replay.set, g->dir_fd, name, g->npages);
	if (ret < 0)
		log_warn("guest %s: its working set cannot be recorded: %s: %s", g->name, name,
			 strerror(-ret));
}

void replay_fini(struct guest *g)
{
	wset_close(&g->replay.set);
}

/* --- out -------------------------------------------------------------------------------- */

void replay_out_begin(struct guest *g)
{
	struct replay *r = &g->replay;

	r->ever = wset_use(&r->set) != WSET_NEW;
	r->keep = r->armed || r->going;
	set_use(g, WSET_IDLE, 0);
	r->phase = wset_is_open(&r->set) ? OUT_RECORD : OUT_LAST;
	r->passed = 0;
	point_crash("wset-begun");
}

static bool is_used(const struct guest *g, uint64_t page, bool ask_sample)
{
	return page_get(&g->pages, page) == PAGE_ACTIVE &&
	       !(ask_sample && sample_is_idle(&g->sample, page));
}

static void record(struct guest *g, uint64_t page, bool ask_sample)
{
	struct replay *r = &g->replay;
	uint64_t old = r->keep ? wset_get(&r->set, page) : 0, bits = 0;

	for (unsigned int k = 0; k < WSET_BITS && page + k < g->npages; k++)
		if (is_used(g, page + k, ask_sample) ||
		    ((old >> k & 1) && page_get(&g->pages, page + k) != PAGE_HOLE))
			bits |= UINT64_C(1) << k;
	wset_put(&r->set, page, bits);
}

bool replay_out_recorded(struct guest *g)
{
	struct replay *r = &g->replay;
	bool ask_sample = !r->ever && g->count.pages_out + g->count.pages_clean == 0;
	uint64_t end = r->next + RECORD_PAGES < g->npages ? r->next + RECORD_PAGES : g->npages;

	if (r->phase != OUT_RECORD)
		return true;
	for (; r->next < end; r->next += WSET_BITS)
		record(g, r->next, ask_sample);
	if (r->next < g->npages)
		return false;
	publish(g);
	r->phase = OUT_COLD;
	point_crash("wset-recorded");
	return true;
}

bool replay_is_later(const struct guest *g, uint64_t page)
{
	return g->job == JOB_OUT && g->replay.phase == OUT_COLD &&
	       wset_has(&g->replay.set, page);
}

void replay_passed(struct guest *g, uint64_t from)
{
	uint64_t to = g->back > from ? g->back : g->back + g->npages;

	g->replay.passed += to - from;
}

void replay_zapped(struct guest *g)
{
	g->replay.passed = 0;
}

bool replay_seen_all(const struct guest *g)
{
	return g->job == JOB_OUT && g->replay.phase == OUT_COLD &&
	       g->replay.passed >= g->npages + WINDOW_PAGES;
}

bool replay_out_next(struct guest *g)
{
	struct replay *r = &g->replay;

	if (r->phase != OUT_COLD || g->job_left > 0 || g->zap.busy || pageout_busy(g) > 0 ||
	    (pages_takeable(&g->pages) > 0 && !replay_seen_all(g)))
		return false;
	r->phase = OUT_LAST;
	g->back = 0;
	if (r->set.count > 0)
		g->job_left = g->npages;
	return true;
}

void replay_out_end(struct guest *g, uint64_t now)
{
	const struct replay *r = &g->replay;

	/* of half a record nothing can be said; if all was out already, it is the last one's */
	if (r->phase == OUT_RECORD && (r->next > 0 || !r->keep))
		return;
	set_use(g, WSET_ARMED, now);
	publish(g);
}

/* --- in --------------------------------------------------------------------------------- */

/* => false: it cannot go on now; at most `room` pages are read, which it lowers */
static bool read_on(struct guest *g, uint64_t *room, unsigned int reads)
{
	struct replay *r = &g->replay;

	for (unsigned int i = 0; i < LOOK_RUNS && r->next < g->npages; i++) {
		uint32_t most = *room < PAGEIN_PAGES ? (uint32_t)*room : PAGEIN_PAGES, n;
		uint64_t page = wset_next(&r->set, r->next, g->npages);
		uint32_t got;

		if (*room == 0)
			return true;
		n = wset_run(&r->set, page, most);
		r->next = page;
		while (n > 0 && page_get(&g->pages, r->next) != PAGE_SWAPPED) {
			r->next++;
			n--;
		}
		if (n == 0)
			continue;
		if (pagein_busy(g) >= reads)
			return false;
		got = pagein_prefetch(g, r->next, n);
		if (got == 0)
			return false;
		/* what it did not get to is looked at again */
		r->next++;
		*room -= got < *room ? got : *room;
		r->pages += got;
		counter_add(&g->count.pages_replayed, got);
	}
	return true;
}

void replay_in_begin(struct guest *g)
{
	if (wset_use(&g->replay.set) != WSET_NEW)
		set_use(g, WSET_IDLE, 0);
	g->replay.next = 0;
	g->replay.ahead = wset_is_open(&g->replay.set);
}

bool replay_in_step(struct guest *g)
{
	struct replay *r = &g->replay;
	uint64_t room = UINT64_MAX;

	if (!r->ahead)
		return true;
	if (!read_on(g, &room, PAGEINS_MAX))
		return false;
	r->ahead = r->next < g->npages;
	return !r->ahead;
}

/* --- a burst ---------------------------------------------------------------------------- */

void replay_touched(struct guest *g, uint64_t page)
{
	if (g->job == JOB_OUT && g->replay.phase != OUT_RECORD)
		wset_add(&g->replay.set, page);
}

void replay_fault(struct guest *g, uint64_t page, uint64_t now)
{
	struct replay *r = &g->replay;
	uint64_t since = wset_since(&r->set);

	if (!wset_has(&r->set, page))
		return;
	if (r->burst == 0 || now - r->burst_since > REPLAY_BURST_NS) {
		r->burst = 0;
		r->burst_since = now;
	}
	if (++r->burst < REPLAY_BURST)
		return;
	if (now < since || now - since < REPLAY_QUIET_NS) {
		/* the end of being out, or of a shorter rest */
		set_use(g, WSET_ARMED, now);
		return;
	}
	log_info("guest %s: it is in use again, its working set of %llu MiB is read", g->name,
		 (unsigned long long)r->set.count >> 8);
	set_use(g, WSET_REPLAY, now);
	r->begun = r->room_at = now;
	r->pages = 0;
}

void replay_step(struct guest *g, uint64_t now)
{
	struct replay *r = &g->replay;
	uint64_t room;

	if (!r->going || g->job != JOB_NONE || g->state != GUEST_RUNNING)
		return;
	room = pageout_spare(g);
	if (room > 0) {
		r->room_at = now;
		if (!read_on(g, &room, REPLAY_READS))
			return;
	}
	/* a grant follows what is in use, and comes once a second */
	if (r->next < g->npages && now - r->room_at < REPLAY_ROOM_NS) {
		g->more = room > 0;
		return;
	}
	log_info("guest %s: %llu MiB of its working set were read in %llu ms%s", g->name,
		 (unsigned long long)r->pages >> 8,
		 (unsigned long long)((now - r->begun) / NSEC_PER_MSEC),
		 r->next < g->npages ? ", there is no room for more" : "");
	set_use(g, WSET_IDLE, 0);
}
