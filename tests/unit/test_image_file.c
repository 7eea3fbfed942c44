/* SPDX-License-Identifier: BSD-2-Clause */
/* Files and block devices behind disks: real ones, on the file system of the build. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "image_io.h"

#define LIMIT .timeout = 60
#define MIB   (UINT64_C(1) << 20)
#define BYTES (8 * MIB)

static char path[] = "drum-test-image-XXXXXX";

static void make_file(void)
{
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)BYTES), 0);
	close(fd);
}

static void remove_file(void)
{
	unlink(path);
}

TestSuite(image_file, .init = make_file, .fini = remove_file, LIMIT);

static struct image *open_as(const char *name, enum image_cache cache, bool read_only)
{
	struct err e = { 0 };
	int fd = image_open(name, cache, read_only, &e);
	struct image *image;

	cr_assert_geq(fd, 0, "%s", e.text);
	image = image_file_open(fd, name, cache, read_only, &e);
	cr_assert_not_null(image, "%s", e.text);
	return image;
}

static struct image *open_it(enum image_cache cache)
{
	return open_as(path, cache, false);
}

/* What a process beside us reads of the file. */
static bool file_holds(uint64_t off, uint64_t len, unsigned int seed)
{
	char *data = malloc(len);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool same;

	cr_assert_eq(pread(fd, data, len, (off_t)off), (ssize_t)len);
	same = seed ? is_filled(data, off, len, seed) : is_zero(data, len);
	close(fd);
	free(data);
	return same;
}

static uint64_t allocated(void)
{
	struct stat st;

	cr_assert_eq(stat(path, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

/* Pages of the file that the kernel has yet to write. => -1: it does not tell */
static int64_t dirty_pages(void)
{
	struct {
		uint64_t off, len;
	} range = { 0, 0 };
	struct {
		uint64_t cache, dirty, writeback, evicted, recently;
	} cs = { 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	long ret = syscall(451, fd, &range, &cs, 0); /* cachestat(2) */

	close(fd);
	return ret < 0 ? -1 : (int64_t)cs.dirty;
}

static void check_modes(enum image_cache cache)
{
	/* lengths, vectors, addresses */
	static const struct {
		uint64_t len;
		size_t per, skew;
	} shapes[] = {
		{ 512, 512, 0 },
		{ 4096, 4096, 0 },
		{ MIB, MIB, 0 },
		{ 65536, 4096, 0 },
		{ 65536, 4096, 512 },
		{ 65536, 4096, 8 },
		{ 65536, 1500, 0 },
		{ 512, 511, 1 },
		{ 3 * MIB, 3 * MIB, 4 },
		{ MIB, 100000, 512 },
		{ 128 * 1024, 128 * 1024, 2 },
	};
	struct image *image = open_it(cache);
	struct ring *r = make_ring();
	uint64_t off = 512;

	cr_assert_eq(image->info.bytes, BYTES);
	cr_assert_eq(image->info.block_size, 512);
	cr_assert_eq(image->info.cache, cache);
	for (unsigned int i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		uint64_t len = shapes[i].len;

		cr_assert_eq(put(image, r, off, len, shapes[i].per, shapes[i].skew, i + 1), 0);
		cr_assert(file_holds(off, len, i + 1), "shape %u", i);
		cr_assert(holds(image, r, off, len, shapes[i].per, shapes[i].skew, i + 1),
			  "shape %u", i);
		off += len;
	}
	cr_assert_eq(order(image, r, IMAGE_FLUSH, 0, 0, false), 0);
	image_close(image);
	ring_destroy(r);
}

Test(image_file, none)
{
	check_modes(IMAGE_CACHE_NONE);
}

Test(image_file, directsync)
{
	check_modes(IMAGE_CACHE_DIRECTSYNC);
}

Test(image_file, writethrough)
{
	check_modes(IMAGE_CACHE_WRITETHROUGH);
}

Test(image_file, writeback)
{
	check_modes(IMAGE_CACHE_WRITEBACK);
}

Test(image_file, unsafe)
{
	check_modes(IMAGE_CACHE_UNSAFE);
}

static int try(struct image *image, struct ring *r, struct call *c)
{
	int err = run_call(image, r, c);

	free_call(c);
	return err;
}

Test(image_file, what_is_refused)
{
	struct image *image = open_it(IMAGE_CACHE_NONE);
	struct ring *r = make_ring();
	struct call *c;

	cr_assert_eq(try(image, r, make_call(IMAGE_READ, 100, 512, 512, 0)), -EINVAL);
	cr_assert_eq(try(image, r, make_call(IMAGE_READ, 0, 100, 512, 0)), -EINVAL);
	cr_assert_eq(try(image, r, make_call(IMAGE_READ, BYTES, 512, 512, 0)), -EINVAL);
	cr_assert_eq(try(image, r, make_call(IMAGE_READ, BYTES - 512, 1024, 512, 0)), -EINVAL);
	cr_assert_eq(try(image, r, make_call(IMAGE_READ, UINT64_MAX - 511, 512, 512, 0)),
		     -EINVAL);
	cr_assert_eq(order(image, r, IMAGE_DISCARD, 512, UINT64_MAX - 511, false), -EINVAL);
	cr_assert_eq(order(image, r, IMAGE_ZEROES, BYTES - 512, 1024, false), -EINVAL);
	cr_assert_eq(try(image, r, make_call(IMAGE_READ, BYTES - 512, 512, 512, 0)), 0);
	c = make_call(IMAGE_WRITE, 0, 1024, 512, 0);
	c->req.len = 512;
	cr_assert_eq(try(image, r, c), -EINVAL);
	c = make_call(IMAGE_WRITE, 0, 1024, 512, 0);
	c->req.len = 1536;
	cr_assert_eq(try(image, r, c), -EINVAL);
	cr_assert_eq(try(image, r, make_call(IMAGE_WRITE, 0, 0, 512, 0)), 0);
	image_close(image);

	image = open_as(path, IMAGE_CACHE_NONE, true);
	cr_assert(image->info.read_only);
	cr_assert(!image->info.can_discard);
	cr_assert_eq(put(image, r, 0, 512, 512, 0, 1), -EROFS);
	cr_assert_eq(order(image, r, IMAGE_DISCARD, 0, 512, false), -EROFS);
	cr_assert_eq(order(image, r, IMAGE_ZEROES, 0, 512, false), -EROFS);
	cr_assert_eq(order(image, r, IMAGE_FLUSH, 0, 0, false), 0);
	cr_assert(holds(image, r, 0, 512, 512, 0, 0));
	image_close(image);
	ring_destroy(r);
}

/* More at once than there are buffers, each of several buffers' length. */
Test(image_file, those_that_find_no_buffer_wait)
{
	struct image *image = open_it(IMAGE_CACHE_NONE);
	struct ring *r = make_ring();
	struct call *calls[40];
	uint64_t len = 196608;

	for (unsigned int i = 0; i < 40; i++) {
		calls[i] = make_call(IMAGE_WRITE, i * len, len, len, 16);
		fill(calls[i]->data, i * len, len, i + 1);
		submit(image, r, calls[i]);
	}
	for (unsigned int i = 0; i < 40; i++) {
		cr_assert_eq(finish(r, calls[i]), 0);
		free_call(calls[i]);
		cr_assert(file_holds(i * len, len, i + 1));
	}
	for (unsigned int i = 0; i < 40; i++) {
		calls[i] = make_call(IMAGE_READ, i * len, len, 8192, 16);
		submit(image, r, calls[i]);
	}
	for (unsigned int i = 0; i < 40; i++) {
		cr_assert_eq(finish(r, calls[i]), 0);
		cr_assert(is_filled(calls[i]->data, i * len, len, i + 1));
		free_call(calls[i]);
	}
	image_close(image);
	ring_destroy(r);
}

static void check_zeroes(struct image *image, struct ring *r, enum image_op op, bool unmap)
{
	cr_assert_eq(put(image, r, 0, 4 * MIB, MIB, 0, 1), 0);
	cr_assert_eq(order(image, r, op, MIB + 512, 2 * MIB, unmap), 0);
	cr_assert(holds(image, r, 0, MIB + 512, MIB, 0, 1));
	cr_assert(holds(image, r, MIB + 512, 2 * MIB, MIB, 0, 0));
	cr_assert(holds(image, r, 3 * MIB + 512, MIB - 512, MIB, 0, 1));
}

Test(image_file, zeroes_and_discards)
{
	for (int cache = IMAGE_CACHE_NONE; cache <= IMAGE_CACHE_UNSAFE; cache++) {
		struct image *image = open_it((enum image_cache)cache);
		struct ring *r = make_ring();
		uint64_t full;

		cr_assert(image->info.can_discard);
		cr_assert(image->info.can_zero);
		check_zeroes(image, r, IMAGE_ZEROES, false);
		cr_assert_eq(order(image, r, IMAGE_FLUSH, 0, 0, false), 0);
		if (cache != IMAGE_CACHE_UNSAFE) {
			full = allocated();
			cr_assert_geq(full, 4 * MIB);
			check_zeroes(image, r, IMAGE_ZEROES, true);
			cr_assert_eq(order(image, r, IMAGE_FLUSH, 0, 0, false), 0);
			cr_assert_leq(allocated(), full - 2 * MIB + 8192);
			check_zeroes(image, r, IMAGE_DISCARD, false);
			cr_assert_eq(order(image, r, IMAGE_FLUSH, 0, 0, false), 0);
			cr_assert_leq(allocated(), full - 2 * MIB + 8192);
		}
		cr_assert(image->info.can_discard);
		cr_assert(image->info.can_zero);
		image_close(image);
		ring_destroy(r);
	}
}

/* A memfd punches, and knows no FALLOC_FL_ZERO_RANGE. */
Test(image_file, zeroes_are_written_where_they_must)
{
	struct ring *r = make_ring();
	int fd = memfd_create("image", MFD_CLOEXEC);
	struct err e = { 0 };
	struct image *image;

	cr_assert_eq(ftruncate(fd, (off_t)BYTES), 0);
	image = image_file_open(fd, "memfd", IMAGE_CACHE_WRITETHROUGH, false, &e);
	cr_assert_not_null(image, "%s", e.text);
	check_zeroes(image, r, IMAGE_ZEROES, true);
	cr_assert(image->info.can_zero);
	check_zeroes(image, r, IMAGE_ZEROES, false);
	cr_assert(!image->info.can_zero);
	cr_assert(image->info.can_discard);
	check_zeroes(image, r, IMAGE_ZEROES, false);
	check_zeroes(image, r, IMAGE_DISCARD, false);
	image_close(image);
	ring_destroy(r);
}

/* ramfs can do nothing of it. */
Test(image_file, discards_are_a_hint)
{
	struct ring *r;
	struct image *image;
	struct err e = { 0 };
	int fd;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", "/mnt", "ramfs", 0, NULL) < 0) {
		cr_log_warn("no ramfs: %s", strerror(errno));
		return;
	}
	r = make_ring();
	fd = open("/mnt/image", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_eq(ftruncate(fd, (off_t)BYTES), 0);
	image = image_file_open(fd, "/mnt/image", IMAGE_CACHE_NONE, false, &e);
	cr_assert_not_null(image, "%s", e.text);
	cr_assert(!image->info.can_discard);
	check_zeroes(image, r, IMAGE_ZEROES, true);
	check_zeroes(image, r, IMAGE_ZEROES, false);
	cr_assert_eq(put(image, r, 0, MIB, MIB, 0, 3), 0);
	cr_assert_eq(order(image, r, IMAGE_DISCARD, 0, MIB, false), 0);
	cr_assert(holds(image, r, 0, MIB, MIB, 0, 3));
	image_close(image);
	ring_destroy(r);
}

/* Does anything wait in the page cache after this? */
static bool leaves_dirt(enum image_cache cache, enum image_op op, bool durable, bool flush)
{
	struct image *image = open_it(cache);
	struct ring *r = make_ring();
	struct call *c = make_call(op, 512, MIB, MIB, 0);
	int64_t dirty;

	cr_assert_eq(put(image, r, 0, 2 * MIB, MIB, 0, 9), 0);
	sync();
	c->req.durable = durable;
	cr_assert_eq(run_call(image, r, c), 0);
	free_call(c);
	if (flush)
		cr_assert_eq(order(image, r, IMAGE_FLUSH, 0, 0, false), 0);
	dirty = dirty_pages();
	image_close(image);
	ring_destroy(r);
	return dirty > 0;
}

Test(image_file, what_is_durable_is)
{
	if (dirty_pages() < 0) {
		cr_log_warn("no cachestat here");
		return;
	}
	cr_assert(leaves_dirt(IMAGE_CACHE_WRITEBACK, IMAGE_WRITE, false, false));
	cr_assert(!leaves_dirt(IMAGE_CACHE_WRITEBACK, IMAGE_WRITE, false, true));
	cr_assert(!leaves_dirt(IMAGE_CACHE_WRITEBACK, IMAGE_WRITE, true, false));
	cr_assert(!leaves_dirt(IMAGE_CACHE_WRITETHROUGH, IMAGE_WRITE, false, false));
	cr_assert(leaves_dirt(IMAGE_CACHE_UNSAFE, IMAGE_WRITE, true, true));
	/* the blocks at both ends are zeroed in the page cache */
	cr_assert(leaves_dirt(IMAGE_CACHE_WRITEBACK, IMAGE_ZEROES, false, false));
	cr_assert(!leaves_dirt(IMAGE_CACHE_WRITEBACK, IMAGE_ZEROES, true, false));
	cr_assert(!leaves_dirt(IMAGE_CACHE_WRITETHROUGH, IMAGE_ZEROES, false, false));
	cr_assert(!leaves_dirt(IMAGE_CACHE_NONE, IMAGE_WRITE, false, false));
}

Test(image_file, size_that_changes)
{
	struct image *image = open_it(IMAGE_CACHE_NONE);
	struct ring *r = make_ring();
	struct err e = { 0 };

	cr_assert_eq(image_refresh(image, &e), 0);
	cr_assert_eq(put(image, r, BYTES, 4096, 4096, 0, 1), -EINVAL);
	cr_assert_eq(truncate(path, (off_t)BYTES + 4096 + 100), 0);
	cr_assert_eq(put(image, r, BYTES, 4096, 4096, 0, 1), -EINVAL);
	cr_assert_eq(image_refresh(image, &e), 1);
	cr_assert_eq(image_bytes(image), BYTES + 4096);
	cr_assert_eq(put(image, r, BYTES, 4096, 4096, 0, 1), 0);
	cr_assert(file_holds(BYTES, 4096, 1));

	cr_assert_eq(truncate(path, (off_t)MIB), 0);
	cr_assert_eq(image_refresh(image, &e), -ERANGE);
	cr_assert_not_null(strstr(e.text, path), "%s", e.text);
	cr_assert_eq(image_bytes(image), BYTES + 4096);
	/* nobody gets zeros for what is gone */
	cr_assert_eq(try(image, r, make_call(IMAGE_READ, MIB - 4096, 8192, 8192, 0)), -EIO);
	cr_assert_eq(try(image, r, make_call(IMAGE_READ, MIB - 4096, 8192, 8192, 8)), -EIO);
	cr_assert_eq(try(image, r, make_call(IMAGE_READ, MIB - 4096, 4096, 4096, 8)), 0);
	image_close(image);
	ring_destroy(r);
}

/* Memory that is not there: nothing dies of it, by whichever way it goes. */
Test(image_file, memory_that_is_gone)
{
	static const enum image_op ops[] = { IMAGE_READ, IMAGE_WRITE };
	struct image *image = open_it(IMAGE_CACHE_NONE);
	struct ring *r = make_ring();
	int fd = memfd_create("guest", MFD_CLOEXEC);
	char *gone;

	cr_assert_eq(ftruncate(fd, 4096), 0);
	gone = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	for (unsigned int i = 0; i < 24; i++) {
		struct call *c = make_call(ops[i & 1], 0, 16384, 16384, 0);

		c->iov[0].iov_base = gone + (i & 2 ? 8 : 0);
		cr_assert_eq(run_call(image, r, c), -EFAULT, "%u", i);
		free_call(c);
	}
	/* and no buffer was lost on the way */
	for (unsigned int i = 0; i < 24; i++)
		cr_assert_eq(put(image, r, 0, 4096, 4096, 8, i + 1), 0);
	image_close(image);
	ring_destroy(r);
}

/* A thousand requests of any kind, 16 at a time on a slot each, and a model of them. */
Test(image_file, at_random)
{
	enum { SLOTS = 16, SLOT = 384 << 10 };
	struct image *image = open_it(IMAGE_CACHE_NONE);
	struct ring *r = make_ring();
	struct call *calls[SLOTS] = { 0 };
	static char model[SLOTS][SLOT];
	unsigned int state = 4711;

	for (unsigned int i = 0; i < 1000 + SLOTS; i++) {
		unsigned int s = i % SLOTS, k = (state = state * 1103515245u + 12345u) >> 8;
		uint64_t at = (k % 97) * 1536, len = (uint64_t)(k % 61 + 1) * 3584;
		enum image_op op = (enum image_op)(k % 5);
		struct call *c = calls[s];

		if (c) {
			const char *m = model[s] + c->req.off % SLOT;

			cr_assert_eq(finish(r, c), 0);
			if (c->req.op == IMAGE_READ)
				cr_assert_eq(memcmp(m, c->data, c->req.len), 0, "request %u",
					     i);
			free_call(c);
		}
		if (i >= 1000)
			continue;
		c = calls[s] = make_call(op, s * (uint64_t)SLOT + at, len, 4096 + k % 3 * 512,
					 k % 7 * 8 % 24);
		c->req.unmap = k & 1;
		if (op == IMAGE_WRITE) {
			fill(c->data, at, len, i);
			memcpy(model[s] + at, c->data, len);
		} else if (op == IMAGE_DISCARD || op == IMAGE_ZEROES) {
			memset(model[s] + at, 0, len);
		}
		submit(image, r, c);
	}
	image_close(image);
	ring_destroy(r);
}

Test(image_file, block_device_of_4k_sectors)
{
	char cmd[128], dev[32] = "";
	struct ring *r = make_ring();
	struct image *image;
	FILE *f;

	snprintf(cmd, sizeof(cmd), "losetup --show -f -b 4096 --direct-io=on %s 2>/dev/null",
		 path);
	f = popen(cmd, "r");
	if (!fgets(dev, sizeof(dev), f) || pclose(f) != 0) {
		cr_log_warn("no loop device here");
		return;
	}
	dev[strcspn(dev, "\n")] = '\0';
	image = open_as(dev, IMAGE_CACHE_NONE, false);
	snprintf(cmd, sizeof(cmd), "losetup -d %s", dev);
	/* gone when it is closed */
	cr_expect_eq(system(cmd), 0);
	cr_assert_eq(image->info.block_size, 4096);
	cr_assert_eq(image->info.bytes, BYTES);
	cr_assert_eq(put(image, r, 512, 4096, 4096, 0, 1), -EINVAL);
	cr_assert_eq(put(image, r, 4096, 3 * MIB, MIB, 0, 1), 0);
	cr_assert(holds(image, r, 4096, 3 * MIB, 8 * 8192, 512, 1));
	cr_assert_eq(put(image, r, 0, 4 * MIB, 65536, 512, 2), 0);
	cr_assert_eq(order(image, r, IMAGE_FLUSH, 0, 0, false), 0);
	cr_assert_eq(order(image, r, IMAGE_ZEROES, MIB, MIB, false), 0);
	cr_assert_eq(order(image, r, IMAGE_ZEROES, 2 * MIB, 4096, true), 0);
	cr_assert(holds(image, r, 0, MIB, MIB, 0, 2));
	cr_assert(holds(image, r, MIB, MIB + 4096, 2 * MIB, 0, 0));
	cr_assert(holds(image, r, 2 * MIB + 4096, MIB, 2 * MIB, 0, 2));
	cr_assert_eq(order(image, r, IMAGE_DISCARD, 0, 4 * MIB, false), 0);
	image_close(image);
	ring_destroy(r);
}
