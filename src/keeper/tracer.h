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

/*
 * Called on the tracer's thread.
 * attached: the answer to tracer_attach, once; channel is the worker's end of
 *	the guest channel (the callee's to close), -1 with an error.
 * ended: the thread is about to end by itself; nothing else is called after.
 */
struct tracer_ops {
	void (*attached)(struct tracer *t, const struct err *e, int channel);
	void (*ended)(struct tracer *t);
};

/* What all tracers share; must stay for as long as there is one. */
struct tracer_env {
	const struct tracer_ops *ops;
	const char *run_dir;
	int dev_uffd; /* -1: there is no /dev/userfaultfd */
	pid_t pager;  /* [a] maps guests' RAM too, by right; 0: none */
};

/* Begin to attach. => NULL: errno tells, nothing will be called */
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
 * A new pager is there: give the thread the keeper's end of a new guest
 * channel, on which it tells everything anew.  Any thread.
 */
void tracer_reconnect(struct tracer *t, int channel);

/* End the thread, everything stays attached as it is; then free t. */
void tracer_leave(struct tracer *t);

/* Has its thread called ops.ended (or is just about to return from it)? */
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
