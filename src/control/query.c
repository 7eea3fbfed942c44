/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/query.h"

#include "base/version.h"
#include "control/query_add.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void add_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

void add_uint(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

void add_int(struct json_object *o, const char *key, int64_t value)
{
	json_object_object_add(o, key, json_object_new_int64(value));
}

void add_bool(struct json_object *o, const char *key, bool value)
{
	json_object_object_add(o, key, json_object_new_boolean(value));
}

void add_us(struct json_object *o, const char *key, uint64_t ns)
{
	uint64_t tenths = ns / 100 + (ns % 100 >= 50);
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64 ".%u", tenths / 10,
		 (unsigned int)(tenths % 10));
	json_object_object_add(o, key, json_object_new_double_s((double)tenths / 10, text));
}

void add_percent(struct json_object *o, const char *key, uint32_t millionths)
{
	char text[16];

	snprintf(text, sizeof(text), "%" PRIu32 ".%04" PRIu32, millionths / 10000,
		 millionths % 10000);
	json_object_object_add(o, key, json_object_new_double_s(millionths / 1e4, text));
}

static struct json_object *query_half(const struct swap_half_stats *half)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "path", half->path);
	add_text(o, "state", half->state);
	add_uint(o, "lacking", half->lacking);
	return o;
}

/* `left`: what the member is called that tells what the budget leaves; there is none without
 * one */
static void add_wear(struct json_object *o, const struct wear_stats *w, const char *left)
{
	add_uint(o, "endurance", w->endurance);
	add_uint(o, "written-1d", w->written_1d);
	add_uint(o, "written-7d", w->written_7d);
	add_uint(o, "written-28d", w->written_28d);
	if (w->left != UINT64_MAX)
		add_uint(o, left, w->left);
}

struct json_object *query_wear(const struct wear_stats *w)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "path", w->path);
	add_wear(o, w, "left");
	if (w->tightest)
		add_uint(o, "tightest", w->tightest);
	return o;
}

struct json_object *query_swap_device(const struct swap_stats *d, const struct wear_stats *wear)
{
	struct json_object *o = json_object_new_object();
	struct json_object *halves = json_object_new_array();
	uint32_t i;

	add_text(o, "path", d->path);
	add_text(o, "type", d->type);
	add_text(o, "state", d->state);
	add_int(o, "priority", d->priority);
	add_uint(o, "size", d->size);
	add_uint(o, "used", d->used);
	add_uint(o, "bad", d->bad);
	add_uint(o, "inflight", d->inflight);
	add_uint(o, "reads", d->reads);
	add_uint(o, "writes", d->writes);
	add_uint(o, "read-bytes", d->read_bytes);
	add_uint(o, "write-bytes", d->write_bytes);
	add_uint(o, "read-errors", d->read_errors);
	add_uint(o, "write-errors", d->write_errors);
	add_uint(o, "checksum-errors", d->checksum_errors);
	add_uint(o, "waited", d->waited);
	add_uint(o, "max-inflight", d->max_inflight);
	add_uint(o, "max-bandwidth", d->max_bandwidth);
	add_bool(o, "checksums", d->checksums);
	add_bool(o, "discard", d->discard);
	add_uint(o, "discarded", d->discarded);
	add_uint(o, "to-move", d->to_move);
	add_uint(o, "moved", d->moved);
	if (wear)
		add_wear(o, wear, "endurance-left");
	if (!strcmp(d->type, "ram")) {
		add_uint(o, "ram-limit", d->ram_limit);
		add_uint(o, "ram-used", d->ram_used);
		add_uint(o, "ram-pages", d->ram_pages);
		add_uint(o, "ram-refused", d->ram_refused);
	}
	for (i = 0; i < d->halves; i++)
		json_object_array_add(halves, query_half(&d->half[i]));
	json_object_object_add(o, "halves", halves);
	return o;
}

struct json_object *query_paging(const struct paging_limits *p)
{
	struct json_object *o = json_object_new_object();

	add_uint(o, "cluster", p->cluster);
	add_uint(o, "depth", p->depth);
	add_uint(o, "total-writes", p->total_writes);
	add_uint(o, "reads", p->reads);
	add_uint(o, "swblocks", p->swblocks);
	add_uint(o, "give-up", p->give_up);
	add_uint(o, "stall-after", p->stall_after);
	add_uint(o, "sample", p->sample);
	return o;
}

struct json_object *query_daemon(const struct host_daemon *d)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "version", json_object_new_string(drum_version));
	json_object_object_add(o, "pid", json_object_new_int(d->pid));
	add_uint(o, "replaced", d->replaced);
	if (d->from[0])
		json_object_object_add(o, "replaced-version", json_object_new_string(d->from));
	if (d->failed[0])
		json_object_object_add(o, "failed", json_object_new_string(d->failed));
	json_object_object_add(o, "busy", json_object_new_boolean(d->busy));
	add_uint(o, "guests-waiting", d->waiting);
	add_us(o, "paused-us", d->paused);
	return o;
}

/* => of *n devices, or NULL: no memory */
static struct wear_stats *all_wear(struct host *host, size_t *n)
{
	size_t room = host_wear_stats(host, NULL, 0);
	struct wear_stats *all = calloc(room + 1, sizeof(*all));

	if (!all)
		return NULL;
	*n = host_wear_stats(host, all, room);
	*n = *n < room ? *n : room; /* another thread's figures */
	return all;
}

static const struct wear_stats *wear_of(const char *path, const struct wear_stats *all,
					size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(all[i].path, path))
			return &all[i];
	return NULL;
}

struct json_object *query_swap_devices(struct host *host)
{
	size_t n = host_swap_stats(host, NULL, 0), i, nwear;
	struct swap_stats *all = calloc(n + 1, sizeof(*all));
	struct wear_stats *wear = all_wear(host, &nwear);
	struct json_object *array;

	if (!all || !wear) {
		free(all);
		free(wear);
		return NULL;
	}
	n = host_swap_stats(host, all, n);
	array = json_object_new_array();
	for (i = 0; i < n; i++)
		json_object_array_add(
			array, query_swap_device(&all[i], wear_of(all[i].path, wear, nwear)));
	free(all);
	free(wear);
	return array;
}

static struct json_object *query_knobs(const uint64_t knob[SWAPCACHE_KNOBS])
{
	struct json_object *o = json_object_new_object();

	for (enum swapcache_knob k = 0; k < SWAPCACHE_KNOBS; k++) {
		if (swapcache_knob[k].unit == SWAPCACHE_UNIT_SWITCH)
			add_bool(o, swapcache_knob[k].name, knob[k]);
		else
			add_uint(o, swapcache_knob[k].name, knob[k]);
	}
	return o;
}

struct json_object *query_swapcache(struct host *host)
{
	struct json_object *o, *devices;
	struct swapcache_stats s;
	size_t nwear, i;
	struct wear_stats *wear = all_wear(host, &nwear);

	if (!wear)
		return NULL;
	host_swapcache_stats(host, &s);
	o = json_object_new_object();
	add_text(o, "state", s.state);
	add_text(o, "burst", s.burst);
	add_uint(o, "swap-max", s.swap_max);
	add_uint(o, "used", s.used);
	add_uint(o, "cached", s.cached);
	add_uint(o, "read-bytes", s.read_bytes);
	add_uint(o, "hit-bytes", s.hit_bytes);
	add_uint(o, "reads", s.reads);
	add_uint(o, "saved-reads", s.saved_reads);
	add_uint(o, "put", s.put);
	add_uint(o, "cleaned", s.cleaned);
	add_uint(o, "invalidated", s.invalidated);
	add_uint(o, "read-errors", s.read_errors);
	add_uint(o, "checksum-errors", s.checksum_errors);
	add_uint(o, "write-errors", s.write_errors);
	add_uint(o, "passes", s.passes);
	json_object_object_add(o, "knobs", query_knobs(s.knob));
	devices = json_object_new_array();
	for (i = 0; i < nwear; i++)
		json_object_array_add(devices, query_wear(&wear[i]));
	json_object_object_add(o, "devices", devices);
	free(wear);
	return o;
}
