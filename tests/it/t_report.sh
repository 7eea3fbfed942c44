#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# What drumctl records of a guest that pages, over a restart of the daemon, is a page that a
# browser shows without asking for anything else.
. "$(dirname "$0")/lib.sh"
it_init
command -v chromium >/dev/null || skip "no chromium"

# recorded COUNT PATTERN: so many lines of the record have it
recorded() {
	[ "$(grep -ac -- "$2" "$T/record")" -ge "$1" ]
}

drum_start
swap_on 512M
guest_start paged 192M
guest_up paged
guest_attach paged
# not by ctl, whose shell would be what is killed
"$DRUM_BUILD/drumctl" -s "$T/run/qmp.sock" record "$T/record" --delay 0.2 2>"$T/record.log" &
IT_PIDS[record]=$!
ctl guest set paged --limit 96M
wait_until 30 guest_is paged swapped -gt $((32 * MIB)) || fail "nothing is paged out"
from=$(lines_of "$T/record")
wait_until 20 recorded $((from + 5)) . || fail "no more samples"
kill -KILL "$(pager)"
wait_until 20 recorded 1 '"gap"' || fail "no gap is noted"
wait_until 20 ctl stat >/dev/null 2>&1 || fail "no new pager"
from=$(lines_of "$T/record")
wait_until 20 recorded $((from + 5)) . || fail "it does not go on"
guest_walks paged 2000
{
	kill -KILL "${IT_PIDS[record]}"
	wait "${IT_PIDS[record]}" || true
} 2>/dev/null
unset 'IT_PIDS[record]'
[ -z "$(tail -c 1 "$T/record")" ] || fail "the record ends within a line"
[ "$(json drum-record <<<"$(head -n 1 "$T/record")")" = 1 ] || fail "no header"

# No daemon is needed, and none is asked.
guest_kill paged
drum_stop
"$DRUM_BUILD/drumctl" report "$T/record" --html "$T/page.html" || fail "no report"
"$IT_PYTHON" -IS "$IT_SRC/page_check" "$T/page.html" "$T" >"$T/found.log" || fail "the page: $(cat "$T/found.log")"
found=$(cat "$T/found.log")
[ "$(json plots <<<"$found")" -ge 11 ] || fail "plots are missing: $found"
[[ $found = *'"guests": ["paged"]'* ]] || fail "guests are missing: $found"
grep -q 'Nothing is known of [0-9]* s, in 1 gap' "$T/page.html" || fail "the gap is not told"

# An hour, with names that try to be HTML
"$IT_PYTHON" -IS "$IT_SRC/made_record" >"$T/hour" || fail "no record was made"
"$DRUM_BUILD/drumctl" report "$T/hour" --html "$T/hour.html"
"$IT_PYTHON" -IS "$IT_SRC/page_check" "$T/hour.html" "$T" >"$T/found.log" || fail "an hour: $(cat "$T/found.log")"
[ "$(stat -c %s "$T/hour.html")" -lt $((2 * MIB)) ] || fail "$(stat -c %s "$T/hour.html") bytes of page"
it_passed "$(lines_of "$T/record") lines, $(stat -c %s "$T/record") bytes"
