/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A guest does at most one long thing at a time, its job:
 *
 *	out	the front hand passes every page, and all that stays inactive is
 *		written out, the working set last (replay.c); done when nothing is
 *		left to write
 *	in	every swapped page is read, the working set first; page-out rests
 *		meanwhile
 *	dump	its RAM is written to the dump device (dump.c)
 *	detach	the same as in without regard to the limit; then everything is
 *		unregistered, the keeper takes its traces away, the thread ends
 *	leave	what is in flight is waited for, and no fault is served meanwhile;
 *		then the thread ends, and the guest stays registered and waits for the
 *		next pager
 *
 *	bury	the guest is gone or detached: what is in flight is waited
 *		for, all blocks are freed, and the thread ends
 *
 * Quarantine is a detach that nobody asked for.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/meminfo.h"
#include "base/point.h"
#include "vmm/blk.h"
#include "vmm/guest.h"

/* Between two passes of a page-in in which some pages could not be read. */
#define PAUSE_NS (100 * NSEC_PER_MSEC)

/* How long `guest out` waits for pages that are pinned. */
#define PINNED_NS NSEC_PER_SEC

/* And for other guests to give up clean copies, as each looks every 100 ms, and for the
 * swapcache to give up what it has. */
#define COPIES_NS (2 * NSEC_PER_SEC)

static uint64_t out_of_memory(const struct guest *g)
{
	return page_count(&g->pages, PAGE_SWAPPED) + page_count(&g->pages, PAGE_READING);
}

static void publish(struct guest *g)
{
	__atomic_store_n(&g->busy, g->job != JOB_NONE, __ATOMIC_RELAXED);
}

/* The job is over: answer who waits for it. */
static void finish(struct guest *g, const struct err *e)
{
	struct command *cmd = g->job_cmd;

	/* which answers its command itself, when nothing of it is in flight */
	if (g->job == JOB_DUMP)
		dump_cancel(g, e);
	if (g->job == JOB_OUT)
		replay_out_end(g, clock_ns());
	g->job = JOB_NONE;
	g->job_cmd = NULL;
	g->job_err = (struct err){ 0 };
	publish(g); /* before the answer */
	if (!cmd)
		return;
	cmd->err = *e;
	g->ops->completed(g->ops->arg, cmd);
}

/* Answer those that wait for the guest's end. */
static void answer_end(struct guest *g, const struct err *e)
{
	struct command *cmd, *next;

	for (cmd = g->end_cmds; cmd; cmd = next) {
		next = cmd->next;
		cmd->err = *e;
		g->ops->completed(g->ops->arg, cmd);
	}
	g->end_cmds = NULL;
}

/* The guest's file in the run directory, which the keeper writes, has its limit too. */
static void save_limit(struct guest *g)
{
	struct proto_msg m = { .type = MSG_LIMIT, .bytes = g->max << PAGE_SHIFT };

	g->limit_unsaved = guest_send(g, &m) == -EAGAIN;
}

/* Blocks that will be given up when swap gets short: copies here or in other guests, and what
 * is cached of disks. */
static uint64_t to_be_had(const struct guest *g)
{
	return __atomic_load_n(&g->paging->kept, __ATOMIC_RELAXED) + drum_cached(g->drum);
}

static void set_limit(struct guest *g, struct command *cmd)
{
	uint64_t pages = cmd->value >> PAGE_SHIFT;
	uint64_t resident = pages_resident(&g->pages),
		 free_blocks = drum_avail_to(g->drum, g->share) + to_be_had(g);

	if (pages < LIMIT_MIN_PAGES)
		err_set(&cmd->err, -EINVAL,
			"guest %s: a limit of %llu bytes is below what is always "
			"held, %llu bytes",
			g->name, (unsigned long long)cmd->value,
			(unsigned long long)LIMIT_MIN_PAGES << PAGE_SHIFT);
	else if (pages < resident && drum_blocks(g->drum) == 0)
		err_set(&cmd->err, -ENOSPC,
			"guest %s: there is no swap: switch some on first "
			"(drumctl swap on PATH)",
			g->name);
	else if (pages < resident && resident - pages > free_blocks)
		err_set(&cmd->err, -ENOSPC,
			"guest %s: %llu MiB would have to go to swap and only "
			"%llu MiB are free there",
			g->name, (unsigned long long)(resident - pages) >> 8,
			(unsigned long long)free_blocks >> 8);
	if (cmd->err.code == 0) {
		pageout_set_max(g, pages);
		point_crash("limit-set");
		save_limit(g);
	}
	g->ops->completed(g->ops->arg, cmd);
}

static void begin_moving(struct guest *g)
{
	g->job_next = 0;
	g->job_todo = UINT64_MAX;
	g->job_since = clock_ns();
}

/* => whether the job may begin */
static bool begin_out(struct guest *g, struct err *e)
{
	if (drum_avail_to(g->drum, g->share) == 0 && to_be_had(g) == 0) {
		err_set(e, -ENOSPC,
			drum_blocks(g->drum) == 0 ? "guest %s: there is no swap: switch some "
						    "on first (drumctl swap on PATH)"
						  : "guest %s: swap is full",
			g->name);
		return false;
	}
	begin_moving(g);
	g->job_left = g->npages;
	g->job_pinned = 0;
	g->idle_until = 0;
	g->swap_full =
		false; /* page-out is to find that out, and first the working set is recorded */
	replay_out_begin(g);
	return true;
}

static bool begin_in(struct guest *g, struct err *e)
{
	uint64_t swapped = out_of_memory(g), resident = pages_resident(&g->pages);

	if (swapped + resident > g->max) {
		err_set(e, -ENOSPC,
			"guest %s: %llu MiB are swapped and the limit of %llu MiB leaves "
			"room for %llu MiB: raise it first (drumctl guest set %s --limit SIZE)",
			g->name, (unsigned long long)swapped >> 8,
			(unsigned long long)g->max >> 8,
			(unsigned long long)(g->max > resident ? g->max - resident : 0) >> 8,
			g->name);
		return false;
	}
	begin_moving(g);
	replay_in_begin(g);
	return true;
}

static bool begin_detach(struct guest *g, struct err *e)
{
	uint64_t have;

	if (blks_any(g)) {
		err_set(e, -EBUSY,
			"guest %s has a disk of this daemon: shut it down, or unplug the disk "
			"first",
			g->name);
		return false;
	}
	if (!meminfo_fits(out_of_memory(g) << PAGE_SHIFT, &have)) {
		err_set(e, -ENOMEM,
			"guest %s: %llu MiB are swapped and do not fit into the %llu MiB of "
			"RAM that are available",
			g->name, (unsigned long long)out_of_memory(g) >> 8,
			(unsigned long long)have >> 20);
		return false;
	}
	begin_moving(g);
	__atomic_store_n(&g->state, GUEST_DETACHING, __ATOMIC_RELAXED);
	return true;
}

/* Nothing can be done with it, but to end beside it. */
static void waiting_command(struct guest *g, struct command *cmd)
{
	if (cmd->type == CMD_LEAVE)
		g->ended = true;
	else
		err_set(&cmd->err, -EBUSY, "guest %s waits: %s", g->name, g->why);
	g->ops->completed(g->ops->arg, cmd);
}

/*
 * End a job early; the guest stays as it is now.  Of a detach nothing has been given up as long
 * as pages come in: after the last one everything is unregistered in one step (detach).
 */
static void cancel(struct guest *g, struct command *cmd)
{
	struct command *job = g->job_cmd, **at = &g->end_cmds, *waits;
	struct err e = { 0 };

	err_set(&e, -ECANCELED, "guest %s: cancelled", g->name);
	while (*at && (*at)->ctx != cmd->of)
		at = &(*at)->next;
	waits = *at;
	if (dump_is_of(g, cmd->of)) {
		dump_cancel(g, &e); /* over when its writes have ended */
	} else if (waits && g->state == GUEST_DETACHING) {
		/* another one has asked for it before */
		*at = waits->next;
		waits->err = e;
		g->ops->completed(g->ops->arg, waits);
	} else if (!job || job->ctx != cmd->of) {
		err_set(&cmd->err, -EINVAL, "guest %s: there is nothing to cancel any more",
			g->name);
	} else if (g->job == JOB_DETACH && g->state != GUEST_DETACHING) {
		err_set(&cmd->err, -EINVAL, "guest %s is quarantined, that goes on", g->name);
	} else if (g->job == JOB_DETACH && g->end_cmds) {
		/* it goes on for whoever has asked for it since */
		g->job_cmd = g->end_cmds;
		g->end_cmds = g->job_cmd->next;
		job->err = e;
		g->ops->completed(g->ops->arg, job);
	} else {
		if (g->job == JOB_DETACH)
			__atomic_store_n(&g->state, GUEST_RUNNING, __ATOMIC_RELAXED);
		finish(g, &e);
	}
	g->ops->completed(g->ops->arg, cmd);
}

static bool is_for_disk(const struct command *cmd)
{
	return cmd->type == CMD_DISK || cmd->type == CMD_DISK_RESIZE;
}

static void disk_command(struct guest *g, struct command *cmd)
{
	if (cmd->type == CMD_DISK_RESIZE)
		blk_resized(g, cmd->disk);
	else if (g->state == GUEST_RUNNING || g->state == GUEST_QUARANTINED) {
		blk_begin(g, cmd->disk);
		if (g->job == JOB_LEAVE) /* it was on its way when that was asked for */
			blks_pause(g);
	} else
		err_set(&cmd->err, -EBUSY, "guest %s is not being served", g->name);
	g->ops->completed(g->ops->arg, cmd);
}

void job_command(struct guest *g, struct command *cmd)
{
	static const enum job jobs[] = {
		[CMD_OUT] = JOB_OUT,	   [CMD_IN] = JOB_IN,	    [CMD_DUMP] = JOB_DUMP,
		[CMD_DETACH] = JOB_DETACH, [CMD_LEAVE] = JOB_LEAVE,
	};
	bool begun = true;

	if (cmd->type == CMD_CONTESTED) {
		if (g->state != GUEST_GONE)
			recover_contested(g, cmd->value);
		g->ops->completed(g->ops->arg, cmd);
		return;
	}
	if (is_for_disk(cmd)) {
		disk_command(g, cmd);
		return;
	}
	if (cmd->type == CMD_CANCEL) {
		cancel(g, cmd);
		return;
	}
	if (g->state == GUEST_WAITING) {
		waiting_command(g, cmd);
		return;
	}
	if (cmd->type == CMD_MAP) {
		map_command(g, cmd);
		return;
	}
	/* it is on its way out: that is what is asked for */
	if (g->state == GUEST_GONE || (g->state != GUEST_RUNNING && cmd->type == CMD_DETACH)) {
		cmd->next = g->end_cmds;
		g->end_cmds = cmd;
		return;
	}
	if (g->state != GUEST_RUNNING && cmd->type != CMD_LEAVE) {
		err_set(&cmd->err, -EBUSY, "guest %s is being detached", g->name);
	} else if (cmd->type == CMD_LIMIT) {
		set_limit(g, cmd);
		return;
	} else if (g->job != JOB_NONE && cmd->type != CMD_LEAVE && cmd->type != CMD_DETACH) {
		err_set(&cmd->err, -EBUSY, "guest %s is being %s already", g->name,
			g->job == JOB_OUT  ? "paged out"
			: g->job == JOB_IN ? "paged in"
					   : "dumped");
	}
	if (cmd->err.code) {
		g->ops->completed(g->ops->arg, cmd);
		return;
	}
	switch (cmd->type) {
	case CMD_OUT:
		begun = begin_out(g, &cmd->err);
		break;
	case CMD_IN:
		begun = begin_in(g, &cmd->err);
		break;
	case CMD_DETACH:
		begun = begin_detach(g, &cmd->err);
		break;
	case CMD_DUMP:
		begun = dump_begin(g, cmd) == 0;
		break;
	case CMD_LEAVE:
		blks_pause(g);
		break;
	case CMD_LIMIT:
	case CMD_MAP:
	case CMD_CANCEL:
	case CMD_CONTESTED:
	case CMD_DISK:
	case CMD_DISK_RESIZE:
		break;
	}
	if (!begun) {
		g->ops->completed(g->ops->arg, cmd);
		return;
	}
	if (g->job != JOB_NONE) {
		struct err e = { 0 };

		err_set(&e, -ECANCELED,
			cmd->type == CMD_LEAVE ? "drumd stops, and leaves guest %s as it is"
					       : "guest %s is being detached",
			g->name);
		finish(g, &e);
	}
	g->job = jobs[cmd->type];
	g->job_cmd = cmd->type == CMD_DUMP ? NULL : cmd;
}

void job_set_why(struct guest *g, const char *why)
{
	if (!g->why[0])
		snprintf(g->why, sizeof(g->why), "%s", why);
}

void job_quarantine(struct guest *g, const char *why)
{
	enum guest_state was = g->state;

	if (was != GUEST_RUNNING && was != GUEST_DETACHING)
		return;
	log_err("guest %s: quarantined, it is paged in and no longer managed: %s", g->name,
		why);
	job_set_why(g, why);
	__atomic_store_n(&g->state, GUEST_QUARANTINED, __ATOMIC_RELEASE);
	g->ops->quarantined(g->ops->arg, g);
	/* the same, but it does not end if a page cannot be read */
	if (was == GUEST_DETACHING)
		return;
	if (g->job != JOB_NONE) {
		struct err e = { 0 };

		err_set(&e, -EIO, "guest %s is quarantined: %s", g->name, why);
		finish(g, &e);
	}
	g->job = JOB_DETACH;
	begin_moving(g);
}

static bool quiet(const struct guest *g)
{
	return pagein_busy(g) == 0 && pageout_busy(g) == 0 && !g->zap.busy;
}

/* The memory is the VMM's alone, or nobody's: end as soon as nothing is in flight. */
static void bury(struct guest *g)
{
	__atomic_store_n(&g->state, GUEST_GONE, __ATOMIC_RELAXED);
	g->job = JOB_BURY;
}

void job_gone(struct guest *g)
{
	struct err e = { 0 };

	if (g->state == GUEST_GONE)
		return;
	log_info("guest %s has ended", g->name);
	if (g->state == GUEST_WAITING)
		recover_abandon(g);
	blks_gone(g);
	if (g->job == JOB_OUT || g->job == JOB_IN || g->job == JOB_DUMP)
		err_set(&e, -ESRCH, "guest %s has ended", g->name);
	/* who waits for a detach is answered at the end: it comes true */
	if (g->job != JOB_DETACH)
		finish(g, &e);
	bury(g);
}

static void detach(struct guest *g)
{
	point_crash("detach-in");
	for (int i = 0; i < PROTO_MAPPERS_MAX; i++)
		if (g->mapper[i].used)
			mapper_drop(g, &g->mapper[i]);
	g->end = g->state == GUEST_QUARANTINED ? GUEST_END_QUARANTINED : GUEST_END_DETACHED;
	bury(g);
}

static void step_bury(struct guest *g)
{
	struct proto_msg m = { .type = MSG_DETACH };
	int ret;

	if (!quiet(g) || dump_busy(g))
		return;
	/* Of pages that nobody will ask for again.  First, for a disk is let go when no page
	 * lives in its image. */
	if (g->object && (object_count(g->object) > 0 || !blks_any(g))) {
		late_bury(g);
		object_settle(g->object);
		object_free_all(g->object, g->drum);
		kept_forget(&g->kept);
		blockmap_fini(g);
	}
	if (blks_any(g))
		return;
	g->job = JOB_NONE;
	point_crash("detach-asked");
	/* the keeper's MSG_DETACHED ends the thread; without a keeper, now */
	ret = guest_send(g, &m);
	if (ret == -EAGAIN)
		g->job = JOB_BURY; /* once more */
	else if (ret < 0)
		job_end(g);
}

void job_abandon(struct guest *g)
{
	struct err e = { 0 };

	err_set(&e, -ESRCH, "guest %s is gone", g->name);
	finish(g, &e);
	dump_abandon(g, &e);
	answer_end(g, &e);
}

void job_end(struct guest *g)
{
	struct err e = { 0 };

	g->left = g->job == JOB_LEAVE;
	finish(g, &e);
	answer_end(g, &e);
	g->ended = true;
}

/* Has nothing come of it for so long? */
static bool no_progress_for(struct guest *g, uint64_t todo, uint64_t ns)
{
	uint64_t now = clock_ns();

	if (todo < g->job_todo) {
		g->job_todo = todo;
		g->job_since = now;
	}
	return now - g->job_since >= ns;
}

/* The same, for as long as a fault is tried. */
static bool no_progress(struct guest *g, uint64_t todo)
{
	return no_progress_for(g, todo, __atomic_load_n(&g->paging->give_up, __ATOMIC_RELAXED));
}

/*
 * All that is left is pinned: most of it by I/O that soon ends, and some new pages by
 * the kernel's own lists.  => true: nothing more comes of it
 */
static bool pinned_for_good(struct guest *g)
{
	uint64_t now = clock_ns();

	if (g->pages.pinned_inactive == 0)
		return true;
	if (g->job_pinned == 0) {
		pincheck_drain();
		g->job_pinned = now;
		g->job_next = 0;
	}
	g->job_next = hands_look_again(g, g->job_next, g->npages);
	if (pages_takeable(&g->pages) > 0 || g->job_next < g->npages)
		return false;
	g->job_next = 0;
	return now - g->job_pinned >= PINNED_NS;
}

static void step_out(struct guest *g)
{
	struct err e = g->job_err;

	/* with nothing to take, page-out does not even turn its hands */
	if (pages_resident(&g->pages) == 0)
		g->job_left = 0;
	if (g->swap_full && g->swap_rests && !no_progress(g, pages_resident(&g->pages)))
		return; /* writes have failed; they may do better */
	if (g->swap_full && to_be_had(g) > 0 &&
	    !no_progress_for(g, pages_resident(&g->pages), COPIES_NS))
		return; /* they are given up, as swap is short */
	if (g->swap_full && g->swap_rests)
		err_set(&e, -EIO,
			"guest %s: cannot be written to swap (see the log); %llu MiB "
			"are still in memory",
			g->name, (unsigned long long)pages_resident(&g->pages) >> 8);
	else if (g->swap_full)
		err_set(&e, -ENOSPC, "guest %s: swap is full; %llu MiB are still in memory",
			g->name, (unsigned long long)pages_resident(&g->pages) >> 8);
	else if (replay_out_next(g) || g->job_left > 0 || g->zap.busy || pageout_busy(g) > 0 ||
		 pages_takeable(&g->pages) > 0 || (!e.code && !pinned_for_good(g)))
		return;
	else if (!e.code && pages_pinned(&g->pages) > 0)
		err_set(&e, 0, "guest %s: %llu KiB stay in memory, for devices or I/O use them",
			g->name, (unsigned long long)pages_pinned(&g->pages) << 2);
	finish(g, &e);
}

/*
 * What cannot be read must not be let go of: it would be zeros to the VMM.  A
 * guest that is quarantined goes on trying, nobody could be told.
 */
static void cannot_read(struct guest *g)
{
	bool quarantined = g->state == GUEST_QUARANTINED;
	struct err e = { 0 };

	begin_moving(g);
	if (!g->job_cmd)
		return;
	err_set(&e, -EIO,
		"guest %s: %llu pages cannot be read from swap (see the log); it stays "
		"attached",
		g->name, (unsigned long long)page_count(&g->pages, PAGE_SWAPPED));
	if (g->state == GUEST_DETACHING)
		__atomic_store_n(&g->state, GUEST_RUNNING, __ATOMIC_RELAXED);
	answer_end(g, &e);
	finish(g, &e);
	if (quarantined)
		g->job = JOB_DETACH;
}

/*
 * Nobody has asked for a quarantine, and it must not end all guests for want of
 * memory.  What is touched comes in all the same.
 */
static bool has_no_memory(struct guest *g)
{
	uint64_t have;

	if (g->state != GUEST_QUARANTINED || g->job_next > 0 || out_of_memory(g) == 0 ||
	    meminfo_fits(out_of_memory(g) << PAGE_SHIFT, &have))
		return false;
	if (!g->job_told)
		log_err("guest %s: %llu MiB are swapped and do not fit into the %llu MiB of "
			"RAM that are available: the rest is paged in when they do",
			g->name, (unsigned long long)out_of_memory(g) >> 8,
			(unsigned long long)have >> 20);
	g->job_told = true;
	g->idle_until = clock_ns() + NSEC_PER_SEC;
	return true;
}

static void step_in(struct guest *g)
{
	struct err e = { 0 };

	if (clock_ns() < g->idle_until || has_no_memory(g))
		return;
	if (g->job == JOB_IN && !replay_in_step(g))
		return;
	while (g->job_next < g->npages) {
		uint64_t page = page_find(&g->pages, g->job_next, g->npages, PAGE_SWAPPED);

		if (page < g->npages && pagein_prefetch(g, page, PAGEIN_PAGES) == 0)
			return; /* all page-ins that may be used are */
		g->job_next = page < g->npages ? page + 1 : page;
	}
	if (page_count(&g->pages, PAGE_READING) > 0)
		return;
	/* what could not be read, or was written out just then */
	if (page_count(&g->pages, PAGE_SWAPPED) > 0 || pageout_busy(g) > 0) {
		if (no_progress(g, page_count(&g->pages, PAGE_SWAPPED))) {
			cannot_read(g);
			return;
		}
		g->job_next = 0;
		g->idle_until = clock_ns() + PAUSE_NS;
		return;
	}
	if (g->job == JOB_IN && g->kept.n > 0)
		return; /* kept_step gives them up */
	if (g->job == JOB_IN)
		finish(g, &e);
	else if (quiet(g) && !blks_any(g)) /* quarantined, it still has them */
		detach(g);
}

static bool any_filled(const struct guest *g)
{
	for (unsigned int i = 0; i < PAGEINS_MAX; i++)
		if (g->pagein[i].busy && g->pagein[i].filled)
			return true;
	return false;
}

void job_step(struct guest *g)
{
	publish(g);
	if (g->limit_unsaved)
		save_limit(g);
	dump_step(g);
	switch (g->job) {
	case JOB_OUT:
		step_out(g);
		break;
	case JOB_IN:
	case JOB_DETACH:
		step_in(g);
		break;
	case JOB_LEAVE:
		/* pages that cannot be read are left for the next pager to try */
		if (pagein_in_flight(g) == 0 && pageout_busy(g) == 0 && !g->zap.busy &&
		    !any_filled(g) && !dump_busy(g) && blks_quiet(g))
			job_end(g);
		break;
	case JOB_BURY:
		step_bury(g);
		break;
	case JOB_DUMP:
	case JOB_NONE:
		break;
	}
}
