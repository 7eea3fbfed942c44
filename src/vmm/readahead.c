/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A touch is looked up in the streams first: it belongs to one if it lies on the
 * stream's steps, behind the page that was touched last and not far beyond what
 * was asked for.  Where it comes to the marker, or beyond, the next window is
 * asked for, twice as large.  A page that had been asked for and is on swap has
 * been evicted again before its turn: the window is halved.
 *
 * Touches that belong to no stream are remembered.  Three neighbours in a row, or
 * four pages at another constant distance, are a new stream.  Others may come
 * between them, so several streams can begin at the same time; by chance, in random
 * access, hardly any does.  A chance stream has asked for FIRST pages when it
 * gives way.
 *
 * No sum leaves [0, npages): ends() counts the steps that are left before one is taken.
 */

#include "vmm/readahead.h"

#define FIRST 4u /* steps, the first window */
/* A stream may skip so many steps and is still the same one: some of its
 * pages were mapped. */
#define SLACK	      16u
#define SLACK_STRIDED 2u
/* Touches after which one that belongs to no stream is forgotten: the column beside
 * this one was walked down some time ago. */
#define FORGET 512u
/* From this window on it is taken to be sure of itself. */
#define SURE 8u

static bool is_near(int64_t step)
{
	return step == 1 || step == -1;
}

static uint64_t size_of(int64_t step)
{
	return step < 0 ? 0 - (uint64_t)step : (uint64_t)step;
}

/* How many steps can be taken from page on and stay within RAM. */
static uint64_t steps_left(uint64_t page, int64_t step, uint64_t npages)
{
	return (step > 0 ? npages - 1 - page : page) / size_of(step);
}

/* Where `to` lies, seen from `from`, in steps. => false: between two */
static bool steps_to(uint64_t from, uint64_t to, int64_t step, int64_t *n)
{
	uint64_t far = to > from ? to - from : from - to, size = size_of(step);

	if (far % size != 0)
		return false;
	/* far may be anything up to 2^64 - 1 */
	far = far / size < INT64_MAX ? far / size : INT64_MAX;
	*n = (to > from) == (step > 0) ? (int64_t)far : -(int64_t)far;
	return true;
}

/* The next window of s, from `from` on. */
static struct readahead_ask ask(struct readahead *r, struct readahead_stream *s, uint64_t from,
				uint64_t npages)
{
	struct readahead_ask a = { .from = from, .step = s->step };
	uint64_t left = 1 + steps_left(from, s->step, npages);

	a.n = left < s->window ? (uint32_t)left : s->window;
	a.sure = s->window >= SURE;
	a.stream = (unsigned int)(s - r->stream);
	s->mark = from;
	/* at the end of RAM it stays on the last page, and asks for no more */
	s->next = left > a.n ? from + (uint64_t)s->step * a.n : UINT64_MAX;
	return a;
}

static void grow(struct readahead_stream *s)
{
	uint32_t max = is_near(s->step) ? READAHEAD_MAX : READAHEAD_MAX_STRIDED;

	s->window = s->window * 2 < max ? s->window * 2 : max;
}

/* Does the touch belong to s?  ahead: steps from it to what was not asked for yet */
static bool belongs(const struct readahead_stream *s, uint64_t page, int64_t *ahead)
{
	int64_t done, slack = is_near(s->step) ? SLACK : SLACK_STRIDED;

	if (s->window == 0 || !steps_to(s->last, page, s->step, &done) || done < 0)
		return false;
	if (s->next == UINT64_MAX) {
		*ahead = 1; /* all is asked for up to the end of RAM */
		return true;
	}
	return steps_to(page, s->next, s->step, ahead) && *ahead >= -slack;
}

static struct readahead_ask go_on(struct readahead *r, struct readahead_stream *s,
				  uint64_t page, int64_t ahead, uint64_t npages, bool missing)
{
	struct readahead_ask none = { 0 };
	int64_t behind;

	s->used = r->clock;
	s->last = page;
	if (missing && ahead > 0) {
		s->window = s->window > 2 ? s->window / 2 : 1;
	} else if (!steps_to(s->mark, page, s->step, &behind) || behind < 0 ||
		   s->next == UINT64_MAX) {
		return none;
	} else {
		grow(s);
		if (ahead > 0)
			return ask(r, s, s->next, npages);
	}
	if (steps_left(page, s->step, npages) == 0)
		return none;
	return ask(r, s, page + (uint64_t)s->step, npages);
}

static bool was_touched(const struct readahead *r, uint64_t page)
{
	for (int i = 0; i < READAHEAD_RECENT; i++)
		if (r->recent[i] == page + 1 && r->clock - r->when[i] <= FORGET)
			return true;
	return false;
}

/* => the step of those before it that page is the last of, or 0 */
static int64_t find_step(const struct readahead *r, uint64_t page, uint64_t npages)
{
	for (unsigned int i = 1; i <= READAHEAD_RECENT; i++) {
		unsigned int at = (r->at - i) % READAHEAD_RECENT;
		uint64_t e = r->recent[at];
		int64_t step = (int64_t)(page - (e - 1));
		unsigned int want, n = 1;

		if (e == 0 || r->clock - r->when[at] > FORGET)
			break;
		if (step == 0 || size_of(step) > READAHEAD_STRIDE)
			continue;
		want = is_near(step) ? 2 : 3;
		/* back from page, within RAM */
		while (n < want && steps_left(page, -step, npages) > n &&
		       was_touched(r, page - (uint64_t)step * (n + 1)))
			n++;
		if (n == want)
			return step;
	}
	return 0;
}

static struct readahead_ask begin(struct readahead *r, uint64_t page, int64_t step,
				  uint64_t npages)
{
	struct readahead_stream *oldest = &r->stream[0];

	if (steps_left(page, step, npages) == 0)
		return (struct readahead_ask){ 0 };
	for (int i = 1; i < READAHEAD_STREAMS; i++)
		if (r->clock - r->stream[i].used > r->clock - oldest->used)
			oldest = &r->stream[i];
	*oldest = (struct readahead_stream){
		.last = page, .step = step, .window = FIRST, .used = r->clock
	};
	return ask(r, oldest, page + (uint64_t)step, npages);
}

struct readahead_ask readahead_touch(struct readahead *r, uint64_t page, uint64_t npages,
				     bool missing)
{
	int64_t ahead, step;

	r->clock++;
	if (page >= npages)
		return (struct readahead_ask){ 0 };
	for (int i = 0; i < READAHEAD_STREAMS; i++)
		if (belongs(&r->stream[i], page, &ahead))
			return go_on(r, &r->stream[i], page, ahead, npages, missing);
	step = find_step(r, page, npages);
	if (step != 0)
		return begin(r, page, step, npages);
	r->recent[r->at] = page + 1;
	r->when[r->at] = r->clock;
	r->at = (r->at + 1) % READAHEAD_RECENT;
	return (struct readahead_ask){ 0 };
}

void readahead_cut(struct readahead *r, const struct readahead_ask *a, uint32_t n)
{
	struct readahead_stream *s = &r->stream[a->stream];

	if (n >= a->n || s->window == 0 || s->step != a->step)
		return;
	s->next = a->from + (uint64_t)a->step * n;
}
