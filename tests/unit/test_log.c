/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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
