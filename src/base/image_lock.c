/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * QEMU (block/file-posix.c) knows permissions, each with a number.  Who uses
 * permission n has a shared lock on byte 100 + n; who does not let others use it has
 * a shared lock on byte 200 + n.  All these locks go together; whether the
 * permissions do is asked of the kernel: would an exclusive lock be had on the byte
 * that contradicts?  One first takes its own locks and then looks at the others', so
 * that of two that come at once one at least sees the other.  (Both may give up.)
 *
 * A lock at a byte says nothing of the data there, nor need the byte exist.
 */

#include "base/image_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>

#define USES_BASE   100
#define DENIES_BASE 200

/* By QEMU's number; bits of what follows. */
enum { READ, WRITE, WRITE_UNCHANGED, RESIZE, PERMISSIONS };

static const struct {
	const char *name, *doing;
} permissions[PERMISSIONS] = {
	[READ] = { "read", "reading it" },
	[WRITE] = { "write", "writing to it" },
	[WRITE_UNCHANGED] = { "write unchanged data to", "rewriting its data" },
	[RESIZE] = { "resize", "changing its size" },
};

#define BIT(n) (1u << (n))

static int set(int fd, int byte, short type)
{
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
	int ret;

	do
		ret = fcntl(fd, F_OFD_SETLK, &fl);
	while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

/* Does another have a lock there? => 1, 0, -errno */
static int others(int fd, int byte)
{
	struct flock fl = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1
	};

	if (fcntl(fd, F_OFD_GETLK, &fl) < 0)
		return -errno;
	return fl.l_type != F_UNLCK;
}

static int lock_bytes(int fd, unsigned int uses, unsigned int denies)
{
	for (int n = 0; n < PERMISSIONS; n++) {
		int ret = (uses & BIT(n)) ? set(fd, USES_BASE + n, F_RDLCK) : 0;

		if (ret == 0 && denies & BIT(n))
			ret = set(fd, DENIES_BASE + n, F_RDLCK);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int refused(const char *path, bool read_only, const char *does, const char *what,
		   struct err *e)
{
	return err_set(
		e, -EBUSY,
		"cannot open %s for %s: another process %s %s; a guest of QEMU, qemu-img, "
		"or another disk here has it open (lsof names who): one must end first",
		path, read_only ? "reading" : "writing", does, what);
}

/* Do the others' locks go with ours? */
static int check_bytes(int fd, const char *path, bool read_only, unsigned int uses,
		       unsigned int denies, struct err *e)
{
	for (int n = 0; n < PERMISSIONS; n++) {
		int ret = (uses & BIT(n)) ? others(fd, DENIES_BASE + n) : 0;

		if (ret > 0)
			return refused(path, read_only, "lets nobody else", permissions[n].name,
				       e);
		if (ret == 0 && denies & BIT(n))
			ret = others(fd, USES_BASE + n);
		if (ret > 0)
			return refused(path, read_only, "is", permissions[n].doing, e);
		if (ret < 0)
			return err_set(e, ret, "cannot look at the locks of %s: %s", path,
				       strerror(-ret));
	}
	return 0;
}

void image_unlock(int fd)
{
	for (int n = 0; n < PERMISSIONS; n++) {
		(void)set(fd, USES_BASE + n, F_UNLCK);
		(void)set(fd, DENIES_BASE + n, F_UNLCK);
	}
}

int image_lock(int fd, const char *path, bool read_only, struct err *e)
{
	unsigned int uses = BIT(READ) | (read_only ? 0 : BIT(WRITE));
	unsigned int denies = BIT(WRITE) | BIT(RESIZE);
	int ret = lock_bytes(fd, uses, denies);

	if (ret < 0)
		err_set(e, ret, "cannot lock %s: %s%s", path, strerror(-ret),
			ret == -ENOLCK || ret == -EOPNOTSUPP
				? "; the file system it is on has no locks (NFS without them?)"
				: "");
	else
		ret = check_bytes(fd, path, read_only, uses, denies, e);
	if (ret < 0)
		image_unlock(fd);
	return ret;
}
