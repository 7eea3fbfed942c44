/* SPDX-License-Identifier: BSD-2-Clause */
/* The header of a dump, as <elf.h> and readelf(1) read it. */
#include <criterion/criterion.h>
#include <elf.h>
#include <stdio.h>
#include <string.h>

#include "vmm/dump_elf.h"

#define MIB UINT64_C(1048576)

static const struct dump_note note = {
	.version = 1,
	.pid = 4711,
	.time = 1000000000,
	.ram = 3 * MIB,
	.zero = 5,
	.swapped = 6,
	.lost = 7,
	.name = "web1",
};

static uint8_t block[DUMP_HEADER];

static const Elf64_Phdr *segment(unsigned int i)
{
	const Elf64_Ehdr *eh = (const void *)block;

	cr_assert_lt(i, eh->e_phnum);
	return (const Elf64_Phdr *)(const void *)(block + eh->e_phoff) + i;
}

static void make(unsigned int n)
{
	uint64_t bytes[DUMP_LOADS_MAX];

	for (unsigned int i = 0; i < n; i++)
		bytes[i] = (i + 1) * MIB;
	memset(block, 0xaa, sizeof(block));
	dump_elf_header(block, &note, bytes, n);
}

Test(dump_elf, is_a_core_file_of_x86_64)
{
	const Elf64_Ehdr *eh = (const void *)block;

	make(1);
	cr_assert_eq(memcmp(eh->e_ident, ELFMAG, SELFMAG), 0);
	cr_assert_eq(eh->e_ident[EI_CLASS], ELFCLASS64);
	cr_assert_eq(eh->e_ident[EI_DATA], ELFDATA2LSB);
	cr_assert_eq(eh->e_type, ET_CORE);
	cr_assert_eq(eh->e_machine, EM_X86_64);
	cr_assert_eq(eh->e_phentsize, sizeof(Elf64_Phdr));
	cr_assert_eq(eh->e_phnum, 2);
	cr_assert_eq(eh->e_shnum, 0);
}

Test(dump_elf, ram_lies_behind_it_without_gaps)
{
	uint64_t at = 0;

	make(DUMP_LOADS_MAX);
	for (unsigned int i = 0; i < DUMP_LOADS_MAX; i++) {
		const Elf64_Phdr *ph = segment(1 + i);

		cr_assert_eq(ph->p_type, PT_LOAD);
		cr_assert_eq(ph->p_offset, DUMP_HEADER + at);
		cr_assert_eq(ph->p_paddr, at);
		cr_assert_eq(ph->p_vaddr, at);
		cr_assert_eq(ph->p_filesz, (i + 1) * MIB);
		cr_assert_eq(ph->p_memsz, ph->p_filesz);
		cr_assert_eq(ph->p_offset % ph->p_align, ph->p_vaddr % ph->p_align);
		at += ph->p_filesz;
	}
}

Test(dump_elf, the_note_fits_and_is_whole)
{
	const Elf64_Phdr *ph;
	const Elf64_Nhdr *nh;
	const uint8_t *desc;

	/* with the most segments, which leave the least room */
	make(DUMP_LOADS_MAX);
	ph = segment(0);
	cr_assert_eq(ph->p_type, PT_NOTE);
	cr_assert_leq(ph->p_offset + ph->p_filesz, DUMP_HEADER);
	cr_assert_geq(ph->p_offset, sizeof(Elf64_Ehdr) + 9 * sizeof(Elf64_Phdr));
	nh = (const void *)(block + ph->p_offset);
	cr_assert_eq(nh->n_type, DUMP_NOTE_TYPE);
	cr_assert_eq(nh->n_namesz, 5);
	cr_assert_str_eq((const char *)(nh + 1), "DRUM");
	cr_assert_eq(nh->n_descsz, sizeof(note));
	desc = (const uint8_t *)(nh + 1) + 8;
	cr_assert_eq(memcmp(desc, &note, sizeof(note)), 0);
	cr_assert_eq(desc + sizeof(note), block + ph->p_offset + ph->p_filesz);
	/* nothing is left of what was in the buffer */
	for (const uint8_t *p = desc + sizeof(note); p < block + sizeof(block); p++)
		cr_assert_eq(*p, 0);
}
