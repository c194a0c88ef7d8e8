/* SPDX-License-Identifier: MIT */
/* /proc/PID/maps and smaps, read back. */
#ifndef TOOLS_PROC_MAPS_H
#define TOOLS_PROC_MAPS_H

#include <stdbool.h>
#include <stdint.h>

struct shown_area {
	uint64_t start, end, offset, ino, flags;
	unsigned dev_major, dev_minor;
	char perms[5];
	char name[4200];
};

/* One line of maps, with or without its newline. false: it is none. flags are left 0. */
bool parse_maps_line(const char *line, struct shown_area *area);
/* The letters after "VmFlags:", as ASPACE_VM_* bits; what has no bit of ours is passed over. */
uint64_t parse_vm_flags(const char *text);

#endif
