/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * Whether a file is sparse.  The sum of its blocks (st_blocks) is quick, and
 * what people know from ls -s; but it counts what lies past the end and the
 * file system's own blocks too, so that a small hole hides behind them.
 * FS_IOC_FIEMAP lists the extents and shows each gap; allocated and never
 * written is an extent.  SEEK_HOLE is of no use here: it takes exactly that
 * for a hole.  Where there is no FIEMAP (tmpfs, network, FUSE) the sum must do.
 *
 * A server or a FUSE process may not know its blocks and report none at all.
 * Only then, and only if it knows of no hole either, is the file taken on
 * trust, and the one who asked is told.
 *
 * Copy on write.  btrfs and its like never write a block in place, so that
 * each write may need space that there is not.  The write fails then, and the
 * page stays in memory: nothing is lost, but swap is smaller than it looks.
 * The same holds for a file that shares its blocks with another one.
 */

#include "keeper/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#define PAGE	4096u
#define EXTENTS 64 /* asked for at once */

/* Not in linux/magic.h */
#define MAGIC_FUSE     0x65735546
#define MAGIC_BCACHEFS 0xca451a4e
#define MAGIC_ZFS      0x2fc12fc1
#define MAGIC_CIFS     0xff534d42
#define MAGIC_SMB2     0xfe534d42

enum fs_class {
	FS_LOCAL,
	FS_MEMORY,
	FS_COW,
	FS_REMOTE, /* another process or machine does the writing */
};

struct fs_kind {
	uint32_t magic;
	enum fs_class class;
	const char *name;
};

static const struct fs_kind fs_kinds[] = {
	{ TMPFS_MAGIC, FS_MEMORY, "tmpfs" },	{ RAMFS_MAGIC, FS_MEMORY, "ramfs" },
	{ BTRFS_SUPER_MAGIC, FS_COW, "btrfs" }, { NILFS_SUPER_MAGIC, FS_COW, "nilfs2" },
	{ MAGIC_BCACHEFS, FS_COW, "bcachefs" }, { MAGIC_ZFS, FS_COW, "zfs" },
	{ MAGIC_FUSE, FS_REMOTE, "FUSE" },	{ NFS_SUPER_MAGIC, FS_REMOTE, "NFS" },
	{ MAGIC_CIFS, FS_REMOTE, "CIFS" },	{ MAGIC_SMB2, FS_REMOTE, "SMB" },
	{ V9FS_MAGIC, FS_REMOTE, "9p" },	{ CEPH_SUPER_MAGIC, FS_REMOTE, "Ceph" },
};

/* Magic numbers have 32 bits, and some kernels extend their sign. */
static struct fs_kind kind_of_fs(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) == 0)
		for (size_t i = 0; i < sizeof(fs_kinds) / sizeof(fs_kinds[0]); i++)
			if (fs_kinds[i].magic == (uint32_t)fs.f_type)
				return fs_kinds[i];
	return (struct fs_kind){ 0, FS_LOCAL, "" };
}

void warn_of(struct err *warnings, const char *fmt, ...)
{
	size_t len = strlen(warnings->text), room = sizeof(warnings->text) - len;
	va_list ap;

	if (len && room > 2) {
		strcpy(warnings->text + len, "; ");
		len += 2;
		room -= 2;
	}
	va_start(ap, fmt);
	(void)vsnprintf(warnings->text + len, room, fmt, ap);
	va_end(ap);
}

static int is_sparse(const struct stat *st, const char *path, const char *how, struct err *e)
{
	return err_set(e, -EINVAL,
		       "%s is sparse (%s): have it filled with --fill, or allocate the rest "
		       "with fallocate -l %lld",
		       path, how, (long long)st->st_size);
}

/*
 * Walk the extents up to `end`.
 * => 0 and where the first gap is, or end; whether one is shared with another
 *    file; -EOPNOTSUPP; -errno
 */
static int first_gap(int fd, uint64_t end, uint64_t *gap, bool *shared)
{
	_Alignas(struct fiemap) char
		buf[sizeof(struct fiemap) + EXTENTS * sizeof(struct fiemap_extent)];
	struct fiemap *map = (struct fiemap *)buf;
	uint64_t at = 0;

	while (at < end) {
		uint64_t from = at;

		memset(buf, 0, sizeof(buf));
		map->fm_start = at;
		map->fm_length = end - at;
		map->fm_extent_count = EXTENTS;
		if (ioctl(fd, FS_IOC_FIEMAP, map) < 0)
			return -errno;
		for (uint32_t i = 0; i < map->fm_mapped_extents; i++) {
			const struct fiemap_extent *x = &map->fm_extents[i];

			if (x->fe_logical > at)
				break;
			*shared |= !!(x->fe_flags & FIEMAP_EXTENT_SHARED);
			if (x->fe_logical + x->fe_length > at)
				at = x->fe_logical + x->fe_length;
		}
		if (at == from)
			break;
	}
	*gap = at < end ? at : end;
	return 0;
}

/* btrfs can be told not to, file by file. */
static bool copies_on_write(int fd, const struct fs_kind *fs)
{
	int flags = 0;

	return fs->class == FS_COW &&
	       !(fs->magic == BTRFS_SUPER_MAGIC && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 &&
		 flags & FS_NOCOW_FL);
}

int file_check_allocated(int fd, const struct stat *st, const char *path, struct err *warnings,
			 struct err *e)
{
	uint64_t end = (uint64_t)st->st_size / PAGE * PAGE;
	uint64_t allocated = (uint64_t)st->st_blocks * 512, gap;
	struct fs_kind fs = kind_of_fs(fd);
	bool shared = false;
	char how[80];
	int ret;

	if (end == 0)
		return 0;
	if (allocated == 0 && fs.class == FS_REMOTE &&
	    lseek(fd, 0, SEEK_HOLE) >= (off_t)st->st_size) {
		warn_of(warnings,
			"%s does not tell whether the file is sparse; if it is, writes "
			"may fail when there is no space",
			fs.name);
		return 0;
	}
	if (allocated < end) {
		snprintf(how, sizeof(how), "%llu of %lld bytes are allocated",
			 (unsigned long long)allocated, (long long)st->st_size);
		return is_sparse(st, path, how, e);
	}
	ret = first_gap(fd, end, &gap, &shared);
	if (ret == -EOPNOTSUPP || ret == -ENOTTY || ret == -ENOSYS)
		return 0; /* not known of this file system */
	if (ret < 0)
		return err_set(e, ret, "cannot look where %s is allocated: %s", path,
			       strerror(-ret));
	if (gap < end) {
		snprintf(how, sizeof(how), "there is a hole at byte %llu",
			 (unsigned long long)gap);
		return is_sparse(st, path, how, e);
	}
	if (shared && !copies_on_write(fd, &fs))
		warn_of(warnings,
			"it shares blocks with another file, so that a write may need "
			"new space and fail (pages stay in memory then): use a file of "
			"its own (cp --reflink=never)");
	return 0;
}

void file_warn(int fd, bool direct, struct err *warnings)
{
	struct fs_kind fs = kind_of_fs(fd);

	switch (fs.class) {
	case FS_MEMORY:
		warn_of(warnings,
			"it lies in memory (%s), so that paging to it frees none: "
			"ram:SIZE is meant for that, and compresses",
			fs.name);
		break;
	case FS_COW:
		if (copies_on_write(fd, &fs))
			warn_of(warnings,
				"%s copies on write: a write may need new space and fail "
				"(pages "
				"stay in memory then)%s",
				fs.name,
				fs.magic == BTRFS_SUPER_MAGIC
					? ", which chattr +C on the empty file avoids"
					: "");
		break;
	case FS_REMOTE:
		warn_of(warnings,
			"guests wait while %s does not answer, and what serves it must "
			"not need memory of theirs",
			fs.name);
		break;
	case FS_LOCAL:
		break;
	}
	/* of memory there is nothing better to be had */
	if (!direct && fs.class != FS_MEMORY)
		warn_of(warnings, "no O_DIRECT there: it is slower, and pages are in the page "
				  "cache as well: a block device, or a file on ext4 or XFS, "
				  "has it");
}

void file_warn_readers(const struct stat *st, struct err *warnings)
{
	if (st->st_mode & 0077)
		warn_of(warnings,
			"its permissions %04o let others at guests' memory: chmod 0600",
			st->st_mode & 07777u);
	if (st->st_uid != 0 && st->st_uid != geteuid())
		warn_of(warnings,
			"user %u owns it, who can read guests' memory there: chown root",
			(unsigned int)st->st_uid);
}

bool file_is_direct(int fd)
{
#ifdef STATX_DIOALIGN
	struct statx x;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &x) == 0 &&
	    x.stx_mask & STATX_DIOALIGN)
		return x.stx_dio_offset_align && x.stx_dio_offset_align <= PAGE &&
		       x.stx_dio_mem_align <= PAGE;
#endif
	(void)fd;
	return true;
}
