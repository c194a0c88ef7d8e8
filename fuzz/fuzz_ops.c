/* SPDX-License-Identifier: MIT */
/*
 * The operations of an address space, from bytes: whatever a guest asks, in whatever order and with
 * whatever memory left, the whole-state checker must find nothing wrong, and nothing may be left at the
 * end. The first byte chooses the machine; each operation takes one byte for what it is and some for
 * its arguments, drawn from a small window of addresses so that they meet.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <aspace/aspace.h>

#define PAGE   4096ull
#define WINDOW 0x200000000ull	/* 64 pages from here on */
#define SPACES 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *data;
	size_t size;
};

static uint64_t byte(struct input *in)
{
	if (!in->size)
		return 0;
	in->size--;
	return *in->data++;
}

/* Mostly near the window, now and then anything at all. */
static uint64_t address(struct input *in)
{
	uint64_t b = byte(in), wild = 0;

	if (b < 250)
		return WINDOW + b % 64 * PAGE + (b >= 240 ? b : 0);
	for (int i = 0; i < 8; i++)
		wild = wild << 8 | byte(in);
	return wild;
}

static uint64_t length(struct input *in)
{
	uint64_t b = byte(in);

	return b < 250 ? b % 24 * PAGE + (b >= 240 ? b : 0) : address(in);
}

static unsigned flags(struct input *in)
{
	uint64_t b = byte(in);
	unsigned f = b & 1 ? ASPACE_MAP_SHARED : ASPACE_MAP_PRIVATE;

	if (b & 2)
		f |= ASPACE_MAP_FIXED;
	if (b & 4)
		f |= ASPACE_MAP_FIXED_NOREPLACE;
	if (b & 8)
		f |= ASPACE_MAP_POPULATE;
	if (b & 16)
		f |= ASPACE_MAP_LOCKED;
	if (b & 32)
		f |= ASPACE_MAP_NORESERVE;
	if (b & 64)
		f |= ASPACE_MAP_GROWSDOWN;
	if (b & 128)
		f ^= (unsigned)byte(in) << 5;
	return f;
}

static void access_memory(struct aspace_mm *mm, struct input *in, bool write)
{
	uint64_t at = address(in);
	uint8_t bytes[300];

	memset(bytes, 0x5a, sizeof(bytes));
	if (write)
		aspace_copy_to_user(mm, at, bytes, 1 + byte(in));
	else
		aspace_copy_from_user(mm, bytes, at, 1 + byte(in));
}

static void one(struct aspace_mm **mm, unsigned which, struct aspace_file *file, struct input *in)
{
	struct aspace_mm *m = mm[which], **other = &mm[(which + 1) % SPACES];
	uint64_t addr, len;
	unsigned char vec[64];

	switch (byte(in) % 22) {
	case 0:
	case 1:
		addr = address(in), len = length(in);
		aspace_mmap(m, addr, len, byte(in) & 7, flags(in) | ASPACE_MAP_ANONYMOUS, NULL, 0);
		break;
	case 2:
	case 3:
		addr = address(in), len = length(in);
		aspace_mmap(m, addr, len, byte(in) & 7, flags(in), file, byte(in) % 20 * PAGE);
		break;
	case 4:
		addr = address(in);
		aspace_munmap(m, addr, length(in));
		break;
	case 5:
	case 6:
		addr = address(in), len = length(in);
		aspace_mprotect(m, addr, len, byte(in) & 7);
		break;
	case 7:
	case 8: {
		uint64_t old = (addr = address(in), length(in)), new = length(in);
		unsigned how = byte(in);

		aspace_mremap(m, addr, old, new, how & 7, address(in));
		break;
	}
	case 9:
	case 10:
		addr = address(in), len = length(in);
		aspace_madvise(m, addr, len, byte(in) % 110);
		break;
	case 11:
		addr = address(in), len = length(in);
		aspace_mlock(m, addr, len, byte(in) & 1);
		break;
	case 12:
		addr = address(in);
		aspace_munlock(m, addr, length(in));
		break;
	case 13:
		addr = address(in), len = length(in);
		aspace_msync(m, addr, len, byte(in) & 7);
		break;
	case 14:
		addr = address(in);
		aspace_mincore(m, addr, byte(in) % 64 * PAGE, vec);
		break;
	case 15:
	case 16:
		access_memory(m, in, true);
		break;
	case 17:
		access_memory(m, in, false);
		break;
	case 18:
		if (!*other && aspace_mm_fork(m, other))
			*other = NULL;
		else if (*other && m != mm[0])
			aspace_mm_put(m), mm[which] = NULL;
		break;
	case 19:
		aspace_mapping_truncate(aspace_file_mapping(file), byte(in) % 20 * PAGE + byte(in));
		break;
	case 20:
		addr = address(in);
		aspace_mseal(m, addr, byte(in) % 4 * PAGE, 0);
		break;
	case 21:
		addr = address(in), len = length(in);
		aspace_set_anon_name(m, addr, len, byte(in) & 1 ? "name" : NULL);
		break;
	}
}

static void must(int r)
{
	if (r)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint64_t how = byte(&in);
	struct aspace_machine_options options = {
		.size = sizeof(options),
		.ram_bytes = how & 1 ? 1 << 20 : 2 << 20,
		.index = how & 2 ? ASPACE_INDEX_RBTREE : ASPACE_INDEX_RANGE_TREE,
		.format = how & 4 ? ASPACE_X86_64_5LEVEL : ASPACE_X86_64_4LEVEL,
		.max_map_count = how & 8 ? 12 : 0,
	};
	struct aspace_mapping_options shared = { .size = sizeof(shared), .bytes = 16 * PAGE };
	struct aspace_file_options open = { .size = sizeof(open), .readable = true, .writable = how & 16, .path = "f" };
	struct aspace_mm *mm[SPACES] = { NULL };
	struct aspace_machine *machine;
	struct aspace_mapping *mapping;
	struct aspace_file *file;
	char why[300];
	unsigned which = 0;

	must(aspace_machine_create(&options, &machine));
	must(aspace_mapping_create(machine, &shared, &mapping));
	must(aspace_file_open(mapping, &open, &file));
	aspace_mapping_put(mapping);
	must(aspace_mm_create(machine, &mm[0]));
	while (in.size) {
		which = byte(&in) % 4 ? which : (which + 1) % SPACES;
		if (!mm[which])
			which = 0;
		one(mm, which, file, &in);
		if (aspace_machine_check(machine, why, sizeof(why))) {
			fprintf(stderr, "the checker found: %s\n", why);
			abort();
		}
	}
	for (int i = 0; i < SPACES; i++)
		if (mm[i])
			aspace_mm_put(mm[i]);
	aspace_file_put(file);
	if (aspace_machine_check(machine, why, sizeof(why))) {
		fprintf(stderr, "at the end the checker found: %s\n", why);
		abort();
	}
	aspace_machine_destroy(machine);
	return 0;
}
