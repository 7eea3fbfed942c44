#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 25
# A stock QEMU, told as libvirt tells it, starts from a disk: its root file system is there.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk.sh"
disk_init openssl

disk_drum_start
mkdir "$T/root"
cp -a "$DRUM_GUEST/disk-root/." "$T/root"
random_file "$T/root/data" $((8 * MIB)) boot
sum=$(sum_of "$T/root/data")
image_ext4 "$T/root.img" 64M "$T/root"
disk_add root "$T/root.img"

: >"$T/one.log"
mkfifo "$T/one.in"
qemu-system-x86_64 -name guest=one,debug-threads=on -S \
	-machine pc-q35-7.2,usb=off,dump-guest-core=off,memory-backend=pc.ram -accel tcg -cpu qemu64 \
	-m 256 -object '{"qom-type":"memory-backend-memfd","id":"pc.ram","share":true,"x-use-canonical-path-for-ramblock-id":false,"size":268435456}' \
	-overcommit mem-lock=off -smp 2,sockets=2,cores=1,threads=1 -uuid 5ccb4c9e-6a4b-4b0c-9d5e-7e0d9f3c2d11 \
	-display none -no-user-config -nodefaults -rtc base=utc -no-shutdown -boot strict=on \
	-chardev "socket,id=charmonitor,path=$T/one.qmp,server=on,wait=off" -mon chardev=charmonitor,id=monitor,mode=control \
	-device '{"driver":"pcie-root-port","port":16,"chassis":1,"id":"pci.1","bus":"pcie.0","multifunction":true,"addr":"0x2"}' \
	-chardev "socket,id=chr-vu-virtio-disk0,path=$(disk_sock root),reconnect=1" \
	-device '{"driver":"vhost-user-blk-pci","bus":"pci.1","addr":"0x0","chardev":"chr-vu-virtio-disk0","num-queues":2,"id":"virtio-disk0","bootindex":1}' \
	-chardev stdio,id=charserial0,signal=off -device '{"driver":"isa-serial","chardev":"charserial0","id":"serial0","index":0}' \
	-kernel "$DRUM_GUEST/vmlinuz" -initrd "$DRUM_GUEST/initramfs-disk.gz" \
	-append "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off no_timer_check rdinit=/disk-init diskroot=/dev/vda" \
	<>"$T/one.in" >>"$T/one.log" 2>&1 &
GUEST_PID[one]=$!
wait_until 20 test -S "$T/one.qmp" || fail "QEMU does not start: $(cat "$T/one.log")"
guest_qmp one cont >/dev/null
disk_guest_up one 90
guest_says one 20 'cat /proc/mounts' '^/dev/vda / ext4 ' >/dev/null
got=$(guest_says one 60 'sha256sum /data' ' /data$')
[ "${got%% *}" = "$sum" ] || fail "/data is $got, not $sum"

# What it writes is there, whoever looks.
guest_do one 60 'cp /data /copy; gzip -c /bin/fio >/fio.gz; mkdir -p /a/b/c; mv /copy /a/b/c/'
guest_says one 20 'sync; sha256sum /fio.gz' ' /fio.gz$' >"$T/fio.sum"
disk_served root reads
disk_served root writes
disk_served root flushes
guest_do one 20 'mount -o remount,ro /'
# with -no-shutdown it stays until it is told
guest_job one off 'poweroff -f'
wait_until 60 guest_qmp_state one shutdown || fail "the guest does not power off"
assert_disks_ok one
guest_qmp one quit >/dev/null
wait "${GUEST_PID[one]}" || fail "QEMU ended with $?"
unset 'GUEST_PID[one]'
disk_remove root
assert_image_clean "$T/root.img"
image_dump "$T/root.img" /a/b/c/copy "$T/copy"
[ "$(sum_of "$T/copy")" = "$sum" ] || fail "another /a/b/c/copy on the image"
image_dump "$T/root.img" /fio.gz "$T/fio.gz"
[ "$(sum_of "$T/fio.gz")" = "$(cut -d' ' -f1 "$T/fio.sum")" ] || fail "another /fio.gz on the image"
disk_drum_stop
it_passed
