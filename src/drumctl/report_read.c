/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A record may have been cut anywhere, continued by another recorder, and
 * edited by people: after the first line, which says that it is one, nothing
 * in it is an error.  What is no JSON object is counted and left out, and so is
 * what has a time of no calendar; what has
 * a meaning that we do not know is left out; a figure of the wrong type is 0.
 *
 * Time only goes forward in a report.  Where the host's clock was set back,
 * what follows is moved to go on one delay after the last sample, and that is
 * counted.
 *
 * Between two samples there is a gap when the record says so, when a recorder
 * began, and when the time between them is more than three delays.
 */
#include "drumctl/report_read.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "drumctl/record_file.h"
#include "drumctl/report_texts.h"

#define LINE_MAX_BYTES (16 << 20)
#define GAP_DELAYS     3
#define SECONDS_MAX    253402300799.0 /* the end of the year 9999 */

static int no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory: the record is too long");
}

static size_t row_size(const struct report_thing *thing)
{
	return record_groups[thing->group].members;
}

/* Number of the member, and 0 for what is none. */
static double number_of(struct json_object *object, const char *key)
{
	struct json_object *value;
	double d = 0;

	if (json_object_object_get_ex(object, key, &value) &&
	    (json_object_is_type(value, json_type_int) ||
	     json_object_is_type(value, json_type_double)))
		d = json_object_get_double(value);
	return isfinite(d) && d > 0 ? d : 0;
}

/* What is not there is 0.  => false: it is no time */
static bool time_of(struct json_object *object, const char *key, double max, double *time)
{
	struct json_object *value;

	*time = 0;
	if (!json_object_object_get_ex(object, key, &value))
		return true;
	if (!json_object_is_type(value, json_type_int) &&
	    !json_object_is_type(value, json_type_double))
		return false;
	*time = json_object_get_double(value);
	return *time >= 0 && *time <= max; /* which NAN is not either */
}

static const char *text_of(struct json_object *object, const char *key)
{
	struct json_object *value;

	if (json_object_object_get_ex(object, key, &value) &&
	    json_object_is_type(value, json_type_string))
		return json_object_get_string(value);
	return "";
}

static struct report_thing *thing_named(struct report *r, enum record_group group,
					const char *name)
{
	struct report_thing *thing;
	const char *own;

	/* samples have them in the same order: look behind the one found last */
	for (size_t k = 0; k < r->things; k++) {
		size_t i = (r->hint + k) % r->things;

		if (r->thing[i].group == group && !strcmp(r->thing[i].name, name)) {
			r->hint = i + 1;
			return &r->thing[i];
		}
	}
	own = report_intern_text(r, name);
	thing = reallocarray(r->thing, r->things + 1, sizeof(*thing));
	if (!thing || !own)
		return NULL;
	r->thing = thing;
	thing += r->things++;
	*thing = (struct report_thing){ group, own, NULL, r->samples - 1, 0, 0 };
	return thing;
}

/* The row of the last sample; those that are lacking before it are NAN. */
static double *new_row(const struct report *r, struct report_thing *thing)
{
	size_t wanted = r->samples - thing->first, size = row_size(thing), room = thing->room;
	double *row;

	if (wanted > room) {
		room = wanted > 2 * room ? wanted : 2 * room;
		row = reallocarray(thing->row, room, size * sizeof(*row));
		if (!row)
			return NULL;
		thing->row = row;
		thing->room = room;
	}
	for (size_t i = thing->rows * size; i < (wanted - 1) * size; i++)
		thing->row[i] = NAN;
	thing->rows = wanted;
	return thing->row + (wanted - 1) * size;
}

static int take_thing(struct report *r, enum record_group group, struct json_object *object)
{
	const struct record_group_def *g = &record_groups[group];
	struct report_thing *thing;
	double *row;

	thing = thing_named(r, group, g->many ? text_of(object, g->member[0].name) : "");
	row = thing ? new_row(r, thing) : NULL;
	if (!row)
		return -ENOMEM;
	for (size_t i = 0; i < g->members; i++) {
		if (g->member[i].type == MEMBER_TEXT) {
			ssize_t index = report_intern(r, text_of(object, g->member[i].name));

			if (index < 0)
				return -ENOMEM;
			row[i] = (double)index;
		} else {
			row[i] = number_of(object, g->member[i].name);
		}
	}
	return 0;
}

/* => 1: it was added; 0: it would be later than time goes; or -errno */
static int add_sample(struct report *r, double t)
{
	bool *gap = r->gap;
	double *times = r->t;
	size_t i = r->samples;

	if (i == REPORT_SAMPLES_MAX)
		return -EFBIG;
	if (i == r->room) {
		r->room = r->room ? 2 * r->room : 1024;
		times = reallocarray(r->t, r->room, sizeof(*times));
		if (times)
			r->t = times;
		gap = reallocarray(r->gap, r->room, sizeof(*gap));
		if (gap)
			r->gap = gap;
		if (!times || !gap)
			return -ENOMEM;
	}
	t += r->shift;
	if (i > 0 && t <= times[i - 1]) {
		r->shift += times[i - 1] + r->delay - t;
		t = times[i - 1] + r->delay;
		r->set_back++;
	}
	if (t > SECONDS_MAX)
		return 0;
	times[i] = t;
	gap[i] = i > 0 && (r->gap_next || t - times[i - 1] > GAP_DELAYS * r->delay);
	r->gap_next = false;
	r->samples++;
	return 1;
}

static int take_sample(struct report *r, struct json_object *line)
{
	struct json_object *value;
	double ms;
	int rc = time_of(line, "t", SECONDS_MAX * 1000, &ms) ? add_sample(r, ms / 1000) : 0;

	if (rc <= 0) {
		r->torn += rc == 0;
		return rc;
	}
	rc = 0;
	for (int g = 0; g < RECORD_GROUPS && rc == 0; g++) {
		if (!json_object_object_get_ex(line, record_groups[g].key, &value))
			continue;
		if (!record_groups[g].many) {
			rc = take_thing(r, (enum record_group)g, value);
			continue;
		}
		if (!json_object_is_type(value, json_type_array))
			continue;
		for (size_t i = 0; i < json_object_array_length(value) && rc == 0; i++)
			rc = take_thing(r, (enum record_group)g,
					json_object_array_get_idx(value, i));
	}
	return rc;
}

static int take_event(struct report *r, struct json_object *line)
{
	struct report_event *all, event = { 0 };
	struct json_object *stamp = NULL, *data = NULL;
	double seconds, us;
	int rc;

	if (r->events == REPORT_EVENTS_MAX) {
		r->events_more++;
		return 0;
	}
	json_object_object_get_ex(line, "timestamp", &stamp);
	json_object_object_get_ex(line, "data", &data);
	if (!time_of(stamp, "seconds", SECONDS_MAX, &seconds) ||
	    !time_of(stamp, "microseconds", 1e6, &us) || seconds + r->shift > SECONDS_MAX) {
		r->torn++;
		return 0;
	}
	event.t = seconds + us / 1e6 + r->shift;
	event.name = report_intern_text(r, text_of(line, "event"));
	rc = report_event_text(r, data, &event.text);
	all = reallocarray(r->event, r->events + 1, sizeof(*all));
	if (all)
		r->event = all;
	if (!all || !event.name || rc < 0)
		return -ENOMEM;
	all[r->events++] = event;
	return 0;
}

static int take_header(struct report *r, struct json_object *line)
{
	if (!r->version) {
		r->version = report_intern_text(r, text_of(line, "version"));
		r->host = report_intern_text(r, text_of(line, "host"));
		if (!r->version || !r->host)
			return -ENOMEM;
	}
	r->delay = number_of(line, "delay");
	if (r->delay <= 0)
		r->delay = 1;
	r->gap_next = true;
	return 0;
}

/* => 0, or -errno: of our own only */
static int take_line(struct report *r, struct json_object *line)
{
	if (record_is_header(line))
		return take_header(r, line);
	if (json_object_object_get_ex(line, "event", NULL))
		return take_event(r, line);
	if (json_object_object_get_ex(line, "gap", NULL))
		r->gap_next = true;
	else if (json_object_object_get_ex(line, "t", NULL))
		return take_sample(r, line);
	return 0;
}

/* => false at the end; a line that is too long comes as an empty one */
static bool next_line(FILE *from, char *buf)
{
	size_t len;
	int c;

	if (!fgets(buf, LINE_MAX_BYTES, from))
		return false;
	len = strlen(buf);
	if (len == LINE_MAX_BYTES - 1 && buf[len - 1] != '\n') {
		while ((c = getc(from)) != EOF && c != '\n')
			;
		buf[0] = '\0';
	}
	return true;
}

static int read_lines(FILE *from, const char *path, char *buf, struct report *r, struct err *e)
{
	struct json_object *line;
	bool first = true;
	int rc = 0;

	for (; rc == 0 && next_line(from, buf); first = false) {
		line = json_tokener_parse(buf);
		if (first && !record_is_header(line))
			rc = err_set(e, -EINVAL, "%s is no record", path);
		else if (!json_object_is_type(line, json_type_object))
			r->torn++;
		else
			rc = take_line(r, line);
		json_object_put(line);
	}
	if (rc == -ENOMEM)
		return no_memory(e);
	if (rc == -EFBIG)
		return err_set(e, rc,
			       "%s has more than %u samples; cut it into parts, each "
			       "with the first line in front",
			       path, REPORT_SAMPLES_MAX);
	if (rc == 0 && ferror(from))
		return err_set(e, -EIO, "cannot read %s", path);
	if (rc == 0 && first)
		return err_set(e, -EINVAL, "%s is empty", path);
	if (rc == 0 && r->samples == 0)
		return err_set(e, -ENODATA, "%s has no samples yet", path);
	return rc;
}

int report_read(FILE *from, const char *path, struct report *r, struct err *e)
{
	char *buf = malloc(LINE_MAX_BYTES);
	int rc;

	*r = (struct report){ .delay = 1 };
	/* the text with index 0 */
	if (!buf || report_intern(r, "") < 0)
		rc = no_memory(e);
	else
		rc = read_lines(from, path, buf, r, e);
	free(buf);
	if (rc < 0)
		report_free(r);
	return rc;
}

void report_free(struct report *r)
{
	for (size_t i = 0; i < r->things; i++)
		free(r->thing[i].row);
	for (size_t i = 0; i < r->texts; i++)
		free(r->text[i]);
	free(r->text);
	free(r->slot);
	free(r->thing);
	free(r->event);
	free(r->t);
	free(r->gap);
	*r = (struct report){ 0 };
}

double report_number(const struct report *r, const struct report_thing *thing, int member,
		     size_t i)
{
	(void)r;
	if (i < thing->first || i - thing->first >= thing->rows)
		return NAN;
	return thing->row[(i - thing->first) * row_size(thing) + (size_t)member];
}

const char *report_text(const struct report *r, const struct report_thing *thing, int member,
			size_t i)
{
	double index = report_number(r, thing, member, i);

	return isnan(index) ? "" : r->text[(size_t)index];
}

const struct report_thing *report_thing(const struct report *r, enum record_group group,
					size_t n)
{
	for (size_t i = 0; i < r->things; i++)
		if (r->thing[i].group == group && n-- == 0)
			return &r->thing[i];
	return NULL;
}

size_t report_count(const struct report *r, enum record_group group)
{
	size_t n = 0;

	for (size_t i = 0; i < r->things; i++)
		n += r->thing[i].group == group;
	return n;
}
