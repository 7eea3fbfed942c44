/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"

static char out[1 << 20];

/* Standard error goes to a file from here on; heard gives it back. */
static void listen_to_stderr(void)
{
	int fd = memfd_create("log", 0);

	cr_assert_geq(fd, 0);
	/* writes to a memfd are atomic only so: it has no lock on the offset */
	cr_assert_eq(fcntl(fd, F_SETFL, O_APPEND), 0);
	cr_assert_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	close(fd);
}

static const char *heard(void)
{
	ssize_t n = pread(STDERR_FILENO, out, sizeof(out) - 1, 0);

	cr_assert_geq(n, 0);
	out[n] = 0;
	return out;
}

/* The text of a line that begins "HH:MM:SS.mmm ". */
static const char *after_time(const char *line)
{
	static const char form[] = "dd:dd:dd.ddd ";

	for (size_t i = 0; form[i]; i++) {
		if (form[i] == 'd')
			cr_assert(line[i] >= '0' && line[i] <= '9', "'%s'", line);
		else
			cr_assert_eq(line[i], form[i], "'%s'", line);
	}
	return line + sizeof(form) - 1;
}

Test(log, level_names)
{
	static const char *const names[] = { "error", "warn", "info", "debug", "trace" };
	enum log_level level = LOG_LVL_DEBUG;

	cr_assert_eq(log_level_parse("loud", &level), -EINVAL);
	cr_assert_eq(log_level_parse("", &level), -EINVAL);
	cr_assert_eq(log_level_parse("INFO", &level), -EINVAL);
	cr_assert_eq(level, LOG_LVL_DEBUG, "a name that is refused changes nothing");
	for (unsigned i = 0; i < 5; i++) {
		cr_assert_eq(log_level_parse(names[i], &level), 0);
		cr_assert_eq((unsigned)level, i);
	}
}

Test(log, line)
{
	listen_to_stderr();
	log_init("drumd", LOG_LVL_INFO, false);
	cr_assert_eq(log_level(), LOG_LVL_INFO);
	log_warn("guest %s: %d pages", "web", 5);
	cr_assert_str_eq(after_time(heard()), "drumd: warn: guest web: 5 pages\n");
}

Test(log, level_limits)
{
	const char *p;

	listen_to_stderr();
	log_init("d", LOG_LVL_WARN, false);
	log_err("1");
	log_warn("2");
	log_info("3");
	log_debug("4");
	log_trace("5");
	p = heard();
	cr_assert_str_eq(after_time(strchr(p, '\n') + 1), "d: warn: 2\n");
	cr_assert_eq(strncmp(after_time(p), "d: error: 1\n", 12), 0);

	log_init("d", LOG_LVL_TRACE, false);
	log_trace("6");
	cr_assert_neq(strstr(heard(), "d: trace: 6\n"), NULL);
}

Test(log, errno_survives)
{
	listen_to_stderr();
	log_init("d", LOG_LVL_INFO, false);
	errno = ENOSPC;
	log_err("swap is full: %m");
	cr_assert_eq(errno, ENOSPC);
	cr_assert_neq(strstr(heard(), "swap is full: No space left on device\n"), NULL);
	log_debug("not even written");
	cr_assert_eq(errno, ENOSPC);

	/* also when it cannot be written at all */
	close(STDERR_FILENO);
	errno = ENOENT;
	log_err("to nobody");
	cr_assert_eq(errno, ENOENT);
}

Test(log, names_cannot_forge_lines)
{
	listen_to_stderr();
	log_init("d", LOG_LVL_INFO, false);
	log_info("guest %s", "a\nb\x1b[31m\r\x7f \xc3\xa4");
	cr_assert_str_eq(after_time(heard()), "d: info: guest a?b?[31m?? \xc3\xa4\n");
}

Test(log, long_line_is_cut_and_ends)
{
	static char text[5000];
	const char *p;
	size_t n;

	memset(text, 'x', sizeof(text) - 1);
	listen_to_stderr();
	log_init("d", LOG_LVL_INFO, false);
	log_info("%s", text);
	log_info("next");
	p = heard();
	n = strcspn(p, "\n");
	cr_assert_eq(n, 1022, "%zu", n); /* of LOG_LINE_MAX 1024, a zero and a newline */
	cr_assert_eq(strncmp(p + n - 4, "x...\n", 5), 0);
	cr_assert_str_eq(after_time(p + n + 1), "d: info: next\n");
}

enum { THREADS = 4, LINES = 500 };

static void *chatter(void *arg)
{
	for (int i = 0; i < LINES; i++)
		log_info("%0*d", 200, *(int *)arg);
	return NULL;
}

Test(log, lines_of_threads_do_not_mix)
{
	pthread_t thread[THREADS];
	int arg[THREADS], lines = 0;
	const char *p;

	listen_to_stderr();
	log_init("d", LOG_LVL_INFO, false);
	for (int i = 0; i < THREADS; i++) {
		arg[i] = i;
		cr_assert_eq(pthread_create(&thread[i], NULL, chatter, &arg[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);

	for (p = heard(); *p; p = strchr(p, '\n') + 1) {
		const char *text = after_time(p);

		cr_assert_eq(strcspn(text, "\n"), strlen("d: info: ") + 200);
		lines++;
	}
	cr_assert_eq(lines, THREADS * LINES);
}

/* What the reader of the log gets now, without waiting. */
static const char *read_now(int fd)
{
	size_t n = 0;
	ssize_t got;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (n < sizeof(out) - 1 && (got = read(fd, out + n, sizeof(out) - 1 - n)) > 0)
		n += (size_t)got;
	out[n] = 0;
	return out;
}

static int count(const char *text, const char *what)
{
	int n = 0;

	for (; (text = strstr(text, what)); text++)
		n++;
	return n;
}

enum { MANY = 2000 };

/* After MANY messages that nobody has read: what came, and what is told of the rest. */
static void check_lost(const char *text, int came)
{
	char told[64];

	cr_assert_gt(came, 0);
	cr_assert_lt(came, MANY, "it was never full");
	snprintf(told, sizeof(told), "warn: %d messages were lost: the log was full\n",
		 MANY - came);
	cr_assert_neq(strstr(text, told), NULL, "'%s', not '%s'", text, told);
	cr_assert_neq(strstr(text, "info: again\n"), NULL);
	cr_assert_lt(strstr(text, told), strstr(text, "info: again\n"));
	cr_assert_eq(count(text, "\n"), 2);
}

/* A log that waits for its reader is ended by Criterion. */
Test(log, full_pipe, .timeout = 20)
{
	int fds[2], came;

	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	log_init("d", LOG_LVL_INFO, false);
	cr_assert_eq(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0, "it is others' too");
	for (int i = 0; i < MANY; i++)
		log_info("%0200d", i);
	came = count(read_now(fds[0]), "\n");
	log_info("again");
	check_lost(read_now(fds[0]), came);
	log_info("and again");
	cr_assert_eq(count(read_now(fds[0]), "\n"), 1, "told twice");
}

Test(log, full_stream_socket, .timeout = 20)
{
	int fds[2], came;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	cr_assert_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	log_init("d", LOG_LVL_INFO, false);
	for (int i = 0; i < MANY; i++)
		log_info("%0200d", i);
	came = count(read_now(fds[0]), "\n");
	log_info("again");
	check_lost(read_now(fds[0]), came);
}

/* The pipe belongs to somebody else's process, so to say: it cannot be opened anew. */
Test(log, full_pipe_that_cannot_be_opened, .timeout = 20)
{
	int fds[2], came;

	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	cr_assert_eq(fchmod(fds[1], 0), 0);
	/* root may open anything */
	if (geteuid() == 0)
		cr_assert_eq(setresuid(65534, 65534, 65534), 0);
	log_init("d", LOG_LVL_INFO, false);
	for (int i = 0; i < MANY; i++)
		log_info("%0200d", i);
	came = count(read_now(fds[0]), "\n");
	log_info("again");
	check_lost(read_now(fds[0]), came);
}

enum { CHATTERS = 4 };

/* All of them find room for one line, and only one of them has it. */
Test(log, full_pipe_and_threads, .timeout = 20)
{
	pthread_t thread[CHATTERS];
	int fds[2], arg = 7, came;
	char told[64];
	const char *text;

	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	log_init("d", LOG_LVL_INFO, false);
	for (int i = 0; i < CHATTERS; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, chatter, &arg), 0);
	for (int i = 0; i < CHATTERS; i++)
		pthread_join(thread[i], NULL);
	came = count(read_now(fds[0]), "\n");
	cr_assert_lt(came, CHATTERS * LINES);
	log_info("again");
	text = read_now(fds[0]);
	snprintf(told, sizeof(told), "warn: %d messages were lost", CHATTERS * LINES - came);
	cr_assert_neq(strstr(text, told), NULL, "'%s', not '%s'", text, told);
}

static char dir[] = "/tmp/drum-log.XXXXXX", path[64];

/* A log daemon that has just been started. */
static int syslogd(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	strcpy(at.sun_path, path);
	unlink(path);
	cr_assert_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static void begin_syslog(void)
{
	cr_assert_neq(mkdtemp(dir), NULL);
	snprintf(path, sizeof(path), "%s/log", dir);
	log_set_socket(path);
}

static void end_syslog(void)
{
	unlink(path);
	rmdir(dir);
}

/* => the next message, or "" */
static const char *message(int fd)
{
	ssize_t n = recv(fd, out, sizeof(out) - 1, MSG_DONTWAIT);

	out[n > 0 ? n : 0] = 0;
	return out;
}

Test(log, syslog, .init = begin_syslog, .fini = end_syslog, .timeout = 20)
{
	int fd = syslogd();
	char end[64];
	const char *p;

	log_init("drumd", LOG_LVL_INFO, true);
	log_warn("guest %s\n", "web");
	p = message(fd);
	/* "<28>Nov 25 10:51:22 ": LOG_DAEMON | LOG_WARNING */
	cr_assert_eq(strncmp(p, "<28>", 4), 0, "'%s'", p);
	cr_assert(p[7] == ' ' && p[10] == ' ' && p[13] == ':' && p[16] == ':', "'%s'", p);
	snprintf(end, sizeof(end), " drumd[%d]: guest web?", (int)getpid());
	cr_assert_str_eq(p + 19, end);
	log_err("2");
	cr_assert_eq(strncmp(message(fd), "<27>", 4), 0);
}

Test(log, syslog_full, .init = begin_syslog, .fini = end_syslog, .timeout = 20)
{
	int fd = syslogd(), came = 0;
	char told[64];

	log_init("d", LOG_LVL_INFO, true);
	for (int i = 0; i < MANY; i++)
		log_info("%0200d", i);
	while (message(fd)[0])
		came++;
	cr_assert_gt(came, 0);
	cr_assert_lt(came, MANY);
	log_info("again");
	snprintf(told, sizeof(told), ": %d messages were lost: the log was full", MANY - came);
	cr_assert_neq(strstr(message(fd), told), NULL, "'%s', not '%s'", out, told);
	cr_assert_neq(strstr(message(fd), ": again"), NULL);
	cr_assert_str_eq(message(fd), "");
}

Test(log, syslog_started_anew, .init = begin_syslog, .fini = end_syslog, .timeout = 20)
{
	int fd;

	/* not there yet */
	log_init("d", LOG_LVL_INFO, true);
	log_info("0");
	fd = syslogd();
	log_info("1");
	cr_assert_neq(strstr(message(fd), ": 1 messages were lost"), NULL, "'%s'", out);
	cr_assert_neq(strstr(message(fd), ": 1"), NULL, "'%s'", out);

	/* gone, and another in its place */
	close(fd);
	fd = syslogd();
	log_info("2");
	cr_assert_neq(strstr(message(fd), ": 2"), NULL, "'%s'", out);

	/* gone for a while */
	close(fd);
	unlink(path);
	log_info("3");
	log_info("4");
	fd = syslogd();
	log_info("5");
	cr_assert_neq(strstr(message(fd), ": 2 messages were lost"), NULL, "'%s'", out);
	cr_assert_neq(strstr(message(fd), ": 5"), NULL, "'%s'", out);
}
