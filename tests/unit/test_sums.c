/* SPDX-License-Identifier: BSD-2-Clause */
/* What is known of each block, in real files: memfds, and a tmpfs that is full. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/point.h"
#include "swap/sums.h"

#define LIMIT .timeout = 60
#define BLOCK 4096

static int new_file(void)
{
	int fd = memfd_create("sums", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	return fd;
}

static struct sums *open_sums(int fd, uint64_t blocks)
{
	struct err e = { 0 };
	struct sums *s = sums_open(dup(fd), blocks, &e);

	cr_assert_not_null(s, "%s", e.text);
	return s;
}

static const void *block_of(unsigned int what)
{
	static uint32_t data[BLOCK / sizeof(uint32_t)];

	for (unsigned int i = 0; i < BLOCK / sizeof(uint32_t); i++)
		data[i] = what * 2654435761u + i;
	return data;
}

static bool right(struct sums *s, uint64_t block, unsigned int what)
{
	return sums_check(s, block, block_of(what));
}

static off_t allocated(int fd)
{
	struct stat st;

	cr_assert_eq(fstat(fd, &st), 0);
	return st.st_blocks * 512;
}

Test(sums, catches_other_data, LIMIT)
{
	int fd = new_file();
	struct sums *s = open_sums(fd, 5000);
	char data[BLOCK];

	cr_assert(right(s, 7, 1), "nothing is known yet");
	sums_set(s, 7, block_of(1));
	cr_assert(right(s, 7, 1));
	cr_assert(!right(s, 7, 2));
	cr_assert(right(s, 6, 2) && right(s, 8, 2), "nothing is known of its neighbours");
	for (int i = 0; i < BLOCK; i += 97)
		for (int b = 0; b < 8; b++) {
			memcpy(data, block_of(1), BLOCK);
			data[i] ^= (char)(1 << b);
			cr_assert(!sums_check(s, 7, data), "byte %d bit %d", i, b);
		}
	memset(data, 0, BLOCK);
	cr_assert(!sums_check(s, 7, data), "zeros are not the answer");
	sums_set(s, 7, block_of(2));
	cr_assert(right(s, 7, 2) && !right(s, 7, 1));
	sums_close(s);
	sums_close(NULL);
	close(fd);
}

Test(sums, outlive_the_process, LIMIT)
{
	int fd = new_file();
	struct sums *s = open_sums(fd, 100000);

	for (unsigned int b = 0; b < 100000; b += 777) {
		sums_set(s, b, block_of(b));
		cr_assert_eq(sums_set_halves(s, b, b % 4), 0);
	}
	sums_close(s);
	s = open_sums(fd, 100000);
	for (unsigned int b = 0; b < 100000; b += 777) {
		cr_assert(right(s, b, b) && !right(s, b, b + 1));
		cr_assert_eq(sums_halves(s, b), b % 4);
		cr_assert(right(s, b + 1, 0));
		cr_assert_eq(sums_halves(s, b + 1), 0);
	}
	sums_close(s);
	close(fd);
}

Test(sums, halves_and_sum_are_apart, LIMIT)
{
	int fd = new_file();
	struct sums *s = open_sums(fd, 100);

	for (unsigned int h = 0; h < 4; h++) {
		cr_assert_eq(sums_set_halves(s, 3, h), 0);
		cr_assert_eq(sums_halves(s, 3), h);
		cr_assert(right(s, 3, h), "no sum was set");
	}
	sums_set(s, 3, block_of(9));
	cr_assert_eq(sums_halves(s, 3), 3);
	cr_assert_eq(sums_set_halves(s, 3, 1), 0);
	cr_assert(right(s, 3, 9) && !right(s, 3, 8));
	cr_assert_eq(sums_halves(s, 2) | sums_halves(s, 4), 0);
	sums_close(s);
	close(fd);
}

Test(sums, costs_what_is_used, LIMIT)
{
	int fd = new_file();
	struct sums *s = open_sums(fd, UINT64_C(1) << 28); /* 1 TiB of swap */

	cr_assert_leq(allocated(fd), 4096);
	cr_assert(right(s, (1 << 28) - 1, 1));
	cr_assert_eq(sums_halves(s, 12345678), 0);
	cr_assert_leq(allocated(fd), 4096, "to look costs nothing");
	sums_set(s, (1 << 28) - 1, block_of(1));
	sums_set(s, 0, block_of(2));
	cr_assert_leq(allocated(fd), 3 * 4096);
	sums_close(s);
	close(fd);
}

Test(sums, grow, LIMIT)
{
	int fd = new_file();
	struct sums *s = open_sums(fd, 1000);

	sums_set(s, 999, block_of(1));
	cr_assert_eq(sums_grow(s, 16000), 0);
	sums_set(s, 15999, block_of(2));
	cr_assert_eq(sums_grow(s, 100000), -EFBIG);
	cr_assert(right(s, 999, 1) && right(s, 15999, 2) && !right(s, 15999, 3));
	sums_close(s);
	/* it is not cut for one who knows of fewer blocks */
	s = open_sums(fd, 10);
	sums_close(s);
	s = open_sums(fd, 16000);
	cr_assert(!right(s, 15999, 3));
	sums_close(s);
	close(fd);
}

Test(sums, other_files, LIMIT)
{
	struct err e = { 0 };
	int fd = new_file();

	cr_assert_eq(pwrite(fd, "something else", 14, 0), 14);
	cr_assert_null(sums_open(dup(fd), 100, &e));
	cr_assert_eq(e.code, -EINVAL);
	cr_assert_gt(strlen(e.text), 0);
	close(fd);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	cr_assert_null(sums_open(fd, 100, &e));
	cr_assert_lt(e.code, 0);
	cr_assert_eq(fcntl(fd, F_GETFD), -1, "it is closed");
}

/* Laid out as far as its size, when the one who made it died. */
Test(sums, died_while_laying_out, LIMIT)
{
	int fd = new_file();
	struct sums *s;

	cr_assert_eq(ftruncate(fd, 8192), 0);
	s = open_sums(fd, 100);
	sums_set(s, 1, block_of(1));
	cr_assert(!right(s, 1, 2));
	sums_close(s);
	close(fd);
}

/* --- no memory -------------------------------------------------------------------------- */

Test(sums, no_memory_is_unchecked, LIMIT)
{
	int fd = new_file();
	struct sums *s = open_sums(fd, 5000);

	sums_set(s, 1, block_of(1));
	point_set("sums-memory", -ENOSPC, 0, 1, 0);
	sums_set(s, 2, block_of(2)); /* its page is there */
	sums_set(s, 3000, block_of(3));
	cr_assert_eq(sums_set_halves(s, 3000, 3), -ENOSPC);
	cr_assert_eq(sums_set_halves(s, 2, 3), 0);
	cr_assert(!right(s, 2, 3));
	cr_assert(right(s, 3000, 99), "unchecked");
	cr_assert_eq(sums_halves(s, 3000), 0);
	point_clear_all();
	sums_set(s, 3000, block_of(3));
	cr_assert(!right(s, 3000, 99));
	sums_close(s);
	close(fd);
}

/* The real thing, where a mount may be had. */
Test(sums, full_tmpfs, LIMIT)
{
	char dir[] = "/tmp/test-sums-XXXXXX", path[64];
	struct sums *s;
	unsigned int checked = 0;
	int fd;

	cr_assert_not_null(mkdtemp(dir));
	if (mount("sums", dir, "tmpfs", 0, "size=40k") < 0) {
		rmdir(dir);
		cr_skip_test("no tmpfs can be mounted here: %s", strerror(errno));
	}
	snprintf(path, sizeof(path), "%s/sums", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
	cr_assert_geq(fd, 0);
	s = open_sums(fd, 50 * 1024);
	for (unsigned int b = 0; b < 50 * 1024; b += 256)
		sums_set(s, b, block_of(b));
	for (unsigned int b = 0; b < 50 * 1024; b += 256) {
		cr_assert(right(s, b, b));
		checked += !right(s, b, b + 1);
		cr_assert(sums_halves(s, b) == 0);
	}
	cr_assert_eq(checked, 9 * 4, "40k less the header");
	sums_close(s);
	s = open_sums(fd, 50 * 1024);
	for (unsigned int b = 0; b < 50 * 1024; b += 256) {
		cr_assert(right(s, b, b));
		checked -= !right(s, b, b + 1);
	}
	cr_assert_eq(checked, 0);
	sums_close(s);
	close(fd);
}

/* --- halves ------------------------------------------------------------------------------- */

Test(sums, whose_bits_they_are, LIMIT)
{
	int fd = new_file();
	struct sums *s = open_sums(fd, 5000);

	cr_assert(!sums_half_is(s, 0, 0, 0) && !sums_half_is(s, 1, 0, 0));
	sums_new_half(s, 0, 1, 10);
	sums_new_half(s, 1, 1, 11);
	for (unsigned int b = 0; b < 5000; b += 100) {
		sums_set(s, b, block_of(b));
		cr_assert_eq(sums_set_halves(s, b, 1 + b / 100 % 3), 0);
	}
	sums_close(s);
	s = open_sums(fd, 5000);
	cr_assert(sums_half_is(s, 0, 1, 10) && sums_half_is(s, 1, 1, 11));
	cr_assert(!sums_half_is(s, 1, 1, 10) && !sums_half_is(s, 0, 2, 10));
	sums_new_half(s, 1, 1, 12);
	cr_assert(sums_half_is(s, 1, 1, 12) && !sums_half_is(s, 1, 1, 11));
	for (unsigned int b = 0; b < 5000; b += 100) {
		cr_assert_eq(sums_halves(s, b), (1 + b / 100 % 3) & 1);
		cr_assert(right(s, b, b) && !right(s, b, b + 1), "sums stay");
	}
	cr_assert_eq(sums_mirror_blocks(s), 0);
	sums_set_mirror_blocks(s, 4000);
	sums_close(s);
	s = open_sums(fd, 5000);
	cr_assert_eq(sums_mirror_blocks(s), 4000);
	sums_close(s);
	close(fd);
}

/* --- threads ---------------------------------------------------------------------------------
 */

#define THREADS 4

struct part {
	struct sums *s;
	unsigned int first;
};

/* Blocks that lie between those of the other threads. */
static void *set_part(void *arg)
{
	const struct part *p = arg;
	char data[BLOCK];

	for (unsigned int b = p->first; b < 8192; b += THREADS) {
		memset(data, (int)(b % 251), BLOCK);
		sums_set(p->s, b, data);
		cr_assert_eq(sums_set_halves(p->s, b, 3), 0);
	}
	return NULL;
}

Test(sums, neighbours_at_once, LIMIT)
{
	int fd = new_file();
	struct sums *s = open_sums(fd, 8192);
	struct part p[THREADS];
	pthread_t t[THREADS];
	char data[BLOCK];

	for (unsigned int i = 0; i < THREADS; i++) {
		p[i] = (struct part){ s, i };
		cr_assert_eq(pthread_create(&t[i], NULL, set_part, &p[i]), 0);
	}
	/* a half is replaced meanwhile: no checksum is lost for it */
	for (unsigned int i = 0; i < 20; i++)
		sums_new_half(s, 1, 1, i);
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	for (unsigned int b = 0; b < 8192; b++) {
		memset(data, (int)(b % 251), BLOCK);
		cr_assert(sums_check(s, b, data));
		data[0]++;
		cr_assert(!sums_check(s, b, data));
		cr_assert(sums_halves(s, b) & 1);
	}
	sums_close(s);
	close(fd);
}
