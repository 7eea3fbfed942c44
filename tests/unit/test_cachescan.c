/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest's worker gives to the swapcache of its inactive pages.  A guest here is a memfd
 * and a table of records, an image in a file, a drum on another one, and no process; the daemon
 * is the real one.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "swap/sums.h"
#include "vmm/disk.h"
#include "vmm/guest.h"
#include "vmm/image_swap.h"
#include "vmm/image_swapcache.h"

#define LIMIT	     .timeout = 60
#define PAGES	     1024u
#define SWAP_BLOCKS  4096u
#define IMAGE_BLOCKS 128u
#define RUN	     CACHEOBJ_RUN

static struct guest g;
static struct paging paging;
static struct disk disk;
static struct swapcache policy;
static struct swapcached *sd;
static struct cacheobj *obj;
static int image_fd;

static int temporary(uint64_t bytes)
{
	char name[] = "cachescan-XXXXXX";
	int fd = mkstemp(name);

	cr_assert_geq(fd, 0);
	unlink(name);
	cr_assert_eq(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

static void fill(uint8_t *data, uint64_t block, unsigned int version)
{
	for (unsigned int i = 0; i < PAGE_SIZE; i++)
		data[i] = (uint8_t)(1 + (block * 31 + version * 17 + i / 64) % 250);
}

static uint8_t *mem(uint64_t page)
{
	return g.map + page * PAGE_SIZE;
}

static void set(enum swapcache_knob k, uint64_t value)
{
	struct err e = { 0 };

	cr_assert_eq(swapcache_set(&policy, k, value, &e), 0, "%s", e.text);
}

static void open_swap(void)
{
	struct err e = { 0 };
	struct swap_device *dev = device_file_create(
		"file", "/swap", temporary((uint64_t)SWAP_BLOCKS * SWAP_BLOCK), 1, 1,
		(uint64_t)SWAP_BLOCKS * SWAP_BLOCK, 0);

	dev->sums = sums_open(memfd_create("sums", 0), SWAP_BLOCKS, &e);
	cr_assert_not_null(dev->sums, "%s", e.text);
	g.drum = drum_create();
	cr_assert_eq(drum_add(g.drum, dev, 0, 1), 1);
}

static void open_disk(void)
{
	struct swapcached_options o = { .drum = g.drum, .policy = &policy, .state_dir = -1 };
	struct err e = { 0 };
	uint8_t data[PAGE_SIZE];

	swapcache_init(&policy);
	set(SWAPCACHE_DATA_ENABLE, 1);
	set(SWAPCACHE_MIN_HYSTERESIS, 1);
	sd = swapcached_start(&o, &e);
	cr_assert_not_null(sd, "%s", e.text);
	image_fd = temporary((uint64_t)IMAGE_BLOCKS * PAGE_SIZE);
	for (uint64_t b = 0; b < IMAGE_BLOCKS; b++) {
		fill(data, b, 0);
		cr_assert_eq(pwrite(image_fd, data, PAGE_SIZE, (off_t)(b * PAGE_SIZE)),
			     PAGE_SIZE);
	}
	snprintf(disk.name, sizeof(disk.name), "data");
	disk.map = true;
	disk.image = image_file_open(dup(image_fd), "/image", IMAGE_CACHE_WRITEBACK, false, &e);
	cr_assert_not_null(disk.image, "%s", e.text);
	cr_assert_eq(image_swap_on(g.drum, &disk, &e), 0, "%s", e.text);
	obj = cacheobj_open(memfd_create("cache", 0), "data", IMAGE_BLOCKS, g.drum, &e);
	cr_assert_not_null(obj, "%s", e.text);
	cr_assert_eq(cacheobj_claim(obj), 0);
	cr_assert_eq(swapcached_add(sd, obj, NULL, NULL), 0);
	cr_assert_eq(image_swapcache_on(disk.image, obj, sd, &policy, SWAPCACHE_AUTO), 0);
}

static void set_up(void)
{
	memset(&g, 0, sizeof(g));
	memset(&disk, 0, sizeof(disk));
	paging = (struct paging){ .give_up = NSEC_PER_SEC };
	g.paging = &paging;
	g.npages = g.ceiling = PAGES;
	g.limit = PAGES - 1;
	g.state = GUEST_RUNNING;
	open_swap();
	open_disk();
	cr_assert_eq(pages_init(&g.pages, PAGES), 0);
	cr_assert_eq(kept_init(&g.kept, PAGES), 0);
	g.map = mmap(NULL, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		     g.region[0].fd = memfd_create("ram", 0), 0);
	cr_assert_neq((void *)g.map, MAP_FAILED);
	cr_assert_eq(ftruncate(g.region[0].fd, (off_t)PAGES * PAGE_SIZE), 0);
	blockmap_attach(&g, &disk);
	while (!g.blockmap.ready)
		blockmap_step(&g, clock_ns());
	cachescan_begin(&g, sd);
}

static void tear_down(void)
{
	cachescan_end(&g);
	cachescan_end(&g);
	image_swapcache_off(disk.image);
	cr_assert(swapcached_stop(sd));
}

/* The guest reads a block of its disk into a page. */
static void disk_read(uint64_t page, uint64_t block)
{
	struct blockmap_io io = { 0 };
	struct block_hash h;

	if (page_get(&g.pages, page) != PAGE_ACTIVE)
		page_set(&g.pages, page, PAGE_ACTIVE);
	cr_assert_eq(blockmap_begin(&g, &disk, &io, false, block * PAGE_SIZE, PAGE_SIZE), 0);
	cr_assert_eq(pread(image_fd, mem(page), PAGE_SIZE, (off_t)(block * PAGE_SIZE)),
		     PAGE_SIZE);
	h = blockmap_hash(&g, mem(page));
	blockmap_note(&g, &io, page, block, &h);
	blockmap_end(&g, &io, 0);
}

static void be_inactive(uint64_t page)
{
	page_set(&g.pages, page, PAGE_INACTIVE);
	cachescan_added(&g, 1);
}

static struct swapcached_stats stats(void)
{
	struct swapcached_stats s;

	swapcached_get_stats(sd, &s);
	return s;
}

/* Turns of the worker, until a pass has come to its end, and all is written. => how many
 * gave something */
static unsigned int run_pass(void)
{
	uint64_t passes = stats().passes;
	unsigned int gave = 0;

	/* there is a new page, or there would be no pass */
	cachescan_added(&g, PAGES);
	while (stats().passes == passes) {
		uint64_t writes = stats().write_count;

		swapcached_wake(sd);
		cachescan_step(&g);
		while (stats().inflight > 0)
			usleep(20);
		gave += stats().write_count != writes;
	}
	return gave;
}

static uint64_t cached(void)
{
	struct cacheobj_counts c;

	cacheobj_get_counts(obj, &c);
	return c.cached;
}

static int read_err;

static void on_read(struct swap_io *io, int err)
{
	(void)io;
	read_err = err;
}

/* Is the block in the cache, as it was when it was noted? */
static bool is_cached(uint64_t block)
{
	struct ring *ring = ring_create(8);
	struct swap_io io = { .done = on_read, .niov = 1 };
	uint8_t *data = aligned_alloc(PAGE_SIZE, PAGE_SIZE), want[PAGE_SIZE];
	struct cacheobj_read r;
	uint64_t gap;
	bool is = cacheobj_read(obj, &r, block, 1, &gap) == 1;

	if (is) {
		io.iov[0] = (struct iovec){ data, PAGE_SIZE };
		read_err = 1;
		drum_submit(g.drum, ring, &io, r.addr);
		while (read_err == 1)
			cr_assert_geq(ring_run(ring, NSEC_PER_MSEC), 0);
		cr_assert_eq(read_err, 0);
		fill(want, block, 0);
		cr_assert_arr_eq(data, want, PAGE_SIZE);
		cacheobj_read_end(obj, &r, 0);
	}
	ring_destroy(ring);
	free(data);
	return is;
}

TestSuite(cachescan, .init = set_up, .fini = tear_down, LIMIT);

Test(cachescan, an_inactive_copy_is_cached_once)
{
	disk_read(5, 9);
	disk_read(6, 100);
	be_inactive(5);
	cr_assert_eq(run_pass(), 1);
	cr_assert(is_cached(9));
	cr_assert_eq(cached(), 1, "the other one is in use");
	cr_assert_eq(run_pass(), 0);
	cr_assert_eq(cached(), 1);
	cr_assert_eq(stats().write_count, SWAP_BLOCK);
}

Test(cachescan, a_step_ends_with_a_cluster_that_nobody_takes)
{
	for (uint64_t p = 1; p <= 64; p++) {
		disk_read(p, p);
		be_inactive(p);
	}
	cacheobj_hold_puts(obj, UINT64_MAX);
	cachescan_added(&g, PAGES);
	while (g.cachescan.next == 0) {
		swapcached_wake(sd);
		cachescan_step(&g);
	}
	cr_assert_eq(g.cachescan.next, 2, "%llu", (unsigned long long)g.cachescan.next);
	cr_assert(g.again);
	cr_assert_eq(stats().inflight, 0);
}

Test(cachescan, neighbours_by_block_come_along_wherever_and_whatever_they_are)
{
	/* all of one swblock, in a strange order, and one before and behind it */
	for (uint64_t b = 31; b <= 48; b++)
		disk_read(7 + b * 37 % 101, b);
	be_inactive(7 + 40 * 37 % 101);
	be_inactive(7 + 35 * 37 % 101);
	cr_assert_eq(run_pass(), 1);
	for (uint64_t b = 32; b < 48; b++)
		cr_assert(is_cached(b));
	cr_assert_eq(cached(), RUN);
}

Test(cachescan, a_neighbour_that_has_changed_ends_the_cluster)
{
	for (uint64_t b = 32; b < 48; b++)
		disk_read(100 + b, b);
	be_inactive(140);
	mem(137)[11]++;
	mem(145)[4095]++;
	cr_assert_eq(run_pass(), 1);
	for (uint64_t b = 32; b < 48; b++)
		cr_assert_eq(is_cached(b), b > 37 && b < 45);
}

Test(cachescan, what_has_changed_since_is_not_cached)
{
	disk_read(5, 9);
	disk_read(6, 10);
	be_inactive(5);
	be_inactive(6);
	mem(5)[0]++;
	cr_assert_eq(run_pass(), 1);
	cr_assert(is_cached(10));
	cr_assert_eq(cached(), 1);
	mem(5)[0]--;
	cr_assert_eq(run_pass(), 1);
	cr_assert(is_cached(9));
}

Test(cachescan, a_block_that_changes_is_not_cached)
{
	struct blockmap_io io = { 0 };
	struct cacheobj_change ch;

	disk_read(5, 9);
	disk_read(6, 10);
	be_inactive(5);
	be_inactive(6);
	cr_assert_eq(
		blockmap_begin(&g, &disk, &io, true, (uint64_t)9 * PAGE_SIZE, 2 * PAGE_SIZE),
		0);
	cr_assert_eq(run_pass(), 0);
	blockmap_end(&g, &io, 0);
	cr_assert_eq(run_pass(), 0, "nobody knows what they are now");
	disk_read(5, 9);
	disk_read(6, 10);
	be_inactive(5);
	be_inactive(6);
	/* the cache knows of a change, and is the last to be asked */
	cacheobj_change(obj, &ch, 9, 10);
	cr_assert_eq(run_pass(), 0);
	cacheobj_changed(obj, &ch, false);
	cr_assert_eq(run_pass(), 1);
	cr_assert(is_cached(9));
	cr_assert(is_cached(10));
}

Test(cachescan, a_page_that_is_gone_is_no_copy)
{
	disk_read(PAGES - 2, 9);
	disk_read(PAGES - 1, 10);
	be_inactive(PAGES - 2);
	be_inactive(PAGES - 1);
	/* to read it raises SIGBUS, as where the guest has given it back */
	cr_assert_eq(ftruncate(g.region[0].fd, (off_t)(PAGES - 1) * PAGE_SIZE), 0);
	cr_assert_eq(run_pass(), 1);
	cr_assert(is_cached(9));
	cr_assert_eq(cached(), 1);
}

Test(cachescan, what_is_not_known_or_not_wanted_is_not_cached)
{
	uint32_t i;

	disk_read(5, 9);
	disk_read(6, 71);
	disk_read(7, 70);
	be_inactive(5);
	be_inactive(7);
	image_swapcache_set_mode(disk.image, SWAPCACHE_META);
	cr_assert_eq(run_pass(), 0);
	image_swapcache_set_mode(disk.image, SWAPCACHE_AUTO);
	/* in the image alone; and a request's own */
	i = blocktable_find(&g.blockmap.t, 5);
	blocktable_set_evicted(&g.blockmap.t, i, true);
	page_mark_held(&g.pages, 6, true);
	cr_assert_eq(run_pass(), 1);
	cr_assert(is_cached(70));
	cr_assert_eq(cached(), 1);
	blocktable_set_evicted(&g.blockmap.t, i, false);
	page_mark_held(&g.pages, 6, false);
	be_inactive(6);
	cr_assert_eq(run_pass(), 2);
	cr_assert_eq(cached(), 3);
}

Test(cachescan, faults_go_first)
{
	disk_read(5, 9);
	be_inactive(5);
	cachescan_added(&g, PAGES);
	g.nparked = 1;
	g.again = false;
	/* there is a pass, and nothing is done for it */
	for (int i = 0; i < 100; i++) {
		swapcached_wake(sd);
		cachescan_step(&g);
		cr_assert_eq(g.cachescan.next, 0);
		usleep(50);
	}
	cr_assert_not(g.again);
	cr_assert_eq(stats().write_count, 0);
	cr_assert_eq(stats().passes, 0);
	g.nparked = 0;
	g.mapper[3].used = g.mapper[3].readable = true;
	cachescan_step(&g);
	cr_assert_eq(g.cachescan.next, 0);
	g.mapper[3].readable = false;
	g.pagein[1].busy = true;
	cachescan_step(&g);
	cr_assert_eq(g.cachescan.next, 0);
	g.pagein[1].busy = false;
	cr_assert_eq(run_pass(), 1);
}

Test(cachescan, one_step_is_one_cluster_and_the_next_goes_on)
{
	unsigned int gave = 0;

	for (uint64_t b = 0; b < IMAGE_BLOCKS; b++) {
		disk_read(2 * b, b);
		be_inactive(2 * b);
	}
	/* pages that are no copies cost their look */
	for (uint64_t p = 300; p < PAGES; p++) {
		page_set(&g.pages, p, PAGE_ACTIVE);
		be_inactive(p);
	}
	set(SWAPCACHE_MAXSCAN, 100);
	while (stats().passes == 0) {
		uint64_t was = g.cachescan.next, writes = stats().write_count;

		swapcached_wake(sd);
		g.again = false;
		cachescan_step(&g);
		while (stats().inflight > 0)
			usleep(20);
		if (g.cachescan.next != was) {
			cr_assert(g.cachescan.next > was || g.cachescan.next == 0);
			cr_assert_eq(g.again, g.cachescan.next != 0);
			cr_assert_leq(g.cachescan.next, was ? was + 2 * 100 : 1000);
		}
		cr_assert_leq(stats().write_count - writes, RUN * SWAP_BLOCK);
		gave += stats().write_count != writes;
	}
	cr_assert_eq(gave, IMAGE_BLOCKS / RUN);
	cr_assert_eq(cached(), IMAGE_BLOCKS);
	cr_assert_eq(g.cachescan.next, 0);
}

static bool ended; /* [a] */

/* The guest writes to its page, here by another mapping: right, wrong, right .. */
static void *toggle(void *arg)
{
	volatile uint8_t *at = arg;

	while (!__atomic_load_n(&ended, __ATOMIC_RELAXED))
		*at ^= 1;
	return NULL;
}

Test(cachescan, a_page_that_changes_meanwhile_is_cached_as_it_was_or_not)
{
	unsigned int rounds = 0, found = 0;
	pthread_t thread;

	disk_read(5, 9);
	be_inactive(5);
	ended = false;
	cr_assert_eq(pthread_create(&thread, NULL, toggle, mem(5) + 4000), 0);
	while (rounds++ < 300 || found < 3) {
		run_pass();
		found += is_cached(9);
		cacheobj_drop_all(obj);
	}
	__atomic_store_n(&ended, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
}

Test(cachescan, a_disk_that_is_left_is_left_alone)
{
	disk_read(5, 9);
	be_inactive(5);
	g.blockmap.of[disk.number - DRUM_IMAGE_FIRST].left = (blockmap_left_fn)(uintptr_t)1;
	cr_assert_eq(run_pass(), 0);
	g.blockmap.of[disk.number - DRUM_IMAGE_FIRST].left = NULL;
	cr_assert_eq(run_pass(), 1);
}

Test(cachescan, what_was_not_looked_at_is_for_the_next_step)
{
	uint64_t was;

	for (uint64_t b = 0; b < IMAGE_BLOCKS; b++) {
		disk_read(b, b);
		be_inactive(b);
	}
	set(SWAPCACHE_MAXSCAN, 512);
	cachescan_added(&g, PAGES);
	while (g.cachescan.next == 0) {
		swapcached_wake(sd);
		cachescan_step(&g);
	}
	/* in the same tick */
	was = g.cachescan.next;
	cachescan_step(&g);
	cr_assert_gt(g.cachescan.next, was);
}

Test(cachescan, a_guest_that_leaves_begins_nothing)
{
	disk_read(5, 9);
	be_inactive(5);
	g.job = JOB_LEAVE;
	cr_assert_eq(run_pass(), 0, "and the pass comes to its end");
	g.job = JOB_NONE;
	cr_assert_eq(run_pass(), 1);
}

Test(cachescan, a_guest_that_is_gone_is_not_waited_for)
{
	disk_read(5, 9);
	be_inactive(5);
	cachescan_added(&g, PAGES);
	while (swapcached_scan(sd, &g.cachescan.scanner, 1) == 0) {
		swapcached_wake(sd);
		g.nparked = 1;
		cachescan_step(&g);
	}
	cr_assert_eq(stats().passes, 0);
	cachescan_end(&g);
	while (stats().passes == 0)
		swapcached_wake(sd);
	cachescan_step(&g);
	cr_assert_eq(stats().write_count, 0);
}
