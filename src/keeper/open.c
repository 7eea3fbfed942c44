/* SPDX-License-Identifier: BSD-2-Clause */

#include "keeper/open.h"

#include <blkid/blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

#define BLOCK 4096u

/*
 * A hole in a file would have to be allocated when a page is written to it,
 * which can fail or dead-lock just when memory is short.  Blocks that are
 * allocated and were never written (fallocate) are none.
 */
static int check_not_sparse(const struct stat *st, const char *path, struct err *e)
{
	long long size = st->st_size, allocated = st->st_blocks * 512LL;

	if (allocated >= size / BLOCK * BLOCK)
		return 0;
	return err_set(e, -EINVAL,
		       "%s is sparse (%lld of %lld bytes are allocated): allocate it, "
		       "e.g. fallocate -l %lld %s",
		       path, allocated, size, size, path);
}

/* Refuse a device on which libblkid finds anything but swap space. */
static int check_signature(const char *path, struct err *e)
{
	blkid_probe probe = blkid_new_probe_from_filename(path);
	const char *type = NULL;
	int ret = 0;

	if (!probe)
		return err_set(e, -EIO, "cannot look for a signature on %s: %s", path,
			       strerror(errno));
	blkid_probe_enable_superblocks(probe, 1);
	blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE);
	blkid_probe_enable_partitions(probe, 1);
	if (blkid_do_safeprobe(probe) != 1) {
		if (blkid_probe_lookup_value(probe, "TYPE", &type, NULL) < 0 &&
		    blkid_probe_lookup_value(probe, "PTTYPE", &type, NULL) < 0)
			type = NULL;
		if (!type || strcmp(type, "swap") != 0)
			ret = err_set(
				e, -EBUSY,
				"%s holds something (%s): wipe it first if that is no longer "
				"needed (wipefs -a %s)",
				path, type ? type : "unclear", path);
	}
	blkid_free_probe(probe);
	return ret;
}

static int lock_whole(int fd, const char *path, struct err *e)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	return err_set(e, -EBUSY, "%s is in use by another program (it is locked)", path);
}

static int examine(int fd, struct proto_msg *msg, struct err *e)
{
	const char *path = msg->u.swap.path;
	struct stat st;
	int ret;

	if (fstat(fd, &st) < 0)
		return err_set(e, -errno, "cannot look at %s: %s", path, strerror(errno));
	if (S_ISREG(st.st_mode)) {
		strcpy(msg->u.swap.kind, "file");
		msg->u.swap.dev = st.st_dev;
		msg->u.swap.ino = st.st_ino;
		msg->u.swap.skip = 0;
		msg->bytes = (uint64_t)st.st_size;
		ret = msg->bytes < BLOCK ? 0 : check_not_sparse(&st, path, e);
	} else if (S_ISBLK(st.st_mode)) {
		strcpy(msg->u.swap.kind, "block");
		msg->u.swap.dev = st.st_rdev;
		msg->u.swap.ino = 0;
		msg->u.swap.skip = BLOCK; /* a disk label stays whole */
		if (ioctl(fd, BLKGETSIZE64, &msg->bytes) < 0)
			return err_set(e, -errno, "cannot learn the size of %s: %s", path,
				       strerror(errno));
		/* what we wrote there ourselves may look like anything */
		ret = msg->u.swap.again ? 0 : check_signature(path, e);
	} else {
		return err_set(e, -EINVAL, "%s is neither a regular file nor a block device",
			       path);
	}
	if (ret < 0)
		return ret;
	if (msg->bytes < msg->u.swap.skip + BLOCK)
		return err_set(e, -EINVAL, "%s is too small: %llu bytes", path,
			       (unsigned long long)msg->bytes);
	if (st.st_mode & 0077 && S_ISREG(st.st_mode))
		log_warn("swap: %s has insecure permissions %04o: guests' memory can be read "
			 "there; "
			 "0600 is right",
			 path, st.st_mode & 07777u);
	return lock_whole(fd, path, e);
}

int open_swap(struct proto_msg *msg, struct err *e)
{
	const char *path = msg->u.swap.path;
	struct stat st;
	int fd, ret, flags = O_RDWR | O_CLOEXEC | O_DIRECT;

	if (path[0] != '/')
		return err_set(e, -EINVAL, "'%s' is not an absolute path", path);
	if (stat(path, &st) < 0)
		return err_set(e, -errno, "cannot use %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(e, -EINVAL, "%s is neither a regular file nor a block device",
			       path);
	if (S_ISBLK(st.st_mode))
		flags |= O_EXCL; /* mounted, or swap of the kernel: EBUSY */
	fd = open(path, flags);
	if (fd < 0 && errno == EBUSY)
		return err_set(e, -EBUSY, "%s is in use (mounted, or swap space of the kernel)",
			       path);
	if (fd < 0 && errno == ETXTBSY)
		return err_set(e, -EBUSY, "%s is swap space of the kernel: swapoff it first",
			       path);
	if (fd < 0 && errno == EINVAL)
		return err_set(e, -EINVAL,
			       "%s cannot be opened with O_DIRECT: put it on another "
			       "file system",
			       path);
	if (fd < 0)
		return err_set(e, -errno, "cannot open %s: %s", path, strerror(errno));
	ret = examine(fd, msg, e);
	if (ret < 0) {
		close(fd);
		return ret;
	}
	return fd;
}

int open_listener(const char *path, struct err *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(addr.sun_path))
		return err_set(e, -ENAMETOOLONG, "the socket's path is too long: %s", path);
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(e, -errno, "cannot make a socket: %s", strerror(errno));
	/* whoever holds the run directory's lock owns this name */
	if (unlink(path) < 0 && errno != ENOENT)
		goto fail;
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || chmod(path, 0660) < 0 ||
	    listen(fd, 64) < 0)
		goto fail;
	return fd;
fail:;
	int ret = err_set(e, -errno, "cannot listen on %s: %s", path, strerror(errno));

	close(fd);
	return ret;
}
