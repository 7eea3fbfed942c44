/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pinprobe: does the pin check work on the kernel that this runs on?  It has been
 * tried by pincheck_open; here are trees of every height, a page that a device would
 * have, and what a look costs.  For kernels on which the unit tests do not run.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <fcntl.h>

#include "base/clock.h"
#include "vmm/pincheck.h"

#define PAGE  ((size_t)4096)
#define PAGES 8192u

static struct pincheck *p;
static int slot, fd;
static ino_t ino;

static void fail(const char *what, uint64_t page)
{
	printf("PINPROBE FAILED %s, page %llu\n", what, (unsigned long long)page);
	exit(1);
}

static struct pin_page look(uint64_t page)
{
	struct pin_page got;

	if (pincheck_look(p, slot, fd, ino, &page, 1, &got) != 0)
		fail("no answer", page);
	return got;
}

static bool is_free(uint64_t page)
{
	struct pin_page got = look(page);

	return got.kind == PIN_FOLIO && pincheck_is_free(&got, true);
}

static void far_pages(void)
{
	for (uint64_t at = 1; at < UINT64_C(1) << 32; at = at * 4 + 1) {
		if (look(at + 100000).kind != PIN_HOLE)
			fail("a hole is none", at + 100000);
		if (fallocate(fd, 0, (off_t)(at * PAGE), PAGE) < 0)
			fail("no memory", at);
		pincheck_drain();
		if (!is_free(at))
			fail("not free", at);
	}
}

static void pinned_page(void)
{
	uint64_t page = 4097;
	struct iovec iov = { .iov_len = 1 };
	int fds[2];

	if (fallocate(fd, 0, (off_t)(page * PAGE), PAGE) < 0 || pipe(fds) < 0)
		fail("no memory", page);
	iov.iov_base = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
			    (off_t)(page * PAGE));
	pincheck_drain();
	if (iov.iov_base == MAP_FAILED || !is_free(page))
		fail("not free, but mapped by us", page);
	if (vmsplice(fds[1], &iov, 1, 0) != 1 || is_free(page))
		fail("free, but pinned", page);
	munmap(iov.iov_base, PAGE);
	pincheck_drain();
	if (is_free(page))
		fail("free, but pinned and unmapped", page);
	close(fds[0]);
	close(fds[1]);
	pincheck_drain();
	if (!is_free(page))
		fail("not free again", page);
}

/* => ns a page, in batches */
static double cost(unsigned int *not_free)
{
	uint64_t begin, page[PIN_BATCH];
	struct pin_page got[PIN_BATCH];

	if (fallocate(fd, 0, 0, (off_t)(PAGES * PAGE)) < 0)
		fail("no memory", 0);
	begin = clock_ns();
	*not_free = 0;
	for (uint64_t i = 0; i < PAGES; i += PIN_BATCH) {
		for (unsigned int k = 0; k < PIN_BATCH; k++)
			page[k] = i + k;
		if (pincheck_look(p, slot, fd, ino, page, PIN_BATCH, got) != 0)
			fail("no answer", i);
		for (unsigned int k = 0; k < PIN_BATCH; k++)
			*not_free += !pincheck_is_free(&got[k], true);
	}
	return (double)(clock_ns() - begin) / PAGES;
}

int main(void)
{
	struct utsname uts;
	struct err e = { 0 };
	unsigned int not_free;
	struct stat st;
	double ns;

	if (pincheck_open(&p, &e) < 0) {
		printf("PINPROBE FAILED %s\n", e.text);
		return 1;
	}
	slot = pincheck_slot(p);
	fd = memfd_create("pinprobe", MFD_CLOEXEC);
	if (slot < 0 || fd < 0 || ftruncate(fd, (off_t)(PAGE << 33)) < 0 || fstat(fd, &st) < 0)
		fail("no memory", 0);
	ino = st.st_ino;
	far_pages();
	pinned_page();
	ns = cost(&not_free);
	if (not_free > 256)
		fail("many are not free", not_free);
	uname(&uts);
	printf("PINPROBE OK %s ns=%.0f not-free=%u of %u\n", uts.release, ns, not_free, PAGES);
	return 0;
}
