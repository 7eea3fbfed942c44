/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What comes from the other side may be anything: answers that are not what drumctl takes
 * them for, and text that would steer a terminal.  A server of our own gives each answer.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <json-c/json.h>

#include "drumctl/safe.h"
#include "unit/drumctl_run.h"

static const char *body; /* of the answer: what is beside its id */
static int listening;
static pthread_t server;

static void say(int fd, const char *text, int id)
{
	char line[1024];

	snprintf(line, sizeof(line), "{%s, \"id\": %d}\n", text, id);
	(void)!send(fd, line, strlen(line), MSG_NOSIGNAL);
}

/* What is asked comes in one piece, as nothing is asked before the last was answered. */
static void talk(int fd)
{
	struct json_object *o, *id;
	char line[1024];
	bool ready;
	ssize_t n;

	say(fd, "\"QMP\": {}", 0);
	while ((n = recv(fd, line, sizeof(line) - 1, 0)) > 0) {
		line[n] = '\0';
		o = json_tokener_parse(line);
		ready = !strstr(line, "qmp_capabilities");
		json_object_object_get_ex(o, "id", &id);
		say(fd, ready ? body : "\"return\": {}", json_object_get_int(id));
		if (!ready && strstr(body, "\"event\""))
			say(fd, body, 0);
		json_object_put(o);
	}
}

static void *serve(void *arg)
{
	int fd;

	while ((fd = accept(listening, NULL, NULL)) >= 0) {
		talk(fd);
		close(fd);
	}
	return arg;
}

static void strange_setup(void)
{
	drumctl_setup();
	stop_serving();
	unlink(addr.sun_path);
	listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert(bind(listening, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	cr_assert(listen(listening, 4) == 0);
	cr_assert(pthread_create(&server, NULL, serve, NULL) == 0);
}

static void strange_teardown(void)
{
	shutdown(listening, SHUT_RDWR);
	pthread_join(server, NULL);
	close(listening);
	drumctl_teardown();
}

TestSuite(drumctl_strange, .init = strange_setup, .fini = strange_teardown);

#define ESC  "\\u001b[2J" /* as JSON has them */
#define CSI  "\\u009b2J"
#define TOLD "\\x1b[2J" /* as they are shown */
#define CTLD "\\xc2\\x9b2J"

static const struct {
	const char *line, *body;
	int code;
	const char *out, *errors;
} cases[] = {
	/* not what it is taken for */
	{ "swap off /x", "\"return\": {}", 1, "",
	  "drumctl: swap off: drumd answered query-swap-devices with something strange\n" },
	{ "swap list", "\"error\": {\"class\": null, \"desc\": \"no\"}", 1, "",
	  "drumctl: swap list: no\n" },
	{ "swap list", "\"error\": {\"class\": [], \"desc\": null}", 1, "",
	  "drumctl: swap list: refused without a reason\n" },
	{ "explain a", "\"return\": [{\"topic\": null, \"text\": null}, 1]", 0, "\n\n", "" },
	{ "config reload", "\"return\": {\"changed\": 1, \"failed\": {}}", 0,
	  "nothing has changed\n", "" },
	{ "config reload", "\"return\": {\"changed\": [null]}", 0, "\n", "" },
	{ "config show", "\"return\": {\"path\": \"f\", \"file\": 1}", 0,
	  "file      f\nrun-dir   -\nstate-dir -\nlog-level -\nleave     -\n", "" },
	{ "config show",
	  "\"return\": {\"file\": [{\"section\": null, \"key\": 1, \"value\": []}]}", 0,
	  "file      -\nrun-dir   -\nstate-dir -\nlog-level -\nleave     -\n = \n", "" },
	/* not what a terminal should get */
	{ "swap list", "\"error\": {\"class\": \"GenericError\", \"desc\": \"" ESC CSI "\"}", 1,
	  "", "drumctl: swap list: " TOLD CTLD "\n" },
	{ "swap list", "\"error\": {\"class\": \"GenericError\", \"desc\": \"a\\nb\"}", 1, "",
	  "drumctl: swap list: a\\x0ab\n" },
	{ "swap on /x", "\"return\": {\"warning\": \"" ESC "\\u007f\303\244\"}", 0, "",
	  "drumctl: warning: " TOLD "\\x7f\303\244\n" },
	{ "explain a", "\"return\": [{\"topic\": \"" ESC "\", \"text\": \"a " CSI "\"}]", 0,
	  TOLD "\n    a " CTLD "\n", "" },
	{ "config reload",
	  "\"return\": {\"changed\": [\"" ESC "\"], \"failed\": [\"" CSI "\"]}", 1,
	  TOLD "\nfailed: " CTLD "\n",
	  "drumctl: config reload: 1 of the changes could not be made; put that right and do "
	  "them with drumctl, or restart drumd\n" },
	{ "config show",
	  "\"return\": {\"file\": [{\"section\": \"" ESC "\", \"key\": \"" CSI
	  "\", \"value\": \"" ESC "\"}]}",
	  0,
	  "file      -\nrun-dir   -\nstate-dir -\nlog-level -\nleave     -\n\n[" TOLD "]\n" CTLD
	  " = " TOLD "\n",
	  "" },
};

Test(drumctl_strange, answers)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		body = cases[i].body;
		expect(cases[i].line, cases[i].code, cases[i].out, cases[i].errors);
	}
	/* a figure that is no array, among those that are lists */
	body = "\"return\": {\"devices\": 1}";
	run("swapcache show");
	cr_expect(code == 0, "exit %d, %s", code, errors);
}

static const struct {
	const char *data, *line;
} events[] = {
	{ "{\"" ESC "\": \"" ESC "\"}", " " TOLD "=\"\\u001b[2J\"\n" },
	{ "{\"k\": \"" CSI "\"}", " k=\"\\u009b2J\"\n" },
	{ "{\"k\": \"a\\u007f\"}", " k=\"a\\u007f\"\n" },
	{ "{\"k\": [\"" CSI "\\u007f\"]}", " k=[\"\\u009b2J\\u007f\"]\n" },
	{ "{\"k\": \"\303\244 \302\240\"}", " k=\"\303\244 \302\240\"\n" },
	{ "{\"k\": \"\303\244\"}", " k=\303\244\n" },
};

Test(drumctl_strange, events)
{
	char text[512];

	body = text;
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		snprintf(text, sizeof(text), "\"event\": \"E" CSI "\", \"data\": %s",
			 events[i].data);
		run("events --count 1");
		cr_expect(code == 0, "%s", errors);
		snprintf(text, sizeof(text), " E" CTLD "%s", events[i].line);
		cr_expect(strstr(out, text), "%s: %s", events[i].data, out);
		cr_expect(!strchr(out, 27) && !strchr(out, 0x7f) && !strstr(out, "\302\233"),
			  "%s", out);
	}
	/* one without a name */
	snprintf(text, sizeof(text), "\"event\": null");
	run("events --count 1");
	cr_expect(code == 0, "%s", errors);
}

/* --- put_safe ---------------------------------------------------------------------- */

static const struct {
	const char *text, *shown;
} safe[] = {
	{ "", "" },
	{ NULL, "" },
	{ "plain ~", "plain ~" },
	{ "\001\t\n\r\037\177", "\\x01\\x09\\x0a\\x0d\\x1f\\x7f" },
	{ "\302\200\302\237\302\240", "\\xc2\\x80\\xc2\\x9f\302\240" },
	/* not of C1, although it has such bytes */
	{ "\303\233\342\202\254\360\237\230\200", "\303\233\342\202\254\360\237\230\200" },
	/* what is C1 to a terminal of 8 bits, and characters that are cut off */
	{ "\2332J", "\\x9b2J" },
	{ "\303", "\\xc3" },
	{ "\342\202", "\\xe2\\x82" },
	{ "\303\033", "\\xc3\\x1b" },
	{ "\301\233", "\\xc1\\x9b" },
};

Test(drumctl_safe, put)
{
	for (size_t i = 0; i < sizeof(safe) / sizeof(safe[0]); i++) {
		char *text = NULL;
		size_t length;
		FILE *f = open_memstream(&text, &length);

		put_safe(f, safe[i].text);
		fclose(f);
		cr_expect_str_eq(text, safe[i].shown, "%zu: %s", i, text);
		free(text);
	}
}
