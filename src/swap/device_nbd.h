/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A swap device on a server that speaks NBD: "nbd:" and the server's URI, as
 * nbd:nbd://host:10809/export or nbd:nbd+unix:///?socket=/run/x.sock; a URI that
 * begins with "nbd://" may stand alone.
 *
 * When the server is gone (or refuses, or does not answer) the device is
 * offline: SWAP_EVENT_OFFLINE is told once, nothing is allocated on it
 * (suspended), writes end with -ENOTCONN, reads wait.  It is connected again as
 * soon as can be, SWAP_EVENT_ONLINE is told, and the reads go on.  A server that
 * comes back smaller, read-only or with larger blocks is not used: the device
 * stays offline and SWAP_EVENT_OFFLINE is told once more, with the reason.
 *
 * What the caller must know:
 *  - A write or a discard that ended with -ENOTCONN may still be carried out by
 *    the server, later.  Its blocks must not be used again until it cannot be.
 *  - Nothing is flushed.  What the server's machine had written and not yet
 *    on its disk when it crashed may be gone; only checksums (sums) tell.
 *  - Identity is the URI.  Two URIs of one export cannot be told to be the same.
 *
 * Names of hosts are looked up by the C library, which takes as long as
 * resolv.conf(5) lets it; all other waits are bounded by the limits below.
 */
#ifndef DRUM_SWAP_DEVICE_NBD_H
#define DRUM_SWAP_DEVICE_NBD_H

#include "base/err.h"
#include "swap/device.h"

/* Milliseconds. */
struct nbd_patience {
	uint32_t connect;	       /* to connect and agree on options */
	uint32_t command;	       /* without an answer, while any request waits for one */
	uint32_t retry_min, retry_max; /* between two attempts to connect */
};

/* Those of all devices that are created from now on; a field of 0 is the default. */
void device_nbd_set_patience(const struct nbd_patience *p);

/*
 * Connect to the server and make it a device; events are for listener (or NULL).
 * => NULL and e: the URI, the server, or the export is not fit, or cannot be reached
 */
struct swap_device *must_check device_nbd_create(const char *path,
						 const struct swap_listener *listener,
						 struct err *e);

/*
 * The same after a restart: a device that has `blocks` blocks in use already.
 * Returns at once; it is offline until it is connected, which is told only if the
 * first attempt fails.
 * => NULL and e: it is not a path of this kind, -ENOMEM
 */
struct swap_device *must_check device_nbd_reopen(const char *path, uint64_t blocks,
						 const struct swap_listener *listener,
						 struct err *e);

/*
 * What the server says now of the export's size, for ops->grow.  Asks with a
 * connection of its own; may sleep.  => bytes, or -errno and e
 */
int64_t must_check device_nbd_size(const struct swap_device *dev, struct err *e);

#endif
