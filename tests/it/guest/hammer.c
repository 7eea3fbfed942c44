/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hammer NAME DEVICE THREADS: writes few blocks again and again, past the page cache, in the
 * guest.
 *
 * Each thread has four blocks of 4 KiB of its own, waits for each of its requests, and so knows
 * what every one of its blocks must hold: what it has written last.  A write that is done
 * twice, and the second time late, or is done after its successor, is seen at the next look. It
 * looks at one block for each that it writes.  Once a second `HAMMER NAME writes=N bad=0`,
 * until /tmp/stop is there; `HAMMER FAILED` and its block otherwise.
 */
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK	4096u
#define WORDS	(BLOCK / 8)
#define MINE	4u
#define THREADS 64

static const char *name;
static int fd;
static atomic_ulong writes;
static atomic_bool stop, failed;

struct worker {
	pthread_t thread;
	unsigned int number, random;
	uint64_t generation[MINE];
};

static void fill(uint64_t *block, uint64_t generation, uint64_t number)
{
	for (uint64_t i = 0; i < WORDS; i++)
		block[i] = generation * UINT64_C(0x9e3779b97f4a7c15) + (number << 32) + i;
}

static void look(const struct worker *w, unsigned int which, uint64_t *is, uint64_t *must)
{
	uint64_t number = w->number * MINE + which, was = 0;

	if (pread(fd, is, BLOCK, (off_t)(number * BLOCK)) != BLOCK)
		err(1, "HAMMER FAILED %s read", name);
	fill(must, w->generation[which], number);
	if (!memcmp(is, must, BLOCK))
		return;
	for (uint64_t g = w->generation[which]; g > 0; g--) {
		fill(must, g, number);
		if (!memcmp(is, must, BLOCK))
			was = g;
	}
	printf("HAMMER FAILED %s block %lu holds generation %lu (0: none), not %lu\n", name,
	       (unsigned long)number, (unsigned long)was, (unsigned long)w->generation[which]);
	fflush(stdout);
	atomic_store(&failed, true);
	atomic_store(&stop, true);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	uint64_t *buf = aligned_alloc(BLOCK, 2 * BLOCK);

	if (!buf)
		err(1, "HAMMER FAILED %s", name);
	while (!atomic_load(&stop)) {
		unsigned int which = (unsigned int)rand_r(&w->random) % MINE;
		uint64_t number = w->number * MINE + which;

		fill(buf, ++w->generation[which], number);
		if (pwrite(fd, buf, BLOCK, (off_t)(number * BLOCK)) != BLOCK)
			err(1, "HAMMER FAILED %s write", name);
		atomic_fetch_add(&writes, 1);
		which = (unsigned int)rand_r(&w->random) % MINE;
		if (w->generation[which])
			look(w, which, buf, buf + WORDS);
	}
	/* what is late comes now */
	sleep(1);
	for (unsigned int which = 0; which < MINE; which++)
		if (w->generation[which])
			look(w, which, buf, buf + WORDS);
	free(buf);
	return NULL;
}

int main(int argc, char **argv)
{
	static struct worker workers[THREADS];
	unsigned int n;

	if (argc != 4 || (n = (unsigned int)atoi(argv[3])) == 0 || n > THREADS)
		errx(2, "usage: hammer NAME DEVICE THREADS");
	name = argv[1];
	fd = open(argv[2], O_RDWR | O_DIRECT);
	if (fd < 0)
		err(1, "HAMMER FAILED %s", argv[2]);
	for (unsigned int i = 0; i < n; i++) {
		workers[i].number = i;
		workers[i].random = i + 1;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			errx(1, "HAMMER FAILED %s: no thread", name);
	}
	while (!atomic_load(&stop)) {
		sleep(1);
		printf("HAMMER %s writes=%lu bad=%d\n", name, atomic_load(&writes),
		       atomic_load(&failed));
		fflush(stdout);
		if (access("/tmp/stop", F_OK) == 0)
			atomic_store(&stop, true);
	}
	for (unsigned int i = 0; i < n; i++)
		pthread_join(workers[i].thread, NULL);
	return atomic_load(&failed);
}
