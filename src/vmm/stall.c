/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A fault that has been read from its userfaultfd is either parked, with the
 * reason, or waits in a page-in.  Some times a second the oldest of them all is
 * looked for.  When it is older than paging.stall_after the guest is stalled:
 * that is told once, and again if it goes on for another reason or because of
 * another device, but not before as much time has passed.  It is over, which is
 * told too, when no fault is as old any more.
 *
 * A fault keeps its age from being read to being served: whoever wakes a waiter
 * without having served it (shrink in pagein.c) makes it young, which only a read
 * that fails, and is told as such, does.
 *
 * The accounting (stallshare.h) is told of who begins to wait, and of who goes on, with the
 * threads that userfaultfd names; the look finds what became of the others.  A thread of
 * another process than the VMM is no vCPU.  The numbers of threads are those that the VMM
 * itself sees: of one in a pid namespace of its own the vCPUs are recognized, but its other
 * threads pass for the kernel's, and count.
 *
 * What is not seen here is a fault that nobody reads, because the worker does not
 * come round: host_watch.c.
 */

#include "vmm/stall.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "vmm/guest.h"

#define LOOK_NS (250 * NSEC_PER_MSEC)

struct oldest {
	enum stall_why why; /* STALL_NONE: nobody waits */
	uint64_t since, page;
	drum_addr addr; /* or DRUM_NONE */
	pid_t pid;	/* who waits */
};

static const char *const steps[] = {
	[STEP_START] = "its start",	  [STEP_WAIT] = "waiting for I/O",
	[STEP_FAULTS] = "reading faults", [STEP_PAGEINS] = "page-ins",
	[STEP_PARKED] = "parked faults",  [STEP_DISKS] = "disks",
	[STEP_SUBMIT] = "submitting I/O", [STEP_MESSAGES] = "messages of the keeper",
	[STEP_COMMANDS] = "commands",	  [STEP_PAGEOUT] = "page-out",
	[STEP_MOVES] = "moving blocks",	  [STEP_JOB] = "its job",
	[STEP_MAP] = "a map of its RAM",
};
static_assert(sizeof(steps) / sizeof(steps[0]) == STEPS, "a name for each step");

const char *stall_step_name(enum worker_step step)
{
	return steps[step];
}

void stall_step(struct guest *g, enum worker_step step)
{
	__atomic_store_n(&g->stalls.step, (int)step, __ATOMIC_RELAXED);
}

static void look_at_parked(const struct guest *g, struct oldest *o)
{
	for (unsigned int i = 0; i < g->nparked; i++) {
		const struct parked *p = &g->parked[i];
		const struct mapper *mp = &g->mapper[p->mapper];

		if (o->why && p->since >= o->since)
			continue;
		*o = (struct oldest){ .why = p->why,
				      .since = p->since,
				      .page = mapper_page(mp, p->addr),
				      .pid = mp->pid };
		if (o->page != UINT64_MAX)
			o->addr = object_get(g->object, o->page) & DRUM_ADDR_MASK;
	}
}

static void look_at_pageins(const struct guest *g, struct oldest *o)
{
	for (unsigned int i = 0; i < PAGEINS_MAX; i++) {
		const struct pagein *p = &g->pagein[i];

		for (uint32_t k = 0; p->busy && k < p->n; k++) {
			if (!p->waiters[k] || (o->why && p->since[k] >= o->since))
				continue;
			*o = (struct oldest){
				.why = p->filled    ? p->why
				       : p->failing ? STALL_FAILING
						    : STALL_READ,
				.since = p->since[k],
				.page = p->page + k,
				.addr = p->addr + k,
				.pid = g->mapper[__builtin_ctz(p->waiters[k])].pid,
			};
		}
	}
}

/* The block that the page-in which has been busy for the longest time reads. */
static drum_addr oldest_read(const struct guest *g)
{
	const struct pagein *found = NULL;

	for (unsigned int i = 0; i < PAGEINS_MAX; i++)
		if (g->pagein[i].busy && (!found || g->pagein[i].begun < found->begun))
			found = &g->pagein[i];
	return found ? found->addr : DRUM_NONE;
}

static void explain(const struct oldest *o, char *buf, size_t size)
{
	unsigned long long block = drum_block_of(o->addr);
	int pid = (int)o->pid;

	switch (o->why) {
	case STALL_LIMIT:
		snprintf(buf, size, "the guest is at its limit");
		return;
	case STALL_NO_PAGEIN:
		snprintf(buf, size, "all page-ins are busy, the oldest reads block %llu",
			 block);
		return;
	case STALL_CHANGING:
		snprintf(buf, size, "the address space of process %d keeps changing", pid);
		return;
	case STALL_NO_MEMORY:
		snprintf(buf, size,
			 "there is no memory for it: that of process %d's cgroup, or the "
			 "host's, is in use",
			 pid);
		return;
	case STALL_READ:
		snprintf(buf, size, "the read of block %llu does not end", block);
		return;
	case STALL_FAILING:
		snprintf(buf, size, "block %llu cannot be read, it is tried again", block);
		return;
	case STALL_NONE:
	case STALL_WHYS:
		break;
	}
	snprintf(buf, size, "it is being served");
}

static void tell(struct guest *g, const struct oldest *o, uint64_t now)
{
	char why[160];
	struct guest_stall s = { .page = o->page,
				 .seconds = (now - o->since) / NSEC_PER_SEC,
				 .why = why };

	if (o->addr != DRUM_NONE)
		s.path = drum_path(g->drum, o->addr);
	explain(o, why, sizeof(why));
	g->ops->stalled(g->ops->arg, g, &s);
}

static void tell_over(struct guest *g, uint64_t now)
{
	struct guest_stall s = { .over = true,
				 .page = UINT64_MAX,
				 .seconds = (now - g->stalls.since) / NSEC_PER_SEC };

	g->ops->stalled(g->ops->arg, g, &s);
}

void stall_look(struct guest *g, uint64_t now)
{
	uint64_t after = __atomic_load_n(&g->paging->stall_after, __ATOMIC_RELAXED);
	struct stalls *s = &g->stalls;
	struct oldest o = { .page = UINT64_MAX };
	bool news;

	if (now < s->look_at)
		return;
	s->look_at = now + LOOK_NS;
	look_at_parked(g, &o);
	look_at_pageins(g, &o);
	if (o.why == STALL_NO_PAGEIN)
		o.addr = oldest_read(g);
	__atomic_store_n(&s->oldest_page, o.page, __ATOMIC_RELAXED);
	__atomic_store_n(&s->oldest_addr, o.addr, __ATOMIC_RELAXED);

	if (!o.why || now - o.since < after) {
		if (s->told)
			tell_over(g, now);
		s->told = false;
		return;
	}
	news = o.why != s->why || drum_device_of(o.addr) != drum_device_of(s->addr);
	if (s->told && (!news || now - s->told_at < after))
		return;
	tell(g, &o, now);
	if (!s->told)
		s->since = o.since;
	s->told = true;
	s->told_at = now;
	s->why = o.why;
	s->addr = o.addr;
}

/* --- the accounting --------------------------------------------------------------------- */

static const enum host_stall reasons[] = {
	[STALL_NONE] = HOST_STALL_SERVED,	  [STALL_LIMIT] = HOST_STALL_LIMIT,
	[STALL_NO_PAGEIN] = HOST_STALL_NO_PAGEIN, [STALL_CHANGING] = HOST_STALL_CHANGING,
	[STALL_NO_MEMORY] = HOST_STALL_NO_MEMORY, [STALL_READ] = HOST_STALL_READ,
	[STALL_FAILING] = HOST_STALL_FAILING,
};
static_assert(sizeof(reasons) / sizeof(reasons[0]) == STALL_WHYS, "a reason for each");

static bool is_own(void *arg, pid_t tid)
{
	const struct guest *g = arg;

	/* signal 0: is there such a thread?  Not procfs: with a fault pending it would ask
	 * the kernel for memory */
	return tgkill(g->pid, tid, 0) == 0 || errno == EPERM;
}

void stall_share_init(struct guest *g)
{
	g->stalled.own = is_own;
	g->stalled.own_arg = g;
}

void stall_begin(struct guest *g, const struct mapper *mp, pid_t tid, uint64_t addr,
		 uint64_t now)
{
	uint64_t page = mp->pid == g->pid ? mapper_page(mp, addr) : UINT64_MAX;

	if (page != UINT64_MAX)
		stallshare_begin(&g->stalled, tid, page, now);
}

void stall_wait(struct guest *g, pid_t tid, uint64_t page, enum stall_why why)
{
	stallshare_why(&g->stalled, tid, page, reasons[why]);
}

void stall_end(struct guest *g, pid_t tid, uint64_t page, uint64_t now)
{
	stallshare_end(&g->stalled, tid, page, now);
}

void stall_page_done(struct guest *g, uint64_t page)
{
	if (stallshare_waits(&g->stalled, page))
		stallshare_end_page(&g->stalled, page, clock_ns());
}

static const struct pagein *pagein_of(const struct guest *g, uint64_t page)
{
	for (unsigned int i = 0; i < PAGEINS_MAX; i++) {
		const struct pagein *p = &g->pagein[i];

		if (p->busy && page >= p->page && page - p->page < p->n)
			return p;
	}
	return NULL;
}

/* What the thread waits for, if it still does: its page is being read, or it is parked. */
static enum host_stall waits_for(void *arg, uint64_t page, pid_t tid)
{
	const struct guest *g = arg;
	const struct pagein *in =
		page_get(&g->pages, page) == PAGE_READING ? pagein_of(g, page) : NULL;

	if (in && in->filled)
		return reasons[in->why];
	if (in)
		return in->failing ? HOST_STALL_FAILING : HOST_STALL_READ;
	for (unsigned int i = 0; i < g->nparked; i++) {
		const struct parked *p = &g->parked[i];

		if (p->tid == tid && mapper_page(&g->mapper[p->mapper], p->addr) == page)
			return reasons[p->why];
	}
	return HOST_STALLS;
}

void stall_share_step(struct guest *g)
{
	if (g->stalled.n > 0)
		stallshare_step(&g->stalled, waits_for, g, clock_ns());
}
