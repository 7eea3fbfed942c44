/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands of the dump device, and of dumps. */
#include <time.h>

#include "control/call.h"

void run_dump_set(struct command_call *call, const union command_value *values,
		  const bool *given)
{
	(void)given;
	host_dump_set(call->host, values[0].text, values[1].flag, call_host_done, call);
}

void run_dump_off(struct command_call *call, const union command_value *values,
		  const bool *given)
{
	(void)values;
	(void)given;
	host_dump_off(call->host, call_host_done, call);
}

void run_guest_dump(struct command_call *call, const union command_value *values,
		    const bool *given)
{
	(void)given;
	host_guest_dump(call->host, values[0].text, call_host_done, call);
}

static void add_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

static void add_uint(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

static struct json_object *last_dump(const struct dump_stats *d)
{
	struct json_object *o = json_object_new_object();
	time_t at = (time_t)d->time;
	struct tm tm = { 0 };
	char text[32];

	gmtime_r(&at, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	add_text(o, "guest", d->guest);
	add_text(o, "time", text);
	json_object_object_add(o, "complete", json_object_new_boolean(d->complete));
	add_uint(o, "bytes", d->bytes);
	add_uint(o, "lost", d->lost);
	return o;
}

void run_query_dump(struct command_call *call, const union command_value *values,
		    const bool *given)
{
	struct json_object *o = json_object_new_object();
	struct dump_stats d;

	(void)values;
	(void)given;
	host_dump_stats(call->host, &d);
	/* members are there only if what they tell of is */
	if (d.path[0]) {
		add_text(o, "path", d.path);
		add_uint(o, "size", d.size);
	}
	if (d.dumping[0])
		add_text(o, "dumping", d.dumping);
	if (d.guest[0])
		json_object_object_add(o, "last", last_dump(&d));
	call_done(call, o);
}
