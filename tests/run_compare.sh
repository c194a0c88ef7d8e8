#!/usr/bin/env bash
# Runs the same thing natively and under `aspace run`, and compares what can be seen of it: standard
# output, standard error, exit status, and the files it leaves behind.
#
#	tests/run/*.sh		a case each: the script is run whole, in an empty directory of its own
#	tests/guest/*.c		a case each: built statically and dynamically, both are run
#
#	tests/run_compare.sh [PATTERN...]	only the cases whose name holds one of the patterns
#
# A line "# aspace: OPTIONS" in a script gives options for aspace run. A case may say with
# "# needs: COMMAND..." what it can't do without: it is skipped where that is missing.
# Environment: O (build directory), ASPACE_OPTIONS (for all), CASE_TIMEOUT (seconds, 120).
set -u
cd "$(dirname "$0")/.." || exit 2
O=${O:-build}
root=$PWD
aspace=$root/$O/aspace
guests=$O/guest
work=$(mktemp -d "${TMPDIR:-/tmp}/aspace-compare.XXXXXX")
trap 'rm -rf "$work"' EXIT
make -s O="$O" guests || exit 1
failed=0 passed=0 skipped=0

wanted() { # NAME PATTERN...
	local name=$1 p
	shift
	[ $# = 0 ] && return 0
	for p in "$@"; do case $name in *"$p"*) return 0;; esac; done
	return 1
}

observe() { # DIR COMMAND...: runs it in DIR/cwd, leaves DIR/{out,err,status,files}
	local dir=$1
	shift
	mkdir -p "$dir/cwd"
	{ (cd "$dir/cwd" && exec timeout -k 5 "${CASE_TIMEOUT:-120}" "$@" >"$dir/out" 2>"$dir/err" </dev/null); } 2>/dev/null
	echo $? >"$dir/status"
	(cd "$dir/cwd" && find . -type f -exec cksum {} + | sort -k3) >"$dir/files"
}

check() { # NAME OPTIONS COMMAND...
	local name=$1 options=$2 part bad=
	shift 2
	rm -rf "$work/native" "$work/ours"
	observe "$work/native" setarch -R "$@"
	# shellcheck disable=SC2086
	observe "$work/ours" "$aspace" run $options ${ASPACE_OPTIONS:-} -- "$@"
	for part in status out err files; do
		# The directory's name differs, and a process number in the shell's obituaries; nothing else.
		sed -i -E "s|$work/(native\|ours)|DIR|g; s/(: line [0-9]+:) +[0-9]+ /\1 PID /" \
			"$work/native/$part" "$work/ours/$part"
		cmp -s "$work/native/$part" "$work/ours/$part" || bad="$bad $part"
	done
	if [ -z "$bad" ]; then
		passed=$((passed + 1))
		return
	fi
	failed=$((failed + 1))
	echo "FAIL $name: differs in$bad"
	for part in $bad; do diff -a "$work/native/$part" "$work/ours/$part" | head -n 12 | sed "s/^/    $part /"; done
}

for source in tests/guest/*.c; do
	name=guest/$(basename "$source" .c)
	wanted "$name" "$@" || continue
	for kind in static dynamic; do
		program=$guests/$(basename "$source" .c)-$kind
		check "$name-$kind" "" "$root/$program"
	done
done

for script in tests/run/*.sh; do
	name=run/$(basename "$script" .sh)
	wanted "$name" "$@" || continue
	missing=
	for need in $(sed -n 's/^# needs: //p' "$script"); do command -v "$need" >/dev/null || missing="$missing $need"; done
	if [ -n "$missing" ]; then
		skipped=$((skipped + 1))
		echo "skip $name: no$missing here"
		continue
	fi
	check "$name" "$(sed -n 's/^# aspace: //p' "$script")" bash "$root/$script"
done

echo "$passed the same as natively, $failed not, $skipped skipped"
[ $failed = 0 ] && [ $passed -gt 0 ]
