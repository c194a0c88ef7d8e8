/* SPDX-License-Identifier: MIT */
/*
 * fuzz: needs kernel/binfmt_elf.c
 *
 * The ELF loader: any bytes as a program, which is its own interpreter if it asks for one. They are refused,
 * or an address space is built in which the whole-state checker finds nothing wrong, and nothing is left
 * at the end. What the loader asks of the personality is answered here.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/binfmt.h"
#include "kernel/task.h"
#include "kernel/vdso.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *bytes;
static size_t nr_bytes;
static struct aspace_file *program;

static int64_t read_bytes(void *priv, uint64_t offset, void *buffer, size_t n)
{
	if (offset >= nr_bytes)
		return 0;
	if (n > nr_bytes - offset)
		n = nr_bytes - offset;
	memcpy(buffer, bytes + offset, n);
	return (int64_t)n;
}

/* The same file stands for every interpreter; its kfile is only a name for it. */
int kernel_open_exec(struct task_struct *task, int dirfd, const char *path, int flags, struct kfile **file)
{
	*file = (struct kfile *)&program;
	return strlen(path) % 5 ? 0 : -ENOENT;
}

struct aspace_file *kfile_aspace(struct kernel *k, struct kfile *file)
{
	return aspace_file_get(program);
}

void kfile_put(struct kfile *file)
{
}

void kernel_random(struct kernel *k, void *buf, size_t n)
{
	memset(buf, 0x5a, n);
}

int map_vdso(struct aspace_mm *mm, uint64_t *base)
{
	*base = 0;
	return 0;
}

static void must(int r)
{
	if (r)
		abort();
}

static void load(struct kernel *k, struct task_struct *task)
{
	static char strings[] = "program\0argument\0A=1\0program";
	struct linux_binprm bprm = {
		.task = task, .file = program,
		.strings = { .data = strings, .used = sizeof(strings), .room = sizeof(strings), .argc = 2, .envc = 1,
			     .env_at = 17, .execfn_at = 21 },
	};
	struct elf_loader *loader;

	memcpy(bprm.buf, bytes, nr_bytes < sizeof(bprm.buf) ? nr_bytes : sizeof(bprm.buf));
	if (elf_prepare(&bprm, &loader))
		return;
	elf_load(&bprm, loader);
	elf_loader_free(k, loader);
	if (bprm.mm)
		aspace_mm_put(bprm.mm);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct aspace_mapping_ops ops = { .size = sizeof(ops), .read = read_bytes };
	struct aspace_machine_options options = { .size = sizeof(options), .ram_bytes = 2 << 20 };
	struct aspace_mapping_options mo = { .size = sizeof(mo), .ops = &ops, .bytes = size };
	struct aspace_file_options fo = { .size = sizeof(fo), .readable = true, .path = "program" };
	static struct signal_struct signal;
	static struct kernel k;
	static struct task_struct task;
	struct aspace_mapping *mapping;
	char why[300];

	bytes = data;
	nr_bytes = size;
	must(aspace_machine_create(&options, &k.machine));
	must(aspace_mapping_create(k.machine, &mo, &mapping));
	must(aspace_file_open(mapping, &fo, &program));
	aspace_mapping_put(mapping);
	for (int i = 0; i < 16; i++)
		signal.rlim[i] = (struct rlimit_guest){ UINT64_MAX, UINT64_MAX };
	signal.rlim[ASPACE_RLIMIT_STACK].cur = 8 << 20;
	task.kernel = &k;
	task.signal = &signal;
	task.personality = ASPACE_ADDR_NO_RANDOMIZE;
	load(&k, &task);
	aspace_file_put(program);
	if (aspace_machine_check(k.machine, why, sizeof(why))) {
		fprintf(stderr, "the checker found: %s\n", why);
		abort();
	}
	aspace_machine_destroy(k.machine);
	return 0;
}
