/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * What is asked for is first looked at as a whole and then done: a refusal leaves nothing
 * changed.  Attaching is three steps, for the RAM of a guest is known only when it is attached:
 * attach; see whether its terms hold for what it is; set its limit.  Where the second or third
 * is refused the guest is detached again.  The steps go on although nobody waits any more.
 */
#include "balloon/manager_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/size.h"

/* So much more RAM than it was admitted with a guest may have: it is counted then. */
#define SIZE_SLACK (64u << 20)

struct setting {
	struct manager *m;
	char name[GUEST_NAME_MAX + 1];
	struct guest_settings s;
	char qmp[SOCKET_PATH_MAX + 1], balloon[BALLOON_ID_MAX + 1], domain[GUEST_NAME_MAX + 1];
	host_done_fn done;
	void *ctx;
	struct err refusal;
};

static void end(struct setting *t, const struct err *e)
{
	t->done(t->ctx, e);
	free(t);
}

/* --- terms ------------------------------------------------------------------------ */

static int check_texts(const char *name, const struct guest_settings *s, struct err *e)
{
	bool qmp = s->what & GUEST_SET_QMP && s->qmp[0],
	     domain = s->what & GUEST_SET_DOMAIN && s->domain[0];

	if (qmp && domain)
		return err_set(e, -EINVAL,
			       "guest %s: it has a socket of QEMU's monitor or a domain of "
			       "libvirt, not both: libvirt owns the monitor of its domains",
			       name);
	if (qmp && (s->qmp[0] != '/' || strlen(s->qmp) > SOCKET_PATH_MAX))
		return err_set(
			e, -EINVAL,
			"guest %s: the socket of its monitor must be an absolute path of "
			"at most %d characters: %s",
			name, SOCKET_PATH_MAX, s->qmp);
	if (s->what & GUEST_SET_BALLOON && strlen(s->balloon) > BALLOON_ID_MAX)
		return err_set(e, -EINVAL,
			       "guest %s: the id of its balloon has more than %d "
			       "characters",
			       name, BALLOON_ID_MAX);
	if (domain && strlen(s->domain) > GUEST_NAME_MAX)
		return err_set(e, -EINVAL,
			       "guest %s: the name of its domain has more than %d "
			       "characters",
			       name, GUEST_NAME_MAX);
	if (s->what & GUEST_SET_SHARES && (s->shares == 0 || s->shares > SHARES_MAX))
		return err_set(e, -EINVAL, "guest %s: shares are 1 to %u", name, SHARES_MAX);
	return 0;
}

/* Lay settings over an entry. */
static void lay_over(struct roster_entry *r, const struct guest_settings *s)
{
	if (s->what & GUEST_SET_LIMIT)
		r->terms.limit = s->limit;
	if (s->what & GUEST_SET_RESERVATION)
		r->terms.reservation = s->reservation;
	if (s->what & GUEST_SET_SHARES)
		r->terms.shares = s->shares;
	if (s->what & GUEST_SET_QMP) {
		snprintf(r->qmp, sizeof(r->qmp), "%s", s->qmp);
		if (s->qmp[0])
			r->domain[0] = '\0';
	}
	if (s->what & GUEST_SET_DOMAIN) {
		snprintf(r->domain, sizeof(r->domain), "%s", s->domain);
		if (s->domain[0])
			r->qmp[0] = '\0';
	}
	if (s->what & GUEST_SET_BALLOON)
		snprintf(r->balloon, sizeof(r->balloon), "%s", s->balloon);
}

/*
 * May g have these terms?  Of a guest that is merely attached only the reservation is looked
 * at, for nothing was promised to it.  => 0 and *swap, what must be promised
 */
static int check_terms(struct manager *m, const struct managed *g, const char *name,
		       const struct roster_entry *r, uint64_t *swap, struct err *e)
{
	struct admission_host host;
	int ret;

	*swap = 0;
	/* an earlier pager's, not looked at yet: what concerns its memory has to wait */
	if (!r->admitted && r->terms.memory == 0 && g &&
	    r->terms.reservation == g->r.terms.reservation)
		return 0;
	manager_admission(m, g, &host);
	if (!r->admitted) {
		host.swap = UINT64_MAX / 2;
		/* it is there already, and what it had it keeps */
		if (!g || r->terms.reservation <= g->r.terms.reservation)
			host.low = false;
	} else if (g && g->r.admitted) {
		host.low = false;
	}
	ret = admission_check(name, &r->terms, &host, swap, e);
	if (!r->admitted)
		*swap = 0;
	return ret;
}

/* --- admission ---------------------------------------------------------------------- */

/*
 * All that is decided before anything is done. => as manager_admit, *r as it would stand in the
 * roster but for its name and promise, and *swap, what is to be promised
 */
static int may_admit(struct manager *m, const char *name, uint64_t memory,
		     const struct guest_settings *s, struct roster_entry *r, uint64_t *swap,
		     struct err *e)
{
	const struct managed *g = managed_find(m, name);
	int ret = check_texts(name, s, e);

	*r = (struct roster_entry){ .admitted = true };
	lay_over(r, s);
	r->terms.memory = memory;
	*swap = 0;
	if (ret < 0)
		return ret;
	if (g)
		return err_set(e, -EEXIST,
			       g->r.attached || g->attaching
				       ? "guest %s is attached already: change its terms "
					 "instead (drumctl guest set)"
				       : "guest %s is admitted already: release it first "
					 "(drumctl guest release)",
			       name);
	return check_terms(m, NULL, name, r, swap, e);
}

/* Told only if it is for want of something: what makes no sense was no attempt. */
static void tell_refused(struct manager *m, const char *name, uint64_t memory,
			 const struct err *e)
{
	struct host_event event = { .name = "ADMISSION_REFUSED",
				    .field = { { .key = "guest", .text = name },
					       { .key = "memory", .number = memory },
					       { .key = "reason", .text = e->text } } };

	if (e->code == -ENOSPC || e->code == -EAGAIN)
		host_tell(m->host, &event);
}

static int admit(struct manager *m, const char *name, uint64_t memory,
		 const struct guest_settings *s, struct err *e)
{
	struct roster_entry r;
	struct managed *g;
	uint64_t swap;
	int ret = may_admit(m, name, memory, s, &r, &swap, e);

	if (ret < 0)
		return ret;
	g = managed_add(m, name);
	if (!g)
		return err_set(e, -ENOMEM, "out of memory");
	memcpy(r.name, g->r.name, sizeof(r.name));
	g->r = r;
	ret = swap ? host_promise(m->host, name, swap, e) : 0;
	if (ret == 0) {
		g->r.promised = swap;
		ret = manager_save(m, e);
	}
	if (ret < 0) {
		g->r.admitted = false; /* nothing of it is told */
		managed_drop(g);
		return ret;
	}
	manager_tell_admitted(g);
	return 0;
}

int manager_admit(struct manager *m, const char *name, uint64_t memory,
		  const struct guest_settings *s, struct err *e)
{
	int ret = admit(m, name, memory, s, e);

	if (ret < 0)
		tell_refused(m, name, memory, e);
	return ret;
}

void manager_admit_dry(struct manager *m, const char *name, uint64_t memory,
		       const struct guest_settings *s, struct manager_admission *out)
{
	struct admission_host host;
	struct roster_entry r;
	uint64_t most;

	*out = (struct manager_admission){ .memory = memory };
	manager_admission(m, NULL, &host);
	most = host.budget ? host.budget : host.total;
	out->headroom = most > host.reserved ? most - host.reserved : 0;
	out->free_swap = host.swap;
	out->admitted =
		may_admit(m, name, memory, s, &r, &out->promised_swap, &out->refusal) == 0;
	out->reservation = r.terms.reservation;
}

int manager_release(struct manager *m, const char *name, struct err *e)
{
	struct managed *g = managed_find(m, name);

	if (!g)
		return err_set(e, -ENOENT, "no guest is named '%s'", name);
	if (g->r.attached || g->attaching)
		return err_set(e, -EBUSY,
			       "guest %s is attached: it is released when it ends, or is "
			       "detached",
			       name);
	managed_drop(g);
	return manager_save(m, e);
}

/* --- attaching ------------------------------------------------------------------------ */

static struct setting *new_setting(struct manager *m, const char *name,
				   const struct guest_settings *s, host_done_fn done, void *ctx)
{
	struct setting *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->m = m;
	t->s = *s;
	t->done = done;
	t->ctx = ctx;
	snprintf(t->name, sizeof(t->name), "%s", name);
	/* the caller's texts are gone by then */
	if (s->what & GUEST_SET_QMP)
		t->s.qmp = memcpy(t->qmp, s->qmp, strlen(s->qmp) + 1);
	if (s->what & GUEST_SET_BALLOON)
		t->s.balloon = memcpy(t->balloon, s->balloon, strlen(s->balloon) + 1);
	if (s->what & GUEST_SET_DOMAIN)
		t->s.domain = memcpy(t->domain, s->domain, strlen(s->domain) + 1);
	return t;
}

/* It is not attached after all: if it was admitted, it still is. */
static void not_attached(struct manager *m, const char *name)
{
	struct managed *g = managed_find(m, name);
	struct err e;

	if (!g)
		return;
	g->attaching = g->serving = g->r.attached = false;
	if (!g->r.admitted)
		managed_drop(g);
	else if (g->r.promised && host_promise(m->host, name, g->r.promised, &e) < 0)
		/* the detach has ended the promise */
		log_err("guest %s: %s", name, e.text);
	manager_save_or_tell(m);
}

static void undone(void *ctx, const struct err *e)
{
	struct setting *t = ctx;
	struct err both = t->refusal;

	/* -ESRCH: it has ended, which is as good */
	if (e->code && e->code != -ENOENT && e->code != -ESRCH) {
		struct managed *g = managed_find(t->m, t->name);

		err_set(&both, t->refusal.code,
			"%s; guest '%s' stays attached without these terms, as detaching it "
			"again failed: %s",
			t->refusal.text, t->name, e->text);
		if (g) {
			g->attaching = false;
			g->r.attached = true;
			manager_save_or_tell(t->m);
		}
	} else {
		not_attached(t->m, t->name);
	}
	end(t, &both);
}

static void undo(struct setting *t, const struct err *e)
{
	t->refusal = *e;
	host_guest_detach(t->m->host, t->name, undone, t);
}

/* What fails here costs the guest its balloon, no more: it is a warning. */
static void watch_or_warn(struct managed *g, struct err *e)
{
	struct err why;

	if (managed_watch(g, &why) < 0)
		(void)err_set(e, 0, "%s", why.text);
}

static void attached_at_last(struct setting *t)
{
	struct managed *g = managed_find(t->m, t->name);
	struct err e = { 0 };

	if (!g) { /* it has ended since */
		err_set(&e, -ESRCH, "guest %s has ended", t->name);
		end(t, &e);
		return;
	}
	g->attaching = false;
	g->r.attached = true;
	if (manager_save(t->m, &e) < 0) {
		g->attaching = true;
		undo(t, &e);
		return;
	}
	watch_or_warn(g, &e);
	end(t, &e);
}

static void attach_limited(void *ctx, const struct err *e)
{
	struct setting *t = ctx;

	if (e->code)
		undo(t, e);
	else
		attached_at_last(t);
}

/* Now it is known how much RAM it has. */
static int hold_to_terms(struct setting *t, struct managed *g, struct err *e)
{
	struct roster_entry r = g->r;
	char has[SIZE_TEXT_MAX], was[SIZE_TEXT_MAX];
	uint64_t swap;
	int ret;

	if (host_guest_stats_one(t->m->host, t->name, &g->stats) < 0)
		return err_set(e, -ESRCH, "guest %s has ended", t->name);
	if (r.admitted && g->stats.size > r.terms.memory + SIZE_SLACK)
		return err_set(
			e, -EINVAL,
			"guest %s: it has %s of RAM and was admitted with %s: release it, "
			"and admit it with what it has",
			t->name, size_format(has, g->stats.size),
			size_format(was, r.terms.memory));
	lay_over(&r, &t->s);
	r.terms.memory = g->stats.size;
	ret = check_terms(t->m, g, t->name, &r, &swap, e);
	if (ret == 0 && swap != g->r.promised)
		ret = host_promise(t->m->host, t->name, swap, e);
	if (ret < 0)
		return ret;
	r.promised = swap;
	g->r = r;
	return 0;
}

static void attached(void *ctx, const struct err *e)
{
	struct setting *t = ctx;
	struct managed *g = managed_find(t->m, t->name);
	struct err refusal;

	if (e->code || !g) {
		struct err why = *e;

		if (!e->code)
			err_set(&why, -ESRCH, "guest %s has ended", t->name);
		not_attached(t->m, t->name);
		end(t, &why);
		return;
	}
	g->serving = true;
	if (hold_to_terms(t, g, &refusal) < 0) {
		tell_refused(t->m, t->name, g->stats.size, &refusal);
		undo(t, &refusal);
	} else if (g->r.terms.limit)
		host_guest_set_limit(t->m->host, t->name, g->r.terms.limit, attach_limited, t);
	else
		attached_at_last(t);
}

static void refuse(struct manager *m, host_done_fn done, void *ctx, const struct err *e)
{
	/* a done function never runs before its call has returned */
	host_refuse(m->host, done, ctx, e);
}

void manager_attach(struct manager *m, pid_t pid, const char *name,
		    const struct guest_settings *s, host_done_fn done, void *ctx)
{
	struct managed *g = managed_find(m, name);
	bool added = false;
	struct setting *t;
	struct err e;

	if (check_texts(name, s, &e) < 0) {
		refuse(m, done, ctx, &e);
		return;
	}
	if (g && (g->attaching || g->r.attached)) {
		err_set(&e, -EEXIST, "a guest named '%s' is attached already", name);
		refuse(m, done, ctx, &e);
		return;
	}
	if (!g) {
		g = managed_add(m, name);
		added = true;
	}
	t = g ? new_setting(m, name, s, done, ctx) : NULL;
	if (!t) {
		if (g && added)
			managed_drop(g);
		err_set(&e, -ENOMEM, "out of memory");
		refuse(m, done, ctx, &e);
		return;
	}
	g->attaching = true;
	host_guest_attach(m->host, pid, name, attached, t);
}

/* --- changing ------------------------------------------------------------------------- */

/* The terms are what they may be; limits have been set by now. */
static int take_over(struct setting *t, struct err *e)
{
	struct managed *g = managed_find(t->m, t->name);
	struct roster_entry r, before;
	unsigned int places = GUEST_SET_QMP | GUEST_SET_BALLOON | GUEST_SET_DOMAIN;
	uint64_t swap;
	int ret;

	if (!g)
		return err_set(e, -ENOENT, "no guest is named '%s'", t->name);
	r = before = g->r;
	lay_over(&r, &t->s);
	if (!r.terms.memory)
		r.terms.memory = managed_memory(g);
	ret = check_terms(t->m, g, t->name, &r, &swap, e);
	if (ret == 0 && swap != g->r.promised)
		ret = host_promise(t->m->host, t->name, swap, e);
	if (ret < 0)
		return ret;
	r.promised = swap;
	g->r = r;
	ret = manager_save(t->m, e);
	if (ret < 0) {
		struct err lost;

		g->r = before;
		if (swap != before.promised &&
		    host_promise(t->m->host, t->name, before.promised, &lost) < 0)
			log_err("guest %s: %s", t->name, lost.text);
		return ret;
	}
	if (t->s.what & places)
		watch_or_warn(g, e);
	return 0;
}

static void set_limited(void *ctx, const struct err *e)
{
	struct setting *t = ctx;
	struct err own = *e;

	if (!e->code)
		(void)take_over(t, &own);
	end(t, &own);
}

void manager_set(struct manager *m, const char *name, const struct guest_settings *s,
		 host_done_fn done, void *ctx)
{
	struct managed *g = managed_find(m, name);
	struct roster_entry r;
	struct setting *t;
	uint64_t swap;
	struct err e = { 0 };

	if (!g) {
		err_set(&e, -ENOENT, "no guest is named '%s'", name);
		refuse(m, done, ctx, &e);
		return;
	}
	r = g->r;
	if (check_texts(name, s, &e) == 0) {
		lay_over(&r, s);
		if (!r.terms.memory)
			r.terms.memory = managed_memory(g);
		(void)check_terms(m, g, name, &r, &swap, &e);
	}
	t = e.code ? NULL : new_setting(m, name, s, done, ctx);
	if (!t) {
		if (!e.code)
			err_set(&e, -ENOMEM, "out of memory");
		refuse(m, done, ctx, &e);
		return;
	}
	if (s->what & GUEST_SET_LIMIT && g->r.attached) {
		host_guest_set_limit(m->host, name, s->limit ? s->limit : UINT64_MAX,
				     set_limited, t);
		return;
	}
	(void)take_over(t, &e);
	refuse(m, done, ctx, &e);
	free(t);
}

/* --- the host --------------------------------------------------------------------------- */

int manager_host_set(struct manager *m, unsigned int what, const struct arbiter_conf *conf,
		     struct err *e)
{
	struct arbiter_conf next = m->conf, before = m->conf;
	uint64_t reserved = manager_reserved(m, NULL);
	char a[SIZE_TEXT_MAX], b[SIZE_TEXT_MAX];
	int ret;

	if (what & HOST_SET_BUDGET)
		next.budget = conf->budget;
	if (what & HOST_SET_TAX)
		next.tax = conf->tax;
	if (what & HOST_SET_STALL_TARGET)
		next.stall_target = conf->stall_target;
	if (next.tax > 99)
		return err_set(e, -EINVAL, "the idle tax is 0 to 99 percent, not %u", next.tax);
	if (next.stall_target > PSI_ONE)
		return err_set(e, -EINVAL, "the stall target is 0 to 100 percent");
	if (next.budget && next.budget < reserved)
		return err_set(
			e, -ENOSPC,
			"a budget of %s is less than what guests have reserved, %s: lower "
			"reservations first (drumctl guest set --reservation)",
			size_format(a, next.budget), size_format(b, reserved));
	if (next.budget > m->total)
		return err_set(e, -EINVAL, "a budget of %s is more than the host's RAM, %s",
			       size_format(a, next.budget), size_format(b, m->total));
	m->conf = next;
	ret = manager_save(m, e);
	if (ret < 0) {
		m->conf = before;
		return ret;
	}
	manager_round(m, clock_ns());
	return 0;
}
