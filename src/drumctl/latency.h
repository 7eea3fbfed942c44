/* SPDX-License-Identifier: BSD-2-Clause */
/* How long a guest's faults took: the answer of query-guest-latency, and pictures of it. */
#ifndef DRUM_DRUMCTL_LATENCY_H
#define DRUM_DRUMCTL_LATENCY_H

#include <stdint.h>
#include <stdio.h>

#include <json-c/json.h>

#include "base/err.h"
#include "drumctl/terminal.h"

#define LATENCY_BUCKETS_MAX 128
#define LATENCY_MARKS	    4

struct latency_bucket {
	double from, to;       /* us; to is INFINITY in the last one */
	uint64_t count, until; /* in it, and with all before */
};

struct latency {
	char name[64];
	uint64_t count;
	double mean, max; /* us */
	double mark[LATENCY_MARKS];
	int n; /* from the first bucket with something in it to the last one */
	struct latency_bucket bucket[LATENCY_BUCKETS_MAX];
};

/* "p50" .. "p99.9" */
extern const char *const latency_mark_name[LATENCY_MARKS];

/* => 0, or -EPROTO: that is none */
int must_check latency_parse(struct latency *l, struct json_object *answer, struct err *e);

/* The bucket that a time belongs to. */
int latency_bucket_of(const struct latency *l, double us);

/* "850ns", "12.3us", "1.05ms", "2s" => to */
const char *latency_time(char to[16], double us);

void latency_print(FILE *f, const struct latency *l, const struct terminal *t);
void latency_svg(FILE *f, const struct latency *l);

#endif
