/* SPDX-License-Identifier: BSD-2-Clause */
#include "drumctl/terminal.h"

#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COLUMNS_IF_NONE 80
#define COLUMNS_MIN	20
#define COLUMNS_MAX	1000

static enum terminal_colours colours(const char *term)
{
	const char *no = getenv("NO_COLOR"), *more = getenv("COLORTERM");

	if (no && *no) /* as https://no-color.org has it */
		return TERMINAL_PLAIN;
	return strstr(term, "256color") || (more && *more) ? TERMINAL_256 : TERMINAL_8;
}

void terminal_look(struct terminal *t, int fd)
{
	const char *term = getenv("TERM");
	struct winsize size;

	*t = (struct terminal){ .columns = COLUMNS_IF_NONE };
	t->utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	if (!isatty(fd))
		return;
	if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col >= COLUMNS_MIN)
		t->columns = size.ws_col < COLUMNS_MAX ? size.ws_col : COLUMNS_MAX;
	t->moves = !term || strcmp(term, "dumb") != 0;
	if (t->moves && term && *term)
		t->colours = colours(term);
}

const char *terminal_safe(char *to, unsigned long room, const char *text)
{
	unsigned long n = 0;

	for (; *text && n + 1 < room; text++) {
		unsigned char c = (unsigned char)*text;

		if ((c & 0xc0) == 0x80)
			continue; /* the '?' of its first byte stands for it */
		to[n++] = c >= ' ' && c < 0x7f ? *text : '?';
	}
	to[n] = '\0';
	return to;
}
