/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A window is judged once for each time it is taken: when the back hand takes
 * pages of it, or, if there was none to take, when the front hand comes again.
 * Then the share that has come back doubles, leaves or halves how often it is
 * passed over.
 *
 * Turns that are deemed to be over (windows_hurry) are counted for all windows at once,
 * and taken off a window's own when it is looked at: there may be 100,000 of them.
 *
 * The table of ghosts has an entry for 16 pages that are equally far apart, not
 * neighbours: what is evicted together does not push itself out.
 */
#include "vmm/windows.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/clock.h"

#define GHOST_SHARE   16u   /* pages that share an entry */
#define RECENT_MS     60000 /* REFAULT_RECENT */
#define MISTAKE_MS    1000  /* REFAULT_1S */
#define ENOUGH	      2048u /* evicted pages that tell how many were mistakes */
#define MS_MASK	      ((UINT32_C(1) << 27) - 1)
#define MANY	      4u  /* one mistake in so many evicted pages is too many: apart */
#define MISTAKES_PASS 16u /* in a window: it is passed over once */
#define FEW	      16u /* in so many is few: together */

/* => MAP_FAILED if there is no memory */
static void *table(uint64_t bytes)
{
	return mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
}

int windows_init(struct windows *w, uint64_t npages)
{
	*w = (struct windows){ .n = (npages + WINDOW_PAGES - 1) / WINDOW_PAGES,
			       .nghosts = (npages + GHOST_SHARE - 1) / GHOST_SHARE,
			       .apart = WINDOWS_APART };
	w->window = table(w->n * sizeof(*w->window));
	w->ghost = table(w->nghosts * sizeof(*w->ghost));
	if (w->window != MAP_FAILED && w->ghost != MAP_FAILED)
		return 0;
	windows_fini(w);
	return -ENOMEM;
}

void windows_fini(struct windows *w)
{
	if (w->window && w->window != MAP_FAILED)
		munmap(w->window, w->n * sizeof(*w->window));
	if (w->ghost && w->ghost != MAP_FAILED)
		munmap(w->ghost, w->nghosts * sizeof(*w->ghost));
	w->window = NULL;
	w->ghost = NULL;
}

/* Take off what windows_hurry has deemed to be over since it was looked at. */
static void settle(const struct windows *w, struct window *v)
{
	uint32_t turns = w->hurried - v->hurried;

	v->passes = (uint8_t)(v->passes > turns ? v->passes - turns : 0);
	v->hurried = w->hurried;
}

void windows_judge(struct windows *w, uint64_t window)
{
	struct window *v = &w->window[window];

	settle(w, v);
	if (v->zapped == 0)
		return;
	if (v->back >= v->zapped - v->zapped / 4 && v->backoff < WINDOW_BACKOFF)
		v->backoff++;
	else if (v->back < v->zapped / 2 && v->backoff > 0)
		v->backoff--;
	v->passes = (uint8_t)((1u << v->backoff) - 1);
	v->zapped = v->back = 0;
}

bool windows_take(struct windows *w, uint64_t window)
{
	struct window *v = &w->window[window];

	windows_judge(w, window);
	if (v->mistakes >= MISTAKES_PASS && v->passes == 0)
		v->passes = 1;
	v->mistakes = 0;
	if (v->passes == 0)
		return true;
	v->passes--;
	return false;
}

void windows_zapped(struct windows *w, uint64_t window, uint64_t pages)
{
	w->window[window].zapped = (uint16_t)pages;
	w->window[window].back = 0;
}

void windows_back(struct windows *w, uint64_t page)
{
	struct window *v = &w->window[page / WINDOW_PAGES];

	if (v->back < v->zapped)
		v->back++;
}

bool windows_is_cold(const struct windows *w, uint64_t window)
{
	return w->window[window].backoff == 0;
}

void windows_hurry(struct windows *w, uint64_t turns)
{
	w->hurried += (uint32_t)turns;
}

static struct ghost *find(struct windows *w, uint64_t page, uint32_t *tag)
{
	*tag = (uint32_t)(page / w->nghosts) + 1;
	return &w->ghost[page % w->nghosts];
}

void windows_evicted(struct windows *w, uint64_t page, uint64_t n, uint64_t now)
{
	uint32_t tag;

	for (uint64_t i = page; i < page + n; i++) {
		struct ghost *g = find(w, i, &tag);

		g->tag = tag & 31;
		g->ms = (uint32_t)(now / NSEC_PER_MSEC) & MS_MASK;
	}
	w->evicted += n;
}

enum refault windows_refault(struct windows *w, uint64_t page, uint64_t now)
{
	uint32_t tag, ms;
	struct ghost *g = find(w, page, &tag);
	struct window *v = &w->window[page / WINDOW_PAGES];

	if (g->tag != tag)
		return REFAULT_NONE;
	ms = ((uint32_t)(now / NSEC_PER_MSEC) - g->ms) & MS_MASK;
	g->tag = 0; /* it is told once */
	if (ms > RECENT_MS)
		return REFAULT_NONE;
	if (ms > MISTAKE_MS)
		return REFAULT_RECENT;
	w->mistakes++;
	v->mistakes += v->mistakes < UINT8_MAX;
	return REFAULT_1S;
}

uint64_t windows_distance(struct windows *w, uint64_t least)
{
	if (w->evicted >= ENOUGH) {
		if (w->mistakes >= w->evicted / MANY && w->apart < WINDOWS_APART_2)
			w->apart++;
		else if (w->mistakes < w->evicted / FEW && w->apart > WINDOWS_APART)
			w->apart--;
		w->evicted = w->mistakes = 0;
	}
	return least * w->apart / WINDOWS_APART;
}
