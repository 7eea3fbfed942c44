/* SPDX-License-Identifier: BSD-2-Clause */
/* Figures of disks. */
#include "control/registry.h"
#include "vmm/host.h"

const struct figure disk_figures[] = {
	FIGURE(disk_stats, "name", TEXT, name, INFO, NULL, NULL, "What it is called."),
	FIGURE(disk_stats, "image", TEXT, image, INFO, NULL, NULL, "What is served."),
	FIGURE(disk_stats, "socket", TEXT, socket, INFO, NULL, NULL,
	       "Where front ends connect."),
	FIGURE(disk_stats, "serial", TEXT, serial, INFO, NULL, NULL,
	       "What the guest sees as serial number."),
	FIGURE(disk_stats, "state", TEXT, state, INFO, NULL, NULL,
	       "One of idle (nobody is connected), attaching (its guest is being "
	       "attached), connected, recovering (after the death of a pager, "
	       "until requests are served again), missing (the image cannot be "
	       "had, and its guest waits)."),
	FIGURE(disk_stats, "cache", TEXT, cache, INFO, NULL, NULL, "Its cache mode."),
	FIGURE(disk_stats, "read-only", BOOL, read_only, INFO, NULL, NULL,
	       "Whether writes are refused."),
	FIGURE(disk_stats, "map", BOOL, map, INFO, NULL, NULL,
	       "Whether pages are known by their blocks."),
	FIGURE(disk_stats, "size", SIZE, size, GAUGE, "disk_size_bytes", NULL,
	       "Size of the image."),
	FIGURE(disk_stats, "block-size", SIZE, block_size, INFO, NULL, NULL,
	       "Of a block as the guest sees it."),
	FIGURE(disk_stats, "queues", COUNT, queues, INFO, NULL, NULL,
	       "How many queues there may be."),
	FIGURE(disk_stats, "inflight", COUNT, in_flight, GAUGE, "disk_inflight", NULL,
	       "Requests that are being worked on."),
	FIGURE(disk_stats, "reads", COUNT, reads, COUNTER, "disk_requests", "op=\"read\"",
	       "Requests that ended well: reads."),
	FIGURE(disk_stats, "writes", COUNT, writes, COUNTER, "disk_requests", "op=\"write\"",
	       "Writes."),
	FIGURE(disk_stats, "flushes", COUNT, flushes, COUNTER, "disk_requests", "op=\"flush\"",
	       "Flushes."),
	FIGURE(disk_stats, "discards", COUNT, discards, COUNTER, "disk_requests",
	       "op=\"discard\"", "Discards."),
	FIGURE(disk_stats, "zeroes", COUNT, zeroes, COUNTER, "disk_requests",
	       "op=\"write-zeroes\"", "Write-zeroes."),
	FIGURE(disk_stats, "read-bytes", SIZE, read_bytes, COUNTER, "disk_bytes", "op=\"read\"",
	       "What reads were about."),
	FIGURE(disk_stats, "write-bytes", SIZE, write_bytes, COUNTER, "disk_bytes",
	       "op=\"write\"", "Writes."),
	FIGURE(disk_stats, "discard-bytes", SIZE, discard_bytes, COUNTER, "disk_bytes",
	       "op=\"discard\"", "Discards."),
	FIGURE(disk_stats, "zeroes-bytes", SIZE, zeroes_bytes, COUNTER, "disk_bytes",
	       "op=\"write-zeroes\"", "Write-zeroes."),
	FIGURE(disk_stats, "errors", COUNT, errors, COUNTER, "disk_errors", NULL,
	       "Requests that ended with an error."),
	FIGURE(disk_stats, "resubmitted", COUNT, resubmitted, COUNTER, "disk_resubmitted", NULL,
	       "Requests that were done again, because a pager died before it had "
	       "answered them."),
	FIGURE(disk_stats, "resets", COUNT, resets, COUNTER, "disk_resets", NULL,
	       "How often a connection was closed, or a queue given up, because "
	       "the VMM or the guest had broken the rules."),
	FIGURE(disk_stats, "mapped", COUNT, mapped, GAUGE, "disk_mapped_pages", NULL,
	       "Pages of the guest that are known to hold what a block of the "
	       "image holds."),
	FIGURE(disk_stats, "image-pages", COUNT, image_pages, GAUGE, "disk_image_pages", NULL,
	       "Of these, pages that are not in memory but only there."),
	FIGURE(disk_stats, "writes-avoided", COUNT, writes_avoided, COUNTER,
	       "disk_writes_avoided", NULL,
	       "Pages that were paged out without a write to swap, because the "
	       "image has them."),
	FIGURE(disk_stats, "reads-avoided", COUNT, reads_avoided, COUNTER, "disk_reads_avoided",
	       NULL,
	       "Pages on swap that were not read from there, because a read of the "
	       "disk wrote all of them."),
	FIGURE(disk_stats, "image-reads", COUNT, image_reads, COUNTER, "disk_image_reads", NULL,
	       "Pages that came back from the image."),
	FIGURE(disk_stats, "brought-in", COUNT, brought_in, COUNTER, "disk_brought_in", NULL,
	       "Of these, those that came back because their block was about to "
	       "change."),
	FIGURE(disk_stats, "swapcache", TEXT, swapcache, INFO, NULL, NULL,
	       "Its swapcache mode: auto, on, meta or off."),
	FIGURE(disk_stats, "cached", SIZE, cached, GAUGE, "disk_cached_bytes", NULL,
	       "How much of the image has a copy on swap."),
	FIGURE(disk_stats, "cache-read-bytes", SIZE, cache_read_bytes, COUNTER,
	       "disk_cache_read_bytes", NULL,
	       "What was read of the image while it has a cache."),
	FIGURE(disk_stats, "cache-hit-bytes", SIZE, cache_hit_bytes, COUNTER,
	       "disk_cache_hit_bytes", NULL, "What of that came from swap."),
	{ 0 },
};

const struct figure disk_guest_figures[] = {
	FIGURE(disk_stats, "guest", TEXT, guest, INFO, NULL, NULL,
	       "The guest that is connected; absent where there is none."),
	{ 0 },
};

const struct figure disk_pid_figures[] = {
	FIGURE(disk_stats, "pid", INT, pid, INFO, NULL, NULL,
	       "The VMM that is connected; absent where there is none."),
	{ 0 },
};

const struct object_type disk_object = {
	"Disk",
	"A disk",
	{ disk_figures, disk_guest_figures, disk_pid_figures },
	1u << 1 | 1u << 2,
};
