/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that is out as a whole comes back: its working set first.  Theory of operation in
 * replay.c.
 */
#ifndef DRUM_VMM_REPLAY_H
#define DRUM_VMM_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/wset.h"

struct guest;

/* How far a `guest out` is. */
enum out_phase {
	OUT_RECORD, /* what is the working set is being recorded */
	OUT_COLD,   /* all else is written */
	OUT_LAST,   /* and now that */
};

struct replay {
	struct wset set;
	enum out_phase phase; /* of JOB_OUT */
	bool ever;	      /* a working set was recorded before this `guest out` */
	bool keep;	      /* what is recorded and on swap stays recorded */
	uint64_t next;	      /* page from which on is still to be recorded, or read */
	uint64_t passed;      /* pages that the back hand has passed since the last zap */
	bool armed;	      /* WSET_ARMED: the one look that a fault costs */
	bool going;	      /* WSET_REPLAY */
	bool ahead;	      /* of JOB_IN: the working set is still being read */
	uint64_t burst_since; /* ns, when the first of these faults was */
	unsigned int burst;   /* faults on pages of the working set */
	uint64_t begun;	      /* ns; and pages read since, for the log */
	uint64_t pages;
	uint64_t room_at; /* ns, when there was room last */
};

#define REPLAY_QUIET_NS (10 * NSEC_PER_SEC) /* a guest that has rested for so long is idle */
#define REPLAY_BURST	8u		    /* faults on its working set within */
#define REPLAY_BURST_NS NSEC_PER_SEC	    /* so long: it is no longer */
#define REPLAY_ROOM_NS                                                                         \
	(10 * NSEC_PER_SEC) /* that it waits for room, which a grant may give                  \
			     */
#define REPLAY_READS 8u	    /* reads in flight, beside which it adds none */

/* Of a new guest, or one of an earlier pager (g->adopted). */
void replay_init(struct guest *g, uint64_t now);
void replay_fini(struct guest *g);

/* `guest out` begins; is what there is to be recorded recorded (else: call again); and ends. */
void replay_out_begin(struct guest *g);
bool must_check replay_out_recorded(struct guest *g);
void replay_out_end(struct guest *g, uint64_t now);
/* Is this page's turn later? */
bool replay_is_later(const struct guest *g, uint64_t page);
/* The back hand went from page `from` to g->back; a zap is over; has it seen all there is? */
void replay_passed(struct guest *g, uint64_t from);
void replay_zapped(struct guest *g);
bool replay_seen_all(const struct guest *g);
/* All but the working set is out, if nothing is in flight.  => true: that begins, and the
 * front hand is to go round once more */
bool must_check replay_out_next(struct guest *g);

/* `guest in` begins; read on. => false: no more can be read now */
void replay_in_begin(struct guest *g);
bool must_check replay_in_step(struct guest *g);

/* The guest has touched a page that was not mapped. */
void replay_touched(struct guest *g, uint64_t page);
/* And it was on swap, or is being read: called if `armed`. */
void replay_fault(struct guest *g, uint64_t page, uint64_t now);
/* Once a turn. */
void replay_step(struct guest *g, uint64_t now);

#endif
