/* SPDX-License-Identifier: BSD-2-Clause */
/* The verbs of the dump device, and of dumps. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/size.h"
#include "drumctl/ask.h"
#include "drumctl/device.h"
#include "drumctl/progress.h"
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

struct dumping {
	struct client *client; /* where it is to be answered */
	struct client *side;   /* a second one, to show how far it is; or NULL */
	const char *name;
	struct progress progress;
	bool asking;	 /* of side */
	uint64_t ask_at; /* clock_ns */
};

static struct json_object *name_argument(const char *name)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "name", name);
	return o;
}

/* It is a help; without it the dump goes on all the same. */
static void side_lost(struct dumping *d)
{
	client_close(d->side);
	d->side = NULL;
}

static void side_ask(struct dumping *d)
{
	struct err e;

	if (!d->side || d->asking || clock_ns() < d->ask_at)
		return;
	d->ask_at = clock_ns() + PROGRESS_MS * NSEC_PER_MSEC;
	d->asking = true;
	if (client_start(d->side, "query-guests", name_argument(d->name), &e) < 0)
		side_lost(d);
}

static void side_answer(struct dumping *d)
{
	struct json_object *result, *guest, *done, *size;
	struct err e;
	int rc = client_look(d->side, &result, &e);

	if (rc == 0)
		return;
	d->asking = false;
	if (rc < 0) {
		if (client_is_lost(d->side))
			side_lost(d);
		return;
	}
	guest = json_object_is_type(result, json_type_array)
			? json_object_array_get_idx(result, 0)
			: NULL;
	if (json_object_object_get_ex(guest, "dump-done", &done) &&
	    json_object_object_get_ex(guest, "size", &size))
		progress_set(&d->progress, json_object_get_uint64(done),
			     json_object_get_uint64(size));
	json_object_put(result);
}

/* => as client_look: 1 when the dump was answered */
static int turn(struct dumping *d, struct json_object **result, struct err *e)
{
	struct pollfd fds[2] = { { .fd = client_fd(d->client), .events = POLLIN },
				 { .fd = -1, .events = POLLIN } };

	side_ask(d);
	if (d->side)
		fds[1].fd = client_fd(d->side);
	if (poll(fds, 2, d->side && !d->asking ? PROGRESS_MS : -1) <= 0)
		return 0;
	if (d->side && fds[1].revents)
		side_answer(d);
	return fds[0].revents ? client_look(d->client, result, e) : 0;
}

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
	    json_object_object_get_ex(last, "bytes", &bytes))
		printf("%s: %s of guest %s written\n", json_object_get_string(path),
		       size_format(size, json_object_get_uint64(bytes)),
		       json_object_get_string(guest));
	json_object_put(result);
	return 0;
}

int dump_guest(struct client *c, const struct verb_args *args, struct err *e)
{
	struct dumping d = { .client = c, .name = args->operand };
	struct json_object *result;
	int rc;

	progress_begin(&d.progress, d.name);
	if (d.progress.shown && client_open(args->socket, &d.side, e) < 0)
		d.side = NULL;
	rc = client_start(c, "guest-dump", name_argument(d.name), e);
	while (rc == 0)
		rc = turn(&d, &result, e);
	progress_end(&d.progress);
	client_close(d.side);
	if (rc < 0)
		return rc;
	show_warning(result);
	json_object_put(result);
	return show_written(c, e);
}
