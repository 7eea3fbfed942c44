/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * Switching off is one command that is answered at its end.  It is given on
 * the connection that every verb has; a second one shows meanwhile how far it
 * is, when there is a terminal to show it on, and cancels it on Ctrl-C.  All
 * of it is one poll loop, so a daemon that does not answer on one connection
 * keeps neither the other nor the user waiting.
 *
 * SIGINT is read from a signalfd: the first asks drumd to cancel, and the
 * answer to the first command then says how it ended; a second one leaves
 * without it.  Where SIGINT is ignored, as by a shell for its background
 * jobs, it stays so.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "drumctl/ask.h"
#include "drumctl/device.h"
#include "drumctl/progress.h"
#include "drumctl/verbs.h"

struct off {
	struct client *client; /* where swap-off is to be answered */
	struct client *side;   /* the second connection, or NULL */
	const char *socket, *path;
	int signals; /* signalfd, or -1 */
	struct progress progress;
	bool asking;	 /* of side: an answer is to come */
	bool cancelling; /* ... to swap-off-cancel, or it is to be sent */
	bool cancel_sent;
	uint64_t ask_at; /* clock_ns; of side, when to look again */
};

static struct json_object *path_argument(const char *path)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "path", path);
	return o;
}

/* The second connection is a help; without it swap-off goes on all the same. */
static void side_lost(struct off *off)
{
	client_close(off->side);
	off->side = NULL;
	off->asking = false;
}

static void side_ask(struct off *off)
{
	struct err e;
	int rc;

	if (!off->side || off->asking)
		return;
	if (off->cancelling && !off->cancel_sent) {
		rc = client_start(off->side, "swap-off-cancel", path_argument(off->path), &e);
		off->cancel_sent = true;
	} else if (off->progress.shown && !off->cancelling && clock_ns() >= off->ask_at) {
		rc = client_start(off->side, "query-swap-devices", NULL, &e);
		off->ask_at = clock_ns() + PROGRESS_MS * NSEC_PER_MSEC;
	} else {
		return;
	}
	off->asking = true;
	if (rc < 0)
		side_lost(off);
}

static void draw(struct off *off, struct json_object *devices)
{
	struct json_object *device, *to_move, *moved;
	size_t i;

	if (!json_object_is_type(devices, json_type_array))
		return;
	for (i = 0; i < json_object_array_length(devices); i++) {
		device = json_object_array_get_idx(devices, i);
		if (device_has_path(device, off->path) &&
		    json_object_object_get_ex(device, "to-move", &to_move) &&
		    json_object_object_get_ex(device, "moved", &moved))
			progress_set(&off->progress, json_object_get_uint64(moved),
				     json_object_get_uint64(to_move));
	}
}

static void side_answer(struct off *off)
{
	struct json_object *result;
	struct err e;
	int rc = client_look(off->side, &result, &e);

	if (rc == 0)
		return;
	if (rc < 0 && client_is_lost(off->side)) {
		side_lost(off);
		return;
	}
	/* a cancel that is refused came too late: the other answer says more */
	off->asking = false;
	if (rc < 0)
		return;
	draw(off, result);
	json_object_put(result);
}

/* => 0, or -EINTR: nobody waits for the answer any more */
static int interrupted(struct off *off, struct err *e)
{
	struct signalfd_siginfo info;

	if (read(off->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return 0;
	if (!off->cancelling && !off->side && client_open(off->socket, &off->side, e) < 0)
		return err_set(e, -EINTR,
			       "interrupted, but it cannot be cancelled: drumd goes on to "
			       "switch %s off",
			       off->path);
	if (!off->cancelling) {
		off->cancelling = true;
		return 0;
	}
	return err_set(e, -EINTR,
		       "interrupted; 'drumctl swap list' shows whether %s is still on",
		       off->path);
}

/* => as client_look: 1 when swap-off was answered */
static int turn(struct off *off, struct json_object **result, struct err *e)
{
	struct pollfd fds[3] = { { .fd = client_fd(off->client), .events = POLLIN },
				 { .fd = off->signals, .events = POLLIN },
				 { .fd = -1, .events = POLLIN } };
	int rc;

	side_ask(off);
	if (off->side)
		fds[2].fd = client_fd(off->side);
	/* side has something to do later, or nothing at all */
	rc = poll(fds, 3, off->side && !off->asking && off->progress.shown ? PROGRESS_MS : -1);
	if (rc < 0 && errno != EINTR)
		return err_set(e, -errno, "cannot wait for drumd");
	if (rc <= 0)
		return 0;
	if (off->side && fds[2].revents)
		side_answer(off);
	rc = fds[1].revents ? interrupted(off, e) : 0;
	if (rc == 0 && fds[0].revents)
		rc = client_look(off->client, result, e);
	return rc;
}

static int switch_off(struct off *off, struct err *e)
{
	struct json_object *result;
	struct err why;
	int rc = client_start(off->client, "swap-off", path_argument(off->path), e);

	progress_begin(&off->progress, off->path);
	while (rc == 0)
		rc = turn(off, &result, e);
	progress_end(&off->progress);
	if (rc == 1) {
		show_warning(result);
		json_object_put(result);
		return 0;
	}
	if (!off->cancelling || rc != -EREMOTEIO)
		return rc;
	why = *e;
	return err_set(e, -EINTR, "interrupted; %s stays enabled, and all that is on it (%s)",
		       off->path, why.text);
}

int swap_off(struct client *c, const struct verb_args *args, struct err *e)
{
	struct off off = { .client = c, .socket = args->socket };
	char *path;
	int rc = device_find(c, args->operand, &path, NULL, e);

	if (rc < 0)
		return rc;
	if (args->given & OPT_CANCEL) {
		rc = tell(c, "swap-off-cancel", path_argument(path), e);
		free(path);
		return rc;
	}
	off.path = path;
	/* now, as later there may be too many clients */
	if (client_open(args->socket, &off.side, e) < 0)
		off.side = NULL;
	off.signals = catch_interrupt();
	rc = switch_off(&off, e);
	client_close(off.side);
	if (off.signals >= 0)
		close(off.signals);
	free(path);
	return rc;
}
