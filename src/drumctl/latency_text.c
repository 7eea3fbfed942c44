/* SPDX-License-Identifier: BSD-2-Clause */
/* The histogram on a terminal: a line for each bucket, bars to an eighth of a character. */
#include <math.h>
#include <string.h>

#include "drumctl/latency.h"

#define TABLE_WIDTH 44 /* of what stands in front of the bars */
#define BAR_MIN	    10
#define BAR_MAX	    100
#define COLOUR	    "\033[36m"
#define BOLD	    "\033[1m"
#define RESET	    "\033[0m"

/* "p50 12.3us, p90 15.1us": those that are in this bucket */
static void marks_of(char to[96], const struct latency *l, int bucket)
{
	char time[16];

	to[0] = '\0';
	for (int i = 0; i < LATENCY_MARKS; i++)
		if (latency_bucket_of(l, l->mark[i]) == bucket)
			snprintf(to + strlen(to), 96 - strlen(to), "%s%s %s", to[0] ? ", " : "",
				 latency_mark_name[i], latency_time(time, l->mark[i]));
}

/* U+2588, a full block, and U+2589 .. U+258F, which are seven to one eighth of it */
static void put_bar(FILE *f, double length, bool utf8)
{
	int eighths = (int)lround(length * 8), full = eighths / 8;

	if (!utf8)
		full = (int)lround(length);
	for (int i = 0; i < full; i++)
		fputs(utf8 ? "\342\226\210" : "#", f);
	if (utf8 && eighths % 8)
		fprintf(f, "\342\226%c", 0x90 - eighths % 8);
}

/* Something is never drawn as nothing. */
static double bar_length(const struct latency *l, int bucket, int width, bool utf8)
{
	uint64_t most = 1;
	double length;

	for (int i = 0; i < l->n; i++)
		if (l->bucket[i].count > most)
			most = l->bucket[i].count;
	length = (double)l->bucket[bucket].count / (double)most * width;
	if (l->bucket[bucket].count && length < (utf8 ? 0.125 : 1))
		length = utf8 ? 0.125 : 1;
	return length;
}

/* As wide as leaves room for what stands behind each of the bars. */
static int bar_width(const struct latency *l, const struct terminal *t)
{
	int room = (int)t->columns - TABLE_WIDTH, width = room < BAR_MAX ? room : BAR_MAX;
	char marks[96];

	for (int i = 0; i < l->n; i++) {
		marks_of(marks, l, i);
		while (width > BAR_MIN &&
		       bar_length(l, i, width, t->utf8) + 2 + (double)strlen(marks) > room)
			width--;
	}
	return width < BAR_MIN ? BAR_MIN : width;
}

void latency_print(FILE *f, const struct latency *l, const struct terminal *t)
{
	bool colour = t->colours != TERMINAL_PLAIN;
	char name[sizeof(l->name)], a[16], b[16], marks[96], range[40];
	int width = bar_width(l, t);

	terminal_safe(name, sizeof(name), l->name);
	if (l->count == 0) {
		fprintf(f, "%s: no faults yet\n", name);
		return;
	}
	fprintf(f, "%s: %llu faults, mean %s, longest %s\n\n", name,
		(unsigned long long)l->count, latency_time(a, l->mean),
		latency_time(b, l->max));
	fprintf(f, "%s%15s %10s %7s %8s%s\n", colour ? BOLD : "", "TOOK", "COUNT", "SHARE",
		"UP TO", colour ? RESET : "");
	for (int i = 0; i < l->n; i++) {
		const struct latency_bucket *k = &l->bucket[i];

		if (isinf(k->to))
			snprintf(range, sizeof(range), "> %s", latency_time(a, k->from));
		else
			snprintf(range, sizeof(range), "%s-%s",
				 k->from > 0 ? latency_time(a, k->from) : "0",
				 latency_time(b, k->to));
		fprintf(f, "%15s %10llu %6.2f%% %7.2f%% %s", range,
			(unsigned long long)k->count,
			100.0 * (double)k->count / (double)l->count,
			100.0 * (double)k->until / (double)l->count, colour ? COLOUR : "");
		put_bar(f, bar_length(l, i, width, t->utf8), t->utf8);
		fputs(colour ? RESET : "", f);
		marks_of(marks, l, i);
		fprintf(f, "%s%s\n", marks[0] ? " " : "", marks);
	}
}
