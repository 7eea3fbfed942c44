#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A swap device that has grown: the new blocks are used; one that has not, or has shrunk, or
# has grown by a hole, is refused and goes on as it was.
. "$(dirname "$0")/lib.sh"
it_init
command -v losetup >/dev/null || skip "no losetup"

F=$T/file
SMALL=$((24 * MIB))
BIG=$((224 * MIB))

# size_is DEVICE BYTES
size_is() {
	swap_is "$1" size -eq "$2" || fail "$1 has $(swap_field "$1" size) bytes, not $2"
}

drum_start
swap_make "$F" 24M
swap_make "$T/image" 24M
loop_make L "$T/image" --direct-io=on
GUEST_SMP=1
guest_start one 192M
guest_up one
guest_attach one
mknod "$T/node" b $((0x$(stat -c %t "$L"))) $((0x$(stat -c %T "$L")))
refused 'is not a swap device' swap resize "$F"

for dev in "$F" "$L"; do
	# a block device's first page is left alone; any of its names will do
	file=$F name=$F skipped=0
	[ "$dev" = "$F" ] || file=$T/image name=$T/node skipped=4096
	ctl swap on "$dev"
	size_is "$dev" $((SMALL - skipped))
	ctl guest set one --limit $(($(guest_field one resident) - 16 * MIB))
	refused 'has not grown' swap resize "$dev"
	size_is "$dev" $((SMALL - skipped))

	# By a hole: a file that has one may have no space when it is needed.
	truncate -s $BIG "$file"
	if [ "$dev" = "$F" ]; then
		refused 'is sparse .* fallocate' swap resize "$F"
		size_is "$F" $SMALL
		truncate -s $SMALL "$F"
	fi
	fallocate -l $BIG "$file"
	[ "$dev" = "$F" ] || losetup -c "$L"
	guest_ask one pause 'PATROL PAUSED' >/dev/null
	refused 'swap is full' guest out one
	size_is "$dev" $((SMALL - skipped)) # not before it is asked for
	ctl swap resize "$name"
	size_is "$dev" $((BIG - skipped))
	ctl stat --json | json swap-size | grep -qx $((BIG - skipped)) || fail "the sum is another"

	ctl guest out one
	swap_is "$dev" used -gt $((2 * SMALL)) || fail "the new blocks are not used"
	guest_ask one resume 'PATROL RESUMED' >/dev/null
	guest_check one
	refused 'has not grown' swap resize "$dev"

	# The next pager knows what has grown.
	ctl guest out one || true
	old=$(pager)
	kill -KILL "$old"
	wait_until 20 another_pager "$old" || fail "no pager after $old was killed"
	wait_until 20 guest_is one state = running || fail "the guest was not taken over"
	size_is "$dev" $((BIG - skipped))
	guest_check one

	# It shrinks, below what is in use nowhere.
	ctl guest set one --limit 192M
	ctl guest in one
	truncate -s $((BIG / 2)) "$file"
	[ "$dev" = "$F" ] || losetup -c "$L"
	refused 'has become smaller: give it back its size' swap resize "$dev"
	size_is "$dev" $((BIG - skipped))
	truncate -s 0 "$file"
	[ "$dev" = "$F" ] || losetup -c "$L"
	refused 'has become smaller' swap resize "$dev"
	fallocate -l $BIG "$file"
	[ "$dev" = "$F" ] || losetup -c "$L"
	ctl guest out one
	guest_check one
	ctl guest in one
	# blocks of writes that the killed pager had begun are held for a while
	wait_until 90 swap_is "$dev" used -eq 0 || fail "$(swap_field "$dev" used) bytes still used"
	ctl swap off "$dev"
done
guest_end one
assert_drum_lives
drum_stop
it_passed
