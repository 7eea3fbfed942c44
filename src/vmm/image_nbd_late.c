/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * What may still be on its way to a server from one who has gone: a process that was killed,
 * which had requests under way that the next one makes again; or we, when all that waits is
 * cancelled.  Nothing is sent before it is over.  A file has a lock for that
 * (base/image_fence.h); here it is found out like this.
 *
 * The note, a mapped file, says whether anything that changes the image was under way, and
 * whether a request was perhaps sent in part.  If nothing was there is nothing to wait for.
 *
 * The keeper has the last connection, so that the server has not seen its end yet.  Its
 * sending side is shut down now, and read to its end.  What that end means depends on the
 * server.  nbdkit reads until its client's end, lets its threads finish, and closes: all is
 * done.  QEMU shuts the socket down as soon as it reads the client's end, and requests that
 * its block layer has go on: it means nothing.  A request that came in part is an error to
 * any server, which may end the connection at once.
 *
 * So the server is asked how it does, on another connection: some reads, much more than a
 * socket holds, and at once the shutdown.  Does it answer them all, its end means something.
 * Otherwise, or after a request in part, or when the connection is not there (the keeper
 * was killed as well), time has to do: NBD_SILENCE_S seconds from the end, or from now.
 *
 * A server that does not end the connection, as it still works on something, is waited for
 * without limit.  It is not a thing of this file that a server acknowledges what it does
 * later.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memlock.h"
#include "vmm/image_nbd_priv.h"

/* 24 MiB: a socket has 4 MiB of buffers at each end, if it is a large one; fewer reads than
 * QEMU takes at a time (16), so that it sees the end while they are under way. */
#define ASK_READS  12
#define ASK_BYTES  (2u << 20)
#define PATIENCE_S 2 /* before it is told that something is waited for */

_Static_assert(ASK_BYTES <= NBD_SLOTS * NBD_PIECE, "reads go to the slots' memory");

/* A file of zeros: nothing is under way. */
struct image_note {
	uint32_t changing; /* requests that change the image */
	uint32_t in_part;  /* one may have been sent in part */
};

/* --- the note ------------------------------------------------------------------------ */

static void file_name(char *out, size_t size, const char *name)
{
	snprintf(out, size, "disk-%s.server", name);
}

struct image_note *image_note_open(int dir_fd, const char *name, struct err *e)
{
	char file[96];
	void *p = MAP_FAILED;
	int fd;

	file_name(file, sizeof(file), name);
	fd = openat(dir_fd, file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0 && (errno = posix_fallocate(fd, 0, sizeof(struct image_note))) == 0)
		p = mmap(NULL, sizeof(struct image_note), PROT_READ | PROT_WRITE, MAP_SHARED,
			 fd, 0);
	if (p == MAP_FAILED)
		err_set(e, -errno, "cannot write %s in the run directory: %s", file,
			strerror(errno));
	if (fd >= 0)
		close(fd);
	if (p == MAP_FAILED)
		return NULL;
	memlock_touch(p, sizeof(struct image_note));
	return p;
}

void image_note_close(struct image_note *note)
{
	if (note)
		munmap(note, sizeof(*note));
}

void image_note_remove(int dir_fd, const char *name)
{
	char file[96];

	file_name(file, sizeof(file), name);
	unlinkat(dir_fd, file, 0);
}

static void set(uint32_t *p, bool on)
{
	__atomic_store_n(p, on, __ATOMIC_RELEASE);
}

void nbd_note_start(struct image_nbd *n, bool changes)
{
	if (!n->note)
		return;
	set(&n->note->in_part, true);
	if (changes)
		set(&n->note->changing, true);
}

static bool any_changes(const struct image_nbd *n)
{
	for (const struct slot *s = n->flight.head; s; s = s->next)
		if (s->kind != NBD_READ && s->kind != NBD_FLUSH)
			return true;
	return false;
}

void nbd_note_now(struct image_nbd *n)
{
	/* what was under way on a link that is lost is made again on the next one */
	if (!n->note || nbd_link_failed(n->link) < 0)
		return;
	if (nbd_link_is_sent(n->link))
		set(&n->note->in_part, false);
	set(&n->note->changing, any_changes(n));
}

/* --- what is late -------------------------------------------------------------------- */

static void over(struct image_nbd *n)
{
	if (n->late_fd >= 0)
		close(n->late_fd);
	n->late_fd = -1;
	n->late = LATE_NONE;
	if (n->note) {
		set(&n->note->changing, false);
		set(&n->note->in_part, false);
	}
	if (n->late_told)
		log_info("%s: nothing of before is on its way to the server any more",
			 n->image.name);
	n->late_told = false;
}

static void tell(struct image_nbd *n, const char *why)
{
	if (!n->late_told)
		log_warn("%s: the disk's requests wait: %s", n->image.name, why);
	n->late_told = true;
}

static void wait_from_now(struct image_nbd *n, enum late late)
{
	n->late = late;
	n->late_until = clock_ns() + NBD_SILENCE_S * NSEC_PER_SEC;
}

static void begin(struct image_nbd *n, int fd, bool changing)
{
	n->late_fd = fd;
	if (!changing) {
		if (fd >= 0)
			shutdown(fd, SHUT_RDWR);
		over(n);
	} else if (fd >= 0) {
		shutdown(fd, SHUT_WR);
		n->late = LATE_ENDING;
	} else {
		wait_from_now(n, LATE_WAITING);
	}
}

void nbd_late_init(struct image_nbd *n, int fd)
{
	bool changing =
		n->note ? __atomic_load_n(&n->note->changing, __ATOMIC_ACQUIRE) : fd >= 0;

	begin(n, fd, changing);
}

void nbd_late_begin(struct image_nbd *n, int fd)
{
	begin(n, fd, any_changes(n));
}

static bool is_urgent(struct image_nbd *n, struct pollfd *p, nfds_t nfds, int ms)
{
	uint64_t count;

	p[0] = (struct pollfd){ .fd = n->urgent_fd, .events = POLLIN };
	if (poll(p, nfds, ms) <= 0 || !p[0].revents)
		return false;
	(void)!read(n->urgent_fd, &count, sizeof(count));
	return true;
}

static void end_it(struct image_nbd *n)
{
	struct pollfd p[2] = { { 0 }, { .fd = n->late_fd, .events = POLLIN } };
	bool in_part = n->note && __atomic_load_n(&n->note->in_part, __ATOMIC_ACQUIRE);
	ssize_t len;

	if (is_urgent(n, p, 2, n->late_told ? -1 : PATIENCE_S * 1000))
		return;
	/* answers to nobody; no slot is used before there is a link */
	len = recv(n->late_fd, n->memory, NBD_PIECE, MSG_DONTWAIT);
	if (len > 0 || (len < 0 && errno == EINTR))
		return;
	if (len < 0 && errno == EAGAIN) {
		if (!p[1].revents)
			tell(n, "the server still works on what was under way before");
		return;
	}
	if (len < 0 && errno == ETIMEDOUT) {
		over(n); /* as long as we would wait now */
		return;
	}
	close(n->late_fd);
	n->late_fd = -1;
	wait_from_now(n, in_part ? LATE_WAITING : LATE_ASKING);
}

static void ask(struct image_nbd *n)
{
	struct pollfd p;
	struct nbd_export x;
	struct nbd_link *l;
	struct err e = { 0 };
	bool orderly = false;

	if (is_urgent(n, &p, 1, (int)n->backoff))
		return;
	n->backoff = n->backoff ? n->backoff * 2 : NBD_RETRY_MIN;
	if (n->backoff > NBD_RETRY_MAX)
		n->backoff = NBD_RETRY_MAX;
	if (clock_ns() >= n->late_until) {
		over(n);
		return;
	}
	l = nbd_link_open(n->uri, NBD_CONNECT_MS, n->urgent_fd, &x, &e);
	if (!l) {
		if (e.code != -ECANCELED)
			tell(n, e.text);
		return;
	}
	if (x.bytes >= ASK_BYTES && x.max_request >= ASK_BYTES)
		orderly = nbd_link_ends_orderly(l, n->memory, ASK_BYTES, ASK_READS,
						NBD_CONNECT_MS, n->urgent_fd);
	nbd_link_close(l);
	if (orderly)
		over(n);
	else
		n->late = LATE_WAITING;
}

static void wait_on(struct image_nbd *n)
{
	uint64_t now = clock_ns();
	struct pollfd p;

	if (now >= n->late_until) {
		over(n);
		return;
	}
	tell(n,
	     "the server may still carry out what was under way before, as it does not tell; "
	     "within a minute that is over");
	(void)!is_urgent(n, &p, 1, (int)((n->late_until - now) / NSEC_PER_MSEC) + 1);
}

void nbd_late_step(struct image_nbd *n)
{
	switch (n->late) {
	case LATE_ENDING:
		end_it(n);
		break;
	case LATE_ASKING:
		ask(n);
		break;
	case LATE_WAITING:
		wait_on(n);
		break;
	case LATE_NONE:
		break;
	}
}
