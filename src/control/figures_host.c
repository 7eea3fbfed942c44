/* SPDX-License-Identifier: BSD-2-Clause */
/* Figures of the host, of paging, of the daemon and of dumps. */
#include "balloon/manager.h"
#include "control/registry.h"
#include "vmm/host.h"

const struct figure host_figures[] = {
	FIGURE(manager_stats, "budget", SIZE, conf.budget, GAUGE, "host_budget_bytes", NULL,
	       "What all guests may have; 0: nothing is decided."),
	FIGURE(manager_stats, "idle-tax", COUNT, conf.tax, INFO, NULL, NULL,
	       "On idle memory, percent."),
	FIGURE(manager_stats, "stall-target", PERCENT, conf.stall_target, INFO, NULL, NULL,
	       "Stalls up to which cold memory is taken."),
	FIGURE(manager_stats, "level", TEXT, level, INFO, NULL, NULL,
	       "One of high, soft, hard, low; off without a budget."),
	FIGURE(manager_stats, "used", SIZE, used, GAUGE, "host_used_bytes", NULL,
	       "What of the budget is resident."),
	FIGURE(manager_stats, "free", SIZE, free, GAUGE, "host_free_bytes", NULL,
	       "What is not; at most what the host has available."),
	FIGURE(manager_stats, "price", COUNT, price, GAUGE, "host_price_shares", NULL,
	       "Shares for each GiB that all pay who would have more; 0 if there "
	       "is enough."),
	FIGURE(manager_stats, "total", SIZE, total, GAUGE, "host_memory_bytes", NULL,
	       "RAM of the host."),
	FIGURE(manager_stats, "available", SIZE, available, GAUGE, "host_available_bytes", NULL,
	       "What of it could be had now."),
	FIGURE(manager_stats, "admitted-memory", SIZE, admitted, GAUGE, "host_admitted_bytes",
	       NULL, "RAM of all guests that are admitted or attached."),
	FIGURE(manager_stats, "committed", SIZE, admitted, INFO, NULL, NULL,
	       "The same, as schedulers call it."),
	FIGURE(manager_stats, "reserved", SIZE, reserved, GAUGE, "host_reserved_bytes", NULL,
	       "The sum of their reservations."),
	FIGURE(manager_stats, "headroom", SIZE, headroom, GAUGE, "host_headroom_bytes", NULL,
	       "Most that another guest could reserve."),
	FIGURE(manager_stats, "promised-swap", SIZE, promised, GAUGE,
	       "host_promised_swap_bytes", NULL, "Swap that is promised to guests."),
	FIGURE(manager_stats, "free-swap", SIZE, swap_free, GAUGE, "host_free_swap_bytes", NULL,
	       "Swap that could be promised besides."),
	FIGURE(manager_stats, "stall-some-10s", PERCENT, stall_some, GAUGE, "host_stall_ratio",
	       "kind=\"some\"",
	       "Of the guest that stalls most: its some-10s of query-guests.  So no guest "
	       "stalls more than this."),
	FIGURE(manager_stats, "stall-full-10s", PERCENT, stall_full, GAUGE, "host_stall_ratio",
	       "kind=\"full\"", "Likewise its full-10s."),
	FIGURE(manager_stats, "rounds", COUNT, rounds, COUNTER, "host_rounds", NULL,
	       "How often was decided since the pager began."),
	FIGURE(manager_stats, "round-us", US, round_ns, GAUGE, "host_round_seconds", NULL,
	       "What the last time took."),
	{ 0 },
};

const struct figure host_overcommit_figures[] = {
	FIGURE(manager_stats, "overcommit", RATIO, overcommit, GAUGE, "host_overcommit_ratio",
	       NULL, "admitted-memory for each byte of the budget; absent without one."),
	{ 0 },
};

const struct figure host_pressure_figures[] = {
	FIGURE(manager_stats, "pressure-some-avg10", PERCENT, pressure_some, GAUGE,
	       "host_pressure_ratio", "kind=\"some\"",
	       "Share of the last 10 seconds in which some task of the host waited for memory, "
	       "by "
	       "the kernel's /proc/pressure/memory; absent where it has none."),
	FIGURE(manager_stats, "pressure-full-avg10", PERCENT, pressure_full, GAUGE,
	       "host_pressure_ratio", "kind=\"full\"",
	       "In which all tasks that could run waited for memory."),
	{ 0 },
};

const struct figure totals_figures[] = {
	FIGURE(host_stats, "guests", COUNT, guests, GAUGE, "guests", NULL,
	       "Guests that are attached."),
	FIGURE(host_stats, "swap-devices", COUNT, swap_devices, GAUGE, "swap_devices", NULL,
	       "Swap devices that are on."),
	FIGURE(host_stats, "size", SIZE, size, INFO, NULL, NULL,
	       "Sums over guests, as all members but those of swap: all RAM."),
	FIGURE(host_stats, "resident", SIZE, resident, INFO, NULL, NULL, "What is in RAM."),
	FIGURE(host_stats, "swapped", SIZE, swapped, INFO, NULL, NULL, "What is on swap only."),
	FIGURE(host_stats, "zero", SIZE, zero, INFO, NULL, NULL, "What takes neither."),
	FIGURE(host_stats, "swap-size", SIZE, swap_size, INFO, NULL, NULL,
	       "Sum of the sizes of swap devices."),
	FIGURE(host_stats, "swap-used", SIZE, swap_used, INFO, NULL, NULL,
	       "What of that is in use."),
	FIGURE(host_stats, "faults", COUNT, faults, INFO, NULL, NULL, "Page faults served."),
	FIGURE(host_stats, "pages-in", COUNT, pages_in, INFO, NULL, NULL, "Pages read."),
	FIGURE(host_stats, "pages-out", COUNT, pages_out, INFO, NULL, NULL, "Pages written."),
	FIGURE(host_stats, "pages-zero", COUNT, pages_zero, INFO, NULL, NULL,
	       "Pages that were all zero."),
	FIGURE(host_stats, "pages-discarded", COUNT, pages_discarded, INFO, NULL, NULL,
	       "Pages that guests gave back."),
	FIGURE(host_stats, "read-errors", COUNT, read_errors, INFO, NULL, NULL,
	       "Reads that failed."),
	FIGURE(host_stats, "write-errors", COUNT, write_errors, INFO, NULL, NULL,
	       "Writes that failed."),
	FIGURE(host_stats, "uptime-us", US, uptime, GAUGE, "pager_uptime_seconds", NULL,
	       "How long the pager runs."),
	{ 0 },
};

const struct figure paging_figures[] = {
	FIGURE(paging_limits, "cluster", SIZE, cluster, INFO, NULL, NULL,
	       "Bytes that one write to swap moves."),
	FIGURE(paging_limits, "depth", COUNT, depth, INFO, NULL, NULL,
	       "Writes in flight for each guest."),
	FIGURE(paging_limits, "total-writes", COUNT, total_writes, INFO, NULL, NULL,
	       "Writes in flight for all guests."),
	FIGURE(paging_limits, "reads", COUNT, reads, INFO, NULL, NULL,
	       "Reads ahead of need in flight for each guest."),
	FIGURE(paging_limits, "swblocks", COUNT, swblocks, INFO, NULL, NULL,
	       "Most swblocks of all guests, of 16 pages each."),
	FIGURE(paging_limits, "give-up", COUNT, give_up, INFO, NULL, NULL,
	       "Seconds until a page that cannot be read is poisoned."),
	FIGURE(paging_limits, "stall-after", COUNT, stall_after, INFO, NULL, NULL,
	       "Seconds that a fault may wait before that is told."),
	FIGURE(paging_limits, "sample", COUNT, sample, INFO, NULL, NULL,
	       "Pages of a guest looked at each second; 0: off."),
	{ 0 },
};

const struct figure daemon_figures[] = {
	FIGURE(host_daemon, "pid", INT, pid, INFO, NULL, NULL,
	       "Process id of the running daemon."),
	FIGURE(host_daemon, "replaced", COUNT, replaced, COUNTER, "daemon_replaced", NULL,
	       "How often this process has become another daemon by daemon-reexec."),
	FIGURE(host_daemon, "busy", BOOL, busy, INFO, NULL, NULL,
	       "Whether guests are still being taken over."),
	FIGURE(host_daemon, "guests-waiting", COUNT, waiting, GAUGE, "guests_waiting", NULL,
	       "How many could not be."),
	FIGURE(host_daemon, "paused-us", US, paused, INFO, NULL, NULL,
	       "How long guests have waited for this pager, after another; 0 if not, or "
	       "still."),
	FIGURE(host_daemon, "pager-restarts", COUNT, restarts, COUNTER, "daemon_pager_restarts",
	       NULL, "How often this process has started another pager, as one had died."),
	FIGURE(host_daemon, "events-dropped", COUNT, events_dropped, COUNTER,
	       "pager_events_dropped", NULL,
	       "Events that the pager did not tell, as they came too fast."),
	FIGURE(host_daemon, "log-lost", COUNT, log_lost, COUNTER, "pager_log_lost", NULL,
	       "Messages of the pager that were lost, as its log was full."),
	{ 0 },
};

const struct figure daemon_from_figures[] = {
	FIGURE(host_daemon, "replaced-version", TEXT, from, INFO, NULL, NULL,
	       "The version before the last time; absent if there was none."),
	{ 0 },
};

const struct figure daemon_failed_figures[] = {
	FIGURE(host_daemon, "failed", TEXT, failed, INFO, NULL, NULL,
	       "Why the last daemon-reexec that had begun failed; absent if it did "
	       "not."),
	{ 0 },
};

const struct figure dump_device_figures[] = {
	FIGURE(dump_stats, "path", TEXT, path, INFO, NULL, NULL,
	       "The dump device; absent if there is none."),
	FIGURE(dump_stats, "size", SIZE, size, INFO, NULL, NULL, "Its size now."),
	{ 0 },
};

const struct figure dump_under_way_figures[] = {
	FIGURE(dump_stats, "dumping", TEXT, dumping, INFO, NULL, NULL,
	       "The guest that is being dumped; absent if there is none."),
	{ 0 },
};

const struct figure dump_last_figures[] = {
	FIGURE(dump_stats, "guest", TEXT, guest, INFO, NULL, NULL, "The guest."),
	FIGURE(dump_stats, "complete", BOOL, complete, INFO, NULL, NULL,
	       "Whether all of it was written."),
	FIGURE(dump_stats, "bytes", SIZE, bytes, INFO, NULL, NULL, "What it takes."),
	FIGURE(dump_stats, "lost", COUNT, lost, INFO, NULL, NULL,
	       "Pages that could not be read."),
	{ 0 },
};

static const struct figure done_figures[] = {
	FIGURE_ADDED("warning", WORD, NULL, "It was done, and this is to be said."),
	{ 0 },
};

const struct object_type done_object = {
	"Done",
	"What a command returns that has nothing to tell",
	{ done_figures },
	1u << 0,
};

static const struct figure number_figures[] = {
	FIGURE_ADDED("micro", INT, NULL, "Third number."),
	FIGURE_ADDED("minor", INT, NULL, "Second number."),
	FIGURE_ADDED("major", INT, NULL, "First number."),
	{ 0 },
};

static const struct object_type numbers_object = {
	"VersionTriple",
	"The three numbers of a version",
	{ number_figures },
	0,
};

static const struct figure version_figures[] = {
	FIGURE_ADDED("qemu", OBJECT, &numbers_object,
		     "Version of Drum, under the name where QMP's clients look for it."),
	FIGURE_ADDED("package", WORD, NULL, "The word drum, and the version."),
	{ 0 },
};

const struct object_type version_object = {
	"Version",
	"The version of Drum",
	{ version_figures },
	0,
};

static const struct figure command_figures[] = {
	FIGURE_ADDED("name", WORD, NULL, "What it is called."),
	{ 0 },
};

const struct object_type command_object = {
	"Command",
	"A command",
	{ command_figures },
	0,
};

const struct object_type host_object = {
	"Host",
	"The host's memory: what guests may have of it, and have",
	{ host_figures, host_overcommit_figures, host_pressure_figures },
	1u << 1 | 1u << 2,
};

static const struct figure totals_added[] = {
	FIGURE_ADDED("host", OBJECT, &host_object, "As of query-host."),
	{ 0 },
};

const struct object_type totals_object = {
	"Totals",
	"Sums over all guests and swap devices",
	{ totals_figures, totals_added },
	0,
};

const struct object_type paging_object = {
	"Paging",
	"The limits of paging, for all guests, as paging-set takes them",
	{ paging_figures },
	0,
};

static const struct figure daemon_added[] = {
	FIGURE_ADDED("version", WORD, NULL, "Of the running daemon."),
	{ 0 },
};

const struct object_type daemon_object = {
	"Daemon",
	"The daemon itself",
	{ daemon_added, daemon_figures, daemon_from_figures, daemon_failed_figures },
	1u << 2 | 1u << 3,
};

static const struct figure dump_last_added[] = {
	FIGURE_ADDED("time", WORD, NULL, "When it began, in UTC."),
	{ 0 },
};

static const struct object_type last_dump_object = {
	"LastDump",
	"The last dump that was begun",
	{ dump_last_figures, dump_last_added },
	0,
};

static const struct figure dump_added[] = {
	FIGURE_ADDED("last", OBJECT, &last_dump_object,
		     "The last dump that was begun there; absent if there was none."),
	{ 0 },
};

const struct object_type dump_object = {
	"Dump",
	"The dump device, and the last dump",
	{ dump_device_figures, dump_under_way_figures, dump_added },
	1u << 0 | 1u << 1 | 1u << 2,
};
