/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The map of a guest's RAM on a terminal.
 *
 * Theory of operation
 *
 * With colours and UTF-8 a character is two cells, one above the other: the upper half block
 * in the colour of the upper one, on the colour of the lower.  With colours only it is a
 * blank on its colour.  Without colours it is a letter.  Lines begin with the address in
 * guest RAM of their first cell.
 */
#include <string.h>

#include "drumctl/guest_map.h"

#define GUTTER 8  /* columns of the address and a blank */
#define ITEM   26 /* columns of an entry of the legend */
#define LINES  16 /* of a map whose cells nobody has counted */
#define RESET  "\033[0m"
#define LOWER  "\342\226\204" /* U+2584, the lower half block */
#define UPPER  "\342\226\200" /* U+2580, the upper half block */

static const char letters[MAP_STATES + 1] = { 'A', 'I', 'S', 'Z', 'R', 'W', 'P', '.' };

/* Of 256: the newest first, and the last one for an age that is not known. */
static const unsigned char shades[MAP_STATES][MAP_AGES + 1] = {
	[MAP_ACTIVE] = { 46, 40, 34, 28, 22, 40 },
	[MAP_INACTIVE] = { 75, 33, 27, 20, 18, 33 },
	[MAP_SWAPPED] = { 214, 208, 202, 166, 130, 208 },
	[MAP_ZERO] = { 238, 238, 238, 238, 238, 238 },
	[MAP_READING] = { 51, 51, 51, 51, 51, 51 },
	[MAP_WRITING] = { 177, 177, 177, 177, 177, 177 },
	[MAP_PINNED] = { 196, 196, 196, 196, 196, 196 },
};

/* Of 8 and their bright ones, as for the foreground. */
static const unsigned char basic[MAP_STATES] = {
	[MAP_ACTIVE] = 32,  [MAP_INACTIVE] = 34, [MAP_SWAPPED] = 33, [MAP_ZERO] = 90,
	[MAP_READING] = 36, [MAP_WRITING] = 35,	 [MAP_PINNED] = 31,
};

/* Cells in a line: a power of two, so that addresses are round. */
static int line_cells(const struct terminal *t)
{
	int n = 16;

	while (n < 128 && 2 * n + GUTTER <= (int)t->columns)
		n *= 2;
	return n;
}

static bool has_halves(const struct terminal *t)
{
	return t->utf8 && t->colours != TERMINAL_PLAIN;
}

int map_cells_for(const struct terminal *t)
{
	return line_cells(t) * LINES * (has_halves(t) ? 2 : 1);
}

/* "\033[38;5;N" without its end; nothing if there is no cell */
static void colour(char to[16], const struct map_cell *c, const struct terminal *t, bool back)
{
	to[0] = '\0';
	if (!c || c->state == MAP_STATES)
		return;
	if (t->colours == TERMINAL_256)
		snprintf(to, 16, "%d;5;%d", back ? 48 : 38,
			 shades[c->state][c->age < 0 ? MAP_AGES : c->age]);
	else
		snprintf(to, 16, "%d", basic[c->state] + (back ? 10 : 0));
}

/* Of cells that follow each other in the same colours, these are written once. */
static void put_cells(FILE *f, const struct map_cell *up, const struct map_cell *low,
		      bool halves, const struct terminal *t, char last[40])
{
	char front[16] = "", back[16] = "", now[40];
	const char *glyph = " ";

	if (halves)
		colour(front, up, t, false);
	if (front[0])
		glyph = UPPER;
	else if (halves)
		colour(front, low, t, false);
	if (halves && front[0] && strcmp(glyph, UPPER) != 0)
		glyph = LOWER;
	else
		colour(back, halves ? low : up, t, true);
	snprintf(now, sizeof(now), "\033[0%s%s%s%sm", front[0] ? ";" : "", front,
		 back[0] ? ";" : "", back);
	if (strcmp(now, last) != 0)
		fputs(strcpy(last, now), f);
	fputs(glyph, f);
}

static void print_line(FILE *f, const struct guest_map *m, int first, int columns, bool halves,
		       const struct terminal *t)
{
	char size[SIZE_TEXT_MAX], last[40] = "";

	fprintf(f, "%*s ", GUTTER - 1, map_address(size, m, first));
	for (int i = first; i < first + columns && i < m->n; i++) {
		int low = i + columns;

		if (t->colours == TERMINAL_PLAIN)
			fputc(letters[m->cell[i].state], f);
		else
			put_cells(f, &m->cell[i], low < m->n ? &m->cell[low] : NULL, halves, t,
				  last);
	}
	fputs(last[0] ? RESET "\n" : "\n", f);
}

/* A sample of how it is drawn. */
static void print_swatch(FILE *f, enum map_state state, int age, const struct terminal *t)
{
	struct map_cell c = { state, age };
	char back[16];

	if (t->colours == TERMINAL_PLAIN) {
		fputc(letters[state], f);
		return;
	}
	colour(back, &c, t, true);
	fprintf(f, "\033[%sm  " RESET, back);
}

static void print_legend(FILE *f, const struct guest_map *m, const struct terminal *t)
{
	int in_line = t->columns < ITEM ? 1 : (int)t->columns / ITEM, n = 0;
	char size[SIZE_TEXT_MAX];

	for (int s = 0; s < MAP_STATES; s++) {
		if (!m->total[s])
			continue;
		if (n > 0)
			fputs(n % in_line ? "   " : "\n", f);
		n++;
		print_swatch(f, (enum map_state)s, -1, t);
		fprintf(f, " %-8s %7s %4.1f%%", map_state_name[s],
			size_format(size, m->total[s]), map_share(m, (enum map_state)s));
	}
	fputs(n ? "\n" : "", f);
	if (m->kept)
		fprintf(f, "%s of it has a clean copy on swap.\n", size_format(size, m->kept));
	if (t->colours != TERMINAL_256)
		return;
	fputs("Not used for:", f);
	for (int a = 0; a < MAP_AGES; a++) {
		fprintf(f, "  %s ", map_age_name[a]);
		print_swatch(f, MAP_ACTIVE, a, t);
		print_swatch(f, MAP_INACTIVE, a, t);
	}
	fputc('\n', f);
}

void map_print(FILE *f, const struct guest_map *m, const struct terminal *t)
{
	bool halves = has_halves(t);
	char size[SIZE_TEXT_MAX], cell[SIZE_TEXT_MAX], name[sizeof(m->name)];
	int columns = line_cells(t);

	fprintf(f, "%s: %s, %s to %s\n\n", terminal_safe(name, sizeof(name), m->name),
		size_format(size, m->size), size_format(cell, m->cell_size),
		halves			       ? "half a block"
		: t->colours == TERMINAL_PLAIN ? "a letter"
					       : "a block");
	for (int i = 0; i < m->n; i += columns * (halves ? 2 : 1))
		print_line(f, m, i, columns, halves, t);
	fputc('\n', f);
	print_legend(f, m, t);
}
