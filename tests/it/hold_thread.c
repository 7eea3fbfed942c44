/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hold_thread TID: stops that one thread of a process, as a debugger does, and lets
 * it go at the end of file on standard input, or when it is killed.  "held" says that
 * the thread stands.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	pid_t tid = argc == 2 ? atoi(argv[1]) : 0;
	char byte;
	int status;

	if (tid <= 0) {
		fprintf(stderr, "usage: hold_thread TID\n");
		return 2;
	}
	if (ptrace(PTRACE_SEIZE, tid, 0, 0) < 0 || ptrace(PTRACE_INTERRUPT, tid, 0, 0) < 0 ||
	    waitpid(tid, &status, __WALL) != tid) {
		fprintf(stderr, "hold_thread: %d: %s\n", (int)tid, strerror(errno));
		return 1;
	}
	puts("held");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	ptrace(PTRACE_DETACH, tid, 0, 0);
	return 0;
}
