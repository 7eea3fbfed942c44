/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A disk is opened once, by MSG_DISK_OPEN, and held until MSG_DISK_CLOSE, or until a pager
 * serves that does not know it: one has died before it had noted it, or after it had
 * struck it out.
 *
 * The image's description that has QEMU's locks stays here.  Each pager gets one of its own, of
 * the same file, whatever has become of its path: see base/image_fence.h.  No duplicate of that
 * one is kept, or the fence would never be clear.
 *
 * The keep channel has two ends, one here.  What a pager has sent before it died is still
 * there afterwards, and is done before anything else: when its death is noticed, and again
 * when the next one asks.  That one gets a channel of its own, on which everything that
 * is kept is sent at once; a descriptor is a short message, so they all fit.
 *
 * An answer to the front end is sent from here, so that "sent" and "noted as sent" cannot be
 * parted by the pager's death.  They can be by ours: disk-NAME.replied, a mapped file, has the
 * number before and after sending, and where the two differ nobody knows whether it was
 * sent, so that the connection is of no use any more.
 *
 * Whether a pager may believe what an earlier one has noted of an image's content depends on
 * whether somebody has held it all the time (`anew` in MSG_DISK_OPENED).  Files and devices:
 * our description has QEMU's locks, so nobody else has written, unless it had to be opened by
 * its path. A server takes no locks for us.  While the last pager's connection lives, it is the
 * same server, with the same export, that an admin sees in use; if it has ended, or there was
 * none, anything may have happened to the image, and we say so: a cache that is filled once
 * more costs less than a wrong block.  Once said it is said to each pager, until one has served
 * with it: one that dies before may not have done anything about it.
 *
 * The next keeper has what is in the store: it survives an exec, and us, if there is a
 * service manager that keeps it.  If there is not, the front end sees its connection end
 * with us, and connects anew.
 */

#include "keeper/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/image_open.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/point.h"
#include "keeper/open.h"
#include "keeper/store.h"

#define FILE_NAME 96
#define BATCH	  64	    /* messages in a turn of the loop */
#define DRAIN	  16384	    /* more than there can be of one who is dead */
#define KEEP_ROOM (1 << 20) /* bytes wanted for messages on their way to a pager */

/* disk-NAME.replied */
struct replied {
	uint64_t begun, done; /* numbers of answers; equal but while one is being sent */
};

struct held_disk {
	struct disks *all;
	char name[PROTO_NAME_MAX];
	char socket[PROTO_PATH_MAX];
	bool asked; /* the running pager knows it */
	bool anew;  /* it may have been changed, and no pager has served since */
	int image;  /* with QEMU's locks; -1: it is nbd: */
	int listener;
	int keep; /* -1: no pager has the other end */
	struct loop_watch *watch;
	struct replied *replied;
	int fd[KEEP_ROLES]; /* -1: none */
};

#define KEEP_HEAD offsetof(struct keep_msg, reply)

static struct held_disk *find(struct disks *all, const char *name)
{
	for (int i = 0; i < PROTO_DISKS_MAX; i++)
		if (all->held[i] && strcmp(all->held[i]->name, name) == 0)
			return all->held[i];
	return NULL;
}

/* --- names ------------------------------------------------------------------------- */

static void store_name(char out[FILE_NAME], const struct held_disk *d, const char *what)
{
	snprintf(out, FILE_NAME, "disk/%s/%s", d->name, what);
}

static void role_name(char out[FILE_NAME], const struct held_disk *d, uint32_t role)
{
	snprintf(out, FILE_NAME, "disk/%s/%" PRIu32, d->name, role);
}

static void put(const struct held_disk *d, const char *what, int fd)
{
	char name[FILE_NAME];

	store_name(name, d, what);
	(void)store_put(name, fd, true);
}

static int take(const struct held_disk *d, const char *what)
{
	char name[FILE_NAME];

	store_name(name, d, what);
	return store_take(name);
}

static void forget(const struct held_disk *d, const char *what)
{
	char name[FILE_NAME];

	store_name(name, d, what);
	store_forget(name);
}

static void replied_name(char out[FILE_NAME], const char *name)
{
	snprintf(out, FILE_NAME, "disk-%s.replied", name);
}

/* --- what is kept -------------------------------------------------------------------- */

static void drop(struct held_disk *d, uint32_t role)
{
	char name[FILE_NAME];

	if (d->fd[role] < 0)
		return;
	/* others may have a duplicate for a while */
	if (role == KEEP_CONN)
		shutdown(d->fd[role], SHUT_RDWR);
	close(d->fd[role]);
	d->fd[role] = -1;
	role_name(name, d, role);
	store_forget(name);
}

/* What is of the front end's connection. */
static void drop_all(struct held_disk *d)
{
	for (uint32_t role = 0; role < KEEP_ROLES; role++)
		if (role != KEEP_SERVER)
			drop(d, role);
}

/* fd is taken */
static void keep(struct held_disk *d, uint32_t role, int fd)
{
	char name[FILE_NAME];

	if (role == KEEP_CONN) {
		drop(d, role);
		d->replied->begun = d->replied->done = 0;
	} else if (d->fd[role] >= 0) {
		close(d->fd[role]);
	}
	d->fd[role] = fd;
	role_name(name, d, role);
	(void)store_put(name, fd, true);
}

/* => 0 or -errno */
static int send_on(int conn, const struct keep_msg *m, int fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} u = { 0 };
	struct iovec iov = { (void *)(uintptr_t)m->reply, m->bytes };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (fd >= 0) {
		struct cmsghdr *c;

		msg.msg_control = u.buf;
		msg.msg_controllen = sizeof(u.buf);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	do
		n = sendmsg(conn, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n == (ssize_t)m->bytes ? 0 : -EAGAIN;
}

static void reply(struct held_disk *d, const struct keep_msg *m, int fd)
{
	struct replied *r = d->replied;
	int ret;

	if (d->fd[KEEP_CONN] < 0 || m->number <= r->done)
		return;
	__atomic_store_n(&r->begun, m->number, __ATOMIC_RELEASE);
	point_crash("disk-answering");
	ret = send_on(d->fd[KEEP_CONN], m, fd);
	point_crash("disk-answered");
	__atomic_store_n(&r->done, m->number, __ATOMIC_RELEASE);
	if (ret == 0)
		return;
	if (ret != -EPIPE && ret != -ECONNRESET)
		log_err("disk %s: the front end does not read its answers (%s): it is "
			"disconnected",
			d->name, ret == -EAGAIN ? "no room" : strerror(-ret));
	shutdown(d->fd[KEEP_CONN], SHUT_RDWR);
}

/* --- the keep channel ---------------------------------------------------------------- */

/* => false: it makes no sense; fd is taken in any case */
static bool handle(struct held_disk *d, const struct keep_msg *m, size_t len, int fd)
{
	bool ok = len >= KEEP_HEAD, all = ok && m->role == KEEP_ALL;

	ok = ok && (m->role < KEEP_ROLES || all || m->type == KEEP_REPLY);
	if (ok && m->type == KEEP_FD && !all && fd >= 0) {
		keep(d, m->role, fd);
		return true;
	}
	if (ok && m->type == KEEP_DROP && all)
		drop_all(d);
	else if (ok && m->type == KEEP_DROP)
		drop(d, m->role);
	else if (ok && m->type == KEEP_REPLY && m->bytes > 0 && m->bytes <= len - KEEP_HEAD)
		reply(d, m, fd);
	else
		ok = false;
	if (fd >= 0)
		close(fd);
	return ok;
}

static void close_keep(struct held_disk *d)
{
	if (d->watch)
		loop_remove(d->watch);
	d->watch = NULL;
	if (d->keep >= 0)
		close(d->keep);
	d->keep = -1;
}

/* Do at most n messages of what is there. */
static void read_keep(struct held_disk *d, unsigned int n)
{
	while (d->keep >= 0 && n-- > 0) {
		struct keep_msg m;
		int fds[IPC_FDS_MAX], nfds;
		ssize_t len = ipc_recv(d->keep, &m, sizeof(m), fds, &nfds);

		if (len == -EAGAIN)
			return;
		if (len <= 0 && len != -EMSGSIZE) {
			close_keep(d); /* there is no more: the pager is gone */
			return;
		}
		for (int i = 1; i < nfds; i++)
			close(fds[i]);
		if (len < 0 || !handle(d, &m, (size_t)len, nfds > 0 ? fds[0] : -1))
			log_err("disk %s: a message of the pager makes no sense", d->name);
	}
}

static void on_keep(void *arg, uint32_t events)
{
	(void)events;
	read_keep(arg, BATCH);
}

static int send_kept(const struct held_disk *d, int sock)
{
	struct keep_msg m = { .type = KEEP_FD };
	int ret = 0;

	for (uint32_t role = 0; role < KEEP_ROLES && ret == 0; role++) {
		m.role = role;
		if (d->fd[role] >= 0)
			ret = ipc_send(sock, &m, KEEP_HEAD, &d->fd[role], 1);
	}
	m = (struct keep_msg){ .type = KEEP_END, .number = d->replied->done };
	return ret == 0 ? ipc_send(sock, &m, KEEP_HEAD, NULL, 0) : ret;
}

/* The same file, in a description of its own. => a descriptor, or -errno */
static int open_anew(int image)
{
	int flags = fcntl(image, F_GETFL), fd;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", image);
	fd = open(path, (flags & (O_ACCMODE | O_DIRECT)) | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	return fd;
}

/* Is there still the connection to the server that the last pager has made? */
static bool server_is_held(const struct held_disk *d)
{
	struct pollfd p = { .fd = d->fd[KEEP_SERVER], .events = POLLRDHUP };

	return p.fd >= 0 && poll(&p, 1, 0) == 0;
}

/* => how many descriptors in fds, or -errno and e: d is held all the same */
static int give(struct held_disk *d, int fds[DISK_FDS], struct err *e)
{
	int pair[2], image = -1, listener, room = KEEP_ROOM, ret;

	read_keep(d, DRAIN);
	close_keep(d);
	ret = ipc_pair(pair);
	if (ret < 0)
		return err_set(e, ret, "disk %s: cannot make a channel: %s", d->name,
			       strerror(-ret));
	for (int i = 0; i < 2; i++) {
		fcntl(pair[i], F_SETFL, O_NONBLOCK);
		(void)setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	}
	listener = fcntl(d->listener, F_DUPFD_CLOEXEC, 0);
	image = d->image >= 0 ? open_anew(d->image) : -1;
	ret = listener < 0		   ? -errno
	      : d->image >= 0 && image < 0 ? image
					   : send_kept(d, pair[0]);
	d->keep = pair[0];
	if (ret == 0) {
		d->watch = loop_add(d->all->loop, d->keep, EPOLLIN, on_keep, d);
		ret = d->watch ? 0 : -errno;
	}
	if (ret < 0) {
		close_keep(d);
		close(pair[1]);
		if (listener >= 0)
			close(listener);
		if (image >= 0)
			close(image);
		return err_set(e, ret, "disk %s: cannot be given to the pager: %s", d->name,
			       strerror(-ret));
	}
	d->asked = true;
	fds[0] = pair[1];
	fds[1] = listener;
	fds[2] = image;
	return image >= 0 ? 3 : 2;
}

/* --- open ---------------------------------------------------------------------------- */

/* Part of names of files and of the store. */
static bool name_ok(const char *name)
{
	if (!name[0] || name[0] == '.')
		return false;
	for (; *name; name++)
		if (*name <= ' ' || *name > '~' || *name == '/' || *name == ':')
			return false;
	return true;
}

/* Is somebody there?  A socket that nobody listens on any more may be replaced. */
static int check_free(const char *path, struct err *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct stat st;
	int fd, ret;

	if (strlen(path) >= sizeof(addr.sun_path))
		return err_set(e, -ENAMETOOLONG, "the socket's path is too long: %s", path);
	if (lstat(path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, -EEXIST, "%s exists, and is no socket", path);
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(e, -errno, "cannot make a socket: %s", strerror(errno));
	ret = connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
	close(fd);
	if (ret == -ECONNREFUSED || ret == -ENOENT)
		return 0;
	return err_set(e, -EEXIST, "somebody listens on %s already", path);
}

static bool listens(int fd)
{
	int yes = 0;
	socklen_t len = sizeof(yes);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &len) == 0 && yes;
}

static int open_socket(struct held_disk *d, bool again, struct err *e)
{
	int ret;

	d->listener = again ? take(d, "listen") : -1;
	if (d->listener >= 0 && !listens(d->listener)) {
		close(d->listener);
		d->listener = -1;
	}
	if (d->listener >= 0)
		return 0;
	ret = check_free(d->socket, e);
	if (ret == 0)
		d->listener = ret = open_listener(d->socket, e);
	if (ret < 0)
		return ret;
	put(d, "listen", d->listener);
	return 0;
}

static void identity(int fd, uint64_t *dev, uint64_t *ino)
{
	struct stat st;

	*dev = *ino = 0;
	if (fstat(fd, &st) < 0)
		return;
	*dev = S_ISBLK(st.st_mode) ? st.st_rdev : st.st_dev;
	*ino = S_ISBLK(st.st_mode) ? 0 : st.st_ino;
}

static int open_image_of(struct held_disk *d, struct proto_msg *m, bool again)
{
	uint64_t dev = m->u.disk.dev, ino = m->u.disk.ino;
	int ret;

	if (strncmp(m->u.disk.image, "nbd:", 4) == 0)
		return 0;
	d->image = again ? take(d, "image") : -1;
	d->anew = again && d->image < 0;
	if (d->image < 0)
		d->image = image_open(m->u.disk.image, (enum image_cache)m->u.disk.cache,
				      m->u.disk.read_only, &m->err);
	if (d->image < 0)
		return d->image;
	identity(d->image, &m->u.disk.dev, &m->u.disk.ino);
	if (again && (dev || ino) && (dev != m->u.disk.dev || ino != m->u.disk.ino)) {
		ret = err_set(&m->err, -ENXIO,
			      "%s is another file or device than when disk %s was added: put "
			      "the one back, or remove the disk and add it anew",
			      m->u.disk.image, d->name);
		forget(d, "image");
		return ret;
	}
	put(d, "image", d->image);
	return 0;
}

static int open_replied(struct held_disk *d, bool again, struct err *e)
{
	char name[FILE_NAME];
	int fd, ret = 0;
	void *at;

	replied_name(name, d->name);
	if (!again)
		unlinkat(d->all->dir_fd, name, 0);
	fd = openat(d->all->dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		ret = -errno;
	else
		ret = -posix_fallocate(fd, 0, sizeof(*d->replied));
	if (ret == 0) {
		at = mmap(NULL, sizeof(*d->replied), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (at == MAP_FAILED)
			ret = -errno;
		else
			d->replied = at;
	}
	if (fd >= 0)
		close(fd);
	return ret < 0 ? err_set(e, ret, "cannot use %s in the run directory: %s", name,
				 strerror(-ret))
		       : 0;
}

/* What an earlier keeper has kept. */
static void take_kept(struct held_disk *d)
{
	char what[16];

	for (uint32_t role = 0; role < KEEP_ROLES; role++) {
		snprintf(what, sizeof(what), "%" PRIu32, role);
		d->fd[role] = take(d, what);
		if (d->fd[role] < 0)
			d->fd[role] = -1;
	}
	if (d->fd[KEEP_CONN] >= 0 && d->replied->begun != d->replied->done) {
		log_err("disk %s: whether its front end was answered when the last keeper died "
			"is not known: it is disconnected",
			d->name);
		drop_all(d);
	}
}

/* => 0, or -errno and m->err */
static int open_all(struct held_disk *d, struct proto_msg *m, bool again)
{
	struct err warning;
	int ret = open_replied(d, again, &m->err);

	if (ret == 0)
		ret = open_image_of(d, m, again);
	warning = m->err;
	if (ret == 0)
		ret = open_socket(d, again, &m->err);
	if (ret < 0)
		return ret;
	m->err = warning;
	if (again)
		take_kept(d);
	else
		d->replied->begun = d->replied->done = 0;
	return 0;
}

/* remove: from the world, too */
static void let_go(struct held_disk *d, bool remove)
{
	char name[FILE_NAME];
	struct stat st;

	close_keep(d);
	if (remove) {
		drop_all(d);
		drop(d, KEEP_SERVER);
		forget(d, "image");
		forget(d, "listen");
		if (d->listener >= 0 && lstat(d->socket, &st) == 0 && S_ISSOCK(st.st_mode))
			unlink(d->socket);
		replied_name(name, d->name);
		unlinkat(d->all->dir_fd, name, 0);
	}
	for (uint32_t role = 0; role < KEEP_ROLES; role++)
		if (d->fd[role] >= 0)
			close(d->fd[role]);
	if (d->image >= 0)
		close(d->image);
	if (d->listener >= 0)
		close(d->listener);
	if (d->replied)
		munmap(d->replied, sizeof(*d->replied));
	for (int i = 0; i < PROTO_DISKS_MAX; i++)
		if (d->all->held[i] == d)
			d->all->held[i] = NULL;
	free(d);
}

static struct held_disk *open_new(struct disks *all, struct proto_msg *m, bool again)
{
	struct held_disk *d;
	int i = 0, n;

	while (i < PROTO_DISKS_MAX && all->held[i])
		i++;
	d = i < PROTO_DISKS_MAX && name_ok(m->u.disk.name) ? calloc(1, sizeof(*d)) : NULL;
	if (!d) {
		err_set(&m->err, i < PROTO_DISKS_MAX ? -EINVAL : -ENOSPC,
			i < PROTO_DISKS_MAX ? "'%s' cannot be a disk's name"
					    : "disk %s: there are as many as there may be",
			m->u.disk.name);
		return NULL;
	}
	d->all = all;
	d->image = d->listener = d->keep = -1;
	memset(d->fd, -1, sizeof(d->fd));
	memcpy(d->name, m->u.disk.name, sizeof(d->name));
	if (m->u.disk.socket[0])
		n = snprintf(d->socket, sizeof(d->socket), "%s", m->u.disk.socket);
	else
		n = snprintf(d->socket, sizeof(d->socket), "%s/disk-%s.sock", all->run_dir,
			     d->name);
	if (n >= (int)sizeof(d->socket))
		err_set(&m->err, -ENAMETOOLONG, "the socket's path is too long");
	if (m->err.code < 0 || open_all(d, m, again) < 0) {
		let_go(d, !again);
		return NULL;
	}
	all->held[i] = d;
	return d;
}

int disks_open(struct disks *all, struct proto_msg *m, int fds[DISK_FDS])
{
	struct held_disk *d;
	bool again = m->id == 1, held;
	int n;

	m->type = MSG_DISK_OPENED;
	m->err = (struct err){ 0 };
	m->u.disk.name[PROTO_NAME_MAX - 1] = '\0';
	m->u.disk.image[PROTO_PATH_MAX - 1] = '\0';
	m->u.disk.socket[PROTO_PATH_MAX - 1] = '\0';
	d = find(all, m->u.disk.name);
	held = d != NULL;
	if (held && !again) {
		err_set(&m->err, -EEXIST, "a disk is named '%s' already", d->name);
		return 0;
	}
	if (!held)
		d = open_new(all, m, again);
	else if (d->image >= 0)
		identity(d->image, &m->u.disk.dev, &m->u.disk.ino);
	if (!d)
		return 0;
	n = give(d, fds, &m->err);
	/* what the last pager had sent was read just now */
	if (again && d->image < 0 && !server_is_held(d))
		d->anew = true;
	m->u.disk.anew = d->anew;
	if (n < 0 && !again)
		let_go(d, true);
	if (n > 0)
		snprintf(m->u.disk.socket, sizeof(m->u.disk.socket), "%s", d->socket);
	return n < 0 ? 0 : n;
}

void disks_close(struct disks *all, const char *name)
{
	struct held_disk *d = find(all, name);
	char file[FILE_NAME];

	if (!d && name_ok(name)) { /* it could not be opened again */
		replied_name(file, name);
		unlinkat(all->dir_fd, file, 0);
	}
	if (!d)
		return;
	read_keep(d, DRAIN);
	let_go(d, true);
}

void disks_pager_died(struct disks *all)
{
	for (int i = 0; i < PROTO_DISKS_MAX; i++) {
		struct held_disk *d = all->held[i];

		if (!d)
			continue;
		d->asked = false;
		read_keep(d, DRAIN);
		close_keep(d);
	}
}

void disks_pager_ready(struct disks *all)
{
	for (int i = 0; i < PROTO_DISKS_MAX; i++) {
		struct held_disk *d = all->held[i];

		if (d && !d->asked) {
			log_debug("disk %s is not known any more", d->name);
			let_go(d, true);
		} else if (d) {
			d->anew = false;
		}
	}
}

void disks_fini(struct disks *all)
{
	for (int i = 0; i < PROTO_DISKS_MAX; i++)
		if (all->held[i])
			let_go(all->held[i], false);
}
