/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * The main thread owns struct keeper and runs one loop; it never waits for
 * the pager or for a tracer.  A tracer that is ready, or ends, tells the loop
 * by an eventfd; the loop then looks at all of them.
 *
 * Life of a pager: spawn > MSG_HELLO > (it asks for the swap devices that
 * were on) > MSG_READY > every guest that is attached is given to it by
 * MSG_ADOPT.  When it dies it is spawned anew at once; when several have lived for less
 * than a few seconds one after the other, after a delay that doubles.  Guests wait
 * meanwhile: their userfaultfds are held here and in their own VMM.
 *
 * A swap device stays open and locked here until it is switched off, so that a
 * new pager gets the same open file (swap.c).  So do disks' images, and all that a
 * front end has given us (disk.c).
 *
 * Becoming another drumd is in upgrade.c, reading the configuration again in reload.c.
 */

#include "keeper/keeper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/disk_params.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/point.h"
#include "base/swap_path.h"
#include "base/proto.h"
#include "base/version.h"
#include "keeper/keeper_priv.h"
#include "keeper/kept.h"
#include "keeper/metrics.h"
#include "keeper/open.h"
#include "keeper/program.h"
#include "keeper/store.h"

#define PAGER_FD	 PROGRAM_CHANNEL_FD
#define SHORT_LIFE_NS	 (3 * NSEC_PER_SEC)
#define SHORT_LIVES_MAX	 5 /* in a row that are started anew at once */
#define BACKOFF_FIRST_MS 50
#define BACKOFF_MAX_MS	 5000

/* How long a pager may take to notice that its keeper has died. */
#define PAGER_END_US	10000
#define PAGER_END_TRIES 1000

/* Its name in the store. */
#define STORED_LOCK "lock"

static struct keeper keeper; /* large, and one a process */

int keeper_send(struct keeper *k, const struct proto_msg *m, const int *fds, int nfds)
{
	int ret = k->chan >= 0 ? ipc_send(k->chan, m, sizeof(*m), fds, nfds) : -EPIPE;

	if (ret < 0 && ret != -EPIPE)
		log_err("message to the pager: %s", strerror(-ret));
	k->send_failed |= ret < 0;
	return ret;
}

static struct guest_slot *free_slot(struct keeper *k)
{
	for (int i = 0; i < GUESTS_MAX; i++)
		if (!k->guest[i].tracer)
			return &k->guest[i];
	return NULL;
}

/* Give a guest to the pager: as the answer to its request, or to be adopted. */
static void give_guest(struct keeper *k, struct guest_slot *s)
{
	struct tracer *t = s->tracer;
	struct proto_msg m = { .type = s->asked ? MSG_ATTACHED : MSG_ADOPT,
			       .seq = tracer_seq(t),
			       .pid = tracer_pid(t),
			       .bytes = tracer_limit(t),
			       .err = *tracer_error(t) };
	int pair[2] = { -1, -1 }, ret;

	snprintf(m.u.name, sizeof(m.u.name), "%s", tracer_name(t));
	if (m.err.code) {
		if (s->asked)
			(void)!keeper_send(k, &m, NULL, 0);
		s->asked = false;
		return;
	}
	ret = ipc_pair(pair);
	if (ret < 0) {
		log_err("guest %s: cannot make a channel: %s", tracer_name(t), strerror(-ret));
		return;
	}
	ret = keeper_send(k, &m, &pair[1], 1);
	close(pair[1]);
	if (ret < 0) {
		close(pair[0]);
		return;
	}
	s->asked = false;
	s->given = true;
	point_crash("guest-given");
	ret = tracer_reconnect(t, pair[0]);
	if (ret < 0 && ret != -EPIPE)
		log_err("guest %s: the pager cannot be told: %s", tracer_name(t),
			strerror(-ret));
}

/* Something has changed with the tracers. */
static void look_at_guests(struct keeper *k)
{
	for (int i = 0; i < GUESTS_MAX; i++) {
		struct guest_slot *s = &k->guest[i];

		if (!s->tracer)
			continue;
		if (tracer_ended(s->tracer) && !s->asked) {
			tracer_free(s->tracer);
			*s = (struct guest_slot){ 0 };
		} else if (!s->given && tracer_ready(s->tracer) && k->pager_ready) {
			give_guest(k, s);
		}
	}
}

static void on_notified(void *arg, uint32_t events)
{
	struct keeper *k = arg;
	uint64_t n;

	(void)events;
	(void)!read(k->notify_fd, &n, sizeof(n));
	look_at_guests(k);
	upgrade_go_on(k);
}

/* On a tracer's thread. */
static void notify(void *arg)
{
	struct keeper *k = arg;
	uint64_t one = 1;

	(void)!write(k->notify_fd, &one, sizeof(one));
}

/* Requests of the pager. */

/* A guest of that name may wait for something: its file says where its pages are. */
static bool waits(struct keeper *k, const char *name)
{
	char file[PROTO_NAME_MAX + 16];

	snprintf(file, sizeof(file), "guest-%s.state", name);
	return faccessat(k->dir_fd, file, F_OK, 0) == 0;
}

static void do_attach(struct keeper *k, const struct proto_msg *m)
{
	struct proto_msg reply = { .type = MSG_ATTACHED, .seq = m->seq };
	struct guest_slot *s;

	look_at_guests(k);
	for (int i = 0; i < GUESTS_MAX && !reply.err.code; i++) {
		struct tracer *t = k->guest[i].tracer;

		if (!t)
			continue;
		if (strcmp(tracer_name(t), m->u.name) == 0)
			err_set(&reply.err, -EEXIST, "a guest is named '%s' already",
				m->u.name);
		else if (tracer_owns(t, m->pid))
			err_set(&reply.err, -EEXIST,
				"process %d is attached already, as guest '%s'", m->pid,
				tracer_name(t));
	}
	s = free_slot(k);
	if (!reply.err.code && upgrade_is_under_way(k))
		err_set(&reply.err, -EBUSY, "drumd is being replaced, try again");
	if (!reply.err.code && waits(k, m->u.name))
		err_set(&reply.err, -EBUSY,
			"a guest '%s' of an earlier daemon could not be taken over and may "
			"still "
			"wait: see the log, or use another name",
			m->u.name);
	if (!reply.err.code && !s)
		err_set(&reply.err, -ENOSPC, "%d guests are attached, that is the most",
			GUESTS_MAX);
	if (!reply.err.code) {
		struct tracer *t = tracer_attach(&k->env, m->pid, m->u.name, m->seq);

		if (t) {
			*s = (struct guest_slot){ .tracer = t, .asked = true };
			return;
		}
		err_set(&reply.err, -errno, "cannot start a thread: %s", strerror(errno));
	}
	(void)!keeper_send(k, &reply, NULL, 0);
}

static void do_swap_open(struct keeper *k, struct proto_msg *m)
{
	int fd = swaps_open(&k->swaps, m);

	(void)!keeper_send(k, m, &fd, fd >= 0 ? 1 : 0);
}

static void do_swap_look(struct keeper *k, struct proto_msg *m)
{
	swaps_look(&k->swaps, m);
	(void)!keeper_send(k, m, NULL, 0);
}

static void do_disk_open(struct keeper *k, struct proto_msg *m)
{
	int fds[DISK_FDS], n = disks_open(&k->disks, m, fds);

	(void)!keeper_send(k, m, fds, n);
	/* a duplicate of the image's would keep its fence standing */
	while (n > 0)
		close(fds[--n]);
}

_Static_assert(DISK_NAME_MAX < PROTO_NAME_MAX && DISK_SERIAL_MAX < PROTO_NAME_MAX &&
		       SWAP_PATH_BYTES_MAX < PROTO_PATH_MAX && DISK_SOCKET_MAX < PROTO_PATH_MAX,
	       "what conf_disk.c takes has room");

/* A disk that the pager knows already, of an earlier keeper, it passes over. */
void keeper_send_disk(struct keeper *k, uint32_t seq, const struct conf_disk *d)
{
	struct proto_msg m = { .type = MSG_DISK_ADD, .seq = seq };

	strcpy(m.u.disk.name, d->name);
	strcpy(m.u.disk.image, d->image);
	strcpy(m.u.disk.socket, d->socket ? d->socket : "");
	strcpy(m.u.disk.serial, d->serial ? d->serial : "");
	strcpy(m.u.disk.guest, d->guest ? d->guest : "");
	m.u.disk.cache = d->cache;
	m.u.disk.read_only = d->read_only;
	m.u.disk.no_map = d->no_map;
	m.u.disk.queues = d->queues;
	m.u.disk.swapcache = d->swapcache;
	(void)!keeper_send(k, &m, NULL, 0);
}

void keeper_send_knobs(struct keeper *k, uint32_t seq, uint32_t given, const uint64_t *knob)
{
	struct proto_msg m = { .type = MSG_SWAPCACHE, .seq = seq };

	m.u.swapcache.conf = k->conf;
	m.u.swapcache.given = given;
	memcpy(m.u.swapcache.knob, knob, sizeof(m.u.swapcache.knob));
	(void)!keeper_send(k, &m, NULL, 0);
}

void keeper_send_host(struct keeper *k, uint32_t seq, const struct conf_host *host)
{
	struct proto_msg m = { .type = MSG_HOST, .seq = seq };

	m.u.host.conf = k->conf;
	m.u.host.given = host->given;
	m.u.host.budget = host->budget;
	m.u.host.tax = host->tax;
	m.u.host.stall_target = host->stall_target;
	memcpy(m.u.host.libvirt_uri, host->libvirt_uri, sizeof(m.u.host.libvirt_uri));
	(void)!keeper_send(k, &m, NULL, 0);
}

void keeper_send_paging(struct keeper *k, uint32_t seq, const struct conf_paging *p)
{
	struct proto_msg m = { .type = MSG_PAGING, .seq = seq };

	m.u.paging.cluster = p->cluster;
	m.u.paging.depth = p->depth;
	m.u.paging.total_writes = p->total_writes;
	m.u.paging.reads = p->reads;
	m.u.paging.swblocks = p->swblocks;
	m.u.paging.give_up = p->give_up;
	m.u.paging.stall_after = p->stall_after;
	m.u.paging.sample = p->sample == CONF_SAMPLE_OFF ? PROTO_SAMPLE_OFF : p->sample;
	(void)!keeper_send(k, &m, NULL, 0);
}

/* What the configuration wants; devices once, a later pager reads what is on. */
static void add_configured(struct keeper *k)
{
	const struct conf *c = k->opt->conf;

	keeper_send_paging(k, 0, &c->paging);
	/* of these each pager knows by `conf` whether the one before it was told */
	keeper_send_knobs(k, 0, c->swapcache_given, c->swapcache);
	keeper_send_host(k, 0, &c->host);
	for (size_t i = 0; i < c->swaps && !k->swap_added; i++) {
		struct proto_msg m;
		struct err e = { 0 };

		if (swaps_add(&c->swap[i], &m, &e) < 0)
			log_err("%s", e.text);
		else
			(void)!keeper_send(k, &m, NULL, 0);
	}
	for (size_t i = 0; i < c->disks && !k->swap_added; i++)
		keeper_send_disk(k, 0, &c->disk[i]);
	if (c->dump && !k->swap_added) {
		struct proto_msg m = { .type = MSG_DUMP_ADD };

		strcpy(m.u.swap.path, c->dump); /* as conf.c has it */
		(void)!keeper_send(k, &m, NULL, 0);
	}
	k->swap_added = true;
}

/* A pager serves. */
static void started(struct keeper *k)
{
	char state[64];

	upgrade_done(k);
	/* devices that it did not ask for are not on any more */
	store_sweep(kept_is_name);
	snprintf(state, sizeof(state), "READY=1\nMAINPID=%d", (int)getpid());
	store_notify(state);
}

static void stop(struct keeper *k);

static void pager_ready(struct keeper *k, bool pin_check)
{
	struct proto_msg all = { .type = MSG_ADOPTED_ALL, .id = k->unknown };

	__atomic_store_n(&k->env.pin_check, pin_check, __ATOMIC_RELEASE);
	k->pager_ready = true;
	log_debug("pager %d is ready", (int)k->pager);
	disks_pager_ready(&k->disks);
	look_at_guests(k);
	(void)!keeper_send(k, &all, NULL, 0);
	add_configured(k);
	if (k->ready_fd >= 0) {
		(void)!write(k->ready_fd, "", 1);
		close(k->ready_fd);
		k->ready_fd = -1;
	}
	started(k);
	if (k->reload_later)
		reload(k, 0);
	if (k->stop_later)
		stop(k);
}

/* A stop that was carried out is told by the exit that follows. */
static void pager_stopped(struct keeper *k, const struct proto_msg *m)
{
	if (m->err.code) {
		log_err("not stopping: %s", m->err.text);
		k->stopping = false;
	}
}

static void on_pager(void *arg, uint32_t events)
{
	struct keeper *k = arg;
	struct proto_msg m;
	int fds[IPC_FDS_MAX], nfds;
	ssize_t n = ipc_recv(k->chan, &m, sizeof(m), fds, &nfds);

	(void)events;
	for (int i = 0; i < nfds; i++)
		close(fds[i]);
	if (n != (ssize_t)sizeof(m)) {
		/* SIGCHLD tells the rest; stop looking at a dead channel */
		loop_remove(k->chan_watch);
		k->chan_watch = NULL;
		return;
	}
	m.u.name[PROTO_NAME_MAX - 1] = '\0';
	switch (m.type) {
	case MSG_READY:
		pager_ready(k, m.id != 0);
		break;
	case MSG_ATTACH:
		do_attach(k, &m);
		break;
	case MSG_SWAP_OPEN:
		do_swap_open(k, &m);
		break;
	case MSG_SWAP_LOOK:
		do_swap_look(k, &m);
		break;
	case MSG_SWAP_CLOSE:
		swaps_close(&k->swaps, &m);
		break;
	case MSG_DISK_OPEN:
		do_disk_open(k, &m);
		break;
	case MSG_DISK_CLOSE:
		disks_close(&k->disks, m.u.disk.name);
		break;
	case MSG_REEXEC:
		upgrade_ask(k, &m);
		break;
	case MSG_STOPPED:
		pager_stopped(k, &m);
		break;
	case MSG_CONFIG:
		reload_asked(k, &m);
		break;
	default:
		log_err("unexpected message %u from the pager", m.type);
	}
}

/* The pager process. */

static void exec_pager(int chan, int lock_fd)
{
	sigset_t none;

	fcntl(lock_fd, F_SETFD, 0); /* see open_run_dir */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* a signal of the terminal is for the keeper, which stops us in order */
	setpgid(0, 0);
	if (chan == PAGER_FD)
		fcntl(chan, F_SETFD, 0);
	else if (dup2(chan, PAGER_FD) < 0)
		_exit(127);
	program_exec_pager();
	_exit(127);
}

/* For each pager it is tried again: without it guests are served all the same. */
static bool listen_for_metrics(struct keeper *k)
{
	struct err e = { 0 };

	if (k->metrics_fd < 0)
		k->metrics_fd = metrics_listen(k->opt->conf->metrics, &e);
	if (e.code)
		log_err("metrics are not served: %s", e.text);
	return k->metrics_fd >= 0;
}

static int spawn(struct keeper *k, struct err *e)
{
	struct proto_msg hello = { .type = MSG_HELLO };
	int pair[2], fds[6], nfds = 3, ret;

	ret = ipc_pair(pair);
	if (ret < 0)
		return err_set(e, ret, "cannot make a channel: %s", strerror(-ret));
	k->pager = fork();
	if (k->pager == 0)
		exec_pager(pair[1], k->lock_fd);
	close(pair[1]);
	if (k->pager < 0) {
		close(pair[0]);
		k->pager = 0;
		return err_set(e, -errno, "cannot start the pager: %s", strerror(errno));
	}
	__atomic_store_n(&k->env.pager, k->pager, __ATOMIC_RELEASE);
	k->pager_since = clock_ns();
	point_crash("pager-started");
	k->pager_ready = false;
	k->chan = pair[0];
	k->chan_watch = loop_add(k->loop, k->chan, EPOLLIN, on_pager, k);
	if (!k->chan_watch)
		return err_set(e, -errno, "cannot watch the pager: %s", strerror(errno));

	snprintf(hello.u.hello.run_dir, sizeof(hello.u.hello.run_dir), "%s",
		 k->opt->conf->run_dir);
	snprintf(hello.u.hello.build, sizeof(hello.u.hello.build), "%s", drum_version);
	hello.u.hello.log_level = (int32_t)log_level();
	hello.u.hello.to_syslog = k->opt->to_syslog;
	hello.u.hello.keeper = (int32_t)getpid();
	hello.u.hello.replaced = k->replaced;
	hello.u.hello.since = k->since;
	hello.u.hello.after = k->pager_died ? AFTER_DEATH
			      : k->since    ? AFTER_REPLACED
					    : AFTER_NOBODY;
	hello.u.hello.restarts = k->pagers++;
	snprintf(hello.u.hello.from, sizeof(hello.u.hello.from), "%s", store_get("from"));
	snprintf(hello.u.hello.failed, sizeof(hello.u.hello.failed), "%s", k->failed);
	hello.u.hello.group = k->opt->conf->group;
	hello.u.hello.monitor_group = k->opt->conf->monitor_group;
	fds[0] = k->sockets.qmp;
	fds[1] = k->dir_fd;
	fds[2] = k->sockets.monitor;
	if (k->env.dev_uffd >= 0)
		fds[nfds++] = k->env.dev_uffd;
	hello.u.hello.state_dir = k->state_fd >= 0;
	if (k->state_fd >= 0)
		fds[nfds++] = k->state_fd;
	hello.u.hello.metrics = listen_for_metrics(k);
	if (k->metrics_fd >= 0)
		fds[nfds++] = k->metrics_fd;
	return keeper_send(k, &hello, fds, nfds);
}

static void on_restart(void *arg)
{
	struct keeper *k = arg;
	struct err e = { 0 };

	loop_remove(k->restart);
	k->restart = NULL;
	if (spawn(k, &e) == 0)
		return;
	log_err("%s", e.text);
	if (k->pager > 0) /* it comes back as SIGCHLD */
		kill(k->pager, SIGKILL);
	else
		k->restart = loop_every(k->loop, BACKOFF_MAX_MS, on_restart, k);
}

void keeper_restart_pager(struct keeper *k, unsigned int ms)
{
	k->restart = loop_every(k->loop, ms, on_restart, k);
}

static void close_channel(struct keeper *k)
{
	if (k->chan_watch)
		loop_remove(k->chan_watch);
	k->chan_watch = NULL;
	if (k->chan >= 0)
		close(k->chan);
	k->chan = -1;
	/* what it asked for nobody asks for now; what it had is nobody's */
	for (int i = 0; i < GUESTS_MAX; i++)
		k->guest[i].asked = k->guest[i].given = false;
}

static void pager_died(struct keeper *k, int status)
{
	bool was_ready = k->pager_ready;
	pid_t pid = k->pager;

	k->pager = 0;
	k->pager_ready = false;
	close_channel(k);
	disks_pager_died(&k->disks);
	if (k->stopping && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		loop_stop(k->loop);
		return;
	}
	if (upgrade_pager_died(k))
		return;
	k->stopping = false;
	k->pager_died = true;
	if (!k->since)
		k->since = clock_ns();
	log_err("pager %d ended by %s %d; guests wait until the next one has started", (int)pid,
		WIFSIGNALED(status) ? "signal" : "exit code",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	if (!was_ready && k->must_serve) {
		/* never came up: the one who started us is waiting, or we replace one
		 * that served */
		k->result = -ECHILD;
		loop_stop(k->loop);
		return;
	}
	if (clock_ns() - k->pager_since > SHORT_LIFE_NS)
		k->short_lives = 0;
	if (k->short_lives++ < SHORT_LIVES_MAX)
		k->backoff_ms = 0;
	else if (k->backoff_ms == 0)
		k->backoff_ms = BACKOFF_FIRST_MS;
	else if (k->backoff_ms < BACKOFF_MAX_MS / 2)
		k->backoff_ms *= 2;
	else
		k->backoff_ms = BACKOFF_MAX_MS;
	if (k->backoff_ms)
		log_warn("%u pagers have died within seconds, one after the other: the next "
			 "one starts in %u ms",
			 k->short_lives, k->backoff_ms);
	keeper_restart_pager(k, k->backoff_ms ? k->backoff_ms : 1);
}

static bool any_guest(const struct keeper *k)
{
	for (int i = 0; i < GUESTS_MAX; i++)
		if (k->guest[i].tracer)
			return true;
	return false;
}

static void stop(struct keeper *k)
{
	struct proto_msg m = { .type = MSG_STOP, .id = k->leave ? STOP_LEAVE : STOP_DETACH };

	if (k->stopping) {
		log_info("still stopping");
		return;
	}
	if (k->upgrade > UPGRADE_CHECK || k->start_timer) {
		k->stop_later = true;
		log_info("stopping as soon as drumd has been replaced");
		return;
	}
	k->stop_later = false;
	if (!k->pager_ready && !any_guest(k)) {
		loop_stop(k->loop);
		return;
	}
	if (!k->pager_ready) {
		log_err("not stopping: the pager does not run, guests cannot be paged in");
		return;
	}
	log_info(k->leave ? "stopping; guests stay attached and wait"
			  : "stopping; guests are paged in");
	store_notify("STOPPING=1");
	k->stopping = keeper_send(k, &m, NULL, 0) == 0;
}

static void on_signal(void *arg, uint32_t events)
{
	struct keeper *k = arg;
	struct signalfd_siginfo si;
	int status;

	(void)events;
	while (read(k->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo == SIGHUP)
			reload(k, 0);
		else if (si.ssi_signo != SIGCHLD)
			stop(k);
		else if (k->pager > 0 && waitpid(k->pager, &status, WNOHANG) == k->pager)
			pager_died(k, status);
	}
}

/* Start and end. */

/* Does the drumd live whose number is in the file? Else wait a little. */
static bool owner_lives(int fd)
{
	char text[32] = "";
	pid_t pid;

	if (pread(fd, text, sizeof(text) - 1, 0) < 0)
		return true;
	pid = (pid_t)atoi(text);
	if (pid > 0 && (kill(pid, 0) == 0 || errno == EPERM))
		return true;
	usleep(PAGER_END_US);
	return false;
}

static const char *root_hint(int code)
{
	return (code == EACCES || code == EPERM) && geteuid() != 0
		       ? "; drumd must be started as root"
		       : "";
}

static int open_run_dir(struct keeper *k, struct err *e)
{
	const char *dir = k->opt->conf->run_dir;
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int tries = 0, fd;

	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return err_set(e, -errno, "cannot make the run directory %s: %s%s", dir,
			       strerror(errno), root_hint(errno));
	k->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (k->dir_fd < 0)
		return err_set(e, -errno, "cannot use the run directory %s: %s", dir,
			       strerror(errno));
	/* held by this process since another drumd took it */
	k->lock_fd = store_take(STORED_LOCK);
	if (k->lock_fd >= 0)
		return 0;
	fd = openat(k->dir_fd, "drumd.pid", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	/* out of the way of the descriptor that the pager is started with */
	k->lock_fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, PAGER_FD + 1);
	if (fd >= 0)
		close(fd);
	if (k->lock_fd < 0)
		return err_set(e, -errno, "cannot write %s/drumd.pid: %s%s", dir,
			       strerror(errno), root_hint(errno));
	/* The lock is the keeper's and its pager's: one that outlives its keeper
	 * notices, and ends, before anybody else serves its guests. */
	while (fcntl(k->lock_fd, F_OFD_SETLK, &lock) < 0)
		if (owner_lives(k->lock_fd) || ++tries > PAGER_END_TRIES)
			return err_set(
				e, -EBUSY,
				"another drumd serves %s: stop it, or use another --run-dir",
				dir);
	if (ftruncate(k->lock_fd, 0) < 0 || dprintf(k->lock_fd, "%d\n", (int)getpid()) < 0)
		return err_set(e, -errno, "cannot write %s/drumd.pid: %s", dir,
			       strerror(errno));
	(void)store_put(STORED_LOCK, k->lock_fd, false);
	return 0;
}

/* Without it all works, but that what was written to swap is not known after a reboot. */
static void open_state_dir(struct keeper *k)
{
	const char *dir = k->opt->conf->state_dir;

	if (!dir)
		return;
	if (mkdir(dir, 0700) == 0 || errno == EEXIST)
		k->state_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (k->state_fd < 0)
		log_warn("cannot use the state directory %s: %s; what is written to swap "
			 "devices "
			 "is not noted there",
			 dir, strerror(errno));
}

uint64_t keeper_new_conf(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (((uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec) ^ (uint64_t)getpid()
										      << 40) |
	       1;
}

/* Of what is stored and was not taken: may a guest that could not be taken over need it? */
static bool may_need(const char *name)
{
	/* others are asked for later, or not: see started */
	return !kept_is_name(name) || (keeper.unknown && kept_may_be_needed(name));
}

/* Guests that an earlier daemon left: every guest-NAME.state. */
static void adopt_all(struct keeper *k)
{
	DIR *d = opendir(k->opt->conf->run_dir);
	struct dirent *de;

	while (d && (de = readdir(d))) {
		size_t len = strlen(de->d_name);
		char name[PROTO_NAME_MAX];
		struct err e = { 0 };
		struct tracer *t;
		struct guest_slot *s = free_slot(k);

		if (!s || len < 13 || len - 12 >= sizeof(name) ||
		    strncmp(de->d_name, "guest-", 6) != 0 ||
		    strcmp(de->d_name + len - 6, ".state") != 0)
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)(len - 12), de->d_name + 6);
		t = tracer_adopt(&k->env, name, &e);
		if (t) {
			s->tracer = t;
			log_info("guest %s: taken over from an earlier daemon", name);
		} else {
			k->unknown |= e.code != -ESRCH;
			log_at(e.code == -ESRCH ? LOG_LVL_INFO : LOG_LVL_ERROR, "%s", e.text);
		}
	}
	if (d)
		closedir(d);
}

static int set_up(struct keeper *k, struct err *e)
{
	struct rlimit files;
	sigset_t set;
	int ret;

	/* some ten descriptors for each guest, here and in the pager */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGHUP);
	/* before any thread: all of them inherit it */
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	ret = open_run_dir(k, e);
	if (ret < 0)
		return ret;
	open_state_dir(k);
	ret = sockets_open(&k->sockets, k->opt->conf->run_dir, &k->opt->conf->group,
			   &k->opt->conf->monitor_group, e);
	if (ret < 0)
		return ret;
	k->env = (struct tracer_env){
		.notify = notify,
		.arg = k,
		.run_dir = k->opt->conf->run_dir,
		.dev_uffd = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC),
	};
	k->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	k->notify_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	k->loop = loop_create();
	if (k->signal_fd < 0 || k->notify_fd < 0 || !k->loop ||
	    !loop_add(k->loop, k->signal_fd, EPOLLIN, on_signal, k) ||
	    !loop_add(k->loop, k->notify_fd, EPOLLIN, on_notified, k))
		return err_set(e, -errno, "cannot start: %s", strerror(errno));
	k->disks = (struct disks){ k->loop, k->opt->conf->run_dir, k->dir_fd, { NULL } };
	if (store_was_handed_over())
		ret = upgrade_continue(k, e);
	/* it has much to do until it asks for guests */
	if (ret == 0)
		ret = spawn(k, e);
	if (ret < 0)
		return ret;
	adopt_all(k);
	store_sweep(may_need);
	return 0;
}

static void tear_down(struct keeper *k)
{
	look_at_guests(k);
	for (int i = 0; i < GUESTS_MAX; i++)
		if (k->guest[i].tracer)
			tracer_leave(k->guest[i].tracer);
	if (k->metrics_fd >= 0)
		metrics_unlisten(k->opt->conf->metrics);
	sockets_remove(k->dir_fd);
	unlinkat(k->dir_fd, "drumd.pid", 0);
	loop_destroy(k->loop);
}

int keeper_run(const struct keeper_options *options, struct err *e)
{
	struct keeper *k = &keeper;
	int ret;

	*k = (struct keeper){
		.opt = options,
		.chan = -1,
		.state_fd = -1,
		.metrics_fd = -1,
		.conf = keeper_new_conf(),
		.leave = options->conf->leave,
		.ready_fd = options->ready_fd,
		.must_serve = options->ready_fd >= 0,
	};
	ret = set_up(k, e);
	if (ret == 0) {
		ret = loop_run(k->loop);
		if (ret < 0)
			err_set(e, ret, "the keeper's loop: %s", strerror(-ret));
		else if (k->result < 0)
			ret = err_set(e, k->result, "the pager did not start, see the log");
	}
	if (ret == 0) {
		tear_down(k);
		return 0;
	}
	if (k->pager > 0 && kill(k->pager, SIGKILL) == 0)
		waitpid(k->pager, NULL, 0);
	if (k->stop_later)
		raise(SIGTERM); /* blocked: for the drumd that goes on, if one does */
	return ret;
}
