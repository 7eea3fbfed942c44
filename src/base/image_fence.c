/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A read lock (of the description: OFD) on one byte, far beyond those that QEMU uses
 * (image_lock.c) and beyond the end of any image, which a lock does not mind.  Where it lies
 * depends on the key: two disks that have the same image, as readers may, do not wait for each
 * other.
 *
 * A read lock, since a process takes its own while the dead one's is still there.
 */

#include "base/image_fence.h"

#include <errno.h>
#include <fcntl.h>

#define FENCE_BASE (UINT64_C(1) << 61)
#define FENCE_MASK (FENCE_BASE - 1)

static struct flock lock_of(short type, uint64_t key)
{
	return (struct flock){ .l_type = type,
			       .l_whence = SEEK_SET,
			       .l_start = (off_t)(FENCE_BASE + (key & FENCE_MASK)),
			       .l_len = 1 };
}

int image_fence_take(int fd, uint64_t key)
{
	struct flock fl = lock_of(F_RDLCK, key);
	int ret;

	do
		ret = fcntl(fd, F_OFD_SETLK, &fl);
	while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

bool image_fence_is_clear(int fd, uint64_t key)
{
	struct flock fl = lock_of(F_WRLCK, key);

	return fcntl(fd, F_OFD_GETLK, &fl) == 0 && fl.l_type == F_UNLCK;
}
