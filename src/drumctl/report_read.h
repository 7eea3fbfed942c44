/* SPDX-License-Identifier: BSD-2-Clause */
/* A record, read: what there was, by time. */
#ifndef DRUM_DRUMCTL_REPORT_READ_H
#define DRUM_DRUMCTL_REPORT_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "drumctl/record_members.h"

#define REPORT_SAMPLES_MAX (1u << 20) /* two months, one each 5 s */
#define REPORT_EVENTS_MAX  20000      /* of more the first are kept */

/* The host, a guest, a device, ... */
struct report_thing {
	enum record_group group;
	const char *name; /* "" of what there is one of */
	/*
	 * rows of `members` figures each, of the samples from `first` on.  A figure is
	 * a number, or the index of a text.
	 */
	double *row;
	size_t first, rows, room;
};

struct report_event {
	double t;
	const char *name;
	const char *text; /* what about it: "path=/swap free=0" */
};

struct report {
	const char *version, *host; /* of the first header */
	double delay;		    /* seconds, of the last one */
	double *t;		    /* [samples], seconds since 1970, rising */
	bool *gap;		    /* [samples]: what was before this one is not known */
	size_t samples, room;
	struct report_thing *thing;
	size_t things;
	struct report_event *event; /* in the order of the record */
	size_t events, events_more;
	size_t torn;	 /* lines that are no JSON, or not all of it */
	size_t set_back; /* how often the host's clock was */
	/* texts, each there once */
	char **text;
	size_t texts;
	/* while it is read */
	double shift; /* by which the clock was set back */
	bool gap_next;
	size_t hint; /* into thing */
	struct text_slot *slot;
	size_t slots;
};

/* => 0 and *r (report_free), or -errno: not a record, or no samples in it */
int must_check report_read(FILE *from, const char *path, struct report *r, struct err *e);

void report_free(struct report *r);

/* A figure of sample i.  => NAN: the thing was not there */
double report_number(const struct report *r, const struct report_thing *thing, int member,
		     size_t i);
/* => "" where there is none */
const char *report_text(const struct report *r, const struct report_thing *thing, int member,
			size_t i);

/* The n-th of a group, by when they first appeared.  => NULL: there are no more */
const struct report_thing *report_thing(const struct report *r, enum record_group group,
					size_t n);
size_t report_count(const struct report *r, enum record_group group);

#endif
