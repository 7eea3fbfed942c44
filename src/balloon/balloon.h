/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The balloon of one guest: a state machine that says what to ask it for.
 *
 *	absent		there is no balloon, nobody who could be asked, or no driver
 *	idle		it has what was asked for, or within the dead band
 *	inflating	it is asked for memory, a step at a time, and gives it
 *	deflating	it is given memory back
 *	stuck		it does not follow, or says that it does and gives nothing: nothing is
 *			asked of it for a while, and the guest is paged instead
 *
 * Pure arithmetic: what is seen in, what to ask for out.  Sizes in bytes, times in ns.
 */
#ifndef DRUM_BALLOON_BALLOON_H
#define DRUM_BALLOON_BALLOON_H

#include <stdbool.h>
#include <stdint.h>

enum balloon_state {
	BALLOON_ABSENT,
	BALLOON_IDLE,
	BALLOON_INFLATING,
	BALLOON_DEFLATING,
	BALLOON_STUCK,
	BALLOON_STATES
};

const char *balloon_state_name(enum balloon_state s);

struct balloon_view {
	uint64_t now;
	bool there;	 /* it can be asked, and its device was seen */
	uint64_t size;	 /* RAM of the guest without a balloon */
	uint64_t actual; /* RAM that it has left, as it says */
	uint64_t used;	 /* pages that are not holes, as we see: resident and swapped */
	/* what the guest's driver tells; stats false: nothing (no driver, or an old one) */
	bool stats;
	uint64_t stats_at; /* when it told that */
	uint64_t free, available;
	bool deflate_on_oom;
	bool reports_free; /* it gives back free pages by itself */
};

struct balloon {
	enum balloon_state state;
	uint64_t since; /* ns, of the state */
	uint64_t asked; /* what was asked for last: RAM to be left; 0: nothing yet */
	uint64_t asked_at;
	uint64_t actual, moved_at; /* as last seen, and when that changed */
	uint64_t backoff;	   /* ns: how long it stays stuck */
	uint64_t hold_until; /* ns: it took memory back by itself (OOM): inflate nothing */
	char why[96];	     /* of absent and stuck */
};

/*
 * want: RAM that the guest is to be left with, at most size.
 * => what to ask for (`balloon value`), or 0: nothing now
 */
uint64_t balloon_step(struct balloon *b, const struct balloon_view *v, uint64_t want);

/* How much it would give without pain: free memory beyond what the guest should keep. */
uint64_t balloon_gives(const struct balloon *b, const struct balloon_view *v);

/* RAM that the guest needs at least, as far as it tells; size if it does not. */
uint64_t balloon_need(const struct balloon_view *v);

#endif
