/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands of the swapcache daemon. */
#include <errno.h>

#include "base/swapcache_knobs.h"
#include "control/call.h"
#include "control/query.h"

_Static_assert(SWAPCACHE_KNOBS <= COMMAND_ARGS_MAX, "each knob is an argument");

void run_query_swapcache(struct command_call *call, const union command_value *values,
			 const bool *given)
{
	(void)values;
	(void)given;
	call_answer(call, query_swapcache(call->host));
}

/* Values stand in the order of enum swapcache_knob. */
void run_swapcache_set(struct command_call *call, const union command_value *values,
		       const bool *given)
{
	uint64_t knob[SWAPCACHE_KNOBS] = { 0 };
	struct err e = { 0 };
	uint32_t what = 0;

	for (enum swapcache_knob k = 0; k < SWAPCACHE_KNOBS; k++) {
		if (!given[k])
			continue;
		what |= UINT32_C(1) << k;
		knob[k] = swapcache_knob[k].unit == SWAPCACHE_UNIT_SWITCH ? values[k].flag
									  : values[k].size;
	}
	if (!what)
		(void)err_set(&e, -EINVAL, "nothing to set, give a knob, as accrate");
	/* what is in range is the host's to say */
	if (!what || host_swapcache_set(call->host, what, knob, &e) < 0)
		call_refused(call, &e);
	else
		call_done(call, json_object_new_object());
}
