/* SPDX-License-Identifier: MIT */
/* The library's side: the picture after an operation. */
#include "check_ours.h"

static void *pool_take(struct check_trace *t, size_t n)
{
	uint32_t at = t->used;

	if (at + n > CHECK_POOL)
		return NULL;
	t->used = at + (uint32_t)n;
	return t->pool + at;
}

static uint64_t letters_of(uint64_t flags)
{
	/* in the order of CHECK_VMFLAGS */
	static const uint64_t bits[CHECK_NR_VMFLAGS] = {
		ASPACE_VM_READ, ASPACE_VM_WRITE, ASPACE_VM_EXEC, ASPACE_VM_SHARED, ASPACE_VM_MAYREAD,
		ASPACE_VM_MAYWRITE, ASPACE_VM_MAYEXEC, ASPACE_VM_MAYSHARE, ASPACE_VM_GROWSDOWN,
		ASPACE_VM_PFNMAP, ASPACE_VM_LOCKED, ASPACE_VM_IO, ASPACE_VM_SEQ_READ,
		ASPACE_VM_RAND_READ, ASPACE_VM_DONTCOPY, ASPACE_VM_DONTEXPAND, ASPACE_VM_LOCKONFAULT,
		ASPACE_VM_ACCOUNT, ASPACE_VM_NORESERVE, ASPACE_VM_HUGETLB, ASPACE_VM_SYNC,
		ASPACE_VM_WIPEONFORK, ASPACE_VM_DONTDUMP, ASPACE_VM_MIXEDMAP, ASPACE_VM_HUGEPAGE,
		ASPACE_VM_NOHUGEPAGE, ASPACE_VM_MERGEABLE, ASPACE_VM_DROPPABLE, ASPACE_VM_SEALED,
		ASPACE_VM_MAYBE_GUARD,
	};
	uint64_t letters = 0;

	for (unsigned i = 0; i < CHECK_NR_VMFLAGS; i++)
		if (flags & bits[i])
			letters |= 1ull << i;
	return letters;
}

static void fill_area(const struct check_ours *o, const struct aspace_area *a, struct check_area *out,
		      bool full)
{
	*out = (struct check_area){
		.start = a->start, .end = a->end, .offset = a->offset, .file = ours_file_number(o, a),
		.perm = (a->flags & 7) | (a->flags & ASPACE_VM_MAYSHARE ? 8 : 0),
	};
	if (!full)
		return;
	out->vmflags = letters_of(a->flags);
	out->pkey = (int)((a->flags & ASPACE_VM_PKEY_MASK) >> ASPACE_VM_PKEY_SHIFT);
	out->heap = !strcmp(a->name, "[heap]");
}

unsigned check_ours_areas(struct check_ours *o, struct check_area *area, unsigned max)
{
	struct aspace_area a = { .size = sizeof(a) };
	unsigned n = 0;

	for (uint64_t at = 0; n < max; at = a.end) {
		if (aspace_find_area(ours_now(o)->mm, at, &a) || a.start >= CHECK_HOME)
			break;
		fill_area(o, &a, &area[n++], true);
	}
	return n;
}

static void add_pages(struct check_ours *o, struct check_picture *p, const struct check_area *a,
		      uint64_t from, uint64_t n)
{
	uint64_t entries[CHECK_HEAD_PAGES];
	struct aspace_mm *mm = ours_now(o)->mm;

	if (aspace_pagemap_read(mm, from, entries, n) != (int64_t)n)
		return;
	for (unsigned i = 0; i < n; i++) {
		uint64_t bits = entries[i] & CHECK_PM_BITS;
		struct aspace_translation tr = { .size = sizeof(tr) };
		struct check_page *page;

		if (!bits || (bits >> 61 & 1 && a->file >= 0 && o->kind[a->file] >= FILE_TMP_RW))
			continue;
		page = pool_take(o->trace, sizeof(*page));
		if (!page) {
			p->truncated = 1;
			return;
		}
		page->addr = from + i * CHECK_PAGE;
		page->bits = bits;
		page->hash = 0;
		if (bits >> 63 && (a->perm & 1) && !a->pkey &&
		    !aspace_translate(mm, page->addr, ASPACE_READ, &tr))
			page->hash = check_hash(tr.host, 512) ?: 1;
		p->pages++;
	}
}

static void picture_contents(struct check_ours *o, struct check_picture *p)
{
	const struct check_area *a = check_areas(p);

	for (unsigned i = 0; i < p->areas; i++, a++) {
		uint64_t n = (a->end - a->start) / CHECK_PAGE;

		if (n <= CHECK_HEAD_PAGES) {
			add_pages(o, p, a, a->start, n);
			continue;
		}
		add_pages(o, p, a, a->start, CHECK_HEAD_PAGES);
		n -= CHECK_HEAD_PAGES;
		n = n < CHECK_TAIL_PAGES ? n : CHECK_TAIL_PAGES;
		add_pages(o, p, a, a->end - n * CHECK_PAGE, n);
	}
}

static void picture_counters(struct check_ours *o, struct check_picture *p)
{
	struct aspace_mm_stats s = { .size = sizeof(s) };

	aspace_mm_stats(ours_now(o)->mm, &s);
	p->vm_size = s.total_vm * 4;
	p->vm_lck = s.locked_vm * 4;
	p->vm_data = s.data_vm * 4;
	p->vm_stk = s.stack_vm * 4;
}

/* The text of smaps, read as the kernel's is. */
struct smaps_reader {
	struct check_ours *o;
	struct check_picture *p;
	struct check_area *area;
	char line[512];
	size_t n;
};

static void smaps_line(struct smaps_reader *s)
{
	struct check_area *first = (struct check_area *)(s->p + 1);
	const char *value;
	int key;

	if ((s->line[0] >= '0' && s->line[0] <= '9') || (s->line[0] >= 'a' && s->line[0] <= 'f')) {
		s->area = s->area ? s->area + 1 : first;
		return;
	}
	if (!s->area || s->area - first >= (long)s->p->areas)
		return;
	key = check_smaps_key(s->line, &value);
	if (key >= 0 && check_smaps_tell(s->area, s->area->file >= 0 && s->o->kind[s->area->file] >= FILE_TMP_RW))
		s->area->smaps[key] = (uint32_t)strtoul(value, NULL, 10);
}

static int smaps_text(void *priv, const char *text, size_t n)
{
	struct smaps_reader *s = priv;

	for (size_t i = 0; i < n; i++) {
		if (text[i] != '\n') {
			s->line[s->n] = text[i];
			s->n += s->n + 1 < sizeof(s->line);
			continue;
		}
		s->line[s->n] = 0;
		s->n = 0;
		smaps_line(s);
	}
	return 0;
}

static void picture_smaps(struct check_ours *o, struct check_picture *p)
{
	struct smaps_reader s = { .o = o, .p = p };

	aspace_print_smaps(ours_now(o)->mm, smaps_text, &s);
}

void ours_picture(struct check_ours *o, unsigned i, unsigned n, const struct check_look *look)
{
	struct check_result *r = &o->trace->result[i];
	unsigned level = check_look_at(look, i, n);
	bool full = level == 2;
	struct check_trace *t = o->trace;
	struct aspace_area a = { .size = sizeof(a) };
	struct check_picture *p;

	if (!level)
		return;
	p = pool_take(t, sizeof(*p));
	if (!p)
		return;
	memset(p, 0, sizeof(*p));
	r->picture = (uint32_t)((uint8_t *)p - t->pool + 1);
	for (uint64_t at = 0; ; at = a.end) {
		struct check_area *out;

		if (aspace_find_area(ours_now(o)->mm, at, &a) || a.start >= CHECK_HOME)
			break;
		out = pool_take(t, sizeof(*out));
		if (!out) {
			p->truncated = 1;
			return;
		}
		fill_area(o, &a, out, full);
		p->areas++;
	}
	if (!full)
		return;
	p->full = 1;
	p->smaps = look->smaps && !o->areas_only;
	if (p->smaps)
		picture_smaps(o, p);
	picture_counters(o, p);
	if (look->pages && !o->areas_only)
		picture_contents(o, p);
}
