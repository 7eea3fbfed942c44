/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hold_thread PID NAME: stops that thread of a process, as a debugger does, and lets
 * it go at the end of file on standard input.  "held" says that it stands.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

/* => its id, or 0 */
static pid_t find(const char *pid, const char *name)
{
	char path[300], comm[64];
	struct dirent *d;
	pid_t found = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/task", pid);
	dir = opendir(path);
	while (dir && !found && (d = readdir(dir))) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%s/task/%s/comm", pid, d->d_name);
		f = fopen(path, "re");
		if (f && fgets(comm, sizeof(comm), f)) {
			comm[strcspn(comm, "\n")] = 0;
			if (strcmp(comm, name) == 0)
				found = atoi(d->d_name);
		}
		if (f)
			fclose(f);
	}
	if (dir)
		closedir(dir);
	return found;
}

int main(int argc, char **argv)
{
	char byte;
	pid_t tid;
	int status;

	if (argc != 3) {
		fprintf(stderr, "usage: hold_thread PID NAME\n");
		return 2;
	}
	tid = find(argv[1], argv[2]);
	if (tid == 0 || ptrace(PTRACE_SEIZE, tid, 0, 0) < 0 ||
	    ptrace(PTRACE_INTERRUPT, tid, 0, 0) < 0 || waitpid(tid, &status, __WALL) != tid) {
		fprintf(stderr, "hold_thread: %s of %s: %s\n", argv[2], argv[1],
			tid ? strerror(errno) : "no such thread");
		return 1;
	}
	puts("held");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	ptrace(PTRACE_DETACH, tid, 0, 0);
	return 0;
}
