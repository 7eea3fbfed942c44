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
 * Pages that are pinned are passed over.  The hand looks at them again as it
 * comes by, which needs no zap.
 */

#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/point.h"
#include "vmm/guest.h"

#define LOOK_PAGES PIN_BATCH		 /* that one look for pins takes */
#define AGAIN_MAX  2048u		 /* pinned pages that are looked at again at once */
#define REFUSED_NS (100 * NSEC_PER_MSEC) /* between zaps that fail */

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

/* The active pages of the window that begins at page: mark them, and the span. */
static uint64_t take_window(struct guest *g, uint64_t page, struct span *span)
{
	uint64_t end = page + WINDOW_PAGES < g->npages ? page + WINDOW_PAGES : g->npages;
	uint64_t taken = 0, first = 0, last = 0;

	for (uint64_t i = page_find(&g->pages, page, end, PAGE_ACTIVE); i < end;
	     i = page_find(&g->pages, i + 1, end, PAGE_ACTIVE)) {
		page_mark_zapping(&g->pages, i);
		if (taken++ == 0)
			first = i;
		last = i;
	}
	*span = (struct span){ first, last - first + 1 };
	return taken;
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

void hands_advance(struct guest *g, uint64_t want)
{
	uint64_t taken = 0, passed = 0, end;
	uint32_t again = AGAIN_MAX / WINDOW_PAGES;
	struct zap *z = &g->zap;

	z->nspans = 0;
	if (want > HANDS_ZAP_MAX)
		want = HANDS_ZAP_MAX;
	while (taken < want && z->nspans < PROTO_RANGES_MAX && passed < g->npages) {
		uint64_t n;

		if (g->job == JOB_OUT && g->job_left == 0)
			break;
		end = g->front + WINDOW_PAGES < g->npages ? g->front + WINDOW_PAGES : g->npages;
		if (page_find_pinned(&g->pages, g->front, end) < end) {
			if (again == 0) {
				g->more = true;
				break;
			}
			again--;
			hands_look_again(g, g->front, end);
		}
		n = take_window(g, g->front, &z->span[z->nspans]);
		if (n > 0)
			z->nspans++;
		taken += n;
		passed += WINDOW_PAGES;
		g->vain += WINDOW_PAGES;
		g->front += WINDOW_PAGES;
		if (g->front >= g->npages)
			g->front = 0;
		if (g->job == JOB_OUT)
			g->job_left -= g->job_left < WINDOW_PAGES ? g->job_left : WINDOW_PAGES;
	}
	if (z->nspans > 0)
		send_zap(g);
	else if (g->job != JOB_OUT && again > 0)
		g->no_victim = pages_takeable(&g->pages) == 0 && pageout_busy(g) == 0;
}

void hands_zapped(struct guest *g, const struct proto_msg *m)
{
	struct zap *z = &g->zap;

	if (!z->busy || m->seq != z->seq)
		return;
	z->busy = false;
	counter_add(&g->count.zaps, 1);
	hist_add(&g->zap_hist, clock_ns() - z->since);
	for (uint32_t i = 0; i < z->nspans; i++) {
		const struct span *s = &z->span[i];

		for (uint64_t p = s->page; p < s->page + s->n; p++) {
			if (!page_is_zapping(&g->pages, p))
				continue;
			if (m->err.code == 0)
				page_set(&g->pages, p, PAGE_INACTIVE);
			else
				page_unmark_zapping(&g->pages, p);
		}
	}
	point_crash("zapped");
	if (m->err.code) {
		log_warn("guest %s: pages cannot be unmapped: %s", g->name, m->err.text);
		g->idle_until = clock_ns() + REFUSED_NS;
		g->no_victim = true;
		if (g->job == JOB_OUT && !g->job_err.code)
			g->job_err = m->err;
	}
}

void hands_forget(struct guest *g)
{
	for (uint64_t i = 0; i < g->npages; i++) {
		enum page_state s = page_get(&g->pages, i);

		if (s == PAGE_INACTIVE || s == PAGE_WRITING || page_is_zapping(&g->pages, i))
			page_set(&g->pages, i, PAGE_ACTIVE);
	}
}
