/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands of the dump device, and of dumps. */
#include <time.h>

#include "control/call.h"
#include "control/query_add.h"
#include "control/registry.h"

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
	call_job(call, "guest-dump", values[0].text, given[1] ? values[1].text : NULL,
		 host_guest_dump);
}

static struct json_object *last_dump(const struct dump_stats *d)
{
	struct json_object *o = json_object_new_object();
	time_t at = (time_t)d->time;
	struct tm tm = { 0 };
	char text[32];

	figures_add(o, dump_last_figures, d);
	gmtime_r(&at, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	add_text(o, "time", text);
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
	if (d.path[0])
		figures_add(o, dump_device_figures, &d);
	if (d.dumping[0])
		figures_add(o, dump_under_way_figures, &d);
	if (d.guest[0])
		json_object_object_add(o, "last", last_dump(&d));
	call_done(call, o);
}
