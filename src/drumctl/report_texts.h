/* SPDX-License-Identifier: BSD-2-Clause */
/* The texts of a report: each is kept once, and has a number. */
#ifndef DRUM_DRUMCTL_REPORT_TEXTS_H
#define DRUM_DRUMCTL_REPORT_TEXTS_H

#include <json-c/json.h>
#include <sys/types.h>

#include "drumctl/report_read.h"

/* => its index in r->text, or -ENOMEM */
ssize_t must_check report_intern(struct report *r, const char *text);
/* => the text that is kept, or NULL: no memory */
const char *report_intern_text(struct report *r, const char *text);

/* What an event tells, as "key=value key=value". => 0 or -ENOMEM */
int must_check report_event_text(struct report *r, struct json_object *data, const char **out);

#endif
