#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 60
# timeout: 900
# The pager is killed again and again while fio in the guest writes and checks, on files and on
# an NBD server: the guest waits a little, no request is lost, none fails, none is done late.
# Now and then the keeper is replaced as well.  KILLS says how often, hundreds at night.  The server
# does some writes up to LATE milliseconds later, also those of a client that has gone.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk.sh"
disk_needs_drum
disk_init nbdkit
[ -e "$DRUM_BUILD/tests/it/writelog.so" ] || skip "no writelog.so (it needs nbdkit-plugin-dev and another configure)"

KILLS=${KILLS:-32}
BURST=8		# then the keeper would have it wait, and one that has just begun has not counted
WORK="--ioengine=libaio --direct=1 --thread --rw=randwrite --verify=crc32c --do_verify=1"

# served: of all disks, or nothing while nobody answers
served() {
	ctl disk list --json 2>/dev/null | "$IT_PYTHON" -ISc 'import json, sys
print(sum(disk["reads"] + disk["writes"] for disk in json.load(sys.stdin)))' 2>/dev/null
}

serves() { # serves REQUESTS: more than those
	local now
	now=$(served) && [ -n "$now" ] && [ "$now" -gt "$1" ]
}

# comes_back OLD: PAGER is the one that serves now
comes_back() {
	wait_until 20 another_pager "$1" || fail "kill $kills: no pager after $1"
	PAGER=$(pager)
	# Every fourth is killed before it has come to serve, or while it takes over.
	[ $((RANDOM % 4)) != 0 ] || return 0
	wait_until 20 serves 0 || fail "kill $kills: pager $PAGER serves no disk"
}

RANDOM=${SEED:-1}
drum_start
image_ext4 "$T/file.img" 64M
truncate -s 32M "$T/raw.img" "$T/nbd.img"
# more threads than one of it do not always survive clients that are killed
nbd_serve slow nbdkit --foreground --threads "${THREADS:-1}" --unix "$T/nbd-slow.sock" \
	"$DRUM_BUILD/tests/it/writelog.so" file="$T/nbd.img" log=/dev/null late="${LATE:-200}"
disk_add file "$T/file.img"
disk_add raw "$T/raw.img"
disk_add slow "$(nbd_uri slow)"
disk_guest_start one 256M file raw slow
disk_guest_up one
guest_do one 20 'mount /dev/vda /mnt'
log=$(lines_of "$T/one.log")
guest_job one there "hammer there /dev/vdc 8"
guest_job one here "hammer here /dev/vdb 8"
guest_job one raw "work raw $WORK --filename=/dev/vdb --offset=8m --size=4m --numjobs=2 --offset_increment=4m --bsrange=4k-64k --iodepth=32"
guest_job one fs "work fs $WORK --directory=/mnt --size=4m --numjobs=2 --bs=4k --iodepth=16"
guest_job one cached "work cached --ioengine=psync --rw=randwrite --verify=crc32c --do_verify=1 --directory=/mnt --size=8m --bsrange=4k-128k --fsync=16 --end_fsync=1"
wait_until 60 serves 100 || fail "nothing is asked of the disks"

IT_POLL=0.01
PAGER=$(pager)
kills=0
while [ $kills -lt "$KILLS" ]; do
	for ((i = 0; i < BURST && kills < KILLS; i++)); do
		kill -KILL "$PAGER"
		kills=$((kills + 1))
		comes_back "$PAGER"
		sleep "0.0$((RANDOM % 10))"
		assert_disks_ok one
	done
	wait_until 20 serves 0 || fail "kill $kills: pager $PAGER serves no disk"
	wait_until 20 ctl daemon reexec >"$T/reexec.log" 2>&1 || fail "kill $kills: $(cat "$T/reexec.log")"
	PAGER=$(pager)
	assert_drum_lives
done
IT_POLL=0.05
runs=()
for job in raw fs cached; do
	runs+=("$(fio_runs one $job)")
	wait_until 120 fio_has one $job $((runs[-1] + 1)) || fail "$job does not go on after $kills kills"
done
work_stop one 120 there here raw fs cached
! tail -n +$((log + 1)) "$T/one.log" | grep -aE '(FIO|HAMMER) .* bad=[1-9]' || fail "fio saw wrong bytes"
guest_do one 60 "fio_once last --filename=/dev/vdc --size=8m --rw=randwrite --bs=16k --ioengine=libaio --direct=1 --randseed=4711 --iodepth=8 --verify=crc32c --do_verify=0"
guest_do one 60 'umount /mnt'
assert_disks_served file raw slow
disk_guest_end one
for disk in file raw slow; do
	disk_remove $disk
done
nbd_end slow
assert_image_clean "$T/file.img"
fio --name=last --filename="$T/nbd.img" --size=8m --rw=randwrite --bs=16k --ioengine=libaio --randseed=4711 --verify=crc32c \
	--verify_only --verify_fatal=1 >"$T/verify.log" 2>&1 || fail "fio of the host: $(tail -n 5 "$T/verify.log")"
disk_drum_stop
it_passed "$kills kills; runs before the end: ${runs[*]}"
