/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * The control thread owns struct host.  Workers report on their own threads:
 * a report is put into a list and told to the loop by an eventfd, so that
 * everything that touches the list of guests, and every done callback, is on
 * the control thread.  A worker may have a fault pending when it reports, so it
 * takes the report out of a pool; when the control thread is far behind, events
 * are dropped and counted, answers are not.
 *
 * What is asked of the keeper gets a number; its answer finds the request by
 * it.  An attachment has two halves: the keeper's answer brings the guest
 * channel, and the worker's report that it serves (or why not) ends it.
 *
 * To stop, every guest is detached, or left.  If one cannot be, those that
 * were stay detached, and we go on.  To be replaced all that serve are left, and the
 * others are for the next pager, which begins anew with them.
 */

#include "vmm/host.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/memlock.h"
#include "base/meminfo.h"
#include "base/point.h"
#include "vmm/guest.h"
#include "vmm/host_priv.h"
#include "vmm/uffd.h"

/* Reports: from any thread. */

void host_post_report(struct host *h, struct report *r)
{
	uint64_t one = 1;

	r->next = NULL;
	pthread_mutex_lock(&h->report_lock);
	*h->reports_tail = r;
	h->reports_tail = &r->next;
	pthread_mutex_unlock(&h->report_lock);
	(void)!write(h->report_fd, &one, sizeof(one));
}

struct report *host_new_report(struct host *h, enum report_type type)
{
	bool event = type == REPORT_EVENT;
	struct report *r = NULL;

	pthread_mutex_lock(&h->report_lock);
	if (h->nfree_reports > (event ? REPORTS - REPORTS_EVENT : 0)) {
		r = h->free_reports;
		h->free_reports = r->next;
		h->nfree_reports--;
	} else if (event) {
		h->events_lost++;
		__atomic_fetch_add(&h->events_dropped, 1, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&h->report_lock);
	if (!r && event)
		return NULL;
	/* answers, of which some 16 wait already: without it nobody can be answered */
	if (!r && !(r = malloc(sizeof(*r))))
		BROKEN("out of memory");
	*r = (struct report){ .type = type };
	return r;
}

static void free_report(struct host *h, struct report *r)
{
	if (r < h->report || r >= h->report + REPORTS) {
		free(r);
		return;
	}
	pthread_mutex_lock(&h->report_lock);
	r->next = h->free_reports;
	h->free_reports = r;
	h->nfree_reports++;
	pthread_mutex_unlock(&h->report_lock);
}

static void on_completed(void *arg, struct command *cmd)
{
	struct report *r = host_new_report(arg, REPORT_COMPLETED);

	r->cmd = cmd;
	host_post_report(arg, r);
}

static void on_serving(void *arg, struct guest *g, const struct err *e)
{
	struct report *r = host_new_report(arg, REPORT_SERVING);

	r->guest = g;
	r->err = *e;
	host_post_report(arg, r);
}

static void on_ended(void *arg, struct guest *g)
{
	struct report *r = host_new_report(arg, REPORT_ENDED);

	r->guest = g;
	host_post_report(arg, r);
}

static void on_page(void *arg, struct guest *g, enum guest_event event, uint64_t page,
		    drum_addr a)
{
	host_tell_page(arg, g, event, page, a);
}

static void on_quarantined(void *arg, struct guest *g)
{
	host_tell_guest(arg, g);
}

static void on_contested(void *arg, struct guest *g, drum_addr a)
{
	struct report *r = host_new_report(arg, REPORT_CONTESTED);

	r->guest = g;
	r->addr = a;
	host_post_report(arg, r);
}

static void on_stalled(void *arg, struct guest *g, const struct guest_stall *s)
{
	host_tell_stall(arg, g, s);
}

/* Answer from the loop, since a done function must not run in its own call. */
void host_refuse(struct host *h, host_done_fn done, void *ctx, const struct err *e)
{
	struct report *r = host_new_report(h, REPORT_REFUSED);

	r->done = done;
	r->ctx = ctx;
	r->err = *e;
	host_post_report(h, r);
}

/* Requests. */

struct request *host_new_request(struct host *h, host_done_fn done, void *ctx)
{
	struct request *r = calloc(1, sizeof(*r));

	if (!r)
		BROKEN("out of memory");
	*r = (struct request){ .next = h->requests, .seq = ++h->seq, .done = done, .ctx = ctx };
	h->requests = r;
	return r;
}

void host_end_request(struct host *h, struct request *r, const struct err *e)
{
	struct request **at = &h->requests;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	if (r->done)
		r->done(r->ctx, e);
	free(r);
}

struct request *host_find_request(struct host *h, uint32_t seq)
{
	struct request *r = h->requests;

	while (r && r->seq != seq)
		r = r->next;
	return r;
}

/* What the keeper had no room for yet, in order. */
struct unsent {
	struct unsent *next;
	struct proto_msg m;
};

/* Before its answers are looked at (host_serve) one message is under way at a time.  After
 * that it is never waited for: it may be waiting for us to read. */
int host_ask_keeper(struct host *h, const struct proto_msg *m)
{
	struct unsent **at = &h->unsent, *u;
	int ret = -EAGAIN;

	if (!h->keeper_watch)
		return ipc_send(h->opt.keeper, m, sizeof(*m), NULL, 0);
	if (!h->unsent)
		ret = ipc_try_send(h->opt.keeper, m, sizeof(*m));
	if (ret != -EAGAIN)
		return ret;
	u = malloc(sizeof(*u));
	if (!u)
		BROKEN("out of memory");
	*u = (struct unsent){ NULL, *m };
	while (*at)
		at = &(*at)->next;
	*at = u;
	loop_modify(h->keeper_watch, EPOLLIN | EPOLLOUT);
	return 0;
}

static void send_unsent(struct host *h)
{
	struct unsent *u;

	while ((u = h->unsent) && ipc_try_send(h->opt.keeper, &u->m, sizeof(u->m)) != -EAGAIN) {
		h->unsent = u->next;
		free(u);
	}
	if (h->unsent)
		return;
	loop_modify(h->keeper_watch, EPOLLIN);
	if (h->stopped)
		loop_stop(h->opt.loop);
}

/* Guests. */

struct guest *host_find_guest(struct host *h, const char *name)
{
	struct guest *g = h->guests;

	while (g && strcmp(g->name, name) != 0)
		g = g->next;
	return g;
}

static void add_guest(struct host *h, struct guest *g)
{
	struct guest **at = &h->guests;

	while (*at)
		at = &(*at)->next;
	*at = g;
}

static void remove_guest(struct host *h, struct guest *g)
{
	struct guest **at = &h->guests;

	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	guest_free(g);
}

bool host_name_ok(const char *name)
{
	size_t len = strlen(name);

	if (len < 1 || len > GUEST_NAME_MAX || name[0] == '.')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("_.-", name[i]))
			return false;
	return true;
}

void host_guest_attach(struct host *h, pid_t pid, const char *name, host_done_fn done,
		       void *ctx)
{
	struct proto_msg m = { .type = MSG_ATTACH, .pid = pid };
	struct request *r;
	struct err e = { 0 };
	int ret;

	if (!host_name_ok(name))
		err_set(&e, -EINVAL,
			"'%s' is no name for a guest: it is 1 to %d characters of "
			"A-Z a-z 0-9 _ . - and does not begin with a dot",
			name, GUEST_NAME_MAX);
	else if (host_find_guest(h, name))
		err_set(&e, -EEXIST, "a guest is named '%s' already", name);
	else if (pid <= 0)
		err_set(&e, -ESRCH, "no such process: %d", (int)pid);
	else if (h->stopping)
		err_set(&e, -EBUSY, "the daemon is stopping");
	if (e.code) {
		host_refuse(h, done, ctx, &e);
		return;
	}
	r = host_new_request(h, done, ctx);
	m.seq = r->seq;
	snprintf(m.u.name, sizeof(m.u.name), "%s", name);
	ret = host_ask_keeper(h, &m);
	if (ret < 0) {
		r->done = NULL;
		err_set(&e, ret, "the keeper does not answer: %s", strerror(-ret));
		host_end_request(h, r, &e);
		host_refuse(h, done, ctx, &e);
	}
}

static struct guest *start_guest(struct host *h, const struct proto_msg *m, int chan,
				 bool adopted, struct err *e)
{
	struct drum_share *share = host_share_begin(h, m->u.name);
	struct guest *g;

	g = guest_start(m->u.name, m->pid, chan, adopted, m->bytes, h->drum, share, &h->paging,
			h->opt.dev_uffd, h->opt.dir_fd, &h->ops);
	if (g) {
		add_guest(h, g);
	} else {
		err_set(e, -errno, "cannot start a worker: %s", strerror(errno));
		host_share_end(h, m->u.name, false);
	}
	return g;
}

static void attached(struct host *h, const struct proto_msg *m, int chan)
{
	struct request *r = host_find_request(h, m->seq);
	struct err e = m->err;

	if (e.code == 0) {
		struct guest *g = start_guest(h, m, chan, false, &e);

		if (g && r)
			r->guest = g; /* answered by on_serving's report */
	}
	if (e.code && r)
		host_end_request(h, r, &e);
}

void host_command(struct host *h, const char *name, const struct command *like,
		  host_done_fn done, void *ctx)
{
	struct guest *g = host_find_guest(h, name);
	struct command *cmd;
	struct err e = { 0 };

	if (!g || __atomic_load_n(&g->state, __ATOMIC_ACQUIRE) == GUEST_STARTING) {
		err_set(&e, -ENOENT, "no guest is named '%s'", name);
		host_refuse(h, done, ctx, &e);
		return;
	}
	cmd = calloc(1, sizeof(*cmd));
	if (!cmd)
		BROKEN("out of memory");
	*cmd = *like;
	cmd->guest = g;
	cmd->done = done;
	cmd->ctx = ctx;
	guest_post(g, cmd);
}

static void nobody_asks(void *ctx, const struct err *e)
{
	(void)ctx;
	(void)e;
}

/* A guest has found a block of its own with another owner: one of the others. */
static void contested(struct host *h, const struct report *r)
{
	for (struct guest *g = h->guests; g; g = g->next) {
		struct command *cmd = g == r->guest ? NULL : calloc(1, sizeof(*cmd));

		if (g == r->guest)
			continue;
		if (!cmd)
			BROKEN("out of memory");
		*cmd = (struct command){
			.guest = g, .type = CMD_CONTESTED, .value = r->addr, .done = nobody_asks
		};
		guest_post(g, cmd);
	}
}

static void command(struct host *h, const char *name, enum command_type type, uint64_t value,
		    host_done_fn done, void *ctx)
{
	host_command(h, name, &(struct command){ .type = type, .value = value }, done, ctx);
}

void host_guest_detach(struct host *h, const char *name, host_done_fn done, void *ctx)
{
	struct guest *g = host_find_guest(h, name);
	struct err e = { 0 };

	if (g && host_front_check(h, g, &e) < 0)
		host_refuse(h, done, ctx, &e);
	else
		command(h, name, CMD_DETACH, 0, done, ctx);
}

void host_guest_set_limit(struct host *h, const char *name, uint64_t bytes, host_done_fn done,
			  void *ctx)
{
	command(h, name, CMD_LIMIT, bytes, done, ctx);
}

void host_guest_out(struct host *h, const char *name, host_done_fn done, void *ctx)
{
	command(h, name, CMD_OUT, 0, done, ctx);
}

void host_guest_in(struct host *h, const char *name, host_done_fn done, void *ctx)
{
	command(h, name, CMD_IN, 0, done, ctx);
}

void host_guest_cancel(struct host *h, const char *name, const void *of, host_done_fn done,
		       void *ctx)
{
	struct err e;

	if (h->stopping) {
		err_set(&e, -EBUSY, "drumd is stopping");
		host_refuse(h, done, ctx, &e);
		return;
	}
	/* the worker has that from us */
	if (h->dump.busy && h->dump.ctx == of)
		of = h;
	host_command(h, name, &(struct command){ .type = CMD_CANCEL, .of = of }, done, ctx);
}

void host_totals(struct host *h, struct host_stats *out)
{
	struct drum_device_stats dev[DRUM_DEVICES_MAX];
	size_t n = drum_stats(h->drum, dev, DRUM_DEVICES_MAX);

	*out = (struct host_stats){ .swap_devices = (uint32_t)n };
	out->uptime = clock_ns() - h->since;
	for (size_t i = 0; i < n; i++) {
		out->swap_size += dev[i].blocks << SWAP_BLOCK_SHIFT;
		out->swap_used += dev[i].used << SWAP_BLOCK_SHIFT;
	}
	for (struct guest *g = h->guests; g; g = g->next) {
		struct guest_stats s;

		guest_get_stats(g, &s);
		out->guests++;
		out->size += s.size;
		out->resident += s.resident;
		out->swapped += s.swapped;
		out->zero += s.zero;
		out->faults += s.faults;
		out->pages_in += s.pages_in;
		out->pages_out += s.pages_out;
		out->pages_zero += s.pages_zero;
		out->pages_discarded += s.pages_discarded;
		out->read_errors += s.read_errors;
		out->write_errors += s.write_errors;
	}
}

/* Stopping. */

static void stop_step(struct host *h)
{
	struct proto_msg m = { .type = MSG_STOPPED };

	if (h->stop_left > 0)
		return;
	m.err = h->stop_err;
	h->stopping = false;
	h->stopped = m.err.code == 0;
	if (!h->stopped)
		host_cache_resume(h);
	h->forgotten = h->stopped && !h->leave && h->waiting == 0 && !h->unknown;
	if (h->forgotten) {
		host_cache_forget(h);
		host_swap_forget(h);
		host_disk_forget(h);
	}
	if (h->stopped && !h->leave)
		host_dump_forget(h);
	(void)!host_ask_keeper(h, &m);
	if (!h->stopped)
		host_front_look(h);
	else if (!h->unsent)
		loop_stop(h->opt.loop);
}

static void guest_stopped(void *ctx, const struct err *e)
{
	struct host *h = ctx;

	if (e->code && e->code != -ESRCH && !h->stop_err.code)
		h->stop_err = *e;
	h->stop_left--;
	stop_step(h);
}

/* What all guests need to be paged in, against the RAM that there is. */
static bool all_fits(struct host *h)
{
	struct host_stats total;
	uint64_t have;

	host_totals(h, &total);
	if (meminfo_fits(total.swapped, &have))
		return true;
	err_set(&h->stop_err, -ENOMEM,
		"%llu MiB are swapped and do not fit into the %llu MiB of RAM that are "
		"available: "
		"free some, or start drumd with --leave and stop it then",
		(unsigned long long)total.swapped >> 20, (unsigned long long)have >> 20);
	return false;
}

static void begin_stop(struct host *h, enum stop_how how)
{
	bool leave = how != STOP_DETACH;

	if (h->stopping)
		return;
	h->stopping = true;
	h->leave = leave;
	h->stop_left = 0;
	h->stop_err = (struct err){ 0 };
	host_cache_quiesce(h);
	if (leave || (host_front_check(h, NULL, &h->stop_err) == 0 && all_fits(h))) {
		struct guest *next;

		for (struct guest *g = h->guests; g; g = next) {
			next = g->next;
			if (__atomic_load_n(&g->state, __ATOMIC_ACQUIRE) == GUEST_STARTING) {
				if (how == STOP_REPLACE)
					continue;
				err_set(&h->stop_err, -EBUSY,
					"guest %s is just being attached: stop again", g->name);
				continue;
			}
			h->stop_left++;
			command(h, g->name, leave || g->waits ? CMD_LEAVE : CMD_DETACH, 0,
				guest_stopped, h);
		}
	}
	stop_step(h);
}

/* Allocate again, once all that was allocated before the start is known. */
static void open_drum(struct host *h)
{
	if (!h->closed || !h->adopted_all || h->adopting > 0)
		return;
	if (h->opt.since && !h->paused)
		h->paused = clock_ns() - h->opt.since;
	host_tell_restarted(h);
	if (h->unknown) {
		log_err("nothing is paged out: a guest of an earlier daemon has blocks that "
			"are not "
			"known; end it, and start drumd again");
		return;
	}
	point_crash("adopted-all");
	h->closed = false;
	host_cache_claim(h);
	host_swap_claimed(h);
	drum_set_closed(h->drum, false);
}

static void guest_serving(struct host *h, const struct report *r)
{
	struct guest *g = r->guest;

	if (g->adopted || r->err.code == 0)
		host_share_served(h, g->name);
	if (g->adopted) {
		h->adopting--;
		g->reported = true;
		g->waits = r->err.code != 0;
		h->waiting += g->waits;
		h->unknown |= r->err.code != 0 && !g->recovered;
		open_drum(h);
	}
	/* before who has attached it is answered, and sets something of it */
	if (r->err.code == 0)
		host_tell_serving(h, g);
	for (struct request *q = h->requests; q; q = q->next)
		if (q->guest == g) {
			host_end_request(h, q, &r->err);
			break;
		}
	host_front_look(h);
}

static void guest_ended(struct host *h, struct guest *g)
{
	bool told = g->told_serving, left = g->left || g->state == GUEST_WAITING;
	enum guest_end how = g->end;
	char name[sizeof(g->name)];
	struct err e = { 0 };

	snprintf(name, sizeof(name), "%s", g->name);

	if (g->waits && g->state == GUEST_GONE)
		h->waiting--;
	/* it was let go of while it was handed over */
	if (g->adopted && !g->reported) {
		h->adopting--;
		open_drum(h);
	}
	for (struct request *q = h->requests; q; q = q->next)
		if (q->guest == g) {
			err_set(&e, -ESRCH, "guest %s ended before it was attached", g->name);
			host_end_request(h, q, &e);
			break;
		}
	host_front_guest_ended(h, g);
	remove_guest(h, g);
	host_share_end(h, name, left);
	/* the next pager has it, with all that was said of it */
	if (told && !left)
		host_tell_ended(h, name, how);
	host_front_look(h);
}

static void adopt(struct host *h, const struct proto_msg *m, int chan)
{
	struct err e = { 0 };

	h->adopted++;
	if (start_guest(h, m, chan, true, &e)) {
		h->adopting++;
		return;
	}
	log_err("guest %s waits: %s", m->u.name, e.text);
	h->waiting++;
	h->unknown = true;
}

/* Being replaced. */

void host_reexec(struct host *h, host_done_fn done, void *ctx)
{
	struct proto_msg m = { .type = MSG_REEXEC };
	struct request *r;
	struct err e = { 0 };
	int ret;

	if (h->stopping)
		err_set(&e, -EBUSY, "the daemon is stopping");
	else if (!h->adopted_all || h->adopting > 0)
		err_set(&e, -EBUSY, "guests are just being taken over: try again");
	if (e.code) {
		host_refuse(h, done, ctx, &e);
		return;
	}
	r = host_new_request(h, done, ctx);
	m.seq = r->seq;
	ret = host_ask_keeper(h, &m);
	if (ret < 0) {
		r->done = NULL;
		err_set(&e, ret, "the keeper does not answer: %s", strerror(-ret));
		host_end_request(h, r, &e);
		host_refuse(h, done, ctx, &e);
	}
}

static void reexec_refused(struct host *h, const struct proto_msg *m)
{
	struct request *r = host_find_request(h, m->seq);

	if (r)
		host_end_request(h, r, &m->err);
}

void host_daemon(struct host *h, struct host_daemon *out)
{
	*out = h->opt.daemon;
	out->busy = !h->adopted_all || h->adopting > 0;
	out->waiting = (uint32_t)h->waiting;
	out->paused = h->paused;
	out->events_dropped = __atomic_load_n(&h->events_dropped, __ATOMIC_RELAXED);
	out->log_lost = log_lost();
}

/* The loop's side. */

static void tell_event(struct host *h, const struct report *r)
{
	struct host_event event = { .name = r->event };

	if (!h->event)
		return;
	for (int i = 0; i < HOST_EVENT_FIELDS && r->key[i]; i++)
		event.field[i] = (struct host_event_field){
			.key = r->key[i],
			.text = i < 3 && r->text[i][0] ? r->text[i] : NULL,
			.number = r->number[i],
		};
	h->event(h->event_arg, &event);
}

void host_on_event(struct host *h, host_event_fn fn, void *arg)
{
	h->event = fn;
	h->event_arg = arg;
}

static void on_reports(void *arg, uint32_t events)
{
	struct host *h = arg;
	struct report *r, *next;
	uint64_t n, lost;

	(void)events;
	(void)!read(h->report_fd, &n, sizeof(n));
	pthread_mutex_lock(&h->report_lock);
	lost = h->events_lost;
	h->events_lost = 0;
	r = h->reports;
	h->reports = NULL;
	h->reports_tail = &h->reports;
	pthread_mutex_unlock(&h->report_lock);
	for (; r; r = next) {
		next = r->next;
		if (r->type == REPORT_COMPLETED) {
			r->cmd->done(r->cmd->ctx, &r->cmd->err);
			free(r->cmd);
		} else if (r->type == REPORT_REFUSED) {
			r->done(r->ctx, &r->err);
		} else if (r->type == REPORT_EVENT) {
			tell_event(h, r);
		} else if (r->type == REPORT_CONTESTED) {
			contested(h, r);
		} else if (r->type == REPORT_CONNECTED) {
			host_swap_connected(h, r->ctx);
		} else if (r->type == REPORT_DISK) {
			r->disk(h, r->ctx, &r->err);
		} else if (r->type == REPORT_SERVING) {
			guest_serving(h, r);
		} else {
			guest_ended(h, r->guest);
		}
		free_report(h, r);
	}
	if (lost > 0)
		log_warn("%llu events came too fast to be told", (unsigned long long)lost);
}

static void on_keeper(void *arg, uint32_t events)
{
	struct host *h = arg;
	struct proto_msg m;
	int fds[IPC_FDS_MAX], nfds;
	ssize_t n;

	if (events & EPOLLOUT)
		send_unsent(h);
	if (!(events & ~(uint32_t)EPOLLOUT))
		return;
	n = ipc_recv(h->opt.keeper, &m, sizeof(m), fds, &nfds);
	if (n != (ssize_t)sizeof(m)) {
		log_err("the keeper is gone; guests wait for the next one");
		loop_stop(h->opt.loop);
		return;
	}
	switch (m.type) {
	case MSG_ATTACHED:
		attached(h, &m, fds[0]);
		return;
	case MSG_SWAP_OPENED:
		(m.u.swap.dump ? host_dump_opened : host_swap_opened)(h, &m, fds[0]);
		return;
	case MSG_DISK_OPENED:
		host_disk_opened(h, &m, fds, nfds);
		return;
	case MSG_SWAP_LOOKED:
		host_swap_looked(h, &m);
		break;
	case MSG_ADOPT:
		adopt(h, &m, fds[0]);
		return;
	case MSG_REEXECED:
		reexec_refused(h, &m);
		break;
	case MSG_ADOPTED_ALL:
		h->adopted_all = true;
		h->unknown |= m.id != 0;
		open_drum(h);
		host_front_look(h);
		break;
	case MSG_DISK_ADD:
	case MSG_DISK_SET:
	case MSG_SWAPCACHE:
	case MSG_HOST:
	case MSG_PAGING:
	case MSG_SWAP_ADD:
	case MSG_SWAP_SET:
	case MSG_DUMP_ADD:
	case MSG_DUMP_SET:
	case MSG_LOG_LEVEL:
	case MSG_CONFIG_LINE:
	case MSG_CONFIGURED:
		host_config_from(h, &m);
		break;
	case MSG_STOP:
		begin_stop(h, (enum stop_how)m.id);
		break;
	default:
		log_err("unexpected message %u from the keeper", m.type);
	}
	for (int i = 0; i < nfds; i++)
		close(fds[i]);
}

bool host_stopped(const struct host *h)
{
	return h->stopped;
}

bool host_forgotten(const struct host *h)
{
	return h->forgotten;
}

int host_create(const struct host_options *options, struct host **out, struct err *e)
{
	struct host *h = calloc(1, sizeof(*h));
	struct err pin = { 0 };
	int ret;

	if (!h)
		return err_set(e, -ENOMEM, "out of memory");
	h->opt = *options;
	h->since = clock_ns();
	h->reports_tail = &h->reports;
	for (unsigned int i = 0; i < REPORTS; i++) {
		h->report[i].next = h->free_reports;
		h->free_reports = &h->report[i];
	}
	h->nfree_reports = REPORTS;
	memlock_touch(h->report, sizeof(h->report));
	pthread_mutex_init(&h->report_lock, NULL);
	h->ops = (struct guest_ops){ on_completed,    on_serving,     on_ended,
				     on_page,	      on_quarantined, on_contested,
				     host_front_over, on_stalled,     h };
	h->report_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	h->drum = drum_create();
	if (h->report_fd < 0 || !h->drum ||
	    !loop_add(options->loop, h->report_fd, EPOLLIN, on_reports, h) ||
	    !host_watch_init(h))
		return err_set(e, -ENOMEM, "cannot start: %s", strerror(errno));
	h->closed = true;
	drum_set_closed(h->drum, true);
	ret = uffd_probe(options->dev_uffd, e);
	if (ret == 0)
		ret = host_swap_init(h, e);
	if (ret == 0)
		ret = host_dump_init(h, e);
	if (ret == 0) {
		host_cache_init(h);
		ret = host_disk_init(h, e);
	}
	if (ret == 0)
		host_cache_sweep(h);
	if (ret == 0 && pincheck_open(&h->paging.pincheck, &pin) < 0)
		log_warn(
			"no pin check: %s; VMMs with files open O_DIRECT, or VFIO, are refused",
			pin.text);
	*out = h;
	return ret;
}

int host_serve(struct host *h, struct err *e)
{
	struct proto_msg m = { .type = MSG_READY, .id = h->paging.pincheck != NULL };
	int ret;

	h->keeper_watch = loop_add(h->opt.loop, h->opt.keeper, EPOLLIN, on_keeper, h);
	if (!h->keeper_watch)
		return err_set(e, -errno, "cannot watch the keeper: %s", strerror(errno));
	ret = host_ask_keeper(h, &m);
	return ret < 0 ? err_set(e, ret, "the keeper does not answer: %s", strerror(-ret)) : 0;
}
