/* SPDX-License-Identifier: BSD-2-Clause */
/* The verbs of the host's memory, and sums over all. */
#include "base/host_params.h"
#include "drumctl/ask.h"
#include "drumctl/verbs.h"

static const struct column stat_columns[] = {
	{ "guests", "guests", CELL_COUNT, 0 },
	{ "swap devices", "swap-devices", CELL_COUNT, 0 },
	{ "guest RAM", "size", CELL_SIZE, 0 },
	{ "  resident", "resident", CELL_SIZE, 0 },
	{ "  swapped", "swapped", CELL_SIZE, 0 },
	{ "  zero", "zero", CELL_SIZE, 0 },
	{ "swap size", "swap-size", CELL_SIZE, 0 },
	{ "swap used", "swap-used", CELL_SIZE, 0 },
	{ "faults", "faults", CELL_COUNT, 0 },
	{ "pages in", "pages-in", CELL_COUNT, 0 },
	{ "pages out", "pages-out", CELL_COUNT, 0 },
	{ "pages zero", "pages-zero", CELL_COUNT, 0 },
	{ "pages discarded", "pages-discarded", CELL_COUNT, 0 },
	{ "read errors", "read-errors", CELL_COUNT, 0 },
	{ "write errors", "write-errors", CELL_COUNT, 0 },
	{ "uptime s", "uptime-us", CELL_SECONDS, 0 },
	{ "host budget", "/host/budget", CELL_LIMIT_SIZE, 0 },
	{ "  level", "/host/level", CELL_TEXT, 0 },
	{ "  used", "/host/used", CELL_SIZE, 0 },
	{ "  free", "/host/free", CELL_SIZE, 0 },
	{ "  reserved", "/host/reserved", CELL_SIZE, 0 },
	{ "  headroom", "/host/headroom", CELL_SIZE, 0 },
	{ "  overcommit", "/host/overcommit", CELL_RATIO, COLUMN_OPTIONAL },
	{ "promised swap", "/host/promised-swap", CELL_SIZE, 0 },
	{ "  free for more", "/host/free-swap", CELL_SIZE, 0 },
	{ 0 },
};

static const struct column host_columns[] = {
	{ "budget", "budget", CELL_LIMIT_SIZE, 0 },
	{ "level", "level", CELL_TEXT, 0 },
	{ "used", "used", CELL_SIZE, 0 },
	{ "free", "free", CELL_SIZE, 0 },
	{ "price", "price", CELL_COUNT, 0 },
	{ "idle tax %", "idle-tax", CELL_COUNT, 0 },
	{ "stall target", "stall-target", CELL_PERCENT, 0 },
	{ "guest RAM", "admitted-memory", CELL_SIZE, 0 },
	{ "reserved", "reserved", CELL_SIZE, 0 },
	{ "headroom", "headroom", CELL_SIZE, 0 },
	{ "overcommit", "overcommit", CELL_RATIO, COLUMN_OPTIONAL },
	{ "promised swap", "promised-swap", CELL_SIZE, 0 },
	{ "  free for more", "free-swap", CELL_SIZE, 0 },
	{ "host RAM", "total", CELL_SIZE, 0 },
	{ "  available", "available", CELL_SIZE, 0 },
	{ "pressure, some", "pressure-some-avg10", CELL_PERCENT, COLUMN_OPTIONAL },
	{ "  full", "pressure-full-avg10", CELL_PERCENT, COLUMN_OPTIONAL },
	{ "stalls, some", "stall-some-10s", CELL_PERCENT, COLUMN_OPTIONAL },
	{ "  full", "stall-full-10s", CELL_PERCENT, COLUMN_OPTIONAL },
	{ "rounds", "rounds", CELL_COUNT, 0 },
	{ "round us", "round-us", CELL_US, 0 },
	{ 0 },
};

int stat_show(struct client *c, const struct verb_args *args, struct err *e)
{
	return show_query(c, "query-stats", stat_columns, args, e);
}

int host_show(struct client *c, const struct verb_args *args, struct err *e)
{
	return show_query(c, "query-host", host_columns, args, e);
}

int host_set(struct client *c, const struct verb_args *args, struct err *e)
{
	struct json_object *o = json_object_new_object();

	add_number(o, "budget", args, OPT_BUDGET, args->budget);
	add_number(o, "idle-tax", args, OPT_IDLE_TAX, args->idle_tax);
	if (args->given & OPT_STALL_TARGET)
		json_object_object_add(
			o, "stall-target",
			json_object_new_double(args->stall_target / (double)PERCENT_ONE));
	return tell(c, "host-set", o, e);
}
