/* SPDX-License-Identifier: BSD-2-Clause */
#include "drumctl/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/size.h"
#include "drumctl/terminal.h"

#define WIDTH_MAX 200
#define WHAT_MAX  32 /* columns; of a longer name the end is shown */

#define WHAT_ROOM 4096

/* The weight of the newest rate: the shown one follows in some two seconds. */
#define RATE_WEIGHT 0.1

static int terminal_width(void)
{
	struct terminal t;

	terminal_look(&t, STDERR_FILENO);
	return t.columns < WIDTH_MAX ? (int)t.columns : WIDTH_MAX;
}

void progress_begin(struct progress *p, const char *what)
{
	struct terminal t;

	*p = (struct progress){ .what = what, .began = clock_ns() };
	terminal_look(&t, STDERR_FILENO);
	p->shown = t.moves;
}

/* "1:05", "2:01:05", or "-:--" as long as nobody can tell */
static const char *format_left(char buf[24], uint64_t left, double rate)
{
	double seconds = rate >= 1 ? (double)left / rate : 1e9;
	uint64_t s = (uint64_t)seconds;

	if (seconds >= 100 * 3600)
		return "-:--";
	if (s >= 3600)
		snprintf(buf, 24, "%u:%02u:%02u", (unsigned int)(s / 3600),
			 (unsigned int)(s / 60 % 60), (unsigned int)(s % 60));
	else
		snprintf(buf, 24, "%u:%02u", (unsigned int)(s / 60), (unsigned int)(s % 60));
	return buf;
}

static void measure(struct progress *p, uint64_t done, uint64_t now)
{
	uint64_t since = p->drawn ? p->drawn : p->began;
	uint64_t more = done > p->done ? done - p->done : 0;
	double rate;

	if (now <= since)
		return;
	rate = (double)more * (double)NSEC_PER_SEC / (double)(now - since);
	p->rate = p->rate > 0 ? p->rate + RATE_WEIGHT * (rate - p->rate) : rate;
}

/* The end of `what` that has room in so many columns. */
static const char *shortened(const char *what, int columns)
{
	size_t n = strlen(what), room = columns > 0 ? (size_t)columns : 0;

	if (room > WHAT_MAX)
		room = WHAT_MAX;
	return what + (n > room ? n - room : 0);
}

/* => its columns, at most width */
static int compose(char line[WIDTH_MAX + 1], const struct progress *p, const char *text,
		   uint64_t done, uint64_t total, int width)
{
	char name[WHAT_ROOM];
	const char *what = shortened(terminal_safe(name, sizeof(name), p->what),
				     width - (int)strlen(text) - 1);
	int n = (int)strlen(what), full, bar;

	/* around a bar are two brackets and two blanks */
	bar = width - n - (int)strlen(text) - 4;
	full = total && bar > 0 ? (int)((double)done / (double)total * bar) : 0;
	n = snprintf(line, WIDTH_MAX + 1, "%s%s%s", what, n ? " " : "", bar > 0 ? "[" : "");
	for (int i = 0; i < bar; i++)
		line[n++] = i < full ? '#' : '.';
	n += snprintf(line + n, (size_t)(WIDTH_MAX + 1 - n), "%s%s", bar > 0 ? "] " : "", text);
	if (n > width)
		line[n = width] = '\0';
	return n;
}

void progress_set(struct progress *p, uint64_t done, uint64_t total)
{
	char line[WIDTH_MAX + 1], text[128], left[24];
	char size[2][SIZE_TEXT_MAX], speed[SIZE_TEXT_MAX];
	uint64_t now = clock_ns();
	int length;

	if (done > total)
		done = total;
	if (!p->shown || (p->drawn && now - p->drawn < PROGRESS_MS * NSEC_PER_MSEC / 2))
		return;
	measure(p, done, now);
	snprintf(text, sizeof(text), "%3u%% %s of %s %s/s ETA %s",
		 total ? (unsigned int)((double)done / (double)total * 100) : 0,
		 size_format(size[0], done), size_format(size[1], total),
		 size_format(speed, (uint64_t)p->rate),
		 format_left(left, total - done, p->rate));
	/* one column stays free, or some terminals begin a new line */
	length = compose(line, p, text, done, total, terminal_width() - 1);
	fprintf(stderr, "\r%s", line);
	if (length < p->length)
		fprintf(stderr, "%*s", p->length - length, "");
	p->length = length;
	p->drawn = now;
	p->done = done;
	fflush(stderr);
}

void progress_end(struct progress *p)
{
	if (p->length > 0)
		fprintf(stderr, "\r%*s\r", p->length, "");
	p->length = 0;
}
