/* SPDX-License-Identifier: BSD-2-Clause */
/* Figures of one guest: a picture of its RAM, latencies, and where on swap it is. */
#include "control/registry.h"
#include "vmm/host.h"

static const struct figure name_figures[] = {
	FIGURE_ADDED("name", WORD, NULL, "As it was asked for."),
	{ 0 },
};

const struct figure map_figures[] = {
	FIGURE(guest_map, "size", SIZE, size, INFO, NULL, NULL,
	       "All of its RAM, as its VMM has laid it out: its parts one after the other, and "
	       "each begins at a multiple of 2 MiB."),
	FIGURE(guest_map, "cell-size", SIZE, cell_size, INFO, NULL, NULL,
	       "Of each cell: whole pages of 4096 bytes. There may be less in the last one."),
	FIGURE(guest_map, "cells", COUNT, n, INFO, NULL, NULL,
	       "How many there are: as many as can be of that size, and never more than was "
	       "asked for."),
	{ 0 },
};

static const struct figure map_arrays[] = {
	FIGURE_ADDED("active", ARRAY, NULL,
		     "Pages of each cell that are mapped by the guest. This and the next five "
		     "are all of the cell's pages."),
	FIGURE_ADDED("inactive", ARRAY, NULL, "In RAM, and not mapped."),
	FIGURE_ADDED("swapped", ARRAY, NULL, "On a swap device, or in an image, only."),
	FIGURE_ADDED("zero", ARRAY, NULL, "Taking neither RAM nor swap."),
	FIGURE_ADDED("reading", ARRAY, NULL, "On their way in."),
	FIGURE_ADDED("writing", ARRAY, NULL, "In RAM, and on their way out."),
	FIGURE_ADDED(
		"pinned", ARRAY, NULL,
		"Of active and inactive: found to be in use by a device or somebody's I/O."),
	FIGURE_ADDED("kept", ARRAY, NULL, "Of those in RAM: with a clean copy on swap."),
	FIGURE_ADDED(
		"idle", ARRAY, NULL,
		"How long the cell has not been touched: 0 for less than 10 seconds, 1 for "
		"10 seconds or more, 2 for a minute, 3 for 5 minutes, 4 for 30 minutes; -1 "
		"where that is not known. Only some pages are looked at, up to 8192 in all, "
		"each once in two minutes (see paging-set sample); of those that the cell "
		"has, it is what half of them or more reach."),
	{ 0 },
};

const struct object_type guest_map_object = {
	"GuestMap",
	"A picture of a guest's RAM. While the guest goes on it is not of one moment: each "
	"page "
	"is counted once, as what it was at some time between question and answer",
	{ name_figures, map_figures, map_arrays },
	0,
};

const struct figure latency_figures[] = {
	FIGURE(latency_stats, "count", COUNT, count, INFO, NULL, NULL,
	       "Faults that have ended, since it was attached or the pager started. Those that "
	       "waited for one page to be read count once, from the first, so there are fewer "
	       "than in faults of query-guests."),
	FIGURE(latency_stats, "sum-us", US, sum, INFO, NULL, NULL,
	       "What all of them took together, each from when it was read to its end."),
	FIGURE(latency_stats, "max-us", US, max, INFO, NULL, NULL, "The longest."),
	FIGURE(latency_stats, "p50-us", US, p50, INFO, NULL, NULL,
	       "What half of them did not exceed; as the next, right within 7 percent."),
	FIGURE(latency_stats, "p90-us", US, p90, INFO, NULL, NULL, "Nine of ten."),
	FIGURE(latency_stats, "p99-us", US, p99, INFO, NULL, NULL, "99 of 100."),
	FIGURE(latency_stats, "p999-us", US, p999, INFO, NULL, NULL, "999 of 1000."),
	{ 0 },
};

static const struct figure edge_figures[] = {
	FIGURE_ADDED("le-us", REAL, NULL,
		     "Its upper edge, a power of two of nanoseconds: 1.024 for the first, "
		     "17179869.184 for the last but one. The last one has none."),
	{ 0 },
};

static const struct figure bucket_figures[] = {
	FIGURE_ADDED(
		"count", COUNT, NULL,
		"Faults that took less than that, those of lower buckets among them; of the "
		"last one: all."),
	{ 0 },
};

static const struct object_type bucket_object = {
	"LatencyBucket",
	"A bucket of a histogram",
	{ edge_figures, bucket_figures },
	1u << 0,
};

static const struct figure buckets_figures[] = {
	FIGURE_ADDED("buckets", ARRAY, &bucket_object, "The histogram, exactly."),
	{ 0 },
};

const struct object_type guest_latency_object = {
	"GuestLatency",
	"How long the faults of a guest take",
	{ name_figures, latency_figures, buckets_figures },
	0,
};

const struct figure guest_swap_figures[] = {
	FIGURE(guest_swap, "path", TEXT, path, INFO, NULL, NULL, "As of query-swap-devices."),
	FIGURE(guest_swap, "used", SIZE, used, INFO, NULL, NULL,
	       "What it has there: pages that are swapped, clean copies (see kept), and what "
	       "is "
	       "just being written, or may still be by a pager that has died."),
	{ 0 },
};

static const struct object_type guest_swap_object = {
	"GuestSwap",
	"What a guest has of a swap device",
	{ guest_swap_figures },
	0,
};

const struct figure guest_swap_list[] = {
	FIGURE_ADDED(
		"swap", ARRAY, &guest_swap_object,
		"The swap devices that hold something of it; images of its disks are none."),
	{ 0 },
};
