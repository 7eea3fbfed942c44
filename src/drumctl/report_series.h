/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Series: a value for each sample of a report, NAN where it is not known; what
 * is made of them, and how they become points of a plot.  All of it is pure.
 */
#ifndef DRUM_DRUMCTL_REPORT_SERIES_H
#define DRUM_DRUMCTL_REPORT_SERIES_H

#include "drumctl/report_read.h"

/* A figure as it is, times scale. => malloc'ed, or NULL: no memory */
double *series_value(const struct report *r, const struct report_thing *thing, int member,
		     double scale);

/*
 * How much a counter grows in a second, times scale: at each sample, since the
 * one before.  Not known over a gap, and where it went back: it began anew.
 */
double *series_rate(const struct report *r, const struct report_thing *thing, int member,
		    double scale);

/* All that a counter grew while it was watched, also over gaps. */
double series_total(const struct report *r, const struct report_thing *thing, int member);

/* Over values that are known. => NAN: none is */
struct series_extent {
	double least, most, mean, last;
};
struct series_extent series_extent(const double *value, size_t n);

/*
 * Points of a line, for a plot that is `columns` wide.  Of samples that fall
 * into one column the least and the most are kept, in their order, so that no
 * spike is lost.  A line is broken where a value is not known, and by gaps.
 */
struct series_point {
	double x, y; /* columns from the left; the value */
	bool begins; /* no line comes here from the point before */
};
/* => points, at most 4 a column and not more than samples; or -ENOMEM */
ssize_t series_points(const struct report *r, const double *value, double columns,
		      struct series_point **out);

/* Where a time is, in columns from the left. */
double series_x(const struct report *r, double t, double columns);

#endif
