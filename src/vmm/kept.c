/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * When a page comes in its word is made "kept" where it would be taken out:
 * the block is still the page's, and holds what was read.  From then on the guest
 * may write to the page, and nobody is told.  So a hash of what was read is
 * remembered, and compared when the page is to go out: then it is inactive, nobody
 * has it mapped, nothing is pinned, and what is hashed is what the punch takes
 * away.  That is why no write protection is needed.
 *
 *	same		word "valid" again, punch: it is swapped, and nothing was written
 *	another		the block is free, the page is written like any other
 *
 * A kept word is no promise: neither a reader of the object nor a restart takes
 * it for a page that is on swap.  The order is in docs/order.md.
 *
 * The hash is XXH3 with a secret that is drawn for each guest anew, so that pages
 * that are taken for one are hard to make (and would harm only who made them); 59
 * bits of it are kept.
 *
 * The table has a bucket of 8 places for 32 pages of RAM.  These are far from each
 * other (page modulo buckets), so that neighbours do not push out each other.
 * A full bucket gives up its oldest copy.
 *
 * A copy takes a block from others, and a device that is nearly full would not
 * find long runs any more.  So drum_keeps says where copies may be; those
 * that may not any more are given up by kept_step, in every guest, soon after
 * drum_keeps_less has said so: another guest may be waiting for their blocks
 * (step_out in job.c).  Nothing is kept of a guest that is being paged in as a
 * whole, or let go.
 */

#include "vmm/kept.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

/* xxHash is compiled in, for it is faster so */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/clock.h"
#include "base/guard.h"
#include "base/log.h"
#include "base/point.h"
#include "vmm/guest.h"

#define HASH_BITS     59
#define HASH_MASK     ((UINT64_C(1) << HASH_BITS) - 1)
#define PER_BUCKET    32u   /* pages that share one: 5 bits tell which */
#define LOOK_BUCKETS  1024u /* that one step looks at */
#define LOOK_PAGES    256u  /* and copies, for each of which the object is asked */
#define RECLAIM_PAGES 256u
#define EACH_BUCKETS  512u
#define PAUSE_NS      (50 * NSEC_PER_MSEC)
#define LONG_PAUSE_NS (2 * NSEC_PER_SEC)

static_assert(PER_BUCKET <= 1u << (64 - HASH_BITS), "the rest tells the page");
static_assert(KEPT_SECRET_BYTES == XXH3_SECRET_DEFAULT_SIZE, "as XXH3 likes it");

int kept_init(struct kept *t, uint64_t npages)
{
	uint64_t seed[8];
	size_t size;

	*t = (struct kept){ .buckets = (npages + PER_BUCKET - 1) / PER_BUCKET };
	if (getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		return -EIO;
	XXH3_generateSecret(t->secret, sizeof(t->secret), seed, sizeof(seed));
	size = t->buckets * sizeof(*t->slot);
	t->slot = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (t->slot == MAP_FAILED) {
		t->slot = NULL;
		return -ENOMEM;
	}
	return 0;
}

static void count(struct kept *t, uint64_t by)
{
	__atomic_store_n(&t->n, t->n + by, __ATOMIC_RELAXED);
	if (t->of_all)
		__atomic_fetch_add(t->of_all, by, __ATOMIC_RELAXED);
}

void kept_forget(struct kept *t)
{
	if (t->slot)
		memset(t->slot, 0, t->buckets * sizeof(*t->slot));
	count(t, -t->n);
}

void kept_fini(struct kept *t)
{
	kept_forget(t);
	if (t->slot)
		munmap(t->slot, t->buckets * sizeof(*t->slot));
	t->slot = NULL;
}

static uint64_t tag_of(const struct kept *t, uint64_t page)
{
	return page / t->buckets << HASH_BITS;
}

static uint64_t page_of(const struct kept *t, uint64_t bucket, uint64_t slot)
{
	return (slot >> HASH_BITS) * t->buckets + bucket;
}

/* What the table says of such a page; never 0, which is no page. */
static uint64_t slot_for(const struct kept *t, uint64_t page, const void *data)
{
	uint64_t h = XXH3_64bits_withSecret(data, PAGE_SIZE, t->secret, sizeof(t->secret));

	h &= HASH_MASK;
	return tag_of(t, page) | (h ? h : 1);
}

/* => place in its bucket, or KEPT_WAYS: it has none */
static unsigned int find(const struct kept *t, uint64_t page)
{
	const uint64_t *b = t->slot[page % t->buckets];
	uint64_t tag = tag_of(t, page);

	for (unsigned int i = 0; i < KEPT_WAYS && b[i]; i++)
		if ((b[i] & ~HASH_MASK) == tag)
			return i;
	return KEPT_WAYS;
}

static void take_out(struct kept *t, uint64_t *b, unsigned int i)
{
	memmove(b + i, b + i + 1, (KEPT_WAYS - 1 - i) * sizeof(*b));
	b[KEPT_WAYS - 1] = 0;
	count(t, UINT64_MAX);
}

/* Entry i of a bucket is to go, and its block is free. */
static void give_up(struct guest *g, uint64_t bucket, unsigned int i)
{
	struct kept *t = &g->kept;
	uint64_t *b = t->slot[bucket];
	uint64_t word = object_pop(g->object, page_of(t, bucket, b[i]));

	if (!(word & SWB_KEPT))
		BROKEN("a copy is in the table and not in the object");
	take_out(t, b, i);
	drum_free(g->drum, g->share, word & DRUM_ADDR_MASK, 1);
}

/* It is being let go of, or all of it comes in to stay. */
static bool keeps_none(const struct guest *g)
{
	return g->state != GUEST_RUNNING || g->job == JOB_IN;
}

/* Words are nearly as many as there may be. */
static bool words_are_short(const struct guest *g)
{
	const struct swblock_zone *z = &g->paging->zone;
	uint64_t max = __atomic_load_n(&z->max, __ATOMIC_RELAXED);

	return __atomic_load_n(&z->used, __ATOMIC_RELAXED) >= max - max / 8;
}

static bool may_be_at(const struct guest *g, drum_addr a)
{
	return drum_keeps(g->drum, g->share, a) && drum_move(g->drum, a) == DRUM_STAY;
}

bool kept_put(struct guest *g, uint64_t page, const void *data)
{
	struct kept *t = &g->kept;
	uint64_t word = object_get(g->object, page), *b;

	if ((word & SWB_FLAGS) != SWB_VALID || !may_be_at(g, word & DRUM_ADDR_MASK) ||
	    keeps_none(g) || words_are_short(g))
		return false;
	b = t->slot[page % t->buckets];
	if (b[KEPT_WAYS - 1])
		give_up(g, page % t->buckets, KEPT_WAYS - 1);
	/* an address is here already: this cannot fail */
	if (object_set(g->object, page, (word & DRUM_ADDR_MASK) | SWB_KEPT) < 0)
		BROKEN("a word cannot be replaced");
	point_crash("in-kept");
	memmove(b + 1, b, (KEPT_WAYS - 1) * sizeof(*b));
	b[0] = slot_for(t, page, data);
	count(t, 1);
	return true;
}

void kept_drop(struct guest *g, uint64_t page)
{
	unsigned int i;

	if (g->kept.n == 0)
		return;
	i = find(&g->kept, page);
	if (i < KEPT_WAYS)
		give_up(g, page % g->kept.buckets, i);
}

uint32_t kept_lose(struct guest *g, uint64_t page)
{
	unsigned int i = find(&g->kept, page);

	/* an earlier pager's copies are in the object still, while it is recovered */
	if (i < KEPT_WAYS)
		take_out(&g->kept, g->kept.slot[page % g->kept.buckets], i);
	object_pop(g->object, page);
	return 1;
}

struct comparison {
	struct guest *g;
	const uint64_t *page;
	uint32_t n;
	volatile uint32_t at; /* where a page that is gone stops it */
	volatile uint64_t same;
};

static void compare(void *arg)
{
	struct comparison *c = arg;
	const struct kept *t = &c->g->kept;

	for (; c->at < c->n; c->at++) {
		uint64_t page = c->page[c->at];
		unsigned int i = find(t, page);

		if (i < KEPT_WAYS &&
		    t->slot[page % t->buckets][i] ==
			    slot_for(t, page, c->g->map + (page << PAGE_SHIFT)))
			c->same |= UINT64_C(1) << c->at;
	}
}

void kept_compare(struct guest *g, const uint64_t *page, uint32_t n, uint64_t *clean)
{
	struct comparison c = { .g = g, .page = page, .n = n };
	struct kept *t = &g->kept;

	*clean = 0;
	if (t->n == 0)
		return;
	/* one that is gone is another page than before */
	while (guard_run(compare, &c) < 0)
		c.at++;
	for (uint32_t k = 0; k < n; k++) {
		drum_addr a = object_get(g->object, page[k]) & DRUM_ADDR_MASK;

		if (!(c.same >> k & 1) || drum_move(g->drum, a) != DRUM_STAY) {
			kept_drop(g, page[k]);
			continue;
		}
		if (object_set(g->object, page[k], a | SWB_VALID) < 0)
			BROKEN("a word cannot be replaced");
		take_out(t, t->slot[page[k] % t->buckets], find(t, page[k]));
		*clean |= UINT64_C(1) << k;
	}
}

/* Go over some buckets, and give up what may not stay. => how many */
static uint32_t sweep(struct guest *g, bool all, uint32_t most)
{
	struct kept *t = &g->kept;
	uint32_t looked = 0, given = 0;

	for (uint32_t n = 0; n < LOOK_BUCKETS && t->next < t->buckets && looked < most; n++) {
		uint64_t *b = t->slot[t->next];

		for (unsigned int i = KEPT_WAYS; i-- > 0;) {
			uint64_t page = b[i] ? page_of(t, t->next, b[i]) : 0;

			if (!b[i])
				continue;
			looked++;
			if (!all && may_be_at(g, object_get(g->object, page) & DRUM_ADDR_MASK))
				continue;
			give_up(g, t->next, i);
			given++;
		}
		t->next++;
	}
	return given;
}

bool kept_each(const struct kept *t, uint64_t *next, kept_page_fn fn, void *arg)
{
	uint64_t end = *next + EACH_BUCKETS < t->buckets ? *next + EACH_BUCKETS : t->buckets;

	if (t->n == 0)
		return false;
	for (; *next < end; ++*next)
		for (unsigned int i = 0; i < KEPT_WAYS && t->slot[*next][i]; i++)
			fn(arg, page_of(t, *next, t->slot[*next][i]));
	return *next < t->buckets;
}

bool kept_reclaim(struct guest *g)
{
	struct kept *t = &g->kept;
	uint32_t given = 0;

	if (t->n == 0)
		return false;
	/* once around at most: there is something somewhere */
	for (uint64_t n = 0; n <= t->buckets + 2 * LOOK_BUCKETS && given == 0;
	     n += LOOK_BUCKETS) {
		if (t->next >= t->buckets)
			t->next = 0;
		given = sweep(g, true, RECLAIM_PAGES);
	}
	return given > 0;
}

void kept_step(struct guest *g, uint64_t now)
{
	struct kept *t = &g->kept;
	bool all = keeps_none(g) || words_are_short(g);
	uint32_t less = drum_keeps_less(g->drum);

	if (t->n == 0 || (now < (less == t->less ? t->at : t->soon) && !all) ||
	    !(all || drum_tight(g->drum) || drum_moving(g->drum)))
		return;
	if (t->next >= t->buckets) {
		t->next = 0;
		t->less = less;
	}
	t->given += sweep(g, all, LOOK_PAGES);
	if (t->next < t->buckets) {
		g->more = true; /* faults are looked at first */
		return;
	}
	/* all that there are may stay: that does not change soon, as far as is known */
	t->soon = now + PAUSE_NS;
	t->at = now + (t->given ? PAUSE_NS : LONG_PAUSE_NS);
	t->given = 0;
}
