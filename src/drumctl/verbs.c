/* SPDX-License-Identifier: BSD-2-Clause */
#include "drumctl/verbs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "drumctl/output.h"

static const struct column guest_columns[] = {
	{ "NAME", "name", CELL_TEXT },	       { "PID", "pid", CELL_COUNT },
	{ "STATE", "state", CELL_TEXT },       { "SIZE", "size", CELL_SIZE },
	{ "RESIDENT", "resident", CELL_SIZE }, { "SWAPPED", "swapped", CELL_SIZE },
	{ "ZERO", "zero", CELL_SIZE },	       { "LIMIT", "limit", CELL_SIZE },
	{ "FAULTS", "faults", CELL_COUNT },    { "P50-US", "fault-p50-us", CELL_US },
	{ "P99-US", "fault-p99-us", CELL_US }, { 0 },
};

static const struct column guest_details[] = {
	{ "name", "name", CELL_TEXT },
	{ "pid", "pid", CELL_COUNT },
	{ "state", "state", CELL_TEXT },
	{ "mappers", "mappers", CELL_COUNT },
	{ "size", "size", CELL_SIZE },
	{ "resident", "resident", CELL_SIZE },
	{ "  active", "active", CELL_SIZE },
	{ "  inactive", "inactive", CELL_SIZE },
	{ "  writing", "writing", CELL_SIZE },
	{ "reading", "reading", CELL_SIZE },
	{ "swapped", "swapped", CELL_SIZE },
	{ "zero", "zero", CELL_SIZE },
	{ "limit", "limit", CELL_SIZE },
	{ "over limit", "over-limit", CELL_SIZE },
	{ "faults", "faults", CELL_COUNT },
	{ "  hole", "faults-hole", CELL_COUNT },
	{ "  inactive", "faults-inactive", CELL_COUNT },
	{ "  swapped", "faults-swapped", CELL_COUNT },
	{ "  writing", "faults-writing", CELL_COUNT },
	{ "  reading", "faults-reading", CELL_COUNT },
	{ "fault p50 us", "fault-p50-us", CELL_US },
	{ "fault p99 us", "fault-p99-us", CELL_US },
	{ "fault max us", "fault-max-us", CELL_US },
	{ "pages in", "pages-in", CELL_COUNT },
	{ "pages out", "pages-out", CELL_COUNT },
	{ "pages zero", "pages-zero", CELL_COUNT },
	{ "pages discarded", "pages-discarded", CELL_COUNT },
	{ "zaps", "zaps", CELL_COUNT },
	{ "zap p50 us", "zap-p50-us", CELL_US },
	{ "zap max us", "zap-max-us", CELL_US },
	{ "read errors", "read-errors", CELL_COUNT },
	{ "write errors", "write-errors", CELL_COUNT },
	{ 0 },
};

static const struct column swap_columns[] = {
	{ "NAME", "path", CELL_TEXT },
	{ "TYPE", "type", CELL_TEXT },
	{ "SIZE", "size", CELL_SIZE },
	{ "USED", "used", CELL_SIZE },
	{ "PRIO", "priority", CELL_COUNT },
	{ "BAD", "bad", CELL_SIZE },
	{ "READ", "read-bytes", CELL_SIZE },
	{ "WRITTEN", "write-bytes", CELL_SIZE },
	{ "READ-ERRORS", "read-errors", CELL_COUNT },
	{ "WRITE-ERRORS", "write-errors", CELL_COUNT },
	{ 0 },
};

static const struct column stat_columns[] = {
	{ "guests", "guests", CELL_COUNT },
	{ "swap devices", "swap-devices", CELL_COUNT },
	{ "guest RAM", "size", CELL_SIZE },
	{ "  resident", "resident", CELL_SIZE },
	{ "  swapped", "swapped", CELL_SIZE },
	{ "  zero", "zero", CELL_SIZE },
	{ "swap size", "swap-size", CELL_SIZE },
	{ "swap used", "swap-used", CELL_SIZE },
	{ "faults", "faults", CELL_COUNT },
	{ "pages in", "pages-in", CELL_COUNT },
	{ "pages out", "pages-out", CELL_COUNT },
	{ "pages zero", "pages-zero", CELL_COUNT },
	{ "pages discarded", "pages-discarded", CELL_COUNT },
	{ "read errors", "read-errors", CELL_COUNT },
	{ "write errors", "write-errors", CELL_COUNT },
	{ "uptime s", "uptime-us", CELL_SECONDS },
	{ 0 },
};

static void add_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

static void add_limit(struct json_object *o, const struct verb_args *args)
{
	if (args->given & OPT_LIMIT)
		json_object_object_add(o, "limit", json_object_new_uint64(args->limit));
}

/* A command whose result is nothing. */
static int tell(struct client *c, const char *command, struct json_object *args, struct err *e)
{
	struct json_object *result;
	int rc = client_call(c, command, args, &result, e);

	if (rc == 0)
		json_object_put(result);
	return rc;
}

/* A query whose result is an array of objects, shown as a table. */
static int show_table(struct client *c, const char *command, const struct column *columns,
		      const struct verb_args *args, struct err *e)
{
	struct json_object *result;
	int rc = client_call(c, command, NULL, &result, e);

	if (rc < 0)
		return rc;
	if (args->given & OPT_JSON)
		output_json(result);
	else
		rc = output_table(result, columns, args->given & OPT_BYTES, e);
	json_object_put(result);
	return rc;
}

static int show_object(struct json_object *object, const struct column *columns,
		       const struct verb_args *args, struct err *e)
{
	if (args->given & OPT_JSON) {
		output_json(object);
		return 0;
	}
	return output_list(object, columns, args->given & OPT_BYTES, e);
}

/* --- the verbs ------------------------------------------------------------- */

static int swap_on(struct client *c, const struct verb_args *args, struct err *e)
{
	struct json_object *o = json_object_new_object();
	char cwd[PATH_MAX], path[2 * PATH_MAX];

	/* the daemon has another working directory */
	if (args->operand[0] == '/') {
		add_text(o, "path", args->operand);
	} else if (!getcwd(cwd, sizeof(cwd))) {
		json_object_put(o);
		return err_set(e, -errno, "cannot tell the working directory: %s",
			       strerror(errno));
	} else {
		snprintf(path, sizeof(path), "%s/%s", strcmp(cwd, "/") ? cwd : "",
			 args->operand);
		add_text(o, "path", path);
	}
	if (args->given & OPT_PRIORITY)
		json_object_object_add(o, "priority", json_object_new_int(args->priority));
	return tell(c, "swap-on", o, e);
}

static int swap_list(struct client *c, const struct verb_args *args, struct err *e)
{
	return show_table(c, "query-swap-devices", swap_columns, args, e);
}

static int guest_attach(struct client *c, const struct verb_args *args, struct err *e)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "pid", json_object_new_int64(atoll(args->operand)));
	add_text(o, "name", args->name);
	add_limit(o, args);
	return tell(c, "guest-attach", o, e);
}

static struct json_object *guest_argument(const struct verb_args *args)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "name", args->operand);
	return o;
}

static int guest_detach(struct client *c, const struct verb_args *args, struct err *e)
{
	return tell(c, "guest-detach", guest_argument(args), e);
}

static int guest_list(struct client *c, const struct verb_args *args, struct err *e)
{
	return show_table(c, "query-guests", guest_columns, args, e);
}

static int guest_show(struct client *c, const struct verb_args *args, struct err *e)
{
	struct json_object *result;
	int rc = client_call(c, "query-guests", guest_argument(args), &result, e);

	if (rc < 0)
		return rc;
	if (json_object_is_type(result, json_type_array) && json_object_array_length(result))
		rc = show_object(json_object_array_get_idx(result, 0), guest_details, args, e);
	else
		rc = err_set(e, -EPROTO, "drumd said nothing about '%s'", args->operand);
	json_object_put(result);
	return rc;
}

static int guest_set(struct client *c, const struct verb_args *args, struct err *e)
{
	struct json_object *o = guest_argument(args);

	add_limit(o, args);
	return tell(c, "guest-set", o, e);
}

static int guest_out(struct client *c, const struct verb_args *args, struct err *e)
{
	return tell(c, "guest-out", guest_argument(args), e);
}

static int guest_in(struct client *c, const struct verb_args *args, struct err *e)
{
	return tell(c, "guest-in", guest_argument(args), e);
}

static int stat_show(struct client *c, const struct verb_args *args, struct err *e)
{
	struct json_object *result;
	int rc = client_call(c, "query-stats", NULL, &result, e);

	if (rc < 0)
		return rc;
	rc = show_object(result, stat_columns, args, e);
	json_object_put(result);
	return rc;
}

#define SHOWS (OPT_JSON | OPT_BYTES)

const struct verb verbs[] = {
	{ "swap", "on", OPERAND_PATH, 0, OPT_PRIORITY, "Page to a block device or file.",
	  swap_on },
	{ "swap", "list", OPERAND_NONE, 0, SHOWS, "List the swap devices.", swap_list },
	{ "guest", "attach", OPERAND_PID, OPT_NAME, OPT_LIMIT,
	  "Take over the paging of a VMM's guest.", guest_attach },
	{ "guest", "detach", OPERAND_GUEST, 0, 0, "Page a guest in and let go of it.",
	  guest_detach },
	{ "guest", "list", OPERAND_NONE, 0, SHOWS, "List the guests.", guest_list },
	{ "guest", "show", OPERAND_GUEST, 0, SHOWS, "Show all about a guest.", guest_show },
	{ "guest", "set", OPERAND_GUEST, OPT_LIMIT, 0,
	  "Change how much of a guest may be resident.", guest_set },
	{ "guest", "out", OPERAND_GUEST, 0, 0, "Page out all of a guest that can be.",
	  guest_out },
	{ "guest", "in", OPERAND_GUEST, 0, 0, "Page in all of a guest.", guest_in },
	{ NULL, "stat", OPERAND_NONE, 0, SHOWS, "Show sums over guests and swap devices.",
	  stat_show },
	{ 0 },
};

const char *verb_operand_name(const struct verb *v)
{
	switch (v->operand) {
	case OPERAND_PATH:
		return "PATH";
	case OPERAND_PID:
		return "PID";
	case OPERAND_GUEST:
		return "NAME";
	case OPERAND_NONE:
		break;
	}
	return "";
}

int verb_check_operand(const struct verb *v, const char *operand, struct err *e)
{
	size_t digits = strspn(operand, "0123456789");

	if (v->operand == OPERAND_PID &&
	    (digits == 0 || digits > 18 || operand[digits] != '\0'))
		return err_set(e, -EINVAL, "not a process id: '%s'", operand);
	if (operand[0] == '\0')
		return err_set(e, -EINVAL, "%s is empty", verb_operand_name(v));
	return 0;
}
