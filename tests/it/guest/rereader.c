/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest does in the benchmarks "vswapper" and "swapcache", and in tests of the latter:
 *
 *	rereader read FILE PASSES	reads the file through the page cache, again and again:
 *		`READ N SECONDS SUM` each time
 *	rereader overwrite FILE MIB GO	fills so much memory, and tells where that is, in pages
 * of the guest: `AT FIRST PAGES` as often as is needed, `FILLED`.  When there is a file GO1
 * it reads the beginning of FILE into that, past the page cache: `OVERWRITTEN SECONDS`.  When
 * there is GO2 it looks at all of it: `SUM SUM`
 *
 *	rereader tree DIR	reads all files below it: `TREE FILES BYTES SECONDS SUM`
 *
 * SUM is of pieces of 1 MiB, after each of which it is rotated left by a bit; of a piece it is
 * the exclusive or of its words of 64 bits.  A tree's is of pieces of 4 KiB likewise, and of
 * names; in which order files come does not matter.
 */
#include <err.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PIECE ((size_t)1 << 20)

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t add(uint64_t sum, const uint64_t *piece)
{
	for (size_t i = 0; i < PIECE / sizeof(*piece); i++)
		sum ^= piece[i];
	return sum << 1 | sum >> 63;
}

static void *memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		err(1, "%zu bytes of memory", size);
	return p;
}

/* => false: that was its end */
static int read_piece(int fd, void *to, const char *name)
{
	size_t have = 0;

	while (have < PIECE) {
		ssize_t n = read(fd, (char *)to + have, PIECE - have);

		if (n < 0)
			err(1, "read %s", name);
		if (n == 0)
			break;
		have += (size_t)n;
	}
	if (have != 0 && have != PIECE)
		errx(1, "%s does not consist of whole MiB", name);
	return have != 0;
}

static void read_again(const char *name, unsigned long passes)
{
	uint64_t *piece = memory(PIECE);
	int fd = open(name, O_RDONLY);

	if (fd < 0)
		err(1, "%s", name);
	for (unsigned long pass = 1; pass <= passes; pass++) {
		double began = now();
		uint64_t sum = 0;

		if (lseek(fd, 0, SEEK_SET) < 0)
			err(1, "seek %s", name);
		while (read_piece(fd, piece, name))
			sum = add(sum, piece);
		printf("READ %lu %.3f %016" PRIx64 "\n", pass, now() - began, sum);
		fflush(stdout);
	}
}

static void wait_for(const char *go, int number)
{
	char path[256];

	snprintf(path, sizeof(path), "%s%d", go, number);
	while (access(path, F_OK) < 0)
		usleep(50000);
}

/* Pages, where they follow each other. */
static void tell_pages(const uint8_t *all, size_t size)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t first = 0, n = 0, page;

	if (fd < 0)
		err(1, "pagemap");
	for (size_t at = 0; at < size; at += 4096) {
		off_t off = (off_t)(((uintptr_t)all + at) / 4096 * sizeof(page));

		if (pread(fd, &page, sizeof(page), off) != sizeof(page) || !(page >> 63))
			errx(1, "a page is not in memory");
		page &= (UINT64_C(1) << 55) - 1;
		if (n > 0 && page == first + n) {
			n++;
			continue;
		}
		if (n > 0)
			printf("AT %" PRIu64 " %" PRIu64 "\n", first, n);
		first = page;
		n = 1;
	}
	printf("AT %" PRIu64 " %" PRIu64 "\nFILLED\n", first, n);
	fflush(stdout);
	close(fd);
}

static void overwrite(const char *name, unsigned long mib, const char *go)
{
	uint8_t *all = memory(mib * PIECE);
	int fd = open(name, O_RDONLY | O_DIRECT);
	uint64_t sum = 0, word = 1;
	double began;

	if (fd < 0)
		err(1, "%s", name);
	/* or there would be much to tell */
	(void)!madvise(all, mib * PIECE, MADV_HUGEPAGE);
	for (size_t at = 0; at < mib * PIECE; at += sizeof(word)) {
		word = word * UINT64_C(6364136223846793005) + 1442695040888963407u;
		memcpy(all + at, &word, sizeof(word));
	}
	tell_pages(all, mib * PIECE);
	wait_for(go, 1);
	began = now();
	for (size_t at = 0; at < mib * PIECE; at += PIECE)
		if (!read_piece(fd, all + at, name))
			errx(1, "%s is too short", name);
	printf("OVERWRITTEN %.3f\n", now() - began);
	fflush(stdout);
	wait_for(go, 2);
	for (size_t at = 0; at < mib * PIECE; at += PIECE)
		sum = add(sum, (const uint64_t *)(void *)(all + at));
	printf("SUM %016" PRIx64 "\n", sum);
}

#define BLOCK ((size_t)4096)

static struct {
	uint64_t files, bytes, sum;
	uint64_t *piece; /* [PIECE] */
} tree;

static int read_file(const char *path, const struct stat *st, int type, struct FTW *where)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325);
	ssize_t n;
	int fd;

	(void)st;
	if (type != FTW_F)
		return type == FTW_D ? 0 : -1;
	for (const char *c = path + where->base; *c; c++)
		sum = (sum ^ (uint8_t)*c) * UINT64_C(0x100000001b3);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		err(1, "%s", path);
	while ((n = read(fd, tree.piece, PIECE)) > 0) {
		memset((char *)tree.piece + n, 0, BLOCK - (size_t)n % BLOCK);
		for (size_t at = 0; at < (size_t)n; at += BLOCK) {
			const uint64_t *block = tree.piece + at / sizeof(*block);

			for (size_t i = 0; i < BLOCK / sizeof(*block); i++)
				sum ^= block[i];
			sum = sum << 1 | sum >> 63;
		}
		tree.bytes += (uint64_t)n;
	}
	if (n < 0)
		err(1, "read %s", path);
	close(fd);
	tree.sum += sum * UINT64_C(0x9e3779b97f4a7c15);
	tree.files++;
	return 0;
}

static void read_tree(const char *dir)
{
	double began = now();

	tree.piece = memory(PIECE + BLOCK);
	if (nftw(dir, read_file, 32, FTW_PHYS) != 0)
		err(1, "%s", dir);
	printf("TREE %" PRIu64 " %" PRIu64 " %.3f %016" PRIx64 "\n", tree.files, tree.bytes,
	       now() - began, tree.sum);
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "read"))
		read_again(argv[2], strtoul(argv[3], NULL, 0));
	else if (argc == 5 && !strcmp(argv[1], "overwrite"))
		overwrite(argv[2], strtoul(argv[3], NULL, 0), argv[4]);
	else if (argc == 3 && !strcmp(argv[1], "tree"))
		read_tree(argv[2]);
	else
		errx(2, "usage: rereader read FILE PASSES | overwrite FILE MIB GO | tree DIR");
	return 0;
}
