/* SPDX-License-Identifier: BSD-2-Clause */
/* Pictures in SVG that need nothing besides themselves: dark on white, a font that all have. */
#ifndef DRUM_DRUMCTL_SVG_H
#define DRUM_DRUMCTL_SVG_H

#include <stdio.h>

enum svg_anchor { SVG_START, SVG_MIDDLE, SVG_END };

/* title is what a reader is told, and what stands at the top */
void svg_begin(FILE *f, int width, int height, const char *title);
void svg_end(FILE *f);

/* attributes, as " fill=\"red\"", are put in as they are; the text is escaped */
void svg_text(FILE *f, double x, double y, enum svg_anchor anchor, const char *attributes,
	      const char *fmt, ...) __attribute__((format(printf, 6, 7)));
void svg_rect(FILE *f, double x, double y, double width, double height, const char *attributes);
void svg_line(FILE *f, double x1, double y1, double x2, double y2, const char *attributes);

#endif
