/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Disks on servers that speak NBD.
 *
 * Theory of operation
 *
 * One thread (serve) owns the connection.  Requests are left for it in `ready` and
 * answered by ring_post; image_nbd_io.c says what it does with them.
 *
 * When the connection is lost, requests wait.  It is made again, again and again; then
 * come, in this order: what the log has, what was under way, what is new.
 *
 * What is promised: a write that was acknowledged is not lost, whatever happens to the
 * server, as long as its disk keeps what was flushed and this process lives.
 *  - directsync, writethrough: everything carries FUA, or is followed by a flush where
 *    the server knows no FUA.
 *  - none, writeback: what is not flushed is in the log too, LOG_BYTES at most: a server
 *    may lose what it has not flushed when it dies, and nobody tells whether it did.
 *    Should this process die as well before the next flush, and the server have died,
 *    that is lost as in a crash of the host, which ends the guest, did it not go on.
 *  - unsafe: nothing is promised of a server that dies.
 * What was flushed is durable in all but unsafe.  A server without flush is refused.
 *
 * NBD has no fence.  A request that was sent twice, the first time over a connection
 * that is lost, could be carried out the first time after the second, and after what
 * the guest has written since.  A server that has closed the connection while its client
 * is there, or has died, carries out nothing more of it.  So that is waited for: there is no
 * limit to the time that a request may take, and only a machine that TCP has not heard of for
 * NBD_SILENCE_S seconds is given up, a time in which a server has long carried out what it
 * had received.  A client that goes has to know more: image_nbd_late.c.
 *
 * A server that comes back smaller, read-only, or unable to do what it could is not used.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memlock.h"
#include "vmm/image_nbd_priv.h"

#define LOG_BYTES (16u << 20)
#define MEMORY	  ((size_t)(NBD_SLOTS + 1) * NBD_PIECE)

static struct image_nbd *nbd_of(struct image *image)
{
	return (struct image_nbd *)image;
}

static void wake(int fd)
{
	uint64_t one = 1;

	(void)!write(fd, &one, sizeof(one));
}

static void drain(int fd)
{
	uint64_t n;

	(void)!read(fd, &n, sizeof(n));
}

/* --- any thread ---------------------------------------------------------------------- */

static void nbd_submit(struct image *image, struct image_req *req)
{
	struct image_nbd *n = nbd_of(image);
	bool first;

	if (req->op == IMAGE_DISCARD && !image->info.can_discard) {
		image_end_later(req, 0);
		return;
	}
	pthread_mutex_lock(&n->lock);
	first = !n->ready;
	*n->ready_tail = req;
	n->ready_tail = &req->next;
	pthread_mutex_unlock(&n->lock);
	if (first)
		wake(n->wake_fd);
}

static void nbd_cancel(struct image *image)
{
	struct image_nbd *n = nbd_of(image);

	__atomic_store_n(&n->cancelled, true, __ATOMIC_RELEASE);
	wake(n->urgent_fd);
	wake(n->wake_fd);
}

static int nbd_refresh(struct image *image, uint64_t *bytes, struct err *e)
{
	struct err why = { 0 };
	struct nbd_export x;
	struct nbd_link *l = nbd_link_open(nbd_of(image)->uri, NBD_CONNECT_MS, -1, &x, &why);

	if (!l)
		return err_set(e, why.code, "%s: %s", image->name, why.text);
	nbd_link_close(l);
	*bytes = x.bytes;
	return 0;
}

/* --- the connection (all by the thread, or before there is one) ---------------------- */

static int unfit(struct err *e, const char *why)
{
	return err_set(e, -EINVAL, "the server's export does not fit: %s", why);
}

/* Is the export what the guest was told? => 0 or -errno and e */
static int check_export(const struct image_nbd *n, const struct nbd_export *x, struct err *e)
{
	const struct image_info *info = &n->image.info;

	if (x->bytes < image_bytes(&n->image))
		return unfit(e, "it has become smaller");
	if (x->min_request > info->block_size || x->min_request & (x->min_request - 1))
		return unfit(e, "it takes larger blocks only than the disk has");
	if (x->max_request < NBD_PIECE)
		return unfit(e, "it takes no requests of 128 KiB");
	if (info->read_only)
		return 0;
	if (x->read_only)
		return unfit(e, "it is read-only; add the disk with --read-only, or let "
				"the server export it for writing");
	if (!x->can_flush && info->cache != IMAGE_CACHE_UNSAFE)
		return unfit(e, "it cannot flush, so that nothing is ever known to be "
				"durable; cache mode unsafe does without");
	if ((info->can_zero && !x->can_zero) || (info->can_discard && !x->can_trim))
		return unfit(e, "it can do less than before");
	return 0;
}

/* => a duplicate of its socket; -1: it has none any more */
static int close_link(struct image_nbd *n)
{
	int fd = n->link ? nbd_link_fd(n->link) : -1;

	if (fd >= 0)
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	/* from here on nothing touches the slots' memory */
	nbd_link_close(n->link);
	n->link = NULL;
	return fd;
}

static void lose_link(struct image_nbd *n)
{
	int fd = close_link(n);

	if (fd < 0)
		return;
	/* the keeper has it too, and the server is to see that we have gone */
	shutdown(fd, SHUT_RDWR);
	close(fd);
}

/* => 0 and n->link, or -errno and e */
static int try_link(struct image_nbd *n, struct err *e)
{
	int ret;

	n->link = nbd_link_open(n->uri, NBD_CONNECT_MS, n->urgent_fd, &n->export, e);
	if (!n->link)
		return e->code;
	if (check_export(n, &n->export, e) < 0) {
		nbd_link_close(n->link);
		n->link = NULL;
		return e->code;
	}
	nbd_link_set_keepalive(n->link, NBD_SILENCE_S);
	/* before the first request */
	ret = n->keep ? n->keep(n->keep_arg, nbd_link_fd(n->link)) : 0;
	if (ret < 0) {
		lose_link(n);
		return err_set(e, ret, "the connection cannot be left to the next daemon: %s",
			       strerror(-ret));
	}
	return 0;
}

static void tell_away(struct image_nbd *n, const char *why)
{
	if (!n->told)
		log_warn("%s: the server is away, and the disk's requests wait: %s",
			 n->image.name, why);
	n->told = true;
}

/* One attempt, after a pause. */
static void reconnect(struct image_nbd *n)
{
	struct pollfd p = { .fd = n->urgent_fd, .events = POLLIN };
	struct err e = { 0 };

	if (poll(&p, 1, (int)n->backoff) > 0) {
		/* its reason, a flag, was set before */
		drain(n->urgent_fd);
		return;
	}
	n->backoff = n->backoff ? n->backoff * 2 : NBD_RETRY_MIN;
	if (n->backoff > NBD_RETRY_MAX)
		n->backoff = NBD_RETRY_MAX;
	if (try_link(n, &e) < 0) {
		if (e.code != -ECANCELED)
			tell_away(n, e.text);
		return;
	}
	if (n->told)
		log_info("%s: the server is back", n->image.name);
	n->told = false;
}

/* While there is a link. */
static void turn(struct image_nbd *n)
{
	bool renew;
	int ret;

	nbd_io_take(n);
	ret = nbd_io_start(n, &renew);
	nbd_note_now(n);
	if (ret == 0 && renew) {
		lose_link(n);
		nbd_io_rewind(n);
		return;
	}
	if (ret == 0)
		(void)!nbd_link_run(n->link, n->wake_fd, -1);
	/* what was answered before the link was lost is answered */
	nbd_io_reap(n);
	nbd_note_now(n);
	if (nbd_link_failed(n->link) < 0) {
		tell_away(n, nbd_link_error(n->link));
		lose_link(n);
		nbd_io_rewind(n);
	} else if (!n->replaying) {
		n->backoff = 0;
	}
}

static void cancel_all(struct image_nbd *n)
{
	drain(n->urgent_fd);
	if (n->flight.head && n->link)
		nbd_late_begin(n, close_link(n));
	nbd_io_cancel(n);
}

static void *serve(void *arg)
{
	struct image_nbd *n = arg;

	prctl(PR_SET_NAME, "drum-disk-nbd");
	while (!__atomic_load_n(&n->ending, __ATOMIC_ACQUIRE)) {
		if (__atomic_exchange_n(&n->cancelled, false, __ATOMIC_ACQ_REL))
			cancel_all(n);
		else if (n->late)
			nbd_late_step(n);
		else if (!n->link)
			reconnect(n);
		else
			turn(n);
		/* before the next look at what was left, so that no word is lost */
		drain(n->wake_fd);
	}
	lose_link(n);
	return NULL;
}

/* --- the image ----------------------------------------------------------------------- */

static void nbd_close_image(struct image *image)
{
	struct image_nbd *n = nbd_of(image);

	if (n->started) {
		__atomic_store_n(&n->ending, true, __ATOMIC_RELEASE);
		wake(n->urgent_fd);
		wake(n->wake_fd);
		pthread_join(n->thread, NULL);
	}
	lose_link(n);
	if (n->late_fd >= 0)
		close(n->late_fd);
	image_note_close(n->note);
	image_log_fini(&n->log);
	if (n->memory)
		munmap(n->memory, MEMORY);
	if (n->wake_fd >= 0)
		close(n->wake_fd);
	if (n->urgent_fd >= 0)
		close(n->urgent_fd);
	pthread_mutex_destroy(&n->lock);
	free(n);
}

static const struct image_ops nbd_ops = {
	.submit = nbd_submit,
	.refresh = nbd_refresh,
	.cancel = nbd_cancel,
	.close = nbd_close_image,
};

static int make_memory(struct image_nbd *n)
{
	void *p =
		mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -ENOMEM;
	n->memory = p;
	memlock_touch(p, MEMORY);
	for (unsigned int i = 0; i < NBD_SLOTS; i++) {
		n->slot[i].data = n->memory + (size_t)i * NBD_PIECE;
		n->slot[i].next = i + 1 < NBD_SLOTS ? &n->slot[i + 1] : NULL;
	}
	n->free.head = &n->slot[0];
	n->free.tail = &n->slot[NBD_SLOTS - 1].next;
	n->replayer.data = n->memory + (size_t)NBD_SLOTS * NBD_PIECE;
	n->flusher.kind = NBD_FLUSH;
	return n->logs ? image_log_init(&n->log, LOG_BYTES) : 0;
}

static int init(struct image_nbd *n)
{
	n->ready_tail = &n->ready;
	n->waiting_tail = &n->waiting;
	slots_init(&n->todo);
	slots_init(&n->flight);
	slots_init(&n->parked);
	pthread_mutex_init(&n->lock, NULL);
	n->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	n->urgent_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	n->logs = !n->image.info.read_only && n->image.info.cache != IMAGE_CACHE_UNSAFE &&
		  !image_cache_is_through(n->image.info.cache);
	if (n->wake_fd < 0 || n->urgent_fd < 0)
		return -errno;
	return make_memory(n);
}

/* The first time: what is there is what the disk is. */
static int first_link(struct image_nbd *n, struct err *e)
{
	struct image_info *info = &n->image.info;
	const struct nbd_export *x = &n->export;
	int ret;

	info->block_size = 4096;
	ret = try_link(n, e);
	if (ret < 0)
		return ret;
	info->block_size = x->min_request > 512 ? x->min_request : 512;
	info->bytes = x->bytes & ~(uint64_t)(info->block_size - 1);
	info->can_discard = !info->read_only && x->can_trim;
	info->can_zero = !info->read_only && x->can_zero;
	return 0;
}

struct image *image_nbd_open(const char *uri, enum image_cache cache, bool read_only,
			     const struct image_info *known, const struct image_past *past,
			     struct err *e)
{
	struct image_nbd *n = calloc(1, sizeof(*n));
	struct err why = { 0 };
	int ret = -ENOMEM;

	if (!n && past) {
		image_note_close(past->note);
		if (past->fd >= 0)
			close(past->fd);
	}
	if (n) {
		n->wake_fd = n->urgent_fd = n->late_fd = -1;
		if (past) {
			n->keep = past->keep;
			n->keep_arg = past->arg;
			n->note = past->note;
			nbd_late_init(n, past->fd);
		}
		ret = image_init(&n->image, &nbd_ops, uri, cache, read_only);
	}
	if (n && ret == 0)
		ret = init(n);
	if (n && ret == 0) {
		n->uri =
			n->image.name + (strncmp(uri, "nbd:", 4) == 0 && uri[4] != '/' ? 4 : 0);
		if (!known)
			ret = first_link(n, &why);
		else
			n->image.info = *known;
		n->image.info.cache = cache;
		n->image.info.read_only = read_only;
	}
	if (ret == 0)
		ret = -pthread_create(&n->thread, NULL, serve, n);
	if (ret == 0) {
		n->started = true;
		return &n->image;
	}
	err_set(e, ret, "cannot use %s as a disk: %s", uri,
		why.code ? why.text : strerror(-ret));
	if (n)
		image_close(&n->image);
	return NULL;
}
