/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Swap devices: what holds blocks of 4 KiB.
 *
 * A device knows how to read and write runs of its blocks, asynchronously, on
 * the ring of whoever asks.  It does not know what is allocated: that is the
 * drum's.  After the swap devices of NetBSD's uvm_swap.c (struct swapdev).
 */
#ifndef DRUM_SWAP_DEVICE_H
#define DRUM_SWAP_DEVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "base/ring.h"

#define SWAP_BLOCK	   4096u /* bytes of a block */
#define SWAP_BLOCK_SHIFT   12
#define SWAP_IO_BLOCKS_MAX 64u /* blocks that one I/O moves */

struct swap_device;
struct swap_io;

/* err: 0 when every byte was moved, or -errno; never a short count */
typedef void (*swap_io_done_fn)(struct swap_io *io, int err);

/*
 * One I/O under way.  The caller fills in the first group and keeps it, and
 * the memory that iov names, until done was called.
 */
struct swap_io {
	swap_io_done_fn done;
	bool write;
	uint32_t niov;
	struct iovec iov[SWAP_IO_BLOCKS_MAX]; /* consumed while it runs */

	struct ring_op op; /* of the device */
	struct swap_device *dev;
	struct ring *ring;
	uint64_t offset; /* bytes from the device's first block */
	uint32_t left;	 /* bytes that are still to be moved */
	uint32_t total;	 /* bytes asked for */
	uint32_t first_iov;
};

struct swap_device_ops {
	const char *kind;
	/* Start, or go on with, io at io->offset for io->left bytes. */
	void (*submit)(struct swap_device *dev, struct swap_io *io);
	void (*close)(struct swap_device *dev);
};

struct swap_device_counters { /* all [a] */
	uint64_t inflight;
	uint64_t reads, writes;
	uint64_t read_bytes, write_bytes;
	uint64_t read_errors, write_errors;
};

struct swap_device {
	const struct swap_device_ops *ops; /* [I] */
	char *path;			   /* [I] as it was given */
	uint64_t dev, ino;		   /* [I] identity */
	uint64_t blocks;		   /* [I] usable */
	uint64_t skip;			   /* [I] bytes before block 0 */
	int fd;				   /* [I] */
	struct swap_device_counters count;
};

/*
 * A device on fd, a regular file or block device open for O_DIRECT; fd is the
 * device's from now on, also on failure.  bytes is its whole size.
 * => NULL: errno is ENOMEM, or EINVAL for less than one block
 */
struct swap_device *must_check device_file_create(const char *kind, const char *path, int fd,
						  uint64_t dev, uint64_t ino, uint64_t bytes,
						  uint64_t skip);
void device_close(struct swap_device *dev);

/*
 * Read or write io's vectors at block.  Short transfers are carried on, and a
 * transfer that stops short for good is -EIO.
 * => done is called later, on the thread of ring, never from in here
 */
void device_submit(struct swap_device *dev, struct ring *ring, struct swap_io *io,
		   uint64_t block);

#endif
