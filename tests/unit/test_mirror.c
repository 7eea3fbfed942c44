/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mirror, of two halves that fail as a test says (fake_half.h, fakes); its
 * sums are in a real file.  The property test is in stress/mirror_property.c.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/point.h"
#include "swap/device_mirror.h"
#include "unit/fake_half.h"

#define LIMIT  .timeout = 30
#define BLOCKS 64

struct rig {
	struct ring *ring;
	int sums_fd;
	struct disk *disk[3];
	struct fake *half[2];
	struct swap_device *m;
	struct swap_listener l;
	int lost, whole, errors, offline;
	struct swap_device *error_of;
	int error;
};

struct job {
	struct swap_io io;
	int err;
	bool done;
	uint8_t data[16 * SWAP_BLOCK];
};

static void on_event(void *arg, struct swap_device *dev, enum swap_event event, int err,
		     const char *text)
{
	struct rig *g = arg;

	cr_assert_gt(strlen(text), 0);
	g->lost += event == SWAP_EVENT_MIRROR_LOST;
	g->whole += event == SWAP_EVENT_MIRROR_WHOLE;
	g->errors += event == SWAP_EVENT_ERROR;
	g->offline += event == SWAP_EVENT_OFFLINE;
	if (event == SWAP_EVENT_ERROR) {
		g->error_of = dev;
		g->error = err;
	}
}

static void open_mirror(struct rig *g, struct fake *a, struct fake *b)
{
	struct swap_device *half[2] = { a ? &a->base : NULL, b ? &b->base : NULL };
	struct err e = { 0 };
	struct sums *s = sums_open(dup(g->sums_fd), BLOCKS, &e);

	cr_assert_not_null(s, "%s", e.text);
	g->half[0] = a;
	g->half[1] = b;
	g->m = device_mirror_create("mirror", half, s, &g->l, &e);
	cr_assert_not_null(g->m, "%s", e.text);
}

static struct rig *make(void)
{
	struct rig *g = calloc(1, sizeof(*g));

	cr_assert_not_null(g);
	g->ring = ring_create(64);
	cr_assert_not_null(g->ring);
	g->sums_fd = memfd_create("sums", MFD_CLOEXEC);
	g->l = (struct swap_listener){ .event = on_event, .arg = g };
	for (unsigned int i = 0; i < 3; i++)
		g->disk[i] = disk_new(i + 1, BLOCKS);
	open_mirror(g, fake_new(g->disk[0]), fake_new(g->disk[1]));
	return g;
}

static void end(struct rig *g)
{
	point_clear_all();
	device_close(g->m);
	ring_destroy(g->ring);
	close(g->sums_fd);
	for (unsigned int i = 0; i < 3; i++)
		disk_free(g->disk[i]);
	free(g);
}

static void on_done(struct swap_io *io, int err)
{
	struct job *j = (struct job *)io;

	cr_assert(!j->done, "told twice");
	j->err = err;
	j->done = true;
}

static uint8_t byte_of(uint64_t block, unsigned int version)
{
	return (uint8_t)(block * 7 + version * 31 + 1);
}

static void fill(struct job *j, uint64_t block, uint32_t n, unsigned int version)
{
	for (uint32_t i = 0; i < n; i++)
		memset(j->data + i * SWAP_BLOCK, byte_of(block + i, version), SWAP_BLOCK);
}

static bool is_filled(const uint8_t *data, uint64_t block, uint32_t n, unsigned int version)
{
	for (uint32_t i = 0; i < n * SWAP_BLOCK; i++)
		if (data[i] != byte_of(block + i / SWAP_BLOCK, version))
			return false;
	return true;
}

/* In vectors that are not those of the legs: of one and of two blocks, in turn. */
static void submit(struct rig *g, struct job *j, bool write, uint64_t block, uint32_t n)
{
	j->io.done = on_done;
	j->io.write = write;
	j->io.niov = 0;
	j->done = false;
	for (uint32_t i = 0, len; i < n; i += len) {
		len = j->io.niov % 2 && i + 1 < n ? 2 : 1;
		j->io.iov[j->io.niov++] =
			(struct iovec){ j->data + i * SWAP_BLOCK, len * SWAP_BLOCK };
	}
	device_submit(g->m, g->ring, &j->io, block);
}

static void run_until_done(struct rig *g, const struct job *j)
{
	while (!j->done)
		cr_assert_geq(ring_run(g->ring, UINT64_MAX), 0);
}

static int do_write(struct rig *g, uint64_t block, uint32_t n, unsigned int version)
{
	struct job *j = calloc(1, sizeof(*j));
	int err;

	fill(j, block, n, version);
	submit(g, j, true, block, n);
	run_until_done(g, j);
	err = j->err;
	free(j);
	return err;
}

/* => 0 if the data is right, or -errno */
static int do_read(struct rig *g, uint64_t block, uint32_t n, unsigned int version)
{
	struct job *j = calloc(1, sizeof(*j));
	int err;

	submit(g, j, false, block, n);
	run_until_done(g, j);
	err = j->err;
	if (err == 0)
		cr_assert(is_filled(j->data, block, n, version), "wrong data of block %llu",
			  (unsigned long long)block);
	free(j);
	return err;
}

static bool holds(const struct disk *d, uint64_t block, unsigned int version)
{
	return is_filled(d->data + block * SWAP_BLOCK, block, 1, version);
}

/* Which halves does the file say hold it? */
static unsigned int bits(struct rig *g, uint64_t block)
{
	struct err e;
	struct sums *s = sums_open(dup(g->sums_fd), BLOCKS, &e);
	unsigned int n;

	cr_assert_not_null(s);
	n = sums_halves(s, block);
	sums_close(s);
	return n;
}

static struct mirror_half_stats stats(struct rig *g, unsigned int k)
{
	struct mirror_half_stats st;

	device_mirror_half(g->m, k, &st);
	return st;
}

/* As the owners do: what moves is read, and written anew to another block. */
static void move_all(struct rig *g, uint64_t from, uint64_t n, uint64_t to,
		     unsigned int version)
{
	for (uint64_t b = from; b < from + n; b++, to++) {
		struct job *j;

		if (!g->m->moving || !g->m->ops->moves(g->m, b))
			continue;
		j = calloc(1, sizeof(*j));
		submit(g, j, false, b, 1);
		run_until_done(g, j);
		cr_assert_eq(j->err, 0);
		cr_assert(is_filled(j->data, b, 1, version));
		/* the block's own content is what tests look for */
		fill(j, to, 1, version);
		submit(g, j, true, to, 1);
		run_until_done(g, j);
		cr_assert_eq(j->err, 0);
		free(j);
		g->m->ops->freed(g->m, b, 1);
	}
}

static struct fake *reopen(struct rig *g, struct fake *a, struct fake *b)
{
	device_close(g->m);
	open_mirror(g, a, b);
	return a;
}

static void claim(struct rig *g, uint64_t block, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		g->m->ops->claimed(g->m, block + i);
}

/* --- both well ------------------------------------------------------------------------- */

Test(mirror, both_are_written_one_is_read, LIMIT)
{
	struct rig *g = make();

	cr_assert_eq(do_write(g, 3, 16, 1), 0);
	for (uint64_t b = 3; b < 19; b++) {
		cr_assert(holds(g->disk[0], b, 1) && holds(g->disk[1], b, 1));
		cr_assert_eq(bits(g, b), 3);
	}
	for (int i = 0; i < 10; i++)
		cr_assert_eq(do_read(g, 3 + (unsigned int)i, 5, 1), 0);
	cr_assert_eq(g->half[0]->reads + g->half[1]->reads, 10);
	cr_assert_eq(g->half[0]->reads, 5, "in turn");
	cr_assert_eq(g->m->count.reads, 10);
	cr_assert_eq(g->m->count.inflight, 0);
	cr_assert_eq(g->half[0]->base.count.inflight, 0);
	cr_assert(!g->m->moving);
	cr_assert_eq(g->lost + g->whole + g->errors, 0);
	end(g);
}

Test(mirror, as_large_as_the_smaller_half, LIMIT)
{
	struct rig *g = make();
	struct disk *large = disk_new(9, 2 * BLOCKS);

	reopen(g, fake_new(large), fake_new(g->disk[1]));
	cr_assert_eq(g->m->blocks, BLOCKS);
	/* and stays so when the smaller is not there to be asked */
	reopen(g, fake_new(large), NULL);
	cr_assert_eq(g->m->blocks, BLOCKS);
	end(g);
	disk_free(large);
}

Test(mirror, grows_with_both, LIMIT)
{
	struct rig *g = make();
	struct disk *a = disk_new(8, 4 * BLOCKS), *b = disk_new(9, 4 * BLOCKS);

	a->blocks = b->blocks = BLOCKS;
	reopen(g, fake_new(a), fake_new(b));
	cr_assert_eq(do_write(g, BLOCKS - 1, 1, 1), 0);
	a->blocks = b->blocks = 4 * BLOCKS;
	cr_assert_eq(g->m->ops->grow(g->m, (uint64_t)4 * BLOCKS * SWAP_BLOCK), 4 * BLOCKS);
	cr_assert_eq(do_write(g, 4 * BLOCKS - 1, 1, 1), 0);
	cr_assert_eq(do_read(g, 4 * BLOCKS - 1, 1, 1), 0);
	cr_assert_eq(do_read(g, BLOCKS - 1, 1, 1), 0);
	reopen(g, fake_new(a), NULL);
	cr_assert_eq(g->m->blocks, 4 * BLOCKS);
	cr_assert_eq(do_read(g, 4 * BLOCKS - 1, 1, 1), 0);
	cr_assert_eq(g->m->ops->grow(g->m, (uint64_t)8 * BLOCKS * SWAP_BLOCK), -ENODEV);
	end(g);
	disk_free(a);
	disk_free(b);
}

Test(mirror, has_both_identities, LIMIT)
{
	struct rig *g = make();
	struct swap_device *twice[2] = { &fake_new(g->disk[0])->base,
					 &fake_new(g->disk[0])->base };
	struct err e = { 0 };

	cr_assert(device_is(g->m, 1, 1) && device_is(g->m, 1, 2));
	cr_assert(!device_is(g->m, 1, 3) && !device_is(g->m, 2, 1));
	cr_assert_null(device_mirror_create(
		"mirror", twice, sums_open(memfd_create("s", MFD_CLOEXEC), BLOCKS, &e), NULL,
		&e));
	cr_assert_eq(e.code, -EINVAL);
	reopen(g, fake_new(g->disk[0]), NULL);
	cr_assert(device_is(g->m, 1, 2), "the missing one is nobody else's");
	end(g);
}

/* --- writes that fail ------------------------------------------------------------------- */

Test(mirror, one_half_fails_a_write, LIMIT)
{
	struct rig *g = make();

	cr_assert_eq(do_write(g, 0, 4, 1), 0);
	g->half[1]->write_err = -EIO;
	cr_assert_eq(do_write(g, 4, 4, 1), 0, "the other has it");
	cr_assert_eq(g->lost, 1);
	cr_assert_eq(g->errors, 1);
	cr_assert_eq(g->error_of, &g->half[1]->base, "told with the half's own path");
	cr_assert_eq(stats(g, 1).state, MIRROR_LOST);
	cr_assert_eq(stats(g, 1).lacking, 4);
	cr_assert_eq(stats(g, 0).only, 4);

	cr_assert_eq(do_write(g, 8, 4, 1), 0);
	cr_assert_eq(g->half[1]->writes, 2, "no more writes are tried there");
	cr_assert_eq(g->lost, 1, "told once");
	for (uint64_t b = 0; b < 12; b++)
		cr_assert_eq(bits(g, b), b < 4 ? 3 : 1);
	for (uint64_t b = 0; b < 12; b++)
		cr_assert_eq(do_read(g, b, 1, 1), 0);
	cr_assert_eq(do_read(g, 0, 12, 1), 0);
	cr_assert_eq(g->half[1]->reads, 0, "nor is it read without need");
	cr_assert(!g->m->moving, "there is nothing to fill");
	cr_assert(!g->m->suspended);
	end(g);
}

Test(mirror, a_block_rewritten_while_a_half_is_lost_is_not_believed_there, LIMIT)
{
	struct rig *g = make();

	cr_assert_eq(do_write(g, 0, 4, 1), 0);
	g->half[0]->write_err = -EIO;
	g->m->ops->freed(g->m, 0, 4);
	cr_assert_eq(bits(g, 0), 0);
	cr_assert_eq(do_write(g, 0, 4, 2), 0);
	/* the old half, well again, with the old data or torn */
	reopen(g, fake_new(g->disk[0]), fake_new(g->disk[1]));
	claim(g, 0, 4);
	for (int i = 0; i < 4; i++)
		cr_assert_eq(do_read(g, 0, 4, 2), 0);
	cr_assert_eq(g->half[0]->reads, 0);
	cr_assert(g->m->moving && g->m->ops->moves(g->m, 0));
	move_all(g, 0, 4, 10, 2);
	cr_assert(!g->m->moving);
	cr_assert_eq(g->whole, 1);
	cr_assert_eq(bits(g, 10), 3);
	end(g);
}

Test(mirror, both_fail_a_write, LIMIT)
{
	struct rig *g = make();

	g->half[0]->write_err = g->half[1]->write_err = -EIO;
	cr_assert_eq(do_write(g, 0, 4, 1), -EIO);
	cr_assert_eq(g->lost, 0, "it is the block's fault, and the owner's to know");
	for (uint64_t b = 0; b < 4; b++)
		cr_assert_eq(bits(g, b), 0);
	cr_assert_eq(do_read(g, 0, 1, 1), -EIO, "nothing is there");
	g->half[0]->write_err = g->half[1]->write_err = 0;
	cr_assert_eq(do_write(g, 0, 4, 1), 0);
	cr_assert_eq(do_read(g, 0, 4, 1), 0);

	/* what was there before is void: half of it may be gone */
	g->half[0]->write_err = g->half[1]->write_err = -EIO;
	cr_assert_eq(do_write(g, 0, 4, 2), -EIO);
	cr_assert_eq(bits(g, 0), 0);
	end(g);
}

Test(mirror, the_last_half_is_not_lost, LIMIT)
{
	struct rig *g = make();

	g->half[0]->write_err = -EIO;
	cr_assert_eq(do_write(g, 0, 1, 1), 0);
	g->half[1]->write_err = -EIO;
	cr_assert_eq(do_write(g, 1, 1, 1), -EIO);
	g->half[1]->write_err = 0;
	cr_assert_eq(do_write(g, 2, 1, 1), 0);
	cr_assert_eq(do_read(g, 2, 1, 1), 0);
	cr_assert_eq(g->lost, 1);
	end(g);
}

/* Two writes under way, each of which fails on another half. */
Test(mirror, crossed_failures_leave_one_half, LIMIT)
{
	struct rig *g = make();
	struct job *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));

	g->half[0]->hold = g->half[1]->hold = true;
	fill(a, 0, 1, 1);
	fill(b, 1, 1, 1);
	submit(g, a, true, 0, 1);
	submit(g, b, true, 1, 1);
	g->half[0]->write_err = -EIO;
	fake_let_go(g->half[0], 0); /* of a */
	g->half[0]->write_err = 0;
	fake_let_go(g->half[0], 0);
	fake_let_go(g->half[1], 0);
	g->half[1]->write_err = -EIO;
	fake_let_go(g->half[1], 0); /* of b */
	run_until_done(g, a);
	run_until_done(g, b);
	cr_assert_eq(a->err, 0);
	cr_assert_eq(b->err, 0);
	cr_assert_eq(g->lost, 1);
	cr_assert(!g->m->suspended);
	g->half[0]->hold = g->half[1]->hold = false;
	cr_assert_eq(do_read(g, 0, 2, 1), 0, "each from the half that has it");
	free(a);
	free(b);
	end(g);
}

Test(mirror, no_memory_for_what_is_known, LIMIT)
{
	struct rig *g = make();

	point_set("sums-memory", -ENOSPC, 0, 1, 0);
	cr_assert_eq(do_write(g, 0, 4, 1), -ENOMEM, "no block is bad for it");
	cr_assert_eq(g->half[0]->writes + g->half[1]->writes, 0);
	point_clear_all();
	cr_assert_eq(do_write(g, 0, 4, 1), 0);
	cr_assert_eq(do_read(g, 0, 4, 1), 0);
	end(g);
}

Test(mirror, memory_that_vanished, LIMIT)
{
	struct rig *g = make();
	struct job *j = calloc(1, sizeof(*j));
	int fd = memfd_create("hole", MFD_CLOEXEC);
	void *gone;

	cr_assert_eq(ftruncate(fd, SWAP_BLOCK), 0);
	gone = mmap(NULL, SWAP_BLOCK, PROT_READ, MAP_SHARED, fd, 0);
	cr_assert_neq(gone, MAP_FAILED);
	cr_assert_eq(ftruncate(fd, 0), 0);
	submit(g, j, true, 0, 1);
	run_until_done(g, j);
	j->done = false;
	j->io.iov[0].iov_base = gone;
	device_submit(g->m, g->ring, &j->io, 0);
	run_until_done(g, j);
	cr_assert_eq(j->err, -EFAULT);

	/* and if only the device notices */
	g->half[0]->write_err = -EFAULT;
	cr_assert_eq(do_write(g, 1, 1, 1), -EFAULT);
	cr_assert_eq(g->lost, 0, "not the half's fault");
	cr_assert_eq(bits(g, 1), 0);
	munmap(gone, SWAP_BLOCK);
	close(fd);
	free(j);
	end(g);
}

/* --- reads that fail ---------------------------------------------------------------------- */

Test(mirror, one_half_fails_reads, LIMIT)
{
	struct rig *g = make();

	cr_assert_eq(do_write(g, 0, 16, 1), 0);
	g->half[0]->read_err = -EIO;
	for (uint64_t b = 0; b < 16; b++)
		cr_assert_eq(do_read(g, b, 1, 1), 0);
	cr_assert_eq(g->m->count.read_errors, 0);
	cr_assert_eq(g->half[0]->base.count.read_errors, 1, "then it was avoided");
	cr_assert(g->m->moving, "what it could not give is moved");
	cr_assert_eq(stats(g, 0).lacking, 1);
	cr_assert_eq(g->lost, 0);
	end(g);
}

/* Block 2 is bad on one half, block 9 on the other: each can be read, somewhere. */
Test(mirror, a_run_bad_on_both_is_read_block_by_block, LIMIT)
{
	struct rig *g = make();

	cr_assert_eq(do_write(g, 0, 16, 1), 0);
	g->half[0]->read_err = g->half[1]->read_err = -EIO;
	g->half[0]->bad_block = 2;
	g->half[1]->bad_block = 9;
	for (int i = 0; i < 4; i++)
		cr_assert_eq(do_read(g, 0, 16, 1), 0);
	g->half[1]->bad_block = 2;
	g->half[0]->bad_block = 3;
	cr_assert_eq(do_read(g, 3, 1, 1), 0);
	end(g);
}

Test(mirror, both_fail_a_read, LIMIT)
{
	struct rig *g = make();

	cr_assert_eq(do_write(g, 0, 8, 1), 0);
	g->half[0]->read_err = g->half[1]->read_err = -EIO;
	cr_assert_eq(do_read(g, 0, 8, 1), -EIO);
	cr_assert_eq(do_read(g, 5, 1, 1), -EIO);
	g->half[0]->read_err = g->half[1]->read_err = 0;
	cr_assert_eq(do_read(g, 0, 8, 1), 0, "no copy was given up for it");
	for (uint64_t b = 0; b < 8; b++)
		cr_assert_eq(bits(g, b), 3);
	end(g);
}

Test(mirror, wrong_checksum_on_one_half, LIMIT)
{
	struct rig *g = make();

	cr_assert_eq(do_write(g, 0, 16, 1), 0);
	g->disk[0]->data[5 * SWAP_BLOCK + 77] ^= 1;
	g->disk[1]->data[6 * SWAP_BLOCK + 78] ^= 1;
	for (int i = 0; i < 4; i++)
		cr_assert_eq(do_read(g, 0, 16, 1), 0);
	cr_assert_eq(bits(g, 5), 2);
	cr_assert_eq(bits(g, 6), 1);
	cr_assert_eq(bits(g, 4), 3);
	cr_assert_eq(bits(g, 7), 3);
	cr_assert_eq(g->m->count.checksum_errors, 2);
	cr_assert_eq(g->m->count.read_errors, 0);
	cr_assert_eq(g->error, -EILSEQ);
	cr_assert(g->m->moving);
	move_all(g, 0, 16, 30, 1);
	cr_assert(!g->m->moving);
	cr_assert_eq(g->whole, 0, "it was never told that it was not");
	cr_assert_eq(do_read(g, 35, 2, 1), 0);
	end(g);
}

Test(mirror, wrong_checksum_on_both, LIMIT)
{
	struct rig *g = make();

	cr_assert_eq(do_write(g, 0, 8, 1), 0);
	g->disk[0]->data[5 * SWAP_BLOCK] ^= 1;
	g->disk[1]->data[5 * SWAP_BLOCK + 4095] ^= 1;
	cr_assert_eq(do_read(g, 0, 8, 1), -EILSEQ);
	cr_assert_eq(do_read(g, 0, 5, 1), 0);
	cr_assert_eq(do_read(g, 6, 2, 1), 0);
	end(g);
}

/* --- halves come and go ----------------------------------------------------------------------
 */

Test(mirror, replaced_and_refilled, LIMIT)
{
	struct rig *g = make();
	struct swap_device *old;
	struct fake *fresh = fake_new(g->disk[2]);
	struct err e = { 0 };

	cr_assert_eq(do_write(g, 0, 16, 1), 0);
	cr_assert_eq(device_mirror_replace(g->m, &fresh->base, false, &old, &e), -EBUSY);
	g->half[0]->write_err = -EIO;
	cr_assert_eq(do_write(g, 16, 4, 1), 0);
	cr_assert_eq(device_mirror_replace(g->m, &fresh->base, false, &old, &e), 0, "%s",
		     e.text);
	cr_assert_eq(old, &g->half[0]->base);
	cr_assert_eq(old->count.inflight, 0);
	device_close(old);
	g->half[0] = fresh;
	cr_assert_eq(stats(g, 0).state, MIRROR_GOOD);
	cr_assert_eq(stats(g, 0).lacking, 20);
	cr_assert(g->m->moving);
	cr_assert_eq(do_read(g, 0, 16, 1), 0);
	cr_assert_eq(fresh->reads, 0, "it has nothing yet");
	cr_assert_eq(g->whole, 0);

	move_all(g, 0, 20, 30, 1);
	cr_assert_eq(g->whole, 1);
	cr_assert(!g->m->moving);
	cr_assert_eq(stats(g, 0).lacking, 0);
	for (uint64_t b = 30; b < 50; b++)
		cr_assert(holds(g->disk[2], b, 1));
	/* the fresh one alone has all of it */
	reopen(g, NULL, fake_new(g->disk[2]));
	claim(g, 30, 20);
	cr_assert_eq(do_read(g, 34, 16, 1), 0);
	end(g);
}

Test(mirror, what_is_refused_for_a_half, LIMIT)
{
	struct rig *g = make();
	struct disk *small = disk_new(7, BLOCKS - 1);
	struct fake *f = fake_new(small), *same = fake_new(g->disk[1]),
		    *fresh = fake_new(g->disk[2]);
	struct swap_device *old;
	struct err e = { 0 };

	cr_assert_eq(do_write(g, 0, 2, 1), 0);
	g->half[0]->write_err = -EIO;
	cr_assert_eq(do_write(g, 2, 1, 1), 0);
	cr_assert_eq(device_mirror_replace(g->m, &f->base, false, &old, &e), -ENOSPC);
	cr_assert_eq(device_mirror_replace(g->m, &same->base, false, &old, &e), -EEXIST);

	/* what the good half cannot give is only on the lost one then */
	g->disk[1]->data[0] ^= 1;
	cr_assert_eq(do_read(g, 0, 1, 1), 0, "the lost half has it");
	cr_assert_eq(bits(g, 0), 1);
	cr_assert_eq(device_mirror_replace(g->m, &fresh->base, false, &old, &e), -ENODATA);
	cr_assert_eq(do_read(g, 0, 1, 1), 0, "nothing has changed");
	cr_assert_eq(device_mirror_replace(g->m, &fresh->base, true, &old, &e), 0);
	device_close(old);
	cr_assert_eq(do_read(g, 0, 1, 1), -EIO);
	cr_assert_eq(do_read(g, 1, 2, 1), 0);
	device_close(&f->base);
	device_close(&same->base);
	end(g);
	disk_free(small);
}

Test(mirror, replaced_while_its_io_is_under_way, LIMIT)
{
	struct rig *g = make();
	struct job *w = calloc(1, sizeof(*w)), *r = calloc(1, sizeof(*r));
	struct fake *fresh = fake_new(g->disk[2]);
	struct swap_device *old;
	struct err e;

	cr_assert_eq(do_write(g, 0, 8, 1), 0);
	g->half[1]->hold = true;
	fill(w, 8, 4, 1);
	submit(g, w, true, 8, 4);
	submit(g, r, false, 0, 8); /* half 0 is not busier, but it may be any */
	g->half[1]->base.suspended = true;
	device_tell(&g->half[1]->base, SWAP_EVENT_OFFLINE, -ENOTCONN, "gone");
	cr_assert_eq(g->lost, 1);
	cr_assert_eq(device_mirror_replace(g->m, &fresh->base, false, &old, &e), 1);
	cr_assert_gt(old->count.inflight, 0);
	while (g->half[1]->nheld > 0)
		fake_let_go(g->half[1], 0);
	run_until_done(g, w);
	run_until_done(g, r);
	cr_assert_eq(w->err, 0);
	cr_assert_eq(r->err, 0);
	cr_assert(is_filled(r->data, 0, 8, 1));
	cr_assert_eq(bits(g, 8), 1, "the old device took it, not the new one");
	cr_assert_eq(old->count.inflight, 0);
	device_close(old);
	g->half[1] = fresh;
	move_all(g, 0, 12, 20, 1);
	cr_assert_eq(g->whole, 1);
	free(w);
	free(r);
	end(g);
}

static void tell(struct fake *f, enum swap_event event)
{
	f->base.suspended = event == SWAP_EVENT_OFFLINE;
	f->read_err = f->write_err = f->base.suspended ? -ENOTCONN : 0;
	device_tell(&f->base, event, f->base.suspended ? -ENOTCONN : 0, "it says so");
}

Test(mirror, offline_and_back, LIMIT)
{
	struct rig *g = make();

	cr_assert_eq(do_write(g, 0, 8, 1), 0);
	tell(g->half[0], SWAP_EVENT_OFFLINE);
	cr_assert_eq(g->offline, 1, "passed on");
	cr_assert_eq(g->lost, 1);
	cr_assert_eq(stats(g, 0).state, MIRROR_AWAY);
	cr_assert_eq(do_write(g, 8, 4, 1), 0);
	cr_assert_eq(do_read(g, 0, 12, 1), 0);
	cr_assert_eq(g->errors, 0);
	cr_assert(!g->m->moving);
	tell(g->half[0], SWAP_EVENT_ONLINE);
	cr_assert_eq(g->whole, 0);
	cr_assert(g->m->moving);
	cr_assert(!g->m->ops->moves(g->m, 0), "it still holds these");
	cr_assert(g->m->ops->moves(g->m, 8));

	/* now the half that alone has 8 to 11 goes */
	tell(g->half[1], SWAP_EVENT_OFFLINE);
	cr_assert_eq(do_read(g, 0, 8, 1), 0);
	cr_assert_eq(do_read(g, 4, 8, 1), -ENOTCONN, "it may be had later");
	cr_assert(!g->m->moving);
	tell(g->half[1], SWAP_EVENT_ONLINE);
	cr_assert_eq(do_read(g, 4, 8, 1), 0);
	move_all(g, 0, 12, 20, 1);
	cr_assert_eq(g->whole, 1);
	cr_assert_eq(g->lost, 2);
	end(g);
}

/* It cannot be reached, and has not said so yet. */
Test(mirror, unreachable_is_not_wrong, LIMIT)
{
	struct rig *g = make();

	cr_assert_eq(do_write(g, 0, 4, 1), 0);
	g->half[0]->read_err = g->half[0]->write_err = -ENOTCONN;
	cr_assert_eq(do_read(g, 0, 4, 1), 0);
	cr_assert_eq(do_read(g, 0, 4, 1), 0);
	cr_assert_eq(bits(g, 0), 3, "it holds what it held");
	cr_assert_eq(do_write(g, 4, 4, 1), 0);
	cr_assert_eq(bits(g, 4), 2);
	cr_assert_eq(g->lost, 0);
	g->half[1]->read_err = -EIO;
	cr_assert_eq(do_read(g, 0, 4, 1), -ENOTCONN, "it may be had later");
	g->half[0]->read_err = -EIO;
	g->half[1]->read_err = -ENOTCONN;
	cr_assert_eq(do_read(g, 0, 4, 1), -ENOTCONN, "whichever was asked last");
	end(g);
}

/* As a device that was not connected yet when it became a half. */
Test(mirror, away_from_the_start_and_back_without_a_word, LIMIT)
{
	struct rig *g = make();
	struct fake *late = fake_new(g->disk[1]);

	cr_assert_eq(do_write(g, 0, 4, 1), 0);
	late->base.suspended = true;
	reopen(g, fake_new(g->disk[0]), late);
	claim(g, 0, 4);
	cr_assert(late->base.is_half);
	cr_assert_eq(stats(g, 1).state, MIRROR_AWAY);
	cr_assert_eq(do_write(g, 4, 4, 1), 0);
	cr_assert_eq(late->writes, 0);
	late->base.suspended = false;
	cr_assert_eq(do_write(g, 8, 4, 1), 0);
	cr_assert_eq(late->writes, 1);
	cr_assert(g->m->moving);
	cr_assert_eq(stats(g, 1).lacking, 4);
	cr_assert_eq(g->lost, 0, "whoever opened it knows");
	/* and away, before it says so */
	late->base.suspended = true;
	cr_assert_eq(do_write(g, 12, 4, 1), 0);
	cr_assert_eq(late->writes, 1);
	cr_assert_eq(g->lost, 1);
	tell(late, SWAP_EVENT_OFFLINE);
	cr_assert_eq(g->lost, 1);
	end(g);
}

Test(mirror, both_away, LIMIT)
{
	struct rig *g = make();

	cr_assert_eq(do_write(g, 0, 4, 1), 0);
	tell(g->half[0], SWAP_EVENT_OFFLINE);
	cr_assert(!g->m->suspended);
	tell(g->half[1], SWAP_EVENT_OFFLINE);
	cr_assert(g->m->suspended, "nothing is to be allocated");
	cr_assert_eq(do_read(g, 0, 4, 1), -ENOTCONN);
	cr_assert_eq(do_write(g, 4, 4, 1), -ENOTCONN);
	tell(g->half[1], SWAP_EVENT_ONLINE);
	cr_assert(!g->m->suspended);
	cr_assert_eq(do_read(g, 0, 4, 1), 0);
	end(g);
}

Test(mirror, missing_at_a_restart_and_found_again, LIMIT)
{
	struct rig *g = make();
	struct fake *found = fake_new(g->disk[1]);
	struct swap_device *old;
	struct err e;

	cr_assert_eq(do_write(g, 0, 8, 1), 0);
	reopen(g, fake_new(g->disk[0]), NULL);
	claim(g, 0, 8);
	cr_assert_eq(stats(g, 1).state, MIRROR_MISSING);
	cr_assert_null(stats(g, 1).path);
	cr_assert_eq(do_write(g, 8, 4, 1), 0);
	cr_assert_eq(do_read(g, 0, 12, 1), 0);
	cr_assert_eq(device_mirror_replace(g->m, &found->base, false, &old, &e), 1);
	cr_assert_null(old);
	cr_assert_eq(stats(g, 1).lacking, 4, "it still holds what it held");
	move_all(g, 0, 12, 20, 1);
	cr_assert_eq(g->whole, 1);
	end(g);
}

/* Its bits are those of the device, whatever place it is given in. */
Test(mirror, halves_in_the_other_order, LIMIT)
{
	struct rig *g = make();

	g->half[0]->write_err = -EIO;
	cr_assert_eq(do_write(g, 0, 8, 1), 0);
	reopen(g, fake_new(g->disk[1]), fake_new(g->disk[0]));
	claim(g, 0, 8);
	for (int i = 0; i < 4; i++)
		cr_assert_eq(do_read(g, 0, 8, 1), 0);
	reopen(g, fake_new(g->disk[0]), NULL);
	claim(g, 0, 8);
	cr_assert_eq(do_read(g, 0, 8, 1), -ENOTCONN, "only the missing one has it");
	reopen(g, fake_new(g->disk[1]), NULL);
	claim(g, 0, 8);
	cr_assert_eq(do_read(g, 0, 8, 1), 0);
	end(g);
}

Test(mirror, another_device_in_the_place_of_a_half, LIMIT)
{
	struct rig *g = make();

	cr_assert_eq(do_write(g, 0, 8, 1), 0);
	reopen(g, fake_new(g->disk[0]), fake_new(g->disk[2]));
	claim(g, 0, 8);
	cr_assert_eq(stats(g, 1).lacking, 8);
	for (int i = 0; i < 4; i++)
		cr_assert_eq(do_read(g, 0, 8, 1), 0);
	/* and the first one has no rights from before */
	reopen(g, fake_new(g->disk[1]), fake_new(g->disk[2]));
	claim(g, 0, 8);
	cr_assert_eq(do_read(g, 0, 8, 1), -EIO);
	end(g);
}

/* Bits that are left on blocks that nobody owns any more count for nothing. */
Test(mirror, blocks_that_nobody_claims, LIMIT)
{
	struct rig *g = make();

	g->half[0]->write_err = -EIO;
	cr_assert_eq(do_write(g, 0, 16, 1), 0);
	reopen(g, fake_new(g->disk[0]), fake_new(g->disk[1]));
	cr_assert(!g->m->moving);
	claim(g, 4, 1);
	cr_assert_eq(stats(g, 0).lacking, 1);
	cr_assert_eq(do_write(g, 0, 4, 2), 0);
	cr_assert_eq(stats(g, 0).lacking, 1);
	g->m->ops->freed(g->m, 8, 4);
	cr_assert_eq(stats(g, 0).lacking, 1);
	g->m->ops->freed(g->m, 4, 1);
	cr_assert_eq(stats(g, 0).lacking, 0);
	cr_assert_eq(g->whole, 1);
	end(g);
}

/* --- many ------------------------------------------------------------------------------------
 */

/* More at a time than there are requests: in order, and all of them. */
Test(mirror, more_io_than_requests, LIMIT)
{
	enum { MANY = 200 };
	struct rig *g = make();
	struct job *j = calloc(MANY, sizeof(*j));
	int last = -1;

	g->half[0]->hold = g->half[1]->hold = true;
	for (unsigned int i = 0; i < MANY; i++) {
		fill(&j[i], i % BLOCKS, 1, 1);
		submit(g, &j[i], true, i % BLOCKS, 1);
	}
	cr_assert_eq(g->half[0]->nheld, 64);
	for (unsigned int i = 0; i < MANY; i++) {
		fake_let_go(g->half[1], 0);
		fake_let_go(g->half[0], 0);
		run_until_done(g, &j[i]);
		cr_assert_eq(j[i].err, 0);
		for (int k = last + 1; k <= (int)i; k++)
			cr_assert(j[k].done);
		last = (int)i;
		/* what waited has to come before the next is let go */
		while (g->half[0]->nheld == 0 && i + 1 < MANY)
			cr_assert_geq(ring_run(g->ring, UINT64_MAX), 0);
	}
	cr_assert_eq(g->half[0]->most, 64, "bounded");
	free(j);
	end(g);
}
