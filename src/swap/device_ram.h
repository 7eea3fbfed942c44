/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ram:SIZE, the compressed swap device in memory: pages are kept in LZ4's
 * block format in a file on tmpfs.  It is what zram is to a Linux admin, and
 * like it simply the device of the highest priority.
 *
 * SIZE is how much memory it may use, tables included (not counted are 24 KiB
 * for each thread that uses it).  It has four times as many blocks as SIZE has
 * pages: LZ4 makes two to three of guests' pages fit into one, seldom more than
 * four; a block that is not used costs 12 bytes, while too few blocks would leave
 * memory idle where pages compress well.  zram's disksize is chosen like that.
 *
 * Besides reading and writing:
 *  - A page that does not compress to some 3/4, or for which there is no
 *    memory, is refused: swap_io.refused, with err 0.
 *  - `suspended` is set while it is nearly full, or the system has no memory
 *    for it.
 *  - `moving` is set from 90 % of SIZE in use down to 80 %, and ops->moves is
 *    true for the pages that were written first, as many as bring it to 80 %.
 *  - A block whose memory is damaged is -EILSEQ, and counts in checksum_errors.
 */
#ifndef DRUM_SWAP_DEVICE_RAM_H
#define DRUM_SWAP_DEVICE_RAM_H

#include <stdint.h>

#include "base/err.h"
#include "swap/device.h"

struct device_ram_stats {
	uint64_t limit;		 /* bytes: SIZE */
	uint64_t memory;	 /* bytes in use of it, tables included */
	uint64_t packed;	 /* the same, less what packing would give back */
	uint64_t pages;		 /* stored now */
	uint64_t bytes;		 /* that they take, compressed */
	uint64_t incompressible; /* pages refused for that */
	uint64_t no_memory;	 /* pages refused for want of memory */
	uint64_t damaged;
	uint64_t packings; /* 64 KiB pieces that were emptied into others */
	uint64_t cold;	   /* bytes that should move on now */
};

/*
 * A device of `bytes` bytes in the file fd, which is on tmpfs, empty or left by
 * an earlier process; fd is the device's from now on, also on failure.  path is
 * "ram:512M", as it was given.
 * => NULL and e: -EINVAL for a size that cannot be, or a file of something else;
 *    -ENOSPC: no memory; -errno
 */
struct swap_device *must_check device_ram_create(const char *path, int fd, uint64_t bytes,
						 struct err *e);

/*
 * After a restart, when every block that somebody owns was claimed
 * (ops->claimed): what nobody claimed is dropped.  Before the first allocation.
 */
void device_ram_claims_done(struct swap_device *dev);

/*
 * Give memory that is free back to the system, at most 2 MiB in a call, and look
 * again whether there is some where there was none.  To be called about once a
 * second: a device that is only read from has no other occasion.  May sleep;
 * any thread but one on which faults wait.
 */
void device_ram_tend(struct swap_device *dev);

bool device_is_ram(const struct swap_device *dev);
void device_ram_get_stats(struct swap_device *dev, struct device_ram_stats *out);

#endif
