/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A path is looked up once, with O_PATH; what it names is looked at and then
 * opened through /proc/self/fd, so that nothing but a file or a block device is
 * ever opened for writing, whoever changes the path meanwhile.
 *
 * Swap is written past the page cache (O_DIRECT): pages that go out because
 * memory is short must not fill it again.  Where the file system cannot do
 * that, O_DSYNC has each write done, or its error told, before it counts as
 * done; without it a page could be given up whose write fails later.
 *
 * The kernel refuses writes to what it swaps to itself (ETXTBSY) and to a
 * device that is read-only (EPERM), but it does so when something is written,
 * not at the open.  A write of no bytes is asked the same, and changes nothing.
 */

#include "keeper/open.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "keeper/block.h"
#include "keeper/file.h"

#define BLOCK 4096u

/* Refuse a device that holds anything but swap space, unless forced to. */
static int check_signature(int fd, const struct proto_msg *msg, struct err *e)
{
	const char *path = msg->u.swap.path;
	char found[200];
	int ret;

	/* what we wrote there ourselves may look like anything */
	if (msg->u.swap.again)
		return 0;
	ret = block_signatures(fd, found, sizeof(found));
	if (ret < 0)
		return err_set(e, ret, "cannot look for a signature on %s: %s", path,
			       strerror(-ret));
	if (!found[0])
		return 0;
	if (!msg->u.swap.force)
		return err_set(e, -EBUSY,
			       "%s holds something (%s): if that is no longer needed wipe it "
			       "first (wipefs -a %s), or go past it with --force",
			       path, found, path);
	log_warn("swap: %s held something (%s); it is overwritten, as was asked for", path,
		 found);
	return 0;
}

/* Two drumds must not share it.  Of a block device O_EXCL sees to that too. */
static int lock_whole(int fd, const char *path, struct err *warnings, struct err *e)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return err_set(e, -EBUSY, "%s is in use by another program (it is locked)",
			       path);
	warn_of(warnings, "it cannot be locked (%s), so see to it that nobody else uses it",
		strerror(errno));
	return 0;
}

static int check_writable(int fd, const char *path, struct err *e)
{
	if (pwrite(fd, "", 0, 0) == 0)
		return 0;
	switch (errno) {
	case ETXTBSY:
		return err_set(e, -EBUSY,
			       "%s is in use: it is swap space of the kernel, swapoff it first",
			       path);
	case EPERM:
		return err_set(e, -EROFS, "%s is read-only", path);
	default:
		return err_set(e, -errno, "cannot write to %s: %s", path, strerror(errno));
	}
}

static int open_error(const char *path, const struct stat *st, struct err *e)
{
	int code = errno;
	char user[256];

	if (code == EBUSY && S_ISBLK(st->st_mode)) {
		block_user(st->st_rdev, user, sizeof(user));
		return err_set(e, -EBUSY, "%s %s", path, user);
	}
	if (code == EROFS || (S_ISBLK(st->st_mode) && (code == EPERM || code == EACCES)))
		return err_set(e, -EROFS, "%s is read-only", path);
	return err_set(e, -code, "cannot open %s: %s", path, strerror(code));
}

/* Open what `at` stands for.  => a descriptor, and whether it is O_DIRECT */
static int open_again(int at, const char *path, const struct stat *st, bool *direct,
		      struct err *e)
{
	int excl = S_ISBLK(st->st_mode) ? O_EXCL : 0, fd;
	char self[32];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", at);
	fd = open(self, O_RDWR | O_CLOEXEC | O_DIRECT | excl);
	*direct = fd >= 0 && file_is_direct(fd);
	if (*direct)
		return fd;
	if (fd < 0 && errno != EINVAL)
		return open_error(path, st, e);
	if (fd >= 0)
		close(fd);
	fd = open(self, O_RDWR | O_CLOEXEC | O_DSYNC | excl);
	if (fd < 0)
		return open_error(path, st, e);
	return fd;
}

void open_swap_taken(struct proto_msg *msg, bool block)
{
	strcpy(msg->u.swap.kind, block ? "block" : "file");
	/* a disk label stays whole; a dump begins with its own header */
	msg->u.swap.skip = block && !msg->u.swap.dump ? BLOCK : 0;
}

static int examine_file(int fd, struct proto_msg *msg, bool direct, struct err *warnings,
			struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set(e, -errno, "cannot look at %s: %s", msg->u.swap.path,
			       strerror(errno));
	open_swap_taken(msg, false);
	msg->u.swap.dev = st.st_dev;
	msg->u.swap.ino = st.st_ino;
	msg->bytes = (uint64_t)st.st_size;
	if (!msg->u.swap.dump)
		file_warn(fd, direct, warnings);
	file_warn_readers(&st, warnings);
	/* a file for dumps may be sparse, but must not be somebody's disk image */
	if (msg->u.swap.dump)
		return check_signature(fd, msg, e);
	return file_check_allocated(fd, &st, msg->u.swap.path, warnings, e);
}

static int examine_block(int fd, struct proto_msg *msg, dev_t device, bool direct,
			 struct err *warnings, struct err *e)
{
	struct block_backing under;

	open_swap_taken(msg, true);
	msg->u.swap.dev = device;
	msg->u.swap.ino = 0;
	if (ioctl(fd, BLKGETSIZE64, &msg->bytes) < 0)
		return err_set(e, -errno, "cannot learn the size of %s: %s", msg->u.swap.path,
			       strerror(errno));
	if (msg->u.swap.dump)
		return check_signature(fd, msg, e);
	if (!direct)
		warn_of(warnings, "its blocks are larger than a page: it is slower, and pages "
				  "are in the page cache as well");
	if (block_is_loop(device, msg->u.swap.path, &under) && !under.direct)
		warn_of(warnings,
			"the loop device keeps pages in the page cache as well, which "
			"losetup --direct-io=on avoids");
	return check_signature(fd, msg, e);
}

static int examine(int fd, struct proto_msg *msg, const struct stat *st, bool direct,
		   struct err *warnings, struct err *e)
{
	const char *path = msg->u.swap.path;
	int ret = check_writable(fd, path, e);

	if (ret < 0)
		return ret;
	if (S_ISBLK(st->st_mode))
		ret = examine_block(fd, msg, st->st_rdev, direct, warnings, e);
	else
		ret = examine_file(fd, msg, direct, warnings, e);
	if (ret == 0 && msg->bytes < msg->u.swap.skip + BLOCK)
		ret = err_set(e, -EINVAL, "%s is too small: %llu bytes", path,
			      (unsigned long long)msg->bytes);
	return ret < 0 ? ret : lock_whole(fd, path, warnings, e);
}

int open_swap(struct proto_msg *msg, struct err *e)
{
	struct err warnings = { 0 };
	const char *path = msg->u.swap.path;
	bool direct = false;
	struct stat st;
	int at, fd, ret;

	if (path[0] != '/')
		return err_set(e, -EINVAL, "'%s' is not an absolute path", path);
	at = open(path, O_PATH | O_CLOEXEC);
	if (at < 0)
		return err_set(e, -errno, "cannot use %s: %s", path, strerror(errno));
	if (fstat(at, &st) < 0)
		fd = err_set(e, -errno, "cannot look at %s: %s", path, strerror(errno));
	else if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		fd = err_set(e, -EINVAL, "%s is neither a regular file nor a block device",
			     path);
	else
		fd = open_again(at, path, &st, &direct, e);
	close(at);
	if (fd < 0)
		return fd;
	ret = examine(fd, msg, &st, direct, &warnings, e);
	if (ret < 0) {
		close(fd);
		return ret;
	}
	err_set(e, 0, "%s%s%s", warnings.text[0] ? path : "", warnings.text[0] ? ": " : "",
		warnings.text);
	if (e && e->text[0])
		log_warn("swap: %s", e->text);
	return fd;
}

int open_swap_look(int fd, struct proto_msg *msg, uint64_t was, struct err *e)
{
	struct err warnings = { 0 };
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set(e, -errno, "cannot look at %s: %s", msg->u.swap.path,
			       strerror(errno));
	if (S_ISBLK(st.st_mode)) {
		if (ioctl(fd, BLKGETSIZE64, &msg->bytes) < 0)
			return err_set(e, -errno, "cannot learn the size of %s: %s",
				       msg->u.swap.path, strerror(errno));
		return 0;
	}
	msg->bytes = (uint64_t)st.st_size;
	if (msg->bytes <= was)
		return 0;
	return file_check_allocated(fd, &st, msg->u.swap.path, &warnings, e);
}

int open_bound(const char *path, struct err *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct stat st;
	int fd;

	if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return err_set(e, -EEXIST, "cannot listen on %s: it is there, and is no socket",
			       path);
	if (strlen(path) >= sizeof(addr.sun_path))
		return err_set(e, -ENAMETOOLONG, "the socket's path is too long: %s", path);
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(e, -errno, "cannot make a socket: %s", strerror(errno));
	/* whoever holds the run directory's lock owns this name */
	if ((unlink(path) == 0 || errno == ENOENT) &&
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return fd;
	err_set(e, -errno, "cannot listen on %s: %s", path, strerror(errno));
	close(fd);
	return e->code;
}

int open_listener(const char *path, struct err *e)
{
	int fd = open_bound(path, e);

	if (fd < 0)
		return fd;
	if (chmod(path, 0660) == 0 && listen(fd, 64) == 0)
		return fd;
	err_set(e, -errno, "cannot listen on %s: %s", path, strerror(errno));
	close(fd);
	return e->code;
}
