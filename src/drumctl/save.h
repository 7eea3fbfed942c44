/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file that is whole or as it was: written beside its place under another name, then put
 * there, with the mode that it had.  What is no regular file, as /dev/stdout, is written to as
 * it is.
 */
#ifndef DRUM_DRUMCTL_SAVE_H
#define DRUM_DRUMCTL_SAVE_H

#include <limits.h>
#include <stdio.h>

#include "base/err.h"

struct save {
	const char *path;		     /* as it was given; the caller's */
	FILE *file;			     /* to write to; errors are found at the end */
	char to[PATH_MAX], beside[PATH_MAX]; /* "" if it is written in its place */
};

/* => 0 or -errno */
int must_check save_begin(struct save *s, const char *path, struct err *e);

/* Nothing comes of it.  What is no regular file has what was written so far. */
void save_abort(struct save *s);

/* It is complete.  => 0, or -errno: the file is as it was */
int must_check save_end(struct save *s, struct err *e);

#endif
