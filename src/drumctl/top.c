/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "drumctl top".
 *
 * Theory of operation
 *
 * One loop waits for keys, signals, the daemon's answers and the time of the next look,
 * whichever comes first, so that keys work while the daemon does not answer.  A look asks
 * one query after the other; when the last answer has come, they are the model's next sample,
 * of that time.  When the connection is lost the status line says so, what was shown stays
 * without its rates, and a second later it connects again.
 *
 *	RESTING    until the time of the next look          -> ASKING, or CONNECTING if lost
 *	ASKING     a query is under way                     -> ASKING, RESTING, or lost: RESTING
 *	CONNECTING the greeting and its answer are awaited  -> ASKING, or not there: RESTING
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "drumctl/screen.h"
#include "drumctl/top_page.h"
#include "drumctl/verbs.h"

#define DELAY_MS     1000
#define RECONNECT_MS 1000

struct top {
	struct client *client;
	struct top_model *model;
	struct top_view view;
	struct screen *screen;
	uint64_t delay;	  /* ns between two looks */
	uint64_t look_at; /* clock_ns of the next */
	uint32_t looks;	  /* that are still to come; with --count only */
	bool counted;
	enum { RESTING, ASKING, CONNECTING } state;
	enum top_query query; /* ASKING: which one */
	struct json_object *answers[TOP_QUERIES];
};

static void note_time(struct top *t)
{
	time_t now = time(NULL);
	struct tm tm;

	if (!localtime_r(&now, &tm) ||
	    !strftime(t->view.clock, sizeof(t->view.clock), "%H:%M:%S", &tm))
		t->view.clock[0] = '\0';
}

static void forget_answers(struct top *t)
{
	for (int q = 0; q < TOP_QUERIES; q++) {
		json_object_put(t->answers[q]);
		t->answers[q] = NULL;
	}
}

/* The last answer is there: that is a sample. */
static void sampled(struct top *t)
{
	top_model_add(t->model, clock_ns(), t->answers);
	memset(t->answers, 0, sizeof(t->answers)); /* they are the model's */
	note_time(t);
	t->view.message[0] = '\0';
}

/* --- live ------------------------------------------------------------------------- */

static void rest(struct top *t, uint64_t ns)
{
	t->state = RESTING;
	t->look_at = clock_ns() + ns;
}

static void on_lost(struct top *t, const struct err *e)
{
	forget_answers(t);
	top_model_cut(t->model);
	/* of a message that is longer than the screen the end is lost, so this comes first */
	snprintf(t->view.message, sizeof(t->view.message), "reconnecting: %.400s", e->text);
	rest(t, RECONNECT_MS * NSEC_PER_MSEC);
}

static void ask(struct top *t, enum top_query q)
{
	struct err e;

	t->state = ASKING;
	t->query = q;
	if (client_start(t->client, top_query_name[q], NULL, &e) < 0)
		on_lost(t, &e);
}

/* The time has come. */
static void look(struct top *t)
{
	struct err e;

	if (!client_is_lost(t->client)) {
		ask(t, 0);
	} else if (client_reopen_start(t->client, &e) < 0) {
		on_lost(t, &e);
	} else {
		t->state = CONNECTING;
	}
}

/* => true: there is a new sample */
static bool on_answer(struct top *t)
{
	struct json_object *result = NULL;
	struct err e;
	int rc;

	if (t->state == CONNECTING) {
		rc = client_reopen_look(t->client, &e);
		if (rc < 0)
			on_lost(t, &e);
		else if (rc == 1)
			ask(t, 0);
		return false;
	}
	/* RESTING: nothing was asked, so it is the end, or an event */
	rc = client_look(t->client, &result, &e);
	if (t->state == RESTING || rc == 0) {
		if (rc < 0)
			on_lost(t, &e);
		return false;
	}
	if (rc < 0 && rc != -EREMOTEIO) {
		on_lost(t, &e);
		return false;
	}
	/* a query that it refuses is one that it does not know: the rest is shown */
	t->answers[t->query] = rc == 1 ? result : NULL;
	if (t->query + 1 < TOP_QUERIES) {
		ask(t, t->query + 1);
		return false;
	}
	sampled(t);
	rest(t, t->delay);
	return true;
}

static int draw(struct top *t)
{
	struct frame *f;
	int rows, columns;

	screen_size(t->screen, &rows, &columns);
	f = frame_create(rows, columns);
	if (!f)
		return -ENOMEM;
	top_page(f, t->model, &t->view);
	screen_draw(t->screen, f);
	frame_destroy(f);
	return 0;
}

static int time_left_ms(const struct top *t)
{
	uint64_t now = clock_ns();

	if (t->state != RESTING)
		return -1;
	return t->look_at <= now
		       ? 0
		       : (int)((t->look_at - now + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC);
}

/* => 0: left by a key or after so many looks; the signal that ends it; or -errno */
static int live_loop(struct top *t)
{
	int key, rows, columns, rc;

	look(t);
	for (;;) {
		rc = draw(t);
		if (rc < 0)
			return rc;
		if (t->state == RESTING && clock_ns() >= t->look_at)
			look(t);
		switch (screen_wait(t->screen,
				    client_is_lost(t->client) ? -1 : client_fd(t->client),
				    time_left_ms(t), &key)) {
		case SCREEN_KEY:
			screen_size(t->screen, &rows, &columns);
			switch (top_key(&t->view, key, rows)) {
			case TOP_QUIT:
				return 0;
			case TOP_NOW:
				if (t->state == RESTING)
					t->look_at = clock_ns();
				break;
			case TOP_STAY:
				break;
			}
			break;
		case SCREEN_READY:
			if (on_answer(t) && t->counted && --t->looks == 0)
				return draw(t);
			break;
		case SCREEN_SIGNAL:
			return key;
		case SCREEN_RESIZED:
		case SCREEN_TIME:
			break;
		}
	}
}

static int live(struct top *t, struct err *e)
{
	int rc = screen_open(&t->screen, e);

	if (rc < 0)
		return rc;
	rc = live_loop(t);
	screen_close(t->screen);
	if (rc > 0) {
		/* the terminal is as it was: now as if nobody had caught it */
		signal(rc, SIG_DFL);
		raise(rc);
	}
	return rc < 0 ? err_set(e, rc, "%s", strerror(-rc)) : 0;
}

/* --- batch ------------------------------------------------------------------------ */

static int print_batch(struct top *t, struct err *e)
{
	struct frame *f = top_batch(t->model, &t->view);

	if (!f)
		return err_set(e, -ENOMEM, "out of memory");
	for (int y = 0; y < f->rows; y++) {
		int n = f->columns;

		while (n > 0 && f->line[y].text[n - 1] == ' ')
			n--;
		printf("%.*s\n", n, f->line[y].text);
	}
	frame_destroy(f);
	return 0;
}

static void sleep_until(uint64_t ns)
{
	struct timespec at = { (time_t)(ns / NSEC_PER_SEC), (long)(ns % NSEC_PER_SEC) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		;
}

/* As "top -b": each look below the one before.  The first is for the rates of the second, and
 * not printed. */
static int batch(struct top *t, struct err *e)
{
	for (uint64_t i = 0; i <= t->looks; i++) {
		int rc = 0;

		if (i > 0)
			sleep_until(t->look_at);
		if (i > 1)
			putchar('\n');
		t->look_at = clock_ns() + t->delay;
		for (int q = 0; q < TOP_QUERIES && rc == 0; q++) {
			rc = client_call(t->client, top_query_name[q], NULL, &t->answers[q], e);
			if (rc == -EREMOTEIO)
				rc = 0;
		}
		if (rc < 0) {
			forget_answers(t);
			return rc;
		}
		sampled(t);
		if (i > 0)
			rc = print_batch(t, e);
		if (rc < 0)
			return rc;
		if (fflush(stdout) != 0)
			break; /* which main tells */
	}
	return 0;
}

/* ---------------------------------------------------------------------------------- */

int top_check(const struct verb_args *args, struct err *e)
{
	int rc;

	if (args->sort) {
		rc = top_column_find(PANE_GUESTS, args->sort, e);
		if (rc < 0)
			return rc;
	}
	if (args->filter && strlen(args->filter) >= sizeof(((struct top_order *)NULL)->filter))
		return err_set(e, -EINVAL, "--filter: longer than any name");
	if (!(args->given & OPT_COUNT) && !screen_is_possible())
		return err_set(e, -EINVAL,
			       "this is no terminal that can be drawn on; give --count N for "
			       "plain text, N times");
	return 0;
}

int top_show(struct client *c, const struct verb_args *args, struct err *e)
{
	struct top t = {
		.client = c,
		.delay = (args->given & OPT_DELAY ? args->delay : DELAY_MS) * NSEC_PER_MSEC,
		.counted = args->given & OPT_COUNT,
		.looks = args->count,
		.model = top_model_create(),
	};
	struct top_order *order = &t.view.order[PANE_GUESTS];
	int rc;

	if (!t.model)
		return err_set(e, -ENOMEM, "out of memory");
	top_view_init(&t.view);
	if (args->sort) {
		rc = top_column_find(PANE_GUESTS, args->sort, e);
		order->column = rc < 0 ? 0 : rc;
	}
	if (args->filter)
		snprintf(order->filter, sizeof(order->filter), "%s", args->filter);
	rc = screen_is_possible() ? live(&t, e) : batch(&t, e);
	forget_answers(&t);
	top_model_destroy(t.model);
	return rc;
}
