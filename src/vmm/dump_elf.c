/* SPDX-License-Identifier: BSD-2-Clause */

#include "vmm/dump_elf.h"

#include <assert.h>
#include <elf.h>
#include <string.h>

#define ALIGN 4096u

_Static_assert(sizeof(struct dump_note) == 112, "no padding");

void dump_elf_header(uint8_t out[DUMP_HEADER], const struct dump_note *note,
		     const uint64_t *bytes, unsigned int n)
{
	Elf64_Ehdr eh = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			     EV_CURRENT, ELFOSABI_NONE },
		.e_type = ET_CORE,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(eh),
		.e_ehsize = sizeof(eh),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = (Elf64_Half)(1 + n),
	};
	Elf64_Nhdr nh = {
		.n_namesz = sizeof(DUMP_NOTE_LABEL),
		.n_descsz = sizeof(*note),
		.n_type = DUMP_NOTE_TYPE,
	};
	size_t at = sizeof(eh) + (1 + n) * sizeof(Elf64_Phdr);
	const size_t label = (sizeof(DUMP_NOTE_LABEL) + 3) / 4 * 4;
	Elf64_Phdr ph = {
		.p_type = PT_NOTE,
		.p_offset = at,
		.p_filesz = sizeof(nh) + label + sizeof(*note),
		.p_align = 4,
	};
	uint64_t ram = 0;

	assert(n >= 1 && n <= DUMP_LOADS_MAX);
	memset(out, 0, DUMP_HEADER);
	memcpy(out, &eh, sizeof(eh));
	memcpy(out + sizeof(eh), &ph, sizeof(ph));
	for (unsigned int i = 0; i < n; i++) {
		ph = (Elf64_Phdr){
			.p_type = PT_LOAD,
			.p_flags = PF_R | PF_W | PF_X,
			.p_offset = DUMP_HEADER + ram,
			.p_vaddr = ram,
			.p_paddr = ram,
			.p_filesz = bytes[i],
			.p_memsz = bytes[i],
			.p_align = ALIGN,
		};
		memcpy(out + sizeof(eh) + (1 + i) * sizeof(ph), &ph, sizeof(ph));
		ram += bytes[i];
	}
	memcpy(out + at, &nh, sizeof(nh));
	memcpy(out + at + sizeof(nh), DUMP_NOTE_LABEL, sizeof(DUMP_NOTE_LABEL));
	memcpy(out + at + sizeof(nh) + label, note, sizeof(*note));
}
