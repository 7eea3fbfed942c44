#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 60
# A stock QEMU whose disks are cache=none, with fio in its guest that checks all it reads,
# is paged out again and again.
# timeout: 600
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/faulty.sh"
command -v fio >/dev/null || skip "no fio"
it_init

DISK_MIB=8
RUNS=1
ROUNDS=200

# What the guest's first process is: fio on both disks, then the usual one.
cat >"$T/init-fio" <<'END'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mkdir -p /tmp
work() {
	local disk=$1 n=0
	until [ -b "/dev/$disk" ]; do
		/bin/busybox sleep 1
	done
	while /bin/fio --name="$disk" --filename="/dev/$disk" --direct=1 --ioengine=libaio \
		--iodepth=8 --numjobs=2 --thread --eta=never --size=2m --offset_increment=2m \
		--bsrange=4k-64k --rw=randwrite --verify=crc32c --verify_fatal=1 --do_verify=1 \
		--randseed=$n --output="/tmp/$disk" </dev/null; do
		n=$((n + 1))
		echo "FIO OK $disk $n"
	done
	echo "FIO FAILED $disk $n"
	/bin/busybox tail -n 20 "/tmp/$disk" | /bin/busybox sed 's/^/FIO: /'
}
work vda >/dev/ttyS0 2>&1 &
work vdb >/dev/ttyS0 2>&1 &
exec /init
END

fio_runs() { # fio_runs DISK: that ended well
	grep -acE "^FIO OK $1 " "$T/one.log" || true
}

assert_fio() {
	! grep -aE -m 1 'FIO FAILED' "$T/one.log" || fail "fio has read what it did not write"
	! is_gone "${GUEST_PID[one]}" || fail "QEMU is gone"
}

drum_start
! grep -a 'no pin check: the BPF program does not fit' "$T/drumd.log" || fail "the pin check does not work"
! grep -a 'no pin check' "$T/drumd.log" || skip "no pin check on this kernel"
swap_on 1G
initrd_with "$T/init-fio" "$(command -v fio)"
# Late, so that most of what is read into is zapped meanwhile.
for disk in a b; do
	nbdkit_start $disk --filter=delay memory size=${DISK_MIB}M delay-read=10ms
	faulty_loop $disk
done
PATROL=--mib=96 GUEST_APPEND=rdinit=/init-fio guest_start one 512M -initrd "$T/initrd" \
	-drive "file=$(faulty_dev a),if=virtio,format=raw,cache=none,aio=native" \
	-drive "file=$(faulty_dev b),if=virtio,format=raw,cache=none,aio=io_uring"
guest_up one 120
direct=0
for fd in "/proc/${GUEST_PID[one]}/fdinfo/"*; do
	flags=$(sed -n 's/^flags:[[:space:]]*//p' "$fd") || true
	[ $((flags & 040000)) = 0 ] || direct=$((direct + 1))
done
[ $direct -ge 2 ] || fail "QEMU has $direct files open O_DIRECT"

guest_attach one --limit 160M
most=0 rounds=0 end=$(($(now_ms) + 3000 * IT_SCALE))
until [ $rounds -ge $ROUNDS ] && [ "$(fio_runs vda)" -ge $RUNS ] && [ "$(fio_runs vdb)" -ge $RUNS ]; do
	ctl guest out one 2>>"$T/warnings.log" &
	out=$!
	# what I/O is done on is waited for: it is seen while that goes on
	while :; do
		ended=
		is_gone "$out" && ended=1
		pinned=$(guest_field one pinned)
		[ "$pinned" -le "$most" ] || most=$pinned
		[ -z "$ended" ] || break
	done
	wait "$out"
	rounds=$((rounds + 1))
	assert_fio
	# out all the time, fio gets on the slower the less else there is for the CPUs to do
	sleep 0.05
	[ "$(now_ms)" -lt $end ] || fail "fio made $(fio_runs vda) and $(fio_runs vdb) of $RUNS runs"
done
runs=$(($(fio_runs vda) + $(fio_runs vdb)))
[ "$most" -gt 0 ] || fail "nothing was ever pinned"
guest_walks one 5000
guest_check one
assert_fio
ctl guest detach one
assert_no_trace "${GUEST_PID[one]}"
guest_check one
assert_fio
guest_end one
assert_swap_free
assert_drum_lives
drum_stop
it_passed "$rounds times out, $runs runs of fio, at most $((most / 4096)) pages pinned"
