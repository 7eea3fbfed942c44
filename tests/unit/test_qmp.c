/* SPDX-License-Identifier: BSD-2-Clause */
/* The QMP server: the stream, commands and answers, slow clients, events. */
#include <sys/ioctl.h>
#include <sys/resource.h>

#include <linux/sockios.h>

#include "unit/qmp_server_run.h"

TestSuite(qmp, .init = setup, .fini = teardown);

Test(qmp, negotiation)
{
	struct peer *p = peer_connect();

	expect(p, GREETING);
	say(p, "{\"execute\":\"query-version\",\"id\":5}");
	expect(p, "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"Expecting capabilities "
		  "negotiation with 'qmp_capabilities'\"},\"id\":5}");
	say(p, "{\"execute\":\"nope\"}");
	expect(p, NOT_FOUND("Expecting capabilities negotiation with 'qmp_capabilities'"));
	say(p, "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}");
	expect(p, GENERIC("Parameter 'enable[0]' does not accept value 'oob'"));
	say(p, "{\"execute\":\"query-version\"}");
	expect(p, NOT_FOUND("Expecting capabilities negotiation with 'qmp_capabilities'"));
	say(p, "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[]},\"id\":1}");
	expect(p, "{\"return\":{},\"id\":1}");
	say(p, NEGOTIATE);
	expect(p, NOT_FOUND("Capabilities negotiation is already complete, command ignored"));
	say(p, "{\"execute\":\"query-version\"}");
	expect(p, "{\"return\":{\"qemu\":{\"micro\":0,\"minor\":1,\"major\":0},"
		  "\"package\":\"drum 0.1.0\"}}");
	say(p, "{\"execute\":\"nope\",\"id\":\"x\"}");
	expect(p, "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"The command nope has "
		  "not been found\"},\"id\":\"x\"}");
	peer_close(p);
}

Test(qmp, ids_of_all_types)
{
	static const char *const ids[] = {
		"null",	 "true", "0",		"-1",	      "18446744073709551615",
		"1.50",	 "\"\"", "\"x\"",	"[1,[2,{}]]", "{\"a\":{\"b\":null}}",
		"1e999", "[]",	 "\"\\u00E9\"",
	};
	struct peer *p = peer_ready();
	char text[256];
	size_t i;

	for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		snprintf(text, sizeof(text), "{\"execute\":\"query-guests\",\"id\":%s}",
			 ids[i]);
		say(p, text);
		snprintf(text, sizeof(text), "{\"return\":[],\"id\":%s}", ids[i]);
		expect(p, text);
		/* also in refusals */
		snprintf(text, sizeof(text), "{\"id\":%s,\"x\":0}", ids[i]);
		say(p, text);
		snprintf(text, sizeof(text),
			 "{\"error\":{\"class\":\"GenericError\",\"desc\":\"QMP input "
			 "member 'x' "
			 "is unexpected\"},\"id\":%s}",
			 ids[i]);
		expect(p, text);
	}
	peer_close(p);
}

static const struct {
	const char *in, *out;
} refusals[] = {
	{ "[]", GENERIC("QMP input must be a JSON object") },
	{ "null ", GENERIC("QMP input must be a JSON object") },
	{ "5 ", GENERIC("QMP input must be a JSON object") },
	{ "{}", GENERIC("QMP input lacks member 'execute'") },
	{ "{'execute':5}", GENERIC("QMP input member 'execute' must be a string") },
	{ "{'execute':null}", GENERIC("QMP input member 'execute' must be a string") },
	{ "{'execute':'query-guests','arguments':[]}",
	  GENERIC("QMP input member 'arguments' must be an object") },
	{ "{'execute':'query-guests','arguments':null}",
	  GENERIC("QMP input member 'arguments' must be an object") },
	{ "{'execute':'query-guests','exec-oob':'query-guests'}",
	  GENERIC("QMP input member 'exec-oob' is unexpected") },
	{ "{'execute':''}", NOT_FOUND("The command  has not been found") },
	{ "{'execute':'qmp_capabilities ','arguments':{}}",
	  NOT_FOUND("The command qmp_capabilities  has not been found") },
	{ "{'execute':'guest-in'}", GENERIC("Parameter 'name' is missing") },
	{ "{'execute':'guest-in','arguments':{'name':1}}",
	  GENERIC("Invalid parameter type for 'name', expected: string") },
	{ "{'execute':'guest-in','arguments':{'name':'a','x':1}}",
	  GENERIC("Parameter 'x' is unexpected") },
	{ "{'execute':'guest-attach','arguments':{'name':'a','pid':'1'}}",
	  GENERIC("Invalid parameter type for 'pid', expected: integer") },
	{ "{'execute':'guest-in','arguments':{'name':'a'}}", GENERIC("no guest is named 'a'") },
	{ "hello\n", GENERIC("JSON parse error, invalid keyword 'hello'") },
	{ "{'a':1,'a':2}", GENERIC("JSON parse error, duplicate key") },
	{ "\377", GENERIC("JSON parse error, stray '\\uFFFD'") },
};

Test(qmp, refusals)
{
	struct peer *p = peer_ready();
	size_t i;

	for (i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		say(p, refusals[i].in);
		expect(p, refusals[i].out);
		/* and all is well again, without a newline in between */
		say(p, "{'execute':'query-guests'}");
		expect(p, "{\"return\":[]}");
	}
	peer_close(p);
}

/* Has the server read all that this one sent? */
static struct peer *watched;

static bool all_taken(void)
{
	int n;

	cr_assert(ioctl(watched->fd, SIOCOUTQ, &n) == 0);
	return n == 0;
}

Test(qmp, byte_by_byte)
{
	static const char text[] =
		NEGOTIATE "{'execute':'guest-attach','arguments':{'pid':7,'name':'a'},'id':1}"
			  "{'execute':'guest-in','arguments':{'name':'a'},'id':2}";
	struct peer *p = watched = peer_connect();
	size_t i;

	for (i = 0; i < sizeof(text) - 1; i++) {
		peer_send(p, text + i, 1);
		wait_until(all_taken);
	}
	expect(p, GREETING);
	expect(p, OK);
	expect(p, "{\"return\":{},\"id\":1}");
	expect(p, "{\"return\":{},\"id\":2}");
	peer_close(p);
}

Test(qmp, all_in_one_write)
{
	struct peer *p = peer_connect();

	say(p, NEGOTIATE "{'execute':'query-guests'}\n{'id':1} 5 {'execute':'query-guests'}");
	expect(p, GREETING);
	expect(p, OK);
	expect(p, "{\"return\":[]}");
	expect(p, "{\"error\":{\"class\":\"GenericError\",\"desc\":\"QMP input lacks member "
		  "'execute'\"},\"id\":1}");
	expect(p, GENERIC("QMP input must be a JSON object"));
	expect(p, "{\"return\":[]}");
	peer_close(p);
}

Test(qmp, answers_are_ascii)
{
	struct peer *p = peer_ready();

	say(p, "{'execute':'swap-on','arguments':{'path':'/\303\251'}}"
	       "{'execute':'query-swap-devices'}");
	expect(p, OK);
	cr_assert(strstr(hear(p), "\"path\":\"/\\u00E9\""), "%s", p->line);
	peer_close(p);
}

Test(qmp, deep_and_long_input)
{
	struct peer *p = peer_ready();
	char block[4096];
	int i;

	memset(block, '[', sizeof(block));
	for (i = 0; i < 100; i++) {
		watched = p;
		peer_send(p, block, sizeof(block));
		wait_until(all_taken);
	}
	say(p, "\377");
	expect(p, GENERIC("JSON nesting depth limit exceeded"));
	say(p, "{'execute':'query-guests'}");
	expect(p, "{\"return\":[]}");

	say(p, "{'execute':'");
	memset(block, 'x', sizeof(block));
	for (i = 0; i < 100; i++) {
		peer_send(p, block, sizeof(block));
		wait_until(all_taken);
	}
	say(p, "','arguments':{}}{'execute':'query-guests'}");
	expect(p, GENERIC("JSON token size limit exceeded"));
	expect(p, "{\"return\":[]}");
	peer_close(p);
}

Test(qmp, later_commands_wait)
{
	struct peer *p = peer_ready(), *other = peer_ready();

	fake_host_manual(host, true);
	say(p, "{'execute':'guest-attach','arguments':{'pid':7,'name':'a'},'id':1}"
	       "{'execute':'guest-out','arguments':{'name':'a'},'id':2}"
	       "{'execute':'query-guests','arguments':{'name':'b'},'id':3}");
	wait_until(one_pending);
	/* others are served meanwhile */
	say(other, "{'execute':'query-guests'}");
	expect(other, "{\"return\":[]}");
	cr_assert(fake_host_pending(host) == 1);
	fake_host_complete(host);
	expect(p, "{\"return\":{},\"id\":1}");
	cr_assert(fake_host_pending(host) == 1);
	cr_assert_str_eq(fake_host_log(host), "guest-attach a 7;");
	fake_host_complete(host);
	expect(p, "{\"return\":{},\"id\":2}");
	expect(p, "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no guest is named "
		  "'b'\"},\"id\":3}");
	peer_close(p);
	peer_close(other);
}

Test(qmp, waiting_input_is_bounded)
{
	static const char command[] = "{'execute':'query-guests'}";
	struct peer *p = peer_ready();
	size_t sent = 0, i;

	fake_host_manual(host, true);
	say(p, "{'execute':'guest-attach','arguments':{'pid':7,'name':'a'}}");
	wait_until(one_pending);
	while (send(p->fd, command, sizeof(command) - 1, MSG_NOSIGNAL) > 0) {
		cr_assert(++sent < 1000000, "the server takes commands without end");
		if (sent % 100 == 0) { /* let it take what it would */
			struct peer *other = peer_ready();

			peer_close(other);
		}
	}
	cr_assert(errno == EAGAIN);
	cr_assert(sent > 0);
	fake_host_complete(host);
	expect(p, OK);
	for (i = 0; i < sent; i++)
		cr_assert(strstr(hear(p), "\"name\":\"a\""));
	peer_close(p);
}

Test(qmp, client_gone_before_its_answer)
{
	struct peer *p = peer_ready();

	fake_host_manual(host, true);
	say(p, "{'execute':'guest-attach','arguments':{'pid':7,'name':'a','limit':2097152},"
	       "'id':1}{'execute':'guest-out','arguments':{'name':'a'},'id':2}");
	wait_until(one_pending);
	peer_close(p);
	wait_until(no_client);
	/* the command is finished all the same, both of its steps; later ones are not
	 * begun */
	fake_host_complete(host);
	fake_host_complete(host);
	cr_assert(fake_host_pending(host) == 0);
	cr_assert_str_eq(fake_host_log(host), "guest-attach a 7;guest-set a 2097152;");
	p = peer_ready();
	say(p, "{'execute':'query-guests','arguments':{'name':'a'}}");
	cr_assert(strstr(hear(p), "\"limit\":2097152"));
	peer_close(p);
}

Test(qmp, server_gone_before_the_answer)
{
	struct peer *p = peer_ready();
	struct err e;

	fake_host_manual(host, true);
	say(p, "{'execute':'guest-attach','arguments':{'pid':7,'name':'a'}}");
	wait_until(one_pending);
	qmp_server_stop(server);
	expect(p, "EOF");
	fake_host_complete(host);
	peer_close(p);
	cr_assert(qmp_server_start(loop, listen_fd, host, manager, &server, &e) == 0);
	p = peer_ready();
	peer_close(p);
}

Test(qmp, half_closed_client_is_answered)
{
	struct peer *p = peer_ready();

	fake_host_manual(host, true);
	say(p, "{'execute':'guest-attach','arguments':{'pid':7,'name':'a'},'id':1}"
	       "{'execute':'query-guests','arguments':{'name':'b'}}");
	shutdown(p->fd, SHUT_WR);
	wait_until(one_pending);
	fake_host_complete(host);
	expect(p, "{\"return\":{},\"id\":1}");
	expect(p, GENERIC("no guest is named 'b'"));
	expect(p, "EOF");
	wait_until(no_client);
	peer_close(p);
}

Test(qmp, clients_that_come_and_go)
{
	struct peer *p;
	int i;

	for (i = 0; i < 200; i++) {
		p = peer_connect();
		if (i % 4 == 1)
			expect(p, GREETING);
		else if (i % 4 == 2)
			say(p, NEGOTIATE "{'execute':");
		else if (i % 4 == 3)
			say(p, NEGOTIATE "{'execute':'guest-attach','arguments':{'pid':7,"
					 "'name':'a'}}");
		peer_close(p);
		if (i % 10 == 9)
			wait_until(no_client);
	}
	wait_until(no_client);
	p = peer_ready();
	peer_close(p);
}

#define ASKED 2000

/*
 * Ask for more than the socket holds, and read nothing of it.  One write: the
 * socket counts what a write costs it, and would not take 2000 small ones.
 */
static void ask_without_reading(struct peer *p)
{
	static const char command[] = "{'execute':'query-commands'}";
	char *all = malloc(ASKED * sizeof(command)), *at = all;
	int i;

	for (i = 0; i < ASKED; i++)
		at = stpcpy(at, command);
	say(p, all);
	free(all);
}

static bool only_one_client(void)
{
	return qmp_server_clients(server) == 1;
}

Test(qmp, slow_client_is_not_served_further)
{
	struct qmp_limits limits = qmp_default_limits;
	struct peer *slow, *quick;
	int i;

	/* it would be dropped if commands were taken while it reads nothing */
	limits.out_pause = 50000;
	limits.out_max = 100000;
	qmp_server_set_limits(server, &limits);
	slow = peer_ready();
	quick = peer_ready();
	ask_without_reading(slow);
	for (i = 0; i < ASKED; i++) { /* turns enough for it to be served, were it so */
		say(quick, "{'execute':'query-guests'}");
		expect(quick, "{\"return\":[]}");
	}
	for (i = 0; i < ASKED; i++)
		cr_assert(strstr(hear(slow), "\"query-commands\""));
	say(slow, "{'execute':'query-guests'}");
	expect(slow, "{\"return\":[]}");
	peer_close(slow);
	peer_close(quick);
}

Test(qmp, half_closed_client_gets_all_its_answers)
{
	struct qmp_limits limits = qmp_default_limits;
	struct peer *slow, *quick;
	int i;

	/* all are answered before the end of the client's input is seen */
	limits.out_pause = SIZE_MAX;
	qmp_server_set_limits(server, &limits);
	slow = watched = peer_ready();
	quick = peer_ready();
	ask_without_reading(slow);
	shutdown(slow->fd, SHUT_WR);
	wait_until(all_taken);
	for (i = 0; i < 3; i++) { /* turns for it to see the end */
		say(quick, "{'execute':'query-guests'}");
		expect(quick, "{\"return\":[]}");
	}
	for (i = 0; i < ASKED; i++)
		cr_assert(strstr(hear(slow), "\"query-commands\""));
	expect(slow, "EOF");
	peer_close(slow);
	peer_close(quick);
}

Test(qmp, client_that_reads_nothing_is_dropped)
{
	struct qmp_limits limits = qmp_default_limits;
	struct peer *slow, *quick;

	limits.tick_ms = 1;
	limits.stall_ms = 20;
	qmp_server_set_limits(server, &limits);
	slow = peer_ready();
	quick = peer_ready();
	ask_without_reading(slow);
	wait_until(only_one_client);
	say(quick, "{'execute':'query-guests'}");
	expect(quick, "{\"return\":[]}");
	peer_close(slow);
	peer_close(quick);
}

Test(qmp, client_with_too_long_a_queue_is_dropped)
{
	struct qmp_limits limits = qmp_default_limits;
	struct peer *slow, *quick;

	limits.out_pause = SIZE_MAX;
	limits.out_max = 100000;
	limits.stall_ms = UINT32_MAX;
	qmp_server_set_limits(server, &limits);
	slow = peer_ready();
	quick = peer_ready();
	ask_without_reading(slow);
	wait_until(only_one_client);
	say(quick, "{'execute':'query-guests'}");
	expect(quick, "{\"return\":[]}");
	peer_close(slow);
	peer_close(quick);
}

Test(qmp, too_many_clients)
{
	struct qmp_limits limits = qmp_default_limits;
	struct peer *a, *b, *c;

	limits.clients = 2;
	qmp_server_set_limits(server, &limits);
	a = peer_ready();
	b = peer_ready();
	c = peer_connect();
	expect(c, GENERIC("Too many QMP clients, 2 are connected"));
	expect(c, "EOF");
	peer_close(c);
	peer_close(a);
	wait_until(only_one_client);
	c = peer_ready();
	peer_close(b);
	peer_close(c);
}

static bool two_clients(void)
{
	return qmp_server_clients(server) == 2;
}

/* Out of descriptors: the one that waits is served when there are some again. */
Test(qmp, no_descriptors)
{
	struct qmp_limits limits = qmp_default_limits;
	struct rlimit few, many;
	struct peer *a, *b;
	int lowest;

	limits.tick_ms = 1;
	qmp_server_set_limits(server, &limits);
	a = peer_ready();
	b = peer_connect();
	cr_assert(getrlimit(RLIMIT_NOFILE, &many) == 0);
	few = many;
	lowest = dup(0);
	close(lowest);
	few.rlim_cur = (rlim_t)lowest + 1; /* for the timer of a wait */
	cr_assert(setrlimit(RLIMIT_NOFILE, &few) == 0);
	say(a, "{'execute':'query-guests'}");
	expect(a, "{\"return\":[]}");
	cr_assert(setrlimit(RLIMIT_NOFILE, &many) == 0);
	wait_until(two_clients);
	expect(b, GREETING);
	peer_close(a);
	peer_close(b);
}

Test(qmp, many_guests)
{
	struct peer *p = peer_ready();
	char text[128];
	int i;

	for (i = 0; i < 64; i++) {
		snprintf(text, sizeof(text),
			 "{'execute':'guest-attach','arguments':{'pid':%d,'name':'guest-%d'}}",
			 i + 1, i);
		say(p, text);
		expect(p, OK);
	}
	say(p, "{'execute':'query-guests','id':'all'}");
	hear(p);
	cr_assert(!strncmp(p->line, "{\"return\":[{\"name\":\"guest-0\",", 29), "%s", p->line);
	say(p, "{'execute':'guest-attach','arguments':{'pid':65,'name':'x'}}");
	expect(p, GENERIC("the fake is full"));
	peer_close(p);
}

/* --- events ---------------------------------------------------------------- */

/* It happens between two turns of the loop. */
static void happen(const char *name, const char *path, uint64_t number)
{
	struct host_event event = { .name = name,
				    .field = { { .key = "number", .number = number },
					       { .key = "path", .text = path } } };

	if (!path)
		event.field[1].key = NULL;
	fake_host_event(host, &event);
}

/* As QEMU has them; the time is not looked at. */
static void expect_event(struct peer *p, const char *expected)
{
	static const char begin[] = "{\"timestamp\":{\"seconds\":";
	const char *line = hear(p), *rest = strchr(line, '}');
	unsigned long long seconds, us;

	cr_assert(!strncmp(line, begin, strlen(begin)) && rest, "%s", line);
	cr_assert(sscanf(line + strlen(begin), "%llu,\"microseconds\":%llu}", &seconds, &us) ==
			  2 &&
		  seconds > 1500000000 && us < 1000000);
	cr_assert_str_eq(rest, expected, "%s", line);
}

#define EVENT(name, number, path)                                                              \
	"},\"event\":\"" name "\",\"data\":{\"number\":" number ",\"path\":\"" path "\"}}"

/* Only the end of the test ends a second. */
static void hold_events(void)
{
	struct qmp_limits limits = qmp_default_limits;

	limits.event_ms = 1000000;
	qmp_server_set_limits(server, &limits);
}

/* All clients were cut off before it, and most come back when it was sent already. */
Test(qmp, that_the_pager_is_another_is_told_to_who_comes_after)
{
	struct peer *early = peer_ready(), *late;

	happen("PAGER_RESTARTED", NULL, 3);
	expect_event(early, "},\"event\":\"PAGER_RESTARTED\",\"data\":{\"number\":3}}");
	happen("SWAP_LOW", NULL, 1);
	expect_event(early, "},\"event\":\"SWAP_LOW\",\"data\":{\"number\":1}}");
	late = peer_connect();
	expect(late, GREETING);
	say(late, NEGOTIATE);
	expect(late, OK);
	expect_event(late, "},\"event\":\"PAGER_RESTARTED\",\"data\":{\"number\":3}}");
	say(late, "{'execute':'query-commands','id':1}");
	cr_assert(strstr(hear(late), "qmp_capabilities"));
	peer_close(early);
	peer_close(late);
}

Test(qmp, shares_of_events_are_percent)
{
	const struct host_event event = {
		.name = "HOST_PRESSURE",
		.field = { { .key = "some-avg10", .number = 123456, .percent = true } }
	};
	struct peer *p = peer_ready();

	fake_host_event(host, &event);
	expect_event(p, "},\"event\":\"HOST_PRESSURE\",\"data\":{\"some-avg10\":12.3456}}");
	peer_close(p);
}

Test(qmp, events_go_to_all_who_negotiated)
{
	struct peer *a = peer_ready(), *b = peer_ready(), *c = peer_connect();

	hold_events();
	expect(c, GREETING);
	happen("SWAP_DEVICE_ERROR", "/\303\251", UINT64_MAX);
	expect_event(a, EVENT("SWAP_DEVICE_ERROR", "18446744073709551615", "/\\u00E9"));
	expect_event(b, EVENT("SWAP_DEVICE_ERROR", "18446744073709551615", "/\\u00E9"));
	happen("SWAPBLOCKS_FULL", NULL, 0);
	expect_event(a, "},\"event\":\"SWAPBLOCKS_FULL\",\"data\":{\"number\":0}}");
	say(c, NEGOTIATE);
	expect(c, OK);
	peer_close(a);
	happen("SWAP_LOW", NULL, 1);
	expect_event(c, "},\"event\":\"SWAP_LOW\",\"data\":{\"number\":1}}");
	peer_close(b);
	peer_close(c);
	wait_until(no_client);
	happen("SWAP_OK", NULL, 1);
}

Test(qmp, an_event_is_not_an_answer)
{
	struct peer *p = peer_ready();

	fake_host_manual(host, true);
	say(p, "{'execute':'guest-attach','arguments':{'pid':7,'name':'a'},'id':1}");
	wait_until(one_pending);
	happen("SWAP_LOW", "/a", 1);
	expect_event(p, EVENT("SWAP_LOW", "1", "/a"));
	fake_host_complete(host);
	expect(p, "{\"return\":{},\"id\":1}");
	peer_close(p);
}

Test(qmp, an_event_of_the_clients_own_command)
{
	struct peer *p = peer_ready();

	say(p, "{'execute':'swap-on','arguments':{'path':'/a'}}"
	       "{'execute':'swap-off','arguments':{'path':'/a'},'id':2}");
	expect(p, OK);
	expect_event(p, "},\"event\":\"SWAP_DEVICE_REMOVED\",\"data\":{\"path\":\"/a\"}}");
	expect(p, "{\"return\":{},\"id\":2}");
	peer_close(p);
}

Test(qmp, events_of_a_kind_are_held_back)
{
	struct peer *p = peer_ready();

	hold_events();
	happen("A", "/a", 1);
	happen("A", "/a", 2);
	happen("A", "/b", 3); /* another path */
	happen("B", "/a", 4); /* another name */
	happen("A", "/a", 5);
	happen("B", "/b", 6);
	expect_event(p, EVENT("A", "1", "/a"));
	expect_event(p, EVENT("A", "3", "/b"));
	expect_event(p, EVENT("B", "4", "/a"));
	expect_event(p, EVENT("B", "6", "/b"));
	say(p, "{'execute':'query-guests'}");
	expect(p, "{\"return\":[]}");
	peer_close(p);
}

/* The last that is sent of a level is the level that there is. */
Test(qmp, a_level_is_not_what_an_event_is_about)
{
	static const char *const levels[] = { "soft", "hard", "soft", "high" };
	struct qmp_limits limits = qmp_default_limits;
	struct peer *p = peer_ready();

	limits.event_ms = 5;
	qmp_server_set_limits(server, &limits);
	for (size_t i = 0; i < 4; i++) {
		struct host_event event = { .name = "HOST_MEMORY",
					    .field = {
						    { .key = "level", .text = levels[i] } } };

		fake_host_event(host, &event);
	}
	expect_event(p, "},\"event\":\"HOST_MEMORY\",\"data\":{\"level\":\"soft\"}}");
	expect_event(p, "},\"event\":\"HOST_MEMORY\",\"data\":{\"level\":\"high\"}}");
	say(p, "{'execute':'query-guests'}");
	expect(p, "{\"return\":[]}");
	peer_close(p);
}

Test(qmp, the_last_of_a_kind_is_sent_in_the_end)
{
	struct qmp_limits limits = qmp_default_limits;
	struct peer *p = peer_ready();
	int i;

	limits.event_ms = 5;
	qmp_server_set_limits(server, &limits);
	/* the loop does not run meanwhile, and with it no time passes */
	for (i = 1; i <= 5; i++)
		happen("A", "/a", (uint64_t)i);
	happen("B", "/a", 6);
	expect_event(p, EVENT("A", "1", "/a"));
	expect_event(p, EVENT("B", "6", "/a"));
	expect_event(p, EVENT("A", "5", "/a"));
	say(p, "{'execute':'query-guests'}");
	expect(p, "{\"return\":[]}");
	peer_close(p);
}

Test(qmp, too_many_kinds_of_events)
{
	struct peer *p = peer_ready();
	char path[32], expected[128];
	int i;

	hold_events();
	happen("A", "/0", 0);
	happen("A", "/0", 1000);
	for (i = 1; i <= 256; i++) { /* one more than are remembered */
		snprintf(path, sizeof(path), "/%d", i);
		happen("A", path, (uint64_t)i);
	}
	for (i = 0; i <= 255; i++) {
		snprintf(expected, sizeof(expected),
			 "},\"event\":\"A\",\"data\":{\"number\":%d,\"path\":\"/%d\"}}", i, i);
		expect_event(p, expected);
	}
	/* the oldest made room, and what it kept was not lost */
	expect_event(p, EVENT("A", "1000", "/0"));
	expect_event(p, EVENT("A", "256", "/256"));
	peer_close(p);
}

Test(qmp, client_that_reads_no_events_is_dropped)
{
	struct qmp_limits limits = qmp_default_limits;
	struct peer *slow, *quick;
	char path[32];
	int i;

	limits.out_max = 10000;
	limits.stall_ms = UINT32_MAX;
	limits.event_ms = 1000000;
	qmp_server_set_limits(server, &limits);
	slow = peer_ready();
	quick = peer_ready();
	for (i = 0; qmp_server_clients(server) == 2; i++) {
		cr_assert(i < 1000000, "events are kept without end");
		snprintf(path, sizeof(path), "/%d", i);
		happen("A", path, 1);
		while (strstr(hear(quick), path) == NULL)
			;
	}
	peer_close(slow);
	peer_close(quick);
}
