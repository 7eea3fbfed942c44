/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What of drumctl takes its time, or needs a terminal or a file system of its
 * own: filling, switching off, events.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <json-c/json.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "unit/drumctl_run.h"

#define GUARD_MS  20000
#define FILE_SIZE (8 << 20)

TestSuite(drumctl_live, .init = drumctl_setup, .fini = drumctl_teardown);

/* --- filling ----------------------------------------------------------------- */

static char file[128];

/* Data at the start, in the middle and at the end, holes between. */
static void make_sparse(void)
{
	int fd;

	snprintf(file, sizeof(file), "%s/file", dir);
	fd = open(file, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	cr_assert(ftruncate(fd, FILE_SIZE) == 0);
	cr_assert(pwrite(fd, "begin", 5, 0) == 5);
	cr_assert(pwrite(fd, "middle", 6, FILE_SIZE / 2 + 4090) == 6);
	cr_assert(pwrite(fd, "end", 3, FILE_SIZE - 3) == 3);
	cr_assert(fsync(fd) == 0);
	close(fd);
}

static long long allocated(void)
{
	struct stat st;

	cr_assert(stat(file, &st) == 0);
	cr_expect(st.st_size == FILE_SIZE, "size %lld", (long long)st.st_size);
	return 512ll * st.st_blocks;
}

static void expect_content(void)
{
	static char is[FILE_SIZE], wanted[FILE_SIZE];
	FILE *f = fopen(file, "re");

	memcpy(wanted, "begin", 5);
	memcpy(wanted + FILE_SIZE / 2 + 4090, "middle", 6);
	memcpy(wanted + FILE_SIZE - 3, "end", 3);
	cr_assert(fread(is, 1, FILE_SIZE, f) == FILE_SIZE);
	fclose(f);
	cr_expect(memcmp(is, wanted, FILE_SIZE) == 0, "the content was changed");
}

/* As on a file system without it. */
static void no_fallocate(void)
{
	struct sock_filter insns[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fallocate, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { sizeof(insns) / sizeof(insns[0]), insns };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
		_exit(126);
}

static void expect_fills(void (*prepare)(void))
{
	char log[FAKE_LOG_MAX];

	make_sparse();
	cr_assert(allocated() < FILE_SIZE / 2, "no sparse files here");
	run_prepared("swap on file --fill", prepare);
	cr_expect(code == 0, "exit %d: %s", code, errors);
	cr_expect_str_empty(errors, "no bar without a terminal: %s", errors);
	cr_expect(allocated() >= FILE_SIZE, "%lld", allocated());
	expect_content();
	stop_serving();
	snprintf(log, sizeof(log), "swap-on %s 0;", file);
	cr_expect_str_eq(fake_host_log(host), log);
	unlink(file);
}

Test(drumctl_live, fills_holes)
{
	expect_fills(NULL);
}

Test(drumctl_live, fills_holes_by_writing)
{
	expect_fills(no_fallocate);
}

Test(drumctl_live, fills_both_halves)
{
	make_sparse();
	run("swap on file --mirror none --fill");
	cr_expect(code == 1 && strstr(errors, "none: No such file or directory"), "%s", errors);
	cr_expect(allocated() >= FILE_SIZE);
	stop_serving();
	cr_expect_str_empty(fake_host_log(host), "nothing is switched on");
	unlink(file);
}

Test(drumctl_live, fills_regular_files_only)
{
	char message[512], fifo[128], empty[128];

	expect("swap on /dev/null --fill", 1, "",
	       "drumctl: swap on: cannot fill /dev/null: it is not a regular file; leave "
	       "--fill "
	       "away\n");
	snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
	cr_assert(mkfifo(fifo, 0600) == 0);
	snprintf(message, sizeof(message),
		 "drumctl: swap on: cannot fill %s: it is not a regular file; leave --fill "
		 "away\n",
		 fifo);
	expect("swap on fifo --fill", 1, "", message);
	unlink(fifo);
	snprintf(message, sizeof(message),
		 "drumctl: swap on: cannot fill %s: No such file or directory\n", fifo);
	expect("swap on fifo --fill", 1, "", message);
	snprintf(empty, sizeof(empty), "%s/empty", dir);
	close(open(empty, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	snprintf(message, sizeof(message),
		 "drumctl: swap on: cannot fill %s: it is empty; give it its size with "
		 "truncate(1)\n",
		 empty);
	expect("swap on empty --fill", 1, "", message);
	unlink(empty);
	stop_serving();
	cr_expect_str_empty(fake_host_log(host));
}

/* What drumd uses, it holds a lock on. */
Test(drumctl_live, does_not_fill_what_is_in_use)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char message[512];
	int fd;

	make_sparse();
	fd = open(file, O_RDWR | O_CLOEXEC);
	cr_assert(fcntl(fd, F_OFD_SETLK, &whole) == 0);
	snprintf(message, sizeof(message),
		 "drumctl: swap on: cannot fill %s: it is switched on as swap, or being "
		 "filled\n",
		 file);
	expect("swap on file --fill", 1, "", message);
	cr_expect(allocated() < FILE_SIZE / 2);
	close(fd);
	unlink(file);
}

/* A file system of 1 MiB, of the child alone. */
static void small_disk(void)
{
	char path[160], small[160];
	int fd;

	snprintf(small, sizeof(small), "%s/small", dir);

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", small, "tmpfs", 0, "size=1m") < 0)
		_exit(126);
	snprintf(path, sizeof(path), "%s/small/file", dir);
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, FILE_SIZE) < 0)
		_exit(126);
	close(fd);
}

static void small_disk_no_fallocate(void)
{
	small_disk();
	no_fallocate();
}

Test(drumctl_live, full_disk_while_filling)
{
	void (*const prepare[])(void) = { small_disk, small_disk_no_fallocate };
	char message[512], small[160];

	snprintf(small, sizeof(small), "%s/small", dir);
	cr_assert(mkdir(small, 0700) == 0);
	snprintf(message, sizeof(message),
		 "drumctl: swap on: cannot fill %s/small/file: No space left on device; what "
		 "was "
		 "allocated stays, make room or a smaller file\n",
		 dir);
	for (int i = 0; i < 2; i++) {
		run_prepared("swap on small/file --fill", prepare[i]);
		if (code == 126)
			cr_skip_test("no mount namespace of our own");
		cr_expect(code == 1, "exit %d", code);
		cr_expect_str_eq(errors, message, "%s", errors);
	}
	rmdir(small);
	stop_serving();
	cr_expect_str_empty(fake_host_log(host), "nothing is switched on");
}

/* --- a terminal ---------------------------------------------------------------- */

static int terminal = -1; /* our side of it */
static char screen[65536];
static size_t screen_len;

static unsigned short columns = 100;

static int terminal_open(void)
{
	struct winsize size = { .ws_row = 25, .ws_col = columns };
	int fd;

	terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	cr_assert(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
	fd = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
	cr_assert(fd >= 0 && ioctl(fd, TIOCSWINSZ, &size) == 0);
	screen[screen_len = 0] = '\0';
	return fd;
}

/* More of what is shown. => false: the other side is closed */
static bool terminal_read(void)
{
	struct pollfd p = { .fd = terminal, .events = POLLIN };
	ssize_t n;

	cr_assert(poll(&p, 1, GUARD_MS) == 1, "nothing happened for %d ms", GUARD_MS);
	n = read(terminal, screen + screen_len, sizeof(screen) - 1 - screen_len);
	if (n <= 0)
		return false;
	screen_len += (size_t)n;
	screen[screen_len] = '\0';
	return true;
}

static void wait_for(const char *text)
{
	screen[screen_len] = '\0';
	while (!strstr(screen, text))
		cr_assert(terminal_read(), "it ended, and said: %s", screen);
}

static pid_t begin_on_terminal(const char *line)
{
	int fd = terminal_open(), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	pid_t pid = begin(line, null, fd, NULL);

	close(fd);
	close(null);
	return pid;
}

/* => its exit code; all that it said is in screen then */
static int end_on_terminal(pid_t pid)
{
	while (terminal_read())
		;
	close(terminal);
	return end(pid);
}

/* --- switching off ------------------------------------------------------------- */

/* Until drumd is at it; without a word of the one who asked for it. */
static void wait_until_removing(void)
{
	do
		run("swap list -rno STATE");
	while (strcmp(out, "removing\n") != 0);
}

Test(drumctl_live, a_bar_while_switching_off)
{
	pid_t pid;

	fake_host_slow_off(host, FAKE_SWAP_USED / 4);
	run("swap on /swap");
	pid = begin_on_terminal("swap off /swap");
	cr_expect(end_on_terminal(pid) == 0);
	cr_expect(strstr(screen, "\r/swap [....."), "%s", screen);
	cr_expect(strstr(screen, "  0% 0 of 64M 0/s ETA -:--"), "%s", screen);
	cr_expect(strstr(screen, "/swap [#####"), "%s", screen);
	cr_expect(strstr(screen, " 50% 32M of 64M "), "%s", screen);
	cr_expect(strstr(screen, " ETA 0:0"), "%s", screen);
	/* 99 columns, the last of them free, and all of it taken away */
	cr_expect(screen[screen_len - 1] == '\r' && screen[screen_len - 2] == ' ', "%s",
		  screen);
	cr_expect(strcspn(strstr(screen, "\r/swap") + 1, "\r") == 99, "%s", screen);
	expect("swap list", 0, "", "");
}

Test(drumctl_live, a_bar_while_dumping)
{
	pid_t pid;

	fake_host_slow_dump(host, FAKE_GUEST_SIZE / 4);
	run("guest attach 7 --name a");
	run("dump set /d");
	pid = begin_on_terminal("dump a");
	cr_expect(end_on_terminal(pid) == 0);
	cr_expect(strstr(screen, "\ra [....."), "%s", screen);
	cr_expect(strstr(screen, "  0% 0 of 512M 0/s ETA -:--"), "%s", screen);
	cr_expect(strstr(screen, "\ra [#####"), "%s", screen);
	cr_expect(strstr(screen, " 50% 256M of 512M "), "%s", screen);
	cr_expect(screen[screen_len - 1] == '\r' && screen[screen_len - 2] == ' ', "%s",
		  screen);
}

/* No line of the bar is longer than a terminal of so many columns has room for. */
static void expect_fits(const char *name, unsigned short width, const char *part)
{
	char line[128];
	pid_t pid;

	columns = width;
	/* a new one each time, of which nothing is dumped yet */
	snprintf(line, sizeof(line), "guest attach 7 --name %s", name);
	run(line);
	snprintf(line, sizeof(line), "dump %s", name);
	pid = begin_on_terminal(line);
	cr_expect(end_on_terminal(pid) == 0);
	cr_expect(strstr(screen, part), "%d columns: %s", width, screen);
	snprintf(line, sizeof(line), "guest detach %s", name);
	run(line);
	for (const char *at = screen; *at; at += strcspn(at, "\r") + 1)
		cr_expect(strcspn(at, "\r") < width, "%d columns: %s", width, screen);
}

Test(drumctl_live, a_bar_in_a_narrow_terminal)
{
	fake_host_slow_dump(host, FAKE_GUEST_SIZE);
	run("dump set /d");
	/* there is no room for a bar, for a part of the name only, for the figures only, and
	 * not even for these */
	expect_fits("a123456789b123456789", 60, "\ra123456789b123456789 [...");
	expect_fits("a123456789b123456789", 52, "\ra123456789b123456789   0% 0 of 512M 0/s");
	expect_fits("a123456789b123456789", 40, "\r");
	expect_fits("a123456789b123456789", 20, "\r  0% 0 of 512M 0/s \r");
}

static void expect_interrupted(int exit_code)
{
	char expected[512];

	cr_expect(exit_code == 130, "exit %d", exit_code);
	snprintf(expected, sizeof(expected),
		 "drumctl: swap off: interrupted; /swap stays enabled, and all that is on it "
		 "(cancelled, /swap stays on)");
	cr_expect(strstr(screen, expected), "%s", screen);
	run("swap list -rno NAME,STATE");
	cr_expect_str_eq(out, "/swap on\n");
}

Test(drumctl_live, interrupted_on_a_terminal)
{
	pid_t pid;

	fake_host_slow_off(host, 0);
	run("swap on /swap");
	pid = begin_on_terminal("swap off /swap");
	wait_for(" of 64M");
	kill(pid, SIGINT);
	expect_interrupted(end_on_terminal(pid));
}

Test(drumctl_live, interrupted_without_a_terminal)
{
	FILE *e = tmpfile();
	int exit_code;
	pid_t pid;

	fake_host_slow_off(host, 0);
	run("swap on /swap");
	pid = begin("swap off /swap", 1, fileno(e), NULL);
	wait_until_removing();
	kill(pid, SIGINT);
	exit_code = end(pid);
	slurp(e, screen, sizeof(screen));
	cr_expect(!strchr(screen, '\r'), "a bar: %s", screen);
	expect_interrupted(exit_code);
}

static bool is_blocked_or_ignored(pid_t pid, const char *what)
{
	unsigned long long mask = 0;
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, what, strlen(what)))
			mask = strtoull(line + strlen(what), NULL, 16);
	if (f)
		fclose(f);
	return mask & 1ull << (SIGINT - 1);
}

static void ignore_interrupts(void)
{
	signal(SIGINT, SIG_IGN);
}

Test(drumctl_live, interrupts_that_are_ignored_stay_so)
{
	FILE *e = tmpfile();
	pid_t pid;

	fake_host_slow_off(host, 0);
	run("swap on /swap");
	pid = begin("swap off /swap", 1, fileno(e), ignore_interrupts);
	wait_until_removing();
	cr_expect(is_blocked_or_ignored(pid, "SigIgn:"));
	cr_expect(!is_blocked_or_ignored(pid, "SigBlk:"));
	kill(pid, SIGINT);
	/* from elsewhere */
	expect("swap off /swap --cancel", 0, "", "");
	cr_expect(end(pid) == 1);
	slurp(e, errors, sizeof(errors));
	cr_expect_str_eq(errors, "drumctl: swap off: cancelled, /swap stays on\n");
	expect("swap off /swap --cancel", 1, "",
	       "drumctl: swap off: /swap is not being switched off\n");
}

Test(drumctl_live, drumd_gone_while_switching_off)
{
	pid_t pid;

	fake_host_slow_off(host, 0);
	run("swap on /swap");
	pid = begin_on_terminal("swap off /swap");
	wait_for(" of 64M");
	stop_serving();
	cr_expect(end_on_terminal(pid) == 3);
	cr_expect(strstr(screen, "drumctl: swap off: lost drumd at "), "%s", screen);
}

/* --- jobs ------------------------------------------------------------------------ */

/* Ctrl-C ends the waiting, and says what does not end. */
Test(drumctl_live, interrupted_while_a_job_goes_on)
{
	FILE *e = tmpfile();
	pid_t pid;

	run("guest attach 7 --name a");
	fake_host_manual(host, true);
	pid = begin("guest out a", 1, fileno(e), NULL);
	do
		run("job list --noheadings");
	while (!strstr(out, "guest-out:a"));
	cr_expect(strstr(out, "running"), "%s", out);
	kill(pid, SIGINT);
	cr_expect(end(pid) == 130);
	slurp(e, errors, sizeof(errors));
	cr_expect_str_eq(errors,
			 "drumctl: guest out: interrupted; drumd goes on with it, which "
			 "'drumctl job cancel guest-out:a' ends\n");
	run("job list --noheadings");
	cr_expect(strstr(out, "guest-out:a"), "%s", out);
	expect("job dismiss guest-out:a", 1, "",
	       "drumctl: job dismiss: Job 'guest-out:a' in state 'running' cannot accept "
	       "command "
	       "verb 'dismiss'\n");
	expect("job cancel b", 1, "",
	       "drumctl: job cancel: Job not found: b; query-jobs lists those that there "
	       "are\n");
}

/* Also of a dump, whose bar goes away. */
Test(drumctl_live, interrupted_while_dumping)
{
	pid_t pid;

	run("guest attach 7 --name a");
	run("dump set /d");
	fake_host_manual(host, true);
	pid = begin_on_terminal("dump guest a");
	wait_for(" of 512M");
	kill(pid, SIGINT);
	cr_expect(end_on_terminal(pid) == 130);
	cr_expect(strstr(screen, " \rdrumctl: dump guest: interrupted; drumd goes on with it, "
				 "which 'drumctl job cancel guest-dump:a' ends"),
		  "%s", screen);
	run("job list --noheadings");
	cr_expect(strstr(out, "guest-dump:a"), "%s", out);
}

/* --- events -------------------------------------------------------------------- */

/* Events happen, of a path each, until drumctl has seen enough; out has what it said. */
static void run_events(const char *line, const char *path)
{
	FILE *o = tmpfile();
	pid_t pid = begin(line, fileno(o), 2, NULL);
	char on[256], off[256];
	int status, i;

	for (i = 0; waitpid(pid, &status, WNOHANG) == 0; i++) {
		snprintf(on, sizeof(on), "swap on %s%d", path, i);
		snprintf(off, sizeof(off), "swap off %s%d", path, i);
		run(on);
		run(off);
	}
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	slurp(o, out, sizeof(out));
}

Test(drumctl_live, events)
{
	int n = 0, lines = 0, year, micro, i = -1, last;
	char *line, *save, sign;

	setenv("TZ", "ABC-3:30", 1);
	run_events("events --count 10", "/swap"); /* of two devices */
	for (line = strtok_r(out, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		lines++;
		if (strstr(line, " JOB_STATUS_CHANGE id=swap-off:/swap"))
			continue;
		last = i;
		cr_expect(sscanf(line,
				 "%d-%*2d-%*2dT%*2d:%*2d:%*2d.%6d%c03:30 SWAP_DEVICE_REMOVED "
				 "path=/swap%d",
				 &year, &micro, &sign, &i) == 4,
			  "%s", line);
		cr_expect(year > 2020 && sign == '+' && i > last, "%s", line);
		n++;
	}
	cr_expect(n == 2 && lines == 10, "%d of %d lines", n, lines);
}

Test(drumctl_live, events_as_json)
{
	struct json_object *o, *v;
	char *line, *save;

	run_events("events -J -c 5", "/a\"b");
	for (line = strtok_r(out, "\n", &save); line && !strstr(line, "SWAP_DEVICE_REMOVED");
	     line = strtok_r(NULL, "\n", &save))
		;
	cr_assert(line);
	o = json_tokener_parse(line);
	cr_assert(json_pointer_get(o, "/data/path", &v) == 0);
	cr_expect(!strncmp(json_object_get_string(v), "/a\"b", 4));
	cr_expect(json_pointer_get(o, "/timestamp/seconds", &v) == 0);
	json_object_put(o);
}

/* What would not be one word is quoted. */
Test(drumctl_live, events_with_strange_paths)
{
	int lines = 0;

	run_events("events -c 5", "/a\"b");
	cr_expect(strstr(out, " SWAP_DEVICE_REMOVED path=\"/a\\\"b"), "%s", out);
	run_events("events -c 5", "/a\tb");
	cr_expect(strstr(out, " SWAP_DEVICE_REMOVED path=\"/a\\tb"), "%s", out);
	run_events("events -c 5", "/a\"b\n");
	cr_expect(strstr(out, " SWAP_DEVICE_REMOVED path=\"/a\\\"b\\n"), "%s", out);
	for (char *at = strchr(out, '\n'); at; at = strchr(at + 1, '\n'))
		lines++;
	cr_expect(lines == 5, "%s", out);
}

/* Each is there at once, also where output is buffered. */
Test(drumctl_live, events_are_not_kept)
{
	struct pollfd p = { .events = POLLIN };
	int fds[2], i, status;
	char line[64], said[8192];
	ssize_t n;
	pid_t pid;

	cr_assert(pipe2(fds, O_CLOEXEC) == 0);
	pid = begin("events", fds[1], 2, NULL);
	close(fds[1]);
	p.fd = fds[0];
	for (i = 0; poll(&p, 1, 0) == 0; i++) {
		cr_assert(i < 1000, "1000 events, and not a line");
		snprintf(line, sizeof(line), "swap on /x%d", i);
		run(line);
		snprintf(line, sizeof(line), "swap off /x%d", i);
		run(line);
	}
	/* what was kept comes as a full buffer, and that ends within a line */
	n = read(fds[0], said, sizeof(said));
	cr_expect(n > 0 && n < 4096 && said[n - 1] == '\n', "%zd bytes", n);
	/* it is still there */
	cr_expect(p.revents & POLLIN && !(p.revents & POLLHUP));
	kill(pid, SIGTERM);
	cr_expect(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
	close(fds[0]);
}

Test(drumctl_live, events_on_a_full_disk)
{
	FILE *e = tmpfile();
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC), i, status;
	pid_t pid = begin("events", full, fileno(e), NULL);
	char line[64];

	for (i = 0; waitpid(pid, &status, WNOHANG) == 0; i++) {
		snprintf(line, sizeof(line), "swap on /x%d", i);
		run(line);
		snprintf(line, sizeof(line), "swap off /x%d", i);
		run(line);
	}
	close(full);
	slurp(e, errors, sizeof(errors));
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	cr_expect_str_eq(errors,
			 "drumctl: events: cannot write the output: No space left on device\n",
			 "%s", errors);
}

Test(drumctl_live, events_end_with_the_daemon)
{
	FILE *o = tmpfile();
	pid_t pid = begin("events", fileno(o), 2, NULL);

	run("swap list");
	stop_serving();
	cr_expect(end(pid) == 3);
	fclose(o);
}
