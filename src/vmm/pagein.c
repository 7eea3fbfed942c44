/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A page-in reads a run of swapped pages whose addresses follow each other
 * into a buffer of ours.  Its pages are "reading" from the start to the end.
 * When the read is done each page is put in place:
 *
 *	somebody waits	UFFDIO_COPY into the first that waits; others are woken,
 *			fault anew, and find the page there
 *	nobody waits	written to the memfd through its descriptor; it is then
 *			inactive, and its first touch a minor fault; or it is
 *			mapped at once, if a stream that is sure of itself has
 *			asked for it, and it is not the stream's marker
 *	was discarded	dropped; waiters are woken and find a hole
 *
 * Only when a page is in place its address is taken out of the object, and
 * only then the block is free: a death between the two leaves a page that is
 * in the memfd and has an address, where the page is the truth.  Or the block is
 * kept as a clean copy (kept.h), but not for one who is about to write.  One that was read from
 * a disk's image stays known as a copy of that block (blockmap.h).
 *
 * UFFDIO_COPY may say EAGAIN at any page; the page-in stays "filled" and is
 * carried on later.
 *
 * A read that fails is tried again at once, then page by page for those that
 * somebody waits for, then again and again, ever more slowly.  After
 * paging.give_up who waits gets SIGBUS for this page (UFFDIO_POISON; under KVM
 * QEMU makes a machine check of it), and the page stays where it is: touched
 * again after a zap it is read again.  Where the kernel cannot do that the
 * guest waits.  It never gets anything else.
 *
 * A page whose block has two owners (SWB_LOST) is not read, but given up as soon as
 * somebody waits for it.
 *
 * A page whose block has to move (move.c) is read in the same way; then its
 * data is written elsewhere out of our buffer.  Who touches it meanwhile gets it
 * out of the buffer.  One that is read for a dump (dump.c) likewise.
 */

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/point.h"
#include "vmm/guest.h"
#include "vmm/uffd.h"

#define TRIES_AT_ONCE  3u
#define RETRY_FIRST_NS (10 * NSEC_PER_MSEC)
#define RETRY_MAX_NS   NSEC_PER_SEC
#define TELL_EVERY     20u /* tries, once they are a second apart */

/* Page-ins that moves leave to faults. */
#define KEPT_FOR_FAULTS (PAGEINS_MAX - PAGING_READS_MAX)

static void on_read(struct swap_io *io, int err);
static void place(struct pagein *p);
static void place_waiting(struct pagein *p);
static void give_up_lost(struct pagein *p, uint64_t now);

int pagein_init(struct guest *g)
{
	size_t size = (size_t)PAGEINS_MAX * PAGEIN_PAGES * PAGE_SIZE;

	g->pagein_buf = mmap(NULL, size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (g->pagein_buf == MAP_FAILED) {
		g->pagein_buf = NULL;
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < PAGEINS_MAX; i++) {
		g->pagein[i].guest = g;
		g->pagein[i].buf = g->pagein_buf + (size_t)i * PAGEIN_PAGES * PAGE_SIZE;
	}
	return 0;
}

void pagein_fini(struct guest *g)
{
	if (g->pagein_buf)
		munmap(g->pagein_buf, (size_t)PAGEINS_MAX * PAGEIN_PAGES * PAGE_SIZE);
	g->pagein_buf = NULL;
}

unsigned int pagein_busy(const struct guest *g)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < PAGEINS_MAX; i++)
		n += g->pagein[i].busy;
	return n;
}

unsigned int pagein_in_flight(const struct guest *g)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < PAGEINS_MAX; i++)
		n += g->pagein[i].busy && !g->pagein[i].filled && !g->pagein[i].retry_at;
	return n;
}

static struct pagein *free_pagein(struct guest *g, unsigned int keep)
{
	struct pagein *found = NULL;
	unsigned int nfree = 0;

	for (unsigned int i = 0; i < PAGEINS_MAX; i++) {
		if (g->pagein[i].busy)
			continue;
		if (!found)
			found = &g->pagein[i];
		if (nfree++ >= keep)
			return found;
	}
	return NULL;
}

static bool any_waiter(const struct pagein *p)
{
	for (uint32_t k = 0; k < p->n; k++)
		if (p->waiters[k])
			return true;
	return false;
}

/* May another guest's page be there? */
static bool is_lost(const struct pagein *p)
{
	uint64_t words = 0;

	for (uint32_t k = 0; p->guest->any_lost && k < p->n; k++)
		words |= p->placed >> k & 1 ? 0 : object_get(p->guest->object, p->page + k);
	return words & SWB_LOST;
}

static void submit(struct pagein *p)
{
	p->retry_at = 0;
	p->lost = is_lost(p);
	if (p->lost) {
		p->retry_at = 1; /* pagein_retry gives it up, in this turn */
		return;
	}
	p->io.done = on_read;
	p->io.write = false;
	p->io.urgent = any_waiter(p) || p->held;
	p->io.niov = 1;
	p->io.iov[0] = (struct iovec){ p->buf, (size_t)p->n << PAGE_SHIFT };
	drum_submit(p->guest->drum, p->guest->ring, &p->io, p->addr);
}

/* How many swapped pages from page on lie in a row on swap, at most max. */
static uint32_t run_at(const struct guest *g, uint64_t page, uint32_t max)
{
	const struct region *r = ram_region((struct guest *)g, page);
	uint32_t n;

	if (max > PAGEIN_PAGES)
		max = PAGEIN_PAGES;
	if (max > r->first + r->pages - page)
		max = (uint32_t)(r->first + r->pages - page);
	n = 1 + object_run(g->object, page, max - 1);
	return (uint32_t)page_run(&g->pages, page, page + n, PAGE_SWAPPED);
}

static bool any_writes(const struct guest *g)
{
	return __atomic_load_n(&g->paging->writes, __ATOMIC_RELAXED) > 0;
}

static void begin(struct pagein *p, uint64_t page, uint32_t n, enum drum_move move)
{
	struct guest *g = p->guest;

	assert(n >= 1);
	p->busy = true;
	p->filled = p->writing = false;
	p->why = STALL_NONE;
	p->begun = clock_ns();
	p->alone = !any_writes(g);
	p->move = move;
	p->dump = p->held = false;
	p->map = 0;
	p->page = page;
	p->n = n;
	p->placed = p->discarded = p->dirty = 0;
	memset(p->waiters, 0, sizeof(p->waiters));
	p->addr = object_get(g->object, page) & DRUM_ADDR_MASK;
	assert(p->addr != DRUM_NONE);
	p->tries = 0;
	p->failing = 0;
	for (uint32_t k = 0; k < n; k++)
		page_set(&g->pages, page + k, PAGE_READING);
}

/* Begin to read the run of swapped pages from page on, at most max of them. */
static struct pagein *start(struct guest *g, uint64_t page, uint32_t max, unsigned int keep)
{
	struct pagein *p = free_pagein(g, keep);

	if (!p)
		return NULL;
	begin(p, page, run_at(g, page, max), DRUM_STAY);
	submit(p);
	return p;
}

uint32_t pagein_hold(struct guest *g, uint64_t page, uint32_t max)
{
	struct pagein *p = free_pagein(g, KEPT_FOR_FAULTS);

	if (!p)
		return 0;
	begin(p, page, run_at(g, page, max), DRUM_STAY);
	p->held = true;
	submit(p);
	return p->n;
}

uint32_t pagein_move(struct guest *g, uint64_t page, enum drum_move move)
{
	struct pagein *p = free_pagein(g, KEPT_FOR_FAULTS);
	unsigned int moving = 0;
	uint32_t n, k = 1;

	for (unsigned int i = 0; i < PAGEINS_MAX; i++)
		moving += g->pagein[i].busy && g->pagein[i].move != DRUM_STAY;
	if (!p || moving >= MOVES_MAX)
		return 0;
	n = run_at(g, page, PAGEIN_PAGES);
	while (k < n &&
	       drum_move(g->drum, object_get(g->object, page + k) & DRUM_ADDR_MASK) == move)
		k++;
	begin(p, page, k, move);
	submit(p);
	return k;
}

uint32_t pagein_dump(struct guest *g, uint64_t page, uint32_t max)
{
	struct pagein *p = free_pagein(g, KEPT_FOR_FAULTS);
	unsigned int dumping = 0;

	for (unsigned int i = 0; i < PAGEINS_MAX; i++)
		dumping += g->pagein[i].busy && g->pagein[i].dump;
	if (!p || dumping >= DUMPS_MAX)
		return 0;
	begin(p, page, run_at(g, page, max), DRUM_STAY);
	p->dump = true;
	submit(p);
	return p->n;
}

/*
 * Begin to read what is swapped from page to end.  map: 1 + the mapper for which to map it
 * untouched, all but page `marker`; or 0.
 * => where it has stopped: `end`, unless no more may be read now
 */
static uint64_t prefetch(struct guest *g, uint64_t page, uint64_t end, unsigned int map,
			 uint64_t marker, uint32_t *started)
{
	while ((page = page_find(&g->pages, page, end, PAGE_SWAPPED)) < end) {
		unsigned int reads = __atomic_load_n(&g->paging->reads, __ATOMIC_RELAXED);
		struct pagein *p = NULL;

		if (!pageout_over_limit(g))
			p = start(g, page, (uint32_t)(end - page), PAGEINS_MAX - reads);
		if (!p)
			return page;
		p->map = (uint8_t)map;
		p->marker = marker;
		page += p->n;
		*started += p->n;
	}
	return end;
}

uint32_t pagein_prefetch(struct guest *g, uint64_t page, uint32_t n)
{
	uint64_t end = page + n < g->npages ? page + n : g->npages;
	uint32_t started = 0;

	prefetch(g, page, end, 0, 0, &started);
	return started;
}

void pagein_ahead(struct guest *g, const struct readahead_ask *ask, uint32_t skip,
		  unsigned int m)
{
	unsigned int map = ask->sure ? 1 + m : 0;
	uint32_t k = skip, n, started = 0;

	for (; k < ask->n; k += n) {
		uint64_t first = ask->from + (uint64_t)ask->step * k, to;

		n = 1;
		if (ask->step == 1 || ask->step == -1)
			n = ask->n - k < PAGEIN_PAGES ? ask->n - k : PAGEIN_PAGES;
		if (ask->step == -1)
			first -= n - 1;
		to = prefetch(g, first, first + n, map, ask->from, &started);
		if (to == first + n)
			continue;
		readahead_cut(&g->readahead, ask,
			      k + (ask->step == 1 ? (uint32_t)(to - first) : 0));
		return;
	}
}

bool pagein_fault(struct guest *g, uint64_t page, unsigned int m, uint64_t since, bool write)
{
	struct pagein *p = free_pagein(g, 0);
	struct readahead_ask ask;
	uint32_t n = 1;

	if (!p)
		return false;
	ask = readahead_touch(&g->readahead, page, g->npages, true);
	if (ask.n > 0 && ask.step == 1 && ask.from == page + 1)
		n += ask.n;
	n = run_at(g, page, n);
	begin(p, page, n, DRUM_STAY);
	p->waiters[0] = (uint16_t)(1u << m);
	p->since[0] = since;
	p->dirty = write;
	p->map = (uint8_t)(ask.sure ? 1 + m : 0);
	p->marker = ask.from;
	submit(p);
	/* of ram: it is there already: it need not wait for what is read ahead */
	ring_deliver(g->ring);
	pagein_ahead(g, &ask, n - 1, m);
	return true;
}

static struct pagein *find(struct guest *g, uint64_t page)
{
	for (unsigned int i = 0; i < PAGEINS_MAX; i++) {
		struct pagein *p = &g->pagein[i];

		if (p->busy && page >= p->page && page - p->page < p->n &&
		    !(p->placed & 1u << (page - p->page)))
			return p;
	}
	BROKEN("a page is reading and nobody reads it");
}

/* Somebody waits for what was begun without haste. */
static void raise_read(struct pagein *p)
{
	if (!p->filled && !p->retry_at && !p->io.urgent)
		queue_raise(&p->io.dev->queue, &p->io);
}

void pagein_raise(struct guest *g, uint64_t page)
{
	raise_read(find(g, page));
}

bool pagein_is_failing(struct guest *g, uint64_t page)
{
	return find(g, page)->retry_at != 0;
}

void pagein_join(struct guest *g, uint64_t page, unsigned int m, uint64_t since, bool write)
{
	struct pagein *p = find(g, page);
	uint64_t k = page - p->page;
	struct readahead_ask ask;

	if (!p->waiters[k])
		p->since[k] = since;
	p->waiters[k] |= (uint16_t)(1u << m);
	p->dirty |= (uint32_t)write << k;
	if (p->writing)
		place_waiting(p);
	else
		raise_read(p);
	ask = readahead_touch(&g->readahead, page, g->npages, false);
	pagein_ahead(g, &ask, 0, m);
}

void pagein_discard(struct guest *g, uint64_t page)
{
	struct pagein *p = find(g, page);

	p->discarded |= 1u << (page - p->page);
	if (p->retry_at) { /* one page that cannot be read: no more need to */
		p->retry_at = 0;
		place(p);
	}
}

/* The page is in the memfd, or is to be forgotten: its block is free, or a copy. */
static void release(struct pagein *p, uint32_t k, enum page_state to)
{
	struct guest *g = p->guest;
	bool kept = to != PAGE_HOLE && !(p->dirty >> k & 1) &&
		    kept_put(g, p->page + k, p->buf + ((size_t)k << PAGE_SHIFT));
	uint64_t word = kept ? 0 : object_pop(g->object, p->page + k);

	point_crash("in-popped");
	page_set(&g->pages, p->page + k, to);
	stall_page_done(g, p->page + k);
	p->placed |= 1u << k;
	if (!kept)
		blockmap_free(g, p->page + k, word,
			      to == PAGE_HOLE ? NULL : p->buf + ((size_t)k << PAGE_SHIFT));
}

/* Nothing is in the memfd: it stays where it is. */
static void back_out(struct pagein *p, uint32_t k)
{
	page_set(&p->guest->pages, p->page + k, PAGE_SWAPPED);
	stall_page_done(p->guest, p->page + k);
	p->placed |= 1u << k;
}

static void wake_page(struct pagein *p, uint32_t k)
{
	if (p->waiters[k])
		ram_wake(p->guest, p->page + k, 1);
}

/* => false: the address space is changing, come again */
static bool copy_to_waiter(struct pagein *p, uint32_t k)
{
	struct guest *g = p->guest;

	while (p->waiters[k]) {
		unsigned int m = (unsigned int)__builtin_ctz(p->waiters[k]);
		const struct mapper *mp = &g->mapper[m];
		uint64_t addr = mapper_addr(mp, p->page + k);
		ssize_t done = uffd_copy(mp->uffd, addr, p->buf + ((size_t)k << PAGE_SHIFT),
					 PAGE_SIZE);

		if (done == -EAGAIN || done == -ENOMEM) {
			p->why = done == -EAGAIN ? STALL_CHANGING : STALL_NO_MEMORY;
			return false;
		}
		p->waiters[k] &= (uint16_t) ~(1u << m);
		if (done > 0) {
			point_crash("in-copied");
			release(p, k, PAGE_ACTIVE);
			sample_touch(&g->sample, p->page + k);
			counter_add(&g->count.pages_in, 1);
			hist_add(&g->fault_hist, clock_ns() - p->since[k]);
			/* others, and a second mapping in the same process */
			if (!ram_mapped_once(g, p->page + k))
				ram_wake(g, p->page + k, 1);
			return true;
		}
		if (done == -EEXIST) {
			/* Somebody whom we do not know put a page there.  What
			 * we have read is what the guest wrote. */
			job_quarantine(g, "a page that was on swap has appeared in memory: an "
					  "unknown process maps the RAM");
			p->waiters[k] |= (uint16_t)(1u << m);
			(void)!ram_punch(g, p->page + k, 1);
			return false;
		}
		/* any other error: that process is ending */
	}
	back_out(p, k);
	return true;
}

/* What a stream has asked for is mapped before it is touched, but for the marker. */
static void map_ahead(struct pagein *p, uint64_t page, uint64_t end)
{
	unsigned int m = p->map - 1u;

	if (p->marker >= page && p->marker < end) {
		fault_map_untouched(p->guest, m, page, p->marker - page);
		page = p->marker + 1;
	}
	fault_map_untouched(p->guest, m, page, end - page);
}

/* Pages from k on for which nobody waits. => how many were put into the memfd */
static uint32_t fill_run(struct pagein *p, uint32_t k)
{
	struct guest *g = p->guest;
	uint32_t n = 0;

	while (k + n < p->n && !p->waiters[k + n] && !(p->discarded & 1u << (k + n)) &&
	       !(p->placed & 1u << (k + n)))
		n++;
	if (ram_fill(g, p->page + k, p->buf + ((size_t)k << PAGE_SHIFT), n) < 0) {
		/* some may be in, and would pass for strangers' */
		if (ram_punch(g, p->page + k, n) < 0)
			log_err("guest %s: pages read ahead cannot be taken back", g->name);
		for (uint32_t i = 0; i < n; i++)
			back_out(p, k + i);
		return n;
	}
	point_crash("in-filled");
	for (uint32_t i = 0; i < n; i++)
		release(p, k + i, PAGE_INACTIVE);
	counter_add(&g->count.pages_in, n);
	if (p->map)
		map_ahead(p, p->page + k, p->page + k + n);
	return n;
}

static void place(struct pagein *p)
{
	uint32_t k = 0;

	if (is_lost(p)) {
		give_up_lost(p, clock_ns());
		return;
	}
	while (k < p->n) {
		if (p->placed & 1u << k) {
			k++;
		} else if (p->discarded & 1u << k) {
			release(p, k, PAGE_HOLE);
			wake_page(p, k);
			k++;
		} else if (p->waiters[k]) {
			if (!copy_to_waiter(p, k)) {
				p->guest->again = true;
				return;
			}
			k++;
		} else {
			k += fill_run(p, k);
		}
	}
	p->busy = false;
}

/* Those that somebody waits for, while the rest is being written elsewhere. */
static void place_waiting(struct pagein *p)
{
	if (is_lost(p))
		return; /* place gives it up, when the write has ended */
	for (uint32_t k = 0; k < p->n; k++)
		if (p->waiters[k] && !(p->placed & 1u << k) && !(p->discarded & 1u << k) &&
		    !copy_to_waiter(p, k))
			p->guest->again = true;
}

bool pagein_settle(struct pagein *p, uint32_t k, bool moved)
{
	struct guest *g = p->guest;

	if (p->placed & 1u << k || p->discarded & 1u << k || p->waiters[k] || !moved ||
	    (object_get(g->object, p->page + k) & SWB_LOST))
		return false;
	/* an address is here already: this cannot fail */
	if (object_set(g->object, p->page + k, (p->to + k) | SWB_VALID) < 0)
		BROKEN("a word cannot be replaced");
	point_crash("move-word");
	blockmap_free(g, p->page + k, p->addr + k, NULL);
	back_out(p, k);
	return true;
}

void pagein_trim(struct pagein *p, uint32_t n)
{
	while (p->n > n)
		back_out(p, --p->n);
}

void pagein_leave(struct pagein *p)
{
	for (uint32_t k = 0; k < p->n; k++)
		if (!(p->placed & 1u << k) && !(p->discarded & 1u << k) && !p->waiters[k])
			back_out(p, k);
	place(p);
}

void pagein_place(struct pagein *p)
{
	place(p);
}

/* After an error: keep only the first page that somebody waits for, and that was not
 * given back meanwhile. */
static void shrink(struct pagein *p)
{
	uint32_t keep = p->n;

	for (uint32_t k = 0; k < p->n; k++) {
		if (p->waiters[k] && !(p->discarded & 1u << k) && keep == p->n) {
			keep = k;
			continue;
		}
		if (p->discarded & 1u << k)
			release(p, k, PAGE_HOLE);
		else
			back_out(p, k);
		wake_page(p, k);
	}
	if (keep == p->n) {
		p->busy = false;
		return;
	}
	p->waiters[0] = p->waiters[keep];
	p->since[0] = p->since[keep];
	p->discarded = p->placed = 0;
	p->dirty = p->dirty >> keep & 1;
	p->page += keep;
	p->addr += keep;
	p->n = 1;
}

/*
 * Nobody who waits for the one page of p is to wait any longer.  The page
 * stays on swap: it is read again if it is touched again.
 * => false: not yet
 */
static bool poison(struct pagein *p)
{
	struct guest *g = p->guest;

	while (p->waiters[0]) {
		unsigned int m = (unsigned int)__builtin_ctz(p->waiters[0]);
		const struct mapper *mp = &g->mapper[m];
		ssize_t done = uffd_poison(mp->uffd, mapper_addr(mp, p->page), PAGE_SIZE);

		if (done == -EAGAIN || done == -ENOTSUP)
			return false;
		p->waiters[0] &= (uint16_t) ~(1u << m);
		if (done > 0) {
			counter_add(&g->count.poisoned, 1);
			g->ops->event(g->ops->arg, g, GUEST_EVENT_POISONED, p->page, p->addr);
		}
	}
	log_err("guest %s: page %llu is given up: who touches it gets SIGBUS", g->name,
		(unsigned long long)p->page);
	ram_wake(g, p->page, 1);
	back_out(p, 0);
	p->busy = false;
	return true;
}

/* The block of one of its pages has two owners. */
static void give_up_lost(struct pagein *p, uint64_t now)
{
	if (p->dump) {
		dump_unread(p);
		p->dump = false;
	}
	p->move = DRUM_STAY;
	p->lost = true;
	if (p->n > 1 || !p->waiters[0] || p->discarded)
		shrink(p);
	if (!p->busy)
		return;
	if (!is_lost(p))
		submit(p); /* it was another one of them */
	else if (!poison(p))
		p->retry_at = now + RETRY_MAX_NS;
}

static void on_read(struct swap_io *io, int err)
{
	struct pagein *p = (struct pagein *)((char *)io - offsetof(struct pagein, io));
	struct guest *g = p->guest;
	uint64_t delay, now;

	/* found out while it was read */
	if (is_lost(p)) {
		give_up_lost(p, clock_ns());
		return;
	}

	if (err == 0 && drum_is_image(p->addr) && !blockmap_is_right(g, p->page, p->n, p->buf))
		err = -EILSEQ;
	if (err == 0) {
		point_crash("in-read");
		/* ram: is no device that is kept busy, and no image is written to */
		if (p->waiters[0] && p->n == 1 && p->tries == 0 && !p->io.dev->ops->picky &&
		    !drum_is_image(p->addr))
			beside_read(&g->beside, clock_ns() - p->begun,
				    p->alone && !any_writes(g));
		p->filled = true;
		if (p->dump) {
			dump_filled(p);
			pagein_leave(p);
		} else if (p->move != DRUM_STAY)
			move_filled(p);
		else
			place(p);
		return;
	}
	counter_add(&g->count.read_errors, 1);
	now = clock_ns();
	if (p->failing == 0)
		p->failing = now;
	if (++p->tries < TRIES_AT_ONCE) {
		submit(p);
		return;
	}
	if (p->dump) {
		dump_unread(p);
		p->dump = false;
		if (!any_waiter(p)) {
			shrink(p);
			return;
		}
	}
	if (p->tries == TRIES_AT_ONCE || p->tries % TELL_EVERY == 0)
		log_err("guest %s: page %llu cannot be read from %s, block %llu: %s; the guest "
			"waits",
			g->name, (unsigned long long)p->page, drum_path(g->drum, p->addr),
			(unsigned long long)drum_block_of(p->addr),
			err == -EILSEQ ? "wrong checksum" : strerror(-err));
	if (p->move == DRUM_MOVE_AWAY)
		__atomic_fetch_add(&g->no_read, 1, __ATOMIC_RELAXED);
	p->move = DRUM_STAY;
	if (p->n > 1 || !p->waiters[0] || p->discarded)
		shrink(p);
	if (!p->busy)
		return;
	if (now - p->failing >= __atomic_load_n(&g->paging->give_up, __ATOMIC_RELAXED) &&
	    poison(p))
		return;
	delay = RETRY_FIRST_NS << (p->tries - TRIES_AT_ONCE < 7 ? p->tries - TRIES_AT_ONCE : 7);
	p->retry_at = now + (delay < RETRY_MAX_NS ? delay : RETRY_MAX_NS);
}

void pagein_retry(struct guest *g, uint64_t now)
{
	for (unsigned int i = 0; i < PAGEINS_MAX; i++) {
		struct pagein *p = &g->pagein[i];

		if (!p->busy)
			continue;
		if (p->writing)
			place_waiting(p);
		else if (p->filled)
			place(p);
		else if (p->retry_at && p->retry_at <= now && p->lost)
			give_up_lost(p, now);
		else if (p->retry_at && p->retry_at <= now)
			submit(p);
	}
}
