/* SPDX-License-Identifier: MIT */
/* What the areas wing asks of a machine that has pages. */
#include "mm/pagetable.h"

static int page_mm_init(struct mm_struct *mm)
{
	return pgd_alloc(mm);
}

static void page_mm_exit(struct mm_struct *mm)
{
	struct aspace_machine *m = mm->machine;

	if (!mm->pgd)
		return;
	if (m->port.mm_gone)
		m->port.mm_gone(m->port.priv, mm);
	pgd_free(mm);
}

const struct translation_ops page_translation_ops = {
	.mm_init = page_mm_init,
	.mm_exit = page_mm_exit,
	.unmap = unmap_areas,
	.zap = zap_area,
	.protect = change_protection,
	.move = move_page_tables,
	.copy = copy_page_range,
	.advise = advise_pages,
	.populate = mm_populate,
	.mincore = mincore_range,
};
