/* SPDX-License-Identifier: MIT */
/*
 * Two address spaces in one process: a file mapped in the first, a fork, copy-on-write, and the maps
 * of both.
 *
 *	cc two_spaces.c $(pkg-config --cflags --libs aspace) && ./a.out
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <aspace/aspace.h>

#define PAGE 4096

/* A file is two functions and a length; this one lives in an array. */
static char contents[2 * PAGE] = "the first page of the file";

static int64_t file_read(void *priv, uint64_t offset, void *buffer, size_t n)
{
	memcpy(buffer, (char *)priv + offset, n);	/* never asked for more than the length given below */
	return (int64_t)n;
}

static int64_t file_write(void *priv, uint64_t offset, const void *buffer, size_t n)
{
	memcpy((char *)priv + offset, buffer, n);
	return (int64_t)n;
}

static void must(int64_t r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", what, strerror((int)-r));
		exit(1);
	}
}

static int show(void *priv, const char *text, size_t n)
{
	(void)priv;
	return fwrite(text, 1, n, stdout) == n ? 0 : -1;
}

static void print_word(struct aspace_mm *mm, const char *who, uint64_t addr)
{
	char word[32] = "";

	aspace_copy_from_user(mm, word, addr, sizeof(word) - 1);
	printf("%-7s reads \"%s\"\n", who, word);
}

int main(void)
{
	struct aspace_machine_options machine_options = { .size = sizeof(machine_options), .ram_bytes = 16 << 20 };
	struct aspace_mapping_ops ops = { .size = sizeof(ops), .read = file_read, .write = file_write };
	struct aspace_mapping_options mapping_options = {
		.size = sizeof(mapping_options), .ops = &ops, .priv = contents, .bytes = sizeof(contents), .ino = 42,
	};
	struct aspace_file_options file_options = {
		.size = sizeof(file_options), .readable = true, .writable = true, .path = "/a/file",
	};
	struct aspace_mm_stats stats = { .size = sizeof(stats) };
	struct aspace_machine *machine;
	struct aspace_mapping *mapping;
	struct aspace_file *file;
	struct aspace_mm *parent, *child;
	int64_t heap, view;

	must(aspace_machine_create(&machine_options, &machine), "machine");
	must(aspace_mapping_create(machine, &mapping_options, &mapping), "mapping");
	must(aspace_file_open(mapping, &file_options, &file), "file");
	must(aspace_mm_create(machine, &parent), "mm");

	heap = aspace_mmap(parent, 0, 4 * PAGE, ASPACE_PROT_READ | ASPACE_PROT_WRITE,
			   ASPACE_MAP_PRIVATE | ASPACE_MAP_ANONYMOUS, NULL, 0);
	must(heap, "mmap");
	view = aspace_mmap(parent, 0, 2 * PAGE, ASPACE_PROT_READ | ASPACE_PROT_WRITE, ASPACE_MAP_SHARED, file, 0);
	must(view, "mmap of the file");
	aspace_copy_to_user(parent, heap, "written before the fork", 24);
	print_word(parent, "parent", view);

	must(aspace_mm_fork(parent, &child), "fork");
	aspace_copy_to_user(child, heap, "written by the child", 21);	/* the child's own copy from here on */
	print_word(parent, "parent", heap);
	print_word(child, "child", heap);

	aspace_copy_to_user(child, view, "THE", 3);			/* shared: seen by both, and the file */
	print_word(parent, "parent", view);
	must(aspace_msync(child, view, PAGE, ASPACE_MS_SYNC), "msync");
	printf("the file holds \"%s\"\n", contents);

	must(aspace_mprotect(child, heap + PAGE, PAGE, ASPACE_PROT_READ), "mprotect");
	puts("\nthe parent's maps:");
	aspace_print_maps(parent, show, NULL);
	puts("the child's maps:");
	aspace_print_maps(child, show, NULL);
	aspace_mm_stats(child, &stats);
	printf("the child: %llu areas, %llu anonymous pages\n", (unsigned long long)stats.map_count,
	       (unsigned long long)stats.rss_anon);

	aspace_mm_put(child);
	aspace_mm_put(parent);
	aspace_file_put(file);
	aspace_mapping_put(mapping);
	aspace_machine_destroy(machine);
	return 0;
}
