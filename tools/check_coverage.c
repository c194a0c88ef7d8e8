/* SPDX-License-Identifier: MIT */
/*
 * Which (operation, flags, outcome) were seen: an open hash of the three. Flags are the words of
 * those arguments that are sets or names; the outcome is success, an errno, or signal and code.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"

#define SLOTS (1u << 16)

struct check_coverage {
	uint64_t seen[SLOTS];		/* 0: empty */
	unsigned count;
	struct { uint64_t done, failed, signalled; unsigned distinct; } op[OP_KINDS];
};

struct check_coverage *check_coverage_new(void)
{
	return calloc(1, sizeof(struct check_coverage));
}

void check_coverage_free(struct check_coverage *c)
{
	free(c);
}

static uint64_t key_of(const struct check_op *op, const struct check_result *r)
{
	uint64_t h = op->kind + 1;

	for (unsigned k = 0; k < 6; k++)
		if (check_words(check_op_info[op->kind].arg[k]))
			h = (h ^ op->a[k]) * 0x100000001b3ull + k;
	h = h * 0x9e3779b97f4a7c15ull + (uint64_t)(r->ret < 0 && r->ret > -4096 ? -r->ret : 0);
	h = h * 0x9e3779b97f4a7c15ull + (uint64_t)(r->signal * 64 + r->code);
	h ^= h >> 29;
	return h ? h : 1;
}

void check_coverage_add(struct check_coverage *c, const struct check_sequence *seq,
			const struct check_trace *trace)
{
	for (unsigned i = 0; i < seq->n && i < trace->done; i++) {
		const struct check_result *r = &trace->result[i];
		uint32_t kind = seq->op[i].kind;
		uint64_t key = key_of(&seq->op[i], r);
		unsigned at = key % SLOTS;

		c->op[kind].done++;
		c->op[kind].failed += r->ret < 0 && r->ret > -4096;
		c->op[kind].signalled += r->signal != 0;
		while (c->seen[at] && c->seen[at] != key)
			at = (at + 1) % SLOTS;
		if (c->seen[at] || c->count >= SLOTS / 2)
			continue;
		c->seen[at] = key;
		c->count++;
		c->op[kind].distinct++;
	}
}

unsigned check_coverage_count(const struct check_coverage *c)
{
	return c->count;
}

void check_coverage_json(const struct check_coverage *c, FILE *out)
{
	bool first = true;

	fprintf(out, "{");
	for (unsigned k = 0; k < OP_KINDS; k++) {
		if (!c->op[k].done)
			continue;
		fprintf(out, "%s\"%s\": {\"done\": %llu, \"failed\": %llu, \"signals\": %llu, \"distinct\": %u}",
			first ? "" : ", ", check_op_info[k].name, (unsigned long long)c->op[k].done,
			(unsigned long long)c->op[k].failed, (unsigned long long)c->op[k].signalled,
			c->op[k].distinct);
		first = false;
	}
	fprintf(out, "}");
}
