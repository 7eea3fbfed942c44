/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server beside QEMU's own: the same bytes to both, and what comes back must be the same
 * but for the order of members.  What is left out differs on purpose: "\u0000", which QEMU
 * takes; how it quotes a zero byte, and an escape that is cut short; numbers as 1e3, which come
 * back written otherwise; capabilities, of which it has one; names of more than 64 bytes, which
 * we cut in errors.
 */
#include <signal.h>
#include <sys/wait.h>

#include <json-c/json.h>

#include "unit/qmp_server_run.h"

TestSuite(qmp_qemu, .init = setup, .fini = teardown);

/* Whatever was said before, this is understood; the first of it is an error for both. */
#define END "\377\n{'execute':'query-version','id':'end'}\n"

static const struct input {
	const char *text;
	size_t len;
} inputs[] = {
#define IN(x)                                                                                  \
	{                                                                                      \
		x END, sizeof(x END) - 1                                                       \
	}
	IN("[]"),
	IN("null "),
	IN("true "),
	IN("5 "),
	IN("\"x\""),
	IN("{}"),
	IN("{'id':5}"),
	IN("{'id':5,'execute':1}"),
	IN("{'execute':5}"),
	IN("{'execute':null}"),
	IN("{'execute':''}"),
	IN("{'execute':'nope','id':{'a':1}}"),
	IN("{'execute':'nope','arguments':5}"),
	IN("{'execute':'query-version','arguments':[]}"),
	IN("{'execute':'query-version','arguments':null}"),
	IN("{'execute':'query-version','arguments':{'x':1}}"),
	IN("{'execute':'query-version','x':1,'id':[1]}"),
	IN("{'execute':'query-version','control':{}}"),
	IN("{'execute':'query-version','id':1,'id':2}"),
	IN("{'a':1,'a':2}"),
	IN("\t\r\n {'execute' : 'query-version' }"),
	IN("{'execute':'query-version'}{'execute':'query-version','id':2} {'id':3}"),
	IN("{'execute':'qmp_capabilities'}"),
	IN("{'execute':'qmp_capabilities','arguments':{'enable':[]}}"),
	IN("{'execute':'qmp_capabilities','arguments':{'x':5}}"),
	IN("{'execute':'qmp_capabilities','arguments':{'enable':5}}"),
	/* ids */
	IN("{'execute':'query-version','id':null}"),
	IN("{'execute':'query-version','id':true}"),
	IN("{'execute':'query-version','id':1.5}"),
	IN("{'execute':'query-version','id':[{'a':[]}]}"),
	IN("{'execute':'query-version','id':18446744073709551615}"),
	IN("{'execute':'query-version','id':18446744073709551616}"),
	IN("{'execute':'query-version','id':-9223372036854775808}"),
	IN("{'execute':'query-version','id':-9223372036854775809}"),
	IN("{'execute':'query-version','id':'\\u00e9\303\251\\ud83d\\ude00\\u007f\177'}"),
	IN("{'execute':'query-version','id':'\\'\\\"\\/\\b\\f\\n\\r\\t'}"),
	/* the stream is reset */
	IN("\377"),
	IN("\001"),
	IN("{'execute'\377"),
	IN("{'execute':'query-version' \001"),
	IN("\177"),
	IN("\351\n"),
	/* no JSON */
	IN("hello\n"),
	IN("tru\n"),
	IN("NaN "),
	IN("nan\n"),
	IN("Infinity "),
	IN("}"),
	IN("]"),
	IN("{'execute':'query-version']"),
	IN("{'execute':'query-version'}}"),
	IN("[}"),
	IN("{,}"),
	IN("{'a' 1}"),
	IN("{'a':}"),
	IN("{1:2}"),
	IN("[1 2]\n"),
	IN("[1,]\n"),
	IN("{'a':1,}\n"),
	IN("'\\x'\n"),
	IN("'\\ud800'\n"),
	IN("\"\037\"\n"),
	IN("'a\nb'\n"),
	IN("'\303'\n"),
	IN("'\377'\n"),
	IN("'\001'\n"),
	IN("-\n"),
	IN("01 "),
	IN("1. "),
	IN("1e "),
	IN(".5 "),
	IN("+1 "),
	IN("0x10 "),
	IN("-0 "),
	IN("1e999 "),
	IN("%d "),
	IN("%p\n"),
	IN("/* x */ "),
	IN(";"),
};

static pid_t qemu;

static void end_qemu(void)
{
	kill(qemu, SIGKILL);
	waitpid(qemu, NULL, 0);
}

/* => its monitor, or NULL: there is no QEMU */
static struct peer *start_qemu(void)
{
	struct peer *p = calloc(1, sizeof(*p));
	int fds[2];

	if (system("command -v qemu-system-x86_64 >/dev/null") != 0) {
		free(p);
		return NULL;
	}
	cr_assert(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	qemu = fork();
	if (qemu == 0) {
		close(fds[0]);
		dup2(fds[1], 0);
		dup2(fds[1], 1);
		execlp("qemu-system-x86_64", "qemu-system-x86_64", "-M", "none", "-nodefaults",
		       "-display", "none", "-qmp", "stdio", NULL);
		_exit(127);
	}
	close(fds[1]);
	p->fd = fds[0];
	p->buf = malloc(LINE_MAX_BYTES);
	return p;
}

/* The next answer; what a command returns is left out. */
static struct json_object *next(struct peer *p)
{
	struct json_object *o = json_tokener_parse(hear(p));

	cr_assert(json_object_is_type(o, json_type_object), "%s", p->line);
	if (json_object_object_get_ex(o, "return", NULL))
		json_object_object_add(o, "return", NULL);
	return o;
}

static bool is_end(struct json_object *o)
{
	struct json_object *id;

	return json_object_object_get_ex(o, "id", &id) &&
	       json_object_is_type(id, json_type_string) &&
	       !strcmp(json_object_get_string(id), "end");
}

static void compare(struct peer *ours, struct peer *theirs, const struct input *in)
{
	bool end;

	peer_send(ours, in->text, in->len);
	peer_send(theirs, in->text, in->len);
	do {
		struct json_object *a = next(ours), *b = next(theirs);

		cr_expect(json_object_equal(a, b), "%s: %s, and QEMU: %s", in->text,
			  json_object_to_json_string(a), json_object_to_json_string(b));
		end = is_end(a) || is_end(b);
		json_object_put(a);
		json_object_put(b);
	} while (!end);
}

/* Both greet, and refuse before negotiation. */
Test(qmp_qemu, as_qemu)
{
	static const struct input early[] = { IN("{'execute':'query-version','id':3}"),
					      IN("{'execute':'nope'}"), IN("[]"), IN("{}") };
	static const char *const numbers[] = { "micro", "minor", "major" };
	struct peer *ours = peer_connect(), *theirs = start_qemu();
	struct json_object *o, *v;

	if (!theirs) {
		peer_close(ours);
		cr_skip("no qemu-system-x86_64");
	}
	for (int i = 0; i < 2; i++) {
		o = json_tokener_parse(hear(i ? theirs : ours));
		for (int n = 0; n < 3; n++) {
			char path[64];

			snprintf(path, sizeof(path), "/QMP/version/qemu/%s", numbers[n]);
			cr_expect(json_pointer_get(o, path, &v) == 0 &&
				  json_object_is_type(v, json_type_int));
		}
		cr_expect(json_pointer_get(o, "/QMP/version/package", &v) == 0 &&
			  json_object_is_type(v, json_type_string));
		cr_expect(json_pointer_get(o, "/QMP/capabilities", &v) == 0 &&
			  json_object_is_type(v, json_type_array));
		json_object_put(o);
	}
	for (size_t i = 0; i < sizeof(early) / sizeof(early[0]); i++) {
		/* it ends with the refusal of a version, alike too */
		compare(ours, theirs, &early[i]);
	}
	say(ours, NEGOTIATE);
	say(theirs, NEGOTIATE);
	json_object_put(next(ours));
	json_object_put(next(theirs));
	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++)
		compare(ours, theirs, &inputs[i]);
	end_qemu();
	peer_close(ours);
	peer_close(theirs);
}
