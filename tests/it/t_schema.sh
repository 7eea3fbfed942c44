#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What a real drumd answers and tells, with a guest that is paged, is as query-qmp-schema says;
# and the examples of drum-qmp(7), taken out of the manual, do what they are said to do.

. "$(dirname "$0")/lib.sh"
it_init

# example NAME: into $T/NAME
example() {
	sed -n "/^\.\\\\\" example: $1\$/,/^\.Ed/p" "$DRUM_BUILD/man/drum-qmp.7" |
		sed -e '/^\.\\"/d; /^\.[BE]d/d' -e 's/\\&//; s/\\e/\\/g' >"$T/$1"
	[ "$(lines_of "$T/$1")" -gt 15 ] || fail "drum-qmp(7) has no example $1"
}

check_schema() {
	"$IT_PYTHON" -IS "$IT_SRC/schema" "$T/run/qmp.sock" web1 "$@" >"$T/schema.log" 2>&1 ||
		fail "$(cat "$T/schema.log")"
	say "$(cat "$T/schema.log")"
}

drum_start
PATROL=--share=50 guest_start web1 256M
PID=${GUEST_PID[web1]}
truncate -s 64M "$T/image"
swap_make "$T/swap" 512M
swap_make "$T/other" 16M
swap_make "$T/dump" 1M

# ---- nothing is there, then one of each; the guest boots meanwhile ----

check_schema reads host-set '{"budget": 1073741824}' \
	swap-on "{\"path\": \"$T/swap\"}" swap-on "{\"path\": \"$T/other\", \"priority\": 9}" \
	disk-add "{\"name\": \"d\", \"image\": \"$T/image\"}" dump-set "{\"path\": \"$T/dump\"}" \
	paging-set '{"depth": 4}' swapcache-set '{"maxswappct": 50}' reads

# ---- the manual's examples ----

has_ram() {
	[ -n "$(ram_ranges "$PID")" ]
}

wait_until 20 has_ram || fail "QEMU maps no RAM"
example place.py
# another name than in the transcript: of events about one guest the second might be held back
python3 "$T/place.py" "$T/run/qmp.sock" first $((256 * MIB)) "$PID" >"$T/placed"
grep -qx "first running $((256 * MIB))" "$T/placed" || fail "place.py: $(cat "$T/placed")"
grep -q '^GUEST_ADMITTED .*first' "$T/placed" || fail "place.py: $(cat "$T/placed")"
! python3 "$T/place.py" "$T/run/qmp.sock" web2 $((8192 * MIB)) "$PID" >"$T/placed" 2>&1 ||
	fail "there is no room, and place.py says $(cat "$T/placed")"
grep -q '^try another host: ' "$T/placed" || fail "place.py: $(cat "$T/placed")"
ctl guest detach first

example admit.qmp
"$IT_PYTHON" -IS "$IT_SRC/transcript" "$T/run/qmp.sock" "$T/admit.qmp" "$PID"
guest_up web1

# ---- with a guest ----

check_schema guest-set "{\"name\": \"web1\", \"limit\": $((64 * MIB))}" reads \
	guest-out '{"name": "web1"}' reads guest-set '{"name": "web1", "limit": 0}' guest-in '{"name": "web1"}' \
	disk-set '{"name": "d", "swapcache": "off"}' disk-remove '{"name": "d"}' \
	swap-set "{\"path\": \"$T/other\", \"priority\": 1}" swap-off "{\"path\": \"$T/other\"}" \
	host-set '{"budget": 536870912}' guest-detach '{"name": "web1"}' reads
grep -q ' events:.* GUEST_RELEASED.* SWAP_DEVICE_REMOVED' "$T/schema.log" ||
	fail "events are missing: $(cat "$T/schema.log")"
assert_no_bad web1
guest_kill web1
drum_stop
it_passed
