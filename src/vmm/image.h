/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is behind a disk: a raw file, a block device (image_file.c), or an export of an
 * NBD server (image_nbd.c).  Asynchronous, nothing allocated per request.
 *
 * One thread submits to an image at a time, the one of the ring it submits with; it
 * may be another one, with another ring, once nothing is under way.
 *
 * What a process that was killed had under way may still be carried out, after what its
 * successor does: for a file, who makes requests again must see to it (base/image_fence.h);
 * an image on a server does, given a past.
 *
 * Requests that are under way together are in no order.  What is done when a request is
 * submitted is seen by it, and made durable by it if it is a flush.
 */
#ifndef DRUM_VMM_IMAGE_H
#define DRUM_VMM_IMAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/image_open.h"
#include "base/ring.h"
#include "swap/cacheobj.h"

struct image;
struct image_req;

/* err: 0 or -errno.  Called later, never from within image_submit; once; on the thread
 * of the ring.  The request is the caller's again. */
typedef void (*image_done_fn)(struct image_req *req, int err);

enum image_op { IMAGE_READ, IMAGE_WRITE, IMAGE_FLUSH, IMAGE_DISCARD, IMAGE_ZEROES };

#define IMAGE_PARTS 8

/* What image_swapcache.c keeps with a request to an image that has a cache. */
struct image_cached {
	struct cacheobj_change change; /* of what changes blocks */
	uint64_t begun;		       /* READ: bytes for which there is, or was, a part */
	unsigned int parts;	       /* READ: under way */
	int err;		       /* READ: the first one */
	bool told;	/* change was begun, and is ended before done is called */
	bool missed;	/* READ: something of it came from the image */
	bool cancelled; /* READ: nothing more is asked of the image */
};

struct image_req {
	image_done_fn done;
	enum image_op op;
	bool unmap;	   /* ZEROES: the blocks may be given back */
	bool durable;	   /* of what writes: as if a flush followed, whatever the cache mode */
	uint64_t off, len; /* bytes; of a flush neither matters */
	const struct iovec *iov; /* READ, WRITE: len bytes together; stays, with what it
				    names, until done; guest memory may vanish (-EFAULT) */
	unsigned int niov;

	/* of image*.c */
	struct image *image;
	struct ring *ring;
	struct ring_op ring_op;
	struct image_req *next;
	struct image_cached cached;
	uint64_t at;  /* bytes that are done */
	uint32_t now; /* bytes of the piece under way */
	uint8_t phase, tries;
	void *bounce;
	struct iovec part[IMAGE_PARTS];
};

struct image_info {
	uint64_t bytes;	     /* a multiple of block_size */
	uint32_t block_size; /* what off and len are multiples of: virtio's blk_size; >= 512 */
	bool read_only;
	bool can_discard; /* discards do something; where they do not they succeed */
	bool can_zero;	  /* ZEROES moves no data; where it must, it does */
	enum image_cache cache;
};

struct image_ops {
	void (*submit)(struct image *image, struct image_req *req);
	int (*refresh)(struct image *image, uint64_t *bytes, struct err *e);
	void (*cancel)(struct image *image);
	void (*close)(struct image *image); /* frees it */
};

struct image_swapcache;

struct image {
	const struct image_ops *ops;	   /* [I] */
	struct image_info info;		   /* [I] but for bytes, [a], and can_ */
	char *name;			   /* [I] for messages */
	unsigned int under_way;		   /* requests; of the thread that submits */
	struct image_swapcache *swapcache; /* [I] from before the first request; or NULL */
};

/*
 * fd, of image_open, becomes the image's (in every case).  What it was opened with,
 * O_DIRECT or not, holds.
 * => NULL and e
 */
struct image *must_check image_file_open(int fd, const char *name, enum image_cache cache,
					 bool read_only, struct err *e);

/*
 * What a process that uses an image on a server leaves to the next one, should it be killed
 * (image_nbd_late.c).  Each member may be missing: then so is what it is for.
 */
struct image_past {
	/* Give a duplicate of a connection's socket to somebody who outlives this process; on
	 * the image's own thread. => 0, or -errno: the connection is not used */
	int (*keep)(void *arg, int fd);
	void *arg;
	struct image_note *note; /* taken; of image_note_open */
	int fd;			 /* taken: what the last process has given last; -1: none */
};

/*
 * Connect to "nbd:URI" and see what is there.  known: what it was before a restart;
 * then nothing is waited for, and requests wait until the server is there, and until nothing of
 * an earlier process is on its way to it any more.  past may be NULL.
 * => NULL and e
 */
struct image *must_check image_nbd_open(const char *uri, enum image_cache cache, bool read_only,
					const struct image_info *known,
					const struct image_past *past, struct err *e);

/* disk-NAME.server in the run directory, a shared mapping. => NULL and e */
struct image_note *must_check image_note_open(int dir_fd, const char *name, struct err *e);
void image_note_close(struct image_note *note); /* the file stays; NULL is fine */
void image_note_remove(int dir_fd, const char *name);

/*
 * Start a request.  Ends with -EINVAL: no block boundaries, beyond the end, iov is not
 * len bytes; -EROFS: it is read-only; -EFAULT: memory is not there; else what the kernel or
 * the server says.  A write that failed may have been carried out in part.
 */
void image_submit(struct image *image, struct ring *ring, struct image_req *req);

/*
 * Look how large it is now.  May wait for a server (10 s): not on a worker then.  One
 * thread at a time.
 * => 1: it has grown, and may be used that far; 0; -ERANGE and e: it has become
 *    smaller, which is not followed (requests there fail); -errno and e
 */
int must_check image_refresh(struct image *image, struct err *e);

/*
 * Have what waits for a server that is away end with -ECANCELED, soon; the server may still
 * carry it out.  What a kernel has under way ends as it would.  The thread that submits, not
 * from within a done function.
 */
void image_cancel(struct image *image);

/* Nothing may be under way. NULL is fine. The image's cache is off then, too. */
void image_close(struct image *image);

static inline uint64_t image_bytes(const struct image *image)
{
	return __atomic_load_n(&image->info.bytes, __ATOMIC_RELAXED);
}

/* --- for image_*.c -------------------------------------------------------------------- */

static inline struct image_req *image_req_of(struct ring_op *op)
{
	return (struct image_req *)((char *)op - __builtin_offsetof(struct image_req, ring_op));
}

/* Zeros, IMAGE_ZERO_BYTES of them, aligned to 4 KiB. */
#define IMAGE_ZERO_BYTES (64u << 10)
extern const char image_zeros[IMAGE_ZERO_BYTES];

/* All of *image but ops and info. => 0 or -ENOMEM */
int must_check image_init(struct image *image, const struct image_ops *ops, const char *name,
			  enum image_cache cache, bool read_only);

/* One of the cache's own, past the cache: within bounds, and not empty. It is counted. */
void image_submit_raw(struct image *image, struct ring *ring, struct image_req *req);

/* Must what req writes be durable before it ends? */
bool image_is_durable(const struct image *image, const struct image_req *req);

/* On the ring's thread, from a completion: the caller's done. */
void image_end(struct image_req *req, int err);
/* From anywhere: the ring's thread will do so. */
void image_end_later(struct image_req *req, int err);

/*
 * The iov of req from byte `skip` on.  => where, of *n vectors at most IOV_MAX; req->part
 * is used if skip is within a vector
 */
const struct iovec *image_iov_from(struct image_req *req, uint64_t skip, unsigned int *n);

/* Copy len bytes between buf and the iov of req, from byte skip on. => 0 or -EFAULT */
int must_check image_gather(const struct image_req *req, uint64_t skip, void *buf,
			    uint32_t len);
int must_check image_scatter(const struct image_req *req, uint64_t skip, const void *buf,
			     uint32_t len);

#endif
