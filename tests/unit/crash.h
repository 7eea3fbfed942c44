/* SPDX-License-Identifier: BSD-2-Clause */
/* What files hold if a process dies in the middle of something, at any instruction. */
#ifndef DRUM_TESTS_CRASH_H
#define DRUM_TESTS_CRASH_H

#include <stddef.h>

#define CRASH_FILES_MAX 4

/*
 * Run fn in a child, one instruction at a time, and call look with copies of
 * the n memfds each time that they have changed, and at the end.  What fn does
 * to other memory is seen by nobody, unless it is shared.
 * => how often look was called
 */
unsigned int crash_everywhere(void (*fn)(void *arg), const int *fd, size_t n,
			      void (*look)(void *arg, const int *copy), void *arg);

#endif
