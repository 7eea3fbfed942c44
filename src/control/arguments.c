/* SPDX-License-Identifier: BSD-2-Clause */
/* Arguments of commands against what the table of commands says of them. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/disk_params.h"
#include "base/host_params.h"
#include "base/image_open.h"
#include "base/log.h"
#include "base/swap_path.h"
#include "base/swapcache_knobs.h"
#include "control/commands.h"
#include "base/json.h"

/* what is to be said of a path that is none */
#define DEVICE "an absolute path of at most 1023 bytes or nbd:URI, as nbd:nbd://HOST/EXPORT"

const char *arg_type_name(enum arg_type type)
{
	switch (type) {
	case ARG_NAME:
	case ARG_SWAP:
	case ARG_HALF:
	case ARG_SOCKET:
	case ARG_SERIAL:
	case ARG_CACHE:
	case ARG_SWAPCACHE:
	case ARG_LOG_LEVEL:
	case ARG_MONITOR:
	case ARG_PLACE:
	case ARG_JOB:
		return "string";
	case ARG_BOOL:
		return "boolean";
	case ARG_PID:
	case ARG_PRIORITY:
	case ARG_SIZE:
	case ARG_COUNT:
	case ARG_SHARES:
	case ARG_CELLS:
	case ARG_KNOB:
		return "integer";
	case ARG_PERCENT:
		return "number";
	case ARG_CAPABILITIES:
		return "array";
	case ARG_NONE:
		break;
	}
	return "nothing";
}

static int wrong_type(const struct command_arg *arg, struct err *e)
{
	return err_set(e, -EINVAL, "Invalid parameter type for '%s', expected: %s", arg->name,
		       arg_type_name(arg->type));
}

static int wrong_value(const struct command_arg *arg, struct err *e, const char *expected)
{
	return err_set(e, -EINVAL, "Parameter '%s' expects %s", arg->name, expected);
}

static int check_string(const struct command_arg *arg, struct json_object *v,
			union command_value *value, struct err *e)
{
	const char *text = json_plain_string(v);

	if (!json_object_is_type(v, json_type_string))
		return wrong_type(arg, e);
	if (arg->type == ARG_NAME && (!text || !disk_name_is_valid(text)))
		return wrong_value(arg, e, DISK_NAME_ALLOWED);
	if (arg->type == ARG_SOCKET && (!text || !disk_socket_is_valid(text)))
		return wrong_value(arg, e, DISK_SOCKET_ALLOWED);
	if (arg->type == ARG_SERIAL && (!text || !disk_serial_is_valid(text)))
		return wrong_value(arg, e, DISK_SERIAL_ALLOWED);
	if (arg->type == ARG_MONITOR && (!text || !guest_monitor_is_valid(text)))
		return wrong_value(arg, e, GUEST_MONITOR_ALLOWED);
	if (arg->type == ARG_PLACE && (!text || !guest_place_is_valid(text)))
		return wrong_value(arg, e, GUEST_PLACE_ALLOWED);
	if (arg->type == ARG_JOB && !text)
		return wrong_value(arg, e, "the id of a job");
	if (arg->type == ARG_SWAP || arg->type == ARG_HALF) {
		enum swap_path kind = text ? swap_path_kind(text) : SWAP_PATH_WRONG;

		if (kind == SWAP_PATH_WRONG || (kind == SWAP_PATH_RAM && arg->type == ARG_HALF))
			return wrong_value(arg, e,
					   arg->type == ARG_SWAP ? DEVICE ", or ram:SIZE"
								 : DEVICE);
	}
	value->text = text;
	return 0;
}

_Static_assert(GUEST_NAME_MAX == DISK_NAME_MAX && SWAP_PATH_MAX == 1023 &&
		       SWAP_PATH_MAX == SWAP_PATH_BYTES_MAX,
	       "as the messages say");

static int check_cache(const struct command_arg *arg, struct json_object *v,
		       union command_value *value, struct err *e)
{
	const char *text = json_plain_string(v);
	enum image_cache mode;

	if (!json_object_is_type(v, json_type_string))
		return wrong_type(arg, e);
	if (!text || image_cache_parse(text, &mode) < 0)
		return wrong_value(arg, e, DISK_CACHE_ALLOWED);
	value->number = (int)mode;
	return 0;
}

static int check_swapcache(const struct command_arg *arg, struct json_object *v,
			   union command_value *value, struct err *e)
{
	const char *text = json_plain_string(v);
	enum swapcache_mode mode;

	if (!json_object_is_type(v, json_type_string))
		return wrong_type(arg, e);
	if (!text || swapcache_mode_parse(text, &mode) < 0)
		return wrong_value(arg, e, SWAPCACHE_MODE_ALLOWED);
	value->number = (int)mode;
	return 0;
}

static int check_log_level(const struct command_arg *arg, struct json_object *v,
			   union command_value *value, struct err *e)
{
	const char *text = json_plain_string(v);
	enum log_level level;

	if (!json_object_is_type(v, json_type_string))
		return wrong_type(arg, e);
	if (!text || log_level_parse(text, &level) < 0)
		return wrong_value(arg, e, LOG_LEVEL_ALLOWED);
	value->number = (int)level;
	return 0;
}

static int check_integer(const struct command_arg *arg, struct json_object *v,
			 union command_value *value, struct err *e)
{
	int64_t n;

	if (!json_object_is_type(v, json_type_int))
		return wrong_type(arg, e);
	/* saturates, so what is out of range stays out of range */
	n = json_object_get_int64(v);
	if (arg->type == ARG_SIZE) {
		if (n < 0)
			return wrong_value(arg, e, "a number of bytes, not below zero");
		value->size = json_object_get_uint64(v);
	} else if (arg->type == ARG_KNOB) {
		if (n < 0)
			return wrong_value(
				arg, e, swapcache_knob[swapcache_knob_find(arg->name)].allowed);
		value->size = json_object_get_uint64(v);
	} else if (arg->type == ARG_SHARES) {
		if (n < 1 || n > SHARES_MAX)
			return wrong_value(arg, e, "a number from 1 to 1000000000");
		value->count = (uint32_t)n;
	} else if (arg->type == ARG_CELLS) {
		if (n < 1 || n > COMMAND_CELLS_MAX)
			return wrong_value(arg, e, "a number from 1 to 4096");
		value->count = (uint32_t)n;
	} else if (arg->type == ARG_COUNT) {
		if (n < 0 || n > UINT32_MAX)
			return wrong_value(arg, e, "a number from 0 to 4294967295");
		value->count = (uint32_t)n;
	} else if (arg->type == ARG_PID) {
		if (n < 1 || n > INT_MAX)
			return wrong_value(arg, e, "a process id, 1 to 2147483647");
		value->number = (int)n;
	} else {
		if (n < 0 || n > COMMAND_PRIORITY_MAX)
			return wrong_value(arg, e, "a priority, 0 to 32767");
		value->number = (int)n;
	}
	return 0;
}

_Static_assert(COMMAND_PRIORITY_MAX == 32767 && SHARES_MAX == 1000000000 &&
		       COMMAND_CELLS_MAX == 4096,
	       "as the messages say");

static int check_percent(const struct command_arg *arg, struct json_object *v,
			 union command_value *value, struct err *e)
{
	double d;

	if (!json_object_is_type(v, json_type_int) && !json_object_is_type(v, json_type_double))
		return wrong_type(arg, e);
	d = json_object_get_double(v);
	if (!(d >= 0 && d <= 100))
		return wrong_value(arg, e, "percent, 0 to 100");
	value->count = (uint32_t)(d * PERCENT_ONE + 0.5);
	return 0;
}

static int check_capabilities(const struct command_arg *arg, struct json_object *v,
			      struct err *e)
{
	struct json_object *first;

	if (!json_object_is_type(v, json_type_array))
		return wrong_type(arg, e);
	if (json_object_array_length(v) == 0)
		return 0;
	first = json_object_array_get_idx(v, 0);
	if (!json_object_is_type(first, json_type_string))
		return err_set(e, -EINVAL,
			       "Invalid parameter type for '%s[0]', expected: string",
			       arg->name);
	return err_set(e, -EINVAL, "Parameter '%s[0]' does not accept value '%.64s'", arg->name,
		       json_object_get_string(first));
}

static int check_arg(const struct command_arg *arg, struct json_object *v,
		     union command_value *value, struct err *e)
{
	switch (arg->type) {
	case ARG_NAME:
	case ARG_SWAP:
	case ARG_HALF:
	case ARG_SOCKET:
	case ARG_SERIAL:
	case ARG_MONITOR:
	case ARG_PLACE:
	case ARG_JOB:
		return check_string(arg, v, value, e);
	case ARG_CACHE:
		return check_cache(arg, v, value, e);
	case ARG_SWAPCACHE:
		return check_swapcache(arg, v, value, e);
	case ARG_LOG_LEVEL:
		return check_log_level(arg, v, value, e);
	case ARG_BOOL:
		if (!json_object_is_type(v, json_type_boolean))
			return wrong_type(arg, e);
		value->flag = json_object_get_boolean(v);
		return 0;
	case ARG_PID:
	case ARG_PRIORITY:
	case ARG_SIZE:
	case ARG_COUNT:
	case ARG_SHARES:
	case ARG_CELLS:
	case ARG_KNOB:
		return check_integer(arg, v, value, e);
	case ARG_PERCENT:
		return check_percent(arg, v, value, e);
	case ARG_CAPABILITIES:
		return check_capabilities(arg, v, e);
	case ARG_NONE:
		break;
	}
	return 0;
}

int command_check(const struct command *c, struct json_object *args,
		  union command_value *values, bool *given, struct err *e)
{
	const struct command_arg *arg;
	struct json_object *v;
	int i, rc;

	/* first what is known, then what is too much: QEMU's order */
	for (i = 0; c->args[i].type != ARG_NONE; i++) {
		arg = &c->args[i];
		given[i] = args && json_object_object_get_ex(args, arg->name, &v);
		if (given[i]) {
			rc = check_arg(arg, v, &values[i], e);
			if (rc < 0)
				return rc;
		} else if (!arg->optional) {
			return err_set(e, -EINVAL, "Parameter '%s' is missing", arg->name);
		}
	}
	if (!args)
		return 0;
	json_object_object_foreach(args, key, member)
	{
		(void)member;
		for (i = 0; c->args[i].type != ARG_NONE; i++)
			if (!strcmp(c->args[i].name, key))
				break;
		if (c->args[i].type == ARG_NONE)
			return err_set(e, -EINVAL, "Parameter '%.64s' is unexpected", key);
	}
	return 0;
}
