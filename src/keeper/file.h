/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a regular file, and the file system under it, are worth as swap.
 *
 * Nothing is written.  What can be used, but not as well as it should be, is
 * told in a text of warnings.
 */
#ifndef DRUM_KEEPER_FILE_H
#define DRUM_KEEPER_FILE_H

#include <stdbool.h>
#include <sys/stat.h>

#include "base/err.h"

/* One more sentence for whoever switches it on; what does not fit is cut. */
void warn_of(struct err *warnings, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Every whole page of the file must be allocated: a hole would have to be
 * when a page is written there, which can fail just when memory is short.
 * Blocks that are allocated and were never written (fallocate) are fine.
 * => 0, or -EINVAL and e: sparse, with what to do; -errno
 */
int must_check file_check_allocated(int fd, const struct stat *st, const char *path,
				    struct err *warnings, struct err *e);

/* What its file system lacks for swap. */
void file_warn(int fd, bool direct, struct err *warnings);
/* Who else can read guests' memory there. */
void file_warn_readers(const struct stat *st, struct err *warnings);

/* Does reading and writing single pages past the page cache work?  Of a file
 * that is open with O_DIRECT, which some file systems take and do not honour;
 * or a block device. */
bool file_is_direct(int fd);

#endif
