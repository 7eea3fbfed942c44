/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Figures of one guest, as the control thread asks for them, with a keeper played on a thread.
 * The guest is RAM that this process maps, in two memfds; its faults, its worker and its swap
 * files are real.
 */
#include "unit/played_keeper.h"

#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "vmm/guest.h"

/* fake_host.c has these too; a weak reference does not have it linked. */
#pragma weak host_guest_stats_one
#pragma weak host_guest_map
#pragma weak host_guest_latency
#pragma weak host_guest_swap
#pragma weak host_guest_out
#pragma weak host_guest_cancel
#pragma weak host_guest_set_limit

#define NEW_UFFD _IO(0xAA, 0x00) /* USERFAULTFD_IOC_NEW */

/* Odd sizes; the second memfd begins at the next window, so there are holes between. */
static const uint64_t memfd_pages[2] = { 1003, 333 };
#define NPAGES (2 * WINDOW_PAGES + 333)

static int memfds[2], uffd, guest_chan;
static char *ram[2];
static int swap_fd[2];

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

static char *at(uint64_t page) /* of the first memfd, then the second */
{
	return page < memfd_pages[0] ? ram[0] + page * PAGE_SIZE
				     : ram[1] + (page - memfd_pages[0]) * PAGE_SIZE;
}

static int stamp(uint64_t page) /* never 0 */
{
	return (int)(page % 255) + 1;
}

static struct guest_stats one(void)
{
	struct guest_stats s;

	cr_assert_eq(host_guest_stats_one(host(), "one", &s), 0);
	return s;
}

static void swap_on(unsigned int n)
{
	char name[8];
	struct swap_device *dev;

	snprintf(name, sizeof(name), "/swap%u", n);
	if (swap_fd[n - 1] <= 0) {
		swap_fd[n - 1] = openat(dir_fd, name + 1, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		cr_assert_eq(ftruncate(swap_fd[n - 1], 16 << 20), 0);
	}
	dev = device_file_create("file", name, dup(swap_fd[n - 1]), 1, n, 16 << 20, 0);
	cr_assert_eq(drum_add(host()->drum, dev, 0, n), (int)n);
}

/* As the keeper hands over a guest of an earlier pager, and until it is served. */
static void hand_over(void)
{
	struct proto_msg m = { .type = MSG_ADOPT, .pid = getpid() };
	struct proto_msg map = { .type = MSG_MAPPER, .id = 1, .pid = getpid() };
	struct proto_msg begin = { .type = MSG_BEGIN };
	int pair[2];

	cr_assert_eq(ipc_pair(pair), 0);
	snprintf(m.u.name, sizeof(m.u.name), "one");
	cr_assert_eq(ipc_send(keeper.chan, &m, sizeof(m), &pair[1], 1), 0);
	close(pair[1]);
	guest_chan = pair[0];
	/* nothing is zapped but what a test asks for */
	__atomic_store_n(&host()->paging.sample, 0, __ATOMIC_RELAXED);
	while (!host()->guests)
		turn();
	map.u.ram.nranges = 2;
	for (uint32_t i = 0; i < 2; i++) {
		struct proto_msg f = { .type = MSG_MEMFD, .bytes = memfd_pages[i] * PAGE_SIZE };

		cr_assert_eq(ipc_send(guest_chan, &f, sizeof(f), &memfds[i], 1), 0);
		map.u.ram.range[i] = (struct proto_range){ .memfd = i,
							   .len = f.bytes,
							   .start = (uintptr_t)ram[i] };
	}
	cr_assert_eq(ipc_send(guest_chan, &map, sizeof(map), &uffd, 1), 0);
	cr_assert_eq(ipc_send(guest_chan, &begin, sizeof(begin), NULL, 0), 0);
	while (strcmp(one().state, "running") != 0)
		turn();
	cr_assert_eq(one().size, NPAGES * PAGE_SIZE);
}

static void begin_guest(void)
{
	uffd = new_uffd();
	if (uffd < 0)
		cr_skip_test("no userfaultfd");
	for (unsigned int i = 0; i < 2; i++) {
		memfds[i] = memfd_create("ram", MFD_CLOEXEC);
		cr_assert_eq(ftruncate(memfds[i], (off_t)(memfd_pages[i] * PAGE_SIZE)), 0);
		ram[i] = mmap(NULL, memfd_pages[i] * PAGE_SIZE, PROT_READ | PROT_WRITE,
			      MAP_SHARED, memfds[i], 0);
		cr_assert_neq((void *)ram[i], MAP_FAILED);
	}
	swap_on(1);
	swap_on(2);
	hand_over();
}

/* What the guest's tracer does. */
static void zap(void)
{
	struct proto_msg m;

	while (recv(guest_chan, &m, sizeof(m), MSG_DONTWAIT) == (ssize_t)sizeof(m)) {
		if (m.type != MSG_ZAP)
			continue;
		for (uint32_t i = 0; i < m.u.ram.nranges; i++) {
			const struct proto_range *r = &m.u.ram.range[i];

			cr_assert_eq(madvise(ram[r->memfd] + r->off, r->len, MADV_DONTNEED), 0);
		}
		m = (struct proto_msg){ .type = MSG_ZAPPED, .seq = m.seq };
		cr_assert_eq(ipc_send(guest_chan, &m, sizeof(m), NULL, 0), 0);
	}
	turn();
}

/* Ask for something that on_done answers, and zap until then. */
static void wait_zapping(void)
{
	while (!answered)
		zap();
	answered = false;
	cr_assert_eq(result.code, 0, "%s", result.text);
}

static void out(void)
{
	host_guest_out(host(), "one", on_done, NULL);
	wait_zapping();
}

static void end_guest(void)
{
	struct proto_msg m = { .type = MSG_MAPPER_GONE, .id = 1 };

	cr_assert_eq(ipc_send(guest_chan, &m, sizeof(m), NULL, 0), 0);
	m.type = MSG_DETACHED;
	cr_assert_eq(ipc_send(guest_chan, &m, sizeof(m), NULL, 0), 0);
	while (host()->guests)
		turn();
}

/* --- maps -------------------------------------------------------------------------------- */

struct asked {
	uint32_t cells;
	unsigned int answers;
	int code;
	char text[ERR_TEXT_MAX];
	uint64_t size, cell_size, sum[GUEST_MAP_KINDS];
	uint32_t n;
	struct guest_map_cell cell[GUEST_MAP_CELLS_MAX];
};

static void on_map(void *ctx, const struct guest_map *map, const struct err *e)
{
	struct asked *a = ctx;

	a->answers++;
	a->code = e->code;
	strcpy(a->text, e->text);
	cr_assert_eq(!map, e->code != 0);
	if (!map)
		return;
	a->size = map->size;
	a->cell_size = map->cell_size;
	a->n = map->n;
	memset(a->sum, 0, sizeof(a->sum));
	cr_assert(map->n >= 1 && map->n <= a->cells);
	memcpy(a->cell, map->cell, map->n * sizeof(a->cell[0]));
	for (uint32_t i = 0; i < map->n; i++) {
		uint64_t all = 0, left = map->size - i * map->cell_size;

		for (unsigned int k = 0; k < GUEST_MAP_KINDS; k++) {
			a->sum[k] += (uint64_t)map->cell[i].kind[k] << PAGE_SHIFT;
			all += k < GUEST_MAP_PINNED ? map->cell[i].kind[k] : 0;
		}
		/* at any time */
		cr_assert_eq(all << PAGE_SHIFT, left < map->cell_size ? left : map->cell_size);
	}
}

static struct asked asked;

static void ask(uint32_t cells)
{
	asked = (struct asked){ .cells = cells };
	host_guest_map(host(), "one", cells, on_map, &asked);
	cr_assert_eq(asked.answers, 0, "never before the call has returned");
	while (asked.answers == 0)
		turn();
	cr_assert_eq(asked.code, 0, "%s", asked.text);
	cr_assert_eq(asked.size, NPAGES * PAGE_SIZE);
}

/* Whatever the worker was about is done: it answers in its turn. */
static void settle(void)
{
	ask(1);
	while (one().reading > 0 || one().writing > 0)
		turn();
	ask(1);
}

/* Nothing moves: whatever is asked, it is what the guest's figures are. */
static void is_as_figures(void)
{
	static const uint32_t cells[] = { 1, 2, 7, 64, 1000, NPAGES - 1, NPAGES, 4096 };

	settle();
	for (unsigned int i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
		struct guest_stats s = one();

		ask(cells[i]);
		cr_assert_eq(asked.sum[GUEST_MAP_ACTIVE], s.active);
		cr_assert_eq(asked.sum[GUEST_MAP_INACTIVE], s.inactive);
		cr_assert_eq(asked.sum[GUEST_MAP_SWAPPED], s.swapped);
		cr_assert_eq(asked.sum[GUEST_MAP_ZERO], s.zero);
		cr_assert_eq(asked.sum[GUEST_MAP_READING], s.reading);
		cr_assert_eq(asked.sum[GUEST_MAP_WRITING], s.writing);
		cr_assert_eq(asked.sum[GUEST_MAP_PINNED], s.pinned);
		cr_assert_eq(asked.sum[GUEST_MAP_KEPT], s.kept);
	}
	/* a page each: there are no more cells than pages */
	cr_assert(asked.n == NPAGES && asked.cell_size == PAGE_SIZE);
}

/* --- swap, by device ---------------------------------------------------------------------- */

static uint64_t swap_of(unsigned int n)
{
	struct guest_swap swap[4];
	size_t have = host_guest_swap(host(), "one", swap, 4);
	char name[8];

	snprintf(name, sizeof(name), "/swap%u", n);
	cr_assert_leq(have, 2);
	for (size_t i = 0; i < have; i++)
		if (!strcmp(swap[i].path, name))
			return swap[i].used;
	return 0;
}

/* What it owns, in three accounts: its own, its pages', and the devices'. */
static void swap_agrees(void)
{
	struct drum_device_stats dev[2];
	struct guest_stats s;

	settle();
	s = one();
	cr_assert_eq(swap_of(1) + swap_of(2), s.swapped + s.kept);
	cr_assert_eq(drum_stats(host()->drum, dev, 2), 2);
	for (unsigned int i = 0; i < 2; i++)
		cr_assert_eq(swap_of(i + 1), dev[i].used << SWAP_BLOCK_SHIFT);
}

TestSuite(host_figures, .init = set_up, .fini = tear_down, .timeout = 120);

Test(host_figures, of_no_guest)
{
	struct latency_stats l;
	struct guest_swap swap;

	host_guest_map(host(), "one", 1, on_map, &asked);
	cr_assert_eq(asked.answers, 0);
	while (asked.answers == 0)
		turn();
	cr_assert_eq(asked.code, -ENOENT);
	cr_assert_str_eq(asked.text, "no guest is named 'one'");
	cr_assert_eq(host_guest_latency(host(), "one", &l), -ENOENT);
	cr_assert_eq(host_guest_swap(host(), "one", &swap, 1), 0);
}

Test(host_figures, sums_are_the_figures_of_the_guest)
{
	struct latency_stats l;

	begin_guest();
	is_as_figures();
	cr_assert_eq(asked.sum[GUEST_MAP_ZERO], NPAGES * PAGE_SIZE);
	for (uint64_t i = 0; i < 700; i++)
		memset(at(i), stamp(i), PAGE_SIZE);
	for (uint64_t i = 1003; i < 1050; i++)
		(void)*(volatile char *)at(i); /* is all zero */
	is_as_figures();
	cr_assert_geq(asked.sum[GUEST_MAP_ACTIVE], 747 * PAGE_SIZE);
	for (uint64_t i = 0; i < 700; i++)
		cr_assert_eq(asked.cell[i].kind[GUEST_MAP_ACTIVE], 1, "page %lu", i);
	cr_assert_eq(asked.cell[900].kind[GUEST_MAP_ZERO], 1);
	cr_assert_eq(asked.cell[1010].kind[GUEST_MAP_ZERO], 1, "between two memfds");
	cr_assert_eq(asked.cell[2 * WINDOW_PAGES].kind[GUEST_MAP_ACTIVE], 1);

	out();
	is_as_figures();
	cr_assert_eq(asked.sum[GUEST_MAP_SWAPPED], 700 * PAGE_SIZE);
	cr_assert_eq(asked.sum[GUEST_MAP_ZERO], (NPAGES - 700) * PAGE_SIZE);
	for (uint64_t i = 0; i < NPAGES; i++)
		cr_assert_eq(asked.cell[i].kind[GUEST_MAP_SWAPPED], i < 700, "page %lu", i);

	/* some come in, to be read, and keep their blocks */
	for (uint64_t i = 0; i < 700; i += 40)
		cr_assert_eq(*(volatile char *)at(i), (char)stamp(i));
	is_as_figures();
	cr_assert_gt(asked.sum[GUEST_MAP_KEPT], 0);
	swap_agrees();

	/* of the same faults */
	cr_assert_eq(host_guest_latency(host(), "one", &l), 0);
	cr_assert_eq(l.count, one().faults);
	cr_assert_eq(l.below[LATENCY_BUCKETS - 1], l.count);
	cr_assert(l.max == one().fault_max && l.p50 == one().fault_p50);
	cr_assert(l.p50 <= l.p90 && l.p90 <= l.p99 && l.p99 <= l.p999 && l.p999 <= l.max);
	cr_assert(l.sum >= l.max && l.max > 0);
	end_guest();
}

/* A thread that goes over the guest's memory, as far as it is allowed to: without pause it
 * would be ahead of page-out for ever. */
static bool touching;	/* [a] */
static int64_t allowed; /* [a] pages */
static uint64_t wrong;	/* [a] */

static void *touch(void *arg)
{
	unsigned int seed = 1;

	(void)arg;
	while (__atomic_load_n(&touching, __ATOMIC_ACQUIRE)) {
		volatile uint64_t *p;
		uint64_t page;

		if (__atomic_load_n(&allowed, __ATOMIC_ACQUIRE) <= 0) {
			sched_yield();
			continue;
		}
		__atomic_fetch_sub(&allowed, 1, __ATOMIC_RELAXED);
		page = (uint64_t)rand_r(&seed) % (memfd_pages[0] + memfd_pages[1]);
		p = (volatile uint64_t *)at(page);
		if (*p != 0 && *p != page + 1)
			__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
		if (seed % 3 == 0)
			*p = page + 1;
	}
	return NULL;
}

Test(host_figures, while_pages_move)
{
	pthread_t thread;
	unsigned int maps = 0;

	begin_guest();
	host_guest_set_limit(host(), "one", LIMIT_MIN_PAGES * PAGE_SIZE, on_done, NULL);
	wait_zapping();
	touching = true;
	cr_assert_eq(pthread_create(&thread, NULL, touch, NULL), 0);
	while (maps < 100 || one().pages_out < 500 || one().pages_in < 500) {
		struct asked *a = calloc(2, sizeof(*a));

		/* two at a time, and both are served */
		a[0].cells = maps % 2 ? 4096 : 5;
		a[1].cells = maps % 3 ? 300 : 1;
		for (unsigned int i = 0; i < 2; i++)
			host_guest_map(host(), "one", a[i].cells, on_map, &a[i]);
		__atomic_store_n(&allowed, 64, __ATOMIC_RELEASE);
		while (a[0].answers == 0 || a[1].answers == 0)
			zap();
		cr_assert(a[0].code == 0 && a[1].code == 0 && a[0].answers == 1 &&
			  a[1].answers == 1);
		maps++;
		free(a);
	}
	__atomic_store_n(&touching, false, __ATOMIC_RELEASE);
	/* what it waits for may need a zap */
	while (pthread_tryjoin_np(thread, NULL) != 0)
		zap();
	cr_assert_eq(wrong, 0);
	out();
	is_as_figures();
	swap_agrees();
	end_guest();
}

/* Its worker has it still, and its VMM is no more. */
Test(host_figures, of_a_guest_that_has_ended)
{
	struct proto_msg m = { .type = MSG_MAPPER_GONE, .id = 1 };

	begin_guest();
	*at(0) = 1;
	cr_assert_eq(ipc_send(guest_chan, &m, sizeof(m), NULL, 0), 0);
	while (strcmp(one().state, "gone") != 0)
		turn();
	asked = (struct asked){ .cells = 16 };
	host_guest_map(host(), "one", 16, on_map, &asked);
	while (asked.answers == 0)
		turn();
	cr_assert_eq(asked.code, -ESRCH);
	cr_assert_str_eq(asked.text, "guest one has ended, and there is no map of it");
	m.type = MSG_DETACHED;
	cr_assert_eq(ipc_send(guest_chan, &m, sizeof(m), NULL, 0), 0);
	while (host()->guests)
		turn();
}

#define MANY 20u
static unsigned int nanswers, let_go;

static void on_one_of_many(void *ctx, const struct err *e)
{
	(void)ctx;
	nanswers++;
	cr_assert(e->code == 0 || e->code == -ESRCH);
	if (e->code)
		cr_assert_str_eq(e->text,
				 "drumd lets go of guest one: ask again when it is back");
	let_go += e->code != 0;
}

/* The keeper has died and the worker ends, with some in its queue. */
Test(host_figures, of_a_guest_that_is_let_go)
{
	static struct guest_map_cell cell[MANY];
	static struct map_order order[MANY];
	const uint64_t wake = 1;
	struct guest *g;

	begin_guest();
	g = host()->guests;
	/* without the first lock the worker cannot answer, and waits where it would; the other
	 * one is for it to find all of them at once */
	pthread_mutex_lock(&host()->report_lock);
	pthread_mutex_lock(&g->cmd_lock);
	for (unsigned int i = 0; i < MANY; i++) {
		struct command *cmd = calloc(1, sizeof(*cmd));

		order[i] = (struct map_order){ .cells = 1, .cell = &cell[i] };
		*cmd = (struct command){
			.guest = g, .type = CMD_MAP, .map = &order[i], .done = on_one_of_many
		};
		*g->cmd_tail = cmd;
		g->cmd_tail = &cmd->next;
	}
	pthread_mutex_unlock(&g->cmd_lock);
	cr_assert_eq(write(g->wake_fd, &wake, sizeof(wake)), sizeof(wake));
	while (!__atomic_load_n(&g->maps, __ATOMIC_ACQUIRE))
		usleep(100);
	close(guest_chan);
	pthread_mutex_unlock(&host()->report_lock);
	while (host()->guests)
		turn();
	cr_assert_eq(nanswers, MANY);
	cr_assert_gt(let_go, 0);
}

Test(host_figures, swap_by_device)
{
	const struct command leave = { .type = CMD_LEAVE };
	struct guest_swap first;

	begin_guest();
	cr_assert_eq(host_guest_swap(host(), "one", &first, 1), 0);
	for (uint64_t i = 0; i < 1200; i++)
		memset(at(i), stamp(i), PAGE_SIZE);
	out();
	swap_agrees();
	cr_assert(swap_of(1) > 0 && swap_of(2) > 0, "they take turns");
	cr_assert_eq(host_guest_swap(host(), "one", &first, 1), 2,
		     "more than there is room for");
	cr_assert_str_eq(first.path, "/swap1");

	/* another pager claims what is there */
	host_command(host(), "one", &leave, on_done, NULL);
	wait_zapping();
	while (host()->guests)
		turn();
	die(false);
	start();
	swap_on(1);
	swap_on(2);
	hand_over();
	swap_agrees();
	cr_assert_eq(swap_of(1) + swap_of(2), 1200 * PAGE_SIZE);

	/* all of one moves to the other */
	drum_set_off(host()->drum, 1, true);
	while (swap_of(1) > 0)
		turn();
	swap_agrees();
	cr_assert_eq(swap_of(2), 1200 * PAGE_SIZE);
	cr_assert_eq(host_guest_swap(host(), "one", &first, 1), 1);
	cr_assert_str_eq(first.path, "/swap2");

	/* and comes in, which frees it, or keeps copies */
	for (uint64_t i = 0; i < 1200; i++)
		cr_assert_eq(*(volatile char *)at(i), (char)stamp(i), "page %lu", i);
	swap_agrees();
	for (uint64_t i = 0; i < 1200; i++)
		memset(at(i), 0, PAGE_SIZE);
	out();
	cr_assert_eq(host_guest_swap(host(), "one", &first, 1), 0);
	end_guest();
}

static void on_end(void *ctx, const struct err *e)
{
	*(int *)ctx = e->code ? e->code : 1;
}

/* Two want it out; who came second is refused, and cancels nobody else's. */
Test(host_figures, who_cancels_ends_his_own)
{
	int first = 0, second = 0, cancelled = 0;

	begin_guest();
	for (uint64_t i = 0; i < 1200; i++)
		memset(at(i), stamp(i), PAGE_SIZE);
	host_guest_out(host(), "one", on_end, &first);
	host_guest_out(host(), "one", on_end, &second);
	host_guest_cancel(host(), "one", &second, on_end, &cancelled);
	while (!second || !cancelled)
		turn();
	cr_assert_eq(second, -EBUSY);
	cr_assert_eq(cancelled, -EINVAL);
	cr_assert_eq(first, 0, "it goes on");
	cancelled = 0;
	host_guest_cancel(host(), "one", &first, on_end, &cancelled);
	while (!first || !cancelled)
		turn();
	cr_assert_eq(first, -ECANCELED);
	cr_assert_eq(cancelled, 1);
	end_guest();
}
