/* SPDX-License-Identifier: BSD-2-Clause */
/* How much memory the host has to give. */
#ifndef DRUM_BASE_MEMINFO_H
#define DRUM_BASE_MEMINFO_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Can so many more bytes become resident, and some be left for the host?
 * *have, if it is not NULL, is what /proc/meminfo calls MemAvailable, in bytes.
 */
bool meminfo_fits(uint64_t bytes, uint64_t *have);

#endif
