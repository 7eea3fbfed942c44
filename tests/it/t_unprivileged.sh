#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# QEMU runs as an ordinary user, whom the kernel refuses a userfaultfd.
. "$(dirname "$0")/lib.sh"
it_init
[ "$(cat /proc/sys/vm/unprivileged_userfaultfd)" = 0 ] ||
	skip "vm.unprivileged_userfaultfd is not 0: nothing is refused here"
[ -e /dev/userfaultfd ] || skip "no /dev/userfaultfd"

# What QEMU opens must be his to open.
cp -r "$DRUM_GUEST" "$T/guest"
DRUM_GUEST=$T/guest
GUEST_QMP_DIR=$T/qmp
mkdir "$GUEST_QMP_DIR"
chown 65534:65534 "$GUEST_QMP_DIR"

drum_start
swap_on 512M
GUEST_RUNNER='setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all'
guest_start one 256M
guest_start sandboxed 256M -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
guest_up one
guest_up sandboxed
for name in one sandboxed; do
	pid=${GUEST_PID[$name]}
	[ "$(stat -c %u "/proc/$pid")" = 65534 ] || fail "QEMU does not run as uid 65534"
	before=$(vmm_state "$pid")
	guest_attach $name --limit 64M
	assert_trace "$pid"
	wait_shrunk $name $((64 * MIB))
	guest_patterns $name 5000
	guest_check $name
	ctl guest detach $name
	assert_no_trace "$pid"
	[ "$before" = "$(vmm_state "$pid")" ] || fail "$name: detached, but not as before"
	guest_attach $name --limit 64M
	ctl guest out $name
	guest_walks $name 5000
	guest_end $name
done
assert_swap_free
drum_stop
it_passed
