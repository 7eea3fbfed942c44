/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A fence between a process that was killed and the one that goes on in its place, at an
 * image that both do I/O on.
 *
 * I/O that a process had in flight when it was killed may be carried out after its death.
 * Until it is over the kernel holds the open file description that it goes through,
 * and so the locks that this has.  Each process takes the image through a description of its
 * own, with such a lock; the next one does nothing to the image until no other has it.  So
 * it waits exactly as long as there is something to wait for.
 */
#ifndef DRUM_BASE_IMAGE_FENCE_H
#define DRUM_BASE_IMAGE_FENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/*
 * From now on I/O through fd's description is seen by others.  key says who they
 * are: a number that nobody else who has the same image uses, drawn at random.
 * => 0, or -errno
 */
int must_check image_fence_take(int fd, uint64_t key);

/* Does nobody else hold such a lock, through another description? (If that cannot be told: no.)
 */
bool image_fence_is_clear(int fd, uint64_t key);

#endif
