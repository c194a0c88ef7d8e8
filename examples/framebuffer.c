/* SPDX-License-Identifier: MIT */
/*
 * A driver, written against the public header: a frame buffer whose memory is mapped into a guest, as
 * VM_IO | VM_PFNMAP. The guest draws; the "screen" is what the driver finds in its frames.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <aspace/aspace.h>

#define PAGE  4096ull
#define ORDER 2			/* 4 pages: 64 lines of 256 bytes */
#define WIDTH 256

struct framebuffer {
	struct aspace_machine *machine;
	uint64_t phys;
	int areas;
};

static int fb_mmap(void *priv, struct aspace_vma *vma, uint64_t *flags)
{
	struct framebuffer *fb = priv;

	(void)vma;
	*flags |= ASPACE_VM_IO | ASPACE_VM_PFNMAP | ASPACE_VM_DONTEXPAND | ASPACE_VM_DONTDUMP;
	fb->areas++;
	return 0;
}

static void fb_open(void *priv, struct aspace_vma *vma)
{
	(void)vma;
	((struct framebuffer *)priv)->areas++;
}

static void fb_close(void *priv, struct aspace_vma *vma)
{
	(void)vma;
	((struct framebuffer *)priv)->areas--;
}

static int fb_fault(void *priv, struct aspace_vma *vma, uint64_t offset, uint64_t *phys)
{
	struct framebuffer *fb = priv;

	(void)vma;
	if (offset >= PAGE << ORDER)
		return -EFAULT;		/* SIGBUS */
	*phys = fb->phys + offset;
	return 0;
}

int main(void)
{
	struct aspace_machine_options options = { .size = sizeof(options), .ram_bytes = 8 << 20 };
	struct aspace_vm_ops ops = {
		.size = sizeof(ops), .mmap = fb_mmap, .open = fb_open, .close = fb_close, .fault = fb_fault,
	};
	struct aspace_mapping_options mapping_options = { .size = sizeof(mapping_options), .bytes = PAGE << ORDER };
	struct framebuffer fb = { 0 };
	struct aspace_file_options file_options = {
		.size = sizeof(file_options), .readable = true, .writable = true, .path = "/dev/fb0", .vm_ops = &ops, .priv = &fb,
	};
	struct aspace_fault fault = { .size = sizeof(fault) };
	struct aspace_mapping *mapping;
	struct aspace_file *file;
	struct aspace_area area = { .size = sizeof(area) };
	struct aspace_mm *mm;
	const char *screen;
	int64_t at;

	if (aspace_machine_create(&options, &fb.machine) || aspace_frames_alloc(fb.machine, ORDER, &fb.phys) ||
	    aspace_mapping_create(fb.machine, &mapping_options, &mapping) ||
	    aspace_file_open(mapping, &file_options, &file) || aspace_mm_create(fb.machine, &mm))
		return 1;
	at = aspace_mmap(mm, 0, (PAGE << ORDER) + PAGE, ASPACE_PROT_READ | ASPACE_PROT_WRITE, ASPACE_MAP_SHARED, file, 0);
	if (at < 0)
		return 1;
	aspace_find_area(mm, at, &area);
	printf("%s is mapped, %s\n", area.name,
	       (area.flags & ASPACE_VM_PFNMAP) && (area.flags & ASPACE_VM_IO) ? "IO and PFNMAP" : "as ordinary memory");

	for (uint64_t line = 0; line < 64; line += 9)		/* the guest draws */
		if (aspace_copy_to_user(mm, at + line * WIDTH, "#####", 5))
			return 1;
	screen = (const char *)aspace_machine_ram(fb.machine, NULL, NULL) + fb.phys;
	for (int line = 0; line < 64; line++)
		if (screen[line * WIDTH])
			printf("line %2d: %.5s\n", line, screen + line * WIDTH);
	if (aspace_fault(mm, at + (PAGE << ORDER), ASPACE_WRITE, 0, &fault) != -EFAULT)
		return 1;
	printf("beyond the screen: signal %d\n", fault.signal);
	aspace_mm_put(mm);
	printf("areas left: %d\n", fb.areas);
	aspace_file_put(file);
	aspace_mapping_put(mapping);
	aspace_frames_free(fb.machine, fb.phys, ORDER);
	aspace_machine_destroy(fb.machine);
	return 0;
}
