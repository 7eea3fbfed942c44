/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A signal frame for a thread that is made to do a system call, so that it
 * finds back by itself if its tracer dies in the middle.
 *
 * The thread does the call at a `syscall; ret` that its process has somewhere.
 * What it returns to is the process's own `mov $15, %eax; syscall`, which is
 * rt_sigreturn(2), with a frame that holds all registers, the state of the
 * FPU and the signal mask as they were found.  Pure: bytes in, bytes out, but
 * for the search.
 */
#ifndef DRUM_KEEPER_SIGFRAME_H
#define DRUM_KEEPER_SIGFRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "base/err.h"

#define SIGFRAME_MAX 16384u /* bytes; AMX has some 11,000 of them */

/* Addresses in the other process. */
struct sigframe_site {
	uint64_t call;	    /* of `syscall; ret`; 0: not looked for yet */
	uint64_t sigreturn; /* of rt_sigreturn */
};

/*
 * Look through what the process has mapped executable.
 * => 0; -ENOTSUP it has no such code (or a shadow stack, under which it is of
 *    no use), -ESRCH, -errno
 */
int must_check sigframe_find(pid_t pid, struct sigframe_site *site, struct err *e);

/* Is it still there? */
bool sigframe_holds(pid_t pid, const struct sigframe_site *site);

/*
 * The frame that takes a thread back to regs, its signal mask and its xstate
 * (as PTRACE_GETREGSET has it), to end below the address `top` there.  A
 * call that was interrupted starts again, or ends with EINTR where only the
 * kernel could tell how it starts again.
 * => bytes in buf, and *sp, where they go: the stack pointer that the `ret`
 *    must find; 0 if they are too many
 */
size_t must_check sigframe_build(uint8_t buf[SIGFRAME_MAX], const struct user_regs_struct *regs,
				 uint64_t sigmask, const uint8_t *xstate, size_t xstate_len,
				 uint64_t top, const struct sigframe_site *site, uint64_t *sp);

#endif
