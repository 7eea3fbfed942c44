/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * What is sent must not change while it is, and guest memory may vanish: a
 * write is first copied to its slot's buffer, on the thread of whoever submits
 * it, so that many copy at once.  A read of one vector goes straight into
 * its memory, and takes a slot without a buffer; one of several vectors takes one
 * with, and some of those are left to reads: they never wait for writes.
 *
 * An I/O that finds no slot waits, in order of coming, with those of its kind.
 * The thread gives slots on (nbd_slots_admit), and then it is it that copies.  It
 * does so after whatever ended a slot of its own, and when it was woken because
 * another thread gave one back, which is so when what was to be copied is gone.
 */

#include "swap/nbd_slots.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/guard.h"

#define BOUNCE_BYTES	  ((size_t)SWAP_IO_BLOCKS_MAX * SWAP_BLOCK)
#define POOL_BYTES	  (NBD_BOUNCES * BOUNCE_BYTES)
#define BOUNCES_FOR_READS 4u /* that writes leave free */

enum { PLAIN, BOUNCE };

static void ios_init(struct nbd_io_list *l)
{
	l->head = NULL;
	l->tail = &l->head;
}

static void ios_add(struct nbd_io_list *l, struct swap_io *io)
{
	io->next = NULL;
	*l->tail = io;
	l->tail = &io->next;
}

/* All of `from` go to the end of `to`. */
static void ios_move(struct nbd_io_list *to, struct nbd_io_list *from)
{
	if (!from->head)
		return;
	*to->tail = from->head;
	to->tail = from->tail;
	ios_init(from);
}

static struct swap_io *ios_take(struct nbd_io_list *l)
{
	struct swap_io *io = l->head;

	l->head = io->next;
	if (!l->head)
		l->tail = &l->head;
	return io;
}

static enum nbd_wait kind_of(const struct swap_io *io)
{
	if (io->write)
		return NBD_WAIT_WRITE;
	return io->niov == 1 ? NBD_WAIT_READ : NBD_WAIT_BOUNCED_READ;
}

bool nbd_waits_offline(const struct swap_io *io)
{
	return !io->write && !__atomic_load_n(&io->dev->is_half, __ATOMIC_ACQUIRE);
}

/* With the lock. => NULL: there is none for it */
static struct nbd_slot *take(struct nbd_slots *s, enum nbd_wait kind)
{
	int k = kind == NBD_WAIT_READ ? PLAIN : BOUNCE;
	struct nbd_slot *slot = s->free[k];

	if (!slot || (kind == NBD_WAIT_WRITE && s->nfree[k] <= BOUNCES_FOR_READS))
		return NULL;
	s->free[k] = slot->next;
	s->nfree[k]--;
	return slot;
}

/* With the lock. */
static void put(struct nbd_slots *s, struct nbd_slot *slot)
{
	int k = slot->bounce ? BOUNCE : PLAIN;

	slot->io = NULL;
	slot->next = s->free[k];
	s->free[k] = slot;
	s->nfree[k]++;
}

void nbd_slots_put(struct nbd_slots *s, struct nbd_slot *slot)
{
	pthread_mutex_lock(&s->lock);
	put(s, slot);
	pthread_mutex_unlock(&s->lock);
}

void nbd_slots_wake(struct nbd_slots *s)
{
	uint64_t one = 1;

	(void)!write(s->wake_fd, &one, sizeof(one));
}

static void gather(void *arg)
{
	const struct nbd_slot *slot = arg;
	char *to = slot->bounce;

	for (uint32_t i = 0; i < slot->io->niov; i++) {
		memcpy(to, slot->io->iov[i].iov_base, slot->io->iov[i].iov_len);
		to += slot->io->iov[i].iov_len;
	}
}

void nbd_slot_scatter(const struct nbd_slot *slot)
{
	const char *from = slot->bounce;

	for (uint32_t i = 0; i < slot->io->niov; i++) {
		memcpy(slot->io->iov[i].iov_base, from, slot->io->iov[i].iov_len);
		from += slot->io->iov[i].iov_len;
	}
}

/* io has this slot: to the thread with it.  Any thread, no lock. */
static void make_ready(struct nbd_slots *s, struct nbd_slot *slot, struct swap_io *io)
{
	bool first = true;
	int err = 0;

	slot->io = io;
	slot->done = 0;
	if (io->write)
		err = guard_run(gather, slot);
	pthread_mutex_lock(&s->lock);
	/* it may have gone offline since it was asked */
	if (err == 0 && !s->online && !nbd_waits_offline(io))
		err = -ENOTCONN;
	if (err) {
		/* the thread gives it to the next that waits */
		put(s, slot);
	} else {
		first = !s->ready.head;
		nbd_list_add(&s->ready, slot);
	}
	pthread_mutex_unlock(&s->lock);
	if (first)
		nbd_slots_wake(s);
	if (err)
		device_post(io, err);
}

void nbd_slots_submit(struct nbd_slots *s, struct swap_io *io)
{
	enum nbd_wait kind = kind_of(io);
	struct nbd_slot *slot = NULL;
	bool refuse;

	pthread_mutex_lock(&s->lock);
	refuse = !s->online && !nbd_waits_offline(io);
	if (!refuse) {
		if (!s->waiting[kind].head)
			slot = take(s, kind);
		if (!slot)
			ios_add(&s->waiting[kind], io);
	}
	pthread_mutex_unlock(&s->lock);
	if (refuse)
		device_post(io, -ENOTCONN);
	else if (slot)
		make_ready(s, slot, io);
}

void nbd_slots_admit(struct nbd_slots *s)
{
	for (int kind = 0; kind < NBD_WAITS; kind++) {
		struct nbd_slot *slot;

		do {
			struct swap_io *io = NULL;

			slot = NULL;
			pthread_mutex_lock(&s->lock);
			if (s->waiting[kind].head)
				slot = take(s, (enum nbd_wait)kind);
			if (slot)
				io = ios_take(&s->waiting[kind]);
			pthread_mutex_unlock(&s->lock);
			if (slot)
				make_ready(s, slot, io);
		} while (slot);
	}
}

void nbd_slots_take_ready(struct nbd_slots *s, struct nbd_slot_list *to)
{
	pthread_mutex_lock(&s->lock);
	nbd_list_move(to, &s->ready);
	pthread_mutex_unlock(&s->lock);
}

void nbd_slots_set_online(struct nbd_slots *s)
{
	pthread_mutex_lock(&s->lock);
	s->online = true;
	pthread_mutex_unlock(&s->lock);
}

struct swap_io *nbd_slots_set_offline(struct nbd_slots *s)
{
	struct nbd_io_list ended;

	ios_init(&ended);
	pthread_mutex_lock(&s->lock);
	s->online = false;
	for (int kind = 0; kind < NBD_WAITS; kind++) {
		const struct swap_io *io = s->waiting[kind].head;

		/* those of one kind are all alike, being of one device */
		if (io && !nbd_waits_offline(io))
			ios_move(&ended, &s->waiting[kind]);
	}
	pthread_mutex_unlock(&s->lock);
	return ended.head;
}

int nbd_slots_init(struct nbd_slots *s)
{
	pthread_mutex_init(&s->lock, NULL);
	nbd_list_init(&s->ready);
	for (int i = 0; i < NBD_WAITS; i++)
		ios_init(&s->waiting[i]);
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake_fd < 0)
		return -errno;
	/* memory comes with the first use of each buffer; a dump shows no guest's */
	s->pool = mmap(NULL, POOL_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->pool == MAP_FAILED) {
		s->pool = NULL;
		return -errno;
	}
	madvise(s->pool, POOL_BYTES, MADV_DONTDUMP);
	for (uint32_t i = 0; i < NBD_BOUNCES + NBD_PLAIN; i++) {
		if (i < NBD_BOUNCES)
			s->slot[i].bounce = s->pool + i * BOUNCE_BYTES;
		put(s, &s->slot[i]);
	}
	return 0;
}

void nbd_slots_fini(struct nbd_slots *s)
{
	if (s->pool)
		munmap(s->pool, POOL_BYTES);
	if (s->wake_fd >= 0)
		close(s->wake_fd);
	pthread_mutex_destroy(&s->lock);
}
