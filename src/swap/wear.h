/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How much was written to a swap device, hour by hour, for four weeks; and what its endurance
 * budget, bytes a day, leaves.
 *
 * The budget is obeyed over 1, 7 and 28 days: in the last D days no more than D times the
 * budget.  The tightest counts.  All that is written to the device counts, guests' pages too,
 * but only the swapcache daemon waits for it.
 *
 * One file for each device in the state directory, which outlives reboots: wear-KEY.  It is the
 * daemon's thread that reads and writes it; a file that is damaged is put aside and told of.
 *
 * Days are counted by whole hours, and so that the promise holds wherever a day begins: what is
 * written all at once is free again after D days and up to an hour.  A wall clock that is
 * set back changes nothing, one that is wrongly set forth has it forget too early; neither
 * locks anything (wear.c).
 */
#ifndef DRUM_SWAP_WEAR_H
#define DRUM_SWAP_WEAR_H

#include <stdint.h>

#include "base/err.h"

#define WEAR_DAYS_MAX 28u

struct wear;

/*
 * The record of the device that path names, as it was given (identities of devices
 * change with a reboot).  state_dir: the caller's, until wear_close; -1: nothing is kept.  now:
 * seconds since 1970, of the wall clock.
 * => NULL and e: out of memory.  A file that cannot be used is told in the log, and the record
 * is new, but for what can be believed of it
 */
struct wear *must_check wear_open(int state_dir, const char *path, int64_t now, struct err *e);
void wear_close(struct wear *w, int64_t now); /* it is saved; NULL is fine */

/* bytes were written; counted in the hour of now. */
void wear_add(struct wear *w, uint64_t bytes, int64_t now);
/* Write to the file what has changed. => 0 or -errno: it is tried again with the next call */
int must_check wear_save(struct wear *w);

/* Bytes a day; 0: no budget.  Kept in the file. */
void wear_set_budget(struct wear *w, uint64_t per_day);
uint64_t wear_budget(const struct wear *w);

/* Bytes written within the last `days` days: in this hour and the 24 * days before it. */
uint64_t wear_written(struct wear *w, unsigned int days, int64_t now);
/* Bytes that may still be written now; UINT64_MAX: there is no budget. days: which of
 * the three is the tightest (may be NULL). */
uint64_t wear_left(struct wear *w, int64_t now, unsigned int *days);

#endif
