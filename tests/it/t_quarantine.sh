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

# Two words of the file of its swblocks name the same block from now on.
double_owner() {
	"$IT_PYTHON" - "$1" <<-'END'
		import struct, sys
		with open(sys.argv[1], "r+b") as f:
		    data = bytearray(f.read())
		    key = lambda node: struct.unpack_from("Q", data, 4096 + node * 136)[0]
		    word = lambda node: struct.unpack_from("Q", data, 4096 + node * 136 + 8)[0]
		    nodes = [n for n in range((len(data) - 4096) // 136) if word(n)]
		    f.seek(4096 + nodes[7] * 136 + 8)
		    f.write(struct.pack("Q", word(nodes[100])))
	END
}

say_available 4096
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
	wait_for 'GUEST_DETACHED guest=bad reason=quarantined' "$T/events.log" 20 "$from" >/dev/null
	bad_ask verify 'BADVMM VERIFIED bad=0 lost=0' >/dev/null
	assert_no_trace "${IT_PIDS[bad]}"
	bad_end
	wait_until 20 swap_used_is 0 || fail "$what: $(swap_used) bytes of swap are still used"
done

# Where the host has no memory for it, it is not paged in before it has.
bad_start
say_available 40
bad_ask close 'BADVMM CLOSED 1' >/dev/null
wait_for 'guest bad: 64 MiB are swapped and do not fit into the 40 MiB' "$T/drumd.log" 20 >/dev/null
guest_is bad swapped -gt $((60 * MIB)) || fail "only $(guest_field bad swapped) bytes are still swapped"
guest_is bad state = quarantined || fail "it is $(guest_field bad state)"
say_available 4096
wait_until 30 guest_not_listed bad || fail "there is memory, and: $(ctl guest show bad)"
bad_ask verify 'BADVMM VERIFIED bad=0 lost=0' >/dev/null
bad_end

# It zaps its RAM itself, again and again, while a part of that is on swap.
bad_start
ctl guest set bad --limit 16M
bad_ask verify 'BADVMM VERIFIED bad=0 lost=0' >/dev/null
wait_until 20 guest_is bad swapped -gt $((40 * MIB)) || fail "only $(guest_field bad swapped) bytes are swapped"
from=$(lines_of "$T/events.log")
bad_ask 'storm 3000' 'BADVMM STORMED rounds=[0-9]+ bad=0' 120 >/dev/null
wait_for "GUEST_QUARANTINED guest=bad reason=.*zaps its RAM" "$T/events.log" 20 "$from" >/dev/null
wait_until 30 guest_not_listed bad || fail "after a storm: $(ctl guest show bad)"
bad_ask verify 'BADVMM VERIFIED bad=0 lost=0' >/dev/null
assert_no_trace "${IT_PIDS[bad]}"
bad_end

# Pages vanish from the memfd, and nobody tells.
bad_start
for round in 1 2 3; do
	bad_ask verify 'BADVMM VERIFIED bad=0 lost=0' >/dev/null
	bad_ask 'steal 500' 'BADVMM STOLE' >/dev/null
	ctl guest out bad
	bad_ask verify 'BADVMM VERIFIED bad=0 lost=0' >/dev/null
done
guest_is bad state = running || fail "after round $round it is $(guest_field bad state)"
ctl guest detach bad
bad_ask verify 'BADVMM VERIFIED bad=0 lost=0' >/dev/null
assert_no_trace "${IT_PIDS[bad]}"
bad_end
wait_until 20 swap_used_is 0 || fail "$(swap_used) bytes of swap are still used"

# An honest give-back of what is being read ahead is nobody's zap.
bad_start
bad_ask 'report 1' 'BADVMM REPORTED ahead=([3-9][0-9]|[1-9][0-9]{2,})' >/dev/null
guest_is bad state = running || fail "after an honest give-back it is $(guest_field bad state)"
bad_ask verify 'BADVMM VERIFIED bad=0 lost=0' >/dev/null
ctl guest detach bad
bad_end

# What two pages name is read for neither: they are lost, and they alone.
bad_start
ctl guest set bad --limit 16M
kill -KILL "$DRUMD_PID" "$(pager)"
wait "$DRUMD_PID" 2>/dev/null || true
double_owner "$T/run/guest-bad.swap"
drum_start
wait_until 20 guest_is bad state = quarantined || fail "it is $(guest_field bad state)"
guest_field bad reason | grep -q '^2 pages are lost: their blocks have two owners' ||
	fail "reason: $(guest_field bad reason)"
bad_ask verify 'BADVMM VERIFIED bad=0 lost=2' >/dev/null
wait_until 20 guest_is bad resident -eq $((64 * MIB - 8192)) || fail "$(guest_field bad resident) bytes are in"
guest_is bad state = quarantined || fail "it is $(guest_field bad state)"
bad_end
wait_until 20 guest_not_listed bad || fail "it has ended, and is $(guest_field bad state)"
assert_drum_lives
drum_stop
it_passed
