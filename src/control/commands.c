/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A call is what stays of a request while the host works on it: the host,
 * where the answer goes, and for guest-attach what is still to be done.  It
 * is made by command_run, is handed to host_* as their context, and ends in
 * call_done or call_refused, each of which answers and frees.  It knows no
 * client: whoever asked may be gone when the host is done, and finds that
 * out in its own reply function.
 *
 * guest-attach with a limit is three steps at most: attach; set the limit;
 * and where that is refused, detach again, so that a refusal leaves nothing
 * changed.  The steps go on although nobody waits for the answer any more.
 */
#include "control/commands.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "control/json.h"
#include "control/query.h"

struct command_call {
	struct host *host;
	command_reply_fn reply;
	void *ctx;
	struct json_object *args;      /* what values point into */
	char name[GUEST_NAME_MAX + 1]; /* guest-attach: to set the limit of */
	uint64_t limit;
	struct err refusal; /* guest-attach: why it is undone */
};

static void call_free(struct command_call *call)
{
	json_object_put(call->args);
	free(call);
}

static void call_done(struct command_call *call, struct json_object *result)
{
	static const struct err success;

	call->reply(call->ctx, result, &success);
	json_object_put(result);
	call_free(call);
}

static void call_refused(struct command_call *call, const struct err *e)
{
	assert(e->code != 0);
	call->reply(call->ctx, NULL, e);
	call_free(call);
}

static void call_answer(struct command_call *call, struct json_object *result)
{
	struct err e;

	if (result) {
		call_done(call, result);
		return;
	}
	(void)err_set(&e, -ENOMEM, "out of memory");
	call_refused(call, &e);
}

/* host_done_fn of all that have nothing to return */
static void host_done(void *ctx, const struct err *e)
{
	struct command_call *call = ctx;

	if (e->code)
		call_refused(call, e);
	else
		call_done(call, json_object_new_object());
}

/* --- the commands ---------------------------------------------------------- */

struct json_object *command_version(void)
{
	struct json_object *version = json_object_new_object();
	struct json_object *numbers = json_object_new_object();
	int major = 0, minor = 0, micro = 0;

	(void)sscanf(DRUM_VERSION, "%d.%d.%d", &major, &minor, &micro);
	json_object_object_add(numbers, "micro", json_object_new_int(micro));
	json_object_object_add(numbers, "minor", json_object_new_int(minor));
	json_object_object_add(numbers, "major", json_object_new_int(major));
	/* clients look for the numbers under this name */
	json_object_object_add(version, "qemu", numbers);
	json_object_object_add(version, "package",
			       json_object_new_string("drum " DRUM_VERSION));
	return version;
}

static void run_query_version(struct command_call *call, const union command_value *values,
			      const bool *given)
{
	(void)values;
	(void)given;
	call_done(call, command_version());
}

static void run_query_commands(struct command_call *call, const union command_value *values,
			       const bool *given)
{
	struct json_object *array = json_object_new_array();
	const struct command *c;

	(void)values;
	(void)given;
	for (c = commands; c->name; c++) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "name", json_object_new_string(c->name));
		json_object_array_add(array, o);
	}
	call_done(call, array);
}

static void run_swap_on(struct command_call *call, const union command_value *values,
			const bool *given)
{
	host_swap_on(call->host, values[0].text, given[1] ? values[1].number : 0, host_done,
		     call);
}

static void run_query_swap_devices(struct command_call *call, const union command_value *values,
				   const bool *given)
{
	(void)values;
	(void)given;
	call_answer(call, query_swap_devices(call->host));
}

static void attach_undone(void *ctx, const struct err *e)
{
	struct command_call *call = ctx;
	struct err both;

	if (e->code) {
		(void)err_set(&both, call->refusal.code,
			      "%s; guest '%s' stays attached without a limit, as detaching "
			      "it again failed: %s",
			      call->refusal.text, call->name, e->text);
		call_refused(call, &both);
		return;
	}
	call_refused(call, &call->refusal);
}

static void attach_limited(void *ctx, const struct err *e)
{
	struct command_call *call = ctx;

	if (!e->code) {
		call_done(call, json_object_new_object());
		return;
	}
	call->refusal = *e;
	host_guest_detach(call->host, call->name, attach_undone, call);
}

static void attached(void *ctx, const struct err *e)
{
	struct command_call *call = ctx;

	if (e->code)
		call_refused(call, e);
	else
		host_guest_set_limit(call->host, call->name, call->limit, attach_limited, call);
}

static void run_guest_attach(struct command_call *call, const union command_value *values,
			     const bool *given)
{
	snprintf(call->name, sizeof(call->name), "%s", values[1].text);
	if (given[2])
		call->limit = values[2].size;
	host_guest_attach(call->host, values[0].number, call->name,
			  given[2] ? attached : host_done, call);
}

static void run_guest_detach(struct command_call *call, const union command_value *values,
			     const bool *given)
{
	(void)given;
	host_guest_detach(call->host, values[0].text, host_done, call);
}

static void run_query_guests(struct command_call *call, const union command_value *values,
			     const bool *given)
{
	struct json_object *array;
	struct guest_stats *g;
	struct err e;

	if (!given[0]) {
		call_answer(call, query_guests(call->host));
		return;
	}
	g = calloc(1, sizeof(*g));
	if (!g) {
		call_answer(call, NULL);
		return;
	}
	if (host_guest_stats_one(call->host, values[0].text, g) < 0) {
		(void)err_set(&e, -ENOENT, "no guest is named '%s'", values[0].text);
		call_refused(call, &e);
	} else {
		array = json_object_new_array();
		json_object_array_add(array, query_guest(g));
		call_done(call, array);
	}
	free(g);
}

static void run_guest_set(struct command_call *call, const union command_value *values,
			  const bool *given)
{
	(void)given;
	host_guest_set_limit(call->host, values[0].text, values[1].size, host_done, call);
}

static void run_guest_out(struct command_call *call, const union command_value *values,
			  const bool *given)
{
	(void)given;
	host_guest_out(call->host, values[0].text, host_done, call);
}

static void run_guest_in(struct command_call *call, const union command_value *values,
			 const bool *given)
{
	(void)given;
	host_guest_in(call->host, values[0].text, host_done, call);
}

static void run_query_stats(struct command_call *call, const union command_value *values,
			    const bool *given)
{
	struct host_stats totals;

	(void)values;
	(void)given;
	host_totals(call->host, &totals);
	call_done(call, query_totals(&totals));
}

const struct command commands[] = {
	{ "qmp_capabilities",
	  "Leave negotiation: the first command of every client.",
	  { { "enable", ARG_CAPABILITIES, true, "Capabilities to enable; none are offered." } },
	  NULL },
	{ "query-version", "The version of Drum.", { { 0 } }, run_query_version },
	{ "query-commands", "The names of all commands.", { { 0 } }, run_query_commands },
	{ "swap-on",
	  "Page to this block device or regular file from now on.",
	  { { "path", ARG_PATH, false, "Where it is, absolute." },
	    { "priority", ARG_PRIORITY, true, "The highest is used first; 0 if not given." } },
	  run_swap_on },
	{ "query-swap-devices",
	  "All swap devices with their sizes and counters.",
	  { { 0 } },
	  run_query_swap_devices },
	{ "guest-attach",
	  "Take over the paging of a running VMM's guest RAM.",
	  { { "pid", ARG_PID, false, "Process id of the VMM." },
	    { "name", ARG_NAME, false, "What the guest is to be called here." },
	    { "limit", ARG_SIZE, true, "As of guest-set; no limit if not given." } },
	  run_guest_attach },
	{ "guest-detach",
	  "Page a guest in and let go of it.",
	  { { "name", ARG_NAME, false, "Name of the guest." } },
	  run_guest_detach },
	{ "query-guests",
	  "All guests, or one, with their sizes and counters.",
	  { { "name", ARG_NAME, true, "Only this guest." } },
	  run_query_guests },
	{ "guest-set",
	  "Change how much of a guest may be resident.",
	  { { "name", ARG_NAME, false, "Name of the guest." },
	    { "limit", ARG_SIZE, false, "Bytes of its RAM that may be resident." } },
	  run_guest_set },
	{ "guest-out",
	  "Page out all of a guest that can be.",
	  { { "name", ARG_NAME, false, "Name of the guest." } },
	  run_guest_out },
	{ "guest-in",
	  "Page in all of a guest.",
	  { { "name", ARG_NAME, false, "Name of the guest." } },
	  run_guest_in },
	{ "query-stats", "Sums over all guests and swap devices.", { { 0 } }, run_query_stats },
	{ 0 },
};

const struct command *command_find(const char *name)
{
	const struct command *c;

	for (c = commands; c->name; c++)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

/* --- arguments ------------------------------------------------------------- */

const char *arg_type_name(enum arg_type type)
{
	switch (type) {
	case ARG_NAME:
	case ARG_PATH:
		return "string";
	case ARG_PID:
	case ARG_PRIORITY:
	case ARG_SIZE:
		return "integer";
	case ARG_CAPABILITIES:
		return "array";
	case ARG_NONE:
		break;
	}
	return "nothing";
}

static bool is_guest_name(const char *text)
{
	size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				"0123456789_.-");

	return n >= 1 && n <= GUEST_NAME_MAX && text[n] == '\0';
}

static int wrong_type(const struct command_arg *arg, struct err *e)
{
	return err_set(e, -EINVAL, "Invalid parameter type for '%s', expected: %s", arg->name,
		       arg_type_name(arg->type));
}

static int wrong_value(const struct command_arg *arg, struct err *e, const char *expected)
{
	return err_set(e, -EINVAL, "Parameter '%s' expects %s", arg->name, expected);
}

static int check_string(const struct command_arg *arg, struct json_object *v,
			union command_value *value, struct err *e)
{
	const char *text = json_plain_string(v);

	if (!json_object_is_type(v, json_type_string))
		return wrong_type(arg, e);
	if (arg->type == ARG_NAME && (!text || !is_guest_name(text)))
		return wrong_value(arg, e, "1 to 63 characters of A-Z a-z 0-9 _ . -");
	if (arg->type == ARG_PATH && (!text || text[0] != '/' || strlen(text) > SWAP_PATH_MAX))
		return wrong_value(arg, e, "an absolute path of at most 1023 bytes");
	value->text = text;
	return 0;
}

_Static_assert(GUEST_NAME_MAX == 63 && SWAP_PATH_MAX == 1023, "as the messages say");

static int check_integer(const struct command_arg *arg, struct json_object *v,
			 union command_value *value, struct err *e)
{
	int64_t n;

	if (!json_object_is_type(v, json_type_int))
		return wrong_type(arg, e);
	/* saturates, so what is out of range stays out of range */
	n = json_object_get_int64(v);
	if (arg->type == ARG_SIZE) {
		if (n < 0)
			return wrong_value(arg, e, "a number of bytes, not below zero");
		value->size = json_object_get_uint64(v);
	} else if (arg->type == ARG_PID) {
		if (n < 1 || n > INT_MAX)
			return wrong_value(arg, e, "a process id, 1 to 2147483647");
		value->number = (int)n;
	} else {
		if (n < 0 || n > COMMAND_PRIORITY_MAX)
			return wrong_value(arg, e, "a priority, 0 to 32767");
		value->number = (int)n;
	}
	return 0;
}

_Static_assert(COMMAND_PRIORITY_MAX == 32767, "as the message says");

static int check_capabilities(const struct command_arg *arg, struct json_object *v,
			      struct err *e)
{
	struct json_object *first;

	if (!json_object_is_type(v, json_type_array))
		return wrong_type(arg, e);
	if (json_object_array_length(v) == 0)
		return 0;
	first = json_object_array_get_idx(v, 0);
	if (!json_object_is_type(first, json_type_string))
		return err_set(e, -EINVAL,
			       "Invalid parameter type for '%s[0]', expected: string",
			       arg->name);
	return err_set(e, -EINVAL, "Parameter '%s[0]' does not accept value '%.64s'", arg->name,
		       json_object_get_string(first));
}

static int check_arg(const struct command_arg *arg, struct json_object *v,
		     union command_value *value, struct err *e)
{
	switch (arg->type) {
	case ARG_NAME:
	case ARG_PATH:
		return check_string(arg, v, value, e);
	case ARG_PID:
	case ARG_PRIORITY:
	case ARG_SIZE:
		return check_integer(arg, v, value, e);
	case ARG_CAPABILITIES:
		return check_capabilities(arg, v, e);
	case ARG_NONE:
		break;
	}
	return 0;
}

int command_check(const struct command *c, struct json_object *args,
		  union command_value *values, bool *given, struct err *e)
{
	const struct command_arg *arg;
	struct json_object *v;
	int i, rc;

	/* first what is known, then what is too much: QEMU's order */
	for (i = 0; c->args[i].type != ARG_NONE; i++) {
		arg = &c->args[i];
		given[i] = args && json_object_object_get_ex(args, arg->name, &v);
		if (given[i]) {
			rc = check_arg(arg, v, &values[i], e);
			if (rc < 0)
				return rc;
		} else if (!arg->optional) {
			return err_set(e, -EINVAL, "Parameter '%s' is missing", arg->name);
		}
	}
	if (!args)
		return 0;
	json_object_object_foreach(args, key, member)
	{
		(void)member;
		for (i = 0; c->args[i].type != ARG_NONE; i++)
			if (!strcmp(c->args[i].name, key))
				break;
		if (c->args[i].type == ARG_NONE)
			return err_set(e, -EINVAL, "Parameter '%.64s' is unexpected", key);
	}
	return 0;
}

void command_run(const struct command *c, struct host *host, struct json_object *args,
		 command_reply_fn reply, void *ctx)
{
	union command_value values[COMMAND_ARGS_MAX] = { { 0 } };
	bool given[COMMAND_ARGS_MAX] = { false };
	struct command_call *call;
	struct err e = { 0 };

	assert(c->run);
	if (command_check(c, args, values, given, &e) < 0) {
		reply(ctx, NULL, &e);
		return;
	}
	call = calloc(1, sizeof(*call));
	if (!call) {
		(void)err_set(&e, -ENOMEM, "out of memory");
		reply(ctx, NULL, &e);
		return;
	}
	call->host = host;
	call->reply = reply;
	call->ctx = ctx;
	call->args = json_object_get(args);
	c->run(call, values, given);
}
