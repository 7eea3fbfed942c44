/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/conf.h"
#include "config.h"

static char path[64];

/* A file of these bytes. => its path, the same for all */
static const char *file_of(const char *text, size_t len)
{
	int fd = memfd_create("drum.conf", 0);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, len), (ssize_t)len);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return path;
}

static struct conf take(const char *text)
{
	struct conf c;
	struct err e = { 0 };

	cr_assert_eq(conf_defaults(&c, &e), 0);
	cr_assert_eq(conf_read(&c, file_of(text, strlen(text)), &e), 0, "%s", e.text);
	return c;
}

Test(conf, defaults)
{
	struct conf c;
	struct err e = { 0 };

	cr_assert_eq(conf_defaults(&c, &e), 0);
	cr_assert_str_eq(c.run_dir, DRUM_RUN_DIR);
	cr_assert_str_eq(c.state_dir, DRUM_STATE_DIR);
	cr_assert_eq(c.log_level, LOG_LVL_INFO);
	cr_assert_not(c.leave);
	cr_assert_eq(c.swaps, 0);
	cr_assert_eq(c.disks, 0);
	cr_assert_eq(c.swapcache_given, 0);
	cr_assert_eq(c.paging.cluster | c.paging.depth | c.paging.total_writes |
			     c.paging.reads | c.paging.give_up | c.paging.stall_after |
			     c.paging.sample,
		     0);
	conf_free(&c);
	conf_free(&c);
}

Test(conf, metrics)
{
	static const char *const good[] = { "/run/drum/metrics.sock", "127.0.0.1:9469",
					    "127.255.255.254:65535", "[::1]:1" };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		char text[128];
		struct conf c;

		snprintf(text, sizeof(text), "[metrics]\nlisten = %s\n", good[i]);
		c = take(text);
		cr_expect_str_eq(c.metrics, good[i]);
		conf_free(&c);
	}
}

Test(conf, everything)
{
	struct conf c = take("# a comment\n"
			     "; another\n"
			     "\n"
			     "[drumd]\n"
			     "run-dir = /run/other\n"
			     "state-dir = /srv/state\n"
			     "  log-level=debug   ; said why\n"
			     "\tleave : Yes\r\n"
			     "[swap] # the devices\n"
			     "device = /dev/vg0/swap \t 10\n"
			     "   device = /var/lib/drum/swap\n"
			     "device = /c 0\n"
			     "device = /d 32767");

	cr_assert_str_eq(c.run_dir, "/run/other");
	cr_assert_str_eq(c.state_dir, "/srv/state");
	cr_assert_eq(c.log_level, LOG_LVL_DEBUG);
	cr_assert(c.leave);
	cr_assert_eq(c.swaps, 4);
	cr_assert_str_eq(c.swap[0].path, "/dev/vg0/swap");
	cr_assert_eq(c.swap[0].priority, 10);
	cr_assert_str_eq(c.swap[1].path, "/var/lib/drum/swap");
	cr_assert_eq(c.swap[1].priority, 0);
	cr_assert_eq(c.swap[2].priority, 0);
	cr_assert_str_eq(c.swap[3].path, "/d");
	cr_assert_eq(c.swap[3].priority, 32767);

	/* another is laid over it */
	cr_assert_eq(conf_read(&c, file_of("", 0), NULL), 0);
	cr_assert_str_eq(c.run_dir, "/run/other");
	cr_assert_str_eq(c.state_dir, "/srv/state");
	conf_free(&c);
}

Test(conf, devices_of_all_kinds)
{
	struct conf c = take("[swap]\n"
			     "device = ram:512M 20\n"
			     "device = nbd:nbd+unix:///x?socket=/run/nbd.sock 1 no-checksums\n"
			     "device = /a 5 mirror=/b discard max-inflight=32 "
			     "max-bandwidth=200M\n"
			     "device = /c \t max-bandwidth=0   mirror=nbd:nbd://h/x?a=b\n"
			     "device = /e endurance=80G\n"
			     "device = /f 1 endurance=none discard\n");
	struct conf again;
	struct err e;

	cr_assert_eq(c.swaps, 6);
	cr_assert_str_eq(c.swap[0].path, "ram:512M");
	cr_assert_eq(c.swap[0].priority, 20);
	cr_assert_null(c.swap[0].mirror);
	cr_assert_str_eq(c.swap[1].path, "nbd:nbd+unix:///x?socket=/run/nbd.sock");
	cr_assert(c.swap[1].no_checksums && !c.swap[1].discard);
	cr_assert_str_eq(c.swap[2].mirror, "/b");
	cr_assert(c.swap[2].discard && !c.swap[2].no_checksums);
	cr_assert_eq(c.swap[2].priority, 5);
	cr_assert_eq(c.swap[2].max_inflight, 32);
	cr_assert_eq(c.swap[2].max_bandwidth, 200 << 20);
	cr_assert_eq(c.swap[3].priority, 0);
	cr_assert_eq(c.swap[3].max_bandwidth, 0);
	cr_assert_str_eq(c.swap[3].mirror, "nbd:nbd://h/x?a=b");
	cr_assert_not(c.swap[3].has_endurance);
	cr_assert(c.swap[4].has_endurance && c.swap[4].endurance == 80ull << 30);
	cr_assert(c.swap[5].has_endurance && c.swap[5].endurance == 0);
	cr_assert(c.swap[5].discard);

	/* laid over itself: nothing is shared, nothing is lost */
	again = c;
	cr_assert_eq(conf_read(&again, file_of("", 0), &e), 0);
	cr_assert_eq(again.swaps, 6);
	cr_assert_eq(again.swap[4].endurance, 80ull << 30);
	cr_assert_str_eq(again.swap[2].mirror, "/b");
	cr_assert_null(again.swap[1].mirror);
	conf_free(&again);
}

Test(conf, disks)
{
	struct conf c = take("[disk]\n"
			     "device = web1 /srv/web1.img\n"
			     "device = b \t nbd:nbd+unix:///x?socket=/s guest=web1  queues=4 "
			     "read-only\n"
			     "device = c /c no-map cache=writeback serial=C-1 socket=/run/c "
			     "queues=64 swapcache=off\n"
			     "device = e /e swapcache=on\ndevice = f /f swapcache=meta\n"
			     "device = g /g swapcache=auto\n");
	struct conf again;
	struct err e;

	cr_assert_eq(c.disks, 6);
	cr_assert_str_eq(c.disk[0].name, "web1");
	cr_assert_str_eq(c.disk[0].image, "/srv/web1.img");
	cr_assert(!c.disk[0].socket && !c.disk[0].serial && !c.disk[0].guest);
	cr_assert(!c.disk[0].read_only && !c.disk[0].no_map && c.disk[0].queues == 0);
	cr_assert_eq(c.disk[0].cache, IMAGE_CACHE_NONE);
	cr_assert_str_eq(c.disk[1].image, "nbd:nbd+unix:///x?socket=/s");
	cr_assert_str_eq(c.disk[1].guest, "web1");
	cr_assert(c.disk[1].read_only && c.disk[1].queues == 4);
	cr_assert(c.disk[2].no_map && c.disk[2].queues == 64);
	cr_assert_eq(c.disk[2].cache, IMAGE_CACHE_WRITEBACK);
	cr_assert_str_eq(c.disk[2].serial, "C-1");
	cr_assert_str_eq(c.disk[2].socket, "/run/c");
	cr_assert_eq(c.disk[0].swapcache, SWAPCACHE_AUTO);
	cr_assert_eq(c.disk[2].swapcache, SWAPCACHE_OFF);
	cr_assert_eq(c.disk[3].swapcache, SWAPCACHE_ON);
	cr_assert_eq(c.disk[4].swapcache, SWAPCACHE_META);
	cr_assert_eq(c.disk[5].swapcache, SWAPCACHE_AUTO);

	/* laid over itself: nothing is shared, nothing is lost; and added to */
	again = c;
	cr_assert_eq(conf_read(&again, file_of("[disk]\ndevice=d /c\n", 19), &e), 0);
	cr_assert_eq(again.disks, 7);
	cr_assert_str_eq(again.disk[2].socket, "/run/c");
	cr_assert_eq(again.disk[4].swapcache, SWAPCACHE_META);
	cr_assert_str_eq(again.disk[6].name, "d");
	conf_free(&again);
}

Test(conf, dump_device)
{
	struct conf c = take("[dump]\ndevice = /dev/with blank\n"), again = c;
	struct err e;

	cr_assert_str_eq(c.dump, "/dev/with blank");
	/* laid over itself, and replaced */
	cr_assert_eq(conf_read(&again, file_of("", 0), &e), 0);
	cr_assert_str_eq(again.dump, "/dev/with blank");
	cr_assert_eq(conf_read(&again, file_of("[dump]\ndevice=/x\n", 17), &e), 0);
	cr_assert_str_eq(again.dump, "/x");
	conf_free(&again);
	c = take("[drumd]\nleave = no\n");
	cr_assert_null(c.dump);
	conf_free(&c);
}

Test(conf, host)
{
	struct conf c = take("[host]\nbudget = 1.5G\nidle-tax = 99%\nstall-target = 0.1\n"
			     "libvirt-uri = qemu+unix:///system\n");

	cr_expect_eq(c.host.given, 15);
	cr_expect_eq(c.host.budget, 3ull << 29);
	cr_expect_eq(c.host.tax, 99);
	cr_expect_eq(c.host.stall_target, 1000);
	cr_expect_str_eq(c.host.libvirt_uri, "qemu+unix:///system");
	conf_free(&c);
	c = take("[host]\nbudget = none\n");
	cr_expect_eq(c.host.given, 1u << CONF_HOST_BUDGET);
	cr_expect_eq(c.host.budget, 0);
	conf_free(&c);
}

Test(conf, paging)
{
	struct conf c = take("[paging]\ncluster = 4K\ndepth = 1\ntotal-writes=1\nreads=1\n"
			     "give-up=1\nstall-after=1\nsample=1\n");

	cr_assert_eq(c.paging.cluster, 4096);
	cr_assert_eq(c.paging.depth, 1);
	cr_assert_eq(c.paging.total_writes, 1);
	cr_assert_eq(c.paging.reads, 1);
	cr_assert_eq(c.paging.give_up, 1);
	cr_assert_eq(c.paging.stall_after, 1);
	cr_assert_eq(c.paging.sample, 1);
	conf_free(&c);
	c = take("[paging]\ncluster = 1M\ndepth = 32\ntotal-writes=1024\nreads=24\n"
		 "give-up=86400\nstall-after=86400\nsample=512\n");
	cr_assert_eq(c.paging.cluster, 1 << 20);
	cr_assert_eq(c.paging.depth, 32);
	cr_assert_eq(c.paging.total_writes, 1024);
	cr_assert_eq(c.paging.reads, 24);
	cr_assert_eq(c.paging.give_up, 86400);
	cr_assert_eq(c.paging.stall_after, 86400);
	cr_assert_eq(c.paging.sample, 512);
	conf_free(&c);
	c = take("[paging]\nsample = off\n");
	cr_assert_eq(c.paging.sample, CONF_SAMPLE_OFF);
	conf_free(&c);
}

Test(conf, empty_file_changes_nothing)
{
	struct conf c = take("");

	cr_assert_str_eq(c.run_dir, DRUM_RUN_DIR);
	conf_free(&c);
}

Test(conf, sections_may_come_again)
{
	struct conf c = take("[drumd]\nleave=on\n[swap]\ndevice=/a\n[drumd]\nlog-level=error\n"
			     "[swap]\ndevice=/b\n");

	cr_assert(c.leave);
	cr_assert_eq(c.log_level, LOG_LVL_ERROR);
	cr_assert_eq(c.swaps, 2);
	conf_free(&c);
}

static const struct {
	const char *word;
	bool leave;
} bools[] = { { "yes", true },	  { "no", false }, { "TRUE", true },
	      { "false", false }, { "on", true },  { "Off", false } };

Test(conf, yes_and_no)
{
	for (size_t i = 0; i < sizeof(bools) / sizeof(bools[0]); i++) {
		char text[64];
		struct conf c;

		snprintf(text, sizeof(text), "[drumd]\nleave = %s\n", bools[i].word);
		c = take(text);
		cr_assert_eq(c.leave, bools[i].leave, "%s", bools[i].word);
		conf_free(&c);
	}
}

#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

/* What is refused, with the line that the message names and its text. */
static const struct {
	const char *text;
	unsigned line;
	const char *why;
} refused[] = {
	{ "[drumd]\nrun-dir = run\n", 2, "run-dir is 'run', but must be an absolute path" },
	{ "[drumd]\nrun-dir =\n", 2, "run-dir is '', but must be an absolute path" },
	{ "[drumd]\n\n\nlog-level = loud\n", 4,
	  "log-level is 'loud', but must be error, warn, info, debug or trace" },
	{ "[drumd]\nleave = maybe\n", 2, "leave is 'maybe', but must be yes or no" },
	{ "[drumd]\nleave = 1\n", 2, "leave is '1', but must be yes or no" },
	{ "[drumd]\nleave = yes\n# x\nleave = yes\n", 4, "leave is given twice" },
	{ "[drumd]\nspeed = 9\n", 2,
	  "no key 'speed' in [drumd]; there are run-dir, state-dir, log-level, leave" },
	{ "[drumd]\nLeave = yes\n", 2,
	  "no key 'Leave' in [drumd]; there are run-dir, state-dir, log-level, leave" },
	{ "[drumd]\ndevice = /x\n", 2,
	  "no key 'device' in [drumd]; there are run-dir, state-dir, log-level, leave" },
	{ "[swap]\nleave = yes\n", 2, "no key 'leave' in [swap]; there are device" },
	{ "leave = yes\n", 1,
	  "'leave' stands before any section; there are [drumd], [swap], [disk], [dump], "
	  "[paging], [host], [swapcache]" },
	{ "[drumd]\nleave = yes\n[guest]\n", 3,
	  "no section [guest] is known; there are [drumd], [swap], [disk], [dump], [paging], "
	  "[host], [swapcache]" },
	{ "[]\n", 1,
	  "no section [] is known; there are [drumd], [swap], [disk], [dump], [paging], "
	  "[host], [swapcache]" },
	{ "[drum]\n", 1,
	  "no section [drum] is known; there are [drumd], [swap], [disk], [dump], [paging], "
	  "[host], [swapcache]" },
	{ "[drumd\nleave = yes\n", 1, "not a section: it must be [NAME] and nothing else" },
	{ "[drumd] leave = yes\n", 1, "not a section: it must be [NAME] and nothing else" },
	{ "[drumd]\nleave\n", 2, "neither KEY = VALUE nor [SECTION]" },
	{ "[swap]\ndevice = swap\n", 2,
	  "device is 'swap', but must be an absolute path without blanks, ram:SIZE or "
	  "nbd:URI, and after it, if you like, a priority from 0 to 32767" },
	{ "[swap]\ndevice = /a -1\n", 2, "device is '/a -1', but must be " },
	{ "[swap]\ndevice = /a 32768\n", 2, "device is '/a 32768', but must be " },
	{ "[swap]\ndevice = /a 99999999999999999999\n", 2, "device is '/a 9999" },
	{ "[swap]\ndevice =\n", 2, "device is '', but must be " },
	{ "[swap]\ndevice = ram:\n", 2, "device is 'ram:', but must be " },
	{ "[swap]\ndevice = ram:0 5\n", 2, "device is 'ram:0 5', but must be " },
	{ "[swap]\ndevice = ram:1Q\n", 2, "device is 'ram:1Q', but must be " },
	{ "[swap]\ndevice = nbd:\n", 2, "device is 'nbd:', but must be " },
	{ "[swap]\ndevice = nbd://x\n", 2, "device is 'nbd://x', but must be " },
	{ "[swap]\ndevice = /a +1\n", 2, "device is '/a +1', but must be " },
	{ "[swap]\ndevice = /a b\n", 2,
	  "device /a: 'b' is none of mirror=PATH, discard, no-checksums, max-inflight=N, "
	  "max-bandwidth=SIZE, endurance=SIZE; a priority comes before them" },
	{ "[swap]\ndevice = /a 1 2\n", 2, "device /a: '2' is none of mirror=PATH" },
	{ "[swap]\ndevice = /a discard 2\n", 2, "device /a: '2' is none of mirror=PATH" },
	{ "[swap]\ndevice = /a discard=1\n", 2, "device /a: 'discard=1' is none of" },
	{ "[swap]\ndevice = /a mirror\n", 2, "device /a: 'mirror' is none of" },
	{ "[swap]\ndevice = /a discar\n", 2, "device /a: 'discar' is none of" },
	{ "[swap]\ndevice = /a discard discard\n", 2, "device /a: discard is given twice" },
	{ "[swap]\ndevice = /a max-inflight=1 max-inflight=2\n", 2,
	  "device /a: max-inflight is given twice" },
	{ "[swap]\ndevice = /a mirror=b\n", 2,
	  "device /a: mirror is 'b', but must be an absolute path or nbd:URI" },
	{ "[swap]\ndevice = /a mirror=ram:1M\n", 2, "device /a: mirror is 'ram:1M', but must" },
	{ "[swap]\ndevice = /a mirror=/a\n", 2, "device /a is its own mirror" },
	{ "[swap]\ndevice = /a mirror=/b\ndevice = /b\n", 3, "device /b is given twice" },
	{ "[swap]\ndevice = /b\ndevice = /a mirror=/b\n", 3, "device /b is given twice" },
	{ "[swap]\ndevice = /a max-inflight=\n", 2,
	  "device /a: max-inflight is '', but must be a number from 0 to 4294967295, 0 for no "
	  "limit" },
	{ "[swap]\ndevice = /a max-inflight=4294967296\n", 2,
	  "device /a: max-inflight is '4294967296', but must" },
	{ "[swap]\ndevice = /a max-bandwidth=fast\n", 2,
	  "device /a: max-bandwidth is 'fast', but must be bytes a second, as 200M, 0 for no "
	  "limit" },
	{ "[swap]\ndevice = /a endurance=much\n", 2,
	  "device /a: endurance is 'much', but must be bytes a day, as 80G, or none" },
	{ "[swap]\ndevice = /a endurance=\n", 2, "device /a: endurance is '', but must" },
	{ "[swap]\ndevice = /a endurance\n", 2, "device /a: 'endurance' is none of" },
	{ "[swap]\ndevice = /a endurance=1G endurance=none\n", 2,
	  "device /a: endurance is given twice" },
	{ "[drumd]\nstate-dir = lib\n", 2, "state-dir is 'lib', but must be an absolute path" },
	{ "[dump]\ndevice = dump\n", 2, "device is 'dump', but must be an absolute path" },
	{ "[metrics]\nlisten = metrics.sock\n", 2,
	  "listen is 'metrics.sock', but must be an absolute path of at most 107 characters, "
	  "or "
	  "a loopback address and a port as 127.0.0.1:9469 or [::1]:9469" },
	{ "[metrics]\nlisten = 0.0.0.0:9469\n", 2, "listen is '0.0.0.0:9469', but" },
	{ "[metrics]\nlisten = 192.168.0.1:9469\n", 2, "listen is '192.168.0.1:9469', but" },
	{ "[metrics]\nlisten = [::]:9469\n", 2, "listen is '[::]:9469', but" },
	{ "[metrics]\nlisten = ::1:9469\n", 2, "listen is '::1:9469', but" },
	{ "[metrics]\nlisten = localhost:9469\n", 2, "listen is 'localhost:9469', but" },
	{ "[metrics]\nlisten = 127.0.0.1\n", 2, "listen is '127.0.0.1', but" },
	{ "[metrics]\nlisten = 127.1:9469\n", 2, "listen is '127.1:9469', but" },
	{ "[metrics]\nlisten = 127.0.0.1:0\n", 2, "listen is '127.0.0.1:0', but" },
	{ "[metrics]\nlisten = 127.0.0.1:65536\n", 2, "listen is '127.0.0.1:65536', but" },
	{ "[metrics]\nlisten = 127.0.0.1:+1\n", 2, "listen is '127.0.0.1:+1', but" },
	{ "[metrics]\nlisten = /\n", 2, "listen is '/', but" },
	{ "[metrics]\nport = 9469\n", 2, "no key 'port' in [metrics]; there are listen" },
	{ "[metrics]\nlisten = /a\nlisten = /b\n", 3, "listen is given twice" },
	{ "[dump]\ndevice = ram:1M\n", 2, "device is 'ram:1M', but must be an absolute path" },
	{ "[dump]\ndevice = /a\ndevice = /b\n", 3, "device is given twice" },
	{ "[disk]\ndevice = web1\n", 2,
	  "device is 'web1', but must be NAME IMAGE, of 1 to 63 characters of A-Z a-z 0-9 _ . "
	  "- "
	  "and an absolute path without blanks or nbd:URI, and after them options, if you "
	  "like" },
	{ "[disk]\ndevice =\n", 2, "device is '', but must be NAME IMAGE" },
	{ "[disk]\ndevice = /a web1\n", 2, "device is '/a web1', but must be NAME IMAGE" },
	{ "[disk]\ndevice = web1 web1.img\n", 2, "device is 'web1 web1.img', but must be" },
	{ "[disk]\ndevice = web1 ram:1M\n", 2, "device is 'web1 ram:1M', but must be" },
	{ "[disk]\ndevice = a /a 4\n", 2,
	  "disk a: '4' is none of read-only, no-map, socket=.., cache=.., serial=.., guest=.., "
	  "queues=.., swapcache=.." },
	{ "[disk]\ndevice = a /a read-only=yes\n", 2, "disk a: 'read-only=yes' is none of" },
	{ "[disk]\ndevice = a /a socket\n", 2, "disk a: 'socket' is none of" },
	{ "[disk]\ndevice = a /a socket=\n", 2,
	  "disk a: socket is '', but must be an absolute path of at most 107 bytes" },
	{ "[disk]\ndevice = a /a socket=/" X50 X50 "xxxxxxx\n", 2, "disk a: socket is '/xx" },
	{ "[disk]\ndevice = a /a cache=fast\n", 2,
	  "disk a: cache is 'fast', but must be none, directsync, writethrough, writeback or "
	  "unsafe" },
	{ "[disk]\ndevice = a /a serial=xxxxxxxxxxxxxxxxxxxxx\n", 2,
	  "disk a: serial is 'xxxxxxxxxxxxxxxxxxxxx', but must be 1 to 20 characters" },
	{ "[disk]\ndevice = a /a guest=b/c\n", 2,
	  "disk a: guest is 'b/c', but must be 1 to 63 characters" },
	{ "[disk]\ndevice = a /a queues=0\n", 2,
	  "disk a: queues is '0', but must be a number from 1 to 64" },
	{ "[disk]\ndevice = a /a queues=65\n", 2, "disk a: queues is '65', but must be" },
	{ "[disk]\ndevice = a /a queues=064\n", 2, "disk a: queues is '064', but must be" },
	{ "[disk]\ndevice = a /a swapcache=yes\n", 2,
	  "disk a: swapcache is 'yes', but must be auto, on, meta or off" },
	{ "[disk]\ndevice = a /a swapcache=on swapcache=on\n", 2,
	  "disk a: swapcache is given twice" },
	{ "[disk]\ndevice = a /a no-map no-map\n", 2, "disk a: no-map is given twice" },
	{ "[disk]\ndevice = a /a cache=none cache=unsafe\n", 2,
	  "disk a: cache is given twice" },
	{ "[disk]\ndevice = a /a\ndevice = a /b\n", 3, "disk a is given twice" },
	{ "[disk]\ndevice = a /a socket=/s\ndevice = b /b socket=/s\n", 3,
	  "disk b: its socket is that of disk a" },
	{ "[disk]\nimage = /a\n", 2, "no key 'image' in [disk]; there are device" },
	{ "[paging]\ncluster = 4095\n", 2,
	  "cluster is '4095', but must be a multiple of 4K up to 1M" },
	{ "[paging]\ncluster = 0\n", 2, "cluster is '0', but must be" },
	{ "[paging]\ncluster = 5K\n", 2, "cluster is '5K', but must be" },
	{ "[paging]\ncluster = 2M\n", 2, "cluster is '2M', but must be" },
	{ "[paging]\ncluster = 4K\ncluster = 4K\n", 3, "cluster is given twice" },
	{ "[paging]\ndepth = 0\n", 2, "depth is '0', but must be a number from 1 to 32" },
	{ "[paging]\ndepth = 33\n", 2, "depth is '33', but must be a number from 1 to 32" },
	{ "[paging]\ntotal-writes = 0\n", 2,
	  "total-writes is '0', but must be a number from 1 to 1024" },
	{ "[paging]\ntotal-writes = 1025\n", 2, "total-writes is '1025', but must be" },
	{ "[paging]\nreads = 0\n", 2, "reads is '0', but must be a number from 1 to 24" },
	{ "[paging]\nreads = 25\n", 2, "reads is '25', but must be a number from 1 to 24" },
	{ "[paging]\nswblocks = 1023\n", 2,
	  "swblocks is '1023', but must be a number from 1024 on" },
	{ "[paging]\ngive-up = 0\n", 2, "give-up is '0', but must be seconds, 1 to 86400" },
	{ "[paging]\ngive-up = 86401\n", 2, "give-up is '86401', but must be seconds" },
	{ "[paging]\nstall-after = 0\n", 2, "stall-after is '0', but must be seconds, 1 to" },
	{ "[paging]\nwrites = 2\n", 2,
	  "no key 'writes' in [paging]; there are cluster, depth, total-writes, reads, "
	  "swblocks, give-up, stall-after, sample" },
	{ "[paging]\nsample = 0\n", 2, "sample is '0', but must be off, or a number from" },
	{ "[paging]\nsample = 513\n", 2, "sample is '513', but must be off, or a number" },
	{ "[host]\nbudget = much\n", 2,
	  "budget is 'much', but must be a size, as 48G, or none" },
	{ "[host]\nidle-tax = 100\n", 2,
	  "idle-tax is '100', but must be a whole number of percent from 0 to 99" },
	{ "[host]\nidle-tax = 0.5\n", 2, "idle-tax is '0.5', but must be a whole number" },
	{ "[host]\nstall-target = 101\n", 2,
	  "stall-target is '101', but must be percent from 0 to 100 with at most four "
	  "decimals, as 0.1" },
	{ "[host]\nlibvirt-uri =\n", 2, "libvirt-uri is '', but must be a URI of libvirt's" },
	{ "[host]\nlibvirt-uri = " X50 X50 X50 "1\n", 2, "libvirt-uri is 'xxx" },
	{ "[host]\nbudget = 1G\nbudget = none\n", 3, "budget is given twice" },
	{ "[host]\nmemory = 1G\n", 2,
	  "no key 'memory' in [host]; there are budget, idle-tax, stall-target, libvirt-uri" },
	{ "[swap]\ndevice = /a 1\ndevice = /b\ndevice = /a\n", 4, "device /a is given twice" },
	/* the first of two is told, be it ours or inih's */
	{ "[swap]\ndevice\n[guest]\n", 2, "neither KEY = VALUE nor [SECTION]" },
	{ "[swap]\ndevice = x\ndevice\n", 2, "device is 'x', but must be " },
	{ "[swap]\ndevice = /" X50 X50 X50 X50 "\n", 2,
	  "longer than the 197 characters that a line may have" },
};
#define REFUSED (sizeof(refused) / sizeof(refused[0]))

ParameterizedTestParameters(conf, refused)
{
	static size_t index[REFUSED];

	for (size_t i = 0; i < REFUSED; i++)
		index[i] = i;
	return cr_make_param_array(size_t, index, REFUSED);
}

ParameterizedTest(const size_t *i, conf, refused)
{
	static const char before[] = "[drumd]\nlog-level = trace\n[swap]\ndevice = /before 3\n";
	struct conf c = take(before);
	struct err e = { 0 };
	char where[128];
	int ret;

	ret = conf_read(&c, file_of(refused[*i].text, strlen(refused[*i].text)), &e);
	cr_assert_eq(ret, -EINVAL, "taken: %s", refused[*i].text);
	cr_assert_eq(e.code, ret);
	snprintf(where, sizeof(where), "%s:%u: ", path, refused[*i].line);
	cr_assert_eq(strncmp(e.text, where, strlen(where)), 0, "'%s' is not at %s", e.text,
		     where);
	cr_assert_eq(strncmp(e.text + strlen(where), refused[*i].why, strlen(refused[*i].why)),
		     0, "'%s' does not say '%s'", e.text, refused[*i].why);

	/* nothing of it was taken */
	cr_assert_eq(c.log_level, LOG_LVL_TRACE);
	cr_assert_not(c.leave);
	cr_assert_str_eq(c.run_dir, DRUM_RUN_DIR);
	cr_assert_eq(c.swaps, 1);
	cr_assert_str_eq(c.swap[0].path, "/before");
	conf_free(&c);
}

/* All that is wrong is told, each line once, and what the file says is kept. */
Test(conf, all_errors)
{
	static const char text[] = "key = 1\n"
				   "[drumd]\n"
				   "log-level = loud\n"
				   "leave = yes\n"
				   "nonsense\n"
				   "[guest]\n"
				   "name = a\n"
				   "more = b\n"
				   "; = fine\n"
				   "nonsense ; x = y\n"
				   "[swap] x\n"
				   "device = passed over\n"
				   "[swap]\n"
				   "device = /a mirror=/a\n"
				   "device = /b\n";
	static const unsigned lines[] = { 1, 3, 5, 6, 10, 11, 14 };
	struct conf_errors errors;
	struct conf c;
	struct err e;

	cr_assert_eq(conf_defaults(&c, &e), 0);
	cr_assert_eq(conf_read_all(&c, file_of(text, strlen(text)), &errors), -EINVAL);
	cr_assert_eq(errors.n, sizeof(lines) / sizeof(lines[0]));
	cr_expect_not(errors.more);
	for (size_t i = 0; i < errors.n; i++) {
		char where[80];

		snprintf(where, sizeof(where), "%s:%u: ", path, lines[i]);
		cr_expect(strncmp(errors.err[i].text, where, strlen(where)) == 0,
			  "%s is not %s", errors.err[i].text, where);
	}
	cr_expect_eq(c.swaps, 0);
	cr_expect_eq(c.entries, 0);
	conf_free(&c);
}

Test(conf, too_many_errors)
{
	char text[64 + CONF_ERRORS_MAX * 8] = "[drumd]\n";
	struct conf_errors errors;
	struct conf c;
	struct err e;

	for (int i = 0; i < CONF_ERRORS_MAX; i++)
		strcat(text, "a = 1\n");
	cr_assert_eq(conf_defaults(&c, &e), 0);
	cr_assert_lt(conf_read_all(&c, file_of(text, strlen(text)), &errors), 0);
	cr_expect(errors.n == CONF_ERRORS_MAX && !errors.more);
	strcat(text, "a = 1\n");
	cr_assert_lt(conf_read_all(&c, file_of(text, strlen(text)), &errors), 0);
	cr_expect(errors.n == CONF_ERRORS_MAX && errors.more);
	conf_free(&c);
}

Test(conf, what_the_file_says)
{
	struct conf c = take("[swap]\ndevice = /a  1\n[drumd]\nleave = On\n[swap]\ndevice=/b\n"
			     "[swapcache]\nmaxswappct=20\n");
	struct err e;

	cr_assert_eq(c.entries, 4);
	cr_expect_str_eq(c.entry[0].section, "swap");
	cr_expect_str_eq(c.entry[0].key, "device");
	cr_expect_str_eq(c.entry[0].value, "/a  1");
	cr_expect_str_eq(c.entry[1].value, "On");
	cr_expect_str_eq(c.entry[3].section, "swapcache");
	cr_expect_str_eq(c.entry[3].key, "maxswappct");
	/* of the last file only */
	cr_assert_eq(conf_read(&c, file_of("[drumd]\nleave=no\n", 17), &e), 0);
	cr_assert_eq(c.entries, 1);
	conf_free(&c);
}

Test(conf, longest_line)
{
	char text[400] = "[swap]\ndevice = /";
	struct conf c;
	size_t begin = strlen("[swap]\n");

	while (strlen(text) - begin < 197)
		strcat(text, "x");
	strcat(text, "\ndevice = /b\n");
	c = take(text);
	cr_assert_eq(c.swaps, 2);
	cr_assert_eq(strlen(c.swap[0].path), 197 - strlen("device = "));
	conf_free(&c);
}

/* What is no text may have a line as long as it likes: no more of it is kept than is shown. */
Test(conf, endless_line)
{
	static char text[32 << 20];
	struct rusage before, after;
	struct conf_errors errors;
	struct conf c;
	struct err e;

	memset(text, 'x', sizeof(text));
	memcpy(text + sizeof(text) - 10, "\n[drumd]\na", 10);
	(void)file_of(text, sizeof(text));
	cr_assert_eq(conf_defaults(&c, &e), 0);
	getrusage(RUSAGE_SELF, &before);
	cr_assert_eq(conf_read_all(&c, path, &errors), -EINVAL);
	getrusage(RUSAGE_SELF, &after);
	/* and what follows is read as ever */
	cr_expect(errors.n == 2, "%u", errors.n);
	cr_expect(strstr(errors.err[0].text, ":1: longer than the 197 characters that a line"),
		  "%s", errors.err[0].text);
	cr_expect(strstr(errors.err[1].text, ":3: neither KEY"), "%s", errors.err[1].text);
	cr_expect(after.ru_maxrss - before.ru_maxrss < 8 << 10, "%ld KiB",
		  after.ru_maxrss - before.ru_maxrss);
	conf_free(&c);
}

Test(conf, indentation_does_not_count)
{
	char text[4000];
	struct conf c;
	size_t n = (size_t)snprintf(text, sizeof(text), "[drumd]\n%3000s", "run-dir = /a\n");

	cr_assert(n < sizeof(text));
	c = take(text);
	cr_expect_str_eq(c.run_dir, "/a");
	conf_free(&c);
}

Test(conf, not_a_text_file)
{
	static const char text[] = "[drumd]\nrun-dir = /a\0b\n";
	struct conf c;
	struct err e = { 0 };

	cr_assert_eq(conf_defaults(&c, &e), 0);
	cr_assert_eq(conf_read(&c, file_of(text, sizeof(text) - 1), &e), -EINVAL);
	cr_assert_neq(strstr(e.text, ":2: a zero byte"), NULL, "%s", e.text);
	conf_free(&c);
}

Test(conf, file_that_cannot_be_read)
{
	struct conf c;
	struct err e = { 0 };

	cr_assert_eq(conf_defaults(&c, &e), 0);
	cr_assert_eq(conf_read(&c, "/nonexistent/drum.conf", &e), -ENOENT);
	cr_assert_str_eq(e.text,
			 "cannot read /nonexistent/drum.conf: No such file or directory");
	cr_assert_eq(conf_read(&c, "/", &e), -EISDIR);
	cr_assert_str_eq(e.text, "cannot read /: Is a directory");
	cr_assert_eq(conf_read(&c, "/", NULL), -EISDIR);
	conf_free(&c);
}
