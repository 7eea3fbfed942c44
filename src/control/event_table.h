/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The events: one table, which query-qmp-schema and drum-qmp(7) are made of, and which
 * everything that is sent is held against.
 */
#ifndef DRUM_CONTROL_EVENT_TABLE_H
#define DRUM_CONTROL_EVENT_TABLE_H

#include <stdbool.h>

#include "base/err.h"
#include "vmm/host.h"

enum event_type {
	EVENT_NUMBER, /* an integer */
	EVENT_TEXT,
	EVENT_PERCENT, /* a number, with decimals */
};

struct event_field {
	const char *name; /* NULL ends the list */
	enum event_type type;
	bool optional;
	const char *doc;
};

struct event_def {
	const char *name; /* as "SWAP_LOW"; NULL ends the table */
	const char *doc;  /* sentences */
	struct event_field field[HOST_EVENT_FIELDS + 1];
};

extern const struct event_def event_defs[];

/* => NULL when there is none */
const struct event_def *event_find(const char *name);

/* Is the event as the table has it?  => 0, or -EINVAL and e: what is not */
int must_check event_check(const struct host_event *event, struct err *e);

#endif
