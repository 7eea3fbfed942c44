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

void progress_set(struct progress *p, uint64_t done, uint64_t total)
{
	char bar[WIDTH_MAX + 1], text[128], left[24];
	char size[2][SIZE_TEXT_MAX], speed[SIZE_TEXT_MAX];
	uint64_t now = clock_ns();
	size_t n = strlen(p->what);
	const char *what = n > WHAT_MAX ? p->what + n - WHAT_MAX : p->what;
	int width, full, length;

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
	width = terminal_width() - (int)(strlen(what) + strlen(text)) - 5;
	if (width > WIDTH_MAX)
		width = WIDTH_MAX;
	full = total && width > 0 ? (int)((double)done / (double)total * width) : 0;
	for (int i = 0; i < width; i++)
		bar[i] = i < full ? '#' : '.';
	bar[width > 0 ? width : 0] = '\0';
	length = fprintf(stderr, "\r%s [%s] %s", what, bar, text) - 1;
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
