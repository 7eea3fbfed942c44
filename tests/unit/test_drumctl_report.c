/* SPDX-License-Identifier: BSD-2-Clause */
/* Reports, without a daemon: records as texts, series, points, the page. */
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "drumctl/record.h"
#include "drumctl/report_page.h"
#include "drumctl/report_plot.h"

#define HEADER "{\"drum-record\":1,\"version\":\"1.2\",\"host\":\"h\",\"t\":0,\"delay\":5}\n"
#define T0     1000000

static struct report r;
static struct err e;
static char *text; /* of the record */
static size_t text_len;
static FILE *record;

static void begin_record(void)
{
	setenv("TZ", "UTC0", 1);
	record = open_memstream(&text, &text_len);
	fputs(HEADER, record);
}

static void without_header(void)
{
	fclose(record);
	free(text);
	record = open_memstream(&text, &text_len);
}

static int read_record(void)
{
	FILE *f;
	int rc;

	fclose(record);
	f = fmemopen(text, text_len, "r");
	rc = report_read(f, "FILE", &r, &e);
	fclose(f);
	return rc;
}

static void end_report(void)
{
	report_free(&r);
	free(text);
	text = NULL;
}

TestSuite(report, .init = begin_record, .fini = end_report);

/* A sample at so many seconds, of one guest with so many faults. */
static void sample(double t, uint64_t faults)
{
	fprintf(record,
		"{\"t\":%.0f,\"host\":{\"budget\":7},\"guests\":[{\"name\":\"a\","
		"\"state\":\"attached\",\"size\":4096,\"faults\":%llu}]}\n",
		(T0 + t) * 1000, (unsigned long long)faults);
}

static const struct report_thing *guest(size_t n)
{
	return report_thing(&r, RECORD_GUEST, n);
}

/* --- reading ------------------------------------------------------------------- */

Test(report, figures_by_time)
{
	sample(0, 10);
	sample(5, 0);
	cr_assert(read_record() == 0, "%s", e.text);
	cr_expect(r.samples == 2 && r.t[0] == T0 && r.t[1] == T0 + 5);
	cr_expect_str_eq(r.version, "1.2");
	cr_expect_str_eq(r.host, "h");
	cr_assert(report_count(&r, RECORD_GUEST) == 1);
	cr_expect_str_eq(guest(0)->name, "a");
	cr_expect(report_number(&r, guest(0), GUEST_FAULTS, 0) == 10);
	cr_expect(report_number(&r, guest(0), GUEST_FAULTS, 1) == 0);
	cr_expect_str_eq(report_text(&r, guest(0), GUEST_STATE, 1), "attached");
	cr_expect(report_number(&r, report_thing(&r, RECORD_HOST, 0), HOST_BUDGET, 0) == 7);
	/* what is left out is 0, and what is not text is none */
	cr_expect(report_number(&r, guest(0), GUEST_SWAPPED, 0) == 0);
	cr_expect(!report_thing(&r, RECORD_SWAP, 0) && !guest(1));
}

Test(report, guests_come_and_go)
{
	sample(0, 1);
	fprintf(record, "{\"t\":%d,\"guests\":[{\"name\":\"b\",\"faults\":2}]}\n",
		(T0 + 5) * 1000);
	fprintf(record, "{\"t\":%d,\"guests\":[]}\n", (T0 + 10) * 1000);
	sample(15, 3);
	cr_assert(read_record() == 0, "%s", e.text);
	cr_assert(report_count(&r, RECORD_GUEST) == 2);
	cr_expect(report_number(&r, guest(0), GUEST_FAULTS, 0) == 1);
	cr_expect(isnan(report_number(&r, guest(0), GUEST_FAULTS, 1)));
	cr_expect(isnan(report_number(&r, guest(0), GUEST_FAULTS, 2)));
	cr_expect(report_number(&r, guest(0), GUEST_FAULTS, 3) == 3);
	cr_expect(isnan(report_number(&r, guest(1), GUEST_FAULTS, 0)));
	cr_expect(report_number(&r, guest(1), GUEST_FAULTS, 1) == 2);
	cr_expect(isnan(report_number(&r, guest(1), GUEST_FAULTS, 2)));
	cr_expect_str_empty(report_text(&r, guest(1), GUEST_STATE, 3));
}

/* Killed in the middle of a line, a full disk, a machine that lost power. */
Test(report, torn_lines_are_left_out)
{
	static const char zeros[100];

	sample(0, 1);
	fputs("{\"t\":1000005000,\"guests\":[{\"na\n", record);
	sample(5, 2);
	fwrite(zeros, 1, sizeof(zeros), record);
	fputc('\n', record);
	fputs("[1]\n", record);
	sample(10, 3);
	fputs("{\"t\":10000150", record);
	cr_assert(read_record() == 0, "%s", e.text);
	cr_expect(r.samples == 3, "%zu", r.samples);
	cr_expect(r.torn == 4, "%zu", r.torn);
}

Test(report, what_is_unknown_is_left_out)
{
	sample(0, 1);
	fputs("{\"news\":1}\n", record);
	fputs("{\"t\":1000005000,\"guests\":{\"name\":1},\"host\":[],\"new\":{},"
	      "\"swap\":[1,{\"path\":2,\"size\":\"x\",\"used\":-1,\"new\":[]}]}\n",
	      record);
	cr_assert(read_record() == 0, "%s", e.text);
	cr_expect(r.samples == 2 && r.torn == 0);
	cr_expect(report_number(&r, report_thing(&r, RECORD_SWAP, 0), SWAP_USED, 1) == 0);
}

Test(report, no_record)
{
	without_header();
	fputs("{\"t\":1}\n" HEADER, record);
	cr_expect(read_record() == -EINVAL);
	cr_expect_str_eq(e.text, "FILE is no record");
}

Test(report, no_samples)
{
	cr_expect(read_record() == -ENODATA);
	cr_expect_str_eq(e.text, "FILE has no samples yet");
}

Test(report, gaps)
{
	sample(0, 1);
	sample(5, 1);
	fputs("{\"gap\":\"lost drumd\",\"t\":1}\n", record);
	sample(10, 1);
	sample(24, 1); /* late, but no gap */
	sample(40, 1); /* three delays */
	fputs(HEADER, record);
	sample(45, 1);
	sample(50, 1);
	cr_assert(read_record() == 0, "%s", e.text);
	const bool expected[] = { false, false, true, false, true, true, false };
	for (size_t i = 0; i < 7; i++)
		cr_expect(r.gap[i] == expected[i], "%zu", i);
}

Test(report, a_clock_that_is_set_back)
{
	sample(100, 1);
	sample(105, 2);
	sample(50, 3);
	sample(55, 4);
	cr_assert(read_record() == 0, "%s", e.text);
	cr_expect(r.set_back == 1);
	cr_expect(r.t[2] == T0 + 110 && r.t[3] == T0 + 115, "%f %f", r.t[2] - T0, r.t[3] - T0);
}

Test(report, events)
{
	sample(0, 1);
	fprintf(record,
		"{\"event\":\"SWAP_LOW\",\"data\":{\"free\":5,\"path\":\"/a b\"},"
		"\"timestamp\":{\"seconds\":%d,\"microseconds\":500000}}\n",
		T0 + 2);
	cr_assert(read_record() == 0, "%s", e.text);
	cr_assert(r.events == 1);
	cr_expect(r.event[0].t == T0 + 2.5);
	cr_expect_str_eq(r.event[0].name, "SWAP_LOW");
	cr_expect_str_eq(r.event[0].text, "free=5 path=/a b");
	cr_expect(event_is_bad("SWAP_LOW") && !event_is_bad("GUEST_ATTACHED"));
}

/* --- series -------------------------------------------------------------------- */

Test(report, rates)
{
	double *v;

	sample(0, 100);
	sample(5, 150);
	sample(10, 30); /* another pager */
	sample(15, 30);
	fputs("{\"gap\":\"\",\"t\":1}\n", record);
	sample(20, 1000000);
	sample(30, 1000100);
	cr_assert(read_record() == 0, "%s", e.text);
	v = series_rate(&r, guest(0), GUEST_FAULTS, 2);
	cr_expect(isnan(v[0]));
	cr_expect(v[1] == 20, "%f", v[1]);
	cr_expect(isnan(v[2]), "a counter that began anew: %f", v[2]);
	cr_expect(v[3] == 0);
	cr_expect(isnan(v[4]), "over a gap: %f", v[4]);
	cr_expect(v[5] == 20, "%f", v[5]);
	free(v);
	/* what was not watched is in totals all the same */
	cr_expect(series_total(&r, guest(0), GUEST_FAULTS) == 50 + 30 + 999970 + 100);
}

Test(report, extents)
{
	const double v[] = { NAN, 3, 1, NAN, 2, NAN };
	struct series_extent x = series_extent(v, 6);

	sample(0, 1);
	cr_assert(read_record() == 0);
	cr_expect(x.least == 1 && x.most == 3 && x.mean == 2 && x.last == 2);
	cr_expect(isnan(series_extent(v, 1).most));
}

/* Of many samples in a column its ends, the least and the most are kept, in order. */
Test(report, points_keep_spikes)
{
	struct series_point *p;
	double *v;
	ssize_t n;
	bool most = false, least = false;

	for (int i = 0; i <= 10000; i++)
		sample(5 * i, 0);
	cr_assert(read_record() == 0, "%s", e.text);
	v = malloc(r.samples * sizeof(*v));
	for (size_t i = 0; i < r.samples; i++)
		v[i] = i == 5001 ? 99 : i == 5003 ? -99 : 1 + (double)(i % 2);
	n = series_points(&r, v, 100, &p);
	cr_expect(n > 100 && n <= 404, "%zd points", n);
	for (ssize_t i = 0; i < n; i++) {
		most |= p[i].y == 99;
		least |= p[i].y == -99;
		cr_expect(p[i].begins == (i == 0));
		cr_expect(i == 0 || p[i].x >= p[i - 1].x);
	}
	cr_expect(most && least);
	cr_expect(p[0].x == 0 && p[n - 1].x == 100);
	free(p);
	free(v);
}

Test(report, points_break_where_nothing_is_known)
{
	const double v[] = { 1, 2, NAN, 4, 5, 6 };
	const struct series_point expected[] = {
		{ 0, 1, true },	 { 20, 2, false },  { 60, 4, true },
		{ 80, 5, true }, { 100, 6, false },
	};
	struct series_point *p;

	for (int i = 0; i < 6; i++) {
		if (i == 4)
			fputs("{\"gap\":\"\",\"t\":1}\n", record);
		sample(5 * i, 0);
	}
	cr_assert(read_record() == 0, "%s", e.text);
	cr_assert(series_points(&r, v, 100, &p) == 5);
	for (int i = 0; i < 5; i++)
		cr_expect(p[i].x == expected[i].x && p[i].y == expected[i].y &&
				  p[i].begins == expected[i].begins,
			  "%d: %f %f %d", i, p[i].x, p[i].y, p[i].begins);
	free(p);
}

/* A gap within a column: the line stops and begins in it. */
Test(report, points_break_within_a_column)
{
	const double v[] = { 1, 1, 1, 1 };
	struct series_point *p;

	sample(0, 0);
	sample(1, 0);
	fputs("{\"gap\":\"\",\"t\":1}\n", record);
	sample(2, 0);
	sample(1000, 0);
	cr_assert(read_record() == 0, "%s", e.text);
	cr_assert(series_points(&r, v, 10, &p) == 4);
	cr_expect(p[0].begins && !p[1].begins && p[2].begins && p[3].begins);
	free(p);
}

/* => us, of {"max-us":9000,"buckets":[..]} with these counts, cumulative, up to 10, 20, 40, ...
 */
static double percentile(const char *before, const char *now, double share)
{
	static const char form[] = "{\"max-us\":9000,\"buckets\":[{\"le-us\":10,\"count\":%d},"
				   "{\"le-us\":20,\"count\":%d},{\"le-us\":40,\"count\":%d},"
				   "{\"count\":%d}]}";
	struct json_object *o[2];
	const char *of[] = { before, now };
	double us;

	for (int i = 0; i < 2; i++) {
		char json[256];
		int n[4];

		cr_assert(sscanf(of[i], "%d %d %d %d", &n[0], &n[1], &n[2], &n[3]) == 4);
		snprintf(json, sizeof(json), form, n[0], n[1], n[2], n[3]);
		o[i] = json_tokener_parse(json);
	}
	us = record_percentile(o[0], o[1], share);
	json_object_put(o[0]);
	json_object_put(o[1]);
	return us;
}

Test(report, percentiles_between_two_looks)
{
	sample(0, 1);
	cr_assert(read_record() == 0);
	cr_expect(percentile("0 0 0 0", "0 100 100 100", 0.5) == 15);
	cr_expect(percentile("5 100 100 100", "5 200 200 200", 0.99) == 19.9);
	/* what was before does not count, however much it was */
	cr_expect(percentile("9999 9999 9999 9999", "9999 9999 10000 10000", 0.5) == 30);
	cr_expect(percentile("0 0 0 0", "0 0 0 2", 0.5) == 40 + 8960 / 2);
	cr_expect(percentile("7 8 9 9", "7 8 9 9", 0.5) == 0, "no faults");
	cr_expect(percentile("7 8 9 10", "1 1 1 1", 0.5) == 0, "it began anew");
	cr_expect(percentile("7 8 8 10", "0 1 9 11", 0.5) == 0, "it began anew");
	cr_expect(record_percentile(NULL, NULL, 0.5) == 0);
}

/* --- axes ---------------------------------------------------------------------- */

#define expect_text(call, expected)                                                            \
	do {                                                                                   \
		char buf[UNIT_TEXT_MAX];                                                       \
		const char *is = call;                                                         \
		cr_expect_str_eq(is, expected, "%s: %s", #call, is);                           \
	} while (0)

Test(report, texts)
{
	sample(0, 1);
	cr_assert(read_record() == 0);
	expect_text(unit_format(buf, UNIT_BYTES, 0), "0");
	expect_text(unit_format(buf, UNIT_BYTES, 1536.0 * (1 << 20)), "1.5 GiB");
	expect_text(unit_format(buf, UNIT_BYTES, 1023.9 * 1024), "1 MiB");
	expect_text(unit_format(buf, UNIT_BYTES, 12.34 * 1024), "12.3 KiB");
	expect_text(unit_format(buf, UNIT_BYTES_SECOND, 700), "700 B/s");
	expect_text(unit_format(buf, UNIT_US, 340), "340 µs");
	expect_text(unit_format(buf, UNIT_US, 1234), "1.23 ms");
	expect_text(unit_format(buf, UNIT_US, 2e9), "2000 s");
	expect_text(unit_format(buf, UNIT_PERCENT, 0.12), "0.12 %");
	expect_text(unit_format(buf, UNIT_SECOND, 12345), "12\u202f345/s");
	expect_text(unit_format(buf, UNIT_COUNT, 1234567), "1\u202f234\u202f567");
	expect_text(unit_format(buf, UNIT_COUNT, NAN), "–");
	expect_text(unit_duration(buf, 59.6), "1 min 0 s");
	expect_text(unit_duration(buf, 7500), "2 h 5 min");
	expect_text(unit_duration(buf, 90000), "1 d 1 h");
	expect_text(unit_time(buf, 3600, 60), "01:00");
	expect_text(unit_time(buf, 3605, 5), "01:00:05");
	expect_text(unit_time(buf, 86400, 7200), "Jan 2");
	expect_text(unit_date(buf, 86400), "1970-01-02 00:00:00");
}

Test(report, steps)
{
	sample(0, 1);
	cr_assert(read_record() == 0);
	cr_expect(unit_step(UNIT_BYTES, 1024, 4) == 256);
	cr_expect(unit_step(UNIT_BYTES, 1025, 4) == 512);
	cr_expect(unit_step(UNIT_COUNT, 100, 5) == 20);
	cr_expect(unit_step(UNIT_COUNT, 101, 5) == 50);
	cr_expect(fabs(unit_step(UNIT_PERCENT, 0.3, 4) - 0.1) < 1e-12);
	cr_expect(unit_step(UNIT_COUNT, 0, 4) > 0);
	cr_expect(unit_time_step(3600, 10) == 600);
	cr_expect(unit_time_step(10, 10) == 1);
	cr_expect(unit_time_step(0, 10) == 1);
	cr_expect(unit_time_step(1e9, 10) >= 1e8);
}

/* --- the page ------------------------------------------------------------------ */

static char *page(void)
{
	char *html = NULL;
	size_t len;
	FILE *f = open_memstream(&html, &len);

	cr_assert(page_write(f, &r, "nonce0") == 0);
	fclose(f);
	return html;
}

/* Nothing that a record has can become HTML. */
Test(report, a_page_escapes_everything)
{
	static const char evil[] = "</script><img src=x onerror=alert(1)>&\\\"'";
	char *html;

	without_header();
	fprintf(record, "{\"drum-record\":1,\"version\":\"%s\",\"host\":\"%s\",\"delay\":5}\n",
		evil, evil);
	for (int i = 0; i < 3; i++)
		fprintf(record,
			"{\"t\":%d,\"host\":{\"level\":\"%s\",\"budget\":1},\"guests\":["
			"{\"name\":\"%s\",\"state\":\"%s\"},{\"name\":\"b\"}],\"swap\":[{"
			"\"path\":\"%s\",\"type\":\"%s\",\"state\":\"%s\"}],\"disks\":[{"
			"\"name\":"
			"\"%s\",\"guest\":\"%s\",\"state\":\"%s\"}],\"swapcache\":{\"state\":"
			"\"%s\",\"read-bytes\":%d}}\n",
			(T0 + 5 * i) * 1000, evil, evil, evil, evil, evil, evil, evil, evil,
			evil, evil, i + 1);
	fprintf(record, "{\"event\":\"%s\",\"data\":{\"%s\":\"%s\"}}\n", evil, evil, evil);
	cr_assert(read_record() == 0, "%s", e.text);
	html = page();
	cr_expect(!strstr(html, "<img"), "%.80s", strstr(html, "<img") - 40);
	cr_expect(strstr(html, "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;&amp;&quot;"
			       "&#39;"));
	/* one script, ours */
	cr_expect(strstr(html, "<script nonce=\"nonce0\">") == strstr(html, "<script"));
	cr_expect(!strstr(strstr(html, "<script") + 1, "<script"));
	cr_expect(strstr(html, "script-src 'nonce-nonce0'"));
	free(html);
}

static size_t count(const char *in, const char *what)
{
	size_t n = 0;

	for (; (in = strstr(in, what)); in++)
		n++;
	return n;
}

Test(report, a_page_has_plots_of_what_there_is)
{
	char *html;

	sample(0, 1);
	sample(5, 2);
	fputs("{\"gap\":\"\",\"t\":1}\n", record);
	sample(10, 3);
	cr_assert(read_record() == 0, "%s", e.text);
	html = page();
	/* the host, the guest, six of rates; no devices */
	cr_expect(count(html, "<figure") == 8, "%zu", count(html, "<figure"));
	cr_expect(count(html, "<svg") == 8 && count(html, "</svg>") == 8);
	cr_expect(!strstr(html, "<h2>Devices"));
	cr_expect(count(html, "class=\"gap\"") == 8);
	cr_expect(strstr(html, "Nothing is known of 5 s, in 1 gap: 13:46:45 for 5 s."));
	cr_expect(!strstr(html, "nan") && !strstr(html, "inf\""));
	cr_expect(!strstr(html, "http://") && !strstr(html, "https://"));
	free(html);
}

/* One sample has no extent in time, and makes a page all the same. */
Test(report, a_page_of_one_sample)
{
	char *html;

	sample(0, 1);
	cr_assert(read_record() == 0, "%s", e.text);
	html = page();
	cr_expect(!strstr(html, "nan") && !strstr(html, "inf\""));
	cr_expect(strstr(html, " 1 sample,"));
	free(html);
}

/* Of no calendar: neither a sample nor an event, and no axis without an end. */
Test(report, times_that_are_none)
{
	static const char *const times[] = { "1e300",
					     "-1",
					     "1e999",
					     "NaN",
					     "-Infinity",
					     "\"x\"",
					     "null",
					     "[]",
					     "253402300799001",
					     "9223372036854775807" };
	char *html;

	sample(0, 1);
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		fprintf(record, "{\"t\":%s,\"guests\":[{\"name\":\"b\"}]}\n", times[i]);
		fprintf(record, "{\"event\":\"E\",\"timestamp\":{\"seconds\":%s}}\n", times[i]);
	}
	sample(5, 2);
	cr_assert(read_record() == 0, "%s", e.text);
	cr_expect(r.samples == 2 && r.t[1] == T0 + 5, "%zu", r.samples);
	cr_expect(r.events == 0 && r.set_back == 0 && !guest(1), "%zu", r.events);
	cr_expect(r.torn == 20, "%zu", r.torn);
	html = page();
	cr_expect(!strstr(html, "nan") && !strstr(html, "inf\""));
	free(html);
}

/* The last second that is one; and what would be set behind it as the clock was set back. */
Test(report, the_end_of_time)
{
	char *html;

	sample(0, 1);
	fputs("{\"t\":253402300799000}\n", record);
	sample(5, 2);
	cr_assert(read_record() == 0, "%s", e.text);
	cr_expect(r.samples == 2 && r.t[1] == 253402300799.0, "%zu", r.samples);
	cr_expect(r.torn == 1, "%zu", r.torn);
	html = page();
	cr_expect(strlen(html) < 1 << 20);
	free(html);
}
