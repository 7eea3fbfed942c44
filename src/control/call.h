/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A command under way: what is kept of a request while the host works on it,
 * and the ways in which it ends.  For the files that implement commands.
 */
#ifndef DRUM_CONTROL_CALL_H
#define DRUM_CONTROL_CALL_H

#include "control/commands.h"

struct command_call {
	struct host *host;
	struct manager *manager;
	struct jobs *jobs;
	bool read_only; /* as of struct command_env */
	command_reply_fn reply;
	void *ctx;
	struct json_object *args; /* what values point into */
};

/* Each of these answers, and frees call. */
void call_done(struct command_call *call, struct json_object *result); /* takes result over */
void call_refused(struct command_call *call, const struct err *e);     /* e->code is not 0 */
/* As call_done, and for NULL the refusal that there is no memory. */
void call_answer(struct command_call *call, struct json_object *result);

/*
 * host_done_fn of all commands that return nothing: {}, or {"warning": TEXT}
 * when the host did it and has something to say.
 */
void call_host_done(void *ctx, const struct err *e);

/*
 * The call begins a job of this type about subject, a guest or device: start asks the host for
 * it.  The call is answered at its end, or at once if there is an id (or NULL).
 * => type outlives all jobs
 */
typedef void call_job_fn(struct host *host, const char *subject, host_done_fn done, void *ctx);
void call_job(struct command_call *call, const char *type, const char *subject, const char *id,
	      call_job_fn *start);

/* Commands of swap devices and of paging, in swap_commands.c. */
typedef void command_run_fn(struct command_call *call, const union command_value *values,
			    const bool *given);

command_run_fn run_swap_on, run_swap_off, run_swap_off_cancel, run_swap_set,
	run_swap_set_priority, run_swap_resize, run_swap_mirror, run_query_swap_devices,
	run_query_paging, run_paging_set;

/* Guests, in guest_commands.c. */
command_run_fn run_guest_admit, run_guest_release, run_guest_attach, run_guest_set,
	run_guest_detach, run_guest_out, run_guest_in, run_query_guests, run_guest_explain;

/* More figures of one guest, in map_commands.c. */
command_run_fn run_query_guest_map, run_query_guest_latency;

/* The host's memory, in host_commands.c. */
command_run_fn run_query_stats, run_query_host, run_host_set;

/* Dumps, in dump_commands.c. */
command_run_fn run_dump_set, run_dump_off, run_query_dump, run_guest_dump;

/* Disks, in disk_commands.c. */
command_run_fn run_disk_add, run_disk_set, run_disk_remove, run_disk_resize, run_query_disks;

/* Jobs, in job_commands.c. */
command_run_fn run_query_jobs, run_job_cancel, run_job_dismiss;

/* The swapcache daemon, in swapcache_commands.c. */
command_run_fn run_query_swapcache, run_swapcache_set;

/* The configuration, in config_commands.c. */
command_run_fn run_query_config, run_config_reload, run_daemon_set;

#endif
