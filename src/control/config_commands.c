/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration file and the daemon's own settings. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "control/call.h"
#include "control/query_add.h"

/* A value of the file: text, or an array where the key may be given again. */
static void add_entry(struct json_object *file, const struct host_config_line *l)
{
	struct json_object *section, *list, *text = json_object_new_string(l->text);
	/* of swap and disk; a dump has one */
	bool again = !strcmp(l->key, "device") && strcmp(l->section, "dump") != 0;

	if (!json_object_object_get_ex(file, l->section, &section)) {
		section = json_object_new_object();
		json_object_object_add(file, l->section, section);
	}
	if (!again) {
		json_object_object_add(section, l->key, text);
		return;
	}
	if (!json_object_object_get_ex(section, l->key, &list)) {
		list = json_object_new_array();
		json_object_object_add(section, l->key, list);
	}
	json_object_array_add(list, text);
}

static void on_config(void *ctx, const struct host_config *c, const struct err *e)
{
	struct command_call *call = ctx;
	struct json_object *o, *file;

	if (!c) {
		call_refused(call, e);
		return;
	}
	o = json_object_new_object();
	file = json_object_new_object();
	add_text(o, "path", c->file);
	add_text(o, "run-dir", c->run_dir);
	add_text(o, "state-dir", c->state_dir);
	add_text(o, "log-level", log_level_name((enum log_level)c->log_level));
	add_bool(o, "leave", c->leave);
	for (const struct host_config_line *l = c->lines; l; l = l->next)
		if (l->kind == HOST_CONFIG_ENTRY)
			add_entry(file, l);
	json_object_object_add(o, "file", file);
	call_done(call, o);
}

void run_query_config(struct command_call *call, const union command_value *values,
		      const bool *given)
{
	(void)values;
	(void)given;
	host_config_show(call->host, on_config, call);
}

static const char *const kinds[] = {
	[HOST_CONFIG_CHANGED] = "changed",
	[HOST_CONFIG_RESTART] = "needs-restart",
	[HOST_CONFIG_LEFT] = "left",
	[HOST_CONFIG_FAILED] = "failed",
};

static void on_reloaded(void *ctx, const struct host_config *c, const struct err *e)
{
	struct command_call *call = ctx;
	struct json_object *o;

	if (!c) {
		call_refused(call, e);
		return;
	}
	o = json_object_new_object();
	for (size_t kind = HOST_CONFIG_CHANGED; kind <= HOST_CONFIG_FAILED; kind++) {
		struct json_object *list = json_object_new_array();

		for (const struct host_config_line *l = c->lines; l; l = l->next)
			if (l->kind == kind)
				json_object_array_add(list, json_object_new_string(l->text));
		json_object_object_add(o, kinds[kind], list);
	}
	call_done(call, o);
}

void run_config_reload(struct command_call *call, const union command_value *values,
		       const bool *given)
{
	(void)values;
	(void)given;
	host_config_reload(call->host, on_reloaded, call);
}

void run_daemon_set(struct command_call *call, const union command_value *values,
		    const bool *given)
{
	unsigned int what =
		(given[0] ? DAEMON_SET_LOG_LEVEL : 0) | (given[1] ? DAEMON_SET_LEAVE : 0);
	struct err e;

	if (!what) {
		(void)err_set(&e, -EINVAL, "nothing to set, give log-level or leave");
		call_refused(call, &e);
		return;
	}
	host_daemon_set(call->host, what, values[0].number, values[1].flag, call_host_done,
			call);
}
