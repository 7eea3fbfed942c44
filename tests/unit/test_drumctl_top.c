/* SPDX-License-Identifier: BSD-2-Clause */
/* What "drumctl top" shows, of answers that are made up: no daemon, no terminal, no clock. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drumctl/top_layout.h"
#include "drumctl/top_page.h"

#define SECOND 1000000000ull

static struct top_model *m;
static struct json_object *answers[TOP_QUERIES];

static void setup(void)
{
	m = top_model_create();
}

static void teardown(void)
{
	top_model_destroy(m);
}

TestSuite(drumctl_top, .init = setup, .fini = teardown);

static struct json_object *parse(const char *text)
{
	struct json_object *o = json_tokener_parse(text);

	cr_assert(o, "%s", text);
	return o;
}

static void guest(const char *name, int pid, unsigned resident, unsigned faults)
{
	char text[256];

	if (!answers[TOP_GUESTS])
		answers[TOP_GUESTS] = json_object_new_array();
	snprintf(text, sizeof(text),
		 "{\"name\": \"%s\", \"pid\": %d, \"state\": \"running\", \"resident\": %u, "
		 "\"faults\": %u, \"pages-in\": %u, \"some-10s\": %u.5}",
		 name, pid, resident, faults, faults / 2, resident);
	json_object_array_add(answers[TOP_GUESTS], parse(text));
}

static void sample(uint64_t seconds)
{
	if (!answers[TOP_HOST])
		answers[TOP_HOST] =
			parse("{\"budget\": 8589934592, \"used\": 4294967296, \"free\": 5, "
			      "\"level\": \"soft\", \"headroom\": 6, \"reserved\": 7}");
	top_model_add(m, seconds * SECOND, answers);
	memset(answers, 0, sizeof(answers));
}

static int column(enum top_pane pane, const char *name)
{
	struct err e;
	int i = top_column_find(pane, name, &e);

	cr_assert(i >= 0, "%s", e.text);
	return i;
}

static struct top_order by(const char *name)
{
	return (struct top_order){ .column = column(PANE_GUESTS, name) };
}

/* "b a c", the names in their order */
static const char *names(const struct top_order *order, size_t *hidden)
{
	static char text[256];
	const struct top_row *rows;
	size_t n = top_model_rows(m, PANE_GUESTS, order, &rows, hidden), i;

	text[0] = '\0';
	for (i = 0; i < n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "",
			 rows[i].value[0].text);
	return text;
}

static struct top_value value(const char *name, const char *of)
{
	struct top_order order = by("name");
	const struct top_row *rows;
	size_t hidden, n = top_model_rows(m, PANE_GUESTS, &order, &rows, &hidden);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(rows[i].value[0].text, name))
			return rows[i].value[column(PANE_GUESTS, of)];
	cr_assert_fail("no guest %s", name);
	return (struct top_value){ 0 };
}

Test(drumctl_top, rates_are_of_two_samples)
{
	struct top_host host;

	cr_expect(!top_model_host(m, &host), "nothing is known yet");
	guest("a", 1, 10, 100);
	guest("b", 2, 10, 0);
	sample(10);
	cr_expect(!value("a", "faults").known, "one sample makes no rate");
	cr_expect(value("a", "resident").known);
	guest("a", 1, 10, 160);
	guest("b", 2, 10, 20);
	sample(12);
	cr_expect(value("a", "faults").number == 30);
	cr_expect(value("a", "in").number == 15);
	cr_expect(value("b", "faults").number == 10);
	cr_expect(!value("a", "out").known, "that is not counted");
	cr_expect(top_model_host(m, &host));
	cr_expect(host.faults.known && host.faults.number == 40, "%g", host.faults.number);
	cr_expect(host.guests == 2 && host.some.number == 10.5 && !host.full.known);
}

Test(drumctl_top, counters_that_begin_anew_give_no_rate)
{
	guest("a", 1, 10, 1000);
	guest("b", 2, 10, 1000);
	guest("c", 3, 10, 10);
	sample(10);
	guest("a", 1, 10, 5);	 /* it counts from 0 */
	guest("b", 7, 10, 1100); /* another process of this name */
	guest("c", 3, 10, 30);
	guest("d", 4, 10, 90000); /* a new one */
	sample(11);
	cr_expect(!value("a", "faults").known && !value("a", "in").known);
	cr_expect(!value("b", "faults").known);
	cr_expect(value("c", "faults").number == 20);
	cr_expect(!value("d", "faults").known);
	guest("a", 1, 10, 8);
	sample(12);
	cr_expect(value("a", "faults").number == 3);
}

Test(drumctl_top, another_daemon_begins_anew)
{
	guest("a", 1, 10, 100);
	sample(10);
	guest("a", 1, 10, 200);
	sample(11);
	top_model_cut(m);
	cr_expect(value("a", "resident").number == 10, "what is shown stays");
	cr_expect(!value("a", "faults").known);
	guest("a", 1, 10, 100000);
	sample(12);
	cr_expect(!value("a", "faults").known, "%g", value("a", "faults").number);
	guest("a", 1, 10, 100007);
	sample(13);
	cr_expect(value("a", "faults").number == 7);
}

Test(drumctl_top, no_time_between_gives_no_rate)
{
	guest("a", 1, 10, 100);
	sample(10);
	guest("a", 1, 10, 200);
	sample(10);
	cr_expect(!value("a", "faults").known);
}

Test(drumctl_top, sorted)
{
	struct top_order order = by("resident");
	size_t hidden;

	guest("b", 1, 30, 0);
	guest("a", 2, 10, 0);
	guest("c", 3, 30, 0);
	sample(1);
	cr_expect_str_eq(names(&order, &hidden), "b c a");
	order.reverse = true;
	cr_expect_str_eq(names(&order, &hidden), "a b c", "equals stay in order");
	order = by("name");
	cr_expect_str_eq(names(&order, &hidden), "a b c");
	order.reverse = true;
	cr_expect_str_eq(names(&order, &hidden), "c b a");
	/* what is not known comes last, whichever way */
	guest("b", 1, 30, 1);
	guest("a", 2, 10, 2);
	guest("z", 9, 10, 0);
	sample(2);
	order = by("faults");
	cr_expect_str_eq(names(&order, &hidden), "a b z");
	order.reverse = true;
	cr_expect_str_eq(names(&order, &hidden), "b a z");
}

Test(drumctl_top, filtered)
{
	struct top_order order = by("name");
	size_t hidden;

	guest("web1", 1, 1, 0);
	guest("db", 2, 1, 0);
	guest("oldWEB", 3, 1, 0);
	sample(1);
	strcpy(order.filter, "web");
	cr_expect_str_eq(names(&order, &hidden), "oldWEB web1");
	cr_expect(hidden == 1);
	strcpy(order.filter, "nobody");
	cr_expect_str_eq(names(&order, &hidden), "");
	cr_expect(hidden == 3);
}

Test(drumctl_top, devices_and_disks_are_one_list)
{
	struct top_order order = { .column = column(PANE_DEVICES, "used") };
	const struct top_row *rows;
	size_t hidden;
	int type = column(PANE_DEVICES, "type"), errors = column(PANE_DEVICES, "errors");

	answers[TOP_DEVICES] =
		parse("[{\"path\": \"/swap\", \"type\": \"file\", \"used\": 10, \"size\": 99, "
		      "\"read-errors\": 1, \"write-errors\": 2, \"checksum-errors\": 4}]");
	answers[TOP_DISKS] = parse("[{\"name\": \"root\", \"cached\": 20, \"errors\": 3}]");
	sample(1);
	cr_assert(top_model_rows(m, PANE_DEVICES, &order, &rows, &hidden) == 2);
	cr_expect_str_eq(rows[0].value[0].text, "root");
	cr_expect_str_eq(rows[0].value[type].text, "disk");
	cr_expect(rows[0].value[errors].number == 3);
	cr_expect_str_eq(rows[1].value[0].text, "/swap");
	cr_expect(rows[1].value[errors].number == 7);
}

Test(drumctl_top, columns_have_names)
{
	struct err e;

	cr_expect(top_column_find(PANE_GUESTS, "p99", &e) > 0);
	cr_expect(top_column_find(PANE_GUESTS, "P", &e) == -EINVAL);
	cr_expect_str_eq(e.text, "--sort: no column is named 'P'; there are name, state, size, "
				 "resident, swapped, working-set, faults, in, out, p99, some, "
				 "full, limit, target, balloon");
}

/* --- layout ----------------------------------------------------------------------- */

Test(drumctl_top, cells_have_five_characters)
{
	static const struct {
		enum top_kind kind;
		double number;
		const char *text;
	} t[] = {
		{ TOP_SIZE, 0, "0" },
		{ TOP_SIZE, 999, "999" },
		{ TOP_SIZE, 1000, "1.0K" },
		{ TOP_SIZE, 512 << 20, "512M" },
		{ TOP_SIZE, 1610612736, "1.5G" },
		{ TOP_SIZE, 1023.0 * (1 << 20), "1.0G" },
		{ TOP_SIZE, 18446744073709551615.0, "16E" },
		{ TOP_RATE, 0.25, "0.2" },
		{ TOP_RATE, 7, "7" },
		{ TOP_RATE, 999.4, "999" },
		{ TOP_RATE, 12345, "12k" },
		{ TOP_RATE, 1e30, "999E" },
		{ TOP_US, 1.25, "1.2us" },
		{ TOP_US, 999.4, "999us" },
		{ TOP_US, 999.6, "1.0ms" },
		{ TOP_US, 123456, "123ms" },
		{ TOP_US, 17.2e6, "17.2s" },
		{ TOP_US, 123e6, "123s" },
		{ TOP_PERCENT, 0, "0" },
		{ TOP_PERCENT, 0.05, "0.05" },
		{ TOP_PERCENT, 12.34, "12.3" },
		{ TOP_PERCENT, 100, "100" },
	};
	char cell[TOP_CELL_MAX];

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct top_value v = { .known = true, .number = t[i].number };
		char wanted[TOP_CELL_MAX];

		snprintf(wanted, sizeof(wanted), "%s", t[i].text);
		cr_expect_str_eq(top_cell(cell, t[i].kind, &v), wanted);
	}
	cr_expect_str_eq(top_cell(cell, TOP_SIZE, &(struct top_value){ 0 }), "-");
}

/* "NAME RES FLT/s", what a screen so wide has */
static const char *headings(enum top_pane pane, const char *sorted, int columns, int longest)
{
	static char text[256];
	struct top_layout l;
	int end = 0;

	top_layout_fit(&l, pane, column(pane, sorted), columns, longest);
	text[0] = '\0';
	for (int i = 0; i < l.n; i++) {
		cr_expect(l.place[i].at == (i ? end + 1 : 0), "gaps of one column");
		end = l.place[i].at + l.place[i].width;
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "",
			 top_columns[pane][l.place[i].column].title);
	}
	cr_expect(end <= columns || l.n <= 4, "%d of %d", end, columns);
	return text;
}

Test(drumctl_top, columns_go_by_priority)
{
	const char *all =
		"NAME STATE SIZE RES SWAP WSET FLT/s IN/s OUT/s P99 SOME% FULL% LIMIT "
		"TARGT BALLN";

	cr_expect_str_eq(headings(PANE_GUESTS, "faults", 200, 60), all);
	cr_expect_str_eq(headings(PANE_GUESTS, "faults", 99, 60), all, "just enough");
	cr_expect_str_eq(headings(PANE_GUESTS, "faults", 80, 60),
			 "NAME STATE SIZE RES SWAP WSET FLT/s IN/s OUT/s P99 SOME%");
	cr_expect_str_eq(headings(PANE_GUESTS, "faults", 60, 60),
			 "NAME RES SWAP WSET FLT/s IN/s OUT/s P99 SOME%");
	cr_expect_str_eq(headings(PANE_GUESTS, "balloon", 60, 60),
			 "NAME RES SWAP FLT/s IN/s OUT/s P99 SOME% BALLN",
			 "what it is sorted by stays");
	cr_expect_str_eq(headings(PANE_GUESTS, "faults", 1, 60), "NAME RES FLT/s");
	cr_expect_str_eq(headings(PANE_DEVICES, "used", 80, 60),
			 "NAME TYPE STATE SIZE USED RD/s WR/s RDB/s WRB/s INFL ERR");
}

Test(drumctl_top, names_get_what_is_left)
{
	struct top_layout l;

	top_layout_fit(&l, PANE_GUESTS, 0, 120, 60);
	cr_expect(l.place[0].width == 12 + 120 - 99, "%d", l.place[0].width);
	top_layout_fit(&l, PANE_GUESTS, 0, 120, 20);
	cr_expect(l.place[0].width == 20, "no more than the longest");
	top_layout_fit(&l, PANE_GUESTS, 0, 120, 3);
	cr_expect(l.place[0].width == 12);
}

/* --- the page --------------------------------------------------------------------- */

static struct top_view view;
static struct frame *f;

static void page(int rows, int columns)
{
	frame_destroy(f);
	f = frame_create(rows, columns);
	top_page(f, m, &view);
	for (int y = 0; y < rows; y++)
		for (int x = 0; x < columns; x++)
			cr_assert(f->line[y].text[x] >= ' ' && f->line[y].text[x] < 0x7f,
				  "line %d, column %d", y, x);
}

static void type(const char *keys, int rows)
{
	for (; *keys; keys++)
		cr_expect(top_key(&view, *keys, rows) == TOP_STAY);
}

static bool has(int row, const char *text)
{
	return strstr(f->line[row].text, text) != NULL;
}

Test(drumctl_top, a_page_of_any_size)
{
	top_view_init(&view);
	page(24, 80); /* nothing is known */
	for (int i = 0; i < 40; i++) {
		char name[16];

		snprintf(name, sizeof(name), "g%02d", i);
		guest(name, i + 1, (unsigned)i, 0);
	}
	sample(1);
	for (int rows = 1; rows < 60; rows += 7)
		for (int columns = 1; columns < 200; columns += 11)
			page(rows, columns);
	page(24, 80);
	cr_expect(has(0, "40 guests, free memory is soft"), "%s", f->line[0].text);
	cr_expect(has(1, "4.0G of 8.0G [########........]"), "%s", f->line[1].text);
	cr_expect(has(2, "none is on"));
	cr_expect(has(4, "NAME") && has(5, "g00") && has(22, "g17"));
	cr_expect(has(23, "q quit") && has(23, "1-18 of 40"), "%s", f->line[23].text);
	frame_destroy(f);
}

Test(drumctl_top, strings_do_not_steer_the_terminal)
{
	top_view_init(&view);
	guest("a\\u001b[31m\\u0007\\u00e9\\u202eb", 1, 1, 0);
	sample(1);
	strcpy(view.message, "reconnecting: \033[2J\n");
	page(24, 80);
	cr_expect(has(5, "a?[31m???b"), "%s", f->line[5].text);
	cr_expect(has(23, "?[2J?"), "%s", f->line[23].text);
	frame_destroy(f);
}

Test(drumctl_top, keys)
{
	struct top_order order = by("faults");
	int first = order.column;

	top_view_init(&view);
	for (int i = 0; i < 40; i++) {
		char name[16];

		snprintf(name, sizeof(name), "g%02d", i);
		guest(name, i + 1, (unsigned)i, 0);
	}
	sample(1);
	/* scrolling stays within the list */
	type("jjj", 24);
	page(24, 80);
	cr_expect(has(5, "g03"));
	cr_expect(top_key(&view, TOP_KEY_PAGE_DOWN, 24) == TOP_STAY);
	page(24, 80);
	cr_expect(has(5, "g21"));
	top_key(&view, TOP_KEY_PAGE_DOWN, 24);
	page(24, 80);
	cr_expect(has(5, "g22") && has(22, "g39"), "the last page is a full one");
	top_key(&view, TOP_KEY_UP, 24);
	page(24, 80);
	cr_expect(has(5, "g21"));
	top_key(&view, TOP_KEY_END, 24);
	page(24, 80);
	cr_expect(has(22, "g39"));
	top_key(&view, TOP_KEY_HOME, 24);
	top_key(&view, TOP_KEY_UP, 24);
	page(24, 80);
	cr_expect(has(5, "g00"));
	/* sorting */
	cr_expect(view.order[PANE_GUESTS].column == first);
	type("<<<", 24);
	cr_expect(view.order[PANE_GUESTS].column == first - 3);
	page(24, 80);
	cr_expect(has(5, "g39"), "by resident: %s", f->line[5].text);
	type("r", 24);
	page(24, 80);
	cr_expect(has(5, "g00") && has(23, "resident, reversed"));
	type("s>", 24);
	cr_expect(view.order[PANE_GUESTS].column == first - 1 &&
		  !view.order[PANE_GUESTS].reverse);
	/* the filter is live */
	type("/g1", 24);
	page(24, 80);
	cr_expect(has(5, "g10") && has(14, "g19") && has(15, "     ") &&
		  has(23, "Filter: g1_") && has(23, "30 hidden"));
	type("q", 24); /* is a letter here */
	page(24, 80);
	cr_expect(has(5, "    ") && has(23, "Filter: g1q_"));
	top_key(&view, TOP_KEY_ERASE, 24);
	top_key(&view, TOP_KEY_ENTER, 24);
	page(24, 80);
	cr_expect(has(5, "g10") && has(23, "/ filter: g1"));
	type("/x", 24);
	top_key(&view, TOP_KEY_ESCAPE, 24);
	cr_expect_str_eq(view.order[PANE_GUESTS].filter, "g1", "as it was");
	top_key(&view, TOP_KEY_ESCAPE, 24);
	cr_expect_str_empty(view.order[PANE_GUESTS].filter);
	/* panes and help */
	type("d", 24);
	page(24, 80);
	cr_expect(has(4, "RDB/s") && view.order[PANE_DEVICES].filter[0] == '\0');
	type("g", 24);
	type("h", 24);
	page(24, 80);
	cr_expect(has(5, "guests, devices"));
	cr_expect(top_key(&view, 'q', 24) == TOP_STAY, "leaves the help only");
	cr_expect(top_key(&view, ' ', 24) == TOP_NOW);
	cr_expect(top_key(&view, 'q', 24) == TOP_QUIT);
	frame_destroy(f);
}

Test(drumctl_top, batch_has_all)
{
	top_view_init(&view);
	for (int i = 0; i < 100; i++) {
		char name[16];

		snprintf(name, sizeof(name), "g%02d", i);
		guest(name, i + 1, (unsigned)i, 0);
	}
	answers[TOP_DEVICES] = parse("[{\"path\": \"/swap\"}]");
	sample(1);
	f = top_batch(m, &view);
	cr_assert(f->rows == 4 + 102 + 3);
	cr_expect(has(5, "BALLN") && has(6, "g00") && has(105, "g99") && has(108, "/swap"));
	frame_destroy(f);
}
