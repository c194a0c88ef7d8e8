/* SPDX-License-Identifier: MIT */
#include "arch/pgtable.h"

#include <stddef.h>

uint64_t pt_leaf_bits(const struct pt_format *f, unsigned access, unsigned pkey)
{
	uint64_t bits = f->user | f->accessed;

	if (f->pkey_mask)
		bits |= (uint64_t)pkey << f->pkey_shift;
	if (!(access & (ASPACE_READ | ASPACE_WRITE | ASPACE_EXEC)))
		return bits | f->protnone | f->noexec;
	bits |= f->present;
	if (access & (ASPACE_READ | ASPACE_WRITE))	/* no format has write without read */
		bits |= f->read;
	if (access & ASPACE_WRITE)
		bits |= f->write;
	return bits | (access & ASPACE_EXEC ? f->exec : f->noexec);
}

unsigned pt_access(const struct pt_format *f, uint64_t entry)
{
	unsigned access = 0;

	if (!(entry & f->present) || !(entry & f->user))
		return 0;
	if (!f->read || (entry & f->read))
		access |= ASPACE_READ;
	if (entry & f->write)
		access |= ASPACE_WRITE;
	if (f->exec ? !!(entry & f->exec) : !(entry & f->noexec))
		access |= ASPACE_EXEC;
	return access;
}

const struct pt_format *pt_format_of(enum aspace_format format)
{
	switch (format) {
	case ASPACE_X86_64_4LEVEL:
		return &pt_x86_64_4level;
	case ASPACE_X86_64_5LEVEL:
		return &pt_x86_64_5level;
	}
	return NULL;
}
