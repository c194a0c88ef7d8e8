// SPDX-License-Identifier: MIT
/*
 * ELF64 for x86-64. Where things come to lie (addresses without randomization):
 *
 *	0x7ffffffff000  strings, auxiliary vector, pointers, argc <- sp      [stack]
 *	                ... grows down; mmap_base below the stack's limit and its gap
 *	0x7ffff7fff000  interpreter, then what mmap places, downward
 *	                a static PIE program is placed here, like an interpreter
 *	0x555555554000  a PIE program that has an interpreter; its brk behind it
 *	as it says      ET_EXEC; its brk behind it
 *
 * What a file can be refused for is looked at first (elf_prepare), in Linux's order and with its
 * errnos; nothing of the file is trusted: sizes and sums are checked against task_size.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "binfmt.h"
#include "task.h"
#include "vdso.h"

#define PAGE 4096ull
#define PAGE_DOWN(x) ((x) & ~(PAGE - 1))
#define PAGE_UP(x) (((x) + PAGE - 1) & ~(PAGE - 1))
#define IN_PAGE(x) ((x) & (PAGE - 1))

#define TASK_SIZE 0x7ffffffff000ull
#define STACK_TOP TASK_SIZE
#define STACK_EXPAND 0x20000	/* of room below the strings from the start */
#define ET_DYN_BASE (TASK_SIZE / 3 * 2)
#define MAX_PHDRS_BYTES 65536
#define RND_PAGES_MASK 0xfffffffull	/* vm.mmap_rnd_bits: 28 */
#define STACK_RND_PAGES_MASK 0x3fffffull
#define BRK_RND_BYTES 0x2000000ull

#define AT_MINSIGSTKSZ_GUEST 51
#define AT_RSEQ_FEATURE_SIZE_GUEST 27
#define AT_RSEQ_ALIGN_GUEST 28
#define MIN_SIGNAL_FRAME 1088	/* frame, FXSAVE area and their alignment */
#define RSEQ_FEATURE_SIZE 28
#define RSEQ_ALIGN 32
#define HWCAP_GUEST 0x178bfbff	/* CPUID 1, EDX */
#define HWCAP2_FSGSBASE 2

struct elf_image {		/* a file's headers */
	struct aspace_file *file;
	struct kfile *kfile;	/* the interpreter's: ours to put */
	Elf64_Ehdr ehdr;
	Elf64_Phdr *phdr;
};

struct elf_loader {
	struct elf_image exe, interp;
	bool has_interp, exec_stack;
};

/* ---- reading and refusing ------------------------------------------------------------------------- */

/* All n bytes, or -EIO. */
static int elf_read(struct aspace_file *file, void *buf, size_t n, uint64_t offset)
{
	int64_t done = aspace_mapping_read(aspace_file_mapping(file), offset, buf, n);

	if (done < 0)
		return (int)done;
	return (size_t)done == n ? 0 : -EIO;
}

static bool is_elf(const Elf64_Ehdr *ehdr)
{
	return memcmp(ehdr->e_ident, ELFMAG, SELFMAG) == 0 && ehdr->e_machine == EM_X86_64;
}

static int read_phdrs(struct elf_image *image)
{
	size_t bytes = (size_t)image->ehdr.e_phnum * sizeof(Elf64_Phdr);

	if (image->ehdr.e_phentsize != sizeof(Elf64_Phdr) || !bytes || bytes > MAX_PHDRS_BYTES)
		return -ENOEXEC;
	image->phdr = malloc(bytes);
	if (!image->phdr)
		return -ENOMEM;
	return elf_read(image->file, image->phdr, bytes, image->ehdr.e_phoff) ? -ENOEXEC : 0;
}

static const Elf64_Phdr *find_phdr(const struct elf_image *image, uint32_t type)
{
	for (int i = 0; i < image->ehdr.e_phnum; i++) {
		if (image->phdr[i].p_type == type)
			return &image->phdr[i];
	}
	return NULL;
}

static int open_interp(struct linux_binprm *bprm, struct elf_loader *loader, const Elf64_Phdr *phdr)
{
	struct elf_image *interp = &loader->interp;
	char path[PATH_MAX];
	int error;

	if (phdr->p_filesz > PATH_MAX || phdr->p_filesz < 2)
		return -ENOEXEC;
	error = elf_read(loader->exe.file, path, phdr->p_filesz, phdr->p_offset);
	if (error)
		return error;
	if (path[phdr->p_filesz - 1] != '\0')
		return -ENOEXEC;
	if (!path[0])
		return -EACCES;		/* to Linux it is the directory we are in */
	error = kernel_open_exec(bprm->task, AT_FDCWD, path, 0, &interp->kfile);
	if (error) {
		interp->kfile = NULL;
		return error;
	}
	interp->file = kfile_aspace(bprm->task->kernel, interp->kfile);
	if (!interp->file)
		return -EACCES;
	loader->has_interp = true;
	return elf_read(interp->file, &interp->ehdr, sizeof(interp->ehdr), 0);
}

static int check_interp(struct elf_image *interp)
{
	if (!is_elf(&interp->ehdr) || read_phdrs(interp))
		return -ELIBBAD;
	return 0;
}

static int prepare(struct linux_binprm *bprm, struct elf_loader *loader)
{
	struct elf_image *exe = &loader->exe;
	const Elf64_Phdr *phdr;
	int error;

	memcpy(&exe->ehdr, bprm->buf, sizeof(exe->ehdr));
	exe->file = bprm->file;
	if (!is_elf(&exe->ehdr) || (exe->ehdr.e_type != ET_EXEC && exe->ehdr.e_type != ET_DYN))
		return -ENOEXEC;
	error = read_phdrs(exe);
	if (error)
		return error;
	phdr = find_phdr(exe, PT_INTERP);
	if (phdr) {
		error = open_interp(bprm, loader, phdr);
		if (error)
			return error;
	}
	phdr = find_phdr(exe, PT_GNU_STACK);
	loader->exec_stack = phdr && (phdr->p_flags & PF_X);
	return loader->has_interp ? check_interp(&loader->interp) : 0;
}

int elf_prepare(struct linux_binprm *bprm, struct elf_loader **out)
{
	struct elf_loader *loader = calloc(1, sizeof(*loader));
	int error;

	if (!loader)
		return -ENOMEM;
	error = prepare(bprm, loader);
	if (error) {
		elf_loader_free(bprm->task->kernel, loader);
		return error;
	}
	*out = loader;
	return 0;
}

void elf_loader_free(struct kernel *k, struct elf_loader *loader)
{
	free(loader->exe.phdr);
	free(loader->interp.phdr);
	if (loader->interp.file)
		aspace_file_put(loader->interp.file);
	if (loader->interp.kfile)
		kfile_put(loader->interp.kfile);
	free(loader);
}

/* ---- mapping ----------------------------------------------------------------------------------------- */

/* An image while its segments are mapped, and what came of it. Addresses are final. */
struct elf_mapping {
	struct aspace_mm *mm;
	const struct elf_image *image;
	uint64_t bias;
	bool placed;		/* the first segment has been mapped: bias is final */
	uint64_t start_code, end_code, start_data, end_data, end_bss;
	uint64_t phdr_addr;	/* without bias; 0: no segment holds the headers */
};

static unsigned prot_of(const Elf64_Phdr *phdr)
{
	return (phdr->p_flags & PF_R ? ASPACE_PROT_READ : 0) |
	       (phdr->p_flags & PF_W ? ASPACE_PROT_WRITE : 0) |
	       (phdr->p_flags & PF_X ? ASPACE_PROT_EXEC : 0);
}

/* From the first segment's first page to the last one's end; 0: no segment. */
static uint64_t total_size(const struct elf_image *image)
{
	uint64_t low = UINT64_MAX, high = 0;

	for (int i = 0; i < image->ehdr.e_phnum; i++) {
		const Elf64_Phdr *phdr = &image->phdr[i];

		if (phdr->p_type != PT_LOAD)
			continue;
		if (PAGE_DOWN(phdr->p_vaddr) < low)
			low = PAGE_DOWN(phdr->p_vaddr);
		if (phdr->p_vaddr + phdr->p_memsz > high)
			high = phdr->p_vaddr + phdr->p_memsz;
	}
	return high > low ? high - low : 0;
}

static uint64_t max_alignment(const struct elf_image *image)
{
	uint64_t alignment = PAGE;

	for (int i = 0; i < image->ehdr.e_phnum; i++) {
		uint64_t align = image->phdr[i].p_align;

		if (image->phdr[i].p_type == PT_LOAD && align > alignment && !(align & (align - 1)))
			alignment = align;
	}
	return alignment;
}

/*
 * The file's part of a segment. The first segment of a movable image reserves the whole image's
 * size, so that the others find their places free.
 */
static int64_t map_file_part(struct elf_mapping *m, const Elf64_Phdr *phdr, uint64_t addr,
			     unsigned flags, uint64_t reserve)
{
	uint64_t size = PAGE_UP(phdr->p_filesz + IN_PAGE(phdr->p_vaddr));
	uint64_t offset = phdr->p_offset - IN_PAGE(phdr->p_vaddr);
	int64_t at;

	addr = PAGE_DOWN(addr);
	if (!phdr->p_filesz)
		return (int64_t)addr;
	if (IN_PAGE(offset))
		return -EINVAL;
	if (!reserve)
		return aspace_mmap(m->mm, addr, size, prot_of(phdr), flags, m->image->file, offset);
	reserve = PAGE_UP(reserve);
	at = aspace_mmap(m->mm, addr, reserve, prot_of(phdr), flags, m->image->file, offset);
	if (at >= 0 && reserve > size)
		aspace_munmap(m->mm, (uint64_t)at + size, reserve - size);
	return at;
}

/* What memory has beyond the file: the rest of the last page zeroed, whole pages behind it. */
static int map_bss(struct elf_mapping *m, const Elf64_Phdr *phdr, uint64_t base)
{
	uint64_t start = base + phdr->p_filesz, end = PAGE_UP(base + phdr->p_memsz);
	unsigned exec = phdr->p_flags & PF_X ? ASPACE_PROT_EXEC : 0;
	int64_t at;

	if (phdr->p_filesz && IN_PAGE(start) &&
	    aspace_clear_user(m->mm, start, PAGE - IN_PAGE(start)) && (phdr->p_flags & PF_W))
		return -EFAULT;
	start = phdr->p_filesz ? PAGE_UP(start) : PAGE_DOWN(base);
	if (end <= start)
		return 0;
	at = aspace_mmap(m->mm, start, end - start, ASPACE_PROT_READ | ASPACE_PROT_WRITE | exec,
			 ASPACE_MAP_PRIVATE | ASPACE_MAP_ANONYMOUS | ASPACE_MAP_FIXED, NULL, 0);
	return at < 0 ? (int)at : 0;
}

static int64_t map_segment(struct elf_mapping *m, const Elf64_Phdr *phdr, unsigned fixed,
			   uint64_t reserve)
{
	uint64_t addr = m->bias + phdr->p_vaddr;
	int64_t at = map_file_part(m, phdr, addr, ASPACE_MAP_PRIVATE | fixed, reserve);
	int error = 0;

	if (at >= 0 && phdr->p_memsz > phdr->p_filesz)
		error = map_bss(m, phdr, (uint64_t)at + IN_PAGE(phdr->p_vaddr));
	return error ? error : at;
}

static bool fits(const Elf64_Phdr *phdr, uint64_t addr)
{
	return addr < TASK_SIZE && phdr->p_filesz <= phdr->p_memsz && phdr->p_memsz <= TASK_SIZE &&
	       TASK_SIZE - phdr->p_memsz >= addr;
}

static void note_extent(struct elf_mapping *m, const Elf64_Phdr *phdr)
{
	uint64_t start = m->bias + phdr->p_vaddr, end = start + phdr->p_filesz;

	if ((phdr->p_flags & PF_X) && start < m->start_code)
		m->start_code = start;
	if (start > m->start_data)
		m->start_data = start;
	if ((phdr->p_flags & PF_X) && end > m->end_code)
		m->end_code = end;
	if (end > m->end_data)
		m->end_data = end;
	if (start + phdr->p_memsz > m->end_bss)
		m->end_bss = start + phdr->p_memsz;
	if (phdr->p_offset <= m->image->ehdr.e_phoff &&
	    m->image->ehdr.e_phoff - phdr->p_offset < phdr->p_filesz)
		m->phdr_addr = m->image->ehdr.e_phoff - phdr->p_offset + phdr->p_vaddr;
}

/*
 * The first PT_LOAD decides where a movable image lies. base: where its lowest address should go, 0:
 * where there is room.
 */
static int place_first(struct elf_mapping *m, const Elf64_Phdr *phdr, uint64_t base)
{
	uint64_t alignment = max_alignment(m->image), reserve = total_size(m->image);
	bool movable = m->image->ehdr.e_type == ET_DYN, fixed;
	int64_t at;

	if (!movable) {
		at = map_segment(m, phdr, ASPACE_MAP_FIXED_NOREPLACE, 0);
		return at < 0 ? (int)at : 0;
	}
	if (!reserve)
		return -EINVAL;
	fixed = base != 0;
	if (!base && alignment > PAGE) {	/* where there is room; then down to a multiple */
		at = aspace_mmap(m->mm, 0, reserve, ASPACE_PROT_NONE,
				 ASPACE_MAP_PRIVATE | ASPACE_MAP_ANONYMOUS, NULL, 0);
		if (at < 0)
			return (int)at;
		aspace_munmap(m->mm, (uint64_t)at, reserve);
		base = (uint64_t)at;
		fixed = true;
	}
	base &= ~(alignment - 1);
	m->bias = PAGE_DOWN(base - phdr->p_vaddr);
	at = map_segment(m, phdr, fixed ? ASPACE_MAP_FIXED_NOREPLACE : 0, reserve);
	if (at < 0)
		return (int)at;
	m->bias = (uint64_t)at - PAGE_DOWN(phdr->p_vaddr);
	return 0;
}

static int map_image(struct elf_mapping *m, uint64_t base)
{
	m->start_code = UINT64_MAX;
	for (int i = 0; i < m->image->ehdr.e_phnum; i++) {
		const Elf64_Phdr *phdr = &m->image->phdr[i];
		int64_t error;

		if (phdr->p_type != PT_LOAD)
			continue;
		if (m->placed)
			error = map_segment(m, phdr, ASPACE_MAP_FIXED, 0);
		else
			error = place_first(m, phdr, base);
		if (error < 0)
			return (int)error;
		m->placed = true;
		if (!fits(phdr, m->bias + phdr->p_vaddr))
			return -EINVAL;
		note_extent(m, phdr);
	}
	return 0;
}

/* ---- the stack ---------------------------------------------------------------------------------------- */

static uint64_t random_u64(struct kernel *k)
{
	uint64_t value;

	kernel_random(k, &value, sizeof(value));
	return value;
}

static bool randomizes(const struct task_struct *task)
{
	return !(task->personality & ASPACE_ADDR_NO_RANDOMIZE);
}

static void put_strings_addresses(uint64_t *words, const char *data, uint64_t base, int count)
{
	const char *at = data;

	for (int i = 0; i < count; i++) {
		words[i] = base + (uint64_t)(at - data);
		at += strlen(at) + 1;
	}
	words[count] = 0;
}

struct auxv_values {
	uint64_t vdso, phdr, phnum, base, entry, random, execfn, platform;
};

/* As the host orders them. */
static size_t fill_auxv(Elf64_auxv_t *v, const struct auxv_values *a)
{
	const uint64_t pairs[][2] = {
		{ AT_SYSINFO_EHDR, a->vdso },
		{ AT_MINSIGSTKSZ_GUEST, MIN_SIGNAL_FRAME },
		{ AT_HWCAP, HWCAP_GUEST },
		{ AT_PAGESZ, PAGE },
		{ AT_CLKTCK, 100 },
		{ AT_PHDR, a->phdr },
		{ AT_PHENT, sizeof(Elf64_Phdr) },
		{ AT_PHNUM, a->phnum },
		{ AT_BASE, a->base },
		{ AT_FLAGS, 0 },
		{ AT_ENTRY, a->entry },
		{ AT_UID, getuid() },
		{ AT_EUID, geteuid() },
		{ AT_GID, getgid() },
		{ AT_EGID, getegid() },
		{ AT_SECURE, 0 },
		{ AT_RANDOM, a->random },
		{ AT_HWCAP2, HWCAP2_FSGSBASE },
		{ AT_EXECFN, a->execfn },
		{ AT_PLATFORM, a->platform },
		{ AT_RSEQ_FEATURE_SIZE_GUEST, RSEQ_FEATURE_SIZE },
		{ AT_RSEQ_ALIGN_GUEST, RSEQ_ALIGN },
		{ AT_NULL, 0 },
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		v[i].a_type = pairs[i][0];
		v[i].a_un.a_val = pairs[i][1];
	}
	return sizeof(pairs) / sizeof(pairs[0]);
}
#define MAX_AUXV 32

/* The strings and what lies below them up to where the tables of pointers end. */
static int put_strings(struct linux_binprm *bprm, uint64_t top, struct auxv_values *a,
		       struct aspace_layout *layout, uint64_t *end)
{
	static const char platform[] = "x86_64";
	struct exec_strings *s = &bprm->strings;
	uint64_t p = top - 8 - s->used;
	unsigned char random[16];

	if (aspace_copy_to_user(bprm->mm, p, s->data, s->used))
		return -EFAULT;
	layout->arg_start = p;
	layout->arg_end = layout->env_start = p + s->env_at;
	layout->env_end = a->execfn = p + s->execfn_at;
	p &= ~15ull;
	if (randomizes(bprm->task))
		p -= random_u64(bprm->task->kernel) % 8192 & ~15ull;
	p -= sizeof(platform);
	a->platform = p;
	if (aspace_copy_to_user(bprm->mm, p, platform, sizeof(platform)))
		return -EFAULT;
	p -= sizeof(random);
	a->random = p;
	kernel_random(bprm->task->kernel, random, sizeof(random));
	if (aspace_copy_to_user(bprm->mm, p, random, sizeof(random)))
		return -EFAULT;
	*end = p;
	return 0;
}

static int put_tables(struct linux_binprm *bprm, const struct auxv_values *a,
		      struct aspace_layout *layout, uint64_t end)
{
	struct exec_strings *s = &bprm->strings;
	Elf64_auxv_t auxv[MAX_AUXV];
	size_t nr_auxv = fill_auxv(auxv, a), nr_pointers = 1 + (size_t)s->argc + 1 + (size_t)s->envc + 1;
	size_t bytes = nr_pointers * sizeof(uint64_t) + nr_auxv * sizeof(auxv[0]);
	uint64_t *words = malloc(bytes), *w = words;
	int error = 0;

	if (!words)
		return -ENOMEM;
	bprm->sp = (end - bytes) & ~15ull;
	*w++ = (uint64_t)s->argc;
	put_strings_addresses(w, s->data, layout->arg_start, s->argc);
	w += s->argc + 1;
	put_strings_addresses(w, s->data + s->env_at, layout->env_start, s->envc);
	w += s->envc + 1;
	memcpy(w, auxv, nr_auxv * sizeof(auxv[0]));
	if (aspace_copy_to_user(bprm->mm, bprm->sp, words, bytes))
		error = -EFAULT;
	else
		error = aspace_mm_set_auxv(bprm->mm, auxv, nr_auxv * sizeof(auxv[0]));
	layout->start_stack = bprm->sp;
	free(words);
	return error;
}

/* ---- all of it ------------------------------------------------------------------------------------------ */

static void set_limits(struct aspace_mm *mm, struct task_struct *task)
{
	static const enum aspace_rlimit limits[] = { ASPACE_RLIMIT_DATA, ASPACE_RLIMIT_STACK,
						     ASPACE_RLIMIT_MEMLOCK, ASPACE_RLIMIT_AS };

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		aspace_mm_set_rlimit(mm, limits[i], task->signal->rlim[limits[i]].cur);
	aspace_mm_set_personality(mm, task->personality);
	aspace_mm_set_privileged(mm, geteuid() == 0, geteuid() == 0);
	if (task->thp_disable)
		aspace_mm_set_thp_disable(mm, true);
}

static int new_mm(struct linux_binprm *bprm, struct elf_loader *loader, uint64_t *stack_top)
{
	struct task_struct *task = bprm->task;
	struct kernel *k = task->kernel;
	struct aspace_layout layout = { .size = sizeof(layout) };
	uint64_t random_pages = 0, strings = PAGE_UP(bprm->strings.used + 8);
	int error = aspace_mm_create(k->machine, &bprm->mm);

	if (error)
		return error;
	*stack_top = STACK_TOP;
	if (randomizes(task)) {
		*stack_top -= (random_u64(k) & STACK_RND_PAGES_MASK) * PAGE;
		random_pages = random_u64(k) & RND_PAGES_MASK;
	}
	set_limits(bprm->mm, task);
	aspace_mm_layout(bprm->mm, &layout);
	aspace_layout_pick(&layout, task->signal->rlim[ASPACE_RLIMIT_STACK].cur, task->personality,
			   random_pages);
	error = aspace_mm_set_layout(bprm->mm, &layout);
	if (!error)
		error = aspace_setup_stack(bprm->mm, *stack_top, strings + STACK_EXPAND,
					   loader->exec_stack);
	aspace_mm_set_exe_file(bprm->mm, loader->exe.file);
	return error;
}

static uint64_t exe_base(struct linux_binprm *bprm, struct elf_loader *loader)
{
	if (loader->exe.ehdr.e_type != ET_DYN || !loader->has_interp)
		return 0;
	if (!randomizes(bprm->task))
		return ET_DYN_BASE;
	return ET_DYN_BASE + (random_u64(bprm->task->kernel) & RND_PAGES_MASK) * PAGE;
}

static uint64_t pick_brk(struct linux_binprm *bprm, struct elf_loader *loader,
			 const struct elf_mapping *exe)
{
	uint64_t brk = PAGE_UP(exe->end_bss);

	/* A static PIE lies among the mappings: its heap goes where a program would have been. */
	if (loader->exe.ehdr.e_type == ET_DYN && !loader->has_interp)
		brk = PAGE_UP(ET_DYN_BASE);
	if (randomizes(bprm->task))
		brk += PAGE_DOWN(random_u64(bprm->task->kernel) % BRK_RND_BYTES);
	return brk;
}

static int load_interp(struct linux_binprm *bprm, struct elf_loader *loader, uint64_t *base)
{
	struct elf_mapping m = { .mm = bprm->mm, .image = &loader->interp };
	int error;

	if (loader->interp.ehdr.e_type != ET_EXEC && loader->interp.ehdr.e_type != ET_DYN)
		return -ENOEXEC;
	error = map_image(&m, 0);
	if (error)
		return error;
	bprm->entry = m.bias + loader->interp.ehdr.e_entry;
	*base = m.bias;
	return bprm->entry >= TASK_SIZE ? -EINVAL : 0;
}

static void set_segments(struct aspace_layout *layout, const struct elf_mapping *exe, uint64_t brk)
{
	layout->start_code = exe->start_code;
	layout->end_code = exe->end_code;
	layout->start_data = exe->start_data;
	layout->end_data = exe->end_data;
	layout->start_brk = layout->brk = brk;
}

int elf_load(struct linux_binprm *bprm, struct elf_loader *loader)
{
	struct elf_mapping exe = { .image = &loader->exe };
	struct auxv_values a = { .phnum = loader->exe.ehdr.e_phnum };
	struct aspace_layout layout = { .size = sizeof(layout) };
	uint64_t stack_top, end;
	int error = new_mm(bprm, loader, &stack_top);

	exe.mm = bprm->mm;
	if (!error)
		error = map_image(&exe, exe_base(bprm, loader));
	if (error)
		return error;
	a.entry = bprm->entry = exe.bias + loader->exe.ehdr.e_entry;
	a.phdr = exe.bias + exe.phdr_addr;
	if (loader->has_interp)
		error = load_interp(bprm, loader, &a.base);
	else if (bprm->entry >= TASK_SIZE)
		error = -EINVAL;
	if (!error)
		error = map_vdso(bprm->mm, &a.vdso);
	if (error)
		return error;
	aspace_mm_layout(bprm->mm, &layout);
	set_segments(&layout, &exe, pick_brk(bprm, loader, &exe));
	error = put_strings(bprm, stack_top, &a, &layout, &end);
	if (!error)
		error = put_tables(bprm, &a, &layout, end);
	if (!error)
		error = aspace_mm_set_layout(bprm->mm, &layout);
	if (!error && (bprm->task->personality & ASPACE_MMAP_PAGE_ZERO))
		aspace_mmap(bprm->mm, 0, PAGE, ASPACE_PROT_READ | ASPACE_PROT_EXEC,
			    ASPACE_MAP_FIXED | ASPACE_MAP_PRIVATE | ASPACE_MAP_ANONYMOUS, NULL, 0);
	return error;
}
