/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The QMP commands: one table, which argument checking, query-commands and
 * the manual's test read; and the running of one of them.
 */
#ifndef DRUM_CONTROL_COMMANDS_H
#define DRUM_CONTROL_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

#include "base/err.h"
#include "balloon/manager.h"
#include "vmm/host.h"

#define COMMAND_ARGS_MAX 17

enum arg_type {
	ARG_NONE,      /* ends the list */
	ARG_NAME,      /* string: 1 to GUEST_NAME_MAX of [A-Za-z0-9_.-] */
	ARG_SWAP,      /* string: as base/swap_path.h has it */
	ARG_HALF,      /* string: the same without ram:, which is no half of a mirror,
			* and no disk */
	ARG_SOCKET,    /* string: the path of a disk's socket, as base/disk_params.h has it */
	ARG_SERIAL,    /* string: its serial number, likewise */
	ARG_CACHE,     /* string: its cache mode, as image_cache_parse has it */
	ARG_SWAPCACHE, /* string: its swapcache mode, as swapcache_mode_parse has it */
	ARG_LOG_LEVEL, /* string: as log_level_parse has it */
	ARG_MONITOR,   /* string: the path of a monitor's socket, or "" */
	ARG_PLACE,     /* string: a balloon's id or a domain's name, or "" */
	ARG_BOOL,      /* true or false */
	ARG_PID,       /* integer: 1 to INT_MAX */
	ARG_PRIORITY,  /* integer: 0 to COMMAND_PRIORITY_MAX */
	ARG_SIZE,      /* integer: bytes, not below zero */
	ARG_COUNT,     /* integer: 0 to UINT32_MAX */
	ARG_SHARES,    /* integer: 1 to SHARES_MAX */
	ARG_CELLS,     /* integer: 1 to COMMAND_CELLS_MAX */
	ARG_PERCENT,   /* number: 0 to 100, of which four decimals count */
	ARG_KNOB,      /* integer: of the knob of this name; its range is the host's to say */
	ARG_JOB,       /* string: the id of a job, whoever gave it */
	ARG_CAPABILITIES, /* array of strings: QMP capabilities */
};

/* As of swapon(8); a higher one is used first. */
#define COMMAND_PRIORITY_MAX 32767
#define COMMAND_CELLS_MAX    4096 /* of a picture */

struct command_arg {
	const char *name;
	enum arg_type type;
	bool optional;
	const char *doc;
};

union command_value {
	const char *text; /* ARG_NAME, _SWAP, _HALF, _SOCKET, _SERIAL, _MONITOR, _PLACE; valid
			   * until the answer */
	int number;	  /* ARG_PID, ARG_PRIORITY; ARG_CACHE: an enum image_cache;
			   * ARG_SWAPCACHE: an enum swapcache_mode; ARG_LOG_LEVEL: an enum
			   * log_level */
	bool flag;	  /* ARG_BOOL; false when it is not given */
	uint64_t size;	  /* ARG_SIZE, ARG_KNOB; 0 when it is not given */
	uint32_t count;	  /* ARG_COUNT, ARG_SHARES, ARG_CELLS; ARG_PERCENT: millionths; 0
			   * likewise */
};

struct command_call;
struct jobs;
struct object_type;

enum command_flag {
	COMMAND_READ_ONLY = 1, /* changes nothing: served to those who may only read */
	COMMAND_ARRAY = 2,     /* returns an array of what `returns` says */
};

struct command {
	const char *name;
	const char *doc;
	struct command_arg args[COMMAND_ARGS_MAX + 1];
	/* values and given stand in the order of args; NULL: the server's own */
	void (*run)(struct command_call *call, const union command_value *values,
		    const bool *given);
	unsigned int flags;		   /* of enum command_flag */
	const struct object_type *returns; /* NULL: done_object */
};

/* Ends with one whose name is NULL. */
extern const struct command commands[];

/* May who is restricted to reading run it?  The server's own, without run, everybody may. */
bool command_allowed(const struct command *c, bool read_only);

/* => NULL when there is none */
const struct command *command_find(const char *name);

/* "string", "integer", "number", "boolean", "array": what QMP calls the type. */
const char *arg_type_name(enum arg_type type);

/*
 * Check args (NULL counts as {}) against the command, in QEMU's words.
 * => 0 with values and given filled, or -EINVAL
 */
int must_check command_check(const struct command *c, struct json_object *args,
			     union command_value *values, bool *given, struct err *e);

/*
 * The answer to a command: result (to be kept with json_object_get by who
 * wants it longer) or, when e->code is not 0, the refusal.
 */
typedef void (*command_reply_fn)(void *ctx, struct json_object *result, const struct err *e);

/* On what commands are run; all of it outlives the last answer, and jobs. */
struct command_env {
	struct host *host;
	struct manager *manager;
	struct jobs *jobs;
	bool read_only; /* who asks may read only; queries of what there is say so */
};

/*
 * Check the arguments and run the command; reply is called exactly once,
 * perhaps before this returns.  c->run is not NULL.
 */
void command_run(const struct command *c, const struct command_env *env,
		 struct json_object *args, command_reply_fn reply, void *ctx);

/* The version that query-version and the greeting give. => a new object */
struct json_object *command_version(void);

#endif
