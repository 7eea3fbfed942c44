/* SPDX-License-Identifier: BSD-2-Clause */
/* QMP commands as the server runs them, on a fake host and manager; for the tests of these. */
#ifndef DRUM_TESTS_COMMAND_RUN_H
#define DRUM_TESTS_COMMAND_RUN_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "control/commands.h"
#include "control/jobs.h"
#include "unit/fake_host.h"
#include "unit/fake_manager.h"

static struct loop *loop;
static struct host *host;
static struct manager *manager;
static struct jobs *jobs;

/* The last answer, and how many there were to the last command. */
static struct {
	int answers;
	int code;
	char text[ERR_TEXT_MAX];
	char *result;
} got;

static inline void setup(void)
{
	loop = loop_create();
	host = fake_host_create(loop);
	manager = fake_manager_create(host);
	jobs = jobs_create(NULL, NULL);
	fake_host_manual(host, true);
}

static inline void teardown(void)
{
	fake_host_destroy(host);
	fake_manager_destroy(manager);
	jobs_destroy(jobs);
	loop_destroy(loop);
	free(got.result);
}

static inline void reply(void *ctx, struct json_object *result, const struct err *e)
{
	cr_assert(ctx == &got);
	cr_assert((e->code == 0) == (result != NULL));
	got.answers++;
	got.code = e->code;
	strcpy(got.text, e->text);
	free(got.result);
	got.result = result ? json_to_ascii(result) : NULL;
}

/* Run without a word to the host. */
static inline void start(const char *name, const char *args)
{
	const struct command *c = command_find(name);
	struct json_object *o = args ? json_tokener_parse(args) : NULL;

	cr_assert(c, "%s", name);
	cr_assert(!args || o, "%s", args);
	got.answers = 0;
	command_run(c, &(struct command_env){ .host = host, .manager = manager, .jobs = jobs },
		    o, reply, &got);
	json_object_put(o);
}

static inline void run(const char *name, const char *args)
{
	start(name, args);
	while (fake_host_pending(host) > 0)
		fake_host_complete(host);
	cr_assert(got.answers == 1, "%s: %d answers", name, got.answers);
}

#define expect_result(expected)                                                                \
	do {                                                                                   \
		cr_expect(got.code == 0, "%s", got.text);                                      \
		cr_expect_str_eq(got.result, expected);                                        \
	} while (0)

#define expect_refused(number, message)                                                        \
	do {                                                                                   \
		cr_expect(got.code == (number));                                               \
		cr_expect_str_eq(got.text, message);                                           \
	} while (0)

#endif
