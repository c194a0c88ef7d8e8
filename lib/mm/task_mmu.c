/* SPDX-License-Identifier: MIT */
/*
 * The files of /proc/PID that show an address space: maps, smaps, smaps_rollup, numa_maps, statm, and
 * the Vm lines of status. To the byte as the kernel writes them.
 *
 * Text is gathered in a buffer and handed on when it is full, so that a listing of many areas is few
 * calls. mmap_lock is held for reading throughout: emit must not touch the address space.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "mm/vma.h"

/* ---- output ----------------------------------------------------------------------------------------- */

struct seq {
	aspace_emit emit;
	void *priv;
	int error;	/* the first negative answer of emit: nothing more is said */
	size_t used;
	char text[8192];
};

/* Not an initializer: that would clear the text, too. */
static void seq_init(struct seq *m, aspace_emit emit, void *priv)
{
	m->emit = emit;
	m->priv = priv;
	m->error = 0;
	m->used = 0;
}

static void seq_flush(struct seq *m)
{
	if (m->used && !m->error) {
		int answer = m->emit(m->priv, m->text, m->used);

		m->error = answer < 0 ? answer : 0;
	}
	m->used = 0;
}

static void seq_write(struct seq *m, const char *text, size_t n)
{
	while (n) {
		size_t some = min(n, sizeof(m->text) - m->used);

		memcpy(m->text + m->used, text, some);
		m->used += some;
		text += some;
		n -= some;
		if (m->used == sizeof(m->text))
			seq_flush(m);
	}
}

static void seq_puts(struct seq *m, const char *text)
{
	seq_write(m, text, strlen(text));
}

__attribute__((format(printf, 2, 3))) static void seq_printf(struct seq *m, const char *format, ...)
{
	char line[512];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	seq_write(m, line, min((size_t)n, sizeof(line) - 1));
}

/* printf knows numbers, too, but takes ten times as long; smaps has twenty for each area. */
static char *put_hex(char *p, uint64_t value, int width)
{
	int digits = 1;

	while (digits < 16 && value >> (4 * digits))
		digits++;
	digits = max(digits, width);
	for (int i = digits - 1; i >= 0; i--)
		*p++ = "0123456789abcdef"[value >> (4 * i) & 15];
	return p;
}

static char *put_decimal(char *p, uint64_t value)
{
	char digits[20];
	int n = 0;

	do
		digits[n++] = (char)('0' + value % 10);
	while (value /= 10);
	while (n)
		*p++ = digits[--n];
	return p;
}

/* A newline in a file's name would end the line: it is written as an octal escape. */
static void seq_escaped(struct seq *m, const char *text, const char *escape)
{
	for (; *text; text++) {
		char octal[5] = { '\\', (char)('0' + (*text >> 6 & 3)), (char)('0' + (*text >> 3 & 7)),
				  (char)('0' + (*text & 7)), '\0' };

		if (strchr(escape, *text))
			seq_puts(m, octal);
		else
			seq_write(m, text, 1);
	}
}

/* ---- maps --------------------------------------------------------------------------------------------- */

static bool is_heap(const struct vm_area_struct *vma)
{
	return vma->vm_start < vma->vm_mm->brk && vma->vm_end > vma->vm_mm->start_brk;
}

static bool is_stack(const struct vm_area_struct *vma)
{
	return vma->vm_start <= vma->vm_mm->start_stack && vma->vm_end >= vma->vm_mm->start_stack;
}

static const char *file_name(struct aspace_file *file, char *buffer, size_t n)
{
	if (file->path_of && file->path_of(file->priv, buffer, n) >= 0)
		return buffer;
	return file->f_path ? file->f_path : "";
}

const char *vma_name(struct vm_area_struct *vma, char *buffer, size_t n)
{
	struct aspace_file *file = vma->vm_file;

	if (file && !(vma->anon_name && file->anonymous_shared))
		return file_name(file, buffer, n);
	if (vma->special_name)
		return vma->special_name;
	if (!file && is_heap(vma))
		return "[heap]";
	if (!file && is_stack(vma))
		return "[stack]";
	if (!vma->anon_name)
		return "";
	snprintf(buffer, n, file ? "[anon_shmem:%s]" : "[anon:%s]", vma->anon_name->name);
	return buffer;
}

static char *put_permissions(char *p, uint64_t flags)
{
	*p++ = flags & VM_READ ? 'r' : '-';
	*p++ = flags & VM_WRITE ? 'w' : '-';
	*p++ = flags & VM_EXEC ? 'x' : '-';
	*p++ = flags & VM_MAYSHARE ? 's' : 'p';
	return p;
}

/* "start-end perm offset dev ino "; where a name follows, it starts in column 73. */
static void show_header(struct seq *m, struct vm_area_struct *vma, const char *name)
{
	const struct address_space *mapping = vma->vm_file ? vma->vm_file->f_mapping : NULL;
	char line[160], *p = line;

	p = put_hex(p, vma->vm_start, 8);
	*p++ = '-';
	p = put_hex(p, vma->vm_end, 8);
	*p++ = ' ';
	p = put_permissions(p, vma->vm_flags);
	*p++ = ' ';
	p = put_hex(p, mapping ? vma->vm_pgoff << PAGE_SHIFT : 0, 8);
	*p++ = ' ';
	p = put_hex(p, mapping ? mapping->dev_major : 0, 2);
	*p++ = ':';
	p = put_hex(p, mapping ? mapping->dev_minor : 0, 2);
	*p++ = ' ';
	p = put_decimal(p, mapping ? mapping->ino : 0);
	*p++ = ' ';
	if (*name)
		do
			*p++ = ' ';
		while (p - line < 73);
	seq_write(m, line, (size_t)(p - line));
}

static void show_map(struct seq *m, struct vm_area_struct *vma)
{
	char buffer[4096];
	const char *name = vma_name(vma, buffer, sizeof(buffer));

	show_header(m, vma, name);
	if (strchr(name, '\n'))
		seq_escaped(m, name, "\n");
	else
		seq_puts(m, name);
	seq_puts(m, "\n");
}

/* ---- smaps -------------------------------------------------------------------------------------------- */

static void gather(struct vm_area_struct *vma, struct mem_size_stats *mss)
{
	if (vma->vm_mm->machine->ram_bytes)
		smaps_gather(vma, mss);
}

/* The figure stands right in eight columns, as by "%8lu kB\n". */
static void show_kb(struct seq *m, const char *label, uint64_t bytes)
{
	char text[32], *end = put_decimal(text, bytes >> 10);
	size_t width = (size_t)(end - text);

	seq_puts(m, label);
	seq_write(m, "        ", width < 8 ? 8 - width : 0);
	memcpy(end, " kB\n", 4);
	seq_write(m, text, width + 4);
}

/* pss is kept in 1/4096 bytes. */
static void show_pss(struct seq *m, const char *label, uint64_t pss)
{
	show_kb(m, label, pss >> 12);
}

static void show_smap_figures(struct seq *m, const struct mem_size_stats *mss, bool rollup)
{
	show_kb(m, "Rss:            ", mss->resident);
	show_pss(m, "Pss:            ", mss->pss);
	show_pss(m, "Pss_Dirty:      ", mss->pss_dirty);
	if (rollup) {
		show_pss(m, "Pss_Anon:       ", mss->pss_anon);
		show_pss(m, "Pss_File:       ", mss->pss_file);
		show_pss(m, "Pss_Shmem:      ", mss->pss_shmem);
	}
	show_kb(m, "Shared_Clean:   ", mss->shared_clean);
	show_kb(m, "Shared_Dirty:   ", mss->shared_dirty);
	show_kb(m, "Private_Clean:  ", mss->private_clean);
	show_kb(m, "Private_Dirty:  ", mss->private_dirty);
	show_kb(m, "Referenced:     ", mss->referenced);
	show_kb(m, "Anonymous:      ", mss->anonymous);
	show_kb(m, "KSM:            ", mss->ksm);
	show_kb(m, "LazyFree:       ", mss->lazyfree);
	show_kb(m, "AnonHugePages:  ", mss->anonymous_thp);
	show_kb(m, "ShmemPmdMapped: ", mss->shmem_thp);
	show_kb(m, "FilePmdMapped:  ", mss->file_thp);
	show_kb(m, "Shared_Hugetlb: ", 0);
	seq_printf(m, "Private_Hugetlb: %7lu kB\n", 0ul);
	show_kb(m, "Swap:           ", mss->swap);
	show_pss(m, "SwapPss:        ", mss->swap_pss);
	show_pss(m, "Locked:         ", mss->pss_locked);
}

/* Would a host with huge pages on request (thp_align) give the area any? */
static bool thp_eligible(const struct vm_area_struct *vma)
{
	const struct mm_struct *mm = vma->vm_mm;
	uint64_t first = ALIGN((uint64_t)vma->vm_start, PMD_SIZE);

	return mm->machine->options.thp_align && !mm->thp_disable && vma_is_anonymous(vma) &&
	       (vma->vm_flags & VM_HUGEPAGE) && first + PMD_SIZE <= vma->vm_end;
}

static void show_flags(struct seq *m, uint64_t flags)
{
	static const struct { uint64_t flag; char letters[4]; } names[] = {
		{ VM_READ, "rd " }, { VM_WRITE, "wr " }, { VM_EXEC, "ex " }, { VM_SHARED, "sh " },
		{ VM_MAYREAD, "mr " }, { VM_MAYWRITE, "mw " }, { VM_MAYEXEC, "me " },
		{ VM_MAYSHARE, "ms " }, { VM_GROWSDOWN, "gd " }, { VM_PFNMAP, "pf " },
		{ VM_LOCKED, "lo " }, { VM_IO, "io " }, { VM_SEQ_READ, "sr " }, { VM_RAND_READ, "rr " },
		{ VM_DONTCOPY, "dc " }, { VM_DONTEXPAND, "de " }, { VM_LOCKONFAULT, "lf " },
		{ VM_ACCOUNT, "ac " }, { VM_NORESERVE, "nr " }, { VM_HUGETLB, "ht " },
		{ VM_SYNC, "sf " }, { VM_WIPEONFORK, "wf " }, { VM_DONTDUMP, "dd " },
		{ VM_SOFTDIRTY, "sd " }, { VM_MIXEDMAP, "mm " }, { VM_HUGEPAGE, "hg " },
		{ VM_NOHUGEPAGE, "nh " }, { VM_MERGEABLE, "mg " }, { VM_DROPPABLE, "dp " },
		{ VM_SEALED, "sl " }, { VM_MAYBE_GUARD, "gu " },
	};

	seq_puts(m, "VmFlags: ");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (flags & names[i].flag)
			seq_puts(m, names[i].letters);
	seq_puts(m, "\n");
}

static void show_smap(struct seq *m, struct vm_area_struct *vma)
{
	struct mem_size_stats mss = { 0 };

	gather(vma, &mss);
	show_map(m, vma);
	show_kb(m, "Size:           ", vma->vm_end - vma->vm_start);
	show_kb(m, "KernelPageSize: ", PAGE_SIZE);
	show_kb(m, "MMUPageSize:    ", PAGE_SIZE);
	show_smap_figures(m, &mss, false);
	seq_printf(m, "THPeligible:    %8u\n", thp_eligible(vma));
	seq_printf(m, "ProtectionKey:  %8u\n", vma_pkey(vma));
	show_flags(m, vma->vm_flags);
}

/* ---- numa_maps ---------------------------------------------------------------------------------------- */

/* One node, the default policy. Which lists of reclaim pages are on isn't told. */
static void show_numa_map(struct seq *m, struct vm_area_struct *vma)
{
	struct mem_size_stats mss = { 0 };
	char buffer[4096];
	unsigned long pages, anon, dirty;

	gather(vma, &mss);
	pages = mss.resident >> PAGE_SHIFT;
	anon = mss.anonymous >> PAGE_SHIFT;
	dirty = (mss.shared_dirty + mss.private_dirty) >> PAGE_SHIFT;
	seq_printf(m, "%08lx default", (unsigned long)vma->vm_start);
	if (vma->vm_file) {
		seq_puts(m, " file=");
		seq_escaped(m, file_name(vma->vm_file, buffer, sizeof(buffer)), "\n\t= ");
	} else if (is_heap(vma)) {
		seq_puts(m, " heap");
	} else if (is_stack(vma)) {
		seq_puts(m, " stack");
	}
	if (pages) {
		if (anon)
			seq_printf(m, " anon=%lu", anon);
		if (dirty)
			seq_printf(m, " dirty=%lu", dirty);
		if (pages != anon && pages != dirty)
			seq_printf(m, " mapped=%lu", pages);
		if (mss.mapcount_max > 1)
			seq_printf(m, " mapmax=%d", mss.mapcount_max);
		seq_printf(m, " N0=%lu kernelpagesize_kB=4", pages);
	}
	seq_puts(m, "\n");
}

/* ---- listings ------------------------------------------------------------------------------------------- */

typedef void (*show_area)(struct seq *m, struct vm_area_struct *vma);

static int show_areas(struct mm_struct *mm, aspace_emit emit, void *priv, show_area show)
{
	struct seq m;

	seq_init(&m, emit, priv);
	mmap_read_lock(mm);
	for (struct vm_area_struct *vma = find_vma(mm, 0); vma && !m.error; vma = vma_next(vma))
		show(&m, vma);
	mmap_read_unlock(mm);
	seq_flush(&m);
	return m.error;
}

int aspace_print_maps(struct aspace_mm *mm, aspace_emit emit, void *priv)
{
	return show_areas(mm, emit, priv, show_map);
}

int aspace_print_smaps(struct aspace_mm *mm, aspace_emit emit, void *priv)
{
	return show_areas(mm, emit, priv, show_smap);
}

int aspace_print_numa_maps(struct aspace_mm *mm, aspace_emit emit, void *priv)
{
	return show_areas(mm, emit, priv, show_numa_map);
}

int aspace_print_area(struct aspace_mm *mm, enum aspace_listing listing, uint64_t *addr, aspace_emit emit,
		      void *priv)
{
	static const show_area show[] = {
		[ASPACE_MAPS] = show_map, [ASPACE_SMAPS] = show_smap, [ASPACE_NUMA_MAPS] = show_numa_map,
	};
	struct vm_area_struct *vma;
	struct seq m;

	if ((size_t)listing >= ARRAY_SIZE(show))
		return -EINVAL;
	seq_init(&m, emit, priv);
	mmap_read_lock(mm);
	vma = find_vma(mm, *addr);
	if (vma) {
		show[listing](&m, vma);
		*addr = vma->vm_end;
	}
	mmap_read_unlock(mm);
	seq_flush(&m);
	return m.error ? m.error : vma != NULL;
}

int aspace_print_smaps_rollup(struct aspace_mm *mm, aspace_emit emit, void *priv)
{
	struct seq m;
	struct mem_size_stats mss = { 0 };
	struct vm_area_struct *first, *vma;
	char line[160];
	int n;

	seq_init(&m, emit, priv);
	mmap_read_lock(mm);
	first = find_vma(mm, 0);
	for (vma = first; vma; vma = vma_next(vma))
		gather(vma, &mss);
	n = snprintf(line, sizeof(line), "%08lx-%08lx ---p 00000000 00:00 0 ", first ? first->vm_start : 0,
		     first ? vma_of(mm->mm_mt.last)->vm_end : 0);
	mmap_read_unlock(mm);
	seq_printf(&m, "%s%*s[rollup]\n", line, max(1, 73 - n), "");
	show_smap_figures(&m, &mss, true);
	seq_flush(&m);
	return m.error;
}

/* ---- totals --------------------------------------------------------------------------------------------- */

static uint64_t text_bytes(const struct mm_struct *mm)
{
	return PAGE_ALIGN(mm->end_code) - (mm->start_code & PAGE_MASK);
}

static uint64_t rss_of(struct mm_struct *mm, int kind)
{
	long pages = atomic_load(&mm->rss_stat[kind]);

	return pages < 0 ? 0 : (uint64_t)pages << PAGE_SHIFT;
}

int aspace_print_statm(struct aspace_mm *mm, aspace_emit emit, void *priv)
{
	struct seq m;
	uint64_t shared = rss_of(mm, MM_FILEPAGES) + rss_of(mm, MM_SHMEMPAGES);

	seq_init(&m, emit, priv);
	mmap_read_lock(mm);
	seq_printf(&m, "%lu %lu %lu %lu 0 %lu 0\n", (unsigned long)mm->total_vm, (unsigned long)mm_rss(mm),
		   (unsigned long)(shared >> PAGE_SHIFT), (unsigned long)(text_bytes(mm) >> PAGE_SHIFT),
		   (unsigned long)(mm->data_vm + mm->stack_vm));
	mmap_read_unlock(mm);
	seq_flush(&m);
	return m.error;
}

static uint64_t page_table_bytes(struct mm_struct *mm)
{
	long tables = 0;

	/* The root belongs to the mm itself. */
	for (size_t level = 0; level < ARRAY_SIZE(mm->pgtables); level++)
		tables += atomic_load(&mm->pgtables[level]);
	return tables > 1 ? (uint64_t)(tables - 1) << PAGE_SHIFT : 0;
}

int aspace_print_status(struct aspace_mm *mm, aspace_emit emit, void *priv)
{
	struct seq m;
	uint64_t text;

	seq_init(&m, emit, priv);
	mmap_read_lock(mm);
	text = min(text_bytes(mm), mm->exec_vm << PAGE_SHIFT);
	show_kb(&m, "VmPeak:\t", max(mm->hiwater_vm, mm->total_vm) << PAGE_SHIFT);
	show_kb(&m, "VmSize:\t", mm->total_vm << PAGE_SHIFT);
	show_kb(&m, "VmLck:\t", mm->locked_vm << PAGE_SHIFT);
	show_kb(&m, "VmPin:\t", atomic_load(&mm->pinned_vm) << PAGE_SHIFT);
	show_kb(&m, "VmHWM:\t", mm_hiwater_rss(mm) << PAGE_SHIFT);
	show_kb(&m, "VmRSS:\t", mm_rss(mm) << PAGE_SHIFT);
	show_kb(&m, "RssAnon:\t", rss_of(mm, MM_ANONPAGES));
	show_kb(&m, "RssFile:\t", rss_of(mm, MM_FILEPAGES));
	show_kb(&m, "RssShmem:\t", rss_of(mm, MM_SHMEMPAGES));
	show_kb(&m, "VmData:\t", mm->data_vm << PAGE_SHIFT);
	show_kb(&m, "VmStk:\t", mm->stack_vm << PAGE_SHIFT);
	show_kb(&m, "VmExe:\t", text);
	show_kb(&m, "VmLib:\t", (mm->exec_vm << PAGE_SHIFT) - text);
	show_kb(&m, "VmPTE:\t", page_table_bytes(mm));
	show_kb(&m, "VmSwap:\t", rss_of(mm, MM_SWAPENTS));
	show_kb(&m, "HugetlbPages:\t", 0);
	mmap_read_unlock(mm);
	seq_flush(&m);
	return m.error;
}
