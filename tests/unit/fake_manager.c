/* SPDX-License-Identifier: BSD-2-Clause */
/* This is a fake: see its header. */
#include "unit/fake_manager.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GUESTS_MAX 64
#define LOG_MAX	   4096

struct manager {
	struct host *host;
	struct manager_guest guest[GUESTS_MAX];
	size_t n;
	struct arbiter_conf conf;
	char log[LOG_MAX];
};

struct manager *fake_manager_create(struct host *host)
{
	struct manager *m = calloc(1, sizeof(*m));

	m->host = host;
	m->conf = (struct arbiter_conf){ .budget = FAKE_BUDGET,
					 .tax = ARBITER_TAX,
					 .stall_target = ARBITER_STALL_TARGET };
	return m;
}

void fake_manager_destroy(struct manager *m)
{
	free(m);
}

const char *fake_manager_log(const struct manager *m)
{
	return m->log;
}

__attribute__((format(printf, 2, 3))) static void note(struct manager *m, const char *fmt, ...)
{
	size_t used = strlen(m->log);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(m->log + used, sizeof(m->log) - used, fmt, ap);
	va_end(ap);
}

static void note_settings(struct manager *m, const char *name, const struct guest_settings *s)
{
	note(m, "%s", name);
	if (s->what & GUEST_SET_LIMIT)
		note(m, " limit=%" PRIu64, s->limit);
	if (s->what & GUEST_SET_RESERVATION)
		note(m, " reservation=%" PRIu64, s->reservation);
	if (s->what & GUEST_SET_SHARES)
		note(m, " shares=%" PRIu64, s->shares);
	if (s->what & GUEST_SET_QMP)
		note(m, " qmp=%s", s->qmp);
	if (s->what & GUEST_SET_BALLOON)
		note(m, " balloon=%s", s->balloon);
	if (s->what & GUEST_SET_DOMAIN)
		note(m, " domain=%s", s->domain);
	note(m, ";");
}

static struct manager_guest *find_managed(struct manager *m, const char *name)
{
	for (size_t i = 0; i < m->n; i++)
		if (!strcmp(m->guest[i].name, name))
			return &m->guest[i];
	return NULL;
}

static struct manager_guest *add_managed(struct manager *m, const char *name)
{
	struct manager_guest *g = find_managed(m, name);

	if (g || m->n == GUESTS_MAX)
		return g;
	g = &m->guest[m->n++];
	*g = (struct manager_guest){ .monitor = "none", .balloon = "absent" };
	snprintf(g->name, sizeof(g->name), "%s", name);
	return g;
}

static void lay_over(struct manager *m, const char *name, const struct guest_settings *s)
{
	struct manager_guest *g = add_managed(m, name);

	note_settings(m, name, s);
	if (!g)
		return;
	if (s->what & GUEST_SET_RESERVATION)
		g->terms.reservation = s->reservation;
	if (s->what & GUEST_SET_SHARES)
		g->terms.shares = s->shares;
	if (s->what & GUEST_SET_QMP)
		snprintf(g->qmp, sizeof(g->qmp), "%s", s->qmp);
	if (s->what & GUEST_SET_DOMAIN)
		snprintf(g->domain, sizeof(g->domain), "%s", s->domain);
}

void fake_manager_show(struct manager *m, const char *name, const struct manager_guest *show)
{
	struct manager_guest *g = add_managed(m, name);

	*g = *show;
	snprintf(g->name, sizeof(g->name), "%s", name);
}

int manager_admit(struct manager *m, const char *name, uint64_t memory,
		  const struct guest_settings *s, struct err *e)
{
	struct manager_guest *g;

	if (find_managed(m, name))
		return err_set(e, -EEXIST, "guest %s is admitted already", name);
	if (s->reservation > m->conf.budget)
		return err_set(e, -ENOSPC, "guest %s: it does not fit", name);
	lay_over(m, name, s);
	g = find_managed(m, name);
	g->admitted = true;
	g->terms.memory = memory;
	g->terms.limit = s->limit;
	g->promised = memory - s->reservation;
	return 0;
}

void manager_admit_dry(struct manager *m, const char *name, uint64_t memory,
		       const struct guest_settings *s, struct manager_admission *out)
{
	*out = (struct manager_admission){ .memory = memory,
					   .reservation = s->reservation,
					   .headroom = m->conf.budget,
					   .promised_swap = memory - s->reservation,
					   .free_swap = 7ull << 30 };
	if (find_managed(m, name))
		(void)err_set(&out->refusal, -EEXIST, "guest %s is admitted already", name);
	else if (s->reservation > m->conf.budget)
		(void)err_set(&out->refusal, -ENOSPC, "guest %s: it does not fit", name);
	out->admitted = !out->refusal.code;
}

int manager_release(struct manager *m, const char *name, struct err *e)
{
	struct manager_guest *g = find_managed(m, name);

	if (!g)
		return err_set(e, -ENOENT, "no guest is named '%s'", name);
	memmove(g, g + 1, (size_t)(&m->guest[--m->n] - g) * sizeof(*g));
	return 0;
}

/* An attachment that sets a limit, which is set when the guest is there. */
struct attach {
	struct manager *m;
	char name[GUEST_NAME_MAX + 1];
	uint64_t limit;
	host_done_fn done;
	void *ctx;
	struct err refusal;
};

static void end(struct attach *a, const struct err *e)
{
	struct manager_guest *g = add_managed(a->m, a->name);

	if (g)
		g->attached = !e->code;
	a->done(a->ctx, e);
	free(a);
}

static void undone(void *ctx, const struct err *e)
{
	struct attach *a = ctx;

	(void)e;
	end(a, &a->refusal);
}

static void limited(void *ctx, const struct err *e)
{
	struct attach *a = ctx;

	if (!e->code) {
		end(a, e);
		return;
	}
	a->refusal = *e;
	host_guest_detach(a->m->host, a->name, undone, a);
}

static void attached(void *ctx, const struct err *e)
{
	struct attach *a = ctx;

	if (e->code || a->limit == 0)
		end(a, e);
	else
		host_guest_set_limit(a->m->host, a->name, a->limit, limited, a);
}

void manager_attach(struct manager *m, pid_t pid, const char *name,
		    const struct guest_settings *s, host_done_fn done, void *ctx)
{
	struct attach *a = calloc(1, sizeof(*a));

	*a = (struct attach){ .m = m, .limit = s->limit, .done = done, .ctx = ctx };
	snprintf(a->name, sizeof(a->name), "%s", name);
	lay_over(m, name, s);
	host_guest_attach(m->host, pid, name, attached, a);
}

void manager_set(struct manager *m, const char *name, const struct guest_settings *s,
		 host_done_fn done, void *ctx)
{
	lay_over(m, name, s);
	host_guest_set_limit(m->host, name, s->limit ? s->limit : UINT64_MAX, done, ctx);
}

int manager_host_set(struct manager *m, unsigned int what, const struct arbiter_conf *conf,
		     struct err *e)
{
	if (what & HOST_SET_TAX && conf->tax > 99)
		return err_set(e, -EINVAL, "the idle tax is 0 to 99 percent, not %" PRIu32,
			       conf->tax);
	if (what & HOST_SET_BUDGET)
		m->conf.budget = conf->budget;
	if (what & HOST_SET_TAX)
		m->conf.tax = conf->tax;
	if (what & HOST_SET_STALL_TARGET)
		m->conf.stall_target = conf->stall_target;
	return 0;
}

size_t manager_guests(struct manager *m, struct manager_guest *out, size_t max)
{
	for (size_t i = 0; i < m->n && i < max; i++)
		out[i] = m->guest[i];
	return m->n;
}

int manager_guest(struct manager *m, const char *name, struct manager_guest *out)
{
	struct manager_guest *g = find_managed(m, name);

	if (!g)
		return -ENOENT;
	*out = *g;
	return 0;
}

void manager_stats(struct manager *m, struct manager_stats *out)
{
	*out = (struct manager_stats){ .conf = m->conf,
				       .used = 3ull << 30,
				       .free = 1ull << 30,
				       .price = 20480,
				       .total = 8ull << 30,
				       .available = 5ull << 30,
				       .reserved = 1ull << 30,
				       .admitted = 6ull << 30,
				       .promised = 2ull << 30,
				       .swap_free = 7ull << 30,
				       .headroom = 3ull << 30,
				       .overcommit = 1500,
				       .rounds = 77,
				       .round_ns = 123450,
				       .pressure_known = true,
				       .pressure_some = 12300,
				       .pressure_full = 4500,
				       .stall_some = 2500,
				       .stall_full = 100 };
	snprintf(out->level, sizeof(out->level), "%s", m->conf.budget ? "soft" : "off");
	if (!m->conf.budget)
		out->overcommit = 0;
}

int manager_explain(struct manager *m, const char *name,
		    void (*fn)(void *arg, const char *topic, const char *text), void *arg,
		    struct err *e)
{
	if (!find_managed(m, name))
		return err_set(e, -ENOENT, "no guest is named '%s'", name);
	fn(arg, "has",
	   "Of its 2G of RAM 1.1G are in memory and 512M on swap; 410M were never used, given "
	   "back, or all zero.");
	fn(arg, "has", "It is due 1G: what its 20480 shares buy.");
	fn(arg, "stalls", "Some vCPU waited for a fault 0.12 % of the last 10 seconds, 0.05 %");
	fn(arg, "news", "Later daemons may know more.");
	return 0;
}
