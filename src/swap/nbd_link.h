/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One connection to a server that speaks NBD, through libnbd.
 *
 * Everything is asynchronous but nbd_link_open, which waits for a bounded time.
 * A connection that has failed once is of no use any more: each function
 * then says so by -errno, and nbd_link_error by words.
 *
 * One thread at a time; device_nbd.c says which.
 */
#ifndef DRUM_SWAP_NBD_LINK_H
#define DRUM_SWAP_NBD_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct nbd_link;

struct nbd_export {
	uint64_t bytes;
	bool read_only;
	bool can_trim;
	bool can_zero;
	bool can_flush;
	bool can_fua;
	uint32_t min_request; /* bytes that requests must be multiples of */
	uint32_t max_request; /* bytes that one request may move */
};

/*
 * Connect, within ms milliseconds (the resolver's own limits come on top, where
 * the URI names a host).  When stop_fd (-1: none) becomes readable it is given up.
 * => NULL and e: -EINVAL the URI, -ETIMEDOUT, -ECANCELED stop_fd, -errno
 */
struct nbd_link *must_check nbd_link_open(const char *uri, uint32_t ms, int stop_fd,
					  struct nbd_export *export, struct err *e);
/* What is under way is forgotten: nothing touches its memory any more. */
void nbd_link_close(struct nbd_link *l); /* NULL is fine */

/*
 * Start one request; buf must stay until it was reaped or the link is closed.
 * => 0 and what nbd_link_reap will call it, or -errno: the link has failed
 */
int must_check nbd_link_read(struct nbd_link *l, void *buf, uint32_t bytes, uint64_t offset,
			     uint64_t *cookie);
int must_check nbd_link_write(struct nbd_link *l, const void *buf, uint32_t bytes,
			      uint64_t offset, uint64_t *cookie);
int must_check nbd_link_trim(struct nbd_link *l, uint32_t bytes, uint64_t offset,
			     uint64_t *cookie);
/* Those of exports that can; fua: durable before it ends; hole: zeroes may unmap. */
int must_check nbd_link_write_fua(struct nbd_link *l, const void *buf, uint32_t bytes,
				  uint64_t offset, uint64_t *cookie);
int must_check nbd_link_zero(struct nbd_link *l, uint32_t bytes, uint64_t offset, bool fua,
			     bool hole, uint64_t *cookie);
int must_check nbd_link_flush(struct nbd_link *l, uint64_t *cookie);

/* Its socket. => -1: there is none any more */
int nbd_link_fd(const struct nbd_link *l);

/* Has every request that was started been sent as a whole?  May say no although it was. */
bool nbd_link_is_sent(const struct nbd_link *l);

/*
 * Does this server answer all that it was asked before it closes, if its client has shut
 * down its side of the connection?  nreads reads of `bytes`, all into buf, find out; more at
 * once than sockets hold.  The link is of no use afterwards.
 * => false: it does not, or it could not be told within ms, or stop_fd became readable
 */
bool must_check nbd_link_ends_orderly(struct nbd_link *l, void *buf, uint32_t bytes,
				      unsigned int nreads, uint32_t ms, int stop_fd);

/* Over TCP: a machine at the other end that is silent for so long is gone. */
void nbd_link_set_keepalive(struct nbd_link *l, int seconds);

/*
 * Move what can be moved, waiting for at most ms (-1: for ever) until something
 * can be, or wake_fd (-1: none) is readable.  => 0, or -errno: the link has failed
 */
int must_check nbd_link_run(struct nbd_link *l, int wake_fd, int ms);

/*
 * One request that has ended.
 * => true, its cookie, and in *err 0 or what the server says, -errno;
 *    false: there is none
 */
bool must_check nbd_link_reap(struct nbd_link *l, uint64_t *cookie, int *err);

/* Has the link failed? => 0 or -errno, and why in words. */
int nbd_link_failed(const struct nbd_link *l);
const char *nbd_link_error(const struct nbd_link *l);

#endif
