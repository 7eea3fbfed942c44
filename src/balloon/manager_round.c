/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A round looks at all guests, asks the arbiter, and does what it says:
 *
 *	look	figures of the host and of guests, stalls, what monitors know
 *	decide	arbiter_decide, which knows nothing but what is handed to it
 *	do	grants and cold pages to the workers, targets to the balloons
 *	tell	what has changed so much that people may want to know
 *
 * There is one each second, and one each 250 ms as long as a guest is at its grant: it may be
 * due more, and its faults wait for page-out meanwhile.  Nothing here waits for anybody: a
 * grant is a command without an answer, monitors are asked and answer when they do.
 *
 * What a balloon has to do with what a guest is due: a guest that must give memory up is asked
 * for what it has free, and its grant falls when the balloon has taken that.  It gets back what
 * it needs at least, and as much as it is due; and all that was taken when nothing is decided
 * any more, or it is detached.  What others have set, before anything was taken, is theirs.
 *
 * A guest that is coming, going, dumped, or being paged in or out as a whole is left alone, and
 * counts with what it has.
 */
#include "balloon/manager_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/meminfo.h"
#include "base/minmax.h"

/* That much more may be in use than a balloon leaves: pages on their way. */
#define LIE_SLACK (UINT64_C(32) << 20)

/* --- look ---------------------------------------------------------------------------- */

static bool make_room(struct manager *m, size_t n)
{
	struct guest_stats *stats;
	struct arbiter_guest *in;

	if (n <= m->room)
		return true;
	n += 16;
	stats = realloc(m->stats, n * sizeof(*stats));
	if (stats)
		m->stats = stats;
	in = realloc(m->in, n * sizeof(*in));
	if (in)
		m->in = in;
	if (!stats || !in)
		return false;
	m->room = n;
	return true;
}

/* Both lists are in the same order, nearly: look from where the last one was found. */
static const struct guest_stats *stats_of(const struct manager *m, size_t n, const char *name,
					  size_t *from)
{
	for (size_t k = 0; k < n; k++) {
		size_t i = (*from + k) % n;

		if (!strcmp(m->stats[i].name, name)) {
			*from = i + 1;
			return &m->stats[i];
		}
	}
	return NULL;
}

static void note_past(struct managed *g, uint64_t now)
{
	const struct guest_stats *s = &g->stats;

	if (g->past[0].at && now - g->past[0].at < RECENT_NS)
		return;
	g->past[1] = g->past[0];
	g->past[0] = (struct past){ .at = now,
				    .limit = s->evicted_limit,
				    .grant = s->evicted_grant,
				    .cold = s->evicted_cold,
				    .out = s->evicted_out,
				    .stall_some = s->stall_some };
	memcpy(g->past[0].stall_for, s->stall_for, sizeof(s->stall_for));
}

static void tell_vcpus(struct managed *g)
{
	static pid_t tid[MONITOR_VCPUS_MAX];
	size_t n = monitor_vcpus(g->monitor, tid, MONITOR_VCPUS_MAX);

	if (n == 0 || (n == g->vcpus && !memcmp(tid, g->vcpu, n * sizeof(*tid))))
		return;
	if (host_guest_set_vcpus(g->manager->host, g->r.name, tid, n) < 0)
		return; /* the next round does */
	memcpy(g->vcpu, tid, n * sizeof(*tid));
	g->vcpus = (uint32_t)n;
}

static void look_at_monitor(struct managed *g, uint64_t now)
{
	struct balloon_view *v = &g->view;
	struct monitor_figures f;

	*v = (struct balloon_view){ .now = now,
				    .size = g->stats.size,
				    .actual = g->stats.size,
				    .used = g->stats.resident + g->stats.swapped +
					    g->stats.reading };
	if (!g->monitor)
		return;
	monitor_poll(g->monitor, STATS_SECONDS);
	tell_vcpus(g);
	if (monitor_state(g->monitor) != MONITOR_UP)
		return;
	monitor_figures(g->monitor, &f);
	if (!f.at || !f.balloon)
		return;
	v->there = true;
	/* what a peer says is no more than that */
	v->actual = f.actual < v->size ? f.actual : v->size;
	v->stats = f.stats;
	v->stats_at = f.stats_at;
	v->available = f.available < v->size ? f.available : v->size;
	v->free = f.free < v->size ? f.free : v->size;
	v->deflate_on_oom = f.deflate_on_oom;
	v->reports_free = f.reports_free;
}

/*
 * Until a minute is known what was touched in one is estimated from what is in ten seconds,
 * and until these are, nothing is known.
 */
static void look_at_use(struct managed *g, uint64_t now)
{
	const struct guest_stats *s = &g->stats;
	uint64_t all = s->resident + s->reading + s->swapped,
		 hot_10s = all > s->idle_10s ? all - s->idle_10s : 0;

	g->a.working_set = s->hot;
	g->a.guess = now - g->since < GUESS_NS;
	if (!g->a.guess && now - g->since < MINUTE_NS)
		g->a.working_set = min_u64(all, hot_10s + hot_10s / 2);
}

static void look_at(struct managed *g, const struct guest_stats *s, uint64_t now)
{
	struct arbiter_guest *a = &g->a;

	g->stats = *s;
	psi_update(&g->some, s->stall_some, now);
	psi_update(&g->full, s->stall_full, now);
	note_past(g, now);
	look_at_monitor(g, now);
	a->size = s->size;
	a->limit = min_u64(s->limit, s->size);
	a->reservation = min_u64(g->r.terms.reservation, a->limit);
	a->shares = managed_shares(g);
	a->resident = s->resident + s->reading;
	a->swapped = s->swapped;
	look_at_use(g, now);
	a->cold = s->idle_5m;
	a->some_10s = psi_share(&g->some, PSI_10S);
	a->some_60s = psi_share(&g->some, PSI_60S);
	a->busy = s->busy || strcmp(s->state, "running") != 0;
	a->balloon_gives = balloon_gives(&g->balloon, &g->view);
}

/* --- do ------------------------------------------------------------------------------- */

/* Is it ours no longer to say what it has?  Then it gets back what we have taken. */
static bool is_let_go(const struct managed *g)
{
	return g->a.why == ARBITER_OFF || !strcmp(g->stats.state, "detaching");
}

/*
 * Is what its balloon has none of our business?  Others have set that, or its driver tells
 * nothing, so what the guest needs is not known, and we have not taken anything.
 */
static bool is_others(const struct managed *g)
{
	bool lies = g->view.used > g->view.actual + LIE_SLACK;

	return !g->r.ballooned && !lies && (is_let_go(g) || !g->view.stats);
}

/* What a guest with a balloon should be left with. */
static uint64_t wanted_ram(const struct managed *g)
{
	const struct arbiter_guest *a = &g->a;
	uint64_t need = balloon_need(&g->view), actual = g->view.actual, want;

	if (is_let_go(g))
		want = g->view.size;
	else if (a->busy)
		want = actual;
	else if (a->balloon > 0)
		want = actual > a->balloon ? actual - a->balloon : 0;
	else
		/* all that it may have, if there is enough for all */
		want = max_u64(actual, a->why == ARBITER_PRICE || a->why == ARBITER_RESERVATION
					       ? a->target
					       : a->grant);
	if (want < need)
		want = need;
	return min_u64(want, g->view.size);
}

/* What we take is to be given back, if need be by another pager. */
static void note_ballooned(struct managed *g, uint64_t ask)
{
	const struct balloon_view *v = &g->view;
	uint64_t all = v->size - v->size / 64;
	bool before = g->r.ballooned;

	if (ask && ask < v->actual)
		g->r.ballooned = true;
	else if (v->there && v->actual >= all && g->balloon.state == BALLOON_IDLE &&
		 (!g->balloon.asked || g->balloon.asked >= all))
		g->r.ballooned = false;
	if (g->r.ballooned != before)
		manager_save_or_tell(g->manager);
}

static void do_balloon(struct managed *g)
{
	struct balloon_view v = g->view;
	uint64_t ask;

	g->want = wanted_ram(g);
	if (is_others(g)) /* what it has left is all that it is to have */
		g->want = v.size = v.actual;
	ask = balloon_step(&g->balloon, &v, g->want);
	if (ask)
		monitor_set_ram(g->monitor, ask);
	note_ballooned(g, ask);
}

static void do_grant(struct managed *g)
{
	struct arbiter_guest *a = &g->a;
	uint64_t grant = a->why == ARBITER_OFF ? UINT64_MAX : a->grant;

	if (a->busy || (grant == g->granted && a->take == 0))
		return;
	if (host_guest_grant(g->manager->host, g->r.name, grant, a->take) == 0)
		g->granted = grant;
}

/* --- tell ------------------------------------------------------------------------------ */

static void tell_grant(struct managed *g)
{
	const struct arbiter_guest *a = &g->a;
	uint64_t moved = a->target > g->told_target ? a->target - g->told_target
						    : g->told_target - a->target;
	struct host_event event = {
		.name = "GUEST_GRANT",
		.field = { { .key = "guest", .text = g->r.name },
			   { .key = "reason", .text = arbiter_why_name(a->why) },
			   { .key = "target", .number = a->target },
			   { .key = "resident", .number = a->resident },
			   { .key = "working-set", .number = a->keep.active },
			   { .key = "price", .number = a->price } }
	};

	if (a->why == g->told_why && moved <= g->told_target / 8)
		return;
	if (a->why != ARBITER_OFF || g->told_why != ARBITER_OFF)
		host_tell(g->manager->host, &event);
	g->told_target = a->target;
	g->told_why = a->why;
}

/* By itself too, beside GUEST_BALLOON: somebody should look. */
static void tell_stuck(const struct managed *g)
{
	struct host_event event = { .name = "BALLOON_STUCK",
				    .field = { { .key = "guest", .text = g->r.name },
					       { .key = "reason", .text = g->balloon.why },
					       { .key = "actual", .number = g->view.actual },
					       { .key = "wanted", .number = g->want } } };

	host_tell(g->manager->host, &event);
}

static void tell_balloon(struct managed *g)
{
	const struct balloon *b = &g->balloon;
	struct host_event event = { .name = "GUEST_BALLOON",
				    .field = { { .key = "guest", .text = g->r.name },
					       { .key = "state",
						 .text = balloon_state_name(b->state) },
					       { .key = "reason", .text = b->why },
					       { .key = "actual", .number = g->view.actual },
					       { .key = "wanted", .number = g->want } } };

	if (b->state == g->balloon_told)
		return;
	if (b->state == BALLOON_STUCK)
		log_warn("guest %s: its balloon is stuck, it is paged instead: %s", g->r.name,
			 b->why);
	host_tell(g->manager->host, &event);
	if (b->state == BALLOON_STUCK)
		tell_stuck(g);
	g->balloon_told = b->state;
}

/* Of an earlier pager, which could not. */
static void tell_ended(const struct managed *g)
{
	struct host_event event = { .name = "GUEST_DETACHED",
				    .field = { { .key = "guest", .text = g->r.name },
					       { .key = "reason", .text = "ended" } } };

	host_tell(g->manager->host, &event);
}

static void tell_level(struct manager *m)
{
	struct host_event event = {
		.name = "HOST_MEMORY",
		.field = { { .key = "level", .text = arbiter_level_name(m->h.level) },
			   { .key = "free", .number = m->h.free },
			   { .key = "used", .number = m->h.used },
			   { .key = "budget", .number = m->conf.budget } }
	};

	if (m->h.level == m->level_told)
		return;
	host_tell(m->host, &event);
	m->level_told = m->h.level;
}

/* --- rounds ------------------------------------------------------------------------------ */

/* What was attached once and is not there, when the host has found all that there are. */
static void drop_ended(struct manager *m)
{
	struct managed *g, *next;
	struct guest_stats *one = m->stats;
	bool dropped = false;

	for (g = m->guests; g; g = next) {
		next = g->next;
		if (!g->r.attached || g->attaching || g->serving ||
		    host_guest_stats_one(m->host, g->r.name, one) == 0)
			continue;
		log_info("guest %s has ended while nobody looked", g->r.name);
		tell_ended(g);
		managed_drop(g);
		dropped = true;
	}
	if (dropped)
		manager_save_or_tell(m);
}

/* Is it at its grant, so that faults may wait? */
static bool at_grant(const struct arbiter_guest *a)
{
	return !a->busy && a->grant < a->limit && a->resident + a->grant / 32 >= a->grant;
}

void manager_round(struct manager *m, uint64_t now)
{
	size_t n = host_guest_stats(m->host, NULL, 0), from = 0, in = 0;
	uint64_t began = clock_ns();
	struct managed *g;

	if (!make_room(m, n > m->nguests ? n : m->nguests + 1))
		return; /* no decision is no harm: what was decided holds */
	n = host_guest_stats(m->host, m->stats, n);
	for (g = m->guests; g; g = g->next) {
		const struct guest_stats *s =
			g->serving ? stats_of(m, n, g->r.name, &from) : NULL;

		if (!s)
			continue;
		look_at(g, s, now);
		m->in[in++] = g->a;
	}
	(void)meminfo_fits(0, &m->h.available);
	if (m->h.available == 0) /* cannot be read: go by the budget */
		m->h.available = UINT64_MAX;
	arbiter_decide(&m->conf, &m->h, m->in, in, now);
	m->pressed = false;
	in = 0;
	from = 0;
	for (g = m->guests; g; g = g->next) {
		if (!g->serving || !stats_of(m, n, g->r.name, &from))
			continue;
		g->a = m->in[in++];
		m->pressed |= at_grant(&g->a);
		do_balloon(g);
		do_grant(g);
		tell_balloon(g);
		tell_grant(g);
	}
	tell_level(m);
	manager_pressure(m);
	m->rounds++;
	m->round_ns = clock_ns() - began;
}

void manager_on_tick(void *manager)
{
	struct manager *m = manager;
	struct host_daemon daemon;
	uint64_t now = clock_ns();

	manager_part(m, now);
	if (manager_ends(m, now))
		return;
	if (!m->pressed && now - m->h.decided_at < ROUND_NS - TICK_MS * NSEC_PER_MSEC / 2)
		return;
	host_daemon(m->host, &daemon);
	if (daemon.busy)
		return; /* guests are being adopted */
	if (!make_room(m, m->nguests + 1))
		return;
	drop_ended(m);
	manager_round(m, now);
}
