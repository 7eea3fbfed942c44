/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration file: looked at here, or by the daemon. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/conf.h"
#include "config.h"
#include "drumctl/ask.h"
#include "drumctl/safe.h"
#include "drumctl/verbs.h"

static void put_line(const char *before, const char *text, const char *behind)
{
	fputs(before, stdout);
	put_safe(stdout, text);
	puts(behind);
}

/* Says all that drumd would refuse of the file, as it would. */
int config_check(struct client *c, const struct verb_args *args, struct err *e)
{
	const char *file = args->operand ? args->operand : DRUM_CONF_FILE;
	struct conf_errors errors;
	struct conf conf;
	int rc;

	(void)c;
	rc = conf_defaults(&conf, e);
	if (rc < 0)
		return rc;
	rc = conf_read_all(&conf, file, &errors);
	conf_free(&conf);
	if (rc == 0) {
		put_line("", file, ": ok");
		return 0;
	}
	/* as drumd does, which needs none there */
	if (rc == -ENOENT && !args->operand) {
		put_line("", file, ": does not exist; drumd goes by its defaults");
		return 0;
	}
	if (rc != -EINVAL) /* of the file itself */
		return err_set(e, rc, "%s", errors.err[0].text);
	for (unsigned int i = 0; i < errors.n; i++) {
		put_safe(stderr, errors.err[i].text);
		fputc('\n', stderr);
	}
	return err_set(e, rc, "drumd would not take this file: %s%u error%s",
		       errors.more ? "more than " : "", errors.n, errors.n == 1 ? "" : "s");
}

/* => how many there are */
static size_t lines_of(struct json_object *result, const char *member,
		       struct json_object **list)
{
	if (!json_object_object_get_ex(result, member, list) ||
	    !json_object_is_type(*list, json_type_array))
		return 0;
	return json_object_array_length(*list);
}

/* => how many there are */
static size_t print_lines(struct json_object *result, const char *member, const char *before)
{
	struct json_object *list;
	size_t n = lines_of(result, member, &list);

	for (size_t i = 0; i < n; i++)
		put_line(before, json_object_get_string(json_object_array_get_idx(list, i)),
			 "");
	return n;
}

int config_reload(struct client *c, const struct verb_args *args, struct err *e)
{
	struct json_object *result, *list;
	int rc = client_call(c, "config-reload", NULL, &result, e);
	size_t failed, done;

	if (rc < 0)
		return rc;
	failed = lines_of(result, "failed", &list);
	if (args->given & OPT_JSON) {
		output_json(result);
	} else {
		done = print_lines(result, "changed", "");
		done += print_lines(result, "needs-restart", "");
		done += print_lines(result, "left", "");
		print_lines(result, "warnings", "warning: ");
		print_lines(result, "failed", "failed: ");
		if (!done)
			puts("nothing has changed");
	}
	json_object_put(result);
	if (failed)
		return err_set(e, -EREMOTEIO,
			       "%zu of the changes could not be made; put that right and do "
			       "them with drumctl, or restart drumd",
			       failed);
	return 0;
}

static const struct column config_columns[] = {
	{ "file", "path", CELL_TEXT, 0 },	    { "run-dir", "run-dir", CELL_TEXT, 0 },
	{ "state-dir", "state-dir", CELL_TEXT, 0 }, { "log-level", "log-level", CELL_TEXT, 0 },
	{ "leave", "leave", CELL_BOOL, 0 },	    { 0 },
};

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(o, key, &value) &&
			       json_object_is_type(value, json_type_string)
		       ? json_object_get_string(value)
		       : "";
}

/* As in a file: a section's name once, in front of its lines that follow one another. */
static void print_file(struct json_object *file)
{
	const char *last = "";
	size_t i, n = json_object_array_length(file);

	for (i = 0; i < n; i++) {
		struct json_object *entry = json_object_array_get_idx(file, i);
		const char *section = text_of(entry, "section");

		if (strcmp(section, last) != 0)
			put_line("\n[", section, "]");
		last = section;
		put_safe(stdout, text_of(entry, "key"));
		put_line(" = ", text_of(entry, "value"), "");
	}
}

int config_show(struct client *c, const struct verb_args *args, struct err *e)
{
	struct json_object *result, *file;
	int rc = client_call(c, "query-config", NULL, &result, e);

	if (rc < 0)
		return rc;
	rc = show_object(result, config_columns, args, e);
	if (rc == 0 && !(args->given & OPT_JSON) &&
	    json_object_object_get_ex(result, "file", &file) &&
	    json_object_is_type(file, json_type_array))
		print_file(file);
	json_object_put(result);
	return rc;
}
