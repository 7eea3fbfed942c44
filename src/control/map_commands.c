/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Figures of a guest that are too many for its row in query-guests: a picture of its RAM, and
 * how long its faults take.
 *
 * A picture is an array for each thing that is counted, and not an object for each cell: of
 * 4096 cells that is some 200 KiB of answer where it would be two megabytes.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "control/call.h"
#include "control/query_add.h"
#include "control/registry.h"

_Static_assert(COMMAND_CELLS_MAX == GUEST_MAP_CELLS_MAX, "as the argument's check says");

static const char *const kinds[GUEST_MAP_KINDS] = {
	[GUEST_MAP_ACTIVE] = "active",	 [GUEST_MAP_INACTIVE] = "inactive",
	[GUEST_MAP_SWAPPED] = "swapped", [GUEST_MAP_ZERO] = "zero",
	[GUEST_MAP_READING] = "reading", [GUEST_MAP_WRITING] = "writing",
	[GUEST_MAP_PINNED] = "pinned",	 [GUEST_MAP_KEPT] = "kept",
};

static void add_kind(struct json_object *o, const struct guest_map *map, int kind)
{
	struct json_object *array = json_object_new_array_ext((int)map->n);

	for (uint32_t i = 0; i < map->n; i++)
		json_object_array_add(array, json_object_new_uint64(map->cell[i].kind[kind]));
	json_object_object_add(o, kinds[kind], array);
}

static void add_idle(struct json_object *o, const struct guest_map *map)
{
	struct json_object *array = json_object_new_array_ext((int)map->n);

	for (uint32_t i = 0; i < map->n; i++)
		json_object_array_add(array,
				      json_object_new_int(guest_map_idle(&map->cell[i])));
	json_object_object_add(o, "idle", array);
}

static const char *name_of(const struct command_call *call)
{
	return json_object_get_string(json_object_object_get(call->args, "name"));
}

static void mapped(void *ctx, const struct guest_map *map, const struct err *e)
{
	struct command_call *call = ctx;
	struct json_object *o;

	if (e->code) {
		call_refused(call, e);
		return;
	}
	o = json_object_new_object();
	add_text(o, "name", name_of(call));
	figures_add(o, map_figures, map);
	for (int i = 0; i < GUEST_MAP_KINDS; i++)
		add_kind(o, map, i);
	add_idle(o, map);
	call_done(call, o);
}

void run_query_guest_map(struct command_call *call, const union command_value *values,
			 const bool *given)
{
	host_guest_map(call->host, values[0].text, given[1] ? values[1].count : GUEST_MAP_CELLS,
		       mapped, call);
}

/* Microseconds with all that there is: these are edges, and no measurements. */
static void add_edge(struct json_object *o, const char *key, uint64_t ns)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64 ".%03u", ns / 1000, (unsigned int)(ns % 1000));
	json_object_object_add(o, key, json_object_new_double_s((double)ns / 1000, text));
}

static struct json_object *buckets(const struct latency_stats *l)
{
	struct json_object *array = json_object_new_array_ext(LATENCY_BUCKETS);

	for (unsigned int i = 0; i < LATENCY_BUCKETS; i++) {
		struct json_object *o = json_object_new_object();

		if (i + 1 < LATENCY_BUCKETS)
			add_edge(o, "le-us", UINT64_C(1) << (LATENCY_FIRST + i));
		add_uint(o, "count", l->below[i]);
		json_object_array_add(array, o);
	}
	return array;
}

void run_query_guest_latency(struct command_call *call, const union command_value *values,
			     const bool *given)
{
	struct latency_stats l;
	struct json_object *o;
	struct err e;

	(void)given;
	if (host_guest_latency(call->host, values[0].text, &l) < 0) {
		(void)err_set(&e, -ENOENT, "no guest is named '%s'", values[0].text);
		call_refused(call, &e);
		return;
	}
	o = json_object_new_object();
	add_text(o, "name", values[0].text);
	figures_add(o, latency_figures, &l);
	json_object_object_add(o, "buckets", buckets(&l));
	call_done(call, o);
}
