/* SPDX-License-Identifier: BSD-2-Clause */
/* The verbs of the dump device, and of dumps. */
#include <stdlib.h>

#include "drumctl/ask.h"
#include "drumctl/device.h"
#include "drumctl/verbs.h"

static const struct column dump_details[] = {
	{ "path", "path", CELL_TEXT, 0 },
	{ "size", "size", CELL_SIZE, 0 },
	{ "dumping", "dumping", CELL_TEXT, COLUMN_OPTIONAL },
	{ "last dump", "/last/guest", CELL_TEXT, 0 },
	{ "  time", "/last/time", CELL_TEXT, COLUMN_OPTIONAL },
	{ "  complete", "/last/complete", CELL_BOOL, COLUMN_OPTIONAL },
	{ "  bytes", "/last/bytes", CELL_SIZE, COLUMN_OPTIONAL },
	{ "  lost pages", "/last/lost", CELL_COUNT, COLUMN_OPTIONAL },
	{ 0 },
};

int dump_set(struct client *c, const struct verb_args *args, struct err *e)
{
	char *path = device_path(args->operand, e);
	struct json_object *o;

	if (!path)
		return e->code;
	o = json_object_new_object();
	add_text(o, "path", path);
	add_true(o, "force", args, OPT_FORCE);
	free(path);
	return tell(c, "dump-set", o, e);
}

int dump_off(struct client *c, const struct verb_args *args, struct err *e)
{
	(void)args;
	return tell(c, "dump-off", NULL, e);
}

int dump_show(struct client *c, const struct verb_args *args, struct err *e)
{
	return show_query(c, "query-dump", dump_details, args, e);
}

int dump_guest(struct client *c, const struct verb_args *args, struct err *e)
{
	return tell_job(c, "guest-dump", args->operand, e);
}
