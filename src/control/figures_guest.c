/* SPDX-License-Identifier: BSD-2-Clause */
/* Figures of guests. */
#include "balloon/manager.h"
#include "control/registry.h"
#include "vmm/host.h"

const struct figure guest_figures[] = {
	FIGURE(guest_stats, "name", TEXT, name, INFO, NULL, NULL, "As it was attached."),
	FIGURE(guest_stats, "pid", INT, pid, INFO, NULL, NULL,
	       "Process id of its VMM; 0 while it has not come yet."),
	FIGURE(guest_stats, "state", TEXT, state, INFO, NULL, NULL,
	       "One of admitted (it has not come yet, and nothing of its RAM was "
	       "touched), attaching, recovering, running, detaching, quarantined, "
	       "waiting, gone. While it is recovering, after the death of a pager, "
	       "swapped tells how much was found so far."),
	FIGURE(guest_stats, "reason", TEXT, why, INFO, NULL, NULL,
	       "Why it is quarantined or waits; else empty."),
	FIGURE(guest_stats, "mappers", COUNT, mappers, GAUGE, "guest_mappers", NULL,
	       "Processes that map its RAM and are attached."),
	FIGURE(guest_stats, "size", SIZE, size, GAUGE, "guest_size_bytes", NULL,
	       "All of its RAM. It is divided into resident, swapped, zero and "
	       "reading."),
	FIGURE(guest_stats, "resident", SIZE, resident, GAUGE, "guest_resident_bytes", NULL,
	       "What is in RAM: active, inactive and writing."),
	FIGURE(guest_stats, "active", SIZE, active, GAUGE, "guest_state_bytes",
	       "state=\"active\"", "Of resident: mapped by the guest."),
	FIGURE(guest_stats, "inactive", SIZE, inactive, GAUGE, "guest_state_bytes",
	       "state=\"inactive\"",
	       "Of resident: not mapped, for some time now or since the last scan."),
	FIGURE(guest_stats, "pinned", SIZE, pinned, GAUGE, "guest_pinned_bytes", NULL,
	       "Of resident: stays there because a device or somebody's I/O has it "
	       "in use: an O_DIRECT read into it, a registered buffer, VFIO. It is "
	       "what was found when pages were last looked at, which is when they "
	       "were to be paged out. New pages may count as such for a moment."),
	FIGURE(guest_stats, "writing", SIZE, writing, GAUGE, "guest_state_bytes",
	       "state=\"writing\"", "Of resident: being paged out."),
	FIGURE(guest_stats, "reading", SIZE, reading, GAUGE, "guest_state_bytes",
	       "state=\"reading\"", "What is on its way in."),
	FIGURE(guest_stats, "swapped", SIZE, swapped, GAUGE, "guest_state_bytes",
	       "state=\"swapped\"", "What is on a swap device, or in an image, only."),
	FIGURE(guest_stats, "kept", SIZE, kept, GAUGE, "guest_kept_bytes", NULL,
	       "How much of swap holds clean copies of what is resident: what was "
	       "only read leaves again without a write. It is given up where few "
	       "blocks of a device are free, and counts as used there."),
	FIGURE(guest_stats, "zero", SIZE, zero, GAUGE, "guest_state_bytes", "state=\"zero\"",
	       "What takes neither RAM nor swap: never touched, given back by the "
	       "guest, or found to be all zero."),
	FIGURE(guest_stats, "working-set", SIZE, hot, GAUGE, "guest_working_set_bytes", NULL,
	       "What the guest has touched within the last minute. Until that is "
	       "known, a minute after it was attached, it is all but zero. This "
	       "and idle-* are found by looking at a part of the RAM, up to 128 "
	       "MiB, bit by bit (paging-set sample). One round over that takes two "
	       "minutes, so what a guest begins or ceases to do shows in full "
	       "after three."),
	FIGURE(guest_stats, "idle-10s", SIZE, idle_10s, GAUGE, "guest_idle_bytes",
	       "age=\"10s\"",
	       "What it has not touched for at least 10 seconds: cold memory, part "
	       "of resident, swapped and reading. 0 until so much time has passed."),
	FIGURE(guest_stats, "idle-1m", SIZE, idle_1m, GAUGE, "guest_idle_bytes", "age=\"1m\"",
	       "The same, for a minute."),
	FIGURE(guest_stats, "idle-5m", SIZE, idle_5m, GAUGE, "guest_idle_bytes", "age=\"5m\"",
	       "The same, for 5 minutes."),
	FIGURE(guest_stats, "idle-30m", SIZE, idle_30m, GAUGE, "guest_idle_bytes",
	       "age=\"30m\"", "The same, for 30 minutes."),
	FIGURE(guest_stats, "limit", SIZE, limit, GAUGE, "guest_limit_bytes", NULL,
	       "Most that may be resident; size where there is no limit."),
	FIGURE(guest_stats, "grant", SIZE, grant, GAUGE, "guest_grant_bytes", NULL,
	       "What the arbiter allows now, if that is less; else limit."),
	FIGURE(guest_stats, "over-limit", SIZE, over_limit, GAUGE, "guest_over_limit_bytes",
	       NULL,
	       "What is resident above these because it cannot be paged out, as "
	       "with full swap."),
	FIGURE(guest_stats, "faults", COUNT, faults, INFO, NULL, NULL,
	       "Page faults served, the sum of the next five, by the state that "
	       "the page was in."),
	FIGURE(guest_stats, "faults-hole", COUNT, faults_hole, COUNTER, "guest_faults",
	       "page=\"hole\"", "Of pages that were zero."),
	FIGURE(guest_stats, "faults-inactive", COUNT, faults_inactive, COUNTER, "guest_faults",
	       "page=\"inactive\"", "Of pages that were resident and not mapped."),
	FIGURE(guest_stats, "faults-swapped", COUNT, faults_swapped, COUNTER, "guest_faults",
	       "page=\"swapped\"", "Of pages that had to be read."),
	FIGURE(guest_stats, "faults-writing", COUNT, faults_writing, COUNTER, "guest_faults",
	       "page=\"writing\"", "Of pages that were being paged out."),
	FIGURE(guest_stats, "faults-reading", COUNT, faults_reading, COUNTER, "guest_faults",
	       "page=\"reading\"", "Of pages that were on their way in."),
	FIGURE(guest_stats, "refaults", COUNT, refaults, COUNTER, "guest_refaults", NULL,
	       "Of faults-swapped, those of pages that had been paged out less "
	       "than a minute before."),
	FIGURE(guest_stats, "refaults-1s", COUNT, refaults_1s, COUNTER, "guest_refaults_second",
	       NULL,
	       "Of these, less than a second before: mistakes; after many of them "
	       "pages are given longer to be touched before they are paged out."),
	FIGURE(guest_stats, "fault-p50-us", US, fault_p50, INFO, NULL, NULL,
	       "How long faults took: the median."),
	FIGURE(guest_stats, "fault-p99-us", US, fault_p99, INFO, NULL, NULL,
	       "What 99 of 100 stayed below."),
	FIGURE(guest_stats, "fault-max-us", US, fault_max, INFO, NULL, NULL, "The longest."),
	FIGURE(guest_stats, "pages-in", COUNT, pages_in, COUNTER, "guest_pages_in", NULL,
	       "Pages read from swap, or from an image."),
	FIGURE(guest_stats, "pages-out", COUNT, pages_out, COUNTER, "guest_pages_out", NULL,
	       "Pages written to swap."),
	FIGURE(guest_stats, "pages-clean", COUNT, pages_clean, COUNTER, "guest_pages_clean",
	       NULL,
	       "Pages that left without a write, since their copy on swap was kept "
	       "and they had not changed."),
	FIGURE(guest_stats, "pages-zero", COUNT, pages_zero, COUNTER, "guest_pages_zero", NULL,
	       "Pages that were all zero when they were to be paged out, and were "
	       "dropped."),
	FIGURE(guest_stats, "pages-discarded", COUNT, pages_discarded, COUNTER,
	       "guest_pages_discarded", NULL,
	       "Pages that the guest gave back, by its balloon for instance."),
	FIGURE(guest_stats, "pages-moved", COUNT, pages_moved, COUNTER, "guest_pages_moved",
	       NULL,
	       "Pages that went from one swap device to another, or were written "
	       "again to a mirror."),
	FIGURE(guest_stats, "pages-replayed", COUNT, pages_replayed, COUNTER,
	       "guest_pages_replayed", NULL,
	       "Pages that were brought in because they were recorded, by guest-in "
	       "or when the guest was in use again."),
	FIGURE(guest_stats, "recorded", SIZE, recorded, GAUGE, "guest_recorded_bytes", NULL,
	       "The working set as it was at the last guest-out: what comes back "
	       "first."),
	FIGURE(guest_stats, "poisoned", COUNT, poisoned, COUNTER, "guest_pages_poisoned", NULL,
	       "Pages that could not be read from swap and were lost."),
	FIGURE(guest_stats, "pin-checks", COUNT, pin_checks, COUNTER, "guest_pin_checks", NULL,
	       "Pages that were looked at before they were paged out, whether they "
	       "are pinned."),
	FIGURE(guest_stats, "pin-check-us", US, pin_check, COUNTER, "guest_pin_check_seconds",
	       NULL, "What that took in all."),
	FIGURE(guest_stats, "zaps", COUNT, zaps, COUNTER, "guest_zaps", NULL,
	       "How often the guest was stopped for a moment to take its mappings "
	       "away."),
	FIGURE(guest_stats, "zap-p50-us", US, zap_p50, INFO, NULL, NULL,
	       "How long these stops were: the median."),
	FIGURE(guest_stats, "zap-max-us", US, zap_max, INFO, NULL, NULL, "The longest."),
	FIGURE(guest_stats, "read-errors", COUNT, read_errors, COUNTER, "guest_read_errors",
	       NULL, "Reads that failed while paging this guest."),
	FIGURE(guest_stats, "write-errors", COUNT, write_errors, COUNTER, "guest_write_errors",
	       NULL, "Likewise writes."),
	FIGURE(guest_stats, "dump-done", SIZE, dump_done, INFO, NULL, NULL,
	       "How much of the guest's RAM is dumped, while that is under way, "
	       "else 0."),
	FIGURE(guest_stats, "evicted-limit", COUNT, evicted_limit, COUNTER,
	       "guest_evicted_pages", "reason=\"limit\"",
	       "Pages that were evicted because it was over its limit."),
	FIGURE(guest_stats, "evicted-grant", COUNT, evicted_grant, COUNTER,
	       "guest_evicted_pages", "reason=\"grant\"", "Because it was over its grant."),
	FIGURE(guest_stats, "evicted-cold", COUNT, evicted_cold, COUNTER, "guest_evicted_pages",
	       "reason=\"cold\"", "Because they were cold."),
	FIGURE(guest_stats, "evicted-out", COUNT, evicted_out, COUNTER, "guest_evicted_pages",
	       "reason=\"guest-out\"", "By guest-out."),
	FIGURE(guest_stats, "vcpus", COUNT, vcpus, GAUGE, "guest_vcpus", NULL,
	       "How many of its vCPUs are known; 0 without its monitor."),
	FIGURE(guest_stats, "stall-some-us", US, stall_some, COUNTER, "guest_stall_seconds",
	       "vcpus=\"some\"",
	       "For how long some of its vCPUs have waited for a fault since it "
	       "was attached; any thread, where no vCPU is known."),
	FIGURE(guest_stats, "stall-full-us", US, stall_full, COUNTER, "guest_stall_seconds",
	       "vcpus=\"full\"", "For how long all of them have; 0 where none is known."),
	FIGURE(guest_stats, "stall-read-us", US, stall_for[HOST_STALL_READ], COUNTER,
	       "guest_stall_reason_seconds", "reason=\"read\"",
	       "Of stall-some-us, what that time was waited for: a read of swap."),
	FIGURE(guest_stats, "stall-limit-us", US, stall_for[HOST_STALL_LIMIT], COUNTER,
	       "guest_stall_reason_seconds", "reason=\"limit\"",
	       "Page-out, as the guest was at its limit or grant."),
	FIGURE(guest_stats, "stall-no-pagein-us", US, stall_for[HOST_STALL_NO_PAGEIN], COUNTER,
	       "guest_stall_reason_seconds", "reason=\"no-pagein\"", "Other page-ins."),
	FIGURE(guest_stats, "stall-changing-us", US, stall_for[HOST_STALL_CHANGING], COUNTER,
	       "guest_stall_reason_seconds", "reason=\"changing\"",
	       "Its VMM, whose address space was changing."),
	FIGURE(guest_stats, "stall-no-memory-us", US, stall_for[HOST_STALL_NO_MEMORY], COUNTER,
	       "guest_stall_reason_seconds", "reason=\"no-memory\"",
	       "Memory of a cgroup or of the host."),
	FIGURE(guest_stats, "stall-failing-us", US, stall_for[HOST_STALL_FAILING], COUNTER,
	       "guest_stall_reason_seconds", "reason=\"failing\"",
	       "A read that has failed and is tried again."),
	FIGURE(guest_stats, "stall-served-us", US, stall_for[HOST_STALL_SERVED], COUNTER,
	       "guest_stall_reason_seconds", "reason=\"served\"", "The pager itself."),
	FIGURE(guest_stats, "busy", BOOL, busy, GAUGE, "guest_busy", NULL,
	       "Whether it is being paged out, paged in or dumped."),
	{ 0 },
};

const struct figure guest_terms_figures[] = {
	FIGURE(manager_guest, "admitted", BOOL, admitted, INFO, NULL, NULL,
	       "Whether it was admitted."),
	FIGURE(manager_guest, "reservation", SIZE, terms.reservation, GAUGE,
	       "guest_reservation_bytes", NULL, "What of it always may be resident."),
	FIGURE(manager_guest, "shares", COUNT, terms.shares, GAUGE, "guest_shares", NULL,
	       "What it pays with."),
	FIGURE(manager_guest, "promised-swap", SIZE, promised, GAUGE,
	       "guest_promised_swap_bytes", NULL, "Swap that nobody else is given."),
	FIGURE(manager_guest, "target", SIZE, target, GAUGE, "guest_target_bytes", NULL,
	       "What it is due."),
	FIGURE_ADDED("why", WORD, NULL,
		     "What decides that: one of off (there is no budget), enough (it is "
		     "all that it can use), price, limit, reservation, cold (what was "
		     "cold was taken), busy (nothing is decided now)."),
	FIGURE(manager_guest, "price", COUNT, price, GAUGE, "guest_price_shares", NULL,
	       "Shares that it pays for each GiB."),
	FIGURE(manager_guest, "price-next", COUNT, next, INFO, NULL, NULL,
	       "What it would pay if it had one MiB more."),
	FIGURE(manager_guest, "uses", SIZE, active, GAUGE, "guest_uses_bytes", NULL,
	       "Its working set as the arbiter counts it: averaged, and all that "
	       "it has if it stalls much."),
	FIGURE(manager_guest, "cold", SIZE, cold, GAUGE, "guest_cold_bytes", NULL,
	       "What was not touched for 5 minutes."),
	FIGURE(manager_guest, "some-10s", PERCENT, some[0], INFO, NULL, NULL,
	       "Share of the last 10 seconds in which some vCPU waited for a "
	       "fault."),
	FIGURE(manager_guest, "some-60s", PERCENT, some[1], INFO, NULL, NULL,
	       "Of the last 60 seconds."),
	FIGURE(manager_guest, "some-300s", PERCENT, some[2], INFO, NULL, NULL,
	       "Of the last 300 seconds."),
	FIGURE(manager_guest, "monitor", TEXT, monitor, INFO, NULL, NULL,
	       "One of none (it is not known where it is), connecting, up, lost."),
	FIGURE(manager_guest, "monitor-reason", TEXT, monitor_why, INFO, NULL, NULL,
	       "Why it is lost."),
	FIGURE(manager_guest, "qmp", TEXT, qmp, INFO, NULL, NULL, "The socket of its monitor."),
	FIGURE(manager_guest, "domain", TEXT, domain, INFO, NULL, NULL,
	       "Its domain in libvirt."),
	FIGURE(manager_guest, "balloon", TEXT, balloon, INFO, NULL, NULL,
	       "One of absent, idle, inflating, deflating, stuck."),
	FIGURE(manager_guest, "balloon-reason", TEXT, balloon_why, INFO, NULL, NULL,
	       "Why it is absent or stuck."),
	FIGURE(manager_guest, "balloon-size", SIZE, balloon_size, GAUGE, "guest_balloon_bytes",
	       NULL, "What it has taken of the guest's RAM."),
	FIGURE(manager_guest, "reports-free", BOOL, reports_free, INFO, NULL, NULL,
	       "Whether the guest gives back by itself what it frees."),
	FIGURE(manager_guest, "deflate-on-oom", BOOL, deflate_on_oom, INFO, NULL, NULL,
	       "Whether it takes from the balloon what it lacks."),
	{ 0 },
};

const struct figure guest_full_figures[] = {
	FIGURE(manager_guest, "full-10s", PERCENT, full[0], INFO, NULL, NULL,
	       "Share of the last 10 seconds in which all vCPUs waited for a "
	       "fault; these three are absent where it is not known which threads "
	       "are vCPUs."),
	FIGURE(manager_guest, "full-60s", PERCENT, full[1], INFO, NULL, NULL,
	       "Of the last 60 seconds."),
	FIGURE(manager_guest, "full-300s", PERCENT, full[2], INFO, NULL, NULL,
	       "Of the last 300 seconds."),
	{ 0 },
};

const struct figure guest_own_figures[] = {
	FIGURE(manager_guest, "guest-free", SIZE, guest_free, GAUGE, "guest_own_free_bytes",
	       NULL,
	       "What the guest's kernel says is free; absent, as the next, where "
	       "it does not say."),
	FIGURE(manager_guest, "guest-available", SIZE, guest_available, GAUGE,
	       "guest_own_available_bytes", NULL, "What can be had there without swapping."),
	{ 0 },
};

static const struct figure sentence_figures[] = {
	FIGURE_ADDED("topic", WORD, NULL, "One of has, price, evicted, stalls, balloon."),
	FIGURE_ADDED("text", WORD, NULL, "A sentence."),
	{ 0 },
};

const struct figure admission_figures[] = {
	FIGURE(manager_admission, "admitted", BOOL, admitted, INFO, NULL, NULL,
	       "Whether the guest would be.  All members are those of a dry-run; else there "
	       "are "
	       "none."),
	FIGURE(manager_admission, "memory", SIZE, memory, INFO, NULL, NULL, "Its RAM."),
	FIGURE(manager_admission, "reservation", SIZE, reservation, INFO, NULL, NULL,
	       "What of it always may be resident."),
	FIGURE(manager_admission, "headroom", SIZE, headroom, INFO, NULL, NULL,
	       "What its reservation must fit into."),
	FIGURE(manager_admission, "promised-swap", SIZE, promised_swap, INFO, NULL, NULL,
	       "Swap that it would be promised: its RAM less its reservation."),
	FIGURE(manager_admission, "free-swap", SIZE, free_swap, INFO, NULL, NULL,
	       "What that must fit into."),
	{ 0 },
};

const struct figure admission_reason_figures[] = {
	FIGURE(manager_admission, "reason", TEXT, refusal.text, INFO, NULL, NULL,
	       "Why it would not be; absent if it would."),
	{ 0 },
};

const struct object_type admission_object = {
	"Admission",
	"What an admission would be",
	{ admission_figures, admission_reason_figures },
	1u << 0 | 1u << 1,
};

const struct object_type sentence_object = {
	"Sentence",
	"Why a guest has the memory that it has",
	{ sentence_figures },
	0,
};

const struct object_type guest_object = {
	"Guest",
	"A guest.  What the arbiter and the manager know of it, from admitted on, is absent "
	"while "
	"it is being attached",
	{ guest_figures, guest_terms_figures, guest_full_figures, guest_own_figures,
	  guest_swap_list },
	1u << 1 | 1u << 2 | 1u << 3,
};
