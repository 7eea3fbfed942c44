/* SPDX-License-Identifier: BSD-2-Clause */
/* Figures of swap devices and of the swapcache. */
#include "control/registry.h"
#include "vmm/host.h"

const struct figure half_figures[] = {
	FIGURE(swap_half_stats, "path", TEXT, path, INFO, NULL, NULL, "The device."),
	FIGURE(swap_half_stats, "state", TEXT, state, INFO, NULL, NULL,
	       "One of whole, mending, lost, missing."),
	FIGURE(swap_half_stats, "lacking", SIZE, lacking, INFO, NULL, NULL,
	       "How much of what is in use it does not hold."),
	{ 0 },
};

const struct figure swap_figures[] = {
	FIGURE(swap_stats, "path", TEXT, path, INFO, NULL, NULL, "As it was switched on."),
	FIGURE(swap_stats, "type", TEXT, type, INFO, NULL, NULL,
	       "One of file, block, ram, nbd, mirror."),
	FIGURE(swap_stats, "state", TEXT, state, INFO, NULL, NULL,
	       "One of on, removing (being switched off), offline (does not "
	       "answer)."),
	FIGURE(swap_stats, "priority", INT, priority, GAUGE, "swap_priority", NULL,
	       "The highest is used first."),
	FIGURE(swap_stats, "size", SIZE, size, GAUGE, "swap_size_bytes", NULL, "Its size."),
	FIGURE(swap_stats, "used", SIZE, used, GAUGE, "swap_used_bytes", NULL,
	       "What of that is in use."),
	FIGURE(swap_stats, "bad", SIZE, bad, GAUGE, "swap_bad_bytes", NULL,
	       "What of it is bad and never used again."),
	FIGURE(swap_stats, "inflight", COUNT, inflight, GAUGE, "swap_inflight", NULL,
	       "I/O requests that it works on."),
	FIGURE(swap_stats, "reads", COUNT, reads, COUNTER, "swap_requests", "op=\"read\"",
	       "Reads done."),
	FIGURE(swap_stats, "writes", COUNT, writes, COUNTER, "swap_requests", "op=\"write\"",
	       "Writes done."),
	FIGURE(swap_stats, "read-bytes", SIZE, read_bytes, COUNTER, "swap_bytes", "op=\"read\"",
	       "What reads moved."),
	FIGURE(swap_stats, "write-bytes", SIZE, write_bytes, COUNTER, "swap_bytes",
	       "op=\"write\"", "What writes moved."),
	FIGURE(swap_stats, "read-errors", COUNT, read_errors, COUNTER, "swap_errors",
	       "op=\"read\"", "Reads that failed."),
	FIGURE(swap_stats, "write-errors", COUNT, write_errors, COUNTER, "swap_errors",
	       "op=\"write\"", "Writes that failed."),
	FIGURE(swap_stats, "checksum-errors", COUNT, checksum_errors, COUNTER,
	       "swap_checksum_errors", NULL,
	       "Of read-errors, those where the device returned other data than "
	       "were written."),
	FIGURE(swap_stats, "waited", COUNT, waited, COUNTER, "swap_waited", NULL,
	       "I/Os that had to wait for max-inflight or max-bandwidth."),
	FIGURE(swap_stats, "max-inflight", COUNT, max_inflight, INFO, NULL, NULL,
	       "Most I/Os at a time; 0: any."),
	FIGURE(swap_stats, "max-bandwidth", SIZE, max_bandwidth, INFO, NULL, NULL,
	       "Bytes a second; 0: any."),
	FIGURE(swap_stats, "checksums", BOOL, checksums, INFO, NULL, NULL,
	       "Whether what is read is checked."),
	FIGURE(swap_stats, "discard", BOOL, discard, INFO, NULL, NULL,
	       "Whether the device is told what is free."),
	FIGURE(swap_stats, "discarded", SIZE, discarded, COUNTER, "swap_discarded_bytes", NULL,
	       "What it was told."),
	FIGURE(swap_stats, "to-move", SIZE, to_move, INFO, NULL, NULL,
	       "While it is being switched off: what was on it in the beginning."),
	FIGURE(swap_stats, "moved", SIZE, moved, INFO, NULL, NULL, "What of that is gone."),
	{ 0 },
};

const struct figure swap_wear_figures[] = {
	FIGURE(wear_stats, "endurance", SIZE, endurance, GAUGE, "swap_endurance_bytes", NULL,
	       "Bytes that may be written to it in a day; 0: no budget. This and "
	       "the next three are absent where it is not noted."),
	FIGURE(wear_stats, "written-1d", SIZE, written_1d, GAUGE, "swap_written_bytes",
	       "days=\"1\"", "What was written to it within a day."),
	FIGURE(wear_stats, "written-7d", SIZE, written_7d, GAUGE, "swap_written_bytes",
	       "days=\"7\"", "Within 7 days."),
	FIGURE(wear_stats, "written-28d", SIZE, written_28d, GAUGE, "swap_written_bytes",
	       "days=\"28\"", "Within 28 days."),
	{ 0 },
};

const struct figure swap_left_figures[] = {
	FIGURE(wear_stats, "endurance-left", SIZE, left, GAUGE, "swap_endurance_left_bytes",
	       NULL, "What the budget leaves now; absent where there is none."),
	{ 0 },
};

const struct figure swap_ram_figures[] = {
	FIGURE(swap_stats, "ram-limit", SIZE, ram_limit, GAUGE, "swap_ram_limit_bytes", NULL,
	       "Of a ram: device only, as the next three: the RAM that it may "
	       "take."),
	FIGURE(swap_stats, "ram-used", SIZE, ram_used, GAUGE, "swap_ram_used_bytes", NULL,
	       "The RAM that it takes."),
	FIGURE(swap_stats, "ram-pages", COUNT, ram_pages, GAUGE, "swap_ram_pages", NULL,
	       "The pages that it holds."),
	FIGURE(swap_stats, "ram-refused", COUNT, ram_refused, COUNTER, "swap_ram_refused", NULL,
	       "Pages that did not compress and were refused."),
	{ 0 },
};

const struct figure wear_path_figures[] = {
	FIGURE(wear_stats, "path", TEXT, path, INFO, NULL, NULL, "The device."),
	{ 0 },
};

const struct figure wear_left_figures[] = {
	FIGURE(wear_stats, "left", SIZE, left, INFO, NULL, NULL,
	       "What the budget leaves now; absent, as the next, where there is "
	       "none."),
	{ 0 },
};

const struct figure wear_tightest_figures[] = {
	FIGURE(wear_stats, "tightest", COUNT, tightest, INFO, NULL, NULL,
	       "The days by which it leaves least: 1, 7 or 28."),
	{ 0 },
};

const struct figure swapcache_figures[] = {
	FIGURE(swapcache_stats, "state", TEXT, state, INFO, NULL, NULL,
	       "One of writing (blocks are put on swap), cleaning (there are too "
	       "many, or guests need swap), off (neither data_enable nor "
	       "meta_enable is on), stopped (the daemon is ending, or the "
	       "swapcache could not be started; its log says why)."),
	FIGURE(swapcache_stats, "burst", TEXT, burst, INFO, NULL, NULL,
	       "One of bursting (it writes until curburst is used up), recovering "
	       "(it waits until that is above minburst)."),
	FIGURE(swapcache_stats, "swap-max", SIZE, swap_max, GAUGE, "swapcache_swap_max_bytes",
	       NULL,
	       "How much swap there is that it could use, of which it has "
	       "maxswappct percent at most."),
	FIGURE(swapcache_stats, "used", SIZE, used, GAUGE, "swapcache_used_bytes", NULL,
	       "How much it has."),
	FIGURE(swapcache_stats, "cached", SIZE, cached, GAUGE, "swapcache_cached_bytes", NULL,
	       "How much of images has a copy."),
	FIGURE(swapcache_stats, "read-bytes", SIZE, read_bytes, COUNTER, "swapcache_read_bytes",
	       NULL, "What was read of images that have a cache."),
	FIGURE(swapcache_stats, "hit-bytes", SIZE, hit_bytes, COUNTER, "swapcache_hit_bytes",
	       NULL, "What of that came from swap."),
	FIGURE(swapcache_stats, "reads", COUNT, reads, COUNTER, "swapcache_reads", NULL,
	       "Reads of images."),
	FIGURE(swapcache_stats, "saved-reads", COUNT, saved_reads, COUNTER,
	       "swapcache_saved_reads", NULL, "Those that needed nothing of the image."),
	FIGURE(swapcache_stats, "put", SIZE, put, COUNTER, "swapcache_put_bytes", NULL,
	       "What was put on swap."),
	FIGURE(swapcache_stats, "cleaned", SIZE, cleaned, COUNTER, "swapcache_cleaned_bytes",
	       NULL, "What was given back to make room."),
	FIGURE(swapcache_stats, "invalidated", SIZE, invalidated, COUNTER,
	       "swapcache_invalidated_bytes", NULL,
	       "What was dropped because the image changed."),
	FIGURE(swapcache_stats, "read-errors", COUNT, read_errors, COUNTER, "swapcache_errors",
	       "op=\"read\"",
	       "Reads of swap that failed, which were done from the image then."),
	FIGURE(swapcache_stats, "checksum-errors", COUNT, checksum_errors, COUNTER,
	       "swapcache_checksum_errors", NULL,
	       "Of these, such as returned other data than were written."),
	FIGURE(swapcache_stats, "write-errors", COUNT, write_errors, COUNTER,
	       "swapcache_errors", "op=\"write\"", "Writes that failed."),
	FIGURE(swapcache_stats, "passes", COUNT, passes, COUNTER, "swapcache_passes", NULL,
	       "How often inactive pages of guests were looked through."),
	{ 0 },
};

static const struct object_type half_object = {
	"Half",
	"One half of a mirror",
	{ half_figures },
	0,
};

static const struct figure halves_figures[] = {
	FIGURE_ADDED("halves", ARRAY, &half_object,
		     "Of a mirror, its two devices; else empty."),
	{ 0 },
};

const struct object_type swap_object = {
	"SwapDevice",
	"A swap device",
	{ swap_figures, halves_figures, swap_wear_figures, swap_left_figures,
	  swap_ram_figures },
	1u << 2 | 1u << 3 | 1u << 4,
};

const struct object_type wear_object = {
	"Wear",
	"What is written to a swap device, and may be",
	{ wear_path_figures, swap_wear_figures, wear_left_figures, wear_tightest_figures },
	1u << 2 | 1u << 3,
};

static const struct figure knob_figures[] = {
	FIGURE_ADDED("read_enable", BOOL, NULL,
		     "Whether reads of images are diverted to swap."),
	FIGURE_ADDED("data_enable", BOOL, NULL, "Whether data is cached."),
	FIGURE_ADDED("meta_enable", BOOL, NULL,
		     "Whether blocks that look like metadata are cached."),
	FIGURE_ADDED("fill_enable", BOOL, NULL,
		     "Whether blocks are cached as they are read, too."),
	FIGURE_ADDED("use_chflags", BOOL, NULL,
		     "Whether data is cached only of disks whose swapcache is on."),
	FIGURE_ADDED("maxfilesize", SIZE, NULL,
		     "No data of larger images is cached; 0: of all."),
	FIGURE_ADDED("maxswappct", COUNT, NULL, "Percent of swap that the cache may have."),
	FIGURE_ADDED("minburst", SIZE, NULL, "What is saved up before it writes again."),
	FIGURE_ADDED("curburst", SIZE, NULL, "What may be written at once now."),
	FIGURE_ADDED("maxburst", SIZE, NULL, "What may be saved up."),
	FIGURE_ADDED("accrate", SIZE, NULL, "Bytes a second that are saved up."),
	FIGURE_ADDED("min_hysteresis", COUNT, NULL,
		     "Pages that become inactive between passes."),
	FIGURE_ADDED("hysteresis", COUNT, NULL, "The same as it holds now."),
	FIGURE_ADDED("maxscan", COUNT, NULL, "Pages that one pass looks at."),
	FIGURE_ADDED("maxlaunder", COUNT, NULL, "Pages that one pass writes, or cleans."),
	FIGURE_ADDED("cleanperobj", SIZE, NULL,
		     "What is cleaned of one image before the next."),
	FIGURE_ADDED("write_count", SIZE, NULL, "What was written so far."),
	{ 0 },
};

static const struct object_type knobs_object = {
	"Knobs",
	"The knobs of the swapcache, as drum-swapcache(7) has them",
	{ knob_figures },
	0,
};

static const struct figure swapcache_added[] = {
	FIGURE_ADDED("knobs", OBJECT, &knobs_object, "Each by its name."),
	FIGURE_ADDED("devices", ARRAY, &wear_object, "Each swap device."),
	{ 0 },
};

const struct object_type swapcache_object = {
	"Swapcache",
	"The swapcache daemon",
	{ swapcache_figures, swapcache_added },
	0,
};
