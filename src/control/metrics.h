/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The figures as text for Prometheus: its own format 0.0.4, or OpenMetrics 1.0.
 *
 * Pure: structs in, text out.  Every row of control/registry.h that names a metric is a
 * sample of each object that the row's table is given for; what no row can say, as a
 * histogram, is in struct metrics_more.
 */
#ifndef DRUM_CONTROL_METRICS_H
#define DRUM_CONTROL_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "control/registry.h"
#include "vmm/host.h"

enum metrics_format { METRICS_PROMETHEUS, METRICS_OPENMETRICS, METRICS_FORMATS };

struct metrics_object {
	const char *name; /* the value of the set's label */
	const void *from; /* the struct that the rows are of */
};

/* Objects that have the same figures. */
struct metrics_set {
	const struct figure *rows;
	const char
		*label; /* "guest", "device", "disk"; NULL: there is one object, of no name */
	const struct metrics_object *object;
	size_t n;
};

struct metrics_latency {
	const char *guest;
	struct latency_stats stats;
};

struct metrics_swap {
	const char *guest;
	struct guest_swap stats;
};

struct metrics_more {
	const char *version;
	size_t qmp_clients;
	const struct metrics_latency *latency;
	size_t nlatency;
	const struct metrics_swap *swap;
	size_t nswap;
};

/*
 * Sets that have other rows each.
 * => 0 and *text, to be freed, of *len bytes; -ENOMEM
 */
int must_check metrics_text(const struct metrics_set *sets, size_t nsets,
			    const struct metrics_more *more, enum metrics_format format,
			    char **text, size_t *len);

/* What a family is about, where rows share it or its row speaks of those before it; NULL: the
 * row's own words will do.  In metrics_help.c. */
struct metrics_help {
	const char *metric, *help; /* NULL ends the table */
};
extern const struct metrics_help metrics_help[];
const char *metrics_help_of(const char *metric);

/* Families that are made of the texts of rows: their value is 1, what they say are labels. */
#define METRICS_INFO_LABELS 3
struct metrics_info {
	const char *metric; /* without "drum_" and "_info"; NULL ends the table */
	const char *help;
	const struct figure *rows;		     /* of the sets that have them */
	const char *member[METRICS_INFO_LABELS + 1]; /* texts, by their names; ends with NULL */
};
extern const struct metrics_info metrics_infos[];

#endif
