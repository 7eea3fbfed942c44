/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A call is what stays of a request while the host, or the manager, works on
 * it: these two, and where the answer goes.  It is made by command_run, is
 * handed to host_* and manager_* as their context, and ends in call_done or
 * call_refused, each of which answers and frees.  It knows no client: whoever
 * asked may be gone when the host is done, and finds that out in its own
 * reply function.
 */
#include "control/commands.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/version.h"
#include "control/call.h"
#include "control/query.h"
#include "control/registry.h"
#include "control/schema.h"

static void call_free(struct command_call *call)
{
	json_object_put(call->args);
	free(call);
}

void call_done(struct command_call *call, struct json_object *result)
{
	static const struct err success;

	call->reply(call->ctx, result, &success);
	json_object_put(result);
	call_free(call);
}

void call_refused(struct command_call *call, const struct err *e)
{
	assert(e->code != 0);
	call->reply(call->ctx, NULL, e);
	call_free(call);
}

void call_answer(struct command_call *call, struct json_object *result)
{
	struct err e;

	if (result) {
		call_done(call, result);
		return;
	}
	(void)err_set(&e, -ENOMEM, "out of memory");
	call_refused(call, &e);
}

void call_host_done(void *ctx, const struct err *e)
{
	struct command_call *call = ctx;
	struct json_object *result;

	if (e->code) {
		call_refused(call, e);
		return;
	}
	result = json_object_new_object();
	if (e->text[0])
		json_object_object_add(result, "warning", json_object_new_string(e->text));
	call_done(call, result);
}

/* --- the commands ---------------------------------------------------------- */

struct json_object *command_version(void)
{
	struct json_object *version = json_object_new_object();
	struct json_object *numbers = json_object_new_object();
	int major = 0, minor = 0, micro = 0;
	char package[VERSION_MAX + 8];

	snprintf(package, sizeof(package), "drum %s", drum_version);
	(void)sscanf(drum_version, "%d.%d.%d", &major, &minor, &micro);
	json_object_object_add(numbers, "micro", json_object_new_int(micro));
	json_object_object_add(numbers, "minor", json_object_new_int(minor));
	json_object_object_add(numbers, "major", json_object_new_int(major));
	/* clients look for the numbers under this name */
	json_object_object_add(version, "qemu", numbers);
	json_object_object_add(version, "package", json_object_new_string(package));
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
		struct json_object *o;

		if (!command_allowed(c, call->read_only))
			continue;
		o = json_object_new_object();

		json_object_object_add(o, "name", json_object_new_string(c->name));
		json_object_array_add(array, o);
	}
	call_done(call, array);
}

static void run_query_qmp_schema(struct command_call *call, const union command_value *values,
				 const bool *given)
{
	static struct json_object *made[2]; /* of everything, and of what reads */
	struct json_object **o = &made[call->read_only];

	(void)values;
	(void)given;
	if (!*o)
		*o = schema_object(call->read_only);
	call_done(call, json_object_get(*o));
}

static void run_daemon_reexec(struct command_call *call, const union command_value *values,
			      const bool *given)
{
	(void)values;
	(void)given;
	host_reexec(call->host, call_host_done, call);
}

static void run_query_daemon(struct command_call *call, const union command_value *values,
			     const bool *given)
{
	struct host_daemon daemon;

	(void)values;
	(void)given;
	host_daemon(call->host, &daemon);
	call_answer(call, query_daemon(&daemon));
}

/* What may be said of any guest; guest_commands.c takes the values in this order. */
#define GUEST_SETTINGS                                                                         \
	{ "limit", ARG_SIZE, true, "Bytes of its RAM that may be resident; 0: all." },         \
		{ "reservation", ARG_SIZE, true, "Bytes of it that always may be." },          \
		{ "shares", ARG_SHARES, true, "What it pays with; 10 for each MiB of RAM." },  \
		{ "qmp", ARG_MONITOR, true, "Socket of its QMP monitor; '': none." },          \
		{ "balloon", ARG_PLACE, true, "Id of its balloon; '': what is found." },       \
	{                                                                                      \
		"domain", ARG_PLACE, true, "Its domain in libvirt; '': none."                  \
	}

/* Of what goes on as a job. */
#define JOB_ID                                                                                 \
	{                                                                                      \
		"job-id", ARG_NAME, true, "Answer at once, and go on as a job of this id."     \
	}

const struct command commands[] = {
	{ "qmp_capabilities",
	  "Leave negotiation: the first command of every client.",
	  { { "enable", ARG_CAPABILITIES, true, "Capabilities to enable; none are offered." } },
	  .run = NULL },
	{ "query-version",
	  "The version of Drum.",
	  { { 0 } },
	  .run = run_query_version,
	  .flags = COMMAND_READ_ONLY,
	  .returns = &version_object },
	{ "query-commands",
	  "The names of all commands.",
	  { { 0 } },
	  .run = run_query_commands,
	  .flags = COMMAND_READ_ONLY | COMMAND_ARRAY,
	  .returns = &command_object },
	{ "query-qmp-schema",
	  "All commands with what they take and return, and all events, as QEMU has it.",
	  { { 0 } },
	  .run = run_query_qmp_schema,
	  .flags = COMMAND_READ_ONLY | COMMAND_ARRAY,
	  .returns = &schema_info_object },
	{ "swap-on",
	  "Page to this device from now on.",
	  { { "path", ARG_SWAP, false, "An absolute path, ram:SIZE or nbd:URI." },
	    { "mirror", ARG_HALF, true, "A second one to hold the same: a path or nbd:URI." },
	    { "priority", ARG_PRIORITY, true, "The highest is used first; 0 if not given." },
	    { "force", ARG_BOOL, true, "Although something is on it; false if not given." },
	    { "discard", ARG_BOOL, true, "Tell it what is free; false if not given." },
	    { "checksums", ARG_BOOL, true, "Check what is read; true if not given." },
	    { "max-inflight", ARG_COUNT, true, "Most I/Os at a time; 0, the default: any." },
	    { "max-bandwidth", ARG_SIZE, true, "Bytes a second; 0, the default: any." },
	    { "endurance", ARG_SIZE, true, "Bytes a day for the swapcache; 0: any." } },
	  .run = run_swap_on },
	{ "swap-off",
	  "Move all that is on a device elsewhere and switch it off: a job.",
	  { { "path", ARG_SWAP, false, "As query-swap-devices has it, or of a half." },
	    JOB_ID },
	  .run = run_swap_off },
	{ "swap-off-cancel",
	  "End a swap-off that is under way; the device stays on.",
	  { { "path", ARG_SWAP, false, "As of swap-off." } },
	  .run = run_swap_off_cancel },
	{ "swap-set",
	  "Change how a device is used, from now on; nothing is moved.",
	  { { "path", ARG_SWAP, false, "As of swap-off." },
	    { "priority", ARG_PRIORITY, true, "The highest is used first." },
	    { "max-inflight", ARG_COUNT, true, "Most I/Os at a time; 0: any." },
	    { "max-bandwidth", ARG_SIZE, true, "Bytes a second; 0: any." },
	    { "discard", ARG_BOOL, true, "Whether it is told what is free." },
	    { "endurance", ARG_SIZE, true, "Bytes a day for the swapcache; 0: any." } },
	  .run = run_swap_set },
	{ "swap-set-priority",
	  "As swap-set with a priority only.",
	  { { "path", ARG_SWAP, false, "As of swap-off." },
	    { "priority", ARG_PRIORITY, false, "The highest is used first." } },
	  .run = run_swap_set_priority },
	{ "swap-resize",
	  "Look at a device's size again and use what was added.",
	  { { "path", ARG_SWAP, false, "As of swap-off." } },
	  .run = run_swap_resize },
	{ "swap-mirror",
	  "Let another device take the place of a mirror's lost half, and be filled.",
	  { { "path", ARG_SWAP, false, "The mirror, or a half of it." },
	    { "fresh", ARG_HALF, false, "The new half: a path or nbd:URI." },
	    { "force", ARG_BOOL, true, "Although something is on it; false if not given." } },
	  .run = run_swap_mirror },
	{ "query-swap-devices",
	  "All swap devices with their sizes and counters.",
	  { { 0 } },
	  .run = run_query_swap_devices,
	  .flags = COMMAND_READ_ONLY | COMMAND_ARRAY,
	  .returns = &swap_object },
	{ "query-paging",
	  "The limits of paging, for all guests.",
	  { { 0 } },
	  .run = run_query_paging,
	  .flags = COMMAND_READ_ONLY,
	  .returns = &paging_object },
	{ "paging-set",
	  "Change limits of paging, for all guests, from now on.",
	  { { "cluster", ARG_SIZE, true, "Bytes that one write to swap moves." },
	    { "depth", ARG_COUNT, true, "Writes in flight for each guest." },
	    { "total-writes", ARG_COUNT, true, "Writes in flight for all guests." },
	    { "reads", ARG_COUNT, true, "Reads ahead in flight for each guest." },
	    { "swblocks", ARG_COUNT, true, "Most swblocks of all guests, of 16 pages each." },
	    { "give-up", ARG_COUNT, true, "Seconds until an unreadable page is poisoned." },
	    { "stall-after", ARG_COUNT, true, "Seconds until a fault that waits is told." },
	    { "sample", ARG_COUNT, true, "Pages a second looked at; 0 for none." } },
	  .run = run_paging_set },
	{ "dump-set",
	  "Dump guests to this device from now on.",
	  { { "path", ARG_SWAP, false, "An absolute path, of a block device or a file." },
	    { "force", ARG_BOOL, true, "Although something is on it; false if not given." } },
	  .run = run_dump_set },
	{ "dump-off", "Let go of the dump device.", { { 0 } }, .run = run_dump_off },
	{ "query-dump",
	  "The dump device and the last dump.",
	  { { 0 } },
	  .run = run_query_dump,
	  .flags = COMMAND_READ_ONLY,
	  .returns = &dump_object },
	{ "guest-dump",
	  "Write a guest's RAM to the dump device: a job.",
	  { { "name", ARG_NAME, false, "Name of the guest." }, JOB_ID },
	  .run = run_guest_dump },
	{ "disk-add",
	  "Serve an image as a vhost-user-blk disk from now on.",
	  { { "name", ARG_NAME, false, "What the disk is to be called." },
	    { "image", ARG_HALF, false, "An absolute path or nbd:URI." },
	    { "socket", ARG_SOCKET, true, "Where to listen; disk-NAME.sock if not given." },
	    { "serial", ARG_SERIAL, true, "What the guest is told; the name if not given." },
	    { "guest", ARG_NAME, true, "What its VMM is to be called; the disk's name." },
	    { "cache", ARG_CACHE, true, "As QEMU's; none if not given." },
	    { "read-only", ARG_BOOL, true, "Refuse writes; false if not given." },
	    { "map", ARG_BOOL, true, "Know pages by their blocks; true if not given." },
	    { "queues", ARG_COUNT, true, "Most queues, 1 to 64; 64 if not given." },
	    { "swapcache", ARG_SWAPCACHE, true, "auto, on, meta or off; auto if not given." } },
	  .run = run_disk_add },
	{ "disk-set",
	  "Change how a disk is served, from now on.",
	  { { "name", ARG_NAME, false, "Name of the disk." },
	    { "swapcache", ARG_SWAPCACHE, true, "auto, on, meta or off." } },
	  .run = run_disk_set },
	{ "disk-remove",
	  "Serve a disk no longer; refused while a guest is connected.",
	  { { "name", ARG_NAME, false, "Name of the disk." } },
	  .run = run_disk_remove },
	{ "disk-resize",
	  "Look at an image's size again and tell the guest.",
	  { { "name", ARG_NAME, false, "Name of the disk." } },
	  .run = run_disk_resize },
	{ "query-disks",
	  "All disks, or one, with their sizes and counters.",
	  { { "name", ARG_NAME, true, "Only this disk." } },
	  .run = run_query_disks,
	  .flags = COMMAND_READ_ONLY | COMMAND_ARRAY,
	  .returns = &disk_object },
	{ "query-swapcache",
	  "The swapcache daemon: state, figures, knobs, and wear of devices.",
	  { { 0 } },
	  .run = run_query_swapcache,
	  .flags = COMMAND_READ_ONLY,
	  .returns = &swapcache_object },
	{ "swapcache-set",
	  "Change knobs of the swapcache daemon, from now on: all of them or none.",
	  /* in the order of enum swapcache_knob */
	  { { "read_enable", ARG_BOOL, true, "Divert reads of images to swap." },
	    { "data_enable", ARG_BOOL, true, "Cache data." },
	    { "meta_enable", ARG_BOOL, true, "Cache blocks that look like metadata." },
	    { "fill_enable", ARG_BOOL, true, "Cache blocks as they are read, too." },
	    { "use_chflags", ARG_BOOL, true, "Data only of disks whose swapcache is on." },
	    { "maxfilesize", ARG_KNOB, true, "Bytes: no data of larger images; 0: of all." },
	    { "maxswappct", ARG_KNOB, true, "Percent of swap that the cache may have." },
	    { "minburst", ARG_KNOB, true, "Bytes to save up before it writes again." },
	    { "curburst", ARG_KNOB, true, "Bytes that may be written at once now." },
	    { "maxburst", ARG_KNOB, true, "Bytes that may be saved up." },
	    { "accrate", ARG_KNOB, true, "Bytes a second that are saved up." },
	    { "min_hysteresis", ARG_KNOB, true, "Pages that become inactive between passes." },
	    { "hysteresis", ARG_KNOB, true, "Is computed, and refused." },
	    { "maxscan", ARG_KNOB, true, "Pages that one pass looks at." },
	    { "maxlaunder", ARG_KNOB, true, "Pages that one pass writes, or cleans." },
	    { "cleanperobj", ARG_KNOB, true, "Bytes of one image cleaned before the next." },
	    { "write_count", ARG_KNOB, true, "Bytes written so far." } },
	  .run = run_swapcache_set },
	{ "guest-admit",
	  "Promise memory and swap to a guest that is to come, or refuse it.",
	  { { "name", ARG_NAME, false, "What the guest will be called here." },
	    { "memory", ARG_SIZE, false, "Bytes of all its RAM." },
	    GUEST_SETTINGS,
	    { "dry-run", ARG_BOOL, true, "Tell what would be; false if not given." } },
	  .run = run_guest_admit,
	  .returns = &admission_object },
	{ "guest-release",
	  "Take back what was promised to a guest that has not come.",
	  { { "name", ARG_NAME, false, "Name of the guest." } },
	  .run = run_guest_release },
	{ "guest-attach",
	  "Take over the paging of a running VMM's guest RAM.",
	  { { "pid", ARG_PID, false, "Process id of the VMM." },
	    { "name", ARG_NAME, false, "What the guest is to be called here." },
	    GUEST_SETTINGS },
	  .run = run_guest_attach },
	{ "guest-detach",
	  "Page a guest in and let go of it: a job.",
	  { { "name", ARG_NAME, false, "Name of the guest." }, JOB_ID },
	  .run = run_guest_detach },
	{ "query-guests",
	  "All guests, or one, with their sizes and counters.",
	  { { "name", ARG_NAME, true, "Only this guest." } },
	  .run = run_query_guests,
	  .flags = COMMAND_READ_ONLY | COMMAND_ARRAY,
	  .returns = &guest_object },
	{ "query-guest-map",
	  "A picture of a guest's RAM: pages by state and age, cell by cell.",
	  { { "name", ARG_NAME, false, "Name of the guest." },
	    { "cells", ARG_CELLS, true, "Most cells, 1 to 4096; 1024 if not given." } },
	  .run = run_query_guest_map,
	  .flags = COMMAND_READ_ONLY,
	  .returns = &guest_map_object },
	{ "query-guest-latency",
	  "How long a guest's faults take: percentiles and a histogram.",
	  { { "name", ARG_NAME, false, "Name of the guest." } },
	  .run = run_query_guest_latency,
	  .flags = COMMAND_READ_ONLY,
	  .returns = &guest_latency_object },
	{ "guest-set",
	  "Change how much of a guest may be resident, and how that is decided.",
	  { { "name", ARG_NAME, false, "Name of the guest." }, GUEST_SETTINGS },
	  .run = run_guest_set },
	{ "guest-explain",
	  "Why a guest has the memory that it has, in sentences.",
	  { { "name", ARG_NAME, false, "Name of the guest." } },
	  .run = run_guest_explain,
	  .flags = COMMAND_READ_ONLY | COMMAND_ARRAY,
	  .returns = &sentence_object },
	{ "query-host",
	  "The host's memory: what guests may have of it, and have.",
	  { { 0 } },
	  .run = run_query_host,
	  .flags = COMMAND_READ_ONLY,
	  .returns = &host_object },
	{ "host-set",
	  "Change how memory is divided among guests, from now on.",
	  { { "budget", ARG_SIZE, true, "Bytes for all guests; 0: nothing is decided." },
	    { "idle-tax", ARG_COUNT, true, "On idle memory, percent, 0 to 99." },
	    { "stall-target", ARG_PERCENT, true, "Stalls up to which cold memory is taken." } },
	  .run = run_host_set },
	{ "guest-out",
	  "Page out all of a guest that can be: a job.",
	  { { "name", ARG_NAME, false, "Name of the guest." }, JOB_ID },
	  .run = run_guest_out },
	{ "guest-in",
	  "Page in all of a guest: a job.",
	  { { "name", ARG_NAME, false, "Name of the guest." }, JOB_ID },
	  .run = run_guest_in },
	{ "query-jobs",
	  "The jobs that go on, and those that have ended and are not dismissed.",
	  { { 0 } },
	  .run = run_query_jobs,
	  .flags = COMMAND_READ_ONLY | COMMAND_ARRAY,
	  .returns = &job_object },
	{ "job-cancel",
	  "End a job early; JOB_STATUS_CHANGE says when it has ended.",
	  { { "id", ARG_JOB, false, "Of the job, as query-jobs has it." } },
	  .run = run_job_cancel },
	{ "job-dismiss",
	  "Forget a job that has ended.",
	  { { "id", ARG_JOB, false, "Of the job, as query-jobs has it." } },
	  .run = run_job_dismiss },
	{ "daemon-reexec",
	  "Replace the running daemon by the installed one; answered only if it is not.",
	  { { 0 } },
	  .run = run_daemon_reexec },
	{ "query-daemon",
	  "The daemon itself.",
	  { { 0 } },
	  .run = run_query_daemon,
	  .flags = COMMAND_READ_ONLY,
	  .returns = &daemon_object },
	{ "daemon-set",
	  "Change the daemon itself, until it is started anew.",
	  { { "log-level", ARG_LOG_LEVEL, true, "error, warn, info, debug or trace." },
	    { "leave", ARG_BOOL, true, "Whether guests are left when it stops." } },
	  .run = run_daemon_set },
	{ "query-config",
	  "What the configuration file says, and what else is in force.",
	  { { 0 } },
	  .run = run_query_config,
	  .flags = COMMAND_READ_ONLY,
	  .returns = &config_object },
	{ "config-reload",
	  "Read the configuration file again and do what has changed there.",
	  { { 0 } },
	  .run = run_config_reload,
	  .returns = &config_changes_object },
	{ "query-stats",
	  "Sums over all guests and swap devices, and the host's memory.",
	  { { 0 } },
	  .run = run_query_stats,
	  .flags = COMMAND_READ_ONLY,
	  .returns = &totals_object },
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

bool command_allowed(const struct command *c, bool read_only)
{
	return !read_only || !c->run || (c->flags & COMMAND_READ_ONLY);
}

void command_run(const struct command *c, const struct command_env *env,
		 struct json_object *args, command_reply_fn reply, void *ctx)
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
	call->host = env->host;
	call->manager = env->manager;
	call->jobs = env->jobs;
	call->read_only = env->read_only;
	call->reply = reply;
	call->ctx = ctx;
	call->args = json_object_get(args);
	c->run(call, values, given);
}
