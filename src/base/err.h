/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Errors that a person will read.
 *
 * A function that can be refused for a reason worth telling takes a
 * struct err: the code goes on as -errno, the text says what was wrong,
 * with what, and what to do about it.  One sentence, no full stop, no
 * trailing newline.
 */
#ifndef DRUM_BASE_ERR_H
#define DRUM_BASE_ERR_H

#define ERR_TEXT_MAX 512

struct err {
	int code;		 /* -errno, 0 when nothing went wrong */
	char text[ERR_TEXT_MAX]; /* with code 0: "", or a warning */
};

#define must_check __attribute__((warn_unused_result))

/*
 * Fill e (which may be NULL) and return code, so that a refusal is one line:
 *	return err_set(e, -ENOENT, "no guest is named '%s'", name);
 */
int err_set(struct err *e, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
