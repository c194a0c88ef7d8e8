/* SPDX-License-Identifier: MIT */
/*
 * fuzz: needs tools/proc_maps.c
 *
 * The parsers of /proc/PID/maps and smaps: whatever the text, they stay inside it, and a line that was
 * understood is understood the same when it is written again.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/proc_maps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct shown_area once, again;
	char *line = malloc(size + 1);		/* exactly as large: a byte further would be seen */
	static char written[8192];

	if (!line)
		return 0;
	memcpy(line, data, size);
	line[size] = '\0';
	parse_vm_flags(line);
	if (parse_maps_line(line, &once)) {
		snprintf(written, sizeof(written), "%" PRIx64 "-%" PRIx64 " %s %" PRIx64 " %x:%x %" PRIu64 " %s",
			 once.start, once.end, once.perms, once.offset, once.dev_major, once.dev_minor, once.ino,
			 once.name);
		if (!parse_maps_line(written, &again) || again.start != once.start || again.end != once.end ||
		    again.ino != once.ino || again.offset != once.offset || strcmp(again.perms, once.perms))
			abort();
	}
	free(line);
	return 0;
}
