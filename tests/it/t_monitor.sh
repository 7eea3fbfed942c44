#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The monitor of a real QEMU: figures of its guest, its balloon, QEMU stopped and killed.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/monitor.sh"
it_init

PATROL=--mib=16
# Its threads have names by which they are known.
guest_start one 256M -name one,debug-threads=on \
	-device virtio-balloon-pci,deflate-on-oom=on,free-page-reporting=on
guest_up one
monitor_start qmp "$T/one.qmp"
monitor_works "${GUEST_PID[one]}" 256 176
monitor_flags

from=$(lines_of "$T/monitor.log")
guest_kill one
monitor_shows '^LOST' 5 "$from"
# another one at the same socket, without a balloon, and with an id that it has not
guest_start one 256M -device virtio-rng-pci,id=rng
monitor_shows '^UP actual=0 running=1 deflate=0 reports=0 .*told=0' 20 "$from"
monitor_end
monitor_start qmp "$T/one.qmp" gone
monitor_shows '^UP actual=0 ' 20 0
monitor_end
guest_kill one
it_passed
