/* SPDX-License-Identifier: BSD-2-Clause */
/* The text of metrics: both formats byte by byte, and that all that the registry has is there.
 */
#include <ctype.h>
#include <stdio.h>

#include "control/metrics_serve.h"
#include "unit/command_run.h"

struct thing {
	uint64_t size, wait, hot, cold;
	uint32_t share, factor;
	int level;
	bool busy;
	char state[16];
};

static const struct figure thing_figures[] = {
	FIGURE(thing, "size", SIZE, size, GAUGE, "thing_size_bytes", NULL,
	       "Its \"size\",\n and \\ more."),
	FIGURE(thing, "hot", COUNT, hot, COUNTER, "swap_requests", "op=\"hot\"", "Hot ones."),
	FIGURE(thing, "state", TEXT, state, INFO, NULL, NULL, "What it does."),
	FIGURE(thing, "wait-us", US, wait, COUNTER, "thing_wait_seconds", NULL, "It waited."),
	FIGURE(thing, "cold", COUNT, cold, COUNTER, "swap_requests", "op=\"cold\"",
	       "Cold ones."),
	FIGURE(thing, "share", PERCENT, share, GAUGE, "thing_share_ratio", NULL, "Its share."),
	FIGURE(thing, "factor", RATIO, factor, GAUGE, "thing_factor", NULL, "Its factor."),
	FIGURE(thing, "level", INT, level, GAUGE, "thing_level", NULL, "Its level."),
	FIGURE(thing, "busy", BOOL, busy, GAUGE, "thing_busy", NULL, "Whether it is."),
	{ 0 },
};

/* Another table with a family of the first one. */
static const struct figure other_figures[] = {
	FIGURE(thing, "cold", COUNT, cold, COUNTER, "swap_requests", "op=\"other\"", "Others."),
	{ 0 },
};

static const struct thing things[] = {
	{ .size = UINT64_MAX,
	  .wait = 1500000000,
	  .hot = 1,
	  .cold = 2,
	  .share = 250000,
	  .factor = 1250,
	  .level = -5,
	  .busy = true },
	{ .wait = 1, .share = 1, .factor = 7 },
};

static const struct metrics_object objects[] = { { "a", &things[0] }, { "b", &things[1] } };

static char *text_of(const struct metrics_set *sets, size_t n, const struct metrics_more *more,
		     enum metrics_format format)
{
	char *text, *ended;
	size_t len;

	cr_assert_eq(metrics_text(sets, n, more, format, &text, &len), 0);
	ended = strndup(text, len);
	cr_assert_eq(strlen(ended), len);
	free(text);
	return ended;
}

static char *golden(enum metrics_format format)
{
	const struct metrics_set sets[] = {
		{ .rows = thing_figures, .label = "device", .object = objects, .n = 2 },
		{ .rows = other_figures, .object = objects, .n = 1 },
		{ .rows = swap_ram_figures, .label = "device" }, /* there is none */
	};
	const struct metrics_more more = { .version = "1.2.3", .qmp_clients = 3 };

	return text_of(sets, 3, &more, format);
}

Test(metrics, prometheus)
{
	char *text = golden(METRICS_PROMETHEUS);

	cr_expect_str_eq(
		text, "# HELP drum_thing_size_bytes Its \"size\",\\n and \\\\ more.\n"
		      "# TYPE drum_thing_size_bytes gauge\n"
		      "drum_thing_size_bytes{device=\"a\"} 18446744073709551615\n"
		      "drum_thing_size_bytes{device=\"b\"} 0\n"
		      "# HELP drum_swap_requests_total I/O requests that the device has done.\n"
		      "# TYPE drum_swap_requests_total counter\n"
		      "drum_swap_requests_total{device=\"a\",op=\"hot\"} 1\n"
		      "drum_swap_requests_total{device=\"a\",op=\"cold\"} 2\n"
		      "drum_swap_requests_total{device=\"b\",op=\"hot\"} 0\n"
		      "drum_swap_requests_total{device=\"b\",op=\"cold\"} 0\n"
		      "drum_swap_requests_total{op=\"other\"} 2\n"
		      "# HELP drum_thing_wait_seconds_total It waited.\n"
		      "# TYPE drum_thing_wait_seconds_total counter\n"
		      "drum_thing_wait_seconds_total{device=\"a\"} 1.5\n"
		      "drum_thing_wait_seconds_total{device=\"b\"} 0.000000001\n"
		      "# HELP drum_thing_share_ratio Its share.\n"
		      "# TYPE drum_thing_share_ratio gauge\n"
		      "drum_thing_share_ratio{device=\"a\"} 0.25\n"
		      "drum_thing_share_ratio{device=\"b\"} 0.000001\n"
		      "# HELP drum_thing_factor Its factor.\n"
		      "# TYPE drum_thing_factor gauge\n"
		      "drum_thing_factor{device=\"a\"} 1.25\n"
		      "drum_thing_factor{device=\"b\"} 0.007\n"
		      "# HELP drum_thing_level Its level.\n"
		      "# TYPE drum_thing_level gauge\n"
		      "drum_thing_level{device=\"a\"} -5\n"
		      "drum_thing_level{device=\"b\"} 0\n"
		      "# HELP drum_thing_busy Whether it is.\n"
		      "# TYPE drum_thing_busy gauge\n"
		      "drum_thing_busy{device=\"a\"} 1\n"
		      "drum_thing_busy{device=\"b\"} 0\n"
		      "# HELP drum_build_info The version of Drum.\n"
		      "# TYPE drum_build_info gauge\n"
		      "drum_build_info{version=\"1.2.3\"} 1\n"
		      "# HELP drum_qmp_clients Clients that are connected by QMP.\n"
		      "# TYPE drum_qmp_clients gauge\n"
		      "drum_qmp_clients 3\n");
	free(text);
}

Test(metrics, open_metrics)
{
	char *text = golden(METRICS_OPENMETRICS);

	cr_expect_str_eq(text,
			 "# HELP drum_thing_size_bytes Its \\\"size\\\",\\n and \\\\ more.\n"
			 "# TYPE drum_thing_size_bytes gauge\n"
			 "# UNIT drum_thing_size_bytes bytes\n"
			 "drum_thing_size_bytes{device=\"a\"} 18446744073709551615\n"
			 "drum_thing_size_bytes{device=\"b\"} 0\n"
			 "# HELP drum_swap_requests I/O requests that the device has done.\n"
			 "# TYPE drum_swap_requests counter\n"
			 "drum_swap_requests_total{device=\"a\",op=\"hot\"} 1\n"
			 "drum_swap_requests_total{device=\"a\",op=\"cold\"} 2\n"
			 "drum_swap_requests_total{device=\"b\",op=\"hot\"} 0\n"
			 "drum_swap_requests_total{device=\"b\",op=\"cold\"} 0\n"
			 "drum_swap_requests_total{op=\"other\"} 2\n"
			 "# HELP drum_thing_wait_seconds It waited.\n"
			 "# TYPE drum_thing_wait_seconds counter\n"
			 "# UNIT drum_thing_wait_seconds seconds\n"
			 "drum_thing_wait_seconds_total{device=\"a\"} 1.5\n"
			 "drum_thing_wait_seconds_total{device=\"b\"} 0.000000001\n"
			 "# HELP drum_thing_share_ratio Its share.\n"
			 "# TYPE drum_thing_share_ratio gauge\n"
			 "# UNIT drum_thing_share_ratio ratio\n"
			 "drum_thing_share_ratio{device=\"a\"} 0.25\n"
			 "drum_thing_share_ratio{device=\"b\"} 0.000001\n"
			 "# HELP drum_thing_factor Its factor.\n"
			 "# TYPE drum_thing_factor gauge\n"
			 "drum_thing_factor{device=\"a\"} 1.25\n"
			 "drum_thing_factor{device=\"b\"} 0.007\n"
			 "# HELP drum_thing_level Its level.\n"
			 "# TYPE drum_thing_level gauge\n"
			 "drum_thing_level{device=\"a\"} -5\n"
			 "drum_thing_level{device=\"b\"} 0\n"
			 "# HELP drum_thing_busy Whether it is.\n"
			 "# TYPE drum_thing_busy gauge\n"
			 "drum_thing_busy{device=\"a\"} 1\n"
			 "drum_thing_busy{device=\"b\"} 0\n"
			 "# HELP drum_build The version of Drum.\n"
			 "# TYPE drum_build info\n"
			 "drum_build_info{version=\"1.2.3\"} 1\n"
			 "# HELP drum_qmp_clients Clients that are connected by QMP.\n"
			 "# TYPE drum_qmp_clients gauge\n"
			 "drum_qmp_clients 3\n"
			 "# EOF\n");
	free(text);
}

static void expect_name(const char *name, const char *shown)
{
	const struct metrics_object object = { name, &things[0] };
	const struct metrics_set set = { other_figures, "device", &object, 1 };
	const struct metrics_more more = { .version = "" };
	char *text = text_of(&set, 1, &more, METRICS_PROMETHEUS), line[256];

	snprintf(line, sizeof(line),
		 "\ndrum_swap_requests_total{device=\"%s\",op=\"other\"} 2\n", shown);
	cr_expect(strstr(text, line), "%s is not in %s", line, text);
	free(text);
}

Test(metrics, names_are_escaped)
{
	expect_name("/dev/sda", "/dev/sda");
	expect_name("a\"b\\c\nd", "a\\\"b\\\\c\\nd");
	expect_name("gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f");
	expect_name("\xe2\x82\xac\xf0\x9f\x92\xbe", "\xe2\x82\xac\xf0\x9f\x92\xbe");
	/* what is no UTF-8: alone, cut off, too long, a surrogate, beyond the last */
	expect_name("gr\xfc\xdf", "gr\\\\xFC\\\\xDF");
	expect_name("a\xe2\x82", "a\\\\xE2\\\\x82");
	expect_name("\xc0\xaf", "\\\\xC0\\\\xAF");
	expect_name("\xed\xa0\x80", "\\\\xED\\\\xA0\\\\x80");
	expect_name("\xf4\x90\x80\x80", "\\\\xF4\\\\x90\\\\x80\\\\x80");
	expect_name("\xff", "\\\\xFF");
}

/* --- the registry --------------------------------------------------------------------- */

TestSuite(metrics_all, .init = setup, .fini = teardown);

static char *all;

/* A guest that nothing is missing of, one that is admitted only, devices, and a disk. */
static void populate(void)
{
	struct manager_guest known = { .attached = true,
				       .full_known = true,
				       .guest_tells = true,
				       .monitor = "up",
				       .balloon = "idle" };
	size_t len;
	char *text;

	run("guest-attach", "{\"pid\":1,\"name\":\"a\"}");
	fake_manager_show(manager, "a", &known);
	run("guest-admit", "{\"name\":\"b\",\"memory\":1048576}");
	run("swap-on", "{\"path\":\"ram:64M\"}");
	run("swap-on", "{\"path\":\"/swap\",\"endurance\":2000000000}");
	run("disk-add", "{\"name\":\"web\",\"image\":\"/web.img\"}");
	fake_host_connect(host, "web", "a", 1);
	run("host-set", "{\"budget\":4294967296}");
	cr_assert_eq(metrics_collect(host, manager, NULL, METRICS_PROMETHEUS, &text, &len), 0);
	all = strndup(text, len);
	free(text);
}

/* of the object that lacks nothing; wear is not noted of RAM */
static const char *label_of(const struct object_type *t, const struct figure *rows)
{
	if (t == &guest_object)
		return "guest=\"a\"";
	if (rows == swap_wear_figures || rows == swap_left_figures)
		return "device=\"/swap\"";
	return t == &swap_object   ? "device=\"ram:64M\""
	       : t == &disk_object ? "disk=\"web\""
				   : "";
}

static size_t samples;

static void expect_rows(const struct object_type *t)
{
	for (int i = 0; i < OBJECT_PARTS_MAX && t->part[i]; i++)
		for (const struct figure *f = t->part[i]; f->name; f++) {
			const char *label = label_of(t, t->part[i]);
			const char *own = f->label ? f->label : "";
			bool labels = *label || *own;
			char line[256];

			if (!f->metric)
				continue;
			snprintf(line, sizeof(line), "\ndrum_%s%s%s%s%s%s%s ", f->metric,
				 f->kind == FIGURE_COUNTER ? "_total" : "", labels ? "{" : "",
				 label, *label && *own ? "," : "", own, labels ? "}" : "");
			cr_expect(strstr(all, line), "%s.%s: no%s", t->name, f->name, line);
			samples++;
		}
}

static void each_object(const struct object_type *t)
{
	expect_rows(t);
	for (int i = 0; i < OBJECT_PARTS_MAX && t->part[i]; i++)
		for (const struct figure *f = t->part[i]; f->name; f++)
			if (f->of)
				each_object(f->of);
}

Test(metrics_all, every_row_is_told_of_each_object)
{
	populate();
	for (const struct command *c = commands; c->name; c++)
		if (c->returns)
			each_object(c->returns);
	cr_expect_gt(samples, 100);
	/* of those that lack something, the rest */
	cr_expect(strstr(all, "\ndrum_guest_size_bytes{guest=\"b\"} 1048576\n"));
	cr_expect(strstr(all, "\ndrum_guest_reservation_bytes{guest=\"b\"} 0\n"));
	cr_expect_not(strstr(all, "drum_guest_own_free_bytes{guest=\"b\"}"));
	cr_expect_not(strstr(all, "drum_guest_fault_latency_seconds_count{guest=\"b\"}"));
	cr_expect(strstr(all, "\ndrum_swap_size_bytes{device=\"/swap\"} "));
	cr_expect_not(strstr(all, "drum_swap_ram_pages{device=\"/swap\"}"));
	free(all);
}

Test(metrics_all, texts_are_labels)
{
	populate();
	for (const char *const *want =
		     (const char *const[]){
			     "drum_guest_info{guest=\"a\",state=\"running\"} 1",
			     "drum_guest_info{guest=\"b\",state=\"admitted\"} 1",
			     "drum_guest_monitor_info{guest=\"a\",monitor=\"up\",balloon="
			     "\"idle\",domain=\"\"} 1",
			     "drum_swap_info{device=\"ram:64M\",type=\"ram\",state=\"on\"} 1",
			     "drum_disk_info{disk=\"web\",state=\"connected\"} 1",
			     "drum_disk_guest_info{disk=\"web\",guest=\"a\"} 1",
			     "drum_host_info{level=\"soft\"} 1",
			     "drum_guest_swap_bytes{guest=\"a\",device=\"ram:64M\"} 268435456",
			     NULL };
	     *want; want++)
		cr_expect(strstr(all, *want), "no %s", *want);
	free(all);
}

Test(metrics_all, latency_is_a_histogram)
{
	populate();
	for (const char *const *want =
		     (const char *const[]){ "_bucket{guest=\"a\",le=\"1.024e-06\"} 0\n",
					    "_bucket{guest=\"a\",le=\"4.096e-06\"} 500\n",
					    "_bucket{guest=\"a\",le=\"0.001048576\"} 999\n",
					    "_bucket{guest=\"a\",le=\"17.179869184\"} 999\n",
					    "_bucket{guest=\"a\",le=\"+Inf\"} 1000\n",
					    "_sum{guest=\"a\"} 20\n",
					    "_count{guest=\"a\"} 1000\n", NULL };
	     *want; want++) {
		char line[128];

		snprintf(line, sizeof(line), "\ndrum_guest_fault_latency_seconds%s", *want);
		cr_expect(strstr(all, line), "no%s", line);
	}
	free(all);
}

/* --- what readers ask of names ----------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n > m && !strcmp(text + n - m, end);
}

static void check_family(const char *name, const char *type)
{
	static const char *const bad[] = { "milliseconds", "microseconds", "us",     "ms", "kb",
					   "mib",	   "pages_bytes",  "percent" };

	for (const char *p = name; *p; p++)
		cr_expect(islower((unsigned char)*p) || isdigit((unsigned char)*p) || *p == '_',
			  "%s", name);
	cr_expect_eq(!strcmp(type, "counter"), ends_with(name, "_total"), "%s", name);
	if (strcmp(type, "histogram") != 0)
		cr_expect(!ends_with(name, "_bucket") && !ends_with(name, "_count") &&
				  !ends_with(name, "_sum"),
			  "%s", name);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char end[32];

		snprintf(end, sizeof(end), "_%s", bad[i]);
		cr_expect_not(ends_with(name, end), "%s", name);
	}
}

Test(metrics_all, families_stand_together_and_are_well_named)
{
	char family[128] = "", *line, *save, seen[65536] = "\n";
	size_t families = 0;

	populate();
	for (line = strtok_r(all, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char name[128], type[32], once[160];

		if (sscanf(line, "# TYPE %127s %31s", name, type) == 2) {
			cr_expect_str_eq(name, family, "TYPE after its HELP");
			check_family(name, type);
		} else if (sscanf(line, "# HELP %127s", family) == 1) {
			snprintf(once, sizeof(once), "\n%s\n", family);
			cr_expect_not(strstr(seen, once), "%s is there twice", family);
			strcat(seen, once + 1);
			cr_expect(ends_with(line, "."), "%s", line);
			families++;
		} else {
			cr_expect_eq(strncmp(line, family, strlen(family)), 0, "%s below %s",
				     line, family);
		}
	}
	cr_expect_gt(families, 80);
	free(all);
}

/* A row's own words stand alone: who reads them sees no row before it. */
static void expect_help(const struct object_type *t)
{
	static const char *const bad[] = {
		"The same", "Of these", "What of that", "Likewise",
		"Those ",   "Writes.",	"Discards.",	"Of faults"
	};

	for (int i = 0; i < OBJECT_PARTS_MAX && t->part[i]; i++)
		for (const struct figure *f = t->part[i]; f->name; f++) {
			const char *help = f->metric ? metrics_help_of(f->metric) : NULL;

			cr_expect(!f->label || help, "%s is shared and has no help", f->metric);
			for (size_t k = 0; f->metric && !help && k < sizeof(bad) / sizeof(*bad);
			     k++)
				cr_expect_neq(strncmp(f->doc, bad[k], strlen(bad[k])), 0,
					      "%s: %s", f->metric, f->doc);
		}
}

Test(metrics_all, help_stands_alone)
{
	populate();
	for (const struct command *c = commands; c->name; c++)
		if (c->returns)
			expect_help(c->returns);
	for (const struct metrics_help *h = metrics_help; h->metric; h++) {
		char line[128];

		snprintf(line, sizeof(line), "\n# HELP drum_%s", h->metric);
		cr_expect(strstr(all, line), "help of %s, which is no family", h->metric);
	}
	free(all);
}
