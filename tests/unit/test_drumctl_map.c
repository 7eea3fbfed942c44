/* SPDX-License-Identifier: BSD-2-Clause */
/* Pictures of a guest, of answers that are made up: its map, its histogram; and files. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "drumctl/guest_map.h"
#include "drumctl/latency.h"
#include "drumctl/save.h"
#include "drumctl/svg.h"

static const struct terminal plain = { .columns = 80 };
static const struct terminal colours = {
	.moves = true, .utf8 = true, .columns = 80, .colours = TERMINAL_256
};

static char *text;
static size_t length;
static FILE *out;

static void begin(void)
{
	free(text);
	out = open_memstream(&text, &length);
}

/* What was printed since begin; until the next one. */
static const char *end(void)
{
	fclose(out);
	return text;
}

/* --- map -------------------------------------------------------------------------- */

static struct guest_map map;

/* n cells of 4 pages: the first is active, then inactive and so on; the last has none */
static struct json_object *map_answer(int n)
{
	static const char *const states[] = { "active",	 "inactive", "swapped", "zero",
					      "reading", "writing",  "pinned" };
	struct json_object *o = json_object_new_object(), *kept = json_object_new_array(),
			   *idle = json_object_new_array();

	json_object_object_add(o, "name", json_object_new_string("web<1>"));
	json_object_object_add(o, "size", json_object_new_int(n * 16384));
	json_object_object_add(o, "cell-size", json_object_new_int(16384));
	json_object_object_add(o, "cells", json_object_new_int(n));
	for (int s = 0; s < 7; s++) {
		struct json_object *a = json_object_new_array();

		for (int i = 0; i < n; i++)
			json_object_array_add(a, json_object_new_int(i == n - 1	  ? 0
								     : i % 7 == s ? 3
								     : s == 3	  ? 1
										  : 0));
		json_object_object_add(o, states[s], a);
	}
	for (int i = 0; i < n; i++) {
		json_object_array_add(kept, json_object_new_int(i == 0));
		json_object_array_add(idle, json_object_new_int(i % 7 ? -1 : i % 5));
	}
	json_object_object_add(o, "kept", kept);
	json_object_object_add(o, "idle", idle);
	return o;
}

static int take_map(int n, struct err *e)
{
	struct json_object *o = map_answer(n);
	int rc = map_parse(&map, o, e);

	json_object_put(o);
	return rc;
}

Test(drumctl_map, letters)
{
	struct err e;

	cr_assert(take_map(72, &e) == 0, "%s", e.text);
	cr_expect(map.cell[0].state == MAP_ACTIVE && map.cell[0].age == 0);
	cr_expect(map.cell[71].state == MAP_STATES);
	cr_expect(map.kept == MAP_PAGE);
	begin();
	map_print(out, &map, &plain);
	cr_expect_str_eq(
		end(),
		"web<1>: 1.1M, 16K to a letter\n"
		"\n"
		"      0 AISZRWPAISZRWPAISZRWPAISZRWPAISZRWPAISZRWPAISZRWPAISZRWPAISZRWPA\n"
		"     1M ISZRWPA.\n"
		"\n"
		"A active      132K 11.5%   I inactive    120K 10.4%   S swapped     120K "
		"10.4%\n"
		"Z zero        364K 31.6%   R reading     120K 10.4%   W writing     120K "
		"10.4%\n"
		"P pinned      120K 10.4%\n"
		"4K of it has a clean copy on swap.\n",
		"%s", text);
}

Test(drumctl_map, half_blocks)
{
	struct err e;

	cr_assert(take_map(66, &e) == 0, "%s", e.text);
	begin();
	map_print(out, &map, &colours);
	/* the first of the upper line is active, that of the second is inactive, and behind
	 * the end there is nothing */
	cr_expect(
		strstr(end(),
		       "      0 \033[0;38;5;46;48;5;33m\342\226\200\033[0;38;5;33m\342\226\200"
		       "\033[0;38;5;208m\342\226\200"),
		"%s", text);
	cr_expect(strstr(text, "16K to half a block") && strstr(text, "<10 s"));
}

Test(drumctl_map, lines_fit)
{
	static const struct {
		unsigned int columns;
		int cells;
	} t[] = { { 20, 16 * 32 }, { 60, 32 * 32 }, { 80, 64 * 32 }, { 500, 128 * 32 } };
	struct terminal terminal = colours;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		terminal.columns = t[i].columns;
		cr_expect(map_cells_for(&terminal) == t[i].cells, "%d",
			  map_cells_for(&terminal));
	}
	cr_expect(map_cells_for(&plain) == 1024);
}

/* An entry of the legend is wider than these. */
Test(drumctl_map, narrow)
{
	struct terminal terminal = colours;
	struct err e;

	cr_assert(take_map(72, &e) == 0, "%s", e.text);
	for (terminal.columns = 20; terminal.columns < 28; terminal.columns++) {
		begin();
		map_print(out, &map, &terminal);
		cr_expect(strstr(end(), " inactive    120K 10.4%\n"), "%s", text);
	}
}

Test(drumctl_map, strange_answers)
{
	static const char *const lacking[] = { "cells", "cell-size", "active", "pinned" };
	struct json_object *o;
	struct err e;

	for (size_t i = 0; i < sizeof(lacking) / sizeof(lacking[0]); i++) {
		o = map_answer(10);
		json_object_object_del(o, lacking[i]);
		cr_expect(map_parse(&map, o, &e) == -EPROTO, "%s", lacking[i]);
		json_object_put(o);
	}
	o = map_answer(10);
	json_object_object_add(o, "cells", json_object_new_int(11));
	cr_expect(map_parse(&map, o, &e) == -EPROTO);
	json_object_put(o);
	/* ages are no must */
	o = map_answer(10);
	json_object_object_del(o, "idle");
	cr_expect(map_parse(&map, o, &e) == 0 && map.cell[0].age == -1);
	json_object_put(o);
}

/* --- histogram -------------------------------------------------------------------- */

static struct latency l;

static int take_latency(const char *json, struct err *e)
{
	struct json_object *o = json_tokener_parse(json);
	int rc;

	cr_assert(o, "%s", json);
	rc = latency_parse(&l, o, e);
	json_object_put(o);
	return rc;
}

static const char some[] =
	"{\"name\": \"web<1>\", \"count\": 10, \"sum-us\": 100, \"max-us\": 20000.5, "
	"\"p50-us\": 2, \"p90-us\": 4, \"p99-us\": 9000, \"p999-us\": 9000, \"buckets\": ["
	"{\"le-us\": 1.024, \"count\": 0}, {\"le-us\": 2.048, \"count\": 5}, "
	"{\"le-us\": 4.096, \"count\": 9}, {\"le-us\": 8.192, \"count\": 9}, "
	"{\"count\": 10}]}";

Test(drumctl_hist, table)
{
	struct err e;

	cr_assert(take_latency(some, &e) == 0, "%s", e.text);
	cr_expect(l.n == 4 && isinf(l.bucket[3].to) && l.bucket[3].count == 1);
	begin();
	latency_print(out, &l, &plain);
	cr_expect_str_eq(
		end(),
		"web<1>: 10 faults, mean 10us, longest 20.0ms\n"
		"\n"
		"           TOOK      COUNT   SHARE    UP TO\n"
		"  1.02us-2.05us          5  50.00%   50.00% ########################### p50 "
		"2us\n"
		"  2.05us-4.10us          4  40.00%   90.00% ###################### p90 4us\n"
		"  4.10us-8.19us          0   0.00%   90.00% \n"
		"       > 8.19us          1  10.00%  100.00% ##### p99 9ms, p99.9 9ms\n",
		"%s", text);
}

Test(drumctl_hist, eighths)
{
	struct err e;

	cr_assert(take_latency(some, &e) == 0, "%s", e.text);
	begin();
	latency_print(out, &l, &(struct terminal){ .columns = 80, .utf8 = true });
	/* 4 of 5 of 27 are 21 and 5 eighths */
	cr_expect(strstr(end(), "\342\226\210\342\226\213 p90"), "%s", text);
}

Test(drumctl_hist, none_yet)
{
	struct err e;

	cr_assert(take_latency("{\"name\": \"a\", \"count\": 0, \"buckets\": [{\"le-us\": 1, "
			       "\"count\": 0}, {\"count\": 0}]}",
			       &e) == 0);
	begin();
	latency_print(out, &l, &plain);
	cr_expect_str_eq(end(), "a: no faults yet\n");
	begin();
	latency_svg(out, &l);
	cr_expect(strstr(end(), "none yet") && strstr(text, "</svg>"));
}

Test(drumctl_hist, strange_answers)
{
	struct err e;

	cr_expect(take_latency("{\"count\": 1}", &e) == -EPROTO);
	cr_expect(take_latency("{\"buckets\": [{\"le-us\": 1}]}", &e) == -EPROTO);
	cr_expect(take_latency("{\"buckets\": [{\"le-us\": 1, \"count\": 5}, {\"count\": 4}]}",
			       &e) == -EPROTO,
		  "they go down");
	cr_expect(take_latency("{\"buckets\": [{\"le-us\": 2, \"count\": 5}, {\"le-us\": 2, "
			       "\"count\": 5}]}",
			       &e) == -EPROTO,
		  "edges too");
}

/* --- SVG --------------------------------------------------------------------------- */

/* Python's parser has the last word. */
static void expect_xml(const char *svg, const char *title)
{
	FILE *p = popen("python3 -c 'import sys, xml.dom.minidom as m\n"
			"d = m.parse(sys.stdin)\n"
			"sys.exit(d.documentElement.tagName != \"svg\")'",
			"w");

	cr_assert(p);
	fputs(svg, p);
	cr_expect(pclose(p) == 0, "%.2000s", svg);
	cr_expect(strstr(svg, title), "%.500s", svg);
	cr_expect(!strstr(svg, "nan") && !strstr(svg, "inf\""), "%s", svg);
}

Test(drumctl_map, svg)
{
	struct err e;

	cr_assert(take_map(4096, &e) == 0, "%s", e.text);
	begin();
	map_svg(out, &map);
	expect_xml(end(), "<title>RAM of guest web&lt;1&gt;: 64M</title>");
	cr_assert(take_map(1, &e) == 0, "%s", e.text);
	begin();
	map_svg(out, &map);
	expect_xml(end(), "16K");
}

Test(drumctl_hist, svg)
{
	struct err e;

	cr_assert(take_latency(some, &e) == 0, "%s", e.text);
	begin();
	latency_svg(out, &l);
	expect_xml(end(), "p99.9 9ms");
	/* all in the bucket without an end, or in the first */
	cr_assert(take_latency("{\"name\": \"a\", \"count\": 3, \"buckets\": [{\"count\": 3}]}",
			       &e) == 0);
	begin();
	latency_svg(out, &l);
	expect_xml(end(), "Faults of guest a");
}

Test(drumctl_hist, svg_text_is_escaped)
{
	begin();
	svg_begin(out, 10, 10, "<a&b\">\033\n");
	svg_text(out, -1.005, 2, SVG_END, "", "%s", "]]>&amp;");
	svg_end(out);
	expect_xml(end(), "<title>&lt;a&amp;b&quot;&gt;?");
	cr_expect(strstr(text, "]]&gt;&amp;amp;"));
}

/* --- files ------------------------------------------------------------------------- */

static int entries(const char *path)
{
	struct dirent *d;
	DIR *dir = opendir(path);
	int n = 0;

	while ((d = readdir(dir)))
		n += d->d_name[0] != '.' || strlen(d->d_name) > 2;
	closedir(dir);
	return n;
}

static const char *content(const char *path)
{
	static char buf[64];
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(buf, 1, sizeof(buf) - 1, f) : 0;

	buf[n] = '\0';
	if (f)
		fclose(f);
	return buf;
}

Test(drumctl_hist, a_file_is_whole_or_as_it_was)
{
	char dir[] = "/tmp/drum-test-save-XXXXXX", path[64], link[64];
	struct stat st;
	struct save s;
	struct err e;

	cr_assert(mkdtemp(dir));
	umask(027);
	snprintf(path, sizeof(path), "%s/file", dir);
	snprintf(link, sizeof(link), "%s/link", dir);
	cr_assert(save_begin(&s, path, &e) == 0, "%s", e.text);
	fputs("one", s.file);
	cr_expect(access(path, F_OK) < 0, "not before it is complete");
	cr_assert(save_end(&s, &e) == 0, "%s", e.text);
	cr_expect_str_eq(content(path), "one");
	cr_expect(stat(path, &st) == 0 && (st.st_mode & 0777) == 0640, "%o", st.st_mode);
	/* a link stays one, and who has the old file open still sees it */
	cr_assert(symlink("file", link) == 0);
	cr_assert(save_begin(&s, link, &e) == 0);
	fputs("two", s.file);
	cr_assert(save_end(&s, &e) == 0);
	cr_expect_str_eq(content(path), "two");
	cr_expect(lstat(link, &st) == 0 && S_ISLNK(st.st_mode));
	cr_expect(entries(dir) == 2, "something is left");
	/* with the mode that it has been given, and as it was if nothing comes of it */
	cr_assert(chmod(path, 0604) == 0);
	cr_assert(save_begin(&s, path, &e) == 0);
	fputs("three", s.file);
	cr_assert(save_end(&s, &e) == 0);
	cr_expect(stat(path, &st) == 0 && (st.st_mode & 0777) == 0604, "%o", st.st_mode);
	cr_assert(save_begin(&s, path, &e) == 0);
	fputs("four", s.file);
	save_abort(&s);
	cr_expect_str_eq(content(path), "three");
	cr_expect(entries(dir) == 2, "something is left");
	/* what is no file is written to */
	cr_assert(save_begin(&s, "/dev/null", &e) == 0);
	cr_assert(save_end(&s, &e) == 0);
	cr_assert(save_begin(&s, "/dev/null", &e) == 0);
	save_abort(&s);
	cr_expect(stat("/dev/null", &st) == 0 && S_ISCHR(st.st_mode));
	cr_assert(save_begin(&s, "/dev/full", &e) == 0);
	fputs("x", s.file);
	cr_expect(save_end(&s, &e) == -ENOSPC);
	cr_expect_str_eq(e.text, "cannot write /dev/full: No space left on device");
	cr_expect(save_begin(&s, "/nowhere/x", &e) == -ENOENT);
	cr_expect_str_eq(e.text, "cannot write /nowhere/x: No such file or directory");
	cr_expect(save_begin(&s, dir, &e) == -EISDIR);
	unlink(link);
	unlink(path);
	rmdir(dir);
}
