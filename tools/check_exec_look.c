/* SPDX-License-Identifier: MIT */
/* The kernel's side: what /proc/self says about us after an operation, and our own memory's contents. */
#include "check_exec.h"

struct procmap_query_ {		/* <linux/fs.h> since 6.11 */
	uint64_t size, query_flags, query_addr, vma_start, vma_end, vma_flags, vma_page_size,
		vma_offset, inode;
	uint32_t dev_major, dev_minor, vma_name_size, build_id_size;
	uint64_t vma_name_addr, build_id_addr;
};
#define PROCMAP_QUERY_ 0xc0686611u
#define COVERING_OR_NEXT 0x10

static HOME void open_proc_one(int which, const char *path)
{
	int64_t fd = SYS(SYS_open, path, which == PROC_MEM ? O_RDWR : O_RDONLY);

	if (fd < 0)
		die(41);
	if (fd != FD_PROC + which) {
		SYS(SYS_dup2, fd, FD_PROC + which);
		SYS(SYS_close, fd);
	}
}

/* /proc/self is who opens it: each process anew. */
HOME void exec_open_proc(void)
{
	open_proc_one(PROC_MAPS, "/proc/self/maps");
	open_proc_one(PROC_SMAPS, "/proc/self/smaps");
	open_proc_one(PROC_PAGEMAP, "/proc/self/pagemap");
	open_proc_one(PROC_STATUS, "/proc/self/status");
	open_proc_one(PROC_MEM, "/proc/self/mem");
}

static HOME int file_number(uint64_t dev, uint64_t ino)
{
	if (!ino)
		return -1;
	for (int i = 0; i < CHECK_FILES; i++)
		if (ST->file[i].ino == ino && ST->file[i].dev == dev)
			return i;
	return -2;
}

static HOME uint64_t make_dev(uint64_t major, uint64_t minor)	/* as st_dev holds it */
{
	return (major & 0xfff) << 8 | (minor & 0xff) | (minor & ~0xffull) << 12;
}

static HOME void *pool_take(struct check_trace *t, size_t n)
{
	uint32_t at = t->used;

	if (at + n > CHECK_POOL)
		return NULL;
	t->used = at + n;
	return t->pool + at;
}

static HOME void picture_areas(struct check_trace *t, struct check_picture *p)
{
	struct procmap_query_ q;

	for (uint64_t at = 0; ; at = q.vma_end) {
		struct check_area *a;

		exec_zero(&q, sizeof(q));
		q.size = sizeof(q);
		q.query_flags = COVERING_OR_NEXT;
		q.query_addr = at;
		if (SYS(SYS_ioctl, FD_PROC + PROC_MAPS, PROCMAP_QUERY_, &q) < 0 ||
		    q.vma_start >= CHECK_HOME)
			return;
		a = pool_take(t, sizeof(*a));
		if (!a) {
			p->truncated = 1;
			return;
		}
		exec_zero(a, sizeof(*a));
		a->start = q.vma_start;
		a->end = q.vma_end;
		a->offset = q.vma_offset;
		a->perm = q.vma_flags & 15;
		a->file = file_number(make_dev(q.dev_major, q.dev_minor), q.inode);
		p->areas++;
	}
}

/* ---- full pictures: smaps, pagemap, contents, counters ----------------------------------------- */

static HOME bool starts(const char *s, const char *with)
{
	for (; *with; s++, with++)
		if (*s != *with)
			return false;
	return true;
}

static HOME uint64_t number(const char *s)
{
	uint64_t n = 0;

	while (*s == ' ' || *s == '\t')
		s++;
	for (; *s >= '0' && *s <= '9'; s++)
		n = n * 10 + (*s - '0');
	return n;
}

static HOME uint64_t vmflags_of(const char *s)
{
	static const char letters[] = CHECK_VMFLAGS;
	uint64_t flags = 0;

	for (; *s && *s != '\n'; s++) {
		if (*s == ' ')
			continue;
		for (unsigned i = 0; i < CHECK_NR_VMFLAGS; i++)
			if (letters[3 * i] == s[0] && letters[3 * i + 1] == s[1])
				flags |= 1ull << i;
		s++;
	}
	return flags;
}

/* One line of smaps; `a` is the area whose lines these are. Returns the area from here on. */
static HOME struct check_area *smaps_line(struct check_picture *p, struct check_area *a, const char *s,
					  unsigned n)
{
	struct check_area *first = (struct check_area *)(p + 1);
	const char *value;
	int key;

	if ((s[0] >= '0' && s[0] <= '9') || (s[0] >= 'a' && s[0] <= 'f')) {
		a = a ? a + 1 : first;
		if (a - first >= (long)p->areas)
			return NULL;
		a->heap = n > 6 && starts(s + n - 6, "[heap]");
	} else if (starts(s, "VmFlags:")) {
		a->vmflags = vmflags_of(s + 8);
	} else if (starts(s, "ProtectionKey:")) {
		a->pkey = (int)number(s + 14);
	} else if (p->smaps && check_smaps_tell(a, a->file >= 0 && ST->file[a->file].kind >= FILE_TMP_RW) &&
		   (key = check_smaps_key(s, &value)) >= 0) {
		a->smaps[key] = (uint32_t)number(value);
	}
	return a;
}

static HOME void picture_smaps(struct check_picture *p)
{
	struct check_area *a = NULL;
	unsigned have = 0;
	int64_t got;

	SYS(SYS_lseek, FD_PROC + PROC_SMAPS, 0, SEEK_SET);
	while ((got = SYS(SYS_read, FD_PROC + PROC_SMAPS, ST->text + have,
			  sizeof(ST->text) - 1 - have)) > 0) {
		unsigned from = 0;

		have += got;
		for (unsigned i = 0; i < have; i++) {
			if (ST->text[i] != '\n')
				continue;
			ST->text[i] = 0;
			a = smaps_line(p, a, ST->text + from, i - from);
			if (!a)
				return;
			from = i + 1;
		}
		for (unsigned i = from; i < have; i++)
			ST->text[i - from] = ST->text[i];
		have -= from;
	}
}

static HOME void picture_status(struct check_picture *p)
{
	int64_t n = SYS(SYS_pread64, FD_PROC + PROC_STATUS, ST->text, sizeof(ST->text) - 1, 0);

	if (n < 0)
		return;
	ST->text[n] = 0;
	for (const char *s = ST->text; *s; ) {
		if (starts(s, "VmSize:"))
			p->vm_size = number(s + 7);
		else if (starts(s, "VmLck:"))
			p->vm_lck = number(s + 6);
		else if (starts(s, "VmData:"))
			p->vm_data = number(s + 7);
		else if (starts(s, "VmStk:"))
			p->vm_stk = number(s + 6);
		while (*s && *s++ != '\n')
			;
	}
}

/* The contents of a present page, by a load if it may be read: that changes nothing. */
static HOME uint64_t page_hash(const struct check_area *a, uint64_t addr)
{
	uint64_t h;

	if (!(a->perm & 1) || a->pkey)
		return 0;
	for (unsigned i = 0; i < 512; i += 64) {
		ST->words[i] = exec_load(addr + i * 8, 8);
		if (ST->signal)
			return 0;
		for (unsigned j = 1; j < 64; j++)
			ST->words[i + j] = ((volatile uint64_t *)addr)[i + j];
	}
	h = check_hash(ST->words, 512);
	return h ? h : 1;
}

static HOME void picture_pages(struct check_trace *t, struct check_picture *p,
			       const struct check_area *a, uint64_t from, uint64_t n)
{
	if (SYS(SYS_pread64, FD_PROC + PROC_PAGEMAP, ST->entries, n * 8, from / CHECK_PAGE * 8) !=
	    (int64_t)(n * 8))
		die(42);
	for (unsigned i = 0; i < n; i++) {
		uint64_t bits = ST->entries[i] & CHECK_PM_BITS;
		struct check_page *page;

		/* which pages of a file are mapped beside those touched is its file system's business */
		if (!bits || (bits >> 61 & 1 && a->file >= 0 && ST->file[a->file].kind >= FILE_TMP_RW))
			continue;
		page = pool_take(t, sizeof(*page));
		if (!page) {
			p->truncated = 1;
			return;
		}
		page->addr = from + i * CHECK_PAGE;
		page->bits = bits;
		page->hash = bits >> 63 ? page_hash(a, page->addr) : 0;
		p->pages++;
	}
}

static HOME void picture_contents(struct check_trace *t, struct check_picture *p)
{
	const struct check_area *a = (const struct check_area *)(p + 1);

	for (unsigned i = 0; i < p->areas; i++, a++) {
		uint64_t n = (a->end - a->start) / CHECK_PAGE;

		if (n <= CHECK_HEAD_PAGES) {
			picture_pages(t, p, a, a->start, n);
			continue;
		}
		picture_pages(t, p, a, a->start, CHECK_HEAD_PAGES);
		n -= CHECK_HEAD_PAGES;
		n = n < CHECK_TAIL_PAGES ? n : CHECK_TAIL_PAGES;
		picture_pages(t, p, a, a->end - n * CHECK_PAGE, n);
	}
}

HOME void exec_picture(struct check_slot *slot, unsigned i, unsigned look)
{
	struct check_trace *t = &slot->trace;
	struct check_picture *p = pool_take(t, sizeof(*p));

	if (!p)
		return;
	exec_zero(p, sizeof(*p));
	t->result[i].picture = (uint8_t *)p - t->pool + 1;
	picture_areas(t, p);
	if (look < 2 || p->truncated)
		return;
	p->full = 1;
	p->smaps = slot->look.smaps;
	picture_smaps(p);
	picture_status(p);
	if (slot->look.pages)
		picture_contents(t, p);
}

/* ---- home -------------------------------------------------------------------------------------- */

/* What is mapped now and how far limits go, for the library to have the same. */
HOME void exec_describe_home(void)
{
	struct procmap_query_ q;
	struct rlimit r;
	unsigned n = 0;

	RING->mmap_min_addr = SYS(SYS_mmap, CHECK_PAGE, CHECK_PAGE, 0, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	SYS(SYS_munmap, RING->mmap_min_addr, CHECK_PAGE);
	for (unsigned i = 0; i < 16; i++) {
		SYS(SYS_getrlimit, i, &r);
		RING->rlim_cur[i] = r.rlim_cur;
		RING->rlim_max[i] = r.rlim_max;
	}

	for (uint64_t at = 0; n < 16; at = q.vma_end, n++) {
		exec_zero(&q, sizeof(q));
		q.size = sizeof(q);
		q.query_flags = COVERING_OR_NEXT;
		q.query_addr = at;
		if (SYS(SYS_ioctl, FD_PROC + PROC_MAPS, PROCMAP_QUERY_, &q) < 0)
			break;
		RING->home[n].start = q.vma_start;
		RING->home[n].end = q.vma_end;
		RING->home[n].flags = q.vma_flags & 15;
	}
	RING->nr_home = n;
}
