/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading memory that may vanish: a guarded mapping of guest RAM raises SIGBUS
 * where the guest has given a page back in the meantime.
 */
#ifndef DRUM_BASE_GUARD_H
#define DRUM_BASE_GUARD_H

#include "base/err.h"

/*
 * Call fn(arg), which may read such memory and must hold nothing (no lock, no
 * memory) that would be lost if it does not return.  Any thread; not nested.
 * => 0, or -EFAULT: it was left in the middle by SIGBUS
 */
int must_check guard_run(void (*fn)(void *arg), void *arg);

#endif
