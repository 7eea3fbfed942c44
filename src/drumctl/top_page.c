/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 *	0	drumctl top, how many guests, the level of free memory, the time
 *	1	the host's memory
 *	2	swap
 *	3	rates over all guests, the worst stalls
 *	4	headings
 *	5 ..	rows of the list, or the help
 *	last	keys, what is wrong, or the filter that is being typed
 *
 * A screen too low for that has the beginning of it, and the last line all the same.
 */
#include "drumctl/top_page.h"

#include <stdio.h>
#include <string.h>

#include "drumctl/top_layout.h"

#define HEADING_ROW 4
#define BAR_MIN	    8
#define BAR_MAX	    40
#define BATCH_WIDTH 200

void top_view_init(struct top_view *v)
{
	*v = (struct top_view){ 0 };
	for (enum top_pane p = 0; p < TOP_PANES; p++)
		top_order_init(&v->order[p], p);
}

/* --- keys ------------------------------------------------------------------------- */

static void type(struct top_view *v, int key)
{
	char *filter = v->order[v->pane].filter;
	size_t n = strlen(filter);

	switch (key) {
	case TOP_KEY_ENTER:
	case '\r':
		v->typing = false;
		break;
	case TOP_KEY_ESCAPE:
		memcpy(filter, v->undo, sizeof(v->undo));
		v->typing = false;
		break;
	case TOP_KEY_ERASE:
	case '\b':
		if (n > 0)
			filter[n - 1] = '\0';
		break;
	case 'U' - '@': /* as everywhere: the whole line */
		filter[0] = '\0';
		break;
	default:
		if (key >= ' ' && key < 127 && n + 1 < sizeof(v->undo)) {
			filter[n] = (char)key;
			filter[n + 1] = '\0';
		}
	}
	v->first[v->pane] = 0;
}

static void sort_by(struct top_view *v, int step)
{
	struct top_order *o = &v->order[v->pane];
	int n = top_columns_n(v->pane);

	o->column = (o->column + step + n) % n;
	o->reverse = false;
}

static void scroll(struct top_view *v, long long step)
{
	size_t *first = &v->first[v->pane];

	if (step < 0 && (size_t)-step > *first)
		*first = 0;
	else
		*first += (size_t)step;
}

enum top_action top_key(struct top_view *v, int key, int rows)
{
	int page = rows - HEADING_ROW - 2;

	if (page < 1)
		page = 1;
	if (v->typing) {
		type(v, key);
		return TOP_STAY;
	}
	if (v->help && key != 'q') {
		v->help = false; /* by any key */
		return TOP_STAY;
	}
	switch (key) {
	case 'q':
		if (!v->help)
			return TOP_QUIT;
		v->help = false;
		break;
	case 'h':
	case '?':
		v->help = true;
		break;
	case ' ':
		return TOP_NOW;
	case 'g':
		v->pane = PANE_GUESTS;
		break;
	case 'd':
		v->pane = PANE_DEVICES;
		break;
	case '\t':
		v->pane = (v->pane + 1) % TOP_PANES;
		break;
	case '<':
	case TOP_KEY_LEFT:
		sort_by(v, -1);
		break;
	case '>':
	case 's':
	case TOP_KEY_RIGHT:
		sort_by(v, 1);
		break;
	case 'r':
		v->order[v->pane].reverse = !v->order[v->pane].reverse;
		break;
	case '/':
		memcpy(v->undo, v->order[v->pane].filter, sizeof(v->undo));
		v->typing = true;
		break;
	case TOP_KEY_ESCAPE:
		v->order[v->pane].filter[0] = '\0';
		break;
	case TOP_KEY_UP:
	case 'k':
		scroll(v, -1);
		break;
	case TOP_KEY_DOWN:
	case 'j':
		scroll(v, 1);
		break;
	case TOP_KEY_PAGE_UP:
		scroll(v, -page);
		break;
	case TOP_KEY_PAGE_DOWN:
		scroll(v, page);
		break;
	case TOP_KEY_HOME:
		v->first[v->pane] = 0;
		break;
	case TOP_KEY_END:
		v->first[v->pane] = SIZE_MAX / 2;
		break;
	}
	return TOP_STAY;
}

/* --- the host --------------------------------------------------------------------- */

static const char *size(char to[TOP_CELL_MAX], uint64_t bytes)
{
	struct top_value v = { .known = true, .number = (double)bytes };

	return top_cell(to, TOP_SIZE, &v);
}

/* " [####....]" of the columns that are left in front of `rest` characters.  => as frame_put */
static int bar(struct frame *f, int row, int column, int rest, uint64_t part, uint64_t whole)
{
	double share = whole ? (double)part / (double)whole : 0;
	int width = f->columns - column - rest - 3, full;

	if (width < BAR_MIN || !whole)
		return column;
	width = width < BAR_MAX ? width : BAR_MAX;
	share = share < 1 ? share : 1;
	full = (int)(share * width + 0.5);
	column = frame_put(f, row, column, FRAME_DIM, " [");
	for (int i = 0; i < width; i++)
		column = frame_put(f, row, column, i >= full ? FRAME_DIM : FRAME_BOLD, "%c",
				   i < full ? '#' : '.');
	return frame_put(f, row, column, FRAME_DIM, "]");
}

static enum frame_style level_style(const char *level)
{
	if (!strcmp(level, "high"))
		return FRAME_GOOD;
	return strcmp(level, "soft") != 0 ? FRAME_BAD : FRAME_WARN;
}

static void title_line(struct frame *f, const struct top_host *h, const struct top_view *v)
{
	int at = frame_put(f, 0, 0, FRAME_BOLD, "drumctl top");

	at = frame_fit(f, 0, at, FRAME_NORMAL, "  %zu guest%s", h->guests,
		       h->guests == 1 ? "" : "s");
	if (h->level && h->budget) {
		at = frame_fit(f, 0, at, FRAME_NORMAL, ", free memory is ");
		at = frame_fit(f, 0, at, level_style(h->level), "%s", h->level);
	}
	/* what changes each time keeps out of the last column, of which terminals differ */
	if (f->columns - 1 - (int)strlen(v->clock) > at)
		frame_put(f, 0, f->columns - 1 - (int)strlen(v->clock), FRAME_NORMAL, "%s",
			  v->clock);
}

/* What stands behind the bar: those pieces that have room, up to the first that has none. */
struct pieces {
	int n;
	char text[4][32];
};

static void add_piece(struct pieces *p, const char *fmt, const char *value)
	__attribute__((format(printf, 2, 0)));

static void add_piece(struct pieces *p, const char *fmt, const char *value)
{
	snprintf(p->text[p->n++], sizeof(p->text[0]), fmt, value);
}

static int pieces_length(const struct pieces *p)
{
	int n = 0;

	for (int i = 0; i < p->n; i++)
		n += (int)strlen(p->text[i]);
	return n;
}

static void put_pieces(struct frame *f, int row, int at, const struct pieces *p)
{
	for (int i = 0; i < p->n && at + (int)strlen(p->text[i]) <= f->columns; i++)
		at = frame_put(f, row, at, FRAME_NORMAL, "%s", p->text[i]);
}

static void memory_line(struct frame *f, const struct top_host *h)
{
	char a[TOP_CELL_MAX], b[TOP_CELL_MAX];
	int at = frame_put(f, 1, 0, FRAME_BOLD, "Memory");
	struct pieces rest = { 0 };

	add_piece(&rest, "  free %4s", size(a, h->free));
	add_piece(&rest, "  headroom %4s", size(a, h->headroom));
	add_piece(&rest, "  reserved %4s", size(a, h->reserved));
	if (h->budget) {
		at = frame_put(f, 1, at, FRAME_NORMAL, " %5s of %4s", size(a, h->used),
			       size(b, h->budget));
		at = bar(f, 1, at, pieces_length(&rest), h->used, h->budget);
	} else {
		at = frame_put(f, 1, at, FRAME_NORMAL, " %5s, no budget", size(a, h->used));
	}
	put_pieces(f, 1, at, &rest);
}

static void swap_line(struct frame *f, const struct top_host *h)
{
	char a[TOP_CELL_MAX], b[TOP_CELL_MAX];
	int at = frame_put(f, 2, 0, FRAME_BOLD, "Swap  ");
	struct pieces rest = { 0 };

	add_piece(&rest, "  to promise %4s", size(a, h->swap_free));
	add_piece(&rest, "  read %4s/s", top_cell(a, TOP_SIZE_RATE, &h->read));
	add_piece(&rest, "  write %4s/s", top_cell(a, TOP_SIZE_RATE, &h->write));
	if (h->swap_size) {
		at = frame_put(f, 2, at, FRAME_NORMAL, " %5s of %4s", size(a, h->swap_used),
			       size(b, h->swap_size));
		at = bar(f, 2, at, pieces_length(&rest), h->swap_used, h->swap_size);
	} else {
		at = frame_put(f, 2, at, FRAME_WARN, "  none is on");
	}
	put_pieces(f, 2, at, &rest);
}

static void faults_line(struct frame *f, const struct top_host *h)
{
	int at = frame_put(f, 3, 0, FRAME_BOLD, "Faults");
	struct pieces rest = { 0 };
	char a[TOP_CELL_MAX];

	at = frame_put(f, 3, at, FRAME_NORMAL, " %5s/s", top_cell(a, TOP_RATE, &h->faults));
	add_piece(&rest, "  pages in %5s/s", top_cell(a, TOP_RATE, &h->in));
	add_piece(&rest, "  out %5s/s", top_cell(a, TOP_RATE, &h->out));
	add_piece(&rest, "  worst stalls %4s%%", top_cell(a, TOP_PERCENT, &h->some));
	add_piece(&rest, ", full %4s%%", top_cell(a, TOP_PERCENT, &h->full));
	put_pieces(f, 3, at, &rest);
}

static void host_lines(struct frame *f, const struct top_model *m, const struct top_view *v)
{
	struct top_host h;

	if (!top_model_host(m, &h)) {
		frame_put(f, 0, 0, FRAME_BOLD, "drumctl top");
		return;
	}
	title_line(f, &h, v);
	memory_line(f, &h);
	swap_line(f, &h);
	faults_line(f, &h);
}

/* --- the list --------------------------------------------------------------------- */

static void help_lines(struct frame *f, int row)
{
	static const char *const text[] = {
		"  g d Tab    guests, devices (swap and disks), the other",
		"  < > s      sort by the column before, behind",
		"  r          the other way round",
		"  /          show only names with this text in them",
		"  Esc        show all again",
		"  arrows     scroll, as do j, k, pages, Home and End",
		"  space      look now",
		"  q          leave",
		"",
		"  SOME FULL  % of 10 s that one vCPU, or all, waited",
		"  P99        99 of 100 faults took less",
		"  WSET       what was touched within the last minute",
		"  -          not known, as rates before a second look",
	};

	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]) && row < f->rows - 1; i++)
		frame_put(f, row++, 0, FRAME_NORMAL, "%s", text[i]);
}

static int longest_name(const struct top_row *rows, size_t n)
{
	size_t most = 0;

	for (size_t i = 0; i < n; i++)
		if (rows[i].value[0].known && strlen(rows[i].value[0].text) > most)
			most = strlen(rows[i].value[0].text);
	return most < FRAME_COLUMNS_MAX ? (int)most : FRAME_COLUMNS_MAX;
}

static void status_line(struct frame *f, const struct top_view *v, size_t from, size_t n,
			size_t shown, size_t hidden)
{
	const struct top_order *o = &v->order[v->pane];
	int row = f->rows - 1, at;
	char right[64] = "";

	if (shown < n)
		snprintf(right, sizeof(right), "%zu-%zu of %zu", from + 1, from + shown, n);
	if (hidden)
		snprintf(right + strlen(right), sizeof(right) - strlen(right), "%s%zu hidden",
			 right[0] ? ", " : "", hidden);
	if (v->typing) {
		at = frame_put(f, row, 0, FRAME_BOLD, "Filter: %s_", o->filter);
	} else if (v->message[0]) {
		frame_put(f, row, 0, FRAME_BAD, "%s", v->message);
		return;
	} else {
		at = frame_put(f, row, 0, FRAME_NORMAL, "q quit  h help  %s  / filter",
			       v->pane == PANE_GUESTS ? "d devices" : "g guests");
		if (o->filter[0])
			at = frame_fit(f, row, at, FRAME_BOLD, ": %s", o->filter);
		at = frame_fit(f, row, at, FRAME_NORMAL, "  <> sort: %s%s",
			       top_columns[v->pane][o->column].name,
			       o->reverse ? ", reversed" : "");
	}
	if (f->columns - 1 - (int)strlen(right) > at)
		frame_put(f, row, f->columns - 1 - (int)strlen(right), FRAME_NORMAL, "%s",
			  right);
}

void top_page(struct frame *f, struct top_model *m, struct top_view *v)
{
	const struct top_order *o = &v->order[v->pane];
	const struct top_row *rows;
	struct top_layout layout;
	size_t hidden, n, i, *first = &v->first[v->pane];
	size_t space = f->rows > HEADING_ROW + 2 ? (size_t)(f->rows - HEADING_ROW - 2) : 0;

	host_lines(f, m, v);
	n = top_model_rows(m, v->pane, o, &rows, &hidden);
	top_layout_fit(&layout, v->pane, o->column, f->columns, longest_name(rows, n));
	if (*first + space > n)
		*first = n > space ? n - space : 0;
	if (v->help) {
		help_lines(f, HEADING_ROW + 1);
	} else {
		top_layout_headings(&layout, f, HEADING_ROW);
		for (i = 0; i < space && *first + i < n; i++)
			top_layout_row(&layout, f, HEADING_ROW + 1 + (int)i, &rows[*first + i]);
	}
	if (f->rows > 0) {
		memset(f->line[f->rows - 1].text, ' ', (size_t)f->columns);
		frame_row_style(f, f->rows - 1, FRAME_NORMAL);
		status_line(f, v, *first, n, n - *first < space ? n - *first : space, hidden);
	}
}

struct frame *top_batch(struct top_model *m, const struct top_view *v)
{
	const struct top_row *rows;
	struct top_layout layout;
	size_t hidden, n = 0, i;
	struct frame *f;
	int row = HEADING_ROW;

	for (enum top_pane p = 0; p < TOP_PANES; p++)
		n += top_model_rows(m, p, &v->order[p], &rows, &hidden) + 2;
	f = frame_create(HEADING_ROW + (int)n, BATCH_WIDTH);
	if (!f)
		return NULL;
	host_lines(f, m, v);
	for (enum top_pane p = 0; p < TOP_PANES; p++) {
		n = top_model_rows(m, p, &v->order[p], &rows, &hidden);
		top_layout_fit(&layout, p, v->order[p].column, BATCH_WIDTH,
			       longest_name(rows, n));
		row++;
		top_layout_headings(&layout, f, row++);
		for (i = 0; i < n; i++)
			top_layout_row(&layout, f, row++, &rows[i]);
	}
	return f;
}
