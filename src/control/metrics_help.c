/* SPDX-License-Identifier: BSD-2-Clause */
/* What families of metrics are about, where the rows of the registry do not say it alone. */
#include <string.h>

#include "control/metrics.h"

const struct metrics_help metrics_help[] = {
	/* shared by rows */
	{ "guest_state_bytes", "Guest RAM by the state of its pages; the sum is all of it." },
	{ "host_stall_ratio", "Share of 10 seconds in which vCPUs of the guest that stalls "
			      "most waited for a fault." },
	{ "host_pressure_ratio",
	  "Share of 10 seconds in which tasks of the host waited for memory." },
	{ "guest_idle_bytes", "Guest RAM that was not touched for at least so long." },
	{ "guest_faults", "Page faults served, by the state that the page was in." },
	{ "guest_evicted_pages", "Pages evicted, by the reason for it." },
	{ "guest_stall_seconds", "Time in which some, or all, vCPUs waited for a fault." },
	{ "guest_stall_reason_seconds",
	  "Time in which some vCPU waited for a fault, by what it waited for." },
	{ "swap_requests", "I/O requests that the device has done." },
	{ "swap_bytes", "What these requests have moved." },
	{ "swap_errors", "I/O requests that have failed." },
	{ "swap_written_bytes", "What was written to the device within so many days." },
	{ "swapcache_errors", "I/O of the swapcache on swap devices that has failed." },
	{ "disk_requests", "Requests of the guest that ended well." },
	{ "disk_bytes", "What these requests were about." },
	/* whose row speaks of others */
	{ "guest_over_limit_bytes",
	  "What is resident above limit and grant because it cannot be paged out." },
	{ "guest_refaults",
	  "Faults of pages that had been paged out less than a minute before." },
	{ "guest_refaults_second", "The same, less than a second before." },
	{ "guest_pin_check_seconds", "What looking for pinned pages has taken." },
	{ "guest_write_errors", "Writes that failed while paging this guest." },
	{ "guest_grant_bytes", "What the arbiter allows now, or the limit, if that is less." },
	{ "guest_reservation_bytes", "What of the guest always may be resident." },
	{ "guest_shares", "The guest's shares of memory." },
	{ "guest_promised_swap_bytes", "Swap that is kept for this guest." },
	{ "guest_target_bytes", "What the guest is due by the arbiter's reckoning." },
	{ "guest_own_available_bytes",
	  "What can be had within the guest without swapping, as its kernel says." },
	{ "guest_own_free_bytes", "What is free within the guest, as its kernel says." },
	{ "guest_balloon_bytes", "What the balloon has taken of the guest's RAM." },
	{ "swap_size_bytes", "Size of the device." },
	{ "swap_used_bytes", "What of the device is in use." },
	{ "swap_bad_bytes", "What of the device is bad and never used again." },
	{ "swap_checksum_errors", "Reads that returned other data than were written." },
	{ "swap_discarded_bytes", "What the device was told to be free." },
	{ "swap_endurance_bytes", "Bytes that may be written to the device in a day; 0: any." },
	{ "swap_endurance_left_bytes", "What may be written to the device now." },
	{ "swap_ram_limit_bytes", "RAM that the ram: device may take." },
	{ "swap_ram_used_bytes", "RAM that the ram: device takes." },
	{ "swap_ram_pages", "Pages that the ram: device holds." },
	{ "swapcache_used_bytes", "Swap that the swapcache has." },
	{ "swapcache_hit_bytes", "What of the reads of images came from swap." },
	{ "swapcache_saved_reads", "Reads of images that needed nothing of the image." },
	{ "swapcache_put_bytes", "What the swapcache has put on swap." },
	{ "swapcache_cleaned_bytes", "What the swapcache gave back to make room." },
	{ "swapcache_invalidated_bytes",
	  "What the swapcache dropped because the image had changed." },
	{ "swapcache_checksum_errors",
	  "Reads of the swapcache that returned other data than were written." },
	{ "host_used_bytes", "What of the budget is resident." },
	{ "host_free_bytes",
	  "What of the budget is free; at most what the host has available." },
	{ "host_available_bytes", "What of the host's RAM could be had now." },
	{ "host_reserved_bytes", "The sum of all reservations." },
	{ "host_round_seconds", "What the arbiter's last round took." },
	{ "host_rounds", "Rounds of the arbiter." },
	{ "host_overcommit_ratio", "RAM of all guests for each byte of the budget." },
	{ "guests_waiting", "Guests of an earlier daemon that could not be taken over." },
	{ "disk_image_pages", "Pages of the guest that are in the image only." },
	{ "disk_brought_in", "Pages that came back from the image because it was to change." },
	{ "disk_cache_hit_bytes", "What of the reads of the image came from swap." },
	{ 0 },
};

const struct metrics_info metrics_infos[] = {
	{ "guest", "A guest and its state, as of query-guests.", guest_figures, { "state" } },
	{ "guest_monitor",
	  "A guest's monitor and balloon, as of query-guests.",
	  guest_terms_figures,
	  { "monitor", "balloon", "domain" } },
	{ "swap",
	  "A swap device, its type and its state, as of query-swap-devices.",
	  swap_figures,
	  { "type", "state" } },
	{ "disk", "A disk and its state, as of query-disks.", disk_figures, { "state" } },
	{ "disk_guest",
	  "The guest that is connected to a disk.",
	  disk_guest_figures,
	  { "guest" } },
	{ "host",
	  "How much of the budget is left, as of query-host.",
	  host_figures,
	  { "level" } },
	{ "swapcache",
	  "What the swapcache does, as of query-swapcache.",
	  swapcache_figures,
	  { "state", "burst" } },
	{ 0 },
};

const char *metrics_help_of(const char *metric)
{
	for (const struct metrics_help *h = metrics_help; h->metric; h++)
		if (!strcmp(h->metric, metric))
			return h->help;
	return NULL;
}
