/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * One thread (serve) owns the connection.  Whoever submits an I/O leaves it in
 * nbd_slots.c; the thread takes it from there to `todo`, and from there, when the
 * request is started, to `flight`, where it stays until the server has answered.
 * So that reads, which somebody waits for, need not wait for writes, no more than
 * FLIGHT_WRITE_BYTES of writes stand before a read in the socket.
 *
 * An I/O that is longer than the server's largest request is moved by several
 * requests, one after the other.
 *
 * The link is lost when libnbd says so, or no answer comes for too long.  Then
 * (go_offline) writes end, and reads go from flight back to todo.  While it
 * is offline (reconnect) nothing but reads gathers: submit ends writes by itself.
 * Of half of a mirror reads end as well: the other half can answer them.
 *
 * NBD has no way to tell a new size.  A request beyond the size that the server
 * told at connecting is not started; what is in flight is waited for, and the
 * link made anew (renew).
 */

#include "swap/device_nbd.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/clock.h"
#include "base/point.h"
#include "swap/nbd_link.h"
#include "swap/nbd_slots.h"

#define FLIGHT_WRITE_BYTES (8u << 20)
#define TRIM_BYTES	   (64u << 20) /* of one request */

/* Against a server that answers all but one: that one may take so many times
 * as long as there may be no answer at all. */
#define OLDEST_FACTOR 4

enum trim_state { TRIM_NONE, TRIM_WANTED, TRIM_TAKEN, TRIM_DONE };

/* [t] is the thread's. */
struct nbd_device {
	struct swap_device dev;	      /* first */
	const char *uri;	      /* [I] points into dev.path */
	struct nbd_patience patience; /* [I] */
	pthread_t thread;	      /* [I] */
	bool started;		      /* [I] there is a thread */
	int stop_fd;		      /* [I] eventfd: readable once ending */
	bool ending;		      /* [a] */
	struct nbd_slots slots;

	struct nbd_link *link;		   /* [t] or NULL */
	struct nbd_export export;	   /* [t] as the link was told */
	struct nbd_slot_list todo, flight; /* [t] flight by since */
	uint32_t flight_writes;		   /* [t] bytes */
	uint64_t linked_at, answered_at;   /* [t] ns */
	uint32_t backoff;		   /* [t] ms */
	const char *told; /* [t] why it is offline, as last told; NULL: not told */

	pthread_mutex_t lock;	    /* leaf */
	int trim_refused;	    /* [lock] 0, or -errno: why nothing can be trimmed now */
	enum trim_state trim_state; /* [lock] */
	pthread_cond_t trim_done;   /* TRIM_DONE */
	uint64_t trim_at;	    /* [lock] */
	uint32_t trim_bytes;	    /* [lock] */
	int trim_err;		    /* [lock] */
	struct nbd_slot trim;
};

static const struct nbd_patience usual = {
	.connect = 10000, .command = 30000, .retry_min = 100, .retry_max = 5000
};
static struct nbd_patience set_patience; /* [a] each */

void device_nbd_set_patience(const struct nbd_patience *p)
{
	__atomic_store_n(&set_patience.connect, p->connect, __ATOMIC_RELAXED);
	__atomic_store_n(&set_patience.command, p->command, __ATOMIC_RELAXED);
	__atomic_store_n(&set_patience.retry_min, p->retry_min, __ATOMIC_RELAXED);
	__atomic_store_n(&set_patience.retry_max, p->retry_max, __ATOMIC_RELAXED);
}

static uint32_t patience_of(const uint32_t *set, uint32_t otherwise)
{
	uint32_t ms = __atomic_load_n(set, __ATOMIC_RELAXED);

	return ms ? ms : otherwise;
}

static struct nbd_device *nbd_of(struct swap_device *dev)
{
	return (struct nbd_device *)dev;
}

static bool beyond(struct nbd_device *nd, uint64_t end)
{
	return end > __atomic_load_n(&nd->dev.blocks, __ATOMIC_RELAXED) << SWAP_BLOCK_SHIFT;
}

static void nbd_submit(struct swap_device *dev, struct swap_io *io)
{
	struct nbd_device *nd = nbd_of(dev);
	int err = point_hit(io->write ? "nbd-write" : "nbd-read");

	/* nothing could ever start it: see needs_renewal */
	if (err == 0 && beyond(nd, io->offset + io->total))
		err = -EINVAL;
	if (err)
		device_post(io, err);
	else
		nbd_slots_submit(&nd->slots, io);
}

/* --- requests (all by the thread) --------------------------------------------------- */

static void end_trim(struct nbd_device *nd, int err)
{
	pthread_mutex_lock(&nd->lock);
	nd->trim_err = err;
	nd->trim_state = TRIM_DONE;
	pthread_cond_signal(&nd->trim_done);
	pthread_mutex_unlock(&nd->lock);
}

static void end_slot(struct nbd_device *nd, struct nbd_slot *s, int err)
{
	struct swap_io *io = s->io;

	if (!io) {
		end_trim(nd, err);
		return;
	}
	if (err == 0 && !io->write && s->bounce)
		nbd_slot_scatter(s);
	nbd_slots_put(&nd->slots, s);
	device_post(io, err);
}

/* Start the next request of s. => 0 or -errno: the link has failed */
static int start(struct nbd_device *nd, struct nbd_slot *s)
{
	uint64_t at = s->io ? s->io->offset + s->done : nd->trim_at;
	char *data = s->bounce;
	int ret;

	if (s->io) {
		s->now = s->io->total - s->done;
		if (s->now > nd->export.max_request)
			s->now = nd->export.max_request & ~(SWAP_BLOCK - 1);
		if (!data)
			data = s->io->iov[0].iov_base;
	}
	if (!s->io)
		ret = nbd_link_trim(nd->link, s->now, at, &s->cookie);
	else if (s->io->write)
		ret = nbd_link_write(nd->link, data + s->done, s->now, at, &s->cookie);
	else
		ret = nbd_link_read(nd->link, data + s->done, s->now, at, &s->cookie);
	return ret;
}

/* Is it beyond the size that the server told this link? */
static bool needs_renewal(const struct nbd_device *nd, const struct nbd_slot *s)
{
	uint64_t end = s->io ? s->io->offset + s->io->total : nd->trim_at + s->now;

	return end > nd->export.bytes;
}

/* Is there room in the socket, as it were, for one more write? */
static bool may_start(const struct nbd_device *nd, const struct nbd_slot *s)
{
	return !nbd_slot_is_write(s) || nd->flight_writes == 0 ||
	       nd->flight_writes + s->io->total <= FLIGHT_WRITE_BYTES;
}

/*
 * Start what may be; nothing behind one that needs a new link, so that what is
 * in flight comes to an end.  => 0, -errno: the link has failed; *anew: one does
 */
static int start_all(struct nbd_device *nd, bool *anew)
{
	struct nbd_slot **at = &nd->todo.head;

	*anew = false;
	while (*at) {
		struct nbd_slot *s = *at;
		int ret;

		*anew = needs_renewal(nd, s);
		if (*anew)
			return 0;
		if (!may_start(nd, s)) {
			at = &s->next;
			continue;
		}
		ret = start(nd, s);
		if (ret < 0)
			return ret;
		s->since = clock_ns();
		if (!nd->flight.head)
			nd->answered_at = s->since;
		nbd_list_cut(&nd->todo, at);
		nbd_list_add(&nd->flight, s);
		if (nbd_slot_is_write(s))
			nd->flight_writes += s->io->total;
	}
	return 0;
}

/* Take what others have left. */
static void take_ready(struct nbd_device *nd)
{
	nbd_slots_take_ready(&nd->slots, &nd->todo);
	pthread_mutex_lock(&nd->lock);
	if (nd->trim_state == TRIM_WANTED) {
		nd->trim_state = TRIM_TAKEN;
		nd->trim.now = nd->trim_bytes;
		nbd_list_add(&nd->todo, &nd->trim);
	}
	pthread_mutex_unlock(&nd->lock);
}

/* End what the server has answered. */
static void reap(struct nbd_device *nd)
{
	uint64_t cookie;
	int err;

	while (nbd_link_reap(nd->link, &cookie, &err)) {
		struct nbd_slot **at = &nd->flight.head, *s;

		while (*at && (*at)->cookie != cookie)
			at = &(*at)->next;
		assert(*at);
		s = nbd_list_cut(&nd->flight, at);
		nd->answered_at = clock_ns();
		if (nbd_slot_is_write(s))
			nd->flight_writes -= s->io->total;
		if (s->io && err == 0)
			s->done += s->now;
		if (s->io && err == 0 && s->done < s->io->total)
			nbd_list_add(&nd->todo, s);
		else
			end_slot(nd, s, err);
	}
}

/* --- gone and back (all by the thread) ------------------------------------------------ */

/* Take out of l what does not wait for the server to come back. */
static void take_perishable(struct nbd_slot_list *l, struct nbd_slot_list *to)
{
	struct nbd_slot **at = &l->head;

	while (*at) {
		struct nbd_slot *s = *at;

		if (s->io && nbd_waits_offline(s->io))
			at = &s->next;
		else
			nbd_list_add(to, nbd_list_cut(l, at));
	}
}

/* Told once each; compared by address. */
static const char why_gone[] = "the server cannot be reached";
static const char why_unfit[] = "the server is there, but of no use";

static void tell_offline(struct nbd_device *nd, const char *why, int err, const char *text)
{
	if (nd->told == why)
		return;
	nd->told = why;
	device_tell(&nd->dev, SWAP_EVENT_OFFLINE, err, "%s: %s", why, text);
}

/* The link has failed or is given up. */
static void go_offline(struct nbd_device *nd, const char *why, int err, const char *text)
{
	struct nbd_slot_list ended;
	struct swap_io *io, *next;
	struct nbd_slot *s;

	nbd_list_init(&ended);
	__atomic_store_n(&nd->dev.suspended, true, __ATOMIC_RELEASE);
	io = nbd_slots_set_offline(&nd->slots);
	nbd_slots_take_ready(&nd->slots, &nd->todo);
	pthread_mutex_lock(&nd->lock);
	nd->trim_refused = -ENOTCONN;
	if (nd->trim_state == TRIM_WANTED) {
		nd->trim_state = TRIM_TAKEN;
		nbd_list_add(&ended, &nd->trim);
	}
	pthread_mutex_unlock(&nd->lock);

	tell_offline(nd, why, err, text);
	/* from here on nothing touches the memory of what was in flight */
	nbd_link_close(nd->link);
	nd->link = NULL;
	nd->flight_writes = 0;

	/* reads that were in flight came first, and begin anew */
	nbd_list_move(&nd->flight, &nd->todo);
	nbd_list_move(&nd->todo, &nd->flight);
	take_perishable(&nd->todo, &ended);
	for (s = nd->todo.head; s; s = s->next)
		s->done = 0;
	while (ended.head) {
		s = nbd_list_cut(&ended, &ended.head);
		end_slot(nd, s, -ENOTCONN);
	}
	for (; io; io = next) {
		next = io->next;
		device_post(io, -ENOTCONN);
	}
}

/* Can a device of so many blocks be on such an export? => 0 or -errno and e */
static int check_export(const struct nbd_export *x, uint64_t blocks, struct err *e)
{
	if (x->read_only)
		return err_set(e, -EROFS,
			       "the export is read-only; let the server export it for writing");
	if (x->min_request > SWAP_BLOCK || x->max_request < SWAP_BLOCK)
		return err_set(e, -EINVAL,
			       "the server takes requests of %u to %u bytes, "
			       "and those of swap are multiples of %u",
			       x->min_request, x->max_request, SWAP_BLOCK);
	if (x->bytes >> SWAP_BLOCK_SHIFT < blocks)
		return err_set(e, -ENOSPC, "the export has %llu bytes, and %llu are needed",
			       (unsigned long long)x->bytes,
			       (unsigned long long)blocks << SWAP_BLOCK_SHIFT);
	return 0;
}

/* => a link to an export that fits, or NULL: e and why */
static struct nbd_link *open_fit(const char *uri, uint32_t ms, int stop_fd, uint64_t blocks,
				 struct nbd_export *x, const char **why, struct err *e)
{
	struct nbd_link *l = nbd_link_open(uri, ms, stop_fd, x, e);

	*why = why_gone;
	if (!l)
		return NULL;
	*why = why_unfit;
	if (check_export(x, blocks, e) < 0) {
		nbd_link_close(l);
		return NULL;
	}
	return l;
}

/* Wait; => true: not to the end, the device is being closed. */
static bool pause_for(const struct nbd_device *nd, uint32_t ms)
{
	struct pollfd p = { .fd = nd->stop_fd, .events = POLLIN };

	return poll(&p, 1, (int)ms) > 0;
}

static void linked(struct nbd_device *nd)
{
	bool away = __atomic_load_n(&nd->dev.suspended, __ATOMIC_RELAXED);

	nd->linked_at = nd->answered_at = clock_ns();
	pthread_mutex_lock(&nd->lock);
	nd->trim_refused = nd->export.can_trim ? 0 : -EOPNOTSUPP;
	pthread_mutex_unlock(&nd->lock);
	nbd_slots_set_online(&nd->slots);
	__atomic_store_n(&nd->dev.suspended, false, __ATOMIC_RELEASE);
	/* a mirror leaves out a half from the first, whether it was told or not */
	if (nd->told || (away && __atomic_load_n(&nd->dev.is_half, __ATOMIC_ACQUIRE)))
		device_tell(&nd->dev, SWAP_EVENT_ONLINE, 0, "the server is back");
	nd->told = NULL;
	/* others may have come while nobody waited for them */
	nbd_slots_admit(&nd->slots);
}

/* One attempt. => 0, -errno and the reason */
static int try_link(struct nbd_device *nd, const char **why, struct err *e)
{
	uint64_t blocks = __atomic_load_n(&nd->dev.blocks, __ATOMIC_RELAXED);

	nd->link = open_fit(nd->uri, nd->patience.connect, nd->stop_fd, blocks, &nd->export,
			    why, e);
	if (!nd->link)
		return e->code;
	linked(nd);
	return 0;
}

/* Try until there is a link, or the device is closed. */
static void reconnect(struct nbd_device *nd)
{
	struct err e = { 0 };
	const char *why;

	/* one that is lost as soon as it is there must not be tried all the time */
	if (clock_ns() - nd->linked_at > nd->patience.retry_max * NSEC_PER_MSEC)
		nd->backoff = 0;
	while (!pause_for(nd, nd->backoff)) {
		nd->backoff = nd->backoff ? nd->backoff * 2 : nd->patience.retry_min;
		if (nd->backoff > nd->patience.retry_max)
			nd->backoff = nd->patience.retry_max;
		if (try_link(nd, &why, &e) == 0)
			return;
		if (e.code != -ECANCELED && (why == why_unfit || !nd->told))
			tell_offline(nd, why, e.code, e.text);
	}
}

/* The export may have grown: the same server, asked anew. Nothing is in flight. */
static void renew(struct nbd_device *nd)
{
	struct err e = { 0 };
	const char *why;

	nbd_link_close(nd->link);
	nd->link = NULL;
	if (try_link(nd, &why, &e) < 0 && e.code != -ECANCELED)
		go_offline(nd, why, e.code, e.text);
}

/* --- the thread ------------------------------------------------------------------------ */

/* How long may be waited for answers? => ms, -1: for ever, 0: no longer */
static int wait_time(const struct nbd_device *nd)
{
	uint64_t patience = nd->patience.command * NSEC_PER_MSEC, now, end, oldest;

	if (!nd->flight.head)
		return -1;
	now = clock_ns();
	end = nd->answered_at + patience;
	oldest = nd->flight.head->since + patience * OLDEST_FACTOR;
	if (oldest < end)
		end = oldest;
	return now >= end ? 0 : (int)((end - now) / NSEC_PER_MSEC) + 1;
}

/* While there is a link. */
static void turn(struct nbd_device *nd)
{
	char text[64];
	bool anew;
	int ret, ms;

	take_ready(nd);
	ret = start_all(nd, &anew);
	if (ret == 0 && anew && !nd->flight.head) {
		renew(nd);
		return;
	}
	ms = wait_time(nd);
	if (ret == 0 && ms == 0) {
		snprintf(text, sizeof(text), "no answer to a request for %u ms",
			 nd->patience.command);
		go_offline(nd, why_gone, -ETIMEDOUT, text);
		return;
	}
	if (ret == 0)
		(void)!nbd_link_run(nd->link, nd->slots.wake_fd, ms);
	/* what was answered before the link was lost is answered */
	reap(nd);
	ret = nbd_link_failed(nd->link);
	if (ret < 0)
		go_offline(nd, why_gone, ret, nbd_link_error(nd->link));
	else
		nbd_slots_admit(&nd->slots);
}

static void *serve(void *arg)
{
	struct nbd_device *nd = arg;
	uint64_t n;

	prctl(PR_SET_NAME, "drum-nbd");
	while (!__atomic_load_n(&nd->ending, __ATOMIC_ACQUIRE)) {
		if (!nd->link) {
			reconnect(nd);
			continue;
		}
		turn(nd);
		/* before the next look at what was left, so that no word is lost */
		(void)!read(nd->slots.wake_fd, &n, sizeof(n));
	}
	nbd_link_close(nd->link);
	nd->link = NULL;
	return NULL;
}

/* --- the device ------------------------------------------------------------------------ */

static int trim_one(struct nbd_device *nd, uint64_t at, uint32_t bytes)
{
	int err;

	pthread_mutex_lock(&nd->lock);
	err = nd->trim_refused;
	if (err == 0) {
		nd->trim_at = at;
		nd->trim_bytes = bytes;
		nd->trim_state = TRIM_WANTED;
		nbd_slots_wake(&nd->slots);
		while (nd->trim_state != TRIM_DONE)
			pthread_cond_wait(&nd->trim_done, &nd->lock);
		nd->trim_state = TRIM_NONE;
		err = nd->trim_err;
	}
	pthread_mutex_unlock(&nd->lock);
	return err;
}

static int nbd_discard(struct swap_device *dev, uint64_t block, uint64_t n)
{
	uint64_t at = block << SWAP_BLOCK_SHIFT, end = at + (n << SWAP_BLOCK_SHIFT);
	int err = beyond(nbd_of(dev), end) ? -EINVAL : 0;

	while (at < end && err == 0) {
		uint32_t now = end - at < TRIM_BYTES ? (uint32_t)(end - at) : TRIM_BYTES;

		err = trim_one(nbd_of(dev), at, now);
		at += now;
	}
	return err;
}

static int64_t nbd_grow(struct swap_device *dev, uint64_t bytes)
{
	(void)dev;
	return (int64_t)(bytes >> SWAP_BLOCK_SHIFT);
}

/* All but the thread and what device_close does. */
static void release(struct nbd_device *nd)
{
	nbd_link_close(nd->link);
	nbd_slots_fini(&nd->slots);
	if (nd->stop_fd >= 0)
		close(nd->stop_fd);
	pthread_cond_destroy(&nd->trim_done);
	pthread_mutex_destroy(&nd->lock);
}

static void nbd_close_device(struct swap_device *dev)
{
	struct nbd_device *nd = nbd_of(dev);
	uint64_t one = 1;

	if (nd->started) {
		__atomic_store_n(&nd->ending, true, __ATOMIC_RELEASE);
		(void)!write(nd->stop_fd, &one, sizeof(one));
		nbd_slots_wake(&nd->slots);
		pthread_join(nd->thread, NULL);
	}
	assert(!nd->todo.head && !nd->flight.head && !nd->slots.ready.head);
	release(nd);
}

static const struct swap_device_ops nbd_ops = {
	.kind = "nbd",
	.submit = nbd_submit,
	.close = nbd_close_device,
	.discard = nbd_discard,
	.grow = nbd_grow,
};

/* "nbd:URI", or a URI that begins like that. => NULL: neither */
static const char *uri_of(const char *path)
{
	if (strncmp(path, "nbd://", 6) == 0)
		return path;
	return strncmp(path, "nbd:", 4) == 0 ? path + 4 : NULL;
}

/* => a device without link and thread, or NULL and e */
static struct nbd_device *make(const char *path, const struct swap_listener *listener,
			       struct err *e)
{
	struct nbd_device *nd;
	int ret;

	if (!uri_of(path)) {
		err_set(e, -EINVAL, "'%s' is not a device on an NBD server; write nbd:URI",
			path);
		return NULL;
	}
	nd = (struct nbd_device *)device_alloc(sizeof(*nd), &nbd_ops, path);
	if (!nd) {
		err_set(e, -ENOMEM, "%s: out of memory", path);
		return NULL;
	}
	pthread_mutex_init(&nd->lock, NULL);
	pthread_cond_init(&nd->trim_done, NULL);
	nbd_list_init(&nd->todo);
	nbd_list_init(&nd->flight);
	nd->uri = uri_of(nd->dev.path);
	nd->patience = (struct nbd_patience){
		.connect = patience_of(&set_patience.connect, usual.connect),
		.command = patience_of(&set_patience.command, usual.command),
		.retry_min = patience_of(&set_patience.retry_min, usual.retry_min),
		.retry_max = patience_of(&set_patience.retry_max, usual.retry_max),
	};
	nd->dev.dev = UINT64_MAX;
	nd->dev.ino = XXH3_64bits(nd->uri, strlen(nd->uri));
	nd->dev.listener = listener;
	nd->dev.suspended = true;
	nd->trim_refused = -ENOTCONN;
	ret = nbd_slots_init(&nd->slots);
	nd->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ret == 0 && nd->stop_fd < 0)
		ret = -errno;
	if (ret < 0) {
		err_set(e, ret, "%s: %s", path, strerror(-ret));
		device_close(&nd->dev);
		return NULL;
	}
	return nd;
}

/* The last step of a creation. => NULL: it is closed again */
static struct swap_device *set_going(struct nbd_device *nd, struct err *e)
{
	int ret = pthread_create(&nd->thread, NULL, serve, nd);

	if (ret == 0) {
		nd->started = true;
		return &nd->dev;
	}
	err_set(e, -ret, "%s: no thread for it: %s", nd->dev.path, strerror(ret));
	device_close(&nd->dev);
	return NULL;
}

struct swap_device *device_nbd_create(const char *path, const struct swap_listener *listener,
				      struct err *e)
{
	struct nbd_device *nd = make(path, listener, e);
	struct err why_not = { 0 };
	const char *why;

	if (!nd)
		return NULL;
	nd->link = open_fit(nd->uri, nd->patience.connect, -1, 1, &nd->export, &why, &why_not);
	if (!nd->link) {
		err_set(e, why_not.code, "%s: %s%s", path, why_not.text,
			why == why_unfit || why_not.code == -EINVAL
				? ""
				: "; does an NBD server listen there, and may drumd reach it?");
		device_close(&nd->dev);
		return NULL;
	}
	nd->dev.blocks = nd->export.bytes >> SWAP_BLOCK_SHIFT;
	linked(nd);
	return set_going(nd, e);
}

struct swap_device *device_nbd_reopen(const char *path, uint64_t blocks,
				      const struct swap_listener *listener, struct err *e)
{
	struct nbd_device *nd = make(path, listener, e);

	if (!nd)
		return NULL;
	nd->dev.blocks = blocks;
	return set_going(nd, e);
}

int64_t device_nbd_size(const struct swap_device *dev, struct err *e)
{
	const struct nbd_device *nd = (const struct nbd_device *)dev;
	struct nbd_export x;
	struct err why_not = { 0 };
	struct nbd_link *l;

	if (dev->ops != &nbd_ops)
		return err_set(e, -EINVAL, "%s is not on an NBD server", dev->path);
	l = nbd_link_open(nd->uri, nd->patience.connect, -1, &x, &why_not);
	if (!l)
		return err_set(e, why_not.code, "%s: %s", dev->path, why_not.text);
	nbd_link_close(l);
	return (int64_t)x.bytes;
}
