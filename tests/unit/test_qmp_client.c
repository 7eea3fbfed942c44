/* SPDX-License-Identifier: BSD-2-Clause */
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include <linux/sockios.h>

#include "unit/played_qmp.h"

static struct qmp_client *client;
static bool is_up, is_down;
static unsigned int ups, downs, answers, events;
static char why[256], answer[256], event_name[64], event_data[256];
static bool destroy_in_callback;

static void up(void *arg)
{
	(void)arg;
	ups++;
	is_up = true;
	is_down = false;
	if (destroy_in_callback)
		qmp_client_destroy(client);
}

static void down(void *arg, const char *text)
{
	(void)arg;
	downs++;
	is_up = false;
	is_down = true;
	snprintf(why, sizeof(why), "%s", text);
	if (destroy_in_callback)
		qmp_client_destroy(client);
}

static void event(void *arg, const char *name, struct json_object *data)
{
	(void)arg;
	events++;
	snprintf(event_name, sizeof(event_name), "%s", name);
	snprintf(event_data, sizeof(event_data), "%s", json_object_to_json_string(data));
	if (destroy_in_callback)
		qmp_client_destroy(client);
}

static void got(void *arg, struct json_object *value, const char *text)
{
	*(bool *)arg = true;
	answers++;
	snprintf(answer, sizeof(answer), "%s", text ? text : json_object_to_json_string(value));
	if (destroy_in_callback)
		qmp_client_destroy(client);
}

static const struct qmp_client_ops ops = { .up = up, .down = down, .event = event };

static void start(void)
{
	client = qmp_client_create(loop, played_addr.sun_path, fast(), &ops, NULL);
	cr_assert(client);
}

static void setup(void)
{
	played_setup();
	start();
}

static void teardown(void)
{
	if (!destroy_in_callback)
		qmp_client_destroy(client);
	json_object_put(peer_command);
	played_teardown();
}

TestSuite(qmp_client, .init = setup, .fini = teardown, .timeout = 60);

static void comes_up(void)
{
	peer_negotiates();
	run_until(is_true, &is_up);
}

static void goes_down(const char *because)
{
	run_until(is_true, &is_down);
	cr_assert(strstr(why, because), "'%s' is not '%s'", why, because);
	cr_assert(!qmp_client_is_up(client));
}

Test(qmp_client, talks)
{
	bool answered = false, refused = false;

	comes_up();
	cr_assert(qmp_client_is_up(client));
	cr_assert(qmp_client_ask(client, "query-x", NULL, got, &answered) == 0);
	peer_is_asked("query-x");
	/* in pieces, behind an event, and two in one write */
	peer_sends("{\"timestamp\":{\"seconds\":1,\"microseconds\":2},\"event\":\"BALLO");
	turns();
	cr_assert(events == 0 && !answered);
	peer_sends("ON_CHANGE\",\"data\":{\"actual\":5}}");
	peer_answers("return", "{\"a\":18446744073709551615}");
	run_until(is_true, &answered);
	cr_assert_str_eq(answer, "{ \"a\": 18446744073709551615 }");
	cr_assert_str_eq(event_name, "BALLOON_CHANGE");
	cr_assert_str_eq(event_data, "{ \"actual\": 5 }");
	cr_assert(qmp_client_ask(client, "y", NULL, got, &refused) == 0);
	peer_is_asked("y");
	peer_answers("error", "{\"class\":\"GenericError\",\"desc\":\"no\\nsuch \\u00fc\"}");
	run_until(is_true, &refused);
	cr_assert_str_eq(answer, "no such   ");
	cr_assert(ups == 1 && downs == 0 && events == 1);
}

Test(qmp_client, answers_find_their_commands_in_any_order)
{
	bool first = false, second = false;
	struct json_object *early;

	comes_up();
	cr_assert(qmp_client_ask(client, "one", NULL, got, &first) == 0);
	cr_assert(qmp_client_ask(client, "two", NULL, got, &second) == 0);
	peer_is_asked("one");
	early = json_object_get(peer_command);
	peer_is_asked("two");
	peer_answers("return", "2");
	run_until(is_true, &second);
	cr_assert(!first);
	cr_assert_str_eq(answer, "2");
	/* the same again, and one to nobody */
	peer_answers("return", "3");
	peer_sends("{\"return\":4,\"id\":4711}{\"return\":5,\"id\":-1}{\"return\":6,\"id\":0}");
	json_object_put(peer_command);
	peer_command = early;
	peer_answers("return", "1");
	run_until(is_true, &first);
	cr_assert(answers == 2);
	cr_assert_str_eq(answer, "1");
}

Test(qmp_client, no_greeting)
{
	peer_accept();
	passes(4999);
	cr_assert(downs == 0);
	passes(1);
	goes_down("does not greet");
}

Test(qmp_client, hangs_at_the_negotiation)
{
	peer_accept();
	peer_sends(PLAYED_GREETING);
	peer_is_asked("qmp_capabilities");
	passes(4999);
	cr_assert(downs == 0);
	passes(1);
	goes_down("does not answer 'qmp_capabilities'");
	cr_assert(ups == 0);
}

Test(qmp_client, hangs_at_a_command)
{
	bool answered = false;

	comes_up();
	passes(3000);
	cr_assert(qmp_client_ask(client, "query-x", NULL, got, &answered) == 0);
	/* what else it says does not count */
	passes(4000);
	peer_sends("{\"event\":\"E\"}");
	passes(999);
	cr_assert(events == 1 && downs == 0);
	passes(1);
	goes_down("does not answer 'query-x'");
	cr_assert(!answered);
	/* the answer of that link is not taken for one of the next */
	peer_is_asked("query-x");
	is_up = false;
	passes(1000);
	comes_up();
	peer_sends("{\"return\":1,\"id\":2}");
	turns();
	cr_assert(!answered && downs == 1);
}

Test(qmp_client, we_who_were_late_find_the_answer)
{
	bool answered = false;

	comes_up();
	cr_assert(qmp_client_ask(client, "query-x", NULL, got, &answered) == 0);
	peer_is_asked("query-x");
	fake_ns += 3600 * NSEC_PER_SEC;
	/* its tick has come before the answer has, so it is what the loop sees first */
	for (uint64_t until = clock_ns() + 5 * NSEC_PER_MSEC; clock_ns() < until;)
		;
	peer_answers("return", "1");
	run_until(is_true, &answered);
	cr_assert(downs == 0);
}

Test(qmp_client, refuses_to_talk)
{
	peer_accept();
	peer_sends(PLAYED_GREETING);
	peer_is_asked("qmp_capabilities");
	peer_answers("error", "{\"class\":\"GenericError\",\"desc\":\"not you\"}");
	goes_down("it refuses to talk: not you");
}

static const struct wrong {
	const char *text, *because;
	bool before; /* the greeting */
} wrongs[] = {
	{ "SSH-2.0-OpenSSH_9.2\r\n", "not QMP", true },
	{ "{\"hello\":1}", "does not greet", true },
	{ "[1,2]", "not QMP", true },
	{ "\x01\xff\x80", "not QMP", true },
	{ "null\n", "not QMP", false },
	{ "17 ", "not QMP", false },
	{ "{\"event\":17}", "event without a name", false },
	{ "{\"event\":\"a\\u0000b\"}", "not QMP", false },
	{ "{}", "neither an answer nor an event", false },
	{ "{\"return\":{}}", "did not understand", false },
	{ "{\"error\":{\"desc\":\"JSON parse error\"}}", "JSON parse error", false },
	{ "{\"error\":[],\"id\":\"x\"}", "an error without words", false },
	{ "{\"return\":1,\"id\":1", NULL, false }, /* and closes in the middle */
};

Test(qmp_client, garbage)
{
	size_t i;

	for (i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		is_up = is_down = false;
		if (wrongs[i].before)
			peer_accept();
		else
			comes_up();
		peer_sends(wrongs[i].text);
		if (!wrongs[i].because)
			peer_close();
		goes_down(wrongs[i].because ? wrongs[i].because : "closed the connection");
		fake_ns += 60 * NSEC_PER_SEC;
	}
	cr_assert(answers == 0);
}

Test(qmp_client, a_value_that_never_ends)
{
	static char many[4096];
	ssize_t n = 0, total = 0;

	comes_up();
	memset(many, 'x', sizeof(many));
	peer_sends("{\"return\":\"");
	while (!is_down) {
		n = send(peer, many, sizeof(many), MSG_NOSIGNAL);
		if (n > 0)
			total += n;
		else if (errno != EAGAIN)
			break;
		turns();
	}
	goes_down("not QMP");
	cr_assert(total <= 512 * 1024, "%zd bytes were taken of it", total);
}

/* As much as the socket takes, again and again. => bytes that were taken */
static size_t floods(const char *text)
{
	size_t total = 0;
	ssize_t n;

	while (!is_down) {
		n = send(peer, text, strlen(text), MSG_NOSIGNAL);
		if (n > 0)
			total += (size_t)n;
		else if (errno == EAGAIN)
			turns();
		else
			break;
	}
	return total;
}

Test(qmp_client, a_flood_of_events)
{
	size_t n;

	comes_up();
	n = floods("{\"event\":\"A\",\"data\":{}}\r\n");
	goes_down("floods");
	cr_assert(events <= 2000, "%u events", events);
	cr_assert(n < 1024 * 1024);
}

Test(qmp_client, a_flood_of_bytes)
{
	static char text[100 * 1024];
	size_t n;

	comes_up();
	memset(text, ' ', sizeof(text) - 1);
	n = floods(text);
	goes_down("floods");
	cr_assert(n < 4 * 1024 * 1024, "%zu bytes", n);
}

Test(qmp_client, many_events_in_many_seconds_are_no_flood)
{
	unsigned int i;

	comes_up();
	for (i = 0; i < 4000; i++) {
		peer_sends("{\"event\":\"A\",\"data\":{}}\r\n");
		if (i % 100 == 99)
			turns();
		if (i % 1000 == 999)
			passes(1000);
	}
	turns();
	cr_assert(events == 4000 && downs == 0);
}

struct ear {
	struct loop_watch *watch;
	int fd[2];
	int all; /* bytes that the client has to read */
	bool between;
};

/* What it has not read is more than nothing, and less than all: it has let others go on. */
static void heard(void *arg, uint32_t revents)
{
	struct ear *e = arg;
	int left;

	(void)revents;
	cr_assert(ioctl(peer, SIOCOUTQ, &left) == 0);
	e->between |= left > 0 && left < e->all;
	if (left == 0) {
		loop_remove(e->watch);
		e->watch = NULL;
	}
}

static bool is_deaf(void *arg)
{
	return !((struct ear *)arg)->watch;
}

Test(qmp_client, others_have_their_turn_while_it_is_flooded)
{
	static char text[150 * 1024];
	struct ear ear = { 0 };
	int size = 1024 * 1024;

	comes_up();
	cr_assert(setsockopt(peer, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) == 0);
	memset(text, ' ', sizeof(text) - 1);
	peer_sends(text);
	cr_assert(ioctl(peer, SIOCOUTQ, &ear.all) == 0);
	cr_assert(pipe(ear.fd) == 0 && write(ear.fd[1], "x", 1) == 1);
	ear.watch = loop_add(loop, ear.fd[0], EPOLLIN, heard, &ear);
	run_until(is_deaf, &ear);
	cr_assert(ear.between && downs == 0);
	close(ear.fd[0]);
	close(ear.fd[1]);
}

Test(qmp_client, never_reads)
{
	unsigned int i, n = 0;
	bool answered;
	int ret = 0;

	comes_up();
	for (i = 0; ret == 0 && i < 1000; i++) {
		struct json_object *o = json_object_new_object();
		char text[900];

		memset(text, 'a', sizeof(text) - 1);
		text[sizeof(text) - 1] = '\0';
		json_object_object_add(o, "x", json_object_new_string(text));
		ret = qmp_client_ask(client, "x", o, got, &answered);
		n += ret == 0;
	}
	cr_assert(ret == -EBUSY && n == QMP_COMMANDS_MAX);
	passes(5000);
	goes_down("does not answer 'x'");
	cr_assert(answers == 0);
}

/* Ids can be guessed. What is answered before it is sent must not overfill what is to be sent.
 */
Test(qmp_client, answers_what_it_has_not_read)
{
	unsigned int i;
	int ret = 0;
	bool answered;
	char text[900];

	comes_up();
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (i = 0; i < 2000 && ret != -EBUSY; i++) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "x", json_object_new_string(text));
		answered = false;
		ret = qmp_client_ask(client, "x", o, got, &answered);
		if (ret == 0) {
			char reply[64];

			snprintf(reply, sizeof(reply), "{\"return\":1,\"id\":%u}", i + 2);
			peer_sends(reply);
			run_until(is_true, &answered);
		}
	}
	cr_assert(ret == -EBUSY, "%d after %u", ret, i);
	cr_assert(downs == 0);
}

Test(qmp_client, commands_that_cannot_be)
{
	struct json_object *o = json_object_new_object();
	static char text[QMP_COMMAND_MAX];
	char longest[200];

	cr_assert(qmp_client_ask(client, "x", NULL, got, NULL) == -ENOTCONN);
	comes_up();
	memset(text, 'a', sizeof(text) - 1);
	json_object_object_add(o, "x", json_object_new_string(text));
	cr_assert(qmp_client_ask(client, "x", o, got, NULL) == -EMSGSIZE);
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	cr_assert(qmp_client_create(loop, longest, NULL, &ops, NULL) == NULL);
	cr_assert(errno == ENAMETOOLONG);
}

Test(qmp_client, backs_off_up_to_a_minute)
{
	static const unsigned int seconds[] = { 1, 2, 4, 8, 16, 32, 60, 60 };
	size_t i;

	peer_accept();
	peer_close();
	for (i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
		run_until(is_true, &is_down);
		is_down = false;
		cr_assert(downs == i + 1);
		passes(seconds[i] * 1000 - 1);
		cr_assert(!accepted(NULL), "%zu: too early", i);
		fake_ns += NSEC_PER_MSEC;
		peer_accept();
		peer_close();
	}
	/* a link that was short changes nothing, one that has held for long does */
	run_until(is_true, &is_down);
	passes(60 * 1000);
	comes_up();
	passes(60 * 1000);
	peer_close();
	goes_down("closed");
	passes(59 * 1000);
	cr_assert(!accepted(NULL));
	passes(1000);
	comes_up();
	passes(60 * 1000 + 1);
	peer_close();
	goes_down("closed");
	passes(1000);
	comes_up();
}

Test(qmp_client, nobody_listens)
{
	close(listen_fd);
	unlink(played_addr.sun_path);
	goes_down("cannot connect");
	is_down = false;
	played_listen(4);
	passes(1000);
	comes_up();
}

/* A stopped VMM: connects are taken by the kernel, up to the backlog. */
Test(qmp_client, the_backlog_is_full)
{
	int fd[16];
	size_t i, n = 0;

	qmp_client_destroy(client);
	close(listen_fd);
	played_listen(0);
	for (i = 0; i < sizeof(fd) / sizeof(fd[0]); i++) {
		fd[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		n += connect(fd[i], (struct sockaddr *)&played_addr, sizeof(played_addr)) == 0;
	}
	cr_assert(n < sizeof(fd) / sizeof(fd[0]));
	start();
	goes_down("nobody takes connections");
	for (i = 0; i < sizeof(fd) / sizeof(fd[0]); i++)
		close(fd[i]);
	while (accepted(NULL))
		peer_close();
	passes(1000);
	comes_up();
}

Test(qmp_client, destroyed_when_it_comes_up)
{
	destroy_in_callback = true;
	peer_negotiates();
	run_until(is_true, &is_up);
	turns();
}

Test(qmp_client, destroyed_when_it_goes_down)
{
	peer_accept();
	destroy_in_callback = true;
	peer_sends("x\n");
	run_until(is_true, &is_down);
	turns();
	cr_assert(downs == 1);
}

Test(qmp_client, destroyed_by_an_answer)
{
	bool answered = false, other = false;

	comes_up();
	destroy_in_callback = true;
	cr_assert(qmp_client_ask(client, "x", NULL, got, &answered) == 0);
	cr_assert(qmp_client_ask(client, "y", NULL, got, &other) == 0);
	peer_sends("{\"return\":1,\"id\":2}{\"return\":1,\"id\":3}");
	run_until(is_true, &answered);
	turns();
	cr_assert(answers == 1 && !other);
}

Test(qmp_client, destroyed_by_an_event)
{
	comes_up();
	destroy_in_callback = true;
	peer_sends("{\"event\":\"A\"}{\"event\":\"B\"}");
	while (events == 0)
		turns();
	turns();
	cr_assert(events == 1);
}
