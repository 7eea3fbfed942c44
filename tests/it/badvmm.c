/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * badvmm: stands in for a VMM that does what no VMM should, to RAM that is paged.
 *
 * It maps a memfd as QEMU's backend does, stamps every page, and does as it is told
 * on standard input; each answer is one line.
 *
 *	verify		read every page that is mapped: bad ones, and those that are SIGBUS
 *	close		close every userfaultfd
 *	unmap		unmap the last quarter
 *	remap		map the second quarter anew, at the same place
 *	storm N		MADV_DONTNEED of all, N times, while another thread verifies
 *	steal N		N times: a page that was verified is given back (punched), without the
 *			madvise that would tell of it
 *	report N	honest free page reporting of the 4 MiB in the middle, N times: punch
 *and madvise, while the pages before it are read, in order, and so what is behind them is read
 *ahead into the holes quit
 */

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u

static uint8_t *ram;
static bool *given_back; /* [pages]: zeros are right there */
static uint64_t pages, mapped;
static int fd;
static int storming; /* [a] */

static uint64_t stamp(uint64_t page, uint64_t word)
{
	return (page * 512 + word + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static void fill(uint64_t page)
{
	uint64_t *p = (uint64_t *)(ram + page * PAGE);

	for (uint64_t w = 0; w < PAGE / 8; w++)
		p[w] = stamp(page, w);
}

static bool right(uint64_t page)
{
	const volatile uint64_t *p = (volatile uint64_t *)(ram + page * PAGE);

	for (uint64_t w = 0; w < PAGE / 8; w++)
		if (p[w] != (given_back[page] ? 0 : stamp(page, w)))
			return false;
	return true;
}

static sigjmp_buf no_page;
static volatile uint64_t lost; /* pages that were SIGBUS, at the last look */

static void on_sigbus(int signo)
{
	(void)signo;
	siglongjmp(no_page, 1);
}

static uint64_t count_bad(void)
{
	volatile uint64_t bad = 0, i = 0;

	lost = 0;
	if (sigsetjmp(no_page, 1)) {
		lost++;
		i++;
	}
	for (; i < mapped; i++)
		bad += !right(i);
	return bad;
}

static void close_all(void)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *de;
	int n = 0;

	while (d && (de = readdir(d))) {
		char target[64];
		ssize_t len = readlinkat(dirfd(d), de->d_name, target, sizeof(target) - 1);

		target[len > 0 ? len : 0] = '\0';
		if (strcmp(target, "anon_inode:[userfaultfd]") == 0) {
			close(atoi(de->d_name));
			n++;
		}
	}
	if (d)
		closedir(d);
	printf("BADVMM CLOSED %d\n", n);
}

static void *storm(void *arg)
{
	uint64_t n = *(uint64_t *)arg;

	while (n-- > 0)
		madvise(ram, mapped * PAGE, MADV_DONTNEED);
	__atomic_store_n(&storming, 0, __ATOMIC_RELEASE);
	return NULL;
}

static void do_storm(uint64_t n)
{
	uint64_t bad = 0, rounds = 0;
	pthread_t thread;

	storming = 1;
	if (pthread_create(&thread, NULL, storm, &n) != 0)
		exit(1);
	do {
		bad += count_bad();
		rounds++;
	} while (__atomic_load_n(&storming, __ATOMIC_ACQUIRE));
	pthread_join(thread, NULL);
	printf("BADVMM STORMED rounds=%" PRIu64 " bad=%" PRIu64 "\n", rounds, bad);
}

static void do_steal(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		uint64_t page = (uint64_t)random() % mapped;

		given_back[page] = right(page);
		fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(page * PAGE),
			  PAGE);
	}
	printf("BADVMM STOLE %" PRIu64 "\n", n);
}

/* Pages of the stretch that are in the memfd. */
static uint64_t there(uint64_t page, uint64_t n)
{
	off_t at = (off_t)(page * PAGE), end = at + (off_t)(n * PAGE), hole;
	uint64_t sum = 0;

	while (at < end && (at = lseek(fd, at, SEEK_DATA)) >= 0 && at < end) {
		hole = lseek(fd, at, SEEK_HOLE);
		sum += (uint64_t)((hole < end ? hole : end) - at) / PAGE;
		at = hole;
	}
	return sum;
}

static void do_report(uint64_t n)
{
	const uint64_t first = pages / 2, len = 1024;
	uint64_t ahead = 0;

	for (; n > 0; n--) {
		fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(first * PAGE),
			  (off_t)(len * PAGE));
		for (uint64_t i = first - 512; i < first; i++)
			(void)right(i);
		/* the read-ahead is under way: some of it is, or will be, in place */
		for (int tries = 0; tries < 1000 && there(first, len) < 32; tries++)
			usleep(1000);
		ahead = there(first, len);
		madvise(ram + first * PAGE, len * PAGE, MADV_DONTNEED);
	}
	/* the pager looks at what it suspects once more after 100 ms */
	usleep(300000);
	printf("BADVMM REPORTED ahead=%" PRIu64 "\n", ahead);
}

int main(int argc, char **argv)
{
	char line[64];
	uint64_t n;

	if (argc != 2)
		return 2;
	pages = strtoull(argv[1], NULL, 10) * 256;
	mapped = pages;
	fd = memfd_create("memory-backend-memfd", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)(pages * PAGE)) < 0)
		return 1;
	ram = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	given_back = calloc(pages, sizeof(*given_back));
	if (ram == MAP_FAILED || !given_back)
		return 1;
	for (uint64_t i = 0; i < pages; i++)
		fill(i);
	signal(SIGBUS, on_sigbus);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("BADVMM READY\n");
	while (fgets(line, sizeof(line), stdin)) {
		if (strcmp(line, "verify\n") == 0) {
			n = count_bad();
			printf("BADVMM VERIFIED bad=%" PRIu64 " lost=%" PRIu64 "\n", n, lost);
		} else if (strcmp(line, "close\n") == 0) {
			close_all();
		} else if (strcmp(line, "unmap\n") == 0) {
			mapped = pages - pages / 4;
			munmap(ram + mapped * PAGE, pages / 4 * PAGE);
			printf("BADVMM UNMAPPED\n");
		} else if (strcmp(line, "remap\n") == 0) {
			mmap(ram + pages / 4 * PAGE, pages / 4 * PAGE, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_FIXED, fd, (off_t)(pages / 4 * PAGE));
			printf("BADVMM REMAPPED\n");
		} else if (sscanf(line, "storm %" SCNu64, &n) == 1) {
			do_storm(n);
		} else if (sscanf(line, "steal %" SCNu64, &n) == 1) {
			do_steal(n);
		} else if (sscanf(line, "report %" SCNu64, &n) == 1) {
			do_report(n);
		} else if (strcmp(line, "quit\n") == 0) {
			break;
		} else {
			printf("BADVMM WHAT %s", line);
		}
	}
	printf("BADVMM QUIT\n");
	return 0;
}
