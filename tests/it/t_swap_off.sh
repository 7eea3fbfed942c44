#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 80
# Switching a swap device off under a guest that works: all that is on it goes elsewhere, or
# the device stays on and nothing is lost.
. "$(dirname "$0")/lib.sh"
it_init
command -v nbdkit >/dev/null || skip "no nbdkit"

LIMIT=$((64 * MIB))
A=$T/a
B=$T/b

# off_start PATH: in the background, what it says is in off.log and how it ended in off.status
off_start() {
	(
		status=0
		ctl swap off "$1" >"$T/off.log" 2>&1 || status=$?
		echo $status >"$T/off.status"
	) &
	IT_PIDS[off]=$!
	wait_until 20 is_moving "$1" || fail "nothing of $1 moves: $(cat "$T/off.log")"
}

is_moving() {
	swap_is "$1" state = removing && swap_is "$1" moved -gt 0
}

# off_ends STATUS [PATTERN]
off_ends() {
	wait_until 60 is_gone "${IT_PIDS[off]}" || fail "'swap off' does not end"
	wait "${IT_PIDS[off]}"
	unset "IT_PIDS[off]"
	[ "$(cat "$T/off.status")" = "$1" ] ||
		fail "'swap off' ended with $(cat "$T/off.status"): $(cat "$T/off.log")"
	grep -qE -- "${2:-}" "$T/off.log" || [ -z "${2:-}" ] || fail "unclear: $(cat "$T/off.log")"
}

# is_whole PATH: on as if nothing had been
is_whole() {
	[ "$(swap_field "$1" state to-move moved | paste -sd ' ')" = 'on 0 0' ] ||
		fail "$1: $(swap_field "$1" state to-move moved | paste -sd ' ')"
}

drum_start
events_start
swap_make "$A" 256M
swap_make "$B" 256M
ctl swap on "$A"
GUEST_SMP=1
guest_start one 192M
PATROL=--share=20 guest_start two 128M
guest_up two
guest_ask two pause 'PATROL PAUSED' >/dev/null
guest_up one
guest_attach one --limit $LIMIT
wait_shrunk one $LIMIT
guest_walks one 3000

# One that is empty, and what is not there.
ctl swap on "$B"
refused 'is not being switched off' swap off "$B" --cancel
ctl swap off "$B"
! swap_listed "$B" || fail "switched off and still listed"
refused 'is not a swap device' swap off "$B"
refused 'is not a swap device' swap off "$B" --cancel
wait_for "SWAP_DEVICE_REMOVED path=$B" "$T/events.log" 20 >/dev/null

# Nowhere to go: refused, and all is as it was.
from=$(lines_of "$T/drumd.log")
refused 'stays on: .* MiB .* fit neither on other devices nor into memory' swap off "$A"
is_whole "$A"
! tail -n +$((from + 1)) "$T/drumd.log" | grep 'swap is full' || fail "what was refused was tried"
guest_walks one 3000

# To another device, slowly enough to be looked at.
ctl swap on "$B"
ctl swap set "$A" --max-bandwidth 4M
off_start "$A"
refused 'is being switched off already' swap off "$A"
to_move=$(swap_field "$A" to-move)
[ "$to_move" -gt $((32 * MIB)) ] || fail "$to_move bytes are to be moved"
used=$(swap_field "$A" used)
for _ in 1 2 3 4 5; do
	was=$used
	guest_walks one 500
	read -r state to moved used < <(swap_field "$A" state to-move moved used | paste -sd ' ')
	[ "$state" = removing ] || fail "$A is $state"
	[ "$used" -le "$was" ] || fail "something was put on $A: $used bytes, $was before"
	[ "$to $((moved + used))" = "$to_move $to" ] ||
		fail "$to to move, $moved moved, $used left"
done
# By a second client: it stays enabled.
ctl swap off "$A" --cancel
off_ends 1 "$A stays on: cancelled"
is_whole "$A"
[ "$(swap_field "$B" used)" -gt 0 ] || fail "nothing was moved to $B"
! grep -q "REMOVED path=$A" "$T/events.log" || fail "an event of what was cancelled"
# ... and is used again, as the first in line.
written=$(swap_field "$A" write-bytes)
ctl swap set "$A" --max-bandwidth 0
guest_walks one 3000
swap_is "$A" write-bytes -gt "$written" || fail "$A is not used again"
guest_check one

# By Ctrl-C on a terminal, which shows how far it is.
ctl swap set "$A" --max-bandwidth 2M
status=0
timeout 60 "$IT_PYTHON" "$IT_SRC/terminal" '\[[#.]*\] +[0-9]+% .*ETA' "$DRUM_BUILD/drumctl" \
	-s "$T/run/qmp.sock" swap off "$A" >"$T/terminal.out" || status=$?
[ $status = 130 ] || fail "interrupted, it ended with $status: $(cat "$T/terminal.out")"
grep -q "interrupted; $A stays enabled" "$T/terminal.out" || fail "unclear: $(cat "$T/terminal.out")"
is_whole "$A"
guest_walks one 2000

# To its end, and back, at full speed.
ctl swap set "$A" --max-bandwidth 0
for from in "$A" "$B"; do
	[ "$from" = "$A" ] && to=$B || to=$A
	swap_listed "$to" || ctl swap on "$to"
	ctl swap off "$from" 2>"$T/err" || fail "$from: $(cat "$T/err")"
	! swap_listed "$from" || fail "$from is still listed"
	wait_for "SWAP_DEVICE_REMOVED path=$from" "$T/events.log" 20 >/dev/null
	guest_walks one 2000
	guest_is one pages-moved -gt 1000 || fail "$(guest_field one pages-moved) pages were moved"
	swap_is "$to" used -gt $((32 * MIB)) || fail "only $(swap_field "$to" used) bytes on $to"
done
guest_check one

# Into RAM, when the limit leaves room; there is no other device.
ctl guest set one --limit 192M
ctl swap off "$A" 2>"$T/err" || fail "$(cat "$T/err")"
[ -z "$(ctl swap list --json | json path)" ] || fail "a device is still listed"
guest_is one swapped -eq 0 || fail "$(guest_field one swapped) bytes swapped, nowhere"
guest_check one
rm "$A" "$B"

# Blocks that cannot be written are not in use: a server that refuses some of the writes.
L="nbd:nbd+unix:///?socket=$T/nbd"
: >"$T/bad"
nbdkit --foreground --unix "$T/nbd" --filter=error memory 64M error-file="$T/bad" \
	error-pwrite=EIO error-pwrite-rate=10% >"$T/nbdkit.log" 2>&1 &
IT_PIDS[nbdkit]=$!
wait_until 10 test -S "$T/nbd" || fail "nbdkit does not listen"
swap_make "$A" 256M
ctl swap on "$L" --priority 1
ctl swap on "$A"
ctl guest set one --limit $LIMIT
wait_shrunk one $LIMIT
wait_until 20 swap_is "$L" bad -gt 0 || fail "$L has no bad blocks"
wait_until 20 swap_is "$L" used -gt $((16 * MIB)) || fail "$L is not used"
guest_walks one 2000
rm "$T/bad"
ctl swap off "$L" 2>"$T/err" || fail "bad blocks are in the way: $(cat "$T/err")"
! swap_listed "$L" || fail "$L is still listed"
guest_check one

# No room, as turns out only when it is under way: what the other guest has left is not for
# this one.
guest_attach two
swap_make "$B" 8M
ctl swap on "$B"
ctl guest set one --limit 112M
ctl guest in one >/dev/null 2>&1 || true
guest_ask one pause 'PATROL PAUSED' >/dev/null
for load in resting working; do
	[ $load = resting ] || guest_ask one resume 'PATROL RESUMED' >/dev/null
	refused 'stays on: .* MiB .* fit neither on other devices nor into memory' swap off "$A"
	is_whole "$A"
	is_whole "$B"
	guest_is one swapped -gt $((8 * MIB)) || fail "the limit was forgotten"
done
guest_check one
guest_end two
ctl swap off "$B"
rm "$B"

# The pager dies in the middle: both devices are on.
swap_make "$B" 256M
ctl swap on "$B"
ctl guest set one --limit $LIMIT
wait_shrunk one $LIMIT
ctl swap set "$A" --max-bandwidth 2M
off_start "$A"
old=$(pager)
kill -KILL "$old"
off_ends 3
wait_until 20 another_pager "$old" || fail "no pager after $old was killed"
wait_until 20 guest_is one state = running || fail "the guest was not taken over"
is_whole "$A"
is_whole "$B"
swap_is "$A" max-bandwidth -eq $((2 * MIB)) || fail "the limit of $A is forgotten"
guest_walks one 2000
# at this pace a look at every page would take most of a minute
ctl swap set "$A" --max-bandwidth 0
guest_check one
guest_end one
assert_swap_free
for dev in "$A" "$B"; do
	ctl swap off "$dev"
done
assert_drum_lives
drum_stop
it_passed
