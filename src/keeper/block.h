/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is on a block device, who uses it, and what a loop device is made of.
 * Nothing is written.
 */
#ifndef DRUM_KEEPER_BLOCK_H
#define DRUM_KEEPER_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* What is under a loop device, as struct proto_msg has it: of a file its file
 * system and inode, of a block device its number and 0. */
struct block_backing {
	uint64_t dev, ino;
	bool direct; /* it goes past the page cache of what is under it */
};

/*
 * Names what libblkid finds on the device that is open at fd; swap space of
 * the kernel, which is not in use, does not count.
 * => 0 and found, which is "" for nothing; -errno: it cannot be read
 */
int must_check block_signatures(int fd, char *found, size_t size);

/* Why O_EXCL was refused, for people: after "PATH ". */
void block_user(dev_t device, char *text, size_t size);

/* => is it a loop device (or a partition of one), and of what? */
bool block_is_loop(dev_t device, const char *path, struct block_backing *backing);

/* => is a loop device made of that? Its path */
bool block_find_loop(uint64_t dev, uint64_t ino, char *path, size_t size);

#endif
