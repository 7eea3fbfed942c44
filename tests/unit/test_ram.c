/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ram: device on real files in memory: what is read is what was written,
 * the limit holds, space is used again, and whoever opens the file after a death
 * at any point finds every block.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/point.h"
#include "swap/device_ram.h"

#define MIB  (UINT64_C(1) << 20)
#define SIZE (8 * MIB)

/* The file's format: a pager of another build reads it after a restart. */
enum { AT_MAGIC = 0, AT_VERSION = 8, AT_WORDS = 4096 };

struct rig {
	struct ring *ring;
	struct swap_device *dev;
	int fd; /* another descriptor of its file */
	struct swap_io io;
	int err;
	bool done;
};

static int new_file(void)
{
	int fd = memfd_create("ram", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	return fd;
}

static void open_rig_sized(struct rig *r, int fd, uint64_t size)
{
	struct err e = { 0 };

	memset(r, 0, sizeof(*r));
	r->ring = ring_create(8);
	cr_assert_not_null(r->ring);
	r->fd = fd;
	r->dev = device_ram_create("ram:8M", dup(fd), size, &e);
	cr_assert_not_null(r->dev, "%s", e.text);
}

static void open_rig(struct rig *r, int fd)
{
	open_rig_sized(r, fd, SIZE);
}

static void close_rig(struct rig *r)
{
	device_close(r->dev);
	ring_destroy(r->ring);
}

static void on_done(struct swap_io *io, int err)
{
	struct rig *r = (struct rig *)((char *)io - offsetof(struct rig, io));

	r->err = err;
	r->done = true;
}

static int run(struct rig *r, bool write, uint64_t block)
{
	r->io.done = on_done;
	r->io.write = write;
	r->done = false;
	device_submit(r->dev, r->ring, &r->io, block);
	cr_assert_not(r->done, "within submit");
	while (!r->done)
		cr_assert_geq(ring_run(r->ring, UINT64_MAX), 0);
	return r->err;
}

static int run_page(struct rig *r, bool write, uint64_t block, void *page)
{
	r->io.niov = 1;
	r->io.iov[0] = (struct iovec){ page, SWAP_BLOCK };
	return run(r, write, block);
}

/* Pages that compress to about `random` bytes, each seed's different. */
static void fill(unsigned char *page, uint64_t seed, uint32_t random)
{
	uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;

	memset(page, (int)(seed & 0xff), SWAP_BLOCK);
	for (uint32_t i = 0; i < random; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		page[i] = (unsigned char)(x >> 32);
	}
}

/* => was it taken? */
static bool put(struct rig *r, uint64_t block, uint64_t seed, uint32_t random)
{
	unsigned char page[SWAP_BLOCK];

	fill(page, seed, random);
	cr_assert_eq(run_page(r, true, block, page), 0);
	return r->io.refused[0] == 0;
}

static void expect(struct rig *r, uint64_t block, uint64_t seed, uint32_t random)
{
	unsigned char page[SWAP_BLOCK], want[SWAP_BLOCK];

	memset(page, 0x5a, sizeof(page));
	fill(want, seed, random);
	cr_assert_eq(run_page(r, false, block, page), 0, "block %llu",
		     (unsigned long long)block);
	cr_assert_eq(memcmp(page, want, SWAP_BLOCK), 0, "block %llu",
		     (unsigned long long)block);
}

static void expect_error(struct rig *r, uint64_t block)
{
	unsigned char page[SWAP_BLOCK];

	cr_assert_eq(run_page(r, false, block, page), -EILSEQ, "block %llu",
		     (unsigned long long)block);
}

static void drop(struct rig *r, uint64_t block)
{
	r->dev->ops->freed(r->dev, block, 1);
}

static uint64_t file_bytes(int fd)
{
	struct stat st;

	cr_assert_eq(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static struct device_ram_stats stats(struct rig *r)
{
	struct device_ram_stats st;

	device_ram_get_stats(r->dev, &st);
	return st;
}

/* Fill blocks from `from` on until one is refused. => the first that was */
static uint64_t fill_up(struct rig *r, uint64_t from, uint32_t random)
{
	while (from < r->dev->blocks && put(r, from, from, random))
		from++;
	return from;
}

/* --- what goes in comes out ----------------------------------------------------- */

Test(ram, it_is_what_it_says)
{
	struct rig r;
	struct stat st;
	int fd = new_file();

	open_rig(&r, fd);
	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_str_eq(r.dev->ops->kind, "ram");
	cr_assert_str_eq(r.dev->path, "ram:8M");
	cr_assert(device_is_ram(r.dev));
	cr_assert(device_is(r.dev, st.st_dev, st.st_ino));
	cr_assert_eq(r.dev->blocks, 4 * SIZE / SWAP_BLOCK);
	cr_assert_not(r.dev->moving || r.dev->suspended);
	cr_assert_leq(file_bytes(fd), SIZE / 32, "an empty one costs its tables");
	cr_assert_eq(stats(&r).limit, SIZE);
	close_rig(&r);
	close(fd);
}

Test(ram, round_trip)
{
	static const uint32_t random[] = { 0, 1, 40, 100, 555, 1024, 2000, 2900, 3060 };
	struct rig r;
	int fd = new_file();

	open_rig(&r, fd);
	for (uint64_t i = 0; i < 900; i++)
		cr_assert(put(&r, i * 7 % 900, i, random[i % 9]), "page %llu",
			  (unsigned long long)i);
	for (uint64_t i = 0; i < 900; i++)
		expect(&r, i * 7 % 900, i, random[i % 9]);
	cr_assert_eq(stats(&r).pages, 900);
	cr_assert_eq(stats(&r).damaged, 0);
	cr_assert_eq(stats(&r).incompressible, 0);
	cr_assert_lt(stats(&r).bytes, 900 * 1200);
	close_rig(&r);
	close(fd);
}

/* Vectors of several blocks; random pages among them are not taken. */
Test(ram, what_does_not_compress_is_refused)
{
	enum { N = 256 };
	unsigned char *pages = malloc(N * SWAP_BLOCK), *back = calloc(N, SWAP_BLOCK);
	struct rig r;
	int fd = new_file();

	cr_assert(pages && back);
	open_rig(&r, fd);
	for (uint32_t k = 0; k < N; k++)
		fill(pages + k * SWAP_BLOCK, k, k % 3 == 1 ? SWAP_BLOCK : 900);
	r.io.niov = 3;
	r.io.iov[0] = (struct iovec){ pages, 10 * SWAP_BLOCK };
	r.io.iov[1] = (struct iovec){ pages + 10 * SWAP_BLOCK, SWAP_BLOCK };
	r.io.iov[2] = (struct iovec){ pages + 11 * SWAP_BLOCK, (N - 11) * SWAP_BLOCK };
	cr_assert_eq(run(&r, true, 1000), 0);
	for (uint32_t k = 0; k < N; k++)
		cr_assert_eq(r.io.refused[k / 64] >> k % 64 & 1, k % 3 == 1, "page %u", k);
	cr_assert_eq(stats(&r).incompressible, 85);
	cr_assert_eq(stats(&r).no_memory, 0);
	for (uint32_t k = 0; k < N; k++) {
		int err = run_page(&r, false, 1000 + k, back);

		cr_assert_eq(err, k % 3 == 1 ? -EILSEQ : 0, "page %u: %d", k, err);
		cr_assert(err || memcmp(back, pages + k * SWAP_BLOCK, SWAP_BLOCK) == 0);
	}
	/* a run of neighbours, as page-in reads it */
	r.io.niov = 1;
	r.io.iov[0] = (struct iovec){ back, 2 * SWAP_BLOCK };
	cr_assert_eq(run(&r, false, 1002), 0);
	cr_assert_eq(memcmp(back, pages + 2 * SWAP_BLOCK, 2 * SWAP_BLOCK), 0);
	cr_assert_eq(run(&r, false, r.dev->blocks - 1), -EIO, "beyond its end");
	close_rig(&r);
	close(fd);
	free(pages);
	free(back);
}

/* A refused page is not what the block held before, unless it is the same. */
Test(ram, refused_over_old_data)
{
	struct rig r;
	int fd = new_file();

	open_rig(&r, fd);
	cr_assert(put(&r, 5, 1, 100));
	cr_assert(put(&r, 5, 2, 2000), "written anew");
	expect(&r, 5, 2, 2000);
	cr_assert_eq(stats(&r).pages, 1);
	cr_assert_not(put(&r, 5, 3, SWAP_BLOCK));
	expect_error(&r, 5);
	cr_assert_eq(stats(&r).pages, 0);
	drop(&r, 5);
	close_rig(&r);
	close(fd);
}

/* The guest gave a page back while its write was on the way. */
Test(ram, memory_that_vanishes)
{
	struct rig r;
	int fd = new_file(), guest = new_file();
	unsigned char *map;

	cr_assert_eq(ftruncate(guest, SWAP_BLOCK), 0);
	map = mmap(NULL, 2 * SWAP_BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, guest, 0);
	cr_assert_neq(map, MAP_FAILED);
	fill(map, 9, 50);
	open_rig(&r, fd);
	r.io.niov = 1;
	r.io.iov[0] = (struct iovec){ map, 2 * SWAP_BLOCK };
	cr_assert_eq(run(&r, true, 0), -EFAULT);
	expect(&r, 0, 9, 50);
	expect_error(&r, 1);
	cr_assert(put(&r, 1, 4, 400));
	r.io.iov[0] = (struct iovec){ map, 2 * SWAP_BLOCK };
	cr_assert_eq(run(&r, false, 0), -EFAULT, "nor can it be read into");
	expect(&r, 0, 9, 50);
	expect(&r, 1, 4, 400);
	close_rig(&r);
	munmap(map, 2 * SWAP_BLOCK);
	close(guest);
	close(fd);
}

/* --- memory --------------------------------------------------------------------- */

Test(ram, the_limit_holds)
{
	static const uint32_t random[] = { 3000, 1300, 50 };

	for (int k = 0; k < 3; k++) {
		struct rig r;
		int fd = new_file();
		uint64_t n;

		open_rig(&r, fd);
		n = fill_up(&r, 0, random[k]);
		cr_assert_leq(file_bytes(fd), SIZE);
		cr_assert_leq(stats(&r).memory, SIZE);
		cr_assert(n == r.dev->blocks || stats(&r).no_memory == 1);
		if (k < 2)
			cr_assert_geq(stats(&r).bytes, SIZE * 9 / 10 - SIZE / 50, "%llu",
				      (unsigned long long)stats(&r).bytes);
		else
			cr_assert_eq(n, r.dev->blocks, "blocks run out first");
		for (uint64_t b = 0; b < n; b++)
			expect(&r, b, b, random[k]);
		r.dev->ops->freed(r.dev, 0, r.dev->blocks);
		cr_assert_eq(stats(&r).pages, 0);
		cr_assert_eq(stats(&r).bytes, 0);
		while (file_bytes(fd) > SIZE / 16)
			device_ram_tend(r.dev);
		close_rig(&r);
		close(fd);
	}
}

/* Every second page is freed: no slab is empty, and yet all of it can be had by
 * pages of another size. */
Test(ram, freed_space_is_used_again)
{
	struct rig r;
	int fd = new_file();
	uint64_t n, m, limit = SIZE * 42 / 100;

	open_rig(&r, fd);
	n = fill_up(&r, 0, 2400);
	for (uint64_t b = 0; b < n; b += 2)
		drop(&r, b);
	m = fill_up(&r, n, 1000);
	cr_assert_geq((m - n) * 1000, limit, "only %llu", (unsigned long long)(m - n));
	cr_assert_leq(file_bytes(fd), SIZE);
	cr_assert_gt(stats(&r).packings, 10);
	for (uint64_t b = 1; b < n; b += 2)
		expect(&r, b, b, 2400);
	for (uint64_t b = n; b < m; b++)
		expect(&r, b, b, 1000);
	close_rig(&r);
	close(fd);
}

/* What nobody uses goes back to the system, fragmented or not. */
Test(ram, memory_is_given_back)
{
	struct rig r;
	int fd = new_file();
	uint64_t n, before;

	open_rig(&r, fd);
	n = fill_up(&r, 0, 1000);
	for (uint64_t b = 0; b < n; b++)
		if (b % 4)
			drop(&r, b);
	before = UINT64_MAX;
	while (file_bytes(fd) < before) {
		before = file_bytes(fd);
		device_ram_tend(r.dev);
	}
	cr_assert_leq(before, SIZE / 2, "%llu", (unsigned long long)before);
	for (uint64_t b = 0; b < n; b += 4)
		expect(&r, b, b, 1000);
	/* the last process did not come to it */
	for (uint64_t b = 0; b < n; b += 4)
		drop(&r, b);
	cr_assert_gt(file_bytes(fd), SIZE / 8);
	close_rig(&r);
	open_rig(&r, fd);
	cr_assert_leq(file_bytes(fd), SIZE / 32);
	close_rig(&r);
	close(fd);
}

/* Pages of random sizes come and go, against an array. */
Test(ram, equals_an_array, .timeout = 120)
{
	enum { N = 8192 };
	static uint16_t size[N];
	static uint32_t seed[N];
	uint64_t x = 88172645463325252u;
	unsigned int taken = 0;
	struct rig r;
	int fd = new_file();

	open_rig(&r, fd);
	for (uint32_t i = 1; i < 40000; i++) {
		uint64_t b;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		b = x % N;
		if (seed[b]) {
			expect(&r, b, seed[b], size[b]);
			drop(&r, b);
			seed[b] = 0;
		} else {
			/* what is common changes with time */
			size[b] = (uint16_t)((x >> 32) % (i / 5000 % 2 ? 3000 : 600));
			if (put(&r, b, i, size[b])) {
				seed[b] = i;
				taken++;
			}
		}
		if (i % 512 == 0)
			cr_assert_leq(file_bytes(fd), SIZE);
	}
	cr_assert_gt(taken, 15000);
	for (uint64_t b = 0; b < N; b++)
		if (seed[b])
			expect(&r, b, seed[b], size[b]);
	close_rig(&r);
	close(fd);
}

/* The system has no memory for us, by a fault point. */
Test(ram, no_memory_to_be_had)
{
	struct rig r;
	int fd = new_file();

	open_rig(&r, fd);
	cr_assert(put(&r, 0, 1, 900));
	point_set("ram-memory", -ENOSPC, 0, 1, 0);
	cr_assert(put(&r, 1, 2, 900), "its slab has room");
	cr_assert_not(put(&r, 2, 3, 2000));
	cr_assert(r.dev->suspended);
	device_ram_tend(r.dev);
	cr_assert(r.dev->suspended);
	drop(&r, 0);
	cr_assert(r.dev->suspended);
	drop(&r, 1);
	cr_assert_not(r.dev->suspended, "there is a slab with memory");
	cr_assert(put(&r, 0, 1, 900));
	cr_assert(put(&r, 1, 2, 900));
	cr_assert_not(put(&r, 2, 3, 2000));
	cr_assert(r.dev->suspended);
	point_clear_all();
	device_ram_tend(r.dev);
	cr_assert_not(r.dev->suspended);
	cr_assert(put(&r, 2, 3, 2000));
	expect(&r, 0, 1, 900);
	expect(&r, 1, 2, 900);
	expect(&r, 2, 3, 2000);
	close_rig(&r);
	close(fd);
}

/* A tmpfs that is smaller than SIZE, for which a store into a hole is SIGBUS. */
Test(ram, tmpfs_that_is_full)
{
	char dir[] = "/tmp/drum-test-XXXXXX", path[64];
	struct rig r;
	uint64_t n;
	int fd;

	cr_assert_not_null(mkdtemp(dir));
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", dir, "tmpfs", 0, "size=3m") < 0) {
		rmdir(dir);
		cr_skip_test("needs to mount a tmpfs");
	}
	snprintf(path, sizeof(path), "%s/ram", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	open_rig(&r, fd);
	n = fill_up(&r, 0, 1000);
	cr_assert(r.dev->suspended);
	cr_assert_gt(n, 2000);
	for (uint64_t b = 0; b < n; b++)
		expect(&r, b, b, 1000);
	/* another process opens it, when there is not a page left */
	close_rig(&r);
	open_rig(&r, fd);
	for (uint64_t b = 0; b < n; b++) {
		r.dev->ops->claimed(r.dev, b);
		expect(&r, b, b, 1000);
	}
	device_ram_claims_done(r.dev);
	r.dev->ops->freed(r.dev, 0, n);
	cr_assert_not(r.dev->suspended);
	cr_assert_geq(fill_up(&r, 0, 2000), n / 3);
	close_rig(&r);
	close(fd);
	unlink(path);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
}

/* --- nearly full ------------------------------------------------------------------ */

Test(ram, coldest_first_from_90_to_80_percent)
{
	struct rig r;
	int fd = new_file();
	uint64_t n = 0, cold = 0;

	open_rig(&r, fd);
	while (!r.dev->moving) {
		cr_assert_not(r.dev->ops->moves(r.dev, n / 2));
		cr_assert(put(&r, n, n, 1500));
		n++;
	}
	cr_assert_not(r.dev->suspended);
	cr_assert_gt(stats(&r).packed, SIZE / 10 * 9);
	cr_assert_leq(stats(&r).packed, SIZE / 10 * 9 + 65536);
	/* they are the first that were written, and not many more than needed */
	while (r.dev->ops->moves(r.dev, cold))
		cold++;
	for (uint64_t b = cold; b < n; b++)
		cr_assert_not(r.dev->ops->moves(r.dev, b), "block %llu", (unsigned long long)b);
	cr_assert_geq(cold * 1632, SIZE / 10);
	cr_assert_leq(cold * 1632, SIZE / 10 + SIZE / 20, "%llu", (unsigned long long)cold);
	cr_assert_geq(stats(&r).cold, SIZE / 10);
	/* a page that was moved here anew is not cold */
	expect(&r, 0, 0, 1500);
	cr_assert(put(&r, 0, 7, 1500));
	cr_assert_not(r.dev->ops->moves(r.dev, 0));
	/* owners move it */
	for (uint64_t b = 1; r.dev->moving; b++) {
		cr_assert(r.dev->ops->moves(r.dev, b));
		expect(&r, b, b, 1500);
		drop(&r, b);
		cr_assert_not(r.dev->ops->moves(r.dev, b));
	}
	cr_assert_leq(stats(&r).packed, SIZE / 10 * 8);
	cr_assert_gt(stats(&r).packed, SIZE / 10 * 8 - 2 * 65536);
	for (uint64_t b = 0; b < n; b++)
		cr_assert_not(r.dev->ops->moves(r.dev, b));
	cr_assert_eq(stats(&r).cold, 0);
	close_rig(&r);
	close(fd);
}

/* While they are moved, as much comes in: the limit of what is cold moves on. */
Test(ram, cold_moves_on)
{
	struct rig r;
	int fd = new_file();
	uint64_t n = 0, from = 0;

	open_rig(&r, fd);
	while (!r.dev->moving) {
		cr_assert(put(&r, n, n, 2000));
		n++;
	}
	for (int i = 0; i < 12000; i++, n++, from++) {
		cr_assert(r.dev->moving);
		cr_assert(r.dev->ops->moves(r.dev, from % r.dev->blocks), "after %d", i);
		drop(&r, from % r.dev->blocks);
		cr_assert(put(&r, n % r.dev->blocks, n, 2000));
	}
	for (; from < n; from++) {
		expect(&r, from % r.dev->blocks, from, 2000);
		drop(&r, from % r.dev->blocks);
	}
	cr_assert_not(r.dev->moving);
	close_rig(&r);
	close(fd);
}

Test(ram, suspended_with_hysteresis)
{
	struct rig r;
	int fd = new_file();
	uint64_t n = 0, freed = 0;

	open_rig(&r, fd);
	while (!r.dev->suspended) {
		cr_assert(put(&r, n, n, 1500), "before it is refused");
		n++;
	}
	cr_assert(r.dev->moving);
	cr_assert_gt(stats(&r).packed, SIZE / 100 * 95);
	cr_assert(put(&r, n++, 1, 1500), "who insists gets what is left");
	while (r.dev->suspended)
		drop(&r, freed++);
	cr_assert_geq(freed * 1500, SIZE / 50);
	cr_assert_leq(freed * 1500, SIZE / 10);
	cr_assert(r.dev->moving);
	cr_assert(put(&r, freed - 1, 1, 1500));
	cr_assert_not(r.dev->suspended);
	close_rig(&r);
	close(fd);
}

/* --- restarts ------------------------------------------------------------------------ */

Test(ram, restart)
{
	struct rig r;
	int fd = new_file();
	uint64_t before, bytes;

	open_rig(&r, fd);
	for (uint64_t b = 0; b < 2000; b++)
		cr_assert(put(&r, b, b, (uint32_t)(b % 3000)));
	bytes = stats(&r).bytes;
	close_rig(&r);

	open_rig(&r, fd);
	cr_assert_eq(stats(&r).pages, 2000);
	cr_assert_eq(stats(&r).bytes, bytes);
	cr_assert_eq(stats(&r).damaged, 0);
	for (uint64_t b = 0; b < 2000; b += 2)
		r.dev->ops->claimed(r.dev, b);
	r.dev->ops->claimed(r.dev, 3001); /* its write had not come to its end */
	before = file_bytes(fd);
	device_ram_claims_done(r.dev);
	cr_assert_eq(stats(&r).pages, 1000);
	for (uint64_t b = 0; b < 2000; b += 2)
		expect(&r, b, b, (uint32_t)(b % 3000));
	expect_error(&r, 1);
	expect_error(&r, 3001);
	for (uint64_t b = 1; b < 2000; b += 2)
		cr_assert(put(&r, b, b + 1, (uint32_t)(b % 3000)));
	cr_assert_leq(file_bytes(fd), before + SIZE / 16, "space is used again");
	for (uint64_t b = 0; b < 2000; b++)
		expect(&r, b, b + b % 2, (uint32_t)(b % 3000));
	close_rig(&r);
	close(fd);
}

/* What was cold is so for the next process. */
Test(ram, coldness_survives)
{
	struct rig r;
	int fd = new_file();
	uint64_t n = 0, cold = 0, again = 0;

	open_rig(&r, fd);
	for (; !r.dev->moving; n++)
		cr_assert(put(&r, n, n, 1200));
	while (r.dev->ops->moves(r.dev, cold))
		cold++;
	close_rig(&r);
	open_rig(&r, fd);
	cr_assert(r.dev->moving);
	while (r.dev->ops->moves(r.dev, again))
		again++;
	cr_assert_eq(again, cold);
	cr_assert_lt(cold, n / 5);
	close_rig(&r);
	close(fd);
}

static int copy_of(int fd)
{
	int to = new_file();
	off_t at = 0, hole, size = lseek(fd, 0, SEEK_END);
	static char buf[65536];

	cr_assert_eq(ftruncate(to, size), 0);
	while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
		hole = lseek(fd, at, SEEK_HOLE);
		while (at < hole) {
			ssize_t n =
				hole - at < (off_t)sizeof(buf) ? hole - at : (off_t)sizeof(buf);

			cr_assert_eq(pread(fd, buf, (size_t)n, at), n);
			cr_assert_eq(pwrite(to, buf, (size_t)n, at), n);
			at += n;
		}
	}
	return to;
}

static const char *const points[] = { "ram-after-slot", "ram-after-word", "ram-after-drop",
				      "ram-after-move", "ram-after-move-word" };

/* Blocks of two sizes, every second of the large ones freed, and then one of
 * another size for which a slab must be emptied; dead at a point. */
static void work(struct rig *r, uint64_t n, uint64_t fresh, uint64_t overwritten)
{
	unsigned char page[SWAP_BLOCK];

	drop(r, n - 1);
	fill(page, overwritten, 2300);
	(void)!run_page(r, true, overwritten, page);
	for (uint64_t i = 0; i < 64; i++) {
		fill(page, 5000 + i, 600);
		(void)!run_page(r, true, fresh + i, page);
	}
}

static void dies_at(const char *point, uint64_t skip)
{
	struct rig r, next;
	int fd = new_file(), copy;
	uint64_t n, m;

	open_rig(&r, fd);
	n = fill_up(&r, 0, 2300);
	for (uint64_t b = 0; b < n; b++)
		if (b % 3 == 1)
			drop(&r, b);
	point_set(point, -EIO, skip, 1, 0);
	/* n - 1 is dropped, and the one before it written anew: the same data */
	work(&r, n, n, (n - 3) / 3 * 3);
	cr_assert_gt(point_failed(point), 0, "%s was not met", point);
	point_clear_all();
	copy = copy_of(fd);
	close_rig(&r);
	close(fd);

	open_rig(&next, copy);
	cr_assert_eq(stats(&next).damaged, 0, "%s", point);
	for (uint64_t b = 0; b + 1 < n; b++)
		if (b % 3 != 1) {
			next.dev->ops->claimed(next.dev, b);
			expect(&next, b, b, 2300);
		}
	device_ram_claims_done(next.dev);
	/* no slot has two owners, whatever is stored */
	m = fill_up(&next, n, 900);
	cr_assert_geq(m - n, n / 3 * 23 / 9 - n / 10, "%s: %llu of %llu", point,
		      (unsigned long long)(m - n), (unsigned long long)n);
	for (uint64_t b = n; b < m; b++)
		expect(&next, b, b, 900);
	for (uint64_t b = 0; b + 1 < n; b++)
		if (b % 3 != 1)
			expect(&next, b, b, 2300);
	cr_assert_leq(file_bytes(copy), SIZE);
	close_rig(&next);
	close(copy);
}

Test(ram, dies_at_every_point, .timeout = 120)
{
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++)
		dies_at(points[i], 0);
	/* in the middle of a slab, with some slots moved */
	dies_at("ram-after-move", 9);
	dies_at("ram-after-move-word", 9);
}

/* --- damage ------------------------------------------------------------------------ */

static void flip(int fd, off_t at, unsigned char bits)
{
	unsigned char c;

	cr_assert_eq(pread(fd, &c, 1, at), 1);
	c ^= bits;
	cr_assert_eq(pwrite(fd, &c, 1, at), 1);
}

/* => how many blocks of n are damaged; the others are right */
static unsigned int damaged(struct rig *r, uint64_t n, uint32_t random)
{
	unsigned char page[SWAP_BLOCK], want[SWAP_BLOCK];
	unsigned int bad = 0;

	for (uint64_t b = 0; b < n; b++) {
		int err = run_page(r, false, b, page);

		cr_assert(err == 0 || err == -EILSEQ);
		fill(want, b, random);
		if (err)
			bad++;
		else
			cr_assert_eq(memcmp(page, want, SWAP_BLOCK), 0, "a wrong byte");
	}
	return bad;
}

/* A bit of a slot, or of a word: its own block is lost, nothing else, also for
 * the next process. */
Test(ram, one_flipped_bit, .timeout = 120)
{
	enum { N = 40, RANDOM = 150 };
	struct rig r, next;
	int fd = new_file();
	off_t data;

	open_rig(&r, fd);
	for (uint64_t b = 0; b < N; b++)
		cr_assert(put(&r, b, b, RANDOM));
	data = lseek(fd, AT_WORDS + 12 * (off_t)r.dev->blocks + 65535, SEEK_SET) / 65536 *
	       65536;
	for (int i = 0; i < 400; i++) {
		bool word = i % 2;
		off_t at = word ? AT_WORDS + i * 7 % (N * 8) : data + i * 13 % (N * 160);
		unsigned char bits = (unsigned char)(1u << i / 2 % 8);
		unsigned int bad;
		int copy;

		flip(fd, at, bits);
		bad = damaged(&r, N, RANDOM);
		cr_assert(bad <= 1 && bad >= word, "%u, at %lld", bad, (long long)at);
		copy = copy_of(fd);
		open_rig(&next, copy);
		cr_assert_eq(damaged(&next, N, RANDOM), bad, "at %lld", (long long)at);
		/* life goes on, and what is damaged can be freed */
		for (uint64_t b = N; b < 3 * N; b++)
			cr_assert(put(&next, b, b, RANDOM));
		next.dev->ops->freed(next.dev, N, 2 * N);
		cr_assert_eq(damaged(&next, N, RANDOM), bad);
		next.dev->ops->freed(next.dev, 0, N);
		cr_assert_eq(stats(&next).pages, 0);
		close_rig(&next);
		close(copy);
		flip(fd, at, bits);
	}
	cr_assert_eq(damaged(&r, N, RANDOM), 0);
	cr_assert_gt(r.dev->count.checksum_errors, 200);
	cr_assert_eq(r.dev->count.checksum_errors, stats(&r).damaged);
	close_rig(&r);
	close(fd);
}

/* A slab with a slot that cannot be moved stays, and the rest is packed. */
Test(ram, packing_around_damage)
{
	struct rig r;
	int fd = new_file();
	uint64_t n, m;
	off_t data;

	open_rig(&r, fd);
	n = fill_up(&r, 0, 2400);
	for (uint64_t b = 0; b < n; b += 2)
		drop(&r, b);
	data = (AT_WORDS + 12 * (off_t)r.dev->blocks + 65535) / 65536 * 65536;
	/* the block's number in a slot that is in use, of each slab of a stretch */
	for (off_t k = 0; k < 10; k++)
		flip(fd, data + k * 65536 + 2424 * (k % 2 ? 1 : 2) + 4, 0xff);
	m = fill_up(&r, n, 700);
	cr_assert_geq((m - n) * 700, SIZE * 35 / 100);
	cr_assert_leq(damaged(&r, 0, 0), 10);
	for (uint64_t b = n; b < m; b++)
		expect(&r, b, b, 700);
	close_rig(&r);
	close(fd);
}

static void refused(int fd, uint64_t size, int code, const char *text)
{
	struct err e = { 0 };

	cr_assert_null(device_ram_create("ram:8M", dup(fd), size, &e));
	cr_assert_eq(e.code, code, "%d: %s", e.code, e.text);
	cr_assert_not_null(strstr(e.text, text), "'%s'", e.text);
}

Test(ram, what_is_no_such_file)
{
	int fd = new_file();
	struct rig r;

	refused(fd, 4 * MIB - 1, -EINVAL, "4 MiB at least");
	refused(fd, 2 * MIB * MIB, -EINVAL, "1 TiB at most");
	refused(-1, SIZE, -EBADF, "Bad file descriptor");
	open_rig_sized(&r, fd, 4 * MIB);
	cr_assert(put(&r, 7, 7, 777));
	close_rig(&r);
	refused(fd, SIZE, -EINVAL, "it is for 4194304 bytes, not 8388608");
	flip(fd, AT_VERSION, 2);
	refused(fd, 4 * MIB, -EINVAL, "its format is 3");
	flip(fd, AT_VERSION, 2);
	flip(fd, AT_MAGIC, 1);
	refused(fd, 4 * MIB, -EINVAL, "not a file of a ram: device");
	flip(fd, AT_MAGIC, 1);
	open_rig_sized(&r, fd, 4 * MIB);
	expect(&r, 7, 7, 777);
	close_rig(&r);
	cr_assert_eq(ftruncate(fd, 3 * MIB), 0);
	refused(fd, 4 * MIB, -EINVAL, "its size");
	close(fd);
}

/* Died before the magic number was stored. */
Test(ram, layout_is_finished)
{
	int fd = new_file();
	struct rig r;

	cr_assert_eq(ftruncate(fd, 100 * 4096), 0);
	open_rig(&r, fd);
	cr_assert(put(&r, 7, 7, 777));
	expect(&r, 7, 7, 777);
	close_rig(&r);
	close(fd);
}
