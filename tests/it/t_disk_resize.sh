#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 20
# An image grows under a running guest: it sees the new size, and all of it can be used.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk.sh"
disk_init

WORK="--ioengine=libaio --direct=1 --iodepth=16 --rw=randwrite --bsrange=4k-64k --verify=crc32c --do_verify=1"

disk_drum_start
truncate -s 16M "$T/disk.img"
disk_add disk "$T/disk.img"
disk_guest_start one 256M disk
disk_guest_up one
guest_says one 20 'size /dev/vda' "^SIZE /dev/vda $((16 * MIB))" >/dev/null
guest_job one low "work low $WORK --filename=/dev/vda --size=8m"

# What the storage daemon grows it grows itself.
resize() {
	case $DISK_PEER in
	drum)
		truncate -s "$1" "$T/disk.img"
		ctl disk resize disk
		[ "$(disk_field disk size)" = "$1" ] || fail "the size is $(disk_field disk size), not $1"
		;;
	qsd) "$IT_PYTHON" "$IT_SRC/qmp" "$T/qsd-disk.qmp" block_resize "{\"node-name\": \"disk\", \"size\": $1}" >/dev/null ;;
	esac
}

for size in $((24 * MIB)) $((24 * MIB + 4096)) $((48 * MIB)); do
	resize "$size"
	guest_do one 60 "until [ \$(blockdev --getsize64 /dev/vda) = $size ]; do sleep 0.1; done"
	# up to its last block
	guest_do one 60 "fio_once end $WORK --filename=/dev/vda --offset=$((size - 4 * MIB)) --size=4m --bs=4k"
done
had=$(fio_runs one low)
wait_until 60 fio_has one low $((had + 1)) || fail "what was under way does not go on"
[ "$DISK_PEER" != drum ] || {
	refused 'grown|large|small' disk resize disk
	truncate -s $((60 * MIB)) "$T/disk.img"
	truncate -s $((48 * MIB)) "$T/disk.img"
	refused 'grown|large|small' disk resize disk
}
work_stop one 60 low
# the next start of the guest sees it too
from=$(lines_of "$T/one.log")
guest_job one again 'reboot -f'
disk_guest_up one 90 "$from"
guest_says one 20 'size /dev/vda' "^SIZE /dev/vda $((48 * MIB))" >/dev/null
disk_guest_end one
disk_remove disk
[ "$(stat -c %s "$T/disk.img")" = $((48 * MIB)) ] || fail "the image has $(stat -c %s "$T/disk.img") bytes"
disk_drum_stop
it_passed
