/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * monitor qmp SOCKET [ID], monitor virt URI DOMAIN: what balloon/monitor.h says of a guest, in
 * a line each time that it is another, polled five times a second, the driver once.
 *
 *	UP actual=N running=1 deflate=0 reports=0 vcpus=TID,TID told=1 free=N ..
 *	LOST why
 *	PANICKED
 *
 * On standard input: "ram BYTES", "quit".  At the end it says how long the loop has not come
 * round at worst: "GAP ms".
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "balloon/monitor.h"
#include "base/clock.h"
#include "base/loop.h"

#define POLL_MS	 200
#define BEAT_MS	 10
#define LINE_LEN 1024

static struct loop *loop;
static struct monitor *monitor;
static char last[LINE_LEN + MONITOR_VCPUS_MAX * 12];
static uint64_t beat_at, gap;

static void changed(void *arg)
{
	static char line[sizeof(last)];
	static pid_t tid[MONITOR_VCPUS_MAX];
	struct monitor_figures f;
	size_t n, i, vcpus;

	(void)arg;
	if (monitor_state(monitor) != MONITOR_UP) {
		snprintf(line, sizeof(line), "LOST %s", monitor_why(monitor));
	} else {
		monitor_figures(monitor, &f);
		n = (size_t)snprintf(
			line, LINE_LEN,
			"UP actual=%" PRIu64 " running=%d deflate=%d reports=%d vcpus=",
			f.balloon ? f.actual : 0, f.running, f.deflate_on_oom, f.reports_free);
		vcpus = monitor_vcpus(monitor, tid, MONITOR_VCPUS_MAX);
		for (i = 0; i < vcpus; i++)
			n += (size_t)snprintf(line + n, 12, "%s%d", i ? "," : "", (int)tid[i]);
		n += (size_t)snprintf(line + n, LINE_LEN / 2, " told=%d", f.stats);
		if (f.stats)
			snprintf(line + n, LINE_LEN / 4,
				 " free=%" PRIu64 " available=%" PRIu64 " total=%" PRIu64,
				 f.free, f.available, f.total);
	}
	if (strcmp(line, last) == 0)
		return;
	strcpy(last, line);
	puts(line);
	fflush(stdout);
}

static void panicked(void *arg)
{
	(void)arg;
	puts("PANICKED");
	fflush(stdout);
}

static void poll_it(void *arg)
{
	(void)arg;
	monitor_poll(monitor, 1);
}

static void beat(void *arg)
{
	uint64_t now = clock_ns();

	(void)arg;
	if (beat_at && now - beat_at > gap)
		gap = now - beat_at;
	beat_at = now;
}

static void command(void *arg, uint32_t events)
{
	char line[64];
	ssize_t n = read(STDIN_FILENO, line, sizeof(line) - 1);

	(void)arg;
	(void)events;
	line[n > 0 ? n : 0] = '\0';
	if (n > 0 && strncmp(line, "ram ", 4) == 0)
		monitor_set_ram(monitor, strtoull(line + 4, NULL, 10));
	else
		loop_stop(loop);
}

int main(int argc, char **argv)
{
	static const struct monitor_ops ops = { .changed = changed, .panicked = panicked };
	struct err e = { 0 };

	loop = loop_create();
	if (loop && argc >= 3 && argc <= 4 && strcmp(argv[1], "qmp") == 0)
		monitor = monitor_qmp(loop, argv[2], argv[3], &ops);
	else if (loop && argc == 4 && strcmp(argv[1], "virt") == 0)
		monitor = monitor_virt(loop, argv[2], argv[3], &ops, &e);
	if (!monitor || !loop_add(loop, STDIN_FILENO, EPOLLIN, command, NULL) ||
	    !loop_every(loop, POLL_MS, poll_it, NULL) ||
	    !loop_every(loop, BEAT_MS, beat, NULL)) {
		fprintf(stderr, "usage: monitor qmp SOCKET [ID]|virt URI DOMAIN: %s\n", e.text);
		return 2;
	}
	if (loop_run(loop) < 0)
		return 1;
	monitor_destroy(monitor);
	loop_destroy(loop);
	printf("GAP %" PRIu64 "\n", gap / NSEC_PER_MSEC);
	monitor_exit(0);
}
