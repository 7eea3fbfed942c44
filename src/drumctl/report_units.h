/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers as people read them, and the ticks of an axis. */
#ifndef DRUM_DRUMCTL_REPORT_UNITS_H
#define DRUM_DRUMCTL_REPORT_UNITS_H

#include <stddef.h>

#define UNIT_TEXT_MAX 48

enum unit {
	UNIT_BYTES,	   /* "1.5 GiB" */
	UNIT_BYTES_SECOND, /* "12 MiB/s" */
	UNIT_SECOND,	   /* "250/s" */
	UNIT_US,	   /* "340 µs", "1.2 ms" */
	UNIT_PERCENT,	   /* "0.4 %" */
	UNIT_COUNT,	   /* "12 345" */
};

/* => buf; "–" for NAN */
const char *unit_format(char buf[UNIT_TEXT_MAX], enum unit unit, double value);

/*
 * The distance of round ticks from 0 to most, for at most `wanted` steps: in
 * powers of two for bytes.  => more than 0
 */
double unit_step(enum unit unit, double most, int wanted);

/* The distance of ticks of time in seconds: 1, 2, 5, 10 s, ... 12 h, days. */
double unit_time_step(double span, int wanted);

/* "2 h 5 min", "12 s" */
const char *unit_duration(char buf[UNIT_TEXT_MAX], double seconds);

/* Local time: "14:05", "14:05:30", or "Nov 30" at midnight, as ticks of that step need it. */
const char *unit_time(char buf[UNIT_TEXT_MAX], double t, double step);
/* "2026-11-30 14:05:30" */
const char *unit_date(char buf[UNIT_TEXT_MAX], double t);
/* Seconds east of Greenwich, then. */
double unit_zone(double t);

#endif
