/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * The control thread owns struct host.  Workers report on their own threads:
 * a report is put into a list and told to the loop by an eventfd, so that
 * everything that touches the list of guests, and every done callback, is on
 * the control thread.
 *
 * What is asked of the keeper gets a number; its answer finds the request by
 * it.  An attachment has two halves: the keeper's answer brings the guest
 * channel, and the worker's report that it serves (or why not) ends it.
 *
 * The file swap-devices in the run directory holds what is on, with the
 * device numbers that guests' addresses hold.  It is written before the first
 * block of a device can be allocated, and replaced as a whole.
 *
 * To stop, every guest is detached, or left.  If one cannot be, those that
 * were stay detached, and we go on.
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
#include "base/meminfo.h"
#include "swap/drum.h"
#include "vmm/guest.h"
#include "vmm/swapset.h"
#include "vmm/uffd.h"

/* Something that a caller waits for. */
struct request {
	struct request *next;
	uint32_t seq;
	struct guest *guest; /* attach: once the worker was started */
	host_done_fn done;
	void *ctx;
};

enum report_type { REPORT_COMPLETED, REPORT_SERVING, REPORT_ENDED, REPORT_REFUSED };

struct report {
	struct report *next;
	enum report_type type;
	struct guest *guest;
	struct command *cmd;
	host_done_fn done; /* REFUSED */
	void *ctx;
	struct err err;
};

struct host {
	struct host_options opt;
	struct swapset_entry missing[DRUM_DEVICES_MAX]; /* were on, cannot be opened */
	size_t nmissing;
	unsigned int adopting; /* adopted guests that have not reported yet */
	bool adopted_all, unknown, closed;
	unsigned int waiting; /* adopted guests that cannot be served */
	struct drum *drum;
	struct guest_ops ops;
	struct guest *guests; /* in the order of attachment */
	struct request *requests;
	uint32_t seq;
	uint64_t since;

	bool stopping, stopped, leave;
	unsigned int stop_left; /* guests that have not answered */
	struct err stop_err;

	int report_fd;
	pthread_mutex_t report_lock;		/* leaf */
	struct report *reports, **reports_tail; /* [report_lock] */
};

/* Reports: from any thread. */

static void post_report(struct host *h, struct report *r)
{
	uint64_t one = 1;

	r->next = NULL;
	pthread_mutex_lock(&h->report_lock);
	*h->reports_tail = r;
	h->reports_tail = &r->next;
	pthread_mutex_unlock(&h->report_lock);
	(void)!write(h->report_fd, &one, sizeof(one));
}

static struct report *new_report(enum report_type type)
{
	struct report *r = calloc(1, sizeof(*r));

	/* a few hundred bytes, seldom: without them nobody can be answered */
	if (!r)
		abort();
	r->type = type;
	return r;
}

static void on_completed(void *arg, struct command *cmd)
{
	struct report *r = new_report(REPORT_COMPLETED);

	r->cmd = cmd;
	post_report(arg, r);
}

static void on_serving(void *arg, struct guest *g, const struct err *e)
{
	struct report *r = new_report(REPORT_SERVING);

	r->guest = g;
	r->err = *e;
	post_report(arg, r);
}

static void on_ended(void *arg, struct guest *g)
{
	struct report *r = new_report(REPORT_ENDED);

	r->guest = g;
	post_report(arg, r);
}

/* Answer from the loop, since a done function must not run in its own call. */
static void refuse(struct host *h, host_done_fn done, void *ctx, const struct err *e)
{
	struct report *r = new_report(REPORT_REFUSED);

	r->done = done;
	r->ctx = ctx;
	r->err = *e;
	post_report(h, r);
}

/* Requests. */

static struct request *new_request(struct host *h, host_done_fn done, void *ctx)
{
	struct request *r = calloc(1, sizeof(*r));

	if (!r)
		abort();
	*r = (struct request){ .next = h->requests, .seq = ++h->seq, .done = done, .ctx = ctx };
	h->requests = r;
	return r;
}

static void end_request(struct host *h, struct request *r, const struct err *e)
{
	struct request **at = &h->requests;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	if (r->done)
		r->done(r->ctx, e);
	free(r);
}

static struct request *find_request(struct host *h, uint32_t seq)
{
	struct request *r = h->requests;

	while (r && r->seq != seq)
		r = r->next;
	return r;
}

static int ask_keeper(struct host *h, const struct proto_msg *m)
{
	return ipc_send(h->opt.keeper, m, sizeof(*m), NULL, 0);
}

/* Guests. */

static struct guest *find_guest(struct host *h, const char *name)
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

static bool name_ok(const char *name)
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

	if (!name_ok(name))
		err_set(&e, -EINVAL,
			"'%s' is no name for a guest: it is 1 to %d characters of "
			"A-Z a-z 0-9 _ . - and does not begin with a dot",
			name, GUEST_NAME_MAX);
	else if (find_guest(h, name))
		err_set(&e, -EEXIST, "a guest is named '%s' already", name);
	else if (pid <= 0)
		err_set(&e, -ESRCH, "no such process: %d", (int)pid);
	else if (h->stopping)
		err_set(&e, -EBUSY, "the daemon is stopping");
	if (e.code) {
		refuse(h, done, ctx, &e);
		return;
	}
	r = new_request(h, done, ctx);
	m.seq = r->seq;
	snprintf(m.u.name, sizeof(m.u.name), "%s", name);
	ret = ask_keeper(h, &m);
	if (ret < 0) {
		r->done = NULL;
		err_set(&e, ret, "the keeper does not answer: %s", strerror(-ret));
		end_request(h, r, &e);
		refuse(h, done, ctx, &e);
	}
}

static struct guest *start_guest(struct host *h, const struct proto_msg *m, int chan,
				 bool adopted, struct err *e)
{
	struct guest *g = guest_start(m->u.name, m->pid, chan, adopted, m->bytes, h->drum,
				      h->opt.dev_uffd, h->opt.dir_fd, &h->ops);

	if (g)
		add_guest(h, g);
	else
		err_set(e, -errno, "cannot start a worker: %s", strerror(errno));
	return g;
}

static void attached(struct host *h, const struct proto_msg *m, int chan)
{
	struct request *r = find_request(h, m->seq);
	struct err e = m->err;

	if (e.code == 0) {
		struct guest *g = start_guest(h, m, chan, false, &e);

		if (g && r)
			r->guest = g; /* answered by on_serving's report */
	}
	if (e.code && r)
		end_request(h, r, &e);
}

static void command(struct host *h, const char *name, enum command_type type, uint64_t value,
		    host_done_fn done, void *ctx)
{
	struct guest *g = find_guest(h, name);
	struct command *cmd;
	struct err e = { 0 };

	if (!g || __atomic_load_n(&g->state, __ATOMIC_ACQUIRE) == GUEST_STARTING) {
		err_set(&e, -ENOENT, "no guest is named '%s'", name);
		refuse(h, done, ctx, &e);
		return;
	}
	cmd = calloc(1, sizeof(*cmd));
	if (!cmd)
		abort();
	*cmd = (struct command){
		.guest = g, .type = type, .value = value, .done = done, .ctx = ctx
	};
	guest_post(g, cmd);
}

void host_guest_detach(struct host *h, const char *name, host_done_fn done, void *ctx)
{
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

size_t host_guest_stats(struct host *h, struct guest_stats *out, size_t max)
{
	size_t n = 0;

	for (struct guest *g = h->guests; g; g = g->next, n++)
		if (n < max)
			guest_get_stats(g, &out[n]);
	return n;
}

int host_guest_stats_one(struct host *h, const char *name, struct guest_stats *out)
{
	struct guest *g = find_guest(h, name);

	if (!g)
		return -ENOENT;
	guest_get_stats(g, out);
	return 0;
}

/* Swap. */

/* Write down what is on, what is missing, and what is about to be on. */
static int save_swap(struct host *h, const struct proto_msg *add, unsigned int number)
{
	struct drum_device_stats dev[DRUM_DEVICES_MAX];
	struct swapset_entry set[2 * DRUM_DEVICES_MAX + 1];
	size_t n = drum_stats(h->drum, dev, DRUM_DEVICES_MAX), count = 0;

	for (size_t i = 0; i < n; i++)
		set[count++] =
			(struct swapset_entry){ dev[i].number, dev[i].priority, dev[i].dev->dev,
						dev[i].dev->ino, dev[i].dev->path };
	for (size_t i = 0; i < h->nmissing; i++)
		if (h->missing[i].number != number)
			set[count++] = h->missing[i];
	set[count++] = (struct swapset_entry){ number, add->u.swap.priority, add->u.swap.dev,
					       add->u.swap.ino, (char *)add->u.swap.path };
	return swapset_save(h->opt.dir_fd, set, count);
}

/* The number of a device: the one that it had, or the first that is free. */
static unsigned int choose_number(struct host *h, const struct proto_msg *m)
{
	struct drum_device_stats dev[DRUM_DEVICES_MAX];
	size_t n = drum_stats(h->drum, dev, DRUM_DEVICES_MAX);
	bool used[DRUM_DEVICES_MAX + 1] = { false };
	unsigned int number = 1;

	for (size_t i = 0; i < n; i++)
		used[dev[i].number] = true;
	for (size_t i = 0; i < h->nmissing; i++) {
		if (h->missing[i].dev == m->u.swap.dev && h->missing[i].ino == m->u.swap.ino)
			return h->missing[i].number;
		used[h->missing[i].number] = true;
	}
	while (number <= DRUM_DEVICES_MAX && used[number])
		number++;
	return number;
}

static void not_missing(struct host *h, unsigned int number)
{
	for (size_t i = 0; i < h->nmissing; i++)
		if (h->missing[i].number == number) {
			free(h->missing[i].path);
			h->missing[i] = h->missing[--h->nmissing];
			return;
		}
}

/* number 0: a new one, which is saved first */
static int add_swap(struct host *h, const struct proto_msg *m, int fd, unsigned int number,
		    struct err *e)
{
	struct proto_msg back = { .type = MSG_SWAP_CLOSE };
	struct swap_device *dev;
	int ret = 0;

	if (number == 0) {
		number = choose_number(h, m);
		ret = save_swap(h, m, number);
	}
	dev = device_file_create(m->u.swap.kind, m->u.swap.path, fd, m->u.swap.dev,
				 m->u.swap.ino, m->bytes, m->u.swap.skip);
	if (ret < 0)
		err_set(e, ret, "cannot write " SWAPSET_FILE " in the run directory: %s",
			strerror(-ret));
	else if (!dev)
		ret = err_set(e, -errno, "cannot use %s: %s", m->u.swap.path, strerror(errno));
	else
		ret = drum_add(h->drum, dev, m->u.swap.priority, number);
	if (ret > 0) {
		not_missing(h, number);
		log_info("swap: %s on, %llu MiB, priority %d", m->u.swap.path,
			 (unsigned long long)m->bytes >> 20, m->u.swap.priority);
		return 0;
	}
	if (!e->code) /* drum_add has closed dev */
		err_set(e, ret, "cannot switch on %s: %s", m->u.swap.path,
			ret == -EBUSY ? "it is a swap device already" : strerror(-ret));
	else if (dev)
		device_close(dev);
	back.u.swap.dev = m->u.swap.dev;
	back.u.swap.ino = m->u.swap.ino;
	(void)!ask_keeper(h, &back);
	return ret;
}

void host_swap_on(struct host *h, const char *path, int priority, host_done_fn done, void *ctx)
{
	struct proto_msg m = { .type = MSG_SWAP_OPEN };
	struct request *r;
	struct err e = { 0 };
	int ret = 0;

	if (path[0] != '/')
		ret = err_set(&e, -EINVAL, "'%s' is not an absolute path", path);
	else if (strlen(path) > SWAP_PATH_MAX || strchr(path, '\n'))
		ret = err_set(&e, -EINVAL, "that path is too long, or has a line break in it");
	if (ret == 0) {
		r = new_request(h, done, ctx);
		m.seq = r->seq;
		m.u.swap.priority = priority;
		snprintf(m.u.swap.path, sizeof(m.u.swap.path), "%s", path);
		ret = ask_keeper(h, &m);
		if (ret == 0)
			return;
		r->done = NULL;
		err_set(&e, ret, "the keeper does not answer: %s", strerror(-ret));
		end_request(h, r, &e);
	}
	refuse(h, done, ctx, &e);
}

static void swap_opened(struct host *h, const struct proto_msg *m, int fd)
{
	struct request *r = find_request(h, m->seq);
	struct err e = m->err;

	if (e.code == 0)
		add_swap(h, m, fd, 0, &e);
	if (r)
		end_request(h, r, &e);
}

/* A device of the configuration file may still be on from before. */
static void log_result(void *ctx, const struct err *e)
{
	(void)ctx;
	if (e->code)
		log_at(e->code == -EBUSY ? LOG_LVL_INFO : LOG_LVL_ERROR, "%s", e->text);
}

/* Ask for a device and wait: at start, when nothing else is under way. */
static int reopen(struct host *h, const struct swapset_entry *was, struct err *e)
{
	struct proto_msg m = { .type = MSG_SWAP_OPEN };
	int fds[IPC_FDS_MAX], nfds, ret;

	m.u.swap.again = 1;
	m.u.swap.priority = was->priority;
	snprintf(m.u.swap.path, sizeof(m.u.swap.path), "%s", was->path);
	ret = ask_keeper(h, &m);
	if (ret < 0 ||
	    ipc_recv(h->opt.keeper, &m, sizeof(m), fds, &nfds) != (ssize_t)sizeof(m) ||
	    m.type != MSG_SWAP_OPENED)
		return err_set(e, -EPIPE, "the keeper does not answer");
	if (m.err.code) {
		*e = m.err;
		return m.err.code;
	}
	if (m.u.swap.dev != was->dev || m.u.swap.ino != was->ino) {
		close(fds[0]);
		return err_set(e, -ENXIO, "%s is not what it was when it was switched on",
			       was->path);
	}
	return add_swap(h, &m, fds[0], was->number, e);
}

static int reopen_all(struct host *h, struct err *e)
{
	struct swapset_entry set[DRUM_DEVICES_MAX];
	int n = swapset_read(h->opt.dir_fd, set, DRUM_DEVICES_MAX), ret = 0;

	if (n < 0)
		return err_set(e, n, "cannot read " SWAPSET_FILE " in the run directory: %s",
			       strerror(-n));
	for (int i = 0; i < n; i++) {
		ret = ret == -EPIPE ? ret : reopen(h, &set[i], e);
		if (ret == 0) {
			free(set[i].path);
			continue;
		}
		/* guests whose pages are on it will wait; the others need not */
		log_err("swap device %u is missing: %s", set[i].number, e->text);
		h->missing[h->nmissing++] = set[i];
	}
	return ret == -EPIPE ? ret : 0;
}

size_t host_swap_stats(struct host *h, struct swap_stats *out, size_t max)
{
	struct drum_device_stats dev[DRUM_DEVICES_MAX];
	size_t n = drum_stats(h->drum, dev, DRUM_DEVICES_MAX);

	for (size_t i = 0; i < n && i < max; i++) {
		const struct swap_device_counters *c = &dev[i].dev->count;

		out[i] = (struct swap_stats){
			.priority = dev[i].priority,
			.size = dev[i].blocks << SWAP_BLOCK_SHIFT,
			.used = dev[i].used << SWAP_BLOCK_SHIFT,
			.bad = dev[i].bad << SWAP_BLOCK_SHIFT,
			.inflight = c->inflight,
			.reads = c->reads,
			.writes = c->writes,
			.read_bytes = c->read_bytes,
			.write_bytes = c->write_bytes,
			.read_errors = c->read_errors,
			.write_errors = c->write_errors,
		};
		snprintf(out[i].path, sizeof(out[i].path), "%s", dev[i].dev->path);
		snprintf(out[i].type, sizeof(out[i].type), "%s", dev[i].dev->ops->kind);
	}
	return n;
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

static void on_level(void *arg, enum drum_level level)
{
	(void)arg;
	if (level == DRUM_FULL)
		log_err("swap is full: nothing more is paged out");
	else if (level == DRUM_LOW)
		log_warn("swap is low: fewer than %d blocks are free", DRUM_LOW_BLOCKS);
	else
		log_info("swap is ok");
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
	/* those that wait for a device need to know which */
	if (h->stopped && !h->leave && h->waiting == 0 && h->nmissing == 0)
		unlinkat(h->opt.dir_fd, SWAPSET_FILE, 0);
	(void)!ask_keeper(h, &m);
	if (h->stopped)
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

static void begin_stop(struct host *h, bool leave)
{
	if (h->stopping)
		return;
	h->stopping = true;
	h->leave = leave;
	h->stop_left = 0;
	h->stop_err = (struct err){ 0 };
	if (leave || all_fits(h)) {
		struct guest *next;

		for (struct guest *g = h->guests; g; g = next) {
			next = g->next;
			if (__atomic_load_n(&g->state, __ATOMIC_ACQUIRE) == GUEST_STARTING) {
				err_set(&h->stop_err, -EBUSY,
					"guest %s is just being attached: stop again", g->name);
				continue;
			}
			h->stop_left++;
			command(h, g->name, leave ? CMD_LEAVE : CMD_DETACH, 0, guest_stopped,
				h);
		}
	}
	stop_step(h);
}

/* Allocate again, once all that was allocated before the start is known. */
static void open_drum(struct host *h)
{
	if (!h->closed || !h->adopted_all || h->adopting > 0)
		return;
	if (h->unknown) {
		log_err("nothing is paged out: a guest of an earlier daemon has blocks that "
			"are not "
			"known; end it, and start drumd again");
		return;
	}
	h->closed = false;
	drum_set_closed(h->drum, false);
}

static void guest_serving(struct host *h, const struct report *r)
{
	struct guest *g = r->guest;

	if (g->adopted) {
		h->adopting--;
		h->waiting += r->err.code != 0;
		h->unknown |= r->err.code != 0 && !g->recovered;
		open_drum(h);
	}
	for (struct request *q = h->requests; q; q = q->next)
		if (q->guest == g) {
			end_request(h, q, &r->err);
			return;
		}
}

static void guest_ended(struct host *h, struct guest *g)
{
	struct err e = { 0 };

	for (struct request *q = h->requests; q; q = q->next)
		if (q->guest == g) {
			err_set(&e, -ESRCH, "guest %s ended before it was attached", g->name);
			end_request(h, q, &e);
			break;
		}
	remove_guest(h, g);
}

static void adopt(struct host *h, const struct proto_msg *m, int chan)
{
	struct err e = { 0 };

	if (start_guest(h, m, chan, true, &e)) {
		h->adopting++;
		return;
	}
	log_err("guest %s waits: %s", m->u.name, e.text);
	h->waiting++;
	h->unknown = true;
}

/* The loop's side. */

static void on_reports(void *arg, uint32_t events)
{
	struct host *h = arg;
	struct report *r, *next;
	uint64_t n;

	(void)events;
	(void)!read(h->report_fd, &n, sizeof(n));
	pthread_mutex_lock(&h->report_lock);
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
		} else if (r->type == REPORT_SERVING) {
			guest_serving(h, r);
		} else {
			guest_ended(h, r->guest);
		}
		free(r);
	}
}

static void on_keeper(void *arg, uint32_t events)
{
	struct host *h = arg;
	struct proto_msg m;
	int fds[IPC_FDS_MAX], nfds;
	ssize_t n = ipc_recv(h->opt.keeper, &m, sizeof(m), fds, &nfds);

	(void)events;
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
		swap_opened(h, &m, fds[0]);
		return;
	case MSG_ADOPT:
		adopt(h, &m, fds[0]);
		return;
	case MSG_ADOPTED_ALL:
		h->adopted_all = true;
		h->unknown |= m.id != 0;
		open_drum(h);
		break;
	case MSG_SWAP_ADD:
		host_swap_on(h, m.u.swap.path, m.u.swap.priority, log_result, NULL);
		break;
	case MSG_STOP:
		begin_stop(h, m.id != 0);
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

int host_create(const struct host_options *options, struct host **out, struct err *e)
{
	struct host *h = calloc(1, sizeof(*h));
	int ret;

	if (!h)
		return err_set(e, -ENOMEM, "out of memory");
	h->opt = *options;
	h->since = clock_ns();
	h->reports_tail = &h->reports;
	pthread_mutex_init(&h->report_lock, NULL);
	h->ops = (struct guest_ops){ on_completed, on_serving, on_ended, h };
	h->report_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	h->drum = drum_create();
	if (h->report_fd < 0 || !h->drum ||
	    !loop_add(options->loop, h->report_fd, EPOLLIN, on_reports, h))
		return err_set(e, -ENOMEM, "cannot start: %s", strerror(errno));
	h->closed = true;
	drum_set_closed(h->drum, true);
	ret = uffd_probe(options->dev_uffd, e);
	if (ret == 0)
		ret = reopen_all(h, e);
	drum_on_level(h->drum, on_level, h);
	*out = h;
	return ret;
}

int host_serve(struct host *h, struct err *e)
{
	struct proto_msg m = { .type = MSG_READY };
	int ret;

	if (!loop_add(h->opt.loop, h->opt.keeper, EPOLLIN, on_keeper, h))
		return err_set(e, -errno, "cannot watch the keeper: %s", strerror(errno));
	ret = ask_keeper(h, &m);
	return ret < 0 ? err_set(e, ret, "the keeper does not answer: %s", strerror(-ret)) : 0;
}
