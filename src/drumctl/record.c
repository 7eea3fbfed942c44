/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * One connection, on which samples are asked for and events come meanwhile:
 * the client hands events to `on_event` whenever it meets one, between two
 * samples and while an answer is waited for.  Samples are due at multiples of
 * the delay since the first; one that is late does not move those behind it.
 *
 * A daemon that goes away is written down as a gap, and looked for each
 * second.  Nothing else ends a recorder than its count, a signal, and a file
 * that cannot be written to; a signal may end it anywhere, as lines are whole
 * (record_file.c).
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/version.h"
#include "drumctl/ask.h"
#include "drumctl/record.h"
#include "drumctl/record_file.h"
#include "drumctl/verbs.h"

#define DELAY_MS 5000

struct recorder {
	struct record_file file;
	struct client *client;
	uint32_t delay;		   /* milliseconds */
	int failed;		   /* -errno: an event could not be written, */
	struct err why;		   /* as is told here */
	bool lacks[RECORD_GROUPS]; /* the daemon does not know the command */
	/* query-guest-latency's answers at the last sample, by guest */
	struct json_object *latency;
};

/* Milliseconds since 1970. */
static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int put_line(struct recorder *r, struct json_object *line, struct err *e)
{
	int rc = record_file_put(&r->file, line, e);

	json_object_put(line);
	return rc;
}

static void add_us(struct json_object *o, const char *key, double us)
{
	char text[32];

	snprintf(text, sizeof(text), "%.1f", us);
	json_object_object_add(o, key, json_object_new_double_s(us, text));
}

static int put_header(struct recorder *r, struct err *e)
{
	struct json_object *o = json_object_new_object();
	char host[256] = "", delay[32];

	if (gethostname(host, sizeof(host) - 1) < 0)
		host[0] = '\0';
	snprintf(delay, sizeof(delay), "%g", r->delay / 1e3);
	json_object_object_add(o, RECORD_MAGIC, json_object_new_int(RECORD_FORMAT));
	add_text(o, "version", drum_version);
	add_text(o, "host", host);
	json_object_object_add(o, "t", json_object_new_int64(now_ms()));
	json_object_object_add(o, "delay", json_object_new_double_s(r->delay / 1e3, delay));
	return put_line(r, o, e);
}

static int put_gap(struct recorder *r, const char *why, struct err *e)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "gap", why);
	json_object_object_add(o, "t", json_object_new_int64(now_ms()));
	return put_line(r, o, e);
}

static void on_event(void *arg, struct json_object *event)
{
	struct recorder *r = arg;

	if (r->failed == 0)
		r->failed = record_file_put(&r->file, event, &r->why);
}

/*
 * What the daemon has is latencies since the guest was attached; what is of use in
 * a plot is those of now.  => 0, or -errno: the daemon is lost
 */
static int add_latencies(struct recorder *r, struct json_object *guests, struct err *e)
{
	struct json_object *all = json_object_new_object(), *args, *answer, *name, *before;
	int rc = 0;

	for (size_t i = 0; i < json_object_array_length(guests) && rc == 0; i++) {
		struct json_object *guest = json_object_array_get_idx(guests, i);
		double us;

		if (!json_object_object_get_ex(guest, "name", &name))
			continue;
		args = json_object_new_object();
		json_object_object_add(args, "name", json_object_get(name));
		rc = client_call(r->client, "query-guest-latency", args, &answer, e);
		if (rc == -EREMOTEIO) { /* it has gone, or the daemon is older */
			rc = 0;
			continue;
		}
		if (rc < 0)
			break;
		if (!json_object_object_get_ex(r->latency, json_object_get_string(name),
					       &before))
			before = NULL;
		us = record_percentile(before, answer, 0.99);
		if (us > 0)
			add_us(guest, RECORD_P99, us);
		json_object_object_add(all, json_object_get_string(name), answer);
	}
	json_object_put(r->latency);
	r->latency = all;
	return rc;
}

/*
 * Ask for everything, and write it down.  An older daemon may lack a command.
 * => 0, or -errno: the daemon is lost, or the file
 */
static int sample(struct recorder *r, struct err *e)
{
	struct json_object *o = json_object_new_object(), *answer, *picked;
	int rc = 0;

	json_object_object_add(o, "t", json_object_new_int64(now_ms()));
	for (int g = 0; g < RECORD_GROUPS && rc == 0; g++) {
		if (r->lacks[g])
			continue;
		rc = client_call(r->client, record_groups[g].query, NULL, &answer, e);
		if (rc == -EREMOTEIO) {
			r->lacks[g] = true;
			rc = 0;
		} else if (rc == 0) {
			picked = record_pick_answer((enum record_group)g, answer);
			json_object_object_add(o, record_groups[g].key, picked);
			json_object_put(answer);
			if (g == RECORD_GUEST)
				rc = add_latencies(r, picked, e);
		}
	}
	if (rc == 0)
		return put_line(r, o, e);
	json_object_put(o);
	return rc;
}

/* Until it is time, events are written down. => 0, or -errno as sample */
static int wait_until(struct recorder *r, uint64_t at, struct err *e)
{
	for (;;) {
		uint64_t now = clock_ns();
		struct pollfd p = { .fd = client_fd(r->client), .events = POLLIN };
		int rc;

		if (r->failed < 0) {
			*e = r->why;
			return r->failed;
		}
		if (now >= at)
			return 0;
		/* not a moment too early, or there would be many turns more */
		rc = poll(&p, 1, (int)((at - now) / NSEC_PER_MSEC) + 1);
		if (rc < 0 && errno != EINTR)
			return err_set(e, -errno, "cannot wait for drumd");
		if (rc > 0)
			rc = client_drain(r->client, e);
		if (rc < 0 && client_is_lost(r->client))
			return rc;
	}
}

/* Write the gap down, and wait for a daemon. => 0 or -errno: the file */
static int find_again(struct recorder *r, struct err *e)
{
	struct err lost = *e;
	int rc = put_gap(r, lost.text, e);

	if (rc == 0)
		client_find_again(r->client);
	memset(r->lacks, 0, sizeof(r->lacks)); /* it may be another */
	return rc;
}

static int run(struct recorder *r, uint32_t count, struct err *e)
{
	uint64_t due = clock_ns();
	uint32_t n = 0;
	int rc = put_header(r, e);

	while (rc == 0) {
		rc = sample(r, e);
		if (rc == 0 && ++n == count)
			break;
		do
			due += r->delay * NSEC_PER_MSEC;
		while (due < clock_ns());
		if (rc == 0)
			rc = wait_until(r, due, e);
		if (rc < 0 && client_is_lost(r->client)) {
			rc = find_again(r, e);
			due = clock_ns();
		}
	}
	return rc;
}

int record(struct client *c, const struct verb_args *args, struct err *e)
{
	struct recorder r = { .client = c,
			      .delay = args->given & OPT_DELAY ? args->delay : DELAY_MS };
	int rc = record_file_open(&r.file, args->operand, e);

	if (rc < 0)
		return rc;
	client_on_event(c, on_event, &r);
	rc = run(&r, args->count, e);
	client_on_event(c, NULL, NULL);
	json_object_put(r.latency);
	record_file_close(&r.file);
	return rc;
}
