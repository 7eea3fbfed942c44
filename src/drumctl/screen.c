/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * Signals are blocked and come out of a signalfd, so that none of them finds ncurses in the
 * middle of something: SIGWINCH means to ask for the size, the others that the terminal is
 * given back before the process goes.  SIGTSTP is ncurses' own, which knows how to stop.
 */
#include "drumctl/screen.h"

#include <curses.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "drumctl/terminal.h"
#include "drumctl/top_page.h"

#define ESCAPE_MS 50 /* what comes within belongs to the key that began with Esc */

struct screen {
	SCREEN *curses;
	FILE *in, *out;
	int signals;
	sigset_t mask_before;
	attr_t attribute[FRAME_STYLES];
	short colour[FRAME_STYLES];
};

bool screen_is_possible(void)
{
	const char *term = getenv("TERM");
	struct terminal t;

	terminal_look(&t, STDOUT_FILENO);
	return t.moves && term && *term && isatty(STDIN_FILENO);
}

static int take_signals(struct screen *s)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigaddset(&mask, SIGWINCH);
	if (sigprocmask(SIG_BLOCK, &mask, &s->mask_before) < 0)
		return -errno;
	s->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signals < 0 ? -errno : 0;
}

static void choose_styles(struct screen *s)
{
	struct terminal t;

	terminal_look(&t, STDOUT_FILENO);
	s->attribute[FRAME_BOLD] = A_BOLD;
	s->attribute[FRAME_HEADING] = A_REVERSE;
	s->attribute[FRAME_SORTED] = A_REVERSE | A_BOLD | A_UNDERLINE;
	s->attribute[FRAME_WARN] = s->attribute[FRAME_BAD] = A_BOLD;
	if (t.colours == TERMINAL_PLAIN || !has_colors() || start_color() == ERR)
		return;
	use_default_colors();
	init_pair(1, COLOR_GREEN, -1);
	init_pair(2, COLOR_YELLOW, -1);
	init_pair(3, COLOR_RED, -1);
	init_pair(4, COLOR_CYAN, -1);
	s->colour[FRAME_GOOD] = 1;
	s->colour[FRAME_WARN] = 2;
	s->colour[FRAME_BAD] = 3;
	s->colour[FRAME_DIM] = 4;
}

int screen_open(struct screen **out, struct err *e)
{
	struct screen *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	rc = take_signals(s);
	if (rc == 0 && !(s->curses = newterm(NULL, stdout, stdin)))
		rc = -ENOTTY;
	if (rc < 0) {
		sigprocmask(SIG_SETMASK, &s->mask_before, NULL);
		if (s->signals > 0)
			close(s->signals);
		free(s);
		return err_set(e, rc,
			       "cannot draw on this terminal (TERM=%s); give --count for "
			       "plain text",
			       getenv("TERM"));
	}
	set_escdelay(ESCAPE_MS);
	choose_styles(s);
	cbreak();
	noecho();
	curs_set(0);
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	*out = s;
	return 0;
}

void screen_close(struct screen *s)
{
	if (!s)
		return;
	endwin();
	delscreen(s->curses);
	sigprocmask(SIG_SETMASK, &s->mask_before, NULL);
	close(s->signals);
	free(s);
}

void screen_size(const struct screen *s, int *rows, int *columns)
{
	(void)s;
	getmaxyx(stdscr, *rows, *columns);
}

void screen_draw(struct screen *s, const struct frame *f)
{
	erase();
	for (int y = 0; y < f->rows; y++) {
		int x = 0, n;

		while (x < f->columns) {
			unsigned char style = f->line[y].style[x];

			for (n = 1; x + n < f->columns && f->line[y].style[x + n] == style; n++)
				;
			attr_set(s->attribute[style], s->colour[style], NULL);
			mvaddnstr(y, x, f->line[y].text + x, n);
			x += n;
		}
	}
	attr_set(A_NORMAL, 0, NULL);
	refresh();
}

static int translate(int c)
{
	switch (c) {
	case KEY_UP:
		return TOP_KEY_UP;
	case KEY_DOWN:
		return TOP_KEY_DOWN;
	case KEY_LEFT:
		return TOP_KEY_LEFT;
	case KEY_RIGHT:
		return TOP_KEY_RIGHT;
	case KEY_PPAGE:
		return TOP_KEY_PAGE_UP;
	case KEY_NPAGE:
		return TOP_KEY_PAGE_DOWN;
	case KEY_HOME:
		return TOP_KEY_HOME;
	case KEY_END:
		return TOP_KEY_END;
	case KEY_ENTER:
		return TOP_KEY_ENTER;
	case KEY_BACKSPACE:
		return TOP_KEY_ERASE;
	default:
		return c < 256 ? c : TOP_KEY_NONE;
	}
}

/* => false: it was none that matters */
static bool read_signal(struct screen *s, enum screen_event *event, int *key)
{
	struct signalfd_siginfo info;
	struct winsize size;

	if (read(s->signals, &info, sizeof(info)) != sizeof(info))
		return false;
	*key = (int)info.ssi_signo;
	*event = SCREEN_SIGNAL;
	if (info.ssi_signo == SIGWINCH) {
		*event = SCREEN_RESIZED;
		if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 &&
		    size.ws_col > 0)
			resizeterm(size.ws_row, size.ws_col);
		clear(); /* what the terminal made of it nobody knows */
	}
	return true;
}

enum screen_event screen_wait(struct screen *s, int fd, int timeout_ms, int *key)
{
	struct pollfd fds[3] = {
		{ .fd = s->signals, .events = POLLIN },
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = fd, .events = POLLIN },
	};
	enum screen_event event;
	int c = getch(); /* one may have been read already, behind another */

	if (c == ERR) {
		if (poll(fds, 3, timeout_ms) <= 0)
			return SCREEN_TIME; /* or interrupted: who waits looks at the clock */
		if (fds[0].revents && read_signal(s, &event, key))
			return event;
		c = fds[1].revents ? getch() : ERR;
		if (c == ERR && (fds[1].revents & (POLLHUP | POLLERR | POLLNVAL))) {
			*key = SIGHUP;
			return SCREEN_SIGNAL;
		}
	}
	if (c != ERR) {
		*key = translate(c);
		return SCREEN_KEY;
	}
	return fds[2].revents ? SCREEN_READY : SCREEN_TIME;
}
