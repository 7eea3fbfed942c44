/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables of a report: what there was in all, and what happened. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "drumctl/report_page.h"
#include "drumctl/report_plot.h"

#define EVENTS_SHOWN 500

/* What is made of a figure over the time of the record. */
enum sum {
	SUM_TEXT, /* the last one */
	SUM_LAST,
	SUM_MEAN,
	SUM_MOST,
	SUM_TOTAL, /* what a counter grew */
	SUM_SHARE, /* the same of microseconds, as a share of the time watched */
};

struct cell {
	const char *heading, *about;
	int member;
	enum sum sum;
	enum unit unit;
};

static const struct cell guest_cells[] = {
	{ "guest", NULL, GUEST_NAME, SUM_TEXT, 0 },
	{ "state", "at the end", GUEST_STATE, SUM_TEXT, 0 },
	{ "RAM", NULL, GUEST_SIZE, SUM_LAST, UNIT_BYTES },
	{ "resident", "mean", GUEST_RESIDENT, SUM_MEAN, UNIT_BYTES },
	{ "resident", "most", GUEST_RESIDENT, SUM_MOST, UNIT_BYTES },
	{ "swapped", "mean", GUEST_SWAPPED, SUM_MEAN, UNIT_BYTES },
	{ "swapped", "most", GUEST_SWAPPED, SUM_MOST, UNIT_BYTES },
	{ "working set", "mean", GUEST_WORKING_SET, SUM_MEAN, UNIT_BYTES },
	{ "faults", NULL, GUEST_FAULTS, SUM_TOTAL, UNIT_COUNT },
	{ "p99", "at the end", GUEST_P99, SUM_LAST, UNIT_US },
	{ "pages in", NULL, GUEST_PAGES_IN, SUM_TOTAL, UNIT_COUNT },
	{ "pages out", NULL, GUEST_PAGES_OUT, SUM_TOTAL, UNIT_COUNT },
	{ "stalled", "some", GUEST_STALL_SOME, SUM_SHARE, UNIT_PERCENT },
	{ "stalled", "full", GUEST_STALL_FULL, SUM_SHARE, UNIT_PERCENT },
	{ 0 },
};

static const struct cell swap_cells[] = {
	{ "swap device", NULL, SWAP_PATH, SUM_TEXT, 0 },
	{ "type", NULL, SWAP_TYPE, SUM_TEXT, 0 },
	{ "state", "at the end", SWAP_STATE, SUM_TEXT, 0 },
	{ "size", NULL, SWAP_SIZE, SUM_LAST, UNIT_BYTES },
	{ "used", "mean", SWAP_USED, SUM_MEAN, UNIT_BYTES },
	{ "used", "most", SWAP_USED, SUM_MOST, UNIT_BYTES },
	{ "read", NULL, SWAP_READ_BYTES, SUM_TOTAL, UNIT_BYTES },
	{ "written", NULL, SWAP_WRITE_BYTES, SUM_TOTAL, UNIT_BYTES },
	{ "reads", NULL, SWAP_READS, SUM_TOTAL, UNIT_COUNT },
	{ "writes", NULL, SWAP_WRITES, SUM_TOTAL, UNIT_COUNT },
	{ "errors", "read", SWAP_READ_ERRORS, SUM_TOTAL, UNIT_COUNT },
	{ "errors", "write", SWAP_WRITE_ERRORS, SUM_TOTAL, UNIT_COUNT },
	{ "errors", "checksum", SWAP_CHECKSUM_ERRORS, SUM_TOTAL, UNIT_COUNT },
	{ 0 },
};

static const struct cell disk_cells[] = {
	{ "disk", NULL, DISK_NAME, SUM_TEXT, 0 },
	{ "guest", NULL, DISK_GUEST, SUM_TEXT, 0 },
	{ "state", "at the end", DISK_STATE, SUM_TEXT, 0 },
	{ "size", NULL, DISK_SIZE, SUM_LAST, UNIT_BYTES },
	{ "read", NULL, DISK_READ_BYTES, SUM_TOTAL, UNIT_BYTES },
	{ "written", NULL, DISK_WRITE_BYTES, SUM_TOTAL, UNIT_BYTES },
	{ "reads", NULL, DISK_READS, SUM_TOTAL, UNIT_COUNT },
	{ "writes", NULL, DISK_WRITES, SUM_TOTAL, UNIT_COUNT },
	{ "errors", NULL, DISK_ERRORS, SUM_TOTAL, UNIT_COUNT },
	{ 0 },
};

static const struct cell cache_cells[] = {
	{ "swapcache", "at the end", CACHE_STATE, SUM_TEXT, 0 },
	{ "cached", "most", CACHE_CACHED, SUM_MOST, UNIT_BYTES },
	{ "read through it", NULL, CACHE_READ_BYTES, SUM_TOTAL, UNIT_BYTES },
	{ "found on swap", NULL, CACHE_HIT_BYTES, SUM_TOTAL, UNIT_BYTES },
	{ "put", NULL, CACHE_PUT, SUM_TOTAL, UNIT_COUNT },
	{ "cleaned", NULL, CACHE_CLEANED, SUM_TOTAL, UNIT_COUNT },
	{ "invalidated", NULL, CACHE_INVALIDATED, SUM_TOTAL, UNIT_COUNT },
	{ 0 },
};

static struct series_extent extent_of(const struct report *r, const struct report_thing *thing,
				      int member)
{
	double *v = series_value(r, thing, member, 1);
	struct series_extent x = { NAN, NAN, NAN, NAN };

	if (v)
		x = series_extent(v, r->samples);
	free(v);
	return x;
}

/* Seconds in which it was watched. */
static double watched(const struct report *r, const struct report_thing *thing)
{
	double seconds = 0;

	for (size_t i = thing->first + 1; i < thing->first + thing->rows; i++)
		if (!isnan(report_number(r, thing, 0, i)) &&
		    !isnan(report_number(r, thing, 0, i - 1)))
			seconds += r->t[i] - r->t[i - 1];
	return seconds;
}

static double sum_of(const struct report *r, const struct report_thing *thing,
		     const struct cell *c)
{
	double us;

	switch (c->sum) {
	case SUM_TOTAL:
		return series_total(r, thing, c->member);
	case SUM_SHARE:
		us = series_total(r, thing, c->member);
		return us > 0 ? us / watched(r, thing) / 1e4 : 0;
	case SUM_MEAN:
		return extent_of(r, thing, c->member).mean;
	case SUM_MOST:
		return extent_of(r, thing, c->member).most;
	case SUM_LAST:
	case SUM_TEXT:
		break;
	}
	return extent_of(r, thing, c->member).last;
}

static void write_cell(FILE *to, const struct report *r, const struct report_thing *thing,
		       const struct cell *c)
{
	char text[UNIT_TEXT_MAX];
	bool first = c->member == 0 && record_groups[thing->group].many;

	if (c->sum != SUM_TEXT) {
		fprintf(to, "<td>%s</td>", unit_format(text, c->unit, sum_of(r, thing, c)));
		return;
	}
	fputs(first ? "<th scope=\"row\">" : "<td class=\"t\">", to);
	html_text(to, report_text(r, thing, c->member, thing->first + thing->rows - 1));
	/* gone before the end */
	if (first && thing->first + thing->rows < r->samples)
		fprintf(to, " <small>until %s</small>",
			unit_time(text, r->t[thing->first + thing->rows - 1], 1));
	fputs(first ? "</th>" : "</td>", to);
}

static void write_table(FILE *to, const struct report *r, enum record_group group,
			const struct cell *cells)
{
	const struct report_thing *thing;

	if (!report_thing(r, group, 0))
		return;
	fputs("<div class=\"scroll\"><table><thead><tr>", to);
	for (const struct cell *c = cells; c->heading; c++) {
		fprintf(to, "<th scope=\"col\"%s>%s", c->sum == SUM_TEXT ? " class=\"t\"" : "",
			c->heading);
		if (c->about)
			fprintf(to, "<br><small>%s</small>", c->about);
		fputs("</th>", to);
	}
	fputs("</tr></thead><tbody>\n", to);
	for (size_t i = 0; (thing = report_thing(r, group, i)); i++) {
		fputs("<tr>", to);
		for (const struct cell *c = cells; c->heading; c++)
			write_cell(to, r, thing, c);
		fputs("</tr>\n", to);
	}
	fputs("</tbody></table></div>\n", to);
}

void tables_write(FILE *to, const struct report *r)
{
	const struct report_thing *cache = report_thing(r, RECORD_CACHE, 0);

	write_table(to, r, RECORD_GUEST, guest_cells);
	write_table(to, r, RECORD_SWAP, swap_cells);
	write_table(to, r, RECORD_DISK, disk_cells);
	if (cache && series_total(r, cache, CACHE_READ_BYTES) > 0)
		write_table(to, r, RECORD_CACHE, cache_cells);
}

/* The last of them, if there are too many: what is wrong now matters most. */
void events_write(FILE *to, const struct report *r)
{
	size_t from = r->events > EVENTS_SHOWN ? r->events - EVENTS_SHOWN : 0;
	char text[UNIT_TEXT_MAX];

	fputs("<h2>Events</h2>", to);
	if (r->events == 0)
		fputs("<p>None.</p>", to);
	if (from || r->events_more)
		fprintf(to, "<p>%zu more are in the record.</p>", from + r->events_more);
	if (r->events == 0)
		return;
	fputs("<div class=\"scroll\"><table class=\"events\"><thead><tr><th class=\"t\" "
	      "scope=\"col\">time</th><th class=\"t\" scope=\"col\">event</th><th class=\"t\" "
	      "scope=\"col\">about</th></tr></thead><tbody>\n",
	      to);
	for (size_t i = from; i < r->events; i++) {
		const struct report_event *e = &r->event[i];

		fprintf(to, "<tr><td class=\"t\">%s</td><td class=\"t%s\">",
			unit_date(text, e->t), event_is_bad(e->name) ? " bad" : "");
		html_text(to, e->name);
		fputs("</td><td class=\"t about\">", to);
		html_text(to, e->text);
		fputs("</td></tr>\n", to);
	}
	fputs("</tbody></table></div>\n", to);
}
