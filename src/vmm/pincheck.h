/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Is somebody doing I/O into a page of guest RAM, behind the page tables?
 *
 * A VMM's O_DIRECT read, a registered buffer of io_uring, or a device that has
 * been given to the guest (VFIO) writes to the page itself and not to an
 * address.  Such a page must not be taken: what comes in later would be lost.
 * The kernel's own reclaim knows them by their reference count, and so do we.
 *
 * libbpf is used by pincheck.c alone.
 */
#ifndef DRUM_VMM_PINCHECK_H
#define DRUM_VMM_PINCHECK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "vmm/pincheck_bpf.h"

struct pincheck;

/*
 * Load the program, and try it on pages whose counts are known.  Needs
 * CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN, and a kernel with BTF.
 * => 0, or -errno and e: it cannot be used here
 */
int must_check pincheck_open(struct pincheck **out, struct err *e);
void pincheck_close(struct pincheck *p); /* NULL is fine */

/* A thread that wants to look needs a slot of its own. => it, or -ENOSPC; any thread */
int must_check pincheck_slot(struct pincheck *p);
void pincheck_slot_free(struct pincheck *p, int slot); /* -1 is fine */

/*
 * The references of pages of a memfd, by their index there.  n at most PIN_BATCH.
 * => 0 and out[0 .. n-1], or -errno
 */
int must_check pincheck_look(struct pincheck *p, int slot, int memfd, ino_t ino,
			     const uint64_t *page, uint32_t n, struct pin_page *out);

/*
 * May a page be taken?  Yes, if each of its references is known: the page
 * cache's, and those of mappings.  And if no VMM has it mapped (`unmapped`) it may
 * have one mapping at most, our own.
 */
bool pincheck_is_free(const struct pin_page *page, bool unmapped);

/*
 * New pages may be in a list of a CPU that goes to the LRU lists as a whole, and
 * are referred to by it.  Have the kernel empty those lists, where it can.
 * => may block for as long as it takes all CPUs to look
 */
void pincheck_drain(void);

#endif
