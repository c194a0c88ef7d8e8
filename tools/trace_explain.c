/* SPDX-License-Identifier: MIT */
/*
 * What the calls left behind, explained: who made each area, what cut it off its neighbour, why the
 * two don't merge, and which calls make most of the areas.
 *
 *	origins    [start, end) -> the call that mapped these pages; the latest wins
 *	cuts       address -> the last call whose range began or ended there
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/trace.h"

static bool grow(void **array, size_t *cap, size_t needed, size_t size)
{
	size_t bigger = *cap ? *cap * 2 : 64;
	void *p;

	if (needed <= *cap)
		return true;
	while (bigger < needed)
		bigger *= 2;
	p = realloc(*array, bigger * size);
	if (!p)
		return false;
	*array = p;
	*cap = bigger;
	return true;
}

static uint32_t call_index(struct trace_history *h, const char *text)
{
	if (h->nr_calls && !strcmp(h->calls[h->nr_calls - 1], text))
		return h->nr_calls - 1;
	if (!grow((void **)&h->calls, &h->cap_calls, h->nr_calls + 1, sizeof(*h->calls)))
		return 0;
	h->calls[h->nr_calls] = strdup(text);
	return h->calls[h->nr_calls] ? h->nr_calls++ : 0;
}

/* The first origin that ends above addr. */
static size_t origin_at(const struct trace_history *h, uint64_t addr)
{
	size_t lo = 0, hi = h->nr_origins;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (h->origins[mid].end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static bool origin_insert(struct trace_history *h, size_t at, struct trace_origin origin)
{
	if (!grow((void **)&h->origins, &h->cap_origins, h->nr_origins + 1, sizeof(origin)))
		return false;
	memmove(&h->origins[at + 1], &h->origins[at], (h->nr_origins - at) * sizeof(origin));
	h->origins[at] = origin;
	h->nr_origins++;
	return true;
}

void history_gone(struct trace_history *h, uint64_t start, uint64_t end)
{
	size_t i = origin_at(h, start), j;

	if (i < h->nr_origins && h->origins[i].start < start) {
		struct trace_origin head = h->origins[i];

		head.end = start;
		h->origins[i].start = start;
		if (!origin_insert(h, i, head))
			return;
		i++;
	}
	for (j = i; j < h->nr_origins && h->origins[j].end <= end; j++)
		;
	memmove(&h->origins[i], &h->origins[j], (h->nr_origins - j) * sizeof(h->origins[0]));
	h->nr_origins -= j - i;
	if (i < h->nr_origins && h->origins[i].start < end)
		h->origins[i].start = end;
}

static void made_by(struct trace_history *h, uint32_t maker, uint64_t start, uint64_t end)
{
	history_gone(h, start, end);
	origin_insert(h, origin_at(h, start), (struct trace_origin){ start, end, maker });
}

void history_made(struct trace_history *h, const char *text, uint64_t start, uint64_t end)
{
	if (start < end)
		made_by(h, call_index(h, text), start, end);
}

void history_moved(struct trace_history *h, uint64_t from, uint64_t to, uint64_t length)
{
	struct trace_origin *moved;
	size_t i = origin_at(h, from), n = 0;

	moved = calloc(h->nr_origins - i + 1, sizeof(*moved));
	if (!moved)
		return;
	for (; i < h->nr_origins && h->origins[i].start < from + length; i++) {
		moved[n] = h->origins[i];
		if (moved[n].start < from)
			moved[n].start = from;
		if (moved[n].end > from + length)
			moved[n].end = from + length;
		n++;
	}
	history_gone(h, from, from + length);
	for (i = 0; i < n; i++)
		made_by(h, moved[i].maker, moved[i].start - from + to, moved[i].end - from + to);
	free(moved);
}

static void cut_at(struct trace_history *h, uint32_t call, uint64_t addr)
{
	size_t lo = 0, hi = h->nr_cuts;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (h->cuts[mid].addr >= addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	if (lo == h->nr_cuts || h->cuts[lo].addr != addr) {
		if (!grow((void **)&h->cuts, &h->cap_cuts, h->nr_cuts + 1, sizeof(h->cuts[0])))
			return;
		memmove(&h->cuts[lo + 1], &h->cuts[lo], (h->nr_cuts - lo) * sizeof(h->cuts[0]));
		h->nr_cuts++;
	}
	h->cuts[lo] = (struct trace_cut){ addr, call };
}

void history_cut(struct trace_history *h, const char *text, uint64_t start, uint64_t end)
{
	uint32_t call = call_index(h, text);

	cut_at(h, call, start);
	cut_at(h, call, end);
}

static const char *cut_by(const struct trace_history *h, uint64_t addr)
{
	size_t lo = 0, hi = h->nr_cuts;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (h->cuts[mid].addr >= addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo < h->nr_cuts && h->cuts[lo].addr == addr ? h->calls[h->cuts[lo].call] : NULL;
}

int history_copy(struct trace_history *to, const struct trace_history *from)
{
	memset(to, 0, sizeof(*to));
	for (size_t i = 0; i < from->nr_calls; i++) {
		if (!grow((void **)&to->calls, &to->cap_calls, i + 1, sizeof(*to->calls)))
			return -1;
		to->calls[to->nr_calls++] = strdup(from->calls[i]);
	}
	if (!grow((void **)&to->origins, &to->cap_origins, from->nr_origins, sizeof(*to->origins)) ||
	    !grow((void **)&to->cuts, &to->cap_cuts, from->nr_cuts, sizeof(*to->cuts)))
		return -1;
	if (from->nr_origins)
		memcpy(to->origins, from->origins, from->nr_origins * sizeof(*to->origins));
	if (from->nr_cuts)
		memcpy(to->cuts, from->cuts, from->nr_cuts * sizeof(*to->cuts));
	to->nr_origins = from->nr_origins;
	to->nr_cuts = from->nr_cuts;
	return 0;
}

void history_free(struct trace_history *h)
{
	for (size_t i = 0; i < h->nr_calls; i++)
		free(h->calls[i]);
	free(h->calls);
	free(h->origins);
	free(h->cuts);
	memset(h, 0, sizeof(*h));
}

/* ---- the report --------------------------------------------------------------------------------------- */

static const char *why_apart(const struct aspace_area *a, const struct aspace_area *b)
{
	const uint64_t prot = ASPACE_VM_READ | ASPACE_VM_WRITE | ASPACE_VM_EXEC;
	const uint64_t special = ASPACE_VM_IO | ASPACE_VM_PFNMAP | ASPACE_VM_DONTEXPAND | ASPACE_VM_MIXEDMAP;

	if (a->end != b->start)
		return "a gap";
	if ((a->flags ^ b->flags) & prot)
		return "different permissions";
	if (a->file != b->file)
		return !a->file || !b->file ? "a file beside anonymous memory" : "different files";
	if ((a->flags | b->flags) & special)
		return "a special mapping never merges";
	if ((a->flags ^ b->flags) & (ASPACE_VM_LOCKED | ASPACE_VM_LOCKONFAULT))
		return "only one is locked";
	if ((a->flags ^ b->flags) & (ASPACE_VM_HUGEPAGE | ASPACE_VM_NOHUGEPAGE))
		return "different advice on huge pages";
	if ((a->flags ^ b->flags) & (ASPACE_VM_SEQ_READ | ASPACE_VM_RAND_READ | ASPACE_VM_DONTCOPY |
				     ASPACE_VM_DONTDUMP | ASPACE_VM_WIPEONFORK | ASPACE_VM_MERGEABLE))
		return "different advice";
	if ((a->flags ^ b->flags) & ASPACE_VM_PKEY_MASK)
		return "different protection keys";
	if ((a->flags ^ b->flags) & ~ASPACE_VM_SOFTDIRTY)
		return "different flags";
	if (strcmp(a->name, b->name))
		return "different names";
	if (a->file)
		return a->offset + (a->end - a->start) != b->offset ? "not adjacent in the file" : "private pages of their own";
	if (a->has_anon && b->has_anon)
		return "each has private pages of its own";
	return "moved here from another place, or of a fork";
}

struct maker_count {
	uint32_t call;
	uint64_t areas, bytes;
};

static int most_areas_first(const void *x, const void *y)
{
	const struct maker_count *a = x, *b = y;

	return (a->areas < b->areas) - (a->areas > b->areas);
}

static void json_string(FILE *out, const char *s)
{
	fputc('"', out);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			fprintf(out, "\\%c", *s);
		else if ((unsigned char)*s < 0x20)
			fprintf(out, "\\u%04x", *s);
		else
			fputc(*s, out);
	}
	fputc('"', out);
}

/* "mmap(0x.., 4096, rw-, ..)" and its like differ by the address: they are ranked as one. */
static bool same_kind(const char *a, const char *b)
{
	size_t name = strcspn(a, "(");

	if (strncmp(a, b, name + 1))
		return false;
	a = strchr(a + name, ',');	/* past the address */
	b = strchr(b + name, ',');
	return a && b ? !strcmp(a, b) : !a && !b;
}

static void count_maker(struct maker_count *counts, size_t *n, const struct trace_history *h, uint32_t call,
			uint64_t bytes)
{
	size_t i;

	for (i = 0; i < *n; i++)
		if (counts[i].call == call || same_kind(h->calls[counts[i].call], h->calls[call]))
			break;
	if (i == *n) {
		if (*n == 256)
			return;
		counts[(*n)++] = (struct maker_count){ call, 0, 0 };
	}
	counts[i].areas++;
	counts[i].bytes += bytes;
}

struct report {
	struct trace_model *model;
	const struct trace_options *options;
	struct maker_count counts[256];
	size_t nr_counts;
	uint64_t areas, shown;
	const char *separator;
};

static const char *maker_of(const struct trace_history *h, uint64_t addr, uint32_t *call)
{
	size_t i = origin_at(h, addr);

	if (i == h->nr_origins || h->origins[i].start > addr)
		return NULL;
	*call = h->origins[i].maker;
	return h->calls[*call];
}

static void report_area(struct report *r, const struct aspace_area *area, const struct aspace_area *before)
{
	const struct trace_history *h = &r->model->history;
	FILE *out = r->options->out;
	const char *apart = before ? why_apart(before, area) : "the first", *cut = cut_by(h, area->start), *maker;
	uint32_t call = 0;

	maker = maker_of(h, area->start, &call);
	if (maker)
		count_maker(r->counts, &r->nr_counts, h, call, area->end - area->start);
	else if (area->flags & ASPACE_VM_GROWSDOWN)
		maker = "execve: the stack";
	if (r->options->json) {
		fprintf(out, "%s{\"start\":%" PRIu64 ",\"end\":%" PRIu64 ",\"perms\":\"%c%c%c%c\",\"name\":", r->separator,
			area->start, area->end, area->flags & 1 ? 'r' : '-', area->flags & 2 ? 'w' : '-',
			area->flags & 4 ? 'x' : '-', area->flags & ASPACE_VM_MAYSHARE ? 's' : 'p');
		json_string(out, area->name);
		fprintf(out, ",\"made_by\":");
		json_string(out, maker ? maker : "");
		fprintf(out, ",\"cut_by\":");
		json_string(out, cut ? cut : "");
		fprintf(out, ",\"apart\":");
		json_string(out, apart);
		fputc('}', out);
		r->separator = ",\n";
	} else if (r->shown < 200 || r->options->verbose) {
		fprintf(out, "%012" PRIx64 "-%012" PRIx64 " %c%c%c%c %9" PRIu64 " kB %s\n", area->start, area->end,
			area->flags & 1 ? 'r' : '-', area->flags & 2 ? 'w' : '-', area->flags & 4 ? 'x' : '-',
			area->flags & ASPACE_VM_MAYSHARE ? 's' : 'p', (area->end - area->start) / 1024, area->name);
		if (maker)
			fprintf(out, "    made by %s\n", maker);
		if (cut && cut != maker)
			fprintf(out, "    cut by  %s\n", cut);
		if (before)
			fprintf(out, "    apart from the area before: %s\n", apart);
		r->shown++;
	}
	r->areas++;
}

static void report_ranking(struct report *r)
{
	FILE *out = r->options->out;

	qsort(r->counts, r->nr_counts, sizeof(r->counts[0]), most_areas_first);
	if (r->options->json)
		fprintf(out, "],\"ranking\":[");
	else
		fprintf(out, "\nWhat makes areas:\n");
	for (size_t i = 0; i < r->nr_counts && i < 20; i++) {
		const char *text = r->model->history.calls[r->counts[i].call];

		if (r->options->json) {
			fprintf(out, "%s{\"areas\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"call\":", i ? "," : "",
				r->counts[i].areas, r->counts[i].bytes);
			json_string(out, text);
			fputc('}', out);
		} else {
			fprintf(out, "%8" PRIu64 " areas %11" PRIu64 " kB  %s\n", r->counts[i].areas,
				r->counts[i].bytes / 1024, text);
		}
	}
}

static uint64_t max_map_count(void)
{
	FILE *f = fopen("/proc/sys/vm/max_map_count", "re");
	uint64_t n = 65530;

	if (f && fscanf(f, "%" SCNu64, &n) != 1)
		n = 65530;
	if (f)
		fclose(f);
	return n;
}

void explain(struct trace_model *model, const struct trace_options *options)
{
	struct report r = { .model = model, .options = options, .separator = "" };
	struct aspace_area area = { .size = sizeof(area) }, before;
	struct aspace_mm_stats stats = { .size = sizeof(stats) };
	uint64_t at = 0, limit = max_map_count();
	FILE *out = options->out;

	aspace_mm_stats(model->mm, &stats);
	if (options->json) {
		fprintf(out, "{\"pid\":%d,\"name\":", model->pid);
		json_string(out, model->name);
		fprintf(out, ",\"areas\":[");
	} else {
		fprintf(out, "Process %d (%s): %" PRIu64 " areas at its end\n", model->pid, model->name, stats.map_count);
	}
	while (!aspace_find_area(model->mm, at, &area)) {
		report_area(&r, &area, at ? &before : NULL);
		before = area;
		at = area.end;
	}
	if (!options->json && r.shown < r.areas)
		fprintf(out, "... and %" PRIu64 " areas more (--verbose shows all)\n", r.areas - r.shown);
	report_ranking(&r);
	if (options->json)
		fprintf(out,
			"],\"map_count\":%" PRIu64 ",\"peak\":%" PRIu64 ",\"max_map_count\":%" PRIu64
			",\"largest_gap\":%" PRIu64 ",\"largest_gap_start\":%" PRIu64 ",\"mm_calls\":%" PRIu64
			",\"comparisons\":%" PRIu64 "}\n",
			stats.map_count, model->peak_areas, limit, stats.largest_gap, stats.largest_gap_start, model->calls,
			model->checks);
	else
		fprintf(out,
			"\n%" PRIu64 " of at most %" PRIu64 " areas (max_map_count), %" PRIu64 " at most when compared\n"
			"largest free gap: %" PRIu64 " MB at %#" PRIx64 "\n%" PRIu64
			" mm calls predicted, the picture compared %" PRIu64 " times: no difference%s\n",
			stats.map_count, limit, model->peak_areas, stats.largest_gap >> 20, stats.largest_gap_start,
			model->calls, model->checks, model->lost ? " up to the one above" : "");
	fflush(out);
}
