/* SPDX-License-Identifier: MIT */
/* The operations of aspace check: their names, and what their arguments mean. */
#include <string.h>

#include <aspace/abi.h>

#include "check.h"

const struct check_op_info check_op_info[OP_KINDS] = {
	[OP_NOP] = { "nop", { 0 } },
	[OP_MMAP] = { "mmap", { ARG_ADDR, ARG_LEN, ARG_PROT, ARG_MAP, ARG_FILE, ARG_OFF } },
	[OP_MUNMAP] = { "munmap", { ARG_ADDR, ARG_LEN } },
	[OP_BRK] = { "brk", { ARG_ADDR } },
	[OP_MPROTECT] = { "mprotect", { ARG_ADDR, ARG_LEN, ARG_PROT } },
	[OP_PKEY_MPROTECT] = { "pkey_mprotect", { ARG_ADDR, ARG_LEN, ARG_PROT, ARG_INT } },
	[OP_PKEY_ALLOC] = { "pkey_alloc", { ARG_INT, ARG_INT } },
	[OP_PKEY_FREE] = { "pkey_free", { ARG_INT } },
	[OP_MREMAP] = { "mremap", { ARG_ADDR, ARG_LEN, ARG_LEN, ARG_MREMAP, ARG_ADDR } },
	[OP_PROCESS_MADVISE] = { "process_madvise", { ARG_ADDR, ARG_LEN, ARG_ADVICE, ARG_ADDR, ARG_LEN } },
	[OP_MADVISE] = { "madvise", { ARG_ADDR, ARG_LEN, ARG_ADVICE } },
	[OP_MLOCK] = { "mlock", { ARG_ADDR, ARG_LEN } },
	[OP_MLOCK2] = { "mlock2", { ARG_ADDR, ARG_LEN, ARG_MLOCK2 } },
	[OP_MUNLOCK] = { "munlock", { ARG_ADDR, ARG_LEN } },
	[OP_MLOCKALL] = { "mlockall", { ARG_MLOCKALL } },
	[OP_MUNLOCKALL] = { "munlockall", { 0 } },
	[OP_MSYNC] = { "msync", { ARG_ADDR, ARG_LEN, ARG_MSYNC } },
	[OP_MINCORE] = { "mincore", { ARG_ADDR, ARG_LEN } },
	[OP_REMAP_FILE_PAGES] = { "remap_file_pages", { ARG_ADDR, ARG_LEN, ARG_PROT, ARG_HEX, ARG_MAP } },
	[OP_MSEAL] = { "mseal", { ARG_ADDR, ARG_LEN, ARG_INT } },
	[OP_NAME] = { "set_anon_name", { ARG_ADDR, ARG_LEN, ARG_INT } },
	[OP_LOAD] = { "load", { ARG_ADDR, ARG_INT } },
	[OP_STORE] = { "store", { ARG_ADDR, ARG_INT, ARG_HEX } },
	[OP_CALL] = { "call", { ARG_ADDR } },
	[OP_PKRU] = { "pkru", { ARG_HEX } },
	[OP_FILE] = { "file", { ARG_INT, ARG_FILE_KIND, ARG_LEN } },
	[OP_TRUNCATE] = { "ftruncate", { ARG_FILE, ARG_LEN } },
	[OP_PUNCH] = { "punch_hole", { ARG_FILE, ARG_OFF, ARG_LEN } },
	[OP_PREAD] = { "pread", { ARG_FILE, ARG_OFF } },
	[OP_PWRITE] = { "pwrite", { ARG_FILE, ARG_OFF, ARG_HEX } },
	[OP_SEAL_FILE] = { "add_seals", { ARG_FILE, ARG_SEALS } },
	[OP_READ_TO] = { "read_to", { ARG_ADDR, ARG_LEN } },
	[OP_WRITE_FROM] = { "write_from", { ARG_ADDR, ARG_LEN } },
	[OP_VM_READ] = { "vm_read", { ARG_ADDR, ARG_LEN } },
	[OP_VM_WRITE] = { "vm_write", { ARG_ADDR, ARG_LEN } },
	[OP_MEM_READ] = { "mem_read", { ARG_ADDR, ARG_LEN } },
	[OP_MEM_WRITE] = { "mem_write", { ARG_ADDR, ARG_LEN } },
	[OP_RLIMIT] = { "setrlimit", { ARG_RLIMIT, ARG_HEX } },
	[OP_PERSONALITY] = { "personality", { ARG_HEX } },
	[OP_MDWE] = { "mdwe", { ARG_INT } },
	[OP_FORK] = { "fork", { 0 } },
	[OP_EXIT] = { "exit", { 0 } },
};

#define W(x) { #x, ASPACE_##x }
static const struct check_word prot_words[] = {
	W(PROT_READ), W(PROT_WRITE), W(PROT_EXEC), W(PROT_SEM), W(PROT_GROWSDOWN), W(PROT_GROWSUP),
	{ "PROT_NONE", 0 }, { NULL, 0 },
};
/* The type, in the low bits, is a number: the largest first, so that decoding takes the right one. */
static const struct check_word map_words[] = {
	W(MAP_SHARED_VALIDATE), W(MAP_SHARED), W(MAP_PRIVATE), W(MAP_DROPPABLE), W(MAP_FIXED),
	W(MAP_ANONYMOUS), W(MAP_32BIT), W(MAP_GROWSDOWN), W(MAP_DENYWRITE), W(MAP_EXECUTABLE),
	W(MAP_LOCKED), W(MAP_NORESERVE), W(MAP_POPULATE), W(MAP_NONBLOCK), W(MAP_STACK), W(MAP_HUGETLB),
	W(MAP_SYNC), W(MAP_FIXED_NOREPLACE), W(MAP_UNINITIALIZED), { NULL, 0 },
};
static const struct check_word mremap_words[] = {
	W(MREMAP_MAYMOVE), W(MREMAP_FIXED), W(MREMAP_DONTUNMAP), { NULL, 0 },
};
static const struct check_word advice_words[] = {
	W(MADV_NORMAL), W(MADV_RANDOM), W(MADV_SEQUENTIAL), W(MADV_WILLNEED), W(MADV_DONTNEED),
	W(MADV_FREE), W(MADV_REMOVE), W(MADV_DONTFORK), W(MADV_DOFORK), W(MADV_MERGEABLE),
	W(MADV_UNMERGEABLE), W(MADV_HUGEPAGE), W(MADV_NOHUGEPAGE), W(MADV_DONTDUMP), W(MADV_DODUMP),
	W(MADV_WIPEONFORK), W(MADV_KEEPONFORK), W(MADV_COLD), W(MADV_PAGEOUT), W(MADV_POPULATE_READ),
	W(MADV_POPULATE_WRITE), W(MADV_DONTNEED_LOCKED), W(MADV_GUARD_INSTALL), W(MADV_GUARD_REMOVE),
	{ NULL, 0 },
};
static const struct check_word msync_words[] = {
	W(MS_ASYNC), W(MS_INVALIDATE), W(MS_SYNC), { NULL, 0 },
};
static const struct check_word mlock2_words[] = { W(MLOCK_ONFAULT), { NULL, 0 } };
static const struct check_word mlockall_words[] = {
	W(MCL_CURRENT), W(MCL_FUTURE), W(MCL_ONFAULT), { NULL, 0 },
};
static const struct check_word seal_words[] = {
	W(F_SEAL_SEAL), W(F_SEAL_SHRINK), W(F_SEAL_GROW), W(F_SEAL_WRITE), W(F_SEAL_FUTURE_WRITE),
	W(F_SEAL_EXEC), { NULL, 0 },
};
static const struct check_word file_words[] = {
	{ "memfd", FILE_MEMFD }, { "sealable", FILE_SEALABLE }, { "tmp_rw", FILE_TMP_RW },
	{ "tmp_ro", FILE_TMP_RO }, { "tmp_wo", FILE_TMP_WO }, { NULL, 0 },
};
static const struct check_word rlimit_words[] = {
	W(RLIMIT_DATA), W(RLIMIT_STACK), W(RLIMIT_MEMLOCK), W(RLIMIT_AS), { NULL, 0 },
};

const struct check_word *check_words(enum check_arg arg)
{
	static const struct check_word *const words[ARG_KINDS] = {
		[ARG_PROT] = prot_words, [ARG_MAP] = map_words, [ARG_MREMAP] = mremap_words,
		[ARG_ADVICE] = advice_words, [ARG_MSYNC] = msync_words, [ARG_MLOCK2] = mlock2_words,
		[ARG_MLOCKALL] = mlockall_words, [ARG_SEALS] = seal_words,
		[ARG_FILE_KIND] = file_words, [ARG_RLIMIT] = rlimit_words,
	};

	return words[arg];
}

bool check_arg_is_bits(enum check_arg arg)
{
	return check_words(arg) && arg != ARG_ADVICE && arg != ARG_FILE_KIND && arg != ARG_RLIMIT;
}

uint32_t check_kind(const char *name)
{
	uint32_t kind = 0;

	while (kind < OP_KINDS && strcmp(check_op_info[kind].name, name))
		kind++;
	return kind;
}
