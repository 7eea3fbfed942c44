/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file swap-devices in the run directory: which devices are on, with the
 * numbers that guests' addresses hold.  One line each: number, priority,
 * identity, path.
 */
#ifndef DRUM_VMM_SWAPSET_H
#define DRUM_VMM_SWAPSET_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define SWAPSET_FILE "swap-devices"

struct swapset_entry {
	unsigned int number;
	int priority;
	uint64_t dev, ino; /* identity, see struct swap_device */
	char *path;	   /* of swapset_read: the caller's to free */
};

/* Replace the file as a whole. => 0 or -errno */
int must_check swapset_save(int dir_fd, const struct swapset_entry *set, size_t n);

/*
 * => how many there are (0: there is no file), -EINVAL: a line is not one of
 *    ours, or there are more than max; -errno
 */
int must_check swapset_read(int dir_fd, struct swapset_entry *set, size_t max);

#endif
