#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A domain of a real libvirtd: figures, balloon, QEMU and libvirtd stopped and killed.  The
# daemon is a session's, of nobody, with all that is its own in the test's directory: what
# libvirt a host may have is not touched.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/monitor.sh"
it_init

command -v libvirtd >/dev/null || skip "no libvirtd"
command -v virsh >/dev/null || skip "no virsh"
grep -q 'DRUM_HAVE_LIBVIRT 1' "$DRUM_BUILD/config.h" || skip "built without libvirt"

V=$T/virt
SOCKET=$V/run/libvirt/libvirt-sock
# what the monitor is given, by which it finds what the daemon notes of domains too
export XDG_RUNTIME_DIR=$V/run
URI="qemu+unix:///session?socket=$SOCKET"

# words, so that what is started in the background is the daemon and no shell
AS_NOBODY=(setpriv --reuid 65534 --regid 65534 --clear-groups env -i "PATH=$PATH" "HOME=$V"
	"XDG_RUNTIME_DIR=$V/run" "XDG_CONFIG_HOME=$V/config" "XDG_CACHE_HOME=$V/cache"
	"XDG_DATA_HOME=$V/data")

virt() {
	"${AS_NOBODY[@]}" virsh -q -c "$URI" "$@"
}

daemon_start() {
	"${AS_NOBODY[@]}" libvirtd >>"$T/libvirtd.log" 2>&1 &
	IT_PIDS[libvirtd]=$!
	wait_until 20 daemon_ready || fail "libvirtd does not answer"
}

daemon_ready() {
	! is_gone "${IT_PIDS[libvirtd]}" || fail "libvirtd ended"
	[ -S "$SOCKET" ] && virt uri >/dev/null 2>&1
}

daemon_kill() {
	{
		kill -KILL "${IT_PIDS[libvirtd]}"
		wait "${IT_PIDS[libvirtd]}" || true
	} 2>/dev/null
	unset 'IT_PIDS[libvirtd]'
}

domain_start() {
	virt create "$V/one.xml" >/dev/null
	IT_PIDS[qemu]=$(cat "$V/run/libvirt/qemu/run/one.pid")
	wait_for 'PATROL READY' "$T/one.log" 60 >/dev/null
}

install -d -o 65534 -g 65534 "$V" "$V/run" "$V/config" "$V/config/libvirt"
cp "$DRUM_GUEST/vmlinuz" "$DRUM_GUEST/initramfs.gz" "$V"
: >"$T/one.log"
chown 65534 "$T/one.log" "$V"/*
# else it wants a virtlogd
echo 'stdio_handler = "file"' >"$V/config/libvirt/qemu.conf"
cat >"$V/one.xml" <<END
<domain type='qemu'>
  <name>one</name>
  <metadata><x:memballoon xmlns:x='test' autodeflate='off'/></metadata>
  <memory unit='MiB'>256</memory>
  <memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>
  <vcpu>2</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>$V/vmlinuz</kernel>
    <initrd>$V/initramfs.gz</initrd>
    <cmdline>console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off no_timer_check patrol=--mib=16</cmdline>
  </os>
  <features><acpi/></features>
  <devices>
    <emulator>$(command -v qemu-system-x86_64)</emulator>
    <controller type='usb' model='none'/>
    <serial type='file'><source path='$T/one.log' append='on'/></serial>
    <memballoon model='virtio' autodeflate='on' freePageReporting='on'/>
  </devices>
</domain>
END
daemon_start
domain_start
monitor_start virt "$URI" one
monitor_works "${IT_PIDS[qemu]}" 256 176
monitor_flags

# It ends at once, whatever its thread hangs in.
from=$(lines_of "$T/monitor.log")
kill -STOP "${IT_PIDS[libvirtd]}"
monitor_shows '^LOST .*does not answer' 12 "$from"
monitor_end
kill -CONT "${IT_PIDS[libvirtd]}"
monitor_start virt "$URI" one
monitor_shows '^UP actual=[1-9]' 10 0

from=$(lines_of "$T/monitor.log")
daemon_kill
monitor_shows '^LOST' 5 "$from"
daemon_start
monitor_shows '^UP actual=[1-9]' 10 "$from"

from=$(lines_of "$T/monitor.log")
kill -KILL "${IT_PIDS[qemu]}"
monitor_shows '^LOST .*(Domain not found|not running|shut off)' 5 "$from"
unset 'IT_PIDS[qemu]'
monitor_end
it_passed
