/* SPDX-License-Identifier: BSD-2-Clause */
#include "balloon/monitor.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "balloon/monitor_priv.h"
#include "base/clock.h"

void monitor_destroy(struct monitor *m)
{
	if (m)
		m->kind->destroy(m);
}

void monitor_exit(int status)
{
	if (!monitor_virt_used)
		exit(status);
	fflush(NULL);
	_exit(status);
}

enum monitor_state monitor_state(const struct monitor *m)
{
	return m->state;
}

const char *monitor_why(const struct monitor *m)
{
	return m->why;
}

void monitor_figures(const struct monitor *m, struct monitor_figures *out)
{
	*out = m->figures;
}

void monitor_poll(struct monitor *m, uint32_t seconds)
{
	m->kind->poll(m, seconds);
}

void monitor_set_ram(struct monitor *m, uint64_t bytes)
{
	m->kind->set_ram(m, bytes);
}

size_t monitor_vcpus(const struct monitor *m, pid_t *tid, size_t max)
{
	size_t i;

	for (i = 0; i < m->vcpus && i < max; i++)
		tid[i] = m->vcpu[i];
	return m->vcpus;
}

void monitor_changed(struct monitor *m)
{
	if (m->ops.changed)
		m->ops.changed(m->ops.arg);
}

void monitor_say(struct monitor *m, const char *what, const char *why)
{
	snprintf(m->why, sizeof(m->why), "%s: %s", what, why);
}

uint64_t monitor_told_at(uint64_t told, uint64_t before, uint64_t at, uint64_t now)
{
	uint64_t wall, age;
	struct timespec ts;

	if (told == 0)
		return 0;
	if (before)
		return told == before ? at : now;
	clock_gettime(CLOCK_REALTIME, &ts);
	wall = (uint64_t)ts.tv_sec;
	age = told < wall ? wall - told : 0;
	/* 0 would be never */
	return age < now / NSEC_PER_SEC ? now - age * NSEC_PER_SEC : 1;
}
