/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * One list in the order of beginning.  set_status is the one setter, and tells.  A job whose
 * id nobody has given is known to whoever waits for its command only, and goes when it ends.
 *
 * Who carries a job out has a pointer to it, and says when it ends though the server may be
 * gone by then; so the table is counted: by its maker, by jobs that run, and by jobs_hold.
 */
#include "control/jobs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct jobs {
	jobs_tell_fn tell;
	void *arg;
	struct job *first;
	uint64_t last_number;
	unsigned int running, kept, holds;
};

static const char *const status_names[] = {
	"created", "running", "aborting", "concluded", "null",
};
_Static_assert(sizeof(status_names) / sizeof(status_names[0]) == JOB_STATUSES, "a name each");

const char *job_status_name(enum job_status status)
{
	return status_names[status];
}

struct jobs *jobs_create(jobs_tell_fn tell, void *arg)
{
	struct jobs *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->tell = tell;
	t->arg = arg;
	t->holds = 1;
	return t;
}

void jobs_hold(struct jobs *t)
{
	t->holds++;
}

void jobs_let_go(struct jobs *t)
{
	struct job *j;

	if (--t->holds > 0)
		return;
	while ((j = t->first)) {
		t->first = j->next;
		free(j);
	}
	free(t);
}

void jobs_destroy(struct jobs *t)
{
	if (!t)
		return;
	t->tell = NULL;
	jobs_let_go(t);
}

static void set_status(struct jobs *t, struct job *j, enum job_status status)
{
	j->status = status;
	if (t->tell)
		t->tell(t->arg, j->id, status);
}

static void drop(struct jobs *t, struct job *j)
{
	struct job **at = &t->first;

	while (*at != j)
		at = &(*at)->next;
	*at = j->next;
	set_status(t, j, JOB_STATUS_NULL);
	free(j);
}

struct job *jobs_find(struct jobs *t, const char *id)
{
	struct job *j = t->first;

	while (j && strcmp(j->id, id) != 0)
		j = j->next;
	return j;
}

struct job *jobs_find_number(struct jobs *t, uint64_t number)
{
	struct job *j = t->first;

	while (j && j->number != number)
		j = j->next;
	return j;
}

const struct job *jobs_first(const struct jobs *t)
{
	return t->first;
}

/* An id for a job that was given none. */
static void make_id(struct jobs *t, struct job *j)
{
	int n = snprintf(j->id, sizeof(j->id), "%s:%s", j->type, j->subject);

	/* fewer than run can be in the way */
	for (unsigned int k = 2; jobs_find(t, j->id); k++)
		snprintf(j->id + n, sizeof(j->id) - (size_t)n, "#%u", k);
}

int jobs_begin(struct jobs *t, const char *type, const char *subject, const char *id,
	       struct job **out, struct err *e)
{
	struct job **end = &t->first, *j;

	if (id && jobs_find(t, id))
		return err_set(e, -EEXIST, "Job ID '%s' already in use", id);
	if (t->running == JOBS_RUNNING_MAX)
		return err_set(e, -EBUSY, "%u jobs are running, that is the most", t->running);
	j = calloc(1, sizeof(*j));
	if (!j)
		return err_set(e, -ENOMEM, "out of memory");
	j->type = type;
	j->given = id;
	j->number = ++t->last_number;
	snprintf(j->subject, sizeof(j->subject), "%s", subject);
	if (id)
		snprintf(j->id, sizeof(j->id), "%s", id);
	else
		make_id(t, j);
	while (*end)
		end = &(*end)->next;
	*end = j;
	t->running++;
	jobs_hold(t);
	set_status(t, j, JOB_STATUS_CREATED);
	set_status(t, j, JOB_STATUS_RUNNING);
	*out = j;
	return 0;
}

/* Make room for one more that has ended. */
static void forget_oldest(struct jobs *t)
{
	struct job *j = t->first;

	if (t->kept < JOBS_KEPT_MAX)
		return;
	while (j->status != JOB_STATUS_CONCLUDED)
		j = j->next;
	t->kept--;
	drop(t, j);
}

void jobs_conclude(struct jobs *t, struct job *j, const struct err *e)
{
	j->err = *e;
	t->running--;
	if (j->given)
		forget_oldest(t);
	set_status(t, j, JOB_STATUS_CONCLUDED);
	if (j->given)
		t->kept++;
	else
		drop(t, j);
	jobs_let_go(t);
}

static int refuse(const struct job *j, const char *verb, struct err *e)
{
	return err_set(e, -EINVAL, "Job '%s' in state '%s' cannot accept command verb '%s'",
		       j->id, job_status_name(j->status), verb);
}

int jobs_abort(struct jobs *t, struct job *j, bool wanted, struct err *e)
{
	if (j->status != (wanted ? JOB_STATUS_RUNNING : JOB_STATUS_ABORTING))
		return refuse(j, "cancel", e);
	set_status(t, j, wanted ? JOB_STATUS_ABORTING : JOB_STATUS_RUNNING);
	return 0;
}

int jobs_dismiss(struct jobs *t, struct job *j, struct err *e)
{
	if (j->status != JOB_STATUS_CONCLUDED)
		return refuse(j, "dismiss", e);
	t->kept--;
	drop(t, j);
	return 0;
}
