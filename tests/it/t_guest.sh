#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The guest and the tools of the tests alone, without Drum: what the others rely on.
. "$(dirname "$0")/lib.sh"
it_init

"$DRUM_GUEST/patrol" --self-test >"$T/self-test.log" || fail "patrol does not see damage"
[ "$(grep -c 'PATROL BAD' "$T/self-test.log")" = 7 ] || fail "patrol shows not each damage"

PATROL=--share=80,--mail=256,--zeros=0
guest_start one 256M -device virtio-balloon-pci,id=balloon
pid=${GUEST_PID[one]}
guest_up one
assert_no_trace "$pid"
[ "$(ram_blocks "$pid")" -gt $((128 * MIB)) ] || fail "patrol fills no memory"
before=$(vmm_state "$pid")
guest_patterns one 20000
[ "$before" = "$(vmm_state "$pid")" ] || fail "a QEMU that is left alone changes by itself"
guest_qmp one query-status | grep -q running || fail "no monitor"

# Who maps its RAM finds all that patrol wrote, and patrol what he writes.
mapper_start two one
mapper_ask two go 'MAPPER FOUND mails=256' >/dev/null
mapper_works two 1000
mapper_verifies two one
mapper_works two 1000

# All of this is worth nothing if damage is not seen: ten pages and a mail in the guest, and a
# mail in the mapper.
guest_ask one pause 'PATROL PAUSED' >/dev/null
mapper_ask two damage 'MAPPER DAMAGED pages=10' >/dev/null
wait_for 'MAPPER ok=[0-9]* bad=1$' "$T/two.log" 20 >/dev/null
wait_for 'PATROL BAD mail=' "$T/one.log" 20 >/dev/null
guest_ask one check 'PATROL CHECKED .* bad=11$' >/dev/null
[ "$(grep -ac 'PATROL BAD page=.* is=zero' "$T/one.log")" = 10 ] || fail "patrol does not show them"
(assert_no_bad one) 2>/dev/null && fail "assert_no_bad lets it pass"
(guest_check one) 2>/dev/null && fail "guest_check lets it pass"
(mapper_works two 0) >/dev/null 2>&1 && fail "mapper_works lets it pass"
guest_kill one
it_passed
