/* SPDX-License-Identifier: BSD-2-Clause */
/* The worked example of drum-arbiter(7): its numbers are what the arbiter says. */
#include <criterion/criterion.h>

#include "balloon/arbiter.h"
#include "base/clock.h"

#define GIB	   ((double)(1ull << 30))
#define BYTES(gib) ((uint64_t)((gib)*GIB))
#define ROUNDS	   1200 /* seconds, after which nothing moves any more */

enum { DB, WEB, OLD, GUESTS };

static struct arbiter_conf conf = { .budget = 16ull << 30, .tax = 75 };
static struct arbiter_host host;
static struct arbiter_guest guest[GUESTS];
static uint64_t shares[GUESTS] = { 1, 1, 1 }; /* times the default */

/* All of it was touched once; what is not resident is on swap. */
static void is_seen(struct arbiter_guest *g, double size, double uses, uint64_t resident)
{
	g->size = g->limit = BYTES(size);
	g->shares = shares[g - guest] * 10 * (BYTES(size) >> 20);
	g->working_set = BYTES(uses);
	g->resident = resident;
	g->swapped = g->size - resident;
}

/* Guests take what they are granted, and give up what they are not. */
static void settle(void)
{
	is_seen(&guest[DB], 16, 12, BYTES(6));
	is_seen(&guest[WEB], 8, 4, BYTES(4));
	is_seen(&guest[OLD], 8, 1, BYTES(5));
	host.available = 16ull << 30;
	for (uint64_t s = 1; s <= ROUNDS; s++) {
		uint64_t sum = 0;

		arbiter_decide(&conf, &host, guest, GUESTS, s * NSEC_PER_SEC);
		for (int i = 0; i < GUESTS; i++) {
			guest[i].resident = guest[i].grant;
			guest[i].swapped = guest[i].size - guest[i].resident;
			sum += guest[i].resident;
		}
		cr_assert_leq(sum, conf.budget);
	}
}

/* As the manual rounds them, and a target may be off by a 512th. */
static void expect_target(int i, double gib)
{
	double is = (double)guest[i].target / GIB, off = gib / 512 + 0.005;

	cr_expect(is > gib - off && is < gib + off, "%d is due %.3fG, not %.3fG", i, is, gib);
}

static void expect_price(uint64_t price)
{
	cr_expect_eq(host.price, price, "%lu", (unsigned long)host.price);
}

Test(arbiter_manual, three_guests)
{
	settle();
	expect_target(DB, 9);
	expect_target(WEB, 4.125);
	expect_target(OLD, 1.875);
	expect_price(18204);
	cr_expect_eq(guest[DB].why, ARBITER_PRICE);
	cr_expect_eq(guest[OLD].why, ARBITER_PRICE);
}

Test(arbiter_manual, without_a_tax)
{
	conf.tax = 0;
	settle();
	expect_target(DB, 7.5);
	expect_target(WEB, 3.75);
	expect_target(OLD, 3.75);
	expect_price(21845);
}

Test(arbiter_manual, with_a_reservation)
{
	guest[OLD].reservation = 3ull << 30;
	settle();
	expect_target(DB, 8);
	expect_target(WEB, 4);
	expect_target(OLD, 3);
	expect_price(20480);
	cr_expect_eq(guest[OLD].why, ARBITER_RESERVATION);
}

Test(arbiter_manual, with_more_shares)
{
	shares[WEB] = 2;
	settle();
	expect_target(DB, 8.18);
	expect_target(WEB, 5.05);
	expect_target(OLD, 1.77);
	expect_price(20025);
}
