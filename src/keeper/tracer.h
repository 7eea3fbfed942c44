/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The keeper's side of one guest: a thread that attaches its VMM and every
 * other process that maps its RAM, zaps in them when the pager's worker asks,
 * and holds every descriptor that must outlive the pager.
 */
#ifndef DRUM_KEEPER_TRACER_H
#define DRUM_KEEPER_TRACER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/proto.h"

struct tracer;

/* What all tracers share; must stay for as long as there is one. */
struct tracer_env {
	/* a tracer is ready, or has ended; called on its thread */
	void (*notify)(void *arg);
	void *arg;
	const char *run_dir;
	int dev_uffd;	/* -1: there is no /dev/userfaultfd */
	pid_t pager;	/* [a] maps guests' RAM too, by right; 0: none */
	bool pin_check; /* [a] the pager leaves pages alone that are in use by I/O */
};

/* Begin to attach; the tracer is ready later. => NULL: errno tells */
struct tracer *must_check tracer_attach(const struct tracer_env *env, pid_t pid,
					const char *name, uint32_t seq);

/*
 * Take back a guest that an earlier daemon left, by its file in the run
 * directory.  The guest channel comes through tracer_reconnect.
 * => NULL and e: it is gone (-ESRCH, its files are removed) or broken
 */
struct tracer *must_check tracer_adopt(const struct tracer_env *env, const char *name,
				       struct err *e);

/*
 * A pager is there: take the keeper's end of a new guest channel and tell it
 * everything.  Waits for nobody, least of all for the tracer's own thread.
 * The tracer is ready, and its error is 0.  => 0 or -errno
 */
int must_check tracer_reconnect(struct tracer *t, int channel);

/* End the thread, everything stays attached as it is; then free t. */
void tracer_leave(struct tracer *t);

/*
 * Stop no process any more, once what is under way is over; and go on (hold false).
 * env->notify is called when that is so.  A zap under way needs a pager to end.
 */
void tracer_hold(struct tracer *t, bool hold);
bool tracer_held(const struct tracer *t);

/* Is everything attached, or was it refused: then tracer_error says why. */
bool tracer_ready(const struct tracer *t);
const struct err *tracer_error(const struct tracer *t);

/* Is its thread about to end by itself? */
bool tracer_ended(const struct tracer *t);

/* Free t after that. */
void tracer_free(struct tracer *t);

const char *tracer_name(const struct tracer *t);
pid_t tracer_pid(const struct tracer *t);
uint32_t tracer_seq(const struct tracer *t);
uint64_t tracer_limit(const struct tracer *t); /* 0: none was set */

/* Does this guest's RAM consist of a memfd that pid maps too? */
bool tracer_owns(const struct tracer *t, pid_t pid);

#endif
