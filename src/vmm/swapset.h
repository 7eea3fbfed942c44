/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file swap-devices in the run directory: which devices are on, with the
 * numbers that guests' addresses hold.  One line for each, and for each half of
 * a mirror: number, half, flags, priority, limits, identity, size, path.
 */
#ifndef DRUM_VMM_SWAPSET_H
#define DRUM_VMM_SWAPSET_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define SWAPSET_FILE "swap-devices"

#define SWAPSET_MIRROR	     (1u << 0) /* this is half `half` of a mirror */
#define SWAPSET_DISCARD	     (1u << 1)
#define SWAPSET_NO_CHECKSUMS (1u << 2)

struct swapset_entry {
	unsigned int number;
	unsigned int half; /* 0 or 1 */
	unsigned int flags;
	int priority;
	uint32_t max_inflight;	/* 0: no limit */
	uint64_t max_bandwidth; /* bytes a second; 0: no limit */
	uint64_t dev, ino;	/* identity, see struct swap_device */
	uint64_t bytes;		/* size */
	char *path;		/* of swapset_read: the caller's to free */
};

/* Replace the file as a whole. => 0 or -errno */
int must_check swapset_save(int dir_fd, const struct swapset_entry *set, size_t n);

/*
 * => how many there are (0: there is no file), -EINVAL: a line is not one of
 *    ours, or there are more than max; -errno
 */
int must_check swapset_read(int dir_fd, struct swapset_entry *set, size_t max);

#endif
