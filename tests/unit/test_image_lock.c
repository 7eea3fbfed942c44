/* SPDX-License-Identifier: BSD-2-Clause */
/* Locks of disk images, against the real tools of QEMU. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/image_lock.h"
#include "base/image_open.h"

#define LIMIT .timeout = 60

static char image[] = "drum-test-lock-XXXXXX";
static char sock_path[64];
static pid_t daemon_pid;

static void make_image(void)
{
	int fd = mkstemp(image);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, 1 << 20), 0);
	close(fd);
	snprintf(sock_path, sizeof(sock_path), "/tmp/%s.sock", image);
}

static void remove_image(void)
{
	if (daemon_pid > 0) {
		kill(daemon_pid, SIGTERM);
		waitpid(daemon_pid, NULL, 0);
	}
	unlink(image);
	unlink(sock_path);
}

TestSuite(image_lock, .init = make_image, .fini = remove_image, LIMIT);

static int open_image(bool read_only, struct err *e)
{
	*e = (struct err){ 0 };
	return image_open(image, IMAGE_CACHE_WRITEBACK, read_only, e);
}

/* Run a shell command with the image's name in it. => its exit code; out: what it said */
static int run(const char *fmt, char *out, size_t size)
{
	char cmd[256];
	size_t n;
	FILE *f;

	snprintf(cmd, sizeof(cmd), fmt, image);
	strcat(cmd, " 2>&1 </dev/null");
	f = popen(cmd, "r");
	cr_assert_not_null(f);
	n = fread(out, 1, size - 1, f);
	out[n] = '\0';
	return WEXITSTATUS(pclose(f));
}

static bool have_tools(void)
{
	char out[4096];

	if (run("command -v qemu-img && command -v qemu-io && command -v qemu-storage-daemon",
		out, sizeof(out)) == 0)
		return true;
	cr_log_warn("no qemu-utils here");
	return false;
}

/* A process of QEMU's that has the image open, as `how` says. */
static void start_daemon(const char *how)
{
	char file[160], server[128], export[128];

	snprintf(file, sizeof(file), "driver=file,node-name=n,filename=%s,%s", image, how);
	snprintf(server, sizeof(server), "addr.type=unix,addr.path=%s", sock_path);
	snprintf(export, sizeof(export), "type=nbd,id=x,node-name=n%s",
		 strstr(how, "read-only=on") ? "" : ",writable=on");
	daemon_pid = fork();
	if (daemon_pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		execlp("qemu-storage-daemon", "qemu-storage-daemon", "--blockdev", file,
		       "--nbd-server", server, "--export", export, NULL);
		_exit(127);
	}
	/* the export is made after the socket, and locks with it; look at both */
	for (;;) {
		char out[4096];

		cr_assert_eq(waitpid(daemon_pid, NULL, WNOHANG), 0, "it does not start");
		if (access(sock_path, F_OK) == 0 &&
		    run("grep -q \":$(stat -c %%i %s) 100 10\" /proc/locks", out,
			sizeof(out)) == 0)
			return;
		usleep(5000);
	}
}

Test(image_lock, a_writer_keeps_the_tools_out)
{
	char out[4096];
	struct err e;
	int fd;

	if (!have_tools())
		return;
	fd = open_image(false, &e);
	cr_assert_geq(fd, 0, "%s", e.text);
	cr_assert_neq(run("qemu-img convert -f raw -O raw %s /dev/null", out, sizeof(out)), 0);
	cr_assert_not_null(strstr(out, "Failed to get shared \"write\" lock"), "%s", out);
	cr_assert_neq(run("qemu-io -f raw -c 'write 0 512' %s", out, sizeof(out)), 0);
	cr_assert_not_null(strstr(out, "lock"), "%s", out);
	cr_assert_neq(run("qemu-img resize -f raw %s 2M", out, sizeof(out)), 0);
	cr_assert_not_null(strstr(out, "lock"), "%s", out);
	close(fd);
	cr_assert_eq(run("qemu-img create -q -f qcow2 %s 1M", out, sizeof(out)), 0, "%s", out);
	fd = open_image(false, &e);
	cr_assert_geq(fd, 0, "%s", e.text);
	cr_assert_neq(run("qemu-img info %s", out, sizeof(out)), 0);
	cr_assert_not_null(strstr(out, "Failed to get shared \"write\" lock"), "%s", out);
	/* with -U they know what they do */
	cr_assert_eq(run("qemu-img info -U %s", out, sizeof(out)), 0, "%s", out);
	close(fd);
	cr_assert_eq(run("qemu-img info %s", out, sizeof(out)), 0, "%s", out);
}

Test(image_lock, a_reader_lets_them_read_only)
{
	char out[4096];
	struct err e;
	int fd;

	if (!have_tools())
		return;
	fd = open_image(true, &e);
	cr_assert_geq(fd, 0, "%s", e.text);
	cr_assert_eq(run("qemu-img compare -f raw %1$s %1$s", out, sizeof(out)), 0, "%s", out);
	cr_assert_eq(run("qemu-io -r -f raw -c 'read 0 512' %s", out, sizeof(out)), 0, "%s",
		     out);
	cr_assert_neq(run("qemu-io -f raw -c 'write 0 512' %s", out, sizeof(out)), 0);
	cr_assert_not_null(strstr(out, "Failed to get \"write\" lock"), "%s", out);
	close(fd);
}

Test(image_lock, refused_while_qemu_writes)
{
	struct err e;

	if (!have_tools())
		return;
	start_daemon("read-only=off");
	cr_assert_eq(open_image(false, &e), -EBUSY);
	cr_assert_not_null(strstr(e.text, "another process is writing to it"), "%s", e.text);
	cr_assert_not_null(strstr(e.text, image), "%s", e.text);
	cr_assert_eq(open_image(true, &e), -EBUSY);
	cr_assert_not_null(strstr(e.text, "for reading: another process is writing to it"),
			   "%s", e.text);
}

Test(image_lock, readers_go_with_qemu_reading)
{
	struct err e;
	int fd;

	if (!have_tools())
		return;
	start_daemon("read-only=on");
	fd = open_image(true, &e);
	cr_assert_geq(fd, 0, "%s", e.text);
	close(fd);
}

Test(image_lock, two_of_ours)
{
	struct err e;
	int a = open_image(true, &e), b = open_image(true, &e), dup_of_w, w;

	cr_assert_geq(a, 0, "%s", e.text);
	cr_assert_geq(b, 0, "%s", e.text);
	cr_assert_eq(open_image(false, &e), -EBUSY);
	cr_assert_not_null(strstr(e.text, "lets nobody else write"), "%s", e.text);
	close(a);
	cr_assert_eq(open_image(false, &e), -EBUSY);
	close(b);
	w = open_image(false, &e);
	cr_assert_geq(w, 0, "%s", e.text);
	cr_assert_eq(open_image(true, &e), -EBUSY);
	/* the lock is the description's: a duplicate keeps it */
	dup_of_w = dup(w);
	close(w);
	cr_assert_eq(open_image(true, &e), -EBUSY);
	/* and what was refused has left no lock behind */
	image_unlock(dup_of_w);
	a = open_image(false, &e);
	cr_assert_geq(a, 0, "%s", e.text);
	close(a);
	close(dup_of_w);
}

Test(image_lock, what_is_no_image)
{
	struct err e = { 0 };

	cr_assert_eq(image_open("/dev/null", IMAGE_CACHE_NONE, false, &e), -EINVAL);
	cr_assert_not_null(strstr(e.text, "neither a file nor a block device"), "%s", e.text);
	cr_assert_eq(mkfifo(sock_path, 0600), 0);
	cr_assert_eq(image_open(sock_path, IMAGE_CACHE_WRITEBACK, true, &e), -EINVAL);
	cr_assert_eq(image_open("/nonexistent/image", IMAGE_CACHE_NONE, true, &e), -ENOENT);
	cr_assert_not_null(strstr(e.text, "/nonexistent/image"), "%s", e.text);
}

Test(image_lock, names_of_cache_modes)
{
	static const char *const all[] = { "none", "directsync", "writethrough", "writeback",
					   "unsafe" };
	enum image_cache mode;

	for (unsigned int i = 0; i < 5; i++) {
		cr_assert_eq(image_cache_parse(all[i], &mode), 0);
		cr_assert_eq((unsigned int)mode, i);
		cr_assert_str_eq(image_cache_name(mode), all[i]);
	}
	cr_assert_eq(image_cache_parse("writeback2", &mode), -EINVAL);
}
