/* SPDX-License-Identifier: BSD-2-Clause */
/* The verbs of the dump device, and of dumps. */
#include <stdio.h>
#include <stdlib.h>

#include "base/size.h"
#include "drumctl/ask.h"
#include "drumctl/device.h"
#include "drumctl/safe.h"
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

/* --- a dump ------------------------------------------------------------------------- */

/* What was written, and where. */
static int show_written(struct client *c, struct err *e)
{
	struct json_object *result, *last, *path, *guest, *bytes;
	char size[SIZE_TEXT_MAX];
	int rc = client_call(c, "query-dump", NULL, &result, e);

	if (rc < 0)
		return rc;
	if (json_object_object_get_ex(result, "path", &path) &&
	    json_object_object_get_ex(result, "last", &last) &&
	    json_object_object_get_ex(last, "guest", &guest) &&
	    json_object_object_get_ex(last, "bytes", &bytes)) {
		put_safe(stdout, json_object_get_string(path));
		printf(": %s of guest ", size_format(size, json_object_get_uint64(bytes)));
		put_safe(stdout, json_object_get_string(guest));
		puts(" written");
	}
	json_object_put(result);
	return 0;
}

int dump_guest(struct client *c, const struct verb_args *args, struct err *e)
{
	int rc = tell_job(c, "guest-dump", args, e);

	return rc < 0 ? rc : show_written(c, e);
}
