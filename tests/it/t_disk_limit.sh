#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 80
# timeout: 600
# A guest has a third of its RAM and a disk: what its requests name is on swap, again and again,
# and all that fio and patrol read is right.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk.sh"
disk_needs_drum
disk_init openssl

ROUNDS=${ROUNDS:-15}

drum_start
swap_on 512M
mkdir "$T/root"
random_file "$T/root/data" $((40 * MIB)) limit
sum=$(sum_of "$T/root/data")
image_ext4 "$T/fs.img" 112M "$T/root"
truncate -s 32M "$T/raw.img"
disk_add fs "$T/fs.img"
disk_add raw "$T/raw.img"
DISK_PATROL=--mib=48 disk_guest_start one 224M fs raw
disk_guest_up one
guest_up one
guest=${GUEST_NAME[one]}
guest_do one 20 'mount /dev/vda /mnt'
ctl guest set "$guest" --limit 72M
wait_shrunk one $((72 * MIB))
# what it has stamped stays where it is; fio wants the CPUs
guest_ask one 'patrol pause' 'PATROL PAUSED' >/dev/null

guest_job one raw "work raw --filename=/dev/vdb --size=8m --numjobs=2 --offset_increment=8m --thread --ioengine=libaio --direct=1 --iodepth=32 --rw=randwrite --bsrange=4k-128k --verify=crc32c --verify_backlog=32 --do_verify=1"
guest_job one cached "work cached --directory=/mnt --size=32m --ioengine=psync --rw=randwrite --bs=64k --io_size=12m --verify=crc32c --do_verify=1"
guest_job one sum "watch_sum /mnt/data $sum"
end=$(($(now_ms) + 3000 * IT_SCALE * 10))
rounds=0
# Now and then all of it is out, what requests name too.
until [ $rounds -ge "$ROUNDS" ] && fio_has one raw 2 && fio_has one cached 1 && sum_has one 2; do
	ctl guest out "$guest" 2>>"$T/warnings.log"
	rounds=$((rounds + 1))
	assert_disks_ok one
	[ "$(now_ms)" -lt $end ] || fail "only $(fio_runs one raw), $(fio_runs one cached), $(sum_reads one) runs"
	sleep 1.5
done
work_stop one 120 raw cached sum
# and left to the policy
guest_job one sum "watch_sum /mnt/data $sum"
had=$(sum_reads one)
wait_until 120 sum_has one $((had + 1)) || fail "the file is not read"
work_stop one 120 sum
wait_shrunk one $((72 * MIB))
guest_is "$guest" swapped -gt $((16 * MIB)) || fail "only $(guest_field "$guest" swapped) bytes are out"
guest_ask one 'patrol check' 'PATROL CHECKED.* bad=0' 120 >/dev/null
assert_disks_served fs raw
guest_do one 60 'umount /mnt'
disk_guest_end one
assert_image_clean "$T/fs.img"
image_dump "$T/fs.img" /data "$T/data"
[ "$(sum_of "$T/data")" = "$sum" ] || fail "/data of the image has changed"
assert_swap_free
disk_remove fs
disk_remove raw
disk_drum_stop
it_passed "$rounds times out"
