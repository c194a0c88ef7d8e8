/* SPDX-License-Identifier: MIT */
#include "tools/proc_maps.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <aspace/abi.h>

bool parse_maps_line(const char *line, struct shown_area *area)
{
	int name = 0;

	area->name[0] = '\0';
	area->flags = 0;
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 " %n", &area->start,
		   &area->end, area->perms, &area->offset, &area->dev_major, &area->dev_minor, &area->ino,
		   &name) < 7)
		return false;
	snprintf(area->name, sizeof(area->name), "%s", line + name);
	area->name[strcspn(area->name, "\n")] = '\0';
	return true;
}

static const struct {
	char letters[3];
	uint64_t flag;
} vm_flag_letters[] = {
	{ "rd", ASPACE_VM_READ },	{ "wr", ASPACE_VM_WRITE },	{ "ex", ASPACE_VM_EXEC },
	{ "sh", ASPACE_VM_SHARED },	{ "mr", ASPACE_VM_MAYREAD },	{ "mw", ASPACE_VM_MAYWRITE },
	{ "me", ASPACE_VM_MAYEXEC },	{ "ms", ASPACE_VM_MAYSHARE },	{ "gd", ASPACE_VM_GROWSDOWN },
	{ "pf", ASPACE_VM_PFNMAP },	{ "lo", ASPACE_VM_LOCKED },	{ "io", ASPACE_VM_IO },
	{ "sr", ASPACE_VM_SEQ_READ },	{ "rr", ASPACE_VM_RAND_READ },	{ "dc", ASPACE_VM_DONTCOPY },
	{ "de", ASPACE_VM_DONTEXPAND },	{ "lf", ASPACE_VM_LOCKONFAULT }, { "ac", ASPACE_VM_ACCOUNT },
	{ "nr", ASPACE_VM_NORESERVE },	{ "ht", ASPACE_VM_HUGETLB },	{ "sf", ASPACE_VM_SYNC },
	{ "wf", ASPACE_VM_WIPEONFORK },	{ "dd", ASPACE_VM_DONTDUMP },	{ "sd", ASPACE_VM_SOFTDIRTY },
	{ "mm", ASPACE_VM_MIXEDMAP },	{ "hg", ASPACE_VM_HUGEPAGE },	{ "nh", ASPACE_VM_NOHUGEPAGE },
	{ "mg", ASPACE_VM_MERGEABLE },	{ "dp", ASPACE_VM_DROPPABLE },	{ "sl", ASPACE_VM_SEALED },
};

uint64_t parse_vm_flags(const char *text)
{
	uint64_t flags = 0;

	for (; *text; text += strspn(text, " \n")) {
		for (size_t i = 0; i < sizeof(vm_flag_letters) / sizeof(vm_flag_letters[0]); i++)
			if (!strncmp(text, vm_flag_letters[i].letters, 2))
				flags |= vm_flag_letters[i].flag;
		text += strcspn(text, " \n");
	}
	return flags;
}
