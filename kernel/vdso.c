// SPDX-License-Identifier: MIT
/*
 * The areas that a kernel adds to a program by itself.
 *
 *	[vvar] 4 pages, [vvar_vclock] 2 pages, [vdso] 2 pages: found through AT_SYSINFO_EHDR
 *	[vsyscall] at the top of addresses: three entries of old, called at fixed addresses
 *
 * Our vdso is an ELF object with a name and no functions: C libraries look for their clocks in it,
 * don't find them, and make the system calls instead. It is there so that addresses are what they
 * are natively, and so that ldd shows what it shows natively. It defines its version all the same:
 * the runtime of Go walks the definitions before it looks for a symbol, without asking whether there
 * are any. [vsyscall] has no pages, as on hosts with vsyscall=xonly: the fetch faults, and the call
 * is done then.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "task.h"
#include "vdso.h"

#define PAGE 4096ull
#define VVAR_PAGES 4
#define VCLOCK_PAGES 2
#define VDSO_PAGES 2

#define VVAR_FLAGS (ASPACE_VM_READ | ASPACE_VM_MAYREAD | ASPACE_VM_IO | ASPACE_VM_DONTEXPAND | \
		    ASPACE_VM_DONTDUMP | ASPACE_VM_PFNMAP)
#define VDSO_FLAGS (ASPACE_VM_READ | ASPACE_VM_EXEC | ASPACE_VM_MAYREAD | ASPACE_VM_MAYWRITE | \
		    ASPACE_VM_MAYEXEC | ASPACE_VM_DONTEXPAND)

#define SONAME "linux-vdso.so.1"
#define VERSION "LINUX_2.6"
/* What the ELF hash function makes of the two. */
#define SONAME_HASH 0x0deebfa1
#define VERSION_HASH 0x03ae75f6

struct version {
	Elf64_Verdef def;
	Elf64_Verdaux name;
};

struct vdso_image {
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr[2];
	Elf64_Dyn dynamic[11];
	Elf64_Sym symbols[1];
	uint32_t hash[4];	/* one bucket, one chain, both empty */
	struct version versions[2];
	Elf64_Versym symbol_versions[1];
	char strings[1 + sizeof(SONAME) + sizeof(VERSION)];
};

#define AT(field) offsetof(struct vdso_image, field)
#define AT_SONAME 1
#define AT_VERSION (AT_SONAME + sizeof(SONAME))
#define DEFINES(flags, index, hash, string, next) \
	{ .def = { VER_DEF_CURRENT, flags, index, 1, hash, sizeof(Elf64_Verdef), next }, \
	  .name = { .vda_name = string } }

static const struct vdso_image image = {
	.ehdr = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_DYN,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = AT(phdr),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 2,
		.e_shentsize = sizeof(Elf64_Shdr),
	},
	.phdr = {
		{ .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_filesz = sizeof(struct vdso_image),
		  .p_memsz = sizeof(struct vdso_image), .p_align = PAGE },
		{ .p_type = PT_DYNAMIC, .p_flags = PF_R, .p_offset = AT(dynamic),
		  .p_vaddr = AT(dynamic), .p_paddr = AT(dynamic),
		  .p_filesz = sizeof(image.dynamic), .p_memsz = sizeof(image.dynamic), .p_align = 8 },
	},
	.dynamic = {
		{ DT_SONAME, { AT_SONAME } },
		{ DT_HASH, { AT(hash) } },
		{ DT_SYMTAB, { AT(symbols) } },
		{ DT_SYMENT, { sizeof(Elf64_Sym) } },
		{ DT_STRTAB, { AT(strings) } },
		{ DT_STRSZ, { sizeof(image.strings) } },
		{ DT_VERDEF, { AT(versions) } },
		{ DT_VERDEFNUM, { 2 } },
		{ DT_VERSYM, { AT(symbol_versions) } },
		{ DT_NULL, { 0 } },
	},
	.hash = { 1, 1, 0, 0 },
	.versions = {
		DEFINES(VER_FLG_BASE, 1, SONAME_HASH, AT_SONAME, sizeof(struct version)),
		DEFINES(0, 2, VERSION_HASH, AT_VERSION, 0),
	},
	.strings = "\0" SONAME "\0" VERSION,
};

static int insert(struct aspace_mm *mm, uint64_t *at, uint64_t pages, uint64_t flags, const char *name)
{
	int error = aspace_insert_area(mm, *at, *at + pages * PAGE, flags, NULL, 0, name);

	*at += pages * PAGE;
	return error;
}

int map_vdso(struct aspace_mm *mm, uint64_t *ehdr)
{
	uint64_t bytes = (VVAR_PAGES + VCLOCK_PAGES + VDSO_PAGES) * PAGE, at;
	int64_t room = aspace_mmap(mm, 0, bytes, ASPACE_PROT_NONE,
				   ASPACE_MAP_PRIVATE | ASPACE_MAP_ANONYMOUS, NULL, 0);
	int error;

	if (room < 0)
		return (int)room;
	at = (uint64_t)room;
	error = aspace_munmap(mm, at, bytes);
	if (!error)
		error = insert(mm, &at, VVAR_PAGES, VVAR_FLAGS, "[vvar]");
	if (!error)
		error = insert(mm, &at, VCLOCK_PAGES, VVAR_FLAGS, "[vvar_vclock]");
	*ehdr = at;
	if (!error)
		error = insert(mm, &at, VDSO_PAGES, VDSO_FLAGS, "[vdso]");
	if (error)
		return error;
	if (aspace_access_remote(mm, *ehdr, (void *)&image, sizeof(image),
				 ASPACE_WRITE | ASPACE_FORCE) != sizeof(image))
		return -ENOMEM;
	return 0;
}

/* ---- [vsyscall] ------------------------------------------------------------------------------------ */

static int64_t vsyscall(struct task_struct *task, uint64_t nr, const struct cpu_regs *regs)
{
	static const uint64_t calls[] = { 96 /* gettimeofday */, 201 /* time */, 309 /* getcpu */ };
	struct sys_args args = { .nr = calls[nr], .a = { regs->rdi, regs->rsi, regs->rdx } };

	return syscall_entry(args.nr)->handler(task, &args);
}

bool emulate_vsyscall(struct task_struct *task, uint64_t addr)
{
	struct cpu *cpu = task->kernel->cpu;
	struct cpu_regs regs;
	uint64_t nr = (addr - VSYSCALL_ADDR) / 0x400, caller;
	int64_t result;

	if ((addr & 0x3ff) || nr > 2)
		return false;
	cpu_context_get_regs(cpu, task->cpu, &regs);
	if (regs.rip != addr || copy_from_user(task, &caller, regs.rsp, sizeof(caller)))
		return false;
	result = vsyscall(task, nr, &regs);
	if (result == -EFAULT)
		return false;
	regs.rax = (uint64_t)result;
	regs.rip = caller;
	regs.rsp += sizeof(caller);
	cpu_context_set_regs(cpu, task->cpu, &regs);
	return true;
}

#define MAPS_LINE "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n"

int print_vsyscall_maps(aspace_emit emit, void *priv)
{
	return emit(priv, MAPS_LINE, sizeof(MAPS_LINE) - 1);
}

int print_vsyscall_smaps(aspace_emit emit, void *priv)
{
	static const char *const zeroes[] = { "Rss", "Pss", "Pss_Dirty", "Shared_Clean", "Shared_Dirty",
		"Private_Clean", "Private_Dirty", "Referenced", "Anonymous", "KSM", "LazyFree",
		"AnonHugePages", "ShmemPmdMapped", "FilePmdMapped", "Shared_Hugetlb",
		"Private_Hugetlb", "Swap", "SwapPss", "Locked" };
	char text[2048];
	size_t n = (size_t)snprintf(text, sizeof(text), MAPS_LINE
				    "Size:                  4 kB\nKernelPageSize:        4 kB\n"
				    "MMUPageSize:           4 kB\n");

	for (size_t i = 0; i < sizeof(zeroes) / sizeof(zeroes[0]); i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s:%*s0 kB\n", zeroes[i],
				      (int)(22 - strlen(zeroes[i])), "");
	n += (size_t)snprintf(text + n, sizeof(text) - n,
			      "THPeligible:           0\nProtectionKey:         0\nVmFlags: ex \n");
	return emit(priv, text, n);
}
