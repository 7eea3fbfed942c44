/* SPDX-License-Identifier: BSD-2-Clause */
/* The file of a record, as its writer has it: whole lines, one writer. */
#ifndef DRUM_DRUMCTL_RECORD_FILE_H
#define DRUM_DRUMCTL_RECORD_FILE_H

#include <stdbool.h>

#include <json-c/json.h>

#include "base/err.h"

struct record_file {
	int fd;
	const char *path; /* the caller's */
	bool torn;	  /* it ends within a line, which the next one must not continue */
};

/*
 * Open or make it, for appending.  => 0, or -errno: it is no record (-EINVAL),
 * another drumctl writes to it (-EBUSY), or it cannot be opened
 */
int must_check record_file_open(struct record_file *f, const char *path, struct err *e);

/*
 * Append the object as a line.  => 0 or -errno, and then nothing of it is there, as far as
 * that can be helped
 */
int must_check record_file_put(struct record_file *f, struct json_object *line, struct err *e);

void record_file_close(struct record_file *f);

/* Is it the first line of a record? */
bool record_is_header(struct json_object *line);

#endif
