/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The front hand on a guest of 16 GiB: a step of it is short, whatever it finds, and what
 * many steps have gathered is one zap.  The keeper here is the other end of a socket.
 */
#include <criterion/criterion.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/guest.h"

#define LIMIT	     .timeout = 60
#define WINDOWS	     8192u
#define STEP	     1024u /* windows */
#define PAGES	     ((uint64_t)WINDOWS * WINDOW_PAGES)
#define FIRST_PASSES 31u

static struct guest *g;
static struct paging paging = { .sample = 64 };
static int keeper;

static void set_up(void)
{
	int fd[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fd), 0);
	keeper = fd[1];
	g = calloc(1, sizeof(*g));
	g->chan = fd[0];
	g->paging = &paging;
	g->state = GUEST_RUNNING;
	g->npages = PAGES;
	g->region[0] = (struct region){ .fd = -1, .first = 0, .pages = PAGES };
	g->nregions = 1;
	cr_assert_eq(pages_init(&g->pages, PAGES), 0);
	cr_assert_eq(windows_init(&g->windows, PAGES), 0);
	cr_assert_eq(sample_init(&g->sample, PAGES), 0);
}

static void touch(uint64_t page)
{
	page_set(&g->pages, page, PAGE_ACTIVE);
}

/* Every window has a page, and was hot whenever it was looked at. */
static void all_hot(void)
{
	for (uint64_t w = 0; w < WINDOWS; w++) {
		touch(w * WINDOW_PAGES);
		g->windows.window[w].backoff = WINDOW_BACKOFF;
		g->windows.window[w].passes = FIRST_PASSES;
	}
}

static uint64_t windows_looked_at(void)
{
	uint64_t n = 0;

	for (uint64_t w = 0; w < WINDOWS; w++)
		n += g->windows.window[w].passes != FIRST_PASSES;
	return n;
}

static void advance(void)
{
	g->more = false;
	hands_advance(g, HANDS_ZAP_MAX);
}

/* => steps that it took until there is no more to do, or a zap was asked for */
static unsigned int advance_to_end(void)
{
	unsigned int n = 0;

	do {
		advance();
		cr_assert_lt(++n, 1000000);
	} while (g->more && !g->zap.busy);
	return n;
}

static bool zap_asked(struct proto_msg *m)
{
	bool got = recv(keeper, m, sizeof(*m), 0) == (ssize_t)sizeof(*m);

	if (got)
		cr_assert_eq(m->type, MSG_ZAP);
	return got;
}

static bool has_page(const struct proto_msg *m, uint64_t page)
{
	for (uint32_t i = 0; i < m->u.ram.nranges; i++) {
		const struct proto_range *r = &m->u.ram.range[i];

		if (page << PAGE_SHIFT >= r->off && (page << PAGE_SHIFT) - r->off < r->len)
			return true;
	}
	return false;
}

static void zapped(const struct proto_msg *asked)
{
	struct proto_msg m = { .type = MSG_ZAPPED, .seq = asked->seq };

	hands_zapped(g, &m);
	cr_assert_not(g->zap.busy);
}

TestSuite(hands, .init = set_up, LIMIT);

Test(hands, a_step_is_short_where_all_windows_are_passed_over)
{
	struct proto_msg m;
	unsigned int steps;

	all_hot();
	advance();
	cr_assert_leq(windows_looked_at(), STEP, "%llu windows in one step",
		      (unsigned long long)windows_looked_at());
	cr_assert(g->more);
	cr_assert_not(g->no_victim);
	cr_assert_not(zap_asked(&m));
	/* once round, then a part of the next, in which they are due */
	steps = 1 + advance_to_end();
	cr_assert_eq(steps, WINDOWS / STEP + HANDS_ZAP_MAX / STEP, "%u steps", steps);
	cr_assert(zap_asked(&m));
	cr_assert_eq(m.u.ram.nranges, 1, "neighbours are one range");
	for (uint64_t w = 0; w < WINDOWS; w++)
		cr_assert_eq(page_is_zapping(&g->pages, w * WINDOW_PAGES), w < HANDS_ZAP_MAX);
	zapped(&m);
	cr_assert_eq(page_count(&g->pages, PAGE_INACTIVE), HANDS_ZAP_MAX);
}

Test(hands, what_many_steps_find_is_one_zap)
{
	struct proto_msg m, other;

	for (uint64_t w = 5; w < WINDOWS; w += 512)
		touch(w * WINDOW_PAGES + w % 7);
	cr_assert_geq(advance_to_end(), WINDOWS / STEP);
	cr_assert(zap_asked(&m));
	cr_assert_eq(m.u.ram.nranges, WINDOWS / 512);
	for (uint64_t w = 5; w < WINDOWS; w += 512)
		cr_assert(has_page(&m, w * WINDOW_PAGES + w % 7));
	zapped(&m);
	cr_assert_eq(page_count(&g->pages, PAGE_INACTIVE), WINDOWS / 512);
	cr_assert_not(zap_asked(&other));
	cr_assert_not(g->no_victim);
}

Test(hands, nothing_to_take)
{
	struct proto_msg m;

	cr_assert_geq(advance_to_end(), WINDOWS / STEP);
	cr_assert(g->no_victim);
	cr_assert_eq(g->vain, PAGES);
	cr_assert_not(zap_asked(&m));
}

/* Faults come in between: nothing has a mark before the keeper is asked. */
Test(hands, what_changes_between_two_steps)
{
	struct proto_msg m;

	for (uint64_t w = 0; w < 4; w++)
		touch(w * 100 * WINDOW_PAGES);
	page_mark_untouched(&g->pages, 0);
	advance();
	cr_assert(g->more);
	cr_assert(page_is_untouched(&g->pages, 0));
	page_set(&g->pages, 100 * WINDOW_PAGES, PAGE_HOLE); /* given back */
	advance_to_end();
	cr_assert(zap_asked(&m));
	cr_assert_eq(m.u.ram.nranges, 3);
	for (uint64_t w = 0; w < 4; w++)
		cr_assert_eq(has_page(&m, w * 100 * WINDOW_PAGES), w != 1);
	zapped(&m);
	cr_assert_eq(page_count(&g->pages, PAGE_INACTIVE), 3);
	cr_assert_eq(page_count(&g->pages, PAGE_ACTIVE), 0);
}

/* A sweep that has rested: the guest uses far more there now. */
Test(hands, a_zap_is_not_larger_than_it_may_be)
{
	struct proto_msg m;
	uint64_t n = 0;

	for (uint64_t w = 0; w < STEP; w++)
		touch(w * WINDOW_PAGES);
	advance();
	cr_assert(g->more);
	for (uint64_t page = 0; page < STEP * WINDOW_PAGES; page++)
		page_set(&g->pages, page, PAGE_ACTIVE);
	advance_to_end();
	cr_assert(zap_asked(&m));
	cr_assert_eq(m.u.ram.nranges, 1);
	for (uint64_t page = 0; page < STEP * WINDOW_PAGES; page++) {
		n += page_is_zapping(&g->pages, page);
		cr_assert_eq(page_is_zapping(&g->pages, page), has_page(&m, page));
	}
	cr_assert_eq(n, 4 * HANDS_ZAP_MAX);
	zapped(&m);
	cr_assert_eq(page_count(&g->pages, PAGE_INACTIVE), n);
}

Test(hands, the_sample_comes_in_between)
{
	struct proto_msg m;
	/* unit 0 has the first pages, and the next is behind these */
	const uint64_t end = 7 * WINDOW_PAGES;
	uint64_t before;

	for (uint64_t page = SAMPLE_PAGES; page < end; page += WINDOW_PAGES)
		touch(page);
	for (uint32_t u = 0; u < g->sample.n; u++)
		if (sample_page(&g->sample, u) >= PAGES / 2)
			touch(sample_page(&g->sample, u));
	advance();
	cr_assert(g->more);
	for (uint64_t now = NSEC_PER_SEC; !g->zap.busy; now += NSEC_PER_SEC)
		hands_sample(g, now);
	cr_assert(zap_asked(&m));
	cr_assert_not(has_page(&m, SAMPLE_PAGES));
	for (uint32_t i = 0; i < m.u.ram.nranges; i++)
		cr_assert_eq(m.u.ram.range[i].len, PAGE_SIZE);
	zapped(&m);
	before = page_count(&g->pages, PAGE_INACTIVE);
	cr_assert_gt(before, 0);
	advance_to_end();
	cr_assert(zap_asked(&m));
	cr_assert_eq(m.u.ram.nranges, PROTO_RANGES_MAX);
	for (uint64_t page = SAMPLE_PAGES; page < end; page += WINDOW_PAGES)
		cr_assert(has_page(&m, page));
	zapped(&m);
	cr_assert_geq(page_count(&g->pages, PAGE_INACTIVE), before + 7 + PROTO_RANGES_MAX - 1);
	for (uint64_t page = SAMPLE_PAGES; page < end; page += WINDOW_PAGES)
		cr_assert_eq(page_get(&g->pages, page), PAGE_INACTIVE);
}

/* The job ends as soon as none is left and no zap is under way. */
Test(hands, guest_out_passes_every_window_once)
{
	struct proto_msg m;
	uint64_t from;

	all_hot();
	g->job = JOB_OUT;
	g->job_left = PAGES;
	g->front = from = 77 * WINDOW_PAGES;
	while (g->job_left > 0) {
		advance();
		cr_assert(g->more || g->zap.busy, "%llu pages are left",
			  (unsigned long long)g->job_left);
		if (zap_asked(&m))
			zapped(&m);
		else
			cr_assert_gt(g->job_left, 0, "it is over, and not all was asked for");
	}
	cr_assert_eq(g->front, from);
	cr_assert_eq(page_count(&g->pages, PAGE_ACTIVE), 0);
}

/* What was gathered for the limit is no part of a `guest out`, which begins anew. */
Test(hands, a_job_that_begins_in_between)
{
	struct proto_msg m;

	touch(3);
	advance();
	cr_assert(g->more);
	g->job = JOB_OUT;
	g->job_left = PAGES;
	advance_to_end();
	cr_assert_eq(g->job_left, 0);
	cr_assert(zap_asked(&m));
	cr_assert_eq(m.u.ram.nranges, 1);
	cr_assert(has_page(&m, 3));
	zapped(&m);
	cr_assert_eq(page_count(&g->pages, PAGE_INACTIVE), 1);
}
