/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the keeper opens for the pager: swap devices, the control socket.
 */
#ifndef DRUM_KEEPER_OPEN_H
#define DRUM_KEEPER_OPEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/proto.h"

/*
 * Open msg->u.swap.path for swapping to it, with O_DIRECT where there is such
 * a thing and O_DSYNC elsewhere, held and locked against others; and fill in
 * kind, identity, size and skip.  With `force` a signature on a block device
 * does not matter, with `again` it is not even looked for.  With `dump` it is for
 * dumps: nothing is skipped, and a file may be sparse.
 * => a descriptor, and e->text may be a warning with e->code 0; or: -ENOENT,
 *    -EINVAL not a file or block device, sparse, too small; -EBUSY in use, or
 *    it holds something; -EROFS; -errno
 */
int must_check open_swap(struct proto_msg *msg, struct err *e);

/* Fill in what open_swap does not ask the device for: of one that was opened before. */
void open_swap_taken(struct proto_msg *msg, bool block);

/*
 * How large is it now?  What a file has grown by must be allocated.
 * => 0 and msg->bytes, which may be what it `was`, or less; -EINVAL: grown, but
 *    sparse; -errno
 */
int must_check open_swap_look(int fd, struct proto_msg *msg, uint64_t was, struct err *e);

/* A listening Unix stream socket, mode 0660; a stale one is replaced.
 * => a descriptor, or -errno */
int must_check open_listener(const char *path, struct err *e);
/* The same, but nobody can connect yet: for those who have more to say of its mode. */
int must_check open_bound(const char *path, struct err *e);

#endif
