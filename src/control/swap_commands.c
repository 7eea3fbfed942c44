/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The commands of swap devices and of the limits of paging.
 *
 * Values stand in the order of the table in commands.c.  A value that was not
 * given is zero, which is what most of them are by default.
 */
#include <errno.h>

#include "control/call.h"
#include "control/query.h"

void run_swap_on(struct command_call *call, const union command_value *values,
		 const bool *given)
{
	struct swap_on on = {
		.path = values[0].text,
		.mirror = given[1] ? values[1].text : NULL,
		.priority = values[2].number,
		.force = values[3].flag,
		.discard = values[4].flag,
		.no_checksums = given[5] && !values[5].flag,
		.max_inflight = values[6].count,
		.max_bandwidth = values[7].size,
		.has_endurance = given[8],
		.endurance = values[8].size,
	};

	host_swap_on(call->host, &on, call_host_done, call);
}

void run_swap_off(struct command_call *call, const union command_value *values,
		  const bool *given)
{
	call_job(call, "swap-off", values[0].text, given[1] ? values[1].text : NULL,
		 host_swap_off);
}

void run_swap_off_cancel(struct command_call *call, const union command_value *values,
			 const bool *given)
{
	(void)given;
	host_swap_off_cancel(call->host, values[0].text, NULL, call_host_done, call);
}

void run_swap_set(struct command_call *call, const union command_value *values,
		  const bool *given)
{
	struct swap_on on = {
		.priority = values[1].number,
		.max_inflight = values[2].count,
		.max_bandwidth = values[3].size,
		.discard = values[4].flag,
		.has_endurance = given[5],
		.endurance = values[5].size,
	};
	unsigned int what = 0;
	struct err e;

	if (given[1])
		what |= SWAP_SET_PRIORITY;
	if (given[2])
		what |= SWAP_SET_INFLIGHT;
	if (given[3])
		what |= SWAP_SET_BANDWIDTH;
	if (given[4])
		what |= SWAP_SET_DISCARD;
	if (given[5])
		what |= SWAP_SET_ENDURANCE;
	if (!what) {
		(void)err_set(&e, -EINVAL,
			      "nothing to set, give priority, max-inflight, max-bandwidth, "
			      "discard or endurance");
		call_refused(call, &e);
		return;
	}
	host_swap_set(call->host, values[0].text, what, &on, call_host_done, call);
}

void run_swap_set_priority(struct command_call *call, const union command_value *values,
			   const bool *given)
{
	struct swap_on on = { .priority = values[1].number };

	(void)given;
	host_swap_set(call->host, values[0].text, SWAP_SET_PRIORITY, &on, call_host_done, call);
}

void run_swap_resize(struct command_call *call, const union command_value *values,
		     const bool *given)
{
	(void)given;
	host_swap_resize(call->host, values[0].text, call_host_done, call);
}

void run_swap_mirror(struct command_call *call, const union command_value *values,
		     const bool *given)
{
	(void)given;
	host_swap_mirror(call->host, values[0].text, values[1].text, values[2].flag,
			 call_host_done, call);
}

void run_query_swap_devices(struct command_call *call, const union command_value *values,
			    const bool *given)
{
	(void)values;
	(void)given;
	call_answer(call, query_swap_devices(call->host));
}

void run_query_paging(struct command_call *call, const union command_value *values,
		      const bool *given)
{
	struct paging_limits limits;

	(void)values;
	(void)given;
	host_get_paging(call->host, &limits);
	call_done(call, query_paging(&limits));
}

void run_paging_set(struct command_call *call, const union command_value *values,
		    const bool *given)
{
	struct paging_limits limits;
	struct err e = { 0 };

	host_get_paging(call->host, &limits);
	if (given[0] && values[0].size > UINT32_MAX)
		(void)err_set(&e, -EINVAL, "Parameter 'cluster' expects 4096 to 1048576 bytes");
	else if (!given[0] && !given[1] && !given[2] && !given[3] && !given[4] && !given[5] &&
		 !given[6] && !given[7])
		(void)err_set(&e, -EINVAL,
			      "nothing to set, give cluster, depth, total-writes, reads, "
			      "swblocks, give-up, stall-after or sample");
	if (e.code) {
		call_refused(call, &e);
		return;
	}
	if (given[0])
		limits.cluster = (uint32_t)values[0].size;
	if (given[1])
		limits.depth = values[1].count;
	if (given[2])
		limits.total_writes = values[2].count;
	if (given[3])
		limits.reads = values[3].count;
	if (given[4])
		limits.swblocks = values[4].count;
	if (given[5])
		limits.give_up = values[5].count;
	if (given[6])
		limits.stall_after = values[6].count;
	if (given[7])
		limits.sample = values[7].count;
	/* what is in range is the host's to say */
	if (host_set_paging(call->host, &limits, &e) < 0)
		call_refused(call, &e);
	else
		call_done(call, json_object_new_object());
}
