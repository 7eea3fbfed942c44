/* SPDX-License-Identifier: BSD-2-Clause */
/* This is a fake: see its header. */
#include "unit/fake_host.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#define LIST_MAX 64

enum call_kind { ATTACH, DETACH, SET, OUT, IN, SWAP_ON, N_KINDS };

static const char *const kind_names[] = { "guest-attach", "guest-detach", "guest-set",
					  "guest-out",	  "guest-in",	  "swap-on" };
_Static_assert(sizeof(kind_names) / sizeof(kind_names[0]) == N_KINDS, "a name each");

struct call {
	STAILQ_ENTRY(call) link;
	enum call_kind kind;
	char name[SWAP_PATH_MAX + 1];
	uint64_t number;
	host_done_fn done;
	void *ctx;
};

struct host {
	struct loop *loop;
	struct loop_watch *watch;
	int eventfd;
	bool manual;
	STAILQ_HEAD(, call) calls;
	size_t pending;
	struct guest_stats guests[LIST_MAX];
	size_t nguests;
	struct swap_stats swaps[LIST_MAX];
	size_t nswaps;
	const char *refuse_call, *refuse_text;
	int refuse_code;
	char log[FAKE_LOG_MAX];
};

static struct guest_stats *find(struct host *h, const char *name)
{
	size_t i;

	for (i = 0; i < h->nguests; i++)
		if (!strcmp(h->guests[i].name, name))
			return &h->guests[i];
	return NULL;
}

static int do_attach(struct host *h, const struct call *c, struct err *e)
{
	struct guest_stats *g;

	if (c->number >= FAKE_PID_NONE)
		return err_set(e, -ESRCH, "no such process: %" PRIu64, c->number);
	if (find(h, c->name))
		return err_set(e, -EEXIST, "a guest is named '%s' already", c->name);
	if (h->nguests == LIST_MAX)
		return err_set(e, -EBUSY, "the fake is full");
	g = &h->guests[h->nguests++];
	*g = (struct guest_stats){
		.state = "running",
		.pid = (pid_t)c->number,
		.mappers = 1,
		.size = FAKE_GUEST_SIZE,
		.resident = FAKE_GUEST_SIZE / 4,
		.swapped = FAKE_GUEST_SIZE / 2,
		.zero = FAKE_GUEST_SIZE / 4,
		.limit = FAKE_GUEST_SIZE,
		.faults = 1000,
		.fault_p50 = 64949,
		.fault_p99 = 120950,
		.fault_max = 49000049,
	};
	snprintf(g->name, sizeof(g->name), "%.*s", GUEST_NAME_MAX, c->name);
	return 0;
}

static int do_guest(struct host *h, const struct call *c, struct err *e)
{
	struct guest_stats *g = find(h, c->name);

	if (!g)
		return err_set(e, -ENOENT, "no guest is named '%s'", c->name);
	if (c->kind == DETACH) {
		memmove(g, g + 1, (size_t)(&h->guests[--h->nguests] - g) * sizeof(*g));
	} else if (c->kind == SET) {
		if (c->number < FAKE_LIMIT_MIN)
			return err_set(e, -EINVAL, "limit %" PRIu64 " is below what is held",
				       c->number);
		g->limit = c->number;
	}
	return 0;
}

static int do_swap_on(struct host *h, const struct call *c, struct err *e)
{
	struct swap_stats *d;

	if (h->nswaps == LIST_MAX)
		return err_set(e, -EBUSY, "the fake is full");
	d = &h->swaps[h->nswaps++];
	*d = (struct swap_stats){ .type = "file", .priority = (int)c->number, .size = 1 << 30 };
	snprintf(d->path, sizeof(d->path), "%s", c->name);
	return 0;
}

static void log_call(struct host *h, const struct call *c)
{
	size_t used = strlen(h->log);

	if (c->kind == ATTACH || c->kind == SET || c->kind == SWAP_ON)
		snprintf(h->log + used, sizeof(h->log) - used, "%s %s %" PRIu64 ";",
			 kind_names[c->kind], c->name, c->number);
	else
		snprintf(h->log + used, sizeof(h->log) - used, "%s %s;", kind_names[c->kind],
			 c->name);
}

void fake_host_complete(struct host *h)
{
	struct call *c = STAILQ_FIRST(&h->calls);
	struct err e = { 0 };

	if (!c)
		return;
	STAILQ_REMOVE_HEAD(&h->calls, link);
	h->pending--;
	log_call(h, c);
	if (h->refuse_call && !strcmp(h->refuse_call, kind_names[c->kind])) {
		h->refuse_call = NULL;
		(void)err_set(&e, h->refuse_code, "%s", h->refuse_text);
	} else if (c->kind == ATTACH) {
		(void)do_attach(h, c, &e);
	} else if (c->kind == SWAP_ON) {
		(void)do_swap_on(h, c, &e);
	} else {
		(void)do_guest(h, c, &e);
	}
	c->done(c->ctx, &e);
	free(c);
}

static void wake(struct host *h)
{
	uint64_t one = 1;

	if (write(h->eventfd, &one, sizeof(one)) < 0)
		abort();
}

static void woken(void *arg, uint32_t events)
{
	struct host *h = arg;
	uint64_t n;

	(void)events;
	if (read(h->eventfd, &n, sizeof(n)) < 0)
		return;
	while (!h->manual && h->pending > 0)
		fake_host_complete(h);
}

struct host *fake_host_create(struct loop *loop)
{
	struct host *h = calloc(1, sizeof(*h));

	STAILQ_INIT(&h->calls);
	h->loop = loop;
	h->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	h->watch = loop_add(loop, h->eventfd, EPOLLIN, woken, h);
	if (h->eventfd < 0 || !h->watch)
		abort();
	return h;
}

void fake_host_destroy(struct host *h)
{
	while (h->pending > 0)
		fake_host_complete(h);
	loop_remove(h->watch);
	close(h->eventfd);
	free(h);
}

void fake_host_manual(struct host *h, bool manual)
{
	h->manual = manual;
}

size_t fake_host_pending(const struct host *h)
{
	return h->pending;
}

void fake_host_refuse(struct host *h, const char *call, int code, const char *text)
{
	h->refuse_call = call;
	h->refuse_code = code;
	h->refuse_text = text;
}

const char *fake_host_log(const struct host *h)
{
	return h->log;
}

static void queue(struct host *h, enum call_kind kind, const char *name, uint64_t number,
		  host_done_fn done, void *ctx)
{
	struct call *c = calloc(1, sizeof(*c));

	c->kind = kind;
	snprintf(c->name, sizeof(c->name), "%s", name);
	c->number = number;
	c->done = done;
	c->ctx = ctx;
	STAILQ_INSERT_TAIL(&h->calls, c, link);
	h->pending++;
	wake(h);
}

void host_guest_attach(struct host *h, pid_t pid, const char *name, host_done_fn done,
		       void *ctx)
{
	queue(h, ATTACH, name, (uint64_t)pid, done, ctx);
}

void host_guest_detach(struct host *h, const char *name, host_done_fn done, void *ctx)
{
	queue(h, DETACH, name, 0, done, ctx);
}

void host_guest_set_limit(struct host *h, const char *name, uint64_t bytes, host_done_fn done,
			  void *ctx)
{
	queue(h, SET, name, bytes, done, ctx);
}

void host_guest_out(struct host *h, const char *name, host_done_fn done, void *ctx)
{
	queue(h, OUT, name, 0, done, ctx);
}

void host_guest_in(struct host *h, const char *name, host_done_fn done, void *ctx)
{
	queue(h, IN, name, 0, done, ctx);
}

void host_swap_on(struct host *h, const char *path, int priority, host_done_fn done, void *ctx)
{
	queue(h, SWAP_ON, path, (uint64_t)priority, done, ctx);
}

size_t host_guest_stats(struct host *h, struct guest_stats *out, size_t max)
{
	size_t i;

	for (i = 0; i < h->nguests && i < max; i++)
		out[i] = h->guests[i];
	return h->nguests;
}

int host_guest_stats_one(struct host *h, const char *name, struct guest_stats *out)
{
	struct guest_stats *g = find(h, name);

	if (!g)
		return -ENOENT;
	*out = *g;
	return 0;
}

size_t host_swap_stats(struct host *h, struct swap_stats *out, size_t max)
{
	size_t i;

	for (i = 0; i < h->nswaps && i < max; i++)
		out[i] = h->swaps[i];
	return h->nswaps;
}

void host_totals(struct host *h, struct host_stats *out)
{
	*out = (struct host_stats){
		.guests = (uint32_t)h->nguests,
		.swap_devices = (uint32_t)h->nswaps,
		.size = h->nguests * FAKE_GUEST_SIZE,
		.swap_size = h->nswaps << 30,
		.uptime = 1500000,
	};
}
