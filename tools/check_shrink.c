/* SPDX-License-Identifier: MIT */
/*
 * A shorter sequence that still differs (ddmin): leave out runs of operations, halving the length of
 * the runs until single operations can't be left out, then make the arguments plainer.
 */
#include <stdlib.h>
#include <string.h>

#include <aspace/abi.h>

#include "check.h"

static void without(const struct check_sequence *seq, unsigned from, unsigned n, struct check_sequence *out)
{
	memcpy(out->op, seq->op, from * sizeof(seq->op[0]));
	memcpy(out->op + from, seq->op + from + n, (seq->n - from - n) * sizeof(seq->op[0]));
	out->n = seq->n - n;
}

static bool drop_runs(struct check_sequence *seq, unsigned run, check_test test, void *priv,
		      struct check_sequence *trial)
{
	bool any = false;

	/* from the end: what comes last is what differs, what comes before is its cause */
	for (unsigned end = seq->n; end > 0; ) {
		unsigned from = end > run ? end - run : 0;

		without(seq, from, end - from, trial);
		if (trial->n && test(priv, trial)) {
			*seq = *trial;
			any = true;
		}
		end = from;
	}
	return any;
}

/* Tries one changed argument; keeps it if the difference stays. */
static bool try_arg(struct check_sequence *seq, unsigned i, unsigned k, uint64_t value, check_test test,
		    void *priv, struct check_sequence *trial)
{
	if (seq->op[i].a[k] == value)
		return false;
	*trial = *seq;
	trial->op[i].a[k] = value;
	if (!test(priv, trial))
		return false;
	*seq = *trial;
	return true;
}

static bool plainer_arg(struct check_sequence *seq, unsigned i, unsigned k, check_test test, void *priv,
			struct check_sequence *trial)
{
	enum check_arg arg = check_op_info[seq->op[i].kind].arg[k];
	const struct check_word *w = check_words(arg);
	bool any = false;
	uint64_t v;

	if (w && check_arg_is_bits(arg)) {
		for (; w->name; w++)
			if (w->value && !(w->value & (w->value - 1)) && (seq->op[i].a[k] & w->value))
				any |= try_arg(seq, i, k, seq->op[i].a[k] & ~w->value, test, priv, trial);
		return any;
	}
	if (arg != ARG_LEN)
		return false;
	/* shorter by ever smaller steps: the number of trials is that of the length's bits */
	for (uint64_t step = 1ull << 62; step >= CHECK_PAGE; step /= 2) {
		v = seq->op[i].a[k];
		if (v > step)
			any |= try_arg(seq, i, k, v - step, test, priv, trial);
	}
	return any;
}

void check_shrink(struct check_sequence *seq, check_test test, void *priv)
{
	struct check_sequence *trial = malloc(sizeof(*trial));
	bool any;

	if (!trial)
		return;
	for (unsigned run = seq->n / 2; run > 1; run /= 2)
		drop_runs(seq, run, test, priv, trial);
	while (drop_runs(seq, 1, test, priv, trial))
		;
	/* pairs that only make sense together: fork and exit, map and unmap */
	for (unsigned gap = 1; gap < seq->n && gap < 24; gap++)
		for (unsigned i = 0; i + gap < seq->n; i++) {
			struct check_sequence *more = malloc(sizeof(*more));

			if (!more)
				break;
			without(seq, i + gap, 1, more);
			without(more, i, 1, trial);
			if (trial->n && test(priv, trial))
				*seq = *trial;
			free(more);
		}
	do {
		any = false;
		for (unsigned i = 0; i < seq->n; i++)
			for (unsigned k = 0; k < 6; k++)
				any |= plainer_arg(seq, i, k, test, priv, trial);
	} while (any && drop_runs(seq, 1, test, priv, trial));
	free(trial);
}
