/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * Cells are equally large, in whole pages, and as many as can be without being more than is
 * asked for.  Three passes count into them, each in pieces:
 *
 *	pages	the state of each page, and whether it is pinned
 *	kept	those that have a clean copy, out of their table, which has a place for
 *		every fourth page of RAM: to ask the object of each page would take longer
 *	units	the age of those pages that the sample has looked at (sample.h), a unit of
 *		which lies in more than one cell where cells are small
 *
 * Between two pieces the guest goes on, and faults are served.  Each page is counted once, as
 * what it is at its turn; so when nothing moves the sums are those of `guest show`, and when
 * pages move they may differ by those.
 *
 * A piece is some 4 us where neighbours are alike, 25 of a full table of copies, and 60 where
 * no two pages are alike.  Orders are done one after the other, in the order of their coming: a
 * second one in the same turn would double what faults wait.  How many there can be is bounded
 * by who asks: a client has one request under way.
 */
#include "vmm/map.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "vmm/guest.h"

#define STEP_PAGES 32768u
#define STEP_UNITS 256u

static const uint8_t kind_of[] = {
	[PAGE_HOLE] = GUEST_MAP_ZERO,	      [PAGE_ACTIVE] = GUEST_MAP_ACTIVE,
	[PAGE_INACTIVE] = GUEST_MAP_INACTIVE, [PAGE_WRITING] = GUEST_MAP_WRITING,
	[PAGE_SWAPPED] = GUEST_MAP_SWAPPED,   [PAGE_READING] = GUEST_MAP_READING,
};
_Static_assert(sizeof(kind_of) == PAGE_STATES, "a kind for each state");

static struct guest_map_cell *cell_of(const struct map_order *o, uint64_t page)
{
	return &o->cell[page / o->cell_pages];
}

static void begin(struct map_order *o, uint64_t npages)
{
	o->npages = npages;
	o->cell_pages = (npages + o->cells - 1) / o->cells;
	o->n = (uint32_t)((npages + o->cell_pages - 1) / o->cell_pages);
}

/* How many of n bytes are as the first one?  Neighbours mostly are: eight at a time. */
static uint64_t alike(const uint8_t *byte, uint64_t n)
{
	const uint64_t all = *byte * (UINT64_MAX / 0xff);
	uint64_t i = 1, eight;

	for (; i + sizeof(eight) <= n; i += sizeof(eight)) {
		memcpy(&eight, byte + i, sizeof(eight));
		if (eight != all)
			break;
	}
	return i;
}

static void count(const struct pages *p, uint64_t from, uint64_t to, struct guest_map_cell *c)
{
	while (from < to) {
		uint32_t n = (uint32_t)alike(p->byte + from, to - from);

		c->kind[kind_of[page_get(p, from)]] += n;
		if (page_is_pinned(p, from))
			c->kind[GUEST_MAP_PINNED] += n;
		from += n;
	}
}

static void step_pages(struct guest *g, struct map_order *o)
{
	uint64_t end = o->page + STEP_PAGES < o->npages ? o->page + STEP_PAGES : o->npages;

	while (o->page < end) {
		uint64_t to = (o->page / o->cell_pages + 1) * o->cell_pages;

		if (to > end)
			to = end;
		count(&g->pages, o->page, to, cell_of(o, o->page));
		o->page = to;
	}
}

static void count_kept(void *arg, uint64_t page)
{
	const struct map_order *o = arg;

	cell_of(o, page)->kind[GUEST_MAP_KEPT]++;
}

static void step_units(struct guest *g, struct map_order *o)
{
	const struct sample *s = &g->sample;
	uint32_t end = o->unit + STEP_UNITS < s->n ? o->unit + STEP_UNITS : s->n;
	uint64_t now = clock_ns();

	for (; o->unit < end; o->unit++)
		for (unsigned int k = 0; k < SAMPLE_PAGES; k++) {
			uint64_t page = sample_page(s, o->unit) + k;
			int age = sample_age(s, o->unit, k, now);

			if (age >= 0 && page_get(&g->pages, page) != PAGE_HOLE)
				cell_of(o, page)->age[age]++;
		}
}
_Static_assert(GUEST_MAP_AGES == SAMPLE_PERIODS + 1, "an age for each period, and one below");

/* => whether it is done */
static bool step(struct guest *g, struct map_order *o)
{
	if (o->cell_pages == 0)
		begin(o, g->npages);
	if (o->page < o->npages) {
		step_pages(g, o);
		return false;
	}
	if (kept_each(&g->kept, &o->bucket, count_kept, o))
		return false;
	step_units(g, o);
	return o->unit == g->sample.n;
}

void map_command(struct guest *g, struct command *cmd)
{
	struct command **at = &g->maps;

	while (*at)
		at = &(*at)->next;
	cmd->next = NULL;
	*at = cmd;
}

static void answer_first(struct guest *g)
{
	struct command *cmd = g->maps;

	g->maps = cmd->next;
	g->ops->completed(g->ops->arg, cmd);
}

void map_step(struct guest *g)
{
	if (!g->maps)
		return;
	if (g->state == GUEST_GONE)
		map_abandon(g);
	else if (step(g, g->maps->map))
		answer_first(g);
	if (g->maps)
		g->more = true;
}

void map_abandon(struct guest *g)
{
	while (g->maps) {
		err_set(&g->maps->err, -ESRCH,
			g->state == GUEST_GONE
				? "guest %s has ended, and there is no map of it"
				: "drumd lets go of guest %s: ask again when it is back",
			g->name);
		answer_first(g);
	}
}
