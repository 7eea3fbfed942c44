/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The limit that page-out goes by, and what is taken besides.  A guest here is a memfd, a
 * drum on a real file, and no process that maps it; the keeper, which zaps, is the other end
 * of a socket.
 */
#include <criterion/criterion.h>
#include <errno.h>
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

#define PAGES	65536u
#define WINDOWS (PAGES / WINDOW_PAGES)
#define BLOCKS	32768u

static struct guest g;
static struct paging paging;
static int keeper;
static uint64_t now;
static uint64_t zaps; /* that the keeper was asked for */

static void swap_on(uint64_t blocks)
{
	char name[] = "grant-XXXXXX";
	int fd = mkstemp(name);

	cr_assert(fd >= 0);
	unlink(name);
	cr_assert_eq(ftruncate(fd, (off_t)(blocks * SWAP_BLOCK)), 0);
	cr_assert_eq(
		drum_add(g.drum,
			 device_file_create("file", "/swap", fd, 1, 1, blocks * SWAP_BLOCK, 0),
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
	pthread_mutex_init(&g.cmd_lock, NULL);
	g.drum = drum_create();
	paging = (struct paging){ .cluster = 16,
				  .depth = 4,
				  .total_writes = 8,
				  .reads = 8,
				  .give_up = 300 * NSEC_PER_MSEC };
	paging.zone.max = 100000;
	g.paging = &paging;
	memory_guest(&g, PAGES);
	now = clock_ns();
	zaps = 0;
}

static uint8_t byte_of(uint64_t page)
{
	return (uint8_t)(page % 255 + 1);
}

/* Windows whose pages are in memory and mapped. */
static void touch(uint64_t window, uint64_t n)
{
	for (uint64_t p = window * WINDOW_PAGES; p < (window + n) * WINDOW_PAGES; p++) {
		memset(g.map + p * PAGE_SIZE, byte_of(p), PAGE_SIZE);
		page_set(&g.pages, p, PAGE_ACTIVE);
	}
}

/* The hand passes these over. */
static void heat(uint64_t window, uint64_t n)
{
	for (; n > 0; n--, window++) {
		g.windows.window[window].backoff = WINDOW_BACKOFF;
		g.windows.window[window].passes = 31;
	}
}

static void answer_zap(void)
{
	struct proto_msg m;

	if (recv(keeper, &m, sizeof(m), 0) != (ssize_t)sizeof(m))
		return;
	cr_assert_eq(m.type, MSG_ZAP);
	m = (struct proto_msg){ .type = MSG_ZAPPED, .seq = m.seq };
	zaps++;
	hands_zapped(&g, &m);
}

/* As turns of the worker do it, until nothing more comes of it; time stands still. */
static void page_out(void)
{
	unsigned int idle = 0;

	for (unsigned int i = 0; idle < 3; i++) {
		uint64_t resident = pages_resident(&g.pages), asked = zaps;

		cr_assert_lt(i, 100000u);
		pageout_step(&g, now);
		cr_assert(ring_run(g.ring, pageout_busy(&g) > 0 ? NSEC_PER_SEC : 0) >= 0);
		answer_zap();
		idle = g.more || pageout_busy(&g) > 0 || asked != zaps ||
				       resident != pages_resident(&g.pages)
			       ? 0
			       : idle + 1;
	}
}

/* Take so many, and let the time pass that it waits for. */
static void take(uint64_t pages)
{
	pageout_take(&g, pages, now);
	page_out();
	now += NSEC_PER_SEC;
	page_out();
}

static struct guest_stats stats(void)
{
	struct guest_stats s;

	guest_get_stats(&g, &s);
	return s;
}

/* What is in memory is what was there. */
static void nothing_is_lost(uint64_t window, uint64_t n)
{
	uint64_t count[PAGE_STATES] = { 0 };

	for (uint64_t p = window * WINDOW_PAGES; p < (window + n) * WINDOW_PAGES; p++) {
		enum page_state st = page_get(&g.pages, p);

		count[st]++;
		if (st != PAGE_SWAPPED)
			cr_assert_eq(g.map[p * PAGE_SIZE + 77], byte_of(p));
		else
			cr_assert_neq(object_get(g.object, p), 0);
	}
	cr_assert_eq(count[PAGE_HOLE], 0);
}

TestSuite(grant, .init = set_up, .timeout = 60);

Test(grant, the_lesser_of_both)
{
	pageout_set_max(&g, 5000);
	cr_assert_eq(g.limit, 5000);
	pageout_set_grant(&g, 3000);
	cr_assert_eq(g.limit, 3000);
	cr_assert_eq(g.max, 5000);
	pageout_set_max(&g, 2000);
	cr_assert_eq(g.limit, 2000);
	pageout_set_max(&g, 2 * PAGES);
	cr_assert_eq(g.max, PAGES);
	cr_assert_eq(g.limit, 3000);
	pageout_set_grant(&g, 1);
	cr_assert_eq(g.limit, LIMIT_MIN_PAGES);
	cr_assert_eq(stats().limit, (uint64_t)PAGES << PAGE_SHIFT);
	cr_assert_eq(stats().grant, (uint64_t)LIMIT_MIN_PAGES << PAGE_SHIFT);
	pageout_set_grant(&g, UINT64_MAX);
	cr_assert_eq(g.limit, PAGES);
	cr_assert_eq(stats().grant, stats().limit);
}

/* The latest counts, and none of them needs memory or waits in a queue. */
Test(grant, wishes_do_not_pile_up)
{
	const pid_t tid[] = { 4, 5, 6 };

	for (uint64_t i = 1; i <= 100000; i++) {
		guest_grant(&g, 10000 + i, i == 50000 ? 777 : 0);
		if (i % 10000 == 0)
			guest_set_vcpus(&g, stallshare_vcpus(tid, i % 20000 ? 2 : 3));
	}
	cr_assert_null(g.cmd_head);
	guest_grant_wish(&g);
	cr_assert_eq(g.limit, 60000 + 50000 > PAGES ? PAGES : 0);
	cr_assert_eq(g.grant, 110000);
	cr_assert_eq(g.take.left, 777, "one that was not seen yet is not lost");
	cr_assert_eq(stats().vcpus, 3);
	guest_grant(&g, 20000, 0);
	guest_grant_wish(&g);
	cr_assert_eq(g.take.left, 777, "nor is what is left of it");
	cr_assert_eq(g.limit, 20000);
	guest_set_vcpus(&g, stallshare_vcpus(tid, 1));
	guest_grant_wish(&g);
	guest_set_vcpus(&g, stallshare_vcpus(NULL, 0));
	guest_grant_wish(&g);
	cr_assert_eq(stats().vcpus, 0);
	/* as guest_free does; the sanitizer looks for what is left */
	free(g.wish.old);
	free((void *)g.stalled.vcpus);
}

Test(grant, why_pages_are_evicted)
{
	struct guest_stats s;

	swap_on(BLOCKS);
	touch(0, 16); /* 8192 pages */
	pageout_set_max(&g, 6000);
	page_out();
	s = stats();
	cr_assert_gt(s.evicted_limit, 2000);
	cr_assert_eq(s.evicted_grant + s.evicted_cold + s.evicted_out, 0);
	pageout_set_grant(&g, 3000);
	page_out();
	cr_assert_eq(stats().evicted_limit, s.evicted_limit);
	s = stats();
	cr_assert_gt(s.evicted_grant, 2500);
	cr_assert_leq(s.resident, UINT64_C(3000) << PAGE_SHIFT);
	cr_assert_eq(s.over_limit, 0);
	g.job = JOB_OUT;
	g.job_left = PAGES;
	page_out();
	s = stats();
	cr_assert_eq(s.resident, 0);
	cr_assert_gt(s.evicted_out, 2000);
	cr_assert_eq(s.evicted_limit + s.evicted_grant + s.evicted_cold + s.evicted_out,
		     s.pages_out + s.pages_clean);
	cr_assert_eq(s.pages_out, 8192);
	nothing_is_lost(0, 16);
}

/* What cannot be taken stays, nobody waits for it, and it is taken when it can be. */
static void lowered_without_room(uint64_t blocks)
{
	struct guest_stats s;

	if (blocks > 0)
		swap_on(blocks);
	touch(0, 16);
	pageout_set_grant(&g, 2000);
	page_out();
	s = stats();
	cr_assert_eq(s.resident >> PAGE_SHIFT, 8192 - blocks);
	cr_assert_eq(s.over_limit >> PAGE_SHIFT, 8192 - blocks - 2000);
	cr_assert_not(pageout_over_limit(&g));
	nothing_is_lost(0, 16);
	/* nor does it try all the time */
	zaps = 0;
	for (unsigned int i = 0; i < 100; i++)
		pageout_step(&g, now + i * NSEC_PER_MSEC / 2);
	cr_assert_eq(zaps, 0);
	cr_assert_not(g.more);
	now += NSEC_PER_SEC;
	pageout_set_grant(&g, UINT64_MAX);
	page_out();
	cr_assert_eq(stats().over_limit, 0);
}

Test(grant, lowered_without_swap)
{
	lowered_without_room(0);
}

Test(grant, lowered_with_swap_that_gets_full)
{
	lowered_without_room(1024);
}

Test(grant, takes_so_many_and_no_more)
{
	swap_on(BLOCKS);
	touch(0, 64); /* 32768 pages, and no limit */
	pageout_take(&g, 1000, now);
	page_out();
	cr_assert_eq(stats().evicted_cold, 0, "what was just zapped may still be touched");
	cr_assert_gt(page_count(&g.pages, PAGE_INACTIVE), 0);
	now += NSEC_PER_SEC;
	page_out();
	cr_assert_eq(stats().evicted_cold, 1000);
	cr_assert_eq(stats().pages_out, 1000);
	cr_assert_eq(g.take.left, 0);
	cr_assert_not(g.swap_full);
	cr_assert_eq(g.ceiling, PAGES);
	now += 100 * NSEC_PER_SEC;
	page_out();
	cr_assert_eq(stats().evicted_cold, 1000);
	nothing_is_lost(0, 64);
}

/* Zero pages are room too. */
Test(grant, zero_pages_count)
{
	swap_on(BLOCKS);
	touch(0, 64);
	for (uint64_t p = 0; p < PAGES / 2; p += 2)
		memset(g.map + p * PAGE_SIZE, 0, PAGE_SIZE);
	take(1000);
	cr_assert_eq(g.take.left, 0);
	/* those that the last look finds are dropped, how many there may be */
	cr_assert_geq(stats().evicted_cold + stats().pages_zero, 1000);
	cr_assert_lt(stats().evicted_cold + stats().pages_zero, 1000 + WINDOW_PAGES);
	cr_assert_gt(stats().pages_zero, 400);
}

/* The limit asks for its own, and then the take is as large as it was. */
Test(grant, takes_besides_the_limit)
{
	struct guest_stats s;

	swap_on(BLOCKS);
	touch(0, 64);
	pageout_set_grant(&g, 30000);
	take(1000);
	s = stats();
	cr_assert_gt(s.evicted_grant, 2000);
	cr_assert_eq(s.evicted_cold, 1000);
	cr_assert_not(pageout_over_limit(&g));
	nothing_is_lost(0, 64);
}

Test(grant, leaves_hot_windows_alone)
{
	swap_on(BLOCKS);
	touch(0, 64);
	heat(4, 60);
	take(20000);
	cr_assert_eq(stats().evicted_cold, 4 * WINDOW_PAGES);
	cr_assert_eq(g.take.left, 0, "nothing more is cold: it is over");
	for (uint64_t w = 4; w < 64; w++)
		cr_assert_eq(page_run(&g.pages, w * WINDOW_PAGES, (w + 1) * WINDOW_PAGES,
				      PAGE_ACTIVE),
			     WINDOW_PAGES);
	/* over its limit it would take them */
	pageout_set_max(&g, 8000);
	page_out();
	cr_assert_leq(stats().resident >> PAGE_SHIFT, 8000);
}

Test(grant, a_take_ends_when_nothing_is_there)
{
	swap_on(BLOCKS);
	take(1000);
	cr_assert_eq(g.take.left, 0);
	cr_assert_not(g.more);
	/* which says nothing of what a limit would find: page-out begins at once then */
	cr_assert_eq(g.vain, 0);
}

Test(grant, a_take_ends_when_swap_is_full)
{
	swap_on(256);
	touch(0, 64);
	take(1000);
	cr_assert_eq(g.take.left, 0);
	cr_assert_eq(stats().pages_out, 256);
	cr_assert_not(pageout_over_limit(&g));
	nothing_is_lost(0, 64);
}

Test(grant, a_take_ends_without_swap)
{
	touch(0, 64);
	take(1000);
	cr_assert_eq(g.take.left, 0);
	cr_assert_eq(stats().resident >> PAGE_SHIFT, 32768);
}

Test(grant, a_take_ends_in_time)
{
	swap_on(BLOCKS);
	touch(0, 64);
	pageout_take(&g, 1000, now);
	pageout_step(&g, now); /* the keeper does not come round */
	cr_assert(g.zap.busy);
	pageout_step(&g, now + 10 * NSEC_PER_SEC - 1);
	cr_assert_eq(g.take.left, 1000);
	pageout_step(&g, now + 10 * NSEC_PER_SEC);
	cr_assert_eq(g.take.left, 0);
	cr_assert_eq(stats().evicted_cold, 0);
}
