/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A dump of a guest's RAM, on its worker.  One at a time; all functions are the
 * worker's, dump_free excepted.
 */
#ifndef DRUM_VMM_DUMP_H
#define DRUM_VMM_DUMP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct guest;
struct command;
struct pagein;

/* What the control thread asks for; it stays until the command is answered. */
struct dump_order {
	int fd;		  /* the dump device, its until then */
	const char *path; /* of it, for messages */
	uint64_t room;	  /* bytes that it has */
	bool sparse;	  /* a file with holes: what is zero need not be written */
	/* filled in by the worker */
	bool begun;	/* something was written */
	uint64_t bytes; /* that it takes */
	uint64_t lost;	/* pages that could not be read */
};

/*
 * Begin what cmd->order says.
 * => 0, and cmd is answered at the end; or cmd->err: -ENOSPC, -ENOMEM, and
 *    nothing was written
 */
int must_check dump_begin(struct guest *g, struct command *cmd);
void dump_step(struct guest *g);
bool dump_busy(const struct guest *g);

/* Is it what the command with this ctx has begun? */
bool dump_is_of(const struct guest *g, const void *ctx);
/* End it early: its command is answered with e once its writes have ended. */
void dump_cancel(struct guest *g, const struct err *e);
/* The thread ends: answer now. */
void dump_abandon(struct guest *g, const struct err *e);
/* After the ring is gone; what was abandoned. */
void dump_free(struct guest *g);

/* Of a page-in for a dump: it has been read; it cannot be. */
void dump_filled(const struct pagein *p);
void dump_unread(const struct pagein *p);

#endif
