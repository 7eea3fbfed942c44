/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * userfaultfd(2), the only place that knows its header.
 *
 * All but uffd_guard act on the address space of the process that the
 * descriptor was made in.  Addresses and lengths are multiples of 4096.
 *
 * Errors of the page operations: -EAGAIN the address space is changing (a
 * REMOVE event is on its way): read events, try again; -EEXIST a page is there
 * already, waiters were not woken; -EFAULT (uffd_continue) there is no page;
 * -ENOENT not registered there; -ESRCH the process is gone; -ENOMEM.
 * They return how many bytes were done when that is more than 0.
 */
#ifndef DRUM_VMM_UFFD_H
#define DRUM_VMM_UFFD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

enum uffd_event_type { UFFD_FAULT, UFFD_REMOVE };

struct uffd_event {
	enum uffd_event_type type;
	uint64_t addr;	   /* of the page; REMOVE: of the range */
	uint64_t end;	   /* REMOVE only */
	bool write, minor; /* FAULT only */
	pid_t tid; /* FAULT only: of the thread, as its own process sees it; 0: not told */
};

/*
 * Can this kernel do what is needed: missing and minor faults of shared
 * memory, REMOVE events?  Tried on a descriptor that is thrown away.
 * dev is a descriptor of /dev/userfaultfd or -1.
 * => 0, or -ENOTSUP, -EPERM
 */
int must_check uffd_probe(int dev, struct err *e);

/*
 * Agree on that interface, and on being told who faults if the kernel can do that; a
 * descriptor that has agreed is left as it is, so one of an earlier daemon may not tell.
 */
int must_check uffd_setup(int fd, struct err *e);

/* => 0, or -EBUSY: registered with another userfaultfd, -ESRCH, -errno */
int must_check uffd_register(int fd, uint64_t start, uint64_t len, struct err *e);
int uffd_unregister(int fd, uint64_t start, uint64_t len);

/*
 * Is it registered there?  At an address whose page is not mapped and in the memfd,
 * unless it may be: it would be mapped.
 */
bool uffd_is_registered(int fd, uint64_t addr);

/* Events that are waiting, at most max. => how many, 0: none, or -errno */
int must_check uffd_read(int fd, struct uffd_event *ev, int max);

/* Fill holes with bytes of ours, map them and wake. */
ssize_t must_check uffd_copy(int fd, uint64_t dst, const void *src, uint64_t len);
/* Fill holes with zeros, map them and wake. */
ssize_t must_check uffd_zero(int fd, uint64_t dst, uint64_t len);
/* Map pages that are in the memfd and wake. */
ssize_t must_check uffd_continue(int fd, uint64_t dst, uint64_t len);
/*
 * Make touching this page SIGBUS for who is there, and wake.
 * => as above, and -ENOTSUP: this kernel cannot (before 6.6)
 */
ssize_t must_check uffd_poison(int fd, uint64_t dst, uint64_t len);
/* Wake who waits there; whoever finds nothing mapped faults anew. */
void uffd_wake(int fd, uint64_t start, uint64_t len);

/*
 * Guard our own mapping of guest RAM: a touch of a hole there is SIGBUS (EFAULT
 * for the kernel's I/O), never a new zero page.  dev is a descriptor of
 * /dev/userfaultfd or -1.
 * => a descriptor to be kept for as long as the mapping, or -errno
 */
int must_check uffd_guard(int dev, void *start, size_t len, struct err *e);

#endif
