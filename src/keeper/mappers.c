/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A mapping is told by its file's device and inode, as /proc/PID/maps shows
 * them; the path there is for messages only.  The file is opened through
 * /proc/PID/map_files, which gives the memfd itself and not a copy.
 *
 * Everything read here may be out of date when it is used: a process may
 * die, map or unmap at any time.  The caller looks again after it has
 * acted, until nothing new turns up.
 */

#include "keeper/mappers.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#define PAGE_SIZE 4096u

struct maps_line {
	uint64_t start, end, off;
	char perms[5];
	dev_t dev;
	ino_t ino;
	const char *path; /* "" when there is none */
	char text[PATH_MAX + 128];
};

static FILE *maps_open(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	return fopen(path, "re");
}

static bool maps_next(FILE *f, struct maps_line *l)
{
	unsigned int major_no, minor_no;
	unsigned long ino;
	int at = 0;

	if (!fgets(l->text, sizeof(l->text), f))
		return false;
	l->text[strcspn(l->text, "\n")] = '\0';
	if (sscanf(l->text, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %lu %n", &l->start,
		   &l->end, l->perms, &l->off, &major_no, &minor_no, &ino, &at) < 7)
		return false;
	l->dev = makedev(major_no, minor_no);
	l->ino = ino;
	l->path = l->text + at;
	return true;
}

/* /proc/PID/stat from its third field on, which is in text. => NULL: no process */
static const char *stat_fields(pid_t pid, char text[1024])
{
	char path[64];
	size_t n = 0;
	char *p;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (f) {
		n = fread(text, 1, 1023, f);
		fclose(f);
	}
	text[n] = '\0';
	/* the second field is in brackets and may hold anything */
	p = strrchr(text, ')');
	return p && p[1] == ' ' ? p + 2 : NULL;
}

/* Field number `want` of what stat_fields gives, whose first is 3. */
static uint64_t stat_number(const char *p, int want)
{
	for (int field = 3; p && field < want; field++) {
		p = strchr(p, ' ');
		p = p ? p + 1 : NULL;
	}
	return p ? strtoull(p, NULL, 10) : 0;
}

uint64_t start_time_of(pid_t pid)
{
	char text[1024];

	return stat_number(stat_fields(pid, text), 22);
}

bool is_exiting(pid_t pid)
{
	char text[1024];
	const char *p = stat_fields(pid, text);

	/* the memory goes first, with the last thread's end the rest (field 23: its size) */
	return !p || *p == 'Z' || *p == 'X' || stat_number(p, 23) == 0;
}

static bool is_vmm(pid_t pid)
{
	char path[64], exe[PATH_MAX];
	const char *base;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	n = readlink(path, exe, sizeof(exe) - 1);
	if (n <= 0)
		return false;
	exe[n] = '\0';
	base = strrchr(exe, '/');
	base = base ? base + 1 : exe;
	return strncmp(base, "qemu", 4) == 0 || strncmp(base, "cloud-hypervisor", 16) == 0 ||
	       strncmp(base, "firecracker", 11) == 0 || strncmp(base, "crosvm", 6) == 0;
}

/* Bytes of a "Name:   123 kB" line of /proc/PID/status. */
static uint64_t status_bytes(pid_t pid, const char *name)
{
	char path[64], line[256];
	unsigned long long kib = 0;
	size_t len = strlen(name);
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, name, len) == 0 && line[len] == ':') {
			kib = strtoull(line + len + 1, NULL, 10);
			break;
		}
	fclose(f);
	return kib * 1024;
}

static int open_mapped(pid_t pid, const struct maps_line *l, struct err *e)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)pid,
		 l->start, l->end);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno == ENOENT)
		return err_set(e, -ESRCH, "process %d is gone, or changed its memory",
			       (int)pid);
	return err_set(
		e, -errno,
		"cannot open the RAM of process %d (%s): %s (drumd needs root's privileges)",
		(int)pid, path, strerror(errno));
}

/* What a process has in place of RAM that can be paged, largest first. */
struct other_ram {
	uint64_t hugetlb, private_memfd, file, anonymous;
	char file_name[256];
};

static int add_memfd(pid_t pid, const struct maps_line *l, struct memfd *out, int *n,
		     struct other_ram *other, struct err *e)
{
	struct statfs fs;
	struct stat st;
	int fd;

	for (int i = 0; i < *n; i++)
		if (out[i].dev == l->dev && out[i].ino == l->ino)
			return 0;
	fd = open_mapped(pid, l, e);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0) {
		close(fd);
		return err_set(e, -errno, "cannot look at the RAM of process %d: %s", (int)pid,
			       strerror(errno));
	}
	if (fs.f_type == HUGETLBFS_MAGIC) {
		close(fd);
		other->hugetlb += l->end - l->start;
		return 0;
	}
	if (*n == PROTO_MEMFDS_MAX || st.st_size % PAGE_SIZE != 0) {
		close(fd);
		return err_set(e, -ENOTSUP,
			       *n == PROTO_MEMFDS_MAX
				       ? "process %d has more than %d memfds of guest RAM"
				       : "process %d has guest RAM that is not whole pages "
					 "(limit of memfds: %d)",
			       (int)pid, PROTO_MEMFDS_MAX);
	}
	out[(*n)++] = (struct memfd){ fd, l->dev, l->ino, (uint64_t)st.st_size };
	return 0;
}

static int refuse(pid_t pid, const struct other_ram *other, struct err *e)
{
	if (other->hugetlb)
		return err_set(
			e, -ENOTSUP,
			"the RAM of process %d is huge pages (hugetlb), which cannot be paged: "
			"use a memfd backend without hugetlb",
			(int)pid);
	if (other->private_memfd)
		return err_set(
			e, -ENOTSUP,
			"the RAM of process %d is a memfd, but mapped private: add share=on "
			"(libvirt: <access mode='shared'/>)",
			(int)pid);
	if (is_vmm(pid) && other->file)
		return err_set(e, -ENOTSUP,
			       "the RAM of process %d is the file %s, not a memfd: use "
			       "memory-backend-memfd,share=on",
			       (int)pid, other->file_name);
	if (is_vmm(pid))
		return err_set(
			e, -ENOTSUP,
			"the RAM of process %d is private memory, not a memfd: use -object "
			"memory-backend-memfd,share=on (libvirt: <source type='memfd'/> and "
			"<access mode='shared'/>)",
			(int)pid);
	return err_set(e, -ENOTSUP,
		       "process %d is not a VMM: it maps no memfd of %u MiB or more", (int)pid,
		       (unsigned int)(RAM_MIN >> 20));
}

int memfds_of(pid_t pid, struct memfd out[PROTO_MEMFDS_MAX], int *n, struct err *e)
{
	struct other_ram other = { 0 };
	struct maps_line l;
	int ret = 0;
	FILE *f;

	*n = 0;
	if (start_time_of(pid) == 0)
		return err_set(e, -ESRCH, "no such process: %d", (int)pid);
	f = maps_open(pid);
	if (!f)
		return err_set(e, -errno, "cannot read the mappings of process %d: %s",
			       (int)pid, strerror(errno));
	while (ret == 0 && maps_next(f, &l)) {
		bool memfd = strncmp(l.path, "/memfd:", 7) == 0;
		bool shared = l.perms[3] == 's', writable = l.perms[1] == 'w';
		uint64_t len = l.end - l.start;

		if (len < RAM_MIN || !writable)
			continue;
		if (strncmp(l.path, "/anon_hugepage", 14) == 0) {
			other.hugetlb += len;
		} else if (memfd && shared) {
			ret = add_memfd(pid, &l, out, n, &other, e);
		} else if (memfd) {
			other.private_memfd += len;
		} else if (l.path[0] == '/' && shared) {
			other.file += len;
			snprintf(other.file_name, sizeof(other.file_name), "%s", l.path);
		} else {
			other.anonymous += len;
		}
	}
	fclose(f);
	if (ret == 0 && *n == 0)
		ret = refuse(pid, &other, e);
	if (ret == 0 && status_bytes(pid, "VmLck") >= RAM_MIN)
		ret = err_set(e, -ENOTSUP,
			      "the RAM of process %d is locked: start it without mem-lock=on "
			      "(libvirt: without <locked/>)",
			      (int)pid);
	if (ret < 0) {
		memfds_close(out, *n);
		*n = 0;
	}
	return ret;
}

void memfds_close(struct memfd *m, int n)
{
	for (int i = 0; i < n; i++)
		close(m[i].fd);
}

static bool gone_or_hidden(int code)
{
	return code == ENOENT || code == ESRCH || code == EACCES || code == EPERM;
}

int mapping_of(pid_t pid, const struct memfd *m, int n, struct mapping *out)
{
	struct maps_line l;
	FILE *f = maps_open(pid);
	int ret = 0;

	out->pid = pid;
	out->nranges = 0;
	/* What cannot be read for a reason of ours is not "does not map": it
	 * would read zeros.  A process that not even we may look at is none that
	 * an unprivileged VMM shares its memory with. */
	if (!f)
		return gone_or_hidden(errno) ? 0 : -errno;
	while (ret == 0 && maps_next(f, &l)) {
		for (int i = 0; i < n; i++) {
			uint64_t len = l.end - l.start;

			if (l.dev != m[i].dev || l.ino != m[i].ino || l.off >= m[i].size)
				continue;
			if (out->nranges == PROTO_RANGES_MAX) {
				ret = -E2BIG;
				break;
			}
			if (len > m[i].size - l.off)
				len = m[i].size - l.off;
			out->range[out->nranges++] = (struct proto_range){
				.memfd = (uint32_t)i,
				.off = l.off,
				.len = len,
				.start = l.start,
			};
		}
	}
	fclose(f);
	if (ret < 0)
		return ret;
	out->start_time = start_time_of(pid);
	return out->start_time ? (int)out->nranges : 0;
}

bool mapping_same(const struct mapping *a, const struct mapping *b)
{
	return a->start_time == b->start_time && a->nranges == b->nranges &&
	       memcmp(a->range, b->range, a->nranges * sizeof(a->range[0])) == 0;
}

int mappers_of(const struct memfd *m, int n, struct mapping *out, int max, int *nout,
	       struct err *e)
{
	DIR *d = opendir("/proc");
	struct dirent *de;
	int ret = 0;

	*nout = 0;
	if (!d)
		return err_set(e, -errno, "cannot read /proc: %s", strerror(errno));
	while (ret == 0 && (de = readdir(d))) {
		struct mapping map;
		pid_t pid;

		if (!isdigit((unsigned char)de->d_name[0]))
			continue;
		pid = (pid_t)atoi(de->d_name);
		ret = mapping_of(pid, m, n, &map);
		if (ret < 0 && ret != -E2BIG) {
			ret = err_set(e, ret, "cannot read the mappings of process %d: %s",
				      (int)pid, strerror(-ret));
		} else if (ret < 0) {
			ret = err_set(e, ret,
				      "process %d maps the guest's RAM in more than %d pieces",
				      (int)pid, PROTO_RANGES_MAX);
		} else if (ret > 0 && *nout == max) {
			ret = err_set(e, -E2BIG, "more than %d processes map the guest's RAM",
				      max);
		} else if (ret > 0) {
			out[(*nout)++] = map;
			ret = 0;
		}
	}
	closedir(d);
	return ret;
}

/* Through these, pages are pinned by the descriptor of a memfd: no fault tells of it. */
static bool pins_by_file(const char *target)
{
	return strcmp(target, "/dev/udmabuf") == 0 || strcmp(target, "/dev/iommu") == 0 ||
	       strncmp(target, "/dmabuf:", 8) == 0;
}

int dma_check(pid_t pid, bool pin_check, struct err *e)
{
	char dir[64];
	struct dirent *de;
	int ret = 0;
	DIR *d;

	snprintf(dir, sizeof(dir), "/proc/%d/fdinfo", (int)pid);
	d = opendir(dir);
	if (!d && !gone_or_hidden(errno))
		return err_set(e, -errno, "cannot read %s: %s", dir, strerror(errno));
	while (d && ret == 0 && (de = readdir(d))) {
		char path[PATH_MAX], target[PATH_MAX], line[128];
		unsigned int flags = 0;
		ssize_t n;
		FILE *f;

		if (!isdigit((unsigned char)de->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%d/fd/%s", (int)pid, de->d_name);
		n = readlink(path, target, sizeof(target) - 1);
		if (n <= 0)
			continue;
		target[n] = '\0';
		if (pins_by_file(target)) {
			ret = err_set(e, -ENOTSUP,
				      "process %d uses %s: its RAM may be pinned unseen, and "
				      "cannot be paged",
				      (int)pid, target);
			break;
		}
		if (pin_check)
			continue;
		if (strncmp(target, "/dev/vfio/", 10) == 0) {
			ret = err_set(
				e, -ENOTSUP,
				"process %d uses VFIO (%s): a device writes to its RAM, and "
				"without a pin check (see the log) it cannot be paged",
				(int)pid, target);
			break;
		}
		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", (int)pid, de->d_name);
		f = fopen(path, "re");
		if (!f && !gone_or_hidden(errno))
			ret = err_set(e, -errno, "cannot read %s: %s", path, strerror(errno));
		while (f && fgets(line, sizeof(line), f))
			if (sscanf(line, "flags: %o", &flags) == 1)
				break;
		if (f)
			fclose(f);
		/* a pipe in packet mode has the same bit, and no path */
		if ((flags & O_DIRECT) && target[0] == '/')
			ret = err_set(e, -ENOTSUP,
				      "process %d has %s open with O_DIRECT: without a pin "
				      "check (see the log) a read in flight would be lost when "
				      "its page is taken; use cache=writeback for that disk",
				      (int)pid, target);
	}
	if (d)
		closedir(d);
	return ret;
}
