/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a guest's memory is: from its own addresses and from those of the VMM to ours, and to
 * pages of the guest; and the log of what was written, which a migration reads.
 *
 * Every address and length that comes here may be a lie.  Pure: a table of at most 8
 * regions, and arithmetic that cannot wrap.  Owned by one thread; nothing is allocated.
 */
#ifndef DRUM_VMM_VHOST_MEM_H
#define DRUM_VMM_VHOST_MEM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/vhost_msg.h"

#define VHOST_PAGE 4096u /* bytes: of our pages, and of a bit in the log */

/* Part of the guest's memory.  gpa, uva, size and ptr are multiples of VHOST_PAGE. */
struct vhost_mem_region {
	uint64_t gpa;  /* guest-physical address of its first byte */
	uint64_t size; /* bytes, not 0; no sum of an address and it wraps */
	uint64_t uva;  /* its first byte, in the VMM's own memory */
	uint8_t *ptr;  /* and in ours */
	uint64_t page; /* index in the guest's RAM, as struct guest counts */
};

/* Regions overlap neither in gpa nor in uva. */
struct vhost_mem {
	unsigned int n;
	struct vhost_mem_region region[VHOST_REGIONS_MAX];
};

/* A run of bytes that lies in one region. */
struct vhost_place {
	uint8_t *ptr;
	uint64_t len;  /* bytes from ptr on */
	uint64_t page; /* that ptr is in, as in struct vhost_mem_region */
};

/* A bit for each page of guest-physical memory, in memory that the VMM reads. */
struct vhost_log {
	uint8_t *bits; /* NULL: nothing is logged */
	uint64_t size; /* bytes, of which each covers 8 pages */
};

/*
 * Add a region of the front end's table, whose first byte is at ptr and in page `page`.
 * The caller has made sure that its file has r->offset + r->size bytes.
 * => 0, or -EPROTO and e: not whole pages, wraps, overlaps another, or is one too many
 */
int must_check vhost_mem_add(struct vhost_mem *m, const struct vhost_region *r, void *ptr,
			     uint64_t page, struct err *e);

/*
 * Where guest memory begins that has len bytes from gpa on, and how much of it is there in one
 * piece: place.len <= len, and what is left may be in another region.
 * => 0, or -EFAULT: gpa is in no region.  len > 0
 */
int must_check vhost_mem_gpa(const struct vhost_mem *m, uint64_t gpa, uint64_t len,
			     struct vhost_place *place);

/* Are all of the len bytes from gpa on in regions?  No bytes always are. */
bool vhost_mem_has(const struct vhost_mem *m, uint64_t gpa, uint64_t len);

/*
 * The len bytes that the VMM has at uva, which must lie in one region (a ring does).
 * => NULL: they do not.  page: of the first byte; may be NULL
 */
void *vhost_mem_uva(const struct vhost_mem *m, uint64_t uva, uint64_t len, uint64_t *page);

/*
 * Copy len bytes out of guest memory, looking at each of them once.  Eight bytes that are
 * aligned are read in one go.
 * => 0, or -EFAULT: not all of them are in regions
 */
int must_check vhost_mem_read(const struct vhost_mem *m, uint64_t gpa, void *to, uint64_t len);

/* Does the log cover all regions?  It must before anything is written to any of them. */
bool vhost_log_covers(const struct vhost_log *log, const struct vhost_mem *m);

/* Does it cover these bytes?  Where nothing is logged, it does. */
bool vhost_log_has(const struct vhost_log *log, uint64_t gpa, uint64_t len);

/*
 * len bytes from gpa on were written: mark their pages.  To be called after they were, or the
 * VMM may read the page before that, and clear the bit.
 * => false: the log does not cover them all; then no bit is set
 */
bool must_check vhost_log_mark(const struct vhost_log *log, uint64_t gpa, uint64_t len);

#endif
