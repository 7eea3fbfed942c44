/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The locks that QEMU and its tools take on a disk image, taken in the same way, so
 * that an image is never written by two.
 *
 * They belong to the open file description: a descriptor that was passed on or
 * inherited has them too, and they are gone when its last duplicate is closed.
 */
#ifndef DRUM_BASE_IMAGE_LOCK_H
#define DRUM_BASE_IMAGE_LOCK_H

#include <stdbool.h>

#include "base/err.h"

/*
 * Lock the image that fd has open for reading at least; path is for messages.
 * A writer lets nobody else write or resize it, and nobody else read it who wants
 * it unchanged; a reader lets others read it.  Waits for nobody.
 * => 0; -EBUSY and e: somebody has it open in a way that does not go with this;
 *    -errno and e: the file system does not lock.  Then nothing is locked
 */
int must_check image_lock(int fd, const char *path, bool read_only, struct err *e);

void image_unlock(int fd);

#endif
