/* SPDX-License-Identifier: BSD-2-Clause */
/* The io_uring of a worker, against the kernel that runs the tests. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/ring.h"

#define LIMIT	 .timeout = 30
#define SECOND	 UINT64_C(1000000000)
#define FOR_EVER UINT64_MAX

/* An operation that remembers what it was told, and when among others. */
struct heard {
	struct ring_op op;
	int calls;
	int res;
	int turn;
	/* what to do when it hears */
	struct ring *ring;
	struct heard *end; /* a poll to end */
};

static int turn;

static void hear(struct ring_op *op, int res)
{
	struct heard *h = (struct heard *)((char *)op - offsetof(struct heard, op));

	h->calls++;
	h->res = res;
	h->turn = ++turn;
	if (h->end)
		ring_poll_end(h->ring, &h->end->op);
}

static struct ring *make(unsigned int entries)
{
	struct ring *r = ring_create(entries);

	cr_assert_not_null(r, "io_uring: %s", strerror(errno));
	return r;
}

static void run_until(struct ring *r, const int *calls, int want)
{
	while (*calls < want)
		cr_assert_geq(ring_run(r, FOR_EVER), 0);
}

static int new_event(uint64_t value)
{
	int fd = eventfd((unsigned int)value, EFD_CLOEXEC | EFD_NONBLOCK);

	cr_assert_geq(fd, 0);
	return fd;
}

static void raise_event(int fd)
{
	uint64_t one = 1;

	cr_assert_eq(write(fd, &one, sizeof(one)), (ssize_t)sizeof(one));
}

static void clear_event(int fd)
{
	uint64_t value;

	cr_assert_eq(read(fd, &value, sizeof(value)), (ssize_t)sizeof(value));
}

static int new_file(const void *data, size_t len)
{
	int fd = memfd_create("ring", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, data, len), (ssize_t)len);
	return fd;
}

/* Reads of it are complete as soon as they are submitted, in their order. */
static int open_zero(void)
{
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	cr_assert_geq(fd, 0);
	return fd;
}

static uint64_t now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

/* --- one operation ------------------------------------------------------------ */

Test(ring, read_and_write, LIMIT)
{
	struct ring *r = make(8);
	struct heard h = { .op.done = hear };
	int fd = new_file("0123456789", 10);
	char buf[20] = "";

	ring_read(r, &h.op, fd, buf, 4, 3);
	cr_assert_eq(h.calls, 0, "never from in here");
	run_until(r, &h.calls, 1);
	cr_assert_eq(h.res, 4);
	cr_assert_str_eq(buf, "3456");

	ring_write(r, &h.op, fd, "abc", 3, 8);
	run_until(r, &h.calls, 2);
	cr_assert_eq(h.res, 3);
	cr_assert_eq(pread(fd, buf, 20, 0), 11);
	cr_assert_eq(memcmp(buf, "01234567abc", 11), 0);

	/* as much as there is, and nothing at the end */
	ring_read(r, &h.op, fd, buf, 20, 9);
	run_until(r, &h.calls, 3);
	cr_assert_eq(h.res, 2);
	ring_read(r, &h.op, fd, buf, 20, 11);
	run_until(r, &h.calls, 4);
	cr_assert_eq(h.res, 0);
	close(fd);
	ring_destroy(r);
	ring_destroy(NULL);
}

Test(ring, holes_and_syncs, LIMIT)
{
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	struct ring *r = make(8);
	struct heard h = { .op.done = hear };
	char full[8192], buf[8192] = "";
	int fd;

	memset(full, 'x', sizeof(full));
	fd = new_file(full, sizeof(full));
	ring_datasync(r, &h.op, fd);
	run_until(r, &h.calls, 1);
	cr_assert_eq(h.res, 0);
	ring_fallocate(r, &h.op, fd, punch, 4096, 4096);
	run_until(r, &h.calls, 2);
	cr_assert_eq(h.res, 0);
	cr_assert_eq(pread(fd, buf, sizeof(buf), 0), (ssize_t)sizeof(buf));
	cr_assert(buf[4095] == 'x' && buf[4096] == 0 && buf[8191] == 0);
	ring_datasync(r, &h.op, -1);
	run_until(r, &h.calls, 3);
	cr_assert_eq(h.res, -EBADF);
	close(fd);
	ring_destroy(r);
}

Test(ring, vectors, LIMIT)
{
	struct ring *r = make(8);
	struct heard h = { .op.done = hear };
	int fd = new_file("0123456789", 10);
	char a[4] = "", b[4] = "", all[11] = "";
	struct iovec in[2] = { { a, 3 }, { b, 2 } };
	struct iovec out[3] = { { (void *)"x", 1 }, { (void *)"", 0 }, { (void *)"yz", 2 } };

	ring_readv(r, &h.op, fd, in, 2, 2);
	run_until(r, &h.calls, 1);
	cr_assert_eq(h.res, 5);
	cr_assert_str_eq(a, "234");
	cr_assert_str_eq(b, "56");

	ring_writev(r, &h.op, fd, out, 3, 4);
	run_until(r, &h.calls, 2);
	cr_assert_eq(h.res, 3);
	cr_assert_eq(pread(fd, all, 10, 0), 10);
	cr_assert_str_eq(all, "0123xyz789");
	close(fd);
	ring_destroy(r);
}

Test(ring, errors_are_told, LIMIT)
{
	struct ring *r = make(8);
	struct heard h = { .op.done = hear };
	char c;

	ring_read(r, &h.op, 9999, &c, 1, 0);
	run_until(r, &h.calls, 1);
	cr_assert_eq(h.res, -EBADF);
	ring_write(r, &h.op, 9999, "x", 1, 0);
	run_until(r, &h.calls, 2);
	cr_assert_eq(h.res, -EBADF);
	ring_destroy(r);
}

Test(ring, create_is_refused, LIMIT)
{
	errno = 0;
	cr_assert_null(ring_create(0));
	cr_assert_eq(errno, EINVAL);
}

/* --- waiting --------------------------------------------------------------------- */

Test(ring, run_waits_no_longer_than_it_may, LIMIT)
{
	struct ring *r = make(8);
	struct heard h = { .op.done = hear };
	int fd = new_event(0);
	uint64_t begin = now(CLOCK_MONOTONIC), cpu = now(CLOCK_THREAD_CPUTIME_ID);

	cr_assert_eq(ring_run(r, 0), 0);
	cr_assert_eq(ring_run(r, 50000000), 0);
	cr_assert_geq(now(CLOCK_MONOTONIC) - begin, 50000000);

	/* with something that is waited for, too; seconds and nanoseconds */
	ring_poll(r, &h.op, fd);
	begin = now(CLOCK_MONOTONIC);
	cr_assert_eq(ring_run(r, SECOND + 1), 0);
	cr_assert_geq(now(CLOCK_MONOTONIC) - begin, SECOND + 1);
	cr_assert_eq(h.calls, 0);
	cr_assert_lt(now(CLOCK_THREAD_CPUTIME_ID) - cpu, SECOND / 2, "it was spinning");
	ring_poll_end(r, &h.op);
	ring_destroy(r);
	close(fd);
}

Test(ring, run_returns_with_the_first_completion, LIMIT)
{
	struct ring *r = make(8);
	struct heard poll = { .op.done = hear }, h = { .op.done = hear };
	int fd = new_event(0), file = new_file("x", 1);
	char c;

	/* queued only: this ring_run submits it, and the limit ends the test if it waits on */
	ring_poll(r, &poll.op, fd);
	ring_read(r, &h.op, file, &c, 1, 0);
	cr_assert_eq(ring_run(r, 1000 * SECOND), 1);
	cr_assert_eq(h.calls, 1);
	raise_event(fd);
	cr_assert_eq(ring_run(r, 1000 * SECOND), 1);
	cr_assert_eq(poll.calls, 1);
	ring_poll_end(r, &poll.op);
	ring_destroy(r);
	close(fd);
	close(file);
}

static void *raise_once(void *arg)
{
	raise_event(*(int *)arg);
	return NULL;
}

Test(ring, another_thread_wakes_it, LIMIT)
{
	struct ring *r = make(8);
	struct heard h = { .op.done = hear };
	int fd = new_event(0);

	ring_poll(r, &h.op, fd);
	for (int i = 1; i <= 200; i++) {
		pthread_t thread;

		cr_assert_eq(pthread_create(&thread, NULL, raise_once, &fd), 0);
		run_until(r, &h.calls, i);
		pthread_join(thread, NULL);
		clear_event(fd);
	}
	ring_poll_end(r, &h.op);
	ring_destroy(r);
	close(fd);
}

/* --- more than fits ----------------------------------------------------------- */

/* Far more than the queue takes, and than completions have room for. */
Test(ring, full_queue, LIMIT)
{
	enum { N = 1000 };
	static struct heard h[N];
	static char buf[N];
	struct ring *r = make(4);
	char data[N];
	int fd, done = 0;

	for (int i = 0; i < N; i++)
		data[i] = (char)(i * 7 + i / 256);
	fd = new_file(data, N);
	for (int i = 0; i < N; i++) {
		h[i].op.done = hear;
		ring_read(r, &h[i].op, fd, &buf[i], 1, (uint64_t)i);
	}
	while (done < N) {
		int n = ring_run(r, FOR_EVER);

		cr_assert_gt(n, 0);
		done += n;
	}
	for (int i = 0; i < N; i++)
		cr_assert(h[i].calls == 1 && h[i].res == 1, "read %d: %d calls, %d", i,
			  h[i].calls, h[i].res);
	cr_assert_eq(memcmp(buf, data, N), 0);
	cr_assert_eq(ring_run(r, 0), 0);
	close(fd);
	ring_destroy(r);
}

struct chain {
	struct ring_op op;
	struct ring *ring;
	int left, fd;
	char c;
};

static void read_on(struct ring_op *op, int res)
{
	struct chain *c = (struct chain *)((char *)op - offsetof(struct chain, op));

	cr_assert_eq(res, 1);
	if (--c->left > 0)
		ring_read(c->ring, op, c->fd, &c->c, 1, 0);
}

/* Each is started by the one before, with the same ring_op. */
Test(ring, operations_out_of_done, LIMIT)
{
	struct ring *r = make(2);
	struct chain c[5];
	int fd = new_file("x", 1), left = 1;

	for (int i = 0; i < 5; i++) {
		c[i] = (struct chain){ .op.done = read_on, .ring = r, .left = 100, .fd = fd };
		ring_read(r, &c[i].op, fd, &c[i].c, 1, 0);
	}
	while (left > 0) {
		cr_assert_geq(ring_run(r, FOR_EVER), 0);
		left = 0;
		for (int i = 0; i < 5; i++)
			left += c[i].left;
	}
	close(fd);
	ring_destroy(r);
}

/* --- polls ------------------------------------------------------------------------ */

Test(ring, poll_is_told_each_time, LIMIT)
{
	struct ring *r = make(8);
	struct heard h = { .op.done = hear }, other = { .op.done = hear };
	int fd = new_event(0), quiet = new_event(0);

	ring_poll(r, &h.op, fd);
	ring_poll(r, &other.op, quiet);
	for (int i = 1; i <= 100; i++) {
		raise_event(fd);
		run_until(r, &h.calls, i);
		cr_assert_gt(h.res, 0);
		clear_event(fd);
	}
	cr_assert_eq(ring_run(r, 0), 0);
	cr_assert_eq(h.calls, 100);
	cr_assert_eq(other.calls, 0);
	ring_poll_end(r, &h.op);
	ring_poll_end(r, &other.op);
	close(fd);
	close(quiet);
	ring_destroy(r);
}

static int npolls, nreads;

static void count_poll(struct ring_op *op, int res)
{
	(void)op;
	(void)res;
	npolls++;
}

static void count_read(struct ring_op *op, int res)
{
	(void)op;
	(void)res;
	nreads++;
}

/* A worker submits at the end of a turn, and what is in the page cache is read at once. */
Test(ring, poll_is_told_beside_reads_that_are_done_at_once, LIMIT)
{
	int fd = open_zero(), event = new_event(0);
	struct ring *r = ring_create(8);
	struct ring_op poll = { .done = count_poll }, read = { .done = count_read };
	char buf[16];

	ring_poll(r, &poll, event);
	cr_assert_geq(ring_run(r, 0), 0);
	raise_event(event);
	npolls = nreads = 0;
	for (int i = 0; i < 100 && npolls == 0; i++) {
		ring_read(r, &read, fd, buf, sizeof(buf), 0);
		ring_submit(r);
		cr_assert_geq(ring_run(r, 1000000), 0);
		cr_assert_eq(nreads, i + 1);
	}
	cr_assert_eq(npolls, 1);
	ring_poll_end(r, &poll);
	ring_destroy(r);
	close(event);
	close(fd);
}

Test(ring, poll_of_what_is_readable_already, LIMIT)
{
	struct ring *r = make(8);
	struct heard h = { .op.done = hear };
	int fd = new_event(3);

	ring_poll(r, &h.op, fd);
	run_until(r, &h.calls, 1);
	ring_poll_end(r, &h.op);
	close(fd);
	ring_destroy(r);
}

/* An error is told once: armed again it would be told for ever. */
Test(ring, poll_that_is_refused, LIMIT)
{
	struct ring *r = make(8);
	struct heard h = { .op.done = hear };

	ring_poll(r, &h.op, 9999);
	run_until(r, &h.calls, 1);
	cr_assert_eq(h.res, -EBADF);
	cr_assert_eq(ring_run(r, 0), 0);
	cr_assert_eq(ring_run(r, 0), 0);
	cr_assert_eq(h.calls, 1);
	ring_poll_end(r, &h.op); /* there is none */
	ring_destroy(r);
}

/*
 * Where completions find no room the kernel ends a multishot poll.  Whoever
 * polls hears of each event all the same.
 */
Test(ring, poll_that_the_kernel_ends_goes_on, LIMIT)
{
	enum { N = 64 };
	static struct heard h[N];
	struct ring *r = make(1);
	struct heard poll = { .op.done = hear };
	int fd = new_event(0), zero = open_zero();
	char c[N];

	ring_poll(r, &poll.op, fd);
	for (int k = 1; k <= 20; k++) {
		int before = poll.calls;

		for (int i = 0; i < N; i++) {
			h[i].op.done = hear;
			ring_read(r, &h[i].op, zero, &c[i], 1, 0);
		}
		raise_event(fd);
		run_until(r, &poll.calls, before + 1);
		clear_event(fd);
		for (int i = 0; i < N; i++) {
			run_until(r, &h[i].calls, k);
			cr_assert_eq(h[i].calls, k);
		}
		/* what was armed anew while it was readable is told again */
		while (ring_run(r, 0) > 0)
			;
	}
	ring_poll_end(r, &poll.op);
	close(fd);
	close(zero);
	ring_destroy(r);
}

/* --- the end of a poll ------------------------------------------------------------- */

static void nothing(struct ring_op *op, int res)
{
	(void)op;
	(void)res;
}

Test(ring, poll_end, LIMIT)
{
	struct ring *r = make(8);
	struct heard h = { .op.done = hear };
	int fd = new_event(0);

	ring_poll_end(r, &h.op); /* there is none */
	ring_poll(r, &h.op, fd);
	ring_poll_end(r, &h.op);
	ring_poll_end(r, &h.op);
	raise_event(fd);
	cr_assert_eq(ring_run(r, 0), 0);
	cr_assert_eq(h.calls, 0);

	/* the same one anew */
	ring_poll(r, &h.op, fd);
	run_until(r, &h.calls, 1);
	ring_poll_end(r, &h.op);
	close(fd);
	ring_destroy(r);
}

/*
 * Completions of others are there when a poll ends, and its own event too:
 * they come afterwards, each once and in their order; its own does not.
 */
Test(ring, poll_end_keeps_what_is_others, LIMIT)
{
	enum { N = 20 };
	struct ring *r = make(64);
	struct heard h[N] = { 0 }, *poll = calloc(1, sizeof(*poll));
	struct heard another = { .op.done = hear };
	int fd = new_event(0), fd2 = new_event(0), zero = open_zero();
	int first = 0;
	char c[N];

	poll->op.done = hear;
	ring_poll(r, &poll->op, fd);
	ring_poll(r, &another.op, fd2);
	cr_assert_eq(ring_run(r, 0), 0);
	raise_event(fd);
	raise_event(fd2);
	for (int i = 0; i < N; i++) {
		h[i].op.done = hear;
		ring_read(r, &h[i].op, zero, &c[i], 1, 0);
	}
	ring_poll_end(r, &poll->op);
	cr_assert_eq(poll->calls, 0);
	for (int i = 0; i < N; i++)
		cr_assert_eq(h[i].calls, 0, "done was called from within poll_end");
	/* the address sanitizer sees whoever still uses it */
	free(poll);

	/* they are there: nothing to wait for, not even when asked to */
	cr_assert_geq(ring_run(r, FOR_EVER), 1);
	for (int i = 0; i < N; i++)
		run_until(r, &h[i].calls, 1);
	run_until(r, &another.calls, 1);
	for (int i = 0; i < N; i++) {
		cr_assert(h[i].calls == 1 && h[i].res == 1);
		cr_assert_gt(h[i].turn, first, "read %d came before its turn", i);
		first = h[i].turn;
	}
	/* the poll of somebody else goes on */
	clear_event(fd2);
	raise_event(fd2);
	run_until(r, &another.calls, 2);
	ring_poll_end(r, &another.op);
	close(fd);
	close(fd2);
	close(zero);
	ring_destroy(r);
}

/* What was kept by one end is taken out by the next. */
Test(ring, poll_end_takes_out_what_was_kept, LIMIT)
{
	struct ring *r = make(64);
	struct heard a = { .op.done = hear }, *b = calloc(1, sizeof(*b));
	struct heard h = { .op.done = hear };
	int fda = new_event(0), fdb = new_event(0), zero = open_zero();
	char c;

	b->op.done = hear;
	ring_poll(r, &a.op, fda);
	ring_poll(r, &b->op, fdb);
	cr_assert_eq(ring_run(r, 0), 0);
	raise_event(fdb);
	ring_read(r, &h.op, zero, &c, 1, 0);
	ring_poll_end(r, &a.op); /* keeps b's event */
	ring_poll_end(r, &b->op);
	cr_assert_eq(b->calls, 0);
	free(b);
	run_until(r, &h.calls, 1);
	cr_assert_eq(ring_run(r, 0), 0);
	cr_assert_eq(h.calls, 1);
	close(fda);
	close(fdb);
	close(zero);
	ring_destroy(r);
}

/* Two are told in one ring_run and the first ends the other, or itself. */
Test(ring, poll_end_out_of_done, LIMIT)
{
	for (int self = 0; self < 2; self++) {
		struct ring *r = make(64);
		struct heard h[2] = { { .op.done = hear }, { .op.done = hear } };
		int fd[2] = { new_event(0), new_event(0) };
		int total, ended;

		for (int i = 0; i < 2; i++) {
			h[i].ring = r;
			h[i].end = &h[self ? i : 1 - i];
			ring_poll(r, &h[i].op, fd[i]);
		}
		cr_assert_eq(ring_run(r, 0), 0);
		raise_event(fd[0]);
		raise_event(fd[1]);
		while (h[0].calls + h[1].calls < (self ? 2 : 1))
			cr_assert_geq(ring_run(r, FOR_EVER), 0);
		/* events from now on are those of a poll that was not ended */
		clear_event(fd[0]);
		clear_event(fd[1]);
		while (ring_run(r, 0) > 0)
			;
		total = h[0].calls + h[1].calls;
		cr_assert_eq(total, self ? 2 : 1, "%d and %d calls", h[0].calls, h[1].calls);
		ended = h[0].calls ? 1 : 0;
		for (int i = 0; i < 2; i++)
			raise_event(fd[i]);
		while (ring_run(r, 0) > 0)
			;
		if (self)
			cr_assert_eq(h[0].calls + h[1].calls, 2, "both were ended");
		else
			cr_assert_eq(h[ended].calls, 0, "it was ended");
		for (int i = 0; i < 2; i++)
			ring_poll_end(r, &h[i].op);
		for (int i = 0; i < 2; i++)
			close(fd[i]);
		ring_destroy(r);
	}
}

struct noise {
	int fd;
	int stop;   /* [a] */
	int failed; /* of its writes and reads */
};

static void *make_noise(void *arg)
{
	struct noise *n = arg;
	uint64_t one = 1, value;

	while (!__atomic_load_n(&n->stop, __ATOMIC_RELAXED)) {
		n->failed += write(n->fd, &one, sizeof(one)) != (ssize_t)sizeof(one);
		n->failed += read(n->fd, &value, sizeof(value)) != (ssize_t)sizeof(value);
	}
	return NULL;
}

/* An event comes at any moment of an end: no call afterwards, and no wait for ever. */
Test(ring, poll_end_while_it_is_told, LIMIT)
{
	struct ring *r = make(64);
	struct noise n = { .fd = new_event(0) };
	struct heard reads = { .op.done = hear };
	int file = new_file("x", 1);
	pthread_t thread;
	char c;

	cr_assert_eq(pthread_create(&thread, NULL, make_noise, &n), 0);
	for (int i = 1; i <= 3000; i++) {
		struct heard *poll = calloc(1, sizeof(*poll));

		poll->op.done = hear;
		ring_poll(r, &poll->op, n.fd);
		ring_read(r, &reads.op, file, &c, 1, 0);
		if (i % 2 == 0)
			cr_assert_geq(ring_run(r, 0), 0);
		ring_poll_end(r, &poll->op);
		free(poll);
		run_until(r, &reads.calls, i);
		cr_assert_eq(reads.calls, i);
	}
	__atomic_store_n(&n.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	cr_assert_eq(n.failed, 0);
	ring_destroy(r);
	close(n.fd);
	close(file);
}

/*
 * The last word of a poll that the kernel ended may be kept while another one
 * is taken out; there is nothing left to remove then.
 */
Test(ring, poll_end_of_one_whose_end_was_kept, LIMIT)
{
	struct ring *r = ring_create(16);
	struct ring_op bad = { .done = nothing }, good = { .done = nothing };
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	ring_poll(r, &bad, 9999);
	ring_poll(r, &good, fd);
	ring_poll_end(r, &good);
	ring_poll_end(r, &bad);
	cr_assert_eq(ring_run(r, 0), 0);
	ring_destroy(r);
	close(fd);
}

/* --- posted, and timers -------------------------------------------------------- */

Test(ring, posted_by_its_owner, LIMIT)
{
	struct ring *r = make(8);
	struct heard h[3] = { { .op.done = hear }, { .op.done = hear }, { .op.done = hear } };

	for (int i = 0; i < 3; i++)
		ring_post(r, &h[i].op, -i);
	cr_assert_eq(h[0].calls, 0, "never from in here");
	cr_assert_eq(ring_run(r, FOR_EVER), 3, "there is nothing to wait for");
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(h[i].calls, 1);
		cr_assert_eq(h[i].res, -i);
		cr_assert_eq(h[i].turn, i + 1, "in the order of posting");
	}
	ring_destroy(r);
}

/* Posts itself again until it has been heard ten times. */
struct again {
	struct ring_op op;
	struct ring *r;
	int calls;
};

static void hear_again(struct ring_op *op, int res)
{
	struct again *a = (struct again *)op;

	cr_assert_eq(res, a->calls);
	if (++a->calls < 10)
		ring_post(a->r, op, a->calls);
}

Test(ring, posted_while_it_is_heard, LIMIT)
{
	struct ring *r = make(8);
	struct again a = { .op.done = hear_again, .r = r };

	ring_post(r, &a.op, 0);
	cr_assert_geq(ring_run(r, 0), 1);
	cr_assert_lt(a.calls, 10, "a turn of the ring is bounded");
	while (a.calls < 10)
		cr_assert_geq(ring_run(r, FOR_EVER), 0);
	ring_destroy(r);
}

#define POSTS 20000

struct poster {
	struct ring *r;
	struct heard *h;
};

static void *post_all(void *arg)
{
	struct poster *p = arg;

	for (int i = 0; i < POSTS; i++)
		ring_post(p->r, &p->h[i].op, i);
	return NULL;
}

/* The owner sleeps in between: no post may fail to wake it. */
Test(ring, posted_by_others, LIMIT)
{
	struct ring *r = make(8);
	struct poster p[2];
	pthread_t t[2];

	for (int k = 0; k < 2; k++) {
		p[k] = (struct poster){ r, calloc(POSTS, sizeof(struct heard)) };
		for (int i = 0; i < POSTS; i++)
			p[k].h[i].op.done = hear;
		cr_assert_eq(pthread_create(&t[k], NULL, post_all, &p[k]), 0);
	}
	run_until(r, &turn, 2 * POSTS);
	for (int k = 0; k < 2; k++) {
		pthread_join(t[k], NULL);
		for (int i = 0; i < POSTS; i++) {
			cr_assert_eq(p[k].h[i].calls, 1);
			cr_assert_eq(p[k].h[i].res, i);
			cr_assert(i == 0 || p[k].h[i].turn > p[k].h[i - 1].turn);
		}
		free(p[k].h);
	}
	ring_destroy(r);
}

Test(ring, timer, LIMIT)
{
	struct ring *r = make(8);
	struct heard soon = { .op.done = hear }, never = { .op.done = hear };
	uint64_t begin = now(CLOCK_MONOTONIC);

	ring_timer(r, &never.op, 1000 * SECOND);
	ring_timer(r, &soon.op, SECOND / 50);
	run_until(r, &soon.calls, 1);
	cr_assert_eq(soon.res, -ETIME);
	cr_assert_geq(now(CLOCK_MONOTONIC) - begin, SECOND / 50);
	cr_assert_eq(never.calls, 0);
	ring_destroy(r);
}
