/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that a front end shares with us.  The guest's is the one that we page, and mapped
 * already: what the front end's table names is looked up by the identity of its files, and
 * nothing else is accepted, for only there are pages held while we do I/O.  The log
 * and the in-flight region are files of the front end, which may cut them short: all
 * access to them is under guard_run.  Only files of tmpfs are taken, for one of another file
 * system (FUSE, say, which may be the front end itself) could have us wait; and of those no
 * more than is needed, for what we touch first is memory of ours.
 */
#include <errno.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "vmm/blk_priv.h"

#define POPULATE_MAX (4u << 20) /* bytes: a millisecond; the log of 128 GiB */

int blk_mem_writable(struct guest *g, struct err *e)
{
	for (unsigned int i = 0; i < g->nregions; i++) {
		const struct region *r = &g->region[i];

		if (mprotect(g->map + (r->first << PAGE_SHIFT), r->pages << PAGE_SHIFT,
			     PROT_READ | PROT_WRITE) < 0)
			return err_set(e, -errno, "cannot write to the RAM of guest %s: %s",
				       g->name, strerror(errno));
	}
	return 0;
}

static const struct region *region_of(const struct guest *g, int fd)
{
	struct stat st, own;

	if (fstat(fd, &st) < 0)
		return NULL;
	for (unsigned int i = 0; i < g->nregions; i++)
		if (g->region[i].ino == st.st_ino && fstat(g->region[i].fd, &own) == 0 &&
		    own.st_dev == st.st_dev)
			return &g->region[i];
	return NULL;
}

int blk_mem_table(struct blk *b, struct err *e)
{
	struct guest *g = b->guest;
	struct vhost_mem mem = { 0 };
	int ret;

	for (unsigned int i = 0; i < b->dev.table.n; i++) {
		const struct vhost_region *v = &b->dev.table.region[i];
		const struct region *r = region_of(g, b->disk->fd[VHOST_FD_MEM + i]);
		uint64_t page;

		if (!r)
			return err_set(e, -EPROTO,
				       "region %u of the front end's memory is none of the RAM "
				       "of guest %s",
				       i, g->name);
		if (v->offset % PAGE_SIZE || v->offset >> PAGE_SHIFT > r->pages ||
		    v->size >> PAGE_SHIFT > r->pages - (v->offset >> PAGE_SHIFT))
			return err_set(e, -EPROTO,
				       "region %u of the front end's memory is larger than its "
				       "file",
				       i);
		page = r->first + (v->offset >> PAGE_SHIFT);
		ret = vhost_mem_add(&mem, v, g->map + (page << PAGE_SHIFT), page, e);
		if (ret < 0)
			return ret;
	}
	b->mem = mem;
	return 0;
}

/* Of `bytes` bytes at `off` map those that are needed, the first ones. */
static int map_area(int fd, uint64_t bytes, uint64_t off, uint64_t needed, const char *what,
		    void **map, size_t *size, struct err *e)
{
	struct statfs fs;
	struct stat st;
	void *p;

	if (*map)
		munmap(*map, *size);
	*map = NULL;
	*size = 0;
	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size < off ||
	    (uint64_t)st.st_size - off < bytes)
		return err_set(e, -EPROTO, "%s of %lu bytes is longer than its file", what,
			       bytes);
	if (fstatfs(fd, &fs) < 0 || fs.f_type != TMPFS_MAGIC)
		return err_set(e, -EPROTO, "%s is no memory: it must be a memfd", what);
	if (bytes > needed)
		bytes = needed;
	if (bytes == 0)
		return 0;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		 MAP_SHARED | (bytes <= POPULATE_MAX ? MAP_POPULATE : 0), fd, (off_t)off);
	if (p == MAP_FAILED)
		return err_set(e, -EPROTO, "cannot map %s of %lu bytes: %s", what, bytes,
			       strerror(errno));
	*map = p;
	*size = bytes;
	return 0;
}

/* Bytes of the log that stand for the guest's memory. */
static uint64_t log_bytes(const struct vhost_mem *m)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < m->n; i++) {
		const struct vhost_mem_region *r = &m->region[i];
		uint64_t n = (r->gpa + (r->size - 1)) / VHOST_PAGE / 8 + 1;

		bytes = n > bytes ? n : bytes;
	}
	return bytes;
}

int blk_mem_log(struct blk *b, struct err *e)
{
	int ret = 0;

	b->log = (struct vhost_log){ 0 };
	if (!b->dev.has_log) {
		if (b->log_map)
			munmap(b->log_map, b->log_map_size);
		b->log_map = NULL;
		return 0;
	}
	ret = map_area(b->disk->fd[VHOST_FD_LOG], b->dev.log.size, b->dev.log.offset,
		       log_bytes(&b->mem), "the log", &b->log_map, &b->log_map_size, e);
	if (ret < 0 || !vhost_dev_logs(&b->dev))
		return ret;
	b->log = (struct vhost_log){ b->log_map, b->log_map_size };
	if (!vhost_log_covers(&b->log, &b->mem))
		return err_set(e, -EPROTO, "the log of %zu bytes does not cover the memory",
			       b->log_map_size);
	return 0;
}

int blk_mem_inflight(struct blk *b, struct err *e)
{
	if (!b->dev.has_inflight)
		return 0;
	return map_area(b->disk->fd[VHOST_FD_INFLIGHT], b->dev.inflight.size,
			b->dev.inflight.offset,
			inflight_bytes(b->dev.inflight.num_queues, b->dev.inflight.queue_size),
			"the in-flight region", &b->inflight_map, &b->inflight_map_size, e);
}

void blk_mem_close(struct blk *b)
{
	if (b->log_map)
		munmap(b->log_map, b->log_map_size);
	if (b->inflight_map)
		munmap(b->inflight_map, b->inflight_map_size);
	b->log_map = b->inflight_map = NULL;
	b->log = (struct vhost_log){ 0 };
	b->mem = (struct vhost_mem){ 0 };
}
