/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mapper: pages that are what a block of the disk is leave without a write and come back
 * from there, and no block changes under them.  A guest here is a memfd, an object, a drum on a
 * real file, an image in another, and no process that maps it; what serves its disk is below.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "vmm/guest.h"
#include "vmm/image_swap.h"

#define LIMIT	     .timeout = 60
#define PAGES	     1024u
#define SWAP_BLOCKS  4096u
#define IMAGE_BLOCKS 128u

static struct guest g;
static struct paging paging;
static struct disk disk;
static uint64_t was_free;
static int swap_fd, image_fd, object_fd;
static unsigned int nleft;

static int temporary(uint64_t bytes)
{
	char name[] = "blockmap-XXXXXX";
	int fd = mkstemp(name);

	cr_assert_geq(fd, 0);
	unlink(name);
	cr_assert_eq(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

/* What a block holds at first. */
static void fill(uint8_t *data, uint64_t block, unsigned int version)
{
	for (unsigned int i = 0; i < PAGE_SIZE; i++)
		data[i] = (uint8_t)(1 + (block * 31 + version * 17 + i / 64) % 250);
}

static bool is(const uint8_t *data, uint64_t block, unsigned int version)
{
	uint8_t want[PAGE_SIZE];

	fill(want, block, version);
	return memcmp(data, want, PAGE_SIZE) == 0;
}

static void store(uint64_t block, unsigned int version)
{
	uint8_t data[PAGE_SIZE];

	fill(data, block, version);
	cr_assert_eq(pwrite(image_fd, data, PAGE_SIZE, (off_t)(block * PAGE_SIZE)), PAGE_SIZE);
}

static void open_drum(unsigned int number)
{
	struct err e = { 0 };

	g.drum = drum_create();
	cr_assert_eq(drum_add(g.drum,
			      device_file_create("file", "/swap", dup(swap_fd), 1, 1,
						 (uint64_t)SWAP_BLOCKS * SWAP_BLOCK, 0),
			      0, 1),
		     1);
	disk.number = number;
	cr_assert_eq(image_swap_on(g.drum, &disk, &e), 0, "%s", e.text);
	was_free = drum_avail(g.drum);
}

static void open_guest(void)
{
	struct err e = { 0 };

	g.paging = &paging;
	snprintf(g.name, sizeof(g.name), "test");
	g.npages = g.limit = g.ceiling = PAGES;
	g.state = GUEST_RUNNING;
	g.pin_slot = -1;
	g.object = object_open(object_fd, PAGES, NULL, &e);
	cr_assert_not_null(g.object, "%s", e.text);
	cr_assert_eq(pages_init(&g.pages, PAGES), 0);
	cr_assert_eq(windows_init(&g.windows, PAGES), 0);
	cr_assert_eq(sample_init(&g.sample, PAGES), 0);
	cr_assert_eq(pagein_init(&g), 0);
	cr_assert_eq(kept_init(&g.kept, PAGES), 0);
	cr_assert_eq(holds_init(&g.holds), 0);
	beside_init(&g.beside);
	g.ring = ring_create(64);
	cr_assert_not_null(g.ring);
}

static void set_up(void)
{
	struct err e = { 0 };

	memset(&g, 0, sizeof(g));
	memset(&disk, 0, sizeof(disk));
	nleft = 0;
	swap_fd = temporary((uint64_t)SWAP_BLOCKS * SWAP_BLOCK);
	image_fd = temporary((uint64_t)IMAGE_BLOCKS * PAGE_SIZE);
	for (uint64_t b = 0; b < IMAGE_BLOCKS; b++)
		store(b, 0);
	snprintf(disk.name, sizeof(disk.name), "data");
	disk.map = true;
	disk.image = image_file_open(dup(image_fd), "/image", IMAGE_CACHE_WRITEBACK, false, &e);
	cr_assert_not_null(disk.image, "%s", e.text);
	open_drum(0);
	paging = (struct paging){ .cluster = 16,
				  .depth = 4,
				  .total_writes = 8,
				  .reads = 8,
				  .give_up = 300 * NSEC_PER_MSEC };
	paging.zone.max = 10000;
	object_fd = memfd_create("object", 0);
	open_guest();
	g.nregions = 1;
	g.region[0] = (struct region){ .fd = memfd_create("ram", 0), .pages = PAGES };
	cr_assert_eq(ftruncate(g.region[0].fd, (off_t)PAGES * PAGE_SIZE), 0);
	g.map = mmap(NULL, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		     g.region[0].fd, 0);
	cr_assert_neq((void *)g.map, MAP_FAILED);
	/* a limit that page-out never sees, for the job goes first */
	blockmap_attach(&g, &disk);
	cr_assert(!blockmap_needed(&g, &disk), "the guest has no limit");
	g.limit = PAGES - 1;
	blockmap_limit(&g);
	while (!g.blockmap.ready)
		blockmap_step(&g, clock_ns());
	cr_assert(blockmap_needed(&g, &disk));
}

/* As a turn of the worker does it. */
static void turn(void)
{
	cr_assert(ring_run(g.ring, NSEC_PER_MSEC) >= 0);
	pagein_retry(&g, clock_ns());
	holds_step(&g, clock_ns());
	blockmap_step(&g, clock_ns());
	pageout_step(&g, clock_ns());
	move_step(&g, clock_ns());
}

static uint8_t *mem(uint64_t page)
{
	return g.map + page * PAGE_SIZE;
}

static void be_active(uint64_t page)
{
	if (page_get(&g.pages, page) != PAGE_ACTIVE)
		page_set(&g.pages, page, PAGE_ACTIVE);
}

/* The guest reads a block of the disk into a page. */
static void disk_read(uint64_t page, uint64_t block)
{
	struct blockmap_io io = { 0 };
	struct block_hash h;

	be_active(page);
	cr_assert_eq(blockmap_begin(&g, &disk, &io, false, block * PAGE_SIZE, PAGE_SIZE), 0);
	cr_assert_eq(pread(image_fd, mem(page), PAGE_SIZE, (off_t)(block * PAGE_SIZE)),
		     PAGE_SIZE);
	h = blockmap_hash(&g, mem(page));
	blockmap_note(&g, &io, page, block, &h);
	blockmap_end(&g, &io, 0);
}

/* Nobody maps it any more, and page-out comes by. */
static void goes_out(uint64_t page)
{
	if (page_get(&g.pages, page) == PAGE_ACTIVE)
		page_set(&g.pages, page, PAGE_INACTIVE);
	g.job = JOB_OUT;
	g.replay.phase = OUT_LAST;
	g.job_left = 0;
	g.back = 0;
	for (int i = 0; i < 1000 && page_get(&g.pages, page) != PAGE_SWAPPED; i++)
		turn();
	g.job = JOB_NONE;
	cr_assert_eq(page_get(&g.pages, page), PAGE_SWAPPED);
}

/* Somebody touches it. */
static void comes_in(uint64_t page)
{
	cr_assert_geq(pagein_hold(&g, page, 1), 1);
	for (int i = 0; i < 1000 && page_get(&g.pages, page) == PAGE_READING; i++)
		turn();
	cr_assert_eq(page_get(&g.pages, page), PAGE_INACTIVE);
	page_set(&g.pages, page, PAGE_ACTIVE);
}

static bool on_image(uint64_t page, uint64_t block)
{
	return page_get(&g.pages, page) == PAGE_SWAPPED &&
	       object_get(g.object, page) == (drum_make(disk.number, block) | SWB_VALID);
}

static uint64_t owners(void)
{
	return drum_image_owners(g.drum, disk.number);
}

static uint64_t records(void)
{
	struct blockmap_counts c;

	blockmap_get_counts(&g, disk.number, &c);
	return c.mapped;
}

TestSuite(blockmap, .init = set_up, LIMIT);

Test(blockmap, unchanged_it_leaves_without_a_write_and_comes_back_again_and_again)
{
	disk_read(5, 9);
	for (unsigned int i = 1; i <= 3; i++) {
		goes_out(5);
		cr_assert(on_image(5, 9));
		cr_assert_eq(owners(), 1);
		cr_assert_eq(drum_avail(g.drum), was_free, "nothing is on swap");
		cr_assert_eq(g.count.pages_clean, i);
		comes_in(5);
		cr_assert(is(mem(5), 9, 0));
		cr_assert_eq(object_get(g.object, 5), 0);
		cr_assert_eq(owners(), 0);
		cr_assert_eq(records(), 1);
	}
	cr_assert_eq(g.count.pages_out, 0);
	cr_assert_eq(kept_count(&g.kept), 0);
}

Test(blockmap, changed_it_is_written_to_swap)
{
	disk_read(5, 9);
	mem(5)[77]++;
	goes_out(5);
	cr_assert_eq(drum_device_of(object_get(g.object, 5) & DRUM_ADDR_MASK), 1);
	cr_assert_eq(g.count.pages_out, 1);
	cr_assert_eq(records(), 0);
	comes_in(5);
	mem(5)[77]--;
	cr_assert(is(mem(5), 9, 0));
}

Test(blockmap, the_disk_goes_before_a_clean_copy)
{
	disk_read(5, 9);
	mem(5)[77]++;
	goes_out(5);
	comes_in(5);
	cr_assert_eq(kept_count(&g.kept), 1);
	disk_read(5, 11);
	goes_out(5);
	cr_assert(on_image(5, 11));
	cr_assert_eq(kept_count(&g.kept), 0);
	cr_assert_eq(drum_avail(g.drum), was_free);
}

Test(blockmap, many_at_once_and_several_of_one_block)
{
	for (uint64_t p = 0; p < 64; p++)
		disk_read(100 + p, p < 60 ? p : 3);
	for (uint64_t p = 0; p < 64; p++)
		page_set(&g.pages, 100 + p, PAGE_INACTIVE);
	goes_out(100);
	goes_out(163);
	cr_assert_eq(owners(), 64);
	cr_assert_eq(object_run(g.object, 100, 64), 59, "read by as few reads as may be");
	for (uint64_t p = 0; p < 64; p++)
		if (page_get(&g.pages, 100 + p) == PAGE_SWAPPED)
			comes_in(100 + p);
	for (uint64_t p = 0; p < 64; p++)
		cr_assert(is(mem(100 + p), p < 60 ? p : 3, 0));
	cr_assert_eq(owners(), 0);
}

static int nready, ready_err;

static void on_ready(struct blockmap_io *io, int err)
{
	(void)io;
	nready++;
	ready_err = err;
}

static void until_ready(void)
{
	for (int i = 0; i < 5000 && nready == 0; i++)
		turn();
	cr_assert_eq(nready, 1);
}

Test(blockmap, a_change_waits_for_who_lives_there)
{
	struct blockmap_io io = { .ready = on_ready };
	struct block_hash h;

	disk_read(5, 9);
	disk_read(6, 9);
	disk_read(7, 10); /* in memory */
	disk_read(8, 11); /* elsewhere */
	goes_out(5);
	goes_out(6);
	goes_out(8);
	cr_assert_eq(blockmap_begin(&g, &disk, &io, true, 9 * PAGE_SIZE, 2 * PAGE_SIZE), 1);
	until_ready();
	cr_assert_eq(ready_err, 0);
	store(9, 1);
	for (uint64_t p = 5; p <= 6; p++) {
		cr_assert_eq(page_get(&g.pages, p), PAGE_INACTIVE);
		cr_assert(is(mem(p), 9, 0));
	}
	cr_assert(on_image(8, 11));
	cr_assert_eq(records(), 1);
	goes_out(5); /* while it goes on, and with what is no longer there */
	cr_assert(!on_image(5, 9));
	fill(mem(7), 9, 1);
	h = blockmap_hash(&g, mem(7));
	blockmap_note(&g, &io, 7, 9, &h);
	blockmap_end(&g, &io, 0);
	goes_out(7);
	cr_assert(on_image(7, 9));
	comes_in(7);
	cr_assert(is(mem(7), 9, 1));
	comes_in(5);
	cr_assert(is(mem(5), 9, 0));
}

/* One that has begun to be read when the change came keeps no record. */
Test(blockmap, one_that_comes_in_meanwhile_is_forgotten)
{
	struct blockmap_io io = { .ready = on_ready };

	disk_read(5, 9);
	goes_out(5);
	cr_assert_eq(pagein_prefetch(&g, 5, 1), 1);
	cr_assert_eq(blockmap_begin(&g, &disk, &io, true, 9 * PAGE_SIZE, 512), 1);
	for (int i = 0; i < 1000 && page_get(&g.pages, 5) == PAGE_READING; i++)
		cr_assert(ring_run(g.ring, NSEC_PER_MSEC) >= 0);
	cr_assert_eq(records(), 0, "so page-out cannot make it wait once more");
	until_ready();
	cr_assert_eq(ready_err, 0);
	cr_assert_eq(records(), 0);
	blockmap_end(&g, &io, 0);
	blockmap_end(&g, &io, 0);
}

Test(blockmap, what_overlaps_a_change_notes_nothing)
{
	struct blockmap_io a = { .ready = on_ready }, b = a, c = a, d = a;
	struct block_hash h;

	be_active(5);
	fill(mem(5), 9, 0);
	h = blockmap_hash(&g, mem(5));
	/* a read, and a write that comes while it is under way */
	cr_assert_eq(blockmap_begin(&g, &disk, &a, false, 8 * PAGE_SIZE, 8 * PAGE_SIZE), 0);
	cr_assert_eq(blockmap_begin(&g, &disk, &b, true, 15 * PAGE_SIZE + 512, 512), 0);
	blockmap_note(&g, &a, 5, 9, &h);
	cr_assert_eq(records(), 0);
	blockmap_end(&g, &a, 0);
	/* a read that begins while a write goes on */
	cr_assert_eq(blockmap_begin(&g, &disk, &c, false, 15 * PAGE_SIZE, PAGE_SIZE), 0);
	blockmap_end(&g, &b, 0);
	blockmap_note(&g, &c, 5, 15, &h);
	cr_assert_eq(records(), 0, "though it has ended by now");
	/* two reads do not matter to each other, nor does who is elsewhere */
	cr_assert_eq(blockmap_begin(&g, &disk, &a, false, 9 * PAGE_SIZE, PAGE_SIZE), 0);
	cr_assert_eq(blockmap_begin(&g, &disk, &b, false, 9 * PAGE_SIZE, PAGE_SIZE), 0);
	cr_assert_eq(blockmap_begin(&g, &disk, &d, true, 10 * PAGE_SIZE, PAGE_SIZE), 0);
	blockmap_note(&g, &a, 5, 9, &h);
	cr_assert_eq(records(), 1);
	blockmap_end(&g, &c, 0);
	blockmap_end(&g, &a, 0);
	blockmap_end(&g, &d, 0);
	blockmap_end(&g, &b, 0);
	cr_assert_null(g.blockmap.ios);
}

Test(blockmap, after_a_write_that_failed_nothing_is_noted_for_a_while)
{
	struct blockmap_io io = { .ready = on_ready };

	cr_assert_eq(blockmap_begin(&g, &disk, &io, true, 0, 512), 0);
	blockmap_end(&g, &io, -EIO);
	cr_assert(!blockmap_needed(&g, &disk));
	disk_read(5, 9);
	cr_assert_eq(records(), 0);
	disk.no_map_until = clock_ns() - 1;
	cr_assert(blockmap_needed(&g, &disk));
}

Test(blockmap, an_image_that_has_changed_is_an_error)
{
	struct blockmap_io io = { .ready = on_ready };

	disk_read(5, 9);
	goes_out(5);
	store(9, 1); /* by somebody else */
	cr_assert_eq(pagein_hold(&g, 5, 1), 1);
	for (int i = 0; i < 100 && page_get(&g.pages, 5) == PAGE_READING; i++)
		turn();
	cr_assert(on_image(5, 9), "it is where it was");
	cr_assert_gt(g.count.read_errors, 0);
	/* and the guest cannot change that block any more */
	cr_assert_eq(blockmap_begin(&g, &disk, &io, true, 0, IMAGE_BLOCKS * PAGE_SIZE), 1);
	until_ready();
	cr_assert_eq(ready_err, -EIO);
	blockmap_end(&g, &io, ready_err);
	store(9, 0);
	comes_in(5);
	cr_assert(is(mem(5), 9, 0));
}

Test(blockmap, overwritten_by_a_read_of_the_disk)
{
	struct hold_range r = { 5, 1, HOLD_OVERWRITE };
	struct hold h = { .done = NULL, .range = &r, .nranges = 1 };

	disk_read(5, 9);
	goes_out(5);
	cr_assert_eq(hold_begin(&g, &h), 0);
	cr_assert_eq(owners(), 0);
	cr_assert_eq(records(), 0);
	hold_end(&g, &h);
	disk_read(5, 9);
	cr_assert_eq(hold_begin(&g, &h), 0);
	cr_assert_eq(records(), 0);
	hold_end(&g, &h);
}

Test(blockmap, zeros_are_a_hole)
{
	uint8_t zeros[PAGE_SIZE] = { 0 };

	cr_assert_eq(pwrite(image_fd, zeros, PAGE_SIZE, 9 * PAGE_SIZE), PAGE_SIZE);
	disk_read(5, 9);
	page_set(&g.pages, 5, PAGE_INACTIVE);
	g.job = JOB_OUT;
	g.replay.phase = OUT_LAST;
	turn();
	cr_assert_eq(page_get(&g.pages, 5), PAGE_HOLE);
	cr_assert_eq(records(), 0);
}

/* As the control thread has it, when the front end has gone while no pager ran. */
Test(blockmap, nobody_goes_to_an_image_that_is_off)
{
	disk_read(5, 9);
	disk_read(6, 10);
	goes_out(5);
	drum_set_image_off(g.drum, disk.number, true);
	g.move_at = 0;
	for (int i = 0; i < 1000 && owners() > 0; i++)
		turn();
	cr_assert_eq(owners(), 0);
	goes_out(6);
	cr_assert(!on_image(6, 10));
}

static void on_left(struct guest *guest, struct disk *d)
{
	cr_assert(guest == &g && d == &disk);
	nleft++;
}

Test(blockmap, left_by_moving_what_lives_there)
{
	for (uint64_t p = 0; p < 40; p++)
		disk_read(p, p);
	for (uint64_t p = 0; p < 30; p++)
		goes_out(p);
	cr_assert_eq(owners(), 30);
	cr_assert_eq(image_swap_off(g.drum, &disk), -EBUSY);
	cr_assert(!blockmap_leave(&g, &disk, on_left));
	cr_assert(!blockmap_needed(&g, &disk));
	goes_out(35);
	cr_assert(!on_image(35, 35), "nobody goes there any more");
	g.move_at = 0;
	for (int i = 0; i < 2000 && nleft == 0; i++)
		turn();
	cr_assert_eq(nleft, 1);
	cr_assert_eq(owners(), 0);
	cr_assert_eq(records(), 0);
	cr_assert_eq(image_swap_off(g.drum, &disk), 0);
	for (uint64_t p = 0; p < 30; p++) {
		cr_assert_eq(page_get(&g.pages, p), PAGE_SWAPPED);
		comes_in(p);
		cr_assert(is(mem(p), p, 0));
	}
	cr_assert(blockmap_leave(&g, &disk, on_left), "it has no number");
}

/* The next pager. */
static void restart(unsigned int number)
{
	uint8_t *map = g.map;
	struct region region = g.region[0];

	ring_destroy(g.ring);
	object_close(g.object);
	pages_fini(&g.pages);
	kept_fini(&g.kept);
	windows_fini(&g.windows);
	sample_fini(&g.sample);
	pagein_fini(&g);
	holds_fini(&g.holds);
	blockmap_fini(&g);
	drum_destroy(g.drum);
	memset(&g, 0, sizeof(g));
	if (number)
		open_drum(number);
	else
		g.drum = drum_create();
	open_guest();
	g.map = map;
	g.region[0] = region;
	g.nregions = 1;
	g.adopted = true;
}

Test(blockmap, a_restart_finds_them)
{
	struct blockmap_io io = { .ready = on_ready };
	struct err e = { 0 };
	unsigned int number = disk.number;

	for (uint64_t p = 5; p <= 8; p++) {
		disk_read(p, 9 + p % 2);
		goes_out(p);
	}
	restart(number);
	page_set(&g.pages, 8, PAGE_ACTIVE); /* in the memfd: it was being punched */
	fill(mem(8), 9, 0);
	cr_assert_eq(recover(&g, &e), 0, "%s", e.text);
	cr_assert(on_image(5, 10) && on_image(6, 9) && on_image(7, 10));
	cr_assert_eq(object_get(g.object, 8), 0);
	cr_assert_eq(owners(), 3);
	cr_assert_eq(g.blockmap.unlisted, 0);
	disk.resumed = true;
	blockmap_attach(&g, &disk);
	g.limit = PAGES - 1;
	cr_assert(!blockmap_needed(&g, &disk), "writes of the dead may be on their way");
	/* it leaves again without a write: what was read is known */
	comes_in(6);
	cr_assert(is(mem(6), 9, 0));
	goes_out(6);
	cr_assert(on_image(6, 9));
	cr_assert_eq(blockmap_begin(&g, &disk, &io, true, 10 * PAGE_SIZE, PAGE_SIZE), 1);
	until_ready();
	cr_assert_eq(ready_err, 0);
	cr_assert(is(mem(5), 10, 0) && is(mem(7), 10, 0));
	cr_assert_eq(owners(), 1);
	blockmap_end(&g, &io, 0);
}

Test(blockmap, a_restart_without_the_image_waits)
{
	struct err e = { 0 };

	disk_read(5, 9);
	goes_out(5);
	restart(0);
	cr_assert_eq(recover(&g, &e), -ENODEV);
	cr_assert_eq(object_count(g.object), 1, "nothing is touched");
	recover_abandon(&g);
	cr_assert_eq(object_count(g.object), 0);
}

Test(blockmap, a_guest_that_waits_and_ends_lets_go)
{
	struct err e = { 0 };
	unsigned int number = disk.number;

	disk_read(5, 9);
	goes_out(5);
	restart(number);
	cr_assert_eq(object_set(g.object, 900, drum_make(7, 7) | SWB_VALID), 0);
	cr_assert_eq(recover(&g, &e), -ENODEV);
	cr_assert_eq(owners(), 1);
	recover_abandon(&g);
	cr_assert_eq(owners(), 0);
}

/* A table that has no place for all of them. */
Test(blockmap, what_the_table_has_no_place_for_is_moved_before_any_block_changes)
{
	struct blockmap_io io = { .ready = on_ready };
	struct err e = { 0 };
	unsigned int number = disk.number;

	for (uint64_t p = 0; p < 12; p++) {
		disk_read(p, 50);
		if (p < 8)
			goes_out(p);
	}
	restart(number);
	for (uint64_t p = 8; p < 12; p++)
		cr_assert_eq(object_set(g.object, p, drum_make(number, 50) | SWB_VALID), 0);
	for (uint64_t p = 8; p < 12; p++)
		cr_assert_eq(ram_punch(&g, p, 1), 0);
	cr_assert_eq(recover(&g, &e), 0, "%s", e.text);
	cr_assert_eq(g.blockmap.unlisted, 12 - BLOCKTABLE_PAGES);
	blockmap_attach(&g, &disk);
	cr_assert_eq(blockmap_begin(&g, &disk, &io, true, 50 * PAGE_SIZE, 512), 1);
	until_ready();
	cr_assert_eq(ready_err, 0);
	cr_assert_eq(owners(), 0);
	blockmap_end(&g, &io, 0);
	store(50, 1);
	for (uint64_t p = 0; p < 12; p++) {
		if (page_get(&g.pages, p) == PAGE_SWAPPED)
			comes_in(p);
		cr_assert(is(mem(p), 50, 0));
	}
	cr_assert(!drum_moving(g.drum));
}

/*
 * All of it at random: requests that overlap, pages that change, leave and come.  What a page
 * holds and what a block holds is known at each moment, but for those that a request is at.
 */
#define REQS	 6u
#define R_STEPS	 400000
#define R_PAGES	 48u
#define R_BLOCKS 24u

static struct req {
	struct blockmap_io io; /* first */
	struct image_req image;
	struct hold hold;
	struct hold_range range;
	struct iovec iov;
	uint8_t *buf;
	uint64_t page, block;
	enum { FREE, READY, AT_IMAGE } state;
	enum image_op op;
} req[REQS];

static uint8_t page_model[R_PAGES][PAGE_SIZE];
static unsigned int page_used[R_PAGES]; /* requests that name it */
static uint64_t rng = 88172645463325252u;

static uint64_t draw(uint64_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (rng >> 11) % n;
}

static void on_req_io(struct image_req *i, int err)
{
	struct req *r = (struct req *)((char *)i - offsetof(struct req, image));
	struct block_hash h = blockmap_hash(&g, r->buf);

	cr_assert_eq(err, 0);
	if (r->op == IMAGE_READ) {
		memcpy(mem(r->page), r->buf, PAGE_SIZE);
		memcpy(page_model[r->page], r->buf, PAGE_SIZE);
	}
	if (r->op != IMAGE_ZEROES)
		blockmap_note(&g, &r->io, r->page, r->block, &h);
	blockmap_end(&g, &r->io, 0);
	hold_end(&g, &r->hold);
	page_used[r->page]--;
	r->state = FREE;
}

static void submit_req(struct req *r)
{
	if (r->op == IMAGE_WRITE)
		memcpy(r->buf, mem(r->page), PAGE_SIZE);
	r->iov = (struct iovec){ r->buf, PAGE_SIZE };
	r->image = (struct image_req){ .done = on_req_io,
				       .op = r->op,
				       .off = r->block * PAGE_SIZE,
				       .len = PAGE_SIZE,
				       .iov = &r->iov,
				       .niov = 1 };
	r->state = AT_IMAGE;
	image_submit(disk.image, g.ring, &r->image);
}

static void on_req_ready(struct blockmap_io *io, int err)
{
	cr_assert_eq(err, 0);
	submit_req((struct req *)io);
}

static void on_req_held(struct hold *h, int err)
{
	struct req *r = (struct req *)((char *)h - offsetof(struct req, hold));

	cr_assert_eq(err, 0);
	r->state = READY;
	if (blockmap_begin(&g, &disk, &r->io, r->op != IMAGE_READ, r->block * PAGE_SIZE,
			   PAGE_SIZE) == 0)
		submit_req(r);
}

static void begin_req(struct req *r)
{
	r->io.ready = on_req_ready;
	r->page = draw(R_PAGES);
	r->block = draw(R_BLOCKS);
	r->op = draw(8) == 0 ? IMAGE_ZEROES : draw(2) ? IMAGE_READ : IMAGE_WRITE;
	/* two writers of one page are the guest's business */
	if (page_used[r->page] > 0)
		return;
	page_used[r->page]++;
	r->range = (struct hold_range){ r->page, 1,
					r->op == IMAGE_READ ? HOLD_OVERWRITE : HOLD_READ };
	r->hold = (struct hold){ .done = on_req_held, .range = &r->range, .nranges = 1 };
	r->state = READY;
	if (hold_begin(&g, &r->hold) == 0)
		on_req_held(&r->hold, 0);
}

static void look_at_page(uint64_t page)
{
	enum page_state s = page_get(&g.pages, page);

	if (page_used[page] == 0 &&
	    (s == PAGE_ACTIVE || s == PAGE_INACTIVE || s == PAGE_WRITING))
		cr_assert_eq(memcmp(mem(page), page_model[page], PAGE_SIZE), 0, "page %lu",
			     page);
}

static void step_at_random(void)
{
	uint64_t what = draw(100), page = draw(R_PAGES);
	enum page_state s = page_get(&g.pages, page);
	struct req *r = &req[draw(REQS)];

	look_at_page(page);
	if (what < 35) {
		if (r->state == FREE && draw(4) == 0)
			begin_req(r);
	} else if (what < 58) {
		if (s == PAGE_ACTIVE && !page_is_held(&g.pages, page))
			page_set(&g.pages, page, PAGE_INACTIVE);
	} else if (what < 61) {
		if (s == PAGE_ACTIVE && page_used[page] == 0) {
			mem(page)[draw(PAGE_SIZE)] = (uint8_t)draw(256);
			memcpy(page_model[page], mem(page), PAGE_SIZE);
		}
	} else if (what < 66) {
		if (s == PAGE_SWAPPED)
			pagein_prefetch(&g, page, 1 + (uint32_t)draw(4));
		else if (s == PAGE_INACTIVE)
			page_set(&g.pages, page, PAGE_ACTIVE);
	} else if (what < 67) {
		/* given back, as discarded does it */
		if (page_used[page] == 0 && (s == PAGE_ACTIVE || s == PAGE_SWAPPED)) {
			if (s == PAGE_SWAPPED)
				blockmap_free(&g, page, object_pop(g.object, page), NULL);
			else
				kept_drop(&g, page);
			blockmap_page_overwritten(&g, page);
			page_set(&g.pages, page, PAGE_HOLE);
			cr_assert_eq(ram_punch(&g, page, 1), 0);
			memset(page_model[page], 0, PAGE_SIZE);
		}
	} else if (what < 75 && s == PAGE_HOLE) {
		page_set(&g.pages, page, PAGE_ACTIVE);
		memset(mem(page), 0, PAGE_SIZE);
	}
}

Test(blockmap, at_random)
{
	struct blockmap_counts c;
	uint64_t in_image = 0;

	for (unsigned int i = 0; i < REQS; i++)
		req[i].buf = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	g.job = JOB_OUT;
	g.replay.phase = OUT_LAST;
	g.job_left = 0;
	g.ceiling = PAGES;
	for (int step = 0; step < R_STEPS; step++) {
		step_at_random();
		g.idle_until = 0;
		if (draw(3) == 0) {
			cr_assert(ring_run(g.ring, 0) >= 0);
			pagein_retry(&g, clock_ns());
			holds_step(&g, clock_ns());
			blockmap_step(&g, clock_ns());
			if (draw(2))
				pageout_step(&g, clock_ns());
		}
		in_image += owners();
	}
	for (unsigned int i = 0; i < REQS; i++)
		for (int k = 0; k < 10000 && req[i].state != FREE; k++)
			turn();
	for (uint64_t p = 0; p < R_PAGES; p++) {
		for (int k = 0; k < 10000 && page_get(&g.pages, p) == PAGE_WRITING; k++)
			turn();
		for (int k = 0; k < 10000 && (page_get(&g.pages, p) == PAGE_READING ||
					      page_get(&g.pages, p) == PAGE_SWAPPED);
		     k++) {
			g.job = JOB_NONE;
			pagein_prefetch(&g, p, 1);
			turn();
		}
		if (page_get(&g.pages, p) == PAGE_HOLE)
			memset(mem(p), 0, PAGE_SIZE);
		cr_assert_eq(memcmp(mem(p), page_model[p], PAGE_SIZE), 0, "page %lu", p);
	}
	blockmap_get_counts(&g, disk.number, &c);
	cr_assert_gt(in_image, R_STEPS / 2);
	cr_assert_eq(c.wrong, 0);
	cr_assert_gt(c.out, 1000);
	cr_assert_gt(c.brought_in, 100);
	cr_assert_eq(owners(), 0);
	cr_assert_null(g.blockmap.ios);
	cr_assert_eq(g.blockmap.waiting, 0);
	for (unsigned int i = 0; i < REQS; i++)
		free(req[i].buf);
}
