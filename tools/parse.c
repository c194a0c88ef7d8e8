// SPDX-License-Identifier: MIT
/* Numbers and sizes as people type them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools.h"

bool parse_number(const char *text, uint64_t *value)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*value = strtoull(text, &end, 0);
	return !errno && !*end;
}

bool parse_size(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMGT";
	char *end;
	uint64_t value;
	unsigned shift = 0;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno)
		return false;
	if (*end) {
		const char *unit = strchr(units, *end & ~0x20);

		if (!unit || !*unit)
			return false;
		shift = 10 * (unsigned)(unit - units + 1);
		end++;
		if (!strcmp(end, "iB") || !strcmp(end, "B"))
			end += strlen(end);
	}
	if (*end || value > UINT64_MAX >> shift)
		return false;
	*bytes = value << shift;
	return true;
}
