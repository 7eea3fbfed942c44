#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 75
# timeout: 600
# A guest's file system is on slow storage.  What it reads a second time, after its own caches were
# dropped, comes from swap.  Then the tree of another disk, which nobody caches as it is read, while
# the guest has too little memory: the daemon's passes find what leaves its active windows.  And
# after the pager was killed it is all still there.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk.sh"
. "$(dirname "$0")/cache.sh"
cache_init

TREE_MIB=${TREE_MIB:-48}
LIMIT=96

# reads_again: TOLD: how many reads of the server that took; HIT: bytes from swap
reads_again() {
	local told hit
	told=$(slow_reads fill) hit=$(disk_field fill cache-hit-bytes)
	tree_read one /mnt/fill/tree
	TOLD=$(($(slow_reads fill) - told)) HIT=$(($(disk_field fill cache-hit-bytes) - hit))
}

# served_from_swap WHEN: of the tree nine tenths at least, and so much less was asked of the server
served_from_swap() {
	[ $HIT -ge $((TREE_MIB * MIB * 9 / 10)) ] || fail "$1: only $HIT bytes came from swap: $(cache_says)"
	[ $TOLD -le $((first / 10)) ] || fail "$1: $TOLD reads of the image, and $first before it was cached: $(cache_says)"
}

tree_image "$T/fill.img" "$TREE_MIB" 1
fill_sum=$TREE_SUM
tree_image "$T/pass.img" "$TREE_MIB" 2
pass_sum=$TREE_SUM
drum_start
swap_on $((TREE_MIB * 6))M
for disk in fill pass; do
	slow_serve "$disk" "$T/$disk.img"
	disk_add "$disk" "$(nbd_uri "$disk")"
done
disk_guest_start one 256M fill pass
disk_guest_up one
guest=${GUEST_NAME[one]}
guest_do one 60 'mkdir /mnt/fill /mnt/pass; mount -o noatime /dev/vda /mnt/fill; mount -o noatime /dev/vdb /mnt/pass'

# As it is read.
TREE_SUM=$fill_sum
cache_all_on
reads_again
first=$TOLD first_s=$TREE_SECONDS
[ "$first" -gt $((TREE_MIB * 8)) ] || fail "only $first reads of the image: are they slow?"
cache_is put -gt $((TREE_MIB * MIB * 9 / 10)) || fail "only $(cache_field put) bytes were cached: $(cache_says)"
reads_again
served_from_swap 'the second time'
second=$TOLD second_s=$TREE_SECONDS
cache_is saved-reads -gt $((first / 2)) || fail "only $(cache_field saved-reads) reads of the image were saved"

# What leaves the active windows.  Which pages hold which blocks is noted once there
# is a limit, and not for a while after a pager was killed.
TREE_SUM=$pass_sum
cache_set fill_enable=off min_hysteresis=64
put=$(cache_field put)
ctl guest set "$guest" --limit ${LIMIT}M
wait_shrunk one $((LIMIT * MIB))
tree_read one /mnt/pass/tree
wait_until 60 cache_is put -gt $((put + 4 * MIB)) || fail "only $(($(cache_field put) - put)) bytes were put: $(cache_says)"
cache_is passes -gt 0 || fail "and nobody has taken a pass"
cached=$(disk_field pass cached)
[ "$cached" -gt $((3 * MIB)) ] || fail "only $cached bytes of it are cached: $(cache_says)"
ctl guest set "$guest" --limit 256M
tree_read one /mnt/pass/tree
hit=$(disk_field pass cache-hit-bytes)
[ "$hit" -gt $((cached / 2)) ] || fail "only $hit bytes of it came from swap: $(cache_says)"

# The next pager finds it.
TREE_SUM=$fill_sum
cache_set fill_enable=on
PAGER=$(pager)
kill -KILL "$PAGER"
wait_until 20 another_pager "$PAGER" || fail "no pager after $PAGER"
wait_until 20 disk_state_is fill connected || fail "the disk is $(disk_field fill state)"
[ "$(knob fill_enable)" = True ] || fail "knobs are lost with a pager"
reads_again
served_from_swap 'after another pager'

# What nobody diverts comes from the image.
cache_set read_enable=off
reads_again
[ $HIT = 0 ] || fail "$HIT bytes came from swap, and read_enable is off"
[ $TOLD -gt $((first / 2)) ] || fail "only $TOLD reads of the image, and read_enable is off"
cache_set read_enable=on

assert_sums_right 'at the end'
assert_disks_served fill pass
guest_do one 60 'umount /mnt/fill /mnt/pass'
disk_guest_end one
for disk in fill pass; do
	disk_remove "$disk"
	nbd_end "$disk"
	assert_image_clean "$T/$disk.img"
done
assert_swap_free
disk_drum_stop
it_passed "$first reads in $first_s s, $second in $second_s s; $((cached / MIB)) MiB by passes"
