#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The limits of a swap device: I/O in flight and bandwidth, from the beginning and changed
# under load, which keep nobody from what is there; and discard.
. "$(dirname "$0")/lib.sh"
it_init
command -v losetup >/dev/null || skip "no losetup"

LIMIT=$((64 * MIB))

# watch_inflight MOST VISITS: what the daemon says and what the kernel counts, the whole time
watch_inflight() {
	local end now queue r w
	queue=/sys/block/${L##*/}/inflight
	end=$(($(patrol_field one checked) + $2))
	seen=0
	while patrol_is one checked -lt "$end"; do
		for _ in 1 2 3 4 5 6 7 8 9 10; do
			read -r r w <"$queue"
			[ $((r + w)) -le "$seen" ] || seen=$((r + w))
		done
		now=$(swap_field "$L" inflight)
		[ "$now" -le "$seen" ] || seen=$now
	done
	[ "$seen" -le "$1" ] || fail "$seen I/Os were in flight, $1 may"
	assert_no_bad one
}

# watch_bandwidth BYTES VISITS: what was written while patrol made its visits
watch_bandwidth() {
	local from to began most
	began=$(now_ms)
	from=$(swap_field "$L" write-bytes)
	guest_walks one "$2" 120
	to=$(swap_field "$L" write-bytes)
	# /proc/uptime has hundredths; what was let through before may end now
	most=$(($1 * ($(now_ms) - began + 50) / 1000 + BURST))
	written=$((to - from))
	[ $written -le $most ] || fail "$written bytes were written, $most may"
}

image_blocks() {
	echo $(($(stat -c '%b * 512' "$T/image")))
}

image_is() {
	test "$(image_blocks)" "$1" "$2"
}

# 20 ms, and what depth and cluster let be in flight at a time
BURST=$((8 * 256 * 1024 + MIB / 4))

drum_start
swap_make "$T/file" 1M
refused "$T/file is a device of kind file, which cannot discard" swap on "$T/file" --discard
! swap_listed "$T/file" || fail "refused and on"
ctl swap on "$T/file"
refused "$T/file is a device of kind file, which cannot discard" swap set "$T/file" --discard
ctl swap off "$T/file"

truncate -s 256M "$T/image"
loop_make L "$T/image" --direct-io=on
# without discard, which the kernel counts as a write
ctl swap on "$L" --max-inflight 1
GUEST_SMP=1
guest_start one 192M
guest_up one
guest_attach one --limit $LIMIT
wait_shrunk one $LIMIT
watch_inflight 1 2000
swap_is "$L" waited -gt 0 || fail "nothing had to wait"
ctl swap set "$L" --max-inflight 2
watch_inflight 3 1000 # one of before may be the third
ctl guest set one --limit 192M
ctl swap set "$L" --max-inflight 0
ctl swap off "$L"
ctl swap on "$L" --discard --max-bandwidth 4M
[ "$(swap_field "$L" discard max-inflight max-bandwidth | paste -sd ' ')" = "True 0 $((4 * MIB))" ] ||
	fail "not as asked for: $(swap_field "$L" discard max-inflight max-bandwidth)"

# Bandwidth, while the guest brings in what it needs.
guest_ask one 'pattern random' 'PATROL PATTERN random' >/dev/null
ctl guest set one --limit $LIMIT
watch_bandwidth $((4 * MIB)) 1000
slow=$written
ctl swap set "$L" --max-bandwidth 1M
in=$(guest_field one faults-swapped)
watch_bandwidth "$MIB" 300
wait_until 60 guest_is one faults-swapped -gt "$in" || fail "it has read nothing"
guest_ask one 'pattern rotate' 'PATROL PATTERN rotate' >/dev/null
# Without it what waited goes on, and the guest comes back under its limit.
ctl swap set "$L" --max-bandwidth 0
wait_shrunk one $LIMIT
guest_walks one 3000
guest_check one

# What is free is given back to the image's file system, and nothing else.
ctl guest out one
ctl guest set one --limit 192M
guest_walks one 3000
guest_check one
held=$(swap_field "$L" used)
[ "$(image_blocks)" -ge "$held" ] || fail "the image has $(image_blocks) bytes, $held are in use"
guest_end one
assert_swap_free
wait_until 30 image_is -le $((4 * MIB)) || fail "the image still has $(image_blocks) bytes"
swap_is "$L" discarded -ge "$((held / 2))" || fail "only $(swap_field "$L" discarded) bytes discarded"
ctl swap set "$L" --no-discard
swap_is "$L" discard = False || fail "it still discards"
ctl swap off "$L"
drum_stop
it_passed "$slow bytes at 4M"
