#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The watchdog: who waits for long is told, and for what; once, and again when it is over.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/faulty.sh"
it_init
events() { # events NAME: how many
	grep -ac " $1 " "$T/events.log" || true
}

# stalled_by PATTERN: the event comes, with guest and reason, and is in the log
stalled_by() {
	local line
	line=$(wait_for "GUEST_STALLED .*$1" "$T/events.log" 30 "$from")
	[[ $line = *guest=one* && $line =~ seconds=[2-9] ]] || fail "told is: $line"
	echo "$line"
	wait_for "warn: guest one: .*$1" "$T/drumd.log" 10 >/dev/null
}

resumed() {
	wait_for 'GUEST_RESUMED guest=one' "$T/events.log" 60 "$from" >/dev/null
	guest_walks one 2000
}

faulty_start disk 2G
faulty_loop disk
dev=$(faulty_dev disk)
drum_start
events_start
ctl swap on "$dev"
ctl paging set --stall-after 2 --give-up 3600
PATROL=--mib=128
guest_start one 256M
guest_up one
guest_attach one --limit 64M
wait_shrunk one $((64 * MIB))
guest_walks one 2000

say 'a device that does not answer'
from=$(lines_of "$T/events.log")
faulty_set disk read=hang
line=$(stalled_by 'the read of block [0-9]+ does not end')
[[ $line = *"path=$dev"* && $line =~ page=[0-9] ]] || fail "which page of which device: $line"
ctl stat >/dev/null
[ "$(events GUEST_RESUMED)" = 0 ] || fail "it is not over"
faulty_set disk none
resumed
[ "$(events GUEST_STALLED)" = 1 ] || fail "told $(events GUEST_STALLED) times"

say 'a device that fails'
from=$(lines_of "$T/events.log")
faulty_set disk read=EIO
line=$(stalled_by 'block [0-9]+ cannot be read')
[[ $line = *"path=$dev"* ]] || fail "which device: $line"
faulty_set disk none
resumed

say 'a worker that does not come round'
from=$(lines_of "$T/events.log")
thread_hold "$(threads_of "$(pager)" drum-worker)"
line=$(stalled_by 'its worker is stuck in ')
ctl stat >/dev/null
thread_release
resumed

guest_check one
assert_drum_lives
guest_end one
drum_stop
it_passed
