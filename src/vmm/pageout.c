/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * Two hands sweep the pages in the same direction.  The front hand has the
 * keeper zap the active pages of whole windows; what comes back from that is
 * inactive, unless it was touched in between.  The back hand writes out what
 * is still inactive when it comes by.  The distance between the hands is kept
 * by the number of inactive pages: that is the time that a page has to be
 * touched, by a minor fault, and be active again.
 *
 * A cluster is up to 64 inactive pages of one window, in order, that get
 * neighbouring blocks and are written by one I/O, straight from the guest's
 * memory.  All-zero pages are punched and need no block.
 *
 * Inactive pages are looked at in this order, and it matters:
 *
 *	is it pinned?  >  is it zero?  >  is it clean?  >  write  >  punch
 *
 * A page that somebody has pinned for I/O (pincheck.h) is left alone.  The look
 * comes before the content is read, not merely before the punch: I/O that ends
 * in between would change the page after it was read.  From the look on nobody
 * can pin the page anew without a fault, which makes it active.  A page that is
 * pinned is marked, and stays inactive, for that is still true: nobody has it
 * mapped.  Neither hand takes marked pages, and the mark outlives a touch.  The
 * front hand looks at them again when it passes, which needs no zap.  If most is
 * pinned for long (VFIO) it comes round in vain, and page-out rests between tries.
 *
 * A page whose clean copy is on swap (kept.c), or that is what a block of a disk is
 * (blockmap.c), is punched without a write.
 *
 *	inactive > address stored as "writing" > write > address "valid" >
 *	punch > swapped
 *
 * A page that is touched while it is being written is mapped at once and is
 * active; when its write ends its block is given back.  Until then its
 * address is in the object, which is how a page with a write in flight is
 * known and not picked again.
 *
 * Pages that a device does not take (ram:, what does not compress) go on, as one
 * cluster, to a device that takes everything.
 *
 * A write that fails: the cluster is dropped and written page by page; a page
 * that fails alone stays in memory and its block is bad for ever
 * (uvm_pager_dropcluster, swp_pager_async_iodone).  When some fail one after
 * the other it is the device: the rest of the cluster stays too, and the device
 * is left alone for a while.
 *
 * All of this is done in small steps between faults: one cluster is started at
 * a time.
 *
 * The limit that page-out goes by is the lesser of the admin's and the arbiter's grant.
 * Both may be below what is resident, with swap full or none: what cannot be taken stays,
 * and nobody waits for it.
 *
 * Besides, the arbiter has pages taken that no limit asks for (struct take), when they are
 * cold.  No fault waits for that, as the ceiling has nothing to do with it.  The hands turn
 * as ever, with two differences.  The front hand leaves alone windows that it passes over,
 * where else it would go round until some of them are due: those are hot.  And the back
 * hand begins TAKE_REST_NS after that was asked, so that what the front hand has just taken
 * has had time to be touched; a moment later it takes what was inactive since the last time.
 * Each page that is taken counts once, whatever becomes of it; with nothing left that is
 * cold, with swap full, or after TAKE_NS it is over.
 */

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/point.h"
#include "swap/pager.h"
#include "vmm/guest.h"

/* Pages that fail one after the other, or all of a smaller cluster, before a device is left
 * alone for a while. */
#define FAILURES_MAX 4u

#define LOOK_PAGES    PIN_BATCH	   /* that one look for zeros takes, and for pins */
#define CLUSTER_SPAN  WINDOW_PAGES /* pages that a cluster may reach over */
#define CEILING_SLACK 256u
#define INACTIVE_MIN  256u
#define INACTIVE_FEW  2048u
#define MARGIN_MIN    32u
#define MARGIN_MAX    4096u /* pages kept free below the limit */
#define IDLE_NS	      (100 * NSEC_PER_MSEC)
#define VAIN_NS	      NSEC_PER_SEC /* between tries when what is left is pinned */
#define TAKE_REST_NS  NSEC_PER_SEC
#define TAKE_NS	      (10 * NSEC_PER_SEC)

static void on_write(struct swap_io *io, int err);

static uint64_t in_use(const struct guest *g)
{
	return pages_resident(&g->pages) + page_count(&g->pages, PAGE_READING);
}

/* Page-out begins before the limit is reached. */
static uint64_t below(const struct guest *g, uint64_t limit)
{
	uint64_t margin = limit / 64;

	if (limit >= g->npages)
		return limit;
	if (margin < MARGIN_MIN)
		margin = MARGIN_MIN;
	if (margin > MARGIN_MAX)
		margin = MARGIN_MAX;
	return limit - margin;
}

static uint64_t goal(const struct guest *g)
{
	return g->job == JOB_OUT ? 0 : below(g, g->limit);
}

/* --- limits ----------------------------------------------------------------------------- */

static void set_limit(struct guest *g)
{
	uint64_t limit = g->max < g->grant ? g->max : g->grant;

	if (limit == g->limit)
		return;
	__atomic_store_n(&g->limit, limit, __ATOMIC_RELAXED);
	/* one that waits for memory (job.c) goes on to */
	if (g->job != JOB_DETACH)
		g->idle_until = 0;
	blockmap_limit(g);
}

void pageout_set_max(struct guest *g, uint64_t pages)
{
	__atomic_store_n(&g->max, pages < g->npages ? pages : g->npages, __ATOMIC_RELAXED);
	set_limit(g);
}

void pageout_set_grant(struct guest *g, uint64_t pages)
{
	g->grant = pages > LIMIT_MIN_PAGES ? pages : LIMIT_MIN_PAGES;
	set_limit(g);
}

void pageout_take(struct guest *g, uint64_t pages, uint64_t now)
{
	g->take = (struct take){ .left = pages,
				 .from = now + TAKE_REST_NS,
				 .upto = now + TAKE_NS };
	g->ever_taken = true;
	blockmap_limit(g);
}

static bool allowed(const struct guest *g)
{
	return g->state == GUEST_RUNNING && g->job != JOB_IN && g->job != JOB_DETACH &&
	       g->job != JOB_LEAVE;
}

bool pageout_over_limit(const struct guest *g)
{
	return g->limit < g->npages && in_use(g) >= g->ceiling && allowed(g) && !g->swap_full &&
	       !g->no_victim;
}

/*
 * The ceiling is the limit, except after the limit was lowered: then it
 * follows what is in use down to it.  Faults that made it rise again would have
 * to wait; those that merely come while it falls need not.
 */
static void lower_ceiling(struct guest *g)
{
	uint64_t most = in_use(g) + CEILING_SLACK;

	if (g->ceiling > most)
		g->ceiling = most;
	if (g->ceiling < g->limit)
		g->ceiling = g->limit;
}

uint64_t pageout_spare(const struct guest *g)
{
	uint64_t aim = below(g, g->limit);

	return in_use(g) < aim ? aim - in_use(g) : 0;
}

uint64_t pageout_room(const struct guest *g)
{
	return in_use(g) < g->limit ? g->limit - in_use(g) : 0;
}

unsigned int pageout_busy(const struct guest *g)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < PAGEOUTS_MAX; i++)
		n += g->pageout[i].busy;
	return n;
}

/* The back hand. */

static void punch_run(struct guest *g, uint64_t page, uint64_t n, enum page_state to)
{
	int ret = ram_punch(g, page, n);

	point_crash(to == PAGE_HOLE ? "zero-punched" : "out-punched");
	if (ret < 0)
		log_err("guest %s: pages cannot be taken out of memory: %s", g->name,
			strerror(-ret));
	for (uint64_t i = 0; i < n; i++) {
		if (ret == 0) {
			page_set(&g->pages, page + i, to);
			continue;
		}
		page_set(&g->pages, page + i, PAGE_ACTIVE);
		if (to == PAGE_SWAPPED)
			blockmap_free(g, page + i, object_pop(g->object, page + i), NULL);
	}
}

static void count_evicted(struct guest *g, enum evict_why why, uint64_t n)
{
	counter_add(&g->count.evicted[why], n);
}

/* What the back hand has just taken. */
static void count_taken(struct guest *g, uint64_t n)
{
	if (g->evict_why == EVICT_COLD)
		g->take.left -= n < g->take.left ? n : g->take.left;
}

/*
 * Drop those of the pages that hold nothing, or have a clean copy on swap or a disk.
 * => how many are left, in page; *clean more had one
 */
static uint32_t sift(struct guest *g, const uint64_t *seen, uint32_t nseen, uint64_t *page,
		     uint32_t *clean)
{
	uint64_t zero, gone, mapped, same;
	uint32_t n = 0, run;

	ram_find_zero(g, seen, nseen, &zero, &gone);
	for (uint32_t k = 0; k < nseen; k++)
		if ((zero | gone) >> k & 1)
			blockmap_page_overwritten(g, seen[k]);
	/* a disk first: what is there needs no block of swap */
	blockmap_compare(g, seen, nseen, &mapped);
	kept_compare(g, seen, nseen, &same);
	same |= mapped;
	if (same)
		point_crash("out-clean");
	/* what has come to be so since, the guest has given back */
	zero &= ~same;
	gone &= ~same;
	for (uint32_t k = 0; k < nseen; k += run) {
		run = 1;
		if (gone >> k & 1) {
			/* the guest gave it back, the event is on its way */
			page_set(&g->pages, seen[k], PAGE_HOLE);
			counter_add(&g->count.pages_discarded, 1);
		} else if (zero >> k & 1) {
			while (k + run < nseen && (zero >> (k + run) & 1) &&
			       seen[k + run] == seen[k] + run)
				run++;
			punch_run(g, seen[k], run, PAGE_HOLE);
			counter_add(&g->count.pages_zero, run);
			count_taken(g, run);
			g->vain = 0;
		} else if (same >> k & 1) {
			while (k + run < nseen && (same >> (k + run) & 1) &&
			       seen[k + run] == seen[k] + run)
				run++;
			punch_run(g, seen[k], run, PAGE_SWAPPED);
			counter_add(&g->count.pages_clean, run);
			windows_evicted(&g->windows, seen[k], run, clock_ns());
			count_evicted(g, g->evict_why, run);
			count_taken(g, run);
			*clean += run;
			g->vain = 0;
		} else {
			page[n++] = seen[k];
		}
	}
	return n;
}

/* No write of the page is in flight. */
static bool may_be_taken(uint64_t word)
{
	return word == 0 || (word & SWB_KEPT);
}

/* Collect up to max inactive pages of one span, in order; zero pages among
 * them are dropped on the way, and about as many clean ones. => how many; the hand stands
 * behind them */
static uint32_t collect(struct guest *g, uint64_t *page, uint32_t max)
{
	uint64_t at = page_find(&g->pages, g->back, g->npages, PAGE_INACTIVE), end;
	uint64_t from = g->back;
	uint32_t n = 0, clean = 0;

	if (at == g->npages) {
		at = page_find(&g->pages, 0, g->back, PAGE_INACTIVE);
		if (at == g->back)
			return 0;
	}
	windows_judge(&g->windows, at / WINDOW_PAGES);
	end = (at / CLUSTER_SPAN + 1) * CLUSTER_SPAN;
	if (end > g->npages)
		end = g->npages;
	while (at < end && n < max && clean < max) {
		uint64_t seen[LOOK_PAGES];
		uint32_t nseen = 0;

		for (; at < end && nseen < LOOK_PAGES && n + nseen < max;
		     at = page_find(&g->pages, at + 1, end, PAGE_INACTIVE))
			if (may_be_taken(object_get(g->object, at)) && !replay_is_later(g, at))
				seen[nseen++] = at;
		nseen = hands_mark_pinned(g, seen, nseen);
		n += sift(g, seen, nseen, page + n, &clean);
	}
	g->back = at < g->npages ? at : 0;
	replay_passed(g, from);
	/* nothing but zero or pinned pages is progress too */
	return n;
}

static void submit(struct pageout *o, uint32_t from, uint32_t n)
{
	struct guest *g = o->guest;
	struct swap_io *io = &o->io;

	io->done = on_write;
	io->write = true;
	io->niov = 0;
	for (uint32_t k = from; k < from + n; k++) {
		uint8_t *at = g->map + (o->page[k] << PAGE_SHIFT);
		struct iovec *last = &io->iov[io->niov ? io->niov - 1 : 0];

		if (io->niov > 0 && (uint8_t *)last->iov_base + last->iov_len == at)
			last->iov_len += PAGE_SIZE;
		else
			io->iov[io->niov++] = (struct iovec){ at, PAGE_SIZE };
	}
	drum_submit(g->drum, g->ring, io, o->addr + from);
}

static void begin_write(struct pageout *o, uint32_t n)
{
	o->busy = true;
	o->guest->vain = 0;
	o->failures = 0;
	o->n = o->single = n;
	__atomic_fetch_add(&o->guest->paging->writes, 1, __ATOMIC_RELAXED);
	submit(o, 0, n);
}

static void end_write(struct pageout *o)
{
	o->busy = false;
	__atomic_fetch_sub(&o->guest->paging->writes, 1, __ATOMIC_RELAXED);
}

/* => false: there is no block, or no swblock, to be had */
static bool write_cluster(struct guest *g, struct pageout *o, const uint64_t *page, uint32_t n)
{
	uint64_t got;
	uint32_t k;

	if (n == 0)
		return true;
	o->guest = g;
	o->plain = false;
	o->addr = drum_alloc(g->drum, g->share, n, &got);
	if (o->addr == DRUM_NONE && kept_reclaim(g))
		o->addr = drum_alloc(g->drum, g->share, n, &got);
	if (o->addr == DRUM_NONE)
		return false;
	for (k = 0; k < got; k++) {
		if (object_set(g->object, page[k], (o->addr + k) | SWB_WRITING) < 0)
			break;
		page_set(&g->pages, page[k], PAGE_WRITING);
		o->page[k] = page[k];
	}
	point_crash("out-words");
	if (k < got)
		drum_free(g->drum, g->share, o->addr + k, got - k);
	if (k == 0)
		return false;
	o->why = g->evict_why;
	count_taken(g, k);
	begin_write(o, k);
	point_crash("out-begun");
	/* what did not fit stays inactive; the hand goes back to it */
	if (k < n)
		g->back = page[k];
	return true;
}

static bool refused(const struct pageout *o, uint32_t k)
{
	return o->io.refused[k / 64] >> (k % 64) & 1;
}

/* The page is not on swap; its block is free. */
static void give_up(struct pageout *o, uint64_t page, drum_addr a)
{
	struct guest *g = o->guest;

	object_pop(g->object, page);
	if (page_get(&g->pages, page) == PAGE_WRITING)
		page_set(&g->pages, page, PAGE_ACTIVE);
	drum_free(g->drum, g->share, a, 1);
}

/*
 * Pages of the cluster that its device has refused: on to one that takes them.
 * => false: there is none, or nothing is left to be written
 */
static bool pass_on(struct pageout *o)
{
	struct guest *g = o->guest;
	drum_addr old[SWAP_IO_BLOCKS_MAX], to;
	uint64_t got = 0;
	uint32_t n = 0;

	for (uint32_t k = 0; k < o->n; k++) {
		if (!refused(o, k))
			continue;
		if (page_get(&g->pages, o->page[k]) != PAGE_WRITING) {
			give_up(o, o->page[k], o->addr + k);
			continue;
		}
		o->page[n] = o->page[k];
		old[n++] = o->addr + k;
	}
	to = n > 0 ? drum_alloc_plain(g->drum, g->share, n, &got) : DRUM_NONE;
	if (n > 0 && to == DRUM_NONE && kept_reclaim(g))
		to = drum_alloc_plain(g->drum, g->share, n, &got);
	for (uint32_t k = 0; k < n; k++) {
		if (k >= got) {
			give_up(o, o->page[k], old[k]);
			continue;
		}
		/* an address is here already: this cannot fail */
		if (object_set(g->object, o->page[k], (to + k) | SWB_WRITING) < 0)
			BROKEN("a word cannot be replaced");
		drum_free(g->drum, g->share, old[k], 1);
	}
	/* a run that is merely short takes some of them, and the rest comes again */
	if (got == 0) {
		g->refused_all |= n > 0;
		return false;
	}
	o->addr = to;
	o->plain = true;
	o->n = o->single = (uint32_t)got;
	submit(o, 0, o->n);
	return true;
}

void pageout_drop_block(struct guest *g, drum_addr a, int err)
{
	if (!pager_is_media_error(err)) {
		drum_free(g->drum, g->share, a, 1);
		return;
	}
	/* first, while the device cannot be removed for the block's sake */
	log_err("guest %s: block %llu of %s cannot be written: %s; it is not used again",
		g->name, (unsigned long long)drum_block_of(a), drum_path(g->drum, a),
		strerror(-err));
	drum_mark_bad(g->drum, g->share, a);
}

/* One page's write is over. */
static void finish_page(struct pageout *o, uint32_t k, int err)
{
	struct guest *g = o->guest;
	uint64_t page = o->page[k];

	if (err == 0 && page_get(&g->pages, page) == PAGE_WRITING) {
		/* an address is here already: this cannot fail */
		int ret = object_set(g->object, page, (o->addr + k) | SWB_VALID);

		assert(ret == 0);
		(void)ret;
		return;
	}
	/* a late block is noted as such while it still has its word; one that is free
	 * must have none */
	if (drum_is_late(err))
		late_hold(g, o->addr + k);
	object_pop(g->object, page);
	if (page_get(&g->pages, page) == PAGE_WRITING)
		page_set(&g->pages, page, PAGE_ACTIVE);
	if (!drum_is_late(err))
		pageout_drop_block(g, o->addr + k, err);
}

/* Part of an I/O that began with page `from` of the cluster. */
static bool is_written(const struct pageout *o, uint32_t k, uint32_t from)
{
	return page_get(&o->guest->pages, o->page[k]) == PAGE_WRITING &&
	       (object_get(o->guest->object, o->page[k]) & SWB_VALID) && !refused(o, k - from);
}

/* Punch those of pages from .. to-1 of the cluster that are written. */
static void punch_written(struct pageout *o, uint32_t from, uint32_t to)
{
	struct guest *g = o->guest;

	for (uint32_t k = from, run; k < to; k += run) {
		run = 1;
		point_crash("out-valid");
		if (!is_written(o, k, from))
			continue;
		while (k + run < to && o->page[k + run] == o->page[k] + run &&
		       is_written(o, k + run, from))
			run++;
		punch_run(g, o->page[k], run, PAGE_SWAPPED);
		windows_evicted(&g->windows, o->page[k], run, clock_ns());
		counter_add(&g->count.pages_out, run);
		count_evicted(g, o->why, run);
	}
}

static bool any_refused(const struct pageout *o)
{
	for (uint32_t i = 0; i < SWAP_IO_BLOCKS_MAX / 64; i++)
		if (o->io.refused[i])
			return true;
	return false;
}

static void on_write(struct swap_io *io, int err)
{
	struct pageout *o = (struct pageout *)((char *)io - offsetof(struct pageout, io));
	struct guest *g = o->guest;
	uint32_t from = 0, to = o->n;

	point_crash("out-written");
	if (err)
		counter_add(&g->count.write_errors, 1);
	if (o->single < o->n) { /* page by page */
		from = o->single;
		to = from + 1;
	} else if (err && o->n > 1 && !drum_is_late(err)) {
		/* one that may still be carried out must not have company on its
		 * blocks: none of them is free, or written again, before it is over */
		o->single = 0;
		submit(o, 0, 1);
		return;
	}
	if (err == 0)
		drum_write_done(g->drum, o->addr);
	/* -EFAULT is the guest's doing, not the device's */
	o->failures = err && err != -EFAULT ? o->failures + 1 : 0;
	for (uint32_t k = from; k < to; k++)
		if (err || !refused(o, k - from))
			finish_page(o, k, err);
		else if (o->single < o->n) /* alone it is not worth another write */
			give_up(o, o->page[k], o->addr + k);
	punch_written(o, from, to);
	if (o->failures >= (o->n < FAILURES_MAX ? o->n : FAILURES_MAX)) {
		/* it is not these blocks, it is the device */
		drum_write_failed(g->drum, o->addr);
		for (uint32_t k = o->single + 1; k < o->n; k++)
			give_up(o, o->page[k], o->addr + k);
		o->single = o->n;
	}
	if (o->single < o->n && ++o->single < o->n)
		submit(o, o->single, 1);
	else if (err || from > 0 || o->single < o->n || !any_refused(o) || !pass_on(o))
		end_write(o);
}

static uint32_t limit_of(const uint32_t *limit)
{
	return __atomic_load_n(limit, __ATOMIC_RELAXED);
}

static uint32_t pages_in_flight(const struct guest *g)
{
	uint32_t n = 0;

	for (unsigned int i = 0; i < PAGEOUTS_MAX; i++)
		n += g->pageout[i].busy ? g->pageout[i].n : 0;
	return n;
}

/* How many pages the next cluster may have. */
static uint32_t cluster_pages(const struct guest *g)
{
	uint32_t most = limit_of(&g->paging->cluster), left;

	if (pagein_in_flight(g) == 0)
		return most;
	left = g->beside.pages - pages_in_flight(g);
	return left < most ? left : most;
}

/* One that may be used now: limits of this guest and of all, reads go first. */
static struct pageout *free_pageout(struct guest *g)
{
	uint32_t most = limit_of(&g->paging->depth);

	if (pagein_in_flight(g) > 0 && pages_in_flight(g) + BESIDE_MIN > g->beside.pages)
		return NULL;
	if (pageout_busy(g) >= most ||
	    limit_of(&g->paging->writes) >= limit_of(&g->paging->total_writes))
		return NULL;
	for (unsigned int i = 0; i < PAGEOUTS_MAX; i++)
		if (!g->pageout[i].busy)
			return &g->pageout[i];
	return NULL;
}

/*
 * Write one cluster, if that is due and may be.
 * => false: there is no room on swap
 */
static bool step_back_hand(struct guest *g, uint64_t most)
{
	struct pageout *o = free_pageout(g);
	uint64_t page[SWAP_IO_BLOCKS_MAX];
	uint32_t n = cluster_pages(g);

	if (!o || pages_takeable(&g->pages) == 0 || most == 0 || replay_seen_all(g))
		return true;
	n = collect(g, page, n < most || g->evict_why != EVICT_COLD ? n : (uint32_t)most);
	/* one more may follow as soon as faults have been looked at */
	g->more = true;
	return n == 0 || write_cluster(g, o, page, n);
}

/* In use and not on their way out, above aim. */
static uint64_t above(const struct guest *g, uint64_t aim)
{
	uint64_t stay = in_use(g) - page_count(&g->pages, PAGE_WRITING);

	return stay > aim ? stay - aim : 0;
}

static enum evict_why why_evicted(const struct guest *g)
{
	if (g->job == JOB_OUT)
		return EVICT_OUT;
	return above(g, below(g, g->max)) > 0 ? EVICT_LIMIT : EVICT_GRANT;
}

/* How many pages are to be inactive: the more, the more minor faults; with a 16th misses
 * are as rare as with a quarter or a half.  A small guest's zap should be worth it. */
static uint64_t least_distance(uint64_t aim)
{
	if (aim / 16 > INACTIVE_FEW)
		return aim / 16;
	if (aim / 4 > INACTIVE_FEW)
		return INACTIVE_FEW;
	return aim / 4 > INACTIVE_MIN ? aim / 4 : INACTIVE_MIN;
}

/* => how many are to be inactive besides those that are */
static uint64_t front_due(struct guest *g, uint64_t aim)
{
	uint64_t inactive = pages_takeable(&g->pages);
	uint64_t distance = windows_distance(&g->windows, least_distance(aim));

	/* a stop of the VMM is worth it only for many pages at once */
	return inactive < distance / 4 * 3 ? distance - inactive : 0;
}

/* Take cold pages that no limit asks for. */
static void take_step(struct guest *g, uint64_t now)
{
	struct take *t = &g->take;
	bool full;
	uint64_t due;

	g->evict_why = EVICT_COLD;
	full = now >= t->from && (g->refused_all || !step_back_hand(g, t->left));
	if (full || now >= t->upto ||
	    (t->no_more && pages_takeable(&g->pages) == 0 && !g->zap.busy)) {
		t->left = 0;
		g->refused_all = false;
		g->more = false;
	}
	due = t->left > 0 && !t->no_more && !g->zap.busy ? front_due(g, in_use(g)) : 0;
	if (due > 0)
		hands_advance(g, due);
}

void pageout_step(struct guest *g, uint64_t now)
{
	uint64_t aim = goal(g), due;

	g->more = false;
	lower_ceiling(g);
	if (!allowed(g) || now < g->idle_until)
		return;
	if (in_use(g) <= aim) {
		if (g->take.left > 0)
			take_step(g, now);
		return;
	}
	if (g->job == JOB_OUT && !replay_out_recorded(g)) {
		g->more = true;
		return;
	}
	g->swap_full = false;
	g->no_victim = false;
	g->evict_why = why_evicted(g);
	if (g->refused_all || !step_back_hand(g, above(g, aim))) {
		g->refused_all = false;
		g->swap_full = true;
		g->swap_rests = drum_resting(g->drum);
		g->more = false;
		g->idle_until = now + IDLE_NS;
		return;
	}
	due = g->job == JOB_OUT ? HANDS_ZAP_MAX : front_due(g, aim);
	if (!g->zap.busy && due > 0)
		hands_advance(g, due);
	if (g->no_victim)
		g->idle_until = now + IDLE_NS;
	if (g->vain >= g->npages && pages_pinned(&g->pages) > 0 && g->job != JOB_OUT &&
	    !g->sweep.going) {
		g->no_victim = true;
		g->idle_until = now + VAIN_NS;
	}
}
