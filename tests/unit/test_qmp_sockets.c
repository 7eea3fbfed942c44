/* SPDX-License-Identifier: BSD-2-Clause */
/* The QMP server: its two sockets and who may use them, jobs, and clients that want too much.
 */
#include <fcntl.h>
#include <grp.h>

#include "unit/qmp_server_run.h"

TestSuite(qmp_sockets, .init = setup, .fini = teardown);

#define ADMINS	12345
#define READERS 23456
#define NOBODY	65534
#define REFUSED(x)                                                                             \
	GENERIC("The command " x " is refused on this socket, which is for reading; use "      \
		"qmp.sock")

Test(qmp_sockets, reading_changes_nothing)
{
	struct peer *p = peer_ready_at(&monitor_addr);

	say(p, "{'execute':'query-guests'}");
	expect(p, "{\"return\":[]}");
	say(p, "{'execute':'guest-out','arguments':{'name':'a'}}");
	expect(p, REFUSED("guest-out"));
	/* before anything else is said of it */
	say(p, "{'execute':'swap-on','arguments':5}");
	expect(p, GENERIC("QMP input member 'arguments' must be an object"));
	say(p, "{'execute':'swap-on','arguments':{'x':5}}");
	expect(p, REFUSED("swap-on"));
	say(p, "{'execute':'nope'}");
	expect(p, NOT_FOUND("The command nope has not been found"));
	say(p, NEGOTIATE);
	expect(p, NOT_FOUND("Capabilities negotiation is already complete, command ignored"));
	cr_assert_str_eq(fake_host_log(host), "");
	cr_assert(fake_host_pending(host) == 0);
	peer_close(p);
}

/* What is listed there is what is served there, and on the other socket all is. */
Test(qmp_sockets, what_is_listed)
{
	struct peer *p = peer_ready_at(&monitor_addr), *all = peer_ready();
	char text[128], *list;

	say(p, "{'execute':'query-commands'}");
	list = strdup(hear(p));
	say(all, "{'execute':'query-commands'}");
	hear(all);
	for (const struct command *c = commands; c->name; c++) {
		snprintf(text, sizeof(text), "{\"name\":\"%s\"}", c->name);
		cr_expect(strstr(all->line, text), "%s", c->name);
		cr_expect(!!strstr(list, text) == command_allowed(c, true), "%s", c->name);
		if (!c->run)
			continue;
		/* an argument that no command has: it is not run in any case */
		snprintf(text, sizeof(text), "{'execute':'%s','arguments':{'?':0}}", c->name);
		say(p, text);
		hear(p);
		cr_expect(!strstr(p->line, "is for reading") == command_allowed(c, true),
			  "%s: %s", c->name, p->line);
		cr_expect(!strncmp(c->name, "query-", 6) <= command_allowed(c, true), "%s",
			  c->name);
	}
	free(list);
	peer_close(p);
	peer_close(all);
}

Test(qmp_sockets, events_go_to_both)
{
	struct peer *p = peer_ready_at(&monitor_addr), *admin = peer_ready();

	say(admin, "{'execute':'swap-on','arguments':{'path':'/a'}}"
		   "{'execute':'swap-set-priority','arguments':{'path':'/a','priority':2}}");
	expect(admin, OK);
	expect(admin, OK);
	say(admin, "{'execute':'swap-off','arguments':{'path':'/a'}}");
	do
		hear(p);
	while (!strstr(p->line, "SWAP_DEVICE_REMOVED"));
	peer_close(p);
	peer_close(admin);
}

/* Those who only read cannot keep an admin out. */
Test(qmp_sockets, places_of_their_own)
{
	struct qmp_limits limits = qmp_default_limits;
	struct peer *a, *b, *c;

	limits.readers = 1;
	limits.clients = 1;
	qmp_server_set_limits(server, &limits);
	a = peer_ready_at(&monitor_addr);
	b = peer_connect_to(&monitor_addr);
	expect(b, GENERIC("Too many QMP clients, 1 are connected"));
	expect(b, "EOF");
	c = peer_ready();
	peer_close(b);
	b = peer_connect();
	expect(b, GENERIC("Too many QMP clients, 1 are connected"));
	peer_close(a);
	peer_close(b);
	peer_close(c);
	wait_until(no_client);
	a = peer_ready_at(&monitor_addr);
	peer_close(a);
}

/* --- who may ---------------------------------------------------------------- */

/* Connect as somebody else, with a group and one group more. */
static struct peer *connect_as(const struct sockaddr_un *at, gid_t gid, gid_t more)
{
	struct peer *p;

	cr_assert(setgroups(1, &more) == 0 && setegid(gid) == 0 && seteuid(NOBODY) == 0);
	p = peer_connect_to(at);
	cr_assert(seteuid(0) == 0 && setegid(0) == 0 && setgroups(0, NULL) == 0);
	return p;
}

static const struct {
	bool groups; /* there are groups that may */
	gid_t gid, more;
	bool may, may_read;
} visitors[] = {
	{ true, NOBODY, NOBODY, false, false },	  { true, ADMINS, NOBODY, true, true },
	{ true, NOBODY, ADMINS, true, true },	  { true, READERS, NOBODY, false, true },
	{ true, NOBODY, READERS, false, true },	  { true, 0, NOBODY, false, false },
	{ false, ADMINS, READERS, false, false }, { false, 0, 0, false, false },
};

Test(qmp_sockets, who_may)
{
	const struct proto_group admins = { "admins", ADMINS },
				 readers = { "readers", READERS };

	if (geteuid() != 0)
		cr_skip("needs root");
	for (size_t i = 0; i < sizeof(visitors) / sizeof(visitors[0]); i++) {
		bool groups = visitors[i].groups;
		struct peer *p;

		if (groups)
			qmp_server_set_groups(server, &admins, &readers);
		else
			qmp_server_set_groups(server, &(struct proto_group){ 0 },
					      &(struct proto_group){ 0 });
		p = connect_as(&addr, visitors[i].gid, visitors[i].more);
		expect(p, visitors[i].may ? GREETING
			  : groups ? GENERIC("This socket is for root and members of the "
					     "group 'admins'; see group in drum.conf(5)")
				   : GENERIC("This socket is for root; see group in "
					     "drum.conf(5)"));
		if (!visitors[i].may)
			expect(p, "EOF");
		peer_close(p);
		p = connect_as(&monitor_addr, visitors[i].gid, visitors[i].more);
		expect(p, visitors[i].may_read ? GREETING
			  : groups ? GENERIC("This socket is for root and members of the "
					     "group 'admins' or 'readers'; see group and "
					     "monitor-group in drum.conf(5)")
				   : GENERIC("This socket is for root; see group and "
					     "monitor-group in drum.conf(5)"));
		if (!visitors[i].may_read)
			expect(p, "EOF");
		peer_close(p);
	}
}

/* --- jobs ------------------------------------------------------------------- */

/* The next line but events of jobs, which are put together: "a:created;" */
static const char *answer(struct peer *p, char *events, size_t room)
{
	events[0] = '\0';
	while (strstr(hear_any(p), "\"JOB_STATUS_CHANGE\"")) {
		const char *id = strstr(p->line, "\"id\":\"") + 6;
		const char *status = strstr(p->line, "\"status\":\"") + 10;

		snprintf(events + strlen(events), room - strlen(events), "%.*s:%.*s;",
			 (int)strcspn(id, "\""), id, (int)strcspn(status, "\""), status);
	}
	return p->line;
}

#define expect_answer(peer, changes, text)                                                     \
	do {                                                                                   \
		char events_[512];                                                             \
		cr_assert_str_eq(answer(peer, events_, sizeof(events_)), text);                \
		cr_assert_str_eq(events_, changes);                                            \
	} while (0)

#define JOB(id, type, status, current, total, subject)                                         \
	"{\"return\":[{\"id\":\"" id "\",\"type\":\"" type "\",\"status\":\"" status           \
	"\",\"current-progress\":" current ",\"total-progress\":" total                        \
	",\"subject\":\"" subject "\"}]}"

static struct peer *with_guest(void)
{
	struct peer *p = peer_ready();

	say(p, "{'execute':'guest-attach','arguments':{'pid':7,'name':'a'}}");
	expect(p, OK);
	fake_host_manual(host, true);
	return p;
}

static bool two_pending(void)
{
	return fake_host_pending(host) == 2;
}

Test(qmp_sockets, a_job_with_an_id)
{
	struct peer *p = with_guest();

	say(p, "{'execute':'guest-out','arguments':{'name':'a','job-id':'j'}}");
	expect_answer(p, "j:created;j:running;", OK);
	say(p, "{'execute':'query-jobs'}");
	expect(p, JOB("j", "guest-out", "running", "0", "134217728", "a"));
	say(p, "{'execute':'guest-in','arguments':{'name':'a','job-id':'j'}}");
	expect(p, GENERIC("Job ID 'j' already in use"));
	fake_host_complete(host);
	say(p, "{'execute':'query-jobs'}");
	expect_answer(p, "j:concluded;",
		      JOB("j", "guest-out", "concluded", "134217728", "134217728", "a"));
	say(p, "{'execute':'job-dismiss','arguments':{'id':'j'}}");
	expect_answer(p, "j:null;", OK);
	say(p, "{'execute':'job-dismiss','arguments':{'id':'j'}}");
	expect(p, GENERIC("Job not found: j; query-jobs lists those that there are"));
	say(p, "{'execute':'query-jobs'}");
	expect(p, "{\"return\":[]}");
	peer_close(p);
}

Test(qmp_sockets, a_job_that_fails)
{
	struct peer *p = with_guest();

	fake_host_refuse(host, "guest-in", -ENOSPC, "no room");
	say(p, "{'execute':'guest-in','arguments':{'name':'a','job-id':'j'}}");
	expect_answer(p, "j:created;j:running;", OK);
	fake_host_complete(host);
	say(p, "{'execute':'query-jobs'}");
	expect_answer(p, "j:concluded;",
		      "{\"return\":[{\"id\":\"j\",\"type\":\"guest-in\",\"status\":"
		      "\"concluded\",\"current-progress\":0,\"total-progress\":268435456,"
		      "\"subject\":\"a\",\"error\":\"no room\"}]}");
	peer_close(p);
}

/* It is a job all the same, which others see and may cancel. */
Test(qmp_sockets, a_job_without_an_id)
{
	struct peer *p = with_guest(), *other = peer_ready();

	say(p, "{'execute':'guest-detach','arguments':{'name':'a'},'id':1}");
	wait_until(one_pending);
	say(other, "{'execute':'query-jobs'}");
	expect_answer(other, "guest-detach:a:created;guest-detach:a:running;",
		      JOB("guest-detach:a", "guest-detach", "running", "0", "268435456", "a"));
	say(other, "{'execute':'job-cancel','arguments':{'id':'guest-detach:a'}}");
	wait_until(two_pending);
	fake_host_complete(host);
	fake_host_complete(host);
	expect_answer(other,
		      "guest-detach:a:aborting;guest-detach:a:concluded;guest-detach:a:null;",
		      OK);
	expect_answer(p,
		      "guest-detach:a:created;guest-detach:a:running;guest-detach:a:aborting;"
		      "guest-detach:a:concluded;guest-detach:a:null;",
		      "{\"error\":{\"class\":\"GenericError\",\"desc\":\"guest a: "
		      "cancelled\"},\"id\":1}");
	say(p, "{'execute':'query-guests','arguments':{'name':'a'}}");
	cr_assert(strstr(hear(p), "\"name\":\"a\""));
	peer_close(p);
	peer_close(other);
}

/* A cancel that comes too late, or that is refused, leaves the job as it is. */
Test(qmp_sockets, a_cancel_that_is_refused)
{
	struct peer *p = with_guest();

	say(p, "{'execute':'guest-dump','arguments':{'name':'a','job-id':'j'}}");
	expect_answer(p, "j:created;j:running;", OK);
	fake_host_refuse(host, "guest-cancel", -EINVAL, "it cannot be");
	fake_host_refuse(host, "guest-dump", -EINVAL, "no dump");
	say(p, "{'execute':'job-cancel','arguments':{'id':'j'}}");
	wait_until(two_pending);
	fake_host_complete(host); /* of the dump: it has failed by itself */
	fake_host_complete(host);
	expect_answer(p, "j:aborting;j:concluded;", OK);
	say(p, "{'execute':'job-cancel','arguments':{'id':'j'}}");
	expect(p, GENERIC("Job 'j' in state 'concluded' cannot accept command verb 'cancel'"));
	say(p, "{'execute':'swap-on','arguments':{'path':'/a'}}");
	wait_until(one_pending);
	fake_host_slow_off(host, 0);
	fake_host_complete(host);
	expect(p, OK);
	say(p, "{'execute':'swap-off','arguments':{'path':'/a','job-id':'k'}}");
	expect_answer(p, "k:created;k:running;", OK);
	fake_host_complete(host); /* it goes on */
	fake_host_refuse(host, "swap-off-cancel", -EBUSY, "not now");
	say(p, "{'execute':'job-cancel','arguments':{'id':'k'}}");
	wait_until(one_pending);
	fake_host_complete(host);
	expect_answer(p, "k:aborting;k:running;", GENERIC("not now"));
	say(p, "{'execute':'job-cancel','arguments':{'id':'k'}}");
	wait_until(one_pending);
	fake_host_complete(host);
	expect_answer(p, "k:aborting;k:concluded;", OK);
	peer_close(p);
}

/* Who has begun it may go. */
Test(qmp_sockets, a_job_outlives_its_client)
{
	struct peer *p = with_guest();

	say(p, "{'execute':'guest-out','arguments':{'name':'a'}}");
	wait_until(one_pending);
	peer_close(p);
	wait_until(no_client);
	p = peer_ready_at(&monitor_addr);
	say(p, "{'execute':'query-jobs'}");
	expect(p, JOB("guest-out:a", "guest-out", "running", "0", "134217728", "a"));
	fake_host_complete(host);
	say(p, "{'execute':'query-jobs'}");
	expect_answer(p, "guest-out:a:concluded;guest-out:a:null;", "{\"return\":[]}");
	peer_close(p);
}

/* And so may the server, with a job and a cancel under way. */
Test(qmp_sockets, a_job_outlives_its_server)
{
	struct peer *p = with_guest();
	struct err e;

	say(p, "{'execute':'guest-out','arguments':{'name':'a','job-id':'j'}}"
	       "{'execute':'job-cancel','arguments':{'id':'j'}}");
	wait_until(two_pending);
	qmp_server_stop(server);
	fake_host_complete(host);
	fake_host_complete(host);
	peer_close(p);
	cr_assert(qmp_server_start(loop, listen_fd, host, manager, &server, &e) == 0);
}

/* --- too much --------------------------------------------------------------- */

#define FLOOD 1000

static void flood(struct peer *p)
{
	static const char command[] = "{'execute':'query-guests'}";
	char *all = malloc(FLOOD * sizeof(command)), *at = all;

	for (int i = 0; i < FLOOD; i++)
		at = stpcpy(at, command);
	say(p, all);
	free(all);
}

/* How many lines has the server sent that were not heard? */
static int lines_waiting(struct peer *p)
{
	char *buf = malloc(LINE_MAX_BYTES);
	ssize_t n = recv(p->fd, buf, LINE_MAX_BYTES, MSG_PEEK | MSG_DONTWAIT);
	int lines = 0;

	for (ssize_t i = 0; i < n; i++)
		lines += buf[i] == '\n';
	free(buf);
	return lines;
}

/* In no turn of the loop is more done for one client than its share, so others come round. */
Test(qmp_sockets, a_flood_has_its_share)
{
	struct qmp_limits limits = qmp_default_limits;
	struct peer *flooder, *other;

	limits.slot_commands = 10;
	limits.slot_us = 60000000; /* on a machine that has other things to do */
	limits.slot_us = UINT32_MAX;
	limits.slot_ms = 1000000; /* no second slot comes */
	qmp_server_set_limits(server, &limits);
	flooder = peer_ready(); /* negotiation is the first of its ten */
	other = peer_ready();
	flood(flooder);
	say(other, "{'execute':'query-guests'}");
	expect(other, "{\"return\":[]}");
	cr_expect(lines_waiting(flooder) <= 9, "%d", lines_waiting(flooder));
	say(other, "{'execute':'query-guests'}");
	expect(other, "{\"return\":[]}");
	cr_expect(lines_waiting(flooder) == 9, "%d", lines_waiting(flooder));
	peer_close(flooder);
	peer_close(other);
	wait_until(no_client);
}

/* It gets all of its answers in the end; what cannot be parsed counts as well. */
Test(qmp_sockets, a_flood_goes_on_in_the_next_slot)
{
	struct qmp_limits limits = qmp_default_limits;
	struct peer *flooder;

	limits.slot_commands = 100;
	limits.slot_us = 60000000; /* on a machine that has other things to do */
	limits.slot_ms = 1;
	qmp_server_set_limits(server, &limits);
	flooder = peer_ready();
	flood(flooder);
	for (int i = 0; i < FLOOD; i++)
		expect(flooder, "{\"return\":[]}");
	say(flooder, "5 5 5 5 ");
	for (int i = 0; i < 4; i++)
		expect(flooder, GENERIC("QMP input must be a JSON object"));
	shutdown(flooder->fd, SHUT_WR);
	expect(flooder, "EOF");
	peer_close(flooder);
}

Test(qmp_sockets, nonsense_counts)
{
	struct qmp_limits limits = qmp_default_limits;
	struct peer *p, *other;

	limits.slot_commands = 5;
	limits.slot_us = 60000000; /* on a machine that has other things to do */
	limits.slot_ms = 1000000;
	qmp_server_set_limits(server, &limits);
	p = peer_ready();
	other = peer_ready();
	say(p, "5 5 x\n x\n 5 5 5 5 5 5 ");
	say(other, "{'execute':'query-guests'}");
	expect(other, "{\"return\":[]}");
	say(other, "{'execute':'query-guests'}");
	expect(other, "{\"return\":[]}");
	cr_expect(lines_waiting(p) == 4, "%d", lines_waiting(p));
	peer_close(p);
	peer_close(other);
}

/* A command that takes long is the last of its slot. */
Test(qmp_sockets, slow_commands_have_their_share)
{
	struct qmp_limits limits = qmp_default_limits;
	struct peer *p, *other;

	p = peer_ready();
	other = peer_ready();
	limits.slot_us = 0; /* any is too long */
	limits.slot_ms = 1000000;
	qmp_server_set_limits(server, &limits);
	flood(p);
	say(other, "{'execute':'query-guests'}");
	expect(other, "{\"return\":[]}");
	cr_expect(lines_waiting(p) == 1, "%d", lines_waiting(p));
	peer_close(p);
	peer_close(other);
}
