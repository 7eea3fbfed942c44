/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The verbs of jobs, and what all verbs have in common that wait for one: a bar on the
 * terminal, for which a second connection asks how far it is; and Ctrl-C, which ends the
 * waiting and nothing else, and says so.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "drumctl/ask.h"
#include "drumctl/progress.h"
#include "drumctl/verbs.h"

const struct column job_columns[] = {
	{ "ID", "id", CELL_TEXT, 0 },
	{ "STATUS", "status", CELL_TEXT, 0 },
	{ "DONE", "current-progress", CELL_SIZE, 0 },
	{ "OF", "total-progress", CELL_SIZE, 0 },
	{ "ERROR", "error", CELL_TEXT, COLUMN_OPTIONAL },
	{ 0 },
};

int job_list(struct client *c, const struct verb_args *args, struct err *e)
{
	return show_table(c, "query-jobs", job_columns, args, e);
}

static struct json_object *id_argument(const struct verb_args *args)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "id", args->operand);
	return o;
}

int job_cancel(struct client *c, const struct verb_args *args, struct err *e)
{
	return tell(c, "job-cancel", id_argument(args), e);
}

int job_dismiss(struct client *c, const struct verb_args *args, struct err *e)
{
	return tell(c, "job-dismiss", id_argument(args), e);
}

int catch_interrupt(void)
{
	struct sigaction old;
	sigset_t set;

	if (sigaction(SIGINT, NULL, &old) < 0 || old.sa_handler == SIG_IGN)
		return -1;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* --- waiting for one ------------------------------------------------------------------ */

struct waiting {
	struct client *client; /* where it is to be answered */
	struct client *side;   /* a second one, to show how far it is; or NULL */
	const char *command, *name;
	int signals; /* signalfd, or -1 */
	struct progress progress;
	bool asking;	 /* of side */
	uint64_t ask_at; /* clock_ns */
};

/* It is a help; without it the job goes on all the same. */
static void side_lost(struct waiting *w)
{
	client_close(w->side);
	w->side = NULL;
}

static void side_ask(struct waiting *w)
{
	struct err e;

	if (!w->side || w->asking || clock_ns() < w->ask_at)
		return;
	w->ask_at = clock_ns() + PROGRESS_MS * NSEC_PER_MSEC;
	w->asking = true;
	if (client_start(w->side, "query-jobs", NULL, &e) < 0)
		side_lost(w);
}

/* Is it the job that is waited for?  It was given no id. */
static bool is_ours(const struct waiting *w, struct json_object *job)
{
	struct json_object *id;
	const char *text;
	size_t n = strlen(w->command);

	if (!json_object_object_get_ex(job, "id", &id) ||
	    !json_object_is_type(id, json_type_string))
		return false;
	text = json_object_get_string(id);
	return !strncmp(text, w->command, n) && text[n] == ':' &&
	       !strcmp(text + n + 1, w->name);
}

static void draw(struct waiting *w, struct json_object *jobs)
{
	struct json_object *job, *done, *total;

	if (!json_object_is_type(jobs, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(jobs); i++) {
		job = json_object_array_get_idx(jobs, i);
		/* of some it is not known, or there is nothing */
		if (is_ours(w, job) &&
		    json_object_object_get_ex(job, "current-progress", &done) &&
		    json_object_object_get_ex(job, "total-progress", &total) &&
		    json_object_get_uint64(total) > 0)
			progress_set(&w->progress, json_object_get_uint64(done),
				     json_object_get_uint64(total));
	}
}

static void side_answer(struct waiting *w)
{
	struct json_object *result;
	struct err e;
	int rc = client_look(w->side, &result, &e);

	if (rc == 0)
		return;
	w->asking = false;
	if (rc < 0) {
		if (client_is_lost(w->side))
			side_lost(w);
		return;
	}
	draw(w, result);
	json_object_put(result);
}

/* => as client_look: 1 when the job was answered; and -EINTR */
static int turn(struct waiting *w, struct json_object **result, struct err *e)
{
	struct pollfd fds[3] = { { .fd = client_fd(w->client), .events = POLLIN },
				 { .fd = w->signals, .events = POLLIN },
				 { .fd = -1, .events = POLLIN } };
	int rc;

	side_ask(w);
	if (w->side)
		fds[2].fd = client_fd(w->side);
	rc = poll(fds, 3, w->side && !w->asking ? PROGRESS_MS : -1);
	if (rc < 0 && errno != EINTR)
		return err_set(e, -errno, "cannot wait for drumd");
	if (rc <= 0)
		return 0;
	if (fds[1].revents)
		return err_set(e, -EINTR,
			       "interrupted; drumd goes on with it, which 'drumctl job "
			       "cancel %s:%s' ends",
			       w->command, w->name);
	if (fds[2].revents)
		side_answer(w);
	return fds[0].revents ? client_look(w->client, result, e) : 0;
}

int tell_job(struct client *c, const char *command, const struct verb_args *args, struct err *e)
{
	struct waiting w = { .client = c, .command = command, .name = args->operand };
	struct json_object *o = json_object_new_object(), *result;
	int rc;

	progress_begin(&w.progress, w.name);
	if (w.progress.shown && client_open(args->socket, &w.side, e) < 0)
		w.side = NULL;
	w.signals = catch_interrupt();
	add_text(o, "name", w.name);
	rc = client_start(c, command, o, e);
	while (rc == 0)
		rc = turn(&w, &result, e);
	progress_end(&w.progress);
	client_close(w.side);
	if (w.signals >= 0)
		close(w.signals);
	if (rc < 0)
		return rc;
	show_warning(result);
	json_object_put(result);
	return 0;
}
