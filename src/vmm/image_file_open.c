/* SPDX-License-Identifier: BSD-2-Clause */
/* A file or block device behind a disk: what it can do, and what it wants. */

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memlock.h"
#include "vmm/image_file_priv.h"

#define PAGE 4096u

static int file_size(const struct image_file *f, uint64_t *bytes)
{
	struct stat st;

	if (f->block_device)
		return ioctl(f->fd, BLKGETSIZE64, bytes) < 0 ? -errno : 0;
	if (fstat(f->fd, &st) < 0)
		return -errno;
	*bytes = (uint64_t)st.st_size;
	return 0;
}

static int file_refresh(struct image *image, uint64_t *bytes, struct err *e)
{
	int ret = file_size(file_of(image), bytes);

	if (ret < 0)
		return err_set(e, ret, "cannot tell the size of %s: %s", image->name,
			       strerror(-ret));
	return 0;
}

static void file_close(struct image *image)
{
	struct image_file *f = file_of(image);

	if (f->pool)
		munmap(f->pool, BOUNCE_BUFFERS * BOUNCE_BYTES);
	close(f->fd);
	free(f);
}

static const struct image_ops file_ops = {
	.submit = file_submit,
	.refresh = file_refresh,
	.close = file_close,
};

/* Not in the headers of some that run on kernels which know it (6.1). */
#ifndef STATX_DIOALIGN
#define STATX_DIOALIGN 0x2000u
#endif
#define DIO_MEM_ALIGN 38 /* words of 32 bits into struct statx */

static bool is_power(uint32_t n)
{
	return n && !(n & (n - 1)) && n <= PAGE;
}

/* Others must be tried.  Reads change nothing. */
static uint32_t try_alignment(int fd)
{
	_Alignas(PAGE) char buf[2 * PAGE];
	uint32_t n = 512;

	while (n < PAGE && pread(fd, buf + n, n, n) < 0 && errno == EINVAL)
		n *= 2;
	return n;
}

static void find_alignment(struct image_file *f, uint32_t sector)
{
	union {
		struct statx x;
		uint32_t words[sizeof(struct statx) / 4];
	} u;

	memset(&u, 0, sizeof(u));
	if (statx(f->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &u.x) == 0 &&
	    u.x.stx_mask & STATX_DIOALIGN && is_power(u.words[DIO_MEM_ALIGN]) &&
	    is_power(u.words[DIO_MEM_ALIGN + 1])) {
		f->mem_align = u.words[DIO_MEM_ALIGN];
		f->off_align = u.words[DIO_MEM_ALIGN + 1];
	} else {
		f->mem_align = f->off_align = f->block_device ? sector : try_alignment(f->fd);
	}
}

static int logical_block(const struct image_file *f)
{
	int sector = 512;

	if (f->block_device && ioctl(f->fd, BLKSSZGET, &sector) < 0)
		return -errno;
	return is_power((uint32_t)sector) && sector >= 512 ? sector : -EINVAL;
}

static int make_pool(struct image_file *f)
{
	size_t bytes = (size_t)BOUNCE_BUFFERS * BOUNCE_BYTES;

	f->pool = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (f->pool == MAP_FAILED) {
		f->pool = NULL;
		return -ENOMEM;
	}
	memlock_touch(f->pool, bytes);
	while (f->nfree < BOUNCE_BUFFERS) {
		f->free[f->nfree] = f->pool + (size_t)f->nfree * BOUNCE_BYTES;
		f->nfree++;
	}
	return 0;
}

/* Can its file system punch?  Past the end nothing is there to be lost. */
static void probe_file(struct image_file *f)
{
	uint64_t end = (f->image.info.bytes + 2 * PAGE - 1) / PAGE * PAGE;

	if (fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)end, PAGE) < 0)
		f->no_punch = unsupported(-errno);
}

static int set_up(struct image_file *f)
{
	struct image_info *info = &f->image.info;
	int flags = fcntl(f->fd, F_GETFL), sector, ret;
	struct stat st;

	if (flags < 0 || fstat(f->fd, &st) < 0)
		return -errno;
	f->direct = flags & O_DIRECT;
	f->block_device = S_ISBLK(st.st_mode);
	sector = logical_block(f);
	if (sector < 0)
		return sector;
	f->mem_align = f->off_align = 1;
	if (f->direct)
		find_alignment(f, (uint32_t)sector);
	info->block_size = (uint32_t)sector;
	if (info->block_size < f->off_align)
		info->block_size = f->off_align;
	ret = file_size(f, &info->bytes);
	if (ret == 0 && f->direct)
		ret = make_pool(f);
	if (ret < 0)
		return ret;
	if (!info->read_only && !f->block_device)
		probe_file(f);
	info->can_discard = !info->read_only && !f->no_punch;
	info->can_zero = !info->read_only;
	info->bytes &= ~(uint64_t)(info->block_size - 1);
	return 0;
}

struct image *image_file_open(int fd, const char *name, enum image_cache cache, bool read_only,
			      struct err *e)
{
	struct image_file *f = calloc(1, sizeof(*f));
	int ret;

	if (!f) {
		close(fd);
		err_set(e, -ENOMEM, "%s: out of memory", name);
		return NULL;
	}
	f->fd = fd;
	f->waiting_tail = &f->waiting;
	ret = image_init(&f->image, &file_ops, name, cache, read_only);
	if (ret == 0)
		ret = set_up(f);
	if (ret < 0) {
		err_set(e, ret, "cannot use %s as a disk: %s", name, strerror(-ret));
		image_close(&f->image);
		return NULL;
	}
	return &f->image;
}
