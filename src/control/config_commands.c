/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration file and the daemon's own settings. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "control/call.h"
#include "control/query_add.h"
#include "control/registry.h"

static const struct figure entry_figures[] = {
	FIGURE_ADDED("section", WORD, NULL, "Its section."),
	FIGURE_ADDED("key", WORD, NULL, "Its key."),
	FIGURE_ADDED("value", WORD, NULL, "What it is, as it stands there."),
	{ 0 },
};

static const struct object_type entry_object = {
	"ConfigEntry",
	"A line of the configuration file",
	{ entry_figures },
	0,
};

static const struct figure config_figures[] = {
	FIGURE_ADDED("path", WORD, NULL, "The file."),
	FIGURE_ADDED("run-dir", WORD, NULL, "The run directory that is in force."),
	FIGURE_ADDED("state-dir", WORD, NULL, "The state directory that is in force."),
	FIGURE_ADDED("log-level", WORD, NULL,
		     "What is logged: one of error, warn, info, debug, trace."),
	FIGURE(host_config, "leave", BOOL, leave, INFO, NULL, NULL,
	       "Whether guests are left attached and waiting at a stop."),
	FIGURE_ADDED("file", ARRAY, &entry_object,
		     "What the file said when it was read last, in its order."),
	{ 0 },
};

const struct object_type config_object = {
	"Config",
	"The configuration, as far as nothing else shows what is in force of it",
	{ config_figures },
	0,
};

static const struct figure changes_figures[] = {
	FIGURE_ADDED("changed", WORDS, NULL,
		     "What was changed, and, where failed has it too, was to be."),
	FIGURE_ADDED("needs-restart", WORDS, NULL,
		     "What has changed in the file and needs a restart of the daemon."),
	FIGURE_ADDED("left", WORDS, NULL,
		     "What stays as it is, although the file has changed, and why."),
	FIGURE_ADDED("failed", WORDS, NULL, "Why something could not be changed."),
	FIGURE_ADDED("warnings", WORDS, NULL, "What is to be said of something that was done."),
	{ 0 },
};

const struct object_type config_changes_object = {
	"ConfigChanges",
	"What became of a configuration file that was read again",
	{ changes_figures },
	0,
};

static void on_config(void *ctx, const struct host_config *c, const struct err *e)
{
	struct command_call *call = ctx;
	struct json_object *o, *file;

	if (!c) {
		call_refused(call, e);
		return;
	}
	o = json_object_new_object();
	file = json_object_new_array();
	add_text(o, "path", c->file);
	add_text(o, "run-dir", c->run_dir);
	add_text(o, "state-dir", c->state_dir);
	add_text(o, "log-level", log_level_name((enum log_level)c->log_level));
	add_bool(o, "leave", c->leave);
	for (const struct host_config_line *l = c->lines; l; l = l->next) {
		struct json_object *entry;

		if (l->kind != HOST_CONFIG_ENTRY)
			continue;
		entry = json_object_new_object();
		add_text(entry, "section", l->section);
		add_text(entry, "key", l->key);
		add_text(entry, "value", l->text);
		json_object_array_add(file, entry);
	}
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
	[HOST_CONFIG_CHANGED] = "changed",  [HOST_CONFIG_RESTART] = "needs-restart",
	[HOST_CONFIG_LEFT] = "left",	    [HOST_CONFIG_FAILED] = "failed",
	[HOST_CONFIG_WARNING] = "warnings",
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
	for (size_t kind = HOST_CONFIG_CHANGED; kind <= HOST_CONFIG_WARNING; kind++) {
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
