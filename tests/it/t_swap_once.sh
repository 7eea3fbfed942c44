#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The same device by two clients at once; what list and show print; what is told when swap is
# low, full and ok again; how a guest fares with full swap.
. "$(dirname "$0")/lib.sh"
it_init

A=$T/a

# both FIRST SECOND: 'swap on' of the two, begun together
both() {
	local one two status=0
	ctl swap on "$1" 2>"$T/one.err" &
	one=$!
	ctl swap on "$2" 2>"$T/two.err" &
	two=$!
	winners=0
	wait "$one" && winners=$((winners + 1)) || status=$?
	wait "$two" && winners=$((winners + 1)) || status=$?
	[ $winners = 1 ] || fail "round $round: $winners of '$1' and '$2' won: $(cat "$T/one.err" "$T/two.err")"
	[ $status = 1 ] || fail "round $round: the other one ended with $status"
	cat "$T/one.err" "$T/two.err" >"$T/err"
	grep -q ' is a swap device already' "$T/err" || fail "round $round: $(cat "$T/err")"
	[ "$(ctl swap list --json | json count)" = 1 ] || fail "round $round: not one device"
	[ "$(grep -c . "$T/run/swap-devices")" = "$lines" ] || fail "round $round: $(cat "$T/run/swap-devices")"
}

edges() { # how often the daemon has said so
	grep -c "swap is $1" "$T/drumd.log" || true
}

# edges_are LOW FULL OK, counted from the last edges_from
edges_are() {
	[ "$(edges low) $(edges full) $(edges ok)" = "$((low + $1)) $((full + $2)) $((ok + $3))" ]
}

edges_from() {
	low=$(edges low) full=$(edges full) ok=$(edges ok)
}

drum_start
swap_make "$A" 16M
ln "$A" "$T/hard"
ln -s a "$T/soft"
ctl swap on "$A"
lines=$(grep -c . "$T/run/swap-devices")
ctl swap off "$A"
round=0
for pair in 'a a' 'a soft' 'soft a' 'a hard' 'hard a' 'soft hard' 'hard soft' './a a'; do
	for _ in 1 2 3 4; do
		round=$((round + 1))
		both "$T/${pair% *}" "$T/${pair#* }"
		# whoever won, all of its names mean the same
		for name in a soft hard; do
			refused 'is a swap device already' swap on "$T/$name"
		done
		ctl swap show "$T/soft" >/dev/null
		ctl swap off "$T/hard"
		[ -z "$(ctl swap list --noheadings)" ] || fail "round $round: still on"
	done
done
# The loser has left nothing behind in its place: another daemon may have it.
if command -v losetup >/dev/null && losetup --find >/dev/null 2>&1; then
	loop_make L "$A"
	refused "in use: the loop device $L is made of it" swap on "$A"
	mknod "$T/node" b $((0x$(stat -c %t "$L"))) $((0x$(stat -c %T "$L")))
	for _ in 1 2 3 4; do
		round=$((round + 1))
		both "$L" "$T/node"
		refused "in use: the loop device $L is made of it" swap on "$A"
		ctl swap off "$L"
	done
	losetup -d "$L"
fi

# What is printed.
ctl swap on "$A" --priority 7 --max-inflight 3 --max-bandwidth 5M
[ "$(ctl swap list --noheadings --raw --bytes --output NAME,TYPE,SIZE,USED,PRIO)" = \
	"$A file $((16 * MIB)) 0 7" ] || fail "raw: $(ctl swap list -nrb -o NAME,TYPE,SIZE,USED,PRIO)"
[ "$(ctl swap list -r -o name,size | head -n 1)" = 'NAME SIZE' ] || fail "no headings"
[ "$(ctl swap list -n -r -o SIZE)" = 16M ] || fail "not rounded: $(ctl swap list -nr -o SIZE)"
[ "$(ctl swap list -n -r -b -o +MAX-INFLIGHT,MAX-BANDWIDTH | awk '{ print $(NF - 1), $NF }')" = \
	"3 $((5 * MIB))" ] || fail "columns are not added"
[ "$(ctl swap list --json --output NAME,PRIO | tr -d ' \n')" = \
	"[{\"path\":\"$A\",\"priority\":7}]" ] || fail "JSON: $(ctl swap list --json -o NAME,PRIO)"
[ "$(ctl swap list --json | json size max-inflight max-bandwidth checksums discard | paste -sd ' ')" = \
	"$((16 * MIB)) 3 $((5 * MIB)) True False" ] || fail "JSON: $(ctl swap list --json)"
[ "$(ctl swap show "$T/soft" --json)" = "$(ctl swap list --json | sed '1d;$d;s/^  //')" ] ||
	fail "show: $(ctl swap show "$A" --json)"
ctl swap show "$A" --bytes | grep -Eq "^size +$((16 * MIB))$" || fail "show: $(ctl swap show "$A")"
ctl swap show "$A" | grep -Eq '^max bandwidth +5M$' || fail "show: $(ctl swap show "$A")"
for wrong in 'swap list -o ,' 'swap show' "swap show $A --raw" "swap priority $A -1" \
	"swap set $A" "swap set $A --max-inflight x" 'swap list -o NAME,NONE'; do
	status=0
	# shellcheck disable=SC2086 # words
	ctl $wrong >"$T/out" 2>"$T/err" || status=$?
	[ "$status $(stat -c %s "$T/out")" = '2 0' ] || fail "'$wrong' ended with $status: $(cat "$T/out")"
done
grep -q "unknown column 'NONE'; there are NAME, TYPE" "$T/err" || fail "unclear: $(cat "$T/err")"
refused 'is not switched on' swap show "$T/other"
ctl swap off "$A"

# A small swap fills, and empties: each edge once, and everybody goes on.
events_start
GUEST_SMP=1
PATROL='--share=70 --zeros=25' guest_start one 192M
guest_up one
guest_attach one
edges_from
ctl swap on "$A"
edges_are 0 0 1 || fail "switched on: $(tail -n 3 "$T/drumd.log")"
edges_from
resident=$(guest_field one resident)
ctl guest set one --limit $((resident - 15 * MIB))
guest_ask one pause 'PATROL PAUSED' >/dev/null
refused 'swap is full' guest out one
edges_are 1 1 0 || fail "filled: $(tail -n 5 "$T/drumd.log")"
for event in SWAP_LOW SWAP_FULL; do
	wait_for " $event free=.* size=$((16 * MIB))" "$T/events.log" 20 >/dev/null
done
# The guest works on, and wants more than there is, since it touches pages that were zero:
# nothing hangs or is killed.  Whether it gets above its limit is a race, between its writes
# and the dropping of what is zero still; it/ram and it/pinned have ones that must.
resident=$(guest_field one resident)
ctl guest set one --limit "$resident"
guest_ask one resume 'PATROL RESUMED' >/dev/null
guest_walks one 5000
guest_walks one 5000
guest_is one resident -gt $((resident - 16 * MIB)) || fail "it has shrunk to $(guest_field one resident)"
refused 'are free there' guest set one --limit 64M
guest_check one
swap_is "$A" used -gt $((12 * MIB)) || fail "it is not full"

# It empties.
guest_ask one pause 'PATROL PAUSED' >/dev/null
refused 'swap is full' guest out one
edges_from
events=$(lines_of "$T/events.log")
ctl guest set one --limit 192M
ctl guest in one
assert_swap_free
edges_are 0 0 1 || fail "emptied: $(tail -n 5 "$T/drumd.log")"
wait_for ' SWAP_OK free=' "$T/events.log" 20 "$events" >/dev/null
guest_check one
guest_end one
ctl swap off "$A"
assert_drum_lives
drum_stop
it_passed "$round rounds"
