/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fault points: named places where a test can make something fail.
 *
 *	err = point_hit("file-read");
 *	if (err) ...
 *
 * They are compiled in where DRUM_POINTS is defined, which is in the builds
 * with sanitizers that unit and stress tests use, and in points/drumd and
 * points/drum-pager for tests with real guests; elsewhere point_hit is 0 and
 * costs nothing.  After FreeBSD's fail(9).
 */
#ifndef DRUM_BASE_POINT_H
#define DRUM_BASE_POINT_H

#include <stdint.h>

#define POINT_NAME_MAX 31

#ifdef DRUM_POINTS

/* => 0, or what the point has been set to: -errno. Any thread. */
int point_hit(const char *name);

/*
 * Set a point: pass over `skip` hits, then fail every n-th (1: each) with err,
 * at most `times` times (0: without end).  err 0 takes it away.
 */
void point_set(const char *name, int err, uint64_t skip, uint64_t every, uint64_t times);

/* How often the point has failed since it was set. */
uint64_t point_failed(const char *name);

void point_clear_all(void);

/*
 * A place where a test can have the process die at once, as by kill -9.  The
 * file that the environment's DRUM_POINTS names (see point.c) says at which;
 * any process that has the file may write it at any time.
 */
void point_crash(const char *name);

#else

static inline void point_crash(const char *name)
{
	(void)name;
}

static inline int point_hit(const char *name)
{
	(void)name;
	return 0;
}

#endif

#endif
