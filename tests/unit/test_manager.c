/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The manager with its arbiter, admission and roster, on a fake host and fake monitors, which
 * are here and do at once, or refuse, what they are asked for.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "balloon/manager_priv.h"

/* The real ones, and not those of fake_manager.c: what is strong here pulls them in. */
#pragma weak manager_create
#pragma weak manager_destroy
#pragma weak manager_forget
#pragma weak manager_give_back
#pragma weak manager_admit
#pragma weak manager_admit_dry
#pragma weak manager_release
#pragma weak manager_attach
#pragma weak manager_set
#pragma weak manager_host_set
#pragma weak manager_guests
#pragma weak manager_guest
#pragma weak manager_stats
#pragma weak manager_explain

#define MIB   (UINT64_C(1) << 20)
#define GIB   (UINT64_C(1) << 30)
#define LIMIT .timeout = 60

/* --- the fake host ------------------------------------------------------------------- */

struct host {
	struct guest_stats guest[8];
	bool there[8];
	uint64_t granted[8], took[8], promise[8];
	char promise_name[8][GUEST_NAME_MAX + 1];
	size_t vcpus[8];
	uint64_t swap, size;
	host_guest_fn fn;
	void *arg;
	host_conf_fn conf;
	void *conf_arg;
	bool busy, refuse_limit, refuse_detach;
	bool ends; /* a detach is answered before the guest has ended, as the real one does */
	bool dies; /* it ends while its limit is set */
	char dump[32], log[4096], events[4096], last[1024], stuck[1024];
};

static struct host host;
static struct loop *loop;
static struct manager *m;
static char dir[] = "/tmp/manager-XXXXXX";
static int dir_fd;

static int find(const char *name)
{
	for (int i = 0; i < 8; i++)
		if (host.there[i] && !strcmp(host.guest[i].name, name))
			return i;
	return -1;
}

static void note(char *log, const char *what, const char *name)
{
	size_t n = strlen(log);

	snprintf(log + n, 4096 - n, "%s %s;", what, name);
}

static void answer(host_done_fn done, void *ctx, int code, const char *text)
{
	struct err e = { .code = code };

	snprintf(e.text, sizeof(e.text), "%s", text);
	done(ctx, &e);
}

/* Of an earlier pager: the host says that it is served. */
static void serve(const char *name, uint64_t size)
{
	int i = 0;

	while (host.there[i])
		i++;
	host.there[i] = true;
	host.granted[i] = 0;
	host.guest[i] = (struct guest_stats){ .state = "running", .size = size, .limit = size };
	snprintf(host.guest[i].name, sizeof(host.guest[i].name), "%s", name);
	host.fn(host.arg, name, HOST_GUEST_SERVING);
}

static void leave(const char *name)
{
	struct err e;

	host.there[find(name)] = false;
	cr_assert_eq(host_promise(&host, name, 0, &e), 0);
	host.fn(host.arg, name, HOST_GUEST_ENDED);
}

void host_guest_attach(struct host *h, pid_t pid, const char *name, host_done_fn done,
		       void *ctx)
{
	note(h->log, "attach", name);
	if (pid == 1) {
		answer(done, ctx, -ESRCH, "there is no process 1");
		return;
	}
	serve(name, h->size);
	answer(done, ctx, 0, "");
}

void host_guest_detach(struct host *h, const char *name, host_done_fn done, void *ctx)
{
	char ends[GUEST_NAME_MAX + 1]; /* name is the caller's, who goes with the answer */

	note(h->log, "detach", name);
	if (h->refuse_detach) {
		answer(done, ctx, -ENOMEM, "it does not fit");
		return;
	}
	snprintf(ends, sizeof(ends), "%s", name);
	if (h->ends)
		answer(done, ctx, 0, "");
	leave(ends);
	if (h->dies)
		answer(done, ctx, -ESRCH, "it is gone");
	else if (!h->ends)
		answer(done, ctx, 0, "");
}

void host_guest_set_limit(struct host *h, const char *name, uint64_t bytes, host_done_fn done,
			  void *ctx)
{
	note(h->log, "limit", name);
	if (h->refuse_limit) {
		answer(done, ctx, -ENOSPC, "there is no swap");
		return;
	}
	h->guest[find(name)].limit = bytes < h->size ? bytes : h->size;
	answer(done, ctx, 0, "");
}

int host_guest_grant(struct host *h, const char *name, uint64_t grant, uint64_t take)
{
	int i = find(name);

	cr_assert_geq(i, 0, "a grant for %s, which is not there", name);
	h->granted[i] = grant;
	h->took[i] = take;
	return 0;
}

int host_guest_set_vcpus(struct host *h, const char *name, const pid_t *tid, size_t n)
{
	cr_assert_gt(tid[0], 0);
	h->vcpus[find(name)] = n;
	return 0;
}

void host_on_guest(struct host *h, host_guest_fn fn, void *arg)
{
	h->fn = fn;
	h->arg = arg;
}

int host_promise(struct host *h, const char *name, uint64_t bytes, struct err *e)
{
	int i = 0, free = -1;

	for (i = 0; i < 8 && strcmp(h->promise_name[i], name) != 0; i++)
		if (free < 0 && !h->promise_name[i][0])
			free = i;
	if (i == 8)
		i = free;
	if (bytes > h->swap)
		return err_set(e, -ENOSPC, "there is no such swap");
	h->promise[i] = bytes;
	snprintf(h->promise_name[i], sizeof(h->promise_name[i]), "%s", bytes ? name : "");
	return 0;
}

int host_promise_again(struct host *h, const char *name, uint64_t bytes, struct err *e)
{
	return host_promise(h, name, bytes, e);
}

void host_promised(struct host *h, uint64_t *promised, uint64_t *free)
{
	*promised = 0;
	for (int i = 0; i < 8; i++)
		*promised += h->promise[i];
	*free = h->swap > *promised ? h->swap - *promised : 0;
}

void host_refuse(struct host *h, host_done_fn done, void *ctx, const struct err *e)
{
	(void)h;
	done(ctx, e);
}

void host_tell(struct host *h, const struct host_event *event)
{
	note(h->events, event->name, event->field[0].text);
	/* all of it, as "NAME guest=a size=4096 share=1.5%" */
	snprintf(h->last, sizeof(h->last), "%s", event->name);
	for (const struct host_event_field *f = event->field;
	     f < event->field + HOST_EVENT_FIELDS && f->key; f++) {
		size_t n = strlen(h->last);

		if (f->text)
			snprintf(h->last + n, sizeof(h->last) - n, " %s=%s", f->key, f->text);
		else if (f->percent)
			snprintf(h->last + n, sizeof(h->last) - n, " %s=%g%%", f->key,
				 (double)f->number / 1e4);
		else
			snprintf(h->last + n, sizeof(h->last) - n, " %s=%llu", f->key,
				 (unsigned long long)f->number);
	}
	if (!strcmp(event->name, "BALLOON_STUCK"))
		snprintf(h->stuck, sizeof(h->stuck), "%s", h->last);
}

void host_on_conf(struct host *h, host_conf_fn fn, void *arg)
{
	h->conf = fn;
	h->conf_arg = arg;
}

size_t host_guest_stats(struct host *h, struct guest_stats *out, size_t max)
{
	size_t n = 0;

	for (int i = 0; i < 8; i++)
		if (h->there[i] && n++ < max)
			out[n - 1] = h->guest[i];
	return n;
}

int host_guest_stats_one(struct host *h, const char *name, struct guest_stats *out)
{
	int i = find(name);

	if (i < 0)
		return -ENOENT;
	*out = h->guest[i];
	return 0;
}

void host_daemon(struct host *h, struct host_daemon *out)
{
	*out = (struct host_daemon){ .busy = h->busy };
}

void host_dump_stats(struct host *h, struct dump_stats *out)
{
	*out = (struct dump_stats){ .size = 0 };
	snprintf(out->path, sizeof(out->path), "%s", h->dump);
}

void host_guest_dump(struct host *h, const char *name, host_done_fn done, void *ctx)
{
	note(h->log, "dump", name);
	answer(done, ctx, 0, "");
}

/* --- fake monitors ---------------------------------------------------------------------- */

struct monitor {
	struct monitor_ops ops;
	struct monitor_figures f;
	enum monitor_state state;
	uint64_t asked;
	char place[128];
	bool virt;
};

static struct monitor *last;
static unsigned int monitors;

static struct monitor *new_monitor(const char *place, const struct monitor_ops *ops)
{
	struct monitor *mon = calloc(1, sizeof(*mon));

	cr_assert_not_null(mon);
	mon->ops = *ops;
	snprintf(mon->place, sizeof(mon->place), "%s", place);
	monitors++;
	last = mon;
	return mon;
}

struct monitor *monitor_qmp(struct loop *l, const char *socket, const char *balloon,
			    const struct monitor_ops *ops)
{
	(void)l;
	(void)balloon;
	return new_monitor(socket, ops);
}

struct monitor *monitor_virt(struct loop *l, const char *uri, const char *domain,
			     const struct monitor_ops *ops, struct err *e)
{
	(void)l;
	(void)e;
	cr_assert_null(uri);
	new_monitor(domain, ops)->virt = true;
	return last;
}

void monitor_destroy(struct monitor *mon)
{
	if (!mon)
		return;
	monitors--;
	if (last == mon)
		last = NULL;
	free(mon);
}

enum monitor_state monitor_state(const struct monitor *mon)
{
	return mon->state;
}

const char *monitor_why(const struct monitor *mon)
{
	return mon->state == MONITOR_LOST ? "it does not answer" : "";
}

void monitor_figures(const struct monitor *mon, struct monitor_figures *out)
{
	*out = mon->f;
}

void monitor_poll(struct monitor *mon, uint32_t seconds)
{
	(void)mon;
	(void)seconds;
}

void monitor_set_ram(struct monitor *mon, uint64_t bytes)
{
	mon->asked = bytes;
}

size_t monitor_vcpus(const struct monitor *mon, pid_t *tid, size_t max)
{
	(void)mon;
	cr_assert_geq(max, 2);
	tid[0] = 11;
	tid[1] = 12;
	return 2;
}

/* --- set-up ---------------------------------------------------------------------------------
 */

static struct err result;
static bool answered;

static void on_done(void *ctx, const struct err *e)
{
	(void)ctx;
	cr_assert_not(answered, "answered twice");
	answered = true;
	result = *e;
}

static void start(void)
{
	struct err e = { 0 };

	cr_assert_eq(manager_create(loop, &host, dir_fd, &m, &e), 0, "%s", e.text);
}

static void setup(void)
{
	loop = loop_create();
	cr_assert_not_null(mkdtemp(dir));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY);
	host.swap = 4 * GIB;
	host.size = GIB;
	start();
}

static void teardown(void)
{
	char path[64];

	manager_destroy(m);
	cr_assert_eq(monitors, 0);
	loop_destroy(loop);
	close(dir_fd);
	snprintf(path, sizeof(path), "%s/" ROSTER_FILE, dir);
	(void)unlink(path);
	cr_assert_eq(rmdir(dir), 0, "it leaves files behind");
}

TestSuite(manager, .init = setup, .fini = teardown, LIMIT);

static int attach(const char *name, pid_t pid, const struct guest_settings *s)
{
	answered = false;
	manager_attach(m, pid, name, s, on_done, NULL);
	cr_assert(answered);
	return result.code;
}

static int set(const char *name, const struct guest_settings *s)
{
	answered = false;
	manager_set(m, name, s, on_done, NULL);
	cr_assert(answered);
	return result.code;
}

static void budget(uint64_t bytes)
{
	struct arbiter_conf conf = { .budget = bytes };
	struct err e;

	cr_assert_eq(manager_host_set(m, HOST_SET_BUDGET, &conf, &e), 0, "%s", e.text);
}

static const struct guest_settings plain;

static struct manager_guest guest(const char *name)
{
	const struct managed *known = managed_find(m, name);
	struct manager_guest g;

	cr_assert_not_null(known, "no guest %s", name);
	managed_figures(known, &g);
	return g;
}

static bool known(const char *name)
{
	struct manager_guest g;

	return manager_guest(m, name, &g) == 0;
}

/* --- coming and going
 * ------------------------------------------------------------------------- */

Test(manager, an_attached_guest_has_default_terms_until_it_ends)
{
	cr_assert_eq(attach("a", 100, &plain), 0, "%s", result.text);
	cr_assert(guest("a").attached);
	cr_assert_not(guest("a").admitted);
	cr_assert_eq(guest("a").terms.shares, 1024 * SHARES_PER_MIB);
	cr_assert_eq(guest("a").terms.reservation, 0);
	leave("a");
	cr_assert_not(known("a"));
}

Test(manager, an_attach_that_is_refused_leaves_nothing)
{
	cr_assert_eq(attach("a", 1, &plain), -ESRCH);
	cr_assert_not(known("a"));
	cr_assert_eq(attach("a", 100, &plain), 0);
	cr_assert_eq(attach("a", 101, &plain), -EEXIST);
	cr_assert(known("a"));
}

Test(manager, a_reservation_that_does_not_fit_has_the_guest_detached)
{
	struct guest_settings s = { .what = GUEST_SET_RESERVATION, .reservation = 600 * MIB };

	budget(GIB);
	cr_assert_eq(attach("a", 100, &s), 0, "%s", result.text);
	cr_assert_eq(attach("b", 101, &s), -ENOSPC);
	cr_assert_not(known("b"));
	cr_assert_str_eq(host.log, "attach a;attach b;detach b;");
	cr_assert_eq(guest("a").terms.reservation, 600 * MIB);
}

Test(manager, a_limit_that_is_refused_has_the_guest_detached)
{
	struct guest_settings s = { .what = GUEST_SET_LIMIT, .limit = 100 * MIB };

	host.refuse_limit = true;
	cr_assert_eq(attach("a", 100, &s), -ENOSPC);
	cr_assert_not(known("a"));
	host.refuse_detach = true;
	cr_assert_eq(attach("b", 100, &s), -ENOSPC);
	cr_assert(strstr(result.text, "stays attached"), "%s", result.text);
	cr_assert(guest("b").attached);
}

Test(manager, an_admitted_guest_has_what_it_was_promised)
{
	struct guest_settings s = { .what = GUEST_SET_RESERVATION | GUEST_SET_SHARES,
				    .reservation = 256 * MIB,
				    .shares = 77 };
	struct err e = { 0 };

	cr_assert_eq(manager_admit(m, "a", GIB, &s, &e), 0, "%s", e.text);
	cr_assert_eq(guest("a").promised, 768 * MIB);
	cr_assert_eq(host.promise[0], 768 * MIB);
	cr_assert_eq(manager_admit(m, "a", GIB, &s, &e), -EEXIST);
	cr_assert_eq(attach("a", 100, &plain), 0, "%s", result.text);
	cr_assert_eq(guest("a").terms.shares, 77);
	cr_assert_eq(manager_release(m, "a", &e), -EBUSY);
	leave("a");
	cr_assert_not(known("a"));
	cr_assert_eq(host.promise[0], 0);
	cr_assert(strstr(host.events, "GUEST_ADMITTED a;"));
	cr_assert(strstr(host.events, "GUEST_RELEASED a;"));
}

Test(manager, a_release_gives_the_promise_back)
{
	struct err e = { 0 };

	cr_assert_eq(manager_release(m, "a", &e), -ENOENT);
	cr_assert_eq(manager_admit(m, "a", GIB, &plain, &e), 0, "%s", e.text);
	cr_assert_eq(manager_admit(m, "b", 4 * GIB, &plain, &e), -ENOSPC);
	cr_assert_eq(manager_release(m, "a", &e), 0);
	cr_assert_eq(host.promise[0], 0);
	cr_assert_eq(manager_admit(m, "b", 4 * GIB, &plain, &e), 0, "%s", e.text);
}

Test(manager, a_refusal_is_told_and_what_makes_no_sense_is_not)
{
	struct guest_settings much = { .what = GUEST_SET_RESERVATION, .reservation = 2 * GIB };
	struct err e = { 0 };

	budget(GIB);
	cr_assert_eq(manager_admit(m, "a", 2 * GIB, &much, &e), -ENOSPC);
	cr_assert(
		!strncmp(host.last, "ADMISSION_REFUSED guest=a memory=2147483648 reason=", 51),
		"%s", host.last);
	cr_assert(strstr(host.last, e.text), "%s", host.last);
	host.events[0] = '\0';
	cr_assert_eq(manager_admit(m, "a", GIB, &much, &e), -EINVAL);
	cr_assert_str_empty(host.events);
	/* one that is there already, and has more than there is */
	cr_assert_eq(attach("b", 100, &much), -EINVAL);
	cr_assert_null(strstr(host.events, "REFUSED"));
	host.size = 2 * GIB;
	cr_assert_eq(attach("b", 100, &much), -ENOSPC);
	cr_assert(strstr(host.events, "ADMISSION_REFUSED b;"), "%s", host.events);
}

/* Whatever is asked for, and whatever there is: dry-run's verdict is the real one, for it is
 * the same arithmetic; and it changes nothing. */
Test(manager, a_dry_run_says_what_the_real_one_does)
{
	static const uint64_t budgets[] = { 0, 512 * MIB, 2 * GIB, 64 * GIB };
	static const uint64_t swaps[] = { 0, 300 * MIB, 4 * GIB };
	unsigned int yes = 0, no = 0;

	srand(7);
	for (unsigned int i = 0; i < 400; i++) {
		struct guest_settings s = { .what = (unsigned int)rand() % 8,
					    .limit = (uint64_t)(rand() % 8) * 300 * MIB,
					    .reservation = (uint64_t)(rand() % 8) * 100 * MIB,
					    .shares = (uint64_t)(rand() % 8) };
		uint64_t memory = (uint64_t)(rand() % 8) * 257 * MIB + (rand() % 2 ? 4095 : 0);
		const char *name = rand() % 8 ? "a" : "there";
		struct manager_admission dry;
		struct manager_stats before, after;
		struct err e = { 0 };
		int ret;

		if (i % 10 == 0) {
			host.swap = swaps[i / 10 % 3];
			m->conf.budget =
				budgets[i / 30 % 4] > m->total ? m->total : budgets[i / 30 % 4];
			m->h.level = i / 10 % 5 == 4 ? ARBITER_LOW : ARBITER_HIGH;
			(void)!manager_admit(m, "there", 64 * MIB, &plain, &e);
		}
		e = (struct err){ 0 };
		host.events[0] = '\0';
		manager_stats(m, &before);
		manager_admit_dry(m, name, memory, &s, &dry);
		manager_stats(m, &after);
		cr_assert_eq(before.promised, after.promised);
		cr_assert_eq(before.reserved, after.reserved);
		cr_assert_eq(before.admitted, after.admitted);
		cr_assert_eq(before.swap_free, after.swap_free);
		cr_assert_str_empty(host.events, "case %u: told", i);
		cr_assert_eq(dry.headroom, before.headroom);
		cr_assert_eq(dry.free_swap, before.swap_free);
		ret = manager_admit(m, name, memory, &s, &e);
		cr_assert_eq(dry.refusal.code, ret, "case %u: dry %d, real %d: %s", i,
			     dry.refusal.code, ret, e.text);
		cr_assert_str_eq(dry.refusal.text, e.text);
		cr_assert_eq(dry.memory, memory);
		if (ret < 0) {
			no++;
			continue;
		}
		yes++;
		cr_assert_eq(dry.promised_swap, guest(name).promised);
		cr_assert_eq(dry.reservation, guest(name).terms.reservation);
		cr_assert_eq(manager_release(m, name, &e), 0);
	}
	/* both happen, or it would say nothing */
	cr_assert_gt(yes, 50);
	cr_assert_gt(no, 50);
	while (known("there")) {
		struct err e;

		cr_assert_eq(manager_release(m, "there", &e), 0);
	}
}

Test(manager, a_guest_that_is_larger_than_it_said_stays_admitted_only)
{
	struct err e = { 0 };

	cr_assert_eq(manager_admit(m, "a", 512 * MIB, &plain, &e), 0, "%s", e.text);
	cr_assert_eq(attach("a", 100, &plain), -EINVAL);
	cr_assert(strstr(result.text, "512M"), "%s", result.text);
	cr_assert(guest("a").admitted);
	cr_assert_not(guest("a").attached);
	cr_assert_eq(host.promise[0], 512 * MIB);
}

/* --- changing
 * --------------------------------------------------------------------------------- */

Test(manager, a_promise_outlives_an_attach_that_is_undone)
{
	struct err e = { 0 };

	cr_assert_eq(manager_admit(m, "a", GIB, &plain, &e), 0, "%s", e.text);
	host.size = 2 * GIB;
	host.ends = true;
	cr_assert_eq(attach("a", 100, &plain), -EINVAL);
	cr_assert_eq(guest("a").promised, GIB);
	cr_assert_eq(host.promise[0], GIB, "its promise has ended with it");
}

Test(manager, a_guest_that_dies_while_it_is_attached_leaves_nothing)
{
	struct guest_settings s = { .what = GUEST_SET_LIMIT, .limit = 100 * MIB };

	host.refuse_limit = host.dies = true;
	cr_assert_eq(attach("a", 100, &s), -ENOSPC);
	cr_assert_not(known("a"));
	host.refuse_limit = host.dies = false;
	cr_assert_eq(attach("a", 100, &plain), 0);
}

Test(manager, a_guest_from_before_there_was_a_roster_can_be_set)
{
	struct guest_settings s = { .what = GUEST_SET_SHARES, .shares = 7 };

	serve("a", GIB);
	cr_assert_eq(set("a", &s), 0, "%s", result.text);
	cr_assert_eq(guest("a").terms.shares, 7);
}

Test(manager, a_monitor_is_a_socket_or_a_domain)
{
	struct guest_settings s = { .what = GUEST_SET_QMP | GUEST_SET_DOMAIN,
				    .qmp = "/run/a.sock",
				    .domain = "a" };

	cr_assert_eq(attach("a", 100, &s), -EINVAL);
	s.what = GUEST_SET_QMP;
	cr_assert_eq(attach("a", 100, &s), 0, "%s", result.text);
	cr_assert_str_eq(last->place, "/run/a.sock");
	s.what = GUEST_SET_DOMAIN;
	cr_assert_eq(set("a", &s), 0, "%s", result.text);
	cr_assert(last->virt);
	cr_assert_eq(monitors, 1);
	cr_assert_str_eq(guest("a").qmp, "");
	s.qmp = "relative.sock";
	s.what = GUEST_SET_QMP;
	cr_assert_eq(set("a", &s), -EINVAL);
	cr_assert_str_eq(guest("a").domain, "a");
	cr_assert_eq(set("nobody", &s), -ENOENT);
}

Test(manager, a_reservation_is_held_to_the_budget_when_it_is_changed)
{
	struct guest_settings s = { .what = GUEST_SET_RESERVATION, .reservation = 600 * MIB };
	struct arbiter_conf conf = { .budget = 500 * MIB };
	struct err e;

	budget(GIB);
	cr_assert_eq(attach("a", 100, &s), 0, "%s", result.text);
	cr_assert_eq(attach("b", 101, &plain), 0, "%s", result.text);
	cr_assert_eq(set("b", &s), -ENOSPC);
	cr_assert_eq(guest("b").terms.reservation, 0);
	cr_assert_eq(manager_host_set(m, HOST_SET_BUDGET, &conf, &e), -ENOSPC);
	cr_assert(strstr(e.text, "600M"), "%s", e.text);
	s.reservation = 2 * GIB;
	cr_assert_eq(set("b", &s), -EINVAL);
}

/* --- restarts
 * ---------------------------------------------------------------------------------- */

Test(manager, another_pager_has_the_same_terms)
{
	struct guest_settings s = { .what = GUEST_SET_RESERVATION | GUEST_SET_QMP,
				    .reservation = 256 * MIB,
				    .qmp = "/run/a.sock" };
	struct manager_stats stats;
	struct err e = { 0 };

	budget(2 * GIB);
	cr_assert_eq(manager_admit(m, "a", GIB, &s, &e), 0, "%s", e.text);
	cr_assert_eq(attach("a", 100, &plain), 0, "%s", result.text);
	cr_assert_eq(attach("gone", 101, &plain), 0, "%s", result.text);
	manager_destroy(m);
	memset(host.there, 0, sizeof(host.there));
	memset(host.promise, 0, sizeof(host.promise));
	memset(host.promise_name, 0, sizeof(host.promise_name));
	host.busy = true;
	start();
	cr_assert_eq(host.promise[0], 768 * MIB);
	manager_on_tick(m);
	serve("a", GIB);
	cr_assert_str_eq(last->place, "/run/a.sock");
	cr_assert_eq(guest("a").terms.reservation, 256 * MIB);
	cr_assert(known("gone"), "not before all are adopted");
	host.busy = false;
	manager_on_tick(m);
	cr_assert_not(known("gone"));
	cr_assert(known("a"));
	manager_stats(m, &stats);
	cr_assert_eq(stats.conf.budget, 2 * GIB);
	cr_assert_eq(stats.reserved, 256 * MIB);
}

Test(manager, a_roster_that_is_not_ours_is_refused)
{
	struct manager *second;
	struct err e = { 0 };
	int fd = openat(dir_fd, ROSTER_FILE, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	cr_assert_eq(write(fd, "\1\2\3\n", 4), 4);
	close(fd);
	cr_assert_lt(manager_create(loop, &host, dir_fd, &second, &e), 0);
	cr_assert(strstr(e.text, ROSTER_FILE), "%s", e.text);
	host_on_guest(&host, NULL, NULL);
}

Test(manager, the_configuration_holds_once)
{
	struct host_conf conf = { .given = HOST_CONF_BUDGET, .budget = GIB, .reading = 5 };
	struct manager_stats stats;
	struct err e = { 0 };

	host.conf(host.conf_arg, &conf, &e);
	manager_stats(m, &stats);
	cr_assert_eq(stats.conf.budget, GIB);
	cr_assert_eq(stats.conf.tax, ARBITER_TAX);
	budget(2 * GIB);
	manager_destroy(m);
	start();
	host.conf(host.conf_arg, &conf, &e);
	manager_stats(m, &stats);
	cr_assert_eq(stats.conf.budget, 2 * GIB, "what was set by hand since is undone");
	conf.reading = 6;
	host.conf(host.conf_arg, &conf, &e);
	manager_stats(m, &stats);
	cr_assert_eq(stats.conf.budget, GIB);
}

/* --- rounds
 * ---------------------------------------------------------------------------------------- */

static void use(const char *name, uint64_t resident, uint64_t hot)
{
	struct guest_stats *s = &host.guest[find(name)];

	s->resident = resident;
	s->hot = hot;
	s->idle_5m = resident - hot;
}

static void rounds(unsigned int n)
{
	static uint64_t now;

	now = now ? now : clock_ns();
	while (n-- > 0) {
		now += NSEC_PER_SEC;
		manager_round(m, now);
		for (int i = 0; i < 8; i++) {
			struct guest_stats *s = &host.guest[i];

			if (!host.there[i] || s->resident <= host.granted[i] ||
			    host.granted[i] == 0)
				continue;
			s->swapped += s->resident - host.granted[i];
			s->resident = host.granted[i];
			s->hot = s->hot < s->resident ? s->hot : s->resident;
		}
	}
}

Test(manager, without_a_budget_nothing_is_decided)
{
	cr_assert_eq(attach("a", 100, &plain), 0);
	use("a", GIB, 0);
	rounds(3);
	cr_assert_eq(host.granted[0], 0, "a grant of %llu",
		     (unsigned long long)host.granted[0]);
}

Test(manager, the_idle_guest_gives_and_nobody_goes_below_its_reservation)
{
	struct guest_settings s = { .what = GUEST_SET_RESERVATION, .reservation = 300 * MIB };

	cr_assert_eq(attach("idle", 100, &s), 0);
	cr_assert_eq(attach("busy", 101, &plain), 0);
	use("idle", GIB, 0);
	use("busy", GIB, GIB);
	budget(1200 * MIB);
	for (int i = 0; i < 300; i++) {
		rounds(1);
		cr_assert_geq(host.granted[0], 300 * MIB);
	}
	cr_assert_lt(host.granted[0], 600 * MIB);
	cr_assert_gt(host.granted[1], host.granted[0]);
	cr_assert_leq(host.guest[0].resident + host.guest[1].resident, 1200 * MIB);
	cr_assert(strstr(host.events, "GUEST_GRANT"));
	cr_assert(strstr(host.events, "HOST_MEMORY"));
	budget(0);
	cr_assert_eq(host.granted[0], UINT64_MAX, "grants stay without a budget");
	cr_assert_eq(host.granted[1], UINT64_MAX);
}

/* --- the host ---------------------------------------------------------------------------- */

static struct pressure pressure;

static void say_pressure(struct pressure *out)
{
	*out = pressure;
}

static void pressed(uint32_t some, uint32_t full)
{
	pressure = (struct pressure){ .there = true, .some = some, .full = full };
	host.last[0] = '\0';
	rounds(1);
}

Test(manager, pressure_is_told_when_it_rises_and_when_it_has_fallen_by_half)
{
	struct manager_stats s;

	m->read_pressure = say_pressure;
	pressed(99999, 49999);
	cr_assert_str_empty(host.last);
	pressed(100000, 0);
	cr_assert(!strncmp(host.last,
			   "HOST_PRESSURE level=moderate some-avg10=10% full-avg10=0% "
			   "available=",
			   68),
		  "%s", host.last);
	/* it wavers */
	pressed(50000, 0);
	pressed(100000, 49999);
	cr_assert_str_empty(host.last);
	pressed(600000, 50000);
	cr_assert(strstr(host.last, "level=critical some-avg10=60% full-avg10=5%"));
	manager_stats(m, &s);
	cr_assert(s.pressure_known);
	cr_assert_eq(s.pressure_some, 600000);
	cr_assert_eq(s.pressure_full, 50000);
	pressed(0, 25000);
	cr_assert_str_empty(host.last);
	pressed(60000, 24999);
	cr_assert(strstr(host.last, "level=moderate"));
	pressed(49999, 0);
	cr_assert(strstr(host.last, "level=low"));
	/* a kernel without */
	pressed(100000, 0);
	pressure.there = false;
	rounds(1);
	cr_assert(strstr(host.last, "level=low"));
	manager_stats(m, &s);
	cr_assert_not(s.pressure_known);
}

Test(manager, stalls_of_the_host_are_those_of_the_guest_that_stalls_most)
{
	struct manager_stats s;
	struct manager_guest a, b;

	m->read_pressure = say_pressure;
	cr_assert_eq(attach("a", 100, &plain), 0);
	cr_assert_eq(attach("b", 101, &plain), 0);
	rounds(1);
	for (int i = 0; i < 5; i++) {
		host.guest[0].stall_some += NSEC_PER_SEC / 10;
		host.guest[1].stall_some += NSEC_PER_SEC / 5;
		host.guest[1].stall_full += NSEC_PER_SEC / 20;
		rounds(1);
	}
	a = guest("a");
	b = guest("b");
	manager_stats(m, &s);
	cr_assert_gt(a.some[PSI_10S], 0);
	cr_assert_gt(b.some[PSI_10S], a.some[PSI_10S]);
	cr_assert_eq(s.stall_some, b.some[PSI_10S]);
	cr_assert_eq(s.stall_full, b.full[PSI_10S]);
}

Test(manager, a_guest_that_ended_while_nobody_looked_is_told)
{
	cr_assert_eq(attach("a", 100, &plain), 0);
	manager_destroy(m);
	host.there[0] = false;
	host.events[0] = '\0';
	start();
	manager_on_tick(m);
	cr_assert_not(known("a"));
	cr_assert_str_eq(host.events, "GUEST_DETACHED a;");
	cr_assert_str_eq(host.last, "GUEST_DETACHED guest=a reason=ended");
}

Test(manager, what_a_monitor_says_is_clamped)
{
	struct guest_settings s = { .what = GUEST_SET_QMP, .qmp = "/run/a.sock" };

	cr_assert_eq(attach("a", 100, &s), 0);
	use("a", GIB, GIB);
	budget(2 * GIB);
	last->state = MONITOR_UP;
	last->f = (struct monitor_figures){ .at = 1,
					    .balloon = true,
					    .actual = UINT64_MAX,
					    .stats = true,
					    .free = UINT64_MAX,
					    .available = UINT64_MAX };
	rounds(3);
	cr_assert_eq(guest("a").balloon_size, 0);
	cr_assert_eq(guest("a").guest_free, GIB);
	cr_assert_eq(host.vcpus[0], 2);
	last->state = MONITOR_LOST;
	last->ops.changed(last->ops.arg);
	rounds(1);
	cr_assert_str_eq(guest("a").balloon, "absent");
	cr_assert_str_eq(guest("a").monitor_why, "it does not answer");
}

Test(manager, a_guest_that_panics_is_dumped_where_there_is_a_dump_device)
{
	struct guest_settings s = { .what = GUEST_SET_QMP, .qmp = "/run/a.sock" };

	cr_assert_eq(attach("a", 100, &s), 0);
	last->ops.panicked(last->ops.arg);
	cr_assert_null(strstr(host.log, "dump"));
	snprintf(host.dump, sizeof(host.dump), "/dev/x");
	cr_assert_eq(attach("b", 101, &s), 0);
	last->ops.panicked(last->ops.arg);
	cr_assert(strstr(host.log, "dump b;"));
	/* a guest can say so a thousand times a second */
	host.log[0] = '\0';
	last->ops.panicked(last->ops.arg);
	cr_assert_null(strstr(host.log, "dump"));
}

/* --- balloons ----------------------------------------------------------------------------- */

/* A guest of 1 GiB whose balloon has been asked for memory. */
static struct monitor *ballooned(const char *name)
{
	struct guest_settings s = { .what = GUEST_SET_QMP, .qmp = "/run/a.sock" };
	struct monitor *mon;

	cr_assert_eq(attach(name, 100, &s), 0);
	mon = last;
	use(name, GIB, 100 * MIB);
	mon->state = MONITOR_UP;
	mon->f = (struct monitor_figures){ .at = 1,
					   .balloon = true,
					   .actual = GIB,
					   .stats = true,
					   .stats_at = m->h.decided_at,
					   .free = 600 * MIB,
					   .available = 700 * MIB };
	budget(600 * MIB);
	for (int i = 0; i < 100 && mon->asked == 0; i++) {
		mon->f.stats_at = m->h.decided_at;
		rounds(1);
	}
	cr_assert_gt(mon->asked, 0, "nothing is asked of its balloon");
	cr_assert_lt(mon->asked, GIB);
	mon->f.actual = mon->asked;
	mon->f.available = mon->f.free = 600 * MIB;
	return mon;
}

Test(manager, a_balloon_gives_back_without_a_budget_also_later)
{
	struct monitor *mon = ballooned("a");

	/* it cannot be asked just now */
	mon->state = MONITOR_LOST;
	budget(0);
	mon->asked = 0;
	rounds(3);
	cr_assert_eq(mon->asked, 0);
	mon->state = MONITOR_UP;
	rounds(1);
	cr_assert_eq(mon->asked, GIB);
}

/* It has been asked and does not follow: told by itself too, once. */
Test(manager, a_balloon_that_is_stuck_is_told)
{
	struct monitor *mon = ballooned("a");
	unsigned int told = 0;

	mon->f.actual = GIB;
	for (int i = 0; i < 30; i++) {
		mon->f.stats_at = m->h.decided_at;
		rounds(1);
		told += host.stuck[0] != '\0';
		if (told == 1 && host.stuck[0])
			cr_assert(!strncmp(host.stuck,
					   "BALLOON_STUCK guest=a reason=it does not follow "
					   "actual=1073741824 wanted=",
					   73),
				  "%s", host.stuck);
		host.stuck[0] = '\0';
	}
	cr_assert_eq(told, 1);
	cr_assert(strstr(host.events, "GUEST_BALLOON a;"));
}

Test(manager, another_pager_gives_back_too)
{
	struct monitor *mon = ballooned("a");
	uint64_t actual = mon->f.actual;

	manager_destroy(m);
	start();
	host.fn(host.arg, "a", HOST_GUEST_SERVING);
	budget(0);
	last->state = MONITOR_UP;
	last->f = (struct monitor_figures){ .at = 1, .balloon = true, .actual = actual };
	rounds(1);
	cr_assert_eq(last->asked, GIB);
}

Test(manager, a_balloon_gives_back_when_its_guest_is_detached)
{
	struct monitor *mon = ballooned("a");

	snprintf(host.guest[0].state, sizeof(host.guest[0].state), "detaching");
	rounds(1);
	cr_assert_eq(mon->asked, GIB);
	mon->asked = 0;
	leave("a");
	cr_assert_eq(monitors, 1);
	cr_assert_eq(mon->asked, GIB);
	mon->ops.changed(mon->ops.arg);
	manager_part(m, clock_ns());
	cr_assert_eq(monitors, 1);
	/* it is there no longer, or it has all, or it does not follow */
	mon->f.actual = GIB;
	manager_part(m, clock_ns());
	cr_assert_eq(monitors, 0);
}

Test(manager, a_balloon_that_does_not_give_back_is_left)
{
	(void)ballooned("a");
	leave("a");
	cr_assert_eq(monitors, 1);
	manager_part(m, clock_ns() + PARTING_NS + 1);
	cr_assert_eq(monitors, 0);
}

Test(manager, what_others_have_set_a_balloon_to_is_theirs)
{
	struct guest_settings s = { .what = GUEST_SET_QMP, .qmp = "/run/a.sock" };

	cr_assert_eq(attach("a", 100, &s), 0);
	use("a", GIB / 2, GIB / 2);
	last->state = MONITOR_UP;
	/* it has less than it needs, as far as we know */
	last->f = (struct monitor_figures){ .at = 1, .balloon = true, .actual = GIB / 2 };
	rounds(3);
	cr_assert_eq(last->asked, 0);
	last->f.stats = true;
	last->f.stats_at = m->h.decided_at;
	rounds(3);
	cr_assert_eq(last->asked, 0, "there is no budget");
	last->f.stats = false;
	budget(2 * GIB);
	rounds(3);
	cr_assert_eq(last->asked, 0, "its driver tells nothing");
}

/* --- explain
 * ------------------------------------------------------------------------------------------ */

static char said[8192];

static void hear(void *arg, const char *topic, const char *text)
{
	size_t n = strlen(said);

	(void)arg;
	snprintf(said + n, sizeof(said) - n, "[%s] %s\n", topic, text);
}

static const char *explain(const char *name)
{
	said[0] = '\0';
	managed_explain(managed_find(m, name), hear, NULL);
	return said;
}

#define SAYS(what) cr_assert(strstr(said, what), "it does not say '%s':\n%s", what, said)

Test(manager, it_explains)
{
	struct err e = { 0 };
	struct guest_stats *s;

	cr_assert_eq(manager_explain(m, "x", hear, NULL, &e), -ENOENT);
	cr_assert_eq(manager_admit(m, "a", GIB, &plain, &e), 0, "%s", e.text);
	explain("a");
	SAYS("not attached yet");
	cr_assert_eq(attach("a", 100, &plain), 0);
	cr_assert_eq(attach("b", 101, &plain), 0);
	explain("a");
	SAYS("no budget");
	use("a", GIB, GIB);
	use("b", GIB, 100 * MIB);
	budget(1200 * MIB);
	rounds(70);
	s = &host.guest[0];
	s->evicted_grant += 256;
	s->stall_some += NSEC_PER_SEC / 2;
	s->stall_for[HOST_STALL_READ] += NSEC_PER_SEC / 2;
	rounds(1);
	explain("a");
	SAYS("[has] It is due");
	SAYS("[price] It has 10240 shares");
	SAYS("1M because it had more than it was due");
	SAYS("100 % of that waiting was for reads of swap");
	SAYS("[balloon] Its VMM's monitor is not known");
}

static void when_it_has_all(void *arg)
{
	struct monitor *mon = arg;

	if (monitors > 0 && mon->asked == host.size)
		mon->f.actual = host.size;
}

Test(manager, a_stop_waits_until_balloons_have_given_back)
{
	struct monitor *mon = ballooned("a");
	struct loop_watch *guest = loop_every(loop, 10, when_it_has_all, mon);

	leave("a");
	cr_assert_not_null(m->parting);
	manager_give_back(m);
	loop_remove(guest);
	cr_assert_null(m->parting);
	cr_assert_lt(clock_ns(), m->end_by,
		     "it did not wait for the balloon, but for the clock");
}
