/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The version of this program: one string, so that all it says of itself agrees.
 * The keeper and the pager serve together only if theirs are equal.
 */
#ifndef DRUM_BASE_VERSION_H
#define DRUM_BASE_VERSION_H

#define VERSION_MAX 32 /* bytes, with the end */

extern const char drum_version[];

#endif
