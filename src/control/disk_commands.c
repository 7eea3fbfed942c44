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

static void add_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

static void add_uint(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

static void add_bool(struct json_object *o, const char *key, bool value)
{
	json_object_object_add(o, key, json_object_new_boolean(value));
}

/* Member names are an interface; they are described in drumctl(8). */
static struct json_object *query_disk(const struct disk_stats *d)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "name", d->name);
	add_text(o, "image", d->image);
	add_text(o, "socket", d->socket);
	add_text(o, "serial", d->serial);
	add_text(o, "state", d->state);
	/* these two are there only while there is somebody */
	if (d->guest[0])
		add_text(o, "guest", d->guest);
	if (d->pid > 0)
		json_object_object_add(o, "pid", json_object_new_int(d->pid));
	add_text(o, "cache", d->cache);
	add_bool(o, "read-only", d->read_only);
	add_bool(o, "map", d->map);
	add_uint(o, "size", d->size);
	add_uint(o, "block-size", d->block_size);
	add_uint(o, "queues", d->queues);
	add_uint(o, "inflight", d->in_flight);
	add_uint(o, "reads", d->reads);
	add_uint(o, "writes", d->writes);
	add_uint(o, "flushes", d->flushes);
	add_uint(o, "discards", d->discards);
	add_uint(o, "zeroes", d->zeroes);
	add_uint(o, "read-bytes", d->read_bytes);
	add_uint(o, "write-bytes", d->write_bytes);
	add_uint(o, "discard-bytes", d->discard_bytes);
	add_uint(o, "zeroes-bytes", d->zeroes_bytes);
	add_uint(o, "errors", d->errors);
	add_uint(o, "resubmitted", d->resubmitted);
	add_uint(o, "resets", d->resets);
	add_uint(o, "mapped", d->mapped);
	add_uint(o, "image-pages", d->image_pages);
	add_uint(o, "writes-avoided", d->writes_avoided);
	add_uint(o, "reads-avoided", d->reads_avoided);
	add_uint(o, "image-reads", d->image_reads);
	add_uint(o, "brought-in", d->brought_in);
	add_text(o, "swapcache", d->swapcache);
	add_uint(o, "cached", d->cached);
	add_uint(o, "cache-read-bytes", d->cache_read_bytes);
	add_uint(o, "cache-hit-bytes", d->cache_hit_bytes);
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
