/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What no pager in user space can beat, measured with nothing around it.
 *
 * "raw": random reads of 4 KiB with O_DIRECT by io_uring, one at a time: the device's own
 * time for what a fault has to wait for.  A process of its own on purpose: a VMM that
 * holds files open with O_DIRECT may be refused by a pager.
 *
 * "userfaultfd": the round trip of a fault that needs no I/O and no thought.  One thread
 * touches pages of a shared memfd that are not there; another sits in read(2) on the
 * userfaultfd and answers each with UFFDIO_COPY of the same page.
 *
 * "handler": the same, but each fault is answered with a block that the thread reads from
 * FILE first: a pager that thinks of nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hist.h"

#define PAGE	   4096u
#define UFFD_PAGES 16384u

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "floors: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static void print_floor(const char *name, const struct hist *h, double seconds)
{
	printf("{\"event\":\"floor\",\"name\":\"%s\",\"seconds\":%.6f,\"touches\":%" PRIu64
	       ",\"touches-per-s\":%.1f,",
	       name, seconds, h->count, (double)h->count / seconds);
	print_hist(h, 0);
	printf("}\n");
}

static int read_block(struct io_uring *ring, int fd, void *buf, uint64_t block)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct io_uring_cqe *cqe;
	int result;

	io_uring_prep_read(sqe, fd, buf, PAGE, block * PAGE);
	result = io_uring_submit_and_wait(ring, 1);
	if (result < 0)
		return result;
	result = io_uring_peek_cqe(ring, &cqe);
	if (result < 0)
		return result;
	result = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return result;
}

static int open_direct(const char *path, uint64_t *blocks)
{
	int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		fail("cannot open %s with O_DIRECT: %s", path, strerror(errno));
	if (fstat(fd, &st) < 0 || st.st_size < (off_t)PAGE)
		fail("%s is empty or cannot be examined", path);
	*blocks = (uint64_t)st.st_size / PAGE;
	return fd;
}

static void measure_raw(const char *path, uint64_t duration, uint64_t seed)
{
	static struct hist h;
	struct io_uring ring;
	uint64_t start, begin, end = 0, blocks, block, rng = mix(seed);
	int fd = open_direct(path, &blocks), result;
	void *buf;

	result = io_uring_queue_init(4, &ring, 0);
	if (result < 0)
		fail("no io_uring: %s", strerror(-result));
	if (posix_memalign(&buf, PAGE, PAGE))
		fail("no memory");
	for (start = now_ns(); end < start + duration;) {
		block = random_below(&rng, blocks);
		begin = now_ns();
		result = read_block(&ring, fd, buf, block);
		end = now_ns();
		if (result != (int)PAGE)
			fail("cannot read block %" PRIu64 " of %s: %s", block, path,
			     result < 0 ? strerror(-result) : "short read");
		hist_add(&h, end - begin, end - start, block);
	}
	print_floor("raw", &h, (double)(end - start) / 1e9);
	io_uring_queue_exit(&ring);
	free(buf);
	close(fd);
}

struct handler {
	int uffd;
	int fd; /* -1: nothing is read */
	uint64_t blocks, rng;
};

static void read_any_block(struct handler *h, uint8_t *page)
{
	uint64_t block = random_below(&h->rng, h->blocks);

	if (pread(h->fd, page, PAGE, (off_t)(block * PAGE)) != (ssize_t)PAGE)
		fail("cannot read block %" PRIu64, block);
}

static void *answer_faults(void *arg)
{
	struct handler *h = arg;
	int uffd = h->uffd;
	static uint8_t page[PAGE] __attribute__((aligned(PAGE)));
	struct uffd_msg msg;

	for (uint32_t n = 0; n < UFFD_PAGES; n++) {
		struct uffdio_copy copy = { .src = (uintptr_t)page, .len = PAGE };

		if (read(uffd, &msg, sizeof(msg)) != sizeof(msg))
			fail("read of a userfaultfd: %s", strerror(errno));
		if (h->fd >= 0)
			read_any_block(h, page);
		copy.dst = msg.arg.pagefault.address & ~(uint64_t)(PAGE - 1);
		if (ioctl(uffd, UFFDIO_COPY, &copy) < 0)
			fail("UFFDIO_COPY: %s", strerror(errno));
	}
	return NULL;
}

/* Ends after so many ns, or when each page was touched; handler->fd: -1 or what to read. */
static void measure_userfaultfd(const char *name, struct handler *handler, uint64_t duration)
{
	static struct hist h;
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_MISSING_SHMEM };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	size_t size = (size_t)UFFD_PAGES * PAGE;
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	int memfd = memfd_create("floors", MFD_CLOEXEC), error;
	uint64_t start, begin, end = 0;
	pthread_t thread;
	volatile uint8_t *ram;

	handler->uffd = uffd;

	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) < 0)
		fail("no userfaultfd: %s", strerror(errno));
	if (memfd < 0 || ftruncate(memfd, (off_t)size) < 0)
		fail("no memfd: %s", strerror(errno));
	ram = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	if (ram == MAP_FAILED)
		fail("mmap: %s", strerror(errno));
	(void)madvise((void *)ram, size, MADV_NOHUGEPAGE);
	reg.range.start = (uintptr_t)ram;
	reg.range.len = size;
	if (ioctl(uffd, UFFDIO_REGISTER, &reg) < 0)
		fail("UFFDIO_REGISTER: %s", strerror(errno));
	error = pthread_create(&thread, NULL, answer_faults, handler);
	if (error)
		fail("cannot start a thread: %s", strerror(error));
	start = now_ns();
	for (uint64_t i = 0; i < UFFD_PAGES && end < start + duration; i++) {
		/* No page is beside the one before: 4099 is prime. */
		uint64_t page = i * 4099 % UFFD_PAGES;

		begin = now_ns();
		(void)ram[page * PAGE];
		end = now_ns();
		hist_add(&h, end - begin, end - start, page);
	}
	/* the thread may wait for more, and ends with the process */
	print_floor(name, &h, (double)(end - start) / 1e9);
}

int main(int argc, char **argv)
{
	double seconds = argc == 5 ? atof(argv[3]) : 0;
	uint64_t ns = seconds > 0 && seconds <= 3600 ? (uint64_t)(seconds * 1e9) : 0;
	struct handler handler = { .fd = -1 };

	if (ns > 0 && strcmp(argv[1], "raw") == 0) {
		measure_raw(argv[2], ns, strtoull(argv[4], NULL, 10));
	} else if (ns > 0 && strcmp(argv[1], "handler") == 0) {
		handler.fd = open_direct(argv[2], &handler.blocks);
		handler.rng = mix(strtoull(argv[4], NULL, 10));
		measure_userfaultfd("handler", &handler, ns);
	} else if (argc == 2 && strcmp(argv[1], "userfaultfd") == 0) {
		measure_userfaultfd("userfaultfd", &handler, 3600 * NS);
	} else {
		fprintf(stderr, "usage: floors raw|handler FILE SECONDS SEED\n"
				"       floors userfaultfd\n");
		return 2;
	}
	return 0;
}
