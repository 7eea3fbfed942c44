/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * Who is connected to a disk.  One front end at a time; while one is, others wait in the
 * socket's queue.
 *
 *	none		the listening socket is watched
 *	accepted	the keeper gets a duplicate of the connection, and we wait until there
 *			is something to read: a VMM connects when its device is made, and
 *			speaks when its RAM is there.  What it says is left for the worker
 *	waiting		its guest, found by the peer's process id, is there and served: then it
 *			is given to the worker.  If there is no such guest:
 *	attaching	it is attached, under the disk's name for it.  Somebody else may just be
 *			doing that, another disk of the same VMM or a person, or the VMM before
 *			it may be ending and have that name yet; we wait for these
 *	given		the worker has it until it says that it is over
 *
 * All of this is done in host_front_step, which does what can be done and is called again
 * whenever a guest has come, changed or gone, and by a timer while something is waited for
 * that nobody tells.
 *
 * What goes wrong costs this connection, and is told once; a VMM that tries again and again
 * is told of once a minute.
 */

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/loop.h"
#include "vmm/disk_state.h"
#include "vmm/host_disk.h"

#define TICK_MS	   20
#define RETRY_NS   (50 * NSEC_PER_MSEC)
#define ATTACH_NS  (10 * NSEC_PER_SEC) /* until its name is free, or it is attached */
#define SILENCE_NS (60 * NSEC_PER_SEC) /* in which the same failure is not told again */

static void on_conn(void *arg, uint32_t events);
static void on_listen(void *arg, uint32_t events);

/* --- what is told ------------------------------------------------------------------------- */

static void tell(struct host_disk *hd, const char *event, const char *guest, const char *reason)
{
	struct report *r = host_new_report(hd->host, REPORT_EVENT);
	unsigned int n = 0;

	if (!r)
		return;
	r->event = event;
	r->key[n] = "disk";
	snprintf(r->text[n++], sizeof(r->text[0]), "%s", hd->set.name);
	if (guest) {
		r->key[n] = "guest";
		snprintf(r->text[n++], sizeof(r->text[0]), "%s", guest);
	}
	if (reason) {
		r->key[n] = "reason";
		snprintf(r->text[n++], sizeof(r->text[0]), "%s", reason);
	}
	host_post_report(hd->host, r);
}

static void tell_failure(struct host_disk *hd, const char *guest, const struct err *e)
{
	uint64_t now = clock_ns();

	if (strcmp(hd->told, e->text) == 0 && now - hd->told_at < SILENCE_NS)
		return;
	snprintf(hd->told, sizeof(hd->told), "%s", e->text);
	hd->told_at = now;
	log_err("disk %s: process %d is disconnected: %s", hd->set.name, (int)hd->pid, e->text);
	tell(hd, "DISK_DISCONNECTED", guest, e->text);
}

/* --- time -----------------------------------------------------------------------------------
 */

static void on_tick(void *arg)
{
	struct host *h = arg;
	bool any = false;

	for (struct host_disk *hd = h->disks; hd; hd = hd->next)
		if (hd->tick)
			host_front_step(hd);
	for (struct host_disk *hd = h->disks; hd; hd = hd->next)
		any |= hd->tick;
	if (!any) {
		loop_remove(h->disk_timer);
		h->disk_timer = NULL;
	}
}

static void step_again(struct host_disk *hd)
{
	struct host *h = hd->host;

	hd->tick = true;
	if (!h->disk_timer)
		h->disk_timer = loop_every(h->opt.loop, TICK_MS, on_tick, h);
	if (!h->disk_timer)
		BROKEN("no timer");
}

/* --- the connection ----------------------------------------------------------------------- */

static int send_keep(const struct host_disk *hd, enum keep_type type, uint32_t role, int fd)
{
	struct keep_msg m = { .type = type, .role = role };

	return ipc_send(hd->d.keep, &m, offsetof(struct keep_msg, reply), &fd, fd >= 0);
}

static void close_conn(struct host_disk *hd)
{
	struct disk *d = &hd->d;

	if (hd->conn_watch)
		loop_remove(hd->conn_watch);
	hd->conn_watch = NULL;
	/* the keeper has a duplicate for a moment yet */
	if (d->fd[DISK_ROLE_CONN] >= 0)
		shutdown(d->fd[DISK_ROLE_CONN], SHUT_RDWR);
	for (unsigned int i = 0; i < DISK_ROLES; i++) {
		if (d->fd[i] >= 0)
			close(d->fd[i]);
		d->fd[i] = -1;
	}
	disk_state_end(d->state);
	d->resumed = false;
	hd->front = FRONT_NONE;
	hd->guest = NULL;
	hd->drop = true;
}

static void fail(struct host_disk *hd, const struct err *e)
{
	tell_failure(hd, NULL, e);
	close_conn(hd);
	host_front_step(hd);
}

void host_front_drop(struct host_disk *hd)
{
	if (hd->front != FRONT_ACCEPTED)
		return;
	close_conn(hd);
	(void)!send_keep(hd, KEEP_DROP, KEEP_ALL, -1);
}

/* => the peer's process id, or 0 */
static pid_t peer_of(int conn)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	return getsockopt(conn, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 ? cred.pid : 0;
}

static void accepted(struct host_disk *hd, int conn)
{
	hd->d.fd[DISK_ROLE_CONN] = conn;
	hd->d.replied = 0;
	hd->pid = peer_of(conn);
	hd->front = FRONT_ACCEPTED;
	hd->kept = false;
	hd->give_up_at = hd->retry_at = 0;
}

static void on_listen(void *arg, uint32_t events)
{
	struct host_disk *hd = arg;
	struct sockaddr_un peer;
	socklen_t len = sizeof(peer);
	int conn;

	(void)events;
	conn = accept4(hd->listener, (struct sockaddr *)&peer, &len,
		       SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (conn < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
		return;
	loop_remove(hd->listen_watch);
	hd->listen_watch = NULL;
	if (conn < 0) {
		log_err("disk %s: no connection can be accepted: %s", hd->set.name,
			strerror(errno));
		hd->retry_at = clock_ns() + NSEC_PER_SEC;
	} else {
		accepted(hd, conn);
	}
	host_front_step(hd);
}

static void on_conn(void *arg, uint32_t events)
{
	struct host_disk *hd = arg;
	ssize_t n;
	char c;

	(void)events;
	n = recv(hd->d.fd[DISK_ROLE_CONN], &c, 1, MSG_PEEK | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		/* one that has just looked whether somebody is there */
		log_debug("disk %s: process %d has connected and gone", hd->set.name,
			  (int)hd->pid);
		close_conn(hd);
	} else {
		loop_remove(hd->conn_watch);
		hd->conn_watch = NULL;
		hd->front = FRONT_WAITING;
	}
	host_front_step(hd);
}

/* --- its guest ------------------------------------------------------------------------------
 */

static struct guest *guest_of(const struct host_disk *hd)
{
	struct guest *g = hd->host->guests;

	while (g && g->pid != hd->pid)
		g = g->next;
	return g;
}

/*
 * Another guest has the name, the keeper still has something of one, or somebody else is about
 * to attach this VMM: all of that may be over in a moment.  A VMM that is started again has its
 * name from one that is just ending here.
 */
static bool may_be_attached_yet(struct host_disk *hd, const struct err *e)
{
	uint64_t now = clock_ns();

	if (e->code != -EEXIST && e->code != -EBUSY)
		return false;
	if (hd->give_up_at == 0) {
		hd->give_up_at = now + ATTACH_NS;
		log_debug("disk %s: process %d waits: %s", hd->set.name, (int)hd->pid, e->text);
	}
	return now < hd->give_up_at;
}

static void on_attached(void *ctx, const struct err *e)
{
	struct host_disk *hd = ctx;

	hd->front = FRONT_WAITING;
	if (e->code == 0 || guest_of(hd)) {
		host_front_step(hd);
	} else if (may_be_attached_yet(hd, e)) {
		hd->retry_at = clock_ns() + RETRY_NS;
		host_front_step(hd);
	} else {
		fail(hd, e);
	}
	host_front_look(hd->host);
}

/* whatever it has left to be read */
static bool has_hung_up(int conn)
{
	struct pollfd p = { .fd = conn, .events = POLLRDHUP };

	return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLRDHUP | POLLERR)) != 0;
}

/* The pager that served it died, and before its guest could be taken over that ended too. */
static void end_with_guest(struct host_disk *hd)
{
	log_info("disk %s: process %d has disconnected, and its guest has ended", hd->set.name,
		 (int)hd->pid);
	tell(hd, "DISK_DISCONNECTED", NULL, NULL);
	close_conn(hd);
	host_front_step(hd);
}

static bool is_being_attached(const struct host_disk *hd)
{
	for (const struct host_disk *o = hd->host->disks; o; o = o->next)
		if (o->front == FRONT_ATTACHING && o->pid == hd->pid)
			return true;
	return false;
}

static void need_guest(struct host_disk *hd)
{
	struct err e = { 0 };

	if (hd->d.resumed) {
		if (!hd->host->adopted_all)
			return;
		if (has_hung_up(hd->d.fd[DISK_ROLE_CONN])) {
			end_with_guest(hd);
			return;
		}
		err_set(&e, -ESRCH, "its guest was not taken over");
		fail(hd, &e);
	} else if (hd->pid <= 0) {
		err_set(&e, -ESRCH,
			"the peer's process is not known: is it in another "
			"namespace of process ids?");
		fail(hd, &e);
	} else if (is_being_attached(hd)) {
		return;
	} else if (clock_ns() < hd->retry_at) {
		step_again(hd);
	} else {
		hd->front = FRONT_ATTACHING;
		host_guest_attach(hd->host, hd->pid, hd->set.guest, on_attached, hd);
	}
}

static void on_given(void *ctx, const struct err *e)
{
	struct host_disk *hd = ctx;

	hd->posted = false;
	if (e->code && hd->front == FRONT_GIVEN)
		fail(hd, e);
}

static void give(struct host_disk *hd, struct guest *g)
{
	struct command *cmd = calloc(1, sizeof(*cmd));

	if (!cmd)
		BROKEN("out of memory");
	*cmd = (struct command){
		.guest = g, .type = CMD_DISK, .disk = &hd->d, .done = on_given, .ctx = hd
	};
	if (!hd->d.resumed)
		disk_state_begin(hd->d.state, &hd->d.geometry, hd->pid, g->name);
	hd->front = FRONT_GIVEN;
	hd->guest = g;
	hd->posted = true;
	hd->told[0] = '\0';
	log_info("disk %s: guest %s %s", hd->set.name, g->name,
		 hd->d.resumed ? "goes on with it" : "is connected");
	tell(hd, "DISK_CONNECTED", g->name, NULL);
	guest_post(g, cmd);
}

static void look_for_guest(struct host_disk *hd)
{
	struct guest *g = guest_of(hd);
	enum guest_state state;

	if (!g) {
		need_guest(hd);
		return;
	}
	state = __atomic_load_n(&g->state, __ATOMIC_ACQUIRE);
	/* whose pages live in its image is known when all that are taken over are served */
	if (hd->d.number > 0 && !hd->d.resumed &&
	    (!hd->host->adopted_all || hd->host->adopting > 0))
		return;
	/* when any of these changes we are called */
	if (state != GUEST_STARTING && state != GUEST_WAITING && state != GUEST_GONE)
		give(hd, g);
}

/* --- what can be done -----------------------------------------------------------------------
 */

static void listen_again(struct host_disk *hd)
{
	if (hd->listen_watch || hd->listener < 0)
		return;
	if (clock_ns() < hd->retry_at) {
		step_again(hd);
		return;
	}
	hd->listen_watch = loop_add(hd->host->opt.loop, hd->listener, EPOLLIN, on_listen, hd);
	if (!hd->listen_watch)
		BROKEN("a socket cannot be watched");
}

/* => false: the keeper's channel is full */
static bool tell_keeper(struct host_disk *hd)
{
	if (hd->drop && send_keep(hd, KEEP_DROP, KEEP_ALL, -1) == -EAGAIN)
		return false;
	hd->drop = false;
	if (hd->front != FRONT_ACCEPTED || hd->kept)
		return true;
	if (send_keep(hd, KEEP_FD, KEEP_CONN, hd->d.fd[DISK_ROLE_CONN]) == -EAGAIN)
		return false;
	hd->kept = true;
	return true;
}

void host_front_step(struct host_disk *hd)
{
	hd->tick = false;
	if (!hd->d.image || hd->opening || hd->host->stopping)
		return; /* who is connected waits, perhaps for the next pager */
	if (!tell_keeper(hd)) {
		step_again(hd);
		return;
	}
	switch (hd->front) {
	case FRONT_NONE:
		listen_again(hd);
		break;
	case FRONT_ACCEPTED:
		if (hd->conn_watch)
			break;
		hd->conn_watch = loop_add(hd->host->opt.loop, hd->d.fd[DISK_ROLE_CONN], EPOLLIN,
					  on_conn, hd);
		if (!hd->conn_watch)
			BROKEN("a connection cannot be watched");
		break;
	case FRONT_WAITING:
		look_for_guest(hd);
		break;
	case FRONT_ATTACHING:
	case FRONT_GIVEN:
		break;
	}
}

void host_front_look(struct host *h)
{
	for (struct host_disk *hd = h->disks; hd; hd = hd->next)
		host_front_step(hd);
}

/* --- found again ----------------------------------------------------------------------------
 */

static bool has_others(const struct disk *d)
{
	for (unsigned int i = 0; i < DISK_ROLES; i++)
		if (i != DISK_ROLE_CONN && d->fd[i] >= 0)
			return true;
	return false;
}

void host_front_begin(struct host_disk *hd)
{
	struct disk *d = &hd->d;
	const struct disk_now *now = disk_state_now(d->state);
	struct err e = { 0 };

	hd->pid = now->pid;
	if (d->fd[DISK_ROLE_CONN] < 0) {
		/* of one whose end was not finished */
		if (now->pid || has_others(d))
			close_conn(hd);
	} else if (now->pid) {
		d->resumed = true;
		hd->front = FRONT_WAITING;
	} else if (d->replied == 0 && !has_others(d)) {
		accepted(hd, d->fd[DISK_ROLE_CONN]);
		hd->kept = true;
	} else {
		hd->pid = peer_of(d->fd[DISK_ROLE_CONN]);
		err_set(&e, -EPROTO, "what it had set is lost, or of another version");
		fail(hd, &e);
		return;
	}
	host_front_step(hd);
}

/* --- the worker's end -----------------------------------------------------------------------
 */

bool host_front_post(struct host_disk *hd, struct command *cmd)
{
	if (hd->front != FRONT_GIVEN || !hd->guest) {
		free(cmd);
		return false;
	}
	cmd->guest = hd->guest;
	guest_post(hd->guest, cmd);
	return true;
}

static void over(struct host *h, void *ctx, const struct err *e)
{
	struct disk *d = ctx;
	struct host_disk *hd = (struct host_disk *)((char *)d - offsetof(struct host_disk, d));
	const char *guest = hd->guest ? hd->guest->name : NULL;

	(void)h;
	if (e->code) {
		tell_failure(hd, guest, e);
	} else {
		log_info("disk %s: process %d has disconnected", hd->set.name, (int)hd->pid);
		tell(hd, "DISK_DISCONNECTED", guest, NULL);
	}
	hd->front = FRONT_NONE;
	hd->guest = NULL;
	host_front_step(hd);
}

void host_front_over(void *arg, struct guest *g, struct disk *d, const struct err *e)
{
	struct report *r = host_new_report(arg, REPORT_DISK);

	(void)g;
	r->disk = over;
	r->ctx = d;
	r->err = *e;
	host_post_report(arg, r);
}

/* A worker that ends with a disk leaves it to the next pager: so do we. */
void host_front_guest_ended(struct host *h, const struct guest *g)
{
	for (struct host_disk *hd = h->disks; hd; hd = hd->next)
		if (hd->guest == g)
			hd->guest = NULL;
}

int host_front_check(const struct host *h, const struct guest *g, struct err *e)
{
	for (const struct host_disk *hd = h->disks; hd; hd = hd->next) {
		const struct guest *has = guest_of(hd);

		if (hd->front < FRONT_ATTACHING || (g && hd->pid != g->pid))
			continue;
		if (hd->front == FRONT_WAITING && has && has->waits)
			continue; /* nothing of it is served anyway */
		if (has && __atomic_load_n(&has->state, __ATOMIC_ACQUIRE) == GUEST_GONE)
			continue; /* the worker ends both, and is waited for */
		return err_set(
			e, -EBUSY,
			"disk %s is served to guest %s here, which cannot do without: shut "
			"the guest down, or unplug the disk there%s",
			hd->set.name, has ? has->name : hd->set.guest,
			g ? "" : "; or stop drumd with --leave, and start it again soon");
	}
	return 0;
}
