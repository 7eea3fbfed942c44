/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who gets how much: from a snapshot of the host and its guests, what each may have.
 *
 * Min-funding revocation with an idle memory tax (Waldspurger, OSDI'02, 5.1-5.3), solved
 * for its equilibrium: the price of memory, in shares for each byte, where an idle byte
 * counts 1/(1 - tax) times, is the same for all whose demand is not met; nobody goes below
 * its reservation or above its limit or what it can use.
 *
 * Pure: no clock, no allocation, the same decisions for the same input in whatever order.
 * Sizes in bytes, times in ns, shares of time in millionths.
 *
 * What holds after each round, whatever the input:
 *	grant >= reservation, of all that are not busy, also when the budget is less than all
 *	reservations (which count in full: what a guest has reserved is lent to nobody);
 *	grant <= limit, target <= limit;
 *	what all may grow by until the next round, beyond reservations, is at most what is free
 *	less 2 % of the budget, so that guests cannot run over the budget between two rounds.
 *
 * When the figures stay as they are, targets do not move.  When only the measurement of
 * working sets is noisy, by 5 % up and down, they move within 2 % of themselves.  After a
 * step of demand they are where they belong, within 2 %, in 60 rounds of a second, but for
 * what a guest holds that was active: that needs up to four minutes to count as idle
 * (tests/unit/test_arbiter_sim.c).
 */
#ifndef DRUM_BALLOON_ARBITER_H
#define DRUM_BALLOON_ARBITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Of the free memory, in percent of the budget, as in ESX: HIGH until less than 4 are free,
 * SOFT until less than 2, HARD until less than 1; and LOW until 2 are free again, HARD until 4,
 * SOFT until 6.  When all have just what they are due, 6.25 are free.
 */
enum arbiter_level {
	ARBITER_HIGH, /* enough: nothing is taken but what is cold and not missed, and, slowly,
		       * what others are due who would have more */
	ARBITER_SOFT, /* by balloon where a guest has free memory, else by paging */
	ARBITER_HARD, /* by paging, whatever the balloons do */
	ARBITER_LOW,  /* and nobody is admitted, and what is above its share gets no more */
	ARBITER_LEVELS
};

const char *arbiter_level_name(enum arbiter_level level); /* "high" */

struct arbiter_conf {
	uint64_t budget;       /* for the RAM of all guests; 0: nothing is decided */
	uint32_t tax;	       /* on idle memory, percent, 0 to 99 */
	uint32_t stall_target; /* "some" up to which cold memory is taken; 0: none is */
	uint64_t reading;      /* of drum.conf, that was applied; the arbiter does not look */
};

#define ARBITER_TAX	     75
#define ARBITER_STALL_TARGET 1000 /* 0.1 % */

/* Why a guest has what it has: what bounds it. */
enum arbiter_why {
	ARBITER_OFF,	     /* no budget is set */
	ARBITER_ENOUGH,	     /* all that it can use */
	ARBITER_PRICE,	     /* its shares, at the price that all pay */
	ARBITER_AT_LIMIT,    /* its limit */
	ARBITER_RESERVATION, /* no less than its reservation, or ARBITER_LEAST */
	ARBITER_COLD,	     /* all that it uses; what was cold was taken */
	ARBITER_BUSY,	     /* nothing is decided: it is coming, going, or being paged in */
	ARBITER_WHYS
};

const char *arbiter_why_name(enum arbiter_why why); /* "price" */

/* The least that a guest is left with, be its reservation and its shares as they may. */
#define ARBITER_LEAST (UINT64_C(16) << 20)

struct arbiter_guest {
	/* in: its terms */
	uint64_t size, reservation, limit; /* reservation <= limit <= size */
	uint64_t shares;		   /* at least 1 */
	/* in: what is seen */
	uint64_t resident, swapped;  /* of its RAM; the rest is holes */
	uint64_t working_set;	     /* touched within a minute, as far as known */
	bool guess;		     /* which is not at all: it was attached just now */
	uint64_t cold;		     /* in memory or on swap, and not touched for 5 minutes */
	uint32_t some_10s, some_60s; /* stalls */
	bool busy;		     /* nothing can be asked of it now */
	uint64_t
		balloon_gives; /* what its balloon would take without pain; 0: not to be used */

	/* between rounds; zero at first, then as the last round has left it */
	struct {
		bool known, guess;
		uint64_t active;    /* smoothed working set */
		uint64_t target;    /* as decided last */
		uint64_t rate;	    /* of cold memory that is taken, bytes a second */
		uint64_t took_at;   /* ns, when cold memory was taken last; 0: never */
		uint64_t looked_at; /* ns, when it was thought about last */
		uint64_t resident;  /* as seen last */
	} keep;

	/* the arbiter's own, within a round */
	struct {
		uint64_t least, most; /* of what it can be due */
		uint64_t due;	      /* at the price that holds */
		uint64_t room;	      /* beyond that, of what nobody needs */
	} work;

	/* out */
	uint64_t target;  /* what it is due: what it uses and room to grow, or less */
	uint64_t grant;	  /* most that may be resident from now on; >= reservation; above target
			   * as long as memory is free that nobody needs */
	uint64_t balloon; /* bytes that its balloon is to take from it now, 0: none */
	uint64_t take;	  /* bytes of cold memory to be paged out besides */
	uint64_t price;	  /* that it pays: shares for each GiB of its target, taxed */
	uint64_t next;	  /* and would pay if it were due one MiB more */
	enum arbiter_why why;
};

struct arbiter_host {
	/* in */
	uint64_t available; /* memory of the host that could be had (MemAvailable) */
	/* between rounds */
	enum arbiter_level level;
	uint64_t decided_at; /* ns, 0: never */
	/* out */
	uint64_t used;	/* of the budget: what is resident */
	uint64_t free;	/* of the budget, or of the host if that is less */
	uint64_t price; /* that all pay whose demand is not met; 0: there is enough for all */
	uint64_t steps; /* what the round cost: how often a guest was looked at */
};

/*
 * now: ns, not before the last round.  The first round of a host, and the first that a guest is
 * in, has zero in what is kept.
 *
 * => tax above 99 counts as 99, shares 0 as 1, a limit above the size as the size, a
 * reservation above the limit as the limit
 */
void arbiter_decide(const struct arbiter_conf *conf, struct arbiter_host *host,
		    struct arbiter_guest *guest, size_t n, uint64_t now);

#endif
