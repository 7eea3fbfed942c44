/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * The worker of a guest: one thread, one io_uring.  Each turn of its loop
 * waits for completions (polls of the userfaultfds, of the keeper's channel
 * and of the command eventfd; reads and writes of swap), then does, in this
 * order: events of userfaultfds, page-ins that wait for a retry, parked
 * faults, a look at what waits for long (stall.c), messages, commands, one step of page-out,
 * one of the swapcache's pass, one of the job, one of a map. No step takes longer than a few
 * clusters do, so a fault waits for that at most.
 *
 * Start: MSG_MEMFD and MSG_MAPPER tell what is attached.  At MSG_BEGIN the
 * userfaultfds have been registered one by one; only then the memfds are
 * searched for what is resident, so nothing can change behind the search.
 * Faults that come meanwhile wait in the kernel.
 *
 * Start of an adopted guest: its swblocks tell where pages are (recover.c).
 * Then waiters are woken and fault anew.
 *
 * While the state of a guest cannot be established (GUEST_WAITING) nothing is
 * touched and nobody is woken: it waits, which an admin can mend; zeros could not be.
 */

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/memlock.h"
#include "base/point.h"
#include "vmm/blk.h"
#include "vmm/guest.h"
#include "vmm/uffd.h"

#define RING_ENTRIES 256u
#define TURN_NS	     (100 * NSEC_PER_MSEC) /* longest sleep */
#define BUSY_TURN_NS (1 * NSEC_PER_MSEC)   /* while a job or page-out goes on */

int guest_send(struct guest *g, struct proto_msg *m)
{
	int ret = ipc_send(g->chan, m, sizeof(*m), NULL, 0);

	/* the tracer is in the middle of something, and reads when that is over */
	if (ret == -EAGAIN)
		log_debug("guest %s: the channel to the keeper is full", g->name);
	else if (ret < 0)
		log_err("guest %s: message to the keeper: %s", g->name, strerror(-ret));
	return ret;
}

void guest_post(struct guest *g, struct command *cmd)
{
	uint64_t one = 1;

	cmd->next = NULL;
	pthread_mutex_lock(&g->cmd_lock);
	*g->cmd_tail = cmd;
	g->cmd_tail = &cmd->next;
	pthread_mutex_unlock(&g->cmd_lock);
	(void)!write(g->wake_fd, &one, sizeof(one));
}

static void wake(struct guest *g)
{
	uint64_t one = 1;

	(void)!write(g->wake_fd, &one, sizeof(one));
}

void guest_grant(struct guest *g, uint64_t grant, uint64_t take)
{
	pthread_mutex_lock(&g->cmd_lock);
	/* one that has not been seen yet is not lost by a grant without */
	if (take > 0 || !g->wish.granted)
		g->wish.take = take;
	g->wish.grant = grant;
	g->wish.granted = true;
	pthread_mutex_unlock(&g->cmd_lock);
	wake(g);
}

void guest_set_vcpus(struct guest *g, struct stallshare_vcpus *v)
{
	struct stallshare_vcpus *old, *unseen;

	pthread_mutex_lock(&g->cmd_lock);
	unseen = g->wish.set_vcpus ? g->wish.vcpus : NULL;
	old = g->wish.old;
	g->wish.old = NULL;
	g->wish.vcpus = v;
	g->wish.set_vcpus = true;
	pthread_mutex_unlock(&g->cmd_lock);
	free(unseen);
	free(old);
	wake(g);
}

/* The control thread's wishes: one lock in a turn, and no memory. */
void guest_grant_wish(struct guest *g)
{
	struct guest_wish w;

	pthread_mutex_lock(&g->cmd_lock);
	w = g->wish;
	g->wish.granted = g->wish.set_vcpus = false;
	if (w.set_vcpus) {
		/* guest_set_vcpus has freed the one before */
		g->wish.old = (struct stallshare_vcpus *)g->stalled.vcpus;
		stallshare_set_vcpus(&g->stalled, w.vcpus, clock_ns());
	}
	pthread_mutex_unlock(&g->cmd_lock);
	if (!w.granted)
		return;
	pageout_set_grant(g, w.grant);
	if (w.take > 0)
		pageout_take(g, w.take, clock_ns());
}

static struct command *take_commands(struct guest *g)
{
	struct command *head;

	pthread_mutex_lock(&g->cmd_lock);
	head = g->cmd_head;
	g->cmd_head = NULL;
	g->cmd_tail = &g->cmd_head;
	pthread_mutex_unlock(&g->cmd_lock);
	return head;
}

/* Polls only note what is readable; the loop does the rest, in its order. */

static void on_uffd(struct ring_op *op, int res)
{
	struct mapper *mp = (struct mapper *)((char *)op - offsetof(struct mapper, poll));

	if (res >= 0)
		mp->readable = true;
}

static void on_chan(struct ring_op *op, int res)
{
	struct guest *g = (struct guest *)((char *)op - offsetof(struct guest, chan_poll));

	(void)res;
	g->chan_readable = true;
}

static void on_wake(struct ring_op *op, int res)
{
	struct guest *g = (struct guest *)((char *)op - offsetof(struct guest, wake_poll));
	uint64_t n;

	(void)res;
	(void)!read(g->wake_fd, &n, sizeof(n));
}

static void watch(struct guest *g, struct mapper *mp)
{
	mp->poll = (struct ring_op){ .done = on_uffd };
	mp->readable = true;
	ring_poll(g->ring, &mp->poll, mp->uffd);
}

static int open_object(struct guest *g, struct err *e)
{
	char name[GUEST_NAME_MAX + 16];

	snprintf(name, sizeof(name), "guest-%s.swap", g->name);
	/* a guest that is attached anew has nothing on swap */
	if (!g->adopted)
		unlinkat(g->dir_fd, name, 0);
	g->swap_fd = openat(g->dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (g->swap_fd < 0)
		return err_set(e, -errno, "cannot open %s in the run directory: %s", name,
			       strerror(errno));
	g->object = object_open(g->swap_fd, g->npages, &g->paging->zone, e);
	if (g->object)
		object_set_share(g->object, g->share);
	return g->object ? 0 : e->code;
}

static int begin(struct guest *g, uint32_t zap_seq, struct err *e)
{
	bool any = false;
	int ret;

	if (g->nregions == 0)
		return err_set(e, -EINVAL, "guest %s has no RAM", g->name);
	ret = ram_begin(g, e);
	beside_init(&g->beside);
	if (ret == 0 &&
	    (pages_init(&g->pages, g->npages) < 0 || windows_init(&g->windows, g->npages) < 0 ||
	     sample_init(&g->sample, g->npages) < 0 || pagein_init(g) < 0 ||
	     kept_init(&g->kept, g->npages) < 0))
		ret = err_set(e, -ENOMEM, "guest %s: out of memory", g->name);
	g->kept.of_all = &g->paging->kept;
	if (ret == 0)
		ret = open_object(g, e);
	if (ret == 0)
		ret = ram_scan(g, e);
	if (ret == 0 && g->adopted)
		ret = recover(g, e);
	if (ret == 0)
		replay_init(g, clock_ns());
	if (ret < 0)
		return ret;
	pageout_set_max(g, g->max ? g->max : g->npages);
	g->ceiling = g->npages;
	/* The keeper is in the middle of a zap that an earlier pager asked for:
	 * its REMOVE events are not the guest's. */
	if (zap_seq)
		g->zap = (struct zap){ .busy = true,
				       .seq = zap_seq,
				       .since = clock_ns(),
				       .nspans = 1,
				       .span = { { 0, g->npages } } };
	for (int i = 0; i < PROTO_MAPPERS_MAX; i++)
		if (g->mapper[i].used) {
			watch(g, &g->mapper[i]);
			any = true;
		}
	point_crash("begun");
	if (g->adopted)
		ram_wake_all(g);
	point_crash("woken");
	cachescan_begin(g, g->paging->swapcached);
	__atomic_store_n(&g->state, GUEST_RUNNING, __ATOMIC_RELEASE);
	log_info("guest %s: process %d, %llu MiB in %u memfds", g->name, (int)g->pid,
		 (unsigned long long)g->npages >> 8, g->nregions);
	if (!any)
		job_gone(g);
	else if (g->why[0])
		job_quarantine(g, g->why);
	return 0;
}

static void serving(struct guest *g, const struct err *e)
{
	struct proto_msg m = { .type = MSG_SERVING, .err = *e };
	bool any = false;

	if (e->code == 0) {
		(void)!guest_send(g, &m);
	} else if (g->adopted) {
		/* fail closed: it stays registered, and waits */
		job_set_why(g, e->text);
		log_err("guest %s waits: %s", g->name, g->why);
		__atomic_store_n(&g->state, GUEST_WAITING, __ATOMIC_RELEASE);
		g->ops->quarantined(g->ops->arg, g);
		if (!g->ring) {
			g->ended = true;
			any = true;
		}
		for (int i = 0; i < PROTO_MAPPERS_MAX; i++) {
			any |= g->mapper[i].used;
			if (g->ring && g->mapper[i].used && !g->mapper[i].poll.armed)
				watch(g, &g->mapper[i]);
		}
		/* nobody is left to tell of an end */
		if (!any)
			job_gone(g);
	} else {
		for (int i = 0; i < PROTO_MAPPERS_MAX; i++)
			if (g->mapper[i].used)
				mapper_drop(g, &g->mapper[i]);
		(void)!guest_send(g, &m);
		g->ended = true;
	}
	g->ops->serving(g->ops->arg, g, e);
}

/* A page that is on swap must not be in the memfd; it would be a stranger's. */
static void check_swapped(struct guest *g)
{
	for (uint64_t p = page_find(&g->pages, 0, g->npages, PAGE_SWAPPED); p < g->npages;
	     p = page_find(&g->pages, p + 1, g->npages, PAGE_SWAPPED))
		if (ram_present(g, p)) {
			log_err("guest %s: page %llu was touched by a process before it was "
				"attached",
				g->name, (unsigned long long)p);
			/* what was written there is newer than the zeros below
			 * it, but not the guest's page: keep the guest's */
			if (ram_punch(g, p, 1) < 0)
				log_err("guest %s: and cannot be set right", g->name);
		}
}

/* A process that came later, or one that has mapped the RAM anew. */
static void add_late_mapper(struct guest *g, const struct proto_msg *m, int fd)
{
	struct mapper *mp = mapper_find(g, m->id);
	struct err e = { 0 };
	int ret;

	if (mp) {
		close(fd);
		ret = mapper_update(g, mp, m, &e);
	} else {
		log_info("guest %s: process %d maps its RAM too", g->name, m->pid);
		ret = mapper_add(g, m, fd, &e);
		mp = mapper_find(g, m->id);
	}
	if (ret == -ESRCH)
		return; /* it has ended: MSG_MAPPER_GONE follows */
	hands_forget(g);
	if (ret < 0) {
		job_quarantine(g, e.text);
		return;
	}
	check_swapped(g);
	if (!mp->poll.armed)
		watch(g, mp);
	ram_wake_all(g);
}

/* Others that still map a dead guest's RAM have no use for it. */
static void drop_mapper(struct guest *g, uint32_t id)
{
	struct mapper *mp = mapper_find(g, id);
	bool dead = mp && mp->pid == g->pid, any = false;

	if (mp)
		mapper_drop(g, mp);
	for (int i = 0; i < PROTO_MAPPERS_MAX; i++) {
		if (dead && g->mapper[i].used)
			mapper_drop(g, &g->mapper[i]);
		any |= g->mapper[i].used;
	}
	if (!any && g->state != GUEST_STARTING)
		job_gone(g);
}

/* Of a process that has ended meanwhile nothing is left to be done. */
static int add_first_mapper(struct guest *g, const struct proto_msg *m, int fd, struct err *e)
{
	int ret = mapper_add(g, m, fd, e);

	if (ret != -ESRCH)
		return ret;
	*e = (struct err){ 0 };
	return 0;
}

/* A guest that waits: who maps its RAM must wait too, and not read zeros. */
static void register_waiting(struct guest *g, const struct proto_msg *m, int fd)
{
	struct mapper *mp = mapper_find(g, m->id);
	struct err e = { 0 };
	int ret;

	if (mp) {
		close(fd);
		ret = mapper_refresh(g, mp, m, &e);
	} else {
		ret = mapper_add(g, m, fd, &e);
		mp = mapper_find(g, m->id);
	}
	if (ret < 0 && ret != -ESRCH)
		log_err("guest %s: process %d maps its RAM, and reads zeros: %s", g->name,
			m->pid, e.text);
	else if (ret == 0 && !mp->poll.armed)
		watch(g, mp);
}

/*
 * What happens to a guest that waits is read and dropped, so that nothing but its
 * faults waits for us: not the madvise of a zap, nor the VMM's own when the guest
 * gives memory back.  Faults come anew when it is taken over.
 */
static void drop_events(struct guest *g)
{
	for (int i = 0; i < PROTO_MAPPERS_MAX; i++) {
		struct mapper *mp = &g->mapper[i];
		struct uffd_event ev[16];

		if (!mp->used || !mp->readable)
			continue;
		mp->readable = uffd_read(mp->uffd, ev, 16) == 16;
	}
}

static void handle(struct guest *g, const struct proto_msg *m, int fd)
{
	struct err e = { 0 };
	int ret = 0;

	if (g->state == GUEST_WAITING && m->type == MSG_MAPPER) {
		register_waiting(g, m, fd);
		return;
	}
	if (g->state == GUEST_WAITING && m->type != MSG_MAPPER_GONE &&
	    m->type != MSG_DETACHED) {
		if (fd >= 0)
			close(fd);
		return;
	}
	switch (m->type) {
	case MSG_MEMFD:
		ret = fd >= 0 ? ram_add_memfd(g, fd, m->bytes, &e) : -EBADF;
		break;
	case MSG_MAPPER:
		if (g->state != GUEST_STARTING)
			add_late_mapper(g, m, fd);
		else
			ret = add_first_mapper(g, m, fd, &e);
		break;
	case MSG_BEGIN:
		begin(g, m->seq, &e);
		serving(g, &e);
		if (e.code == 0 && m->err.code)
			job_quarantine(g, m->err.text);
		return;
	case MSG_ZAPPED:
		hands_zapped(g, m);
		break;
	case MSG_MAPPER_GONE:
		drop_mapper(g, m->id);
		break;
	case MSG_UNSAFE:
		job_quarantine(g, m->err.text);
		break;
	case MSG_DETACHED:
		job_end(g);
		break;
	default:
		log_err("guest %s: unexpected message %u from the keeper", g->name, m->type);
	}
	if (ret < 0)
		serving(g, &e);
}

static void messages(struct guest *g)
{
	while (g->chan_readable && !g->ended) {
		struct proto_msg m;
		int fds[IPC_FDS_MAX], nfds;
		ssize_t n = ipc_recv(g->chan, &m, sizeof(m), fds, &nfds);

		if (n == -EAGAIN) {
			g->chan_readable = false;
			return;
		}
		if (n == (ssize_t)sizeof(m)) {
			handle(g, &m, fds[0]);
			continue;
		}
		for (int i = 0; i < nfds; i++)
			close(fds[i]);
		/* The keeper is gone, and the guest with the next one's. */
		log_err("guest %s: the keeper is gone", g->name);
		g->left = g->state != GUEST_GONE;
		g->ended = true;
	}
}

static void commands(struct guest *g)
{
	struct command *cmd = take_commands(g), *next;

	for (; cmd; cmd = next) {
		next = cmd->next;
		job_command(g, cmd);
	}
}

static uint64_t sleep_ns(const struct guest *g)
{
	uint64_t patience, turn = TURN_NS;

	for (int i = 0; i < PROTO_MAPPERS_MAX; i++)
		if (g->mapper[i].used && g->mapper[i].readable)
			return 0;
	if (g->more)
		return 0;
	if (g->job != JOB_NONE || pageout_busy(g) > 0)
		turn = BUSY_TURN_NS;
	patience = fault_patience(g, clock_ns());
	if (patience > blks_patience(g))
		patience = blks_patience(g);
	return patience < turn ? patience : turn;
}

/* Once a second: the VMM may have mapped other memory in place of its RAM, or the same
 * anew, which then reads zeros. */
static void probe(struct guest *g, uint64_t now)
{
	if (now < g->probe_at || g->state != GUEST_RUNNING)
		return;
	g->probe_at = now + NSEC_PER_SEC;
	if (!ram_registered(g))
		job_quarantine(g, "its VMM has mapped its RAM anew behind our back");
}

static void turn(struct guest *g)
{
	int ret;

	__atomic_store_n(&g->stalls.beat, clock_ns(), __ATOMIC_RELAXED);
	stall_step(g, STEP_WAIT);
	ret = ring_run(g->ring, sleep_ns(g));
	if (ret < 0) {
		log_err("guest %s: io_uring: %s", g->name, strerror(-ret));
		BROKEN("the ring does not run");
	}
	if (g->state != GUEST_STARTING && g->state != GUEST_WAITING) {
		stall_share_step(g);
		stall_step(g, STEP_FAULTS);
		for (int i = 0; i < PROTO_MAPPERS_MAX; i++)
			if (g->mapper[i].used && g->mapper[i].readable)
				fault_events(g, &g->mapper[i]);
		g->again = false;
		stall_step(g, STEP_PAGEINS);
		pagein_retry(g, clock_ns());
		holds_step(g, clock_ns());
		blockmap_step(g, clock_ns());
		stall_step(g, STEP_PARKED);
		fault_retry(g);
		stall_step(g, STEP_DISKS);
		blks_step(g, clock_ns());
		stall_look(g, clock_ns());
		/* reads go first, then what page-out has to do */
		stall_step(g, STEP_SUBMIT);
		ring_submit(g->ring);
	}
	if (g->state == GUEST_WAITING)
		drop_events(g);
	stall_step(g, STEP_MESSAGES);
	messages(g);
	if (g->state == GUEST_STARTING || g->ended)
		return;
	stall_step(g, STEP_COMMANDS);
	commands(g);
	if (g->state == GUEST_WAITING || g->ended)
		return;
	guest_grant_wish(g);
	late_step(g, clock_ns());
	probe(g, clock_ns());
	fault_look_again(g, clock_ns());
	if (g->held_until && clock_ns() >= g->held_until) {
		object_settle(g->object);
		g->held_until = 0;
	}
	stall_step(g, STEP_PAGEOUT);
	hands_sample(g, clock_ns());
	pageout_step(g, clock_ns());
	kept_step(g, clock_ns());
	cachescan_step(g);
	stall_step(g, STEP_MOVES);
	move_step(g, clock_ns());
	replay_step(g, clock_ns());
	stall_step(g, STEP_JOB);
	job_step(g);
	stall_step(g, STEP_MAP);
	map_step(g);
}

/* Nobody is left to do them. */
static void refuse_commands(struct guest *g)
{
	struct command *cmd = take_commands(g), *next;

	for (; cmd; cmd = next) {
		next = cmd->next;
		err_set(&cmd->err, -ESRCH, "guest %s is gone", g->name);
		g->ops->completed(g->ops->arg, cmd);
	}
}

static void *run(void *arg)
{
	struct guest *g = arg;
	struct err e = { 0 };

	prctl(PR_SET_NAME, "drum-worker");
	__atomic_store_n(&g->stalls.tid, (int)gettid(), __ATOMIC_RELAXED);
	/* with a fault pending it would be too late to ask for memory */
	memlock_touch_stack();
	g->ring = ring_create(RING_ENTRIES);
	if (!g->ring) {
		err_set(&e, -errno, "io_uring: %s", strerror(errno));
		serving(g, &e);
	} else {
		ring_poll(g->ring, &g->chan_poll, g->chan);
		ring_poll(g->ring, &g->wake_poll, g->wake_fd);
	}
	while (!g->ended)
		turn(g);
	cachescan_end(g);
	job_abandon(g);
	map_abandon(g);
	refuse_commands(g);
	g->ops->ended(g->ops->arg, g);
	return NULL;
}

struct guest *guest_start(const char *name, pid_t pid, int chan, bool adopted, uint64_t limit,
			  struct drum *drum, struct drum_share *share, struct paging *paging,
			  int dev_uffd, int dir_fd, const struct guest_ops *ops)
{
	struct guest *g = calloc(1, sizeof(*g));
	int ret = ENOMEM;

	if (!g)
		goto fail;
	memlock_touch(g, sizeof(*g));
	snprintf(g->name, sizeof(g->name), "%s", name);
	g->pid = pid;
	g->adopted = adopted;
	g->ops = ops;
	g->drum = drum;
	g->share = share;
	g->paging = paging;
	g->dev_uffd = dev_uffd;
	g->dir_fd = dir_fd;
	g->guard_fd = g->swap_fd = -1;
	g->pin_slot = paging->pincheck ? pincheck_slot(paging->pincheck) : -1;
	g->max = limit >> PAGE_SHIFT;
	g->grant = UINT64_MAX;
	stall_share_init(g);
	g->chan = chan;
	g->chan_poll.done = on_chan;
	g->wake_poll.done = on_wake;
	g->cmd_tail = &g->cmd_head;
	g->stalls.oldest_page = UINT64_MAX;
	pthread_mutex_init(&g->cmd_lock, NULL);
	fcntl(chan, F_SETFL, O_NONBLOCK);
	g->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret = g->wake_fd < 0 ? errno : pthread_create(&g->thread, NULL, run, g);
	if (ret == 0)
		return g;
fail:
	close(chan);
	if (g && paging->pincheck)
		pincheck_slot_free(paging->pincheck, g->pin_slot);
	if (g && g->wake_fd >= 0)
		close(g->wake_fd);
	free(g);
	errno = ret;
	return NULL;
}

/* Does a device have the guest's memory, or will it post to its ring? */
static bool io_in_flight(const struct guest *g)
{
	for (unsigned int i = 0; i < PAGEINS_MAX; i++) {
		const struct pagein *p = &g->pagein[i];

		if (p->busy && (p->writing || (!p->filled && !p->retry_at)))
			return true;
	}
	return pageout_busy(g) > 0 || !blks_quiet(g);
}

void guest_free(struct guest *g)
{
	pthread_join(g->thread, NULL);
	refuse_commands(g); /* what came after the thread had looked */
	/* The keeper is gone, and so are we in a moment: until then devices'
	 * threads go on to fill its buffers and to look for its ring. */
	if (io_in_flight(g))
		return;
	ring_destroy(g->ring);
	dump_free(g);
	/* what is still registered stays so: no mapper_drop */
	for (int i = 0; i < PROTO_MAPPERS_MAX; i++)
		if (g->mapper[i].used)
			close(g->mapper[i].uffd);
	ram_end(g);
	object_close(g->object);
	pages_fini(&g->pages);
	replay_fini(g);
	kept_fini(&g->kept);
	blockmap_fini(g);
	windows_fini(&g->windows);
	sample_fini(&g->sample);
	pagein_fini(g);
	holds_fini(&g->holds);
	if (g->paging->pincheck)
		pincheck_slot_free(g->paging->pincheck, g->pin_slot);
	if (g->swap_fd >= 0)
		close(g->swap_fd);
	close(g->chan);
	close(g->wake_fd);
	pthread_mutex_destroy(&g->cmd_lock);
	free(g->wish.set_vcpus ? g->wish.vcpus : NULL);
	free(g->wish.old);
	free((struct stallshare_vcpus *)g->stalled.vcpus);
	free(g);
}

static const char *state_name(enum guest_state s)
{
	static const char *const names[] = {
		[GUEST_STARTING] = "attaching",	 [GUEST_RUNNING] = "running",
		[GUEST_DETACHING] = "detaching", [GUEST_QUARANTINED] = "quarantined",
		[GUEST_WAITING] = "waiting",	 [GUEST_GONE] = "gone",
	};

	return names[s];
}

static uint64_t get(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static void get_idle(const struct guest *g, struct guest_stats *out)
{
	uint64_t all = (out->resident + out->swapped + out->reading) >> PAGE_SHIFT;
	uint64_t hot[SAMPLE_PERIODS];

	for (int p = 0; p < SAMPLE_PERIODS; p++)
		hot[p] = sample_hot(&g->sample, (enum sample_period)p, all) << PAGE_SHIFT;
	all <<= PAGE_SHIFT;
	out->hot = hot[SAMPLE_1M];
	out->idle_10s = all - hot[SAMPLE_10S];
	out->idle_1m = all - hot[SAMPLE_1M];
	out->idle_5m = all - hot[SAMPLE_5M];
	out->idle_30m = all - hot[SAMPLE_30M];
}

void guest_get_stats(const struct guest *g, struct guest_stats *out)
{
	const struct guest_counters *c = &g->count;
	enum guest_state s = __atomic_load_n(&g->state, __ATOMIC_ACQUIRE);
	uint64_t resident, limit = get(&g->limit);
	const struct stallshare *share = &g->stalled;

	*out = (struct guest_stats){ .pid = g->pid };
	snprintf(out->name, sizeof(out->name), "%s", g->name);
	snprintf(out->state, sizeof(out->state), "%s",
		 s == GUEST_STARTING && g->adopted ? "recovering" : state_name(s));
	if (s == GUEST_STARTING)
		out->swapped = get(&g->found) << PAGE_SHIFT; /* so far */
	if (s == GUEST_QUARANTINED || s == GUEST_WAITING)
		snprintf(out->why, sizeof(out->why), "%s", g->why);
	if (s == GUEST_STARTING || s == GUEST_WAITING)
		return;
	for (int i = 0; i < PROTO_MAPPERS_MAX; i++)
		out->mappers += __atomic_load_n(&g->mapper[i].used, __ATOMIC_RELAXED);
	out->size = g->npages << PAGE_SHIFT;
	out->active = page_count(&g->pages, PAGE_ACTIVE) << PAGE_SHIFT;
	out->inactive = page_count(&g->pages, PAGE_INACTIVE) << PAGE_SHIFT;
	out->pinned = pages_pinned(&g->pages) << PAGE_SHIFT;
	out->writing = page_count(&g->pages, PAGE_WRITING) << PAGE_SHIFT;
	out->reading = page_count(&g->pages, PAGE_READING) << PAGE_SHIFT;
	out->swapped = page_count(&g->pages, PAGE_SWAPPED) << PAGE_SHIFT;
	out->kept = kept_count(&g->kept) << PAGE_SHIFT;
	out->zero = page_count(&g->pages, PAGE_HOLE) << PAGE_SHIFT;
	out->resident = out->active + out->inactive + out->writing;
	resident = out->resident >> PAGE_SHIFT;
	get_idle(g, out);
	out->limit = get(&g->max) << PAGE_SHIFT;
	out->grant = limit << PAGE_SHIFT;
	out->over_limit = resident > limit ? (resident - limit) << PAGE_SHIFT : 0;
	out->faults_hole = get(&c->faults[PAGE_HOLE]);
	out->faults_inactive = get(&c->faults[PAGE_INACTIVE]) + get(&c->faults[PAGE_ACTIVE]);
	out->faults_swapped = get(&c->faults[PAGE_SWAPPED]);
	out->faults_writing = get(&c->faults[PAGE_WRITING]);
	out->faults_reading = get(&c->faults[PAGE_READING]);
	out->faults = out->faults_hole + out->faults_inactive + out->faults_swapped +
		      out->faults_writing + out->faults_reading;
	out->refaults = get(&c->refaults);
	out->refaults_1s = get(&c->refaults_1s);
	out->fault_p50 = hist_percentile(&g->fault_hist, 0.5);
	out->fault_p99 = hist_percentile(&g->fault_hist, 0.99);
	out->fault_max = get(&g->fault_hist.max);
	out->pages_in = get(&c->pages_in);
	out->pages_out = get(&c->pages_out);
	out->pages_clean = get(&c->pages_clean);
	out->pages_zero = get(&c->pages_zero);
	out->pages_discarded = get(&c->pages_discarded);
	out->pages_moved = get(&c->pages_moved);
	out->pages_replayed = get(&c->pages_replayed);
	out->recorded = get(&g->recorded) << PAGE_SHIFT;
	out->poisoned = get(&c->poisoned);
	out->pin_checks = get(&c->pin_checks);
	out->pin_check = get(&c->pin_check_ns);
	out->zaps = get(&c->zaps);
	out->zap_p50 = hist_percentile(&g->zap_hist, 0.5);
	out->zap_max = get(&g->zap_hist.max);
	out->read_errors = get(&c->read_errors);
	out->write_errors = get(&c->write_errors);
	out->dump_done = get(&g->dump_done);
	out->evicted_limit = get(&c->evicted[EVICT_LIMIT]);
	out->evicted_grant = get(&c->evicted[EVICT_GRANT]);
	out->evicted_cold = get(&c->evicted[EVICT_COLD]);
	out->evicted_out = get(&c->evicted[EVICT_OUT]);
	out->vcpus = __atomic_load_n(&g->stalled.nvcpus, __ATOMIC_RELAXED);
	out->stall_full = get(&share->full);
	out->stall_some = get(&share->some);
	for (int i = 0; i < HOST_STALLS; i++)
		out->stall_for[i] = get(&share->by[i]);
	out->busy = __atomic_load_n(&g->busy, __ATOMIC_RELAXED);
}
