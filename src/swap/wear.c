/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * What was written is counted in buckets of an hour, in a ring: the hour H is in slot
 * H % WEAR_SLOTS, and each slot says which hour it is of, so that none has to be emptied when
 * its time is over.  "The last D days" are this hour and the 24 D before it: what was written
 * D days ago to the second is still counted, so no stretch of D days ever has more than D times
 * the budget, wherever it begins.  (The price is that what somebody writes all at once is free
 * again after D days and up to an hour.)
 *
 * Which hour it is.  Clocks are set, and a machine may come up in 1970.  So the record has a
 * clock of its own, which never goes back.  What the wall clock is to it:
 *
 *	not behind	it is the wall clock.
 *	a little	up to LITTLE: it stands still, and waits.
 *	more		it is `behind`: it goes on by what the wall clock does, forwards, by
 *			LITTLE at most from one look to the next.
 *
 * A clock that is set back thus frees nothing, and locks nothing for longer: hours pass
 * from where they were.  (A time in which nobody looked, because the machine was off, hardly
 * counts while it is behind.  That is too strict, not too generous.)
 *
 * When the wall clock is right again, after a start in 1970 say, the record's clock makes up
 * for the time that the machine was off.  What was written since it fell behind has not become
 * older by that: those hours are moved along (catch_up), so that each has the age that it had,
 * or less.
 *
 * A step forward cannot be told from a machine that was off.  Each that is wrong has what was
 * written before it forgotten too early; when it is taken back the record is behind, maybe for
 * good, and works.  Times before 1970 are 1970, and those after the year 9999 are that: there
 * is room for 200,000 years more.
 */

#include "swap/wear.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "swap/wear_priv.h"

#define LITTLE (WEAR_HOUR / 6)

static uint64_t add(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static void count(struct wear *w, uint32_t hour, uint64_t bytes)
{
	struct wear_slot *s = &w->image.slot[hour % WEAR_SLOTS];

	if (s->hour != hour)
		*s = (struct wear_slot){ .hour = hour };
	s->bytes = add(s->bytes, bytes);
	w->dirty[hour % WEAR_SLOTS] = true;
	w->changed = true;
}

/* --- the clock ------------------------------------------------------------------------- */

/* The clock is about to become `now`: the hours since it fell behind keep their age. */
static void catch_up(struct wear *w, int64_t now)
{
	struct wear_header *h = &w->image.header;
	const uint32_t from = (uint32_t)h->behind, last = wear_hour(now);
	uint32_t on = last - wear_hour(h->clock);
	static_assert(sizeof(w->image.slot) <= 16384, "a copy is nothing for a stack");
	struct wear_slot was[WEAR_SLOTS];

	h->behind = 0;
	w->changed = true;
	/* an hour that is further now would end earlier than it did */
	if (now % WEAR_HOUR > h->clock % WEAR_HOUR)
		on++;
	if (!on)
		return;
	memcpy(was, w->image.slot, sizeof(was));
	for (uint32_t i = 0; i < WEAR_SLOTS; i++) {
		if (was[i].hour >= from)
			w->image.slot[i] = (struct wear_slot){ 0 };
		w->dirty[i] = true;
	}
	/* Those that count have a slot each in their new places, too; of those that stay only
	 * such as do not count any more can be in their way. */
	for (uint32_t i = 0; i < WEAR_SLOTS; i++) {
		if (was[i].hour >= from && was[i].bytes &&
		    was[i].hour + 24 * WEAR_DAYS_MAX >= wear_hour(h->clock))
			count(w, was[i].hour + on < last ? was[i].hour + on : last,
			      was[i].bytes);
	}
	w->moved = true;
}

static void look_at_clock(struct wear *w, int64_t now)
{
	struct wear_header *h = &w->image.header;
	int64_t passed;

	now = now < 0 ? 0 : now > WEAR_NOW_MAX ? WEAR_NOW_MAX : now;
	if (now >= h->clock) {
		if (h->behind)
			catch_up(w, now);
		h->clock = now;
	} else if (h->clock - now > LITTLE) {
		if (!h->behind) {
			h->behind = wear_hour(h->clock);
			w->changed = true;
		}
		passed = now - h->wall;
		passed = passed < 0 ? 0 : passed > LITTLE ? LITTLE : passed;
		h->clock += passed;
	}
	h->wall = now;
}

/* --- the record ------------------------------------------------------------------------ */

struct wear *wear_open(int state_dir, const char *path, int64_t now, struct err *e)
{
	struct wear *w = calloc(1, sizeof(*w));

	if (!w) {
		err_set(e, -ENOMEM, "no memory for the record of what is written to %s", path);
		return NULL;
	}
	w->dir = state_dir;
	wear_file_open(w, path);
	look_at_clock(w, now);
	return w;
}

void wear_close(struct wear *w, int64_t now)
{
	int rc;

	if (!w)
		return;
	look_at_clock(w, now);
	rc = wear_save(w);
	if (rc < 0)
		log_warn("%s in the state directory cannot be written: %s", w->name,
			 strerror(-rc));
	if (w->fd >= 0)
		close(w->fd);
	free(w);
}

/* --- figures --------------------------------------------------------------------------- */

void wear_add(struct wear *w, uint64_t bytes, int64_t now)
{
	look_at_clock(w, now);
	if (bytes)
		count(w, wear_hour(w->image.header.clock), bytes);
}

void wear_set_budget(struct wear *w, uint64_t per_day)
{
	if (w->image.header.budget == per_day)
		return;
	w->image.header.budget = per_day;
	w->changed = true;
}

uint64_t wear_budget(const struct wear *w)
{
	return w->image.header.budget;
}

uint64_t wear_written(struct wear *w, unsigned int days, int64_t now)
{
	uint64_t sum = 0;
	uint32_t last, first; /* no slot is later than the clock */

	look_at_clock(w, now);
	last = wear_hour(w->image.header.clock);
	first = last > 24 * days ? last - 24 * days : 0;
	for (uint32_t i = 0; i < WEAR_SLOTS; i++) {
		const struct wear_slot *s = &w->image.slot[i];

		if (s->hour >= first)
			sum = add(sum, s->bytes);
	}
	return sum;
}

uint64_t wear_left(struct wear *w, int64_t now, unsigned int *days)
{
	static const unsigned int all[] = { 1, 7, WEAR_DAYS_MAX };
	uint64_t budget = w->image.header.budget, left = UINT64_MAX;
	unsigned int tightest = 0;

	for (size_t i = 0; budget && i < sizeof(all) / sizeof(all[0]); i++) {
		uint64_t may, written = wear_written(w, all[i], now);

		if (__builtin_mul_overflow(budget, (uint64_t)all[i], &may) || may == UINT64_MAX)
			may = UINT64_MAX - 1; /* UINT64_MAX would be "no budget" */
		may = may > written ? may - written : 0;
		if (may < left) {
			left = may;
			tightest = all[i];
		}
	}
	if (days)
		*days = tightest;
	return left;
}
