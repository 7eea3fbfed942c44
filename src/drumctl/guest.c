/* SPDX-License-Identifier: BSD-2-Clause */
/* The verbs of guests. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/host_params.h"
#include "base/size.h"
#include "drumctl/ask.h"
#include "drumctl/verbs.h"

const struct column guest_columns[] = {
	{ "NAME", "name", CELL_TEXT, 0 },
	{ "PID", "pid", CELL_COUNT, 0 },
	{ "STATE", "state", CELL_TEXT, 0 },
	{ "SIZE", "size", CELL_SIZE, 0 },
	{ "RESIDENT", "resident", CELL_SIZE, 0 },
	{ "SWAPPED", "swapped", CELL_SIZE, 0 },
	{ "ZERO", "zero", CELL_SIZE, 0 },
	{ "LIMIT", "limit", CELL_SIZE, 0 },
	{ "FAULTS", "faults", CELL_COUNT, 0 },
	{ "P50-US", "fault-p50-us", CELL_US, 0 },
	{ "P99-US", "fault-p99-us", CELL_US, 0 },
	{ "TARGET", "target", CELL_SIZE, 0 },
	{ "SOME-10S", "some-10s", CELL_PERCENT, 0 },
	{ "RESERVATION", "reservation", CELL_SIZE, COLUMN_EXTRA },
	{ "SHARES", "shares", CELL_COUNT, COLUMN_EXTRA },
	{ "GRANT", "grant", CELL_SIZE, COLUMN_EXTRA },
	{ "WHY", "why", CELL_TEXT, COLUMN_EXTRA },
	{ "PRICE", "price", CELL_COUNT, COLUMN_EXTRA },
	{ "WORKING-SET", "working-set", CELL_SIZE, COLUMN_EXTRA },
	{ "USES", "uses", CELL_SIZE, COLUMN_EXTRA },
	{ "COLD", "cold", CELL_SIZE, COLUMN_EXTRA },
	{ "SOME-60S", "some-60s", CELL_PERCENT, COLUMN_EXTRA },
	{ "SOME-300S", "some-300s", CELL_PERCENT, COLUMN_EXTRA },
	{ "FULL-10S", "full-10s", CELL_PERCENT, COLUMN_EXTRA },
	{ "FULL-60S", "full-60s", CELL_PERCENT, COLUMN_EXTRA },
	{ "FULL-300S", "full-300s", CELL_PERCENT, COLUMN_EXTRA },
	{ "BALLOON", "balloon", CELL_TEXT, COLUMN_EXTRA },
	{ "BALLOON-SIZE", "balloon-size", CELL_SIZE, COLUMN_EXTRA },
	{ "PROMISED", "promised-swap", CELL_SIZE, COLUMN_EXTRA },
	{ "MONITOR", "monitor", CELL_TEXT, COLUMN_EXTRA },
	{ 0 },
};

static const struct column guest_details[] = {
	{ "name", "name", CELL_TEXT, 0 },
	{ "pid", "pid", CELL_COUNT, 0 },
	{ "state", "state", CELL_TEXT, 0 },
	{ "  reason", "reason", CELL_TEXT, 0 },
	{ "mappers", "mappers", CELL_COUNT, 0 },
	{ "size", "size", CELL_SIZE, 0 },
	{ "resident", "resident", CELL_SIZE, 0 },
	{ "  active", "active", CELL_SIZE, 0 },
	{ "  inactive", "inactive", CELL_SIZE, 0 },
	{ "  writing", "writing", CELL_SIZE, 0 },
	{ "pinned", "pinned", CELL_SIZE, 0 },
	{ "reading", "reading", CELL_SIZE, 0 },
	{ "swapped", "swapped", CELL_SIZE, 0 },
	{ "  kept", "kept", CELL_SIZE, 0 },
	{ "zero", "zero", CELL_SIZE, 0 },
	{ "working set", "working-set", CELL_SIZE, 0 },
	{ "  idle 10 s", "idle-10s", CELL_SIZE, 0 },
	{ "  idle 1 m", "idle-1m", CELL_SIZE, 0 },
	{ "  idle 5 m", "idle-5m", CELL_SIZE, 0 },
	{ "  idle 30 m", "idle-30m", CELL_SIZE, 0 },
	{ "limit", "limit", CELL_SIZE, 0 },
	{ "reservation", "reservation", CELL_LIMIT_SIZE, COLUMN_OPTIONAL },
	{ "shares", "shares", CELL_COUNT, COLUMN_OPTIONAL },
	{ "promised swap", "promised-swap", CELL_SIZE, COLUMN_OPTIONAL },
	{ "target", "target", CELL_SIZE, COLUMN_OPTIONAL },
	{ "  why", "why", CELL_TEXT, COLUMN_OPTIONAL },
	{ "  uses", "uses", CELL_SIZE, COLUMN_OPTIONAL },
	{ "  cold", "cold", CELL_SIZE, COLUMN_OPTIONAL },
	{ "  price", "price", CELL_COUNT, COLUMN_OPTIONAL },
	{ "  for more", "price-next", CELL_COUNT, COLUMN_OPTIONAL },
	{ "grant", "grant", CELL_SIZE, 0 },
	{ "over limit", "over-limit", CELL_SIZE, 0 },
	{ "stalls, some", "some-10s", CELL_PERCENT, COLUMN_OPTIONAL },
	{ "  of 60 s", "some-60s", CELL_PERCENT, COLUMN_OPTIONAL },
	{ "  of 300 s", "some-300s", CELL_PERCENT, COLUMN_OPTIONAL },
	{ "stalls, full", "full-10s", CELL_PERCENT, COLUMN_OPTIONAL },
	{ "  of 60 s", "full-60s", CELL_PERCENT, COLUMN_OPTIONAL },
	{ "  of 300 s", "full-300s", CELL_PERCENT, COLUMN_OPTIONAL },
	{ "stalled s", "stall-some-us", CELL_SECONDS, 0 },
	{ "  all vCPUs", "stall-full-us", CELL_SECONDS, 0 },
	{ "  swap", "stall-read-us", CELL_SECONDS, 0 },
	{ "  page-out", "stall-limit-us", CELL_SECONDS, 0 },
	{ "  page-ins", "stall-no-pagein-us", CELL_SECONDS, 0 },
	{ "  VMM", "stall-changing-us", CELL_SECONDS, 0 },
	{ "  memory", "stall-no-memory-us", CELL_SECONDS, 0 },
	{ "  errors", "stall-failing-us", CELL_SECONDS, 0 },
	{ "  pager", "stall-served-us", CELL_SECONDS, 0 },
	{ "vCPUs", "vcpus", CELL_COUNT, 0 },
	{ "evicted, limit", "evicted-limit", CELL_COUNT, 0 },
	{ "  grant", "evicted-grant", CELL_COUNT, 0 },
	{ "  cold", "evicted-cold", CELL_COUNT, 0 },
	{ "  guest out", "evicted-out", CELL_COUNT, 0 },
	{ "monitor", "monitor", CELL_TEXT, COLUMN_OPTIONAL },
	{ "  reason", "monitor-reason", CELL_TEXT, COLUMN_OPTIONAL },
	{ "  socket", "qmp", CELL_TEXT, COLUMN_OPTIONAL },
	{ "  domain", "domain", CELL_TEXT, COLUMN_OPTIONAL },
	{ "balloon", "balloon", CELL_TEXT, COLUMN_OPTIONAL },
	{ "  reason", "balloon-reason", CELL_TEXT, COLUMN_OPTIONAL },
	{ "  has taken", "balloon-size", CELL_SIZE, COLUMN_OPTIONAL },
	{ "  guest's free", "guest-free", CELL_SIZE, COLUMN_OPTIONAL },
	{ "  available", "guest-available", CELL_SIZE, COLUMN_OPTIONAL },
	{ "  reports free", "reports-free", CELL_BOOL, COLUMN_OPTIONAL },
	{ "  on OOM", "deflate-on-oom", CELL_BOOL, COLUMN_OPTIONAL },
	{ "faults", "faults", CELL_COUNT, 0 },
	{ "  hole", "faults-hole", CELL_COUNT, 0 },
	{ "  inactive", "faults-inactive", CELL_COUNT, 0 },
	{ "  swapped", "faults-swapped", CELL_COUNT, 0 },
	{ "  writing", "faults-writing", CELL_COUNT, 0 },
	{ "  reading", "faults-reading", CELL_COUNT, 0 },
	{ "refaults", "refaults", CELL_COUNT, 0 },
	{ "  within 1 s", "refaults-1s", CELL_COUNT, 0 },
	{ "fault p50 us", "fault-p50-us", CELL_US, 0 },
	{ "fault p99 us", "fault-p99-us", CELL_US, 0 },
	{ "fault max us", "fault-max-us", CELL_US, 0 },
	{ "pages in", "pages-in", CELL_COUNT, 0 },
	{ "pages out", "pages-out", CELL_COUNT, 0 },
	{ "pages clean", "pages-clean", CELL_COUNT, 0 },
	{ "pages zero", "pages-zero", CELL_COUNT, 0 },
	{ "pages discarded", "pages-discarded", CELL_COUNT, 0 },
	{ "pages moved", "pages-moved", CELL_COUNT, 0 },
	{ "pages replayed", "pages-replayed", CELL_COUNT, 0 },
	{ "recorded", "recorded", CELL_SIZE, 0 },
	{ "pages poisoned", "poisoned", CELL_COUNT, 0 },
	{ "pin checks", "pin-checks", CELL_COUNT, 0 },
	{ "pin check us", "pin-check-us", CELL_US, 0 },
	{ "zaps", "zaps", CELL_COUNT, 0 },
	{ "zap p50 us", "zap-p50-us", CELL_US, 0 },
	{ "zap max us", "zap-max-us", CELL_US, 0 },
	{ "read errors", "read-errors", CELL_COUNT, 0 },
	{ "write errors", "write-errors", CELL_COUNT, 0 },
	{ "dump done", "dump-done", CELL_SIZE, 0 },
	{ 0 },
};

/* --- terms ----------------------------------------------------------------------- */

/* What takes it away on the command line is "" for the daemon. */
static const char *or_none(const char *text)
{
	return strcmp(text, "none") != 0 ? text : "";
}

static int check_place(const char *option, const char *name, struct err *e)
{
	if (!name || (name[0] && guest_place_is_valid(or_none(name))))
		return 0;
	return err_set(e, -EINVAL, "--%s: '%s' must be " GUEST_PLACE_ALLOWED ", or none",
		       option, name);
}

/* => 0, or -EINVAL: less is more than more; sizes that are not given or none are neither */
static int check_order(const char *less, uint64_t a, const char *more, uint64_t b,
		       struct err *e)
{
	char as[SIZE_TEXT_MAX], bs[SIZE_TEXT_MAX];

	if (!a || !b || a <= b)
		return 0;
	return err_set(e, -EINVAL, "--%s of %s is more than --%s, %s", less, size_format(as, a),
		       more, size_format(bs, b));
}

int guest_check(const struct verb_args *args, struct err *e)
{
	bool memory = args->given & OPT_MEMORY;
	int rc = 0;

	if (memory && args->memory == 0)
		return err_set(e, -EINVAL, "--memory: a guest has some RAM");
	rc = check_order("reservation", args->reservation, "limit", args->limit, e);
	if (rc == 0)
		rc = check_order("limit", args->limit, "memory", args->memory, e);
	if (rc == 0)
		rc = check_order("reservation", args->reservation, "memory", args->memory, e);
	if (rc == 0 && args->qmp &&
	    (!args->qmp[0] || !guest_monitor_is_valid(or_none(args->qmp))))
		rc = err_set(e, -EINVAL,
			     "--qmp: '%s' must be " GUEST_MONITOR_ALLOWED ", or none",
			     args->qmp);
	if (rc == 0)
		rc = check_place("balloon", args->balloon, e);
	if (rc == 0)
		rc = check_place("domain", args->domain, e);
	if (rc == 0 && args->qmp && args->domain && or_none(args->qmp)[0] &&
	    or_none(args->domain)[0])
		rc = err_set(e, -EINVAL,
			     "--qmp and --domain exclude each other: libvirt owns the monitor "
			     "of its domains");
	return rc;
}

static void add_settings(struct json_object *o, const struct verb_args *args)
{
	add_number(o, "limit", args, OPT_LIMIT, args->limit);
	add_number(o, "reservation", args, OPT_RESERVATION, args->reservation);
	add_number(o, "shares", args, OPT_SHARES, args->shares);
	if (args->qmp)
		add_text(o, "qmp", or_none(args->qmp));
	if (args->balloon)
		add_text(o, "balloon", or_none(args->balloon));
	if (args->domain)
		add_text(o, "domain", or_none(args->domain));
}

/* --- verbs ------------------------------------------------------------------------ */

static struct json_object *guest_argument(const struct verb_args *args)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "name", args->operand);
	return o;
}

static const struct column admission_details[] = {
	{ "admitted", "admitted", CELL_BOOL, 0 },
	{ "reason", "reason", CELL_TEXT, COLUMN_OPTIONAL },
	{ "memory", "memory", CELL_SIZE, 0 },
	{ "reservation", "reservation", CELL_SIZE, 0 },
	{ "headroom", "headroom", CELL_SIZE, 0 },
	{ "promised swap", "promised-swap", CELL_SIZE, 0 },
	{ "free swap", "free-swap", CELL_SIZE, 0 },
	{ 0 },
};

/* The figures are told whatever comes of it; a refusal is an error all the same. */
static int admit_dry(struct client *c, const struct verb_args *args, struct json_object *o,
		     struct err *e)
{
	struct json_object *result, *admitted, *reason;
	int rc;

	add_true(o, "dry-run", args, OPT_DRY_RUN);
	rc = client_call(c, "guest-admit", o, &result, e);
	if (rc < 0)
		return rc;
	rc = show_object(result, admission_details, args, e);
	if (rc == 0 && json_object_object_get_ex(result, "admitted", &admitted) &&
	    !json_object_get_boolean(admitted)) {
		bool told = json_object_object_get_ex(result, "reason", &reason);

		rc = err_set(e, -EREMOTEIO, "%s",
			     told ? json_object_get_string(reason) : "it would be refused");
	}
	json_object_put(result);
	return rc;
}

int guest_admit(struct client *c, const struct verb_args *args, struct err *e)
{
	struct json_object *o = guest_argument(args);

	add_number(o, "memory", args, OPT_MEMORY, args->memory);
	add_settings(o, args);
	if (args->given & OPT_DRY_RUN)
		return admit_dry(c, args, o, e);
	return tell(c, "guest-admit", o, e);
}

int guest_release(struct client *c, const struct verb_args *args, struct err *e)
{
	return tell(c, "guest-release", guest_argument(args), e);
}

int guest_attach(struct client *c, const struct verb_args *args, struct err *e)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "pid", json_object_new_int64(atoll(args->operand)));
	add_text(o, "name", args->name);
	add_settings(o, args);
	return tell(c, "guest-attach", o, e);
}

int guest_detach(struct client *c, const struct verb_args *args, struct err *e)
{
	return tell_job(c, "guest-detach", args, e);
}

int guest_list(struct client *c, const struct verb_args *args, struct err *e)
{
	return show_table(c, "query-guests", guest_columns, args, e);
}

int guest_show(struct client *c, const struct verb_args *args, struct err *e)
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

int guest_set(struct client *c, const struct verb_args *args, struct err *e)
{
	struct json_object *o = guest_argument(args);

	add_settings(o, args);
	return tell(c, "guest-set", o, e);
}

int guest_out(struct client *c, const struct verb_args *args, struct err *e)
{
	return tell_job(c, "guest-out", args, e);
}

int guest_in(struct client *c, const struct verb_args *args, struct err *e)
{
	return tell_job(c, "guest-in", args, e);
}
