/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that goes out with its working set last, and comes back with it first.  A guest here
 * is a memfd, a drum on a real file, and no process that maps it; the keeper, which zaps, is
 * the other end of a socket.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "unit/memory_guest.h"
#include "vmm/guest.h"

#define PAGES  16384u
#define BLOCKS 32768u
#define FILE   "guest-test.wset"

static struct guest g;
static struct paging paging;
static int keeper;
static uint64_t now;
static char dir[] = "replay-XXXXXX";
static struct command order;
static bool answered;

static void completed(void *arg, struct command *cmd)
{
	(void)arg;
	cr_assert_eq(cmd, &order);
	answered = true;
}

static const struct guest_ops ops = { .completed = completed };

static void swap_on(void)
{
	char name[] = "replay-swap-XXXXXX";
	int fd = mkstemp(name);

	cr_assert(fd >= 0);
	unlink(name);
	cr_assert_eq(ftruncate(fd, (off_t)BLOCKS * SWAP_BLOCK), 0);
	cr_assert_eq(
		drum_add(g.drum,
			 device_file_create("file", "/swap", fd, 1, 1, BLOCKS * SWAP_BLOCK, 0),
			 0, 1),
		1);
}

static void set_up(void)
{
	int fd[2];

	memset(&g, 0, sizeof(g));
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fd), 0);
	keeper = fd[1];
	g.chan = fd[0];
	g.wake_fd = eventfd(0, EFD_NONBLOCK);
	g.ops = &ops;
	g.drum = drum_create();
	swap_on();
	paging = (struct paging){ .cluster = 64,
				  .depth = 4,
				  .total_writes = 8,
				  .reads = 24,
				  .give_up = 300 * NSEC_PER_MSEC };
	paging.zone.max = 100000;
	g.paging = &paging;
	cr_assert_not_null(mkdtemp(dir));
	g.dir_fd = open(dir, O_RDONLY | O_DIRECTORY);
	memory_guest(&g, PAGES);
	now = clock_ns();
	replay_init(&g, now);
}

static void tear_down(void)
{
	char command[64];

	/* some tests have let go of g.dir_fd */
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	cr_assert_eq(system(command), 0);
}

TestSuite(replay, .init = set_up, .fini = tear_down, .timeout = 60);

static uint8_t byte_of(uint64_t page)
{
	return (uint8_t)(page % 251 + 1);
}

/* Of 5 pages, with every 100 of them, 2 are hot. */
static bool is_hot(uint64_t page)
{
	return page / 20 % 5 < 2;
}

static uint64_t hot_pages(void)
{
	uint64_t n = 0;

	for (uint64_t p = 0; p < PAGES; p++)
		n += is_hot(p);
	return n;
}

/* All is in memory; what is not hot has lost its mapping. */
static void fill(void)
{
	for (uint64_t p = 0; p < PAGES; p++) {
		memset(g.map + p * PAGE_SIZE, byte_of(p), PAGE_SIZE);
		page_set(&g.pages, p, PAGE_ACTIVE);
		if (!is_hot(p))
			page_set(&g.pages, p, PAGE_INACTIVE);
	}
}

static void answer_zap(void)
{
	struct proto_msg m;

	if (recv(keeper, &m, sizeof(m), 0) != (ssize_t)sizeof(m))
		return;
	cr_assert_eq(m.type, MSG_ZAP);
	m = (struct proto_msg){ .type = MSG_ZAPPED, .seq = m.seq };
	hands_zapped(&g, &m);
}

static void turn(void)
{
	bool busy = pageout_busy(&g) > 0 || pagein_busy(&g) > 0;

	cr_assert(ring_run(g.ring, busy ? 10 * NSEC_PER_MSEC : 0) >= 0);
	pagein_retry(&g, clock_ns());
	answer_zap();
	pageout_step(&g, now);
	replay_step(&g, now);
	job_step(&g);
}

static void begin(enum command_type type)
{
	order = (struct command){ .guest = &g, .type = type };
	answered = false;
	job_command(&g, &order);
}

static void to_the_end(void)
{
	for (unsigned int i = 0; !answered; i++) {
		cr_assert_lt(i, 100000u);
		turn();
	}
	cr_assert_eq(order.err.code, 0, "%s", order.err.text);
}

static void out(void)
{
	begin(CMD_OUT);
	to_the_end();
	cr_assert_eq(pages_resident(&g.pages), 0);
	cr_assert_str_empty(order.err.text);
	now = clock_ns(); /* it has ended by that */
}

/* Its pages are what they were. */
static void nothing_is_lost(void)
{
	for (uint64_t p = 0; p < PAGES; p++)
		if (page_get(&g.pages, p) == PAGE_SWAPPED)
			cr_assert_neq(object_get(g.object, p), 0);
		else
			cr_assert_eq(g.map[p * PAGE_SIZE + 77], byte_of(p), "page %u",
				     (unsigned int)p);
}

static uint64_t resident(bool hot)
{
	uint64_t n = 0;

	for (uint64_t p = 0; p < PAGES; p++)
		n += is_hot(p) == hot && page_get(&g.pages, p) != PAGE_SWAPPED;
	return n;
}

/* So many faults on pages from `page` on that are hot, or not. */
static void faults(uint64_t page, unsigned int n, bool hot)
{
	for (; n > 0; page++) {
		if (is_hot(page) != hot)
			continue;
		if (g.replay.armed)
			replay_fault(&g, page, now);
		n--;
	}
}

static void settle(void)
{
	unsigned int i = 0;

	do {
		turn();
		cr_assert_lt(++i, 100000u);
	} while (g.replay.going || pagein_busy(&g) > 0 || pageout_busy(&g) > 0 || g.more);
}

static void burst(void)
{
	now += REPLAY_QUIET_NS;
	faults(0, REPLAY_BURST, true);
	cr_assert(g.replay.going);
}

Test(replay, the_working_set_is_written_last)
{
	uint64_t cold = 0, hot = UINT64_MAX, next = 0, ahead = 0;
	struct guest_stats s;

	fill();
	out();
	for (uint64_t p = 0; p < PAGES; p++) {
		uint64_t block = drum_block_of(object_get(g.object, p) & DRUM_ADDR_MASK);

		cr_assert_eq(wset_has(&g.replay.set, p), is_hot(p));
		if (!is_hot(p)) {
			cold = block > cold ? block : cold;
			continue;
		}
		hot = block < hot ? block : hot;
		ahead += block == next;
		next = block + 1;
	}
	cr_assert_lt(cold, hot, "block %u of what is cold, %u of what is not",
		     (unsigned int)cold, (unsigned int)hot);
	/* in its order and together: all but the first */
	cr_assert_eq(ahead, hot_pages() - 1);
	guest_get_stats(&g, &s);
	cr_assert_eq(s.recorded, hot_pages() << PAGE_SHIFT);
}

Test(replay, in_reads_the_working_set_first)
{
	struct guest_stats s;

	fill();
	out();
	begin(CMD_IN);
	while (!answered) {
		turn();
		if (resident(false) > 0)
			cr_assert_eq(resident(true), hot_pages());
	}
	cr_assert_eq(order.err.code, 0, "%s", order.err.text);
	cr_assert_eq(pages_resident(&g.pages), PAGES);
	guest_get_stats(&g, &s);
	cr_assert_eq(s.pages_replayed, hot_pages());
	cr_assert_eq(s.pages_in, PAGES);
	cr_assert_not(g.replay.armed);
	nothing_is_lost();
}

Test(replay, a_burst_after_a_rest_reads_it)
{
	fill();
	out();
	cr_assert(g.replay.armed);
	burst();
	settle();
	cr_assert_eq(resident(true), hot_pages());
	cr_assert_eq(resident(false), 0);
	cr_assert_eq(page_count(&g.pages, PAGE_INACTIVE), hot_pages());
	cr_assert_eq(wset_use(&g.replay.set), WSET_IDLE, "it ends");
	nothing_is_lost();
	/* once */
	now += REPLAY_QUIET_NS;
	faults(0, REPLAY_BURST, true);
	cr_assert_not(g.replay.going);
}

Test(replay, what_is_no_burst_reads_nothing)
{
	fill();
	out();
	/* right after, when the guest's kernel takes back what it always needs */
	faults(0, 1000, true);
	cr_assert_not(g.replay.going);
	/* timers, and what does not belong to it */
	for (unsigned int i = 0; i < 100; i++) {
		now += REPLAY_BURST_NS / (REPLAY_BURST - 2);
		faults(i * 100, 1, true);
		faults(i * 100, 50, false);
	}
	cr_assert_not(g.replay.going);
	for (unsigned int i = 0; i < 100; i++) {
		now += 3 * REPLAY_BURST_NS;
		faults(i * 100, 1, true);
	}
	cr_assert_not(g.replay.going);
	/* a rest that is too short */
	now += 2 * REPLAY_QUIET_NS;
	now -= now - wset_since(&g.replay.set) - REPLAY_QUIET_NS + 1;
	faults(0, REPLAY_BURST, true);
	cr_assert_not(g.replay.going);
	cr_assert(g.replay.armed);
	burst();
}

/* No page is brought in that page-out would have to make room for. */
Test(replay, keeps_below_the_limit)
{
	uint64_t before;

	fill();
	out();
	pageout_set_max(&g, 2000);
	before = g.count.pages_out + g.count.pages_clean;
	burst();
	for (int i = 0; i < 10000; i++)
		turn();
	cr_assert(g.replay.going, "it does not wait for room");
	now += REPLAY_ROOM_NS;
	settle();
	cr_assert_not(g.replay.going);
	cr_assert_leq(pages_resident(&g.pages), 2000);
	cr_assert_geq(pages_resident(&g.pages), 1900);
	cr_assert_eq(resident(false), 0);
	cr_assert_eq(g.count.pages_out + g.count.pages_clean, before);
	nothing_is_lost();
}

/* As a grant comes that is larger than the one before. */
Test(replay, room_that_comes_later_is_used)
{
	uint64_t recorded;

	fill();
	out();
	recorded = g.replay.set.count;
	pageout_set_max(&g, 500);
	burst();
	for (int i = 0; i < 10000; i++)
		turn();
	cr_assert(g.replay.going);
	cr_assert_lt(pages_resident(&g.pages), recorded);
	now += NSEC_PER_SEC;
	pageout_set_max(&g, g.npages);
	settle();
	cr_assert_not(g.replay.going);
	cr_assert_geq(pages_resident(&g.pages), recorded);
	nothing_is_lost();
}

/* Who goes out in the middle of that had a working set all the same. */
Test(replay, out_meanwhile_keeps_what_was_not_read)
{
	uint64_t recorded;

	fill();
	out();
	recorded = g.replay.set.count;
	pageout_set_max(&g, 500);
	burst();
	for (int i = 0; i < 10000; i++)
		turn();
	cr_assert(g.replay.going);
	pageout_set_max(&g, g.npages);
	out();
	cr_assert_geq(g.replay.set.count, recorded);
	nothing_is_lost();
}

/* While it goes on, faults find page-ins that are free. */
Test(replay, few_reads_at_once)
{
	unsigned int most = 0;

	fill();
	out();
	burst();
	while (g.replay.going) {
		turn();
		most = pagein_busy(&g) > most ? pagein_busy(&g) : most;
	}
	cr_assert_leq(most, REPLAY_READS);
	cr_assert_gt(most, 1);
}

Test(replay, what_is_touched_meanwhile_belongs_to_it)
{
	fill();
	begin(CMD_OUT);
	while (g.replay.phase != OUT_COLD)
		turn();
	/* a page that was not: it is inactive, and somebody maps it */
	cr_assert_eq(page_get(&g.pages, PAGES - 1), PAGE_INACTIVE);
	page_set(&g.pages, PAGES - 1, PAGE_ACTIVE);
	replay_touched(&g, PAGES - 1);
	to_the_end();
	/* the front hand has come by once more, and it is out */
	cr_assert_eq(page_count(&g.pages, PAGE_SWAPPED), PAGES);
	cr_assert(wset_has(&g.replay.set, PAGES - 1));
	cr_assert_eq(g.replay.set.count, hot_pages() + 1);
}

/* `guest out` of one that is out, but for a page. */
Test(replay, out_again_keeps_what_was_not_used)
{
	uint64_t cold = 50;

	fill();
	out();
	cr_assert_not(is_hot(cold));
	cr_assert_eq(pagein_prefetch(&g, cold, 1), 1);
	settle();
	page_set(&g.pages, cold, PAGE_ACTIVE);
	out();
	cr_assert_eq(g.replay.set.count, hot_pages() + 1);
	/* one that has been back has another working set */
	burst();
	settle();
	cr_assert_eq(pages_resident(&g.pages), hot_pages() + 1);
	page_set(&g.pages, 0, PAGE_ACTIVE);
	out();
	cr_assert_eq(g.replay.set.count, 1);
}

/* Of one that is out there is nothing to record, and it comes back as before. */
Test(replay, out_once_more_changes_nothing)
{
	fill();
	out();
	out();
	cr_assert(g.replay.armed);
	cr_assert_eq(g.replay.set.count, hot_pages());
	burst();
	settle();
	cr_assert_eq(resident(true), hot_pages());
}

static void another_pager(void)
{
	replay_fini(&g);
	memset(&g.replay, 0, sizeof(g.replay));
	g.recorded = 0;
	g.adopted = true;
	replay_init(&g, now);
}

Test(replay, another_pager_goes_on)
{
	fill();
	out();
	now += REPLAY_QUIET_NS;
	another_pager();
	cr_assert(g.replay.armed);
	cr_assert_eq(g.recorded, hot_pages());
	/* the time before counts */
	faults(0, REPLAY_BURST, true);
	cr_assert(g.replay.going);
	turn();
	cr_assert_lt(resident(true), hot_pages());
	another_pager();
	settle();
	cr_assert_eq(resident(true), hot_pages());
	cr_assert_eq(resident(false), 0);
	nothing_is_lost();
}

/* A clock that has begun anew: it rests since now. */
Test(replay, a_time_to_come_is_none)
{
	fill();
	out();
	wset_set_use(&g.replay.set, WSET_ARMED, now + 1000 * NSEC_PER_SEC);
	another_pager();
	cr_assert_eq(wset_since(&g.replay.set), now);
	now += REPLAY_QUIET_NS - 1;
	faults(0, REPLAY_BURST, true);
	cr_assert_not(g.replay.going);
	burst();
}

Test(replay, a_file_that_is_none_is_left_aside)
{
	int fd;

	fill();
	out();
	fd = openat(g.dir_fd, FILE, O_WRONLY | O_TRUNC);
	cr_assert_eq(write(fd, "garbage", 7), 7);
	close(fd);
	another_pager();
	cr_assert_not(g.replay.armed);
	begin(CMD_IN);
	to_the_end();
	cr_assert_eq(g.count.pages_replayed, 0);
	nothing_is_lost();
	/* the next out makes another */
	for (uint64_t p = 0; p < 100; p++)
		page_set(&g.pages, p, PAGE_ACTIVE);
	out();
	cr_assert_eq(g.replay.set.count, 100);
	another_pager();
	cr_assert_eq(g.replay.set.count, 100);
}

Test(replay, what_cannot_be_recorded_goes_out_all_the_same)
{
	fill();
	replay_fini(&g);
	close(g.dir_fd);
	g.dir_fd = -1;
	replay_init(&g, now);
	out();
	cr_assert_not(g.replay.armed);
	begin(CMD_IN);
	to_the_end();
	cr_assert_eq(pages_resident(&g.pages), PAGES);
	nothing_is_lost();
}

/* A new guest of the same name has nothing to do with the last one. */
Test(replay, a_new_guest_begins_with_nothing)
{
	fill();
	out();
	replay_fini(&g);
	memset(&g.replay, 0, sizeof(g.replay));
	g.adopted = false;
	replay_init(&g, now);
	cr_assert_eq(g.replay.set.count, 0);
	cr_assert_eq(wset_use(&g.replay.set), WSET_NEW);
	cr_assert_not(g.replay.armed);
}

/* Of a guest from which nothing was ever taken the sample says what is in use. */
Test(replay, the_sample_is_asked_once)
{
	uint32_t units = g.sample.n;
	uint64_t half = PAGES / 2;

	fill();
	for (uint64_t p = 0; p < PAGES; p++)
		page_set(&g.pages, p, PAGE_ACTIVE);
	for (uint32_t u = 0; u < units; u++) {
		sample_begin(&g.sample, u, now);
		if (sample_page(&g.sample, u) >= half)
			sample_touch(&g.sample, sample_page(&g.sample, u) + 1);
		sample_end(&g.sample, u, now + sample_length(SAMPLE_1M), 0xff);
	}
	out();
	cr_assert_leq(g.replay.set.count, half + 2 * g.sample.stride);
	cr_assert_geq(g.replay.set.count, half);
	cr_assert(wset_has(&g.replay.set, PAGES - 1));
	cr_assert_not(wset_has(&g.replay.set, 0));
	begin(CMD_IN);
	to_the_end();
	/* what is active now was touched since */
	for (uint64_t p = 0; p < 100; p++)
		page_set(&g.pages, p, PAGE_ACTIVE);
	out();
	cr_assert_eq(g.replay.set.count, 100);
	cr_assert(wset_has(&g.replay.set, 0));
}
