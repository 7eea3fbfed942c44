/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * The thread owns everything in struct tracer but `wake`.  It waits for the
 * guest channel, the processes' pidfds, the wake pipe and, once a second, the
 * time to look whether another process has mapped the guest's RAM.
 *
 * A zap waits until the pager has read the REMOVE event.  If the pager is
 * dead the thread waits in the middle of a zap until the next pager reads on;
 * the keeper's main thread, which starts that pager, never waits for this one.
 *
 * The channel may end (the pager died) at any time.  What is attached stays
 * attached, and the thread waits for tracer_reconnect.
 *
 * The file guest-NAME.state in the run directory holds what a later keeper
 * needs to take the guest back: which processes, since when they run, and
 * the number of the userfaultfd in each.  It is replaced as a whole.
 */

#include "keeper/tracer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
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
#include "keeper/attach.h"
#include "keeper/mappers.h"

#define RESCAN_NS NSEC_PER_SEC

struct process {
	uint32_t id; /* never used twice for one guest */
	int pidfd;
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
	bool ready;		      /* [a] memfd[] is complete */
	pthread_t thread;	      /* [I] */

	struct memfd memfd[PROTO_MEMFDS_MAX]; /* [I] once attached */
	int nmemfds;
	struct process process[PROTO_MAPPERS_MAX];
	int nprocesses;
	uint32_t next_id;
	uint64_t limit; /* [a] bytes */
	bool unsafe;	/* MSG_UNSAFE was sent */
	int chan;	/* -1: no pager */

	bool ended;   /* [a] */
	int wake;     /* [I] eventfd: look at the two below */
	int new_chan; /* [a] -1: none */
	bool leave;   /* [a] */
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

	if (!__atomic_load_n(&t->ready, __ATOMIC_ACQUIRE))
		return pid == t->pid;
	return mapping_of(pid, t->memfd, t->nmemfds, &map) != 0;
}

bool tracer_ended(const struct tracer *t)
{
	return __atomic_load_n(&t->ended, __ATOMIC_ACQUIRE);
}

static void end(struct tracer *t)
{
	__atomic_store_n(&t->ended, true, __ATOMIC_RELEASE);
	t->env->ops->ended(t);
}

static void file_name(const struct tracer *t, char *buf, size_t size, const char *suffix)
{
	snprintf(buf, size, "%s/guest-%s.%s", t->env->run_dir, t->name, suffix);
}

static void save(struct tracer *t)
{
	char path[PATH_MAX], temp[PATH_MAX];
	bool ok;
	FILE *f;

	file_name(t, path, sizeof(path), "state");
	file_name(t, temp, sizeof(temp), "state.new");
	f = fopen(temp, "we");
	if (!f) {
		log_err("guest %s: cannot write %s: %s", t->name, temp, strerror(errno));
		return;
	}
	fprintf(f, "drum-guest 1\npid %d\nlimit %" PRIu64 "\n", (int)t->pid, tracer_limit(t));
	for (int i = 0; i < t->nprocesses; i++)
		fprintf(f, "mapper %d %" PRIu64 " %d\n", (int)t->process[i].map.pid,
			t->process[i].map.start_time, t->process[i].remote);
	ok = !ferror(f);
	if (fclose(f) != 0 || !ok || rename(temp, path) < 0)
		log_err("guest %s: cannot write %s: %s", t->name, path, strerror(errno));
}

static void forget(struct tracer *t)
{
	char path[PATH_MAX];

	file_name(t, path, sizeof(path), "state");
	unlink(path);
	file_name(t, path, sizeof(path), "swap");
	unlink(path);
}

static int send_msg(struct tracer *t, struct proto_msg *m, int fd)
{
	int ret;

	if (t->chan < 0)
		return -EPIPE;
	ret = ipc_send(t->chan, m, sizeof(*m), &fd, fd >= 0 ? 1 : 0);
	if (ret < 0 && ret != -EPIPE)
		log_err("guest %s: message to the pager: %s", t->name, strerror(-ret));
	return ret;
}

static int send_process(struct tracer *t, const struct process *p)
{
	struct proto_msg m = { .type = MSG_MAPPER, .id = p->id, .pid = p->map.pid };

	m.u.ram.nranges = p->map.nranges;
	memcpy(m.u.ram.range, p->map.range, sizeof(p->map.range));
	return send_msg(t, &m, p->uffd);
}

/* Tell a worker that starts everything that is attached. */
static void send_all(struct tracer *t)
{
	struct proto_msg m = { .type = MSG_MEMFD };
	int ret = 0;

	for (int i = 0; i < t->nmemfds && ret == 0; i++) {
		m.id = (uint32_t)i;
		m.bytes = t->memfd[i].size;
		ret = send_msg(t, &m, t->memfd[i].fd);
	}
	for (int i = 0; i < t->nprocesses && ret == 0; i++)
		ret = send_process(t, &t->process[i]);
	m.type = MSG_BEGIN;
	if (ret == 0)
		ret = send_msg(t, &m, -1);
}

static void process_drop(struct tracer *t, int i)
{
	close(t->process[i].uffd);
	close(t->process[i].pidfd);
	t->process[i] = t->process[--t->nprocesses];
}

static bool known(const struct tracer *t, const struct mapping *map)
{
	for (int i = 0; i < t->nprocesses; i++)
		if (t->process[i].map.pid == map->pid &&
		    t->process[i].map.start_time == map->start_time)
			return true;
	return false;
}

static int process_attach(struct tracer *t, const struct mapping *map, struct err *e)
{
	struct process p = { .map = *map };
	int ret;

	if (t->nprocesses == PROTO_MAPPERS_MAX)
		return err_set(e, -E2BIG, "more than %d processes map the RAM of guest %s",
			       PROTO_MAPPERS_MAX, t->name);
	p.pidfd = (int)syscall(SYS_pidfd_open, map->pid, 0);
	if (p.pidfd < 0)
		return err_set(e, -errno, "process %d: %s", (int)map->pid, strerror(errno));
	/* the pidfd is of the process that we looked at, or of none */
	if (start_time_of(map->pid) != map->start_time) {
		close(p.pidfd);
		return err_set(e, -ESRCH, "process %d is gone", (int)map->pid);
	}
	ret = attach_userfaultfd(map->pid, p.pidfd, t->env->dev_uffd, &p.uffd, &p.remote, e);
	if (ret < 0) {
		close(p.pidfd);
		return ret;
	}
	p.id = t->next_id++;
	t->process[t->nprocesses++] = p;
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
			if (map[i].pid == __atomic_load_n(&t->env->pager, __ATOMIC_ACQUIRE) ||
			    known(t, &map[i]))
				continue;
			ret = dma_check(map[i].pid, e);
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

/* Undo all attaching. */
static void release_all(struct tracer *t)
{
	while (t->nprocesses > 0) {
		struct process *p = &t->process[t->nprocesses - 1];
		struct err e = { 0 };

		if (attach_close(p->map.pid, p->remote, &e) < 0 && e.code != -ESRCH)
			log_warn("guest %s: %s", t->name, e.text);
		process_drop(t, t->nprocesses - 1);
	}
	memfds_close(t->memfd, t->nmemfds);
	t->nmemfds = 0;
}

static int attach_all(struct tracer *t, struct err *e)
{
	bool found = false;
	int ret;

	ret = memfds_of(t->pid, t->memfd, &t->nmemfds, e);
	if (ret == 0)
		ret = dma_check(t->pid, e);
	if (ret == 0)
		ret = attach_new(t, e);
	for (int i = 0; i < t->nprocesses && ret >= 0; i++)
		found |= t->process[i].map.pid == t->pid;
	if (ret >= 0 && !found)
		ret = err_set(e, -ESRCH, "process %d is gone", (int)t->pid);
	if (ret < 0)
		release_all(t);
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

static void do_zap(struct tracer *t, struct proto_msg *m)
{
	/* each asked range may appear in several places of one process */
	struct attach_range range[PROTO_RANGES_MAX * 4];
	struct proto_msg reply = { .type = MSG_ZAPPED, .seq = m->seq };

	if (m->u.ram.nranges > PROTO_RANGES_MAX)
		m->u.ram.nranges = 0;
	for (int i = 0; i < t->nprocesses; i++) {
		size_t n = translate(&t->process[i], m, range, PROTO_RANGES_MAX * 4);
		int ret;

		if (n == PROTO_RANGES_MAX * 4) {
			err_set(&reply.err, -E2BIG, "process %d maps the RAM too many times",
				(int)t->process[i].map.pid);
			break;
		}
		ret = n ? attach_zap(t->process[i].map.pid, range, n, &reply.err) : 0;
		if (ret == -ESRCH)
			reply.err = (struct err){ 0 }; /* no process, no mapping */
		else if (ret < 0)
			break;
	}
	(void)!send_msg(t, &reply, -1);
}

/* => false: the thread is done with this guest */
static bool handle(struct tracer *t, struct proto_msg *m)
{
	struct proto_msg reply = { .type = MSG_DETACHED };

	switch (m->type) {
	case MSG_SERVING:
		if (m->err.code == 0) {
			save(t);
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
	release_all(t);
	forget(t);
	(void)!send_msg(t, &reply, -1);
	return false;
}

static void rescan(struct tracer *t)
{
	struct proto_msg unsafe = { .type = MSG_UNSAFE };
	int before = t->nprocesses, ret;

	if (t->unsafe)
		return;
	ret = attach_new(t, &unsafe.err);
	for (int i = before; i < t->nprocesses; i++)
		(void)!send_process(t, &t->process[i]);
	for (int i = 0; i < t->nprocesses && ret >= 0; i++)
		ret = dma_check(t->process[i].map.pid, &unsafe.err);
	if (t->nprocesses != before)
		save(t);
	if (ret < 0) {
		t->unsafe = true;
		(void)!send_msg(t, &unsafe, -1);
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
		process_drop(t, i);
		(void)!send_msg(t, &m, -1);
	}
}

static void drop_channel(struct tracer *t)
{
	if (t->chan >= 0)
		close(t->chan);
	t->chan = -1;
}

static void take_new_channel(struct tracer *t)
{
	int chan = __atomic_exchange_n(&t->new_chan, -1, __ATOMIC_ACQ_REL);
	uint64_t count;

	(void)!read(t->wake, &count, sizeof(count));
	if (chan < 0)
		return;
	drop_channel(t);
	t->chan = chan;
	t->unsafe = false;
	send_all(t);
}

/* => false: the channel is closed or the thread is done */
static bool receive(struct tracer *t, bool *done)
{
	struct proto_msg m;
	int fds[IPC_FDS_MAX], nfds;
	ssize_t n = ipc_recv(t->chan, &m, sizeof(m), fds, &nfds);

	for (int i = 0; i < nfds; i++)
		close(fds[i]);
	if (n == (ssize_t)sizeof(m)) {
		*done = !handle(t, &m);
		return true;
	}
	if (n > 0)
		log_err("guest %s: message of %zd bytes from the pager", t->name, n);
	return false;
}

static void serve(struct tracer *t)
{
	uint64_t next_scan = clock_ns() + RESCAN_NS;
	bool done = false;

	while (!done && !__atomic_load_n(&t->leave, __ATOMIC_ACQUIRE)) {
		struct pollfd pfd[PROTO_MAPPERS_MAX + 2];
		uint64_t now = clock_ns(), left = next_scan > now ? next_scan - now : 0;
		int n = t->nprocesses, ready;

		for (int i = 0; i < n; i++)
			pfd[i] = (struct pollfd){ .fd = t->process[i].pidfd, .events = POLLIN };
		pfd[n] = (struct pollfd){ .fd = t->chan, .events = POLLIN };
		pfd[n + 1] = (struct pollfd){ .fd = t->wake, .events = POLLIN };
		/* rounded up, or the last millisecond would be spent in a spin */
		ready = poll(pfd, (nfds_t)n + 2,
			     (int)((left + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC));
		if (ready < 0 && errno != EINTR)
			log_err("guest %s: poll: %s", t->name, strerror(errno));
		if (ready > 0)
			reap(t, pfd, n);
		/* zaps never leave the channel idle for long: the clock decides */
		if (clock_ns() >= next_scan && t->chan >= 0) {
			rescan(t);
			next_scan = clock_ns() + RESCAN_NS;
		}
		if (ready <= 0)
			continue;
		if (pfd[n + 1].revents)
			take_new_channel(t);
		else if (pfd[n].revents && !receive(t, &done))
			drop_channel(t);
	}
	drop_channel(t);
}

static void *run(void *arg)
{
	struct tracer *t = arg;
	struct err e = { 0 };
	int pair[2] = { -1, -1 };

	if (!t->adopted) {
		int ret = attach_all(t, &e);

		if (ret == 0)
			ret = ipc_pair(pair);
		if (ret < 0) {
			if (!e.code)
				err_set(&e, ret, "cannot make a channel: %s", strerror(-ret));
			release_all(t);
			t->env->ops->attached(t, &e, -1);
			end(t);
			return NULL;
		}
		__atomic_store_n(&t->ready, true, __ATOMIC_RELEASE);
		t->chan = pair[0];
		save(t);
		t->env->ops->attached(t, &e, pair[1]);
		send_all(t);
	}
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
	t->new_chan = -1;
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
	drop_channel(t);
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

static int take_back(struct tracer *t, pid_t pid, uint64_t start_time, int remote,
		     struct err *e)
{
	struct process p = { .remote = remote };

	if (t->nmemfds == 0 && memfds_of(pid, t->memfd, &t->nmemfds, e) < 0)
		return e->code;
	if (t->nprocesses == PROTO_MAPPERS_MAX ||
	    mapping_of(pid, t->memfd, t->nmemfds, &p.map) <= 0)
		return -ESRCH;
	if (p.map.start_time != start_time)
		return -ESRCH;
	p.pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (p.pidfd < 0)
		return -ESRCH;
	p.uffd = (int)syscall(SYS_pidfd_getfd, p.pidfd, remote, 0);
	if (p.uffd < 0) {
		close(p.pidfd);
		return err_set(e, -EIO, "guest %s: descriptor %d of process %d: %s", t->name,
			       remote, (int)pid, strerror(errno));
	}
	p.id = t->next_id++;
	t->process[t->nprocesses++] = p;
	return 0;
}

struct tracer *tracer_adopt(const struct tracer_env *env, const char *name, struct err *e)
{
	struct tracer *t = create(env, name);
	char path[PATH_MAX], line[256];
	int version = 0, ret = 0, pid, remote;
	uint64_t number;
	FILE *f;

	if (!t) {
		err_set(e, -ENOMEM, "guest %s: out of memory", name);
		return NULL;
	}
	t->adopted = true;
	file_name(t, path, sizeof(path), "state");
	f = fopen(path, "re");
	while (f && ret == 0 && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "mapper %d %" SCNu64 " %d", &pid, &number, &remote) == 3) {
			ret = take_back(t, pid, number, remote, e);
			if (ret == -ESRCH)
				ret = 0; /* ended while nobody looked */
		} else if (sscanf(line, "pid %d", &pid) == 1) {
			t->pid = pid;
		} else if (sscanf(line, "limit %" SCNu64, &number) == 1) {
			t->limit = number;
		} else if (sscanf(line, "drum-guest %d", &version) != 1 || version != 1) {
			ret = err_set(e, -EINVAL, "%s: unexpected line: %.60s", path, line);
		}
	}
	if (f)
		fclose(f);
	if (ret == 0 && t->nprocesses == 0) {
		ret = err_set(e, -ESRCH, "guest %s has ended", name);
		forget(t);
	}
	t->ready = true;
	if (ret == 0 && start(t) == 0)
		return t;
	if (ret == 0) {
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

void tracer_reconnect(struct tracer *t, int channel)
{
	int old = __atomic_exchange_n(&t->new_chan, channel, __ATOMIC_ACQ_REL);

	if (old >= 0)
		close(old);
	wake(t);
}

void tracer_leave(struct tracer *t)
{
	__atomic_store_n(&t->leave, true, __ATOMIC_RELEASE);
	wake(t);
	tracer_free(t);
}
