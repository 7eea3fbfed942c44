/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * When the link is up: look for the balloon device, and ask for the threads of vCPUs; both
 * again every LOOK_AGAIN seconds, for devices and vCPUs are plugged.
 *
 *	given id	/machine/peripheral/ID, whose qom-list tells whether it is there
 *	none given	the first child<virtio-balloon*> of /machine/peripheral, else of
 *			/machine/peripheral-anon
 *
 * A look is a chain: each answer asks the next question.  A poll is several questions at
 * once; `asked` counts those that are not answered.  When none is left, what they said is
 * told as one change.  No question is asked again while it is under way, so there are never
 * more than a dozen of them.
 *
 * Figures of the guest come by two ways: query-balloon and guest-stats when polled,
 * BALLOON_CHANGE, STOP and RESUME as they happen.  The guest's driver is asked by QEMU
 * itself, every guest-stats-polling-interval seconds, which is set when another is wanted.
 *
 * Of `balloon` one is under way at a time, and the last value that was asked for follows.
 * A value that QEMU has confirmed is QEMU's: it is not said again to another link.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "balloon/monitor_priv.h"
#include "base/clock.h"
#include "base/json.h"

#define PERIPHERAL	"/machine/peripheral"
#define PERIPHERAL_ANON "/machine/peripheral-anon"
#define PATH_MAX_BYTES	128
#define NAME_MAX_BYTES	63
#define LOOK_AGAIN	(30 * NSEC_PER_SEC)

struct monitor_qmp {
	struct monitor m;
	struct qmp_client *client;
	uint64_t (*now)(void);
	char id[NAME_MAX_BYTES + 1]; /* given, or "" */
	char path[PATH_MAX_BYTES];   /* of the device, or "" */
	bool looking;		     /* the chain of a look is under way */
	uint64_t looked_at;	     /* ns; 0: not over this link */
	unsigned int asked;	     /* of a poll */
	bool setting_interval;
	uint32_t interval;  /* seconds that hold; 0: none yet */
	uint64_t last_told; /* "last-update" of the last look */
	uint64_t want;	    /* to be asked of the balloon; 0: nothing */
	uint64_t asking;    /* the same, of the command under way */
};

static struct monitor_qmp *of(struct monitor *m)
{
	return (struct monitor_qmp *)m;
}

/* => whether it is under way; if not, the link is about to go down or has too much to do */
static bool ask(struct monitor_qmp *q, const char *command, struct json_object *arguments,
		qmp_answer_fn fn)
{
	return qmp_client_ask(q->client, command, arguments, fn, q) == 0;
}

static struct json_object *path_argument(const char *path)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "path", json_object_new_string(path));
	return o;
}

static bool ask_property(struct monitor_qmp *q, const char *property, qmp_answer_fn fn)
{
	struct json_object *o = path_argument(q->path);

	json_object_object_add(o, "property", json_object_new_string(property));
	return ask(q, "qom-get", o, fn);
}

/* A size or a count that is one. => false: there is none, it is negative (unsupported), .. */
static bool number(struct json_object *o, const char *name, uint64_t *out)
{
	struct json_object *v = NULL;

	if (!json_object_is_type(o, json_type_object) ||
	    !json_object_object_get_ex(o, name, &v) || !json_object_is_type(v, json_type_int) ||
	    json_object_get_int64(v) < 0 || json_object_get_uint64(v) == UINT64_MAX)
		return false;
	*out = json_object_get_uint64(v);
	return true;
}

static bool truth(struct json_object *v)
{
	return json_object_is_type(v, json_type_boolean) && json_object_get_boolean(v);
}

/* --- the device, and threads ------------------------------------------------------------ */

static void no_device(struct monitor_qmp *q)
{
	struct monitor_figures *f = &q->m.figures;

	q->path[0] = '\0';
	q->interval = 0;
	f->balloon = f->stats = f->deflate_on_oom = f->reports_free = false;
}

static void got_reporting(void *arg, struct json_object *value, const char *why)
{
	struct monitor_qmp *q = arg;

	(void)why; /* an old QEMU has no such property */
	q->m.figures.reports_free = truth(value);
	q->looking = false;
	monitor_changed(&q->m);
}

static void got_deflate(void *arg, struct json_object *value, const char *why)
{
	struct monitor_qmp *q = arg;

	(void)why;
	q->m.figures.deflate_on_oom = truth(value);
	q->looking = ask_property(q, "free-page-reporting", got_reporting);
}

static void device_found(struct monitor_qmp *q, const char *path)
{
	if (strcmp(q->path, path) != 0) {
		no_device(q);
		snprintf(q->path, sizeof(q->path), "%s", path);
		q->m.why[0] = '\0';
	}
	q->looking = ask_property(q, "deflate-on-oom", got_deflate);
}

static void device_missing(struct monitor_qmp *q)
{
	no_device(q);
	q->looking = false;
	monitor_changed(&q->m);
}

/* A part of a path, that will be one when it is put into JSON. */
static bool is_name(const char *name)
{
	size_t n = name ? strlen(name) : 0;

	return n > 0 && n <= NAME_MAX_BYTES && !strchr(name, '/');
}

/* The first balloon of a directory. => its name, or NULL */
static const char *balloon_in(struct json_object *list)
{
	static const char type_begins[] = "child<virtio-balloon";
	size_t i, n = json_object_is_type(list, json_type_array)
			      ? json_object_array_length(list)
			      : 0;

	for (i = 0; i < n; i++) {
		struct json_object *o = json_object_array_get_idx(list, i), *v;
		const char *name, *type;

		if (!json_object_is_type(o, json_type_object))
			continue;
		name = json_object_object_get_ex(o, "name", &v) ? json_plain_string(v) : NULL;
		type = json_object_object_get_ex(o, "type", &v) ? json_plain_string(v) : NULL;
		if (type && strncmp(type, type_begins, sizeof(type_begins) - 1) == 0 &&
		    is_name(name))
			return name;
	}
	return NULL;
}

static bool found_in(struct monitor_qmp *q, const char *directory, struct json_object *list)
{
	const char *name = balloon_in(list);
	char path[PATH_MAX_BYTES];

	if (!name)
		return false;
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	device_found(q, path);
	return true;
}

static void got_anonymous(void *arg, struct json_object *value, const char *why)
{
	struct monitor_qmp *q = arg;

	(void)why;
	if (!found_in(q, PERIPHERAL_ANON, value))
		device_missing(q);
}

static void got_named(void *arg, struct json_object *value, const char *why)
{
	struct monitor_qmp *q = arg;

	(void)why;
	if (!found_in(q, PERIPHERAL, value))
		q->looking = ask(q, "qom-list", path_argument(PERIPHERAL_ANON), got_anonymous);
}

static void got_given(void *arg, struct json_object *value, const char *why)
{
	struct monitor_qmp *q = arg;
	char path[PATH_MAX_BYTES];

	(void)value;
	if (why) {
		monitor_say(&q->m, "balloon", why);
		device_missing(q);
		return;
	}
	snprintf(path, sizeof(path), PERIPHERAL "/%s", q->id);
	device_found(q, path);
}

static void got_vcpus(void *arg, struct json_object *value, const char *why)
{
	struct monitor_qmp *q = arg;
	size_t i, n = json_object_is_type(value, json_type_array)
			      ? json_object_array_length(value)
			      : 0;

	(void)why;
	q->m.vcpus = 0;
	for (i = 0; i < n && q->m.vcpus < MONITOR_VCPUS_MAX; i++) {
		uint64_t tid;

		if (number(json_object_array_get_idx(value, i), "thread-id", &tid) && tid > 0 &&
		    tid <= INT32_MAX)
			q->m.vcpu[q->m.vcpus++] = (pid_t)tid;
	}
	monitor_changed(&q->m);
}

static void look(struct monitor_qmp *q)
{
	char path[PATH_MAX_BYTES];

	if (q->looking)
		return;
	q->looked_at = q->now();
	if (q->id[0]) {
		snprintf(path, sizeof(path), PERIPHERAL "/%s", q->id);
		q->looking = ask(q, "qom-list", path_argument(path), got_given);
	} else {
		q->looking = ask(q, "qom-list", path_argument(PERIPHERAL), got_named);
	}
	(void)ask(q, "query-cpus-fast", NULL, got_vcpus);
}

/* --- figures --------------------------------------------------------------------------- */

/* An answer of a poll is here. => as monitor_changed */
static void answered(struct monitor_qmp *q)
{
	if (--q->asked > 0)
		return;
	q->m.figures.at = q->now();
	monitor_changed(&q->m);
}

static void got_status(void *arg, struct json_object *value, const char *why)
{
	struct monitor_qmp *q = arg;
	struct json_object *v = NULL;

	(void)why;
	if (json_object_is_type(value, json_type_object) &&
	    json_object_object_get_ex(value, "running", &v))
		q->m.figures.running = truth(v);
	answered(q);
}

static void got_balloon(void *arg, struct json_object *value, const char *why)
{
	struct monitor_qmp *q = arg;
	struct monitor_figures *f = &q->m.figures;

	(void)why; /* there is none, or it has no driver yet */
	f->balloon = number(value, "actual", &f->actual);
	answered(q);
}

static void got_stats(void *arg, struct json_object *value, const char *why)
{
	struct monitor_qmp *q = arg;
	struct monitor_figures *f = &q->m.figures;
	struct json_object *stats = NULL;
	uint64_t told = 0;

	(void)why;
	if (json_object_is_type(value, json_type_object))
		json_object_object_get_ex(value, "stats", &stats);
	if (!number(value, "last-update", &told))
		told = 0;
	f->stats = told > 0 && number(stats, "stat-free-memory", &f->free) &&
		   number(stats, "stat-total-memory", &f->total);
	f->stats_at = f->stats ? monitor_told_at(told, q->last_told, f->stats_at, q->now()) : 0;
	q->last_told = f->stats ? told : 0;
	/* a driver before Linux 4.6 does not tell what could be had: what is free is less */
	if (!number(stats, "stat-available-memory", &f->available))
		f->available = f->free;
	if (!number(stats, "stat-disk-caches", &f->caches))
		f->caches = 0;
	if (!number(stats, "stat-swap-in", &f->swapped_in))
		f->swapped_in = 0;
	if (!number(stats, "stat-swap-out", &f->swapped_out))
		f->swapped_out = 0;
	if (!number(stats, "stat-major-faults", &f->major_faults))
		f->major_faults = 0;
	answered(q);
}

static void interval_set(void *arg, struct json_object *value, const char *why)
{
	struct monitor_qmp *q = arg;

	(void)value;
	q->setting_interval = false;
	if (why) {
		q->interval = 0;
		monitor_say(&q->m, "guest-stats-polling-interval", why);
	}
}

static void set_interval(struct monitor_qmp *q, uint32_t seconds)
{
	struct json_object *o;

	if (!q->path[0] || q->interval == seconds || q->setting_interval)
		return;
	o = path_argument(q->path);
	json_object_object_add(o, "property",
			       json_object_new_string("guest-stats-polling-interval"));
	json_object_object_add(o, "value", json_object_new_int64(seconds));
	q->setting_interval = ask(q, "qom-set", o, interval_set);
	if (q->setting_interval)
		q->interval = seconds;
}

static void poll_figures(struct monitor *m, uint32_t seconds)
{
	struct monitor_qmp *q = of(m);

	if (m->state != MONITOR_UP || q->asked > 0)
		return;
	if (!q->looked_at || q->now() - q->looked_at >= LOOK_AGAIN)
		look(q);
	set_interval(q, seconds);
	q->asked += ask(q, "query-status", NULL, got_status);
	q->asked += ask(q, "query-balloon", NULL, got_balloon);
	if (q->path[0])
		q->asked += ask_property(q, "guest-stats", got_stats);
}

/* --- the balloon ----------------------------------------------------------------------- */

static void ask_balloon(struct monitor_qmp *q);

static void balloon_asked(void *arg, struct json_object *value, const char *why)
{
	struct monitor_qmp *q = arg;

	(void)value;
	if (q->want == q->asking)
		q->want = 0;
	q->asking = 0;
	ask_balloon(q);
	if (why) {
		monitor_say(&q->m, "balloon", why);
		monitor_changed(&q->m);
	} else {
		q->m.why[0] = '\0';
	}
}

static void ask_balloon(struct monitor_qmp *q)
{
	struct json_object *o;

	if (q->m.state != MONITOR_UP || !q->want || q->asking)
		return;
	o = json_object_new_object();
	json_object_object_add(o, "value", json_object_new_uint64(q->want));
	if (ask(q, "balloon", o, balloon_asked))
		q->asking = q->want;
}

static void set_ram(struct monitor *m, uint64_t bytes)
{
	struct monitor_qmp *q = of(m);

	q->want = bytes;
	ask_balloon(q);
}

/* --- the link -------------------------------------------------------------------------- */

static void link_up(void *arg)
{
	struct monitor_qmp *q = arg;

	q->m.state = MONITOR_UP;
	q->m.why[0] = '\0';
	look(q);
	ask_balloon(q);
	monitor_changed(&q->m);
}

static void link_down(void *arg, const char *why)
{
	struct monitor_qmp *q = arg;

	q->m.state = MONITOR_LOST;
	snprintf(q->m.why, sizeof(q->m.why), "%s", why);
	/* Another link may lead to another VMM. */
	q->looking = q->setting_interval = false;
	q->looked_at = 0;
	q->asked = 0;
	q->asking = 0;
	q->last_told = 0;
	q->m.vcpus = 0;
	no_device(q);
	monitor_changed(&q->m);
}

static void event(void *arg, const char *name, struct json_object *data)
{
	struct monitor_qmp *q = arg;
	struct monitor_figures *f = &q->m.figures;

	if (strcmp(name, "BALLOON_CHANGE") == 0) {
		if (number(data, "actual", &f->actual))
			monitor_changed(&q->m);
	} else if (strcmp(name, "STOP") == 0 || strcmp(name, "RESUME") == 0) {
		f->running = name[0] == 'R';
		monitor_changed(&q->m);
	} else if (strcmp(name, "GUEST_PANICKED") == 0) {
		if (q->m.ops.panicked)
			q->m.ops.panicked(q->m.ops.arg);
	} else if (strcmp(name, "DEVICE_DELETED") == 0) {
		q->looked_at = 0; /* at the next poll */
	}
}

static void destroy(struct monitor *m)
{
	struct monitor_qmp *q = of(m);

	qmp_client_destroy(q->client);
	free(q);
}

static const struct monitor_kind kind = {
	.destroy = destroy,
	.poll = poll_figures,
	.set_ram = set_ram,
};

struct monitor *monitor_qmp_with(struct loop *l, const char *socket, const char *balloon,
				 const struct monitor_ops *ops,
				 const struct qmp_client_conf *conf)
{
	static const struct qmp_client_ops client_ops = {
		.up = link_up,
		.down = link_down,
		.event = event,
	};
	struct monitor_qmp *q;

	if (balloon && balloon[0] && !is_name(balloon)) {
		errno = EINVAL;
		return NULL;
	}
	q = calloc(1, sizeof(*q));
	if (!q)
		return NULL;
	q->m.kind = &kind;
	q->m.ops = ops ? *ops : (struct monitor_ops){ 0 };
	q->now = conf ? conf->now : qmp_client_default_conf.now;
	snprintf(q->id, sizeof(q->id), "%s", balloon ? balloon : "");
	q->client = qmp_client_create(l, socket, conf, &client_ops, q);
	if (!q->client) {
		int err = errno;

		free(q);
		errno = err;
		return NULL;
	}
	return &q->m;
}

struct monitor *monitor_qmp(struct loop *l, const char *socket, const char *balloon,
			    const struct monitor_ops *ops)
{
	return monitor_qmp_with(l, socket, balloon, ops, NULL);
}
