/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configuration file, drumd.conf(5): sections and keys, as in
 *
 *	[drumd]
 *	run-dir = /run/drum
 *	log-level = info
 *	leave = no
 *
 *	[swap]
 *	device = /var/lib/drum/swap 10
 *	device = /dev/vg0/swap
 *
 * A file is taken as a whole or not at all, and what cannot be taken is told
 * with file and line, the key, and what is allowed there.
 */
#ifndef DRUM_BASE_CONF_H
#define DRUM_BASE_CONF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/log.h"

#define CONF_PRIORITY_MAX 32767 /* as swapon(8) */

struct conf_swap {
	char *path;   /* absolute */
	int priority; /* 0 (the default) to CONF_PRIORITY_MAX, higher is used first */
};

struct conf {
	char *run_dir; /* absolute */
	enum log_level log_level;
	bool leave; /* at the end, leave guests attached and waiting */
	struct conf_swap *swap;
	size_t swaps; /* in the order of the file */
};

/*
 * Fill c with what holds where the file says nothing.  c is to be given back
 * with conf_free, also when this failed.
 * => 0, or -ENOMEM with e filled
 */
int must_check conf_defaults(struct conf *c, struct err *e);

/*
 * Lay the file at path over c.
 * => 0; -EINVAL for what is in the file, -errno for the file itself: c is as
 *    before and e is filled
 */
int must_check conf_read(struct conf *c, const char *path, struct err *e);

void conf_free(struct conf *c); /* all zero is fine */

#endif
