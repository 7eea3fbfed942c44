/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * An upgrade replaces the files of drumd and drum-pager while both run.  The
 * keeper goes on to start pagers, and a pager must be of its own build: so both
 * files are held open from the start, and a pager is executed from there when
 * its path has become another file.
 *
 * To become the new drumd (program_exec) is an exec in this process: children,
 * descriptors and the process id stay.  The new one gets the old one's two files
 * too, as old-drumd and old-pager.  If it does not come so far that its pager
 * serves, it becomes the old one again (program_exec_back), which is told why
 * and does not try again by itself.
 */

#include "keeper/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/version.h"
#include "config.h"
#include "keeper/store.h"

#define CHECK_MS   5000
#define ARGS_MAX   16
#define OLD_DRUMD  "old-drumd"
#define OLD_PAGER  "old-pager"
#define DELETED	   " (deleted)"
#define OUTPUT_MAX 1024

extern char **environ;

static struct {
	char path[PATH_MAX];	   /* of drumd; another file may be there by now */
	char pager_path[PATH_MAX]; /* the same of drum-pager */
	int fd, pager_fd;	   /* these programs */
	char *argv[ARGS_MAX + 1];
} self = { .fd = -1, .pager_fd = -1 };

/* A check under way. */
static struct check {
	struct loop *loop;
	struct loop_watch *exit, *timer;
	int pidfd, output;
	pid_t pid;
	bool timed_out;
	program_checked_fn done;
	void *arg;
} check;

/* "/proc/self/exe" of a file that was replaced ends with " (deleted)". */
static int find_self(struct err *e)
{
	size_t deleted = strlen(DELETED);
	ssize_t n = readlink("/proc/self/exe", self.path, sizeof(self.path) - 1);

	if (n <= 0)
		return err_set(e, -errno, "cannot read /proc/self/exe: %s", strerror(errno));
	self.path[n] = '\0';
	if ((size_t)n > deleted && strcmp(self.path + n - deleted, DELETED) == 0)
		self.path[(size_t)n - deleted] = '\0';
	return 0;
}

/* Beside drumd in a build tree, else where it was installed. */
static void find_pager(void)
{
	const char *slash = strrchr(self.path, '/');

	snprintf(self.pager_path, sizeof(self.pager_path), "%.*s/drum-pager",
		 (int)(slash ? slash - self.path : 0), self.path);
	if (access(self.pager_path, X_OK) < 0)
		snprintf(self.pager_path, sizeof(self.pager_path), "%s/drum-pager",
			 DRUM_LIBEXECDIR);
}

static int open_program(const char *path)
{
	int low = open(path, O_PATH | O_CLOEXEC);
	int fd = low < 0 ? -1 : fcntl(low, F_DUPFD_CLOEXEC, STORE_FD_MIN);

	if (low >= 0)
		close(low);
	return fd;
}

int program_init(struct err *e)
{
	/* put back after another one has failed: the files are the old ones */
	bool back = store_get("failed")[0] != '\0';
	int ret = find_self(e);

	if (ret < 0)
		return ret;
	/* executed by descriptor it would be named after that */
	prctl(PR_SET_NAME, "drumd");
	find_pager();
	self.fd = open_program("/proc/self/exe");
	self.pager_fd = back ? store_take(OLD_PAGER) : open_program(self.pager_path);
	if (back && self.pager_fd < 0)
		errno = -self.pager_fd;
	if (self.pager_fd < 0)
		return err_set(e, -errno, "cannot start the pager: %s: %s", self.pager_path,
			       strerror(errno));
	return 0;
}

/* => whether the file at path is the one that is open */
static bool is_still(const char *path, int fd)
{
	struct stat at, opened;

	return stat(path, &at) == 0 && fstat(fd, &opened) == 0 && at.st_dev == opened.st_dev &&
	       at.st_ino == opened.st_ino;
}

void program_exec_pager(void)
{
	char name[] = "drum-pager";
	char *argv[] = { name, NULL };

	if (is_still(self.pager_path, self.pager_fd))
		execv(self.pager_path, argv);
	syscall(SYS_execveat, self.pager_fd, "", argv, environ, AT_EMPTY_PATH);
}

/* Run a program; what it prints, also on standard error, comes from *output. */
static pid_t start(const char *path, char *const argv[], int *output, struct err *e)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none;
	int fds[2], ret;
	pid_t pid = -1;

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_set(e, -errno, "cannot make a pipe: %s", strerror(errno));
	sigemptyset(&none);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, fds[1], 1);
	posix_spawn_file_actions_adddup2(&files, fds[1], 2);
	posix_spawnattr_init(&attr);
	/* a group of its own, so that it ends with all that it has started */
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setpgroup(&attr, 0);
	ret = posix_spawn(&pid, path, &files, &attr, argv, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	close(fds[1]);
	if (ret == 0) {
		*output = fds[0];
		return pid;
	}
	close(fds[0]);
	return err_set(e, -ret, "cannot execute %s: %s", path, strerror(ret));
}

/* The last line of what it has printed. */
static void last_line(int output, char line[ERR_TEXT_MAX])
{
	char buf[OUTPUT_MAX];
	ssize_t n = read(output, buf, sizeof(buf) - 1);
	char *at;

	buf[n > 0 ? n : 0] = '\0';
	while (n > 0 && (buf[n - 1] == '\n' || buf[n - 1] == '\r'))
		buf[--n] = '\0';
	at = strrchr(buf, '\n');
	snprintf(line, ERR_TEXT_MAX, "%.400s", at ? at + 1 : buf);
}

/* => 0 and the version, if it has ended well and printed "NAME VERSION" */
static int judge(const char *path, const char *name, int status, const char *line,
		 char version[VERSION_MAX], struct err *e)
{
	size_t len = strlen(name);

	if (WIFSIGNALED(status))
		return err_set(e, -ECHILD, "%s ended by signal %d", path, WTERMSIG(status));
	if (WEXITSTATUS(status) != 0)
		return err_set(e, -ECHILD, "%s does not run: %s", path,
			       line[0] ? line : "it failed and said nothing");
	if (strncmp(line, name, len) != 0 || line[len] != ' ' ||
	    strlen(line + len) >= VERSION_MAX)
		return err_set(e, -ENOEXEC, "%s is no %s: it says '%.60s'", path, name, line);
	snprintf(version, VERSION_MAX, "%s", line + len + 1);
	return 0;
}

int program_pager_version(char version[VERSION_MAX], struct err *e)
{
	char name[] = "drum-pager", option[] = "--version", line[ERR_TEXT_MAX];
	char *argv[] = { name, option, NULL };
	int output, status = 0;
	pid_t pid = start(self.pager_path, argv, &output, e);
	struct pollfd end;

	if (pid < 0)
		return pid;
	/* what it prints fits into the pipe, so its end is what to wait for */
	end = (struct pollfd){ .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };
	if (poll(&end, 1, CHECK_MS) == 0)
		kill(-pid, SIGKILL);
	waitpid(pid, &status, 0);
	close(end.fd);
	last_line(output, line);
	close(output);
	return judge(self.pager_path, name, status, line, version, e);
}

static void end_check(void)
{
	loop_remove(check.exit);
	loop_remove(check.timer);
	close(check.pidfd);
	close(check.output);
	check.loop = NULL;
}

static void on_exit_of_check(void *arg, uint32_t events)
{
	char line[ERR_TEXT_MAX], version[VERSION_MAX] = "";
	struct err e = { 0 };
	int status = 0;

	(void)arg;
	(void)events;
	waitpid(check.pid, &status, 0);
	last_line(check.output, line);
	if (check.timed_out)
		err_set(&e, -ETIMEDOUT, "%s does not answer within %d s", self.path,
			CHECK_MS / 1000);
	else
		(void)!judge(self.path, "drumd", status, line, version, &e);
	end_check();
	check.done(check.arg, version, &e);
}

static void on_timeout(void *arg)
{
	(void)arg;
	check.timed_out = true;
	kill(-check.pid, SIGKILL);
}

int program_check(struct loop *l, char *const argv[], program_checked_fn done, void *arg,
		  struct err *e)
{
	char *with[ARGS_MAX + 2], option[] = "--check";
	int n = 0;

	for (; n < ARGS_MAX && argv[n]; n++)
		with[n] = argv[n];
	with[n++] = option;
	with[n] = NULL;
	check = (struct check){ .loop = l, .done = done, .arg = arg };
	check.pid = start(self.path, with, &check.output, e);
	if (check.pid < 0)
		return check.pid;
	check.pidfd = (int)syscall(SYS_pidfd_open, check.pid, 0);
	check.exit = loop_add(l, check.pidfd, EPOLLIN, on_exit_of_check, NULL);
	check.timer = loop_every(l, CHECK_MS, on_timeout, NULL);
	if (check.exit && check.timer)
		return 0;
	err_set(e, -errno, "cannot watch %s: %s", self.path, strerror(errno));
	kill(-check.pid, SIGKILL);
	waitpid(check.pid, NULL, 0);
	if (check.exit)
		loop_remove(check.exit);
	if (check.timer)
		loop_remove(check.timer);
	close(check.pidfd);
	close(check.output);
	return e->code;
}

void program_set_arguments(char *const argv[])
{
	for (int i = 0; i <= ARGS_MAX; i++) {
		self.argv[i] = argv[i];
		if (!argv[i])
			return;
	}
	abort();
}

char *const *program_arguments(void)
{
	return self.argv;
}

int program_exec(struct err *e)
{
	char why[STORE_TEXT_MAX];
	int ret;

	store_set("from", drum_version);
	store_set("failed", "");
	store_put(OLD_DRUMD, self.fd, false);
	store_put(OLD_PAGER, self.pager_fd, false);
	ret = store_hand_over(e);
	if (ret < 0)
		return ret;
	execv(self.path, self.argv);
	snprintf(why, sizeof(why), "cannot execute %.500s: %s", self.path, strerror(errno));
	store_keep();
	return program_exec_back(why, e);
}

int program_exec_back(const char *why, struct err *e)
{
	int fd = store_take(OLD_DRUMD), ret;

	if (fd < 0)
		return err_set(e, fd, "there is no drumd to go back to");
	log_err("this drumd does not start, the one before it goes on: %s", why);
	store_set("failed", why);
	ret = store_hand_over(e);
	if (ret == 0) {
		syscall(SYS_execveat, fd, "", self.argv, environ, AT_EMPTY_PATH);
		ret = err_set(e, -errno, "cannot execute the drumd before this one: %s",
			      strerror(errno));
		store_keep();
	}
	close(fd);
	return ret;
}

void program_started(void)
{
	store_forget(OLD_DRUMD);
	store_forget(OLD_PAGER);
}
