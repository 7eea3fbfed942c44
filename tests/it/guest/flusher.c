/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flusher FILE BLOCKS STEPS MARK OFFSET [direct]: writes and flushes, in the guest.
 *
 * Each step writes some of the file's BLOCKS blocks of 4 KiB, flushes, and then tells by a
 * marker, written past the page cache to OFFSET of MARK, that the flush was acknowledged:
 * where MARK lies on the same disk as FILE, whoever logs what the disk was asked to do
 * sees in one order what was written, the flush, and that the guest knew of it.
 *
 * A block: "FLUSHED " step block, then 509 words step << 32 ^ block * 0x9e3779b97f4a7c15 + i.
 * The marker: "MARKED  " step count, then (first block, blocks) of each write of this step.
 * All words are of 64 bits, of this machine's byte order.
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK	   4096u
#define WORDS	   (BLOCK / 8)
#define RUN_MAX	   16u
#define WRITES_MAX 12u

static uint64_t buf[RUN_MAX * WORDS] __attribute__((aligned(BLOCK)));
static uint64_t mark[WORDS] __attribute__((aligned(BLOCK)));

static void fill(uint64_t *block, uint64_t step, uint64_t number)
{
	memcpy(block, "FLUSHED ", 8);
	block[1] = step;
	block[2] = number;
	for (uint64_t i = 3; i < WORDS; i++)
		block[i] = ((step << 32) ^ (number * UINT64_C(0x9e3779b97f4a7c15))) + i;
}

static void write_all(int fd, const void *data, size_t len, off_t at, const char *name)
{
	ssize_t n = pwrite(fd, data, len, at);

	if (n != (ssize_t)len)
		err(1, "write %s", name);
}

int main(int argc, char **argv)
{
	int direct = argc == 7 && !strcmp(argv[6], "direct") ? O_DIRECT : 0;
	unsigned long blocks, steps;
	off_t offset;
	int fd, mark_fd;

	if (argc < 6)
		errx(2, "usage: flusher FILE BLOCKS STEPS MARK OFFSET [direct]");
	blocks = strtoul(argv[2], NULL, 0);
	steps = strtoul(argv[3], NULL, 0);
	offset = strtoll(argv[5], NULL, 0);
	fd = open(argv[1], O_RDWR | O_CREAT | direct, 0600);
	if (fd < 0)
		err(1, "%s", argv[1]);
	mark_fd = open(argv[4], O_WRONLY | O_DIRECT);
	if (mark_fd < 0)
		err(1, "%s", argv[4]);
	srandom(1);
	for (unsigned long step = 1; step <= steps; step++) {
		unsigned long writes = 1 + (unsigned long)random() % WRITES_MAX;

		memset(mark, 0, sizeof(mark));
		memcpy(mark, "MARKED  ", 8);
		mark[1] = step;
		mark[2] = writes;
		for (unsigned long w = 0; w < writes; w++) {
			unsigned long run = 1 + (unsigned long)random() % RUN_MAX;
			unsigned long first = (unsigned long)random() % (blocks - run + 1);

			for (unsigned long b = 0; b < run; b++)
				fill(buf + b * WORDS, step, first + b);
			write_all(fd, buf, run * BLOCK, (off_t)(first * BLOCK), argv[1]);
			mark[3 + 2 * w] = first;
			mark[4 + 2 * w] = run;
		}
		if (fdatasync(fd))
			err(1, "flush %s", argv[1]);
		write_all(mark_fd, mark, sizeof(mark), offset, argv[4]);
	}
	printf("FLUSHED %lu\n", steps);
	return 0;
}
