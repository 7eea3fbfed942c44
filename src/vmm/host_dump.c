/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * The dump device, as the control thread sees it.  The keeper opens it as it
 * opens swap devices, and holds it, so that it is nothing else at the same time.
 * One dump at a time is written there, by the worker of its guest.
 *
 * The file dump-device in the run directory holds what is set, its identity and
 * path in the first line, and the last dump in a second one.  That is there from
 * the beginning of a dump, as one that is under way; so that is what a pager that
 * died in the middle leaves behind.
 *
 * The next pager gets the same open file from the keeper.  If it cannot, no
 * dump device is set: nothing depends on it.  After a dump that was under way
 * it waits for a while before it writes there: what the dead pager was writing may
 * still be on its way, and must not land in the next dump.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ipc.h"
#include "base/log.h"
#include "vmm/host_priv.h"

#define DUMP_FILE "dump-device"
/* How a dump stands there. */
enum { UNDER_WAY, COMPLETE, FAILED };

#define HOLD_NS (60 * NSEC_PER_SEC)

static void save(struct host *h)
{
	const struct host_dump *d = &h->dump;
	int how = d->busy ? UNDER_WAY : d->last.complete ? COMPLETE : FAILED;
	int fd = openat(h->opt.dir_fd, DUMP_FILE ".new",
			O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int ret = fd < 0 ? -errno : 0;

	if (ret == 0 &&
	    dprintf(fd, "%" PRIu64 " %" PRIu64 " %s\n", d->dev, d->ino, d->path) < 0)
		ret = -errno;
	if (ret == 0 && d->last.guest[0] &&
	    dprintf(fd, "%d %" PRIu64 " %" PRIu64 " %" PRIu64 " %s\n", how, d->last.time,
		    d->last.bytes, d->last.lost, d->last.guest) < 0)
		ret = -errno;
	if (fd >= 0)
		close(fd);
	if (ret == 0 && renameat(h->opt.dir_fd, DUMP_FILE ".new", h->opt.dir_fd, DUMP_FILE) < 0)
		ret = -errno;
	if (ret < 0)
		log_err("cannot write " DUMP_FILE " in the run directory: %s", strerror(-ret));
}

static void close_device(struct host *h, uint64_t dev, uint64_t ino)
{
	struct proto_msg m = { .type = MSG_SWAP_CLOSE };

	m.u.swap.dev = dev;
	m.u.swap.ino = ino;
	/* a keeper that is gone holds nothing */
	(void)!host_ask_keeper(h, &m);
}

/* There is none from now on. */
static void let_go(struct host *h)
{
	struct host_dump *d = &h->dump;

	if (!d->path)
		return;
	close_device(h, d->dev, d->ino);
	close(d->fd);
	free(d->path);
	d->path = NULL;
	d->hold_until = 0;
	d->last = d->before = (struct dump_stats){ 0 };
}

static void take(struct host *h, const struct proto_msg *m, int fd)
{
	struct host_dump *d = &h->dump;

	d->path = strdup(m->u.swap.path);
	if (!d->path)
		BROKEN("out of memory");
	d->dev = m->u.swap.dev;
	d->ino = m->u.swap.ino;
	d->fd = fd;
}

static int ask(struct host *h, const char *path, struct proto_msg *m)
{
	m->type = MSG_SWAP_OPEN;
	m->u.swap.dump = 1;
	snprintf(m->u.swap.path, sizeof(m->u.swap.path), "%s", path);
	return host_ask_keeper(h, m);
}

/* --- set and off ------------------------------------------------------------------- */

static int check_busy(const struct host *h, struct err *e)
{
	if (h->dump.busy)
		return err_set(e, -EBUSY, "a dump to %s is under way", h->dump.path);
	if (h->dump.opening)
		return err_set(e, -EBUSY, "a dump device is just being set");
	return 0;
}

void host_dump_set(struct host *h, const char *path, bool force, host_done_fn done, void *ctx)
{
	struct proto_msg m = { .u.swap.force = force };
	struct err e = { 0 };
	int ret = check_busy(h, &e);

	if (ret == 0 && (path[0] != '/' || strlen(path) > SWAP_PATH_MAX || strchr(path, '\n')))
		ret = err_set(&e, -EINVAL,
			      "'%.200s' is not an absolute path: dumps go to a file or a "
			      "block device",
			      path);
	if (ret == 0) {
		h->dump.opening = host_new_request(h, done, ctx);
		m.seq = h->dump.opening->seq;
		ret = ask(h, path, &m);
		if (ret == 0)
			return;
		h->dump.opening->done = NULL;
		host_end_request(h, h->dump.opening, &e);
		h->dump.opening = NULL;
		err_set(&e, -EPIPE, "the keeper does not answer: %s", strerror(-ret));
	}
	host_refuse(h, done, ctx, &e);
}

void host_dump_opened(struct host *h, const struct proto_msg *m, int fd)
{
	struct request *r = h->dump.opening;
	struct err e = m->err;

	if (!r || r->seq != m->seq) {
		if (fd >= 0)
			close(fd);
		return;
	}
	h->dump.opening = NULL;
	if (e.code == 0) {
		let_go(h);
		take(h, m, fd);
		save(h);
		log_info("dumps go to %s", h->dump.path);
	}
	host_end_request(h, r, &e);
}

void host_dump_add(struct host *h, const struct proto_msg *m, host_done_fn done, void *ctx)
{
	struct err e = { 0 };

	/* what was set before it was left holds */
	if (h->dump.path)
		host_refuse(h, done, ctx, &e);
	else
		host_dump_set(h, m->u.swap.path, false, done, ctx);
}

void host_dump_off(struct host *h, host_done_fn done, void *ctx)
{
	struct err e = { 0 };

	if (check_busy(h, &e) == 0 && !h->dump.path)
		err_set(&e, -ENOENT, "no dump device is set");
	if (e.code == 0) {
		log_info("dumps no longer go to %s", h->dump.path);
		let_go(h);
		host_dump_forget(h);
	}
	host_refuse(h, done, ctx, &e);
}

void host_dump_forget(struct host *h)
{
	unlinkat(h->opt.dir_fd, DUMP_FILE, 0);
}

/* --- dumps --------------------------------------------------------------------------- */

static uint64_t size_of(const struct host_dump *d)
{
	off_t end = lseek(d->fd, 0, SEEK_END); /* a block device's too */

	return end < 0 ? 0 : (uint64_t)end;
}

static void dumped(void *ctx, const struct err *e)
{
	struct host *h = ctx;
	struct host_dump *d = &h->dump;

	d->busy = false;
	if (!d->order.begun)
		d->last = d->before; /* which is there still */
	else
		d->last.complete = e->code == 0;
	if (d->last.complete && d->order.begun) {
		d->last.bytes = d->order.bytes;
		d->last.lost = d->order.lost;
		log_info("guest %s: dumped to %s, %" PRIu64 " bytes, %" PRIu64
			 " pages could not be read",
			 d->last.guest, d->path, d->last.bytes, d->last.lost);
	}
	save(h);
	d->done(d->ctx, e);
}

void host_guest_dump(struct host *h, const char *name, host_done_fn done, void *ctx)
{
	struct host_dump *d = &h->dump;
	struct guest_stats g;
	struct err e = { 0 };
	struct stat st;

	if (check_busy(h, &e) == 0 && !d->path)
		err_set(&e, -ENOENT, "no dump device is set (drumctl dump set PATH)");
	if (e.code == 0 && host_guest_stats_one(h, name, &g) < 0)
		err_set(&e, -ENOENT, "no guest is named '%s'", name);
	if (e.code == 0 && clock_ns() < d->hold_until)
		err_set(&e, -EBUSY,
			"a dump to %s was interrupted, and writes of it may still be on their "
			"way: try again in %llu s, or set another device",
			d->path,
			(unsigned long long)((d->hold_until - clock_ns()) / NSEC_PER_SEC + 1));
	if (e.code == 0 && fstat(d->fd, &st) < 0)
		err_set(&e, -errno, "cannot look at %s: %s", d->path, strerror(errno));
	if (e.code) {
		host_refuse(h, done, ctx, &e);
		return;
	}
	d->order = (struct dump_order){
		.fd = d->fd,
		.path = d->path,
		.room = size_of(d),
		.sparse = S_ISREG(st.st_mode) && st.st_blocks * 512 < st.st_size,
	};
	d->busy = true;
	d->done = done;
	d->ctx = ctx;
	d->before = d->last;
	d->last = (struct dump_stats){ .time = (uint64_t)time(NULL) };
	memcpy(d->last.guest, g.name, sizeof(g.name));
	save(h);
	host_command(h, name, &(struct command){ .type = CMD_DUMP, .order = &d->order }, dumped,
		     h);
}

void host_dump_stats(struct host *h, struct dump_stats *out)
{
	const struct host_dump *d = &h->dump;

	*out = d->last;
	if (!d->path)
		return;
	snprintf(out->path, sizeof(out->path), "%s", d->path);
	out->size = size_of(d);
	if (d->busy)
		memcpy(out->dumping, d->last.guest, sizeof(out->dumping));
}

/* --- start ----------------------------------------------------------------------------- */

/* => whether there is a line of ours, and path malloc'ed */
static bool read_file(struct host *h, struct proto_msg *m, char **path)
{
	struct dump_stats *last = &h->dump.last;
	int fd = openat(h->opt.dir_fd, DUMP_FILE, O_RDONLY | O_CLOEXEC), at = 0, how;
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	char *line = NULL;
	size_t size = 0;

	*path = NULL;
	if (!f)
		return false;
	if (getline(&line, &size, f) > 0 &&
	    sscanf(line, "%" SCNu64 " %" SCNu64 " %n", &m->u.swap.dev, &m->u.swap.ino, &at) ==
		    2 &&
	    line[at] == '/') {
		line[strcspn(line, "\n")] = '\0';
		*path = strdup(line + at);
	}
	if (*path && getline(&line, &size, f) > 0 &&
	    sscanf(line, "%d %" SCNu64 " %" SCNu64 " %" SCNu64 " %63s", &how, &last->time,
		   &last->bytes, &last->lost, last->guest) == 5)
		last->complete = how == COMPLETE;
	else
		*last = (struct dump_stats){ 0 };
	if (last->guest[0] && how == UNDER_WAY)
		h->dump.hold_until = clock_ns() + HOLD_NS;
	free(line);
	fclose(f);
	return *path;
}

/* Nothing else is under way yet, so the answer is the next message. */
int host_dump_init(struct host *h, struct err *e)
{
	struct proto_msg m = { .u.swap.again = 1 };
	int fds[IPC_FDS_MAX], nfds, ret;
	uint64_t dev, ino;
	char *path;

	if (!read_file(h, &m, &path))
		return 0;
	dev = m.u.swap.dev;
	ino = m.u.swap.ino;
	ret = ask(h, path, &m);
	free(path);
	if (ret < 0 ||
	    ipc_recv(h->opt.keeper, &m, sizeof(m), fds, &nfds) != (ssize_t)sizeof(m) ||
	    m.type != MSG_SWAP_OPENED)
		return err_set(e, -EPIPE, "the keeper does not answer");
	if (m.err.code == 0 && (m.u.swap.dev != dev || m.u.swap.ino != ino)) {
		close(fds[0]);
		close_device(h, m.u.swap.dev, m.u.swap.ino);
		err_set(&m.err, -ENXIO, "%s is not what it was", m.u.swap.path);
	}
	if (m.err.code) {
		log_err("no dump device is set any more: %s", m.err.text);
		h->dump.last = (struct dump_stats){ 0 };
		host_dump_forget(h);
		return 0;
	}
	take(h, &m, fds[0]);
	return 0;
}
