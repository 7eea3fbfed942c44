/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * When the daemon has begun a pass (swapcached_scan), each turn of the worker looks at some
 * inactive pages, from where the last one has ended (cachescan.next, the marker of the seed),
 * until one of them is a copy of a block that may be cached.  Around that block its
 * neighbours within one swblock are looked for, by the table of records: their pages may be
 * anywhere, and active, as long as they are in memory.  That is one cluster, and the end of
 * the step.
 *
 * What is written to the cache must be what the image holds:
 *
 *	swapcached_get	the blocks are in the object's list of puts
 *	the record	the block has one, and is not changing
 *	the copy	into the daemon's buffer
 *	the hash	of the copy, is that of the record
 *	swapcached_give
 *
 * A record says what the block held when it was noted, and is dropped when the block begins to
 * change (blockmap_begin), before the change is submitted.  So a record that is there says what
 * the image holds, and what has its hash is that, whoever writes to the page meanwhile: it is
 * the copy that was hashed, not the page.  Changes of a guest's disks begin on this thread
 * alone, so none begins between the record and swapcached_give.  One that begins later finds
 * the put in the list (cacheobj_change), and what it has changed does not become valid.  One
 * that had begun before swapcached_get is either still under way, then neither
 * blockmap_is_changing nor cacheobj_put lets the block pass; or it has ended, then there is
 * no record from before it.  A change that has failed and may still be carried out: its
 * blocks had lost their records, and nothing is noted of the disk (no_map_until) nor put
 * (cacheobj_changed) until that is over.
 *
 * The records and hashes that choose the cluster are looked at before swapcached_get, so that
 * no put is taken in vain; they are hints, and looked at anew after it.
 *
 * Faults go first: nothing is done while one is parked, a read of swap is in flight, or events
 * are unread.  A step costs some 512 looks into the table, or 32 hashes and 16 copies; a guest
 * of which little is inactive is passed over in pieces of SPAN pages.
 */

#include "vmm/cachescan.h"

#include <string.h>

#include "base/guard.h"
#include "vmm/disk.h"
#include "vmm/guest.h"
#include "vmm/image_swapcache.h"

#define LOOKS 512u
#define SPAN  (UINT64_C(1) << 18) /* pages, a byte for each: some 10 us */

#define PAGES_OF_BLOCK 4u /* that are looked at */

#define NO_PAGE UINT64_MAX

/* Blocks from `first` on of one swblock, and the pages that hold them. */
struct cluster {
	unsigned int disk;
	struct image *image;
	struct cacheobj *obj;
	uint64_t first;
	uint32_t n;
	uint64_t page[CACHEOBJ_RUN];
};

void cachescan_begin(struct guest *g, struct swapcached *sd)
{
	struct cachescan *cs = &g->cachescan;

	*cs = (struct cachescan){ .sd = sd };
	if (sd)
		swapcached_join(sd, &cs->scanner);
}

void cachescan_end(struct guest *g)
{
	struct cachescan *cs = &g->cachescan;

	if (cs->sd)
		swapcached_leave(cs->sd, &cs->scanner);
	cs->sd = NULL;
}

void cachescan_added(struct guest *g, uint64_t n)
{
	g->cachescan.adds += n;
}

/* Is somebody waiting for the worker? */
static bool faults_wait(const struct guest *g)
{
	if (g->nparked > 0 || pagein_in_flight(g) > 0)
		return true;
	for (int i = 0; i < PROTO_MAPPERS_MAX; i++)
		if (g->mapper[i].used && g->mapper[i].readable)
			return true;
	return false;
}

/* Can there be anything for the cache? */
static bool has_records(const struct guest *g)
{
	return g->state == GUEST_RUNNING && g->job != JOB_LEAVE && g->job != JOB_DETACH &&
	       g->blockmap.ready && g->blockmap.t.n > 0;
}

/* Does the page hold a block, as far as is known, in memory? */
static bool is_copy(const struct guest *g, const struct block_record *r)
{
	enum page_state s = page_get(&g->pages, r->page);

	return !r->evicted && r->hashed && (s == PAGE_INACTIVE || s == PAGE_ACTIVE) &&
	       !page_is_held(&g->pages, r->page);
}

/* --- hashes: what is read may vanish meanwhile --- */

struct hashing {
	const struct guest *g;
	const struct block_record *r;
	volatile bool same;
};

static bool has_hash(const struct guest *g, const void *data, const struct block_hash *h)
{
	struct block_hash now = blockmap_hash(g, data);

	return now.half[0] == h->half[0] && now.half[1] == h->half[1];
}

static void compare(void *arg)
{
	struct hashing *h = arg;

	h->same = has_hash(h->g, h->g->map + (h->r->page << PAGE_SHIFT), &h->r->hash);
}

static bool is_unchanged(const struct guest *g, const struct block_record *r)
{
	struct hashing h = { .g = g, .r = r };

	return guard_run(compare, &h) == 0 && h.same;
}

struct copying {
	const struct guest *g;
	const struct cluster *cl;
	uint8_t *buf;
	uint32_t n;
	volatile uint32_t done; /* blocks that are right */
};

/* Is it still so, that the page holds this block? */
static bool get_record(const struct guest *g, uint64_t page, struct block_id at,
		       struct block_record *r)
{
	uint32_t i = blocktable_find(&g->blockmap.t, page);

	if (i == BLOCKTABLE_NONE)
		return false;
	*r = blocktable_get(&g->blockmap.t, i);
	return r->at.disk == at.disk && r->at.block == at.block && is_copy(g, r) &&
	       !blockmap_is_changing(g, at);
}

static void copy(void *arg)
{
	struct copying *c = arg;

	for (; c->done < c->n; c->done++) {
		uint64_t page = c->cl->page[c->done];
		struct block_id at = { c->cl->disk, c->cl->first + c->done };
		uint8_t *to = c->buf + ((size_t)c->done << PAGE_SHIFT);
		struct block_record r;

		if (!get_record(c->g, page, at, &r))
			return;
		memcpy(to, c->g->map + (page << PAGE_SHIFT), PAGE_SIZE);
		if (!has_hash(c->g, to, &r.hash))
			return;
	}
}

/* --- clusters --- */

/* May this block be put? */
static bool is_wanted(const struct guest *g, const struct cluster *cl, uint64_t block)
{
	return image_swapcache_wants(cl->image, block) &&
	       !blockmap_is_changing(g, (struct block_id){ cl->disk, block }) &&
	       !cacheobj_has(cl->obj, block);
}

/* => a page that holds this block, or NO_PAGE; any number may have held it once */
static uint64_t find_page(const struct guest *g, const struct cluster *cl, uint64_t block)
{
	const struct blocktable *t = &g->blockmap.t;
	uint32_t i = blocktable_at(t, (struct block_id){ cl->disk, block });

	if (i == BLOCKTABLE_NONE || !is_wanted(g, cl, block))
		return NO_PAGE;
	for (unsigned int n = 0; i != BLOCKTABLE_NONE && n < PAGES_OF_BLOCK; n++) {
		struct block_record r = blocktable_get(t, i);

		if (is_copy(g, &r) && is_unchanged(g, &r))
			return r.page;
		i = blocktable_next(t, i);
	}
	return NO_PAGE;
}

/* The page is a copy of a block that may be cached: begin a cluster with it. */
static bool begin_cluster(const struct guest *g, uint64_t page, struct cluster *cl)
{
	uint32_t i = blocktable_find(&g->blockmap.t, page);
	const struct blockmap_disk *d;
	struct block_record r;

	if (i == BLOCKTABLE_NONE)
		return false;
	r = blocktable_get(&g->blockmap.t, i);
	d = &g->blockmap.of[r.at.disk - DRUM_IMAGE_FIRST];
	if (!is_copy(g, &r) || !d->disk || d->left)
		return false;
	cl->disk = r.at.disk;
	cl->image = d->disk->image;
	cl->obj = image_swapcache_object(cl->image);
	cl->first = r.at.block;
	cl->n = 1;
	cl->page[0] = page;
	return cl->obj && is_wanted(g, cl, r.at.block) && is_unchanged(g, &r);
}

static void grow_cluster(const struct guest *g, struct cluster *cl)
{
	uint64_t low = cl->first - cl->first % CACHEOBJ_RUN, page;

	while (cl->first > low && (page = find_page(g, cl, cl->first - 1)) != NO_PAGE) {
		memmove(cl->page + 1, cl->page, cl->n * sizeof(cl->page[0]));
		cl->page[0] = page;
		cl->first--;
		cl->n++;
	}
	while (cl->first + cl->n < low + CACHEOBJ_RUN &&
	       (page = find_page(g, cl, cl->first + cl->n)) != NO_PAGE)
		cl->page[cl->n++] = page;
}

/*
 * => false: it is no copy of a block that may be cached; true: it is, and *given blocks were
 * given to the daemon, which may be none
 */
static bool look_at(struct guest *g, uint64_t page, uint32_t *given)
{
	struct swapcached *sd = g->cachescan.sd;
	struct cluster cl;
	struct swapcached_put *p;
	struct copying c;

	if (!begin_cluster(g, page, &cl))
		return false;
	grow_cluster(g, &cl);
	p = swapcached_get(sd, cl.obj, cl.first, cl.n);
	if (!p)
		return true;
	c = (struct copying){ .g = g, .cl = &cl, .buf = p->buf, .n = p->range.n };
	/* where a page is gone it ends */
	(void)!guard_run(copy, &c);
	swapcached_give(sd, p, c.done);
	*given = c.done;
	return true;
}

void cachescan_step(struct guest *g)
{
	struct cachescan *cs = &g->cachescan;
	uint64_t left, page, end;
	uint32_t given = 0;
	bool found = false;

	if (!cs->sd)
		return;
	swapcached_tell(cs->sd, &cs->scanner, page_count(&g->pages, PAGE_INACTIVE), cs->adds);
	cs->adds = 0;
	left = swapcached_scan(cs->sd, &cs->scanner, LOOKS);
	if (left == 0)
		return;
	if (faults_wait(g)) {
		swapcached_scanned(cs->sd, &cs->scanner, left, 0);
		return;
	}
	page = has_records(g) ? cs->next : g->npages;
	end = page + SPAN < g->npages ? page + SPAN : g->npages;
	/* one that nobody takes has cost as much: an image may refuse them for a minute */
	while (left > 0 && !found) {
		page = page_find(&g->pages, page, end, PAGE_INACTIVE);
		if (page >= end)
			break;
		left--;
		found = look_at(g, page++, &given);
	}
	cs->next = page;
	swapcached_scanned(cs->sd, &cs->scanner, left, given);
	if (page >= g->npages) {
		cs->next = 0;
		swapcached_scan_ended(cs->sd, &cs->scanner);
	} else {
		g->again = true;
	}
}
