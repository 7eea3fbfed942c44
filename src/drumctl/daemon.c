/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon itself.  Of "daemon reexec": the daemon cuts the connection when it succeeds, so
 * what has become of it is asked for on the next one, which the new daemon answers.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "drumctl/ask.h"
#include "drumctl/verbs.h"

#define WAIT_NS	 (60 * NSEC_PER_SEC)
#define PAUSE_NS (20 * NSEC_PER_MSEC)

static void pause_a_little(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = PAUSE_NS }, NULL);
}

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(o, key, &value) ? json_object_get_string(value) : "";
}

static double number_of(struct json_object *o, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(o, key, &value) ? json_object_get_double(value) : 0;
}

static bool is_true(struct json_object *o, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(o, key, &value) && json_object_get_boolean(value);
}

/* Wait until a daemon answers that has taken over what it can.
 * => 0 and *daemon, or -errno */
static int await_daemon(struct client *c, uint64_t until, struct json_object **daemon,
			struct err *e)
{
	for (;;) {
		int rc = client_is_lost(c) ? client_reopen(c, e) : 0;

		if (rc == 0)
			rc = client_call(c, "query-daemon", NULL, daemon, e);
		if (rc == 0 && !is_true(*daemon, "busy"))
			return 0;
		if (rc == 0)
			json_object_put(*daemon);
		if (rc == 0 && clock_ns() > until)
			return err_set(e, -ETIMEDOUT,
				       "drumd is still taking guests over; see its log");
		/* one that does not start is cut off again */
		if (rc < 0 && (!client_is_lost(c) || clock_ns() > until))
			return rc;
		pause_a_little();
	}
}

/* What has become of `before`? */
static int compare(struct json_object *before, struct json_object *now, uint64_t took,
		   struct err *e)
{
	const char *failed = text_of(now, "failed");
	double waiting = number_of(now, "guests-waiting");

	if (failed[0])
		return err_set(e, -EREMOTEIO, "drumd %s goes on: %s", text_of(now, "version"),
			       failed);
	if (number_of(now, "pid") == number_of(before, "pid") &&
	    number_of(now, "replaced") == number_of(before, "replaced"))
		return err_set(e, -EREMOTEIO, "drumd %s goes on; its log may say why",
			       text_of(now, "version"));
	printf("drumd %s replaced by %s in %" PRIu64 " ms; guests waited %.0f ms\n",
	       text_of(before, "version"), text_of(now, "version"), took / NSEC_PER_MSEC,
	       number_of(now, "paused-us") / 1000);
	if (waiting > 0)
		return err_set(e, -EREMOTEIO,
			       "%.0f guests could not be taken over and wait; see drumd's log",
			       waiting);
	return 0;
}

int daemon_reexec(struct client *c, const struct verb_args *args, struct err *e)
{
	struct json_object *before, *now, *result = NULL;
	uint64_t since = clock_ns();
	int rc = client_call(c, "query-daemon", NULL, &before, e);

	(void)args;
	if (rc < 0)
		return rc;
	rc = client_call(c, "daemon-reexec", NULL, &result, e);
	json_object_put(result);
	if (rc == 0 || client_is_lost(c))
		rc = await_daemon(c, since + WAIT_NS, &now, e);
	if (rc == 0) {
		rc = compare(before, now, clock_ns() - since, e);
		json_object_put(now);
	}
	json_object_put(before);
	return rc;
}

static bool is_yes_or_no(const char *text)
{
	return !strcmp(text, "yes") || !strcmp(text, "no");
}

int daemon_check(const struct verb_args *args, struct err *e)
{
	enum log_level level;

	if (args->log_level && log_level_parse(args->log_level, &level) < 0)
		return err_set(e, -EINVAL, "--log-level: '%s' must be " LOG_LEVEL_ALLOWED,
			       args->log_level);
	if (args->leave && !is_yes_or_no(args->leave))
		return err_set(e, -EINVAL, "--leave: '%s' must be yes or no", args->leave);
	return 0;
}

int daemon_set(struct client *c, const struct verb_args *args, struct err *e)
{
	struct json_object *o = json_object_new_object();

	if (args->log_level)
		add_text(o, "log-level", args->log_level);
	if (args->leave)
		json_object_object_add(o, "leave",
				       json_object_new_boolean(!strcmp(args->leave, "yes")));
	return tell(c, "daemon-set", o, e);
}
