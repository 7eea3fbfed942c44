/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors that survive: what is in the table, and what comes out of the environment. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/ipc.h"
#include "keeper/store.h"

#define LIMIT .timeout = 30

static int tagged(int tag)
{
	int fd = memfd_create("tagged", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(pwrite(fd, &tag, sizeof(tag), 0), (ssize_t)sizeof(tag));
	return fd;
}

/* => the tag of what is stored under that name; -1: nothing is */
static int taken(const char *name)
{
	int fd = store_take(name), tag = -1;

	if (fd < 0)
		return -1;
	if (pread(fd, &tag, sizeof(tag), 0) != (ssize_t)sizeof(tag) ||
	    !(fcntl(fd, F_GETFD) & FD_CLOEXEC) || fd < STORE_FD_MIN)
		tag = -2;
	close(fd);
	return tag;
}

static void put(const char *name, int tag)
{
	int fd = tagged(tag);

	cr_assert_eq(store_put(name, fd, false), 0);
	close(fd);
}

static bool nothing(const char *name)
{
	(void)name;
	return false;
}

static bool only_b(const char *name)
{
	return strcmp(name, "b") == 0;
}

Test(store, has_duplicates_of_its_own, LIMIT)
{
	put("a", 1);
	put("b", 2);
	cr_assert_eq(taken("a"), 1);
	cr_assert_eq(taken("a"), 1);
	cr_assert_eq(taken("b"), 2);
	put("a", 3);
	cr_assert_eq(taken("a"), 3);
	store_forget("a");
	store_forget("a");
	cr_assert_eq(taken("a"), -1);
	cr_assert_eq(taken("b"), 2);
	cr_assert_eq(store_take("c"), -ENOENT);
	store_fini();
	cr_assert_eq(taken("b"), -1);
}

Test(store, names_are_what_systemd_allows, LIMIT)
{
	char longest[STORE_NAME_MAX + 2];
	int fd = tagged(1);

	memset(longest, 'x', sizeof(longest));
	longest[STORE_NAME_MAX + 1] = '\0';
	cr_assert_eq(store_put(longest, fd, false), -EINVAL);
	longest[STORE_NAME_MAX] = '\0';
	cr_assert_eq(store_put(longest, fd, false), 0);
	cr_assert_eq(taken(longest), 1);
	cr_assert_eq(store_put("", fd, false), -EINVAL);
	cr_assert_eq(store_put("a:b", fd, false), -EINVAL);
	cr_assert_eq(store_put("a b", fd, false), -EINVAL);
	cr_assert_eq(store_put("a\nFDSTOREREMOVE=1", fd, false), -EINVAL);
	cr_assert_eq(store_put("\xc3\xa4", fd, false), -EINVAL);
	cr_assert_eq(store_put("closed", 9999, false), -EBADF);
	close(fd);
	store_fini();
}

Test(store, sweeps_only_what_nobody_has_asked_for, LIMIT)
{
	put("a", 1);
	cr_assert_eq(store_sweep(nothing), 0);
	cr_assert_eq(taken("a"), 1);
	store_fini();
}

/* What an earlier drumd would have left: `lines`, under the variable `value` of %d pid, %d fd.
 */
static void leave(const char *format, int pid, const char *memfd, const char *lines)
{
	int low = memfd_create(memfd, 0), fd = fcntl(low, F_DUPFD, 100);
	char value[64];

	close(low);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, lines, strlen(lines)), (ssize_t)strlen(lines));
	snprintf(value, sizeof(value), format, pid, fd);
	setenv("DRUM_HANDOVER", value, 1);
}

static int inherited(int tag, int number)
{
	int low = tagged(tag), fd = fcntl(low, F_DUPFD, number);

	close(low);
	cr_assert_geq(fd, number);
	return fd;
}

Test(store, takes_what_was_handed_over, LIMIT)
{
	int a = inherited(1, 200), b = inherited(2, 200), c = inherited(3, 200);
	char lines[300];

	snprintf(lines, sizeof(lines),
		 "drum-handover 1\nfd %d 0 a\nfd %d 1 b\ncolour blue\nfd %d 0 c\n"
		 "text from 0.1.0\ntext failed it did not start\n",
		 a, b, c);
	leave("%d:%d", getpid(), "drum-handover", lines);
	cr_assert_eq(store_init(), 3);
	cr_assert(store_was_handed_over());
	cr_assert_null(getenv("DRUM_HANDOVER"));
	cr_assert_eq(taken("a"), 1);
	cr_assert_str_eq(store_get("from"), "0.1.0");
	cr_assert_str_eq(store_get("failed"), "it did not start");
	cr_assert_str_eq(store_get("colour"), "");
	/* a is in use, b is wanted, c is not */
	cr_assert_eq(store_sweep(only_b), 1);
	cr_assert_eq(taken("c"), -1);
	cr_assert_eq(taken("b"), 2);
	store_fini();
}

Test(store, refuses_what_is_not_for_it, LIMIT)
{
	int a = inherited(1, 200);
	char lines[100];

	snprintf(lines, sizeof(lines), "drum-handover 1\nfd %d 0 a\n", a);
	leave("%d:%d", getpid() + 1, "drum-handover", lines);
	cr_assert_eq(store_init(), 0);
	leave("%d:%d", getpid(), "something-else", lines);
	cr_assert_eq(store_init(), 0);
	leave("%d:%d ", getpid(), "drum-handover", lines);
	cr_assert_eq(store_init(), 0);
	setenv("DRUM_HANDOVER", "1", 1);
	cr_assert_eq(store_init(), 0);
	leave("%d:%d", getpid(), "drum-handover", "drum-handover 2\nfd 5 0 a\n");
	cr_assert_eq(store_init(), 0);
	leave("%d:%d", getpid(), "drum-handover", "");
	cr_assert_eq(store_init(), 0);
	cr_assert_not(store_was_handed_over());
	cr_assert_null(getenv("DRUM_HANDOVER"));
	cr_assert_geq(fcntl(a, F_GETFD), 0); /* it was not touched */
}

Test(store, hostile_lines_cost_themselves_only, LIMIT)
{
	int a = inherited(1, 200), b = inherited(2, 200), twice = inherited(4, 200);
	char lines[4096], name[STORE_NAME_MAX + 2];

	memset(name, 'n', sizeof(name));
	name[STORE_NAME_MAX + 1] = '\0';
	snprintf(lines, sizeof(lines),
		 "drum-handover 1\nfd 0 0 stdin\nfd -1 0 minus\nfd 9999 0 closed\nfd\n"
		 "fd %d 0 a b\nfd %d 0 a:b\nfd %d 0 %s\nfd x 0 y\ntext\ntext lonely\n"
		 "fd %d 0 good\nfd %d 0 good\nfd 99999999999999999999 0 huge\n",
		 a, a, b, name, twice, twice);
	leave("%d:%d", getpid(), "drum-handover", lines);
	cr_assert_eq(store_init(), 1);
	cr_assert_eq(taken("good"), 4);
	cr_assert_geq(fcntl(0, F_GETFD), 0);
	store_fini();
}

Test(store, hands_over_all_and_can_take_it_back, LIMIT)
{
	char text[1000] = "", want[64];
	struct err e = { 0 };
	int pid, number, a, end;
	ssize_t n;

	put("a", 1);
	store_set("from", "0.1.0");
	store_set("failed", "two\nlines");
	cr_assert_eq(store_hand_over(&e), 0);
	cr_assert_eq(sscanf(getenv("DRUM_HANDOVER"), "%d:%d%n", &pid, &number, &end), 2);
	cr_assert_eq(pid, getpid());
	cr_assert_eq(fcntl(number, F_GETFD), 0);
	n = pread(number, text, sizeof(text) - 1, 0);
	cr_assert_gt(n, 0);
	cr_assert_eq(sscanf(text, "drum-handover 1\nfd %d 0 a\n", &a), 1);
	snprintf(want, sizeof(want), "text from 0.1.0\ntext failed two lines\n");
	cr_assert_not_null(strstr(text, want));
	cr_assert_eq(fcntl(a, F_GETFD), 0);
	store_keep();
	cr_assert_eq(fcntl(a, F_GETFD), FD_CLOEXEC);
	cr_assert_null(getenv("DRUM_HANDOVER"));
	cr_assert_eq(taken("a"), 1);
	store_fini();
}

/* In a child, since descriptors from 3 on are the test's own.  => its exit code */
static int under_systemd(const char *fds, const char *names, int pid_off)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		char pid[32];
		int one = inherited(1, 200), two = inherited(2, 200);

		dup2(one, 3);
		dup2(two, 4);
		snprintf(pid, sizeof(pid), "%d", (int)getpid() + pid_off);
		setenv("LISTEN_PID", pid, 1);
		setenv("LISTEN_FDS", fds, 1);
		setenv("LISTEN_FDNAMES", names, 1);
		if (store_init() > 9 || getenv("LISTEN_FDS"))
			_exit(99);
		_exit((taken("uffd-a") > 0 ? 10 * taken("uffd-a") : 0) +
		      (taken("swap-b") > 0 ? taken("swap-b") : 0) +
		      (taken("lock") > 0 ? 100 : 0));
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

Test(store, takes_what_the_service_manager_kept, LIMIT)
{
	cr_assert_eq(under_systemd("2", "uffd-a:swap-b", 0), 12);
	cr_assert_eq(under_systemd("2", "swap-b:uffd-a", 0), 21);
	/* one name twice: the first counts */
	cr_assert_eq(under_systemd("2", "uffd-a:uffd-a", 0), 10);
	cr_assert_eq(under_systemd("1", "uffd-a", 0), 10);
	/* what it never had from us */
	cr_assert_eq(under_systemd("2", "lock:swap-b", 0), 2);
}

Test(store, service_manager_of_another_process, LIMIT)
{
	cr_assert_eq(under_systemd("2", "uffd-a:swap-b", 1), 0);
	cr_assert_eq(under_systemd("2", "uffd-a:swap-b:c", 0), 0);
	cr_assert_eq(under_systemd("-1", "uffd-a:swap-b", 0), 0);
	cr_assert_eq(under_systemd("x", "uffd-a:swap-b", 0), 0);
	cr_assert_eq(under_systemd("100000", "uffd-a:swap-b", 0), 0);
}

/* A socket as systemd's, and the next message: its text, and how many descriptors. */
static int listen_as_systemd(char dir[])
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	cr_assert_not_null(mkdtemp(dir));
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/notify", dir);
	cr_assert_eq(bind(s, (struct sockaddr *)&addr, sizeof(addr)), 0);
	setenv("NOTIFY_SOCKET", addr.sun_path, 1);
	return s;
}

static void heard(int s, const char *text, int nwant)
{
	char buf[512] = "";
	int fds[IPC_FDS_MAX], nfds;
	ssize_t n = ipc_recv(s, buf, sizeof(buf) - 1, fds, &nfds);

	cr_assert_gt(n, 0);
	cr_assert_str_eq(buf, text);
	cr_assert_eq(nfds, nwant);
	for (int i = 0; i < nfds; i++)
		close(fds[i]);
}

Test(store, tells_the_service_manager, LIMIT)
{
	char dir[] = "/tmp/drum-store.XXXXXX", path[64];
	int s = listen_as_systemd(dir), fd = tagged(1), other = tagged(2);

	cr_assert_eq(store_put("private", fd, false), 0);
	cr_assert_eq(store_put("uffd-1-2", fd, true), 0);
	cr_assert_eq(store_put("uffd-1-2", fd, true), 0);
	cr_assert_eq(store_put("uffd-1-2", other, true), 0);
	store_notify("READY=1");
	store_forget("private");
	store_forget("uffd-1-2");
	store_forget("uffd-1-2");
	store_notify("STOPPING=1");
	heard(s, "FDSTORE=1\nFDNAME=uffd-1-2\nFDPOLL=0", 1);
	/* it would keep both */
	heard(s, "FDSTOREREMOVE=1\nFDNAME=uffd-1-2", 0);
	heard(s, "FDSTORE=1\nFDNAME=uffd-1-2\nFDPOLL=0", 1);
	heard(s, "READY=1", 0);
	heard(s, "FDSTOREREMOVE=1\nFDNAME=uffd-1-2", 0);
	heard(s, "STOPPING=1", 0);
	close(fd);
	close(other);
	close(s);
	snprintf(path, sizeof(path), "%s/notify", dir);
	unlink(path);
	rmdir(dir);
	/* nobody listens: no reason to fail */
	fd = tagged(1);
	cr_assert_eq(store_put("b", fd, true), 0);
	cr_assert_eq(taken("b"), 1);
	close(fd);
	store_fini();
}
