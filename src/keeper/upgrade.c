/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * To become another drumd (MSG_REEXEC), for an upgrade:
 *
 *	check	what is installed now is run with --check.  Nothing has changed yet
 *	leave	the pager is asked to end as soon as nothing of it is in flight
 *		(STOP_REPLACE), so that no block of a late write has to be kept apart.
 *		Guests wait from now on
 *	hold	it has ended, or is slow (LEAVE_MS): tracers are held.  While one of them
 *		is in a zap the pager must live, to read its events.  Then it is killed,
 *		as it may be at any time
 *	exec	the pager is gone, and no tracer has a process stopped: program_exec
 *
 * What the next one needs it finds in the run directory and in the store: it starts as
 * it would after our death, but that the socket and the lock were never let go of.
 * If its pager does not come to serve, it becomes us again.  Where we cannot go on to
 * the next step, the pager is killed, and the next one is started by us as ever.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/version.h"
#include "keeper/keeper_priv.h"
#include "keeper/program.h"
#include "keeper/store.h"

#define LEAVE_MS 100   /* the pager may take to end by itself */
#define HOLD_MS	 2000  /* tracers may take, with zaps under way: other guests wait for it */
#define DEAD_MS	 500   /* the same if the pager has died: a zap cannot end then */
#define START_MS 30000 /* the next drumd has until it serves */

static void hold_all(struct keeper *k, bool hold)
{
	for (int i = 0; i < GUESTS_MAX; i++)
		if (k->guest[i].tracer)
			tracer_hold(k->guest[i].tracer, hold);
}

static bool all_held(const struct keeper *k)
{
	for (int i = 0; i < GUESTS_MAX; i++)
		if (k->guest[i].tracer && !tracer_held(k->guest[i].tracer))
			return false;
	return true;
}

static void end_upgrade_timer(struct keeper *k)
{
	if (k->upgrade_timer)
		loop_remove(k->upgrade_timer);
	k->upgrade_timer = NULL;
}

static void set_upgrade_timer(struct keeper *k, uint32_t ms, loop_timer_fn fn)
{
	end_upgrade_timer(k);
	k->upgrade_timer = loop_every(k->loop, ms, fn, k);
}

static void refuse_upgrade(struct keeper *k, const struct err *e)
{
	struct proto_msg m = { .type = MSG_REEXECED, .seq = k->upgrade_seq, .err = *e };

	k->upgrade = UPGRADE_NONE;
	log_err("drumd is not replaced: %s", e->text);
	(void)!keeper_send(k, &m, NULL, 0);
}

/* It has begun and cannot be: we go on as we are, with a new pager. */
static void give_up_upgrade(struct keeper *k, const struct err *e)
{
	log_err("drumd is not replaced: %s", e->text);
	snprintf(k->failed, sizeof(k->failed), "%s", e->text);
	k->upgrade = UPGRADE_NONE;
	end_upgrade_timer(k);
	hold_all(k, false);
	if (k->pager > 0)
		kill(k->pager, SIGKILL);
	else
		keeper_restart_pager(k, 1);
}

static void become_another(struct keeper *k)
{
	struct err e = { 0 };
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)k->since);
	store_set("since", text);
	snprintf(text, sizeof(text), "%u", k->replaced + 1);
	store_set("replaced", text);
	if (k->stop_later)
		raise(SIGTERM); /* blocked, and so it is the next one's */
	program_exec(&e);
	give_up_upgrade(k, &e);
}

void upgrade_go_on(struct keeper *k)
{
	if (k->upgrade != UPGRADE_HOLD || !all_held(k))
		return;
	if (k->pager > 0)
		kill(k->pager, SIGKILL); /* and pager_died comes back here */
	else
		become_another(k);
}

static void on_held_too_long(void *arg)
{
	struct err e = { 0 };

	err_set(&e, -ETIMEDOUT, "a VMM could not be let go of in time; try again");
	give_up_upgrade(arg, &e);
}

/* The pager has ended, or is too slow. */
static void hold(struct keeper *k)
{
	k->upgrade = UPGRADE_HOLD;
	set_upgrade_timer(k, k->pager > 0 ? HOLD_MS : DEAD_MS, on_held_too_long);
	hold_all(k, true);
	upgrade_go_on(k);
}

static void on_leaving_too_long(void *arg)
{
	log_info("pager %d has not ended within %d ms, it is killed",
		 (int)((struct keeper *)arg)->pager, LEAVE_MS);
	hold(arg);
}

static void on_checked(void *arg, const char *version, const struct err *e)
{
	struct proto_msg m = { .type = MSG_STOP, .id = STOP_REPLACE };
	struct keeper *k = arg;
	struct err busy = *e;

	if (busy.code == 0 && (!k->pager_ready || k->stopping))
		err_set(&busy, -EBUSY, "the pager has ended, or drumd is stopping");
	if (busy.code) {
		refuse_upgrade(k, &busy);
		return;
	}
	log_info("drumd %s is replaced by %s", drum_version, version);
	k->upgrade = UPGRADE_LEAVE;
	k->since = clock_ns();
	set_upgrade_timer(k, LEAVE_MS, on_leaving_too_long);
	/* a pager that cannot be told is gone, which SIGCHLD says */
	(void)!keeper_send(k, &m, NULL, 0);
}

void upgrade_ask(struct keeper *k, const struct proto_msg *m)
{
	struct proto_msg reply = { .type = MSG_REEXECED, .seq = m->seq };
	bool asked = false;

	for (int i = 0; i < GUESTS_MAX; i++)
		asked |= k->guest[i].asked;
	if (k->upgrade != UPGRADE_NONE)
		err_set(&reply.err, -EBUSY, "drumd is being replaced already");
	else if (k->stopping)
		err_set(&reply.err, -EBUSY, "drumd is stopping");
	else if (asked)
		err_set(&reply.err, -EBUSY, "a guest is just being attached: try again");
	if (reply.err.code) {
		(void)!keeper_send(k, &reply, NULL, 0);
		return;
	}
	k->upgrade = UPGRADE_CHECK;
	k->upgrade_seq = m->seq;
	k->failed[0] = '\0';
	if (program_check(k->loop, program_arguments(), on_checked, k, &reply.err) < 0)
		refuse_upgrade(k, &reply.err);
}

bool upgrade_pager_died(struct keeper *k)
{
	if (k->upgrade != UPGRADE_LEAVE && k->upgrade != UPGRADE_HOLD)
		return false;
	hold(k);
	return true;
}

bool upgrade_is_under_way(const struct keeper *k)
{
	return k->upgrade != UPGRADE_NONE;
}

/* With must_serve its end is ours, and the drumd before us goes on. */
static void on_start_too_long(void *arg)
{
	struct keeper *k = arg;

	loop_remove(k->start_timer);
	k->start_timer = NULL;
	log_err("the pager does not serve within %d s", START_MS / 1000);
	if (k->must_serve && k->pager > 0)
		kill(k->pager, SIGKILL);
}

int upgrade_continue(struct keeper *k, struct err *e)
{
	k->replaced = (uint32_t)strtoul(store_get("replaced"), NULL, 10);
	k->since = strtoull(store_get("since"), NULL, 10);
	snprintf(k->failed, sizeof(k->failed), "%s", store_get("failed"));
	if (k->failed[0])
		log_err("drumd %s goes on: the one that replaced it did not start: %s",
			drum_version, k->failed);
	else
		log_info("drumd %s replaces %s", drum_version, store_get("from"));
	k->must_serve = !k->failed[0];
	k->start_timer = loop_every(k->loop, START_MS, on_start_too_long, k);
	return k->start_timer ? 0 : err_set(e, -errno, "no timer: %s", strerror(errno));
}

void upgrade_done(struct keeper *k)
{
	if (k->start_timer)
		loop_remove(k->start_timer);
	k->start_timer = NULL;
	k->must_serve = false;
	k->pager_died = false;
	k->since = 0;
	program_started();
}
