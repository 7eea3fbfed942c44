/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Jobs: what a command has begun that takes its time, in QEMU's words and states.  A table
 * and nothing else: who begins a job says when it has ended, and carries out what is asked.
 *
 * The loop's thread only.
 */
#ifndef DRUM_CONTROL_JOBS_H
#define DRUM_CONTROL_JOBS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/host.h"

#define JOBS_RUNNING_MAX 512 /* a guest has one at most, and so has a device */
#define JOBS_KEPT_MAX	 32  /* that have ended; of more, the oldest is forgotten */
#define JOBS_ID_MAX	 (SWAP_PATH_MAX + 40)

/*
 *	created		it is in the table
 *	running		what it does has been asked for
 *	aborting	its end has been asked for
 *	concluded	it has ended; one whose id was given stays so until job-dismiss
 *	null		it is not in the table any more
 */
enum job_status {
	JOB_STATUS_CREATED,
	JOB_STATUS_RUNNING,
	JOB_STATUS_ABORTING,
	JOB_STATUS_CONCLUDED,
	JOB_STATUS_NULL,
	JOB_STATUSES
};

struct job {
	char id[JOBS_ID_MAX + 1];
	const char *type;		 /* the command; outlives the job */
	char subject[SWAP_PATH_MAX + 1]; /* guest or device */
	enum job_status status;
	struct err err;	 /* of a concluded one; with code 0 its text may be a warning */
	uint64_t total;	 /* bytes to do, or to begin with; its owner's */
	uint64_t number; /* no two jobs have the same */
	void *owner;	 /* whoever began it */
	bool given;	 /* whoever began it gave the id */
	struct job *next;
};

struct jobs;

/* Called at each change; the job may be gone after the call. */
typedef void (*jobs_tell_fn)(void *arg, const char *id, enum job_status status);

struct jobs *jobs_create(jobs_tell_fn tell, void *arg); /* tell: or NULL; => NULL: no memory */
/* Nothing is told any more; all goes with the last job that runs, and the last jobs_hold. */
void jobs_destroy(struct jobs *t);
void jobs_hold(struct jobs *t);
void jobs_let_go(struct jobs *t);

/*
 * Begin a job, which is running then.  Without an id it is TYPE:SUBJECT, with "#2" and so on
 * behind it if there is one already.
 * => 0 and *out; or e: -EEXIST, -EBUSY too many run, -ENOMEM
 */
int must_check jobs_begin(struct jobs *t, const char *type, const char *subject, const char *id,
			  struct job **out, struct err *e);
/* It has ended so.  => the job may be gone */
void jobs_conclude(struct jobs *t, struct job *j, const struct err *e);

/* => NULL: there is none */
struct job *jobs_find(struct jobs *t, const char *id);
struct job *jobs_find_number(struct jobs *t, uint64_t number);
/* In the order in which they were begun; go on by job->next. */
const struct job *jobs_first(const struct jobs *t);

/* Its end is asked for, or (wanted false) could not be brought about.
 * => 0, or -EINVAL and e: it does not run */
int must_check jobs_abort(struct jobs *t, struct job *j, bool wanted, struct err *e);
/* => 0 and the job is gone, or -EINVAL and e: it has not ended */
int must_check jobs_dismiss(struct jobs *t, struct job *j, struct err *e);

const char *job_status_name(enum job_status status);

#endif
