/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An image that is a file, its cache, the daemon and a swap device, all of them real: what was
 * read once comes from swap, until it changes, or is corrupt there.
 */
#include <criterion/criterion.h>
#include <errno.h>

#include "swapcached_env.h"
#include "vmm/image_swapcache.h"

#define BYTES (UINT64_C(2) << 20)
#define N     (BYTES / SWAP_BLOCK)

static struct image *image;
static struct ring *ring;
static char *content; /* what the image holds */
static char *got;

static void open_image(void)
{
	char name[] = "image-swapcache-XXXXXX";
	struct err e = { 0 };
	int fd = mkstemp(name);

	cr_assert_geq(fd, 0);
	content = malloc(BYTES);
	got = aligned_alloc(SWAP_BLOCK, BYTES);
	for (uint64_t i = 0; i < BYTES; i++)
		content[i] = (char)(i * 7 + (i >> 12) * 13);
	cr_assert_eq(pwrite(fd, content, BYTES, 0), (ssize_t)BYTES);
	image = image_file_open(fd, name, IMAGE_CACHE_WRITEBACK, false, &e);
	cr_assert_not_null(image, "%s", e.text);
	unlink(name);
	ring = ring_create(64);
	cr_assert_not_null(ring);
	set(SWAPCACHE_READ_ENABLE, 1);
	set(SWAPCACHE_FILL_ENABLE, 1);
	cr_assert_eq(image_swapcache_on(image, obj, sd, &policy, SWAPCACHE_AUTO), 0);
}

static void begin(void)
{
	set_up_file();
	open_image();
}

static void end(void)
{
	image_close(image);
	ring_destroy(ring);
	tear_down();
	free(content);
	free(got);
}

TestSuite(image_swapcache_whole, .init = begin, .fini = end, .timeout = 60);

static int req_err;

static void on_req(struct image_req *req, int err)
{
	(void)req;
	req_err = err;
}

static void request(enum image_op op, uint64_t off, uint64_t len)
{
	struct iovec v[3] = { { got, 512 }, { got + 512, len / 2 - 512 } };
	struct image_req req = {
		.done = on_req, .op = op, .off = off, .len = len, .iov = v, .niov = 3
	};

	v[2] = (struct iovec){ got + len / 2, len - len / 2 };
	req_err = 1;
	image_submit(image, ring, &req);
	while (req_err == 1)
		cr_assert_geq(ring_run(ring, UINT64_MAX), 0);
	cr_assert_eq(req_err, 0);
}

static void reads_right(uint64_t off, uint64_t len)
{
	memset(got, 0xee, len);
	request(IMAGE_READ, off, len);
	cr_assert_arr_eq(got, content + off, len);
}

static struct image_swapcache_counts counts(void)
{
	struct image_swapcache_counts n;

	image_swapcache_get_counts(image, &n);
	return n;
}

/* All of it is read, and read again, until it is cached: the daemon has so many buffers. */
static void warm_up(void)
{
	while (cached(obj) < N) {
		for (uint64_t at = 0; at < BYTES; at += BYTES / 8)
			reads_right(at, BYTES / 8);
		settle();
	}
}

Test(image_swapcache_whole, read_once_and_it_is_on_swap)
{
	uint64_t hits, saved;

	warm_up();
	hits = counts().hit_bytes;
	saved = counts().saved_reads;
	reads_right(0, BYTES);
	reads_right(5 * 512, 9 * SWAP_BLOCK);
	cr_assert_eq(counts().hit_bytes - hits, BYTES + 9 * SWAP_BLOCK);
	cr_assert_eq(counts().saved_reads - saved, 2);
	cr_assert_eq(counts().fallbacks, 0);
	cr_assert_eq(counts().fills, N, "each of them once");
}

Test(image_swapcache_whole, what_changes_is_read_from_the_image)
{
	warm_up();
	for (uint64_t i = 0; i < 40; i++) {
		uint64_t off = (i * 37 % 400) * 512, len = (4 + i * 3) * 512;

		memset(got, (int)i, len);
		memset(content + off, (int)i, len);
		request(IMAGE_WRITE, off, len);
		reads_right(off / 2 / 512 * 512, 40 * SWAP_BLOCK);
	}
	settle();
	reads_right(0, BYTES);
	memset(content + 8192, 0, 12288);
	request(IMAGE_ZEROES, 8192, 12288);
	reads_right(0, BYTES);
}

/* A byte of a block of swap is another one: its checksum is wrong. */
Test(image_swapcache_whole, corrupt_on_swap)
{
	struct cacheobj_counts n;
	struct cacheobj_read r;
	uint64_t gap, before;
	int fd = drum_device(drum, 1)->fd;
	char *block = aligned_alloc(SWAP_BLOCK, SWAP_BLOCK);

	warm_up();
	cr_assert_gt(cacheobj_read(obj, &r, 20, 1, &gap), 0);
	cr_assert_eq(pread(fd, block, SWAP_BLOCK, (off_t)(drum_block_of(r.addr) * SWAP_BLOCK)),
		     (ssize_t)SWAP_BLOCK);
	block[99] ^= 1;
	cr_assert_eq(pwrite(fd, block, SWAP_BLOCK, (off_t)(drum_block_of(r.addr) * SWAP_BLOCK)),
		     (ssize_t)SWAP_BLOCK);
	cacheobj_read_end(obj, &r, 0);
	before = cached(obj);
	reads_right(18 * SWAP_BLOCK, 8 * SWAP_BLOCK);
	cr_assert_eq(counts().fallbacks, 1);
	cacheobj_get_counts(obj, &n);
	cr_assert_gt(n.checksum_errors, 0);
	cr_assert_lt(n.cached, before, "dropped");
	reads_right(18 * SWAP_BLOCK, 8 * SWAP_BLOCK);
	cr_assert_eq(counts().fallbacks, 1);
	settle();
	free(block);
}
