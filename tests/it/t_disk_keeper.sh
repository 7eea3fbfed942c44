#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 25
# timeout: 600
# Disks of a guest at work over all that can happen to the keeper: drumd becomes another drumd, keeper
# and pager are killed at once under a service manager that keeps descriptors (a stand-in for
# systemd), and without one, where QEMU connects anew.  fio in the guest checks what it reads.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk.sh"
disk_needs_drum
disk_init

WORK="--ioengine=libaio --direct=1 --thread --rw=randwrite --verify=crc32c --do_verify=1"

served() {
	ctl disk list --json 2>/dev/null | "$IT_PYTHON" -ISc 'import json, sys
print(sum(disk["reads"] + disk["writes"] for disk in json.load(sys.stdin)))' 2>/dev/null
}

serves() { # serves REQUESTS: more than those
	local now
	now=$(served) && [ -n "$now" ] && [ "$now" -gt "$1" ]
}

# both at once, so that nobody starts anybody
drum_killed() {
	local old
	old=$(pager)
	kill -KILL "$DRUMD_PID" "$old"
	wait "$DRUMD_PID" 2>/dev/null || true
	wait_until 20 is_gone "$old" || fail "$1: the pager survives"
	drum_start
	wait_until 30 serves 0 || fail "$1: no disk is served: $(ctl disk list)"
	assert_disks_ok one
}

mkdir -p "$T/store"
"$IT_PYTHON" "$IT_SRC/fdstore" serve "$T/store" >"$T/store.log" 2>&1 &
IT_PIDS[store]=$!
wait_for SERVING "$T/store.log" 10 >/dev/null
DRUM_RUNNER="$IT_PYTHON $IT_SRC/fdstore run $T/store"
drum_start
image_ext4 "$T/file.img" 64M
truncate -s 32M "$T/raw.img"
events_start
disk_add file "$T/file.img"
disk_add raw "$T/raw.img"
disk_guest_start one 256M file raw
disk_guest_up one
for disk in file raw; do
	wait_for "DISK_CONNECTED disk=$disk guest=${GUEST_NAME[one]}\$" "$T/events.log" 20 >/dev/null
done
guest_do one 20 'mount /dev/vda /mnt'
log=$(lines_of "$T/one.log")
guest_job one raw "work raw $WORK --filename=/dev/vdb --size=4m --numjobs=2 --offset_increment=4m --bsrange=4k-64k --iodepth=32"
guest_job one fs "work fs $WORK --directory=/mnt --size=4m --numjobs=2 --bs=4k --iodepth=16"
wait_until 60 serves 100 || fail "nothing is asked of the disks"

# The guest cannot do without them.
refused 'disk .* is served to guest' guest detach "${GUEST_NAME[one]}"
refused 'in use by process' disk remove file
kill -TERM "$DRUMD_PID"
wait_for 'not stopping: disk .* is served to guest' "$T/drumd.log" 10 >/dev/null

for n in 1 2 3 4; do
	ctl daemon reexec >/dev/null
	wait_until 20 serves 0 || fail "reexec $n: no disk is served"
	assert_disks_ok one
done
for n in 1 2 3 4 5 6; do
	drum_killed "death $n with a store"
done
! grep -a 'is disconnected' "$T/drumd.log" || fail "a front end was disconnected"

# The store goes, with all that it has: the connections end with the keeper.
DRUM_RUNNER=
DISK_EXPECTED='qemu-system-x86_64: '
kill -KILL "${IT_PIDS[store]}"
wait "${IT_PIDS[store]}" 2>/dev/null || true
unset 'IT_PIDS[store]'
for n in 1 2 3; do
	drum_killed "death $n without a store"
done
raw=$(fio_runs one raw)
fs=$(fio_runs one fs)
wait_until 120 fio_has one raw $((raw + 1)) || fail "raw does not go on"
wait_until 120 fio_has one fs $((fs + 1)) || fail "fs does not go on"
work_stop one 120 raw fs
! tail -n +$((log + 1)) "$T/one.log" | grep -aE 'FIO .* bad=[1-9]' || fail "fio saw wrong bytes"
guest_do one 60 'umount /mnt'
disk_guest_end one
disk_remove file
disk_remove raw
assert_image_clean "$T/file.img"
! compgen -G "$T/run/disk-*" || fail "that is left in the run directory"
disk_drum_stop
it_passed
