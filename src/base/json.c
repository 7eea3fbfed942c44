/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * json-c parses values, but it is lax (comments, NaN, "TRUE", trailing
 * commas, integers that saturate), and its end of a value after an error
 * is anywhere.  A QMP client counts on QEMU's behaviour: one answer for one
 * wrong value, then the parser is in step again.  So the work is split as in
 * QEMU (qobject/json-lexer.c and json-streamer.c):
 *
 * The lexer below sees every byte once.  It knows tokens, not grammar: it
 * keeps the bytes of the value that is growing in one buffer, counts braces
 * and brackets, and says when they balance.  Two kinds of errors:
 *
 *   lexical  a byte that no token may have ("stray").  The value is dropped
 *            and told of at once.  What follows is skipped (RECOVERY) up to
 *            a structural character or a control character other than tab;
 *            0x01 and 0xFF are such bytes, by which a client that does not
 *            know where the parser stands gets it to its start.
 *   soft     a token that cannot be meant (unknown keyword, broken escape,
 *            trailing comma), noted, and told of when the value is complete.
 *
 * A value that is too long or too deep is told of once; its bytes are then
 * taken and dropped until it balances (`skipping`).
 *
 * A complete value without a noted error goes to json-c, which knows the
 * grammar.  Duplicate keys, which json-c would merge, show as more colons
 * than members.
 *
 * Invariants: token <= len <= max; between two bytes neither braces nor
 * brackets are below zero; while skipping, len is 0 and nothing is appended.
 *
 * One thing differs from QEMU: \u0000 is refused, because a C string could
 * not carry it.
 */
#include "base/json.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 40 /* of wrong text, in a message */

enum lexer_state {
	LEX_START,   /* between tokens */
	LEX_STRING,  /* in a string that `quote` ends */
	LEX_ESCAPE,  /* after its backslash */
	LEX_KEYWORD, /* [a-z]+ */
	LEX_MINUS,   /* a digit must follow */
	LEX_ZERO,    /* no digit may follow */
	LEX_DIGITS,
	LEX_POINT, /* a digit must follow */
	LEX_FRACTION,
	LEX_EXP,      /* sign or digit must follow */
	LEX_EXP_SIGN, /* a digit must follow */
	LEX_EXP_DIGITS,
	LEX_RECOVERY,
};

struct json_stream {
	struct json_tokener *tokener;
	size_t max;
	char *buf; /* the value so far; max bytes and a NUL */
	size_t len;
	size_t token;  /* where the present token began */
	size_t colons; /* outside strings */
	int braces, brackets;
	enum lexer_state state;
	char quote;
	bool skipping;	     /* the value was refused: take it and drop it */
	const char *refused; /* which limit did it, until that has been told */
	bool comma;	     /* the last token was a comma */
	struct err soft;     /* what to say when the value is complete */
};

struct json_stream *json_stream_create(size_t max)
{
	struct json_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->max = max;
	s->buf = malloc(max + 1);
	s->tokener = json_tokener_new_ex(JSON_DEPTH_MAX + 1);
	if (!s->buf || !s->tokener) {
		json_stream_destroy(s);
		return NULL;
	}
	return s;
}

void json_stream_destroy(struct json_stream *s)
{
	if (!s)
		return;
	if (s->tokener)
		json_tokener_free(s->tokener);
	free(s->buf);
	free(s);
}

static void value_reset(struct json_stream *s)
{
	s->len = s->token = s->colons = 0;
	s->braces = s->brackets = 0;
	s->skipping = s->comma = false;
	s->soft.code = 0;
	s->soft.text[0] = '\0';
}

static void __attribute__((format(printf, 2, 3)))
soft_error(struct json_stream *s, const char *fmt, ...)
{
	va_list ap;

	if (s->soft.code)
		return; /* the first is the one to tell */
	s->soft.code = -EBADMSG;
	va_start(ap, fmt);
	vsnprintf(s->soft.text, sizeof(s->soft.text), fmt, ap);
	va_end(ap);
}

/*
 * Decode one UTF-8 sequence, strictly (RFC 3629).
 * => its length and *cp, or 0 when the bytes are not UTF-8
 */
static size_t utf8_decode(const char *text, size_t len, uint32_t *cp)
{
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *p = (const unsigned char *)text;
	size_t n, i;
	uint32_t c;

	if (p[0] < 0x80) {
		*cp = p[0];
		return 1;
	}
	if ((p[0] & 0xe0) == 0xc0)
		n = 2, c = p[0] & 0x1f;
	else if ((p[0] & 0xf0) == 0xe0)
		n = 3, c = p[0] & 0x0f;
	else if ((p[0] & 0xf8) == 0xf0)
		n = 4, c = p[0] & 0x07;
	else
		return 0;
	if (n > len)
		return 0;
	for (i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*cp = c;
	return n;
}

/* => the value of the four hexadecimal digits at p, or -1 */
static int hex4(const char *p, size_t len)
{
	int value = 0;
	size_t i;

	if (len < 4)
		return -1;
	for (i = 0; i < 4; i++) {
		char c = p[i];

		if (c >= '0' && c <= '9')
			value = value << 4 | (c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			value = value << 4 | ((c | 0x20) - 'a' + 10);
		else
			return -1;
	}
	return value;
}

/* p, after "\u": => how many bytes the character takes from there on, or 0 */
static size_t check_unicode_escape(struct json_stream *s, const char *p, size_t len)
{
	int high = hex4(p, len), low;

	if (high < 0) {
		soft_error(s, "JSON parse error, invalid escape sequence in string");
		return 0;
	}
	if (high != 0 && (high < 0xd800 || high > 0xdfff))
		return 4;
	if (high >= 0xd800 && high < 0xdc00 && len >= 10 && p[4] == '\\' && p[5] == 'u') {
		low = hex4(p + 6, len - 6);
		if (low >= 0xdc00 && low <= 0xdfff)
			return 10;
	}
	soft_error(s, "JSON parse error, \\u%.4s is not a valid Unicode character", p);
	return 0;
}

/* The inside of a string token: json-c lets broken ones pass. */
static void check_string(struct json_stream *s, const char *p, size_t len)
{
	uint32_t cp;
	size_t n;

	while (len > 0) {
		if (*p != '\\') {
			n = utf8_decode(p, len, &cp);
			if (n == 0) {
				soft_error(
					s,
					"JSON parse error, invalid UTF-8 sequence in string");
				return;
			}
		} else if (p[1] == 'u') {
			n = check_unicode_escape(s, p + 2, len - 2);
			if (n == 0)
				return;
			n += 2;
		} else if (strchr("\"\\/bfnrt", p[1])) {
			n = 2;
		} else {
			soft_error(s, "JSON parse error, invalid escape sequence in string");
			return;
		}
		p += n;
		len -= n;
	}
}

static void refuse(struct json_stream *s, const char *limit)
{
	s->skipping = true;
	s->refused = limit;
	s->len = s->token = 0;
}

static void append(struct json_stream *s, const char *text, size_t n)
{
	if (s->skipping)
		return;
	if (s->len + n > s->max) {
		refuse(s, "token size");
		return;
	}
	memcpy(s->buf + s->len, text, n);
	s->len += n;
}

/* A value that is complete for the lexer: what does json-c say? */
static const char *parse_problem(enum json_tokener_error error)
{
	switch (error) {
	case json_tokener_error_parse_object_key_name:
		return "key is not a string in object";
	case json_tokener_error_parse_object_key_sep:
		return "missing : in object pair";
	case json_tokener_error_parse_object_value_sep:
		return "expected separator in dict";
	case json_tokener_error_parse_array:
		return "expected separator in list";
	case json_tokener_error_parse_utf8_string:
		return "invalid UTF-8 sequence in string";
	case json_tokener_error_parse_string:
		return "invalid escape sequence in string";
	default:
		return "expecting value";
	}
}

static size_t count_members(struct json_object *value)
{
	size_t n = 0, i;

	/* the depth is bounded by the parser's limit */
	if (json_object_is_type(value, json_type_object)) {
		json_object_object_foreach(value, key, member)
		{
			(void)key;
			n += 1 + count_members(member);
		}
	} else if (json_object_is_type(value, json_type_array)) {
		for (i = 0; i < json_object_array_length(value); i++)
			n += count_members(json_object_array_get_idx(value, i));
	}
	return n;
}

static int value_complete(struct json_stream *s, struct json_object **value, struct err *e)
{
	struct json_object *parsed;
	enum json_tokener_error error;
	size_t colons = s->colons;

	if (s->soft.code) {
		int rc = err_set(e, s->soft.code, "%s", s->soft.text);

		value_reset(s);
		return rc;
	}
	/* the NUL ends a number or keyword that stands alone */
	s->buf[s->len] = '\0';
	json_tokener_reset(s->tokener);
	json_tokener_set_flags(s->tokener, JSON_TOKENER_VALIDATE_UTF8);
	parsed = json_tokener_parse_ex(s->tokener, s->buf, (int)s->len + 1);
	error = json_tokener_get_error(s->tokener);
	value_reset(s);
	if (error != json_tokener_success) {
		if (error == json_tokener_error_depth)
			return err_set(e, -EMSGSIZE, "JSON nesting depth limit exceeded");
		return err_set(e, -EBADMSG, "JSON parse error, %s", parse_problem(error));
	}
	if (count_members(parsed) != colons) {
		json_object_put(parsed);
		return err_set(e, -EBADMSG, "JSON parse error, duplicate key");
	}
	*value = parsed;
	return 1;
}

/*
 * A token has ended.  => 0 the value goes on, 1 it is complete, or -errno
 */
static int token_end(struct json_stream *s, struct json_object **value, struct err *e)
{
	s->state = LEX_START;
	if (s->braces >= 0 && s->brackets >= 0 && s->braces + s->brackets > 0) {
		if (!s->skipping && s->braces + s->brackets > JSON_DEPTH_MAX)
			refuse(s, "nesting depth");
		return 0;
	}
	if (s->skipping) {
		value_reset(s);
		return 0;
	}
	return value_complete(s, value, e);
}

static int structural(struct json_stream *s, char c, struct json_object **value, struct err *e)
{
	bool after_comma = s->comma;

	s->comma = false;
	append(s, &c, 1);
	switch (c) {
	case '{':
		s->braces++;
		break;
	case '}':
		s->braces--;
		break;
	case '[':
		s->brackets++;
		break;
	case ']':
		s->brackets--;
		break;
	case ':':
		s->colons++;
		break;
	case ',':
		s->comma = true;
		break;
	}
	if (after_comma && (c == '}' || c == ']'))
		soft_error(s, "JSON parse error, expecting value");
	return token_end(s, value, e);
}

static int string_end(struct json_stream *s, struct json_object **value, struct err *e)
{
	if (!s->skipping)
		check_string(s, s->buf + s->token + 1, s->len - s->token - 2);
	return token_end(s, value, e);
}

static int keyword_end(struct json_stream *s, struct json_object **value, struct err *e)
{
	static const char *const known[] = { "true", "false", "null" };
	size_t n = s->len - s->token, i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (n == strlen(known[i]) && !memcmp(s->buf + s->token, known[i], n))
			return token_end(s, value, e);
	if (!s->skipping)
		soft_error(s, "JSON parse error, invalid keyword '%.*s'",
			   (int)(n < SHOWN_MAX ? n : SHOWN_MAX), s->buf + s->token);
	return token_end(s, value, e);
}

static int integer_end(struct json_stream *s, struct json_object **value, struct err *e)
{
	/* json-c would make of a larger number the largest that it knows */
	if (!s->skipping) {
		s->buf[s->len] = '\0';
		errno = 0;
		if (s->buf[s->token] == '-')
			(void)strtoll(s->buf + s->token, NULL, 10);
		else
			(void)strtoull(s->buf + s->token, NULL, 10);
		if (errno == ERANGE)
			append(s, ".0", 2);
	}
	return token_end(s, value, e);
}

/* A byte that no token has: drop the value, say so, look for firm ground. */
static int stray(struct json_stream *s, char c, struct err *e)
{
	size_t n = s->len - s->token;
	int rc = 0;

	if (!s->skipping)
		rc = err_set(e, -EBADMSG, "JSON parse error, stray '%.*s%c'",
			     (int)(n < SHOWN_MAX ? n : SHOWN_MAX), s->buf + s->token,
			     c ? c : ' ');
	value_reset(s);
	s->state = LEX_RECOVERY;
	return rc;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_structural(char c)
{
	return c && strchr("{}[]:,", c) != NULL;
}

/* Bytes that nothing in JSON has, in a string or out of it. */
static bool is_impossible(char c)
{
	unsigned char u = (unsigned char)c;

	return u < 0x20 || u >= 0xfe;
}

/* Begin a token.  => as token_end */
static int token_begin(struct json_stream *s, char c, struct json_object **value, struct err *e)
{
	s->token = s->len;
	if (is_space(c)) {
		/* white space between values is nothing; within one, a blank will do */
		if (s->len > 0 && s->buf[s->len - 1] != ' ')
			append(s, " ", 1);
		return 0;
	}
	if (is_structural(c))
		return structural(s, c, value, e);
	s->comma = false;
	if (c == '"' || c == '\'')
		s->state = LEX_STRING, s->quote = c;
	else if (c >= 'a' && c <= 'z')
		s->state = LEX_KEYWORD;
	else if (c == '-')
		s->state = LEX_MINUS;
	else if (c == '0')
		s->state = LEX_ZERO;
	else if (is_digit(c))
		s->state = LEX_DIGITS;
	else
		return stray(s, c, e);
	append(s, &c, 1);
	return 0;
}

/* The state that c leads to from a state within a number, or LEX_START. */
static enum lexer_state number_next(enum lexer_state state, char c)
{
	switch (state) {
	case LEX_MINUS:
		return c == '0' ? LEX_ZERO : is_digit(c) ? LEX_DIGITS : LEX_START;
	case LEX_ZERO:
	case LEX_DIGITS:
		if (c == '.')
			return LEX_POINT;
		if (c == 'e' || c == 'E')
			return LEX_EXP;
		return state == LEX_DIGITS && is_digit(c) ? LEX_DIGITS : LEX_START;
	case LEX_POINT:
		return is_digit(c) ? LEX_FRACTION : LEX_START;
	case LEX_FRACTION:
		if (c == 'e' || c == 'E')
			return LEX_EXP;
		return is_digit(c) ? LEX_FRACTION : LEX_START;
	case LEX_EXP:
		if (c == '+' || c == '-')
			return LEX_EXP_SIGN;
		return is_digit(c) ? LEX_EXP_DIGITS : LEX_START;
	case LEX_EXP_SIGN:
	case LEX_EXP_DIGITS:
		return is_digit(c) ? LEX_EXP_DIGITS : LEX_START;
	default:
		return LEX_START;
	}
}

/*
 * One byte.  *taken is cleared when it belongs to the next token and must be
 * given again.  => as token_end
 */
static int lex(struct json_stream *s, char c, bool *taken, struct json_object **value,
	       struct err *e)
{
	enum lexer_state next;

	switch (s->state) {
	case LEX_START:
		return token_begin(s, c, value, e);

	case LEX_STRING:
		if (is_impossible(c))
			return stray(s, c, e);
		append(s, &c, 1);
		if (c == '\\')
			s->state = LEX_ESCAPE;
		else if (c == s->quote)
			return string_end(s, value, e);
		return 0;

	case LEX_ESCAPE:
		if (is_impossible(c))
			return stray(s, c, e);
		s->state = LEX_STRING;
		if (c == '\'')
			append(s, "u0027", 5); /* which json-c does know */
		else
			append(s, &c, 1);
		return 0;

	case LEX_KEYWORD:
		if (c >= 'a' && c <= 'z')
			break;
		*taken = false;
		return keyword_end(s, value, e);

	case LEX_RECOVERY:
		if (is_structural(c) || (is_impossible(c) && c != '\t')) {
			s->state = LEX_START;
			*taken = false;
		}
		return 0;

	case LEX_MINUS:
	case LEX_ZERO:
	case LEX_DIGITS:
	case LEX_POINT:
	case LEX_FRACTION:
	case LEX_EXP:
	case LEX_EXP_SIGN:
	case LEX_EXP_DIGITS:
		next = number_next(s->state, c);
		if (next != LEX_START) {
			s->state = next;
			break;
		}
		if (s->state == LEX_FRACTION || s->state == LEX_EXP_DIGITS) {
			*taken = false;
			return token_end(s, value, e);
		}
		if (s->state == LEX_DIGITS || (s->state == LEX_ZERO && !is_digit(c))) {
			*taken = false;
			return integer_end(s, value, e);
		}
		return stray(s, c, e);
	}
	append(s, &c, 1);
	return 0;
}

int json_stream_next(struct json_stream *s, const char **data, size_t *len,
		     struct json_object **value, struct err *e)
{
	*value = NULL;
	while (*len > 0) {
		bool taken = true;
		int rc = lex(s, **data, &taken, value, e);

		if (taken) {
			++*data;
			--*len;
		}
		if (s->refused) {
			assert(rc == 0);
			rc = err_set(e, -EMSGSIZE, "JSON %s limit exceeded", s->refused);
			s->refused = NULL;
		}
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* Escape what is not ASCII in serialised JSON, where only strings can have it. */
static char *escape_non_ascii(const char *text)
{
	size_t len = strlen(text), room = len + 1, i;
	char *out, *o;

	for (i = 0; i < len; i++)
		if ((unsigned char)text[i] >= 0x7f)
			room += 5; /* at worst 1 byte becomes 6 */
	out = o = malloc(room);
	if (!out)
		return NULL;
	for (i = 0; i < len;) {
		uint32_t cp;
		size_t n = utf8_decode(text + i, len - i, &cp);

		if (n == 0)
			cp = 0xfffd, n = 1;
		if (cp < 0x7f)
			*o++ = (char)cp;
		else if (cp < 0x10000)
			o += sprintf(o, "\\u%04X", (unsigned int)cp);
		else
			o += sprintf(o, "\\u%04X\\u%04X",
				     (unsigned int)(0xd800 + ((cp - 0x10000) >> 10)),
				     (unsigned int)(0xdc00 + ((cp - 0x10000) & 0x3ff)));
		i += n;
	}
	*o = '\0';
	return out;
}

char *json_to_ascii(struct json_object *value)
{
	const char *text = json_object_to_json_string_ext(
		value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

	return text ? escape_non_ascii(text) : NULL;
}

const char *json_plain_string(struct json_object *value)
{
	const char *text;

	if (!json_object_is_type(value, json_type_string))
		return NULL;
	text = json_object_get_string(value);
	if (strlen(text) != (size_t)json_object_get_string_len(value))
		return NULL;
	return text;
}
