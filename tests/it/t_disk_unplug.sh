#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 25
# A disk is unplugged from a running guest and plugged in again, idle and with I/O under way; the
# guest's other disk works on.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk.sh"
disk_init

WORK="--ioengine=libaio --direct=1 --iodepth=16 --rw=randwrite --bsrange=4k-64k --verify=crc32c --do_verify=1"

disk_drum_start
truncate -s 32M "$T/stays.img" "$T/goes.img"
disk_add stays "$T/stays.img"
disk_add goes "$T/goes.img"
disk_guest_start one 256M stays -- -device pcie-root-port,id=rp,chassis=1,slot=1 \
	-chardev "socket,id=chr-goes,path=$(disk_sock goes),reconnect=1"
disk_guest_up one
guest_job one stays "work stays $WORK --filename=/dev/vda --size=8m"

plug() {
	guest_qmp one device_add "{\"driver\": \"vhost-user-blk-pci\", \"id\": \"goes\", \"chardev\": \"chr-goes\", \"num-queues\": $DISK_QUEUES, \"bus\": \"rp\"}" >/dev/null
	guest_do one 60 'until [ -b /dev/vdb ]; do sleep 0.1; done'
	guest_says one 20 'size /dev/vdb' "^SIZE /dev/vdb $((32 * MIB))" >/dev/null
}

# It is gone when the guest has let go of it; QEMU tells that by refusing its name.
gone() {
	! guest_qmp one qom-get '{"path": "/machine/peripheral/goes", "property": "type"}' >/dev/null 2>&1
}

unplug() {
	guest_qmp one device_del '{"id": "goes"}' >/dev/null
	# a slot is asked again where the guest was not ready for it
	wait_until 60 gone || fail "the disk is not unplugged"
	guest_do one 60 'while [ -b /dev/vdb ]; do sleep 0.1; done'
}

# The connection is that of QEMU's character device, which stays until it is removed.
hang_up() {
	guest_qmp one chardev-remove '{"id": "chr-goes"}' >/dev/null
	[ "$DISK_PEER" != drum ] || wait_until 20 disk_state_is goes idle ||
		fail "QEMU has hung up, and the disk is $(disk_field goes state)"
}

dial() {
	guest_qmp one chardev-add "{\"id\": \"chr-goes\", \"backend\": {\"type\": \"socket\", \"data\": {
		\"addr\": {\"type\": \"unix\", \"data\": {\"path\": \"$(disk_sock goes)\"}},
		\"server\": false, \"reconnect\": 1}}}" >/dev/null
}

plug
guest_do one 60 "fio_once first $WORK --filename=/dev/vdb --size=8m --randseed=11"
# what was written is there when it comes back, on the same connection and on another
unplug
plug
guest_do one 60 "fio_once first $WORK --filename=/dev/vdb --size=8m --randseed=11 --verify_only"
unplug
hang_up
dial
plug
guest_do one 60 "fio_once first $WORK --filename=/dev/vdb --size=8m --randseed=11 --verify_only"
[ "$DISK_PEER" != drum ] || {
	refused 'connected|guest' disk remove goes
	refused 'disk' guest detach "${GUEST_NAME[one]}"
}
# With I/O under way fio gets errors, which is as it should be; the kernel tells of them.
DISK_EXPECTED='I/O error.* (dev )?vdb'
guest_job one torn "fio --name=torn --output=/tmp/torn $WORK --filename=/dev/vdb --size=16m --time_based --runtime=60 >/tmp/torn.err 2>&1; true"
guest_do one 20 'until grep -q " vdb .*[1-9]" /proc/diskstats; do sleep 0.1; done; sleep 0.3'
guest_qmp one device_del '{"id": "goes"}' >/dev/null
wait_until 60 gone || fail "the disk is not unplugged under load"
wait_until 60 guest_job_is one torn || fail "fio does not end without its disk"
# and once more by the same connection
plug
guest_do one 60 "fio_once again $WORK --filename=/dev/vdb --size=8m"
work_stop one 60 stays
[ "$(fio_runs one stays)" -gt 0 ] || fail "the other disk has not worked"
assert_disks_served stays goes
disk_guest_end one
disk_remove stays
disk_remove goes
disk_drum_stop
it_passed
