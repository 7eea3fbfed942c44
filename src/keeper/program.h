/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The programs drumd and drum-pager: which files they are, running them, and
 * becoming another drumd.
 */
#ifndef DRUM_KEEPER_PROGRAM_H
#define DRUM_KEEPER_PROGRAM_H

#include <limits.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/version.h"

/* The descriptor with which a pager is started, and the lowest that no program cares for. */
#define PROGRAM_CHANNEL_FD 3

/*
 * Find this program and its pager, and hold both open: files of these names
 * may be others later.  Once, before any thread, after store_init.
 * => 0, or -errno: there is no pager
 */
int must_check program_init(struct err *e);

/* In a child: become the pager that was found.  => only if it cannot be, errno tells */
void program_exec_pager(void);

/* => 0 and what `drum-pager --version` says it is, or -errno; waits for it, at most 5 s */
int must_check program_pager_version(char version[VERSION_MAX], struct err *e);

/*
 * Look whether what is at drumd's path now runs, takes these options and this
 * configuration, and has a pager of its own version: run it with --check.
 * done is called from the loop, with e->code 0 and its version, or why not.
 * One at a time.
 */
typedef void (*program_checked_fn)(void *arg, const char *version, const struct err *e);
int must_check program_check(struct loop *l, char *const argv[], program_checked_fn done,
			     void *arg, struct err *e);

/* The options of this drumd, for the next one; argv[0] and NULL included. */
void program_set_arguments(char *const argv[]);
char *const *program_arguments(void);

/*
 * Become what is at drumd's path now, with all that is stored.  If that cannot be
 * executed, become what we are once more, with store_get("failed") saying why.
 * Only with threads that nobody will miss.
 * => only if neither can be: -errno, and all is as before
 */
int program_exec(struct err *e);

/* Become the drumd before this one, for this one cannot start; it is told why. */
int program_exec_back(const char *why, struct err *e);

/* This one has started: let go of the one before it. */
void program_started(void);

#endif
