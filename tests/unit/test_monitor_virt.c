/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libvirt is played here, so that it can hang where the test wants it: each call waits
 * until `hold` is open, and says that it does.  The real one is in tests/it/t_libvirt.sh.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "balloon/monitor_priv.h"
#include "balloon/virt_api.h"
#include "base/clock.h"
#include "base/loop.h"

#define GUARD (20 * NSEC_PER_SEC)

static struct loop *loop;
static struct monitor *m;
static struct monitor_figures f;
static unsigned int changes, panics;
static bool destroy_in_callback;
static _Atomic uint64_t fake_ns;

/* libvirt's side */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;
static bool hold;
static unsigned int held, opens, looks, closes, targets;
static uint64_t target;
static uint32_t seconds_asked;
static int open_fails, look_fails, target_fails;
static struct virt_look look_answer;

static uint64_t fake_clock(void)
{
	return fake_ns;
}

static const struct monitor_virt_conf conf = {
	.timeout_ms = 5000,
	.backoff_ms = 1000,
	.backoff_max_ms = 60 * 1000,
	.tick_ms = 1,
	.now = fake_clock,
};

static void pass(void)
{
	held++;
	while (hold)
		pthread_cond_wait(&opened, &mutex);
	held--;
}

static int play_open(const char *uri, const char *name, struct virt_domain **out, struct err *e)
{
	int ret;

	cr_assert_str_eq(uri, "test:///x");
	cr_assert_str_eq(name, "one");
	pthread_mutex_lock(&mutex);
	pass();
	opens++;
	ret = open_fails;
	pthread_mutex_unlock(&mutex);
	*out = ret ? NULL : (struct virt_domain *)&looks;
	return ret ? err_set(e, ret, "no such domain") : 0;
}

static int play_look(struct virt_domain *d, uint32_t seconds, struct virt_look *out,
		     struct err *e)
{
	int ret;

	(void)d;
	pthread_mutex_lock(&mutex);
	pass();
	looks++;
	seconds_asked = seconds;
	*out = look_answer;
	ret = look_fails;
	pthread_mutex_unlock(&mutex);
	return ret ? err_set(e, ret, "it is shut off") : 0;
}

static int play_set_ram(struct virt_domain *d, uint64_t bytes, struct err *e)
{
	int ret;

	(void)d;
	pthread_mutex_lock(&mutex);
	pass();
	targets++;
	target = bytes;
	ret = target_fails;
	pthread_mutex_unlock(&mutex);
	return ret ? err_set(e, ret, "balloon: cannot") : 0;
}

static void play_close(struct virt_domain *d)
{
	(void)d;
	pthread_mutex_lock(&mutex);
	closes++;
	pthread_mutex_unlock(&mutex);
}

static const struct virt_api api = {
	.open = play_open,
	.look = play_look,
	.set_ram = play_set_ram,
	.close = play_close,
};

static void set_hold(bool on)
{
	pthread_mutex_lock(&mutex);
	hold = on;
	pthread_cond_broadcast(&opened);
	pthread_mutex_unlock(&mutex);
}

static unsigned int read_of(const unsigned int *n)
{
	unsigned int value;

	pthread_mutex_lock(&mutex);
	value = *n;
	pthread_mutex_unlock(&mutex);
	return value;
}

static void changed(void *arg)
{
	(void)arg;
	changes++;
	if (destroy_in_callback) {
		monitor_destroy(m);
		m = NULL;
	} else {
		monitor_figures(m, &f);
	}
}

static void panicked(void *arg)
{
	(void)arg;
	panics++;
}

struct until {
	bool (*is_so)(uint64_t arg);
	uint64_t arg, end;
	bool met;
};

static void until_look(void *arg)
{
	struct until *u = arg;

	u->met = u->is_so(u->arg);
	if (u->met || clock_ns() > u->end)
		loop_stop(loop);
}

static void run_until(bool (*is_so)(uint64_t arg), uint64_t arg)
{
	struct until u = { .is_so = is_so, .arg = arg, .end = clock_ns() + GUARD };
	struct loop_watch *w = loop_every(loop, 1, until_look, &u);

	cr_assert(loop_run(loop) == 0);
	loop_remove(w);
	cr_assert(u.met, "what was waited for has not happened");
}

static bool state_is(uint64_t state)
{
	return (uint64_t)monitor_state(m) == state;
}

static bool changes_are(uint64_t n)
{
	return changes >= n;
}

static bool is_held(uint64_t n)
{
	return read_of(&held) >= n;
}

static bool closes_are(uint64_t n)
{
	return read_of(&closes) >= n;
}

static bool opens_are(uint64_t n)
{
	return read_of(&opens) >= n;
}

static unsigned int ticks;

static bool ticked(uint64_t n)
{
	return ++ticks > n;
}

static void passes(uint64_t ms)
{
	fake_ns += ms * NSEC_PER_MSEC;
	ticks = 0;
	run_until(ticked, 20);
}

static void start(void)
{
	static const struct monitor_ops ops = { .changed = changed, .panicked = panicked };
	struct err e;

	m = monitor_virt_with(loop, "test:///x", "one", &ops, &api, &conf, &e);
	cr_assert(m, "%s", e.text);
	cr_assert(monitor_state(m) == MONITOR_CONNECTING);
}

static void setup(void)
{
	fake_ns = 100000 * NSEC_PER_SEC;
	loop = loop_create();
	look_answer = (struct virt_look){
		.running = true,
		.balloon = true,
		.actual = 100,
		.told = 1000000000,
		.has_free = true,
		.free = 30,
		.available = 40,
		.total = 90,
		.deflate_on_oom = true,
		.vcpu = { 7, 8 },
		.vcpus = 2,
	};
}

static unsigned int threads(void)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *entry;
	unsigned int n = 0;

	while ((entry = readdir(d))) {
		char path[64], comm[32] = "";
		FILE *file;

		/* no more than 3 digits would be . and .. */
		snprintf(path, sizeof(path), "/proc/self/task/%.20s/comm", entry->d_name);
		file = fopen(path, "r");
		if (file && fgets(comm, sizeof(comm), file))
			n += strcmp(comm, "drum-libvirt\n") == 0;
		if (file)
			fclose(file);
	}
	closedir(d);
	return n;
}

static bool threads_are(uint64_t n)
{
	return threads() == n;
}

static void teardown(void)
{
	monitor_destroy(m);
	set_hold(false);
	run_until(threads_are, 0);
	loop_destroy(loop);
}

TestSuite(monitor_virt, .init = setup, .fini = teardown, .timeout = 60);

Test(monitor_virt, figures)
{
	pid_t tid[2];

	start();
	run_until(state_is, MONITOR_UP);
	cr_assert(f.balloon && f.running && f.actual == 100 && f.at == fake_ns);
	cr_assert(f.stats && f.free == 30 && f.available == 40 && f.total == 90);
	cr_assert(f.deflate_on_oom && !f.reports_free && f.stats_at == 1);
	cr_assert(monitor_vcpus(m, tid, 2) == 2 && tid[0] == 7 && tid[1] == 8);
	look_answer.told++;
	fake_ns += NSEC_PER_SEC;
	monitor_poll(m, 5);
	run_until(changes_are, 2);
	cr_assert(f.stats_at == fake_ns && seconds_asked == 5);
	look_answer.told = 0;
	monitor_poll(m, 5);
	run_until(changes_are, 3);
	cr_assert(!f.stats && f.balloon);
	cr_assert(opens == 1 && closes == 0);
}

Test(monitor_virt, one_thread_a_domain)
{
	start();
	run_until(state_is, MONITOR_UP);
	cr_assert(threads() == 1);
	monitor_destroy(m);
	m = NULL;
	run_until(threads_are, 0);
	cr_assert(closes == 1);
}

/* A call that hangs: lost in time, nothing waits for it, and up again when it returns. */
Test(monitor_virt, hangs)
{
	start();
	run_until(state_is, MONITOR_UP);
	set_hold(true);
	monitor_poll(m, 1);
	run_until(is_held, 1);
	passes(4999);
	cr_assert(monitor_state(m) == MONITOR_UP);
	passes(1);
	cr_assert(monitor_state(m) == MONITOR_LOST);
	cr_assert_str_eq(monitor_why(m), "libvirt does not answer");
	cr_assert(!f.balloon && monitor_vcpus(m, NULL, 0) == 0);
	monitor_poll(m, 1);
	monitor_set_ram(m, 55);
	monitor_set_ram(m, 66);
	passes(60 * 1000);
	cr_assert(changes == 2, "told once");
	set_hold(false);
	run_until(state_is, MONITOR_UP);
	run_until(changes_are, 4);
	cr_assert(targets == 1 && target == 66);
	cr_assert(f.balloon);
}

Test(monitor_virt, hangs_at_the_open)
{
	hold = true;
	start();
	run_until(is_held, 1);
	passes(5000);
	cr_assert(monitor_state(m) == MONITOR_LOST);
	set_hold(false);
	run_until(state_is, MONITOR_UP);
}

Test(monitor_virt, destroyed_while_it_hangs)
{
	start();
	run_until(state_is, MONITOR_UP);
	set_hold(true);
	monitor_poll(m, 1);
	run_until(is_held, 1);
	monitor_destroy(m);
	m = NULL;
	cr_assert(threads() == 1, "it is in its call");
	set_hold(false);
	run_until(closes_are, 1);
	run_until(threads_are, 0);
	cr_assert(changes == 1);
}

Test(monitor_virt, one_that_hangs_holds_up_no_other)
{
	struct monitor *hanging;

	start();
	run_until(state_is, MONITOR_UP);
	hanging = m;
	set_hold(true);
	monitor_poll(hanging, 1);
	run_until(is_held, 1);
	pthread_mutex_lock(&mutex);
	hold = false; /* not told to the one that waits */
	pthread_mutex_unlock(&mutex);
	start();
	run_until(state_is, MONITOR_UP);
	cr_assert(read_of(&held) == 1);
	monitor_destroy(hanging);
}

Test(monitor_virt, fails_and_comes_back)
{
	unsigned int i, ms = 1000;

	open_fails = -ENOENT;
	start();
	run_until(state_is, MONITOR_LOST);
	cr_assert_str_eq(monitor_why(m), "no such domain");
	monitor_set_ram(m, 77);
	for (i = 1; i < 8; i++) {
		passes(ms - 1);
		cr_assert(read_of(&opens) == i, "too early");
		passes(1);
		run_until(opens_are, i + 1);
		run_until(changes_are, i + 1);
		ms = ms < 32000 ? ms * 2 : 60000;
	}
	open_fails = 0;
	passes(60000);
	run_until(state_is, MONITOR_UP);
	cr_assert(target == 77, "what was not done is not forgotten");
	cr_assert(closes == 0);
	look_fails = -EIO;
	monitor_poll(m, 1);
	run_until(state_is, MONITOR_LOST);
	cr_assert_str_eq(monitor_why(m), "it is shut off");
	cr_assert(closes == 1, "and opened anew");
}

Test(monitor_virt, target_refused)
{
	start();
	run_until(state_is, MONITOR_UP);
	target_fails = -EIO;
	monitor_set_ram(m, 5);
	run_until(changes_are, 2);
	cr_assert(monitor_state(m) == MONITOR_UP);
	cr_assert_str_eq(monitor_why(m), "balloon: cannot");
	target_fails = 0;
	monitor_set_ram(m, 6);
	run_until(changes_are, 3);
	cr_assert_str_eq(monitor_why(m), "");
	cr_assert(targets == 2 && target == 6);
}

Test(monitor_virt, panic_is_told_once)
{
	start();
	run_until(state_is, MONITOR_UP);
	look_answer.panicked = true;
	look_answer.running = false;
	monitor_poll(m, 1);
	while (panics == 0)
		passes(0);
	monitor_poll(m, 1);
	run_until(changes_are, 2);
	cr_assert(panics == 1 && !f.running);
}

Test(monitor_virt, destroyed_by_whoever_is_told)
{
	destroy_in_callback = true;
	start();
	run_until(changes_are, 1);
	run_until(threads_are, 0);
	cr_assert(changes == 1);
}

Test(monitor_virt, names_that_are_too_long)
{
	static char name[300];
	struct err e;

	memset(name, 'a', sizeof(name) - 1);
	cr_assert(!monitor_virt_with(loop, NULL, name, NULL, &api, &conf, &e));
	cr_assert(e.code == -ENAMETOOLONG);
	cr_assert(!monitor_virt_with(loop, name, "a", NULL, &api, &conf, &e));
}
