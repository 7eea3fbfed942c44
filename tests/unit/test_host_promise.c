/* SPDX-License-Identifier: BSD-2-Clause */
/* Promises by the names of guests: who has one when, and what is said if it cannot be. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "vmm/host_priv.h"

#define MIB    (UINT64_C(1) << 20)
#define BLOCKS (MIB / SWAP_BLOCK)

static struct host *h;
static struct err e;

static unsigned int add(uint64_t ino, uint64_t mib)
{
	struct swap_device *dev = device_file_create(
		"file", "/swap", open("/dev/null", O_RDWR | O_CLOEXEC), 1, ino, mib * MIB, 0);
	int n;

	cr_assert_not_null(dev);
	n = drum_add(h->drum, dev, 0, 0);
	cr_assert_gt(n, 0);
	h->swap[n].part[0].path = "/a/swap";
	return (unsigned int)n;
}

static void begin(void)
{
	h = calloc(1, sizeof(*h));
	cr_assert_not_null(h);
	h->drum = drum_create();
	add(1, 100);
}

static void end(void)
{
	drum_destroy(h->drum);
	free(h);
}

TestSuite(host_promise, .init = begin, .fini = end, .timeout = 30);

static uint64_t promised(uint64_t *left)
{
	uint64_t sum;

	host_promised(h, &sum, left);
	*left /= MIB;
	return sum / MIB;
}

static void is(uint64_t sum, uint64_t left)
{
	uint64_t free;

	cr_assert_eq(promised(&free), sum);
	cr_assert_eq(free, left);
}

static int set(const char *name, uint64_t mib)
{
	return host_promise(h, name, mib * MIB, &e);
}

static uint64_t taken(struct drum_share *s, uint64_t mib)
{
	uint64_t got;

	(void)!drum_alloc(h->drum, s, mib * BLOCKS, &got);
	return got / BLOCKS;
}

Test(host_promise, before_the_guest_comes_and_until_it_ends)
{
	struct drum_share *s;

	cr_assert_eq(set("a", 60), 0);
	is(60, 40);
	s = host_share_begin(h, "a");
	host_share_served(h, "a");
	cr_assert_eq(taken(NULL, 100), 40);
	cr_assert_eq(taken(s, 100), 60);
	is(60, 0);
	/* its blocks are free by then; here they are not */
	host_share_end(h, "a", false);
	is(0, 0);
	cr_assert_null(h->promises);
}

Test(host_promise, to_a_guest_that_is_there)
{
	struct drum_share *s = host_share_begin(h, "a");

	host_share_served(h, "a");
	cr_assert_eq(taken(s, 70), 70);
	/* what it has is counted, though nothing was promised then */
	cr_assert_eq(set("a", 90), 0);
	is(90, 10);
	cr_assert_eq(set("a", 0), 0);
	is(0, 30);
	cr_assert_eq(set("a", 100), 0);
	host_share_end(h, "a", false);
	is(0, 30);
}

Test(host_promise, one_that_is_left_to_the_next_pager_keeps_it)
{
	cr_assert_eq(set("a", 60), 0);
	cr_assert_not_null(host_share_begin(h, "a"));
	host_share_served(h, "a");
	host_share_end(h, "a", true);
	is(60, 40);
	cr_assert_eq(set("a", 0), 0);
}

Test(host_promise, one_that_could_not_be_attached_keeps_it)
{
	cr_assert_eq(set("a", 60), 0);
	cr_assert_not_null(host_share_begin(h, "a"));
	host_share_end(h, "a", false);
	is(60, 40);
	cr_assert_eq(set("a", 0), 0);
	is(0, 100);
}

Test(host_promise, what_cannot_be)
{
	cr_assert_eq(set("a", 60), 0);
	cr_assert_eq(set("b", 41), -ENOSPC);
	cr_assert(strstr(e.text, "guest b: 41 MiB"), "%s", e.text);
	cr_assert(strstr(e.text, "only 40 MiB"), "%s", e.text);
	cr_assert(strstr(e.text, "drumctl swap on"), "%s", e.text);
	is(60, 40);
	/* the old one holds when a greater one is refused */
	cr_assert_eq(set("a", 101), -ENOSPC);
	cr_assert(strstr(e.text, "only 100 MiB"), "%s", e.text);
	is(60, 40);
	cr_assert_eq(host_promise(h, "b", 40 * MIB - 1, &e), 0);
	is(100, 0);
	cr_assert_eq(set("nobody", 0), 0);
	cr_assert_eq(set("a", 0), 0);
	cr_assert_eq(set("b", 0), 0);
	cr_assert_null(h->promises);
}

/* Made again before the blocks of earlier guests are claimed, and after. */
Test(host_promise, after_a_restart)
{
	struct drum_share *a, *b;
	uint64_t free;

	h->closed = true;
	drum_set_closed(h->drum, true);
	cr_assert_eq(set("a", 70), 0);
	cr_assert_eq(promised(&free), 70);
	cr_assert_eq(free, 0);
	a = host_share_begin(h, "a");
	b = host_share_begin(h, "b");
	host_share_served(h, "a");
	host_share_served(h, "b");
	cr_assert_eq(drum_claim_run(h->drum, a, drum_make(1, 0), 30 * BLOCKS), 0);
	cr_assert_eq(drum_claim_run(h->drum, b, drum_make(1, 30 * BLOCKS), 20 * BLOCKS), 0);
	h->closed = false;
	drum_set_closed(h->drum, false);
	is(70, 10);
	/* it was promised more than fits now: it is all the same */
	cr_assert_eq(set("b", 40), -ENOSPC);
	cr_assert_eq(host_promise_again(h, "b", 40 * MIB, &e), 0);
	is(110, 0);
	cr_assert_eq(taken(NULL, 1), 0);
	host_share_end(h, "a", false);
	host_share_end(h, "b", false);
}

Test(host_promise, a_device_goes_or_stays)
{
	unsigned int two = add(2, 50);

	cr_assert_eq(set("a", 101), 0);
	cr_assert_eq(host_promise_off(h, two, &e), -ENOSPC);
	cr_assert(strstr(e.text, "/a/swap stays on"), "%s", e.text);
	cr_assert(strstr(e.text, "101 MiB"), "%s", e.text);
	cr_assert(strstr(e.text, "100 MiB are free"), "%s", e.text);
	is(101, 49);
	cr_assert_eq(set("a", 100), 0);
	cr_assert_eq(host_promise_off(h, two, &e), 0);
	is(100, 0);
	cr_assert_eq(set("a", 0), 0);
}

/* After guests' ends blocks may be held for a minute, or in a discard. */
Test(host_promise, what_is_no_guests_does_not_keep_a_device)
{
	cr_assert_eq(taken(NULL, 100), 100);
	cr_assert(host_off_fits(h, 1, 100 * BLOCKS));
}
