/* SPDX-License-Identifier: BSD-2-Clause */
/* What of an answer goes into a record. */
#ifndef DRUM_DRUMCTL_RECORD_H
#define DRUM_DRUMCTL_RECORD_H

#include <json-c/json.h>

#include "drumctl/record_members.h"

/* Those members of an object that the group has, without zeros. => a new object */
struct json_object *record_pick(enum record_group group, struct json_object *from);

/* The same of an answer: of each object in it, where there are many. */
struct json_object *record_pick_answer(enum record_group group, struct json_object *answer);

/*
 * Below what time a share of the faults took that happened between two answers
 * of query-guest-latency, in us.  It is as good as the buckets are.
 * => 0: none did, or the guest began anew
 */
double record_percentile(struct json_object *before, struct json_object *now, double share);

#endif
