/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The swap pager: on devices that do as the test says, on real files, against
 * an array with a number for each page, and with a crash after every store.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crash.h"
#include "swap/pager.h"

#define LIMIT .timeout = 120

enum { SLOTS_MAX = 8, FAKE_BLOCKS_MAX = 4096, QUEUE_MAX = 64 };

/* --- a device that ends an I/O when it is told to --------------------------------- */

struct fake {
	struct swap_device dev;
	char *data;	   /* shared with children */
	uint8_t *inflight; /* [block] writes on their way, shared too */
	struct swap_io *queue[QUEUE_MAX];
	unsigned int queued, most_queued;
	unsigned int ios, blocks_moved;
	uint32_t longest;
	bool brief; /* moves only what number_of looks at: each byte is an instruction */
	bool picky; /* it refuses pages with a number that 3 divides */
	int write_err[FAKE_BLOCKS_MAX]; /* [block] -errno, 0: fine */
	int read_err[FAKE_BLOCKS_MAX];
};

static void mark(struct fake *f, const struct swap_io *io, int by)
{
	for (uint32_t i = 0; io->write && i < io->left / SWAP_BLOCK; i++)
		f->inflight[io->offset / SWAP_BLOCK + i] += (uint8_t)by;
}

static void fake_submit(struct swap_device *dev, struct swap_io *io)
{
	struct fake *f = (struct fake *)dev;

	cr_assert_lt(f->queued, QUEUE_MAX);
	cr_assert_leq(io->left, SWAP_IO_BLOCKS_MAX * SWAP_BLOCK);
	cr_assert_leq(io->offset + io->left, dev->blocks * SWAP_BLOCK);
	f->queue[f->queued++] = io;
	if (f->queued > f->most_queued)
		f->most_queued = f->queued;
	f->ios++;
	f->blocks_moved += io->left / SWAP_BLOCK;
	if (io->left / SWAP_BLOCK > f->longest)
		f->longest = io->left / SWAP_BLOCK;
	mark(f, io, 1);
}

static void fake_close(struct swap_device *dev)
{
	struct fake *f = (struct fake *)dev;

	munmap(f->data, dev->blocks * SWAP_BLOCK);
	munmap(f->inflight, dev->blocks);
}

static const struct swap_device_ops fake_ops = { .kind = "fake",
						 .submit = fake_submit,
						 .close = fake_close };
static const struct swap_device_ops picky_ops = {
	.kind = "picky", .submit = fake_submit, .close = fake_close, .picky = true
};

static void *shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(p, MAP_FAILED);
	return p;
}

static struct fake *add_fake(struct drum *d, uint64_t ino, uint64_t blocks)
{
	struct fake *f = calloc(1, sizeof(*f));

	cr_assert_not_null(f);
	cr_assert_leq(blocks, FAKE_BLOCKS_MAX);
	f->dev = (struct swap_device){ .ops = &fake_ops,
				       .path = strdup("/fake"),
				       .ino = ino,
				       .blocks = blocks,
				       .fd = -1 };
	f->data = shared(blocks * SWAP_BLOCK);
	f->inflight = shared(blocks);
	cr_assert_gt(drum_add(d, &f->dev, 0, 0), 0);
	return f;
}

static void move(const struct fake *f, char *to, const char *from, size_t bytes)
{
	if (!f->brief) {
		memcpy(to, from, bytes);
		return;
	}
	for (size_t at = 0; at < bytes; at += SWAP_BLOCK) {
		memcpy(to + at, from + at, 8);
		to[at + 100] = from[at + 100];
		memcpy(to + at + SWAP_BLOCK - 8, from + at + SWAP_BLOCK - 8, 8);
	}
}

static int transfer(struct fake *f, struct swap_io *io)
{
	uint64_t block = io->offset / SWAP_BLOCK, n = io->left / SWAP_BLOCK;
	const int *err = io->write ? f->write_err : f->read_err;

	cr_assert_eq(io->niov, 1, "one buffer is one vector");
	for (uint64_t i = 0; i < n; i++)
		if (err[block + i])
			return err[block + i];
	if (io->write)
		move(f, f->data + io->offset, io->iov[0].iov_base, io->left);
	else
		move(f, io->iov[0].iov_base, f->data + io->offset, io->left);
	for (uint64_t i = 0; io->write && f->picky && i < n; i++) {
		char *at = f->data + io->offset + i * SWAP_BLOCK;
		uint64_t number;

		memcpy(&number, at, 8);
		if (number % 3 != 0)
			continue;
		io->refused[i / 64] |= UINT64_C(1) << (i % 64);
		memset(at, 0xbb, SWAP_BLOCK);
	}
	return (int)io->left;
}

/* End the i-th I/O that is queued. */
static void end_one(struct fake *f, unsigned int i)
{
	struct swap_io *io = f->queue[i];
	int res = transfer(f, io);

	f->queue[i] = f->queue[--f->queued];
	mark(f, io, -1);
	io->op.done(&io->op, res);
}

/* --- a pager ----------------------------------------------------------------------- */

struct set {
	struct drum *d;
	struct fake *f[2];
	struct object *o;
	struct ring *ring; /* or fakes */
	struct pager p;
	struct pager_io slot[SLOTS_MAX];
	int fd;
	uint64_t random;
};

static void set_out(struct set *s, uint64_t pages, unsigned int slots, uint64_t a, uint64_t b)
{
	struct err e = { 0 };

	*s = (struct set){ .d = drum_create(), .random = 4711 };
	cr_assert_not_null(s->d);
	s->fd = memfd_create("swblocks", MFD_CLOEXEC);
	s->o = object_open(s->fd, pages, NULL, &e);
	cr_assert_not_null(s->o);
	s->f[0] = add_fake(s->d, 1, a);
	if (b > 0)
		s->f[1] = add_fake(s->d, 2, b);
	pager_init(&s->p, "test", s->o, s->d, NULL, s->slot, slots);
}

static void clear_away(struct set *s)
{
	cr_assert(pager_idle(&s->p));
	object_close(s->o);
	drum_destroy(s->d);
	ring_destroy(s->ring);
	close(s->fd);
}

/* xorshift64*, so that a failure repeats anywhere */
static uint64_t below(struct set *s, uint64_t n)
{
	s->random ^= s->random >> 12;
	s->random ^= s->random << 25;
	s->random ^= s->random >> 27;
	return (s->random * UINT64_C(2685821657736338717) >> 20) % n;
}

/* => false: nothing was in flight */
static bool end_any(struct set *s)
{
	unsigned int a = s->f[0]->queued, b = s->f[1] ? s->f[1]->queued : 0, i;

	if (a + b == 0)
		return false;
	i = (unsigned int)below(s, a + b);
	if (i < a)
		end_one(s->f[0], i);
	else
		end_one(s->f[1], i - a);
	return true;
}

struct result {
	struct pager_req req;
	int calls, err;
	uint64_t residual;
};

static void on_done(struct pager_req *req, int err, uint64_t residual)
{
	struct result *r = (struct result *)((char *)req - offsetof(struct result, req));

	r->calls++;
	r->err = err;
	r->residual = residual;
}

static char *pages_of_memory(uint64_t n)
{
	char *p = aligned_alloc(SWAP_BLOCK, n * SWAP_BLOCK);

	cr_assert_not_null(p);
	memset(p, 0xee, n * SWAP_BLOCK);
	return p;
}

/* Pages are told from each other by numbers at both ends; 0 is a page of zeros. */
static void stamp(char *p, uint64_t number)
{
	memset(p, number ? 0x5a : 0, SWAP_BLOCK);
	memcpy(p, &number, 8);
	memcpy(p + SWAP_BLOCK - 8, &number, 8);
}

static uint64_t number_of(const char *p)
{
	uint64_t a, b;

	memcpy(&a, p, 8);
	memcpy(&b, p + SWAP_BLOCK - 8, 8);
	cr_assert_eq(a, b, "a torn page: %llu, %llu", (unsigned long long)a,
		     (unsigned long long)b);
	cr_assert_eq(p[100], a ? 0x5a : 0);
	return a;
}

static void give(struct set *s, struct result *r, enum pager_cmd cmd, uint64_t page, uint64_t n,
		 void *buf)
{
	*r = (struct result){
		.req = { .done = on_done, .cmd = cmd, .page = page, .n = n, .buf = buf }
	};
	pager_strategy(&s->p, &r->req);
}

static void wait_for(struct set *s, const struct result *r)
{
	while (r->calls == 0) {
		if (s->ring)
			cr_assert_geq(ring_run(s->ring, UINT64_MAX), 0);
		else
			cr_assert(end_any(s), "it waits for nothing");
	}
	cr_assert_eq(r->calls, 1);
	cr_assert_eq(r->err != 0, r->residual != 0);
}

/* => err; *residual may be NULL if it must be 0 */
static int run(struct set *s, enum pager_cmd cmd, uint64_t page, uint64_t n, void *buf,
	       uint64_t *residual)
{
	struct result r;

	give(s, &r, cmd, page, n, buf);
	wait_for(s, &r);
	if (residual)
		*residual = r.residual;
	return r.err;
}

/* Pages page .. page+n-1 get the numbers from first on. */
static void write_pages(struct set *s, uint64_t page, uint64_t n, uint64_t first)
{
	char *buf = pages_of_memory(n);

	for (uint64_t i = 0; i < n; i++)
		stamp(buf + i * SWAP_BLOCK, first + i);
	cr_assert_eq(run(s, PAGER_WRITE, page, n, buf, NULL), 0);
	free(buf);
}

static uint64_t read_page(struct set *s, uint64_t page)
{
	char *buf = pages_of_memory(1);
	uint64_t number;

	cr_assert_eq(run(s, PAGER_READ, page, 1, buf, NULL), 0);
	number = number_of(buf);
	free(buf);
	return number;
}

/* Each word has a block, each block that is taken a word. */
static void nothing_leaks(struct set *s)
{
	struct drum_device_stats st[2];
	size_t n = drum_stats(s->d, st, 2);
	uint64_t used = 0, at = 0, word;

	for (size_t i = 0; i < n; i++)
		used += st[i].used;
	cr_assert_eq(used, object_count(s->o), "%llu blocks, %llu words",
		     (unsigned long long)used, (unsigned long long)object_count(s->o));
	for (; object_next(s->o, at, &at, &word); at++)
		cr_assert_not(word & SWB_BUSY);
	for (unsigned int i = 0; i < OBJECT_INTENTS; i++)
		cr_assert_eq(object_intent_get(s->o, i, &word), 0);
}

/* --- gathering and splitting ---------------------------------------------------------- */

Test(pager, holes_are_zeros_without_io, LIMIT)
{
	char *buf = pages_of_memory(20);
	struct result r;
	struct set s;

	set_out(&s, 100, 4, 64, 0);
	write_pages(&s, 10, 1, 77);
	cr_assert_eq(object_reserve(s.o, s.d, 12, 2), 0);
	s.f[0]->ios = 0;
	give(&s, &r, PAGER_READ, 5, 20, buf);
	cr_assert_eq(r.calls, 0);
	wait_for(&s, &r);
	cr_assert_eq(r.err, 0);
	cr_assert(s.f[0]->ios == 1 && s.f[0]->longest == 1);
	for (uint64_t i = 0; i < 20; i++)
		cr_assert_eq(number_of(buf + i * SWAP_BLOCK), i == 5 ? 77 : 0);
	/* nothing to wait for: done has been called already */
	memset(buf, 0xee, SWAP_BLOCK);
	give(&s, &r, PAGER_READ, 50, 1, buf);
	cr_assert(r.calls == 1 && r.err == 0 && number_of(buf) == 0);
	give(&s, &r, PAGER_WRITE, 50, 0, buf);
	cr_assert(r.calls == 1 && r.err == 0);
	clear_away(&s);
	free(buf);
}

Test(pager, neighbours_share_an_io, LIMIT)
{
	enum { N = 3 * SWAP_IO_BLOCKS_MAX + 5 };
	char *buf = pages_of_memory(N);
	struct set s;

	set_out(&s, N, SLOTS_MAX, N, 0);
	write_pages(&s, 0, N, 1000);
	cr_assert_eq(s.f[0]->ios, 4);
	cr_assert_eq(s.f[0]->longest, SWAP_IO_BLOCKS_MAX);
	cr_assert_eq(run(&s, PAGER_READ, 0, N, buf, NULL), 0);
	cr_assert_eq(s.f[0]->ios, 8);
	for (uint64_t i = 0; i < N; i++)
		cr_assert_eq(number_of(buf + i * SWAP_BLOCK), 1000 + i);
	nothing_leaks(&s);
	clear_away(&s);
	free(buf);
}

/* Neighbours in the object, not on the device: an I/O for each run. */
Test(pager, runs_on_a_fragmented_device, LIMIT)
{
	enum { N = 60 };
	char *buf = pages_of_memory(N);
	struct set s;

	set_out(&s, N, 3, 200, 0);
	for (uint64_t i = 0; i < 200; i++)
		if (i % 10 < 7)
			cr_assert_eq(drum_claim(s.d, NULL, drum_make(1, i)), 0);
	for (uint64_t i = 0; i < N; i++)
		stamp(buf + i * SWAP_BLOCK, i + 1);
	cr_assert_eq(run(&s, PAGER_WRITE, 0, N, buf, NULL), 0);
	cr_assert_eq(s.f[0]->ios, N / 3);
	cr_assert_eq(s.f[0]->most_queued, 3, "slots");
	memset(buf, 0xee, N * SWAP_BLOCK);
	cr_assert_eq(run(&s, PAGER_READ, 0, N, buf, NULL), 0);
	cr_assert_eq(s.f[0]->ios, 2 * N / 3);
	cr_assert_eq(s.f[0]->most_queued, 3);
	for (uint64_t i = 0; i < N; i++)
		cr_assert_eq(number_of(buf + i * SWAP_BLOCK), i + 1);
	clear_away(&s);
	free(buf);
}

/* The last block of a device and the first of the next are no neighbours. */
Test(pager, ios_end_at_the_border_of_a_device, LIMIT)
{
	char *buf = pages_of_memory(30);
	struct set s;

	set_out(&s, 30, 4, 16, 14);
	write_pages(&s, 0, 30, 100);
	cr_assert(s.f[0]->ios == 1 && s.f[1]->ios == 1);
	cr_assert(s.f[0]->blocks_moved == 16 && s.f[1]->blocks_moved == 14);
	cr_assert_eq(run(&s, PAGER_READ, 0, 30, buf, NULL), 0);
	cr_assert(s.f[0]->ios == 2 && s.f[1]->ios == 2);
	for (uint64_t i = 0; i < 30; i++)
		cr_assert_eq(number_of(buf + i * SWAP_BLOCK), 100 + i);
	clear_away(&s);
	free(buf);
}

Test(pager, range_is_checked, LIMIT)
{
	static const struct {
		uint64_t page, n;
	} wrong[] = { { 100, 1 }, { 99, 2 }, { 0, 101 }, { 1, UINT64_MAX }, { UINT64_MAX, 1 } };
	char *buf = pages_of_memory(1);
	uint64_t residual;
	struct set s;

	set_out(&s, 100, 2, 64, 0);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		for (int cmd = PAGER_READ; cmd <= PAGER_FREE; cmd++) {
			cr_assert_eq(run(&s, (enum pager_cmd)cmd, wrong[i].page, wrong[i].n,
					 buf, &residual),
				     -EINVAL);
			cr_assert_eq(residual, wrong[i].n);
		}
	clear_away(&s);
	free(buf);
}

/* --- blocks ------------------------------------------------------------------------------ */

Test(pager, stale_blocks_are_freed_when_the_new_are_written, LIMIT)
{
	char *buf = pages_of_memory(10);
	uint64_t word;
	struct result r;
	drum_addr a;
	struct set s;

	set_out(&s, 100, 2, 64, 0);
	write_pages(&s, 0, 10, 1);
	word = object_get(s.o, 3);
	stamp(buf, 500);
	give(&s, &r, PAGER_WRITE, 3, 1, buf);
	cr_assert_eq(object_get(s.o, 3), word, "the old one is valid until then");
	cr_assert_eq(object_intent_get(s.o, 0, &a) + object_intent_get(s.o, 1, &a), 1);
	cr_assert_eq(drum_avail(s.d), 64 - 11);
	wait_for(&s, &r);
	cr_assert_neq(object_get(s.o, 3), word);
	cr_assert_eq(drum_claim(s.d, NULL, word & DRUM_ADDR_MASK), 0, "it is free");
	drum_free(s.d, NULL, word & DRUM_ADDR_MASK, 1);
	cr_assert_eq(read_page(&s, 3), 500);
	cr_assert_eq(read_page(&s, 4), 5);
	nothing_leaks(&s);

	cr_assert_eq(run(&s, PAGER_FREE, 2, 5, NULL, NULL), 0);
	cr_assert_eq(drum_avail(s.d), 64 - 5);
	cr_assert_eq(read_page(&s, 3), 0);
	cr_assert_eq(read_page(&s, 7), 8);
	nothing_leaks(&s);
	clear_away(&s);
	free(buf);
}

Test(pager, reserved_blocks_are_used_first, LIMIT)
{
	char *buf = pages_of_memory(20);
	drum_addr first;
	struct set s;

	set_out(&s, 100, 4, 64, 0);
	cr_assert_eq(object_reserve(s.o, s.d, 5, 10), 0);
	first = object_get(s.o, 5) & DRUM_ADDR_MASK;
	/* swap is full for all others */
	for (uint64_t i = 0; i < 64; i++)
		(void)!drum_claim(s.d, NULL, drum_make(1, i));
	for (uint64_t i = 0; i < 20; i++)
		stamp(buf + i * SWAP_BLOCK, i + 1);
	cr_assert_eq(run(&s, PAGER_WRITE, 5, 10, buf, NULL), 0);
	cr_assert_eq(s.f[0]->ios, 1);
	for (uint64_t i = 0; i < 10; i++)
		cr_assert_eq(object_get(s.o, 5 + i), (first + i) | SWB_VALID);
	cr_assert_eq(read_page(&s, 9), 5);
	clear_away(&s);
	free(buf);
}

Test(pager, full_swap_says_so_and_keeps_what_is_there, LIMIT)
{
	char *buf = pages_of_memory(64);
	uint64_t residual;
	struct set s;

	set_out(&s, 200, 4, 64, 0);
	write_pages(&s, 0, 64, 1);
	for (uint64_t i = 0; i < 64; i++)
		stamp(buf + i * SWAP_BLOCK, 1000 + i);
	cr_assert_eq(run(&s, PAGER_WRITE, 10, 20, buf, &residual), -ENOSPC);
	cr_assert_eq(residual, 20);
	cr_assert_eq(run(&s, PAGER_WRITE, 100, 1, buf, &residual), -ENOSPC);
	cr_assert_eq(residual, 1);
	for (uint64_t i = 0; i < 64; i++)
		cr_assert_eq(read_page(&s, i), i + 1);

	/* some of it */
	cr_assert_eq(run(&s, PAGER_FREE, 60, 4, NULL, NULL), 0);
	cr_assert_eq(run(&s, PAGER_WRITE, 100, 7, buf, &residual), -ENOSPC);
	cr_assert_eq(residual, 3);
	for (uint64_t i = 0; i < 4; i++)
		cr_assert_eq(read_page(&s, 100 + i), 1000 + i);
	/* with 4 free blocks all is written anew: each write frees as much */
	cr_assert_eq(run(&s, PAGER_FREE, 100, 4, NULL, NULL), 0);
	cr_assert_eq(run(&s, PAGER_WRITE, 0, 60, buf, &residual), 0);
	for (uint64_t i = 0; i < 60; i++)
		cr_assert_eq(read_page(&s, i), 1000 + i);
	nothing_leaks(&s);
	clear_away(&s);
	free(buf);
}

Test(pager, no_swblock_is_no_space, LIMIT)
{
	struct swblock_zone z = { .max = 2 };
	char *buf = pages_of_memory(40);
	struct err e = { 0 };
	uint64_t residual;
	struct set s;

	set_out(&s, 200, 4, 64, 0);
	object_close(s.o);
	s.o = object_open(s.fd, 200, &z, &e);
	cr_assert_not_null(s.o);
	s.p.object = s.o;
	for (uint64_t i = 0; i < 40; i++)
		stamp(buf + i * SWAP_BLOCK, 1 + i);
	cr_assert_eq(run(&s, PAGER_WRITE, 0, 40, buf, &residual), -ENOSPC);
	cr_assert_eq(residual, 8);
	cr_assert(swblock_zone_full(&z));
	cr_assert_eq(read_page(&s, 31), 32);
	nothing_leaks(&s);
	clear_away(&s);
	free(buf);
}

/* What somebody else writes is neither read nor overwritten, and is no zeros. */
Test(pager, others_writes_are_busy, LIMIT)
{
	static const uint64_t flags[] = { SWB_WRITING, SWB_RESERVED | SWB_WRITING,
					  SWB_RESERVED | SWB_HELD };
	char *buf = pages_of_memory(10);
	uint64_t residual;
	struct set s;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		bool held = flags[i] & SWB_HELD;

		set_out(&s, 100, 4, 64, 0);
		cr_assert_eq(drum_claim(s.d, NULL, drum_make(1, 60)), 0);
		cr_assert_eq(object_set(s.o, 4, drum_make(1, 60) | flags[i]), 0);
		for (uint64_t k = 0; k < 10; k++)
			stamp(buf + k * SWAP_BLOCK, k + 1);
		cr_assert_eq(run(&s, PAGER_WRITE, 0, 10, buf, &residual), -EBUSY);
		cr_assert_eq(residual, 1);
		cr_assert_eq(read_page(&s, 3), 4);
		cr_assert_eq(read_page(&s, 5), 6);
		/* nothing was on swap there when the daemon died */
		cr_assert_eq(run(&s, PAGER_READ, 0, 10, buf, &residual), held ? 0 : -EBUSY);
		cr_assert_eq(residual, held ? 0 : 1);
		cr_assert_eq(run(&s, PAGER_FREE, 0, 10, NULL, NULL), 0);
		cr_assert_eq(object_get(s.o, 4), drum_make(1, 60) | flags[i]);
		cr_assert_eq(object_count(s.o), 1);
		clear_away(&s);
	}
	free(buf);
}

/* --- order ----------------------------------------------------------------------------------
 */

Test(pager, overlapping_requests_keep_their_order, LIMIT)
{
	char *a = pages_of_memory(10), *b = pages_of_memory(10), *in = pages_of_memory(10);
	struct result w1, w2, r1, other, fr;
	struct set s;

	set_out(&s, 100, 8, 64, 0);
	for (uint64_t i = 0; i < 10; i++) {
		stamp(a + i * SWAP_BLOCK, 1 + i);
		stamp(b + i * SWAP_BLOCK, 101 + i);
	}
	give(&s, &w1, PAGER_WRITE, 0, 10, a);
	give(&s, &w2, PAGER_WRITE, 9, 10, b);
	give(&s, &r1, PAGER_READ, 5, 10, in);
	give(&s, &fr, PAGER_FREE, 0, 100, NULL);
	give(&s, &other, PAGER_READ, 50, 1, b + 9 * SWAP_BLOCK);
	cr_assert_eq(s.f[0]->queued, 1, "the first one alone");
	cr_assert(fr.calls == 0 && other.calls == 0, "nobody overtakes");
	wait_for(&s, &w1);
	cr_assert_eq(w2.calls, 0);
	wait_for(&s, &w2);
	wait_for(&s, &r1);
	for (uint64_t i = 0; i < 10; i++)
		cr_assert_eq(number_of(in + i * SWAP_BLOCK), i < 4 ? 6 + i : 97 + i);
	wait_for(&s, &fr);
	wait_for(&s, &other);
	cr_assert_eq(object_count(s.o), 0);

	/* those that do not overlap, and reads, go at once */
	give(&s, &w1, PAGER_WRITE, 0, 10, a);
	give(&s, &w2, PAGER_WRITE, 10, 10, b);
	cr_assert_eq(s.f[0]->queued, 2);
	wait_for(&s, &w1);
	wait_for(&s, &w2);
	give(&s, &r1, PAGER_READ, 0, 1, in);
	give(&s, &other, PAGER_READ, 0, 1, a);
	cr_assert_eq(s.f[0]->queued, 2);
	wait_for(&s, &r1);
	wait_for(&s, &other);
	clear_away(&s);
	free(a);
	free(b);
	free(in);
}

struct chain {
	struct pager_req req;
	struct set *s;
	int left, depth, deepest;
};

static void next_link(struct pager_req *req, int err, uint64_t residual)
{
	struct chain *c = (struct chain *)((char *)req - offsetof(struct chain, req));

	cr_assert(err == 0 && residual == 0);
	if (++c->depth > c->deepest)
		c->deepest = c->depth;
	if (c->left-- > 0)
		pager_strategy(&c->s->p, req);
	c->depth--;
}

/* Reads of holes end at once: were each done within the last one's, the stack would end. */
Test(pager, done_may_give_the_next_request, LIMIT)
{
	char *buf = pages_of_memory(1);
	struct chain c = { .left = 300000 };
	struct set s;

	set_out(&s, 100, 1, 64, 0);
	c.s = &s;
	c.req = (struct pager_req){
		.done = next_link, .cmd = PAGER_READ, .page = 9, .n = 1, .buf = buf
	};
	pager_strategy(&s.p, &c.req);
	cr_assert(c.left == -1 && c.deepest == 1);
	clear_away(&s);
	free(buf);
}

/* --- errors ------------------------------------------------------------------------------- */

Test(pager, write_error_costs_one_page_and_its_block, LIMIT)
{
	struct drum_device_stats st;
	char *buf = pages_of_memory(20);
	uint64_t residual;
	struct set s;

	set_out(&s, 100, 2, 64, 0);
	write_pages(&s, 0, 20, 1); /* blocks 0 to 19 */
	s.f[0]->write_err[25] = -EIO;
	for (uint64_t i = 0; i < 20; i++)
		stamp(buf + i * SWAP_BLOCK, 101 + i);
	cr_assert_eq(run(&s, PAGER_WRITE, 0, 20, buf, &residual), -EIO);
	cr_assert_eq(residual, 1);
	for (uint64_t i = 0; i < 20; i++)
		cr_assert_eq(read_page(&s, i), i == 5 ? 6 : 101 + i, "page %u",
			     (unsigned int)i);
	cr_assert_eq(drum_stats(s.d, &st, 1), 1);
	cr_assert_eq(st.bad, 1);
	nothing_leaks(&s);

	/* a page that was not on swap is not now */
	s.f[0]->write_err[42] = -EIO;
	cr_assert_eq(run(&s, PAGER_WRITE, 50, 4, buf, &residual), -EIO);
	cr_assert_eq(residual, 1);
	cr_assert_eq(object_get(s.o, 52), 0);
	cr_assert_eq(read_page(&s, 53), 104);
	nothing_leaks(&s);
	clear_away(&s);
	free(buf);
}

Test(pager, reservation_that_is_bad, LIMIT)
{
	char *buf = pages_of_memory(10);
	uint64_t residual;
	struct set s;

	set_out(&s, 100, 2, 64, 0);
	cr_assert_eq(object_reserve(s.o, s.d, 0, 10), 0);
	s.f[0]->write_err[3] = -EIO;
	s.f[0]->write_err[6] = -ENOMEM; /* not the block's fault */
	for (uint64_t i = 0; i < 10; i++)
		stamp(buf + i * SWAP_BLOCK, 1 + i);
	cr_assert_eq(run(&s, PAGER_WRITE, 0, 10, buf, &residual), -EIO);
	cr_assert_eq(residual, 2);
	cr_assert_eq(object_get(s.o, 3), 0);
	cr_assert_eq(object_get(s.o, 6), drum_make(1, 6) | SWB_RESERVED);
	nothing_leaks(&s);
	s.f[0]->write_err[6] = 0;
	cr_assert_eq(run(&s, PAGER_WRITE, 0, 10, buf, &residual), 0);
	for (uint64_t i = 0; i < 10; i++)
		cr_assert_eq(read_page(&s, i), 1 + i);
	nothing_leaks(&s);
	clear_away(&s);
	free(buf);
}

Test(pager, error_of_the_moment_keeps_the_block, LIMIT)
{
	struct drum_device_stats st;
	char *buf = pages_of_memory(4);
	uint64_t residual;
	struct set s;

	set_out(&s, 100, 2, 64, 0);
	for (uint64_t i = 0; i < 64; i++)
		s.f[0]->write_err[i] = -ENOMEM;
	cr_assert_eq(run(&s, PAGER_WRITE, 0, 4, buf, &residual), -ENOMEM);
	cr_assert_eq(residual, 4);
	cr_assert_eq(drum_stats(s.d, &st, 1), 1);
	cr_assert_eq(st.bad, 0);
	cr_assert_eq(drum_avail(s.d), 64);
	cr_assert_eq(object_count(s.o), 0);
	nothing_leaks(&s);
	clear_away(&s);
	free(buf);
}

Test(pager, read_error_leaves_a_residual, LIMIT)
{
	char *buf = pages_of_memory(30);
	uint64_t residual;
	struct set s;

	set_out(&s, 100, 2, 16, 20);
	write_pages(&s, 0, 30, 1);
	cr_assert_eq(drum_device_of(object_get(s.o, 0) & DRUM_ADDR_MASK), 1);
	cr_assert_eq(drum_device_of(object_get(s.o, 29) & DRUM_ADDR_MASK), 2);
	s.f[0]->read_err[drum_block_of(object_get(s.o, 0) & DRUM_ADDR_MASK)] = -EIO;
	cr_assert_eq(run(&s, PAGER_READ, 0, 30, buf, &residual), -EIO);
	cr_assert(residual > 0 && residual < 30);
	cr_assert_eq(number_of(buf + 29 * SWAP_BLOCK), 30, "the other I/O went on");
	memset(s.f[0]->read_err, 0, sizeof(s.f[0]->read_err));
	cr_assert_eq(run(&s, PAGER_READ, 0, 30, buf, &residual), 0);
	cr_assert_eq(number_of(buf), 1, "it is still there");
	clear_away(&s);
	free(buf);
}

/* --- a device that does not take everything -------------------------------------------------
 */

static void make_picky(struct set *s)
{
	s->f[0]->dev.ops = &picky_ops;
	s->f[0]->picky = true;
	/* its turn is first, always */
	drum_set_priority(s->d, 1, 10);
}

Test(pager, refused_pages_go_on_to_another_device, LIMIT)
{
	char *buf = pages_of_memory(100);
	uint64_t residual;
	struct set s;

	set_out(&s, 200, 2, 300, 100);
	make_picky(&s);
	write_pages(&s, 0, 90, 1000);
	cr_assert_eq(object_reserve(s.o, s.d, 100, 10), 0);
	for (uint64_t i = 0; i < 90; i++)
		stamp(buf + i * SWAP_BLOCK, 2000 + i);
	cr_assert_eq(run(&s, PAGER_WRITE, 0, 90, buf, NULL), 0, "anew");
	cr_assert_eq(run(&s, PAGER_WRITE, 95, 20, buf, NULL), 0,
		     "with reserved ones among them");
	for (uint64_t i = 0; i < 110; i++) {
		uint64_t want = i < 90 ? 2000 + i : 2000 + i - 95;

		if (i >= 90 && i < 95)
			continue;
		cr_assert_eq(read_page(&s, i), want);
		cr_assert_eq(drum_device_of(object_get(s.o, i) & DRUM_ADDR_MASK),
			     want % 3 == 0 ? 2 : 1, "page %u", (unsigned int)i);
	}
	nothing_leaks(&s);

	/* nowhere to go on to: the old ones stay */
	cr_assert_eq(drum_avail(s.d), 400 - 110);
	for (uint64_t b = 0; b < 100; b++)
		s.f[1]->write_err[b] = -EIO;
	for (uint64_t i = 0; i < 90; i++)
		stamp(buf + i * SWAP_BLOCK, 3000 + i);
	cr_assert_eq(run(&s, PAGER_WRITE, 0, 90, buf, &residual), -EIO);
	cr_assert_eq(residual, 30);
	for (uint64_t i = 0; i < 90; i++)
		cr_assert_eq(read_page(&s, i), (i % 3 == 0 ? 2000 : 3000) + i);
	clear_away(&s);
	free(buf);
}

/* --- against an array ------------------------------------------------------------------------
 */

enum { MODEL_PAGES = 400, RUN_MAX = 70, FLYING = 6 };

static uint64_t model[MODEL_PAGES];
static uint64_t numbers;

struct flight {
	struct result r;
	char *buf;
	uint64_t want[RUN_MAX]; /* of a read */
	bool busy;
};

static void land(struct set *s, struct flight *f)
{
	if (!f->busy)
		return;
	wait_for(s, &f->r);
	f->busy = false;
	cr_assert_eq(f->r.err, 0);
	for (uint64_t i = 0; f->r.req.cmd == PAGER_READ && i < f->r.req.n; i++)
		cr_assert_eq(number_of(f->buf + i * SWAP_BLOCK), f->want[i], "page %llu",
			     (unsigned long long)(f->r.req.page + i));
}

/* What is asked for is true from then on: later requests must see it so. */
static void take_off(struct set *s, struct flight *f)
{
	static const enum pager_cmd cmds[] = { PAGER_READ,  PAGER_READ,	 PAGER_READ,
					       PAGER_WRITE, PAGER_WRITE, PAGER_WRITE,
					       PAGER_FREE };
	enum pager_cmd cmd = cmds[below(s, sizeof(cmds) / sizeof(cmds[0]))];
	uint64_t page = below(s, MODEL_PAGES);
	uint64_t n = 1 + below(s, below(s, 4) == 0 ? RUN_MAX : 8);

	if (n > MODEL_PAGES - page)
		n = MODEL_PAGES - page;
	for (uint64_t i = 0; i < n; i++) {
		if (cmd == PAGER_READ)
			f->want[i] = model[page + i];
		else
			model[page + i] = cmd == PAGER_WRITE ? ++numbers : 0;
		if (cmd == PAGER_WRITE)
			stamp(f->buf + i * SWAP_BLOCK, numbers);
	}
	f->busy = true;
	give(s, &f->r, cmd, page, n, f->buf);
}

static void fly(struct set *s, unsigned int steps)
{
	struct flight f[FLYING] = { 0 };

	memset(model, 0, sizeof(model));
	for (int i = 0; i < FLYING; i++)
		f[i].buf = pages_of_memory(RUN_MAX);
	for (unsigned int k = 0; k < steps; k++) {
		struct flight *one = &f[below(s, FLYING)];

		land(s, one);
		take_off(s, one);
		if (below(s, 50) == 0)
			(void)!object_reserve(s->o, s->d, below(s, MODEL_PAGES - 20), 20);
	}
	for (int i = 0; i < FLYING; i++) {
		land(s, &f[i]);
		free(f[i].buf);
	}
	for (uint64_t i = 0; i < MODEL_PAGES; i++)
		cr_assert_eq(read_page(s, i), model[i], "page %llu", (unsigned long long)i);
	nothing_leaks(s);
}

/* Room for all pages, and for what is written anew meanwhile. */
static const struct {
	uint64_t a, b;
	unsigned int slots;
	bool picky;
} shapes[] = {
	{ 900, 0, 1, false },  { 500, 400, 8, false }, { 450, 450, 2, false },
	{ 64, 850, 3, false }, { 300, 900, 4, true },
};

Test(pager, equals_an_array, LIMIT)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct set s;

		set_out(&s, MODEL_PAGES, shapes[i].slots, shapes[i].a, shapes[i].b);
		s.random += i;
		if (shapes[i].picky)
			make_picky(&s);
		fly(&s, 8000);
		clear_away(&s);
	}
}

/* Errors, and swap that is too small: one at a time, since who knows which page failed? */
static void check_write(struct set *s, uint64_t page, uint64_t n, uint64_t first, int err,
			uint64_t residual)
{
	uint64_t missed = 0;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t is = read_page(s, page + i);

		if (is != first + i) {
			cr_assert_eq(is, model[page + i],
				     "neither the old one nor the new one");
			missed++;
		}
		model[page + i] = is;
	}
	cr_assert_eq(missed, residual);
	cr_assert_eq(err != 0, residual != 0);
}

static void step_with_errors(struct set *s, char *buf)
{
	uint64_t page = below(s, MODEL_PAGES), n = 1 + below(s, 30), residual, first;
	struct fake *f = s->f[below(s, 2)];
	int err;

	if (n > MODEL_PAGES - page)
		n = MODEL_PAGES - page;
	if (below(s, 10) == 0)
		f->write_err[below(s, f->dev.blocks)] = below(s, 2) ? -EIO : -ENOMEM;
	if (below(s, 3) == 0)
		(void)!object_reserve(s->o, s->d, page, n);
	switch (below(s, 3)) {
	case 0:
		cr_assert_eq(run(s, PAGER_FREE, page, n, NULL, NULL), 0);
		memset(&model[page], 0, n * sizeof(model[0]));
		break;
	default:
		first = numbers + 1;
		for (uint64_t i = 0; i < n; i++)
			stamp(buf + i * SWAP_BLOCK, ++numbers);
		err = run(s, PAGER_WRITE, page, n, buf, &residual);
		check_write(s, page, n, first, err, residual);
	}
	for (int i = 0; i < 2; i++)
		for (uint64_t b = 0; b < s->f[i]->dev.blocks; b++)
			if (s->f[i]->write_err[b] == -ENOMEM)
				s->f[i]->write_err[b] = 0;
}

Test(pager, equals_an_array_with_errors, LIMIT)
{
	char *buf = pages_of_memory(RUN_MAX);

	for (int round = 0; round < 10; round++) {
		struct drum_device_stats st[2];
		struct set s;

		memset(model, 0, sizeof(model));
		set_out(&s, MODEL_PAGES, 1 + (unsigned int)round % 4, 200, 150);
		s.random += (uint64_t)round;
		if (round % 2)
			make_picky(&s);
		for (int k = 0; k < 400; k++) {
			step_with_errors(&s, buf);
			nothing_leaks(&s);
		}
		for (uint64_t i = 0; i < MODEL_PAGES; i++)
			cr_assert_eq(read_page(&s, i), model[i]);
		cr_assert_eq(drum_stats(s.d, st, 2), 2);
		cr_assert_gt(st[0].bad + st[1].bad, 5);
		cr_assert_eq(drum_avail(s.d) + object_count(s.o) + st[0].bad + st[1].bad, 350);
		clear_away(&s);
	}
	free(buf);
}

/* --- real files and a ring -------------------------------------------------------------------
 */

static void add_file(struct drum *d, uint64_t blocks, uint64_t skip)
{
	char path[64] = "/var/tmp/drum-test.XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC | O_DIRECT);
	struct swap_device *dev;
	struct stat st;

	/* a file system without it: all but the alignment is tested */
	if (fd < 0 && errno == EINVAL)
		fd = mkostemp(path, O_CLOEXEC);
	cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
	unlink(path);
	cr_assert_eq(ftruncate(fd, (off_t)(blocks * SWAP_BLOCK + skip)), 0);
	cr_assert_eq(fstat(fd, &st), 0);
	dev = device_file_create("file", path, fd, st.st_dev, st.st_ino,
				 blocks * SWAP_BLOCK + skip, skip);
	cr_assert_not_null(dev);
	cr_assert_gt(drum_add(d, dev, 0, 0), 0);
}

Test(pager, equals_an_array_on_real_files, LIMIT)
{
	struct err e = { 0 };
	struct set s = { .d = drum_create(), .random = 99 };

	cr_assert_not_null(s.d);
	add_file(s.d, 400, 0);
	add_file(s.d, 500, SWAP_BLOCK);
	s.fd = memfd_create("swblocks", MFD_CLOEXEC);
	s.o = object_open(s.fd, MODEL_PAGES, NULL, &e);
	cr_assert_not_null(s.o);
	s.ring = ring_create(4);
	cr_assert_not_null(s.ring, "io_uring: %s", strerror(errno));
	pager_init(&s.p, "test", s.o, s.d, s.ring, s.slot, 6);
	fly(&s, 3000);
	clear_away(&s);
}

/* --- a crash after every store
 * ---------------------------------------------------------------- */

static struct set crashing;

static void do_writes(void *buf)
{
	struct result r;

	give(&crashing, &r, PAGER_WRITE, 0, 24, buf);
	while (r.calls == 0)
		if (!end_any(&crashing))
			_exit(1);
	if (r.err != -EIO || r.residual != 1)
		_exit(2);
}

static bool named(struct object *o, uint64_t block)
{
	uint64_t at = 0, word;
	drum_addr a;

	for (unsigned int i = 0; i < OBJECT_INTENTS; i++) {
		uint32_t n = object_intent_get(o, i, &a);

		if (n > 0 && block >= drum_block_of(a) && block < drum_block_of(a) + n)
			return true;
	}
	for (; object_next(o, at, &at, &word); at++)
		if ((word & SWB_WRITING) && drum_block_of(word & DRUM_ADDR_MASK) == block)
			return true;
	return false;
}

/* Pages 0 to 7 were on swap, 8 to 15 are reserved, the others were not there. */
static void look_at_writes(void *buf, const int *copy)
{
	struct err e = { 0 };
	struct object *o = object_open(copy[0], 100, NULL, &e);
	struct fake *f = crashing.f[0];
	bool owned[64] = { 0 };
	uint64_t at = 0, word;

	(void)buf;
	cr_assert_not_null(o, "%s", e.text);
	for (uint64_t b = 0; b < 64; b++)
		if (f->inflight[b])
			cr_assert(named(o, b), "a write to block %u would be forgotten",
				  (unsigned int)b);
	for (uint64_t page = 0; page < 8; page++)
		cr_assert(object_get(o, page) & SWB_VALID, "page %u is lost",
			  (unsigned int)page);
	for (; object_next(o, at, &at, &word); at++) {
		uint64_t block = drum_block_of(word & DRUM_ADDR_MASK), number;

		cr_assert_not(owned[block], "block %u has two owners", (unsigned int)block);
		owned[block] = true;
		if (!(word & SWB_VALID))
			continue;
		cr_assert_not(f->inflight[block], "it is not written yet");
		number = number_of(f->data + block * SWAP_BLOCK);
		cr_assert(number == 101 + at || (at < 8 && number == 1 + at));
	}
	object_close(o);
}

Test(pager, writes_may_be_cut_off_anywhere, LIMIT)
{
	char *buf = pages_of_memory(24);
	unsigned int n;

	for (uint64_t i = 0; i < 24; i++)
		stamp(buf + i * SWAP_BLOCK, 101 + i);
	set_out(&crashing, 100, 3, 64, 0);
	write_pages(&crashing, 0, 8, 1);
	cr_assert_eq(object_reserve(crashing.o, crashing.d, 8, 8), 0);
	crashing.f[0]->write_err[20] = -EIO;
	crashing.f[0]->brief = true;
	n = crash_everywhere(do_writes, &crashing.fd, 1, look_at_writes, buf);
	cr_assert_geq(n, 40, "%u states", n);
	clear_away(&crashing);
	free(buf);
}
