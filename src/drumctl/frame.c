/* SPDX-License-Identifier: BSD-2-Clause */
#include "drumctl/frame.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drumctl/terminal.h"

struct frame *frame_create(int rows, int columns)
{
	struct frame *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->rows = rows < FRAME_ROWS_MAX ? rows : FRAME_ROWS_MAX;
	f->columns = columns < FRAME_COLUMNS_MAX ? columns : FRAME_COLUMNS_MAX;
	f->line = calloc((size_t)f->rows + 1, sizeof(*f->line));
	if (!f->line) {
		free(f);
		return NULL;
	}
	for (int i = 0; i < f->rows; i++)
		memset(f->line[i].text, ' ', (size_t)f->columns);
	return f;
}

void frame_destroy(struct frame *f)
{
	if (!f)
		return;
	free(f->line);
	free(f);
}

static int put(struct frame *f, int row, int column, enum frame_style style, const char *text)
{
	struct frame_line *line;

	if (row < 0 || row >= f->rows)
		return column;
	line = &f->line[row];
	for (; *text; text++, column++) {
		if (column < 0 || column >= f->columns)
			continue;
		line->text[column] = *text;
		line->style[column] = (unsigned char)style;
	}
	return column;
}

static void format(char text[FRAME_COLUMNS_MAX + 1], const char *fmt, va_list ap)
{
	char raw[FRAME_COLUMNS_MAX + 1];

	vsnprintf(raw, sizeof(raw), fmt, ap);
	terminal_safe(text, FRAME_COLUMNS_MAX + 1, raw);
}

int frame_put(struct frame *f, int row, int column, enum frame_style style, const char *fmt,
	      ...)
{
	char text[FRAME_COLUMNS_MAX + 1];
	va_list ap;

	va_start(ap, fmt);
	format(text, fmt, ap);
	va_end(ap);
	return put(f, row, column, style, text);
}

int frame_fit(struct frame *f, int row, int column, enum frame_style style, const char *fmt,
	      ...)
{
	char text[FRAME_COLUMNS_MAX + 1];
	va_list ap;

	va_start(ap, fmt);
	format(text, fmt, ap);
	va_end(ap);
	if (column + (int)strlen(text) > f->columns)
		return column;
	return put(f, row, column, style, text);
}

void frame_row_style(struct frame *f, int row, enum frame_style style)
{
	if (row >= 0 && row < f->rows)
		memset(f->line[row].style, style, (size_t)f->columns);
}
