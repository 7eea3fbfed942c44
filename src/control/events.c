/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A kind is a name, and what it is about if that is a path, a guest or a disk,
 * of which an event was sent not long ago.
 * While it exists, events of it are kept in it, each in place of the one
 * before.  When its time has come, what is kept is sent and the kind waits
 * once more; a kind that has nothing kept goes.
 *
 * All wait equally long, so kinds stand in the list in the order in which
 * their time comes, and one timer, for the first, is enough.  Only the timer
 * ends a kind's time, never a look at the clock.
 *
 * An event gets its time when it happens, not when it is sent.
 *
 * PAGER_RESTARTED is about the very clients that were cut off by it, and most come back when it
 * was sent already.  So it is kept for a while, for those who come meanwhile.
 *
 * Changes of jobs are none of that: each is a step that somebody may wait for, and there are as
 * many as commands are taken.
 */
#include "control/events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/event_table.h"
#include "control/query_add.h"

struct kind {
	TAILQ_ENTRY(kind) link;
	uint64_t due;		  /* clock_ns */
	struct json_object *kept; /* to be sent then, or NULL */
	const char *name;	  /* both in text */
	const char *about;
	char text[];
};

TAILQ_HEAD(kind_list, kind);

struct events {
	struct loop *loop;
	struct loop_watch *timer; /* while there is a kind */
	uint32_t every_ms;
	events_send_fn send;
	void *arg;
	struct kind_list kinds;
	size_t nkinds;
	struct json_object *restarted; /* or NULL */
	uint64_t restarted_at;	       /* clock_ns */
};

static void timer_set(struct events *ev);

static bool is_subject(const char *key)
{
	return !strcmp(key, "guest") || !strcmp(key, "path") || !strcmp(key, "disk");
}

/* What it is about.  Other texts, as a level of memory, say what has become of that: were
 * these told apart, the last of one might be sent after the last of all. */
static const char *subject(const struct host_event *event)
{
	const struct host_event_field *f = event->field;

	for (; f < event->field + HOST_EVENT_FIELDS && f->key; f++)
		if (f->text && is_subject(f->key))
			return f->text;
	return "";
}

static struct json_object *event_object(const struct host_event *event)
{
	struct json_object *o = json_object_new_object();
	struct json_object *when = json_object_new_object();
	struct json_object *data = json_object_new_object();
	const struct host_event_field *f = event->field;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	json_object_object_add(when, "seconds", json_object_new_int64(now.tv_sec));
	json_object_object_add(when, "microseconds", json_object_new_int64(now.tv_nsec / 1000));
	for (; f < event->field + HOST_EVENT_FIELDS && f->key; f++)
		if (f->text)
			add_text(data, f->key, f->text);
		else if (f->percent)
			add_percent(data, f->key, (uint32_t)f->number);
		else
			add_uint(data, f->key, f->number);
	json_object_object_add(o, "timestamp", when);
	json_object_object_add(o, "event", json_object_new_string(event->name));
	json_object_object_add(o, "data", data);
	return o;
}

static void send_and_put(struct events *ev, struct json_object *o)
{
	ev->send(ev->arg, o);
	json_object_put(o);
}

/* Its time starts now. */
static void kind_wait(struct events *ev, struct kind *k)
{
	k->due = clock_ns() + ev->every_ms * NSEC_PER_MSEC;
	TAILQ_INSERT_TAIL(&ev->kinds, k, link);
	ev->nkinds++;
}

/* => what it kept */
static struct json_object *kind_take(struct events *ev, struct kind *k)
{
	struct json_object *kept = k->kept;

	k->kept = NULL;
	TAILQ_REMOVE(&ev->kinds, k, link);
	ev->nkinds--;
	return kept;
}

static void kind_end(struct events *ev, struct kind *k)
{
	struct json_object *kept = kind_take(ev, k);

	free(k);
	if (kept)
		send_and_put(ev, kept);
}

static void timer_fires(void *arg)
{
	struct events *ev = arg;
	uint64_t now = clock_ns();
	struct kind *k;

	while ((k = TAILQ_FIRST(&ev->kinds)) && k->due <= now) {
		struct json_object *kept = kind_take(ev, k);

		if (!kept) {
			free(k);
			continue;
		}
		kind_wait(ev, k);
		send_and_put(ev, kept);
	}
	loop_remove(ev->timer);
	ev->timer = NULL;
	timer_set(ev);
}

static void timer_set(struct events *ev)
{
	struct kind *k = TAILQ_FIRST(&ev->kinds);
	uint64_t now = clock_ns();

	if (!k || ev->timer)
		return;
	/* rounded up: it would come again for nothing */
	ev->timer = loop_every(
		ev->loop, k->due <= now ? 1 : (uint32_t)((k->due - now) / NSEC_PER_MSEC) + 1,
		timer_fires, ev);
	if (ev->timer)
		return;
	log_warn("QMP: no timer, events are not held back: %s", strerror(errno));
	while ((k = TAILQ_FIRST(&ev->kinds)))
		kind_end(ev, k);
}

static struct kind *kind_find(struct events *ev, const char *name, const char *about)
{
	struct kind *k;

	TAILQ_FOREACH (k, &ev->kinds, link)
		if (!strcmp(k->name, name) && !strcmp(k->about, about))
			return k;
	return NULL;
}

/* Without memory for it the next event is not held back, that is all. */
static void kind_add(struct events *ev, const char *name, const char *about)
{
	size_t n = strlen(name) + 1, m = strlen(about) + 1;
	struct kind *k = malloc(sizeof(*k) + n + m);

	if (!k)
		return;
	k->kept = NULL;
	k->name = memcpy(k->text, name, n);
	k->about = memcpy(k->text + n, about, m);
	kind_wait(ev, k);
}

/* What is not as the manual says is sent all the same, and is a bug: tests look for this. */
static void complain(const struct host_event *event)
{
	struct err e;

	if (event_check(event, &e) < 0)
		log_err("bug: %s", e.text);
}

void events_emit(struct events *ev, const struct host_event *event)
{
	const char *about = subject(event);
	struct json_object *o = event_object(event);
	struct kind *k = kind_find(ev, event->name, about);

	complain(event);
	if (!strcmp(event->name, "PAGER_RESTARTED")) {
		json_object_put(ev->restarted);
		ev->restarted = json_object_get(o);
		ev->restarted_at = clock_ns();
	} else if (!strcmp(event->name, "JOB_STATUS_CHANGE")) {
		send_and_put(ev, o);
		return;
	}
	if (k) {
		json_object_put(k->kept);
		k->kept = o;
		return;
	}
	if (ev->nkinds == EVENTS_KINDS_MAX)
		kind_end(ev, TAILQ_FIRST(&ev->kinds));
	kind_add(ev, event->name, about);
	timer_set(ev);
	send_and_put(ev, o);
}

struct json_object *events_missed(const struct events *ev)
{
	return ev->restarted && clock_ns() - ev->restarted_at < EVENTS_MISSED_NS ? ev->restarted
										 : NULL;
}

struct events *events_create(struct loop *loop, uint32_t every_ms, events_send_fn send,
			     void *arg)
{
	struct events *ev = calloc(1, sizeof(*ev));

	if (!ev)
		return NULL;
	ev->loop = loop;
	ev->every_ms = every_ms;
	ev->send = send;
	ev->arg = arg;
	TAILQ_INIT(&ev->kinds);
	return ev;
}

void events_set_every(struct events *ev, uint32_t every_ms)
{
	ev->every_ms = every_ms;
}

void events_destroy(struct events *ev)
{
	struct kind *k;

	if (!ev)
		return;
	while ((k = TAILQ_FIRST(&ev->kinds))) {
		json_object_put(kind_take(ev, k));
		free(k);
	}
	if (ev->timer)
		loop_remove(ev->timer);
	json_object_put(ev->restarted);
	free(ev);
}
