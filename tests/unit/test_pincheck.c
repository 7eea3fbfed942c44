/* SPDX-License-Identifier: BSD-2-Clause */
/* The pin check on this kernel: pages whose references are known. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/pincheck.h"

#define PAGE ((size_t)4096)

/* A file in memory, and who looks at it. */
struct room {
	struct pincheck *p;
	int slot, fd;
	ino_t ino;
};

static struct pincheck *open_or_skip(void)
{
	struct pincheck *p = NULL;
	struct err e = { 0 };

	if (pincheck_open(&p, &e) < 0)
		cr_skip_test("no pin check here: %s", e.text);
	return p;
}

static struct room room_of(int fd, size_t pages)
{
	struct room r = { .p = open_or_skip(), .fd = fd };
	struct stat st;

	r.slot = pincheck_slot(r.p);
	cr_assert_geq(r.slot, 0);
	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)(pages * PAGE)), 0);
	cr_assert_eq(fstat(fd, &st), 0);
	r.ino = st.st_ino;
	return r;
}

static struct room make(size_t pages)
{
	return room_of(memfd_create("pincheck", MFD_CLOEXEC), pages);
}

static void end(struct room *r)
{
	pincheck_slot_free(r->p, r->slot);
	pincheck_close(r->p);
	close(r->fd);
}

/* Pages that are new, or were just used, have one reference more for a moment. */
static void settle(void)
{
	pincheck_drain();
}

static struct pin_page look(struct room *r, uint64_t page)
{
	struct pin_page got;

	cr_assert_eq(pincheck_look(r->p, r->slot, r->fd, r->ino, &page, 1, &got), 0);
	return got;
}

/* As page-out asks: of pages that no VMM maps. */
static uint64_t all_pinned(struct room *r, const uint64_t *page, uint32_t n)
{
	struct pin_page got[PIN_BATCH];
	uint64_t is = 0;

	cr_assert_eq(pincheck_look(r->p, r->slot, r->fd, r->ino, page, n, got), 0);
	for (uint32_t k = 0; k < n; k++)
		is |= (uint64_t)!pincheck_is_free(&got[k], true) << k;
	return is;
}

static bool pinned(struct room *r, uint64_t page)
{
	return all_pinned(r, &page, 1);
}

static void expect(struct room *r, uint64_t page, int refs, int maps, bool is_free)
{
	struct pin_page got = look(r, page);

	cr_expect_eq(got.kind, PIN_FOLIO, "page %llu: kind %u", (unsigned long long)page,
		     got.kind);
	cr_expect_eq(got.pages, 1);
	cr_expect_eq(got.refs, refs, "page %llu: %d references, not %d",
		     (unsigned long long)page, got.refs, refs);
	cr_expect_eq(got.maps, maps, "page %llu: %d mappings, not %d", (unsigned long long)page,
		     got.maps, maps);
	cr_expect_eq(pinned(r, page), !is_free);
}

static void *map(struct room *r, uint64_t page, size_t n)
{
	void *at = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
			r->fd, (off_t)(page * PAGE));

	cr_assert_neq(at, MAP_FAILED);
	return at;
}

Test(pincheck, verdict)
{
	static const struct {
		struct pin_page page;
		bool is_free;
	} cases[] = {
		{ { .kind = PIN_HOLE }, true },
		{ { .kind = PIN_UNSURE, .pages = 1, .refs = 1 }, false },
		{ { .kind = 99, .pages = 1, .refs = 1 }, false },
		{ { .kind = PIN_FOLIO, .pages = 1, .refs = 1 }, true },
		{ { .kind = PIN_FOLIO, .pages = 1, .refs = 2, .maps = 1 }, true },
		/* mapped by somebody whom we do not know */
		{ { .kind = PIN_FOLIO, .pages = 1, .refs = 3, .maps = 2 }, false },
		{ { .kind = PIN_FOLIO, .pages = 1, .refs = 2 }, false },
		{ { .kind = PIN_FOLIO, .pages = 1, .refs = 1025 }, false },
		{ { .kind = PIN_FOLIO, .pages = 1, .refs = 1026, .maps = 1 }, false },
		{ { .kind = PIN_FOLIO, .pages = 1, .refs = 0 }, false },
		{ { .kind = PIN_FOLIO, .pages = 1, .refs = 0, .maps = -1 }, false },
		{ { .kind = PIN_FOLIO, .pages = 512, .refs = 512 }, true },
		{ { .kind = PIN_FOLIO, .pages = 512, .refs = 515, .maps = 3 }, true },
		{ { .kind = PIN_FOLIO, .pages = 512, .refs = 515, .maps = 2 }, false },
		{ { .kind = PIN_FOLIO, .pages = 0, .refs = 0 }, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_eq(pincheck_is_free(&cases[i].page, true), cases[i].is_free,
			     "case %zu", i);
	/* if VMMs may map it, so may more than one */
	cr_expect(pincheck_is_free(&cases[5].page, false));
	cr_expect_not(pincheck_is_free(&cases[8].page, false));
}

Test(pincheck, unmapped_and_mapped)
{
	struct room r = make(64);
	uint8_t *a, *b;

	cr_assert_eq(fallocate(r.fd, 0, 0, 64 * PAGE), 0);
	settle();
	for (uint64_t i = 0; i < 64; i++)
		expect(&r, i, 1, 0, true);
	a = map(&r, 7, 1);
	expect(&r, 7, 2, 1, true);
	b = map(&r, 7, 1);
	expect(&r, 7, 3, 2, false);
	munmap(a, PAGE);
	munmap(b, PAGE);
	expect(&r, 7, 1, 0, true);
	end(&r);
}

/* Trees of each height, from a page without a node to one of a file of terabytes. */
Test(pincheck, holes_and_far_pages)
{
	static const uint64_t at[] = { 0,      63,     64,	 4095,	   4096,
				       262143, 262144, 16777215, 16777216, 1u << 30 };

	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		struct room r = make((size_t)at[i] + 2);

		cr_expect_eq(look(&r, at[i]).kind, PIN_HOLE, "of an empty file");
		cr_assert_eq(fallocate(r.fd, 0, (off_t)(at[i] * PAGE), PAGE), 0);
		settle();
		expect(&r, at[i], 1, 0, true);
		cr_expect_eq(look(&r, at[i] + 1).kind, PIN_HOLE);
		cr_expect_eq(look(&r, at[i] ^ 1).kind, PIN_HOLE);
		cr_expect_eq(look(&r, at[i] + 64).kind, PIN_HOLE);
		cr_expect_eq(look(&r, at[i] * 64 + 64).kind, PIN_HOLE);
		cr_expect_eq(look(&r, UINT64_MAX >> 12).kind, PIN_HOLE);
		cr_expect_not(pinned(&r, at[i] + 1));
		end(&r);
	}
}

/* In one call, in any order: some there, some not, some pinned. */
Test(pincheck, a_batch)
{
	struct room r = make(1 << 20);
	uint64_t page[PIN_BATCH], want = 0;
	int fds[2];

	cr_assert_eq(pipe(fds), 0);
	srand(1);
	for (unsigned int k = 0; k < PIN_BATCH; k++) {
		page[k] = (uint64_t)rand() % 4000 + (k % 5) * 200000 + k * 16;
		if (k % 3)
			cr_assert_eq(fallocate(r.fd, 0, (off_t)(page[k] * PAGE), PAGE), 0);
	}
	settle();
	for (unsigned int k = 0; k < PIN_BATCH; k++) {
		struct iovec iov = { .iov_len = 1 };

		/* a pipe has 16 buffers */
		if (k % 3 == 0 || k % 7 != 0)
			continue;
		iov.iov_base = map(&r, page[k], 1);
		cr_assert_eq(vmsplice(fds[1], &iov, 1, 0), 1);
		munmap(iov.iov_base, PAGE);
		want |= UINT64_C(1) << k;
	}
	cr_expect_neq(want, 0);
	cr_expect_eq(all_pinned(&r, page, PIN_BATCH), want);
	cr_expect_eq(all_pinned(&r, page, 10), want & 1023);
	close(fds[0]);
	close(fds[1]);
	settle();
	cr_expect_eq(all_pinned(&r, page, PIN_BATCH), 0);
	end(&r);
}

Test(pincheck, registered_buffer_of_io_uring)
{
	struct room r = make(64);
	struct io_uring ring;
	struct iovec iov = { .iov_len = 8 * PAGE };
	int ret;

	cr_assert_eq(fallocate(r.fd, 0, 0, 64 * PAGE), 0);
	settle();
	iov.iov_base = map(&r, 10, 8);
	ret = io_uring_queue_init(4, &ring, 0);
	if (ret < 0)
		cr_skip_test("no io_uring: %s", strerror(-ret));
	cr_assert_eq(io_uring_register_buffers(&ring, &iov, 1), 0);
	for (uint64_t i = 0; i < 64; i++)
		cr_expect_eq(pinned(&r, i), i >= 10 && i < 18, "page %d", (int)i);
	/* as a zap does: the mapping goes, the pin stays */
	cr_assert_eq(madvise(iov.iov_base, iov.iov_len, MADV_DONTNEED), 0);
	for (uint64_t i = 10; i < 18; i++) {
		struct pin_page got = look(&r, i);

		cr_expect_eq(got.maps, 0);
		cr_expect_gt(got.refs, 1);
		cr_expect(pinned(&r, i));
	}
	io_uring_queue_exit(&ring);
	/* it lets go of them a little later */
	for (int tries = 0; tries < 500 && pinned(&r, 10); tries++)
		usleep(10000);
	for (uint64_t i = 10; i < 18; i++)
		expect(&r, i, 1, 0, true);
	end(&r);
}

/* What another process has pinned is seen as well. */
Test(pincheck, pinned_by_a_child)
{
	struct room r = make(4);
	int go[2];
	char byte;
	pid_t pid;

	cr_assert_eq(fallocate(r.fd, 0, 0, 4 * PAGE), 0);
	settle();
	cr_assert_eq(pipe(go), 0);
	pid = fork();
	if (pid == 0) {
		struct iovec iov = { map(&r, 2, 1), 1 };
		int hold[2];

		if (pipe(hold) < 0 || vmsplice(hold[1], &iov, 1, 0) != 1)
			_exit(1);
		munmap(iov.iov_base, PAGE);
		(void)!write(go[1], "", 1);
		pause();
		_exit(0);
	}
	cr_assert_gt(pid, 0);
	cr_assert_eq(read(go[0], &byte, 1), 1);
	cr_expect_not(pinned(&r, 1));
	cr_expect(pinned(&r, 2));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	settle();
	cr_expect_not(pinned(&r, 2));
	end(&r);
}

Test(pincheck, errors)
{
	struct room r = make(64);
	uint64_t page[PIN_BATCH];
	struct pin_page got[PIN_BATCH];

	for (unsigned int k = 0; k < PIN_BATCH; k++)
		page[k] = k;
	cr_expect_eq(all_pinned(&r, page, PIN_BATCH), 0, "holes");
	cr_expect_eq(pincheck_look(r.p, r.slot, r.fd, r.ino + 1, page, 64, got), -EBADF,
		     "another file");
	cr_expect_eq(pincheck_look(r.p, r.slot, 1 << 20, r.ino, page, 1, got), -EBADF,
		     "no such descriptor");
	cr_expect_eq(pincheck_look(r.p, r.slot, -1, r.ino, page, 1, got), -EBADF);
	cr_expect_eq(pincheck_look(r.p, -1, r.fd, r.ino, page, 1, got), -ENOSPC, "no slot");
	end(&r);
}

Test(pincheck, slots)
{
	struct pincheck *p = open_or_skip();
	bool seen[PIN_SLOTS] = { false };

	for (int i = 0; i < PIN_SLOTS; i++) {
		int slot = pincheck_slot(p);

		cr_assert(slot >= 0 && slot < PIN_SLOTS && !seen[slot]);
		seen[slot] = true;
	}
	cr_expect_eq(pincheck_slot(p), -ENOSPC);
	pincheck_slot_free(p, 17);
	cr_expect_eq(pincheck_slot(p), 17);
	pincheck_close(p);
}

/* Huge pages, in a tmpfs that nobody else sees. */
Test(pincheck, large_folios)
{
	const size_t n = 1024;
	struct pin_page got;
	struct iovec iov = { .iov_len = 1 };
	struct room r;
	uint8_t *at;
	int fds[2], fd;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) < 0 ||
	    mount("t", "/mnt", "tmpfs", 0, "huge=always") < 0)
		cr_skip_test("no tmpfs with huge pages: %s", strerror(errno));
	fd = open("/mnt/file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	r = room_of(fd, n);
	cr_assert_eq(fallocate(fd, 0, 0, (off_t)(n * PAGE)), 0);
	settle();
	got = look(&r, 5);
	if (got.kind == PIN_FOLIO && got.pages == 1)
		cr_skip_test("the tmpfs gives no huge pages");
	for (uint64_t i = 0; i < n; i += 37) {
		got = look(&r, i);
		cr_expect_eq(got.kind, PIN_FOLIO);
		cr_expect_eq(got.pages, 512);
		cr_expect_eq(got.refs, 512);
		cr_expect_not(pinned(&r, i));
	}
	/* a pin of any of its pages is one of all */
	at = map(&r, 600, 1);
	cr_assert_eq(pipe(fds), 0);
	iov.iov_base = at;
	cr_assert_eq(vmsplice(fds[1], &iov, 1, 0), 1);
	munmap(at, PAGE);
	cr_expect_not(pinned(&r, 5));
	cr_expect(pinned(&r, 512));
	cr_expect(pinned(&r, 700));
	cr_expect(pinned(&r, 1023));
	close(fds[0]);
	close(fds[1]);
	cr_expect_not(pinned(&r, 700));
	/* in pieces again */
	cr_assert_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 3 * (off_t)PAGE,
			       PAGE),
		     0);
	settle();
	cr_expect_eq(look(&r, 3).kind, PIN_HOLE);
	cr_expect_eq(look(&r, 4).pages, 1);
	cr_expect_not(pinned(&r, 4));
	end(&r);
}

/*
 * What it is for.  A read with a registered buffer waits for a pipe; its page is
 * taken meanwhile as page-out does, and then the pipe has something.
 */
enum order { NO_LOOK, LOOK_FIRST, LOOK_LATE };

struct in_flight {
	struct room r;
	struct io_uring ring;
	int pipe[2];
	uint8_t *at;
	uint8_t saved[4096]; /* "on swap" */
	bool taken;
};

#define OLD 0x11
#define NEW 0x22

static void begin_read(struct in_flight *f)
{
	struct iovec iov = { .iov_len = PAGE };
	struct io_uring_sqe *sqe;
	int ret;

	f->r = make(4);
	f->at = map(&f->r, 2, 1);
	memset(f->at, OLD, PAGE);
	settle();
	cr_assert_eq(pipe(f->pipe), 0);
	ret = io_uring_queue_init(4, &f->ring, 0);
	if (ret < 0)
		cr_skip_test("no io_uring: %s", strerror(-ret));
	iov.iov_base = f->at;
	cr_assert_eq(io_uring_register_buffers(&f->ring, &iov, 1), 0);
	sqe = io_uring_get_sqe(&f->ring);
	io_uring_prep_read_fixed(sqe, f->pipe[0], f->at, (unsigned int)PAGE, 0, 0);
	cr_assert_eq(io_uring_submit(&f->ring), 1);
}

/* The I/O ends; of the page it lets go. */
static void end_read(struct in_flight *f)
{
	struct io_uring_cqe *cqe;
	uint8_t data[4096];

	memset(data, NEW, sizeof(data));
	cr_assert_eq(write(f->pipe[1], data, sizeof(data)), sizeof(data));
	cr_assert_eq(io_uring_wait_cqe(&f->ring, &cqe), 0);
	cr_assert_eq(cqe->res, (int)PAGE, "%d", cqe->res);
	io_uring_cqe_seen(&f->ring, cqe);
	io_uring_queue_exit(&f->ring);
	for (int tries = 0; tries < 500 && look(&f->r, 2).refs > 2; tries++) {
		settle();
		usleep(1000);
	}
}

static void punch(struct in_flight *f)
{
	cr_assert_eq(fallocate(f->r.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       (off_t)(2 * PAGE), PAGE),
		     0);
	f->taken = true;
}

/* => whether what was read is there when the page is touched again */
static bool data_survives(enum order order)
{
	struct in_flight f = { 0 };
	bool is;

	begin_read(&f);
	cr_assert_eq(madvise(f.at, PAGE, MADV_DONTNEED), 0);
	if (order != LOOK_FIRST || !pinned(&f.r, 2)) {
		cr_assert_eq(pread(f.r.fd, f.saved, PAGE, (off_t)(2 * PAGE)), (ssize_t)PAGE);
		if (order == LOOK_LATE)
			end_read(&f);
		if (order != LOOK_LATE || !pinned(&f.r, 2))
			punch(&f);
	}
	if (order != LOOK_LATE)
		end_read(&f);
	if (f.taken)
		cr_assert_eq(pwrite(f.r.fd, f.saved, PAGE, (off_t)(2 * PAGE)), (ssize_t)PAGE);
	is = f.at[0] == NEW && f.at[PAGE - 1] == NEW;
	cr_expect(is || f.at[0] == OLD);
	close(f.pipe[0]);
	close(f.pipe[1]);
	munmap(f.at, PAGE);
	end(&f.r);
	return is;
}

Test(pincheck, read_in_flight_is_lost_without_it)
{
	cr_expect_not(data_survives(NO_LOOK));
}

Test(pincheck, read_in_flight_is_lost_if_the_look_comes_late)
{
	cr_expect_not(data_survives(LOOK_LATE));
}

Test(pincheck, read_in_flight_survives)
{
	cr_expect(data_survives(LOOK_FIRST));
}
