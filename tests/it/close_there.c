/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * close_there PID FD: close descriptor FD of process PID, as if it had done so itself.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "keeper/attach.h"

int main(int argc, char **argv)
{
	struct attach_target there = { .pid = argc == 3 ? atoi(argv[1]) : 0 };
	struct err e = { 0 };

	if (there.pid <= 0) {
		fprintf(stderr, "usage: close_there PID FD\n");
		return 2;
	}
	there.pidfd = (int)syscall(SYS_pidfd_open, there.pid, 0);
	if (there.pidfd < 0) {
		fprintf(stderr, "close_there: process %d: %s\n", (int)there.pid,
			strerror(errno));
		return 1;
	}
	if (attach_close(&there, atoi(argv[2]), &e) < 0) {
		fprintf(stderr, "close_there: %s\n", e.text);
		return 1;
	}
	return 0;
}
