/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * The front hand of the clock (pageout.c has the back hand).  It takes whole
 * windows: their active pages are marked as being zapped, and the keeper is asked
 * to have the VMM drop their mappings.  At most one zap is under way.  When it is
 * done, what still has the mark is inactive; a page that was faulted in between
 * has lost it, and is active.
 *
 * A zap stops a thread of the VMM, so it is to be large, and of memory that is not
 * used.  windows.h says which windows are passed over; a round that has found too
 * little makes the first of these due, and goes round once more.  `guest out` passes over none.
 * What is taken only because it is cold (pageout.c) makes none of them due.
 *
 * The hand may go round many times for one zap, and a guest may have 100,000 windows.
 * So a step looks at some of them, and `struct sweep` has what was gathered and where
 * the round stands.  Only places are gathered: pages are marked when the keeper is
 * asked, for a mark takes another off (PAGE_UNTOUCHED) and faults come in between.  The
 * sample's zap may come in between as well.
 *
 * The sample (sample.h) is zapped once a second, some pages, also of a guest
 * that is not limited.  These are inactive pages as any others: the back hand may
 * take them.
 *
 * Pages that are pinned are passed over.  The hand looks at them again as it
 * comes by, which needs no zap.
 */

#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/point.h"
#include "vmm/guest.h"

#define LOOK_PAGES   PIN_BATCH /* that one look for pins takes */
#define STEP_WINDOWS 1024u     /* that the front hand looks at in one step: some 35 us */
#define AGAIN_MAX    2048u     /* pinned pages that are looked at again at once */
#define COLD_SHARE   4u	       /* cold pages weigh a fourth in a zap */
#define LOOK_NS	     (100 * NSEC_PER_MSEC) /* between looks for what of the sample has ended */
#define REST_NS	     (60 * NSEC_PER_SEC)   /* of the sample, after a zap that failed */
#define REFUSED_NS   (100 * NSEC_PER_MSEC) /* between zaps that fail */

bool hands_in_zap(const struct guest *g, uint64_t page, uint64_t n)
{
	if (!g->zap.busy)
		return false;
	for (uint32_t i = 0; i < g->zap.nspans; i++) {
		const struct span *s = &g->zap.span[i];

		if (page >= s->page && page + n <= s->page + s->n)
			return true;
	}
	return false;
}

/* Pinned pages, which both hands leave alone. */

uint32_t hands_mark_pinned(struct guest *g, uint64_t *page, uint32_t n)
{
	uint64_t pinned = ram_pinned(g, page, n);
	uint32_t free = 0;

	for (uint32_t k = 0; k < n; k++) {
		bool is = pinned >> k & 1;

		page_mark_pinned(&g->pages, page[k], is);
		if (!is)
			page[free++] = page[k];
	}
	return free;
}

uint64_t hands_look_again(struct guest *g, uint64_t from, uint64_t to)
{
	uint64_t at = page_find_pinned(&g->pages, from, to), page[LOOK_PAGES];
	uint32_t left = AGAIN_MAX;

	while (at < to && left > 0) {
		uint64_t end = (at / WINDOW_PAGES + 1) * WINDOW_PAGES;
		uint32_t n = 0;

		/* no further than the window: they must be of one memfd */
		if (end > to)
			end = to;
		for (; at < end && n < LOOK_PAGES; at = page_find_pinned(&g->pages, at, end))
			page[n++] = at++;
		hands_mark_pinned(g, page, n);
		left -= n < left ? n : left;
		if (at == end)
			at = page_find_pinned(&g->pages, at, to);
	}
	return at;
}

/* The front hand. */

/* => how many pages of a window, or of a part of one, are active, and their span; `mark`:
 * they are about to be zapped */
static uint64_t take_pages(struct guest *g, uint64_t page, uint64_t end, bool mark,
			   struct span *span)
{
	uint64_t n = 0, first = 0, last = 0;

	for (uint64_t i = page_find(&g->pages, page, end, PAGE_ACTIVE); i < end;
	     i = page_find(&g->pages, i + 1, end, PAGE_ACTIVE)) {
		if (mark)
			page_mark_zapping(&g->pages, i);
		if (n++ == 0)
			first = i;
		last = i;
	}
	*span = (struct span){ first, last - first + 1 };
	return n;
}

/* 0 is none, and the last one that of an earlier keeper. */
static uint32_t next_zap(struct guest *g)
{
	g->zap.seq = g->zap.seq >= UINT32_MAX - 1 ? 1 : g->zap.seq + 1;
	return g->zap.seq;
}

static void send_zap(struct guest *g)
{
	struct proto_msg m = { .type = MSG_ZAP, .seq = next_zap(g) };

	for (uint32_t i = 0; i < g->zap.nspans; i++) {
		const struct span *s = &g->zap.span[i];
		const struct region *r = ram_region(g, s->page);

		m.u.ram.range[i] = (struct proto_range){
			.memfd = (uint32_t)(r - g->region),
			.off = (s->page - r->first) << PAGE_SHIFT,
			.len = s->n << PAGE_SHIFT,
		};
	}
	m.u.ram.nranges = g->zap.nspans;
	g->zap.busy = true;
	g->zap.since = clock_ns();
	point_crash("zap-asked");
	if (guest_send(g, &m) < 0) {
		m.err.code = -EPIPE;
		m.type = MSG_ZAPPED;
		hands_zapped(g, &m);
	}
}

/* Neighbouring windows are zapped as one range: that is one REMOVE event. */
static void add_span(struct guest *g, const struct span *new)
{
	struct sweep *s = &g->sweep;
	struct span *last = s->nspans > 0 ? &s->span[s->nspans - 1] : NULL;

	if (last && new->page / WINDOW_PAGES == (last->page + last->n - 1) / WINDOW_PAGES + 1 &&
	    ram_region(g, new->page) == ram_region(g, last->page))
		last->n = new->page + new->n - last->page;
	else
		s->span[s->nspans++] = *new;
}

static bool is_gathered(const struct sweep *s, uint64_t window)
{
	for (uint32_t i = 0; i < s->nspans; i++)
		if (window >= s->span[i].page / WINDOW_PAGES &&
		    window <= (s->span[i].page + s->span[i].n - 1) / WINDOW_PAGES)
			return true;
	return false;
}

/* Cold pages stay unmapped, so more of them may be taken at once. */
static uint64_t weight(const struct guest *g, uint64_t window, uint64_t pages)
{
	return windows_is_cold(&g->windows, window) ? (pages + COLD_SHARE - 1) / COLD_SHARE
						    : pages;
}

/* What one step may still look at. */
struct left {
	uint32_t windows;
	uint32_t pinned; /* windows that have pinned pages */
};

/* => false: too many pinned pages for this step; it is to go on here */
static bool pass_window(struct guest *g, struct left *left)
{
	struct sweep *s = &g->sweep;
	uint64_t window = g->front / WINDOW_PAGES, n;
	uint64_t end =
		g->front + WINDOW_PAGES < g->npages ? g->front + WINDOW_PAGES : g->npages;
	bool pinned = s->first && page_find_pinned(&g->pages, g->front, end) < end;
	bool active = page_find(&g->pages, g->front, end, PAGE_ACTIVE) < end;
	/* what is hot, a limit may find all the same */
	uint64_t vain = s->first && !s->cold ? WINDOW_PAGES : 0;
	struct span span;

	if (!active && !pinned) {
		g->vain += vain;
		return true;
	}
	if (!s->out && !windows_take(&g->windows, window)) {
		if (active && g->windows.window[window].passes < s->turns)
			s->turns = g->windows.window[window].passes;
		return true;
	}
	if (pinned && left->pinned == 0)
		return false;
	if (pinned) {
		left->pinned--;
		hands_look_again(g, g->front, end);
	}
	/* of what is gathered already is nothing known yet */
	n = is_gathered(s, window) ? 0 : take_pages(g, g->front, end, false, &span);
	if (n > 0) {
		add_span(g, &span);
		s->taken += weight(g, window, n);
	}
	g->vain += vain;
	return true;
}

static void next_window(struct guest *g)
{
	g->sweep.passed += WINDOW_PAGES;
	g->front += WINDOW_PAGES;
	if (g->front >= g->npages)
		g->front = 0;
	if (g->job == JOB_OUT)
		g->job_left -= g->job_left < WINDOW_PAGES ? g->job_left : WINDOW_PAGES;
}

static void begin_sweep(struct guest *g)
{
	struct sweep *s = &g->sweep;

	s->going = s->first = true;
	s->out = g->job == JOB_OUT;
	s->cold = !s->out && g->evict_why == EVICT_COLD;
	s->passed = s->taken = s->nspans = 0;
	s->turns = UINT64_MAX;
}

/* => false: it has been round, and to go round again would find no more */
static bool next_round(struct guest *g)
{
	struct sweep *s = &g->sweep;

	if (s->passed < g->npages)
		return true;
	if (s->turns == UINT64_MAX || s->cold)
		return false;
	/* each time some of those that are passed over are due, so it ends */
	windows_hurry(&g->windows, s->turns);
	s->first = false;
	s->passed = 0;
	s->turns = UINT64_MAX;
	return true;
}

/*
 * Zap what was gathered, as far as it is active now.  That may be more than it was: a
 * sweep may have rested for long.  => whether anything is
 */
static bool zap_gathered(struct guest *g)
{
	struct zap *z = &g->zap;
	uint64_t left = (uint64_t)HANDS_ZAP_MAX * COLD_SHARE;

	z->nspans = z->nunits = 0;
	for (uint32_t i = 0; i < g->sweep.nspans && left > 0; i++) {
		const struct span *s = &g->sweep.span[i];
		uint64_t page = s->page, end = s->page + s->n, to, taken = 0, n;
		struct span span;

		for (; page < end && left > 0; page = to) {
			to = (page / WINDOW_PAGES + 1) * WINDOW_PAGES;
			if (to > end)
				to = end;
			n = take_pages(g, page, to, true, &span);
			if (n > 0)
				windows_zapped(&g->windows, page / WINDOW_PAGES, n);
			taken += n;
			left -= n < left ? n : left;
		}
		if (taken > 0)
			z->span[z->nspans++] = (struct span){ s->page, page - s->page };
	}
	g->sweep.nspans = 0;
	if (z->nspans > 0)
		send_zap(g);
	return z->nspans > 0;
}

void hands_advance(struct guest *g, uint64_t want)
{
	struct sweep *s = &g->sweep;
	struct left left = { STEP_WINDOWS, AGAIN_MAX / WINDOW_PAGES };
	bool all = true;

	if (!s->going || s->out != (g->job == JOB_OUT) ||
	    s->cold != (!s->out && g->evict_why == EVICT_COLD))
		begin_sweep(g);
	if (want > HANDS_ZAP_MAX)
		want = HANDS_ZAP_MAX;
	while (all && s->taken < want && s->nspans < PROTO_RANGES_MAX &&
	       !(s->out && g->job_left == 0) && next_round(g)) {
		if (left.windows-- == 0) {
			g->more = true;
			return;
		}
		all = pass_window(g, &left);
		if (all)
			next_window(g);
	}
	if (!all)
		g->more = true;
	if (!all && s->nspans == 0)
		return;
	s->going = false;
	if (zap_gathered(g) || s->out || !all)
		return;
	if (s->cold)
		g->take.no_more = true;
	else
		g->no_victim = pages_takeable(&g->pages) == 0 && pageout_busy(g) == 0;
}

/* The sample. */

/* The pages of a unit that are not holes, a bit for each. */
static uint8_t unit_there(const struct guest *g, uint32_t unit)
{
	uint64_t first = sample_page(&g->sample, unit);
	uint8_t there = 0;

	for (unsigned int i = 0; i < SAMPLE_PAGES; i++)
		if (page_get(&g->pages, first + i) != PAGE_HOLE)
			there |= (uint8_t)(1u << i);
	return there;
}

static void look_at_sample(struct guest *g, uint64_t now)
{
	struct sample *s = &g->sample;

	if (now < g->look_at)
		return;
	g->look_at = now + LOOK_NS;
	for (uint32_t u = sample_due(s, 0, now); u != SAMPLE_NONE; u = sample_due(s, u, now))
		sample_end(s, u, now, unit_there(g, u));
}

/* Take the mappings of the next units away: some have none. */
static void zap_sample(struct guest *g, uint64_t now, uint32_t units)
{
	struct zap *z = &g->zap;

	z->nspans = z->nunits = 0;
	while (units-- > 0 && z->nspans < PROTO_RANGES_MAX) {
		uint32_t unit = sample_next(&g->sample);
		struct span span;
		uint64_t first;

		if (unit == SAMPLE_NONE)
			break;
		first = sample_page(&g->sample, unit);
		sample_begin(&g->sample, unit, now);
		if (take_pages(g, first, first + SAMPLE_PAGES, true, &span) == 0)
			continue;
		z->unit[z->nunits++] = unit;
		z->span[z->nspans++] = span;
	}
	if (z->nspans > 0)
		send_zap(g);
}

void hands_sample(struct guest *g, uint64_t now)
{
	uint32_t rate = __atomic_load_n(&g->paging->sample, __ATOMIC_RELAXED);

	look_at_sample(g, now);
	if (now < g->sample_at || g->zap.busy || g->state != GUEST_RUNNING ||
	    g->job != JOB_NONE)
		return;
	g->sample_at = now + NSEC_PER_SEC;
	if (rate == 0)
		sample_reset(&g->sample);
	else if (rate < SAMPLE_PAGES)
		g->sample_at = now + NSEC_PER_SEC * SAMPLE_PAGES / rate;
	if (rate > 0)
		zap_sample(g, now, rate < SAMPLE_PAGES ? 1 : rate / SAMPLE_PAGES);
}

static void zap_failed(struct guest *g, const struct err *e)
{
	uint64_t now = clock_ns();

	log_warn("guest %s: pages cannot be unmapped: %s", g->name, e->text);
	for (uint32_t i = 0; i < g->zap.nunits; i++)
		sample_cancel(&g->sample, g->zap.unit[i]);
	if (g->zap.nunits > 0) {
		g->sample_at = now + REST_NS;
		return;
	}
	g->idle_until = now + REFUSED_NS;
	g->no_victim = true;
	if (g->job == JOB_OUT && !g->job_err.code)
		g->job_err = *e;
}

void hands_zapped(struct guest *g, const struct proto_msg *m)
{
	struct zap *z = &g->zap;
	uint64_t inactive = 0;

	if (!z->busy || m->seq != z->seq)
		return;
	z->busy = false;
	replay_zapped(g);
	counter_add(&g->count.zaps, 1);
	hist_add(&g->zap_hist, clock_ns() - z->since);
	for (uint32_t i = 0; i < z->nspans; i++) {
		const struct span *s = &z->span[i];

		for (uint64_t p = s->page; p < s->page + s->n; p++) {
			if (!page_is_zapping(&g->pages, p))
				continue;
			if (m->err.code == 0) {
				page_set(&g->pages, p, PAGE_INACTIVE);
				inactive++;
			} else {
				page_unmark_zapping(&g->pages, p);
			}
		}
	}
	cachescan_added(g, inactive);
	point_crash("zapped");
	if (m->err.code)
		zap_failed(g, &m->err);
}

void hands_forget(struct guest *g)
{
	sample_forget(&g->sample);
	for (uint64_t i = 0; i < g->npages; i++) {
		enum page_state s = page_get(&g->pages, i);

		if (s == PAGE_INACTIVE || s == PAGE_WRITING || page_is_zapping(&g->pages, i))
			page_set(&g->pages, i, PAGE_ACTIVE);
	}
}
