/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log: one line a message, to standard error or to syslog.
 *
 * Any thread may log, also with a fault pending: nothing is allocated and nothing
 * is waited for.  What the reader of the log does not take at once is lost and
 * counted, and the next message that goes out is preceded by how many were.
 * Messages carry no trailing newline.
 */
#ifndef DRUM_BASE_LOG_H
#define DRUM_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LVL_ERROR, LOG_LVL_WARN, LOG_LVL_INFO, LOG_LVL_DEBUG, LOG_LVL_TRACE };

/* To come after "must be". */
#define LOG_LEVEL_ALLOWED "error, warn, info, debug or trace"

/* ident is not copied. Any thread may log once this has returned. */
void log_init(const char *ident, enum log_level level, bool to_syslog);

/* Where syslog listens, for tests; before log_init, and not copied. */
void log_set_socket(const char *path);

/* "error", "warn", "info", "debug", "trace".  => 0 or -EINVAL */
int log_level_parse(const char *name, enum log_level *level);
enum log_level log_level(void);
const char *log_level_name(enum log_level level);
/* From now on; any thread. */
void log_set_level(enum log_level level);

/* How many messages were lost since the start. */
uint64_t log_lost(void);

void log_at(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_err(...)   log_at(LOG_LVL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_LVL_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_LVL_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_LVL_DEBUG, __VA_ARGS__)
#define log_trace(...) log_at(LOG_LVL_TRACE, __VA_ARGS__)

/*
 * An invariant of our own is broken: say where, and end.  Guests wait for the next
 * pager, which goes by what is in the run directory.
 */
void log_broken(const char *file, int line, const char *what) __attribute__((noreturn));

#define BROKEN(what) log_broken(__FILE__, __LINE__, what)

#endif
