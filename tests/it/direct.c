/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * direct: a process that is to a pager what a VMM with cache=none disks is.
 *
 * Theory of operation
 *
 * Its RAM is a shared memfd.  Its disk is a file or block device that is open
 * O_DIRECT, in which each 8 bytes hold their own offset, big-endian, as nbdkit's
 * pattern plugin has them.  Each of its threads has a part of the RAM, and goes
 * through it at random: a page is either read into from the disk, one to four
 * pages at a time, or is looked at: every byte must be what was read there last,
 * or zero if nothing was.  So a page that was taken while a read was in flight,
 * and came back as it was before, is found at once or by a later look.
 *
 * A slot at the start of the RAM belongs to an io_uring: its pages are registered
 * as buffers for as long as the process runs, and are read into through them.
 *
 * The main thread only waits for commands, for it is the one that a zap stops:
 * report (how many reads and looks there were, and how many bad pages), quit.
 *
 * usage: direct RAM-MIB DISK DISK-MIB THREADS REGISTERED-PAGES
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <liburing.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE	    4096u
#define RUN_MAX	    4u
#define THREADS_MAX 64
#define BUFFER	    16u /* pages of one registered buffer */

struct part {
	pthread_t thread;
	uint64_t random;
	size_t first, pages; /* of RAM */
	uint64_t *holds;     /* for each page: offset on disk + 1; 0: never read into */
	uint64_t reads, looks, bad;
	struct io_uring *ring; /* NULL: reads with pread(2) */
};

static struct {
	uint8_t *ram;
	int disk;
	uint64_t disk_pages;
	bool stop;
} d;

static void __attribute__((format(printf, 1, 2), noreturn)) fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("DIRECT FAILED ");
	vprintf(fmt, ap);
	printf("\n");
	va_end(ap);
	exit(1);
}

static uint64_t next(struct part *p)
{
	p->random ^= p->random << 13;
	p->random ^= p->random >> 7;
	p->random ^= p->random << 17;
	return p->random;
}

static void count(uint64_t *c)
{
	__atomic_store_n(c, *c + 1, __ATOMIC_RELAXED);
}

static uint64_t get(const uint64_t *c)
{
	return __atomic_load_n(c, __ATOMIC_RELAXED);
}

static bool is_right(const uint8_t *at, uint64_t holds)
{
	const uint64_t *word = (const uint64_t *)at;

	for (size_t i = 0; i < PAGE / 8; i++)
		if (word[i] != (holds ? htobe64(holds - 1 + i * 8) : 0))
			return false;
	return true;
}

static void look(struct part *p, size_t page)
{
	const uint8_t *at = d.ram + (p->first + page) * PAGE;

	count(&p->looks);
	if (is_right(at, p->holds[page]))
		return;
	count(&p->bad);
	if (p->bad <= 5)
		printf("DIRECT BAD page %zu%s: %016" PRIx64 ", not %016" PRIx64 "\n",
		       p->first + page, p->ring ? " (registered)" : "",
		       be64toh(*(const uint64_t *)at), p->holds[page] ? p->holds[page] - 1 : 0);
	/* counted once: it is what it is now */
	memset(d.ram + (p->first + page) * PAGE, 0, PAGE);
	p->holds[page] = 0;
}

static ssize_t read_fixed(struct part *p, uint8_t *at, size_t n, off_t off, unsigned int buffer)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(p->ring);
	struct io_uring_cqe *cqe;
	ssize_t res;

	io_uring_prep_read_fixed(sqe, d.disk, at, (unsigned int)n, (uint64_t)off, (int)buffer);
	if (io_uring_submit(p->ring) != 1 || io_uring_wait_cqe(p->ring, &cqe) < 0)
		fail("io_uring");
	res = cqe->res;
	io_uring_cqe_seen(p->ring, cqe);
	return res;
}

static void fill(struct part *p, size_t page)
{
	size_t n = 1 + next(p) % RUN_MAX;
	uint64_t block = next(p) % (d.disk_pages - RUN_MAX);
	size_t room = p->ring ? BUFFER - page % BUFFER : p->pages - page;
	uint8_t *at = d.ram + (p->first + page) * PAGE;
	ssize_t got;

	if (n > room)
		n = room;
	got = p->ring ? read_fixed(p, at, n * PAGE, (off_t)(block * PAGE),
				   (unsigned int)(page / BUFFER))
		      : pread(d.disk, at, n * PAGE, (off_t)(block * PAGE));
	if (got != (ssize_t)(n * PAGE))
		fail("read of %zu pages: %zd (%s)", n, got, strerror(errno));
	count(&p->reads);
	for (size_t i = 0; i < n; i++) {
		p->holds[page + i] = (block + i) * PAGE + 1;
		/* some are looked at long after */
		if (next(p) % 2)
			look(p, page + i);
	}
}

static void *run(void *arg)
{
	struct part *p = arg;

	while (!__atomic_load_n(&d.stop, __ATOMIC_RELAXED)) {
		size_t page = next(p) % p->pages;

		fill(p, page);
		for (int i = 0; i < 4; i++)
			look(p, next(p) % p->pages);
	}
	for (size_t page = 0; page < p->pages; page++)
		look(p, page);
	return NULL;
}

static struct io_uring *make_ring(uint8_t *at, size_t pages)
{
	static struct io_uring ring;
	struct iovec *iov = calloc(pages / BUFFER, sizeof(*iov));
	int ret = io_uring_queue_init(4, &ring, 0);

	if (ret < 0 || !iov)
		fail("io_uring: %s", strerror(-ret));
	for (size_t i = 0; i < pages / BUFFER; i++)
		iov[i] = (struct iovec){ at + i * BUFFER * PAGE, (size_t)BUFFER * PAGE };
	ret = io_uring_register_buffers(&ring, iov, (unsigned int)(pages / BUFFER));
	if (ret < 0)
		fail("io_uring_register_buffers: %s", strerror(-ret));
	free(iov);
	return &ring;
}

static void start(struct part *p, size_t first, size_t pages, uint64_t seed)
{
	p->first = first;
	p->pages = pages;
	p->random = seed * UINT64_C(0x9e3779b97f4a7c15);
	p->holds = calloc(pages, sizeof(*p->holds));
	if (!p->holds || pthread_create(&p->thread, NULL, run, p) != 0)
		fail("out of memory");
}

static uint64_t report(const char *what, const struct part *part, int n)
{
	uint64_t reads = 0, looks = 0, bad = 0, fixed = 0;

	for (int i = 0; i < n; i++) {
		reads += get(&part[i].reads);
		looks += get(&part[i].looks);
		bad += get(&part[i].bad);
		fixed += part[i].ring ? get(&part[i].reads) : 0;
	}
	printf("DIRECT %s reads=%" PRIu64 " registered=%" PRIu64 " looks=%" PRIu64
	       " bad=%" PRIu64 "\n",
	       what, reads, fixed, looks, bad);
	return bad;
}

int main(int argc, char **argv)
{
	static struct part part[THREADS_MAX + 1];
	size_t pages, registered, each;
	int fd, threads;
	char line[64];

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc != 6)
		fail("usage: direct RAM-MIB DISK DISK-MIB THREADS REGISTERED-PAGES");
	pages = (size_t)atol(argv[1]) << 8;
	d.disk_pages = (uint64_t)atol(argv[3]) << 8;
	threads = atoi(argv[4]);
	registered = (size_t)atol(argv[5]) / BUFFER * BUFFER;
	if (threads < 1 || threads > THREADS_MAX || pages < registered + (size_t)threads * 64)
		fail("numbers that make no sense");
	d.disk = open(argv[2], O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (d.disk < 0)
		fail("%s: %s", argv[2], strerror(errno));
	fd = memfd_create("memory-backend-memfd", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)(pages * PAGE)) < 0)
		fail("memfd: %s", strerror(errno));
	d.ram = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (d.ram == MAP_FAILED)
		fail("mmap: %s", strerror(errno));
	if (registered) {
		part[threads].ring = make_ring(d.ram, registered);
		start(&part[threads], 0, registered, 99);
	}
	each = (pages - registered) / (size_t)threads;
	for (int i = 0; i < threads; i++)
		start(&part[i], registered + (size_t)i * each, each, (uint64_t)i + 1);
	printf("DIRECT READY pages=%zu\n", pages);
	while (fgets(line, sizeof(line), stdin) && strcmp(line, "quit\n") != 0)
		report("SAYS", part, threads + 1);
	__atomic_store_n(&d.stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i <= threads; i++)
		if (part[i].pages)
			pthread_join(part[i].thread, NULL);
	return report("QUIT", part, threads + 1) ? 1 : 0;
}
