/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * drumctl as it is run, against the real server on a fake host; for the tests
 * of it.  The server has a thread of its own.
 */
#ifndef DRUM_TESTS_DRUMCTL_RUN_H
#define DRUM_TESTS_DRUMCTL_RUN_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/types.h>
#include <sys/un.h>

#include "unit/fake_host.h"
#include "unit/fake_manager.h"

/* Look at these when nothing is asked of them, or after stop_serving. */
extern struct host *host;
extern struct manager *manager;
extern struct sockaddr_un addr; /* of the server */
extern char dir[];		/* where drumctl is run */
extern char program[], manual[];

/* What the last run said. */
extern int code;
extern char out[65536], errors[65536];

void drumctl_setup(void);
void drumctl_teardown(void);

/* No daemon from here on: what it was told may be looked at. */
void stop_serving(void);
/* The next one, at the same place. */
void start_serving(void);

/* Begin it; words are split at blanks.  prepare, or NULL, is called in the child. */
pid_t begin(const char *line, int out_fd, int error_fd, void (*prepare)(void));
int end(pid_t pid); /* => its exit code */

void run(const char *line);
void run_prepared(const char *line, void (*prepare)(void));

/* All of a file that is closed then. */
void slurp(FILE *f, char *to, size_t room);

#define expect(line, exit_code, output, message)                                               \
	do {                                                                                   \
		run(line);                                                                     \
		cr_expect(code == (exit_code), "%s: exit %d, %s", line, code, errors);         \
		cr_expect_str_eq(out, output, "%s: %s", line, out);                            \
		cr_expect_str_eq(errors, message, "%s: %s", line, errors);                     \
	} while (0)

#endif
