/* SPDX-License-Identifier: BSD-2-Clause */
/* "drumctl events": one event a line, each on its way as soon as it is there. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "drumctl/ask.h"
#include "drumctl/safe.h"
#include "drumctl/verbs.h"

/* 2026-11-21T12:00:00.123456+01:00 */
static void print_time(struct json_object *event)
{
	struct json_object *seconds = NULL, *us = NULL;
	char text[32] = "", zone[8] = "";
	struct tm tm;
	time_t t;

	(void)json_pointer_get(event, "/timestamp/seconds", &seconds);
	(void)json_pointer_get(event, "/timestamp/microseconds", &us);
	t = (time_t)json_object_get_int64(seconds);
	if (!localtime_r(&t, &tm) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm) ||
	    !strftime(zone, sizeof(zone), "%z", &tm))
		text[0] = '\0';
	printf("%s.%06d%.3s:%s", text, json_object_get_int(us), zone,
	       strlen(zone) == 5 ? zone + 3 : "00");
}

/* Can it stand in a line of words as it is? */
static bool is_plain(const char *text)
{
	if (!*text)
		return false;
	for (size_t n; *text; text += n) {
		n = safe_length(text);
		if (!n || *text == ' ' || *text == '"')
			return false;
	}
	return true;
}

/* JSON, in which json-c has escaped the others of what could steer a terminal. */
static void print_json(struct json_object *value)
{
	const char *text = json_object_to_json_string_ext(
		value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

	for (size_t n; *text; text += n) {
		n = safe_length(text);
		if (n) {
			fwrite(text, 1, n, stdout);
		} else {
			n = (unsigned char)*text == 0xc2 && text[1] ? 2 : 1;
			printf("\\u%04x", (unsigned char)text[n - 1]);
		}
	}
}

static void print_line(struct json_object *event)
{
	struct json_object *name = NULL, *data;

	print_time(event);
	json_object_object_get_ex(event, "event", &name);
	putchar(' ');
	put_safe(stdout, json_object_get_string(name));
	if (json_object_object_get_ex(event, "data", &data) &&
	    json_object_is_type(data, json_type_object)) {
		json_object_object_foreach(data, key, value)
		{
			putchar(' ');
			put_safe(stdout, key);
			putchar('=');
			if (json_object_is_type(value, json_type_string) &&
			    is_plain(json_object_get_string(value)))
				fputs(json_object_get_string(value), stdout);
			else
				print_json(value);
		}
	}
	putchar('\n');
}

int show_events(struct client *c, const struct verb_args *args, struct err *e)
{
	struct json_object *event;
	uint32_t n;
	int rc;

	for (n = 0; !args->count || n < args->count; n++) {
		while ((rc = client_event(c, &event, e)) < 0) {
			if (!(args->given & OPT_FOLLOW) || !client_is_lost(c))
				return rc;
			/* a terminal wants to know, and a log that something may be missing */
			fputs("drumctl: events: ", stderr);
			put_safe(stderr, e->text);
			fputs("; waiting for it\n", stderr);
			client_find_again(c);
			fprintf(stderr, "drumctl: events: drumd is back\n");
		}
		if (args->given & OPT_JSON)
			puts(json_object_to_json_string_ext(
				event,
				JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
		else
			print_line(event);
		json_object_put(event);
		if (fflush(stdout) != 0)
			break; /* which main tells, as of all output */
	}
	return 0;
}
