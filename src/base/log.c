/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A message is formatted on the stack and leaves by one write(2), so lines
 * of several threads never mix and no lock is needed: a thread that is
 * stopped in here stops nobody else.
 *
 * Messages quote names that guests, VMMs and clients chose.  Control
 * characters are replaced, so that none of them can forge a second line or
 * steer the terminal of who reads the log.
 *
 * All that opens a file (time zone, syslog's socket) is done by log_init,
 * before a sandbox forbids it.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"

#define LOG_LINE_MAX 1024

static const struct {
	const char *name;
	int priority; /* syslog's */
} levels[] = {
	[LOG_LVL_ERROR] = { "error", LOG_ERR },	  [LOG_LVL_WARN] = { "warn", LOG_WARNING },
	[LOG_LVL_INFO] = { "info", LOG_INFO },	  [LOG_LVL_DEBUG] = { "debug", LOG_DEBUG },
	[LOG_LVL_TRACE] = { "trace", LOG_DEBUG },
};
#define LEVELS (sizeof(levels) / sizeof(levels[0]))

_Static_assert(LEVELS == LOG_LVL_TRACE + 1, "every level has a name");

/* Written by log_init alone, before there are other threads. */
static const char *log_ident = "drum";
static enum log_level log_max = LOG_LVL_INFO;
static bool log_syslog;

void log_init(const char *ident, enum log_level level, bool to_syslog)
{
	if (log_syslog)
		closelog();
	log_ident = ident;
	log_max = level;
	log_syslog = to_syslog;
	tzset();
	if (to_syslog)
		openlog(ident, LOG_PID | LOG_NDELAY, LOG_DAEMON);
}

int log_level_parse(const char *name, enum log_level *level)
{
	for (size_t i = 0; i < LEVELS; i++) {
		if (strcmp(name, levels[i].name) == 0) {
			*level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

enum log_level log_level(void)
{
	return log_max;
}

/* Bytes above 0x7f stay: names in UTF-8 are legitimate. */
static void neutralise(char *s)
{
	for (; *s; s++) {
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = '?';
	}
}

/* => n bytes are out, or standard error takes no more and they are lost */
static void write_all(const char *p, size_t n)
{
	while (n) {
		ssize_t done = write(STDERR_FILENO, p, n);

		if (done < 0) {
			if (errno == EINTR)
				continue;
			return;
		}
		p += done;
		n -= (size_t)done;
	}
}

/* "10:51:22.123 drumd: warn: ". => its length */
static size_t put_prefix(char *buf, size_t size, enum log_level level)
{
	struct timespec now;
	struct tm tm;
	int n;

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	n = snprintf(buf, size, "%02d:%02d:%02d.%03ld %.64s: %s: ", tm.tm_hour, tm.tm_min,
		     tm.tm_sec, now.tv_nsec / 1000000, log_ident, levels[level].name);
	return (size_t)n;
}

void log_at(enum log_level level, const char *fmt, ...)
{
	char line[LOG_LINE_MAX];
	int saved = errno; /* callers log first and return -errno after */
	size_t start = 0, room;
	va_list ap;
	int n;

	if (level > log_max)
		return;

	if (!log_syslog)
		start = put_prefix(line, sizeof(line), level);

	room = sizeof(line) - start - 1; /* one byte is kept for the newline */
	errno = saved;			 /* for %m */
	va_start(ap, fmt);
	n = vsnprintf(line + start, room, fmt, ap);
	va_end(ap);
	if (n < 0)
		n = snprintf(line + start, room, "(message with a bad format: %.100s)", fmt);
	if ((size_t)n >= room) {
		n = (int)room - 1;
		memcpy(line + start + n - 3, "...", 3);
	}
	neutralise(line + start);

	if (log_syslog) {
		syslog(levels[level].priority, "%s", line);
	} else {
		line[start + (size_t)n] = '\n';
		write_all(line, start + (size_t)n + 1);
	}
	errno = saved;
}
