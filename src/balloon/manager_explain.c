/* SPDX-License-Identifier: BSD-2-Clause */
#include "balloon/manager_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/size.h"

struct teller {
	void (*fn)(void *arg, const char *topic, const char *text);
	void *arg;
	const char *topic;
};

static void say(const struct teller *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void say(const struct teller *t, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	t->fn(t->arg, t->topic, text);
}

struct sizes {
	char text[8][SIZE_TEXT_MAX];
	unsigned int n;
};

/* A size as text, for as long as s is there; eight of them. */
static const char *mem(struct sizes *s, uint64_t bytes)
{
	return size_format(s->text[s->n++ % 8], bytes);
}

/* Like 0.12 %, of millionths. */
#define PERCENT	       "%u.%02u %%"
#define PERCENT_OF(ms) (ms) / 10000, (ms) / 100 % 100

/* --- has -------------------------------------------------------------------------------- */

static void explain_why(const struct teller *t, const struct managed *g)
{
	const struct manager *m = g->manager;
	const struct arbiter_guest *a = &g->a;
	struct sizes z = { .n = 0 };

	switch (a->why) {
	case ARBITER_OFF:
		if (m->conf.budget) {
			say(t, "Nothing was decided for it yet.");
			break;
		}
		say(t,
		    "Nothing is decided for it, as the host has no budget (drumctl host set "
		    "--budget): it may have up to its limit, %s.",
		    mem(&z, g->stats.limit));
		break;
	case ARBITER_ENOUGH:
		say(t,
		    "It is due %s: all that it uses and room to grow, for there is enough "
		    "for all.",
		    mem(&z, a->target));
		break;
	case ARBITER_PRICE:
		say(t,
		    "It is due %s: what its %" PRIu64 " shares buy at the price that all pay "
		    "who would have more.",
		    mem(&z, a->target), a->shares);
		break;
	case ARBITER_AT_LIMIT:
		say(t,
		    "It is due %s, its limit: there would be more for it at the present "
		    "price.",
		    mem(&z, a->target));
		break;
	case ARBITER_RESERVATION:
		say(t,
		    "It is due %s, its reservation: its shares would buy less at the price "
		    "that all pay.",
		    mem(&z, a->target));
		break;
	case ARBITER_COLD:
		say(t,
		    "It is due %s: what it had besides was not touched for five minutes and "
		    "was taken, and it did not miss it (stalls stay under " PERCENT ").",
		    mem(&z, a->target), PERCENT_OF(m->conf.stall_target));
		break;
	case ARBITER_BUSY:
	case ARBITER_WHYS:
		say(t, "Nothing is decided for it now: it is %s.",
		    g->stats.busy ? "being paged out, paged in or dumped" : g->stats.state);
		break;
	}
}

static void explain_has(const struct teller *t, const struct managed *g)
{
	const struct manager *m = g->manager;
	const struct guest_stats *s = &g->stats;
	struct sizes z = { .n = 0 };

	say(t,
	    "Of its %s of RAM %s are in memory and %s on swap; %s were never used, given "
	    "back, or all zero.",
	    mem(&z, s->size), mem(&z, s->resident), mem(&z, s->swapped), mem(&z, s->zero));
	explain_why(t, g);
	say(t,
	    "It uses %s (touched within the last minute, smoothed); %s were not touched for "
	    "five minutes.",
	    mem(&z, g->a.keep.active), mem(&z, g->a.cold));
	if (m->conf.budget)
		say(t,
		    "The host's memory is %s: guests have %s of the budget of %s, and %s are "
		    "free.",
		    arbiter_level_name(m->h.level), mem(&z, m->h.used), mem(&z, m->conf.budget),
		    mem(&z, m->h.free));
}

/* --- price ------------------------------------------------------------------------------ */

/* Who would have to give memory up, if g got more: it pays least. */
static const struct managed *poorest(const struct managed *g)
{
	const struct managed *found = NULL;

	for (const struct managed *o = g->manager->guests; o; o = o->next) {
		if (o == g || !o->serving || o->a.busy || o->a.resident <= o->a.reservation ||
		    o->a.target <= o->a.reservation)
			continue;
		if (!found || o->a.price < found->a.price)
			found = o;
	}
	return found;
}

static void explain_price(const struct teller *t, const struct managed *g)
{
	const struct manager *m = g->manager;
	const struct managed *victim = poorest(g);

	if (g->a.why == ARBITER_OFF || g->a.why == ARBITER_BUSY)
		return;
	say(t,
	    "It has %" PRIu64 " shares and pays %" PRIu64
	    " of them for each GiB, with idle memory counted %.2f times.",
	    g->a.shares, g->a.price, 100.0 / (100 - m->conf.tax));
	if (m->h.price == 0) {
		say(t, "There is enough for all: more would cost it nothing.");
		return;
	}
	say(t,
	    "For one MiB more it would pay %" PRIu64 "; the price is %" PRIu64
	    " now, and who pays less has to give.",
	    g->a.next, m->h.price);
	if (victim && victim->a.price < g->a.next)
		say(t, "That MiB would come from %s, which pays %" PRIu64 ".", victim->r.name,
		    victim->a.price);
	else
		say(t, "Nobody pays less, so it would not get it; with more shares it would.");
}

/* --- evicted ----------------------------------------------------------------------------- */

static const struct past *recent(const struct managed *g)
{
	return g->past[1].at ? &g->past[1] : &g->past[0];
}

static void explain_evicted(const struct teller *t, const struct managed *g)
{
	const struct guest_stats *s = &g->stats;
	const struct past *p = recent(g);
	uint64_t limit = s->evicted_limit - p->limit, grant = s->evicted_grant - p->grant,
		 cold = s->evicted_cold - p->cold, out = s->evicted_out - p->out,
		 seconds = p->at ? (clock_ns() - p->at) / NSEC_PER_SEC : 0;
	struct sizes z = { .n = 0 };

	if (limit + grant + cold + out == 0)
		say(t, "No page of it was evicted in the last %" PRIu64 " seconds.", seconds);
	else
		say(t, "In the last %" PRIu64 " seconds %s of it were evicted.", seconds,
		    mem(&z, (limit + grant + cold + out) << 12));
	if (limit)
		say(t, "%s because it was at its limit of %s.", mem(&z, limit << 12),
		    mem(&z, s->limit));
	if (grant)
		say(t,
		    "%s because it had more than it was due, or all that it was due and wanted "
		    "more.",
		    mem(&z, grant << 12));
	if (cold)
		say(t, "%s because they were cold and it did not stall.", mem(&z, cold << 12));
	if (out)
		say(t, "%s because of drumctl guest out.", mem(&z, out << 12));
	say(t, "Since it was attached: limit %s, due %s, cold %s, guest out %s.",
	    mem(&z, s->evicted_limit << 12), mem(&z, s->evicted_grant << 12),
	    mem(&z, s->evicted_cold << 12), mem(&z, s->evicted_out << 12));
}

/* --- stalls ------------------------------------------------------------------------------- */

static void explain_stalls(const struct teller *t, const struct managed *g)
{
	static const char *const whats[] = {
		[HOST_STALL_READ] = "for reads of swap",
		[HOST_STALL_LIMIT] =
			"for page-out, as it was at its limit or at what it is due",
		[HOST_STALL_NO_PAGEIN] = "for other page-ins, of which there were too many",
		[HOST_STALL_CHANGING] = "for its VMM, whose address space was changing",
		[HOST_STALL_NO_MEMORY] = "for memory of its cgroup or of the host",
		[HOST_STALL_FAILING] = "for reads of swap that failed",
		[HOST_STALL_SERVED] = "for the pager itself",
	};
	const struct guest_stats *s = &g->stats;
	const struct past *p = recent(g);
	uint64_t all = s->stall_some - p->stall_some;

	say(t,
	    "%s waited for a fault " PERCENT " of the last 10 seconds, " PERCENT
	    " of the last minute, " PERCENT " of the last five.",
	    s->vcpus ? "Some vCPU" : "Some thread", PERCENT_OF(psi_share(&g->some, PSI_10S)),
	    PERCENT_OF(psi_share(&g->some, PSI_60S)),
	    PERCENT_OF(psi_share(&g->some, PSI_300S)));
	if (s->vcpus)
		say(t, "All %u of them: " PERCENT ", " PERCENT ", " PERCENT ".", s->vcpus,
		    PERCENT_OF(psi_share(&g->full, PSI_10S)),
		    PERCENT_OF(psi_share(&g->full, PSI_60S)),
		    PERCENT_OF(psi_share(&g->full, PSI_300S)));
	else
		say(t, "Which of its threads are vCPUs is not known without its monitor.");
	if (all == 0)
		return;
	for (int w = 0; w < HOST_STALLS; w++) {
		uint64_t part = s->stall_for[w] - p->stall_for[w];

		if (part * 200 >= all)
			say(t, "%.0f %% of that waiting was %s.",
			    (double)part * 100 / (double)all, whats[w]);
	}
}

/* --- balloon --------------------------------------------------------------------------------
 */

static void explain_balloon(const struct teller *t, const struct managed *g)
{
	const struct balloon_view *v = &g->view;
	struct sizes z = { .n = 0 };

	if (!g->monitor) {
		say(t,
		    "Its VMM's monitor is not known (drumctl guest set --qmp, --domain): it is "
		    "paged only.");
		return;
	}
	if (monitor_state(g->monitor) != MONITOR_UP) {
		say(t, "Its VMM's monitor does not answer, so it is paged: %s",
		    monitor_why(g->monitor)[0] ? monitor_why(g->monitor) : "not yet");
		return;
	}
	say(t, "Its balloon is %s%s%s.", balloon_state_name(g->balloon.state),
	    g->balloon.why[0] ? ": " : "", g->balloon.why);
	if (v->there)
		say(t, "It has taken %s; the guest is to be left with %s.",
		    mem(&z, v->size - v->actual), mem(&z, g->want));
	if (v->stats)
		say(t, "The guest says that %s are free and %s available to it.",
		    mem(&z, v->free), mem(&z, v->available));
	if (v->reports_free)
		say(t,
		    "It gives back pages that it has freed by itself (free page reporting).");
}

void managed_explain(const struct managed *g,
		     void (*fn)(void *arg, const char *topic, const char *text), void *arg)
{
	struct teller t = { .fn = fn, .arg = arg, .topic = "has" };
	struct sizes z = { .n = 0 };

	if (!g->serving) {
		say(&t,
		    "It is admitted with %s of RAM and a reservation of %s, %s of swap are "
		    "promised to it, and it is not attached yet.",
		    mem(&z, g->r.terms.memory), mem(&z, g->r.terms.reservation),
		    mem(&z, g->r.promised));
		return;
	}
	explain_has(&t, g);
	t.topic = "price";
	explain_price(&t, g);
	t.topic = "evicted";
	explain_evicted(&t, g);
	t.topic = "stalls";
	explain_stalls(&t, g);
	t.topic = "balloon";
	explain_balloon(&t, g);
}

int manager_explain(struct manager *m, const char *name,
		    void (*fn)(void *arg, const char *topic, const char *text), void *arg,
		    struct err *e)
{
	const struct managed *g = managed_find(m, name);

	if (!g)
		return err_set(e, -ENOENT, "no guest is named '%s'", name);
	managed_explain(g, fn, arg);
	return 0;
}
