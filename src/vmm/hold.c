/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A held page is active and has a mark (PAGE_HELD) that keeps both hands off it.  How
 * many holds it has is in a hash table, since one byte a page has no room for that;
 * the mark goes with the last of them.  What makes a page active:
 *
 *	hole		allocated in the memfd, never written: should something be there
 *			after all (put there through a descriptor) it stays
 *	active		as it is; a zap under way does not count any more
 *	inactive	as if touched
 *	writing		as if touched: the block is given back when its write ends
 *	swapped		read.  Or, to be overwritten: allocated, its word taken out, its
 *			block freed, in this order
 *	reading		waited for
 *
 * All reads that a hold needs are begun before the first is waited for, and pages
 * are held as they come, so that page-out does not take the first while the last is
 * being read.  That holds wait for pages while they hold others is no deadlock: page-ins
 * wait for nothing, and how many pages all holds have together is counted before the first
 * of them is taken, in the order of arrival.
 *
 * A page to be overwritten loses what it held when its request begins, not when
 * the I/O has succeeded.  Whoever asks a disk to read into a page may find anything there if
 * that fails, or before it ends.  A pager that dies after the block was freed leaves
 * zeros, and the request is run again by the next one; one that dies before leaves
 * the page on swap as it was: the word is the truth, or, with the page in the memfd,
 * zeros, which is the same as after.
 *
 * The guest may give a held page back.  Then it is a hole, without the mark; the I/O goes on
 * on what the page was, and is lost, which the guest has asked for.  What it had given back
 * just before may still pass for active here: I/O on it gets -EFAULT, and hold_mend.
 *
 * A page that cannot be read is tried again ever more slowly, by page-ins of
 * our own, and after paging.give_up the hold fails: the request gets an I/O error,
 * rather than the guest a page of zeros.
 */
#include "vmm/hold.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "vmm/guest.h"

#define HOLD_SLOTS     (2 * HOLDS_PAGES_MAX)
#define LIMIT_WAIT_NS  (10 * NSEC_PER_MSEC)
#define RETRY_FIRST_NS (10 * NSEC_PER_MSEC)
#define RETRY_MAX_NS   NSEC_PER_SEC

int holds_init(struct holds *s)
{
	void *p = mmap(NULL, HOLD_SLOTS * sizeof(*s->slot), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	*s = (struct holds){ .tail = &s->wait };
	if (p == MAP_FAILED)
		return -ENOMEM;
	s->slot = p;
	return 0;
}

void holds_fini(struct holds *s)
{
	if (s->slot)
		munmap(s->slot, HOLD_SLOTS * sizeof(*s->slot));
	s->slot = NULL;
}

/* The table of counts: open addressing, never more than half full.  Neighbours lie together,
 * 16 in two cache lines: holds are of many of them. */

static uint32_t place_of(uint64_t page)
{
	uint32_t group = (uint32_t)((page / 16) * 0x9e3779b97f4a7c15u >> 32);

	return (group * 16 + (uint32_t)(page % 16)) % HOLD_SLOTS;
}

static uint32_t find(const struct holds *s, uint64_t page)
{
	uint32_t i = place_of(page);

	while (s->slot[i].count && s->slot[i].page != page)
		i = (i + 1) % HOLD_SLOTS;
	return i;
}

/* Close the gap at i: what follows may have its place before it. */
static void remove_slot(struct holds *s, uint32_t i)
{
	for (uint32_t j = (i + 1) % HOLD_SLOTS; s->slot[j].count; j = (j + 1) % HOLD_SLOTS) {
		uint32_t place = place_of(s->slot[j].page);

		if ((j - place) % HOLD_SLOTS < (j - i) % HOLD_SLOTS)
			continue;
		s->slot[i] = s->slot[j];
		i = j;
	}
	s->slot[i] = (struct hold_page){ 0 };
}

static void count_up(struct guest *g, uint64_t page)
{
	struct hold_page *p = &g->holds.slot[find(&g->holds, page)];

	p->page = page;
	p->count++;
	page_mark_held(&g->pages, page, true); /* it is not being zapped any more */
}

static void count_down(struct guest *g, uint64_t page)
{
	uint32_t i = find(&g->holds, page);

	assert(g->holds.slot[i].count > 0);
	if (--g->holds.slot[i].count > 0)
		return;
	remove_slot(&g->holds, i);
	page_mark_held(&g->pages, page, false);
}

static bool get_bit(const uint64_t *bits, uint32_t k)
{
	return bits[k / 64] >> (k % 64) & 1;
}

static void set_bit(uint64_t *bits, uint32_t k)
{
	bits[k / 64] |= UINT64_C(1) << (k % 64);
}

static void clear_bit(uint64_t *bits, uint32_t k)
{
	bits[k / 64] &= ~(UINT64_C(1) << (k % 64));
}

/* The page is on swap, and what it holds is not wanted. => 0 or -errno */
static int replace(struct guest *g, uint64_t page)
{
	int ret = ram_allocate(g, page, 1);
	uint64_t word;

	if (ret < 0)
		return ret;
	word = object_pop(g->object, page);
	page_set(&g->pages, page, PAGE_HOLE);
	page_set(&g->pages, page, PAGE_ACTIVE);
	blockmap_free(g, page, word, NULL);
	counter_add(&g->holds.avoided, 1);
	return 0;
}

/* The page is in memory, or needs not be read: hold it. => 0 or -errno */
static int take(struct guest *g, uint64_t page, enum hold_how how)
{
	enum page_state s = page_get(&g->pages, page);
	int ret = 0;

	if (s == PAGE_SWAPPED)
		ret = replace(g, page);
	else if (s == PAGE_HOLE)
		ret = ram_allocate(g, page, 1);
	if (ret < 0)
		return ret;
	if (s == PAGE_INACTIVE)
		windows_back(&g->windows, page);
	if (s == PAGE_HOLE || s == PAGE_INACTIVE || s == PAGE_WRITING)
		page_set(&g->pages, page, PAGE_ACTIVE);
	if (how != HOLD_READ) {
		kept_drop(g, page);
		blockmap_page_overwritten(g, page);
	}
	sample_touch(&g->sample, page);
	count_up(g, page);
	return 0;
}

/* One pass over a hold. */
struct pass {
	uint64_t now;
	bool wait;  /* the guest is at its limit, and it is not too late to wait for room */
	bool ended; /* no more reads can be begun now */
	bool missing;
	bool failed; /* something that was tried did not do */
	int err;     /* it never will; or what the last try said */
	bool give_up;
};

/* Page k of h is swapped: have it read. */
static void ask(struct guest *g, struct hold *h, uint32_t k, uint64_t page, uint32_t max,
		struct pass *p)
{
	uint32_t n;

	if (object_get(g->object, page) & SWB_LOST) {
		p->err = -EIO;
		p->give_up = true;
		return;
	}
	if (get_bit(h->asked, k)) {
		/* it was read in vain */
		clear_bit(h->asked, k);
		p->failed = true;
		p->err = -EIO;
		return;
	}
	if (p->ended || p->wait || p->now < h->retry_at)
		return;
	n = pagein_hold(g, page, max);
	p->ended = n == 0;
	counter_add(&g->holds.pages_in, n);
	while (n-- > 0)
		set_bit(h->asked, k + n);
}

static void look_at_page(struct guest *g, struct hold *h, uint32_t k, uint64_t page,
			 const struct hold_range *r, struct pass *p)
{
	enum page_state s = page_get(&g->pages, page);
	int ret;

	p->missing = true;
	if (s == PAGE_READING) {
		pagein_raise(g, page);
		return;
	}
	if (s == PAGE_SWAPPED && r->how != HOLD_OVERWRITE) {
		ask(g, h, k, page, (uint32_t)(r->page + r->n - page), p);
		return;
	}
	if ((s == PAGE_SWAPPED || s == PAGE_HOLE) && (p->wait || p->now < h->retry_at))
		return;
	ret = take(g, page, r->how);
	if (ret < 0) {
		p->failed = true;
		p->err = ret;
		return;
	}
	set_bit(h->got, k);
	p->missing = false;
}

/* => 0: all are held; 1: not yet; or -errno: never */
static int go_on(struct guest *g, struct hold *h, uint64_t now)
{
	struct pass p = { .now = now };
	bool missing = false;
	uint32_t k = 0;

	for (uint32_t i = 0; i < h->nranges; i++) {
		const struct hold_range *r = &h->range[i];

		for (uint32_t j = 0; j < r->n && !p.give_up; j++, k++) {
			if (get_bit(h->got, k))
				continue;
			p.wait = pageout_over_limit(g) && now - h->since < LIMIT_WAIT_NS;
			look_at_page(g, h, k, r->page + j, r, &p);
			missing |= p.missing;
		}
	}
	if (p.give_up)
		return p.err;
	if (!missing)
		return 0;
	if (p.failed) {
		uint64_t delay;

		if (h->failing == 0)
			h->failing = now;
		delay = (now - h->failing) / 2 + RETRY_FIRST_NS;
		h->retry_at = now + (delay < RETRY_MAX_NS ? delay : RETRY_MAX_NS);
		if (now - h->failing >= __atomic_load_n(&g->paging->give_up, __ATOMIC_RELAXED))
			return p.err;
	}
	return 1;
}

/* => false: it has to wait until others have ended */
static bool admit(struct guest *g, struct hold *h)
{
	if (g->holds.pages + h->pages > HOLDS_PAGES_MAX)
		return false;
	g->holds.pages += h->pages;
	h->admitted = true;
	return true;
}

/* Nothing of it is held any more. The last page first: nothing in the table has to move up. */
static void let_go(struct guest *g, struct hold *h)
{
	uint32_t k = h->pages;

	for (uint32_t i = h->nranges; i-- > 0;)
		for (uint32_t j = h->range[i].n; j-- > 0;)
			if (get_bit(h->got, --k))
				count_down(g, h->range[i].page + j);
	memset(h->got, 0, sizeof(h->got));
	if (h->admitted)
		g->holds.pages -= h->pages;
	h->admitted = false;
}

int hold_begin(struct guest *g, struct hold *h)
{
	struct holds *s = &g->holds;
	uint64_t pages = 0;
	int ret = 1;

	h->next = NULL;
	h->admitted = false;
	h->since = clock_ns();
	h->failing = h->retry_at = 0;
	memset(h->got, 0, sizeof(h->got));
	memset(h->asked, 0, sizeof(h->asked));
	for (uint32_t i = 0; i < h->nranges; i++) {
		const struct hold_range *r = &h->range[i];
		const struct region *in = ram_region(g, r->page);

		pages += r->n;
		if (!in || r->n > in->pages - (r->page - in->first) || pages > HOLD_PAGES_MAX)
			return -EINVAL;
	}
	h->pages = (uint32_t)pages;
	/* those that wait to be admitted go first */
	if (s->queued == 0 && admit(g, h))
		ret = go_on(g, h, h->since);
	else
		s->queued++;
	if (ret < 0)
		let_go(g, h);
	if (ret == 1) {
		*s->tail = h;
		s->tail = &h->next;
	}
	return ret;
}

static void unlink_hold(struct holds *s, struct hold *h)
{
	struct hold **at = &s->wait;

	while (*at && *at != h)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = h->next;
	if (s->tail == &h->next)
		s->tail = at;
	s->queued -= !h->admitted;
}

void hold_end(struct guest *g, struct hold *h)
{
	unlink_hold(&g->holds, h);
	let_go(g, h);
}

int hold_mend(struct guest *g, const struct hold *h)
{
	for (uint32_t i = 0; i < h->nranges; i++) {
		int ret = ram_allocate(g, h->range[i].page, h->range[i].n);

		if (ret < 0)
			return ret;
	}
	return 0;
}

void holds_step(struct guest *g, uint64_t now)
{
	struct hold *h = g->holds.wait, *next;

	/* A done may begin or end others: then the rest is looked at in the next step. */
	for (; h; h = next) {
		int ret;

		next = h->next;
		if (!h->admitted) {
			if (!admit(g, h))
				return;
			g->holds.queued--;
		}
		ret = go_on(g, h, now);
		if (ret == 1)
			continue;
		unlink_hold(&g->holds, h);
		if (ret < 0)
			let_go(g, h);
		h->done(h, ret);
		g->again |= g->holds.wait != NULL;
		return;
	}
}
