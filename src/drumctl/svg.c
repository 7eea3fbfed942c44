/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers are written by hand and not by %f, which has another decimal point in some
 * locales: drumctl sets LC_CTYPE only, but who reads this need not know.
 */
#include "drumctl/svg.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>

/* What XML cannot have in text, and control characters, which it cannot have at all. */
static void put_escaped(FILE *f, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '&':
			fputs("&amp;", f);
			break;
		case '<':
			fputs("&lt;", f);
			break;
		case '>':
			fputs("&gt;", f);
			break;
		case '"':
			fputs("&quot;", f);
			break;
		default:
			fputc((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text, f);
		}
	}
}

/* name="12.5", to a hundredth */
static void put_number(FILE *f, const char *name, double v)
{
	long hundredths = lround(v * 100);
	const char *sign = hundredths < 0 ? "-" : "";

	hundredths = labs(hundredths);
	fprintf(f, " %s=\"%s%ld", name, sign, hundredths / 100);
	if (hundredths % 100)
		fprintf(f, ".%02ld", hundredths % 100);
	fputc('"', f);
}

void svg_begin(FILE *f, int width, int height, const char *title)
{
	fprintf(f,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
		"viewBox=\"0 0 %d %d\" role=\"img\" font-family=\"DejaVu Sans, Verdana, "
		"sans-serif\" font-size=\"12\" fill=\"#24292f\">\n<title>",
		width, height, width, height);
	put_escaped(f, title);
	fputs("</title>\n", f);
	svg_rect(f, 0, 0, width, height, " fill=\"#ffffff\"");
	svg_text(f, 20, 30, SVG_START, " font-size=\"17\" font-weight=\"bold\"", "%s", title);
}

void svg_end(FILE *f)
{
	fputs("</svg>\n", f);
}

void svg_text(FILE *f, double x, double y, enum svg_anchor anchor, const char *attributes,
	      const char *fmt, ...)
{
	static const char *const anchors[] = { "", " text-anchor=\"middle\"",
					       " text-anchor=\"end\"" };
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fputs("<text", f);
	put_number(f, "x", x);
	put_number(f, "y", y);
	fprintf(f, "%s%s>", anchors[anchor], attributes);
	put_escaped(f, text);
	fputs("</text>\n", f);
}

void svg_rect(FILE *f, double x, double y, double width, double height, const char *attributes)
{
	fputs("<rect", f);
	put_number(f, "x", x);
	put_number(f, "y", y);
	put_number(f, "width", width);
	put_number(f, "height", height);
	fprintf(f, "%s/>\n", attributes);
}

void svg_line(FILE *f, double x1, double y1, double x2, double y2, const char *attributes)
{
	fputs("<line", f);
	put_number(f, "x1", x1);
	put_number(f, "y1", y1);
	put_number(f, "x2", x2);
	put_number(f, "y2", y2);
	fprintf(f, "%s/>\n", attributes);
}
