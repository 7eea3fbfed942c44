/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * Disks, as the control thread sees them.  To add one the keeper is asked, who opens the image,
 * unless that is on a server (then a thread of its own connects to it), and listens.  The
 * file `disks` in the run directory says which there are; it is written before anybody
 * can be connected.  disk.h has who does what afterwards, host_front.c does our part of it.
 *
 * The next pager asks for each again, and gets what the keeper has of it.  An image that cannot
 * be used any more is missing: the disk is listed, serves nobody, and can be removed.  Its
 * front end, if one was connected, is not told: it waits, as a guest without its swap
 * does, and goes on when a later pager finds the image.
 *
 * A device number belongs to each disk whose pages are mapped, from the first time it is
 * added until it is removed: addresses hold it.
 */

#include "vmm/host_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/memlock.h"
#include "vmm/blk.h"
#include "vmm/disk_state.h"
#include "vmm/guest.h"
#include "vmm/image_swap.h"

static struct host_disk *find(const struct host *h, const char *name)
{
	struct host_disk *hd = h->disks;

	while (hd && strcmp(hd->set.name, name) != 0)
		hd = hd->next;
	return hd;
}

static struct host_disk *find_by_request(const struct host *h, uint32_t seq)
{
	struct host_disk *hd = h->disks;

	while (hd && !(hd->opening && hd->request && hd->request->seq == seq))
		hd = hd->next;
	return hd;
}

struct host_disk *host_disk_new(struct host *h)
{
	struct host_disk *hd = calloc(1, sizeof(*hd)), **at = &h->disks;

	if (!hd)
		BROKEN("out of memory");
	/* the worker writes there with faults pending */
	memlock_touch(hd, sizeof(*hd));
	hd->host = h;
	hd->listener = hd->d.keep = hd->d.image_fd = hd->server = -1;
	memset(hd->d.fd, -1, sizeof(hd->d.fd));
	while (*at)
		at = &(*at)->next;
	*at = hd;
	return hd;
}

static void free_disk(struct host_disk *hd)
{
	struct host_disk **at = &hd->host->disks;

	while (*at != hd)
		at = &(*at)->next;
	*at = hd->next;
	if (hd->listen_watch)
		loop_remove(hd->listen_watch);
	if (hd->listener >= 0)
		close(hd->listener);
	if (hd->server >= 0)
		close(hd->server);
	blk_destroy(hd->d.blk);
	disk_state_close(hd->d.state);
	/* no worker has had it, or it is off */
	if (hd->d.image && image_swap_off(hd->host->drum, &hd->d) < 0)
		BROKEN("a disk goes, and pages live in its image");
	image_close(hd->d.image);
	host_cache_disk_end(hd);
	/* its thread sends there */
	if (hd->d.keep >= 0)
		close(hd->d.keep);
	free(hd);
}

static int save(struct host *h)
{
	const struct diskset_entry *set[DISKS_MAX];
	size_t n = 0;

	for (const struct host_disk *hd = h->disks; hd; hd = hd->next)
		if (!hd->opening && n < DISKS_MAX)
			set[n++] = &hd->set;
	return diskset_save(h->opt.dir_fd, set, n);
}

static void cannot_save(int ret, struct err *e)
{
	err_set(e, ret, "cannot write " DISKSET_FILE " in the run directory: %s",
		strerror(-ret));
}

static void tell_keeper_closed(struct host *h, const char *name)
{
	struct proto_msg m = { .type = MSG_DISK_CLOSE };

	snprintf(m.u.disk.name, sizeof(m.u.disk.name), "%s", name);
	(void)!host_ask_keeper(h, &m); /* one that is gone holds nothing */
}

/* --- add -------------------------------------------------------------------------------- */

/* Can pages live there?  An image whose blocks are larger is served as any other. */
static void look_if_mapped(struct host_disk *hd)
{
	if (hd->d.image->info.block_size <= PAGE_SIZE && image_bytes(hd->d.image) >= PAGE_SIZE)
		return;
	hd->set.map = false;
	hd->set.number = 0;
}

static bool line_ok(const char *text, size_t max)
{
	return strlen(text) <= max && !strchr(text, '\n');
}

static bool serial_ok(const char *serial)
{
	for (const char *c = serial; *c; c++)
		if (*c < ' ' || *c > '~')
			return false;
	return serial[0] && strlen(serial) <= DISK_SERIAL_MAX;
}

static bool swapcache_ok(int mode, struct err *e)
{
	if (mode >= 0 && mode < SWAPCACHE_MODES)
		return true;
	err_set(e, -EINVAL, "there is no swapcache mode %d: it is " SWAPCACHE_MODE_ALLOWED,
		mode);
	return false;
}

static int check_add(struct host *h, const struct disk_add *add, struct err *e)
{
	unsigned int n = 0;

	for (const struct host_disk *hd = h->disks; hd; hd = hd->next)
		n++;
	if (!host_name_ok(add->name) || (add->guest && !host_name_ok(add->guest)))
		return err_set(e, -EINVAL,
			       "'%s' is no name for a %s: it is 1 to %d characters of "
			       "A-Z a-z 0-9 _ . - and does not begin with a dot",
			       host_name_ok(add->name) ? add->guest : add->name,
			       host_name_ok(add->name) ? "guest" : "disk", GUEST_NAME_MAX);
	if ((add->image[0] != '/' && !host_disk_is_nbd(add->image)) ||
	    !line_ok(add->image, SWAP_PATH_MAX))
		return err_set(e, -EINVAL,
			       "'%.200s' is neither an absolute path nor nbd:URI, or too long",
			       add->image);
	if (add->socket && (add->socket[0] != '/' || !line_ok(add->socket, SWAP_PATH_MAX)))
		return err_set(e, -EINVAL, "the socket '%.200s' is not an absolute path",
			       add->socket);
	if (add->serial && !serial_ok(add->serial))
		return err_set(
			e, -EINVAL,
			"'%.200s' is no serial number: it is 1 to %d characters of ASCII",
			add->serial, DISK_SERIAL_MAX);
	if (add->cache < IMAGE_CACHE_NONE || add->cache > IMAGE_CACHE_UNSAFE)
		return err_set(e, -EINVAL, "there is no cache mode %d", add->cache);
	if (!swapcache_ok(add->swapcache, e))
		return e->code;
	if (add->queues > VHOST_QUEUES_MAX)
		return err_set(e, -EINVAL, "%u queues are more than %u", add->queues,
			       VHOST_QUEUES_MAX);
	if (find(h, add->name))
		return err_set(e, -EEXIST, "a disk is named '%s' already", add->name);
	if (n >= DISKS_MAX)
		return err_set(e, -ENOSPC, "there are %d disks, that is the most", DISKS_MAX);
	if (h->stopping)
		return err_set(e, -EBUSY, "the daemon is stopping");
	return 0;
}

static unsigned int free_number(const struct host *h)
{
	unsigned int n = HOST_DISK_NUMBER_FIRST;

	for (const struct host_disk *hd = h->disks; hd;)
		if (hd->set.number == n) {
			n++;
			hd = h->disks;
		} else {
			hd = hd->next;
		}
	return n;
}

static void fill(struct host_disk *hd, const struct disk_add *add)
{
	struct diskset_entry *s = &hd->set;

	snprintf(s->name, sizeof(s->name), "%s", add->name);
	snprintf(s->serial, sizeof(s->serial), "%s", add->serial ? add->serial : add->name);
	snprintf(s->guest, sizeof(s->guest), "%s", add->guest ? add->guest : add->name);
	snprintf(s->image, sizeof(s->image), "%s", add->image);
	snprintf(s->socket, sizeof(s->socket), "%s", add->socket ? add->socket : "");
	s->cache = (unsigned int)add->cache;
	s->read_only = add->read_only;
	s->map = !add->no_map;
	s->swapcache = (unsigned int)add->swapcache;
	s->queues = add->queues ? add->queues : VHOST_QUEUES_MAX;
	s->number = s->map ? free_number(hd->host) : 0;
	if (getrandom(&s->fence, sizeof(s->fence), 0) != (ssize_t)sizeof(s->fence))
		BROKEN("no random numbers");
}

/* It is there from now on, or (e->code) never was; e->text may be a warning. */
static void end_add(struct host_disk *hd, struct err *e)
{
	struct host *h = hd->host;
	struct request *r = hd->request;
	int ret;

	hd->request = NULL;
	if (e->code == 0) {
		const struct image_info *info = &hd->d.image->info;

		hd->set.bytes = image_bytes(hd->d.image);
		hd->set.block_size = info->block_size;
		hd->set.can_discard = info->can_discard;
		hd->set.can_zero = info->can_zero;
		hd->opening = false;
		ret = save(h);
		if (ret < 0)
			cannot_save(ret, e);
	}
	if (e->code == 0) {
		log_info("disk %s: %s, %llu MiB, at %s", hd->set.name, hd->set.image,
			 (unsigned long long)hd->set.bytes >> 20, hd->set.socket);
		host_front_begin(hd);
	} else {
		if (hd->d.keep >= 0)
			tell_keeper_closed(h, hd->set.name);
		if (hd->d.keep >= 0)
			host_disk_unlink(hd);
		free_disk(hd);
	}
	host_end_request(h, r, e);
}

/* A connection that is being made, or a server that is asked, on a thread of its own. */
struct asking {
	struct host *host;
	struct host_disk *disk; /* stays, as it has a request */
	struct image *image;	/* NULL: to be opened */
	bool grown;
	struct err err;
};

static void image_opened(struct host *h, void *ctx, const struct err *unused)
{
	struct asking *a = ctx;
	struct host_disk *hd = a->disk;

	(void)h;
	(void)unused;
	hd->d.image = a->image;
	if (a->err.code == 0) {
		look_if_mapped(hd);
		(void)!host_disk_make_whole(hd, false, &a->err);
	}
	end_add(hd, &a->err);
	free(a);
}

static void *open_nbd(void *arg)
{
	struct asking *a = arg;
	struct report *r = host_new_report(a->host, REPORT_DISK);

	a->image = host_disk_open_server(a->disk, NULL, &a->err);
	r->disk = image_opened;
	r->ctx = a;
	host_post_report(a->host, r);
	return NULL;
}

static int ask_server(struct host_disk *hd, void *(*fn)(void *), struct err *e)
{
	struct asking *a = calloc(1, sizeof(*a));
	pthread_t thread;
	int ret;

	if (!a)
		return err_set(e, -ENOMEM, "out of memory");
	*a = (struct asking){ .host = hd->host, .disk = hd, .image = hd->d.image };
	ret = pthread_create(&thread, NULL, fn, a);
	if (ret == 0) {
		pthread_detach(thread);
		return 0;
	}
	free(a);
	return err_set(e, -ret, "cannot start a thread: %s", strerror(ret));
}

void host_disk_opened(struct host *h, const struct proto_msg *m, const int *fds, int nfds)
{
	struct host_disk *hd = find_by_request(h, m->seq);
	struct err e = m->err;

	if (e.code == 0 && (!hd || nfds < 2)) {
		for (int i = 0; i < nfds; i++)
			close(fds[i]);
		err_set(&e, -EPROTO, "the keeper's answer makes no sense");
	}
	if (!hd)
		return;
	if (e.code == 0) {
		struct err why = { 0 };

		host_disk_unlink(hd);
		if (host_disk_take_opened(hd, m, fds, nfds, &why) == 0) {
			if (host_disk_is_nbd(hd->set.image) &&
			    ask_server(hd, open_nbd, &why) == 0)
				return;
			if (!host_disk_is_nbd(hd->set.image)) {
				look_if_mapped(hd);
				(void)!host_disk_make_whole(hd, false, &why);
			}
		}
		if (why.code)
			e = why;
	}
	end_add(hd, &e);
}

void host_disk_add(struct host *h, const struct disk_add *add, host_done_fn done, void *ctx)
{
	struct host_disk *hd;
	struct proto_msg m;
	struct err e = { 0 };
	int ret = check_add(h, add, &e);

	if (ret < 0) {
		host_refuse(h, done, ctx, &e);
		return;
	}
	hd = host_disk_new(h);
	fill(hd, add);
	hd->opening = true;
	hd->request = host_new_request(h, done, ctx);
	host_disk_ask_keeper(hd, false, &m);
	ret = host_ask_keeper(h, &m);
	if (ret == 0)
		return;
	hd->request->done = NULL;
	err_set(&e, ret, "the keeper does not answer: %s", strerror(-ret));
	end_add(hd, &e);
	host_refuse(h, done, ctx, &e);
}

static const char *given(const char *text)
{
	return text[0] ? text : NULL;
}

void host_disk_add_from(struct host *h, const struct proto_msg *m, host_done_fn done, void *ctx)
{
	struct err e = { 0 };

	/* it may still be there from before */
	if (find(h, m->u.disk.name)) {
		host_refuse(h, done, ctx, &e);
		return;
	}
	host_disk_add(h,
		      &(struct disk_add){
			      .name = m->u.disk.name,
			      .image = m->u.disk.image,
			      .socket = given(m->u.disk.socket),
			      .serial = given(m->u.disk.serial),
			      .guest = given(m->u.disk.guest),
			      .cache = m->u.disk.cache,
			      .read_only = m->u.disk.read_only,
			      .no_map = m->u.disk.no_map,
			      .swapcache = m->u.disk.swapcache,
			      .queues = m->u.disk.queues,
		      },
		      done, ctx);
}

/* --- remove, resize --------------------------------------------------------------------- */

static void unknown(const char *name, struct err *e)
{
	err_set(e, -ENOENT, "no disk is named '%s' (drumctl disk list shows them)", name);
}

/* => the disk, or NULL and e */
static struct host_disk *find_or_say(struct host *h, const char *name, struct err *e)
{
	struct host_disk *hd = find(h, name);

	if (!hd || hd->opening) {
		unknown(name, e);
		return NULL;
	}
	if (hd->request)
		err_set(e, -EBUSY, "disk %s is just being resized", name);
	return hd;
}

void host_disk_remove(struct host *h, const char *name, host_done_fn done, void *ctx)
{
	struct err e = { 0 }, why = { 0 };
	struct host_disk *hd = find_or_say(h, name, &e);
	int ret;

	if (hd && e.code == 0) {
		host_front_drop(hd);
		if (hd->front != FRONT_NONE || hd->posted)
			err_set(&e, -EBUSY,
				"disk %s is in use by process %d: shut its guest down, or "
				"unplug the disk there first",
				name, (int)hd->pid);
	}
	/* its front end went while no pager ran: nobody has had them moved yet */
	if (e.code == 0 && hd->d.image && image_swap_off(h->drum, &hd->d) < 0) {
		drum_set_image_off(h->drum, hd->d.number, true);
		err_set(&e, -EBUSY,
			"%llu KiB of a guest's memory are in the image of disk %s alone: they "
			"are being moved to swap, try again when they are",
			(unsigned long long)drum_image_owners(h->drum, hd->d.number) << 2,
			name);
	}
	if (e.code == 0) {
		hd->opening = true; /* in name only, so that it is not saved */
		ret = save(h);
		hd->opening = ret < 0 ? false : true;
		if (ret < 0)
			cannot_save(ret, &e);
		if (ret < 0 && hd->d.image)
			(void)!host_disk_make_mapped(hd, &why);
	}
	if (e.code == 0) {
		tell_keeper_closed(h, name);
		host_disk_unlink(hd);
		log_info("disk %s removed", name);
		free_disk(hd);
	}
	host_refuse(h, done, ctx, &e);
}

static void guest_told(void *ctx, const struct err *e)
{
	struct host_disk *hd = ctx;
	struct request *r = hd->request;
	struct err ok = { 0 };

	/* whoever connects next is told the new size; who cannot be told asks no more */
	(void)e;
	hd->request = NULL;
	host_end_request(hd->host, r, &ok);
}

/* ret, e: as of image_refresh */
static void refreshed(struct host_disk *hd, int ret, const struct err *why)
{
	struct request *r = hd->request;
	struct command *cmd;
	struct err e = *why;

	/* whoever has changed its size may have changed what is there, too */
	if (ret > 0 || ret == -ERANGE)
		host_cache_disk_drop(hd);
	if (ret == 0)
		err_set(&e, -EINVAL, "%s has not grown: it is %llu bytes", hd->set.image,
			(unsigned long long)hd->set.bytes);
	if (ret <= 0) {
		hd->request = NULL;
		host_end_request(hd->host, r, &e);
		return;
	}
	hd->set.bytes = image_bytes(hd->d.image);
	image_swap_grow(hd->host->drum, &hd->d);
	__atomic_store_n(&hd->d.geometry.sectors, hd->set.bytes >> SECTOR_SHIFT,
			 __ATOMIC_RELEASE);
	log_info("disk %s: %llu MiB now", hd->set.name,
		 (unsigned long long)hd->set.bytes >> 20);
	ret = save(hd->host);
	if (ret < 0)
		log_err("cannot write " DISKSET_FILE " in the run directory: %s",
			strerror(-ret));
	cmd = calloc(1, sizeof(*cmd));
	if (!cmd)
		BROKEN("out of memory");
	*cmd = (struct command){
		.type = CMD_DISK_RESIZE, .disk = &hd->d, .done = guest_told, .ctx = hd
	};
	if (!host_front_post(hd, cmd))
		guest_told(hd, &e);
}

static void server_asked(struct host *h, void *ctx, const struct err *unused)
{
	struct asking *a = ctx;

	(void)h;
	(void)unused;
	refreshed(a->disk, a->err.code ? a->err.code : a->grown, &a->err);
	free(a);
}

static void *refresh_nbd(void *arg)
{
	struct asking *a = arg;
	struct report *r = host_new_report(a->host, REPORT_DISK);

	a->grown = image_refresh(a->image, &a->err) > 0;
	r->disk = server_asked;
	r->ctx = a;
	host_post_report(a->host, r);
	return NULL;
}

/* From the loop, since done must not be called before host_disk_resize has returned. */
static void look_at_file(struct host *h, void *ctx, const struct err *unused)
{
	struct host_disk *hd = ctx;
	struct err e = { 0 };
	int ret = image_refresh(hd->d.image, &e);

	(void)h;
	(void)unused;
	refreshed(hd, ret, &e);
}

void host_disk_resize(struct host *h, const char *name, host_done_fn done, void *ctx)
{
	struct err e = { 0 };
	struct host_disk *hd = find_or_say(h, name, &e);
	struct report *r;

	if (hd && e.code == 0 && !hd->d.image)
		err_set(&e, -ENOENT, "the image of disk %s is missing", name);
	if (e.code) {
		host_refuse(h, done, ctx, &e);
		return;
	}
	hd->request = host_new_request(h, done, ctx);
	if (!host_disk_is_nbd(hd->set.image)) {
		r = host_new_report(h, REPORT_DISK);
		r->disk = look_at_file;
		r->ctx = hd;
		host_post_report(h, r);
	} else if (ask_server(hd, refresh_nbd, &e) < 0) {
		hd->request->done = NULL;
		host_end_request(h, hd->request, &e);
		hd->request = NULL;
		host_refuse(h, done, ctx, &e);
	}
}

/* --- set ------------------------------------------------------------------------------- */

void host_disk_set(struct host *h, const char *name, unsigned int what,
		   const struct disk_add *set, host_done_fn done, void *ctx)
{
	struct host_disk *hd = find(h, name);
	struct err e = { 0 };
	unsigned int was;
	int ret;

	if (!hd || hd->opening) {
		unknown(name, &e);
	} else if (what & DISK_SET_SWAPCACHE && swapcache_ok(set->swapcache, &e)) {
		was = hd->set.swapcache;
		hd->set.swapcache = (unsigned int)set->swapcache;
		ret = save(h);
		if (ret < 0) {
			hd->set.swapcache = was;
			cannot_save(ret, &e);
		} else {
			host_cache_disk_set_mode(hd);
		}
	}
	host_refuse(h, done, ctx, &e);
}

/* --- list ---------------------------------------------------------------------------- */

static uint64_t get(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static const char *state_of(const struct host_disk *hd)
{
	if (!hd->d.image)
		return "missing";
	switch (hd->front) {
	case FRONT_NONE:
		return "idle";
	case FRONT_GIVEN:
		return "connected";
	case FRONT_ACCEPTED:
	case FRONT_ATTACHING:
	case FRONT_WAITING:
		break;
	}
	return hd->d.resumed ? "recovering" : "attaching";
}

static void get_map(const struct host_disk *hd, struct disk_stats *out)
{
	struct blockmap_counts c;

	blockmap_get_counts(hd->guest, hd->d.number, &c);
	out->mapped = c.mapped;
	out->image_pages = c.evicted;
	out->writes_avoided = c.out;
	out->image_reads = c.in;
	out->brought_in = c.brought_in;
}

static void get_stats(const struct host_disk *hd, struct disk_stats *out)
{
	const struct diskset_entry *s = &hd->set;
	const struct disk_counters *c = &hd->d.count;

	*out = (struct disk_stats){
		.pid = hd->front == FRONT_NONE ? 0 : hd->pid,
		.read_only = s->read_only,
		.map = s->map,
		.size = s->bytes,
		.block_size = s->block_size,
		.queues = s->queues,
		.in_flight = (uint32_t)get(&c->in_flight),
		.reads = get(&c->reads),
		.writes = get(&c->writes),
		.flushes = get(&c->flushes),
		.discards = get(&c->discards),
		.zeroes = get(&c->zeroes),
		.read_bytes = get(&c->read_bytes),
		.write_bytes = get(&c->write_bytes),
		.discard_bytes = get(&c->discard_bytes),
		.zeroes_bytes = get(&c->zeroes_bytes),
		.errors = get(&c->errors),
		.resubmitted = get(&c->resubmitted),
		.resets = get(&c->resets),
	};
	snprintf(out->name, sizeof(out->name), "%s", s->name);
	snprintf(out->serial, sizeof(out->serial), "%s", s->serial);
	snprintf(out->image, sizeof(out->image), "%s", s->image);
	snprintf(out->socket, sizeof(out->socket), "%s", s->socket);
	snprintf(out->cache, sizeof(out->cache), "%s",
		 image_cache_name((enum image_cache)s->cache));
	snprintf(out->state, sizeof(out->state), "%s", state_of(hd));
	if (hd->front == FRONT_GIVEN && hd->guest) {
		snprintf(out->guest, sizeof(out->guest), "%s", hd->guest->name);
		/* mapped or not: that needs no records */
		out->reads_avoided = get(&hd->guest->holds.avoided);
	}
	if (hd->front == FRONT_GIVEN && hd->guest && hd->d.number > 0)
		get_map(hd, out);
	host_cache_disk_stats(hd, out);
}

size_t host_disk_stats(struct host *h, struct disk_stats *out, size_t max)
{
	size_t n = 0;

	for (const struct host_disk *hd = h->disks; hd; hd = hd->next) {
		if (hd->opening)
			continue;
		if (n < max)
			get_stats(hd, &out[n]);
		n++;
	}
	return n;
}

/* --- stop ------------------------------------------------------------------------------ */

void host_disk_forget(struct host *h)
{
	for (const struct host_disk *hd = h->disks; hd; hd = hd->next) {
		tell_keeper_closed(h, hd->set.name);
		host_disk_unlink(hd);
	}
	unlinkat(h->opt.dir_fd, DISKSET_FILE, 0);
}
