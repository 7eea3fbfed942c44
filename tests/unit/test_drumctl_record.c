/* SPDX-License-Identifier: BSD-2-Clause */
/* "drumctl record", and what goes on when drumd was restarted: also "events --follow". */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <json-c/json.h>

#include "unit/drumctl_run.h"

TestSuite(drumctl_record, .init = drumctl_setup, .fini = drumctl_teardown);

#define GUARD_TURNS  4000 /* of some 5 ms each */
#define GUARD_EVENTS 400  /* of two runs of drumctl each */

static char path[256];
static char lines[1 << 20];

static const char *in_dir(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* All of the record r. */
static const char *recorded(void)
{
	FILE *f = fopen(in_dir("r"), "re");

	lines[0] = '\0';
	if (f)
		slurp(f, lines, sizeof(lines));
	return lines;
}

static size_t count(const char *what)
{
	size_t n = 0;

	for (const char *at = recorded(); (at = strstr(at, what)); at++)
		n++;
	return n;
}

/* Until the record has it so often; what makes that so happens elsewhere. */
static void wait_recorded(const char *what, size_t times)
{
	for (int i = 0; count(what) < times; i++) {
		cr_assert(i < GUARD_TURNS, "no %zu times '%s' in %s", times, what, lines);
		usleep(5000);
	}
}

static void write_file(const char *text)
{
	FILE *f = fopen(in_dir("r"), "we");

	fputs(text, f);
	fclose(f);
}

static struct json_object *line(int n)
{
	const char *at = recorded();
	char *copy;
	struct json_object *o;

	for (; n > 0; n--)
		at = strchr(at, '\n') + 1;
	copy = strndup(at, strcspn(at, "\n"));
	o = json_tokener_parse(copy);
	cr_assert(o, "no JSON: %s", copy);
	free(copy);
	return o;
}

static const char *text_at(struct json_object *o, const char *pointer)
{
	struct json_object *v = NULL;

	return json_pointer_get(o, pointer, &v) == 0 ? json_object_get_string(v) : "(none)";
}

Test(drumctl_record, samples)
{
	struct json_object *head, *sample;

	run("swap on /swap");
	run("guest attach 7 --name a --limit 64M");
	expect("record r --count 2 --delay 0.1", 0, "", "");
	cr_expect(count("\n") == 3, "%s", lines);
	cr_expect(!strncmp(lines, "{\"drum-record\":1,", 17), "%s", lines);
	head = line(0);
	cr_expect(!strcmp(text_at(head, "/delay"), "0.1"), "%s", text_at(head, "/delay"));
	sample = line(1);
	cr_expect_str_eq(text_at(sample, "/guests/0/name"), "a");
	cr_expect_str_eq(text_at(sample, "/guests/0/size"), "536870912");
	cr_expect_str_eq(text_at(sample, "/swap/0/path"), "/swap");
	/* chosen members only, and none that is 0 */
	cr_expect_str_eq(text_at(sample, "/guests/0/limit"), "(none)");
	cr_expect_str_eq(text_at(sample, "/guests/0/poisoned"), "(none)");
	json_object_put(head);
	json_object_put(sample);
	/* what was written is continued, and can be reported */
	expect("record r --count 1", 0, "", "");
	cr_expect(count("drum-record") == 2 && count("\n") == 5);
	stop_serving();
	expect("report r --html page", 0, "", "");
	cr_expect(access(in_dir("page"), F_OK) == 0 && access(in_dir("page.part"), F_OK) < 0);
	unlink(in_dir("page"));
	unlink(in_dir("r"));
}

Test(drumctl_record, events_come_between_samples)
{
	pid_t pid = begin("record r --delay 1000", 1, 2, NULL);

	wait_recorded("\"guests\"", 1);
	run("swap on /swap");
	run("swap off /swap");
	wait_recorded("\"event\":\"SWAP_DEVICE_REMOVED\"", 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlink(in_dir("r"));
}

/* Refused, and left as they are. */
Test(drumctl_record, what_is_no_record)
{
	static const char *const texts[] = { "hello\n", "{\"t\":1}\n", "[\"drum-record\"]\n",
					     "{\"drum-record\":1}" };
	char message[512];

	snprintf(message, sizeof(message),
		 "drumctl: record: r is no record; name a file that does not exist yet, or one "
		 "that 'drumctl record' has made\n");
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		write_file(texts[i]);
		expect("record r --count 1", 1, "", message);
		cr_expect_str_eq(recorded(), texts[i]);
	}
	unlink(in_dir("r"));
	cr_assert(mkfifo(in_dir("r"), 0600) == 0);
	expect("record r --count 1", 1, "", "drumctl: record: r is not a regular file\n");
	unlink(in_dir("r"));
	expect("record no/r --count 1", 1, "",
	       "drumctl: record: cannot open no/r: No such file or directory\n");
}

/* In a directory of all, another may have put it there. */
Test(drumctl_record, no_links)
{
	char other[256];
	struct stat st;

	snprintf(other, sizeof(other), "%s/other", dir);
	cr_assert(symlink("other", in_dir("r")) == 0);
	expect("record r --count 1", 1, "",
	       "drumctl: record: r is a symbolic link, or leads through a loop of them; name "
	       "the file itself\n");
	cr_expect(lstat(other, &st) < 0, "it was followed");
	unlink(in_dir("r"));
}

Test(drumctl_record, goes_on_behind_a_torn_line)
{
	write_file("{\"drum-record\":1,\"delay\":5}\n{\"t\":17,\"gue");
	expect("record r --count 1", 0, "", "");
	cr_expect(strstr(recorded(), "{\"t\":17,\"gue\n{\"drum-record\":1,"), "%s", lines);
	unlink(in_dir("r"));
}

Test(drumctl_record, one_writer)
{
	int fd = open(in_dir("r"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);

	cr_assert(flock(fd, LOCK_EX) == 0);
	expect("record r --count 1", 1, "", "drumctl: record: another drumctl writes to r\n");
	close(fd);
	unlink(in_dir("r"));
}

static void small_files(void)
{
	struct rlimit limit = { 1000, 1000 };

	/* its write is cut short, as on a full disk */
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
}

Test(drumctl_record, whole_lines_or_none)
{
	for (int i = 0; i < 4; i++) {
		char on[64];

		snprintf(on, sizeof(on), "swap on /swap%d", i);
		run(on);
	}
	run_prepared("record r --delay 0.1", small_files);
	cr_expect(code == 1, "exit %d", code);
	cr_expect(strstr(errors, "drumctl: record: cannot write to r: "), "%s", errors);
	recorded();
	cr_expect(strlen(lines) > 0 && lines[strlen(lines) - 1] == '\n', "%s", lines);
	unlink(in_dir("r"));
}

Test(drumctl_record, goes_on_when_drumd_was_restarted)
{
	pid_t pid = begin("record r --delay 0.1 --count 1000", 1, 2, NULL);

	wait_recorded("\"guests\"", 1);
	stop_serving();
	wait_recorded("\"gap\":\"lost drumd at ", 1);
	start_serving();
	wait_recorded("\"guests\"", count("\"guests\"") + 2);
	cr_expect(count("\"gap\"") == 1 && count("drum-record") == 1, "%s", lines);
	cr_expect(waitpid(pid, NULL, WNOHANG) == 0);
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	cr_expect(lines[strlen(recorded()) - 1] == '\n');
	unlink(in_dir("r"));
}

/* --- events --------------------------------------------------------------------- */

static void make_event(const char *name)
{
	static int n;
	char on[64], off[64];

	cr_assert(n < GUARD_EVENTS, "it does not listen");
	snprintf(on, sizeof(on), "swap on /%s%d", name, n);
	snprintf(off, sizeof(off), "swap off /%s%d", name, n++);
	run(on);
	run(off);
}

static bool has_said(int fd, const char *what)
{
	static char said[65536];
	ssize_t n = pread(fd, said, sizeof(said) - 1, 0);

	said[n > 0 ? n : 0] = '\0';
	return strstr(said, what);
}

Test(drumctl_record, events_follow_the_next_daemon)
{
	FILE *o = tmpfile(), *e = tmpfile();
	pid_t pid = begin("events --follow", fileno(o), fileno(e), NULL);

	while (!has_said(fileno(o), "SWAP_DEVICE_REMOVED path=/before")) {
		cr_assert(waitpid(pid, NULL, WNOHANG) == 0, "it has ended");
		make_event("before");
	}
	stop_serving();
	for (int i = 0; !has_said(fileno(e), "; waiting for it\n"); i++) {
		cr_assert(i < GUARD_TURNS);
		usleep(5000);
	}
	start_serving();
	while (!has_said(fileno(o), "SWAP_DEVICE_REMOVED path=/after")) {
		cr_assert(waitpid(pid, NULL, WNOHANG) == 0, "it has ended");
		make_event("after");
	}
	cr_expect(has_said(fileno(e), "drumctl: events: lost drumd at "));
	cr_expect(has_said(fileno(e), "drumctl: events: drumd is back\n"));
	cr_expect(!has_said(fileno(o), "drumctl"));
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	fclose(o);
	fclose(e);
}

/* --- report -------------------------------------------------------------------- */

Test(drumctl_record, reports_without_a_daemon)
{
	stop_serving();
	write_file("{\"drum-record\":1,\"delay\":5}\n");
	expect("report r --html page", 1, "", "drumctl: report: r has no samples yet\n");
	write_file("{\"drum-record\":1,\"delay\":5}\n{\"t\":1000}\n");
	expect("report r --html no/page", 1, "",
	       "drumctl: report: cannot write no/page: No such file or directory\n");
	expect("report r", 2, "",
	       "drumctl: report: --html OUT is missing\nUsage: drumctl report FILE --html "
	       "OUT\n");
	expect("report none --html page", 1, "",
	       "drumctl: report: cannot open none: No such file or directory\n");
	expect("record r", 3, "", errors);
	expect("record r --delay 0.01", 2, "",
	       "drumctl: record: --delay: not a number of seconds from 0.1 to 3600: '0.01'\n"
	       "Usage: drumctl record FILE [--count N] [--delay SECONDS]\n");
	unlink(in_dir("r"));
}

static const char one_sample[] = "{\"drum-record\":1,\"delay\":5}\n{\"t\":1000}\n";

/* What is no file gets the page, and stays what it is. */
Test(drumctl_record, reports_into_a_pipe)
{
	static char page[1 << 20];
	char fifo[256];
	struct stat st;
	size_t n;
	pid_t pid;
	FILE *f;

	write_file(one_sample);
	snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
	cr_assert(mkfifo(fifo, 0600) == 0);
	pid = begin("report r --html fifo", 1, 2, NULL);
	/* not to wait for one who never opens it */
	f = fdopen(open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC), "r");
	cr_assert(f);
	for (int i = 0; waitpid(pid, NULL, WNOHANG) == 0; i++) {
		cr_assert(i < GUARD_TURNS);
		usleep(5000);
	}
	n = fread(page, 1, sizeof(page) - 1, f);
	page[n] = '\0';
	cr_expect(strstr(page, "</html>"), "%zu bytes", n);
	cr_expect(lstat(fifo, &st) == 0 && S_ISFIFO(st.st_mode));
	fclose(f);
	unlink(fifo);
	unlink(in_dir("r"));
}

/* No name beside the page is one that others could know before. */
Test(drumctl_record, reports_past_planted_links)
{
	char part[256], other[256], page[256];
	struct stat st;

	write_file(one_sample);
	snprintf(part, sizeof(part), "%s/page.part", dir);
	snprintf(other, sizeof(other), "%s/other", dir);
	snprintf(page, sizeof(page), "%s/page", dir);
	cr_assert(symlink("other", part) == 0);
	expect("report r --html page", 0, "", "");
	cr_expect(lstat(page, &st) == 0 && S_ISREG(st.st_mode));
	cr_expect(lstat(part, &st) == 0 && S_ISLNK(st.st_mode), "it was replaced");
	cr_expect(lstat(other, &st) < 0, "it was followed");
	unlink(part);
	unlink(other);
	unlink(page);
	unlink(in_dir("r"));
}
