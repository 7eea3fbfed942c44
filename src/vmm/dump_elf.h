/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first block of a dump: the header of an ELF64 core file of x86-64, as
 * QEMU's dump-guest-memory writes one, without registers.
 *
 * One PT_NOTE, name "DRUM" and type DUMP_NOTE_TYPE, with struct dump_note; then
 * a PT_LOAD for each memfd of the guest's RAM, one after the other, all of which
 * begins at DUMP_HEADER.  p_paddr and p_vaddr are offsets in the RAM, counted
 * through the memfds; where the guest has them only its VMM knows.
 */
#ifndef DRUM_VMM_DUMP_ELF_H
#define DRUM_VMM_DUMP_ELF_H

#include <stdint.h>

#define DUMP_HEADER	4096u /* bytes, of which the RAM follows */
#define DUMP_LOADS_MAX	8u
#define DUMP_NOTE_TYPE	1u
#define DUMP_NOTE_LABEL "DRUM"

/* Little-endian, as the machine; without padding. */
struct dump_note {
	uint32_t version; /* 1 */
	uint32_t pid;	  /* of the VMM */
	uint64_t time;	  /* when it began, seconds since 1970 */
	uint64_t ram;	  /* bytes */
	uint64_t zero;	  /* pages that were holes: never touched, given back, all zero */
	uint64_t swapped; /* pages that were read from swap */
	uint64_t lost;	  /* pages that could not be read, and are zeros here */
	char name[64];	  /* of the guest, ended by a zero byte */
};

/* bytes[n]: the sizes of the memfds; 1 <= n <= DUMP_LOADS_MAX. */
void dump_elf_header(uint8_t out[DUMP_HEADER], const struct dump_note *note,
		     const uint64_t *bytes, unsigned int n);

#endif
