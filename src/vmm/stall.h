/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The watchdog: a fault that waits for longer than paging.stall_after is told,
 * with what it waits for (the "indefinite wait" of BSD's swap_pager).
 *
 *	stall.c		the guest's worker looks at what waits
 *	host_watch.c	the control thread looks at workers that do not come round
 *
 * And what is told to the accounting of stalls of who waits (stall.c).
 */
#ifndef DRUM_VMM_STALL_H
#define DRUM_VMM_STALL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "swap/drum.h"

struct guest;
struct mapper;

/* Why a fault could not be served yet. */
enum stall_why {
	STALL_NONE, /* it was */
	/* parked */
	STALL_LIMIT,	 /* the guest is at its limit; for LIMIT_WAIT_NS at most */
	STALL_NO_PAGEIN, /* all page-ins are busy */
	/* parked, or read and not put in place yet */
	STALL_CHANGING,	 /* the process's address space is changing: EAGAIN */
	STALL_NO_MEMORY, /* ENOMEM: of its memory cgroup, or of the host */
	/* in a page-in */
	STALL_READ,    /* the device has not answered */
	STALL_FAILING, /* it has, with an error; it is asked again */
	STALL_WHYS
};

/* Where a worker is in its turn. */
enum worker_step {
	STEP_START,
	STEP_WAIT, /* for completions, and what these set off */
	STEP_FAULTS,
	STEP_PAGEINS,
	STEP_PARKED,
	STEP_DISKS,
	STEP_SUBMIT,
	STEP_MESSAGES,
	STEP_COMMANDS,
	STEP_PAGEOUT,
	STEP_MOVES,
	STEP_JOB,
	STEP_MAP,
	STEPS
};

/* What is told. */
struct guest_stall {
	bool over;	  /* nothing has waited for so long any more */
	uint64_t page;	  /* UINT64_MAX: not known */
	uint64_t seconds; /* so far */
	const char *path; /* of the device that it waits for, or that has the page; or NULL */
	const char *why;
};

/* A guest's, of what waits now. */
struct stalls {
	uint64_t look_at; /* ns: not before */
	bool told;	  /* and nothing of its being over */
	uint64_t told_at; /* ns */
	uint64_t since;	  /* ns, of what was told */
	enum stall_why why;
	drum_addr addr;

	/* [a] of the oldest fault at the last look, for the control thread */
	uint64_t oldest_page; /* UINT64_MAX: none waits */
	drum_addr oldest_addr;

	/* [a] of the worker */
	uint64_t beat; /* ns, when its turn began */
	int step;      /* enum worker_step */
	int tid;       /* 0: not yet */

	/* the control thread's */
	uint64_t seen_beat;
	uint32_t seen_ticks; /* seconds since it changed */
	bool stuck_told;
};

/* Guest's worker, once in a turn. */
void stall_look(struct guest *g, uint64_t now);

/* Guest's worker. */
void stall_step(struct guest *g, enum worker_step step);

/*
 * The share of time in which vCPUs wait (stallshare.h).  All are the guest's worker's.
 * stall_begin: a thread has faulted, and is about to be served; stall_wait: it waits on, and
 * for what; stall_end: it has been served; stall_page_done: whoever waits for the page
 * is awake.
 */
void stall_begin(struct guest *g, const struct mapper *mp, pid_t tid, uint64_t addr,
		 uint64_t now);
void stall_wait(struct guest *g, pid_t tid, uint64_t page, enum stall_why why);
void stall_end(struct guest *g, pid_t tid, uint64_t page, uint64_t now);
void stall_page_done(struct guest *g, uint64_t page);
/* Once in a turn, before anything is served. */
void stall_share_step(struct guest *g);
void stall_share_init(struct guest *g);

/* "page-out". Any thread. */
const char *stall_step_name(enum worker_step step);

#endif
