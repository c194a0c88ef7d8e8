/* SPDX-License-Identifier: MIT */
/* What execve hands from the search for a format (exec.c) to the ELF loader (binfmt_elf.c). */
#ifndef KERNEL_BINFMT_H
#define KERNEL_BINFMT_H

#include "kernel.h"

#define BINPRM_BUF_SIZE 256

/*
 * Strings as they will lie at the top of the new stack: the arguments, then the environment, then
 * the name the program was called by (AT_EXECFN), each with its NUL, without gaps.
 */
struct exec_strings {
	char *data;
	size_t used, room;
	int argc, envc;
	size_t env_at, execfn_at;	/* offsets */
};

struct linux_binprm {
	struct task_struct *task;
	struct kfile *kfile;
	struct aspace_file *file;	/* the one to load: the script's interpreter, if it was one */
	char buf[BINPRM_BUF_SIZE];	/* its beginning, zeroes behind its end */
	struct exec_strings strings;

	struct aspace_mm *mm;		/* the new address space, while it is built */
	uint64_t entry, sp;
};

/* Refuses what can't be run: -errno, nothing has happened. Else *loader is what elf_load goes by. */
struct elf_loader;
int elf_prepare(struct linux_binprm *bprm, struct elf_loader **loader);
/* Builds bprm->mm; sets entry and sp. An error here is the end of the task: SIGSEGV. */
int elf_load(struct linux_binprm *bprm, struct elf_loader *loader);
void elf_loader_free(struct kernel *k, struct elf_loader *loader);

#endif
