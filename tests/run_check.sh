#!/usr/bin/env bash
# aspace check: the corpus of shrunk sequences, then random ones with fixed seeds, against this host's kernel.
# CHECK_OPS (default 100000): random operations in all. The kernel's answers are those of Linux 6.18; another
# version differs in known ways, so only usage is tested there.
set -u
cd "$(dirname "$0")/.." || exit 2
aspace=${O:-build}/aspace
[ -x "$aspace" ] || { echo "$aspace is not built"; exit 77; }
failed=0
fail() { echo "FAILED: $*"; failed=1; }
expect() { # STATUS COMMAND...: exit status and, on stderr, one clear line at least
	local want=$1 got; shift
	"$@" >/tmp/check.$$.out 2>/tmp/check.$$.err </dev/null; got=$?
	[ $got = "$want" ] || { fail "$*: exit status $got instead of $want"; cat /tmp/check.$$.err; }
	[ "$want" = 0 ] || [ -s /tmp/check.$$.err ] || fail "$*: said nothing"
	rm -f /tmp/check.$$.out /tmp/check.$$.err
}

expect 2 "$aspace" check --ops nonsense
expect 2 "$aspace" check --ops 0
expect 2 "$aspace" check --seed -1
expect 2 "$aspace" check --profile none
expect 2 "$aspace" check --unknown
expect 2 "$aspace" check stray
expect 2 "$aspace" check --replay /nonexistent
expect 2 "$aspace" check --replay /dev/null

expect 2 "$aspace" check --lie nothing

case $(uname -r) in 6.18.*) ;; *) [ $failed = 0 ] && { echo "the kernel is $(uname -r), not 6.18"; exit 77; }; exit 1;; esac
"$aspace" check --ops 100 --profile areas >/tmp/check.$$ 2>&1
[ $? = 2 ] && { cat /tmp/check.$$; rm -f /tmp/check.$$; exit 77; }
rm -f /tmp/check.$$

# What is falsified must be found, shrunk to little, replayed, and shown by a program that stands alone.
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$aspace" check --ops 20000 --profile areas --lie munmap --save "$dir" >/dev/null
[ $? = 1 ] || fail "a falsified munmap was not found"
[ "$(grep -c '^[a-z]' "$dir/diff-1.ops")" = 1 ] || fail "a falsified munmap was not shrunk to itself"
"$aspace" check --replay "$dir/diff-1.ops" || fail "a sequence that does not differ, does"
"$aspace" check --replay "$dir/diff-1.ops" --lie munmap >/dev/null 2>&1
[ $? = 1 ] || fail "replay does not see the falsified munmap"
"$aspace" check --replay "$dir/diff-1.ops" --lie munmap --c >"$dir/show.c" 2>/dev/null
if ${CC:-cc} -static -no-pie -w -o "$dir/show" "$dir/show.c" 2>/dev/null; then
	"$dir/show" | grep -q 'munmap.* = 0$' || fail "the C program does not show what Linux does"
else
	fail "the C program does not compile"
fi

corpus=(tests/check/*.ops)
if [ -e "${corpus[0]}" ]; then
	"$aspace" check --replay "${corpus[@]}" || fail "the corpus of ${#corpus[@]} sequences"
	echo "corpus: ${#corpus[@]} sequences"
fi
each=$((${CHECK_OPS:-100000} / 8))
for profile in areas full anon files; do
	for seed in 1 2; do
		"$aspace" check --ops $each --seed $seed --profile $profile --json >"$dir/json" || fail "$profile, seed $seed"
		cut -d, -f2-9 "$dir/json"
	done
done
exit $failed
