/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * Beside its budget, which is about guests, the manager looks once a round how long tasks of
 * the host wait for memory, whoever they are: who has set a budget too high, or runs something
 * else here, sees it by that.  Nothing is decided by it; it is told, to people and schedulers.
 *
 *	moderate	some task waits for a tenth of the time
 *	critical	all that could run do, for a twentieth of it
 *
 * A level is left when the figure has fallen to half of what it is entered at: the kernel's
 * averages are of ten seconds, and waver.
 */
#include "balloon/manager_priv.h"

#define MODERATE_SOME (PSI_ONE / 10)
#define CRITICAL_FULL (PSI_ONE / 20)

const char *manager_pressure_name(enum host_pressure level)
{
	static const char *const names[] = { "low", "moderate", "critical" };

	return names[level];
}

enum host_pressure manager_pressure_level(enum host_pressure was, const struct pressure *p)
{
	uint32_t full = was == HOST_PRESSURE_CRITICAL ? CRITICAL_FULL / 2 : CRITICAL_FULL,
		 some = was == HOST_PRESSURE_LOW ? MODERATE_SOME : MODERATE_SOME / 2;

	if (!p->there)
		return HOST_PRESSURE_LOW;
	if (p->full >= full)
		return HOST_PRESSURE_CRITICAL;
	return p->some >= some ? HOST_PRESSURE_MODERATE : HOST_PRESSURE_LOW;
}

void manager_pressure(struct manager *m)
{
	enum host_pressure was = m->pressure_level;
	struct host_event event = { .name = "HOST_PRESSURE" };

	m->read_pressure(&m->pressure);
	m->pressure_level = manager_pressure_level(was, &m->pressure);
	if (m->pressure_level == was)
		return;
	event.field[0] =
		(struct host_event_field){ .key = "level",
					   .text = manager_pressure_name(m->pressure_level) };
	event.field[1] = (struct host_event_field){ .key = "some-avg10",
						    .number = m->pressure.some,
						    .percent = true };
	event.field[2] = (struct host_event_field){ .key = "full-avg10",
						    .number = m->pressure.full,
						    .percent = true };
	if (m->h.available != UINT64_MAX)
		event.field[3] = (struct host_event_field){ .key = "available",
							    .number = m->h.available };
	host_tell(m->host, &event);
}
