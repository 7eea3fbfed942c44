/* SPDX-License-Identifier: BSD-2-Clause */

#include "base/image_open.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/image_lock.h"

static const char *const names[] = {
	[IMAGE_CACHE_NONE] = "none",
	[IMAGE_CACHE_DIRECTSYNC] = "directsync",
	[IMAGE_CACHE_WRITETHROUGH] = "writethrough",
	[IMAGE_CACHE_WRITEBACK] = "writeback",
	[IMAGE_CACHE_UNSAFE] = "unsafe",
};

int image_cache_parse(const char *name, enum image_cache *mode)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0) {
			*mode = (enum image_cache)i;
			return 0;
		}
	return -EINVAL;
}

const char *image_cache_name(enum image_cache mode)
{
	return names[mode];
}

static int check_kind(int fd, const char *path, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set(e, -errno, "cannot look at %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(e, -EINVAL, "%s is neither a file nor a block device", path);
	return 0;
}

int image_open(const char *path, enum image_cache mode, bool read_only, struct err *e)
{
	int flags = (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY;
	int direct = image_cache_is_direct(mode) ? O_DIRECT : 0, fd, ret;

	/* O_NONBLOCK: a FIFO is to be refused, and not waited for */
	fd = open(path, flags | direct | O_NONBLOCK);
	if (fd < 0 && errno == EINVAL && direct) {
		direct = 0;
		fd = open(path, flags | O_NONBLOCK);
		if (fd >= 0)
			err_set(e, 0,
				"no O_DIRECT on the file system of %s: what the guest has in "
				"memory is in the host's page cache as well",
				path);
	}
	if (fd < 0)
		return err_set(e, -errno, "cannot open %s for %s: %s", path,
			       read_only ? "reading" : "writing", strerror(errno));
	ret = check_kind(fd, path, e);
	/* io_uring takes O_NONBLOCK at its word, with files too */
	if (ret == 0 && fcntl(fd, F_SETFL, direct) < 0)
		ret = err_set(e, -errno, "cannot set up %s: %s", path, strerror(errno));
	if (ret == 0)
		ret = image_lock(fd, path, read_only, e);
	if (ret < 0)
		close(fd);
	return ret < 0 ? ret : fd;
}
