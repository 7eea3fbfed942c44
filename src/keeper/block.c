/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * The kernel lets one holder open a block device with O_EXCL: a mounted file
 * system, its own swap, RAID or LVM, or we.  A partition's holder keeps the
 * whole disk from being held, and the other way round.  It does not say who
 * holds it; /proc does, for the common cases.
 *
 * Loop devices are outside of that.  A file may be under several of them and
 * be open itself, and all of them write to the same blocks.  The driver knows
 * the identity of what is under it.  Its ioctl is sent to devices only that
 * /sys calls loop devices: to another driver the number may mean anything.
 */

#include "keeper/block.h"

#include <blkid/blkid.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Signatures */

/* One of a chain: "ext4 'home'", "gpt partition table". */
static void add_found(blkid_probe probe, char *found, size_t size)
{
	const char *type = NULL, *label = NULL, *more = "";
	size_t len = strlen(found);

	if (blkid_probe_lookup_value(probe, "TYPE", &type, NULL) < 0) {
		more = " partition table";
		if (blkid_probe_lookup_value(probe, "PTTYPE", &type, NULL) < 0)
			return;
	} else if (strcmp(type, "swap") == 0) {
		return;
	}
	if (blkid_probe_lookup_value(probe, "LABEL", &label, NULL) < 0)
		label = NULL;
	snprintf(found + len, size - len, "%s%s%s%s%s%s", len ? ", " : "", type, more,
		 label ? " '" : "", label ? label : "", label ? "'" : "");
}

int block_signatures(int fd, char *found, size_t size)
{
	blkid_probe probe = blkid_new_probe();
	char self[32];
	int again, ret;

	found[0] = '\0';
	/* libblkid's buffers are not aligned as O_DIRECT wants them */
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	again = open(self, O_RDONLY | O_CLOEXEC);
	if (!probe || again < 0) {
		ret = again < 0 ? -errno : -ENOMEM;
		goto out;
	}
	errno = 0;
	ret = blkid_probe_set_device(probe, again, 0, 0) < 0 ? -1 : 0;
	/* all that wipefs(8) would take away, also what is damaged */
	blkid_probe_enable_superblocks(probe, 1);
	blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL |
							 BLKID_SUBLKS_BADCSUM);
	blkid_probe_enable_partitions(probe, 1);
	blkid_probe_set_partitions_flags(probe, BLKID_PARTS_FORCE_GPT);
	while (ret == 0 && (ret = blkid_do_probe(probe)) == 0)
		add_found(probe, found, size);
	ret = ret == 1 ? 0 : errno ? -errno : -EIO;
out:
	if (probe)
		blkid_free_probe(probe);
	if (again >= 0)
		close(again);
	return ret;
}

/* Who uses it */

/* Is the named thing that device, or a partition of it, or the disk it is on? */
static bool is_or_overlaps(const char *name, dev_t device)
{
	char a[64], b[64];
	struct stat st;

	if (name[0] != '/' || stat(name, &st) < 0 || !S_ISBLK(st.st_mode))
		return false;
	if (st.st_rdev == device)
		return true;
	/* /sys/dev/block/M:N is a directory inside of that of its disk */
	for (int i = 0; i < 2; i++) {
		dev_t part = i ? device : st.st_rdev, disk = i ? st.st_rdev : device;
		struct stat up, top;

		snprintf(a, sizeof(a), "/sys/dev/block/%u:%u/..", major(part), minor(part));
		snprintf(b, sizeof(b), "/sys/dev/block/%u:%u/.", major(disk), minor(disk));
		if (stat(a, &up) == 0 && stat(b, &top) == 0 && up.st_ino == top.st_ino &&
		    up.st_dev == top.st_dev)
			return true;
	}
	return false;
}

void block_user(dev_t device, char *text, size_t size)
{
	static const char *const tables[] = { "/proc/swaps", "/proc/self/mounts" };

	snprintf(text, size, "is in use by another program or by the kernel (RAID, LVM, ...)");
	for (int i = 0; i < 2; i++) {
		/* a line of /proc/swaps begins like one of a table of mounts */
		FILE *f = setmntent(tables[i], "re");
		const struct mntent *m;

		while (f && (m = getmntent(f))) {
			if (!is_or_overlaps(m->mnt_fsname, device))
				continue;
			if (i == 0)
				snprintf(
					text, size,
					"is in use: %s is swap space of the kernel, swapoff it "
					"first",
					m->mnt_fsname);
			else
				snprintf(text, size, "is in use: %s is mounted on %s",
					 m->mnt_fsname, m->mnt_dir);
			endmntent(f);
			return;
		}
		if (f)
			endmntent(f);
	}
}

/* Loop devices */

static bool backing_of(const char *path, struct block_backing *backing)
{
	struct loop_info64 info;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), ret;

	if (fd < 0)
		return false;
	ret = ioctl(fd, LOOP_GET_STATUS64, &info);
	close(fd);
	if (ret < 0)
		return false;
	*backing = (struct block_backing){
		.dev = info.lo_rdevice ? info.lo_rdevice : info.lo_device,
		.ino = info.lo_rdevice ? 0 : info.lo_inode,
		.direct = info.lo_flags & LO_FLAGS_DIRECT_IO,
	};
	return true;
}

bool block_is_loop(dev_t device, const char *path, struct block_backing *backing)
{
	char whole[64], part[64];

	snprintf(whole, sizeof(whole), "/sys/dev/block/%u:%u/loop", major(device),
		 minor(device));
	snprintf(part, sizeof(part), "/sys/dev/block/%u:%u/../loop", major(device),
		 minor(device));
	return (access(whole, F_OK) == 0 || access(part, F_OK) == 0) &&
	       backing_of(path, backing);
}

bool block_find_loop(uint64_t dev, uint64_t ino, char *path, size_t size)
{
	DIR *d = opendir("/sys/block");
	const struct dirent *de;
	bool found = false;

	while (d && !found && (de = readdir(d))) {
		char loop[sizeof(de->d_name) + 32];
		struct block_backing b;

		/* there only while something is under it */
		snprintf(loop, sizeof(loop), "/sys/block/%s/loop", de->d_name);
		if (strncmp(de->d_name, "loop", 4) != 0 || access(loop, F_OK) < 0)
			continue;
		snprintf(loop, sizeof(loop), "/dev/%s", de->d_name);
		found = backing_of(loop, &b) && b.dev == dev && b.ino == ino;
		if (found)
			snprintf(path, size, "%s", loop);
	}
	if (d)
		closedir(d);
	return found;
}
