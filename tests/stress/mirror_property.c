/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A mirror against a naive array: random writes, reads, frees, and moves of what
 * is to be moved, several at a time and their legs done in any order; halves that
 * fail, rot, go away, come back, are replaced; restarts, and deaths in the
 * middle of anything.  Not one byte may be other than what was written.
 *
 *	mirror_property [STEPS [SEED]]
 *
 * At all times, whatever the mirror's file says that a half holds, it does hold.
 * Never are all copies of a block broken by the test, so each read must end well
 * as soon as nothing fails any more.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "swap/device_mirror.h"
#include "unit/fake_half.h"

#define BLOCKS 48
#define RUN    8
#define JOBS   6
#define DISKS  2
#define WORDS  (SWAP_BLOCK / sizeof(uint64_t))

#define need(cond)                                                                             \
	do {                                                                                   \
		if (!(cond)) {                                                                 \
			fprintf(stderr, "%s:%d: %s, in step %llu\n", __FILE__, __LINE__,       \
				#cond, (unsigned long long)step);                              \
			abort();                                                               \
		}                                                                              \
	} while (0)

struct job {
	struct swap_io io;
	bool busy;
	bool faults; /* something was failing while it was under way */
	uint64_t block, n;
	uint64_t to; /* a move: where it is written to, else BLOCKS */
	uint64_t content[RUN];
	uint64_t data[RUN * WORDS];
};

static uint64_t step, seed = 1;
static struct ring *ring;
static int sums_fd;
static struct disk *disk[DISKS];
static struct fake *half[2]; /* which is at disk[k]; NULL: missing */
static struct swap_device *mirror, *retired[4];
static struct job job[JOBS];
static uint64_t content[BLOCKS]; /* 0: free */
static bool busy[BLOCKS];
static uint64_t rotten[DISKS][BLOCKS]; /* this content has rotted there */
static uint64_t next_content = 1, next_ino = 1;
static uint64_t lost, whole, wrong;
static uint64_t did[16];

static uint64_t rnd(uint64_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed >> 11) % n;
}

static void on_event(void *arg, struct swap_device *dev, enum swap_event event, int err,
		     const char *text)
{
	(void)arg, (void)dev, (void)text;
	lost += event == SWAP_EVENT_MIRROR_LOST;
	whole += event == SWAP_EVENT_MIRROR_WHOLE;
	wrong += event == SWAP_EVENT_ERROR && err == -EILSEQ;
}

static const struct swap_listener listener = { .event = on_event };

static void make_data(uint64_t *data, uint64_t what)
{
	for (uint64_t i = 0; i < WORDS; i++)
		data[i] = what * UINT64_C(0x9e3779b97f4a7c15) ^ i;
}

static bool is_data(const void *data, uint64_t what)
{
	const uint64_t *w = data;

	for (uint64_t i = 0; i < WORDS; i++)
		if (w[i] != (what * UINT64_C(0x9e3779b97f4a7c15) ^ i))
			return false;
	return true;
}

static bool on_disk(unsigned int d, uint64_t block)
{
	return is_data(disk[d]->data + block * SWAP_BLOCK, content[block]);
}

static bool failing(void)
{
	for (unsigned int k = 0; k < 2; k++)
		if (!half[k] || half[k]->read_err || half[k]->write_err ||
		    half[k]->base.suspended)
			return true;
	return false;
}

/* What the file says that a half holds, it holds. */
static void look(void)
{
	struct err e;
	struct sums *s = sums_open(dup(sums_fd), BLOCKS, &e);

	need(s);
	for (uint64_t b = 0; b < BLOCKS; b++) {
		unsigned int bits = sums_halves(s, b);

		if (busy[b] || content[b] == 0)
			continue;
		need(bits != 0);
		for (unsigned int k = 0; k < 2; k++)
			for (unsigned int d = 0; d < DISKS; d++)
				if ((bits >> k & 1) && sums_half_is(s, k, 1, disk[d]->ino))
					need(on_disk(d, b) || rotten[d][b] == content[b]);
	}
	sums_close(s);
}

static struct job *idle(void)
{
	for (unsigned int i = 0; i < JOBS; i++)
		if (!job[i].busy)
			return &job[i];
	return NULL;
}

static void end(struct job *j, uint64_t block, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		busy[block + i] = false;
	j->busy = false;
}

static void submit(struct job *j, bool write, uint64_t block, uint64_t n, swap_io_done_fn done)
{
	j->io.write = write;
	j->io.urgent = rnd(2);
	j->io.done = done;
	j->io.niov = 0;
	j->busy = true;
	j->faults = failing();
	for (uint64_t i = 0, len; i < n; i += len) {
		len = 1 + rnd(n - i);
		j->io.iov[j->io.niov++] =
			(struct iovec){ j->data + i * WORDS, len * SWAP_BLOCK };
	}
	device_submit(mirror, ring, &j->io, block);
}

static void free_blocks(uint64_t block, uint64_t n)
{
	mirror->ops->freed(mirror, block, n);
	for (uint64_t i = 0; i < n; i++)
		content[block + i] = 0;
}

static void on_written(struct swap_io *io, int err)
{
	struct job *j = (struct job *)io;

	did[err ? 0 : 1]++;
	need(err == 0 || j->faults || failing());
	if (err)
		free_blocks(j->block, j->n);
	else
		memcpy(content + j->block, j->content, j->n * sizeof(content[0]));
	end(j, j->block, j->n);
}

static void on_read(struct swap_io *io, int err)
{
	struct job *j = (struct job *)io;

	did[err ? 2 : 3]++;
	need(err == 0 || j->faults || failing());
	for (uint64_t i = 0; err == 0 && i < j->n; i++)
		need(is_data(j->data + i * WORDS, content[j->block + i]));
	end(j, j->block, j->n);
}

static void on_moved(struct swap_io *io, int err)
{
	struct job *j = (struct job *)io;

	did[err ? 4 : 5]++;
	need(err == 0 || j->faults || failing());
	end(j, j->to, 1);
	busy[j->block] = false;
	if (err) {
		free_blocks(j->to, 1);
		return;
	}
	content[j->to] = content[j->block];
	free_blocks(j->block, 1);
}

static void on_read_to_move(struct swap_io *io, int err)
{
	struct job *j = (struct job *)io;

	need(err == 0 || j->faults || failing());
	if (err == 0) {
		need(is_data(j->data, content[j->block]));
		submit(j, true, j->to, 1, on_moved);
		return;
	}
	busy[j->to] = false;
	end(j, j->block, 1);
}

/* A run of at most RUN blocks, idle and used (or free), or n = 0. */
static uint64_t find_run(bool used, uint64_t *n)
{
	uint64_t from = rnd(BLOCKS), most = 1 + rnd(RUN);

	*n = 0;
	while (from + *n < BLOCKS && *n < most && !busy[from + *n] &&
	       (content[from + *n] != 0) == used)
		++*n;
	for (uint64_t i = 0; i < *n; i++)
		busy[from + i] = true;
	return from;
}

static void some_io(void)
{
	struct job *j = idle();
	uint64_t what = rnd(10), b;

	if (!j)
		return;
	if (what < 4) {
		b = j->block = find_run(false, &j->n);
		for (uint64_t i = 0; i < j->n; i++) {
			j->content[i] = next_content++;
			make_data(j->data + i * WORDS, j->content[i]);
		}
		if (j->n > 0)
			submit(j, true, b, j->n, on_written);
	} else if (what < 8) {
		b = j->block = find_run(true, &j->n);
		if (j->n > 0)
			submit(j, false, b, j->n, on_read);
	} else {
		b = find_run(true, &j->n);
		for (uint64_t i = 0; i < j->n; i++)
			busy[b + i] = false;
		if (j->n > 0 && rnd(2))
			free_blocks(b, j->n);
	}
}

static void some_move(void)
{
	struct job *j = idle();
	uint64_t to = 0, n;

	if (!j || !mirror->moving)
		return;
	for (uint64_t b = 0; b < BLOCKS; b++) {
		if (content[b] == 0 || busy[b] || !mirror->ops->moves(mirror, b))
			continue;
		for (int i = 0; i < 50; i++) {
			to = find_run(false, &n);
			for (uint64_t k = 1; k < n; k++)
				busy[to + k] = false;
			if (n > 0)
				break;
		}
		if (n == 0)
			return;
		busy[b] = true;
		j->block = b;
		j->to = to;
		submit(j, false, b, 1, on_read_to_move);
		return;
	}
}

static void let_one_go(void)
{
	unsigned int k = (unsigned int)rnd(2);

	for (unsigned int i = 0; i < 2; i++, k = !k)
		if (half[k] && half[k]->nheld > 0) {
			fake_let_go(half[k], (unsigned int)rnd(half[k]->nheld));
			break;
		}
	for (unsigned int i = 0; i < 4; i++)
		while (retired[i] && ((struct fake *)retired[i])->nheld > 0)
			fake_let_go((struct fake *)retired[i], 0);
	need(ring_run(ring, 0) >= 0);
	for (unsigned int i = 0; i < 4; i++)
		if (retired[i] &&
		    __atomic_load_n(&retired[i]->count.inflight, __ATOMIC_ACQUIRE) == 0) {
			device_close(retired[i]);
			retired[i] = NULL;
		}
}

static bool any_busy(void)
{
	for (unsigned int i = 0; i < JOBS; i++)
		if (job[i].busy)
			return true;
	for (unsigned int i = 0; i < 4; i++)
		if (retired[i])
			return true;
	return false;
}

static void drain(void)
{
	while (any_busy())
		let_one_go();
}

static void offline(unsigned int k, bool off)
{
	if (!half[k] || half[k]->base.suspended == off)
		return;
	half[k]->base.suspended = off;
	device_tell(&half[k]->base, off ? SWAP_EVENT_OFFLINE : SWAP_EVENT_ONLINE, 0, "so");
}

static struct mirror_half_stats stats(unsigned int k)
{
	struct mirror_half_stats st;

	device_mirror_half(mirror, k, &st);
	return st;
}

/* Which half of the mirror has disk d's identity? */
static bool has_copy(unsigned int d, uint64_t block)
{
	struct err e;
	struct sums *s = sums_open(dup(sums_fd), BLOCKS, &e);
	unsigned int bits;
	bool has = false;

	need(s);
	bits = sums_halves(s, block);
	for (unsigned int k = 0; k < 2; k++)
		has |= (bits >> k & 1) && sums_half_is(s, k, 1, disk[d]->ino);
	sums_close(s);
	return has && on_disk(d, block);
}

/* A bit turns over, where the other half has a good copy. */
static void rot(void)
{
	uint64_t b = rnd(BLOCKS);
	unsigned int d = (unsigned int)rnd(2);

	if (content[b] && !busy[b] && has_copy(d, b) && has_copy(!d, b)) {
		disk[d]->data[b * SWAP_BLOCK + rnd(SWAP_BLOCK)] ^= (uint8_t)(1 << rnd(8));
		rotten[d][b] = content[b];
	}
}

static struct fake *open_half(unsigned int d)
{
	struct fake *f = fake_new(disk[d]);

	f->hold = true;
	return f;
}

/* Has the other disk a copy that has rotted, and that is still believed? */
static bool is_needed(unsigned int d)
{
	for (uint64_t b = 0; b < BLOCKS; b++)
		if (content[b] && has_copy(d, b) && !on_disk(!d, b))
			return true;
	return false;
}

/* The half that is lost gets a new disk, or comes back as it was. */
static void replace(void)
{
	struct swap_device *old;
	struct fake *fresh;
	struct disk *was = NULL;
	uint64_t were[BLOCKS];
	struct err e;
	unsigned int d;
	int ret;

	for (d = 0; d < 2; d++)
		if (!half[d] || retired[d])
			break;
	if (d == 2) {
		/* which half of the mirror is disk d? */
		for (d = 0; d < 2; d++) {
			struct mirror_half_stats st = stats(d);

			if (st.state == MIRROR_LOST || st.state == MIRROR_AWAY)
				break;
		}
		if (d == 2)
			return;
		/* the names of the fakes are those of their disks */
		d = strcmp(stats(d).path, "fake 0") == 0 ? 0 : 1;
	}
	if (retired[0] || retired[1])
		return;
	if (rnd(2) && !is_needed(d)) {
		was = disk[d];
		disk[d] = disk_new(++next_ino, BLOCKS);
		memcpy(were, rotten[d], sizeof(were));
		memset(rotten[d], 0, sizeof(rotten[d]));
	}
	fresh = open_half(d);
	free(fresh->base.path);
	fresh->base.path = strdup(d ? "fake 1" : "fake 0");
	ret = device_mirror_replace(mirror, &fresh->base, false, &old, &e);
	if (ret < 0) {
		did[6]++;
		need(ret == -ENODATA || ret == -EBUSY || ret == -EEXIST);
		device_close(&fresh->base);
		if (was) {
			disk_free(disk[d]);
			disk[d] = was;
			memcpy(rotten[d], were, sizeof(were));
		}
		return;
	}
	did[was ? 7 : 8]++;
	need(old == (half[d] ? &half[d]->base : NULL));
	half[d] = fresh;
	retired[d] = old;
	if (old)
		((struct fake *)old)->disk = was ? was : disk[d];
	/* what is on its way to the old disk is done before anything else */
	while (retired[d])
		let_one_go();
	disk_free(was);
}

static void open_mirror(bool one_missing)
{
	struct swap_device *h[2];
	struct err e;
	struct sums *s = sums_open(dup(sums_fd), BLOCKS, &e);
	unsigned int swap = (unsigned int)rnd(2),
		     missing = one_missing ? (unsigned int)rnd(2) : 2;

	need(s);
	for (unsigned int d = 0; d < 2; d++) {
		half[d] = d == missing ? NULL : open_half(d);
		if (half[d]) {
			free(half[d]->base.path);
			half[d]->base.path = strdup(d ? "fake 1" : "fake 0");
		}
		h[d ^ swap] = half[d] ? &half[d]->base : NULL;
	}
	mirror = device_mirror_create("mirror", h, s, &listener, &e);
	need(mirror);
	for (uint64_t b = 0; b < BLOCKS; b++)
		if (content[b])
			mirror->ops->claimed(mirror, b);
}

static void restart(void)
{
	drain();
	device_close(mirror);
	open_mirror(rnd(4) == 0);
}

/* All that was under way is as far as it came, and its owners forget it. */
static void die(void)
{
	size_t len = (size_t)lseek(sums_fd, 0, SEEK_END);
	uint64_t was[BLOCKS];
	uint8_t *data[2], *file = malloc(len);
	bool writing[BLOCKS] = { false };

	memcpy(was, content, sizeof(was));
	for (unsigned int i = 0; i < JOBS; i++) {
		const struct job *j = &job[i];
		bool moved =
			j->busy && (j->io.done == on_moved || j->io.done == on_read_to_move);

		if (moved)
			writing[j->to] = true;
		else if (j->busy && j->io.write)
			for (uint64_t k = 0; k < j->n; k++)
				writing[j->block + k] = true;
	}
	need(file && pread(sums_fd, file, len, 0) == (ssize_t)len);
	for (unsigned int d = 0; d < 2; d++) {
		data[d] = malloc(BLOCKS * SWAP_BLOCK);
		memcpy(data[d], disk[d]->data, BLOCKS * SWAP_BLOCK);
	}
	drain();
	device_close(mirror);
	need(pwrite(sums_fd, file, len, 0) == (ssize_t)len);
	for (unsigned int d = 0; d < 2; d++) {
		memcpy(disk[d]->data, data[d], BLOCKS * SWAP_BLOCK);
		free(data[d]);
	}
	free(file);
	for (uint64_t b = 0; b < BLOCKS; b++)
		content[b] = writing[b] ? 0 : was[b];
	open_mirror(rnd(8) == 0);
}

static void some_fault(void)
{
	unsigned int k = (unsigned int)rnd(2);
	static const int errors[] = { -EIO, -EIO, -ENOTCONN, -ENOMEM, -EFAULT };

	switch (rnd(10)) {
	case 0:
	case 1:
		if (half[k]) {
			half[k]->write_err = errors[rnd(5)];
			half[k]->write_pass = (int)rnd(10);
		}
		break;
	case 2:
	case 3:
		if (half[k]) {
			half[k]->read_err = errors[rnd(4)];
			half[k]->read_pass = (int)rnd(10);
			half[k]->bad_block = rnd(2) ? UINT64_MAX : rnd(BLOCKS);
		}
		break;
	case 4:
		offline(k, true);
		break;
	case 5:
		offline(k, false);
		break;
	case 6:
	case 7:
		rot();
		break;
	default:
		replace();
	}
	for (unsigned int i = 0; i < JOBS; i++)
		job[i].faults = true;
}

/* Nothing fails any more: all can be read, and all is on both in the end. */
static void calm(void)
{
	uint64_t n = 0;

	drain();
	for (unsigned int k = 0; k < 2; k++) {
		offline(k, false);
		if (half[k])
			half[k]->read_err = half[k]->write_err = 0;
	}
	for (int i = 0; i < 3; i++)
		replace();
	for (uint64_t b = 0; b < BLOCKS && !failing(); b++)
		if (content[b]) {
			struct job *j = idle();

			busy[b] = true;
			j->block = b;
			j->n = 1;
			submit(j, false, b, 1, on_read);
			drain();
		}
	while (mirror->moving && n++ < 10000) {
		some_move();
		drain();
		if (n % 100 == 0) { /* full: some go */
			uint64_t from = find_run(true, &n);

			for (uint64_t i = 0; i < n; i++)
				busy[from + i] = false;
			if (n > 0)
				free_blocks(from, n);
			n = 1;
		}
	}
	need(!mirror->moving);
	look();
}

int main(int argc, char **argv)
{
	uint64_t steps = argc > 1 ? strtoull(argv[1], NULL, 0) : 300000;

	seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 20261121;
	printf("%llu steps, seed %llu\n", (unsigned long long)steps, (unsigned long long)seed);
	ring = ring_create(64);
	sums_fd = memfd_create("sums", MFD_CLOEXEC);
	need(ring && sums_fd >= 0);
	for (unsigned int d = 0; d < DISKS; d++)
		disk[d] = disk_new(++next_ino, BLOCKS);
	open_mirror(false);
	for (step = 0; step < steps; step++) {
		uint64_t what = rnd(1000);

		if (what < 450)
			some_io();
		else if (what < 850)
			let_one_go();
		else if (what < 950)
			some_move();
		else if (what < 985)
			some_fault();
		else if (what < 990)
			restart();
		else if (what < 995)
			die();
		else
			calm();
		if (step % 16 == 0)
			look();
	}
	calm();
	drain();
	printf("writes %llu, failed %llu; reads %llu, failed %llu; moves %llu, failed %llu\n"
	       "replaced %llu, come back %llu, refused %llu; lost %llu, whole %llu, wrong "
	       "checksums %llu\n",
	       (unsigned long long)did[1], (unsigned long long)did[0],
	       (unsigned long long)did[3], (unsigned long long)did[2],
	       (unsigned long long)did[5], (unsigned long long)did[4],
	       (unsigned long long)did[7], (unsigned long long)did[8],
	       (unsigned long long)did[6], (unsigned long long)lost, (unsigned long long)whole,
	       (unsigned long long)wrong);
	need(steps < 10000 ||
	     (did[0] && did[2] && did[4] && did[7] && did[8] && whole && wrong));
	device_close(mirror);
	ring_destroy(ring);
	for (unsigned int d = 0; d < DISKS; d++)
		disk_free(disk[d]);
	close(sums_fd);
	return 0;
}
