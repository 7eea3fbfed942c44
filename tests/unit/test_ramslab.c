/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Slabs and slots of the ram: device against a naive array, and the promise
 * that fragmentation never makes memory useless; coldness against a list.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "swap/ramcold.h"
#include "swap/ramslab.h"

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

Test(ramslab, classes)
{
	uint32_t before = 0;

	for (uint32_t c = 0; c < RAMSLAB_CLASSES; c++) {
		uint32_t size = ramslabs_slot_bytes(c), slots = ramslabs_slots(c);

		cr_assert_eq(size % 8, 0);
		cr_assert_leq(slots, RAMSLAB_SLOTS);
		cr_assert_leq(slots * size, RAMSLAB_BYTES);
		cr_assert_geq(slots * size, RAMSLAB_BYTES / 1000 * 992);
		if (c > 5)
			cr_assert_leq(size * 100, before * 117, "class %u", c);
		for (uint32_t bytes = before + 1; bytes <= size; bytes++)
			cr_assert_eq(ramslabs_class(bytes), c, "%u bytes", bytes);
		before = size;
	}
	cr_assert_eq(before, RAMSLAB_SLOT_MAX);
	cr_assert_eq(ramslabs_class(0), 0);
}

enum { SLABS = 40 };

struct model {
	struct ramslabs *s;
	uint64_t random;
	uint8_t used[SLABS][RAMSLAB_SLOTS];	    /* 1 + class */
	uint32_t count[RAMSLAB_CLASSES];	    /* slots in use */
	struct ramslot slot[SLABS * RAMSLAB_SLOTS]; /* of all that are in use */
	uint32_t n;
	uint32_t refused, drained;
};

static uint32_t needed(const struct model *m)
{
	uint32_t n = 0;

	for (uint32_t c = 0; c < RAMSLAB_CLASSES; c++)
		n += (m->count[c] + ramslabs_slots(c) - 1) / ramslabs_slots(c);
	return n;
}

static void has_taken(struct model *m, struct ramslot at, uint32_t class)
{
	cr_assert_lt(at.slab, SLABS);
	cr_assert_lt(at.slot, ramslabs_slots(class));
	cr_assert_eq(m->used[at.slab][at.slot], 0, "two owners");
	m->used[at.slab][at.slot] = (uint8_t)(class + 1);
	m->count[class]++;
	m->slot[m->n++] = at;
}

static void forget(struct model *m, uint32_t k)
{
	struct ramslot at = m->slot[k];

	m->count[m->used[at.slab][at.slot] - 1]--;
	m->used[at.slab][at.slot] = 0;
	m->slot[k] = m->slot[--m->n];
}

static uint32_t find(const struct model *m, struct ramslot at)
{
	uint32_t k = 0;

	while (m->slot[k].slab != at.slab || m->slot[k].slot != at.slot)
		k++;
	return k;
}

/* Whatever is in the slab fits into others of its class. */
static void drain(struct model *m, uint32_t slab)
{
	uint32_t class = ramslabs_class_of(m->s, slab);
	struct ramslot from = { .slab = slab }, to;

	while ((from.slot = ramslabs_next(m->s, slab, from.slot)) != RAMSLAB_NONE) {
		cr_assert(ramslabs_take(m->s, class, &to), "no room for what is drained");
		cr_assert_neq(to.slab, slab);
		ramslabs_give(m->s, from);
		forget(m, find(m, from));
		has_taken(m, to, class);
	}
	ramslabs_drained(m->s, slab, false);
	cr_assert_eq(ramslabs_class_of(m->s, slab), RAMSLAB_NONE);
	m->drained++;
}

static void take(struct model *m, uint32_t class)
{
	struct ramslot at;
	uint32_t slab;

	while (!ramslabs_take(m->s, class, &at)) {
		if (ramslabs_take_spare(m->s, &slab) || ramslabs_take_bare(m->s, &slab)) {
			ramslabs_assign(m->s, slab, class);
			continue;
		}
		if (!ramslabs_drain(m->s, &slab)) {
			cr_assert_eq(needed(m), SLABS, "memory is of no use");
			m->refused++;
			return;
		}
		drain(m, slab);
	}
	has_taken(m, at, class);
}

static void compare(const struct model *m)
{
	cr_assert_eq(ramslabs_needed(m->s), needed(m));
	cr_assert_leq(ramslabs_needed(m->s), ramslabs_classed(m->s));
	for (uint32_t i = 0; i < SLABS; i++)
		for (uint32_t k = 0; k < RAMSLAB_SLOTS; k++) {
			uint32_t class = m->used[i][k] ? m->used[i][k] - 1u : 0;

			cr_assert_eq(ramslabs_used(m->s, (struct ramslot){ i, k }, class),
				     m->used[i][k] != 0);
		}
}

/* Another process finds the same slots. */
static void reopen(struct model *m)
{
	ramslabs_destroy(m->s);
	m->s = ramslabs_create(SLABS);
	cr_assert_not_null(m->s);
	for (uint32_t k = 0; k < m->n; k++) {
		uint32_t class = m->used[m->slot[k].slab][m->slot[k].slot] - 1u;

		cr_assert(ramslabs_claim(m->s, m->slot[k], class));
		cr_assert_not(ramslabs_claim(m->s, m->slot[k], class), "two owners");
		cr_assert_not(ramslabs_claim(m->s, m->slot[k], (class + 1) % RAMSLAB_CLASSES));
		cr_assert(ramslabs_occupied(m->s, m->slot[k].slab));
	}
	cr_assert_not(ramslabs_claim(m->s, (struct ramslot){ SLABS, 0 }, 0));
	cr_assert_not(ramslabs_claim(m->s, (struct ramslot){ 0, 30 }, RAMSLAB_CLASSES - 1));
	ramslabs_claimed(m->s);
	compare(m);
}

Test(ramslab, equals_an_array, .timeout = 120)
{
	static struct model m;
	uint32_t peak = 0;

	m.s = ramslabs_create(SLABS);
	cr_assert_not_null(m.s);
	m.random = 4711;
	for (uint32_t i = 0; i < 120000; i++) {
		uint64_t x = next_random(&m.random) >> 8;

		/* growing and shrinking, and what sizes are common changes */
		if (m.n > 0 && x % 100 < (i / 9000 % 2 ? 70 : 30)) {
			uint32_t k = (uint32_t)(x >> 8) % m.n;

			ramslabs_give(m.s, m.slot[k]);
			forget(&m, k);
		} else {
			take(&m, (i / 5000 * 7 + (uint32_t)(x >> 8) % 6) % RAMSLAB_CLASSES);
		}
		peak = needed(&m) > peak ? needed(&m) : peak;
		if (i % 6000 == 0) {
			compare(&m);
			reopen(&m);
		}
	}
	cr_assert(m.refused > 100 && m.drained > 100 && peak == SLABS, "%u, %u, %u", m.refused,
		  m.drained, peak);
	while (m.n > 0) {
		ramslabs_give(m.s, m.slot[m.n - 1]);
		forget(&m, m.n - 1);
	}
	cr_assert_eq(ramslabs_classed(m.s), 0);
	cr_assert_eq(ramslabs_needed(m.s), 0);
	ramslabs_destroy(m.s);
	ramslabs_destroy(NULL);
}

/* A slab with a slot that cannot be moved is let alone until it is empty. */
Test(ramslab, stuck)
{
	struct ramslabs *s = ramslabs_create(4);
	struct ramslot at[2][21], other;
	uint32_t slab, class = RAMSLAB_CLASSES - 1;

	for (int k = 0; k < 2; k++) {
		cr_assert(ramslabs_take_bare(s, &slab));
		ramslabs_assign(s, slab, class);
		for (int i = 0; i < 21; i++)
			cr_assert(ramslabs_take(s, class, &at[k][i]));
	}
	for (int i = 0; i < 15; i++) {
		ramslabs_give(s, at[0][i]);
		ramslabs_give(s, at[1][i]);
	}
	cr_assert(ramslabs_drain(s, &slab));
	ramslabs_drained(s, slab, true);
	for (int i = 0; i < 15; i++) {
		cr_assert(ramslabs_take(s, class, &other));
		cr_assert_neq(other.slab, slab);
	}
	cr_assert_not(ramslabs_take(s, class, &other), "nothing is taken from it");
	for (int i = 15; i < 21; i++) {
		cr_assert_eq(ramslabs_spare(s), 0);
		ramslabs_give(s, at[at[1][0].slab == slab][i]);
	}
	cr_assert_eq(ramslabs_spare(s), 1, "empty");
	cr_assert_eq(ramslabs_classed(s), 1);
	ramslabs_destroy(s);
}

/* --- coldness ----------------------------------------------------------------------- */

enum { THINGS = 20000, SPAN = 1000 };

struct thing {
	uint32_t stamp, bytes; /* 0: gone */
};

static uint64_t cold_bytes(const struct ramcold *c, const struct thing *t, uint32_t n)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += ramcold_is(c, t[i].stamp) ? t[i].bytes : 0;
	return sum;
}

Test(ramcold, what_came_first)
{
	static struct thing t[THINGS];
	static struct ramcold c;
	uint64_t random = 5, total = 0, want = 0;

	ramcold_init(&c, SPAN, 1);
	cr_assert_not(ramcold_is(&c, 0));
	for (uint32_t i = 0; i < THINGS; i++) {
		uint32_t gone = (uint32_t)(next_random(&random) >> 8) % (i + 1);

		t[i].bytes = 64 + (uint32_t)(next_random(&random) >> 8) % 100;
		t[i].stamp = ramcold_add(&c, t[i].bytes);
		cr_assert_not(ramcold_is(&c, t[i].stamp), "what was just stored is cold");
		total += t[i].bytes;
		if (i % 3 == 0 && t[gone].bytes) {
			ramcold_sub(&c, t[gone].stamp, t[gone].bytes);
			total -= t[gone].bytes;
			t[gone].bytes = 0;
		}
		if (i % 1500 == 1499) {
			want = i / 1500 % 4 == 3 ? 0 : total / 10;
			ramcold_want(&c, want);
		}
		/* no more than a generation above what was wanted */
		if (i % 100 == 0 || i % 1500 == 1499) {
			uint64_t is = cold_bytes(&c, t, i + 1);

			cr_assert_eq(c.cold, is, "%llu, not %llu, after %u",
				     (unsigned long long)c.cold, (unsigned long long)is, i);
			if (i % 1500 == 1499 && want)
				cr_assert_geq(is, want);
		}
	}
	/* all that there is, but never the current generation */
	ramcold_want(&c, total);
	cr_assert_lt(c.cold, total);
	cr_assert_geq(c.cold, total - 2 * SPAN);
	cr_assert_not(ramcold_is(&c, c.now));
	/* another process finds the stamps */
	static struct ramcold d;
	uint32_t newest = c.now;

	ramcold_init(&d, SPAN, newest + 1);
	for (uint32_t i = 0; i < THINGS; i++)
		if (t[i].bytes)
			ramcold_add_old(&d, t[i].stamp, t[i].bytes);
	ramcold_want(&d, total / 10);
	cr_assert_eq(d.cold, cold_bytes(&d, t, THINGS));
	cr_assert_geq(d.cold, total / 10);
	ramcold_want(&d, total);
	cr_assert_eq(d.cold, total);
	ramcold_want(&d, 0);
	cr_assert_eq(cold_bytes(&d, t, THINGS), 0);
}
