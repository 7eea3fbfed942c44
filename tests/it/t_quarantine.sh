#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A VMM that closes the userfaultfd, unmaps its RAM, or maps it anew is quarantined: all of it
# is paged in, nothing of it is wrong, and it is let go.  So is one that zaps its own mapping
# in a storm.  One that gives pages back without a word is served on.  badvmm stands in for
# such VMMs.
. "$(dirname "$0")/lib.sh"
it_init

bad_ask() { # bad_ask COMMAND PATTERN [SECONDS]
	local from
	from=$(lines_of "$T/bad.log")
	echo "$1" >"$T/bad.in"
	wait_for "$2" "$T/bad.log" "${3:-60}" "$from"
}

bad_start() {
	rm -f "$T/bad.in"
	: >"$T/bad.log"
	mkfifo "$T/bad.in"
	"$DRUM_BUILD/tests/it/badvmm" 64 <>"$T/bad.in" >>"$T/bad.log" 2>&1 &
	IT_PIDS[bad]=$!
	wait_for 'BADVMM READY' "$T/bad.log" 20 >/dev/null
	ctl guest attach "${IT_PIDS[bad]}" --name bad
	ctl guest out bad
	guest_is bad swapped -gt $((60 * MIB)) || fail "only $(guest_field bad swapped) bytes are swapped"
}

bad_end() {
	bad_ask quit 'BADVMM QUIT' >/dev/null
	wait "${IT_PIDS[bad]}"
	unset "IT_PIDS[bad]"
}

drum_start
swap_on 256M
events_start

# It can be let go only when all is in: it is not listed then, and its pages are right.
for what in close unmap remap; do
	bad_start
	case $what in
	close) reason='closed the userfaultfd' ;;
	unmap) reason='unmapped 16384 KiB' ;;
	remap) reason='mapped its RAM anew' ;;
	esac
	from=$(lines_of "$T/events.log")
	bad_ask $what 'BADVMM (CLOSED 1|UNMAPPED|REMAPPED)' >/dev/null
	wait_for "GUEST_QUARANTINED guest=bad reason=.*$reason" "$T/events.log" 20 "$from" >/dev/null
	wait_until 30 guest_not_listed bad || fail "$what: $(ctl guest show bad)"
	bad_ask verify 'BADVMM VERIFIED bad=0' >/dev/null
	assert_no_trace "${IT_PIDS[bad]}"
	bad_end
	wait_until 20 swap_used_is 0 || fail "$what: $(swap_used) bytes of swap are still used"
done

# It zaps its RAM itself, again and again, while a part of that is on swap.
bad_start
ctl guest set bad --limit 16M
bad_ask verify 'BADVMM VERIFIED bad=0' >/dev/null
guest_is bad swapped -gt $((40 * MIB)) || fail "only $(guest_field bad swapped) bytes are swapped"
from=$(lines_of "$T/events.log")
bad_ask 'storm 3000' 'BADVMM STORMED rounds=[0-9]+ bad=0' 120 >/dev/null
wait_for "GUEST_QUARANTINED guest=bad reason=.*zaps its RAM" "$T/events.log" 20 "$from" >/dev/null
wait_until 30 guest_not_listed bad || fail "after a storm: $(ctl guest show bad)"
bad_ask verify 'BADVMM VERIFIED bad=0' >/dev/null
assert_no_trace "${IT_PIDS[bad]}"
bad_end

# Pages vanish from the memfd, and nobody tells.
bad_start
for round in 1 2 3; do
	bad_ask verify 'BADVMM VERIFIED bad=0' >/dev/null
	bad_ask 'steal 500' 'BADVMM STOLE' >/dev/null
	ctl guest out bad
	bad_ask verify 'BADVMM VERIFIED bad=0' >/dev/null
done
guest_is bad state = running || fail "after round $round it is $(guest_field bad state)"
ctl guest detach bad
bad_ask verify 'BADVMM VERIFIED bad=0' >/dev/null
assert_no_trace "${IT_PIDS[bad]}"
bad_end
wait_until 20 swap_used_is 0 || fail "$(swap_used) bytes of swap are still used"
assert_drum_lives
drum_stop
it_passed
