/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/query.h"

#include "base/version.h"
#include "control/query_add.h"
#include "control/registry.h"

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

static struct json_object *one(const struct figure *rows, const void *from)
{
	struct json_object *o = json_object_new_object();

	figures_add(o, rows, from);
	return o;
}

struct json_object *query_wear(const struct wear_stats *w)
{
	struct json_object *o = one(wear_path_figures, w);

	figures_add(o, swap_wear_figures, w);
	if (w->left != UINT64_MAX)
		figures_add(o, wear_left_figures, w);
	if (w->tightest)
		figures_add(o, wear_tightest_figures, w);
	return o;
}

struct json_object *query_swap_device(const struct swap_stats *d, const struct wear_stats *wear)
{
	struct json_object *o = one(swap_figures, d);
	struct json_object *halves = json_object_new_array();

	if (wear)
		figures_add(o, swap_wear_figures, wear);
	if (wear && wear->left != UINT64_MAX)
		figures_add(o, swap_left_figures, wear);
	if (!strcmp(d->type, "ram"))
		figures_add(o, swap_ram_figures, d);
	for (uint32_t i = 0; i < d->halves; i++)
		json_object_array_add(halves, one(half_figures, &d->half[i]));
	json_object_object_add(o, "halves", halves);
	return o;
}

struct json_object *query_paging(const struct paging_limits *p)
{
	return one(paging_figures, p);
}

struct json_object *query_daemon(const struct host_daemon *d)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "version", drum_version);
	figures_add(o, daemon_figures, d);
	if (d->from[0])
		figures_add(o, daemon_from_figures, d);
	if (d->failed[0])
		figures_add(o, daemon_failed_figures, d);
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
	o = one(swapcache_figures, &s);
	json_object_object_add(o, "knobs", query_knobs(s.knob));
	devices = json_object_new_array();
	for (i = 0; i < nwear; i++)
		json_object_array_add(devices, query_wear(&wear[i]));
	json_object_object_add(o, "devices", devices);
	free(wear);
	return o;
}
