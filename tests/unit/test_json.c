/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

#define MAX 4096

#define TEXT(literal) literal, sizeof(literal) - 1

/*
 * What a stream makes of bytes: values as they are printed, errors behind a
 * "!", each followed by "|".  Wordings and recovery were taken from what
 * QEMU 7.2 answers to the same bytes.
 */
static const struct {
	const char *in;
	size_t len;
	const char *out;
} cases[] = {
	/* a stream, not lines */
	{ TEXT("{}"), "{}|" },
	{ TEXT("{}{}"), "{}|{}|" },
	{ TEXT(" \r\n\t{ } \n"), "{}|" },
	{ TEXT("{\"a\":[1,2,{\"b\":null}]}"), "{\"a\":[1,2,{\"b\":null}]}|" },
	{ TEXT("{\"a\":1}{\"b\":"), "{\"a\":1}|" },
	{ TEXT("[]"), "[]|" },
	{ TEXT("5 "), "5|" },
	{ TEXT("5"), "" },
	{ TEXT("\"x\""), "\"x\"|" },
	{ TEXT("null "), "null|" },
	{ TEXT("true false"), "true|" },
	{ TEXT("true[]"), "true|[]|" },
	/* strings */
	{ TEXT("{'a':'b'}"), "{\"a\":\"b\"}|" },
	{ TEXT("['a\"b']"), "[\"a\\\"b\"]|" },
	{ TEXT("[\"a'b\"]"), "[\"a'b\"]|" },
	{ TEXT("['a\\'b']"), "[\"a'b\"]|" },
	{ TEXT("[\"}]{[\\\"}\"]"), "[\"}]{[\\\"}\"]|" },
	{ TEXT("[\"\\b\\f\\n\\r\\t\\/\\\\\"]"), "[\"\\b\\f\\n\\r\\t/\\\\\"]|" },
	{ TEXT("[\"\303\251\360\237\230\200\177\"]"), "[\"\\u00E9\\uD83D\\uDE00\\u007F\"]|" },
	{ TEXT("[\"\\u00e9\\ud83d\\ude00\"]"), "[\"\\u00E9\\uD83D\\uDE00\"]|" },
	/* numbers keep their value */
	{ TEXT("[0,-1,1.5,1e3,-2E-2,10]"), "[0,-1,1.5,1e3,-2E-2,10]|" },
	{ TEXT("[18446744073709551615]"), "[18446744073709551615]|" },
	{ TEXT("[-9223372036854775808]"), "[-9223372036854775808]|" },
	{ TEXT("[18446744073709551616]"), "[18446744073709551616.0]|" },
	{ TEXT("[-9223372036854775809]"), "[-9223372036854775809.0]|" },
	/* wrong in grammar: the value ends where it balances */
	{ TEXT("{\"a\":1,}{}"), "!JSON parse error, expecting value|{}|" },
	{ TEXT("[1,]{}"), "!JSON parse error, expecting value|{}|" },
	{ TEXT("[,]{}"), "!JSON parse error, expecting value|{}|" },
	{ TEXT("}{}"), "!JSON parse error, expecting value|{}|" },
	{ TEXT("]{}"), "!JSON parse error, expecting value|{}|" },
	{ TEXT(",{}"), "!JSON parse error, expecting value|{}|" },
	{ TEXT("{\"a\":1]{}"), "!JSON parse error, expected separator in dict|{}|" },
	{ TEXT("{\"a\":1 \"b\":2}{}"), "!JSON parse error, expected separator in dict|{}|" },
	{ TEXT("[1 2]{}"), "!JSON parse error, expected separator in list|{}|" },
	{ TEXT("{\"a\" 1}{}"), "!JSON parse error, missing : in object pair|{}|" },
	{ TEXT("{5:1}{}"), "!JSON parse error, key is not a string in object|{}|" },
	{ TEXT("{\"a\":1,\"a\":2}{}"), "!JSON parse error, duplicate key|{}|" },
	{ TEXT("[{\"a\":{\"b\":1,'b':2}}]"), "!JSON parse error, duplicate key|" },
	/* wrong words */
	{ TEXT("{\"a\": foo}{}"), "!JSON parse error, invalid keyword 'foo'|{}|" },
	{ TEXT("hello\n{}"), "!JSON parse error, invalid keyword 'hello'|{}|" },
	{ TEXT("[nul]"), "!JSON parse error, invalid keyword 'nul'|" },
	{ TEXT("[\"\\x\"]{}"), "!JSON parse error, invalid escape sequence in string|{}|" },
	{ TEXT("[\"\\u12g4\"]"), "!JSON parse error, invalid escape sequence in string|" },
	{ TEXT("[\"\\u12\"]"), "!JSON parse error, invalid escape sequence in string|" },
	{ TEXT("[\"\\ud800\"]{}"),
	  "!JSON parse error, \\\\ud800 is not a valid Unicode character|{}|" },
	{ TEXT("[\"\\udc00\"]"),
	  "!JSON parse error, \\\\udc00 is not a valid Unicode character|" },
	{ TEXT("[\"\\ud800\\u0041\"]"),
	  "!JSON parse error, \\\\ud800 is not a valid Unicode character|" },
	{ TEXT("[\"\\u0000\"]"),
	  "!JSON parse error, \\\\u0000 is not a valid Unicode character|" },
	{ TEXT("[\"\303(\"]{}"), "!JSON parse error, invalid UTF-8 sequence in string|{}|" },
	{ TEXT("[\"\300\200\"]"), "!JSON parse error, invalid UTF-8 sequence in string|" },
	{ TEXT("[\"\355\240\200\"]"), "!JSON parse error, invalid UTF-8 sequence in string|" },
	{ TEXT("[\"\364\220\200\200\"]"),
	  "!JSON parse error, invalid UTF-8 sequence in string|" },
	{ TEXT("[\"\303\"]"), "!JSON parse error, invalid UTF-8 sequence in string|" },
	/* what json-c would let pass */
	{ TEXT("{\"a\":NaN}{}"),
	  "!JSON parse error, stray 'N'|!JSON parse error, expecting value|{}|" },
	{ TEXT("[TRUE]"), "!JSON parse error, stray 'T'|!JSON parse error, expecting value|" },
	{ TEXT("[Infinity]"),
	  "!JSON parse error, stray 'I'|!JSON parse error, expecting value|" },
	{ TEXT("/* x */"), "!JSON parse error, stray '/'|" },
	{ TEXT("[01]"), "!JSON parse error, stray '01'|!JSON parse error, expecting value|" },
	/* a stray byte: on at the next structural character */
	{ TEXT("[-]{}"), "!JSON parse error, stray '-]'|{}|" },
	{ TEXT("[1.]{}"), "!JSON parse error, stray '1.]'|{}|" },
	{ TEXT("@#$ {}"), "!JSON parse error, stray '@'|{}|" },
	{ TEXT("@ x\n5\n"), "!JSON parse error, stray '@'|5|" },
	{ TEXT("@ x\t5\n"), "!JSON parse error, stray '@'|" },
	{ TEXT("[\"a\nb\"]{}"),
	  "!JSON parse error, stray '\\\"a\\n'|!JSON parse error, expecting value|{}|" },
	/* resets, from wherever the parser stands */
	{ TEXT("\001{}"), "!JSON parse error, stray '\\u0001'|{}|" },
	{ TEXT("\377{}"), "!JSON parse error, stray '\\uFFFD'|{}|" },
	{ TEXT("{\"a\":\001{}"), "!JSON parse error, stray '\\u0001'|{}|" },
	{ TEXT("{\"a\":\377{}"), "!JSON parse error, stray '\\uFFFD'|{}|" },
	{ TEXT("{\"a\":\"b\001{}"), "!JSON parse error, stray '\\\"b\\u0001'|{}|" },
	{ TEXT("{\"a\":\"b\\\377{}"), "!JSON parse error, stray '\\\"b\\\\\\uFFFD'|{}|" },
	{ TEXT("{\"a\":tru\001{}"), "!JSON parse error, stray '\\u0001'|{}|" },
	{ TEXT("{\"a\":\000{}"), "!JSON parse error, stray ' '|{}|" },
};

static char *printed; /* result of run */
static size_t printed_len;
static FILE *printer;

static void print_error(const struct err *e)
{
	struct json_object *text = json_object_new_string(e->text);
	char *ascii = json_to_ascii(text);

	/* without the quotes, whose content may need escapes */
	fprintf(printer, "!%.*s|", (int)strlen(ascii) - 2, ascii + 1);
	free(ascii);
	json_object_put(text);
}

static void feed(struct json_stream *s, const char *p, size_t len)
{
	struct json_object *value;
	struct err e;
	char *ascii;
	int rc;

	while ((rc = json_stream_next(s, &p, &len, &value, &e)) != 0) {
		if (rc < 0) {
			cr_assert(e.code == rc);
			print_error(&e);
			continue;
		}
		ascii = json_to_ascii(value);
		fprintf(printer, "%s|", ascii);
		free(ascii);
		json_object_put(value);
	}
	cr_assert(len == 0);
}

static const char *run(const char *in, size_t len, size_t step)
{
	struct json_stream *s = json_stream_create(MAX);
	size_t at;

	free(printed);
	printer = open_memstream(&printed, &printed_len);
	for (at = 0; at < len; at += step)
		feed(s, in + at, step < len - at ? step : len - at);
	fclose(printer);
	json_stream_destroy(s);
	return printed;
}

Test(json, as_qemu_does)
{
	size_t i, step;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (step = 1; step <= cases[i].len; step++)
			cr_expect_str_eq(run(cases[i].in, cases[i].len, step), cases[i].out,
					 "case %zu: %s, %zu bytes at a time:\n  %s\nnot\n  %s",
					 i, cases[i].in, step, printed, cases[i].out);
	free(printed);
}

static char *repeat(const char *text, size_t n)
{
	char *s = malloc(strlen(text) * n + 1), *p = s;

	while (n-- > 0)
		p = stpcpy(p, text);
	*p = '\0';
	return s;
}

static void check_nesting(const char *open, const char *close, size_t depth,
			  const char *expected)
{
	char *in, *opens = repeat(open, depth), *closes = repeat(close, depth);

	cr_assert(asprintf(&in, "%s0%s{}", opens, closes) > 0);
	run(in, strlen(in), 7);
	if (expected)
		cr_expect_str_eq(printed, expected);
	else /* the value itself, then the one behind it */
		cr_expect(printed[0] == open[0] && !strcmp(strchr(printed, '|'), "|{}|"), "%s",
			  printed);
	free(printed);
	printed = NULL;
	free(in);
	free(opens);
	free(closes);
}

Test(json, depth_is_limited)
{
	static const char refused[] = "!JSON nesting depth limit exceeded|{}|";

	check_nesting("[", "]", JSON_DEPTH_MAX, NULL);
	check_nesting("[", "]", JSON_DEPTH_MAX + 1, refused);
	check_nesting("[", "]", 4000, refused);
	check_nesting("{\"a\":", "}", JSON_DEPTH_MAX, NULL);
	check_nesting("{\"a\":", "}", JSON_DEPTH_MAX + 1, refused);
}

static void check_size(const char *before, size_t fill, const char *after, const char *expected)
{
	char *in, *xs = repeat("x", fill);

	cr_assert(asprintf(&in, "%s%s%s", before, xs, after) > 0);
	run(in, strlen(in), 1000);
	if (expected)
		cr_expect_str_eq(printed, expected);
	else
		cr_expect(printed[0] != '!', "%s", printed);
	free(printed);
	printed = NULL;
	free(in);
	free(xs);
}

Test(json, size_is_limited)
{
	static const char refused[] = "!JSON token size limit exceeded|{}|";

	check_size("\"", MAX - 2, "\"", NULL);
	check_size("\"", MAX - 1, "\"{}", refused);
	check_size("\"", 100000, "\"{}", refused);
	check_size("[{\"a\":\"", 100000, "\"}]{}", refused);
	check_size("", 100000, " {}", refused);
	/* also where it ends in an error, or is given up by the client */
	check_size("[\"", 100000, "\\q\",]{}", refused);
	check_size("[\"", 100000, "\377{}", refused);
	/* no bracket that goes over the limit may go uncounted */
	check_size("[\"", MAX - 3, "\"[]]{}", refused);
	check_size("[\"", MAX - 3, "\"]{}", refused);
}

Test(json, white_space_is_not_kept)
{
	struct json_stream *s = json_stream_create(8);
	char *blanks = repeat(" \t\r\n", 1000);

	printer = open_memstream(&printed, &printed_len);
	feed(s, "[", 1);
	feed(s, blanks, 4000);
	feed(s, "]", 1);
	feed(s, blanks, 4000);
	feed(s, "[1]", 3);
	fclose(printer);
	cr_expect_str_eq(printed, "[]|[1]|");
	json_stream_destroy(s);
	free(blanks);
	free(printed);
}

Test(json, ascii_is_all_that_comes_out)
{
	static const struct {
		const char *in, *out;
	} texts[] = {
		{ "plain", "\"plain\"" },
		{ "a/b", "\"a/b\"" },
		{ "\342\202\254", "\"\\u20AC\"" },
		{ "\377x\303", "\"\\uFFFDx\\uFFFD\"" },
		{ "\001\n\"\\", "\"\\u0001\\n\\\"\\\\\"" },
	};
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct json_object *o = json_object_new_string(texts[i].in);
		char *ascii = json_to_ascii(o);

		cr_expect_str_eq(ascii, texts[i].out);
		free(ascii);
		json_object_put(o);
	}
}

Test(json, plain_strings)
{
	struct json_object *o = json_object_new_string_len("a\0b", 3);

	cr_expect_null(json_plain_string(o));
	json_object_put(o);
	o = json_object_new_string("ab");
	cr_expect_str_eq(json_plain_string(o), "ab");
	json_object_put(o);
	o = json_object_new_int(5);
	cr_expect_null(json_plain_string(o));
	json_object_put(o);
	cr_expect_null(json_plain_string(NULL));
}
