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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/version.h"
#include "control/call.h"
#include "control/query.h"

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
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "name", json_object_new_string(c->name));
		json_object_array_add(array, o);
	}
	call_done(call, array);
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
			  given[2] ? attached : call_host_done, call);
}

static void run_guest_detach(struct command_call *call, const union command_value *values,
			     const bool *given)
{
	(void)given;
	host_guest_detach(call->host, values[0].text, call_host_done, call);
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
	host_guest_set_limit(call->host, values[0].text, values[1].size, call_host_done, call);
}

static void run_guest_out(struct command_call *call, const union command_value *values,
			  const bool *given)
{
	(void)given;
	host_guest_out(call->host, values[0].text, call_host_done, call);
}

static void run_guest_in(struct command_call *call, const union command_value *values,
			 const bool *given)
{
	(void)given;
	host_guest_in(call->host, values[0].text, call_host_done, call);
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

const struct command commands[] = {
	{ "qmp_capabilities",
	  "Leave negotiation: the first command of every client.",
	  { { "enable", ARG_CAPABILITIES, true, "Capabilities to enable; none are offered." } },
	  NULL },
	{ "query-version", "The version of Drum.", { { 0 } }, run_query_version },
	{ "query-commands", "The names of all commands.", { { 0 } }, run_query_commands },
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
	  run_swap_on },
	{ "swap-off",
	  "Move all that is on a device elsewhere and switch it off; answered at the end.",
	  { { "path", ARG_SWAP, false, "As query-swap-devices has it, or of a half." } },
	  run_swap_off },
	{ "swap-off-cancel",
	  "End a swap-off that is under way; the device stays on.",
	  { { "path", ARG_SWAP, false, "As of swap-off." } },
	  run_swap_off_cancel },
	{ "swap-set",
	  "Change how a device is used, from now on; nothing is moved.",
	  { { "path", ARG_SWAP, false, "As of swap-off." },
	    { "priority", ARG_PRIORITY, true, "The highest is used first." },
	    { "max-inflight", ARG_COUNT, true, "Most I/Os at a time; 0: any." },
	    { "max-bandwidth", ARG_SIZE, true, "Bytes a second; 0: any." },
	    { "discard", ARG_BOOL, true, "Whether it is told what is free." },
	    { "endurance", ARG_SIZE, true, "Bytes a day for the swapcache; 0: any." } },
	  run_swap_set },
	{ "swap-set-priority",
	  "As swap-set with a priority only.",
	  { { "path", ARG_SWAP, false, "As of swap-off." },
	    { "priority", ARG_PRIORITY, false, "The highest is used first." } },
	  run_swap_set_priority },
	{ "swap-resize",
	  "Look at a device's size again and use what was added.",
	  { { "path", ARG_SWAP, false, "As of swap-off." } },
	  run_swap_resize },
	{ "swap-mirror",
	  "Let another device take the place of a mirror's lost half, and be filled.",
	  { { "path", ARG_SWAP, false, "The mirror, or a half of it." },
	    { "fresh", ARG_HALF, false, "The new half: a path or nbd:URI." },
	    { "force", ARG_BOOL, true, "Although something is on it; false if not given." } },
	  run_swap_mirror },
	{ "query-swap-devices",
	  "All swap devices with their sizes and counters.",
	  { { 0 } },
	  run_query_swap_devices },
	{ "query-paging",
	  "The limits of paging, for all guests.",
	  { { 0 } },
	  run_query_paging },
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
	  run_paging_set },
	{ "dump-set",
	  "Dump guests to this device from now on.",
	  { { "path", ARG_SWAP, false, "An absolute path, of a block device or a file." },
	    { "force", ARG_BOOL, true, "Although something is on it; false if not given." } },
	  run_dump_set },
	{ "dump-off", "Let go of the dump device.", { { 0 } }, run_dump_off },
	{ "query-dump", "The dump device and the last dump.", { { 0 } }, run_query_dump },
	{ "guest-dump",
	  "Write a guest's RAM to the dump device; answered at the end.",
	  { { "name", ARG_NAME, false, "Name of the guest." } },
	  run_guest_dump },
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
	  run_disk_add },
	{ "disk-set",
	  "Change how a disk is served, from now on.",
	  { { "name", ARG_NAME, false, "Name of the disk." },
	    { "swapcache", ARG_SWAPCACHE, true, "auto, on, meta or off." } },
	  run_disk_set },
	{ "disk-remove",
	  "Serve a disk no longer; refused while a guest is connected.",
	  { { "name", ARG_NAME, false, "Name of the disk." } },
	  run_disk_remove },
	{ "disk-resize",
	  "Look at an image's size again and tell the guest.",
	  { { "name", ARG_NAME, false, "Name of the disk." } },
	  run_disk_resize },
	{ "query-disks",
	  "All disks, or one, with their sizes and counters.",
	  { { "name", ARG_NAME, true, "Only this disk." } },
	  run_query_disks },
	{ "query-swapcache",
	  "The swapcache daemon: state, figures, knobs, and wear of devices.",
	  { { 0 } },
	  run_query_swapcache },
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
	  run_swapcache_set },
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
	{ "daemon-reexec",
	  "Replace the running daemon by the installed one; answered only if it is not.",
	  { { 0 } },
	  run_daemon_reexec },
	{ "query-daemon", "The daemon itself.", { { 0 } }, run_query_daemon },
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
