/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * The RAM is cut into n cells of equal size, and each has one unit, somewhere in it:
 * always at the same distance would be blind to a stride.  Units begin at multiples
 * of their size, so none crosses a region or is cut by a window.
 *
 * The turn goes round by steps of some 0.618 n, coprime to n.  So those that were
 * looked at last are spread evenly too, however few they are, and a part of the
 * RAM that is hot as a whole is met in proportion.  What is looked at costs a minor fault
 * where it is in use, so units are many and small: neighbours are used together, and tell
 * less than pages that are far apart.
 *
 * A unit has one period of each length under way at most.  All begin when its
 * pages are unmapped, those that are still under way go on: that pages are unmapped
 * once more does no harm to them, a bit that is set stays.  Only ends count.
 * Until its minute is over no page of it may be mapped without a touch
 * (sample_reach); after it, what is mapped counts as touched, so longer periods
 * call rather too little memory idle than too much.
 */
#include "vmm/sample.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"

/* Pages for which one unit can speak: 2 MiB. */
#define CELL_MAX 512u

static const uint64_t length[SAMPLE_PERIODS] = {
	[SAMPLE_10S] = 10 * NSEC_PER_SEC,
	[SAMPLE_1M] = 60 * NSEC_PER_SEC,
	[SAMPLE_5M] = 300 * NSEC_PER_SEC,
	[SAMPLE_30M] = 1800 * NSEC_PER_SEC,
};

static uint64_t gcd(uint64_t a, uint64_t b)
{
	return b == 0 ? a : gcd(b, a % b);
}

int sample_init(struct sample *s, uint64_t npages)
{
	uint64_t n = npages / SAMPLE_PAGES;

	*s = (struct sample){ .n = n < SAMPLE_UNITS ? (uint32_t)n : SAMPLE_UNITS };
	if (s->n == 0)
		return 0;
	s->unit = calloc(s->n, sizeof(*s->unit));
	if (!s->unit)
		return -ENOMEM;
	s->stride = npages / s->n / SAMPLE_PAGES * SAMPLE_PAGES;
	s->step = (uint32_t)((uint64_t)s->n * 618 / 1000) | 1;
	while (gcd(s->step, s->n) != 1)
		s->step++;
	return 0;
}

void sample_fini(struct sample *s)
{
	free(s->unit);
	s->unit = NULL;
	s->n = 0;
}

uint64_t sample_length(enum sample_period p)
{
	return length[p];
}

uint64_t sample_page(const struct sample *s, uint32_t unit)
{
	/* Knuth's multiplier: any that scatters will do */
	uint64_t places = s->stride / SAMPLE_PAGES, place = unit * 2654435761u >> 8;

	return unit * s->stride + place % places * SAMPLE_PAGES;
}

/* => the unit that has the page, or SAMPLE_NONE */
static uint32_t find(const struct sample *s, uint64_t page)
{
	uint64_t unit = s->n > 0 ? page / s->stride : 0, first;

	if (unit >= s->n)
		return SAMPLE_NONE;
	first = sample_page(s, (uint32_t)unit);
	return page >= first && page - first < SAMPLE_PAGES ? (uint32_t)unit : SAMPLE_NONE;
}

static bool being_counted(const struct sample_unit *u)
{
	return u->begun[SAMPLE_10S] || u->begun[SAMPLE_1M];
}

uint32_t sample_next(struct sample *s)
{
	uint32_t unit = s->next;

	if (s->n == 0 || being_counted(&s->unit[unit]))
		return SAMPLE_NONE;
	s->next = (unit + s->step) % s->n;
	return unit;
}

void sample_begin(struct sample *s, uint32_t unit, uint64_t now)
{
	struct sample_unit *u = &s->unit[unit];

	for (int p = 0; p < SAMPLE_PERIODS; p++) {
		if (u->begun[p])
			continue;
		u->begun[p] = now;
		u->touched[p] = 0;
	}
}

void sample_cancel(struct sample *s, uint32_t unit)
{
	for (int p = 0; p < SAMPLE_PERIODS; p++)
		s->unit[unit].begun[p] = 0;
}

void sample_forget(struct sample *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		sample_cancel(s, i);
}

void sample_reset(struct sample *s)
{
	for (int p = 0; p < SAMPLE_PERIODS; p++) {
		for (uint32_t i = 0; i < s->n; i++)
			s->unit[i].begun[p] = s->unit[i].hot[p] = s->unit[i].there[p] = 0;
		__atomic_store_n(&s->hot[p], 0, __ATOMIC_RELAXED);
		__atomic_store_n(&s->there[p], 0, __ATOMIC_RELAXED);
	}
}

void sample_touch(struct sample *s, uint64_t page)
{
	uint32_t unit = find(s, page);

	if (unit == SAMPLE_NONE)
		return;
	for (int p = 0; p < SAMPLE_PERIODS; p++)
		s->unit[unit].touched[p] |= (uint8_t)(1u << page % SAMPLE_PAGES);
}

uint64_t sample_reach(const struct sample *s, uint64_t page, uint64_t to)
{
	uint64_t at = page;

	while (at < to) {
		uint32_t unit = find(s, at);

		if (unit != SAMPLE_NONE && being_counted(&s->unit[unit]))
			break;
		at = (at / SAMPLE_PAGES + 1) * SAMPLE_PAGES;
	}
	return at < to ? at : to;
}

/* Of one cell. */
static bool seen_idle(const struct sample_unit *u)
{
	return u->there[SAMPLE_1M] > 0 && u->hot[SAMPLE_30M] == 0 && u->hot[SAMPLE_1M] == 0 &&
	       (!u->begun[SAMPLE_30M] || !u->touched[SAMPLE_30M]);
}

bool sample_is_idle(const struct sample *s, uint64_t page)
{
	uint64_t unit = s->n > 0 ? page / s->stride : 0, first, last;

	if (s->n == 0 || unit >= s->n || s->stride > CELL_MAX)
		return false;
	first = unit > 0 ? unit - 1 : 0;
	last = unit + 1 < s->n ? unit + 1 : unit;
	for (unit = first; unit <= last; unit++)
		if (!seen_idle(&s->unit[unit]))
			return false;
	return true;
}

/* How many periods are no longer than that? */
static int periods_in(uint64_t ns)
{
	int n = 0;

	while (n < SAMPLE_PERIODS && length[n] <= ns)
		n++;
	return n;
}

int sample_age(const struct sample *s, uint32_t unit, unsigned int k, uint64_t now)
{
	const struct sample_unit *u = &s->unit[unit];
	uint8_t page = (uint8_t)(1u << k);
	int age = -1;

	/* the shortest was looked at last: what it has found goes before the others */
	for (int p = 0; p < SAMPLE_PERIODS; p++) {
		if (!(u->there[p] & page))
			continue;
		if (!(u->hot[p] & page)) {
			age = p + 1;
			continue;
		}
		if (age < 0)
			age = 0;
		break;
	}
	for (int p = 0; p < SAMPLE_PERIODS; p++) {
		int most = u->begun[p] && u->touched[p] & page ? periods_in(now - u->begun[p])
							       : SAMPLE_PERIODS;

		if (age > most || most == 0)
			age = most;
	}
	return age;
}

static bool is_due(const struct sample_unit *u, int p, uint64_t now)
{
	return u->begun[p] && now - u->begun[p] >= length[p];
}

uint32_t sample_due(const struct sample *s, uint32_t from, uint64_t now)
{
	for (uint32_t i = from; i < s->n; i++)
		for (int p = 0; p < SAMPLE_PERIODS; p++)
			if (is_due(&s->unit[i], p, now))
				return i;
	return SAMPLE_NONE;
}

static uint64_t bits(uint8_t pages)
{
	return (uint64_t)__builtin_popcount(pages);
}

void sample_end(struct sample *s, uint32_t unit, uint64_t now, uint8_t there)
{
	struct sample_unit *u = &s->unit[unit];

	for (int p = 0; p < SAMPLE_PERIODS; p++) {
		if (!is_due(u, p, now))
			continue;
		uint64_t hot = s->hot[p] - bits(u->hot[p]);
		uint64_t there_now = s->there[p] - bits(u->there[p]);

		u->hot[p] = u->touched[p] & there;
		u->there[p] = there;
		__atomic_store_n(&s->hot[p], hot + bits(u->hot[p]), __ATOMIC_RELAXED);
		__atomic_store_n(&s->there[p], there_now + bits(there), __ATOMIC_RELAXED);
		u->begun[p] = 0;
	}
}

uint64_t sample_hot(const struct sample *s, enum sample_period p, uint64_t pages)
{
	uint64_t hot = __atomic_load_n(&s->hot[p], __ATOMIC_RELAXED);
	uint64_t there = __atomic_load_n(&s->there[p], __ATOMIC_RELAXED);

	/* read while they are being changed, hot may be the greater one */
	if (hot >= there)
		return pages;
	return (uint64_t)((double)pages * (double)hot / (double)there);
}
