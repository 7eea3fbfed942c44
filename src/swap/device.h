/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Swap devices: what holds blocks of 4 KiB.
 *
 * A device knows how to read and write runs of its blocks, asynchronously, on
 * the ring of whoever asks.  It does not know what is allocated: that is the
 * drum's.  After the swap devices of NetBSD's uvm_swap.c (struct swapdev) and
 * the table of operations of its uvm_pager.c.
 *
 * What all kinds have in common is done in device.c, in this order: the
 * checksum of what is written, the limits (queue.h), the kind's own work, the
 * checksum of what was read, the counters.
 *
 * Fields are [I] immutable once the device is in use, [a] atomic.
 */
#ifndef DRUM_SWAP_DEVICE_H
#define DRUM_SWAP_DEVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "base/ring.h"
#include "swap/queue.h"

#define SWAP_BLOCK	   4096u /* bytes of a block */
#define SWAP_BLOCK_SHIFT   12
#define SWAP_IO_BLOCKS_MAX 256u /* blocks that one I/O moves */

struct sums;
struct swap_device;
struct swap_io;

/* err: 0 when every byte was moved, or -errno; never a short count.
 * -EILSEQ: what was read is not what was written; -EFAULT: what was to be
 * written is gone from memory; -ENOTCONN: the device cannot be reached now */
typedef void (*swap_io_done_fn)(struct swap_io *io, int err);

/*
 * One I/O under way.  The caller fills in the first group and keeps it, and
 * the memory that iov names, until done was called.  Vectors are whole blocks.
 */
struct swap_io {
	swap_io_done_fn done;
	bool write;
	bool urgent; /* somebody waits for it: goes first where the device is at its limits */
	uint32_t niov;
	struct iovec iov[SWAP_IO_BLOCKS_MAX];

	/* Valid in done of a write without error: bit k is set where the device
	 * did not take block k (ram: it does not compress). */
	uint64_t refused[SWAP_IO_BLOCKS_MAX / 64];

	/* of the device */
	struct ring_op op;
	struct swap_device *dev;
	struct ring *ring;
	struct swap_io *next; /* waiting in the queue */
	uint64_t due;	      /* ns: when the bandwidth lets it through */
	uint32_t changes;     /* of the queue's limits, when due was set */
	uint64_t block;	      /* first */
	uint64_t offset;      /* bytes from the device's first block */
	uint32_t left;	      /* bytes that are still to be moved */
	uint32_t total;	      /* bytes asked for */
	uint32_t first_iov;
	uint32_t cut; /* bytes of iov[first_iov] that were moved and are cut off */
};

enum swap_event {
	SWAP_EVENT_ERROR,   /* an I/O failed; err tells how */
	SWAP_EVENT_OFFLINE, /* it cannot be reached; reads wait, nothing is allocated */
	SWAP_EVENT_ONLINE,
	SWAP_EVENT_MIRROR_LOST,	 /* one half is out of use */
	SWAP_EVENT_MIRROR_WHOLE, /* both halves hold everything again */
};

/* Whoever wants to know; called on any thread, with no lock held; short. */
struct swap_listener {
	void (*event)(void *arg, struct swap_device *dev, enum swap_event event, int err,
		      const char *text);
	void *arg;
};

struct swap_device_ops {
	const char *kind; /* "file", "block", "ram", "nbd", "mirror", "image" */
	/*
	 * Start io: left bytes at offset, from iov[first_iov] on.  It ends with
	 * device_moved or device_post, never within this call.  On io->ring's
	 * thread.
	 */
	void (*submit)(struct swap_device *dev, struct swap_io *io);
	/* No I/O is under way, no block in use. */
	void (*close)(struct swap_device *dev);

	bool picky; /* writes may be refused, block by block */

	/* The rest may be NULL. */

	/* How many more blocks it could hold, if that is less than are free. */
	uint64_t (*room)(struct swap_device *dev);
	/* These blocks are about to be free.  Any thread; arithmetic only. */
	void (*freed)(struct swap_device *dev, uint64_t block, uint64_t n);
	/* This block is in use: found after a restart. Any thread. */
	void (*claimed)(struct swap_device *dev, uint64_t block);
	/* Should this block's page move on while `moving` is set?  Any thread. */
	bool (*moves)(struct swap_device *dev, uint64_t block);
	/* Does this device, or a half of it, have this identity? (NULL: dev and ino) */
	bool (*is)(const struct swap_device *dev, uint64_t dev_id, uint64_t ino);
	/* Tell the device that these free blocks need not be kept.  May sleep;
	 * called by one thread. => 0 or -errno */
	int (*discard)(struct swap_device *dev, uint64_t block, uint64_t n);
	/* It is `bytes` long now, more than before. => blocks that it has, or -errno */
	int64_t (*grow)(struct swap_device *dev, uint64_t bytes);
};

struct swap_device_counters { /* all [a] */
	uint64_t inflight;    /* 0, loaded with acquire: it may be closed, if none comes */
	uint64_t reads, writes;
	uint64_t read_bytes, write_bytes;
	uint64_t read_errors, write_errors;
	uint64_t checksum_errors; /* among read_errors */
	uint64_t discard_bytes;
};

struct swap_device {
	const struct swap_device_ops *ops; /* [I] */
	char *path;			   /* [I] as it was given */
	uint64_t dev, ino;		   /* [I] identity */
	uint64_t blocks;		   /* [a] usable */
	uint64_t skip;			   /* [I] bytes before block 0 */
	int fd;				   /* [I] */
	struct sums *sums;		   /* [I] checksums, or NULL; closed with the device */
	const struct swap_listener *listener; /* [a] or NULL */
	struct swap_queue queue;
	bool suspended; /* [a] nothing is to be allocated here now */
	/* [a] Half of a mirror: where reads would wait they end with -ENOTCONN, since
	 * the other half can answer, and each change of `suspended` is told. */
	bool is_half;
	/*
	 * [a] Pages on blocks for which ops->moves says so should be moved by
	 * their owners: to other blocks of this device if `anew` (a mirror to be
	 * mended), else to other devices (ram: is nearly full).
	 */
	bool moving, anew;
	uint64_t told_at;    /* [a] ns, of the last SWAP_EVENT_ERROR */
	bool discard_failed; /* [a] it was told once */
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
void device_close(struct swap_device *dev); /* NULL is fine */

/*
 * Read or write io's vectors at block.  Short transfers are carried on, and a
 * transfer that stops short for good is -EIO.
 * => done is called later, on the thread of ring, never from in here
 */
void device_submit(struct swap_device *dev, struct ring *ring, struct swap_io *io,
		   uint64_t block);

bool device_is(const struct swap_device *dev, uint64_t dev_id, uint64_t ino);

/* For kinds of devices. */

/* io's op was completed with res, bytes or -errno: goes on with what is left.
 * On the ring's thread. */
void device_moved(struct swap_io *io, int res);
/* io is done as a whole, err 0 or -errno. Any thread; io may be gone after. */
void device_post(struct swap_io *io, int err);
/* What io->op.done is for I/O on a descriptor: device_moved of its io. */
void device_on_op(struct ring_op *op, int res);
/* Tell the listener, if there is one. */
void device_tell(struct swap_device *dev, enum swap_event event, int err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* What every kind needs. => NULL: out of memory */
struct swap_device *must_check device_alloc(size_t size, const struct swap_device_ops *ops,
					    const char *path);

#endif
