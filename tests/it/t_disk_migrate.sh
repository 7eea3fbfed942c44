#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 55
# A guest is saved into a file while it reads and writes, and started again from there: what its
# disks wrote into its memory meanwhile is in the file, and it goes on as if nothing had been.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk.sh"
disk_init openssl

ROUNDS=${ROUNDS:-2}

disk_drum_start
mkdir "$T/root"
random_file "$T/root/data" $((24 * MIB)) migrate
sum=$(sum_of "$T/root/data")
image_ext4 "$T/fs.img" 96M "$T/root"
truncate -s 32M "$T/raw.img"
disk_add fs "$T/fs.img"
disk_add raw "$T/raw.img"
disk_guest_start r0 256M fs raw
disk_guest_up r0
guest_do r0 20 'mount /dev/vda /mnt'
# All that is read by DMA: a file into the page cache, looked at twice; fio's buffers
start_work() {
	guest_job "$1" sum "watch_sum /mnt/data $sum"
	guest_job "$1" raw "work raw --filename=/dev/vdb --size=4m --numjobs=2 --offset_increment=4m --thread --ioengine=libaio --direct=1 --iodepth=16 --rw=randwrite --bsrange=4k-64k --verify=crc32c --do_verify=1"
	guest_job "$1" cached "work cached --directory=/mnt --size=8m --ioengine=psync --rw=randwrite --bsrange=4k-64k --verify=crc32c --do_verify=1 --fsync=16"
}

saved() {
	local state
	state=$(guest_qmp "$1" query-migrate | "$IT_PYTHON" -ISc 'import json, sys
print(json.load(sys.stdin).get("status", "none"))')
	case $state in
	completed) ;;
	failed | cancelled) fail "migration of $1: $(guest_qmp "$1" query-migrate)" ;;
	*) return 1 ;;
	esac
}

start_work r0
for ((n = 0; n < ROUNDS; n++)); do
	old=r$n new=r$((n + 1))
	had=$(sum_reads $old)
	wait_until 60 sum_has $old $((had + 1)) || fail "$old does not read"
	# without a limit of speed; the last pages may take a second
	guest_qmp $old migrate-set-parameters '{"max-bandwidth": 10000000000, "downtime-limit": 1500}' >/dev/null
	guest_qmp $old migrate "{\"uri\": \"exec:cat >$T/$old.saved\"}" >/dev/null
	wait_until 90 saved $old || fail "$old is not saved: $(guest_qmp $old query-migrate)"
	guest_qmp_state $old postmigrate || fail "$old is not stopped"
	guest_qmp $old quit >/dev/null
	wait_until 20 is_gone "${GUEST_PID[$old]}" || fail "QEMU of $old does not end"
	wait "${GUEST_PID[$old]}" || fail "QEMU of $old ended with $?"
	unset "GUEST_PID[$old]"
	disk_guest_start $new 256M fs raw -- -incoming "exec:cat $T/$old.saved"
	wait_until 60 guest_qmp_state $new running || fail "$new does not run: $(tail -n 3 "$T/$new.log")"
	rm "$T/$old.saved"
	[ "$DISK_PEER" != drum ] || disk_guest_attached $new
	# it goes on where it was, with what it has in its memory and with the disks
	wait_until 90 sum_has $new 2 || fail "$new does not read"
	wait_until 90 fio_has $new raw 1 || fail "$new does not go on with raw"
	wait_until 90 fio_has $new cached 1 || fail "$new does not go on with cached"
done
work_stop "$new" 90 sum raw cached
assert_disks_served fs raw
guest_do "$new" 60 'umount /mnt'
disk_guest_end "$new"
disk_remove fs
disk_remove raw
assert_image_clean "$T/fs.img"
image_dump "$T/fs.img" /data "$T/data"
[ "$(sum_of "$T/data")" = "$sum" ] || fail "/data of the image has changed"
disk_drum_stop
it_passed
