/* SPDX-License-Identifier: BSD-2-Clause */
#include <sys/epoll.h>

#include "balloon/monitor_priv.h"
#include "unit/played_qmp.h"

#define MIB (UINT64_C(1) << 20)

static struct monitor *m;
static struct monitor_figures f;
static unsigned int changes, panics;
static bool destroy_in_callback;

static void changed(void *arg)
{
	(void)arg;
	changes++;
	if (destroy_in_callback) {
		destroy_in_callback = false;
		monitor_destroy(m);
		m = NULL;
		return;
	}
	monitor_figures(m, &f);
}

static void panicked(void *arg)
{
	(void)arg;
	panics++;
}

static const struct monitor_ops ops = { .changed = changed, .panicked = panicked };

static void start(const char *id)
{
	m = monitor_qmp_with(loop, played_addr.sun_path, id, &ops, fast());
	cr_assert(m);
	cr_assert(monitor_state(m) == MONITOR_CONNECTING);
}

static void teardown(void)
{
	monitor_destroy(m);
	json_object_put(peer_command);
	played_teardown();
}

TestSuite(monitor, .init = played_setup, .fini = teardown, .timeout = 60);

/* Questions come in an order that is nobody's business but the chain's. */
static void is_asked_for(const char *command, const char *key, const char *value)
{
	peer_is_asked(command);
	cr_assert_str_eq(member(arguments(), key), value, "%s of '%s'", key, command);
}

static void vcpus_are(const char *text)
{
	peer_is_asked("query-cpus-fast");
	peer_answers("return", text);
}

static bool state_is(void *arg)
{
	return monitor_state(m) == *(enum monitor_state *)arg;
}

static void becomes(enum monitor_state state)
{
	run_until(state_is, &state);
}

static bool has_changed(void *arg)
{
	return changes > *(unsigned int *)arg;
}

static void change_comes(unsigned int after)
{
	run_until(has_changed, &after);
}

/* Up, with a balloon of this id. */
static void comes_up(void)
{
	struct json_object *look;
	unsigned int before;

	start("b0");
	peer_negotiates();
	is_asked_for("qom-list", "path", "/machine/peripheral/b0");
	look = json_object_get(peer_command);
	vcpus_are("[]");
	json_object_put(peer_command);
	peer_command = look;
	peer_answers("return", "[]");
	is_asked_for("qom-get", "property", "deflate-on-oom");
	peer_answers("return", "true");
	is_asked_for("qom-get", "property", "free-page-reporting");
	before = changes;
	peer_answers("return", "true");
	change_comes(before);
}

static void poll_is_answered(const char *balloon, const char *stats)
{
	unsigned int before = changes;

	peer_is_asked("query-status");
	peer_answers("return", "{\"running\":true,\"status\":\"running\"}");
	peer_is_asked("query-balloon");
	peer_answers(balloon ? "return" : "error", balloon ? balloon : "{\"desc\":\"none\"}");
	if (stats) {
		is_asked_for("qom-get", "property", "guest-stats");
		cr_assert(changes == before, "told before all was there");
		peer_answers("return", stats);
	}
	change_comes(before);
}

Test(monitor, finds_the_first_balloon)
{
	start(NULL);
	peer_negotiates();
	is_asked_for("qom-list", "path", "/machine/peripheral");
	peer_answers("return",
		     "[{\"name\":\"type\",\"type\":\"string\"},"
		     "{\"name\":\"a/b\",\"type\":\"child<virtio-balloon-pci>\"},"
		     "{\"name\":\"x\",\"type\":\"child<virtio-blk-pci>\"},3,{\"name\":7}]");
	vcpus_are("[{\"thread-id\":17},{\"thread-id\":-1},{\"thread-id\":99999999999},4,"
		  "{\"thread-id\":18}]");
	is_asked_for("qom-list", "path", "/machine/peripheral-anon");
	peer_answers("return",
		     "[{\"name\":\"device[0]\",\"type\":\"child<e1000>\"},"
		     "{\"name\":\"device[1]\",\"type\":\"child<virtio-balloon-ccw>\"},"
		     "{\"name\":\"device[2]\",\"type\":\"child<virtio-balloon-pci>\"}]");
	is_asked_for("qom-get", "path", "/machine/peripheral-anon/device[1]");
	peer_answers("return", "false");
	is_asked_for("qom-get", "property", "free-page-reporting");
	peer_answers("error", "{\"desc\":\"Property not found\"}");
	turns();
	monitor_poll(m, 3);
	is_asked_for("qom-set", "path", "/machine/peripheral-anon/device[1]");
	cr_assert_str_eq(member(arguments(), "value"), "3");
	cr_assert(!f.deflate_on_oom && !f.reports_free);
}

Test(monitor, knows_vcpus)
{
	pid_t tid[4] = { 0 };

	start(NULL);
	peer_negotiates();
	peer_is_asked("qom-list");
	vcpus_are("[{\"thread-id\":17},{\"thread-id\":-1},{\"thread-id\":99999999999},4,"
		  "{\"thread-id\":18}]");
	change_comes(changes);
	cr_assert(monitor_vcpus(m, tid, 1) == 2);
	cr_assert(tid[0] == 17 && tid[1] == 0);
	cr_assert(monitor_vcpus(m, tid, 4) == 2);
	cr_assert(tid[1] == 18);
	peer_close();
	becomes(MONITOR_LOST);
	cr_assert(monitor_vcpus(m, tid, 4) == 0);
}

Test(monitor, more_vcpus_than_fit)
{
	static char text[600 * 32] = "[";
	size_t n = 1;
	int i;

	for (i = 1; i <= 600; i++)
		n += (size_t)sprintf(text + n, "{\"thread-id\":%d}%s", i, i < 600 ? "," : "]");
	start(NULL);
	peer_negotiates();
	peer_is_asked("qom-list");
	peer_is_asked("query-cpus-fast");
	peer_sends("{\"return\":");
	peer_sends(text);
	peer_sends(",\"id\":");
	peer_sends(member(peer_command, "id"));
	peer_sends("}");
	change_comes(changes);
	cr_assert(monitor_vcpus(m, NULL, 0) == MONITOR_VCPUS_MAX);
}

Test(monitor, no_such_device)
{
	start("gone");
	peer_negotiates();
	is_asked_for("qom-list", "path", "/machine/peripheral/gone");
	peer_answers("error", "{\"desc\":\"Device 'gone' not found\"}");
	change_comes(changes);
	cr_assert_str_eq(monitor_why(m), "balloon: Device 'gone' not found");
	cr_assert(monitor_state(m) == MONITOR_UP && !f.balloon);
}

Test(monitor, ids_that_cannot_be)
{
	cr_assert(monitor_qmp_with(loop, "x", "a/b", &ops, fast()) == NULL && errno == EINVAL);
	m = monitor_qmp_with(loop, played_addr.sun_path, "", &ops, fast());
	cr_assert(m, "none is as good as NULL");
}

Test(monitor, figures)
{
	comes_up();
	cr_assert(f.at == 0 && f.deflate_on_oom && f.reports_free && !f.stats);
	monitor_poll(m, 1);
	is_asked_for("qom-set", "value", "1");
	peer_answers("return", "{}");
	monitor_poll(m, 1); /* one is under way */
	poll_is_answered("{\"actual\":536870912}",
			 "{\"stats\":{\"stat-swap-out\":1,\"stat-swap-in\":2,"
			 "\"stat-available-memory\":400,\"stat-free-memory\":300,"
			 "\"stat-major-faults\":4,\"stat-minor-faults\":1000,"
			 "\"stat-total-memory\":500,\"stat-disk-caches\":50},"
			 "\"last-update\":1000000000}");
	cr_assert(f.balloon && f.actual == 512 * MIB && f.running && f.at == fake_ns);
	cr_assert(f.stats && f.free == 300 && f.available == 400 && f.total == 500);
	cr_assert(f.caches == 50 && f.swapped_in == 2 && f.swapped_out == 1);
	cr_assert(f.major_faults == 4);
	cr_assert(f.stats_at == 1, "what was told in 2001 is not new");

	/* the interval holds; the same time again is the same statistics */
	fake_ns += NSEC_PER_SEC;
	monitor_poll(m, 1);
	poll_is_answered("{\"actual\":1}", "{\"stats\":{\"stat-free-memory\":300,"
					   "\"stat-total-memory\":500},"
					   "\"last-update\":1000000000}");
	cr_assert(f.stats && f.stats_at == 1 && f.actual == 1);
	cr_assert(f.available == 300, "an old driver does not tell: what is free is less");

	/* and a later one is of now, wherever the wall clock stands */
	fake_ns += NSEC_PER_SEC;
	monitor_poll(m, 1);
	poll_is_answered("{\"actual\":1}", "{\"stats\":{\"stat-free-memory\":300,"
					   "\"stat-total-memory\":500},"
					   "\"last-update\":1000000001}");
	cr_assert(f.stats_at == fake_ns);
}

static const char *const unsupported[] = {
	"{\"stats\":{\"stat-free-memory\":-1,\"stat-total-memory\":5},\"last-update\":7}",
	"{\"stats\":{\"stat-free-memory\":5,\"stat-total-memory\":18446744073709551615},"
	"\"last-update\":7}",
	"{\"stats\":{\"stat-free-memory\":5,\"stat-total-memory\":7},\"last-update\":0}",
	"{\"stats\":{\"stat-free-memory\":\"5\",\"stat-total-memory\":7},\"last-update\":7}",
	"{\"stats\":{\"stat-free-memory\":5.5,\"stat-total-memory\":7},\"last-update\":7}",
	"{\"stats\":[],\"last-update\":7}",
	"[]",
	"null",
	"{}",
};

Test(monitor, statistics_that_are_none)
{
	size_t i;

	comes_up();
	monitor_poll(m, 1);
	is_asked_for("qom-set", "value", "1");
	peer_answers("return", "{}");
	for (i = 0; i < sizeof(unsupported) / sizeof(unsupported[0]); i++) {
		if (i > 0)
			monitor_poll(m, 1);
		poll_is_answered("{\"actual\":5}", unsupported[i]);
		cr_assert(f.balloon && !f.stats && f.stats_at == 0, "%s", unsupported[i]);
	}
}

Test(monitor, no_driver)
{
	comes_up();
	monitor_poll(m, 1);
	is_asked_for("qom-set", "value", "1");
	peer_answers("error", "{\"desc\":\"timer says no\"}");
	poll_is_answered(NULL, "{}");
	cr_assert(!f.balloon && monitor_state(m) == MONITOR_UP);
	cr_assert_str_eq(monitor_why(m), "guest-stats-polling-interval: timer says no");
	/* asked for again */
	monitor_poll(m, 1);
	is_asked_for("qom-set", "value", "1");
}

Test(monitor, interval_changes)
{
	comes_up();
	monitor_poll(m, 1);
	is_asked_for("qom-set", "value", "1");
	peer_answers("return", "{}");
	poll_is_answered("{\"actual\":5}", "{}");
	monitor_poll(m, 10);
	is_asked_for("qom-set", "value", "10");
}

Test(monitor, what_happens_is_told)
{
	unsigned int before;

	comes_up();
	before = changes;
	peer_sends("{\"event\":\"BALLOON_CHANGE\",\"data\":{\"actual\":77}}");
	change_comes(before);
	cr_assert(f.actual == 77);
	peer_sends("{\"event\":\"RESUME\"}");
	change_comes(before + 1);
	cr_assert(f.running);
	peer_sends("{\"event\":\"STOP\"}");
	change_comes(before + 2);
	cr_assert(!f.running);
	peer_sends("{\"event\":\"BALLOON_CHANGE\",\"data\":{\"actual\":-3}}"
		   "{\"event\":\"BALLOON_CHANGE\"}{\"event\":\"NIC_RX_FILTER_CHANGED\"}"
		   "{\"event\":\"GUEST_PANICKED\",\"data\":{\"action\":\"pause\"}}");
	while (panics == 0)
		turns();
	cr_assert(changes == before + 3 && f.actual == 77 && panics == 1);
}

Test(monitor, looks_again_for_what_is_plugged)
{
	comes_up();
	peer_sends("{\"event\":\"DEVICE_DELETED\",\"data\":{\"device\":\"b0\"}}");
	turns();
	monitor_poll(m, 1);
	is_asked_for("qom-list", "path", "/machine/peripheral/b0");
	peer_answers("error", "{\"desc\":\"Device 'b0' not found\"}");
	vcpus_are("[{\"thread-id\":5}]");
	is_asked_for("qom-set", "value", "1");
	peer_answers("return", "{}");
	poll_is_answered(NULL, "{}");
	cr_assert(!f.balloon && !f.deflate_on_oom && !f.reports_free);
	cr_assert(monitor_vcpus(m, NULL, 0) == 1);
	passes(29999);
	monitor_poll(m, 1);
	poll_is_answered(NULL, NULL);
	passes(1);
	monitor_poll(m, 1);
	is_asked_for("qom-list", "path", "/machine/peripheral/b0");
}

Test(monitor, only_the_last_target_counts)
{
	start("b0");
	monitor_set_ram(m, 111); /* before there is a link */
	monitor_set_ram(m, 222);
	peer_negotiates();
	peer_is_asked("qom-list");
	peer_is_asked("query-cpus-fast");
	is_asked_for("balloon", "value", "222");
	monitor_set_ram(m, 333);
	monitor_set_ram(m, 444);
	peer_answers("return", "{}");
	is_asked_for("balloon", "value", "444");
	monitor_set_ram(m, 444);
	peer_answers("return", "{}");
	turns();
	monitor_set_ram(m, UINT64_MAX);
	is_asked_for("balloon", "value", "18446744073709551615");
	peer_answers("error", "{\"desc\":\"Parameter 'target' expects a size\"}");
	turns();
	cr_assert_str_eq(monitor_why(m), "balloon: Parameter 'target' expects a size");
	cr_assert(monitor_state(m) == MONITOR_UP);
	monitor_set_ram(m, 555);
	is_asked_for("balloon", "value", "555");
	peer_answers("return", "{}");
	turns();
	cr_assert_str_eq(monitor_why(m), "");
}

Test(monitor, a_target_that_was_not_confirmed_is_said_to_the_next_link)
{
	comes_up();
	monitor_set_ram(m, 333);
	is_asked_for("balloon", "value", "333");
	peer_close();
	becomes(MONITOR_LOST);
	passes(1000);
	peer_negotiates();
	peer_is_asked("qom-list");
	peer_is_asked("query-cpus-fast");
	is_asked_for("balloon", "value", "333");
	peer_answers("return", "{}");
	turns();
	peer_close();
	becomes(MONITOR_LOST);
	passes(2000);
	peer_negotiates();
	peer_is_asked("qom-list");
	peer_is_asked("query-cpus-fast");
	becomes(MONITOR_UP);
	monitor_poll(m, 1);
	peer_is_asked("query-status");
}

Test(monitor, lost_and_up_again)
{
	comes_up();
	monitor_poll(m, 1);
	is_asked_for("qom-set", "value", "1");
	peer_answers("return", "{}");
	poll_is_answered("{\"actual\":5}", "{}");
	monitor_poll(m, 1);
	peer_is_asked("query-status");
	passes(5000);
	becomes(MONITOR_LOST);
	cr_assert(strstr(monitor_why(m), "does not answer"), "%s", monitor_why(m));
	cr_assert(!f.balloon && monitor_vcpus(m, NULL, 0) == 0);
	monitor_poll(m, 1); /* nothing */
	monitor_destroy(m);
	m = NULL;
	/* it may be another VMM now, that has no interval yet */
	peer_close();
	comes_up();
	monitor_poll(m, 1);
	is_asked_for("qom-set", "value", "1");
}

Test(monitor, destroyed_by_whoever_is_told)
{
	start("b0");
	destroy_in_callback = true;
	peer_negotiates();
	while (changes == 0)
		turns();
	turns();
	cr_assert(changes == 1 && m == NULL);
}
