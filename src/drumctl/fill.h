/* SPDX-License-Identifier: BSD-2-Clause */
/* Files without holes: what a swap file must be. */
#ifndef DRUM_DRUMCTL_FILL_H
#define DRUM_DRUMCTL_FILL_H

#include "base/err.h"

/*
 * Allocate the holes of the regular file at path, with the rights of whoever
 * runs this; data in it stays as it is.  A bar is shown.
 * => 0, or: -EINVAL not a regular file, or empty; -EBUSY in use as swap, or
 *    being filled already; -ENOSPC; -errno
 */
int must_check fill_holes(const char *path, struct err *e);

#endif
