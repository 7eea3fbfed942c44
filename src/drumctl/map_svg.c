/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The map of a guest's RAM as a picture.  All cells of one colour are one path, which keeps
 * the file small.
 */
#include <stdbool.h>

#include "drumctl/guest_map.h"
#include "drumctl/svg.h"

#define LEFT   76 /* of the cells: in front are addresses */
#define TOP    62
#define RIGHT  20
#define SQUARE 12 /* of 64 in a line; those of 128 are half as wide */
#define ITEM   205

/* Older is paler; the last one for an age that is not known. */
static const char *const fills[MAP_STATES][MAP_AGES + 1] = {
	[MAP_ACTIVE] = { "#116329", "#1f883d", "#4ab866", "#8fd9a0", "#c4ecca", "#1f883d" },
	[MAP_INACTIVE] = { "#0a3d91", "#0969da", "#54a3f2", "#96c8fb", "#c9e3fd", "#0969da" },
	[MAP_SWAPPED] = { "#bc4c00", "#e16f24", "#f0914f", "#f7b48a", "#fad4bb", "#e16f24" },
	[MAP_ZERO] = { "#d5dade", "#d5dade", "#d5dade", "#d5dade", "#d5dade", "#d5dade" },
	[MAP_READING] = { "#0f9d9f", "#0f9d9f", "#0f9d9f", "#0f9d9f", "#0f9d9f", "#0f9d9f" },
	[MAP_WRITING] = { "#8250df", "#8250df", "#8250df", "#8250df", "#8250df", "#8250df" },
	[MAP_PINNED] = { "#cf222e", "#cf222e", "#cf222e", "#cf222e", "#cf222e", "#cf222e" },
};

static void put_path(FILE *f, const struct guest_map *m, int columns, enum map_state state,
		     int age)
{
	int side = SQUARE * 64 / columns;
	bool any = false;

	for (int i = 0; i < m->n; i++) {
		const struct map_cell *c = &m->cell[i];

		if (c->state != state || (c->age < 0 ? MAP_AGES : c->age) != age)
			continue;
		if (!any)
			fputs("<path d=\"", f);
		any = true;
		fprintf(f, "M%d %dh%dv%dh-%dz", LEFT + i % columns * side,
			TOP + i / columns * side, side - 1, side - 1, side - 1);
	}
	if (any)
		fprintf(f, "\" fill=\"%s\"/>\n", fills[state][age]);
}

static void put_swatch(FILE *f, double x, double y, enum map_state state, int age)
{
	char attributes[32];

	snprintf(attributes, sizeof(attributes), " fill=\"%s\"", fills[state][age]);
	svg_rect(f, x, y - 10, 12, 12, attributes);
}

static void put_legend(FILE *f, const struct guest_map *m, int y)
{
	char size[SIZE_TEXT_MAX];
	int n = 0;

	for (int s = 0; s < MAP_STATES; s++) {
		int x = LEFT + n % 4 * ITEM;

		if (!m->total[s])
			continue;
		y += n > 0 && n % 4 == 0 ? 22 : 0;
		n++;
		put_swatch(f, x, y, (enum map_state)s, MAP_AGES);
		svg_text(f, x + 18, y, SVG_START, "", "%s %s, %.1f%%", map_state_name[s],
			 size_format(size, m->total[s]), map_share(m, (enum map_state)s));
	}
	y += 26;
	svg_text(f, LEFT, y, SVG_START, " fill=\"#57606a\"", "not used for:");
	for (int a = 0; a < MAP_AGES; a++) {
		double x = LEFT + 90 + a * 92;

		for (int s = MAP_ACTIVE; s <= MAP_INACTIVE; s++)
			put_swatch(f, x + s * 13, y, (enum map_state)s, a);
		svg_text(f, x + 30, y, SVG_START, " fill=\"#57606a\"", "%s", map_age_name[a]);
	}
	if (m->kept)
		svg_text(f, LEFT + 90 + MAP_AGES * 92, y, SVG_START, " fill=\"#57606a\"",
			 "%s has a clean copy on swap", size_format(size, m->kept));
}

void map_svg(FILE *f, const struct guest_map *m)
{
	int columns = m->n > 2048 ? 128 : 64, side = SQUARE * 64 / columns;
	int lines = (m->n + columns - 1) / columns, every = (lines + 15) / 16;
	char title[128], size[SIZE_TEXT_MAX];
	int height = TOP + lines * side + 104;

	snprintf(title, sizeof(title), "RAM of guest %s: %s", m->name,
		 size_format(size, m->size));
	svg_begin(f, LEFT + SQUARE * 64 + RIGHT, height, title);
	svg_text(f, 20, 49, SVG_START, " fill=\"#57606a\"",
		 "A square is %s, of the colour of what most of its pages are; the paler, the "
		 "longer not used.",
		 size_format(size, m->cell_size));
	for (int i = 0; i < lines; i += every)
		svg_text(f, LEFT - 8, TOP + i * side + side - 2, SVG_END, " fill=\"#57606a\"",
			 "%s", map_address(size, m, i * columns));
	for (int s = 0; s < MAP_STATES; s++)
		for (int a = 0; a <= MAP_AGES; a++)
			put_path(f, m, columns, (enum map_state)s, a);
	put_legend(f, m, TOP + lines * side + 30);
	svg_end(f);
}
