/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * drumctl's verbs of the configuration and of the daemon's own settings; its exit codes, which
 * are those of its manual; and what it says to whom it cannot serve.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "config.h"
#include "unit/drumctl_run.h"

TestSuite(drumctl_config, .init = drumctl_setup, .fini = drumctl_teardown);

static void write_file(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void remove_file(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	unlink(path);
}

/* No daemon is asked, or there. */
Test(drumctl_config, check)
{
	stop_serving();
	write_file("good", "[drumd]\nleave = yes\n");
	write_file("bad", "[drumd]\nleave = perhaps\n[paging]\ndepth = 0\n");
	write_file("worse", "x\n");
	expect("config check good", 0, "good: ok\n", "");
	expect("config check bad", 1, "",
	       "bad:2: leave is 'perhaps', but must be yes or no\n"
	       "bad:4: depth is '0', but must be a number from 1 to 32\n"
	       "drumctl: config check: drumd would not take this file: 2 errors\n");
	expect("config check worse", 1, "",
	       "worse:1: neither KEY = VALUE nor [SECTION]\n"
	       "drumctl: config check: drumd would not take this file: 1 error\n");
	expect("config check absent", 1, "",
	       "drumctl: config check: cannot read absent: No such file or directory\n");
	expect("config check good bad", 2, "",
	       "drumctl: config check: too many arguments\nUsage: drumctl config check "
	       "[FILE]\n");
	remove_file("good");
	remove_file("bad");
	remove_file("worse");
}

/* Nobody else's is there: the directory is empty for the child alone. */
static void no_file(void)
{
	char *path = strdup(DRUM_CONF_FILE);

	*strrchr(path, '/') = '\0';
	if (access(path, F_OK) == 0 && (unshare(CLONE_NEWNS) < 0 ||
					mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
					mount("none", path, "tmpfs", 0, "") < 0))
		_exit(126);
	free(path);
}

/* drumd needs none. */
Test(drumctl_config, check_without_a_file)
{
	stop_serving();
	run_prepared("config check", no_file);
	if (code == 126)
		cr_skip_test("no mount namespace of our own");
	cr_expect(code == 0, "exit %d", code);
	cr_expect_str_eq(out, DRUM_CONF_FILE ": does not exist; drumd goes by its defaults\n");
	cr_expect_str_eq(errors, "");
}

/* A file of somebody else's is shown, and steers no terminal. */
Test(drumctl_config, check_of_strange_text)
{
	stop_serving();
	write_file("bad", "[drumd]\nleave = \033[2J\302\233\n");
	expect("config check bad", 1, "",
	       "bad:2: leave is '\\x1b[2J\\xc2\\x9b', but must be yes or no\n"
	       "drumctl: config check: drumd would not take this file: 1 error\n");
	remove_file("bad");
}

Test(drumctl_config, show)
{
	fake_host_config_line(host, HOST_CONFIG_ENTRY, "swap", "device", "/a 1");
	fake_host_config_line(host, HOST_CONFIG_ENTRY, "drumd", "leave", "yes");
	fake_host_config_line(host, HOST_CONFIG_ENTRY, "swap", "device", "/b");
	fake_host_config_line(host, HOST_CONFIG_ENTRY, "dump", "device", "/c");
	expect("config show", 0,
	       "file      /etc/drum/drum.conf\nrun-dir   /run/drum\n"
	       "state-dir /var/lib/drum\nlog-level info\nleave     no\n"
	       "\n[swap]\ndevice = /a 1\n\n[drumd]\nleave = yes\n\n[swap]\ndevice = /b\n"
	       "\n[dump]\ndevice = /c\n",
	       "");
	expect("daemon set --log-level trace --leave yes", 0, "", "");
	run("config show --json");
	cr_expect(code == 0);
	cr_expect(strstr(out, "\"log-level\": \"trace\"") ||
			  strstr(out, "\"log-level\":\"trace\""),
		  "%s", out);
	cr_expect(strstr(out, "\"leave\": true") || strstr(out, "\"leave\":true"), "%s", out);
	expect("daemon set --leave no", 0, "", "");
	run("config show");
	cr_expect(strstr(out, "log-level trace\nleave     no\n"), "%s", out);
}

Test(drumctl_config, set_is_checked)
{
	expect("daemon set", 2, "",
	       "drumctl: daemon set: nothing to set\n"
	       "Usage: drumctl daemon set [--log-level LEVEL] [--leave yes|no]\n");
	run("daemon set --log-level loud");
	cr_expect(code == 2 && strstr(errors, "--log-level: 'loud' must be error, warn, info, "
					      "debug or trace"),
		  "%s", errors);
	run("daemon set --leave perhaps");
	cr_expect(code == 2 && strstr(errors, "--leave: 'perhaps' must be yes or no"), "%s",
		  errors);
	stop_serving();
	cr_expect_str_eq(fake_host_log(host), "");
}

Test(drumctl_config, reload)
{
	expect("config reload", 0, "nothing has changed\n", "");
	fake_host_config_line(host, HOST_CONFIG_LEFT, "", "", "this stays");
	fake_host_config_line(host, HOST_CONFIG_CHANGED, "", "", "a -> b");
	fake_host_config_line(host, HOST_CONFIG_RESTART, "", "", "needs that");
	expect("config reload", 0, "a -> b\nneeds that\nthis stays\n", "");
	fake_host_config_line(host, HOST_CONFIG_FAILED, "", "", "/x is missing");
	expect("config reload", 1, "a -> b\nneeds that\nthis stays\nfailed: /x is missing\n",
	       "drumctl: config reload: 1 of the changes could not be made; put that right and "
	       "do "
	       "them with drumctl, or restart drumd\n");
	fake_host_refuse(host, "config-reload", -EINVAL, "f:3: no");
	expect("config reload", 1, "", "drumctl: config reload: f:3: no\n");
}

/* --- exit codes -------------------------------------------------------------------------- */

/* A line for each code of the manual; 130 takes a signal: unit/drumctl_live has it. */
static const struct {
	const char *line;
	int code;
	const char *says; /* part of what goes to standard error */
} exits[] = {
	{ "--version", 0, "" },
	{ "stat", 0, "" },
	{ "guest out nobody", 1, "no guest is named 'nobody'" },
	{ "swap off /nothing", 1, "no swap device" },
	{ "config check /nothing", 1, "cannot read /nothing: " },
	{ "gest list", 2, "unknown verb 'gest'; there are swap, " },
	{ "guest lst", 2, "unknown verb 'guest lst'; known: admit, " },
	{ "guest list --color", 2,
	  "unrecognized option '--color'\nUsage: drumctl guest list [" },
	{ "guest list --priority 3", 2, "--priority does not belong here\nUsage: " },
	{ "guest set a --limit much", 2, "'much' must be a size, as 512M or 2G, or none" },
	{ "guest out", 2, "NAME is missing\nUsage: drumctl guest out NAME\n" },
	{ "-s /nothing/qmp.sock stat", 3,
	  "cannot reach drumd at /nothing/qmp.sock: No such file or directory; is drumd "
	  "running? "
	  "Start it with 'drumd', or name another socket with -s" },
};
#define EXITS (sizeof(exits) / sizeof(exits[0]))

Test(drumctl_config, exit_codes)
{
	for (size_t i = 0; i < EXITS; i++) {
		run(exits[i].line);
		cr_expect(code == exits[i].code, "%s: exit %d", exits[i].line, code);
		cr_expect(strstr(errors, exits[i].says), "%s: %s", exits[i].line, errors);
	}
}

/* Those of the manual, and no others. */
Test(drumctl_config, exit_codes_of_the_manual)
{
	FILE *f = fopen(manual, "r");
	bool there = false, told[256] = { false };
	char line[512];
	int n;

	cr_assert(f);
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, ".Sh ", 4))
			there = !strcmp(line, ".Sh EXIT STATUS\n");
		if (there && sscanf(line, ".It %d", &n) == 1 && n >= 0 && n < 256)
			told[n] = true;
	}
	fclose(f);
	for (size_t i = 0; i < EXITS; i++)
		cr_expect(told[exits[i].code], "the manual lacks %d", exits[i].code);
	for (n = 0; n < 256; n++) {
		bool tested = n == 130;

		for (size_t i = 0; i < EXITS; i++)
			tested |= exits[i].code == n;
		cr_expect(tested || !told[n], "only the manual has %d", n);
	}
	cr_expect(told[130]);
}
