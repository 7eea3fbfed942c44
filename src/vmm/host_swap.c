/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * Swap devices, as the control thread sees them.  To switch one on is a plan:
 * its parts (two for a mirror) are opened one after the other, files and block
 * devices by the keeper, whose answer finds the plan by its number; then the
 * device is built of them and given to the drum.  A plan holds its paths from
 * the beginning, so nobody switches the same on twice (uvm_swap.c has a fake
 * entry for that).
 *
 * The file swap-devices in the run directory holds what is on, with the
 * device numbers that guests' addresses hold.  It is written before the first
 * block of a device can be allocated, and replaced as a whole.  Beside it lie
 * the checksums (swap-N.sums) and the content of ram: devices (swap-N.ram).
 *
 * At start the devices of an earlier pager are opened again.  One that cannot
 * be stays in the list as missing, with its number: guests whose pages are there
 * wait, others need not.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "base/clock.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/meminfo.h"
#include "base/point.h"
#include "base/size.h"
#include "swap/device_mirror.h"
#include "swap/device_nbd.h"
#include "swap/device_ram.h"
#include "swap/discard.h"
#include "swap/sums.h"
#include "vmm/host_priv.h"

/* Swblocks for so many times the host's RAM. */
#define ZONE_FACTOR 4u

enum plan_kind { PLAN_ON, PLAN_MIRROR };

/* Something that needs the keeper first. */
struct swap_plan {
	struct swap_plan *next;
	enum plan_kind kind;
	struct request *request;
	unsigned int number; /* MIRROR: of the device */
	struct host_swap swap;
	bool force;
	bool again; /* at start */
	bool has_endurance;
	uint64_t endurance; /* bytes a day */
	struct swap_device *opened[2];
	unsigned int at; /* the part that is being opened */
	char note[ERR_TEXT_MAX];
};

/* --- parts --- */

static bool is_nbd(const char *path)
{
	return strncmp(path, "nbd:", 4) == 0;
}

static bool is_ram(const char *path)
{
	return strncmp(path, "ram:", 4) == 0;
}

static void free_parts(struct host_swap *s)
{
	for (unsigned int i = 0; i < s->nparts; i++)
		free(s->part[i].path);
	*s = (struct host_swap){ 0 };
}

static void close_part(struct host *h, const struct swap_part *part)
{
	struct proto_msg m = { .type = MSG_SWAP_CLOSE };

	if (!part->keeper)
		return;
	m.u.swap.dev = part->dev;
	m.u.swap.ino = part->ino;
	(void)!host_ask_keeper(h, &m);
}

static int check_path(const char *path, struct err *e)
{
	if (strlen(path) > SWAP_PATH_MAX || strchr(path, '\n'))
		return err_set(e, -EINVAL, "that path is too long, or has a line break in it");
	if (path[0] != '/' && !is_nbd(path) && !is_ram(path))
		return err_set(e, -EINVAL,
			       "'%s' is neither an absolute path nor ram:SIZE nor nbd:URI",
			       path);
	return 0;
}

/* Is a part of this name on, or about to be? */
static bool is_taken(const struct host *h, const char *path)
{
	for (unsigned int n = 1; n <= DRUM_DEVICES_MAX; n++)
		for (unsigned int i = 0; h->swap[n].used && i < h->swap[n].nparts; i++)
			if (!h->swap[n].missing && h->swap[n].part[i].there &&
			    strcmp(h->swap[n].part[i].path, path) == 0)
				return true;
	for (const struct swap_plan *p = h->plans; p; p = p->next)
		for (unsigned int i = 0; i < p->swap.nparts; i++)
			if (strcmp(p->swap.part[i].path, path) == 0)
				return true;
	return false;
}

/* => its number, or 0 */
unsigned int host_swap_find(const struct host *h, const char *path)
{
	for (unsigned int n = 1; n <= DRUM_DEVICES_MAX; n++)
		for (unsigned int i = 0; h->swap[n].used && i < h->swap[n].nparts; i++)
			if (!h->swap[n].missing && strcmp(h->swap[n].part[i].path, path) == 0)
				return n;
	return 0;
}

/* Write down what is on, what is missing, and what is about to be on. */
static int save_swap(struct host *h, const struct host_swap *add, unsigned int number)
{
	struct swapset_entry set[2 * DRUM_DEVICES_MAX];
	size_t count = 0;

	for (unsigned int n = 1; n <= DRUM_DEVICES_MAX; n++) {
		const struct host_swap *s = n == number && add ? add : &h->swap[n];

		for (unsigned int i = 0; (s == add || s->used) && i < s->nparts; i++)
			set[count++] = (struct swapset_entry){
				.number = n,
				.half = i,
				.flags = s->flags,
				.priority = s->priority,
				.max_inflight = s->max_inflight,
				.max_bandwidth = s->max_bandwidth,
				.dev = s->part[i].dev,
				.ino = s->part[i].ino,
				.bytes = s->part[i].bytes,
				.path = s->part[i].path,
			};
	}
	return swapset_save(h->opt.dir_fd, set, count);
}

void host_swap_save(struct host *h)
{
	int ret = save_swap(h, NULL, 0);

	if (ret < 0)
		log_err("cannot write " SWAPSET_FILE " in the run directory: %s",
			strerror(-ret));
}

/* --- files of a device in the run directory --- */

static void file_name(char name[32], unsigned int number, const char *what)
{
	snprintf(name, 32, "swap-%u.%s", number, what);
}

static int open_file(struct host *h, unsigned int number, const char *what, bool again, int *fd)
{
	char name[32];

	file_name(name, number, what);
	if (!again)
		unlinkat(h->opt.dir_fd, name, 0);
	*fd = openat(h->opt.dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	return *fd < 0 ? -errno : 0;
}

static void remove_files(struct host *h, unsigned int number)
{
	char name[32];

	file_name(name, number, "sums");
	unlinkat(h->opt.dir_fd, name, 0);
	file_name(name, number, "ram");
	unlinkat(h->opt.dir_fd, name, 0);
}

static struct sums *open_sums(struct host *h, unsigned int number, uint64_t blocks, bool again,
			      struct err *e)
{
	int fd, ret = open_file(h, number, "sums", again, &fd);
	struct err why = { 0 };
	struct sums *s;

	if (ret < 0) {
		err_set(e, ret, "cannot open swap-%u.sums in the run directory: %s", number,
			strerror(-ret));
		return NULL;
	}
	s = sums_open(fd, blocks, &why);
	if (!s)
		err_set(e, why.code, "swap-%u.sums in the run directory: %s", number, why.text);
	return s;
}

/* ram:SIZE needs a file that is memory. */
static struct swap_device *open_ram(struct host *h, const struct swap_part *part,
				    unsigned int number, bool again, struct err *e)
{
	struct swap_device *dev;
	struct statfs fs;
	uint64_t bytes;
	int fd, ret;

	if (size_parse(part->path + 4, &bytes) < 0) {
		err_set(e, -EINVAL, "'%s' is not a size: write ram:512M or ram:2G",
			part->path + 4);
		return NULL;
	}
	if (fstatfs(h->opt.dir_fd, &fs) < 0 ||
	    (fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC)) {
		err_set(e, -EINVAL,
			"%s needs the run directory on a tmpfs, and it is not: choose another "
			"one (run-dir in drum.conf)",
			part->path);
		return NULL;
	}
	ret = open_file(h, number, "ram", again, &fd);
	if (ret < 0) {
		err_set(e, ret, "cannot open swap-%u.ram in the run directory: %s", number,
			strerror(-ret));
		return NULL;
	}
	dev = device_ram_create(part->path, fd, bytes, e);
	if (!dev && !again)
		remove_files(h, number);
	return dev;
}

/* --- building a device --- */

/* The parts that are there, made one device, in the order of halves. */
static struct swap_device *assemble(struct host *h, struct swap_plan *p, unsigned int number,
				    struct err *e)
{
	bool mirror = p->swap.flags & SWAPSET_MIRROR;
	struct swap_device *first = p->opened[0] ? p->opened[0] : p->opened[1], *dev;
	uint64_t blocks = first->blocks;
	struct sums *sums = NULL;

	if (mirror && p->opened[0] && p->opened[1] && p->opened[1]->blocks < blocks)
		blocks = p->opened[1]->blocks;
	if (mirror || !(p->swap.flags & SWAPSET_NO_CHECKSUMS || is_ram(first->path))) {
		sums = open_sums(h, number, blocks, p->again, e);
		if (!sums)
			return NULL;
	}
	if (!mirror) {
		first->sums = sums;
		p->opened[0] = NULL;
		return first;
	}
	dev = device_mirror_create(p->swap.part[0].path, p->opened, sums, &h->listener, e);
	p->opened[0] = p->opened[1] = NULL; /* the mirror's, or closed */
	return dev;
}

static unsigned int free_number(const struct host *h)
{
	unsigned int n = 1;

	while (n <= DRUM_DEVICES_MAX && h->swap[n].used)
		n++;
	return n;
}

/* Was this switched on before, and is missing? Then its number is the old one. */
static unsigned int number_of(const struct host *h, const struct host_swap *s)
{
	for (unsigned int n = 1; n <= DRUM_DEVICES_MAX; n++)
		if (h->swap[n].used && h->swap[n].missing &&
		    h->swap[n].part[0].dev == s->part[0].dev &&
		    h->swap[n].part[0].ino == s->part[0].ino)
			return n;
	return free_number(h);
}

/* All parts are open: to the drum with it. */
static int put_into_use(struct host *h, struct swap_plan *p, unsigned int number, struct err *e)
{
	struct swap_device *dev = assemble(h, p, number, e);
	uint64_t blocks;
	int ret;

	if (!dev)
		return e->code;
	if (p->swap.flags & SWAPSET_DISCARD && !p->again && !dev->ops->discard) {
		host_swap_cannot_discard(dev, e);
		device_close(dev);
		return e->code;
	}
	dev->listener = &h->listener;
	queue_set(&dev->queue, p->swap.max_inflight, p->swap.max_bandwidth);
	ret = p->again ? 0 : save_swap(h, &p->swap, number);
	if (ret < 0) {
		device_close(dev);
		return err_set(e, ret, "cannot write " SWAPSET_FILE " in the run directory: %s",
			       strerror(-ret));
	}
	point_crash("swap-saved");
	blocks = dev->blocks;
	/* which closes dev if it fails */
	ret = drum_add(h->drum, dev, p->swap.priority, number);
	if (ret < 0) {
		host_swap_save(h); /* without it */
		return err_set(e, ret, "cannot switch on %s: %s", p->swap.part[0].path,
			       ret == -EBUSY ? "it is a swap device already" : strerror(-ret));
	}
	free_parts(&h->swap[number]);
	h->swap[number] = p->swap;
	h->swap[number].used = true;
	p->swap = (struct host_swap){ 0 };
	if (h->swap[number].flags & SWAPSET_DISCARD && host_swap_discard(h, number, e) < 0) {
		log_warn("%s: %s", dev->path, e->text);
		*e = (struct err){ 0 };
	}
	if (p->has_endurance && host_cache_set_budget(h, number, p->endurance, e) < 0) {
		log_warn("%s: %s", dev->path, e->text);
		*e = (struct err){ 0 };
	}
	log_info("swap: %s on, %llu MiB, priority %d", dev->path,
		 (unsigned long long)blocks >> 8, h->swap[number].priority);
	return 0;
}

/* later: from the loop, not before the call that began it has returned */
static void end_plan(struct host *h, struct swap_plan *p, bool later, struct err *e)
{
	struct swap_plan **at = &h->plans;

	while (*at && *at != p)
		at = &(*at)->next;
	if (*at)
		*at = p->next;
	if (e->code) {
		for (int i = 0; i < 2; i++)
			device_close(p->opened[i]);
		/* of one that is missing the keeper may go on to hold what it has */
		for (unsigned int i = 0; i < p->swap.nparts && !p->again; i++)
			if (p->swap.part[i].there)
				close_part(h, &p->swap.part[i]);
	} else if (p->note[0]) {
		err_set(e, 0, "%s", p->note);
	}
	free_parts(&p->swap);
	if (later) {
		host_refuse(h, p->request->done, p->request->ctx, e);
		p->request->done = NULL;
	}
	host_end_request(h, p->request, e);
	free(p);
}

static void replace_half(struct host *h, struct swap_plan *p, struct err *e)
{
	struct swap_device *mirror = drum_device(h->drum, p->number), *old;
	struct host_swap *s = &h->swap[p->number];
	struct mirror_half_stats stayed;
	unsigned int k;
	int ret;

	if (!s->used || !(s->flags & SWAPSET_MIRROR)) {
		err_set(e, -ENOENT, "it was switched off meanwhile");
		return;
	}
	if (s->retired) {
		err_set(e, -EBUSY, "the last one that was replaced is still busy: try again");
		return;
	}
	ret = device_mirror_replace(mirror, p->opened[0], p->force, &old, e);
	if (ret < 0)
		return;
	/* the part that is not the half which stayed */
	device_mirror_half(mirror, 1 - (unsigned int)ret, &stayed);
	k = stayed.path && strcmp(stayed.path, s->part[0].path) == 0;
	p->opened[0] = NULL;
	s->retired = old;
	if (s->part[k].there)
		close_part(h, &s->part[k]);
	free(s->part[k].path);
	s->part[k] = p->swap.part[0];
	p->swap.nparts = 0;
	host_swap_save(h);
	log_info("swap: %s takes the place of the lost half of %s", s->part[k].path,
		 mirror->path);
}

static bool is_part_of(const struct swap_plan *p, const struct swap_part *part)
{
	for (unsigned int i = 0; i < p->swap.nparts; i++)
		if (p->swap.part[i].dev == part->dev && p->swap.part[i].ino == part->ino)
			return true;
	return false;
}

static bool is_retired(const struct swap_plan *p, const struct swap_device *retired)
{
	for (unsigned int i = 0; retired && i < p->swap.nparts; i++)
		if (device_is(retired, p->swap.part[i].dev, p->swap.part[i].ino))
			return true;
	return false;
}

/* Does it still hold, or will it still get, what must not be mixed with new pages? */
static int check_fresh(const struct host *h, const struct swap_plan *p, struct err *e)
{
	/* guests that wait for what is there could not be told from those that
	 * come now: all of its blocks would be free */
	bool needed = h->closed || h->waiting > 0;

	for (unsigned int n = 1; n <= DRUM_DEVICES_MAX; n++) {
		const struct host_swap *s = &h->swap[n];

		for (unsigned int i = 0; s->used && s->missing && needed && i < s->nparts; i++)
			if (is_part_of(p, &s->part[i]))
				return err_set(e, -EBUSY,
					       "%s was missing when drumd started, and a guest "
					       "waits for what is there: restart drumd, which "
					       "takes it over as it is",
					       s->part[i].path);
		if (s->used && is_retired(p, s->retired))
			return err_set(e, -EBUSY,
				       "%s was half of a mirror and is still busy: try again",
				       s->retired->path);
	}
	return 0;
}

/* Every part is there, or will not be. */
static void carry_out(struct host *h, struct swap_plan *p, bool later)
{
	struct err e = { 0 };

	if (p->kind == PLAN_MIRROR) {
		if (check_fresh(h, p, &e) == 0)
			replace_half(h, p, &e);
	} else {
		unsigned int number = number_of(h, &p->swap);

		if (number > DRUM_DEVICES_MAX)
			err_set(&e, -ENOSPC, "%d swap devices are on, that is the most",
				DRUM_DEVICES_MAX);
		else if ((check_fresh(h, p, &e) < 0 || put_into_use(h, p, number, &e) < 0) &&
			 !h->swap[number].used)
			remove_files(h, number);
	}
	end_plan(h, p, later, &e);
}

static int ask_to_open(struct host *h, const struct swap_plan *p, struct err *e)
{
	const struct swap_part *part = &p->swap.part[p->at];
	struct proto_msg m = { .type = MSG_SWAP_OPEN, .seq = p->request ? p->request->seq : 0 };
	int ret;

	m.u.swap.force = p->force;
	m.u.swap.again = p->again;
	m.u.swap.dev = part->dev;
	m.u.swap.ino = part->ino;
	m.bytes = p->again ? part->bytes : 0;
	snprintf(m.u.swap.path, sizeof(m.u.swap.path), "%s", part->path);
	ret = host_ask_keeper(h, &m);
	return ret < 0 ? err_set(e, -EPIPE, "the keeper does not answer: %s", strerror(-ret))
		       : 0;
}

static void take_own(struct swap_plan *p, struct swap_device *dev)
{
	struct swap_part *part = &p->swap.part[p->at];

	part->dev = dev->dev;
	part->ino = dev->ino;
	part->bytes = dev->blocks << SWAP_BLOCK_SHIFT;
	part->there = true;
	p->opened[p->at++] = dev;
}

/* A part that needs neither keeper nor waiting. => 0 or e */
static int open_own(struct host *h, struct swap_plan *p, struct err *e)
{
	struct swap_part *part = &p->swap.part[p->at];
	struct swap_device *dev;
	unsigned int number = p->again ? p->number : free_number(h);

	if (number > DRUM_DEVICES_MAX)
		return err_set(e, -ENOSPC, "%d swap devices are on, that is the most",
			       DRUM_DEVICES_MAX);
	if (is_ram(part->path))
		dev = open_ram(h, part, number, p->again, e);
	else
		dev = device_nbd_reopen(part->path, part->bytes >> SWAP_BLOCK_SHIFT,
					&h->listener, e);
	if (!dev)
		return e->code;
	take_own(p, dev);
	return 0;
}

/* A connection that is being made, on a thread of its own: it may take long. */
struct connecting {
	struct host *host;
	uint32_t seq; /* of the plan */
	char *path;
	struct swap_device *dev;
	struct err err;
};

static void *connect_to_server(void *arg)
{
	struct connecting *c = arg;
	struct report *r = host_new_report(c->host, REPORT_CONNECTED);

	c->dev = device_nbd_create(c->path, &c->host->listener, &c->err);
	r->ctx = c;
	host_post_report(c->host, r);
	return NULL;
}

static int start_connecting(struct host *h, const struct swap_plan *p, struct err *e)
{
	struct connecting *c = calloc(1, sizeof(*c));
	pthread_t thread;
	int ret = ENOMEM;

	if (c) {
		*c = (struct connecting){ .host = h,
					  .seq = p->request->seq,
					  .path = strdup(p->swap.part[p->at].path) };
		if (c->path)
			ret = pthread_create(&thread, NULL, connect_to_server, c);
	}
	if (ret == 0) {
		pthread_detach(thread);
		return 0;
	}
	if (c)
		free(c->path);
	free(c);
	return err_set(e, -ret, "cannot start a thread: %s", strerror(ret));
}

/* Open the next part. => 1: an answer will come, 0: all are open, or e */
static int go_on(struct host *h, struct swap_plan *p, struct err *e)
{
	while (p->at < p->swap.nparts) {
		const char *path = p->swap.part[p->at].path;
		int ret = is_ram(path)	 ? open_own(h, p, e)
			  : is_nbd(path) ? start_connecting(h, p, e)
					 : ask_to_open(h, p, e);

		if (ret < 0)
			return ret;
		if (!is_ram(path))
			return 1;
	}
	return 0;
}

/* What the keeper has opened: a device of its own, or half of one. */
static int take_part(struct swap_plan *p, const struct proto_msg *m, int fd, struct err *e)
{
	struct swap_part *part = &p->swap.part[p->at];

	if (m->err.code) {
		*e = m->err;
		return m->err.code;
	}
	if (m->err.text[0])
		snprintf(p->note + strlen(p->note), sizeof(p->note) - strlen(p->note), "%s%s",
			 p->note[0] ? "; " : "", m->err.text);
	if (p->again && (m->u.swap.dev != part->dev || m->u.swap.ino != part->ino)) {
		close(fd);
		return err_set(e, -ENXIO, "%s is not what it was when it was switched on",
			       part->path);
	}
	part->dev = m->u.swap.dev;
	part->ino = m->u.swap.ino;
	part->bytes = m->bytes;
	part->keeper = part->there = true;
	p->opened[p->at] = device_file_create(m->u.swap.kind, part->path, fd, part->dev,
					      part->ino, m->bytes, m->u.swap.skip);
	if (!p->opened[p->at])
		return err_set(e, -errno, "cannot use %s: %s", part->path, strerror(errno));
	p->at++;
	return 0;
}

static struct swap_plan *find_plan(struct host *h, uint32_t seq)
{
	struct swap_plan *p = h->plans;

	while (p && (!p->request || p->request->seq != seq))
		p = p->next;
	return p;
}

/* One more part is there, or not: ret and e say so. */
static void next_part(struct host *h, struct swap_plan *p, int ret, struct err *e)
{
	if (ret == 0)
		ret = go_on(h, p, e);
	if (ret < 0)
		end_plan(h, p, false, e);
	else if (ret == 0)
		carry_out(h, p, false);
}

void host_swap_opened(struct host *h, const struct proto_msg *m, int fd)
{
	struct swap_plan *p = find_plan(h, m->seq);
	struct err e = { 0 };

	if (p)
		next_part(h, p, take_part(p, m, fd, &e), &e);
	else if (fd >= 0)
		close(fd);
}

void host_swap_connected(struct host *h, void *ctx)
{
	struct connecting *c = ctx;
	struct swap_plan *p = find_plan(h, c->seq);

	if (!p) {
		device_close(c->dev);
	} else {
		if (c->dev)
			take_own(p, c->dev);
		next_part(h, p, c->dev ? 0 : c->err.code, &c->err);
	}
	free(c->path);
	free(c);
}

/* --- on --- */

static struct swap_plan *new_plan(struct host *h, enum plan_kind kind, host_done_fn done,
				  void *ctx)
{
	struct swap_plan *p = calloc(1, sizeof(*p));

	/* a few hundred bytes, seldom */
	if (!p)
		BROKEN("out of memory");
	p->kind = kind;
	p->request = host_new_request(h, done, ctx);
	p->next = h->plans;
	h->plans = p;
	return p;
}

static void add_part(struct swap_plan *p, const char *path)
{
	struct swap_part *part = &p->swap.part[p->swap.nparts++];

	*part = (struct swap_part){ .path = strdup(path) };
	if (!part->path)
		BROKEN("out of memory");
}

static void begin(struct host *h, struct swap_plan *p)
{
	struct err e = { 0 };
	int ret = go_on(h, p, &e);

	if (ret < 0)
		end_plan(h, p, true, &e);
	else if (ret == 0)
		carry_out(h, p, true);
}

void host_swap_on(struct host *h, const struct swap_on *on, host_done_fn done, void *ctx)
{
	const char *const path[2] = { on->path, on->mirror };
	struct swap_plan *p;
	struct err e = { 0 };
	int ret = 0;

	for (int i = 0; i < 2 && ret == 0 && path[i]; i++) {
		ret = check_path(path[i], &e);
		if (ret == 0 && is_taken(h, path[i]))
			ret = err_set(&e, -EBUSY, "%s is a swap device already", path[i]);
	}
	if (ret == 0 && on->mirror && strcmp(on->path, on->mirror) == 0)
		ret = err_set(&e, -EINVAL, "%s cannot be the mirror of itself", on->path);
	if (ret == 0 && on->mirror && (is_ram(on->path) || is_ram(on->mirror)))
		ret = err_set(&e, -EINVAL, "a ram: device cannot be mirrored");
	if (ret == 0 && on->mirror && on->no_checksums)
		ret = err_set(&e, -EINVAL, "a mirror cannot do without checksums");
	if (ret < 0) {
		host_refuse(h, done, ctx, &e);
		return;
	}
	p = new_plan(h, PLAN_ON, done, ctx);
	p->force = on->force;
	p->swap.priority = on->priority;
	p->swap.max_inflight = on->max_inflight;
	p->swap.max_bandwidth = on->max_bandwidth;
	p->has_endurance = on->has_endurance;
	p->endurance = on->endurance;
	p->swap.flags = (on->mirror ? SWAPSET_MIRROR : 0) |
			(on->discard ? SWAPSET_DISCARD : 0) |
			(on->no_checksums ? SWAPSET_NO_CHECKSUMS : 0);
	add_part(p, on->path);
	if (on->mirror)
		add_part(p, on->mirror);
	begin(h, p);
}

void host_swap_add(struct host *h, const struct proto_msg *m, host_done_fn done, void *ctx)
{
	host_swap_on(h,
		     &(struct swap_on){
			     .path = m->u.swap_add.path,
			     .mirror = m->u.swap_add.mirror[0] ? m->u.swap_add.mirror : NULL,
			     .priority = m->u.swap_add.priority,
			     .discard = m->u.swap_add.discard,
			     .no_checksums = m->u.swap_add.no_checksums,
			     .max_inflight = m->u.swap_add.max_inflight,
			     .max_bandwidth = m->u.swap_add.max_bandwidth,
			     .has_endurance = m->u.swap_add.has_endurance,
			     .endurance = m->u.swap_add.endurance,
		     },
		     done, ctx);
}

void host_swap_unknown(struct host *h, const char *path, host_done_fn done, void *ctx)
{
	struct err e = { 0 };

	err_set(&e, -ENOENT, "%s is not a swap device (drumctl swap list shows them)", path);
	host_refuse(h, done, ctx, &e);
}

void host_swap_mirror(struct host *h, const char *path, const char *fresh, bool force,
		      host_done_fn done, void *ctx)
{
	unsigned int number = host_swap_find(h, path);
	struct swap_plan *p;
	struct err e = { 0 };
	int ret;

	if (number == 0) {
		host_swap_unknown(h, path, done, ctx);
		return;
	}
	ret = check_path(fresh, &e);
	if (ret == 0 && !(h->swap[number].flags & SWAPSET_MIRROR))
		ret = err_set(&e, -EINVAL, "%s is not a mirror", path);
	if (ret == 0 && (is_ram(fresh) || is_taken(h, fresh)))
		ret = err_set(&e, -EBUSY, "%s cannot be half of a mirror: it is %s", fresh,
			      is_ram(fresh) ? "memory" : "in use as swap already");
	if (ret < 0) {
		host_refuse(h, done, ctx, &e);
		return;
	}
	p = new_plan(h, PLAN_MIRROR, done, ctx);
	p->number = number;
	p->force = force;
	add_part(p, fresh);
	begin(h, p);
}

/* => false: it still has I/O in flight */
bool host_swap_close_retired(struct host_swap *s)
{
	struct swap_device *old = s->retired;

	if (old && __atomic_load_n(&old->count.inflight, __ATOMIC_ACQUIRE) > 0)
		return false;
	device_close(old);
	s->retired = NULL;
	return true;
}

void host_swap_gone(struct host *h, unsigned int number)
{
	for (unsigned int i = 0; i < h->swap[number].nparts; i++)
		close_part(h, &h->swap[number].part[i]);
	free_parts(&h->swap[number]);
	host_swap_save(h);
	remove_files(h, number);
}

/* --- start and stop --- */

/* Ask for a device and wait: at start, when nothing else is under way. */
static int reopen_part(struct host *h, struct swap_plan *p, struct err *e)
{
	const char *path = p->swap.part[p->at].path;
	struct proto_msg m;
	int fds[IPC_FDS_MAX], nfds, ret;

	if (is_nbd(path) || is_ram(path))
		return open_own(h, p, e);
	ret = ask_to_open(h, p, e);
	if (ret < 0)
		return ret;
	if (ipc_recv(h->opt.keeper, &m, sizeof(m), fds, &nfds) != (ssize_t)sizeof(m) ||
	    m.type != MSG_SWAP_OPENED)
		return err_set(e, -EPIPE, "the keeper does not answer");
	return take_part(p, &m, fds[0], e);
}

/* => -EPIPE: the keeper is gone; else 0, and the device is on or missing */
static int reopen(struct host *h, unsigned int number, struct err *e)
{
	struct swap_plan p = { .kind = PLAN_ON, .number = number, .again = true };
	struct err why = { 0 };
	bool any = false;

	p.swap = h->swap[number];
	/* the entry keeps its paths until the plan has become it */
	for (unsigned int i = 0; i < p.swap.nparts; i++) {
		p.swap.part[i].path = strdup(p.swap.part[i].path);
		if (!p.swap.part[i].path)
			return err_set(e, -ENOMEM, "out of memory");
	}
	for (unsigned int i = 0; i < p.swap.nparts; i++) {
		struct err part = { 0 };

		p.at = i;
		if (reopen_part(h, &p, &part) == 0) {
			any = true;
			continue;
		}
		if (part.code == -EPIPE) {
			*e = part;
			free_parts(&p.swap);
			return -EPIPE;
		}
		log_err("swap device %u: %s", number, part.text);
		why = part;
	}
	if (any)
		why = (struct err){ 0 };
	if (any && put_into_use(h, &p, number, &why) == 0) {
		h->swap[number].missing = false;
		return 0;
	}
	/* guests whose pages are on it will wait; the others need not */
	log_err("swap device %u is missing: %s", number, why.text);
	device_close(p.opened[0]);
	device_close(p.opened[1]);
	free_parts(&p.swap);
	return 0;
}

static int reopen_all(struct host *h, struct err *e)
{
	struct swapset_entry set[2 * DRUM_DEVICES_MAX];
	int n = swapset_read(h->opt.dir_fd, set, 2 * DRUM_DEVICES_MAX), ret = 0;

	if (n < 0)
		return err_set(e, n, "cannot read " SWAPSET_FILE " in the run directory: %s",
			       strerror(-n));
	for (int i = 0; i < n; i++) {
		const struct swapset_entry *was = &set[i];
		struct host_swap *s = &h->swap[was->number];

		if (was->number < 1 || was->number > DRUM_DEVICES_MAX || s->nparts != was->half)
			return err_set(e, -EINVAL,
				       SWAPSET_FILE " in the run directory cannot be");
		s->used = s->missing = true;
		s->flags = was->flags;
		s->priority = was->priority;
		s->max_inflight = was->max_inflight;
		s->max_bandwidth = was->max_bandwidth;
		s->part[s->nparts++] = (struct swap_part){
			.path = was->path, .dev = was->dev, .ino = was->ino, .bytes = was->bytes
		};
	}
	for (unsigned int i = 1; i <= DRUM_DEVICES_MAX && ret == 0; i++)
		if (h->swap[i].used)
			ret = reopen(h, i, e);
	return ret;
}

/* Has somebody asked for a swblock and got none? Told once, until there are some. */
static void look_at_zone(struct host *h)
{
	struct swblock_zone *z = &h->paging.zone;
	uint64_t refused = __atomic_load_n(&z->refused, __ATOMIC_RELAXED);
	uint64_t used = __atomic_load_n(&z->used, __ATOMIC_RELAXED);

	if (!h->zone_full && refused != h->zone_refused) {
		h->zone_full = true;
		host_tell_swblocks(h, true);
	} else if (h->zone_full && used < z->max - z->max / 8) {
		h->zone_full = false;
		host_tell_swblocks(h, false);
	}
	h->zone_refused = refused;
}

/* Once a second. */
static void tend(void *arg)
{
	struct host *h = arg;

	look_at_zone(h);
	drum_release_held(h->drum, clock_ns());
	for (unsigned int n = 1; n <= DRUM_DEVICES_MAX; n++) {
		struct swap_device *dev = drum_device(h->drum, n);

		if (dev && device_is_ram(dev))
			device_ram_tend(dev);
		host_swap_close_retired(&h->swap[n]);
	}
}

int host_swap_init(struct host *h, struct err *e)
{
	int ret;

	h->paging = (struct paging){
		.cluster = 64,
		.depth = 8,
		.total_writes = 64,
		.reads = PAGING_READS_MAX,
		.give_up = 30 * NSEC_PER_SEC,
		.stall_after = 20 * NSEC_PER_SEC,
		.sample = 64,
	};
	ret = swblock_zone_init(&h->paging.zone,
				(uint64_t)sysconf(_SC_PHYS_PAGES) * ZONE_FACTOR / SWBLOCK_PAGES,
				meminfo_fits);
	if (ret < 0)
		return err_set(e, ret, "out of memory");
	h->listener = (struct swap_listener){ host_tell_device, h };
	h->tender = loop_every(h->opt.loop, 1000, tend, h);
	if (!h->tender)
		return err_set(e, -errno, "no timer: %s", strerror(errno));
	ret = reopen_all(h, e);
	drum_on_level(h->drum, host_tell_level, h);
	return ret;
}

void host_swap_claimed(struct host *h)
{
	for (unsigned int n = 1; n <= DRUM_DEVICES_MAX; n++)
		if (h->swap[n].used && !h->swap[n].missing &&
		    device_is_ram(drum_device(h->drum, n)))
			device_ram_claims_done(drum_device(h->drum, n));
}

void host_swap_forget(struct host *h)
{
	/* those that wait for a device need to know which */
	for (unsigned int n = 1; n <= DRUM_DEVICES_MAX; n++)
		if (h->swap[n].used && h->swap[n].missing)
			return;
	for (unsigned int n = 1; n <= DRUM_DEVICES_MAX; n++)
		remove_files(h, n);
	unlinkat(h->opt.dir_fd, SWAPSET_FILE, 0);
}
