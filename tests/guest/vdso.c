/* SPDX-License-Identifier: MIT */
/* The vdso's own tables, read as runtimes without a C library read them (Go's walks the versions
 * before it knows whether a symbol is there). */
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <sys/auxv.h>

static unsigned long elf_hash(const char *name)
{
	unsigned long hash = 0, high;

	for (; *name; name++) {
		hash = (hash << 4) + (unsigned char)*name;
		high = hash & 0xf0000000;
		hash = (hash ^ high >> 24) & ~high;
	}
	return hash;
}

static ElfW(Addr) value(const ElfW(Dyn) *dynamic, ElfW(Sxword) tag)
{
	for (; dynamic->d_tag != DT_NULL; dynamic++) {
		if (dynamic->d_tag == tag)
			return dynamic->d_un.d_ptr;
	}
	printf("no entry %lx\n", (long)tag);
	return 0;
}

int main(void)
{
	const char *base = (const char *)getauxval(AT_SYSINFO_EHDR);
	const ElfW(Ehdr) *ehdr = (const void *)base;
	const ElfW(Phdr) *phdr = (const void *)(base + ehdr->e_phoff);
	const ElfW(Dyn) *dynamic = NULL;
	const ElfW(Verdef) *def;
	const char *strings;

	for (int i = 0; i < ehdr->e_phnum; i++) {
		if (phdr[i].p_type == PT_DYNAMIC)
			dynamic = (const void *)(base + phdr[i].p_vaddr);
	}
	strings = base + value(dynamic, DT_STRTAB);
	printf("%s, %d definitions\n", strings + value(dynamic, DT_SONAME),
	       (int)value(dynamic, DT_VERDEFNUM));
	printf("version of the first symbol: %d\n",
	       *(const ElfW(Versym) *)(base + value(dynamic, DT_VERSYM)));
	def = (const void *)(base + value(dynamic, DT_VERDEF));
	for (;; def = (const void *)((const char *)def + def->vd_next)) {
		const ElfW(Verdaux) *aux = (const void *)((const char *)def + def->vd_aux);
		const char *name = strings + aux->vda_name;

		printf("%s: flags %d, index %d, names %d, hash %s\n", name, def->vd_flags,
		       def->vd_ndx, def->vd_cnt, def->vd_hash == elf_hash(name) ? "right" : "wrong");
		if (!def->vd_next)
			return 0;
	}
}
