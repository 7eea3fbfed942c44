/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A command that takes its time begins a job (call_job).  The host is asked, and says at the
 * end how it went (ended); meanwhile the call waits, or was answered at once if an id was
 * given.  To cancel is another thing that the host is asked for; it answers whether it can be
 * done, which may be after the job has ended, hence the number by which it is looked for then.
 *
 * How far a job is, is not told by anybody: it is what guests and devices say when asked,
 * compared with what they said when it began.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/call.h"
#include "control/jobs.h"
#include "control/query_add.h"
#include "control/registry.h"

/* How much there is to do, of which what was done is known by asking again. */
static uint64_t left_to_do(struct host *host, const struct job *j)
{
	struct guest_stats g;

	if (host_guest_stats_one(host, j->subject, &g) < 0)
		return 0;
	return !strcmp(j->type, "guest-out")	? g.resident
	       : !strcmp(j->type, "guest-dump") ? g.size - g.dump_done
						: g.swapped + g.reading;
}

static bool has_path(const struct swap_stats *d, const char *path)
{
	for (unsigned int i = 0; i < d->halves; i++)
		if (!strcmp(d->half[i].path, path))
			return true;
	return !strcmp(d->path, path);
}

static void swap_progress(struct host *host, const struct job *j, uint64_t *current,
			  uint64_t *total)
{
	size_t n = host_swap_stats(host, NULL, 0);
	struct swap_stats *d = calloc(n ? n : 1, sizeof(*d));

	n = d ? host_swap_stats(host, d, n) : 0;
	for (size_t i = 0; i < n; i++) {
		if (!has_path(&d[i], j->subject))
			continue;
		*total = d[i].to_move;
		*current = d[i].moved;
	}
	free(d);
}

static void progress(struct host *host, const struct job *j, uint64_t *current, uint64_t *total)
{
	uint64_t left;

	*total = *current = j->total;
	if (j->status == JOB_STATUS_CONCLUDED) {
		if (j->err.code)
			*current = 0;
	} else if (!strcmp(j->type, "swap-off")) {
		swap_progress(host, j, current, total);
	} else {
		left = left_to_do(host, j);
		*current = left < *total ? *total - left : 0;
	}
}

/* --- beginning, and end ------------------------------------------------------------- */

struct run { /* the host knows it by its address, which must not become another's meanwhile */
	struct command_call *call; /* NULL: it was answered when it began */
	struct jobs *jobs;
	struct job *job;
	unsigned int users; /* the host, and those who cancel */
};

static void run_put(struct run *r)
{
	if (--r->users == 0)
		free(r);
}

/* host_done_fn */
static void ended(void *ctx, const struct err *e)
{
	struct run *r = ctx;

	jobs_conclude(r->jobs, r->job, e);
	if (r->call)
		call_host_done(r->call, e);
	run_put(r);
}

void call_job(struct command_call *call, const char *type, const char *subject, const char *id,
	      call_job_fn *start)
{
	struct run *r = calloc(1, sizeof(*r));
	struct err e;

	if (!r) {
		call_answer(call, NULL);
		return;
	}
	if (jobs_begin(call->jobs, type, subject, id, &r->job, &e) < 0) {
		free(r);
		call_refused(call, &e);
		return;
	}
	r->users = 1;
	r->jobs = call->jobs;
	r->job->owner = r;
	r->job->total = left_to_do(call->host, r->job);
	r->call = id ? NULL : call;
	start(call->host, subject, ended, r);
	if (id)
		call_done(call, json_object_new_object());
}

static const struct figure job_figures[] = {
	FIGURE_ADDED("id", WORD, NULL,
		     "Its id: as it was given, else the command and its subject, as "
		     "guest-out:web1."),
	FIGURE_ADDED("type", WORD, NULL, "The command that has begun it."),
	FIGURE_ADDED("status", WORD, NULL,
		     "One of created, running, aborting (its end was asked for), concluded."),
	FIGURE_ADDED("current-progress", SIZE, NULL, "Bytes that are done."),
	FIGURE_ADDED("total-progress", SIZE, NULL, "Bytes to do, as far as known."),
	FIGURE_ADDED("subject", WORD, NULL, "The guest or swap device that it is about."),
	{ 0 },
};

static const struct figure job_error_figures[] = {
	FIGURE_ADDED("error", WORD, NULL, "Why it has failed."),
	{ 0 },
};

static const struct figure job_warning_figures[] = {
	FIGURE_ADDED("warning", WORD, NULL, "What is to be said of it, although it succeeded."),
	{ 0 },
};

const struct object_type job_object = {
	"Job",
	"Something that a command has begun",
	{ job_figures, job_error_figures, job_warning_figures },
	1u << 1 | 1u << 2,
};

/* --- commands ------------------------------------------------------------------------ */

void run_query_jobs(struct command_call *call, const union command_value *values,
		    const bool *given)
{
	struct json_object *array = json_object_new_array();

	(void)values;
	(void)given;
	for (const struct job *j = jobs_first(call->jobs); j; j = j->next) {
		struct json_object *o = json_object_new_object();
		uint64_t current, total;

		progress(call->host, j, &current, &total);
		add_text(o, "id", j->id);
		add_text(o, "type", j->type);
		add_text(o, "status", job_status_name(j->status));
		add_uint(o, "current-progress", current);
		add_uint(o, "total-progress", total);
		add_text(o, "subject", j->subject);
		if (j->err.code)
			add_text(o, "error", j->err.text);
		else if (j->err.text[0])
			add_text(o, "warning", j->err.text);
		json_object_array_add(array, o);
	}
	call_done(call, array);
}

/* => NULL: the call was refused */
static struct job *find(struct command_call *call, const char *id)
{
	struct job *j = jobs_find(call->jobs, id);
	struct err e;

	if (j)
		return j;
	/* the first words are QEMU's */
	(void)err_set(&e, -ENOENT, "Job not found: %s; query-jobs lists those that there are",
		      id);
	call_refused(call, &e);
	return NULL;
}

struct cancel {
	struct command_call *call;
	struct jobs *jobs;
	struct run *run;
	uint64_t number; /* of the job, which may have ended */
};

/* host_done_fn: it will end, or why it does not. */
static void cancelled(void *ctx, const struct err *e)
{
	struct cancel *c = ctx;
	struct job *j = jobs_find_number(c->jobs, c->number);
	struct err why = *e, ignored;

	if (e->code && j)
		(void)!jobs_abort(c->jobs, j, false, &ignored);
	jobs_let_go(c->jobs);
	run_put(c->run);
	call_host_done(c->call, &why);
	free(c);
}

static void cancel_at_host(struct host *host, const struct job *j, struct cancel *c)
{
	if (!strcmp(j->type, "swap-off"))
		host_swap_off_cancel(host, j->subject, c->run, cancelled, c);
	else
		host_guest_cancel(host, j->subject, c->run, cancelled, c);
}

void run_job_cancel(struct command_call *call, const union command_value *values,
		    const bool *given)
{
	struct job *j = find(call, values[0].text);
	struct cancel *c;
	struct err e;

	(void)given;
	if (!j)
		return;
	c = calloc(1, sizeof(*c));
	if (!c) {
		call_answer(call, NULL);
		return;
	}
	*c = (struct cancel){ call, call->jobs, j->owner, j->number };
	if (jobs_abort(call->jobs, j, true, &e) < 0) {
		free(c);
		call_refused(call, &e);
		return;
	}
	jobs_hold(call->jobs);
	c->run->users++;
	cancel_at_host(call->host, j, c);
}

void run_job_dismiss(struct command_call *call, const union command_value *values,
		     const bool *given)
{
	struct job *j = find(call, values[0].text);
	struct err e;

	(void)given;
	if (!j)
		return;
	if (jobs_dismiss(call->jobs, j, &e) < 0)
		call_refused(call, &e);
	else
		call_done(call, json_object_new_object());
}
