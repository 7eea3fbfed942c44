/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A request waits in a queue, is begun when it is its turn, and is over when
 * nothing is left to begin of it and no I/O is pending.  Only the first of the
 * queue is looked at: it is begun unless a request that has begun overlaps it.
 * So nothing is overtaken, and nothing starves.  Only one request, the first
 * in `begun`, has pages for which there is no I/O yet: while it waits for a
 * slot nobody else takes one.
 *
 * pump() does whatever can be done at the moment.  It is called when a request
 * comes and when an I/O ends.  If a done function that it has called gives
 * another request, that one is queued and the loop sees it: no recursion.
 *
 * Reading.  A page that is not valid is a hole, and zeros; others are read in
 * runs of neighbours (object_run), which end at devices' borders.
 *
 * Writing never touches what is on swap already: each page goes to a new
 * block, or to the one that is reserved for it, and one store of its word is
 * the commit point.  Until then
 *
 *	the page had	its word is	a restart finds
 *	nothing		writing		nothing
 *	a reservation	reserved|	the reservation
 *			  writing
 *	a valid block	as it was	what it was
 *
 * and what is not reserved is named by an intent from before the write begins
 * until it has ended, so that no other daemon writes there meanwhile.  The old
 * block is freed after that store; a write that finds no free block waits as
 * long as an I/O is in flight that may free some.  Pages with and without a valid
 * block share an I/O; those with a reservation are apart, since their
 * addresses are given.
 *
 * A write that fails is tried again page by page.  A page that fails alone
 * keeps what it had on swap, except for a reservation that turned out to be
 * bad; the block is bad for ever (swp_pager_async_iodone), unless the error
 * was not of the medium: then it is free again.
 *
 * A device that takes only some pages (ram: and what does not compress) says so
 * for each; those that it has refused go on, page by page, to blocks of devices
 * that take everything, and their first blocks are free again.
 */

#include "swap/pager.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/log.h"

static void on_io(struct swap_io *io, int err);

void pager_init(struct pager *p, const char *name, struct object *object, struct drum *drum,
		struct ring *ring, struct pager_io *slot, unsigned int nslots)
{
	assert(nslots >= 1 && nslots <= PAGER_IOS_MAX);
	*p = (struct pager){
		.name = name, .object = object, .drum = drum, .ring = ring, .slot = slot
	};
	p->tail = &p->wait;
	while (nslots-- > 0) {
		slot[nslots].pager = p;
		slot[nslots].next_free = p->free;
		p->free = &slot[nslots];
	}
}

bool pager_idle(const struct pager *p)
{
	return !p->wait && !p->begun;
}

bool pager_is_media_error(int err)
{
	switch (err) {
	case -EIO:
	case -EREMOTEIO:
	case -ENODATA:
	case -EILSEQ:
	case -ETIMEDOUT:
	case -EBADE:
		return true;
	default:
		return false;
	}
}

static void failed(struct pager_req *req, int err)
{
	if (req->err == 0)
		req->err = err;
}

/* --- one I/O -------------------------------------------------------------------- */

static void submit(struct pager_io *s, uint32_t from, drum_addr addr, uint32_t n)
{
	const struct pager_req *req = s->req;
	size_t at = (size_t)(s->page + from - req->page) << SWAP_BLOCK_SHIFT;

	s->io.done = on_io;
	s->io.write = req->cmd == PAGER_WRITE;
	s->io.urgent = !s->io.write;
	s->io.niov = 1;
	s->io.iov[0] = (struct iovec){ (char *)req->buf + at, (size_t)n << SWAP_BLOCK_SHIFT };
	if (s->intent)
		object_intent(s->pager->object, (unsigned int)(s - s->pager->slot), addr, n);
	drum_submit(s->pager->drum, s->pager->ring, &s->io, addr);
}

static void submit_alone(struct pager_io *s, uint32_t k, drum_addr addr)
{
	s->alone = true;
	s->k = k;
	s->at = addr;
	submit(s, k, addr, 1);
}

/* The next n pages of req, at addr. => there is a free slot */
static void start(struct pager *p, struct pager_req *req, drum_addr addr, uint32_t n,
		  bool intent)
{
	struct pager_io *s = p->free;

	p->free = s->next_free;
	p->busy++;
	s->req = req;
	s->page = req->at;
	s->addr = addr;
	s->n = n;
	s->intent = intent;
	s->alone = s->plain = false;
	memset(s->left, 0, sizeof(s->left));
	req->pending++;
	req->at += n;
	submit(s, 0, addr, n);
}

static void written(struct pager_io *s, uint32_t from, drum_addr addr, uint32_t n)
{
	struct pager *p = s->pager;
	uint32_t done;
	int ret = object_build(p->object, p->drum, s->page + from, n, addr | SWB_VALID, &done);

	/* they have words */
	assert(ret == 0);
	(void)ret;
	s->req->residual -= n;
}

static void change(struct pager_io *s, uint32_t k, uint64_t word)
{
	int ret = object_set(s->pager->object, s->page + k, word);

	/* it has a word */
	assert(ret == 0);
	(void)ret;
}

/* Page k cannot be written to a. */
static void give_up(struct pager_io *s, uint32_t k, drum_addr a, int err)
{
	struct pager *p = s->pager;
	uint64_t page = s->page + k, word = object_get(p->object, page);
	bool bad = pager_is_media_error(err);

	failed(s->req, err);
	if (!bad && (word & SWB_RESERVED)) {
		change(s, k, a | SWB_RESERVED);
		return;
	}
	if (word & SWB_WRITING)
		object_pop(p->object, page);
	if (!bad) {
		drum_free(p->drum, object_share(p->object), a, 1);
		return;
	}
	/* first, while the device cannot be removed for the block's sake */
	log_err("%s: page %llu cannot be written to %s: %s; block %llu is not used again",
		p->name, (unsigned long long)page, drum_path(p->drum, a), strerror(-err),
		(unsigned long long)drum_block_of(a));
	drum_mark_bad(p->drum, object_share(p->object), a);
}

/* Its device did not take page k at a: on to one that does. => it is on its way */
static bool send_on(struct pager_io *s, uint32_t k, drum_addr a)
{
	struct pager *p = s->pager;
	uint64_t page = s->page + k, got;
	drum_addr next = drum_alloc_plain(p->drum, object_share(p->object), 1, &got);

	/* a reservation that cannot hold the page is none */
	if (object_get(p->object, page) & SWB_WRITING) {
		if (next == DRUM_NONE)
			object_pop(p->object, page);
		else
			change(s, k, next | SWB_WRITING);
	}
	drum_free(p->drum, object_share(p->object), a, 1);
	if (next == DRUM_NONE) {
		failed(s->req, -ENOSPC);
		return false;
	}
	submit_alone(s, k, next);
	return true;
}

static bool is_left(const struct pager_io *s, uint32_t k)
{
	return s->left[k / 64] >> (k % 64) & 1;
}

/* All pages in one I/O: keep what is written, and note what is left to do. */
static void together(struct pager_io *s, int err)
{
	if (err && s->n == 1) {
		give_up(s, 0, s->addr, err);
		return;
	}
	s->plain = !err;
	if (err)
		memset(s->left, 0xff, sizeof(s->left));
	else
		memcpy(s->left, s->io.refused, sizeof(s->left));
	for (uint32_t k = 0, run; k < s->n; k += run) {
		run = 1;
		if (is_left(s, k))
			continue;
		while (k + run < s->n && !is_left(s, k + run))
			run++;
		written(s, k, s->addr + k, run);
	}
}

/* => whether the I/O is over */
static bool step_write(struct pager_io *s, int err)
{
	if (!s->alone)
		together(s, err);
	else if (err)
		give_up(s, s->k, s->at, err);
	else if (!(s->io.refused[0] & 1))
		written(s, s->k, s->at, 1);
	else if (send_on(s, s->k, s->at))
		return false;
	for (uint32_t k = 0; k < s->n; k++) {
		if (!is_left(s, k))
			continue;
		s->left[k / 64] &= ~(UINT64_C(1) << (k % 64));
		if (!s->plain)
			submit_alone(s, k, s->addr + k);
		else if (!send_on(s, k, s->addr + k))
			continue;
		return false;
	}
	return true;
}

/* --- requests -------------------------------------------------------------------- */

static void read_some(struct pager *p, struct pager_req *req)
{
	uint64_t left = req->page + req->n - req->at, word = object_get(p->object, req->at);
	size_t off = (size_t)(req->at - req->page) << SWAP_BLOCK_SHIFT;
	uint32_t max = left < SWAP_IO_BLOCKS_MAX ? (uint32_t)left : SWAP_IO_BLOCKS_MAX;

	if (word & SWB_VALID) {
		start(p, req, word & DRUM_ADDR_MASK,
		      1 + object_run(p->object, req->at, max - 1), false);
		return;
	}
	if (word & SWB_WRITING) {
		/* it will hold something, and that is not zeros */
		failed(req, -EBUSY);
	} else {
		memset((char *)req->buf + off, 0, SWAP_BLOCK);
		req->residual--;
	}
	req->at++;
}

/* => pages from req->at on that may be written to any new block */
static uint32_t writable(const struct pager *p, const struct pager_req *req, uint32_t max)
{
	uint32_t n = 0;

	while (n < max) {
		uint64_t flags = object_get(p->object, req->at + n) & SWB_FLAGS;

		if (flags != 0 && flags != SWB_VALID)
			break;
		n++;
	}
	return n;
}

/* Take up to n new blocks for pages from req->at on. => how many there are */
static uint32_t take_new(struct pager *p, struct pager_req *req, uint32_t n, drum_addr *addr)
{
	uint64_t got;
	uint32_t k;

	*addr = drum_alloc(p->drum, object_share(p->object), n, &got);
	if (*addr == DRUM_NONE)
		return 0;
	for (k = 0; k < got; k++)
		if (object_get(p->object, req->at + k) == 0 &&
		    object_set(p->object, req->at + k, (*addr + k) | SWB_WRITING) < 0)
			break;
	if (k < got)
		drum_free(p->drum, object_share(p->object), *addr + k, got - k);
	return k;
}

/* => false: there is no block, but what is in flight will free some */
static bool write_some(struct pager *p, struct pager_req *req)
{
	uint64_t left = req->page + req->n - req->at, page[SWAP_IO_BLOCKS_MAX];
	uint32_t max = left < SWAP_IO_BLOCKS_MAX ? (uint32_t)left : SWAP_IO_BLOCKS_MAX;
	uint32_t n = 0;
	drum_addr addr;

	do
		page[n] = req->at + n;
	while (++n < max);
	n = object_take_reserved(p->object, page, n, &addr);
	if (n > 0) {
		start(p, req, addr, n, false);
		return true;
	}
	n = writable(p, req, max);
	if (n == 0) {
		failed(req, -EBUSY);
		req->at++;
		return true;
	}
	n = take_new(p, req, n, &addr);
	if (n > 0) {
		start(p, req, addr, n, true);
		return true;
	}
	if (p->busy > 0)
		return false;
	/* there would not be one for the rest either */
	failed(req, -ENOSPC);
	req->at = req->page + req->n;
	return true;
}

/* Begin I/Os of what is left of req. => false: more when one has ended */
static bool fill(struct pager *p, struct pager_req *req)
{
	while (req->at != req->page + req->n) {
		if (req->cmd == PAGER_FREE) {
			object_free_range(p->object, p->drum, req->page, req->n);
			req->at += req->n;
			req->residual = 0;
		} else if (!p->free) {
			return false;
		} else if (req->cmd == PAGER_READ) {
			read_some(p, req);
		} else if (!write_some(p, req)) {
			return false;
		}
	}
	return true;
}

static bool overlap(const struct pager_req *a, const struct pager_req *b)
{
	if (a->cmd == PAGER_READ && b->cmd == PAGER_READ)
		return false;
	return a->page < b->page ? b->page - a->page < a->n : a->page - b->page < b->n;
}

/* The first of the queue, if it need not wait, is begun. => it, or NULL */
static struct pager_req *begin(struct pager *p)
{
	struct pager_req *req = p->wait;

	if (!req)
		return NULL;
	for (const struct pager_req *b = p->begun; b; b = b->next)
		if (overlap(req, b))
			return NULL;
	p->wait = req->next;
	if (!p->wait)
		p->tail = &p->wait;
	req->next = p->begun;
	p->begun = req;
	return req;
}

static void finish(struct pager *p, struct pager_req *req)
{
	struct pager_req **link = &p->begun;

	while (*link != req)
		link = &(*link)->next;
	*link = req->next;
	assert((req->err != 0) == (req->residual != 0));
	req->done(req, req->err, req->residual);
}

static void pump(struct pager *p)
{
	struct pager_req *req;

	if (p->pumping)
		return;
	p->pumping = true;
	while ((req = p->filling ? p->begun : begin(p)) != NULL) {
		p->filling = !fill(p, req);
		if (p->filling)
			break;
		if (req->pending == 0)
			finish(p, req);
	}
	p->pumping = false;
}

static void on_io(struct swap_io *io, int err)
{
	struct pager_io *s = (struct pager_io *)((char *)io - offsetof(struct pager_io, io));
	struct pager *p = s->pager;
	struct pager_req *req = s->req;

	/* whatever is done about it, nothing is on its way any more */
	if (s->intent)
		object_intent_end(p->object, (unsigned int)(s - p->slot));
	if (req->cmd == PAGER_WRITE) {
		if (!step_write(s, err))
			return;
	} else if (err) {
		failed(req, err);
	} else {
		req->residual -= s->n;
	}
	s->next_free = p->free;
	p->free = s;
	p->busy--;
	if (--req->pending == 0 && !(p->filling && p->begun == req))
		finish(p, req);
	pump(p);
}

void pager_strategy(struct pager *p, struct pager_req *req)
{
	uint64_t pages = object_pages(p->object);

	req->next = NULL;
	req->at = req->page;
	req->residual = req->n;
	req->pending = 0;
	req->err = 0;
	if (req->n > 0 && (req->page >= pages || req->n > pages - req->page)) {
		/* in its turn, as all others */
		req->err = -EINVAL;
		req->at = req->page + req->n;
	}
	*p->tail = req;
	p->tail = &req->next;
	pump(p);
}
