/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the arbiter hears of guests and wants of them, with a keeper played on a thread.  A
 * guest is RAM that this process maps, and its vCPUs are threads of it.
 */
#include "unit/played_keeper.h"

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "vmm/guest.h"

#pragma weak host_guest_attach
#pragma weak host_guest_detach
#pragma weak host_guest_stats_one
#pragma weak host_guest_grant
#pragma weak host_guest_set_vcpus
#pragma weak host_on_guest
#pragma weak host_tell
#pragma weak host_promise_again
#pragma weak host_promised

static char heard[256];

static void on_guest(void *arg, const char *name, enum host_guest_change change)
{
	struct guest_stats s;

	cr_assert_eq(arg, heard);
	/* it can be asked for what it hears of, and not any more */
	cr_assert_eq(host_guest_stats_one(host(), name, &s),
		     change == HOST_GUEST_SERVING ? 0 : -ENOENT);
	strncat(heard, name, sizeof(heard) - strlen(heard) - 1);
	strncat(heard, change == HOST_GUEST_SERVING ? " serving\n" : " ended\n",
		sizeof(heard) - strlen(heard) - 1);
}

#define RAM_BYTES (UINT64_C(1) << 20)
#define NEW_UFFD  _IO(0xAA, 0x00) /* USERFAULTFD_IOC_NEW */

static char *ram; /* as this process has it mapped */
static int guest_chan;

static int new_uffd(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK), dev;

	if (fd >= 0)
		return fd;
	dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	fd = dev < 0 ? -1 : ioctl(dev, NEW_UFFD, O_CLOEXEC | O_NONBLOCK);
	if (dev >= 0)
		close(dev);
	return fd;
}

/* Its RAM, and this process as its VMM if it may have a userfaultfd; without, it ends as
 * soon as it serves.  => whether it is */
static bool send_guest(int chan)
{
	struct proto_msg m = { .type = MSG_MEMFD, .bytes = RAM_BYTES };
	struct proto_msg map = { .type = MSG_MAPPER, .id = 1, .pid = getpid() };
	struct proto_msg begin = { .type = MSG_BEGIN };
	int fd = memfd_create("ram", MFD_CLOEXEC), uffd = new_uffd();

	guest_chan = chan;
	cr_assert_eq(ftruncate(fd, RAM_BYTES), 0);
	ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	cr_assert_neq((void *)ram, MAP_FAILED);
	cr_assert_eq(ipc_send(chan, &m, sizeof(m), &fd, 1), 0);
	map.u.ram.nranges = 1;
	map.u.ram.range[0] =
		(struct proto_range){ .len = RAM_BYTES, .start = (uint64_t)(uintptr_t)ram };
	if (uffd >= 0)
		cr_assert_eq(ipc_send(chan, &map, sizeof(map), &uffd, 1), 0);
	cr_assert_eq(ipc_send(chan, &begin, sizeof(begin), NULL, 0), 0);
	close(fd);
	if (uffd >= 0)
		close(uffd);
	return uffd >= 0;
}

static void send_detached(int chan)
{
	struct proto_msg m = { .type = MSG_DETACHED };

	cr_assert_eq(ipc_send(chan, &m, sizeof(m), NULL, 0), 0);
}

/* As the keeper hands over a guest of an earlier pager. */
static int adopted(const char *name)
{
	struct proto_msg m = { .type = MSG_ADOPT, .pid = getpid() };
	int pair[2];

	cr_assert_eq(ipc_pair(pair), 0);
	snprintf(m.u.name, sizeof(m.u.name), "%s", name);
	cr_assert_eq(ipc_send(keeper.chan, &m, sizeof(m), &pair[1], 1), 0);
	close(pair[1]);
	return pair[0];
}

TestSuite(host_grant, .init = set_up, .fini = tear_down, .timeout = 30);

Test(host_grant, of_no_guest)
{
	const pid_t tid = 1;

	cr_assert_eq(host_guest_grant(host(), "none", 1 << 20, 0), -ENOENT);
	cr_assert_eq(host_guest_set_vcpus(host(), "none", &tid, 1), -ENOENT);
}

Test(host_grant, an_event_of_a_higher_layer)
{
	const struct host_event e = {
		.name = "GUEST_GRANT", .field = { { "guest", "one", 0 }, { "grant", NULL, 5 } }
	};

	host_tell(host(), &e);
	cr_assert_str_eq(events, "GUEST_GRANT one ?\n");
	host_on_event(host(), NULL, NULL);
	host_tell(host(), &e);
}

Test(host_grant, hears_of_a_guest_of_an_earlier_pager)
{
	const pid_t tid[] = { 8, 9 };
	int chan;

	host_on_guest(host(), on_guest, heard);
	chan = adopted("one");
	while (!host()->guests)
		turn();
	/* wishes that come before it serves are kept */
	for (unsigned int i = 0; i < 1000; i++)
		cr_assert_eq(host_guest_grant(host(), "one", UINT64_MAX, 4096), 0);
	cr_assert_eq(host_guest_set_vcpus(host(), "one", tid, 2), 0);
	cr_assert_str_eq(heard, "");
	send_guest(chan);
	while (!heard[0])
		turn();
	cr_assert_str_eq(heard, "one serving\n");
	send_detached(chan);
	while (host()->guests)
		turn();
	cr_assert_str_eq(heard, "one serving\none ended\n");
	/* it was attached before, and not anew */
	cr_assert_null(strstr(events, "GUEST_ATTACHED"));
	cr_assert(strstr(events, "GUEST_DETACHED one ended\n"), "%s", events);
	cr_assert_eq(host_guest_grant(host(), "one", 1 << 20, 0), -ENOENT);
}

Test(host_grant, does_not_hear_of_one_that_never_serves)
{
	int chan;

	host_on_guest(host(), on_guest, heard);
	chan = adopted("one");
	while (!host()->guests)
		turn();
	close(chan); /* the keeper is gone */
	while (host()->guests)
		turn();
	cr_assert_str_eq(heard, "");
}

static uint64_t promised(void)
{
	uint64_t sum, unpromised;

	host_promised(host(), &sum, &unpromised);
	return sum;
}

/* One that serves, with a promise. => false: it cannot */
static bool serves(void)
{
	struct err e = { 0 };

	host_on_guest(host(), on_guest, heard);
	guest_chan = adopted("one");
	while (!host()->guests)
		turn();
	if (!send_guest(guest_chan))
		return false;
	while (!heard[0])
		turn();
	cr_assert_eq(host_promise_again(host(), "one", 1 << 20, &e), 0);
	return true;
}

/* Its worker ends and the guest does not: nothing of it may be forgotten. */
Test(host_grant, one_that_is_left_to_the_next_keeper_has_not_ended)
{
	if (!serves())
		cr_skip_test("no userfaultfd");
	close(guest_chan); /* the keeper is gone */
	while (host()->guests)
		turn();
	cr_assert_str_eq(heard, "one serving\n");
	cr_assert_eq(promised(), 1 << 20);
}

static void has_left(void *ctx, const struct err *e)
{
	cr_assert_eq(e->code, 0, "%s", e->text);
	*(bool *)ctx = true;
}

Test(host_grant, one_that_is_left_to_the_next_pager_has_not_ended)
{
	const struct command leave = { .type = CMD_LEAVE };
	bool done = false;

	if (!serves())
		cr_skip_test("no userfaultfd");
	host_command(host(), "one", &leave, has_left, &done);
	while (host()->guests)
		turn();
	cr_assert(done);
	cr_assert_str_eq(heard, "one serving\n");
	cr_assert_eq(promised(), 1 << 20);
}

/* --- events of guests and pagers ------------------------------------------------------------
 */

/* As the keeper answers when it has attached a VMM. */
static bool attached(const char *name)
{
	struct proto_msg m = { .type = MSG_ATTACHED, .pid = getpid() };
	int pair[2];

	__atomic_store_n(&keeper.attach_err, 0, __ATOMIC_RELEASE);
	host_on_guest(host(), on_guest, heard);
	host_guest_attach(host(), getpid(), name, on_done, NULL);
	while (!__atomic_load_n(&keeper.attached, __ATOMIC_ACQUIRE))
		turn();
	m.seq = host()->seq;
	cr_assert_eq(ipc_pair(pair), 0);
	snprintf(m.u.name, sizeof(m.u.name), "%s", name);
	cr_assert_eq(ipc_send(keeper.chan, &m, sizeof(m), &pair[1], 1), 0);
	close(pair[1]);
	if (!send_guest(pair[0]))
		return false;
	cr_assert_eq(wait_for_answer(), 0, "%s", result.text);
	return true;
}

/* The keeper's side of an end, whenever the worker asks for it. */
static void let_go(void)
{
	struct proto_msg m;

	while (host()->guests) {
		while (recv(guest_chan, &m, sizeof(m), MSG_DONTWAIT) == (ssize_t)sizeof(m))
			if (m.type == MSG_DETACH)
				send_detached(guest_chan);
		turn();
	}
}

Test(host_grant, an_attachment_and_its_end_by_command_are_told)
{
	if (!attached("one"))
		cr_skip_test("no userfaultfd");
	cr_assert_str_eq(events, "GUEST_ATTACHED one ? ?\n");
	host_guest_detach(host(), "one", on_done, NULL);
	let_go();
	cr_assert_str_eq(events, "GUEST_ATTACHED one ? ?\nGUEST_DETACHED one detached\n");
}

Test(host_grant, the_end_of_a_quarantine_is_told)
{
	struct proto_msg unsafe = { .type = MSG_UNSAFE };

	if (!attached("one"))
		cr_skip_test("no userfaultfd");
	err_set(&unsafe.err, -EINVAL, "it is strange");
	cr_assert_eq(ipc_send(guest_chan, &unsafe, sizeof(unsafe), NULL, 0), 0);
	let_go();
	cr_assert_str_eq(events, "GUEST_ATTACHED one ? ?\nGUEST_QUARANTINED one it is strange\n"
				 "GUEST_DETACHED one quarantined\n");
}

/* One that takes the place of another, which has had a guest. */
static bool takes_over(int after, bool guest)
{
	struct proto_msg all = { .type = MSG_ADOPTED_ALL };
	bool served = true;

	die(false);
	keeper.holds_back = true;
	start();
	events[0] = '\0';
	host()->opt.after = after;
	host()->opt.since = after == AFTER_NOBODY ? 0 : 1;
	if (guest) {
		host_on_guest(host(), on_guest, heard);
		served = send_guest(adopted("one"));
	}
	answer(&all, NULL, 0);
	while (!host()->adopted_all)
		turn();
	/* not before the guest is served, or known not to be */
	while (guest && !host()->restart_told)
		turn();
	turn();
	return served;
}

Test(host_grant, that_a_pager_takes_the_place_of_a_dead_one_is_told)
{
	if (!takes_over(AFTER_DEATH, true))
		cr_skip_test("no userfaultfd");
	cr_assert_str_eq(heard, "one serving\n");
	cr_assert(strstr(events, "PAGER_RESTARTED pager-died ? ? ?\n"), "%s", events);
	cr_assert_eq(host()->adopted, 1);
}

Test(host_grant, that_drumd_was_replaced_is_told_without_guests_too)
{
	(void)takes_over(AFTER_REPLACED, false);
	cr_assert(strstr(events, "PAGER_RESTARTED drumd-replaced ? ? ?\n"), "%s", events);
}

Test(host_grant, a_new_drumd_has_taken_over_only_if_there_was_something)
{
	(void)takes_over(AFTER_NOBODY, false);
	cr_assert_null(strstr(events, "PAGER_RESTARTED"), "%s", events);
	if (!takes_over(AFTER_NOBODY, true))
		cr_skip_test("no userfaultfd");
	/* nobody knows since when it has waited */
	cr_assert(strstr(events, "PAGER_RESTARTED drumd-started ? ?\n"), "%s", events);
}

/* --- stalls ----------------------------------------------------------------------------- */

/* A thread that touches pages when it is told to. */
struct toucher {
	pthread_t thread;
	pid_t tid;     /* [a] */
	uint64_t page; /* [a] that is to be touched; 0: none; UINT64_MAX: end */
};

static void *run_toucher(void *arg)
{
	struct toucher *t = arg;
	uint64_t page;

	__atomic_store_n(&t->tid, gettid(), __ATOMIC_RELEASE);
	while ((page = __atomic_load_n(&t->page, __ATOMIC_ACQUIRE)) != UINT64_MAX) {
		if (page > 0)
			*(volatile char *)(ram + (page << PAGE_SHIFT)) = (char)page;
		__atomic_compare_exchange_n(&t->page, &page, 0, false, __ATOMIC_ACQ_REL,
					    __ATOMIC_ACQUIRE);
		usleep(200);
	}
	return NULL;
}

static struct guest_stats one(void)
{
	struct guest_stats s;

	cr_assert_eq(host_guest_stats_one(host(), "one", &s), 0);
	return s;
}

/* What the guest's tracer does. */
static void zap(void)
{
	struct proto_msg m;

	while (recv(guest_chan, &m, sizeof(m), MSG_DONTWAIT) == (ssize_t)sizeof(m)) {
		if (m.type != MSG_ZAP)
			continue;
		for (uint32_t i = 0; i < m.u.ram.nranges; i++)
			cr_assert_eq(madvise(ram + m.u.ram.range[i].off, m.u.ram.range[i].len,
					     MADV_DONTNEED),
				     0);
		m = (struct proto_msg){ .type = MSG_ZAPPED, .seq = m.seq };
		cr_assert_eq(ipc_send(guest_chan, &m, sizeof(m), NULL, 0), 0);
	}
	turn();
}

static void swap_on(void)
{
	struct swap_device *dev;
	int fd = openat(dir_fd, "swap", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	cr_assert_eq(ftruncate(fd, 16 << 20), 0);
	dev = device_file_create("file", "/swap", fd, 1, 1, 16 << 20, 0);
	cr_assert_geq(drum_add(host()->drum, dev, 0, 1), 0);
}

/* Touched, and served.  No two pages are neighbours, so each of them is a fault. */
static void touch(struct toucher *t)
{
	static uint64_t next;
	uint64_t faults = one().faults;

	next += 2;
	__atomic_store_n(&t->page, next, __ATOMIC_RELEASE);
	while (__atomic_load_n(&t->page, __ATOMIC_ACQUIRE) != 0 || one().faults == faults)
		turn();
	cr_assert_eq(one().faults, faults + 1);
}

static void know(const struct toucher *a, const struct toucher *b)
{
	const pid_t tid[] = { a->tid, b->tid };
	uint32_t n = a == b ? 1 : 2;

	cr_assert_eq(host_guest_set_vcpus(host(), "one", tid, 2), 0);
	while (one().vcpus != n)
		turn();
}

Test(host_grant, accounts_for_the_threads_that_userfaultfd_names)
{
	struct toucher t[3] = { 0 }, *cpu = t, *other_cpu = t + 1, *helper = t + 2;
	struct guest_stats was, s;
	int chan;

	host_on_guest(host(), on_guest, heard);
	chan = adopted("one");
	while (!host()->guests)
		turn();
	if (!send_guest(chan))
		cr_skip_test("no userfaultfd");
	while (!heard[0])
		turn();
	for (unsigned int i = 0; i < 3; i++) {
		cr_assert_eq(pthread_create(&t[i].thread, NULL, run_toucher, &t[i]), 0);
		while (__atomic_load_n(&t[i].tid, __ATOMIC_ACQUIRE) == 0)
			turn();
	}

	/* nobody is known: all count, and nothing is full */
	touch(helper);
	while (one().stall_some == 0)
		turn();
	/* one of two is not all */
	know(cpu, other_cpu);
	was = one();
	touch(cpu);
	while (one().stall_some == was.stall_some)
		turn();
	cr_assert_eq(one().stall_full, 0);
	/* another thread of the VMM is none */
	was = one();
	for (unsigned int i = 0; i < 8; i++)
		touch(helper);
	cr_assert_eq(one().stall_some, was.stall_some);
	/* one of one is all */
	know(cpu, cpu);
	touch(cpu);
	while (one().stall_full == 0)
		turn();
	s = one();
	cr_assert_eq(s.stall_full, s.stall_some - was.stall_some);
	cr_assert_eq(s.stall_for[HOST_STALL_SERVED], s.stall_some);

	/* what is cold is taken, and what comes in again is waited for */
	swap_on();
	cr_assert_eq(host_guest_grant(host(), "one", UINT64_MAX, 4 << PAGE_SHIFT), 0);
	while (one().evicted_cold < 4)
		zap();
	cr_assert_eq(one().evicted_cold, 4);
	for (uint64_t page = 2; one().faults_swapped == 0; page += 2) {
		__atomic_store_n(&cpu->page, page, __ATOMIC_RELEASE);
		while (__atomic_load_n(&cpu->page, __ATOMIC_ACQUIRE) != 0)
			turn();
		cr_assert_eq(ram[page << PAGE_SHIFT], (char)page);
	}
	while (one().stall_for[HOST_STALL_READ] == 0)
		turn();
	s = one();
	turn();
	turn();
	cr_assert_eq(one().stall_some, s.stall_some, "nobody waits any more");

	for (unsigned int i = 0; i < 3; i++) {
		__atomic_store_n(&t[i].page, UINT64_MAX, __ATOMIC_RELEASE);
		pthread_join(t[i].thread, NULL);
	}
	send_detached(chan);
	while (host()->guests)
		turn();
	cr_assert_str_eq(heard, "one serving\none ended\n");
}
