/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the keeper opens for the pager: swap devices, the control socket.
 */
#ifndef DRUM_KEEPER_OPEN_H
#define DRUM_KEEPER_OPEN_H

#include "base/err.h"
#include "base/proto.h"

/*
 * Open msg->u.swap.path for swapping to it, with O_DIRECT and a lock that
 * keeps a second daemon away, and fill in kind, identity, size and skip.
 * => a descriptor, or: -ENOENT, -EINVAL (not a file or block device, sparse,
 *    too small, no O_DIRECT), -EBUSY (in use, or it holds a file system), -EPERM
 */
int must_check open_swap(struct proto_msg *msg, struct err *e);

/* A listening Unix stream socket, mode 0660; a stale one is replaced.
 * => a descriptor, or -errno */
int must_check open_listener(const char *path, struct err *e);

#endif
