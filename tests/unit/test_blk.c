/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk as its worker serves it, from the messages of its front end to the used ring: what the
 * parts do not show when each is tried alone.  A guest here is a memfd, an object, a drum on a
 * real file, an image in another, and no process that maps it; the front end and its driver
 * are below, and so is the keeper's end of the disk's channel.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ipc.h"
#include "vmm/blk_priv.h"
#include "vmm/guest.h"
#include "vmm/image_swap.h"

#define LIMIT	     .timeout = 60
#define PAGES	     4096u
#define SWAP_BLOCKS  4096u
#define IMAGE_BLOCKS 1024u
#define UVA	     UINT64_C(0x7f0000000000)
#define RINGS	     4u
#define NUM	     1024u
#define SLOTS	     (NUM / 3) /* a header, data, a status byte */

/* Pages of the guest: rings are 16 apart. */
#define HEADERS 100u /* + 2 * ring */
#define STATES	120u /* + ring */
#define DATA	256u

static struct guest g;
static struct paging paging;
static struct disk disk;
static struct guest_ops ops;
static int swap_fd, image_fd, object_fd, front, keeper, inflight_fd, dir_fd;
static int kick[RINGS], call[RINGS];
static uint64_t answers; /* that the keeper has sent, so to speak */
static struct vhost_msg answer;
static int nover;
static struct err over;
static char dir[] = "blk-XXXXXX";

static int temporary(uint64_t bytes)
{
	char name[] = "blk-XXXXXX";
	int fd = mkstemp(name);

	cr_assert_geq(fd, 0);
	unlink(name);
	cr_assert_eq(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

static void on_over(void *arg, struct guest *guest, struct disk *d, const struct err *e)
{
	(void)arg;
	(void)guest;
	(void)d;
	nover++;
	over = *e;
}

static void open_guest(void)
{
	struct err e = { 0 };

	cr_assert_eq(pages_init(&g.pages, PAGES), 0);
	cr_assert_eq(windows_init(&g.windows, PAGES), 0);
	cr_assert_eq(sample_init(&g.sample, PAGES), 0);
	cr_assert_eq(pagein_init(&g), 0);
	cr_assert_eq(kept_init(&g.kept, PAGES), 0);
	cr_assert_eq(holds_init(&g.holds), 0);
	beside_init(&g.beside);
	g.blockmap = (struct blockmap){ 0 };
	g.blks = NULL;
	g.ring = ring_create(256);
	cr_assert_not_null(g.ring);
	g.object = object_open(object_fd, PAGES, NULL, &e);
	cr_assert_not_null(g.object, "%s", e.text);
}

static void connect_front(void)
{
	int sv[2], pair[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv), 0);
	cr_assert_eq(ipc_pair(pair), 0);
	for (int i = 0; i < 2; i++)
		cr_assert_eq(fcntl(pair[i], F_SETFL, O_NONBLOCK), 0);
	front = sv[0];
	keeper = pair[0];
	disk.fd[DISK_ROLE_CONN] = sv[1];
	disk.keep = pair[1];
	disk_state_begin(disk.state, &disk.geometry, getpid(), "test");
	blk_begin(&g, &disk);
}

static void open_drum(void)
{
	struct err e = { 0 };

	g.drum = drum_create();
	cr_assert_eq(drum_add(g.drum,
			      device_file_create("file", "/swap", dup(swap_fd), 1, 1,
						 (uint64_t)SWAP_BLOCKS * SWAP_BLOCK, 0),
			      0, 1),
		     1);
	disk.number = 0;
	if (disk.map)
		cr_assert_eq(image_swap_on(g.drum, &disk, &e), 0, "%s", e.text);
}

static void set_up_as(bool map)
{
	struct err e = { 0 };

	memset(&g, 0, sizeof(g));
	memset(&disk, 0, sizeof(disk));
	memset(disk.fd, -1, sizeof(disk.fd));
	nover = 0;
	answers = 0;
	cr_assert_not_null(mkdtemp(dir));
	dir_fd = open(dir, O_DIRECTORY | O_CLOEXEC);
	swap_fd = temporary((uint64_t)SWAP_BLOCKS * SWAP_BLOCK);
	image_fd = temporary((uint64_t)IMAGE_BLOCKS * PAGE_SIZE);
	object_fd = memfd_create("object", 0);
	snprintf(disk.name, sizeof(disk.name), "data");
	disk.map = map;
	disk.image_fd = -1;
	disk.image = image_file_open(dup(image_fd), "/image", IMAGE_CACHE_WRITEBACK, false, &e);
	cr_assert_not_null(disk.image, "%s", e.text);
	disk.geometry = (struct vhost_disk){ .sectors = IMAGE_BLOCKS * 8,
					     .blk_size = 512,
					     .seg_max = 126,
					     .num_queues = RINGS,
					     .wce = true };
	disk.state = disk_state_open(dir_fd, "data", &e);
	cr_assert_not_null(disk.state, "%s", e.text);
	unlinkat(dir_fd, "disk-data.state", 0);
	rmdir(dir);
	disk.blk = blk_create(&disk);
	cr_assert_not_null(disk.blk);
	open_drum();
	paging = (struct paging){ .cluster = 16,
				  .depth = 4,
				  .total_writes = 8,
				  .reads = 8,
				  .give_up = 300 * NSEC_PER_MSEC };
	paging.zone.max = 10000;
	ops.disk_over = on_over;
	g.ops = &ops;
	g.paging = &paging;
	snprintf(g.name, sizeof(g.name), "test");
	g.npages = g.ceiling = PAGES;
	g.limit = map ? PAGES - 1 : PAGES;
	g.state = GUEST_RUNNING;
	g.pin_slot = -1;
	g.nregions = 1;
	g.region[0] = (struct region){ .fd = memfd_create("ram", 0), .pages = PAGES };
	cr_assert_eq(ftruncate(g.region[0].fd, (off_t)PAGES * PAGE_SIZE), 0);
	{
		struct stat st;

		cr_assert_eq(fstat(g.region[0].fd, &st), 0);
		g.region[0].ino = st.st_ino;
	}
	g.map = mmap(NULL, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		     g.region[0].fd, 0);
	cr_assert_neq((void *)g.map, MAP_FAILED);
	open_guest();
	connect_front();
}

static void set_up(void)
{
	set_up_as(false);
}

static void set_up_mapped(void)
{
	set_up_as(true);
	while (!g.blockmap.ready)
		blockmap_step(&g, clock_ns());
}

static void hear_keeper(void)
{
	struct keep_msg k;
	int fds[IPC_FDS_MAX], nfds;

	while (ipc_recv(keeper, &k, sizeof(k), fds, &nfds) > 0) {
		for (int i = 0; i < nfds; i++)
			close(fds[i]);
		if (k.type != KEEP_REPLY)
			continue;
		memcpy(&answer.header, k.reply, sizeof(answer.header));
		memcpy(&answer.payload, k.reply + sizeof(answer.header),
		       k.bytes - sizeof(answer.header));
		answers++;
	}
}

/* As a turn of the worker does it. */
static void turn(void)
{
	cr_assert(ring_run(g.ring, NSEC_PER_MSEC) >= 0);
	g.again = false;
	pagein_retry(&g, clock_ns());
	holds_step(&g, clock_ns());
	blockmap_step(&g, clock_ns());
	blks_step(&g, clock_ns());
	ring_submit(g.ring);
	pageout_step(&g, clock_ns());
	move_step(&g, clock_ns());
	hear_keeper();
}

static void turns(int n)
{
	while (n-- > 0)
		turn();
}

/* --- the front end ------------------------------------------------------------------- */

static void say_fds(uint32_t request, const void *payload, uint32_t size, const int *fd,
		    unsigned int nfds)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * VHOST_REGIONS_MAX)];
	} control = { 0 };
	struct vhost_header h = { request, VHOST_VERSION, size };
	struct iovec iov[2] = { { &h, sizeof(h) }, { (void *)(uintptr_t)payload, size } };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };

	if (nfds > 0) {
		struct cmsghdr *c;

		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(c), fd, sizeof(int) * nfds);
	}
	cr_assert_eq(sendmsg(front, &m, MSG_NOSIGNAL), (ssize_t)(sizeof(h) + size));
}

static void say(uint32_t request, const void *payload, uint32_t size)
{
	say_fds(request, payload, size, NULL, 0);
}

static void say_u64(uint32_t request, uint64_t u64)
{
	say(request, &u64, sizeof(u64));
}

static void say_state(uint32_t request, uint32_t index, uint32_t num)
{
	struct vhost_ring_state s = { index, num };

	say(request, &s, sizeof(s));
}

static void say_ring_fd(uint32_t request, uint64_t index, int fd)
{
	say_fds(request, &index, sizeof(index), &fd, 1);
}

/* The first n pages of the guest are shared. */
static void say_memory(uint64_t n)
{
	struct vhost_table t = { .n = 1 };

	t.region[0] = (struct vhost_region){ 0, n * PAGE_SIZE, UVA, 0 };
	say_fds(VHOST_SET_MEM_TABLE, &t, 8 + 32, &g.region[0].fd, 1);
}

static uint64_t ring_page(unsigned int ring)
{
	return 1 + 16 * (uint64_t)ring;
}

static struct vring_desc *desc(unsigned int ring)
{
	return (void *)(g.map + ring_page(ring) * PAGE_SIZE);
}

static struct vring_avail *avail(unsigned int ring)
{
	return (void *)(g.map + (ring_page(ring) + 4) * PAGE_SIZE);
}

static struct vring_used *used(unsigned int ring)
{
	return (void *)(g.map + (ring_page(ring) + 5) * PAGE_SIZE);
}

static void begin_ring(unsigned int ring)
{
	struct vhost_ring_addr a = { .index = ring,
				     .desc = UVA + ring_page(ring) * PAGE_SIZE,
				     .avail = UVA + (ring_page(ring) + 4) * PAGE_SIZE,
				     .used = UVA + (ring_page(ring) + 5) * PAGE_SIZE };

	kick[ring] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	call[ring] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	say_state(VHOST_SET_VRING_NUM, ring, NUM);
	say(VHOST_SET_VRING_ADDR, &a, sizeof(a));
	say_state(VHOST_SET_VRING_BASE, ring, 0);
	say_ring_fd(VHOST_SET_VRING_CALL, ring, call[ring]);
	say_ring_fd(VHOST_SET_VRING_KICK, ring, kick[ring]);
	say_state(VHOST_SET_VRING_ENABLE, ring, 1);
}

static void begin_device(unsigned int rings)
{
	struct vhost_inflight_area a = { .size = inflight_bytes(RINGS, NUM),
					 .num_queues = RINGS,
					 .queue_size = NUM };

	inflight_fd = memfd_create("inflight", MFD_CLOEXEC);
	cr_assert_eq(ftruncate(inflight_fd, (off_t)a.size), 0);
	say_u64(VHOST_SET_FEATURES, UINT64_C(1) << VHOST_F_PROTOCOL_FEATURES |
					    UINT64_C(1) << 32 /* VERSION_1 */ |
					    UINT64_C(1) << VIRTIO_BLK_F_FLUSH);
	say_u64(VHOST_SET_PROTOCOL_FEATURES,
		VHOST_PROTO_INFLIGHT_SHMFD | VHOST_PROTO_MQ | VHOST_PROTO_CONFIG);
	say_memory(PAGES);
	say_fds(VHOST_SET_INFLIGHT_FD, &a, sizeof(a), &inflight_fd, 1);
	for (unsigned int i = 0; i < rings; i++)
		begin_ring(i);
	turns(30);
	cr_assert_eq(nover, 0, "%s", over.text);
	for (unsigned int i = 0; i < rings; i++)
		cr_assert_eq(disk.blk->ring[i].state, RING_ON);
}

/* => the ring's next entry */
static uint32_t stop_ring(unsigned int ring)
{
	uint64_t had = answers;

	say_state(VHOST_GET_VRING_BASE, ring, 0);
	for (int i = 0; i < 500 && answers == had && nover == 0; i++)
		turn();
	cr_assert_eq(answers, had + 1, "GET_VRING_BASE is not answered");
	cr_assert_eq(answer.header.request, VHOST_GET_VRING_BASE);
	return answer.payload.state.num;
}

/* --- the driver ------------------------------------------------------------------------ */

static uint8_t *state_of(unsigned int ring, unsigned int slot)
{
	return g.map + (STATES + ring) * PAGE_SIZE + slot;
}

/* Make a request, with its data from page `page` on, and offer it. */
static void offer(unsigned int ring, unsigned int slot, uint32_t type, uint64_t sector,
		  uint64_t page, uint32_t bytes)
{
	uint64_t header = (HEADERS + 2 * (uint64_t)ring) * PAGE_SIZE + slot * 16;
	struct virtio_blk_outhdr h = { .type = type, .sector = sector };
	uint16_t head = (uint16_t)(slot * 3), to_us = type == VIRTIO_BLK_T_OUT;
	struct vring_desc *d = desc(ring);

	memcpy(g.map + header, &h, sizeof(h));
	*state_of(ring, slot) = 0xff;
	d[head] = (struct vring_desc){ header, sizeof(h), VRING_DESC_F_NEXT,
				       (uint16_t)(head + 1) };
	d[head + 1] = (struct vring_desc){ page * PAGE_SIZE, bytes,
					   (uint16_t)(VRING_DESC_F_NEXT |
						      (to_us ? 0 : VRING_DESC_F_WRITE)),
					   (uint16_t)(head + 2) };
	d[head + 2] = (struct vring_desc){ (STATES + ring) * PAGE_SIZE + slot, 1,
					   VRING_DESC_F_WRITE, 0 };
	avail(ring)->ring[avail(ring)->idx % NUM] = head;
	__atomic_store_n(&avail(ring)->idx, (uint16_t)(avail(ring)->idx + 1), __ATOMIC_RELEASE);
}

static void kick_ring(unsigned int ring)
{
	uint64_t one = 1;

	cr_assert_eq(write(kick[ring], &one, sizeof(one)), (ssize_t)sizeof(one));
}

static void until_used(unsigned int ring, uint16_t idx)
{
	for (int i = 0; i < 2000 && used(ring)->idx != idx && nover == 0; i++)
		turn();
	cr_assert_eq(used(ring)->idx, idx);
}

static bool is_called(unsigned int ring)
{
	uint64_t n;

	return read(call[ring], &n, sizeof(n)) == (ssize_t)sizeof(n);
}

/* --- the worker -------------------------------------------------------------------------- */

/* This pager is dead, and here is the next. */
static void next_pager(void)
{
	ring_destroy(g.ring);
	object_close(g.object);
	pages_fini(&g.pages);
	windows_fini(&g.windows);
	sample_fini(&g.sample);
	pagein_fini(&g);
	kept_fini(&g.kept);
	holds_fini(&g.holds);
	blk_destroy(disk.blk);
	open_guest();
	for (uint64_t p = 0; p < PAGES; p++)
		if (ram_present(&g, p))
			page_set(&g.pages, p, PAGE_ACTIVE);
	disk.resumed = true;
	disk.replied = answers;
	disk.blk = blk_create(&disk);
	cr_assert_not_null(disk.blk);
	blk_begin(&g, &disk);
}

/* n pages on swap */
static void swap_out(uint64_t page, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		uint64_t got;
		drum_addr a = drum_alloc(g.drum, NULL, 1, &got);

		cr_assert_eq(got, 1);
		cr_assert_eq(pwrite(swap_fd, g.map + (page + i) * PAGE_SIZE, PAGE_SIZE,
				    (off_t)(drum_block_of(a) * SWAP_BLOCK)),
			     PAGE_SIZE);
		cr_assert_eq(object_set(g.object, page + i, a | SWB_VALID), 0);
		cr_assert_eq(ram_punch(&g, page + i, 1), 0);
		if (page_get(&g.pages, page + i) != PAGE_HOLE)
			page_set(&g.pages, page + i, PAGE_HOLE);
		page_set(&g.pages, page + i, PAGE_SWAPPED);
	}
}

static unsigned int open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* The guest's memory in two halves. */
static void say_halves(void)
{
	struct vhost_table t = { .n = 2 };
	int fd[2] = { g.region[0].fd, g.region[0].fd };

	for (unsigned int i = 0; i < 2; i++)
		t.region[i] =
			(struct vhost_region){ i * PAGES / 2 * PAGE_SIZE, PAGES / 2 * PAGE_SIZE,
					       UVA + i * PAGES / 2 * PAGE_SIZE,
					       i * PAGES / 2 * PAGE_SIZE };
	say_fds(VHOST_SET_MEM_TABLE, &t, 8 + 2 * 32, fd, 2);
}

TestSuite(blk, .init = set_up, LIMIT);
TestSuite(blk_mapped, .init = set_up_mapped, LIMIT);

Test(blk, a_page_is_written_and_read_back)
{
	begin_device(1);
	memset(g.map + DATA * PAGE_SIZE, 0x5a, PAGE_SIZE);
	offer(0, 0, VIRTIO_BLK_T_OUT, 8, DATA, PAGE_SIZE);
	kick_ring(0);
	until_used(0, 1);
	offer(0, 1, VIRTIO_BLK_T_IN, 8, DATA + 1, PAGE_SIZE);
	kick_ring(0);
	until_used(0, 2);
	cr_assert_eq(*state_of(0, 0), VIRTIO_BLK_S_OK);
	cr_assert_eq(*state_of(0, 1), VIRTIO_BLK_S_OK);
	cr_assert_eq(
		memcmp(g.map + DATA * PAGE_SIZE, g.map + (DATA + 1) * PAGE_SIZE, PAGE_SIZE), 0);
	cr_assert(is_called(0));
	cr_assert_eq(stop_ring(0), 2);
	cr_assert_eq(g.holds.pages, 0);
}

/* The last one may have died between the used ring and the signal. */
Test(blk, the_next_pager_signals_what_the_last_may_not_have)
{
	begin_device(1);
	offer(0, 0, VIRTIO_BLK_T_IN, 0, DATA, PAGE_SIZE);
	kick_ring(0);
	until_used(0, 1);
	cr_assert(is_called(0));
	next_pager();
	turns(30);
	cr_assert(is_called(0), "a driver that was not told waits for ever");
}

/* It may have been signalled at the old one just then. */
/* The front end says that there is no eventfd for kicks: the ring is to be looked at. */
Test(blk, a_ring_without_kicks_is_looked_at)
{
	begin_device(1);
	say_u64(VHOST_SET_VRING_KICK, 0 | VHOST_RING_NO_FD);
	turns(10);
	offer(0, 0, VIRTIO_BLK_T_IN, 0, DATA, PAGE_SIZE);
	until_used(0, 1);
	cr_assert_leq(blks_patience(&g), NSEC_PER_MSEC);
}

Test(blk, another_call_descriptor_is_signalled)
{
	begin_device(1);
	offer(0, 0, VIRTIO_BLK_T_IN, 0, DATA, PAGE_SIZE);
	kick_ring(0);
	until_used(0, 1);
	close(call[0]);
	call[0] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	say_ring_fd(VHOST_SET_VRING_CALL, 0, call[0]);
	turns(10);
	cr_assert(is_called(0));
}

/* What is in flight when a pager dies, as the region has it. */
static void die_with_requests(unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		offer(0, i, VIRTIO_BLK_T_IN, 0, DATA + i, PAGE_SIZE);
	kick_ring(0);
	for (int i = 0; i < 100 && disk.blk->ring[0].under_way == 0; i++) {
		cr_assert(ring_run(g.ring, NSEC_PER_MSEC) >= 0);
		blks_step(&g, clock_ns());
	}
	cr_assert_geq(disk.blk->ring[0].under_way, 1);
	cr_assert_eq(used(0)->idx, 0);
}

Test(blk, a_ring_is_disabled_and_stopped_while_its_requests_are_resumed)
{
	begin_device(1);
	die_with_requests(8);
	say_state(VHOST_SET_VRING_ENABLE, 0, 0);
	next_pager();
	cr_assert_eq(stop_ring(0), 8);
	cr_assert_eq(used(0)->idx, 8);
}

Test(blk, a_ring_that_was_disabled_has_its_requests_resumed_before_it_stops)
{
	begin_device(1);
	die_with_requests(8);
	say_state(VHOST_SET_VRING_ENABLE, 0, 0);
	cr_assert(ring_run(g.ring, 0) >= 0);
	blk_conn_step(disk.blk);
	cr_assert_eq(used(0)->idx, 0);
	next_pager();
	turns(5);
	cr_assert_eq(stop_ring(0), 8);
	cr_assert_eq(used(0)->idx, 8);
}

Test(blk, a_descriptor_that_is_refused_is_closed)
{
	unsigned int had;
	int fd = memfd_create("no eventfd", 0);

	begin_device(1);
	turns(5);
	had = open_files();
	say_ring_fd(VHOST_SET_VRING_CALL, 1, fd);
	for (int i = 0; i < 100 && nover == 0; i++)
		turn();
	cr_assert_eq(nover, 1);
	cr_assert_eq(over.code, -EPROTO);
	cr_assert_lt(open_files(), had);
	/* the connection, memory, in-flight region, kick and call of one ring */
	cr_assert_eq(open_files(), had - 5);
}

Test(blk, memory_goes_while_a_request_is_under_way)
{
	begin_device(1);
	say_memory(PAGES);
	turns(5);
	memset(g.map + (PAGES - 1) * PAGE_SIZE, 0x11, PAGE_SIZE);
	offer(0, 0, VIRTIO_BLK_T_IN, 0, DATA, PAGE_SIZE);
	desc(0)[2].addr = (PAGES - 1) * PAGE_SIZE;
	kick_ring(0);
	for (int i = 0; i < 100 && disk.blk->ring[0].under_way == 0; i++) {
		cr_assert(ring_run(g.ring, NSEC_PER_MSEC) >= 0);
		blks_step(&g, clock_ns());
	}
	cr_assert_eq(disk.blk->ring[0].under_way, 1);
	say_memory(PAGES - 1);
	blk_conn_step(disk.blk);
	until_used(0, 1);
	turns(5);
	cr_assert_eq(stop_ring(0), 1);
	cr_assert_eq(g.holds.pages, 0, "the status byte's page is held for ever");
}

/* A ring that moves while it runs would not be held where it is. */
Test(blk, memory_under_a_ring_stays_where_it_is)
{
	struct vhost_table t = { .n = 1 };

	begin_device(1);
	t.region[0] = (struct vhost_region){ 0, (PAGES - 64) * PAGE_SIZE, UVA, 64 * PAGE_SIZE };
	say_fds(VHOST_SET_MEM_TABLE, &t, 8 + 32, &g.region[0].fd, 1);
	turns(5);
	cr_assert_eq(disk.blk->ring[0].state, RING_BROKEN);
}

Test(blk, a_death_in_the_middle_of_a_memory_table)
{
	begin_device(1);
	say_halves();
	turns(5);
	die_with_requests(8);
	/* the keeper was told that there is no second one any more, and no more than that */
	say_memory(PAGES);
	close(disk.fd[VHOST_FD_MEM + 1]);
	disk.fd[VHOST_FD_MEM + 1] = -1;
	next_pager();
	until_used(0, 8);
	cr_assert_eq(stop_ring(0), 8);
}

/* One that always has more to do than a disk takes at a time. */
static void keep_busy(unsigned int ring)
{
	static uint16_t seen, next;

	for (; next < SLOTS; next++)
		offer(ring, next, VIRTIO_BLK_T_IN, 0, DATA + next, PAGE_SIZE);
	for (; seen != used(ring)->idx; seen++)
		offer(ring, used(ring)->ring[seen % NUM].id / 3, VIRTIO_BLK_T_IN, 0,
		      DATA + used(ring)->ring[seen % NUM].id / 3, PAGE_SIZE);
	kick_ring(ring);
}

/* An image that does nothing by itself. */
static struct image_req *slow[BLK_REQS];
static unsigned int nslow;

static void slow_submit(struct image *image, struct image_req *req)
{
	(void)image;
	slow[nslow++] = req;
}

static void slow_ends(unsigned int n)
{
	for (; n > 0 && nslow > 0; n--) {
		struct image_req *first = slow[0];

		memmove(slow, slow + 1, --nslow * sizeof(slow[0]));
		image_end(first, 0);
	}
}

Test(blk, a_busy_ring_leaves_some_to_the_others)
{
	static const struct image_ops slow_ops = { .submit = slow_submit };
	struct image image = *disk.image, *real = disk.image;

	image.ops = &slow_ops;
	disk.image = &image;
	begin_device(3);
	for (int i = 0; i < 50; i++) {
		keep_busy(0);
		turn();
	}
	cr_assert_eq(nslow, BLK_REQS);
	offer(1, 0, VIRTIO_BLK_T_IN, 0, 2048, PAGE_SIZE);
	offer(2, 0, VIRTIO_BLK_T_IN, 0, 2049, PAGE_SIZE);
	kick_ring(1);
	kick_ring(2);
	for (int i = 0; i < 200 && (used(1)->idx == 0 || used(2)->idx == 0); i++) {
		slow_ends(4);
		keep_busy(0);
		turn();
	}
	cr_assert_eq(used(1)->idx, 1);
	cr_assert_eq(used(2)->idx, 1);
	disk.image = real;
}

/* Reads that the kernel ends at once, all the time. */
Test(blk, kicks_are_seen_beside_reads_that_never_wait)
{
	begin_device(2);
	for (int i = 0; i < 50; i++) {
		keep_busy(0);
		turn();
	}
	offer(1, 0, VIRTIO_BLK_T_IN, 0, 2048, PAGE_SIZE);
	kick_ring(1);
	for (int i = 0; i < 200 && used(1)->idx == 0; i++) {
		keep_busy(0);
		turn();
	}
	cr_assert_eq(used(1)->idx, 1);
}

/* It sets the flags of what both have open. */
Test(blk, a_peer_cannot_have_the_worker_wait_at_a_kick)
{
	uint64_t n;

	begin_device(1);
	cr_assert_eq(fcntl(kick[0], F_SETFL, O_RDWR), 0);
	kick_ring(0);
	cr_assert_eq(read(kick[0], &n, sizeof(n)), (ssize_t)sizeof(n));
	/* now it is readable no more, and blocks */
	disk.blk->ring[0].poll.done(&disk.blk->ring[0].poll, 1);
	turns(3);
}

/* The file is another's, who may have us wait for it, or fill our memory. */
Test(blk, a_log_is_memory_and_no_larger_than_needs_be)
{
	struct vhost_log_area a = { .size = UINT64_C(1) << 38 };
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct statfs fs;
	struct stat st;

	begin_device(1);
	cr_assert_eq(ftruncate(fd, (off_t)a.size), 0);
	say_fds(VHOST_SET_LOG_BASE, &a, sizeof(a), &fd, 1);
	turns(5);
	cr_assert_eq(nover, 0, "%s", over.text);
	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_lt(st.st_blocks, 128);
	close(fd);
	fd = temporary(1 << 20);
	cr_assert_eq(fstatfs(fd, &fs), 0);
	if (fs.f_type == TMPFS_MAGIC)
		cr_skip_test("the build directory is in memory");
	a.size = 1 << 20;
	say_fds(VHOST_SET_LOG_BASE, &a, sizeof(a), &fd, 1);
	for (int i = 0; i < 100 && nover == 0; i++)
		turn();
	cr_assert_eq(over.code, -EPROTO);
}

/* Pieces of it may still be to come. */
Test(blk_mapped, the_vmm_ends_in_the_middle_of_a_request)
{
	begin_device(1);
	memset(g.map + DATA * PAGE_SIZE, 1, 128 * PAGE_SIZE);
	turns(2);
	for (uint64_t p = DATA; p < DATA + 128; p++)
		if (page_get(&g.pages, p) == PAGE_HOLE)
			page_set(&g.pages, p, PAGE_ACTIVE);
	swap_out(DATA + 64, 64);
	offer(0, 0, VIRTIO_BLK_T_OUT, 0, DATA, 128 * PAGE_SIZE);
	kick_ring(0);
	for (int i = 0; i < 100 && disk.blk->ring[0].under_way == 0; i++) {
		cr_assert(ring_run(g.ring, NSEC_PER_MSEC) >= 0);
		blks_step(&g, clock_ns());
	}
	cr_assert_eq(disk.blk->ring[0].under_way, 1);
	/* as job_gone and step_bury */
	g.state = GUEST_GONE;
	g.job = JOB_BURY;
	blks_gone(&g);
	object_free_all(g.object, g.drum);
	kept_forget(&g.kept);
	blockmap_fini(&g);
	for (int i = 0; i < 500 && nover == 0; i++)
		turn();
	cr_assert_eq(nover, 1);
	cr_assert_eq(g.holds.pages, 0);
}

/* A page of it lives in the block that a request writes to. */
Test(blk_mapped, it_is_left_while_a_request_waits_for_a_block)
{
	uint8_t ones[PAGE_SIZE];

	memset(ones, 1, sizeof(ones));
	cr_assert_eq(pwrite(image_fd, ones, sizeof(ones), 0), PAGE_SIZE);
	begin_device(1);
	offer(0, 0, VIRTIO_BLK_T_IN, 0, DATA, PAGE_SIZE);
	kick_ring(0);
	until_used(0, 1);
	turns(3);
	page_set(&g.pages, DATA, PAGE_INACTIVE);
	g.job = JOB_OUT;
	for (int i = 0; i < 1000 && page_get(&g.pages, DATA) != PAGE_SWAPPED; i++)
		turn();
	g.job = JOB_NONE;
	cr_assert_eq(object_get(g.object, DATA), drum_make(disk.number, 0) | SWB_VALID);
	offer(0, 1, VIRTIO_BLK_T_OUT, 0, DATA + 1, PAGE_SIZE);
	kick_ring(0);
	for (int i = 0; i < 100 && g.blockmap.waiting == 0; i++) {
		cr_assert(ring_run(g.ring, NSEC_PER_MSEC) >= 0);
		holds_step(&g, clock_ns());
		blks_step(&g, clock_ns());
	}
	cr_assert_eq(g.blockmap.waiting, 1);
	g.job = JOB_LEAVE;
	blks_pause(&g);
	for (int i = 0; i < 500 && !blks_quiet(&g); i++)
		turn();
	cr_assert(blks_quiet(&g), "the daemon waits for ever to be stopped");
}

/* They are found in the words of a guest that had the disk before, and is still there. */
Test(blk_mapped, another_guests_pages_live_in_the_image)
{
	begin_device(1);
	offer(0, 0, VIRTIO_BLK_T_OUT, 0, DATA, PAGE_SIZE);
	close(front);
	for (int i = 0; i < 100 && nover == 0; i++)
		turn();
	cr_assert_eq(nover, 1);
	cr_assert_eq(drum_claim(g.drum, NULL, drum_make(disk.number, 3)), 0);
	connect_front();
	turns(50);
	cr_assert_eq(nover, 1, "it waits until they are elsewhere");
	cr_assert(disk.blk->closing);
	cr_assert_eq(drum_move(g.drum, drum_make(disk.number, 3)), DRUM_MOVE_AWAY);
	drum_free(g.drum, NULL, drum_make(disk.number, 3), 1);
	for (int i = 0; i < 100 && nover == 1; i++)
		turn();
	cr_assert_eq(nover, 2);
	cr_assert_eq(over.code, -EBUSY);
	nover = 0;
	connect_front();
	begin_device(1);
}
