#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# As no_alloc, for what a worker does of a disk: no request has it ask for memory, whatever its
# kind, its pages' whereabouts or its image.  Messages may, as commands do: a VMM waits for these;
# and the first limit, after which it is noted which pages are copies of blocks.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk.sh"
it_init
command -v nbdkit >/dev/null || skip "no nbdkit"
plugin=$DRUM_BUILD/tests/it/count_alloc.so
[ -e "$plugin" ] || fail "no $plugin; build it first"
! grep -aq libasan <(ldd "$DRUM_BUILD/drum-pager") || skip "the sanitizer wants to be loaded first"
FRONT=$DRUM_BUILD/tests/it/vufront

count_on() {
	printf '\1' | dd of="$T/count" conv=notrunc status=none
}

# => how often, since count_on
counted() {
	od -An -t u8 -j 8 -N 8 "$T/count" | tr -d ' '
}

callers() {
	od -An -v -t x8 -j 16 -N 512 -w8 "$T/count" | grep -v ' 0000000000000000' | sort | uniq -c
}

assert_none() {
	[ "$(counted)" = 0 ] || fail "$1: workers asked for memory $(counted) times, first at" \
		"$(callers | tr '\n' ';')"
}

requests() {
	grep -o '^front at requests=[0-9]*' "$T/$1.log" | tail -n 1 | cut -d= -f2
}

has_more() {
	[ "$(requests "$1")" -gt "$2" ]
}

# works NAME...: these front ends have some more answered
works() {
	local name from
	for name; do
		from=$(requests "$name")
		wait_until 30 has_more "$name" $((from + 300)) || fail "$name does nothing: $(tail -n 1 "$T/$name.log")"
	done
}

truncate -s 4096 "$T/count"
export COUNT_ALLOC=$T/count
LD_PRELOAD=$plugin drum_start
unset COUNT_ALLOC
grep -aq count_alloc.so "/proc/$(pager)/maps" || fail "the pager is not looked at"
swap_on 512M
for disk in file nbd; do
	truncate -s 64M "$T/$disk.img"
done
nbd_serve nbd nbdkit --threads 1 --foreground --unix "$T/nbd-nbd.sock" file "$T/nbd.img"
disk_add file "$T/file.img"
disk_add nbd "$(nbd_uri nbd)"
for disk in file nbd; do
	: >"$T/$disk.log"
	"$FRONT" verify "$(disk_sock $disk)" --queues 2 --region $((16 * MIB)) >"$T/$disk.log" 2>&1 &
	IT_PIDS[$disk]=$!
	wait_for '^front at requests=[1-9]' "$T/$disk.log" 30 >/dev/null
done
for disk in file nbd; do
	ctl guest set $disk --limit 20M
done
works file nbd
count_on
works file nbd
assert_none 'requests'
for disk in file nbd; do
	ctl guest out $disk
	disk_is $disk writes-avoided -gt 0 || fail "no page of $disk left without a write"
done
works file nbd
assert_none 'requests for pages that are in the image'
for disk in file nbd; do
	ctl guest set $disk --limit 64M
done
ctl swap off "$T/swap"
works file nbd
ctl swap on "$T/swap"
for disk in file nbd; do
	ctl guest set $disk --limit 16M
done
works file nbd
assert_none 'all'
for disk in file nbd; do
	kill -TERM "${IT_PIDS[$disk]}"
	wait "${IT_PIDS[$disk]}" || fail "$disk: $(tail -n 2 "$T/$disk.log")"
	unset "IT_PIDS[$disk]"
	disk_remove $disk
done
nbd_end nbd
drum_stop
it_passed
