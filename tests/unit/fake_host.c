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

#include "base/image_open.h"
#include "base/log.h"

#define LIST_MAX 64

enum call_kind {
	ATTACH,
	DETACH,
	SET,
	OUT,
	IN,
	MAP,
	CANCEL,
	SWAP_ON,
	SWAP_OFF,
	SWAP_OFF_CANCEL,
	SWAP_SET,
	SWAP_RESIZE,
	SWAP_MIRROR,
	DUMP_SET,
	DUMP_OFF,
	DUMP_GUEST,
	REEXEC,
	DISK_ADD,
	DISK_REMOVE,
	DISK_RESIZE,
	DISK_SET,
	ASK_CONFIG,
	RELOAD,
	DAEMON_SET,
	N_KINDS
};

static const char *const kind_names[] = {
	"guest-attach", "guest-detach",	 "guest-set",	  "guest-out",	 "guest-in",
	"guest-map",	"guest-cancel",	 "swap-on",	  "swap-off",	 "swap-off-cancel",
	"swap-set",	"swap-resize",	 "swap-mirror",	  "dump-set",	 "dump-off",
	"guest-dump",	"daemon-reexec", "disk-add",	  "disk-remove", "disk-resize",
	"disk-set",	"query-config",	 "config-reload", "daemon-set"
};
_Static_assert(sizeof(kind_names) / sizeof(kind_names[0]) == N_KINDS, "a name each");

struct call {
	STAILQ_ENTRY(call) link;
	enum call_kind kind;
	char name[SWAP_PATH_MAX + 1];
	char other[SWAP_PATH_MAX + 1]; /* half of a mirror, "" for none */
	uint64_t number;
	struct swap_on on; /* its strings are not kept */
	struct disk_stats disk;
	char vmm[GUEST_NAME_MAX + 1]; /* of disk-add, "" for none */
	unsigned int what;
	bool cancelled;
	host_done_fn done;
	host_config_fn config_done; /* instead */
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
	struct call *offs[LIST_MAX]; /* of swaps: its swap-off under way, or NULL */
	struct disk_stats disks[LIST_MAX];
	size_t ndisks;
	bool slow;
	uint64_t slow_step;
	struct paging_limits paging;
	struct swapcache_stats swapcache;
	uint64_t endurance[LIST_MAX]; /* of swaps */
	struct dump_stats dump;
	uint64_t dump_step;
	struct call *dumping; /* it is under way; or NULL */
	struct host_config config;
	struct host_config_line *config_lines;
	host_event_fn event;
	void *event_arg;
	const char *refuse_call, *refuse_text;
	int refuse_code;
	const char *warn_call, *warn_text;
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
	if (c->kind == CANCEL && !c->number)
		return err_set(e, -EINVAL, "guest %s: there is nothing to cancel any more",
			       c->name);
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

static struct swap_stats *find_swap(struct host *h, const char *path)
{
	size_t i;

	for (i = 0; i < h->nswaps; i++)
		if (!strcmp(h->swaps[i].path, path))
			return &h->swaps[i];
	return NULL;
}

static void fill_half(struct swap_half_stats *half, const char *path, const char *state)
{
	snprintf(half->path, sizeof(half->path), "%s", path);
	snprintf(half->state, sizeof(half->state), "%s", state);
}

static int do_swap_on(struct host *h, const struct call *c, struct err *e)
{
	struct swap_stats *d;
	const char *type = "file";

	if (h->nswaps == LIST_MAX)
		return err_set(e, -EBUSY, "the fake is full");
	if (find_swap(h, c->name))
		return err_set(e, -EBUSY, "%.64s is switched on already", c->name);
	if (c->other[0])
		type = "mirror";
	else if (!strncmp(c->name, "ram:", 4) || !strncmp(c->name, "nbd:", 4))
		type = c->name[0] == 'r' ? "ram" : "nbd";
	d = &h->swaps[h->nswaps++];
	*d = (struct swap_stats){
		.state = "on",
		.priority = c->on.priority,
		.size = 1 << 30,
		.used = h->slow ? FAKE_SWAP_USED : 0,
		.max_inflight = c->on.max_inflight,
		.max_bandwidth = c->on.max_bandwidth,
		.checksums = !c->on.no_checksums,
		.discard = c->on.discard,
	};
	h->endurance[d - h->swaps] = c->on.endurance;
	snprintf(d->type, sizeof(d->type), "%s", type);
	snprintf(d->path, sizeof(d->path), "%s", c->name);
	if (c->other[0]) {
		d->halves = 2;
		fill_half(&d->half[0], c->name, "whole");
		fill_half(&d->half[1], c->other, "whole");
	}
	return 0;
}

static void swap_gone(struct host *h, struct swap_stats *d)
{
	size_t i = (size_t)(d - h->swaps);
	struct host_event event = { .name = "SWAP_DEVICE_REMOVED",
				    .field = { { .key = "path", .text = d->path } } };

	fake_host_event(h, &event);
	h->nswaps--;
	memmove(d, d + 1, (h->nswaps - i) * sizeof(*d));
	memmove(&h->offs[i], &h->offs[i + 1], (h->nswaps - i) * sizeof(h->offs[0]));
	memmove(&h->endurance[i], &h->endurance[i + 1],
		(h->nswaps - i) * sizeof(h->endurance[0]));
	h->offs[h->nswaps] = NULL;
}

/* The answer to a swap-off that took a while. */
static void off_ends(struct host *h, struct swap_stats *d, const struct err *e)
{
	struct call *c = h->offs[d - h->swaps];

	h->offs[d - h->swaps] = NULL;
	if (e->code)
		strcpy(d->state, "on");
	else
		swap_gone(h, d);
	c->done(c->ctx, e);
	free(c);
}

/* => 1: the call is kept, it goes on */
static int do_swap(struct host *h, struct call *c, struct err *e)
{
	struct swap_stats *d = find_swap(h, c->name);

	if (!d)
		return err_set(e, -ENOENT, "no swap device is named %.64s", c->name);
	if (c->kind == SWAP_OFF && h->offs[d - h->swaps]) {
		return err_set(e, -EBUSY, "%.64s is being switched off already", c->name);
	} else if (c->kind == SWAP_OFF && h->slow) {
		strcpy(d->state, "removing");
		d->to_move = d->used;
		d->moved = 0;
		h->offs[d - h->swaps] = c;
		return 1;
	} else if (c->kind == SWAP_OFF) {
		swap_gone(h, d);
	} else if (c->kind == SWAP_OFF_CANCEL) {
		struct err cancelled;

		if (!h->offs[d - h->swaps])
			return err_set(e, -ENOENT, "%.64s is not being switched off", c->name);
		(void)err_set(&cancelled, -ECANCELED, "cancelled, %.64s stays on", c->name);
		off_ends(h, d, &cancelled);
	} else if (c->kind == SWAP_SET) {
		if (c->what & SWAP_SET_PRIORITY)
			d->priority = c->on.priority;
		if (c->what & SWAP_SET_INFLIGHT)
			d->max_inflight = c->on.max_inflight;
		if (c->what & SWAP_SET_BANDWIDTH)
			d->max_bandwidth = c->on.max_bandwidth;
		if (c->what & SWAP_SET_DISCARD)
			d->discard = c->on.discard;
		if (c->what & SWAP_SET_ENDURANCE)
			h->endurance[d - h->swaps] = c->on.endurance;
	} else if (c->kind == SWAP_MIRROR) {
		if (!d->halves)
			return err_set(e, -EINVAL, "%.64s is not a mirror", c->name);
		fill_half(&d->half[1], c->other, "mending");
		d->half[1].lacking = d->used;
	}
	return 0;
}

static void dump_ends(struct host *h)
{
	static const struct err success;
	struct call *c = h->dumping;

	h->dumping = NULL;
	c->done(c->ctx, &success);
	free(c);
}

/* => 1: the call is kept, it goes on */
static int do_dump(struct host *h, struct call *c, struct err *e)
{
	struct dump_stats *d = &h->dump;

	if (c->kind == DUMP_SET) {
		*d = (struct dump_stats){ .size = 1 << 30 };
		strcpy(d->path, c->name);
		return 0;
	}
	if (!d->path[0])
		return err_set(e, -ENOENT, "no dump device is set");
	if (c->kind == DUMP_OFF) {
		*d = (struct dump_stats){ 0 };
		return 0;
	}
	if (!find(h, c->name))
		return err_set(e, -ENOENT, "no guest is named '%s'", c->name);
	snprintf(d->guest, sizeof(d->guest), "%.*s", GUEST_NAME_MAX, c->name);
	d->time = 1000000000;
	d->bytes = FAKE_GUEST_SIZE;
	d->complete = true;
	if (h->dump_step)
		h->dumping = c;
	return h->dumping != NULL;
}

static struct disk_stats *find_disk(struct host *h, const char *name)
{
	size_t i;

	for (i = 0; i < h->ndisks; i++)
		if (!strcmp(h->disks[i].name, name))
			return &h->disks[i];
	return NULL;
}

static int do_disk(struct host *h, const struct call *c, struct err *e)
{
	struct disk_stats *d = find_disk(h, c->name);

	if (c->kind == DISK_ADD) {
		if (d)
			return err_set(e, -EEXIST, "a disk is named '%s' already", c->name);
		if (h->ndisks == LIST_MAX)
			return err_set(e, -ENOSPC, "the fake is full");
		h->disks[h->ndisks++] = c->disk;
		return 0;
	}
	if (!d)
		return err_set(e, -ENOENT, "no disk is named '%s'", c->name);
	if (c->kind == DISK_RESIZE) {
		d->size *= 2;
		return 0;
	}
	if (c->kind == DISK_SET) {
		memcpy(d->swapcache, c->disk.swapcache, sizeof(d->swapcache));
		return 0;
	}
	if (d->pid)
		return err_set(e, -EBUSY, "guest '%s' is connected to disk '%s'", d->guest,
			       c->name);
	memmove(d, d + 1, (size_t)(&h->disks[--h->ndisks] - d) * sizeof(*d));
	return 0;
}

static void log_disk(const struct call *c, char *to, size_t room)
{
	const struct disk_stats *d = &c->disk;

	snprintf(to, room, "%s %s", kind_names[c->kind], c->name);
	if (c->kind == DISK_ADD)
		snprintf(to + strlen(to), room - strlen(to),
			 " %s socket=%s serial=%s guest=%s %s queues=%" PRIu32 "%s%s", d->image,
			 d->socket, d->serial, c->vmm, d->cache, d->queues,
			 d->read_only ? " read-only" : "", d->map ? "" : " unmapped");
	/* of a new one only what is not so anyway */
	if (c->kind == DISK_SET || (c->kind == DISK_ADD && strcmp(d->swapcache, "auto") != 0))
		snprintf(to + strlen(to), room - strlen(to), " swapcache=%s", d->swapcache);
	snprintf(to + strlen(to), room - strlen(to), ";");
}

static void log_swap(const struct call *c, char *to, size_t room)
{
	const struct swap_on *on = &c->on;
	bool whole = c->kind == SWAP_ON;

	snprintf(to, room, "%s %s", kind_names[c->kind], c->name);
	if (c->other[0])
		snprintf(to + strlen(to), room - strlen(to), "+%s", c->other);
	if (whole || (c->what & SWAP_SET_PRIORITY))
		snprintf(to + strlen(to), room - strlen(to), " %d", on->priority);
	if (whole ? on->max_inflight : c->what & SWAP_SET_INFLIGHT)
		snprintf(to + strlen(to), room - strlen(to), " inflight=%" PRIu32,
			 on->max_inflight);
	if (whole ? on->max_bandwidth : c->what & SWAP_SET_BANDWIDTH)
		snprintf(to + strlen(to), room - strlen(to), " bandwidth=%" PRIu64,
			 on->max_bandwidth);
	if (whole ? on->discard : c->what & SWAP_SET_DISCARD)
		snprintf(to + strlen(to), room - strlen(to), " discard=%d", on->discard);
	if (whole ? on->has_endurance : c->what & SWAP_SET_ENDURANCE)
		snprintf(to + strlen(to), room - strlen(to), " endurance=%" PRIu64,
			 on->endurance);
	snprintf(to + strlen(to), room - strlen(to), "%s%s;",
		 on->no_checksums ? " unsummed" : "", on->force ? " force" : "");
}

static void log_call(struct host *h, const struct call *c)
{
	size_t used = strlen(h->log), room = sizeof(h->log) - used;

	if (c->kind >= DISK_ADD)
		log_disk(c, h->log + used, room);
	else if (c->kind >= DUMP_SET)
		snprintf(h->log + used, room, "%s%s%s%s;", kind_names[c->kind],
			 c->name[0] ? " " : "", c->name, c->on.force ? " force" : "");
	else if (c->kind >= SWAP_ON)
		log_swap(c, h->log + used, room);
	else if (c->kind == ATTACH || c->kind == SET)
		snprintf(h->log + used, room, "%s %s %" PRIu64 ";", kind_names[c->kind],
			 c->name, c->number);
	else
		snprintf(h->log + used, room, "%s %s;", kind_names[c->kind], c->name);
}

static void do_daemon_set(struct host *h, const struct call *c)
{
	if (c->what & DAEMON_SET_LOG_LEVEL)
		h->config.log_level = (int)c->number;
	if (c->what & DAEMON_SET_LEAVE)
		h->config.leave = c->on.force;
}

void fake_host_config_line(struct host *h, enum host_config_kind kind, const char *section,
			   const char *key, const char *text)
{
	struct host_config_line *l = calloc(1, sizeof(*l) + strlen(text) + 1), **at;

	l->kind = kind;
	snprintf(l->section, sizeof(l->section), "%s", section);
	snprintf(l->key, sizeof(l->key), "%s", key);
	strcpy(l->text, text);
	for (at = &h->config_lines; *at;)
		at = &(*at)->next;
	*at = l;
	h->config.lines = h->config_lines;
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
	} else if (c->cancelled) {
		(void)err_set(&e, -ECANCELED, "guest %s: cancelled", c->name);
	} else if (c->kind == ATTACH) {
		(void)do_attach(h, c, &e);
	} else if (c->kind == SWAP_ON) {
		(void)do_swap_on(h, c, &e);
	} else if (c->kind == REEXEC) {
		; /* answered, which the real one never does: nothing has come of it */
	} else if (c->kind == DAEMON_SET) {
		do_daemon_set(h, c);
	} else if (c->kind >= ASK_CONFIG) {
		; /* what there is is answered below */
	} else if (c->kind >= DISK_ADD) {
		(void)do_disk(h, c, &e);
	} else if (c->kind >= DUMP_SET) {
		if (do_dump(h, c, &e) == 1)
			return;
	} else if (c->kind >= SWAP_OFF) {
		if (do_swap(h, c, &e) == 1)
			return;
	} else {
		(void)do_guest(h, c, &e);
	}
	if (!e.code && h->warn_call && !strcmp(h->warn_call, kind_names[c->kind])) {
		h->warn_call = NULL;
		snprintf(e.text, sizeof(e.text), "%s", h->warn_text);
	}
	if (c->config_done)
		c->config_done(c->ctx, e.code ? NULL : &h->config, &e);
	else
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
	static const struct err success;
	struct host *h = arg;
	uint64_t n;
	size_t i;

	(void)events;
	if (read(h->eventfd, &n, sizeof(n)) < 0)
		return;
	while (!h->manual && h->pending > 0)
		fake_host_complete(h);
	for (i = h->nswaps; i-- > 0;)
		if (h->offs[i] && h->swaps[i].used == 0)
			off_ends(h, &h->swaps[i], &success);
	if (h->dumping && find(h, h->dumping->name)->dump_done == FAKE_GUEST_SIZE)
		dump_ends(h);
}

static void fake_swapcache(struct swapcache_stats *s)
{
	*s = (struct swapcache_stats){
		.state = "writing",
		.burst = "bursting",
		.swap_max = 10ull << 30,
		.used = 3ull << 30,
		.cached = 5ull << 29,
		.read_bytes = 8ull << 30,
		.hit_bytes = 7ull << 30,
		.reads = 100000,
		.saved_reads = 90000,
		.put = 4ull << 30,
		.cleaned = 1ull << 30,
		.invalidated = 1ull << 29,
		.read_errors = 3,
		.checksum_errors = 2,
		.write_errors = 1,
		.passes = 77,
	};
	for (enum swapcache_knob k = 0; k < SWAPCACHE_KNOBS; k++)
		s->knob[k] = swapcache_knob[k].def;
}

struct host *fake_host_create(struct loop *loop)
{
	struct host *h = calloc(1, sizeof(*h));

	STAILQ_INIT(&h->calls);
	h->paging = (struct paging_limits){ 65536, 8, 64, 8, 1 << 20, 30, 20, 256 };
	fake_swapcache(&h->swapcache);
	h->config = (struct host_config){ .file = "/etc/drum/drum.conf",
					  .run_dir = "/run/drum",
					  .state_dir = "/var/lib/drum",
					  .log_level = LOG_LVL_INFO };
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
	while (h->nswaps > 0) {
		struct err e = { .code = -ECANCELED, .text = "the end" };

		if (h->offs[--h->nswaps])
			off_ends(h, &h->swaps[h->nswaps], &e);
	}
	if (h->dumping)
		dump_ends(h);
	while (h->config_lines) {
		struct host_config_line *l = h->config_lines;

		h->config_lines = l->next;
		free(l);
	}
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

void fake_host_slow_off(struct host *h, uint64_t step)
{
	h->slow = true;
	h->slow_step = step;
}

void fake_host_fast_off(struct host *h)
{
	h->slow = false;
}

void fake_host_slow_dump(struct host *h, uint64_t step)
{
	h->dump_step = step;
}

void fake_host_warn(struct host *h, const char *call, const char *text)
{
	h->warn_call = call;
	h->warn_text = text;
}

void fake_host_event(struct host *h, const struct host_event *event)
{
	if (h->event)
		h->event(h->event_arg, event);
}

const char *fake_host_log(const struct host *h)
{
	return h->log;
}

static struct call *new_call(enum call_kind kind, const char *name, host_done_fn done,
			     void *ctx)
{
	struct call *c = calloc(1, sizeof(*c));

	c->kind = kind;
	snprintf(c->name, sizeof(c->name), "%s", name);
	c->done = done;
	c->ctx = ctx;
	return c;
}

static void enqueue(struct host *h, struct call *c)
{
	STAILQ_INSERT_TAIL(&h->calls, c, link);
	h->pending++;
	wake(h);
}

static void queue(struct host *h, enum call_kind kind, const char *name, uint64_t number,
		  host_done_fn done, void *ctx)
{
	struct call *c = new_call(kind, name, done, ctx);

	c->number = number;
	enqueue(h, c);
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

struct fake_map {
	uint32_t cells;
	host_map_fn done;
	void *ctx;
};

/* Cell i has i active pages more than its others' share, and cell 1 is half a minute old. */
static void fake_mapped(void *arg, const struct err *e)
{
	const uint64_t pages = FAKE_GUEST_SIZE / 4096;
	struct fake_map *m = arg;
	uint64_t each = (pages + m->cells - 1) / m->cells;
	struct guest_map map = { .size = FAKE_GUEST_SIZE, .cell_size = each * 4096 };
	struct guest_map_cell *cell = calloc(m->cells, sizeof(*cell));

	map.n = (uint32_t)((pages + each - 1) / each);
	map.cell = cell;
	for (uint32_t i = 0; i < map.n; i++)
		for (uint32_t k = 0; k < GUEST_MAP_KINDS; k++)
			cell[i].kind[k] = k * 10000 + i;
	if (map.n > 1)
		cell[1].age[1] = 8;
	m->done(m->ctx, e->code ? NULL : &map, e);
	free(cell);
	free(m);
}

void host_guest_map(struct host *h, const char *name, uint32_t cells, host_map_fn done,
		    void *ctx)
{
	struct fake_map *m = calloc(1, sizeof(*m));

	*m = (struct fake_map){ cells, done, ctx };
	queue(h, MAP, name, cells, fake_mapped, m);
}

/* A thousand faults, of which a half takes 2 to 4 us and one 20 s. */
int host_guest_latency(struct host *h, const char *name, struct latency_stats *out)
{
	if (!find(h, name))
		return -ENOENT;
	*out = (struct latency_stats){ .count = 1000,
				       .sum = 20000000000,
				       .max = 19999999999,
				       .p50 = 4095,
				       .p90 = 64949,
				       .p99 = 120950,
				       .p999 = 150050 };
	for (unsigned int i = 2; i < LATENCY_BUCKETS; i++)
		out->below[i] = i < 10 ? 500 : 999;
	out->below[LATENCY_BUCKETS - 1] = 1000;
	return 0;
}

size_t host_guest_swap(struct host *h, const char *name, struct guest_swap *out, size_t max)
{
	const struct guest_stats *g = find(h, name);

	if (!g || h->nswaps == 0)
		return 0;
	if (max > 0) {
		*out = (struct guest_swap){ .used = g->swapped };
		snprintf(out->path, sizeof(out->path), "%s", h->swaps[0].path);
	}
	return 1;
}

/* What it has not done yet, it will not do; the answers come in the order of the calls. */
void host_guest_cancel(struct host *h, const char *name, const void *of, host_done_fn done,
		       void *ctx)
{
	struct call *c;

	STAILQ_FOREACH (c, &h->calls, link)
		if (c->ctx == of && !c->cancelled)
			break;
	if (c)
		c->cancelled = true;
	queue(h, CANCEL, name, c != NULL, done, ctx);
}

void host_swap_on(struct host *h, const struct swap_on *on, host_done_fn done, void *ctx)
{
	struct call *c = new_call(SWAP_ON, on->path, done, ctx);

	c->on = *on;
	if (on->mirror)
		snprintf(c->other, sizeof(c->other), "%s", on->mirror);
	enqueue(h, c);
}

void host_swap_off(struct host *h, const char *path, host_done_fn done, void *ctx)
{
	queue(h, SWAP_OFF, path, 0, done, ctx);
}

void host_swap_off_cancel(struct host *h, const char *path, const void *of, host_done_fn done,
			  void *ctx)
{
	(void)of;
	queue(h, SWAP_OFF_CANCEL, path, 0, done, ctx);
}

void host_swap_set(struct host *h, const char *path, unsigned int what,
		   const struct swap_on *on, host_done_fn done, void *ctx)
{
	struct call *c = new_call(SWAP_SET, path, done, ctx);

	c->what = what;
	c->on = *on;
	enqueue(h, c);
}

void host_swap_resize(struct host *h, const char *path, host_done_fn done, void *ctx)
{
	queue(h, SWAP_RESIZE, path, 0, done, ctx);
}

void host_swap_mirror(struct host *h, const char *path, const char *fresh, bool force,
		      host_done_fn done, void *ctx)
{
	struct call *c = new_call(SWAP_MIRROR, path, done, ctx);

	snprintf(c->other, sizeof(c->other), "%s", fresh);
	c->on.force = force;
	enqueue(h, c);
}

void host_dump_set(struct host *h, const char *path, bool force, host_done_fn done, void *ctx)
{
	struct call *c = new_call(DUMP_SET, path, done, ctx);

	c->on.force = force;
	enqueue(h, c);
}

void host_dump_off(struct host *h, host_done_fn done, void *ctx)
{
	queue(h, DUMP_OFF, "", 0, done, ctx);
}

void host_guest_dump(struct host *h, const char *name, host_done_fn done, void *ctx)
{
	queue(h, DUMP_GUEST, name, 0, done, ctx);
}

void host_config_show(struct host *h, host_config_fn done, void *ctx)
{
	struct call *c = new_call(ASK_CONFIG, "", NULL, ctx);

	c->config_done = done;
	enqueue(h, c);
}

void host_config_reload(struct host *h, host_config_fn done, void *ctx)
{
	struct call *c = new_call(RELOAD, "", NULL, ctx);

	c->config_done = done;
	enqueue(h, c);
}

void host_daemon_set(struct host *h, unsigned int what, int level, bool leave,
		     host_done_fn done, void *ctx)
{
	struct call *c = new_call(DAEMON_SET, "", done, ctx);

	c->number = (uint64_t)level;
	c->on.force = leave;
	c->what = what;
	enqueue(h, c);
}

void host_disk_add(struct host *h, const struct disk_add *add, host_done_fn done, void *ctx)
{
	struct call *c = new_call(DISK_ADD, add->name, done, ctx);

	/* what was not given is "" here, so that the log tells it from what was */
	c->disk = (struct disk_stats){
		.state = "idle",
		.read_only = add->read_only,
		.map = !add->no_map,
		.size = FAKE_DISK_SIZE,
		.block_size = 512,
		.queues = add->queues,
		.read_bytes = 3 << 20,
		.reads = 5,
		.cached = 1 << 20,
		.cache_read_bytes = 2 << 20,
		.cache_hit_bytes = 1 << 19,
	};
	snprintf(c->disk.name, sizeof(c->disk.name), "%s", add->name);
	snprintf(c->disk.image, sizeof(c->disk.image), "%s", add->image);
	snprintf(c->disk.socket, sizeof(c->disk.socket), "%s", add->socket ? add->socket : "");
	snprintf(c->disk.serial, sizeof(c->disk.serial), "%s", add->serial ? add->serial : "");
	snprintf(c->disk.cache, sizeof(c->disk.cache), "%s",
		 image_cache_name((enum image_cache)add->cache));
	snprintf(c->disk.swapcache, sizeof(c->disk.swapcache), "%s",
		 swapcache_mode_name((enum swapcache_mode)add->swapcache));
	snprintf(c->vmm, sizeof(c->vmm), "%s", add->guest ? add->guest : "");
	enqueue(h, c);
}

void host_disk_remove(struct host *h, const char *name, host_done_fn done, void *ctx)
{
	queue(h, DISK_REMOVE, name, 0, done, ctx);
}

void host_disk_resize(struct host *h, const char *name, host_done_fn done, void *ctx)
{
	queue(h, DISK_RESIZE, name, 0, done, ctx);
}

void host_disk_set(struct host *h, const char *name, unsigned int what,
		   const struct disk_add *set, host_done_fn done, void *ctx)
{
	struct call *c = new_call(DISK_SET, name, done, ctx);

	if (what & DISK_SET_SWAPCACHE)
		snprintf(c->disk.swapcache, sizeof(c->disk.swapcache), "%s",
			 swapcache_mode_name((enum swapcache_mode)set->swapcache));
	enqueue(h, c);
}

size_t host_disk_stats(struct host *h, struct disk_stats *out, size_t max)
{
	size_t i;

	for (i = 0; i < h->ndisks && i < max; i++)
		out[i] = h->disks[i];
	return h->ndisks;
}

void fake_host_connect(struct host *h, const char *disk, const char *guest, pid_t pid)
{
	struct disk_stats *d = find_disk(h, disk);

	snprintf(d->state, sizeof(d->state), "%s", pid ? "connected" : "idle");
	snprintf(d->guest, sizeof(d->guest), "%s", pid ? guest : "");
	d->pid = pid;
}

void host_dump_stats(struct host *h, struct dump_stats *out)
{
	*out = h->dump;
}

void host_get_paging(struct host *h, struct paging_limits *out)
{
	*out = h->paging;
}

int host_set_paging(struct host *h, const struct paging_limits *limits, struct err *e)
{
	if (limits->cluster < 4096 || limits->cluster > 1 << 20)
		return err_set(e, -EINVAL, "a cluster of %" PRIu32 " is out of range",
			       limits->cluster);
	if (limits->depth < 1 || limits->depth > 32)
		return err_set(e, -EINVAL, "a depth of %" PRIu32 " is out of range",
			       limits->depth);
	h->paging = *limits;
	return 0;
}

void host_swapcache_stats(struct host *h, struct swapcache_stats *out)
{
	*out = h->swapcache;
}

int host_swapcache_set(struct host *h, uint32_t what, const uint64_t value[SWAPCACHE_KNOBS],
		       struct err *e)
{
	enum swapcache_knob k;

	for (k = 0; k < SWAPCACHE_KNOBS; k++)
		if ((what & 1u << k) && swapcache_knob_check(k, value[k], e) < 0)
			return -EINVAL;
	for (k = 0; k < SWAPCACHE_KNOBS; k++)
		if (what & 1u << k)
			h->swapcache.knob[k] = value[k];
	return 0;
}

void fake_host_swapcache(struct host *h, const struct swapcache_stats *stats)
{
	h->swapcache = *stats;
}

size_t host_wear_stats(struct host *h, struct wear_stats *out, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < h->nswaps; i++) {
		uint64_t budget = h->endurance[i];

		/* nothing wears out in memory */
		if (!strcmp(h->swaps[i].type, "ram") || n++ >= max)
			continue;
		out[n - 1] = (struct wear_stats){
			.endurance = budget,
			.written_1d = FAKE_WRITTEN,
			.written_7d = 2 * FAKE_WRITTEN,
			.written_28d = 3 * FAKE_WRITTEN,
			.left = !budget			? UINT64_MAX
				: budget > FAKE_WRITTEN ? budget - FAKE_WRITTEN
							: 0,
			.tightest = budget ? 1 : 0,
		};
		snprintf(out[n - 1].path, sizeof(out[n - 1].path), "%s", h->swaps[i].path);
	}
	return n;
}

void host_on_event(struct host *h, host_event_fn fn, void *arg)
{
	h->event = fn;
	h->event_arg = arg;
}

/* What is being switched off goes on; one that is done is answered when the loop runs next. */
static void move_some(struct host *h)
{
	size_t i;

	for (i = 0; i < h->nswaps; i++) {
		struct swap_stats *d = &h->swaps[i];
		uint64_t n = d->used < h->slow_step ? d->used : h->slow_step;

		if (!h->offs[i])
			continue;
		d->used -= n;
		d->moved += n;
		if (d->used == 0)
			wake(h);
	}
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
	if (h->dumping && g == find(h, h->dumping->name) && g->dump_done < FAKE_GUEST_SIZE) {
		g->dump_done += h->dump_step;
		if (g->dump_done == FAKE_GUEST_SIZE)
			wake(h);
	}
	return 0;
}

size_t host_swap_stats(struct host *h, struct swap_stats *out, size_t max)
{
	size_t i;

	for (i = 0; i < h->nswaps && i < max; i++)
		out[i] = h->swaps[i];
	if (max > 0)
		move_some(h);
	return h->nswaps;
}

void host_reexec(struct host *h, host_done_fn done, void *ctx)
{
	queue(h, REEXEC, "", 0, done, ctx);
}

void host_daemon(struct host *h, struct host_daemon *out)
{
	(void)h;
	*out = (struct host_daemon){
		.pid = 4711, .replaced = 2, .from = "0.0.9", .paused = 83400000
	};
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
