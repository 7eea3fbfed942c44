/* SPDX-License-Identifier: BSD-2-Clause */
/* The verbs of swap devices, but for switching off, which takes its time. */
#include <errno.h>
#include <stdlib.h>

#include "drumctl/ask.h"
#include "drumctl/device.h"
#include "drumctl/fill.h"
#include "drumctl/verbs.h"

const struct column swap_columns[] = {
	{ "NAME", "path", CELL_TEXT, 0 },
	{ "TYPE", "type", CELL_TEXT, 0 },
	{ "STATE", "state", CELL_TEXT, 0 },
	{ "SIZE", "size", CELL_SIZE, 0 },
	{ "USED", "used", CELL_SIZE, 0 },
	{ "PRIO", "priority", CELL_COUNT, 0 },
	{ "BAD", "bad", CELL_SIZE, 0 },
	{ "READ", "read-bytes", CELL_SIZE, 0 },
	{ "WRITTEN", "write-bytes", CELL_SIZE, 0 },
	{ "READ-ERRORS", "read-errors", CELL_COUNT, 0 },
	{ "WRITE-ERRORS", "write-errors", CELL_COUNT, 0 },
	{ "SUM-ERRORS", "checksum-errors", CELL_COUNT, COLUMN_EXTRA },
	{ "READS", "reads", CELL_COUNT, COLUMN_EXTRA },
	{ "WRITES", "writes", CELL_COUNT, COLUMN_EXTRA },
	{ "INFLIGHT", "inflight", CELL_COUNT, COLUMN_EXTRA },
	{ "WAITED", "waited", CELL_COUNT, COLUMN_EXTRA },
	{ "MAX-INFLIGHT", "max-inflight", CELL_LIMIT, COLUMN_EXTRA },
	{ "MAX-BANDWIDTH", "max-bandwidth", CELL_LIMIT_SIZE, COLUMN_EXTRA },
	{ "CHECKSUMS", "checksums", CELL_BOOL, COLUMN_EXTRA },
	{ "DISCARD", "discard", CELL_BOOL, COLUMN_EXTRA },
	{ "DISCARDED", "discarded", CELL_SIZE, COLUMN_EXTRA },
	{ "TO-MOVE", "to-move", CELL_SIZE, COLUMN_EXTRA },
	{ "MOVED", "moved", CELL_SIZE, COLUMN_EXTRA },
	{ "ENDURANCE", "endurance", CELL_LIMIT_SIZE, COLUMN_EXTRA },
	{ "WRITTEN-1D", "written-1d", CELL_SIZE, COLUMN_EXTRA },
	{ "RAM-USED", "ram-used", CELL_SIZE, COLUMN_EXTRA },
	{ "MIRROR", "/halves/1/path", CELL_TEXT, COLUMN_EXTRA },
	{ 0 },
};

static const struct column swap_details[] = {
	{ "path", "path", CELL_TEXT, 0 },
	{ "type", "type", CELL_TEXT, 0 },
	{ "state", "state", CELL_TEXT, 0 },
	{ "half", "/halves/0/path", CELL_TEXT, COLUMN_OPTIONAL },
	{ "  state", "/halves/0/state", CELL_TEXT, COLUMN_OPTIONAL },
	{ "  lacking", "/halves/0/lacking", CELL_SIZE, COLUMN_OPTIONAL },
	{ "half", "/halves/1/path", CELL_TEXT, COLUMN_OPTIONAL },
	{ "  state", "/halves/1/state", CELL_TEXT, COLUMN_OPTIONAL },
	{ "  lacking", "/halves/1/lacking", CELL_SIZE, COLUMN_OPTIONAL },
	{ "priority", "priority", CELL_COUNT, 0 },
	{ "size", "size", CELL_SIZE, 0 },
	{ "used", "used", CELL_SIZE, 0 },
	{ "bad", "bad", CELL_SIZE, 0 },
	{ "to move", "to-move", CELL_SIZE, 0 },
	{ "moved", "moved", CELL_SIZE, 0 },
	{ "in flight", "inflight", CELL_COUNT, 0 },
	{ "reads", "reads", CELL_COUNT, 0 },
	{ "writes", "writes", CELL_COUNT, 0 },
	{ "read", "read-bytes", CELL_SIZE, 0 },
	{ "written", "write-bytes", CELL_SIZE, 0 },
	{ "read errors", "read-errors", CELL_COUNT, 0 },
	{ "  checksum", "checksum-errors", CELL_COUNT, 0 },
	{ "write errors", "write-errors", CELL_COUNT, 0 },
	{ "checksums", "checksums", CELL_BOOL, 0 },
	{ "max in flight", "max-inflight", CELL_LIMIT, 0 },
	{ "max bandwidth", "max-bandwidth", CELL_LIMIT_SIZE, 0 },
	{ "waited", "waited", CELL_COUNT, 0 },
	{ "discard", "discard", CELL_BOOL, 0 },
	{ "discarded", "discarded", CELL_SIZE, 0 },
	{ "endurance", "endurance", CELL_LIMIT_SIZE, COLUMN_OPTIONAL },
	{ "  left", "endurance-left", CELL_SIZE, COLUMN_OPTIONAL },
	{ "  written 1 d", "written-1d", CELL_SIZE, COLUMN_OPTIONAL },
	{ "  7 d", "written-7d", CELL_SIZE, COLUMN_OPTIONAL },
	{ "  28 d", "written-28d", CELL_SIZE, COLUMN_OPTIONAL },
	{ "RAM limit", "ram-limit", CELL_SIZE, COLUMN_OPTIONAL },
	{ "RAM used", "ram-used", CELL_SIZE, COLUMN_OPTIONAL },
	{ "RAM pages", "ram-pages", CELL_COUNT, COLUMN_OPTIONAL },
	{ "RAM refused", "ram-refused", CELL_COUNT, COLUMN_OPTIONAL },
	{ 0 },
};

/* => 0, or -errno; path and mirror (NULL without one) as drumd is to have them */
static int switch_on(struct client *c, const struct verb_args *args, const char *path,
		     const char *mirror, struct err *e)
{
	struct json_object *o;
	int rc = 0;

	if (args->given & OPT_FILL) {
		rc = fill_holes(path, e);
		if (rc == 0 && mirror)
			rc = fill_holes(mirror, e);
	}
	if (rc < 0)
		return rc;
	o = json_object_new_object();
	add_text(o, "path", path);
	if (mirror)
		add_text(o, "mirror", mirror);
	add_number(o, "priority", args, OPT_PRIORITY, args->priority);
	add_true(o, "force", args, OPT_FORCE);
	add_true(o, "discard", args, OPT_DISCARD);
	if (args->given & OPT_NO_CHECKSUMS)
		json_object_object_add(o, "checksums", json_object_new_boolean(false));
	add_number(o, "max-inflight", args, OPT_MAX_INFLIGHT, args->max_inflight);
	add_number(o, "max-bandwidth", args, OPT_MAX_BANDWIDTH, args->max_bandwidth);
	add_number(o, "endurance", args, OPT_ENDURANCE, args->endurance);
	return tell(c, "swap-on", o, e);
}

int swap_on(struct client *c, const struct verb_args *args, struct err *e)
{
	char *path = device_path(args->operand, e);
	char *mirror = path && args->mirror ? device_path(args->mirror, e) : NULL;
	int rc;

	if (!path || (args->mirror && !mirror))
		rc = e->code;
	else
		rc = switch_on(c, args, path, mirror, e);
	free(path);
	free(mirror);
	return rc;
}

/* The arguments of a command for the device that the operand means. => NULL and e */
static struct json_object *device_argument(struct client *c, const struct verb_args *args,
					   struct err *e)
{
	struct json_object *o;
	char *path;

	if (device_find(c, args->operand, &path, NULL, e) < 0)
		return NULL;
	o = json_object_new_object();
	add_text(o, "path", path);
	free(path);
	return o;
}

int swap_priority(struct client *c, const struct verb_args *args, struct err *e)
{
	struct json_object *o = device_argument(c, args, e);

	if (!o)
		return e->code;
	json_object_object_add(o, "priority", json_object_new_int(atoi(args->second)));
	return tell(c, "swap-set-priority", o, e);
}

int swap_set(struct client *c, const struct verb_args *args, struct err *e)
{
	struct json_object *o = device_argument(c, args, e);

	if (!o)
		return e->code;
	add_number(o, "priority", args, OPT_PRIORITY, args->priority);
	add_number(o, "max-inflight", args, OPT_MAX_INFLIGHT, args->max_inflight);
	add_number(o, "max-bandwidth", args, OPT_MAX_BANDWIDTH, args->max_bandwidth);
	add_true(o, "discard", args, OPT_DISCARD);
	if (args->given & OPT_NO_DISCARD)
		json_object_object_add(o, "discard", json_object_new_boolean(false));
	add_number(o, "endurance", args, OPT_ENDURANCE, args->endurance);
	return tell(c, "swap-set", o, e);
}

int swap_resize(struct client *c, const struct verb_args *args, struct err *e)
{
	struct json_object *o = device_argument(c, args, e);

	return o ? tell(c, "swap-resize", o, e) : e->code;
}

int swap_mirror(struct client *c, const struct verb_args *args, struct err *e)
{
	struct json_object *o = device_argument(c, args, e);
	char *fresh;

	if (!o)
		return e->code;
	fresh = device_path(args->second, e);
	if (!fresh) {
		json_object_put(o);
		return e->code;
	}
	add_text(o, "fresh", fresh);
	add_true(o, "force", args, OPT_FORCE);
	free(fresh);
	return tell(c, "swap-mirror", o, e);
}

int swap_list(struct client *c, const struct verb_args *args, struct err *e)
{
	return show_table(c, "query-swap-devices", swap_columns, args, e);
}

int swap_show(struct client *c, const struct verb_args *args, struct err *e)
{
	struct json_object *device;
	char *path;
	int rc = device_find(c, args->operand, &path, &device, e);

	if (rc < 0)
		return rc;
	if (device)
		rc = show_object(device, swap_details, args, e);
	else
		rc = err_set(e, -ENOENT,
			     "%s is not switched on; 'drumctl swap list' shows what is", path);
	json_object_put(device);
	free(path);
	return rc;
}
