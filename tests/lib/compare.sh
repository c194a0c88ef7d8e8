# SPDX-License-Identifier: MIT
# Sourced by tests/run_*.sh: a command run natively and inside, compared: standard output, standard error and
# exit status. Each side has a fresh directory of its own to work in.
#
#	. tests/lib/compare.sh
#	same 'NAME' 'SHELL COMMAND'
#	finish
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
O=${O:-build}
case $O in /*) ;; *) O=$top/$O;; esac
aspace=$O/aspace
guest=$O/guest
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cases=0 failures=0
export LC_ALL=C.UTF-8 TZ=UTC HOME=$work

# same NAME COMMAND [OPTION...]: options are aspace run's.
same() {
	local name=$1 command=$2 side took start
	shift 2
	cases=$((cases + 1))
	rm -rf "$work/here"; mkdir "$work/here"
	{ (cd "$work/here" && exec timeout 120 bash -c "$command" >"$work/native.out" 2>"$work/native.err" </dev/null); } 2>/dev/null
	echo "exit status $?" >>"$work/native.out"
	rm -rf "$work/here"; mkdir "$work/here"
	start=$(date +%s%N)
	{ (cd "$work/here" && exec timeout 300 "$aspace" run "$@" -- bash -c "$command" \
		>"$work/inside.out" 2>"$work/inside.err" </dev/null); } 2>/dev/null
	echo "exit status $?" >>"$work/inside.out"
	took=$((($(date +%s%N) - start) / 1000000))
	if cmp -s "$work/native.out" "$work/inside.out" && cmp -s "$work/native.err" "$work/inside.err"; then
		echo "ok   $name ($took ms)"
		return
	fi
	failures=$((failures + 1))
	echo "FAIL $name ($took ms): native < > inside"
	for side in out err; do
		diff "$work/native.$side" "$work/inside.$side" | head -n 15 | sed 's/^/  /'
	done
}

# refused NAME STATUS 'PART OF ITS MESSAGE' ARGUMENTS-OF-ASPACE...: one line on standard error, nothing on output.
refused() {
	local name=$1 status=$2 part=$3 got lines
	shift 3
	cases=$((cases + 1))
	timeout 60 "$aspace" "$@" >"$work/out" 2>"$work/err" </dev/null
	got=$?
	lines=$(wc -l <"$work/err")
	if [ "$got" = "$status" ] && [ "$lines" = 1 ] && [ ! -s "$work/out" ] && grep -qF -- "$part" "$work/err"; then
		echo "ok   $name: $(cat "$work/err")"
		return
	fi
	failures=$((failures + 1))
	echo "FAIL $name: exit status $got (expected $status), $lines lines on standard error (expected 1, with '$part'):"
	head -n 5 "$work/err" | sed 's/^/  /'
}

check() { # check NAME CONDITION...
	local name=$1
	shift
	cases=$((cases + 1))
	if "$@"; then echo "ok   $name"; else failures=$((failures + 1)); echo "FAIL $name: $*"; fi
}

finish() {
	echo "$cases cases, $failures failed"
	[ "$failures" = 0 ] && [ "$cases" -gt 0 ]
	exit
}
