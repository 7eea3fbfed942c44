/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sizes as people write them: 4096, 64K, 512M, 2G, 1T (powers of 1024;
 * "KiB", "MiB" ... are accepted too; the case of the letter does not matter).
 */
#ifndef DRUM_BASE_SIZE_H
#define DRUM_BASE_SIZE_H

#include <stdint.h>
#include <stddef.h>

#include "base/err.h"

#define SIZE_TEXT_MAX 16

/*
 * => 0 and *bytes, -EINVAL when it is not a size (empty, negative, trailing
 *    rubbish, unknown unit), -ERANGE when it does not fit into 64 bits.
 *    Decimal fractions ("1.5G") are accepted when they come to whole bytes.
 */
int must_check size_parse(const char *text, uint64_t *bytes);

/* As size_parse, and "none" is 0. */
int must_check size_or_none_parse(const char *text, uint64_t *bytes);

/* Write bytes with at most one decimal, "384M", "1.5G", and return buf. */
const char *size_format(char buf[SIZE_TEXT_MAX], uint64_t bytes);

#endif
