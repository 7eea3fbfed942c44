/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * The main thread owns struct keeper and runs one loop; it never waits for
 * the pager or for a tracer.  A tracer reports from its own thread: an
 * attachment's answer goes straight to the pager (one message is sent whole),
 * its end is told to the loop by an eventfd.
 *
 * Life of a pager: spawn > MSG_HELLO > (it asks for the swap devices that
 * were on) > MSG_READY > every guest that is attached is given to it by
 * MSG_ADOPT.  When it dies it is spawned anew at once, and after a delay that
 * doubles as long as each lives for less than a few seconds.  Guests wait
 * meanwhile: their userfaultfds are held here and in their own VMM.
 *
 * A swap device stays open and locked here for as long as we run, so that a
 * new pager gets the same open file.
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
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/proto.h"
#include "config.h"
#include "keeper/open.h"
#include "keeper/tracer.h"

#define GUESTS_MAX	 256
#define SWAPS_MAX	 64
#define PAGER_FD	 3 /* its end of the main channel */
#define SHORT_LIFE_NS	 (3 * NSEC_PER_SEC)
#define BACKOFF_FIRST_MS 50
#define BACKOFF_MAX_MS	 10000

struct held_swap {
	struct proto_msg opened; /* the answer that was given */
	int fd;
};

struct keeper {
	const struct keeper_options *opt;
	struct loop *loop;
	struct tracer_env env;
	int listen_fd, dir_fd, lock_fd, signal_fd, ended_fd;

	pid_t pager;	      /* 0: none runs */
	uint64_t pager_since; /* ns */
	bool pager_ready;
	pthread_mutex_t chan_lock; /* leaf: tracers send answers too */
	int chan;		   /* [chan_lock] -1: none */
	struct loop_watch *chan_watch;
	struct loop_watch *restart; /* timer, while one is due */
	unsigned int backoff_ms;

	bool stopping;
	bool swap_added;		  /* of the configuration, once */
	struct tracer *guest[GUESTS_MAX]; /* NULL: free */
	struct held_swap held[SWAPS_MAX];
	size_t nheld;
	int result;
};

static struct keeper keeper; /* one a process; tracers' callbacks find it here */

static int send_pager(struct keeper *k, const struct proto_msg *m, const int *fds, int nfds)
{
	int ret = -EPIPE;

	pthread_mutex_lock(&k->chan_lock);
	if (k->chan >= 0)
		ret = ipc_send(k->chan, m, sizeof(*m), fds, nfds);
	pthread_mutex_unlock(&k->chan_lock);
	if (ret < 0 && ret != -EPIPE)
		log_err("message to the pager: %s", strerror(-ret));
	return ret;
}

/* Tracers: on their threads. */

static void on_attached(struct tracer *t, const struct err *e, int channel)
{
	struct proto_msg m = {
		.type = MSG_ATTACHED, .seq = tracer_seq(t), .err = *e, .pid = tracer_pid(t)
	};

	snprintf(m.u.name, sizeof(m.u.name), "%s", tracer_name(t));
	/* a pager that has died meanwhile gets the guest by MSG_ADOPT */
	(void)!send_pager(&keeper, &m, &channel, channel >= 0 ? 1 : 0);
	if (channel >= 0)
		close(channel);
}

static void on_ended(struct tracer *t)
{
	uint64_t one = 1;

	(void)t;
	(void)!write(keeper.ended_fd, &one, sizeof(one));
}

static const struct tracer_ops tracer_ops = { on_attached, on_ended };

static struct tracer **free_slot(struct keeper *k)
{
	for (int i = 0; i < GUESTS_MAX; i++)
		if (!k->guest[i])
			return &k->guest[i];
	return NULL;
}

static void reap_tracers(struct keeper *k)
{
	for (int i = 0; i < GUESTS_MAX; i++) {
		if (!k->guest[i] || !tracer_ended(k->guest[i]))
			continue;
		tracer_free(k->guest[i]);
		k->guest[i] = NULL;
	}
}

static void on_tracer_ended(void *arg, uint32_t events)
{
	struct keeper *k = arg;
	uint64_t n;

	(void)events;
	(void)!read(k->ended_fd, &n, sizeof(n));
	reap_tracers(k);
}

static int give_guest(struct keeper *k, struct tracer *t)
{
	struct proto_msg m = { .type = MSG_ADOPT,
			       .pid = tracer_pid(t),
			       .bytes = tracer_limit(t) };
	int pair[2], ret = ipc_pair(pair);

	if (ret < 0) {
		log_err("guest %s: cannot make a channel: %s", tracer_name(t), strerror(-ret));
		return ret;
	}
	snprintf(m.u.name, sizeof(m.u.name), "%s", tracer_name(t));
	ret = send_pager(k, &m, &pair[1], 1);
	close(pair[1]);
	if (ret < 0)
		close(pair[0]);
	else
		tracer_reconnect(t, pair[0]);
	return ret;
}

/* Requests of the pager. */

static void do_attach(struct keeper *k, const struct proto_msg *m)
{
	struct proto_msg reply = { .type = MSG_ATTACHED, .seq = m->seq };
	struct tracer **s;

	reap_tracers(k);
	for (int i = 0; i < GUESTS_MAX; i++) {
		struct tracer *t = k->guest[i];

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
	if (!reply.err.code && !s)
		err_set(&reply.err, -ENOSPC, "%d guests are attached, that is the most",
			GUESTS_MAX);
	if (!reply.err.code) {
		struct tracer *t = tracer_attach(&k->env, m->pid, m->u.name, m->seq);

		if (t) {
			*s = t;
			return;
		}
		err_set(&reply.err, -errno, "cannot start a thread: %s", strerror(errno));
	}
	(void)!send_pager(k, &reply, NULL, 0);
}

static struct held_swap *find_held(struct keeper *k, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return NULL;
	for (size_t i = 0; i < k->nheld; i++) {
		bool block = S_ISBLK(st.st_mode);

		if (k->held[i].opened.u.swap.dev == (block ? st.st_rdev : st.st_dev) &&
		    k->held[i].opened.u.swap.ino == (block ? 0 : st.st_ino))
			return &k->held[i];
	}
	return NULL;
}

static void do_swap_open(struct keeper *k, struct proto_msg *m)
{
	struct held_swap *held;
	int fd = -1;

	m->type = MSG_SWAP_OPENED;
	m->u.swap.path[PROTO_PATH_MAX - 1] = '\0';
	held = find_held(k, m->u.swap.path);
	if (held && m->u.swap.again) {
		uint32_t seq = m->seq;
		int32_t priority = m->u.swap.priority;

		*m = held->opened;
		m->seq = seq;
		m->u.swap.priority = priority;
		fd = held->fd;
	} else if (held) {
		err_set(&m->err, -EBUSY, "%s is a swap device already", m->u.swap.path);
	} else if (k->nheld == SWAPS_MAX) {
		err_set(&m->err, -ENOSPC, "%d swap devices are on, that is the most",
			SWAPS_MAX);
	} else {
		fd = open_swap(m, &m->err);
		if (fd >= 0)
			k->held[k->nheld++] = (struct held_swap){ *m, fd };
	}
	(void)!send_pager(k, m, &fd, fd >= 0 ? 1 : 0);
}

static void pager_ready(struct keeper *k)
{
	k->pager_ready = true;
	log_debug("pager %d is ready", (int)k->pager);
	for (int i = 0; i < GUESTS_MAX; i++)
		if (k->guest[i])
			(void)!give_guest(k, k->guest[i]);
	for (size_t i = 0; i < k->opt->nswap && !k->swap_added; i++) {
		struct proto_msg m = { .type = MSG_SWAP_ADD };

		snprintf(m.u.swap.path, sizeof(m.u.swap.path), "%s", k->opt->swap[i].path);
		m.u.swap.priority = k->opt->swap[i].priority;
		(void)!send_pager(k, &m, NULL, 0);
	}
	k->swap_added = true;
	if (k->opt->ready_fd >= 0) {
		(void)!write(k->opt->ready_fd, "", 1);
		close(k->opt->ready_fd);
	}
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
		pager_ready(k);
		break;
	case MSG_ATTACH:
		do_attach(k, &m);
		break;
	case MSG_SWAP_OPEN:
		do_swap_open(k, &m);
		break;
	case MSG_STOPPED:
		pager_stopped(k, &m);
		break;
	default:
		log_err("unexpected message %u from the pager", m.type);
	}
}

/* The pager process. */

static void pager_path(char buf[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", buf, PATH_MAX - 32);
	char *slash;

	if (n > 0) {
		buf[n] = '\0';
		slash = strrchr(buf, '/');
		strcpy(slash + 1, "drum-pager");
		if (access(buf, X_OK) == 0) /* in a build tree */
			return;
	}
	snprintf(buf, PATH_MAX, "%s/drum-pager", DRUM_LIBEXECDIR);
}

static void exec_pager(const char *path, int chan)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* a signal of the terminal is for the keeper, which stops us in order */
	setpgid(0, 0);
	if (chan == PAGER_FD)
		fcntl(chan, F_SETFD, 0);
	else if (dup2(chan, PAGER_FD) < 0)
		_exit(127);
	execl(path, "drum-pager", (char *)NULL);
	_exit(127);
}

static int spawn(struct keeper *k, struct err *e)
{
	struct proto_msg hello = { .type = MSG_HELLO };
	char path[PATH_MAX];
	int pair[2], fds[3], nfds = 2, ret;

	pager_path(path);
	if (access(path, X_OK) < 0)
		return err_set(e, -errno, "cannot start the pager: %s: %s", path,
			       strerror(errno));
	ret = ipc_pair(pair);
	if (ret < 0)
		return err_set(e, ret, "cannot make a channel: %s", strerror(-ret));
	k->pager = fork();
	if (k->pager == 0)
		exec_pager(path, pair[1]);
	close(pair[1]);
	if (k->pager < 0) {
		close(pair[0]);
		k->pager = 0;
		return err_set(e, -errno, "cannot start the pager: %s", strerror(errno));
	}
	__atomic_store_n(&k->env.pager, k->pager, __ATOMIC_RELEASE);
	k->pager_since = clock_ns();
	k->pager_ready = false;
	pthread_mutex_lock(&k->chan_lock);
	k->chan = pair[0];
	pthread_mutex_unlock(&k->chan_lock);
	k->chan_watch = loop_add(k->loop, k->chan, EPOLLIN, on_pager, k);
	if (!k->chan_watch)
		return err_set(e, -errno, "cannot watch the pager: %s", strerror(errno));

	snprintf(hello.u.hello.run_dir, sizeof(hello.u.hello.run_dir), "%s", k->opt->run_dir);
	snprintf(hello.u.hello.build, sizeof(hello.u.hello.build), "%s", DRUM_VERSION);
	hello.u.hello.log_level = (int32_t)log_level();
	hello.u.hello.to_syslog = k->opt->to_syslog;
	fds[0] = k->listen_fd;
	fds[1] = k->dir_fd;
	fds[2] = k->env.dev_uffd;
	if (k->env.dev_uffd >= 0)
		nfds = 3;
	return send_pager(k, &hello, fds, nfds);
}

static void on_restart(void *arg)
{
	struct keeper *k = arg;
	struct err e = { 0 };

	loop_remove(k->restart);
	k->restart = NULL;
	if (spawn(k, &e) < 0)
		log_err("%s", e.text); /* a dead child comes back as SIGCHLD */
}

static void close_channel(struct keeper *k)
{
	if (k->chan_watch)
		loop_remove(k->chan_watch);
	k->chan_watch = NULL;
	pthread_mutex_lock(&k->chan_lock);
	if (k->chan >= 0)
		close(k->chan);
	k->chan = -1;
	pthread_mutex_unlock(&k->chan_lock);
}

static void pager_died(struct keeper *k, int status)
{
	bool was_ready = k->pager_ready;
	pid_t pid = k->pager;

	k->pager = 0;
	k->pager_ready = false;
	close_channel(k);
	if (k->stopping && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		loop_stop(k->loop);
		return;
	}
	k->stopping = false;
	log_err("pager %d ended by %s %d; guests wait until the next one has started", (int)pid,
		WIFSIGNALED(status) ? "signal" : "exit code",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	if (!was_ready && k->opt->ready_fd >= 0 && !k->swap_added) {
		/* never came up: the one who started us is waiting */
		k->result = -ECHILD;
		loop_stop(k->loop);
		return;
	}
	if (clock_ns() - k->pager_since > SHORT_LIFE_NS)
		k->backoff_ms = 0;
	else if (k->backoff_ms)
		k->backoff_ms =
			k->backoff_ms * 2 < BACKOFF_MAX_MS ? k->backoff_ms * 2 : BACKOFF_MAX_MS;
	else
		k->backoff_ms = BACKOFF_FIRST_MS;
	if (k->backoff_ms)
		log_warn("next pager in %u ms", k->backoff_ms);
	k->restart = loop_every(k->loop, k->backoff_ms ? k->backoff_ms : 1, on_restart, k);
}

static void stop(struct keeper *k)
{
	struct proto_msg m = { .type = MSG_STOP, .id = k->opt->leave };

	if (k->stopping) {
		log_info("still stopping");
		return;
	}
	if (!k->pager_ready) {
		log_err("not stopping: the pager does not run, guests cannot be paged in");
		return;
	}
	log_info(k->opt->leave ? "stopping; guests stay attached and wait"
			       : "stopping; guests are paged in");
	k->stopping = send_pager(k, &m, NULL, 0) == 0;
}

static void on_signal(void *arg, uint32_t events)
{
	struct keeper *k = arg;
	struct signalfd_siginfo si;
	int status;

	(void)events;
	while (read(k->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo != SIGCHLD)
			stop(k);
		else if (k->pager > 0 && waitpid(k->pager, &status, WNOHANG) == k->pager)
			pager_died(k, status);
	}
}

/* Start and end. */

static int open_run_dir(struct keeper *k, struct err *e)
{
	const char *dir = k->opt->run_dir;
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return err_set(e, -errno, "cannot make the run directory %s: %s", dir,
			       strerror(errno));
	k->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (k->dir_fd < 0)
		return err_set(e, -errno, "cannot use the run directory %s: %s", dir,
			       strerror(errno));
	k->lock_fd = openat(k->dir_fd, "drumd.pid", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (k->lock_fd < 0)
		return err_set(e, -errno, "cannot write %s/drumd.pid: %s", dir,
			       strerror(errno));
	if (fcntl(k->lock_fd, F_OFD_SETLK, &lock) < 0)
		return err_set(e, -EBUSY,
			       "another drumd serves %s: stop it, or use another --run-dir",
			       dir);
	if (ftruncate(k->lock_fd, 0) < 0 || dprintf(k->lock_fd, "%d\n", (int)getpid()) < 0)
		return err_set(e, -errno, "cannot write %s/drumd.pid: %s", dir,
			       strerror(errno));
	return 0;
}

/* Guests that an earlier daemon left: every guest-NAME.state. */
static void adopt_all(struct keeper *k)
{
	DIR *d = opendir(k->opt->run_dir);
	struct dirent *de;

	while (d && (de = readdir(d))) {
		size_t len = strlen(de->d_name);
		char name[PROTO_NAME_MAX];
		struct err e = { 0 };
		struct tracer *t;
		struct tracer **s = free_slot(k);

		if (!s || len < 13 || len - 12 >= sizeof(name) ||
		    strncmp(de->d_name, "guest-", 6) != 0 ||
		    strcmp(de->d_name + len - 6, ".state") != 0)
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)(len - 12), de->d_name + 6);
		t = tracer_adopt(&k->env, name, &e);
		if (t) {
			*s = t;
			log_info("guest %s: taken over from an earlier daemon", name);
		} else {
			log_at(e.code == -ESRCH ? LOG_LVL_INFO : LOG_LVL_ERROR, "%s", e.text);
		}
	}
	if (d)
		closedir(d);
}

static int set_up(struct keeper *k, struct err *e)
{
	char path[PATH_MAX];
	sigset_t set;
	int ret;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	/* before any thread: all of them inherit it */
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	ret = open_run_dir(k, e);
	if (ret < 0)
		return ret;
	snprintf(path, sizeof(path), "%s/qmp.sock", k->opt->run_dir);
	k->listen_fd = open_listener(path, e);
	if (k->listen_fd < 0)
		return k->listen_fd;
	k->env = (struct tracer_env){
		.ops = &tracer_ops,
		.run_dir = k->opt->run_dir,
		.dev_uffd = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC),
	};
	k->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	k->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	k->loop = loop_create();
	if (k->signal_fd < 0 || k->ended_fd < 0 || !k->loop ||
	    !loop_add(k->loop, k->signal_fd, EPOLLIN, on_signal, k) ||
	    !loop_add(k->loop, k->ended_fd, EPOLLIN, on_tracer_ended, k))
		return err_set(e, -errno, "cannot start: %s", strerror(errno));
	adopt_all(k);
	return spawn(k, e);
}

static void tear_down(struct keeper *k)
{
	reap_tracers(k);
	for (int i = 0; i < GUESTS_MAX; i++)
		if (k->guest[i])
			tracer_leave(k->guest[i]);
	unlinkat(k->dir_fd, "qmp.sock", 0);
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
		.listen_fd = -1,
		.chan_lock = PTHREAD_MUTEX_INITIALIZER,
	};
	ret = set_up(k, e);
	if (ret < 0)
		return ret;
	ret = loop_run(k->loop);
	if (ret < 0)
		return err_set(e, ret, "the keeper's loop: %s", strerror(-ret));
	if (k->result < 0)
		return err_set(e, k->result, "the pager did not start, see the log");
	tear_down(k);
	return 0;
}
