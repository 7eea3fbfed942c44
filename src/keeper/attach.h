/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * System calls made in another process: the only user of ptrace.
 *
 * Each function stops one thread of the process for as long as its calls
 * take, and lets it go as it was found: a system call in which it was
 * blocked starts again, a signal that came meanwhile is delivered.  The
 * whole of one call must run on one thread of ours, any.
 *
 * We may be killed in the middle of any: the thread then finishes the system
 * call that it is in and finds back by itself; at worst a wait in which it was
 * ends with EINTR.
 *
 * Errors of all: -ESRCH the process is gone; -EPERM it may not be traced,
 * the text says what stands in the way; -ENOTSUP it is no 64-bit x86 process,
 * or has nothing to find back with.
 */
#ifndef DRUM_KEEPER_ATTACH_H
#define DRUM_KEEPER_ATTACH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "keeper/sigframe.h"

struct attach_target {
	pid_t pid;
	int pidfd;		   /* of the process that is meant: a pid that is
				    * another's by now is noticed */
	struct sigframe_site site; /* found when it is needed, and kept */
};

struct attach_range {
	uint64_t start; /* address there */
	uint64_t len;	/* bytes; both multiples of 4096 */
};

/*
 * Make a userfaultfd inside the process pid and bring it here.  Where
 * userfaultfd(2) is refused there (a process without privileges), it is made
 * from dev_uffd, a descriptor of /dev/userfaultfd, which is handed over for
 * the purpose and taken away again.
 * => 0, *fd is ours (close-on-exec, non-blocking), *remote its number there
 */
int must_check attach_userfaultfd(struct attach_target *target, int dev_uffd, int *fd,
				  int *remote, struct err *e);

/*
 * madvise(MADV_DONTNEED) of the ranges inside the process.  Where they are
 * registered with a userfaultfd this waits until its reader has read the
 * REMOVE events.
 */
int must_check attach_zap(struct attach_target *target, const struct attach_range *range,
			  size_t n, struct err *e);

/* Close descriptor remote inside the process. */
int must_check attach_close(struct attach_target *target, int remote, struct err *e);

#endif
