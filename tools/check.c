/* SPDX-License-Identifier: MIT */
/* The verb: options, the loop over sequences, and what happens when one differs. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "tools.h"

enum { EXIT_SAME, EXIT_DIFFERENT };	/* and EXIT_USAGE */

struct options {
	uint64_t ops, seed;
	const struct check_profile *profile;
	const char *profile_name, *save;
	unsigned length, full_every;
	uint32_t lie;
	uint64_t keep_going;
	bool json, progress, print_c, smaps, rbtree;
};

struct check {
	struct options opt;
	struct check_host *host;
	struct check_ring *ring;
	struct check_ours *ours;
	struct check_trace *trace[CHECK_SLOTS];	/* the library's */
	struct check_coverage *coverage;
	uint64_t ops, sequences, differences, unrepeatable;
	double started, shown;
};

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- one sequence, closely ---------------------------------------------------------------------- */

static struct check_look every_step(const struct check *c)
{
	bool pages = !check_profile_areas_only(c->opt.profile);

	return (struct check_look){ .areas_every = 1, .full_every = 1, .pages = pages, .smaps = c->opt.smaps };
}

/* Both sides one after the other, every step looked at. Slot 0; nothing may be posted. */
static bool differs(struct check *c, const struct check_sequence *seq, const struct check_look *look,
		    struct check_difference *d)
{
	struct check_slot *slot = &c->ring->slot[0];
	int status = 0, ret;

	memset(d, 0, sizeof(*d));
	slot->look = *look;
	slot->seq = *seq;
	ret = check_ours_begin(c->ours, c->trace[0]);
	if (!ret) {
		check_ours_run(c->ours, seq, look, c->trace[0]);
		ret = check_ours_end(c->ours, d->what, sizeof(d->what));
	}
	if (ret) {
		d->step = seq->n - 1;
		return true;
	}
	for (unsigned i = 0; i < seq->n; i++)	/* a call into unknown bytes */
		if (c->trace[0]->result[i].skipped)
			slot->seq.op[i].kind = OP_NOP;
	if (check_host_post(c->host, 0) || check_host_wait(c->host, &status)) {
		fprintf(stderr, "aspace check: the child that asks the kernel is gone\n");
		exit(EXIT_DIFFERENT);
	}
	return check_compare(seq, &slot->trace, c->trace[0], d);
}

struct shrinking {
	struct check *c;
	const struct check_look *look;
	uint64_t tried;
};

static bool still_differs(void *priv, const struct check_sequence *seq)
{
	struct shrinking *s = priv;
	struct check_difference d;

	s->tried++;
	return differs(s->c, seq, s->look, &d);
}

static void report(struct check *c, const struct check_sequence *seq, const struct check_difference *d,
		   FILE *out)
{
	char line[512], lh[96], lo[96];

	fprintf(out, "# profile %s\n", c->opt.profile_name);
	for (unsigned i = 0; i < seq->n; i++) {
		check_format_op(&seq->op[i], line, sizeof(line));
		check_format_result(&seq->op[i], &c->ring->slot[0].trace.result[i], lh, sizeof(lh));
		check_format_result(&seq->op[i], &c->trace[0]->result[i], lo, sizeof(lo));
		fprintf(out, "%s\n", line);
		fprintf(out, "#	%s%s%s\n", lh, strcmp(lh, lo) ? "	aspace: " : "",
			strcmp(lh, lo) ? lo : "");
	}
	fprintf(out, "# step %u: %s\n# Linux:\n", d->step, d->what);
	check_print_areas(out, check_picture(&c->ring->slot[0].trace, d->step), "#   ");
	fprintf(out, "# aspace:\n");
	check_print_areas(out, check_picture(c->trace[0], d->step), "#   ");
}

static void save(struct check *c, const struct check_sequence *seq, const struct check_difference *d)
{
	char path[512];
	FILE *out;

	if (!c->opt.save)
		return;
	snprintf(path, sizeof(path), "%s/diff-%" PRIu64 ".ops", c->opt.save, c->differences);
	out = fopen(path, "w");
	if (!out) {
		fprintf(stderr, "aspace check: %s: %s\n", path, strerror(errno));
		return;
	}
	report(c, seq, d, out);
	fclose(out);
}

/* seq differed when it was looked at from time to time: find the step, shrink, show. */
static void investigate(struct check *c, const struct check_sequence *found, const struct check_look *look,
			const struct check_difference *first)
{
	struct check_sequence *seq = malloc(sizeof(*seq));
	struct check_difference d;
	const struct check_look closely = every_step(c);
	struct shrinking s = { c, &closely, 0 };

	if (!seq)
		return;
	*seq = *found;
	c->differences++;
	if (!differs(c, seq, s.look, &d)) {
		s.look = look;
		if (!differs(c, seq, look, &d)) {
			c->unrepeatable++;
			fprintf(stderr, "aspace check: a difference that does not repeat, step %u: %s\n",
				first->step, first->what);
			free(seq);
			return;
		}
	}
	check_shrink(seq, still_differs, &s);
	differs(c, seq, s.look, &d);
	save(c, seq, &d);
	if (c->opt.print_c)
		check_print_c(stdout, seq, &c->ring->slot[0].trace, c->trace[0], &d);
	else
		report(c, seq, &d, stdout);
	fflush(stdout);
	free(seq);
}

/* ---- many ------------------------------------------------------------------------------------------ */

static void progress(struct check *c, bool last)
{
	double t = seconds();

	if (last ? c->opt.json : !c->opt.progress || t - c->shown < 0.5)
		return;
	c->shown = t;
	fprintf(stderr, "%s%" PRIu64 " operations, %" PRIu64 " sequences, %.0f/s, %u kinds of outcome, %" PRIu64
		" differences%s", c->opt.progress ? "\r" : "", c->ops, c->sequences, (double)c->ops / (t - c->started),
		check_coverage_count(c->coverage), c->differences, last ? "\n" : " ");
}

/* The kernel doesn't come back from an operation, or has killed who asked. */
static _Noreturn void no_answer(const struct check *c, const struct check_slot *slot)
{
	char line[256] = "";

	if (slot->trace.done < slot->seq.n)
		check_format_op(&slot->seq.op[slot->trace.done], line, sizeof(line));
	fprintf(stderr, "aspace check: no answer from the kernel to operation %u of sequence %" PRIu64 ": %s\n",
		slot->trace.done, c->sequences, line);
	exit(EXIT_DIFFERENT);
}

/* The oldest posted sequence is done in the kernel as well. false: it differs. */
static bool finish(struct check *c, unsigned slot, struct check_difference *d)
{
	int status = 0;

	if (check_host_wait(c->host, &status))
		no_answer(c, &c->ring->slot[slot]);
	c->ops += c->ring->slot[slot].seq.n;
	c->sequences++;
	check_coverage_add(c->coverage, &c->ring->slot[slot].seq, c->trace[slot]);
	return !check_compare(&c->ring->slot[slot].seq, &c->ring->slot[slot].trace, c->trace[slot], d);
}

static int generate(struct check *c, unsigned slot, uint64_t number, const struct check_look *look)
{
	/* not the generator's own step: neighbours would be one stream, shifted */
	struct check_rng rng = { c->opt.seed * 0x2545f4914f6cdd1dull + number * 0xd1342543de82ef95ull };
	struct check_slot *s = &c->ring->slot[slot];
	char why[512] = "";
	int ret = check_ours_begin(c->ours, c->trace[slot]);

	rng.s = check_random(&rng);
	s->look = *look;
	if (!ret) {
		check_generate(&rng, c->opt.profile, c->opt.length, c->ours, &s->seq, look, c->trace[slot]);
		ret = check_ours_end(c->ours, why, sizeof(why));
	}
	if (ret)
		fprintf(stderr, "aspace check: the library, sequence %" PRIu64 ": %s\n", number,
			*why ? why : strerror(-ret));
	return ret;
}

/* Two slots: the kernel does one while the next is made and done by the library. */
static int run_random(struct check *c)
{
	const struct check_look look = {
		.areas_every = 1, .full_every = c->opt.full_every,
		.pages = !check_profile_areas_only(c->opt.profile), .smaps = c->opt.smaps,
	};
	struct check_sequence *found = malloc(sizeof(*found));
	bool posted[CHECK_SLOTS] = { false };
	uint64_t number = 0;
	int ret = 0;

	while (found && !ret && (c->ops < c->opt.ops || posted[0] || posted[1])) {
		unsigned slot = number % 2, other = !slot;
		struct check_difference d = { 0 };
		bool more = c->ops < c->opt.ops;

		if (more && generate(c, slot, number, &look)) {
			ret = EXIT_DIFFERENT;
			break;
		}
		if (more)
			posted[slot] = !check_host_post(c->host, slot);
		number++;
		if (!posted[other])
			continue;
		posted[other] = false;
		if (!finish(c, other, &d)) {
			struct check_difference ignored;

			*found = c->ring->slot[other].seq;
			if (posted[slot])
				finish(c, slot, &ignored);	/* it will be made again */
			posted[slot] = false;
			if (more)
				number--;
			investigate(c, found, &look, &d);
			if (c->differences > c->opt.keep_going)
				break;
		}
		progress(c, false);
	}
	progress(c, true);
	free(found);
	return ret ? ret : c->differences ? EXIT_DIFFERENT : EXIT_SAME;
}

static void print_json(struct check *c)
{
	double t = seconds() - c->started;
	struct utsname u;

	uname(&u);
	printf("{\"kernel\": \"%s\", \"profile\": \"%s\", \"seed\": %" PRIu64 ", \"operations\": %" PRIu64
	       ", \"sequences\": %" PRIu64 ", \"seconds\": %.3f, \"rate\": %.0f, \"differences\": %" PRIu64
	       ", \"unrepeatable\": %" PRIu64 ", \"coverage\": %u, \"by_operation\": ",
	       u.release, c->opt.profile_name, c->opt.seed, c->ops, c->sequences, t, (double)c->ops / t,
	       c->differences, c->unrepeatable, check_coverage_count(c->coverage));
	check_coverage_json(c->coverage, stdout);
	printf("}\n");
}

/* ---- known sequences ---------------------------------------------------------------------------------- */

static int replay(struct check *c, const char *path)
{
	struct check_sequence *seq = malloc(sizeof(*seq));
	FILE *in = strcmp(path, "-") ? fopen(path, "r") : stdin;
	const struct check_look closely = every_step(c);
	struct check_difference d;
	char why[128];
	int ret = EXIT_SAME;

	if (!in || !seq) {
		fprintf(stderr, "aspace check: %s: %s\n", path, strerror(errno));
		free(seq);
		return EXIT_USAGE;
	}
	if (check_parse(in, seq, why, sizeof(why))) {
		fprintf(stderr, "aspace check: %s: %s\n", path, why);
		ret = EXIT_USAGE;
	} else if (differs(c, seq, &closely, &d)) {
		c->differences++;
		ret = EXIT_DIFFERENT;
		if (c->opt.print_c)
			check_print_c(stdout, seq, &c->ring->slot[0].trace, c->trace[0], &d);
		else
			report(c, seq, &d, stdout);
	} else if (c->opt.print_c) {
		d.step = seq->n - 1;
		check_print_c(stdout, seq, &c->ring->slot[0].trace, c->trace[0], &d);
	}
	c->ops += seq->n;
	c->sequences++;
	if (in != stdin)
		fclose(in);
	free(seq);
	return ret;
}

/* A corpus file names its profile in its first line. */
static bool file_profile(const char *path, char *name, size_t size)
{
	FILE *in = fopen(path, "r");
	char line[128], found[32];
	bool has = in && fgets(line, sizeof(line), in) && sscanf(line, "# profile %31s", found) == 1;

	if (in)
		fclose(in);
	if (has)
		snprintf(name, size, "%s", found);
	return has;
}

/* ---- the command ---------------------------------------------------------------------------------------- */

static int usage(FILE *out)
{
	fprintf(out, "usage: aspace check [OPTION...]\n"
		     "       aspace check [OPTION...] --replay FILE...\n\n"
		     "Random sequences of memory operations, by the library and by this host's kernel, compared after\n"
		     "each step. The first difference is shrunk and printed.\n\n"
		     "  --ops N                operations in all (default 100000)\n"
		     "  --seed S               where they come from (default 1): the same seed, the same operations\n"
		     "  --profile P            what they are: ");
	for (unsigned i = 0; check_profile_name(i); i++)
		fprintf(out, "%s%s", i ? ", " : "", check_profile_name(i));
	fprintf(out, " (default full)\n"
		     "  --length N             operations of a sequence, which starts with an empty space (default 128)\n"
		     "  --full-every N         steps from one look at pages, smaps and contents to the next, 0: never\n"
		     "                         (default 16)\n"
		     "  --no-smaps             leave smaps out of it\n"
		     "  --index range|rbtree   the library's structure that finds areas (default range)\n"
		     "  --keep-going N         end at difference N + 1\n"
		     "  --save DIR             write shrunk sequences there, for --replay\n"
		     "  --replay FILE...       these sequences, every step looked at\n"
		     "  --c                    a difference as a C program that shows it on a plain Linux\n"
		     "  --lie OP               falsify the library's answers to OP, to see that check sees it\n"
		     "  --json                 a summary, with what was covered\n"
		     "  --progress             a line that moves, also where standard error is no terminal\n"
		     "  --help\n\n"
		     "Exit status: 0 no difference, 1 a difference, 2 wrong usage or not possible here.\n");
	return EXIT_USAGE;
}

static bool number(const char *option, const char *s, uint64_t min, uint64_t max, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(s, &end, 0);
	if (end != s && !*end && !errno && *s != '-' && *value >= min && *value <= max)
		return true;
	fprintf(stderr, "aspace check: --%s: `%s' is not a number from %" PRIu64 " to %" PRIu64 "\n", option, s,
		min, max);
	return false;
}

static int start(struct check *c)
{
	struct sysinfo info;
	struct check_ours_options o = { .ram_bytes = 512 << 20 };
	int ret;

	sysinfo(&info);
	o.areas_only = check_profile_areas_only(c->opt.profile);
	o.host_pages = (info.totalram + info.totalswap) * info.mem_unit / CHECK_PAGE;
	o.thp_align = !access("/sys/kernel/mm/transparent_hugepage", F_OK);
	o.lie = c->opt.lie;
	o.rbtree = c->opt.rbtree;
	ret = check_host_start(&c->host);
	if (ret) {
		fprintf(stderr, "aspace check: can't ask this host's kernel: %s\n", strerror(-ret));
		return EXIT_USAGE;
	}
	c->ring = check_host_ring(c->host);
	ret = check_ours_create(&o, c->ring, &c->ours);
	if (ret) {
		fprintf(stderr, "aspace check: no machine: %s\n", strerror(-ret));
		return EXIT_USAGE;
	}
	c->coverage = check_coverage_new();
	for (unsigned i = 0; i < CHECK_SLOTS; i++)
		c->trace[i] = calloc(1, sizeof(*c->trace[i]));
	c->started = seconds();
	return c->coverage && c->trace[0] && c->trace[1] ? 0 : EXIT_USAGE;
}

static void stop(struct check *c)
{
	if (c->ours)
		check_ours_destroy(c->ours);
	if (c->host)
		check_host_stop(c->host);
	for (unsigned i = 0; i < CHECK_SLOTS; i++)
		free(c->trace[i]);
	check_coverage_free(c->coverage);
}

/* Each file with the machine that its profile wants; the machine is kept while that is the same. */
static int replay_all(const struct options *opt, bool profile_given, char **files)
{
	struct check c = { .opt = *opt };
	int worst = EXIT_SAME, ret;
	char name[32];

	for (; *files; files++) {
		const struct check_profile *p = opt->profile;

		if (!profile_given && file_profile(*files, name, sizeof(name)) && check_profile_find(name))
			p = check_profile_find(name);
		if (c.host && check_profile_areas_only(p) != check_profile_areas_only(c.opt.profile)) {
			stop(&c);
			c = (struct check){ .opt = *opt };
		}
		c.opt.profile = p;
		ret = c.host ? 0 : start(&c);
		ret = ret ? ret : replay(&c, *files);
		if (ret)
			fprintf(stderr, "aspace check: %s: %s\n", *files,
				ret == EXIT_DIFFERENT ? "differs" : "failed");
		worst = ret > worst ? ret : worst;
	}
	stop(&c);
	return worst;
}

int cmd_check(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "ops", 1, NULL, 'n' }, { "seed", 1, NULL, 's' }, { "profile", 1, NULL, 'p' },
		{ "length", 1, NULL, 'l' }, { "full-every", 1, NULL, 'f' }, { "keep-going", 1, NULL, 'k' },
		{ "save", 1, NULL, 'o' }, { "c", 0, NULL, 'c' }, { "json", 0, NULL, 'j' },
		{ "progress", 0, NULL, 'P' }, { "replay", 1, NULL, 'r' }, { "help", 0, NULL, 'h' },
		{ "no-smaps", 0, NULL, 'S' }, { "index", 1, NULL, 'i' }, { "lie", 1, NULL, 'L' },
		{ NULL, 0, NULL, 0 },
	};
	struct check c = { .opt = { .ops = 100000, .seed = 1, .length = 128, .full_every = 16,
				    .profile_name = "full", .smaps = true, .progress = isatty(STDERR_FILENO) } };
	bool profile_given = false;
	char *replay_file = NULL;
	uint64_t v = 0;
	int o, ret;

	if (argc == 2 && !strcmp(argv[1], "--executor"))
		return check_executor_main(argc, argv);
	optind = 1;
	while ((o = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (o) {
		case 'n': ret = number("ops", optarg, 1, 1ull << 40, &c.opt.ops); break;
		case 's': ret = number("seed", optarg, 0, UINT64_MAX, &c.opt.seed); break;
		case 'l': ret = number("length", optarg, 4, CHECK_MAX_OPS, &v); c.opt.length = v; break;
		case 'f': ret = number("full-every", optarg, 0, 1 << 20, &v); c.opt.full_every = v; break;
		case 'k': ret = number("keep-going", optarg, 0, UINT64_MAX, &c.opt.keep_going); break;
		case 'p': c.opt.profile_name = optarg; ret = profile_given = true; break;
		case 'o': c.opt.save = optarg; ret = true; break;
		case 'c': ret = c.opt.print_c = true; break;
		case 'j': ret = c.opt.json = true; break;
		case 'L': c.opt.lie = check_kind(optarg); ret = c.opt.lie < OP_KINDS; break;
		case 'S': c.opt.smaps = false; ret = true; break;
		case 'i':
			c.opt.rbtree = !strcmp(optarg, "rbtree");
			ret = c.opt.rbtree || !strcmp(optarg, "range");
			break;
		case 'P': ret = c.opt.progress = true; break;
		case 'r': replay_file = optarg; ret = true; break;
		case 'h': usage(stdout); return EXIT_SAME;
		default: ret = false;
		}
		if (!ret)
			return usage(stderr);
	}
	c.opt.profile = check_profile_find(c.opt.profile_name);
	if (!c.opt.profile) {
		fprintf(stderr, "aspace check: no profile `%s'\n", c.opt.profile_name);
		return usage(stderr);
	}
	if (replay_file) {
		argv[--optind] = replay_file;	/* the first of the files */
		return replay_all(&c.opt, profile_given, argv + optind);
	}
	if (optind < argc) {
		fprintf(stderr, "aspace check: `%s' means nothing here\n", argv[optind]);
		return usage(stderr);
	}
	ret = start(&c);
	if (!ret) {
		ret = run_random(&c);
		if (c.opt.json)
			print_json(&c);
	}
	stop(&c);
	return ret;
}
