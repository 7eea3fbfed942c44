/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A message is formatted on the stack and leaves by one system call, so lines
 * of several threads never mix and no lock is needed: a thread that is
 * stopped in here stops nobody else.
 *
 * That call must not wait either: workers log, and the log may be a pipe that
 * nobody reads, or a journal that is itself waiting for a page of a guest.
 * syslog(3) and a plain write(2) do wait.  So there is one descriptor of our own:
 *
 *	syslog		a datagram socket, written with MSG_DONTWAIT.  When the log
 *			daemon was started anew the socket is connected again.
 *	pipe, terminal	opened a second time, with O_NONBLOCK.  Standard error
 *			itself is shared with others, who do not expect that of it.
 *			Where it cannot be opened: poll(2), then write(2).
 *	socket		MSG_DONTWAIT (a service's standard error is one)
 *	file		write(2); a disk takes its time, and takes everything
 *
 * Lines are shorter than PIPE_BUF, so that they go out whole or not at all.
 * `lost` counts the latter.  Who tells takes the count, and puts it back if that
 * line does not go out either: none is told twice, or forgotten.
 *
 * Messages quote names that guests, VMMs and clients chose.  Control
 * characters are replaced, so that none of them can forge a second line or
 * steer the terminal of who reads the log.
 *
 * All that opens a file (time zone, the descriptors) is done by log_init,
 * before a sandbox forbids it.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"

#define LOG_LINE_MAX 1024

_Static_assert(LOG_LINE_MAX <= PIPE_BUF, "a line is written whole or not at all");

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

enum way { WAY_FILE, WAY_NONBLOCK, WAY_POLL, WAY_SOCKET, WAY_SYSLOG };

/* Written by log_init alone, before there are other threads. */
static const char *log_ident = "drum";
static enum log_level log_max = LOG_LVL_INFO; /* [a] once there are threads */
static const char *log_socket = "/dev/log";
static enum way log_way = WAY_POLL;
static int log_fd = STDERR_FILENO; /* our own, unless it is that; -1: none */

static uint64_t lost;	  /* [a] messages that nobody has been told of */
static uint64_t lost_all; /* [a] since the start */

void log_set_socket(const char *path)
{
	log_socket = path;
}

/* => whether somebody listens there; never waits */
static bool connect_syslog(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", log_socket);
	return connect(log_fd, (struct sockaddr *)&to, sizeof(to)) == 0;
}

static void open_syslog(void)
{
	log_way = WAY_SYSLOG;
	log_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (log_fd >= 0)
		(void)!connect_syslog(); /* each message tries again */
}

static void open_stderr(void)
{
	struct stat st;

	log_fd = STDERR_FILENO;
	log_way = WAY_FILE;
	if (fstat(STDERR_FILENO, &st) < 0 || S_ISREG(st.st_mode))
		return;
	if (S_ISSOCK(st.st_mode)) {
		log_way = WAY_SOCKET;
		return;
	}
	log_fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	log_way = log_fd >= 0 ? WAY_NONBLOCK : WAY_POLL;
	if (log_fd < 0)
		log_fd = STDERR_FILENO;
}

void log_init(const char *ident, enum log_level level, bool to_syslog)
{
	if (log_fd >= 0 && log_fd != STDERR_FILENO)
		close(log_fd);
	log_ident = ident;
	log_max = level;
	tzset();
	if (to_syslog)
		open_syslog();
	else
		open_stderr();
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
	return __atomic_load_n(&log_max, __ATOMIC_RELAXED);
}

const char *log_level_name(enum log_level level)
{
	return levels[level].name;
}

void log_set_level(enum log_level level)
{
	__atomic_store_n(&log_max, level, __ATOMIC_RELAXED);
}

/* Bytes above 0x7f stay: names in UTF-8 are legitimate. */
static void neutralise(char *s)
{
	for (; *s; s++) {
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = '?';
	}
}

static bool send_syslog(const char *p, size_t n)
{
	if (send(log_fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return true;
	/* the log daemon was started anew, or has not been there yet */
	if (errno != ECONNREFUSED && errno != ENOTCONN && errno != ECONNRESET &&
	    errno != EDESTADDRREQ)
		return false;
	return connect_syslog() && send(log_fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

/* => whether the line is out; never waits, see above */
static bool put_out(const char *p, size_t n)
{
	struct pollfd ready = { .fd = log_fd, .events = POLLOUT };
	ssize_t done;

	switch (log_way) {
	case WAY_SYSLOG:
		return send_syslog(p, n);
	case WAY_SOCKET:
		return send(log_fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
	case WAY_POLL:
		if (poll(&ready, 1, 0) != 1 || !(ready.revents & POLLOUT))
			return false;
		break;
	case WAY_NONBLOCK:
	case WAY_FILE:
		break;
	}
	do
		done = write(log_fd, p, n);
	while (done < 0 && errno == EINTR);
	return done >= 0;
}

static size_t put_prefix(char *buf, size_t size, enum log_level level)
{
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	struct timespec now;
	struct tm tm;
	int n;

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	if (log_way == WAY_SYSLOG) /* "<30>Nov 25 10:51:22 drumd[1234]: " */
		n = snprintf(buf, size, "<%d>%s %2d %02d:%02d:%02d %.64s[%d]: ",
			     LOG_DAEMON | levels[level].priority, months[tm.tm_mon % 12],
			     tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, log_ident,
			     (int)getpid());
	else /* "10:51:22.123 drumd: warn: " */
		n = snprintf(buf, size, "%02d:%02d:%02d.%03ld %.64s: %s: ", tm.tm_hour,
			     tm.tm_min, tm.tm_sec, now.tv_nsec / 1000000, log_ident,
			     levels[level].name);
	return (size_t)n;
}

/* line has a prefix of start bytes, n bytes of text, and room for one more. */
static bool finish_line(char *line, size_t start, size_t n)
{
	neutralise(line + start);
	if (log_way == WAY_SYSLOG) /* a message is a datagram */
		return put_out(line, start + n);
	line[start + n] = '\n';
	return put_out(line, start + n + 1);
}

/* => whether all that was lost before has been told */
static bool tell_lost(void)
{
	uint64_t n = __atomic_exchange_n(&lost, 0, __ATOMIC_RELAXED);
	char line[192];
	size_t start;
	int len;

	if (n == 0)
		return true;
	start = put_prefix(line, sizeof(line), LOG_LVL_WARN);
	len = snprintf(line + start, sizeof(line) - start - 1,
		       "%llu messages were lost: the log was full", (unsigned long long)n);
	if (finish_line(line, start, (size_t)len))
		return true;
	__atomic_fetch_add(&lost, n, __ATOMIC_RELAXED);
	return false;
}

static void count_lost(void)
{
	__atomic_fetch_add(&lost, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&lost_all, 1, __ATOMIC_RELAXED);
}

void log_at(enum log_level level, const char *fmt, ...)
{
	char line[LOG_LINE_MAX];
	int saved = errno; /* callers log first and return -errno after */
	size_t start, room;
	va_list ap;
	int n;

	if (level > log_level())
		return;

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
	if (!tell_lost() || !finish_line(line, start, (size_t)n))
		count_lost();
	errno = saved;
}

uint64_t log_lost(void)
{
	return __atomic_load_n(&lost_all, __ATOMIC_RELAXED);
}

void log_broken(const char *file, int line, const char *what)
{
	const char *name = strrchr(file, '/');

	log_err("%s:%d: broken invariant: %s", name ? name + 1 : file, line, what);
	abort();
}

/* What assert() calls: its message must get to the log too, wherever that is. */
void __assert_fail(const char *assertion, const char *file, unsigned int line,
		   const char *function)
{
	(void)function;
	log_broken(file, (int)line, assertion);
}
