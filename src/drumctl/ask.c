/* SPDX-License-Identifier: BSD-2-Clause */
#include "drumctl/ask.h"

#include <errno.h>
#include <stdio.h>

#include "drumctl/safe.h"

void add_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

void add_number(struct json_object *o, const char *key, const struct verb_args *args,
		uint64_t option, uint64_t number)
{
	if (args->given & option)
		json_object_object_add(o, key, json_object_new_uint64(number));
}

void add_true(struct json_object *o, const char *key, const struct verb_args *args,
	      uint64_t option)
{
	if (args->given & option)
		json_object_object_add(o, key, json_object_new_boolean(true));
}

void show_warning(struct json_object *result)
{
	struct json_object *text;

	if (!json_object_object_get_ex(result, "warning", &text))
		return;
	fputs("drumctl: warning: ", stderr);
	put_safe(stderr, json_object_get_string(text));
	fputc('\n', stderr);
}

int tell(struct client *c, const char *command, struct json_object *args, struct err *e)
{
	struct json_object *result;
	int rc = client_call(c, command, args, &result, e);

	if (rc < 0)
		return rc;
	show_warning(result);
	json_object_put(result);
	return 0;
}

int show_table(struct client *c, const char *command, const struct column *columns,
	       const struct verb_args *args, struct err *e)
{
	struct table_style style = {
		.bytes = args->given & OPT_BYTES,
		.noheadings = args->given & OPT_NOHEADINGS,
		.raw = args->given & OPT_RAW,
		.output = args->output,
	};
	struct json_object *result;
	int rc = client_call(c, command, NULL, &result, e);

	if (rc < 0)
		return rc;
	if (!json_object_is_type(result, json_type_array))
		rc = err_set(e, -EPROTO, "drumd answered %s with something strange", command);
	else if (!(args->given & OPT_JSON))
		rc = output_table(result, columns, &style, e);
	else if (args->output)
		rc = output_json_columns(result, columns, args->output, e);
	else
		output_json(result);
	json_object_put(result);
	return rc;
}

int show_object(struct json_object *object, const struct column *columns,
		const struct verb_args *args, struct err *e)
{
	if (!(args->given & OPT_JSON))
		return output_list(object, columns, args->given & OPT_BYTES, e);
	output_json(object);
	return 0;
}

int show_query(struct client *c, const char *command, const struct column *columns,
	       const struct verb_args *args, struct err *e)
{
	struct json_object *result;
	int rc = client_call(c, command, NULL, &result, e);

	if (rc < 0)
		return rc;
	rc = show_object(result, columns, args, e);
	json_object_put(result);
	return rc;
}
