/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A process's own memory stays in RAM: who serves page faults must not wait for
 * one of its own, which may take as long as the shortage of memory does that
 * made the guests wait in the first place.
 */
#ifndef DRUM_BASE_MEMLOCK_H
#define DRUM_BASE_MEMLOCK_H

#include <stddef.h>

/*
 * Lock what is mapped, and whatever is mapped from now on as soon as it is
 * touched; before there are other threads.  What cannot be locked is told in one
 * warning.  Builds with AddressSanitizer do nothing: all of its shadow would be.
 */
void memlock_all(void);

/* This is mapped, but not ours: whoever it belongs to may have it paged out. */
void memlock_exempt(void *p, size_t n);

/* Have this memory, and so much of the calling thread's stack as it will ever
 * use, now rather than when it is needed. */
void memlock_touch(void *p, size_t n);
void memlock_touch_stack(void);

/*
 * The system is out of memory: let it end something else first.  A process that
 * is ended takes all guests' memory with it, and is not what took the memory.
 * Inherited by children; nothing happens where it is not allowed.
 */
void memlock_spare_me(void);

#endif
