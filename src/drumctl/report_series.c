/* SPDX-License-Identifier: BSD-2-Clause */
#include "drumctl/report_series.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <sys/types.h>

double *series_value(const struct report *r, const struct report_thing *thing, int member,
		     double scale)
{
	double *v = reallocarray(NULL, r->samples, sizeof(*v));

	for (size_t i = 0; v && i < r->samples; i++)
		v[i] = report_number(r, thing, member, i) * scale;
	return v;
}

double *series_rate(const struct report *r, const struct report_thing *thing, int member,
		    double scale)
{
	double *v = reallocarray(NULL, r->samples, sizeof(*v));
	double before = NAN, now;

	for (size_t i = 0; v && i < r->samples; i++, before = now) {
		now = report_number(r, thing, member, i);
		v[i] = NAN; /* also for what compares with NAN */
		if (i > 0 && !r->gap[i] && now >= before)
			v[i] = (now - before) / (r->t[i] - r->t[i - 1]) * scale;
	}
	return v;
}

double series_total(const struct report *r, const struct report_thing *thing, int member)
{
	double total = 0, before = NAN;

	for (size_t i = 0; i < r->samples; i++) {
		double now = report_number(r, thing, member, i);

		if (isnan(now))
			continue;
		if (!isnan(before))
			/* it began anew: what it had before is counted already */
			total += now >= before ? now - before : now;
		before = now;
	}
	return total;
}

struct series_extent series_extent(const double *value, size_t n)
{
	struct series_extent x = { NAN, NAN, NAN, NAN };
	double sum = 0;
	size_t known = 0;

	for (size_t i = 0; i < n; i++) {
		if (isnan(value[i]))
			continue;
		x.least = fmin(x.least, value[i]);
		x.most = fmax(x.most, value[i]);
		x.last = value[i];
		sum += value[i];
		known++;
	}
	if (known)
		x.mean = sum / (double)known;
	return x;
}

double series_x(const struct report *r, double t, double columns)
{
	double span = r->t[r->samples - 1] - r->t[0];
	double x = span > 0 ? (t - r->t[0]) / span * columns : columns / 2;

	return fmin(fmax(x, 0), columns);
}

/* A stretch of samples in one column, without a break in it. */
struct stretch {
	size_t first, last, least, most;
};

static size_t add_point(const struct report *r, const double *value, double columns, size_t i,
			bool begins, struct series_point *to)
{
	*to = (struct series_point){ series_x(r, r->t[i], columns), value[i], begins };
	return 1;
}

/* Its ends, and least and most between them: in their order, none twice. */
static size_t add_stretch(const struct report *r, const double *value, double columns,
			  const struct stretch *s, bool begins, struct series_point *to)
{
	size_t low = s->least < s->most ? s->least : s->most;
	size_t high = s->least < s->most ? s->most : s->least;
	size_t n = add_point(r, value, columns, s->first, begins, to);

	if (low != s->first && low != s->last)
		n += add_point(r, value, columns, low, false, to + n);
	if (high != s->first && high != s->last && high != low)
		n += add_point(r, value, columns, high, false, to + n);
	if (s->last != s->first)
		n += add_point(r, value, columns, s->last, false, to + n);
	return n;
}

ssize_t series_points(const struct report *r, const double *value, double columns,
		      struct series_point **out)
{
	struct series_point *p = reallocarray(NULL, r->samples, sizeof(*p));
	size_t i = 0, n = 0;
	bool begins = true;

	if (!p)
		return -ENOMEM;
	while (i < r->samples) {
		struct stretch s = { i, i, i, i };
		double column = floor(series_x(r, r->t[i], columns));

		begins |= r->gap[i];
		if (isnan(value[i])) {
			begins = true;
			i++;
			continue;
		}
		for (i++; i < r->samples && !r->gap[i] && !isnan(value[i]) &&
			  floor(series_x(r, r->t[i], columns)) == column;
		     i++) {
			s.last = i;
			if (value[i] < value[s.least])
				s.least = i;
			if (value[i] > value[s.most])
				s.most = i;
		}
		n += add_stretch(r, value, columns, &s, begins, p + n);
		begins = false;
	}
	*out = p;
	return (ssize_t)n;
}
