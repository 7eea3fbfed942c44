/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who maps which memory: what /proc says of guest RAM.
 */
#ifndef DRUM_KEEPER_MAPPERS_H
#define DRUM_KEEPER_MAPPERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/proto.h"

/* A memfd is taken for guest RAM from this size on: firmware, logs of dirty
 * pages and frame buffers are smaller, no guest's RAM is. */
#define RAM_MIN (UINT64_C(16) << 20)

struct memfd {
	int fd; /* read-write, close-on-exec */
	dev_t dev;
	ino_t ino;
	uint64_t size; /* bytes, a multiple of 4096 */
};

/* A process and where it has these memfds. */
struct mapping {
	pid_t pid;
	uint64_t start_time; /* ticks since boot, of /proc/PID/stat */
	uint32_t nranges;
	struct proto_range range[PROTO_RANGES_MAX];
};

/*
 * Find and open the memfds that are the guest RAM of pid.
 * => 0 and *n of them, or: -ESRCH; -EPERM; -ENOTSUP it is not a VMM, or its
 *    RAM is private, huge pages, a file, locked; the text says which
 */
int must_check memfds_of(pid_t pid, struct memfd out[PROTO_MEMFDS_MAX], int *n, struct err *e);
void memfds_close(struct memfd *m, int n);

/*
 * Where pid has the memfds.
 * => how many ranges (0: it does not map them, or is gone), or -E2BIG, -errno
 */
int must_check mapping_of(pid_t pid, const struct memfd *m, int n, struct mapping *out);
bool mapping_same(const struct mapping *a, const struct mapping *b);

/*
 * Every process that maps one of the memfds.
 * => 0 and *nout, or -E2BIG: more than max processes or too many ranges
 */
int must_check mappers_of(const struct memfd *m, int n, struct mapping *out, int max, int *nout,
			  struct err *e);

/*
 * May pages be taken from this process?  By a pager that cannot see which are pinned
 * (no pin_check), not while something could be doing DMA into them behind the page
 * tables: a file open O_DIRECT, VFIO.  By none where pages can be pinned without a
 * fault, through the memfd: /dev/udmabuf, /dev/iommu.
 * => 0 or -ENOTSUP
 */
int must_check dma_check(pid_t pid, bool pin_check, struct err *e);

/* => ticks since boot, or 0: there is no such process */
uint64_t start_time_of(pid_t pid);

/* Is it gone, or so far on its way that it has given up its memory? */
bool is_exiting(pid_t pid);

#endif
