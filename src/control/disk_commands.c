/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The commands of disks.
 *
 * Values stand in the order of the table in commands.c.  A value that was not
 * given is zero or NULL, which is what most of them are by default.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/disk_params.h"
#include "control/call.h"
#include "control/registry.h"

void run_disk_add(struct command_call *call, const union command_value *values,
		  const bool *given)
{
	struct disk_add add = {
		.name = values[0].text,
		.image = values[1].text,
		.socket = values[2].text,
		.serial = values[3].text,
		.guest = values[4].text,
		.cache = values[5].number,
		.read_only = values[6].flag,
		.no_map = given[7] && !values[7].flag,
		.queues = values[8].count,
		.swapcache = values[9].number,
	};
	struct err e;

	if (given[8] && (add.queues < 1 || add.queues > DISK_QUEUES_MAX)) {
		(void)err_set(&e, -EINVAL, "Parameter 'queues' expects " DISK_QUEUES_ALLOWED);
		call_refused(call, &e);
		return;
	}
	host_disk_add(call->host, &add, call_host_done, call);
}

void run_disk_set(struct command_call *call, const union command_value *values,
		  const bool *given)
{
	struct disk_add set = { .swapcache = values[1].number };
	struct err e;

	if (!given[1]) {
		(void)err_set(&e, -EINVAL, "nothing to set, give swapcache");
		call_refused(call, &e);
		return;
	}
	host_disk_set(call->host, values[0].text, DISK_SET_SWAPCACHE, &set, call_host_done,
		      call);
}

void run_disk_remove(struct command_call *call, const union command_value *values,
		     const bool *given)
{
	(void)given;
	host_disk_remove(call->host, values[0].text, call_host_done, call);
}

void run_disk_resize(struct command_call *call, const union command_value *values,
		     const bool *given)
{
	(void)given;
	host_disk_resize(call->host, values[0].text, call_host_done, call);
}

/* --- figures ------------------------------------------------------------------ */

static struct json_object *query_disk(const struct disk_stats *d)
{
	struct json_object *o = json_object_new_object();

	figures_add(o, disk_figures, d);
	/* these two are there only while there is somebody */
	if (d->guest[0])
		figures_add(o, disk_guest_figures, d);
	if (d->pid > 0)
		figures_add(o, disk_pid_figures, d);
	return o;
}

void run_query_disks(struct command_call *call, const union command_value *values,
		     const bool *given)
{
	size_t n = host_disk_stats(call->host, NULL, 0), i;
	struct disk_stats *all = calloc(n + 1, sizeof(*all));
	struct json_object *array;
	struct err e;

	if (!all) {
		call_answer(call, NULL);
		return;
	}
	/* one thread: there are as many as a moment ago */
	n = host_disk_stats(call->host, all, n);
	array = json_object_new_array();
	for (i = 0; i < n; i++)
		if (!given[0] || !strcmp(all[i].name, values[0].text))
			json_object_array_add(array, query_disk(&all[i]));
	free(all);
	if (given[0] && json_object_array_length(array) == 0) {
		json_object_put(array);
		(void)err_set(&e, -ENOENT, "no disk is named '%s'", values[0].text);
		call_refused(call, &e);
		return;
	}
	call_done(call, array);
}
