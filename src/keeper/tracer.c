/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * The thread changes what is attached and the channel under the lock, which it
 * never holds while it waits for anybody.  It waits for the
 * guest channel, the processes' pidfds, the wake pipe and, once a second, the
 * time to look whether another process has mapped the guest's RAM.
 *
 * A zap waits until the pager has read the REMOVE event.  If the pager dies in
 * the middle of one, this thread waits in it until the next pager reads on.
 * That is why the keeper's main thread hands a new channel over and tells the
 * new pager everything itself (tracer_reconnect), with the number of the zap
 * that is under way, so that its REMOVE events are known for what they are.
 *
 * If the keeper dies in the middle of one, the VMM's thread goes on by itself with the
 * system call that it was given, a madvise perhaps, whose REMOVE event may come at
 * any time after.  So a tracer that has taken a guest over begins with a zap of nothing
 * (settle): a thread that can be stopped is in no system call any more.  Until then
 * the pager takes REMOVE events for those of a zap.
 *
 * The channel may end (the pager died) at any time.  What is attached stays
 * attached, and the thread waits for tracer_reconnect; also if all processes
 * have ended meanwhile, since the next pager has to learn to which blocks the
 * dead one was writing.
 *
 * The file guest-NAME.state in the run directory holds what a later keeper
 * needs to take the guest back: which processes, since when they run, and
 * the number of the userfaultfd in each.  It is replaced as a whole: before the
 * pager hears of a process, so that none is ever registered that a later
 * keeper would not find; and it is removed before the userfaultfds are closed, whose
 * numbers may then mean something else.
 *
 * Once a second it is looked whether all is as it must be.  If not, the pager is
 * told (MSG_UNSAFE): it pages the guest in and lets go of it.
 *
 * Userfaultfds and memfds are in the store (kept.c) as well, under names that say
 * whose they are: a later keeper takes them from there, and only what is not
 * there from the VMM, which may have closed its own.
 *
 * Before this process becomes another program the thread is held (tracer_hold): it
 * must not end while it has a process stopped, which would go on with foreign
 * registers.
 */

#include "keeper/tracer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/point.h"
#include "keeper/attach.h"
#include "keeper/kept.h"
#include "keeper/left.h"
#include "keeper/mappers.h"

#define RESCAN_NS NSEC_PER_SEC

/* Number of the zap that may have been under way when an earlier keeper died. */
#define EARLIER_ZAP UINT32_MAX

struct process {
	uint32_t id; /* never used twice for one guest */
	struct attach_target target;
	int uffd;   /* our duplicate */
	int remote; /* its number there */
	struct mapping map;
};

struct tracer {
	const struct tracer_env *env; /* [I] */
	char name[PROTO_NAME_MAX];    /* [I] */
	pid_t pid;		      /* [I] whom we were asked to attach */
	uint32_t seq;		      /* [I] */
	bool adopted;		      /* [I] */
	pthread_t thread;	      /* [I] */
	int wake;		      /* [I] eventfd: chan or leave has changed */
	uint64_t limit;		      /* [a] bytes */
	bool leave;		      /* [a] */
	bool hold, held;	      /* [a] wanted, and so */
	bool ready;		      /* [a] memfd[] is complete, err is set */
	bool ended;		      /* [a] */
	struct err err;		      /* [I] once ready */

	pthread_mutex_t lock;		      /* leaf; written by the thread but for chan */
	struct memfd memfd[PROTO_MEMFDS_MAX]; /* [I] once ready, until the end */
	int nmemfds;
	struct process process[PROTO_MAPPERS_MAX];
	int nprocesses;
	uint32_t next_id;
	uint64_t mapped;  /* bytes of RAM that pid maps, as it was attached */
	uint32_t zapping; /* number of the zap under way, 0: none */
	bool unsafe;	  /* MSG_UNSAFE was sent */
	bool leaving;	  /* it is being released: no pager gets it any more */
	bool serving;	  /* the pager that has it serves it */
	int chan;	  /* -1: no pager */
	uint32_t pagers;  /* how many channels there were */
};

const char *tracer_name(const struct tracer *t)
{
	return t->name;
}

pid_t tracer_pid(const struct tracer *t)
{
	return t->pid;
}

uint32_t tracer_seq(const struct tracer *t)
{
	return t->seq;
}

uint64_t tracer_limit(const struct tracer *t)
{
	return __atomic_load_n(&t->limit, __ATOMIC_RELAXED);
}

bool tracer_owns(const struct tracer *t, pid_t pid)
{
	struct mapping map;

	if (!tracer_ready(t))
		return pid == t->pid;
	return t->err.code == 0 && mapping_of(pid, t->memfd, t->nmemfds, &map) != 0;
}

bool tracer_ready(const struct tracer *t)
{
	return __atomic_load_n(&t->ready, __ATOMIC_ACQUIRE);
}

const struct err *tracer_error(const struct tracer *t)
{
	return &t->err;
}

bool tracer_ended(const struct tracer *t)
{
	return __atomic_load_n(&t->ended, __ATOMIC_ACQUIRE);
}

static void end(struct tracer *t)
{
	__atomic_store_n(&t->ended, true, __ATOMIC_RELEASE);
	t->env->notify(t->env->arg);
}

/* Write the guest's file anew. */
static void save(const struct tracer *t)
{
	struct left_guest left = { .pid = t->pid, .limit = tracer_limit(t) };

	left.nmemfds = t->nmemfds;
	for (int i = 0; i < t->nmemfds; i++)
		left.memfd[i] = (struct left_memfd){ t->memfd[i].dev, t->memfd[i].ino };
	left.nmappers = t->nprocesses;
	for (int i = 0; i < t->nprocesses; i++)
		left.mapper[i] = (struct left_mapper){ t->process[i].map.pid,
						       t->process[i].map.start_time,
						       t->process[i].remote };
	left_save(t->env->run_dir, t->name, &left);
}

static void forget(const struct tracer *t)
{
	left_forget(t->env->run_dir, t->name);
}

/* => with the lock */
static int send_locked(struct tracer *t, struct proto_msg *m, int fd)
{
	int ret;

	if (t->chan < 0)
		return -EPIPE;
	ret = ipc_send(t->chan, m, sizeof(*m), &fd, fd >= 0 ? 1 : 0);
	if (ret < 0 && ret != -EPIPE)
		log_err("guest %s: message to the pager: %s", t->name, strerror(-ret));
	return ret;
}

static void send_msg(struct tracer *t, struct proto_msg *m)
{
	pthread_mutex_lock(&t->lock);
	(void)!send_locked(t, m, -1);
	pthread_mutex_unlock(&t->lock);
}

/* => with the lock */
static int send_process(struct tracer *t, const struct process *p)
{
	struct proto_msg m = { .type = MSG_MAPPER, .id = p->id, .pid = p->map.pid };

	m.u.ram.nranges = p->map.nranges;
	memcpy(m.u.ram.range, p->map.range, sizeof(p->map.range));
	return send_locked(t, &m, p->uffd);
}

/* May pages be taken from this process?  It is the pager's affair if it looks itself. */
static int check_dma(const struct tracer *t, pid_t pid, struct err *e)
{
	return dma_check(pid, __atomic_load_n(&t->env->pin_check, __ATOMIC_ACQUIRE), e);
}

/* Tell a worker that starts everything that is attached. => with the lock */
static int send_all(struct tracer *t)
{
	struct proto_msg m = { .type = MSG_MEMFD };
	int ret = 0;

	for (int i = 0; i < t->nmemfds && ret == 0; i++) {
		m.id = (uint32_t)i;
		m.bytes = t->memfd[i].size;
		ret = send_locked(t, &m, t->memfd[i].fd);
	}
	for (int i = 0; i < t->nprocesses && ret == 0; i++)
		ret = send_process(t, &t->process[i]);
	m = (struct proto_msg){ .type = MSG_BEGIN, .seq = t->zapping };
	/* an earlier pager had a pin check, and this one has not: it must not even begin */
	for (int i = 0; i < t->nprocesses && !t->unsafe; i++)
		t->unsafe = check_dma(t, t->process[i].map.pid, &m.err) < 0;
	if (ret == 0)
		ret = send_locked(t, &m, -1);
	return ret;
}

static void process_drop(struct tracer *t, int i)
{
	pthread_mutex_lock(&t->lock);
	close(t->process[i].uffd);
	close(t->process[i].target.pidfd);
	t->process[i] = t->process[--t->nprocesses];
	pthread_mutex_unlock(&t->lock);
}

static struct process *find_process(struct tracer *t, const struct mapping *map)
{
	for (int i = 0; i < t->nprocesses; i++)
		if (t->process[i].map.pid == map->pid &&
		    t->process[i].map.start_time == map->start_time)
			return &t->process[i];
	return NULL;
}

/*
 * A process may map the RAM anew (a vhost-user back end does at each start of
 * its device): the pager is told at once, or it would read zeros there.
 */
static void refresh(struct tracer *t, struct process *p, const struct mapping *now)
{
	if (mapping_same(&p->map, now))
		return;
	pthread_mutex_lock(&t->lock);
	p->map = *now;
	log_info("guest %s: process %d has mapped its RAM anew", t->name, (int)now->pid);
	(void)!send_process(t, p);
	pthread_mutex_unlock(&t->lock);
}

static int process_attach(struct tracer *t, const struct mapping *map, struct err *e)
{
	struct process p = { .map = *map };
	int ret;

	if (t->nprocesses == PROTO_MAPPERS_MAX)
		return err_set(e, -E2BIG, "more than %d processes map the RAM of guest %s",
			       PROTO_MAPPERS_MAX, t->name);
	p.target.pid = map->pid;
	p.target.pidfd = (int)syscall(SYS_pidfd_open, map->pid, 0);
	if (p.target.pidfd < 0)
		return err_set(e, -errno, "process %d: %s", (int)map->pid, strerror(errno));
	/* the pidfd is of the process that we looked at, or of none */
	if (start_time_of(map->pid) != map->start_time) {
		close(p.target.pidfd);
		return err_set(e, -ESRCH, "process %d is gone", (int)map->pid);
	}
	ret = attach_userfaultfd(&p.target, t->env->dev_uffd, &p.uffd, &p.remote, e);
	if (ret < 0) {
		close(p.target.pidfd);
		return ret;
	}
	pthread_mutex_lock(&t->lock);
	p.id = t->next_id++;
	t->process[t->nprocesses++] = p;
	pthread_mutex_unlock(&t->lock);
	kept_put_uffd(map->pid, map->start_time, p.remote, p.uffd);
	save(t);
	point_crash("mapper-saved");
	/* at attach there is no channel yet; send_all will tell */
	pthread_mutex_lock(&t->lock);
	(void)!send_process(t, &p);
	pthread_mutex_unlock(&t->lock);
	point_crash("mapper-sent");
	log_debug("guest %s: process %d attached, userfaultfd %d there", t->name, (int)map->pid,
		  p.remote);
	return 0;
}

/*
 * Attach whoever maps the RAM and is not attached, until nobody new is found.
 * => how many came, or -errno
 */
static int attach_new(struct tracer *t, struct err *e)
{
	static const int rounds = 8;
	int came = 0;

	for (int round = 0; round < rounds; round++) {
		struct mapping *map = calloc(PROTO_MAPPERS_MAX, sizeof(*map));
		int n, fresh = 0, ret;

		if (!map)
			return err_set(e, -ENOMEM, "out of memory");
		ret = mappers_of(t->memfd, t->nmemfds, map, PROTO_MAPPERS_MAX, &n, e);
		for (int i = 0; i < n && ret == 0; i++) {
			struct process *p = find_process(t, &map[i]);

			if (map[i].pid == __atomic_load_n(&t->env->pager, __ATOMIC_ACQUIRE))
				continue;
			if (p) {
				refresh(t, p, &map[i]);
				continue;
			}
			ret = check_dma(t, map[i].pid, e);
			if (ret == 0)
				ret = process_attach(t, &map[i], e);
			if (ret == -ESRCH) {
				ret = 0; /* ended meanwhile, its mapping with it */
				continue;
			}
			if (ret == 0)
				fresh++;
		}
		free(map);
		if (ret < 0)
			return ret;
		if (fresh == 0)
			return came;
		came += fresh;
	}
	return err_set(e, -EBUSY, "new processes keep mapping the RAM of guest %s", t->name);
}

static uint64_t mapped_bytes(const struct mapping *m)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < m->nranges; i++)
		bytes += m->range[i].len;
	return bytes;
}

static bool has_ended(const struct process *p)
{
	struct pollfd pfd = { .fd = p->target.pidfd, .events = POLLIN };

	return poll(&pfd, 1, 0) != 0 || is_exiting(p->map.pid);
}

/* Is the descriptor there still the userfaultfd that we have? */
static bool has_ours(const struct process *p)
{
	long ret = syscall(SYS_kcmp, getpid(), p->map.pid, KCMP_FILE, p->uffd, p->remote);

	if (ret >= 0)
		return ret == 0;
	/* a kernel without kcmp tells less */
	return errno != EBADF && is_userfaultfd_of(p->map.pid, p->remote);
}

/*
 * Is what we rely on still there?  If we and the pager die, only the VMM's own
 * descriptor keeps its faults waiting; and where RAM is not mapped through it
 * there would be zeros.
 */
static int check_process(const struct tracer *t, const struct process *p, struct err *e)
{
	struct mapping now;
	int ret;

	if (!has_ours(p) && !has_ended(p))
		return err_set(e, -EBADF,
			       "process %d has closed the userfaultfd that its RAM is paged "
			       "with (descriptor %d)",
			       (int)p->map.pid, p->remote);
	if (p->map.pid != t->pid)
		return 0;
	ret = mapping_of(p->map.pid, t->memfd, t->nmemfds, &now);
	if (ret >= 0 && mapped_bytes(&now) < t->mapped && !has_ended(p))
		return err_set(e, -EFAULT, "process %d has unmapped %llu KiB of its RAM",
			       (int)p->map.pid,
			       (unsigned long long)(t->mapped - mapped_bytes(&now)) >> 10);
	return 0;
}

/* Undo all attaching. */
static void release_all(struct tracer *t)
{
	while (t->nprocesses > 0) {
		struct process *p = &t->process[t->nprocesses - 1];
		struct err e = { 0 };

		/* if it has closed it, another may have its number by now */
		if (has_ours(p) && attach_close(&p->target, p->remote, &e) < 0 &&
		    e.code != -ESRCH)
			log_warn("guest %s: %s", t->name, e.text);
		kept_forget_uffd(p->map.pid, p->map.start_time, p->remote);
		process_drop(t, t->nprocesses - 1);
	}
	kept_forget_memfds(t->memfd, t->nmemfds);
	pthread_mutex_lock(&t->lock);
	memfds_close(t->memfd, t->nmemfds);
	t->nmemfds = 0;
	pthread_mutex_unlock(&t->lock);
}

static int attach_all(struct tracer *t, struct err *e)
{
	bool found = false;
	int ret;

	ret = memfds_of(t->pid, t->memfd, &t->nmemfds, e);
	if (ret == 0)
		ret = check_dma(t, t->pid, e);
	if (ret == 0)
		ret = attach_new(t, e);
	for (int i = 0; i < t->nprocesses && ret >= 0; i++)
		if (t->process[i].map.pid == t->pid) {
			t->mapped = mapped_bytes(&t->process[i].map);
			found = true;
		}
	if (ret >= 0 && !found)
		ret = err_set(e, -ESRCH, "process %d is gone", (int)t->pid);
	if (ret < 0) {
		forget(t);
		release_all(t);
	} else {
		kept_put_memfds(t->memfd, t->nmemfds);
	}
	return ret < 0 ? ret : 0;
}

/* The ranges of process p that a zap asks for. => how many */
static size_t translate(const struct process *p, const struct proto_msg *zap,
			struct attach_range *out, size_t max)
{
	size_t n = 0;

	for (uint32_t i = 0; i < zap->u.ram.nranges; i++) {
		const struct proto_range *z = &zap->u.ram.range[i];

		for (uint32_t k = 0; k < p->map.nranges && n < max; k++) {
			const struct proto_range *r = &p->map.range[k];
			uint64_t from, to;

			if (r->memfd != z->memfd)
				continue;
			from = z->off > r->off ? z->off : r->off;
			to = z->off + z->len < r->off + r->len ? z->off + z->len
							       : r->off + r->len;
			if (from < to)
				out[n++] = (struct attach_range){ r->start + (from - r->off),
								  to - from };
		}
	}
	return n;
}

static int zap_process(struct tracer *t, struct process *p, const struct proto_msg *m,
		       struct err *e)
{
	/* each asked range may appear in several places of one process */
	struct attach_range range[PROTO_RANGES_MAX * 4];
	struct mapping now;
	int ret = mapping_of(p->map.pid, t->memfd, t->nmemfds, &now);
	size_t n;

	/* other memory may stand where the RAM was */
	if (ret < 0)
		return err_set(e, ret, "cannot read the mappings of process %d: %s",
			       (int)p->map.pid, strerror(-ret));
	if (ret == 0)
		return 0;
	refresh(t, p, &now);
	n = translate(p, m, range, PROTO_RANGES_MAX * 4);
	if (n == PROTO_RANGES_MAX * 4)
		return err_set(e, -E2BIG, "process %d maps the RAM too many times",
			       (int)p->map.pid);
	ret = n ? attach_zap(&p->target, range, n, e) : 0;
	if (ret != -ESRCH)
		return ret;
	*e = (struct err){ 0 }; /* no process, no mapping */
	return 0;
}

/* One step: a pager that comes now must hear of it, or not at all. */
static void zapped(struct tracer *t, struct proto_msg *reply)
{
	pthread_mutex_lock(&t->lock);
	t->zapping = 0;
	(void)!send_locked(t, reply, -1);
	pthread_mutex_unlock(&t->lock);
}

static void do_zap(struct tracer *t, struct proto_msg *m)
{
	struct proto_msg reply = { .type = MSG_ZAPPED, .seq = m->seq };
	int ret = 0;

	/* t->zapping has its number since it was received */
	if (m->u.ram.nranges > PROTO_RANGES_MAX)
		m->u.ram.nranges = 0;
	for (int i = 0; i < t->nprocesses && ret == 0; i++)
		ret = zap_process(t, &t->process[i], m, &reply.err);
	point_crash("zap-done");
	zapped(t, &reply);
}

/*
 * A zap that an earlier keeper began is over when every process can be stopped.  Only
 * where a pager serves them: else a process may wait for a page, and we for it.
 */
static void settle(struct tracer *t)
{
	struct proto_msg reply = { .type = MSG_ZAPPED, .seq = EARLIER_ZAP };
	struct err e = { 0 };

	for (int i = 0; i < t->nprocesses; i++)
		if (attach_zap(&t->process[i].target, NULL, 0, &e) < 0 && e.code != -ESRCH) {
			/* until it can be, nothing is taken for given back */
			log_err("guest %s: %s; trying again", t->name, e.text);
			return;
		}
	zapped(t, &reply);
}

/* => false: the thread is done with this guest */
static bool handle(struct tracer *t, struct proto_msg *m)
{
	struct proto_msg reply = { .type = MSG_DETACHED };

	switch (m->type) {
	case MSG_SERVING:
		if (m->err.code == 0) {
			save(t);
			t->serving = true;
			if (t->zapping == EARLIER_ZAP && t->adopted)
				settle(t);
			return true;
		}
		break;
	case MSG_ZAP:
		do_zap(t, m);
		return true;
	case MSG_LIMIT:
		__atomic_store_n(&t->limit, m->bytes, __ATOMIC_RELAXED);
		save(t);
		return true;
	case MSG_DETACH:
		break;
	default:
		log_err("guest %s: unexpected message %u from the pager", t->name, m->type);
		return true;
	}
	pthread_mutex_lock(&t->lock);
	t->leaving = true;
	pthread_mutex_unlock(&t->lock);
	forget(t);
	point_crash("detach-forgotten");
	release_all(t);
	point_crash("detach-released");
	send_msg(t, &reply);
	return false;
}

static void rescan(struct tracer *t)
{
	struct proto_msg unsafe = { .type = MSG_UNSAFE };
	int before = t->nprocesses, ret;

	if (t->adopted && t->serving && t->zapping == EARLIER_ZAP)
		settle(t);
	if (t->unsafe)
		return;
	ret = attach_new(t, &unsafe.err);
	for (int i = 0; i < t->nprocesses && ret >= 0; i++)
		ret = check_dma(t, t->process[i].map.pid, &unsafe.err);
	for (int i = 0; i < t->nprocesses && ret >= 0; i++)
		ret = check_process(t, &t->process[i], &unsafe.err);
	if (t->nprocesses != before)
		save(t);
	if (ret < 0) {
		t->unsafe = true;
		send_msg(t, &unsafe);
	}
}

/* Processes that have ended. */
static void reap(struct tracer *t, const struct pollfd *pfd, int n)
{
	for (int i = n - 1; i >= 0; i--) {
		struct proto_msg m = { .type = MSG_MAPPER_GONE, .id = t->process[i].id };

		if (!pfd[i].revents)
			continue;
		log_debug("guest %s: process %d has ended", t->name,
			  (int)t->process[i].map.pid);
		kept_forget_uffd(t->process[i].map.pid, t->process[i].map.start_time,
				 t->process[i].remote);
		process_drop(t, i);
		send_msg(t, &m);
	}
}

/* Close the channel, unless a new one has taken its place. */
static void drop_channel(struct tracer *t, uint32_t pagers)
{
	pthread_mutex_lock(&t->lock);
	if (t->chan >= 0 && t->pagers == pagers) {
		close(t->chan);
		t->chan = -1;
	}
	pthread_mutex_unlock(&t->lock);
}

static int current_channel(struct tracer *t, uint32_t *pagers)
{
	int chan;

	pthread_mutex_lock(&t->lock);
	chan = t->chan;
	*pagers = t->pagers;
	pthread_mutex_unlock(&t->lock);
	return chan;
}

/*
 * Take a message, and note a zap in the same step: a pager that comes now must hear
 * of it.  The channel may be a new pager's since it was looked at.
 * => as ipc_recv; -EAGAIN: there is none
 */
static ssize_t take_message(struct tracer *t, int chan, struct proto_msg *m)
{
	struct pollfd pfd = { .fd = chan, .events = POLLIN };
	int fds[IPC_FDS_MAX], nfds = 0;
	ssize_t n = -EAGAIN;

	pthread_mutex_lock(&t->lock);
	if (poll(&pfd, 1, 0) > 0)
		n = ipc_recv(chan, m, sizeof(*m), fds, &nfds);
	if (n == (ssize_t)sizeof(*m) && m->type == MSG_ZAP)
		t->zapping = m->seq;
	pthread_mutex_unlock(&t->lock);
	for (int i = 0; i < nfds; i++)
		close(fds[i]);
	return n;
}

/* => false: the channel is closed or the thread is done */
static bool receive(struct tracer *t, int chan, bool *done)
{
	struct proto_msg m;
	ssize_t n = take_message(t, chan, &m);

	if (n == -EAGAIN)
		return true;
	if (n == (ssize_t)sizeof(m)) {
		*done = !handle(t, &m);
		return true;
	}
	if (n > 0)
		log_err("guest %s: message of %zd bytes from the pager", t->name, n);
	return false;
}

/* No process is stopped: wait until one may be again, or we end. */
static void rest(struct tracer *t)
{
	struct pollfd wake = { .fd = t->wake, .events = POLLIN };
	uint64_t count;

	__atomic_store_n(&t->held, true, __ATOMIC_RELEASE);
	t->env->notify(t->env->arg);
	while (__atomic_load_n(&t->hold, __ATOMIC_ACQUIRE) &&
	       !__atomic_load_n(&t->leave, __ATOMIC_ACQUIRE)) {
		poll(&wake, 1, -1);
		(void)!read(t->wake, &count, sizeof(count));
	}
	__atomic_store_n(&t->held, false, __ATOMIC_RELEASE);
}

static void serve(struct tracer *t)
{
	uint64_t next_scan = clock_ns() + RESCAN_NS;
	bool done = false;

	while (!done && !__atomic_load_n(&t->leave, __ATOMIC_ACQUIRE)) {
		struct pollfd pfd[PROTO_MAPPERS_MAX + 2];
		uint64_t now = clock_ns(), left = next_scan > now ? next_scan - now : 0, count;
		uint32_t pagers;
		int n = t->nprocesses, ready, chan = current_channel(t, &pagers);

		if (__atomic_load_n(&t->hold, __ATOMIC_ACQUIRE)) {
			rest(t);
			continue;
		}
		for (int i = 0; i < n; i++)
			pfd[i] = (struct pollfd){ .fd = t->process[i].target.pidfd,
						  .events = POLLIN };
		pfd[n] = (struct pollfd){ .fd = chan, .events = POLLIN };
		pfd[n + 1] = (struct pollfd){ .fd = t->wake, .events = POLLIN };
		/* rounded up, or the last millisecond would be spent in a spin */
		ready = poll(pfd, (nfds_t)n + 2,
			     (int)((left + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC));
		if (ready < 0 && errno != EINTR)
			log_err("guest %s: poll: %s", t->name, strerror(errno));
		if (ready > 0)
			reap(t, pfd, n);
		/* zaps never leave the channel idle for long: the clock decides */
		if (clock_ns() >= next_scan) {
			if (chan >= 0)
				rescan(t);
			next_scan = clock_ns() + RESCAN_NS;
		}
		if (ready > 0 && pfd[n + 1].revents)
			(void)!read(t->wake, &count, sizeof(count));
		if (ready > 0 && pfd[n].revents && !receive(t, chan, &done))
			drop_channel(t, pagers);
	}
}

static void *run(void *arg)
{
	struct tracer *t = arg;

	if (!t->adopted) {
		/* what an earlier one of that name may have left is not its own */
		forget(t);
		if (attach_all(t, &t->err) == 0)
			save(t);
		__atomic_store_n(&t->ready, true, __ATOMIC_RELEASE);
		t->env->notify(t->env->arg);
	}
	/* without a channel it waits for tracer_reconnect */
	if (t->err.code == 0)
		serve(t);
	if (!__atomic_load_n(&t->leave, __ATOMIC_ACQUIRE))
		end(t);
	return NULL;
}

static struct tracer *create(const struct tracer_env *env, const char *name)
{
	struct tracer *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->env = env;
	t->chan = -1;
	pthread_mutex_init(&t->lock, NULL);
	t->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	snprintf(t->name, sizeof(t->name), "%s", name);
	if (t->wake < 0) {
		free(t);
		return NULL;
	}
	return t;
}

void tracer_free(struct tracer *t)
{
	pthread_join(t->thread, NULL);
	while (t->nprocesses > 0)
		process_drop(t, t->nprocesses - 1);
	memfds_close(t->memfd, t->nmemfds);
	if (t->chan >= 0)
		close(t->chan);
	pthread_mutex_destroy(&t->lock);
	close(t->wake);
	free(t);
}

static int start(struct tracer *t)
{
	int ret = pthread_create(&t->thread, NULL, run, t);

	if (ret != 0) {
		close(t->wake);
		free(t);
		errno = ret;
	}
	return -ret;
}

struct tracer *tracer_attach(const struct tracer_env *env, pid_t pid, const char *name,
			     uint32_t seq)
{
	struct tracer *t = create(env, name);

	if (!t)
		return NULL;
	t->pid = pid;
	t->seq = seq;
	return start(t) == 0 ? t : NULL;
}

/* Open the memfds that the file names, in its order, from what pid maps. */
static int find_memfds(struct tracer *t, pid_t pid, const struct left_memfd *want, int nwant,
		       struct err *e)
{
	struct memfd have[PROTO_MEMFDS_MAX];
	int n, ret = memfds_of(pid, have, &n, e);

	if (ret < 0)
		return ret;
	for (int i = 0; i < nwant; i++)
		for (int k = 0; k < n; k++)
			if (have[k].fd >= 0 && have[k].dev == want[i].dev &&
			    have[k].ino == want[i].ino) {
				t->memfd[t->nmemfds++] = have[k];
				have[k].fd = -1;
			}
	for (int k = 0; k < n; k++)
		if (have[k].fd >= 0)
			close(have[k].fd);
	if (t->nmemfds == nwant)
		return 0;
	memfds_close(t->memfd, t->nmemfds);
	t->nmemfds = 0;
	return -ENOENT; /* another process may map all of them */
}

static int take_back(struct tracer *t, pid_t pid, uint64_t start_time, int remote,
		     struct err *e)
{
	struct process p = { .remote = remote };
	int ret;

	if (t->nprocesses == PROTO_MAPPERS_MAX || start_time_of(pid) != start_time)
		return -ESRCH;
	ret = mapping_of(pid, t->memfd, t->nmemfds, &p.map);
	if (ret <= 0)
		return ret < 0 ? ret : -ESRCH;
	p.target.pid = pid;
	p.target.pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (p.target.pidfd < 0)
		return -ESRCH;
	p.uffd = kept_take_uffd(pid, start_time, remote);
	if (p.uffd < 0) {
		p.uffd = (int)syscall(SYS_pidfd_getfd, p.target.pidfd, remote, 0);
		if (p.uffd >= 0)
			kept_put_uffd(pid, start_time, remote, p.uffd);
	}
	if (p.uffd < 0) {
		close(p.target.pidfd);
		return err_set(e, -EIO, "guest %s: descriptor %d of process %d: %s", t->name,
			       remote, (int)pid, strerror(errno));
	}
	if (pid == t->pid)
		t->mapped = mapped_bytes(&p.map);
	p.id = t->next_id++;
	t->process[t->nprocesses++] = p;
	return 0;
}

static int take_all_back(struct tracer *t, struct err *e)
{
	struct left_guest left;
	int ret = left_read(t->env->run_dir, t->name, &left, e), alive = 0;

	if (ret < 0)
		return ret;
	t->pid = left.pid;
	t->limit = left.limit;
	if (kept_take_memfds(left.memfd, left.nmemfds, t->memfd))
		t->nmemfds = left.nmemfds;
	for (int i = 0; i < left.nmappers && ret == 0 && t->nmemfds == 0; i++) {
		if (start_time_of(left.mapper[i].pid) != left.mapper[i].start_time)
			continue;
		alive++;
		ret = find_memfds(t, left.mapper[i].pid, left.memfd, left.nmemfds, e);
		if (ret == -ESRCH || ret == -ENOENT)
			ret = 0;
	}
	if (ret == 0 && alive > 0 && t->nmemfds == 0)
		ret = err_set(e, -ENOENT, "guest %s: no process maps all of its RAM", t->name);
	for (int i = 0; i < left.nmappers && ret == 0; i++) {
		const struct left_mapper *m = &left.mapper[i];

		ret = take_back(t, m->pid, m->start_time, m->remote, e);
		if (ret == -ESRCH)
			ret = 0; /* ended while nobody looked */
	}
	if (ret == 0 && t->nprocesses == 0) {
		kept_forget_memfds(t->memfd, t->nmemfds);
		forget(t);
		ret = err_set(e, -ESRCH, "guest %s has ended", t->name);
	}
	if (ret == 0)
		kept_put_memfds(t->memfd, t->nmemfds);
	return ret;
}

struct tracer *tracer_adopt(const struct tracer_env *env, const char *name, struct err *e)
{
	struct tracer *t = create(env, name);

	if (!t) {
		err_set(e, -ENOMEM, "guest %s: out of memory", name);
		return NULL;
	}
	t->adopted = true;
	t->ready = true;
	t->zapping = EARLIER_ZAP;
	if (take_all_back(t, e) == 0) {
		if (start(t) == 0)
			return t;
		err_set(e, -errno, "guest %s: cannot start a thread: %s", name,
			strerror(errno));
		return NULL;
	}
	while (t->nprocesses > 0)
		process_drop(t, t->nprocesses - 1);
	memfds_close(t->memfd, t->nmemfds);
	close(t->wake);
	free(t);
	return NULL;
}

static void wake(struct tracer *t)
{
	uint64_t one = 1;

	(void)!write(t->wake, &one, sizeof(one));
}

int tracer_reconnect(struct tracer *t, int channel)
{
	int ret;

	pthread_mutex_lock(&t->lock);
	if (t->leaving) {
		pthread_mutex_unlock(&t->lock);
		close(channel);
		return -EPIPE;
	}
	/* The thread may be about to receive from the old one: its number
	 * becomes the new one's in one step. */
	if (t->chan >= 0) {
		dup3(channel, t->chan, O_CLOEXEC);
		close(channel);
	} else {
		t->chan = channel;
	}
	t->pagers++;
	t->serving = false;
	t->unsafe = false;
	ret = send_all(t);
	pthread_mutex_unlock(&t->lock);
	wake(t);
	return ret;
}

void tracer_hold(struct tracer *t, bool hold)
{
	__atomic_store_n(&t->hold, hold, __ATOMIC_RELEASE);
	wake(t);
}

bool tracer_held(const struct tracer *t)
{
	return __atomic_load_n(&t->held, __ATOMIC_ACQUIRE) || tracer_ended(t);
}

void tracer_leave(struct tracer *t)
{
	__atomic_store_n(&t->leave, true, __ATOMIC_RELEASE);
	wake(t);
	tracer_free(t);
}
