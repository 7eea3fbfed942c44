/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptors that must survive this process, by name.
 *
 * They survive an exec of another drumd in this process (handed over), and
 * those that are put with `service` also survive the process, if a service
 * manager with a descriptor store runs it: systemd's FDSTORE=1 and LISTEN_FDS,
 * sd_notify(3), sd_listen_fds(3).  However they come back, store_take has them.
 *
 * The store has duplicates of its own: what it is given, and what it gives,
 * is the caller's.  Any thread may call, but for the start and the handing over.
 */
#ifndef DRUM_KEEPER_STORE_H
#define DRUM_KEEPER_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define STORE_NAME_MAX 255u   /* printable ASCII without blank and ':', as systemd has it */
#define STORE_MAX      16384u /* descriptors */
#define STORE_TEXT_MAX 600u

/* The lowest number of a descriptor of the store: those below are for others. */
#define STORE_FD_MIN 10

/*
 * Take what an earlier drumd, or the service manager, has left, out of the
 * environment.  What is not as it must be is closed, and logged.  Once, before
 * any thread.  => how many there are
 */
size_t store_init(void);

/* Forget all, and close it, without a word to the service manager: for tests. */
void store_fini(void);

/* Has this process been another drumd before? */
bool store_was_handed_over(void);

/*
 * Keep a duplicate of fd; in place of one of that name.  It need not succeed:
 * what is not in the store is found in another way, or was not needed.
 * => 0, -EINVAL no such name, -ENFILE full, -errno; logged
 */
int store_put(const char *name, int fd, bool service);

/* => a duplicate, close-on-exec, which is the caller's; -ENOENT; -errno */
int must_check store_take(const char *name);

/* Nobody needs it any more. */
void store_forget(const char *name);

/* Forget all those that nobody has put or taken since the start, and needed()
 * does not want. => how many */
size_t store_sweep(bool (*needed)(const char *name));

/* Short texts that are handed over with descriptors; "" if there is none.  No newline. */
void store_set(const char *key, const char *text);
const char *store_get(const char *key);

/*
 * Before an exec: let all of it be inherited, and the environment say so.
 * After that only the exec, or store_keep if it has failed.
 * => 0, or -errno
 */
int must_check store_hand_over(struct err *e);
void store_keep(void);

/* To the service manager, if there is one: "READY=1". */
void store_notify(const char *state);

#endif
