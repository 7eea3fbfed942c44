/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * The page is one file, and asks for nothing else: its Content-Security-Policy
 * has the browser refuse any request, and run no script but the one that has
 * the nonce.  So a name of a guest that would get past html_text could not run
 * either.
 *
 * Which plots there are is a table (lines_of); those of single guests come
 * before.
 */
#include "drumctl/report_page.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "drumctl/report_plot.h"

#define DASHES_MAX 3 /* gaps that are told one by one */

/* A plot with a line for each thing of a group. */
struct lines_of {
	const char *title, *note;
	enum record_group group;
	int member;
	enum unit unit;
	double scale;
};

#define PER_PAGE ((double)sysconf(_SC_PAGESIZE))

static int add_figure(struct plot *p, const struct report *r, const struct report_thing *thing,
		      const char *label, int color, enum plot_style style, int member)
{
	return plot_add(p, label, color, style, -1, series_value(r, thing, member, 1));
}

/* Where it is zero all the time there is nothing to see. */
static bool ever(const struct report *r, const struct report_thing *thing, int member)
{
	for (size_t i = 0; i < r->samples; i++)
		if (report_number(r, thing, member, i) > 0)
			return true;
	return false;
}

/* A budget that was not set is not zero: it is not there. */
static void without_zeros(const struct report *r, const struct plot *p)
{
	double *v = p->lines ? p->line[p->lines - 1].value : NULL;

	for (size_t i = 0; v && i < r->samples; i++)
		if (v[i] == 0)
			v[i] = NAN;
}

static int host_plot(FILE *to, const struct report *r)
{
	const struct report_thing *host = report_thing(r, RECORD_HOST, 0);
	struct plot p = { .title = "Memory of the host", .unit = UNIT_BYTES, .guest = -1 };
	int rc;

	if (!host)
		return 0;
	rc = add_figure(&p, r, host, "used by guests", 0, PLOT_AREA, HOST_USED);
	if (rc == 0 && ever(r, host, HOST_BUDGET)) {
		p.note = "the bands are the level of the budget";
		p.levels = true;
		rc = add_figure(&p, r, host, "budget", 2, PLOT_DASHED, HOST_BUDGET);
		without_zeros(r, &p);
		if (rc == 0)
			rc = add_figure(&p, r, host, "free", 1, PLOT_LINE, HOST_FREE);
	}
	if (rc == 0)
		rc = plot_write(to, r, &p);
	plot_free(&p);
	return rc;
}

/* By itself: the host may have many times what guests may have. */
static int available_plot(FILE *to, const struct report *r)
{
	const struct report_thing *host = report_thing(r, RECORD_HOST, 0);
	struct plot p = { .title = "Memory available on the host",
			  .note = "MemAvailable of the kernel",
			  .unit = UNIT_BYTES,
			  .guest = -1 };
	int rc;

	if (!host || !ever(r, host, HOST_AVAILABLE))
		return 0;
	rc = add_figure(&p, r, host, "available", 4, PLOT_AREA, HOST_AVAILABLE);
	if (rc == 0)
		rc = plot_write(to, r, &p);
	plot_free(&p);
	return rc;
}

static int guest_plot(FILE *to, const struct report *r, const struct report_thing *guest,
		      int index)
{
	double *size = series_value(r, guest, GUEST_SIZE, 1);
	struct plot p = {
		.title = guest->name, .unit = UNIT_BYTES, .small = true, .guest = index
	};
	char note[64], text[UNIT_TEXT_MAX];
	int rc;

	if (!size)
		return -ENOMEM;
	p.top = series_extent(size, r->samples).most;
	free(size);
	snprintf(note, sizeof(note), "%s of RAM", unit_format(text, UNIT_BYTES, p.top));
	p.note = note;
	rc = add_figure(&p, r, guest, "resident", 0, PLOT_AREA, GUEST_RESIDENT);
	if (rc == 0)
		rc = add_figure(&p, r, guest, "swapped", 1, PLOT_LINE, GUEST_SWAPPED);
	if (rc == 0 && ever(r, guest, GUEST_WORKING_SET))
		rc = add_figure(&p, r, guest, "working set", 2, PLOT_DASHED, GUEST_WORKING_SET);
	if (rc == 0 && ever(r, guest, GUEST_BALLOON))
		rc = add_figure(&p, r, guest, "balloon", 4, PLOT_LINE, GUEST_BALLOON);
	if (rc == 0)
		rc = plot_write(to, r, &p);
	plot_free(&p);
	return rc;
}

static bool ever_of_guests(const struct report *r, int member)
{
	const struct report_thing *guest;

	for (size_t i = 0; (guest = report_thing(r, RECORD_GUEST, i)); i++)
		if (ever(r, guest, member))
			return true;
	return false;
}

/* A gauge is as it is, a counter by the second. */
static double *line_value(const struct report *r, const struct lines_of *l,
			  const struct report_thing *thing)
{
	if (record_groups[l->group].member[l->member].type == MEMBER_COUNTER)
		return series_rate(r, thing, l->member, l->scale);
	return series_value(r, thing, l->member, l->scale);
}

static int lines_plot(FILE *to, const struct report *r, const struct lines_of *l)
{
	struct plot p = { .title = l->title, .note = l->note, .unit = l->unit, .guest = -1 };
	const struct report_thing *thing;
	int rc = 0;

	for (int i = 0; rc == 0 && (thing = report_thing(r, l->group, (size_t)i)); i++) {
		rc = plot_add(&p, thing->name, i, PLOT_LINE, l->group == RECORD_GUEST ? i : -1,
			      line_value(r, l, thing));
		/* without faults there is no latency of any */
		if (rc == 0 && l->unit == UNIT_US)
			without_zeros(r, &p);
	}
	if (rc == 0 && p.lines > 0)
		rc = plot_write(to, r, &p);
	plot_free(&p);
	return rc;
}

static int guest_rates(FILE *to, const struct report *r)
{
	/* a daemon may have been one that does not tell them */
	bool knows = ever_of_guests(r, GUEST_INTERVAL_P99);
	const char *p99_note = knows ? "of the faults since the sample before; from a histogram"
				     : "of all since the guest was attached";
	int p99 = knows ? GUEST_INTERVAL_P99 : GUEST_P99;
	const struct lines_of plots[] = {
		{ "Faults", "pages that a guest waited for", RECORD_GUEST, GUEST_FAULTS,
		  UNIT_SECOND, 1 },
		{ "Fault latency, 99th percentile", p99_note, RECORD_GUEST, p99, UNIT_US, 1 },
		{ "Stalled: some vCPU waits", "share of time", RECORD_GUEST, GUEST_STALL_SOME,
		  UNIT_PERCENT, 1e-4 },
		{ "Stalled: all vCPUs wait", "share of time", RECORD_GUEST, GUEST_STALL_FULL,
		  UNIT_PERCENT, 1e-4 },
		{ "Paged in", NULL, RECORD_GUEST, GUEST_PAGES_IN, UNIT_BYTES_SECOND, PER_PAGE },
		{ "Paged out", NULL, RECORD_GUEST, GUEST_PAGES_OUT, UNIT_BYTES_SECOND,
		  PER_PAGE },
	};
	int rc = 0;

	for (size_t i = 0; i < sizeof(plots) / sizeof(plots[0]) && rc == 0; i++)
		rc = lines_plot(to, r, &plots[i]);
	return rc;
}

static int device_rates(FILE *to, const struct report *r)
{
	static const struct lines_of plots[] = {
		{ "Swap in use", NULL, RECORD_SWAP, SWAP_USED, UNIT_BYTES, 1 },
		{ "Read from swap", NULL, RECORD_SWAP, SWAP_READ_BYTES, UNIT_BYTES_SECOND, 1 },
		{ "Written to swap", NULL, RECORD_SWAP, SWAP_WRITE_BYTES, UNIT_BYTES_SECOND,
		  1 },
		{ "Read from disks", NULL, RECORD_DISK, DISK_READ_BYTES, UNIT_BYTES_SECOND, 1 },
		{ "Written to disks", NULL, RECORD_DISK, DISK_WRITE_BYTES, UNIT_BYTES_SECOND,
		  1 },
	};
	int rc = 0;

	for (size_t i = 0; i < sizeof(plots) / sizeof(plots[0]) && rc == 0; i++)
		rc = lines_plot(to, r, &plots[i]);
	return rc;
}

static int cache_plots(FILE *to, const struct report *r)
{
	const struct report_thing *cache = report_thing(r, RECORD_CACHE, 0);
	struct plot used = { .title = "Swapcache", .unit = UNIT_BYTES, .guest = -1 };
	struct plot reads = { .title = "Reads through the swapcache",
			      .unit = UNIT_BYTES_SECOND,
			      .guest = -1 };
	int rc;

	if (!cache || (!ever(r, cache, CACHE_CACHED) && !ever(r, cache, CACHE_READ_BYTES)))
		return 0;
	rc = add_figure(&used, r, cache, "swap in use by it", 0, PLOT_AREA, CACHE_USED);
	if (rc == 0)
		rc = add_figure(&used, r, cache, "cached of disks", 1, PLOT_LINE, CACHE_CACHED);
	if (rc == 0)
		rc = plot_add(&reads, "all reads of cached disks", 0, PLOT_LINE, -1,
			      series_rate(r, cache, CACHE_READ_BYTES, 1));
	if (rc == 0)
		rc = plot_add(&reads, "found on swap", 1, PLOT_AREA, -1,
			      series_rate(r, cache, CACHE_HIT_BYTES, 1));
	if (rc == 0)
		rc = plot_write(to, r, &used);
	if (rc == 0)
		rc = plot_write(to, r, &reads);
	plot_free(&used);
	plot_free(&reads);
	return rc;
}

static int plots_write(FILE *to, const struct report *r)
{
	const struct report_thing *guest;
	int rc;

	fputs("<h2>Host</h2>", to);
	rc = host_plot(to, r);
	if (rc == 0)
		rc = available_plot(to, r);
	if (report_thing(r, RECORD_GUEST, 0))
		fputs("<h2>Guests</h2><div class=\"many\">", to);
	for (int i = 0; rc == 0 && (guest = report_thing(r, RECORD_GUEST, (size_t)i)); i++)
		rc = guest_plot(to, r, guest, i);
	if (report_thing(r, RECORD_GUEST, 0))
		fputs("</div>", to);
	if (rc == 0)
		rc = guest_rates(to, r);
	if (report_thing(r, RECORD_SWAP, 0) || report_thing(r, RECORD_DISK, 0))
		fputs("<h2>Devices</h2>", to);
	if (rc == 0)
		rc = device_rates(to, r);
	if (rc == 0)
		rc = cache_plots(to, r);
	return rc;
}

static void write_notes(FILE *to, const struct report *r)
{
	char from[UNIT_TEXT_MAX], text[UNIT_TEXT_MAX];
	size_t gaps = 0;
	double lost = 0;

	for (size_t i = 1; i < r->samples; i++) {
		if (!r->gap[i])
			continue;
		gaps++;
		lost += r->t[i] - r->t[i - 1];
	}
	if (gaps)
		fprintf(to, "<p class=\"hint\">Nothing is known of %s, in %zu %s",
			unit_duration(text, lost), gaps, gaps == 1 ? "gap:" : "gaps:");
	for (size_t i = 1, n = 0; i < r->samples && n <= DASHES_MAX; i++) {
		if (!r->gap[i])
			continue;
		if (n++ == DASHES_MAX)
			fputs(", ...", to);
		else
			fprintf(to, "%s %s for %s", n > 1 ? "," : "",
				unit_time(from, r->t[i - 1], 1),
				unit_duration(text, r->t[i] - r->t[i - 1]));
	}
	if (gaps)
		fputs(". Plots are shaded there.</p>", to);
	if (r->torn)
		fprintf(to, "<p class=\"hint\">%zu %s of the record could not be read.</p>",
			r->torn, r->torn == 1 ? "line" : "lines");
	if (r->set_back)
		fprintf(to,
			"<p class=\"hint\">The clock of the host was set back %zu %s; times "
			"after that are moved.</p>",
			r->set_back, r->set_back == 1 ? "time" : "times");
}

static void write_boxes(FILE *to, const struct report *r)
{
	const struct report_thing *guest;

	if (report_count(r, RECORD_GUEST) < 2)
		return;
	fputs("<p class=\"boxes\" hidden>Show: ", to);
	for (size_t i = 0; (guest = report_thing(r, RECORD_GUEST, i)); i++) {
		fprintf(to,
			"<label><input type=\"checkbox\" checked data-g=\"%zu\"><i "
			"class=\"c%zu%s\"></i>",
			i, i % PLOT_COLORS, i >= PLOT_COLORS ? " dots" : "");
		html_text(to, guest->name);
		fputs("</label> ", to);
	}
	fputs("</p>", to);
}

static void write_head(FILE *to, const struct report *r, const char *nonce)
{
	double end = r->t[r->samples - 1];
	char from[UNIT_TEXT_MAX], till[UNIT_TEXT_MAX], text[UNIT_TEXT_MAX];
	double zone = unit_zone(r->t[0]);

	fprintf(to,
		"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
		"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
		"style-src 'unsafe-inline'; script-src 'nonce-%s'\">"
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
		"<meta name=\"color-scheme\" content=\"light dark\">"
		"<title>Drum on ",
		nonce);
	html_text(to, r->host);
	fprintf(to, "</title><style>%s</style></head>\n<body><main><h1>Drum on ", report_style);
	html_text(to, r->host);
	fprintf(to,
		"</h1><p class=\"period\">%s to %s (UTC%+03d:%02d), %s; %zu %s, one each "
		"%g "
		"s; drumctl ",
		unit_date(from, r->t[0]), unit_date(till, end), (int)(zone / 3600),
		(int)(fabs(zone) / 60) % 60, unit_duration(text, end - r->t[0]), r->samples,
		r->samples == 1 ? "sample" : "samples", r->delay);
	html_text(to, r->version);
	fputs("</p>\n", to);
}

int page_write(FILE *to, const struct report *r, const char *nonce)
{
	int rc;

	write_head(to, r, nonce);
	write_notes(to, r);
	tables_write(to, r);
	write_boxes(to, r);
	rc = plots_write(to, r);
	events_write(to, r);
	fprintf(to, "<script nonce=\"%s\">const columns=", nonce);
	plot_write_columns(to, r);
	fprintf(to, ", zone=%.0f;\n%s</script></main></body></html>\n",
		unit_zone(r->t[0]) * 1000, report_script);
	return rc;
}
