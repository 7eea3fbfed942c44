/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * The daemon is started with the pager, before any disk is there, and lives as long; workers
 * find it in h->paging.  If it cannot be, all goes on without a cache.
 *
 * In the run directory:
 *
 *	swapcache	struct swapcache: knobs, and what was used up of a burst
 *	cache-KEY	of each disk, what of its image is cached: words, as of a guest.  KEY is
 *			that of its fence, which is drawn when a disk is added: so a file
 *			never comes to be another image's
 *
 * A word that stays while its block comes to be somebody else's would be fatal: the block's
 * checksum is that of its new content, so the next pager would take it for what the image
 * holds.  Hence every cache-KEY that there is at the start is opened, before the drum is, and
 * claimed with all others (host_cache_claim), whether its disk is there or not:
 *
 *	its disk is there, and nobody can have changed the image: it is used
 *	the image may have been changed (anew): its words are dropped, and it is used
 *	no disk, or one that is missing, or that does without: its words are dropped at once,
 *		it is retired when it was claimed, and the file goes when nothing is on its
 *		way to one of its blocks any more (over)
 *	it cannot be opened: the file goes
 *
 * Words are dropped before MSG_READY, with which the keeper forgets that an image was anew.
 *
 * What a dead pager had on its way to an image may be carried out after what we read there.  Of
 * a file the fence says when that is over; until then, and of a server for as long as that may
 * be, nothing is put.
 */

#include "vmm/host_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "swap/cacheobj.h"
#include "swap/swapcached.h"
#include "vmm/host_disk.h"
#include "vmm/image_swapcache.h"

#define POLICY_FILE "swapcache"
#define PREFIX	    "cache-"
#define NAME_SIZE   (sizeof(PREFIX) + 16)

struct cache_file {
	struct cache_file *next;
	uint64_t key;
	struct cacheobj *obj; /* one reference */
	bool used;	      /* a disk has it; else it is to be retired */
	bool watched;	      /* the daemon has it too, and removes the file in the end */
};

/* What the daemon's thread needs of one that is over. */
struct leaving {
	int dir_fd;
	uint64_t key;
};

static void file_name(char name[NAME_SIZE], uint64_t key)
{
	snprintf(name, NAME_SIZE, PREFIX "%016" PRIx64, key);
}

static void remove_file(int dir_fd, uint64_t key)
{
	char name[NAME_SIZE];

	file_name(name, key);
	unlinkat(dir_fd, name, 0);
}

/* --- the daemon ------------------------------------------------------------------------ */

/* => NULL and e; *found: it was there before */
static struct swapcache *map_policy(int dir_fd, bool *found, struct err *e)
{
	int fd = openat(dir_fd, POLICY_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct stat st = { 0 };
	void *at = MAP_FAILED;

	/* allocated now: a store to a tmpfs that is full would be SIGBUS */
	if (fd >= 0 && fstat(fd, &st) == 0 &&
	    (errno = posix_fallocate(fd, 0, sizeof(struct swapcache))) == 0)
		at = mmap(NULL, sizeof(struct swapcache), PROT_READ | PROT_WRITE, MAP_SHARED,
			  fd, 0);
	*found = st.st_size > 0;
	if (at == MAP_FAILED) {
		err_set(e, -errno, "cannot use " POLICY_FILE " in the run directory: %s",
			strerror(errno));
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	close(fd);
	return at;
}

void host_cache_init(struct host *h)
{
	struct swapcached_options o = { .drum = h->drum, .state_dir = h->opt.state_fd };
	struct err e = { 0 };
	bool found;

	o.policy = map_policy(h->opt.dir_fd, &found, &e);
	h->cache.policy = o.policy ? o.policy : &h->cache.own;
	if (!swapcache_is_sane(h->cache.policy)) {
		if (o.policy && found)
			log_warn(POLICY_FILE " in the run directory is of another version, or "
					     "damaged: all knobs have their defaults");
		swapcache_init(h->cache.policy);
	}
	if (o.policy)
		h->paging.swapcached = swapcached_start(&o, &e);
	if (!h->paging.swapcached)
		log_err("there is no swapcache: %s", e.text);
}

void host_cache_quiesce(struct host *h)
{
	if (h->paging.swapcached)
		swapcached_quiesce(h->paging.swapcached);
	host_cache_look(h);
}

void host_cache_resume(struct host *h)
{
	if (h->paging.swapcached)
		swapcached_resume(h->paging.swapcached);
	host_cache_look(h);
}

/* --- files ----------------------------------------------------------------------------- */

/* On the daemon's thread. */
static void over(void *arg, struct cacheobj *c)
{
	struct leaving *l = arg;

	(void)c;
	remove_file(l->dir_fd, l->key);
	free(l);
}

static int watch(struct host *h, struct cache_file *f)
{
	struct leaving *l = h->paging.swapcached ? malloc(sizeof(*l)) : NULL;
	int ret = -ENOMEM;

	if (l) {
		*l = (struct leaving){ h->opt.dir_fd, f->key };
		ret = swapcached_add(h->paging.swapcached, f->obj, over, l);
	}
	f->watched = ret == 0;
	if (ret < 0)
		free(l);
	return ret;
}

/* blocks: 0: as the file has it. => NULL and e; no file is left then */
static struct cache_file *open_file(struct host *h, uint64_t key, const char *name,
				    uint64_t blocks, bool again, struct err *e)
{
	struct cache_file *f = calloc(1, sizeof(*f));
	char file[NAME_SIZE];
	int fd;

	file_name(file, key);
	fd = openat(h->opt.dir_fd, file, O_RDWR | O_CREAT | O_CLOEXEC | (again ? 0 : O_TRUNC),
		    0600);
	if (!f)
		err_set(e, -ENOMEM, "out of memory");
	else if (fd < 0)
		err_set(e, -errno, "cannot open %s in the run directory: %s", file,
			strerror(errno));
	else
		f->obj = cacheobj_open(fd, name, blocks, h->drum, e);
	if (f && f->obj) {
		f->key = key;
		f->next = h->cache.files;
		h->cache.files = f;
		return f;
	}
	if (!f && fd >= 0)
		close(fd);
	free(f);
	remove_file(h->opt.dir_fd, key);
	return NULL;
}

/* Nobody has it. */
static void let_go(struct host *h, struct cache_file *f)
{
	struct cache_file **at = &h->cache.files;

	f->used = false;
	/* what is late is the drum's only when it was claimed */
	if (h->closed)
		return;
	cacheobj_retire(f->obj);
	if (!f->watched)
		return; /* its blocks are nobody else's for as long as we are there */
	swapcached_wake(h->paging.swapcached);
	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	cacheobj_unref(f->obj);
	free(f);
}

static bool is_open(const struct host *h, uint64_t key)
{
	const struct cache_file *f = h->cache.files;

	while (f && f->key != key)
		f = f->next;
	return f;
}

static bool parse_name(const char *name, uint64_t *key)
{
	char again[NAME_SIZE];

	if (sscanf(name, PREFIX "%16" SCNx64, key) != 1)
		return false;
	file_name(again, *key);
	return strcmp(name, again) == 0;
}

static DIR *open_dir(const struct host *h)
{
	int fd = openat(h->opt.dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d && fd >= 0)
		close(fd);
	if (!d)
		log_err("cannot read the run directory: %s", strerror(errno));
	return d;
}

static bool is_empty(const struct host *h, const char *name)
{
	struct stat st;

	return fstatat(h->opt.dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size == 0;
}

void host_cache_sweep(struct host *h)
{
	DIR *d = open_dir(h);
	struct dirent *de;

	while (d && (de = readdir(d))) {
		struct cache_file *f;
		struct err e = { 0 };
		uint64_t key;

		if (!parse_name(de->d_name, &key) || is_open(h, key))
			continue;
		/* whoever has made it has died before anything was there */
		if (is_empty(h, de->d_name)) {
			remove_file(h->opt.dir_fd, key);
			continue;
		}
		f = open_file(h, key, de->d_name, 0, true, &e);
		if (!f) {
			log_warn("%s in the run directory is removed: %s", de->d_name, e.text);
			continue;
		}
		cacheobj_drop_all(f->obj);
		(void)!watch(h, f);
	}
	if (d)
		closedir(d);
}

void host_cache_claim(struct host *h)
{
	struct cache_file *f, *next;
	uint64_t n = 0;

	for (f = h->cache.files; f; f = f->next)
		n += cacheobj_claim(f->obj);
	if (n > 0)
		log_info("swapcache: %" PRIu64 " KiB of disk images are still cached", n << 2);
	for (f = h->cache.files; f; f = next) {
		next = f->next;
		if (!f->used)
			let_go(h, f);
	}
}

void host_cache_forget(struct host *h)
{
	DIR *d = open_dir(h);
	struct dirent *de;
	uint64_t key;

	while (d && (de = readdir(d)))
		if (parse_name(de->d_name, &key))
			remove_file(h->opt.dir_fd, key);
	if (d)
		closedir(d);
	unlinkat(h->opt.dir_fd, POLICY_FILE, 0);
}

/* --- disks ----------------------------------------------------------------------------- */

/* May something of a dead pager still be on its way to the image? */
static bool may_be_late(const struct host_disk *hd)
{
	return host_disk_is_nbd(hd->set.image) || !hd->d.fenced;
}

void host_cache_disk_begin(struct host_disk *hd, bool again)
{
	uint64_t blocks = image_bytes(hd->d.image) >> SWAP_BLOCK_SHIFT;
	struct host *h = hd->host;
	struct cache_file *f;
	struct err e = { 0 };
	int ret = -ENOMEM;

	/* what there is of it is left for host_cache_sweep */
	if (!h->paging.swapcached || blocks == 0 || hd->set.fence == 0 ||
	    hd->d.image->info.block_size > SWAP_BLOCK)
		return;
	f = open_file(h, hd->set.fence, hd->set.name, blocks, again, &e);
	if (f && again && hd->anew)
		cacheobj_drop_all(f->obj);
	if (f && again && may_be_late(hd))
		cacheobj_hold_puts(f->obj, clock_ns() + DRUM_HOLD_NS);
	if (f)
		ret = watch(h, f);
	if (ret == 0)
		ret = image_swapcache_on(hd->d.image, f->obj, h->paging.swapcached,
					 h->cache.policy,
					 (enum swapcache_mode)hd->set.swapcache);
	if (f && !h->closed)
		(void)!cacheobj_claim(f->obj);
	if (ret == 0) {
		f->used = true;
		hd->cache = f;
		return;
	}
	log_warn("disk %s: nothing of it is cached: %s", hd->set.name,
		 e.code ? e.text : strerror(-ret));
	if (f) {
		cacheobj_drop_all(f->obj);
		let_go(h, f);
	}
}

void host_cache_disk_end(struct host_disk *hd)
{
	if (!hd->cache)
		return;
	cacheobj_drop_all(hd->cache->obj);
	let_go(hd->host, hd->cache);
	hd->cache = NULL;
}

void host_cache_disk_drop(const struct host_disk *hd)
{
	if (hd->cache)
		cacheobj_drop_all(hd->cache->obj);
}

void host_cache_disk_set_mode(const struct host_disk *hd)
{
	enum swapcache_mode mode = (enum swapcache_mode)hd->set.swapcache;

	if (!hd->cache)
		return;
	image_swapcache_set_mode(hd->d.image, mode);
	if (mode == SWAPCACHE_OFF)
		cacheobj_drop_all(hd->cache->obj);
}

void host_cache_disk_stats(const struct host_disk *hd, struct disk_stats *out)
{
	struct image_swapcache_counts i;
	struct cacheobj_counts c;

	snprintf(out->swapcache, sizeof(out->swapcache), "%s",
		 swapcache_mode_name((enum swapcache_mode)hd->set.swapcache));
	if (!hd->cache)
		return;
	image_swapcache_get_counts(hd->d.image, &i);
	cacheobj_get_counts(hd->cache->obj, &c);
	out->cached = c.cached << SWAP_BLOCK_SHIFT;
	out->cache_read_bytes = i.read_bytes;
	out->cache_hit_bytes = i.hit_bytes;
}

/* --- knobs and figures ----------------------------------------------------------------- */

int host_swapcache_set(struct host *h, uint32_t what, const uint64_t value[SWAPCACHE_KNOBS],
		       struct err *e)
{
	int ret = 0;

	if (what >> SWAPCACHE_KNOBS)
		return err_set(e, -EINVAL, "the swapcache has no such knob");
	for (unsigned int k = 0; k < SWAPCACHE_KNOBS && ret == 0; k++)
		if (what >> k & 1)
			ret = swapcache_knob_check((enum swapcache_knob)k, value[k], e);
	for (unsigned int k = 0; k < SWAPCACHE_KNOBS && ret == 0; k++)
		if (what >> k & 1)
			ret = swapcache_set(h->cache.policy, (enum swapcache_knob)k, value[k],
					    e);
	if (ret == 0 && what && h->paging.swapcached)
		swapcached_wake(h->paging.swapcached);
	host_cache_look(h);
	return ret;
}

void host_cache_configure(struct host *h, const struct proto_msg *m, struct err *e)
{
	struct swapcache *sc = h->cache.policy;

	if (sc->conf == m->u.swapcache.conf)
		return;
	(void)!host_swapcache_set(h, m->u.swapcache.given, m->u.swapcache.knob, e);
	/* last: who dies before has it done once more */
	__atomic_store_n(&sc->conf, m->u.swapcache.conf, __ATOMIC_RELEASE);
}

int host_cache_set_budget(struct host *h, unsigned int number, uint64_t per_day, struct err *e)
{
	if (!h->paging.swapcached)
		return err_set(e, -EOPNOTSUPP,
			       "endurance is what the swapcache obeys, and it did not start: "
			       "see the log");
	swapcached_set_budget(h->paging.swapcached, number, per_day);
	return 0;
}

static void add_disk(struct swapcache_stats *out, const struct host_disk *hd)
{
	struct image_swapcache_counts i;
	struct cacheobj_counts c;

	image_swapcache_get_counts(hd->d.image, &i);
	cacheobj_get_counts(hd->cache->obj, &c);
	out->cached += c.cached << SWAP_BLOCK_SHIFT;
	out->read_bytes += i.read_bytes;
	out->hit_bytes += i.hit_bytes;
	out->reads += i.reads;
	out->saved_reads += i.saved_reads;
	out->put += c.put << SWAP_BLOCK_SHIFT;
	out->cleaned += c.cleaned << SWAP_BLOCK_SHIFT;
	out->invalidated += c.dropped_by_change << SWAP_BLOCK_SHIFT;
	out->read_errors += c.failed_reads;
	out->checksum_errors += c.checksum_errors;
}

static const char *state_of(const struct host *h, const struct swapcached_stats *s)
{
	const struct swapcache *sc = h->cache.policy;

	if (!h->paging.swapcached || h->stopping || h->stopped)
		return "stopped";
	/* with neither nothing is put, and what there is may still be read */
	if (!swapcache_get(sc, SWAPCACHE_DATA_ENABLE) &&
	    !swapcache_get(sc, SWAPCACHE_META_ENABLE))
		return "off";
	return swapcache_state_name(s->state);
}

void host_cache_look(struct host *h)
{
	struct swapcached_stats s = { .state = h->cache.policy->state,
				      .burst = h->cache.policy->burst };
	struct host_event event = { .name = "SWAPCACHE_STATE" };
	const char *was = h->cache.state_told;

	if (h->paging.swapcached)
		swapcached_get_stats(h->paging.swapcached, &s);
	h->cache.state_told = state_of(h, &s);
	/* names are constants; the first is nothing new to anybody */
	if (!was || strcmp(was, h->cache.state_told) == 0)
		return;
	event.field[0] =
		(struct host_event_field){ .key = "state", .text = h->cache.state_told };
	event.field[1] = (struct host_event_field){ .key = "burst",
						    .text = swapcache_burst_name(s.burst) };
	host_tell(h, &event);
}

void host_swapcache_stats(struct host *h, struct swapcache_stats *out)
{
	struct swapcached_stats s = { .state = h->cache.policy->state,
				      .burst = h->cache.policy->burst };

	*out = (struct swapcache_stats){ 0 };
	if (h->paging.swapcached)
		swapcached_get_stats(h->paging.swapcached, &s);
	snprintf(out->state, sizeof(out->state), "%s", state_of(h, &s));
	snprintf(out->burst, sizeof(out->burst), "%s", swapcache_burst_name(s.burst));
	for (unsigned int k = 0; k < SWAPCACHE_KNOBS; k++)
		out->knob[k] = swapcache_get(h->cache.policy, (enum swapcache_knob)k);
	out->swap_max = s.swap_max << SWAP_BLOCK_SHIFT;
	out->used = s.use << SWAP_BLOCK_SHIFT;
	out->write_errors = s.write_errors;
	out->passes = s.passes;
	for (const struct host_disk *hd = h->disks; hd; hd = hd->next)
		if (hd->cache)
			add_disk(out, hd);
}

size_t host_wear_stats(struct host *h, struct wear_stats *out, size_t max)
{
	struct swapcached_wear w[DRUM_DEVICES_MAX];
	size_t n = 0, all = 0;

	if (h->paging.swapcached)
		all = swapcached_get_wear(h->paging.swapcached, w, DRUM_DEVICES_MAX);
	for (size_t i = 0; i < all; i++) {
		const struct host_swap *s = &h->swap[w[i].number];

		/* it may have been switched off since the daemon has looked */
		if (!s->used || s->missing)
			continue;
		if (n++ >= max)
			continue;
		out[n - 1] = (struct wear_stats){
			.endurance = w[i].budget,
			.written_1d = w[i].written[0],
			.written_7d = w[i].written[1],
			.written_28d = w[i].written[2],
			.left = w[i].left,
			.tightest = w[i].tightest,
		};
		snprintf(out[n - 1].path, sizeof(out[n - 1].path), "%s", s->part[0].path);
	}
	return n;
}
