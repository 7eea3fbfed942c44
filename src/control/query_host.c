/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdio.h>

#include "control/query.h"
#include "control/query_add.h"

/* RAM of guests for each byte of the budget. */
static void add_overcommit(struct json_object *o, uint32_t thousandths)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu32 ".%03" PRIu32, thousandths / 1000,
		 thousandths % 1000);
	json_object_object_add(o, "overcommit",
			       json_object_new_double_s(thousandths / 1e3, text));
}

struct json_object *query_host(const struct manager_stats *m)
{
	struct json_object *o = json_object_new_object();

	add_uint(o, "budget", m->conf.budget);
	add_uint(o, "idle-tax", m->conf.tax);
	add_percent(o, "stall-target", m->conf.stall_target);
	add_text(o, "level", m->level);
	add_uint(o, "used", m->used);
	add_uint(o, "free", m->free);
	add_uint(o, "price", m->price);
	add_uint(o, "total", m->total);
	add_uint(o, "available", m->available);
	add_uint(o, "admitted-memory", m->admitted);
	add_uint(o, "reserved", m->reserved);
	add_uint(o, "headroom", m->headroom);
	if (m->conf.budget)
		add_overcommit(o, m->overcommit);
	add_uint(o, "promised-swap", m->promised);
	add_uint(o, "free-swap", m->swap_free);
	add_uint(o, "rounds", m->rounds);
	add_us(o, "round-us", m->round_ns);
	return o;
}

struct json_object *query_totals(const struct host_stats *t, const struct manager_stats *m)
{
	struct json_object *o = json_object_new_object();

	add_uint(o, "guests", t->guests);
	add_uint(o, "swap-devices", t->swap_devices);
	add_uint(o, "size", t->size);
	add_uint(o, "resident", t->resident);
	add_uint(o, "swapped", t->swapped);
	add_uint(o, "zero", t->zero);
	add_uint(o, "swap-size", t->swap_size);
	add_uint(o, "swap-used", t->swap_used);
	add_uint(o, "faults", t->faults);
	add_uint(o, "pages-in", t->pages_in);
	add_uint(o, "pages-out", t->pages_out);
	add_uint(o, "pages-zero", t->pages_zero);
	add_uint(o, "pages-discarded", t->pages_discarded);
	add_uint(o, "read-errors", t->read_errors);
	add_uint(o, "write-errors", t->write_errors);
	add_us(o, "uptime-us", t->uptime);
	json_object_object_add(o, "host", query_host(m));
	return o;
}
