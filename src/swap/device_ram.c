/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * The processor's work of an I/O is done on the thread that submits it, page
 * by page; its end is posted, so that done is never called from within submit.
 *
 * A page to be written is first copied to the thread's own buffer.  This is the
 * one access to the guest's memory, which may vanish (guard_run: -EFAULT), or
 * change if the guest touches the page again; compressor and checksum then
 * work on memory that keeps still.  The copy costs 2 % of the compression.
 *
 * What a page was compressed to has a checksum of its own (ramstore.c), and is
 * looked at before it is decompressed; so a block gives the page that was
 * written there or an error, whatever happened to the memory.
 */

#include "swap/device_ram.h"

#include <errno.h>
#include <lz4.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/guard.h"
#include "base/point.h"
#include "swap/ramstore.h"

/* Slabs that one I/O, and one call of device_ram_tend, gives back. */
#define TEND_IO	  1u
#define TEND_CALL 32u

struct device_ram {
	struct swap_device dev; /* first */
	struct ramstore *store;
	uint64_t incompressible; /* [a] */
};

/* A thread's: a worker's stack is not for it, and nothing is allocated. */
static __thread struct scratch {
	LZ4_stream_t lz4;
	char page[SWAP_BLOCK];
	char packed[RAMSTORE_LEN_MAX];
} scratch;

static struct device_ram *ram_of(struct swap_device *dev)
{
	return (struct device_ram *)dev;
}

static void copy_page(void *arg)
{
	memcpy(scratch.page, arg, SWAP_BLOCK);
}

/* => 0, -EFAULT, or 1: refused */
static int write_page(struct device_ram *ram, uint64_t block, void *page)
{
	int len, ret;

	if (guard_run(copy_page, page) < 0)
		return -EFAULT;
	len = LZ4_compress_fast_extState(&scratch.lz4, scratch.page, scratch.packed, SWAP_BLOCK,
					 sizeof(scratch.packed), 1);
	if (len <= 0) {
		__atomic_fetch_add(&ram->incompressible, 1, __ATOMIC_RELAXED);
		return 1;
	}
	ret = ramstore_put(ram->store, block, scratch.packed, (uint32_t)len);
	return ret == -ENOSPC ? 1 : ret;
}

struct unpack {
	void *page;
	int len, got;
};

static void unpack(void *arg)
{
	struct unpack *u = arg;

	u->got = LZ4_decompress_safe(scratch.packed, u->page, u->len, SWAP_BLOCK);
}

static int read_page(struct device_ram *ram, uint64_t block, void *page)
{
	struct unpack u = { .page = page };

	u.len = ramstore_get(ram->store, block, scratch.packed);
	if (u.len >= 0 && guard_run(unpack, &u) < 0)
		return -EFAULT;
	if (u.len >= 0 && u.got == (int)SWAP_BLOCK)
		return 0;
	__atomic_fetch_add(&ram->dev.count.checksum_errors, 1, __ATOMIC_RELAXED);
	return -EILSEQ;
}

/* What is not taken must not be read as what was there before. */
static void refuse(struct device_ram *ram, struct swap_io *io, uint32_t k)
{
	io->refused[k / 64] |= UINT64_C(1) << k % 64;
	ramstore_drop(ram->store, io->block + k, 1);
}

static int move_page(struct device_ram *ram, struct swap_io *io, uint32_t k, void *page)
{
	int ret;

	if (!io->write)
		return read_page(ram, io->block + k, page);
	ret = write_page(ram, io->block + k, page);
	if (ret > 0)
		refuse(ram, io, k);
	return ret > 0 ? 0 : ret;
}

static int move_pages(struct device_ram *ram, struct swap_io *io)
{
	uint32_t k = 0;
	int ret = point_hit(io->write ? "ram-write" : "ram-read");

	if (io->block + io->total / SWAP_BLOCK > ram->dev.blocks)
		ret = -EIO;
	for (uint32_t i = 0; i < io->niov; i++)
		for (size_t at = 0; at < io->iov[i].iov_len && ret == 0; at += SWAP_BLOCK)
			ret = move_page(ram, io, k++, (char *)io->iov[i].iov_base + at);
	return ret;
}

static void ram_submit(struct swap_device *dev, struct swap_io *io)
{
	int ret = move_pages(ram_of(dev), io);

	if (io->write)
		ramstore_tend(ram_of(dev)->store, TEND_IO);
	device_post(io, ret);
}

static void ram_close(struct swap_device *dev)
{
	ramstore_close(ram_of(dev)->store);
}

static void ram_freed(struct swap_device *dev, uint64_t block, uint64_t n)
{
	ramstore_drop(ram_of(dev)->store, block, n);
}

static void ram_claimed(struct swap_device *dev, uint64_t block)
{
	ramstore_claim(ram_of(dev)->store, block);
}

static bool ram_moves(struct swap_device *dev, uint64_t block)
{
	return ramstore_cold(ram_of(dev)->store, block);
}

/* In pages that do not compress at all: what they take is known only later. */
static uint64_t ram_room(struct swap_device *dev)
{
	struct ramstore_stats st;

	ramstore_get_stats(ram_of(dev)->store, &st);
	return st.packed < st.limit ? (st.limit - st.packed) >> SWAP_BLOCK_SHIFT : 0;
}

static const struct swap_device_ops ram_ops = {
	.kind = "ram",
	.picky = true,
	.room = ram_room,
	.submit = ram_submit,
	.close = ram_close,
	.freed = ram_freed,
	.claimed = ram_claimed,
	.moves = ram_moves,
};

struct swap_device *device_ram_create(const char *path, int fd, uint64_t bytes, struct err *e)
{
	struct swap_device *dev = device_alloc(sizeof(struct device_ram), &ram_ops, path);
	struct ramstore_env env;
	struct stat st;

	if (!dev || fstat(fd, &st) < 0) {
		int code = dev ? -errno : -ENOMEM;

		close(fd);
		device_close(dev);
		err_set(e, code, "%s: %s", path, strerror(-code));
		return NULL;
	}
	env = (struct ramstore_env){ .full = &dev->suspended, .moving = &dev->moving };
	ram_of(dev)->store = ramstore_open(fd, bytes, &env, e);
	if (!ram_of(dev)->store) {
		device_close(dev);
		return NULL;
	}
	dev->dev = st.st_dev;
	dev->ino = st.st_ino;
	dev->blocks = ramstore_blocks(ram_of(dev)->store);
	dev->fd = fd;
	return dev;
}

bool device_is_ram(const struct swap_device *dev)
{
	return dev->ops == &ram_ops;
}

void device_ram_claims_done(struct swap_device *dev)
{
	ramstore_claims_done(ram_of(dev)->store);
}

void device_ram_tend(struct swap_device *dev)
{
	ramstore_tend(ram_of(dev)->store, TEND_CALL);
}

void device_ram_get_stats(struct swap_device *dev, struct device_ram_stats *out)
{
	struct device_ram *ram = ram_of(dev);
	struct ramstore_stats st;

	ramstore_get_stats(ram->store, &st);
	*out = (struct device_ram_stats){
		.limit = st.limit,
		.memory = st.memory,
		.packed = st.packed,
		.pages = st.blocks,
		.bytes = st.bytes,
		.incompressible = __atomic_load_n(&ram->incompressible, __ATOMIC_RELAXED),
		.no_memory = st.refused,
		.damaged = st.damaged,
		.packings = st.packings,
		.cold = st.cold,
	};
}
