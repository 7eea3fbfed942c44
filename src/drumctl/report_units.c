/* SPDX-License-Identifier: BSD-2-Clause */
#include "drumctl/report_units.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* Three digits that count, and no more. */
static void digits(char *buf, size_t room, double value)
{
	int decimals = value >= 99.95 || value == floor(value) ? 0 : value >= 9.995 ? 1 : 2;
	char *end;

	snprintf(buf, room, "%.*f", decimals, value);
	if (!decimals)
		return;
	end = buf + strlen(buf);
	while (end[-1] == '0')
		*--end = '\0';
	if (end[-1] == '.')
		end[-1] = '\0';
}

static const char *scaled(char *buf, double value, double by, const char *const *names,
			  size_t n, const char *behind)
{
	char number[32];
	size_t i = 0;

	while (i + 1 < n && value >= by * 0.9995) {
		value /= by;
		i++;
	}
	digits(number, sizeof(number), value);
	snprintf(buf, UNIT_TEXT_MAX, "%s %s%s", number, names[i], behind);
	return buf;
}

/* 1234567 as "1 234 567", with thin blanks */
static const char *grouped(char *buf, double value)
{
	char plain[32];
	size_t len, used = 0;

	snprintf(plain, sizeof(plain), "%.0f", value);
	len = strlen(plain);
	for (size_t i = 0; i < len && used + 5 < UNIT_TEXT_MAX; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			used += (size_t)snprintf(buf + used, UNIT_TEXT_MAX - used, "\u202f");
		buf[used++] = plain[i];
	}
	buf[used] = '\0';
	return buf;
}

const char *unit_format(char buf[UNIT_TEXT_MAX], enum unit unit, double value)
{
	static const char *const bytes[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	static const char *const times[] = { "µs", "ms", "s" };
	char number[32];

	if (isnan(value)) {
		snprintf(buf, UNIT_TEXT_MAX, "–");
		return buf;
	}
	switch (unit) {
	case UNIT_BYTES:
		return value == 0 ? strcpy(buf, "0")
				  : scaled(buf, value, 1024, bytes, COUNT_OF(bytes), "");
	case UNIT_BYTES_SECOND:
		return value == 0 ? strcpy(buf, "0")
				  : scaled(buf, value, 1024, bytes, COUNT_OF(bytes), "/s");
	case UNIT_US:
		return value == 0 ? strcpy(buf, "0")
				  : scaled(buf, value, 1000, times, COUNT_OF(times), "");
	case UNIT_PERCENT:
		digits(number, sizeof(number), value);
		snprintf(buf, UNIT_TEXT_MAX, "%s %%", number);
		return buf;
	case UNIT_SECOND:
		if (value >= 1000)
			grouped(number, value);
		else
			digits(number, sizeof(number), value);
		snprintf(buf, UNIT_TEXT_MAX, "%s/s", number);
		return buf;
	case UNIT_COUNT:
		break;
	}
	return grouped(buf, value);
}

double unit_step(enum unit unit, double most, int wanted)
{
	double step, power;

	if (!(most > 0))
		return 1;
	if (unit == UNIT_BYTES || unit == UNIT_BYTES_SECOND)
		return exp2(ceil(log2(most / wanted) - 1e-9));
	power = pow(10, floor(log10(most / wanted)));
	step = most / wanted / power;
	return power * (step <= 1 + 1e-9   ? 1
			: step <= 2 + 1e-9 ? 2
			: step <= 5 + 1e-9 ? 5
					   : 10);
}

double unit_time_step(double span, int wanted)
{
	static const double steps[] = { 1,     2,     5,     10,    15,	    30,	   60,
					120,   300,   600,   900,   1800,   3600,  7200,
					10800, 21600, 43200, 86400, 172800, 604800 };
	double step;

	for (size_t i = 0; i < COUNT_OF(steps); i++)
		if (span / steps[i] <= wanted)
			return steps[i];
	step = steps[COUNT_OF(steps) - 1];
	return step * ceil(span / step / wanted);
}

const char *unit_duration(char buf[UNIT_TEXT_MAX], double seconds)
{
	uint64_t s = seconds > 0 && seconds < 1e12 ? (uint64_t)(seconds + 0.5) : 0;
	unsigned int days = (unsigned int)(s / 86400), hours = (unsigned int)(s / 3600 % 24),
		     minutes = (unsigned int)(s / 60 % 60), left = (unsigned int)(s % 60);

	if (days)
		snprintf(buf, UNIT_TEXT_MAX, "%u d %u h", days, hours);
	else if (hours)
		snprintf(buf, UNIT_TEXT_MAX, "%u h %u min", hours, minutes);
	else if (minutes)
		snprintf(buf, UNIT_TEXT_MAX, "%u min %u s", minutes, left);
	else
		snprintf(buf, UNIT_TEXT_MAX, "%u s", left);
	return buf;
}

static const char *local(char *buf, double t, const char *format)
{
	time_t seconds = (time_t)t;
	struct tm tm;

	if (!localtime_r(&seconds, &tm) || !strftime(buf, UNIT_TEXT_MAX, format, &tm))
		buf[0] = '\0';
	return buf;
}

const char *unit_time(char buf[UNIT_TEXT_MAX], double t, double step)
{
	local(buf, t, "%H:%M:%S");
	if (step >= 3600 && !strncmp(buf, "00:00", 5))
		return local(buf, t, "%b %-d");
	if (step >= 86400)
		return local(buf, t, "%b %-d");
	if (step >= 60)
		buf[5] = '\0';
	return buf;
}

const char *unit_date(char buf[UNIT_TEXT_MAX], double t)
{
	return local(buf, t, "%Y-%m-%d %H:%M:%S");
}

double unit_zone(double t)
{
	time_t seconds = (time_t)t;
	struct tm tm;

	return localtime_r(&seconds, &tm) ? (double)tm.tm_gmtoff : 0;
}
