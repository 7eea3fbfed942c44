/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file disks in the run directory: which disks there are, and what was found out of their
 * images when they were added, so that a guest meets the same disk after a restart.
 *
 *	disk NAME
 *	KEY VALUE	to the end of the line; what is not known is passed over
 *	...
 *	end
 */
#ifndef DRUM_VMM_DISKSET_H
#define DRUM_VMM_DISKSET_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/proto.h"
#include "vmm/disk.h"

#define DISKSET_FILE "disks"

struct diskset_entry {
	char name[DISK_NAME_MAX + 1];
	char serial[DISK_SERIAL_MAX + 1];
	char guest[PROTO_NAME_MAX];
	char image[PROTO_PATH_MAX];  /* absolute, or "nbd:URI" */
	char socket[PROTO_PATH_MAX]; /* absolute */
	unsigned int cache;	     /* enum image_cache */
	unsigned int read_only, map, queues;
	unsigned int swapcache; /* enum swapcache_mode */
	unsigned int number;	/* of the device in drum addresses; 0: it has none */
	uint64_t fence; /* key of the image's (base/image_fence.h), and of what is cached */
	/* the image */
	uint64_t dev, ino; /* identity, as of swap; 0, 0: nbd: */
	uint64_t bytes;
	unsigned int block_size, can_discard, can_zero;
};

/* Replace the file as a whole. => 0 or -errno */
int must_check diskset_save(int dir_fd, const struct diskset_entry *const *set, size_t n);

/*
 * => how many there are (0: there is no file), -EINVAL: it is not one of ours, or there are
 *    more than max; -errno
 */
int must_check diskset_read(int dir_fd, struct diskset_entry *set, size_t max);

#endif
