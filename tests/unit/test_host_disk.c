/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Disks of the pager, with a keeper played on a thread (played_keeper.h).
 * Guests cannot be attached here: that has it/disk tests.
 */
#include "unit/played_keeper.h"

TestSuite(host_disk, .init = set_up, .fini = tear_down, .timeout = 120);

static void on_busy(void *ctx, const struct err *e)
{
	(void)ctx;
	cr_assert_eq(e->code, -EBUSY);
}

static void wait_for_state(const char *name, const char *state)
{
	while (strcmp(show(name).state, state) != 0)
		turn();
}

static int connect_to(const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/disk-%s.sock", dir, name);
	cr_assert_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static void wait_for_end(int fd)
{
	char c;

	while (recv(fd, &c, 1, MSG_DONTWAIT) != 0)
		turn();
}

static void wait_for_event(const char *text)
{
	while (!strstr(events, text))
		turn();
}

/* --- disks ----------------------------------------------------------------------------- */

Test(host_disk, added_listed_removed)
{
	struct disk_add a = like("one");
	struct disk_stats s;
	char path[128];

	cr_assert_eq(host_disk_stats(host(), &s, 1), 0);
	add_one();
	cr_assert_eq(host_disk_stats(host(), &s, 1), 1);
	cr_assert_str_eq(s.name, "one");
	cr_assert_str_eq(s.serial, "one");
	cr_assert_str_eq(s.image, image);
	cr_assert_str_eq(s.state, "idle");
	cr_assert_str_eq(s.cache, "none");
	cr_assert_eq(s.size, 1 << 20);
	cr_assert_eq(s.queues, 64);
	cr_assert(s.map);
	cr_assert_eq(add(&a), -EEXIST);
	a.name = "two";
	cr_assert_eq(add(&a), -EBUSY, "the image is locked");
	cr_assert_eq(remove_disk("two"), -ENOENT);
	cr_assert_eq(remove_disk("one"), 0, "%s", result.text);
	cr_assert_eq(host_disk_stats(host(), &s, 1), 0);
	/* and nothing is left of it, when the keeper has come round */
	cr_assert_eq(add(&a), 0, "%s", result.text);
	cr_assert_eq(remove_disk("two"), 0);
	a.name = "one";
	cr_assert_eq(add(&a), 0, "%s", result.text);
	cr_assert_eq(remove_disk("one"), 0);
	snprintf(path, sizeof(path), "%s/disk-one.state", dir);
	cr_assert_eq(access(path, F_OK), -1);
}

Test(host_disk, what_is_refused)
{
	static const char *const names[] = { "", ".a", "a/b", "a b", "\xc3\xa4" };
	struct disk_add a;

	for (unsigned int i = 0; i < 5; i++) {
		a = like(names[i]);
		cr_assert_eq(add(&a), -EINVAL, "%s", names[i]);
		a = like("one");
		a.guest = names[i];
		cr_assert_eq(add(&a), -EINVAL, "%s", names[i]);
	}
	a = like("one");
	a.image = "image";
	cr_assert_eq(add(&a), -EINVAL);
	a.image = "/nonexistent/image";
	cr_assert_eq(add(&a), -ENOENT);
	a.image = "/with\nbreak";
	cr_assert_eq(add(&a), -EINVAL);
	a = like("one");
	a.socket = "relative";
	cr_assert_eq(add(&a), -EINVAL);
	a = like("one");
	a.serial = "123456789012345678901";
	cr_assert_eq(add(&a), -EINVAL);
	a = like("one");
	a.queues = 65;
	cr_assert_eq(add(&a), -EINVAL);
	a = like("one");
	a.cache = 17;
	cr_assert_eq(add(&a), -EINVAL);
	a = like("one");
	a.image = "nbd:unix:/nonexistent/socket";
	cr_assert_lt(add(&a), 0);
	/* and after all that, the name and the image are free */
	add_one();
}

Test(host_disk, of_the_configuration_file)
{
	struct proto_msg m = { .type = MSG_DISK_ADD };

	snprintf(m.u.disk.name, sizeof(m.u.disk.name), "conf");
	snprintf(m.u.disk.image, sizeof(m.u.disk.image), "%s", image);
	m.u.disk.read_only = 1;
	m.u.disk.no_map = 1;
	m.u.disk.queues = 3;
	answer(&m, NULL, 0);
	answer(&m, NULL, 0);
	while (host_disk_stats(host(), NULL, 0) == 0)
		turn();
	cr_assert(show("conf").read_only);
	cr_assert_not(show("conf").map);
	cr_assert_eq(show("conf").queues, 3);
}

Test(host_disk, grows)
{
	add_one();
	host_disk_resize(host(), "one", on_done, NULL);
	cr_assert_eq(wait_for_answer(), -EINVAL);
	cr_assert_eq(truncate(image, 3 << 20), 0);
	host_disk_resize(host(), "one", on_done, NULL);
	host_disk_remove(host(), "one", on_busy, NULL);
	cr_assert_eq(wait_for_answer(), 0, "%s", result.text);
	cr_assert_eq(show("one").size, 3 << 20);
	cr_assert_eq(host()->disks->d.geometry.sectors, (3 << 20) / 512);
	cr_assert_eq(truncate(image, 1 << 20), 0);
	host_disk_resize(host(), "one", on_done, NULL);
	cr_assert_eq(wait_for_answer(), -ERANGE);
	host_disk_resize(host(), "none", on_done, NULL);
	cr_assert_eq(wait_for_answer(), -ENOENT);
}

Test(host_disk, numbers_are_their_own)
{
	struct disk_add a = like("one");
	unsigned int one, two;

	a.read_only = true;
	cr_assert_eq(add(&a), 0);
	a.name = "two";
	cr_assert_eq(add(&a), 0, "%s", result.text);
	one = host()->disks->d.number;
	two = host()->disks->next->d.number;
	cr_assert_gt(one, DRUM_DEVICES_MAX);
	cr_assert_gt(two, DRUM_DEVICES_MAX);
	cr_assert_neq(one, two);
	cr_assert_neq(host()->disks->d.fence, host()->disks->next->d.fence);
	cr_assert(host()->disks->next->d.fenced);
	cr_assert_eq(remove_disk("one"), 0);
	die(false);
	start();
	cr_assert_eq(host()->disks->d.number, two);
	a.name = "three";
	a.no_map = true;
	cr_assert_eq(add(&a), 0);
	cr_assert_eq(host()->disks->next->d.number, 0);
	a.name = "four";
	a.no_map = false;
	cr_assert_eq(add(&a), 0);
	cr_assert_eq(host()->disks->next->next->d.number, one);
}

/* --- front ends ------------------------------------------------------------------------ */

Test(host_disk, who_says_nothing_is_in_nobodys_way)
{
	int fd;

	add_one();
	fd = connect_to("one");
	wait_for_state("one", "attaching");
	cr_assert_eq(show("one").pid, getpid());
	close(fd);
	wait_for_state("one", "idle");
	fd = connect_to("one");
	wait_for_state("one", "attaching");
	cr_assert_eq(remove_disk("one"), 0, "%s", result.text);
	wait_for_end(fd);
	close(fd);
	cr_assert_eq(__atomic_load_n(&keeper.attached, __ATOMIC_ACQUIRE), 0);
}

Test(host_disk, who_cannot_be_attached_is_disconnected)
{
	int fd;

	add_one();
	for (int i = 0; i < 2; i++) {
		fd = connect_to("one");
		cr_assert_eq(write(fd, "hello", 5), 5);
		wait_for_end(fd);
		close(fd);
		wait_for_state("one", "idle");
	}
	cr_assert_eq(__atomic_load_n(&keeper.attached, __ATOMIC_ACQUIRE), 2);
	wait_for_event("DISK_DISCONNECTED one not here: one\n");
	cr_assert_eq(strchr(events, '\n')[1], '\0', "told once: %s", events);
}

Test(host_disk, attached_under_another_name)
{
	struct disk_add a = like("one");
	int fd;

	a.guest = "web";
	cr_assert_eq(add(&a), 0);
	fd = connect_to("one");
	cr_assert_eq(write(fd, "hello", 5), 5);
	wait_for_event("not here: web\n");
	close(fd);
}

Test(host_disk, somebody_else_may_be_attaching_it)
{
	int fd;

	add_one();
	__atomic_store_n(&keeper.attach_err, -EEXIST, __ATOMIC_RELEASE);
	fd = connect_to("one");
	cr_assert_eq(write(fd, "hello", 5), 5);
	while (__atomic_load_n(&keeper.attached, __ATOMIC_ACQUIRE) < 3)
		turn();
	cr_assert_str_eq(show("one").state, "attaching");
	__atomic_store_n(&keeper.attach_err, -EPERM, __ATOMIC_RELEASE);
	wait_for_end(fd);
	close(fd);
}

/* One of an earlier VMM, which ends. */
Test(host_disk, a_guest_of_that_name_may_be_ending)
{
	struct guest *g = calloc(1, sizeof(*g));
	int fd;

	add_one();
	g->pid = getpid() + 1;
	snprintf(g->name, sizeof(g->name), "one");
	host()->guests = g;
	fd = connect_to("one");
	cr_assert_eq(write(fd, "hello", 5), 5);
	wait_for_state("one", "attaching");
	for (int i = 0; i < 300; i++)
		turn();
	cr_assert_str_eq(show("one").state, "attaching");
	cr_assert_eq(__atomic_load_n(&keeper.attached, __ATOMIC_ACQUIRE), 0);
	/* then the keeper, which is told of it later, or has its file yet */
	__atomic_store_n(&keeper.attach_err, -EBUSY, __ATOMIC_RELEASE);
	host()->guests = NULL;
	free(g);
	while (__atomic_load_n(&keeper.attached, __ATOMIC_ACQUIRE) < 3)
		turn();
	cr_assert_str_eq(show("one").state, "attaching");
	cr_assert_str_eq(events, "");
	/* but not for ever */
	host()->disks->give_up_at = 1;
	wait_for_event("DISK_DISCONNECTED one not here: one\n");
	wait_for_end(fd);
	close(fd);
}

Test(host_disk, neither_removed_nor_stopped_while_it_is_attached)
{
	struct proto_msg m = { .type = MSG_STOP, .id = STOP_DETACH };
	struct disk_add a = like("two");
	int one, two;

	a.read_only = true;
	a.name = "one";
	cr_assert_eq(add(&a), 0);
	a.name = "two";
	cr_assert_eq(add(&a), 0);
	__atomic_store_n(&keeper.attach_err, 0, __ATOMIC_RELEASE); /* no answer */
	one = connect_to("one");
	two = connect_to("two");
	cr_assert_eq(write(one, "hello", 5), 5);
	while (__atomic_load_n(&keeper.attached, __ATOMIC_ACQUIRE) == 0)
		turn();
	cr_assert_eq(write(two, "hello", 5), 5);
	for (int i = 0; i < 20; i++)
		turn();
	cr_assert_eq(__atomic_load_n(&keeper.attached, __ATOMIC_ACQUIRE), 1, "one for both");
	cr_assert_eq(remove_disk("one"), -EBUSY);
	answer(&m, NULL, 0);
	while (__atomic_load_n(&keeper.stopped, __ATOMIC_ACQUIRE) == 0)
		turn();
	cr_assert_eq(__atomic_load_n(&keeper.stopped, __ATOMIC_ACQUIRE), 1 + EBUSY);
	close(one);
	close(two);
}

Test(host_disk, reads_are_avoided_without_a_map)
{
	struct guest *g = calloc(1, sizeof(*g));
	struct disk_add a = like("one");
	struct host_disk *hd;

	cr_assert_not_null(g);
	a.no_map = true;
	cr_assert_eq(add(&a), 0);
	hd = host()->disks;
	g->holds.avoided = 5;
	hd->front = FRONT_GIVEN;
	hd->guest = g;
	cr_assert_eq(show("one").reads_avoided, 5);
	hd->front = FRONT_NONE;
	hd->guest = NULL;
	free(g);
}

/* The VMM has ended a moment ago, and its worker has not let go of the disk yet. */
Test(host_disk, who_has_ended_is_no_reason_not_to_stop)
{
	struct guest *g = calloc(1, sizeof(*g));
	struct host_disk *hd;
	struct err e;

	cr_assert_not_null(g);
	add_one();
	hd = host()->disks;
	hd->front = FRONT_GIVEN;
	g->pid = hd->pid = 77;
	host()->guests = g;
	g->state = GUEST_RUNNING;
	cr_assert_eq(host_front_check(host(), NULL, &e), -EBUSY);
	g->state = GUEST_GONE;
	cr_assert_eq(host_front_check(host(), NULL, &e), 0);
	hd->front = FRONT_NONE;
	host()->guests = NULL;
	free(g);
}

Test(host_disk, stopped_it_is_forgotten)
{
	struct proto_msg m = { .type = MSG_STOP, .id = STOP_DETACH };
	static const char *const files[] = { "disks", "disk-one.state" };

	add_one();
	/* host_serve's answer, or guests might be needed */
	while (!host()->adopted_all)
		turn();
	answer(&m, NULL, 0);
	while (__atomic_load_n(&keeper.stopped, __ATOMIC_ACQUIRE) == 0)
		turn();
	cr_assert_eq(__atomic_load_n(&keeper.stopped, __ATOMIC_ACQUIRE), 1);
	for (int i = 0; i < 2; i++)
		cr_assert_eq(faccessat(dir_fd, files[i], F_OK, 0), -1, "%s", files[i]);
}

/* --- deaths ------------------------------------------------------------------------------ */

Test(host_disk, the_next_pager_goes_on_with_who_was_accepted)
{
	int fd;

	add_one();
	fd = connect_to("one");
	wait_for_state("one", "attaching");
	while (!host()->disks->kept)
		turn();
	die(false);
	start();
	cr_assert_str_eq(show("one").state, "attaching");
	cr_assert_eq(__atomic_load_n(&keeper.attached, __ATOMIC_ACQUIRE), 0);
	cr_assert_not(host()->disks->d.fenced, "the dead one has the image open still");
	cr_assert_eq(write(fd, "hello", 5), 5);
	wait_for_event("DISK_DISCONNECTED one not here: one\n");
	wait_for_end(fd);
	close(fd);
	fd = connect_to("one");
	wait_for_state("one", "attaching");
	close(fd);
}

/* As if a worker had it: what the keeper and the state file have then. */
static void pretend_given(void)
{
	struct host_disk *hd = host()->disks;
	struct keep_msg m = { .type = KEEP_FD, .role = VHOST_FD_MEM };

	while (!hd->kept)
		turn();
	disk_state_begin(hd->d.state, &hd->d.geometry, hd->pid, "web");
	cr_assert_eq(ipc_send(hd->d.keep, &m, sizeof(m), &hd->d.image_fd, 1), 0);
	m = (struct keep_msg){ .type = KEEP_REPLY, .number = 9, .bytes = 2, .reply = "hi" };
	cr_assert_eq(ipc_send(hd->d.keep, &m, sizeof(m), NULL, 0), 0);
}

Test(host_disk, a_front_end_whose_guest_is_not_taken_over)
{
	struct host_disk *hd;
	char text[8];
	int fd;

	add_one();
	fd = connect_to("one");
	wait_for_state("one", "attaching");
	pretend_given();
	die(false);
	start();
	hd = host()->disks;
	cr_assert_str_eq(show("one").state, "recovering");
	cr_assert_eq(show("one").pid, getpid());
	cr_assert_eq(hd->d.replied, 9);
	cr_assert(hd->d.resumed);
	cr_assert_geq(hd->d.fd[VHOST_FD_MEM], 0);
	cr_assert_eq(read(fd, text, 2), 2);
	wait_for_event("DISK_DISCONNECTED one its guest was not taken over");
	wait_for_end(fd);
	close(fd);
	cr_assert_eq(disk_state_now(hd->d.state)->pid, 0);
	cr_assert_eq(hd->d.fd[VHOST_FD_MEM], -1);
	die(false);
	start();
	cr_assert_str_eq(show("one").state, "idle");
}

/* It ended while no pager was there: that is no failure. */
Test(host_disk, a_front_end_that_has_gone_with_its_guest)
{
	struct host_disk *hd;
	int fd;

	add_one();
	fd = connect_to("one");
	wait_for_state("one", "attaching");
	pretend_given();
	die(false);
	cr_assert_eq(write(fd, "hello", 5), 5);
	close(fd);
	start();
	hd = host()->disks;
	wait_for_event("DISK_DISCONNECTED one\n");
	cr_assert_eq(disk_state_now(hd->d.state)->pid, 0);
	cr_assert_str_eq(hd->told, "", "told as a failure");
	cr_assert_str_eq(show("one").state, "idle");
}

Test(host_disk, a_front_end_whose_state_is_lost)
{
	int fd, state;
	char text[8];

	add_one();
	fd = connect_to("one");
	wait_for_state("one", "attaching");
	pretend_given();
	die(false);
	state = openat(dir_fd, "disk-one.state", O_RDWR | O_TRUNC | O_CLOEXEC);
	close(state);
	start();
	cr_assert_eq(read(fd, text, 2), 2);
	wait_for_event("DISK_DISCONNECTED one what it had set is lost");
	wait_for_end(fd);
	close(fd);
	cr_assert_str_eq(show("one").state, "idle");
}

Test(host_disk, of_an_end_that_was_not_finished)
{
	add_one();
	disk_state_begin(host()->disks->d.state, &host()->disks->d.geometry, 4711, "web");
	die(false);
	start();
	cr_assert_str_eq(show("one").state, "idle");
	cr_assert_eq(disk_state_now(host()->disks->d.state)->pid, 0);
}

Test(host_disk, missing)
{
	char away[80];
	int fd;

	add_one();
	snprintf(away, sizeof(away), "%s.away", image);
	cr_assert_eq(rename(image, away), 0);
	die(true);
	start();
	cr_assert_str_eq(show("one").state, "missing");
	cr_assert_eq(show("one").size, 1 << 20);
	host_disk_resize(host(), "one", on_done, NULL);
	cr_assert_eq(wait_for_answer(), -ENOENT);
	/* it is back, for the next one */
	cr_assert_eq(rename(away, image), 0);
	die(true);
	start();
	cr_assert_str_eq(show("one").state, "idle");
	fd = connect_to("one");
	wait_for_state("one", "attaching");
	close(fd);
	cr_assert_eq(rename(image, away), 0);
	die(true);
	start();
	cr_assert_str_eq(show("one").state, "missing");
	cr_assert_eq(remove_disk("one"), 0);
	cr_assert_eq(rename(away, image), 0);
	add_one();
}
