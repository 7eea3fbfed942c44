/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 *	erase the header > make that durable > punch > write the RAM > make
 *	that durable > write the header > make that durable
 *
 * So there is a header only where all of the RAM is behind it, whoever dies.
 *
 * The RAM is taken in chunks of 64 pages of one memfd, each with a buffer.  What
 * a page has to offer depends on its state when its chunk comes to it:
 *
 *	hole		zeros
 *	in memory	copied out of our own mapping, which is guarded: a page that
 *			the guest gives back at that moment is a hole
 *	swapped		read with a page-in of ours: the page is "reading", so that
 *			nobody frees its block, and "swapped" again afterwards, for
 *			it is put nowhere but into our buffer.  Who touches it
 *			meanwhile is served out of the page-in, as of any
 *	reading		by somebody else: it is looked at again in the next turn
 *
 * A page that cannot be read is zeros in the dump, and is counted in its note.
 * A run in which one cannot be is read page by page.
 *
 * The guest goes on: a dump is a snapshot only if it is paused.
 *
 * Where the device is a file with holes, all of it is punched first, and pages
 * that are holes are not written.  Elsewhere old data must be overwritten.
 *
 * Cancelled (a detach, an error), it is over when no write is in flight any more:
 * they read from our buffers.  Page-ins have buffers of their own, and find
 * no chunk then, or one of a later dump to which what they hold is as good.
 */

#include "vmm/dump.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/guard.h"
#include "base/log.h"
#include "vmm/dump_elf.h"
#include "vmm/guest.h"

#define CHUNK_PAGES 64u
#define CHUNKS	    8u
#define CHUNK_BYTES ((size_t)CHUNK_PAGES << PAGE_SHIFT)

_Static_assert(DUMP_HEADER % PAGE_SIZE == 0 && DUMP_LOADS_MAX >= PROTO_MEMFDS_MAX,
	       "one PT_LOAD for each region, behind a whole page");

enum phase {
	ERASE,
	SYNC_ERASED,
	PUNCH,
	DATA,
	SYNC_DATA,
	HEADER,
	SYNC_HEADER,
	DONE,
	UNDO, /* the header cannot be trusted to be there, so it must not be */
};

struct chunk {
	struct ring_op op;
	struct dump *dump;
	bool busy, writing;
	bool single; /* one page of it could not be read: one by one */
	uint64_t page;
	uint32_t n;
	uint64_t todo;	   /* bit k: page + k is not in buf yet */
	uint64_t zero;	   /* bit k: it was a hole */
	uint64_t at;	   /* in the dump: bytes */
	uint32_t from, to; /* bytes of buf that are being written */
	uint8_t *buf;
};

struct dump {
	struct guest *guest;
	struct command *cmd; /* NULL: abandoned */
	enum phase phase;
	bool waits;	     /* for op */
	struct ring_op op;   /* of all phases but DATA */
	uint32_t budget;     /* pages that this step may still copy */
	bool skip_zeros;     /* they are there */
	struct err err;	     /* why it ends early */
	unsigned int region; /* the next chunk's */
	uint64_t next;	     /* and its first page there */
	uint64_t before;     /* pages of the regions before that */
	uint64_t total;	     /* bytes */
	struct dump_note note;
	struct chunk chunk[CHUNKS];
	uint8_t *buf; /* the header, and a buffer for each chunk */
};

static void on_op(struct ring_op *op, int res);
static void on_written(struct ring_op *op, int res);

static uint64_t ram_bytes(const struct guest *g)
{
	uint64_t pages = 0;

	for (unsigned int i = 0; i < g->nregions; i++)
		pages += g->region[i].pages;
	return pages << PAGE_SHIFT;
}

static void set_done(struct guest *g, uint64_t bytes)
{
	__atomic_store_n(&g->dump_done, bytes, __ATOMIC_RELAXED);
}

int dump_begin(struct guest *g, struct command *cmd)
{
	const struct dump_order *o = cmd->order;
	uint64_t ram = ram_bytes(g), total = DUMP_HEADER + ram;
	struct dump *d;

	if (total > o->room)
		return err_set(&cmd->err, -ENOSPC,
			       "guest %s: a dump of it takes %llu bytes, and %s has %llu",
			       g->name, (unsigned long long)total, o->path,
			       (unsigned long long)o->room);
	d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(&cmd->err, -ENOMEM, "out of memory");
	d->buf = mmap(NULL, DUMP_HEADER + CHUNKS * CHUNK_BYTES, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (d->buf == MAP_FAILED) {
		free(d);
		return err_set(&cmd->err, -ENOMEM, "out of memory");
	}
	/* guest RAM is in there */
	madvise(d->buf, DUMP_HEADER + CHUNKS * CHUNK_BYTES, MADV_DONTDUMP);
	d->guest = g;
	d->cmd = cmd;
	d->op.done = on_op;
	d->total = total;
	d->note = (struct dump_note){
		.version = 1, .pid = (uint32_t)g->pid, .time = (uint64_t)time(NULL), .ram = ram
	};
	memcpy(d->note.name, g->name, sizeof(g->name));
	for (unsigned int i = 0; i < CHUNKS; i++) {
		d->chunk[i].dump = d;
		d->chunk[i].op.done = on_written;
		d->chunk[i].buf = d->buf + DUMP_HEADER + i * CHUNK_BYTES;
	}
	cmd->order->begun = true;
	g->dump = d;
	set_done(g, 0);
	log_info("guest %s: %llu MiB are dumped to %s", g->name, (unsigned long long)ram >> 20,
		 o->path);
	return 0;
}

bool dump_busy(const struct guest *g)
{
	return g->dump;
}

/* --- the end --------------------------------------------------------------------- */

static void release(struct dump *d)
{
	d->guest->dump = NULL;
	munmap(d->buf, DUMP_HEADER + CHUNKS * CHUNK_BYTES);
	free(d);
}

static void answer(struct dump *d, const struct err *e)
{
	struct command *cmd = d->cmd;
	struct guest *g = d->guest;

	d->cmd = NULL;
	set_done(g, 0);
	if (!cmd)
		return;
	cmd->err = *e;
	cmd->order->bytes = d->total;
	cmd->order->lost = d->note.lost;
	g->ops->completed(g->ops->arg, cmd);
}

static bool any_writing(const struct dump *d)
{
	for (unsigned int i = 0; i < CHUNKS; i++)
		if (d->chunk[i].writing)
			return true;
	return d->waits;
}

static void end(struct dump *d)
{
	struct guest *g = d->guest;

	if (g->job == JOB_DUMP)
		g->job = JOB_NONE;
	if (d->err.code)
		log_err("guest %s: its dump ended early: %s", g->name, d->err.text);
	else if (d->note.lost)
		err_set(&d->err, 0,
			"guest %s: %llu pages could not be read, and are zeros in the dump",
			g->name, (unsigned long long)d->note.lost);
	answer(d, &d->err);
	release(d);
}

static void fail(struct dump *d, int code, uint64_t at)
{
	if (!d->err.code)
		err_set(&d->err, code, "guest %s: no dump, cannot write to %s at byte %llu: %s",
			d->guest->name, d->cmd->order->path, (unsigned long long)at,
			strerror(-code));
}

bool dump_is_of(const struct guest *g, const void *ctx)
{
	return g->dump && g->dump->cmd && g->dump->cmd->ctx == ctx;
}

void dump_cancel(struct guest *g, const struct err *e)
{
	struct dump *d = g->dump;

	/* with all of the RAM written, the rest is a moment */
	if (d && d->phase < HEADER && !d->err.code)
		d->err = *e;
}

void dump_abandon(struct guest *g, const struct err *e)
{
	if (g->dump)
		answer(g->dump, e);
}

void dump_free(struct guest *g)
{
	if (g->dump)
		release(g->dump);
}

/* --- the RAM --------------------------------------------------------------------- */

static struct chunk *find_chunk(const struct guest *g, uint64_t page)
{
	for (unsigned int i = 0; g->dump && i < CHUNKS; i++) {
		struct chunk *c = &g->dump->chunk[i];

		if (c->busy && !c->writing && page >= c->page && page - c->page < c->n)
			return c;
	}
	return NULL;
}

static uint8_t *place_of(const struct chunk *c, uint32_t k)
{
	return c->buf + ((size_t)k << PAGE_SHIFT);
}

static void set_zero(struct chunk *c, uint32_t k)
{
	memset(place_of(c, k), 0, PAGE_SIZE);
	c->zero |= UINT64_C(1) << k;
	c->todo &= ~(UINT64_C(1) << k);
}

static void set_lost(struct chunk *c, uint32_t k)
{
	set_zero(c, k);
	c->dump->note.lost++;
}

void dump_filled(const struct pagein *p)
{
	for (uint32_t k = 0; k < p->n; k++) {
		struct chunk *c = find_chunk(p->guest, p->page + k);
		uint64_t i = c ? p->page + k - c->page : 0;

		if (!c || !(c->todo >> i & 1) || p->discarded & 1u << k)
			continue; /* discarded: a hole in a moment */
		memcpy(place_of(c, (uint32_t)i), p->buf + ((size_t)k << PAGE_SHIFT), PAGE_SIZE);
		c->todo &= ~(UINT64_C(1) << i);
		c->dump->note.swapped++;
	}
}

void dump_unread(const struct pagein *p)
{
	struct chunk *c = find_chunk(p->guest, p->page);

	if (!c)
		return;
	if (p->n > 1)
		c->single = true;
	else if (c->todo >> (p->page - c->page) & 1)
		set_lost(c, (uint32_t)(p->page - c->page));
}

struct copy {
	const uint8_t *from;
	uint8_t *to;
};

static void copy_page(void *arg)
{
	const struct copy *c = arg;

	memcpy(c->to, c->from, PAGE_SIZE);
}

static void take_resident(struct chunk *c, uint32_t k)
{
	struct guest *g = c->dump->guest;
	struct copy copy = { g->map + ((c->page + k) << PAGE_SHIFT), place_of(c, k) };

	if (guard_run(copy_page, &copy) == 0) {
		c->todo &= ~(UINT64_C(1) << k);
	} else if (!ram_present(g, c->page + k)) {
		set_zero(c, k);
		c->dump->note.zero++;
	} else if (guard_run(copy_page, &copy) == 0) {
		c->todo &= ~(UINT64_C(1) << k); /* it came back just then */
	} else {
		set_lost(c, k); /* broken memory */
	}
}

/* How many pages of c, from k on, are wanted and may be read at once. */
static uint32_t wanted(const struct chunk *c, uint32_t k)
{
	uint32_t n = 1;

	while (!c->single && k + n < c->n && c->todo >> (k + n) & 1)
		n++;
	return n;
}

/* Take what can be had of its pages now. */
static void fill(struct chunk *c)
{
	struct guest *g = c->dump->guest;
	uint32_t k = 0;

	while (k < c->n) {
		uint32_t n = 1;

		if (c->todo >> k & 1) {
			switch (page_get(&g->pages, c->page + k)) {
			case PAGE_HOLE:
				set_zero(c, k);
				c->dump->note.zero++;
				break;
			case PAGE_ACTIVE:
			case PAGE_INACTIVE:
			case PAGE_WRITING:
				if (c->dump->budget == 0)
					return;
				c->dump->budget--;
				take_resident(c, k);
				break;
			case PAGE_SWAPPED:
				n = pagein_dump(g, c->page + k, wanted(c, k));
				if (n == 0)
					return;
				break;
			case PAGE_READING:
				if (pagein_is_failing(g, c->page + k))
					set_lost(c, k);
				break;
			case PAGE_STATES:
				break;
			}
		}
		k += n;
	}
}

/* Write the next run of it that has to be. */
static void write_on(struct chunk *c)
{
	struct dump *d = c->dump;
	uint64_t skip = d->skip_zeros ? c->zero : 0;
	uint32_t k = c->to >> PAGE_SHIFT;

	while (k < c->n && skip >> k & 1)
		k++;
	if (k == c->n) {
		c->busy = c->writing = false;
		set_done(d->guest, d->guest->dump_done + ((uint64_t)c->n << PAGE_SHIFT));
		return;
	}
	c->from = k << PAGE_SHIFT;
	while (k < c->n && !(skip >> k & 1))
		k++;
	c->to = k << PAGE_SHIFT;
	c->writing = true;
	ring_write(d->guest->ring, &c->op, d->cmd->order->fd, c->buf + c->from, c->to - c->from,
		   c->at + c->from);
}

static void on_written(struct ring_op *op, int res)
{
	struct chunk *c = (struct chunk *)((char *)op - offsetof(struct chunk, op));
	struct dump *d = c->dump;

	if (res == -EINTR || res == -EAGAIN)
		res = 0;
	else if (res == 0)
		res = -EIO;
	if (res < 0)
		fail(d, res, c->at + c->from);
	else
		c->from += (uint32_t)res;
	if (d->err.code)
		c->busy = c->writing = false;
	else if (c->from < c->to)
		ring_write(d->guest->ring, &c->op, d->cmd->order->fd, c->buf + c->from,
			   c->to - c->from, c->at + c->from);
	else
		write_on(c);
}

/* => false: no page is left, or no chunk free */
static bool next_chunk(struct dump *d)
{
	const struct region *r = &d->guest->region[d->region];
	struct chunk *c = NULL;

	for (unsigned int i = 0; i < CHUNKS && !c; i++)
		if (!d->chunk[i].busy)
			c = &d->chunk[i];
	if (!c || d->region == d->guest->nregions)
		return false;
	c->busy = true;
	c->single = false;
	c->page = r->first + d->next;
	c->n = r->pages - d->next < CHUNK_PAGES ? (uint32_t)(r->pages - d->next) : CHUNK_PAGES;
	c->at = DUMP_HEADER + ((d->before + d->next) << PAGE_SHIFT);
	c->todo = UINT64_MAX >> (64 - c->n);
	c->zero = 0;
	c->from = c->to = 0;
	d->next += c->n;
	if (d->next == r->pages) {
		d->before += r->pages;
		d->next = 0;
		d->region++;
	}
	return true;
}

static void step_data(struct dump *d)
{
	bool more = next_chunk(d), busy = false;

	/* 256 KiB: what a fault may have to wait for */
	d->budget = CHUNK_PAGES;
	for (unsigned int i = 0; i < CHUNKS; i++) {
		struct chunk *c = &d->chunk[i];

		if (c->busy && !c->writing) {
			fill(c);
			if (c->todo == 0)
				write_on(c);
		}
		busy |= c->busy;
	}
	if (more || d->budget == 0)
		d->guest->more = true;
	else if (!busy && d->region == d->guest->nregions)
		d->phase = SYNC_DATA;
}

/* --- the phases -------------------------------------------------------------------- */

static void write_header(struct dump *d, bool real)
{
	struct guest *g = d->guest;
	uint64_t bytes[PROTO_MEMFDS_MAX];

	for (unsigned int i = 0; i < g->nregions; i++)
		bytes[i] = g->region[i].pages << PAGE_SHIFT;
	if (real)
		dump_elf_header(d->buf, &d->note, bytes, g->nregions);
	else
		memset(d->buf, 0, DUMP_HEADER);
	ring_write(g->ring, &d->op, d->cmd->order->fd, d->buf, DUMP_HEADER, 0);
}

static void on_op(struct ring_op *op, int res)
{
	struct dump *d = (struct dump *)((char *)op - offsetof(struct dump, op));
	enum phase was = d->phase;

	d->waits = false;
	if (was == PUNCH)
		d->skip_zeros = res == 0; /* else they are written */
	else if (was == UNDO)
		res = 0; /* all that could be done */
	else if (res < 0)
		fail(d, res, 0);
	else if ((was == ERASE || was == HEADER) && res != (int)DUMP_HEADER)
		fail(d, -EIO, 0);
	if (was == UNDO)
		d->phase = DONE;
	else if (d->err.code && was >= HEADER)
		d->phase = UNDO;
	else
		d->phase = was + 1;
}

/* => false: nothing is to be done in this phase */
static bool start(struct dump *d)
{
	const struct dump_order *o = d->cmd->order;
	struct ring *ring = d->guest->ring;

	switch (d->phase) {
	case ERASE:
	case UNDO:
		write_header(d, false);
		return true;
	case SYNC_ERASED:
	case SYNC_DATA:
	case SYNC_HEADER:
		ring_datasync(ring, &d->op, o->fd);
		return true;
	case PUNCH:
		if (!o->sparse)
			return false;
		ring_fallocate(ring, &d->op, o->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       DUMP_HEADER, d->total - DUMP_HEADER);
		return true;
	case HEADER:
		write_header(d, true);
		return true;
	case DATA:
	case DONE:
		break;
	}
	return false;
}

void dump_step(struct guest *g)
{
	struct dump *d = g->dump;

	if (!d || d->waits)
		return;
	if (d->phase == DONE || (d->err.code && d->phase != UNDO)) {
		if (!any_writing(d))
			end(d);
	} else if (d->phase == DATA) {
		step_data(d);
	} else {
		d->waits = start(d);
		if (!d->waits)
			d->phase++;
	}
}
