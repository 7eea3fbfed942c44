/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * All plots have the same columns of time, however wide they are shown: what
 * is under the mouse is looked up by column, in all of them at once.  A column
 * is what a line is downsampled to (series_points), and each line carries its
 * mean value in those columns that have samples, in the attribute data-v; the
 * list of these columns is written once (plot_write_columns).
 *
 * The drawing needs no JavaScript.  Colours are classes and variables, which
 * the page defines for light, dark and paper.
 */
#include "drumctl/report_plot.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS	    800
#define EVENT_APART 3
#define TICKS_MAX   100 /* on the axis of time; some ten are wanted */
#define LETTER	    8.0 /* width of one, from above */

/* Of the drawing, in the units of its viewBox. */
struct frame {
	double width, height, left, right, top, bottom;
	double most; /* the value at the top */
	double step; /* of its ticks */
};

void html_text(FILE *to, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '&')
			fputs("&amp;", to);
		else if (c == '<')
			fputs("&lt;", to);
		else if (c == '>')
			fputs("&gt;", to);
		else if (c == '"')
			fputs("&quot;", to);
		else if (c == '\'')
			fputs("&#39;", to);
		else if (c < ' ' || c == 0x7f)
			fputs("\u00b7", to); /* HTML has none of these */
		else
			putc(c, to);
	}
}

bool event_is_bad(const char *name)
{
	static const char *const part[] = { "ERROR",	 "FULL",     "LOW",	"OFFLINE",
					    "LOST",	 "STALLED",  "STUCK",	"QUARANTINED",
					    "POISON",	 "PRESSURE", "REFUSED", "FAILED",
					    "RESTARTED", "PANIC" };

	for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++)
		if (strstr(name, part[i]))
			return true;
	return false;
}

int plot_add(struct plot *p, const char *label, int color, enum plot_style style, int guest,
	     double *value)
{
	if (!value)
		return -ENOMEM;
	if (p->lines == PLOT_LINES_MAX) {
		free(value);
		p->more++;
		return 0;
	}
	p->line[p->lines++] = (struct plot_line){ label, color, style, guest, value };
	return 0;
}

void plot_free(struct plot *p)
{
	while (p->lines > 0)
		free(p->line[--p->lines].value);
}

static struct frame frame_of(const struct report *r, const struct plot *p)
{
	struct frame f = { .width = p->small ? 480 : 980,
			   .height = p->small ? 170 : 220,
			   .left = 76,
			   .right = 12,
			   .top = 10,
			   .bottom = 22 };
	double most = p->top;

	for (size_t i = 0; i < p->lines; i++)
		most = fmax(most, series_extent(p->line[i].value, r->samples).most);
	if (!(most > 0))
		most = p->unit == UNIT_BYTES ? 1 << 20 : 1;
	f.step = unit_step(p->unit, most, p->small ? 4 : 5);
	f.most = ceil(most / f.step - 1e-9) * f.step;
	return f;
}

static double x_of(const struct report *r, const struct frame *f, double t)
{
	return f->left + series_x(r, t, f->width - f->left - f->right);
}

static double y_of(const struct frame *f, double value)
{
	return f->height - f->bottom -
	       fmin(fmax(value / f->most, 0), 1) * (f->height - f->top - f->bottom);
}

static void write_band(FILE *to, const struct report *r, const struct frame *f,
		       const char *class, size_t first, size_t last)
{
	double x = x_of(r, f, r->t[first]), end = x_of(r, f, r->t[last]);

	fprintf(to, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>",
		class, x, f->top, fmax(end - x, 0.5), f->height - f->top - f->bottom);
}

/* => the class of a level's band, or NULL: nothing to show */
static const char *level_class(const char *level)
{
	if (!strcmp(level, "soft"))
		return "lsoft";
	if (!strcmp(level, "hard"))
		return "lhard";
	return strcmp(level, "low") ? NULL : "llow";
}

/* A level holds from its sample to the next. */
static void write_levels(FILE *to, const struct report *r, const struct frame *f)
{
	const struct report_thing *host = report_thing(r, RECORD_HOST, 0);
	const char *class = NULL, *now;
	size_t from = 0;

	for (size_t i = 0; host && i < r->samples; i++) {
		now = level_class(report_text(r, host, HOST_LEVEL, i));
		if (class && (now != class || r->gap[i] || i + 1 == r->samples))
			write_band(to, r, f, class, from, r->gap[i] && i > 0 ? i - 1 : i);
		if (now != class || r->gap[i])
			from = i;
		class = now;
	}
}

static void write_gaps(FILE *to, const struct report *r, const struct frame *f)
{
	for (size_t i = 1; i < r->samples; i++)
		if (r->gap[i])
			write_band(to, r, f, "gap", i - 1, i);
}

static void write_y_axis(FILE *to, const struct plot *p, const struct frame *f)
{
	char text[UNIT_TEXT_MAX];

	for (int i = 0; i * f->step <= f->most * 1.0001; i++) {
		double y = y_of(f, i * f->step);

		fprintf(to,
			"<path class=\"%s\" d=\"M%.0f %.1fH%.0f\"/><text x=\"%.0f\" y=\"%.1f\" "
			"text-anchor=\"end\">%s</text>",
			i ? "grid" : "axis", f->left, y, f->width - f->right, f->left - 6,
			y + 4, unit_format(text, p->unit, i * f->step));
	}
}

static void write_x_axis(FILE *to, const struct report *r, const struct plot *p,
			 const struct frame *f)
{
	double from = r->t[0], end = r->t[r->samples - 1], zone = unit_zone(from);
	double step = unit_time_step(end - from, p->small ? 5 : 10), t;
	char text[UNIT_TEXT_MAX];

	/* ticks are round in local time */
	t = ceil((from + zone) / step) * step - zone;
	for (int n = 0; t <= end && n < TICKS_MAX; n++, t += step) {
		double x = x_of(r, f, t);

		fprintf(to, "<path class=\"grid\" d=\"M%.1f %.1fv%.1f\"/>", x, f->top,
			f->height - f->top - f->bottom);
		unit_time(text, t, step);
		/* none that is cut off */
		if (x + LETTER * (double)strlen(text) / 2 < f->width)
			fprintf(to,
				"<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\">%s</text>",
				x, f->height - 6, text);
	}
}

/* Those that are within the time shown, and can be told from the one before. */
static void write_events(FILE *to, const struct report *r, const struct frame *f, bool bad)
{
	double last = -1, x;

	for (size_t i = 0; i < r->events; i++) {
		const struct report_event *e = &r->event[i];

		if (event_is_bad(e->name) != bad || e->t < r->t[0] - r->delay ||
		    e->t > r->t[r->samples - 1] + r->delay)
			continue;
		x = floor(x_of(r, f, e->t));
		if (last >= 0 && x < last + EVENT_APART)
			continue;
		fprintf(to, last < 0 ? "<path class=\"%s\" d=\"" : "", bad ? "evb" : "evi");
		fprintf(to, "M%.1f %.0fV%.0f", x + 0.5, f->top, f->height - f->bottom);
		last = x;
	}
	if (last >= 0)
		fputs("\"/>", to);
}

/* The area below a line: each unbroken part of it closed along the axis. */
static void write_area(FILE *to, const struct frame *f, const struct series_point *p, size_t n,
		       double scale)
{
	fputs("<path class=\"a\" d=\"", to);
	for (size_t i = 0; i < n; i++) {
		double x = f->left + p[i].x * scale;

		if (p[i].begins)
			fprintf(to, "M%.1f %.1f", x, y_of(f, 0));
		fprintf(to, "L%.1f %.1f", x, y_of(f, p[i].y));
		if (i + 1 == n || p[i + 1].begins)
			fprintf(to, "V%.1fZ", y_of(f, 0));
	}
	fputs("\"/>", to);
}

static void write_path(FILE *to, const struct frame *f, const struct series_point *p, size_t n,
		       double scale)
{
	fputs("<path class=\"l\" d=\"", to);
	for (size_t i = 0; i < n; i++) {
		double x = f->left + p[i].x * scale;

		fprintf(to, "%c%.1f %.1f", p[i].begins ? 'M' : 'L', x, y_of(f, p[i].y));
		/* one that stands alone would not be seen */
		if (p[i].begins && (i + 1 == n || p[i + 1].begins))
			fputs("h.8", to);
	}
	fputs("\"/>", to);
}

/* data-v: the mean of each column that has samples; nothing for what is not known */
static void write_values(FILE *to, const struct report *r, const double *value)
{
	const char *comma = "";
	size_t i = 0, known;
	double sum, column;

	fputs(" data-v=\"", to);
	while (i < r->samples) {
		column = floor(series_x(r, r->t[i], COLUMNS));
		sum = 0;
		known = 0;
		for (; i < r->samples && floor(series_x(r, r->t[i], COLUMNS)) == column; i++) {
			if (isnan(value[i]))
				continue;
			sum += value[i];
			known++;
		}
		fputs(comma, to);
		if (known)
			fprintf(to, "%.4g", sum / (double)known);
		comma = ",";
	}
	fputs("\"", to);
}

void plot_write_columns(FILE *to, const struct report *r)
{
	double column = -1, next;

	fputs("[", to);
	for (size_t i = 0; i < r->samples; i++) {
		next = floor(series_x(r, r->t[i], COLUMNS));
		if (next == column)
			continue;
		fprintf(to, "%s[%.0f,%.0f]", i ? "," : "", next, r->t[i] * 1000);
		column = next;
	}
	fputs("]", to);
}

static void write_guest(FILE *to, int guest)
{
	if (guest >= 0)
		fprintf(to, " data-g=\"%d\"", guest);
}

static int write_line(FILE *to, const struct report *r, const struct frame *f,
		      const struct plot_line *l)
{
	static const char *const style[] = { "", "", " dash" };
	struct series_point *p;
	ssize_t n = series_points(r, l->value, COLUMNS, &p);
	double scale = (f->width - f->left - f->right) / COLUMNS;

	if (n < 0)
		return (int)n;
	fprintf(to, "<g class=\"s c%d%s\"", l->color % PLOT_COLORS,
		l->color >= PLOT_COLORS ? " dots" : style[l->style]);
	write_guest(to, l->guest);
	write_values(to, r, l->value);
	fputs(">", to);
	if (l->style == PLOT_AREA)
		write_area(to, f, p, (size_t)n, scale);
	write_path(to, f, p, (size_t)n, scale);
	fputs("</g>", to);
	free(p);
	return 0;
}

static void write_legend(FILE *to, const struct plot *p)
{
	static const char *const style[] = { "", " area", " dash" };

	fputs("<p class=\"legend\">", to);
	for (size_t i = 0; i < p->lines; i++) {
		const struct plot_line *l = &p->line[i];

		fputs("<span", to);
		write_guest(to, l->guest);
		fprintf(to, "><i class=\"c%d%s\"></i>", l->color % PLOT_COLORS,
			l->color >= PLOT_COLORS ? " dots" : style[l->style]);
		html_text(to, l->label);
		fputs(" <b></b></span> ", to);
	}
	if (p->levels)
		fputs("<span><i class=\"mark\"></i>event to look at</span> "
		      "<span><i class=\"band lsoft\"></i>level soft</span> <span><i "
		      "class=\"band lhard\"></i>hard</span> <span><i class=\"band "
		      "llow\"></i>low</span> ",
		      to);
	if (p->more)
		fprintf(to, "<span>and %zu more, which are in the table</span>", p->more);
	fputs("</p>", to);
}

int plot_write(FILE *to, const struct report *r, const struct plot *p)
{
	struct frame f = frame_of(r, p);
	int rc = 0;

	fprintf(to, "<figure class=\"%s\"", p->small ? "small" : "wide");
	write_guest(to, p->guest);
	fputs("><figcaption>", to);
	html_text(to, p->title);
	if (p->note) {
		fputs(" <small>", to);
		html_text(to, p->note);
		fputs("</small>", to);
	}
	fputs("<time></time></figcaption>", to);
	write_legend(to, p);
	fprintf(to,
		"<div class=\"scroll\"><svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" "
		"data-u=\"%d\" "
		"data-l=\"%.0f\" data-w=\"%.0f\"><title>",
		f.width, f.height, (int)p->unit, f.left, f.width - f.left - f.right);
	html_text(to, p->title);
	fputs("</title>", to);
	if (p->levels)
		write_levels(to, r, &f);
	write_gaps(to, r, &f);
	write_x_axis(to, r, p, &f);
	write_y_axis(to, p, &f);
	write_events(to, r, &f, false);
	write_events(to, r, &f, true);
	for (size_t i = 0; i < p->lines && rc == 0; i++)
		rc = write_line(to, r, &f, &p->line[i]);
	fprintf(to, "<path class=\"x\" d=\"M-9 %.0fV%.0f\"/></svg></div></figure>\n", f.top,
		f.height - f.bottom);
	return rc;
}
