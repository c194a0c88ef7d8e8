/* SPDX-License-Identifier: MIT */
/* Two traces of one sequence: the first step at which they differ, and in what. */
#include <inttypes.h>
#include <string.h>

#include "check.h"

static bool differ(struct check_difference *d, const char *what, uint64_t linux_has, uint64_t ours)
{
	snprintf(d->what, sizeof(d->what), "%s: Linux %#" PRIx64 ", aspace %#" PRIx64, what, linux_has, ours);
	return true;
}

static void letters(uint64_t flags, char *out)
{
	for (unsigned i = 0; i < CHECK_NR_VMFLAGS; i++)
		if (flags >> i & 1)
			memcpy(out, &CHECK_VMFLAGS[3 * i], 3), out += 3;
	*out = 0;
}

static bool differ_flags(struct check_difference *d, const struct check_area *h, const struct check_area *o)
{
	char lh[128], lo[128];

	letters(h->vmflags, lh);
	letters(o->vmflags, lo);
	snprintf(d->what, sizeof(d->what), "VmFlags of %" PRIx64 "-%" PRIx64 ": Linux %s, aspace %s", h->start,
		 h->end, lh, lo);
	return true;
}

static bool compare_smaps(const struct check_area *h, const struct check_area *o,
			  struct check_difference *d)
{
	const char *key = CHECK_SMAPS;

	for (unsigned i = 0; i < CHECK_NR_SMAPS; i++, key = strchr(key, ':') + 1) {
		if (h->smaps[i] == o->smaps[i])
			continue;
		snprintf(d->what, sizeof(d->what), "smaps %.*s of %" PRIx64 "-%" PRIx64 ": Linux %u kB, aspace %u kB",
			 (int)(strchr(key, ':') - key), key, h->start, h->end, h->smaps[i], o->smaps[i]);
		return true;
	}
	return false;
}

static bool compare_area(const struct check_area *h, const struct check_area *o, bool full, bool smaps,
			 struct check_difference *d)
{
	char what[96];

	if (h->start != o->start || h->end != o->end) {
		snprintf(d->what, sizeof(d->what),
			 "area: Linux %" PRIx64 "-%" PRIx64 ", aspace %" PRIx64 "-%" PRIx64, h->start, h->end,
			 o->start, o->end);
		return true;
	}
#define SAME(member, name) do { \
	if (h->member != o->member) { \
		snprintf(what, sizeof(what), "%s of %" PRIx64 "-%" PRIx64, name, h->start, h->end); \
		return differ(d, what, h->member, o->member); \
	} } while (0)
	SAME(perm, "permissions");
	SAME(file, "file");
	SAME(offset, "offset");
	if (!full)
		return false;
	if (h->vmflags != o->vmflags)
		return differ_flags(d, h, o);
	SAME(pkey, "protection key");
	SAME(heap, "[heap]");
	if (smaps)
		return compare_smaps(h, o, d);
	return false;
}

static bool compare_pages(const struct check_picture *h, const struct check_picture *o,
			  struct check_difference *d)
{
	const struct check_page *hp = check_pages(h), *op = check_pages(o);
	char what[96];

	for (unsigned i = 0; i < h->pages || i < o->pages; i++) {
		uint64_t ha = i < h->pages ? hp[i].addr : UINT64_MAX;
		uint64_t oa = i < o->pages ? op[i].addr : UINT64_MAX;
		uint64_t at = ha < oa ? ha : oa;
		uint64_t hb = ha == at ? hp[i].bits : 0, ob = oa == at ? op[i].bits : 0;

		if (hb != ob) {
			snprintf(what, sizeof(what), "pagemap of %" PRIx64, at);
			return differ(d, what, hb, ob);
		}
		if (hp[i].hash != op[i].hash) {
			snprintf(what, sizeof(what), "contents (hash) of page %" PRIx64, at);
			return differ(d, what, hp[i].hash, op[i].hash);
		}
	}
	return false;
}

static bool compare_pictures(const struct check_picture *h, const struct check_picture *o,
			     struct check_difference *d)
{
	const struct check_area *ha, *oa;

	if (!h || !o || h->truncated || o->truncated)
		return false;
	ha = check_areas(h);
	oa = check_areas(o);
	for (unsigned i = 0; i < h->areas && i < o->areas; i++)
		if (compare_area(&ha[i], &oa[i], h->full && o->full, h->smaps && o->smaps, d))
			return true;
	if (h->areas != o->areas)
		return differ(d, "number of areas", h->areas, o->areas);
	if (!h->full || !o->full)
		return false;
	if (h->vm_size != o->vm_size)
		return differ(d, "VmSize (kB)", h->vm_size, o->vm_size);
	if (h->vm_lck != o->vm_lck)
		return differ(d, "VmLck (kB)", h->vm_lck, o->vm_lck);
	if (h->vm_data != o->vm_data)
		return differ(d, "VmData (kB)", h->vm_data, o->vm_data);
	if (h->vm_stk != o->vm_stk)
		return differ(d, "VmStk (kB)", h->vm_stk, o->vm_stk);
	return compare_pages(h, o, d);
}

static bool compare_results(const struct check_op *op, const struct check_result *h,
			    const struct check_result *o, struct check_difference *d)
{
	char lh[96], lo[96];

	if (h->ret == o->ret && h->signal == o->signal && h->code == o->code && h->addr == o->addr)
		return false;
	check_format_result(op, h, lh, sizeof(lh));
	check_format_result(op, o, lo, sizeof(lo));
	snprintf(d->what, sizeof(d->what), "result: Linux %s, aspace %s", lh, lo);
	return true;
}

bool check_compare(const struct check_sequence *seq, const struct check_trace *host,
		   const struct check_trace *ours, struct check_difference *d)
{
	for (unsigned i = 0; i < seq->n; i++) {
		d->step = i;
		if (i >= host->done) {
			snprintf(d->what, sizeof(d->what), "the child did not survive this step");
			return true;
		}
		if (ours->result[i].skipped)
			continue;
		if (compare_results(&seq->op[i], &host->result[i], &ours->result[i], d) ||
		    compare_pictures(check_picture(host, i), check_picture(ours, i), d))
			return true;
	}
	return false;
}
