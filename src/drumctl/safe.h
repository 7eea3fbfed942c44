/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text of somebody else's, on its way to a terminal: what could steer that is written as
 * \xHH, which are C0, DEL, C1 (also as UTF-8), and bytes that are no UTF-8.  Newlines are among
 * them: the caller's own go another way.
 */
#ifndef DRUM_DRUMCTL_SAFE_H
#define DRUM_DRUMCTL_SAFE_H

#include <stddef.h>
#include <stdio.h>

/* Bytes of the character at text (not at its end) that can be shown as it is; 0: it is not. */
size_t safe_length(const char *text);

/* NULL is written as "". */
void put_safe(FILE *to, const char *text);

#endif
