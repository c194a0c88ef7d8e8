// SPDX-License-Identifier: MIT
/*
 * The table of system calls. A number that Linux knows and nobody defines a handler for answers
 * ENOSYS: its weak declaration below stays NULL.
 */
#include "syscall_table.h"
#include "syscalls.h"

#define DECLARE(nr, name, args) extern SYSCALL(name) __attribute__((weak));
SYSCALL_TABLE(DECLARE, DECLARE)

#define ROW(nr, name, args) [nr] = { #name, sys_##name, args, false },
#define ROW_MM(nr, name, args) [nr] = { #name, sys_##name, args, true },
static const struct sys_entry table[] = { SYSCALL_TABLE(ROW, ROW_MM) };

const struct sys_entry *syscall_entry(uint64_t nr)
{
	if (nr >= sizeof(table) / sizeof(table[0]) || !table[nr].name)
		return NULL;
	return &table[nr];
}
