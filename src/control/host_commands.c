/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands of the host's memory, and sums over all. */
#include <errno.h>

#include "control/call.h"
#include "control/query.h"

void run_query_stats(struct command_call *call, const union command_value *values,
		     const bool *given)
{
	struct manager_stats memory;
	struct host_stats totals;

	(void)values;
	(void)given;
	host_totals(call->host, &totals);
	manager_stats(call->manager, &memory);
	call_done(call, query_totals(&totals, &memory));
}

void run_query_host(struct command_call *call, const union command_value *values,
		    const bool *given)
{
	struct manager_stats memory;

	(void)values;
	(void)given;
	manager_stats(call->manager, &memory);
	call_done(call, query_host(&memory));
}

void run_host_set(struct command_call *call, const union command_value *values,
		  const bool *given)
{
	struct arbiter_conf conf = { .budget = values[0].size,
				     .tax = values[1].count,
				     .stall_target = values[2].count };
	unsigned int what = (given[0] ? HOST_SET_BUDGET : 0) | (given[1] ? HOST_SET_TAX : 0) |
			    (given[2] ? HOST_SET_STALL_TARGET : 0);
	struct err e = { 0 };

	if (!what)
		(void)err_set(&e, -EINVAL,
			      "nothing to set, give budget, idle-tax or stall-target");
	if (!what || manager_host_set(call->manager, what, &conf, &e) < 0)
		call_refused(call, &e);
	else
		call_done(call, json_object_new_object());
}
