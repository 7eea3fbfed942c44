#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The pin check on the test guests' kernel, which is another than this machine's.
. "$(dirname "$0")/lib.sh"
it_init

cat >"$T/init-probe" <<'END'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
exec </dev/ttyS0 >/dev/ttyS0 2>&1
/bin/busybox ls /sys/kernel/btf/vmlinux || echo "PINPROBE SKIPPED: no BTF"
/bin/pinprobe
/bin/busybox poweroff -f
END
initrd_with "$T/init-probe" "$DRUM_BUILD/tests/it/pinprobe"
GUEST_APPEND=rdinit=/init-probe guest_start one 512M -initrd "$T/initrd"
said=$(wait_for '^PINPROBE' "$T/one.log" 120)
case $said in
PINPROBE\ OK*) ;;
PINPROBE\ SKIPPED* | *'built without BPF'*) skip "${said#PINPROBE }" ;;
*) fail "$said" ;;
esac
wait_until 60 is_gone "${GUEST_PID[one]}" || fail "the guest does not power off"
it_passed "${said#PINPROBE OK }"
