/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The verbs of jobs, and what all verbs have in common that wait for one: Ctrl-C ends the
 * waiting and nothing else, and says so.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "drumctl/ask.h"
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

int tell_job(struct client *c, const char *command, const char *name, struct err *e)
{
	struct pollfd fds[2] = { { .fd = client_fd(c), .events = POLLIN },
				 { .fd = catch_interrupt(), .events = POLLIN } };
	struct json_object *args = json_object_new_object(), *result;
	int rc;

	add_text(args, "name", name);
	rc = client_start(c, command, args, e);
	while (rc == 0) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			rc = err_set(e, -errno, "cannot wait for drumd");
		else if (fds[1].revents)
			rc = err_set(e, -EINTR,
				     "interrupted; drumd goes on with it, which 'drumctl job "
				     "cancel %s:%s' ends",
				     command, name);
		else
			rc = client_look(c, &result, e);
	}
	if (fds[1].fd >= 0)
		close(fds[1].fd);
	if (rc < 0)
		return rc;
	show_warning(result);
	json_object_put(result);
	return 0;
}
