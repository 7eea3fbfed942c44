/* SPDX-License-Identifier: BSD-2-Clause */
/* Disks in the keeper, with a pager played here, its deaths and the keeper's own. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/image_fence.h"
#include "base/image_open.h"
#include "base/ipc.h"
#include "keeper/disk.h"
#include "keeper/store.h"

static char dir[] = "/tmp/drum-test-disk-XXXXXX";
static char image[64];
static int dir_fd;
static struct loop *loop;
static struct disks disks;

static void begin(void)
{
	loop = loop_create();
	disks = (struct disks){ .loop = loop, .run_dir = dir, .dir_fd = dir_fd };
}

static void set_up(void)
{
	int fd;

	cr_assert_not_null(mkdtemp(dir));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(image, sizeof(image), "%s/image", dir);
	fd = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_eq(ftruncate(fd, 1 << 20), 0);
	close(fd);
	begin();
}

static void tear_down(void)
{
	char cmd[128];

	disks_fini(&disks);
	loop_destroy(loop);
	store_fini();
	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	cr_assert_eq(system(cmd), 0);
	close(dir_fd);
}

TestSuite(keeper_disk, .init = set_up, .fini = tear_down, .timeout = 60);

static void stop_loop(void *arg)
{
	loop_stop(arg);
}

/* One turn of the keeper's loop, and what was ready in it. */
static void turn(void)
{
	struct loop_watch *w = loop_every(loop, 1, stop_loop, loop);

	cr_assert_eq(loop_run(loop), 0);
	loop_remove(w);
}

/* --- the pager ---------------------------------------------------------------------- */

struct given {
	int keep, listener, image; /* -1: none */
};

static struct proto_msg ask(const char *name, bool again)
{
	struct proto_msg m = { .type = MSG_DISK_OPEN, .seq = 7, .id = again };

	snprintf(m.u.disk.name, sizeof(m.u.disk.name), "%s", name);
	snprintf(m.u.disk.image, sizeof(m.u.disk.image), "%s", image);
	m.u.disk.cache = IMAGE_CACHE_WRITEBACK;
	return m;
}

static int open_as(struct proto_msg *m, struct given *g)
{
	int fds[DISK_FDS], n = disks_open(&disks, m, fds);

	cr_assert_eq(m->type, MSG_DISK_OPENED);
	cr_assert_eq(m->seq, 7);
	*g = (struct given){ n > 0 ? fds[0] : -1, n > 1 ? fds[1] : -1, n > 2 ? fds[2] : -1 };
	cr_assert_eq(n > 0, m->err.code == 0, "%s", m->err.text);
	return m->err.code;
}

static struct given open_disk(const char *name, bool again)
{
	struct proto_msg m = ask(name, again);
	struct given g;

	cr_assert_eq(open_as(&m, &g), 0, "%s", m.err.text);
	cr_assert_geq(g.listener, 0);
	cr_assert_geq(g.image, 0);
	return g;
}

static void close_given(struct given *g)
{
	close(g->keep);
	close(g->listener);
	if (g->image >= 0)
		close(g->image);
}

static void send_keep(int sock, enum keep_type type, uint32_t role, uint64_t number,
		      const char *text, int fd)
{
	struct keep_msg m = { .type = type, .role = role, .number = number };

	m.bytes = (uint32_t)strlen(text);
	memcpy(m.reply, text, m.bytes);
	cr_assert_eq(
		ipc_send(sock, &m, offsetof(struct keep_msg, reply) + m.bytes, &fd, fd >= 0),
		0);
}

/* Everything that a new pager is sent at once. => number of KEEP_END */
static uint64_t read_kept(int sock, int fd[KEEP_ROLES], unsigned int *n)
{
	struct keep_msg m;
	int fds[IPC_FDS_MAX], nfds;

	memset(fd, -1, KEEP_ROLES * sizeof(*fd));
	*n = 0;
	for (;;) {
		ssize_t len = ipc_recv(sock, &m, sizeof(m), fds, &nfds);

		cr_assert_geq(len, (ssize_t)offsetof(struct keep_msg, reply));
		if (m.type == KEEP_END)
			break;
		cr_assert_eq(m.type, KEEP_FD);
		cr_assert_eq(nfds, 1);
		cr_assert_lt(m.role, KEEP_ROLES);
		cr_assert_eq(fd[m.role], -1);
		fd[m.role] = fds[0];
		++*n;
	}
	cr_assert_eq(ipc_recv(sock, &m, sizeof(m), fds, &nfds), -EAGAIN,
		     "nothing after the end");
	return m.number;
}

static bool is_same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

/* A front end that is connected, and what it reads. */
static void connect_front(int sock, int front[2])
{
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, front), 0);
	send_keep(sock, KEEP_FD, KEEP_CONN, 0, "", front[1]);
}

static const char *front_reads(int fd)
{
	static char text[1024];
	ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	snprintf(text + (n > 0 ? n : 0), 32, "%s", n == 0 ? "<end>" : n < 0 ? "<nothing>" : "");
	return text;
}

/* --- the image, the socket ---------------------------------------------------------- */

Test(keeper_disk, opened_listened_on_locked_and_closed)
{
	struct given g = open_disk("one", false);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), kept[KEEP_ROLES];
	struct err e = { 0 };
	unsigned int n;

	cr_assert_eq(read_kept(g.keep, kept, &n), 0);
	cr_assert_eq(n, 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/disk-one.sock", dir);
	cr_assert_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(accept(g.listener, NULL, NULL));
	close(fd);
	/* the locks are there without the pager */
	close_given(&g);
	turn();
	cr_assert_eq(image_open(image, IMAGE_CACHE_WRITEBACK, true, &e), -EBUSY);
	disks_close(&disks, "one");
	cr_assert_eq(access(addr.sun_path, F_OK), -1, "the socket is removed");
	cr_assert_eq(faccessat(dir_fd, "disk-one.replied", F_OK, 0), -1);
	fd = image_open(image, IMAGE_CACHE_WRITEBACK, false, &e);
	cr_assert_geq(fd, 0, "%s", e.text);
	close(fd);
	disks_close(&disks, "one"); /* which does not matter */
}

Test(keeper_disk, each_pager_has_a_description_of_its_own)
{
	struct given a = open_disk("one", false), b;
	int in_flight;

	cr_assert_eq(image_fence_take(a.image, 1), 0);
	in_flight = dup(a.image);
	close_given(&a);
	disks_pager_died(&disks);
	/* under this name, whatever has become of the path */
	cr_assert_eq(unlink(image), 0);
	b = open_disk("one", true);
	cr_assert(is_same_file(in_flight, b.image));
	cr_assert_eq(fcntl(b.image, F_GETFL) & O_ACCMODE, O_RDWR);
	cr_assert_eq(image_fence_take(b.image, 1), 0);
	cr_assert_not(image_fence_is_clear(b.image, 1));
	close(in_flight);
	cr_assert(image_fence_is_clear(b.image, 1), "the keeper has no duplicate");
	close_given(&b);
}

Test(keeper_disk, what_cannot_be_opened)
{
	struct given g = open_disk("one", false), none;
	struct proto_msg m = ask("one", false);
	static const char *const bad[] = { "", ".x", "a/b", "a b", "a:b" };

	cr_assert_eq(open_as(&m, &none), -EEXIST);
	m = ask("two", false);
	cr_assert_eq(open_as(&m, &none), -EBUSY, "%s", m.err.text);
	m = ask("two", false);
	strcpy(m.u.disk.image, "/nonexistent/image");
	cr_assert_eq(open_as(&m, &none), -ENOENT);
	for (unsigned int i = 0; i < 5; i++) {
		m = ask(bad[i], false);
		cr_assert_eq(open_as(&m, &none), -EINVAL, "'%s'", bad[i]);
	}
	/* sockets of others, and what is none */
	m = ask("two", false);
	strcpy(m.u.disk.image, "nbd:unix:/nowhere");
	snprintf(m.u.disk.socket, sizeof(m.u.disk.socket), "%s/disk-one.sock", dir);
	cr_assert_eq(open_as(&m, &none), -EEXIST, "%s", m.err.text);
	m = ask("two", false);
	strcpy(m.u.disk.image, "nbd:unix:/nowhere");
	strcpy(m.u.disk.socket, image);
	cr_assert_eq(open_as(&m, &none), -EEXIST, "%s", m.err.text);
	cr_assert_eq(access(image, F_OK), 0);
	m = ask("two", false);
	strcpy(m.u.disk.image, "nbd:unix:/nowhere");
	memset(m.u.disk.socket, 'x', 200);
	m.u.disk.socket[0] = '/';
	cr_assert_eq(open_as(&m, &none), -ENAMETOOLONG, "%s", m.err.text);
	/* after all that, nothing is in its way */
	m = ask("two", false);
	strcpy(m.u.disk.image, "nbd:unix:/nowhere");
	snprintf(m.u.disk.socket, sizeof(m.u.disk.socket), "%s/two", dir);
	cr_assert_eq(open_as(&m, &none), 0, "%s", m.err.text);
	cr_assert_eq(none.image, -1);
	close_given(&none);
	close_given(&g);
}

Test(keeper_disk, what_the_next_pager_does_not_know_is_gone)
{
	struct given a = open_disk("one", false), b;
	struct err e = { 0 };
	int fd;

	disks_pager_ready(&disks);
	close_given(&a);
	disks_pager_died(&disks);
	b = open_disk("one", true);
	disks_pager_ready(&disks);
	close_given(&b);
	cr_assert_eq(image_open(image, IMAGE_CACHE_WRITEBACK, true, &e), -EBUSY);
	disks_pager_died(&disks);
	disks_pager_ready(&disks);
	fd = image_open(image, IMAGE_CACHE_WRITEBACK, true, &e);
	cr_assert_geq(fd, 0, "%s", e.text);
	close(fd);
}

/* --- what is kept ------------------------------------------------------------------- */

Test(keeper_disk, kept_over_a_death_and_dropped)
{
	struct given g = open_disk("one", false);
	int event = eventfd(0, EFD_CLOEXEC), front[2], fd[KEEP_ROLES];
	unsigned int n;

	connect_front(g.keep, front);
	send_keep(g.keep, KEEP_FD, 3, 0, "", g.image);
	send_keep(g.keep, KEEP_FD, 3, 0, "", event); /* in place of the other */
	send_keep(g.keep, KEEP_FD, 9, 0, "", event);
	turn();
	send_keep(g.keep, KEEP_DROP, 9, 0, "", -1);
	/* dead, with that one unread */
	close_given(&g);
	disks_pager_died(&disks);
	g = open_disk("one", true);
	cr_assert_eq(read_kept(g.keep, fd, &n), 0);
	cr_assert_eq(n, 2);
	cr_assert(is_same_file(fd[3], event));
	cr_assert(is_same_file(fd[KEEP_CONN], front[1]));
	close(front[1]);
	close(fd[KEEP_CONN]);
	close(fd[3]);
	/* a death that nobody has noticed */
	send_keep(g.keep, KEEP_FD, 4, 0, "", event);
	close_given(&g);
	g = open_disk("one", true);
	read_kept(g.keep, fd, &n);
	cr_assert_eq(n, 3);
	cr_assert_str_eq(front_reads(front[0]), "<nothing>");
	send_keep(g.keep, KEEP_DROP, KEEP_ALL, 0, "", -1);
	close_given(&g);
	g = open_disk("one", true);
	cr_assert_str_eq(front_reads(front[0]), "<end>", "although a duplicate is open");
	for (unsigned int i = 0; i < KEEP_ROLES; i++)
		if (fd[i] >= 0)
			close(fd[i]);
	read_kept(g.keep, fd, &n);
	cr_assert_eq(n, 0);
	close_given(&g);
	close(event);
	close(front[0]);
}

/* The connection to a server is none of the front end's. */
Test(keeper_disk, server_is_kept_until_the_disk_goes)
{
	struct given g = open_disk("one", false);
	int pair[2], fd[KEEP_ROLES];
	unsigned int n;
	char x;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	send_keep(g.keep, KEEP_FD, KEEP_SERVER, 0, "", pair[0]);
	send_keep(g.keep, KEEP_DROP, KEEP_ALL, 0, "", -1);
	close(pair[0]);
	close_given(&g);
	disks_pager_died(&disks);
	g = open_disk("one", true);
	cr_assert_eq(read_kept(g.keep, fd, &n), 0);
	cr_assert_eq(n, 1);
	cr_assert_geq(fd[KEEP_SERVER], 0);
	close(fd[KEEP_SERVER]);
	close_given(&g);
	cr_assert_eq(recv(pair[1], &x, 1, MSG_DONTWAIT), -1, "it has not ended");
	disks_close(&disks, "one");
	cr_assert_eq(recv(pair[1], &x, 1, MSG_DONTWAIT), 0);
	close(pair[1]);
}

Test(keeper_disk, all_roles_fit)
{
	struct given g = open_disk("one", false);
	int fd[KEEP_ROLES];
	unsigned int n;

	for (uint32_t role = 0; role < KEEP_ROLES; role++) {
		send_keep(g.keep, KEEP_FD, role, 0, "", g.listener);
		turn();
	}
	close_given(&g);
	g = open_disk("one", true);
	cr_assert_eq(read_kept(g.keep, fd, &n), 0);
	cr_assert_eq(n, KEEP_ROLES);
	for (unsigned int i = 0; i < KEEP_ROLES; i++)
		close(fd[i]);
	close_given(&g);
}

Test(keeper_disk, answers_are_sent_once)
{
	struct given g = open_disk("one", false);
	int front[2], fd[KEEP_ROLES], fds[IPC_FDS_MAX], nfds;
	unsigned int n;
	char c;

	send_keep(g.keep, KEEP_REPLY, 0, 1, "nobody", -1);
	connect_front(g.keep, front);
	send_keep(g.keep, KEEP_REPLY, 0, 5, "five", -1);
	turn();
	cr_assert_str_eq(front_reads(front[0]), "five");
	send_keep(g.keep, KEEP_REPLY, 0, 6, "six", -1);
	close_given(&g);
	g = open_disk("one", true);
	cr_assert_eq(read_kept(g.keep, fd, &n), 6);
	close(fd[KEEP_CONN]);
	cr_assert_str_eq(front_reads(front[0]), "six");
	/* as who did not know would */
	send_keep(g.keep, KEEP_REPLY, 0, 6, "six", -1);
	send_keep(g.keep, KEEP_REPLY, 0, 7, "7", g.listener);
	turn();
	cr_assert_eq(ipc_recv(front[0], &c, 1, fds, &nfds), 1);
	cr_assert_eq(c, '7');
	cr_assert_eq(nfds, 1);
	cr_assert(is_same_file(fds[0], g.listener));
	close(fds[0]);
	/* another connection */
	close(front[0]);
	close(front[1]);
	connect_front(g.keep, front);
	close_given(&g);
	g = open_disk("one", true);
	cr_assert_eq(read_kept(g.keep, fd, &n), 0);
	close(fd[KEEP_CONN]);
	close_given(&g);
	close(front[0]);
	close(front[1]);
}

Test(keeper_disk, a_front_end_that_does_not_read_is_disconnected)
{
	struct given g = open_disk("one", false);
	char text[KEEP_REPLY_MAX + 1], got[100 * KEEP_REPLY_MAX];
	int front[2];
	ssize_t n;

	memset(text, 'x', KEEP_REPLY_MAX);
	text[KEEP_REPLY_MAX] = '\0';
	connect_front(g.keep, front);
	for (uint64_t i = 1; i < 2000; i++) {
		send_keep(g.keep, KEEP_REPLY, 0, i, text, -1);
		turn();
		if (send(front[1], "", 0, MSG_NOSIGNAL) < 0 && errno == EPIPE)
			break;
		cr_assert_lt(i, 1999, "it is never disconnected");
	}
	do {
		n = read(front[0], got, sizeof(got));
		cr_assert_eq(n % KEEP_REPLY_MAX, 0, "answers arrive whole");
	} while (n > 0);
	cr_assert_eq(n, 0);
	close_given(&g);
	close(front[0]);
	close(front[1]);
}

Test(keeper_disk, messages_that_make_no_sense)
{
	struct given g = open_disk("one", false);
	struct keep_msg m = { .type = KEEP_REPLY, .number = 1, .bytes = 100 };
	int fd[KEEP_ROLES], many[3] = { g.listener, g.listener, g.listener }, front[2];
	unsigned int n;

	connect_front(g.keep, front);
	send_keep(g.keep, KEEP_FD, KEEP_ROLES, 0, "", g.listener);
	send_keep(g.keep, KEEP_FD, KEEP_ALL, 0, "", g.listener);
	send_keep(g.keep, KEEP_FD, 3, 0, "", -1);
	send_keep(g.keep, KEEP_DROP, KEEP_ROLES, 0, "", -1);
	send_keep(g.keep, KEEP_END, 3, 0, "", g.listener);
	send_keep(g.keep, KEEP_REPLY, 0, 1, "", g.listener);
	cr_assert_eq(ipc_send(g.keep, &m, offsetof(struct keep_msg, reply) + 99, NULL, 0), 0);
	cr_assert_eq(ipc_send(g.keep, &m, 4, many, 3), 0);
	m.bytes = UINT32_MAX;
	cr_assert_eq(ipc_send(g.keep, &m, sizeof(m), NULL, 0), 0);
	turn();
	send_keep(g.keep, KEEP_REPLY, 0, 2, "still there", -1);
	turn();
	cr_assert_str_eq(front_reads(front[0]), "still there");
	close_given(&g);
	g = open_disk("one", true);
	cr_assert_eq(read_kept(g.keep, fd, &n), 2);
	cr_assert_eq(n, 1, "the connection alone");
	close(fd[KEEP_CONN]);
	close_given(&g);
	close(front[0]);
	close(front[1]);
}

/* --- the keeper's own death ----------------------------------------------------------- */

/* Another keeper, with what is in the store. */
static void another_keeper(void)
{
	disks_fini(&disks);
	loop_destroy(loop);
	begin();
}

Test(keeper_disk, the_next_keeper_has_it_all)
{
	struct given g = open_disk("one", false);
	int front[2], fd[KEEP_ROLES], event = eventfd(0, EFD_CLOEXEC);
	struct err e = { 0 };
	unsigned int n;

	connect_front(g.keep, front);
	send_keep(g.keep, KEEP_FD, 17, 0, "", event);
	send_keep(g.keep, KEEP_REPLY, 0, 3, "three", -1);
	close_given(&g);
	disks_pager_died(&disks);
	another_keeper();
	cr_assert_eq(image_open(image, IMAGE_CACHE_WRITEBACK, true, &e), -EBUSY,
		     "it was never unlocked");
	cr_assert_eq(unlink(image), 0);
	g = open_disk("one", true);
	cr_assert_eq(read_kept(g.keep, fd, &n), 3);
	cr_assert_eq(n, 2);
	cr_assert(is_same_file(fd[17], event));
	cr_assert(is_same_file(fd[KEEP_CONN], front[1]));
	cr_assert_str_eq(front_reads(front[0]), "three");
	close(fd[17]);
	close(fd[KEEP_CONN]);
	close(event);
	close_given(&g);
	disks_close(&disks, "one");
	cr_assert_eq(store_take("disk/one/image"), -ENOENT);
	cr_assert_eq(store_take("disk/one/listen"), -ENOENT);
	cr_assert_eq(store_take("disk/one/17"), -ENOENT);
	cr_assert_eq(store_take("disk/one/255"), -ENOENT);
	close(front[1]);
	cr_assert_str_eq(front_reads(front[0]), "<end>");
	close(front[0]);
}

Test(keeper_disk, killed_while_it_answers)
{
	struct given g = open_disk("one", false);
	uint64_t replied[2];
	int front[2], fd[KEEP_ROLES], file;
	unsigned int n;

	connect_front(g.keep, front);
	send_keep(g.keep, KEEP_REPLY, 0, 3, "three", -1);
	turn();
	cr_assert_str_eq(front_reads(front[0]), "three");
	close_given(&g);
	another_keeper();
	file = openat(dir_fd, "disk-one.replied", O_RDWR);
	cr_assert_eq(read(file, replied, sizeof(replied)), (ssize_t)sizeof(replied));
	cr_assert_eq(replied[0], 3);
	cr_assert_eq(replied[1], 3);
	replied[0] = 4;
	cr_assert_eq(pwrite(file, replied, sizeof(replied), 0), (ssize_t)sizeof(replied));
	close(file);
	g = open_disk("one", true);
	read_kept(g.keep, fd, &n);
	cr_assert_eq(n, 0);
	cr_assert_str_eq(front_reads(front[0]), "<end>");
	close_given(&g);
	close(front[0]);
	close(front[1]);
}

Test(keeper_disk, another_image_under_its_path)
{
	struct given g, none;
	struct proto_msg m = ask("one", false), again;
	char old[80];

	cr_assert_eq(open_as(&m, &g), 0);
	close_given(&g);
	disks_fini(&disks);
	loop_destroy(loop);
	store_fini();
	begin();
	again = ask("one", true);
	again.u.disk.dev = m.u.disk.dev;
	again.u.disk.ino = m.u.disk.ino;
	snprintf(old, sizeof(old), "%s.old", image);
	cr_assert_eq(rename(image, old), 0);
	cr_assert_eq(open_as(&again, &none), -ENOENT);
	close(open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	again = ask("one", true);
	again.u.disk.dev = m.u.disk.dev;
	again.u.disk.ino = m.u.disk.ino;
	cr_assert_eq(open_as(&again, &none), -ENXIO, "%s", again.err.text);
	cr_assert_eq(rename(old, image), 0);
	again = ask("one", true);
	again.u.disk.dev = m.u.disk.dev;
	again.u.disk.ino = m.u.disk.ino;
	cr_assert_eq(open_as(&again, &g), 0, "%s", again.err.text);
	close_given(&g);
}

/* --- may an earlier pager's notes be believed? ----------------------------------------- */

static int asked_again(const char *uri)
{
	struct proto_msg m = ask("one", true);
	struct given g;

	if (uri)
		snprintf(m.u.disk.image, sizeof(m.u.disk.image), "%s", uri);
	cr_assert_eq(open_as(&m, &g), 0, "%s", m.err.text);
	close_given(&g);
	return m.u.disk.anew;
}

Test(keeper_disk, an_image_that_was_held_is_not_anew)
{
	struct given g = open_disk("one", false);

	disks_pager_ready(&disks);
	close_given(&g);
	disks_pager_died(&disks);
	cr_assert_eq(asked_again(NULL), 0, "held here");
	another_keeper();
	cr_assert_eq(asked_again(NULL), 0, "held by the store");
	disks_fini(&disks);
	loop_destroy(loop);
	store_fini();
	begin();
	cr_assert_eq(asked_again(NULL), 1, "held by nobody");
	disks_pager_died(&disks);
	cr_assert_eq(asked_again(NULL), 1, "the pager that was told has never served");
	disks_pager_ready(&disks);
	disks_pager_died(&disks);
	cr_assert_eq(asked_again(NULL), 0);
}

Test(keeper_disk, a_server_is_the_same_while_its_connection_lives)
{
	static const char uri[] = "nbd:unix:/nowhere";
	struct proto_msg m = ask("one", false);
	struct given g;
	int pair[2];

	strcpy(m.u.disk.image, uri);
	cr_assert_eq(open_as(&m, &g), 0, "%s", m.err.text);
	cr_assert_eq(m.u.disk.anew, 0);
	close_given(&g);
	cr_assert_eq(asked_again(uri), 1, "nobody is connected");
	disks_pager_ready(&disks);
	m = ask("one", true);
	strcpy(m.u.disk.image, uri);
	cr_assert_eq(open_as(&m, &g), 0);
	disks_pager_ready(&disks);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	send_keep(g.keep, KEEP_FD, KEEP_SERVER, 0, "", pair[0]);
	close(pair[0]);
	close_given(&g);
	cr_assert_eq(asked_again(uri), 0, "of a message that was not read yet");
	close(pair[1]);
	cr_assert_eq(asked_again(uri), 1, "the server has gone");
	/* another one, of a pager that dies before it serves */
	m = ask("one", true);
	strcpy(m.u.disk.image, uri);
	cr_assert_eq(open_as(&m, &g), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	send_keep(g.keep, KEEP_FD, KEEP_SERVER, 0, "", pair[0]);
	close(pair[0]);
	close_given(&g);
	cr_assert_eq(asked_again(uri), 1);
	disks_pager_ready(&disks);
	cr_assert_eq(asked_again(uri), 0);
	close(pair[1]);
}
