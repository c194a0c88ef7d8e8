#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""make bench: the same programs natively, under qemu-user and under aspace, in one run.

Every round runs all three, one after the other, so that a noisy machine is noisy to all. A figure is
the median of the rounds; a ratio is the median of the rounds' own ratios, with the smallest and the
largest beside it. Writes a table in Markdown to standard output; progress goes to standard error.

usage: bench/run.py [--rounds N] [--build DIR] [--only mm|programs] [PATTERN...]
"""
import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time


def progress(text):
    print("bench: " + text, file=sys.stderr, flush=True)


def engines(build):
    aspace = os.path.join(build, "aspace")
    qemu = shutil.which("qemu-x86_64")
    found = [("native", []), ("qemu-user", [qemu] if qemu else None), ("aspace", [aspace, "run", "--"])]
    return [(name, prefix) for name, prefix in found if prefix is not None]


def ratios(ours, theirs):
    each = sorted(o / t for o, t in zip(ours, theirs) if t > 0)
    if not each:
        return "-"
    return f"{statistics.median(each):.2f} ({each[0]:.2f} to {each[-1]:.2f})"


def table(title, unit, rows, names):
    print(f"\n### {title}\n")
    others = [n for n in names if n != "aspace"]
    print(f"| | {' | '.join(f'{n}, {unit}' for n in names)} | {' | '.join(f'aspace / {n}' for n in others)} |")
    print("|---" * (1 + len(names) + len(others)) + "|")
    for label, figures in rows.items():
        medians = [f"{statistics.median(figures[n]):,.0f}" if figures.get(n) else "failed" for n in names]
        against = [ratios(figures.get("aspace", []), figures.get(n, [])) for n in others]
        print(f"| {label} | {' | '.join(medians)} | {' | '.join(against)} |")
    sys.stdout.flush()


def mm(options, found):
    rows = {}
    for r in range(options.rounds):
        for name, prefix in found:
            progress(f"mm, round {r + 1} of {options.rounds}, {name}")
            out = subprocess.run(prefix + [os.path.join(options.build, "bench/guest-mm"), *options.pattern],
                                 capture_output=True, text=True, timeout=600)
            if out.returncode:
                progress(f"{name} ended with {out.returncode}: {out.stderr.strip()[-300:]}")
            for line in out.stdout.splitlines():
                label, ns = line.rsplit("\t", 1)
                rows.setdefault(label, {}).setdefault(name, []).append(float(ns))
    table("The mm operations, measured in the guest (nanoseconds an operation)", "ns", rows,
          [name for name, _ in found])


PROGRAMS = {
    "/bin/true": ["/bin/true"],
    "python3: sum of squares": ["{python}", "-S", "-c", "print(sum(i * i for i in range(400000)))"],
    "sqlite3: 30,000 rows": ["sqlite3", ":memory:",
                             "create table t(a,b);with recursive c(x) as (select 1 union all select x+1 from c "
                             "where x<30000) insert into t select x,x*7%1000 from c;create index i on t(b);"
                             "select sum(a) from t where b<500;"],
    "cc1: one file": ["{cc1}", "-quiet", "-imultiarch", "x86_64-linux-gnu", "-O1", "{source}", "-o", "/dev/null"],
    "bash: 20,000 turns of a loop": ["bash", "-c", "for ((i=0;i<20000;i++)); do ((s+=i)); done; echo $s"],
    "bash: 100 forks": ["bash", "-c", "for ((i=0;i<100;i++)); do (:); done"],
    "awk": ["awk", "BEGIN{for(i=0;i<300000;i++)s+=i%7;print s}"],
}


def programs(options, found):
    cc1 = subprocess.run(["gcc", "-print-prog-name=cc1"], capture_output=True, text=True).stdout.strip()
    with tempfile.NamedTemporaryFile("w", suffix=".c", delete=False) as f:
        f.write("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n")
        for i in range(60):
            f.write(f"int f{i}(int *p,int n){{int s=0;for(int j=0;j<n;j++)if(p[j]%{i + 2})s+=p[j]*{i};return s;}}\n")
    python = next((p for p in ("/usr/bin/python3", shutil.which("python3")) if p and os.path.exists(p)), "python3")
    rows = {}
    for r in range(options.rounds):
        for label, command in PROGRAMS.items():
            if options.pattern and not any(p in label for p in options.pattern):
                continue
            argv = [a.format(cc1=cc1, source=f.name, python=python) if "{" in a and not "BEGIN" in a else a
                    for a in command]
            argv[0] = shutil.which(argv[0]) or argv[0]
            for name, prefix in found:
                progress(f"programs, round {r + 1} of {options.rounds}, {label}, {name}")
                start = time.perf_counter()
                out = subprocess.run(prefix + argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=600)
                took = time.perf_counter() - start
                if out.returncode:
                    progress(f"{label} under {name} ended with {out.returncode}: {out.stderr[-300:]}")
                else:
                    rows.setdefault(label, {}).setdefault(name, []).append(took * 1000)
    os.unlink(f.name)
    table("Whole programs, start to end (milliseconds)", "ms", rows, [name for name, _ in found])


def main():
    parser = argparse.ArgumentParser(description="native, qemu-user and aspace in one run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--build", default="build")
    parser.add_argument("--only", choices=["mm", "programs"])
    parser.add_argument("pattern", nargs="*")
    options = parser.parse_args()
    found = engines(options.build)
    print(f"{os.cpu_count()} processors, {os.uname().sysname} {os.uname().release}, {options.rounds} rounds")
    if options.only != "programs":
        mm(options, found)
    if options.only != "mm":
        programs(options, found)


main()
