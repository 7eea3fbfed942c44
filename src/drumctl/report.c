/* SPDX-License-Identifier: BSD-2-Clause */
/* "drumctl report": a record in, a page out; nobody else is asked. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "drumctl/report_page.h"
#include "drumctl/save.h"
#include "drumctl/verbs.h"

static int read_record(const char *path, struct report *r, struct err *e)
{
	FILE *from = fopen(path, "re");
	int rc;

	if (!from)
		return err_set(e, -errno, "cannot open %s: %s", path, strerror(errno));
	rc = report_read(from, path, r, e);
	fclose(from);
	return rc;
}

/* Of a page that cannot be written whole nothing is left, and what was there stays. */
static int write_page(const char *path, const struct report *r, struct err *e)
{
	uint64_t random[2];
	char nonce[33];
	struct save s;
	int rc;

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return err_set(e, -EIO, "no random numbers");
	snprintf(nonce, sizeof(nonce), "%016" PRIx64 "%016" PRIx64, random[0], random[1]);
	rc = save_begin(&s, path, e);
	if (rc < 0)
		return rc;
	rc = page_write(s.file, r, nonce);
	if (rc == 0)
		return save_end(&s, e);
	save_abort(&s);
	return err_set(e, rc, "cannot write %s: %s", path, strerror(-rc));
}

int report(struct client *c, const struct verb_args *args, struct err *e)
{
	struct report r;
	int rc = read_record(args->operand, &r, e);

	(void)c; /* there is none */
	if (rc < 0)
		return rc;
	rc = write_page(args->html, &r, e);
	report_free(&r);
	return rc;
}
