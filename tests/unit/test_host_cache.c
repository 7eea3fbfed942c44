/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The swapcache's files over deaths of pager and keeper, and its knobs, with a keeper played on
 * a thread (played_keeper.h).  What is cached is put there by hand.
 */
#include "unit/played_keeper.h"

#include <dirent.h>
#include <sys/stat.h>

#include "swap/cacheobj.h"
#include "swap/sums.h"
#include "vmm/image_swapcache.h"

#pragma weak host_disk_set
#pragma weak host_swapcache_stats
#pragma weak host_swapcache_set
#pragma weak host_wear_stats
#pragma weak host_swap_set

#define SWAP_BYTES (16u << 20)

TestSuite(host_cache, .init = set_up, .fini = tear_down, .timeout = 30);

/* Device 1 of the drum, always the same file. */
static void swap_on(void)
{
	int fd = openat(dir_fd, "swap", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int sums = openat(dir_fd, "swap.sums", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct swap_device *dev;
	struct err e = { 0 };
	struct stat st;

	cr_assert_eq(ftruncate(fd, SWAP_BYTES), 0);
	cr_assert_eq(fstat(fd, &st), 0);
	dev = device_file_create("file", "/swap", fd, st.st_dev, st.st_ino, SWAP_BYTES, 0);
	cr_assert_not_null(dev);
	dev->sums = sums_open(sums, dev->blocks, &e);
	cr_assert_not_null(dev->sums, "%s", e.text);
	cr_assert_geq(drum_add(host()->drum, dev, 0, 1), 0);
}

static void wait_until_open(void)
{
	while (host()->closed)
		turn();
}

/* Another pager, in whose drum that device is. */
static void restart(bool keeper_too)
{
	die(keeper_too);
	start();
	swap_on();
	wait_until_open();
}

static struct host_disk *disk(const char *name)
{
	struct host_disk *hd = host()->disks;

	while (strcmp(hd->set.name, name) != 0)
		hd = hd->next;
	return hd;
}

static struct cacheobj *object(const char *name)
{
	return image_swapcache_object(disk(name)->d.image);
}

static void cache(const char *name, uint64_t block, uint32_t n)
{
	struct cacheobj *c = object(name);
	struct cacheobj_put p;
	drum_addr a;
	uint64_t got;

	cr_assert_not_null(c);
	cr_assert_eq(cacheobj_put(c, &p, block, n), n);
	a = drum_alloc_cache(host()->drum, n, UINT64_MAX, &got);
	cr_assert_neq(a, DRUM_NONE);
	cr_assert_eq(got, n);
	cr_assert_eq(cacheobj_put_write(c, &p, n, a), 0);
	cacheobj_put_end(c, &p, 0);
}

static uint64_t cached(const char *name)
{
	return show(name).cached >> SWAP_BLOCK_SHIFT;
}

/* A disk, swap, and four blocks of the one on the other. */
static void begin(void)
{
	swap_on();
	wait_until_open();
	add_one();
	cache("one", 3, 4);
	cr_assert_eq(cached("one"), 4);
	cr_assert_eq(drum_cached(host()->drum), 4);
}

static unsigned int files(void)
{
	DIR *d = opendir(dir);
	struct dirent *de;
	unsigned int n = 0;

	while ((de = readdir(d)))
		n += strncmp(de->d_name, "cache-", 6) == 0;
	closedir(d);
	return n;
}

/* The daemon does that. */
static void wait_for_files(unsigned int n)
{
	while (files() != n)
		turn();
}

/* --- files ----------------------------------------------------------------------------- */

Test(host_cache, the_next_pager_has_what_was_cached)
{
	char name[32];

	begin();
	snprintf(name, sizeof(name), "cache-%016llx",
		 (unsigned long long)disk("one")->set.fence);
	cr_assert_eq(faccessat(dir_fd, name, F_OK, 0), 0);
	restart(false);
	cr_assert_eq(cached("one"), 4);
	cr_assert_eq(drum_cached(host()->drum), 4);
	cr_assert_eq(drum_avail(host()->drum), (SWAP_BYTES >> SWAP_BLOCK_SHIFT) - 4,
		     "nobody gets what is claimed");
	cr_assert(cacheobj_has(object("one"), 6));
	cr_assert_not(cacheobj_has(object("one"), 7));
	cr_assert_eq(files(), 1);
}

Test(host_cache, an_image_that_nobody_has_held_begins_empty)
{
	begin();
	restart(true);
	cr_assert_eq(cached("one"), 0);
	cr_assert_eq(drum_cached(host()->drum), 0);
	cr_assert_eq(drum_avail(host()->drum), SWAP_BYTES >> SWAP_BLOCK_SHIFT);
	cr_assert_eq(files(), 1);
	cr_assert_not_null(object("one"));
}

/* It has not come so far as to open the drum, or to claim anything. */
Test(host_cache, that_is_not_forgotten_by_who_dies_early)
{
	begin();
	keeper.holds_back = true;
	die(true);
	start();
	/* the keeper has heard that this one serves, and holds the image */
	cr_assert_eq(host_disk_stats(host(), NULL, 0), 1);
	keeper.holds_back = false;
	restart(false);
	cr_assert_eq(cached("one"), 0);
}

Test(host_cache, removed_with_its_disk)
{
	begin();
	cr_assert_eq(files(), 1);
	cr_assert_eq(remove_disk("one"), 0);
	wait_for_files(0);
	cr_assert_eq(drum_cached(host()->drum), 0);
	cr_assert_eq(drum_avail(host()->drum), SWAP_BYTES >> SWAP_BLOCK_SHIFT);
}

Test(host_cache, removed_before_anything_is_claimed)
{
	struct proto_msg all = { .type = MSG_ADOPTED_ALL };

	begin();
	keeper.holds_back = true;
	die(false);
	start();
	swap_on();
	cr_assert_eq(remove_disk("one"), 0);
	cr_assert_eq(files(), 1, "what may be late there is to be claimed first");
	answer(&all, NULL, 0);
	wait_until_open();
	wait_for_files(0);
	cr_assert_eq(drum_avail(host()->drum), SWAP_BYTES >> SWAP_BLOCK_SHIFT);
}

Test(host_cache, of_a_disk_that_is_missing)
{
	char away[80];

	begin();
	snprintf(away, sizeof(away), "%s.away", image);
	cr_assert_eq(rename(image, away), 0);
	restart(true);
	cr_assert_str_eq(show("one").state, "missing");
	cr_assert_eq(cached("one"), 0);
	wait_for_files(0);
	cr_assert_eq(drum_avail(host()->drum), SWAP_BYTES >> SWAP_BLOCK_SHIFT);
	cr_assert_eq(rename(away, image), 0);
	restart(true);
	cr_assert_str_eq(show("one").state, "idle");
	cr_assert_eq(files(), 1);
	cr_assert_eq(cached("one"), 0);
}

/* The keeper has the image, so it is not anew for the next pager. */
Test(host_cache, of_a_disk_that_was_anew_and_could_not_be_used)
{
	begin();
	keeper.holds_back = true;
	die(true);
	cr_assert_eq(unlinkat(dir_fd, "disk-one.state", 0), 0);
	cr_assert_eq(mkdirat(dir_fd, "disk-one.state", 0700), 0);
	start();
	cr_assert_str_eq(show("one").state, "missing");
	keeper.holds_back = false;
	die(false);
	cr_assert_eq(unlinkat(dir_fd, "disk-one.state", AT_REMOVEDIR), 0);
	start();
	swap_on();
	wait_until_open();
	cr_assert_str_eq(show("one").state, "idle");
	cr_assert_eq(cached("one"), 0);
}

/* As who dies between the two: when it was struck out, or before it was noted. */
Test(host_cache, of_no_disk)
{
	begin();
	cr_assert_eq(unlinkat(dir_fd, DISKSET_FILE, 0), 0);
	restart(false);
	cr_assert_eq(host_disk_stats(host(), NULL, 0), 0);
	wait_for_files(0);
	cr_assert_eq(drum_avail(host()->drum), SWAP_BYTES >> SWAP_BLOCK_SHIFT);
}

Test(host_cache, what_is_no_file_of_ours)
{
	int fd;

	close(openat(dir_fd, "cache-00000000000000ab", O_CREAT | O_WRONLY, 0600));
	fd = openat(dir_fd, "cache-00000000000000ac", O_CREAT | O_WRONLY, 0600);
	cr_assert_eq(write(fd, "rubbish", 7), 7);
	close(fd);
	close(openat(dir_fd, "cache-AB", O_CREAT | O_WRONLY, 0600));
	restart(false);
	cr_assert_eq(files(), 1, "the last one may be somebody's");
}

Test(host_cache, without_a_daemon_nothing_is_believed_later)
{
	begin();
	/* as if it could not be started: its knobs cannot be mapped */
	cr_assert_eq(unlinkat(dir_fd, "swapcache", 0), 0);
	cr_assert_eq(mkdirat(dir_fd, "swapcache", 0700), 0);
	restart(false);
	cr_assert_null(host()->paging.swapcached);
	cr_assert_eq(cached("one"), 0);
	cr_assert_eq(drum_avail(host()->drum), SWAP_BYTES >> SWAP_BLOCK_SHIFT);
	cr_assert_eq(unlinkat(dir_fd, "swapcache", AT_REMOVEDIR), 0);
	restart(false);
	cr_assert_eq(cached("one"), 0);
	cr_assert_not_null(object("one"));
}

Test(host_cache, a_new_size_drops_all)
{
	begin();
	host_disk_resize(host(), "one", on_done, NULL);
	cr_assert_eq(wait_for_answer(), -EINVAL);
	cr_assert_eq(cached("one"), 4, "it is as it was");
	cr_assert_eq(truncate(image, 3 << 20), 0);
	host_disk_resize(host(), "one", on_done, NULL);
	cr_assert_eq(wait_for_answer(), 0, "%s", result.text);
	cr_assert_eq(cached("one"), 0);
	cache("one", 3, 4);
	cr_assert_eq(truncate(image, 1 << 20), 0);
	host_disk_resize(host(), "one", on_done, NULL);
	cr_assert_eq(wait_for_answer(), -ERANGE);
	cr_assert_eq(cached("one"), 0);
}

static int set_mode(const char *name, int mode)
{
	const struct disk_add set = { .swapcache = mode };

	host_disk_set(host(), name, DISK_SET_SWAPCACHE, &set, on_done, NULL);
	return wait_for_answer();
}

Test(host_cache, a_disk_has_a_mode)
{
	struct disk_add a = like("two");

	begin();
	cr_assert_str_eq(show("one").swapcache, "auto");
	cr_assert_eq(set_mode("two", SWAPCACHE_ON), -ENOENT);
	cr_assert_eq(set_mode("one", SWAPCACHE_MODES), -EINVAL);
	cr_assert_eq(set_mode("one", -1), -EINVAL);
	cr_assert_eq(set_mode("one", SWAPCACHE_META), 0);
	cr_assert_eq(cached("one"), 4);
	restart(false);
	cr_assert_str_eq(show("one").swapcache, "meta");
	cr_assert_eq(set_mode("one", SWAPCACHE_OFF), 0);
	cr_assert_str_eq(show("one").swapcache, "off");
	cr_assert_eq(cached("one"), 0);
	a.swapcache = SWAPCACHE_MODES;
	cr_assert_eq(add(&a), -EINVAL);
}

Test(host_cache, of_the_configuration_file)
{
	struct proto_msg m = { .type = MSG_DISK_ADD };

	snprintf(m.u.disk.name, sizeof(m.u.disk.name), "conf");
	snprintf(m.u.disk.image, sizeof(m.u.disk.image), "%s", image);
	m.u.disk.swapcache = SWAPCACHE_ON;
	answer(&m, NULL, 0);
	while (host_disk_stats(host(), NULL, 0) == 0)
		turn();
	cr_assert_str_eq(show("conf").swapcache, "on");
}

/* --- a stop ---------------------------------------------------------------------------- */

static int stop(enum stop_how how)
{
	struct proto_msg m = { .type = MSG_STOP, .id = how };

	answer(&m, NULL, 0);
	while (__atomic_load_n(&keeper.stopped, __ATOMIC_ACQUIRE) == 0)
		turn();
	return 1 - __atomic_exchange_n(&keeper.stopped, 0, __ATOMIC_ACQ_REL);
}

Test(host_cache, stopped_it_is_forgotten)
{
	begin();
	cr_assert_eq(stop(STOP_DETACH), 0);
	cr_assert_eq(files(), 0);
	cr_assert_eq(faccessat(dir_fd, "swapcache", F_OK, 0), -1);
}

Test(host_cache, left_it_stays)
{
	begin();
	cr_assert_eq(stop(STOP_LEAVE), 0);
	cr_assert_eq(files(), 1);
	cr_assert_eq(faccessat(dir_fd, "swapcache", F_OK, 0), 0);
}

/* --- knobs ----------------------------------------------------------------------------- */

static uint64_t knob(enum swapcache_knob k)
{
	struct swapcache_stats s;

	host_swapcache_stats(host(), &s);
	return s.knob[k];
}

static int set_knobs(uint32_t what, uint64_t accrate, uint64_t maxswappct)
{
	uint64_t value[SWAPCACHE_KNOBS] = {
		[SWAPCACHE_ACCRATE] = accrate, [SWAPCACHE_MAXSWAPPCT] = maxswappct
	};

	return host_swapcache_set(host(), what, value, &result);
}

#define ACCRATE	   (1u << SWAPCACHE_ACCRATE)
#define MAXSWAPPCT (1u << SWAPCACHE_MAXSWAPPCT)

Test(host_cache, knobs_are_set_all_or_none)
{
	uint64_t pct = knob(SWAPCACHE_MAXSWAPPCT);

	cr_assert_eq(set_knobs(ACCRATE | MAXSWAPPCT, 200000, 1000), -EINVAL);
	cr_assert_neq(knob(SWAPCACHE_ACCRATE), 200000);
	cr_assert_eq(set_knobs(ACCRATE | MAXSWAPPCT, UINT64_MAX, 33), -EINVAL);
	cr_assert_eq(knob(SWAPCACHE_MAXSWAPPCT), pct);
	cr_assert_eq(set_knobs(1u << SWAPCACHE_KNOBS, 0, 0), -EINVAL);
	cr_assert_eq(set_knobs(1u << SWAPCACHE_HYSTERESIS, 0, 0), -EINVAL);
	cr_assert_eq(set_knobs(ACCRATE, 200000, 1000), 0, "%s", result.text);
	cr_assert_eq(knob(SWAPCACHE_ACCRATE), 200000);
	cr_assert_eq(knob(SWAPCACHE_MAXSWAPPCT), pct);
	cr_assert_eq(set_knobs(ACCRATE | MAXSWAPPCT, 300000, 33), 0);
	cr_assert_eq(knob(SWAPCACHE_MAXSWAPPCT), 33);
	restart(false);
	cr_assert_eq(knob(SWAPCACHE_ACCRATE), 300000);
}

/* How often it was told that this is the state now. */
static unsigned int told(const char *state)
{
	unsigned int n = 0;
	char line[64];

	snprintf(line, sizeof(line), "SWAPCACHE_STATE %s ", state);
	for (const char *at = events; (at = strstr(at, line)); at++)
		n++;
	return n;
}

static void set_state(uint32_t state)
{
	__atomic_store_n(&host()->cache.policy->state, state, __ATOMIC_RELAXED);
}

Test(host_cache, its_state_is_told_when_it_changes)
{
	uint64_t off[SWAPCACHE_KNOBS] = { 0 }, on[SWAPCACHE_KNOBS];
	uint32_t what = 1u << SWAPCACHE_DATA_ENABLE | 1u << SWAPCACHE_META_ENABLE;

	for (unsigned int k = 0; k < SWAPCACHE_KNOBS; k++)
		on[k] = 1;
	host_cache_look(host());
	events[0] = '\0';
	host_cache_look(host());
	cr_assert_str_empty(events, "nothing has changed");
	cr_assert_eq(host_swapcache_set(host(), what, on, &result), 0);
	cr_assert_str_eq(events, "SWAPCACHE_STATE writing bursting\n");
	cr_assert_eq(host_swapcache_set(host(), what, off, &result), 0);
	cr_assert_eq(told("off"), 1, "%s", events);
	cr_assert_eq(host_swapcache_set(host(), what, on, &result), 0);
	cr_assert_eq(told("writing"), 2, "%s", events);
	/* as the daemon's thread does; by itself it is looked at once a second */
	set_state(SWAPCACHE_CLEANING);
	while (!told("cleaning"))
		turn();
	set_state(SWAPCACHE_WRITING);
	host_cache_look(host());
	cr_assert_eq(told("writing"), 3, "%s", events);
	host()->stopping = true;
	host_cache_quiesce(host());
	cr_assert_eq(told("stopped"), 1);
	host()->stopping = false;
	host_cache_resume(host());
	cr_assert_eq(told("writing"), 4);
}

static void configure(uint64_t conf, uint32_t given, uint64_t accrate, uint64_t maxswappct)
{
	struct proto_msg m = { .type = MSG_SWAPCACHE };
	struct err e = { 0 };

	m.u.swapcache.conf = conf;
	m.u.swapcache.given = given;
	m.u.swapcache.knob[SWAPCACHE_ACCRATE] = accrate;
	m.u.swapcache.knob[SWAPCACHE_MAXSWAPPCT] = maxswappct;
	host_cache_configure(host(), &m, &e);
}

Test(host_cache, a_configuration_is_applied_once)
{
	uint64_t pct = knob(SWAPCACHE_MAXSWAPPCT);
	struct proto_msg m = { .type = MSG_SWAPCACHE };

	configure(7, ACCRATE, 100000, 5);
	cr_assert_eq(knob(SWAPCACHE_ACCRATE), 100000);
	cr_assert_eq(knob(SWAPCACHE_MAXSWAPPCT), pct, "it says nothing of that");
	cr_assert_eq(set_knobs(ACCRATE, 200000, 0), 0);
	restart(false);
	configure(7, ACCRATE, 100000, 5);
	cr_assert_eq(knob(SWAPCACHE_ACCRATE), 200000, "what was set since holds");
	/* another keeper, and it is a message */
	m.u.swapcache.conf = 8;
	m.u.swapcache.given = ACCRATE;
	m.u.swapcache.knob[SWAPCACHE_ACCRATE] = 100000;
	answer(&m, NULL, 0);
	while (knob(SWAPCACHE_ACCRATE) != 100000)
		turn();
}

Test(host_cache, knobs_that_cannot_be_are_those_of_a_new_one)
{
	uint64_t was = knob(SWAPCACHE_ACCRATE);
	int fd;

	cr_assert_eq(set_knobs(ACCRATE, was + 4096, 0), 0);
	fd = openat(dir_fd, "swapcache", O_RDWR | O_CLOEXEC);
	cr_assert_eq(pwrite(fd, "x", 1, 0), 1);
	close(fd);
	restart(false);
	cr_assert_eq(knob(SWAPCACHE_ACCRATE), was);
}

Test(host_cache, figures)
{
	struct swapcache_stats s;

	begin();
	host_swapcache_stats(host(), &s);
	cr_assert_eq(s.cached, 4u << SWAP_BLOCK_SHIFT);
	cr_assert_eq(s.used, 4u << SWAP_BLOCK_SHIFT);
	cr_assert_eq(s.swap_max, SWAP_BYTES);
	cr_assert_eq(s.put, 4u << SWAP_BLOCK_SHIFT);
	cr_assert_eq(set_mode("one", SWAPCACHE_OFF), 0);
	host_swapcache_stats(host(), &s);
	cr_assert_eq(s.cached, 0);
	cr_assert_eq(s.invalidated, 4u << SWAP_BLOCK_SHIFT);
	host()->stopping = true;
	host_swapcache_stats(host(), &s);
	cr_assert_str_eq(s.state, "stopped");
	host()->stopping = false;
}

/* --- swap devices ---------------------------------------------------------------------- */

/* The host knows that device, too. */
static void list_swap(void)
{
	struct host_swap *s = &host()->swap[1];

	s->used = true;
	s->nparts = 1;
	s->part[0].path = strdup("/swap");
	s->part[0].there = true;
}

Test(host_cache, endurance)
{
	const struct swap_on on = { .endurance = UINT64_C(7) << 30 };
	struct wear_stats w[2] = { 0 };

	begin();
	cr_assert_eq(host_wear_stats(host(), w, 2), 0, "not one that the host does not know");
	list_swap();
	host_swap_set(host(), "/swap", SWAP_SET_ENDURANCE, &on, on_done, NULL);
	cr_assert_eq(wait_for_answer(), 0, "%s", result.text);
	while (host_wear_stats(host(), w, 2) == 0 || w[0].endurance == 0)
		turn();
	cr_assert_eq(host_wear_stats(host(), w, 2), 1);
	cr_assert_str_eq(w[0].path, "/swap");
	cr_assert_eq(w[0].endurance, on.endurance);
	cr_assert_eq(w[0].left, on.endurance);
	cr_assert_eq(w[0].written_28d, 0);
	cr_assert_eq(host_wear_stats(host(), NULL, 0), 1);
}

Test(host_cache, endurance_without_a_daemon_sets_nothing_else)
{
	const struct swap_on on = { .endurance = UINT64_C(7) << 30 };

	begin();
	cr_assert_eq(unlinkat(dir_fd, "swapcache", 0), 0);
	cr_assert_eq(mkdirat(dir_fd, "swapcache", 0700), 0);
	restart(false);
	list_swap();
	host()->swap[1].flags = SWAPSET_DISCARD;
	host_swap_set(host(), "/swap", SWAP_SET_ENDURANCE | SWAP_SET_DISCARD, &on, on_done,
		      NULL);
	cr_assert_eq(wait_for_answer(), -EOPNOTSUPP, "%s", result.text);
	cr_assert(host()->swap[1].flags & SWAPSET_DISCARD,
		  "it was told to be off, but was not");
}
