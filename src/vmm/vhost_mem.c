/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A region is added only if gpa + size, uva + size and page + size / VHOST_PAGE do not wrap;
 * after that "is it in there" is `at - begin < size`, and how much is left is
 * `size - (at - begin)`: neither can wrap, whatever `at` is.  No sum of an address and
 * a length that the guest gave is ever made, only differences and minima.
 *
 * Eight regions are looked through one by one: most guests have three, and the first holds
 * nearly all.
 */
#include "vmm/vhost_mem.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static_assert(sizeof(uintptr_t) == sizeof(uint64_t), "addresses of the VMM fit ours");

static bool wraps(uint64_t at, uint64_t size)
{
	return size - 1 > UINT64_MAX - at;
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b ? b - a < a_size : a - b < b_size;
}

int vhost_mem_add(struct vhost_mem *m, const struct vhost_region *r, void *ptr, uint64_t page,
		  struct err *e)
{
	if (m->n == VHOST_REGIONS_MAX)
		return err_set(e, -EPROTO, "more than %u regions of memory", VHOST_REGIONS_MAX);
	if (r->size == 0 || (r->gpa | r->size | r->uva | (uintptr_t)ptr) % VHOST_PAGE)
		return err_set(
			e, -EPROTO,
			"a region of memory that is not whole pages: %#lx bytes at %#lx (%#lx)",
			r->size, r->gpa, r->uva);
	if (wraps(r->gpa, r->size) || wraps(r->uva, r->size) ||
	    wraps((uintptr_t)ptr, r->size) || wraps(page, r->size / VHOST_PAGE))
		return err_set(e, -EPROTO,
			       "a region of memory that has no end: %#lx bytes at %#lx",
			       r->size, r->gpa);
	for (unsigned int i = 0; i < m->n; i++) {
		const struct vhost_mem_region *o = &m->region[i];

		if (overlap(o->gpa, o->size, r->gpa, r->size) ||
		    overlap(o->uva, o->size, r->uva, r->size))
			return err_set(
				e, -EPROTO,
				"regions of memory that overlap: %#lx bytes at %#lx (%#lx), "
				"%#lx bytes at %#lx (%#lx)",
				o->size, o->gpa, o->uva, r->size, r->gpa, r->uva);
	}
	m->region[m->n++] = (struct vhost_mem_region){
		.gpa = r->gpa, .size = r->size, .uva = r->uva, .ptr = ptr, .page = page
	};
	return 0;
}

int vhost_mem_gpa(const struct vhost_mem *m, uint64_t gpa, uint64_t len,
		  struct vhost_place *place)
{
	for (unsigned int i = 0; i < m->n; i++) {
		const struct vhost_mem_region *r = &m->region[i];
		uint64_t at = gpa - r->gpa;

		if (at >= r->size)
			continue;
		place->ptr = r->ptr + at;
		place->len = len < r->size - at ? len : r->size - at;
		place->page = r->page + at / VHOST_PAGE;
		return 0;
	}
	return -EFAULT;
}

bool vhost_mem_has(const struct vhost_mem *m, uint64_t gpa, uint64_t len)
{
	struct vhost_place place;

	/* each turn leaves a region for good: gpa wraps only where one ends at 2^64 */
	for (; len > 0; gpa += place.len, len -= place.len) {
		if (vhost_mem_gpa(m, gpa, len, &place) < 0)
			return false;
		if (place.len < len && gpa > UINT64_MAX - place.len)
			return false;
	}
	return true;
}

void *vhost_mem_uva(const struct vhost_mem *m, uint64_t uva, uint64_t len, uint64_t *page)
{
	for (unsigned int i = 0; i < m->n; i++) {
		const struct vhost_mem_region *r = &m->region[i];
		uint64_t at = uva - r->uva;

		if (at >= r->size)
			continue;
		if (len > r->size - at)
			return NULL;
		if (page)
			*page = r->page + at / VHOST_PAGE;
		return r->ptr + at;
	}
	return NULL;
}

/* Volatile, so that the compiler does not look twice at what the guest may change. */
static void copy_once(uint8_t *to, const uint8_t *from, uint64_t len)
{
	while (len > 0 && (uintptr_t)from % sizeof(uint64_t)) {
		*to++ = *(const volatile uint8_t *)from++;
		len--;
	}
	for (; len >= sizeof(uint64_t); len -= sizeof(uint64_t)) {
		uint64_t word = *(const volatile uint64_t *)(const void *)from;

		memcpy(to, &word, sizeof(word));
		to += sizeof(word);
		from += sizeof(word);
	}
	while (len-- > 0)
		*to++ = *(const volatile uint8_t *)from++;
}

int vhost_mem_read(const struct vhost_mem *m, uint64_t gpa, void *to, uint64_t len)
{
	uint8_t *out = to;
	struct vhost_place place;

	if (!vhost_mem_has(m, gpa, len))
		return -EFAULT;
	for (; len > 0; gpa += place.len, len -= place.len, out += place.len) {
		if (vhost_mem_gpa(m, gpa, len, &place) < 0)
			return -EFAULT;
		copy_once(out, place.ptr, place.len);
	}
	return 0;
}

bool vhost_log_has(const struct vhost_log *log, uint64_t gpa, uint64_t len)
{
	uint64_t last = gpa + len - 1;

	if (!log->bits || len == 0)
		return true;
	return !wraps(gpa, len) && last / VHOST_PAGE / 8 < log->size;
}

bool vhost_log_covers(const struct vhost_log *log, const struct vhost_mem *m)
{
	for (unsigned int i = 0; i < m->n; i++)
		if (!vhost_log_has(log, m->region[i].gpa, m->region[i].size))
			return false;
	return true;
}

bool vhost_log_mark(const struct vhost_log *log, uint64_t gpa, uint64_t len)
{
	uint64_t page = gpa / VHOST_PAGE, last;

	if (!vhost_log_has(log, gpa, len))
		return false;
	if (!log->bits || len == 0)
		return true;
	/* the VMM takes a byte and clears it at any time, so no bit may be set by a plain
	 * store; release: what was written is there when the bit is */
	for (last = (gpa + len - 1) / VHOST_PAGE; page <= last; page++)
		__atomic_fetch_or(&log->bits[page / 8], (uint8_t)(1u << page % 8),
				  __ATOMIC_RELEASE);
	return true;
}
