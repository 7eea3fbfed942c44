/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every command returns, and every event, against query-qmp-schema: a member that is in no
 * table, or of another type, or that is missing, fails here.
 *
 * The commands below are run in this order, each after those before it.  All that read are run
 * again at the end, when there is one of everything.  A new command that takes what it must be
 * given needs a line.
 */
#include <stdio.h>

#include "control/event_table.h"
#include "control/events.h"
#include "control/schema.h"
#include "unit/command_run.h"
#include "unit/schema_check.h"

static const struct {
	const char *command, *args;
} samples[] = {
	{ "host-set", "{'budget':4294967296,'idle-tax':75}" },
	{ "swap-on", "{'path':'/a','mirror':'/b','endurance':85899345920}" },
	{ "swap-on", "{'path':'ram:1048576'}" },
	{ "swap-on", "{'path':'/c'}" },
	{ "swap-set", "{'path':'/a','priority':2}" },
	{ "swap-set-priority", "{'path':'/a','priority':3}" },
	{ "swap-resize", "{'path':'/c'}" },
	{ "swap-mirror", "{'path':'/a','fresh':'/d'}" },
	{ "swap-off", "{'path':'/c'}" },
	{ "paging-set", "{'depth':4}" },
	{ "swapcache-set", "{'read_enable':true}" },
	{ "dump-set", "{'path':'/dump'}" },
	{ "guest-admit", "{'name':'later','memory':1073741824,'dry-run':true}" },
	{ "guest-admit", "{'name':'later','memory':1073741824}" },
	{ "guest-release", "{'name':'later'}" },
	{ "guest-admit", "{'name':'later','memory':1073741824}" },
	{ "guest-attach", "{'pid':7,'name':'a'}" },
	{ "guest-set", "{'name':'a','shares':7}" },
	{ "guest-out", "{'name':'a'}" },
	{ "guest-in", "{'name':'a'}" },
	{ "guest-dump", "{'name':'a'}" },
	{ "guest-explain", "{'name':'a'}" },
	{ "query-guest-map", "{'name':'a','cells':4}" },
	{ "query-guest-latency", "{'name':'a'}" },
	{ "guest-out", "{'name':'a','job-id':'mine'}" },
	{ "job-dismiss", "{'id':'mine'}" },
	{ "daemon-set", "{'log-level':'info'}" },
	{ "config-reload", "{}" },
	{ "disk-add", "{'name':'d','image':'/d'}" },
	{ "disk-set", "{'name':'d','swapcache':'off'}" },
	{ "disk-resize", "{'name':'d'}" },
	{ "disk-add", "{'name':'e','image':'/e'}" },
	{ "disk-remove", "{'name':'e'}" },
	{ "daemon-reexec", "{}" }, /* the fake's is answered */
	/* of a slow swap-off, see below */
	{ "swap-off-cancel", NULL },
	{ "job-cancel", NULL },
	/* after all that read */
	{ "guest-detach", "{'name':'a'}" },
	{ "dump-off", "{}" },
};
#define SAMPLES (sizeof(samples) / sizeof(samples[0]))

static struct json_object *schema;
static bool has_run[256];

static void make(void)
{
	setup();
	schema = schema_object(false);
}

static void drop(void)
{
	json_object_put(schema);
	teardown();
}

TestSuite(schema_answers, .init = make, .fini = drop);

/* The last answer is as the schema says. */
static void expect_fits(const char *command, const char *args)
{
	struct json_object *entry = schema_entry(schema, command), *result;
	char why[512];

	cr_assert(entry, "%s", command);
	cr_assert(got.answers == 1, "%s: %d answers", command, got.answers);
	cr_assert(got.code == 0, "%s %s is refused: %s", command, args, got.text);
	result = json_tokener_parse(got.result);
	cr_expect(schema_fits(schema, schema_text(entry, "ret-type"), result, why, sizeof(why)),
		  "%s%s: %s", command, why, got.result);
	json_object_put(result);
	has_run[command_find(command) - commands] = true;
}

static void run_fits(const char *command, const char *args)
{
	run(command, args);
	expect_fits(command, args);
}

static bool must_be_given(const struct command *c)
{
	for (const struct command_arg *a = c->args; a->type != ARG_NONE; a++)
		if (!a->optional)
			return true;
	return false;
}

/* All commands that read, and need be told nothing. */
static void read_all(void)
{
	for (const struct command *c = commands; c->name; c++)
		if ((c->flags & COMMAND_READ_ONLY) && !must_be_given(c))
			run_fits(c->name, "{}");
	for (size_t i = 0; i < SAMPLES; i++) {
		const struct command *c = command_find(samples[i].command);

		cr_assert(c, "there is no command %s", samples[i].command);
		if (c->flags & COMMAND_READ_ONLY)
			run_fits(c->name, samples[i].args);
	}
}

/* A swap-off that goes on until it is cancelled, by this command. */
static void cancel(const char *by, const char *args)
{
	fake_host_slow_off(host, 0);
	run("swap-on", "{'path':'/slow'}");
	start("swap-off", "{'path':'/slow'}");
	while (fake_host_pending(host) > 0)
		fake_host_complete(host);
	cr_assert(got.answers == 0);
	run("query-swap-devices", NULL); /* removing, with to-move and moved */
	expect_fits("query-swap-devices", "");
	run("query-jobs", NULL);
	expect_fits("query-jobs", "");
	start(by, args);
	while (fake_host_pending(host) > 0)
		fake_host_complete(host);
	/* the first is of the swap-off, a refusal */
	cr_assert(got.answers == 2);
	got.answers = 1;
	expect_fits(by, "");
	fake_host_fast_off(host);
	run("swap-off", "{'path':'/slow'}");
}

Test(schema_answers, of_all_commands)
{
	size_t i = 0;

	for (const struct command *c = commands; c->name; c++)
		if ((c->flags & COMMAND_READ_ONLY) && !must_be_given(c))
			run_fits(c->name, "{}"); /* there is nothing yet */
	for (; samples[i].args; i++)
		run_fits(samples[i].command, samples[i].args);
	fake_host_connect(host, "d", "a", 7);
	fake_manager_show(manager, "a",
			  &(struct manager_guest){ .attached = true,
						   .full_known = true,
						   .guest_tells = true,
						   .monitor = "up",
						   .balloon = "idle" });
	read_all();
	cancel("swap-off-cancel", "{'path':'/slow'}");
	cancel("job-cancel", "{'id':'swap-off:/slow'}");
	for (i += 2; i < SAMPLES; i++)
		run_fits(samples[i].command, samples[i].args);

	for (const struct command *c = commands; c->name; c++)
		if (c->run)
			cr_expect(has_run[c - commands],
				  "%s was not run: add arguments for it above", c->name);
}

/* Something done with a word to say. */
Test(schema_answers, a_warning)
{
	fake_host_warn(host, "swap-on", "slow");
	run_fits("swap-on", "{'path':'/a'}");
	cr_expect_str_eq(got.result, "{\"warning\":\"slow\"}");
}

/* --- events -------------------------------------------------------------------- */

static const char *event_now;

static void sent(void *arg, struct json_object *o)
{
	struct json_object *entry = schema_entry(schema, event_now), *data = NULL;
	char why[512];

	++*(int *)arg;
	cr_assert(entry);
	cr_expect_str_eq(schema_text(o, "event"), event_now);
	cr_assert(json_object_object_get_ex(o, "data", &data));
	cr_expect(schema_fits(schema, schema_text(entry, "arg-type"), data, why, sizeof(why)),
		  "%s%s", event_now, why);
}

static void emit(const struct event_def *d, bool all)
{
	struct host_event event = { .name = d->name };
	struct host_event_field *to = event.field;
	int n = 0;
	struct events *ev = events_create(loop, 0, sent, &n);

	for (const struct event_field *f = d->field; f->name; f++)
		if (all || !f->optional) {
			to->key = f->name;
			to->text = f->type == EVENT_TEXT ? "text" : NULL;
			to->percent = f->type == EVENT_PERCENT;
			to++->number = 7;
		}
	event_now = d->name;
	events_emit(ev, &event);
	events_destroy(ev);
	cr_expect_eq(n, 1);
}

/* Each of the table, with all of its members and with those that must be there. */
Test(schema_answers, of_all_events)
{
	for (const struct event_def *d = event_defs; d->name; d++) {
		emit(d, false);
		emit(d, true);
	}
}
