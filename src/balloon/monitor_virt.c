/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * Calls of libvirt wait: for its daemon, for the domain's lock there, and for a QEMU that may
 * be stopped; some for ever.  So each domain has a thread, drum-libvirt, which makes one call
 * at a time and does nothing else.
 *
 *	control thread			struct desk, under its mutex	drum-libvirt
 *	sets what is wanted	->	want_*				takes it, calls
 *	takes what came		<-	result, done_fd			puts it there
 *
 * The mutex is never held over a call.  What is wanted is not a queue: a look is wanted or
 * not, and of targets the last one counts.
 *
 * Time is the control thread's: a timer compares how long the present call has lasted, and
 * when that is too long the monitor is lost, with the call going on.  When it ends after
 * all, its result counts as any other.  After a failure the thread closes the domain, and
 * nothing is wanted until the backoff has passed.
 *
 * Who ends: monitor_destroy marks the desk as left and goes.  The thread is detached and frees
 * the desk, whenever its call returns.  A desk has two owners, and the last one frees it.
 *
 * When the process ends there may be threads in a call, or just going, which runs what their
 * libraries have left for the end of a thread.  Exit handlers of the same libraries (OpenSSL's
 * frees its tables) must not run beside them: monitor_exit.
 *
 * The thread's own memory is its stack, as far as libvirt touches it, and what libvirt
 * allocates.  It holds no lock that a worker takes.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "balloon/monitor_priv.h"
#include "balloon/virt_api.h"
#include "base/clock.h"
#include "base/loop.h"

#define STACK	       (256u * 1024)
#define NAME_MAX_BYTES 255

static_assert(VIRT_VCPUS_MAX == MONITOR_VCPUS_MAX, "of one domain");

struct desk {			    /* [I] immutable, [m] mutex, [t] the thread's */
	const struct virt_api *api; /* [I] */
	char uri[NAME_MAX_BYTES + 1], domain[NAME_MAX_BYTES + 1]; /* [I] */
	int done_fd;		  /* [I] eventfd: there is a result */
	struct virt_domain *open; /* [t] */

	pthread_mutex_t mutex;
	pthread_cond_t wanted;
	bool left;		 /* [m] by the control thread */
	bool want_look;		 /* [m] */
	uint32_t seconds;	 /* [m] */
	uint64_t want_ram;	 /* [m] 0: nothing */
	bool calling;		 /* [m] from taking what was wanted to its result */
	bool has_result;	 /* [m] the next: */
	bool looked;		 /* [m] result has figures */
	struct virt_look result; /* [m] */
	struct err error;	 /* [m] code 0: it went well */
	struct err refused;	 /* [m] of a target; the domain is there */
};

struct monitor_virt {
	struct monitor m;
	struct monitor_virt_conf conf;
	struct desk *desk;
	struct loop_watch *watch, *tick;
	uint64_t asked_at;   /* ns: when what is under way was asked for; 0: nothing is */
	uint64_t rest_until; /* ns; 0: it does not rest */
	uint64_t backoff_ms;
	uint64_t up_at;
	uint64_t last_told;
	uint64_t want;	 /* to be asked when it has rested */
	uint64_t asking; /* under way; wanted again if it comes to nothing */
	bool panicked;
};

bool monitor_virt_used;

const struct monitor_virt_conf monitor_virt_default_conf = {
	.timeout_ms = 5000,
	.backoff_ms = 1000,
	.backoff_max_ms = 60 * 1000,
	.tick_ms = 500,
	.now = clock_ns,
};

/* --- the thread ----------------------------------------------------------------------- */

static void desk_free(struct desk *d)
{
	close(d->done_fd);
	pthread_cond_destroy(&d->wanted);
	pthread_mutex_destroy(&d->mutex);
	free(d);
}

/* One turn, without the mutex. */
static void make_calls(struct desk *d, uint32_t seconds, uint64_t ram, struct virt_look *out,
		       bool *looked, struct err *e, struct err *refused)
{
	int ret = 0;

	if (!d->open)
		ret = d->api->open(d->uri, d->domain, &d->open, e);
	if (ret == 0 && ram)
		(void)d->api->set_ram(d->open, ram, refused);
	/* after a target too: it tells whether the domain is there at all */
	if (ret == 0)
		ret = d->api->look(d->open, seconds, out, e);
	*looked = ret == 0;
	if (ret < 0 && d->open) {
		d->api->close(d->open);
		d->open = NULL;
	}
}

static void *run(void *arg)
{
	static const uint64_t one = 1;
	struct desk *d = arg;
	struct virt_look *look = calloc(1, sizeof(*look));

	prctl(PR_SET_NAME, "drum-libvirt");
	pthread_mutex_lock(&d->mutex);
	while (!d->left) {
		struct err e = { 0 }, refused = { 0 };
		bool looked = false;
		uint32_t seconds;
		uint64_t ram;

		if (!d->want_look && !d->want_ram) {
			pthread_cond_wait(&d->wanted, &d->mutex);
			continue;
		}
		seconds = d->seconds;
		ram = d->want_ram;
		d->want_look = false;
		d->want_ram = 0;
		d->calling = true;
		pthread_mutex_unlock(&d->mutex);
		if (look)
			make_calls(d, seconds, ram, look, &looked, &e, &refused);
		else
			err_set(&e, -ENOMEM, "no memory");
		pthread_mutex_lock(&d->mutex);
		d->calling = false;
		d->has_result = true;
		d->looked = looked;
		if (looked)
			d->result = *look;
		d->error = e;
		d->refused = refused;
		/* it fails when the counter is full, and then it is readable all the same */
		if (!d->left)
			(void)!write(d->done_fd, &one, sizeof(one));
	}
	pthread_mutex_unlock(&d->mutex);
	if (d->open)
		d->api->close(d->open);
	free(look);
	desk_free(d);
	return NULL;
}

/* => 0 or -errno */
static int thread_start(struct desk *d)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int ret;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK);
	/* signals are the control thread's */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&thread, &attr, run, d);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	monitor_virt_used |= ret == 0;
	return -ret;
}

/* --- the control thread ----------------------------------------------------------------- */

static struct monitor_virt *of(struct monitor *m)
{
	return (struct monitor_virt *)m;
}

static void lost(struct monitor_virt *v, const char *why)
{
	v->m.state = MONITOR_LOST;
	snprintf(v->m.why, sizeof(v->m.why), "%s", why);
	v->m.vcpus = 0;
	v->m.figures.balloon = v->m.figures.stats = false;
	v->last_told = 0;
}

static void rest(struct monitor_virt *v)
{
	uint64_t now = v->conf.now();

	if (v->m.state == MONITOR_UP && now - v->up_at > v->conf.backoff_max_ms * NSEC_PER_MSEC)
		v->backoff_ms = v->conf.backoff_ms;
	v->rest_until = now + v->backoff_ms * NSEC_PER_MSEC;
	v->backoff_ms *= 2;
	if (v->backoff_ms > v->conf.backoff_max_ms)
		v->backoff_ms = v->conf.backoff_max_ms;
}

/* seconds: 0: as before */
static void want(struct monitor_virt *v, uint32_t seconds)
{
	struct desk *d = v->desk;

	if (v->asked_at || v->rest_until)
		return;
	pthread_mutex_lock(&d->mutex);
	d->want_look = true;
	if (seconds)
		d->seconds = seconds;
	if (v->want)
		d->want_ram = v->want;
	pthread_cond_signal(&d->wanted);
	pthread_mutex_unlock(&d->mutex);
	v->asking = v->want;
	v->want = 0;
	v->asked_at = v->conf.now();
}

static void take_figures(struct monitor_virt *v, const struct virt_look *l)
{
	struct monitor_figures *f = &v->m.figures;
	uint64_t now = v->conf.now();

	f->at = now;
	f->balloon = l->balloon;
	f->actual = l->actual;
	f->stats = l->balloon && l->has_free && l->told > 0;
	f->stats_at = f->stats ? monitor_told_at(l->told, v->last_told, f->stats_at, now) : 0;
	v->last_told = f->stats ? l->told : 0;
	f->free = l->free;
	f->available = l->available;
	f->total = l->total;
	f->caches = l->caches;
	f->swapped_in = l->swapped_in;
	f->swapped_out = l->swapped_out;
	f->major_faults = l->major_faults;
	f->deflate_on_oom = l->deflate_on_oom;
	f->reports_free = l->reports_free;
	f->running = l->running;
	v->m.vcpus = l->vcpus;
	memcpy(v->m.vcpu, l->vcpu, l->vcpus * sizeof(l->vcpu[0]));
}

/* => as monitor_changed */
static void take_result(struct monitor_virt *v)
{
	struct desk *d = v->desk;
	bool panicked = false, has, looked;
	struct err e, refused;

	pthread_mutex_lock(&d->mutex);
	has = d->has_result;
	d->has_result = false;
	looked = d->looked;
	e = d->error;
	refused = d->refused;
	if (has && looked) {
		take_figures(v, &d->result);
		panicked = d->result.panicked && !v->panicked;
		v->panicked = d->result.panicked;
	}
	pthread_mutex_unlock(&d->mutex);
	if (!has)
		return;
	v->asked_at = 0;
	if (!looked) {
		if (!v->want)
			v->want = v->asking;
		rest(v);
		lost(v, e.text);
	} else {
		if (v->m.state != MONITOR_UP)
			v->up_at = v->conf.now();
		v->m.state = MONITOR_UP;
		snprintf(v->m.why, sizeof(v->m.why), "%s", refused.text);
		if (v->want)
			want(v, 0);
	}
	/* either may destroy the monitor: a panic is a change too, and told alone */
	if (panicked && v->m.ops.panicked)
		v->m.ops.panicked(v->m.ops.arg);
	else
		monitor_changed(&v->m);
}

static void done(void *arg, uint32_t events)
{
	struct monitor_virt *v = arg;
	uint64_t n;

	(void)events;
	if (read(v->desk->done_fd, &n, sizeof(n)) < 0)
		return;
	take_result(v);
}

static void look_at_clock(void *arg)
{
	struct monitor_virt *v = arg;
	uint64_t now = v->conf.now();

	if (v->rest_until && now >= v->rest_until) {
		v->rest_until = 0;
		want(v, 0);
	} else if (v->asked_at && now - v->asked_at >= v->conf.timeout_ms * NSEC_PER_MSEC &&
		   v->m.state != MONITOR_LOST) {
		lost(v, "libvirt does not answer");
		monitor_changed(&v->m);
	}
}

static void poll_figures(struct monitor *m, uint32_t seconds)
{
	if (m->state == MONITOR_UP)
		want(of(m), seconds);
}

static void set_ram(struct monitor *m, uint64_t bytes)
{
	struct monitor_virt *v = of(m);

	v->want = bytes;
	if (m->state == MONITOR_UP)
		want(v, 0);
}

static void destroy(struct monitor *m)
{
	struct monitor_virt *v = of(m);
	struct desk *d = v->desk;

	loop_remove(v->tick);
	loop_remove(v->watch);
	pthread_mutex_lock(&d->mutex);
	d->left = true;
	pthread_cond_signal(&d->wanted);
	pthread_mutex_unlock(&d->mutex);
	free(v);
}

static const struct monitor_kind kind = {
	.destroy = destroy,
	.poll = poll_figures,
	.set_ram = set_ram,
};

static struct desk *desk_create(const char *uri, const char *domain, const struct virt_api *api)
{
	struct desk *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->done_fd < 0) {
		free(d);
		return NULL;
	}
	d->api = api;
	snprintf(d->uri, sizeof(d->uri), "%s", uri ? uri : "");
	snprintf(d->domain, sizeof(d->domain), "%s", domain);
	pthread_mutex_init(&d->mutex, NULL);
	pthread_cond_init(&d->wanted, NULL);
	d->seconds = 1;
	return d;
}

struct monitor *monitor_virt_with(struct loop *l, const char *uri, const char *domain,
				  const struct monitor_ops *ops, const struct virt_api *api,
				  const struct monitor_virt_conf *conf, struct err *e)
{
	struct monitor_virt *v;
	int ret;

	if ((uri && strlen(uri) > NAME_MAX_BYTES) || strlen(domain) > NAME_MAX_BYTES) {
		err_set(e, -ENAMETOOLONG,
			"libvirt: the name of the domain, or its URI, is too long");
		return NULL;
	}
	v = calloc(1, sizeof(*v));
	if (!v) {
		err_set(e, -ENOMEM, "no memory");
		return NULL;
	}
	v->m.kind = &kind;
	v->m.ops = ops ? *ops : (struct monitor_ops){ 0 };
	v->conf = conf ? *conf : monitor_virt_default_conf;
	v->backoff_ms = v->conf.backoff_ms;
	v->desk = desk_create(uri, domain, api);
	if (v->desk)
		v->watch = loop_add(l, v->desk->done_fd, EPOLLIN, done, v);
	if (v->watch)
		v->tick = loop_every(l, v->conf.tick_ms, look_at_clock, v);
	ret = v->tick ? thread_start(v->desk) : -errno;
	if (ret < 0) {
		err_set(e, ret, "libvirt: %s", strerror(-ret));
		if (v->tick)
			loop_remove(v->tick);
		if (v->watch)
			loop_remove(v->watch);
		if (v->desk)
			desk_free(v->desk);
		free(v);
		return NULL;
	}
	want(v, 0);
	return &v->m;
}

struct monitor *monitor_virt(struct loop *l, const char *uri, const char *domain,
			     const struct monitor_ops *ops, struct err *e)
{
	const struct virt_api *api = virt_api_load(e);

	return api ? monitor_virt_with(l, uri, domain, ops, api, NULL, e) : NULL;
}
