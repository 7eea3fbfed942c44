/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The histogram as a picture: time goes to the right by its logarithm, so that buckets, whose
 * edges are powers of two, are all as wide as each other; the share of faults goes up.
 */
#include <math.h>

#include "drumctl/latency.h"
#include "drumctl/svg.h"

#define WIDTH  860
#define HEIGHT 440
#define LEFT   70
#define RIGHT  30
#define TOP    112 /* above it the marks have their names */
#define BOTTOM 60
#define GREY   " fill=\"#57606a\""

/* What is drawn from where to where. */
struct axes {
	double from, to; /* us; neither is 0 or without end */
	double top;	 /* percent */
};

static double x_of(const struct axes *a, double us)
{
	double share = (log2(us) - log2(a->from)) / (log2(a->to) - log2(a->from));

	share = share < 0 ? 0 : share > 1 ? 1 : share;
	return LEFT + share * (WIDTH - LEFT - RIGHT);
}

static double y_of(const struct axes *a, double percent)
{
	return HEIGHT - BOTTOM - percent / a->top * (HEIGHT - BOTTOM - TOP);
}

static double share_of(const struct latency *l, int bucket)
{
	return 100.0 * (double)l->bucket[bucket].count / (double)l->count;
}

/* The first bucket begins at 0, and the last one may have no end: they are as wide as the
 * others. */
static struct axes axes_of(const struct latency *l)
{
	const struct latency_bucket *first = &l->bucket[0], *last = &l->bucket[l->n - 1];
	static const double tops[] = { 1, 2, 5, 10, 20, 25, 40, 50, 60, 80, 100 };
	struct axes a = {
		.from = first->from > 0	   ? first->from
			: isinf(first->to) ? 1
					   : first->to / 2,
		.to = isinf(last->to) ? (last->from > 0 ? last->from * 2 : 2) : last->to,
		.top = 100,
	};
	double most = 0;
	int i;

	for (i = 0; i < l->n; i++)
		most = fmax(most, share_of(l, i));
	for (i = (int)(sizeof(tops) / sizeof(tops[0])) - 1; i >= 0 && tops[i] >= most; i--)
		a.top = tops[i];
	/* some room on both sides for what is alone */
	while (a.to / a.from < 60) {
		a.from /= 2;
		a.to *= 2;
	}
	return a;
}

static void put_axes(FILE *f, const struct axes *a)
{
	static const double steps[] = { 1, 10, 100 };
	double step = a->top / (a->top == 25 || a->top == 50 || a->top == 100 || a->top == 5 ||
						a->top == 10
					? 5
					: 4);
	char text[16];

	for (double p = 0; p <= a->top * 1.001; p += step) {
		svg_line(f, LEFT, y_of(a, p), WIDTH - RIGHT, y_of(a, p),
			 p == 0 ? " stroke=\"#24292f\"" : " stroke=\"#e4e8ec\"");
		svg_text(f, LEFT - 8, y_of(a, p) + 4, SVG_END, GREY, "%g%%", p);
	}
	for (double unit = 1e-3; unit <= a->to; unit *= 1e3) {
		for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
			double us = unit * steps[i];

			if (us < a->from * 0.999 || us > a->to * 1.001)
				continue;
			svg_line(f, x_of(a, us), HEIGHT - BOTTOM, x_of(a, us),
				 HEIGHT - BOTTOM + 6, " stroke=\"#24292f\"");
			svg_text(f, x_of(a, us), HEIGHT - BOTTOM + 21, SVG_MIDDLE, GREY, "%s",
				 latency_time(text, us));
		}
	}
	svg_text(f, (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 12, SVG_MIDDLE, GREY,
		 "how long a fault took");
}

static void put_bars(FILE *f, const struct latency *l, const struct axes *a)
{
	for (int i = 0; i < l->n; i++) {
		const struct latency_bucket *b = &l->bucket[i];
		double from = b->from > 0 ? b->from : isinf(b->to) ? a->from : b->to / 2;
		double to = isinf(b->to) ? from * 2 : b->to;
		double y = y_of(a, share_of(l, i)), x = x_of(a, from);

		if (!b->count)
			continue;
		/* something is never drawn as nothing */
		if (HEIGHT - BOTTOM - y < 2)
			y = HEIGHT - BOTTOM - 2;
		svg_rect(f, x + 1, y, x_of(a, to) - x - 2, HEIGHT - BOTTOM - y,
			 " fill=\"#54a3f2\"");
	}
}

/* Each name a line lower than the one before, so that close ones do not cover each other; and
 * a white edge where it stands on a line. */
static void put_marks(FILE *f, const struct latency *l, const struct axes *a)
{
	char time[16];

	for (int i = 0; i < LATENCY_MARKS; i++) {
		double x = x_of(a, l->mark[i]);

		svg_line(f, x, TOP - 53 + i * 14, x, HEIGHT - BOTTOM,
			 " stroke=\"#bc4c00\" stroke-dasharray=\"4 3\"");
	}
	for (int i = 0; i < LATENCY_MARKS; i++) {
		double x = x_of(a, l->mark[i]);
		bool left = x > WIDTH - 150;

		svg_text(f, left ? x - 5 : x + 5, TOP - 44 + i * 14, left ? SVG_END : SVG_START,
			 " fill=\"#bc4c00\" stroke=\"#ffffff\" stroke-width=\"4\" "
			 "paint-order=\"stroke\"",
			 "%s %s", latency_mark_name[i], latency_time(time, l->mark[i]));
	}
}

void latency_svg(FILE *f, const struct latency *l)
{
	char title[128], mean[16], max[16];
	struct axes a;

	snprintf(title, sizeof(title), "Faults of guest %s", l->name);
	svg_begin(f, WIDTH, HEIGHT, title);
	if (l->count == 0) {
		svg_text(f, 20, 52, SVG_START, GREY, "none yet");
	} else {
		svg_text(f, 20, 50, SVG_START, GREY, "%llu, mean %s, longest %s",
			 (unsigned long long)l->count, latency_time(mean, l->mean),
			 latency_time(max, l->max));
		a = axes_of(l);
		put_axes(f, &a);
		put_bars(f, l, &a);
		put_marks(f, l, &a);
	}
	svg_end(f);
}
