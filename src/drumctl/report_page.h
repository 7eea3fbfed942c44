/* SPDX-License-Identifier: BSD-2-Clause */
/* The page of a report. */
#ifndef DRUM_DRUMCTL_REPORT_PAGE_H
#define DRUM_DRUMCTL_REPORT_PAGE_H

#include <stdio.h>

#include "drumctl/report_read.h"

/*
 * Write it.  nonce: letters and digits that nobody can guess, by which the page
 * knows its own script from what might be in a name.
 * => 0 or -ENOMEM; whether `to` took it all, its owner must look
 */
int must_check page_write(FILE *to, const struct report *r, const char *nonce);

/* Its parts, in report_tables.c. */
void tables_write(FILE *to, const struct report *r);
void events_write(FILE *to, const struct report *r);

/* In report_style.c; it takes care that nothing of it ends an element. */
extern const char report_style[], report_script[];

#endif
