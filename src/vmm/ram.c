/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A guest's memfds lie one after the other in one page index space, each
 * beginning at a whole window, and in one stretch of our own address space in
 * the same order: page i is at map + i * 4096.  Gaps between them are holes
 * for ever.
 *
 * Our mapping is read by the look for zeros and by the kernel's writes to swap; where the guest
 * has a disk of ours it is written to as well, on pages that are held (blk_mem_writable,
 * hold.h).  It is guarded: a page that the guest gives back while we look at it turns into
 * SIGBUS, which guard_run catches, and into EFAULT for I/O.  Without the guard such a look
 * would put a new zero page there.
 * It is not locked, other than all else of this process (base/memlock.h): the memory
 * is the VMM's, and only mapped here.
 *
 * What goes into the memfd goes through its descriptor (ram_fill) or
 * through UFFDIO_COPY.  Both make a page appear whole or not at all, so a
 * death in the middle leaves no half-filled page.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/guard.h"
#include "base/log.h"
#include "base/memlock.h"
#include "vmm/guest.h"
#include "vmm/uffd.h"

/* Pages from one probe to the next: a prime, so that all are looked at some time. */
#define PROBE_STEP 7919u

int ram_add_memfd(struct guest *g, int fd, uint64_t bytes, struct err *e)
{
	uint64_t first = 0;
	struct stat st;

	if (g->nregions == PROTO_MEMFDS_MAX) {
		close(fd);
		return err_set(e, -E2BIG, "guest %s has more than %d memfds", g->name,
			       PROTO_MEMFDS_MAX);
	}
	if (g->nregions > 0) {
		const struct region *last = &g->region[g->nregions - 1];

		first = last->first + last->pages;
		first = (first + WINDOW_PAGES - 1) / WINDOW_PAGES * WINDOW_PAGES;
	}
	if (fstat(fd, &st) < 0) {
		close(fd);
		return err_set(e, -errno, "cannot look at the RAM of guest %s: %s", g->name,
			       strerror(errno));
	}
	g->region[g->nregions++] = (struct region){ fd, st.st_ino, first, bytes >> PAGE_SHIFT };
	g->npages = first + (bytes >> PAGE_SHIFT);
	return 0;
}

int ram_begin(struct guest *g, struct err *e)
{
	size_t size = g->npages << PAGE_SHIFT;

	g->map =
		mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (g->map == MAP_FAILED) {
		g->map = NULL;
		return err_set(e, -errno, "cannot reserve %zu bytes of addresses: %s", size,
			       strerror(errno));
	}
	for (unsigned int i = 0; i < g->nregions; i++) {
		const struct region *r = &g->region[i];
		void *at = g->map + (r->first << PAGE_SHIFT);

		if (mmap(at, r->pages << PAGE_SHIFT, PROT_READ, MAP_SHARED | MAP_FIXED, r->fd,
			 0) == MAP_FAILED)
			return err_set(e, -errno, "cannot map the RAM of guest %s: %s", g->name,
				       strerror(errno));
		/* no core dump and no child of ours may hold guest RAM */
		madvise(at, r->pages << PAGE_SHIFT, MADV_DONTDUMP);
		madvise(at, r->pages << PAGE_SHIFT, MADV_DONTFORK);
	}
	/* nothing of it has been touched yet, so nothing is locked either */
	memlock_exempt(g->map, size);
	g->guard_fd = uffd_guard(g->dev_uffd, g->map, size, e);
	return g->guard_fd < 0 ? g->guard_fd : 0;
}

int ram_scan(struct guest *g, struct err *e)
{
	for (unsigned int i = 0; i < g->nregions; i++) {
		const struct region *r = &g->region[i];
		off_t end = (off_t)(r->pages << PAGE_SHIFT), at = 0;

		while (at < end) {
			off_t data = lseek(r->fd, at, SEEK_DATA), hole;

			if (data < 0 && errno == ENXIO)
				break;
			hole = data < 0 ? -1 : lseek(r->fd, data, SEEK_HOLE);
			if (hole < 0)
				return err_set(e, -errno,
					       "cannot look into the RAM of guest %s: %s",
					       g->name, strerror(errno));
			for (off_t p = data >> PAGE_SHIFT; p < hole >> PAGE_SHIFT; p++)
				if (page_get(&g->pages, r->first + (uint64_t)p) == PAGE_HOLE)
					page_set(&g->pages, r->first + (uint64_t)p,
						 PAGE_ACTIVE);
			at = hole;
		}
	}
	return 0;
}

void ram_end(struct guest *g)
{
	if (g->guard_fd >= 0)
		close(g->guard_fd);
	if (g->map)
		munmap(g->map, g->npages << PAGE_SHIFT);
	for (unsigned int i = 0; i < g->nregions; i++)
		close(g->region[i].fd);
	g->guard_fd = -1;
	g->map = NULL;
	g->nregions = 0;
}

struct region *ram_region(struct guest *g, uint64_t page)
{
	for (unsigned int i = 0; i < g->nregions; i++)
		if (page >= g->region[i].first &&
		    page - g->region[i].first < g->region[i].pages)
			return &g->region[i];
	return NULL;
}

bool ram_present(struct guest *g, uint64_t page)
{
	const struct region *r = ram_region(g, page);
	off_t at;

	assert(r);
	at = (off_t)((page - r->first) << PAGE_SHIFT);
	return lseek(r->fd, at, SEEK_DATA) == at;
}

uint64_t ram_extent(struct guest *g, uint64_t page, uint64_t end, bool *data)
{
	const struct region *r = ram_region(g, page);
	off_t at, next;

	*data = false;
	if (!r) /* a gap between regions */
		return page + 1;
	if (end > r->first + r->pages)
		end = r->first + r->pages;
	at = (off_t)((page - r->first) << PAGE_SHIFT);
	next = lseek(r->fd, at, SEEK_DATA);
	*data = next == at;
	if (*data)
		next = lseek(r->fd, at, SEEK_HOLE);
	/* ENXIO: no data from here on */
	if (next < 0 || r->first + ((uint64_t)next >> PAGE_SHIFT) > end)
		return end;
	return r->first + ((uint64_t)next >> PAGE_SHIFT);
}

int ram_punch(struct guest *g, uint64_t page, uint64_t n)
{
	const struct region *r = ram_region(g, page);

	assert(r && page + n <= r->first + r->pages);
	for (;;) {
		if (fallocate(r->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      (off_t)((page - r->first) << PAGE_SHIFT),
			      (off_t)(n << PAGE_SHIFT)) == 0)
			return 0;
		if (errno != EINTR)
			return -errno;
	}
}

int ram_allocate(struct guest *g, uint64_t page, uint64_t n)
{
	const struct region *r = ram_region(g, page);
	int ret;

	assert(r && page + n <= r->first + r->pages);
	do {
		ret = fallocate(r->fd, 0, (off_t)((page - r->first) << PAGE_SHIFT),
				(off_t)(n << PAGE_SHIFT));
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

int ram_fill(struct guest *g, uint64_t page, const void *buf, uint64_t n)
{
	const struct region *r = ram_region(g, page);
	size_t left = n << PAGE_SHIFT;
	off_t at;

	assert(r && page + n <= r->first + r->pages);
	at = (off_t)((page - r->first) << PAGE_SHIFT);
	while (left > 0) {
		ssize_t done = pwrite(r->fd, buf, left, at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done < 0 ? -errno : -EIO;
		buf = (const char *)buf + done;
		left -= (size_t)done;
		at += done;
	}
	return 0;
}

static bool is_zero(const uint8_t *p)
{
	uint64_t first;

	memcpy(&first, p, sizeof(first));
	return first == 0 && memcmp(p, p + sizeof(first), PAGE_SIZE - sizeof(first)) == 0;
}

struct look {
	const struct guest *g;
	const uint64_t *page;
	uint32_t n;
	volatile uint32_t at; /* where a page that is gone stops it */
	volatile uint64_t zeros;
};

static void look_for_zeros(void *arg)
{
	struct look *l = arg;

	for (; l->at < l->n; l->at++)
		if (is_zero(l->g->map + (l->page[l->at] << PAGE_SHIFT)))
			l->zeros |= UINT64_C(1) << l->at;
}

void ram_find_zero(struct guest *g, const uint64_t *page, uint32_t n, uint64_t *zero,
		   uint64_t *gone)
{
	struct look l = { .g = g, .page = page, .n = n };

	assert(n <= 64);
	*gone = 0;
	while (guard_run(look_for_zeros, &l) < 0)
		*gone |= UINT64_C(1) << l.at++;
	*zero = l.zeros;
}

uint64_t ram_pinned(struct guest *g, const uint64_t *page, uint32_t n)
{
	const struct region *r = n > 0 ? ram_region(g, page[0]) : NULL;
	uint64_t index[PIN_BATCH], pinned = 0;
	struct pin_page got[PIN_BATCH];
	uint64_t begin;
	int ret;

	if (!g->paging->pincheck || n == 0)
		return 0;
	assert(r && n <= PIN_BATCH);
	for (uint32_t k = 0; k < n; k++) {
		assert(page[k] >= r->first && page[k] - r->first < r->pages);
		index[k] = page[k] - r->first;
	}
	begin = clock_ns();
	ret = pincheck_look(g->paging->pincheck, g->pin_slot, r->fd, r->ino, index, n, got);
	counter_add(&g->count.pin_checks, n);
	counter_add(&g->count.pin_check_ns, clock_ns() - begin);
	/* fail closed: what cannot be looked at is pinned */
	if (ret != 0)
		return UINT64_MAX;
	for (uint32_t k = 0; k < n; k++)
		if (!pincheck_is_free(&got[k], page_get(&g->pages, page[k]) != PAGE_ACTIVE))
			pinned |= UINT64_C(1) << k;
	return pinned;
}

struct mapper *mapper_find(struct guest *g, uint32_t id)
{
	for (int i = 0; i < PROTO_MAPPERS_MAX; i++)
		if (g->mapper[i].used && g->mapper[i].id == id)
			return &g->mapper[i];
	return NULL;
}

/* Pages that are in no memfd: asked of one that is, it would be mapped. */
static bool may_probe(enum page_state s)
{
	return s == PAGE_HOLE || s == PAGE_SWAPPED;
}

/* Is the range registered, as far as it may be asked? */
static bool is_registered(struct guest *g, const struct mapper *mp,
			  const struct mapper_range *r, uint64_t at)
{
	return !may_probe(page_get(&g->pages, r->page + at)) ||
	       uffd_is_registered(mp->uffd, r->start + (at << PAGE_SHIFT));
}

/* Of a range that the VMM has mapped: is it what it was, cut into other pieces? */
static bool is_old(struct guest *g, const struct mapper *mp, const struct mapper_range *r)
{
	for (uint64_t at = 0; at < r->len >> PAGE_SHIFT; at += WINDOW_PAGES)
		if (!is_registered(g, mp, r, at))
			return false;
	return true;
}

static int set_ranges(struct guest *g, struct mapper *mp, const struct proto_msg *m,
		      struct err *e)
{
	struct mapper_range now[PROTO_RANGES_MAX];
	uint32_t n = m->u.ram.nranges, done = 0;
	int ret = 0;

	if (n > PROTO_RANGES_MAX)
		return err_set(e, -E2BIG, "process %d maps the RAM in too many pieces", m->pid);
	for (uint32_t i = 0; i < n && ret == 0; i++) {
		const struct proto_range *r = &m->u.ram.range[i];

		if (r->memfd >= g->nregions)
			return err_set(e, -EINVAL,
				       "process %d maps memfd %u, which is not known", m->pid,
				       r->memfd);
		now[i] = (struct mapper_range){
			r->start, r->len, g->region[r->memfd].first + (r->off >> PAGE_SHIFT)
		};
		/* again is as good as once, on the same descriptor */
		ret = uffd_register(mp->uffd, r->start, r->len, e);
		done += ret == 0;
	}
	if (ret == 0)
		mp->nranges = 0;
	/* if not, who waits in what was registered before, or just now, must be found there */
	for (uint32_t i = 0; i < done && mp->nranges < PROTO_RANGES_MAX; i++)
		mp->range[mp->nranges++] = now[i];
	return ret;
}

int mapper_add(struct guest *g, const struct proto_msg *m, int uffd, struct err *e)
{
	struct mapper *mp = NULL;
	int ret;

	for (int i = 0; i < PROTO_MAPPERS_MAX && !mp; i++)
		if (!g->mapper[i].used)
			mp = &g->mapper[i];
	if (!mp) {
		close(uffd);
		return err_set(e, -E2BIG, "too many processes map the RAM of guest %s",
			       g->name);
	}
	*mp = (struct mapper){
		.used = true, .guest = g, .id = m->id, .pid = m->pid, .uffd = uffd
	};
	ret = uffd_setup(uffd, e);
	if (ret == 0)
		ret = set_ranges(g, mp, m, e);
	if (ret < 0)
		mapper_drop(g, mp);
	return ret;
}

int mapper_refresh(struct guest *g, struct mapper *mp, const struct proto_msg *m, struct err *e)
{
	return set_ranges(g, mp, m, e);
}

int mapper_update(struct guest *g, struct mapper *mp, const struct proto_msg *m, struct err *e)
{
	bool anew = false;
	int ret;

	for (uint32_t i = 0; mp->pid == g->pid && i < m->u.ram.nranges; i++) {
		const struct proto_range *r = &m->u.ram.range[i];
		struct mapper_range now = { r->start, r->len, 0 };

		if (i >= PROTO_RANGES_MAX || r->memfd >= g->nregions)
			break; /* set_ranges says so */
		now.page = g->region[r->memfd].first + (r->off >> PAGE_SHIFT);
		anew |= !is_old(g, mp, &now);
	}
	ret = set_ranges(g, mp, m, e);
	if (ret == 0 && anew)
		ret = err_set(e, -EFAULT, "process %d has mapped its RAM anew", m->pid);
	return ret;
}

void mapper_drop(struct guest *g, struct mapper *mp)
{
	unsigned int m = (unsigned int)(mp - g->mapper);
	unsigned int kept = 0;

	for (uint32_t i = 0; i < mp->nranges; i++)
		uffd_unregister(mp->uffd, mp->range[i].start, mp->range[i].len);
	if (mp->poll.armed)
		ring_poll_end(g->ring, &mp->poll);
	close(mp->uffd);
	mp->used = false;
	for (unsigned int i = 0; i < g->nparked; i++)
		if (g->parked[i].mapper != m)
			g->parked[kept++] = g->parked[i];
	g->nparked = kept;
	for (unsigned int i = 0; i < PAGEINS_MAX; i++)
		for (unsigned int k = 0; k < PAGEIN_PAGES; k++)
			g->pagein[i].waiters[k] &= (uint16_t) ~(1u << m);
}

uint64_t mapper_page(const struct mapper *mp, uint64_t addr)
{
	for (uint32_t i = 0; i < mp->nranges; i++) {
		const struct mapper_range *r = &mp->range[i];

		if (addr >= r->start && addr - r->start < r->len)
			return r->page + ((addr - r->start) >> PAGE_SHIFT);
	}
	return UINT64_MAX;
}

uint64_t mapper_addr(const struct mapper *mp, uint64_t page)
{
	for (uint32_t i = 0; i < mp->nranges; i++) {
		const struct mapper_range *r = &mp->range[i];

		if (page >= r->page && page - r->page < r->len >> PAGE_SHIFT)
			return r->start + ((page - r->page) << PAGE_SHIFT);
	}
	return 0;
}

bool ram_mapped_once(const struct guest *g, uint64_t page)
{
	unsigned int n = 0;

	for (int m = 0; m < PROTO_MAPPERS_MAX; m++) {
		const struct mapper *mp = &g->mapper[m];

		for (uint32_t i = 0; mp->used && i < mp->nranges; i++)
			n += page >= mp->range[i].page &&
			     page - mp->range[i].page < mp->range[i].len >> PAGE_SHIFT;
	}
	return n == 1;
}

void ram_wake(struct guest *g, uint64_t page, uint64_t n)
{
	for (int m = 0; m < PROTO_MAPPERS_MAX; m++) {
		const struct mapper *mp = &g->mapper[m];

		for (uint32_t i = 0; mp->used && i < mp->nranges; i++) {
			const struct mapper_range *r = &mp->range[i];
			uint64_t from = page > r->page ? page : r->page;
			uint64_t end = r->page + (r->len >> PAGE_SHIFT);
			uint64_t to = page + n < end ? page + n : end;

			if (from < to)
				uffd_wake(mp->uffd, r->start + ((from - r->page) << PAGE_SHIFT),
					  (to - from) << PAGE_SHIFT);
		}
	}
}

void ram_wake_all(struct guest *g)
{
	ram_wake(g, 0, g->npages);
}

bool ram_registered(struct guest *g)
{
	for (int m = 0; m < PROTO_MAPPERS_MAX; m++) {
		const struct mapper *mp = &g->mapper[m];

		for (uint32_t i = 0; mp->used && mp->pid == g->pid && i < mp->nranges; i++) {
			const struct mapper_range *r = &mp->range[i];
			uint64_t at = g->probe % (r->len >> PAGE_SHIFT);

			if (!is_registered(g, mp, r, at))
				return false;
		}
	}
	g->probe += PROBE_STEP;
	return true;
}
