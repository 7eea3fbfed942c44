/* SPDX-License-Identifier: BSD-2-Clause */
#include "crash.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct file {
	size_t size;
	char *now;   /* the memfd's memory */
	char *known; /* what look has seen */
};

static void map(struct file *f, int fd)
{
	struct stat st;

	cr_assert_eq(fstat(fd, &st), 0);
	f->size = (size_t)st.st_size;
	f->now = mmap(NULL, f->size, PROT_READ, MAP_SHARED, fd, 0);
	cr_assert_neq(f->now, MAP_FAILED);
	f->known = malloc(f->size);
	cr_assert_not_null(f->known);
	memcpy(f->known, f->now, f->size);
}

static int copy_of(const struct file *f)
{
	int fd = memfd_create("copy", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, f->known, f->size), (ssize_t)f->size);
	return fd;
}

/* => whether a file is not as it was known */
static bool changed(struct file *f, size_t n)
{
	bool any = false;

	for (size_t i = 0; i < n; i++)
		if (memcmp(f[i].now, f[i].known, f[i].size) != 0) {
			memcpy(f[i].known, f[i].now, f[i].size);
			any = true;
		}
	return any;
}

static void show(const struct file *f, size_t n, void (*look)(void *arg, const int *copy),
		 void *arg)
{
	int copy[CRASH_FILES_MAX] = { 0 };

	for (size_t i = 0; i < n; i++)
		copy[i] = copy_of(&f[i]);
	look(arg, copy);
	for (size_t i = 0; i < n; i++)
		close(copy[i]);
}

unsigned int crash_everywhere(void (*fn)(void *arg), const int *fd, size_t n,
			      void (*look)(void *arg, const int *copy), void *arg)
{
	struct file f[CRASH_FILES_MAX];
	unsigned int looks = 0;
	int status;
	pid_t pid;

	cr_assert_leq(n, CRASH_FILES_MAX);
	for (size_t i = 0; i < n; i++)
		map(&f[i], fd[i]);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(77);
		raise(SIGSTOP);
		fn(arg);
		_exit(0);
	}
	for (;;) {
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		if (!WIFSTOPPED(status))
			break;
		/* it is not left behind when an assertion ends the test */
		if (WSTOPSIG(status) == SIGSTOP)
			ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_EXITKILL);
		cr_assert(WSTOPSIG(status) == SIGTRAP || WSTOPSIG(status) == SIGSTOP,
			  "the child got signal %d", WSTOPSIG(status));
		if (changed(f, n)) {
			show(f, n, look, arg);
			looks++;
		}
		cr_assert_eq(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
	}
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with %#x",
		  status);
	changed(f, n);
	show(f, n, look, arg);
	for (size_t i = 0; i < n; i++) {
		munmap(f[i].now, f[i].size);
		free(f[i].known);
	}
	return looks + 1;
}
