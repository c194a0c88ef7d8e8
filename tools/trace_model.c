/* SPDX-License-Identifier: MIT */
/*
 * The shadow of one native address space. It is seeded from /proc/PID/smaps, after execve or on
 * attaching, and from then on only moved by predictions. What the kernel does without a call is
 * learnt from it where it matters: stacks that grew (seen when the pictures are compared) and private
 * pages (which decide whether neighbours merge; asked of pagemap before a call that could merge).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <linux/magic.h>
#include <unistd.h>

#include "tools/proc_maps.h"
#include "tools/trace.h"

#define PAGE	4096ull

static FILE *proc_open(pid_t pid, const char *file)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	return fopen(path, "re");
}

/* Calls back for each area of smaps, with its flags. */
static int for_each_smaps_area(pid_t pid, int (*one)(struct trace_model *, struct shown_area *),
			       struct trace_model *model)
{
	struct shown_area area = { 0 };
	FILE *f = proc_open(pid, "smaps");
	char *line = NULL;
	size_t cap = 0;
	int r = 0;

	if (!f)
		return -errno;
	while (r >= 0 && getline(&line, &cap, f) > 0) {
		uint64_t key;

		if (!strncmp(line, "VmFlags:", 8)) {
			area.flags |= parse_vm_flags(line + 8 + strspn(line + 8, " "));
			r = one(model, &area);
		} else if (!strncmp(line, "ProtectionKey:", 14)) {
			if (sscanf(line + 14, "%" SCNu64, &key) == 1)
				area.flags |= key << ASPACE_VM_PKEY_SHIFT;
		} else if (line[0] < 'A' || line[0] > 'Z') {
			parse_maps_line(line, &area);
		}
	}
	free(line);
	fclose(f);
	return r;
}

/* ---- seeding ----------------------------------------------------------------------------------- */

static bool thp_aligns(void)
{
	FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
	char text[64] = "";

	if (f) {
		if (!fgets(text, sizeof(text), f))
			text[0] = '\0';
		fclose(f);
	}
	return text[0] && !strstr(text, "[never]");
}

static uint64_t read_number(const char *path, uint64_t otherwise)
{
	FILE *f = fopen(path, "re");
	uint64_t n;

	if (!f)
		return otherwise;
	if (fscanf(f, "%" SCNu64, &n) != 1)
		n = otherwise;
	fclose(f);
	return n;
}

static int machine_for_host(struct aspace_machine **machine)
{
	struct aspace_machine_options options = {
		.size = sizeof(options),
		.overcommit = ASPACE_OVERCOMMIT_ALWAYS,	/* the rest of the host counts there too */
		.max_map_count = read_number("/proc/sys/vm/max_map_count", 65530),
		.mmap_min_addr = read_number("/proc/sys/vm/mmap_min_addr", 65536),
		.thp_align = thp_aligns(),
	};

	return aspace_machine_create(&options, machine);
}

/* No page of a shadow is ever read; but a file that has contents is placed otherwise than shared memory. */
static int64_t read_nothing(void *priv, uint64_t offset, void *buffer, size_t n)
{
	return -EIO;
}

static bool is_shared_memory(const char *path)
{
	struct statfs fs;

	return !strncmp(path, "/memfd:", 7) || !strncmp(path, "/SYSV", 5) ||
	       (!statfs(path, &fs) && fs.f_type == TMPFS_MAGIC);
}

struct aspace_file *model_file(struct trace_model *model, dev_t dev, ino_t ino, const char *path,
			       bool readable, bool writable, bool noexec)
{
	static const struct aspace_mapping_ops contents = { .size = sizeof(contents), .read = read_nothing };
	struct aspace_mapping_options m = {
		.size = sizeof(m),
		.ops = is_shared_memory(path) ? NULL : &contents,
		.bytes = INT64_MAX & ~(PAGE - 1),
		.dev_major = major(dev),
		.dev_minor = minor(dev),
		.ino = ino,
		.noexec = noexec,
	};
	struct aspace_file_options f = {
		.size = sizeof(f), .readable = readable, .writable = writable, .path = path,
	};
	struct aspace_mapping *mapping;
	struct aspace_file *file = NULL;

	if (aspace_mapping_create(model->machine, &m, &mapping))
		return NULL;
	if (aspace_file_open(mapping, &f, &file))
		file = NULL;
	aspace_mapping_put(mapping);
	return file;
}

struct aspace_file *model_open(struct trace_model *model, const struct trace_file *wanted, const char *path,
			       bool noexec)
{
	struct trace_file *slot;

	for (int i = 0; i < TRACE_FILES; i++) {
		slot = &model->files[i];
		if (slot->file && slot->fd == wanted->fd && slot->dev == wanted->dev && slot->ino == wanted->ino &&
		    slot->readable == wanted->readable && slot->writable == wanted->writable)
			return aspace_file_get(slot->file);
	}
	slot = &model->files[model->next_file++ % TRACE_FILES];
	if (slot->file)
		aspace_file_put(slot->file);
	*slot = *wanted;
	slot->file = model_file(model, wanted->dev, wanted->ino, path, wanted->readable, wanted->writable, noexec);
	return slot->file ? aspace_file_get(slot->file) : NULL;
}

static void forget_files(struct trace_model *model)
{
	for (int i = 0; i < TRACE_FILES; i++) {
		if (model->files[i].file)
			aspace_file_put(model->files[i].file);
		model->files[i].file = NULL;
	}
}

static int insert_shown(struct trace_model *model, struct shown_area *area)
{
	struct aspace_file *file = NULL;
	const char *special = NULL;
	int r;

	if (area->start >= 0xffff800000000000ull)	/* [vsyscall] isn't an area */
		return 0;
	if (area->ino || area->dev_major || area->dev_minor)
		file = model_file(model, makedev(area->dev_major, area->dev_minor), area->ino, area->name,
				  true, area->flags & ASPACE_VM_MAYWRITE, false);
	else if (!strncmp(area->name, "[v", 2))
		special = !strcmp(area->name, "[vdso]") ? "[vdso]" :
			  !strcmp(area->name, "[vvar]") ? "[vvar]" :
							  "[vvar_vclock]";
	r = aspace_insert_area(model->mm, area->start, area->end, area->flags, file, area->offset, special);
	if (!r && !strncmp(area->name, "[anon:", 6)) {
		char name[96];

		snprintf(name, sizeof(name), "%.*s", (int)strcspn(area->name + 6, "]"), area->name + 6);
		aspace_set_anon_name(model->mm, area->start, area->end - area->start, name);
	}
	if (file)
		aspace_file_put(file);
	history_made(&model->history, "there from the start", area->start, area->end);
	return r;
}

/* Boundaries of segments, from the fields of /proc/PID/stat that a tracer may read. */
static void seed_layout(struct trace_model *model)
{
	struct aspace_layout layout = { .size = sizeof(layout) };
	struct aspace_area area = { .size = sizeof(area) };
	uint64_t field[53] = { 0 }, at = 0, top = 0;
	FILE *f = proc_open(model->pid, "stat");
	char text[2048] = "", *p;
	struct rlimit stack;

	if (f) {
		if (!fgets(text, sizeof(text), f))
			text[0] = '\0';
		fclose(f);
	}
	p = strrchr(text, ')');
	for (int i = 3; p && i <= 52; i++) {
		p = strchr(p + 1, ' ');
		if (p)
			field[i] = strtoull(p + 1, NULL, 10);
	}
	aspace_mm_layout(model->mm, &layout);
	layout.start_code = field[26], layout.end_code = field[27], layout.start_stack = field[28];
	layout.start_data = field[45], layout.end_data = field[46], layout.start_brk = field[47];
	layout.arg_start = field[48], layout.arg_end = field[49];
	layout.env_start = field[50], layout.env_end = field[51];
	layout.brk = layout.start_brk;
	/* mmap_base isn't shown: it is where the first mapping below the stack ends. */
	while (!aspace_find_area(model->mm, at, &area)) {
		if (area.start <= layout.start_stack && layout.start_stack < area.end)
			break;
		if (area.start >= layout.start_brk && area.start <= layout.brk && !area.file)
			layout.brk = area.end;
		top = at = area.end;
	}
	if (!prlimit(model->pid, RLIMIT_STACK, NULL, &stack) && stack.rlim_cur == RLIM_INFINITY)
		layout.legacy = true;
	if (top > layout.task_size / 2)
		layout.mmap_base = top;
	aspace_mm_set_layout(model->mm, &layout);
}

void model_refresh_limits(struct trace_model *model)
{
	static const int which[] = { ASPACE_RLIMIT_DATA, ASPACE_RLIMIT_STACK, ASPACE_RLIMIT_MEMLOCK,
				     ASPACE_RLIMIT_AS };
	FILE *f = proc_open(model->pid, "status");
	struct rlimit limit;
	char line[256];
	uint64_t caps;

	for (size_t i = 0; i < sizeof(which) / sizeof(which[0]); i++)
		if (!prlimit(model->pid, which[i], NULL, &limit))
			aspace_mm_set_rlimit(model->mm, which[i], limit.rlim_cur);
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "CapEff: %" SCNx64, &caps) == 1)
			aspace_mm_set_privileged(model->mm, caps >> 14 & 1, caps >> 17 & 1);
	if (f)
		fclose(f);
	f = proc_open(model->pid, "personality");
	if (f && fgets(line, sizeof(line), f))
		aspace_mm_set_personality(model->mm, strtoul(line, NULL, 16));
	if (f)
		fclose(f);
}

int model_seed(struct trace_model *model)
{
	char path[64];
	FILE *f;
	int r;

	if (model->mm)
		aspace_mm_put(model->mm);
	forget_files(model);
	r = aspace_mm_create(model->machine, &model->mm);
	if (r)
		return r;
	history_free(&model->history);
	r = for_each_smaps_area(model->pid, insert_shown, model);
	if (r)
		return r;
	seed_layout(model);
	model_refresh_limits(model);
	if (model->pagemap_fd >= 0)
		close(model->pagemap_fd);
	snprintf(path, sizeof(path), "/proc/%d/pagemap", model->pid);
	model->pagemap_fd = open(path, O_RDONLY | O_CLOEXEC);
	f = proc_open(model->pid, "comm");
	if (f) {
		if (fgets(model->name, sizeof(model->name), f))
			model->name[strcspn(model->name, "\n")] = '\0';
		fclose(f);
	}
	model->next_check = 1;
	model->calls = 0;
	model->lost = false;
	return 0;
}

struct trace_model *model_new(pid_t pid)
{
	struct trace_model *model = calloc(1, sizeof(*model));

	if (!model)
		return NULL;
	model->refs = 1;
	model->pid = pid;
	model->pagemap_fd = -1;
	if (machine_for_host(&model->machine)) {
		free(model);
		return NULL;
	}
	return model;
}

/*
 * The child's shadow stays in its parent's machine: they share files and anon_vmas. The machine is
 * kept by the root of the family and never freed before the tracer ends.
 */
struct trace_model *model_fork(struct trace_model *model, pid_t child)
{
	struct trace_model *copy = calloc(1, sizeof(*copy));
	char path[64];

	if (!copy)
		return NULL;
	*copy = *model;
	copy->refs = 1;
	copy->pid = child;
	copy->busy_tid = 0;
	copy->pagemap_fd = -1;
	copy->dwfl = NULL;
	memset(&copy->history, 0, sizeof(copy->history));
	for (int i = 0; i < TRACE_FILES; i++)
		if (copy->files[i].file)
			aspace_file_get(copy->files[i].file);
	model_learn_pages(model, 0, UINT64_MAX);
	if (aspace_mm_fork(model->mm, &copy->mm)) {
		free(copy);
		return NULL;
	}
	history_copy(&copy->history, &model->history);
	snprintf(path, sizeof(path), "/proc/%d/pagemap", child);
	copy->pagemap_fd = open(path, O_RDONLY | O_CLOEXEC);
	copy->calls = 0;
	copy->next_check = 1;
	return copy;
}

struct trace_model *model_get(struct trace_model *model)
{
	model->refs++;
	return model;
}

void model_put(struct trace_model *model)
{
	if (--model->refs)
		return;
	if (model->mm)
		aspace_mm_put(model->mm);
	forget_files(model);
	trace_stack_forget(model);
	history_free(&model->history);
	if (model->pagemap_fd >= 0)
		close(model->pagemap_fd);
	free(model);
}

/* ---- private pages ---------------------------------------------------------------------------- */

/* linux/fs.h of 6.7 and newer; the headers of this host may be older. */
struct pm_scan_arg_host {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, category_inverted, category_mask,
		category_anyof_mask, return_mask;
};
struct page_region_host {
	uint64_t start, end, categories;
};
#define PAGEMAP_SCAN_HOST	_IOWR('f', 16, struct pm_scan_arg_host)
#define PAGE_IS_FILE_HOST	(1 << 2)
#define PAGE_IS_PRESENT_HOST	(1 << 3)
#define PAGE_IS_SWAPPED_HOST	(1 << 4)
#define PAGE_IS_PFNZERO_HOST	(1 << 5)

static bool has_private_page(int pagemap_fd, uint64_t start, uint64_t end)
{
	struct page_region_host region;
	struct pm_scan_arg_host arg = {
		.size = sizeof(arg),
		.start = start,
		.end = end,
		.vec = (uintptr_t)&region,
		.vec_len = 1,
		.max_pages = 1,
		.category_inverted = PAGE_IS_FILE_HOST | PAGE_IS_PFNZERO_HOST,
		.category_mask = PAGE_IS_FILE_HOST | PAGE_IS_PFNZERO_HOST,
		.category_anyof_mask = PAGE_IS_PRESENT_HOST | PAGE_IS_SWAPPED_HOST,
		.return_mask = PAGE_IS_PRESENT_HOST,
	};

	return ioctl(pagemap_fd, PAGEMAP_SCAN_HOST, &arg) > 0;
}

/* Areas in and beside [start, end) that hold private pages are marked so. */
void model_learn_pages(struct trace_model *model, uint64_t start, uint64_t end)
{
	struct aspace_area area = { .size = sizeof(area) };
	uint64_t at = start > PAGE ? start - PAGE : 0;

	if (model->pagemap_fd < 0)
		return;
	while (!aspace_find_area(model->mm, at, &area) && area.start <= end) {
		if (!area.has_anon && !(area.flags & (ASPACE_VM_SHARED | ASPACE_VM_PFNMAP)) &&
		    has_private_page(model->pagemap_fd, area.start, area.end))
			aspace_note_anon(model->mm, area.start);
		at = area.end;
	}
}

/* ---- comparing --------------------------------------------------------------------------------- */

static void shadow_line(const struct aspace_area *area, char *buffer, size_t n)
{
	snprintf(buffer, n, "%08" PRIx64 "-%08" PRIx64 " %c%c%c%c %08" PRIx64 " %02x:%02x %" PRIu64 " %s",
		 area->start, area->end, area->flags & ASPACE_VM_READ ? 'r' : '-',
		 area->flags & ASPACE_VM_WRITE ? 'w' : '-', area->flags & ASPACE_VM_EXEC ? 'x' : '-',
		 area->flags & ASPACE_VM_MAYSHARE ? 's' : 'p', area->offset, area->dev_major,
		 area->dev_minor, area->ino, area->name);
}

static bool same_area(const struct aspace_area *ours, const struct shown_area *theirs)
{
	char line[512];
	struct shown_area shown;

	shadow_line(ours, line, sizeof(line));
	if (!parse_maps_line(line, &shown))
		return false;
	if (shown.start != theirs->start || shown.end != theirs->end || strcmp(shown.perms, theirs->perms))
		return false;
	if (theirs->ino == 0)	/* anonymous: names are compared, files' names are the kernel's business */
		return theirs->name[0] != '[' || !strcmp(shown.name, theirs->name);
	if (ours->flags & ASPACE_VM_SHARED && !strncmp(theirs->name, "/dev/zero", 9))
		return true;	/* an inode of the kernel's own */
	return shown.offset == theirs->offset && shown.ino == theirs->ino;
}

/* A stack that grew without a call: the shadow follows. */
static bool follow_growth(struct trace_model *model, struct aspace_area *ours, const struct shown_area *theirs)
{
	if (!(ours->flags & ASPACE_VM_GROWSDOWN) || ours->end != theirs->end || theirs->start >= ours->start)
		return false;
	if (aspace_fault(model->mm, theirs->start, ASPACE_READ, 0, NULL) == -ENOMEM)
		return false;
	return !aspace_find_area(model->mm, theirs->start, ours) && ours->start == theirs->start;
}

static void say_difference(struct trace_model *model, const struct trace_call *call, const char *ours,
			   const char *theirs, FILE *err)
{
	fprintf(err, "aspace: trace: the pictures differ in process %d (%s)", model->pid, model->name);
	if (call)
		fprintf(err, " after call %" PRIu64 ": %s = %" PRId64, call->number, call->text, call->result);
	fprintf(err, "\n  aspace: %s\n  kernel: %s\n", ours, theirs);
}

int model_compare(struct trace_model *model, const struct trace_call *call, FILE *err)
{
	struct aspace_area ours = { .size = sizeof(ours) };
	FILE *f = proc_open(model->pid, "maps");
	struct shown_area theirs;
	char *line = NULL, text[512];
	uint64_t at = 0, areas = 0;
	size_t cap = 0;
	int r = 0;

	if (!f)
		return -errno;
	setvbuf(f, NULL, _IOFBF, 1 << 16);
	while (!r && getline(&line, &cap, f) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (!parse_maps_line(line, &theirs) || theirs.start >= 0xffff800000000000ull)
			continue;
		if (aspace_find_area(model->mm, at, &ours)) {
			say_difference(model, call, "(nothing)", line, err);
			r = 1;
		} else if (!same_area(&ours, &theirs) &&
			   !(follow_growth(model, &ours, &theirs) && same_area(&ours, &theirs))) {
			shadow_line(&ours, text, sizeof(text));
			say_difference(model, call, text, line, err);
			r = 1;
		}
		at = ours.end;
		areas++;
	}
	if (!r && areas && !aspace_find_area(model->mm, at, &ours)) {
		shadow_line(&ours, text, sizeof(text));
		say_difference(model, call, text, "(nothing)", err);
		r = 1;
	}
	if (areas > model->peak_areas)
		model->peak_areas = areas;
	free(line);
	fclose(f);
	model->checks++;
	return areas ? r : -ESRCH;
}

static int adopt_shown(struct trace_model *model, struct shown_area *area)
{
	struct aspace_area ours = { .size = sizeof(ours) };

	if (!aspace_find_area(model->mm, area->start, &ours) && ours.start < area->end)
		return 0;	/* known already */
	return insert_shown(model, area);
}

/* Takes over every area that the kernel shows and the shadow doesn't know (drivers', shmat's). */
int model_adopt(struct trace_model *model)
{
	return for_each_smaps_area(model->pid, adopt_shown, model);
}
